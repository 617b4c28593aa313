//! Proxies: every action of a node carried out.

use proxy_core::event::{AttemptRecord, AttemptResult, Event as Fact, Next};
use proxy_core::ids::{AttemptId, ExchangeId};
use proxy_core::node::{Action, Cx, EditKey, HealthCheckId, Node, Target, TimerClass};
use proxy_core::reply::LocalReply;
use proxy_core::shared::PlainState;
use proxy_core::time::{Duration, Time};
use reports::outcome::{AttemptKind, ErrorReason, RetryCondition, Why};
use scenarios::plan::ProxyCpu;
use smallvec::SmallVec;
use std::net::SocketAddr;

use super::World;
use super::connections::Dial;
use super::parts::{Event, Exchange, Hello, OUTSIDE, Opener, Sender, Stream};
use crate::facts::{condition_of, origin, reason_of_reply, reason_of_result};
use crate::heads::HeadTable;
use crate::slab::Key;

/// Processor time of a proxy, kernel time included, on an AMD EPYC core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    /// From the request's bytes to its way out.
    pub(crate) request: Duration,
    /// The same for the response.
    pub(crate) response: Duration,
    /// For a TLS handshake that it accepts: TLS 1.3, P-256 certificates on both ends.
    pub(crate) handshake: Duration,
}

impl Costs {
    /// Envoy 1.40 with HTTP/1.1 and 1 KiB bodies: 45 µs an exchange, about two thirds of it before the request leaves.
    const ENVOY: Self = Self {
        request: Duration::from_micros(30),
        response: Duration::from_micros(15),
        handshake: Duration::from_micros(400),
    };

    /// `windtunnel-proxy` of the profile `deploy`, on the same: 19 µs an exchange, and 0.84 of what a handshake takes Envoy.
    const WINDTUNNEL: Self = Self {
        request: Duration::from_micros(13),
        response: Duration::from_micros(6),
        handshake: Duration::from_micros(340),
    };

    /// None: time does not count.
    pub(super) const fn of(cpu: ProxyCpu) -> Option<Self> {
        match cpu {
            ProxyCpu::Free => None,
            ProxyCpu::Envoy => Some(Self::ENVOY),
            ProxyCpu::Windtunnel => Some(Self::WINDTUNNEL),
        }
    }
}

impl World<'_> {
    /// Calls a worker's node; its actions wait until [`Self::drain_node`].
    #[inline]
    pub(super) fn with_node<R>(
        &mut self,
        worker: u32,
        call: impl FnOnce(&mut Node, &mut Cx<'_, PlainState, HeadTable>) -> R,
    ) -> R {
        let worker = &mut self.workers[worker as usize];
        let mut cx = Cx {
            now: self.now,
            shared: &mut self.proxies[worker.proxy as usize].shared,
            heads: &self.heads,
        };
        call(&mut worker.node, &mut cx)
    }

    /// Carries out what a worker's node wants done.
    #[inline]
    pub(super) fn drain_node(&mut self, worker: u32) {
        let mut batch = self.batches.nodes.pop().unwrap_or_default();
        while self.workers[worker as usize].node.take_actions(&mut batch) {
            // copies that this list begins: what is to be done for them does not have their numbers yet
            let mut children: SmallVec<[(ExchangeId, u64); 1]> = SmallVec::new();
            for &(mut target, ref action) in &batch {
                if !children.is_empty() {
                    name_child(&mut target, &children);
                }
                if let Action::Spawned { child } = *action {
                    let token = self.spawn(worker, target, child);
                    children.push((child, token));
                } else {
                    self.act(worker, target, action);
                }
            }
            batch.clear();
        }
        self.batches.nodes.push(batch);
    }

    #[inline]
    fn act(&mut self, worker: u32, target: Target, action: &Action) {
        match *action {
            Action::Arm { id, at, class } => {
                let event = Event::Node(worker, id);
                match class {
                    TimerClass::Lane(after) => {
                        let lane = self.queue.lane(after);
                        self.arm(lane, event);
                    }
                    TimerClass::Single => self.queue.push(at, event),
                }
            }
            // its requests are in the books
            Action::Log { .. } => {}
            Action::Disarm { .. } | Action::StopRetaining => {}
            // nobody sends datagrams here
            Action::EndSession => {}
            // bodies are whole when their head comes
            Action::Pause(_) | Action::Resume(_) => {}
            Action::Record(ref fact) => self.record(worker, target, fact),
            Action::Dispatch { attempt, upstream } => {
                let conn = self.workers[worker as usize].upstreams[upstream.index as usize];
                self.dispatch(worker, target, attempt, conn);
            }
            Action::Forward { attempt, .. } | Action::Switch { attempt } => {
                self.forward(worker, target, attempt);
            }
            Action::Reply(ref reply) => self.reply(target, reply),
            Action::Ended => {
                if let Target::Exchange(_, token) = target {
                    self.server_is_done(Key::of(token));
                }
            }
            Action::Cancel { attempt } => {
                if let Some(key) = self.attempt_of(target, attempt.number) {
                    self.cancel(key);
                }
            }
            Action::Finish { broken } => {
                if let (Target::Exchange(_, token), true) = (target, broken)
                    && let Some(at) = self.streams.get(Key::of(token)).map(|stream| stream.conn)
                {
                    self.close_by_server(at);
                }
            }
            Action::Connect { address } => self.connect(worker, target, address),
            Action::CloseUpstream => {
                if let Target::Upstream(upstream) = target {
                    let conn = self.workers[worker as usize].upstreams[upstream.index as usize];
                    self.close_by_client(conn);
                }
            }
            Action::Peek => self.on_connection(worker, target, |world, key| world.peek(key, false)),
            Action::Handshake => {
                self.on_connection(worker, target, |world, key| world.shake(key, worker));
            }
            Action::ServeHttp => self.on_connection(worker, target, |world, key| {
                world.trace_acts(worker, key);
                world.trace_taken(key, worker);
                world.serve(key);
            }),
            Action::Splice(upstream) => {
                let onward = self.workers[worker as usize].upstreams[upstream.index as usize];
                self.on_connection(worker, target, |world, key| {
                    world.trace_acts(worker, key);
                    world.trace_taken(key, worker);
                    world.splice(key, worker, onward);
                });
            }
            Action::CloseDownstream(_) => {
                self.on_connection(worker, target, Self::close_by_server);
            }
            // a client learns of it when its connection closes
            Action::DrainDownstream => {}
            Action::Spawned { child } => {
                self.spawn(worker, target, child);
            }
            Action::Probe { check, address } => self.probe(worker, check, address),
        }
    }

    /// Does something to a client's connection.
    fn on_connection(&mut self, worker: u32, target: Target, act: impl FnOnce(&mut Self, Key)) {
        let Target::Downstream(downstream, token) = target else {
            return;
        };
        let key = Key::of(token);
        if let Some(conn) = self.conns.get_mut(key)
            && matches!(conn.taker, super::parts::Taker::Nobody)
        {
            conn.taker = super::parts::Taker::Node { worker, downstream };
        }
        act(self, key);
    }

    /// The request of a try of an exchange.
    pub(super) fn attempt_of(&self, target: Target, number: u16) -> Option<Key> {
        let Target::Exchange(_, token) = target else {
            return None;
        };
        let exchange = self.exchange(Key::of(token))?;
        let found = exchange.attempts.iter().find(|(n, _)| *n == number);
        found.map(|(_, key)| *key)
    }

    fn dispatch(&mut self, worker: u32, target: Target, attempt: AttemptId, conn: Key) {
        let Target::Exchange(_, token) = target else {
            return;
        };
        let outer = Key::of(token);
        let Some(&Exchange {
            config, retried, ..
        }) = self.exchange(outer)
        else {
            return;
        };
        let node = &self.workers[worker as usize].node;
        let (Some(request), Some(key)) = (self.streams.get(outer), node.draw_key(attempt)) else {
            return;
        };
        let edits = node.edit_key(attempt);
        let head = request.head;
        let head = if edits == EditKey::NONE {
            head
        } else {
            self.heads.departing(config, head, edits, |heads, draft| {
                node.write_head(attempt, heads, draft);
            })
        };
        let sender = Sender::Attempt { worker, attempt };
        let mut stream = Stream::new(sender, head, request.size, key);
        stream.conn = conn;
        stream.hop = request.hop + 1;
        stream.watched = request.watched;
        (stream.kind, stream.why) = match attempt.number {
            1 => (request.kind, request.why),
            _ if self.is_trying(outer) => {
                let condition = RetryCondition::HedgeDelay;
                let origin = retried.and_then(|why| why.origin);
                (AttemptKind::Hedge, Some(Why { origin, condition }))
            }
            _ => (AttemptKind::Retry, retried),
        };
        let stream = self.streams.insert(stream);
        if let Some(exchange) = self.exchange_mut(outer) {
            exchange.attempts.push((attempt.number, stream));
        }
        if self.observed {
            self.watch_try(stream, Some(outer), "attempt", u32::from(attempt.number));
        }
        self.send_request(stream);
        self.went_on(outer, stream);
    }

    /// Whether a try of an exchange is under way.
    fn is_trying(&self, request: Key) -> bool {
        let Some(exchange) = self.exchange(request) else {
            return false;
        };
        let mut tries = exchange.attempts.iter();
        let runs = |s: &Stream| !s.client_done && !s.is_over;
        tries.any(|(_, key)| self.streams.get(*key).is_some_and(runs))
    }

    fn forward(&mut self, worker: u32, target: Target, attempt: AttemptId) {
        let Target::Exchange(id, token) = target else {
            return;
        };
        let Some(stream) = self
            .attempt_of(target, attempt.number)
            .and_then(|key| self.streams.get(key))
        else {
            return;
        };
        let (response, size, reason) = (stream.response, stream.response_size, stream.reason);
        let node = &self.workers[worker as usize].node;
        let now = self.now;
        let response = self.heads.edited_response(response, |heads, draft| {
            node.write_response(now, id, heads, draft);
        });
        self.respond(Key::of(token), response, size, reason);
    }

    fn reply(&mut self, target: Target, reply: &LocalReply) {
        let Target::Exchange(_, token) = target else {
            return;
        };
        let status = match reply.grpc {
            // a gRPC failure travels as 200 with its status; what it means is the HTTP status it stands for
            Some(_) if reply.status == 200 => 503,
            Some(_) | None => reply.status,
        };
        let response = Self::status_head(status);
        self.respond(Key::of(token), response, 0, reason_of_reply(reply.reason));
    }

    fn connect(&mut self, worker: u32, target: Target, address: SocketAddr) {
        let Target::Upstream(upstream) = target else {
            return;
        };
        let state = &self.workers[worker as usize];
        let pod = state.pod;
        let Some(plan) = state.node.connect(upstream) else {
            return;
        };
        let own = plan.tls.map(|tls| {
            Box::new(Hello {
                sni: tls.sni.into(),
                alpn: tls.alpn.to_vec(),
                identity: tls.certificate.map(Into::into),
                expects: tls.peer.map(Into::into),
                pod,
            })
        });
        let (http2, carries) = (plan.http2, plan.tcp);
        let is_sidecar = self.pods[pod as usize]
            .sidecar
            .is_some_and(|proxy| self.proxies[proxy as usize].workers.contains(&worker));
        // a carried connection brings its own hello and its own protocol
        let carried = match own {
            None if carries => self.carried_by(worker, upstream),
            _ => None,
        };
        let (hello, http2) = match carried {
            Some((hello, http2)) => (hello, http2),
            None => (own, http2),
        };
        let number = self.pods[pod as usize].dialled;
        self.pods[pod as usize].dialled += 1;
        let key = self.pods[pod as usize].key.child(number);
        let conn = self.dial(Dial {
            opener: Opener::Node { worker, upstream },
            from: pod,
            load: OUTSIDE,
            address: self.own_address(pod, address),
            hello,
            http2,
            carries,
            by_proxy: is_sidecar,
            key,
        });
        let upstreams = &mut self.workers[worker as usize].upstreams;
        let at = upstream.index as usize;
        if upstreams.len() <= at {
            upstreams.resize(at + 1, Key::NONE);
        }
        upstreams[at] = conn;
    }

    /// Loopback is the pod itself.
    fn own_address(&self, pod: u32, address: SocketAddr) -> SocketAddr {
        if address.ip().is_loopback() {
            SocketAddr::new(self.pods[pod as usize].ip, address.port())
        } else {
            address
        }
    }

    /// Hello and protocol of the connection whose bytes an upstream connection is to carry.
    fn carried_by(
        &self,
        worker: u32,
        upstream: proxy_core::ids::UpstreamId,
    ) -> Option<(Option<Box<Hello>>, bool)> {
        let token = self.workers[worker as usize].node.carried(upstream)?;
        let conn = self.conns.get(Key::of(token))?;
        // what ended here is not carried on
        let hello = conn.hello.clone().filter(|_| !conn.terminated);
        Some((hello, conn.http2))
    }

    /// A copy of a request gets a number of its own; nobody waits for its response.
    fn spawn(&mut self, worker: u32, target: Target, child: ExchangeId) -> u64 {
        let Target::Exchange(_, token) = target else {
            return 0;
        };
        let Some(parent) = self.streams.get(Key::of(token)) else {
            return 0;
        };
        let mut copy = Stream::new(Sender::Nobody, parent.head, parent.size, parent.key);
        copy.hop = parent.hop;
        copy.client_done = true;
        copy.server = super::parts::Server::Node {
            worker,
            exchange: child,
        };
        let config = self.exchange(Key::of(token)).map_or(0, |it| it.config);
        let copy = self.streams.insert(copy);
        self.begin_exchange(copy, config);
        let token = copy.token();
        self.workers[worker as usize].node.set_token(child, token);
        token
    }

    /// Asks an endpoint whether it is well.
    fn probe(&mut self, worker: u32, check: HealthCheckId, address: SocketAddr) {
        let from = self.workers[worker as usize].pod;
        let key = self.pods[from as usize].key;
        let Some(to) = self.pod_at(address.ip()) else {
            self.queue
                .push(self.now, Event::Probed(worker, check, None));
            return;
        };
        let pod = &self.pods[to as usize];
        if pod.gone {
            return;
        }
        let distance = self.distance(from, to);
        let way = self.net.latency(distance, key, check.endpoint.0);
        let answer = match &pod.app {
            Some(app) if app.is_frozen() => return,
            Some(app) if app.is_listening() => Some(if pod.ready { 200 } else { 503 }),
            Some(_) => None,
            None => Some(200),
        };
        if self.is_cut_off(from, to) {
            return;
        }
        self.queue
            .push(self.now + way + way, Event::Probed(worker, check, answer));
    }

    /// Takes a worker's processor for a time, behind whatever else it has to do; gives the moment it is done.
    pub(super) fn occupy(&mut self, worker: u32, cost: Duration) -> Time {
        let state = &mut self.workers[worker as usize];
        let done = state.free_at.max(self.now) + cost;
        state.free_at = done;
        if !state.is_busy {
            state.is_busy = true;
            let proxy = &mut self.proxies[state.proxy as usize];
            proxy.busy += 1;
            let busy = u64::from(proxy.busy);
            self.books.recorder.proxy_busy(proxy.report, self.now, busy);
            self.queue.push(done, Event::WorkerIdle(worker));
        }
        done
    }

    pub(super) fn worker_idle(&mut self, worker: u32) {
        let state = &mut self.workers[worker as usize];
        if state.free_at > self.now {
            let at = state.free_at;
            self.queue.push(at, Event::WorkerIdle(worker));
            return;
        }
        state.is_busy = false;
        let proxy = &mut self.proxies[state.proxy as usize];
        proxy.busy -= 1;
        let busy = u64::from(proxy.busy);
        self.books.recorder.proxy_busy(proxy.report, self.now, busy);
    }

    #[inline]
    fn record(&mut self, worker: u32, target: Target, fact: &Fact) {
        match *fact {
            Fact::Attempt(ref record) => self.record_attempt(worker, target, record),
            Fact::Exchange(ref record) => self.record_exchange(worker, record),
            Fact::Decision {
                decision, origin, ..
            } => self.watch_decision(worker, target, decision, origin),
            Fact::Ejected {
                cluster,
                endpoint,
                why,
                origin,
                ..
            } => self.record_ejection(worker, cluster, endpoint, why, origin),
            Fact::Returned { cluster, endpoint } => {
                self.record_return(worker, cluster, endpoint);
            }
            Fact::Health {
                cluster,
                endpoint,
                healthy,
            } => self.record_health(worker, cluster, endpoint, healthy),
            Fact::Closed { reason, origin, .. } => {
                self.record_closed(worker, target, reason, origin);
                self.trace_closed(worker, target, reason, origin);
            }
            Fact::EjectionRefused { .. }
            | Fact::Breaker { .. }
            | Fact::Upgrade(_)
            | Fact::Session { .. }
            | Fact::Traced(_)
            | Fact::Updated => {}
        }
    }

    fn record_attempt(&mut self, worker: u32, target: Target, record: &AttemptRecord) {
        let outer = Key::of(record.token);
        if record.next == Next::Retried {
            let why = Why {
                origin: origin(record.origin),
                condition: condition_of(record.result),
            };
            if let Some(exchange) = self.exchange_mut(outer) {
                exchange.retried = Some(why);
            }
        }
        self.retry_refused(worker, record);
        if self.observed {
            self.watch_attempt(worker, target, record);
        }
        let sent = self.attempt_of(target, record.number);
        let reason = reason_of_result(record.result);
        match sent {
            Some(key) => {
                self.limit_passed(worker, record.cluster);
                let own = self.streams.get_mut(key).map_or(ErrorReason::None, |s| {
                    s.is_over = true;
                    s.reason
                });
                let answered = matches!(record.result, AttemptResult::Response(_));
                let reason = if answered && own != ErrorReason::None {
                    own
                } else {
                    reason
                };
                self.attempt_returns(key, reason);
            }
            None => self.attempt_not_sent(worker, record, reason),
        }
    }
}

/// Gives a copy of a request its number in what is to be done for it.
fn name_child(target: &mut Target, children: &[(ExchangeId, u64)]) {
    if let Target::Exchange(id, token) = target
        && let Some((_, known)) = children.iter().find(|(child, _)| child == id)
    {
        *token = *known;
    }
}
