//! Applications: HTTP servers whose requests the application model works on, and the calls that it makes.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use manifests::model::Model;
use proxy_core::draw::{DrawKey, Purpose};
use proxy_core::time::Time;
use reports::outcome::{ErrorReason, Handled};
use scenarios::app::{
    AppAction, AppInput, Arrival, CallOutcome, NO_HANDLER_STATUS, QUEUE_FULL_STATUS, TryId, TryKind,
};
use scenarios::plan::program::CallerGone;
use scenarios::plan::{CallId, PolicyId, RequestId};
use sim::facts;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use crate::books::{Ends, Entry};
use crate::wire::{self, Heard, Owner};
use crate::world::{Answer, Asked, Due, ENDPOINTS_KNOWN, Live, Sent, World};

/// The header in which a pod's number comes back, so that callers know who has answered.
pub(crate) const POD: HeaderName = HeaderName::from_static("x-windtunnel-pod");

/// A connection that is closed without an answer.
#[derive(Debug, Error)]
#[error("the process is gone")]
struct Gone;

/// The ports that a workload is known to listen on.
pub(crate) fn ports(model: &Model, workload: u32) -> Vec<u16> {
    let Some(entry) = model.workloads().get(workload as usize) else {
        return Vec::new();
    };
    let mut found: Vec<u16> = entry.ports.iter().map(|port| port.number).collect();
    let services = model
        .services()
        .iter()
        .filter(|service| service.workloads.contains(&entry.id));
    for port in services.flat_map(|service| &service.ports) {
        found.extend(entry.target_port(&port.target));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Serves a pod's application on these sockets.
pub(crate) fn listen(live: &Live, pod: u32, sockets: Vec<TcpListener>) {
    for socket in sockets {
        let served = live.clone();
        let task = spawn_local(async move {
            loop {
                let Ok((stream, _)) = socket.accept().await else {
                    continue;
                };
                // a client that has gone already is noticed when it is read
                let _ = stream.set_nodelay(true);
                let live = served.clone();
                let service = service_fn(move |request| take(live.clone(), pod, request));
                let connection = spawn_local(async move {
                    let builder = auto::Builder::new(proxy::Local);
                    let _ = builder
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
                served.with(|world| {
                    let servers = &mut world.pods[pod as usize].servers;
                    servers.retain(|task| !task.is_finished());
                    servers.push(connection.abort_handle());
                });
            }
        });
        live.with(|world| {
            let servers = &mut world.pods[pod as usize].servers;
            servers.push(task.abort_handle());
        });
    }
}

/// Tells an application when the caller of a request has gone.
struct Guard<'a>(&'a Live, u32, Option<usize>);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(token) = self.2 {
            self.0.caller_gone(self.1, token);
        }
    }
}

async fn take(
    live: Live,
    pod: u32,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Gone> {
    let (parts, body) = request.into_parts();
    // an application begins when it has read the whole request
    body.collect().await.map_err(|_| Gone)?;
    let (answer, waits) = oneshot::channel();
    let key = live.with(|world| {
        let state = &mut world.pods[pod as usize];
        state.arrived += 1;
        state.key.child(state.arrived)
    });
    let (reset, swallow) = live.with(|world| {
        let state = &world.pods[pod as usize];
        let u = key.unit(Purpose::FaultAbort, 7);
        let strikes = |all: &[(u32, f64)]| all.iter().any(|(_, share)| u < *share);
        (strikes(&state.resets), strikes(&state.swallows))
    });
    if reset {
        return Err(Gone);
    }
    if swallow {
        std::future::pending::<Infallible>().await;
    }
    let path = parts.uri.path_and_query().map_or("/", |it| it.as_str());
    let token = live.arrive(pod, parts.method.as_str(), path, key, answer);
    let mut guard = Guard(&live, pod, Some(token));
    let answer = waits.await;
    guard.2 = None;
    match answer {
        Ok(Answer::Status(status, size)) => {
            let mut response = Response::new(Full::from(vec![0; size as usize]));
            *response.status_mut() = http::StatusCode::from_u16(status).map_err(|_| Gone)?;
            response.headers_mut().insert(POD, HeaderValue::from(pod));
            Ok(response)
        }
        Ok(Answer::Lost) | Err(_) => Err(Gone),
    }
}

impl Live {
    fn arrive(
        &self,
        pod: u32,
        method: &str,
        path: &str,
        key: DrawKey,
        answer: oneshot::Sender<Answer>,
    ) -> usize {
        let now = self.now();
        let token = self.with(|world| {
            let program = world.plan.program.clone();
            let state = &mut world.pods[pod as usize];
            let token = state.requests.insert(Asked {
                answer: Some(answer),
                job: None,
            });
            if let Some(app) = state.app.as_mut() {
                let handler = program.handler_for(app.behaviour(), method, path);
                let arrival = Arrival {
                    token: token as u64,
                    handler,
                    key,
                    watched: false,
                };
                let job = app.arrive(now, arrival);
                state.requests[token].job = Some(job);
            }
            token
        });
        self.settle(pod, now);
        token
    }

    fn caller_gone(&self, pod: u32, token: usize) {
        let now = self.now();
        self.with(|world| {
            let state = &mut world.pods[pod as usize];
            let Some(asked) = state.requests.try_remove(token) else {
                return;
            };
            let (Some(app), Some(job)) = (state.app.as_mut(), asked.job) else {
                return;
            };
            app.handle(now, AppInput::CallerGone { job });
            let rules = &world.plan.program.behaviours[app.behaviour().index()];
            let how = match rules.on_caller_gone {
                CallerGone::Continue => Handled::Wasted,
                CallerGone::Abort => Handled::Abandoned,
            };
            let workload = state.workload;
            world.note(now, Entry::Handled { workload, how });
        });
        self.settle(pod, now);
    }

    /// Tells a pod's application something, and does what it wants done.
    pub(crate) fn tell(&self, pod: u32, input: AppInput) {
        let now = self.now();
        self.with(|world| {
            if let Some(app) = world.pods[pod as usize].app.as_mut() {
                app.handle(now, input);
            }
        });
        self.settle(pod, now);
    }

    pub(crate) fn settle(&self, pod: u32, now: Time) {
        while let Some(action) = self.with(|world| {
            let app = world.pods[pod as usize].app.as_mut()?;
            app.poll_action()
        }) {
            self.act(pod, now, action);
        }
        self.with(|world| world.gauge(pod, now));
    }

    fn act(&self, pod: u32, now: Time, action: AppAction) {
        match action {
            AppAction::Arm { id, at, .. } => self.plan(at, Due::App(pod, id)),
            AppAction::Call {
                call,
                to,
                key,
                kind,
                ..
            } => self.call(pod, call, to, key, kind),
            AppAction::CallEnded {
                call,
                outcome,
                decided_by,
            } => self.with(|world| {
                let reason = facts::reason_of_call(outcome);
                if let Some(ends) = world.ends_of_call(pod, call, Some(decided_by)) {
                    world.note(now, Entry::Call { ends, reason });
                }
            }),
            AppAction::CallGivenUp { call, latest } => self.with(|world| {
                if let Some(ends) = world.ends_of_call(pod, call, latest) {
                    world.note(now, Entry::CallGivenUp { ends });
                }
            }),
            AppAction::CancelCall { call } => self.with(|world| {
                let state = &mut world.pods[pod as usize];
                if let Some(sent) = state.tries.get_mut(&call.index())
                    && sent.id == call
                {
                    let entry = given_up(sent, now);
                    world.log.extend(entry.map(|entry| (now, entry)));
                }
            }),
            AppAction::Answer {
                token,
                status,
                size,
                ..
            } => {
                let how = if status >= 500 && status != NO_HANDLER_STATUS {
                    Handled::Failed
                } else {
                    Handled::Served
                };
                self.answer(pod, token, now, Answer::Status(status, size), how);
            }
            AppAction::Refuse { token } => {
                let answer = Answer::Status(QUEUE_FULL_STATUS, 0);
                self.answer(pod, token, now, answer, Handled::Refused);
            }
            AppAction::Lost { token } => self.answer(pod, token, now, Answer::Lost, Handled::Lost),
            AppAction::Note { .. } => {}
            AppAction::Listening => {
                let sockets = self.with(|world| world.own_sockets(pod));
                listen(self, pod, sockets);
            }
            AppAction::Ready => self.became(pod, true),
        }
    }

    /// A pod is ready, or is not any more; everybody knows a little later.
    pub(crate) fn became(&self, pod: u32, ready: bool) {
        let now = self.now();
        let workload = self.with(|world| {
            let state = &mut world.pods[pod as usize];
            state.ready = ready;
            state.workload
        });
        self.plan(now + ENDPOINTS_KNOWN, Due::Endpoints(workload));
    }

    fn answer(&self, pod: u32, token: u64, now: Time, answer: Answer, how: Handled) {
        let waiting = self.with(|world| {
            let state = &mut world.pods[pod as usize];
            let workload = state.workload;
            let asked = state.requests.try_remove(token as usize);
            let waiting = asked.and_then(|mut asked| asked.answer.take());
            let how = if waiting.is_some() {
                how
            } else {
                Handled::Wasted
            };
            world.note(now, Entry::Handled { workload, how });
            waiting
        });
        if let Some(waiting) = waiting {
            // a caller that has gone is noticed by its connection
            let _ = waiting.send(answer);
        }
    }

    fn call(&self, pod: u32, call: TryId, to: CallId, key: DrawKey, kind: TryKind) {
        let now = self.now();
        let (request, dest, due) = self.with(|world| {
            let entry = &world.plan.program.calls[to.index()];
            let due = world.due(entry.policy, now);
            (
                world.template(entry.request, key),
                world.call_dests[to.index()],
                due,
            )
        });
        self.with(|world| {
            let state = &world.pods[pod as usize];
            let ends = world.workload_behind(dest).map(|to| (state.workload, to));
            let counts = !state.has_sidecar;
            let sent = Sent {
                id: call,
                task: None,
                ends,
                counts,
                at: now,
                due,
            };
            world.pods[pod as usize].tries.insert(call.index(), sent);
            if let Some(ends) = ends.filter(|_| counts) {
                let (kind, why) = facts::kind_of(kind);
                world.note(now, Entry::Try { ends, kind, why });
            }
        });
        let live = self.clone();
        let task = spawn_local(async move {
            let heard = wire::ask(&live, Owner::Pod(pod), dest, request).await;
            live.heard(pod, call, heard);
        });
        self.with(|world| {
            if let Some(sent) = world.pods[pod as usize].tries.get_mut(&call.index()) {
                sent.task = Some(task.abort_handle());
            }
        });
    }

    fn heard(&self, pod: u32, call: TryId, (outcome, by): Heard) {
        let now = self.now();
        self.with(|world| {
            let to = by
                .and_then(|by| world.pods.get(by as usize))
                .map(|it| it.workload);
            let state = &mut world.pods[pod as usize];
            let from = state.workload;
            if let Some(sent) = state.tries.get_mut(&call.index())
                && sent.id == call
            {
                let entry = ended(sent, now, outcome);
                if let Some(to) = to {
                    sent.ends = Some((from, to));
                }
                world.log.extend(entry.map(|entry| (now, entry)));
            }
        });
        self.tell(pod, AppInput::CallDone { call, outcome });
    }
}

/// A try is given up by whoever sent it.
pub(crate) fn given_up(sent: &mut Sent, now: Time) -> Option<Entry> {
    if let Some(task) = sent.task.take() {
        task.abort();
    }
    let reason = if sent.due <= now {
        ErrorReason::Timeout
    } else {
        ErrorReason::Superseded
    };
    try_end(sent, now, reason)
}

/// A try has ended.
pub(crate) fn ended(sent: &mut Sent, now: Time, outcome: CallOutcome) -> Option<Entry> {
    sent.task = None;
    try_end(sent, now, facts::reason_of_call(outcome))
}

fn try_end(sent: &Sent, now: Time, reason: ErrorReason) -> Option<Entry> {
    let ends = sent.ends.filter(|_| sent.counts)?;
    let took = now.since(sent.at);
    Some(Entry::TryEnd { ends, reason, took })
}

impl World {
    fn gauge(&mut self, pod: u32, now: Time) {
        let state = &mut self.pods[pod as usize];
        let Some(app) = state.app.as_ref() else {
            return;
        };
        let slots = if app.is_listening() { app.slots() } else { 0 };
        let after = [app.busy(), app.waiting(), slots].map(u64::from);
        let before = std::mem::replace(&mut state.gauges, after);
        if before != after {
            let workload = state.workload;
            let entry = Entry::Gauges {
                workload,
                before,
                after,
            };
            self.note(now, entry);
        }
    }

    /// The ends of a call: where a try of it went, else the first workload behind its Service.
    fn ends_of_call(&self, pod: u32, call: CallId, by: Option<TryId>) -> Option<Ends> {
        let state = &self.pods[pod as usize];
        let sent = by.and_then(|id| state.tries.get(&id.index()));
        if let Some(ends) = sent.and_then(|sent| sent.ends) {
            return Some(ends);
        }
        let to = self.workload_behind(self.call_dests[call.index()])?;
        Some((state.workload, to))
    }

    /// When a try that begins now is given up by who follows this policy.
    pub(crate) fn due(&self, policy: PolicyId, now: Time) -> Time {
        let timeout = self.plan.program.policies[policy.index()].timeout;
        timeout.map_or(Time::MAX, |timeout| now + timeout.after)
    }

    /// A request of the plan, its drawn values drawn.
    pub(crate) fn template(&self, request: RequestId, key: DrawKey) -> Request<Full<Bytes>> {
        let template = &self.plan.requests[request.index()];
        let mut made = Request::new(Full::from(vec![0; template.size as usize]));
        // the plan has checked what it holds
        if let Ok(method) = template.method.parse() {
            *made.method_mut() = method;
        }
        if let Ok(path) = template.path.parse() {
            *made.uri_mut() = path;
        }
        if let Ok(host) = HeaderValue::from_str(&template.authority) {
            made.headers_mut().insert(HOST, host);
        }
        for (at, (name, value)) in (0..).zip(&template.headers) {
            let value = match value {
                scenarios::plan::HeaderValue::Fixed(value) => HeaderValue::from_str(value),
                scenarios::plan::HeaderValue::Drawn(drawn) => {
                    HeaderValue::from_str(&drawn.value(drawn.draw(key, at)))
                }
            };
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
                made.headers_mut().append(name, value);
            }
        }
        made
    }

    /// Where a pod's application listens.
    pub(crate) fn own_places(&self, pod: u32) -> Vec<SocketAddr> {
        let state = &self.pods[pod as usize];
        let ip = if state.has_sidecar {
            crate::address::inside(state.ip)
        } else {
            crate::address::outside(state.ip)
        };
        let ports = ports(&self.models[0], state.workload);
        let places = ports.into_iter().map(|port| crate::address::at(ip, port));
        places.flatten().collect()
    }

    /// The sockets of a pod's application that can be had; one that cannot be is missed by its callers.
    fn own_sockets(&self, pod: u32) -> Vec<TcpListener> {
        let places = self.own_places(pod).into_iter();
        places.filter_map(|place| crate::bind(place).ok()).collect()
    }
}
