//! Clients that ask for more than their share: heads without end, streams opened to be reset, connections that do nothing.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bootstrap;
use crate::harness::{Client, Upstream, answer, free_port, proxy};

const PLAIN: &str = "                route: {cluster: back}";

fn get(path: &str) -> Request<Bytes> {
    let request = Request::get(path).header("host", "shop.example");
    request.body(Bytes::new()).expect("a request")
}

async fn dial(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens")
}

/// A frame of HTTP/2.
///
/// Source: RFC 9113 §4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put_uint(payload.len() as u64, 3);
    bytes.put_u8(kind);
    bytes.put_u8(flags);
    bytes.put_u32(stream);
    bytes.put_slice(payload);
    bytes
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET / http shop`, of indexed fields and one literal.
///
/// Source: RFC 7541 §6.1, §6.2.2 and Appendix A.
const HEAD: &[u8] = b"\x82\x84\x86\x01\x04shop";

fn preface() -> BytesMut {
    let mut bytes = BytesMut::from(&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..]);
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes
}

/// Sends until the peer takes no more, and reads all that it says; whether it closed the connection, and the error of its GOAWAY.
async fn flood(port: u16, bytes: &[u8], times: usize) -> (bool, Option<u32>) {
    let (mut from, mut to) = dial(port).await.into_split();
    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), from.read_to_end(&mut all)).await;
        (read.is_ok(), all)
    });
    let mut sent = to.write_all(&preface()).await;
    for _ in 0..times {
        if sent.is_err() {
            break;
        }
        sent = to.write_all(bytes).await;
    }
    let (closed, all) = reader.await.expect("nobody panicked");
    drop(to);
    (closed, goaway(&all))
}

/// The error code of a GOAWAY frame among others.
fn goaway(mut bytes: &[u8]) -> Option<u32> {
    while let [a, b, c, kind, _, rest @ ..] = bytes {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let payload = rest.get(4..4 + length)?;
        if *kind == GOAWAY {
            return payload.get(4..8)?.try_into().ok().map(u32::from_be_bytes);
        }
        bytes = &rest[4 + length..];
    }
    None
}

/// The proxy still serves others.
async fn still_serves(port: u16) {
    let (head, _) = Client::http2(port).await.send(get("/")).await;
    assert_eq!(head.status, 200);
}

#[tokio::test]
async fn streams_that_are_opened_to_be_reset_end_the_connection() {
    let up = Upstream::start(|_, _| answer(200, "")).await;
    let port = free_port();
    let _proxy = proxy(&bootstrap(port, PLAIN, &[up.port]));
    let mut all = BytesMut::new();
    for nth in 0..20_000_u32 {
        let stream = 2 * nth + 1;
        all.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, HEAD));
        all.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let (closed, error) = flood(port, &all, 1).await;
    assert!(closed, "it goes on taking streams");
    // ENHANCE_YOUR_CALM
    assert_eq!(error, Some(11));
    assert!(
        up.paths().len() < 2_000,
        "{} of 20,000 reached the upstream",
        up.paths().len()
    );
    still_serves(port).await;
}

#[tokio::test]
async fn a_head_of_continuations_without_end_ends_the_connection() {
    let up = Upstream::start(|_, _| answer(200, "")).await;
    let port = free_port();
    let _proxy = proxy(&bootstrap(port, PLAIN, &[up.port]));
    let mut begin = frame(HEADERS, END_STREAM, 1, HEAD);
    // a literal without indexing, as long as a frame may be
    let mut field = BytesMut::from(&b"\x00\x01a\x7f\x81\x7e"[..]);
    field.extend(std::iter::repeat_n(b'b', 127 + 1 + (0x7e << 7)));
    for _ in 0..1000 {
        begin.extend(frame(CONTINUATION, 0, 1, &field));
    }
    let (closed, _) = flood(port, &begin, 1).await;
    assert!(closed, "it goes on reading");
    assert!(up.paths().is_empty(), "a head without an end is no request");
    still_serves(port).await;
}

#[tokio::test]
async fn empty_continuations_without_end_end_the_connection() {
    let up = Upstream::start(|_, _| answer(200, "")).await;
    let port = free_port();
    let _proxy = proxy(&bootstrap(port, PLAIN, &[up.port]));
    let mut begin = frame(HEADERS, END_STREAM, 1, HEAD);
    for _ in 0..100_000 {
        begin.extend(frame(CONTINUATION, 0, 1, &[]));
    }
    let (closed, _) = flood(port, &begin, 1).await;
    assert!(closed, "it goes on reading");
    still_serves(port).await;
}

#[tokio::test]
async fn pings_that_nobody_reads_the_answers_of_do_not_pile_up() {
    let up = Upstream::start(|_, _| answer(200, "")).await;
    let port = free_port();
    let _proxy = proxy(&bootstrap(port, PLAIN, &[up.port]));
    let mut stream = dial(port).await;
    stream.write_all(&preface()).await.expect("it is read");
    let mut pings = BytesMut::new();
    for _ in 0..1000 {
        pings.extend(frame(PING, 0, 0, &[0; 8]));
    }
    // answers are not read: at some time the proxy must stop reading, or close
    let mut sent = 0;
    let sending = async {
        while sent < 100_000 && stream.write_all(&pings).await.is_ok() {
            sent += 1;
        }
    };
    let stuck = tokio::time::timeout(Duration::from_secs(2), sending).await;
    assert!(
        stuck.is_err() || sent < 100_000,
        "{sent} thousand pings were taken"
    );
    still_serves(port).await;
}

#[tokio::test]
async fn heads_that_are_too_large_are_answered_431_and_nothing_else_suffers() {
    let up = Upstream::start(|_, _| answer(200, "")).await;
    let port = free_port();
    let _proxy = proxy(&bootstrap(port, PLAIN, &[up.port]));
    let long = format!(
        "GET / HTTP/1.1\r\nhost: shop\r\nx: {}\r\n\r\n",
        "a".repeat(200_000)
    );
    let many = (0..2_000)
        .map(|nth| format!("x-{nth}: a\r\n"))
        .collect::<String>();
    let many = format!("GET / HTTP/1.1\r\nhost: shop\r\n{many}\r\n");
    for head in [long, many] {
        let mut stream = dial(port).await;
        // it may have answered before all is sent
        let _ = stream.write_all(head.as_bytes()).await;
        let mut said = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut said)).await;
        let said = String::from_utf8_lossy(&said);
        assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    }
    assert!(up.paths().is_empty());
    still_serves(port).await;
}

/// As many as a machine's usual limit of open files lets a test have at both ends.
const IDLE: usize = 400;

#[tokio::test]
async fn connections_that_do_nothing_do_not_keep_others_from_being_served() {
    let up = Upstream::start(|_, _| answer(200, "")).await;
    let port = free_port();
    let proxy = proxy(&bootstrap(port, PLAIN, &[up.port]));
    let mut idle = Vec::new();
    for nth in 0..IDLE {
        let mut stream = dial(port).await;
        // some say nothing, some begin to
        if nth % 2 == 0 {
            stream.write_all(b"GET / HT").await.expect("it is read");
        }
        idle.push(stream);
    }
    for _ in 0..10 {
        still_serves(port).await;
        let (head, _) = Client::http1(port).await.send(get("/")).await;
        assert_eq!(head.status, StatusCode::OK);
    }
    drop(idle);
    proxy.drain();
    tokio::time::timeout(Duration::from_secs(10), proxy.ended())
        .await
        .expect("no connection is left");
}
