//! Whatever is claimed to be the same is the same for any request: rules at random, requests at random, every target.

mod common;

use compare::Area;
use manifests::model::GatewayId;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use common::decide::{Decision, Request, of_caller, of_gateway};
use common::{Read, read};
use translate::{Translation, stream};

/// A rule before it is written for a system.
#[derive(Clone, Debug)]
struct Rule {
    path: Option<(Kind, &'static str)>,
    method: Option<&'static str>,
    header: Option<(bool, &'static str)>,
    query: Option<&'static str>,
    does: Does,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Exact,
    Prefix,
    Regex,
}

#[derive(Clone, Debug)]
enum Does {
    Send {
        /// Weights of the two versions; none: all of the Service.
        split: Option<(u32, u32)>,
        rewrite: Option<&'static str>,
        set: Option<&'static str>,
        timeout: Option<u32>,
        retries: Option<(u32, Option<u32>, usize)>,
    },
    Redirect {
        status: u16,
        host: Option<&'static str>,
        path: Option<&'static str>,
    },
}

/// Conditions of retries, in Istio's words.
const ON: [&str; 4] = [
    "5xx",
    "gateway-error,connect-failure",
    "reset,503",
    "connect-failure",
];

fn paths() -> impl Strategy<Value = (Kind, &'static str)> {
    prop_oneof![
        prop::sample::select(vec!["/a", "/a/b", "/", "/c"]).prop_map(|path| (Kind::Exact, path)),
        prop::sample::select(vec!["/a", "/a/", "/", "/a/b", "/c/d"])
            .prop_map(|path| (Kind::Prefix, path)),
        prop::sample::select(vec!["/[ab]/.*", "/a(/b)?", ".*"])
            .prop_map(|path| (Kind::Regex, path)),
    ]
}

fn does() -> impl Strategy<Value = Does> {
    let send = (
        option::of((1_u32..100, 1_u32..100)),
        option::of(prop::sample::select(vec!["/", "/z", "/z/"])),
        option::of(prop::sample::select(vec!["one", "two"])),
        option::of(100_u32..5_000),
        option::of((0_u32..5, option::of(10_u32..3_000), 0..ON.len())),
    );
    let send = send.prop_map(|(split, rewrite, set, timeout, retries)| Does::Send {
        split,
        rewrite,
        set,
        timeout,
        retries,
    });
    let redirect = (
        prop::sample::select(vec![301_u16, 302]),
        option::of(prop::sample::select(vec!["other.example.com"])),
        option::of(prop::sample::select(vec!["/gone"])),
    );
    let redirect = redirect.prop_map(|(status, host, path)| Does::Redirect { status, host, path });
    prop_oneof![4 => send, 1 => redirect]
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let rule = (
        option::of(paths()),
        option::of(prop::sample::select(vec!["GET", "POST"])),
        option::of((any::<bool>(), prop::sample::select(vec!["a", "b"]))),
        option::of(prop::sample::select(vec!["1", "2"])),
        does(),
    );
    let rule = rule.prop_map(|(path, method, header, query, does)| Rule {
        path,
        method,
        header,
        query,
        does,
    });
    vec(rule, 1..5)
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let request = (
        prop::sample::select(vec!["GET", "POST", "PUT"]),
        prop::sample::select(vec![
            "/", "/a", "/a/", "/a/b", "/ab", "/A", "/b/x", "/c", "/c/d/e", "/a/b/c",
        ]),
        option::of(prop::sample::select(vec!["a", "b", "ab"])),
        option::of(prop::sample::select(vec!["v=1", "v=2", "w=1"])),
    );
    let request = request.prop_map(|(method, path, user, query)| Request {
        method,
        authority: String::new(),
        path: match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        },
        headers: user
            .into_iter()
            .map(|user| ("x-user".to_owned(), user.to_owned()))
            .collect(),
    });
    vec(request, 24)
}

/// A caller and two versions of a Service.
fn base(labels: &str) -> String {
    let deployment = |name: &str, labels: &str| {
        format!(
            "---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{{labels}}}}}
  template:
    metadata: {{labels: {{{labels}}}}}
    spec: {{containers: [{{name: app, image: app, ports: [{{containerPort: 8080}}]}}]}}
"
        )
    };
    format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: default, labels: {{{labels}}}}}
{}{}{}---
apiVersion: v1
kind: Service
metadata: {{name: cart}}
spec: {{selector: {{app: cart}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: cart-one}}
spec: {{selector: {{app: cart, version: v1}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: cart-two}}
spec: {{selector: {{app: cart, version: v2}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
",
        deployment("web", "app: web"),
        deployment("v1", "app: cart, version: v1"),
        deployment("v2", "app: cart, version: v2"),
    )
}

/// As a VirtualService of callers in the mesh, with a DestinationRule for the versions.
fn istio(rules: &[Rule]) -> String {
    let mut text = base("istio-injection: enabled");
    text.push_str(
        "---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart}
spec:
  host: cart
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart}
spec:
  hosts: [cart]
  http:
",
    );
    for rule in rules {
        let mut conditions = Vec::new();
        if let Some((kind, path)) = rule.path {
            let kind = match kind {
                Kind::Exact => "exact",
                Kind::Prefix => "prefix",
                Kind::Regex => "regex",
            };
            conditions.push(format!("uri: {{{kind}: '{path}'}}"));
        }
        conditions.extend(rule.method.map(|it| format!("method: {{exact: {it}}}")));
        conditions.extend(rule.header.map(|(invert, value)| {
            let field = if invert { "withoutHeaders" } else { "headers" };
            format!("{field}: {{x-user: {{exact: {value}}}}}")
        }));
        conditions.extend(
            rule.query
                .map(|it| format!("queryParams: {{v: {{exact: '{it}'}}}}")),
        );
        let mut fields = Vec::new();
        if !conditions.is_empty() {
            fields.push(format!("match: [{{{}}}]", conditions.join(", ")));
        }
        match &rule.does {
            Does::Redirect { status, host, path } => {
                let mut to = vec![format!("redirectCode: {status}")];
                to.extend(host.map(|it| format!("authority: {it}")));
                to.extend(path.map(|it| format!("uri: {it}")));
                fields.push(format!("redirect: {{{}}}", to.join(", ")));
            }
            Does::Send {
                split,
                rewrite,
                set,
                timeout,
                retries,
            } => {
                fields.push(match split {
                    None => "route: [{destination: {host: cart}}]".to_owned(),
                    Some((one, two)) => format!("route: [{{destination: {{host: cart, subset: v1}}, weight: {one}}}, {{destination: {{host: cart, subset: v2}}, weight: {two}}}]"),
                });
                fields.extend(rewrite.map(|it| format!("rewrite: {{uri: {it}}}")));
                fields.extend(
                    set.map(|it| format!("headers: {{request: {{set: {{x-set: {it}}}}}}}")),
                );
                fields.extend(timeout.map(|it| format!("timeout: {it}ms")));
                fields.extend(retries.map(|(attempts, per_try, on)| match attempts {
                    0 => "retries: {attempts: 0}".to_owned(),
                    attempts => {
                        let each = per_try.map(|it| format!(", perTryTimeout: {it}ms"));
                        let each = each.unwrap_or_default();
                        format!(
                            "retries: {{attempts: {attempts}, retryOn: '{}'{each}}}",
                            ON[on]
                        )
                    }
                }));
            }
        }
        text.push_str(&format!("  - {{{}}}\n", fields.join(", ")));
    }
    text
}

/// As an HTTPRoute of a gateway.
fn gateway_api(rules: &[Rule]) -> String {
    let mut text = base("team: shop");
    text.push_str(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart}
spec:
  parentRefs: [{name: edge}]
  hostnames: [shop.example.com]
  rules:
",
    );
    for rule in rules {
        let mut conditions = Vec::new();
        if let Some((kind, path)) = rule.path {
            let kind = match kind {
                Kind::Exact => "Exact",
                Kind::Prefix => "PathPrefix",
                Kind::Regex => "RegularExpression",
            };
            conditions.push(format!("path: {{type: {kind}, value: '{path}'}}"));
        }
        conditions.extend(rule.method.map(|it| format!("method: {it}")));
        conditions.extend(
            rule.header
                .map(|(_, value)| format!("headers: [{{name: x-user, value: {value}}}]")),
        );
        conditions.extend(
            rule.query
                .map(|it| format!("queryParams: [{{name: v, value: '{it}'}}]")),
        );
        let mut fields = Vec::new();
        if !conditions.is_empty() {
            fields.push(format!("matches: [{{{}}}]", conditions.join(", ")));
        }
        match &rule.does {
            Does::Redirect { status, host, path } => {
                let mut to = vec![format!("statusCode: {status}")];
                to.extend(host.map(|it| format!("hostname: {it}")));
                to.extend(
                    path.map(|it| {
                        format!("path: {{type: ReplaceFullPath, replaceFullPath: {it}}}")
                    }),
                );
                fields.push(format!(
                    "filters: [{{type: RequestRedirect, requestRedirect: {{{}}}}}]",
                    to.join(", ")
                ));
            }
            Does::Send {
                split,
                rewrite,
                set,
                timeout,
                retries,
            } => {
                fields.push(match split {
                    None => "backendRefs: [{name: cart, port: 80}]".to_owned(),
                    Some((one, two)) => format!("backendRefs: [{{name: cart-one, port: 80, weight: {one}}}, {{name: cart-two, port: 80, weight: {two}}}]"),
                });
                let mut filters = Vec::new();
                let replaces = rule.path.is_none_or(|(kind, _)| kind == Kind::Prefix);
                if let Some(to) = rewrite.filter(|_| replaces) {
                    filters.push(format!("{{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: {to}}}}}}}"));
                }
                if let Some(value) = set {
                    filters.push(format!("{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-set, value: {value}}}]}}}}"));
                }
                if !filters.is_empty() {
                    fields.push(format!("filters: [{}]", filters.join(", ")));
                }
                let mut timeouts = Vec::new();
                timeouts.extend(timeout.map(|it| format!("request: {it}ms")));
                if let Some((attempts, per_try, _)) = retries
                    && *attempts > 0
                {
                    // the API wants the bound of a try within that of all
                    let each = per_try.filter(|each| timeout.is_none_or(|all| *each <= all));
                    timeouts.extend(each.map(|it| format!("backendRequest: {it}ms")));
                    fields.push(format!("retry: {{attempts: {attempts}, codes: [503]}}"));
                }
                if !timeouts.is_empty() {
                    fields.push(format!("timeouts: {{{}}}", timeouts.join(", ")));
                }
            }
        }
        text.push_str(&format!("  - {{{}}}\n", fields.join(", ")));
    }
    text
}

/// Whether some difference of these areas is listed, or one of where requests go, or a rule that is left out: another rule takes them then,
/// with all that it does.
fn lists(translation: &Translation, areas: &[Area]) -> bool {
    let mut differences = translation.differences.iter();
    differences.any(|it| {
        it.area.is_some_and(|area| areas.contains(&area))
            || it.what == "destination"
            || it.after.starts_with("the rule is left out")
    })
}

/// Fails where two decisions differ and nothing of the kind is listed.
fn agree(
    before: &Decision,
    after: &Decision,
    request: &Request,
    translation: &Translation,
) -> Result<(), TestCaseError> {
    let told = |areas: &[Area], what: &str| {
        prop_assert!(
            lists(translation, areas),
            "{what} of {request:?}, which is not told\nbefore: {before:?}\nafter: {after:?}\n{}\n{:#?}",
            stream(translation),
            translation.differences
        );
        Ok(())
    };
    let elsewhere = [
        Area::Destination,
        Area::Answer,
        Area::Redirect,
        Area::Connection,
    ];
    match (before, after) {
        (Decision::Sent(one), Decision::Sent(other)) => {
            if one.to != other.to {
                told(&elsewhere, "shares")?;
                // another rule decides, and all that it says is its own
                let mut all = translation.differences.iter();
                if all.any(|it| it.after.contains("the rule is left out")) {
                    return Ok(());
                }
            }
            if (&one.path, &one.authority) != (&other.path, &other.authority) {
                told(&[Area::Rewrite], "path")?;
            }
            if one.headers != other.headers {
                told(&[Area::Headers], "headers")?;
            }
            if one.timeout != other.timeout {
                told(&[Area::Timeout], "timeout")?;
            }
            if (one.retries, one.per_try) != (other.retries, other.per_try) {
                told(&[Area::Retry, Area::Timeout], "retries")?;
            }
        }
        (one, other) if one != other => told(&elsewhere, "what becomes")?,
        (_, _) => {}
    }
    Ok(())
}

fn caller(read: &Read) -> manifests::model::WorkloadId {
    let mut workloads = read.model.workloads().iter();
    workloads
        .find(|it| *it.name == *"web")
        .expect("the caller")
        .id
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn callers_under_another_mesh_are_served_as_is_claimed(
        rules in rules(),
        requests in requests(),
    ) {
        let before = read(&istio(&rules));
        for target in ["gateway-api", "istio", "linkerd", "kuma"] {
            let translation = before.to(target);
            let after = before.again(&translation);
            for request in &requests {
                let request = Request {
                    authority: "cart.default.svc.cluster.local".to_owned(),
                    ..request.clone()
                };
                let [one, other] = [&before, &after].map(|read| {
                    of_caller(&read.model, caller(read), "default/cart", 80, &request)
                });
                agree(&one, &other, &request, &translation)?;
            }
        }
    }

    #[test]
    fn clients_of_another_gateway_are_served_as_is_claimed(
        rules in rules(),
        requests in requests(),
    ) {
        let before = read(&gateway_api(&rules));
        for target in ["gateway-api", "istio", "kong", "traefik", "nginx"] {
            let translation = before.to(target);
            let after = before.again(&translation);
            let gateway = after.model.gateways().iter().position(|it| it.dialect == target);
            let gateway = gateway.and_then(|at| u32::try_from(at).ok()).map(GatewayId);
            for request in &requests {
                let request = Request {
                    authority: "shop.example.com".to_owned(),
                    ..request.clone()
                };
                let one = of_gateway(&before.model, GatewayId(0), 80, &request);
                // where no rule can be said nobody serves anything
                let other = gateway.map_or(Decision::Nothing, |gateway| {
                    of_gateway(&after.model, gateway, 80, &request)
                });
                agree(&one, &other, &request, &translation)?;
            }
        }
    }
}
