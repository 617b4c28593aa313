use super::*;

/// A millisecond of work, the calls one after the other, another millisecond.
fn sequence(calls: &[Call]) -> Program {
    let steps = (0..calls.len() as u32).map(|n| Step::Call(CallId(n)));
    let steps: Vec<_> = [work(1)]
        .into_iter()
        .chain(steps)
        .chain([work(1), Step::Reply])
        .collect();
    program(steps).calling(calls.iter().copied())
}

#[test]
fn a_handler_goes_on_when_its_call_is_answered() {
    let mut rig = Rig::new(sequence(&[call(0)]));
    rig.arrive(1);
    rig.until(5);
    assert_eq!(rig.seen(), ["1 call 0"]);
    rig.answer(0, 200);
    assert_eq!(rig.rest(), ["6 1: 200"]);
}

#[test]
fn what_a_failed_call_means_is_up_to_its_handler() {
    let fail = OnError::Fail { status: 502 };
    let fallback = OnError::Fallback { status: 203 };
    let answered = CallOutcome::Answered;
    let reset = CallOutcome::Failed(Failure::Reset);
    for (name, on_error, outcome, expected) in [
        ("an answer", fail, answered(302), "6 1: 200"),
        ("a client error", fail, answered(404), "5 1: 502"),
        ("a server error", fail, answered(503), "5 1: 502"),
        ("no answer", fail, reset, "5 1: 502"),
        ("ignored", OnError::Ignore, reset, "6 1: 200"),
        ("fallback", fallback, reset, "6 1: 203 degraded"),
        ("fallback not needed", fallback, answered(200), "6 1: 200"),
    ] {
        let mut rig = Rig::new(sequence(&[Call {
            on_error,
            ..call(0)
        }]));
        rig.arrive(1);
        rig.until(5);
        rig.outcome(0, outcome);
        assert_eq!(rig.rest().last().unwrap(), expected, "{name}");
    }
}

#[test]
fn a_repeated_call_is_made_one_time_after_the_other_with_other_draws() {
    let mut rig = Rig::new(sequence(&[Call {
        times: 3,
        ..call(0)
    }]));
    rig.arrive(1);
    rig.until(1);
    for n in 0..3 {
        assert_eq!(rig.calls.len(), n + 1);
        rig.answer(n, 200);
    }
    rig.rest();
    let mut keys = rig.keys.clone();
    keys.dedup();
    assert_eq!(keys.len(), 3);
}

#[test]
fn a_call_draws_the_same_whatever_other_calls_are_made() {
    let keys = |calls: &[Call]| {
        let mut rig = Rig::new(sequence(calls));
        rig.arrive(1);
        for n in 0..calls.len() {
            rig.until(1);
            rig.answer(n, 200);
        }
        rig.keys
    };
    assert_eq!(keys(&[call(7)])[0], keys(&[call(3), call(7)])[1]);
}

#[test]
fn a_call_is_made_as_often_as_its_probability_says() {
    let call = Call {
        probability: 0.8,
        ..call(0)
    };
    let program = program([Step::Call(CallId(0)), Step::Reply]).calling([call]);
    let mut rig = Rig::new(program.with(|b| b.concurrency = 9999));
    (1..=4000).for_each(|token| rig.arrive(token));
    // 4 standard deviations of a binomial of 4000 at 0.8
    assert!(rig.calls.len().abs_diff(3200) < 102, "{}", rig.calls.len());
}

#[test]
fn a_held_slot_keeps_others_waiting_and_a_released_one_does_not() {
    for (name, program, expected) in [
        ("held", sequence(&[call(0)]), vec!["1 call 0"]),
        (
            "released",
            sequence(&[call(0)]).releasing(),
            vec!["1 call 0", "2 call 0"],
        ),
    ] {
        let mut rig = Rig::new(program);
        rig.arrive(1);
        rig.arrive(2);
        assert_eq!(rig.rest(), expected, "{name}");
    }
}

#[test]
fn a_released_slot_is_taken_again_ahead_of_those_who_have_not_begun() {
    let mut rig = Rig::new(sequence(&[call(0)]).releasing());
    (1..=3).for_each(|token| rig.arrive(token));
    rig.until(1); // the second works now
    rig.answer(0, 200);
    assert_eq!((rig.replica.busy(), rig.replica.waiting()), (1, 2));
    assert_eq!(rig.rest(), ["1 call 0", "2 call 0", "3 1: 200", "4 call 0"]);
}

/// Branches of 1: work 5; 2: a call; and after them 1 ms of work.
fn forked() -> Program {
    let mut program = program([
        fork(0, 2, 1),
        work(1),
        Step::Reply,
        work(5),
        Step::Join,
        Step::Call(CallId(0)),
        Step::Join,
    ]);
    program.branches = vec![StepId(3), StepId(5)];
    program.calling([call(0)])
}

#[test]
fn a_fork_goes_on_when_all_branches_have_joined() {
    for (answered_at, expected) in [(3, "6 1: 200"), (9, "10 1: 200")] {
        let mut rig = Rig::new(forked());
        rig.arrive(1);
        rig.until(answered_at);
        rig.answer(0, 200);
        assert_eq!(rig.rest().last().unwrap(), expected);
        assert_eq!(rig.replica.in_flight(), 0);
    }
}

#[test]
fn a_slot_is_released_only_while_every_branch_waits() {
    let mut rig = Rig::new(forked().releasing());
    rig.arrive(1);
    rig.until(3);
    assert_eq!(rig.replica.busy(), 1, "a branch works");
    rig.until(6);
    assert_eq!(rig.replica.busy(), 0, "only the call is left");
    rig.answer(0, 200);
    assert_eq!(rig.rest().last().unwrap(), "7 1: 200");
}

#[test]
fn the_first_branch_to_fail_ends_the_request_and_cancels_the_others() {
    let mut program = program([
        fork(0, 2, 1),
        Step::Reply,
        Step::Call(CallId(0)),
        Step::Join,
        Step::Call(CallId(1)),
        Step::Join,
    ]);
    program.branches = vec![StepId(2), StepId(4)];
    let mut rig = Rig::new(program.calling([call(0), call(1)]));
    rig.arrive(1);
    rig.until(2);
    rig.answer(1, 500);
    assert_eq!(
        rig.rest(),
        ["0 call 0", "0 call 1", "2 cancel 0", "2 1: 500"]
    );
    assert_eq!(rig.replica.busy(), 0);
}

#[test]
fn a_call_is_retried_and_given_up_with_its_request() {
    let timer = Timer {
        after: ms(5),
        lane: LaneId(0),
    };
    let policy = TryPolicy {
        timeout: Some(timer),
        retries: 1,
        ..TryPolicy::default()
    };
    let abort = |b: &mut Behaviour| b.on_caller_gone = CallerGone::Abort;
    let mut rig = Rig::new(sequence(&[call(0)]).trying(policy).with(abort));
    rig.arrive(1);
    rig.until(8);
    rig.gone(1);
    assert_eq!(
        rig.rest(),
        ["1 call 0", "6 cancel 0", "6 call 0", "8 cancel 1"]
    );
    rig.arrive(2);
    assert_eq!(
        rig.rest(),
        [
            "9 call 0",
            "14 cancel 2",
            "14 call 0",
            "19 cancel 3",
            "19 2: 500"
        ]
    );
}

#[test]
fn the_way_of_a_watched_request_is_told() {
    let mut rig = Rig::new(sequence(&[call(0)]).releasing());
    rig.arrive(1);
    rig.watch(2);
    rig.until(5);
    rig.arrive(3);
    rig.answer(1, 200);
    let told = rig.rest().into_iter().filter(|line| line.contains("2:"));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "0 2: Queued",
            "1 2: Began",
            "1 2: Works { on_cores: false }",
            "2 2: Worked",
            "2 2: Released",
            "5 2: Resumes",
            "6 2: Resumed",
            "6 2: Works { on_cores: false }",
            "7 2: Worked",
            "7 2: 200",
        ]
    );
}
