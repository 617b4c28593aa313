//! Traces: the same requests, and what upstreams are told and collectors get of them, by Envoy and by ours.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use crate::binaries::Side;
use crate::processes::Running;
use crate::yaml;

const HTTP: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const OPEN_TELEMETRY: &str = "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig";
const ZIPKIN: &str = "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig";
const OPTIONS: &str = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// How many listeners there are.
const COUNT: u16 = 12;

/// Listeners by name: which way, what stands in `tracing`.
fn listeners() -> Vec<(&'static str, bool, Value)> {
    let otlp = |service: Value| {
        let mut config = service;
        config["@type"] = json!(OPEN_TELEMETRY);
        config["service_name"] = json!("svc");
        json!({"name": "o", "typed_config": config})
    };
    let http = json!({"http_service": {
        "http_uri": {"uri": "http://c.test/v1/traces", "cluster": "up", "timeout": "1s"},
        "request_headers_to_add": [{"header": {"key": "x-token", "value": "t"}}],
    }});
    let grpc = json!({"grpc_service": {
        "envoy_grpc": {"cluster_name": "up2"}, "timeout": "1s",
        "initial_metadata": [{"key": "x-token", "value": "g"}],
    }});
    let zipkin = |more: Value| {
        let mut config = json!({
            "@type": ZIPKIN, "collector_cluster": "up", "collector_endpoint": "/api/v2/spans",
            "collector_endpoint_version": "HTTP_JSON",
        });
        for (key, value) in more.as_object().expect("fields") {
            config[key] = value.clone();
        }
        json!({"name": "z", "typed_config": config})
    };
    let tags = json!([
        {"tag": "lit", "literal": {"value": "v"}},
        {"tag": "env", "environment": {"name": "LIKE_ENVOY", "default_value": "d"}},
        {"tag": "env2", "environment": {"name": "LIKE_ENVOY_NOT", "default_value": "d"}},
        {"tag": "env3", "environment": {"name": "LIKE_ENVOY_NOT"}},
        {"tag": "head", "request_header": {"name": "X-H", "default_value": "none"}},
        {"tag": "head2", "request_header": {"name": "x-nope"}},
    ]);
    let parent = json!({"name": "s", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.tracers.opentelemetry.samplers.v3.AlwaysOnSamplerConfig",
    }});
    let mut always = http.clone();
    always["sampler"] = parent.clone();
    let mut after = http.clone();
    after["sampler"] = json!({"name": "s", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.tracers.opentelemetry.samplers.v3.ParentBasedSamplerConfig",
        "wrapped_sampler": parent,
    }});
    let none = json!({"value": 0});
    vec![
        (
            "in",
            false,
            json!({"custom_tags": tags, "provider": otlp(http.clone())}),
        ),
        (
            "out",
            true,
            json!({"custom_tags": tags, "provider": otlp(grpc)}),
        ),
        (
            "spawn",
            false,
            json!({"spawn_upstream_span": true, "verbose": true, "provider": otlp(http.clone())}),
        ),
        (
            "never",
            false,
            json!({"random_sampling": none, "provider": otlp(http.clone())}),
        ),
        (
            "off",
            false,
            json!({"overall_sampling": none, "client_sampling": none, "provider": otlp(http)}),
        ),
        ("always", false, json!({"provider": otlp(always)})),
        ("after", false, json!({"provider": otlp(after)})),
        (
            "zipkin",
            false,
            json!({"max_path_tag_length": 5, "provider": zipkin(json!({}))}),
        ),
        (
            "zipkin-out",
            true,
            json!({"provider": zipkin(json!({
                "trace_id_128bit": true, "trace_context_option": "USE_B3_WITH_W3C_PROPAGATION",
            }))}),
        ),
        (
            "zipkin-spawn",
            false,
            json!({"spawn_upstream_span": true, "provider": zipkin(json!({}))}),
        ),
        (
            "zipkin-apart",
            false,
            json!({"provider": zipkin(json!({"shared_span_context": false}))}),
        ),
        ("alone", false, json!({})),
    ]
}

fn bootstrap(first: u16, upstream: SocketAddr) -> Value {
    let again = json!({
        "retry_on": "5xx", "num_retries": 1, "retry_back_off": {"base_interval": "0.001s"},
    });
    let own = json!([
        {"tag": "route", "literal": {"value": "r"}}, {"tag": "lit", "literal": {"value": "route"}},
    ]);
    let routes = json!([
        {"match": {"prefix": "/never"}, "route": {"cluster": "up"},
         "tracing": {"random_sampling": {"numerator": 0}, "custom_tags": own}},
        {"match": {"prefix": "/named"}, "route": {"cluster": "up"},
         "decorator": {"operation": "named"}, "tracing": {"custom_tags": own}},
        {"match": {"prefix": "/quiet"}, "route": {"cluster": "up"},
         "decorator": {"operation": "quiet", "propagate": false}},
        {"match": {"prefix": "/again"}, "route": {"cluster": "up", "retry_policy": again}},
        {"match": {"prefix": "/direct"}, "direct_response": {"status": 200, "body": {"inline_string": "x"}}},
        {"match": {"prefix": "/dead"}, "route": {"cluster": "dead"}},
        {"match": {"prefix": "/slow"}, "route": {"cluster": "up", "timeout": "0.1s"}},
        {"match": {"prefix": "/tried"}, "route": {"cluster": "up", "retry_policy": {"per_try_timeout": "0.1s"}}},
        {"match": {"prefix": "/old"}, "route": {"cluster": "up", "prefix_rewrite": "/"}},
    ]);
    let all = (first..).zip(listeners());
    let all = all.map(|(port, (name, outbound, tracing))| {
        let manager = json!({
            "@type": HTTP, "stat_prefix": name, "server_name": "envoy",
            "use_remote_address": true, "preserve_external_request_id": true,
            "internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]},
            "tracing": tracing,
            "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        });
        json!({
            "name": name,
            "traffic_direction": if outbound { "OUTBOUND" } else { "INBOUND" },
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        })
    });
    let cluster = |name: &str, at: SocketAddr, http2: bool| {
        let at = json!({"socket_address": {"address": at.ip(), "port_value": at.port()}});
        let mut cluster = json!({
            "name": name, "type": "STATIC",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at}}]}]},
        });
        if http2 {
            cluster["typed_extension_protocol_options"] = json!({
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": OPTIONS, "explicit_http_config": {"http2_protocol_options": {}},
                },
            });
        }
        cluster
    };
    let dead = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    json!({
        "node": {"id": "n", "cluster": "c", "locality": {"zone": "z"}},
        "layered_runtime": {"layers": [{"name": "a", "static_layer": {
            "tracing.opentelemetry.flush_interval_ms": 50, "tracing.opentelemetry.min_flush_spans": 1,
            "tracing.zipkin.flush_interval_ms": 50, "tracing.zipkin.min_flush_spans": 1,
        }}]},
        "static_resources": {
            "listeners": all.collect::<Vec<_>>(),
            "clusters": [
                cluster("up", upstream, false), cluster("up2", upstream, true), cluster("dead", dead, false),
            ],
        },
    })
}

/// A request: to which listener, for what, with which headers.
type Ask = (&'static str, &'static str, Vec<(&'static str, String)>);

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
const WIDE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const NARROW: &str = "64fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";
const OTHER: &str = "05e3ac9a4f6e3b90";

fn asks() -> Vec<Ask> {
    let force = || ("x-envoy-force-trace", "1".to_owned());
    let client = || ("x-client-trace-id", "cc".to_owned());
    let parent = |flags: &str| ("traceparent", format!("{PARENT}-{flags}"));
    let named = || ("x-envoy-decorator-operation", "client".to_owned());
    let grpc = || ("content-type", "application/grpc".to_owned());
    let id = |letter: char| {
        (
            "x-request-id",
            format!("00000001-0000-{letter}000-8000-000000000000"),
        )
    };
    let b3 = |value: String| ("b3", value);
    let trace = |id: &str| ("x-b3-traceid", id.to_owned());
    let span = || ("x-b3-spanid", SPAN.to_owned());
    let sampled = |value: &str| ("x-b3-sampled", value.to_owned());
    let state = |value: &str| ("tracestate", value.to_owned());
    let mut all: Vec<Ask> = vec![
        (
            "in",
            "/none",
            vec![
                parent("01"),
                state("a=1"),
                state("b=2"),
                ("x-h", "hi".to_owned()),
            ],
        ),
        ("in", "/old/a?b=c", vec![("user-agent", "a".to_owned())]),
        ("in", "/old/a", vec![parent("00"), force()]),
        (
            "in",
            "/old/a",
            vec![("traceparent", "bad".to_owned()), state("a=1")],
        ),
        ("in", "/old/a", vec![client()]),
        ("in", "/never", vec![]),
        ("in", "/never", vec![force()]),
        ("in", "/never", vec![client(), force()]),
        ("in", "/never", vec![id('9')]),
        ("in", "/never", vec![id('b')]),
        ("in", "/named", vec![named()]),
        ("in", "/named/b", vec![]),
        ("in", "/quiet", vec![]),
        ("in", "/named/renamed", vec![]),
        ("in", "/direct", vec![]),
        ("in", "/dead", vec![]),
        ("in", "/slow/delay", vec![]),
        (
            "in",
            "/old/grpc4",
            vec![grpc(), ("grpc-timeout", "1S".to_owned())],
        ),
        ("in", "/old/grpc5", vec![grpc()]),
        ("in", "/old/grpc8", vec![grpc()]),
        ("out", "/old/grpc5", vec![grpc()]),
        ("out", "/old/grpc8", vec![grpc()]),
        ("in", "/none", vec![grpc()]),
        ("in", "/old/s404", vec![]),
        ("in", "/old/s503", vec![]),
        ("out", "/old/a", vec![]),
        ("out", "/old/a", vec![parent("01")]),
        ("out", "/named", vec![named()]),
        ("out", "/quiet", vec![named()]),
        ("out", "/named/renamed", vec![]),
        ("out", "/old/s404", vec![]),
        ("out", "/again/s503", vec![]),
        ("spawn", "/old/a", vec![parent("01")]),
        ("spawn", "/again/s503", vec![]),
        ("spawn", "/direct", vec![]),
        ("spawn", "/dead", vec![]),
        ("spawn", "/slow/delay", vec![]),
        ("spawn", "/tried/delay", vec![]),
        ("spawn", "/tried/s404", vec![]),
        ("never", "/old/a", vec![]),
        ("never", "/old/a", vec![parent("01")]),
        ("never", "/old/a", vec![force()]),
        ("off", "/old/a", vec![force(), id('9')]),
        ("off", "/old/a", vec![client()]),
        ("off", "/old/a", vec![parent("01")]),
        ("always", "/old/a", vec![]),
        ("always", "/old/a", vec![parent("00")]),
        ("always", "/never", vec![parent("01")]),
        ("after", "/old/a", vec![]),
        ("after", "/old/a", vec![parent("00")]),
        ("alone", "/old/a", vec![parent("01")]),
        ("alone", "/named", vec![named()]),
        ("zipkin", "/old/a", vec![]),
        ("zipkin", "/never", vec![]),
        ("zipkin", "/old/a", vec![b3("0".to_owned())]),
        (
            "zipkin",
            "/old/a",
            vec![b3(format!("{WIDE}-{SPAN}-1-{OTHER}"))],
        ),
        ("zipkin", "/old/a", vec![b3(format!("{WIDE}-{SPAN}"))]),
        ("zipkin", "/old/a", vec![b3("junk-junk".to_owned())]),
        ("zipkin", "/old/a", vec![b3(format!("{NARROW}-{SPAN}-d"))]),
        ("zipkin", "/old/a", vec![b3(format!("{NARROW}-{SPAN}-0"))]),
        ("zipkin", "/old/a", vec![sampled("0")]),
        ("zipkin", "/never", vec![sampled("1")]),
        ("zipkin", "/never", vec![b3("1".to_owned())]),
        (
            "zipkin",
            "/never",
            vec![sampled("1"), trace(NARROW), span()],
        ),
        (
            "zipkin",
            "/old/a",
            vec![sampled("true"), trace(NARROW), span()],
        ),
        (
            "zipkin",
            "/old/a",
            vec![trace(WIDE), span(), ("x-b3-parentspanid", OTHER.to_owned())],
        ),
        (
            "zipkin",
            "/old/a",
            vec![trace(NARROW), span(), ("x-b3-flags", "1".to_owned())],
        ),
        ("zipkin", "/old/a", vec![trace("zz"), span()]),
        ("zipkin", "/old/a", vec![trace(NARROW), sampled("1")]),
        ("zipkin", "/old/a", vec![parent("01")]),
        (
            "zipkin-apart",
            "/old/a",
            vec![trace(NARROW), span(), sampled("1")],
        ),
    ];
    for listener in ["zipkin-out", "zipkin-spawn"] {
        all.extend([
            (listener, "/old/a", vec![]),
            (listener, "/old/a", vec![parent("01"), state("a=1")]),
            (
                listener,
                "/old/a",
                vec![trace(NARROW), span(), sampled("1")],
            ),
            (
                listener,
                "/old/a",
                vec![b3(format!("{WIDE}-{SPAN}-1-{OTHER}"))],
            ),
        ]);
    }
    all
}

/// What upstreams saw and collectors got.
#[derive(Default)]
struct Seen {
    told: Vec<Vec<(String, String)>>,
    spans: Vec<String>,
}

/// Headers that are compared.
fn is_told(name: &str) -> bool {
    let parts = ["trace", "b3", "request-id", "decorator"];
    parts.iter().any(|part| name.contains(part))
}

fn headers_of(headers: &HeaderMap) -> Vec<(String, String)> {
    let told = headers.iter().filter(|(name, _)| is_told(name.as_str()));
    let mut told: Vec<(String, String)> = told
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.to_string(), value.into_owned())
        })
        .collect();
    told.sort();
    told
}

async fn answer(request: Request<Incoming>, seen: Arc<Mutex<Seen>>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes());
    let body = body.unwrap_or_default();
    let path = head.uri.path().to_owned();
    let token = head.headers.get("x-token");
    let token = token.map_or("", |it| it.to_str().unwrap_or_default());
    let mut response = Response::new(Full::new(Bytes::from_static(b"ok")));
    let spans = match &*path {
        "/v1/traces" => otlp::spans(&body, token),
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => {
            let kind = http::HeaderValue::from_static("application/grpc");
            response.headers_mut().insert("content-type", kind);
            let ok = http::HeaderValue::from_static("0");
            response.headers_mut().insert("grpc-status", ok);
            *response.body_mut() = Full::default();
            otlp::spans(body.get(5..).unwrap_or_default(), token)
        }
        "/api/v2/spans" => zipkin_spans(&body),
        _ => Vec::new(),
    };
    if !spans.is_empty() {
        seen.lock().expect("nobody panicked").spans.extend(spans);
        return response;
    }
    let told = headers_of(&head.headers);
    seen.lock().expect("nobody panicked").told.push(told);
    if path.contains("delay") {
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    if let Some((_, status)) = path.split_once("/s") {
        let status = status.parse::<u16>().ok();
        let status = status.and_then(|it| http::StatusCode::from_u16(it).ok());
        *response.status_mut() = status.unwrap_or(http::StatusCode::OK);
    }
    if let Some((_, status)) = path.split_once("/grpc") {
        let status = http::HeaderValue::from_str(status).expect("a number");
        response.headers_mut().insert("grpc-status", status);
        let message = http::HeaderValue::from_static("why");
        response.headers_mut().insert("grpc-message", message);
        *response.body_mut() = Full::default();
    }
    if path.contains("renamed") {
        let name = http::HeaderValue::from_static("upstream");
        let header = "x-envoy-decorator-operation";
        response.headers_mut().insert(header, name);
    }
    response
}

async fn serve(listener: TcpListener, seen: Arc<Mutex<Seen>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let seen = seen.clone();
        let service = service_fn(move |request| {
            let seen = seen.clone();
            async move { Ok::<_, Infallible>(answer(request, seen).await) }
        });
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A span as a text: everything but times and what processes call themselves.
fn zipkin_spans(body: &[u8]) -> Vec<String> {
    let Ok(Value::Array(all)) = serde_json::from_slice(body) else {
        return Vec::new();
    };
    let line = |mut span: Value| {
        let service = span["localEndpoint"]["serviceName"].clone();
        let fields = span.as_object_mut().expect("an object");
        for field in ["timestamp", "duration", "localEndpoint"] {
            fields.remove(field);
        }
        let notes = span["annotations"].as_array().cloned().unwrap_or_default();
        span["annotations"] = notes.iter().map(|note| note["value"].clone()).collect();
        format!("{service} {span}")
    };
    all.into_iter().map(line).collect()
}

/// OTLP, as far as it takes to read spans.
mod otlp {
    /// A field: its number, and its bytes or its number.
    enum Value<'b> {
        Number(u64),
        Bytes(&'b [u8]),
    }

    fn varint(bytes: &mut &[u8]) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first()?;
            *bytes = rest;
            number |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = bytes.split_at_checked(count)?;
        *bytes = rest;
        Some(taken)
    }

    fn fields(mut bytes: &[u8]) -> Vec<(u64, Value<'_>)> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes).expect("a key");
            let fixed = |bytes: &[u8]| {
                let number = bytes.iter().rev();
                Value::Number(number.fold(0, |all, byte| all << 8 | u64::from(*byte)))
            };
            let value = match key & 7 {
                0 => Value::Number(varint(&mut bytes).expect("a number")),
                1 => fixed(take(&mut bytes, 8).expect("eight bytes")),
                2 => {
                    let length = varint(&mut bytes).expect("a length");
                    Value::Bytes(take(&mut bytes, length as usize).expect("its bytes"))
                }
                5 => fixed(take(&mut bytes, 4).expect("four bytes")),
                kind => panic!("no kind of field: {kind}"),
            };
            all.push((key >> 3, value));
        }
        all
    }

    fn bytes_of(message: &[u8], number: u64) -> Vec<&[u8]> {
        let all = fields(message).into_iter();
        let all = all.filter_map(|(field, value)| match value {
            Value::Bytes(bytes) if field == number => Some(bytes),
            Value::Bytes(_) | Value::Number(_) => None,
        });
        all.collect()
    }

    fn text(message: &[u8], number: u64) -> String {
        let found = bytes_of(message, number);
        let first = found.first().copied().unwrap_or_default();
        String::from_utf8_lossy(first).into_owned()
    }

    fn number(message: &[u8], number: u64) -> u64 {
        let mut all = fields(message).into_iter();
        let found = all.find_map(|(field, value)| match value {
            Value::Number(value) if field == number => Some(value),
            Value::Bytes(_) | Value::Number(_) => None,
        });
        found.unwrap_or_default()
    }

    fn pair(message: &[u8]) -> (String, String) {
        let value = bytes_of(message, 2);
        (
            text(message, 1),
            text(value.first().copied().unwrap_or_default(), 1),
        )
    }

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn spans(body: &[u8], token: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for resource in bytes_of(body, 1) {
            let attributes = bytes_of(resource, 1);
            let attributes = attributes.iter().flat_map(|it| bytes_of(it, 1)).map(pair);
            let said: Vec<String> = attributes
                .filter(|(key, _)| !key.starts_with("telemetry."))
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            for span in bytes_of(resource, 2).iter().flat_map(|it| bytes_of(it, 2)) {
                let id = |field| {
                    let found = bytes_of(span, field);
                    hexadecimal(found.first().copied().unwrap_or_default())
                };
                let tags = bytes_of(span, 9).into_iter().map(pair);
                let mut tags: Vec<String> = tags.map(|(k, v)| format!("{k}={v}")).collect();
                tags.sort();
                let events = bytes_of(span, 11).into_iter().map(|it| text(it, 2));
                let events: Vec<String> = events.collect();
                let status = bytes_of(span, 15).first().map_or(0, |it| number(it, 3));
                lines.push(format!(
                    "{token} {said:?} {} kind {} trace {} span {} parent {} state {:?} status {status} flags {:#x} {tags:?} {events:?}",
                    text(span, 5),
                    number(span, 6),
                    id(1),
                    id(2),
                    id(4),
                    text(span, 3),
                    number(span, 16),
                ));
            }
        }
        lines
    }
}

/// Sends a request, and reads its answer to its end; gives the headers of it that are compared.
async fn ask(at: SocketAddr, (_, path, headers): &Ask) -> Vec<String> {
    let mut stream = TcpStream::connect(at).await.expect("it listens");
    let mut text = format!("GET {path} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await.expect("it is sent");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let read = tokio::time::timeout(Duration::from_secs(5), read).await;
    read.expect("in time").expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let lines = answer.split("\r\n\r\n").next().unwrap_or_default().lines();
    let mut told: Vec<String> = lines
        .enumerate()
        .filter(|(nth, line)| *nth == 0 || is_told(line))
        .map(|(_, line)| line.to_owned())
        .collect();
    told[1..].sort();
    told
}

/// A text in which ids that were drawn have names: which of them are alike is compared. The letter of a request's id that says why it is
/// traced stays.
fn named(text: &str, names: &mut BTreeMap<String, String>, given: &str) -> String {
    let is_part = |c: char| c.is_ascii_hexdigit() && !c.is_ascii_uppercase();
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        if length < 16 {
            let end = rest[length..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..length + end]);
            rest = &rest[length + end..];
            continue;
        }
        let (id, after) = rest.split_at(length);
        rest = after;
        // of an id of 128 bits the low half may be one of 64
        for half in [&id[..length - 16], &id[length - 16..]] {
            if half.is_empty() || half.chars().all(|c| c == '0') || given.contains(half) {
                out.push_str(half);
                continue;
            }
            let number = names.len();
            let name = names.entry(half.to_owned());
            out.push_str(name.or_insert_with(|| format!("<{number}>")));
        }
    }
    out
}

/// A request's id with what is drawn of it hidden.
fn without_request_ids(text: &str, given: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('-') {
        let begins = at.checked_sub(8);
        let whole = begins.and_then(|begins| rest.get(begins..begins + 36));
        let dashes = whole.is_some_and(|it| {
            it.char_indices().all(|(at, c)| match at {
                8 | 13 | 18 | 23 => c == '-',
                _ => c.is_ascii_hexdigit(),
            })
        });
        match whole.filter(|it| dashes && !given.contains(&it[..8])) {
            Some(id) => {
                out.push_str(&rest[..at - 8]);
                out.push_str(&format!("<id {}>", &id[14..15]));
                rest = &rest[at + 28..];
            }
            None => {
                out.push_str(&rest[..=at]);
                rest = &rest[at + 1..];
            }
        }
    }
    out + rest
}

/// What is known to differ made alike: spans of tries and of their request may be sent in any order.
async fn outcomes(side: Side, first: u16) -> Vec<Vec<String>> {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 251, 0, 9), 0)).await;
    let listener = listener.expect("a port");
    let upstream = listener.local_addr().expect("its address");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let serving = tokio::spawn(serve(listener, seen.clone()));
    let file = tempfile::Builder::new().suffix(".yaml").tempfile();
    let file = file.expect("a file for the bootstrap");
    std::fs::write(file.path(), yaml::document(&bootstrap(first, upstream))).expect("written");
    let ports: BTreeMap<&str, u16> = listeners()
        .iter()
        .map(|(name, ..)| *name)
        .zip(first..)
        .collect();
    let at = |name: &str| SocketAddr::from((Ipv4Addr::LOCALHOST, ports[name]));
    let running = Running::start(side, file.path(), &[at("in")]).await;
    let mut running = running.unwrap_or_else(|why| panic!("{why}"));
    let mut all = Vec::new();
    for it in asks() {
        let mut lines = ask(at(it.0), &it).await;
        // until nothing more comes: there may be no span at all
        let mut count = usize::MAX;
        loop {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let now = seen.lock().expect("nobody panicked").spans.len();
            if now == count {
                break;
            }
            count = now;
        }
        let seen = std::mem::take(&mut *seen.lock().expect("nobody panicked"));
        lines.extend(seen.told.iter().map(|told| format!("{told:?}")));
        let mut spans = seen.spans;
        // those of tries in their order, by what they are called and what they say
        spans.sort_by_key(|line| (line.contains("egress"), line.contains("retry.count")));
        lines.extend(spans);
        let given = format!("{:?}", it.2);
        let mut names = BTreeMap::new();
        let upstream = upstream.to_string();
        let lines = lines.iter().map(|line| {
            let line = without_request_ids(line, &given).replace(&upstream, "<upstream>");
            named(&line, &mut names, &given)
        });
        all.push(lines.collect());
    }
    running.end().await;
    serving.abort();
    all
}

/// Tells what Envoy tells.
pub(crate) fn compare() {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        // ports in a row that are free
        let taken = |first: u16| {
            let all = (first..first + COUNT).map(|port| {
                let bound = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port));
                bound.is_err()
            });
            all.into_iter().any(|taken| taken)
        };
        let first = (21_000..30_000)
            .step_by(usize::from(COUNT))
            .find(|first| !taken(*first));
        let first = first.expect("free ports");
        let envoy = outcomes(Side::Envoy, first).await;
        let ours = outcomes(Side::Ours, first).await;
        let mut text = String::new();
        for ((it, envoy), ours) in asks().iter().zip(&envoy).zip(&ours) {
            if envoy != ours {
                text.push_str(&format!("{} {} {:?}\n", it.0, it.1, it.2));
                let most = envoy.len().max(ours.len());
                let none = String::new();
                for nth in 0..most {
                    let of = |all: &Vec<String>| all.get(nth).unwrap_or(&none).clone();
                    let (envoy, ours) = (of(envoy), of(ours));
                    if envoy != ours {
                        text.push_str(&format!("  Envoy: {envoy}\n  ours:  {ours}\n"));
                    }
                }
            }
        }
        assert!(text.is_empty(), "{text}");
    });
}
