//! How a target is chosen, and which are left out: a KongUpstreamPolicy.

use compare::Area;
use proxy_core::config::{Balancer, Cluster, Forward, HashPolicy, HashSource};
use proxy_core::health::Check;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::{GROUP, Writer};
use crate::object::Object;
use crate::targets::edge::flat::Rule;
use crate::targets::edge::services::Named;
use crate::targets::edge::words;
use crate::yaml::Map;

impl Writer<'_, '_> {
    /// The KongUpstreamPolicy of a Service, where its own are not Kong's.
    pub(super) fn upstream(
        &mut self,
        rule: &Rule<'_>,
        forward: &Forward,
        cluster: &Cluster,
        name: &Named,
    ) {
        let mut spec = Map::new();
        let balancer = &cluster.balancer;
        let (algorithm, exact) = match &balancer.value {
            Balancer::KongRing => (None, true),
            Balancer::KongLeastConnections => (Some("least-connections"), true),
            Balancer::KongLatency => (Some("latency"), true),
            Balancer::RingHash { .. } => (Some("consistent-hashing"), true),
            Balancer::Maglev { .. } | Balancer::TraefikRendezvous => {
                (Some("consistent-hashing"), false)
            }
            Balancer::LeastRequest { .. } | Balancer::TraefikTwoChoices => {
                (Some("least-connections"), false)
            }
            Balancer::PeakEwma { .. } | Balancer::NginxEwma | Balancer::TraefikLeastTime => {
                (Some("latency"), false)
            }
            Balancer::RoundRobin
            | Balancer::Random
            | Balancer::TraefikTurns
            | Balancer::OriginalDestination => (None, false),
        };
        if let Some(algorithm) = algorithm {
            spec.set("algorithm", algorithm);
        }
        if let Balancer::RingHash {
            min_size,
            max_size,
            bound,
        } = &balancer.value
            && (*min_size != *max_size || bound.is_some())
        {
            let why = "Kong's ring has one size, and no bound on loads";
            self.lose(
                rule,
                Area::Balance,
                balancer.origin,
                "the size of a ring, and bounded loads",
                why,
                "10 000 slots",
            );
        } else if let Balancer::RingHash { min_size, .. } = &balancer.value
            && (10..=65_536).contains(min_size)
            && *min_size != 10_000
        {
            spec.set("slots", *min_size);
        }
        if !exact {
            let what = format!("endpoints are chosen: {}", words::balancer(cluster));
            let why = "Kong has balancers of its own";
            let nearest = format!("`{}`", algorithm.unwrap_or("round-robin"));
            self.lose(rule, Area::Balance, balancer.origin, what, why, &nearest);
        }
        if algorithm == Some("consistent-hashing") {
            self.hash(rule, &forward.hash, &mut spec);
        }
        let checks = self.checks(rule, cluster);
        let spec = spec.map("healthchecks", checks);
        if spec.is_empty() {
            self.called_by_default(
                rule,
                Area::Balance,
                balancer.origin,
                name,
                "upstream-policy",
            );
            return;
        }
        let policy = self.policy(name, spec, balancer.origin);
        self.call(
            rule,
            Area::Balance,
            balancer.origin,
            name,
            "upstream-policy",
            policy,
        );
    }

    fn policy(&mut self, name: &Named, spec: Map, rule: OriginId) -> String {
        let mut objects = self.written.objects.iter_mut();
        let same = objects.find(|it| {
            it.kind == "KongUpstreamPolicy"
                && it.namespace == name.namespace
                && it.body.get("spec") == Some(&spec.clone().into())
        });
        if let Some(same) = same {
            same.comes_from(rule);
            return same.name.clone();
        }
        let free = self
            .written
            .free_name("KongUpstreamPolicy", &name.namespace, &name.name);
        let version = format!("{GROUP}/v1beta1");
        let object = Object::new(&version, "KongUpstreamPolicy", &name.namespace, &free);
        self.written.add(object.spec(spec).from(rule));
        free
    }

    fn hash(&mut self, rule: &Rule<'_>, hash: &[HashPolicy], spec: &mut Map) {
        let source = |policy: &HashPolicy| match &policy.source {
            HashSource::Header(name) if name.starts_with(':') => None,
            HashSource::Header(name) => Some(Map::new().with("header", &**name)),
            HashSource::Cookie { name, .. } => Some(Map::new().with("cookie", &**name)),
            HashSource::SourceAddress => Some(Map::new().with("input", "ip")),
            HashSource::Param(name) => Some(Map::new().with("queryArg", &**name)),
            HashSource::Path => Some(Map::new().with("input", "path")),
        };
        let said: Vec<Map> = hash.iter().filter_map(source).collect();
        let origin = rule.route().origin;
        match &said[..] {
            [] => {
                let why = "Kong hashes a header, a cookie, a parameter, the path or the address";
                self.lose(
                    rule,
                    Area::Session,
                    origin,
                    "what is hashed",
                    why,
                    "the client's address",
                );
                spec.set("hashOn", Map::new().with("input", "ip"));
            }
            [first, rest @ ..] => {
                spec.set("hashOn", first.clone());
                let is_cookie = first.get("cookie").is_some();
                if let Some(second) = rest.first().filter(|_| !is_cookie) {
                    spec.set("hashOnFallback", second.clone());
                }
                let falls_back = hash.first().is_some_and(|it| it.terminal);
                if hash.len() > 2 || (hash.len() > 1 && (!falls_back || is_cookie)) {
                    let why = "Kong hashes one thing, and another where that is not there";
                    self.lose(
                        rule,
                        Area::Session,
                        origin,
                        "several things are hashed together",
                        why,
                        "the first",
                    );
                }
            }
        }
    }

    /// Probes, and what answers say of targets.
    fn checks(&mut self, rule: &Rule<'_>, cluster: &Cluster) -> Map {
        let mut checks = Map::new();
        let active = cluster.health_checks.first();
        if let Some(check) = active {
            checks.set("active", self.active(rule, check));
        }
        let failing = if let Some(outlier) = &cluster.outlier {
            let it = outlier.value;
            let answers = match (it.consecutive_5xx, it.consecutive_gateway_failure) {
                (0, 0) => None,
                (0, gateway) => Some((gateway, vec![502_u16, 503, 504])),
                (all, _) => Some((all, vec![500, 501, 502, 503, 504, 505])),
            };
            let local = it.consecutive_local_origin_failure.max(it.consecutive_5xx);
            Some((answers, local, it.base_ejection_time, outlier.origin))
        } else if let Some(accrual) = &cluster.accrual {
            let it = accrual.value;
            let all = vec![500, 501, 502, 503, 504, 505];
            Some((
                Some((it.max_failures, all)),
                it.max_failures,
                it.min_penalty,
                accrual.origin,
            ))
        } else if let Some(passive) = &cluster.passive {
            let it = passive.value;
            let all = vec![500, 501, 502, 503, 504, 505];
            Some((
                Some((it.failures, all)),
                it.failures,
                it.window,
                passive.origin,
            ))
        } else {
            None
        };
        let Some((answers, local, back, origin)) = failing else {
            return checks;
        };
        if active.is_none() {
            // without probes nobody would come back
            let seconds = words::seconds_up(back.min(Duration::from_secs(3_600)));
            let probes = Map::new()
                .with("type", "tcp")
                .with(
                    "healthy",
                    Map::new()
                        .with("interval", seconds)
                        .with("successes", 1_u32),
                )
                .with(
                    "unhealthy",
                    Map::new()
                        .with("interval", seconds)
                        .with("tcpFailures", 1_u32)
                        .with("timeouts", 1_u32)
                        .with("httpFailures", 1_u32),
                );
            checks.set("active", probes);
        }
        let local = local.max(1);
        let mut unhealthy = Map::new();
        if let Some((failures, statuses)) = answers {
            unhealthy.set("httpFailures", failures);
            unhealthy.set("httpStatuses", statuses);
        }
        unhealthy.set("tcpFailures", local);
        unhealthy.set("timeouts", local);
        checks.set("passive", Map::new().with("unhealthy", unhealthy));
        let why = "Kong takes a target out after so many failures in a row, whatever the share of those that are out, and until a probe finds it well";
        let what = "how failing endpoints are taken out and return";
        let loss = self.loss(rule, Area::Ejection, origin, what, why);
        let nearest = format!(
            "passive checks, and a connection every {} tries whether it is back",
            words::length(back)
        );
        self.written.lose(loss.nearest(nearest).also(Area::Health));
        checks
    }

    fn active(&mut self, rule: &Rule<'_>, check: &Sourced<Check>) -> Map {
        let it = &check.value;
        let statuses: Vec<u16> = match it.expected.is_empty() {
            true => vec![200],
            false => it
                .expected
                .iter()
                .flat_map(|(from, to)| *from..=*to)
                .collect(),
        };
        let interval = words::seconds_up(it.interval);
        let unhealthy = it.unhealthy_interval.unwrap_or(it.interval);
        let rounded = !words::is_whole_seconds(it.interval) || !words::is_whole_seconds(it.timeout);
        if rounded
            || !it.interval_jitter.is_zero()
            || !it.retriable.is_empty()
            || !it.host.is_empty()
        {
            let why = "Kong probes every so many whole seconds, with its own Host, and counts every failure";
            self.lose(
                rule,
                Area::Health,
                check.origin,
                "how endpoints are probed",
                why,
                "rounded up",
            );
        }
        let mut map = Map::new();
        if it.path.is_none() {
            map.set("type", "tcp");
        }
        let failures = it.unhealthy_threshold.max(1);
        map.maybe("httpPath", it.path.as_deref())
            .with("timeout", words::seconds_up(it.timeout))
            .with(
                "healthy",
                Map::new()
                    .with("interval", interval)
                    .with("successes", it.healthy_threshold.max(1))
                    .with("httpStatuses", statuses),
            )
            .with(
                "unhealthy",
                Map::new()
                    .with(
                        "interval",
                        words::seconds_up(unhealthy.min(Duration::from_secs(65_535))),
                    )
                    .with("httpFailures", failures)
                    .with("tcpFailures", failures)
                    .with("timeouts", failures),
            )
    }
}
