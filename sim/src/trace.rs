//! One request through every proxy on its way, in zero time, and what would come of it if its server failed.
//!
//! A trace flies the manifests of a [`Flight`] over a network without latency and with services that answer 200 at once: what is left
//! is what the proxies decide. Chances (splits, injected faults, jitter) are drawn from the flight's seed.

use std::sync::Arc;

use manifests::diagnostics::did_you_mean;
use manifests::model::{Destination, Model};
use proxy_core::event::Detail;
use proxy_core::time::{Duration, Time};
use reports::trace::{Consequence, Part, Step, Subject, Trace, Trouble};
use reports::words::plural;
use scenarios::plan::load::{Client, Load, Mixed, Process, Protocol, TraceRow};
use scenarios::plan::program::{
    Behaviour, CallerGone, Discipline, Handler, PathMatch, Program, Step as Instruction, TryPolicy,
};
use scenarios::plan::{
    BehaviourId, Fault, FaultKind, HeaderValue, Plan, Pods, PolicyId, ProxyCpu, RequestId,
    RequestTemplate, Select, ServiceId, StepId, Via, Window, WorkloadId,
};

use crate::flight::{Flight, Options};
use crate::world::{World, split_authority};

/// When the request is sent: everybody knows by then of the pods that were ready, or not, at the start.
const SENT: Time = Time::from_nanos(10_000_000_000);
/// How long a trace waits for an answer. Longer than any timeout that is common: Kong's 6 tries of 60 s each, Envoy's idle hour.
const LONGEST: Duration = Duration::from_secs(2 * 3600);

/// A request as somebody would send it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Who sends it.
    pub from: Source,
    /// Whether the client speaks TLS; only toward a gateway.
    pub tls: bool,
    /// Upper case.
    pub method: Box<str>,
    /// Host, with a port when that is not the scheme's.
    pub authority: Box<str>,
    /// Path and query.
    pub path: Box<str>,
    /// Names in lower case.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Bytes of the body.
    pub size: u64,
}

/// Who sends a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A client outside, to this gateway; none: to the one that takes the host.
    Gateway(Option<Box<str>>),
    /// The application of a pod of this workload, through its sidecar if it has one.
    Workload(WorkloadId),
    /// The application of this pod, by its place among those of the workload.
    Pod(WorkloadId, u32),
    /// A client without a proxy, straight to the Service of the host.
    Outside,
}

impl Request {
    /// `GET http://api.example.com/service-a`.
    #[must_use]
    pub fn text(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{} {scheme}://{}{}", self.method, self.authority, self.path)
    }
}

/// Follows a request over the manifests that a flight starts with; its load, faults and changes have no part in it.
#[must_use]
pub fn trace(flight: &Flight, request: &Request) -> Trace {
    follow(&still(flight, request), request).0
}

/// Follows a request again under each trouble of the server that it reaches; empty when it reaches none.
#[must_use]
pub fn consequences(flight: &Flight, request: &Request) -> Vec<Consequence> {
    let calm = still(flight, request);
    let (_, Some(server)) = follow(&calm, request) else {
        return Vec::new();
    };
    let all = Trouble::ALL.into_iter();
    all.map(|trouble| {
        let (trace, _) = follow(&troubled(&calm, WorkloadId(server), trouble), request);
        consequence(trouble, trace)
    })
    .collect()
}

fn follow(flight: &Flight, request: &Request) -> (Trace, Option<u32>) {
    let seed = flight.plan.seed;
    let world = World::new(flight, seed, Detail::Decisions, Options::default());
    world.follow(request)
}

/// The flight without whatever takes time, with this request alone.
fn still(flight: &Flight, request: &Request) -> Flight {
    let mut plan = (*flight.plan).clone();
    plan.duration = LONGEST;
    plan.warmup = Duration::ZERO;
    plan.network.is_free = true;
    plan.network.loss = 0.0;
    plan.proxies.cpu = ProxyCpu::Free;
    plan.faults.clear();
    plan.changes.clear();
    let mut program = (*plan.program).clone();
    let behaviour = prompt(&mut program);
    for workload in &mut plan.workloads {
        for version in &mut workload.versions {
            version.behaviour = behaviour;
        }
    }
    program.policies.push(TryPolicy::default());
    let policy = PolicyId::at(program.policies.len() - 1);
    plan.program = Arc::new(program);
    plan.requests.push(template(&plan, &flight.model, request));
    let asked = RequestId::at(plan.requests.len() - 1);
    plan.loads = vec![Arc::new(load(request, asked, policy))];
    Flight::new(Arc::new(plan), flight.model.clone(), flight.origins.clone())
}

/// What answers 200 to everything at once.
fn prompt(program: &mut Program) -> BehaviourId {
    program.steps.push(Instruction::Reply);
    let first = StepId::at(program.steps.len() - 1);
    let handler = program.handlers.len() as u32;
    program.handlers.push(Handler {
        method: None,
        path: PathMatch::Prefix("".into()),
        first,
        status: 200,
        size: 0,
        releases_slot: false,
    });
    program.behaviours.push(Behaviour {
        concurrency: 1,
        cores: None,
        queue_limit: None,
        discipline: Discipline::Fifo,
        on_caller_gone: CallerGone::Abort,
        boot: None,
        ready: None,
        handlers: handler..handler + 1,
    });
    BehaviourId::at(program.behaviours.len() - 1)
}

fn template(plan: &Plan, model: &Model, request: &Request) -> RequestTemplate {
    let namespace = match request.from {
        Source::Workload(id) | Source::Pod(id, _) => {
            plan.workloads.get(id.index()).map(|it| &*it.namespace)
        }
        Source::Gateway(_) | Source::Outside => None,
    };
    let (host, port) = split_authority(&request.authority);
    let port = port.unwrap_or(80);
    let namespace = namespace.unwrap_or("default");
    let found = model
        .directory()
        .resolve(model.services(), namespace, host, port);
    let to = match found {
        Some(Destination::Service(it)) => Some((ServiceId(it.service.0), it.port)),
        Some(Destination::Headless { service, port }) => Some((ServiceId(service.0), port)),
        Some(Destination::Outside(_)) | None => None,
    };
    let headers = request.headers.iter();
    RequestTemplate {
        method: request.method.clone(),
        authority: request.authority.clone(),
        path: request.path.clone(),
        headers: headers
            .map(|(name, value)| (name.clone(), HeaderValue::Fixed(value.clone())))
            .collect(),
        size: request.size,
        to,
    }
}

fn load(request: &Request, asked: RequestId, policy: PolicyId) -> Load {
    Load {
        name: "trace".into(),
        via: match &request.from {
            Source::Gateway(name) => Via::Gateway(name.clone()),
            Source::Workload(id) | Source::Pod(id, _) => Via::Workload(*id),
            Source::Outside => Via::Direct,
        },
        mix: vec![Mixed {
            cumulative: 1.0,
            request: asked,
        }],
        process: Process::Trace(
            [TraceRow {
                at: SENT,
                request: asked,
            }]
            .into(),
        ),
        client: Client {
            protocol: Protocol::Http1,
            connections: None,
            policy,
        },
        surges: Vec::new(),
        span: manifests::text::Span::NOWHERE,
    }
}

/// The flight with a trouble of one workload, in force as the request comes.
fn troubled(calm: &Flight, server: WorkloadId, trouble: Trouble) -> Flight {
    let mut flight = calm.clone();
    let mut plan = (*flight.plan).clone();
    let select = Select {
        workload: Some(server),
        version: None,
        pods: Pods::All,
        zone: None,
        node: None,
        edge: None,
    };
    let just_before = Time::from_nanos(SENT.as_nanos() - 1);
    let (from, kind) = match trouble {
        Trouble::Refuses => (just_before, FaultKind::Crash { select }),
        // from the start, so that everybody knows by the time of the request
        Trouble::NoEndpoint => (Time::ZERO, FaultKind::Crash { select }),
        Trouble::Resets => (just_before, FaultKind::Reset { select, share: 1.0 }),
        Trouble::Hangs => (just_before, FaultKind::Freeze { select }),
        Trouble::Answers(status) => {
            let share = 1.0;
            let kind = FaultKind::Error {
                select,
                status,
                share,
            };
            (just_before, kind)
        }
    };
    plan.faults.push(Fault {
        name: "trouble".into(),
        window: Window {
            from,
            length: Some(LONGEST),
        },
        kind,
        span: manifests::text::Span::NOWHERE,
    });
    flight.pushed = vec![None];
    flight.plan = Arc::new(plan);
    flight
}

/// Sums a trace up by proxy: who tried more than once or answered by itself; where nobody did, who passed a failure on that its rule
/// would not retry.
fn consequence(trouble: Trouble, trace: Trace) -> Consequence {
    let mut parts: Vec<(Part, bool)> = Vec::new();
    for step in &trace.steps {
        if step.subject != Subject::Try && !(step.subject == Subject::Answer && step.failed) {
            continue;
        }
        let known = parts.iter().position(|(part, _)| part.party == step.party);
        let at = known.unwrap_or_else(|| {
            let part = Part {
                party: step.party,
                requests: 0,
                tries: 0,
                text: String::new(),
                origin: None,
            };
            parts.push((part, false));
            parts.len() - 1
        });
        let (part, acted) = &mut parts[at];
        if step.subject == Subject::Try {
            let (number, text) = step.text.split_once(": ").unwrap_or(("1", &step.text));
            part.tries += 1;
            part.requests += u32::from(number == "1");
            text.clone_into(&mut part.text);
            part.origin.clone_from(&step.origin);
            *acted |= number != "1";
        } else if step.origin.is_some() {
            // an answer of its own has a rule, one that is passed on has none
            *acted = true;
            if part.tries == 0 {
                part.text.clone_from(&step.text);
                part.origin.clone_from(&step.origin);
            }
        }
    }
    parts.retain(|(part, acted)| part.tries > 0 || *acted);
    if parts.iter().all(|(_, acted)| !acted)
        && trace.outcome.status >= 500
        && let Some((at, rule)) = spared(&trace, &parts)
    {
        let (part, acted) = &mut parts[at];
        *acted = true;
        let on = rule.text.strip_prefix("on ").unwrap_or(&rule.text);
        part.text = format!("{}, passed on: it retries on {on}", trace.outcome.text());
        part.origin.clone_from(&rule.origin);
    }
    let parts = parts.into_iter().filter(|(_, acted)| *acted);
    let mut parts: Vec<Part> = parts.map(|(part, _)| part).collect();
    parts.sort_by_key(|part| trace.parties[part.party as usize].depth);
    Consequence {
        trouble,
        parts,
        trace,
    }
}

/// The part whose rule retries some failures, but not the one that it passed on, with what that rule says: a rule that somebody wrote
/// comes before the defaults, and the one nearest to the server before the others.
fn spared<'t>(trace: &'t Trace, parts: &[(Part, bool)]) -> Option<(usize, &'t Step)> {
    let rules = parts.iter().enumerate().filter_map(|(at, (part, _))| {
        let mut said = trace
            .steps
            .iter()
            .filter(|step| step.party == part.party && step.subject == Subject::Retries);
        let number = said.find(|step| step.text.starts_with("up to "))?;
        let on = said.find(|step| step.text.starts_with("on "))?;
        let origin = number.origin.as_deref().unwrap_or_default();
        Some((at, on, !origin.starts_with("default of ")))
    });
    let rules: Vec<_> = rules.collect();
    let written = rules.iter().find(|(.., written)| *written);
    let (at, on, _) = *written.or_else(|| rules.first())?;
    Some((at, on))
}

/// Why a request has nowhere to go, in words, with all who were asked.
pub(crate) fn nowhere(model: &Model, via: &Via, authority: &str) -> String {
    let (host, port) = split_authority(authority);
    let gateways: Vec<String> = model
        .gateways()
        .iter()
        .map(|facts| {
            let ports: Vec<String> = facts.listens.iter().map(|it| it.port.to_string()).collect();
            let hosts = match facts.hosts.is_empty() {
                true => "no host".to_owned(),
                false => facts.hosts.join(", "),
            };
            format!("{} ({hosts}; port {})", facts.name, ports.join(", "))
        })
        .collect();
    match via {
        Via::Gateway(_) if gateways.is_empty() => "the manifests have no gateway".to_owned(),
        Via::Gateway(_) => {
            let port = port.map_or_else(String::new, |port| format!(" on port {port}"));
            format!(
                "no gateway takes {host}{port}: asked {}",
                gateways.join("; ")
            )
        }
        Via::Direct | Via::Workload(_) => {
            let services = model.services();
            let names: Vec<String> = services.iter().map(|it| it.host()).collect();
            let short = services.iter().map(|it| &*it.name);
            let near = did_you_mean(host, names.iter().map(String::as_str).chain(short));
            let near = near.map_or_else(String::new, |near| format!("; {near}"));
            let services = plural(services.len() as u64, "Service", "Services");
            format!(
                "the name {host} is not known: asked {services} and the hosts of the mesh{near}"
            )
        }
    }
}
