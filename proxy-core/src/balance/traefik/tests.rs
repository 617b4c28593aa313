use super::super::testing::List;
use super::*;
use proptest::prelude::*;

fn turns(hosts: &List, seed: u64) -> Turns {
    let mut turns = Turns::new(DrawKey::root(seed));
    turns.refresh(hosts);
    turns
}

#[test]
fn equal_weights_take_turns_in_a_drawn_order() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let hosts = List::equal(3);
        let mut turns = turns(&hosts, seed);
        let picked: Vec<_> = (0..9).filter_map(|_| turns.pick(&hosts)).collect();
        assert_eq!(picked[..3], picked[3..6]);
        assert_eq!(picked[..3], picked[6..]);
        orders.insert(picked[..3].to_vec());
    }
    assert_eq!(orders.len(), 6);
}

#[test]
fn what_is_not_well_has_its_turns_and_is_passed_over() {
    let mut hosts = List::of(&[1, 1, 2]);
    let mut turns = turns(&hosts, 1);
    hosts.unavailable = vec![2];
    let mut count = |hosts: &List, n: usize| {
        let mut counts = [0_usize; 3];
        for _ in 0..n {
            counts[turns.pick(hosts).unwrap()] += 1;
        }
        counts
    };
    assert_eq!(count(&hosts, 100), [50, 50, 0]);
    hosts.unavailable.clear();
    let back = count(&hosts, 40);
    assert!(
        back[2].abs_diff(20) <= 2,
        "it has nothing to make up for: {back:?}"
    );
    hosts.unavailable = vec![0, 1, 2];
    assert_eq!(turns.pick(&hosts), None);
}

#[test]
fn a_heavy_host_that_is_not_well_costs_no_time() {
    let mut hosts = List::of(&[u32::MAX, 1]);
    let mut turns = turns(&hosts, 1);
    hosts.unavailable = vec![0];
    assert!((0..1_000).all(|_| turns.pick(&hosts) == Some(1)));
}

#[test]
fn turns_begin_anew_only_with_other_hosts() {
    let hosts = List::of(&[3, 1, 2]);
    let (mut one, mut other) = (turns(&hosts, 5), turns(&hosts, 5));
    for n in 0..60 {
        if n % 7 == 0 {
            other.refresh(&hosts);
        }
        assert_eq!(one.pick(&hosts), other.pick(&hosts));
    }
}

#[test]
fn the_fewer_requests_of_two_win_and_weights_have_no_say() {
    let mut hosts = List::of(&[100, 1]);
    hosts.active = vec![3, 2];
    assert!((0..100).all(|seed| two_choices(&hosts, DrawKey::root(seed)) == Some(1)));
    hosts.active = vec![2, 2];
    let first = (0..10_000)
        .filter(|seed| two_choices(&hosts, DrawKey::root(*seed)) == Some(0))
        .count();
    // 5 sigma of 10 000 trials of 1/2 is 250
    assert!(first.abs_diff(5_000) < 250, "{first}");
}

#[test]
fn the_neighbour_of_a_host_drawn_twice_is_compared_with_it() {
    let mut hosts = List::equal(3);
    hosts.active = vec![0, 1, 2];
    let mut counts = [0_usize; 3];
    for seed in 0..9_000 {
        counts[two_choices(&hosts, DrawKey::root(seed)).unwrap()] += 1;
    }
    // of nine pairs: (0,0)→(0,1), (1,1)→(1,2), (2,2)→(2,0); the first wins six, the second three
    assert!(
        counts[0].abs_diff(6_000) < 230 && counts[2] == 0,
        "{counts:?}"
    );
}

#[test]
fn least_time_goes_by_time_and_load_and_weight() {
    let mut hosts = List::of(&[1, 1, 2]);
    let mut least = LeastTime::new(DrawKey::root(1));
    least.refresh(&hosts);
    hosts.latency = vec![10.0, 4.0, 9.0];
    assert_eq!(least.pick(&hosts), Some(1));
    hosts.active = vec![0, 1, 0];
    assert_eq!(least.pick(&hosts), Some(2), "9 / 2 < 8");
    hosts.active = vec![0, 3, 3];
    assert_eq!(least.pick(&hosts), Some(0), "10 < 16 < 18");
}

#[test]
fn hosts_that_were_never_measured_take_turns_before_all_others() {
    let mut hosts = List::equal(3);
    let mut least = LeastTime::new(DrawKey::root(1));
    least.refresh(&hosts);
    hosts.latency = vec![0.0, 1.0, 0.0];
    hosts.active = vec![50, 0, 100];
    let mut counts = [0; 3];
    for _ in 0..20 {
        counts[least.pick(&hosts).unwrap()] += 1;
    }
    assert!(
        counts[1] == 0 && counts[0] >= 9 && counts[2] >= 9,
        "{counts:?}"
    );
}

#[test]
fn a_mean_is_that_of_the_latest_hundred_whole_milliseconds() {
    let mut words = vec![0_u64; LatestTimes::WORDS];
    let times = LatestTimes::new(0);
    assert_eq!(times.mean(&words), 0.0);
    times.add(&mut words, Duration::from_micros(10_999));
    times.add(&mut words, Duration::from_millis(20));
    assert_eq!(times.mean(&words), 15.0);
    for _ in 0..99 {
        times.add(&mut words, Duration::from_millis(20));
    }
    assert_eq!(times.mean(&words), 20.0, "the first is forgotten");
    times.add(&mut words, Duration::from_millis(120));
    assert_eq!(times.mean(&words), 21.0);
}

#[test]
fn clients_keep_their_host_when_another_one_goes() {
    let all = List::equal(5);
    let mut fewer = all.clone();
    fewer.weights.remove(2);
    fewer.keys.remove(2);
    let hash = |n: u64| xxhash_rust::xxh64::xxh64(&n.to_le_bytes(), 0);
    for n in 0..2_000 {
        let before = rendezvous(&all, hash(n)).unwrap();
        let after = rendezvous(&fewer, hash(n)).unwrap();
        if before != 2 {
            assert_eq!(fewer.keys[after], all.keys[before]);
        }
    }
}

#[test]
fn a_rendezvous_shares_by_weight() {
    let hosts = List::of(&[1, 2, 5]);
    let hash = |n: u64| xxhash_rust::xxh64::xxh64(&n.to_le_bytes(), 0);
    let mut counts = [0_usize; 3];
    for n in 0..16_000 {
        counts[rendezvous(&hosts, hash(n)).unwrap()] += 1;
    }
    // 5 sigma of 16 000 trials of 1/8, 1/4 and 5/8 is 210, 274 and 307
    for (count, want) in counts.into_iter().zip([2_000, 4_000, 10_000]) {
        assert!(count.abs_diff(want) < 310, "{counts:?}");
    }
}

proptest! {
    #[test]
    fn weights_are_kept_to_over_any_whole_round(weights in prop::collection::vec(1_u32..30, 2..8), seed: u64) {
        let hosts = List::of(&weights);
        let mut turns = turns(&hosts, seed);
        let sum: u32 = weights.iter().sum();
        let mut counts = vec![0_i64; weights.len()];
        for _ in 0..sum {
            counts[turns.pick(&hosts).unwrap()] += 1;
        }
        // sums of fractions are not exact: a turn may fall on the other side of the round's end
        let off = counts.iter().zip(&weights).map(|(c, w)| (c - i64::from(*w)).abs()).max();
        prop_assert!(off <= Some(1), "{:?}", counts);
    }
}
