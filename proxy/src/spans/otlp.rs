//! Spans in OpenTelemetry's protocol.
//!
//! Source: opentelemetry-proto 1.x, `opentelemetry/proto/{collector/trace,trace,common,resource}/v1`, as far as spans of a proxy need it.

use prost::Message;
use proxy_core::config::TraceExport;

use super::{Finished, Kind};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Whether the parent is remote is known.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
const SAMPLED: u32 = 1;
const STATUS_ERROR: i32 = 2;
/// More attributes of the process.
///
/// Source: OpenTelemetry, "Environment Variable Specification".
const VARIABLE: &str = "OTEL_RESOURCE_ATTRIBUTES";

#[derive(Clone, PartialEq, Message)]
pub(super) struct Export {
    #[prost(message, repeated, tag = "1")]
    pub(super) resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub(super) scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(super) attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub(super) spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Scope {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Span {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(super) trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(super) name: String,
    #[prost(int32, tag = "6")]
    pub(super) kind: i32,
    #[prost(fixed64, tag = "7")]
    pub(super) start: u64,
    #[prost(fixed64, tag = "8")]
    pub(super) end: u64,
    #[prost(message, repeated, tag = "9")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "11")]
    pub(super) events: Vec<Event>,
    #[prost(message, optional, tag = "15")]
    pub(super) status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    pub(super) flags: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    #[prost(fixed64, tag = "1")]
    pub(super) time: u64,
    #[prost(string, tag = "2")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(int32, tag = "3")]
    pub(super) code: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<Value>,
}

/// Of the kinds of values texts alone are used.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub(super) text: String,
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(Value {
            text: value.to_owned(),
        }),
    }
}

/// What is said of the process.
///
/// Source: Envoy 1.40 `resource_provider.cc`: what detectors find takes the place of what stands there.
fn resource(export: &TraceExport) -> Resource {
    let mut all: Vec<(String, String)> = vec![
        ("service.name".to_owned(), export.service.to_string()),
        ("telemetry.sdk.language".to_owned(), "rust".to_owned()),
        ("telemetry.sdk.name".to_owned(), "windtunnel".to_owned()),
        ("telemetry.sdk.version".to_owned(), VERSION.to_owned()),
    ];
    let mut put = |key: &str, value: &str| match all.iter_mut().find(|(known, _)| known == key) {
        Some((_, known)) => value.clone_into(known),
        None => all.push((key.to_owned(), value.to_owned())),
    };
    for (key, value) in &export.resource {
        put(key, value);
    }
    if export.from_environment {
        let said = std::env::var(VARIABLE).unwrap_or_default();
        for (key, value) in listed(&said) {
            put(key, value);
        }
    }
    Resource {
        attributes: all
            .iter()
            .map(|(key, value)| attribute(key, value))
            .collect(),
    }
}

/// Pairs of `key=value`, between commas.
fn listed(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(key, value)| (key.trim(), value.trim()));
    pairs.filter(|(key, _)| !key.is_empty())
}

fn span(it: &Finished) -> Span {
    let remote = if it.remote { IS_REMOTE } else { 0 };
    let events = it.events.iter().map(|(time, name)| Event {
        time: *time,
        name: (*name).to_owned(),
    });
    Span {
        trace_id: it.trace.to_be_bytes().to_vec(),
        span_id: it.id.to_be_bytes().to_vec(),
        trace_state: it.state.to_string(),
        parent_span_id: it
            .parent
            .map_or_else(Vec::new, |id| id.to_be_bytes().to_vec()),
        name: it.name.clone(),
        kind: match it.kind {
            Kind::Server => 2,
            Kind::Client => 3,
        },
        start: it.start,
        end: it.end,
        attributes: it
            .tags
            .iter()
            .map(|(key, value)| attribute(key, value))
            .collect(),
        events: events.collect(),
        status: it.failed.then_some(Status { code: STATUS_ERROR }),
        flags: HAS_IS_REMOTE | remote | SAMPLED,
    }
}

/// All spans as one message.
pub(super) fn message(export: &TraceExport, spans: &[Finished]) -> Vec<u8> {
    let message = Export {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(export)),
            scope_spans: vec![ScopeSpans {
                scope: Some(Scope {
                    name: "windtunnel".to_owned(),
                    version: VERSION.to_owned(),
                }),
                spans: spans.iter().map(span).collect(),
            }],
        }],
    };
    message.encode_to_vec()
}

/// A message as gRPC frames it.
///
/// Source: gRPC over HTTP/2, `Length-Prefixed-Message`.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_lists_pairs() {
        let pairs: Vec<_> = listed("a=1, b = x=y ,=3,c,,d=").collect();
        assert_eq!(pairs, [("a", "1"), ("b", "x=y"), ("d", "")]);
    }

    #[test]
    fn a_message_of_grpc_begins_with_its_length() {
        assert_eq!(framed(b"abc"), b"\0\0\0\0\x03abc");
    }
}
