//! Envoy `LEAST_REQUEST`.

use crate::draw::{DrawKey, Purpose};

use super::Hosts;
use super::edf::Edf;
use super::weights;

/// How candidates of equal weight are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selection {
    /// The fewest requests among a number of candidates drawn with replacement; the first drawn wins a tie.
    Choices(u32),
    /// The fewest requests of all; ties are drawn.
    FullScan,
}

/// How the fewest requests are found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// Default: two choices.
    pub selection: Selection,
    /// With unequal weights a candidate weighs weight / (active + 1)^bias. Default 1; 0 leaves a weighted rotation.
    pub active_request_bias: f64,
}

impl Settings {
    /// Two choices, bias 1.
    #[must_use]
    pub const fn envoy_v3() -> Self {
        Self {
            selection: Selection::Choices(2),
            active_request_bias: 1.0,
        }
    }
}

/// Prefers candidates with few requests under way from this process. Other proxies' requests are not seen.
///
/// With two choices of two hosts the busier one still gets a quarter of the picks, since both draws may hit it.
///
/// Source: Envoy v3 `source/extensions/load_balancing_policies/least_request/least_request_lb.cc`.
#[derive(Clone, Debug)]
pub struct LeastRequest {
    settings: Settings,
    seed: u64,
    schedule: Option<Edf>,
}

impl LeastRequest {
    /// A balancer whose schedule, if it needs one, starts where `key` draws.
    #[must_use]
    pub const fn new(settings: Settings, key: DrawKey) -> Self {
        Self {
            settings,
            seed: key.bits(Purpose::RotationStart, 0),
            schedule: None,
        }
    }

    /// Adapts to changed candidates.
    pub fn refresh(&mut self, hosts: &impl Hosts) {
        let settings = self.settings;
        self.schedule = weights::schedule(hosts, self.seed, |i| weight(&settings, hosts, i));
    }

    /// The candidate for one attempt.
    pub fn pick(&mut self, hosts: &impl Hosts, key: DrawKey) -> Option<usize> {
        let settings = self.settings;
        if let Some(schedule) = &mut self.schedule {
            return schedule.pick(|i| weight(&settings, hosts, i));
        }
        match settings.selection {
            Selection::Choices(choices) => fewest_of_draws(hosts, choices, key),
            Selection::FullScan => fewest_of_all(hosts, key),
        }
    }
}

fn weight(settings: &Settings, hosts: &impl Hosts, i: usize) -> f64 {
    let requests = hosts.active(i).saturating_add(1) as f64;
    let bias = settings.active_request_bias;
    let divisor = if bias == 1.0 {
        requests
    } else if bias == 0.0 {
        1.0
    } else {
        libm::pow(requests, bias)
    };
    f64::from(hosts.weight(i)) / divisor * hosts.slow_start(i)
}

fn fewest_of_draws(hosts: &impl Hosts, choices: u32, key: DrawKey) -> Option<usize> {
    let count = hosts.count() as u64;
    if count == 0 {
        return None;
    }
    let draw = |n| key.below(Purpose::Endpoint, n, count) as usize;
    let first = draw(0);
    let fewer = |best: usize, other: usize| {
        if hosts.active(other) < hosts.active(best) {
            other
        } else {
            best
        }
    };
    Some((1..choices).map(draw).fold(first, fewer))
}

fn fewest_of_all(hosts: &impl Hosts, key: DrawKey) -> Option<usize> {
    let fewest = (0..hosts.count()).map(|i| hosts.active(i)).min()?;
    let tied = || (0..hosts.count()).filter(|&i| hosts.active(i) == fewest);
    let nth = key.below(Purpose::Endpoint, 0, tied().count() as u64);
    tied().nth(nth as usize)
}

#[cfg(test)]
mod tests {
    use super::super::testing::List;
    use super::*;

    fn shares(settings: Settings, hosts: &List, picks: u32) -> Vec<f64> {
        let mut balancer = LeastRequest::new(settings, DrawKey::root(5));
        balancer.refresh(hosts);
        let mut counts = vec![0; hosts.count()];
        for n in 0..picks {
            counts[balancer.pick(hosts, DrawKey::root(u64::from(n))).unwrap()] += 1;
        }
        counts
            .iter()
            .map(|&c| f64::from(c) / f64::from(picks))
            .collect()
    }

    /// Five standard deviations of a share after `picks` picks.
    fn tolerance(picks: u32) -> f64 {
        5.0 * 0.5 / f64::from(picks).sqrt()
    }

    #[test]
    fn two_choices_of_two_hosts_leave_the_busier_a_quarter() {
        let mut hosts = List::equal(2);
        hosts.active = vec![5, 1];
        let busier = shares(Settings::envoy_v3(), &hosts, 20_000)[0];
        assert!((busier - 0.25).abs() < tolerance(20_000), "{busier}");
    }

    #[test]
    fn more_choices_find_the_idlest_more_often() {
        let mut hosts = List::equal(4);
        hosts.active = vec![9, 0, 9, 9];
        let choices = |n| Settings {
            selection: Selection::Choices(n),
            ..Settings::envoy_v3()
        };
        for n in [1, 2, 5] {
            let expected = 1.0 - 0.75_f64.powi(n);
            let share = shares(choices(n as u32), &hosts, 20_000)[1];
            assert!(
                (share - expected).abs() < tolerance(20_000),
                "{n} choices: {share}"
            );
        }
    }

    #[test]
    fn a_full_scan_draws_among_the_idlest_alone() {
        let mut hosts = List::equal(4);
        hosts.active = vec![1, 0, 2, 0];
        let scan = Settings {
            selection: Selection::FullScan,
            ..Settings::envoy_v3()
        };
        let shares = shares(scan, &hosts, 10_000);
        assert_eq!((shares[0], shares[2]), (0.0, 0.0));
        assert!((shares[1] - 0.5).abs() < tolerance(10_000), "{shares:?}");
    }

    #[test]
    fn unequal_weights_are_divided_by_the_requests_under_way() {
        let mut hosts = List::of(&[4, 1]);
        hosts.active = vec![3, 0];
        let even = shares(Settings::envoy_v3(), &hosts, 1_000);
        assert!(
            (even[0] - 0.5).abs() < 0.01,
            "4 / (3 + 1) = 1 / 1: {even:?}"
        );
        let no_bias = Settings {
            active_request_bias: 0.0,
            ..Settings::envoy_v3()
        };
        assert!((shares(no_bias, &hosts, 1_000)[0] - 0.8).abs() < 0.01);
        let root = Settings {
            active_request_bias: 0.5,
            ..Settings::envoy_v3()
        };
        assert!(
            (shares(root, &hosts, 3_000)[0] - 2.0 / 3.0).abs() < 0.01,
            "4 / sqrt(4) = 2"
        );
    }

    /// Envoy: `unweightedHostPickNChoices` replaces its candidate only by one with fewer requests.
    #[test]
    fn the_first_drawn_wins_a_tie() {
        let mut hosts = List::equal(5);
        hosts.active = vec![3; 5];
        let mut balancer = LeastRequest::new(Settings::envoy_v3(), DrawKey::root(5));
        balancer.refresh(&hosts);
        for n in 0..200 {
            let key = DrawKey::root(n);
            let first = key.below(Purpose::Endpoint, 0, 5) as usize;
            assert_eq!(balancer.pick(&hosts, key), Some(first));
        }
    }

    /// Envoy: `slow_start_config` of `LeastRequest` turns to the schedule even where weights are equal.
    #[test]
    fn a_slow_starting_host_weighs_its_share_of_weight_by_requests() {
        for (active, weights, share) in [
            ([0, 0], [1, 1], 2.0 / 3.0),
            ([1, 0], [1, 1], 0.5),
            ([3, 0], [4, 1], 2.0 / 3.0),
        ] {
            let mut hosts = List::of(&weights);
            hosts.active = active.to_vec();
            hosts.slow_start = vec![1.0, 0.5];
            let first = shares(Settings::envoy_v3(), &hosts, 3_000)[0];
            assert!(
                (first - share).abs() < 0.01,
                "{active:?} {weights:?}: {first}"
            );
        }
    }
}
