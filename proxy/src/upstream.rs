//! Connections to endpoints, and the tries that go over them.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use proxy_core::config::PrefaceVersion;
use proxy_core::health;
use proxy_core::ids::UpstreamId;
use proxy_core::node::{ConnectPlan, Ends, HealthCheckId, Input, ResetCause};
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{AbortHandle, spawn_local};
use tokio_rustls::TlsConnector;

use crate::arriving::Shown;
use crate::body::AttemptBody;
use crate::gathered::Gathered;
use crate::local::Local;
use crate::log::Far;
use crate::preface;
use crate::process::Way;
use crate::tls::Io;
use crate::worker::{Handle, cause_of, next_number};

/// A connection to an endpoint. Dropping it closes it.
pub(crate) struct Upstream {
    pub(crate) sender: Option<Sender>,
    /// Whoever opens it, then whoever drives it.
    task: AbortHandle,
    pub(crate) tls: bool,
    /// As records have it, once it stands.
    pub(crate) far: Option<Far>,
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

/// How a connection to an endpoint begins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Onward {
    /// Address that it comes from; none: the system chooses.
    pub(crate) source: Option<IpAddr>,
    /// The header of the PROXY protocol that it begins with, and on whose behalf.
    pub(crate) preface: Option<(PrefaceVersion, Option<Ends>)>,
}

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
            far: None,
        }
    }

    /// The way onto the connection: of HTTP/1.1 the only one, to be given back.
    pub(crate) fn sender_for_request(&mut self) -> Option<Sender> {
        match &self.sender {
            Some(Sender::Http2(sender)) => Some(Sender::Http2(sender.clone())),
            Some(Sender::Http1(_) | Sender::Bytes(_)) => self.sender.take(),
            None => None,
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
    to: (Way, Onward),
    kind: Kind,
    tls: Option<Tls>,
) {
    let opened = open(&handle, id, to, kind, tls).await;
    let Some((sender, task, far)) = opened else {
        handle.look(|worker| worker.upstreams.remove(&id));
        return handle.input(Input::ConnectFailed { upstream: id });
    };
    let http2 = matches!(sender, Sender::Http2(_));
    let stands = handle.look(|worker| {
        let Some(up) = worker.upstreams.get_mut(&id) else {
            return false;
        };
        up.sender = Some(sender);
        up.far = Some(far);
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
    to: (Way, Onward),
    kind: Kind,
    tls: Option<Tls>,
) -> Option<(Sender, Option<AbortHandle>, Far)> {
    let stream = dial(to).await.ok()?;
    let stream = match tls {
        Some((connector, name)) => {
            let stream = connector.connect(name, stream).await.ok()?;
            Io::Tls(Box::new(stream.into()))
        }
        None => Io::Plain(stream),
    };
    let mut far = Far {
        number: next_number(),
        http2: false,
        bytes: kind == Kind::Bytes,
        local: stream.local(),
        shown: shown(&stream),
    };
    let handle = handle.clone();
    let kind = if kind == Kind::Http1 && stream.agreed_on_http2() {
        Kind::Http2
    } else {
        kind
    };
    match kind {
        Kind::Bytes => Some((Sender::Bytes(stream), None, far)),
        Kind::Http1 => {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
            let driver = spawn_local(async move {
                // how it ended is known to whoever waits for a response
                let _ = connection.with_upgrades().await;
                closed(&handle, id);
            });
            Some((Sender::Http1(sender), Some(driver.abort_handle()), far))
        }
        Kind::Http2 => {
            let mut builder = http2::Builder::new(Local);
            builder.timer(TokioTimer::new());
            // the node bounds streams: until the peer has said otherwise, by the cluster's own limit
            builder.initial_max_send_streams(UNBOUNDED);
            let (sender, connection) = builder
                .handshake(TokioIo::new(Gathered::new(stream)))
                .await
                .ok()?;
            let driver = spawn_local(async move {
                carry(&handle, id, connection).await;
                closed(&handle, id);
            });
            far.http2 = true;
            Some((Sender::Http2(sender), Some(driver.abort_handle()), far))
        }
    }
}

const UNBOUNDED: usize = u32::MAX as usize;

/// Carries an HTTP/2 connection to its end, and tells the node how many streams its peer allows whenever that changes.
async fn carry(
    handle: &Handle,
    id: UpstreamId,
    connection: http2::Connection<TokioIo<Gathered<Io>>, AttemptBody, Local>,
) {
    let mut connection = pin!(connection);
    let mut allowed = UNBOUNDED;
    poll_fn(|cx| {
        let ended = connection.as_mut().poll(cx);
        let now = connection.as_ref().current_max_send_streams();
        if now != allowed {
            allowed = now;
            let max = u32::try_from(now).unwrap_or(u32::MAX);
            handle.input(Input::UpstreamStreams { upstream: id, max });
        }
        // how it ended is known to whoever waits for a response
        ended.map(drop)
    })
    .await;
}

/// What a handshake has shown; none: there was none.
fn shown(stream: &Io) -> Option<Rc<Shown>> {
    match stream {
        Io::Plain(_) => None,
        Io::Tls(_) => Some(Rc::new(Shown {
            own: Box::default(),
            own_certificate: None,
            client: stream.peer_chain(),
            sni: None,
            agreed: stream.agreed(),
        })),
    }
}

/// Opens a connection, and says first where it is meant to go and whom it is for, if that has to be said.
pub(crate) async fn dial((way, onward): (Way, Onward)) -> io::Result<TcpStream> {
    let mut stream = match onward.source {
        Some(source) if source.is_ipv4() == way.address.is_ipv4() => {
            let socket = match source {
                IpAddr::V4(_) => TcpSocket::new_v4()?,
                IpAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // a port that is chosen before it is known where the connection goes serves none other for a minute after its end: closed
            // connections would use up all there are (envoyproxy/envoy#45916)
            setsockopt(&socket, IpBindAddressNoPort, &true).map_err(io::Error::from)?;
            socket.bind(SocketAddr::new(source, 0))?;
            socket.connect(way.address).await?
        }
        Some(_) | None => TcpStream::connect(way.address).await?,
    };
    stream.set_nodelay(true)?;
    if let Some(meant) = way.announce {
        let header = preface::header(stream.local_addr()?, meant)?;
        stream.write_all(&header).await?;
    }
    if let Some((version, client)) = onward.preface {
        let own = Ends {
            source: stream.local_addr()?,
            destination: stream.peer_addr()?,
        };
        let header = preface::for_client(version, client, own)?;
        stream.write_all(&header).await?;
    }
    Ok(stream)
}

/// A connection has ended. Tries that are on it tell themselves how they end: all that came of an answer is still carried to its client.
fn closed(handle: &Handle, id: UpstreamId) {
    if handle.look(|worker| worker.node.is_used(id)) {
        return handle.input(Input::UpstreamDraining { upstream: id });
    }
    let gone = handle.look(|worker| worker.upstreams.remove(&id));
    drop(gone);
    handle.input(Input::UpstreamClosed { upstream: id });
}

/// The response to a try, or what broke it, and the way onto its connection if that is to be given back.
pub(crate) type Answer = (Option<Sender>, Result<Response<Incoming>, ResetCause>);

/// Sends a try and waits for the head of its response. A connection that is given one can nearly always take it at once, which spares the
/// request from being carried about with whoever waits.
pub(crate) fn send(
    mut sender: Sender,
    request: Box<Request<AttemptBody>>,
) -> impl Future<Output = Answer> {
    let at_once = match &mut sender {
        Sender::Http1(way) if way.is_ready() => Ok(Ok(way.send_request(*request))),
        Sender::Http2(way) if way.is_ready() => Ok(Err(way.send_request(*request))),
        Sender::Http1(_) | Sender::Http2(_) | Sender::Bytes(_) => Err(request),
    };
    async move {
        let result = match at_once {
            Ok(Ok(answer)) => answer.await.map_err(|error| cause_of(&error)),
            Ok(Err(answer)) => answer.await.map_err(|error| cause_of(&error)),
            Err(request) => Box::pin(send_when_ready(&mut sender, *request)).await,
        };
        let is_given_back = matches!(sender, Sender::Http1(_));
        (is_given_back.then_some(sender), result)
    }
}

async fn send_when_ready(
    sender: &mut Sender,
    request: Request<AttemptBody>,
) -> Result<Response<Incoming>, ResetCause> {
    let result = match sender {
        Sender::Http1(way) => match way.ready().await {
            Ok(()) => way.send_request(request).await,
            Err(error) => Err(error),
        },
        Sender::Http2(way) => match way.ready().await {
            Ok(()) => way.send_request(request).await,
            Err(error) => Err(error),
        },
        Sender::Bytes(_) => return Err(ResetCause::Protocol),
    };
    result.map_err(|error| cause_of(&error))
}

/// Asks an endpoint whether it is well.
pub(crate) async fn probe(
    handle: Handle,
    check: HealthCheckId,
    way: Option<(Way, Onward)>,
    plan: health::Check,
) {
    let limit = Duration::from_nanos(plan.timeout.as_nanos());
    let asked = tokio::time::timeout(limit, ask(way, &plan)).await;
    let status = asked.ok().flatten();
    handle.input(Input::HealthChecked { check, status });
}

async fn ask(way: Option<(Way, Onward)>, plan: &health::Check) -> Option<u16> {
    let stream = dial(way?).await.ok()?;
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

#[cfg(test)]
mod tests {
    use nix::sys::socket::getsockopt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_from_an_address_of_its_own_leaves_the_port_to_others() {
        for (ours, theirs) in [("127.0.0.6", "127.0.0.1:0"), ("::1", "[::1]:0")] {
            let Ok(server) = TcpListener::bind(theirs).await else {
                continue; // a machine without IPv6
            };
            let way = Way {
                address: server.local_addr().unwrap(),
                announce: None,
            };
            let onward = Onward {
                source: Some(ours.parse().unwrap()),
                preface: None,
            };
            let stream = dial((way, onward)).await.unwrap();
            assert_eq!(stream.local_addr().unwrap().ip().to_string(), ours);
            assert!(getsockopt(&stream, IpBindAddressNoPort).unwrap());
        }
    }
}
