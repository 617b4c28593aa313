//! Records of connections, and how many there may be and for how long.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{ROUTE, closes, end, get, until};
use crate::harness::{Client, Upstream, answer, free_port, proxy};
use crate::serve::bootstrap;

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
    let mut told = String::new();
    let ended = tokio::time::timeout(Duration::from_secs(6), slow.read_to_string(&mut told));
    ended.await.expect("it is closed").expect("it is text");
    assert!(
        told.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
        "{told}"
    );
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
