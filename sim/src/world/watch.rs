//! Chosen requests watched on their way: spans on lanes, with every decision as a mark.

use proxy_core::draw::{DrawKey, Purpose};
use proxy_core::event::{AttemptRecord, Decision};
use proxy_core::node::Target;
use proxy_core::origin::OriginId;
use proxy_core::time::Time;
use reports::outcome::{Outcome, Refusal};
use reports::waterfall::{Chosen, Lane, LaneKind, Mark, Span, SpanKind, Waterfall};
use rustc_hash::FxHashMap;
use scenarios::app::Note;
use scenarios::client::Asked;
use smallvec::SmallVec;

use super::World;
use crate::decisions;
use crate::slab::Key;

/// Successes kept to find a typical one among.
const SAMPLE: usize = 256;

/// A request of a run, worth a closer look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pick {
    /// Why.
    pub chosen: Chosen,
    /// Its load's place in the plan.
    pub load: u32,
    /// Who asked, in a closed load.
    pub user: Option<u32>,
    /// Its number, of its user where there is one.
    pub number: u64,
}

/// Chooses requests while a run goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chooser {
    slowest: Option<(u64, Pick)>,
    failed: Option<Pick>,
    /// Successes with the smallest hashes, with their latencies.
    sample: Vec<(u64, u64, Pick)>,
    worst: u64,
}

impl Chooser {
    fn see(&mut self, pick: Pick, key: DrawKey, latency: u64, failed: bool) {
        if failed && self.failed.is_none() {
            let chosen = Chosen::Failed;
            self.failed = Some(Pick { chosen, ..pick });
        }
        if self.slowest.is_none_or(|(most, _)| latency > most) {
            let chosen = Chosen::Slowest;
            self.slowest = Some((latency, Pick { chosen, ..pick }));
        }
        if failed {
            return;
        }
        let hash = key.bits(Purpose::Bootstrap, 0);
        if self.sample.len() < SAMPLE {
            self.sample.push((hash, latency, pick));
            self.worst = self.worst.max(hash);
        } else if hash < self.worst {
            let at = self.sample.iter().position(|(h, ..)| *h == self.worst);
            if let Some(at) = at {
                self.sample[at] = (hash, latency, pick);
            }
            self.worst = self.sample.iter().map(|(h, ..)| *h).max().unwrap_or(0);
        }
    }

    /// A typical request, the slowest and a failed one, as far as there are any; none twice.
    pub(crate) fn picks(mut self) -> Vec<Pick> {
        self.sample
            .sort_unstable_by_key(|(hash, latency, _)| (*latency, *hash));
        let typical = self.sample.get(self.sample.len() / 2);
        let mut picks: Vec<Pick> = Vec::new();
        let all = typical.map(|(_, _, pick)| *pick).into_iter();
        for pick in all
            .chain(self.slowest.map(|(_, pick)| pick))
            .chain(self.failed)
        {
            let same = |other: &Pick| {
                (other.load, other.user, other.number) == (pick.load, pick.user, pick.number)
            };
            if !picks.iter().any(same) {
                picks.push(pick);
            }
        }
        picks
    }
}

/// Requests being watched.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    wanted: Vec<Pick>,
    watched: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    pick: Pick,
    request: String,
    outcome: String,
    failed: bool,
    start: Time,
    end: Option<Time>,
    lanes: Vec<Lane>,
    spans: Vec<Span>,
    streams: FxHashMap<Key, Spans>,
}

/// What belongs to one request on one connection.
#[derive(Clone, Copy, Debug, Default)]
struct Spans {
    /// The try, on its sender's lane.
    attempt: Option<u32>,
    /// What its server does, on the server's lane.
    exchange: Option<u32>,
    waiting: Option<u32>,
    working: Option<u32>,
}

impl Watch {
    pub(crate) fn new(wanted: Vec<Pick>) -> Self {
        Self {
            wanted,
            watched: Vec::new(),
        }
    }

    /// Whether everything that was wanted has been seen to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.watched.len() == self.wanted.len() && self.watched.iter().all(|it| it.end.is_some())
    }

    /// What was seen, in the order in which it was wanted.
    pub(crate) fn finish(mut self, now: Time) -> Vec<Waterfall> {
        let order = |pick: &Pick| self.wanted.iter().position(|it| it == pick);
        self.watched.sort_by_key(|watched| order(&watched.pick));
        let all = self.watched.into_iter();
        all.map(|watched| watched.finish(now)).collect()
    }
}

impl Watched {
    fn lane(&mut self, name: String, kind: LaneKind) -> u32 {
        let known = self.lanes.iter().position(|lane| lane.name == name);
        let at = known.unwrap_or_else(|| {
            self.lanes.push(Lane { name, kind });
            self.lanes.len() - 1
        });
        at as u32
    }

    fn open(
        &mut self,
        lane: u32,
        parent: Option<u32>,
        now: Time,
        kind: SpanKind,
        name: String,
    ) -> u32 {
        self.spans.push(Span {
            lane,
            parent,
            start_ns: now.as_nanos(),
            end_ns: u64::MAX,
            kind,
            name,
            outcome: String::new(),
            failed: false,
            marks: Vec::new(),
        });
        self.spans.len() as u32 - 1
    }

    fn close(&mut self, span: Option<u32>, now: Time, outcome: &str, failed: bool) {
        if let Some(span) = span
            && self.spans[span as usize].end_ns == u64::MAX
        {
            let span = &mut self.spans[span as usize];
            span.end_ns = now.as_nanos();
            outcome.clone_into(&mut span.outcome);
            span.failed = failed;
        }
    }

    fn finish(mut self, now: Time) -> Waterfall {
        let end = self.end.unwrap_or(now).as_nanos();
        for span in &mut self.spans {
            if span.end_ns == u64::MAX {
                // what goes on after the answer is shown up to it
                span.end_ns = end.max(span.start_ns);
                "still under way".clone_into(&mut span.outcome);
            }
        }
        let last = self.spans.iter().map(|span| span.end_ns).max();
        Waterfall {
            chosen: self.pick.chosen,
            request: self.request,
            outcome: self.outcome,
            failed: self.failed,
            start_ns: self.start.as_nanos(),
            end_ns: last.unwrap_or(end).max(end),
            lanes: self.lanes,
            spans: self.spans,
        }
    }
}

impl World<'_> {
    /// The number of a watched request, plus one; 0 for all others.
    pub(super) fn watch_request(&mut self, load: u32, asked: &Asked) -> u32 {
        if self.is_traced() {
            self.trace_request(asked);
            return 1;
        }
        let Some(watch) = &mut self.watch else {
            return 0;
        };
        let is_it =
            |pick: &Pick| (pick.load, pick.user, pick.number) == (load, asked.user, asked.number);
        if let Some(at) = watch.watched.iter().position(|it| is_it(&it.pick)) {
            return at as u32 + 1;
        }
        let Some(pick) = watch.wanted.iter().copied().find(is_it) else {
            return 0;
        };
        let template = &self.plan.requests[asked.request.index()];
        let request = format!(
            "{} {}{}",
            template.method, template.authority, template.path
        );
        let mut watched = Watched {
            pick,
            request: request.clone(),
            outcome: String::new(),
            failed: false,
            start: asked.intended,
            end: None,
            lanes: Vec::new(),
            spans: Vec::new(),
            streams: FxHashMap::default(),
        };
        let name = format!("{} client", self.plan.loads[load as usize].name);
        let lane = watched.lane(name, LaneKind::Client);
        watched.open(lane, None, asked.intended, SpanKind::Exchange, request);
        watch.watched.push(watched);
        watch.watched.len() as u32
    }

    #[inline]
    fn watching(&mut self, key: Key) -> Option<&mut Watched> {
        let watched = self.streams.get(key)?.watched;
        if watched == 0 {
            return None;
        }
        self.watch.as_mut()?.watched.get_mut(watched as usize - 1)
    }

    /// A try begins, on behalf of the request that `outer` is; none: of the client's.
    pub(super) fn watch_try(&mut self, key: Key, outer: Option<Key>, what: &str, number: u32) {
        if self.watch.is_none() {
            return;
        }
        let now = self.now;
        let Some(watched) = self.watching(key) else {
            return;
        };
        let parent = match outer {
            None => Some(0),
            Some(outer) => watched.streams.get(&outer).and_then(|spans| spans.exchange),
        };
        let lane = parent.map_or(0, |parent| watched.spans[parent as usize].lane);
        let name = match number {
            0 | 1 => what.to_owned(),
            number => format!("{what}, try {number}"),
        };
        let span = watched.open(lane, parent, now, SpanKind::Attempt, name);
        watched.streams.entry(key).or_default().attempt = Some(span);
    }

    /// A request has reached a proxy, or the application of a pod.
    pub(super) fn watch_arrival(&mut self, key: Key, worker: Option<u32>, pod: u32) {
        self.trace_arrival(key, worker, pod);
        if self.watch.is_none() {
            return;
        }
        let now = self.now;
        let pod = &self.pods[pod as usize];
        let (name, kind) = match worker {
            None => (pod.name.to_string(), LaneKind::Application),
            Some(worker) => {
                let proxy = self.workers[worker as usize].proxy;
                if pod.gateway == Some(proxy) {
                    (format!("{} gateway", pod.name), LaneKind::Gateway)
                } else {
                    (format!("{} sidecar", pod.name), LaneKind::Sidecar)
                }
            }
        };
        let Some(head) = self.streams.get(key).map(|stream| stream.head) else {
            return;
        };
        let content = self.heads.content(head);
        let what = format!("{} {}{}", content.method, content.authority, content.path);
        let Some(watched) = self.watching(key) else {
            return;
        };
        let parent = watched.streams.get(&key).and_then(|spans| spans.attempt);
        let lane = watched.lane(name, kind);
        let span = watched.open(lane, parent, now, SpanKind::Exchange, what);
        watched.streams.entry(key).or_default().exchange = Some(span);
    }

    /// The server has answered.
    pub(super) fn watch_answer(&mut self, key: Key, status: u16) {
        self.trace_answer(key, status);
        if self.watch.is_none() {
            return;
        }
        let now = self.now;
        let Some(watched) = self.watching(key) else {
            return;
        };
        let spans = watched.streams.get(&key).copied().unwrap_or_default();
        watched.close(spans.exchange, now, &status.to_string(), status >= 500);
    }

    /// A try is over for who sent it.
    pub(super) fn watch_back(&mut self, key: Key, outcome: &str, failed: bool) {
        if self.watch.is_none() {
            return;
        }
        let now = self.now;
        let Some(watched) = self.watching(key) else {
            return;
        };
        let spans = watched.streams.get(&key).copied().unwrap_or_default();
        watched.close(spans.attempt, now, outcome, failed);
    }

    /// A response of this status has reached who sent the try.
    pub(super) fn watch_status(&mut self, key: Key, status: u16) {
        if self.watch.is_some() {
            self.watch_back(key, &status.to_string(), status >= 500);
        }
    }

    pub(super) fn watch_note(&mut self, token: u64, note: Note) {
        let (now, key) = (self.now, Key::of(token));
        let Some(watched) = self.watching(key) else {
            return;
        };
        let mut spans = watched.streams.get(&key).copied().unwrap_or_default();
        let lane = spans
            .exchange
            .map_or(0, |span| watched.spans[span as usize].lane);
        let mut wait = |watched: &mut Watched, what: &str| {
            let span = watched.open(
                lane,
                spans.exchange,
                now,
                SpanKind::Waiting,
                what.to_owned(),
            );
            spans.waiting = Some(span);
        };
        match note {
            Note::Queued => wait(watched, "waits for a slot"),
            Note::Resumes => wait(watched, "waits for a slot again"),
            Note::Began | Note::Resumed => watched.close(spans.waiting.take(), now, "", false),
            Note::Works { on_cores } => {
                let what = if on_cores { "computes" } else { "works" };
                let kind = SpanKind::Working;
                let span = watched.open(lane, spans.exchange, now, kind, what.to_owned());
                spans.working = Some(span);
            }
            Note::Worked => watched.close(spans.working.take(), now, "", false),
            Note::Released => {}
        }
        watched.streams.insert(key, spans);
    }

    pub(super) fn watch_decision(
        &mut self,
        worker: u32,
        target: Target,
        decision: Decision,
        origin: OriginId,
    ) {
        let Target::Exchange(_, token) = target else {
            return;
        };
        let key = Key::of(token);
        self.trace_decision(worker, key, &decision, origin);
        if self.watch.is_none() || self.streams.get(key).is_none_or(|s| s.watched == 0) {
            return;
        }
        let node = &self.workers[worker as usize].node;
        let text = decisions::words(node, &decision, &|address| {
            let pod = self.by_ip.get(&address.ip());
            pod.map(|pod| self.pods[*pod as usize].name.to_string())
        });
        let text = if matches!(decision, Decision::Timeout { .. }) {
            // so that nobody reads that it has passed
            format!("sets a {text}")
        } else {
            text
        };
        self.mark(key, text, origin);
    }

    /// A proxy closes a connection because its policy refuses it: that is what becomes of the requests on it.
    pub(super) fn watch_refused(&mut self, at: Key, worker: u32, why: Refusal, origin: OriginId) {
        let Some(conn) = self.conns.get(at) else {
            return;
        };
        let mut requests: SmallVec<[Key; 4]> = SmallVec::new();
        for &key in conn.active.iter().chain(&conn.waiting) {
            if !requests.contains(&key) {
                requests.push(key);
            }
        }
        let worker = &self.workers[worker as usize];
        let pod = &self.pods[worker.pod as usize];
        let what = if pod.gateway == Some(worker.proxy) {
            "gateway"
        } else {
            "sidecar"
        };
        let text = format!("{} {what} refuses the connection: {}", pod.name, why.text());
        for key in requests {
            self.mark(key, text.clone(), origin);
        }
    }

    /// Marks what happens to a request: where it is served, or on the way there.
    fn mark(&mut self, key: Key, text: String, origin: OriginId) {
        let origins = &self.books.recorder.setup().origins;
        let origin = origins.get(origin.0 as usize);
        let origin = origin.map(|origin| origin.text.clone());
        let mark = Mark {
            at_ns: self.now.as_nanos(),
            text,
            origin: origin.filter(|text| !text.is_empty()),
        };
        let Some(watched) = self.watching(key) else {
            return;
        };
        let spans = watched.streams.get(&key).copied().unwrap_or_default();
        if let Some(span) = spans.exchange.or(spans.attempt) {
            watched.spans[span as usize].marks.push(mark);
        }
    }

    /// A proxy's try is over, and the proxy has said what comes next.
    pub(super) fn watch_attempt(&mut self, worker: u32, target: Target, record: &AttemptRecord) {
        self.trace_attempt(worker, record);
        if self.watch.is_none() {
            return;
        }
        let (outcome, failed) = decisions::result_words(record.result);
        let next = decisions::next_words(record.next);
        let text = if next.is_empty() {
            outcome
        } else {
            format!("{outcome}: {next}")
        };
        if let Some(key) = self.attempt_of(target, record.number) {
            self.watch_back(key, &text, failed);
        } else {
            let text = format!("try {}: {text}", record.number);
            self.mark(Key::of(record.token), text, record.origin);
        }
    }

    pub(super) fn watch_end(&mut self, load: u32, asked: &Asked, outcome: Outcome) {
        self.trace_end(outcome);
        let latency = self.now.since(asked.intended);
        let failed = !outcome.is_success();
        let pick = Pick {
            chosen: Chosen::Typical,
            load,
            user: asked.user,
            number: asked.number,
        };
        if asked.intended.as_nanos() >= self.plan.warmup.as_nanos() {
            self.chooser
                .see(pick, asked.key, latency.as_nanos(), failed);
        }
        let now = self.now;
        let Some(watch) = &mut self.watch else {
            return;
        };
        let is_it = |it: &&mut Watched| {
            (it.pick.load, it.pick.user, it.pick.number) == (load, asked.user, asked.number)
        };
        let Some(watched) = watch.watched.iter_mut().find(is_it) else {
            return;
        };
        let how = if outcome.status == 0 {
            outcome.reason.text().to_owned()
        } else {
            outcome.status.to_string()
        };
        let latency = reports::words::duration(latency.as_nanos() as f64);
        watched.outcome = format!("{how} after {latency}");
        watched.failed = failed;
        watched.end = Some(now);
        watched.close(Some(0), now, &how, failed);
    }
}
