//! Changes under load: no request suffers from a new configuration, a drain, or new certificates; an upstream that dies takes its own alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::bootstrap;
use crate::harness::{Client, Upstream, answer, free_port, proxy, proxy_with, update};

const PLAIN: &str = "                route: {cluster: back}";

fn get(path: &str) -> Request<Bytes> {
    let request = Request::get(path).header("host", "shop.example");
    request.body(Bytes::new()).expect("a request")
}

/// Clients that send one request after another until they are told to stop; each may lose its connection between two requests, as those of a
/// draining server do, and then dials again.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Result<(), String>>>,
}

impl Load {
    fn start(port: u16, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicUsize::new(0));
        let client = |_| {
            let (stop, served) = (stop.clone(), served.clone());
            tokio::spawn(async move { client(port, &stop, &served).await })
        };
        let clients = (0..clients).map(client).collect();
        Self {
            stop,
            served,
            clients,
        }
    }

    fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    /// How many were served; that one was not is a failure of the test.
    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            let ended = client.await.expect("nobody panicked");
            assert_eq!(ended, Ok(()));
        }
        self.served.load(Ordering::Relaxed)
    }
}

async fn client(port: u16, stop: &AtomicBool, served: &AtomicUsize) -> Result<(), String> {
    while !stop.load(Ordering::Relaxed) {
        let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await else {
            // nobody listens any more: what was promised was kept
            return Ok(());
        };
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        while !stop.load(Ordering::Relaxed) && sender.ready().await.is_ok() {
            let request = get("/").map(Full::<Bytes>::new);
            let response = match sender.try_send_request(request).await {
                Ok(response) => response,
                Err(mut error) => match error.take_message() {
                    // never sent: the connection closed before
                    Some(_) => break,
                    None => return Err(error.into_error().to_string()),
                },
            };
            if response.status() != 200 {
                return Err(format!("answered {}", response.status()));
            }
            let body = response.into_body().collect().await;
            body.map_err(|error| error.to_string())?;
            served.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

#[tokio::test]
async fn no_request_fails_while_configurations_come_and_go() {
    let ups = [
        Upstream::start(|_, _| answer(200, "one")).await,
        Upstream::start(|_, _| answer(200, "two")).await,
    ];
    let port = free_port();
    let proxy = proxy_with(&bootstrap(port, PLAIN, &[ups[0].port]), 2);
    let load = Load::start(port, 8);
    for nth in 0..40 {
        // other endpoints, other routes, another name of the virtual host
        let ports = match nth % 3 {
            0 => vec![ups[1].port],
            1 => vec![ups[0].port, ups[1].port],
            _ => vec![ups[0].port],
        };
        let timeout = format!(
            "                route: {{cluster: back, timeout: {}s}}",
            5 + nth
        );
        let text =
            bootstrap(port, &timeout, &ports).replace("name: all", &format!("name: all-{nth}"));
        update(&proxy, &text);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let served = load.end().await;
    assert!(served > 200, "{served} requests are no load");
    assert!(ups.iter().all(|up| !up.paths().is_empty()));
}

#[tokio::test]
async fn no_request_fails_while_a_process_drains() {
    let up = Upstream::slow(Duration::from_millis(5)).await;
    let port = free_port();
    let proxy = proxy_with(&bootstrap(port, PLAIN, &[up.port]), 2);
    let load = Load::start(port, 8);
    while load.served() < 100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    proxy.drain();
    tokio::time::timeout(Duration::from_secs(10), proxy.ended())
        .await
        .expect("it ends when its clients have been answered");
    load.end().await;
}

/// A server that begins an answer of `promised` bytes and breaks off after `sent`.
async fn breaks_off(promised: usize, sent: usize) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {promised}\r\n\r\n");
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.write_all(&vec![b'a'; sent]).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    port
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_broken_off_and_not_ended() {
    let up = breaks_off(1000, 100).await;
    let port = free_port();
    let _proxy = proxy(&bootstrap(port, PLAIN, &[up]));
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens");
    let request = b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    stream.write_all(request).await.expect("it is read");
    let mut said = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut said)).await;
    assert!(read.is_ok(), "the client is left waiting");
    let said = String::from_utf8_lossy(&said);
    let (head, body) = said.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(body.len() < 1000, "as many as were promised");
    // the proxy serves on
    let (head, _) = {
        let other = Upstream::start(|_, _| answer(201, "")).await;
        update(&_proxy, &bootstrap(port, PLAIN, &[other.port]));
        tokio::time::sleep(Duration::from_millis(200)).await;
        Client::http1(port).await.send(get("/")).await
    };
    assert_eq!(head.status, 201);
}

#[tokio::test]
async fn an_upstream_that_dies_before_it_answers_is_tried_elsewhere() {
    let dies = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let dead = dies.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = dies.accept().await {
            let _ = stream.read(&mut [0; 100]).await;
        }
    });
    let up = Upstream::start(|_, _| answer(200, "")).await;
    let port = free_port();
    let route =
        "                route: {cluster: back, retry_policy: {retry_on: reset, num_retries: 3}}";
    let _proxy = proxy(&bootstrap(port, route, &[dead, up.port]));
    let mut client = Client::http1(port).await;
    for _ in 0..10 {
        let (head, _) = client.send(get("/")).await;
        assert_eq!(head.status, 200);
    }
}

#[tokio::test]
async fn an_upstream_that_closes_after_its_answer_is_heard_out() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let up = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            // as a server of HTTP/1.0 does: head, body and end, one after the other
            let _ = stream
                .write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n")
                .await;
            let _ = stream.write_all(b"hello").await;
        }
    });
    let port = free_port();
    let _proxy = proxy(&bootstrap(port, PLAIN, &[up]));
    let mut client = Client::http1(port).await;
    for nth in 0..100 {
        let (head, body) = client.send(get("/")).await;
        assert_eq!(
            (head.status.as_u16(), &body[..]),
            (200, &b"hello"[..]),
            "{nth}"
        );
    }
}
