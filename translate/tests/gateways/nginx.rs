//! ingress-nginx: what each part of a rule becomes, what is not written since NGINX does it anyway, and what it cannot say.

use compare::Area;
use translate::Object;

use super::rig::{ALL_TO_WEB, Made, annotations, at, gateway_api, ingress, istio};

const PREFIX: &str = "nginx.ingress.kubernetes.io/";
const TO_WEB: &str = "backendRefs: [{name: web, port: 80}]";

fn of_gateway_api(rules: &str) -> Made {
    Made::of("nginx", &gateway_api(rules))
}

fn of_istio(rules: &str) -> Made {
    Made::of("nginx", &istio(rules, ""))
}

fn of_policy(policy: &str) -> Made {
    Made::of(
        "nginx",
        &istio("- route: [{destination: {host: web}}]", policy),
    )
}

fn note(object: &Object, name: &str) -> Option<String> {
    object.annotations.get(&format!("{PREFIX}{name}")).cloned()
}

fn paths(ingress: &Object) -> Vec<String> {
    let each = (0..).map_while(|nth| {
        let path = at(ingress, &format!("spec.rules.0.http.paths.{nth}.path"))?;
        let kind = at(ingress, &format!("spec.rules.0.http.paths.{nth}.pathType"))?;
        Some(format!("{kind} {path}"))
    });
    each.collect()
}

fn canary(made: &Made) -> &Object {
    let mut all = made.all_of("Ingress");
    all.find(|it| note(it, "canary").is_some())
        .expect("a canary")
}

#[test]
fn paths_are_whole_or_by_segments() {
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
fn one_regular_expression_makes_patterns_of_all_paths_of_its_host() {
    let made = of_gateway_api(&format!(
        "
- matches:
  - path: {{type: RegularExpression, value: '/v[0-9]+/.*'}}
  - path: {{value: /cart}}
  - path: {{value: /}}
  {TO_WEB}
"
    ));
    let ingress = made.only("Ingress");
    assert_eq!(
        paths(ingress),
        [
            "ImplementationSpecific /v[0-9]+/.*$",
            "ImplementationSpecific /cart(/|$)",
            "Prefix /"
        ]
    );
    assert_eq!(note(ingress, "use-regex").as_deref(), Some("true"));
    assert!(made.tells(Area::Destination, "the case of paths counts"));
}

#[test]
fn a_prefix_is_replaced_with_groups() {
    let rewrite = |to: &str| {
        of_gateway_api(&format!(
            "- matches: [{{path: {{value: /api}}}}]
  filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: {to}}}}}}}]
  {TO_WEB}"
        ))
    };
    let stripped = rewrite("/");
    let ingress = stripped.only("Ingress");
    assert_eq!(paths(ingress), ["ImplementationSpecific /api(/|$)(.*)"]);
    assert_eq!(note(ingress, "rewrite-target").as_deref(), Some("/$2"));
    let moved = rewrite("/v2");
    let ingress = moved.only("Ingress");
    assert_eq!(paths(ingress), ["ImplementationSpecific /api(/.*|$)"]);
    assert_eq!(note(ingress, "rewrite-target").as_deref(), Some("/v2$1"));
}

#[test]
fn tries_are_written_unless_they_are_nginxs_three() {
    let none = of_gateway_api(&format!("- {TO_WEB}"));
    let ingress = none.only("Ingress");
    assert_eq!(note(ingress, "proxy-next-upstream").as_deref(), Some("off"));
    assert_eq!(note(ingress, "proxy-next-upstream-tries"), None);
    let one = of_gateway_api(&format!(
        "- {{{TO_WEB}, retry: {{attempts: 1, codes: [503]}}}}"
    ));
    let ingress = one.only("Ingress");
    assert_eq!(
        note(ingress, "proxy-next-upstream").as_deref(),
        Some("error timeout http_503 non_idempotent")
    );
    assert_eq!(
        note(ingress, "proxy-next-upstream-tries").as_deref(),
        Some("2")
    );
    let own = Made::of("nginx", &self::ingress("nginx", "{}", ALL_TO_WEB));
    assert_eq!(annotations(own.only("Ingress"), PREFIX), [""; 0]);
}

#[test]
fn times_are_whole_seconds_and_written_unless_they_are_nginxs() {
    let made = of_gateway_api(&format!("- {{{TO_WEB}, timeouts: {{request: 1500ms}}}}"));
    let ingress = made.only("Ingress");
    assert_eq!(note(ingress, "proxy-read-timeout").as_deref(), Some("2"));
    assert_eq!(note(ingress, "proxy-connect-timeout"), None);
    assert!(made.tells(Area::Timeout, "a request may take 1500ms in all"));
    let connect = of_policy("trafficPolicy: {connectionPool: {tcp: {connectTimeout: 2s}}}");
    assert_eq!(
        note(connect.only("Ingress"), "proxy-connect-timeout").as_deref(),
        Some("2")
    );
}

#[test]
fn bodies_are_of_any_length_unless_it_is_said() {
    let any = of_gateway_api(&format!("- {TO_WEB}"));
    assert_eq!(
        note(any.only("Ingress"), "proxy-body-size").as_deref(),
        Some("0")
    );
    let text = ingress(
        "nginx",
        "{nginx.ingress.kubernetes.io/proxy-body-size: 8m}",
        ALL_TO_WEB,
    );
    let some = Made::of("nginx", &text);
    assert_eq!(
        note(some.only("Ingress"), "proxy-body-size").as_deref(),
        Some("8m")
    );
}

#[test]
fn a_share_is_a_canary_with_a_weight() {
    let made = of_gateway_api(
        "- backendRefs: [{name: web, port: 80, weight: 9}, {name: cart, port: 8000, weight: 1}]",
    );
    let canary = canary(&made);
    assert_eq!(
        annotations(canary, PREFIX),
        ["canary=true", "canary-weight=10"]
    );
    let name = at(canary, "spec.rules.0.http.paths.0.backend.service.name");
    assert_eq!(name.as_deref(), Some("cart"));
    assert!(made.lost(Area::Destination).is_empty(), "{}", made.told());
}

#[test]
fn a_third_share_is_lost() {
    let made = of_gateway_api(
        "- backendRefs: [{name: web, port: 80, weight: 8}, {name: cart, port: 8000, weight: 1}, {name: reviews, port: 9080, weight: 1}]",
    );
    assert!(made.tells(
        Area::Destination,
        "a share of the requests goes to shop/reviews"
    ));
}

#[test]
fn a_rule_for_a_header_is_a_canary_of_its_path() {
    let made = of_gateway_api(&format!(
        "
- {{matches: [{{headers: [{{name: x-user, value: jason}}]}}], backendRefs: [{{name: reviews, port: 9080}}]}}
- {TO_WEB}
"
    ));
    assert_eq!(
        annotations(canary(&made), PREFIX),
        [
            "canary=true",
            "canary-by-header=x-user",
            "canary-by-header-value=jason"
        ]
    );
}

#[test]
fn what_no_canary_asks_for_leaves_the_rule_out() {
    let made = of_gateway_api(&format!(
        "
- {{matches: [{{method: POST}}], backendRefs: [{{name: cart, port: 8000}}]}}
- {{matches: [{{headers: [{{name: a, value: b}}, {{name: c, value: d}}]}}], backendRefs: [{{name: cart, port: 8000}}]}}
- {TO_WEB}
"
    ));
    assert!(
        made.tells(Area::Destination, "a rule for methods"),
        "{}",
        made.told()
    );
    assert!(
        made.tells(Area::Destination, "a rule for the header `a`"),
        "{}",
        made.told()
    );
    assert_eq!(made.all_of("Ingress").count(), 1);
}

#[test]
fn balancers_are_turns_or_the_quicker_of_two() {
    let balance = |simple: &str| {
        let made = of_policy(&format!(
            "trafficPolicy: {{loadBalancer: {{simple: {simple}}}}}"
        ));
        note(made.only("Ingress"), "load-balance")
    };
    assert_eq!(balance("ROUND_ROBIN"), None);
    assert_eq!(balance("LEAST_REQUEST").as_deref(), Some("ewma"));
}

#[test]
fn a_hash_is_of_variables() {
    let made =
        of_policy("trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user-id}}}");
    assert_eq!(
        note(made.only("Ingress"), "upstream-hash-by").as_deref(),
        Some("$http_x_user_id")
    );
}

#[test]
fn a_session_is_affinity() {
    let made = of_gateway_api(&format!(
        "- {{{TO_WEB}, sessionPersistence: {{sessionName: basket, type: Cookie}}}}"
    ));
    let ingress = made.only("Ingress");
    assert_eq!(note(ingress, "affinity").as_deref(), Some("cookie"));
    assert_eq!(
        note(ingress, "session-cookie-name").as_deref(),
        Some("basket")
    );
}

#[test]
fn copies_go_to_a_services_address() {
    let made = of_istio(
        "- route: [{destination: {host: web}}]
  mirror: {host: cart, port: {number: 8000}}
  mirrorPercentage: {value: 5}",
    );
    assert_eq!(
        note(made.only("Ingress"), "mirror-target").as_deref(),
        Some("http://cart.shop.svc.cluster.local:8000$request_uri")
    );
    assert!(made.tells(Area::Mirror, "copies of 5 % of the requests"));
}

#[test]
fn nginxs_own_limits_come_back_as_they_were() {
    let notes = "{nginx.ingress.kubernetes.io/limit-rps: '10', nginx.ingress.kubernetes.io/limit-rpm: '90', nginx.ingress.kubernetes.io/limit-connections: '5', nginx.ingress.kubernetes.io/limit-burst-multiplier: '3', nginx.ingress.kubernetes.io/limit-whitelist: 10.0.0.0/8}";
    let made = Made::of("nginx", &ingress("nginx", notes, ALL_TO_WEB));
    assert_eq!(
        annotations(made.only("Ingress"), PREFIX),
        [
            "limit-burst-multiplier=3",
            "limit-connections=5",
            "limit-rpm=90",
            "limit-rps=10",
            "limit-whitelist=10.0.0.0/8"
        ]
    );
    assert!(made.lost(Area::Limit).is_empty(), "{}", made.told());
}

#[test]
fn other_limits_are_lost_to_nginxs() {
    let text = format!(
        "{}---
apiVersion: configuration.konghq.com/v1
kind: KongPlugin
metadata: {{name: limit, namespace: shop}}
plugin: rate-limiting
config: {{minute: 30, limit_by: ip, policy: local}}
",
        ingress("kong", "{konghq.com/plugins: limit}", ALL_TO_WEB)
    );
    let made = Made::of("nginx", &text);
    let ingress = made.only("Ingress");
    assert_eq!(note(ingress, "limit-rpm").as_deref(), Some("30"));
    assert_eq!(
        note(ingress, "limit-burst-multiplier").as_deref(),
        Some("1")
    );
    assert!(made.tells(Area::Limit, "windows of the clock"));
    assert!(made.tells(Area::Limit, "a rate limit refuses with 429"));
}

#[test]
fn ejection_and_probes_are_lost() {
    let made = of_policy("trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}");
    assert!(made.tells(Area::Ejection, "failing endpoints are taken out"));
}

#[test]
fn edits_of_headers_are_lost() {
    let made = of_gateway_api(&format!(
        "- filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: X-Shop, value: a}}]}}}}]
  {TO_WEB}"
    ));
    assert!(
        made.tells(Area::Headers, "edits of headers"),
        "{}",
        made.told()
    );
}

#[test]
fn redirects_lead_to_one_address() {
    let made = of_gateway_api(
        "- filters: [{type: RequestRedirect, requestRedirect: {hostname: www.example.com, path: {type: ReplaceFullPath, replaceFullPath: /new}, statusCode: 301}}]",
    );
    let ingress = made.only("Ingress");
    assert_eq!(
        note(ingress, "permanent-redirect").as_deref(),
        Some("http://www.example.com/new")
    );
    assert!(
        made.tells(Area::Redirect, "path and query"),
        "{}",
        made.told()
    );
}

#[test]
fn an_answer_of_the_gateways_own_is_a_refusal() {
    let made = of_istio("- directResponse: {status: 503}");
    assert_eq!(
        note(made.only("Ingress"), "denylist-source-range").as_deref(),
        Some("0.0.0.0/0,::/0")
    );
    assert!(made.tells(Area::Answer, "requests are answered with 503"));
}
