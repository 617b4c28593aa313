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

#[test]
fn a_load_that_rises_and_a_queue_that_grows_are_told() {
    let mut r = small();
    let (workload, slots) = (crate::ids::WorkloadId(1), 4);
    r.capacity(workload, ms(0), slots);
    steady(&mut r, 0..20, 10, 200);
    steady_thick(&mut r, 20..30, 10);
    steady(&mut r, 30..40, 10, 200);
    for at in 20..30 {
        r.queue_length(workload, ms(at * 1_000 + 500), (at - 19) * 8);
    }
    r.queue_length(workload, ms(30_000), 0);
    insta::assert_snapshot!(told(&r.finish(ms(41_000))));
}

#[test]
fn what_users_that_wait_for_answers_send_is_no_cause() {
    let mut r = small();
    steady(&mut r, 0..20, 10, 200);
    steady_thick(&mut r, 20..40, 10);
    let mut result = r.finish(ms(41_000));
    assert!(told(&result).contains("the load `shoppers` began to rise"));
    result.loads[0].users = Some(10);
    assert!(!told(&result).contains("began to rise"));
}

#[test]
fn an_ejection_names_the_cluster_and_whose_proxy_made_it() {
    use crate::ids::{ClusterId, EndpointId};
    let mut r = small();
    steady(&mut r, 0..40, 10, 200);
    let why = crate::outcome::EjectionReason::Consecutive5xx;
    r.ejection_started(ClusterId(0), EndpointId(0), None, ms(12_000), why, None);
    let text = told(&r.finish(ms(41_000)));
    let expected = "endpoint `b-0` of the cluster `outbound|80||b` was ejected by a proxy of `a`";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_limit_is_told_with_what_is_written_at_its_place() {
    use crate::ids::{EdgeId, OriginId};
    let mut r = small();
    steady(&mut r, 0..40, 10, 200);
    let rule = Some(OriginId(0));
    r.rejected(EdgeId(0), ms(12_000), crate::outcome::Limit::Pending, rule);
    let mut result = r.finish(ms(41_000));
    result.origins = vec![crate::setup::Origin {
        text: "limits/exporter.yaml:13".into(),
        snippet: "http: {http1MaxPendingRequests: 10}".into(),
        kind: String::new(),
    }];
    let expected = "of `limits/exporter.yaml:13` (`http: {http1MaxPendingRequests: 10}`) began";
    let text = told(&result);
    assert!(text.contains(expected), "{text}");
}
