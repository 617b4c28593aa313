use std::collections::BTreeMap;

use proptest::prelude::*;
use proxy_core::time::Duration;

use super::*;
use crate::plan::ids::LaneId;
use crate::plan::program::{Backoff, Hedge, Jitter};

/// A caller with one policy whose call is owned by its number.
struct Rig {
    policy: [TryPolicy; 1],
    tries: Tries<u32>,
    now: Time,
    timers: BTreeMap<(Time, usize), TryTimer>,
    armed: usize,
    sent: Vec<TryId>,
    keys: Vec<DrawKey>,
    seen: Vec<String>,
    ended: Option<Ended<u32>>,
}

impl Rig {
    /// Sends the first try of call 7.
    fn new(policy: TryPolicy) -> Self {
        let mut rig = Self {
            policy: [policy],
            tries: Tries::default(),
            now: Time::ZERO,
            timers: BTreeMap::new(),
            armed: 0,
            sent: Vec::new(),
            keys: Vec::new(),
            seen: Vec::new(),
            ended: None,
        };
        rig.step(|tries, at, mut out| {
            tries.start(at, PolicyId(0), DrawKey::root(1), 7, &mut out);
            None
        });
        rig
    }

    fn step(
        &mut self,
        input: impl FnOnce(
            &mut Tries<u32>,
            At<'_>,
            &mut dyn FnMut(TryAction<u32>),
        ) -> Option<Ended<u32>>,
    ) {
        let mut actions = Vec::new();
        let at = At {
            now: self.now,
            policies: &self.policy,
        };
        let ended = input(&mut self.tries, at, &mut |action| actions.push(action));
        for action in actions {
            let at = self.now.as_nanos() / 1_000_000;
            match action {
                TryAction::Send {
                    id,
                    owner,
                    key,
                    number,
                    kind,
                } => {
                    assert_eq!((owner, number as usize), (7, self.sent.len()));
                    self.sent.push(id);
                    self.keys.push(key);
                    self.seen.push(format!("{at} {kind:?}"));
                }
                TryAction::Cancel { id } => {
                    let n = self.sent.iter().position(|sent| *sent == id);
                    self.seen.push(format!("{at} cancel {}", n.unwrap()));
                }
                TryAction::Arm { id, at, .. } => {
                    self.armed += 1;
                    self.timers.insert((at, self.armed), id);
                }
            }
        }
        if let Some(ended) = ended {
            assert!(self.ended.is_none(), "a call ends once");
            let at = self.now.as_nanos() / 1_000_000;
            self.seen.push(format!("{at} {:?}", ended.outcome));
            self.ended = Some(ended);
        }
    }

    fn done(&mut self, n: usize, outcome: CallOutcome) {
        let id = self.sent[n];
        self.step(|tries, at, mut out| tries.done(at, id, outcome, &mut out));
    }

    fn fire(&mut self, id: TryTimer) {
        self.step(|tries, at, mut out| tries.timer(at, id, &mut out));
    }

    fn until(&mut self, millis: u64) {
        let end = Time::ZERO + ms(millis);
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > end {
                break;
            }
            self.now = entry.key().0;
            let id = entry.remove();
            self.fire(id);
        }
        self.now = end;
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn timer(millis: u64) -> Timer {
    Timer {
        after: ms(millis),
        lane: LaneId(0),
    }
}

fn backoff(base: u64, jitter: Jitter) -> Backoff {
    Backoff {
        base: ms(base),
        factor: 2.0,
        max: ms(100),
        jitter,
    }
}

#[test]
fn a_policy_decides_what_follows_silence() {
    let plain = TryPolicy::default();
    let five = TryPolicy {
        timeout: Some(timer(5)),
        ..plain
    };
    let hedged = TryPolicy {
        hedge: Some(Hedge {
            after: timer(2),
            max: 2,
        }),
        ..plain
    };
    let rows: [(&str, TryPolicy, &[&str]); 6] = [
        ("it waits for ever", plain, &["0 First"]),
        (
            "timeout",
            five,
            &["0 First", "5 cancel 0", "5 Failed(Timeout)"],
        ),
        (
            "timeout, one retry",
            TryPolicy { retries: 1, ..five },
            &[
                "0 First",
                "5 cancel 0",
                "5 Retry(Failed(Timeout))",
                "10 cancel 1",
                "10 Failed(Timeout)",
            ],
        ),
        (
            "timeout, two retries with back-off",
            TryPolicy {
                retries: 2,
                backoff: Some(backoff(10, Jitter::None)),
                ..five
            },
            &[
                "0 First",
                "5 cancel 0",
                "15 Retry(Failed(Timeout))",
                "20 cancel 1",
                "40 Retry(Failed(Timeout))",
                "45 cancel 2",
                "45 Failed(Timeout)",
            ],
        ),
        ("hedges", hedged, &["0 First", "2 Hedge", "4 Hedge"]),
        (
            "hedges and a retry once all have failed, the hedges being used up",
            TryPolicy {
                retries: 1,
                hedge: hedged.hedge,
                ..five
            },
            &[
                "0 First",
                "2 Hedge",
                "4 Hedge",
                "5 cancel 0",
                "7 cancel 1",
                "9 cancel 2",
                "9 Retry(Failed(Timeout))",
                "14 cancel 3",
                "14 Failed(Timeout)",
            ],
        ),
    ];
    for (name, policy, expected) in rows {
        let mut rig = Rig::new(policy);
        rig.until(1000);
        assert_eq!(rig.seen, expected, "{name}");
    }
}

#[test]
fn an_answer_below_500_ends_the_call_and_anything_else_is_retried() {
    let policy = TryPolicy {
        retries: 1,
        ..TryPolicy::default()
    };
    for (outcome, retried) in [
        (CallOutcome::Answered(200), false),
        (CallOutcome::Answered(429), false),
        (CallOutcome::Answered(500), true),
        (CallOutcome::Answered(503), true),
        (CallOutcome::Failed(Failure::Connect), true),
        (CallOutcome::Failed(Failure::Reset), true),
        (CallOutcome::Failed(Failure::Dns), true),
    ] {
        let mut rig = Rig::new(policy);
        rig.done(0, outcome);
        assert_eq!(rig.sent.len() == 2, retried, "{outcome:?}");
        if retried {
            rig.done(1, outcome);
        }
        let ended = rig.ended.unwrap();
        assert_eq!(ended.outcome, outcome);
        assert_eq!(ended.tries as usize, rig.sent.len());
        assert_eq!(ended.decided_by, *rig.sent.last().unwrap());
        assert_eq!((rig.tries.open(), rig.timers.len()), (0, 0));
    }
}

#[test]
fn the_first_good_answer_cancels_the_others() {
    let hedge = Hedge {
        after: timer(2),
        max: 1,
    };
    let mut rig = Rig::new(TryPolicy {
        hedge: Some(hedge),
        ..TryPolicy::default()
    });
    rig.until(3);
    rig.done(1, CallOutcome::Answered(200));
    assert_eq!(
        rig.seen,
        ["0 First", "2 Hedge", "3 cancel 0", "3 Answered(200)"]
    );
    rig.done(0, CallOutcome::Answered(200));
    assert_eq!(rig.seen.len(), 4, "a late answer is ignored");
}

#[test]
fn a_failure_waits_for_the_other_tries_in_flight() {
    let hedge = Hedge {
        after: timer(2),
        max: 1,
    };
    let mut rig = Rig::new(TryPolicy {
        retries: 1,
        hedge: Some(hedge),
        ..TryPolicy::default()
    });
    rig.until(3);
    rig.done(0, CallOutcome::Answered(503));
    assert_eq!(rig.sent.len(), 2);
    rig.done(1, CallOutcome::Answered(503));
    assert_eq!(rig.seen, ["0 First", "2 Hedge", "3 Retry(Answered(503))"]);
}

#[test]
fn no_hedge_is_sent_while_a_call_backs_off() {
    let mut rig = Rig::new(TryPolicy {
        retries: 1,
        backoff: Some(backoff(50, Jitter::None)),
        hedge: Some(Hedge {
            after: timer(10),
            max: 1,
        }),
        ..TryPolicy::default()
    });
    rig.until(5);
    rig.done(0, CallOutcome::Failed(Failure::Connect));
    rig.until(100);
    assert_eq!(
        rig.seen,
        ["0 First", "55 Retry(Failed(Connect))", "65 Hedge"]
    );
}

#[test]
fn hedging_leaves_the_keys_of_other_tries_as_they_were() {
    let retries = TryPolicy {
        timeout: Some(timer(5)),
        retries: 1,
        ..TryPolicy::default()
    };
    let mut plain = Rig::new(retries);
    plain.until(50);
    let hedge = Hedge {
        after: timer(2),
        max: 1,
    };
    let mut hedged = Rig::new(TryPolicy {
        hedge: Some(hedge),
        ..retries
    });
    hedged.until(50);
    assert_eq!(plain.keys.len(), 2);
    assert_eq!(hedged.keys.len(), 3);
    assert_eq!([hedged.keys[0], hedged.keys[2]], plain.keys[..]);
    assert!(!plain.keys.contains(&hedged.keys[1]));
}

prop_compose! {
    fn policies()(
        timeout in prop::option::of(0_u64..20),
        retries in 0_u32..4,
        wait in prop::option::of(0_u64..20),
        hedge in prop::option::of((0_u64..20, 0_u32..3)),
    ) -> TryPolicy {
        TryPolicy {
            timeout: timeout.map(timer),
            retries,
            backoff: wait.map(|wait| backoff(wait, Jitter::Full)),
            hedge: hedge.map(|(after, max)| Hedge { after: timer(after), max }),
        }
    }
}

#[derive(Clone, Debug)]
enum Happens {
    Passes(u64),
    Ends(usize, CallOutcome),
    /// A timer fires although it is not due.
    Early(usize),
}

fn happens() -> impl Strategy<Value = Happens> {
    let outcome = prop_oneof![
        3 => Just(CallOutcome::Answered(500)),
        3 => Just(CallOutcome::Failed(Failure::Reset)),
        1 => Just(CallOutcome::Answered(200)),
    ];
    prop_oneof![
        (0_u64..15).prop_map(Happens::Passes),
        (any::<usize>(), outcome).prop_map(|(n, outcome)| Happens::Ends(n, outcome)),
        any::<usize>().prop_map(Happens::Early),
    ]
}

proptest! {
    #[test]
    fn every_call_ends_once_within_its_tries(
        policy in policies(),
        events in prop::collection::vec(happens(), 0..40),
    ) {
        let mut rig = Rig::new(policy);
        for event in events {
            match event {
                Happens::Passes(millis) => rig.until(rig.now.as_nanos() / 1_000_000 + millis),
                Happens::Ends(n, outcome) => rig.done(n % rig.sent.len(), outcome),
                Happens::Early(n) => {
                    let timer = rig.timers.values().nth(n % rig.timers.len().max(1)).copied();
                    if let Some(timer) = timer {
                        rig.fire(timer);
                    }
                }
            }
        }
        // whatever is still in flight fails until nothing is
        for _ in 0..20 {
            rig.until(rig.now.as_nanos() / 1_000_000 + 1000);
            for n in 0..rig.sent.len() {
                rig.done(n, CallOutcome::Failed(Failure::Reset));
            }
        }
        let most = 1 + policy.retries + policy.hedge.map_or(0, |hedge| hedge.max);
        let ended = rig.ended.expect("it ends");
        prop_assert!(ended.tries <= most, "{} of {most}", ended.tries);
        prop_assert_eq!(ended.tries as usize, rig.sent.len());
        prop_assert_eq!((rig.tries.open(), rig.tries.tries.len()), (0, 0));
    }

    #[test]
    fn an_abandoned_call_leaves_nothing_behind(policy in policies(), at in 0_u64..60) {
        let mut rig = Rig::new(policy);
        rig.until(at);
        rig.step(|tries, _, mut out| {
            tries.abandon_all(&mut out);
            None
        });
        prop_assert!(rig.timers.values().all(|id| !rig.tries.wants(*id)));
        prop_assert_eq!((rig.tries.open(), rig.tries.tries.len()), (0, 0));
    }
}
