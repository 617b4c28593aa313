//! Endpoints that are taken out, come back, leave and return.

use core::net::SocketAddr;
use std::sync::Arc;

use super::retries::retry;
use super::rig::*;
use crate::accrual;
use crate::config::*;
use crate::event::{EjectionReason, Event};
use crate::health::Check;
use crate::node::*;
use crate::origin::Sourced;
use crate::time::{Duration, Time};
use crate::{outlier, passive};

const BAD: Play = Play::Answer(503, Duration::ZERO);

fn secs(s: u64) -> Time {
    at(s * 1_000)
}

/// One request every 100 ms from now until then; how many endpoint `n` got.
fn load(rig: &mut Rig, until: Time, n: u8) -> usize {
    let before = rig.sent.len();
    while rig.now < until {
        rig.get();
        rig.run_until(rig.now + ms(100));
    }
    count(&rig.sent[before..], n)
}

fn count(sent: &[(Time, SocketAddr)], n: u8) -> usize {
    sent.iter().filter(|(_, to)| *to == address(n)).count()
}

fn ejecting(n: u8) -> Rig {
    let settings = outlier::Settings {
        max_ejection_share: Share::ALL,
        success_rate: outlier::RateRule {
            enforcing: Share::ZERO,
            ..outlier::Settings::envoy_v3().success_rate
        },
        ..outlier::Settings::envoy_v3()
    };
    Rig::simple(n, |c, _| c.outlier = Some(Sourced::unsourced(settings)))
}

fn ejections(rig: &Rig) -> Vec<(u64, EjectionReason)> {
    let ejection = |event: &Event| {
        let Event::Ejected { lasts, why, .. } = event else {
            return None;
        };
        Some((lasts.as_millis() / 1_000, *why))
    };
    rig.events.iter().filter_map(ejection).collect()
}

#[test]
fn five_errors_take_an_endpoint_out_until_the_sweep_after_its_time() {
    let mut rig = ejecting(2);
    rig.play(1, &[BAD; 5]);
    assert_eq!(load(&mut rig, secs(1), 1), 5);
    assert_eq!(ejections(&rig), [(30, EjectionReason::Consecutive5xx)]);
    assert_eq!(load(&mut rig, secs(39), 1), 0);
    // taken out before 1 s for 30 s: the sweeps come at 10, 20, 30 and 40 s
    assert_eq!(load(&mut rig, secs(41), 1), 5);
    let returned = rig
        .events
        .iter()
        .filter(|e| matches!(e, Event::Returned { .. }));
    assert_eq!(returned.count(), 1);
}

/// Envoy: hosts are ejected for the whole process.
#[test]
fn what_one_worker_takes_out_no_other_uses() {
    let (mut first, mut second) = (ejecting(2), ejecting(2));
    // both know both endpoints before anything goes wrong
    assert_eq!(load(&mut second, secs(1), 1), 5);
    first.shared = second.shared.clone();
    first.play(1, &[BAD; 5]);
    assert_eq!(load(&mut first, secs(1), 1), 5);
    assert_eq!(ejections(&first).len(), 1);
    second.shared = first.shared.clone();
    assert_eq!(load(&mut second, secs(2), 1), 0);

    // the other sweeps, too, and brings it back for both
    second.run_until(secs(40));
    let returned = |rig: &Rig| {
        let returned = |event: &&Event| matches!(event, Event::Returned { .. });
        rig.events.iter().filter(returned).count()
    };
    assert_eq!(returned(&second), 1);
    first.shared = second.shared.clone();
    first.run_until(secs(40));
    assert_eq!(returned(&first), 0, "once for all");
    assert_eq!(load(&mut first, secs(41), 1), 5);
}

/// Envoy: `onHostHealthFailure` drains the connections of a host that goes out, on every worker.
#[test]
fn connections_to_what_is_taken_out_are_closed() {
    let closed = |rig: &Rig| {
        let close = |action: &&Action| matches!(action, Action::CloseUpstream);
        rig.asked.iter().filter(close).count()
    };
    let (mut first, mut second) = (ejecting(2), ejecting(2));
    load(&mut second, secs(1), 1);
    assert_eq!((second.opened, closed(&second)), (2, 0), "one to each");
    first.shared = second.shared.clone();
    first.play(1, &[BAD; 5]);
    load(&mut first, secs(1), 1);
    assert_eq!(ejections(&first).len(), 1);
    assert_eq!(closed(&first), 1, "that to the endpoint that is out");
    second.shared = first.shared.clone();
    load(&mut second, secs(2), 1);
    assert_eq!(closed(&second), 1, "with the next request");
    assert_eq!(second.opened, 2);
}

#[test]
fn an_endpoint_that_left_and_comes_back_is_a_new_one() {
    let set = |n| Arc::new(endpoints(n));
    let with = |rig: &mut Rig, n| {
        let cluster = "c";
        rig.update(Update::Endpoints {
            cluster,
            set: set(n),
        });
    };
    for (name, away, expected) in [("a while", 1, 5), ("at no time", 0, 0)] {
        let mut rig = ejecting(2);
        rig.play(2, &[BAD; 5]);
        assert_eq!(load(&mut rig, secs(1), 2), 5);
        with(&mut rig, 1);
        rig.run_until(secs(1 + away));
        with(&mut rig, 2);
        let until = rig.now + Duration::from_secs(1);
        assert_eq!(load(&mut rig, until, 2), expected, "{name}");
    }
}

#[test]
fn linkerd_leaves_an_endpoint_out_and_sends_it_one_request_to_try() {
    let settings = accrual::Settings {
        jitter: 0.0,
        ..accrual::Settings::linkerd()
    };
    let mut rig = Rig::simple(2, |c, _| c.accrual = Some(Sourced::unsourced(settings)));
    rig.play(1, &[BAD; 8]);
    load(&mut rig, secs(5), 1);
    let sent: Vec<u64> = rig
        .sent
        .iter()
        .filter(|(_, to)| *to == address(1))
        .map(|(when, _)| when.since(Time::ZERO).as_millis())
        .collect();
    assert_eq!(
        ejections(&rig),
        [
            (1, EjectionReason::FailureAccrual),
            (2, EjectionReason::FailureAccrual)
        ]
    );
    let first = sent[6];
    let (probe, second) = (sent[7] - first, sent[8] - sent[7]);
    assert!((1_000..=1_200).contains(&probe), "{sent:?}");
    assert!((2_000..=2_200).contains(&second), "{sent:?}");
}

#[test]
fn linkerds_balancer_tries_a_slow_endpoint_again_later() {
    let ewma = Balancer::PeakEwma {
        default_rtt: ms(30),
        decay: Duration::from_secs(10),
    };
    let mut rig = Rig::simple(2, |c, _| c.balancer = Sourced::unsourced(ewma.clone()));
    rig.script
        .insert(address(1), [Play::Answer(200, ms(2_000))].into());
    let fast = core::iter::repeat_n(Play::Answer(200, ms(20)), 2_000);
    rig.script.insert(address(2), fast.collect());
    assert_eq!(load(&mut rig, secs(10), 1), 1, "its one slow answer");
    // 2 s · e^(−t / 10 s) is below 20 ms after 46 s
    assert_eq!(load(&mut rig, secs(40), 1), 0);
    assert!(load(&mut rig, secs(70), 1) > 0);
}

fn check() -> Check {
    Check {
        path: Some("/".into()),
        host: "".into(),
        timeout: ms(500),
        interval: Duration::from_secs(1),
        interval_jitter: Duration::ZERO,
        unhealthy_interval: None,
        no_traffic_interval: None,
        unhealthy_threshold: 2,
        healthy_threshold: 2,
        expected: Vec::new(),
        retriable: Vec::new(),
    }
}

/// Answers all probes until then: endpoint 1 as told, the others 200.
fn answer_probes(rig: &mut Rig, until: Time, first: Option<u16>) {
    while rig.now < until {
        for action in core::mem::take(&mut rig.asked) {
            if let Action::Probe { check, address: to } = action {
                let status = if to == address(1) { first } else { Some(200) };
                rig.input(Input::HealthChecked { check, status });
            }
        }
        rig.run_until(rig.now + ms(100));
    }
}

#[test]
fn active_checks_decide_who_is_used() {
    let mut cluster = Cluster::envoy("c", endpoints(2));
    cluster.health_checks = vec![Sourced::unsourced(check())];
    let forward = Forward::to(ClusterIndex(0));
    let mut rig = Rig::new(config_with(cluster, |_| route_to(forward), |_| ()));
    let mut cx = Cx {
        now: rig.now,
        shared: &mut rig.shared,
        heads: &rig.heads,
    };
    rig.node.start(&mut cx);
    rig.drain();
    let probes = |rig: &Rig| {
        rig.asked
            .iter()
            .filter(|a| matches!(a, Action::Probe { .. }))
            .count()
    };
    assert_eq!(probes(&rig), 2);
    let health = |rig: &Rig| -> Vec<bool> {
        let healthy = |event: &Event| {
            let Event::Health { healthy, .. } = event else {
                return None;
            };
            Some(*healthy)
        };
        rig.events.iter().filter_map(healthy).collect()
    };
    answer_probes(&mut rig, secs(2), Some(500));
    assert_eq!(health(&rig), [true], "the second answers well");
    assert_eq!(load(&mut rig, secs(2) + ms(300), 1), 0);
    answer_probes(&mut rig, secs(6), Some(200));
    assert_eq!(health(&rig), [true, true], "after two good answers");
    assert!(load(&mut rig, secs(7), 1) > 0);
}

#[test]
fn a_subset_goes_on_with_its_rotation_when_health_changes() {
    let mut set = endpoints(3);
    for (i, endpoint) in set.endpoints.iter_mut().enumerate() {
        let version = if i < 2 { "v1" } else { "v2" };
        endpoint.labels = Arc::from([("version".into(), version.into())]);
    }
    let set = Arc::new(set);
    let mut cluster = Cluster::envoy("c", EndpointSet::default());
    cluster.endpoints = Arc::clone(&set);
    cluster.subsets = Some(Subsets {
        selectors: vec![vec!["version".into()]],
        fallback: SubsetFallback::Nowhere,
    });
    let mut forward = Forward::to(ClusterIndex(0));
    forward.subset = vec![("version".into(), "v1".into())];
    let mut rig = Rig::new(config_with(cluster, |_| route_to(forward), |_| ()));
    for _ in 0..10 {
        rig.get();
        rig.run_until(rig.now + ms(10));
        let set = Arc::clone(&set);
        rig.update(Update::Endpoints { cluster: "c", set });
    }
    let counts: Vec<usize> = (1..4).map(|n| count(&rig.sent, n)).collect();
    assert_eq!(counts, [5, 5, 0]);
}

/// Envoy: `LbSubsetConfig`.
#[test]
fn a_request_that_finds_no_subset_goes_where_its_cluster_says() {
    let label = |key: &str, value: &str| (Name::from(key), Name::from(value));
    let v1 = || vec![label("version", "v1")];
    let rows: [(&str, Subset, SubsetFallback, &[u8]); 8] = [
        ("its own", v1(), SubsetFallback::Nowhere, &[1]),
        ("no labels", vec![], SubsetFallback::Nowhere, &[]),
        (
            "no such endpoint",
            vec![label("version", "v9")],
            SubsetFallback::Nowhere,
            &[],
        ),
        (
            "no such selector",
            vec![label("stage", "prod"), label("version", "v1")],
            SubsetFallback::Nowhere,
            &[],
        ),
        ("any", vec![], SubsetFallback::Any, &[1, 2]),
        (
            "any, of no such selector",
            vec![label("stage", "prod")],
            SubsetFallback::Any,
            &[1, 2],
        ),
        ("labelled", vec![], SubsetFallback::Labelled(v1()), &[1]),
        (
            "labelled, and nobody is",
            vec![],
            SubsetFallback::Labelled(vec![label("version", "v9")]),
            &[],
        ),
    ];
    for (name, asked, fallback, expected) in rows {
        let mut set = endpoints(2);
        for (endpoint, version) in set.endpoints.iter_mut().zip(["v1", "v2"]) {
            let labels = [label("version", version), label("stage", "prod")];
            endpoint.labels = Arc::from(labels);
        }
        let mut cluster = Cluster::envoy("c", set);
        cluster.subsets = Some(Subsets {
            selectors: vec![vec!["version".into()]],
            fallback,
        });
        let mut forward = Forward::to(ClusterIndex(0));
        forward.subset = asked;
        let mut rig = Rig::new(config_with(cluster, |_| route_to(forward), |_| ()));
        for _ in 0..10 {
            rig.get();
            rig.run_until(rig.now + ms(10));
        }
        let used: Vec<u8> = (1..3).filter(|n| count(&rig.sent, *n) > 0).collect();
        assert_eq!(used, expected, "{name}");
    }
}

#[test]
fn a_retry_goes_to_a_priority_that_was_not_tried() {
    let mut set = endpoints(2);
    set.endpoints[1].priority = 1;
    let cluster = Cluster::envoy("c", set);
    let mut policy = retry("5xx", 1);
    policy.previous_priorities = Some(1);
    let mut forward = Forward::to(ClusterIndex(0));
    forward.retry = Some(policy);
    let mut rig = Rig::new(config_with(cluster, |_| route_to(forward), |_| ()));
    rig.play(1, &[BAD]);
    let token = rig.get();
    rig.run_until(at(10));
    assert_eq!(rig.got(token).1, 200);
    let to: Vec<SocketAddr> = rig.sent.iter().map(|(_, to)| *to).collect();
    assert_eq!(to, [address(1), address(2)]);
}

/// Envoy: `OutlierDetection.successful_active_health_check_uneject_host`.
#[test]
fn only_a_check_that_passes_ends_an_ejection() {
    for (name, returns, answer, returned) in [
        ("it passes", true, Some(200), 1),
        ("it is missed, the endpoint healthy still", true, None, 0),
        ("it has no say", false, Some(200), 0),
    ] {
        let settings = outlier::Settings {
            max_ejection_share: Share::ALL,
            health_check_returns: returns,
            ..outlier::Settings::envoy_v3()
        };
        let mut cluster = Cluster::envoy("c", endpoints(1));
        cluster.outlier = Some(Sourced::unsourced(settings));
        cluster.health_checks = vec![Sourced::unsourced(check())];
        let forward = Forward::to(ClusterIndex(0));
        let mut rig = Rig::new(config_with(cluster, |_| route_to(forward), |_| ()));
        let mut cx = Cx {
            now: rig.now,
            shared: &mut rig.shared,
            heads: &rig.heads,
        };
        rig.node.start(&mut cx);
        rig.drain();
        answer_probes(&mut rig, at(200), Some(200));
        rig.play(1, &[BAD; 5]);
        for _ in 0..5 {
            rig.get();
            rig.run_until(rig.now + ms(1));
        }
        assert_eq!(ejections(&rig).len(), 1, "{name}");
        answer_probes(&mut rig, secs(2), answer);
        let back = |e: &&Event| matches!(e, Event::Returned { .. });
        assert_eq!(rig.events.iter().filter(back).count(), returned, "{name}");
    }
}

/// Envoy: `common_lb_config.healthy_panic_threshold` beside `OutlierDetection.max_ejection_percent`.
#[test]
fn with_most_endpoints_out_a_panic_threshold_brings_them_all_back() {
    for (threshold, down, used) in [(50.0, 2, 2), (50.0, 3, 4), (0.0, 3, 1)] {
        let settings = outlier::Settings {
            max_ejection_share: Share::ALL,
            ..outlier::Settings::envoy_v3()
        };
        let mut rig = Rig::simple(4, |c, _| {
            c.outlier = Some(Sourced::unsourced(settings));
            c.panic_threshold = Sourced::unsourced(Share::from_percent(threshold));
        });
        for n in 1..=down {
            rig.play(n, &[BAD; 5]);
        }
        load(&mut rig, secs(3), 1);
        assert_eq!(ejections(&rig).len(), usize::from(down));
        rig.sent.clear();
        load(&mut rig, secs(5), 1);
        let of = |n: &u8| count(&rig.sent, *n) > 0;
        assert_eq!(
            (1..=4).filter(of).count(),
            used,
            "{threshold} %, {down} down"
        );
    }
}

/// Envoy: `HealthStatus` of a discovered endpoint.
#[test]
fn endpoints_that_discovery_calls_unhealthy_or_draining_are_used_in_panic_alone() {
    for (threshold, expected) in [(0.0, [9, 0, 0]), (50.0, [3, 3, 3])] {
        let mut set = endpoints(3);
        set.endpoints[1].health = DiscoveredHealth::Draining;
        set.endpoints[2].health = DiscoveredHealth::Unhealthy;
        let mut cluster = Cluster::envoy("c", set);
        cluster.panic_threshold = Sourced::unsourced(Share::from_percent(threshold));
        let forward = Forward::to(ClusterIndex(0));
        let mut rig = Rig::new(config_with(cluster, |_| route_to(forward), |_| ()));
        for _ in 0..9 {
            rig.get();
            rig.run_until(rig.now + ms(1));
        }
        let counts = [1, 2, 3].map(|n| count(&rig.sent, n));
        assert_eq!(counts, expected, "{threshold} %");
    }
}

/// Envoy: hosts are checked once for all workers.
#[test]
fn what_one_worker_checks_all_know() {
    let check = Check {
        no_traffic_interval: Some(Duration::from_secs(60)),
        ..check()
    };
    let config = || {
        let mut cluster = Cluster::envoy("c", endpoints(2));
        cluster.health_checks = vec![Sourced::unsourced(check.clone())];
        config_with(cluster, |c| route_to(Forward::to(c)), |_| ())
    };
    let worker = |elected: bool| {
        let mut rig = Rig::unconnected(config());
        let identity = Identity {
            key: crate::draw::DrawKey::root(1),
            locality: "".into(),
            epoch_nanos: 0,
            elected,
        };
        rig.node = Node::new(identity, Arc::new(config()));
        rig.downstream = rig.dial();
        let mut cx = Cx {
            now: rig.now,
            shared: &mut rig.shared,
            heads: &rig.heads,
        };
        rig.node.start(&mut cx);
        rig.drain();
        rig
    };
    let (mut first, mut second) = (worker(true), worker(false));
    let probes = |rig: &Rig| {
        let probe = |action: &&Action| matches!(action, Action::Probe { .. });
        rig.asked.iter().filter(probe).count()
    };
    assert_eq!((probes(&first), probes(&second)), (2, 0));
    assert_eq!(load(&mut second, secs(1), 1), 5, "nothing is known: panic");
    // the other's requests make the checks frequent
    first.shared = second.shared.clone();
    answer_probes(&mut first, secs(2) + ms(500), Some(500));
    first.run_until(secs(3) + ms(100));
    assert_eq!(probes(&first), 2, "another round after a second");
    second.shared = first.shared.clone();
    assert_eq!(load(&mut second, secs(3), 1), 0);
    let closed = |action: &&Action| matches!(action, Action::CloseUpstream);
    assert_eq!(second.asked.iter().filter(closed).count(), 1);
    answer_probes(&mut first, secs(6), Some(200));
    second.shared = first.shared.clone();
    assert!(load(&mut second, secs(7), 1) > 0, "it is well again");
    let told = |rig: &Rig| {
        let health = |event: &&Event| matches!(event, Event::Health { .. });
        rig.events.iter().filter(health).count()
    };
    assert_eq!((told(&first), told(&second)), (2, 0), "once for all");
}

#[test]
fn a_new_configurations_endpoints_are_checked_at_once() {
    let config = |n: u8, checks: usize| {
        let mut cluster = Cluster::envoy("c", endpoints(n));
        cluster.health_checks = vec![Sourced::unsourced(check()); checks];
        config_with(cluster, |c| route_to(Forward::to(c)), |_| ())
    };
    let mut rig = Rig::new(config(1, 0));
    let probed = |rig: &mut Rig| -> Vec<SocketAddr> {
        let asked = core::mem::take(&mut rig.asked).into_iter();
        let to = asked.filter_map(|action| {
            let Action::Probe { address, .. } = action else {
                return None;
            };
            Some(address)
        });
        to.collect()
    };
    rig.update(Update::Config(Arc::new(config(1, 1))));
    assert_eq!(probed(&mut rig), [address(1)]);
    rig.update(Update::Config(Arc::new(config(2, 1))));
    assert_eq!(probed(&mut rig), [address(2)], "the first is under way");
    rig.update(Update::Config(Arc::new(config(2, 2))));
    assert_eq!(probed(&mut rig), [address(1), address(2)], "their second");
}

/// Traefik: `passiveHealthCheck` with two failures in 10 s.
fn watched(n: u8, tune: impl FnOnce(&mut Cluster)) -> Rig {
    let settings = passive::Settings {
        failures: 2,
        ..passive::Settings::traefik()
    };
    Rig::simple(n, |c, _| {
        c.panic_threshold = Sourced::unsourced(Share::ZERO);
        c.passive = Some(Sourced::unsourced(settings));
        tune(c);
    })
}

#[test]
fn an_endpoint_that_failed_twice_of_late_is_out_for_the_window() {
    let mut rig = watched(2, |_| ());
    rig.play(1, &[BAD, BAD]);
    load(&mut rig, secs(1), 1);
    assert_eq!(ejections(&rig), [(10, EjectionReason::PassiveCheck)]);
    let out = rig.now;
    let got = load(&mut rig, secs(10), 1);
    assert_eq!(got, 0, "until {out:?} and ten seconds");
    load(&mut rig, secs(11), 1);
    assert!(load(&mut rig, secs(20), 1) > 40, "half of ninety");
}

#[test]
fn failures_far_apart_or_with_a_success_between_leave_nobody_out() {
    let mut rig = watched(1, |_| ());
    rig.play(1, &[BAD, OK, BAD, OK, BAD]);
    load(&mut rig, secs(1), 1);
    let mut apart = watched(1, |_| ());
    apart.play(1, &[BAD, BAD]);
    apart.get();
    apart.run_until(secs(11));
    apart.get();
    apart.run_until(secs(12));
    assert!(ejections(&rig).is_empty() && ejections(&apart).is_empty());
}

#[test]
fn all_endpoints_may_be_out_passively() {
    let mut rig = watched(1, |_| ());
    rig.play(1, &[BAD, BAD]);
    let tokens = [(); 3].map(|()| {
        let token = rig.get();
        rig.run_until(rig.now + ms(100));
        token
    });
    assert_eq!(tokens.map(|token| rig.got(token).1), [503; 3]);
    assert_eq!(rig.flags(tokens[2]), "UH");
    rig.run_until(secs(11));
    let back = rig.get();
    rig.run_until(secs(12));
    assert_eq!(rig.got(back).1, 200);
}

#[test]
fn connections_that_fail_count_passively() {
    let mut rig = watched(2, |_| ());
    rig.refusing.insert(address(1));
    load(&mut rig, secs(1), 1);
    assert_eq!(ejections(&rig), [(10, EjectionReason::PassiveCheck)]);
}
