//! The practical limit: a hand-written loop for a chain of calls, over a heap and one FIFO lane of timers.
//!
//! Nothing is modelled but queues, service times, timeouts and retries: no proxy, no connections, no network, no records. What
//! the simulator costs over this is what all of those cost.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// Services in the chain.
pub const HOPS: u8 = 5;
/// Requests that a service works on at once.
pub const SLOTS: u32 = 4;
/// Mean service time, in nanoseconds.
pub const SERVICE_NANOS: f64 = 10e6;
/// Mean time between requests, in nanoseconds: 280/s, 70 % of what a service manages.
pub const BETWEEN_NANOS: f64 = 1e9 / 280.0;
/// Bound of every try of every call.
pub const TIMEOUT_NANOS: u64 = 1_000_000_000;
/// Tries of a call after its first.
pub const RETRIES: u8 = 2;
/// A first back-off stays below this; the next below its double.
pub const BACKOFF_NANOS: f64 = 25e6;

/// What became of a run.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Outcome {
    /// Requests answered.
    pub done: u64,
    /// Requests given up.
    pub failed: u64,
    /// Tries after the first, at all hops.
    pub retries: u64,
    /// Events taken off the queue.
    pub events: u64,
    /// Sum of the times from a request to its answer, in nanoseconds.
    pub sojourn_nanos: u64,
}

impl Outcome {
    /// Mean time from a request to its answer, in milliseconds.
    #[must_use]
    pub fn mean_millis(&self) -> f64 {
        self.sojourn_nanos as f64 / self.done.max(1) as f64 / 1e6
    }
}

/// One try of a call; stale once the call has moved on.
#[derive(Clone, Copy, Debug)]
struct Try {
    call: u32,
    generation: u32,
    hop: u8,
}

/// Stands for the client.
const NOBODY: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Call {
    /// The try at the hop before that waits for the answer.
    caller: Try,
    generation: u32,
    tries: u8,
    start: u64,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Arrive,
    Served(Try),
    Again(Try),
}

#[derive(Clone, Copy, Debug)]
struct Event {
    at: u64,
    number: u64,
    what: What,
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}

#[derive(Debug, Default)]
struct Service {
    busy: u32,
    waiting: VecDeque<Try>,
}

/// A run of the chain.
#[derive(Debug)]
struct Chain {
    heap: BinaryHeap<Event>,
    /// All timeouts have one length, so that they lie here in the order in which they are due.
    lane: VecDeque<(u64, u64, Try)>,
    number: u64,
    state: u64,
    calls: Vec<Call>,
    free: Vec<u32>,
    services: [Service; HOPS as usize],
    outcome: Outcome,
}

/// Sends `requests` through the chain and runs it dry.
#[must_use]
pub fn run(requests: u64, seed: u64) -> Outcome {
    let mut chain = Chain {
        heap: BinaryHeap::new(),
        lane: VecDeque::new(),
        number: 0,
        state: seed,
        calls: Vec::new(),
        free: Vec::new(),
        services: Default::default(),
        outcome: Outcome::default(),
    };
    let first = chain.exponential(BETWEEN_NANOS);
    chain.push(first, What::Arrive);
    let mut left = requests;
    while let Some((now, what)) = chain.pop() {
        chain.outcome.events += 1;
        match what {
            Popped::Timer(timed) => chain.timeout(timed, now),
            Popped::Event(What::Arrive) => {
                left -= 1;
                let nobody = Try {
                    call: NOBODY,
                    generation: 0,
                    hop: 0,
                };
                chain.call(nobody, 0, now);
                if left > 0 {
                    let next = now + chain.exponential(BETWEEN_NANOS);
                    chain.push(next, What::Arrive);
                }
            }
            Popped::Event(What::Served(served)) => chain.served(served, now),
            Popped::Event(What::Again(again)) => {
                if chain.is_current(again) {
                    chain.attempt(again, now);
                }
            }
        }
    }
    chain.outcome
}

enum Popped {
    Timer(Try),
    Event(What),
}

impl Chain {
    fn push(&mut self, at: u64, what: What) {
        let number = self.number;
        self.number += 1;
        self.heap.push(Event { at, number, what });
    }

    fn pop(&mut self) -> Option<(u64, Popped)> {
        let timer = self.lane.front().map(|(at, number, _)| (*at, *number));
        let event = self.heap.peek().map(|event| (event.at, event.number));
        let timer_first = match (timer, event) {
            (Some(timer), Some(event)) => timer < event,
            (timer, _) => timer.is_some(),
        };
        if timer_first {
            let (at, _, timed) = self.lane.pop_front()?;
            return Some((at, Popped::Timer(timed)));
        }
        self.heap
            .pop()
            .map(|event| (event.at, Popped::Event(event.what)))
    }

    /// Uniform in (0, 1]. Source: SplitMix64 (Steele, Lea, Flood 2014).
    fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.state;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^= x >> 31;
        ((x >> 11) + 1) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Whole nanoseconds, at least one.
    #[expect(
        clippy::disallowed_methods,
        reason = "the limit is measured with what the platform has; nothing depends on its last digit"
    )]
    fn exponential(&mut self, mean: f64) -> u64 {
        ((-self.unit().ln() * mean) as u64).max(1)
    }

    fn call(&mut self, caller: Try, hop: u8, now: u64) {
        let call = self.free.pop().unwrap_or_else(|| {
            self.calls.push(Call {
                caller,
                generation: 0,
                tries: 0,
                start: now,
            });
            self.calls.len() as u32 - 1
        });
        let entry = &mut self.calls[call as usize];
        entry.caller = caller;
        entry.tries = 0;
        entry.start = now;
        let first = Try {
            call,
            generation: entry.generation,
            hop,
        };
        self.attempt(first, now);
    }

    fn is_current(&self, of: Try) -> bool {
        self.calls[of.call as usize].generation == of.generation
    }

    fn attempt(&mut self, next: Try, now: u64) {
        self.calls[next.call as usize].tries += 1;
        self.lane
            .push_back((now + TIMEOUT_NANOS, self.number, next));
        self.number += 1;
        let service = &mut self.services[usize::from(next.hop)];
        if service.busy < SLOTS {
            service.busy += 1;
            self.serve(next, now);
        } else {
            service.waiting.push_back(next);
        }
    }

    fn serve(&mut self, next: Try, now: u64) {
        let until = now + self.exponential(SERVICE_NANOS);
        self.push(until, What::Served(next));
    }

    fn served(&mut self, served: Try, now: u64) {
        let service = &mut self.services[usize::from(served.hop)];
        match service.waiting.pop_front() {
            Some(next) => self.serve(next, now),
            None => service.busy -= 1,
        }
        if served.hop + 1 < HOPS {
            self.call(served, served.hop + 1, now);
        } else {
            self.respond(served, true, now);
        }
    }

    /// Answers a try, and the callers before it as far as they are done with that.
    fn respond(&mut self, mut to: Try, good: bool, now: u64) {
        while self.is_current(to) {
            if !good && self.retry(to, now) {
                return;
            }
            let call = &mut self.calls[to.call as usize];
            call.generation = call.generation.wrapping_add(1);
            let (caller, start) = (call.caller, call.start);
            self.free.push(to.call);
            if caller.call == NOBODY {
                if good {
                    self.outcome.done += 1;
                    self.outcome.sojourn_nanos += now - start;
                } else {
                    self.outcome.failed += 1;
                }
                return;
            }
            to = caller;
        }
    }

    fn timeout(&mut self, timed: Try, now: u64) {
        if self.is_current(timed) {
            self.respond(timed, false, now);
        }
    }

    /// Whether another try follows.
    fn retry(&mut self, last: Try, now: u64) -> bool {
        let call = &mut self.calls[last.call as usize];
        if call.tries > RETRIES {
            return false;
        }
        call.generation = call.generation.wrapping_add(1);
        let next = Try {
            generation: call.generation,
            ..last
        };
        let longest = BACKOFF_NANOS * f64::from(1_u32 << (call.tries - 1));
        self.outcome.retries += 1;
        let at = now + (self.unit() * longest) as u64;
        self.push(at, What::Again(next));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean sojourn of M/M/c, in milliseconds (Erlang C).
    fn erlang(servers: u32, load: f64, service: f64) -> f64 {
        let term = |k: u32| (1..=k).fold(1.0, |t, i| t * load / f64::from(i));
        let idle: f64 = (0..servers).map(term).sum();
        let full = term(servers) / (1.0 - load / f64::from(servers));
        let waits = full / (idle + full);
        service + waits * service / (f64::from(servers) - load)
    }

    #[test]
    fn the_mean_is_that_of_five_queues_in_a_row() {
        let expected = 5.0 * erlang(SLOTS, 2.8, 10.0);
        assert!((expected - 67.86).abs() < 0.01, "{expected}");
        let outcome = run(200_000, 1);
        let mean = outcome.mean_millis();
        assert_eq!(outcome.done, 200_000);
        assert!(
            (mean / expected - 1.0).abs() < 0.02,
            "{mean} ms, not {expected}"
        );
    }

    #[test]
    fn a_request_is_eleven_events_when_nothing_is_late() {
        let outcome = run(20_000, 2);
        assert_eq!((outcome.retries, outcome.failed), (0, 0));
        assert_eq!(outcome.events, 11 * 20_000);
    }
}
