//! Writes of many streams that leave as one.
//!
//! `h2` hands each frame with data to its connection by itself. A write costs more than all else that is done for a small answer, and under
//! TLS each makes a record of its own. So what is written stays here until all tasks that were ready have had their turn, and leaves at
//! once. Nothing waits for a clock.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::spawn_local;

/// Bytes that are held back at most: whoever writes more waits until these have left.
const ROOM: usize = 64 * 1024;
/// A write of so many bytes is cheaper than their copy.
const LARGE: usize = 16 * 1024;
/// What is kept of the memory of a connection that has said everything.
const KEPT: usize = 16 * 1024;

/// A connection whose writes are gathered. To be made on the thread that serves it, in a `LocalSet`.
#[derive(Debug)]
pub(crate) struct Gathered<S>(Rc<Gathering<S>>);

/// As long as it is busy the task that writes them is the only one that asks the stream whether it takes some, and otherwise
/// whoever has the connection: a stream wakes only the one who asked last.
#[derive(Debug)]
struct Gathering<S> {
    stream: RefCell<S>,
    said: RefCell<BytesMut>,
    /// Whether something of what was said has not left yet, be it here or in the stream.
    busy: Cell<bool>,
    /// Writes what was said.
    scribe: RefCell<Option<Waker>>,
    /// Waits until that is done.
    waiting: RefCell<Option<Waker>>,
    failed: Cell<Option<io::ErrorKind>>,
    /// Whether nobody has the connection any more.
    left: Cell<bool>,
}

impl<S: AsyncWrite + Unpin + 'static> Gathered<S> {
    pub(crate) fn new(stream: S) -> Self {
        let shared = Rc::new(Gathering {
            stream: RefCell::new(stream),
            said: RefCell::default(),
            busy: Cell::new(false),
            scribe: RefCell::default(),
            waiting: RefCell::default(),
            failed: Cell::new(None),
            left: Cell::new(false),
        });
        let scribe = shared.clone();
        spawn_local(std::future::poll_fn(move |cx| scribe.poll_write_out(cx)));
        Self(shared)
    }
}

impl<S: AsyncWrite + Unpin> Gathering<S> {
    /// Writes what was said whenever something was; ready when nobody will say more.
    fn poll_write_out(&self, cx: &mut Context<'_>) -> Poll<()> {
        keep(&self.scribe, cx);
        if self.busy.get() {
            match self.poll_empty(cx) {
                // a peer that reads nothing is not waited for by nobody
                Poll::Pending if self.left.get() => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.failed.set(Some(error.kind()));
                    *self.said.borrow_mut() = BytesMut::new();
                }
            }
            self.busy.set(false);
            if let Some(waiting) = self.waiting.take() {
                waiting.wake();
            }
        }
        if self.left.get() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = self.stream.borrow_mut();
        let mut said = self.said.borrow_mut();
        while !said.is_empty() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, &said))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => said.advance(written),
            }
        }
        said.clear();
        if said.capacity() > KEPT {
            *said = BytesMut::new();
        }
        Pin::new(&mut *stream).poll_flush(cx)
    }

    /// Ready once all that was said has left.
    fn poll_said(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if let Some(kind) = self.failed.get() {
            return Poll::Ready(Err(kind.into()));
        }
        if !self.busy.get() {
            return Poll::Ready(Ok(()));
        }
        keep(&self.waiting, cx);
        Poll::Pending
    }

    fn say(&self, bytes: &[IoSlice<'_>]) {
        let mut said = self.said.borrow_mut();
        bytes.iter().for_each(|part| said.extend_from_slice(part));
        if !self.busy.replace(true)
            && let Some(scribe) = &*self.scribe.borrow()
        {
            scribe.wake_by_ref();
        }
    }
}

/// Keeps the waker of whoever looks.
fn keep(place: &RefCell<Option<Waker>>, cx: &Context<'_>) {
    let mut place = place.borrow_mut();
    match &mut *place {
        Some(known) => known.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

impl<S> Drop for Gathered<S> {
    fn drop(&mut self) {
        self.0.left.set(true);
        if let Some(scribe) = &*self.0.scribe.borrow() {
            scribe.wake_by_ref();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bytes.iter().map(|part| part.len()).sum();
        let shared = &*self.0;
        if length >= LARGE {
            ready!(shared.poll_said(cx))?;
            return Pin::new(&mut *shared.stream.borrow_mut()).poll_write_vectored(cx, bytes);
        }
        if shared.failed.get().is_some() || shared.said.borrow().len() + length > ROOM {
            ready!(shared.poll_said(cx))?;
        }
        shared.say(bytes);
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What is held back leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &*self.0;
        if let Some(kind) = shared.failed.get() {
            return Poll::Ready(Err(kind.into()));
        }
        if shared.busy.get() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut *shared.stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_said(cx))?;
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::LocalSet;

    use super::*;

    /// Counts how often it is written to.
    struct Counting(Rc<Cell<usize>>, DuplexStream);

    impl AsyncWrite for Counting {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.set(self.0.get() + 1);
            Pin::new(&mut self.1).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.1).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.1).poll_shutdown(cx)
        }
    }

    fn on_one_thread<T>(what: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, what)
    }

    #[test]
    fn what_is_written_in_one_turn_leaves_in_one_write() {
        on_one_thread(async {
            let writes = Rc::new(Cell::new(0));
            let (near, mut far) = duplex(1 << 20);
            let mut gathered = Gathered::new(Counting(writes.clone(), near));
            tokio::task::yield_now().await;
            for _ in 0..10 {
                gathered.write_all(b"frame").await.unwrap();
                gathered.flush().await.unwrap();
            }
            assert_eq!(writes.get(), 0, "the turn is not over");
            let mut came = [0; 50];
            far.read_exact(&mut came).await.unwrap();
            assert_eq!(writes.get(), 1);
            assert_eq!(came, *b"frame".repeat(10));
        });
    }

    #[test]
    fn what_was_said_still_leaves_when_the_connection_is_let_go() {
        on_one_thread(async {
            let (near, mut far) = duplex(1 << 20);
            let mut gathered = Gathered::new(near);
            gathered.write_all(b"goodbye").await.unwrap();
            drop(gathered);
            let mut came = Vec::new();
            far.read_to_end(&mut came).await.unwrap();
            assert_eq!(came, b"goodbye");
        });
    }

    #[test]
    fn a_peer_that_has_gone_is_an_error_of_the_next_write() {
        on_one_thread(async {
            let (near, far) = duplex(1 << 20);
            let mut gathered = Gathered::new(near);
            drop(far);
            gathered.write_all(b"into the void").await.unwrap();
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            let error = gathered.write_all(b"again").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            assert!(gathered.shutdown().await.is_err());
        });
    }

    proptest! {
        /// Whatever is written, and however slowly it is read, all of it comes, in order, and no more is held back than there is room for.
        #[test]
        fn all_bytes_come_in_order(
            writes in prop::collection::vec((0usize..40_000, any::<bool>()), 1..40),
            room in 1usize..50_000,
        ) {
            on_one_thread(async {
                let (near, mut far) = duplex(room);
                let total: usize = writes.iter().map(|(length, _)| length).sum();
                let reader = spawn_local(async move {
                    let mut came = Vec::new();
                    far.read_to_end(&mut came).await.unwrap();
                    came
                });
                let mut gathered = Gathered::new(near);
                let mut next = 0u8;
                for (length, yields) in writes {
                    let bytes: Vec<u8> = (0..length)
                        .map(|_| {
                            next = next.wrapping_mul(5).wrapping_add(3);
                            next
                        })
                        .collect();
                    gathered.write_all(&bytes).await.unwrap();
                    assert!(gathered.0.said.borrow().len() <= ROOM);
                    if yields {
                        tokio::task::yield_now().await;
                    }
                }
                poll_fn(|cx| Pin::new(&mut gathered).poll_shutdown(cx)).await.unwrap();
                drop(gathered);
                let came = reader.await.unwrap();
                assert_eq!(came.len(), total);
                let mut want = 0u8;
                for byte in came {
                    want = want.wrapping_mul(5).wrapping_add(3);
                    assert_eq!(byte, want);
                }
            });
        }
    }
}
