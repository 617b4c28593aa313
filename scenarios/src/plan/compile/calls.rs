//! Calls between services: whom they reach, and that they come to an end.

use manifests::diagnostics::Diagnostic;
use manifests::text::Span;

use super::Compiler;
use super::behaviour::small;
use crate::format::{self, Located};
use crate::plan::ids::{CallId, HandlerId, RequestId, ServiceId, WorkloadId};
use crate::plan::known::DEFAULT_NAMESPACE;
use crate::plan::program::{Call, OnError, Step};
use crate::plan::workload::{Drawn, HeaderValue, RequestTemplate, Values};

/// The most calls that one request may cause without any retry; beyond it a run would not end.
const MAX_CALLS: f64 = 100_000.0;

impl Compiler<'_> {
    pub(super) fn call(
        &mut self,
        caller: WorkloadId,
        given: &Located<format::Call>,
        draw: u32,
    ) -> Option<CallId> {
        let to = self.callee(caller, given)?;
        let namespace = self.workloads[caller.index()].namespace.clone();
        let service = &self.services[to.index()];
        let port = match &given.port {
            Some(port) => small(port.0),
            None => service.ports[0],
        };
        if let Some(written) = given
            .port
            .as_ref()
            .filter(|_| !service.ports.contains(&port))
        {
            let ports: Vec<String> = service.ports.iter().map(u16::to_string).collect();
            let message = format!("the Service `{}` has no port {port}", service.name);
            let problem = Diagnostic::error("call::port", message)
                .label(written.span(), "this port")
                .help(format!("it has {}", ports.join(", ")));
            self.problems.push(problem);
        }
        let mut authority = service.name.to_string();
        if service.namespace != namespace {
            authority = format!("{authority}.{}", service.namespace);
        }
        if port != 80 {
            authority = format!("{authority}:{port}");
        }
        let headers = self.headers(&given.headers);
        self.requests.push(RequestTemplate {
            method: given.request.method.as_str().into(),
            authority: authority.into(),
            path: given.request.path.as_str().into(),
            headers,
            size: given.size.as_ref().map_or(0, |size| size.0),
            to: Some((to, port)),
        });
        let request = RequestId::at(self.requests.len() - 1);
        let policy = self.try_policy(
            given.timeout.as_ref(),
            given.retries.as_ref().map(|count| count.0),
            given.backoff.as_ref(),
            given.hedge.as_ref(),
        );
        let policy = self.policy(policy);
        let status = |status: &Option<Located<format::scalars::Status>>, default| {
            status.as_ref().map_or(default, |status| small(status.0))
        };
        let on_error = match given.on_error.as_deref() {
            None => OnError::Fail { status: 500 },
            Some(format::OnError::Fail(given)) => OnError::Fail {
                status: status(given, 500),
            },
            Some(format::OnError::Ignore) => OnError::Ignore,
            Some(format::OnError::Fallback(given)) => OnError::Fallback {
                status: status(given, 200),
            },
        };
        let call = Call {
            to,
            port,
            request,
            probability: given.probability.as_ref().map_or(1.0, |share| share.0),
            times: given.times.as_ref().map_or(1, |times| times.0),
            policy,
            on_error,
            draw,
        };
        Some(self.push_call(call, given.span()))
    }

    fn callee(&mut self, caller: WorkloadId, given: &Located<format::Call>) -> Option<ServiceId> {
        let namespace = self.workloads[caller.index()].namespace.to_string();
        match (&given.workload, &given.service) {
            (Some(name), None) => {
                let id = self.workload(name, &namespace)?;
                let workload = &self.workloads[id.index()];
                let own =
                    |service: &&ServiceId| self.services[service.index()].name == workload.name;
                let service = workload
                    .services
                    .iter()
                    .find(own)
                    .or_else(|| workload.services.first());
                if service.is_none() {
                    let message =
                        format!("no Service selects the pods of `{}`", workload.full_name());
                    let problem = Diagnostic::error("call::no-service", message)
                        .label(name.span(), "called here")
                        .help("callers use Services; add one to the manifests");
                    self.problems.push(problem);
                    return None;
                }
                service.copied()
            }
            (None, Some(name)) => {
                let (in_namespace, bare) = name.split_once('/').unwrap_or((&namespace, name));
                let found = self.service(in_namespace, bare);
                if found.is_none() {
                    self.unknown_service("call::unknown-service", name);
                }
                found
            }
            (workload, _) => {
                let both: &[&str] = if workload.is_some() {
                    &["workload", "service"]
                } else {
                    &[]
                };
                self.one_of(given.span(), &["workload", "service"], both);
                None
            }
        }
    }

    pub(super) fn unknown_service(&mut self, code: &'static str, name: &Located<String>) {
        let names: Vec<String> = self
            .services
            .iter()
            .flat_map(|service| {
                let (name, namespace) = (&service.name, &service.namespace);
                [name.to_string(), format!("{namespace}/{name}")]
            })
            .collect();
        let shown = names
            .iter()
            .filter(|each| each.contains('/') == name.contains('/'));
        self.unknown(code, "Service", name, shown.map(String::as_str));
    }

    pub(super) fn headers(
        &mut self,
        given: &indexmap::IndexMap<Located<String>, Located<format::HeaderValue>>,
    ) -> Vec<(Box<str>, HeaderValue)> {
        let mut headers: Vec<(Box<str>, HeaderValue)> = Vec::new();
        for (name, value) in given {
            let lower = name.to_ascii_lowercase();
            if !is_header_name(&lower) {
                let message = format!("`{}` is not the name of a header", name.escape_debug());
                self.error("header::name", message, name.span(), "this name");
                continue;
            }
            if headers.iter().any(|(other, _)| **other == *lower) {
                let message = format!("the header `{lower}` is given twice");
                self.error("header::duplicate", message, name.span(), "again here");
                continue;
            }
            if let Some(value) = self.header_value(value) {
                headers.push((lower.into(), value));
            }
        }
        headers
    }

    fn header_value(&mut self, value: &Located<format::HeaderValue>) -> Option<HeaderValue> {
        let drawn = match &**value {
            format::HeaderValue::Fixed(text) => {
                return Some(HeaderValue::Fixed(text.as_str().into()));
            }
            format::HeaderValue::Drawn(drawn) => drawn,
        };
        Some(HeaderValue::Drawn(
            match (&drawn.zipf, &drawn.uniform, &drawn.list) {
                (Some(zipf), None, None) => {
                    let exponent = zipf.exponent.as_ref().map_or(1.0, |exponent| exponent.0);
                    if exponent > 20.0 {
                        let span = zipf
                            .exponent
                            .as_ref()
                            .map_or_else(|| value.span(), Located::span);
                        self.error(
                            "header::zipf",
                            "an exponent lies between 0 and 20",
                            span,
                            "too large",
                        );
                    }
                    let prefix = zipf.prefix.as_deref().unwrap_or_default();
                    Drawn::zipf(prefix, zipf.count.0, exponent)
                }
                (None, Some(many), None) => Drawn(Values::Uniform {
                    prefix: many.prefix.as_deref().unwrap_or_default().into(),
                    count: many.count.0,
                }),
                (None, None, Some(list)) => {
                    if list.is_empty() {
                        self.error(
                            "header::list",
                            "there is nothing to draw from",
                            list.span(),
                            "an empty list",
                        );
                        return None;
                    }
                    Drawn(Values::List(
                        list.iter().map(|each| each.as_str().into()).collect(),
                    ))
                }
                (zipf, uniform, list) => {
                    let given = [
                        ("zipf", zipf.is_some()),
                        ("uniform", uniform.is_some()),
                        ("list", list.is_some()),
                    ];
                    let given: Vec<&str> = given
                        .iter()
                        .filter(|each| each.1)
                        .map(|each| each.0)
                        .collect();
                    self.one_of(value.span(), &["zipf", "uniform", "list"], &given);
                    return None;
                }
            },
        ))
    }

    /// Reports calls that come back to where they began, that no handler takes, and that multiply beyond all bounds.
    pub(super) fn check_calls(&mut self) {
        let graph = self.call_graph();
        let count = graph.len();
        let mut state = vec![State::New; count];
        // Calls that a handler causes, itself not counted; known once it is done.
        let mut total = vec![0.0_f64; count];
        for root in 0..count {
            if state[root] != State::New {
                continue;
            }
            let mut path = vec![(root, 0)];
            state[root] = State::Open;
            while let Some((handler, next)) = path.last_mut() {
                let handler = *handler;
                let Some((call, target)) = graph[handler].get(*next).copied() else {
                    state[handler] = State::Done;
                    total[handler] = self.calls_of(&graph[handler], &total);
                    if total[handler] > MAX_CALLS {
                        self.too_many(handler, &graph[handler], total[handler]);
                        return;
                    }
                    path.pop();
                    continue;
                };
                *next += 1;
                match state[target] {
                    State::New => {
                        state[target] = State::Open;
                        path.push((target, 0));
                    }
                    State::Open => {
                        self.cycle(&path, target, call);
                        return;
                    }
                    State::Done => {}
                }
            }
        }
    }

    /// For each handler, its calls with each handler that may take them.
    fn call_graph(&mut self) -> Vec<Vec<(CallId, usize)>> {
        let mut graph = Vec::with_capacity(self.program.handlers.len());
        let mut untaken = Vec::new();
        for (index, handler) in self.program.handlers.iter().enumerate() {
            let end = self
                .program
                .handlers
                .get(index + 1)
                .map_or(self.program.steps.len(), |next| next.first.index());
            let mut edges = Vec::new();
            for step in &self.program.steps[handler.first.index()..end] {
                if let Step::Call(id) = step {
                    let targets = self.takers(*id);
                    if targets.is_empty() {
                        untaken.push(*id);
                    }
                    edges.extend(targets.into_iter().map(|target| (*id, target.index())));
                }
            }
            graph.push(edges);
        }
        for call in untaken {
            self.nobody_takes(call);
        }
        graph
    }

    fn takers(&self, call: CallId) -> Vec<HandlerId> {
        let call = &self.program.calls[call.index()];
        let request = &self.requests[call.request.index()];
        let mut takers: Vec<HandlerId> = Vec::new();
        for workload in &self.services[call.to.index()].workloads {
            for version in &self.workloads[workload.index()].versions {
                let handler =
                    self.program
                        .handler_for(version.behaviour, &request.method, &request.path);
                takers.extend(handler.filter(|handler| !takers.contains(handler)));
            }
        }
        takers
    }

    /// Routes of the manifests may rewrite a path, so this is certain only of a Service that the scenario made.
    fn nobody_takes(&mut self, id: CallId) {
        let call = &self.program.calls[id.index()];
        let service = &self.services[call.to.index()];
        let request = &self.requests[call.request.index()];
        if service.in_manifests {
            return;
        }
        let message = format!(
            "no handler of `{}` takes `{} {}`",
            service.name, request.method, request.path
        );
        let problem = Diagnostic::warning("call::no-handler", message)
            .label(self.call_spans[id.index()], "is answered 404")
            .help("add a handler, or correct the path");
        self.problems.push(problem);
    }

    fn calls_of(&self, edges: &[(CallId, usize)], total: &[f64]) -> f64 {
        let mut sum = 0.0;
        let mut at = 0;
        while let Some((call, _)) = edges.get(at) {
            let same = edges[at..].iter().take_while(|(other, _)| other == call);
            let (count, worst) = same.fold((0, 0.0_f64), |(count, worst), (_, target)| {
                (count + 1, worst.max(total[*target]))
            });
            sum += f64::from(self.program.calls[call.index()].times) * (1.0 + worst);
            at += count;
        }
        sum
    }

    fn too_many(&mut self, handler: usize, edges: &[(CallId, usize)], total: f64) {
        let message = format!(
            "one request of `{}` causes {total:.0} calls",
            self.handler_names[handler]
        );
        let span = edges
            .first()
            .map_or(Span::NOWHERE, |(call, _)| self.call_spans[call.index()]);
        let problem = Diagnostic::error("call::too-many", message)
            .label(span, "these and what they call")
            .help(format!("at most {MAX_CALLS:.0} are allowed: lower `times`"));
        self.problems.push(problem);
    }

    fn cycle(&mut self, path: &[(usize, usize)], target: usize, call: CallId) {
        let from = path
            .iter()
            .position(|(handler, _)| *handler == target)
            .unwrap_or(0);
        let mut names: Vec<&str> = path[from..]
            .iter()
            .map(|(handler, _)| &*self.handler_names[*handler])
            .collect();
        names.push(&self.handler_names[target]);
        let message = format!("calls go in a circle: {}", names.join(" → "));
        let problem = Diagnostic::error("call::cycle", message)
            .label(self.call_spans[call.index()], "leads back")
            .help("a request would never end; give the two operations handlers of their own");
        self.problems.push(problem);
    }

    /// The namespace of a workload that sends requests, or where clients look names up.
    pub(super) fn namespace_of(&self, workload: Option<WorkloadId>) -> String {
        workload.map_or_else(
            || DEFAULT_NAMESPACE.to_owned(),
            |id| self.workloads[id.index()].namespace.to_string(),
        )
    }
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

/// RFC 9110 §5.1, in lower case.
fn is_header_name(name: &str) -> bool {
    let token =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=256).contains(&name.len()) && name.bytes().all(token)
}
