use std::collections::BTreeMap;

use proxy_core::draw::Purpose;

use super::*;
use crate::app::Failure;
use crate::distribution::Distribution;
use crate::plan::ids::{DistId, LaneId, PolicyId};
use crate::plan::load::{
    Arrivals as Spacing, Client, Mixed, Process, Protocol, Stage, Surge, TraceRow, Via,
};
use crate::plan::program::{Timer, TryPolicy};

/// Clients whose server answers 200 after a fixed time.
struct Rig {
    clients: Clients,
    now: Time,
    takes: Duration,
    outcome: CallOutcome,
    events: BTreeMap<(Time, usize), Event>,
    number: usize,
    sent: Vec<(u64, Asked, TryKind)>,
    ended: Vec<(u64, CallOutcome, u32)>,
}

#[derive(Clone, Copy)]
enum Event {
    Fires(ClientTimer),
    Answers(TryId),
}

impl Rig {
    fn new(load: Load, policy: TryPolicy, takes: u64) -> Self {
        let program = Program {
            distributions: vec![
                Distribution::constant(100e6).unwrap(),
                Distribution::exponential(100e6).unwrap(),
            ],
            policies: vec![policy],
            ..Program::default()
        };
        let end = Time::ZERO + ms(1000);
        Self {
            clients: Clients::new(Arc::new(load), Arc::new(program), DrawKey::root(3), end),
            now: Time::ZERO,
            takes: ms(takes),
            outcome: CallOutcome::Answered(200),
            events: BTreeMap::new(),
            number: 0,
            sent: Vec::new(),
            ended: Vec::new(),
        }
    }

    fn run(mut self) -> Self {
        self.drain();
        while let Some(((at, _), event)) = self.events.pop_first() {
            self.now = at;
            match event {
                Event::Fires(id) => self.clients.timer(at, id),
                Event::Answers(call) => self.clients.done(at, call, self.outcome),
            }
            self.drain();
        }
        assert_eq!(self.clients.open(), 0);
        self
    }

    fn drain(&mut self) {
        let millis = self.now.as_nanos() / 1_000_000;
        while let Some(action) = self.clients.poll_action() {
            self.number += 1;
            match action {
                ClientAction::Send {
                    call, asked, kind, ..
                } => {
                    self.sent.push((millis, asked, kind));
                    let key = (self.now + self.takes, self.number);
                    self.events.insert(key, Event::Answers(call));
                }
                ClientAction::Ended { outcome, tries, .. } => {
                    self.ended.push((millis, outcome, tries))
                }
                ClientAction::Arm { id, at, .. } => {
                    self.events.insert((at, self.number), Event::Fires(id));
                }
                ClientAction::Cancel { .. } => {}
            }
        }
    }

    fn times(&self) -> Vec<u64> {
        self.sent.iter().map(|(at, ..)| *at).collect()
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn load(process: Process) -> Load {
    Load {
        name: "shoppers".into(),
        via: Via::Direct,
        mix: vec![Mixed {
            cumulative: 1.0,
            request: RequestId(4),
        }],
        process,
        client: Client {
            protocol: Protocol::Http1,
            connections: None,
            policy: PolicyId(0),
        },
        surges: Vec::new(),
        span: manifests::text::Span::NOWHERE,
    }
}

fn closed(users: u32, think: Option<u32>) -> Load {
    load(Process::Closed {
        users,
        think: think.map(DistId),
    })
}

#[test]
fn a_user_asks_again_after_the_answer_and_a_think_time() {
    let rig = Rig::new(closed(1, Some(0)), TryPolicy::default(), 150).run();
    assert_eq!(rig.times(), [100, 350, 600, 850]);
    let numbers: Vec<_> = rig
        .sent
        .iter()
        .map(|(_, asked, _)| (asked.user, asked.number))
        .collect();
    assert_eq!(
        numbers,
        [(Some(0), 0), (Some(0), 1), (Some(0), 2), (Some(0), 3)]
    );
}

#[test]
fn a_user_without_think_time_lets_time_pass_though_nothing_takes_time() {
    let rig = Rig::new(closed(1, None), TryPolicy::default(), 0).run();
    assert_eq!(rig.times(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_surge_brings_users_who_leave_with_it() {
    let mut load = closed(2, Some(0));
    let at = |millis| Time::ZERO + ms(millis);
    load.surges.push(Surge {
        from: at(500),
        until: at(701),
        factor: 2.0,
    });
    let rig = Rig::new(load, TryPolicy::default(), 0).run();
    let during = |from: u64, to: u64| {
        rig.times()
            .iter()
            .filter(|at| (from..to).contains(at))
            .count()
    };
    assert_eq!(
        (during(0, 500), during(500, 750), during(750, 1000)),
        (8, 8, 4)
    );
}

#[test]
fn open_arrivals_do_not_wait_for_answers() {
    let stage = Stage {
        from: 100.0,
        to: 100.0,
        lasts: ms(1000),
    };
    let open = |takes| {
        let process = Process::Open {
            arrivals: Spacing::Poisson,
            stages: [stage].into(),
        };
        Rig::new(load(process), TryPolicy::default(), takes).run()
    };
    let (fast, slow) = (open(1), open(5000));
    assert_eq!(fast.sent, slow.sent);
    // 5 standard deviations of a Poisson of 100
    assert!(fast.sent.len().abs_diff(100) < 50);
    assert!(
        fast.sent
            .iter()
            .all(|(at, asked, _)| asked.intended.as_nanos() / 1_000_000 == *at)
    );
}

#[test]
fn a_trace_is_sent_as_it_is_written() {
    let row = |at, request| TraceRow {
        at: Time::ZERO + ms(at),
        request: RequestId(request),
    };
    let rows = [row(5, 2), row(5, 1), row(70, 2), row(2000, 2)];
    let rig = Rig::new(load(Process::Trace(rows.into())), TryPolicy::default(), 1).run();
    let sent: Vec<_> = rig
        .sent
        .iter()
        .map(|(at, asked, _)| (*at, asked.request.0))
        .collect();
    assert_eq!(sent, [(5, 2), (5, 1), (70, 2)]);
}

#[test]
fn a_client_tries_again_by_its_policy() {
    let policy = TryPolicy {
        timeout: Some(Timer {
            after: ms(10),
            lane: LaneId(0),
        }),
        retries: 2,
        ..TryPolicy::default()
    };
    let rows = [TraceRow {
        at: Time::ZERO + ms(5),
        request: RequestId(0),
    }];
    let process = Process::Trace(rows.into());
    let silent = Rig::new(load(process.clone()), policy, 5000).run();
    assert_eq!(silent.times(), [5, 15, 25]);
    assert_eq!(
        silent.ended,
        [(35, CallOutcome::Failed(Failure::Timeout), 3)]
    );
    let mut failing = Rig::new(load(process), policy, 1);
    failing.outcome = CallOutcome::Answered(503);
    let failing = failing.run();
    assert_eq!(failing.times(), [5, 6, 7]);
    assert_eq!(failing.ended, [(8, CallOutcome::Answered(503), 3)]);
}

#[test]
fn a_users_draws_do_not_depend_on_how_long_answers_take() {
    let keys = |takes| {
        let rig = Rig::new(closed(3, Some(1)), TryPolicy::default(), takes).run();
        let mut keys: BTreeMap<_, _> = BTreeMap::new();
        for (_, asked, _) in &rig.sent {
            keys.insert(
                (asked.user, asked.number),
                asked.key.unit(Purpose::ServiceTime, 0).to_bits(),
            );
        }
        keys
    };
    let (fast, slow) = (keys(1), keys(300));
    assert!(slow.len() < fast.len());
    assert!(slow.iter().all(|(who, key)| fast[who] == *key));
}
