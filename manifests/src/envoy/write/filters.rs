//! Filters before the router, and what routes have of them.

use std::collections::BTreeMap;

use proxy_core::config::{
    Cors, CorsList, CorsManner, Fault, HttpFilter, LocalRateLimit, RouteTable, Share, TextMatch,
};
use proxy_core::limit::token_bucket::{Refill, Settings};
use proxy_core::time::Duration;
use serde_json::{Value, json};

use super::cx::Cx;
use super::message::{Message, extension, fraction, length, runtime_fraction, string_match};
use super::{logs, matching};

const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";
const FAULT: &str = "envoy.extensions.filters.http.fault.v3.HTTPFault";
const LIMIT: &str = "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";
const WRAPPER: &str = "envoy.config.route.v3.FilterConfig";
const CORS: &str = "envoy.extensions.filters.http.cors.v3.Cors";
const CORS_POLICY: &str = "envoy.extensions.filters.http.cors.v3.CorsPolicy";
/// Names by which routes bring settings of their own.
const FAULT_NAME: &str = "envoy.filters.http.fault";
const CORS_NAME: &str = "envoy.filters.http.cors";
const LIMIT_NAME: &str = "envoy.filters.http.local_ratelimit";
/// The shortest interval that Envoy refills a bucket in.
const SHORTEST_FILL: Duration = Duration::from_millis(50);

/// Writes the filters of a connection manager, the router last; `tells`: it writes headers of Envoy's.
pub(super) fn chain(filters: &[HttpFilter], tells: bool, cx: &mut Cx<'_>) -> Vec<Value> {
    let mut written = Vec::new();
    for filter in filters {
        written.push(match filter {
            HttpFilter::Fault(fault) => {
                let nothing = Fault::default();
                let config = self::fault(fault.as_ref().unwrap_or(&nothing), cx);
                extension(FAULT_NAME, config)
            }
            HttpFilter::LocalRateLimit(limit) => {
                extension(LIMIT_NAME, rate_limit(limit.as_ref(), cx))
            }
            HttpFilter::Cors => extension(CORS_NAME, Message::any(CORS)),
        });
    }
    let mut router = Message::any(ROUTER);
    router.flag("suppress_envoy_headers", !tells);
    logs::tries(cx.written.logs.as_ref(), &mut router);
    written.push(extension("envoy.filters.http.router", router));
    written
}

/// Writes what a level below the listener says of filters into it.
pub(super) fn overrides(
    fault: Option<&Fault>,
    limit: Option<&LocalRateLimit>,
    cors: Option<&Cors>,
    message: &mut Message,
    cx: &mut Cx<'_>,
) {
    let mut configs = Message::default();
    if let Some(fault) = fault {
        configs.set(FAULT_NAME, self::fault(fault, cx));
    }
    if let Some(limit) = limit {
        let config = match is_boundless(limit) {
            true => {
                let mut off = Message::any(WRAPPER);
                off.set("disabled", true);
                off
            }
            false => rate_limit(Some(limit), cx),
        };
        configs.set(LIMIT_NAME, config);
    }
    if let Some(cors) = cors {
        configs.set(CORS_NAME, self::cors(cors, cx));
    }
    message.within("typed_per_filter_config", configs);
}

fn cors(cors: &Cors, cx: &mut Cx<'_>) -> Message {
    let mut message = Message::any(CORS_POLICY);
    // Envoy lets every origin pass where `*` would
    let any = TextMatch::Exact("*".into());
    let origins = cors.origins.iter().map(|origin| {
        let is_any = matches!(origin, TextMatch::Present);
        string_match(if is_any { &any } else { origin }, false)
    });
    match origins.collect::<Option<Vec<Value>>>() {
        Some(origins) => message.list("allow_origin_string_match", origins),
        None => cx.departs("no origin is allowed: Envoy has no such condition"),
    }
    for (field, list) in [
        ("allow_methods", &cors.methods),
        ("allow_headers", &cors.headers),
    ] {
        match list {
            None => {}
            Some(CorsList::Text(text)) => message.set(field, &**text),
            Some(CorsList::Asked) => {
                cx.departs("preflights are told `*`, which browsers do not take with credentials");
                message.set(field, "*");
            }
        }
    }
    message.maybe("expose_headers", cors.expose.as_deref());
    message.maybe("max_age", cors.max_age.as_deref());
    if cors.credentials {
        message.set("allow_credentials", true);
    }
    if cors.exposes_early && cors.expose.is_some() {
        cx.departs("preflights are not told which headers pages may read");
    }
    if !cors.forwards_others {
        message.set("forward_not_matching_preflights", false);
    }
    if let CorsManner::Kong(kong) = &cors.manner {
        if !cors.hosts().is_empty() {
            cx.departs("no origin is allowed for its host alone: Envoy compares origins whole");
        }
        if kong.continues {
            cx.departs(
                "preflights of origins that are allowed are answered: Envoy sends none of them on",
            );
        }
        if kong.private_network {
            cx.departs("preflights hear nothing of private networks");
        }
        cx.departs(
            "only an origin that is allowed is told so: others hear of no origin, method or header",
        );
    }
    message
}

fn fault(fault: &Fault, cx: &mut Cx<'_>) -> Message {
    let mut message = Message::any(FAULT);
    if let Some(delay) = &fault.delay {
        let mut written = Message::default();
        match delay.fixed {
            Some(fixed) => written.set("fixed_delay", length(fixed)),
            None => written.set("header_delay", json!({})),
        }
        written.set("percentage", fraction(delay.share));
        // Envoy takes no delay of nothing
        if delay.fixed != Some(Duration::ZERO) {
            message.set("delay", written);
        }
    }
    if let Some(abort) = &fault.abort {
        let mut written = Message::default();
        match (abort.grpc, abort.status) {
            (Some(status), _) => written.set("grpc_status", status),
            (None, Some(status @ 200..600)) => written.set("http_status", status),
            (None, Some(status)) => {
                cx.departs(format!("requests are aborted with 500, not {status}"));
                written.set("http_status", 500);
            }
            (None, None) => written.set("header_abort", json!({})),
        }
        written.set("percentage", fraction(abort.share));
        message.set("abort", written);
    }
    match matching::headers(&fault.headers) {
        Some(headers) => message.list("headers", headers),
        None => cx.departs("every request is under the fault: Envoy has no such condition"),
    }
    message.maybe("max_active_faults", fault.max_active);
    message
}

/// A limit that refuses nothing, as a route has it that turns the listener's off.
fn is_boundless(limit: &LocalRateLimit) -> bool {
    let boundless = Settings {
        max_tokens: u32::MAX,
        tokens_per_fill: u32::MAX,
        fill_interval: SHORTEST_FILL,
        refill: Refill::Continuous,
    };
    limit.bucket == boundless && limit.status == 429
}

fn rate_limit(limit: Option<&LocalRateLimit>, cx: &mut Cx<'_>) -> Message {
    let mut message = Message::any(LIMIT);
    let Some(limit) = limit else {
        message.set("stat_prefix", "limit");
        return message;
    };
    let name = match &*limit.name {
        "" => "limit",
        name => name,
    };
    message.set("stat_prefix", name);
    message.set("token_bucket", bucket(&limit.bucket, cx));
    for field in ["filter_enabled", "filter_enforced"] {
        message.set(field, runtime_fraction(Share::ALL));
    }
    if !is_status(limit.status) {
        let status = limit.status;
        cx.departs(format!(
            "a refusal has the status 429: Envoy knows no {status}"
        ));
    } else if limit.status != 429 {
        message.set("status", json!({"code": limit.status}));
    }
    message
}

/// Errors that Envoy has a name for (`type.v3.StatusCode`); what is none is no status of a refusal.
const fn is_status(status: u16) -> bool {
    matches!(status, 400..=417 | 421..=424 | 426 | 428 | 429 | 431 | 500..=508 | 510 | 511)
}

fn bucket(bucket: &Settings, cx: &mut Cx<'_>) -> Message {
    if bucket.max_tokens == 0 {
        cx.departs("the bucket has one token: Envoy has none without");
    }
    if bucket.fill_interval < SHORTEST_FILL {
        cx.departs("the bucket fills every 50 ms: Envoy fills none more often");
    }
    if bucket.refill == Refill::Steps {
        cx.departs("the bucket fills by and by, not at the ends of intervals");
    }
    let mut message = Message::default();
    message.set("max_tokens", bucket.max_tokens.max(1));
    message.unless("tokens_per_fill", bucket.tokens_per_fill.max(1), 1);
    let interval = bucket.fill_interval.max(SHORTEST_FILL);
    message.set("fill_interval", length(interval));
    message
}

/// Limits of one bucket that several routes have: they stand at the level around these routes, since Envoy gives every place a bucket
/// of its own.
#[derive(Default)]
pub(super) struct Shared<'a> {
    table: Option<&'a LocalRateLimit>,
    hosts: Vec<Option<&'a LocalRateLimit>>,
    /// Routes by the name of their bucket.
    routes: BTreeMap<&'a str, usize>,
}

impl<'a> Shared<'a> {
    pub(super) fn of(table: &'a RouteTable) -> Self {
        let mut shared = Self::default();
        let mut hosts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut limits: BTreeMap<&str, &LocalRateLimit> = BTreeMap::new();
        for (number, host) in table.virtual_hosts.iter().enumerate() {
            let all = host.routes.iter().filter_map(|r| r.rate_limit.as_deref());
            for limit in all.filter(|limit| !is_boundless(limit)) {
                *shared.routes.entry(&limit.name).or_default() += 1;
                let of = hosts.entry(&limit.name).or_default();
                if of.last() != Some(&number) {
                    of.push(number);
                }
                limits.insert(&limit.name, limit);
            }
        }
        // a route without a limit would have the one around it
        let all_have = |host: &proxy_core::config::VirtualHost| {
            host.routes.iter().all(|route| route.rate_limit.is_some())
        };
        let wide = hosts.iter().find(|(_, of)| of.len() > 1);
        if let Some((name, _)) = wide
            && table.virtual_hosts.iter().all(all_have)
        {
            shared.table = limits.get(name).copied();
        }
        shared.hosts = vec![None; table.virtual_hosts.len()];
        for (name, of) in &hosts {
            if let [only] = of[..]
                && shared.routes[name] > 1
                && shared.hosts[only].is_none()
                && all_have(&table.virtual_hosts[only])
            {
                shared.hosts[only] = limits.get(name).copied();
            }
        }
        shared
    }

    pub(super) const fn of_table(&self) -> Option<&'a LocalRateLimit> {
        self.table
    }

    pub(super) fn of_host(&self, host: usize) -> Option<&'a LocalRateLimit> {
        self.hosts[host]
    }

    /// What a route itself has to say.
    pub(super) fn of_route<'r>(
        &self,
        host: usize,
        route: &'r proxy_core::config::Route,
        cx: &mut Cx<'_>,
    ) -> Option<&'r LocalRateLimit> {
        let own = route.rate_limit.as_deref()?;
        let around = self.hosts[host].or(self.table);
        if around.is_some_and(|around| around.name == own.name) {
            return None;
        }
        let sharing = self.routes.get(&*own.name).copied().unwrap_or_default();
        if sharing > 1 && !is_boundless(own) {
            cx.departs("its rate limit has a bucket of its own: other routes have others");
        }
        Some(own)
    }
}
