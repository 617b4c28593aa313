//! Endpoints by name, whose addresses change.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use proxy::{Lookup, Options, Place, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::harness::{Client, free_port, with_sockets};

const PATIENCE: Duration = Duration::from_secs(10);

/// Answers everything with its own address.
async fn named(ip: Ipv4Addr, port: u16) -> u16 {
    let listener = TcpListener::bind((ip, port)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    let body = ip.to_string();
                    let length = body.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                    stream
                        .write_all(answer.as_bytes())
                        .await
                        .expect("it is read");
                }
            });
        }
    });
    port
}

/// A name server of a test's own.
type Known = Arc<Mutex<io::Result<Vec<IpAddr>>>>;

fn start(port: u16, kind: &str, up: u16, known: &Known) -> Proxy {
    let text = with_sockets(
        port,
        "",
        "                route: {cluster: back}",
        "",
        &[up],
    )
    .replace(
        "type: STATIC",
        &format!("type: {kind}\n    dns_refresh_rate: 0.02s\n    dns_lookup_family: V4_ONLY"),
    )
    .replace(
        &format!("address: 127.0.0.1, port_value: {up}"),
        &format!("address: back.windtunnel.invalid, port_value: {up}"),
    );
    let read = proxy::parse("bootstrap.yaml", &text).unwrap_or_else(|error| panic!("{error}"));
    assert!(
        read.notices
            .contains("back.windtunnel.invalid has no address")
    );
    let known = known.clone();
    let lookup: Lookup = Arc::new(move |host| {
        assert_eq!(host, "back.windtunnel.invalid");
        match &*known.lock().expect("nobody panicked") {
            Ok(found) => Ok(found.clone()),
            Err(error) => Err(io::Error::from(error.kind())),
        }
    });
    let started = Proxy::start(Options {
        config: read.config,
        admin: None,
        secrets: read.secrets,
        endpoints: read.endpoints,
        names: read.names,
        concurrency: 2,
        seed: 7,
        drain: Duration::ZERO,
        doors: Vec::new(),
        place: Place {
            lookup: Some(lookup),
            ..Place::default()
        },
    });
    started.expect("it starts")
}

async fn ask(port: u16) -> (StatusCode, String) {
    let request = Request::get("/").header("host", "a").body(Bytes::new());
    let mut client = Client::http1(port).await;
    let (head, body) = client.send(request.expect("a request")).await;
    (head.status, String::from_utf8_lossy(&body).into_owned())
}

/// Asks until this endpoint has answered so often in a row that every worker knows of no other.
async fn moves_to(port: u16, ip: &str) {
    let moved = async {
        let mut row = 0;
        while row < 30 {
            row = if ask(port).await.1 == ip { row + 1 } else { 0 };
        }
    };
    timeout(PATIENCE, moved)
        .await
        .unwrap_or_else(|_| panic!("never at {ip}"));
}

#[tokio::test]
async fn names_are_asked_for_again_and_requests_follow() {
    let (one, two) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2));
    let up = named(one, 0).await;
    named(two, up).await;
    for kind in ["STRICT_DNS", "LOGICAL_DNS"] {
        let known: Known = Arc::new(Mutex::new(Err(io::ErrorKind::NotFound.into())));
        let say = |found: io::Result<Vec<IpAddr>>| {
            *known.lock().expect("nobody panicked") = found;
        };
        let port = free_port();
        let _proxy = start(port, kind, up, &known);
        assert_eq!(ask(port).await.0, StatusCode::SERVICE_UNAVAILABLE);
        say(Ok(vec![one.into()]));
        moves_to(port, "127.0.0.1").await;
        say(Ok(vec![two.into()]));
        moves_to(port, "127.0.0.2").await;
        // nobody knows it any more: what was found last holds
        say(Err(io::ErrorKind::NotFound.into()));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(ask(port).await.1, "127.0.0.2");
        // of several addresses a logical name has the first
        say(Ok(vec![two.into(), one.into()]));
        match kind {
            "LOGICAL_DNS" => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                moves_to(port, "127.0.0.2").await;
            }
            _ => {
                let both = async {
                    let mut seen = std::collections::BTreeSet::new();
                    while seen.len() < 2 {
                        seen.insert(ask(port).await.1);
                    }
                };
                timeout(PATIENCE, both).await.expect("each is an endpoint");
            }
        }
    }
}
