use super::*;

/// Three requests at once for a replica with one slot.
fn three(change: impl FnOnce(&mut Behaviour)) -> Vec<String> {
    let mut rig = Rig::new(program([work(10), Step::Reply]).with(change));
    (1..=3).for_each(|token| rig.arrive(token));
    rig.rest()
}

#[test]
fn the_discipline_decides_who_is_next() {
    type Change = fn(&mut Behaviour);
    let rows: [(&str, Change, [&str; 3]); 7] = [
        ("fifo", |_| {}, ["10 1: 200", "20 2: 200", "30 3: 200"]),
        (
            "lifo",
            |b| b.discipline = Discipline::Lifo,
            ["10 1: 200", "20 3: 200", "30 2: 200"],
        ),
        (
            "shared",
            |b| b.discipline = Discipline::Shared,
            ["30 1: 200", "30 2: 200", "30 3: 200"],
        ),
        (
            "two slots",
            |b| b.concurrency = 2,
            ["10 1: 200", "10 2: 200", "20 3: 200"],
        ),
        (
            "room for one to wait",
            |b| b.queue_limit = Some(1),
            ["0 3: refused", "10 1: 200", "20 2: 200"],
        ),
        (
            "no waiting",
            |b| b.queue_limit = Some(0),
            ["0 2: refused", "0 3: refused", "10 1: 200"],
        ),
        (
            "shared with room for one more",
            |b| {
                b.discipline = Discipline::Shared;
                b.queue_limit = Some(1);
            },
            ["0 3: refused", "20 1: 200", "20 2: 200"],
        ),
    ];
    for (name, change, expected) in rows {
        assert_eq!(three(change), expected, "{name}");
    }
}

#[test]
fn a_request_without_a_handler_is_answered_at_once_though_no_slot_is_free() {
    let mut rig = Rig::new(program([work(10), Step::Reply]));
    rig.arrive(1);
    rig.arrives(2, None, false);
    assert_eq!(rig.rest(), ["0 2: 404", "10 1: 200"]);
}

#[test]
fn processor_sharing_slows_those_who_share() {
    let mut rig =
        Rig::new(program([work(10), Step::Reply]).with(|b| b.discipline = Discipline::Shared));
    rig.arrive(1);
    rig.until(5);
    rig.arrive(2); // 5 ms are left to the first: both run at half speed until 15, then the second has 5 ms left
    assert_eq!(rig.rest(), ["15 1: 200", "20 2: 200"]);
}

#[test]
fn computing_queues_on_the_cores_and_the_rest_does_not() {
    let program = program([computing(10, 0.5), Step::Reply]).with(|b| {
        b.concurrency = 4;
        b.cores = Some(1.0);
    });
    let mut rig = Rig::new(program);
    rig.arrive(1);
    rig.arrive(2);
    assert!((rig.replica.cores_busy() - 1.0).abs() < 1e-9);
    // 2 × 5 ms on one core take 10, then 5 each
    assert_eq!(rig.rest(), ["15 1: 200", "15 2: 200"]);
    assert!(rig.replica.cores_busy() < 1e-9);
}

#[test]
fn an_aborted_request_frees_its_slot_and_its_place_in_the_queue() {
    let abort = |b: &mut Behaviour| b.on_caller_gone = CallerGone::Abort;
    let mut rig = Rig::new(program([work(10), Step::Reply]).with(abort));
    (1..=4).for_each(|token| rig.arrive(token));
    rig.until(4);
    rig.gone(1);
    rig.gone(3);
    assert_eq!((rig.replica.busy(), rig.replica.waiting()), (1, 1));
    assert_eq!(rig.rest(), ["14 2: 200", "24 4: 200"]);
}

#[test]
fn work_goes_on_for_a_caller_who_has_gone() {
    let mut rig = Rig::new(program([work(10), Step::Reply]));
    (1..=3).for_each(|token| rig.arrive(token));
    rig.until(4);
    rig.gone(1);
    rig.gone(2);
    assert_eq!(rig.rest(), ["30 3: 200"]);
}

#[test]
fn a_handler_may_fail_by_chance() {
    let may_fail = |share| Step::MayFail {
        share,
        status: 502,
        draw: 0,
    };
    let mut rig =
        Rig::new(program([may_fail(0.25), work(1), Step::Reply]).with(|b| b.concurrency = 9999));
    (1..=4000).for_each(|token| rig.arrive(token));
    let failed = rig
        .rest()
        .iter()
        .filter(|line| line.ends_with("502"))
        .count();
    // 4 standard deviations of a binomial of 4000 at 1/4
    assert!(failed.abs_diff(1000) < 110, "{failed}");
}
