//! Spans: what has become of traced requests, on its way to whoever gathers it.
//!
//! Which requests have spans, and their ids, is the node's decision; here they are put into words, wait for company, and are sent. No
//! request waits for that: spans that find no room are dropped and counted.

mod collector;
mod otlp;
mod tags;
mod zipkin;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proxy_core::config::{ExportProtocol, TraceExport, TraceProvider};
use tokio::task::spawn_local;

use crate::stats::Stats;
use crate::voice::say;
use crate::worker::{Handle, Worker};
pub(crate) use collector::Found;
use collector::{Collector, Taken};
pub(crate) use tags::{Told, of_record};

/// How long spans are waited for at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// What stood between two moments.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    trace: u128,
    /// Whether the trace's id is told with 128 bits.
    wide: bool,
    id: u64,
    parent: Option<u64>,
    /// Whether the parent came with the request.
    remote: bool,
    /// Whether it is the span of the client, too.
    shared: bool,
    state: Box<str>,
    name: String,
    kind: Kind,
    /// Nanoseconds since 1970.
    start: u64,
    end: u64,
    tags: Vec<(Cow<'static, str>, String)>,
    events: Vec<(u64, &'static str)>,
    /// Whether it is one of something that went wrong.
    failed: bool,
}

/// Which side of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Server,
    Client,
}

/// Spans of a worker that are yet to be sent.
#[derive(Default)]
pub(crate) struct Spans(Vec<Queue>);

/// Those that go to one provider.
struct Queue {
    provider: Arc<TraceProvider>,
    waiting: Vec<Finished>,
    /// Spans that are being sent.
    sending: usize,
    /// Whether somebody looks after those that wait.
    watched: bool,
    collector: Option<Collector>,
    turn: u64,
}

impl Spans {
    fn queue(&mut self, provider: &Arc<TraceProvider>) -> usize {
        let is_it = |it: &Queue| Arc::ptr_eq(&it.provider, provider) || it.provider == *provider;
        let known = self.0.iter().position(is_it);
        known.unwrap_or_else(|| {
            self.0.push(Queue {
                provider: provider.clone(),
                waiting: Vec::new(),
                sending: 0,
                watched: false,
                collector: None,
                turn: 0,
            });
            self.0.len() - 1
        })
    }

    /// Whether all are sent.
    fn is_empty(&self) -> bool {
        let mut all = self.0.iter();
        all.all(|it| it.waiting.is_empty() && it.sending == 0)
    }
}

/// Where spans of a protocol are counted: sent, dropped, sent by the clock.
fn counters(stats: &Stats, protocol: ExportProtocol) -> [&AtomicU64; 3] {
    match protocol {
        ExportProtocol::OtlpHttp | ExportProtocol::OtlpGrpc => [
            &stats.otlp_spans_sent,
            &stats.otlp_spans_dropped,
            &stats.otlp_timer_flushed,
        ],
        ExportProtocol::ZipkinJson => [
            &stats.zipkin_spans_sent,
            &stats.zipkin_spans_dropped,
            &stats.zipkin_timer_flushed,
        ],
    }
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

impl Worker {
    /// Takes the spans of a request that is over.
    pub(crate) fn keep_spans(
        &mut self,
        handle: &Handle,
        provider: &Arc<TraceProvider>,
        spans: Vec<Finished>,
    ) {
        let at = self.spans.queue(provider);
        let queue = &mut self.spans.0[at];
        let capacity = provider.export.capacity as usize;
        let room = capacity.saturating_sub(queue.waiting.len() + queue.sending);
        let [_, dropped, _] = counters(&self.stats, provider.export.protocol);
        add(dropped, spans.len().saturating_sub(room));
        queue.waiting.extend(spans.into_iter().take(room));
        if queue.waiting.len() >= provider.export.batch as usize {
            self.send_spans(handle, at);
        } else if !queue.waiting.is_empty() && !std::mem::replace(&mut queue.watched, true) {
            let wait = Duration::from_nanos(provider.export.interval.as_nanos());
            let handle = handle.clone();
            spawn_local(async move {
                tokio::time::sleep(wait).await;
                handle.look(|worker| worker.send_late_spans(&handle, at));
            });
        }
    }

    /// The few spans that there are have waited long enough.
    fn send_late_spans(&mut self, handle: &Handle, at: usize) {
        let queue = &mut self.spans.0[at];
        queue.watched = false;
        let [.., timed] = counters(&self.stats, queue.provider.export.protocol);
        add(timed, 1);
        self.send_spans(handle, at);
    }

    /// Sends what waits, unless others are under way: they see to it when they are there.
    fn send_spans(&mut self, handle: &Handle, at: usize) {
        let queue = &mut self.spans.0[at];
        if queue.sending > 0 || queue.waiting.is_empty() {
            return;
        }
        let spans = std::mem::take(&mut queue.waiting);
        queue.sending = spans.len();
        let provider = queue.provider.clone();
        let collector = queue.collector.take();
        queue.turn += 1;
        let turn = queue.turn;
        let handle = handle.clone();
        spawn_local(async move {
            let export = &provider.export;
            let message = written(export, &spans);
            let sent = collector::send(&handle, export, turn, collector, message).await;
            handle.look(|worker| worker.spans_sent(&handle, at, sent));
        });
    }

    fn spans_sent(
        &mut self,
        handle: &Handle,
        at: usize,
        (collector, taken): (Option<Collector>, Taken),
    ) {
        let queue = &mut self.spans.0[at];
        queue.collector = collector;
        let count = std::mem::take(&mut queue.sending);
        let export = &queue.provider.export;
        let [sent, dropped, _] = counters(&self.stats, export.protocol);
        add(if taken == Taken::All { sent } else { dropped }, count);
        if taken != Taken::All {
            let cluster = &export.cluster;
            say!(
                Tracing,
                Debug,
                "{count} spans are lost, cluster {cluster}: {taken:?}"
            );
        }
        if export.protocol == ExportProtocol::ZipkinJson {
            Stats::count(match taken {
                Taken::All => &self.stats.zipkin_reports_sent,
                Taken::Refused => &self.stats.zipkin_reports_dropped,
                Taken::Nobody => &self.stats.zipkin_reports_failed,
            });
        }
        if queue.waiting.len() >= export.batch as usize {
            self.send_spans(handle, at);
        }
    }
}

impl Handle {
    /// Sends all spans that wait, and waits for them, though not for long.
    pub(crate) async fn take_leave_of_spans(&self) {
        let until = crate::clock::now() + FAREWELL;
        loop {
            let is_done = self.look(|worker| {
                for at in 0..worker.spans.0.len() {
                    worker.send_spans(self, at);
                }
                worker.spans.is_empty()
            });
            if is_done || crate::clock::now() >= until {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Spans as their protocol has them.
fn written(export: &TraceExport, spans: &[Finished]) -> Vec<u8> {
    match export.protocol {
        ExportProtocol::OtlpHttp => otlp::message(export, spans),
        ExportProtocol::OtlpGrpc => otlp::framed(&otlp::message(export, spans)),
        ExportProtocol::ZipkinJson => zipkin::message(export, spans),
    }
}
