//! Traefik's `wrr`, `p2c`, `leasttime` and `hrw`.
//!
//! Departs: Traefik has one balancer for all requests of a process, here each worker has its own.

use crate::draw::{DrawKey, Purpose};
use crate::time::Duration;
use crate::words::Words;

use super::Hosts;

/// Deadlines of candidates, of which the earliest is next.
///
/// Source: traefik 3.7 `pkg/server/service/loadbalancer/wrr/wrr.go` (`nextServer`), `leasttime/leasttime.go` (`selectWRR`).
#[derive(Clone, Debug)]
struct Deadlines {
    /// Weight and key of each candidate, to know when they are others.
    known: Vec<(u32, Box<str>)>,
    /// Candidates in an order that is drawn when they change, each with its deadline.
    order: Vec<(usize, f64)>,
}

impl Deadlines {
    const fn new() -> Self {
        Self {
            known: Vec::new(),
            order: Vec::new(),
        }
    }

    /// Begins anew if the candidates are others. `staggered`: each begins after the one before it.
    fn refresh(&mut self, hosts: &impl Hosts, key: DrawKey, staggered: bool) {
        let count = hosts.count();
        let same = |(i, (weight, key)): (usize, &(u32, Box<str>))| {
            *weight == hosts.weight(i) && **key == *hosts.key(i)
        };
        if self.known.len() == count && self.known.iter().enumerate().all(same) {
            return;
        }
        let of = |i| (hosts.weight(i), hosts.key(i).into());
        self.known = (0..count).map(of).collect();
        let mut order: Vec<usize> = (0..count).collect();
        for i in (1..order.len()).rev() {
            let j = key.below(Purpose::RotationStart, i as u32, i as u64 + 1);
            order.swap(i, j as usize);
        }
        let mut last = 0.0;
        let begin = |i: usize| {
            let deadline = if staggered { last } else { 0.0 } + self.step(i);
            last = deadline;
            (i, deadline)
        };
        let order = order.into_iter().map(begin).collect();
        self.order = order;
    }

    fn step(&self, i: usize) -> f64 {
        let weight = self.known.get(i).map_or(1, |(weight, _)| *weight);
        1.0 / f64::from(weight.max(1))
    }

    /// The candidate whose deadline is the earliest of those that may be picked; it is set its next one.
    fn pick(&mut self, may: impl Fn(usize) -> bool) -> Option<(usize, f64)> {
        let mut best: Option<(usize, f64)> = None;
        for (at, (i, deadline)) in self.order.iter().enumerate() {
            if may(*i) && best.is_none_or(|(_, earliest)| *deadline < earliest) {
                best = Some((at, *deadline));
            }
        }
        let (at, deadline) = best?;
        let i = self.order[at].0;
        self.order[at].1 = deadline + self.step(i);
        Some((i, deadline))
    }

    /// Lets the turns of those pass by that could not be picked.
    fn pass(&mut self, deadline: f64, passed: impl Fn(usize) -> bool) {
        for at in 0..self.order.len() {
            let (i, own) = self.order[at];
            if own <= deadline && passed(i) {
                let step = self.step(i);
                let turns = libm::floor((deadline - own) / step) + 1.0;
                self.order[at].1 = own + turns * step;
            }
        }
    }
}

/// `wrr`: the earliest deadline first. Those that are not well have their turns, and are passed over.
#[derive(Clone, Debug)]
pub struct Turns {
    key: DrawKey,
    deadlines: Deadlines,
}

impl Turns {
    /// Turns whose order `key` draws.
    #[must_use]
    pub const fn new(key: DrawKey) -> Self {
        Self {
            key,
            deadlines: Deadlines::new(),
        }
    }

    /// Adapts to changed candidates.
    pub fn refresh(&mut self, hosts: &impl Hosts) {
        self.deadlines.refresh(hosts, self.key, false);
    }

    /// The available candidate whose turn it is.
    pub fn pick(&mut self, hosts: &impl Hosts) -> Option<usize> {
        let (picked, deadline) = self.deadlines.pick(|i| hosts.is_available(i))?;
        self.deadlines.pass(deadline, |i| !hosts.is_available(i));
        Some(picked)
    }
}

/// `p2c`: two random candidates, different ones where there are two; the fewer requests under way win, the first drawn a tie. Weights have no
/// say.
///
/// Source: traefik 3.7 `pkg/server/service/loadbalancer/p2c/p2c.go`: the second is drawn as the first, and moves on by one if it is the same.
#[must_use]
pub fn two_choices(hosts: &impl Hosts, key: DrawKey) -> Option<usize> {
    let count = hosts.count() as u64;
    if count < 2 {
        return (count == 1).then_some(0);
    }
    let first = key.below(Purpose::Endpoint, 0, count);
    let second = match key.below(Purpose::Endpoint, 1, count) {
        same if same == first => (same + 1) % count,
        other => other,
    };
    let (first, second) = (first as usize, second as usize);
    let fewer = hosts.active(second) < hosts.active(first);
    Some(if fewer { second } else { first })
}

/// `leasttime`: the lowest mean response time × (requests under way + 1) / weight of all; those of one score take turns. A candidate that was
/// never measured has a score of 0, however many requests are under way to it.
///
/// Source: traefik 3.7 `pkg/server/service/loadbalancer/leasttime/leasttime.go`.
#[derive(Clone, Debug)]
pub struct LeastTime {
    key: DrawKey,
    turns: Deadlines,
}

impl LeastTime {
    /// A balancer whose order of turns `key` draws.
    #[must_use]
    pub const fn new(key: DrawKey) -> Self {
        Self {
            key,
            turns: Deadlines::new(),
        }
    }

    /// Adapts to changed candidates.
    pub fn refresh(&mut self, hosts: &impl Hosts) {
        self.turns.refresh(hosts, self.key, true);
    }

    /// The candidate of the lowest score.
    pub fn pick(&mut self, hosts: &impl Hosts) -> Option<usize> {
        let score = |i: usize| {
            let busy = (hosts.active(i) + 1) as f64;
            hosts.latency(i) * busy / f64::from(hosts.weight(i).max(1))
        };
        let lowest = (0..hosts.count()).map(score).min_by(f64::total_cmp)?;
        let mut alike = (0..hosts.count()).filter(|i| score(*i) == lowest);
        match (alike.next(), alike.next()) {
            (only, None) => only,
            _ => self.turns.pick(|i| score(i) == lowest).map(|(i, _)| i),
        }
    }
}

/// The mean of the latest response times, in whole milliseconds each.
///
/// Layout: word 0 is how many there were, word 1 the sum of those that are kept, then the latest 100.
///
/// Source: traefik 3.7 `leasttime.go` (`updateResponseTime`, `getAvgResponseTime`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LatestTimes {
    at: usize,
}

/// Response times that are kept.
const KEPT: u64 = 100;

impl LatestTimes {
    /// Length of its block.
    pub const WORDS: usize = 2 + KEPT as usize;

    /// Those whose block starts at `at`.
    #[must_use]
    pub const fn new(at: usize) -> Self {
        Self { at }
    }

    /// Takes one in: from the choice of the endpoint to the first byte of its answer.
    pub fn add(self, words: &mut impl Words, took: Duration) {
        let millis = took.as_millis();
        let number = words.add(self.at, 1) - 1;
        let slot = self.at + 2 + (number % KEPT) as usize;
        let (old, _) = words.update(slot, |_| millis);
        words.add(self.at + 1, millis.wrapping_sub(old));
    }

    /// Their mean in milliseconds; 0 where there are none.
    #[must_use]
    pub fn mean(self, words: &impl Words) -> f64 {
        match words.get(self.at).min(KEPT) {
            0 => 0.0,
            count => words.get(self.at + 1) as f64 / count as f64,
        }
    }
}

/// `hrw`: the highest score of request and candidate, so that a candidate that goes takes no others' requests with it.
///
/// Source: traefik 3.7 `pkg/server/service/loadbalancer/hrw/hrw.go` (`getNodeScore`): −weight / ln(FNV-1a of client and server, between 0 and 1).
/// Departs: the hash of the client is the request's own, and a server is called by its address, not by a hash of its URL: which client has which
/// server differs from Traefik, how many have it does not.
#[must_use]
pub fn rendezvous(hosts: &impl Hosts, hash: u64) -> Option<usize> {
    let score = |i: usize| {
        let name = hosts.key(i).bytes();
        let hash = name.fold(hash, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
        });
        // FNV leaves neighbours' high bits alike
        let unit = (spread(hash) >> 11) as f64 / (1_u64 << 53) as f64;
        -f64::from(hosts.weight(i)) / libm::log(unit)
    };
    (0..hosts.count())
        .rev()
        .max_by(|a, b| score(*a).total_cmp(&score(*b)))
}

const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// Stafford's Mix13.
const fn spread(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests;
