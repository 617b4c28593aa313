//! An upstream and a collector in one, and what they got.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::net::TcpListener;

use super::otlp;

/// What upstreams saw and collectors got.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) told: Vec<Vec<(String, String)>>,
    pub(super) spans: Vec<String>,
}

/// Headers that are compared.
pub(super) fn is_told(name: &str) -> bool {
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

pub(super) async fn serve(listener: TcpListener, seen: Arc<Mutex<Seen>>) {
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
