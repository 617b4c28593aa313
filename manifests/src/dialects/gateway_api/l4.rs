//! Connections that are carried as bytes.

use proxy_core::config::{ChainAction, CloseReason, ServerName, TcpRoute};
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::clusters::{Clusters, Spoken};
use crate::dialects::Compile;
use crate::gateway_api::{Host, RouteId};

/// A connection without a byte in either direction is closed after this long. Source: Envoy v3 `TcpProxy.idle_timeout`.
const IDLE: Duration = Duration::from_secs(3600);

/// Where a route leads; one without a backend that can be reached closes connections.
///
/// Source: `TCPRouteRule.backendRefs`, `TLSRouteRule.backendRefs`: connections to backends that are not there are rejected, in their share.
pub(super) fn carried(
    id: RouteId,
    clusters: &mut Clusters<'_, '_>,
    cx: &mut Compile<'_>,
) -> ChainAction {
    let route = clusters.api.l4(id);
    let namespace = route.key.namespace.as_str();
    let origin = cx.origins.written(route.span);
    let mut split = Vec::new();
    // more rules than one have no condition to tell them apart
    let backends = route.spec.rules.first().map(|rule| &rule.backend_refs);
    for backend in backends.into_iter().flatten() {
        let weight = backend.weight.as_ref().map_or(1, |it| it.value);
        let cluster = clusters.of(backend, (id.kind, namespace), Spoken::Bytes, cx);
        match cluster {
            Some(cluster) => split.push((cluster, weight)),
            None => split.push((clusters.nowhere(), weight)),
        }
    }
    if split.iter().all(|(_, weight)| *weight == 0) {
        return ChainAction::Close(CloseReason::UpstreamFailed);
    }
    ChainAction::Tcp(TcpRoute {
        clusters: split,
        idle_timeout: Some(Sourced::new(IDLE, clusters.defaults)),
        connect_retries: 0,
        origin,
    })
}

/// A host as a chain asks for it; none: any name.
pub(super) fn server_name(host: &Host) -> Option<ServerName> {
    match host {
        Host::Any => None,
        Host::Under(suffix) => Some(ServerName::Suffix(suffix.as_str().into())),
        Host::Exact(name) => Some(ServerName::Exact(name.as_str().into())),
    }
}
