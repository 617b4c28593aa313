//! What a route does to its requests as plugins.
//!
//! Some of them Kong carries out and this project's model of Kong does not; they are written all the same, and it is said that they were not compared.

use compare::Area;
use proxy_core::config::{
    AbsentKey, Cors, CorsList, CorsManner, DirectResponse, Gate, GateKey, GateKind, KongCors,
    LocalRateLimit, PathRedirect, RateLimit, Redirect, RouteAction, TextMatch,
};
use proxy_core::heads::HeaderOp;
use proxy_core::limit::leaky_bucket::LeakyBucket;
use proxy_core::limit::windows::Period;
use proxy_core::origin::OriginId;
use proxy_core::time::Duration;

use super::{GROUP, Writer};
use crate::object::Object;
use crate::targets::edge::flat::{Rule, Sides};
use crate::targets::edge::{patterns, unsaid};
use crate::yaml::Map;

impl Writer<'_, '_> {
    /// The names of a route's plugins.
    pub(super) fn plugins(&mut self, rule: &Rule<'_>, namespace: &str) -> Vec<String> {
        let route = rule.route();
        let mut names = Vec::new();
        let mut add = |this: &mut Self, kind: &str, config: Map, origin: OriginId| {
            names.push(this.plugin(kind, namespace, config, origin));
        };
        let mut limited = false;
        if let Some(limit) = &route.rate_limit {
            let config = self.local_limit(rule, limit);
            add(self, "rate-limiting", config, limit.origin);
            limited = true;
        }
        for gate in &route.gates {
            match &gate.kind {
                GateKind::Rate { limit, key } if !limited => {
                    let config = self.rate(rule, gate, limit, key);
                    add(self, "rate-limiting", config, gate.origin);
                    limited = true;
                }
                GateKind::Rate { .. } => {
                    let why = "Kong takes one plugin of a kind";
                    self.lose(
                        rule,
                        Area::Limit,
                        gate.origin,
                        "a second rate limit",
                        why,
                        "the first alone",
                    );
                }
                GateKind::InFlight { .. } | GateKind::Breaker(_) => {
                    let why = "Kong has no such plugin";
                    self.lose(rule, Area::Limit, gate.origin, unsaid::gate(gate), why, "");
                }
            }
        }
        if let Some(cors) = &route.cors {
            let config = self.cors(rule, cors);
            add(self, "cors", config, cors.origin);
        }
        let (request, response) = self.edits(rule);
        if !request.is_empty() {
            add(self, "request-transformer", request, route.origin);
            self.not_compared(
                rule,
                Area::Headers,
                route.origin,
                "edits of requests' headers",
                "request-transformer",
            );
        }
        if !response.is_empty() {
            add(self, "response-transformer", response, route.origin);
            self.not_compared(
                rule,
                Area::Headers,
                route.origin,
                "edits of answers' headers",
                "response-transformer",
            );
        }
        match &route.action {
            RouteAction::Direct(answer) => {
                let config = self.direct(rule, answer);
                add(self, "request-termination", config, route.origin);
            }
            RouteAction::Redirect(redirect) => {
                if let Some(config) = self.redirect(rule, redirect) {
                    add(self, "redirect", config, route.origin);
                    self.not_compared(rule, Area::Redirect, route.origin, "a redirect", "redirect");
                }
            }
            RouteAction::Forward(forward) => {
                if let Some(body) = forward.largest_body {
                    let config = Map::new()
                        .with("allowed_payload_size", body.value)
                        .with("size_unit", "bytes");
                    add(self, "request-size-limiting", config, body.origin);
                    let what = format!("bodies of more than {} bytes are refused", body.value);
                    self.not_compared(
                        rule,
                        Area::Limit,
                        body.origin,
                        &what,
                        "request-size-limiting",
                    );
                }
            }
        }
        names
    }

    /// A plugin with these settings, and its name: one that says the same is used again.
    fn plugin(&mut self, kind: &str, namespace: &str, config: Map, rule: OriginId) -> String {
        let mut objects = self.written.objects.iter_mut();
        let same = objects.find(|it| {
            it.kind == "KongPlugin"
                && it.namespace == namespace
                && it.body.get("plugin") == Some(&kind.into())
                && it.body.get("config") == Some(&config.clone().into())
        });
        if let Some(same) = same {
            same.comes_from(rule);
            return same.name.clone();
        }
        let name = self.written.free_name("KongPlugin", namespace, kind);
        let mut object =
            Object::new(&format!("{GROUP}/v1"), "KongPlugin", namespace, &name).from(rule);
        object.body.set("plugin", kind);
        object.body.set("config", config);
        self.written.add(object);
        name
    }

    fn not_compared(
        &mut self,
        rule: &Rule<'_>,
        area: Area,
        origin: OriginId,
        what: &str,
        plugin: &str,
    ) {
        let why = format!(
            "Kong's plugin `{plugin}` does it; what it does is not modelled here, so that it was not compared"
        );
        let loss = self
            .loss(rule, area, origin, what, why)
            .nearest(format!("`{plugin}`"));
        // what is not done here looks like something else
        let others: &[Area] = match () {
            () if area == Area::Redirect => &[Area::Destination, Area::Answer],
            () => &[],
        };
        self.written
            .lose(others.iter().fold(loss, |loss, area| loss.also(*area)));
    }

    fn direct(&mut self, rule: &Rule<'_>, answer: &DirectResponse) -> Map {
        if answer.body.is_empty() {
            let why = "Kong says something of a status, where no text is written";
            self.lose(
                rule,
                Area::Answer,
                rule.route().origin,
                "an answer without a text",
                why,
                "the status",
            );
        }
        let body = Some(&*answer.body).filter(|body| !body.is_empty());
        Map::new()
            .with("status_code", answer.status)
            .maybe("content_type", body.map(|_| "text/plain"))
            .maybe("body", body)
    }

    fn redirect(&mut self, rule: &Rule<'_>, redirect: &Redirect) -> Option<Map> {
        let origin = rule.route().origin;
        let Some(host) = redirect.host.as_deref() else {
            let why = "Kong's plugin `redirect` leads to an address that is written whole";
            let what = "a redirect to the host that was asked for";
            let loss = self.loss(rule, Area::Redirect, origin, what, why);
            let loss = loss.nearest("the rule leads to its host's Service");
            self.written
                .lose(loss.also(Area::Destination).also(Area::Answer));
            return None;
        };
        let over_tls = rule.sides == Sides::Tls;
        let scheme = redirect.scheme.as_deref();
        let scheme = scheme.unwrap_or(if over_tls { "https" } else { "http" });
        let own = if scheme == "https" { 443 } else { 80 };
        let port = redirect.port.filter(|port| *port != own);
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        let (path, keeps) = match &redirect.path {
            None => (String::new(), true),
            Some(PathRedirect::Full(path)) => (path.to_string(), false),
            Some(
                PathRedirect::Prefix(_)
                | PathRedirect::JoinedPrefix(_)
                | PathRedirect::Regex(..)
                | PathRedirect::Url(..),
            ) => {
                let why = "Kong's plugin `redirect` keeps the whole path or none of it";
                self.lose(
                    rule,
                    Area::Redirect,
                    origin,
                    "another path of a redirect",
                    why,
                    "the path is kept",
                );
                (String::new(), true)
            }
        };
        let mut config = Map::new().with("location", format!("{scheme}://{host}{port}{path}"));
        if redirect.status != 301 {
            config.set("status_code", redirect.status);
        }
        if keeps {
            config.set("keep_incoming_path", true);
        }
        Some(config)
    }

    fn rate(&mut self, rule: &Rule<'_>, gate: &Gate, limit: &RateLimit, key: &GateKey) -> Map {
        if !gate.exempt.is_empty() {
            let why = "Kong counts every client";
            self.lose(
                rule,
                Area::Limit,
                gate.origin,
                "clients that are not counted",
                why,
                "they are",
            );
        }
        let mut config = Map::new();
        let mut tells = false;
        match limit {
            RateLimit::Windows(windows) => {
                for (period, most) in &windows.limits {
                    config.set(word(*period), *most);
                }
                tells = windows.tells;
            }
            RateLimit::Leaky(buckets) => {
                for bucket in buckets {
                    let (period, most) = leaky(bucket);
                    config.set(word(period), most);
                }
                self.not_windows(rule, gate.origin, "a leaky bucket (NGINX)");
            }
            RateLimit::Delaying(bucket) => {
                let (period, most) = of_rate(bucket.average, bucket.period);
                config.set(word(period), most);
                self.not_windows(rule, gate.origin, "a bucket that refills (Traefik)");
            }
        }
        let mut shared = |what: &str, nearest: &str| {
            let why = "Kong counts by address, header, path, or all to a Service";
            self.lose(rule, Area::Limit, gate.origin, what, why, nearest);
        };
        let by = match key {
            GateKey::All => Map::new().with("limit_by", "service"),
            GateKey::ClientAddress { v6_prefix, .. } => {
                if v6_prefix.is_some() {
                    shared(
                        "clients of one network of IPv6 count together",
                        "each address counts",
                    );
                }
                Map::new().with("limit_by", "ip")
            }
            GateKey::Header { name, absent } => {
                if *absent != AbsentKey::Address {
                    shared(
                        "requests without the header count in another way",
                        "by address",
                    );
                }
                Map::new()
                    .with("limit_by", "header")
                    .with("header_name", &**name)
            }
            GateKey::Path(path) => Map::new().with("limit_by", "path").with("path", &**path),
            GateKey::Host => {
                shared("requests for one host count together", "all to a Service");
                Map::new().with("limit_by", "service")
            }
            GateKey::Cookie { .. } => {
                shared("requests count by a cookie", "by the whole header `cookie`");
                Map::new()
                    .with("limit_by", "header")
                    .with("header_name", "cookie")
            }
            GateKey::Forwarded { .. } => {
                shared("clients are known by `x-forwarded-for`", "by address");
                Map::new().with("limit_by", "ip")
            }
        };
        for (key, value) in by.iter() {
            config.set(key, value.clone());
        }
        config.set("policy", "local");
        if gate.status != 429 {
            config.set("error_code", gate.status);
        }
        if !tells {
            config.set("hide_client_headers", true);
        }
        config
    }

    fn local_limit(&mut self, rule: &Rule<'_>, limit: &LocalRateLimit) -> Map {
        let bucket = limit.bucket;
        let (period, most) = of_rate(u64::from(bucket.tokens_per_fill), bucket.fill_interval);
        self.not_windows(rule, limit.origin, "a bucket that refills (Envoy)");
        let mut config = Map::new()
            .with(word(period), most)
            .with("limit_by", "service")
            .with("policy", "local");
        if limit.status != 429 {
            config.set("error_code", limit.status);
        }
        config.with("hide_client_headers", true)
    }

    fn not_windows(&mut self, rule: &Rule<'_>, origin: OriginId, what: &str) {
        let why = "Kong counts from one turn of the clock to the next, so that twice the limit may pass about a turn and no burst beyond it";
        self.lose(
            rule,
            Area::Limit,
            origin,
            what,
            why,
            "as many in a window of the clock",
        );
    }

    fn cors(&mut self, rule: &Rule<'_>, cors: &Cors) -> Map {
        let kong = match &cors.manner {
            CorsManner::Envoy => {
                let why = "Kong tells preflights of every origin, and marks all answers";
                let what = "origins that are not allowed hear nothing of methods and headers";
                self.lose(rule, Area::Cors, cors.origin, what, why, "`cors`");
                None
            }
            CorsManner::Kong(kong) => Some(kong),
        };
        let origins = cors.origins.iter().chain(cors.hosts());
        let origins = origins.map(|origin| match origin {
            TextMatch::Exact(text) => text.to_string(),
            TextMatch::Present => "*".to_owned(),
            other @ (TextMatch::Prefix(_)
            | TextMatch::Suffix(_)
            | TextMatch::Contains(_)
            | TextMatch::Regex(_)
            | TextMatch::Range(..)
            | TextMatch::Address(_)) => {
                let own = own_pattern(other).map(str::to_owned);
                let found = own.or_else(|| patterns::search(other, false));
                found.unwrap_or_else(|| "*".to_owned())
            }
        });
        let list = |list: &Option<CorsList>| match list {
            Some(CorsList::Text(text)) => split(text),
            Some(CorsList::Asked) | None => Vec::new(),
        };
        let age: Option<i64> = cors.max_age.as_deref().and_then(|age| age.parse().ok());
        let config = Map::new()
            .list("origins", origins.collect::<Vec<_>>())
            .list("methods", list(&cors.methods))
            .list("headers", list(&cors.headers))
            .list(
                "exposed_headers",
                cors.expose.as_deref().map(split).unwrap_or_default(),
            )
            .maybe("max_age", age);
        let is = |of: fn(&KongCors) -> bool| kong.is_some_and(of).then_some(true);
        config
            .maybe("credentials", cors.credentials.then_some(true))
            .maybe("preflight_continue", is(|kong| kong.continues))
            .maybe("private_network", is(|kong| kong.private_network))
            .maybe(
                "allow_origin_absent",
                is(|kong| !kong.marks_others).map(|_| false),
            )
    }

    /// The settings of `request-transformer` and of `response-transformer`.
    fn edits(&mut self, rule: &Rule<'_>) -> (Map, Map) {
        let route = rule.route();
        let (mut request, mut response) =
            (route.request_edits.clone(), route.response_edits.clone());
        if let RouteAction::Forward(forward) = &route.action {
            let most = forward.clusters.iter().map(|it| it.weight).max();
            if let Some(main) = forward.clusters.iter().find(|it| Some(it.weight) == most) {
                request.extend(main.request_edits.iter().cloned());
                response.splice(0..0, main.response_edits.iter().cloned());
            }
        }
        (
            self.transformer(rule, &request),
            self.transformer(rule, &response),
        )
    }

    /// Kong's order is remove, rename, replace, add, append: a header that is set is replaced where it is there and added where it is not.
    fn transformer(&mut self, rule: &Rule<'_>, edits: &[HeaderOp]) -> Map {
        let (mut remove, mut replace, mut add, mut append) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for edit in edits {
            let line = |value: &str| format!("{}:{value}", edit.name());
            match edit {
                HeaderOp::Set(_, value) => {
                    replace.push(line(value));
                    add.push(line(value));
                }
                HeaderOp::AddIfAbsent(_, value) => add.push(line(value)),
                HeaderOp::Append(_, value) => append.push(line(value)),
                HeaderOp::Remove(name) => remove.push(name.to_string()),
                HeaderOp::IfPresent(..) => {
                    let why = "Kong edits headers whether or not they are there";
                    let what = format!("an edit of `{}` where it is there", edit.name());
                    self.lose(rule, Area::Headers, rule.route().origin, what, why, "");
                }
            }
        }
        let headers = |lines: Vec<String>| Map::new().list("headers", lines);
        Map::new()
            .map("remove", headers(remove))
            .map("replace", headers(replace))
            .map("add", headers(add))
            .map("append", headers(append))
    }
}

const fn word(period: Period) -> &'static str {
    match period {
        Period::Second => "second",
        Period::Minute => "minute",
        Period::Hour => "hour",
        Period::Day => "day",
        Period::Month => "month",
        Period::Year => "year",
    }
}

/// A leaky bucket as a window: its rate in a second, or in a minute where less than one a second leaks.
fn leaky(bucket: &LeakyBucket) -> (Period, u64) {
    if bucket.leaks.is_multiple_of(1_000) && bucket.leaks > 0 {
        (Period::Second, bucket.leaks / 1_000)
    } else {
        // thousandths of a request in a second were rounded down
        (Period::Minute, (bucket.leaks * 60).div_ceil(1_000).max(1))
    }
}

/// So many in a time as a window: the shortest in which they are a whole number.
fn of_rate(number: u64, time: Duration) -> (Period, u64) {
    let nanos = u128::from(time.as_nanos().max(1));
    let in_window = |seconds: u128| u128::from(number) * seconds * 1_000_000_000;
    let windows = [
        (Period::Second, 1),
        (Period::Minute, 60),
        (Period::Hour, 3_600),
        (Period::Day, 86_400),
    ];
    let whole = windows.iter().find(|(_, seconds)| {
        let all = in_window(*seconds);
        all > 0 && all % nanos == 0
    });
    let (period, seconds) = whole.copied().unwrap_or((Period::Day, 86_400));
    let most = (in_window(seconds) / nanos).max(1);
    (period, u64::try_from(most).unwrap_or(u64::MAX))
}

fn split(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim).filter(|it| !it.is_empty());
    parts.map(str::to_owned).collect()
}

/// A pattern of origins as Kong's plugin was given it, whose end Kong marks itself.
fn own_pattern(origin: &TextMatch) -> Option<&str> {
    let TextMatch::Regex(regex) = origin else {
        return None;
    };
    let whole = regex.as_str().strip_prefix("^(?:(?:")?;
    whole.strip_suffix("$)(?s:.*))$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_windows_in_which_they_are_whole() {
        for (number, time, expected) in [
            (100, Duration::from_secs(1), (Period::Second, 100)),
            (1, Duration::from_secs(2), (Period::Minute, 30)),
            (5, Duration::from_millis(500), (Period::Second, 10)),
            (30, Duration::from_secs(60), (Period::Minute, 30)),
            (60, Duration::from_secs(60), (Period::Second, 1)),
            (1, Duration::from_secs(7 * 3_600), (Period::Day, 3)),
        ] {
            assert_eq!(
                of_rate(number, time),
                expected,
                "{number} in {}",
                crate::targets::edge::words::length(time)
            );
        }
    }

    #[test]
    fn leaky_buckets_are_windows_of_their_rate() {
        assert_eq!(
            leaky(&LeakyBucket::per_second(10, 50)),
            (Period::Second, 10)
        );
        assert_eq!(
            leaky(&LeakyBucket::per_minute(90, 450)),
            (Period::Minute, 90)
        );
    }
}
