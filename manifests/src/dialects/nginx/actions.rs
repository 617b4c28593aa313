//! Locations to what is done with their requests.

use proxy_core::config::{
    Forward, HashPolicy, HostRewrite, Mirror, PathRewrite, RetryPolicy, Session, SessionCarrier,
    Share, WeightedCluster,
};
use proxy_core::heads::HeaderOp;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::Backoff;
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::time::Duration;

use super::annotations::Notes;
use super::canary::Turned;
use super::clusters::{Clusters, Spoken, Wanted, hash_policies};
use super::paths::rust_pattern;
use super::policy::{Controller, IngressPolicy};
use super::redirects::body_size;
use super::servers::{Location, Plan};
use super::{mirrors, values};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::ingress::ServicePortId;

/// Tries without a bound are bounded all the same: nothing else would end those of an endpoint that refuses at once.
const UNBOUNDED_TRIES: u32 = 1000;
/// The most seconds that a timeout may have: beyond a day nothing is told apart.
const LONGEST: u64 = 86_400 * 365;

/// What is needed to send a location's requests on.
pub(super) struct Sending<'a, 'p> {
    pub(super) controller: &'p Controller,
    pub(super) plan: &'a Plan<'p>,
    pub(super) location: &'a Location<'p>,
    /// Whose annotations count.
    pub(super) ingress: &'p IngressPolicy,
    /// Whether clients use TLS.
    pub(super) tls: bool,
}

impl<'p> Sending<'_, 'p> {
    fn notes(&self) -> &'p Notes {
        &self.ingress.notes
    }

    /// How requests are sent to the main backend, to the canary, or to either.
    pub(super) fn forward(
        &self,
        main: ServicePortId,
        canary: Option<ServicePortId>,
        to: Turned,
        clusters: &mut Clusters,
        cx: &mut Compile<'_>,
    ) -> Forward {
        let shares = match (to, canary) {
            (Turned::Main, _) | (_, None) => vec![(main, 1)],
            (Turned::Canary, Some(canary)) => vec![(canary, 1)],
            (Turned::Either(weight, total), Some(canary)) => {
                vec![(main, total - weight), (canary, weight)]
            }
        };
        let mut weighted = Vec::new();
        for (backend, weight) in &shares {
            let cluster = self.cluster(*backend, clusters, cx);
            weighted.push(WeightedCluster {
                cluster: Some(cluster),
                weight: *weight,
                request_edits: Vec::new(),
                response_edits: Vec::new(),
                origin: self.location.origin,
            });
        }
        let first = weighted[0].cluster.expect("each has one");
        let upstream = &self.plan.upstreams[&shares[0].0];
        let default = clusters.default;
        Forward {
            clusters: weighted,
            timeout: Sourced::new(None, default),
            retry: Some(Box::new(self.retries(default, cx))),
            largest_body: self.largest_body(cx),
            rewrite: self.rewrite(cx),
            host: self.host(cx),
            mirrors: self.mirrors(clusters, cx),
            hash: self.hash(upstream.ingress, cx),
            session: upstream.affinity.map(|it| Box::new(self.session(it, cx))),
            ..Forward::to(first)
        }
    }

    fn cluster(
        &self,
        backend: ServicePortId,
        clusters: &mut Clusters,
        cx: &mut Compile<'_>,
    ) -> proxy_core::config::ClusterIndex {
        let settings = &self.controller.settings;
        let connect = self
            .notes()
            .or("proxy-connect-timeout", seconds, 5, settings, cx.origins);
        let spoken = self.notes().text("backend-protocol");
        let spoken = spoken.and_then(|text| Spoken::parse(text));
        let wanted = Wanted {
            backend,
            spoken: spoken.unwrap_or(Spoken::Http).to(self.tls),
            connect: connect.value,
        };
        let plan = &self.plan.upstreams[&backend];
        clusters.of(wanted, connect.origin, self.controller, plan, cx)
    }

    /// Source: `nginx.tmpl` (`proxy_next_upstream`), `buildNextUpstream`; NGINX `ngx_http_upstream_next`.
    fn retries(&self, default: OriginId, cx: &mut Compile<'_>) -> RetryPolicy {
        let (notes, settings) = (self.notes(), &self.controller.settings);
        let words = notes.or(
            "proxy-next-upstream",
            |text| Some(text.to_owned()),
            "error timeout".to_owned(),
            settings,
            cx.origins,
        );
        let has = |word: &str| words.value.split(' ').any(|it| it == word);
        let statuses = words.value.split(' ');
        let statuses = statuses.filter_map(|word| word.strip_prefix("http_")?.parse().ok());
        let statuses: Vec<u16> = statuses.collect();
        let mut on = RetryOn::NONE;
        if !has("off") {
            // silence is a reset, too
            if has("error") {
                on = on.with(Condition::ConnectFailure).with(Condition::Reset);
            } else if has("timeout") {
                on = on.with(Condition::PerTryTimeout);
            }
            if !statuses.is_empty() {
                on = on.with(Condition::RetriableStatusCodes);
            }
        }
        if has("error") != has("timeout") && !has("off") {
            tell_halves(has("error"), words.origin, cx);
        }
        let tries = notes.or("proxy-next-upstream-tries", tries, 3, settings, cx.origins);
        let second = Duration::from_secs(60);
        let read = |text: &str| seconds(text).map(Duration::from_secs);
        let silence = notes.or("proxy-read-timeout", read, second, settings, cx.origins);
        let total = notes.or(
            "proxy-next-upstream-timeout",
            read,
            Duration::ZERO,
            settings,
            cx.origins,
        );
        let buffering = |text: &str| Some(text == "on");
        let keeps = notes.or(
            "proxy-request-buffering",
            buffering,
            true,
            settings,
            cx.origins,
        );
        let spares = !has("non_idempotent") && !settings.flag("retry-non-idempotent", false);
        RetryPolicy {
            on: Sourced::new(on, words.origin),
            statuses,
            headers: Vec::new(),
            request_headers: Vec::new(),
            retries: Sourced::new(tries.value - 1, tries.origin),
            per_try_timeout: None,
            per_try_idle_timeout: Some(silence),
            backoff: Sourced::new(Backoff::None, default),
            rate_limited_backoff: None,
            avoid_previous: None,
            previous_priorities: None,
            no_try_after: Some(total).filter(|it| !it.value.is_zero()),
            // its own 502 and 504 are errors and timeouts, whatever statuses are listed
            failures_have_statuses: false,
            spare_sent_non_idempotent: spares,
            last_try_unbounded: false,
            // a body that was passed on as it came is gone
            body_limit: (!keeps.value).then_some(0),
            origin: tries.origin,
        }
    }

    fn largest_body(&self, cx: &mut Compile<'_>) -> Option<Sourced<u64>> {
        let settings = &self.controller.settings;
        let size = self
            .notes()
            .or("proxy-body-size", body_size, 1 << 20, settings, cx.origins);
        (size.value > 0).then_some(size)
    }

    /// The whole path anew, with `$1` for a group of the location's regular expression.
    ///
    /// Source: `buildProxyPass`.
    fn rewrite(&self, cx: &mut Compile<'_>) -> Option<PathRewrite> {
        let to = self.location.target()?;
        let span = self.notes().text("rewrite-target")?.span;
        let pattern = rust_pattern(&self.location.path);
        let whole = regex::RegexBuilder::new(&format!("^(?i:{pattern})(?s:.*)$"))
            .size_limit(1 << 20)
            .build()
            .ok()?;
        if !to.starts_with('/') && !to.starts_with('$') {
            cx.diagnostics.push(
                Diagnostic::warning(
                    "nginx::rewrite-target",
                    format!("the path `{to}` does not begin with `/`"),
                )
                .label(span, "NGINX would send it so")
                .help(format!("write `/{to}`, as it is taken here")),
            );
        }
        let (to, unknown) = replacement(to, &whole);
        for name in unknown {
            cx.diagnostics.push(
                Diagnostic::not_modelled(
                    "nginx::variable",
                    format!("the variable `${name}` is not modelled in `rewrite-target`"),
                    "nothing stands in its place",
                )
                .label(span, ""),
            );
        }
        Some(PathRewrite::Regex(Box::new(whole), to.into()))
    }

    fn host(&self, cx: &mut Compile<'_>) -> Option<HostRewrite> {
        let host = self.notes().text("upstream-vhost")?;
        if host.contains('$') {
            cx.diagnostics.push(
                Diagnostic::not_modelled(
                    "nginx::variable",
                    "variables are not modelled in `upstream-vhost`",
                    "requests keep their Host",
                )
                .label(host.span, ""),
            );
            return None;
        }
        Some(HostRewrite::Literal(host.as_str().into()))
    }

    fn mirrors(&self, clusters: &mut Clusters, cx: &mut Compile<'_>) -> Vec<Mirror> {
        let Some(cluster) = mirrors::cluster(self.ingress, clusters, cx) else {
            return Vec::new();
        };
        let span = self.notes().text("mirror-target").map(|it| it.span);
        let origin = span.map_or(self.ingress.origin, |span| cx.origins.written(span));
        vec![Mirror {
            cluster,
            share: Sourced::new(Share::ALL, origin),
            shadow_host: false,
        }]
    }

    fn hash(&self, ingress: &IngressPolicy, cx: &mut Compile<'_>) -> Vec<HashPolicy> {
        hash_policies(ingress, cx)
    }

    /// Source: `rootfs/etc/nginx/lua/balancer/sticky.lua`.
    fn session(&self, ingress: &IngressPolicy, cx: &mut Compile<'_>) -> Session {
        let notes = &ingress.notes;
        let age = notes.text("session-cookie-max-age");
        let age = age.or_else(|| notes.text("session-cookie-expires"));
        let age = age.and_then(|text| text.parse::<u64>().ok());
        let path = notes.text("session-cookie-path");
        let path = path.map_or(self.location.path.as_str(), |it| it.as_str());
        let origin = notes.text("affinity").map(|it| it.span);
        Session {
            carrier: SessionCarrier::Cookie {
                name: cookie_name(ingress).into(),
                ttl: age.map(|age| Duration::from_secs(age.min(LONGEST))),
                path: Some(path.into()),
            },
            origin: origin.map_or(ingress.origin, |span| cx.origins.written(span)),
        }
    }

    /// Edits of requests, whatever backend they go to.
    pub(super) fn request_edits(&self, cx: &mut Compile<'_>) -> Vec<HeaderOp> {
        let mut edits: Vec<HeaderOp> = set_all(&self.controller.request_headers);
        if let (Some(prefix), Some(_)) = (
            self.notes().text("x-forwarded-prefix"),
            self.location.target(),
        ) {
            if prefix.contains('$') {
                cx.diagnostics.push(
                    Diagnostic::not_modelled(
                        "nginx::variable",
                        "groups are not modelled in `x-forwarded-prefix`",
                        "the header is not written",
                    )
                    .label(prefix.span, ""),
                );
            } else {
                let value = prefix.as_str().into();
                edits.push(HeaderOp::Set("x-forwarded-prefix".into(), value));
            }
        }
        edits
    }

    /// Edits of answers.
    pub(super) fn response_edits(&self) -> Vec<HeaderOp> {
        let settings = &self.controller.settings;
        let mut edits = Vec::new();
        if let Some(hidden) = settings.text("hide-headers") {
            let names = hidden.split(',').map(str::trim).filter(|it| !it.is_empty());
            edits.extend(names.map(|name| HeaderOp::Remove(name.to_ascii_lowercase().into())));
        }
        if self.tls && settings.flag("hsts", true) {
            let age = settings.text("hsts-max-age");
            let mut value = format!("max-age={}", age.map_or("31536000", |it| it.as_str()));
            if settings.flag("hsts-include-subdomains", true) {
                value.push_str("; includeSubDomains");
            }
            if settings.flag("hsts-preload", false) {
                value.push_str("; preload");
            }
            edits.push(HeaderOp::Set(
                "strict-transport-security".into(),
                value.into(),
            ));
        }
        edits.extend(set_all(&self.controller.response_headers));
        edits.extend(set_all(&self.ingress.response_headers));
        edits
    }
}

fn set_all(headers: &[(String, crate::text::Spanned<String>)]) -> Vec<HeaderOp> {
    let set = |(name, value): &(String, crate::text::Spanned<String>)| {
        HeaderOp::Set(name.as_str().into(), value.as_str().into())
    };
    headers.iter().map(set).collect()
}

/// The cookie of a client's session.
pub(super) fn cookie_name(ingress: &IngressPolicy) -> &str {
    let written = ingress.notes.text("session-cookie-name");
    written.map_or("INGRESSCOOKIE", |it| it.as_str())
}

/// One of the halves of `error timeout` alone.
fn tell_halves(error: bool, origin: OriginId, cx: &mut Compile<'_>) {
    let Some(span) = cx.origins.span(origin) else {
        return;
    };
    let (message, meaning) = match error {
        true => (
            "`error` without `timeout` is not modelled",
            "tries that time out are followed by others, too",
        ),
        false => (
            "`timeout` without `error` is modelled in part",
            "connections that take too long are not followed by other tries",
        ),
    };
    cx.diagnostics
        .push(Diagnostic::not_modelled("nginx::not-modelled", message, meaning).label(span, ""));
}

/// Seconds; negative ones are none.
fn seconds(text: &str) -> Option<u64> {
    let number = values::number(text)?;
    u64::try_from(number).ok().map(|it| it.min(LONGEST))
}

/// Tries in all; 0 is no bound.
fn tries(text: &str) -> Option<u32> {
    let number = u32::try_from(values::number(text)?).ok()?;
    Some(match number {
        0 => UNBOUNDED_TRIES,
        some => some.min(UNBOUNDED_TRIES),
    })
}

/// A new path in the core's words, and the variables in it that are none of the pattern's.
fn replacement(to: &str, pattern: &regex::Regex) -> (String, Vec<String>) {
    let mut out = String::new();
    let mut unknown = Vec::new();
    let mut rest = to;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let digit = rest.chars().next().filter(|c| ('1'..='9').contains(c));
        if let Some(digit) = digit {
            let number = digit as usize - '0' as usize;
            if number < pattern.captures_len() {
                out.push('\\');
                out.push(digit);
            }
            rest = &rest[1..];
            continue;
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, after) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
        let group = pattern
            .capture_names()
            .position(|known| known == Some(name));
        match group.filter(|group| (1..10).contains(group)) {
            Some(group) => out.push_str(&format!("\\{group}")),
            None => unknown.push(name.to_owned()),
        }
        rest = after;
    }
    out.push_str(rest);
    (out, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_paths_are_in_the_cores_words() {
        let pattern = regex::Regex::new("/(?P<version>v[0-9])/(.*)").expect("a pattern");
        let rows: &[(&str, &str, &[&str])] = &[
            ("/$2", r"/\2", &[]),
            ("/$version/$2", r"/\1/\2", &[]),
            ("/$10", r"/\10", &[]),
            ("/$3", "/", &[]),
            ("/$host/a", "//a", &["host"]),
            ("/plain", "/plain", &[]),
        ];
        for (to, expected, unknown) in rows {
            let (path, left) = replacement(to, &pattern);
            assert_eq!(
                (path.as_str(), &left[..]),
                (
                    *expected,
                    &unknown
                        .iter()
                        .map(|it| (*it).to_owned())
                        .collect::<Vec<_>>()[..]
                ),
                "{to}"
            );
        }
    }

    #[test]
    fn tries_are_counted_in_all() {
        for (text, expected) in [
            ("3", Some(3)),
            ("1", Some(1)),
            ("0", Some(UNBOUNDED_TRIES)),
            ("-1", None),
        ] {
            assert_eq!(tries(text), expected, "{text}");
        }
    }
}
