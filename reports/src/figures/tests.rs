use proxy_core::time::{Duration, Time};

use super::recovery::{Recovery, recovery};
use super::*;
use crate::ids::{EdgeId, FaultId, LoadId, WorkloadId};
use crate::outcome::{AttemptKind, Outcome};
use crate::recorder::Recorder;
use crate::setup::{ClusterSetup, EdgeSetup, FaultSetup, LoadSetup, Setup, WorkloadSetup};

pub(crate) const LOAD: LoadId = LoadId(0);

pub(crate) fn ms(millis: u64) -> Time {
    Time::from_nanos(millis * 1_000_000)
}

/// `shoppers` → `a` → `b`, 40 s in windows of 1 s, warm-up 2 s, fault `slow` from 10 s to 20 s.
pub(crate) fn small() -> Recorder {
    Recorder::new(Setup {
        scenario: "small".into(),
        duration: Duration::from_secs(40),
        warmup: Duration::from_secs(2),
        window: Some(Duration::from_secs(1)),
        loads: vec![LoadSetup {
            name: "shoppers".into(),
            enters: Some(WorkloadId(0)),
            users: None,
        }],
        workloads: ["a", "b"]
            .map(|name| WorkloadSetup {
                name: name.into(),
                namespace: "shop".into(),
                replicas: 1,
                ..WorkloadSetup::default()
            })
            .to_vec(),
        edges: vec![EdgeSetup {
            from: WorkloadId(0),
            to: WorkloadId(1),
            policies: vec![],
        }],
        clusters: vec![ClusterSetup {
            name: "outbound|80||b".into(),
            edge: Some(EdgeId(0)),
            endpoints: vec!["b-0".into()],
        }],
        faults: vec![FaultSetup {
            name: "slow".into(),
            what: "b slowed 10×".into(),
            start: ms(10_000),
            end: ms(20_000),
        }],
        ..Setup::default()
    })
}

/// One request in each 100 ms of `seconds`, ending after `took` with `status`.
pub(crate) fn steady(r: &mut Recorder, seconds: std::ops::Range<u64>, took: u64, status: u16) {
    for at in seconds.start * 10..seconds.end * 10 {
        let outcome = Outcome {
            status,
            reason: ErrorReason::None,
            attempts: 1,
        };
        r.request_started(LOAD, ms(at * 100));
        r.request_finished(LOAD, ms(at * 100), ms(at * 100 + took), outcome);
    }
}

fn with_fault(r: &mut Recorder) {
    r.fault_started(FaultId(0), ms(10_000));
    r.fault_ended(FaultId(0), ms(20_000));
}

#[test]
fn success_counts_finished_requests_after_the_warmup() {
    let mut r = small();
    steady(&mut r, 0..2, 10, 500);
    steady(&mut r, 2..10, 10, 200);
    steady(&mut r, 10..12, 10, 503);
    r.request_started(LOAD, ms(39_000));
    let result = r.finish(ms(40_000));
    let load = &result.loads[0];
    assert_eq!(load.success(None), Some(0.8));
    assert_eq!(
        load.success(Some(result.time.span(10_000_000_000, 12_000_000_000))),
        Some(0.0)
    );
    assert_eq!(
        load.success(Some(result.time.span(20_000_000_000, 30_000_000_000))),
        None
    );
    assert_eq!(load.unfinished, 1);
}

#[test]
fn goodput_and_throughput_are_a_second_of_what_was_measured() {
    let mut r = small();
    steady(&mut r, 2..21, 10, 200);
    steady(&mut r, 21..40, 10, 503);
    let result = r.finish(ms(40_000));
    let load = &result.loads[0];
    assert_eq!(load.goodput(&result.time, None), Some(5.0));
    assert_eq!(load.throughput(&result.time, None), Some(10.0));
}

#[test]
fn a_run_cut_short_is_divided_by_what_was_measured() {
    let mut r = small();
    steady(&mut r, 2..12, 10, 200);
    let result = r.finish(ms(12_000));
    assert_eq!(result.loads[0].goodput(&result.time, None), Some(10.0));
}

#[test]
fn latency_holds_failures_and_ok_latency_does_not() {
    let mut r = small();
    steady(&mut r, 2..10, 10, 200);
    steady(&mut r, 10..12, 500, 503);
    let load = &r.finish(ms(40_000)).loads[0];
    assert_eq!(Stat::Max.of(&load.latency(false, None)), Some(500e6));
    assert_eq!(Stat::Max.of(&load.latency(true, None)), Some(10e6));
    assert_eq!(Stat::Mean.of(&load.latency(false, None)), Some(108e6));
}

#[test]
fn amplification_is_attempts_per_first_attempt() {
    let mut r = small();
    for at in 0..10 {
        r.attempt_started(EdgeId(0), ms(5_000 + at), AttemptKind::First, None);
        r.attempt_started(EdgeId(0), ms(25_000 + at), AttemptKind::First, None);
        for _ in 0..2 {
            r.attempt_started(EdgeId(0), ms(25_000 + at), AttemptKind::Retry, None);
        }
    }
    let result = r.finish(ms(40_000));
    let of = |span| result.between("a", "shop/b", span).unwrap().amplification();
    assert_eq!(of(None), Some(2.0));
    assert_eq!(
        of(Some(result.time.span(20_000_000_000, 30_000_000_000))),
        Some(3.0)
    );
    assert_eq!(
        of(Some(result.time.span(10_000_000_000, 20_000_000_000))),
        None
    );
    assert_eq!(result.between("b", "a", None), None);
}

#[test]
fn utilization_is_busy_slots_over_slots() {
    let mut r = small();
    r.capacity(WorkloadId(1), ms(0), 4);
    r.busy(WorkloadId(1), ms(2_000), 3);
    r.busy(WorkloadId(1), ms(21_000), 0);
    let result = r.finish(ms(40_000));
    assert_eq!(result.utilization(1, None), Some(0.375));
    assert_eq!(result.utilization(0, None), None);
}

#[test]
fn a_window_is_rounded_to_the_windows_of_the_series() {
    let time = small().finish(ms(40_000)).time;
    for (from, to, first, end) in [
        (10_000, 20_000, 10, 20),
        (10_400, 19_600, 10, 20),
        (10_600, 10_700, 11, 12),
        (39_900, 90_000, 39, 40),
        (90_000, 95_000, 39, 40),
    ] {
        let span = time.span(from * 1_000_000, to * 1_000_000);
        assert_eq!(span, Span { first, end }, "{from}..{to}");
    }
}

#[test]
fn recovery_is_the_end_of_the_last_bad_block() {
    let rows = [
        ("at once", 20, Recovery::After(0)),
        ("after a while", 28, Recovery::After(10_000_000_000)),
        ("never", 40, Recovery::Never),
    ];
    for (name, bad_until, expected) in rows {
        let mut r = small();
        with_fault(&mut r);
        steady(&mut r, 0..10, 10, 200);
        steady(&mut r, 10..bad_until, 900, 503);
        steady(&mut r, bad_until..40, 10, 200);
        assert_eq!(recovery(&r.finish(ms(41_000)), 0), expected, "{name}");
    }
}

#[test]
fn a_slow_answer_is_no_recovery() {
    let mut r = small();
    with_fault(&mut r);
    steady(&mut r, 0..10, 10, 200);
    steady(&mut r, 10..40, 12, 200);
    assert_eq!(recovery(&r.finish(ms(41_000)), 0), Recovery::Never);
}

#[test]
fn a_silent_load_is_no_recovery() {
    let mut r = small();
    with_fault(&mut r);
    steady(&mut r, 0..20, 10, 200);
    for at in 20..40 {
        r.request_started(LOAD, ms(at * 1_000));
    }
    assert_eq!(recovery(&r.finish(ms(40_000)), 0), Recovery::Never);
}

#[test]
fn recovery_needs_a_fault_that_ended_and_a_before() {
    let mut r = small();
    r.fault_started(FaultId(0), ms(10_000));
    steady(&mut r, 0..40, 10, 200);
    let unended = recovery(&r.finish(ms(40_000)), 0);
    assert_eq!(
        unended,
        Recovery::Unknown("the fault lasted to the end of the run")
    );
    let mut r = small();
    with_fault(&mut r);
    steady(&mut r, 10..40, 10, 200);
    let early = recovery(&r.finish(ms(40_000)), 0);
    assert_eq!(
        early,
        Recovery::Unknown("nothing finished before the fault")
    );
    let mut r = small();
    with_fault(&mut r);
    steady(&mut r, 0..40, 10, 503);
    let broken = recovery(&r.finish(ms(40_000)), 0);
    assert!(matches!(broken, Recovery::Unknown(why) if why.starts_with("less than half")));
}

#[test]
fn clusters_of_one_name_count_together_and_workloads_of_one_name_are_told_apart() {
    let mut result = small().finish(ms(40_000));
    let mut other = result.clusters[0].clone();
    (result.clusters[0].ejections, other.ejections) = (2, 3);
    result.clusters.push(other);
    result.workloads[1].name = "a".into();
    result.workloads[1].namespace = "depot".into();
    result.edges[0].totals.first = 7;
    let figures = result.main_figures(None);
    assert_eq!(figures["ejections('outbound|80||b')"], 5.0);
    assert_eq!(figures["attempts('shop/a', 'depot/a')"], 7.0);
}
