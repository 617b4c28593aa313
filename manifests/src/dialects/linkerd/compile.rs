//! What both sides of a Linkerd proxy are made of.

use proxy_core::config::{
    Balancer, ChainAction, ChainMatch, Cluster, ClusterIndex, ConnectionPool, Discovery,
    DownstreamTransport, EndpointSet, FilterChain, HttpConnections, Limits, LocalityBalance,
    ReplyProfile, Share, TableIndex, TcpRoute, TransportProtocol, Unlisted, Upgrades,
    UpstreamProtocol,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

/// What every value falls back to, with the release as its origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    /// `default of linkerd@…`.
    pub(super) origin: OriginId,
}

impl Defaults {
    pub(super) const fn of<T>(self, value: T) -> Sourced<T> {
        Sourced::new(value, self.origin)
    }
}

pub(super) fn chain(matches: ChainMatch, action: ChainAction, origin: OriginId) -> FilterChain {
    FilterChain {
        matches,
        transport: DownstreamTransport::Plaintext,
        action,
        origin,
    }
}

/// The chains of a port that is looked into: requests in plaintext, other bytes in plaintext, and everything that begins otherwise.
///
/// The second is there since a chain that matches in one step keeps more general ones out of the next.
pub(super) fn detected(
    requests: ChainAction,
    bytes: impl Fn() -> ChainAction,
    origin: OriginId,
) -> [FilterChain; 3] {
    let plaintext = ChainMatch {
        transport: Some(TransportProtocol::Raw),
        ..ChainMatch::default()
    };
    let looks_like_requests = ChainMatch {
        protocols: vec!["http/1.1".into(), "h2".into()],
        ..plaintext.clone()
    };
    [
        chain(looks_like_requests, requests, origin),
        chain(plaintext, bytes(), origin),
        chain(ChainMatch::default(), bytes(), origin),
    ]
}

/// Requests of connections that Linkerd looks into: no timeout of its own.
pub(super) fn http(table: TableIndex, defaults: Defaults) -> ChainAction {
    ChainAction::Http(Box::new(HttpConnections {
        table,
        filters: Vec::new(),
        stream_idle_timeout: None,
        request_timeout: None,
        max_stream_duration: None,
        idle_timeout: None,
        max_connection_duration: None,
        head_timeout: None,
        max_requests_per_connection: None,
        retained_bytes: 64 * 1024,
        replies: ReplyProfile::Linkerd,
        edge: true,
        heads: None,
        upgrades: upgrades(),
        logs: proxy_core::log::Logs::default(),
        tracing: None,
        origin: defaults.origin,
    }))
}

/// Whatever a client asks for is asked of the endpoint.
///
/// Source: linkerd2-proxy `linkerd/http/upgrade/src/upgrade.rs`, `linkerd/proxy/http/src/h1.rs`: the header passes, and who answers 101 has it.
fn upgrades() -> Upgrades {
    Upgrades {
        listed: Vec::new(),
        others: Unlisted::Allowed,
        http2: false,
    }
}

/// Bytes that are carried as they are.
pub(super) fn tcp(cluster: ClusterIndex, defaults: Defaults) -> TcpRoute {
    TcpRoute {
        clusters: vec![(cluster, 1)],
        idle_timeout: None,
        connect_retries: 0,
        max_duration: None,
        logs: proxy_core::config::CarriedLogs::default(),
        origin: defaults.origin,
    }
}

/// HTTP/1 connections close after 3 s without a request. Source: linkerd2-proxy `linkerd/app/src/env.rs`.
pub(super) fn pool(defaults: Defaults) -> ConnectionPool {
    ConnectionPool {
        max_requests_per_connection: None,
        idle_timeout: Some(defaults.of(Duration::from_secs(3))),
        max_duration: None,
        max_streams: defaults.of((1 << 31) - 1),
        max_connections_per_endpoint: None,
        max_idle: None,
    }
}

/// An upstream in plaintext: one of the better of two, without bounds, without panic.
pub(super) fn cluster(name: &str, service: &str, defaults: Defaults) -> Cluster {
    Cluster {
        service: service.into(),
        balancer: defaults.of(Balancer::PeakEwma {
            default_rtt: Duration::from_millis(30),
            decay: Duration::from_secs(10),
        }),
        locality: defaults.of(LocalityBalance::Ignored),
        // with no endpoint ready, requests wait in the queue
        panic_threshold: defaults.of(Share::ZERO),
        connect_timeout: defaults.of(Duration::from_secs(1)),
        protocol: UpstreamProtocol::Downstream,
        pool: pool(defaults),
        limits: [Limits::unlimited(defaults.origin); 2],
        origin: defaults.origin,
        ..Cluster::envoy(name, EndpointSet::default())
    }
}

/// The address that a connection was meant for.
pub(super) fn original_destination(name: &str, defaults: Defaults) -> Cluster {
    Cluster {
        discovery: Discovery::OriginalDestination,
        balancer: defaults.of(Balancer::OriginalDestination),
        ..cluster(name, name, defaults)
    }
}
