//! Which rules and hosts a caller has.

use proxy_core::config::{ChainAction, CloseReason, ListenerAddress, RouteAction};

use super::harness::{Built, forward, with};

/// A DestinationRule with a bound by which it is known.
fn bound(name: &str, namespace: &str, host: &str, most: u32, rest: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{host: \"{host}\", trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: {most}}}}}}}{rest}}}
---
"
    )
}

/// The bound that callers of `default` (or `far`) find for `orders` of `far`.
fn found(built: &Built, caller: &str) -> u32 {
    let cluster = built.cluster(caller, "80||orders.far.svc.cluster.local");
    cluster.expect("a cluster").limits[0].connections.value
}

const ORDERS: &str = "orders.far.svc.cluster.local";

#[test]
fn the_callers_rule_counts_then_the_hosts_then_the_meshs() {
    let own = bound("own", "default", ORDERS, 1, "");
    let host = bound("host", "far", "orders", 2, "");
    let root = bound("root", "istio-system", "*.local", 3, "");
    let other = bound("other", "plain", ORDERS, 4, "");
    let rows = [
        ("all", [&own, &host, &root, &other].to_vec(), 1, 2),
        (
            "without the caller's",
            [&host, &root, &other].to_vec(),
            2,
            2,
        ),
        ("the mesh's", [&root, &other].to_vec(), 3, 3),
        ("nobody else's", [&other].to_vec(), u32::MAX, u32::MAX),
    ];
    for (name, rules, of_default, of_far) in rows {
        let yaml: String = rules.into_iter().map(String::as_str).collect();
        let built = with(&yaml);
        assert_eq!(found(&built, "api"), of_default, "{name}");
        assert_eq!(found(&built, "orders"), of_far, "{name}");
    }
}

#[test]
fn the_most_specific_host_counts() {
    let rows = [
        (["*", "*.local", "*.far.svc.cluster.local"], 3),
        (["*.local", ORDERS, "*.svc.cluster.local"], 2),
        (["*", "*.else", "*.cluster.local"], 3),
    ];
    for (hosts, expected) in rows {
        let yaml: String = hosts
            .iter()
            .enumerate()
            .map(|(at, host)| bound(&format!("r{at}"), "default", host, at as u32 + 1, ""))
            .collect();
        assert_eq!(found(&with(&yaml), "api"), expected, "{hosts:?}");
    }
}

#[test]
fn a_rule_is_seen_where_it_is_exported_to() {
    let rows = [
        (", exportTo: ['*']", 1),
        (", exportTo: ['.']", u32::MAX),
        (", exportTo: [default]", 1),
        (", exportTo: [plain]", u32::MAX),
    ];
    for (export, expected) in rows {
        let built = with(&bound("host", "far", "orders", 1, export));
        assert_eq!(found(&built, "api"), expected, "{export}");
    }
}

#[test]
fn a_selector_chooses_callers_of_its_namespace() {
    let selected = |app: &str| {
        bound(
            "few",
            "default",
            ORDERS,
            1,
            &format!(", workloadSelector: {{matchLabels: {{app: {app}}}}}"),
        )
    };
    let all = bound("all", "default", ORDERS, 2, "");
    let built = with(&format!("{}{all}", selected("api")));
    assert_eq!(found(&built, "api"), 1);
    assert_eq!(found(&built, "web"), 2);
    let alone = with(&selected("api"));
    assert_eq!(found(&alone, "web"), u32::MAX);
}

#[test]
fn rules_for_one_host_merge_their_subsets_and_the_first_policy_counts() {
    let first = bound(
        "a",
        "default",
        ORDERS,
        1,
        ", subsets: [{name: v1, labels: {version: v1}}]",
    );
    let second = bound(
        "b",
        "default",
        ORDERS,
        2,
        ", subsets: [{name: v2, labels: {version: v2}}]",
    );
    let routes = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec: {hosts: [orders.far.svc.cluster.local], http: [{route: [{destination: {host: orders.far.svc.cluster.local, subset: v2}}]}]}
";
    let built = with(&format!("{first}{second}{routes}"));
    let subset = built.cluster("api", "80|v2|orders.far.svc.cluster.local");
    assert_eq!(subset.expect("merged").limits[0].connections.value, 1);
    assert!(
        built
            .problems
            .contains("the traffic policy of DestinationRule/default/b has no effect"),
        "{}",
        built.problems
    );
}

fn sidecar(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )
}

/// Whether `api` knows `web`, `orders` and `legacy` by name.
fn known(built: &Built) -> [bool; 3] {
    let to = built.address("web", 80);
    ["web", "orders.far", "legacy.plain"].map(|authority| {
        let taken = built.listener("api", to);
        let reads = taken
            .chains
            .iter()
            .any(|chain| matches!(chain.action, ChainAction::Http(_)));
        reads && &*built.host("api", to, authority).name != "allow_any"
    })
}

#[test]
fn a_sidecar_says_which_hosts_are_known() {
    let egress =
        |hosts: &str| sidecar("own", "default", &format!("egress: [{{hosts: [{hosts}]}}]"));
    let rows = [
        ("none", String::new(), [true, true, true]),
        ("empty", sidecar("own", "default", ""), [true, true, true]),
        ("everything", egress("'*/*'"), [true, true, true]),
        ("own namespace", egress("'./*'"), [true, false, false]),
        ("a namespace", egress("'far/*', './*'"), [true, true, false]),
        (
            "a host",
            egress("'./web.default.svc.cluster.local'"),
            [true, false, false],
        ),
        (
            "a pattern",
            egress("'*/*.far.svc.cluster.local'"),
            [false, true, false],
        ),
        ("nothing", egress("'~/*'"), [false, false, false]),
        (
            "the mesh's",
            sidecar("root", "istio-system", "egress: [{hosts: ['./*']}]"),
            [true, false, false],
        ),
        (
            "its own before the mesh's",
            format!(
                "{}{}",
                sidecar("root", "istio-system", "egress: [{hosts: ['./*']}]"),
                egress("'*/*'")
            ),
            [true, true, true],
        ),
        (
            "one that selects it before its namespace's",
            format!(
                "{}{}",
                egress("'*/*'"),
                sidecar(
                    "few",
                    "default",
                    "workloadSelector: {labels: {app: api}}, egress: [{hosts: ['./*']}]"
                )
            ),
            [true, false, false],
        ),
        (
            "by one port alone",
            sidecar(
                "own",
                "default",
                "egress: [{port: {number: 80, protocol: HTTP, name: http}, hosts: ['./*']}, {hosts: ['*/*']}]",
            ),
            [true, false, false],
        ),
    ];
    for (name, yaml, expected) in rows {
        let built = with(&yaml);
        assert!(
            !built.problems.contains("error"),
            "{name}\n{}",
            built.problems
        );
        assert_eq!(known(&built), expected, "{name}");
    }
}

#[test]
fn services_are_seen_where_they_are_exported_to() {
    let built = with(
        "apiVersion: v1
kind: Service
metadata: {name: hidden, namespace: far, annotations: {networking.istio.io/exportTo: \".\"}}
spec: {selector: {app: orders}, ports: [{name: http, port: 80, targetPort: 8080}]}
",
    );
    let to = built.address("web", 80);
    assert_eq!(&*built.host("api", to, "hidden.far").name, "allow_any");
    let seen = built.host("orders", to, "hidden");
    assert_eq!(&*seen.name, "hidden.far.svc.cluster.local:80");
}

#[test]
fn what_is_not_known_is_dialled_or_refused() {
    let rows = [
        ("", false),
        ("outboundTrafficPolicy: {mode: ALLOW_ANY}", false),
        ("outboundTrafficPolicy: {mode: REGISTRY_ONLY}", true),
        // the first word of the enumeration
        ("outboundTrafficPolicy: {}", true),
    ];
    for (spec, refused) in rows {
        let built = with(&sidecar("own", "default", spec));
        let host = built.host("api", built.address("web", 80), "example.com");
        let outside = "203.0.113.9:9999".parse().expect("an address");
        let rest = built.listener("api", outside);
        assert_eq!(rest.address, ListenerAddress::OutboundRest);
        match (&host.routes[0].action, &rest.chains[0].action, refused) {
            (RouteAction::Direct(answer), ChainAction::Close(reason), true) => {
                assert_eq!(
                    (answer.status, *reason),
                    (502, CloseReason::BlackHole),
                    "{spec}"
                );
            }
            (RouteAction::Forward(_), ChainAction::Tcp(_), false) => {
                assert_eq!(
                    built.carried_to("api", &rest.chains[0]),
                    "PassthroughCluster"
                );
                let to = forward(&host);
                assert!(to.retry.is_none() && to.timeout.value.is_none());
            }
            other => panic!("{spec}: {other:?}"),
        }
    }
}

#[test]
fn what_a_sidecar_has_besides_is_told() {
    let rows = [
        (
            "ingress: [{port: {number: 1}, defaultEndpoint: a}]",
            "`ingress` of a Sidecar is not modelled",
        ),
        (
            "egress: [{bind: 127.0.0.1, hosts: ['*/*']}]",
            "`bind` of an egress listener is not modelled",
        ),
        (
            "egress: [{captureMode: NONE, hosts: ['*/*']}]",
            "`captureMode: NONE` is not modelled",
        ),
        (
            "egress: [{hosts: [web]}]",
            "`web` names no namespace: write `namespace/host`, such as `*/web`",
        ),
        (
            "outboundTrafficPolicy: {mode: ALLOW}",
            "outboundTrafficPolicy.mode",
        ),
        (
            "outboundTrafficPolicy: {egressProxy: {host: a}}",
            "`egressProxy` is not modelled",
        ),
        (
            "outboundTrafficPolice: {}",
            "did you mean `outboundTrafficPolicy`?",
        ),
    ];
    for (spec, expected) in rows {
        let built = with(&sidecar("own", "default", spec));
        assert!(
            built.problems.contains(expected),
            "{spec}\n{}",
            built.problems
        );
    }
}
