//! The HTTP connection manager, and the carrying of bytes.

use proxy_core::config::{HttpConnections, HttpFilter, ReplyProfile, TcpRoute};
use proxy_core::time::Duration;
use serde_json::{Value, json};

use super::cx::Cx;
use super::message::{Message, length, timer};
use super::{filters, heads, logs, routes, upgrades};

const HTTP: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const TCP: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
const HOUR: Duration = Duration::from_secs(3600);
const STREAM_IDLE: Duration = Duration::from_secs(300);

/// Writes a connection manager with its route table; `stats` is what its figures are called.
pub(super) fn http(http: &HttpConnections, stats: &str, cx: &mut Cx<'_>) -> Message {
    let mut message = Message::any(HTTP);
    message.set("stat_prefix", stats);
    let mut common = Message::default();
    heads::rules(http, &mut message, &mut common, cx);
    logs::requests(cx.written.logs.as_ref(), &mut message);
    if !http.logs.is_empty() {
        cx.departs("its access logs are not written");
    }
    if http.tracing.is_some() {
        cx.departs("its requests are not traced");
    }
    let idle = http.idle_timeout.map(|it| it.value);
    if idle != Some(HOUR) {
        common.set("idle_timeout", timer(idle));
    }
    let longest = http.max_stream_duration.map(|it| length(it.value));
    common.maybe("max_stream_duration", longest);
    let longest = http.max_connection_duration.map(|it| length(it.value));
    common.maybe("max_connection_duration", longest);
    let head = http.head_timeout.map(|it| length(it.value));
    message.maybe("request_headers_timeout", head);
    let most = http.max_requests_per_connection.map(|it| it.value);
    common.maybe("max_requests_per_connection", most);
    message.within("common_http_protocol_options", common);
    let idle = http.stream_idle_timeout.map(|it| it.value);
    if idle != Some(STREAM_IDLE) {
        message.set("stream_idle_timeout", timer(idle));
    }
    let request = http.request_timeout.map(|it| length(it.value));
    message.maybe("request_timeout", request);
    let whose = match http.replies {
        ReplyProfile::Envoy => None,
        ReplyProfile::Linkerd => Some("Linkerd's"),
        ReplyProfile::Nginx => Some("NGINX's"),
        ReplyProfile::Traefik => Some("Traefik's"),
    };
    if let Some(whose) = whose {
        cx.departs(format!(
            "answers of the proxy's own have Envoy's statuses, not {whose}"
        ));
    }
    upgrades::of_manager(&http.upgrades, &mut message, cx);
    let rules = http.heads.as_deref();
    let tells = rules.is_none_or(|rules| rules.tells);
    message.set("http_filters", filters::chain(&http.filters, tells, cx));
    let internal_only = rules.map_or(&[][..], |rules| &rules.internal_only);
    let section = cx.section;
    let table = &section.tables()[http.table.0 as usize];
    message.set("route_config", routes::table(table, internal_only, cx));
    message
}

/// Whether requests of the manager are counted in a bucket.
pub(super) fn is_limited(http: &HttpConnections, cx: &Cx<'_>) -> bool {
    let is_limit = |filter: &HttpFilter| matches!(filter, HttpFilter::LocalRateLimit(_));
    let own = |filter: &HttpFilter| matches!(filter, HttpFilter::LocalRateLimit(Some(_)));
    let table = &cx.section.tables()[http.table.0 as usize];
    let mut routes = table.virtual_hosts.iter().flat_map(|host| &host.routes);
    http.filters.iter().any(own)
        || http.filters.iter().any(is_limit) && routes.any(|route| route.rate_limit.is_some())
}

/// Writes a TCP proxy.
pub(super) fn tcp(tcp: &TcpRoute, stats: &str, cx: &mut Cx<'_>) -> Message {
    let mut message = Message::any(TCP);
    message.set("stat_prefix", stats);
    // Envoy takes no weight of 0
    let weighted = tcp.clusters.iter().filter(|(_, weight)| *weight > 0);
    let weighted: Vec<Value> = weighted
        .map(|(index, weight)| json!({"name": &*cx.cluster(*index), "weight": weight}))
        .collect();
    match &weighted[..] {
        [only] if only["weight"] == 1 => message.set("cluster", only["name"].clone()),
        _ => message.set("weighted_clusters", json!({"clusters": weighted})),
    }
    let idle = tcp.idle_timeout.map(|it| it.value);
    if idle != Some(HOUR) {
        message.set("idle_timeout", timer(idle));
    }
    let longest = tcp.max_duration.map(|it| length(it.value));
    message.maybe("max_downstream_connection_duration", longest);
    if !tcp.logs.all.is_empty() {
        cx.departs("its access logs are not written");
    }
    if tcp.connect_retries > 0 {
        let attempts = tcp.connect_retries.saturating_add(1);
        message.set("max_connect_attempts", attempts);
    }
    message
}
