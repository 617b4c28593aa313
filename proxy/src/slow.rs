//! Clients that send the head of a request so slowly that they hold a connection and nothing else.
//!
//! `hyper` can bound the time of a head, but counts that of an idle connection as well. Here the clock runs only once a head has begun, and
//! a worker looks at the clocks once a second, so that a request pays next to nothing for it.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use proxy_core::time::Time;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::downstream::PREFACE;
use crate::stats::Stats;
use crate::tls::Io;
use crate::worker::Handle;

/// How long the head of a request may take on HTTP/1.1 where nothing is said.
const LIMIT: u32 = 60;

thread_local! {
    /// Seconds that this worker has been at work; from 1.
    static SECOND: Cell<u32> = const { Cell::new(1) };
}

/// What a connection is doing. One thread has it, but what reads a connection that may be upgraded must be such that it could leave its thread.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Requests that are being served.
    busy: AtomicU32,
    /// The second in which the head that is being read has begun; 0: none is.
    since: AtomicU32,
    /// On HTTP/2 bytes need not be those of a request, and frames have bounds of their own.
    is_http2: AtomicBool,
    /// Seconds that the head of a request may take; 0: [`LIMIT`].
    limit: AtomicU32,
    /// Bytes from the client, and to it.
    received: AtomicU64,
    sent: AtomicU64,
    /// When bytes were carried last, in nanoseconds of the worker's time.
    last: AtomicU64,
    /// Whether the client's time for a head is over.
    late: AtomicBool,
}

/// What a client is told whose head took too long. No request has come of it, so there is nothing that a route could say of the answer.
///
/// Source: envoy `source/common/http/conn_manager_impl.cc` (`ActiveStream::onRequestHeaderTimeout`).
const TOO_LATE: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

impl Pulse {
    /// How many requests are being served.
    pub(crate) fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self) {
        self.busy.store(self.busy() + 1, Ordering::Relaxed);
        self.since.store(0, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        let left = self.busy().saturating_sub(1);
        self.busy.store(left, Ordering::Relaxed);
        self.since.store(0, Ordering::Relaxed);
    }

    /// Bounds the time of heads, to whole seconds.
    pub(crate) fn bound_heads(&self, limit: Duration) {
        let seconds = limit.as_secs() + u64::from(limit.subsec_nanos() > 0);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX).max(1);
        self.limit.store(seconds, Ordering::Relaxed);
    }

    /// Bytes from the client, and to it.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (of(&self.received), of(&self.sent))
    }

    /// When bytes were carried last.
    pub(crate) fn last(&self) -> Time {
        Time::from_nanos(self.last.load(Ordering::Relaxed))
    }

    fn count(counter: &AtomicU64, bytes: usize) {
        // one thread counts
        let sum = counter.load(Ordering::Relaxed) + bytes as u64;
        counter.store(sum, Ordering::Relaxed);
    }

    fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    fn read(&self) {
        if self.since.load(Ordering::Relaxed) == 0 && self.busy() == 0 && !self.is_http2() {
            self.since.store(SECOND.get(), Ordering::Relaxed);
        }
    }

    fn speaks_http2(&self) {
        self.is_http2.store(true, Ordering::Relaxed);
    }

    fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }

    fn is_too_slow(&self, now: u32) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        let limit = match self.limit.load(Ordering::Relaxed) {
            0 => LIMIT,
            limit => limit,
        };
        since > 0 && self.busy() == 0 && !self.is_http2() && !self.is_late() && now - since > limit
    }
}

/// Sends clients that are too slow away, as long as it is polled.
pub(crate) async fn watch(handle: Handle) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let now = SECOND.get() + 1;
        SECOND.set(now);
        handle.look(|worker| {
            for (_, down) in &worker.downstreams {
                if down.pulse.is_too_slow(now) {
                    Stats::count(&worker.stats.downstream_rq_header_timeout);
                    down.pulse.late.store(true, Ordering::Relaxed);
                    down.close.nudge();
                }
            }
        });
    }
}

/// A client's connection whose reads are noticed.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) io: Io,
    pub(crate) pulse: Arc<Pulse>,
    /// When the worker's time began, where it is noticed when bytes come.
    pub(crate) timed: Option<Instant>,
    /// What was read to see what is spoken, and is to be read again.
    first: Vec<u8>,
}

/// What the first bytes of a connection that is read for requests are read into; with them the first request, as a rule.
const FIRST: usize = 1024;

impl Watched {
    pub(crate) const fn new(io: Io, pulse: Arc<Pulse>, timed: Option<Instant>) -> Self {
        Self {
            io,
            pulse,
            timed,
            first: Vec::new(),
        }
    }

    /// Reads until it is seen whether the client speaks HTTP/2 or something else, which is then HTTP/1 or nothing. What was read is
    /// read once more by whoever reads on.
    ///
    /// Source: RFC 9113 §3.4.
    pub(crate) fn poll_http2(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let length = self.first.len().min(PREFACE.len());
            if length == PREFACE.len() || self.first[..length] != PREFACE[..length] {
                let is_http2 = self.first[..length] == PREFACE[..length];
                if is_http2 {
                    self.pulse.speaks_http2();
                }
                return Poll::Ready(Ok(is_http2));
            }
            let mut space = [const { MaybeUninit::uninit() }; FIRST];
            let mut into = ReadBuf::uninit(&mut space);
            ready!(self.poll_new(cx, &mut into))?;
            if into.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.first.extend_from_slice(into.filled());
        }
    }

    fn poll_new(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.pulse.is_late() {
            // what does not fit into the socket's buffer now would only keep the client longer
            let said = Pin::new(&mut self.io).poll_write(cx, TOO_LATE);
            self.wrote(&said);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = into.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, into);
        let came = into.filled().len() - before;
        if came > 0 {
            Pulse::count(&self.pulse.received, came);
            self.pulse.read();
            self.notice();
        }
        read
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            Pulse::count(&self.pulse.sent, *bytes);
            self.notice();
        }
    }

    fn notice(&self) {
        if let Some(started) = self.timed {
            let nanos = (crate::clock::now() - started).as_nanos();
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
            self.pulse.last.store(nanos, Ordering::Relaxed);
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return self.poll_new(cx, into);
        }
        let again = self.first.len().min(into.remaining());
        into.put_slice(&self.first[..again]);
        if again == self.first.len() {
            self.first = Vec::new();
        } else {
            self.first.drain(..again);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_head_that_has_begun_is_timed() {
        let pulse = Pulse::default();
        let late = SECOND.get() + LIMIT + 1;
        assert!(!pulse.is_too_slow(late), "idle");
        pulse.read();
        assert!(!pulse.is_too_slow(late - 1), "in time");
        assert!(pulse.is_too_slow(late));
        pulse.late.store(true, Ordering::Relaxed);
        assert!(!pulse.is_too_slow(late), "it knows");
        pulse.late.store(false, Ordering::Relaxed);
        pulse.begin();
        pulse.read();
        assert!(!pulse.is_too_slow(late), "busy");
        pulse.end();
        assert!(!pulse.is_too_slow(late), "idle again");
        let pulse = Pulse::default();
        pulse.read();
        pulse.speaks_http2();
        assert!(!pulse.is_too_slow(late), "HTTP/2");
    }
}
