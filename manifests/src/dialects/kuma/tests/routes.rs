//! MeshHTTPRoute and MeshTCPRoute.

use proxy_core::config::{HostRewrite, PathRedirect, PathRewrite, Redirect, RouteAction, Share};
use proxy_core::heads::HeaderOp;

use super::harness::{Built, Request, forward_of, get, named, policy, tcp_of, with};

/// A route of `web` with these rules.
fn web(rules: &str) -> String {
    policy(
        "MeshHTTPRoute",
        &format!(
            "to: [{{targetRef: {{kind: MeshService, name: web_shop_svc_80}}, rules: [{rules}]}}]"
        ),
    )
}

fn rule(matches: &str, conf: &str) -> String {
    format!("{{matches: [{{{matches}}}], default: {{{conf}}}}}")
}

fn to(service: &str) -> String {
    format!("backendRefs: [{{kind: MeshService, name: {service}}}]")
}

fn first_of(built: &Built, request: &Request<'_>) -> String {
    let route = built.call("web", request).expect("a route");
    built.shares(&forward_of(&route))[0].0.clone()
}

#[test]
fn the_best_fit_counts_wherever_it_stands() {
    let rules = [
        rule(
            "path: {type: PathPrefix, value: /a}",
            &to("api_shop_svc_80"),
        ),
        rule(
            "path: {type: RegularExpression, value: '/a/.*/longest'}",
            &to("web_shop_svc_80"),
        ),
        rule(
            "path: {type: PathPrefix, value: /a/b}",
            &to("orders_far_svc_80"),
        ),
        rule("path: {type: Exact, value: /a/b}", &to("duo_shop_svc_80")),
        rule(
            "path: {type: PathPrefix, value: /a}, method: POST",
            &to("rpc_shop_svc_9000"),
        ),
        rule(
            "path: {type: PathPrefix, value: /a}, headers: [{name: x-v, value: '2'}]",
            &to("duo_shop_svc_80"),
        ),
    ];
    let built = with(&web(&rules.join(", ")));
    assert_eq!(built.problems, "");
    let post = |path| Request {
        method: "POST",
        path,
        headers: &[],
    };
    let v2 = |path| Request {
        method: "GET",
        path,
        headers: &[("x-v", "2")],
    };
    let rows = [
        (get("/a"), "api_shop_svc_80"),
        (get("/a/c"), "api_shop_svc_80"),
        (get("/a/b"), "duo_shop_svc_80"),
        (get("/a/b/c"), "orders_far_svc_80"),
        // prefixes come before patterns, however long
        (get("/a/b/longest"), "orders_far_svc_80"),
        (post("/a"), "rpc_shop_svc_9000"),
        (v2("/a"), "duo_shop_svc_80"),
        (v2("/other"), "web_shop_svc_80"),
    ];
    for (request, expected) in rows {
        assert_eq!(
            first_of(&built, &request),
            expected,
            "{} {}",
            request.method,
            request.path
        );
    }
}

#[test]
fn of_equal_fits_the_more_specific_policy_counts_then_the_place() {
    let route = |name: &str, target: &str, first: &str, second: &str| {
        let path = "path: {type: PathPrefix, value: /a}";
        let (one, two) = (
            rule(
                &format!("{path}, headers: [{{name: x, value: a}}]"),
                &to(first),
            ),
            rule(
                &format!("{path}, headers: [{{name: y, value: a}}]"),
                &to(second),
            ),
        );
        let spec = format!(
            "{target}to: [{{targetRef: {{kind: MeshService, name: web_shop_svc_80}}, rules: [{one}, {two}]}}]"
        );
        named("MeshHTTPRoute", name, "kuma-system", &spec)
    };
    let both = Request {
        method: "GET",
        path: "/a",
        headers: &[("x", "a"), ("y", "a")],
    };
    let one = route("one", "", "api_shop_svc_80", "orders_far_svc_80");
    let built = with(&one);
    assert_eq!(first_of(&built, &both), "api_shop_svc_80");
    let near = "targetRef: {kind: Dataplane, labels: {app: api}}, ";
    let path = "path: {type: PathPrefix, value: /a}, headers: [{name: y, value: a}]";
    let spec = format!(
        "{near}to: [{{targetRef: {{kind: MeshService, name: web_shop_svc_80}}, rules: [{}]}}]",
        rule(path, &to("duo_shop_svc_80"))
    );
    let two = named("MeshHTTPRoute", "two", "kuma-system", &spec);
    // the rule of the same matches is merged, and takes the place of the more specific policy
    let built = with(&format!("{one}{two}"));
    assert_eq!(built.problems, "");
    assert_eq!(first_of(&built, &both), "duo_shop_svc_80");
}

#[test]
fn header_conditions() {
    let rows: &[(&str, Option<&str>, bool)] = &[
        ("name: x, value: a", Some("a"), true),
        ("name: x, value: a", Some("b"), false),
        ("name: x, type: Present", Some("b"), true),
        ("name: x, type: Present", None, false),
        ("name: x, type: Absent", None, true),
        ("name: x, type: Absent", Some("a"), false),
        ("name: x, type: Prefix, value: ab", Some("abc"), true),
        ("name: x, type: Prefix, value: ab", Some("ba"), false),
        (
            "name: x, type: RegularExpression, value: 'a+'",
            Some("aaa"),
            true,
        ),
        (
            "name: x, type: RegularExpression, value: 'a+'",
            Some("aab"),
            false,
        ),
    ];
    for (condition, value, expected) in rows {
        let built = with(&web(&rule(
            &format!("headers: [{{{condition}}}]"),
            &to("api_shop_svc_80"),
        )));
        assert_eq!(built.problems, "", "{condition}");
        let headers: Vec<(&str, &str)> = value.iter().map(|value| ("x", *value)).collect();
        let request = Request {
            method: "GET",
            path: "/",
            headers: &headers,
        };
        let taken = first_of(&built, &request) == "api_shop_svc_80";
        assert_eq!(taken, *expected, "{condition} {value:?}");
    }
}

#[test]
fn shares_and_policies_of_the_destination_and_of_its_backends() {
    let conf = "backendRefs: [{kind: MeshService, name: web_shop_svc_80, weight: 90}, {kind: MeshService, name: orders_far_svc_80, weight: 10}, {kind: MeshService, name: duo_shop_svc_80, weight: 0}]";
    let limits = policy(
        "MeshCircuitBreaker",
        "to: [{targetRef: {kind: MeshService, name: orders_far_svc_80}, default: {connectionLimits: {maxRequests: 7}}}]",
    );
    let retry = named(
        "MeshRetry",
        "retry",
        "kuma-system",
        "to: [{targetRef: {kind: MeshService, name: orders_far_svc_80}, default: {http: {numRetries: 1}}}]",
    );
    let built = with(&format!(
        "{}{limits}{retry}",
        web(&rule("path: {type: PathPrefix, value: /}", conf))
    ));
    assert_eq!(built.problems, "");
    let forward = built.web("/");
    let shares = [
        ("web_shop_svc_80".to_owned(), 90),
        ("orders_far_svc_80".to_owned(), 10),
    ];
    assert_eq!(built.shares(&forward), shares);
    // limits are those of each backend, retries those of what was asked for
    assert_eq!(
        built.cluster("orders_far_svc_80").limits[0].requests.value,
        7
    );
    assert_eq!(forward.retry.expect("retries").retries.value, 5);
}

#[test]
fn subsets_are_those_that_have_the_tags() {
    let conf =
        "backendRefs: [{kind: MeshServiceSubset, name: web_shop_svc_80, tags: {version: v1}}]";
    let built = with(&web(&rule("path: {type: PathPrefix, value: /}", conf)));
    assert_eq!(built.problems, "");
    assert_eq!(
        built.shares(&built.web("/"))[0].0,
        "web_shop_svc_80[version=v1]"
    );
    assert_eq!(
        built
            .cluster("web_shop_svc_80[version=v1]")
            .endpoints
            .endpoints
            .len(),
        2
    );
    let other = conf.replace("v1", "v2");
    let built = with(&web(&rule("path: {type: PathPrefix, value: /}", &other)));
    let cluster = built.cluster("web_shop_svc_80[version=v2]");
    assert!(cluster.endpoints.endpoints.is_empty());
}

#[test]
fn filters() {
    let edits = "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-A, value: '1'}], add: [{name: x-b, value: '2'}], remove: [X-C]}}, {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-d, value: '3'}]}}, {type: RequestMirror, requestMirror: {percentage: '0.5', backendRef: {kind: MeshService, name: orders_far_svc_80}}}]";
    let built = with(&web(&rule("path: {type: PathPrefix, value: /}", edits)));
    assert_eq!(built.problems, "");
    let route = built.call("web", &get("/")).expect("a route");
    let expected = [
        HeaderOp::Set("x-a".into(), "1".into()),
        HeaderOp::Append("x-b".into(), "2".into()),
        HeaderOp::Remove("x-c".into()),
    ];
    assert_eq!(route.request_edits, expected);
    assert_eq!(
        route.response_edits,
        [HeaderOp::Set("x-d".into(), "3".into())]
    );
    let forward = forward_of(&route);
    assert_eq!(built.shares(&forward)[0].0, "web_shop_svc_80");
    let [mirror] = &forward.mirrors[..] else {
        panic!("one mirror")
    };
    assert_eq!(mirror.share.value, Share::from_percent(0.5));
    assert!(mirror.shadow_host);
}

#[test]
fn a_prefix_is_replaced_byte_by_byte() {
    let conf = "filters: [{type: URLRewrite, urlRewrite: {hostname: inner.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /v2}}}]";
    let built = with(&web(&rule("path: {type: PathPrefix, value: /api}", conf)));
    assert_eq!(built.problems, "");
    let rewrite = |path: &str| built.web(path).rewrite;
    assert!(matches!(rewrite("/api"), Some(PathRewrite::Full(to)) if *to == *"/v2"));
    // `/api/x` is `/v2x`: what is replaced has the slash
    assert!(matches!(rewrite("/api/x"), Some(PathRewrite::Prefix(to)) if *to == *"/v2"));
    assert!(rewrite("/apix").is_none());
    assert!(
        matches!(built.web("/api").host, Some(HostRewrite::Literal(host)) if *host == *"inner.example")
    );
    let conf = conf.replace(
        "type: ReplacePrefixMatch, replacePrefixMatch",
        "type: ReplaceFullPath, replaceFullPath",
    );
    let built = with(&web(&rule("path: {type: PathPrefix, value: /api}", &conf)));
    assert!(matches!(built.web("/api/x").rewrite, Some(PathRewrite::Full(to)) if *to == *"/v2"));
}

#[test]
fn redirects() {
    let redirect = |conf: &str, path: &str| -> Redirect {
        let conf = format!("filters: [{{type: RequestRedirect, requestRedirect: {{{conf}}}}}]");
        let built = with(&web(&rule("path: {type: PathPrefix, value: /old}", &conf)));
        assert_eq!(built.problems, "", "{conf}");
        let route = built.call("web", &get(path)).expect("a route");
        let RouteAction::Redirect(redirect) = route.action else {
            panic!("{:?}", route.action);
        };
        *redirect
    };
    let it = redirect("hostname: new.example", "/old");
    assert_eq!((it.status, it.host.as_deref()), (302, Some("new.example")));
    assert!(it.path.is_none());
    let it = redirect("scheme: https, port: 8443, statusCode: 308", "/old/x");
    assert_eq!(
        (it.status, it.scheme.as_deref(), it.port),
        (308, Some("https"), Some(8443))
    );
    let path = "path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}";
    assert!(matches!(redirect(path, "/old").path, Some(PathRedirect::Full(to)) if *to == *"/new"));
    assert!(
        matches!(redirect(path, "/old/x").path, Some(PathRedirect::Prefix(to)) if *to == *"/new")
    );
}

#[test]
fn connections_go_where_a_tcp_route_leads() {
    let spec = |service: &str| {
        format!(
            "to: [{{targetRef: {{kind: MeshService, name: {service}}}, rules: [{{default: {{backendRefs: [{{kind: MeshService, name: db_shop_svc_5432, weight: 3}}, {{kind: MeshService, name: mute_shop_svc_80}}]}}}}]}}]"
        )
    };
    let built = with(&policy("MeshTCPRoute", &spec("db_shop_svc_5432")));
    assert_eq!(built.problems, "");
    let listener = built.listener("api", built.address("db"));
    let weights: Vec<u32> = tcp_of(&listener.chains[0].action)
        .clusters
        .iter()
        .map(|it| it.1)
        .collect();
    assert_eq!(weights, [3, 1]);
    // of an HTTP port it makes bytes, unless there are rules for requests
    let text = policy("MeshTCPRoute", &spec("web_shop_svc_80"));
    let built = with(&text);
    let listener = built.listener("api", built.address("web"));
    assert_eq!(tcp_of(&listener.chains[0].action).clusters.len(), 2);
    let rules = web(&rule(
        "path: {type: PathPrefix, value: /}",
        &to("api_shop_svc_80"),
    ));
    let rules = rules.replace("name: custom", "name: rules");
    let built = with(&format!("{text}{rules}"));
    assert_eq!(first_of(&built, &get("/")), "api_shop_svc_80");
}

#[test]
fn destinations_that_people_write_are_reached_by_routes() {
    let objects = "---
apiVersion: kuma.io/v1alpha1
kind: MeshExternalService
metadata: {name: outside, namespace: kuma-system}
spec:
  match: {type: HostnameGenerator, port: 443, protocol: http}
  endpoints: [{address: 192.0.2.7, port: 8443}, {address: 192.0.2.8, port: 8443, priority: 1}]
---
apiVersion: kuma.io/v1alpha1
kind: MeshMultiZoneService
metadata: {name: all, namespace: kuma-system}
spec:
  selector: {meshService: {matchLabels: {k8s.kuma.io/namespace: far}}}
  ports: [{port: 80, appProtocol: http}]
---
apiVersion: kuma.io/v1alpha1
kind: MeshService
metadata: {name: older, namespace: kuma-system}
spec:
  selector: {dataplaneLabels: {matchLabels: {app: web, version: v1}}}
  ports: [{name: main, port: 80, targetPort: 8080, appProtocol: http}]
";
    let rules = [
        rule(
            "path: {type: PathPrefix, value: /out}",
            "backendRefs: [{kind: MeshExternalService, name: outside}]",
        ),
        rule(
            "path: {type: PathPrefix, value: /all}",
            "backendRefs: [{kind: MeshMultiZoneService, name: all, port: 80}]",
        ),
        rule(
            "path: {type: PathPrefix, value: /older}",
            "backendRefs: [{kind: MeshService, name: older, sectionName: main}]",
        ),
    ];
    let built = with(&format!("{objects}{}", web(&rules.join(", "))));
    // that nobody can dial them is told
    assert_eq!(built.codes(), ["kuma::not-modelled"; 3]);
    let cluster = |path: &str| {
        let name = built.shares(&built.web(path))[0].0.clone();
        built.cluster(&name)
    };
    let outside = cluster("/out/x");
    let at: Vec<String> = outside
        .endpoints
        .endpoints
        .iter()
        .map(|it| format!("{} {}", it.address, it.priority))
        .collect();
    assert_eq!(at, ["192.0.2.7:8443 0", "192.0.2.8:8443 1"]);
    assert!(matches!(
        built.web("/out").host,
        Some(HostRewrite::Endpoint)
    ));
    assert_eq!(cluster("/all").endpoints.endpoints.len(), 2);
    let older = cluster("/older");
    let ports: Vec<u16> = older
        .endpoints
        .endpoints
        .iter()
        .map(|it| it.address.port())
        .collect();
    assert_eq!(ports, [8080, 8080]);
}

#[test]
fn routes_that_kuma_refuses() {
    let rows = [
        rule("path: {type: PathPrefix, value: /a/}", ""),
        rule("path: {type: PathPrefix, value: a}", ""),
        rule("path: {type: Exact, value: a}", ""),
        rule("path: {type: RegularExpression, value: '('}", ""),
        rule("path: {value: /}", ""),
        rule("method: get", ""),
        rule("headers: [{name: x, type: Present, value: a}]", ""),
        rule(
            "queryParams: [{type: Exact, name: a, value: b}, {type: Exact, name: a, value: c}]",
            "",
        ),
        rule(
            "path: {type: Exact, value: /a}",
            "filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]",
        ),
        rule(
            "path: {type: Exact, value: /a}",
            "filters: [{type: RequestRedirect}]",
        ),
        rule(
            "path: {type: Exact, value: /a}",
            "filters: [{type: RequestRedirect, requestRedirect: {statusCode: 304}}]",
        ),
        rule("path: {type: Exact, value: /a}", "filters: [{type: Retry}]"),
        rule(
            "path: {type: Exact, value: /a}",
            "backendRefs: [{kind: Mesh, name: x}]",
        ),
        "{matches: []}".to_owned(),
        "{default: {}}".to_owned(),
    ];
    for row in rows {
        let built = with(&web(&row));
        assert!(
            built.problems.contains("error["),
            "{row}: {}",
            built.problems
        );
    }
}
