//! Many connections, and bodies without end, in little memory.
//!
//! | variable | what it does |
//! |---|---|
//! | `CONNECTIONS` | idle connections; 10,000 unless set |
//! | `BODY` | MiB of each body; 512 unless set, 10240 for the whole of what is promised |
//!
//! Figures are printed with `--nocapture`.

use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::skipped;
use crate::harness::process::Process;
use crate::harness::{Upstream, answer, free_port, with_sockets};

const PLAIN: &str = "                route: {cluster: back, timeout: 0s}";
const MIB: u64 = 1 << 20;
/// The most memory that a proxy may have while it carries a body, in KiB.
const MOST: u64 = 64 << 10;
/// The most that an idle connection may take, in bytes.
const OF_A_CONNECTION: u64 = 24 << 10;

fn number(variable: &str, usual: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(usual, |text| text.parse().expect("a number"))
}

fn start(bootstrap: &str) -> (Process, NamedTempFile) {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(bootstrap.as_bytes()).expect("it is written");
    let path = file.path().display().to_string();
    (Process::start(&["-c", &path]), file)
}

/// Makes room for so many files; false: the system allows fewer.
fn may_open(files: u64) -> bool {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    soft >= files || (hard >= files && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok())
}

#[tokio::test]
async fn ten_thousand_idle_connections_take_little_memory() {
    let count = number("CONNECTIONS", 10_000);
    if !may_open(count + 500) {
        skipped(&format!(
            "{count} connections: the limit of open files (RLIMIT_NOFILE) is too low"
        ));
        return;
    }
    let up = Upstream::start(|_, _| answer(200, "hello")).await;
    let port = free_port();
    let limits = "    circuit_breakers: {thresholds: [{max_connections: 100000}]}";
    let (proxy, _file) = start(&with_sockets(port, "", PLAIN, limits, &[up.port]));
    let get = b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    let ask = async |stream: &mut TcpStream| {
        stream.write_all(get).await.expect("it is read");
        let mut answer = [0; 512];
        let length = stream.read(&mut answer).await.expect("an answer");
        assert!(answer[..length].starts_with(b"HTTP/1.1 200 OK\r\n"));
    };
    let dial = async || TcpStream::connect(("127.0.0.1", port)).await;
    // what the first requests need is not of the connections
    for _ in 0..16 {
        ask(&mut dial().await.expect("it listens")).await;
    }
    let before = proxy.resident();
    let mut idle = Vec::new();
    for _ in 0..count {
        idle.push(dial().await.expect("it listens"));
    }
    // each is accepted once the last one is answered, by either worker
    for stream in idle.iter_mut().rev().take(64) {
        ask(stream).await;
    }
    let silent = proxy.resident();
    for stream in &mut idle {
        ask(stream).await;
    }
    let used = proxy.resident();
    let each = |now: u64| now.saturating_sub(before) * 1024 / count;
    println!(
        "{count} connections: {} bytes each while they were silent, {} after a request, {before} KiB without",
        each(silent),
        each(used)
    );
    assert!(each(silent) <= OF_A_CONNECTION, "{}", each(silent));
    assert!(each(used) <= OF_A_CONNECTION, "{}", each(used));
    drop(idle);
    ask(&mut dial().await.expect("it listens")).await;
}

/// A body of so many bytes, made as it is read.
struct Long(u64);

const FRAME: u64 = 64 << 10;
static ZEROS: [u8; FRAME as usize] = [0; FRAME as usize];

impl Body for Long {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.0.min(FRAME);
        self.0 -= length;
        let frame = Frame::data(Bytes::from_static(&ZEROS[..length as usize]));
        Poll::Ready((length > 0).then_some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.0 == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

/// Reads a body to its end, slowly at first: a pause after every MiB of the first 32. Gives its length.
async fn read_slowly(mut body: Incoming) -> u64 {
    let (mut read, mut paused) = (0, 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.expect("the whole body");
        read += frame.data_ref().map_or(0, Bytes::len) as u64;
        if read / MIB > paused && paused < 32 {
            paused = read / MIB;
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
    read
}

/// Answers GET with a body of so many bytes, and anything else with the number of bytes that it got.
async fn server(length: u64) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |request: Request<Incoming>| async move {
                let (long, status) = match *request.method() {
                    Method::GET => (length, StatusCode::OK),
                    _ => match read_slowly(request.into_body()).await == length {
                        true => (0, StatusCode::OK),
                        false => (0, StatusCode::CONFLICT),
                    },
                };
                let response = Response::builder().status(status).body(Long(long));
                Ok::<_, Infallible>(response.expect("a response"))
            });
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    port
}

async fn send(port: u16, is_h2: bool, request: Request<Long>) -> Response<Incoming> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await;
    let io = TokioIo::new(stream.expect("it listens"));
    if is_h2 {
        let shaken = http2::handshake(TokioExecutor::new(), io).await;
        let (mut sender, connection) = shaken.expect("HTTP/2");
        tokio::spawn(connection);
        return sender.send_request(request).await.expect("a response");
    }
    let (mut sender, connection) = http1::handshake(io).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    sender.send_request(request).await.expect("a response")
}

#[tokio::test]
async fn a_body_without_end_passes_in_little_memory_however_slowly_it_is_read() {
    let length = number("BODY", 512) * MIB;
    let up = server(length).await;
    for is_h2 in [false, true] {
        let protocol = match is_h2 {
            true => "    http2_protocol_options: {}",
            false => "",
        };
        let port = free_port();
        let (proxy, _file) = start(&with_sockets(port, "", PLAIN, protocol, &[up]));
        for method in [Method::GET, Method::POST] {
            let began = Instant::now();
            let sent = if method == Method::GET { 0 } else { length };
            let request = Request::builder()
                .method(&method)
                .uri(format!("http://127.0.0.1:{port}/"))
                .header("host", "shop.example")
                .body(Long(sent));
            let response = send(port, is_h2, request.expect("a request")).await;
            assert_eq!(response.status(), StatusCode::OK, "{method}");
            let read = read_slowly(response.into_body()).await;
            assert_eq!(read, length - sent, "{method}");
            let most = proxy.most_resident();
            let version = if is_h2 { "HTTP/2" } else { "HTTP/1.1" };
            println!(
                "{version} {method}: {} MiB in {:.1} s, at most {most} KiB of memory",
                length / MIB,
                began.elapsed().as_secs_f64()
            );
            assert!(most <= MOST, "{version} {method}: {most} KiB");
        }
    }
}
