//! Traefik's passive health check: an endpoint that has failed so often of late is left out for a time.
//!
//! Source: traefik 3.7 `pkg/healthcheck/healthcheck.go` (`PassiveServiceHealthChecker`). What failed is a request that never reached the
//! endpoint, or an answer of 500 and above; any other answer makes all failures before it be forgotten. There is no cap: all endpoints may be
//! out. Being left out forgets nothing, so that an endpoint whose requests from before go on failing is out again with the first failure after
//! its return.

use crate::time::{Duration, Time};
use crate::words::Words;

/// When an endpoint is left out, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How far back failures count, and how long an endpoint is left out. Default 10 s.
    pub window: Duration,
    /// So many failures. Default 1; 0 counts as 1; more than [`Settings::MOST_FAILURES`] count as so many.
    pub failures: u32,
    /// Whether it is an active check that passes which brings an endpoint back, and not time (Traefik: where there is one).
    pub returned_by_checks: bool,
}

impl Settings {
    /// The most failures that are kept of an endpoint.
    pub const MOST_FAILURES: u32 = 1_024;

    /// One failure in 10 s.
    #[must_use]
    pub const fn traefik() -> Self {
        Self {
            window: Duration::from_secs(10),
            failures: 1,
            returned_by_checks: false,
        }
    }

    fn kept(&self) -> usize {
        self.failures.clamp(1, Self::MOST_FAILURES) as usize
    }

    /// Words of an endpoint's block.
    #[must_use]
    pub fn words(&self) -> usize {
        OWN_WORDS + self.kept()
    }
}

/// Words before the failures.
const OWN_WORDS: usize = 2;

/// The standing of an endpoint.
///
/// Layout: word 0 is 1 while it is left out; word 1 the number of failures so far, modulo what is kept; then when they were (one more), as many
/// as it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    at: usize,
}

impl Standing {
    /// The endpoint whose block starts at `at`.
    #[must_use]
    pub const fn new(at: usize) -> Self {
        Self { at }
    }

    /// Whether requests may go to it.
    pub fn is_available(self, words: &impl Words) -> bool {
        words.get(self.at) == 0
    }

    /// Takes a result in; true: it is left out from now on.
    pub fn on_result(
        self,
        words: &mut impl Words,
        settings: &Settings,
        good: bool,
        now: Time,
    ) -> bool {
        let kept = settings.kept();
        if good {
            words.clear(self.at + OWN_WORDS, kept);
            return false;
        }
        // the one that is overwritten is the oldest of those that it takes, and this one counts too
        let number = words.add(self.at + 1, 1) as usize % kept;
        words.set(self.at + OWN_WORDS + number, now.as_nanos() + 1);
        let counts = |i: usize| {
            let failed = words.get(self.at + OWN_WORDS + i);
            let at = Time::from_nanos(failed.saturating_sub(1));
            failed > 0 && (now.since(at) < settings.window || at == now)
        };
        let all = (0..kept).all(counts);
        all && words.replace_if(self.at, 0, 1)
    }

    /// Its time is over, or an active check passed; true: it had been left out.
    pub fn on_return(self, words: &mut impl Words) -> bool {
        words.replace_if(self.at, 1, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn second(s: u64) -> Time {
        Time::ZERO + Duration::from_secs(s)
    }

    fn settings(failures: u32) -> Settings {
        Settings {
            failures,
            ..Settings::traefik()
        }
    }

    #[test]
    fn so_many_failures_within_the_window_leave_it_out() {
        let three = settings(3);
        let mut words = vec![0; three.words()];
        let mut fail = |s| Standing::new(0).on_result(&mut words, &three, false, second(s));
        assert_eq!([0, 5, 11, 14].map(&mut fail), [false, false, false, true]);
        assert!(!Standing::new(0).is_available(&words));
    }

    #[test]
    fn a_success_makes_failures_be_forgotten() {
        let two = settings(2);
        let mut words = vec![0; two.words()];
        let mut result = |s, good| Standing::new(0).on_result(&mut words, &two, good, second(s));
        let out = [
            result(1, false),
            result(2, true),
            result(3, false),
            result(4, false),
        ];
        assert_eq!(out, [false, false, false, true]);
    }

    #[test]
    fn it_is_left_out_once_and_its_failures_stay() {
        let two = settings(2);
        let mut words = vec![0; two.words()];
        let standing = Standing::new(0);
        let out: Vec<_> = [0, 1, 9]
            .into_iter()
            .map(|s| standing.on_result(&mut words, &two, false, second(s)))
            .collect();
        assert_eq!(out, [false, true, false], "it was out at 9 s");
        assert!(standing.on_return(&mut words) && !standing.on_return(&mut words));
        assert!(
            standing.on_result(&mut words, &two, false, second(11)),
            "with that of 9 s"
        );
    }

    #[test]
    fn the_numbers_are_traefiks() {
        let one = Settings::traefik();
        assert_eq!((one.window, one.failures), (Duration::from_secs(10), 1));
        let mut words = vec![0; one.words()];
        assert!(Standing::new(0).on_result(&mut words, &one, false, second(0)));
        assert_eq!(settings(0).words(), settings(1).words());
        assert_eq!(settings(u32::MAX).words(), settings(1_024).words());
    }

    proptest! {
        #[test]
        fn it_decides_as_a_list_of_failures_does(
            failures in 1_u32..5, results in prop::collection::vec((0_u64..6, prop::bool::weighted(0.2)), 1..80)
        ) {
            let settings = settings(failures);
            let mut words = vec![0; settings.words()];
            let standing = Standing::new(0);
            let (mut list, mut now): (Vec<u64>, _) = (vec![], 0);
            for (gap, good) in results {
                now += gap;
                let _ = standing.on_return(&mut words);
                let out = standing.on_result(&mut words, &settings, good, second(now));
                if good {
                    list.clear();
                } else {
                    list.push(now);
                }
                list.retain(|at| now - at < 10);
                prop_assert_eq!(out, !good && list.len() >= failures as usize);
            }
        }
    }
}
