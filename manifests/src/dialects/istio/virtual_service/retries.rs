//! Retries: what a release brings, and what a route says.

use proxy_core::config::RetryPolicy;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::{Backoff, FullJitter};
use proxy_core::retry::conditions::{Condition, RetryOn, Vocabulary};

use super::duration;
use super::policy::RetriesPolicy;
use super::types::HttpRetry;
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::text::Spanned;

/// Picks before an endpoint that was tried is taken all the same (`HostSelectionRetryMaxAttempts`).
const PICKS: u32 = 5;
/// Tries of a priority before others are taken, with `retryRemoteLocalities` (`UpdateFrequency`).
const TRIES_OF_PRIORITY: u32 = 2;
/// Words of `retryOn` that Istio takes, source: istio `pkg/config/validation/validation.go` (`supportedRetryOnPolicies`).
const WORDS: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// The retries of a route that says nothing: two, when nothing came of a try, and for two gRPC statuses.
///
/// Releases up to 1.23 retry on status 503, too. `hashed`: the one destination goes by a hash, and keeps to its endpoint.
/// Source: istio `pilot/pkg/networking/core/route/retry/retry.go` (`DefaultPolicy`), `releasenotes/notes/50506.yaml`.
pub(in super::super) fn default_retry(
    release: &str,
    hashed: bool,
    origin: OriginId,
) -> RetryPolicy {
    let on = RetryOn::NONE
        .with(Condition::ConnectFailure)
        .with(Condition::RefusedStream)
        .with(Condition::Unavailable)
        .with(Condition::Cancelled)
        .with(Condition::RetriableStatusCodes);
    RetryPolicy {
        on: Sourced::new(on, origin),
        statuses: if retries_503(release) {
            vec![503]
        } else {
            Vec::new()
        },
        headers: Vec::new(),
        request_headers: Vec::new(),
        retries: Sourced::new(2, origin),
        per_try_timeout: None,
        per_try_idle_timeout: None,
        backoff: Sourced::new(Backoff::FullJitter(FullJitter::envoy_v3()), origin),
        rate_limited_backoff: None,
        avoid_previous: (!hashed).then(|| Sourced::new(PICKS, origin)),
        previous_priorities: None,
        spare_sent_non_idempotent: false,
        last_try_unbounded: false,
        no_try_after: None,
        failures_have_statuses: false,
        body_limit: None,
        origin,
    }
}

/// Whether a release's default retries on status 503: up to 1.23.
fn retries_503(release: &str) -> bool {
    let minor = release
        .strip_prefix("1.")
        .and_then(|minor| minor.parse::<u32>().ok());
    minor.is_some_and(|minor| minor <= 23)
}

/// What `retries` makes of the default; none: retries are off.
///
/// Source: istio `pilot/pkg/networking/core/route/retry/retry.go` (`ConvertPolicy`).
pub(super) fn retry_policy(
    policy: Option<&RetriesPolicy>,
    release: &str,
    hashed: bool,
    default: OriginId,
) -> Option<RetryPolicy> {
    let mut retry = default_retry(release, hashed, default);
    let Some(policy) = policy else {
        return Some(retry);
    };
    if policy.attempts.value == 0 {
        return None;
    }
    retry.retries = policy.attempts;
    if let Some((on, statuses)) = &policy.on {
        retry.on = *on;
        retry.statuses.clone_from(statuses);
    }
    retry.per_try_timeout = policy.per_try_timeout;
    if let Some(ignore) = policy.ignore_previous_hosts {
        retry.avoid_previous = ignore.value.then(|| Sourced::new(PICKS, ignore.origin));
    }
    retry.previous_priorities = policy.remote_localities.then_some(TRIES_OF_PRIORITY);
    if let Some(backoff) = policy.backoff {
        retry.backoff = backoff;
    }
    retry.origin = policy.origin;
    Some(retry)
}

/// Reads `retries`; none when something of it is refused, which was reported.
pub(super) fn retries(written: &Spanned<HttpRetry>, cx: &mut Compile<'_>) -> Option<RetriesPolicy> {
    let attempts = attempts(written, cx);
    let on = written.retry_on.as_ref().filter(|on| !on.is_empty());
    let on = on.map(|on| conditions(on, cx));
    let per_try = written.per_try_timeout.as_ref();
    let per_try = per_try.map(|text| duration::positive(text, cx));
    let backoff = written.backoff.as_ref();
    let backoff = backoff.map(|text| {
        let base = duration::positive(text, cx)?;
        let jitter = FullJitter::new(base.value, None);
        Some(Sourced::new(Backoff::FullJitter(jitter), base.origin))
    });
    let on = match on {
        Some(on) => Some(on?),
        None => None,
    };
    let per_try_timeout = match per_try {
        Some(bound) => Some(bound?),
        None => None,
    };
    let backoff = match backoff {
        Some(backoff) => Some(backoff?),
        None => None,
    };
    let ignore = written.retry_ignore_previous_hosts;
    Some(RetriesPolicy {
        attempts: attempts?,
        on,
        per_try_timeout,
        ignore_previous_hosts: ignore.map(|ignore| cx.origins.sourced(ignore)),
        remote_localities: written
            .retry_remote_localities
            .is_some_and(|remote| remote.value),
        backoff,
        origin: cx.origins.written(written.span),
    })
}

/// How many; where nothing is written it is 0, and then nothing else may be.
fn attempts(written: &Spanned<HttpRetry>, cx: &mut Compile<'_>) -> Option<Sourced<u32>> {
    let Some(attempts) = written.attempts else {
        refuse_others(written, None, cx)?;
        return Some(Sourced::new(0, cx.origins.written(written.span)));
    };
    let Ok(count) = u32::try_from(attempts.value) else {
        let message = format!("`attempts` cannot be {}", attempts.value);
        cx.diagnostics.push(
            Diagnostic::error("istio::retries", message)
                .label(attempts.span, "below zero")
                .help("write how many tries may follow the first; 0 turns retries off"),
        );
        return None;
    };
    if count == 0 {
        refuse_others(written, Some(attempts), cx)?;
    }
    Some(Sourced::new(count, cx.origins.written(attempts.span)))
}

/// Istio refuses settings of retries that are off, source: istio `pkg/config/validation/validation.go` (`validateHTTPRetry`).
fn refuse_others(
    written: &Spanned<HttpRetry>,
    attempts: Option<Spanned<i32>>,
    cx: &mut Compile<'_>,
) -> Option<()> {
    let on = written.retry_on.as_ref().map(|on| on.span);
    let bound = written.per_try_timeout.as_ref().map(|bound| bound.span);
    let remote = written.retry_remote_localities.map(|remote| remote.span);
    let Some(at) = on.or(bound).or(remote) else {
        return Some(());
    };
    let message = "retries are off, and yet have settings: Istio refuses that";
    let mut diagnostic = Diagnostic::error("istio::retries", message).label(at, "this setting");
    diagnostic = match attempts {
        Some(attempts) => diagnostic.label(attempts.span, "off"),
        None => diagnostic.label(written.span, "without `attempts`, which is 0 then"),
    };
    cx.diagnostics
        .push(diagnostic.help("write `attempts: 2` or more, or leave the setting out"));
    None
}

/// Words and statuses of `retryOn`. Statuses bring `retriable-status-codes` with them.
fn conditions(
    written: &Spanned<String>,
    cx: &mut Compile<'_>,
) -> Option<(Sourced<RetryOn>, Vec<u16>)> {
    let (mut on, mut statuses, mut fits) = (RetryOn::NONE, Vec::new(), true);
    for word in written.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        if let Some(status) = word.parse().ok().filter(is_status) {
            statuses.push(status);
            on = on.with(Condition::RetriableStatusCodes);
            continue;
        }
        if WORDS.contains(&word) {
            on = on.union(RetryOn::parse(word, Vocabulary::Both, |_| ()));
            continue;
        }
        fits = false;
        let help = did_you_mean(word, WORDS)
            .unwrap_or_else(|| format!("known: {}, and status codes", WORDS.join(", ")));
        cx.diagnostics.push(
            Diagnostic::error("istio::retry-on", format!("`{word}` is no retry condition"))
                .label(written.span, "in this list")
                .help(help),
        );
    }
    fits.then(|| (Sourced::new(on, cx.origins.written(written.span)), statuses))
}

/// Whether HTTP has a name for a status; Istio takes no others. Source: Go `net/http` (`StatusText`).
fn is_status(status: &u16) -> bool {
    matches!(
        status,
        100..=103
            | 200..=208
            | 226
            | 300..=305
            | 307..=308
            | 400..=418
            | 421..=426
            | 428..=429
            | 431
            | 451
            | 500..=508
            | 510..=511
    )
}
