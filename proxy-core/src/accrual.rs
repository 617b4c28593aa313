//! Linkerd's failure accrual: an endpoint that fails often in a row is left out until a request to it succeeds.
//!
//! Source: linkerd2-proxy `linkerd/app/outbound/src/http/breaker/consecutive_failures.rs` and
//! `linkerd/exp-backoff/src/lib.rs`, linkerd2 `policy-controller/k8s/index/src/outbound/index.rs`.

use crate::draw::{DrawKey, Purpose};
use crate::time::Duration;
use crate::words::Words;

/// When an endpoint is left out, and for how long.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// Failures in a row: 5xx or no answer. Default 7.
    pub max_failures: u32,
    /// The first penalty. Default 1 s. It doubles with each failed probe.
    pub min_penalty: Duration,
    /// The longest. Default 60 s.
    pub max_penalty: Duration,
    /// Up to this share is drawn on top of a penalty. Default 0.5. The seconds and the rest of a penalty are scaled apart
    /// and rounded down, so a penalty of 1 s or 2 s has no jitter at 0.5, one of 4 s has none or a second.
    pub jitter: f64,
}

impl Settings {
    /// 7 failures, 1 s to 60 s, half of it as jitter.
    #[must_use]
    pub const fn linkerd() -> Self {
        Self {
            max_failures: 7,
            min_penalty: Duration::from_secs(1),
            max_penalty: Duration::from_secs(60),
            jitter: 0.5,
        }
    }

    fn penalty(&self, n: u64, key: DrawKey) -> Duration {
        let doubled = 1_u64.checked_shl(n.min(63) as u32).unwrap_or(u64::MAX);
        let base = (self.min_penalty * doubled).min(self.max_penalty);
        let share = key.unit(Purpose::EjectionJitter, 0) * self.jitter;
        let (secs, rest) = (base.as_nanos() / NANOS, base.as_nanos() % NANOS);
        let added = Duration::from_secs((secs as f64 * share) as u64)
            + Duration::from_nanos((rest as f64 * share) as u64);
        (base + added).min(self.max_penalty.max(base))
    }
}

const NANOS: u64 = 1_000_000_000;

/// Whether a response is a success: by its gRPC status where its head has one (failures are unknown, deadline exceeded,
/// internal, unavailable and data loss), else below 500. A gRPC status that comes in trailers is not looked at.
///
/// Source: linkerd2-proxy `linkerd/app/core/src/classify.rs` (`grpc_class`).
#[must_use]
pub const fn is_success(status: u16, grpc: Option<u32>) -> bool {
    match grpc {
        Some(code) => !matches!(code, 2 | 4 | 13 | 14 | 15),
        None => status < 500,
    }
}

/// What happened to an endpoint's standing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It is left out for so long; then one request may try it.
    LeftOut(Duration),
    /// It is in use again.
    Returned,
}

/// The standing of an endpoint.
///
/// Layout: word 0 is 0 in use, 1 left out, 2 on probation, 3 on probation with its one request under way; word 1 is
/// failures in a row; word 2 the number of penalties in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    at: usize,
}

const IN_USE: u64 = 0;
const LEFT_OUT: u64 = 1;
const PROBATION: u64 = 2;
const PROBED: u64 = 3;

impl Standing {
    /// Length of its block.
    pub const WORDS: usize = 3;

    /// The endpoint whose block starts at `at`.
    #[must_use]
    pub const fn new(at: usize) -> Self {
        Self { at }
    }

    /// Whether a request may go to it.
    pub fn is_available(self, words: &impl Words) -> bool {
        matches!(words.get(self.at), IN_USE | PROBATION)
    }

    /// A request goes to it; true: that was the one of its probation, and no more may follow for now.
    pub fn on_request(self, words: &mut impl Words) -> bool {
        words.replace_if(self.at, PROBATION, PROBED)
    }

    /// A penalty is over: one request may try it.
    pub fn on_penalty_over(self, words: &mut impl Words) -> bool {
        words.replace_if(self.at, LEFT_OUT, PROBATION)
    }

    /// Takes a result in. On probation any result decides, also that of a request from before.
    pub fn on_result(
        self,
        words: &mut impl Words,
        settings: &Settings,
        good: bool,
        key: DrawKey,
    ) -> Option<Change> {
        let standing = words.get(self.at);
        if good {
            words.set(self.at + 1, 0);
            if matches!(standing, PROBATION | PROBED) {
                words.set(self.at, IN_USE);
                words.set(self.at + 2, 0);
                return Some(Change::Returned);
            }
            return None;
        }
        match standing {
            IN_USE => {
                if words.add(self.at + 1, 1) < u64::from(settings.max_failures) {
                    return None;
                }
            }
            PROBATION | PROBED => {}
            _ => return None,
        }
        words.set(self.at, LEFT_OUT);
        words.set(self.at + 1, 0);
        let n = words.add(self.at + 2, 1) - 1;
        Some(Change::LeftOut(settings.penalty(n, key)))
    }

    /// The request of a probation ended without a result: another one may try.
    pub fn on_cancelled(self, words: &mut impl Words) -> bool {
        words.replace_if(self.at, PROBED, PROBATION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_jitter() -> Settings {
        Settings {
            jitter: 0.0,
            ..Settings::linkerd()
        }
    }

    #[test]
    fn a_grpc_status_says_more_than_the_http_status() {
        for (status, grpc, success) in [
            (200, None, true),
            (404, None, true),
            (500, None, false),
            (200, Some(0), true),
            (200, Some(5), true),
            (200, Some(14), false),
            (200, Some(2), false),
        ] {
            assert_eq!(is_success(status, grpc), success, "{status} {grpc:?}");
        }
    }

    #[test]
    fn penalties_double_until_a_probe_succeeds() {
        let settings = no_jitter();
        let mut words = vec![0_u64; Standing::WORDS];
        let host = Standing::new(0);
        let key = DrawKey::root(1);
        for _ in 0..6 {
            assert_eq!(host.on_result(&mut words, &settings, false, key), None);
        }
        let mut penalties = Vec::new();
        for _ in 0..8 {
            let Some(Change::LeftOut(penalty)) = host.on_result(&mut words, &settings, false, key)
            else {
                panic!("it is left out");
            };
            penalties.push(penalty.as_millis() / 1000);
            assert!(!host.is_available(&words));
            assert!(host.on_penalty_over(&mut words));
            assert!(host.is_available(&words));
            assert!(host.on_request(&mut words));
            assert!(!host.is_available(&words), "one request alone");
        }
        assert_eq!(penalties, [1, 2, 4, 8, 16, 32, 60, 60]);
        let returned = host.on_result(&mut words, &settings, true, key);
        assert_eq!(returned, Some(Change::Returned));
        assert!(host.is_available(&words));
    }

    #[test]
    fn a_success_begins_the_row_anew_and_late_results_do_not_count() {
        let settings = no_jitter();
        let mut words = vec![0_u64; Standing::WORDS];
        let host = Standing::new(0);
        let key = DrawKey::root(1);
        for good in [false, false, false, false, false, false, true, false, false] {
            assert_eq!(host.on_result(&mut words, &settings, good, key), None);
        }
        for _ in 0..5 {
            host.on_result(&mut words, &settings, false, key);
        }
        assert!(!host.is_available(&words));
        assert_eq!(host.on_result(&mut words, &settings, true, key), None);
        assert!(!host.is_available(&words), "an older request's answer");
    }

    #[test]
    fn on_probation_a_late_result_decides_too() {
        let settings = no_jitter();
        let key = DrawKey::root(1);
        for good in [false, true] {
            let mut words = vec![0_u64; Standing::WORDS];
            let host = Standing::new(0);
            for _ in 0..7 {
                host.on_result(&mut words, &settings, false, key);
            }
            host.on_penalty_over(&mut words);
            let expected = if good {
                Change::Returned
            } else {
                Change::LeftOut(Duration::from_secs(2))
            };
            let change = host.on_result(&mut words, &settings, good, key);
            assert_eq!(change, Some(expected));
            assert_eq!(host.is_available(&words), good);
        }
    }

    #[test]
    fn a_probe_that_is_given_up_makes_room_for_another() {
        let settings = no_jitter();
        let mut words = vec![0_u64; Standing::WORDS];
        let host = Standing::new(0);
        assert!(!host.on_cancelled(&mut words), "in use");
        for _ in 0..7 {
            host.on_result(&mut words, &settings, false, DrawKey::root(1));
        }
        assert!(!host.on_cancelled(&mut words), "left out");
        assert!(host.on_penalty_over(&mut words) && !host.on_penalty_over(&mut words));
        assert!(host.on_request(&mut words) && !host.on_request(&mut words));
        assert!(host.on_cancelled(&mut words) && host.is_available(&words));
    }

    #[test]
    fn jitter_comes_in_whole_seconds_up_to_half_of_the_penalty() {
        let settings = Settings::linkerd();
        for (n, expected) in [
            (0, vec![1_000]),
            (1, vec![2_000]),
            (2, vec![4_000, 5_000]),
            (3, vec![8_000, 9_000, 10_000, 11_000]),
            (6, vec![60_000]),
        ] {
            let drawn = |seed| settings.penalty(n, DrawKey::root(seed)).as_millis();
            let seen: std::collections::BTreeSet<u64> = (0..400).map(drawn).collect();
            assert_eq!(
                seen.into_iter().collect::<Vec<_>>(),
                expected,
                "penalty {n}"
            );
        }
        let halves = Settings {
            min_penalty: Duration::from_millis(500),
            ..settings
        };
        for seed in 0..200 {
            let penalty = halves.penalty(0, DrawKey::root(seed)).as_millis();
            assert!((500..=750).contains(&penalty), "{penalty}");
        }
    }
}
