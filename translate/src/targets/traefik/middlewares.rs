//! What a route does to its requests as middlewares.

use std::collections::BTreeMap;

use compare::Area;
use proxy_core::config::{
    AbsentKey, Cidr, ClientOf, Cors, CorsList, DirectResponse, Forward, ForwardedEntry, Gate,
    GateKey, GateKind, HostRewrite, LocalRateLimit, PathMatch, PathRewrite, RateLimit, RouteAction,
    RouteMatch, TextMatch,
};
use proxy_core::heads::HeaderOp;
use proxy_core::limit::leaky_bucket::LeakyBucket;
use proxy_core::limit::windows::Period;
use proxy_core::origin::OriginId;
use proxy_core::retry::backoff::Backoff;
use proxy_core::time::Duration;

use super::Writer;
use crate::targets::edge::flat::Rule;
use crate::targets::edge::{patterns, retries, unsaid, words};
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
                if let Some(rewrite) = &forward.rewrite {
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

    fn headers(&mut self, rule: &Rule<'_>) -> Option<Map> {
        let route = rule.route();
        let (mut request, mut response) =
            (route.request_edits.clone(), route.response_edits.clone());
        let mut host = None;
        if let RouteAction::Forward(forward) = &route.action {
            let own: Vec<_> = forward.clusters.iter().filter(|it| it.weight > 0).collect();
            match own[..] {
                [only] => {
                    request.extend(only.request_edits.iter().cloned());
                    response.splice(0..0, only.response_edits.iter().cloned());
                }
                _ => {
                    for one in own
                        .iter()
                        .filter(|it| !it.request_edits.is_empty() || !it.response_edits.is_empty())
                    {
                        let why =
                            "headers of one share are edited in Traefik where no other share is";
                        self.lose(
                            rule,
                            Area::Headers,
                            one.origin,
                            "edits of headers for a share of the requests",
                            why,
                            "",
                        );
                    }
                }
            }
            match &forward.host {
                Some(HostRewrite::Literal(literal)) => host = Some(literal.to_string()),
                Some(HostRewrite::Header(name)) => {
                    let why = "Traefik sets a Host that is written";
                    let what = format!("servers see the value of `{name}` as the host");
                    self.lose(
                        rule,
                        Area::Rewrite,
                        route.origin,
                        what,
                        why,
                        "the client's host",
                    );
                }
                Some(HostRewrite::Endpoint) | None => {}
            }
        }
        let request = self.edits(rule, &request, host);
        let response = self.edits(rule, &response, None);
        let mut spec = Map::new()
            .map("customRequestHeaders", request)
            .map("customResponseHeaders", response);
        if let Some(cors) = &route.cors {
            for (key, value) in self.cors(rule, cors).iter() {
                spec.set(key, value.clone());
            }
        }
        (!spec.is_empty()).then_some(spec)
    }

    /// Edits as names with values; an empty value takes a header away.
    fn edits(&mut self, rule: &Rule<'_>, edits: &[HeaderOp], host: Option<String>) -> Map {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        all.extend(host.map(|host| ("Host".to_owned(), host)));
        for edit in edits {
            let name = title(edit.name());
            let (value, kept) = match edit {
                HeaderOp::Set(_, value) => (value.to_string(), !value.is_empty()),
                HeaderOp::Remove(_) => (String::new(), true),
                HeaderOp::Append(_, value) | HeaderOp::AddIfAbsent(_, value) => {
                    (value.to_string(), false)
                }
                HeaderOp::IfPresent(..) => {
                    let why = "Traefik edits headers whether or not they are there";
                    let what = format!("an edit of `{}` where it is there", edit.name());
                    self.lose(
                        rule,
                        Area::Headers,
                        rule.route().origin,
                        what,
                        why,
                        "nothing",
                    );
                    continue;
                }
            };
            if !kept {
                let why = "Traefik sets headers or takes them away";
                let what = match value.is_empty() {
                    true => format!("`{}` with an empty value", edit.name()),
                    false => format!(
                        "a value of `{}` that is added to those that it has",
                        edit.name()
                    ),
                };
                self.lose(
                    rule,
                    Area::Headers,
                    rule.route().origin,
                    what,
                    why,
                    "it is set",
                );
            }
            all.insert(name, value);
        }
        let mut map = Map::new();
        for (name, value) in all {
            map.set(&name, value);
        }
        map
    }

    fn cors(&mut self, rule: &Rule<'_>, cors: &Cors) -> Map {
        let (mut origins, mut patterns) = (Vec::new(), Vec::new());
        for origin in &cors.origins {
            match origin {
                TextMatch::Exact(text) => origins.push(text.to_string()),
                TextMatch::Present => origins.push("*".to_owned()),
                other => patterns.extend(patterns::search(other, false)),
            }
        }
        if cors.forwards_others {
            let why = "Traefik answers every preflight itself";
            let what = "preflights of other origins go to the server";
            self.lose(rule, Area::Cors, cors.origin, what, why, "");
        }
        let list = |list: &Option<CorsList>| match list {
            None => Vec::new(),
            Some(CorsList::Asked) => vec!["*".to_owned()],
            Some(CorsList::Text(text)) => split(text),
        };
        if cors.methods == Some(CorsList::Asked) && !cors.credentials {
            let why = "Traefik says `*` where no credentials are sent";
            self.lose(
                rule,
                Area::Cors,
                cors.origin,
                "preflights are told what they ask for",
                why,
                "`*`",
            );
        }
        let expose = cors.expose.as_deref().map(split).unwrap_or_default();
        if cors.expose.is_some() && !cors.exposes_early {
            let why = "Traefik tells preflights, too";
            let what = "answers alone say which headers pages may read";
            self.lose(rule, Area::Cors, cors.origin, what, why, "");
        }
        let age: Option<i64> = cors.max_age.as_deref().and_then(|age| age.parse().ok());
        let mut map = Map::new()
            .list("accessControlAllowOriginList", origins)
            .list("accessControlAllowOriginListRegex", patterns)
            .list("accessControlAllowMethods", list(&cors.methods))
            .list("accessControlAllowHeaders", list(&cors.headers))
            .list("accessControlExposeHeaders", expose)
            .maybe("accessControlMaxAge", age);
        if cors.credentials {
            map.set("accessControlAllowCredentials", true);
        }
        map
    }

    /// A change of the path. What a prefix is replaced by stands behind the prefix of the rule.
    fn rewrite(&mut self, rule: &Rule<'_>, rewrite: &PathRewrite) -> Vec<(&'static str, Map)> {
        let matches = &rule.route().matches;
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

    fn gate(&mut self, rule: &Rule<'_>, gate: &Gate) -> Vec<(&'static str, Map)> {
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

    fn local_limit(&mut self, rule: &Rule<'_>, limit: &LocalRateLimit) -> Map {
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
    if bucket.leaks % 1_000 == 0 {
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

fn split(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim).filter(|it| !it.is_empty());
    parts.map(str::to_owned).collect()
}

/// A header's name as people write it: `X-User-Id`.
pub(super) fn title(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|it| it.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
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

    #[test]
    fn a_leaky_bucket_is_one_that_refills_by_its_rate() {
        let second = leaky(&LeakyBucket::per_second(10, 50));
        assert_eq!(
            second,
            Map::new().with("average", 10_u64).with("burst", 51_u64)
        );
        let minute = leaky(&LeakyBucket::per_minute(90, 450));
        assert_eq!(
            minute,
            Map::new()
                .with("average", 90_u64)
                .with("period", "1m")
                .with("burst", 451_u64)
        );
    }

    #[test]
    fn names_of_headers_are_as_people_write_them() {
        assert_eq!(title("x-user-id"), "X-User-Id");
        assert_eq!(title("cookie"), "Cookie");
    }
}
