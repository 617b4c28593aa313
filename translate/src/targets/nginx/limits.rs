//! Limits of clients as annotations.

use compare::Area;
use proxy_core::config::{Cidr, ClientOf, Gate, GateKey, GateKind, LocalRateLimit, RateLimit};
use proxy_core::limit::leaky_bucket::LeakyBucket;
use proxy_core::limit::windows::Period;
use proxy_core::time::Duration;

use super::Writer;
use crate::targets::edge::flat::Rule;
use crate::targets::edge::{unsaid, words};

/// Times the limit that a client at rest may send at once, unless it is said otherwise.
const BURST: u32 = 5;
/// The status of refusals.
const STATUS: u16 = 503;

/// A rate in NGINX's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Rate {
    /// Whether it is of a second; else of a minute.
    by_second: bool,
    limit: u64,
}

impl Writer<'_, '_> {
    /// The limits of a rule.
    pub(super) fn limits(&mut self, rule: &Rule<'_>) -> Vec<(&'static str, String)> {
        let mut notes: Vec<(&'static str, String)> = Vec::new();
        if let Some(limit) = &rule.route().rate_limit {
            self.local(rule, limit, &mut notes);
        }
        for gate in &rule.route().gates {
            if gate.status != STATUS {
                let what = format!("{} refuses with {}", unsaid::gate(gate), gate.status);
                let why = "its ConfigMap has the status for all limits";
                self.lose(rule, Area::Limit, gate.origin, what, why, "503");
            }
            match &gate.kind {
                GateKind::Rate { limit, key } => {
                    self.key(rule, gate, key);
                    self.rates(rule, gate, limit, &mut notes);
                }
                GateKind::InFlight { most, key } => {
                    self.key(rule, gate, key);
                    if *most == 0 {
                        let why = "a limit of 0 is none to ingress-nginx";
                        self.lose(
                            rule,
                            Area::Limit,
                            gate.origin,
                            "everything is refused",
                            why,
                            "",
                        );
                    } else {
                        put(&mut notes, "limit-connections", most.to_string());
                    }
                }
                GateKind::Breaker(_) => {
                    let why = "ingress-nginx has no breaker";
                    self.lose(rule, Area::Limit, gate.origin, "a circuit breaker", why, "");
                }
            }
            if !gate.exempt.is_empty() {
                put(&mut notes, "limit-whitelist", blocks(&gate.exempt));
            }
        }
        notes
    }

    fn key(&mut self, rule: &Rule<'_>, gate: &Gate, key: &GateKey) {
        let exact = matches!(
            key,
            GateKey::ClientAddress {
                of: ClientOf::Believed | ClientOf::Connection,
                v6_prefix: None,
            }
        );
        if !exact {
            let why = "ingress-nginx counts by the client's address";
            let what = "requests count together by something else than the address";
            self.lose(
                rule,
                Area::Limit,
                gate.origin,
                what,
                why,
                "by the client's address",
            );
        } else if let GateKey::ClientAddress {
            of: ClientOf::Connection,
            ..
        } = key
        {
            let why = "ingress-nginx believes what its ConfigMap lets it believe";
            let what = "the client is whoever made the connection";
            self.lose(
                rule,
                Area::Limit,
                gate.origin,
                what,
                why,
                "the same, unless its ConfigMap says otherwise",
            );
        }
    }

    fn rates(
        &mut self,
        rule: &Rule<'_>,
        gate: &Gate,
        limit: &RateLimit,
        notes: &mut Vec<(&'static str, String)>,
    ) {
        let (rates, bursts, what) = match limit {
            RateLimit::Leaky(buckets) => {
                let delays = buckets.iter().any(|it| it.delay_after.is_some());
                let rates: Vec<Rate> = buckets.iter().map(leaky).collect();
                let bursts: Vec<u64> = buckets.iter().map(|it| it.burst.into()).collect();
                (
                    rates,
                    bursts,
                    delays.then_some("requests of a burst wait for their time"),
                )
            }
            RateLimit::Delaying(bucket) => {
                let rate = of_rate(bucket.average, bucket.period);
                let bursts = vec![bucket.burst.saturating_sub(1)];
                (
                    vec![rate],
                    bursts,
                    Some("a bucket that holds requests back (Traefik)"),
                )
            }
            RateLimit::Windows(windows) => {
                let each = windows
                    .limits
                    .iter()
                    .filter_map(|(period, most)| match period {
                        Period::Second => Some(Rate {
                            by_second: true,
                            limit: *most,
                        }),
                        Period::Minute => Some(Rate {
                            by_second: false,
                            limit: *most,
                        }),
                        Period::Hour | Period::Day | Period::Month | Period::Year => None,
                    });
                let rates: Vec<Rate> = each.collect();
                let bursts = rates.iter().map(|it| it.limit).collect();
                (rates, bursts, Some("windows of the clock (Kong)"))
            }
        };
        if let Some(what) = what {
            let why = "ingress-nginx has a bucket that leaks, by the second or by the minute";
            self.lose(
                rule,
                Area::Limit,
                gate.origin,
                what,
                why,
                "`limit-rps`, `limit-rpm`",
            );
        }
        if rates.is_empty() {
            return;
        }
        for rate in &rates {
            let name = if rate.by_second {
                "limit-rps"
            } else {
                "limit-rpm"
            };
            put(notes, name, rate.limit.max(1).to_string());
        }
        self.burst(rule, gate, &rates, &bursts, notes);
    }

    /// One multiplier serves all rates of an Ingress.
    fn burst(
        &mut self,
        rule: &Rule<'_>,
        gate: &Gate,
        rates: &[Rate],
        bursts: &[u64],
        notes: &mut Vec<(&'static str, String)>,
    ) {
        let times = |(rate, burst): (&Rate, &u64)| burst.div_ceil(rate.limit.max(1)).max(1);
        let multiplier = rates
            .iter()
            .zip(bursts)
            .map(times)
            .max()
            .unwrap_or_else(|| BURST.into());
        let exact = rates
            .iter()
            .zip(bursts)
            .all(|(rate, burst)| rate.limit.saturating_mul(multiplier) == *burst);
        if multiplier != u64::from(BURST) {
            put(notes, "limit-burst-multiplier", multiplier.to_string());
        }
        if !exact {
            let each: Vec<String> = bursts.iter().map(u64::to_string).collect();
            let what = format!("so many more may come at once: {}", each.join(", "));
            let why = "a burst of ingress-nginx is so many times the limit";
            let nearest = format!("{multiplier} times the limit");
            self.lose(rule, Area::Limit, gate.origin, what, why, &nearest);
        }
    }

    fn local(
        &mut self,
        rule: &Rule<'_>,
        limit: &LocalRateLimit,
        notes: &mut Vec<(&'static str, String)>,
    ) {
        let bucket = limit.bucket;
        let what = format!(
            "{} requests at once, {} more every {}, all together",
            bucket.max_tokens,
            bucket.tokens_per_fill,
            words::length(bucket.fill_interval)
        );
        let why = "ingress-nginx counts each client for itself, in a bucket that leaks";
        self.lose(
            rule,
            Area::Limit,
            limit.origin,
            what,
            why,
            "as many for each client",
        );
        let rate = of_rate(bucket.tokens_per_fill.into(), bucket.fill_interval);
        let name = if rate.by_second {
            "limit-rps"
        } else {
            "limit-rpm"
        };
        put(notes, name, rate.limit.max(1).to_string());
        let burst = u64::from(bucket.max_tokens.saturating_sub(1));
        let multiplier = burst.div_ceil(rate.limit.max(1)).max(1);
        if multiplier != u64::from(BURST) {
            put(notes, "limit-burst-multiplier", multiplier.to_string());
        }
    }
}

/// The first of a name stays.
fn put(notes: &mut Vec<(&'static str, String)>, name: &'static str, value: String) {
    if notes.iter().all(|(known, _)| *known != name) {
        notes.push((name, value));
    }
}

/// A bucket that leaks by the second, or by the minute where thousandths of a request a second were rounded down.
fn leaky(bucket: &LeakyBucket) -> Rate {
    if bucket.leaks.is_multiple_of(1_000) {
        return Rate {
            by_second: true,
            limit: bucket.leaks / 1_000,
        };
    }
    Rate {
        by_second: false,
        limit: (bucket.leaks * 60).div_ceil(1_000),
    }
}

/// So many in a time: by the second where that is a whole number.
fn of_rate(number: u64, time: Duration) -> Rate {
    let nanos = u128::from(time.as_nanos().max(1));
    let in_second = u128::from(number) * 1_000_000_000;
    if in_second.is_multiple_of(nanos) {
        let limit = u64::try_from(in_second / nanos).unwrap_or(u64::MAX);
        return Rate {
            by_second: true,
            limit,
        };
    }
    let limit = (in_second * 60).div_ceil(nanos);
    Rate {
        by_second: false,
        limit: u64::try_from(limit).unwrap_or(u64::MAX),
    }
}

fn blocks(all: &[Cidr]) -> String {
    let each = all.iter().map(|it| format!("{}/{}", it.address, it.bits));
    each.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_a_second_or_of_a_minute() {
        let second = |limit| Rate {
            by_second: true,
            limit,
        };
        let minute = |limit| Rate {
            by_second: false,
            limit,
        };
        assert_eq!(leaky(&LeakyBucket::per_second(10, 50)), second(10));
        assert_eq!(leaky(&LeakyBucket::per_minute(90, 450)), minute(90));
        assert_eq!(of_rate(100, Duration::from_secs(1)), second(100));
        assert_eq!(of_rate(1, Duration::from_secs(2)), minute(30));
        assert_eq!(of_rate(60, Duration::from_secs(60)), second(1));
        assert_eq!(of_rate(30, Duration::from_secs(60)), minute(30));
    }
}
