//! Who has a proxy, and what it proves.

use proxy_core::config::{
    ChainAction, CloseReason, DownstreamTransport, TransportProtocol, UpstreamTransport,
};

use super::harness::{Built, plan, policy, with};

const MTLS: &str = "apiVersion: kuma.io/v1alpha1
kind: Mesh
metadata: {name: default}
spec: {mtls: {enabledBackend: ca-1, backends: [{name: ca-1, type: builtin}]}}
";

fn pods(name: &str, namespace: &str, labels: &str) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}, {labels}}}}}\n    spec: {{containers: [{{name: app, image: x}}]}}\n"
    )
}

fn namespace(name: &str, label: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{label}}}}}\n"
    )
}

#[test]
fn the_pods_label_decides_then_the_namespaces_and_a_namespace_without_has_none() {
    const ON: &str = "kuma.io/sidecar-injection: enabled";
    const OFF: &str = "kuma.io/sidecar-injection: disabled";
    let rows = [
        ("nothing said", namespace("ns", "a: b"), "a: b", false),
        ("namespace on", namespace("ns", ON), "a: b", true),
        (
            "namespace true",
            namespace("ns", "kuma.io/sidecar-injection: 'true'"),
            "a: b",
            true,
        ),
        ("pods off", namespace("ns", ON), OFF, false),
        ("pods on, namespace off", namespace("ns", OFF), ON, true),
        (
            "pods on, namespace silent",
            namespace("ns", "a: b"),
            ON,
            false,
        ),
        ("pods on, no namespace written", String::new(), ON, true),
    ];
    for (name, namespace, labels, expected) in rows {
        let built = with(&format!("{namespace}{}", pods("it", "ns", labels)));
        assert_eq!(built.sidecar("it").is_some(), expected, "{name}");
    }
}

#[test]
fn the_scenario_decides_where_no_manifest_does() {
    let text = format!("{}{}", pods("one", "ns", "a: b"), pods("two", "ns", "a: b"));
    let built = plan(&text).inject(&["ns"], &["ns/two"]).build();
    let (why, identity) = built.sidecar("one").expect("a proxy");
    assert_eq!(why, "the scenario injects ns/one");
    assert_eq!(identity, "spiffe://default/one_ns_svc");
    assert!(built.sidecar("two").is_none());
}

#[test]
fn identities_are_those_of_services_or_of_a_mesh_identity() {
    let built = with(MTLS);
    let (why, identity) = built.sidecar("web").expect("a proxy");
    assert_eq!(why, "namespace shop has kuma.io/sidecar-injection: enabled");
    assert_eq!(identity, "spiffe://default/web_shop_svc_80");
    let identity = policy(
        "MeshIdentity",
        "selector: {dataplane: {matchLabels: {app: web}}}, provider: {type: Bundled}",
    );
    let built = with(&identity);
    let (_, identity) = built.sidecar("web").expect("a proxy");
    assert_eq!(
        identity,
        "spiffe://default.default.mesh.local/ns/shop/sa/web"
    );
}

fn transports(built: &Built) -> Vec<(Option<TransportProtocol>, bool)> {
    let listener = built.arriving("web", 8080);
    let chains = listener.chains.iter();
    chains
        .map(|it| {
            let is_tls = matches!(it.transport, DownstreamTransport::Tls { .. });
            (it.matches.transport, is_tls)
        })
        .collect()
}

#[test]
fn mutual_tls_is_strict_unless_something_says_otherwise() {
    let (raw, tls) = (Some(TransportProtocol::Raw), Some(TransportProtocol::Tls));
    let strict = vec![(tls, true)];
    let permissive = vec![(raw, false), (tls, false), (tls, true)];
    let by_mesh = MTLS.replace("type: builtin", "type: builtin, mode: PERMISSIVE");
    let by_policy = |mode: &str| {
        let rule = format!("rules: [{{default: {{mode: {mode}}}}}]");
        format!("{MTLS}{}", policy("MeshTLS", &rule))
    };
    let identity = policy(
        "MeshIdentity",
        "selector: {dataplane: {}}, provider: {type: Bundled}",
    );
    let rows = [
        ("off", String::new(), vec![(None, false)]),
        ("on", MTLS.to_owned(), strict.clone()),
        ("permissive by the mesh", by_mesh, permissive.clone()),
        (
            "permissive by a MeshTLS",
            by_policy("Permissive"),
            permissive,
        ),
        ("strict by a MeshTLS", by_policy("Strict"), strict.clone()),
        ("by a MeshIdentity", identity, strict),
    ];
    for (name, text, expected) in rows {
        assert_eq!(transports(&with(&text)), expected, "{name}");
    }
}

#[test]
fn callers_speak_tls_with_what_they_prove() {
    let built = with(MTLS);
    let UpstreamTransport::Mesh {
        identity,
        alpn,
        only_where_meshed,
        ..
    } = &built.cluster("web_shop_svc_80").transport
    else {
        panic!("mutual TLS")
    };
    assert_eq!(&**identity, "spiffe://default/api_shop_svc_80");
    assert_eq!(alpn, &["kuma".into()]);
    assert!(!only_where_meshed);
    // everything is refused in Kuma while nothing is permitted, which is told
    assert_eq!(built.codes(), ["kuma::not-modelled"]);
    assert!(
        built
            .problems
            .contains("requests that Kuma refuses with 403 are served")
    );
}

#[test]
fn ports_of_no_service_are_closed_where_mutual_tls_is_asked_for_since_2_13() {
    let closed = |text: &str, release| {
        let built = plan(text).release(release).build();
        let listener = built.arriving("web", 9999);
        matches!(
            listener.chains[0].action,
            ChainAction::Close(CloseReason::NoFilterChain)
        )
    };
    assert!(closed(MTLS, "2.14"));
    assert!(closed(MTLS, "2.13"));
    assert!(!closed(MTLS, "2.12"));
    assert!(!closed("", "2.14"));
}

#[test]
fn excluded_ports_are_passed_by() {
    let built = plan(MTLS)
        .annotated("traffic.kuma.io/exclude-inbound-ports: '8080', traffic.kuma.io/exclude-outbound-ports: '80,9000-9001'")
        .build();
    let arriving = built.arriving("web", 8080);
    assert!(matches!(arriving.chains[0].action, ChainAction::Tcp(_)));
    assert_eq!(arriving.chains[0].transport, DownstreamTransport::Plaintext);
    let names = |to: &str| built.listener("web", built.address(to)).name.to_string();
    assert_eq!(names("api"), "excluded:80");
    assert_eq!(names("rpc"), "excluded:9000");
    assert_eq!(names("db"), "db_shop_svc_5432");
}

#[test]
fn what_arrives_at_a_gateway_of_another_system_is_its_own() {
    let built = plan(MTLS).annotated("kuma.io/gateway: enabled").build();
    let listener = built.arriving("web", 8080);
    assert_eq!(&*listener.name, "inbound:passthrough");
    assert!(matches!(listener.chains[0].action, ChainAction::Tcp(_)));
    // and nobody's endpoint in the mesh
    assert_eq!(
        &*built.listener("api", built.address("web")).name,
        "outbound:passthrough"
    );
}
