//! What a node shows of itself to people: clusters and their endpoints at one moment.

use core::net::SocketAddr;

use super::Node;
use super::cluster::{ClusterState, Host};
use crate::config::{Cluster, ClusterIndex, DiscoveredHealth, Endpoint, EndpointSet, Name};
use crate::ids::ClusterId;
use crate::limit::concurrency::{ConcurrencyLimit, Resource};
use crate::shared::SharedState;

/// A cluster at one moment.
#[derive(Clone, Debug)]
pub struct ClusterView<'a> {
    /// Its id.
    pub id: ClusterId,
    /// As it is configured.
    pub config: &'a Cluster,
    /// Its endpoints, as discovery has them.
    pub endpoints: Vec<EndpointView<'a>>,
    /// What is under way in the whole process, for default and high priority.
    pub active: [Active; 2],
}

/// What is under way to a cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Active {
    /// Connections.
    pub connections: u64,
    /// Requests that wait for a connection.
    pub pending: u64,
    /// Requests.
    pub requests: u64,
    /// Retries.
    pub retries: u64,
}

/// An endpoint at one moment.
#[derive(Clone, Debug)]
pub struct EndpointView<'a> {
    /// Its address.
    pub address: SocketAddr,
    /// Its name.
    pub hostname: &'a Name,
    /// Where it is.
    pub locality: &'a Name,
    /// Its weight.
    pub weight: u32,
    /// Its priority.
    pub priority: u8,
    /// What discovery says of it.
    pub discovered: DiscoveredHealth,
    /// Whether an active health check has failed it.
    pub fails_check: bool,
    /// Whether it is out for what it has done.
    pub ejected: bool,
    /// Requests under way, in the whole process.
    pub requests: u64,
    /// Connections of this worker.
    pub connections: u32,
}

impl Node {
    /// Its clusters in the order of its configuration, those that nobody has used yet included.
    pub fn inspect<S: SharedState>(&self, shared: &S) -> Vec<ClusterView<'_>> {
        let current = self.configs.current();
        let mut views = Vec::new();
        for (at, section) in (0..).zip(&self.config().sections) {
            for (index, config) in (0..).zip(section.clusters()) {
                let id = self.configs.cluster_id(current, at, ClusterIndex(index));
                let later = self.machine.later.get(&config.name);
                let unused = later.unwrap_or(&config.endpoints);
                views.push(match self.machine.cluster(id) {
                    Some(state) => state.view(shared, id),
                    None => ClusterView {
                        id,
                        config,
                        endpoints: fresh(unused),
                        active: [Active::default(); 2],
                    },
                });
            }
        }
        views
    }
}

/// How an endpoint is.
#[derive(Clone, Copy)]
struct Wellness {
    fails_check: bool,
    ejected: bool,
}

fn fresh(set: &EndpointSet) -> Vec<EndpointView<'_>> {
    set.endpoints.iter().map(|it| view(it, None)).collect()
}

fn view<'a>(endpoint: &'a Endpoint, host: Option<(&Host, Wellness, u64)>) -> EndpointView<'a> {
    EndpointView {
        address: endpoint.address,
        hostname: &endpoint.hostname,
        locality: &endpoint.locality,
        weight: endpoint.weight,
        priority: endpoint.priority,
        discovered: endpoint.health,
        fails_check: host.is_some_and(|(_, state, _)| state.fails_check),
        ejected: host.is_some_and(|(_, state, _)| state.ejected),
        requests: host.map_or(0, |(.., requests)| requests),
        connections: host.map_or(0, |(it, ..)| it.connections),
    }
}

impl ClusterState {
    /// Whether an endpoint is out for what it has done.
    pub(super) fn is_out<S: SharedState>(&self, shared: &S, host: &Host) -> bool {
        self.config.outlier.is_some() && host.outlier().is_ejected(shared)
            || self.config.accrual.is_some() && !host.standing().is_available(shared)
            || host.passive().is_some_and(|it| !it.is_available(shared))
    }

    fn view<S: SharedState>(&self, shared: &S, id: ClusterId) -> ClusterView<'_> {
        let active = [0, 1].map(|priority| {
            let limit = ConcurrencyLimit::new(self.limits_at(priority));
            Active {
                connections: limit.active(shared, Resource::Connections),
                pending: limit.active(shared, Resource::PendingRequests),
                requests: limit.active(shared, Resource::Requests),
                retries: limit.active(shared, Resource::Retries),
            }
        });
        let endpoints = self.endpoints.endpoints.iter().map(|endpoint| {
            let host = self.host_at(endpoint.address);
            let host = host.map(|host| {
                let state = Wellness {
                    fails_check: !self.passes_checks(shared, host),
                    ejected: self.is_out(shared, host),
                };
                (host, state, shared.get(host.active_at()))
            });
            view(endpoint, host)
        });
        ClusterView {
            id,
            config: &self.config,
            endpoints: endpoints.collect(),
            active,
        }
    }
}
