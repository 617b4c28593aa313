use super::*;
use crate::demo::{Shape, run};
use crate::figures::tests::{ms, small, steady};

fn told(result: &RunResult) -> String {
    let sentences: Vec<String> = story(result).iter().map(Sentence::with_moment).collect();
    sentences.join("\n")
}

#[test]
fn a_storm_is_told_in_order_with_its_rules() {
    insta::assert_snapshot!(told(&run(Shape::Storm, 7)));
}

#[test]
fn a_budget_that_heals_is_told() {
    insta::assert_snapshot!(told(&run(Shape::Budget, 7)));
}

#[test]
fn what_never_worked_is_told_from_the_start() {
    insta::assert_snapshot!(told(&run(Shape::Refused, 7)));
}

#[test]
fn a_quiet_run_is_said_to_be_quiet() {
    let mut r = small();
    steady(&mut r, 0..40, 10, 200);
    insta::assert_snapshot!(told(&r.finish(ms(41_000))));
    insta::assert_snapshot!(told(&small().finish(ms(40_000))));
}

#[test]
fn a_quiet_run_that_was_not_fast_enough_says_so() {
    let mut r = small();
    steady(&mut r, 0..40, 10, 200);
    let mut result = r.finish(ms(41_000));
    let asked = "latency('shoppers').p99 < duration('5ms')";
    let expectation = crate::expect::Expectation::parse(asked).unwrap();
    crate::expect::judge(&[expectation], &mut result);
    insta::assert_snapshot!(told(&result));
}

#[test]
fn a_fault_that_only_slows_is_told_by_its_p99() {
    let mut r = small();
    let fault = crate::ids::FaultId(0);
    steady_thick(&mut r, 0..10, 10);
    r.fault_started(fault, ms(10_000));
    steady_thick(&mut r, 10..20, 400);
    r.fault_ended(fault, ms(20_000));
    steady_thick(&mut r, 20..40, 10);
    insta::assert_snapshot!(told(&r.finish(ms(41_000))));
}

/// Fifty requests in each second, enough for a p99 of a second.
fn steady_thick(r: &mut crate::recorder::Recorder, seconds: std::ops::Range<u64>, took: u64) {
    for at in seconds.start * 50..seconds.end * 50 {
        let outcome = crate::outcome::Outcome {
            status: 200,
            reason: ErrorReason::None,
            attempts: 1,
        };
        r.request_started(crate::figures::tests::LOAD, ms(at * 20));
        r.request_finished(
            crate::figures::tests::LOAD,
            ms(at * 20),
            ms(at * 20 + took),
            outcome,
        );
    }
}

#[test]
fn a_load_that_came_later_is_measured_by_its_own_beginning() {
    let mut r = small();
    steady(&mut r, 20..30, 10, 200);
    steady(&mut r, 30..40, 10, 503);
    insta::assert_snapshot!(told(&r.finish(ms(41_000))));
}

#[test]
fn pods_that_went_are_counted_and_a_full_queue_says_how_many_it_turned_away() {
    let mut r = small();
    steady(&mut r, 0..40, 10, 200);
    let (workload, at) = (1, ms(12_000));
    for pod in 0..2 {
        r.note(at, Note::PodDown { workload, pod });
    }
    r.note(at, Note::QueueFull { workload });
    for _ in 0..1_204 {
        r.handled(crate::ids::WorkloadId(1), at, Handled::Refused);
    }
    insta::assert_snapshot!(told(&r.finish(ms(41_000))));
}
