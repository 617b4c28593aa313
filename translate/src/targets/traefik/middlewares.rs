//! What a route does to its requests as middlewares.

use compare::Area;
use proxy_core::config::{
    DirectResponse, Forward, PathMatch, PathRewrite, RouteAction, RouteMatch,
};
use proxy_core::origin::OriginId;
use proxy_core::retry::backoff::Backoff;

use super::Writer;
use crate::targets::edge::flat::Rule;
use crate::targets::edge::{patterns, retries, words};
use crate::yaml::Map;

/// An address that no client has: with it alone on a list of those that are allowed, every client is refused.
const NOBODY: &str = "255.255.255.255/32";

impl Writer<'_, '_> {
    /// The names of a route's middlewares, in the order in which they stand.
    pub(super) fn middlewares(&mut self, rule: &Rule<'_>, namespace: &str) -> Vec<String> {
        let route = rule.route();
        let mut names = Vec::new();
        let mut add = |this: &mut Self, wanted: &str, spec: Map, origin: OriginId| {
            names.push(this.object("Middleware", namespace, wanted, spec, origin));
        };
        if let Some(headers) = self.headers(rule) {
            add(
                self,
                "headers",
                Map::new().with("headers", headers),
                route.origin,
            );
        }
        if let Some(limit) = &route.rate_limit {
            let spec = self.local_limit(rule, limit);
            add(
                self,
                "rate-limit",
                Map::new().with("rateLimit", spec),
                limit.origin,
            );
        }
        for gate in &route.gates {
            for (wanted, spec) in self.gate(rule, gate) {
                add(self, wanted, spec, gate.origin);
            }
        }
        match &route.action {
            RouteAction::Forward(forward) => {
                if let Some(rewrite) = rule.rewrite() {
                    for (wanted, spec) in self.rewrite(rule, rewrite) {
                        add(self, wanted, spec, route.origin);
                    }
                }
                if let Some(spec) = self.retry(rule, forward) {
                    let origin = forward.retry.as_ref().map_or(route.origin, |it| it.origin);
                    add(self, "retry", Map::new().with("retry", spec), origin);
                }
                if let Some(body) = forward.largest_body {
                    let limit = Map::new().with("maxRequestBodyBytes", body.value);
                    add(
                        self,
                        "body-limit",
                        Map::new().with("buffering", limit),
                        body.origin,
                    );
                    let what = format!(
                        "bodies of more than {} bytes are refused with 413",
                        body.value
                    );
                    let why = "`buffering` does so in Traefik, and keeps whole requests and answers besides; it is not modelled here, so that it was not compared";
                    self.lose(rule, Area::Limit, body.origin, what, why, "`buffering`");
                }
            }
            RouteAction::Redirect(redirect) => {
                if let Some((wanted, spec)) = self.redirect(rule, redirect) {
                    add(self, wanted, spec, route.origin);
                }
            }
            RouteAction::Direct(answer) => {
                let spec = self.direct(rule, answer);
                let wanted = format!("answer-{}", answer.status);
                add(
                    self,
                    &wanted,
                    Map::new().with("ipAllowList", spec),
                    route.origin,
                );
            }
        }
        names
    }

    /// An answer of the gateway's own: nobody is allowed, and the status of the refusal may be chosen.
    fn direct(&mut self, rule: &Rule<'_>, answer: &DirectResponse) -> Map {
        if !answer.body.is_empty() {
            let why =
                "Traefik answers by itself where it refuses a client, with the name of the status";
            let what = format!("the text of an answer {}", answer.status);
            self.lose(
                rule,
                Area::Answer,
                rule.route().origin,
                what,
                why,
                "the status",
            );
        }
        Map::new().with("sourceRange", vec![NOBODY]).maybe(
            "rejectStatusCode",
            (answer.status != 403).then_some(answer.status),
        )
    }

    /// A change of the path. What a prefix is replaced by stands behind the prefix of the rule.
    fn rewrite(&mut self, rule: &Rule<'_>, rewrite: &PathRewrite) -> Vec<(&'static str, Map)> {
        let matches = &rule.matches;
        let mut told = "X-Replaced-Path";
        let made = match rewrite {
            PathRewrite::Sequence(all) => {
                return all.iter().flat_map(|one| self.rewrite(rule, one)).collect();
            }
            PathRewrite::Full(path) => {
                let spec = Map::new().with("path", &**path);
                Some(("replace-path", Map::new().with("replacePath", spec)))
            }
            PathRewrite::Regex(pattern, to) => {
                let spec = Map::new()
                    .with("regex", pattern.as_str())
                    .with("replacement", patterns::dollars(to));
                Some(("replace-path", Map::new().with("replacePathRegex", spec)))
            }
            PathRewrite::JoinedPrefix(to) | PathRewrite::Prefix(to) => {
                let joined = matches!(rewrite, PathRewrite::JoinedPrefix(_));
                if let Some(prefix) = stripped(matches, to, joined) {
                    told = "X-Forwarded-Prefix";
                    let spec = Map::new().with("prefixes", vec![prefix]);
                    Some(("strip-prefix", Map::new().with("stripPrefix", spec)))
                } else {
                    replaced(matches, to, joined).map(|(regex, to)| {
                        let spec = Map::new().with("regex", regex).with("replacement", to);
                        ("replace-path", Map::new().with("replacePathRegex", spec))
                    })
                }
            }
        };
        let origin = rule.route().origin;
        let Some(made) = made else {
            let why = "Traefik replaces what a pattern of its own matches";
            self.lose(
                rule,
                Area::Rewrite,
                origin,
                "what a regular expression matched is replaced",
                why,
                "",
            );
            return Vec::new();
        };
        let why = format!("Traefik tells servers what was changed, in `{told}`");
        self.lose(
            rule,
            Area::Headers,
            origin,
            "servers are told nothing of a changed path",
            why,
            "",
        );
        vec![made]
    }

    /// Tries after the first; none: there are none, as without a middleware.
    fn retry(&mut self, rule: &Rule<'_>, forward: &Forward) -> Option<Map> {
        let tried = retries::tried(forward)?;
        let policy = forward.retry.as_deref()?;
        let attempts = tried.retries.saturating_add(1);
        let mut spec = Map::new().with("attempts", attempts);
        let pause = match policy.backoff.value {
            Backoff::None => None,
            Backoff::FullJitter(it) => Some(it.interval(0)),
            Backoff::AddedJitter(it) => Some(it.interval(0)),
            Backoff::Around(it) => Some(it.first),
        };
        if let Some(pause) = pause {
            spec.set("initialInterval", words::length(pause));
        }
        if let Some(after) = policy.no_try_after {
            spec.set("timeout", words::length(after.value));
        }
        let statuses = tried.ranges();
        let mut lost: Vec<String> = Vec::new();
        if !statuses.is_empty() {
            if policy.body_limit != Some(2 << 20) {
                let most = policy.body_limit.and_then(|it| i64::try_from(it).ok());
                spec.set("maxRequestBodyBytes", most.unwrap_or(-1));
            }
            spec.set("status", statuses.clone());
            if !tried.unconnected {
                spec.set("disableRetryOnNetworkError", true);
            }
            if !policy.spare_sent_non_idempotent {
                spec.set("retryNonIdempotentMethod", true);
            }
        } else if !tried.unconnected {
            let why =
                "Traefik tries again what never reached a server, and for statuses of answers";
            self.lose(
                rule,
                Area::Retry,
                policy.on.origin,
                retries::words(policy),
                why,
                "nothing is tried again",
            );
            return None;
        }
        let has_502 = tried.statuses.contains(&502);
        if tried.broken && !has_502 {
            lost.push("connections that broke after something was sent".into());
        }
        if tried.slow && !tried.statuses.contains(&504) {
            lost.push("tries that took too long".into());
        }
        lost.extend(tried.others.iter().map(|it| format!("`{it}`")));
        if !policy.headers.is_empty() || !policy.request_headers.is_empty() {
            lost.push("conditions on headers".into());
        }
        if policy.avoid_previous.is_some() || policy.previous_priorities.is_some() {
            lost.push("endpoints that were tried are avoided".into());
        }
        if let Backoff::FullJitter(_) | Backoff::AddedJitter(_) = policy.backoff.value {
            lost.push(format!("pauses {}", words::pauses(&policy.backoff.value)));
        }
        if policy.rate_limited_backoff.is_some() {
            lost.push("pauses that answers ask for".into());
        }
        if !lost.is_empty() {
            let why = "Traefik tries again what never reached a server, and for statuses of answers, after pauses around an interval";
            let nearest = format!("{attempts} attempts");
            let what = format!("{}: {}", retries::words(policy), lost.join(", "));
            self.lose(rule, Area::Retry, policy.on.origin, what, why, &nearest);
        } else if policy.failures_have_statuses == statuses.is_empty() && !statuses.is_empty() {
            let why = "in Traefik a failure counts as the status that it would be answered with";
            self.lose(
                rule,
                Area::Retry,
                policy.on.origin,
                "failures have no status",
                why,
                "",
            );
        }
        Some(spec)
    }
}

/// The prefix that is taken off: where what takes its place is nothing but a slash.
fn stripped(matches: &RouteMatch, to: &str, joined: bool) -> Option<String> {
    if matches.ignore_case {
        return None;
    }
    match &matches.path {
        PathMatch::Segments(prefix) if to == "/" && joined && !prefix.is_empty() => {
            Some(prefix.to_string())
        }
        PathMatch::Segments(prefix) if to.is_empty() && !prefix.is_empty() => {
            Some(prefix.to_string())
        }
        PathMatch::Prefix(prefix) if to.is_empty() && prefix.len() > 1 => Some(prefix.to_string()),
        PathMatch::Segments(_)
        | PathMatch::Prefix(_)
        | PathMatch::Exact(_)
        | PathMatch::Regex(_)
        | PathMatch::RegexStart(_)
        | PathMatch::Connect => None,
    }
}

/// The pattern of a prefix and what takes its place; none: it is no prefix.
fn replaced(matches: &RouteMatch, to: &str, joined: bool) -> Option<(String, String)> {
    let fold = if matches.ignore_case { "(?i)" } else { "" };
    let to = to.replace('$', "$$");
    Some(match &matches.path {
        PathMatch::Exact(path) => {
            let to = if to.is_empty() { "/".to_owned() } else { to };
            (format!("{fold}^{}$", patterns::escaped(path)), to)
        }
        PathMatch::Segments(prefix) | PathMatch::Prefix(prefix) if joined => {
            let prefix = patterns::escaped(prefix.trim_end_matches('/'));
            let base = to.trim_end_matches('/');
            match base {
                "" => (format!("{fold}^{prefix}/*"), "/".to_owned()),
                base if to.ends_with('/') => (format!("{fold}^{prefix}/?"), format!("{base}/")),
                base => (format!("{fold}^{prefix}"), base.to_owned()),
            }
        }
        PathMatch::Segments(prefix) | PathMatch::Prefix(prefix) => {
            (format!("{fold}^{}", patterns::escaped(prefix)), to)
        }
        PathMatch::RegexStart(regex) => (regex.as_str().to_owned(), to),
        PathMatch::Regex(_) => (".*".to_owned(), to),
        PathMatch::Connect => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: PathMatch) -> RouteMatch {
        RouteMatch::path(path)
    }

    #[test]
    fn a_prefix_that_a_slash_takes_the_place_of_is_stripped() {
        let segments = path(PathMatch::segments("/api"));
        assert_eq!(stripped(&segments, "/", true).as_deref(), Some("/api"));
        assert_eq!(stripped(&segments, "/v2", true), None);
        assert_eq!(stripped(&path(PathMatch::segments("/")), "/", true), None);
        let prefix = path(PathMatch::Prefix("/api".into()));
        assert_eq!(
            stripped(&prefix, "/", false),
            None,
            "`/apis` would become `/s`, not `//s`"
        );
    }

    #[test]
    fn another_prefix_is_put_in_its_place_by_a_pattern() {
        let regex = |matches: &RouteMatch, to: &str, joined, path: &str| {
            let (pattern, to) = replaced(matches, to, joined).expect("a prefix");
            let pattern = regex::Regex::new(&pattern).expect("valid");
            pattern.replace_all(path, to.as_str()).into_owned()
        };
        let segments = path(PathMatch::segments("/api"));
        for (to, asked, expected) in [
            ("/v2", "/api", "/v2"),
            ("/v2", "/api/x", "/v2/x"),
            ("/v2/", "/api/x", "/v2/x"),
            ("/", "/api/x", "/x"),
        ] {
            assert_eq!(regex(&segments, to, true, asked), expected, "{to} {asked}");
        }
        let bytes = path(PathMatch::Prefix("/api".into()));
        assert_eq!(regex(&bytes, "/v2", false, "/apis/x"), "/v2s/x");
        let exact = path(PathMatch::Exact("/api".into()));
        assert_eq!(regex(&exact, "/v2", true, "/api"), "/v2");
    }
}
