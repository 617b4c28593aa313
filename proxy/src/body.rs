//! Bodies on their way: a request's, kept as long as it may be sent again, and a response's, read only as fast as its client takes it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use proxy_core::ids::AttemptId;
use proxy_core::node::Input;
use thiserror::Error;

use crate::worker::{Handle, cause_of_break};

/// Bytes of a request that are read ahead of its slowest try.
const AHEAD: u64 = 64 * 1024;

/// A message that broke off: whoever gets it must not take it for complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the message broke off")]
pub(crate) struct BrokenOff;

#[derive(Clone, Debug)]
enum Piece {
    Data(Bytes),
    Trailers(Box<HeaderMap>),
}

/// A request's body as far as it has come, for one try or several, and for copies.
#[derive(Debug, Default)]
struct Kept {
    /// What may still be asked for; the first is number `base`.
    pieces: VecDeque<Piece>,
    base: usize,
    /// Whether what every try has taken is kept for further ones.
    keeps: bool,
    end: Option<Ending>,
    /// The next piece of each try that reads.
    readers: Vec<Rc<Cell<usize>>>,
    waiting: Vec<Waker>,
    /// Whoever reads the body in, while it is far enough ahead.
    reader: Option<Waker>,
    paused: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    Whole,
    Broken,
}

/// A request's body, shared by its tries; none: the request is complete with its head.
#[derive(Clone, Debug)]
pub(crate) struct RequestBody(Option<Rc<RefCell<Kept>>>);

impl RequestBody {
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// Whether there is one.
    pub(crate) const fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// A body of which nothing has come yet.
    pub(crate) fn coming() -> Self {
        Self(Some(Rc::new(RefCell::new(Kept {
            keeps: true,
            ..Kept::default()
        }))))
    }

    /// No more of it than its slowest try has yet to take is wanted.
    pub(crate) fn keep_no_longer(&self) {
        if let Some(kept) = &self.0 {
            let mut kept = kept.borrow_mut();
            kept.keeps = false;
            kept.trim();
        }
    }

    pub(crate) fn pause(&self, paused: bool) {
        if let Some(kept) = &self.0 {
            kept.borrow_mut().pause(paused);
        }
    }
}

impl Kept {
    fn push(&mut self, piece: Piece) {
        self.pieces.push_back(piece);
        self.wake();
    }

    fn finish(&mut self, how: Ending) {
        self.end.get_or_insert(how);
        self.wake();
    }

    fn wake(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }

    /// Bytes that the slowest try has yet to take.
    fn ahead(&self) -> u64 {
        let slowest = self.readers.iter().map(|at| at.get()).min();
        let from = slowest.unwrap_or(self.base).saturating_sub(self.base);
        let bytes = self.pieces.iter().skip(from).map(|piece| match piece {
            Piece::Data(data) => data.len() as u64,
            Piece::Trailers(_) => 0,
        });
        bytes.sum()
    }

    /// Forgets what nobody will ask for.
    fn trim(&mut self) {
        if !self.keeps {
            let slowest = self.readers.iter().map(|at| at.get()).min();
            let Some(slowest) = slowest else {
                return;
            };
            while self.base < slowest && self.pieces.pop_front().is_some() {
                self.base += 1;
            }
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn pause(&mut self, paused: bool) {
        self.paused = paused;
        if !paused && let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// Reads a request's body in, at the pace of its tries, and tells the node of it.
pub(crate) async fn read_in(
    handle: Handle,
    exchange: proxy_core::ids::ExchangeId,
    body: RequestBody,
    mut incoming: Incoming,
) {
    let RequestBody(Some(body)) = body else {
        return;
    };
    loop {
        std::future::poll_fn(|cx| {
            let mut kept = body.borrow_mut();
            if kept.paused || kept.ahead() >= AHEAD {
                kept.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        let frame = std::future::poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await;
        match frame {
            None => {
                body.borrow_mut().finish(Ending::Whole);
                return handle.input(Input::RequestEnd { exchange });
            }
            // the node hears of it before any try does: it is no endpoint's fault
            Some(Err(error)) => {
                if is_malformed(&error) {
                    handle.input(Input::RequestBroken { exchange });
                } else {
                    handle.client_gone(exchange);
                }
                return body.borrow_mut().finish(Ending::Broken);
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    let bytes = data.len() as u64;
                    body.borrow_mut().push(Piece::Data(data));
                    handle.input(Input::RequestData { exchange, bytes });
                    let keeps = handle.keeps_body(exchange);
                    let mut body = body.borrow_mut();
                    body.keeps &= keeps;
                    body.trim();
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        let trailers = Piece::Trailers(Box::new(trailers));
                        body.borrow_mut().push(trailers);
                    }
                }
            },
        }
    }
}

/// Whether bytes came that are no body (a chunk without a size), rather than none any more.
fn is_malformed(error: &hyper::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput};
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return matches!(io.kind(), InvalidData | InvalidInput);
        }
        source = cause.source();
    }
    false
}

/// A request's body as one try sends it.
#[derive(Debug)]
pub(crate) struct AttemptBody(Option<Reader>);

#[derive(Debug)]
struct Reader {
    kept: Rc<RefCell<Kept>>,
    next: Rc<Cell<usize>>,
}

impl AttemptBody {
    /// From its start; none: its start is no longer there.
    pub(crate) fn of(body: &RequestBody) -> Self {
        Self(body.0.as_ref().map(|kept| {
            let next = Rc::new(Cell::new(0));
            kept.borrow_mut().readers.push(next.clone());
            Reader {
                kept: kept.clone(),
                next,
            }
        }))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // a body may be dropped while it is being asked for more
        if let Ok(mut kept) = self.kept.try_borrow_mut() {
            kept.readers
                .retain(|reader| !Rc::ptr_eq(reader, &self.next));
            kept.trim();
        }
    }
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let Some(reader) = &self.0 else {
            return Poll::Ready(None);
        };
        let mut kept = reader.kept.borrow_mut();
        let Some(at) = reader.next.get().checked_sub(kept.base) else {
            return Poll::Ready(Some(Err(BrokenOff)));
        };
        let Some(piece) = kept.pieces.get(at).cloned() else {
            return match kept.end {
                Some(Ending::Whole) => Poll::Ready(None),
                Some(Ending::Broken) => Poll::Ready(Some(Err(BrokenOff))),
                None => {
                    kept.waiting.push(cx.waker().clone());
                    Poll::Pending
                }
            };
        };
        reader.next.set(reader.next.get() + 1);
        kept.trim();
        Poll::Ready(Some(Ok(match piece {
            Piece::Data(data) => Frame::data(data),
            Piece::Trailers(trailers) => Frame::trailers(*trailers),
        })))
    }

    fn is_end_stream(&self) -> bool {
        let Some(reader) = &self.0 else {
            return true;
        };
        let kept = reader.kept.borrow();
        let all = reader.next.get() >= kept.base + kept.pieces.len();
        all && kept.end == Some(Ending::Whole)
    }

    fn size_hint(&self) -> SizeHint {
        let Some(reader) = &self.0 else {
            return SizeHint::with_exact(0);
        };
        let kept = reader.kept.borrow();
        if kept.end == Some(Ending::Whole) && reader.next.get() == 0 && kept.base == 0 {
            let data = kept.pieces.iter().map(|piece| match piece {
                Piece::Data(data) => data.len() as u64,
                Piece::Trailers(_) => 0,
            });
            return SizeHint::with_exact(data.sum());
        }
        SizeHint::default()
    }
}

/// A response's body as its client gets it.
pub(crate) enum ResponseBody {
    /// The node's own.
    Own(Option<Bytes>),
    /// A try's, carried on.
    Forwarded(Forwarded),
}

pub(crate) struct Forwarded {
    pub(crate) handle: Handle,
    pub(crate) token: usize,
    pub(crate) attempt: AttemptId,
    pub(crate) incoming: Incoming,
    pub(crate) grpc_status: Option<u32>,
    pub(crate) done: bool,
}

impl Forwarded {
    fn end(&mut self) {
        self.done = true;
        let (attempt, grpc_status) = (self.attempt, self.grpc_status);
        self.handle.input(Input::UpstreamEnd {
            attempt,
            grpc_status,
        });
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let Some(paused) = self.handle.look(|worker| {
            let exchange = worker.exchange(self.token, self.attempt.exchange)?;
            (!exchange.flow.broken).then_some(exchange.flow.paused)
        }) else {
            self.done = true;
            return Poll::Ready(Some(Err(BrokenOff)));
        };
        if !paused && let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
            let attempt = self.attempt;
            return Poll::Ready(match frame {
                None => {
                    self.end();
                    None
                }
                Some(Err(error)) => {
                    self.done = true;
                    let cause = cause_of_break(&error);
                    self.handle.input(Input::UpstreamReset { attempt, cause });
                    Some(Err(BrokenOff))
                }
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        let bytes = data.len() as u64;
                        self.handle.input(Input::UpstreamData { attempt, bytes });
                    } else if let Some(trailers) = frame.trailers_ref() {
                        let status = trailers.get("grpc-status");
                        let status = status.and_then(|status| status.to_str().ok());
                        self.grpc_status = status.and_then(|status| status.parse().ok());
                        let (token, exchange) = (self.token, attempt.exchange);
                        self.handle
                            .look(|worker| worker.keep_trailers(token, exchange, trailers));
                    }
                    // hyper does not ask on for a body whose end it knows, and nothing follows trailers
                    if frame.is_trailers() || self.incoming.is_end_stream() {
                        self.end();
                    }
                    Some(Ok(frame))
                }
            });
        }
        self.handle.look(|worker| {
            if let Some(exchange) = worker.exchange(self.token, self.attempt.exchange) {
                exchange.flow.carrier = Some(cx.waker().clone());
            }
        });
        Poll::Pending
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Own(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Forwarded(forwarded) => forwarded.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_none(),
            Self::Forwarded(forwarded) => forwarded.done,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => SizeHint::with_exact(body.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Forwarded(forwarded) => forwarded.incoming.size_hint(),
        }
    }
}
