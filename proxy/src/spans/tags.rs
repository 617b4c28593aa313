//! What spans say.
//!
//! Source: envoy 1.40 `source/common/tracing/http_tracer_impl.cc` (`finalizeDownstreamSpan`, `finalizeUpstreamSpan`, `setCommonTags`), and
//! what it was seen to send.

use std::borrow::Cow;

use proxy_core::config::{Propagation, TagValue, TraceSide, TraceTag, Tracing};
use proxy_core::event::AttemptFailure;
use proxy_core::log::{AddressPart, Operator, Whose};
use proxy_core::trace::{Span, Trace, TrySpan};

use super::{Finished, Kind};
use crate::log::{Facts, Said, Speaker, template};

/// What is known of a request that is traced.
pub(crate) struct Told<'t> {
    pub(crate) tracing: &'t Tracing,
    pub(crate) trace: &'t Trace,
    pub(crate) propagation: Propagation,
}

/// Names and texts; a name is there once.
#[derive(Default)]
struct Tags {
    all: Vec<(Cow<'static, str>, String)>,
}

impl Tags {
    fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.all.push((name, value)),
        }
    }
}

fn said(facts: &mut Facts<'_>, operator: &Operator) -> Option<String> {
    let mut out = Vec::new();
    let said = facts.say(operator, &mut out);
    (said != Said::Nothing).then(|| String::from_utf8_lossy(&out).into_owned())
}

fn header(facts: &Facts<'_>, name: &str) -> Option<String> {
    let value = facts.request_header(name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// The spans of a request that is over: its own, and those of its tries.
pub(crate) fn of_record(facts: &mut Facts<'_>, told: &Told<'_>) -> Vec<Finished> {
    let Some(span) = &told.trace.span else {
        return Vec::new();
    };
    let mut spans = Vec::with_capacity(1 + told.trace.tries.len());
    for tried in &told.trace.tries {
        spans.push(of_try(facts, told, span, tried));
    }
    spans.push(of_request(facts, told, span));
    spans
}

fn of_request(facts: &mut Facts<'_>, told: &Told<'_>, span: &Span) -> Finished {
    let tracing = told.tracing;
    let mut tags = Tags::default();
    tags.set("node_id", &*tracing.node);
    tags.set("zone", &*tracing.zone);
    request_tags(&mut tags, facts, tracing.longest_path as usize);
    let bytes = |facts: &mut Facts<'_>, operator| said(facts, &operator).unwrap_or_default();
    tags.set("request_size", bytes(facts, Operator::BytesReceived));
    tags.set("response_size", bytes(facts, Operator::BytesSent));
    let status = facts.it.record.status;
    let flags = bytes(facts, Operator::Flags { long: false });
    common_tags(&mut tags, facts, told, (status, flags));
    grpc_tags(&mut tags, facts);
    let is_server = tracing.spawns || tracing.side == TraceSide::Ingress;
    let kind = if is_server {
        Kind::Server
    } else {
        Kind::Client
    };
    let moments = facts.it.record.moments;
    let at = |time: proxy_core::time::Time| facts.clock.epoch + time.as_nanos();
    let events = [
        (moments.request_end, "last_downstream_rx_byte_received"),
        (
            moments.upstream_request_start,
            "first_upstream_tx_byte_sent",
        ),
        (moments.upstream_request_end, "last_upstream_tx_byte_sent"),
        (
            moments.upstream_response_start,
            "first_upstream_rx_byte_received",
        ),
        (
            moments.upstream_response_end,
            "last_upstream_rx_byte_received",
        ),
        (moments.response_start, "first_downstream_tx_byte_sent"),
        (moments.response_end, "last_downstream_tx_byte_sent"),
    ];
    let events = events.iter().filter(|_| tracing.verbose);
    let name = match &told.trace.operation {
        Some(name) => name.to_string(),
        None => usual_name(facts, told),
    };
    Finished {
        trace: span.trace,
        wide: span.wide,
        id: span.id,
        parent: span.parent,
        remote: span.remote,
        shared: span.shared,
        state: span.state.clone(),
        name,
        kind,
        start: at(moments.start),
        end: at(moments.end),
        events: events
            .filter_map(|(time, what)| Some((at((*time)?), *what)))
            .collect(),
        failed: failed(kind, status, facts.it.record.grpc),
        tags: tags.all,
    }
}

/// What a span is called that nobody has named.
fn usual_name(facts: &Facts<'_>, told: &Told<'_>) -> String {
    let host = header(facts, ":authority").unwrap_or_default();
    match (told.propagation, told.tracing.side) {
        (Propagation::B3 { .. }, _) => host,
        (Propagation::W3c, TraceSide::Ingress) => "ingress".to_owned(),
        (Propagation::W3c, TraceSide::Egress) => format!("egress {host}"),
    }
}

fn request_tags(tags: &mut Tags, facts: &mut Facts<'_>, longest_path: usize) {
    if let Some(id) = header(facts, "x-request-id") {
        tags.set("guid:x-request-id", id);
    }
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let scheme = header(facts, "x-forwarded-proto").unwrap_or_default();
    let host = header(facts, ":authority").unwrap_or_default();
    let mut path = facts.original_or_rewritten().unwrap_or_default().to_owned();
    while path.len() > longest_path {
        path.pop();
    }
    tags.set("http.url", format!("{scheme}://{host}{path}"));
    tags.set("http.method", header(facts, ":method").unwrap_or_default());
    let cluster = header(facts, "x-envoy-downstream-service-cluster");
    tags.set("downstream_cluster", or_dash(cluster));
    tags.set("user_agent", or_dash(header(facts, "user-agent")));
    let protocol = said(facts, &Operator::Protocol);
    tags.set("http.protocol", or_dash(protocol));
    let peer = Operator::Address(Whose::Peer, AddressPart::WithoutPort);
    tags.set("peer.address", or_dash(said(facts, &peer)));
    if let Some(id) = header(facts, "x-client-trace-id") {
        tags.set("guid:x-client-trace-id", id);
    }
    if facts.is_grpc() {
        for (name, of) in [
            ("grpc.path", ":path"),
            ("grpc.authority", ":authority"),
            ("grpc.content_type", "content-type"),
            ("grpc.timeout", "grpc-timeout"),
        ] {
            if let Some(value) = header(facts, of) {
                tags.set(name, value);
            }
        }
    }
}

fn common_tags(
    tags: &mut Tags,
    facts: &mut Facts<'_>,
    told: &Told<'_>,
    (status, flags): (u16, String),
) {
    tags.set("component", "proxy");
    if let Some(cluster) = said(facts, &Operator::UpstreamCluster) {
        tags.set("upstream_cluster", cluster.clone());
        tags.set("upstream_cluster.name", cluster);
    }
    tags.set("http.status_code", status.to_string());
    tags.set("response_flags", flags);
    if status == 0 || status >= 500 {
        tags.set("error", "true");
    }
    let of_route = facts.it.route_tracing.map_or(&[][..], |it| &it.tags);
    let said_by_route = |tag: &&TraceTag| of_route.iter().any(|it| it.name == tag.name);
    let others = told.tracing.tags.iter().filter(|tag| !said_by_route(tag));
    for tag in of_route.iter().chain(others) {
        if let Some(value) = custom(facts, &tag.value) {
            tags.set(tag.name.to_string(), value);
        }
    }
}

/// What a tag says; none: it is not said.
fn custom(facts: &mut Facts<'_>, value: &TagValue) -> Option<String> {
    let or_else = |said: Option<String>, otherwise: &str| {
        let said = said.unwrap_or_else(|| otherwise.to_owned());
        Some(said).filter(|said| !said.is_empty())
    };
    match value {
        TagValue::Literal(text) => Some(text.to_string()),
        TagValue::Environment(name, otherwise) => {
            let set = facts.variable(name).map(|value| value.to_string());
            or_else(set, otherwise)
        }
        TagValue::Header(name, otherwise) => or_else(header(facts, name), otherwise),
        TagValue::Text(text) => {
            let mut out = Vec::new();
            template(text, facts, &mut out);
            or_else(Some(String::from_utf8_lossy(&out).into_owned()), "")
        }
    }
}

/// Whether a gRPC status is the fault of whoever answers.
///
/// Source: envoy `http_tracer_impl.cc` (`addGrpcResponseTags`).
const fn is_servers_fault(status: u32) -> bool {
    matches!(status, 2 | 4 | 8 | 12 | 13 | 14 | 15)
}

const RESOURCE_EXHAUSTED: u32 = 8;

fn grpc_tags(tags: &mut Tags, facts: &Facts<'_>) {
    let Some(status) = facts.it.record.grpc else {
        return;
    };
    tags.set("grpc.status_code", status.to_string());
    if let Some(message) = facts.grpc_message() {
        tags.set("grpc.message", message);
    }
    if is_servers_fault(status) {
        tags.set("error", "true");
    }
}

/// Whether a span counts as one of something that went wrong: by its status, or by that of gRPC.
///
/// Source: OpenTelemetry, "Semantic Conventions for HTTP Spans" and "for gRPC", status.
fn failed(kind: Kind, status: u16, grpc: Option<u32>) -> bool {
    let least = match kind {
        Kind::Server => 500,
        Kind::Client => 400,
    };
    let of_grpc = grpc.is_some_and(|status| match kind {
        Kind::Server => is_servers_fault(status) && status != RESOURCE_EXHAUSTED,
        Kind::Client => status != 0,
    });
    status >= least || of_grpc
}

fn of_try(facts: &mut Facts<'_>, told: &Told<'_>, parent: &Span, tried: &TrySpan) -> Finished {
    let mut tags = Tags::default();
    if tried.number > 1 {
        tags.set("retry.count", (tried.number - 1).to_string());
    }
    if tried.cancelled {
        tags.set("canceled", "true");
    } else if let Some(reason) = tried.failure.and_then(reason) {
        tags.set("error", "true");
        tags.set("error.reason", reason);
    }
    let protocol = match tried.http2 {
        None => "-",
        Some(true) => "HTTP/2",
        Some(false) => "HTTP/1.1",
    };
    tags.set("http.protocol", protocol);
    if let Some(address) = facts.endpoint(tried.endpoint) {
        tags.set("upstream_address", address.to_string());
        tags.set("peer.address", address.to_string());
    }
    let mut flags = tried.flags.names(false);
    let first = flags.next().unwrap_or("-").to_owned();
    let flags = flags.fold(first, |all, flag| all + "," + flag);
    common_tags(&mut tags, facts, told, (tried.status, flags));
    let cluster = said(facts, &Operator::UpstreamCluster).unwrap_or_default();
    let at = |time: proxy_core::time::Time| facts.clock.epoch + time.as_nanos();
    let is_whole = !tried.cancelled && tried.failure.is_none();
    let events = [
        (tried.sent, "first_upstream_tx_byte_sent"),
        (tried.sent, "last_upstream_tx_byte_sent"),
        (tried.answered, "first_upstream_rx_byte_received"),
        (
            Some(tried.end).filter(|_| is_whole),
            "last_upstream_rx_byte_received",
        ),
    ];
    let events = events.iter().filter(|_| told.tracing.verbose);
    Finished {
        trace: parent.trace,
        wide: parent.wide,
        id: tried.id,
        parent: Some(parent.id),
        remote: false,
        shared: false,
        state: parent.state.clone(),
        name: format!("router {cluster} egress"),
        kind: Kind::Client,
        start: at(tried.start),
        end: at(tried.end),
        events: events
            .filter_map(|(time, what)| Some((at((*time)?), *what)))
            .collect(),
        failed: failed(Kind::Client, tried.status, None),
        tags: tags.all,
    }
}

/// Why a try had no response, in Envoy's words.
///
/// Source: envoy `source/common/http/utility.cc` (`resetReasonToString`).
const fn reason(failure: AttemptFailure) -> Option<&'static str> {
    Some(match failure {
        AttemptFailure::ConnectRefused => "remote connection failure",
        AttemptFailure::ConnectTimeout => "connection timeout",
        AttemptFailure::Overflow => "overflow",
        AttemptFailure::Terminated => "connection termination",
        AttemptFailure::Reset => "remote reset",
        AttemptFailure::RefusedStream => "remote refused stream reset",
        AttemptFailure::Protocol => "protocol error",
        AttemptFailure::NoHealthyUpstream
        | AttemptFailure::PerTryTimeout
        | AttemptFailure::PerTryIdle
        | AttemptFailure::RouteTimeout => return None,
    })
}
