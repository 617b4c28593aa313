//! How the servers of a Service are called.

use compare::Area;
use proxy_core::config::{
    Balancer, Cluster, Forward, HashSource, HostRewrite, UpstreamProtocol, UpstreamTransport,
};
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::{SYSTEM, Writer};
use crate::intent::Destination;
use crate::targets::edge::flat::Rule;
use crate::targets::edge::services::Named;
use crate::targets::edge::{unsaid, words};
use crate::yaml::Map;

/// Traefik's own: how long connecting may take, and how long idle connections are kept.
const DIAL: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(90);
/// Idle connections that it keeps to a server, where no ServersTransport says otherwise; one that is written would have two.
const IDLE_CONNECTIONS: u32 = 200;

impl Writer<'_, '_> {
    /// A Service as a router or a TraefikService names it.
    pub(super) fn server(
        &mut self,
        rule: &Rule<'_>,
        forward: &Forward,
        name: &Named,
        to: &Destination<'_>,
    ) -> Map {
        let mut service = Map::new()
            .with("name", name.name.as_str())
            .with("port", name.port);
        let Some(cluster) = to.cluster else {
            return service;
        };
        unsaid::of_cluster(cluster, rule, SYSTEM, self.written);
        if let Some(scheme) = self.scheme(rule, cluster, name) {
            service.set("scheme", scheme);
        }
        if let Some(strategy) = self.strategy(rule, forward, cluster) {
            service.set("strategy", strategy);
        }
        match &forward.host {
            Some(HostRewrite::Endpoint) => service.set("passHostHeader", false),
            Some(HostRewrite::Literal(_) | HostRewrite::Header(_)) | None => {}
        }
        if name.by_address {
            service.set("nativeLB", true);
        }
        if let Some(transport) = self.transport(rule, forward, cluster, name) {
            service.set("serversTransport", transport);
        }
        if let Some(passive) = self.passive(rule, cluster) {
            service.set("passiveHealthCheck", passive);
        }
        self.limits(rule, cluster);
        if let Some(check) = cluster.health_checks.first() {
            let why = "Traefik probes Services of another name alone";
            self.lose(
                rule,
                Area::Health,
                check.origin,
                "endpoints are probed",
                why,
                "",
            );
        }
        service
    }

    fn scheme(&mut self, rule: &Rule<'_>, cluster: &Cluster, name: &Named) -> Option<&'static str> {
        let ports = &self.intent.source.service(name.service).ports;
        let port = ports.iter().find(|it| it.number == name.port && !it.udp);
        let looks_secure = name.port == 443
            || port
                .and_then(|it| it.name.as_deref())
                .is_some_and(|it| it.starts_with("https"));
        let secure = matches!(cluster.transport, UpstreamTransport::Tls { .. });
        match (cluster.protocol, secure) {
            (UpstreamProtocol::Http2, false) => Some("h2c"),
            (UpstreamProtocol::Http2, true) => {
                let why = "over TLS Traefik asks the server, which is taken to speak HTTP/1.1 here";
                self.lose(
                    rule,
                    Area::Pool,
                    cluster.origin,
                    "HTTP/2 is spoken",
                    why,
                    "scheme `https`",
                );
                (!looks_secure).then_some("https")
            }
            (UpstreamProtocol::Downstream, _) => {
                let why = "Traefik speaks one protocol to a Service";
                let what = "what clients speak is spoken to servers, too";
                self.lose(rule, Area::Pool, cluster.origin, what, why, "HTTP/1.1");
                plain(secure, looks_secure)
            }
            (UpstreamProtocol::Http1, secure) => plain(secure, looks_secure),
        }
    }

    fn strategy(
        &mut self,
        rule: &Rule<'_>,
        forward: &Forward,
        cluster: &Cluster,
    ) -> Option<&'static str> {
        let balancer = &cluster.balancer;
        let (strategy, exact) = match &balancer.value {
            Balancer::TraefikTurns => ("wrr", true),
            Balancer::TraefikTwoChoices => ("p2c", true),
            Balancer::TraefikLeastTime => ("leasttime", true),
            Balancer::TraefikRendezvous => ("hrw", true),
            Balancer::RoundRobin | Balancer::KongRing | Balancer::Random => ("wrr", false),
            Balancer::LeastRequest { .. } | Balancer::KongLeastConnections => ("p2c", false),
            Balancer::PeakEwma { .. } | Balancer::KongLatency | Balancer::NginxEwma => {
                ("leasttime", false)
            }
            Balancer::RingHash { .. } | Balancer::Maglev { .. } => ("hrw", false),
            Balancer::OriginalDestination => ("wrr", false),
        };
        if !exact {
            let what = format!("endpoints are chosen: {}", words::balancer(cluster));
            let why = "Traefik has balancers of its own";
            let nearest = format!("`{strategy}`");
            self.lose(rule, Area::Balance, balancer.origin, what, why, &nearest);
        }
        let by_address =
            |it: &proxy_core::config::HashPolicy| it.source == HashSource::SourceAddress;
        if strategy == "hrw" && !forward.hash.iter().all(by_address) {
            let why = "Traefik's hash is of the client's address";
            let what = "endpoints are chosen by a hash of something else than the address";
            self.lose(
                rule,
                Area::Session,
                balancer.origin,
                what,
                why,
                "by the client's address",
            );
        }
        (strategy != "wrr").then_some(strategy)
    }

    /// The ServersTransport of a Service; none: Traefik's own serves.
    fn transport(
        &mut self,
        rule: &Rule<'_>,
        forward: &Forward,
        cluster: &Cluster,
        name: &Named,
    ) -> Option<String> {
        let silence = self.silence(rule, forward);
        let dial = cluster.connect_timeout.value;
        let idle = cluster.pool.idle_timeout.map(|it| it.value);
        let mut timeouts = Map::new();
        if dial != DIAL {
            let dial = if dial == Duration::MAX {
                Duration::ZERO
            } else {
                dial
            };
            timeouts.set("dialTimeout", words::length(dial));
        }
        if let Some(silence) = silence {
            timeouts.set("responseHeaderTimeout", words::length(silence));
        }
        match idle {
            Some(idle) if idle != IDLE => timeouts.set("idleConnTimeout", words::length(idle)),
            Some(_) => {}
            None => timeouts.set("idleConnTimeout", "0s"),
        }
        let mut spec = Map::new();
        if let UpstreamTransport::Tls { sni, certificate } = &cluster.transport {
            spec.set("serverName", &**sni);
            if certificate.is_some() {
                let why = "certificates and authorities are in Secrets, which are not read: write `certificatesSecrets` and `rootCAs`";
                let what = "whose certificates are shown and believed";
                self.lose(
                    rule,
                    Area::Tls,
                    cluster.origin,
                    what,
                    why,
                    "`serverName` alone",
                );
            }
        }
        self.pool(rule, cluster);
        if timeouts.is_empty() && spec.is_empty() {
            return None;
        }
        let kept = cluster.pool.max_idle.unwrap_or(IDLE_CONNECTIONS);
        spec.set("maxIdleConnsPerHost", kept);
        let spec = spec.map("forwardingTimeouts", timeouts);
        let origin = cluster.connect_timeout.origin;
        Some(self.object(
            "ServersTransport",
            &name.namespace,
            &name.name,
            spec,
            origin,
        ))
    }

    /// How long a server may be silent: where the source bounds something else, that is told.
    fn silence(&mut self, rule: &Rule<'_>, forward: &Forward) -> Option<Duration> {
        let set = |it: Option<Sourced<Duration>>| it.filter(|it| !it.value.is_zero());
        let retry = forward.retry.as_deref();
        let silent = retry.and_then(|it| set(it.per_try_idle_timeout));
        let per_try = retry.and_then(|it| set(it.per_try_timeout));
        let whole = forward.timeout.value.filter(|it| !it.is_zero());
        let whole = whole.map(|value| Sourced::new(value, forward.timeout.origin));
        let bound = [silent, per_try, whole]
            .into_iter()
            .flatten()
            .map(|it| it.value)
            .min();
        let nearest = bound.map_or_else(String::new, |it| {
            format!(
                "a server may be silent for {} before it answers",
                words::length(it)
            )
        });
        if let Some(whole) = whole {
            let what = format!("a request may take {} in all", words::length(whole.value));
            let why = "Traefik bounds how long the head of an answer may take, try by try";
            self.lose(rule, Area::Timeout, whole.origin, what, why, &nearest);
        }
        if let Some(per_try) = per_try {
            let what = format!("a try may take {}", words::length(per_try.value));
            let why = "Traefik bounds how long the head of an answer may take";
            self.lose(rule, Area::Retry, per_try.origin, what, why, &nearest);
        }
        if bound.is_some() && silent.is_none() {
            let why = "Traefik bounds silence where the source bounds the whole";
            let origin = whole
                .or(per_try)
                .map_or_else(|| rule.route().origin, |it| it.origin);
            self.lose(
                rule,
                Area::Retry,
                origin,
                "silence of servers is not bounded",
                why,
                &nearest,
            );
        }
        bound
    }

    fn pool(&mut self, rule: &Rule<'_>, cluster: &Cluster) {
        let pool = &cluster.pool;
        let bounds = [
            (
                pool.max_requests_per_connection
                    .map(|it| (it.value, it.origin)),
                "requests on a connection",
            ),
            (
                pool.max_connections_per_endpoint
                    .map(|it| (it.value, it.origin)),
                "connections to an endpoint",
            ),
        ];
        for (bound, what) in bounds {
            if let Some((most, origin)) = bound {
                let why = "Traefik bounds neither requests nor connections";
                self.lose(
                    rule,
                    Area::Pool,
                    origin,
                    format!("{most} {what} at most"),
                    why,
                    "",
                );
            }
        }
        if let Some(age) = pool.max_duration {
            let what = format!("a connection lives {}", words::length(age.value));
            let why = "Traefik uses connections for as long as they are good";
            self.lose(rule, Area::Pool, age.origin, what, why, "");
        }
        let idle = pool.idle_timeout;
        if idle.is_none() || pool.max_idle.is_some() {
            let what = "how many idle connections are kept, and for how long";
            let why = "Traefik counts them for each server";
            self.lose(
                rule,
                Area::Pool,
                cluster.origin,
                what,
                why,
                "`maxIdleConnsPerHost`",
            );
        }
    }

    fn limits(&mut self, rule: &Rule<'_>, cluster: &Cluster) {
        let limits = unsaid::limits(cluster);
        if limits.is_empty() {
            return;
        }
        let origin = cluster.limits[0].requests.origin;
        let why = "Traefik limits what is under way by route (`inFlightReq`), not by destination";
        let what = format!("at most {limits} under way");
        let loss = self.loss(rule, Area::Limit, origin, what, why);
        self.written.lose(loss.also(Area::Retry));
    }

    fn passive(&mut self, rule: &Rule<'_>, cluster: &Cluster) -> Option<Map> {
        if let Some(passive) = &cluster.passive {
            return Some(
                Map::new()
                    .with("failureWindow", words::length(passive.value.window))
                    .with("maxFailedAttempts", passive.value.failures),
            );
        }
        let (failures, window, origin, what) = if let Some(outlier) = &cluster.outlier {
            let it = outlier.value;
            let counts = [
                it.consecutive_5xx,
                it.consecutive_gateway_failure,
                it.consecutive_local_origin_failure,
            ];
            let first = counts.into_iter().filter(|it| *it > 0).min()?;
            (
                first,
                it.base_ejection_time,
                outlier.origin,
                "outlier ejection, in Envoy's way",
            )
        } else {
            let accrual = cluster.accrual.as_ref()?;
            let it = accrual.value;
            (
                it.max_failures,
                it.min_penalty,
                accrual.origin,
                "failure accrual, in Linkerd's way",
            )
        };
        let window = window.min(Duration::from_secs(3_600));
        let why = "Traefik leaves an endpoint out for as long as failures count, without a cap, and any answer below 500 forgets them";
        let nearest = format!(
            "{failures} failures within {} leave it out as long",
            words::length(window)
        );
        self.lose(rule, Area::Ejection, origin, what, why, &nearest);
        Some(
            Map::new()
                .with("failureWindow", words::length(window))
                .with("maxFailedAttempts", failures),
        )
    }
}

/// The scheme, where the port would not be taken for it.
const fn plain(secure: bool, looks_secure: bool) -> Option<&'static str> {
    match (secure, looks_secure) {
        (true, false) => Some("https"),
        (false, true) => Some("http"),
        (true, true) | (false, false) => None,
    }
}
