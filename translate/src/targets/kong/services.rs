//! How Kong calls a Service: annotations of the Service, and a KongUpstreamPolicy.

use compare::Area;
use proxy_core::config::{Cluster, Forward, RouteAction, UpstreamProtocol, UpstreamTransport};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::Backoff;
use proxy_core::time::Duration;

use super::{PREFIX, SYSTEM, Writer};
use crate::intent::Destination;
use crate::targets::edge::flat::Rule;
use crate::targets::edge::services::{Named, named};
use crate::targets::edge::{retries, unsaid, words};

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
            let origin = to
                .weighted
                .map_or_else(|| rule.route().origin, |it| it.origin);
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
            .map_or_else(|| rule.route().origin, |it| it.retries.origin);
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
    pub(super) fn called_by_default(
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
