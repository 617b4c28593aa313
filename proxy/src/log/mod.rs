//! Access logs: a worker's records in words, on their way to files.
//!
//! Which log has which record is the node's decision; its words are made here, into a buffer of the worker for each file. Buffers go
//! to the process's one writer when they are full, a second after their first line, and at the end; no request waits for a file.

mod clock;
mod facts;
mod json;
mod line;
mod pen;
mod values;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use proxy_core::config::{Name, TraceProvider};
use proxy_core::ids::ExchangeId;
use proxy_core::log::{LogSink, Wants};
use proxy_core::node::{Node, Record};
use rustc_hash::FxHashMap;
use tokio::task::spawn_local;

pub(crate) use clock::{Clock, rfc3339};
pub(crate) use facts::{Client, Facts, Far};
pub(crate) use line::{Said, Speaker, template};
pub(crate) use pen::{Pen, open_all};

use crate::heads::{HeadTable, RequestHead};
use crate::spans::{self, Finished};
use crate::worker::{Handle, Worker};

/// Bytes of a buffer that is full.
///
/// Source: Envoy `--file-flush-min-size-kb`, 64 by default.
const FULL: usize = 64 << 10;
/// How long a line waits at most.
///
/// Departs: Envoy's `--file-flush-interval-msec` is 10 s by default.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What is kept of an exchange until its record is written.
pub(crate) struct Kept {
    wants: Wants,
    /// Whose request it is.
    client: Rc<Client>,
    /// The connection that the latest try was sent over.
    pub(crate) far: Option<Far>,
    /// The head of the response as it was sent.
    sent: Option<(StatusCode, HeaderMap)>,
    trailers: Option<HeaderMap>,
    /// Bytes of the node's own answer, or all to the client of a connection.
    own: u64,
    /// Bytes from the client of a connection.
    received: u64,
    /// What requests of a connection were spoken in.
    version: Option<http::Version>,
}

impl Kept {
    pub(crate) fn new(wants: Wants, client: Rc<Client>) -> Box<Self> {
        Box::new(Self {
            wants,
            client,
            far: None,
            sent: None,
            trailers: None,
            own: 0,
            received: 0,
            version: None,
        })
    }

    /// A response is on its way to the client; `own`: bytes of a body of the node's own.
    pub(crate) fn answer(&mut self, status: StatusCode, headers: &HeaderMap, own: usize) {
        self.own = own as u64;
        if self.wants.response {
            self.sent = Some((status, headers.clone()));
        }
    }

    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {
        if self.wants.trailers {
            self.trailers = Some(trailers.clone());
        }
    }
}

/// Lines of a worker that are yet to be written.
pub(crate) struct Logbook {
    pen: Pen,
    buffers: Vec<(LogSink, Vec<u8>)>,
    /// Whether somebody looks after what waits.
    watched: bool,
    clock: Clock,
    /// What the environment has said.
    environment: FxHashMap<Box<str>, Option<Name>>,
    scratch: Vec<u8>,
}

impl Logbook {
    pub(crate) fn new(pen: Pen, clock: Clock) -> Self {
        Self {
            pen,
            buffers: Vec::new(),
            watched: false,
            clock,
            environment: FxHashMap::default(),
            scratch: Vec::new(),
        }
    }

    fn buffer(&mut self, sink: &LogSink) -> usize {
        let known = self.buffers.iter().position(|(known, _)| known == sink);
        known.unwrap_or_else(|| {
            self.buffers.push((sink.clone(), Vec::with_capacity(FULL)));
            self.buffers.len() - 1
        })
    }

    /// Hands over what is full.
    fn hand_over(&mut self, at: usize) {
        let (sink, buffer) = &mut self.buffers[at];
        if buffer.len() >= FULL {
            self.pen.write(sink, std::mem::take(buffer));
        }
    }

    /// Hands over all that waits.
    pub(crate) fn flush(&mut self) {
        self.watched = false;
        for (sink, buffer) in &mut self.buffers {
            if !buffer.is_empty() {
                self.pen.write(sink, std::mem::take(buffer));
            }
        }
    }
}

impl Drop for Logbook {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Spans of a request, and who gets them.
type Spans = (Arc<TraceProvider>, Vec<Finished>);

/// Writes the lines of a record; gives its spans, and whether there were lines.
fn write(
    (node, heads): (&Node, &HeadTable),
    book: &mut Logbook,
    (found, record): (Record<'_>, u32),
    request: Option<&RequestHead>,
    kept: &Kept,
) -> (Option<Spans>, bool) {
    let environment = std::mem::take(&mut book.environment);
    let mut facts = Facts::new(
        (node, found, record),
        (heads, request),
        kept,
        book.clock,
        environment,
    );
    let mut has_lines = false;
    for log in found.logs() {
        has_lines = true;
        let at = book.buffer(&log.sink);
        let mut scratch = std::mem::take(&mut book.scratch);
        line::write(
            &log.format,
            &mut facts,
            &mut book.buffers[at].1,
            &mut scratch,
        );
        book.scratch = scratch;
        book.hand_over(at);
    }
    let tracing = found.http().and_then(|http| http.tracing.as_deref());
    let spans = tracing.and_then(|tracing| {
        let provider = tracing.provider.as_ref()?;
        let told = spans::Told {
            tracing,
            trace: found.trace?,
            propagation: provider.propagation,
        };
        Some((provider.clone(), spans::of_record(&mut facts, &told)))
    });
    book.environment = facts.environment;
    (spans, has_lines)
}

impl Worker {
    /// Writes a record of an exchange.
    pub(crate) fn log(&mut self, handle: &Handle, token: usize, record: u32) {
        let Some(found) = self.node.logged(record) else {
            return;
        };
        let exchange = self.exchanges.get(token);
        let Some(kept) = exchange.and_then(|exchange| exchange.kept.as_deref()) else {
            return;
        };
        let request = exchange.and_then(|exchange| self.heads.request(exchange.head));
        let from = (&self.node, &self.heads);
        let (spans, has_lines) = write(from, &mut self.logbook, (found, record), request, kept);
        if let Some((provider, spans)) = spans {
            self.keep_spans(handle, &provider, spans);
        }
        if has_lines {
            self.watch_lines(handle);
        }
    }

    /// Writes a record of a client's connection.
    pub(crate) fn log_connection(&mut self, handle: &Handle, token: usize, record: u32) {
        let Some(found) = self.node.logged(record) else {
            return;
        };
        let Some(down) = self.downstreams.get_mut(token) else {
            return;
        };
        let far = found.record.upstream.and_then(|id| self.upstreams.get(&id));
        let (received, sent) = down.pulse.bytes();
        let kept = Kept {
            wants: Wants::default(),
            far: far.and_then(|far| far.far.clone()),
            sent: None,
            trailers: None,
            own: sent,
            received,
            version: down.version,
            client: down.client(),
        };
        let from = (&self.node, &self.heads);
        let (_, has_lines) = write(from, &mut self.logbook, (found, record), None, &kept);
        if has_lines {
            self.watch_lines(handle);
        }
    }

    /// Sees to it that lines do not wait for too long.
    fn watch_lines(&mut self, handle: &Handle) {
        if !std::mem::replace(&mut self.logbook.watched, true) {
            let handle = handle.clone();
            spawn_local(async move {
                tokio::time::sleep(LONGEST_WAIT).await;
                handle.look(|worker| worker.logbook.flush());
            });
        }
    }

    /// Keeps what the record of an exchange is to say of its response's trailers.
    pub(crate) fn keep_trailers(&mut self, token: usize, id: ExchangeId, trailers: &HeaderMap) {
        let exchange = self.exchange(token, id);
        if let Some(kept) = exchange.and_then(|exchange| exchange.kept.as_deref_mut()) {
            kept.trailers(trailers);
        }
    }
}
