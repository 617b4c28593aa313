//! Requests that two servers could cut at different places: what is ambiguous is refused, or passed on without ambiguity.
//!
//! Source: RFC 9112 §5.1, §6.1, §6.3, §7.1 and §11.2; the vectors are the known classes (CL.TE, TE.CL, TE.TE, lengths that differ, folded and
//! broken names, chunk sizes that overflow).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::bootstrap;
use crate::harness::{free_port, proxy};

/// A server that answers whatever it gets with 200, one answer a request as it understands them, and keeps all bytes.
struct Raw {
    port: u16,
    got: Arc<Mutex<Vec<u8>>>,
}

impl Raw {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let got = Arc::new(Mutex::new(Vec::new()));
        let all = got.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let all = all.clone();
                tokio::spawn(async move {
                    let mut bytes = [0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                        all.lock().expect("nobody panicked").extend(&bytes[..count]);
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, got }
    }

    fn got(&self) -> String {
        let got = self.got.lock().expect("nobody panicked");
        String::from_utf8_lossy(&got).into_owned()
    }
}

/// All that the proxy says until it closes the connection, or for a moment.
async fn said(port: u16, bytes: &[u8]) -> String {
    let stream = TcpStream::connect(("127.0.0.1", port)).await;
    let mut stream = stream.expect("it listens");
    stream.write_all(bytes).await.expect("it is read");
    let mut said = Vec::new();
    let all = stream.read_to_end(&mut said);
    // an open connection is one that waits for more
    let _ = tokio::time::timeout(Duration::from_millis(300), all).await;
    String::from_utf8_lossy(&said).into_owned()
}

fn post(head: &str, body: &str) -> Vec<u8> {
    format!("POST /front HTTP/1.1\r\nhost: shop.example\r\n{head}\r\n{body}").into_bytes()
}

/// A request that is hidden in another's body.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: shop.example\r\n\r\n";

/// What each hides, and how.
fn vectors() -> Vec<(&'static str, Vec<u8>)> {
    let chunked = format!("0\r\n\r\n{HIDDEN}");
    let whole = HIDDEN.len();
    vec![
        ("both lengths", post("content-length: 4\r\ntransfer-encoding: chunked\r\n", &chunked)),
        ("both, the other way round", post("transfer-encoding: chunked\r\ncontent-length: 4\r\n", &chunked)),
        ("two lengths that differ", post(&format!("content-length: 0\r\ncontent-length: {whole}\r\n"), HIDDEN)),
        ("a list of lengths that differ", post(&format!("content-length: 0, {whole}\r\n"), HIDDEN)),
        ("a length with a sign", post("content-length: +0\r\n", HIDDEN)),
        ("a length below zero", post("content-length: -1\r\n", HIDDEN)),
        ("a length in other digits", post("content-length: 0x0\r\n", HIDDEN)),
        ("a length beyond 64 bits", post("content-length: 18446744073709551616\r\n", HIDDEN)),
        ("an empty length", post("content-length: \r\n", HIDDEN)),
        ("a coding that is none", post("transfer-encoding: xchunked\r\n", &chunked)),
        ("a coding after chunked", post("transfer-encoding: chunked, identity\r\n", &chunked)),
        ("chunked twice", post("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", &chunked)),
        ("a space before the colon", post("transfer-encoding : chunked\r\ncontent-length: 4\r\n", &chunked)),
        ("a folded line", post("content-length: 4\r\nx-a: b\r\n transfer-encoding: chunked\r\n", &chunked)),
        ("a folded coding", post("transfer-encoding:\r\n chunked\r\ncontent-length: 4\r\n", &chunked)),
        ("a name with a tab", post("transfer-encoding\t: chunked\r\ncontent-length: 4\r\n", &chunked)),
        ("a null in a value", post("transfer-encoding: chunked\0\r\ncontent-length: 4\r\n", &chunked)),
        ("a vertical tab before the coding", post("transfer-encoding: \x0bchunked\r\ncontent-length: 4\r\n", &chunked)),
        ("a chunk size that overflows", post("transfer-encoding: chunked\r\n", &format!("10000000000000000\r\n{chunked}"))),
        ("a chunk size with a sign", post("transfer-encoding: chunked\r\n", &format!("-0\r\n\r\n{HIDDEN}"))),
        ("a chunk size with a prefix", post("transfer-encoding: chunked\r\n", &format!("0x0\r\n\r\n{HIDDEN}"))),
        ("a chunk that is too long", post("transfer-encoding: chunked\r\n", &format!("1\r\nab\r\n{chunked}"))),
        ("a carriage return alone", b"POST /front HTTP/1.1\r\nhost: shop.example\r\nx: a\rcontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec()),
        ("no name", post(": chunked\r\n", "")),
        ("two hosts", b"GET /front HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_vec()),
        ("a body with HTTP/1.0 in chunks", format!("POST /front HTTP/1.0\r\nhost: shop.example\r\ntransfer-encoding: chunked\r\n\r\n{chunked}").into_bytes()),
        ("a space in the target", b"GET /front /hidden HTTP/1.1\r\nhost: shop.example\r\n\r\n".to_vec()),
    ]
}

/// How many requests a server that goes by the standard reads.
fn requests(bytes: &str) -> usize {
    bytes.matches(" HTTP/1.1\r\n").count()
}

#[tokio::test]
async fn no_vector_gets_a_second_request_past_whoever_looks_at_the_first() {
    for (name, bytes) in vectors() {
        let up = Raw::start().await;
        let port = free_port();
        // the hidden request is one that the proxy refuses when it sees it
        let routes = "                direct_response: {status: 403}
              - match: {prefix: /front}
                route: {cluster: back}";
        let text =
            bootstrap(port, routes, &[up.port]).replacen("{prefix: /}", "{prefix: /hidden}", 1);
        let _proxy = proxy(&text);
        let said = said(port, &bytes).await;
        let got = up.got();
        assert!(!got.contains("/hidden"), "{name}: {got}");
        assert!(requests(&got) <= 1, "{name}: {got}");
        let lower = got.to_ascii_lowercase();
        let both = lower.contains("content-length") && lower.contains("transfer-encoding");
        assert!(!both, "{name}: {got}");
        let first = said.lines().next().unwrap_or_default();
        assert!(
            first.is_empty()
                || first.contains(" 400 ")
                || first.contains(" 200 ")
                || first.contains(" 501 "),
            "{name}: {said}"
        );
    }
}

#[tokio::test]
async fn requests_in_one_packet_are_answered_in_their_order() {
    let up = Raw::start().await;
    let port = free_port();
    let _proxy = proxy(
        &bootstrap(
            port,
            "                direct_response: {status: 403}
              - match: {prefix: /}
                route: {cluster: back}",
            &[up.port],
        )
        .replacen("{prefix: /}", "{prefix: /hidden}", 1),
    );
    let two = format!("GET /front HTTP/1.1\r\nhost: shop.example\r\n\r\n{HIDDEN}");
    let said = said(port, two.as_bytes()).await;
    let answers: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("HTTP/1.1"))
        .collect();
    assert_eq!(
        answers,
        ["HTTP/1.1 200 OK", "HTTP/1.1 403 Forbidden"],
        "{said}"
    );
    assert!(!up.got().contains("/hidden"));
}
