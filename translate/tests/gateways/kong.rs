//! Kong: what each part of a rule becomes, what is not written since Kong does it anyway, and what it cannot say.

use compare::Area;
use translate::Object;

use super::rig::{ALL_TO_WEB, Made, annotations, at, gateway_api, ingress, istio};

const PREFIX: &str = "konghq.com/";
const TO_WEB: &str = "backendRefs: [{name: web, port: 80}]";

fn of_gateway_api(rules: &str) -> Made {
    Made::of("kong", &gateway_api(rules))
}

fn of_istio(rules: &str) -> Made {
    Made::of("kong", &istio(rules, ""))
}

fn of_policy(policy: &str) -> Made {
    Made::of(
        "kong",
        &istio("- route: [{destination: {host: web}}]", policy),
    )
}

/// The annotation of a Service.
fn of_service(made: &Made, name: &str, key: &str) -> Option<String> {
    made.service(name)
        .annotations
        .get(&format!("{PREFIX}{key}"))
        .cloned()
}

/// Paths and their types.
fn paths(ingress: &Object) -> Vec<String> {
    let each = (0..).map_while(|nth| {
        let path = at(ingress, &format!("spec.rules.0.http.paths.{nth}.path"))?;
        let kind = at(ingress, &format!("spec.rules.0.http.paths.{nth}.pathType"))?;
        Some(format!("{kind} {path}"))
    });
    each.collect()
}

fn plugin(made: &Made, kind: &str) -> Option<String> {
    let mut all = made.all_of("KongPlugin");
    let found = all.find(|it| at(it, "plugin").as_deref() == Some(kind))?;
    at(found, "config")
}

#[test]
fn paths_have_the_type_that_takes_the_same() {
    let made = of_gateway_api(&format!(
        "
- matches:
  - path: {{type: Exact, value: /health}}
  - path: {{value: /cart}}
  - path: {{value: /}}
  {TO_WEB}
"
    ));
    assert_eq!(
        paths(made.only("Ingress")),
        ["Exact /health", "Prefix /cart", "Prefix /"]
    );
}

#[test]
fn what_a_regular_expression_would_read_otherwise_is_written_as_one() {
    let made = of_gateway_api(&format!(
        "
- matches:
  - path: {{type: Exact, value: /a.txt}}
  - path: {{type: RegularExpression, value: '/v[0-9]+/.*'}}
  {TO_WEB}
"
    ));
    let ingress = made.all_of("Ingress").next().expect("one");
    let own = paths(ingress);
    assert!(own.iter().any(|it| it.contains(r"/~/a\.txt$")), "{own:?}");
    let all: Vec<String> = made.all_of("Ingress").flat_map(paths).collect();
    assert!(
        all.iter().any(|it| it.contains("/~/v[0-9]+/.*$")),
        "{all:?}"
    );
}

#[test]
fn methods_and_headers_are_annotations() {
    let made = of_gateway_api(&format!(
        "- {{matches: [{{method: GET, headers: [{{name: x-user, value: jason}}]}}], {TO_WEB}}}"
    ));
    let notes = annotations(made.only("Ingress"), PREFIX);
    assert_eq!(notes, ["headers.x-user=jason", "methods=GET"]);
    assert!(made.tells(Area::Destination, "the case of `x-user`"));
}

#[test]
fn a_rule_for_a_parameter_is_left_out() {
    let made = of_gateway_api(&format!(
        "
- {{matches: [{{queryParams: [{{name: v, value: '2'}}]}}], backendRefs: [{{name: cart, port: 8000}}]}}
- {TO_WEB}
"
    ));
    assert!(
        made.tells(Area::Destination, "the condition on `?v=`"),
        "{}",
        made.told()
    );
    assert_eq!(paths(made.only("Ingress")).len(), 1);
}

#[test]
fn priorities_are_written_only_where_kongs_order_is_another() {
    let natural = of_gateway_api(&format!(
        "
- {{matches: [{{path: {{value: /cart}}}}], {TO_WEB}}}
- {{matches: [{{path: {{value: /}}}}], {TO_WEB}}}
"
    ));
    let notes = annotations(natural.only("Ingress"), PREFIX);
    assert!(notes.is_empty(), "{notes:?}");
    // Kong asks regular expressions before any start of a path
    let made = of_istio(
        "
- match: [{uri: {prefix: /cart/}}]
  route: [{destination: {host: cart}}]
- match: [{uri: {regex: '/[a-z/]+'}}]
  route: [{destination: {host: web}}]
",
    );
    let priorities: Vec<String> = made
        .all_of("Ingress")
        .flat_map(|it| annotations(it, PREFIX))
        .filter(|it| it.starts_with("regex-priority"))
        .collect();
    assert_eq!(priorities, ["regex-priority=2", "regex-priority=1"]);
    assert!(
        !made.tells(Area::Destination, "is asked before"),
        "{}",
        made.told()
    );
}

#[test]
fn an_order_that_kong_cannot_have_is_told() {
    let made = of_gateway_api(&format!(
        "
- {{matches: [{{path: {{value: /cart}}}}], backendRefs: [{{name: cart, port: 8000}}]}}
- {{matches: [{{headers: [{{name: x-user, value: jason}}]}}], {TO_WEB}}}
"
    ));
    assert!(
        made.tells(Area::Destination, "is asked before"),
        "{}",
        made.told()
    );
}

#[test]
fn tries_are_written_unless_they_are_kongs_five() {
    let none = of_gateway_api(&format!("- {TO_WEB}"));
    assert_eq!(of_service(&none, "web", "retries").as_deref(), Some("0"));
    let two = of_gateway_api(&format!(
        "- {{{TO_WEB}, retry: {{attempts: 2, codes: [503]}}}}"
    ));
    assert_eq!(of_service(&two, "web", "retries").as_deref(), Some("2"));
    assert!(two.tells(Area::Retry, "answers 503"), "{}", two.told());
    let five = Made::of("kong", &ingress("kong", "{}", ALL_TO_WEB));
    assert_eq!(of_service(&five, "web", "retries"), None);
}

#[test]
fn times_are_written_unless_they_are_kongs_minute() {
    let made = of_gateway_api(&format!("- {{{TO_WEB}, timeouts: {{request: 1500ms}}}}"));
    assert_eq!(
        of_service(&made, "web", "read-timeout").as_deref(),
        Some("1500")
    );
    assert_eq!(
        of_service(&made, "web", "connect-timeout").as_deref(),
        Some("5000")
    );
    assert!(made.tells(Area::Timeout, "a request may take 1500ms in all"));
    let own = Made::of("kong", &ingress("kong", "{}", ALL_TO_WEB));
    assert_eq!(annotations(own.service("web"), PREFIX), [""; 0]);
    assert!(own.lost(Area::Timeout).is_empty(), "{}", own.told());
    let unbounded = of_gateway_api(&format!("- {TO_WEB}"));
    assert_eq!(
        of_service(&unbounded, "web", "read-timeout").as_deref(),
        Some("86400000")
    );
    assert!(unbounded.tells(Area::Retry, "silence of servers is not bounded"));
}

#[test]
fn two_rules_to_one_service_cannot_differ_in_how_it_is_called() {
    let made = of_gateway_api(&format!(
        "
- {{matches: [{{path: {{value: /a}}}}], {TO_WEB}, timeouts: {{request: 1s}}}}
- {{{TO_WEB}, timeouts: {{request: 5s}}}}
"
    ));
    assert_eq!(
        of_service(&made, "web", "read-timeout").as_deref(),
        Some("1000")
    );
    assert!(made.tells(
        Area::Timeout,
        "`read-timeout` of the rules to shop/web differs"
    ));
}

#[test]
fn a_prefix_is_stripped_or_written_anew() {
    let rewrite = |to: &str| {
        of_gateway_api(&format!(
            "- matches: [{{path: {{value: /api}}}}]
  filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: {to}}}}}}}]
  {TO_WEB}"
        ))
    };
    let stripped = rewrite("/");
    assert_eq!(
        annotations(stripped.only("Ingress"), PREFIX),
        ["strip-path=true"]
    );
    let anew = rewrite("/v2");
    assert_eq!(annotations(anew.only("Ingress"), PREFIX), ["rewrite=/v2$1"]);
    assert_eq!(
        paths(anew.only("Ingress")),
        ["ImplementationSpecific /~/api(/.*|$)"]
    );
}

#[test]
fn another_host_stands_at_the_service() {
    let made = of_istio(
        "- {rewrite: {authority: internal.example.com}, route: [{destination: {host: web}}]}",
    );
    assert_eq!(
        annotations(made.only("Ingress"), PREFIX),
        ["preserve-host=false"]
    );
    assert_eq!(
        of_service(&made, "web", "host-header").as_deref(),
        Some("internal.example.com")
    );
}

#[test]
fn shares_are_lost_to_the_largest() {
    let made = of_gateway_api(
        "- backendRefs: [{name: cart, port: 8000, weight: 1}, {name: web, port: 80, weight: 9}]",
    );
    let ingress = made.only("Ingress");
    let name = at(ingress, "spec.rules.0.http.paths.0.backend.service.name");
    assert_eq!(name.as_deref(), Some("web"));
    assert!(made.tells(Area::Destination, "10 % of the requests go to shop/cart"));
}

#[test]
fn balancers_and_checks_are_an_upstream_policy() {
    let made = of_policy(
        "trafficPolicy:
  loadBalancer: {simple: LEAST_REQUEST}
  outlierDetection: {consecutive5xxErrors: 3, baseEjectionTime: 20s}",
    );
    let policy = made.only("KongUpstreamPolicy");
    assert_eq!(
        at(policy, "spec.algorithm").as_deref(),
        Some("least-connections")
    );
    assert_eq!(
        at(policy, "spec.healthchecks.passive.unhealthy.httpFailures").as_deref(),
        Some("3")
    );
    assert_eq!(
        at(policy, "spec.healthchecks.active.type").as_deref(),
        Some("tcp")
    );
    assert_eq!(
        at(policy, "spec.healthchecks.active.unhealthy.interval").as_deref(),
        Some("20")
    );
    assert_eq!(
        of_service(&made, "web", "upstream-policy").as_deref(),
        Some("web")
    );
    assert!(made.tells(Area::Ejection, "how failing endpoints are taken out"));
    assert!(made.tells(Area::Balance, "the less busy of a few"));
}

#[test]
fn turns_need_no_policy() {
    let made = of_policy("trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}");
    assert_eq!(
        made.all_of("KongUpstreamPolicy").count(),
        0,
        "{}",
        made.own()
    );
}

#[test]
fn a_hash_is_of_one_thing() {
    let made =
        of_policy("trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}");
    let policy = made.only("KongUpstreamPolicy");
    assert_eq!(
        at(policy, "spec.algorithm").as_deref(),
        Some("consistent-hashing")
    );
    assert_eq!(
        at(policy, "spec.hashOn").as_deref(),
        Some("{header: x-user}")
    );
}

#[test]
fn kongs_own_limits_come_back_as_they_were() {
    let text = format!(
        "{}---
apiVersion: configuration.konghq.com/v1
kind: KongPlugin
metadata: {{name: limit, namespace: shop}}
plugin: rate-limiting
config: {{minute: 30, hour: 500, limit_by: header, header_name: x-user, policy: local}}
",
        ingress("kong", "{konghq.com/plugins: limit}", ALL_TO_WEB)
    );
    let made = Made::of("kong", &text);
    assert_eq!(
        plugin(&made, "rate-limiting").as_deref(),
        Some("{minute: 30, hour: 500, limit_by: header, header_name: x-user, policy: local}")
    );
    assert!(made.lost(Area::Limit).is_empty(), "{}", made.told());
}

#[test]
fn other_limits_are_windows_of_the_clock() {
    let text = ingress(
        "nginx",
        "{nginx.ingress.kubernetes.io/limit-rps: '10', nginx.ingress.kubernetes.io/limit-connections: '5'}",
        ALL_TO_WEB,
    );
    let made = Made::of("kong", &text);
    let limit = plugin(&made, "rate-limiting").expect("a limit");
    assert!(limit.starts_with("{second: 10, limit_by: ip"), "{limit}");
    assert!(limit.contains("error_code: 503"), "{limit}");
    assert!(made.tells(Area::Limit, "a leaky bucket"));
    assert!(made.tells(Area::Limit, "a limit of requests under way"));
}

#[test]
fn an_answer_is_a_termination() {
    let made = of_istio("- directResponse: {status: 503, body: {string: later}}");
    let config = plugin(&made, "request-termination").expect("a termination");
    assert!(
        config.contains("status_code: 503") && config.contains("body: later"),
        "{config}"
    );
    assert_eq!(
        annotations(made.only("Ingress"), PREFIX),
        ["plugins=request-termination"]
    );
}

#[test]
fn edits_and_redirects_are_plugins_that_are_not_compared() {
    let made = of_gateway_api(&format!(
        "
- matches: [{{path: {{value: /a}}}}]
  filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: X-Shop, value: a}}]}}}}]
  {TO_WEB}
- filters: [{{type: RequestRedirect, requestRedirect: {{hostname: www.example.com, statusCode: 302}}}}]
"
    ));
    let edits = plugin(&made, "request-transformer").expect("edits");
    assert_eq!(
        edits,
        "{replace: {headers: [x-shop:a]}, add: {headers: [x-shop:a]}}"
    );
    let redirect = plugin(&made, "redirect").expect("a redirect");
    assert_eq!(
        redirect,
        "{location: http://www.example.com, status_code: 302, keep_incoming_path: true}"
    );
    assert!(made.tells(Area::Headers, "edits of requests"));
    assert!(made.tells(Area::Redirect, "a redirect"));
}

#[test]
fn a_redirect_to_tls_is_a_protocol() {
    let text = format!(
        "{}---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: tls, namespace: shop}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: 80, name: http, protocol: HTTP}}
    hosts: [tls.example.com]
    tls: {{httpsRedirect: true}}
  - port: {{number: 443, name: https, protocol: HTTPS}}
    hosts: [tls.example.com]
    tls: {{mode: SIMPLE, credentialName: tls}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: tls, namespace: shop}}
spec:
  hosts: [tls.example.com]
  gateways: [tls]
  http: [{{route: [{{destination: {{host: web}}}}]}}]
",
        super::rig::APP
    );
    let made = Made::of("kong", &text);
    assert_eq!(
        annotations(made.only("Ingress"), PREFIX),
        ["https-redirect-status-code=301", "protocols=https"]
    );
}

#[test]
fn a_gateway_without_tls_is_served_over_it_which_is_told() {
    let made = of_gateway_api(&format!("- {TO_WEB}"));
    assert!(made.tells(Area::Connection, "nothing is served over TLS"));
}
