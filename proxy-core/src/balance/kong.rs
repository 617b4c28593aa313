//! Kong's `round-robin`, `least-connections` and `latency`.
//!
//! Kong keeps its order over all targets and passes over those that are unavailable or failed this request before.

use crate::draw::{DrawKey, Purpose};

use super::Hosts;

/// Most slots of a wheel, however large the weights are.
const MAX_SLOTS: u64 = 65_536;

/// `round-robin`: a wheel with as many slots for a target as its weight, in a drawn but fixed order. The pointer moves
/// on with every try.
///
/// Source: kong `kong/runloop/balancer/round_robin.lua`.
#[derive(Clone, Debug)]
pub struct Wheel {
    key: DrawKey,
    slots: Vec<u32>,
    pointer: usize,
}

impl Wheel {
    /// A wheel whose order `key` draws.
    #[must_use]
    pub const fn new(key: DrawKey) -> Self {
        Self {
            key,
            slots: Vec::new(),
            pointer: 0,
        }
    }

    /// Lays the slots out anew.
    pub fn refresh(&mut self, hosts: &impl Hosts) {
        let count = hosts.count();
        let divisor = (0..count)
            .map(|i| u64::from(hosts.weight(i)))
            .fold(0, greatest_common_divisor)
            .max(1);
        let sum: u64 = (0..count)
            .map(|i| u64::from(hosts.weight(i)) / divisor)
            .sum();
        let scale = (MAX_SLOTS as f64 / sum.max(1) as f64).min(1.0);
        self.slots.clear();
        for i in 0..count {
            let own = (u64::from(hosts.weight(i)) / divisor) as f64 * scale;
            let own = (own as usize).max(1);
            self.slots.extend(core::iter::repeat_n(i as u32, own));
        }
        for i in (1..self.slots.len()).rev() {
            let j = self
                .key
                .below(Purpose::RotationStart, i as u32, i as u64 + 1) as usize;
            self.slots.swap(i, j);
        }
        self.pointer = self.pointer.checked_rem(self.slots.len()).unwrap_or(0);
    }

    /// The next available target of the wheel.
    pub fn pick(&mut self, hosts: &impl Hosts) -> Option<usize> {
        for _ in 0..self.slots.len() {
            let index = self.slots[self.pointer] as usize;
            self.pointer = (self.pointer + 1) % self.slots.len();
            if hosts.is_available(index) {
                return Some(index);
            }
        }
        None
    }
}

const fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// `least-connections`: the smallest (requests + 1) / weight. Targets that failed this request come last.
///
/// Source: kong `kong/runloop/balancer/least_connections.lua`.
#[must_use]
pub fn least_connections(hosts: &impl Hosts, failed: impl Fn(usize) -> bool) -> Option<usize> {
    let score = |i: usize| (hosts.active(i) + 1) as f64 / f64::from(hosts.weight(i).max(1));
    lowest(hosts, failed, score)
}

/// `latency`: the lowest estimated response time / weight of all. Targets that failed this request come last; the first
/// listed wins a tie.
///
/// Kong means to compare two, but its releases widen the choice to every target left.
///
/// Source: kong `kong/runloop/balancer/latency.lua` (`getPeer`, `pick_and_score`).
#[must_use]
pub fn latency(hosts: &impl Hosts, failed: impl Fn(usize) -> bool) -> Option<usize> {
    let score = |i: usize| hosts.latency(i) / f64::from(hosts.weight(i).max(1));
    lowest(hosts, failed, score)
}

fn lowest(
    hosts: &impl Hosts,
    failed: impl Fn(usize) -> bool,
    score: impl Fn(usize) -> f64,
) -> Option<usize> {
    let available = |i: &usize| hosts.is_available(*i);
    let best = |usable: &dyn Fn(usize) -> bool| {
        (0..hosts.count())
            .filter(available)
            .filter(|i| usable(*i))
            .min_by(|a, b| score(*a).total_cmp(&score(*b)))
    };
    best(&|i| !failed(i)).or_else(|| best(&|_| true))
}

#[cfg(test)]
mod tests {
    use super::super::testing::List;
    use super::*;

    #[test]
    fn a_round_of_the_wheel_gives_each_target_its_weight() {
        let hosts = List::of(&[100, 200, 50]);
        let mut wheel = Wheel::new(DrawKey::root(1));
        wheel.refresh(&hosts);
        let mut counts = [0; 3];
        for _ in 0..14 {
            counts[wheel.pick(&hosts).unwrap()] += 1;
        }
        assert_eq!(counts, [4, 8, 2]);
    }

    #[test]
    fn the_wheel_passes_over_what_is_unavailable() {
        let mut hosts = List::equal(3);
        hosts.unavailable = vec![1];
        let mut wheel = Wheel::new(DrawKey::root(1));
        wheel.refresh(&hosts);
        assert!((0..9).all(|_| wheel.pick(&hosts) != Some(1)));
        hosts.unavailable = vec![0, 1, 2];
        assert_eq!(wheel.pick(&hosts), None);
    }

    #[test]
    fn least_connections_weighs_and_avoids_what_failed() {
        let mut hosts = List::of(&[1, 2, 1]);
        hosts.active = vec![0, 2, 5];
        assert_eq!(least_connections(&hosts, |_| false), Some(0));
        assert_eq!(least_connections(&hosts, |i| i == 0), Some(1));
        assert_eq!(
            least_connections(&hosts, |_| true),
            Some(0),
            "failed ones are better than none"
        );
    }

    #[test]
    fn latency_takes_the_fastest_by_weight_and_avoids_what_failed() {
        let mut hosts = List::of(&[100, 100, 10]);
        hosts.latency = vec![0.5, 0.1, 0.04];
        assert_eq!(latency(&hosts, |_| false), Some(1));
        assert_eq!(
            latency(&hosts, |i| i == 1),
            Some(2),
            "0.04 / 10 < 0.5 / 100"
        );
        hosts.unavailable = vec![0, 1];
        assert_eq!(latency(&hosts, |_| true), Some(2));
        hosts.unavailable = vec![0, 1, 2];
        assert_eq!(latency(&hosts, |_| false), None);
    }
}
