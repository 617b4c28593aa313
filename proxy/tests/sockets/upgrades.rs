//! WebSockets and CONNECT through proxies: what passes, what does not, and how it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{free_port, proxy, with_sockets};

/// A server that switches whoever asks for it, and then sends back what it gets.
struct Echo {
    port: u16,
    /// Connections that are open.
    open: Arc<AtomicUsize>,
    /// Those that there were.
    all: Arc<AtomicUsize>,
}

impl Echo {
    /// Answers a request with this head; one that does not say 101 or 200 is not followed by anything. None: bytes are sent back at once.
    async fn start(head: Option<&'static str>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let open = Arc::new(AtomicUsize::new(0));
        let all = Arc::new(AtomicUsize::new(0));
        let (opened, counted) = (open.clone(), all.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::SeqCst);
                counted.fetch_add(1, Ordering::SeqCst);
                let opened = opened.clone();
                tokio::spawn(async move {
                    if let Some(head) = head {
                        read_head(&mut stream).await;
                        let _ = stream.write_all(head.as_bytes()).await;
                    }
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                    let _ = to.shutdown().await;
                    opened.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, open, all }
    }

    async fn websocket() -> Self {
        Self::start(Some(SWITCH)).await
    }

    /// Waits until so many connections are open.
    async fn until_open(&self, count: usize) {
        within(async {
            while self.open.load(Ordering::SeqCst) != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\n\
    connection: Upgrade\r\n\
    upgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Reads to the end of a head, and no further.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await;
        let Ok(byte) = byte else {
            break;
        };
        head.push(byte);
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(20), what).await;
    done.expect("it does not take that long")
}

/// Sends a head; gives the connection and the head that comes back.
async fn ask(port: u16, head: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens");
    stream
        .write_all(head.as_bytes())
        .await
        .expect("it is taken");
    let answer = within(read_head(&mut stream)).await;
    (stream, answer)
}

const WISH: &str = "GET /chat HTTP/1.1\r\n\
    host: shop.example\r\n\
    connection: Upgrade\r\n\
    upgrade: websocket\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    sec-websocket-version: 13\r\n\r\n";
const CONNECT: &str = "CONNECT db.example:5432 HTTP/1.1\r\nhost: db.example:5432\r\n\r\n";

async fn echoed(stream: &mut TcpStream, text: &[u8]) {
    let mut back = vec![0; text.len()];
    let (mut from, mut to) = stream.split();
    let both = async { tokio::join!(to.write_all(text), from.read_exact(&mut back)) };
    let (taken, came) = within(both).await;
    taken.expect("it is taken");
    came.expect("it comes back");
    assert!(back == text, "{back:?}");
}

/// How a connection ends: what still comes of it.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // whether it is closed or reset is of no account
    let _ = within(stream.read_to_end(&mut rest)).await;
    rest
}

/// A bootstrap whose manager has these fields, and whose only route this match and these fields.
fn bootstrap(
    manager: &str,
    matches: &str,
    route: &str,
    cluster: &str,
    port: u16,
    to: u16,
) -> String {
    let text = with_sockets(
        port,
        "",
        &format!("                route: {{cluster: back{route}}}"),
        cluster,
        &[to],
    );
    let text = text.replace(
        "codec_type: AUTO",
        &format!("codec_type: AUTO\n          {manager}"),
    );
    text.replace("match: {prefix: /}", &format!("match: {{{matches}}}"))
}

/// No upgrades.
const NOTHING: &str = "merge_slashes: false";
const ALLOWED: &str = "upgrade_configs: [{upgrade_type: websocket}]";
const OVER_HTTP2: &str = "upgrade_configs: [{upgrade_type: websocket}]
          http2_protocol_options: {allow_connect: true}";
const HTTP2: &str = "    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {allow_connect: true}}";

fn websockets(port: u16, to: u16) -> String {
    bootstrap(ALLOWED, "prefix: /", "", "", port, to)
}

const TUNNEL: &str = ", upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]";
const SENT_ON: &str = ", upgrade_configs: [{upgrade_type: CONNECT}]";

#[tokio::test]
async fn a_websocket_passes_two_proxies_and_ends_with_its_client() {
    let up = Echo::websocket().await;
    let (second, first) = (free_port(), free_port());
    let last = proxy(&websockets(second, up.port));
    let _first = proxy(&websockets(first, second));
    let (mut stream, head) = ask(first, WISH).await;
    let lower = head.to_ascii_lowercase();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(lower.contains("upgrade: websocket\r\n"), "{head}");
    assert!(lower.contains("connection: upgrade\r\n"), "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    for text in [&b"\x81\x05hello"[..], b"\0\xff\r\n\r\n"] {
        echoed(&mut stream, text).await;
    }
    let active = || {
        last.stats()
            .downstream_cx_upgrades_active
            .load(Ordering::Relaxed)
    };
    let total = || {
        last.stats()
            .downstream_cx_upgrades_total
            .load(Ordering::Relaxed)
    };
    assert_eq!((active(), total()), (1, 1));
    drop(stream);
    up.until_open(0).await;
    assert_eq!((active(), total()), (0, 1));
    // the connection that was upgraded is not used again
    let (mut stream, _) = ask(first, WISH).await;
    echoed(&mut stream, b"again").await;
    assert_eq!(up.all.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn bytes_may_follow_the_handshake_at_once_on_either_side() {
    let eager = Echo::start(Some(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nfirst",
    ))
    .await;
    let port = free_port();
    let _proxy = proxy(&websockets(port, eager.port));
    let (mut stream, _) = ask(port, &format!("{WISH}early")).await;
    let mut came = [0; 10];
    within(stream.read_exact(&mut came)).await.expect("both");
    assert_eq!(&came, b"firstearly");
}

#[tokio::test]
async fn what_is_not_allowed_is_forbidden_and_its_connection_ends() {
    let up = Echo::websocket().await;
    let port = free_port();
    let other = WISH.replace("upgrade: websocket", "upgrade: other");
    for (manager, route, wish, status) in [
        (NOTHING, "", WISH, "403"),
        (ALLOWED, "", &*other, "403"),
        (
            ALLOWED,
            ", upgrade_configs: [{upgrade_type: websocket, enabled: false}]",
            WISH,
            "403",
        ),
        (
            "upgrade_configs: [{upgrade_type: websocket, enabled: false}]",
            ", upgrade_configs: [{upgrade_type: websocket}]",
            WISH,
            "101",
        ),
        (ALLOWED, "", CONNECT, "404"),
    ] {
        let text = bootstrap(manager, "prefix: /", route, "", port, up.port);
        let proxy = proxy(&text);
        let (mut stream, head) = ask(port, wish).await;
        assert_eq!(head.split(' ').nth(1), Some(status), "{text}\n{head}");
        if status != "101" {
            assert!(head.contains("connection: close\r\n"), "{head}");
            assert_eq!(rest(&mut stream).await, b"");
        }
        let refused = proxy
            .stats()
            .downstream_rq_ws_on_non_ws_route
            .load(Ordering::Relaxed);
        assert_eq!(refused, u64::from(status == "403"));
        drop(stream);
        proxy.end();
        proxy.join();
    }
    assert_eq!(up.all.load(Ordering::SeqCst), 1, "only what was allowed");
}

#[tokio::test]
async fn an_endpoint_that_does_not_switch_is_heard() {
    for (answer, status, body) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: 1\r\n\r\nno",
            "200",
            "",
        ),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nx-a: 1\r\n\r\nno",
            "404",
            "no",
        ),
        (
            "HTTP/1.1 503 Busy\r\ncontent-length: 2\r\nx-a: 1\r\n\r\nno",
            "503",
            "no",
        ),
    ] {
        let up = Echo::start(Some(answer)).await;
        let port = free_port();
        let _proxy = proxy(&websockets(port, up.port));
        let (mut stream, head) = ask(port, WISH).await;
        assert_eq!(head.split(' ').nth(1), Some(status), "{head}");
        assert!(head.contains("x-a: 1\r\n"), "{head}");
        let length = format!("content-length: {}\r\n", body.len());
        assert!(head.contains(&length), "{head}");
        assert_eq!(String::from_utf8_lossy(&rest(&mut stream).await), body);
        up.until_open(0).await;
    }
}

#[tokio::test]
async fn a_request_with_another_wish_than_its_connection_says_is_an_ordinary_one() {
    let up = crate::harness::Upstream::start(|request, _| {
        let told = request.headers().contains_key("upgrade");
        crate::harness::answer(if told { 500 } else { 200 }, "hello")
    })
    .await;
    let port = free_port();
    let _proxy = proxy(&websockets(port, up.port));
    for lines in [
        "upgrade: websocket",
        "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AA",
    ] {
        let (_, head) = ask(
            port,
            &format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n"),
        )
        .await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{lines}\n{head}");
        assert!(!head.contains("connection: close"), "{head}");
    }
}

/// Neither side reads before it has written all that it may: what stands between must not keep more than its buffers.
#[tokio::test]
async fn long_streams_pass_both_ways_as_fast_as_they_are_taken() {
    const LONG: usize = 128 << 20;
    let up = Echo::websocket().await;
    let port = free_port();
    let _proxy = proxy(&websockets(port, up.port));
    let (stream, _) = ask(port, WISH).await;
    let (mut from, mut to) = stream.into_split();
    let byte = |at: usize| (at * 7 + at / 251) as u8;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let writer = tokio::spawn(async move {
        let mut at = 0;
        while at < LONG {
            let some: Vec<u8> = (at..at + (64 << 10)).map(byte).collect();
            to.write_all(&some).await.expect("it is taken");
            at += some.len();
            counted.store(at, Ordering::SeqCst);
        }
        to
    });
    // nobody reads: what is on its way is bounded by sockets and buffers
    let mut before = usize::MAX;
    within(async {
        while sent.load(Ordering::SeqCst) != before || before == 0 {
            before = sent.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    })
    .await;
    assert!(before < LONG, "{before} bytes were taken and kept");
    let mut at = 0;
    let mut buffer = vec![0; 256 << 10];
    while at < LONG {
        let read = within(from.read(&mut buffer)).await.expect("more");
        assert!(read > 0, "{at} of {LONG}");
        assert!(
            buffer[..read]
                .iter()
                .enumerate()
                .all(|(n, it)| *it == byte(at + n)),
            "{at}"
        );
        at += read;
    }
    drop(writer.await.expect("it has sent all"));
    up.until_open(0).await;
}

#[tokio::test]
async fn the_last_bytes_of_an_endpoint_that_leaves_are_carried() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let to = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_head(&mut stream).await;
            let mut last = SWITCH.as_bytes().to_vec();
            last.extend(vec![b'x'; 1 << 20]);
            let _ = stream.write_all(&last).await;
            // closed with bytes unread, a socket throws away what it has not sent yet
            let _ = stream.shutdown().await;
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    });
    let port = free_port();
    let _proxy = proxy(&websockets(port, to));
    let (mut stream, _) = ask(port, WISH).await;
    // it has more to say, which comes to nothing
    stream.write_all(&[b'y'; 1000]).await.expect("it is taken");
    assert_eq!(rest(&mut stream).await.len(), 1 << 20);
}

#[tokio::test]
async fn draining_and_new_files_leave_what_was_upgraded_until_it_ends() {
    let up = Echo::websocket().await;
    let (port, other) = (free_port(), free_port());
    let proxy = proxy(&websockets(port, up.port));
    let (mut stream, _) = ask(port, WISH).await;
    echoed(&mut stream, b"one").await;
    crate::harness::update(&proxy, &websockets(other, up.port));
    echoed(&mut stream, b"two").await;
    proxy.drain();
    tokio::time::sleep(Duration::from_millis(300)).await;
    echoed(&mut stream, b"three").await;
    assert!(!proxy.has_ended());
    drop(stream);
    within(proxy.ended()).await;
}

#[tokio::test]
async fn the_grace_of_draining_ends_what_was_upgraded() {
    let up = Echo::websocket().await;
    let port = free_port();
    let proxy = proxy(&websockets(port, up.port));
    let (mut stream, _) = ask(port, WISH).await;
    echoed(&mut stream, b"one").await;
    proxy.drain();
    // the harness gives it 5 s
    assert_eq!(rest(&mut stream).await, b"");
    within(proxy.ended()).await;
    up.until_open(0).await;
}

#[tokio::test]
async fn what_says_nothing_for_too_long_is_closed() {
    let up = Echo::websocket().await;
    let port = free_port();
    let _proxy = proxy(&bootstrap(
        ALLOWED,
        "prefix: /",
        ", idle_timeout: 0.5s, timeout: 0.2s",
        "",
        port,
        up.port,
    ));
    let (mut stream, _) = ask(port, WISH).await;
    for _ in 0..4 {
        echoed(&mut stream, b"still here").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(rest(&mut stream).await, b"");
    up.until_open(0).await;
}

#[tokio::test]
async fn a_connect_has_a_tunnel_to_an_endpoint_or_is_sent_on() {
    let tunnel = Echo::start(None).await;
    let next = Echo::start(Some("HTTP/1.1 200 OK\r\n\r\n")).await;
    for (route, up) in [(TUNNEL, &tunnel), (SENT_ON, &next)] {
        let port = free_port();
        let _proxy = proxy(&bootstrap(
            NOTHING,
            "connect_matcher: {}",
            route,
            "",
            port,
            up.port,
        ));
        let (mut stream, head) = ask(port, &format!("{CONNECT}early")).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(!head.contains("content-length"), "{head}");
        let mut early = [0; 5];
        within(stream.read_exact(&mut early))
            .await
            .expect("it came back");
        echoed(&mut stream, b"select 1").await;
        drop(stream);
        up.until_open(0).await;
    }
}

#[tokio::test]
async fn a_tunnel_to_nowhere_and_a_connect_without_a_port_are_refused() {
    let port = free_port();
    let text = bootstrap(
        NOTHING,
        "connect_matcher: {}",
        TUNNEL,
        "",
        port,
        free_port(),
    );
    let _proxy = proxy(&text);
    for (head, status) in [
        (CONNECT.to_owned(), "503"),
        (CONNECT.replace(":5432 ", " "), "400"),
        (
            CONNECT.replace("\r\n\r\n", "\r\ncontent-length: 3\r\n\r\nabc"),
            "400",
        ),
        (CONNECT.replace("db.example:5432 ", "/path "), "400"),
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), "404"),
    ] {
        let (_, answer) = ask(port, &head).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head}\n{answer}");
    }
}

#[tokio::test]
async fn an_answer_of_the_routes_own_to_a_connect_is_one() {
    let port = free_port();
    let text = bootstrap(
        "upgrade_configs: [{upgrade_type: CONNECT}]",
        "connect_matcher: {}",
        "",
        "",
        port,
        free_port(),
    );
    let direct = "direct_response: {status: 200, body: {inline_string: hello}}";
    let _proxy = proxy(&text.replace("route: {cluster: back}", direct));
    let (mut stream, head) = ask(port, CONNECT).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(rest(&mut stream).await, b"");
}

/// Both proxies speak HTTP/2 to each other (RFC 8441), and HTTP/1.1 to everybody else.
#[tokio::test]
async fn http2_carries_websockets_and_tunnels_between_proxies() {
    let websocket = Echo::websocket().await;
    let tunnel = Echo::start(None).await;
    let refusing = Echo::start(Some(
        "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno",
    ))
    .await;
    for (up, manager, matches, route, wish, status) in [
        (&websocket, OVER_HTTP2, "prefix: /", "", WISH, "101"),
        (&refusing, OVER_HTTP2, "prefix: /", "", WISH, "404"),
        (
            &tunnel,
            NOTHING,
            "connect_matcher: {}",
            TUNNEL,
            CONNECT,
            "200",
        ),
    ] {
        let (second, first) = (free_port(), free_port());
        let _last = proxy(&bootstrap(manager, matches, route, "", second, up.port));
        let onward = if route.is_empty() { "" } else { SENT_ON };
        let _first = proxy(&bootstrap(manager, matches, onward, HTTP2, first, second));
        let (mut one, head) = ask(first, wish).await;
        assert_eq!(head.split(' ').nth(1), Some(status), "{head}");
        if status == "404" {
            assert_eq!(rest(&mut one).await, b"no");
            continue;
        }
        // both are streams of one connection between the proxies
        let (mut other, _) = ask(first, wish).await;
        for stream in [&mut one, &mut other] {
            echoed(stream, b"hello").await;
            echoed(stream, &vec![7; 300_000]).await;
        }
        drop(one);
        up.until_open(1).await;
        echoed(&mut other, b"still here").await;
        drop(other);
        up.until_open(0).await;
    }
}

#[tokio::test]
async fn websockets_pass_over_tls() {
    let up = Echo::websocket().await;
    for alpn in ["http/1.1", "h2"] {
        let client = ("front.example", "shown");
        let (_front, _back, port) =
            crate::serve::chain_with(OVER_HTTP2, up.port, alpn, client, "back.example");
        let (mut stream, head) = ask(port, WISH).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{alpn}\n{head}");
        echoed(&mut stream, &vec![3; 200_000]).await;
        drop(stream);
        up.until_open(0).await;
    }
}

/// Over HTTP/2 a client may say that it has no more, and still hear what comes.
#[tokio::test]
async fn a_stream_that_is_half_closed_still_brings_what_comes() {
    let up = Echo::start(None).await;
    let port = free_port();
    let text = bootstrap(NOTHING, "connect_matcher: {}", TUNNEL, "", port, up.port);
    let _proxy = proxy(&text);
    let stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens");
    let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    let mut sender = sender.ready().await.expect("it stands");
    let request = http::Request::connect("db.example:5432")
        .body(())
        .expect("a request");
    let (response, mut to) = sender.send_request(request, false).expect("it is sent");
    let response = within(response).await.expect("an answer");
    assert_eq!(response.status(), 200);
    to.send_data(Bytes::from_static(b"the last words"), true)
        .expect("they are sent");
    let mut body = response.into_body();
    let mut came: Vec<u8> = Vec::new();
    while let Some(data) = within(body.data()).await {
        let data = data.expect("data");
        let _ = body.flow_control().release_capacity(data.len());
        came.extend(&data);
    }
    assert_eq!(came, b"the last words");
    up.until_open(0).await;
}

/// `hyper` takes it for granted that a GET has no body, unless it is told otherwise.
#[tokio::test]
async fn a_body_of_a_get_that_comes_in_pieces_is_sent_on() {
    let up = crate::harness::Upstream::echo().await;
    let port = free_port();
    let _proxy = proxy(&websockets(port, up.port));
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens");
    let head = "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    stream
        .write_all(head.as_bytes())
        .await
        .expect("it is taken");
    tokio::time::sleep(Duration::from_millis(200)).await;
    stream
        .write_all(b"4\r\nrest\r\n0\r\n\r\n")
        .await
        .expect("it is taken");
    let head = within(read_head(&mut stream)).await;
    assert!(head.contains("content-length: 8\r\n"), "{head}");
    assert_eq!(up.bodies(), [8]);
}
