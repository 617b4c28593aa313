//! Scenarios from YAML to their last answer in a world without proxies or network: clients and replicas alone.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use manifests::diagnostics::Diagnostics;
use manifests::text::Sources;
use proxy_core::draw::DrawKey;
use proxy_core::time::{Duration, Time};
use scenarios::app::{
    AppAction, AppInput, AppTimer, Arrival, CallOutcome, Effect, Failure, JobId, QUEUE_FULL_STATUS,
    Replica, TryId,
};
use scenarios::client::{ClientAction, ClientTimer, Clients};
use scenarios::plan::{FaultId, Known, LoadId, Plan, RequestId, ServiceId};
use scenarios::read::{File, Memory};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Caller {
    Client(usize),
    Pod(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Client(usize, ClientTimer),
    Pod(usize, AppTimer),
    Fault(u32, bool),
    Ends(Caller, TryId, u16),
}

/// A request on its way: who sent it, and which pod has it.
struct Exchange {
    caller: Caller,
    call: TryId,
    pod: usize,
    job: Option<JobId>,
}

/// What came of a run.
#[derive(Default, PartialEq, Debug)]
struct Outcome {
    /// When each request was meant to be sent, how long it took and its status, 0 for none.
    ended: Vec<(Time, Duration, u16)>,
    /// Tries that reached each Service.
    tries: Vec<u64>,
}

/// Pods behind Services by turns; a message takes no time.
struct World {
    plan: Plan,
    clients: Vec<Clients>,
    pods: Vec<(usize, Replica)>,
    turns: Vec<usize>,
    exchanges: Vec<Exchange>,
    queue: BinaryHeap<Reverse<(Time, u64, Event)>>,
    pushed: u64,
    now: Time,
    sent: u64,
    outcome: Outcome,
}

impl World {
    fn new(yaml: &str) -> Self {
        let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
        let source = sources.add("s.yaml", yaml);
        let file = File::parse(&sources, source, &mut problems);
        let flight = file.and_then(|file| file.flight(None, &[], &sources, &mut problems));
        let (known, files) = (Known::default(), Memory::default());
        let plan = flight
            .and_then(|flight| Plan::compile(&flight, &known, &files, &mut sources, &mut problems));
        let plan = plan.unwrap_or_else(|| panic!("{}", problems.render(&sources)));
        let root = Plan::root(plan.seed);
        let clients = (0..plan.loads.len()).map(|n| plan.clients(LoadId::at(n), root));
        let mut pods = Vec::new();
        for (workload, entry) in plan.workloads.iter().enumerate() {
            for version in &entry.versions {
                for _ in 0..version.replicas {
                    pods.push((
                        workload,
                        Replica::new(plan.program.clone(), version.behaviour),
                    ));
                }
            }
        }
        let mut world = Self {
            clients: clients.collect(),
            pods,
            turns: vec![0; plan.services.len()],
            exchanges: Vec::new(),
            queue: BinaryHeap::new(),
            pushed: 0,
            now: Time::ZERO,
            sent: 0,
            outcome: Outcome {
                ended: Vec::new(),
                tries: vec![0; plan.services.len()],
            },
            plan,
        };
        for (number, fault) in (0..).zip(&world.plan.faults.clone()) {
            world.push(fault.window.from, Event::Fault(number, true));
            world.push(fault.window.until(), Event::Fault(number, false));
        }
        (0..world.pods.len()).for_each(|pod| world.tell(pod, AppInput::BootedBefore));
        (0..world.clients.len()).for_each(|load| world.drain_clients(load));
        world
    }

    fn push(&mut self, at: Time, event: Event) {
        self.pushed += 1;
        self.queue.push(Reverse((at, self.pushed, event)));
    }

    /// Runs until nothing is left to happen.
    fn run(mut self) -> Outcome {
        while let Some(Reverse((now, _, event))) = self.queue.pop() {
            self.now = now;
            match event {
                Event::Client(load, id) => {
                    self.clients[load].timer(now, id);
                    self.drain_clients(load);
                }
                Event::Pod(pod, id) => self.tell(pod, AppInput::Timer { id }),
                Event::Fault(number, begins) => self.fault(number, begins),
                Event::Ends(caller, call, status) => self.ends(caller, call, status),
            }
        }
        for (_, pod) in &self.pods {
            assert_eq!((pod.busy(), pod.waiting(), pod.in_flight()), (0, 0, 0));
        }
        assert!(self.clients.iter().all(|clients| clients.open() == 0));
        assert_eq!(self.outcome.ended.len() as u64, self.sent);
        self.outcome
    }

    fn fault(&mut self, number: u32, begins: bool) {
        let fault = self.plan.faults[number as usize].clone();
        let effect =
            Effect::of(&fault.kind).expect("these scenarios have faults of processes alone");
        let select = fault.kind.select().expect("they all select");
        for pod in 0..self.pods.len() {
            if select
                .workload
                .is_some_and(|id| id.index() == self.pods[pod].0)
            {
                let fault = FaultId(number);
                self.tell(
                    pod,
                    if begins {
                        AppInput::FaultBegins { fault, effect }
                    } else {
                        AppInput::FaultEnds { fault }
                    },
                );
            }
        }
    }

    fn ends(&mut self, caller: Caller, call: TryId, status: u16) {
        let outcome = match status {
            0 => CallOutcome::Failed(Failure::Reset),
            status => CallOutcome::Answered(status),
        };
        match caller {
            Caller::Client(load) => {
                self.clients[load].done(self.now, call, outcome);
                self.drain_clients(load);
            }
            Caller::Pod(pod) => self.tell(pod, AppInput::CallDone { call, outcome }),
        }
    }

    fn request(
        &mut self,
        caller: Caller,
        call: TryId,
        to: ServiceId,
        request: RequestId,
        key: DrawKey,
    ) {
        self.outcome.tries[to.index()] += 1;
        let workloads = &self.plan.services[to.index()].workloads;
        let serves = |workload: usize| workloads.iter().any(|id| id.index() == workload);
        let pods: Vec<usize> = (0..self.pods.len())
            .filter(|pod| serves(self.pods[*pod].0))
            .collect();
        let turn = &mut self.turns[to.index()];
        *turn += 1;
        let pod = pods[*turn % pods.len()];
        let behaviour = self.pods[pod].1.behaviour();
        let template = &self.plan.requests[request.index()];
        let handler = self
            .plan
            .program
            .handler_for(behaviour, &template.method, &template.path);
        let token = self.exchanges.len() as u64;
        self.exchanges.push(Exchange {
            caller,
            call,
            pod,
            job: None,
        });
        let arrival = Arrival {
            token,
            handler,
            key,
            watched: false,
        };
        let job = self.pods[pod].1.arrive(self.now, arrival);
        self.exchanges[token as usize].job = Some(job);
        self.drain_pod(pod);
    }

    fn cancel(&mut self, caller: Caller, call: TryId) {
        let found = self.exchanges.iter().rev();
        let mut found = found.filter(|each| each.caller == caller && each.call == call);
        if let Some(&Exchange {
            pod,
            job: Some(job),
            ..
        }) = found.next()
        {
            self.tell(pod, AppInput::CallerGone { job });
        }
    }

    fn tell(&mut self, pod: usize, input: AppInput) {
        self.pods[pod].1.handle(self.now, input);
        self.drain_pod(pod);
    }

    fn drain_pod(&mut self, pod: usize) {
        while let Some(action) = self.pods[pod].1.poll_action() {
            match action {
                AppAction::Call { call, to, key, .. } => {
                    let to = self.plan.program.calls[to.index()];
                    self.request(Caller::Pod(pod), call, to.to, to.request, key);
                }
                AppAction::CancelCall { call } => self.cancel(Caller::Pod(pod), call),
                AppAction::Answer { token, status, .. } => self.answer(token, status),
                AppAction::Refuse { token } => self.answer(token, QUEUE_FULL_STATUS),
                AppAction::Lost { token } => self.answer(token, 0),
                AppAction::Arm { id, at, .. } => self.push(at, Event::Pod(pod, id)),
                AppAction::CallEnded { .. }
                | AppAction::CallGivenUp { .. }
                | AppAction::Note { .. }
                | AppAction::Listening
                | AppAction::Ready => {}
            }
        }
    }

    fn answer(&mut self, token: u64, status: u16) {
        let &Exchange { caller, call, .. } = &self.exchanges[token as usize];
        self.push(self.now, Event::Ends(caller, call, status));
    }

    fn drain_clients(&mut self, load: usize) {
        while let Some(action) = self.clients[load].poll_action() {
            match action {
                ClientAction::Send {
                    call,
                    asked,
                    key,
                    number,
                    ..
                } => {
                    self.sent += u64::from(number == 0);
                    let to = self.plan.requests[asked.request.index()].to;
                    let (to, _) = to.expect("hosts are Services here");
                    self.request(Caller::Client(load), call, to, asked.request, key);
                }
                ClientAction::Cancel { call } => self.cancel(Caller::Client(load), call),
                ClientAction::Ended { asked, outcome, .. } => {
                    let status = match outcome {
                        CallOutcome::Answered(status) => status,
                        CallOutcome::Failed(_) => 0,
                    };
                    let took = self.now.since(asked.intended);
                    self.outcome.ended.push((asked.intended, took, status));
                }
                ClientAction::Arm { id, at, .. } => self.push(at, Event::Client(load, id)),
            }
        }
    }
}

impl Outcome {
    /// Mean latency in milliseconds and share of successes of the requests of a window of seconds.
    fn between(&self, from: u64, until: u64) -> (f64, f64) {
        let at = |secs| Time::ZERO + Duration::from_secs(secs);
        let window = self.ended.iter();
        let window = window.filter(|(sent, ..)| (at(from)..at(until)).contains(sent));
        let (mut count, mut total, mut good) = (0.0, 0.0, 0.0);
        for (_, took, status) in window {
            count += 1.0;
            total += took.as_secs_f64() * 1e3;
            good += f64::from(u8::from((1..500).contains(status)));
        }
        (total / count, good / count)
    }
}

fn scenario(spec: &str) -> String {
    format!(
        "apiVersion: windtunnel.dev/v1alpha1
kind: Scenario
metadata: {{name: test}}
spec:
  duration: 60s
  seed: 3
{spec}"
    )
}

const CHAIN: &str = "
  workloads:
    front:
      replicas: 3
      concurrency: 1000
      handlers:
        - match: GET /
          time: 1ms
          steps:
            - parallel:
                - call: {workload: back, request: GET /items, timeout: 200ms, retries: RETRIES}
                - call: {workload: side, request: GET /x, probability: 0.5, onError: ignore}
            - time: 1ms
    back: {replicas: 2, concurrency: 4, handlers: [{match: GET /items, time: {exponential: {mean: 10ms}}}]}
    side: {concurrency: 100, handlers: [{match: GET /, time: 2ms}]}
  load:
    - name: shoppers
      via: direct
      requests: [{method: GET, host: front, path: /}]
      open: {rate: 400/s}
      client: {protocol: http/1.1, timeout: 2s}
";

fn chain(retries: u32, faults: &str) -> Outcome {
    let spec = CHAIN.replace("RETRIES", &retries.to_string());
    World::new(&scenario(&format!("{spec}{faults}"))).run()
}

#[test]
fn a_chain_of_services_takes_the_time_of_its_longest_branch() {
    let outcome = chain(0, "");
    // 2 ms of its own, and 10 of `back`; on each 4 slots at rho 0.5 an M/M/4 queue adds 0.9, less by turns, and `side` is longer
    // than `back` for a fifth of the requests that ask it, by 1 ms on average
    let (mean, good) = outcome.between(0, 60);
    assert!((12.2..13.1).contains(&mean), "{mean}");
    assert!(good > 0.999, "{good}");
    // front, back and side
    let [front, back, side] = outcome.tries[..] else {
        panic!("{:?}", outcome.tries);
    };
    assert_eq!(front, back);
    // 4 standard deviations of a binomial of 24 000 at 1/2
    assert!(side.abs_diff(front / 2) < 310, "{side} of {front}");
}

#[test]
fn retries_turn_a_slow_service_into_an_overloaded_one() {
    let slow = "
  faults:
    - {name: slow, at: 20s, for: 10s, slow: {select: {workload: back}, factor: 3}}
";
    let (calm, stormy) = (chain(0, slow), chain(3, slow));
    for outcome in [&calm, &stormy] {
        assert!(
            outcome.between(0, 20).1 > 0.999,
            "before the fault all is well"
        );
        assert!(
            outcome.between(22, 30).1 < 0.9,
            "at three times the work there are too few slots"
        );
    }
    let tries = |outcome: &Outcome| *outcome.tries.iter().max().unwrap() as f64;
    assert!(
        tries(&stormy) > 1.4 * tries(&calm),
        "{:?} {:?}",
        stormy.tries,
        calm.tries
    );
    // a backlog of some 1300 requests is worked off at 400/s; with up to four tries a request it only grows
    assert!(calm.between(36, 40).1 > 0.99, "{:?}", calm.between(36, 40));
    assert!(
        stormy.between(36, 60).1 < 0.1,
        "{:?}",
        stormy.between(36, 60)
    );
}

#[test]
fn two_policies_on_one_seed_see_the_same_draws() {
    let (none, some) = (chain(0, ""), chain(1, ""));
    let sent = |outcome: &Outcome| outcome.ended.iter().map(|(sent, ..)| *sent).max();
    assert_eq!(sent(&none), sent(&some));
    // without a failure the retries make no difference at all
    assert_eq!(none, some);
    assert_eq!(none, chain(0, ""), "the same seed runs the same way");
}

#[test]
fn users_of_a_closed_load_never_ask_more_than_they_are() {
    let spec = "
  workloads:
    one: {concurrency: 2, queue: {limit: 3}, handlers: [{match: GET /, time: {exponential: {mean: 50ms}}}]}
  load:
    - name: users
      via: direct
      requests: [{method: GET, host: one, path: /}]
      closed: {users: 5, think: {exponential: {mean: 10ms}}}
      client: {protocol: http/1.1}
";
    let outcome = World::new(&scenario(spec)).run();
    assert_eq!(outcome.between(0, 60).1, 1.0, "nobody is refused");
    // two slots at 50 ms are saturated by five users: nearly 40 answers a second
    let rate = outcome.ended.len() as f64 / 60.0;
    assert!((35.0..41.0).contains(&rate), "{rate}");
}
