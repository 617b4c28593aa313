//! ServiceRouters.
//!
//! Source: hashicorp/consul 1.21 `agent/structs/config_entry_discoverychain.go` (`ServiceRouterConfigEntry.Validate`), `agent/xds/routes.go`.

use proxy_core::config::{
    Absent, HeaderMatch, Name, ParamMatch, PathMatch, RetryPolicy, RouteMatch, TextMatch,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::{Backoff, FullJitter};
use proxy_core::retry::conditions::{Condition, RetryOn, Vocabulary};
use proxy_core::time::Duration;

use super::duration::{self, Length};
use super::notes::{Defaults, bad_value, enterprise, given};
use super::policy::{Modifiers, Reference, RoutePolicy, RouterPolicy};
use super::types::{
    HeaderCondition, HeaderModifiers, HttpMatch, QueryCondition, Route, RouteDestination, Router,
};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::dialects::Compile;
use crate::load::Object;
use crate::text::{Span, Spanned};

/// Methods that a route may name.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE",
];
/// Words of `retryOn` that Consul takes (`isValidRetryCondition`).
const RETRY_ON: [&str; 12] = [
    "5xx",
    "gateway-error",
    "reset",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// Reads a ServiceRouter. A route that is refused is left out.
pub(super) fn read(
    object: &Object,
    written: &Router,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> RouterPolicy {
    let routes = written.routes.iter();
    RouterPolicy {
        routes: routes
            .filter_map(|route| self::route(route, defaults, cx))
            .collect(),
        span: object.name_span,
        origin: cx.origins.written(object.name_span),
    }
}

fn route(
    written: &Spanned<Route>,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> Option<RoutePolicy> {
    let http = written.r#match.as_ref().and_then(|it| it.http.as_ref());
    let matches = match http {
        Some(http) => self::matches(http, cx.diagnostics)?,
        None => RouteMatch::all(),
    };
    let origin = cx.origins.written(written.span);
    let Some(destination) = &written.destination else {
        return Some(RoutePolicy {
            matches,
            to: Reference {
                service: None,
                subset: None,
                span: written.span,
            },
            rewrite: None,
            timeout: None,
            idle: None,
            retry: None,
            request: Modifiers::default(),
            response: Modifiers::default(),
            origin,
        });
    };
    enterprise(
        destination.namespace.as_ref(),
        "a namespace of Consul",
        cx.diagnostics,
    );
    enterprise(
        destination.partition.as_ref(),
        "a partition",
        cx.diagnostics,
    );
    let rewrite = given(destination.prefix_rewrite.as_ref());
    if let Some(rewrite) = rewrite {
        let fits = http.is_some_and(|http| {
            given(http.path_exact.as_ref()).is_some() || given(http.path_prefix.as_ref()).is_some()
        });
        if !fits {
            let message =
                "needs `pathExact` or `pathPrefix` in the match: it takes the place of that";
            bad_value(rewrite.span, message, cx.diagnostics);
            return None;
        }
    }
    let length = duration::length(destination.request_timeout.as_ref(), cx);
    let timeout = length.and_then(|Sourced { value, origin }| match value {
        Length::Zero => None,
        Length::Some(length) => Some(Sourced::new(Some(length), origin)),
        Length::Negative => Some(Sourced::new(None, origin)),
    });
    let length = duration::length(destination.idle_timeout.as_ref(), cx);
    let idle = length.and_then(|Sourced { value, origin }| match value {
        Length::Zero => None,
        Length::Some(length) => Some(Sourced::new(length, origin)),
        Length::Negative => Some(Sourced::new(Duration::ZERO, origin)),
    });
    Some(RoutePolicy {
        matches,
        to: reference(
            destination.service.as_ref(),
            destination.service_subset.as_ref(),
            destination.span,
        ),
        rewrite: rewrite.map(|text| text.as_str().into()),
        timeout,
        idle,
        retry: retries(destination, defaults, cx),
        request: modifiers(destination.request_headers.as_ref(), cx.diagnostics),
        response: modifiers(destination.response_headers.as_ref(), cx.diagnostics),
        origin,
    })
}

/// A service and a subset as an entry names them.
pub(super) fn reference(
    service: Option<&Spanned<String>>,
    subset: Option<&Spanned<String>>,
    span: Span,
) -> Reference {
    let (service, subset) = (given(service), given(subset));
    let at = service.or(subset).map_or(span, |text| text.span);
    let name = |text: &Spanned<String>| Name::from(text.as_str());
    Reference {
        service: service.map(name),
        subset: subset.map(name),
        span: at,
    }
}

fn matches(written: &Spanned<HttpMatch>, out: &mut Diagnostics) -> Option<RouteMatch> {
    let mut fits = true;
    let path = path(written, out);
    let headers: Vec<Option<HeaderMatch>> = written
        .header
        .iter()
        .map(|condition| header(condition, out))
        .collect();
    let params: Vec<Option<ParamMatch>> = written
        .query_param
        .iter()
        .map(|condition| param(condition, out))
        .collect();
    let mut methods: Vec<Box<str>> = Vec::new();
    for method in &written.methods {
        // Consul writes them in capitals
        let capitals = method.to_ascii_uppercase();
        if !METHODS.contains(&capitals.as_str()) {
            let help = did_you_mean(&capitals, METHODS);
            out.push(
                Diagnostic::error("consul::bad-value", format!("`{method}` is no method"))
                    .label(method.span, "this value")
                    .help(help.unwrap_or_else(|| format!("write one of {}", METHODS.join(", ")))),
            );
            fits = false;
        } else if methods.iter().any(|known| **known == *capitals) {
            bad_value(method.span, format!("`{method}` stands twice"), out);
            fits = false;
        } else {
            methods.push(capitals.into());
        }
    }
    let headers: Option<Vec<HeaderMatch>> = headers.into_iter().collect();
    let params: Option<Vec<ParamMatch>> = params.into_iter().collect();
    let (path, headers, params) = (path?, headers?, params?);
    fits.then(|| RouteMatch {
        ignore_case: written.case_insensitive,
        methods,
        headers,
        params,
        ..RouteMatch::path(path)
    })
}

fn path(written: &Spanned<HttpMatch>, out: &mut Diagnostics) -> Option<PathMatch> {
    let exact = given(written.path_exact.as_ref());
    let prefix = given(written.path_prefix.as_ref());
    let regex = given(written.path_regex.as_ref());
    if [exact, prefix, regex].into_iter().flatten().count() > 1 {
        let message = "has one of `pathExact`, `pathPrefix` and `pathRegex` at most";
        bad_value(written.span, message, out);
        return None;
    }
    if let Some(path) = exact.or(prefix).filter(|path| !path.starts_with('/')) {
        bad_value(path.span, "must begin with `/`", out);
        return None;
    }
    if let Some(pattern) = regex {
        return match PathMatch::regex(pattern) {
            Ok(path) => Some(path),
            Err(error) => {
                bad_regex(pattern, &error, out);
                None
            }
        };
    }
    Some(match (exact, prefix) {
        (Some(path), _) => PathMatch::Exact(path.as_str().into()),
        (None, Some(path)) => PathMatch::Prefix(path.as_str().into()),
        (None, None) => PathMatch::Prefix("/".into()),
    })
}

fn bad_regex(pattern: &Spanned<String>, error: &regex::Error, out: &mut Diagnostics) {
    let error = error.to_string();
    let reason = error.lines().last().unwrap_or_default();
    let message = format!("`{pattern}` is no regular expression: {reason}");
    bad_value(pattern.span, message, out);
}

/// A text as it is written, and the comparison that it stands for.
type Form<'a> = (Option<&'a Spanned<String>>, fn(Box<str>) -> TextMatch);

/// How a text is compared: one of these, else an error.
fn text(
    forms: [Form<'_>; 3],
    regex: Option<&Spanned<String>>,
    present: bool,
    (span, choice): (Span, &str),
    out: &mut Diagnostics,
) -> Option<TextMatch> {
    let mut found = Vec::new();
    for (written, make) in forms {
        found.extend(given(written).map(|text| make(text.as_str().into())));
    }
    if let Some(pattern) = given(regex) {
        match TextMatch::regex(pattern) {
            Ok(regex) => found.push(regex),
            Err(error) => {
                bad_regex(pattern, &error, out);
                return None;
            }
        }
    }
    if present {
        found.push(TextMatch::Present);
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(text), None) => Some(text),
        (None | Some(_), _) => {
            bad_value(span, format!("has one of {choice}"), out);
            None
        }
    }
}

fn header(written: &Spanned<HeaderCondition>, out: &mut Diagnostics) -> Option<HeaderMatch> {
    let forms: [Form<'_>; 3] = [
        (written.exact.as_ref(), TextMatch::Exact),
        (written.prefix.as_ref(), TextMatch::Prefix),
        (written.suffix.as_ref(), TextMatch::Suffix),
    ];
    let choice = "`present`, `exact`, `prefix`, `suffix` and `regex`";
    let value = text(
        forms,
        written.regex.as_ref(),
        written.present,
        (written.span, choice),
        out,
    );
    let Some(name) = given(written.name.as_ref()) else {
        bad_value(written.span, "needs a `name`", out);
        return None;
    };
    let value = value?;
    // Envoy: what is not there equals nothing, turned round or not; only whether it is there can be turned round
    let absent = match value {
        TextMatch::Present => Absent::Unequal,
        TextMatch::Exact(_)
        | TextMatch::Prefix(_)
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Regex(_)
        | TextMatch::Range(..)
        | TextMatch::Address(_) => Absent::Refused,
    };
    Some(HeaderMatch {
        name: name.to_ascii_lowercase().into(),
        value,
        invert: written.invert,
        ignore_case: false,
        absent,
    })
}

fn param(written: &Spanned<QueryCondition>, out: &mut Diagnostics) -> Option<ParamMatch> {
    let forms: [Form<'_>; 3] = [
        (written.exact.as_ref(), TextMatch::Exact),
        (None, TextMatch::Prefix),
        (None, TextMatch::Suffix),
    ];
    let choice = "`present`, `exact` and `regex`";
    let value = text(
        forms,
        written.regex.as_ref(),
        written.present,
        (written.span, choice),
        out,
    );
    let Some(name) = given(written.name.as_ref()) else {
        bad_value(written.span, "needs a `name`", out);
        return None;
    };
    Some(ParamMatch {
        name: name.as_str().into(),
        value: value?,
        invert: false,
    })
}

/// Retries, where any field of them is written. Without a number there is one, and without a condition there is none.
///
/// Source: hashicorp/consul 1.21 `agent/xds/routes.go`, `getRetryPolicyForDestination`; `HasRetryFeatures`.
fn retries(
    written: &RouteDestination,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> Option<RetryPolicy> {
    let number = written.num_retries.filter(|it| it.value != 0);
    let connect = written.retry_on_connect_failure.filter(|it| it.value);
    let conditions = &written.retry_on;
    let statuses = &written.retry_on_status_codes;
    let conditions_at = conditions
        .first()
        .map(|it| it.span)
        .or_else(|| connect.map(|it| it.span))
        .or_else(|| statuses.first().map(|it| it.span));
    let number_at = number.map(|it| it.span);
    let first = number_at.or(conditions_at)?;
    let mut on = RetryOn::NONE;
    for word in conditions {
        if RETRY_ON.contains(&word.as_str()) {
            on = on.union(RetryOn::parse(word, Vocabulary::Both, |_| ()));
            continue;
        }
        cx.diagnostics.push(
            Diagnostic::error(
                "consul::retry-on",
                format!("`{word}` is no retry condition"),
            )
            .label(word.span, "not a condition")
            .help(
                did_you_mean(word, RETRY_ON)
                    .unwrap_or_else(|| format!("write some of {}", RETRY_ON.join(", "))),
            ),
        );
    }
    if connect.is_some() {
        on = on.with(Condition::ConnectFailure);
    }
    let mut codes = Vec::new();
    for status in statuses {
        match u16::try_from(status.value) {
            Ok(code) if (100..=599).contains(&code) => codes.push(code),
            Ok(_) | Err(_) => bad_value(status.span, "is no status", cx.diagnostics),
        }
    }
    if !statuses.is_empty() {
        on = on.with(Condition::RetriableStatusCodes);
    }
    let at = |span: Span, cx: &mut Compile<'_>| -> OriginId { cx.origins.written(span) };
    let origin = at(first, cx);
    let retries = match number {
        Some(number) => match u32::try_from(number.value) {
            Ok(value) => Sourced::new(value, at(number.span, cx)),
            Err(_) => {
                bad_value(number.span, "must be a number from 0", cx.diagnostics);
                return None;
            }
        },
        // Envoy's `num_retries`
        None => defaults.of(1),
    };
    if on == RetryOn::NONE
        && let Some(number) = number
    {
        cx.diagnostics.push(
            Diagnostic::warning(
                "consul::no-condition",
                "nothing is tried again: no condition says when",
            )
            .label(number.span, "without `retryOn`")
            .help("write `retryOn: [5xx]`, `retryOnConnectFailure: true` or `retryOnStatusCodes`"),
        );
    }
    let on_origin = conditions_at.map_or(origin, |span| at(span, cx));
    Some(RetryPolicy {
        on: Sourced::new(on, on_origin),
        statuses: codes,
        headers: Vec::new(),
        request_headers: Vec::new(),
        retries,
        per_try_timeout: None,
        per_try_idle_timeout: None,
        backoff: defaults.of(Backoff::FullJitter(FullJitter::envoy_v3())),
        rate_limited_backoff: None,
        avoid_previous: None,
        previous_priorities: None,
        spare_sent_non_idempotent: false,
        last_try_unbounded: false,
        no_try_after: None,
        failures_have_statuses: false,
        body_limit: None,
        origin,
    })
}

/// Edits of a head.
///
/// Source: hashicorp/consul 1.21 `agent/xds/routes.go`, `makeHeadersValueOptions`; Envoy takes headers out before it puts any in.
pub(super) fn modifiers(written: Option<&HeaderModifiers>, out: &mut Diagnostics) -> Modifiers {
    let mut modifiers = Modifiers::default();
    let Some(written) = written else {
        return modifiers;
    };
    for name in &written.remove {
        modifiers.remove.extend(changeable(name, out));
    }
    for (into, from) in [
        (&mut modifiers.add, &written.add),
        (&mut modifiers.set, &written.set),
    ] {
        for (name, value) in from {
            if let Some(name) = changeable(name, out) {
                into.insert(name, literal(value, out));
            }
        }
    }
    modifiers
}

/// A header's name; those that Envoy leaves alone are errors, since it would refuse the whole route.
fn changeable(name: &Spanned<String>, out: &mut Diagnostics) -> Option<Box<str>> {
    let lower = name.to_ascii_lowercase();
    if lower.is_empty() || lower.starts_with(':') || lower == "host" {
        let message = "headers that begin with `:`, and `host`, cannot be changed here";
        bad_value(name.span, message, out);
        return None;
    }
    Some(lower.into())
}

/// The value without Envoy's escapes; what Envoy would fill in stays as it is written.
fn literal(value: &Spanned<String>, out: &mut Diagnostics) -> Box<str> {
    if value.replace("%%", "").contains('%') {
        let meaning = "the header has the text as it is written";
        super::notes::left_out(value.span, "a value that the proxy fills in", meaning, out);
        return value.as_str().into();
    }
    value.replace("%%", "%").into()
}
