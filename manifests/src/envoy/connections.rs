//! What is made of a chain's connections: requests, or bytes that are carried on.

use std::sync::Arc;

use proxy_core::config::{
    CarriedLogs, HttpConnections, ReplyProfile, SectionDraft, TcpRoute, TraceSide,
};
use proxy_core::time::Duration;

use super::compile::Cx;
use super::routes::Routes;
use super::types::{self, Codec};
use super::{filters, heads, logs, routes, tracing, upgrades};
use crate::text::{Node, Present};

/// A listener, as its chains need to know it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    /// Bytes that a connection's buffer takes.
    pub(super) buffer: u32,
    /// Which way its requests go.
    pub(super) side: TraceSide,
}

const HOUR: Duration = Duration::from_secs(3600);

/// Compiles an HTTP connection manager and its route table.
pub(super) fn http(
    node: &Node,
    place: Place<'_>,
    draft: &mut SectionDraft,
    cx: &mut Cx<'_>,
) -> Option<HttpConnections> {
    let written: types::HttpConnectionManager = cx.read(node)?;
    if let Some(codec) = written
        .codec_type
        .filter(|codec| codec.value != Codec::Auto)
    {
        let meaning = "whichever version of HTTP the connection speaks is read";
        cx.left_out(codec.span, "a fixed `codec_type`", meaning);
    }
    let common: Option<types::ClientHttp> =
        cx.read_maybe(written.common_http_protocol_options.as_ref());
    let common = common.unwrap_or_default();
    let chain = filters::chain(&written.http_filters, place.name, node.span, cx);
    let Routes {
        mut table,
        internal_only,
    } = table(&written, node, place, cx)?;
    // whoever does not take the port away, as a simulator does not, finds the host all the same
    table.ignore_port |= written.strip_any_host_port;
    let mut heads = heads::rules(&written, &common, node.span, cx);
    let tracing = tracing::of_manager(written.tracing.as_ref(), place.side, cx);
    heads.tells = chain.tells;
    heads.internal_only = internal_only;
    let origin = cx.written(node.span);
    let requests = cx.count(common.max_requests_per_connection);
    Some(HttpConnections {
        table: draft.add_table(table),
        filters: chain.filters,
        stream_idle_timeout: cx.timer(written.stream_idle_timeout, Some(Duration::from_secs(300))),
        request_timeout: cx.timer(written.request_timeout, None),
        max_stream_duration: cx.timer(common.max_stream_duration, None),
        idle_timeout: cx.timer(common.idle_timeout, Some(HOUR)),
        max_connection_duration: cx.timer(common.max_connection_duration, None),
        head_timeout: cx.timer(written.request_headers_timeout, None),
        max_requests_per_connection: requests.filter(|most| most.value > 0),
        retained_bytes: u64::from(place.buffer),
        replies: ReplyProfile::Envoy,
        edge: written.use_remote_address.is_some_and(|edge| edge.value),
        heads: Some(Arc::new(heads)),
        upgrades: upgrades::of_manager(&written, cx),
        logs: logs::logs(&written.access_log, cx),
        tracing,
        origin,
    })
}

fn table(
    written: &types::HttpConnectionManager,
    node: &Node,
    place: Place<'_>,
    cx: &mut Cx<'_>,
) -> Option<Routes> {
    let dynamic = written.rds.or(written.scoped_routes);
    let Some(config) = &written.route_config else {
        match dynamic {
            Some(Present { span }) => {
                cx.refuse(span, "routes are not fetched: write `route_config`")
            }
            None => cx.refuse(node.span, "`route_config` is missing"),
        }
        return None;
    };
    let fallback = written.stat_prefix.as_deref().unwrap_or(place.name);
    routes::table(config, fallback, cx)
}

/// Compiles a TCP proxy.
pub(super) fn tcp(node: &Node, cx: &mut Cx<'_>) -> Option<TcpRoute> {
    let written: types::TcpProxy = cx.read(node)?;
    let mut clusters = Vec::new();
    match (&written.cluster, &written.weighted_clusters) {
        (Some(name), None) => clusters.push((cx.cluster(name)?, 1)),
        (None, Some(split)) => {
            for each in &split.clusters {
                cx.note(
                    each.metadata_match,
                    "metadata_match",
                    "any endpoint may be taken",
                );
                clusters.push((cx.cluster(&each.name)?, each.weight.0));
            }
            if clusters.iter().all(|(_, weight)| *weight == 0) {
                cx.refuse(node.span, "the weights of a split must not all be 0");
                return None;
            }
        }
        (Some(_), Some(_)) | (None, None) => {
            cx.refuse(node.span, "write one of `cluster` and `weighted_clusters`");
            return None;
        }
    }
    let attempts = written.max_connect_attempts;
    if let Some(attempts) = attempts.filter(|attempts| attempts.value.0 == 0) {
        cx.refuse(attempts.span, "must be at least 1");
    }
    Some(TcpRoute {
        clusters,
        idle_timeout: cx.timer(written.idle_timeout, Some(HOUR)),
        connect_retries: attempts.map_or(0, |attempts| attempts.value.0.saturating_sub(1)),
        max_duration: cx.timer(written.max_downstream_connection_duration, None),
        logs: carried_logs(&written, cx),
        origin: cx.written(node.span),
    })
}

fn carried_logs(written: &types::TcpProxy, cx: &mut Cx<'_>) -> CarriedLogs {
    let options = written.access_log_options.as_ref();
    if let Some(start) = options.and_then(|it| it.flush_access_log_on_start)
        && start.value
    {
        let what = "`flush_access_log_on_start`";
        cx.left_out(
            start.span,
            what,
            "logs have no record of a connection that has just come",
        );
    }
    let every = options.and_then(|it| it.access_log_flush_interval);
    let every = cx.timer(every.or(written.access_log_flush_interval), None);
    let connected = options.is_some_and(|it| it.flush_access_log_on_connected);
    let all = logs::logs(&written.access_log, cx);
    CarriedLogs {
        every: every.map(|it| it.value).filter(|_| !all.is_empty()),
        connected: (connected || written.flush_access_log_on_connected) && !all.is_empty(),
        all,
    }
}
