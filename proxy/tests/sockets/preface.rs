//! Headers of the PROXY protocol, from clients and to endpoints.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::harness::{Client, Upstream, free_port, proxy, with_sockets};

const PLAIN: &str = "                route: {cluster: back}";

/// A bootstrap whose listener takes headers, and whose edge says who its clients are.
fn front(port: u16, rules: &str, up: u16) -> String {
    let filter = format!(
        "    listener_filters:
    - name: envoy.filters.listener.proxy_protocol
      typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol, {rules}}}
    filter_chains:"
    );
    with_sockets(port, "", PLAIN, "", &[up])
        .replace("    filter_chains:", &filter)
        .replace(
            "stat_prefix: front",
            "stat_prefix: front\n          use_remote_address: true",
        )
}

/// Says who it takes its client for.
async fn who() -> Upstream {
    Upstream::start(|request, _| {
        let client = request.headers().get("x-forwarded-for");
        let client = client.map_or_else(Vec::new, |it| it.as_bytes().to_vec());
        Response::new(Full::from(Bytes::from(client)))
    })
    .await
}

/// What is answered to a request behind these bytes; none: the connection is closed.
async fn asked(port: u16, first: &[u8]) -> Option<String> {
    // a client of 127.0.0.1 is told by this machine's own address
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(([127, 0, 0, 2], 0).into()).ok()?;
    let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await.ok()?;
    stream.write_all(first).await.ok()?;
    let request = b"GET / HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some(body.to_owned())
}

#[tokio::test]
async fn clients_are_who_a_header_says_and_connections_without_one_are_closed_unless_they_may() {
    let up = who().await;
    let (strict, open, two) = (free_port(), free_port(), free_port());
    let _strict = proxy(&front(strict, "", up.port));
    let rules = "allow_requests_without_proxy_protocol: true";
    let _open = proxy(&front(open, rules, up.port));
    let _two = proxy(&front(two, "disallowed_versions: [V1]", up.port));
    let source = "192.0.2.9:4711".parse().expect("an address");
    let meant = "192.0.2.1:443".parse().expect("an address");
    let binary = ::proxy::announcement(source, meant).expect("a header");
    // 16 bytes more than a header's own, of a kind that nobody here knows
    let mut more = binary.clone();
    more[15] += 16;
    more.extend([0xE0, 0, 13]);
    more.extend([7; 13]);
    let line = b"PROXY TCP4 192.0.2.8 192.0.2.1 1 443\r\n";
    let said = |client: &str| Some(client.to_owned());
    for (port, first, want) in [
        (strict, &line[..], said("192.0.2.8")),
        (strict, &binary, said("192.0.2.9")),
        (strict, &more, said("192.0.2.9")),
        (strict, b"PROXY UNKNOWN\r\n", said("127.0.0.2")),
        (strict, b"", None),
        (strict, b"PROXY TCP4 here there 1 2\r\n", None),
        (open, &line[..], said("192.0.2.8")),
        (open, b"", said("127.0.0.2")),
        (two, &line[..], None),
        (two, &binary, said("192.0.2.9")),
    ] {
        let text = String::from_utf8_lossy(first);
        assert_eq!(asked(port, first).await, want, "{port} {text:?}");
    }
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() {
    let up = who().await;
    let port = free_port();
    let _proxy = proxy(&front(port, "", up.port));
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let whole = b"PROXY TCP4 192.0.2.8 192.0.2.1 1 443\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    for byte in whole {
        stream.write_all(&[*byte]).await.expect("it is read");
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.ends_with("\r\n\r\n192.0.2.8"), "{answer}");
}

/// A server that keeps what its connections begin with, up to the first line of a request.
async fn recorder() -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let number = {
                let mut all = all.lock().expect("nobody panicked");
                all.push(Vec::new());
                all.len() - 1
            };
            let all = all.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    let whole = {
                        let mut all = all.lock().expect("nobody panicked");
                        all[number].extend(&buffer[..length]);
                        all[number].ends_with(b"\r\n\r\n")
                    };
                    if whole {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                        stream.write_all(answer).await.expect("it is read");
                    }
                }
            });
        }
    });
    (port, seen)
}

fn behind(version: &str) -> String {
    format!(
        "    transport_socket:
      name: envoy.transport_sockets.upstream_proxy_protocol
      typed_config:
        '@type': type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport
        config: {{version: {version}}}
        transport_socket: {{name: raw, typed_config: {{'@type': type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}"
    )
}

/// Envoy 1.40 was asked the same: requests of one client's connection share one, others do not.
#[tokio::test]
async fn endpoints_are_told_whom_a_connection_is_for() {
    let (up, seen) = recorder().await;
    for version in ["V1", "V2"] {
        seen.lock().expect("nobody panicked").clear();
        let port = free_port();
        let _proxy = proxy(&with_sockets(port, "", PLAIN, &behind(version), &[up]));
        let get = || Request::get("/").header("host", "a").body(Bytes::new());
        let mut one = Client::http1(port).await;
        for _ in 0..2 {
            one.send(get().expect("a request")).await;
        }
        let mut other = Client::http1(port).await;
        other.send(get().expect("a request")).await;
        let seen = seen.lock().expect("nobody panicked").clone();
        assert_eq!(seen.len(), 2, "one for each client");
        let requests = |all: &[u8]| {
            let text = String::from_utf8_lossy(all);
            text.matches("GET / HTTP/1.1\r\n").count()
        };
        assert_eq!((requests(&seen[0]), requests(&seen[1])), (2, 1));
        for begun in &seen {
            match version {
                "V1" => {
                    let text = String::from_utf8_lossy(begun);
                    let line = text.split("\r\n").next().expect("a line");
                    let words: Vec<&str> = line.split(' ').collect();
                    assert_eq!(words[..4], ["PROXY", "TCP4", "127.0.0.1", "127.0.0.1"]);
                    assert_ne!(words[4], words[5], "the client's port");
                    assert_eq!(words[5], port.to_string());
                }
                _ => {
                    assert_eq!(&begun[..16], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
                    assert_eq!(begun[26..28], port.to_be_bytes());
                }
            }
        }
        assert_ne!(seen[0][..40], seen[1][..40], "each says its own client");
    }
}

#[tokio::test]
async fn two_proxies_hand_on_who_a_client_is() {
    let up = who().await;
    let (middle, port) = (free_port(), free_port());
    let _back = proxy(&front(middle, "", up.port));
    let _front = proxy(&with_sockets(port, "", PLAIN, &behind("V2"), &[middle]));
    let client = asked(port, b"").await.expect("an answer");
    assert_eq!(client, "127.0.0.2");
}
