//! Clients' connections: what their first bytes look like, and who serves them.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use proxy_core::ids::{DownstreamId, UpstreamId};
use proxy_core::node::{Input, Peek, PeekedProtocol, TlsHello};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::arriving::{self, Shown};
use crate::gathered::Gathered;
use crate::local::Local;
use crate::slow::Watched;
use crate::tls::Io;
use crate::worker::{Handle, Worker};

/// What a connection of HTTP/2 begins with.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest method that is taken for one.
const LONGEST_METHOD: usize = 16;
/// How long a client that says nothing is waited for, before its connection is taken for bytes of an unknown protocol.
const DETECTION: Duration = Duration::from_secs(5);

/// How a connection is asked to end.
#[derive(Debug, Default)]
pub(crate) struct Close {
    asked: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Close {
    pub(crate) fn ask(&self) {
        self.asked.set(true);
        self.nudge();
    }

    /// Wakes whoever serves it.
    pub(crate) fn nudge(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Whether it has been; if not, whoever looks is woken when it is.
    pub(crate) fn is_asked(&self, cx: &Context<'_>) -> bool {
        if self.asked.get() {
            return true;
        }
        let mut waker = self.waker.borrow_mut();
        match &*waker {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
        false
    }
}

/// What the first bytes of a connection show.
enum Seen {
    Plain(PeekedProtocol),
    Hello {
        sni: Option<String>,
        alpn: Vec<String>,
    },
}

/// Looks at the first bytes of a connection and leaves them where they are.
pub(crate) async fn peek(
    handle: Handle,
    token: usize,
    downstream: DownstreamId,
    stream: TcpStream,
) {
    let seen = match tokio::time::timeout(DETECTION, look(&stream)).await {
        Ok(Some(seen)) => seen,
        Ok(None) => return handle.closed(token),
        Err(_) => Seen::Plain(PeekedProtocol::Unknown),
    };
    handle.look(|worker| {
        if let Some(down) = worker.downstreams.get_mut(token) {
            down.stream = Some(Io::Plain(stream));
        }
    });
    match seen {
        Seen::Plain(protocol) => {
            let peek = Peek {
                tls: None,
                protocol,
            };
            handle.input(Input::Peeked { downstream, peek });
        }
        Seen::Hello { sni, alpn } => {
            let alpn: Vec<&str> = alpn.iter().map(String::as_str).collect();
            let hello = TlsHello {
                sni: sni.as_deref(),
                alpn: &alpn,
            };
            let peek = Peek {
                tls: Some(hello),
                protocol: PeekedProtocol::Unknown,
            };
            handle.input(Input::Peeked { downstream, peek });
        }
    }
}

/// The first byte of a TLS record with a handshake.
///
/// Source: RFC 8446 §5.1.
const HANDSHAKE: u8 = 0x16;
/// A hello that is longer than this is not waited for.
const LONGEST_HELLO: usize = 16 * 1024 + 5;

/// None: the client has gone.
async fn look(stream: &TcpStream) -> Option<Seen> {
    let mut first = vec![0; LONGEST_HELLO];
    let mut before = 0;
    loop {
        let seen = stream.peek(&mut first).await.ok()?;
        if seen == 0 {
            return None;
        }
        let known = if first[0] == HANDSHAKE {
            hello_in(&first[..seen])
        } else {
            protocol_of(&first[..seen]).map(Seen::Plain)
        };
        if known.is_some() {
            return known;
        }
        if seen == before {
            // the rest of what decides is under way
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        before = seen;
    }
}

/// The TLS hello that a connection begins with; none: it is not whole.
fn hello_in(first: &[u8]) -> Option<Seen> {
    let mut acceptor = rustls::server::Acceptor::default();
    let mut rest = first;
    while !rest.is_empty() {
        if acceptor.read_tls(&mut rest).is_err() {
            return Some(Seen::Plain(PeekedProtocol::Unknown));
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let alpn = hello.alpn().into_iter().flatten();
                let alpn = alpn.map(|name| String::from_utf8_lossy(name).into_owned());
                return Some(Seen::Hello {
                    sni: hello.server_name().map(str::to_owned),
                    alpn: alpn.collect(),
                });
            }
            Err(_) => return Some(Seen::Plain(PeekedProtocol::Unknown)),
        }
    }
    (first.len() >= LONGEST_HELLO).then_some(Seen::Plain(PeekedProtocol::Unknown))
}

/// Does the server's part of a TLS handshake.
pub(crate) async fn shake(
    handle: Handle,
    token: usize,
    downstream: DownstreamId,
    stream: TcpStream,
    (acceptor, certificate): (TlsAcceptor, Box<str>),
) {
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await
    else {
        return handle.closed(token);
    };
    let stream = Io::Tls(Box::new(stream.into()));
    if !handle.look(|worker| worker.keeper.admits(&certificate, &stream)) {
        drop(stream);
        return handle.closed(token);
    }
    let is_checked = handle.look(|worker| worker.keeper.checks_clients(&certificate));
    let peer = stream.peer().filter(|_| is_checked);
    let own = handle.look(|worker| worker.keeper.own(&certificate).cloned());
    let shown = Shown {
        own: certificate,
        own_certificate: own,
        client: stream.peer_chain(),
        sni: stream.server_name(),
        agreed: stream.agreed(),
    };
    handle.look(|worker| {
        if let Some(down) = worker.downstreams.get_mut(token) {
            down.stream = Some(stream);
            down.shown = Some(Rc::new(shown));
        }
    });
    let peer = peer.as_deref();
    handle.input(Input::Shaken { downstream, peer });
}

/// How long a handshake may take.
///
/// Source: Envoy v3 `FilterChain.transport_socket_connect_timeout` is unbounded unless set; a bound keeps slow clients from piling up.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(15);

/// What the first bytes of a connection look like; none: too few to tell.
fn protocol_of(first: &[u8]) -> Option<PeekedProtocol> {
    let length = first.len().min(PREFACE.len());
    if first[..length] == PREFACE[..length] {
        return (length == PREFACE.len()).then_some(PeekedProtocol::Http2);
    }
    let method = first.iter().take(LONGEST_METHOD).position(|b| *b == b' ');
    let letters = &first[..method.unwrap_or_else(|| first.len().min(LONGEST_METHOD))];
    let is_method = letters.iter().all(|b| b.is_ascii_uppercase() || *b == b'-');
    match method {
        Some(1..) if is_method => Some(PeekedProtocol::Http1),
        None if is_method && first.len() < LONGEST_METHOD => None,
        _ => Some(PeekedProtocol::Unknown),
    }
}

/// Reads requests from a connection until it ends, or until the node closes it.
pub(crate) async fn serve(
    handle: Handle,
    token: usize,
    downstream: DownstreamId,
    mut stream: Watched,
    close: Rc<Close>,
) {
    let first = poll_fn(|cx| {
        if close.is_asked(cx) {
            return Poll::Ready(None);
        }
        stream.poll_http2(cx).map(Result::ok)
    });
    let Some(is_http2) = first.await else {
        return handle.closed(token);
    };
    let serving = handle.clone();
    let service = service_fn(move |request| serving.clone().serve(token, downstream, request));
    let limits = handle.look(|worker| worker.node.head_limits(downstream));
    if is_http2 {
        let mut builder = http2::Builder::new(Local);
        builder.timer(TokioTimer::new());
        if let Some(limits) = limits {
            arriving::bound_http2(&mut builder, limits);
        }
        if handle.look(|worker| worker.node.upgrades_http2(downstream)) {
            builder.enable_connect_protocol();
        }
        let stream = TokioIo::new(Gathered::new(stream));
        let connection = builder.serve_connection(stream, service);
        drive(connection, |it| it.graceful_shutdown(), &close).await;
    } else {
        let mut builder = http1::Builder::new();
        builder.header_read_timeout(None);
        if let Some(limits) = limits {
            arriving::bound_http1(&mut builder, limits);
        }
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = connection.with_upgrades();
        drive(connection, |it| it.graceful_shutdown(), &close).await;
    }
    let is_carried = |worker: &mut Worker| {
        let down = worker.downstreams.get(token);
        down.is_some_and(|down| down.carried)
    };
    if !handle.look(is_carried) {
        handle.closed(token);
    }
}

/// Serves a connection to its end, which may be asked for.
async fn drive<C>(connection: C, end: impl Fn(Pin<&mut C>), close: &Close)
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = std::pin::pin!(connection);
    let mut ending = false;
    poll_fn(|cx| {
        if !ending && close.is_asked(cx) {
            ending = true;
            end(connection.as_mut());
        }
        connection.as_mut().poll(cx)
    })
    .await
    // what it has to say of the client's part is of no use to anybody
    .ok();
}

/// Carries a connection's bytes to another and back.
pub(crate) async fn splice(
    handle: Handle,
    token: usize,
    upstream: UpstreamId,
    (mut near, mut far): (Watched, Io),
    close: Rc<Close>,
) {
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        () = poll_fn(|cx| if close.is_asked(cx) { Poll::Ready(()) } else { Poll::Pending }) => {}
    }
    handle.input(Input::UpstreamClosed { upstream });
    handle.closed(token);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_show_the_protocol_as_soon_as_they_can() {
        use PeekedProtocol::{Http1, Http2, Unknown};
        for (bytes, want) in [
            (&b"GET / HTTP/1.1\r\n"[..], Some(Http1)),
            (b"M-SEARCH * HTTP/1.1", Some(Http1)),
            (b"GE", None),
            (b"P", None),
            (b"PRI * HTTP/2.0\r\n", None),
            (PREFACE, Some(Http2)),
            (b"PRI * HTTP/1.1\r\n", Some(Http1)),
            (b"\x16\x03\x01", Some(Unknown)),
            (b" GET / HTTP/1.1", Some(Unknown)),
            (b"ABCDEFGHIJKLMNOPQ", Some(Unknown)),
            (b"get / HTTP/1.1", Some(Unknown)),
        ] {
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(protocol_of(bytes), want, "{text:?}");
        }
    }
}
