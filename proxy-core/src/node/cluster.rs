//! What a node knows of a cluster while it runs.

use core::net::SocketAddr;
use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::attempts::BUDGET_WORDS;
use super::contract::Ends;
use super::pool::Pool;
use crate::accrual::Standing;
use crate::balance::KONG_DECAY;
use crate::balance::peak_ewma::PeakEwma;
use crate::balance::selector::{Choice, Chosen, Member, Selector};
use crate::balance::traefik::LatestTimes;
use crate::config::{
    Balancer, Cluster, DiscoveredHealth, Endpoint, EndpointSet, Name, RetryBudget, Subset,
    SubsetFallback,
};
use crate::draw::DrawKey;
use crate::health;
use crate::ids::{AttemptId, EndpointSlot};
use crate::limit::concurrency::{ConcurrencyLimit, Resource};
use crate::outlier::{self, Census};
use crate::passive;
use crate::retry::budget::{Balance, RequestWindow};
use crate::shared::{BlockKey, SharedState};
use crate::time::{Duration, Time};

/// Words of a cluster's block: limits of both priorities, what its budget counts, whether it has had requests, the interval that was swept
/// last, and how often an endpoint was taken out or came back.
pub(super) const CLUSTER_WORDS: usize = 2 * ConcurrencyLimit::WORDS + BUDGET_WORDS + 3;

/// Words of an endpoint's block: requests under way, latency, outlier detection, failure accrual, active checks.
const ENDPOINT_WORDS: usize = 1 + PeakEwma::WORDS + outlier::Host::WORDS + Standing::WORDS + 1;

#[derive(Clone, Debug)]
pub(super) struct ClusterState {
    pub(super) config: Arc<Cluster>,
    /// As the last delta had them.
    pub(super) endpoints: Arc<EndpointSet>,
    /// Where its block starts.
    at: usize,
    /// By slot. A slot is never given to another address.
    pub(super) hosts: Vec<Host>,
    by_address: FxHashMap<SocketAddr, u32>,
    /// The slot that was asked for last: an original destination is mostly the same one again.
    last_slot: u32,
    /// Tries that wait for an endpoint.
    pub(super) queue: VecDeque<AttemptId>,
    pub(super) queue_armed: bool,
    pub(super) failing_fast: bool,
    pub(super) selector: Selector,
    /// How often endpoints had been taken out or had come back when the selectors were told.
    seen: u64,
    /// Another worker has taken endpoints out since: connections to them may still be open.
    pub(super) strays: bool,
    /// Selectors for labels that routes ask for.
    subsets: Vec<(Subset, Selector)>,
    key: DrawKey,
    /// Where the node is.
    locality: Name,
    /// Number of the outlier sweep that comes next; 0: none is armed.
    pub(super) sweeps: u32,
    /// Whether this worker has told the others that it has had requests: until then active checks are rare.
    traffic: bool,
    /// Whether what becomes of requests says anything of its endpoints.
    pub(super) watched: bool,
    /// Whether the balancer goes by the whole time of requests, their responses' ends included.
    pub(super) times_ends: bool,
    /// Whether outcomes that need no retry pay for later ones.
    pub(super) pays_for_retries: bool,
    /// Whether a balancer that goes by a hash asks for the requests under way to the whole cluster.
    pub(super) hashes: bool,
}

/// One endpoint of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) address: SocketAddr,
    pub(super) hostname: Name,
    pub(super) identity: Option<Name>,
    /// Where its block starts.
    at: usize,
    /// Where the block of its latest response times starts, where the balancer goes by them.
    times: Option<usize>,
    /// Where the block of its failures of late starts, where they count.
    passive: Option<usize>,
    pub(super) pools: SmallVec<[Pool; 1]>,
    pub(super) connections: u32,
    /// Whether discovery still has it.
    pub(super) present: bool,
    /// Whether discovery calls it healthy.
    discovered: bool,
    /// When it last had it, while it does not.
    left: Time,
    /// When slow start began for it.
    pub(super) since: Time,
    /// By the cluster's active checks; of account for the worker that runs them alone.
    pub(super) checks: SmallVec<[health::State; 1]>,
    /// How many checks of it are running.
    pub(super) checked: u8,
    /// Whether it passed all checks when the selectors were told.
    passed: bool,
    /// Counts probes and their answers.
    pub(super) probes: u32,
}

impl ClusterState {
    pub(super) fn new(config: Arc<Cluster>, at: usize, key: DrawKey, locality: Name) -> Self {
        Self {
            watched: is_watched(&config),
            times_ends: times_ends(&config),
            pays_for_retries: pays_for_retries(&config),
            hashes: hashes(&config),
            config,
            endpoints: Arc::new(EndpointSet::default()),
            at,
            hosts: Vec::new(),
            by_address: FxHashMap::default(),
            last_slot: 0,
            queue: VecDeque::new(),
            queue_armed: false,
            failing_fast: false,
            selector: Selector::new(key),
            seen: 0,
            strays: false,
            subsets: Vec::new(),
            key,
            locality,
            sweeps: 0,
            traffic: false,
        }
    }

    /// The slot of an address, made if it is new.
    #[inline]
    pub(super) fn slot_at<S: SharedState>(
        &mut self,
        shared: &mut S,
        address: SocketAddr,
        now: Time,
    ) -> EndpointSlot {
        let last = self.hosts.get(self.last_slot as usize);
        if last.is_some_and(|host| host.address == address) {
            return EndpointSlot(self.last_slot);
        }
        if let Some(&slot) = self.by_address.get(&address) {
            self.last_slot = slot;
            return EndpointSlot(slot);
        }
        let name = BlockKey::Endpoint(self.config.name.clone(), address);
        let at = shared.block(&name, ENDPOINT_WORDS);
        let slot = self.hosts.len() as u32;
        self.hosts.push(Host {
            address,
            hostname: "".into(),
            identity: None,
            at,
            times: None,
            passive: None,
            pools: SmallVec::new(),
            connections: 0,
            present: true,
            discovered: true,
            left: now,
            since: now,
            checks: vec![health::State::default(); self.config.health_checks.len()].into(),
            checked: 0,
            passed: true,
            probes: 0,
        });
        self.by_address.insert(address, slot);
        EndpointSlot(slot)
    }

    /// Takes a new set of endpoints over.
    pub(super) fn set_endpoints<S: SharedState>(
        &mut self,
        shared: &mut S,
        set: Arc<EndpointSet>,
        now: Time,
    ) {
        let mut was_present = Vec::with_capacity(self.hosts.len());
        for host in &mut self.hosts {
            was_present.push(host.present);
            if core::mem::replace(&mut host.present, false) {
                host.left = now;
            }
        }
        let begin = self.first_latency(shared, &was_present, now);
        let config = Arc::clone(&self.config);
        for endpoint in &set.endpoints {
            let slot = self.slot_at(shared, endpoint.address, now);
            let host = &mut self.hosts[slot.0 as usize];
            host.find_blocks(shared, &config);
            // a new configuration may take endpoints away and give them back at once: they never left
            if was_present.get(slot.0 as usize) == Some(&false) && host.left < now {
                host.start_anew(shared, &config, now);
            }
            host.present = true;
            host.discovered = endpoint.health == DiscoveredHealth::Healthy;
            host.hostname = endpoint.hostname.clone();
            host.identity.clone_from(&endpoint.identity);
            if let Some(seconds) = begin {
                PeakEwma::new(host.latency_at()).begin(shared, seconds, now);
            }
        }
        self.endpoints = set;
        self.refresh(shared, now);
    }

    /// The response time, in seconds, that new endpoints are believed to have: Linkerd's default, the mean of Kong's
    /// others, the mean of what was measured last of NGINX's others.
    ///
    /// Source: linkerd2-proxy `linkerd/load-biaser/src/lib.rs`; kong `kong/runloop/balancer/latency.lua`
    /// (`calculate_slow_start_ewma`); ingress-nginx `rootfs/etc/nginx/lua/balancer/ewma.lua`.
    fn first_latency<S: SharedState>(
        &self,
        shared: &S,
        present: &[bool],
        now: Time,
    ) -> Option<f64> {
        match self.config.balancer.value {
            Balancer::PeakEwma { default_rtt, .. } => Some(default_rtt.as_secs_f64()),
            Balancer::KongLatency => {
                let known = || self.hosts.iter().zip(present).filter(|(_, p)| **p);
                let sum: f64 = known()
                    .map(|(h, _)| PeakEwma::new(h.latency_at()).estimate(shared, KONG_DECAY, now))
                    .sum();
                let count = known().count();
                (count > 0).then(|| sum / count as f64)
            }
            Balancer::NginxEwma => {
                let known = || {
                    let present = self.hosts.iter().zip(present).filter(|(_, p)| **p);
                    let stored = present.map(|(h, _)| PeakEwma::new(h.latency_at()).stored(shared));
                    stored.filter(|seconds| *seconds > 0.0)
                };
                let count = known().count();
                (count > 0).then(|| known().sum::<f64>() / count as f64)
            }
            Balancer::RoundRobin
            | Balancer::LeastRequest { .. }
            | Balancer::Random
            | Balancer::RingHash { .. }
            | Balancer::Maglev { .. }
            | Balancer::KongRing
            | Balancer::KongLeastConnections
            | Balancer::TraefikTurns
            | Balancer::TraefikTwoChoices
            | Balancer::TraefikLeastTime
            | Balancer::TraefikRendezvous
            | Balancer::OriginalDestination => None,
        }
    }

    /// Whether an endpoint may be used outside panic.
    pub(super) fn is_available<S: SharedState>(&self, shared: &S, host: &Host) -> bool {
        host.discovered && self.is_well(shared, host)
    }

    /// The same, whatever discovery says.
    pub(super) fn is_well<S: SharedState>(&self, shared: &S, host: &Host) -> bool {
        !self.is_out(shared, host) && self.passes_checks(shared, host)
    }

    /// Whether an endpoint passes its active checks, whichever worker runs them; it does not before the first that it passes.
    pub(super) fn passes_checks<S: SharedState>(&self, shared: &S, host: &Host) -> bool {
        self.config.health_checks.is_empty() || shared.get(host.passes_at()) != 0
    }

    /// Requests have come: active checks are no longer rare.
    pub(super) fn had_traffic<S: SharedState>(&mut self, shared: &mut S) {
        if !core::mem::replace(&mut self.traffic, true) {
            shared.set(self.traffic_at(), 1);
        }
    }

    pub(super) const fn traffic_at(&self) -> usize {
        self.at + CLUSTER_WORDS - 3
    }

    /// The endpoint at an address, where there is one that may be used outside panic.
    pub(super) fn usable_at<S: SharedState>(
        &self,
        shared: &S,
        address: SocketAddr,
    ) -> Option<EndpointSlot> {
        let slot = *self.by_address.get(&address)?;
        let host = self.hosts.get(slot as usize).filter(|host| host.present)?;
        self.is_available(shared, host)
            .then_some(EndpointSlot(slot))
    }

    fn members<S: SharedState>(&self, shared: &S, labels: &[(Name, Name)]) -> Vec<Member> {
        let has = |endpoint: &Endpoint, wanted: &[(Name, Name)]| {
            wanted.iter().all(|label| endpoint.labels.contains(label))
        };
        self.endpoints
            .endpoints
            .iter()
            .filter(|e| has(e, &self.config.subset) && has(e, labels))
            .map(|endpoint| {
                let slot = self.by_address[&endpoint.address];
                let host = &self.hosts[slot as usize];
                Member {
                    slot: EndpointSlot(slot),
                    available: endpoint.health == DiscoveredHealth::Healthy
                        && self.is_well(shared, host),
                    priority: endpoint.priority,
                    weight: endpoint.weight.max(1),
                    locality: endpoint.locality.clone(),
                    key: endpoint.address.to_string().into(),
                    active_at: host.active_at(),
                    latency_at: host.latency_at(),
                    since: host.since,
                }
            })
            .collect()
    }

    /// An endpoint was taken out or came back: the selectors of every worker are to know, these at once and the others when they choose next.
    pub(super) fn spread<S: SharedState>(&mut self, shared: &mut S, now: Time) {
        let (_, changes) = shared.update(self.changes_at(), |changes| changes + 1);
        self.seen = changes;
        self.refresh(shared, now);
    }

    /// Whether no worker has swept in the interval that holds `now`: who asks first does.
    pub(super) fn takes_sweep<S: SharedState>(
        &self,
        shared: &mut S,
        interval: Duration,
        now: Time,
    ) -> bool {
        let interval = interval.as_nanos().max(1);
        let begins = now.as_nanos() / interval * interval + 1;
        let (before, _) = shared.update(self.changes_at() - 1, |last| last.max(begins));
        before < begins
    }

    const fn changes_at(&self) -> usize {
        self.at + CLUSTER_WORDS - 1
    }

    /// Tells the selectors what changed.
    pub(super) fn refresh<S: SharedState>(&mut self, shared: &S, now: Time) {
        if !self.config.health_checks.is_empty() {
            for host in &mut self.hosts {
                let passes = shared.get(host.passes_at()) != 0;
                if passes && !core::mem::replace(&mut host.passed, passes) {
                    host.since = now;
                }
                host.passed = passes;
            }
        }
        let members = self.members(shared, &[]);
        self.selector
            .rebuild(&self.config, &self.endpoints, &self.locality, members, now);
        for (subset, mut selector) in core::mem::take(&mut self.subsets) {
            let members = self.members(shared, &subset);
            selector.rebuild(&self.config, &self.endpoints, &self.locality, members, now);
            self.subsets.push((subset, selector));
        }
    }

    #[inline(always)]
    pub(super) fn choose<S: SharedState>(
        &mut self,
        shared: &S,
        choice: Choice<'_>,
        labels: &[(Name, Name)],
    ) -> Option<Chosen> {
        if self.watched {
            let changes = shared.get(self.changes_at());
            if changes != self.seen {
                self.seen = changes;
                self.strays = true;
                self.refresh(shared, choice.now);
            }
        }
        if self.config.subsets.is_none() {
            return self.selector.choose(shared, &choice);
        }
        self.choose_labelled(shared, choice, labels)
    }

    #[inline(never)]
    fn choose_labelled<S: SharedState>(
        &mut self,
        shared: &S,
        choice: Choice<'_>,
        labels: &[(Name, Name)],
    ) -> Option<Chosen> {
        let config = Arc::clone(&self.config);
        let rules = config.subsets.as_ref()?;
        if rules.select(labels) {
            let at = self.subset(shared, labels, choice.now);
            if !self.subsets[at].1.is_empty() {
                return self.subsets[at].1.choose(shared, &choice);
            }
        }
        match &rules.fallback {
            SubsetFallback::Nowhere => None,
            SubsetFallback::Any => self.selector.choose(shared, &choice),
            SubsetFallback::Labelled(labels) => {
                let at = self.subset(shared, labels, choice.now);
                self.subsets[at].1.choose(shared, &choice)
            }
        }
    }

    /// Where the endpoints with these labels are, which are looked for when they are first asked for.
    fn subset<S: SharedState>(&mut self, shared: &S, labels: &[(Name, Name)], now: Time) -> usize {
        let found = self.subsets.iter().position(|(subset, _)| subset == labels);
        found.unwrap_or_else(|| {
            let members = self.members(shared, labels);
            let mut selector = Selector::new(self.key.child(1 + self.subsets.len() as u64));
            selector.rebuild(&self.config, &self.endpoints, &self.locality, members, now);
            self.subsets.push((labels.to_vec(), selector));
            self.subsets.len() - 1
        })
    }

    /// Whether endpoints with these labels of another priority than `spent` may be used.
    pub(super) fn has_health_besides(&self, spent: &[u8], labels: &[(Name, Name)]) -> bool {
        let of_subset = self.subsets.iter().find(|(subset, _)| subset == labels);
        let selector = of_subset.map_or(&self.selector, |(_, selector)| selector);
        selector.has_health_besides(spent)
    }

    pub(super) fn reconfigure<S: SharedState>(
        &mut self,
        shared: &mut S,
        config: &Arc<Cluster>,
        endpoints: Arc<EndpointSet>,
        now: Time,
    ) {
        if self.config.health_checks != config.health_checks {
            let count = config.health_checks.len();
            for host in &mut self.hosts {
                host.checks = vec![health::State::default(); count].into();
                host.checked = host.checked.min(u8::try_from(count).unwrap_or(u8::MAX));
                shared.set(host.passes_at(), 0);
            }
        }
        self.watched = is_watched(config);
        self.times_ends = times_ends(config);
        self.pays_for_retries = pays_for_retries(config);
        self.hashes = hashes(config);
        self.config = Arc::clone(config);
        // routes ask for the subsets that they still have
        self.subsets.clear();
        self.set_endpoints(shared, endpoints, now);
    }

    pub(super) fn host_at(&self, address: SocketAddr) -> Option<&Host> {
        let slot = *self.by_address.get(&address)?;
        self.hosts.get(slot as usize)
    }

    /// How many of the cluster's endpoints are out.
    pub(super) fn census<S: SharedState>(&self, shared: &S) -> Census {
        let present = || self.hosts.iter().filter(|h| h.present);
        let ejected = present().filter(|h| h.outlier().is_ejected(shared));
        Census {
            ejected: ejected.count() as u32,
            hosts: present().count() as u32,
        }
    }

    pub(super) const fn limits_at(&self, priority: usize) -> usize {
        self.at + priority * ConcurrencyLimit::WORDS
    }

    /// The word that counts the requests under way.
    pub(super) const fn requests_at(&self, priority: usize) -> usize {
        self.limits_at(priority) + Resource::Requests as usize
    }

    pub(super) const fn window(&self) -> RequestWindow {
        RequestWindow::new(self.at + 2 * ConcurrencyLimit::WORDS)
    }

    pub(super) const fn balance(&self) -> Balance {
        Balance::new(self.at + 2 * ConcurrencyLimit::WORDS + RequestWindow::WORDS)
    }
}

/// Whether results of requests are looked at: by outlier detection, failure accrual, passive or active checks, or a balancer that goes by latency.
const fn is_watched(config: &Cluster) -> bool {
    config.outlier.is_some()
        || config.accrual.is_some()
        || config.passive.is_some()
        || !config.health_checks.is_empty()
        || matches!(
            config.balancer.value,
            Balancer::PeakEwma { .. } | Balancer::KongLatency | Balancer::TraefikLeastTime
        )
}

const fn times_ends(config: &Cluster) -> bool {
    matches!(config.balancer.value, Balancer::NginxEwma)
}

const fn hashes(config: &Cluster) -> bool {
    matches!(
        config.balancer.value,
        Balancer::RingHash { .. } | Balancer::Maglev { .. }
    )
}

/// Whether the cluster has a budget that outcomes pay into.
fn pays_for_retries(config: &Cluster) -> bool {
    let budget = config.retry_budget.map(|b| b.value);
    matches!(budget, Some(RetryBudget::Rate(_)))
}

impl Host {
    /// The word that counts the requests under way.
    pub(super) const fn active_at(&self) -> usize {
        self.at
    }

    /// Discovery has it again: to the balancer it is a new endpoint. Requests still under way to it go on counting.
    fn start_anew<S: SharedState>(&mut self, shared: &mut S, config: &Cluster, now: Time) {
        shared.clear(self.at + 1, ENDPOINT_WORDS - 1);
        if let Some(at) = self.times {
            shared.clear(at, LatestTimes::WORDS);
        }
        if let (Some(at), Some(settings)) = (self.passive, &config.passive) {
            shared.clear(at, settings.value.words());
        }
        self.since = now;
        self.checks.fill(health::State::default());
        self.checked = 0;
    }

    /// Finds the blocks that not every cluster's endpoints have.
    fn find_blocks<S: SharedState>(&mut self, shared: &mut S, config: &Cluster) {
        let name = || (config.name.clone(), self.address);
        let timed = config.balancer.value == Balancer::TraefikLeastTime;
        self.times = timed.then(|| {
            let (cluster, address) = name();
            shared.block(&BlockKey::Times(cluster, address), LatestTimes::WORDS)
        });
        self.passive = config.passive.map(|settings| {
            let ((cluster, address), words) = (name(), settings.value.words());
            shared.block(&BlockKey::Passive(cluster, address, words), words)
        });
    }

    /// Its standing by what failed of late, where that counts.
    pub(super) fn passive(&self) -> Option<passive::Standing> {
        self.passive.map(passive::Standing::new)
    }

    pub(super) fn latency_at(&self) -> usize {
        self.times.unwrap_or(self.at + 1)
    }

    pub(super) const fn outlier(&self) -> outlier::Host {
        outlier::Host::new(self.at + 1 + PeakEwma::WORDS)
    }

    /// The word that says whether it passes its active checks.
    pub(super) const fn passes_at(&self) -> usize {
        self.at + ENDPOINT_WORDS - 1
    }

    pub(super) const fn standing(&self) -> Standing {
        Standing::new(self.at + 1 + PeakEwma::WORDS + outlier::Host::WORDS)
    }

    /// Whether connections of a pool carry bytes rather than requests.
    pub(super) fn carries_bytes(&self, pool: u16) -> bool {
        self.pools.get(usize::from(pool)).is_some_and(|it| it.bytes)
    }

    /// The pool for a protocol and priority, made if need be, and its number.
    #[inline(always)]
    pub(super) fn pool(&mut self, kind: (bool, bool, bool)) -> (u16, &mut Pool) {
        let fits = |p: &Pool| (p.http2, p.high_priority, p.bytes) == kind;
        // mostly there is one
        let at = match self.pools.first() {
            Some(first) if fits(first) => 0,
            Some(_) | None => self.other_pool(kind),
        };
        (at as u16, &mut self.pools[at])
    }

    /// The pool for a protocol, a priority and the ends of a client's connection, of which each has its own; none: there are too many.
    ///
    /// Source: Envoy 1.40 `UpstreamProxyProtocolSocketFactory::hashKey`.
    pub(super) fn pool_for(
        &mut self,
        kind: (bool, bool, bool),
        ends: Option<Ends>,
    ) -> Option<(u16, &mut Pool)> {
        let (http2, high_priority, bytes) = kind;
        let fits = |p: &Pool| (p.http2, p.high_priority, p.bytes) == kind && p.ends == ends;
        let is_free = |p: &Pool| p.connections == 0 && p.waiting == 0;
        let known = self.pools.iter().position(fits);
        let free = || self.pools.iter().position(is_free);
        let at = known.or_else(free).unwrap_or(self.pools.len());
        let number = u16::try_from(at).ok()?;
        if known.is_none() {
            let pool = Pool {
                http2,
                high_priority,
                bytes,
                ends,
                ..Pool::default()
            };
            match self.pools.get_mut(at) {
                Some(free) => *free = pool,
                None => self.pools.push(pool),
            }
        }
        Some((number, &mut self.pools[at]))
    }

    #[cold]
    fn other_pool(&mut self, kind: (bool, bool, bool)) -> usize {
        let fits = |p: &Pool| (p.http2, p.high_priority, p.bytes) == kind;
        let (http2, high_priority, bytes) = kind;
        self.pools.iter().position(fits).unwrap_or_else(|| {
            self.pools.push(Pool {
                http2,
                high_priority,
                bytes,
                ..Pool::default()
            });
            self.pools.len() - 1
        })
    }
}
