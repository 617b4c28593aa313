//! How requests of a path are sent on, as annotations. What is NGINX's own anyway is not written.

use std::collections::BTreeMap;

use compare::Area;
use proxy_core::config::{
    Cluster, Forward, HostRewrite, RouteAction, UpstreamProtocol, UpstreamTransport,
};
use proxy_core::origin::Sourced;
use proxy_core::retry::backoff::Backoff;
use proxy_core::time::Duration;

use super::{PREFIX, Writer};
use crate::targets::edge::flat::Rule;
use crate::targets::edge::services::Named;
use crate::targets::edge::{retries, unsaid, words};

/// Seconds until a connection stands, of silence, and tries in all, unless it is said otherwise.
const CONNECT: u64 = 5;
const SILENCE: u64 = 60;
const TRIES: u32 = 3;
/// Bytes of a body, unless it is said otherwise.
const BODY: u64 = 1 << 20;
/// The longest silence that is written where the source has no bound: a day.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Statuses that may be tried again.
const STATUSES: &[u16] = &[403, 404, 429, 500, 502, 503, 504];
/// Annotations under construction.
pub(super) struct Notes(BTreeMap<String, String>);

impl Notes {
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(format!("{PREFIX}{name}"), value.into());
    }
}

impl Writer<'_, '_> {
    /// The annotations of a rule that leads to this Service, but for those of its path.
    pub(super) fn annotations(
        &mut self,
        rule: &Rule<'_>,
        main: &Named,
    ) -> BTreeMap<String, String> {
        let route = rule.route();
        let mut notes = Notes(BTreeMap::new());
        for (name, value) in self.limits(rule) {
            notes.set(name, value);
        }
        if let Some(cors) = &route.cors {
            self.cors(rule, cors, &mut notes);
        }
        let edited = !route.request_edits.is_empty() || !route.response_edits.is_empty();
        if edited {
            let why = "ingress-nginx edits headers by its ConfigMap, for all hosts";
            self.lose(
                rule,
                Area::Headers,
                route.origin,
                "edits of headers",
                why,
                "",
            );
        }
        let RouteAction::Forward(forward) = &route.action else {
            return notes.0;
        };
        let own_edits = forward.clusters.iter();
        let mut own_edits =
            own_edits.filter(|it| !it.request_edits.is_empty() || !it.response_edits.is_empty());
        if let Some(one) = own_edits.next() {
            let why = "ingress-nginx edits headers by its ConfigMap, for all hosts";
            self.lose(
                rule,
                Area::Headers,
                one.origin,
                "edits of headers for a share of the requests",
                why,
                "",
            );
        }
        if main.by_address {
            notes.set("service-upstream", "true");
        }
        match &forward.host {
            None => {}
            Some(HostRewrite::Literal(host)) => notes.set("upstream-vhost", &**host),
            Some(HostRewrite::Endpoint | HostRewrite::Header(_)) => {
                let why = "ingress-nginx sends a Host that is written";
                let what = "servers see a host that the request or the endpoint brings";
                self.lose(
                    rule,
                    Area::Rewrite,
                    route.origin,
                    what,
                    why,
                    "the client's host",
                );
            }
        }
        match forward.largest_body {
            None => notes.set("proxy-body-size", "0"),
            Some(most) if most.value == BODY => {}
            Some(most) => notes.set("proxy-body-size", size(most.value)),
        }
        self.retries(rule, forward, &mut notes);
        let to = rule.of.to.iter().max_by_key(|it| it.weight);
        if let Some(cluster) = to.and_then(|it| it.cluster) {
            self.times(rule, forward, cluster, &mut notes);
            self.protocol(rule, cluster, &mut notes);
            self.balance(rule, forward, cluster, &mut notes);
            self.bounds(rule, cluster);
        }
        self.session(rule, forward, &mut notes);
        self.mirror(rule, forward, &mut notes);
        notes.0
    }

    fn retries(&mut self, rule: &Rule<'_>, forward: &Forward, notes: &mut Notes) {
        let Some(tried) = retries::tried(forward) else {
            notes.set("proxy-next-upstream", "off");
            return;
        };
        let Some(policy) = forward.retry.as_deref() else {
            return;
        };
        let mut lost = Vec::new();
        let mut words: Vec<String> = Vec::new();
        if tried.unconnected {
            words.push("error".into());
            if tried.slow {
                words.push("timeout".into());
            } else {
                lost.push("not tries that took too long".to_owned());
            }
            if !tried.broken {
                lost.push("not connections that broke after something was sent".to_owned());
            }
        } else if tried.slow {
            words.push("timeout".into());
        }
        let (known, unknown): (Vec<u16>, Vec<u16>) =
            tried.statuses.iter().partition(|it| STATUSES.contains(it));
        words.extend(known.iter().map(|status| format!("http_{status}")));
        if unknown.iter().any(|status| !(500..600).contains(status))
            || (known.is_empty() && !unknown.is_empty())
        {
            lost.push(format!("answers {}", tried.ranges().join(", ")));
        } else if !unknown.is_empty() {
            lost.push("answers other than 500, 502, 503 and 504".to_owned());
        }
        lost.extend(tried.others.iter().map(|it| format!("`{it}`")));
        if !policy.spare_sent_non_idempotent {
            words.push("non_idempotent".into());
        }
        let tries = tried.retries.saturating_add(1);
        let words = words.join(" ");
        if words != "error timeout" {
            notes.set("proxy-next-upstream", &*words);
        }
        if tries != TRIES {
            notes.set("proxy-next-upstream-tries", tries.to_string());
        }
        if let Some(after) = policy.no_try_after {
            notes.set(
                "proxy-next-upstream-timeout",
                words::seconds_up(after.value).to_string(),
            );
            if !words::is_whole_seconds(after.value) {
                lost.push("no try begins after a part of a second".to_owned());
            }
        }
        match policy.body_limit {
            Some(0) => notes.set("proxy-request-buffering", "off"),
            Some(most) => lost.push(format!("bodies of up to {most} bytes alone")),
            None => {}
        }
        if policy.backoff.value != Backoff::None {
            lost.push(format!("pauses {}", words::pauses(&policy.backoff.value)));
        }
        if policy.avoid_previous.is_some() || policy.previous_priorities.is_some() {
            lost.push("endpoints that were tried are avoided".to_owned());
        }
        if !policy.headers.is_empty() || !policy.request_headers.is_empty() {
            lost.push("conditions on headers".to_owned());
        }
        if policy.failures_have_statuses {
            lost.push("failures count as statuses".to_owned());
        }
        if !lost.is_empty() {
            let what = format!("{}: {}", retries::words(policy), lost.join("; "));
            let why = "NGINX passes a request to the next endpoint at once, on errors, timeouts and some statuses";
            let nearest = format!("{tries} tries on `{words}`");
            self.lose(rule, Area::Retry, policy.on.origin, what, why, &nearest);
        }
    }

    fn times(&mut self, rule: &Rule<'_>, forward: &Forward, cluster: &Cluster, notes: &mut Notes) {
        let connect = cluster.connect_timeout;
        let seconds = words::seconds_up(connect.value.min(LONGEST));
        if seconds != CONNECT {
            notes.set("proxy-connect-timeout", seconds.to_string());
        }
        if !words::is_whole_seconds(connect.value) || connect.value.as_nanos() > LONGEST.as_nanos()
        {
            let what = format!("a connection may take {}", words::length(connect.value));
            let why = "NGINX is told whole seconds";
            let nearest = format!("{seconds} s");
            self.lose(rule, Area::Timeout, connect.origin, what, why, &nearest);
        }
        let set = |it: Option<Sourced<Duration>>| it.filter(|it| !it.value.is_zero());
        let policy = forward.retry.as_deref();
        let silent = policy.and_then(|it| set(it.per_try_idle_timeout));
        let per_try = policy.and_then(|it| set(it.per_try_timeout));
        let whole = forward.timeout.value.filter(|it| !it.is_zero());
        let whole = whole.map(|value| Sourced::new(value, forward.timeout.origin));
        let bounds = [silent, per_try, whole].into_iter().flatten();
        let bound = bounds.min_by_key(|it| it.value.as_nanos());
        let written = words::seconds_up(bound.map_or(LONGEST, |it| it.value.min(LONGEST)));
        if written != SILENCE {
            notes.set("proxy-read-timeout", written.to_string());
        }
        let nearest = format!("{written} s of silence end a try");
        if let Some(whole) = whole {
            let what = format!("a request may take {} in all", words::length(whole.value));
            let why = "NGINX bounds the silence of each try, in whole seconds, and nothing bounds the whole";
            self.lose(rule, Area::Timeout, whole.origin, what, why, &nearest);
        }
        if let Some(per_try) = per_try {
            let what = format!("a try may take {}", words::length(per_try.value));
            let why = "NGINX bounds the silence of each try, in whole seconds";
            self.lose(rule, Area::Retry, per_try.origin, what, why, &nearest);
        }
        match silent {
            Some(silent) if words::is_whole_seconds(silent.value) => {}
            Some(silent) => {
                let what = format!("a try may be silent for {}", words::length(silent.value));
                let why = "NGINX is told whole seconds";
                self.lose(rule, Area::Retry, silent.origin, what, why, &nearest);
            }
            None => {
                let origin = bound.map_or(forward.timeout.origin, |it| it.origin);
                let why = "NGINX ends a try that is silent for too long";
                let what = "silence of servers is not bounded";
                self.lose(rule, Area::Retry, origin, what, why, &nearest);
            }
        }
    }

    fn protocol(&mut self, rule: &Rule<'_>, cluster: &Cluster, notes: &mut Notes) {
        let secure = matches!(cluster.transport, UpstreamTransport::Tls { .. });
        let word = match (cluster.protocol, secure) {
            (UpstreamProtocol::Http1, false) => None,
            (UpstreamProtocol::Http1, true) => Some("HTTPS"),
            (UpstreamProtocol::Http2, false) => Some("GRPC"),
            (UpstreamProtocol::Http2, true) => Some("GRPCS"),
            (UpstreamProtocol::Downstream, secure) => {
                let why = "NGINX speaks HTTP/1.1 to servers, whatever clients speak";
                let what = "what clients speak is spoken to servers, too";
                self.lose(rule, Area::Pool, cluster.origin, what, why, "HTTP/1.1");
                secure.then_some("HTTPS")
            }
        };
        if let Some(word) = word {
            notes.set("backend-protocol", word);
        }
        if let UpstreamTransport::Tls {
            certificate: Some(_),
            ..
        } = &cluster.transport
        {
            let why = "certificates and authorities are in Secrets, which are not read: write `proxy-ssl-secret` and `proxy-ssl-verify`";
            let what = "whose certificates are shown and believed";
            self.lose(rule, Area::Tls, cluster.origin, what, why, "");
        }
    }

    fn mirror(&mut self, rule: &Rule<'_>, forward: &Forward, notes: &mut Notes) {
        for (nth, (to, mirror)) in rule.of.mirrors.iter().zip(&forward.mirrors).enumerate() {
            let origin = mirror.share.origin;
            let Some((service, port)) = to.service() else {
                // told for all systems
                continue;
            };
            if nth > 0 {
                let why = "a path of ingress-nginx has one place for copies";
                self.lose(
                    rule,
                    Area::Mirror,
                    origin,
                    "copies to a second Service",
                    why,
                    "",
                );
                continue;
            }
            let host = self.intent.source.service(service).host();
            let port = if port == 80 {
                String::new()
            } else {
                format!(":{port}")
            };
            notes.set("mirror-target", format!("http://{host}{port}$request_uri"));
            let share = mirror.share.value.as_fraction();
            let all = share >= 1.0;
            let subset = matches!(&to.leads, crate::intent::Leads::Service { labels, .. } if !labels.is_empty());
            let mut lost = vec!["copies go to pods that the gateway picks".to_owned()];
            if !all {
                lost.push(format!("copies of {} % of the requests", share * 100.0));
            }
            if subset {
                lost.push("copies go to some of a Service's pods".to_owned());
            }
            let why = "ingress-nginx copies every request, to a Service's address";
            self.lose(
                rule,
                Area::Mirror,
                origin,
                lost.join(", "),
                why,
                "all are copied",
            );
        }
    }

    /// What NGINX has no bound for, and what it bounds by itself.
    fn bounds(&mut self, rule: &Rule<'_>, cluster: &Cluster) {
        let limits = unsaid::limits(cluster);
        if !limits.is_empty() {
            let origin = cluster.limits[0].requests.origin;
            let why = "ingress-nginx bounds what a client has under way, not what a Service has";
            let what = format!("at most {limits} under way");
            let loss = self.loss(rule, Area::Limit, origin, what, why);
            self.written.lose(loss.also(Area::Retry));
        }
        let out = [
            cluster.outlier.as_ref().map(|it| it.origin),
            cluster.accrual.as_ref().map(|it| it.origin),
            cluster.passive.as_ref().map(|it| it.origin),
        ];
        for origin in out.into_iter().flatten() {
            let why = "ingress-nginx uses every endpoint that is ready, however it fails";
            self.lose(
                rule,
                Area::Ejection,
                origin,
                "failing endpoints are taken out",
                why,
                "",
            );
        }
        if let Some(check) = cluster.health_checks.first() {
            let why = "ingress-nginx probes nobody";
            self.lose(
                rule,
                Area::Health,
                check.origin,
                "endpoints are probed",
                why,
                "",
            );
        }
    }
}

/// Bytes with the largest unit that fits.
fn size(bytes: u64) -> String {
    let units = [(1_u64 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")];
    let fitting = units
        .iter()
        .find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    match fitting {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_largest_unit_that_fits() {
        for (bytes, expected) in [
            (1 << 30, "1g"),
            (8 << 20, "8m"),
            (3 << 10, "3k"),
            (1_000, "1000"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
