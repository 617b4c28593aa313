//! What a pod's sidecar takes, and as what.

use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::config::{
    ChainAction, CloseReason, Cluster, DownstreamTransport, RetryPolicy, RouteAction,
    UpstreamProtocol,
};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, Heads};
use proxy_core::node::{
    Accept, Action, Arrival, Cx, Identity, Input, Node, Peek, PeekedProtocol, TlsHello,
};
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::shared::PlainState;
use proxy_core::time::Time;

use super::harness::{Built, plan, policy, with};

/// No request ever comes.
struct NoHeads;

impl Heads for NoHeads {
    fn method(&self, _: HeadId) -> &str {
        ""
    }

    fn authority(&self, _: HeadId) -> &str {
        ""
    }

    fn path(&self, _: HeadId) -> &str {
        ""
    }

    fn header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }

    fn status(&self, _: HeadId) -> u16 {
        0
    }

    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug)]
enum First {
    Http,
    Bytes,
    /// TLS of a sidecar that carries requests.
    MeshHttp,
    /// TLS of a sidecar that carries bytes.
    MeshBytes,
    /// TLS of the application's own.
    OwnTls,
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Requests,
    Carried,
    Closed(CloseReason),
}

impl First {
    fn peek(self) -> Peek<'static> {
        let alpn: Option<&[&str]> = match self {
            Self::Http | Self::Bytes => None,
            Self::MeshHttp => Some(&["istio-http/1.1", "istio", "http/1.1"]),
            Self::MeshBytes => Some(&["istio-peer-exchange", "istio"]),
            Self::OwnTls => Some(&[]),
        };
        Peek {
            tls: alpn.map(|alpn| TlsHello { sni: None, alpn }),
            protocol: match self {
                Self::Http => PeekedProtocol::Http1,
                Self::Bytes | Self::MeshHttp | Self::MeshBytes | Self::OwnTls => {
                    PeekedProtocol::Unknown
                }
            },
        }
    }
}

/// What the sidecar of `server` does with a connection to one of its pod's ports; mesh clients prove an identity.
fn arrives(built: &Built, server: &str, port: u16, first: First) -> Fate {
    let config = built.config(server);
    let mut node = Node::new(
        Identity {
            key: DrawKey::root(1),
            locality: "".into(),
            epoch_nanos: 0,
            elected: true,
        },
        config,
    );
    let mut shared = PlainState::default();
    let mut cx = Cx {
        now: Time::ZERO,
        shared: &mut shared,
        heads: &NoHeads,
    };
    let accept = Accept {
        token: 1,
        arrival: Arrival::Inbound,
        source: SocketAddr::from(([10, 0, 0, 1], 50_000)),
        at: SocketAddr::from(([10, 0, 0, 2], port)),
        destination: SocketAddr::from(([10, 0, 0, 2], port)),
    };
    let downstream = node.accept(&mut cx, accept);
    let mut fate = None;
    while fate.is_none() {
        let (_, action) = node.poll_action().expect("something is to be done");
        let mut input = |input: Input<'_>| node.handle(&mut cx, input);
        if action == Action::Peek {
            let peek = first.peek();
            input(Input::Peeked { downstream, peek });
        } else if action == Action::Handshake {
            let peer = Some("spiffe://cluster.local/ns/default/sa/other");
            input(Input::Shaken { downstream, peer });
        } else if action == Action::ServeHttp {
            fate = Some(Fate::Requests);
        } else if let Action::CloseDownstream(reason) = action {
            fate = Some(Fate::Closed(reason));
        } else if matches!(action, Action::Connect { .. }) {
            fate = Some(Fate::Carried);
        }
    }
    fate.expect("the loop has ended")
}

fn peers(mode: &str) -> String {
    authentication("all", "default", &format!("mtls: {{mode: {mode}}}"))
}

fn authentication(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )
}

const NONE: Fate = Fate::Closed(CloseReason::NoFilterChain);

#[test]
fn the_mode_and_the_declaration_decide_what_is_taken() {
    use Fate::{Carried, Requests};
    use First::{Bytes, Http, MeshBytes, MeshHttp, OwnTls};
    // server, port, then HTTP, bytes, mesh HTTP, mesh bytes, own TLS
    let firsts = [Http, Bytes, MeshHttp, MeshBytes, OwnTls];
    let rows = [
        (
            "PERMISSIVE",
            "web",
            8080,
            [Requests, Requests, Requests, Requests, NONE],
        ),
        (
            "PERMISSIVE",
            "api",
            8081,
            [Requests, Carried, Requests, Carried, Carried],
        ),
        (
            "PERMISSIVE",
            "db",
            5433,
            [Carried, Carried, Carried, Carried, Carried],
        ),
        (
            "PERMISSIVE",
            "web",
            4444,
            [Requests, Carried, Requests, Carried, Carried],
        ),
        (
            "STRICT",
            "web",
            8080,
            [NONE, NONE, Requests, Requests, Requests],
        ),
        (
            "STRICT",
            "api",
            8081,
            [NONE, NONE, Requests, Carried, Carried],
        ),
        (
            "STRICT",
            "db",
            5433,
            [NONE, NONE, Carried, Carried, Carried],
        ),
        (
            "STRICT",
            "web",
            4444,
            [NONE, NONE, Requests, Carried, Carried],
        ),
        (
            "DISABLE",
            "web",
            8080,
            [Requests, Requests, NONE, NONE, NONE],
        ),
        (
            "DISABLE",
            "api",
            8081,
            [Requests, Carried, Carried, Carried, Carried],
        ),
        (
            "DISABLE",
            "db",
            5433,
            [Carried, Carried, Carried, Carried, Carried],
        ),
    ];
    for (mode, server, port, expected) in rows {
        let built = with(&peers(mode));
        let found = firsts.map(|first| arrives(&built, server, port, first));
        assert_eq!(found, expected, "{mode} {server}:{port}");
    }
    let built = with("");
    let found = firsts.map(|first| arrives(&built, "web", 8080, first));
    assert_eq!(found, rows[0].3, "PERMISSIVE is the default");
}

#[test]
fn the_ports_mode_counts_before_the_workloads_the_namespaces_and_the_meshs() {
    let mesh = authentication("mesh", "istio-system", "mtls: {mode: STRICT}");
    let namespace = authentication("ns", "default", "mtls: {mode: PERMISSIVE}");
    let unset = authentication("ns", "default", "mtls: {mode: UNSET}");
    let of_web = |rest: &str| {
        authentication(
            "web",
            "default",
            &format!("selector: {{matchLabels: {{app: web}}}}, {rest}"),
        )
    };
    let strict = of_web("mtls: {mode: STRICT}");
    let port = of_web("mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}");
    let unset_port = of_web("mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: UNSET}}");
    let other_port = of_web("portLevelMtls: {9999: {mode: STRICT}}");
    // plaintext to 8080 of web, to 9999 of web, to 8081 of api: taken
    let rows = [
        ("nothing", vec![], [true, true, true]),
        ("the mesh's", vec![&mesh], [false, false, false]),
        (
            "the namespace's",
            vec![&mesh, &namespace],
            [true, true, true],
        ),
        (
            "unset is inherited",
            vec![&mesh, &unset],
            [false, false, false],
        ),
        (
            "the workload's",
            vec![&mesh, &namespace, &strict],
            [false, false, true],
        ),
        (
            "the port's",
            vec![&mesh, &namespace, &port],
            [true, false, true],
        ),
        (
            "an unset port",
            vec![&namespace, &unset_port],
            [false, false, true],
        ),
        (
            "a port without a Service",
            vec![&other_port],
            [true, false, true],
        ),
    ];
    for (name, objects, expected) in rows {
        let yaml: String = objects.into_iter().map(String::as_str).collect();
        let built = with(&yaml);
        let found = [("web", 8080), ("web", 9999), ("api", 8081)]
            .map(|(server, port)| arrives(&built, server, port, First::Http) != NONE);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn of_several_policies_the_first_by_name_counts() {
    let first = authentication("a", "default", "mtls: {mode: STRICT}");
    let second = authentication("b", "default", "mtls: {mode: DISABLE}");
    let built = with(&format!("{second}{first}"));
    assert_eq!(arrives(&built, "web", 8080, First::Http), NONE);
    assert!(
        built
            .problems
            .contains("PeerAuthentication/default/b has no effect"),
        "{}",
        built.problems
    );
}

#[test]
fn what_is_wrong_with_a_policy_is_told() {
    let rows = [
        ("default", "mtls: {mode: STRONG}", "error[field::choice]"),
        ("default", "mtls: {modes: STRICT}", "did you mean `mode`?"),
        (
            "default",
            "portLevelMtls: {80: {mode: STRICT}}",
            "`portLevelMtls` needs a `selector`",
        ),
        (
            "default",
            "selector: {matchLabels: {a: b}}, portLevelMtls: {http: {mode: STRICT}}",
            "`http` is no port",
        ),
        (
            "istio-system",
            "selector: {matchLabels: {a: b}}",
            "has no effect",
        ),
    ];
    for (namespace, spec, expected) in rows {
        let built = with(&authentication("a", namespace, spec));
        assert!(
            built.problems.contains(expected),
            "{spec}\n{}",
            built.problems
        );
    }
}

#[test]
fn nobody_tries_mutual_tls_with_a_port_that_has_it_off() {
    let off = "selector: {matchLabels: {app: web}}, portLevelMtls: {8080: {mode: DISABLE}}";
    let rows = [
        ("", [true, true]),
        (&*authentication("web", "default", off), [false, true]),
        (
            &*authentication("all", "default", "mtls: {mode: STRICT}"),
            [true, true],
        ),
    ];
    for (yaml, expected) in rows {
        let built = with(yaml);
        let found = ["80||web", "80||api"].map(|name| {
            let cluster = built.cluster("api", &format!("{name}.default.svc.cluster.local"));
            cluster.expect("there").endpoints.endpoints[0]
                .identity
                .is_some()
        });
        assert_eq!(found, expected, "{yaml}");
    }
    // with the namespace's off, not even a workload that demands it is spoken to so
    let strict = "selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}";
    let built = with(&format!(
        "{}{}",
        peers("DISABLE"),
        authentication("web", "default", strict)
    ));
    assert_eq!(
        built.web().transport,
        proxy_core::config::UpstreamTransport::Plaintext
    );
}

fn inbound_cluster(built: &Built, server: &str, name: &str) -> Arc<Cluster> {
    let section = built.inbound(server);
    let at = section.cluster_named(name).expect("a cluster of that name");
    section.clusters()[at.0 as usize].clone()
}

fn inbound_retry(built: &Built, server: &str, port: u16) -> Option<RetryPolicy> {
    let section = built.inbound(server);
    let name = format!("inbound:{port}");
    let listener = section
        .listeners()
        .iter()
        .find(|it| *it.name == *name)
        .expect("a listener");
    let table = listener
        .chains
        .iter()
        .find_map(|chain| match &chain.action {
            ChainAction::Http(http) => Some(http.table),
            ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => None,
        })?;
    let route = &section.tables()[table.0 as usize].virtual_hosts[0].routes[0];
    let RouteAction::Forward(forward) = &route.action else {
        panic!("sent on")
    };
    assert_eq!(forward.timeout.value, None);
    forward.retry.as_deref().cloned()
}

#[test]
fn what_was_reset_before_it_was_sent_is_sent_again_from_1_24_on() {
    let rows = [
        ("1.29", "web", 8080, true),
        ("1.24", "api", 8081, true),
        ("1.29", "rpc", 9001, false),
        ("1.23", "web", 8080, false),
    ];
    for (release, server, port, expected) in rows {
        let built = plan("").release(release).build();
        let retry = inbound_retry(&built, server, port);
        let found = retry.map(|retry| (retry.retries.value, retry.on.value));
        let wanted = expected.then(|| (2, RetryOn::NONE.with(Condition::ResetBeforeRequest)));
        assert_eq!(found, wanted, "{release} {server}");
    }
}

#[test]
fn the_application_is_spoken_to_as_its_port_declares() {
    let built = with("");
    let rows = [
        ("web", "inbound|8080||", UpstreamProtocol::Http1),
        ("api", "inbound|8081||", UpstreamProtocol::Downstream),
        ("rpc", "inbound|9001||", UpstreamProtocol::Http2),
    ];
    for (server, name, expected) in rows {
        assert_eq!(
            inbound_cluster(&built, server, name).protocol,
            expected,
            "{server}"
        );
    }
}

#[test]
fn the_connection_pool_of_a_rule_holds_on_the_servers_side_too() {
    let built = with(&policy(
        "connectionPool: {tcp: {maxConnections: 3}, http: {h2UpgradePolicy: UPGRADE}}, outlierDetection: {}",
    ));
    let cluster = inbound_cluster(&built, "web", "inbound|8080||");
    assert_eq!(cluster.limits[0].connections.value, 3);
    assert!(cluster.outlier.is_none(), "only the pool");
    assert_eq!(
        cluster.protocol,
        UpstreamProtocol::Http1,
        "nothing is upgraded toward the application"
    );
    let sidecar = "---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: own}
spec: {inboundConnectionPool: {http: {http1MaxPendingRequests: 4}}}
";
    let built = with(&format!(
        "{}{sidecar}",
        policy("connectionPool: {tcp: {maxConnections: 3}}")
    ));
    let limits = inbound_cluster(&built, "web", "inbound|8080||").limits[0];
    assert_eq!(
        (limits.connections.value, limits.pending.value),
        (u32::MAX, 4)
    );
}

#[test]
fn the_sidecar_proves_its_identity() {
    let built = with("");
    for listener in built.inbound("web").listeners() {
        for chain in &listener.chains {
            if let DownstreamTransport::Tls {
                mutual,
                certificate,
                ..
            } = &chain.transport
            {
                assert!(*mutual);
                assert_eq!(
                    &**certificate,
                    "spiffe://cluster.local/ns/default/sa/default"
                );
            }
        }
    }
}

#[test]
fn excluded_ports_take_everything_as_it_comes() {
    let yaml = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {traffic.sidecar.istio.io/excludeInboundPorts: \"8080\"}}
    spec: {containers: [{name: app, image: x, ports: [{containerPort: 8080}]}]}
---
";
    let built = with(&format!("{yaml}{}", peers("STRICT")));
    for first in [First::Http, First::Bytes, First::OwnTls] {
        assert_eq!(
            arrives(&built, "web", 8080, first),
            Fate::Carried,
            "{first:?}"
        );
    }
    assert_eq!(arrives(&built, "web", 8081, First::Http), NONE);
}
