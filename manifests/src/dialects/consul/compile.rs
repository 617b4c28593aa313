//! What both sides of a proxy are made of: Envoy's defaults, but for what Consul sets.

use std::sync::Arc;

use proxy_core::config::{
    CarriedLogs, ChainAction, ChainMatch, Cidr, Cluster, ClusterIndex, ConnectionPool, Discovery,
    DownstreamTransport, EndpointSet, FilterChain, Forward, HeadRules, HttpConnections, Limits,
    Listener, ListenerAddress, ReplyProfile, Route, RouteAction, RouteMatch, RouteTable, Share,
    TableIndex, TcpRoute, Upgrades, VirtualHost,
};
use proxy_core::log::Logs;
use proxy_core::origin::OriginId;
use proxy_core::time::Duration;

use super::notes::Defaults;

/// All tries of a request together. Source: Envoy v3 `RouteAction.timeout`.
const REQUEST: Duration = Duration::from_secs(15);
/// Silence of a stream. Source: Envoy v3 `HttpConnectionManager.stream_idle_timeout`.
const STREAM_IDLE: Duration = Duration::from_secs(300);
/// Connections without requests, and carried ones without a byte. Source: Envoy v3.
const IDLE: Duration = Duration::from_secs(3600);
/// Until a connection stands, to instances and to the application alike. Source: hashicorp/consul 1.21
/// `agent/consul/discoverychain/compile.go` (`getResolverNode`), `agent/xds/config/config.go` (`ParseProxyConfig`).
pub(super) const CONNECT: Duration = Duration::from_secs(5);
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

/// Connections to some addresses.
pub(super) fn to(destinations: Vec<Cidr>) -> ChainMatch {
    ChainMatch {
        destinations,
        ..ChainMatch::default()
    }
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

/// Requests are read; headers of control are obeyed, since no address counts as outside.
///
/// Source: hashicorp/consul 1.21 `agent/xds/listeners.go`, `makeHTTPFilter`: WebSockets pass, nothing else does.
pub(super) fn http(table: TableIndex, heads: Arc<HeadRules>, defaults: Defaults) -> ChainAction {
    ChainAction::Http(Box::new(HttpConnections {
        table,
        filters: Vec::new(),
        stream_idle_timeout: Some(defaults.of(STREAM_IDLE)),
        request_timeout: None,
        max_stream_duration: None,
        idle_timeout: Some(defaults.of(IDLE)),
        max_connection_duration: None,
        head_timeout: None,
        max_requests_per_connection: None,
        retained_bytes: RETAINED,
        replies: ReplyProfile::Envoy,
        edge: false,
        heads: Some(heads),
        upgrades: Upgrades::of(&["websocket"], defaults.origin),
        logs: Logs::default(),
        tracing: None,
        origin: defaults.origin,
    }))
}

/// Bytes are carried on as they come.
pub(super) fn bytes(cluster: ClusterIndex, origin: OriginId, defaults: Defaults) -> ChainAction {
    ChainAction::Tcp(TcpRoute {
        clusters: vec![(cluster, 1)],
        idle_timeout: Some(defaults.of(IDLE)),
        connect_retries: 0,
        max_duration: None,
        logs: CarriedLogs::default(),
        origin,
    })
}

/// All requests go to a cluster within Envoy's time.
pub(super) fn forward(cluster: ClusterIndex, origin: OriginId, defaults: Defaults) -> Forward {
    let mut forward = Forward::to(cluster);
    forward.clusters[0].origin = origin;
    forward.timeout = defaults.of(Some(REQUEST));
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
        cors: None,
        gates: Vec::new(),
        tracing: None,
        origin,
    }
}

/// A table whose one virtual host takes every authority: the address has chosen the service.
pub(super) fn table(name: &str, routes: Vec<Route>, origin: OriginId) -> RouteTable {
    RouteTable {
        name: name.into(),
        virtual_hosts: vec![VirtualHost {
            name: name.into(),
            domains: vec!["*".into()],
            routes,
            attempt_count: false,
            attempt_count_in_response: false,
            origin,
        }],
        ignore_port: false,
    }
}

/// A cluster with Envoy's defaults, which have the release as their origin.
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
        balancer: defaults.of(envoy.balancer.value.clone()),
        locality: defaults.of(envoy.locality.value.clone()),
        panic_threshold: defaults.of(envoy.panic_threshold.value),
        connect_timeout: defaults.of(CONNECT),
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

/// A cluster of instances: without panic, and with ejection whatever is written.
///
/// Source: hashicorp/consul 1.21 `agent/xds/clusters.go`, `makeUpstreamClustersForDiscoveryChain`.
pub(super) fn instances(name: &str, service: &str, defaults: Defaults) -> Cluster {
    Cluster {
        panic_threshold: defaults.of(Share::ZERO),
        outlier: Some(defaults.of(proxy_core::outlier::Settings::envoy_v3())),
        ..cluster(name, service, defaults)
    }
}

/// A cluster that dials whatever address was dialled, in plaintext.
pub(super) fn dialled(name: &str, defaults: Defaults) -> Cluster {
    Cluster {
        discovery: Discovery::OriginalDestination,
        balancer: defaults.of(proxy_core::config::Balancer::OriginalDestination),
        ..cluster(name, name, defaults)
    }
}
