//! Lints over dialects that know nothing of them; `docs/lints.md` has an example of each, which the command line's tests read.

use std::collections::BTreeSet;

use manifests::diagnostics::Diagnostics;
use manifests::lints::{self, Usage};
use manifests::load::{Layer, load};
use manifests::model::{Input, Model};
use manifests::origins::Origins;
use manifests::text::Sources;

/// What lints say of these, each a layer over the one before it: code and message.
fn found(layers: &[&str]) -> Vec<(&'static str, String)> {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let mut origins = Origins::default();
    let layers: Vec<Layer> = layers
        .iter()
        .enumerate()
        .map(|(at, text)| Layer::text(format!("{at}.yaml"), *text))
        .collect();
    let input = Input {
        objects: load(&layers, &mut sources, &mut problems),
        ..Input::default()
    };
    let model = Model::build(input, &mut origins, &mut problems).expect("its mesh is known");
    assert!(!problems.has_errors(), "{}", problems.to_lines(&sources));
    lints::run(&model, &origins, &Usage::default(), &mut problems);
    let all = problems.sorted();
    let of_lints = all.iter().filter(|each| lints::named(each.code).is_some());
    of_lints
        .map(|each| (each.code, each.message.clone()))
        .collect()
}

fn codes(layers: &[&str]) -> BTreeSet<&'static str> {
    found(layers).into_iter().map(|(code, _)| code).collect()
}

fn app(name: &str, replicas: u32, notes: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: app, image: app, ports: [{{containerPort: 8080}}]}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop, annotations: {{{notes}}}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
"
    )
}

const LINKERD: &str = "apiVersion: v1
kind: Namespace
metadata: {name: shop, annotations: {linkerd.io/inject: enabled}}
";

#[test]
fn linkerds_annotations_are_looked_at_like_any_policy() {
    let retries = "retry.linkerd.io/http: 5xx, retry.linkerd.io/limit: \"2\"";
    let accrual = "balancer.linkerd.io/failure-accrual: consecutive";
    let others = app("stock", 2, "") + &app("mail", 2, "") + &app("payments", 2, "");
    for (name, orders, expected) in [
        ("nothing", app("orders", 2, ""), &[][..]),
        (
            "retries",
            app("orders", 2, retries),
            &["retry::non-idempotent"],
        ),
        ("accrual", app("orders", 2, accrual), &[]),
        (
            "accrual of one",
            app("orders", 1, accrual),
            &["outlier::only-endpoint"],
        ),
    ] {
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        assert_eq!(codes(&[LINKERD, &(orders + &others)]), expected, "{name}");
    }
}

const GATEWAY: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
";

fn route(name: &str, rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: shop}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [api.example.com]
  rules:
{rules}
---
"
    )
}

#[test]
fn routes_of_the_gateway_api_are_looked_at_like_any_other() {
    let prefix = "{path: {type: PathPrefix, value: /orders}}";
    let to = "backendRefs: [{name: orders, port: 80}]";
    let plain = format!("    - {{matches: [{prefix}], {to}}}");
    let full = "filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /}}}]";
    let part = "filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]";
    let dead =
        "backendRefs: [{name: orders, port: 80, weight: 3}, {name: stock, port: 80, weight: 1}]";
    let exact = "{path: {type: Exact, value: /orders}}";
    for (name, routes, expected) in [
        ("one route", route("a", &plain), &[][..]),
        (
            "the same route twice",
            route("a", &plain) + &route("b", &plain),
            &["route::unreachable"],
        ),
        (
            "by method",
            route("a", &plain) + &route("b", &plain.replace("/orders}", "/orders}, method: GET")),
            &[],
        ),
        (
            "all paths become one",
            route("a", &format!("    - {{matches: [{prefix}], {full}, {to}}}")),
            &["route::one-path"],
        ),
        (
            "the prefix goes",
            route("a", &format!("    - {{matches: [{prefix}], {part}, {to}}}")),
            &[],
        ),
        (
            "one path becomes another",
            route("a", &format!("    - {{matches: [{exact}], {full}, {to}}}")),
            &[],
        ),
        (
            "a share to nobody",
            route("a", &format!("    - {{matches: [{prefix}], {dead}}}")),
            &["split::no-endpoints"],
        ),
    ] {
        let services = app("orders", 2, "") + &app("stock", 0, "");
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        let all = found(&[&(GATEWAY.to_owned() + &services + &routes)]);
        let codes: BTreeSet<&str> = all.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, expected, "{name}: {all:?}");
    }
    let dead = route("a", &format!("    - {{matches: [{prefix}], {dead}}}"));
    let services = app("orders", 2, "") + &app("stock", 0, "");
    let all = found(&[&(GATEWAY.to_owned() + &services + &dead)]);
    assert!(
        all[0]
            .1
            .starts_with("25 % of the requests go to `shop/stock`"),
        "{all:?}"
    );
}

const KONG: &str = "apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: kong, labels: {istio-injection: enabled}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: edge, namespace: shop, annotations: {konghq.com/preserve-host: \"false\"}}
spec:
  ingressClassName: kong
  rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: orders, port: {number: 80}}}}]}}]
---
";

#[test]
fn retries_multiply_only_where_a_layer_retries_what_the_one_behind_it_answers() {
    let retries = |settings: &str| {
        format!(
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: orders, namespace: shop}}
spec:
  hosts: [orders]
  http: [{{match: [{{method: {{exact: GET}}}}], retries: {{attempts: 2, {settings}}}, route: [{{destination: {{host: orders}}}}]}}]
"
        )
    };
    let kong = |notes: &str| format!("ingress.kubernetes.io/service-upstream: \"true\", {notes}");
    let times = |notes: &str, settings: &str| {
        let all = found(&[KONG, &app("orders", 2, &kong(notes)), &retries(settings)]);
        let mut multiplied = all
            .into_iter()
            .filter(|(code, _)| *code == "retry::multiplied");
        multiplied.next().map(|(_, message)| message)
    };
    // of a 503 that the sidecar answers Kong tries nothing again
    assert_eq!(
        times("konghq.com/retries: \"3\"", "retryOn: connect-failure"),
        None
    );
    // the sidecar has given up and answered 504 before Kong loses patience
    let patient = "konghq.com/retries: \"3\", konghq.com/read-timeout: \"2000\"";
    let bounded = "retryOn: reset, perTryTimeout: 500ms";
    assert_eq!(times(patient, bounded), None);
    // Kong loses patience after two of the sidecar's three tries
    let impatient = "konghq.com/retries: \"3\", konghq.com/read-timeout: \"1000\"";
    let message = times(impatient, bounded).expect("both try again");
    assert!(
        message.contains("does not answer, it meets up to 8 tries"),
        "{message}"
    );
    let never = "konghq.com/retries: \"0\", konghq.com/read-timeout: \"1000\"";
    assert_eq!(times(never, bounded), None);
}

#[test]
fn a_silence_goes_with_the_object_that_a_later_layer_replaces() {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let silenced = format!("# windtunnel: allow(x::y) why\n{LINKERD}");
    let layer = |name: &str, text: &str| Layer::text(name, text);
    load(&[layer("a.yaml", &silenced)], &mut sources, &mut problems);
    assert_eq!(problems.silences().len(), 1);
    let mut problems = Diagnostics::default();
    load(
        &[layer("a.yaml", &silenced), layer("b.yaml", LINKERD)],
        &mut sources,
        &mut problems,
    );
    assert_eq!(problems.silences().len(), 0);
}
