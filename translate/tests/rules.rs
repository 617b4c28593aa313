//! What rules become, one by one.

mod common;

use common::{document, read, tells};
use translate::stream;

/// Two Services and who calls them, under Istio.
const BASE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart-v1}
spec:
  selector: {matchLabels: {app: cart, version: v1}}
  template:
    metadata: {labels: {app: cart, version: v1}}
    spec: {containers: [{name: cart, image: cart, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart-v2}
spec:
  selector: {matchLabels: {app: cart, version: v2}}
  template:
    metadata: {labels: {app: cart, version: v2}}
    spec: {containers: [{name: cart, image: cart, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart}
spec:
  selector: {app: cart}
  ports: [{name: http, port: 80, targetPort: 8080}]
";

fn under_istio(more: &str) -> common::Read {
    read(&format!("{BASE}---\n{more}"))
}

fn virtual_service(http: &str) -> common::Read {
    under_istio(&format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: cart}}
spec:
  hosts: [cart]
  http:
{http}"
    ))
}

fn destination_rule(policy: &str) -> common::Read {
    under_istio(&format!(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: cart}}
spec:
  host: cart
  trafficPolicy: {policy}
"
    ))
}

const SPLIT: &str = "  - route:
    - {destination: {host: cart, subset: v1}, weight: 90}
    - {destination: {host: cart, subset: v2}, weight: 10}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart}
spec:
  host: cart
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
";

#[test]
fn istio_written_for_istio_does_the_same() {
    for more in [
        "  - {route: [{destination: {host: cart}}], timeout: 2s}\n",
        "  - {route: [{destination: {host: cart}}], retries: {attempts: 0}}\n",
        "  - {route: [{destination: {host: cart}}], retries: {attempts: 3, perTryTimeout: 1s, retryOn: '5xx,429'}}\n",
        "  - {match: [{uri: {prefix: /a}}, {headers: {x-user: {regex: 'a.*'}}}], route: [{destination: {host: cart}}], rewrite: {uri: /b}}\n  - {route: [{destination: {host: cart}}]}\n",
        "  - {match: [{withoutHeaders: {x-user: {exact: a}}}], redirect: {uri: /gone, redirectCode: 302}}\n  - {route: [{destination: {host: cart}}]}\n",
        "  - {fault: {delay: {fixedDelay: 1s, percentage: {value: 10}}}, route: [{destination: {host: cart}}], mirrors: [{destination: {host: cart}, percentage: {value: 5}}]}\n",
        SPLIT,
    ] {
        let translation = virtual_service(more).to("istio");
        assert!(
            translation.is_equivalent(),
            "{more}\n{}\n{:#?}",
            stream(&translation),
            translation.differences
        );
    }
}

#[test]
fn how_a_service_is_called_stays_what_it_was() {
    for policy in [
        "{loadBalancer: {simple: ROUND_ROBIN}}",
        "{connectionPool: {tcp: {maxConnections: 64, connectTimeout: 2s}, http: {http1MaxPendingRequests: 32, maxRetries: 5}}}",
        "{outlierDetection: {consecutive5xxErrors: 10, interval: 5s, baseEjectionTime: 10s, maxEjectionPercent: 50}}",
        "{loadBalancer: {consistentHash: {httpHeaderName: x-user}}}",
        "{retryBudget: {percent: 20, minRetryConcurrency: 3}}",
    ] {
        let translation = destination_rule(policy).to("istio");
        assert!(
            translation.is_equivalent(),
            "{policy}\n{}\n{:#?}",
            stream(&translation),
            translation.differences
        );
    }
}

#[test]
fn retries_of_a_default_are_written_where_the_target_has_none() {
    let translation = under_istio("").to("linkerd");
    let service = document(&translation, "Service/default/cart");
    assert!(
        service.contains("retry.linkerd.io/grpc: cancelled,unavailable"),
        "{service}"
    );
    assert!(
        service.contains("retry.linkerd.io/limit: \"2\""),
        "{service}"
    );
    assert!(tells(&translation, "connect-failure"));
}

#[test]
fn retries_that_the_target_has_by_itself_are_turned_off() {
    let none = "  - {route: [{destination: {host: cart}}], retries: {attempts: 0}}\n";
    let translation = virtual_service(none).to("kuma");
    let text = stream(&translation);
    assert!(text.contains("numRetries: 0"), "{text}");
}

#[test]
fn no_timeout_is_written_where_the_target_has_one() {
    let translation = under_istio("").to("kuma");
    let text = document(&translation, "MeshTimeout/kuma-system/all-timeouts");
    assert!(text.contains("requestTimeout: 0s"), "{text}");
}

#[test]
fn a_bound_of_tries_that_nobody_tries_again_bounds_the_answer() {
    let rule =
        "  - {route: [{destination: {host: cart}}], retries: {attempts: 3, perTryTimeout: 2s}}\n";
    let translation = virtual_service(rule).to("linkerd");
    let service = document(&translation, "Service/default/cart");
    assert!(
        service.contains("timeout.linkerd.io/request: 2s"),
        "{service}"
    );
    let rule = "  - {route: [{destination: {host: cart}}], retries: {attempts: 3, perTryTimeout: 2s, retryOn: 5xx}}\n";
    let translation = virtual_service(rule).to("linkerd");
    let service = document(&translation, "Service/default/cart");
    assert!(
        service.contains("retry.linkerd.io/timeout: 2s"),
        "{service}"
    );
    assert!(service.contains("retry.linkerd.io/http: 5xx"), "{service}");
}

#[test]
fn subsets_are_services_of_their_own_where_there_are_none() {
    for target in ["linkerd", "kuma", "gateway-api"] {
        let translation = virtual_service(SPLIT).to(target);
        let service = document(&translation, "Service/default/cart-v2");
        assert!(service.contains("version: v2"), "{target}: {service}");
        let text = stream(&translation);
        assert!(text.contains("weight: 90"), "{target}: {text}");
        let moved = translation
            .differences
            .iter()
            .filter(|it| it.area == Some(compare::Area::Destination))
            .filter(|it| it.place != "callers in the mesh");
        assert_eq!(moved.count(), 0, "{target}: {:#?}", translation.differences);
    }
}

#[test]
fn strict_mutual_tls_is_said_in_each_meshs_words() {
    let strict = "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
";
    let read = under_istio(strict);
    let linkerd = document(&read.to("linkerd"), "Namespace/default");
    assert!(
        linkerd.contains("config.linkerd.io/default-inbound-policy: all-authenticated"),
        "{linkerd}"
    );
    let kuma = document(&read.to("kuma"), "Mesh/default");
    assert!(kuma.contains("mode: STRICT"), "{kuma}");
    let istio = document(&read.to("istio"), "PeerAuthentication/default/default");
    assert!(istio.contains("mode: STRICT"), "{istio}");
    let words = "does not say how members of a mesh know each other";
    assert!(tells(&read.to("gateway-api"), words));
}

#[test]
fn who_has_a_sidecar_is_said_in_each_meshs_words() {
    let read = read(&format!(
        "{BASE}---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: legacy}}
spec:
  selector: {{matchLabels: {{app: legacy}}}}
  template:
    metadata: {{labels: {{app: legacy, sidecar.istio.io/inject: 'false'}}}}
    spec: {{containers: [{{name: legacy, image: legacy}}]}}
"
    ));
    let linkerd = read.to("linkerd");
    let namespace = document(&linkerd, "Namespace/default");
    assert!(
        namespace.contains("linkerd.io/inject: enabled"),
        "{namespace}"
    );
    assert!(!namespace.contains("istio"), "{namespace}");
    let pods = document(&linkerd, "Deployment/default/legacy");
    assert!(pods.contains("linkerd.io/inject: disabled"), "{pods}");
    assert!(!pods.contains("istio"), "{pods}");
    let kuma = read.to("kuma");
    let pods = document(&kuma, "Deployment/default/legacy");
    assert!(
        pods.contains("kuma.io/sidecar-injection: disabled"),
        "{pods}"
    );
}

#[test]
fn a_rule_that_the_target_cannot_ask_for_is_told_with_its_place() {
    let rules = "  - {name: canary, match: [{withoutHeaders: {x-canary: {exact: 'yes'}}}], route: [{destination: {host: cart}}], timeout: 1s}
  - {route: [{destination: {host: cart}}]}
";
    for target in ["linkerd", "kuma", "gateway-api"] {
        let translation = virtual_service(rules).to(target);
        let told = translation
            .differences
            .iter()
            .find(|it| it.what.contains("canary"));
        let found = translation
            .differences
            .iter()
            .find(|it| it.what == "timeout");
        assert!(
            told.is_some() || found.is_some(),
            "{target}: {:#?}",
            translation.differences
        );
        let found = found.expect("a request without the header shows it");
        assert_eq!(
            (found.before.as_str(), found.rule.is_empty()),
            ("1s", false)
        );
        assert!(found.why.contains("cannot ask"), "{target}: {found:#?}");
    }
}

#[test]
fn an_order_that_the_target_does_not_keep_is_told() {
    let rules = "  - {name: wide, match: [{uri: {prefix: /}, headers: {x-user: {exact: a}}}], route: [{destination: {host: cart}}], timeout: 1s}
  - {name: narrow, match: [{uri: {exact: /a}}], route: [{destination: {host: cart}}], timeout: 2s}
  - {route: [{destination: {host: cart}}]}
";
    for target in ["linkerd", "kuma", "gateway-api"] {
        let translation = virtual_service(rules).to(target);
        assert!(
            tells(&translation, "the most specific condition first"),
            "{target}: {:#?}",
            translation.differences
        );
    }
    assert!(virtual_service(rules).to("istio").is_equivalent());
}

#[test]
fn every_object_names_what_it_comes_from() {
    let rule = "  - {route: [{destination: {host: cart}}], timeout: 2s}\n";
    let translation = virtual_service(rule).to("istio");
    let text = stream(&translation);
    let above = text.lines().zip(text.lines().skip(1));
    let mut named = above.filter(|(_, line)| *line == "apiVersion: networking.istio.io/v1");
    let (comment, _) = named.next().expect("a VirtualService");
    assert!(comment.starts_with("# from shop.yaml:"), "{comment}");
}

#[test]
fn secrets_are_not_written() {
    let secret = "apiVersion: v1
kind: Secret
metadata: {name: tls}
stringData: {tls.crt: hush, tls.key: hush}
";
    let translation = under_istio(secret).to("linkerd");
    let text = stream(&translation);
    assert!(
        !text.contains("kind: Secret") && !text.contains("hush"),
        "{text}"
    );
    assert_eq!(translation.left.len(), 1);
}

/// A gateway of the Gateway API before the same Services.
fn behind_a_gateway(rules: &str) -> common::Read {
    let base = BASE.replace(", labels: {istio-injection: enabled}", "");
    read(&format!(
        "{base}---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  gatewayClassName: any
  listeners: [{{name: http, port: 80, protocol: HTTP}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: cart}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [shop.example.com]
  rules:
{rules}"
    ))
}

#[test]
fn a_gateway_written_for_the_gateway_api_does_the_same() {
    for rules in [
        "  - {backendRefs: [{name: cart, port: 80}]}\n",
        "  - {matches: [{path: {type: Exact, value: /a}, method: GET}, {headers: [{name: x-user, value: a}]}], backendRefs: [{name: cart, port: 80}], timeouts: {request: 2s, backendRequest: 1s}, retry: {attempts: 2, codes: [503]}}\n",
        "  - {matches: [{path: {value: /a}}], filters: [{type: URLRewrite, urlRewrite: {hostname: cart, path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}], backendRefs: [{name: cart, port: 80}]}\n",
        "  - {filters: [{type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}]}\n",
        "  - {filters: [{type: CORS, cors: {allowOrigins: ['https://a.example'], allowMethods: [GET], maxAge: 60}}], backendRefs: [{name: cart, port: 80}]}\n",
        "  - {filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: b}], remove: [x-c]}}], backendRefs: [{name: cart, port: 80}], sessionPersistence: {sessionName: s}}\n",
    ] {
        let translation = behind_a_gateway(rules).to("gateway-api");
        assert!(
            translation.is_equivalent(),
            "{rules}\n{}\n{:#?}",
            stream(&translation),
            translation.differences
        );
    }
}

#[test]
fn a_gateway_of_the_gateway_api_is_istios_with_virtual_services() {
    let rules = "  - {matches: [{path: {value: /a}}], backendRefs: [{name: cart, port: 80}], timeouts: {request: 2s}}\n";
    let translation = behind_a_gateway(rules).to("istio");
    let text = document(&translation, "VirtualService/default/shop-example-com");
    assert!(
        text.contains("exact: /a") && text.contains("prefix: /a/"),
        "{text}"
    );
    assert!(text.contains("timeout: 2s"), "{text}");
    assert!(text.contains("attempts: 0"), "{text}");
    let moved = translation.differences.iter();
    let moved = moved.filter(|it| it.area == Some(compare::Area::Destination));
    assert_eq!(moved.count(), 0, "{:#?}", translation.differences);
}

#[test]
fn pages_of_other_origins_are_istios_cors_policy_and_compared() {
    let rules = "  - {filters: [{type: CORS, cors: {allowOrigins: ['https://a.example', '*'], allowMethods: [GET], maxAge: 60}}], backendRefs: [{name: cart, port: 80}]}\n";
    let translation = behind_a_gateway(rules).to("istio");
    let text = document(&translation, "VirtualService/default/shop-example-com");
    for part in ["corsPolicy", "https://a.example", "60s", "IGNORE"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let told = translation.differences.iter();
    let told = told.filter(|it| it.area == Some(compare::Area::Cors));
    assert_eq!(told.count(), 0, "{:#?}", translation.differences);
}

#[test]
fn linkerd_and_kuma_written_for_themselves_do_the_same() {
    let linkerd = BASE
        .replace(
            "labels: {istio-injection: enabled}",
            "annotations: {linkerd.io/inject: enabled}",
        )
        .replace(
            "metadata: {name: cart}\nspec:\n  selector: {app: cart}",
            "metadata:\n  name: cart\n  annotations:\n    retry.linkerd.io/http: 5xx\n    retry.linkerd.io/limit: '3'\n    timeout.linkerd.io/request: 2s\n    balancer.linkerd.io/failure-accrual: consecutive\nspec:\n  selector: {app: cart}",
        );
    let translation = read(&linkerd).to("linkerd");
    assert!(
        translation.is_equivalent(),
        "{}\n{:#?}",
        stream(&translation),
        translation.differences
    );
    let kuma = BASE
        .replace(
            "labels: {istio-injection: enabled}",
            "labels: {kuma.io/sidecar-injection: enabled}",
        )
        .replace("targetPort: 8080}", "targetPort: 8080, appProtocol: http}");
    let kuma = format!(
        "{kuma}---
apiVersion: kuma.io/v1alpha1
kind: MeshTimeout
metadata: {{name: all, namespace: kuma-system}}
spec:
  to: [{{targetRef: {{kind: Mesh}}, default: {{http: {{requestTimeout: 3s}}}}}}]
"
    );
    let translation = read(&kuma).to("kuma");
    assert!(
        translation.is_equivalent(),
        "{}\n{:#?}",
        stream(&translation),
        translation.differences
    );
}
