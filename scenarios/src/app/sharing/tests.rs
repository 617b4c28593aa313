use proptest::prelude::*;

use super::*;
use crate::app::slab::Slab;

/// The slow, obvious version: what every job still has to get.
struct Reference {
    servers: f64,
    speed: f64,
    now: f64,
    left: Vec<(usize, f64)>,
}

impl Reference {
    fn rate(&self) -> f64 {
        (self.servers / self.left.len() as f64).min(1.0) * self.speed
    }

    /// Lets time pass, and tells who ended when.
    fn until(&mut self, end: f64) -> Vec<(usize, f64)> {
        let mut ended = Vec::new();
        while let Some(least) = self.left.iter().map(|(_, left)| *left).reduce(f64::min) {
            let length = least / self.rate();
            if self.now + length > end {
                break;
            }
            self.serve(length);
            let now = self.now;
            self.left.retain(|&(job, left)| {
                let done = left <= 1e-6;
                if done {
                    ended.push((job, now));
                }
                !done
            });
        }
        if end.is_finite() {
            self.serve(end - self.now);
        }
        ended
    }

    fn serve(&mut self, length: f64) {
        let got = length * self.rate();
        self.left.iter_mut().for_each(|(_, left)| *left -= got);
        self.now += length;
    }
}

/// The real one with a driver.
struct Driven {
    sharing: Sharing,
    live: Slab<usize>,
    keys: Vec<Key>,
    armed: Vec<Time>,
    now: Time,
}

impl Driven {
    fn settle(&mut self) {
        let live = &self.live;
        self.armed
            .extend(self.sharing.rearm(|key| live.contains(key)));
    }

    fn until(&mut self, end: Time) -> Vec<(usize, f64)> {
        let mut ended = Vec::new();
        while let Some(next) = self.armed.iter().copied().min().filter(|at| *at <= end) {
            self.armed.retain(|at| *at != next);
            self.now = self.now.max(next);
            if self.sharing.is_due(self.now) {
                let mut done = Vec::new();
                while let Some(key) = {
                    let live = &self.live;
                    self.sharing.finished(self.now, |key| live.contains(key))
                } {
                    done.push(key);
                    let job = self.live.remove(key).unwrap();
                    ended.push((job, self.now.as_nanos() as f64));
                }
            }
            self.settle();
        }
        self.now = end;
        ended
    }
}

#[derive(Clone, Debug)]
enum Happens {
    Joins(u64),
    Leaves(usize),
    Changes(f64, f64),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => (1_u64..2_000_000).prop_map(Happens::Joins),
        1 => any::<usize>().prop_map(Happens::Leaves),
        1 => (0.5_f64..4.0, prop_oneof![Just(1.0), Just(0.1), 0.2_f64..3.0])
            .prop_map(|(servers, speed)| Happens::Changes(servers, speed)),
    ]
}

proptest! {
    #[test]
    fn jobs_end_when_the_obvious_version_says(
        servers in 0.5_f64..4.0,
        events in prop::collection::vec((0_u64..500_000, happens()), 1..60),
    ) {
        let mut slow = Reference { servers, speed: 1.0, now: 0.0, left: Vec::new() };
        let mut fast = Driven {
            sharing: Sharing::new(servers),
            live: Slab::default(),
            keys: Vec::new(),
            armed: Vec::new(),
            now: Time::ZERO,
        };
        let (mut expected, mut ended) = (Vec::new(), Vec::new());
        let mut left_early = Vec::new();
        for (gap, event) in events {
            let now = fast.now + Duration::from_nanos(gap);
            expected.extend(slow.until(now.as_nanos() as f64));
            ended.extend(fast.until(now));
            match event {
                Happens::Joins(work) => {
                    let job = fast.keys.len();
                    slow.left.push((job, work as f64));
                    let key = fast.live.insert(job);
                    fast.keys.push(key);
                    fast.sharing.add(now, key, Duration::from_nanos(work));
                }
                Happens::Leaves(n) if !fast.keys.is_empty() => {
                    let job = n % fast.keys.len();
                    // both must still have it: one that ends this very nanosecond may be gone from one of them
                    let there = slow.left.iter().any(|(j, _)| *j == job);
                    if there && fast.live.remove(fast.keys[job]).is_some() {
                        fast.sharing.remove(now);
                        slow.left.retain(|(j, _)| *j != job);
                        left_early.push(job);
                    }
                }
                Happens::Leaves(_) => {}
                Happens::Changes(servers, speed) => {
                    fast.sharing.set(now, servers, speed);
                    (slow.servers, slow.speed) = (servers, speed);
                }
            }
            fast.settle();
        }
        expected.extend(slow.until(f64::INFINITY));
        ended.extend(fast.until(Time::ZERO + Duration::from_secs(3600)));
        prop_assert_eq!(ended.len() + left_early.len(), fast.keys.len());
        expected.sort_by_key(|(job, _)| *job);
        ended.sort_by_key(|(job, _)| *job);
        prop_assert_eq!(expected.len(), ended.len());
        // each end is up to a nanosecond late and slows the others by as much, at rates that differ up to a hundredfold
        let tolerance = 20.0 * ended.len() as f64 + 100.0;
        for ((job, expected), (same, ended)) in expected.into_iter().zip(ended) {
            prop_assert_eq!(job, same);
            prop_assert!((expected - ended).abs() < tolerance, "{} {} {}", job, expected, ended);
        }
    }
}
