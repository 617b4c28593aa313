//! Applications: every action of a replica carried out, and the connections that it keeps.

use proxy_core::draw::DrawKey;
use proxy_core::heads::HeadId;
use proxy_core::time::Time;
use reports::ids::EdgeId;
use reports::outcome::{ErrorReason, Handled};
use scenarios::app::{
    AppAction, AppInput, CallOutcome, Failure, NO_HANDLER_STATUS, QUEUE_FULL_STATUS, TimerClass,
    TryId, TryKind,
};
use scenarios::plan::program::CallerGone;
use scenarios::plan::{CallId, PolicyId, RequestId};

use super::World;
use super::connections::Dial;
use super::parts::{Dest, Event, Gauges, Hello, OUTSIDE, Opener, PoolOf, Sender, Sent, Stream};
use crate::facts::{self, kind_of};
use crate::heads::Content;
use crate::slab::Key;

/// Streams that a client puts on one HTTP/2 connection before it opens another, where it may. Source: the default of Go's and most other
/// servers' `SETTINGS_MAX_CONCURRENT_STREAMS`.
const STREAMS: usize = 100;

impl World<'_> {
    /// Tells a pod's application something, and does what it wants done.
    pub(super) fn tell(&mut self, pod: u32, input: AppInput) {
        if let Some(app) = self.pods[pod as usize].app.as_mut() {
            app.handle(self.now, input);
            self.drain_app(pod);
        }
    }

    pub(super) fn drain_app(&mut self, pod: u32) {
        let state = &mut self.pods[pod as usize];
        let Some(app) = state.app.as_mut() else {
            return;
        };
        let mut batch = std::mem::take(&mut self.batches.apps);
        app.take_actions(&mut batch);
        let after = Gauges {
            busy: app.busy(),
            waiting: app.waiting(),
            slots: if app.is_listening() { app.slots() } else { 0 },
        };
        let before = std::mem::replace(&mut state.gauges, after);
        let workload = state.workload;
        // nothing of this tells an application anything at once, so no actions are added, and it stays as full as it is
        for action in &batch {
            self.act_for_app(pod, action);
        }
        batch.clear();
        self.batches.apps = batch;
        if before != after {
            self.books.gauges(workload, self.now, before, after);
        }
    }

    #[inline]
    fn act_for_app(&mut self, pod: u32, action: &AppAction) {
        match *action {
            AppAction::Arm { id, at, class } => {
                let event = Event::App(pod, id);
                match class {
                    TimerClass::Lane(lane) => {
                        self.arm(self.lanes[lane.index()], event);
                    }
                    TimerClass::Single => self.queue.push(at, event),
                }
            }
            AppAction::Call {
                call,
                to,
                key,
                kind,
                token,
                number,
            } => self.call(pod, (call, to), key, (kind, number), token),
            AppAction::CallEnded {
                call,
                outcome,
                decided_by,
            } => self.call_ended(pod, (call, decided_by), outcome),
            AppAction::CallGivenUp { call, latest } => {
                if let Some(edge) = self.edge_of_call(pod, call, latest) {
                    self.books.recorder.call_given_up(edge, self.now);
                }
            }
            AppAction::CancelCall { call } => {
                let tries = &self.pods[pod as usize].tries;
                if let Some(&Sent { request, .. }) = tries.get(call.index()) {
                    self.give_up(request);
                }
            }
            AppAction::Answer {
                token,
                status,
                size,
                ..
            } => {
                let how = if status >= 500 {
                    Handled::Failed
                } else {
                    Handled::Served
                };
                let reason = match status {
                    NO_HANDLER_STATUS => ErrorReason::None,
                    500.. => ErrorReason::Status5xx,
                    _ => ErrorReason::None,
                };
                self.answer(pod, token, status, size, reason, how);
            }
            AppAction::Refuse { token } => {
                let reason = ErrorReason::QueueFull;
                self.answer(pod, token, QUEUE_FULL_STATUS, 0, reason, Handled::Refused);
            }
            AppAction::Lost { token } => self.lost(pod, token),
            AppAction::Note { token, note } => self.watch_note(token, note),
            AppAction::Listening => {}
            AppAction::Ready => self.became_ready(pod),
        }
    }

    fn answer(
        &mut self,
        pod: u32,
        token: u64,
        status: u16,
        size: u64,
        reason: ErrorReason,
        how: Handled,
    ) {
        let key = Key::of(token);
        let workload = self.report_workload(pod);
        let wanted = self.streams.get(key).is_some_and(|s| !s.client_done);
        let how = if wanted { how } else { Handled::Wasted };
        self.books.recorder.handled(workload, self.now, how);
        if how == Handled::Refused {
            self.books.queue_full(workload, self.now);
        }
        self.respond(key, Self::status_head(status), size, reason);
    }

    fn lost(&mut self, pod: u32, token: u64) {
        let key = Key::of(token);
        let workload = self.report_workload(pod);
        self.books
            .recorder
            .handled(workload, self.now, Handled::Lost);
        let Some(at) = self.streams.get(key).map(|stream| stream.conn) else {
            return;
        };
        self.server_is_done(key);
        self.close_by_server(at);
    }

    /// The caller of a request in a pod has gone: what becomes of the work is counted.
    pub(super) fn abandoned(&mut self, pod: u32) {
        let Some(app) = self.pods[pod as usize].app.as_ref() else {
            return;
        };
        let rules = &self.plan.program.behaviours[app.behaviour().index()];
        let how = match rules.on_caller_gone {
            CallerGone::Continue => Handled::Wasted,
            CallerGone::Abort => Handled::Abandoned,
        };
        let workload = self.report_workload(pod);
        self.books.recorder.handled(workload, self.now, how);
    }

    fn call(
        &mut self,
        pod: u32,
        (call, to): (TryId, CallId),
        key: DrawKey,
        (kind, number): (TryKind, u32),
        token: u64,
    ) {
        let planned = &self.plan.program.calls[to.index()];
        let due = self.due(planned.policy);
        let dest = self.call_dests[to.index()];
        let (head, size) = self.template(planned.request, key);
        let mut stream = Stream::new(Sender::App { pod, call }, head, size, key);
        (stream.kind, stream.why) = kind_of(kind);
        stream.due = due;
        if let Some(outer) = self.streams.get(Key::of(token)) {
            stream.hop = outer.hop + 1;
            stream.watched = outer.watched;
        }
        let key = self.streams.insert(stream);
        let tries = &mut self.pods[pod as usize].tries;
        if tries.len() <= call.index() {
            tries.resize(call.index() + 1, Sent::NOTHING);
        }
        tries[call.index()] = Sent {
            request: key,
            went: None,
        };
        if self.watch.is_some() {
            let service = self.plan.program.calls[to.index()].to;
            let name = format!("call to {}", self.plan.services[service.index()].name);
            self.watch_try(key, Some(Key::of(token)), &name, number + 1);
        }
        self.start(PoolOf::Pod(pod), dest, key);
    }

    /// A try is given up by the application or the client that sent it: in its own timeout, or because another answered first or
    /// nobody wants the whole any more.
    pub(super) fn give_up(&mut self, key: Key) {
        let Some(due) = self.streams.get(key).map(|stream| stream.due) else {
            return;
        };
        let reason = if due <= self.now {
            ErrorReason::Timeout
        } else {
            ErrorReason::Superseded
        };
        self.attempt_returns(key, reason);
        self.cancel(key);
    }

    /// When a try that begins now is given up by who follows this policy.
    pub(super) fn due(&self, policy: PolicyId) -> Time {
        let timeout = self.plan.program.policies[policy.index()].timeout;
        timeout.map_or(Time::MAX, |timeout| self.now + timeout.after)
    }

    fn call_ended(&mut self, pod: u32, (call, by): (CallId, TryId), outcome: CallOutcome) {
        let reason = facts::reason_of_call(outcome);
        if let Some(edge) = self.edge_of_call(pod, call, Some(by)) {
            self.books.recorder.call_finished(edge, self.now, reason);
        }
    }

    /// The edge that a call counts on: the one over which a try of it went; of one that never left, that to the first workload behind
    /// its Service.
    fn edge_of_call(&mut self, pod: u32, call: CallId, by: Option<TryId>) -> Option<EdgeId> {
        let state = &self.pods[pod as usize];
        let sent = by.and_then(|id| state.tries.get(id.index()));
        if let Some(edge) = sent.and_then(|sent| sent.went) {
            return Some(edge);
        }
        let (from, service) = (state.workload, self.plan.program.calls[call.index()].to);
        self.edge_to_service(from, service.0)
    }

    /// The head and size of a request of the plan, its drawn values drawn.
    #[inline]
    pub(super) fn template(&mut self, request: RequestId, key: DrawKey) -> (HeadId, u64) {
        if let Some(head) = self.fixed_heads[request.index()] {
            return (head, self.plan.requests[request.index()].size);
        }
        self.drawn_template(request, key)
    }

    #[inline(never)]
    fn drawn_template(&mut self, request: RequestId, key: DrawKey) -> (HeadId, u64) {
        let template = &self.plan.requests[request.index()];
        let headers = template.headers.iter().zip(0..).map(|((name, value), at)| {
            let value: Box<str> = match value {
                scenarios::plan::HeaderValue::Fixed(value) => value.clone(),
                scenarios::plan::HeaderValue::Drawn(drawn) => {
                    drawn.value(drawn.draw(key, at)).into()
                }
            };
            (name.clone(), value)
        });
        let content = Content {
            method: template.method.clone(),
            authority: template.authority.clone(),
            path: template.path.clone(),
            headers: headers.collect(),
        };
        let size = template.size;
        (self.heads.request(content), size)
    }

    /// Sends a client's request over one of its connections, as soon as there is one.
    #[inline]
    pub(super) fn start(&mut self, of: PoolOf, dest: u32, request: Key) {
        match self.take_idle(of, dest) {
            Some(conn) => self.send_over(conn, request),
            None => self.start_otherwise(of, dest, request),
        }
    }

    /// The connection of a pod's application that was used last, if it is free and stands: what nearly every call finds.
    #[inline]
    fn take_idle(&mut self, of: PoolOf, dest: u32) -> Option<Key> {
        let PoolOf::Pod(pod) = of else {
            return None;
        };
        let pool = self.pods[pod as usize].pools.get_mut(dest as usize)?;
        let conn = *pool.idle.last()?;
        if self.conns.get(conn)?.closed_by_client {
            return None;
        }
        pool.idle.pop()
    }

    /// As [`World::start`] for what finds no connection at once.
    #[inline(never)]
    fn start_otherwise(&mut self, of: PoolOf, dest: u32, request: Key) {
        if self.dests[dest as usize] == Dest::Unknown {
            self.queue
                .push(self.now, Event::Unsent(request, Failure::Dns));
            return;
        }
        let nameless = matches!(of, PoolOf::Pod(pod) if self.pods[pod as usize].nameless > 0);
        if nameless && self.pool(of, dest).idle.is_empty() {
            self.queue
                .push(self.now, Event::Unsent(request, Failure::Dns));
            return;
        }
        if !self.place(of, dest, request) {
            self.pool(of, dest).waiting.push_back(request);
        }
    }

    /// Puts a request on a connection, or opens one for it; false where no more may be opened.
    pub(super) fn place(&mut self, of: PoolOf, dest: u32, request: Key) -> bool {
        let (http2, limit) = self.manners(of);
        let room = if http2 { STREAMS } else { 1 };
        if http2 {
            let idle = self.pool(of, dest).idle.clone();
            let least = idle
                .iter()
                .filter_map(|key| Some((self.conns.get(*key)?.active.len(), *key)))
                .min_by_key(|(active, _)| *active);
            let open = self.pool(of, dest).open;
            let may_open = limit.is_none_or(|limit| open < limit);
            if let Some((active, conn)) = least
                && (active < room || !may_open)
            {
                self.send_over(conn, request);
                return true;
            }
        } else {
            while let Some(conn) = self.pool(of, dest).idle.pop() {
                // a closing that is still on its way is not known here
                let usable = |c: &super::parts::Conn| !c.closed_by_client;
                if self.conns.get(conn).is_some_and(usable) {
                    self.send_over(conn, request);
                    return true;
                }
            }
        }
        let open = self.pool(of, dest).open;
        if limit.is_some_and(|limit| open >= limit) {
            return false;
        }
        self.open(of, dest, request, http2);
        true
    }

    /// What a client speaks, and how many connections it may open.
    fn manners(&self, of: PoolOf) -> (bool, Option<u32>) {
        match of {
            PoolOf::Pod(_) => (false, None),
            PoolOf::Load(load) => {
                let client = &self.loads[load as usize].clients.load().client;
                let http2 = client.protocol == scenarios::plan::Protocol::Http2;
                let one = if http2 { Some(1) } else { None };
                (http2, client.connections.or(one))
            }
        }
    }

    fn open(&mut self, of: PoolOf, dest: u32, request: Key, http2: bool) {
        let (from, load, key) = match of {
            PoolOf::Pod(pod) => {
                let state = &mut self.pods[pod as usize];
                state.dialled += 1;
                (pod, OUTSIDE, state.key.child(state.dialled))
            }
            PoolOf::Load(load) => {
                let state = &mut self.loads[load as usize];
                state.dialled += 1;
                (OUTSIDE, load, state.key.child(state.dialled))
            }
        };
        self.pool(of, dest).open += 1;
        let Some((address, sni)) = self.address(dest, key) else {
            self.pool(of, dest).open -= 1;
            self.queue
                .push(self.now, Event::Unsent(request, Failure::Connect));
            return;
        };
        let hello = sni.map(|sni| {
            Box::new(Hello {
                sni,
                alpn: vec![if http2 { "h2" } else { "http/1.1" }.into()],
                identity: None,
                expects: None,
                pod: OUTSIDE,
            })
        });
        let conn = self.dial(Dial {
            opener: Opener::Pool { of, dest },
            from,
            load,
            address,
            hello,
            http2,
            carries: false,
            by_proxy: false,
            key,
        });
        if let Some(stream) = self.streams.get_mut(request) {
            stream.conn = conn;
        }
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.waiting.push(request);
        }
    }
}
