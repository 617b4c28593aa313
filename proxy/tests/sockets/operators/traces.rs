//! Spans on their way to a collector.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::StatusCode;

use super::{ROUTE, end, get, until};
use crate::harness::{Client, Upstream, answer, free_port, proxy};
use crate::serve::bootstrap;

/// A bootstrap whose requests are traced to the cluster `spans`, at this port.
fn tracing(port: u16, upstream: u16, collector: u16, service: &str, more: &str) -> String {
    let tracing = format!(
        "          tracing:
            provider:
              name: otel
              typed_config:
                '@type': type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
                service_name: shop
                {service}
                {more}
          route_config:"
    );
    let text = bootstrap(port, ROUTE, "", &[upstream]);
    let text = text.replacen("          route_config:", &tracing, 1);
    format!(
        "{text}
  - name: spans
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: spans
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {collector}}}}}}}
layered_runtime:
  layers:
  - name: static
    static_layer: {{tracing: {{opentelemetry: {{flush_interval_ms: 100, min_flush_spans: 3}}}}}}
"
    )
}

const HTTP: &str = "http_service: {http_uri: {uri: 'http://c.test/v1/traces', cluster: spans, timeout: 1s}, request_headers_to_add: [{header: {key: x-token, value: t}}]}";
const GRPC: &str = "grpc_service: {envoy_grpc: {cluster_name: spans}, timeout: 1s}";

/// Where a text stands in bytes, and how often.
fn count(bytes: &[u8], text: &str) -> usize {
    bytes
        .windows(text.len())
        .filter(|it| *it == text.as_bytes())
        .count()
}

/// Paths, headers and bodies that a collector got.
type Got = Arc<Mutex<Vec<(String, String, Bytes)>>>;

async fn collector(got: Got) -> Upstream {
    Upstream::with_bodies(move |request, _, body| {
        let header = |name: &str| {
            let value = request.headers().get(name);
            value.map_or("", |it| it.to_str().expect("text")).to_owned()
        };
        let told = format!("{} {}", header("content-type"), header("x-token"));
        let path = request.uri().path().to_owned();
        got.lock()
            .expect("nobody panicked")
            .push((path, told, body));
        let mut response = answer(200, "");
        let zero = http::HeaderValue::from_static("0");
        response.headers_mut().insert("grpc-status", zero);
        response
    })
    .await
}

#[tokio::test]
async fn spans_wait_for_company_or_for_their_time_and_reach_a_collector() {
    for (service, path, told) in [
        (HTTP, "/v1/traces", "application/x-protobuf t"),
        (
            GRPC,
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            "application/grpc ",
        ),
    ] {
        let upstream = Upstream::start(|request, _| {
            let parent = request.headers().get("traceparent");
            let parent = parent.map_or("", |it| it.to_str().expect("text"));
            answer(if parent.ends_with("-01") { 200 } else { 500 }, "")
        })
        .await;
        let got = Got::default();
        let spans = collector(got.clone()).await;
        let port = free_port();
        let proxy = proxy(&tracing(port, upstream.port, spans.port, service, ""));
        let mut client = Client::http1(port).await;
        for _ in 0..4 {
            let (head, _) = client.send(get("/a")).await;
            assert_eq!(head.status, StatusCode::OK, "it is told that it is sampled");
        }
        let stats = proxy.stats();
        let sent = || stats.otlp_spans_sent.load(Ordering::Relaxed);
        until("three at once, one by the clock", || sent() == 4).await;
        assert!(stats.otlp_timer_flushed.load(Ordering::Relaxed) > 0);
        assert_eq!(stats.tracing_random_sampling.load(Ordering::Relaxed), 4);
        let got = got.lock().expect("nobody panicked").clone();
        let whole: usize = got.iter().map(|(.., body)| count(body, "http.url")).sum();
        assert_eq!((got.len(), whole), (2, 4), "two messages");
        for (at, headers, body) in &got {
            assert_eq!((&**at, &**headers), (path, told));
            assert_eq!(count(body, "service.name"), 1);
            assert_eq!(
                count(body, "http://shop.example/a"),
                count(body, "http.url")
            );
        }
        assert_eq!(spans.connections(), 1, "over one connection");
        end(proxy).await;
    }
}

#[tokio::test]
async fn spans_that_nobody_takes_are_dropped_and_counted_and_requests_do_not_wait() {
    let upstream = Upstream::start(|_, _| answer(200, "")).await;
    let port = free_port();
    let proxy = proxy(&tracing(
        port,
        upstream.port,
        free_port(),
        HTTP,
        "max_cache_size: 2",
    ));
    let mut client = Client::http1(port).await;
    for _ in 0..9 {
        let (head, _) = client.send(get("/a")).await;
        assert_eq!(head.status, StatusCode::OK);
    }
    let stats = proxy.stats();
    until("all are lost", || {
        stats.otlp_spans_dropped.load(Ordering::Relaxed) == 9
    })
    .await;
    assert_eq!(stats.otlp_spans_sent.load(Ordering::Relaxed), 0);
    end(proxy).await;
}

#[tokio::test]
async fn spans_that_wait_are_sent_at_the_end() {
    let upstream = Upstream::start(|_, _| answer(200, "")).await;
    let got = Got::default();
    let spans = collector(got.clone()).await;
    let port = free_port();
    let text = tracing(port, upstream.port, spans.port, HTTP, "");
    let proxy = proxy(&text.replace("flush_interval_ms: 100", "flush_interval_ms: 100000"));
    let mut client = Client::http1(port).await;
    client.send(get("/a")).await;
    end(proxy).await;
    let got = got.lock().expect("nobody panicked");
    assert_eq!(
        got.iter()
            .map(|(.., body)| count(body, "http.url"))
            .sum::<usize>(),
        1
    );
}
