//! MeshRetry.

use proxy_core::config::{Absent, HeaderMatch, RateLimitedBackoff, RetryPolicy, TextMatch};
use proxy_core::origin::Sourced;
use proxy_core::retry::backoff::{Backoff, FullJitter, ResetFormat};
use proxy_core::retry::conditions::{Condition, RetryOn, Vocabulary};
use proxy_core::time::Duration;

use super::checks::{GRPC_RETRY_ON, METHODS, RETRY_ON, status_of};
use super::protocol::Protocol;
use super::release::Defaults;
use super::routes::header;
use super::types::{self, GrpcRetry, HttpRetry, Predicate, Retry};
use super::values::Length;
use crate::dialects::Compile;
use crate::text::Spanned;

/// Conditions of requests where none are written.
///
/// Source: kuma 2.14 `pkg/plugins/policies/meshretry/plugin/xds/configurer.go`.
const HTTP: &str = "gateway-error,connect-failure,refused-stream";
/// The same of calls.
const GRPC: &str =
    "cancelled,connect-failure,gateway-error,refused-stream,reset,resource-exhausted,unavailable";

/// Retries of requests to a port that speaks `protocol`; none: they are not tried again. Ports that speak HTTP/2 have none, whatever is
/// written.
///
/// Source: kuma 2.14 `pkg/plugins/policies/meshretry/plugin/xds/configurer.go`, `GetRouteRetryConfig`.
pub(super) fn policy(
    conf: &Retry,
    protocol: Protocol,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> Option<Box<RetryPolicy>> {
    let policy = match protocol {
        Protocol::Http => http(conf.http.as_ref()?, defaults, cx)?,
        Protocol::Grpc => grpc(conf.grpc.as_ref()?, defaults, cx)?,
        Protocol::Http2 | Protocol::Tcp | Protocol::Kafka | Protocol::Other => return None,
    };
    Some(Box::new(policy))
}

/// Endpoints that are tried after the first for a connection.
pub(super) fn of_connections(conf: &Retry, protocol: Protocol) -> u32 {
    let attempts = conf.tcp.as_ref().and_then(|it| it.max_connect_attempt);
    match (protocol, attempts) {
        (Protocol::Tcp, Some(attempts)) => attempts.value.saturating_sub(1),
        _ => 0,
    }
}

fn http(
    conf: &Spanned<HttpRetry>,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> Option<RetryPolicy> {
    let words = conf.retry_on.as_deref().unwrap_or_default();
    let named = |rows: &[(&str, &'static str)], word: &str| {
        rows.iter().find(|row| row.0 == word).map(|row| row.1)
    };
    let written: Vec<&str> = words.iter().filter_map(|it| named(RETRY_ON, it)).collect();
    // statuses and methods alone leave Kuma's own conditions in place
    let mut on = if written.is_empty() {
        parsed(HTTP)
    } else {
        parsed(&written.join(","))
    };
    let statuses: Vec<u16> = words.iter().filter_map(|it| status_of(it)).collect();
    if !statuses.is_empty() {
        on = on.with(Condition::RetriableStatusCodes);
    }
    let on = Sourced::new(on, origin_of(words, defaults, cx));
    let mut policy = base(
        on,
        (conf.num_retries, conf.per_try_timeout),
        conf.back_off.as_ref(),
        conf.rate_limited_back_off.as_ref(),
        defaults,
        cx,
    )?;
    policy.statuses = statuses;
    policy.origin = defaults.at(conf.span, cx);
    let methods = words.iter().filter_map(|it| named(METHODS, it));
    let methods = methods.map(|method| HeaderMatch {
        name: ":method".into(),
        value: TextMatch::Exact(method.into()),
        invert: false,
        ignore_case: false,
        absent: Absent::Unequal,
    });
    let requests = conf.retriable_request_headers.iter().flatten();
    let requests = requests.filter_map(header);
    policy.request_headers = methods.chain(requests).collect();
    let answers = conf.retriable_response_headers.iter().flatten();
    // the condition that looks at them is not among those that Kuma's own words can ask for
    policy.headers = answers.filter_map(header).collect();
    let selections = conf.host_selection.iter().flatten();
    for selection in selections {
        match selection.predicate.value {
            Predicate::OmitPreviousHosts => {
                let picks = conf.host_selection_max_attempts;
                let picks = picks
                    .and_then(|it| u32::try_from(it.value).ok())
                    .unwrap_or(1);
                let origin = defaults.at(selection.predicate.span, cx);
                policy.avoid_previous = Some(Sourced::new(picks, origin));
            }
            Predicate::OmitPreviousPriorities => {
                let often = selection.update_frequency.map_or(2, |it| it.value);
                policy.previous_priorities = u32::try_from(often).ok();
            }
            Predicate::OmitHostsWithTags => {}
        }
    }
    Some(policy)
}

fn grpc(
    conf: &Spanned<GrpcRetry>,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> Option<RetryPolicy> {
    let words = conf.retry_on.as_deref().unwrap_or_default();
    let named = |word: &str| {
        GRPC_RETRY_ON
            .iter()
            .find(|row| row.0 == word)
            .map(|row| row.1)
    };
    let written: Vec<&str> = words.iter().filter_map(|it| named(it)).collect();
    let list = if written.is_empty() {
        GRPC.to_owned()
    } else {
        written.join(",")
    };
    let on = Sourced::new(parsed(&list), origin_of(words, defaults, cx));
    let mut policy = base(
        on,
        (conf.num_retries, conf.per_try_timeout),
        conf.back_off.as_ref(),
        conf.rate_limited_back_off.as_ref(),
        defaults,
        cx,
    )?;
    policy.origin = defaults.at(conf.span, cx);
    Some(policy)
}

/// The conditions of a list as Envoy has them: words that it does not know are left out, and so may all be.
fn parsed(list: &str) -> RetryOn {
    RetryOn::parse(list, Vocabulary::Both, |_| {})
}

fn origin_of(
    words: &[Spanned<String>],
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> proxy_core::origin::OriginId {
    words
        .first()
        .map_or(defaults.origin, |word| defaults.at(word.span, cx))
}

fn base(
    on: Sourced<RetryOn>,
    (number, per_try): (Option<Spanned<u32>>, Option<Spanned<Length>>),
    backoff: Option<&Spanned<types::Backoff>>,
    limited: Option<&Spanned<types::RateLimitedBackoff>>,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> Option<RetryPolicy> {
    let retries = defaults.or(number, 1, cx);
    if retries.value == 0 {
        return None;
    }
    let per_try = per_try.filter(|it| !it.value.0.is_zero());
    let per_try_timeout = per_try.map(|it| defaults.sourced(it.map(|length| length.0), cx));
    let pauses = match backoff {
        Some(written) => {
            let base = written.base_interval.map(|it| it.value.0);
            let base = base.unwrap_or(Duration::from_millis(25));
            let max = written.max_interval.map(|it| it.value.0);
            let first = written.base_interval.or(written.max_interval);
            let span = first.map_or(written.span, |it| it.span);
            let jitter = Backoff::FullJitter(FullJitter::new(base, max));
            Sourced::new(jitter, defaults.at(span, cx))
        }
        None => defaults.of(Backoff::FullJitter(FullJitter::envoy_v3())),
    };
    Some(RetryPolicy {
        on,
        statuses: Vec::new(),
        headers: Vec::new(),
        request_headers: Vec::new(),
        retries,
        per_try_timeout,
        per_try_idle_timeout: None,
        backoff: pauses,
        rate_limited_backoff: limited.map(|it| rate_limited(it)),
        avoid_previous: None,
        previous_priorities: None,
        spare_sent_non_idempotent: false,
        last_try_unbounded: false,
        no_try_after: None,
        failures_have_statuses: false,
        body_limit: None,
        origin: on.origin,
    })
}

fn rate_limited(written: &types::RateLimitedBackoff) -> RateLimitedBackoff {
    let headers = written.reset_headers.iter().flatten().map(|it| {
        let format = match it.format.as_str() {
            "UnixTimestamp" => ResetFormat::UnixTimestamp,
            _ => ResetFormat::Seconds,
        };
        (it.name.to_ascii_lowercase().into(), format)
    });
    RateLimitedBackoff {
        headers: headers.collect(),
        max_interval: written
            .max_interval
            .map_or(Duration::from_secs(300), |it| it.value.0),
    }
}
