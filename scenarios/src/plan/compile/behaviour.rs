//! What services do, compiled to the program's tables.

use manifests::text::Span;
use proxy_core::time::Duration;

use super::Compiler;
use super::names::labels;
use crate::distribution::{Centre, Distribution, Spread};
use crate::format::{self, Located};
use crate::plan::Version;
use crate::plan::ids::{BehaviourId, CallId, StepId, WorkloadId};
use crate::plan::program::{
    Backoff, Behaviour, CallerGone, Discipline, Handler, Hedge, Jitter, PathMatch, Step, TryPolicy,
};

/// Requests that a replica works on at once when nobody says.
const DEFAULT_CONCURRENCY: u32 = 16;
/// Bytes of a response when nobody says.
const DEFAULT_SIZE: u64 = 1024;
/// What a handler that failed answers.
const ERROR_STATUS: u16 = 500;
/// The most steps of one scenario.
const MAX_STEPS: usize = 1_000_000;

/// What a behaviour is made of: a version's settings before the workload's.
struct Settings<'s> {
    concurrency: Option<u32>,
    cpu: Option<&'s format::Cpu>,
    queue: Option<&'s format::Queue>,
    on_caller_gone: Option<format::CallerGone>,
    start: Option<&'s format::Start>,
    handlers: Option<&'s [Located<format::Handler>]>,
}

impl<'s> Settings<'s> {
    fn of(workload: &'s format::Workload) -> Self {
        Self {
            concurrency: workload.concurrency.as_ref().map(|count| count.0),
            cpu: workload.cpu.as_ref(),
            queue: workload.queue.as_ref(),
            on_caller_gone: workload.on_caller_gone,
            start: workload.start.as_ref(),
            handlers: workload.handlers.as_deref(),
        }
    }

    fn version(self, version: &'s format::Version) -> Self {
        Self {
            concurrency: version
                .concurrency
                .as_ref()
                .map(|count| count.0)
                .or(self.concurrency),
            cpu: version.cpu.as_ref().or(self.cpu),
            queue: version.queue.as_ref().or(self.queue),
            on_caller_gone: version.on_caller_gone.or(self.on_caller_gone),
            start: version.start.as_ref().or(self.start),
            handlers: version.handlers.as_deref().or(self.handlers),
        }
    }
}

/// Numbers the draws of one handler.
#[derive(Default)]
struct Draws(u32);

impl Draws {
    fn next(&mut self) -> u32 {
        self.0 += 1;
        self.0 - 1
    }
}

impl Compiler<'_> {
    /// Compiles what every workload does; those that the scenario does not describe get an assumed behaviour.
    pub(super) fn behaviours(&mut self) {
        let spec = self.spec;
        let described: Vec<(WorkloadId, &Located<String>, &format::Workload)> = spec
            .workloads
            .iter()
            .filter_map(|(key, given)| {
                let at = self
                    .workloads
                    .iter()
                    .position(|each| each.span == key.span());
                at.map(|at| (WorkloadId::at(at), key, given))
            })
            .collect();
        for (id, key, given) in described {
            self.described(id, key, given);
        }
        for index in 0..self.workloads.len() {
            if self.workloads[index].versions.is_empty() {
                self.undescribed(WorkloadId::at(index));
            }
        }
        self.check_pods();
    }

    fn described(&mut self, id: WorkloadId, key: &Located<String>, given: &format::Workload) {
        let path = format!("workloads.{}", **key);
        if given.concurrency.is_none() {
            self.assume(
                format!("{path}.concurrency"),
                &DEFAULT_CONCURRENCY.to_string(),
                "how many requests a replica works on at once is not written",
                &["4", "64", "1000"],
            );
        }
        if given.handlers.is_none() {
            self.assume_handlers(&path);
        }
        let settings = Settings::of(given);
        let behaviour = self.behaviour(id, &settings);
        let known = self.known.workloads.get(id.index());
        let known = known
            .filter(|known| known.in_manifests)
            .map(|known| known.replicas);
        let versioned: u32 = given
            .versions
            .values()
            .filter_map(|version| version.replicas.as_ref())
            .map(|count| count.0)
            .sum();
        let replicas = given
            .replicas
            .as_ref()
            .map(|count| count.0)
            .or(known)
            .unwrap_or_else(|| u32::from(versioned == 0));
        let mut versions = vec![Version {
            name: None,
            behaviour,
            replicas,
            labels: Vec::new(),
        }];
        for (name, version) in &given.versions {
            if let Err(problem) = crate::read::check_name(name) {
                self.error("name::invalid", problem, name.span(), "this name");
            }
            let behaviour = self.behaviour(id, &Settings::of(given).version(version));
            let mut labels = labels(&version.labels);
            if !labels.iter().any(|(label, _)| &**label == "version") {
                labels.push(("version".into(), name.as_str().into()));
            }
            versions.push(Version {
                name: Some(name.as_str().into()),
                behaviour,
                replicas: version.replicas.as_ref().map_or(0, |count| count.0),
                labels,
            });
        }
        self.workloads[id.index()].versions = versions;
    }

    fn undescribed(&mut self, id: WorkloadId) {
        let known = self.known.workloads.get(id.index());
        if known.is_none_or(|known| !known.is_gateway) {
            let path = format!("workloads.{}", self.workloads[id.index()].full_name());
            self.assume(
                format!("{path}.concurrency"),
                &DEFAULT_CONCURRENCY.to_string(),
                "the scenario does not describe this workload",
                &["4", "64", "1000"],
            );
            self.assume_handlers(&path);
        }
        let nothing = format::Workload::default();
        let settings = Settings::of(&nothing);
        let behaviour = self.behaviour(id, &settings);
        self.workloads[id.index()].versions = vec![Version {
            name: None,
            behaviour,
            replicas: known.map_or(1, |known| known.replicas),
            labels: Vec::new(),
        }];
    }

    fn assume_handlers(&mut self, path: &str) {
        self.assume(
            format!("{path}.handlers"),
            "[{match: /, time: {lognormal: {median: 5ms, p99: 50ms}}}]",
            "what it does with a request is not written",
            &[
                "[{match: /, time: {lognormal: {median: 1ms, p99: 10ms}}}]",
                "[{match: /, time: {lognormal: {median: 25ms, p99: 250ms}}}]",
            ],
        );
    }

    fn behaviour(&mut self, workload: WorkloadId, settings: &Settings<'_>) -> BehaviourId {
        let queue = settings.queue;
        let start = settings.start;
        let boot = match start.and_then(|start| start.after.as_ref()) {
            Some(times) => self.times(times),
            None => Some(self.constant(DEFAULT_BOOT)),
        };
        let ready = match start.and_then(|start| start.ready.as_ref()) {
            Some(times) => self.times(times),
            None => Some(self.constant(DEFAULT_READY)),
        };
        if let Some(cores) = settings
            .cpu
            .map(|cpu| &cpu.cores)
            .filter(|cores| cores.0 == 0.0)
        {
            self.error(
                "workload::cores",
                "a replica needs some processor",
                cores.span(),
                "no core at all",
            );
        }
        let first = self.program.handlers.len();
        match settings.handlers {
            Some(handlers) => {
                for handler in handlers {
                    self.handler(workload, handler, settings.cpu.is_some());
                }
            }
            None => self.assumed_handler(workload),
        }
        let handlers = index(first)..index(self.program.handlers.len());
        self.program.behaviours.push(Behaviour {
            concurrency: settings.concurrency.unwrap_or(DEFAULT_CONCURRENCY),
            cores: settings.cpu.map(|cpu| cpu.cores.0),
            queue_limit: queue
                .and_then(|queue| queue.limit.as_ref())
                .map(|limit| limit.0),
            discipline: match queue.and_then(|queue| queue.discipline) {
                None | Some(format::Discipline::Fifo) => Discipline::Fifo,
                Some(format::Discipline::Lifo) => Discipline::Lifo,
                Some(format::Discipline::Ps) => Discipline::Shared,
            },
            on_caller_gone: match settings.on_caller_gone {
                None | Some(format::CallerGone::Continue) => CallerGone::Continue,
                Some(format::CallerGone::Abort) => CallerGone::Abort,
            },
            boot,
            ready,
            handlers,
        });
        BehaviourId::at(self.program.behaviours.len() - 1)
    }

    fn assumed_handler(&mut self, workload: WorkloadId) {
        let spread = Spread::Quantile {
            at: 0.99,
            value: 50e6,
        };
        let time =
            Distribution::lognormal(Centre::Median(5e6), spread).expect("5 ms lie below 50 ms");
        let time = self.dist(time);
        let first = self.emit(Step::Work {
            time,
            cpu: 1.0,
            draw: 0,
        });
        self.emit(Step::Reply);
        self.program.handlers.push(Handler {
            method: None,
            path: PathMatch::Prefix("".into()),
            first,
            status: 200,
            size: DEFAULT_SIZE,
            releases_slot: false,
        });
        self.handler_names
            .push(format!("{} /", self.workloads[workload.index()].name));
    }

    fn handler(&mut self, workload: WorkloadId, given: &format::Handler, has_cores: bool) {
        if self.program.steps.len() > MAX_STEPS {
            return;
        }
        let mut draws = Draws::default();
        let first = StepId::at(self.program.steps.len());
        if let Some(time) = &given.time {
            self.work(time, given.cpu.as_ref(), &mut draws);
        } else if let Some(cpu) = &given.cpu {
            self.error(
                "handler::cpu",
                "`cpu` is a share of `time`",
                cpu.span(),
                "there is no `time` here",
            );
        }
        if !has_cores && let Some(cpu) = &given.cpu {
            let problem = manifests::diagnostics::Diagnostic::warning(
                "handler::no-cores",
                "this share has no effect",
            )
            .label(cpu.span(), "the workload says nothing of `cpu: {cores: …}`")
            .help("say how many cores a replica has, or leave the share out");
            self.problems.push(problem);
        }
        if let Some(rate) = &given.error_rate {
            let draw = draws.next();
            self.emit(Step::MayFail {
                share: rate.0,
                status: ERROR_STATUS,
                draw,
            });
        }
        self.steps(workload, &given.steps, &mut draws);
        self.emit(Step::Reply);
        if self.program.steps.len() > MAX_STEPS {
            let message = format!("all handlers together have more than {MAX_STEPS} steps");
            self.error(
                "handler::too-many-steps",
                message,
                given.matches.span(),
                "up to here",
            );
        }
        let matches = &given.matches;
        let path = matches.path.split('?').next().unwrap_or_default();
        let response = given.response.as_ref();
        let status = response.and_then(|response| response.status.as_ref());
        let size = response.and_then(|response| response.size.as_ref());
        self.program.handlers.push(Handler {
            method: matches.method.as_deref().map(Into::into),
            path: if matches.exact {
                PathMatch::Exact(path.into())
            } else {
                PathMatch::Prefix(path.trim_end_matches('/').into())
            },
            first,
            status: status.map_or(200, |status| small(status.0)),
            size: size.map_or(DEFAULT_SIZE, |size| size.0),
            releases_slot: given.slot_during_calls == Some(format::SlotDuringCalls::Released),
        });
        let method = matches
            .method
            .as_ref()
            .map_or(String::new(), |method| format!(" {method}"));
        let name = &self.workloads[workload.index()].name;
        self.handler_names
            .push(format!("{name}{method} {}", matches.path));
    }

    fn steps(&mut self, workload: WorkloadId, steps: &[Located<format::Step>], draws: &mut Draws) {
        for step in steps {
            self.step(workload, step, draws);
        }
    }

    fn step(&mut self, workload: WorkloadId, step: &Located<format::Step>, draws: &mut Draws) {
        let keys = ["call", "parallel", "steps", "time"];
        let is = [
            step.call.is_some(),
            step.parallel.is_some(),
            step.steps.is_some(),
            step.time.is_some(),
        ];
        let given: Vec<&str> = keys
            .iter()
            .zip(is)
            .filter_map(|(key, is)| is.then_some(*key))
            .collect();
        if given.len() != 1 {
            self.one_of(step.span(), &keys, &given);
            return;
        }
        if let Some(cpu) = step.cpu.as_ref().filter(|_| step.time.is_none()) {
            self.error(
                "handler::cpu",
                "`cpu` is a share of `time`",
                cpu.span(),
                "there is no `time` here",
            );
        }
        if let Some(call) = &step.call {
            let draw = draws.next();
            if let Some(id) = self.call(workload, call, draw) {
                self.emit(Step::Call(id));
            }
        }
        if let Some(branches) = &step.parallel {
            self.parallel(workload, branches, draws);
        }
        if let Some(steps) = &step.steps {
            self.steps(workload, steps, draws);
        }
        if let Some(time) = &step.time {
            self.work(time, step.cpu.as_ref(), draws);
        }
    }

    fn parallel(
        &mut self,
        workload: WorkloadId,
        branches: &[Located<format::Step>],
        draws: &mut Draws,
    ) {
        if branches.is_empty() {
            return;
        }
        let after = StepId::at(0);
        let fork = self.emit(Step::Fork {
            first: 0,
            count: 0,
            after,
        });
        let mut firsts = Vec::new();
        for branch in branches {
            firsts.push(StepId::at(self.program.steps.len()));
            self.step(workload, branch, draws);
            self.emit(Step::Join);
        }
        // Branches within these branches have taken their places already; a fork's own lie side by side.
        let first = index(self.program.branches.len());
        let count = index(firsts.len());
        self.program.branches.extend(firsts);
        let after = StepId::at(self.program.steps.len());
        self.program.steps[fork.index()] = Step::Fork {
            first,
            count,
            after,
        };
    }

    fn work(
        &mut self,
        time: &Located<format::Times>,
        cpu: Option<&Located<format::scalars::Share>>,
        draws: &mut Draws,
    ) {
        let draw = draws.next();
        if let Some(time) = self.times(time) {
            let cpu = cpu.map_or(1.0, |share| share.0 as f32);
            self.emit(Step::Work { time, cpu, draw });
        }
    }

    fn emit(&mut self, step: Step) -> StepId {
        self.program.steps.push(step);
        StepId::at(self.program.steps.len() - 1)
    }

    /// Compiles how a call or a client's request is tried.
    pub(super) fn try_policy(
        &mut self,
        timeout: Option<&Located<format::scalars::Period>>,
        retries: Option<u32>,
        backoff: Option<&Located<format::Backoff>>,
        hedge: Option<&Located<format::Hedge>>,
    ) -> TryPolicy {
        let timeout = timeout.and_then(|timeout| {
            if timeout.0.is_zero() {
                self.error(
                    "call::timeout",
                    "a timeout of no time answers nothing",
                    timeout.span(),
                    "leave it out to wait for ever",
                );
                return None;
            }
            Some(self.timer(timeout.0))
        });
        if let Some(backoff) = backoff.filter(|_| retries.unwrap_or(0) == 0) {
            self.error(
                "call::backoff",
                "a back-off without retries has no effect",
                backoff.span(),
                "`retries` is 0",
            );
        }
        let backoff = backoff.map(|backoff| Backoff {
            base: backoff.base.0,
            factor: backoff.factor.as_ref().map_or(2.0, |factor| factor.0),
            max: backoff
                .max
                .as_ref()
                .map_or(backoff.base.0 * 10, |max| max.0),
            jitter: match backoff.jitter {
                None | Some(format::Jitter::Full) => Jitter::Full,
                Some(format::Jitter::Equal) => Jitter::Equal,
                Some(format::Jitter::None) => Jitter::None,
            },
        });
        let hedge = hedge.map(|hedge| Hedge {
            after: self.timer(hedge.after.0),
            max: hedge.max.as_ref().map_or(1, |max| max.0),
        });
        TryPolicy {
            timeout,
            retries: retries.unwrap_or(0),
            backoff,
            hedge,
        }
    }

    pub(super) fn push_call(&mut self, call: crate::plan::program::Call, span: Span) -> CallId {
        self.program.calls.push(call);
        self.call_spans.push(span);
        CallId::at(self.program.calls.len() - 1)
    }
}

/// From the start of a process until it listens.
pub(super) const DEFAULT_BOOT: Duration = Duration::from_secs(5);
/// From listening until the readiness probe has passed.
pub(super) const DEFAULT_READY: Duration = Duration::from_secs(2);

fn index(at: usize) -> u32 {
    u32::try_from(at).expect("tables are limited by validation")
}

pub(super) fn small(status: u32) -> u16 {
    u16::try_from(status).expect("a status has three digits")
}
