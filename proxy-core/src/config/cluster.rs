//! Upstreams as configured: endpoints, balancing, limits, health, connection pools.

use core::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Name, PrefaceVersion, Share};
use crate::balance::slow_start::SlowStart;
use crate::origin::{OriginId, Sourced};
use crate::retry::budget::{ConcurrencyBudget, RateBudget};
use crate::time::Duration;
use crate::{accrual, health, outlier, passive};

/// One upstream.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Unique in its section; state survives updates by this name.
    pub name: Name,
    /// The service behind it as people call it (`namespace/name`), for reports; several clusters (subsets) may share it.
    pub service: Name,
    /// Where its endpoints come from.
    pub discovery: Discovery,
    /// Known endpoints.
    pub endpoints: Arc<EndpointSet>,
    /// How one is chosen.
    pub balancer: Sourced<Balancer>,
    /// Labels that endpoints of this cluster must have (a subset cluster); empty: all.
    pub subset: Subset,
    /// Endpoints by labels that routes ask for; none: what routes ask for is of no account.
    pub subsets: Option<Subsets>,
    /// How localities share the load.
    pub locality: Sourced<LocalityBalance>,
    /// Below this share of healthy endpoints all are used. Envoy's default is 50 %, 0 turns it off.
    pub panic_threshold: Sourced<Share>,
    /// In panic, answer 503 instead.
    pub fail_traffic_on_panic: bool,
    /// Per cent by which healthy endpoints count more before a priority spills. Envoy: 140.
    pub overprovisioning: u32,
    /// Longest time until a connection (its handshake included) stands. Envoy: 5 s.
    pub connect_timeout: Sourced<Duration>,
    /// Address that connections come from; none: the system chooses (Envoy: `upstream_bind_config`).
    pub source_address: Option<IpAddr>,
    /// The header of the PROXY protocol that connections begin with, which says whom they are for (Envoy: `ProxyProtocolUpstreamTransport`);
    /// none: they do not. With one, requests share a connection only where they came over one, or from one address and port to another.
    pub preface: Option<PrefaceVersion>,
    /// What is spoken.
    pub protocol: UpstreamProtocol,
    /// Plaintext or TLS.
    pub transport: UpstreamTransport,
    /// New endpoints get their share by and by.
    pub slow_start: Option<Sourced<SlowStart>>,
    /// Endpoints that fail are taken out for a time (Envoy).
    pub outlier: Option<Sourced<outlier::Settings>>,
    /// Endpoints that fail are taken out until a request succeeds (Linkerd).
    pub accrual: Option<Sourced<accrual::Settings>>,
    /// Endpoints that have failed so often of late are left out for a time (Traefik).
    pub passive: Option<Sourced<passive::Settings>>,
    /// Active health checks.
    pub health_checks: Vec<Sourced<health::Check>>,
    /// Connections.
    pub pool: ConnectionPool,
    /// Concurrency limits for default and high priority.
    pub limits: [Limits; 2],
    /// Ceiling on retries that replaces `limits[..].retries`.
    pub retry_budget: Option<Sourced<RetryBudget>>,
    /// The same of requests of high priority, whose retries it does not share.
    pub high_retry_budget: Option<Sourced<RetryBudget>>,
    /// A queue in front of the balancer (Linkerd).
    pub queue: Option<Sourced<FailfastQueue>>,
    /// The rule that made it.
    pub origin: OriginId,
}

impl Cluster {
    /// The retry budget of a routing priority (0: the default one, 1: the high one).
    pub(crate) const fn budget_of(&self, priority: usize) -> Option<&Sourced<RetryBudget>> {
        match priority {
            0 => self.retry_budget.as_ref(),
            _ => self.high_retry_budget.as_ref(),
        }
    }

    /// A cluster with Envoy's defaults over `endpoints`: round robin, limits of 1024 and 3 retries, connect timeout 5 s,
    /// panic at 50 %, no ejection, HTTP/1.1 in plaintext.
    #[must_use]
    pub fn envoy(name: &str, endpoints: EndpointSet) -> Self {
        Self {
            name: name.into(),
            service: name.into(),
            discovery: Discovery::Endpoints,
            endpoints: Arc::new(endpoints),
            balancer: Sourced::unsourced(Balancer::RoundRobin),
            subset: Subset::default(),
            subsets: None,
            locality: Sourced::unsourced(LocalityBalance::Ignored),
            panic_threshold: Sourced::unsourced(Share::from_ppm(500_000)),
            fail_traffic_on_panic: false,
            overprovisioning: 140,
            connect_timeout: Sourced::unsourced(Duration::from_secs(5)),
            source_address: None,
            preface: None,
            protocol: UpstreamProtocol::Http1,
            transport: UpstreamTransport::Plaintext,
            slow_start: None,
            outlier: None,
            accrual: None,
            passive: None,
            health_checks: Vec::new(),
            pool: ConnectionPool::default(),
            limits: [Limits::envoy(), Limits::envoy()],
            retry_budget: None,
            high_retry_budget: None,
            queue: None,
            origin: OriginId::NONE,
        }
    }
}

/// Where endpoints come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Discovery {
    /// From the configuration and its endpoint deltas.
    Endpoints,
    /// The connection's original destination is the one endpoint (Envoy: `ORIGINAL_DST`).
    OriginalDestination,
}

/// Labels that endpoints must have, for example `version: v2`.
pub type Subset = Vec<(Name, Name)>;

/// Endpoints by labels that routes ask for.
///
/// Source: Envoy v3 `LbSubsetConfig`, `source/extensions/load_balancing_policies/subset/subset_lb.cc`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Subsets {
    /// Which keys make a subset together, each list sorted.
    pub selectors: Vec<Vec<Name>>,
    /// For requests that ask for no subset, or for one without endpoints.
    pub fallback: SubsetFallback,
}

/// Where requests go that find no subset.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum SubsetFallback {
    /// Nowhere.
    #[default]
    Nowhere,
    /// To any endpoint.
    Any,
    /// To endpoints with these labels.
    Labelled(Subset),
}

impl Subsets {
    /// Whether these labels, sorted by key, are what a selector has.
    #[must_use]
    pub fn select(&self, labels: &[(Name, Name)]) -> bool {
        let same = |keys: &Vec<Name>| keys.iter().eq(labels.iter().map(|(key, _)| key));
        !labels.is_empty() && self.selectors.iter().any(same)
    }
}

/// The endpoints of a cluster at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct EndpointSet {
    /// In a fixed order; an address stands once.
    pub endpoints: Vec<Endpoint>,
    /// Configured weight of a locality at a priority: `(locality, priority, weight)`, for weighted localities.
    pub locality_weights: Vec<(Name, u8, u32)>,
}

/// One address of a cluster.
#[derive(Clone, PartialEq, Debug)]
pub struct Endpoint {
    /// Where it is dialled. State survives updates by this address.
    pub address: SocketAddr,
    /// Its host name, for rewrites and reports.
    pub hostname: Name,
    /// `region/zone/subzone`, as far as known.
    pub locality: Name,
    /// 0 is used first.
    pub priority: u8,
    /// Relative to the other endpoints; at least 1.
    pub weight: u32,
    /// What discovery says of it.
    pub health: DiscoveredHealth,
    /// Labels for subsets.
    pub labels: Arc<[(Name, Name)]>,
    /// The mesh identity that its proxy presents; none: it speaks plaintext only.
    pub identity: Option<Name>,
    /// Marked as canary (retry host predicate `omit_canary_hosts`).
    pub canary: bool,
}

impl Endpoint {
    /// A healthy endpoint of weight 1 at priority 0.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            hostname: "".into(),
            locality: "".into(),
            priority: 0,
            weight: 1,
            health: DiscoveredHealth::Healthy,
            labels: Arc::from([]),
            identity: None,
            canary: false,
        }
    }
}

/// What discovery says of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum DiscoveredHealth {
    /// In use.
    Healthy,
    /// Not in use but in panic.
    Unhealthy,
    /// On its way out: no new requests.
    Draining,
}

/// How an endpoint is chosen among the available ones of a locality.
#[derive(Clone, PartialEq, Debug)]
pub enum Balancer {
    /// In turn, by weight (Envoy).
    RoundRobin,
    /// Fewest active requests of a few candidates (Envoy).
    LeastRequest {
        /// Candidates drawn; Envoy: 2.
        choices: u32,
        /// Exponent of active requests where weights differ; Envoy: 1.
        bias: f64,
        /// Looks at all endpoints.
        full_scan: bool,
    },
    /// Any (Envoy).
    Random,
    /// Ketama ring (Envoy).
    RingHash {
        /// Least entries; Envoy: 1024.
        min_size: u64,
        /// Most entries; Envoy: 8 388 608.
        max_size: u64,
        /// Bounded load.
        bound: Option<HashBalance>,
    },
    /// Maglev table (Envoy).
    Maglev {
        /// Entries, a prime; Envoy: 65 537.
        size: u64,
        /// Bounded load.
        bound: Option<HashBalance>,
    },
    /// Peak EWMA of the round-trip time times pending requests, better of two (Linkerd).
    PeakEwma {
        /// Estimate before the first answer; Linkerd: 30 ms.
        default_rtt: Duration,
        /// Time constant; Linkerd: 10 s.
        decay: Duration,
    },
    /// Weighted ring in a fixed shuffled order (Kong's `round-robin`).
    KongRing,
    /// Smallest `(connections + 1) / weight` (Kong's `least-connections`).
    KongLeastConnections,
    /// Lower estimated response time of two (Kong's `latency`).
    KongLatency,
    /// Lower estimated response time of two that the request has not been to (ingress-nginx' `ewma`).
    NginxEwma,
    /// In turn, by weight, whether or not what is passed over is well (Traefik's `wrr`).
    TraefikTurns,
    /// Fewer requests under way of two; weights are of no account (Traefik's `p2c`).
    TraefikTwoChoices,
    /// Lowest product of the latest response times and the requests under way, by weight (Traefik's `leasttime`).
    TraefikLeastTime,
    /// The highest hash of request and endpoint, by weight (Traefik's `hrw`); by [`Forward::hash`](super::Forward::hash).
    TraefikRendezvous,
    /// Whatever address the connection was meant for.
    OriginalDestination,
}

/// Bounded load of a hashing balancer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HashBalance {
    /// Per cent of the average that one endpoint may carry, at least 100.
    pub factor: u32,
}

/// How localities share the load.
#[derive(Clone, PartialEq, Debug)]
pub enum LocalityBalance {
    /// All endpoints of a priority are one pool.
    Ignored,
    /// By [`EndpointSet::locality_weights`] and availability.
    Weighted,
    /// The proxy's own zone first.
    ZoneAware(ZoneAware),
}

/// Zone-aware routing (Envoy).
#[derive(Clone, PartialEq, Debug)]
pub struct ZoneAware {
    /// Share of requests it applies to; Envoy: 100 %.
    pub enabled: Share,
    /// Fewer endpoints turn it off; Envoy: 6.
    pub min_cluster_size: u32,
    /// Everything stays local while at least this many local endpoints exist.
    pub force_local_min: Option<u32>,
    /// How the callers (this proxy and its peers) spread over localities: `(locality, healthy proxies)`.
    pub callers: Vec<(Name, u32)>,
}

/// What is spoken to the upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum UpstreamProtocol {
    /// One request a connection at a time.
    Http1,
    /// Many streams a connection.
    Http2,
    /// As the client does.
    Downstream,
}

/// How the connection to an endpoint is secured.
#[derive(Clone, PartialEq, Debug)]
pub enum UpstreamTransport {
    /// Not.
    Plaintext,
    /// TLS to a server that is checked by name.
    Tls {
        /// Server name sent.
        sni: Name,
        /// Certificate presented, if any.
        certificate: Option<Name>,
    },
    /// Mutual TLS with the mesh's identities.
    Mesh {
        /// Server name sent, for example `outbound_.80_._.a.default.svc.cluster.local`.
        sni: Name,
        /// Identity presented.
        identity: Name,
        /// Application protocols offered.
        alpn: Vec<Box<str>>,
        /// Endpoints without an identity get plaintext (Istio's automatic mutual TLS, Linkerd); else they are refused.
        only_where_meshed: bool,
    },
}

/// Connections to endpoints.
#[derive(Clone, PartialEq, Debug)]
pub struct ConnectionPool {
    /// Requests a connection may carry; none: no bound.
    pub max_requests_per_connection: Option<Sourced<u32>>,
    /// A connection without streams is closed after this long. Envoy: 1 h.
    pub idle_timeout: Option<Sourced<Duration>>,
    /// A connection is drained after this long.
    pub max_duration: Option<Sourced<Duration>>,
    /// Streams at a time on an HTTP/2 connection, the peer's own limit aside. Envoy: 2^31 − 1.
    pub max_streams: Sourced<u32>,
    /// Connections to one endpoint.
    pub max_connections_per_endpoint: Option<Sourced<u32>>,
    /// Idle connections kept, all endpoints together (NGINX, Kong: 512 on keep-alive); none: all.
    pub max_idle: Option<u32>,
}

impl Default for ConnectionPool {
    /// Envoy's: idle connections live for an hour, nothing else is bounded.
    fn default() -> Self {
        Self {
            max_requests_per_connection: None,
            idle_timeout: Some(Sourced::unsourced(Duration::from_secs(3600))),
            max_duration: None,
            max_streams: Sourced::unsourced((1 << 31) - 1),
            max_connections_per_endpoint: None,
            max_idle: None,
        }
    }
}

/// Envoy's circuit breakers: what may be under way at once, per process, cluster and priority.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections.
    pub connections: Sourced<u32>,
    /// Requests that wait for a connection.
    pub pending: Sourced<u32>,
    /// Requests with an endpoint.
    pub requests: Sourced<u32>,
    /// Retries, in back-off or under way.
    pub retries: Sourced<u32>,
}

impl Limits {
    /// Envoy's defaults: 1024, 1024, 1024 and 3.
    #[must_use]
    pub const fn envoy() -> Self {
        Self {
            connections: Sourced::unsourced(1024),
            pending: Sourced::unsourced(1024),
            requests: Sourced::unsourced(1024),
            retries: Sourced::unsourced(3),
        }
    }

    /// No bound at all, as `origin` has it.
    #[must_use]
    pub const fn unlimited(origin: OriginId) -> Self {
        Self {
            connections: Sourced::new(u32::MAX, origin),
            pending: Sourced::new(u32::MAX, origin),
            requests: Sourced::new(u32::MAX, origin),
            retries: Sourced::new(u32::MAX, origin),
        }
    }
}

/// What bounds a cluster's retries in place of a fixed number.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum RetryBudget {
    /// A share of what is under way (Envoy).
    Concurrency(ConcurrencyBudget),
    /// A share of what succeeded lately (Linkerd's service profiles).
    Rate(RateBudget),
}

/// A queue that requests wait in while no endpoint is ready (Linkerd).
///
/// Source: linkerd2 `policy-controller/grpc/src/outbound.rs`: capacity 100, failfast after 3 s. One that waited is
/// answered 504; one that finds the queue full, or failing fast, 503.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailfastQueue {
    /// Requests that may wait.
    pub capacity: u32,
    /// Longest wait.
    pub timeout: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Envoy: a `Cluster` of which only name and endpoints are set, an empty `RetryBudget`.
    #[test]
    fn the_defaults_are_envoys() {
        let c = Cluster::envoy("c", EndpointSet::default());
        assert_eq!(c.balancer.value, Balancer::RoundRobin);
        assert_eq!(c.panic_threshold.value, Share::from_percent(50.0));
        assert_eq!(c.overprovisioning, 140);
        assert_eq!(c.connect_timeout.value, Duration::from_secs(5));
        assert_eq!(c.protocol, UpstreamProtocol::Http1);
        assert_eq!(c.locality.value, LocalityBalance::Ignored);
        let idle = c.pool.idle_timeout.map(|t| t.value);
        assert_eq!(idle, Some(Duration::from_secs(3_600)));
        assert_eq!(c.pool.max_streams.value, 2_147_483_647);
        for limits in c.limits {
            let Limits {
                connections,
                pending,
                requests,
                retries,
            } = limits;
            let all = [connections, pending, requests, retries].map(|l| l.value);
            assert_eq!(all, [1_024, 1_024, 1_024, 3]);
        }
        let nothing_else = c.outlier.is_none()
            && c.passive.is_none()
            && c.slow_start.is_none()
            && c.retry_budget.is_none()
            && c.high_retry_budget.is_none()
            && c.health_checks.is_empty()
            && !c.fail_traffic_on_panic;
        assert!(nothing_else);
        let budget = ConcurrencyBudget::envoy_v3();
        assert_eq!((budget.percent, budget.min_concurrency), (20.0, 3));
        assert_eq!(budget.interval, None);
    }
}
