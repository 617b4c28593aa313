//! Rules of a replica, each on a virtual clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_core::draw::DrawKey;
use proxy_core::time::{Duration, Time};

use super::Replica;
use crate::app::{
    AppAction, AppInput, AppTimer, Arrival, CallOutcome, Effect, Failure, JobId, TryId,
};
use crate::distribution::Distribution;
use crate::plan::ids::{
    BehaviourId, CallId, DistId, FaultId, HandlerId, LaneId, PolicyId, RequestId, ServiceId, StepId,
};
use crate::plan::program::{
    Behaviour, Call, CallerGone, Discipline, Handler, OnError, PathMatch, Program, Step, Timer,
    TryPolicy,
};

mod calls;
mod faults;
mod invariants;
mod queueing;
mod theory;

const HANDLER: HandlerId = HandlerId(0);

/// What a driver saw, with the millisecond.
type Seen = (u64, String);

/// A replica with a driver that does nothing by itself but fire timers.
struct Rig {
    replica: Replica,
    now: Time,
    timers: BTreeMap<(Time, u64), AppTimer>,
    numbers: u64,
    jobs: BTreeMap<u64, JobId>,
    calls: Vec<TryId>,
    keys: Vec<DrawKey>,
    seen: Vec<Seen>,
}

impl Rig {
    fn new(program: Program) -> Self {
        let mut rig = Self::down(program);
        rig.input(AppInput::BootedBefore);
        rig.seen.clear();
        rig
    }

    fn down(program: Program) -> Self {
        Self {
            replica: Replica::new(Arc::new(program), BehaviourId(0)),
            now: Time::ZERO,
            timers: BTreeMap::new(),
            numbers: 0,
            jobs: BTreeMap::new(),
            calls: Vec::new(),
            keys: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn arrive(&mut self, token: u64) {
        self.arrives(token, Some(HANDLER), false);
    }

    fn watch(&mut self, token: u64) {
        self.arrives(token, Some(HANDLER), true);
    }

    fn arrives(&mut self, token: u64, handler: Option<HandlerId>, watched: bool) {
        let arrival = Arrival {
            token,
            handler,
            key: DrawKey::root(token),
            watched,
        };
        let job = self.replica.arrive(self.now, arrival);
        self.jobs.insert(token, job);
        self.drain();
    }

    fn input(&mut self, input: AppInput) {
        self.replica.handle(self.now, input);
        self.drain();
    }

    fn gone(&mut self, token: u64) {
        let job = self.jobs[&token];
        self.input(AppInput::CallerGone { job });
    }

    /// Ends the `n`-th try that was sent.
    fn answer(&mut self, n: usize, status: u16) {
        self.outcome(n, CallOutcome::Answered(status));
    }

    fn outcome(&mut self, n: usize, outcome: CallOutcome) {
        let call = self.calls[n];
        self.input(AppInput::CallDone { call, outcome });
    }

    fn fault(&mut self, effect: Effect) {
        let fault = FaultId(0);
        self.input(AppInput::FaultBegins { fault, effect });
    }

    fn fault_ends(&mut self) {
        let fault = FaultId(0);
        self.input(AppInput::FaultEnds { fault });
    }

    fn drain(&mut self) {
        while let Some(action) = self.replica.poll_action() {
            let line = match action {
                AppAction::Arm { id, at, class: _ } => {
                    self.numbers += 1;
                    self.timers.insert((at, self.numbers), id);
                    continue;
                }
                AppAction::CallEnded { .. } | AppAction::CallGivenUp { .. } => continue,
                AppAction::Call { call, to, key, .. } => {
                    self.calls.push(call);
                    self.keys.push(key);
                    format!("call {}", to.0)
                }
                AppAction::CancelCall { call } => {
                    let n = self.calls.iter().rposition(|c| *c == call).unwrap();
                    format!("cancel {n}")
                }
                AppAction::Answer {
                    token,
                    status,
                    degraded,
                    ..
                } => format!(
                    "{token}: {status}{}",
                    if degraded { " degraded" } else { "" }
                ),
                AppAction::Refuse { token } => format!("{token}: refused"),
                AppAction::Lost { token } => format!("{token}: lost"),
                AppAction::Note { token, note } => format!("{token}: {note:?}"),
                AppAction::Listening => "listening".to_owned(),
                AppAction::Ready => "ready".to_owned(),
            };
            self.seen.push((self.now.as_nanos() / 1_000_000, line));
        }
        let replica = &self.replica;
        self.timers.retain(|_, timer| replica.wants(*timer));
    }

    /// Lets time pass, up to a millisecond.
    fn until(&mut self, millis: u64) {
        let end = Time::ZERO + ms(millis);
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > end {
                break;
            }
            self.now = self.now.max(entry.key().0);
            let id = entry.remove();
            self.input(AppInput::Timer { id });
        }
        self.now = end;
    }

    /// Lets everything happen that has a timer, and tells what was seen since it was last asked.
    fn rest(&mut self) -> Vec<String> {
        while let Some(((at, _), id)) = self.timers.pop_first() {
            self.now = self.now.max(at);
            self.input(AppInput::Timer { id });
        }
        self.seen()
    }

    fn seen(&mut self) -> Vec<String> {
        let lines = self.seen.drain(..);
        lines.map(|(at, line)| format!("{at} {line}")).collect()
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// One behaviour whose only handler runs `steps`; distribution n takes n milliseconds.
fn program(steps: impl IntoIterator<Item = Step>) -> Program {
    let steps: Vec<Step> = steps.into_iter().collect();
    let distributions = (0..200)
        .map(|n| Distribution::constant(f64::from(n) * 1e6).unwrap())
        .collect();
    Program {
        distributions,
        behaviours: vec![Behaviour {
            concurrency: 1,
            cores: None,
            queue_limit: None,
            discipline: Discipline::Fifo,
            on_caller_gone: CallerGone::Continue,
            boot: None,
            ready: None,
            handlers: 0..1,
        }],
        handlers: vec![Handler {
            method: None,
            path: PathMatch::Prefix("".into()),
            first: StepId(0),
            status: 200,
            size: 10,
            releases_slot: false,
        }],
        steps,
        policies: vec![TryPolicy::default()],
        ..Program::default()
    }
}

impl Program {
    fn with(mut self, change: impl FnOnce(&mut Behaviour)) -> Self {
        change(&mut self.behaviours[0]);
        self
    }

    fn releasing(mut self) -> Self {
        self.handlers[0].releases_slot = true;
        self
    }

    fn calling(mut self, calls: impl IntoIterator<Item = Call>) -> Self {
        self.calls.extend(calls);
        self
    }

    fn trying(mut self, policy: TryPolicy) -> Self {
        self.policies[0] = policy;
        self
    }
}

fn work(millis: u32) -> Step {
    computing(millis, 0.0)
}

fn computing(millis: u32, cpu: f32) -> Step {
    Step::Work {
        time: DistId(millis),
        cpu,
        draw: 0,
    }
}

/// A call that fails its handler with 500 when it fails.
fn call(draw: u32) -> Call {
    Call {
        to: ServiceId(0),
        port: 80,
        request: RequestId(0),
        probability: 1.0,
        times: 1,
        policy: PolicyId(0),
        on_error: OnError::Fail { status: 500 },
        draw,
    }
}

fn fork(first: u32, count: u32, after: u32) -> Step {
    Step::Fork {
        first,
        count,
        after: StepId(after),
    }
}
