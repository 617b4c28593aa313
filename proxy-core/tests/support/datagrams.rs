//! A node that carries datagrams, and the least driver that it needs.

use core::net::SocketAddr;
use std::sync::Arc;

use proxy_core::config::*;
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, Heads};
use proxy_core::node::{Cx, Datagram, Identity, Node};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::shared::PlainState;
use proxy_core::time::{Duration, Time};

/// There are no requests.
struct Nobody;

impl Heads for Nobody {
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

/// A node with a socket for datagrams in front of four endpoints.
pub struct Front {
    node: Node,
    shared: PlainState,
    now: Time,
}

const AT: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 53);

/// One whose datagrams have their endpoints chosen each on its own, or client by client.
#[must_use]
pub fn front(per_datagram: bool) -> Front {
    let endpoint = |n: u8| Endpoint::at(SocketAddr::from(([10, 0, 0, n], 53)));
    let set = EndpointSet {
        endpoints: (1..=4).map(endpoint).collect(),
        locality_weights: Vec::new(),
    };
    let mut draft = SectionDraft::default();
    let cluster = draft.add_cluster(Cluster::envoy("back", set));
    let route = UdpRoute {
        name: "front".into(),
        clusters: vec![(cluster, 1)],
        idle_timeout: Some(Sourced::unsourced(Duration::from_secs(60))),
        per_datagram,
        hash: None,
        largest_request: 1500,
        largest_answer: 1500,
        origin: OriginId::NONE,
    };
    draft.listeners.push(Listener {
        logs: proxy_core::log::Logs::default(),
        process_limit: None,
        name: "front".into(),
        address: ListenerAddress::Datagrams(AT),
        chains: vec![FilterChain {
            matches: ChainMatch::default(),
            transport: DownstreamTransport::Plaintext,
            action: ChainAction::Udp(route),
            origin: OriginId::NONE,
        }],
        max_connections: None,
        preface: None,
        origin: OriginId::NONE,
    });
    let config = NodeConfig {
        name: "front".into(),
        kind: NodeKind::Gateway,
        sections: vec![Arc::new(draft.build().expect("a section"))],
    };
    let identity = Identity {
        key: DrawKey::root(1),
        locality: "".into(),
        epoch_nanos: 0,
        elected: true,
    };
    Front {
        node: Node::new(identity, Arc::new(config)),
        shared: PlainState::default(),
        now: Time::ZERO,
    }
}

impl Front {
    /// A datagram of the client at this port.
    pub fn datagram(&mut self, port: u16) {
        self.now += Duration::from_micros(10);
        let datagram = Datagram {
            source: SocketAddr::from(([10, 1, 1, 1], port)),
            destination: AT,
        };
        let mut cx = Cx {
            now: self.now,
            shared: &mut self.shared,
            heads: &Nobody,
        };
        let session = self.node.datagram(&mut cx, datagram);
        session.expect("an endpoint");
        while self.node.poll_action().is_some() {}
    }
}
