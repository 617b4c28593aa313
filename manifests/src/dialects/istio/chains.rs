//! What both sides of a sidecar are made of.

use proxy_core::config::{
    ChainAction, ChainMatch, Cidr, Cluster, ClusterIndex, DownstreamTransport, EndpointSet,
    FilterChain, Forward, HttpConnections, HttpFilter, Listener, ListenerAddress, ReplyProfile,
    RetryPolicy, Route, RouteAction, RouteMatch, TableIndex, TcpRoute, TransportProtocol, Upgrades,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::{Backoff, FullJitter};
use proxy_core::retry::conditions::RetryOn;
use proxy_core::time::Duration;

use super::LEAST_REQUEST;
use super::destination_rule::{Pool, Traffic};
use super::notes::Defaults;
use proxy_core::config::{ConnectionPool, Discovery, Limits, RetryBudget, Share, UpstreamProtocol};

/// What HTTP looks like in plaintext. HTTP/1.0 is not looked for, so it passes as bytes.
///
/// Source: istio 1.29 `pilot/pkg/networking/core/listener.go`, `plaintextHTTPALPNs`.
pub(super) const PLAIN_HTTP: &[&str] = &["http/1.1", "h2c"];
/// What a sidecar offers for a connection that carries HTTP.
pub(super) const MESH_HTTP: &[&str] = &["istio-http/1.0", "istio-http/1.1", "istio-h2"];
/// What a sidecar offers for a connection that carries bytes.
pub(super) const MESH_BYTES: &[&str] = &["istio-peer-exchange", "istio"];
/// An hour: connections without requests, or carried ones without a byte. Source: Envoy v3.
const IDLE: Duration = Duration::from_secs(3600);
/// Request bytes kept for a retry. Source: Envoy v3 `per_connection_buffer_limit_bytes`.
const RETAINED: u64 = 1024 * 1024;
/// Source: istio 1.29 `pkg/config/mesh/mesh.go`, `connectTimeout`.
const CONNECT: Duration = Duration::from_secs(10);

/// Names as the core has them.
pub(super) fn names(list: &[&str]) -> Vec<Box<str>> {
    list.iter().map(|name| (*name).into()).collect()
}

/// A chain for plaintext.
pub(super) fn chain(matches: ChainMatch, action: ChainAction, origin: OriginId) -> FilterChain {
    FilterChain {
        matches,
        transport: DownstreamTransport::Plaintext,
        action,
        origin,
    }
}

/// What looks like HTTP in plaintext.
pub(super) fn looks_like_http() -> ChainMatch {
    ChainMatch {
        transport: Some(TransportProtocol::Raw),
        protocols: names(PLAIN_HTTP),
        ..ChainMatch::default()
    }
}

/// Connections to some addresses, all if there are none.
pub(super) fn to(destinations: Vec<Cidr>) -> ChainMatch {
    ChainMatch {
        destinations,
        ..ChainMatch::default()
    }
}

/// Requests are read and pass `filters`: no timeout of the listener's own; headers of control from callers in the mesh are obeyed.
///
/// Source: istio 1.29 `pilot/pkg/networking/core/listener_builder.go`, `buildHTTPConnectionManager` (`stream_idle_timeout` 0).
pub(super) fn http(table: TableIndex, filters: Vec<HttpFilter>, defaults: Defaults) -> ChainAction {
    ChainAction::Http(Box::new(HttpConnections {
        table,
        filters,
        stream_idle_timeout: None,
        request_timeout: None,
        max_stream_duration: None,
        idle_timeout: Some(defaults.of(IDLE)),
        max_connection_duration: None,
        head_timeout: None,
        max_requests_per_connection: None,
        retained_bytes: RETAINED,
        replies: ReplyProfile::Envoy,
        edge: false,
        heads: None,
        upgrades: upgrades(defaults.origin),
        logs: proxy_core::log::Logs::default(),
        tracing: None,
        origin: defaults.origin,
    }))
}

/// WebSockets pass, nothing else does.
///
/// Source: istio 1.29 `pilot/pkg/networking/core/listener_builder.go` (`buildHTTPConnectionManager`): every connection manager has one
/// entry of `upgrade_configs`, `websocket`.
pub(super) fn upgrades(origin: OriginId) -> Upgrades {
    Upgrades::of(&["websocket"], origin)
}

/// Bytes are carried on as they come.
pub(super) fn bytes(
    cluster: ClusterIndex,
    idle: Option<Sourced<Duration>>,
    defaults: Defaults,
) -> ChainAction {
    let idle = idle.unwrap_or_else(|| defaults.of(IDLE));
    ChainAction::Tcp(TcpRoute {
        clusters: vec![(cluster, 1)],
        idle_timeout: (!idle.value.is_zero()).then_some(idle),
        connect_retries: 0,
        max_duration: None,
        logs: proxy_core::config::CarriedLogs::default(),
        origin: defaults.origin,
    })
}

/// A listener without a bound on its connections.
pub(super) fn listener(
    name: &str,
    address: ListenerAddress,
    chains: Vec<FilterChain>,
    origin: OriginId,
) -> Listener {
    Listener {
        name: name.into(),
        address,
        chains,
        max_connections: None,
        preface: None,
        process_limit: None,
        logs: proxy_core::log::Logs::default(),
        origin,
    }
}

/// All requests go to a cluster, without a timeout; a caller's `grpc-timeout` is obeyed.
pub(super) fn forward(cluster: ClusterIndex, defaults: Defaults) -> Forward {
    let mut forward = Forward::to(cluster);
    forward.timeout = defaults.of(None);
    forward.grpc_timeout_max = Some(Duration::ZERO);
    forward
}

/// A route that takes every request.
pub(super) fn route(name: &str, action: RouteAction, origin: OriginId) -> Route {
    Route {
        name: name.into(),
        matches: RouteMatch::all(),
        action,
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        fault: None,
        rate_limit: None,
        gates: Vec::new(),
        cors: None,
        tracing: None,
        origin,
    }
}

/// Retries with Envoy's own pauses and nothing yet but their conditions and number.
pub(super) fn retries(on: RetryOn, retries: u32, defaults: Defaults) -> RetryPolicy {
    RetryPolicy {
        on: defaults.of(on),
        statuses: Vec::new(),
        headers: Vec::new(),
        request_headers: Vec::new(),
        retries: defaults.of(retries),
        per_try_timeout: None,
        per_try_idle_timeout: None,
        backoff: defaults.of(Backoff::FullJitter(FullJitter::envoy_v3())),
        rate_limited_backoff: None,
        avoid_previous: None,
        previous_priorities: None,
        spare_sent_non_idempotent: false,
        last_try_unbounded: false,
        no_try_after: None,
        failures_have_statuses: false,
        body_limit: None,
        origin: defaults.origin,
    }
}

/// A cluster as Istio makes it without a DestinationRule: the less busy of two, no bounds, connections within 10 s, panic at Envoy's 50 %.
///
/// Source: istio 1.29 `pilot/pkg/networking/core/cluster_traffic_policy.go`.
pub(super) fn cluster(name: &str, service: &str, defaults: Defaults) -> Cluster {
    let envoy = Cluster::envoy(name, EndpointSet::default());
    Cluster {
        service: service.into(),
        balancer: defaults.of(LEAST_REQUEST),
        locality: defaults.of(envoy.locality.value.clone()),
        panic_threshold: defaults.of(envoy.panic_threshold.value),
        connect_timeout: defaults.of(CONNECT),
        protocol: UpstreamProtocol::Downstream,
        pool: ConnectionPool {
            idle_timeout: Some(defaults.of(IDLE)),
            max_streams: defaults.of(envoy.pool.max_streams.value),
            ..ConnectionPool::default()
        },
        limits: [Limits::unlimited(defaults.origin); 2],
        origin: defaults.origin,
        ..envoy
    }
}

/// A cluster that dials whatever address was dialled.
pub(super) fn dialled(name: &str, service: &str, defaults: Defaults) -> Cluster {
    Cluster {
        discovery: Discovery::OriginalDestination,
        balancer: defaults.of(proxy_core::config::Balancer::OriginalDestination),
        ..cluster(name, service, defaults)
    }
}

/// How long connections of requests to unknown addresses stay without any. Source: istio 1.31 `pilot/pkg/networking/core/cluster.go`
/// (`buildDefaultPassthroughCluster`, `buildInboundPassthroughCluster`).
const PASSED_IDLE: Duration = Duration::from_secs(300);

/// A cluster of addresses that nobody knows.
pub(super) fn unknown(name: &str, service: &str, defaults: Defaults) -> Cluster {
    let mut cluster = dialled(name, service, defaults);
    cluster.pool.idle_timeout = Some(defaults.of(PASSED_IDLE));
    cluster
}

/// Puts limits and timeouts in force.
pub(super) fn apply_pool(cluster: &mut Cluster, pool: &Pool) {
    for limits in &mut cluster.limits {
        let set = |limit: &mut Sourced<u32>, value: Option<Sourced<u32>>| {
            if let Some(value) = value {
                *limit = value;
            }
        };
        set(&mut limits.connections, pool.max_connections);
        set(&mut limits.pending, pool.pending);
        set(&mut limits.requests, pool.requests);
        set(&mut limits.retries, pool.retries);
    }
    if let Some(timeout) = pool.connect_timeout {
        cluster.connect_timeout = timeout;
    }
    if let Some(idle) = pool.http_idle.or(pool.tcp_idle) {
        cluster.pool.idle_timeout = (!idle.value.is_zero()).then_some(idle);
    }
    cluster.pool.max_duration = pool.max_duration;
    cluster.pool.max_requests_per_connection = pool.per_connection;
    if pool.upgrade && !pool.as_client {
        cluster.protocol = UpstreamProtocol::Http2;
    }
    // of a cluster that speaks as its client does Istio leaves the bound out
    if let Some(streams) = pool.streams
        && cluster.protocol == UpstreamProtocol::Http2
    {
        cluster.pool.max_streams = streams;
    }
    if pool.as_client {
        cluster.protocol = UpstreamProtocol::Downstream;
    }
}

/// Puts everything of a policy in force but TLS and places, which depend on the host.
pub(super) fn apply(cluster: &mut Cluster, traffic: &Traffic) {
    if let Some(pool) = &traffic.pool {
        apply_pool(cluster, pool);
    }
    cluster.retry_budget = traffic
        .budget
        .map(|budget| Sourced::new(RetryBudget::Concurrency(budget.value), budget.origin));
    if let Some(outliers) = traffic.outlier {
        cluster.outlier = Some(Sourced::new(outliers.value.settings, outliers.origin));
        let panic = outliers.value.panic;
        let share = Share::from_percent(f64::from(panic.value));
        cluster.panic_threshold = Sourced::new(share, panic.origin);
    }
    let Some(balance) = &traffic.balance else {
        return;
    };
    if let Some(balancer) = &balance.balancer {
        cluster.balancer = balancer.clone();
    }
    let knows_weights = matches!(
        cluster.balancer.value,
        proxy_core::config::Balancer::RoundRobin
            | proxy_core::config::Balancer::LeastRequest { .. }
    );
    cluster.slow_start = balance.slow_start.filter(|_| knows_weights);
}
