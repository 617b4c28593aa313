//! Connections that are carried as bytes.

use proxy_core::config::{ChainAction, CloseReason, ClusterIndex, ServerName, TcpRoute, UdpRoute};
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::clusters::{Clusters, Spoken};
use crate::dialects::Compile;
use crate::gateway_api::{Host, RouteId};

/// A connection without a byte in either direction is closed after this long. Source: Envoy v3 `TcpProxy.idle_timeout`.
const IDLE: Duration = Duration::from_secs(3600);

/// A client that sends nothing and is sent nothing for so long begins anew. Source: Envoy v3 `UdpProxyConfig.idle_timeout`.
const SILENCE: Duration = Duration::from_secs(60);
/// Longer datagrams of clients are dropped. Source: Envoy v3 `UdpSocketConfig.max_rx_datagram_size`.
const LARGEST: u16 = 1500;

/// Where a route leads; one without a backend that can be reached closes connections.
///
/// Source: `TCPRouteRule.backendRefs`, `TLSRouteRule.backendRefs`: connections to backends that are not there are rejected, in their share.
pub(super) fn carried(
    id: RouteId,
    clusters: &mut Clusters<'_, '_>,
    cx: &mut Compile<'_>,
) -> ChainAction {
    let split = split(id, Spoken::Bytes, clusters, cx);
    if split.iter().all(|(_, weight)| *weight == 0) {
        return ChainAction::Close(CloseReason::UpstreamFailed);
    }
    ChainAction::Tcp(TcpRoute {
        clusters: split,
        idle_timeout: Some(Sourced::new(IDLE, clusters.defaults)),
        max_duration: None,
        connect_retries: 0,
        logs: proxy_core::config::CarriedLogs::default(),
        origin: cx.origins.written(clusters.api.l4(id).span),
    })
}

/// Where a route for datagrams leads; none: nowhere, and nobody takes them.
pub(super) fn datagrams(
    id: RouteId,
    name: &str,
    clusters: &mut Clusters<'_, '_>,
    cx: &mut Compile<'_>,
) -> Option<UdpRoute> {
    let split = split(id, Spoken::Datagrams, clusters, cx);
    split
        .iter()
        .any(|(_, weight)| *weight > 0)
        .then(|| UdpRoute {
            name: name.into(),
            clusters: split,
            idle_timeout: Some(Sourced::new(SILENCE, clusters.defaults)),
            per_datagram: false,
            hash: None,
            largest_request: LARGEST,
            largest_answer: u16::MAX,
            origin: cx.origins.written(clusters.api.l4(id).span),
        })
}

/// The backends of a route's first rule with their weights.
fn split(
    id: RouteId,
    spoken: Spoken,
    clusters: &mut Clusters<'_, '_>,
    cx: &mut Compile<'_>,
) -> Vec<(ClusterIndex, u32)> {
    let route = clusters.api.l4(id);
    let namespace = route.key.namespace.as_str();
    let mut split = Vec::new();
    // more rules than one have no condition to tell them apart
    let backends = route.spec.rules.first().map(|rule| &rule.backend_refs);
    for backend in backends.into_iter().flatten() {
        let weight = backend.weight.as_ref().map_or(1, |it| it.value);
        let cluster = clusters.of(backend, (id.kind, namespace), spoken, cx);
        match cluster {
            Some(cluster) => split.push((cluster, weight)),
            None => split.push((clusters.nowhere(), weight)),
        }
    }
    split
}

/// A host as a chain asks for it; none: any name.
pub(super) fn server_name(host: &Host) -> Option<ServerName> {
    match host {
        Host::Any => None,
        Host::Under(suffix) => Some(ServerName::Suffix(suffix.as_str().into())),
        Host::Exact(name) => Some(ServerName::Exact(name.as_str().into())),
    }
}
