use super::*;
use crate::config::{Endpoint, HashBalance, Share, ZoneAware};
use crate::origin::Sourced;
use core::net::SocketAddr;

/// A cluster with its endpoints and one selector over them. Word `i` counts the requests under way to endpoint `i`.
struct Bench {
    config: Cluster,
    set: EndpointSet,
    down: Vec<usize>,
    locality: &'static str,
    words: Vec<u64>,
    selector: Selector,
    now: Time,
}

impl Bench {
    /// Endpoints by priority and locality.
    fn of(endpoints: &[(u8, &str)], tune: impl FnOnce(&mut Cluster)) -> Self {
        let endpoint = |(i, (priority, locality)): (usize, &(u8, &str))| Endpoint {
            priority: *priority,
            locality: (*locality).into(),
            ..Endpoint::at(SocketAddr::from(([10, 0, 0, i as u8 + 1], 80)))
        };
        let set = EndpointSet {
            endpoints: endpoints.iter().enumerate().map(endpoint).collect(),
            locality_weights: Vec::new(),
        };
        let mut config = Cluster::envoy("c", EndpointSet::default());
        tune(&mut config);
        let mut bench = Self {
            config,
            set,
            down: Vec::new(),
            locality: "a",
            words: vec![0; endpoints.len() * 3],
            selector: Selector::new(DrawKey::root(9)),
            now: Time::ZERO,
        };
        bench.rebuild();
        bench
    }

    fn equal(count: usize, balancer: config::Balancer) -> Self {
        Self::of(&vec![(0, "a"); count], |c| {
            c.balancer = Sourced::unsourced(balancer);
        })
    }

    fn without(mut self, down: &[usize]) -> Self {
        self.down = down.to_vec();
        self.rebuild();
        self
    }

    fn weights(mut self, weights: &[(&str, u32)]) -> Self {
        let weight = |(name, weight): &(&str, u32)| ((*name).into(), 0, *weight);
        self.set.locality_weights = weights.iter().map(weight).collect();
        self.rebuild();
        self
    }

    fn rebuild(&mut self) {
        let count = self.set.endpoints.len();
        let member = |(i, endpoint): (usize, &Endpoint)| Member {
            slot: EndpointSlot(i as u32),
            available: !self.down.contains(&i),
            priority: endpoint.priority,
            weight: endpoint.weight,
            locality: endpoint.locality.clone(),
            key: endpoint.address.to_string().into(),
            active_at: i,
            latency_at: count + 2 * i,
            since: Time::ZERO,
        };
        let members = self.set.endpoints.iter().enumerate().map(member).collect();
        self.selector
            .rebuild(&self.config, &self.set, self.locality, members, self.now);
    }

    fn choose(&mut self, number: u64, hash: Option<u64>, spent: &[u8]) -> Option<Chosen> {
        let choice = Choice {
            key: DrawKey::root(1).child(number),
            hash,
            rejected: 0,
            failed: &[],
            spent_priorities: spent,
            cluster_active: 0,
            now: self.now,
        };
        self.selector.choose(&self.words, &choice)
    }

    /// How often each endpoint is chosen.
    fn counts(&mut self, picks: u64) -> Vec<u32> {
        let mut counts = vec![0; self.set.endpoints.len()];
        for n in 0..picks {
            let chosen = self.choose(n, None, &[]).expect("there is one");
            counts[chosen.slot.0 as usize] += 1;
        }
        counts
    }
}

/// Pearson's statistic over its degrees of freedom; near 1 where counts follow the shares.
fn chi_square(counts: &[u32], shares: &[f64]) -> f64 {
    let sum = f64::from(counts.iter().sum::<u32>());
    let terms = counts.iter().zip(shares).map(|(count, share)| {
        let expected = sum * share;
        (f64::from(*count) - expected) * (f64::from(*count) - expected) / expected
    });
    terms.sum::<f64>() / (counts.len() - 1) as f64
}

const P2C: config::Balancer = config::Balancer::LeastRequest {
    choices: 2,
    bias: 1.0,
    full_scan: false,
};
const RING: config::Balancer = config::Balancer::RingHash {
    min_size: 1024,
    max_size: 8 << 20,
    bound: None,
};
const MAGLEV: config::Balancer = config::Balancer::Maglev {
    size: 65_537,
    bound: None,
};
const EWMA: config::Balancer = config::Balancer::PeakEwma {
    default_rtt: Duration::from_millis(30),
    decay: Duration::from_secs(10),
};

fn every_balancer() -> [(&'static str, config::Balancer); 16] {
    let bound = Some(HashBalance { factor: 150 });
    [
        ("round robin", config::Balancer::RoundRobin),
        ("least request", P2C),
        ("random", config::Balancer::Random),
        ("ring", RING),
        (
            "bounded ring",
            config::Balancer::RingHash {
                min_size: 1024,
                max_size: 4096,
                bound,
            },
        ),
        ("maglev", MAGLEV),
        (
            "bounded maglev",
            config::Balancer::Maglev {
                size: 65_537,
                bound,
            },
        ),
        ("peak ewma", EWMA),
        ("kong ring", config::Balancer::KongRing),
        (
            "kong least connections",
            config::Balancer::KongLeastConnections,
        ),
        ("kong latency", config::Balancer::KongLatency),
        ("nginx ewma", config::Balancer::NginxEwma),
        ("traefik turns", config::Balancer::TraefikTurns),
        ("traefik two choices", config::Balancer::TraefikTwoChoices),
        ("traefik least time", config::Balancer::TraefikLeastTime),
        ("traefik rendezvous", config::Balancer::TraefikRendezvous),
    ]
}

#[test]
fn every_balancer_picks_nothing_of_none_and_the_one_there_is() {
    for (name, balancer) in every_balancer() {
        let mut none = Bench::equal(0, balancer.clone());
        assert_eq!(none.choose(0, None, &[]), None, "{name}");
        assert!(!none.selector.has_any(), "{name}");
        let mut one = Bench::equal(1, balancer.clone());
        assert_eq!(one.counts(5), [5], "{name}");
        let mut third = Bench::equal(3, balancer).without(&[0, 1]);
        third.config.panic_threshold = Sourced::unsourced(Share::ZERO);
        third.rebuild();
        assert_eq!(third.counts(20), [0, 0, 20], "{name}");
    }
}

#[test]
fn a_clone_goes_on_like_its_original() {
    for (name, balancer) in every_balancer() {
        let mut bench = Bench::equal(5, balancer);
        bench.counts(7);
        let mut copy = bench.selector.clone();
        for n in 0..40 {
            let choice = Choice {
                key: DrawKey::root(1).child(n),
                hash: Some(n * 77),
                rejected: 0,
                failed: &[],
                spent_priorities: &[],
                cluster_active: 0,
                now: bench.now,
            };
            let chosen = bench.selector.choose(&bench.words, &choice);
            assert_eq!(chosen, copy.choose(&bench.words, &choice), "{name}");
        }
    }
}

#[test]
fn idle_equal_endpoints_get_equal_shares() {
    for (name, balancer) in [
        ("random", config::Balancer::Random),
        ("least request", P2C),
        ("peak ewma", EWMA),
        ("maglev", MAGLEV),
    ] {
        let counts = Bench::equal(8, balancer).counts(16_000);
        // 7 degrees of freedom: 99.999 % below 35.3
        let statistic = chi_square(&counts, &[0.125; 8]);
        assert!(statistic < 35.3 / 7.0, "{name}: {counts:?}");
    }
    assert_eq!(
        Bench::equal(8, config::Balancer::RoundRobin).counts(80),
        [10; 8]
    );
    assert_eq!(
        Bench::equal(8, config::Balancer::KongRing).counts(80),
        [10; 8]
    );
}

/// With two choices the k-th least busy of n wins when both draws lie at or behind it, and one hits it.
#[test]
fn two_choices_prefer_the_less_busy_as_order_statistics_say() {
    let mut bench = Bench::equal(6, P2C);
    for i in 0..6 {
        bench.words[i] = i as u64;
    }
    let shares: Vec<f64> = (0..6).map(|k| f64::from(2 * (6 - k) - 1) / 36.0).collect();
    let counts = bench.counts(36_000);
    // 5 degrees of freedom: 99.999 % below 30.9
    assert!(chi_square(&counts, &shares) < 30.9 / 5.0, "{counts:?}");
}

#[test]
fn priorities_spill_and_a_retry_leaves_those_it_tried() {
    let mut bench = Bench::of(&[(0, "a"), (0, "a"), (1, "a")], |_| ());
    assert_eq!(bench.counts(100)[2], 0);
    for n in 0..50 {
        let chosen = bench.choose(n, None, &[0]).unwrap();
        assert_eq!(chosen.slot, EndpointSlot(2));
    }
    assert!(bench.choose(0, None, &[0, 1]).is_some());
    let mut half = Bench::of(&[(0, "a"), (0, "a"), (1, "a")], |_| ()).without(&[0]);
    let counts = half.counts(10_000);
    assert_eq!(counts[0], 0);
    // half of the endpoints × 1.4 = 70 %; 5 sigma
    assert!((6_771..7_229).contains(&counts[1]), "{counts:?}");
}

#[test]
fn in_panic_all_are_used_or_none() {
    let mut bench = Bench::equal(4, config::Balancer::RoundRobin).without(&[0, 1, 2]);
    assert_eq!(bench.counts(40), [10; 4]);
    let chosen = bench.choose(0, None, &[]).unwrap();
    assert!(chosen.panic && chosen.candidates == 4);
    bench.config.fail_traffic_on_panic = true;
    bench.rebuild();
    assert_eq!(bench.choose(0, None, &[]), None);
    bench.config.panic_threshold = Sourced::unsourced(Share::ZERO);
    bench.rebuild();
    assert_eq!(bench.counts(4), [0, 0, 0, 4]);
    let mut nobody = bench.without(&[0, 1, 2, 3]);
    assert_eq!(nobody.choose(0, None, &[]), None);
    assert!(!nobody.selector.has_any());
}

#[test]
fn localities_share_by_weight_and_availability() {
    let places = [(0, "a"), (0, "a"), (0, "b"), (0, "b")];
    let weighted = |c: &mut Cluster| c.locality = Sourced::unsourced(LocalityBalance::Weighted);
    let by_place = |counts: Vec<u32>| [counts[0] + counts[1], counts[2] + counts[3]];
    for (name, weights, down, expected) in [
        ("by weight", [("a", 1), ("b", 3)], vec![], [25, 75]),
        // b has half of its endpoints: 3 × 0.7 = 2.1
        (
            "short of endpoints",
            [("a", 1), ("b", 3)],
            vec![2],
            [32, 68],
        ),
        ("weight 0", [("a", 0), ("b", 1)], vec![], [0, 100]),
        (
            "all 0: not by locality",
            [("a", 0), ("b", 0)],
            vec![],
            [50, 50],
        ),
    ] {
        let mut bench = Bench::of(&places, weighted)
            .weights(&weights)
            .without(&down);
        let [a, b] = by_place(bench.counts(1_000));
        assert_eq!(a + b, 1_000);
        assert!((a as i32 / 10 - expected[0]).abs() <= 1, "{name}: {a} {b}");
    }
}

#[test]
fn a_hash_keeps_its_endpoint_over_weighted_localities_and_zones() {
    let places = [(0, "a"), (0, "a"), (0, "b"), (0, "b")];
    let zones = LocalityBalance::ZoneAware(ZoneAware {
        enabled: Share::ALL,
        min_cluster_size: 1,
        force_local_min: Some(1),
        callers: vec![("a".into(), 1), ("b".into(), 1)],
    });
    for balancer in [RING, MAGLEV] {
        for locality in [LocalityBalance::Weighted, zones.clone()] {
            let mut bench = Bench::of(&places, |c| {
                c.balancer = Sourced::unsourced(balancer.clone());
                c.locality = Sourced::unsourced(locality.clone());
            })
            .weights(&[("a", 1), ("b", 3)]);
            let mut seen = [0; 4];
            for user in 0..400_u64 {
                let hash = Some(DrawKey::root(user).as_u64());
                let first = bench.choose(0, hash, &[]);
                assert!((1..5).all(|n| bench.choose(n, hash, &[]) == first));
                seen[first.unwrap().slot.0 as usize] += 1;
            }
            let (a, b) = (seen[0] + seen[1], seen[2] + seen[3]);
            let weighted = locality == LocalityBalance::Weighted;
            assert!(!weighted || (50..150).contains(&a), "a quarter: {a} {b}");
            assert!(seen.iter().all(|s| *s > 0), "{seen:?}");
        }
    }
}

#[test]
fn a_hash_moves_only_when_its_endpoint_goes() {
    for balancer in [RING, MAGLEV] {
        let mut bench = Bench::equal(10, balancer);
        let hashes: Vec<u64> = (0..2_000).map(|n| DrawKey::root(n).as_u64()).collect();
        let slots = |bench: &mut Bench| -> Vec<u32> {
            let slot = |h: &u64| bench.choose(0, Some(*h), &[]).unwrap().slot.0;
            hashes.iter().map(slot).collect()
        };
        let before = slots(&mut bench);
        let mut bench = bench.without(&[3]);
        let after = slots(&mut bench);
        let moved = before
            .iter()
            .zip(&after)
            .filter(|(b, a)| **b != 3 && b != a);
        assert!(after.iter().all(|slot| *slot != 3));
        assert!(moved.count() < 200, "of 1 800 others");
        assert_eq!(slots(&mut bench.without(&[])), before);
    }
}

#[test]
fn a_zone_keeps_what_it_has_endpoints_for() {
    // half of the callers are in a, a quarter of the endpoints: half of a's load stays
    let places = [
        (0, "a"),
        (0, "a"),
        (0, "b"),
        (0, "b"),
        (0, "b"),
        (0, "b"),
        (0, "c"),
        (0, "c"),
    ];
    let aware = |min, force| {
        LocalityBalance::ZoneAware(ZoneAware {
            enabled: Share::ALL,
            min_cluster_size: min,
            force_local_min: force,
            callers: vec![("a".into(), 2), ("b".into(), 1), ("c".into(), 1)],
        })
    };
    for (name, zones, expected) in [
        ("by shares", aware(6, None), [0.5, 0.5, 0.0]),
        ("too small", aware(9, None), [0.25, 0.5, 0.25]),
        ("forced", aware(6, Some(1)), [1.0, 0.0, 0.0]),
        ("not enough to force", aware(6, Some(3)), [0.5, 0.5, 0.0]),
    ] {
        let mut bench = Bench::of(&places, |c| c.locality = Sourced::unsourced(zones));
        let counts = bench.counts(8_000);
        let zones = [&counts[..2], &counts[2..6], &counts[6..]];
        for (zone, share) in zones.into_iter().zip(expected) {
            let share_of = f64::from(zone.iter().sum::<u32>()) / 8_000.0;
            assert!((share_of - share).abs() < 0.03, "{name}: {counts:?}");
        }
    }
}

#[test]
fn a_new_endpoint_starts_slowly() {
    let mut bench = Bench::equal(2, config::Balancer::RoundRobin);
    let slow = slow_start::SlowStart::envoy_v3(Duration::from_secs(100));
    bench.config.slow_start = Some(Sourced::unsourced(slow));
    bench.now = Time::ZERO + Duration::from_secs(50);
    bench.rebuild();
    // both are half way: equal
    assert_eq!(bench.counts(100), [50, 50]);
    let members: Vec<Member> = bench.selector.levels[0].all.members.clone();
    let since = |m: &Member| Member {
        since: if m.slot.0 == 1 { bench.now } else { Time::ZERO },
        ..m.clone()
    };
    let members = members.iter().map(since).collect();
    bench.now += Duration::from_secs(50);
    bench
        .selector
        .rebuild(&bench.config, &bench.set, "a", members, bench.now);
    // weights 1 and 0.5
    let counts = bench.counts(300);
    assert!((199..=201).contains(&counts[0]), "{counts:?}");
}

#[test]
fn rotations_go_on_over_changes_of_health_but_not_of_balancer() {
    let mut bench = Bench::equal(3, config::Balancer::RoundRobin);
    let first = bench.choose(0, None, &[]).unwrap().slot.0;
    bench.rebuild();
    assert_eq!(bench.choose(1, None, &[]).unwrap().slot.0, (first + 1) % 3);
    let mut scan = Bench::equal(3, P2C);
    scan.words[..3].copy_from_slice(&[5, 0, 5]);
    assert!(scan.counts(200)[1] < 200);
    scan.config.balancer = Sourced::unsourced(config::Balancer::LeastRequest {
        choices: 2,
        bias: 1.0,
        full_scan: true,
    });
    scan.rebuild();
    assert_eq!(scan.counts(200), [0, 200, 0], "new settings are in force");
}

#[test]
fn the_highest_priority_number_is_no_trouble() {
    let mut bench = Bench::of(&[(255, "a")], |_| ());
    assert_eq!(bench.counts(3), [3]);
}

/// Weighted choices against their weights, for every balancer that has them.
#[test]
fn weights_are_kept_to() {
    for (name, balancer, tolerance) in [
        ("round robin", config::Balancer::RoundRobin, 0.001),
        ("least request", P2C, 0.001),
        ("maglev", MAGLEV, 0.02),
        ("kong ring", config::Balancer::KongRing, 0.001),
    ] {
        let mut bench = Bench::equal(4, balancer);
        for (endpoint, weight) in bench.set.endpoints.iter_mut().zip([1, 2, 3, 4]) {
            endpoint.weight = weight;
        }
        bench.rebuild();
        let counts = bench.counts(10_000);
        for (count, share) in counts.iter().zip([0.1, 0.2, 0.3, 0.4]) {
            let off = (f64::from(*count) / 10_000.0 - share).abs();
            assert!(off <= tolerance, "{name}: {counts:?}");
        }
    }
}

/// Envoy: `zone_aware_lb_config.routing_enabled`; only the first priority is routed by zone.
#[test]
fn zones_count_for_their_share_of_requests_at_the_first_priority() {
    let aware = |percent| {
        LocalityBalance::ZoneAware(ZoneAware {
            enabled: Share::from_percent(percent),
            min_cluster_size: 1,
            force_local_min: None,
            callers: vec![("a".into(), 1), ("b".into(), 1)],
        })
    };
    for (name, priority, percent, local) in [
        ("all", 0, 100.0, 1.0),
        ("half", 0, 50.0, 0.75),
        ("none", 0, 0.0, 0.5),
        ("second priority", 1, 100.0, 0.5),
    ] {
        let places = [(priority, "a"), (priority, "b")];
        let mut bench = Bench::of(&places, |c| {
            c.balancer = Sourced::unsourced(config::Balancer::Random);
            c.locality = Sourced::unsourced(aware(percent));
        });
        let share = f64::from(bench.counts(8_000)[0]) / 8_000.0;
        assert!((share - local).abs() < 0.03, "{name}: {share}");
    }
}

/// Envoy's `ThreadAwareLoadBalancerBase` spreads retries like first tries.
#[test]
fn a_hash_keeps_its_priority_over_retries() {
    for balancer in [RING, MAGLEV] {
        let mut bench = Bench::of(&[(0, "a"), (1, "a")], |c| {
            c.balancer = Sourced::unsourced(balancer);
        });
        let chosen = bench.choose(0, Some(7), &[0]).unwrap();
        assert_eq!(chosen.slot, EndpointSlot(0));
    }
}
