//! Requests in flight: each is served by one future, which sends its tries and waits for what the node decides.

mod switch;

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{Method, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use proxy_core::heads::{Asks, HeadId, Heads};
use proxy_core::ids::{AttemptId, DownstreamId, ExchangeId, UpstreamId};
use proxy_core::node::{Action, Input, Side};
use proxy_core::reply::LocalReply;
use smallvec::SmallVec;
use tokio::task::spawn_local;

use crate::body::{AttemptBody, BrokenOff, Forwarded, RequestBody, ResponseBody, read_in};
use crate::heads::{Head, Outgoing, RequestHead, ResponseHead, leave_connection_behind, uri};
use crate::log::Kept;
use crate::slow::Pulse;
use crate::upgrades::{self, Far, Passage};
use crate::upstream::{self, Answer, Sender};
use crate::worker::{Handle, Worker};

/// A request, everything that is done for it, and its response.
pub(crate) struct Exchange {
    /// None while its request is being taken in.
    id: Option<ExchangeId>,
    /// Of its client's connection.
    pulse: Option<Arc<Pulse>>,
    pub(crate) head: HeadId,
    body: RequestBody,
    attempts: SmallVec<[Attempt; 1]>,
    heads: SmallVec<[HeadId; 2]>,
    /// What its client gets, until whoever serves it takes it.
    reply: Option<Response<ResponseBody>>,
    /// Whoever serves it, while there is nothing to do.
    server: Option<Waker>,
    /// A try was given up since whoever serves it last looked.
    gave_up: bool,
    /// The node has done with it: only its answer is still to be taken.
    over: bool,
    pub(crate) flow: Flow,
    /// What a record of it says, where there may be one.
    pub(crate) kept: Option<Box<Kept>>,
    /// What its client asks for besides an answer.
    passage: Option<Box<Passage>>,
}

/// One try.
pub(crate) struct Attempt {
    id: AttemptId,
    upstream: UpstreamId,
    http2: bool,
    stage: Stage,
}

enum Stage {
    /// To be sent by whoever serves the exchange.
    Ready(Sender, Box<Request<AttemptBody>>),
    Sent,
    Answered(HeadId, Came),
}

/// What comes after the head of a response.
enum Came {
    Body(Incoming),
    /// Bytes of another protocol.
    Switch(Far),
}

/// What the node has decided about a response that is on its way to its client.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub(crate) broken: bool,
    pub(crate) paused: bool,
    /// Whoever carries the response, while there is nothing to carry.
    pub(crate) carrier: Option<Waker>,
}

impl Flow {
    pub(crate) fn wake(&mut self) {
        if let Some(carrier) = self.carrier.take() {
            carrier.wake();
        }
    }
}

/// What is next for whoever serves an exchange.
enum Next {
    /// This is the answer.
    Answer(Response<ResponseBody>),
    Send(AttemptId, UpstreamId, Sender, Box<Request<AttemptBody>>),
    Wait,
    /// The exchange is over and there is no answer.
    Over,
}

impl Exchange {
    fn wake(&mut self) {
        if let Some(server) = self.server.take() {
            server.wake();
        }
    }

    fn next(&mut self) -> Next {
        if let Some(answer) = self.reply.take() {
            return Next::Answer(answer);
        }
        let ready = |it: &&mut Attempt| matches!(it.stage, Stage::Ready(..));
        if let Some(attempt) = self.attempts.iter_mut().find(ready)
            && let Stage::Ready(sender, request) =
                std::mem::replace(&mut attempt.stage, Stage::Sent)
        {
            return Next::Send(attempt.id, attempt.upstream, sender, request);
        }
        Next::Wait
    }
}

/// Tells the node when the client of an exchange stops waiting for it.
struct Guard<'a>(&'a Handle, Option<(usize, ExchangeId)>);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some((token, exchange)) = self.1 {
            self.0.client_gone(exchange);
            self.0.forget(token, exchange);
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

/// A try under way: which, over which connection, and what waits for its response.
type Sending<F> = (AttemptId, UpstreamId, F);

impl Handle {
    /// Serves one request of a client's connection.
    pub(crate) async fn serve(
        self,
        client: usize,
        downstream: DownstreamId,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, BrokenOff> {
        let http2 = request.version() == http::Version::HTTP_2;
        let (mut parts, incoming) = request.into_parts();
        let wish = if parts.extensions.is_empty() {
            None
        } else {
            upgrades::wish(&mut parts)
        };
        let end = incoming.is_end_stream();
        let body = if end {
            RequestBody::none()
        } else {
            RequestBody::coming()
        };
        let (exchange, token) = self.with_worker(|worker| {
            let key = worker.next_key();
            let mut head = Box::new(RequestHead::new(parts));
            let asks = worker.receive(downstream, key, &mut head);
            let (token, head) = worker.admit(client, head, body.clone());
            if let Some(wants) = worker.node.log_wants(downstream)
                && let Some(down) = worker.downstreams.get_mut(client)
            {
                worker.exchanges[token].kept = Some(Kept::new(wants, down.client()));
            }
            let request = proxy_core::node::Request {
                token: token as u64,
                downstream,
                head,
                end,
                bytes: 0,
                http2,
                asks,
                key,
            };
            if asks != Asks::Nothing {
                let passage = wish.map(|wish| Passage::new(wish, client, http2));
                worker.exchanges[token].passage = passage.map(Box::new);
            }
            let id = worker.call(|node, cx| node.request(cx, request));
            if worker.node.marks_head() {
                worker.mark(head);
            }
            worker.exchanges[token].id = Some(id);
            (id, token)
        });
        let mut guard = Guard(&self, Some((token, exchange)));
        if !end {
            spawn_local(read_in(self.clone(), exchange, body, incoming));
        }
        let answer = self.converse(token, exchange).await;
        guard.1 = None;
        // a node that has nothing to say any more closes the connection
        answer.ok_or(BrokenOff)
    }

    /// Sends the tries of an exchange until there is an answer for its client. Dropped before, it takes the tries with it.
    async fn converse(&self, token: usize, exchange: ExchangeId) -> Option<Response<ResponseBody>> {
        // nearly always there is one try at a time: only those beside it are boxed
        let mut first = pin!(None);
        let mut first_is: Option<(AttemptId, UpstreamId)> = None;
        let mut beside: Vec<Sending<Pin<Box<_>>>> = Vec::new();
        poll_fn(|cx| {
            loop {
                match self.look(|worker| worker.next_for(token, exchange)) {
                    Next::Answer(answer) => return Poll::Ready(Some(answer)),
                    Next::Over => return Poll::Ready(None),
                    Next::Send(attempt, upstream, sender, request) => {
                        let sending = upstream::send(sender, request);
                        if first_is.is_none() {
                            first.set(Some(sending));
                            first_is = Some((attempt, upstream));
                        } else {
                            beside.push((attempt, upstream, Box::pin(sending)));
                        }
                    }
                    Next::Wait => {}
                }
                if self.look(|worker| worker.gave_up(token)) {
                    let wants = |attempt| self.look(|worker| worker.wants(token, attempt));
                    if first_is.is_some_and(|(attempt, _)| !wants(attempt)) {
                        first.set(None);
                        first_is = None;
                    }
                    beside.retain(|(attempt, ..)| wants(*attempt));
                }
                let mut came = None;
                if let Some((attempt, upstream)) = first_is
                    && let Some(sending) = first.as_mut().as_pin_mut()
                    && let Poll::Ready(answer) = sending.poll(cx)
                {
                    first.set(None);
                    first_is = None;
                    came = Some((attempt, upstream, answer));
                } else {
                    for at in 0..beside.len() {
                        if let Poll::Ready(answer) = beside[at].2.as_mut().poll(cx) {
                            let (attempt, upstream, _) = beside.swap_remove(at);
                            came = Some((attempt, upstream, answer));
                            break;
                        }
                    }
                }
                if let Some((attempt, upstream, answer)) = came {
                    self.answered(token, attempt, upstream, answer);
                    continue;
                }
                self.look(|worker| worker.wake_later(token, cx));
                return Poll::Pending;
            }
        })
        .await
    }

    /// A try's response head has come, or it never will.
    fn answered(&self, token: usize, attempt: AttemptId, upstream: UpstreamId, answer: Answer) {
        let response = match answer {
            (sender, Ok(response)) => {
                self.give_back(upstream, sender);
                response
            }
            (sender, Err(cause)) => {
                self.give_back(upstream, sender);
                return self.input(Input::UpstreamReset { attempt, cause });
            }
        };
        let (mut parts, incoming) = response.into_parts();
        let http1 = parts.version < http::Version::HTTP_2;
        let may_switch = !parts.extensions.is_empty();
        let mut closes = !may_switch && leave_connection_behind(&mut parts.headers);
        let end = incoming.is_end_stream();
        self.with_worker(|worker| {
            let Some(exchange) = worker.exchanges.get_mut(token) else {
                return;
            };
            let mut attempts = exchange.attempts.iter_mut();
            let Some(sent) = attempts.find(|it| it.id == attempt) else {
                return;
            };
            let request = worker.heads.request(exchange.head);
            // to HEAD there is none, whatever the length says; trailers come and go over HTTP/2 alone
            let is_head = |it: &RequestHead| {
                let older = http1 || it.parts.version < http::Version::HTTP_2;
                it.parts.method == Method::HEAD && older
            };
            let end = end || request.is_some_and(is_head);
            let half = if may_switch {
                let asked = request.filter(|it| it.parts.method != Method::CONNECT);
                let kind = asked.and_then(|it| it.parts.headers.get(UPGRADE));
                let half = upgrades::answered(&mut parts, kind);
                if half.is_none() {
                    closes = leave_connection_behind(&mut parts.headers);
                }
                half
            } else {
                None
            };
            let head = worker
                .heads
                .insert(Head::Response(ResponseHead::new(parts)));
            exchange.heads.push(head);
            let came = match half {
                Some(half) => Came::Switch(Far::Switching(half)),
                None => Came::Body(incoming),
            };
            sent.stage = Stage::Answered(head, came);
            worker.call(|node, cx| {
                if closes && http1 {
                    node.handle(cx, Input::UpstreamDraining { upstream });
                }
                let arrived = Input::UpstreamHead {
                    attempt,
                    head,
                    end,
                    bytes: 0,
                };
                node.handle(cx, arrived);
            });
        });
    }

    /// Nobody will take the answer of an exchange.
    fn forget(&self, token: usize, exchange: ExchangeId) {
        let left = self.look(|worker| {
            let over = worker.exchange(token, exchange).is_some_and(|it| it.over);
            over.then(|| worker.exchanges.remove(token))
        });
        drop(left);
    }

    /// A connection of HTTP/1.1 may take its next request.
    fn give_back(&self, upstream: UpstreamId, sender: Option<Sender>) {
        if let Some(sender) = sender {
            let spare = self.look(|worker| match worker.upstreams.get_mut(&upstream) {
                Some(up) => up.sender.replace(sender),
                None => Some(sender),
            });
            drop(spare);
        }
    }
}

impl Worker {
    fn admit(
        &mut self,
        client: usize,
        head: Box<RequestHead>,
        body: RequestBody,
    ) -> (usize, HeadId) {
        let down = self.downstreams.get_mut(client);
        let pulse = down.map(|down| {
            down.version = Some(head.parts.version);
            down.pulse.clone()
        });
        if let Some(pulse) = &pulse {
            pulse.begin();
        }
        let head = self.heads.insert(Head::Request(head));
        let token = self.exchanges.insert(Exchange {
            id: None,
            pulse,
            head,
            body,
            attempts: SmallVec::new(),
            heads: SmallVec::from_slice(&[head]),
            reply: None,
            server: None,
            gave_up: false,
            over: false,
            flow: Flow::default(),
            kept: None,
            passage: None,
        });
        (token, head)
    }

    /// Changes a head as the node has just decided, before anybody else sees it.
    #[cold]
    fn mark(&mut self, head: HeadId) {
        if let Some(head) = self.heads.request_mut(head) {
            let mut out = Outgoing::of(&mut head.parts.headers, head.sketch);
            self.node.mark_head(&mut out);
            head.sketch = out.sketch();
        }
    }

    /// The exchange of a token, if it is still the one that is meant.
    pub(crate) fn exchange(&mut self, token: usize, id: ExchangeId) -> Option<&mut Exchange> {
        let exchange = self.exchanges.get_mut(token);
        exchange.filter(|it| it.id == Some(id))
    }

    fn next_for(&mut self, token: usize, id: ExchangeId) -> Next {
        let Some(exchange) = self.exchange(token, id) else {
            return Next::Over;
        };
        let next = exchange.next();
        if exchange.over {
            self.exchanges.remove(token);
        }
        next
    }

    fn wake_later(&mut self, token: usize, cx: &Context<'_>) {
        if let Some(exchange) = self.exchanges.get_mut(token) {
            exchange.server = Some(cx.waker().clone());
        }
    }

    /// Whether tries were given up since this was asked last, or the exchange is over.
    fn gave_up(&mut self, token: usize) -> bool {
        let exchange = self.exchanges.get_mut(token);
        exchange.is_none_or(|it| std::mem::take(&mut it.gave_up))
    }

    /// Whether a try is still to be answered.
    fn wants(&self, token: usize, attempt: AttemptId) -> bool {
        let exchange = self.exchanges.get(token);
        exchange.is_some_and(|it| it.attempts.iter().any(|tried| tried.id == attempt))
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "other actions are not for exchanges"
    )]
    pub(crate) fn act_exchange(
        &mut self,
        handle: &Handle,
        id: ExchangeId,
        token: usize,
        action: Action,
    ) {
        match action {
            Action::Dispatch { attempt, upstream } => {
                self.dispatch(handle, token, attempt, upstream);
            }
            Action::Switch { attempt } => self.switch(handle, token, attempt),
            Action::StopRetaining => {
                if let Some(exchange) = self.exchanges.get(token) {
                    exchange.body.keep_no_longer();
                }
            }
            Action::Cancel { attempt } => self.cancel(token, attempt),
            Action::Forward { attempt, end } => self.forward(handle, token, attempt, end),
            Action::Finish { broken } => {
                if let Some(exchange) = self.exchanges.get_mut(token)
                    && broken
                {
                    exchange.flow.broken = true;
                    exchange.flow.wake();
                }
            }
            Action::Reply(reply) => self.reply(token, id, reply),
            Action::Pause(side) => self.pause(token, side, true),
            Action::Resume(side) => self.pause(token, side, false),
            Action::Spawned { child } => self.spawned(handle, token, child),
            Action::Log { record } => self.log(handle, token, record),
            Action::Ended => self.ended(token),
            _ => {}
        }
    }

    fn ended(&mut self, token: usize) {
        let Some(exchange) = self.exchanges.get_mut(token) else {
            return;
        };
        for head in std::mem::take(&mut exchange.heads) {
            self.heads.remove(head);
        }
        if let Some(pulse) = exchange.pulse.take() {
            pulse.end();
        }
        exchange.wake();
        exchange.flow.wake();
        if exchange.reply.is_some() {
            // until whoever serves it takes it
            exchange.over = true;
        } else {
            self.exchanges.remove(token);
        }
    }

    /// A copy of a request: it has the head and the body of its parent, and nobody waits for it.
    #[cold]
    fn spawned(&mut self, handle: &Handle, parent: usize, child: ExchangeId) {
        let Some(exchange) = self.exchanges.get(parent) else {
            return;
        };
        let head = exchange.head;
        let copy = Exchange {
            id: Some(child),
            pulse: None,
            head,
            body: exchange.body.clone(),
            attempts: SmallVec::new(),
            heads: SmallVec::from_slice(&[head]),
            reply: None,
            server: None,
            gave_up: false,
            over: false,
            flow: Flow::default(),
            kept: None,
            passage: None,
        };
        self.heads.keep(head);
        let token = self.exchanges.insert(copy);
        self.node.set_token(child, token as u64);
        let handle = handle.clone();
        spawn_local(async move {
            if let Some(answer) = handle.converse(token, child).await {
                read_away(answer.into_body()).await;
            }
        });
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
        if let Some(kept) = &mut exchange.kept {
            kept.far = up.far.clone();
        }
        let sender = match sender {
            Sender::Bytes(io) => {
                exchange.attempts.push(Attempt {
                    id: attempt,
                    upstream: to,
                    http2: false,
                    stage: Stage::Sent,
                });
                let handle = handle.clone();
                spawn_local(async move { handle.tunnel_stands(token, attempt, io) });
                return;
            }
            Sender::Http1(_) | Sender::Http2(_) => sender,
        };
        let http2 = matches!(sender, Sender::Http2(_));
        // headers that nobody asks for any more leave as they are, without a copy
        let taken = if self.node.keeps_headers(attempt, &self.heads) {
            None
        } else {
            self.heads.take_headers(exchange.head)
        };
        let Some(head) = self.heads.request(exchange.head) else {
            return;
        };
        let mut request = Request::new(AttemptBody::of(&exchange.body));
        *request.method_mut() = head.parts.method.clone();
        *request.headers_mut() = taken.unwrap_or_else(|| head.parts.headers.clone());
        let headers = request.headers_mut();
        let mut out = Outgoing::of(headers, head.sketch);
        self.node.write_head(attempt, &self.heads, &mut out);
        self.node.write_trace(attempt, &mut out);
        let (path, authority) = (out.path.take(), out.authority.take());
        let path = path.or_else(|| head.parts.uri.path_and_query().cloned());
        let path = path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
        let named = authority.as_deref().unwrap_or_else(|| head.authority());
        if http2 {
            headers.remove(HOST);
        } else if (authority.is_some() || !head.has_host_alone())
            && let Ok(host) = HeaderValue::from_str(named)
        {
            headers.insert(HOST, host);
        }
        // without a word of it `hyper` takes it for granted that such a request has no body
        if exchange.body.is_some()
            && matches!(*request.method(), Method::GET | Method::HEAD)
            && !http2
            && !request.headers().contains_key(CONTENT_LENGTH)
        {
            let chunked = HeaderValue::from_static("chunked");
            request.headers_mut().insert(TRANSFER_ENCODING, chunked);
        }
        let scheme = self.node.scheme_for(attempt.exchange, up.tls, &self.heads);
        *request.uri_mut() = uri(http2, scheme, named, path);
        if exchange.passage.is_some() {
            upgrades::ask(&mut request, http2, named);
        }
        exchange.attempts.push(Attempt {
            id: attempt,
            upstream: to,
            http2,
            stage: Stage::Ready(sender, Box::new(request)),
        });
        if !self.node.keeps_body(attempt.exchange) {
            exchange.body.keep_no_longer();
        }
        exchange.wake();
    }

    /// Resets a try's stream; on HTTP/1.1 that takes the connection with it.
    #[cold]
    fn cancel(&mut self, token: usize, attempt: AttemptId) {
        let Some(exchange) = self.exchanges.get_mut(token) else {
            return;
        };
        let Some(at) = exchange.attempts.iter().position(|it| it.id == attempt) else {
            return;
        };
        let given_up = exchange.attempts.remove(at);
        exchange.gave_up = true;
        exchange.wake();
        if !given_up.http2 {
            self.upstreams.remove(&given_up.upstream);
        }
    }

    fn forward(&mut self, handle: &Handle, token: usize, attempt: AttemptId, end: bool) {
        let now = self.at;
        let Some(exchange) = self.exchanges.get_mut(token) else {
            return;
        };
        let mut attempts = exchange.attempts.iter_mut();
        let Some(answered) = attempts.find(|it| it.id == attempt) else {
            return;
        };
        let Stage::Answered(head, came) = std::mem::replace(&mut answered.stage, Stage::Sent)
        else {
            return;
        };
        let Some(head) = self.heads.take_response(head) else {
            return;
        };
        let mut headers = head.parts.headers;
        let mut out = Outgoing::of(&mut headers, head.sketch);
        let node = &self.node;
        node.write_response(now, attempt.exchange, &self.heads, &mut out);
        let body = match came {
            Came::Body(incoming) if !end => ResponseBody::Forwarded(Forwarded {
                handle: handle.clone(),
                token,
                attempt,
                incoming,
                grpc_status: None,
                done: false,
            }),
            Came::Body(_) | Came::Switch(_) => ResponseBody::Own(None),
        };
        if let Some(passage) = &exchange.passage {
            passage.refuse(&mut headers);
            if end {
                // of a refusal the client may have no more than its head
                headers.remove(CONTENT_LENGTH);
            }
        }
        if let Some(kept) = &mut exchange.kept {
            kept.answer(head.parts.status, &headers, 0);
        }
        let mut response = Response::new(body);
        *response.status_mut() = head.parts.status;
        *response.headers_mut() = headers;
        exchange.reply = Some(response);
        exchange.wake();
    }

    #[cold]
    fn reply(&mut self, token: usize, id: ExchangeId, reply: LocalReply) {
        let now = self.at;
        let Some(exchange) = self.exchanges.get_mut(token) else {
            return;
        };
        let mut response = Response::new(ResponseBody::Own(None));
        let status = StatusCode::from_u16(reply.status);
        *response.status_mut() = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let text = match reply.route {
            Some(route) => {
                let scheme = self.heads.scheme(exchange.head);
                let to = self
                    .node
                    .redirect(route, scheme, exchange.head, &self.heads);
                if let Some(to) = to.and_then(|to| HeaderValue::from_str(&to).ok()) {
                    response.headers_mut().insert(LOCATION, to);
                }
                self.node
                    .direct_body(route)
                    .map(|it| Cow::Owned(it.to_owned()))
            }
            None => crate::replies::text(&reply),
        };
        let request = self.heads.request(exchange.head);
        // departs: after a success of CONNECT there is no HTTP any more, and so no body
        let is_connect = |it: &RequestHead| it.parts.method == Method::CONNECT;
        let connects = response.status().is_success()
            && (request.is_some_and(is_connect)
                || exchange.passage.as_ref().is_some_and(|it| it.is_http2()));
        let bodiless = reply.silent || reply.status == 204 || connects;
        let text = text.filter(|text| !text.is_empty() && !bodiless);
        let head_only = request.is_some_and(|it| it.parts.method == Method::HEAD);
        crate::replies::write_head(&reply, request, response.headers_mut());
        if let Some(passage) = &exchange.passage {
            passage.refuse(response.headers_mut());
        }
        let mut out = Outgoing::new(response.headers_mut());
        self.node.write_response(now, id, &self.heads, &mut out);
        // what edits of the route say of a body stands
        let headers = response.headers_mut();
        let mut own = 0;
        if let Some(status) = reply.grpc {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(GRPC_STATUS, HeaderValue::from(status));
            let message = text.filter(|_| !head_only);
            let message = message.map(|text| crate::replies::percent_encoded(&text));
            if let Some(message) = message.and_then(|it| HeaderValue::from_str(&it).ok()) {
                headers.insert(GRPC_MESSAGE, message);
            }
        } else if let Some(text) = text {
            let plain = HeaderValue::from_static("text/plain");
            headers.entry(CONTENT_TYPE).or_insert(plain);
            headers.insert(CONTENT_LENGTH, text.len().into());
            if !head_only {
                own = text.len();
                *response.body_mut() = ResponseBody::Own(Some(Bytes::from(text.into_owned())));
            }
        } else {
            headers.remove(CONTENT_TYPE);
        }
        if let Some(kept) = &mut exchange.kept {
            kept.answer(response.status(), response.headers(), own);
        }
        exchange.reply = Some(response);
        exchange.wake();
    }

    #[cold]
    fn pause(&mut self, token: usize, side: Side, paused: bool) {
        let Some(exchange) = self.exchanges.get_mut(token) else {
            return;
        };
        match side {
            Side::Downstream => exchange.body.pause(paused),
            Side::Upstream => {
                exchange.flow.paused = paused;
                exchange.flow.wake();
            }
        }
    }
}

/// Takes a copy's response in and throws it away.
async fn read_away(mut body: ResponseBody) {
    while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {}
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
