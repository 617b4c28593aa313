//! Traefik's circuit breaker: closed, open and half open, by an expression over the latest results.
//!
//! Results are looked at when they come and at no other time: with no requests nothing happens. What opens it makes it forget what it had
//! measured. While it recovers it lets one of so many pass that the share grows by the time that has passed, to a half and no further;
//! once the time of recovery is over everything passes, unless the expression has held again before.
//!
//! Source: vulcand/oxy 2.2 `cbreaker/cbreaker.go`, `ratio.go`; traefik 3.7 `pkg/middlewares/circuitbreaker/circuit_breaker.go`.

mod expression;
mod metrics;

pub use expression::{CodeRatio, Expression, ExpressionError, ExpressionProblem, Metric};

use metrics::{Metrics, Present};

use crate::config::Breaker;
use crate::time::{Duration, Time};
use crate::words::Words;

/// What became of a breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Change {
    /// The expression held: everything is refused.
    Opened,
    /// Some may pass.
    Recovering,
    /// Everything passes.
    Closed,
}

/// The state of a breaker.
///
/// Layout: word 0 has how it stands (0 closed, 1 open, 2 recovering) below and until when above; word 1 when the expression may be looked at
/// again; word 2 how many have passed while it recovers above and how many have not below, 32 bits each. The measurements follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BreakerState {
    at: usize,
}

const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const RECOVERING: u64 = 2;
const OWN_WORDS: usize = 3;

/// Until when, and how it stands.
const fn standing(how: u64, until: Time) -> u64 {
    until.as_nanos() << 2 | how
}

impl BreakerState {
    /// Length of the block of a breaker with this expression.
    #[must_use]
    pub fn words(expression: &Expression) -> usize {
        OWN_WORDS + Metrics::words(expression)
    }

    /// The breaker whose block starts at `at`.
    #[must_use]
    pub const fn new(at: usize) -> Self {
        Self { at }
    }

    /// Whether a request passes, and what became of the breaker by its coming.
    pub fn admit(
        self,
        words: &mut impl Words,
        settings: &Breaker,
        now: Time,
    ) -> (bool, Option<Change>) {
        let word = words.get(self.at);
        let until = Time::from_nanos(word >> 2);
        match word & 3 {
            OPEN if now < until => (false, None),
            OPEN => {
                let end = now + settings.recovery;
                let mine = words.replace_if(self.at, word, standing(RECOVERING, end));
                if mine {
                    words.set(self.at + 2, 0);
                }
                let passes = self.admit_some(words, settings, end, now);
                (passes, mine.then_some(Change::Recovering))
            }
            RECOVERING if now > until => {
                let mine = words.replace_if(self.at, word, standing(CLOSED, now));
                (true, mine.then_some(Change::Closed))
            }
            RECOVERING => (self.admit_some(words, settings, until, now), None),
            _ => (true, None),
        }
    }

    /// Lets a request pass if that keeps the share below what it may be by now.
    fn admit_some(self, words: &mut impl Words, settings: &Breaker, end: Time, now: Time) -> bool {
        let passed = settings.recovery.as_secs_f64() - end.since(now).as_secs_f64();
        let target = match settings.recovery.as_secs_f64() {
            lasts if lasts > 0.0 => 0.5 * passed / lasts,
            _ => 0.5,
        };
        let mut passes = false;
        words.update(self.at + 2, |word| {
            let (allowed, denied) = (word >> 32, word & LOW);
            let share = (allowed + 1) as f64 / (allowed + 1 + denied) as f64;
            passes = share < target;
            if passes {
                word + (1 << 32)
            } else {
                (word & !LOW) | (denied + 1).min(LOW)
            }
        });
        passes
    }

    /// Takes in how a request went that had passed, and what becomes of the breaker by it. `unix` is the second of the Unix epoch.
    pub fn record(
        self,
        words: &mut impl Words,
        settings: &Breaker,
        (status, took): (u16, Duration),
        now: Time,
        unix: u64,
    ) -> Option<Change> {
        let metrics = Metrics::new(self.at + OWN_WORDS, &settings.expression);
        metrics.record(words, status, took, now, unix);
        let next = words.get(self.at + 1);
        let due = next == 0 || now > Time::from_nanos(next);
        let later = (now + settings.check_period).as_nanos();
        if !due || !words.replace_if(self.at + 1, next, later) {
            return None;
        }
        let word = words.get(self.at);
        let present = Present {
            words: &*words,
            unix,
        };
        if word & 3 == OPEN || !settings.expression.holds(&metrics, &present) {
            return None;
        }
        let open = standing(OPEN, now + settings.fallback);
        words.replace_if(self.at, word, open).then(|| {
            metrics.reset(words, now);
            Change::Opened
        })
    }
}

const LOW: u64 = (1 << 32) - 1;

#[cfg(test)]
mod tests;
