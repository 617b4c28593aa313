//! One worker: a node, and the sockets, clocks and bytes that it decides about. Everything of a worker lives on one thread.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION};
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use proxy_core::config::{EndpointSet, Name, NodeConfig};
use proxy_core::draw::DrawKey;
use proxy_core::event::Event;
use proxy_core::heads::HeadId;
use proxy_core::ids::{AttemptId, DownstreamId, ExchangeId, UpstreamId};
use proxy_core::node::{
    Accept, Action, Arrival, Cx, Identity, Input, Node, ResetCause, Side, Target, TimerId, Update,
};
use proxy_core::reply::LocalReply;
use proxy_core::time::Time;
use rustc_hash::FxHashMap;
use slab::Slab;
use smallvec::SmallVec;
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::{AbortHandle, spawn_local};

use crate::body::{AttemptBody, Forwarded, Forwarding, Kept, RequestBody, ResponseBody};
use crate::heads::{Head, HeadTable, Outgoing, RequestHead, leave_connection_behind, uri};
use crate::process::Secrets;
use crate::shared::AtomicState;
use crate::stats::Stats;
use crate::timers::Timers;
use crate::tls::{Io, Keeper};
use crate::upstream::{Sender, Upstream};
use crate::{clock, downstream, upstream};

/// Timers that fire between two looks at which are still wanted.
const CLEAR_UP: u32 = 1 << 12;

/// A worker, shared by the tasks of its thread.
#[derive(Clone)]
pub(crate) struct Handle {
    worker: Rc<RefCell<Worker>>,
    /// Exchanges whose client went away while the worker was busy.
    gone: Rc<RefCell<Vec<ExchangeId>>>,
    /// An earlier timer than the one that is waited for has been set.
    pub(crate) sooner: Rc<Notify>,
}

pub(crate) struct Worker {
    pub(crate) node: Node,
    shared: AtomicState,
    pub(crate) heads: HeadTable,
    timers: Timers,
    /// When the timers are looked at next.
    wakes_at: Time,
    fired: u32,
    started: Instant,
    root: DrawKey,
    requests: u64,
    pub(crate) downstreams: Slab<Downstream>,
    pub(crate) upstreams: FxHashMap<UpstreamId, Upstream>,
    exchanges: Slab<Exchange>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) keeper: Keeper,
}

/// A client's connection.
pub(crate) struct Downstream {
    pub(crate) id: DownstreamId,
    /// Until somebody reads it.
    pub(crate) stream: Option<Io>,
    /// Asks whoever serves it to end.
    pub(crate) close: Rc<Notify>,
    task: Option<AbortHandle>,
}

struct Exchange {
    id: Option<ExchangeId>,
    head: HeadId,
    body: RequestBody,
    /// Where its client waits for a response; none: it has one, or nobody waits.
    reply: Option<oneshot::Sender<Response<ResponseBody>>>,
    attempts: SmallVec<[Attempt; 1]>,
    forwarding: Option<Rc<Forwarding>>,
    heads: SmallVec<[HeadId; 2]>,
    started: Instant,
}

struct Attempt {
    id: AttemptId,
    upstream: UpstreamId,
    http2: bool,
    task: Option<AbortHandle>,
    response: Option<(HeadId, Incoming)>,
}

impl Handle {
    pub(crate) fn new(
        identity: Identity,
        config: Arc<NodeConfig>,
        shared: AtomicState,
        started: Instant,
        stats: Arc<Stats>,
        keeper: Keeper,
    ) -> Self {
        let root = identity.key;
        let worker = Worker {
            node: Node::new(identity, config),
            shared,
            heads: HeadTable::default(),
            timers: Timers::default(),
            wakes_at: Time::MAX,
            fired: 0,
            started,
            root,
            requests: 0,
            downstreams: Slab::new(),
            upstreams: FxHashMap::default(),
            exchanges: Slab::new(),
            stats,
            keeper,
        };
        Self {
            worker: Rc::new(RefCell::new(worker)),
            gone: Rc::default(),
            sooner: Rc::new(Notify::new()),
        }
    }

    /// Calls the node, then does what it wants done.
    pub(crate) fn with<R>(
        &self,
        call: impl FnOnce(&mut Node, &mut Cx<'_, AtomicState, HeadTable>) -> R,
    ) -> R {
        let result = self.worker.borrow_mut().call(call);
        self.drain();
        result
    }

    /// Reads or changes the worker without its node.
    pub(crate) fn look<R>(&self, call: impl FnOnce(&mut Worker) -> R) -> R {
        call(&mut self.worker.borrow_mut())
    }

    pub(crate) fn input(&self, input: Input<'_>) {
        self.with(|node, cx| node.handle(cx, input));
    }

    pub(crate) fn start(&self) {
        self.with(|node, cx| node.start(cx));
    }

    pub(crate) fn update(&self, config: Arc<NodeConfig>, secrets: Secrets) {
        self.look(|worker| worker.keeper = Keeper::new(secrets));
        self.with(|node, cx| node.update(cx, Update::Config(config)));
    }

    pub(crate) fn set_endpoints(&self, sets: Vec<(Name, Arc<EndpointSet>)>) {
        for (cluster, set) in sets {
            let cluster = &*cluster;
            self.with(|node, cx| node.update(cx, Update::Endpoints { cluster, set }));
        }
    }

    pub(crate) fn keeps_body(&self, exchange: ExchangeId) -> bool {
        self.worker.borrow().node.keeps_body(exchange)
    }

    /// The client of an exchange has gone. May be called while the worker is busy.
    pub(crate) fn client_gone(&self, exchange: ExchangeId) {
        self.gone.borrow_mut().push(exchange);
        if self.worker.try_borrow_mut().is_ok() {
            self.drain();
        }
    }

    fn drain(&self) {
        loop {
            let next = self.worker.borrow_mut().node.poll_action();
            if let Some((target, action)) = next {
                // what is thrown away here may have more to say of itself, when the worker is free again
                let spent = self.worker.borrow_mut().act(self, target, action);
                drop(spent);
                continue;
            }
            let Some(exchange) = self.gone.borrow_mut().pop() else {
                return;
            };
            let mut worker = self.worker.borrow_mut();
            worker.call(|node, cx| node.handle(cx, Input::DownstreamReset { exchange }));
        }
    }

    /// A connection was accepted.
    pub(crate) fn accept(&self, stream: TcpStream, source: SocketAddr, destination: SocketAddr) {
        let mut worker = self.worker.borrow_mut();
        let token = worker.downstreams.insert(Downstream {
            id: DownstreamId {
                index: 0,
                generation: 0,
            },
            stream: Some(Io::Plain(stream)),
            close: Rc::new(Notify::new()),
            task: None,
        });
        let accept = Accept {
            token: token as u64,
            arrival: Arrival::Dialled,
            source,
            destination,
        };
        let id = worker.call(|node, cx| node.accept(cx, accept));
        worker.downstreams[token].id = id;
        drop(worker);
        self.drain();
    }

    /// A client's connection is gone.
    pub(crate) fn closed(&self, token: usize) {
        let gone = self.look(|worker| worker.downstreams.try_remove(token));
        if let Some(gone) = gone {
            let downstream = gone.id;
            self.input(Input::DownstreamClosed { downstream });
        }
    }

    /// Serves one request of a client's connection.
    pub(crate) async fn serve(
        self,
        downstream: DownstreamId,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, crate::body::BrokenOff> {
        let http2 = request.version() == http::Version::HTTP_2;
        let (parts, incoming) = request.into_parts();
        let end = incoming.is_end_stream();
        let body: RequestBody = Rc::new(RefCell::new(if end {
            Kept::none()
        } else {
            Kept::coming()
        }));
        let (reply, response) = oneshot::channel();
        let (exchange, guard) = {
            let mut worker = self.worker.borrow_mut();
            let (token, head) = worker.admit(RequestHead::new(parts), body.clone(), reply);
            let key = worker.root.child(worker.requests);
            worker.requests += 1;
            let request = proxy_core::node::Request {
                token: token as u64,
                downstream,
                head,
                end,
                bytes: 0,
                http2,
                key,
            };
            let id = worker.call(|node, cx| node.request(cx, request));
            worker.exchanges[token].id = Some(id);
            (id, Guard(self.clone(), Some(id)))
        };
        if !end {
            spawn_local(crate::body::read_in(self.clone(), exchange, body, incoming));
        }
        self.drain();
        let mut guard = guard;
        let response = response.await;
        guard.1 = None;
        // a node that has nothing to say any more closes the connection
        response.map_err(|_| crate::body::BrokenOff)
    }

    /// The head of a try's response has come.
    pub(crate) fn response(&self, token: usize, attempt: AttemptId, response: Response<Incoming>) {
        let (mut parts, incoming) = response.into_parts();
        let closes = parts.version < http::Version::HTTP_2 && closes(&parts.headers);
        leave_connection_behind(&mut parts.headers);
        let end = incoming.is_end_stream();
        let upstream = self.look(|worker| {
            let head = worker.heads.insert(Head::Response(parts));
            let exchange = worker.exchanges.get_mut(token);
            let exchange = exchange.filter(|it| it.id == Some(attempt.exchange));
            let Some(exchange) = exchange else {
                worker.heads.remove(head);
                return None;
            };
            exchange.heads.push(head);
            let sent = exchange.attempts.iter_mut().find(|it| it.id == attempt)?;
            sent.task = None;
            sent.response = Some((head, incoming));
            Some((head, sent.upstream))
        });
        let Some((head, upstream)) = upstream else {
            return;
        };
        if closes {
            self.input(Input::UpstreamDraining { upstream });
        }
        self.input(Input::UpstreamHead {
            attempt,
            head,
            end,
            bytes: 0,
        });
    }

    /// Fires what is due; gives the moment of the next timer.
    pub(crate) fn fire(&self) -> Time {
        loop {
            let due: Option<TimerId> = self.look(|worker| {
                let now = worker.now();
                worker.timers.due(now)
            });
            let Some(id) = due else { break };
            if self.worker.borrow().node.is_armed(id) {
                self.input(Input::Timer { id });
            }
        }
        self.look(|worker| {
            worker.fired += 1;
            if worker.fired % CLEAR_UP == 0 {
                let node = &worker.node;
                worker.timers.clear_up(|id| node.is_armed(id));
            }
            worker.wakes_at = worker.timers.next().unwrap_or(Time::MAX);
            worker.wakes_at
        })
    }
}

/// Tells the node when the client of an exchange stops waiting for it.
struct Guard(Handle, Option<ExchangeId>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(exchange) = self.1 {
            self.0.client_gone(exchange);
        }
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        if !self.done {
            self.handle.client_gone(self.attempt.exchange);
        }
    }
}

fn closes(headers: &http::HeaderMap) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| {
        let named = value.to_str().unwrap_or_default();
        named
            .split(',')
            .any(|n| n.trim().eq_ignore_ascii_case("close"))
    })
}

/// What an action left over, to be dropped when the worker is free again.
type Spent = (Option<Exchange>, Option<Attempt>, Option<Upstream>);

impl Worker {
    pub(crate) fn now(&self) -> Time {
        let nanos = u64::try_from(self.started.elapsed().as_nanos());
        Time::from_nanos(nanos.unwrap_or(u64::MAX))
    }

    fn call<R>(
        &mut self,
        call: impl FnOnce(&mut Node, &mut Cx<'_, AtomicState, HeadTable>) -> R,
    ) -> R {
        let now = self.now();
        let mut cx = Cx {
            now,
            shared: &mut self.shared,
            heads: &self.heads,
        };
        call(&mut self.node, &mut cx)
    }

    fn admit(
        &mut self,
        head: RequestHead,
        body: RequestBody,
        reply: oneshot::Sender<Response<ResponseBody>>,
    ) -> (usize, HeadId) {
        let head = self.heads.insert(Head::Request(head));
        let token = self.exchanges.insert(Exchange {
            id: None,
            head,
            body,
            reply: Some(reply),
            attempts: SmallVec::new(),
            forwarding: None,
            heads: SmallVec::from_slice(&[head]),
            started: clock::now(),
        });
        (token, head)
    }

    fn act(&mut self, handle: &Handle, target: Target, action: Action) -> Spent {
        match (target, action) {
            (_, Action::Arm { id, at, class }) => {
                self.timers.arm(id, at, class);
                if at < self.wakes_at {
                    self.wakes_at = at;
                    handle.sooner.notify_one();
                }
            }
            (_, Action::Record(event)) => self.record(event),
            (Target::Downstream(id, token), action) => {
                self.act_downstream(handle, id, token as usize, action);
            }
            (Target::Upstream(id), action) => return self.act_upstream(handle, id, action),
            (Target::Exchange(id, token), action) => {
                return self.act_exchange(handle, id, token as usize, action);
            }
            (Target::Node, Action::Probe { check, address }) => {
                let cluster = self.node.cluster(check.cluster);
                let plan = cluster.and_then(|cluster| {
                    let checks = &cluster.health_checks;
                    Some(checks.get(usize::from(check.check))?.value.clone())
                });
                if let Some(plan) = plan {
                    spawn_local(upstream::probe(handle.clone(), check, address, plan));
                }
            }
            (Target::Node, _) => {}
        }
        (None, None, None)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "other actions are not for connections of clients"
    )]
    fn act_downstream(&mut self, handle: &Handle, id: DownstreamId, token: usize, action: Action) {
        let Some(down) = self.downstreams.get_mut(token) else {
            return;
        };
        match action {
            Action::Peek => {
                if let Some(Io::Plain(stream)) = down.stream.take() {
                    spawn_local(downstream::peek(handle.clone(), token, id, stream));
                }
            }
            Action::ServeHttp => {
                if let Some(stream) = down.stream.take() {
                    let close = down.close.clone();
                    let task = downstream::serve(handle.clone(), token, id, stream, close);
                    down.task = Some(spawn_local(task).abort_handle());
                }
            }
            Action::Splice(upstream) => {
                let up = self.upstreams.get_mut(&upstream);
                let onward = up.and_then(|up| up.sender.take());
                if let (Some(stream), Some(Sender::Bytes(onward))) = (down.stream.take(), onward) {
                    let close = down.close.clone();
                    let ends = (stream, onward);
                    let task = downstream::splice(handle.clone(), token, upstream, ends, close);
                    spawn_local(task);
                }
            }
            Action::CloseDownstream(_) => {
                down.close.notify_one();
                if down.stream.take().is_some() {
                    self.downstreams.remove(token);
                }
            }
            Action::Handshake => {
                let plan = self.node.handshake(id);
                let acceptor = plan.and_then(|plan| {
                    let acceptor = self.keeper.acceptor(&plan)?;
                    Some((acceptor, Box::from(plan.certificate)))
                });
                match (down.stream.take(), acceptor) {
                    (Some(Io::Plain(stream)), Some(acceptor)) => {
                        let handle = handle.clone();
                        spawn_local(downstream::shake(handle, token, id, stream, acceptor));
                    }
                    // a certificate that is not there; whoever read the configuration has said so
                    (stream, _) => {
                        let handle = handle.clone();
                        spawn_local(async move {
                            drop(stream);
                            handle.closed(token);
                        });
                    }
                }
            }
            _ => {}
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "other actions are not for connections to endpoints"
    )]
    fn act_upstream(&mut self, handle: &Handle, id: UpstreamId, action: Action) -> Spent {
        match action {
            Action::Connect { address } => {
                let Some(plan) = self.node.connect(id) else {
                    return (None, None, None);
                };
                let kind = upstream::Kind::of(&plan);
                let is_tls = plan.tls.is_some();
                let tls = plan
                    .tls
                    .map(|tls| self.keeper.connector(&tls, address.ip()));
                let handle = handle.clone();
                let task = match tls {
                    Some(None) => spawn_local(upstream::fail(handle, id)),
                    None => spawn_local(upstream::connect(handle, id, address, kind, None)),
                    Some(tls) => spawn_local(upstream::connect(handle, id, address, kind, tls)),
                };
                let up = Upstream::connecting(task.abort_handle(), is_tls);
                self.upstreams.insert(id, up);
                (None, None, None)
            }
            Action::CloseUpstream => (None, None, self.upstreams.remove(&id)),
            _ => (None, None, None),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "other actions are not for exchanges"
    )]
    fn act_exchange(
        &mut self,
        handle: &Handle,
        id: ExchangeId,
        token: usize,
        action: Action,
    ) -> Spent {
        match action {
            Action::Dispatch { attempt, upstream } => {
                self.dispatch(handle, token, attempt, upstream);
            }
            Action::StopRetaining => {
                if let Some(exchange) = self.exchanges.get(token) {
                    let mut body = exchange.body.borrow_mut();
                    body.keeps = false;
                    body.trim();
                }
            }
            Action::Cancel { attempt } => return self.cancel(token, attempt),
            Action::Forward { attempt, end } => self.forward(handle, token, attempt, end),
            Action::Finish { broken } => {
                let exchange = self.exchanges.get(token);
                if let Some(forwarding) = exchange.and_then(|it| it.forwarding.as_ref())
                    && broken
                {
                    forwarding.break_off();
                }
            }
            Action::Reply(reply) => self.reply(token, id, reply),
            Action::Pause(side) => self.pause(token, side, true),
            Action::Resume(side) => self.pause(token, side, false),
            Action::Spawned { child } => {
                self.spawned(token, child);
            }
            Action::Ended => {
                let over = self.exchanges.try_remove(token);
                for head in over.iter().flat_map(|exchange| &exchange.heads) {
                    self.heads.remove(*head);
                }
                return (over, None, None);
            }
            _ => {}
        }
        (None, None, None)
    }

    /// A copy of a request: it has the head and the body of its parent, and nobody waits for it.
    fn spawned(&mut self, parent: usize, child: ExchangeId) {
        let Some(exchange) = self.exchanges.get(parent) else {
            return;
        };
        let copy = Exchange {
            id: Some(child),
            head: exchange.head,
            body: exchange.body.clone(),
            reply: None,
            attempts: SmallVec::new(),
            forwarding: None,
            heads: SmallVec::new(),
            started: exchange.started,
        };
        self.heads.keep(exchange.head);
        let head = exchange.head;
        let token = self.exchanges.insert(copy);
        self.exchanges[token].heads.push(head);
        self.node.set_token(child, token as u64);
    }

    fn dispatch(&mut self, handle: &Handle, token: usize, attempt: AttemptId, to: UpstreamId) {
        let Some(exchange) = self.exchanges.get_mut(token) else {
            return;
        };
        let Some(up) = self.upstreams.get_mut(&to) else {
            return;
        };
        let Some(sender) = up.sender_for_request() else {
            return;
        };
        let Some(head) = self.heads.request(exchange.head) else {
            return;
        };
        let http2 = matches!(sender, Sender::Http2(_));
        let mut headers = head.parts.headers.clone();
        leave_connection_behind(&mut headers);
        let mut out = Outgoing::new(&mut headers);
        self.node.write_head(attempt, &self.heads, &mut out);
        let (path, authority) = (out.path.take(), out.authority.take());
        let path = path.or_else(|| head.parts.uri.path_and_query().cloned());
        let path = path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
        let authority = authority.as_deref().unwrap_or_else(|| head.authority());
        if http2 {
            headers.remove(HOST);
        } else if let Ok(host) = HeaderValue::from_str(authority) {
            headers.insert(HOST, host);
        }
        headers
            .entry(X_FORWARDED_PROTO)
            .or_insert(HeaderValue::from_static("http"));
        let body = AttemptBody::of(&exchange.body);
        let mut request = Request::new(body);
        *request.method_mut() = head.parts.method.clone();
        *request.uri_mut() = uri(http2, up.tls, authority, path);
        *request.headers_mut() = headers;
        let task = upstream::send(handle.clone(), token, attempt, to, sender, request);
        let task = spawn_local(task).abort_handle();
        exchange.attempts.push(Attempt {
            id: attempt,
            upstream: to,
            http2,
            task: Some(task),
            response: None,
        });
        let keeps = self.node.keeps_body(attempt.exchange);
        let mut body = exchange.body.borrow_mut();
        body.keeps &= keeps;
        body.trim();
    }

    /// Resets a try's stream; on HTTP/1.1 that takes the connection with it.
    fn cancel(&mut self, token: usize, attempt: AttemptId) -> Spent {
        let Some(exchange) = self.exchanges.get_mut(token) else {
            return (None, None, None);
        };
        let Some(at) = exchange.attempts.iter().position(|it| it.id == attempt) else {
            return (None, None, None);
        };
        let given_up = exchange.attempts.remove(at);
        if let Some(task) = &given_up.task {
            task.abort();
        }
        let closed = if given_up.http2 {
            None
        } else {
            self.upstreams.remove(&given_up.upstream)
        };
        (None, Some(given_up), closed)
    }

    fn forward(&mut self, handle: &Handle, token: usize, attempt: AttemptId, end: bool) {
        let Some(exchange) = self.exchanges.get_mut(token) else {
            return;
        };
        let mut attempts = exchange.attempts.iter_mut();
        let Some(response) = attempts
            .find(|it| it.id == attempt)
            .and_then(|it| it.response.take())
        else {
            return;
        };
        let (head, incoming) = response;
        let Some(head) = self.heads.response(head) else {
            return;
        };
        let mut headers = head.headers.clone();
        let mut out = Outgoing::new(&mut headers);
        self.node.write_response(attempt.exchange, &mut out);
        let took = exchange.started.elapsed().as_millis();
        if let Ok(took) = HeaderValue::from_str(&took.to_string()) {
            headers.insert(X_ENVOY_UPSTREAM_SERVICE_TIME, took);
        }
        headers.insert(http::header::SERVER, SERVER_NAME);
        let state = Rc::new(Forwarding::default());
        exchange.forwarding = Some(state.clone());
        let body = if end {
            ResponseBody::Own(None)
        } else {
            ResponseBody::Forwarded(Box::new(Forwarded {
                handle: handle.clone(),
                attempt,
                incoming,
                state,
                grpc_status: None,
                done: false,
            }))
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = headers;
        if let Some(reply) = exchange.reply.take() {
            // a client that has gone has said so
            let _ = reply.send(response);
        }
    }

    fn reply(&mut self, token: usize, id: ExchangeId, reply: LocalReply) {
        let Some(exchange) = self.exchanges.get_mut(token) else {
            return;
        };
        let mut response = Response::new(ResponseBody::Own(None));
        let status = StatusCode::from_u16(reply.status);
        *response.status_mut() = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let text = match reply.route {
            Some(route) => {
                let scheme = "http";
                let to = self
                    .node
                    .redirect(route, scheme, exchange.head, &self.heads);
                if let Some(to) = to.and_then(|to| HeaderValue::from_str(&to).ok()) {
                    response.headers_mut().insert(LOCATION, to);
                }
                self.node.direct_body(route).map(str::to_owned)
            }
            None => crate::replies::text(reply.reason).map(str::to_owned),
        };
        let headers = response.headers_mut();
        headers.insert(http::header::SERVER, SERVER_NAME);
        if let Some(status) = reply.grpc {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(GRPC_STATUS, HeaderValue::from(status));
            let message = text.unwrap_or_default();
            if let Ok(message) = HeaderValue::from_str(&message) {
                headers.insert(GRPC_MESSAGE, message);
            }
        } else if let Some(text) = text.filter(|text| !text.is_empty()) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            *response.body_mut() = ResponseBody::Own(Some(Bytes::from(text)));
        }
        if crate::replies::is_rate_limited(reply.reason) {
            let headers = response.headers_mut();
            headers.insert(X_ENVOY_RATELIMITED, HeaderValue::from_static("true"));
        }
        let headers = response.headers_mut();
        let mut out = Outgoing::new(headers);
        self.node.write_response(id, &mut out);
        if let Some(waiting) = exchange.reply.take() {
            let _ = waiting.send(response);
        }
    }

    fn pause(&mut self, token: usize, side: Side, paused: bool) {
        let Some(exchange) = self.exchanges.get(token) else {
            return;
        };
        match side {
            Side::Downstream => exchange.body.borrow_mut().pause(paused),
            Side::Upstream => {
                if let Some(forwarding) = &exchange.forwarding {
                    forwarding.pause(paused);
                }
            }
        }
    }

    fn record(&mut self, event: Event) {
        self.stats.record(&event);
    }
}

const SERVER_NAME: HeaderValue = HeaderValue::from_static("windtunnel");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_ENVOY_UPSTREAM_SERVICE_TIME: HeaderName =
    HeaderName::from_static("x-envoy-upstream-service-time");
const X_ENVOY_RATELIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What broke a try, in the core's words.
pub(crate) fn cause_of(error: &hyper::Error) -> ResetCause {
    use std::error::Error;
    let refused = error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>())
        .and_then(h2::Error::reason);
    match refused {
        Some(h2::Reason::REFUSED_STREAM) => ResetCause::Refused,
        Some(h2::Reason::PROTOCOL_ERROR) => ResetCause::Protocol,
        Some(_) => ResetCause::Remote,
        None if error.is_parse() => ResetCause::Protocol,
        None => ResetCause::ConnectionClosed,
    }
}
