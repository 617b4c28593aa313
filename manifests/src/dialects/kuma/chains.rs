//! What both sides of a proxy are made of.

use proxy_core::config::{
    Balancer, CarriedLogs, ChainAction, ChainMatch, Cluster, ClusterIndex, ConnectionPool,
    Discovery, DownstreamTransport, EndpointSet, FilterChain, Forward, HttpConnections, HttpFilter,
    Limits, Listener, ListenerAddress, LocalityBalance, ReplyProfile, Route, RouteAction,
    RouteMatch, TableIndex, TcpRoute, Upgrades, UpstreamProtocol,
};
use proxy_core::log::Logs;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::release::Defaults;
use super::settings::{Requests, zero_is_none};

/// An hour. Source: kuma 2.14 `pkg/plugins/policies/core/defaults/consts.go`.
pub(super) const IDLE: Duration = Duration::from_secs(3600);
/// Request bytes kept for a retry. Source: Envoy v3 `per_connection_buffer_limit_bytes`.
const RETAINED: u64 = 1024 * 1024;

/// A chain for plaintext.
pub(super) fn chain(matches: ChainMatch, action: ChainAction, origin: OriginId) -> FilterChain {
    FilterChain {
        matches,
        transport: DownstreamTransport::Plaintext,
        action,
        origin,
    }
}

/// Requests are read and pass `filters`. Headers of control are taken out: callers are none of the proxy's own. Upgrades are refused.
///
/// Source: kuma 2.14 `pkg/xds/envoy/listeners/v3/http_connection_manager_configurer.go` (no `upgrade_configs`, no `use_remote_address`);
/// `pkg/plugins/policies/meshtimeout/plugin/xds/configurer.go` (idle connections live on).
pub(super) fn http(
    table: TableIndex,
    filters: Vec<HttpFilter>,
    requests: &Requests,
    defaults: Defaults,
) -> ChainAction {
    ChainAction::Http(Box::new(HttpConnections {
        table,
        filters,
        stream_idle_timeout: zero_is_none(requests.stream_idle),
        request_timeout: None,
        max_stream_duration: None,
        idle_timeout: None,
        max_connection_duration: None,
        head_timeout: requests.head,
        max_requests_per_connection: None,
        retained_bytes: RETAINED,
        replies: ReplyProfile::Envoy,
        edge: true,
        heads: None,
        upgrades: Upgrades::default(),
        logs: Logs::default(),
        tracing: None,
        origin: defaults.origin,
    }))
}

/// Bytes are carried on as they come.
pub(super) fn bytes(
    clusters: Vec<(ClusterIndex, u32)>,
    idle: Sourced<Duration>,
    connect_retries: u32,
    origin: OriginId,
) -> ChainAction {
    ChainAction::Tcp(TcpRoute {
        clusters,
        idle_timeout: zero_is_none(idle),
        connect_retries,
        max_duration: None,
        logs: CarriedLogs::default(),
        origin,
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
        logs: Logs::default(),
        origin,
    }
}

/// A route without anything of its own.
pub(super) fn route(
    name: &str,
    matches: RouteMatch,
    action: RouteAction,
    origin: OriginId,
) -> Route {
    Route {
        name: name.into(),
        matches,
        action,
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        fault: None,
        rate_limit: None,
        cors: None,
        tracing: None,
        gates: Vec::new(),
        origin,
    }
}

/// Requests go to a cluster, with the timeouts that are set.
pub(super) fn forward(cluster: ClusterIndex, requests: &Requests, origin: OriginId) -> Forward {
    let mut forward = Forward::to(cluster);
    forward.clusters[0].origin = origin;
    apply_requests(&mut forward, requests);
    forward
}

/// Puts timeouts of requests in force. A caller's `grpc-timeout` is not heeded.
pub(super) fn apply_requests(forward: &mut Forward, requests: &Requests) {
    let whole = requests.timeout;
    let set = (!whole.value.is_zero()).then_some(whole.value);
    forward.timeout = Sourced::new(set, whole.origin);
    forward.max_stream_duration = requests.max_stream;
    forward.idle_timeout = Some(requests.stream_idle);
}

/// A cluster without endpoints: Envoy's own limits, round robin, panic below 50 %.
///
/// Source: kuma 2.14 `pkg/plugins/policies/core/xds/meshroute/clusters.go`: what no policy sets is Envoy's.
pub(super) fn cluster(name: &str, service: &str, defaults: Defaults) -> Cluster {
    let envoy = Cluster::envoy(name, EndpointSet::default());
    let limits = Limits::envoy();
    let limits = Limits {
        connections: defaults.of(limits.connections.value),
        pending: defaults.of(limits.pending.value),
        requests: defaults.of(limits.requests.value),
        retries: defaults.of(limits.retries.value),
    };
    Cluster {
        service: service.into(),
        balancer: defaults.of(Balancer::RoundRobin),
        locality: defaults.of(LocalityBalance::Ignored),
        panic_threshold: defaults.of(envoy.panic_threshold.value),
        connect_timeout: defaults.of(envoy.connect_timeout.value),
        protocol: UpstreamProtocol::Http1,
        pool: ConnectionPool {
            idle_timeout: Some(defaults.of(IDLE)),
            max_streams: defaults.of(envoy.pool.max_streams.value),
            ..ConnectionPool::default()
        },
        limits: [limits; 2],
        origin: defaults.origin,
        ..envoy
    }
}

/// A cluster that dials whatever address was dialled.
pub(super) fn dialled(name: &str, service: &str, defaults: Defaults) -> Cluster {
    Cluster {
        discovery: Discovery::OriginalDestination,
        balancer: defaults.of(Balancer::OriginalDestination),
        protocol: UpstreamProtocol::Downstream,
        ..cluster(name, service, defaults)
    }
}
