//! What is shown, gathered from the workers of all proxies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use proxy_core::config::{Cluster, DiscoveredHealth, ListenerAddress, Name};
use proxy_core::node::{Active, ClusterView};
use tokio::sync::oneshot;

use super::View;
use crate::counts::{ClusterBook, Times, Udp, times};
use crate::process::Ask;
use crate::worker::Worker;

/// A worker that does not answer in this time is left out.
const PATIENCE: Duration = Duration::from_secs(1);

/// A proxy at one moment.
#[derive(Debug)]
pub(super) struct ProxyShot {
    pub(super) clusters: Vec<ClusterShot>,
    pub(super) listeners: Vec<(String, SocketAddr)>,
    /// Rules for datagrams, by their names.
    pub(super) udp: Vec<(Name, Udp)>,
    pub(super) downstream_time: Times,
    pub(super) connections: u64,
    pub(super) exchanges: u64,
}

/// A cluster of a proxy at one moment.
#[derive(Clone, Debug)]
pub(super) struct ClusterShot {
    pub(super) name: String,
    pub(super) service: String,
    pub(super) book: ClusterBook,
    pub(super) endpoints: Vec<EndpointShot>,
    pub(super) active: [Active; 2],
    /// Connections, pending requests, requests and retries, for default and high priority.
    pub(super) limits: [[u32; 4]; 2],
}

/// An endpoint at one moment.
#[derive(Clone, Debug)]
pub(super) struct EndpointShot {
    pub(super) address: SocketAddr,
    pub(super) hostname: String,
    pub(super) locality: String,
    pub(super) weight: u32,
    pub(super) priority: u8,
    pub(super) discovered: DiscoveredHealth,
    pub(super) fails_check: bool,
    pub(super) ejected: bool,
    pub(super) requests: u64,
    pub(super) connections: u64,
}

impl EndpointShot {
    /// Whether it is used outside panic.
    pub(super) const fn is_healthy(&self) -> bool {
        matches!(self.discovered, DiscoveredHealth::Healthy) && !self.fails_check && !self.ejected
    }
}

/// All proxies, worker by worker added up.
pub(super) async fn all(views: &[View]) -> Vec<ProxyShot> {
    let mut shots = Vec::new();
    for view in views {
        if let Some(shot) = of_proxy(view).await {
            shots.push(shot);
        }
    }
    shots
}

async fn of_proxy(view: &View) -> Option<ProxyShot> {
    let mut answers = Vec::new();
    for worker in view.asks.iter() {
        let (tell, told) = oneshot::channel();
        let ask: Ask = Box::new(move |worker| {
            // whoever asked may have lost patience
            let _ = tell.send(of_worker(worker));
        });
        if worker.send(ask).is_ok() {
            answers.push(told);
        }
    }
    let mut sum: Option<ProxyShot> = None;
    for answer in answers {
        let Ok(Ok(shot)) = tokio::time::timeout(PATIENCE, answer).await else {
            continue;
        };
        match &mut sum {
            Some(sum) => sum.add(&shot),
            None => sum = Some(shot),
        }
    }
    sum
}

fn of_worker(worker: &Worker) -> ProxyShot {
    let config = worker.node.config();
    let listeners = config.sections.iter().flat_map(|it| it.listeners());
    let sockets = listeners.filter_map(|listener| match listener.address {
        ListenerAddress::Socket(address) => Some((listener.name.to_string(), address)),
        ListenerAddress::OutboundTo(address) | ListenerAddress::Datagrams(address) => {
            Some((listener.name.to_string(), address))
        }
        ListenerAddress::OutboundPort(_)
        | ListenerAddress::OutboundRest
        | ListenerAddress::InboundPort(_)
        | ListenerAddress::InboundRest => None,
    });
    ProxyShot {
        clusters: worker
            .inspect()
            .iter()
            .map(|view| of_cluster(worker, view))
            .collect(),
        listeners: sockets.collect(),
        udp: worker.books.udp.clone(),
        downstream_time: worker.books.downstream_time.clone(),
        connections: worker.downstreams.len() as u64,
        exchanges: worker.node.exchanges() as u64,
    }
}

fn of_cluster(worker: &Worker, view: &ClusterView<'_>) -> ClusterShot {
    let endpoints = view.endpoints.iter().map(|endpoint| EndpointShot {
        address: endpoint.address,
        hostname: endpoint.hostname.to_string(),
        locality: endpoint.locality.to_string(),
        weight: endpoint.weight,
        priority: endpoint.priority,
        discovered: endpoint.discovered,
        fails_check: endpoint.fails_check,
        ejected: endpoint.ejected,
        requests: endpoint.requests,
        connections: u64::from(endpoint.connections),
    });
    ClusterShot {
        name: view.config.name.to_string(),
        service: view.config.service.to_string(),
        book: worker.books.of(view.id).cloned().unwrap_or_default(),
        endpoints: endpoints.collect(),
        active: view.active,
        limits: limits(view.config),
    }
}

fn limits(cluster: &Cluster) -> [[u32; 4]; 2] {
    let of = |limits: &proxy_core::config::Limits| {
        [
            limits.connections.value,
            limits.pending.value,
            limits.requests.value,
            limits.retries.value,
        ]
    };
    [of(&cluster.limits[0]), of(&cluster.limits[1])]
}

impl ProxyShot {
    /// Adds another worker's. What the process shares is the same in both.
    fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.exchanges += other.exchanges;
        merge(&mut self.downstream_time, &other.downstream_time);
        for (name, counts) in &other.udp {
            match self.udp.iter_mut().find(|(it, _)| it == name) {
                Some((_, sum)) => sum.add(counts),
                None => self.udp.push((name.clone(), counts.clone())),
            }
        }
        let known = self.clusters.iter().enumerate();
        let known: BTreeMap<String, usize> = known.map(|(at, it)| (it.name.clone(), at)).collect();
        for cluster in &other.clusters {
            let Some(at) = known.get(&cluster.name) else {
                // one of the two has not heard of a change yet
                self.clusters.push(cluster.clone());
                continue;
            };
            let sum = &mut self.clusters[*at];
            sum.book.counts.add(&cluster.book.counts);
            merge(&mut sum.book.time, &cluster.book.time);
            for endpoint in &mut sum.endpoints {
                let mut others = cluster.endpoints.iter();
                let other = others.find(|it| it.address == endpoint.address);
                endpoint.connections += other.map_or(0, |it| it.connections);
                endpoint.fails_check |= other.is_some_and(|it| it.fails_check);
            }
        }
    }
}

fn merge(sum: &mut Times, other: &Times) {
    sum.add(other).expect("all have the same bounds");
}

/// The times of all proxies together.
pub(super) fn downstream_times(shots: &[ProxyShot]) -> Times {
    let mut sum = times();
    for shot in shots {
        merge(&mut sum, &shot.downstream_time);
    }
    sum
}
