//! What operators expect: spans at a collector, records and bounds of connections, and what the admin port says and changes.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use proxy::Proxy;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::pki::{authority, inline, signed};
use crate::harness::{Client, Upstream, answer, free_port, proxy, with_sockets};
use crate::serve::bootstrap;

const ROUTE: &str = "                route: {cluster: back}";

fn get(path: &str) -> Request<Bytes> {
    let request = Request::get(path).header("host", "shop.example");
    request.body(Bytes::new()).expect("a request")
}

/// Waits until something holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert!(in_time.is_ok(), "not in time: {what}");
}

async fn end(proxy: Proxy) {
    proxy.end();
    let joined = tokio::task::spawn_blocking(move || proxy.join());
    joined.await.expect("it ends");
}

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

/// A bootstrap with a listener that carries bytes to `upstream`.
fn carrying(port: u16, upstream: u16, listener: &str, tcp: &str) -> String {
    format!(
        "static_resources:
  listeners:
  - name: front
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    {listener}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tcp
          cluster: back
          {tcp}
  clusters:
  - name: back
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: back
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}
"
    )
}

fn log_to(path: &Path, format: &str) -> String {
    let path = path.display();
    format!(
        "access_log: [{{name: f, typed_config: {{'@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {path}, log_format: {{text_format_source: {{inline_string: \"{format}\\n\"}}}}}}}}]"
    )
}

const FORMAT: &str = "%ACCESS_LOG_TYPE% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% %UPSTREAM_HOSTS_ATTEMPTED%";

/// A server that sends back what comes, until its client has no more.
async fn echo() -> u16 {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    port
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn carried_connections_are_logged_with_what_they_carried() {
    let dir = TempDir::new().expect("a place for logs");
    let (of_listener, of_tcp) = (dir.path().join("listener"), dir.path().join("tcp"));
    let upstream = echo().await;
    let port = free_port();
    let tcp = format!(
        "{}\n          access_log_options: {{access_log_flush_interval: 0.2s, flush_access_log_on_connected: true}}",
        log_to(&of_tcp, FORMAT)
    );
    let text = carrying(port, upstream, &log_to(&of_listener, FORMAT), &tcp);
    let proxy = proxy(&text);
    let mut client = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens");
    client.write_all(b"hello").await.expect("it is sent");
    let mut back = [0; 5];
    client.read_exact(&mut back).await.expect("it comes back");
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(client);
    until("all lines", || {
        lines(&of_listener).len() == 1 && lines(&of_tcp).len() >= 4
    })
    .await;
    let at = format!("back 127.0.0.1:{upstream} 127.0.0.1:{upstream}");
    assert_eq!(lines(&of_listener), [format!("NotSet - 0 - 5 5 {at}")]);
    let lines = lines(&of_tcp);
    let last = lines.last().expect("a line");
    assert_eq!(*last, format!("TcpConnectionEnd - 0 - 5 5 {at}"));
    assert_eq!(lines[0], format!("TcpUpstreamConnected - 0 - 0 0 {at}"));
    assert_eq!(lines[1], format!("TcpPeriodic - 0 - 5 5 {at}"));
    end(proxy).await;
}

#[tokio::test]
async fn connections_with_requests_are_in_the_log_of_their_listener() {
    let dir = TempDir::new().expect("a place for logs");
    let path = dir.path().join("log");
    let upstream = Upstream::start(|_, _| answer(200, "hello")).await;
    let port = free_port();
    let text = bootstrap(port, ROUTE, "", &[upstream.port]);
    let log = format!("    {}\n    filter_chains:", log_to(&path, FORMAT));
    let proxy = proxy(&text.replacen("    filter_chains:", &log, 1));
    let mut client = Client::http1(port).await;
    for _ in 0..2 {
        client.send(get("/a")).await;
    }
    drop(client);
    until("its line", || !lines(&path).is_empty()).await;
    let lines = lines(&path);
    let fields: Vec<&str> = lines[0].split(' ').collect();
    assert_eq!(fields[..4], ["NotSet", "HTTP/1.1", "0", "-"], "{lines:?}");
    let request = "GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n".len() * 2;
    assert_eq!(fields[4], request.to_string(), "{lines:?}");
    assert!(
        fields[5].parse::<u64>().is_ok_and(|sent| sent > 10),
        "{lines:?}"
    );
    assert_eq!(fields[6..], ["-", "-", "-"], "{lines:?}");
    end(proxy).await;
}

/// Reads until the other end closes, and says how long that took.
async fn closes(stream: &mut TcpStream) -> Duration {
    let began = tokio::time::Instant::now();
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut all)).await;
    // a connection may be reset, too
    let _ = read.expect("it is closed");
    began.elapsed()
}

#[tokio::test]
async fn silent_and_old_connections_are_closed_and_counted() {
    let upstream = echo().await;
    for (tcp, bounds) in [
        ("idle_timeout: 0.6s", 600..3000),
        ("max_downstream_connection_duration: 0.6s", 300..590),
    ] {
        let port = free_port();
        let proxy = proxy(&carrying(port, upstream, "", tcp));
        let mut client = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("it listens");
        // bytes put off the one, and not the other
        tokio::time::sleep(Duration::from_millis(200)).await;
        client.write_all(b"a").await.expect("it is sent");
        client.read_exact(&mut [0]).await.expect("it comes back");
        let took = closes(&mut client).await.as_millis();
        assert!(bounds.contains(&took), "{tcp}: {took} ms");
        let stats = proxy.stats();
        let idle = stats.tcp_idle_timeout.load(Ordering::Relaxed);
        let old = &stats.tcp_max_downstream_connection_duration;
        assert_eq!(idle + old.load(Ordering::Relaxed), 1, "{tcp}");
        end(proxy).await;
    }
}

#[tokio::test]
async fn the_process_has_no_more_connections_than_it_may() {
    let upstream = echo().await;
    let port = free_port();
    let limit = "overload_manager:
  resource_monitors:
  - name: envoy.resource_monitors.global_downstream_max_connections
    typed_config:
      '@type': type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
      max_active_downstream_connections: 2
";
    let proxy = proxy(&(carrying(port, upstream, "", "") + limit));
    let dial = || TcpStream::connect(("127.0.0.1", port));
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = dial().await.expect("it listens");
        stream.write_all(b"a").await.expect("it is sent");
        stream.read_exact(&mut [0]).await.expect("it comes back");
        held.push(stream);
    }
    let mut third = dial().await.expect("it listens");
    assert!(closes(&mut third).await < Duration::from_secs(5));
    let overflow = &proxy.stats().downstream_global_cx_overflow;
    until("it is counted", || overflow.load(Ordering::Relaxed) == 1).await;
    held.clear();
    // there is room again as soon as the proxy knows
    for nth in 1.. {
        let mut stream = dial().await.expect("it listens");
        let sent = stream.write_all(b"a").await;
        if sent.is_ok() && stream.read_exact(&mut [0]).await.is_ok() {
            break;
        }
        assert!(nth < 100, "there is no room");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    end(proxy).await;
}

#[tokio::test]
async fn a_head_that_takes_too_long_and_a_connection_that_is_too_old_end() {
    let upstream = Upstream::start(|_, _| answer(200, "")).await;
    let port = free_port();
    let text = bootstrap(port, ROUTE, "", &[upstream.port]);
    let bounds = "          request_headers_timeout: 1s
          common_http_protocol_options: {max_connection_duration: 1s}
          route_config:";
    let proxy = proxy(&text.replacen("          route_config:", bounds, 1));
    let mut slow = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens");
    slow.write_all(b"GET / HTTP/1.1\r\nhos")
        .await
        .expect("it is sent");
    assert!(closes(&mut slow).await < Duration::from_secs(6));
    let late = &proxy.stats().downstream_rq_header_timeout;
    assert_eq!(late.load(Ordering::Relaxed), 1);
    let mut old = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    old.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("it is sent");
    assert!(
        closes(&mut old).await < Duration::from_secs(4),
        "after its answer"
    );
    let aged = &proxy.stats().downstream_cx_max_duration_reached;
    assert_eq!(aged.load(Ordering::Relaxed), 1);
    end(proxy).await;
}

async fn admin(port: u16, method: &str, path: &str) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "a");
    let request = request.body(Bytes::new()).expect("a request");
    let (head, body) = Client::http1(port).await.send(request).await;
    (
        head.status.as_u16(),
        String::from_utf8_lossy(&body).into_owned(),
    )
}

#[tokio::test]
async fn the_admin_port_shows_and_changes_what_the_process_says_and_counts() {
    let (authority, _) = authority();
    let (certificate, key) = signed("shop.example", &authority);
    let upstream = Upstream::start(|_, _| answer(200, "")).await;
    let (port, at) = (free_port(), free_port());
    let tls = format!(
        "      transport_socket:
        name: tls
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context: {{tls_certificates: [{{certificate_chain: {}, private_key: {}}}]}}",
        inline(&certificate),
        inline(&key),
    );
    let text = with_sockets(port, &tls, ROUTE, "", &[upstream.port]);
    let text = format!(
        "admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {at}}}}}}}\n{text}"
    );
    let proxy = proxy(&text);
    for path in [
        "/logging",
        "/reset_counters",
        "/reopen_logs",
        "/drain_listeners",
    ] {
        assert_eq!(admin(at, "GET", path).await.0, 405, "{path}");
    }
    let (status, said) = admin(at, "POST", "/logging?paths=hc:trace,file:off").await;
    assert_eq!(status, 200);
    assert!(
        said.contains("  hc: trace\n") && said.contains("  file: off\n"),
        "{said}"
    );
    for (query, why) in [
        ("level=loud", "unknown logger level"),
        ("paths=nope:info", "unknown logger name"),
        ("nope=info", "unknown logger name"),
    ] {
        let (status, said) = admin(at, "POST", &format!("/logging?{query}")).await;
        assert_eq!(status, 400, "{query}");
        assert!(said.starts_with(&format!("error: {why}\n")), "{said}");
    }
    let (_, said) = admin(at, "POST", "/logging?level=info").await;
    assert!(
        said.contains("  hc: info\n") && said.contains("  file: info\n"),
        "{said}"
    );
    let (_, said) = admin(at, "GET", "/certs").await;
    let certs: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let shown = &certs["certificates"][0]["cert_chain"][0];
    let names = serde_json::json!([{"dns": "shop.example"}]);
    assert_eq!(shown["subject_alt_names"], names, "{said}");
    assert!(
        shown["expiration_time"]
            .as_str()
            .is_some_and(|it| it.ends_with('Z')),
        "{said}"
    );
    let (status, said) = admin(at, "GET", "/memory").await;
    assert!(status == 200 && said.contains("\"allocated\""), "{said}");
    let (status, said) = admin(at, "GET", "/runtime").await;
    assert!(status == 200 && said.contains("\"layers\""), "{said}");
    // one that is no TLS has no chain
    let mut plain = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens");
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("it is sent");
    closes(&mut plain).await;
    let counted = |said: &str| {
        let line = said
            .lines()
            .find(|line| line.starts_with("http.downstream_cx_total: "));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    let (_, said) = admin(at, "GET", "/stats").await;
    assert_eq!(counted(&said), Some(1), "{said}");
    assert_eq!(
        admin(at, "POST", "/reset_counters").await,
        (200, "OK\n".to_owned())
    );
    let (_, said) = admin(at, "GET", "/stats").await;
    assert_eq!(counted(&said), Some(0), "{said}");
    let (_, said) = admin(at, "GET", "/help").await;
    for path in [
        "/logging",
        "/certs",
        "/memory",
        "/runtime",
        "/reset_counters",
        "/reopen_logs",
    ] {
        assert!(said.contains(path), "{path}");
    }
    end(proxy).await;
}
