//! What becomes of heads on their way through, byte by byte. What is expected was written by Envoy 1.40.0, given the same file and the
//! same bytes; ids are left out, and our own name stands where Envoy's stood.

use std::net::SocketAddr;

use crate::harness::{self, Client, Upstream, free_port, proxy};
use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An upstream that answers each request with the head that it got.
async fn mirror() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut seen = Vec::new();
                loop {
                    let mut more = [0; 4096];
                    match stream.read(&mut more).await {
                        Ok(0) | Err(_) => return,
                        Ok(n) => seen.extend_from_slice(&more[..n]),
                    }
                    while let Some(end) = seen.windows(4).position(|it| it == b"\r\n\r\n") {
                        let head: Vec<u8> = seen.drain(..end + 4).take(end).collect();
                        let length = head.len();
                        let mut answer = format!(
                            "HTTP/1.1 200 OK\r\nserver: upstream\r\nx-envoy-upstream-service-time: 99\r\ncontent-length: {length}\r\n\r\n"
                        )
                        .into_bytes();
                        answer.extend(head);
                        if stream.write_all(&answer).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

/// A file with one listener whose manager has these fields, and whose route sends everything to `up`.
fn file(port: u16, up: SocketAddr, manager: &str, route: &str) -> String {
    let manager = manager.replace('\n', "\n          ");
    let up = up.port();
    format!(
        "static_resources:
  listeners:
  - name: front
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          {manager}
          route_config:
            virtual_hosts:
            - name: all
              domains: ['*']
              routes:
              - match: {{prefix: /direct}}
                direct_response: {{status: 200}}
              - match: {{prefix: /}}
                route: {{cluster: back{route}}}
          http_filters:
          - name: router
            typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: back
    load_assignment:
      cluster_name: back
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {up}}}}}}}
"
    )
}

/// Head and body of the answer to these bytes, and whether the connection was closed after it.
async fn ask(port: u16, bytes: &str) -> (String, String, bool) {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens");
    stream.write_all(bytes.as_bytes()).await.expect("it reads");
    let mut seen = Vec::new();
    loop {
        if let Some((head, body)) = whole(&seen) {
            let closes = head.contains("connection: close");
            if closes {
                let mut rest = [0; 1];
                let end = stream.read(&mut rest).await;
                assert!(matches!(end, Ok(0)), "it says that it closes, and does");
            }
            return (head, body, closes);
        }
        let mut more = [0; 4096];
        let n = stream.read(&mut more).await.expect("an answer");
        assert!(n > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&more[..n]);
    }
}

fn whole(seen: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(seen);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let lines = head.to_ascii_lowercase();
    let length = lines
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |it| it.parse().expect("a number"));
    (body.len() >= length).then(|| (head.to_owned(), body.to_owned()))
}

/// A head's lines in their order, without those whose value differs from run to run.
fn lines(head: &str) -> Vec<String> {
    let varies = |line: &str| {
        [
            "date: ",
            "content-length: ",
            "x-request-id: ",
            "x-envoy-upstream-service-time: ",
        ]
        .iter()
        .any(|name| line.starts_with(name))
    };
    let mut lines: Vec<String> = head.lines().map(str::to_owned).collect();
    lines.retain(|line| !varies(line));
    let first = lines.remove(0);
    lines.sort();
    lines.insert(0, first);
    lines
}

/// What the upstream gets of a request with these lines.
async fn forwarded(manager: &str, route: &str, start: &str, more: &str) -> Vec<String> {
    let port = free_port();
    let _proxy = proxy(&file(port, mirror().await, manager, route));
    let request = format!("{start} HTTP/1.1\r\nhost: h.example\r\n{more}\r\n");
    let (head, body, _) = ask(port, &request).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    lines(&body)
}

#[tokio::test]
async fn a_plain_file_adds_what_envoys_does() {
    let seen = forwarded("", "", "GET /a", "accept: */*\r\n").await;
    assert_eq!(
        seen,
        [
            "GET /a HTTP/1.1",
            "accept: */*",
            "host: h.example",
            "x-envoy-expected-rq-timeout-ms: 15000",
            "x-forwarded-proto: http",
        ]
    );
}

#[tokio::test]
async fn an_edge_cleans_what_comes_from_outside() {
    let manager = "use_remote_address: true\nskip_xff_append: true\nvia: me";
    let more = "connection: x-private, keep-alive\r\nx-private: 1\r\nx-forwarded-for: 1.2.3.4, 10.5.6.7\r\n\
        x-forwarded-proto: https\r\nx-envoy-retry-on: 5xx\r\nx-envoy-original-path: /o\r\nx-envoy-foo: 1\r\n\
        x-envoy-internal: true\r\nx-forwarded-client-cert: By=x\r\nte: gzip, trailers\r\nvia: a\r\n\
        referer: about:blank\r\nexpect: 100-continue\r\n";
    assert_eq!(
        forwarded(manager, "", "GET /a", more).await,
        [
            "GET /a HTTP/1.1",
            "host: h.example",
            "te: trailers",
            "via: a, me",
            "x-envoy-expected-rq-timeout-ms: 15000",
            "x-envoy-external-address: 127.0.0.1",
            "x-envoy-foo: 1",
            "x-forwarded-for: 1.2.3.4, 10.5.6.7",
            "x-forwarded-proto: http",
        ]
    );
}

#[tokio::test]
async fn paths_and_hosts_arrive_settled_and_rewritten_ones_are_told() {
    let manager = "normalize_path: true\nmerge_slashes: true\nstrip_any_host_port: true";
    let route =
        ", prefix_rewrite: /v2/, host_rewrite_literal: new.example, append_x_forwarded_host: true";
    assert_eq!(
        forwarded(
            manager,
            route,
            "GET http://old.example:81/a/..//b?c=/..",
            ""
        )
        .await,
        [
            "GET /v2/b?c=/.. HTTP/1.1",
            "host: new.example",
            "x-envoy-expected-rq-timeout-ms: 15000",
            "x-envoy-original-host: old.example",
            "x-envoy-original-path: /b?c=/..",
            "x-forwarded-host: old.example",
            "x-forwarded-proto: http",
        ]
    );
}

#[tokio::test]
async fn heads_that_may_not_pass_are_answered_and_their_connections_closed() {
    let port = free_port();
    let manager = "path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT
max_request_headers_kb: 1
normalize_path: true
common_http_protocol_options: {max_headers_count: 10, headers_with_underscores_action: REJECT_REQUEST}";
    let _proxy = proxy(&file(port, mirror().await, manager, ""));
    let get = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nhost: h\r\n{more}\r\n");
    let long = format!("x: {}\r\n", "y".repeat(1000));
    let many: String = (0..10).map(|n| format!("h{n}: 1\r\n")).collect();
    let refused = "Request Header Fields Too Large";
    for (bytes, status, body, closes) in [
        (get("/%00", ""), 400, "", true),
        (get("/a%2F..%2Fb?c", ""), 307, "", false),
        (get("/", &long), 431, refused, true),
        (get("/", &many), 431, refused, true),
        (get("/", "a_b: 1\r\n"), 400, "Bad Request", true),
        (
            get("/", "connection: x-forwarded-for\r\n"),
            400,
            "Bad Request",
            true,
        ),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "", true),
        (
            "GET / HTTP/1.0\r\nhost: h\r\n\r\n".to_owned(),
            426,
            "Upgrade Required",
            true,
        ),
        (get("/direct", ""), 200, "", false),
    ] {
        let (head, got, closed) = ask(port, &bytes).await;
        let first = head.lines().next().unwrap_or_default();
        assert!(
            first.contains(&format!(" {status} ")),
            "{bytes:.60}: {first}"
        );
        assert_eq!((got.as_str(), closed), (body, closes), "{bytes:.60}");
        assert!(head.contains("server: windtunnel"), "{head}");
        if status == 307 {
            assert!(head.contains("location: /b?c"), "{head}");
        }
    }
}

#[tokio::test]
async fn responses_carry_our_name_their_time_and_the_id_of_their_request() {
    let port = free_port();
    let manager = "always_set_request_id_in_response: true\nvia: me\nserver_name: sn";
    let _proxy = proxy(&file(port, mirror().await, manager, ""));
    let (head, body, _) = ask(port, "GET /a HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(lines(&head), ["HTTP/1.1 200 OK", "server: sn", "via: me"]);
    let id = |text: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("x-request-id: "));
        line.expect("an id").to_owned()
    };
    assert_eq!(id(&head), id(&body));
    let time = head
        .lines()
        .find_map(|line| line.strip_prefix("x-envoy-upstream-service-time: "));
    let time: u64 = time.expect("a time").parse().expect("a number");
    assert!(
        time < 99,
        "the proxy's own time takes the place of the upstream's"
    );
    let (head, _, _) = ask(port, "GET /direct HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(
        head.contains("server: sn") && head.contains("via: me"),
        "{head}"
    );
    assert!(!head.contains("x-envoy-upstream-service-time"), "{head}");
}

#[tokio::test]
async fn two_requests_of_a_connection_have_two_ids() {
    let port = free_port();
    let _proxy = proxy(&file(port, mirror().await, "", ""));
    for mut client in [Client::http1(port).await, Client::http2(port).await] {
        let mut ids = Vec::new();
        for _ in 0..2 {
            let request = Request::get("/").header("host", "h").body(Bytes::new());
            let (head, body) = client.send(request.expect("a request")).await;
            assert_eq!(head.status, StatusCode::OK);
            let body = String::from_utf8_lossy(&body).into_owned();
            let id = body.lines().find(|line| line.starts_with("x-request-id: "));
            ids.push(id.expect("an id").to_owned());
        }
        assert_ne!(ids[0], ids[1]);
    }
}

#[tokio::test]
async fn over_http2_too_large_heads_are_refused_and_others_are_not() {
    let port = free_port();
    let _proxy = proxy(&file(port, mirror().await, "", ""));
    // more than HTTP/2 takes unless it is told to, and less than Envoy takes
    for (bytes, status) in [(40 << 10, 200), (59 << 10, 200), (61 << 10, 431)] {
        let mut client = Client::http2(port).await;
        let request = Request::get("/")
            .header("host", "h")
            .header("x-long", "y".repeat(bytes))
            .body(Bytes::new());
        let (head, _) = client.send(request.expect("a request")).await;
        assert_eq!(head.status, status, "{bytes}");
    }
}

#[tokio::test]
async fn the_scheme_goes_on_over_http2_whatever_the_upstreams_connection_is() {
    let up = Upstream::start(|request, _| {
        let scheme = request.uri().scheme_str().unwrap_or("none");
        harness::answer(if scheme == "https" { 201 } else { 200 }, "")
    })
    .await;
    for (manager, status) in [
        ("", 201),
        ("scheme_header_transformation: {match_upstream: true}", 200),
    ] {
        let port = free_port();
        let address = SocketAddr::from(([127, 0, 0, 1], up.port));
        let http2 = "  - name: back
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}";
        let text = file(port, address, manager, "").replace("  - name: back", http2);
        let _proxy = proxy(&text);
        let said = "GET / HTTP/1.1\r\nhost: h\r\nx-forwarded-proto: https\r\n\r\n";
        let (head, _, _) = ask(port, said).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{manager}: {head}"
        );
    }
}
