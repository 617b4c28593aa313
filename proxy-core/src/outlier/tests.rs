use super::*;
use proptest::prelude::*;

const BAD: Outcome = Outcome::Answered(500);
const GOOD: Outcome = Outcome::Answered(200);

struct World {
    words: Vec<u64>,
    hosts: Vec<Host>,
    settings: Settings,
    now: Time,
    draws: u64,
}

impl World {
    fn of(hosts: usize, tune: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            max_ejection_share: Share::ALL,
            ..Settings::envoy_v3()
        };
        tune(&mut settings);
        Self {
            words: vec![0; hosts * Host::WORDS],
            hosts: (0..hosts).map(|i| Host::new(i * Host::WORDS)).collect(),
            settings,
            now: Time::ZERO,
            draws: 0,
        }
    }

    fn result(&mut self, host: usize, outcome: Outcome) -> Option<(EjectionReason, Verdict)> {
        let census = Census {
            ejected: self.out().len() as u32,
            hosts: self.hosts.len() as u32,
        };
        self.draws += 1;
        let key = DrawKey::root(self.draws);
        let host = self.hosts[host];
        self.settings
            .on_result(&mut self.words, host, outcome, census, key, self.now)
    }

    fn results(&mut self, host: usize, outcomes: &[Outcome]) -> Option<(EjectionReason, Verdict)> {
        outcomes
            .iter()
            .fold(None, |last, o| self.result(host, *o).or(last))
    }

    fn sweep_at(&mut self, secs: u64) -> Vec<(usize, Swept)> {
        self.now = Time::ZERO + Duration::from_secs(secs);
        self.draws += 1;
        let key = DrawKey::root(self.draws);
        self.settings
            .sweep(&mut self.words, &self.hosts, key, self.now)
    }

    fn out(&self) -> Vec<usize> {
        (0..self.hosts.len())
            .filter(|i| self.hosts[*i].is_ejected(&self.words))
            .collect()
    }
}

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[test]
fn five_server_errors_in_a_row_eject_and_a_success_begins_anew() {
    let mut world = World::of(2, |_| ());
    assert_eq!(
        world.results(0, &[BAD, BAD, BAD, BAD, GOOD, BAD, BAD, BAD, BAD]),
        None
    );
    let due = world.result(0, BAD);
    assert_eq!(
        due,
        Some((EjectionReason::Consecutive5xx, Verdict::Ejected(secs(30))))
    );
    assert_eq!(world.out(), [0]);
    assert_eq!(world.results(0, &[BAD; 5]), None, "already out");
}

#[test]
fn gateway_errors_are_only_detected_unless_enforced() {
    let gateway = [Outcome::Answered(503); 3];
    let mut detected = World::of(2, |s| s.consecutive_gateway_failure = 3);
    let refused = Some((EjectionReason::ConsecutiveGateway, Verdict::RefusedByDraw));
    assert_eq!(detected.results(0, &gateway), refused);
    let mut enforced = World::of(2, |s| {
        s.consecutive_gateway_failure = 3;
        s.consecutive_5xx = 0;
        s.enforcing_consecutive_gateway_failure = Share::ALL;
    });
    assert_eq!(enforced.results(0, &[Outcome::Answered(500); 3]), None);
    assert_eq!(
        enforced.results(0, &gateway[..2]),
        None,
        "500 does not count"
    );
    assert!(enforced.result(0, gateway[2]).is_some());
}

#[test]
fn local_failures_count_as_server_errors_unless_judged_apart() {
    let failures = [
        Outcome::LocalFailure,
        Outcome::Timeout,
        Outcome::LocalFailure,
        Outcome::Timeout,
        Outcome::LocalFailure,
    ];
    let mut together = World::of(2, |_| ());
    assert_eq!(
        together.results(0, &failures).unwrap().0,
        EjectionReason::Consecutive5xx
    );
    let mut apart = World::of(2, |s| s.split_local_origin = true);
    assert_eq!(apart.results(0, &[BAD, BAD, BAD, BAD]), None);
    assert_eq!(apart.results(0, &failures[..4]), None);
    assert_eq!(
        apart.result(0, Outcome::Connected),
        None,
        "a connection begins the row anew"
    );
    assert_eq!(
        apart.results(0, &failures).unwrap().0,
        EjectionReason::ConsecutiveLocalOrigin
    );
}

#[test]
fn the_default_cap_never_ejects_one_of_fewer_than_ten() {
    let cap = |s: &mut Settings| s.max_ejection_share = Share::from_percent(10.0);
    assert_eq!(
        World::of(9, cap).results(0, &[BAD; 5]).unwrap().1,
        Verdict::RefusedByCap
    );
    let mut ten = World::of(10, cap);
    assert!(matches!(
        ten.results(0, &[BAD; 5]).unwrap().1,
        Verdict::Ejected(_)
    ));
    assert_eq!(ten.results(1, &[BAD; 5]).unwrap().1, Verdict::RefusedByCap);
    let one = |s: &mut Settings| {
        cap(s);
        s.always_eject_one = true;
    };
    assert!(matches!(
        World::of(2, one).results(0, &[BAD; 5]).unwrap().1,
        Verdict::Ejected(_)
    ));
}

#[test]
fn ejections_end_with_a_sweep_and_grow() {
    let mut world = World::of(2, |s| s.max_ejection_time = secs(50));
    world.results(0, &[BAD; 5]);
    assert_eq!(world.sweep_at(29), []);
    assert_eq!(world.sweep_at(30), [(0, Swept::Returned)]);
    assert_eq!(
        world.results(0, &[BAD; 5]).unwrap().1,
        Verdict::Ejected(secs(50)),
        "2 × 30 s, capped"
    );
    world.sweep_at(90);
    // two quiet sweeps take the multiplier back
    world.sweep_at(100);
    world.sweep_at(110);
    assert_eq!(
        world.results(0, &[BAD; 5]).unwrap().1,
        Verdict::Ejected(secs(30))
    );
}

/// The example in Envoy's source: {50, 100, 100, 100, 100} has mean 90, deviation 20, threshold 52.
#[test]
fn a_success_rate_far_below_the_others_is_swept_out() {
    let mut world = World::of(5, |s| s.consecutive_5xx = 0);
    for n in 0..100 {
        world.result(0, if n % 2 == 0 { BAD } else { GOOD });
        for host in 1..5 {
            world.result(host, GOOD);
        }
    }
    let expected = Swept::Due(EjectionReason::SuccessRate, Verdict::Ejected(secs(30)));
    assert_eq!(world.sweep_at(10), [(0, expected)]);
    assert_eq!(world.sweep_at(20), [], "counts began anew");
}

#[test]
fn too_few_hosts_or_requests_are_not_judged_by_rate() {
    for (hosts, requests) in [(4, 100), (5, 99)] {
        let mut world = World::of(hosts, |s| s.consecutive_5xx = 0);
        for _ in 0..requests {
            world.result(0, BAD);
            for host in 1..hosts {
                world.result(host, GOOD);
            }
        }
        let by_rate =
            |(_, s): &(usize, Swept)| matches!(s, Swept::Due(EjectionReason::SuccessRate, _));
        assert!(
            !world.sweep_at(10).iter().any(by_rate),
            "{hosts} hosts, {requests} requests"
        );
    }
}

#[test]
fn failure_percentages_are_judged_from_their_threshold_on() {
    let mut world = World::of(5, |s| {
        s.consecutive_5xx = 0;
        s.success_rate.enforcing = Share::ZERO;
        s.failure_percentage.enforcing = Share::ALL;
    });
    for n in 0..100 {
        world.result(0, if n < 85 { BAD } else { GOOD });
        world.result(1, if n < 84 { BAD } else { GOOD });
        for host in 2..5 {
            world.result(host, GOOD);
        }
    }
    world.sweep_at(10);
    assert_eq!(world.out(), [0]);
}

#[test]
fn ejections_grow_to_the_longest_and_shrink_with_quiet_sweeps() {
    let mut world = World::of(2, |s| s.max_ejection_time = secs(100));
    let mut lengths = Vec::new();
    let mut now = 0;
    for _ in 0..7 {
        let Some((_, Verdict::Ejected(lasts))) = world.results(0, &[BAD; 5]) else {
            panic!("it is ejected");
        };
        lengths.push(lasts.as_millis() / 1_000);
        now += 100;
        assert_eq!(world.sweep_at(now), [(0, Swept::Returned)]);
    }
    assert_eq!(lengths, [30, 60, 90, 100, 100, 100, 100]);
    // the multiplier stopped at 5, the first whose product is not below 100 s + 30 s
    for _ in 0..3 {
        now += 10;
        assert_eq!(world.sweep_at(now), []);
    }
    let due = world.results(0, &[BAD; 5]).unwrap().1;
    assert_eq!(due, Verdict::Ejected(secs(90)), "5 - 3 + 1 times 30 s");
}

#[test]
fn both_rate_rules_judge_the_same_hosts() {
    let mut world = World::of(5, |s| {
        s.consecutive_5xx = 0;
        s.success_rate_stdev_factor = 1_000;
        s.failure_percentage.enforcing = Share::ALL;
        s.failure_percentage_threshold = 10;
    });
    for n in 0..100 {
        world.result(0, if n % 2 == 0 { BAD } else { GOOD });
        world.result(1, if n % 8 == 0 { BAD } else { GOOD });
        for host in 2..5 {
            world.result(host, GOOD);
        }
    }
    let reasons: Vec<_> = world
        .sweep_at(10)
        .into_iter()
        .map(|(host, swept)| match swept {
            Swept::Due(reason, _) => (host, Some(reason)),
            Swept::Returned => (host, None),
        })
        .collect();
    assert_eq!(
        reasons,
        [
            (0, Some(EjectionReason::SuccessRate)),
            (1, Some(EjectionReason::FailurePercentage)),
        ],
        "the second rule still finds its five hosts"
    );
}

#[test]
fn an_enforcing_percentage_is_the_share_of_ejections() {
    let mut world = World::of(1, |s| {
        s.enforcing_consecutive_5xx = Share::from_percent(30.0)
    });
    let mut ejected = 0_i32;
    for _ in 0..4_000 {
        match world.results(0, &[BAD; 5]).unwrap().1 {
            Verdict::Ejected(_) => {
                ejected += 1;
                world.hosts[0].return_now(&mut world.words);
            }
            Verdict::RefusedByDraw => {}
            Verdict::RefusedByCap => panic!("all may be out"),
        }
    }
    // 5 sigma of a binomial with 4 000 trials of 0.3
    assert!((ejected - 1_200).abs() < 145, "{ejected}");
}

#[test]
fn jitter_is_drawn_on_top_of_an_ejection() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut world = World::of(1, |s| s.max_ejection_jitter = secs(5));
        world.draws = seed * 100;
        let Some((_, Verdict::Ejected(lasts))) = world.results(0, &[BAD; 5]) else {
            panic!("it is ejected");
        };
        assert!((secs(30)..=secs(35)).contains(&lasts), "{lasts}");
        lengths.insert(lasts);
    }
    assert!(lengths.len() > 150);
}

proptest! {
    #[test]
    fn a_census_is_due_whenever_an_ejection_may_be(
        split: bool, outcomes in prop::collection::vec(0_usize..5, 1..200)
    ) {
        let mut world = World::of(3, |s| s.split_local_origin = split);
        for n in outcomes {
            let outcome = [GOOD, BAD, Outcome::Answered(503), Outcome::LocalFailure, Outcome::Connected][n];
            let due = world.settings.is_due(&world.words, world.hosts[0], outcome);
            let judged = world.result(0, outcome);
            prop_assert!(due || judged.is_none());
            if !world.out().is_empty() {
                world.hosts[0].return_now(&mut world.words);
            }
        }
    }

    #[test]
    fn never_more_are_out_than_the_cap_allows(
        hosts in 1_usize..12, percent in 0_u32..101, results in prop::collection::vec((0_usize..12, any::<bool>()), 0..400)
    ) {
        let mut world = World::of(hosts, |s| s.max_ejection_share = Share::from_percent(f64::from(percent)));
        for (n, (host, bad)) in results.into_iter().enumerate() {
            world.result(host % hosts, if bad { BAD } else { GOOD });
            if n % 50 == 49 {
                world.sweep_at(n as u64);
            }
            prop_assert!(world.out().len() * 100 <= percent as usize * hosts);
        }
    }
}

/// Envoy: `max_ejection_percent`, `always_eject_one_host`.
#[test]
fn as_many_go_out_as_the_share_has_whole_endpoints() {
    for (hosts, percent, always_one, expected) in [
        (1, 100.0, false, 1),
        (1, 10.0, false, 0),
        (1, 10.0, true, 1),
        (2, 50.0, false, 1),
        (3, 33.0, false, 0),
        (3, 34.0, false, 1),
        (4, 50.0, false, 2),
        (5, 0.0, false, 0),
        (5, 0.0, true, 1),
        (5, 100.0, false, 5),
        (9, 10.0, false, 0),
        (9, 10.0, true, 1),
        (10, 10.0, false, 1),
        (10, 10.0, true, 1),
        (19, 10.0, false, 1),
        (20, 10.0, false, 2),
    ] {
        let mut world = World::of(hosts, |s| {
            s.max_ejection_share = Share::from_percent(percent);
            s.always_eject_one = always_one;
        });
        for host in 0..hosts {
            world.results(host, &[BAD; 5]);
        }
        let name = format!("{percent} % of {hosts}, always one: {always_one}");
        assert_eq!(world.out().len(), expected, "{name}");
    }
}

/// Envoy: `max_ejection_percent` holds for the sweep as well.
#[test]
fn a_sweep_takes_no_more_out_than_the_share() {
    let mut world = World::of(10, |s| {
        s.consecutive_5xx = 0;
        s.max_ejection_share = Share::from_percent(20.0);
        s.failure_percentage.enforcing = Share::ALL;
    });
    for _ in 0..50 {
        for host in 0..10 {
            world.result(host, BAD);
        }
    }
    let swept = world.sweep_at(10);
    let refused = |(_, s): &&(usize, Swept)| matches!(s, Swept::Due(_, Verdict::RefusedByCap));
    assert_eq!(
        (world.out().len(), swept.iter().filter(refused).count()),
        (2, 8)
    );
}

/// Envoy: a counter that reached its threshold is cleared whether or not that took the host out.
#[test]
fn a_refused_ejection_is_asked_for_again_after_a_whole_row() {
    let mut world = World::of(5, |s| s.max_ejection_share = Share::ZERO);
    let refused = Some((EjectionReason::Consecutive5xx, Verdict::RefusedByCap));
    for _ in 0..3 {
        assert_eq!(world.results(0, &[BAD; 4]), None);
        assert_eq!(world.result(0, BAD), refused);
    }
}

/// Envoy: `unejectHost` resets the counters of 5xx and of gateway failures.
#[test]
fn who_comes_back_begins_new_rows_of_errors_and_goes_on_with_local_failures() {
    let mut world = World::of(1, |s| s.split_local_origin = true);
    world.results(0, &[Outcome::LocalFailure; 4]);
    world.results(0, &[BAD; 5]);
    assert_eq!(world.results(0, &[BAD; 3]), None, "out");
    assert_eq!(world.sweep_at(30), [(0, Swept::Returned)]);
    assert_eq!(world.results(0, &[BAD; 4]), None);
    let fifth = world.result(0, Outcome::LocalFailure).map(|(why, _)| why);
    assert_eq!(fifth, Some(EjectionReason::ConsecutiveLocalOrigin));
}

/// Envoy: hosts strictly below mean − factor × deviation.
#[test]
fn equal_success_rates_are_never_below_their_threshold() {
    for (bad, factor) in [(0, 1_900), (50, 1_900), (50, 0), (84, 1_900)] {
        let mut world = World::of(5, |s| {
            s.consecutive_5xx = 0;
            s.success_rate_stdev_factor = factor;
        });
        for n in 0..100 {
            for host in 0..5 {
                world.result(host, if n < bad { BAD } else { GOOD });
            }
        }
        assert_eq!(world.sweep_at(10), [], "{bad} % bad, factor {factor}");
    }
}

/// Envoy: an empty `OutlierDetection`.
#[test]
fn the_defaults_are_envoys() {
    let d = Settings::envoy_v3();
    let rows = [
        d.consecutive_5xx,
        d.consecutive_gateway_failure,
        d.consecutive_local_origin_failure,
    ];
    assert_eq!(rows, [5; 3]);
    assert_eq!((d.interval, d.base_ejection_time), (secs(10), secs(30)));
    assert_eq!(
        (d.max_ejection_time, d.max_ejection_jitter),
        (secs(300), secs(0))
    );
    assert_eq!(d.max_ejection_share, Share::from_percent(10.0));
    let rule = |r: RateRule| (r.minimum_hosts, r.request_volume);
    assert_eq!(
        [d.success_rate, d.failure_percentage].map(rule),
        [(5, 100), (5, 50)]
    );
    assert_eq!(
        (d.success_rate_stdev_factor, d.failure_percentage_threshold),
        (1_900, 85)
    );
    let enforced = [
        d.enforcing_consecutive_5xx,
        d.enforcing_consecutive_local_origin,
        d.success_rate.enforcing,
        d.enforcing_local_origin_success_rate,
    ];
    assert_eq!(enforced, [Share::ALL; 4]);
    let detected = [
        d.enforcing_consecutive_gateway_failure,
        d.failure_percentage.enforcing,
        d.enforcing_failure_percentage_local_origin,
    ];
    assert_eq!(detected, [Share::ZERO; 3]);
    assert!(!d.split_local_origin && !d.always_eject_one && d.health_check_returns);
}

/// Envoy: a 5xx that is no gateway error breaks the row of those.
#[test]
fn a_row_of_gateway_errors_is_broken_by_any_other_answer() {
    let gateway = Outcome::Answered(502);
    for (name, between, ejected) in [
        ("502", gateway, true),
        ("500", BAD, false),
        ("501", Outcome::Answered(501), false),
        ("505", Outcome::Answered(505), false),
        ("404", Outcome::Answered(404), false),
        ("504", Outcome::Answered(504), true),
        ("a timeout", Outcome::Timeout, true),
        ("a reset", Outcome::LocalFailure, true),
    ] {
        let mut world = World::of(1, |s| {
            s.consecutive_5xx = 0;
            s.consecutive_gateway_failure = 4;
            s.enforcing_consecutive_gateway_failure = Share::ALL;
        });
        world.results(0, &[gateway, gateway, between, gateway]);
        assert_eq!(world.out() == [0], ejected, "{name}");
    }
}
