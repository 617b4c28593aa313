//! Whatever a program does and whatever happens, each arrival ends once and nothing is left behind.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::app::replica::Slot;
use crate::plan::program::{Backoff, Hedge, Jitter};

/// A piece of a handler before it is laid out flat.
#[derive(Clone, Debug)]
enum Piece {
    Work(u32, f32),
    MayFail(f64),
    Call(u32),
    Parallel(Vec<Vec<Self>>),
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let leaf = prop_oneof![
        (0_u32..30, prop_oneof![Just(0.0_f32), Just(0.5), Just(1.0)])
            .prop_map(|(time, cpu)| Piece::Work(time, cpu)),
        (0.0_f64..0.5).prop_map(Piece::MayFail),
        (0_u32..4).prop_map(Piece::Call),
    ];
    let piece = leaf.prop_recursive(2, 12, 3, |inner| {
        let branch = prop::collection::vec(inner, 0..3);
        prop::collection::vec(branch, 0..4).prop_map(Piece::Parallel)
    });
    prop::collection::vec(piece, 0..5)
}

/// Lays pieces out: the line itself, then the branches of its forks.
fn lay_out(pieces: &[Piece], end: Step, draws: &mut u32, program: &mut Program) -> StepId {
    let start = program.steps.len();
    let line = std::iter::repeat_n(Step::Reply, pieces.len());
    program.steps.extend(line.chain([end]));
    for (n, piece) in pieces.iter().enumerate() {
        *draws += 1;
        program.steps[start + n] = match piece {
            Piece::Work(time, cpu) => Step::Work {
                time: DistId(*time),
                cpu: *cpu,
                draw: *draws,
            },
            Piece::MayFail(share) => Step::MayFail {
                share: *share,
                status: 500,
                draw: *draws,
            },
            Piece::Call(call) => Step::Call(CallId(*call)),
            Piece::Parallel(branches) => {
                let starts: Vec<_> = branches
                    .iter()
                    .map(|branch| lay_out(branch, Step::Join, draws, program))
                    .collect();
                let first = program.branches.len() as u32;
                program.branches.extend(starts);
                fork(first, branches.len() as u32, (start + n + 1) as u32)
            }
        };
    }
    StepId(start as u32)
}

prop_compose! {
    fn programs()(
        pieces in pieces(),
        releases in any::<bool>(),
        concurrency in 1_u32..4,
        cores in prop::option::of(0.5_f64..3.0),
        queue_limit in prop::option::of(0_u32..5),
        discipline in prop::sample::select(vec![Discipline::Fifo, Discipline::Lifo, Discipline::Shared]),
        abort in any::<bool>(),
        patient in any::<bool>(),
        times in 0_u32..4,
    ) -> Program {
        let mut program = program([]);
        program.distributions.truncate(40);
        let first = lay_out(&pieces, Step::Reply, &mut 0, &mut program);
        program.handlers[0].first = first;
        program.handlers[0].releases_slot = releases;
        let on_caller_gone = if abort { CallerGone::Abort } else { CallerGone::Continue };
        program = program.with(|b| {
            (b.concurrency, b.cores, b.queue_limit) = (concurrency, cores, queue_limit);
            (b.discipline, b.on_caller_gone) = (discipline, on_caller_gone);
            b.boot = Some(DistId(7));
        });
        let timer = Timer { after: ms(9), lane: LaneId(0) };
        let backoff = Backoff { base: ms(3), factor: 2.0, max: ms(20), jitter: Jitter::Full };
        if !patient {
            program = program.trying(TryPolicy {
                timeout: Some(timer),
                retries: 2,
                backoff: Some(backoff),
                hedge: Some(Hedge { after: Timer { after: ms(4), lane: LaneId(1) }, max: 1 }),
            });
        }
        program.calling([
            call(0),
            Call { times, ..call(1) },
            Call { probability: 0.5, on_error: OnError::Ignore, ..call(2) },
            Call { on_error: OnError::Fallback { status: 203 }, ..call(3) },
        ])
    }
}

#[derive(Clone, Debug)]
enum Happens {
    Arrives {
        handled: bool,
    },
    Passes(u64),
    /// Any timer ever armed, due or not.
    Fires(Index),
    Returns(Index, CallOutcome),
    Leaves(Index),
    Fault(u32, Effect),
    FaultEnds(u32),
    Crash,
    Boot,
}

fn happens() -> impl Strategy<Value = Happens> {
    let outcome = prop_oneof![
        4 => Just(CallOutcome::Answered(200)),
        1 => Just(CallOutcome::Answered(404)),
        2 => Just(CallOutcome::Answered(503)),
        2 => Just(CallOutcome::Failed(Failure::Reset)),
    ];
    let effect = prop_oneof![
        (0.5_f64..5.0).prop_map(|factor| Effect::Slow { factor }),
        Just(Effect::Freeze),
        (prop::option::of(0_u32..3), prop::option::of(0.3_f64..2.0))
            .prop_map(|(slots, cores)| Effect::Capacity { slots, cores }),
        (0.0_f64..1.0).prop_map(|share| Effect::Error { status: 500, share }),
    ];
    prop_oneof![
        12 => prop::bool::weighted(0.9).prop_map(|handled| Happens::Arrives { handled }),
        12 => (0_u64..30).prop_map(Happens::Passes),
        2 => any::<Index>().prop_map(Happens::Fires),
        12 => (any::<Index>(), outcome).prop_map(|(n, outcome)| Happens::Returns(n, outcome)),
        4 => any::<Index>().prop_map(Happens::Leaves),
        2 => (0_u32..3, effect).prop_map(|(fault, effect)| Happens::Fault(fault, effect)),
        3 => (0_u32..3).prop_map(Happens::FaultEnds),
        1 => Just(Happens::Crash),
        3 => Just(Happens::Boot),
    ]
}

/// A driver that ignores disarming and checks every action.
#[derive(Clone)]
struct World {
    replica: Replica,
    now: Time,
    timers: BTreeMap<(Time, usize), AppTimer>,
    every_timer: Vec<AppTimer>,
    every_call: Vec<TryId>,
    in_flight: BTreeSet<TryId>,
    /// Ended while the process was frozen, so it may not know yet.
    ended_unseen: BTreeSet<TryId>,
    jobs: Vec<JobId>,
    open: BTreeSet<u64>,
    busy: u32,
    log: Vec<String>,
}

impl World {
    fn new(program: Program) -> Self {
        let mut world = Self {
            replica: Replica::new(Arc::new(program), BehaviourId(0)),
            now: Time::ZERO,
            timers: BTreeMap::new(),
            every_timer: Vec::new(),
            every_call: Vec::new(),
            in_flight: BTreeSet::new(),
            ended_unseen: BTreeSet::new(),
            jobs: Vec::new(),
            open: BTreeSet::new(),
            busy: 0,
            log: Vec::new(),
        };
        world.input(AppInput::BootedBefore);
        world
    }

    fn input(&mut self, input: AppInput) {
        self.replica.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.replica.poll_action() {
            self.log.push(format!("{:?} {action:?}", self.now));
            match action {
                AppAction::Arm { id, at, .. } => {
                    assert!(at >= self.now, "a timer in the past");
                    self.every_timer.push(id);
                    self.timers.insert((at, self.every_timer.len()), id);
                }
                AppAction::Call { call, token, .. } => {
                    assert!((token as usize) <= self.jobs.len());
                    self.every_call.push(call);
                    assert!(self.in_flight.insert(call), "sent twice");
                }
                AppAction::CancelCall { call } => {
                    let unseen = self.ended_unseen.remove(&call);
                    assert!(self.in_flight.remove(&call) || unseen, "not in flight");
                }
                AppAction::Answer { token, .. }
                | AppAction::Refuse { token }
                | AppAction::Lost { token } => assert!(self.open.remove(&token), "ended twice"),
                AppAction::Note { token, .. } => assert!(self.open.contains(&token), "ended"),
                AppAction::CallEnded { .. }
                | AppAction::CallGivenUp { .. }
                | AppAction::Listening
                | AppAction::Ready => {}
            }
        }
        self.check();
    }

    fn check(&mut self) {
        let replica = &self.replica;
        let held = |slot: Slot| {
            let jobs = (0..replica.jobs.places()).filter_map(|place| replica.jobs.at(place));
            jobs.filter(|(_, job)| job.slot == slot).count() as u32
        };
        assert_eq!(held(Slot::Held), replica.busy);
        assert_eq!(held(Slot::Queued), replica.queue.len());
        assert_eq!(held(Slot::Resuming), replica.resuming.len());
        assert!(replica.ready.is_empty());
        for (key, job) in (0..replica.jobs.places()).filter_map(|place| replica.jobs.at(place)) {
            let fibers = (0..replica.fibers.places()).filter_map(|place| replica.fibers.at(place));
            let running = fibers.filter(|(_, fiber)| {
                let waits = matches!(
                    fiber.doing,
                    super::super::Doing::Calling(_) | super::super::Doing::Joining(_)
                );
                fiber.job == key && !waits
            });
            assert_eq!(running.count() as u32, job.running);
        }
        if replica.rules().discipline != Discipline::Shared {
            assert!(
                replica.busy <= replica.slots().max(self.busy),
                "more slots than there are"
            );
            let idle = replica.busy < replica.slots();
            if idle && !replica.faults.frozen() {
                assert_eq!(replica.waiting(), 0, "a slot is idle while requests wait");
            }
        }
        self.busy = replica.busy;
    }

    fn step(&mut self, event: &Happens) {
        match *event {
            Happens::Arrives { handled } => {
                let token = self.jobs.len() as u64;
                self.open.insert(token);
                let arrival = Arrival {
                    token,
                    handler: handled.then_some(HANDLER),
                    key: DrawKey::root(token),
                    watched: token.is_multiple_of(2),
                };
                let job = self.replica.arrive(self.now, arrival);
                self.jobs.push(job);
                self.drain();
            }
            Happens::Passes(millis) => self.pass(millis),
            Happens::Fires(n) if !self.every_timer.is_empty() => {
                let id = *n.get(&self.every_timer);
                self.input(AppInput::Timer { id });
            }
            Happens::Returns(n, outcome) if !self.every_call.is_empty() => {
                let call = *n.get(&self.every_call);
                self.returns(call, outcome);
            }
            Happens::Leaves(n) if !self.jobs.is_empty() => {
                let token = n.index(self.jobs.len());
                self.open.remove(&(token as u64));
                let job = self.jobs[token];
                self.input(AppInput::CallerGone { job });
            }
            Happens::Fires(_) | Happens::Returns(..) | Happens::Leaves(_) => {}
            Happens::Fault(fault, effect) => self.input(AppInput::FaultBegins {
                fault: FaultId(fault),
                effect,
            }),
            Happens::FaultEnds(fault) => self.input(AppInput::FaultEnds {
                fault: FaultId(fault),
            }),
            Happens::Crash => self.input(AppInput::Crash),
            Happens::Boot => self.input(AppInput::Boot {
                key: DrawKey::root(9),
            }),
        }
    }

    /// What a try that is over says is ignored, so only those in flight are struck off.
    fn returns(&mut self, call: TryId, outcome: CallOutcome) {
        if self.in_flight.remove(&call) && self.replica.faults.frozen() {
            self.ended_unseen.insert(call);
        }
        self.input(AppInput::CallDone { call, outcome });
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now + ms(millis);
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

    /// Ends every fault and answers every call until nothing happens any more.
    fn wind_up(&mut self) {
        (0..3).for_each(|n| self.step(&Happens::FaultEnds(n)));
        for _ in 0..200 {
            self.pass(10_000);
            for call in self.in_flight.clone() {
                self.returns(call, CallOutcome::Answered(200));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn each_arrival_ends_once_and_nothing_is_left(
        program in programs(),
        events in prop::collection::vec(happens(), 1..120),
    ) {
        let mut world = World::new(program);
        let half = events.len() / 2;
        events[..half].iter().for_each(|event| world.step(event));
        let mut twin = world.clone();
        for world in [&mut world, &mut twin] {
            events[half..].iter().for_each(|event| world.step(event));
            world.wind_up();
        }
        prop_assert_eq!(&world.log, &twin.log, "a clone goes on as the original");
        prop_assert!(world.open.is_empty(), "never ended: {:?}", world.open);
        prop_assert!(world.in_flight.is_empty());
        let replica = &world.replica;
        prop_assert_eq!((replica.busy(), replica.waiting(), replica.in_flight()), (0, 0, 0));
        prop_assert_eq!((replica.fibers.len(), replica.tries.open()), (0, 0));
        prop_assert_eq!(replica.cores_busy(), 0.0);
    }

    #[test]
    fn slots_are_busy_for_exactly_the_work_there_is(
        works in prop::collection::vec(0_u32..40, 1..4),
        concurrency in 1_u32..4,
        lifo in any::<bool>(),
        gaps in prop::collection::vec(0_u64..60, 1..40),
    ) {
        let steps = works.iter().map(|millis| work(*millis)).chain([Step::Reply]);
        let program = program(steps).with(|b| {
            b.concurrency = concurrency;
            b.discipline = if lifo { Discipline::Lifo } else { Discipline::Fifo };
        });
        let mut world = World::new(program);
        let mut served = 0;
        for gap in &gaps {
            world.step(&Happens::Arrives { handled: true });
            for _ in 0..*gap {
                served += u64::from(world.replica.busy());
                world.pass(1);
            }
        }
        while world.replica.busy() > 0 {
            served += u64::from(world.replica.busy());
            world.pass(1);
        }
        let demand: u32 = works.iter().sum();
        prop_assert_eq!(served, u64::from(demand) * gaps.len() as u64);
    }
}
