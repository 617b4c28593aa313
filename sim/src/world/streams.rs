//! Requests and their responses on connections.

use proxy_core::draw::Purpose;
use proxy_core::heads::{Asks, HeadId, Heads};
use proxy_core::node::{Input, Request, ResetCause};
use proxy_core::time::Time;
use reports::outcome::{AttemptKind, ErrorReason};
use scenarios::app::{Arrival, CallOutcome, Failure};
use scenarios::plan::HandlerId;

use super::World;
use super::connections::Way;
use super::parts::{
    Conn, Event, Exchange, OUTSIDE, Opener, PoolOf, Sender, Server, Stage, Stream, Taker,
};
use crate::heads::HeadTable;
use crate::slab::Key;

impl Stream {
    pub(super) fn new(
        sender: Sender,
        head: HeadId,
        size: u64,
        key: proxy_core::draw::DrawKey,
    ) -> Self {
        Self {
            conn: Key::NONE,
            sender,
            server: Server::Nobody,
            head,
            size,
            key,
            hop: 0,
            response: HeadId(0),
            response_size: 0,
            reason: ErrorReason::None,
            is_sent: false,
            client_done: false,
            server_done: false,
            is_over: false,
            kind: AttemptKind::First,
            why: None,
            sent: Time::ZERO,
            due: Time::MAX,
            edge: None,
            watched: 0,
        }
    }
}

impl Conn {
    /// A request is over that it carried.
    #[inline]
    fn is_left(&mut self, by: Key) {
        if let Some(place) = self.active.iter().position(|active| *active == by) {
            self.active.swap_remove(place);
        }
    }
}

impl World<'_> {
    /// Sends a request over its connection, which stands.
    pub(super) fn send_request(&mut self, key: Key) {
        if let Some(stream) = self.streams.get(key) {
            self.send_over(stream.conn, key);
        }
    }

    /// Sends a request over a connection that stands.
    pub(super) fn send_over(&mut self, at: Key, key: Key) {
        let Some(stream) = self.streams.get_mut(key).filter(|s| !s.client_done) else {
            return;
        };
        stream.conn = at;
        stream.is_sent = true;
        stream.sent = self.now;
        let (draws, index) = (stream.key, u32::from(stream.hop) * 2);
        let Some(conn) = self.conns.get_mut(at) else {
            return;
        };
        conn.active.push(key);
        let is_between = conn.from != conn.to && conn.from != OUTSIDE && conn.to != OUTSIDE;
        if conn.edge.is_none() && is_between {
            let workload = |pod: u32| self.pods[pod as usize].workload;
            let edge = self.books.edge(workload(conn.from), workload(conn.to));
            conn.edge = Some(edge);
        }
        if let Some(edge) = conn.edge {
            stream.edge = Some(edge);
            let (kind, why, sender) = (stream.kind, stream.why, stream.sender);
            let recorder = &mut self.books.recorder;
            recorder.attempt_leaves(edge, self.now, kind, why);
            self.sent_over(sender, edge);
        }
        self.deliver(at, Way::Up, draws, index, Event::Request(key));
    }

    /// A request reaches the server's end.
    pub(super) fn request_arrives(&mut self, key: Key, paid: bool) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        let at = stream.conn;
        if !paid && !self.net.is_quiet() && self.is_struck(key, at) {
            return;
        }
        let Some(conn) = self.conns.get(at).filter(|conn| !conn.closed_by_server) else {
            self.server_is_done(key);
            return;
        };
        match conn.taker {
            Taker::App(pod) => self.arrive_at_app(key, pod),
            Taker::Node { worker, .. } => {
                if conn.stage == Stage::Unseen {
                    self.peek(at, true);
                }
                self.arrive_at_node(key, at, worker, paid);
            }
            Taker::Pipe { onward, .. } => self.carry(key, onward),
            Taker::Nobody => {}
        }
    }

    fn arrive_at_node(&mut self, key: Key, at: Key, worker: u32, paid: bool) {
        let Some(conn) = self.conns.get_mut(at).filter(|c| !c.closed_by_server) else {
            self.server_is_done(key);
            return;
        };
        if conn.stage != Stage::Serving {
            conn.early.push(key);
            return;
        }
        let downstream = match conn.taker {
            Taker::Node { downstream, .. } => downstream,
            Taker::Pipe { onward, .. } => {
                self.carry(key, onward);
                return;
            }
            Taker::App(_) | Taker::Nobody => return,
        };
        let http2 = conn.http2;
        if let Some(costs) = self.costs.filter(|_| !paid) {
            let done = self.occupy(worker, costs.request);
            self.queue.push(done, Event::RequestPaid(key));
            return;
        }
        let config = self.proxies[self.workers[worker as usize].proxy as usize].config;
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        let request = Request {
            token: key.token(),
            downstream,
            head: stream.head,
            end: true,
            bytes: stream.size,
            asks: Asks::Nothing,
            http2,
            key: stream.key,
        };
        self.begin_exchange(key, config);
        let exchange = self.with_node(worker, |node, cx| node.request(cx, request));
        if let Some(stream) = self.streams.get_mut(key) {
            stream.server = Server::Node { worker, exchange };
        }
        if self.observed {
            let pod = self.workers[worker as usize].pod;
            self.watch_arrival(key, Some(worker), pod);
        }
        self.drain_node(worker);
    }

    /// A proxy of this configuration works on a request from now on.
    pub(super) fn begin_exchange(&mut self, key: Key, config: u32) {
        let at = key.index as usize;
        if self.exchanges.len() <= at {
            self.exchanges.resize_with(at + 1, Exchange::nobodys);
        }
        let exchange = &mut self.exchanges[at];
        exchange.attempts.clear();
        (exchange.of, exchange.config) = (key, config);
        (exchange.retried, exchange.went) = (None, None);
    }

    /// What a proxy knows of a request that it works on, until that is over.
    pub(super) fn exchange(&self, key: Key) -> Option<&Exchange> {
        self.streams.get(key)?;
        let exchange = self.exchanges.get(key.index as usize)?;
        (exchange.of == key).then_some(exchange)
    }

    pub(super) fn exchange_mut(&mut self, key: Key) -> Option<&mut Exchange> {
        self.streams.get(key)?;
        let exchange = self.exchanges.get_mut(key.index as usize)?;
        (exchange.of == key).then_some(exchange)
    }

    fn arrive_at_app(&mut self, key: Key, pod: u32) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        let (head, draws, watched) = (stream.head, stream.key, stream.watched);
        let handler = match self.pods[pod as usize].last_handler {
            Some((last, handler)) if last == head => handler,
            Some(_) | None => self.handler(pod, head),
        };
        let arrival = Arrival {
            token: key.token(),
            handler,
            key: draws,
            watched: watched > 0,
        };
        let Some(app) = self.pods[pod as usize].app.as_mut() else {
            return;
        };
        let job = app.arrive(self.now, arrival);
        if self.observed {
            self.watch_arrival(key, None, pod);
        }
        if let Some(stream) = self.streams.get_mut(key) {
            stream.server = Server::App { pod, job };
        }
        self.drain_app(pod);
    }

    /// The handler of a pod's application for a request; the next request is mostly like the last.
    fn handler(&mut self, pod: u32, head: HeadId) -> Option<HandlerId> {
        let state = &mut self.pods[pod as usize];
        let behaviour = state.app.as_ref()?.behaviour();
        let (heads, program) = (&self.heads, &self.plan.program);
        let handler = *self.handlers.entry((behaviour, head)).or_insert_with(|| {
            program.handler_for(behaviour, heads.method(head), heads.path(head))
        });
        state.last_handler = Some((head, handler));
        handler
    }

    /// Carries a request's bytes on over the connection that its own is spliced to.
    fn carry(&mut self, key: Key, onward: Key) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        let mut carried = Stream::new(Sender::Pipe(key), stream.head, stream.size, stream.key);
        carried.hop = stream.hop + 1;
        carried.conn = onward;
        carried.kind = stream.kind;
        carried.why = stream.why;
        carried.watched = stream.watched;
        let carried = self.streams.insert(carried);
        if let Some(stream) = self.streams.get_mut(key) {
            stream.server = Server::Pipe(carried);
        }
        if self.conns.get(onward).is_none() {
            self.streams.discard(carried);
            return;
        }
        self.send_request(carried);
        self.went_on(key, carried);
    }

    /// The server has a response.
    pub(super) fn respond(&mut self, key: Key, response: HeadId, size: u64, reason: ErrorReason) {
        if self.observed {
            self.watch_answer(key, self.heads.status(response));
        }
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        stream.server_done = true;
        if stream.client_done {
            self.streams.discard(key);
            return;
        }
        stream.response = response;
        stream.response_size = size;
        stream.reason = reason;
        let (at, draws, index) = (stream.conn, stream.key, u32::from(stream.hop) * 2 + 1);
        self.deliver(at, Way::Down, draws, index, Event::Response(key));
    }

    /// A response reaches the client's end.
    pub(super) fn response_arrives(&mut self, key: Key, paid: bool) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        if stream.client_done {
            self.streams.discard(key);
            return;
        }
        let (at, sender, response, reason) =
            (stream.conn, stream.sender, stream.response, stream.reason);
        let (Sender::Load { .. } | Sender::App { .. }) = sender else {
            self.response_reaches_proxy(key, paid);
            return;
        };
        let status = self.heads.status(response);
        if self.observed {
            self.watch_status(key, status);
        }
        self.attempt_returns(key, reason_of(status, reason));
        self.leave(key, at);
        // its server was done with it when it responded
        self.streams.discard(key);
        self.tell_sender(sender, CallOutcome::Answered(status), reason);
    }

    /// A response reaches the client's end, where a proxy is.
    fn response_reaches_proxy(&mut self, key: Key, paid: bool) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        let (at, sender, response, reason) =
            (stream.conn, stream.sender, stream.response, stream.reason);
        let size = stream.response_size;
        if let (Sender::Attempt { worker, .. }, Some(costs), false) = (sender, self.costs, paid) {
            let done = self.occupy(worker, costs.response);
            self.queue.push(done, Event::ResponsePaid(key));
            return;
        }
        self.leave_connection(key, at);
        match sender {
            Sender::Load { .. } | Sender::App { .. } => {}
            Sender::Attempt { worker, attempt } => {
                let input = Input::UpstreamHead {
                    attempt,
                    head: response,
                    end: true,
                    bytes: size,
                };
                self.with_node(worker, |node, cx| node.handle(cx, input));
                self.drain_node(worker);
                self.settle_client(key);
            }
            Sender::Pipe(outer) => {
                let status = self.heads.status(response);
                self.watch_status(key, status);
                self.attempt_returns(key, reason_of(status, reason));
                self.settle_client(key);
                self.respond(outer, response, size, reason);
            }
            Sender::Nobody => self.settle_client(key),
        }
    }

    /// The client's end learns that a request was reset.
    pub(super) fn reset(&mut self, key: Key, cause: ResetCause) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if stream.client_done {
            return;
        }
        stream.server_done = true;
        let (at, sender) = (stream.conn, stream.sender);
        self.watch_back(key, "reset", true);
        self.leave_connection(key, at);
        match sender {
            Sender::Load { .. } | Sender::App { .. } => {
                self.attempt_returns(key, ErrorReason::Reset);
                self.leave(key, at);
                self.settle_client(key);
                let outcome = CallOutcome::Failed(Failure::Reset);
                self.tell_sender(sender, outcome, ErrorReason::Reset);
            }
            Sender::Attempt { worker, attempt } => {
                self.with_node(worker, |node, cx| {
                    node.handle(cx, Input::UpstreamReset { attempt, cause });
                });
                self.drain_node(worker);
                self.settle_client(key);
            }
            Sender::Pipe(outer) => {
                self.attempt_returns(key, ErrorReason::Reset);
                self.settle_client(key);
                if let Some(at) = self.streams.get(outer).map(|outer| outer.conn) {
                    self.close_by_server(at);
                }
            }
            Sender::Nobody => self.settle_client(key),
        }
    }

    /// A request that never left has failed.
    pub(super) fn unsent(&mut self, key: Key, why: Failure) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if stream.client_done {
            self.streams.discard(key);
            return;
        }
        stream.server_done = true;
        let sender = stream.sender;
        let reason = match why {
            Failure::Timeout => ErrorReason::Timeout,
            Failure::Connect => ErrorReason::Connect,
            Failure::Reset => ErrorReason::Reset,
            Failure::Dns => ErrorReason::Dns,
            Failure::Tls => ErrorReason::Tls,
        };
        self.watch_back(key, reason.text(), true);
        self.attempt_unsent(key, reason);
        self.settle_client(key);
        self.tell_sender(sender, CallOutcome::Failed(why), reason);
    }

    /// The client gives a request up.
    pub(super) fn cancel(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if stream.client_done {
            return;
        }
        self.watch_back(key, "given up", true);
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        stream.client_done = true;
        let (at, is_sent, server_done, draws) =
            (stream.conn, stream.is_sent, stream.server_done, stream.key);
        if server_done || !is_sent {
            // answered already, or never sent
            self.streams.discard(key);
            if !is_sent {
                return;
            }
        }
        let Some(conn) = self.conns.get(at) else {
            self.drop_server_side(key);
            return;
        };
        let opener = conn.opener;
        if conn.http2 && !conn.carries {
            self.leave_connection(key, at);
            if !server_done {
                self.deliver(at, Way::Up, draws, 130, Event::Unwanted(key));
            }
            if let Opener::Pool { of, dest } = opener {
                self.serve_waiting(of, dest);
            }
            return;
        }
        match opener {
            // the node closes it itself
            Opener::Node { .. } => {}
            Opener::Pool { of, dest } => {
                self.close_by_client(at);
                self.pool(of, dest).open -= 1;
                self.serve_waiting(of, dest);
            }
        }
    }

    /// The client's side is done with a request.
    pub(super) fn client_is_done(&mut self, key: Key) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.client_done = true;
            if stream.server_done || matches!(stream.server, Server::Nobody) {
                self.streams.discard(key);
            }
        }
    }

    /// Both sides are done with a request that was answered or reset.
    fn settle_client(&mut self, key: Key) {
        self.client_is_done(key);
    }

    /// The server's side is done with a request.
    pub(super) fn server_is_done(&mut self, key: Key) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.server_done = true;
            if stream.client_done {
                self.streams.discard(key);
            }
        }
    }

    /// A request will not be heard of by its server any more.
    pub(super) fn drop_server_side(&mut self, key: Key) {
        if let Some(stream) = self.streams.get(key)
            && matches!(stream.server, Server::Nobody)
        {
            self.server_is_done(key);
        }
    }

    fn leave_connection(&mut self, key: Key, at: Key) {
        if let Some(conn) = self.conns.get_mut(at) {
            conn.is_left(key);
        }
    }

    /// A client's connection has carried a request to its end.
    #[inline(always)]
    fn leave(&mut self, key: Key, at: Key) {
        let Some(conn) = self.conns.get_mut(at) else {
            return;
        };
        conn.is_left(key);
        let Opener::Pool { of, dest } = conn.opener else {
            return;
        };
        let is_free = !conn.http2 && !conn.closed_by_server;
        let pool = self.pool(of, dest);
        if is_free {
            pool.idle.push(at);
        }
        if !pool.waiting.is_empty() {
            self.serve_waiting(of, dest);
        }
    }

    /// Requests of a pool that wait take the connections that are free, or open more.
    pub(super) fn serve_waiting(&mut self, of: PoolOf, dest: u32) {
        while let Some(request) = self.pool(of, dest).waiting.pop_front() {
            if self.streams.get(request).is_none_or(|s| s.client_done) {
                continue;
            }
            if !self.place(of, dest, request) {
                self.pool(of, dest).waiting.push_front(request);
                return;
            }
        }
    }

    /// Tells an application or a client how its try went.
    #[inline(always)]
    fn tell_sender(&mut self, sender: Sender, outcome: CallOutcome, reason: ErrorReason) {
        match sender {
            Sender::Load { load, call } => {
                self.last_reason = reason;
                self.loads[load as usize]
                    .clients
                    .done(self.now, call, outcome);
                self.drain_load(load);
            }
            Sender::App { pod, call } => {
                if let Some(app) = self.pods[pod as usize].app.as_mut() {
                    app.call_done(self.now, call, outcome);
                    self.drain_app(pod);
                }
            }
            Sender::Attempt { .. } | Sender::Pipe(_) | Sender::Nobody => {}
        }
    }

    /// Whether a fault strikes a request as it arrives.
    fn is_struck(&mut self, key: Key, at: Key) -> bool {
        let (Some(conn), Some(stream)) = (self.conns.get(at), self.streams.get(key)) else {
            return false;
        };
        let draws = stream.key;
        let strikes = |share: f64, number: u32| draws.chance(Purpose::InjectedFault, number, share);
        let (mut reset, mut swallowed) = (false, false);
        for trouble in &self.net.troubles {
            if self.touches(trouble, conn) {
                reset |= strikes(trouble.reset, trouble.number * 2);
                swallowed |= strikes(trouble.blackhole, trouble.number * 2 + 1);
            }
        }
        if reset {
            self.server_is_done(key);
            self.break_connection(at);
        }
        reset || swallowed
    }

    /// The response head of a status.
    pub(super) const fn status_head(status: u16) -> HeadId {
        HeadTable::response(status)
    }
}

/// What an answer counts as.
pub(super) const fn reason_of(status: u16, reason: ErrorReason) -> ErrorReason {
    if status >= 500 && matches!(reason, ErrorReason::None) {
        ErrorReason::Status5xx
    } else {
        reason
    }
}
