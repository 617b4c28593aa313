//! What operators expect: spans at a collector, records and bounds of connections, and what the admin port says and changes.

mod admin;
mod connections;
mod traces;

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use proxy::Proxy;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

pub(super) const ROUTE: &str = "                route: {cluster: back}";

pub(super) fn get(path: &str) -> Request<Bytes> {
    let request = Request::get(path).header("host", "shop.example");
    request.body(Bytes::new()).expect("a request")
}

/// Waits until something holds.
pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert!(in_time.is_ok(), "not in time: {what}");
}

pub(super) async fn end(proxy: Proxy) {
    proxy.end();
    let joined = tokio::task::spawn_blocking(move || proxy.join());
    joined.await.expect("it ends");
}

/// Reads until the other end closes, and says how long that took.
pub(super) async fn closes(stream: &mut TcpStream) -> Duration {
    let began = tokio::time::Instant::now();
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut all)).await;
    // a connection may be reset, too
    let _ = read.expect("it is closed");
    began.elapsed()
}
