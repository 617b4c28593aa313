//! Clients that stay with one endpoint.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::rig::*;
use crate::config::*;
use crate::node::Update;
use crate::origin::OriginId;

fn rig(carrier: SessionCarrier) -> Rig {
    Rig::simple(3, |_, forward| {
        forward.session = Some(Box::new(Session {
            carrier,
            origin: OriginId::NONE,
        }));
    })
}

fn cookie() -> SessionCarrier {
    SessionCarrier::Cookie {
        name: "held".into(),
        ttl: Some(crate::time::Duration::from_secs(90)),
        path: Some("/".into()),
    }
}

/// What the client is told, and the endpoint that its request went to.
fn ask(rig: &mut Rig, headers: &[(&str, &str)]) -> (Vec<String>, String) {
    rig.added.clear();
    let before = rig.sent.len();
    rig.send(headers);
    rig.run_until(rig.now + ms(100));
    let to = rig.sent[before..]
        .iter()
        .map(|sent| sent.1.to_string())
        .next_back();
    (std::mem::take(&mut rig.added), to.unwrap_or_default())
}

/// Envoy: `CookieBasedSessionStateFactory`.
#[test]
fn a_client_stays_with_the_endpoint_of_its_cookie() {
    let mut rig = rig(cookie());
    let (told, first) = ask(&mut rig, &[]);
    let made = format!("set-cookie: held=\"{first}\"; Max-Age=90; Path=/; HttpOnly");
    assert_eq!(told, [made]);
    let brought = format!("a=b; held=\"{first}\"");
    for _ in 0..5 {
        let (told, to) = ask(&mut rig, &[("cookie", &brought)]);
        assert_eq!(to, first);
        assert!(told.is_empty(), "it knows: {told:?}");
    }
    // others take their turns
    let others: BTreeSet<String> = (0..3).map(|_| ask(&mut rig, &[]).1).collect();
    assert_eq!(others.len(), 3);
}

#[test]
fn a_header_carries_a_session_as_well() {
    let mut rig = rig(SessionCarrier::Header("x-session".into()));
    let (told, first) = ask(&mut rig, &[]);
    assert_eq!(told, [format!("x-session: {first}")]);
    for _ in 0..5 {
        let (told, to) = ask(&mut rig, &[("x-session", &first)]);
        assert_eq!((to, told.len()), (first.clone(), 0));
    }
}

#[test]
fn a_session_whose_endpoint_is_gone_begins_anew() {
    let mut rig = rig(cookie());
    let (_, first) = ask(&mut rig, &[]);
    let mut left = endpoints(3);
    left.endpoints.retain(|it| it.address.to_string() != first);
    rig.update(Update::Endpoints {
        cluster: "c",
        set: Arc::new(left),
    });
    let brought = format!("held=\"{first}\"");
    let (told, second) = ask(&mut rig, &[("cookie", &brought)]);
    assert_ne!(second, first);
    assert_eq!(told.len(), 1, "it is told of its new one");
    // what is no address, or none of this cluster's, is of no account
    for odd in ["held=x", "held=\"192.0.2.9:80\"", "held="] {
        let (told, to) = ask(&mut rig, &[("cookie", odd)]);
        assert!(!to.is_empty() && told.len() == 1, "{odd}");
    }
}

#[test]
fn a_session_holds_across_a_split() {
    let mut draft = SectionDraft::default();
    let mut forward = Forward::to(ClusterIndex(0));
    let mut all = endpoints(2).endpoints;
    for (name, weight) in [("c", 1), ("d", 99)] {
        let set = EndpointSet {
            endpoints: vec![all.remove(0)],
            ..EndpointSet::default()
        };
        draft.add_cluster(Cluster::envoy(name, set));
        let mut weighted = forward.clusters[0].clone();
        weighted.cluster = Some(ClusterIndex(draft.clusters.len() as u32 - 1));
        weighted.weight = weight;
        forward.clusters.push(weighted);
    }
    forward.clusters.remove(0);
    forward.session = Some(Box::new(Session {
        carrier: cookie(),
        origin: OriginId::NONE,
    }));
    let rare = draft.clusters[0].endpoints.endpoints[0].address;
    let table = draft.add_table(RouteTable {
        name: "routes".into(),
        virtual_hosts: vec![VirtualHost {
            name: "all".into(),
            domains: vec!["*".into()],
            routes: vec![route_to(forward)],
            attempt_count: false,
            attempt_count_in_response: false,
            origin: OriginId::NONE,
        }],
        ignore_port: false,
    });
    draft.listeners.push(Listener {
        name: "outbound".into(),
        address: ListenerAddress::OutboundRest,
        chains: vec![chain(ChainAction::Http(Box::new(http(table))))],
        max_connections: None,
        preface: None,
        process_limit: None,
        logs: crate::log::Logs::default(),
        origin: OriginId::NONE,
    });
    let mut rig = Rig::new(NodeConfig {
        name: "test".into(),
        kind: NodeKind::Sidecar,
        sections: vec![Arc::new(draft.build().unwrap())],
    });
    let brought = format!("held=\"{rare}\"");
    for _ in 0..20 {
        let (told, to) = ask(&mut rig, &[("cookie", &brought)]);
        assert_eq!((to, told.len()), (rare.to_string(), 0));
    }
}
