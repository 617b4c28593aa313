//! What a node knows of a cluster while it runs.

use core::net::SocketAddr;
use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::attempts::BUDGET_WORDS;
use super::pool::Pool;
use crate::config::{Balancer, Cluster, DiscoveredHealth, EndpointSet, Name};
use crate::draw::{DrawKey, Purpose};
use crate::ids::{AttemptId, EndpointSlot};
use crate::limit::concurrency::ConcurrencyLimit;
use crate::retry::budget::{Balance, RequestWindow};
use crate::shared::{BlockKey, SharedState};
use crate::time::Time;

/// Words of a cluster's block: limits of both priorities, then what its budget counts.
pub(super) const CLUSTER_WORDS: usize = 2 * ConcurrencyLimit::WORDS + BUDGET_WORDS;

#[derive(Clone, Debug)]
pub(super) struct ClusterState {
    pub(super) config: Arc<Cluster>,
    /// As the last delta had them.
    pub(super) endpoints: Arc<EndpointSet>,
    /// Where its block starts.
    pub(super) at: usize,
    /// By slot. A slot is never given to another address.
    pub(super) hosts: Vec<Host>,
    pub(super) by_address: FxHashMap<SocketAddr, u32>,
    /// Tries that wait for an endpoint.
    pub(super) queue: VecDeque<AttemptId>,
    pub(super) queue_armed: bool,
    pub(super) failing_fast: bool,
    available: Vec<u32>,
    turn: usize,
}

/// One choice of an endpoint.
pub(super) struct Choice<'a> {
    pub(super) key: DrawKey,
    pub(super) hash: Option<u64>,
    /// How often the choice was turned down before.
    pub(super) rejected: u32,
    /// Endpoints that earlier tries failed at.
    pub(super) failed: &'a [u32],
    pub(super) now: Time,
}

const ENDPOINT_WORDS: usize = 1;

/// One endpoint of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) address: SocketAddr,
    pub(super) hostname: Name,
    pub(super) identity: Option<Name>,
    /// Where its block starts.
    pub(super) at: usize,
    pub(super) pools: SmallVec<[Pool; 1]>,
    pub(super) connections: u32,
    /// Whether discovery still has it.
    pub(super) present: bool,
}

impl ClusterState {
    pub(super) fn new(config: Arc<Cluster>, at: usize) -> Self {
        Self {
            config,
            endpoints: Arc::new(EndpointSet::default()),
            at,
            hosts: Vec::new(),
            by_address: FxHashMap::default(),
            queue: VecDeque::new(),
            queue_armed: false,
            failing_fast: false,
            available: Vec::new(),
            turn: 0,
        }
    }

    /// The slot of an address, made if it is new.
    pub(super) fn slot_at<S: SharedState>(
        &mut self,
        shared: &mut S,
        address: SocketAddr,
    ) -> EndpointSlot {
        if let Some(&slot) = self.by_address.get(&address) {
            return EndpointSlot(slot);
        }
        let at = shared.block(
            &BlockKey::Endpoint(self.config.name.clone(), address),
            ENDPOINT_WORDS,
        );
        let slot = self.hosts.len() as u32;
        self.hosts.push(Host {
            address,
            hostname: "".into(),
            identity: None,
            at,
            pools: SmallVec::new(),
            connections: 0,
            present: true,
        });
        self.by_address.insert(address, slot);
        EndpointSlot(slot)
    }

    /// Takes a new set of endpoints over.
    pub(super) fn set_endpoints<S: SharedState>(&mut self, shared: &mut S, set: Arc<EndpointSet>) {
        for host in &mut self.hosts {
            host.present = false;
        }
        for endpoint in &set.endpoints {
            let slot = self.slot_at(shared, endpoint.address);
            let host = &mut self.hosts[slot.0 as usize];
            host.present = true;
            host.hostname = endpoint.hostname.clone();
            host.identity.clone_from(&endpoint.identity);
        }
        self.endpoints = set;
        self.refresh();
    }

    pub(super) fn refresh(&mut self) {
        self.available.clear();
        for endpoint in &self.endpoints.endpoints {
            if endpoint.health == DiscoveredHealth::Healthy {
                self.available.push(self.by_address[&endpoint.address]);
            }
        }
    }

    pub(super) fn choose<S: SharedState>(
        &mut self,
        shared: &S,
        choice: &Choice<'_>,
    ) -> Option<EndpointSlot> {
        let n = self.available.len() as u64;
        if n == 0 {
            return None;
        }
        let draw = |i: u32| {
            choice
                .key
                .below(Purpose::Endpoint, choice.rejected * 2 + i, n) as usize
        };
        let at = match self.config.balancer.value {
            Balancer::LeastRequest { .. } => {
                let (a, b) = (draw(0), draw(1));
                let active = |i: usize| shared.get(self.hosts[self.available[i] as usize].at);
                if active(b) < active(a) { b } else { a }
            }
            Balancer::Random => draw(0),
            _ => {
                self.turn += 1;
                self.turn % n as usize
            }
        };
        Some(EndpointSlot(self.available[at]))
    }

    pub(super) fn has_available(&self) -> bool {
        !self.available.is_empty()
    }

    pub(super) fn candidates(&self) -> u32 {
        self.available.len() as u32
    }

    pub(super) fn panics(&self) -> bool {
        false
    }

    pub(super) fn reconfigure<S: SharedState>(&mut self, shared: &mut S, config: &Arc<Cluster>) {
        self.config = Arc::clone(config);
        self.set_endpoints(shared, Arc::clone(&config.endpoints));
    }

    pub(super) const fn limits_at(&self, priority: usize) -> usize {
        self.at + priority * ConcurrencyLimit::WORDS
    }

    pub(super) const fn window(&self) -> RequestWindow {
        RequestWindow::new(self.at + 2 * ConcurrencyLimit::WORDS)
    }

    pub(super) const fn balance(&self) -> Balance {
        Balance::new(self.at + 2 * ConcurrencyLimit::WORDS + RequestWindow::WORDS)
    }
}

impl Host {
    /// The word that counts the requests under way.
    pub(super) const fn active_at(&self) -> usize {
        self.at
    }

    /// The pool for a protocol and priority, made if need be, and its number.
    pub(super) fn pool(&mut self, http2: bool, high_priority: bool) -> (u8, &mut Pool) {
        let fits = |p: &Pool| p.http2 == http2 && p.high_priority == high_priority;
        let at = self.pools.iter().position(fits).unwrap_or_else(|| {
            self.pools.push(Pool {
                http2,
                high_priority,
                ..Pool::default()
            });
            self.pools.len() - 1
        });
        (at as u8, &mut self.pools[at])
    }
}
