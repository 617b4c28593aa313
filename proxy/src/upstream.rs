//! Connections to endpoints, and the tries that go over them.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body::{Body, Frame, SizeHint};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use proxy_core::health;
use proxy_core::ids::{AttemptId, UpstreamId};
use proxy_core::node::{ConnectPlan, HealthCheckId, Input};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, spawn_local};
use tokio_rustls::TlsConnector;

use crate::body::AttemptBody;
use crate::local::Local;
use crate::tls::Io;
use crate::worker::{Handle, cause_of};

/// A connection to an endpoint. Dropping it closes it.
pub(crate) struct Upstream {
    pub(crate) sender: Option<Sender>,
    /// Whoever opens it, then whoever drives it.
    task: AbortHandle,
    pub(crate) tls: bool,
}

/// How requests or bytes get onto a connection.
pub(crate) enum Sender {
    /// One request at a time.
    Http1(http1::SendRequest<AttemptBody>),
    Http2(http2::SendRequest<AttemptBody>),
    Bytes(Io),
}

/// What begins a handshake, and with whom.
pub(crate) type Tls = (TlsConnector, ServerName<'static>);

/// What is spoken on a connection that is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Http1,
    Http2,
    Bytes,
}

impl Kind {
    pub(crate) const fn of(plan: &ConnectPlan<'_>) -> Self {
        match plan {
            ConnectPlan { tcp: true, .. } => Self::Bytes,
            ConnectPlan { http2: true, .. } => Self::Http2,
            ConnectPlan { http2: false, .. } => Self::Http1,
        }
    }
}

impl Upstream {
    pub(crate) const fn connecting(task: AbortHandle, tls: bool) -> Self {
        Self {
            sender: None,
            task,
            tls,
        }
    }

    /// The way onto the connection: of HTTP/1.1 the only one, to be given back.
    pub(crate) fn sender_for_request(&mut self) -> Option<Sender> {
        match &self.sender {
            Some(Sender::Http2(sender)) => Some(Sender::Http2(sender.clone())),
            Some(Sender::Http1(_)) => self.sender.take(),
            Some(Sender::Bytes(_)) | None => None,
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens a connection and tells the node whether it stands. The node bounds how long that may take.
pub(crate) async fn connect(
    handle: Handle,
    id: UpstreamId,
    address: SocketAddr,
    kind: Kind,
    tls: Option<Tls>,
) {
    let opened = open(&handle, id, address, kind, tls).await;
    let Some((sender, task)) = opened else {
        handle.look(|worker| worker.upstreams.remove(&id));
        return handle.input(Input::ConnectFailed { upstream: id });
    };
    let http2 = matches!(sender, Sender::Http2(_));
    let stands = handle.look(|worker| {
        let Some(up) = worker.upstreams.get_mut(&id) else {
            return false;
        };
        up.sender = Some(sender);
        if let Some(task) = task {
            up.task = task;
        }
        true
    });
    if stands {
        handle.input(Input::Connected {
            upstream: id,
            http2,
            max_streams: None,
        });
    }
}

/// Tells the node that a connection cannot be opened: its secrets are missing, as whoever read the configuration has said.
pub(crate) async fn fail(handle: Handle, id: UpstreamId) {
    let gone = handle.look(|worker| worker.upstreams.remove(&id));
    drop(gone);
    handle.input(Input::ConnectFailed { upstream: id });
}

async fn open(
    handle: &Handle,
    id: UpstreamId,
    address: SocketAddr,
    kind: Kind,
    tls: Option<Tls>,
) -> Option<(Sender, Option<AbortHandle>)> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let stream = match tls {
        Some((connector, name)) => {
            let stream = connector.connect(name, stream).await.ok()?;
            Io::Tls(Box::new(stream.into()))
        }
        None => Io::Plain(stream),
    };
    let handle = handle.clone();
    let kind = if kind == Kind::Http1 && stream.agreed_on_http2() {
        Kind::Http2
    } else {
        kind
    };
    match kind {
        Kind::Bytes => Some((Sender::Bytes(stream), None)),
        Kind::Http1 => {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
            let driver = spawn_local(async move {
                // how it ended is known to whoever waits for a response
                let _ = connection.await;
                closed(&handle, id);
            });
            Some((Sender::Http1(sender), Some(driver.abort_handle())))
        }
        Kind::Http2 => {
            let mut builder = http2::Builder::new(Local);
            builder.timer(TokioTimer::new());
            let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.ok()?;
            let driver = spawn_local(async move {
                let _ = connection.await;
                closed(&handle, id);
            });
            Some((Sender::Http2(sender), Some(driver.abort_handle())))
        }
    }
}

fn closed(handle: &Handle, id: UpstreamId) {
    let gone = handle.look(|worker| worker.upstreams.remove(&id));
    drop(gone);
    handle.input(Input::UpstreamClosed { upstream: id });
}

/// Sends a try and waits for the head of its response.
pub(crate) async fn send(
    handle: Handle,
    token: usize,
    attempt: AttemptId,
    upstream: UpstreamId,
    sender: Sender,
    request: Request<AttemptBody>,
) {
    let result = match sender {
        Sender::Http1(mut sender) => {
            let result = match sender.ready().await {
                Ok(()) => sender.send_request(request).await,
                Err(error) => Err(error),
            };
            let spare = handle.look(|worker| match worker.upstreams.get_mut(&upstream) {
                Some(up) => up.sender.replace(Sender::Http1(sender)),
                None => Some(Sender::Http1(sender)),
            });
            drop(spare);
            result
        }
        Sender::Http2(mut sender) => match sender.ready().await {
            Ok(()) => sender.send_request(request).await,
            Err(error) => Err(error),
        },
        Sender::Bytes(_) => return,
    };
    match result {
        Ok(response) => handle.response(token, attempt, response),
        Err(error) => {
            let cause = cause_of(&error);
            handle.input(Input::UpstreamReset { attempt, cause });
        }
    }
}

/// Asks an endpoint whether it is well.
pub(crate) async fn probe(
    handle: Handle,
    check: HealthCheckId,
    address: SocketAddr,
    plan: health::Check,
) {
    let limit = Duration::from_nanos(plan.timeout.as_nanos());
    let asked = tokio::time::timeout(limit, ask(address, &plan)).await;
    let status = asked.ok().flatten();
    handle.input(Input::HealthChecked { check, status });
}

async fn ask(address: SocketAddr, plan: &health::Check) -> Option<u16> {
    let stream = TcpStream::connect(address).await.ok()?;
    let Some(path) = &plan.path else {
        return Some(200);
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let driver = spawn_local(connection);
    let request = Request::get(&**path)
        .header(HOST, &*plan.host)
        .header("user-agent", "windtunnel/HC")
        .body(Nothing)
        .ok()?;
    let response = sender.send_request(request).await.ok()?;
    driver.abort();
    Some(response.status().as_u16())
}

/// The body of a request that has none.
struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}
