use super::*;

fn ten() -> Program {
    program([work(10), Step::Reply])
}

#[test]
fn a_slow_fault_stretches_what_is_left_and_lets_go() {
    let slow = Effect::Slow { factor: 4.0 };
    let run = |program: Program, begins: u64, ends: u64| {
        let mut rig = Rig::new(program);
        rig.arrive(1);
        rig.until(begins);
        rig.fault(slow);
        rig.until(ends);
        rig.fault_ends();
        rig.rest()
    };
    let cores = |b: &mut Behaviour| b.cores = Some(1.0);
    let shared = |b: &mut Behaviour| b.discipline = Discipline::Shared;
    let computes = program([computing(10, 1.0), Step::Reply]);
    for (name, program) in [
        ("taking time", ten()),
        ("computing", computes.with(cores)),
        ("sharing", ten().with(shared)),
    ] {
        // 5 ms done, then 2 in 8, then 3
        assert_eq!(run(program.clone(), 5, 13), ["16 1: 200"], "{name}");
        // 5 ms done, then 5 in 20
        assert_eq!(run(program, 5, 99), ["25 1: 200"], "{name}");
    }
}

#[test]
fn work_stands_still_while_the_process_is_frozen() {
    let cores = |b: &mut Behaviour| b.cores = Some(1.0);
    for program in [
        ten(),
        program([computing(10, 1.0), Step::Reply]).with(cores),
    ] {
        let mut rig = Rig::new(program);
        rig.arrive(1);
        rig.until(5);
        rig.fault(Effect::Freeze);
        rig.until(50);
        rig.arrive(2);
        assert_eq!(rig.replica.waiting(), 1);
        rig.until(105);
        rig.fault_ends();
        assert_eq!(rig.rest(), ["110 1: 200", "120 2: 200"]);
    }
}

#[test]
fn an_answer_during_a_freeze_beats_a_timeout_that_passed_in_it() {
    let timer = Timer {
        after: ms(10),
        lane: LaneId(0),
    };
    let policy = TryPolicy {
        timeout: Some(timer),
        ..TryPolicy::default()
    };
    let program = program([Step::Call(CallId(0)), Step::Reply])
        .calling([call(0)])
        .trying(policy);
    for (answered, expected) in [(true, "50 1: 200"), (false, "50 1: 500")] {
        let mut rig = Rig::new(program.clone());
        rig.arrive(1);
        rig.fault(Effect::Freeze);
        rig.until(20);
        if answered {
            rig.answer(0, 200);
        }
        rig.until(50);
        rig.fault_ends();
        assert_eq!(rig.rest().last().unwrap(), expected);
    }
}

#[test]
fn a_caller_who_leaves_during_a_freeze_is_noticed_at_its_end() {
    let abort = |b: &mut Behaviour| b.on_caller_gone = CallerGone::Abort;
    let mut rig = Rig::new(ten().with(abort));
    rig.arrive(1);
    rig.until(5);
    rig.fault(Effect::Freeze);
    rig.arrive(2);
    rig.gone(1);
    rig.until(100);
    assert_eq!(rig.replica.busy(), 1);
    rig.fault_ends();
    assert_eq!(rig.rest(), ["110 2: 200"]);
}

#[test]
fn fewer_slots_let_those_who_work_finish() {
    let mut rig = Rig::new(ten().with(|b| b.concurrency = 3));
    rig.fault(Effect::Capacity {
        slots: Some(2),
        cores: None,
    });
    (1..=2).for_each(|token| rig.arrive(token));
    rig.until(5);
    rig.fault(Effect::Capacity {
        slots: Some(1),
        cores: None,
    });
    (3..=5).for_each(|token| rig.arrive(token));
    assert_eq!((rig.replica.busy(), rig.replica.slots()), (2, 1));
    rig.until(15);
    rig.fault_ends();
    assert_eq!(
        rig.rest(),
        [
            "10 1: 200",
            "10 2: 200",
            "20 3: 200",
            "25 4: 200",
            "25 5: 200"
        ]
    );
}

#[test]
fn fewer_cores_slow_computation() {
    let computes = program([computing(10, 1.0), Step::Reply]);
    let mut rig = Rig::new(computes.with(|b| b.cores = Some(2.0)));
    rig.fault(Effect::Capacity {
        slots: None,
        cores: Some(0.5),
    });
    rig.arrive(1);
    assert_eq!(rig.rest(), ["20 1: 200"]);
}

#[test]
fn an_error_fault_answers_its_share_at_once_without_a_slot() {
    let mut rig = Rig::new(ten());
    rig.fault(Effect::Error {
        status: 500,
        share: 0.5,
    });
    (1..=4000).for_each(|token| rig.arrive(token));
    let failed = rig
        .seen()
        .iter()
        .filter(|line| line.starts_with("0 ") && line.ends_with("500"))
        .count();
    // 4 standard deviations of a binomial of 4000 at 1/2
    assert!(failed.abs_diff(2000) < 127, "{failed}");
    rig.fault_ends();
    assert!(rig.rest().iter().all(|line| line.ends_with("200")));
}

#[test]
fn slow_factors_multiply_and_end_on_their_own() {
    let slow = |fault, factor| AppInput::FaultBegins {
        fault: FaultId(fault),
        effect: Effect::Slow { factor },
    };
    let mut rig = Rig::new(ten());
    rig.input(slow(0, 2.0));
    rig.input(slow(1, 3.0));
    rig.arrive(1);
    rig.until(30); // half
    rig.input(AppInput::FaultEnds { fault: FaultId(0) });
    assert_eq!(rig.rest(), ["45 1: 200"]);
}

#[test]
fn a_crash_loses_everything_and_a_boot_takes_its_time() {
    let mut program = program([work(1), Step::Call(CallId(0)), Step::Reply]).calling([call(0)]);
    program = program.with(|b| (b.boot, b.ready) = (Some(DistId(20)), Some(DistId(5))));
    let mut rig = Rig::new(program);
    rig.arrive(1);
    rig.arrive(2);
    rig.until(3);
    rig.input(AppInput::Crash);
    rig.arrive(3);
    assert_eq!(
        rig.seen(),
        [
            "1 call 0",
            "3 cancel 0",
            "3 1: lost",
            "3 2: lost",
            "3 3: lost"
        ]
    );
    assert_eq!(
        (
            rig.replica.busy(),
            rig.replica.waiting(),
            rig.replica.in_flight()
        ),
        (0, 0, 0)
    );
    rig.answer(0, 200);
    rig.input(AppInput::Boot {
        key: DrawKey::root(1),
    });
    assert_eq!(rig.rest(), ["23 listening", "28 ready"]);
    rig.arrive(4);
    assert_eq!(rig.rest(), ["29 call 0"]);
}

#[test]
fn a_crash_during_the_boot_starts_over() {
    let program = ten().with(|b| b.boot = Some(DistId(20)));
    let boot = AppInput::Boot {
        key: DrawKey::root(1),
    };
    let mut rig = Rig::down(program);
    rig.input(boot);
    rig.until(10);
    rig.input(AppInput::Crash);
    rig.input(boot);
    assert_eq!(rig.rest(), ["30 listening", "30 ready"]);
}
