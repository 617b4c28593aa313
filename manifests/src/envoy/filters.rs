//! Filters before the router, and what routes have of them.

use proxy_core::config::{
    Cors, CorsList, CorsManner, Fault, FaultAbort, FaultDelay, HttpFilter, LocalRateLimit, Share,
    TextMatch,
};
use proxy_core::limit::token_bucket::{Refill, Settings};
use proxy_core::origin::OriginId;
use proxy_core::time::Duration;

use super::compile::Cx;
use super::matching;
use super::read::{self, Typed};
use super::types::{self, PerFilter};
use super::values::Fraction;
use crate::text::{Node, Span, Spanned};

const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";
/// A filter for those whom a matcher takes. Source: Envoy v3 `ExtensionWithMatcher`; without a rule it is for everybody.
const MATCHED: &str = "envoy.extensions.common.matching.v3.ExtensionWithMatcher";
const FAULT: &str = "envoy.extensions.filters.http.fault.v3.HTTPFault";
const LIMIT: &str = "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";
const CORS: &str = "envoy.extensions.filters.http.cors.v3.Cors";
const CORS_POLICY: &str = "envoy.extensions.filters.http.cors.v3.CorsPolicy";
const WRAPPER: &str = "envoy.config.route.v3.FilterConfig";
/// The shortest interval that Envoy refills a bucket in.
const SHORTEST_FILL: Duration = Duration::from_millis(50);

/// What a level below the listener says of filters.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrides {
    pub(super) fault: Option<Fault>,
    pub(super) rate_limit: Option<LocalRateLimit>,
    pub(super) cors: Option<Cors>,
}

impl Overrides {
    /// Where this level says nothing, `outer` does.
    pub(super) fn or(self, outer: &Self) -> Self {
        Self {
            fault: self.fault.or_else(|| outer.fault.clone()),
            rate_limit: self.rate_limit.or_else(|| outer.rate_limit.clone()),
            cors: self.cors.or_else(|| outer.cors.clone()),
        }
    }
}

/// The filters of a connection manager.
pub(super) struct Chain {
    pub(super) filters: Vec<HttpFilter>,
    /// Whether the router writes headers of Envoy's.
    pub(super) tells: bool,
}

/// Compiles the filters of a connection manager, of which the router must be the last.
pub(super) fn chain(filters: &[Node], place: &str, span: Span, cx: &mut Cx<'_>) -> Chain {
    let mut chain = Vec::new();
    let (mut has_router, mut tells) = (false, true);
    for (number, node) in filters.iter().enumerate() {
        let Some(filter) = crate::text::read::<types::HttpFilter>(node, cx.out) else {
            continue;
        };
        let dynamic = "nothing is fetched: requests pass the filter untouched";
        cx.note(filter.config_discovery, "config_discovery", dynamic);
        let typed = match &filter.typed_config {
            Some(config) => cx.typed(config),
            None => read::by_name(filter.name.as_ref(), node.span),
        };
        let typed = typed.and_then(|typed| unmatched(typed, cx));
        if filter.disabled {
            cx.left_out(node.span, "a filter that routes may turn on", "it is off");
            continue;
        }
        match typed {
            Some(typed) if typed.kind == ROUTER => {
                let router: Option<types::Router> = cx.read(&typed.config);
                tells = router.is_none_or(|router| !router.suppress_envoy_headers);
                has_router = number + 1 == filters.len();
            }
            Some(typed) if typed.kind == FAULT => {
                let fault = fault(&typed.config, cx);
                let does = fault.filter(|fault| fault.delay.is_some() || fault.abort.is_some());
                chain.push(HttpFilter::Fault(does));
            }
            Some(typed) if typed.kind == CORS => chain.push(HttpFilter::Cors),
            Some(typed) if typed.kind == LIMIT => {
                let name = format!("{place}/{number}");
                let limit = rate_limit(&typed.config, &name, cx);
                chain.push(HttpFilter::LocalRateLimit(limit.and_then(Limit::enforced)));
            }
            Some(_) | None => {
                let name = filter.name.as_ref().map_or("", |name| name.value.as_str());
                let kind = typed.as_ref().map_or("", |typed| typed.kind.as_str());
                unmodelled(name, kind, node.span, cx);
            }
        }
    }
    if !has_router {
        cx.refuse(span, "the last of `http_filters` must be the router");
    }
    Chain {
        filters: chain,
        tells,
    }
}

/// A filter without the matcher that says for whom it is, if that is for everybody.
fn unmatched(typed: Typed, cx: &mut Cx<'_>) -> Option<Typed> {
    let either =
        |snake: &str, camel: &str| typed.config.get(snake).or_else(|| typed.config.get(camel));
    let is_empty = |node: &Node| node.as_map().is_some_and(|map| map.entries().is_empty());
    let matcher = either("xds_matcher", "xdsMatcher");
    if typed.kind != MATCHED || !matcher.is_none_or(is_empty) {
        return Some(typed);
    }
    let inner = either("extension_config", "extensionConfig")?;
    let config = inner
        .get("typed_config")
        .or_else(|| inner.get("typedConfig"))?;
    cx.typed(config)
}

fn unmodelled(name: &str, kind: &str, span: Span, cx: &mut Cx<'_>) {
    let guards = [
        "jwt_authn",
        "rbac",
        "ext_authz",
        "basic_auth",
        "api_key_auth",
        "oauth2",
        "csrf",
    ];
    let limits = [
        "ratelimit",
        "admission_control",
        "adaptive_concurrency",
        "rate_limit_quota",
        "buffer",
    ];
    let is = |words: &[&str]| words.iter().any(|word| kind.contains(&format!(".{word}.")));
    let meaning = if is(&guards) {
        "nobody is turned away: requests that it would refuse pass"
    } else if is(&limits) {
        "nothing is held back: requests that it would refuse pass"
    } else {
        "requests and responses pass it untouched"
    };
    cx.left_out(span, &format!("the HTTP filter `{name}`"), meaning);
}

/// Compiles what a route, a virtual host or a table says of filters; `place` tells its buckets from others.
pub(super) fn overrides(written: &PerFilter, place: &str, cx: &mut Cx<'_>) -> Overrides {
    let mut overrides = Overrides::default();
    for (name, node) in written {
        let Some(typed) = cx.typed(node) else {
            continue;
        };
        let (typed, disabled) = if typed.kind == WRAPPER {
            let Some(wrapper) = cx.read::<types::FilterConfig>(&typed.config) else {
                continue;
            };
            let inner = wrapper.config.as_ref().and_then(|config| cx.typed(config));
            (inner, wrapper.disabled)
        } else {
            (Some(typed), false)
        };
        let origin = cx.written(node.span);
        if disabled {
            turn_off(name, origin, &mut overrides, cx);
        } else {
            take(name, typed, place, &mut overrides, cx);
        }
    }
    overrides
}

fn turn_off(name: &Spanned<String>, origin: OriginId, overrides: &mut Overrides, cx: &mut Cx<'_>) {
    match name.as_str() {
        "envoy.filters.http.fault" => {
            overrides.fault = Some(Fault {
                origin,
                ..Fault::default()
            });
        }
        "envoy.filters.http.local_ratelimit" => overrides.rate_limit = Some(boundless(origin)),
        "envoy.filters.http.cors" => overrides.cors = Some(nobody(origin)),
        other => {
            let what = format!("turning off the filter `{other}`");
            cx.left_out(name.span, &what, "nothing changes by it");
        }
    }
}

fn take(
    name: &Spanned<String>,
    typed: Option<Typed>,
    place: &str,
    overrides: &mut Overrides,
    cx: &mut Cx<'_>,
) {
    match typed {
        Some(typed) if typed.kind == FAULT => overrides.fault = fault(&typed.config, cx),
        Some(typed) if typed.kind == CORS_POLICY => overrides.cors = cors(&typed.config, cx),
        Some(typed) if typed.kind == LIMIT => {
            let limit = rate_limit(&typed.config, place, cx);
            let origin = cx.written(typed.config.span);
            let enforced = limit.and_then(Limit::enforced);
            overrides.rate_limit = Some(enforced.unwrap_or_else(|| boundless(origin)));
        }
        Some(_) | None => {
            let what = format!("what this says of the filter `{name}`");
            cx.left_out(name.span, &what, "requests pass the filter untouched");
        }
    }
}

fn fault(node: &Node, cx: &mut Cx<'_>) -> Option<Fault> {
    let written: types::HttpFault = cx.read(node)?;
    let share = |fraction: Option<Fraction>| fraction.map_or(Share::ZERO, Fraction::share);
    let delay = written.delay.as_ref().map(|delay| FaultDelay {
        fixed: delay.fixed_delay.map(|length| length.0),
        share: share(delay.percentage),
    });
    let abort = written.abort.as_ref().map(|abort| {
        let status = abort.http_status;
        if let Some(status) = status.filter(|status| !(200..600).contains(&status.value.0)) {
            cx.refuse(status.span, "must be from 200 to 599");
        }
        FaultAbort {
            status: status.map(|status| status.value.0),
            grpc: abort.grpc_status.map(|status| status.0),
            share: share(abort.percentage),
        }
    });
    Some(Fault {
        delay,
        abort,
        headers: matching::headers(&written.headers, cx)?,
        max_active: written.max_active_faults.map(|most| most.0),
        origin: cx.written(node.span),
    })
}

/// Source: Envoy v3 `CorsPolicy`; a policy that is not enabled allows nobody.
/// A policy, whether of the filter or of the deprecated field `cors`.
pub(super) fn cors(node: &Node, cx: &mut Cx<'_>) -> Option<Cors> {
    let written: types::CorsPolicy = cx.read(node)?;
    let origin = cx.written(node.span);
    if let Some(enabled) = &written.filter_enabled {
        let share = matching::default_share(enabled);
        if share == Share::ZERO {
            return Some(nobody(origin));
        }
        if share < Share::ALL {
            let meaning = "the policy is in force for every request";
            cx.left_out(enabled.span, "a share as `filter_enabled`", meaning);
        }
    }
    let matchers = written.allow_origin_string_match.iter();
    // what takes `*` takes every origin. Source: envoy `source/extensions/filters/http/cors/cors_filter.cc` (`isOriginAllowed`)
    let is_any = |it: &TextMatch| matches!(it, TextMatch::Exact(text) if **text == *"*");
    let origins = matchers.filter_map(|it| {
        let found = matching::text(&it.value, it.span, cx)?;
        Some(match is_any(&found) {
            true => TextMatch::Present,
            false => found,
        })
    });
    let text = |text: &Option<String>| -> Option<Box<str>> {
        let text = text.as_deref().filter(|text| !text.is_empty());
        text.map(Into::into)
    };
    Some(Cors {
        origins: origins.collect(),
        methods: text(&written.allow_methods).map(CorsList::Text),
        headers: text(&written.allow_headers).map(CorsList::Text),
        expose: text(&written.expose_headers),
        max_age: text(&written.max_age),
        credentials: written.allow_credentials.unwrap_or_default(),
        exposes_early: false,
        forwards_others: written.forward_not_matching_preflights.unwrap_or(true),
        manner: CorsManner::Envoy,
        origin,
    })
}

/// A policy that allows nobody: how a route turns an outer one off.
const fn nobody(origin: OriginId) -> Cors {
    Cors {
        origins: Vec::new(),
        methods: None,
        headers: None,
        expose: None,
        max_age: None,
        credentials: false,
        exposes_early: false,
        forwards_others: true,
        manner: CorsManner::Envoy,
        origin,
    }
}

/// A rate limit, and whether it refuses anything.
struct Limit {
    limit: Option<LocalRateLimit>,
    enforced: bool,
}

impl Limit {
    fn enforced(self) -> Option<LocalRateLimit> {
        self.limit.filter(|_| self.enforced)
    }
}

fn rate_limit(node: &Node, name: &str, cx: &mut Cx<'_>) -> Option<Limit> {
    let written: types::LocalRateLimit = cx.read(node)?;
    let mut enforced = true;
    for (field, fraction) in [
        ("filter_enabled", &written.filter_enabled),
        ("filter_enforced", &written.filter_enforced),
    ] {
        let share = fraction
            .as_ref()
            .map_or(Share::ZERO, |f| matching::default_share(f));
        enforced &= share > Share::ZERO;
        if let Some(fraction) = fraction
            && share > Share::ZERO
            && share < Share::ALL
        {
            let meaning = "the limit is enforced on every request";
            cx.left_out(fraction.span, &format!("a share as `{field}`"), meaning);
        }
        if fraction.is_none() && written.token_bucket.is_some() {
            let message = format!("without `{field}` the rate limit refuses nothing");
            cx.out.push(
                crate::diagnostics::Diagnostic::warning("envoy::rate-limit-off", message)
                    .label(node.span, "its default is 0 %"),
            );
        }
    }
    let bucket = match &written.token_bucket {
        Some(bucket) => Some(self::bucket(bucket, cx)?),
        None => None,
    };
    let origin = cx.written(node.span);
    let status = written.status.map_or(429, |status| status.code.0);
    Some(Limit {
        limit: bucket.map(|bucket| LocalRateLimit {
            bucket,
            // Envoy: a refusal is an error.
            status: if status < 400 { 429 } else { status },
            name: name.into(),
            origin,
        }),
        enforced,
    })
}

fn bucket(written: &types::TokenBucket, cx: &mut Cx<'_>) -> Option<Settings> {
    let interval = written.fill_interval;
    if interval.value.0 < SHORTEST_FILL {
        cx.refuse(interval.span, "must be at least 0.05s");
        return None;
    }
    Some(Settings {
        max_tokens: written.max_tokens.0,
        tokens_per_fill: written.tokens_per_fill.map_or(1, |tokens| tokens.0),
        fill_interval: interval.value.0,
        refill: Refill::Continuous,
    })
}

/// A limit that refuses nothing: how a route turns the listener's off.
fn boundless(origin: OriginId) -> LocalRateLimit {
    LocalRateLimit {
        bucket: Settings {
            max_tokens: u32::MAX,
            tokens_per_fill: u32::MAX,
            fill_interval: SHORTEST_FILL,
            refill: Refill::Continuous,
        },
        status: 429,
        name: "off".into(),
        origin,
    }
}
