//! `connectionPool`.

use super::super::notes::{count, duration, not_modelled, positive_duration};
use super::super::types::{ConnectionPool, UpgradePolicy};
use super::Pool;
use crate::dialects::Compile;

/// Limits and timeouts; zero stands for none, as Istio cannot tell the two apart.
///
/// Source: istio 1.29 `pilot/pkg/networking/core/cluster_traffic_policy.go`, `applyConnectionPool`.
pub(in super::super) fn read_pool(written: &ConnectionPool, cx: &mut Compile<'_>) -> Pool {
    let mut pool = Pool::default();
    if let Some(tcp) = &written.tcp {
        pool.max_connections = count(tcp.max_connections, cx);
        pool.connect_timeout = positive_duration(tcp.connect_timeout.as_ref(), cx);
        pool.max_duration = positive_duration(tcp.max_connection_duration.as_ref(), cx);
        pool.tcp_idle = duration(tcp.idle_timeout.as_ref(), cx);
        not_modelled(
            tcp.tcp_keepalive,
            "`tcpKeepalive`",
            "a connection whose peer is gone without a word stays until a timeout of requests",
            cx.diagnostics,
        );
    }
    if let Some(http) = &written.http {
        pool.pending = count(http.http1_max_pending_requests, cx);
        pool.requests = count(http.http2_max_requests, cx);
        pool.per_connection = count(http.max_requests_per_connection, cx);
        pool.retries = count(http.max_retries, cx);
        pool.http_idle = duration(http.idle_timeout.as_ref(), cx);
        pool.streams = count(http.max_concurrent_streams, cx);
        pool.as_client = http.use_client_protocol.is_some_and(|flag| flag.value);
        let upgrade = http.h2_upgrade_policy.map(|policy| policy.value);
        pool.upgrade = upgrade == Some(UpgradePolicy::Upgrade);
        not_modelled(
            http.http2_keep_alive,
            "`http2KeepAlive`",
            "a connection whose peer is gone without a word stays until a timeout of requests",
            cx.diagnostics,
        );
    }
    pool
}
