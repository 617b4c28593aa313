//! Connections that speak another protocol once an endpoint has switched: what is said for it, and the bytes both ways.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderValue, UPGRADE};
use http::uri::Authority;
use http::{Method, Request, StatusCode, Uri, request, response};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use proxy_core::ids::AttemptId;
use proxy_core::node::{Input, ResetCause};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

use crate::downstream::Close;
use crate::heads::leave_connection_behind;
use crate::tls::Io;
use crate::worker::Handle;

/// Bytes that are on their way in one direction at a time.
const AT_ONCE: usize = 16 * 1024;

/// How long one side may take what was sent to it before its connection is closed.
///
/// Source: Envoy v3 `HttpConnectionManager.delayed_close_timeout`.
const DELAYED_CLOSE: Duration = Duration::from_secs(1);

/// What the client of an exchange wishes its connection to become. Dropping it ends what it has become.
pub(crate) struct Passage {
    /// The client's half, until it is taken.
    client: Option<OnUpgrade>,
    /// The client's connection.
    downstream: usize,
    http2: bool,
    end: Rc<Close>,
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.end.ask();
    }
}

impl Passage {
    pub(crate) fn new(client: OnUpgrade, downstream: usize, http2: bool) -> Self {
        Self {
            client: Some(client),
            downstream,
            http2,
            end: Rc::default(),
        }
    }

    /// The client's connection, where it becomes something else as a whole: on HTTP/2 only a stream of it does.
    pub(crate) fn connection(&self) -> Option<usize> {
        (!self.http2).then_some(self.downstream)
    }

    /// Whether it was asked for over HTTP/2, where every wish is a CONNECT.
    pub(crate) const fn is_http2(&self) -> bool {
        self.http2
    }

    /// The client's half, and what will say that it is over.
    pub(crate) fn take(&mut self) -> Option<Near> {
        Some(Near {
            client: self.client.take()?,
            connection: self.connection(),
            end: self.end.clone(),
        })
    }

    /// Makes a response that switches one as its client's protocol has it.
    pub(crate) fn dress(&self, head: &mut response::Parts) {
        if self.http2 {
            head.status = StatusCode::OK;
            leave_connection_behind(&mut head.headers);
        }
    }

    /// Says in the head of any other answer that its connection takes no more requests: what follows may be no HTTP any more.
    pub(crate) fn refuse(&self, headers: &mut HeaderMap) {
        if !self.http2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// The client's half of a passage.
pub(crate) struct Near {
    client: OnUpgrade,
    /// The connection that ends with it.
    connection: Option<usize>,
    end: Rc<Close>,
}

/// The endpoint's half.
pub(crate) enum Far {
    /// Of a connection or a stream that has just switched.
    Switching(OnUpgrade),
    /// Of a connection that never had requests.
    Bytes(Io),
}

impl Far {
    /// Whether its end is the end of a message, rather than that of a connection.
    const fn ends_whole(&self, http2: bool) -> bool {
        match self {
            Self::Switching(_) => http2,
            Self::Bytes(_) => true,
        }
    }
}

/// Takes the wish out of a request, and says it as HTTP/1.1 does, whichever version it came over.
///
/// Source: RFC 8441 §5; envoy `source/common/http/utility.cc` (`transformUpgradeRequestFromH2toH1`).
pub(crate) fn wish(parts: &mut request::Parts) -> Option<OnUpgrade> {
    let client = parts.extensions.remove::<OnUpgrade>()?;
    if let Some(protocol) = parts.extensions.remove::<Protocol>() {
        parts.method = Method::GET;
        if let Ok(kind) = HeaderValue::from_str(protocol.as_str()) {
            say(&mut parts.headers, kind);
        }
    }
    Some(client)
}

/// Says in a head that its connection becomes this.
pub(crate) fn say(headers: &mut HeaderMap, kind: HeaderValue) {
    headers.insert(UPGRADE, kind);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
}

/// Makes a request with a wish one as its endpoint's protocol has it.
///
/// Source: RFC 9110 §9.3.6, RFC 8441 §4; envoy `transformUpgradeRequestFromH1toH2`.
pub(crate) fn ask<B>(request: &mut Request<B>, http2: bool, authority: &str) {
    if request.method() == Method::CONNECT {
        if let Ok(authority) = authority.parse::<Authority>() {
            *request.uri_mut() = Uri::from(authority);
        }
    } else if http2 && let Some(kind) = request.headers_mut().remove(UPGRADE) {
        *request.method_mut() = Method::CONNECT;
        let headers = request.headers_mut();
        headers.remove(CONNECTION);
        headers.remove(CONTENT_LENGTH);
        if let Ok(kind) = kind.to_str() {
            request.extensions_mut().insert(Protocol::from(kind));
        }
    }
}

/// The endpoint's half that a response brings, its head as HTTP/1.1 would have it; none: it does not switch. `kind` is what was asked
/// for with `Upgrade`.
pub(crate) fn answered(
    head: &mut response::Parts,
    kind: Option<&HeaderValue>,
) -> Option<OnUpgrade> {
    let half = head.extensions.remove::<OnUpgrade>()?;
    let said = match kind {
        Some(kind) if head.status == StatusCode::OK => {
            // what HTTP/2 calls a success
            head.status = StatusCode::SWITCHING_PROTOCOLS;
            Some((kind.clone(), None))
        }
        Some(_) | None => {
            let kind = head.headers.get(UPGRADE).cloned();
            kind.map(|kind| (kind, head.headers.get(CONNECTION).cloned()))
        }
    };
    leave_connection_behind(&mut head.headers);
    if let Some((kind, connection)) = said {
        say(&mut head.headers, kind);
        if let Some(connection) = connection {
            head.headers.insert(CONNECTION, connection);
        }
    }
    Some(half)
}

/// Bytes both ways.
trait Wire: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire for T {}

/// Which side has no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Over {
    Client,
    /// The endpoint, and whether it has said all it had to say.
    Endpoint(bool),
    /// The node wants no more.
    Ended,
}

/// Carries the bytes of a passage both ways until it is over, and tells the node of them.
pub(crate) async fn carry(handle: Handle, attempt: AttemptId, near: Near, far: Far, http2: bool) {
    let exchange = attempt.exchange;
    let Near {
        client,
        connection,
        end,
    } = near;
    let whole = far.ends_whole(http2);
    let is_over = |over| match over {
        Over::Client => handle.client_gone(exchange),
        Over::Endpoint(true) if whole => handle.input(Input::UpstreamEnd {
            attempt,
            grpc_status: None,
        }),
        Over::Endpoint(_) => handle.input(Input::UpstreamReset {
            attempt,
            cause: ResetCause::ConnectionClosed,
        }),
        Over::Ended => {}
    };
    let stand = tokio::select! {
        halves = halves(client, far) => halves,
        () = asked(&end) => Err(Over::Ended),
    };
    match stand {
        Err(over) => is_over(over),
        Ok((near, far)) => {
            let (mut near, mut far) = (split(near), split(far));
            let over = both_ways(
                &handle,
                attempt,
                &mut near,
                &mut far,
                &end,
                connection.is_none(),
            );
            let over = over.await;
            is_over(over);
            match over {
                Over::Client => {
                    drop(near);
                    if let Some(token) = connection {
                        handle.closed(token);
                    }
                    return part(far).await;
                }
                Over::Endpoint(_) => part(near).await,
                Over::Ended => {}
            }
        }
    }
    if let Some(token) = connection {
        handle.closed(token);
    }
}

/// Done when whoever carries bytes is asked to end.
async fn asked(end: &Close) {
    poll_fn(|cx| {
        if end.is_asked(cx) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

type Halves = (ReadHalf<Box<dyn Wire>>, WriteHalf<Box<dyn Wire>>);

/// Carries bytes until one side has no more. `halves`: a client that has no more may still hear what comes, as HTTP/1.1 does not know it.
async fn both_ways(
    handle: &Handle,
    attempt: AttemptId,
    (from_client, to_client): &mut Halves,
    (from_far, to_far): &mut Halves,
    end: &Close,
    halves: bool,
) -> Over {
    let exchange = attempt.exchange;
    let asked_for = |bytes| handle.input(Input::RequestData { exchange, bytes });
    let answered = |bytes| handle.input(Input::UpstreamData { attempt, bytes });
    let mut up = pin!(async {
        let stop = pump(from_client, to_far, asked_for).await;
        if stop == Stop::End && halves {
            handle.input(Input::RequestEnd { exchange });
            // an endpoint that does not hear of it is heard all the same
            let _ = to_far.shutdown().await;
        }
        stop
    });
    let mut down = pin!(pump(from_far, to_client, answered));
    let mut said_all = false;
    loop {
        tokio::select! {
            stop = &mut up, if !said_all => match stop {
                Stop::End if halves => said_all = true,
                Stop::End | Stop::From => return Over::Client,
                // it may still have something to say
                Stop::To => said_all = true,
            },
            stop = &mut down => return match stop {
                Stop::End => Over::Endpoint(true),
                Stop::From => Over::Endpoint(false),
                Stop::To => Over::Client,
            },
            () = asked(end) => return Over::Ended,
        }
    }
}

/// Waits until both halves stand.
async fn halves(client: OnUpgrade, far: Far) -> Result<(Box<dyn Wire>, Box<dyn Wire>), Over> {
    let near = client.await.map_err(|_| Over::Client)?;
    let far: Box<dyn Wire> = match far {
        Far::Bytes(io) => Box::new(io),
        Far::Switching(half) => {
            let half = half.await.map_err(|_| Over::Endpoint(false))?;
            Box::new(TokioIo::new(half))
        }
    };
    Ok((Box::new(TokioIo::new(near)), far))
}

/// Why bytes go no further in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    /// There are no more.
    End,
    /// Whoever sends them has failed.
    From,
    /// Whoever gets them has.
    To,
}

/// Carries bytes in one direction, as fast as they are taken.
async fn pump(
    from: &mut ReadHalf<Box<dyn Wire>>,
    to: &mut WriteHalf<Box<dyn Wire>>,
    told: impl Fn(u64),
) -> Stop {
    let mut buffer = vec![0; AT_ONCE];
    loop {
        let read = match from.read(&mut buffer).await {
            Err(_) => return Stop::From,
            Ok(0) => return Stop::End,
            Ok(read) => read,
        };
        told(read as u64);
        let written = to.write_all(&buffer[..read]).await;
        if written.is_err() || to.flush().await.is_err() {
            return Stop::To;
        }
    }
}

/// Tells one side that there is no more, and waits a while for it to take what it has been sent: closed at once it may lose it.
async fn part((mut from, mut to): Halves) {
    let taken = async {
        if to.shutdown().await.is_err() {
            return;
        }
        let mut nothing = [0; 512];
        while from.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
    };
    // who does not close is closed
    let _ = tokio::time::timeout(DELAYED_CLOSE, taken).await;
}
