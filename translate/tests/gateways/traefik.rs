//! Traefik: what each part of a rule becomes, what is not written since Traefik does it anyway, and what it cannot say.

use compare::Area;

use super::rig::{ALL_TO_WEB, Made, at, gateway_api, ingress, istio};

fn of_gateway_api(rules: &str) -> Made {
    Made::of("traefik", &gateway_api(rules))
}

fn of_istio(rules: &str) -> Made {
    Made::of("traefik", &istio(rules, ""))
}

fn of_policy(policy: &str) -> Made {
    Made::of(
        "traefik",
        &istio("- route: [{destination: {host: web}}]", policy),
    )
}

/// The rules of the one IngressRoute, in their order.
fn rules(made: &Made) -> Vec<String> {
    let route = made.only("IngressRoute");
    let each = (0..).map_while(|nth| at(route, &format!("spec.routes.{nth}.match")));
    each.collect()
}

/// The settings of the one Middleware that has such.
fn middleware(made: &Made, kind: &str) -> Option<String> {
    let mut all = made.all_of("Middleware");
    all.find_map(|it| at(it, &format!("spec.{kind}")))
}

const TO_WEB: &str = "backendRefs: [{name: web, port: 80}]";

#[test]
fn a_rule_is_a_router_with_its_conditions() {
    let made = of_gateway_api(&format!(
        "
- matches:
  - path: {{type: Exact, value: /health}}
  - path: {{value: /cart}}
    method: POST
    headers: [{{name: x-user, value: jason}}]
    queryParams: [{{name: v, value: '2'}}]
  {TO_WEB}
"
    ));
    assert_eq!(
        rules(&made),
        [
            "Host(`shop.example.com`) && Path(`/health`)",
            "Host(`shop.example.com`) && (Path(`/cart`) || PathPrefix(`/cart/`)) && Method(`POST`) && Header(`x-user`, `jason`) && Query(`v`, `2`)",
        ]
    );
}

#[test]
fn priorities_are_written_only_where_lengths_would_order_rules_otherwise() {
    let longer_first = of_gateway_api(&format!(
        "
- {{matches: [{{path: {{value: /cart}}}}], {TO_WEB}}}
- {{matches: [{{path: {{value: /}}}}], {TO_WEB}}}
"
    ));
    assert_eq!(
        at(longer_first.only("IngressRoute"), "spec.routes.0.priority"),
        None
    );
    // whole paths come first in the Gateway API, however short
    let shorter_first = of_gateway_api(&format!(
        "
- {{matches: [{{path: {{value: /cart/and/more}}}}], {TO_WEB}}}
- {{matches: [{{path: {{type: Exact, value: /cart/and/more/x}}}}], {TO_WEB}}}
"
    ));
    assert_eq!(
        rules(&shorter_first)[0],
        "Host(`shop.example.com`) && Path(`/cart/and/more/x`)"
    );
    let route = shorter_first.only("IngressRoute");
    assert_eq!(at(route, "spec.routes.0.priority").as_deref(), Some("2"));
    assert_eq!(at(route, "spec.routes.1.priority").as_deref(), Some("1"));
}

#[test]
fn shares_are_weights_and_one_service_has_none() {
    let made = of_gateway_api(
        "- backendRefs: [{name: web, port: 80, weight: 9}, {name: cart, port: 8000, weight: 1}]",
    );
    let route = made.only("IngressRoute");
    assert_eq!(
        at(route, "spec.routes.0.services.0.weight").as_deref(),
        Some("9")
    );
    assert_eq!(
        at(route, "spec.routes.0.services.1.weight").as_deref(),
        Some("1")
    );
    let one = of_gateway_api(&format!("- {TO_WEB}"));
    assert_eq!(
        at(one.only("IngressRoute"), "spec.routes.0.services.0.weight"),
        None
    );
}

#[test]
fn a_subset_is_a_service_with_its_labels() {
    let made = of_istio("- route: [{destination: {host: reviews, subset: v1}}]");
    let service = made.service("reviews-v1");
    assert_eq!(
        at(service, "spec.selector").as_deref(),
        Some("{app: reviews, version: v1}")
    );
    let route = made.only("IngressRoute");
    assert_eq!(
        at(route, "spec.routes.0.services.0.name").as_deref(),
        Some("reviews-v1")
    );
}

#[test]
fn tries_are_attempts_and_without_tries_there_is_no_middleware() {
    let made = of_gateway_api(&format!(
        "- {{{TO_WEB}, retry: {{attempts: 2, codes: [503], backoff: 100ms}}}}"
    ));
    let retry = middleware(&made, "retry").expect("a retry");
    assert!(
        retry.starts_with("{attempts: 3, initialInterval: 100ms"),
        "{retry}"
    );
    assert!(retry.contains("status: [503]"), "{retry}");
    assert!(retry.contains("retryNonIdempotentMethod: true"), "{retry}");
    assert!(
        made.tells(Area::Retry, "connections that broke"),
        "{}",
        made.told()
    );
    let none = of_gateway_api(&format!("- {TO_WEB}"));
    assert_eq!(middleware(&none, "retry"), None);
}

#[test]
fn a_timeout_of_the_whole_is_lost_to_one_of_silence() {
    let made = of_gateway_api(&format!("- {{{TO_WEB}, timeouts: {{request: 2s}}}}"));
    let transport = made.only("ServersTransport");
    assert_eq!(
        at(transport, "spec.forwardingTimeouts.responseHeaderTimeout").as_deref(),
        Some("2s")
    );
    assert!(made.tells(Area::Timeout, "a request may take 2s in all"));
}

#[test]
fn the_time_to_connect_is_written_unless_it_is_traefiks() {
    let made = of_policy("trafficPolicy: {connectionPool: {tcp: {connectTimeout: 2s}}}");
    let transport = made.only("ServersTransport");
    assert_eq!(
        at(transport, "spec.forwardingTimeouts.dialTimeout").as_deref(),
        Some("2s")
    );
    let same = of_policy("trafficPolicy: {connectionPool: {tcp: {connectTimeout: 30s}}}");
    let dials = same.all_of("ServersTransport");
    let mut dials = dials.map(|it| at(it, "spec.forwardingTimeouts.dialTimeout"));
    assert!(dials.all(|it| it.is_none()), "{}", same.own());
}

#[test]
fn a_transport_says_how_many_idle_connections_are_kept() {
    let made = of_policy("trafficPolicy: {connectionPool: {tcp: {connectTimeout: 2s}}}");
    let kept = at(made.only("ServersTransport"), "spec.maxIdleConnsPerHost");
    assert_eq!(kept.as_deref(), Some("200"));
}

#[test]
fn a_prefix_is_stripped_or_replaced() {
    let rewrite = |to: &str| {
        of_gateway_api(&format!(
            "- matches: [{{path: {{value: /api}}}}]
  filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: {to}}}}}}}]
  {TO_WEB}"
        ))
    };
    let stripped = rewrite("/");
    assert_eq!(
        middleware(&stripped, "stripPrefix").as_deref(),
        Some("{prefixes: [/api]}")
    );
    let replaced = rewrite("/v2");
    assert_eq!(
        middleware(&replaced, "replacePathRegex").as_deref(),
        Some("{regex: ^/api, replacement: /v2}")
    );
    assert!(replaced.tells(Area::Headers, "servers are told nothing of a changed path"));
}

#[test]
fn redirects_are_of_the_scheme_or_of_the_whole_url() {
    let redirect = |to: &str| {
        of_gateway_api(&format!(
            "- filters: [{{type: RequestRedirect, requestRedirect: {to}}}]"
        ))
    };
    let https = redirect("{scheme: https, statusCode: 301}");
    assert_eq!(
        middleware(&https, "redirectScheme").as_deref(),
        Some("{scheme: https, permanent: true}")
    );
    assert!(https.tells(Area::Redirect, "every request is redirected with 301"));
    let host = redirect("{hostname: www.example.com, statusCode: 302}");
    let regex = middleware(&host, "redirectRegex").expect("by a pattern");
    assert!(
        regex.contains("replacement: http://www.example.com${4}${5}"),
        "{regex}"
    );
}

#[test]
fn headers_are_set_and_taken_away_and_values_are_not_added() {
    let made = of_gateway_api(&format!(
        "- filters:
  - type: RequestHeaderModifier
    requestHeaderModifier:
      set: [{{name: X-Shop, value: a}}]
      add: [{{name: X-Seen, value: b}}]
      remove: [X-Secret]
  {TO_WEB}"
    ));
    let headers = middleware(&made, "headers").expect("headers");
    assert!(headers.contains("X-Shop: a"), "{headers}");
    assert!(
        headers.contains("X-Secret: }") || headers.contains("X-Secret: ,"),
        "{headers}"
    );
    assert!(made.tells(Area::Headers, "a value of `x-seen`"));
}

#[test]
fn copies_are_a_mirroring_service() {
    let made = of_istio(
        "- route: [{destination: {host: web}}]
  mirror: {host: cart}
  mirrorPercentage: {value: 5}",
    );
    let service = made.only("TraefikService");
    assert_eq!(at(service, "spec.mirroring.name").as_deref(), Some("web"));
    assert_eq!(
        at(service, "spec.mirroring.mirrors.0.name").as_deref(),
        Some("cart")
    );
    assert_eq!(
        at(service, "spec.mirroring.mirrors.0.percent").as_deref(),
        Some("5")
    );
    let route = made.only("IngressRoute");
    assert_eq!(
        at(route, "spec.routes.0.services").as_deref(),
        Some("[{name: web-mirrored, kind: TraefikService}]")
    );
}

#[test]
fn ejection_is_a_passive_check() {
    let made = of_policy(
        "trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3, baseEjectionTime: 20s}}",
    );
    let check = at(
        made.only("IngressRoute"),
        "spec.routes.0.services.0.passiveHealthCheck",
    );
    assert_eq!(
        check.as_deref(),
        Some("{failureWindow: 20s, maxFailedAttempts: 3}")
    );
    assert!(made.tells(Area::Ejection, "outlier ejection"));
}

#[test]
fn balancers_are_the_nearest_of_traefiks() {
    let strategy = |simple: &str| {
        let made = of_policy(&format!(
            "trafficPolicy: {{loadBalancer: {{simple: {simple}}}}}"
        ));
        at(
            made.only("IngressRoute"),
            "spec.routes.0.services.0.strategy",
        )
    };
    assert_eq!(strategy("LEAST_REQUEST").as_deref(), Some("p2c"));
    assert_eq!(strategy("ROUND_ROBIN"), None);
}

#[test]
fn traefiks_own_middlewares_come_back_as_they_were() {
    let text = format!(
        "{}---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {{name: rate, namespace: shop}}
spec: {{rateLimit: {{average: 100, period: 1m, burst: 20}}}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {{name: busy, namespace: shop}}
spec: {{inFlightReq: {{amount: 10}}}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {{name: breaker, namespace: shop}}
spec: {{circuitBreaker: {{expression: NetworkErrorRatio() > 0.3, fallbackDuration: 30s}}}}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {{name: shop, namespace: shop}}
spec:
  entryPoints: [web]
  routes:
  - match: Host(`shop.example.com`)
    middlewares: [{{name: rate}}, {{name: busy}}, {{name: breaker}}]
    services: [{{name: web, port: 80}}]
",
        super::rig::APP
    );
    let made = Made::of("traefik", &text);
    let limit = Some("{average: 100, period: 60s, burst: 20}");
    assert_eq!(middleware(&made, "rateLimit").as_deref(), limit);
    assert_eq!(
        middleware(&made, "inFlightReq").as_deref(),
        Some("{amount: 10}")
    );
    let breaker = "{expression: NetworkErrorRatio() > 0.3, fallbackDuration: 30s}";
    assert_eq!(
        middleware(&made, "circuitBreaker").as_deref(),
        Some(breaker)
    );
    assert!(made.lost(Area::Limit).is_empty(), "{}", made.told());
    assert!(made.lost(Area::Balance).is_empty(), "{}", made.told());
}

#[test]
fn nginxs_limits_are_buckets_that_refill() {
    let text = ingress(
        "nginx",
        "{nginx.ingress.kubernetes.io/limit-rps: '10'}",
        ALL_TO_WEB,
    );
    let made = Made::of("traefik", &text);
    let limit = middleware(&made, "rateLimit").expect("a limit");
    assert!(limit.starts_with("{average: 10, burst: 51"), "{limit}");
    assert!(made.tells(Area::Limit, "a leaky bucket"));
    assert!(made.tells(Area::Limit, "a rate limit refuses with 503"));
}

#[test]
fn an_answer_of_the_gateways_own_is_a_refusal_of_everybody() {
    let made = of_istio("- directResponse: {status: 503, body: {string: later}}");
    let list = middleware(&made, "ipAllowList").expect("a list");
    assert_eq!(
        list,
        "{sourceRange: [255.255.255.255/32], rejectStatusCode: 503}"
    );
    assert!(made.tells(Area::Answer, "the text of an answer 503"));
}

#[test]
fn a_session_is_a_cookie() {
    let made = of_gateway_api(&format!(
        "- {{{TO_WEB}, sessionPersistence: {{sessionName: basket, type: Cookie}}}}"
    ));
    let sticky = at(made.only("IngressRoute"), "spec.routes.0.services.0.sticky");
    assert_eq!(sticky.as_deref(), Some("{cookie: {name: basket}}"));
}

#[test]
fn what_no_matcher_says_leaves_the_rule_out() {
    let made = of_istio(
        "- match: [{uri: {prefix: /}, headers: {x-a: {exact: b}}}]
  fault: {abort: {percentage: {value: 100}, httpStatus: 500}}
  route: [{destination: {host: web}}]",
    );
    assert!(
        made.tells(Area::Fault, "injected failures"),
        "{}",
        made.told()
    );
}
