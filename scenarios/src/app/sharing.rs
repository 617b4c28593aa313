//! Servers shared equally by every job: a replica's cores, or all of a replica under processor sharing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proxy_core::time::{Duration, Time};

use super::slab::Key;

#[cfg(test)]
mod tests;

/// `servers` servers and any number of jobs, each running at rate min(1, servers / jobs).
///
/// Kept in virtual service time: what a job that was there from the start would have got. A job ends when that has grown
/// by its work, so arrivals and departures cost O(log n), whatever the number of jobs.
#[derive(Clone, Debug)]
pub(super) struct Sharing {
    servers: f64,
    /// How fast a server serves: 1, less under a slow fault, 0 while the process is frozen.
    speed: f64,
    /// Virtual service time in nanoseconds, at `at`.
    served: f64,
    at: Time,
    jobs: usize,
    next_number: u64,
    ends: BinaryHeap<Reverse<End>>,
    /// When the armed timer fires; [`Time::MAX`]: none armed.
    armed: Time,
}

#[derive(Clone, Copy, Debug)]
struct End {
    served: f64,
    number: u64,
    job: Key,
}

/// Nanoseconds that rounding may leave; without it an end could be missed by the timer that was set for it.
const SLACK: f64 = 1e-3;

impl PartialEq for End {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for End {}

impl PartialOrd for End {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for End {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        let by_time = self.served.total_cmp(&other.served);
        by_time.then(self.number.cmp(&other.number))
    }
}

impl Sharing {
    pub(super) fn new(servers: f64) -> Self {
        Self {
            servers,
            speed: 1.0,
            served: 0.0,
            at: Time::ZERO,
            jobs: 0,
            next_number: 0,
            ends: BinaryHeap::new(),
            armed: Time::MAX,
        }
    }

    fn rate(&self) -> f64 {
        if self.jobs == 0 {
            0.0
        } else {
            (self.servers / self.jobs as f64).min(1.0) * self.speed
        }
    }

    fn advance(&mut self, now: Time) {
        self.served += self.rate() * now.since(self.at).as_nanos() as f64;
        self.at = now;
    }

    pub(super) fn add(&mut self, now: Time, job: Key, work: Duration) {
        self.advance(now);
        if self.jobs == 0 {
            self.served = 0.0; // keeps the sum small, so that it stays exact
            self.ends.clear();
        }
        self.jobs += 1;
        let number = self.next_number;
        self.next_number += 1;
        let served = self.served + work.as_nanos() as f64;
        self.ends.push(Reverse(End {
            served,
            number,
            job,
        }));
    }

    /// Takes away a job that has not ended; its entry is skipped later, by `is_live`.
    pub(super) fn remove(&mut self, now: Time) {
        self.advance(now);
        self.jobs -= 1;
    }

    pub(super) fn set(&mut self, now: Time, servers: f64, speed: f64) {
        self.advance(now);
        (self.servers, self.speed) = (servers, speed);
    }

    /// Whether the armed timer is the one that is due.
    pub(super) fn is_due(&mut self, now: Time) -> bool {
        let due = self.armed <= now;
        if due {
            self.armed = Time::MAX;
        }
        due
    }

    pub(super) fn forget_timer(&mut self) {
        self.armed = Time::MAX;
    }

    #[inline]
    pub(super) const fn is_idle(&self) -> bool {
        self.jobs == 0
    }

    /// How many servers are at work.
    pub(super) fn busy(&self) -> f64 {
        self.servers.min(self.jobs as f64)
    }

    /// A job that has had all its work by now, if there is one.
    pub(super) fn finished(&mut self, now: Time, is_live: impl Fn(Key) -> bool) -> Option<Key> {
        self.advance(now);
        while let Some(&Reverse(end)) = self.ends.peek() {
            if !is_live(end.job) {
                self.ends.pop();
                continue;
            }
            if end.served > self.served + SLACK * self.rate().max(1.0) {
                return None;
            }
            self.ends.pop();
            self.jobs -= 1;
            return Some(end.job);
        }
        None
    }

    /// When a timer has to be armed so that the next end is not missed; none: one that is early enough is armed already.
    ///
    /// One that became too early because others joined is left to fire: it costs less than arming another at each arrival.
    pub(super) fn rearm(&mut self, is_live: impl Fn(Key) -> bool) -> Option<Time> {
        let end = self.next_end(is_live)?;
        (end < self.armed).then(|| {
            self.armed = end;
            end
        })
    }

    /// When the next job ends if nothing changes; none: nothing runs.
    fn next_end(&mut self, is_live: impl Fn(Key) -> bool) -> Option<Time> {
        while let Some(Reverse(end)) = self.ends.peek() {
            if is_live(end.job) {
                break;
            }
            self.ends.pop();
        }
        let Reverse(end) = self.ends.peek()?;
        let rate = self.rate();
        (rate > 0.0).then(|| {
            let left = ((end.served - self.served) / rate).max(0.0);
            self.at + Duration::from_nanos(libm::ceil(left - SLACK) as u64)
        })
    }
}
