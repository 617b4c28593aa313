use super::*;
use crate::outcome::RetryCondition;
use crate::setup::{ClusterSetup, EdgeSetup, LoadSetup, ProxySetup, WorkloadSetup};
use proptest::prelude::*;

const LOAD: LoadId = LoadId(0);
const EDGE: EdgeId = EdgeId(0);
const SERVED: Outcome = Outcome {
    status: 200,
    reason: ErrorReason::None,
    attempts: 1,
};
const REFUSED: Outcome = Outcome {
    status: 503,
    reason: ErrorReason::Overflow,
    attempts: 1,
};

fn recorder(seconds: u64, warmup: u64) -> Recorder {
    Recorder::new(Setup {
        scenario: "test".into(),
        duration: Duration::from_secs(seconds),
        warmup: Duration::from_secs(warmup),
        window: Some(Duration::from_secs(1)),
        loads: vec![LoadSetup {
            name: "shoppers".into(),
            enters: None,
            users: None,
        }],
        workloads: vec![WorkloadSetup::default(), WorkloadSetup::default()],
        edges: vec![EdgeSetup {
            from: WorkloadId(0),
            to: WorkloadId(1),
            policies: vec![],
        }],
        clusters: vec![ClusterSetup {
            endpoints: vec!["a".into()],
            ..ClusterSetup::default()
        }],
        proxies: vec![ProxySetup::default()],
        ..Setup::default()
    })
}

fn ms(millis: u64) -> Time {
    Time::from_nanos(millis * 1_000_000)
}

#[test]
fn latency_counts_from_the_intended_send_and_lands_in_its_window() {
    let mut r = recorder(5, 0);
    r.request_started(LOAD, ms(900));
    r.request_finished(LOAD, ms(900), ms(3_100), SERVED);
    let load = &r.finish(ms(5_000)).loads[0];
    assert_eq!(load.ok_latency.max(), Some(2_200_000_000));
    assert_eq!(load.series.succeeded, [1, 0, 0, 0, 0]);
    assert_eq!(load.series.completed, [0, 0, 0, 1, 0]);
}

#[test]
fn the_warmup_is_in_the_series_and_not_in_the_totals() {
    let mut r = recorder(4, 2);
    for at in [500, 1_999, 2_000, 3_000] {
        r.request_started(LOAD, ms(at));
        r.request_finished(LOAD, ms(at), ms(at + 10), SERVED);
    }
    let load = &r.finish(ms(4_000)).loads[0];
    assert_eq!((load.sent, load.succeeded, load.warmup_sent), (2, 2, 2));
    assert_eq!(load.series.sent, [1, 1, 1, 1]);
}

#[test]
fn an_answer_of_500_without_a_reason_is_a_failure_by_the_server() {
    let rows = [
        ("ok", 204, ErrorReason::None, true, ErrorReason::None),
        ("5xx", 500, ErrorReason::None, false, ErrorReason::Status5xx),
        ("nothing", 0, ErrorReason::None, false, ErrorReason::Other),
        (
            "429",
            429,
            ErrorReason::RateLimited,
            true,
            ErrorReason::RateLimited,
        ),
        (
            "timeout",
            0,
            ErrorReason::Timeout,
            false,
            ErrorReason::Timeout,
        ),
    ];
    for (name, status, reason, success, settled) in rows {
        let outcome = Outcome {
            status,
            reason,
            attempts: 1,
        };
        assert_eq!(outcome.is_success(), success, "{name}");
        assert_eq!(outcome.settled_reason(), settled, "{name}");
    }
}

#[test]
fn levels_are_integrated_exactly_across_windows() {
    let mut r = recorder(4, 0);
    r.queue_length(WorkloadId(0), ms(500), 10);
    r.queue_length(WorkloadId(0), ms(2_500), 0);
    let queue = &r.finish(ms(4_000)).workloads[0].queue;
    assert_eq!(
        queue.area,
        [5_000_000_000, 10_000_000_000, 5_000_000_000, 0]
    );
    assert_eq!(queue.max, [10, 10, 10, 0]);
}

#[test]
fn retries_count_to_the_rule_that_made_them() {
    let mut r = recorder(4, 0);
    let why = Why {
        origin: Some(OriginId(3)),
        condition: RetryCondition::Status5xx,
    };
    r.attempt_started(EDGE, ms(1), AttemptKind::First, None);
    r.attempt_finished(
        EDGE,
        ms(5),
        ErrorReason::Status5xx,
        Duration::from_millis(4),
    );
    r.attempt_started(EDGE, ms(1_500), AttemptKind::Retry, Some(why));
    r.attempt_finished(EDGE, ms(1_504), ErrorReason::None, Duration::from_millis(4));
    let edge = &r.finish(ms(4_000)).edges[0];
    assert_eq!(
        (
            edge.totals.attempts(),
            edge.totals.ok,
            edge.totals.status_5xx
        ),
        (2, 1, 1)
    );
    assert_eq!(
        (edge.retried[0].origin, &edge.retried[0].series[..2]),
        (Some(3), &[0, 1][..])
    );
    assert_eq!(edge.latency.count(), 2);
    assert_eq!(edge.series.latency[1].count(), 1);
}

#[test]
fn ejections_of_two_proxies_are_told_apart() {
    let mut r = recorder(4, 0);
    let (cluster, endpoint) = (ClusterId(0), EndpointId(0));
    let reason = EjectionReason::Consecutive5xx;
    for proxy in [0, 1] {
        r.ejection_started(
            cluster,
            endpoint,
            Some(ProxyId(proxy)),
            ms(1_000),
            reason,
            None,
        );
    }
    r.ejection_ended(cluster, endpoint, Some(ProxyId(0)), ms(2_000));
    let cluster = &r.finish(ms(4_000)).clusters[0];
    assert_eq!(cluster.ejections, 2);
    assert_eq!(cluster.ejected[0].to_ns, Some(2_000_000_000));
    assert_eq!(cluster.ejected[1].to_ns, None);
    assert_eq!(cluster.out.max, [0, 2, 1, 1]);
}

#[test]
fn the_window_width_follows_the_length_of_the_run() {
    for (duration, warmup, millis) in [
        (10, 1, 100),
        (60, 5, 1_000),
        (120, 10, 1_000),
        (3_600, 60, 10_000),
        (2, 0, 20),
    ] {
        let width = window_for(Duration::from_secs(duration), Duration::from_secs(warmup));
        assert_eq!(width, Duration::from_millis(millis), "{duration} s");
    }
}

proptest! {
    #[test]
    fn sent_is_succeeded_failed_and_unfinished(
        requests in prop::collection::vec((0_u64..6_000, 0_u64..4_000, 0_u8..3), 0..200),
        warmup in 0_u64..5,
    ) {
        let mut r = recorder(5, warmup);
        for &(at, took, how) in &requests {
            r.request_started(LOAD, ms(at));
            match how {
                0 => r.request_finished(LOAD, ms(at), ms(at + took), SERVED),
                1 => r.request_finished(LOAD, ms(at), ms(at + took), REFUSED),
                _ => {}
            }
        }
        let load = &r.finish(ms(5_000)).loads[0];
        prop_assert_eq!(load.sent, load.succeeded + load.failed + load.unfinished);
        prop_assert_eq!(load.sent + load.warmup_sent, requests.len() as u64);
        prop_assert_eq!(load.reasons.values().sum::<u64>(), load.succeeded + load.failed);
    }
}

#[test]
fn a_limit_that_refuses_again_within_a_window_has_gone_on() {
    let mut r = recorder(60, 0);
    let cluster = ClusterId(0);
    for at in [10_000, 10_400, 11_300, 20_000] {
        r.limit_opened(cluster, ms(at), Limit::RetryBudget, None);
        r.limit_closed(cluster, ms(at), Limit::RetryBudget);
    }
    r.limit_opened(cluster, ms(20_100), Limit::Pending, None);
    let open = r.finish(ms(60_000)).clusters[0].open.clone();
    let bars: Vec<_> = open
        .iter()
        .map(|o| {
            (
                o.limit,
                o.from_ns / 1_000_000,
                o.to_ns.map(|t| t / 1_000_000),
            )
        })
        .collect();
    assert_eq!(
        bars,
        [
            (Limit::RetryBudget, 10_000, Some(11_300)),
            (Limit::RetryBudget, 20_000, Some(20_000)),
            (Limit::Pending, 20_100, None),
        ]
    );
}
