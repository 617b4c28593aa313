//! Limits and breakers as middlewares.

use compare::Area;
use proxy_core::config::{
    AbsentKey, Cidr, ClientOf, ForwardedEntry, Gate, GateKey, GateKind, LocalRateLimit, RateLimit,
};
use proxy_core::limit::leaky_bucket::LeakyBucket;
use proxy_core::limit::windows::Period;
use proxy_core::time::Duration;

use super::Writer;
use super::headers::title;
use crate::targets::edge::flat::Rule;
use crate::targets::edge::{unsaid, words};
use crate::yaml::Map;

impl Writer<'_, '_> {
    pub(super) fn gate(&mut self, rule: &Rule<'_>, gate: &Gate) -> Vec<(&'static str, Map)> {
        if !gate.exempt.is_empty() {
            let why = "Traefik's limits are for every client";
            self.lose(
                rule,
                Area::Limit,
                gate.origin,
                "clients that are not counted",
                why,
                "they are",
            );
        }
        let own_status = match &gate.kind {
            GateKind::Rate { .. } | GateKind::InFlight { .. } => 429,
            GateKind::Breaker(_) => gate.status,
        };
        if gate.status != own_status {
            let what = format!("{} refuses with {}", unsaid::gate(gate), gate.status);
            let why = format!("Traefik's refuses with {own_status}");
            self.lose(
                rule,
                Area::Limit,
                gate.origin,
                what,
                why,
                &own_status.to_string(),
            );
        }
        match &gate.kind {
            GateKind::Rate { limit, key } => {
                let key = self.criterion(rule, gate, key, false);
                let all = self.rates(rule, gate, limit);
                let limits = all.into_iter().map(|spec| {
                    let spec = spec.map("sourceCriterion", key.clone());
                    ("rate-limit", Map::new().with("rateLimit", spec))
                });
                limits.collect()
            }
            GateKind::InFlight { most, key } => {
                let key = self.criterion(rule, gate, key, true);
                let spec = Map::new().with("amount", *most).map("sourceCriterion", key);
                vec![("in-flight", Map::new().with("inFlightReq", spec))]
            }
            GateKind::Breaker(breaker) => {
                let mut spec = Map::new().with("expression", breaker.expression.text());
                let lengths = [
                    (
                        "checkPeriod",
                        breaker.check_period,
                        Duration::from_millis(100),
                    ),
                    (
                        "fallbackDuration",
                        breaker.fallback,
                        Duration::from_secs(10),
                    ),
                    (
                        "recoveryDuration",
                        breaker.recovery,
                        Duration::from_secs(10),
                    ),
                ];
                for (key, value, own) in lengths {
                    if value != own {
                        spec.set(key, words::length(value));
                    }
                }
                if gate.status != 503 {
                    spec.set("responseCode", gate.status);
                }
                vec![("circuit-breaker", Map::new().with("circuitBreaker", spec))]
            }
        }
    }

    /// Rates as Traefik's buckets.
    fn rates(&mut self, rule: &Rule<'_>, gate: &Gate, limit: &RateLimit) -> Vec<Map> {
        let (what, specs) = match limit {
            RateLimit::Delaying(it) => {
                let mut spec = Map::new().with("average", it.average);
                if it.period != Duration::from_secs(1) {
                    spec.set("period", words::length(it.period));
                }
                if it.burst != 1 {
                    spec.set("burst", it.burst);
                }
                return vec![spec];
            }
            RateLimit::Leaky(buckets) => (
                "a leaky bucket (NGINX)",
                buckets.iter().map(leaky).collect(),
            ),
            RateLimit::Windows(windows) => {
                let each = windows.limits.iter().map(|(period, most)| {
                    let spec = Map::new().with("average", *most);
                    let period = length_of(*period);
                    spec.maybe("period", (period != "1s").then_some(period))
                        .with("burst", *most)
                });
                ("windows of the clock (Kong)", each.collect())
            }
        };
        let why = "Traefik's bucket refills steadily, and holds requests back for a moment before it refuses them";
        self.lose(
            rule,
            Area::Limit,
            gate.origin,
            what,
            why,
            "`rateLimit` with the same rate and burst",
        );
        specs
    }

    /// By what requests are told apart; empty: Traefik's own way, which is by host for requests under way, else by client.
    fn criterion(&mut self, rule: &Rule<'_>, gate: &Gate, key: &GateKey, by_host: bool) -> Map {
        let ip = |strategy: Map| Map::new().with("ipStrategy", strategy);
        let blocks = |all: &[Cidr]| -> Vec<String> {
            all.iter()
                .map(|it| format!("{}/{}", it.address, it.bits))
                .collect()
        };
        let (what, nearest, map) = match key {
            GateKey::Host if by_host => return Map::new(),
            GateKey::Host => return Map::new().with("requestHost", true),
            GateKey::ClientAddress { of, v6_prefix } => {
                let strategy = Map::new().maybe("ipv6Subnet", v6_prefix.map(u32::from));
                let map = match (by_host, strategy.is_empty()) {
                    (false, true) => Map::new(),
                    (true, true) => ip(Map::new().with("depth", 0_u32)),
                    (_, false) => ip(strategy),
                };
                if *of == ClientOf::Connection {
                    return map;
                }
                (
                    "the client is whom earlier hops say",
                    "whoever made the connection",
                    map,
                )
            }
            GateKey::Forwarded { entry, v6_prefix } => {
                let strategy = match entry {
                    ForwardedEntry::FromRight(depth) => Map::new().with("depth", *depth),
                    ForwardedEntry::Outside(all) => Map::new().with("excludedIPs", blocks(all)),
                };
                return ip(strategy.maybe("ipv6Subnet", v6_prefix.map(u32::from)));
            }
            GateKey::Header { name, absent } => {
                let map = Map::new().with("requestHeaderName", title(name));
                if *absent == AbsentKey::Shared {
                    return map;
                }
                (
                    "requests without the header count in another way",
                    "they count together",
                    map,
                )
            }
            GateKey::Cookie { .. } => {
                let map = Map::new().with("requestHeaderName", "Cookie");
                (
                    "requests count by one cookie",
                    "by all cookies together",
                    map,
                )
            }
            GateKey::All => (
                "all requests count together",
                "by host",
                if by_host {
                    Map::new()
                } else {
                    Map::new().with("requestHost", true)
                },
            ),
            GateKey::Path(_) => (
                "requests for one path count together",
                "by client",
                Map::new(),
            ),
        };
        let why = "Traefik tells requests apart by address, by one header, or by host";
        self.lose(rule, Area::Limit, gate.origin, what, why, nearest);
        map
    }

    pub(super) fn local_limit(&mut self, rule: &Rule<'_>, limit: &LocalRateLimit) -> Map {
        let bucket = limit.bucket;
        let why = "Traefik's bucket holds requests back for a moment before it refuses them, and counts by client, header or host";
        let what = format!(
            "{} requests at once, {} more every {}, all together",
            bucket.max_tokens,
            bucket.tokens_per_fill,
            words::length(bucket.fill_interval)
        );
        self.lose(
            rule,
            Area::Limit,
            limit.origin,
            what,
            why,
            "`rateLimit` by host",
        );
        let mut spec = Map::new().with("average", bucket.tokens_per_fill);
        if bucket.fill_interval != Duration::from_secs(1) {
            spec.set("period", words::length(bucket.fill_interval));
        }
        spec.with("burst", bucket.max_tokens.max(1))
            .with("sourceCriterion", Map::new().with("requestHost", true))
    }
}

/// A leaky bucket as one that refills: by the second, or by the minute where less than one a second leaks.
fn leaky(bucket: &LeakyBucket) -> Map {
    let burst = u64::from(bucket.burst) + 1;
    if bucket.leaks.is_multiple_of(1_000) {
        return Map::new()
            .with("average", bucket.leaks / 1_000)
            .with("burst", burst);
    }
    // thousandths of a request in a second were rounded down
    let minute = (bucket.leaks * 60).div_ceil(1_000);
    Map::new()
        .with("average", minute)
        .with("period", "1m")
        .with("burst", burst)
}

const fn length_of(period: Period) -> &'static str {
    match period {
        Period::Second => "1s",
        Period::Minute => "1m",
        Period::Hour => "1h",
        Period::Day => "24h",
        Period::Month => "720h",
        Period::Year => "8760h",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaky_bucket_is_one_that_refills_by_its_rate() {
        let second = leaky(&LeakyBucket::per_second(10, 50));
        assert_eq!(
            second,
            Map::new().with("average", 10_u64).with("burst", 51_u64)
        );
        let minute = leaky(&LeakyBucket::per_minute(90, 450));
        let expected = Map::new()
            .with("average", 90_u64)
            .with("period", "1m")
            .with("burst", 451_u64);
        assert_eq!(minute, expected);
    }
}
