//! How Kong calls a Service: annotations of the Service, and a KongUpstreamPolicy.

use compare::Area;
use proxy_core::config::{
    Balancer, Cluster, Forward, HashPolicy, HashSource, RouteAction, UpstreamProtocol,
    UpstreamTransport,
};
use proxy_core::health::Check;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::Backoff;
use proxy_core::time::Duration;

use super::{GROUP, PREFIX, SYSTEM, Writer};
use crate::intent::Destination;
use crate::object::Object;
use crate::targets::edge::flat::Rule;
use crate::targets::edge::services::{Named, named};
use crate::targets::edge::{retries, unsaid, words};
use crate::yaml::Map;

/// Tries after the first, unless it is said otherwise.
const RETRIES: u32 = 5;
/// The time to connect and that of silence, unless it is said otherwise, in milliseconds.
const TIME: u64 = 60_000;
/// The longest time of silence that is written where the source has no bound: a day.
const LONGEST: Duration = Duration::from_secs(86_400);

impl Writer<'_, '_> {
    /// The one Service of a rule: the one with the largest share.
    pub(super) fn main<'r>(&mut self, rule: &Rule<'r>) -> Option<(Named, &'r Destination<'r>)> {
        let mut found: Vec<(Named, &Destination<'_>)> = Vec::new();
        for to in rule.of.to.iter().filter(|it| it.weight > 0) {
            match named(self.intent, to, self.written) {
                Some(name) => found.push((name, to)),
                None => unsaid::of_destination(self.intent, rule, to, SYSTEM, self.written),
            }
        }
        // of equal shares the first
        let most = found.iter().map(|(_, to)| to.weight).max()?;
        let at = found.iter().position(|(_, to)| to.weight == most)?;
        let main = found.remove(at);
        let total: u32 = rule.of.to.iter().map(|it| it.weight).sum();
        for (name, to) in &found {
            let share = f64::from(to.weight) * 100.0 / f64::from(total.max(1));
            let what = format!(
                "{share:.0} % of the requests go to {}/{}",
                name.namespace, name.name
            );
            let why = "a path of an Ingress leads to one Service; Kong shares requests by HTTPRoutes alone, which `--to gateway-api` writes";
            let nearest = format!("all go to {}", main.0.name);
            let origin = to.weighted.map_or(rule.route().origin, |it| it.origin);
            self.lose(rule, Area::Destination, origin, what, why, &nearest);
        }
        if let RouteAction::Forward(forward) = &rule.route().action
            && let Some(mirror) = forward.mirrors.first()
        {
            let why = "Kong has no copies of requests";
            self.lose(
                rule,
                Area::Mirror,
                mirror.share.origin,
                "copies of requests",
                why,
                "",
            );
        }
        Some(main)
    }

    /// What annotations of the Service have to say for a rule that leads to it.
    pub(super) fn called(
        &mut self,
        rule: &Rule<'_>,
        forward: &Forward,
        cluster: &Cluster,
        name: &Named,
    ) {
        unsaid::of_cluster(cluster, rule, SYSTEM, self.written);
        self.retries(rule, forward, name);
        self.times(rule, forward, cluster, name);
        self.protocol(rule, cluster, name);
        if name.by_address {
            self.called_with(name, "service-upstream", "true".into());
        }
        let limits = unsaid::limits(cluster);
        if !limits.is_empty() {
            let origin = cluster.limits[0].requests.origin;
            let why = "Kong bounds nothing that is under way";
            let loss = self.loss(
                rule,
                Area::Limit,
                origin,
                format!("at most {limits} under way"),
                why,
            );
            self.written.lose(loss.also(Area::Retry));
        }
        if let Some(session) = &forward.session {
            let why = "`sticky-sessions` are Kong Enterprise's";
            self.lose(
                rule,
                Area::Session,
                session.origin,
                "clients stay with an endpoint",
                why,
                "",
            );
        }
        self.upstream(rule, forward, cluster, name);
    }

    fn retries(&mut self, rule: &Rule<'_>, forward: &Forward, name: &Named) {
        let tried = retries::tried(forward);
        let number = tried.as_ref().map_or(0, |it| it.retries);
        let origin = forward
            .retry
            .as_ref()
            .map_or(rule.route().origin, |it| it.retries.origin);
        if number != RETRIES {
            self.call(
                rule,
                Area::Retry,
                origin,
                name,
                "retries",
                number.to_string(),
            );
        } else {
            self.called_by_default(rule, Area::Retry, origin, name, "retries");
        }
        let (Some(tried), Some(policy)) = (tried, forward.retry.as_deref()) else {
            return;
        };
        let mut lost = Vec::new();
        if !tried.statuses.is_empty() {
            lost.push(format!("answers {}", tried.ranges().join(", ")));
        }
        lost.extend(tried.others.iter().map(|it| format!("`{it}`")));
        if !policy.spare_sent_non_idempotent {
            lost.push("POST, PATCH and LOCK once they were sent".into());
        }
        if !tried.broken || !tried.slow {
            lost.push("not what broke, or took too long, after it was sent".into());
        }
        if policy.backoff.value != Backoff::None {
            lost.push(format!("pauses {}", words::pauses(&policy.backoff.value)));
        }
        if policy.no_try_after.is_some() {
            lost.push("no try begins after a time".into());
        }
        if policy.avoid_previous.is_some() || policy.previous_priorities.is_some() {
            lost.push("endpoints that were tried are avoided".into());
        }
        if !policy.headers.is_empty() || !policy.request_headers.is_empty() {
            lost.push("conditions on headers".into());
        }
        if !lost.is_empty() {
            let what = format!("{}: {}", retries::words(policy), lost.join("; "));
            let why = "Kong tries again at once what could not be connected, broke or took too long, and never for an answer";
            self.lose(
                rule,
                Area::Retry,
                policy.on.origin,
                what,
                why,
                &format!("{number} retries"),
            );
        }
    }

    fn times(&mut self, rule: &Rule<'_>, forward: &Forward, cluster: &Cluster, name: &Named) {
        let connect = cluster.connect_timeout;
        let millis = words::millis_up(connect.value.min(LONGEST));
        if millis == TIME {
            self.called_by_default(rule, Area::Timeout, connect.origin, name, "connect-timeout");
        } else {
            self.call(
                rule,
                Area::Timeout,
                connect.origin,
                name,
                "connect-timeout",
                millis.to_string(),
            );
        }
        let set = |it: Option<Sourced<Duration>>| it.filter(|it| !it.value.is_zero());
        let policy = forward.retry.as_deref();
        let silent = policy.and_then(|it| set(it.per_try_idle_timeout));
        let per_try = policy.and_then(|it| set(it.per_try_timeout));
        let whole = forward.timeout.value.filter(|it| !it.is_zero());
        let whole = whole.map(|value| Sourced::new(value, forward.timeout.origin));
        let bounds = [silent, per_try, whole].into_iter().flatten();
        let bound = bounds.min_by_key(|it| it.value.as_nanos());
        let written = bound.map_or(LONGEST, |it| it.value.min(LONGEST));
        let origin = bound.map_or(forward.timeout.origin, |it| it.origin);
        let nearest = format!("silence of {} ends a try", words::length(written));
        let millis = words::millis_up(written);
        if millis == TIME {
            self.called_by_default(rule, Area::Timeout, origin, name, "read-timeout");
        } else {
            self.call(
                rule,
                Area::Timeout,
                origin,
                name,
                "read-timeout",
                millis.to_string(),
            );
        }
        if let Some(whole) = whole {
            let what = format!("a request may take {} in all", words::length(whole.value));
            let why = "Kong bounds the silence of each try, and nothing bounds the whole";
            self.lose(rule, Area::Timeout, whole.origin, what, why, &nearest);
        }
        if let Some(per_try) = per_try {
            let what = format!("a try may take {}", words::length(per_try.value));
            let why = "Kong bounds the silence of each try";
            self.lose(rule, Area::Retry, per_try.origin, what, why, &nearest);
        }
        if silent.is_none() {
            let why = "Kong ends a try that is silent for too long";
            self.lose(
                rule,
                Area::Retry,
                origin,
                "silence of servers is not bounded",
                why,
                &nearest,
            );
        }
    }

    fn protocol(&mut self, rule: &Rule<'_>, cluster: &Cluster, name: &Named) {
        let secure = matches!(cluster.transport, UpstreamTransport::Tls { .. });
        let protocol = match (cluster.protocol, secure) {
            (UpstreamProtocol::Http1, false) => None,
            (UpstreamProtocol::Http1, true) => Some("https"),
            (UpstreamProtocol::Http2, false) => Some("grpc"),
            (UpstreamProtocol::Http2, true) => Some("grpcs"),
            (UpstreamProtocol::Downstream, secure) => {
                let why = "Kong speaks one protocol to a Service";
                let what = "what clients speak is spoken to servers, too";
                self.lose(rule, Area::Pool, cluster.origin, what, why, "HTTP/1.1");
                secure.then_some("https")
            }
        };
        if let Some(protocol) = protocol {
            self.call(
                rule,
                Area::Tls,
                cluster.origin,
                name,
                "protocol",
                protocol.into(),
            );
        }
        if let UpstreamTransport::Tls {
            certificate: Some(_),
            ..
        } = &cluster.transport
        {
            let why = "certificates and authorities are in Secrets, which are not read: write `client-cert`, `tls-verify` and `ca-certificates-secrets`";
            let what = "whose certificates are shown and believed";
            self.lose(rule, Area::Tls, cluster.origin, what, why, "");
        }
    }

    /// The KongUpstreamPolicy of a Service, where its own are not Kong's.
    fn upstream(&mut self, rule: &Rule<'_>, forward: &Forward, cluster: &Cluster, name: &Named) {
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

    /// An annotation of a Service. One that another rule has made otherwise stays, which is told.
    pub(super) fn call(
        &mut self,
        rule: &Rule<'_>,
        area: Area,
        origin: OriginId,
        name: &Named,
        key: &'static str,
        value: String,
    ) {
        let of = (name.namespace.clone(), name.name.clone());
        let known = self.called.entry(of).or_default().get(key).cloned();
        match known {
            Some(known) if known != value => self.differs(rule, area, origin, name, key, &known),
            Some(_) => {}
            None => self.called_with(name, key, value),
        }
    }

    /// A value that is Kong's own, unless another rule has it otherwise.
    fn called_by_default(
        &mut self,
        rule: &Rule<'_>,
        area: Area,
        origin: OriginId,
        name: &Named,
        key: &'static str,
    ) {
        let of = (name.namespace.clone(), name.name.clone());
        let known = self.called.entry(of.clone()).or_default().get(key).cloned();
        match known {
            Some(known) if !known.is_empty() => self.differs(rule, area, origin, name, key, &known),
            Some(_) => {}
            None => {
                self.called
                    .entry(of)
                    .or_default()
                    .insert(key, String::new());
            }
        }
    }

    fn differs(
        &mut self,
        rule: &Rule<'_>,
        area: Area,
        origin: OriginId,
        name: &Named,
        key: &str,
        known: &str,
    ) {
        let what = format!(
            "`{key}` of the rules to {}/{} differs",
            name.namespace, name.name
        );
        let why = "Kong has it at the Service, for every rule that leads there";
        let nearest = match known {
            "" => "Kong's own, for another rule's sake".to_owned(),
            known => format!("`{known}`, for another rule's sake"),
        };
        let loss = self.loss(rule, area, origin, what, why).nearest(nearest);
        let loss = [
            Area::Retry,
            Area::Timeout,
            Area::Ejection,
            Area::Health,
            Area::Session,
        ]
        .iter()
        .fold(loss, |loss, area| loss.also(*area));
        self.written.lose(loss);
    }

    fn called_with(&mut self, name: &Named, key: &'static str, value: String) {
        let of = (name.namespace.clone(), name.name.clone());
        self.called.entry(of).or_default().insert(key, value);
    }

    /// Puts annotations on Services.
    pub(super) fn annotate(&mut self) {
        for ((namespace, name), annotations) in &self.called {
            let Some(service) = self.written.find("Service", namespace, name) else {
                let note = format!(
                    "annotate the Service `{namespace}/{name}`, which is not among the manifests"
                );
                self.written.note(note);
                continue;
            };
            for (key, value) in annotations.iter().filter(|(_, value)| !value.is_empty()) {
                let key = match *key {
                    "service-upstream" => "ingress.kubernetes.io/service-upstream".to_owned(),
                    key => format!("{PREFIX}{key}"),
                };
                service.annotations.insert(key, value.clone());
            }
        }
    }
}
