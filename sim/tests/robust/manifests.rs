//! Manifests with values of any kind: what meshes and gateways do before a workload.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{keys, maybe, millis, number, word, words};

/// How clients outside come in.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// They do not.
    None,
    /// By Kong, through an Ingress.
    Kong { replicas: u32, notes: String },
    /// By an Istio gateway, through a VirtualService.
    Istio { replicas: u32, route: String },
}

/// A way in that a mesh knows, or none.
pub(crate) fn entry(mesh: &str) -> BoxedStrategy<Entry> {
    let notes = keys([
        maybe("konghq.com/strip-path", words(&["'true'", "'false'"])),
        maybe("konghq.com/preserve-host", words(&["'true'", "'false'"])),
    ]);
    let kong = (1_u32..3, notes).prop_map(|(replicas, notes)| Entry::Kong { replicas, notes });
    let istio = (1_u32..3, more()).prop_map(|(replicas, more)| {
        (
            replicas,
            format!("{{route: [{{destination: {{host: w0}}}}], {more}}}"),
        )
    });
    let istio = istio.prop_map(|(replicas, route)| Entry::Istio { replicas, route });
    if mesh == "istio" {
        prop_oneof![2 => Just(Entry::None), 1 => kong, 1 => istio].boxed()
    } else {
        prop_oneof![2 => Just(Entry::None), 1 => kong].boxed()
    }
}

impl Entry {
    /// The host that is served there.
    pub(crate) const fn host(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Kong { .. } | Self::Istio { .. } => Some("edge.test"),
        }
    }

    /// What the scenario says of it.
    pub(crate) fn gateway(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Kong { replicas, .. } => {
                format!("  gateways: {{default/edge: {{kind: kong, replicas: {replicas}}}}}\n")
            }
            Self::Istio { replicas, .. } => format!(
                "  gateways: {{edge/public: {{kind: istio, namespace: edge, labels: {{istio: ingress}}, replicas: {replicas}}}}}\n"
            ),
        }
    }

    /// The objects that lead from it to the first workload.
    pub(crate) fn manifest(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Kong { notes, .. } => format!(
                "---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: edge, namespace: default, annotations: {{{notes}}}}}
spec:
  ingressClassName: kong
  rules: [{{host: edge.test, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: w0, port: {{number: 80}}}}}}}}]}}}}]
"
            ),
            Self::Istio { route, .. } => format!(
                "---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: public, namespace: edge}}
spec: {{selector: {{istio: ingress}}, servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ['*']}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: edge, namespace: default}}
spec: {{hosts: [edge.test], gateways: [edge/public], http: [{route}]}}
"
            ),
        }
    }
}

/// What Istio does before a workload: balancing, limits, ejection, retries, routes, and who may come.
pub(crate) fn policy(count: usize) -> BoxedStrategy<String> {
    (0..count)
        .prop_flat_map(|to| {
            let host = format!("w{to}");
            let routes = vec(route(&host), 1..3);
            let modes = word(&["STRICT", "PERMISSIVE", "DISABLE"]);
            (Just(host), traffic(), subset(), routes, modes)
        })
        .prop_map(|(host, traffic, subset, routes, mode)| {
            format!(
                "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: rule, namespace: default}}
spec: {{host: {host}, trafficPolicy: {{{traffic}}}, subsets: [{{name: b, labels: {{version: b}}{subset}}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: route, namespace: default}}
spec: {{hosts: [{host}], http: [{}]}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: peers, namespace: default}}
spec: {{mtls: {{mode: {mode}}}}}
",
                routes.join(", ")
            )
        })
        .boxed()
}

/// A subset's own policy, or none.
fn subset() -> BoxedStrategy<String> {
    prop_oneof![
        Just(String::new()),
        traffic().prop_map(|traffic| format!(", trafficPolicy: {{{traffic}}}")),
    ]
    .boxed()
}

fn traffic() -> BoxedStrategy<String> {
    let tcp = keys([
        maybe("maxConnections", number(1..5)),
        maybe("connectTimeout", millis(1..200)),
        maybe("idleTimeout", millis(1..500)),
    ]);
    let http = keys([
        maybe("http1MaxPendingRequests", number(1..5)),
        maybe("http2MaxRequests", number(1..20)),
        maybe("maxRequestsPerConnection", number(1..5)),
        maybe("maxRetries", number(0..3)),
        maybe("idleTimeout", millis(1..500)),
        maybe("h2UpgradePolicy", words(&["UPGRADE", "DO_NOT_UPGRADE"])),
    ]);
    let pool = (tcp, http).prop_map(|(tcp, http)| format!("{{tcp: {{{tcp}}}, http: {{{http}}}}}"));
    let outliers = keys([
        maybe("consecutive5xxErrors", number(0..4)),
        maybe("consecutiveGatewayErrors", number(0..4)),
        maybe("interval", millis(10..500)),
        maybe("baseEjectionTime", millis(10..1_000)),
        maybe("maxEjectionPercent", number(0..101)),
        maybe("minHealthPercent", number(0..101)),
    ]);
    let budget = (0_u32..100, 0_u32..4).prop_map(|(percent, least)| {
        format!("{{percent: {percent}, minRetryConcurrency: {least}}}")
    });
    keys([
        maybe(
            "loadBalancer",
            words(&[
                "{simple: RANDOM}",
                "{simple: ROUND_ROBIN, warmup: {duration: 1s}}",
                "{simple: LEAST_REQUEST}",
                "{simple: LEAST_REQUEST, localityLbSetting: {enabled: true}}",
                "{consistentHash: {useSourceIp: true}}",
                "{consistentHash: {httpHeaderName: x-user, maglev: {tableSize: 251}}}",
            ]),
        ),
        maybe("connectionPool", pool),
        maybe(
            "outlierDetection",
            outliers.prop_map(|it| format!("{{{it}}}")),
        ),
        maybe("retryBudget", budget),
    ])
}

/// One HTTP route to a workload, or to it and its version `b` apart.
fn route(host: &str) -> BoxedStrategy<String> {
    let whole = format!("[{{destination: {{host: {host}}}}}]");
    let host = host.to_owned();
    let split = (0_u32..=100).prop_map(move |share| {
        format!(
            "[{{destination: {{host: {host}}}, weight: {}}}, {{destination: {{host: {host}, subset: b}}, weight: {share}}}]",
            100 - share
        )
    });
    let split = prop_oneof![2 => Just(whole), 1 => split];
    (split, more())
        .prop_map(|(split, more)| format!("{{route: {split}, {more}}}"))
        .boxed()
}

/// What else a route says.
fn more() -> BoxedStrategy<String> {
    let retries = (
        1_u32..4,
        1_u32..300,
        word(&[
            "5xx",
            "connect-failure,reset",
            "gateway-error,503,retriable-4xx",
        ]),
    )
        .prop_map(|(attempts, each, on)| {
            format!("{{attempts: {attempts}, perTryTimeout: {each}ms, retryOn: '{on}'}}")
        });
    let percent = || 0_u32..=100;
    let fault = (percent(), percent(), 1_u32..100).prop_map(|(abort, delay, lasts)| {
        format!("{{abort: {{httpStatus: 418, percentage: {{value: {abort}}}}}, delay: {{fixedDelay: {lasts}ms, percentage: {{value: {delay}}}}}}}")
    });
    keys([
        maybe(
            "match",
            words(&[
                "[{uri: {prefix: /shop}}]",
                "[{headers: {x-user: {exact: '1'}}}, {method: {exact: POST}}]",
            ]),
        ),
        maybe("timeout", millis(0..500)),
        maybe("retries", retries),
        maybe("fault", fault),
        maybe("rewrite", words(&["{uri: /}"])),
        maybe("headers", words(&["{request: {set: {x-seen: 'yes'}}}"])),
        maybe("mirror", words(&["{host: w0}"])),
    ])
}
