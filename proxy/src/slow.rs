//! Clients that send the head of a request so slowly that they hold a connection and nothing else.
//!
//! `hyper` can bound the time of a head, but counts that of an idle connection as well. Here the clock runs only once a head has begun, and
//! a worker looks at the clocks once a second, so that a request pays next to nothing for it.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tls::Io;
use crate::worker::Handle;

/// How long the head of a request may take on HTTP/1.1.
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
}

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

    fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    fn read(&self, bytes: &[u8]) {
        if self.since.load(Ordering::Relaxed) == 0 && self.busy() == 0 && !self.is_http2() {
            let is_http2 = bytes.starts_with(b"PRI ");
            self.is_http2.store(is_http2, Ordering::Relaxed);
            self.since.store(SECOND.get(), Ordering::Relaxed);
        }
    }

    fn is_too_slow(&self, now: u32) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        since > 0 && self.busy() == 0 && !self.is_http2() && now - since > LIMIT
    }
}

/// Closes the connections of clients that are too slow, as long as it is polled.
pub(crate) async fn watch(handle: Handle) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let now = SECOND.get() + 1;
        SECOND.set(now);
        let slow: Vec<usize> = handle.look(|worker| {
            let all = worker.downstreams.iter();
            let slow = all.filter(|(_, down)| down.pulse.is_too_slow(now));
            slow.map(|(token, _)| token).collect()
        });
        for token in slow {
            handle.look(|worker| worker.downstreams[token].abort());
            handle.closed(token);
        }
    }
}

/// A client's connection whose reads are noticed.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) io: Io,
    pub(crate) pulse: Arc<Pulse>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, into);
        if into.filled().len() > before {
            self.pulse.read(&into.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
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
        pulse.read(b"GE");
        assert!(!pulse.is_too_slow(late - 1), "in time");
        assert!(pulse.is_too_slow(late));
        pulse.begin();
        pulse.read(b"a body");
        assert!(!pulse.is_too_slow(late), "busy");
        pulse.end();
        assert!(!pulse.is_too_slow(late), "idle again");
        let pulse = Pulse::default();
        pulse.read(b"PRI * HTTP/2.0\r\n\r\n");
        assert!(!pulse.is_too_slow(late), "HTTP/2");
    }
}
