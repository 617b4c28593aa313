//! Active health checks: whether an endpoint answers as it should.
//!
//! Source: Envoy v3 `core.v3.HealthCheck`, `source/extensions/health_checkers/common/health_checker_base_impl.cc`.

use crate::draw::{DrawKey, Purpose};
use crate::time::Duration;

/// A check of each endpoint of a cluster.
#[derive(Clone, PartialEq, Debug)]
pub struct Check {
    /// Path asked for; none: a connection is enough.
    pub path: Option<Box<str>>,
    /// Host sent; empty: the cluster's name.
    pub host: Box<str>,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Pause between checks.
    pub interval: Duration,
    /// Drawn on top of it, up to this.
    pub interval_jitter: Duration,
    /// Pause while the endpoint is unhealthy; none: as usual. Envoy's other pauses at the edges of health are not modelled.
    pub unhealthy_interval: Option<Duration>,
    /// Pause while the cluster has had no requests. Envoy: 60 s.
    pub no_traffic_interval: Option<Duration>,
    /// Failures in a row that make an endpoint unhealthy. An unexpected status does so at once.
    pub unhealthy_threshold: u32,
    /// Successes in a row that make it healthy again. The very first success does so at once.
    pub healthy_threshold: u32,
    /// Expected statuses, both ends included; empty: 200.
    pub expected: Vec<(u16, u16)>,
    /// Unexpected statuses that are counted like no answer.
    pub retriable: Vec<(u16, u16)>,
}

/// What one check of one endpoint found so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct State {
    /// Whether it says that the endpoint is healthy.
    pub healthy: bool,
    checked: bool,
    row: u32,
    number: u32,
}

impl Check {
    fn in_ranges(ranges: &[(u16, u16)], status: u16) -> bool {
        ranges
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&status))
    }

    /// Whether an answer of this status is a success.
    #[must_use]
    pub fn expects(&self, status: u16) -> bool {
        if self.expected.is_empty() {
            status == 200
        } else {
            Self::in_ranges(&self.expected, status)
        }
    }

    /// Takes an answer in (none: no answer in time, refused) and tells whether the endpoint's health changed.
    pub fn on_answer(&self, state: &mut State, status: Option<u16>) -> bool {
        let first = !core::mem::replace(&mut state.checked, true);
        let good = status.is_some_and(|s| self.expects(s));
        let before = state.healthy;
        if good == state.healthy {
            state.row = 0;
        } else {
            state.row += 1;
        }
        if good {
            state.healthy |= first || state.row >= self.healthy_threshold;
        } else {
            let at_once = status.is_some_and(|s| !Self::in_ranges(&self.retriable, s));
            state.healthy &= !(at_once || state.row >= self.unhealthy_threshold);
        }
        if state.healthy != before {
            state.row = 0;
        }
        state.healthy != before
    }

    /// The pause until the next check.
    pub fn pause(&self, state: &mut State, traffic: bool, key: DrawKey) -> Duration {
        let by_health = if state.healthy {
            None
        } else {
            self.unhealthy_interval
        };
        let base = if traffic {
            by_health
        } else {
            self.no_traffic_interval.or(by_health)
        }
        .unwrap_or(self.interval);
        state.number += 1;
        base + self
            .interval_jitter
            .scale(key.unit(Purpose::HealthCheckJitter, state.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> Check {
        Check {
            path: Some("/".into()),
            host: "".into(),
            timeout: Duration::from_secs(1),
            interval: Duration::from_secs(5),
            interval_jitter: Duration::from_secs(1),
            unhealthy_interval: None,
            no_traffic_interval: Some(Duration::from_secs(60)),
            unhealthy_threshold: 3,
            healthy_threshold: 2,
            expected: Vec::new(),
            retriable: vec![(503, 503)],
        }
    }

    #[test]
    fn thresholds_count_rows_and_the_first_success_and_bad_statuses_count_at_once() {
        let ok = Some(200);
        for (name, answers, healthy) in [
            ("first success", vec![ok], true),
            ("two timeouts", vec![ok, None, None], true),
            ("three timeouts", vec![ok, None, None, None], false),
            ("a row broken", vec![ok, None, None, ok, None, None], true),
            ("unexpected status", vec![ok, Some(500)], false),
            ("retriable status", vec![ok, Some(503), Some(503)], true),
            ("one success after failure", vec![ok, Some(500), ok], false),
            (
                "two successes after failure",
                vec![ok, Some(500), ok, ok],
                true,
            ),
            ("first failure", vec![None, ok], false),
        ] {
            let mut state = State::default();
            for answer in answers {
                check().on_answer(&mut state, answer);
            }
            assert_eq!(state.healthy, healthy, "{name}");
        }
    }

    #[test]
    fn checks_are_rare_until_there_is_traffic_and_jittered() {
        let mut state = State::default();
        for n in 0..50 {
            let busy = check().pause(&mut state, true, DrawKey::root(n));
            let quiet = check().pause(&mut state, false, DrawKey::root(n));
            assert!((5.0..6.0).contains(&busy.as_secs_f64()));
            assert!((60.0..61.0).contains(&quiet.as_secs_f64()));
        }
    }

    #[test]
    fn the_unhealthy_interval_holds_once_there_is_traffic() {
        let check = Check {
            interval_jitter: Duration::ZERO,
            unhealthy_interval: Some(Duration::from_secs(1)),
            ..check()
        };
        for (healthy, traffic, secs) in [
            (true, true, 5),
            (false, true, 1),
            (true, false, 60),
            (false, false, 60),
        ] {
            let mut state = State {
                healthy,
                ..State::default()
            };
            let pause = check.pause(&mut state, traffic, DrawKey::root(1));
            assert_eq!(pause, Duration::from_secs(secs), "{healthy} {traffic}");
        }
    }

    /// Envoy: `HttpHealthCheck.expected_statuses`, ends included; 200 where there are none.
    #[test]
    fn an_answer_is_good_when_its_status_is_expected() {
        let ranges = Check {
            expected: vec![(200, 299), (404, 404)],
            ..check()
        };
        for (status, by_default, by_ranges) in [
            (199, false, false),
            (200, true, true),
            (299, false, true),
            (300, false, false),
            (404, false, true),
            (503, false, false),
        ] {
            let expects = (check().expects(status), ranges.expects(status));
            assert_eq!(expects, (by_default, by_ranges), "{status}");
        }
    }
}
