//! How many retries a cluster may cause, as a share of its requests.

use crate::time::{Duration, Time};
use crate::words::Words;

/// Envoy's retry budget: retries under way may be a share of the requests, and never fewer than a floor.
///
/// It replaces `max_retries`. It limits concurrency, not a rate: what counts is how many retries are under way now.
///
/// Source: Envoy v3 `CircuitBreakers.Thresholds.RetryBudget`, `source/common/upstream/resource_manager_impl.h`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ConcurrencyBudget {
    /// Share of the requests, in percent. Default 20.
    pub percent: f64,
    /// Retries that may always be under way. Default 3.
    pub min_concurrency: u32,
    /// Which requests count: those now active or pending when absent (every release), or those started within this
    /// time (`budget_interval`, envoy#44147). With an interval, keep a [`RequestWindow`].
    pub interval: Option<Duration>,
}

impl ConcurrencyBudget {
    /// 20 %, at least 3, of the requests now active or pending.
    #[must_use]
    pub const fn envoy_v3() -> Self {
        Self {
            percent: 20.0,
            min_concurrency: 3,
            interval: None,
        }
    }

    /// The retries that may be under way when `requests` count: active plus pending ones, or those of the interval.
    #[must_use]
    pub fn limit(&self, requests: u64) -> u64 {
        let share = self.percent / 100.0 * requests as f64;
        (share as u64).max(u64::from(self.min_concurrency))
    }
}

/// Counts the attempts started within an interval, in tenths of it: the last nine tenths and the running one.
///
/// Layout: words 0–9 are the tenths, each with its number since the start above and its attempts below, 32 bits each;
/// word 10 is the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestWindow {
    at: usize,
}

const SLOTS: u64 = 10;

impl RequestWindow {
    /// Length of its block.
    pub const WORDS: usize = SLOTS as usize + 1;

    /// The window whose block starts at `at`.
    #[must_use]
    pub const fn new(at: usize) -> Self {
        Self { at }
    }

    /// Counts tenths from `now`. Without it they count from time zero.
    pub fn start(self, words: &mut impl Words, now: Time) {
        words.clear(self.at, SLOTS as usize);
        words.set_time(self.at + SLOTS as usize, now);
    }

    /// Counts an attempt, first or retry.
    pub fn record(self, words: &mut impl Words, interval: Duration, now: Time) {
        let current = self.tenth(words, interval, now);
        words.update(self.at + (current % SLOTS) as usize, |word| {
            let count = if word >> 32 == current {
                word & 0xFFFF_FFFF
            } else {
                0
            };
            current << 32 | (count + 1).min(0xFFFF_FFFF)
        });
    }

    /// The attempts within the interval.
    pub fn count(self, words: &impl Words, interval: Duration, now: Time) -> u64 {
        let current = self.tenth(words, interval, now);
        (0..SLOTS as usize)
            .map(|i| words.get(self.at + i))
            .filter(|word| current.saturating_sub(word >> 32) < SLOTS)
            .map(|word| word & 0xFFFF_FFFF)
            .sum()
    }

    fn tenth(self, words: &impl Words, interval: Duration, now: Time) -> u64 {
        let elapsed = now.since(words.time(self.at + SLOTS as usize));
        let tenth = (interval.as_nanos() / SLOTS).max(1);
        (elapsed.as_nanos() / tenth).min(0xFFFF_FFFF)
    }
}

/// Linkerd's retry budget: deposits of the last seconds pay for retries, on top of a reserve.
///
/// Every outcome that is not retriable deposits, every retry withdraws. There is no other limit on attempts.
///
/// Source: tower `retry/budget/tps_budget.rs`; Linkerd `linkerd/app/outbound/src/http/retry.rs` (ServiceProfile).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RateBudget {
    deposit: i64,
    withdrawal: i64,
    reserve: i64,
    slot: Duration,
}

/// Why a budget cannot be.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
pub enum InvalidBudget {
    /// The time to live is outside 1–60 s.
    #[error("a retry budget's ttl must lie between 1s and 60s, not {0}")]
    Ttl(Duration),
    /// The ratio is outside 0–1000.
    #[error("a retry budget's ratio must lie between 0 and 1000, not {0}")]
    Ratio(f32),
}

impl RateBudget {
    /// `ratio` retries per outcome that is not retried, plus `min_per_second`, over the last `ttl`.
    ///
    /// # Errors
    /// When `ttl` or `ratio` is out of range.
    pub fn new(ratio: f32, min_per_second: u32, ttl: Duration) -> Result<Self, InvalidBudget> {
        if ttl < Duration::from_secs(1) || ttl > Duration::from_secs(60) {
            return Err(InvalidBudget::Ttl(ttl));
        }
        if !(0.0..=1000.0).contains(&ratio) {
            return Err(InvalidBudget::Ratio(ratio));
        }
        let (deposit, withdrawal) = if ratio == 0.0 {
            (0, 1)
        } else if ratio <= 1.0 {
            (1, (1.0 / ratio) as i64)
        } else {
            (1000, (1000.0 / ratio) as i64)
        };
        let whole_seconds = (ttl.as_nanos() / 1_000_000_000) as i64;
        let reserve = i64::from(min_per_second)
            .saturating_mul(whole_seconds)
            .saturating_mul(withdrawal);
        Ok(Self {
            deposit,
            withdrawal,
            reserve,
            slot: Duration::from_nanos(ttl.as_nanos() / SLOTS),
        })
    }

    /// Ratio 0.2, 10 per second, 10 s.
    #[must_use]
    pub fn linkerd() -> Self {
        Self::new(0.2, 10, Duration::from_secs(10)).expect("the defaults lie within their ranges")
    }
}

/// The balance of a [`RateBudget`].
///
/// Layout: words 0–9 are the balances of finished slots, word 10 that of the running one (two's complement), word 11
/// the running slot's number modulo 10, word 12 the moment it began.
///
/// A slot ends with the first use after a tenth of the ttl has passed, and the next begins then. A use that comes later
/// than that to the nanosecond skips a slot, so under steady traffic tower's history is only half the ttl; so is ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Balance {
    at: usize,
}

const RUNNING: usize = SLOTS as usize;
const NUMBER: usize = RUNNING + 1;
const BEGAN: usize = RUNNING + 2;

impl Balance {
    /// Length of its block.
    pub const WORDS: usize = BEGAN + 1;

    /// The balance whose block starts at `at`.
    #[must_use]
    pub const fn new(at: usize) -> Self {
        Self { at }
    }

    /// Begins the first slot at `now`. Without it it begins at time zero.
    pub fn start(self, words: &mut impl Words, now: Time) {
        words.clear(self.at, BEGAN);
        words.set_time(self.at + BEGAN, now);
    }

    /// Counts an outcome that is not retried because it need not be.
    pub fn deposit(self, words: &mut impl Words, budget: &RateBudget, now: Time) {
        self.roll(words, budget, now);
        words.add(self.at + RUNNING, budget.deposit as u64);
    }

    /// Pays for one retry if the balance allows it.
    #[must_use]
    pub fn withdraw(self, words: &mut impl Words, budget: &RateBudget, now: Time) -> bool {
        self.roll(words, budget, now);
        let finished = (0..RUNNING)
            .map(|i| words.get(self.at + i) as i64)
            .fold(budget.reserve, i64::saturating_add);
        let affordable =
            |running: u64| finished.saturating_add(running as i64) >= budget.withdrawal;
        let (before, _) = words.update(self.at + RUNNING, |running| {
            if affordable(running) {
                running.wrapping_sub(budget.withdrawal as u64)
            } else {
                running
            }
        });
        affordable(before)
    }

    /// Ends the running slot if its time is over, and clears those in which nothing happened.
    fn roll(self, words: &mut impl Words, budget: &RateBudget, now: Time) {
        let began = words.time(self.at + BEGAN);
        let elapsed = now.since(began).as_nanos();
        let slot = budget.slot.as_nanos();
        if elapsed < slot || !words.replace_if(self.at + BEGAN, began.as_nanos(), now.as_nanos()) {
            return;
        }
        let number = words.get(self.at + NUMBER);
        let (balance, _) = words.update(self.at + RUNNING, |_| 0);
        words.set(self.at + number as usize, balance);
        // whole slots passed after the running one, the last of them still running
        let skipped = elapsed.div_ceil(slot) - 1;
        for i in 0..skipped.min(SLOTS) {
            words.set(self.at + ((number + 1 + i) % SLOTS) as usize, 0);
        }
        words.set(self.at + NUMBER, (number + 1 + skipped) % SLOTS);
    }
}

#[cfg(test)]
mod tests;
