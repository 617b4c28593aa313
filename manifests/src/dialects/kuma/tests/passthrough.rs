//! What becomes of connections to where nobody is known.

use std::net::SocketAddr;

use proxy_core::config::{ChainAction, CloseReason, Listener, RouteAction, TransportProtocol};

use super::harness::{http_of, policy, with};

fn rest(text: &str) -> (Listener, super::harness::Built) {
    let built = with(text);
    assert_eq!(built.problems, "");
    let out = SocketAddr::from(([203, 0, 113, 7], 443));
    (built.listener("api", out), built)
}

#[test]
fn everything_passes_unless_a_mesh_or_a_policy_says_otherwise() {
    let mesh = |on: bool| {
        format!(
            "apiVersion: kuma.io/v1alpha1\nkind: Mesh\nmetadata: {{name: default}}\nspec: {{networking: {{outbound: {{passthrough: {on}}}}}}}\n"
        )
    };
    let mode = |mode: &str| {
        policy(
            "MeshPassthrough",
            &format!("default: {{passthroughMode: {mode}}}"),
        )
    };
    let rows = [
        ("nothing said", String::new(), true),
        ("the mesh passes", mesh(true), true),
        ("the mesh does not", mesh(false), false),
        (
            "a policy does",
            format!("{}{}", mesh(false), mode("All")),
            true,
        ),
        ("a policy does not", mode("None"), false),
        (
            "a policy without a mode",
            policy("MeshPassthrough", "default: {}"),
            false,
        ),
    ];
    for (name, text, expected) in rows {
        let (listener, _) = rest(&text);
        assert_eq!(listener.chains.len(), 1, "{name}");
        let passes = match listener.chains[0].action {
            ChainAction::Tcp(_) => true,
            ChainAction::Close(CloseReason::BlackHole) => false,
            ref other @ (ChainAction::Close(_) | ChainAction::Http(_) | ChainAction::Udp(_)) => {
                panic!("{name}: {other:?}")
            }
        };
        assert_eq!(passes, expected, "{name}");
    }
}

#[test]
fn what_matches_passes() {
    let spec = "default: {passthroughMode: Matched, appendMatch: [{type: CIDR, value: 192.0.2.0/24, port: 5432}, {type: Domain, value: api.example.com, port: 443, protocol: tls}, {type: Domain, value: '*.example.org', port: 80, protocol: http}, {type: Domain, value: example.net, port: 80, protocol: http}]}";
    let (listener, built) = rest(&policy("MeshPassthrough", spec));
    let [bytes, names, requests, others] = &listener.chains[..] else {
        panic!("{:#?}", listener.chains)
    };
    assert_eq!(bytes.matches.port, Some(5432));
    assert_eq!(bytes.matches.destinations[0].bits, 24);
    assert_eq!(names.matches.transport, Some(TransportProtocol::Tls));
    assert_eq!(names.matches.server_names.len(), 1);
    assert_eq!(requests.matches.port, Some(80));
    let section = built.outbound("api");
    let table = http_of(&requests.action).table;
    let status = |authority: &str| {
        let host = section.virtual_host(table, authority).expect("a host");
        let host = &section.tables()[table.0 as usize].virtual_hosts[host as usize];
        match &host.routes[0].action {
            RouteAction::Forward(_) => 0,
            RouteAction::Direct(answer) => answer.status,
            RouteAction::Redirect(_) => panic!("no redirect"),
        }
    };
    for (authority, expected) in [
        ("a.example.org", 0),
        ("a.example.org:80", 0),
        ("example.net", 0),
        ("example.org", 503),
        ("other.example", 503),
    ] {
        assert_eq!(status(authority), expected, "{authority}");
    }
    assert!(matches!(
        others.action,
        ChainAction::Close(CloseReason::BlackHole)
    ));
}

#[test]
fn a_match_without_a_port_holds_at_the_ports_of_others() {
    let spec = "default: {passthroughMode: Matched, appendMatch: [{type: CIDR, value: 192.0.2.0/24}, {type: Domain, value: api.example.com, port: 443, protocol: tls}]}";
    let (listener, _) = rest(&policy("MeshPassthrough", spec));
    let blocks = listener.chains.iter();
    let blocks = blocks.filter(|it| !it.matches.destinations.is_empty());
    let ports: Vec<Option<u16>> = blocks.map(|it| it.matches.port).collect();
    assert_eq!(ports, [None, Some(443)]);
}
