//! Envoy's outlier detection: endpoints that fail are taken out for a time.
//!
//! Consecutive failures are judged with each result ([`Settings::on_result`]); success rates and failure shares, and the
//! end of an ejection, only in the sweep of every interval ([`Settings::sweep`]).
//!
//! Source: Envoy v3 `cluster.v3.OutlierDetection`, `source/common/upstream/outlier_detection_impl.cc`.

use crate::config::Share;
use crate::draw::{DrawKey, Purpose};
use crate::event::EjectionReason;
use crate::time::{Duration, Time};
use crate::words::Words;

/// How endpoints are judged. Counts of 0 switch their rule off.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// 5xx in a row.
    pub consecutive_5xx: u32,
    /// Share of due ejections of that kind that happen.
    pub enforcing_consecutive_5xx: Share,
    /// 502, 503 and 504 in a row.
    pub consecutive_gateway_failure: u32,
    /// See above.
    pub enforcing_consecutive_gateway_failure: Share,
    /// Whether failures of this proxy's own (no connection, timeout, reset) are judged apart from answers.
    pub split_local_origin: bool,
    /// Local failures in a row, where they are judged apart.
    pub consecutive_local_origin_failure: u32,
    /// See above.
    pub enforcing_consecutive_local_origin: Share,
    /// How often the sweep comes.
    pub interval: Duration,
    /// Length of a first ejection; the n-th in a row is n times as long.
    pub base_ejection_time: Duration,
    /// The longest.
    pub max_ejection_time: Duration,
    /// Drawn on top of each ejection.
    pub max_ejection_jitter: Duration,
    /// Share of endpoints that may be out at once.
    pub max_ejection_share: Share,
    /// Whether one may always be out.
    pub always_eject_one: bool,
    /// Success rate below mean − factor × deviation.
    pub success_rate: RateRule,
    /// Factor × 1000.
    pub success_rate_stdev_factor: u32,
    /// Share of due ejections by local-origin success rate that happen.
    pub enforcing_local_origin_success_rate: Share,
    /// Too large a share of failures.
    pub failure_percentage: RateRule,
    /// From this percentage on.
    pub failure_percentage_threshold: u32,
    /// Share of due ejections by local-origin failure percentage that happen.
    pub enforcing_failure_percentage_local_origin: Share,
    /// Whether a passing active health check ends an ejection.
    pub health_check_returns: bool,
}

/// When a rule over rates applies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateRule {
    /// Share of due ejections that happen.
    pub enforcing: Share,
    /// Endpoints with enough requests that it takes.
    pub minimum_hosts: u32,
    /// Requests in an interval that make an endpoint count.
    pub request_volume: u32,
}

impl Settings {
    /// What an empty `OutlierDetection` message means.
    #[must_use]
    pub const fn envoy_v3() -> Self {
        Self {
            consecutive_5xx: 5,
            enforcing_consecutive_5xx: Share::ALL,
            consecutive_gateway_failure: 5,
            enforcing_consecutive_gateway_failure: Share::ZERO,
            split_local_origin: false,
            consecutive_local_origin_failure: 5,
            enforcing_consecutive_local_origin: Share::ALL,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_jitter: Duration::ZERO,
            max_ejection_share: Share::from_ppm(100_000),
            always_eject_one: false,
            success_rate: RateRule {
                enforcing: Share::ALL,
                minimum_hosts: 5,
                request_volume: 100,
            },
            success_rate_stdev_factor: 1900,
            enforcing_local_origin_success_rate: Share::ALL,
            failure_percentage: RateRule {
                enforcing: Share::ZERO,
                minimum_hosts: 5,
                request_volume: 50,
            },
            failure_percentage_threshold: 85,
            enforcing_failure_percentage_local_origin: Share::ZERO,
            health_check_returns: true,
        }
    }
}

/// One result of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It answered with this status; gRPC statuses are mapped to HTTP before.
    Answered(u16),
    /// A connection to it stood: only judged where local failures are judged apart.
    Connected,
    /// It gave no answer: no connection, reset.
    LocalFailure,
    /// It gave no answer in time.
    Timeout,
}

/// What an endpoint's block is for.
///
/// Layout: word 0 is 1 while it is out; 1 when that began; 2 how long it lasts; 3 the multiplier; 4 to 6 failures in a
/// row (5xx, gateway, local); 7 and 8 successes and all of this interval, 9 and 10 the same of local origin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host {
    at: usize,
}

const OUT: usize = 0;
const BEGAN: usize = 1;
const LASTS: usize = 2;
const MULTIPLIER: usize = 3;
const SERVER: usize = 4;
const GATEWAY: usize = 5;
const LOCAL: usize = 6;
const EXTERNAL_RATE: usize = 7;
const LOCAL_RATE: usize = 9;

impl Host {
    /// Length of its block.
    pub const WORDS: usize = 11;

    /// The endpoint whose block starts at `at`.
    #[must_use]
    pub const fn new(at: usize) -> Self {
        Self { at }
    }

    /// Whether it is out.
    pub fn is_ejected(self, words: &impl Words) -> bool {
        words.get(self.at + OUT) == 1
    }

    fn count(self, words: &mut impl Words, rate: usize, good: bool) {
        words.add(self.at + rate, u64::from(good));
        words.add(self.at + rate + 1, 1);
    }

    /// Whether this failure is the `threshold`-th in a row; the row begins anew then.
    fn another(self, words: &mut impl Words, row: usize, threshold: u32) -> bool {
        let threshold = u64::from(threshold);
        if threshold == 0 {
            return false;
        }
        let (before, _) = words.update(
            self.at + row,
            |n| if n + 1 >= threshold { 0 } else { n + 1 },
        );
        before + 1 >= threshold
    }

    fn eject(
        self,
        words: &mut impl Words,
        settings: &Settings,
        key: DrawKey,
        now: Time,
    ) -> Duration {
        let max = settings.max_ejection_time.max(settings.base_ejection_time);
        let base = settings.base_ejection_time;
        let multiplier = words.get(self.at + MULTIPLIER);
        let bound = max.as_nanos().saturating_add(base.as_nanos());
        let grown = if multiplier.saturating_mul(base.as_nanos()) < bound {
            multiplier + 1
        } else {
            multiplier
        };
        words.set(self.at + MULTIPLIER, grown);
        let jitter = key.below(
            Purpose::EjectionJitter,
            0,
            settings.max_ejection_jitter.as_millis() + 1,
        );
        let lasts = (base * grown).min(max) + Duration::from_millis(jitter);
        words.set(self.at + OUT, 1);
        words.set_time(self.at + BEGAN, now);
        words.set(self.at + LASTS, lasts.as_nanos());
        lasts
    }

    /// Ends an ejection: the rows of errors answered begin anew, that of local failures goes on.
    pub fn return_now(self, words: &mut impl Words) {
        words.set(self.at + OUT, 0);
        words.set(self.at + SERVER, 0);
        words.set(self.at + GATEWAY, 0);
    }
}

/// How many endpoints are out, and of how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Census {
    /// Out now.
    pub ejected: u32,
    /// All.
    pub hosts: u32,
}

/// What came of a due ejection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is out for so long, rounded up to the next sweep.
    Ejected(Duration),
    /// Too many are out already.
    RefusedByCap,
    /// The enforcement draw was against it.
    RefusedByDraw,
}

/// What a sweep did to an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Swept {
    /// It is back.
    Returned,
    /// It was to be taken out for this reason.
    Due(EjectionReason, Verdict),
}

impl Settings {
    /// Takes a result of `host` in, and tells what came of an ejection that it made due.
    pub fn on_result(
        &self,
        words: &mut impl Words,
        host: Host,
        outcome: Outcome,
        census: Census,
        key: DrawKey,
        now: Time,
    ) -> Option<(EjectionReason, Verdict)> {
        let mut due: [Option<(EjectionReason, Share)>; 2] = [None; 2];
        let mut judge = |words: &mut _, row, threshold, enforcing, reason| {
            if host.another(words, row, threshold) {
                let at = usize::from(due[0].is_some());
                due[at] = Some((reason, enforcing));
            }
        };
        match self.as_judged(outcome)? {
            Judged::Local(good) => {
                host.count(words, LOCAL_RATE, good);
                if good {
                    words.set(host.at + LOCAL, 0);
                } else {
                    judge(
                        words,
                        LOCAL,
                        self.consecutive_local_origin_failure,
                        self.enforcing_consecutive_local_origin,
                        EjectionReason::ConsecutiveLocalOrigin,
                    );
                }
            }
            Judged::External(status) => {
                let bad = status >= 500;
                host.count(words, EXTERNAL_RATE, !bad);
                if matches!(status, 502..=504) {
                    judge(
                        words,
                        GATEWAY,
                        self.consecutive_gateway_failure,
                        self.enforcing_consecutive_gateway_failure,
                        EjectionReason::ConsecutiveGateway,
                    );
                } else {
                    words.set(host.at + GATEWAY, 0);
                }
                if bad {
                    judge(
                        words,
                        SERVER,
                        self.consecutive_5xx,
                        self.enforcing_consecutive_5xx,
                        EjectionReason::Consecutive5xx,
                    );
                } else {
                    words.set(host.at + SERVER, 0);
                }
            }
        }
        let mut last = None;
        for (reason, enforcing) in due.into_iter().flatten() {
            let own = key.child(reason as u64);
            let Some(verdict) = self.try_eject(words, host, enforcing, census, own, now) else {
                continue;
            };
            last = Some((reason, verdict));
            if matches!(verdict, Verdict::Ejected(_)) {
                break;
            }
        }
        last
    }

    /// Whether the next result of this kind may make an ejection due, so that a census is worth its cost.
    pub fn is_due(&self, words: &impl Words, host: Host, outcome: Outcome) -> bool {
        let full = |row: usize, threshold: u32| {
            threshold > 0 && words.get(host.at + row) + 1 >= u64::from(threshold)
        };
        match self.as_judged(outcome) {
            None | Some(Judged::Local(true)) => false,
            Some(Judged::Local(false)) => full(LOCAL, self.consecutive_local_origin_failure),
            Some(Judged::External(status)) => {
                status >= 500
                    && (full(SERVER, self.consecutive_5xx)
                        || full(GATEWAY, self.consecutive_gateway_failure))
            }
        }
    }

    fn as_judged(&self, outcome: Outcome) -> Option<Judged> {
        match (outcome, self.split_local_origin) {
            (Outcome::Answered(status), _) => Some(Judged::External(status)),
            (Outcome::Connected, true) => Some(Judged::Local(true)),
            (Outcome::Connected, false) => None,
            (Outcome::LocalFailure | Outcome::Timeout, true) => Some(Judged::Local(false)),
            (Outcome::LocalFailure, false) => Some(Judged::External(503)),
            (Outcome::Timeout, false) => Some(Judged::External(504)),
        }
    }

    /// Whether one more may be out.
    #[must_use]
    pub const fn has_room(&self, census: Census) -> bool {
        let after = (census.ejected as u64 + 1) * 1_000_000;
        let allowed = self.max_ejection_share.as_ppm() as u64 * census.hosts as u64;
        after <= allowed || self.always_eject_one && census.ejected == 0
    }

    /// None: it is out already.
    fn try_eject(
        &self,
        words: &mut impl Words,
        host: Host,
        enforcing: Share,
        census: Census,
        key: DrawKey,
        now: Time,
    ) -> Option<Verdict> {
        if host.is_ejected(words) {
            return None;
        }
        if !self.has_room(census) {
            return Some(Verdict::RefusedByCap);
        }
        if !key.chance(Purpose::EjectionEnforced, 0, enforcing.as_fraction()) {
            return Some(Verdict::RefusedByDraw);
        }
        Some(Verdict::Ejected(host.eject(words, self, key, now)))
    }

    /// The sweep of an interval: endpoints whose time is over come back, rates are judged, counts begin anew.
    pub fn sweep(
        &self,
        words: &mut impl Words,
        hosts: &[Host],
        key: DrawKey,
        now: Time,
    ) -> Vec<(usize, Swept)> {
        let mut swept = Vec::new();
        for (i, host) in hosts.iter().enumerate() {
            if host.is_ejected(words) {
                let end =
                    words.time(host.at + BEGAN) + Duration::from_nanos(words.get(host.at + LASTS));
                if end <= now {
                    host.return_now(words);
                    swept.push((i, Swept::Returned));
                }
            } else {
                words.take_one(host.at + MULTIPLIER);
            }
        }
        self.judge_rates(words, hosts, EXTERNAL_RATE, key.child(0), now, &mut swept);
        if self.split_local_origin {
            self.judge_rates(words, hosts, LOCAL_RATE, key.child(1), now, &mut swept);
        }
        for host in hosts {
            words.clear(host.at + EXTERNAL_RATE, 4);
        }
        swept
    }

    fn judge_rates(
        &self,
        words: &mut impl Words,
        hosts: &[Host],
        rate: usize,
        key: DrawKey,
        now: Time,
        swept: &mut Vec<(usize, Swept)>,
    ) {
        let external = rate == EXTERNAL_RATE;
        let success_of = |words: &dyn Fn(usize) -> u64, host: &Host, volume: u32| {
            let (good, all) = (words(host.at + rate), words(host.at + rate + 1));
            (all >= u64::from(volume.max(1))).then(|| good as f64 * 100.0 / all as f64)
        };
        let qualified = |words: &_, volume| {
            let get = |i| Words::get(words, i);
            hosts
                .iter()
                .enumerate()
                .filter(|(_, h)| get(h.at + OUT) == 0)
                .filter_map(|(i, h)| Some((i, success_of(&get, h, volume)?)))
                .collect::<Vec<_>>()
        };
        let rule = self.success_rate;
        let enforcing = if external {
            rule.enforcing
        } else {
            self.enforcing_local_origin_success_rate
        };
        let rates = qualified(&*words, rule.request_volume);
        // who is judged by the second rule does not depend on what the first one does
        let by_failures = qualified(&*words, self.failure_percentage.request_volume);
        let mut due: Vec<(usize, EjectionReason, Share)> = Vec::new();
        if !rates.is_empty() && rates.len() >= rule.minimum_hosts as usize {
            let n = rates.len() as f64;
            let mean = rates.iter().map(|(_, r)| r).sum::<f64>() / n;
            let variance = rates
                .iter()
                .map(|(_, r)| (r - mean) * (r - mean))
                .sum::<f64>()
                / n;
            let factor = f64::from(self.success_rate_stdev_factor) / 1000.0;
            let threshold = mean - factor * variance.sqrt();
            let reason = if external {
                EjectionReason::SuccessRate
            } else {
                EjectionReason::LocalOriginSuccessRate
            };
            let below = rates.iter().filter(|(_, r)| *r < threshold);
            due.extend(below.map(|(i, _)| (*i, reason, enforcing)));
        }
        self.eject_due(words, hosts, &due, key.child(0), now, swept);
        due.clear();
        let rule = self.failure_percentage;
        let enforcing = if external {
            rule.enforcing
        } else {
            self.enforcing_failure_percentage_local_origin
        };
        let rates = by_failures;
        if !rates.is_empty() && rates.len() >= rule.minimum_hosts as usize {
            let reason = if external {
                EjectionReason::FailurePercentage
            } else {
                EjectionReason::LocalOriginFailurePercentage
            };
            let threshold = f64::from(self.failure_percentage_threshold);
            let bad = rates.iter().filter(|(_, r)| 100.0 - r >= threshold);
            due.extend(bad.map(|(i, _)| (*i, reason, enforcing)));
        }
        self.eject_due(words, hosts, &due, key.child(1), now, swept);
    }

    fn eject_due(
        &self,
        words: &mut impl Words,
        hosts: &[Host],
        due: &[(usize, EjectionReason, Share)],
        key: DrawKey,
        now: Time,
        swept: &mut Vec<(usize, Swept)>,
    ) {
        for &(i, reason, enforcing) in due {
            let ejected = hosts.iter().filter(|h| h.is_ejected(words)).count() as u32;
            let census = Census {
                ejected,
                hosts: hosts.len() as u32,
            };
            let own = key.child(i as u64);
            if let Some(verdict) = self.try_eject(words, hosts[i], enforcing, census, own, now) {
                swept.push((i, Swept::Due(reason, verdict)));
            }
        }
    }
}

enum Judged {
    External(u16),
    Local(bool),
}

#[cfg(test)]
mod tests;
