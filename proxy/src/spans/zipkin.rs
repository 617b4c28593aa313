//! Spans in Zipkin's version 2.
//!
//! Source: Zipkin API 2.0 (`zipkin2-api.yaml`); what Envoy 1.40 was seen to send.

use proxy_core::config::TraceExport;
use serde_json::{Map, Value, json};

use super::{Finished, Kind};

/// All spans as one message.
pub(super) fn message(export: &TraceExport, spans: &[Finished]) -> Vec<u8> {
    let all: Vec<Value> = spans.iter().map(|it| span(export, it)).collect();
    Value::from(all).to_string().into_bytes()
}

fn span(export: &TraceExport, it: &Finished) -> Value {
    let trace = match it.wide {
        true => format!("{:032x}", it.trace),
        false => format!("{:016x}", it.trace as u64),
    };
    let (kind, last) = match it.kind {
        Kind::Server => ("SERVER", "ss"),
        Kind::Client => ("CLIENT", "cr"),
    };
    let micros = |nanos: u64| nanos / 1000;
    let annotation = |(at, what): (u64, &str)| json!({"timestamp": micros(at), "value": what});
    let mut annotations: Vec<Value> = it.events.iter().copied().map(annotation).collect();
    annotations.push(annotation((it.end, last)));
    let tags = it.tags.iter();
    let tags: Map<String, Value> = tags
        .map(|(key, value)| (key.to_string(), json!(value)))
        .collect();
    let mut span = json!({
        "traceId": trace,
        "id": format!("{:016x}", it.id),
        "name": it.name,
        "kind": kind,
        "timestamp": micros(it.start),
        "duration": micros(it.end.saturating_sub(it.start)),
        "localEndpoint": {"serviceName": &*export.service},
        "annotations": annotations,
        "tags": tags,
    });
    if let Some(parent) = it.parent {
        span["parentId"] = json!(format!("{parent:016x}"));
    }
    if it.shared {
        span["shared"] = json!(true);
    }
    span
}
