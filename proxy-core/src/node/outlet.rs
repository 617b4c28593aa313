//! Where a driver sends what is no request of a client's: spans.

use core::net::SocketAddr;

use super::Node;
use super::contract::TlsPlan;
use crate::config::{
    Cluster, ClusterIndex, DiscoveredHealth, Endpoint, EndpointSet, UpstreamProtocol,
    UpstreamTransport,
};
use crate::shared::SharedState;

/// An endpoint, and how it is spoken to.
#[derive(Clone, Copy, Debug)]
pub struct Outlet<'a> {
    /// Where it is.
    pub address: SocketAddr,
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
    /// TLS, if any.
    pub tls: Option<TlsPlan<'a>>,
}

impl Node {
    /// The endpoint of a cluster that takes the `turn`-th of such messages; none: the cluster is not there or has none.
    ///
    /// Departs: endpoints that may be used take turns, whatever their weights and the cluster's balancer.
    pub fn outlet<S: SharedState>(
        &self,
        shared: &S,
        cluster: &str,
        turn: u64,
    ) -> Option<Outlet<'_>> {
        let (config, endpoint) = self.outlet_endpoint(shared, cluster, turn)?;
        Some(Outlet {
            address: endpoint.address,
            http2: config.protocol == UpstreamProtocol::Http2,
            tls: tls(&config.transport, endpoint.identity.as_deref()),
        })
    }

    fn outlet_endpoint<S: SharedState>(
        &self,
        shared: &S,
        cluster: &str,
        turn: u64,
    ) -> Option<(&Cluster, &Endpoint)> {
        let current = self.configs.current();
        let sections = (0..).zip(&self.config().sections);
        let mut clusters = sections.flat_map(|(section, it)| {
            let numbered = (0..).zip(it.clusters());
            numbered.map(move |(index, config)| (section, ClusterIndex(index), config))
        });
        let (section, index, config) = clusters.find(|(.., it)| &*it.name == cluster)?;
        let id = self.configs.cluster_id(current, section, index);
        let state = self.machine.cluster(id);
        let set: &EndpointSet = match state {
            Some(state) => &state.endpoints,
            None => self
                .machine
                .later
                .get(&config.name)
                .unwrap_or(&config.endpoints),
        };
        let may_be_used = |endpoint: &&Endpoint| {
            endpoint.health == DiscoveredHealth::Healthy
                && state.is_none_or(|state| {
                    let host = state.host_at(endpoint.address);
                    host.is_none_or(|host| state.is_well(shared, host))
                })
        };
        let well = set.endpoints.iter().filter(may_be_used);
        let chosen = match well.clone().count() as u64 {
            0 => set
                .endpoints
                .iter()
                .cycle()
                .nth(turn_of(turn, set.endpoints.len() as u64)?),
            count => well.cycle().nth(turn_of(turn, count)?),
        };
        Some((config, chosen?))
    }
}

/// Whose turn it is among so many; none: there is nobody.
fn turn_of(turn: u64, count: u64) -> Option<usize> {
    turn.checked_rem(count).map(|at| at as usize)
}

/// TLS toward an endpoint of this identity.
pub(super) fn tls<'a>(
    transport: &'a UpstreamTransport,
    identity: Option<&'a str>,
) -> Option<TlsPlan<'a>> {
    match transport {
        UpstreamTransport::Plaintext => None,
        UpstreamTransport::Tls { sni, certificate } => Some(TlsPlan {
            sni,
            alpn: &[],
            certificate: certificate.as_deref(),
            peer: None,
        }),
        UpstreamTransport::Mesh {
            only_where_meshed: true,
            ..
        } if identity.is_none() => None,
        UpstreamTransport::Mesh {
            sni,
            identity: own,
            alpn,
            ..
        } => Some(TlsPlan {
            sni,
            alpn,
            certificate: Some(own),
            peer: identity,
        }),
    }
}
