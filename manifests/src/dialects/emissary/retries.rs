//! `retry_policy`.

use proxy_core::config::RetryPolicy;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::{Backoff, FullJitter};
use proxy_core::retry::conditions::{RetryOn, Vocabulary};

use super::duration;
use super::types::RetrySpec;
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::text::Spanned;

/// The conditions that Emissary takes, one at a time.
///
/// Source: emissary `python/ambassador/src/ambassador/ir/irretrypolicy.py`.
const WORDS: [&str; 6] = [
    "5xx",
    "gateway-error",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
];

/// The policy; none: it has no condition, which is an error.
pub(super) fn policy(
    written: &Spanned<RetrySpec>,
    defaults: OriginId,
    cx: &mut Compile<'_>,
) -> Option<RetryPolicy> {
    let on = written.retry_on.as_ref();
    let word = on.map_or("", |on| on.value.as_str());
    if !WORDS.contains(&word) {
        let span = on.map_or(written.span, |on| on.span);
        let message = match on {
            Some(_) => format!("Emissary knows no condition `{word}`"),
            None => "retries have one condition".to_owned(),
        };
        let help = did_you_mean(word, WORDS)
            .unwrap_or_else(|| format!("`retry_on` is one of: {}", WORDS.join(", ")));
        cx.diagnostics.push(
            Diagnostic::error("emissary::retry-on", message)
                .label(span, "here")
                .help(help),
        );
        return None;
    }
    if word == "retriable-status-codes" {
        let span = on.map_or(written.span, |on| on.span);
        cx.diagnostics.push(
            Diagnostic::warning(
                "emissary::retry-on",
                "Emissary has no way to say which statuses are tried again",
            )
            .label(span, "no answer is tried again by it")
            .help("`gateway-error` takes 502, 503 and 504"),
        );
    }
    let origin = on.map_or(defaults, |on| cx.origins.written(on.span));
    let retries = written.num_retries.map(|number| cx.origins.sourced(number));
    let per_try = written.per_try_timeout.as_ref();
    let per_try = per_try.filter(|text| !text.is_empty()).and_then(|text| {
        let length = duration::seconds(text, cx.diagnostics)?;
        let length = Spanned::new(length, text.span);
        (!length.value.is_zero()).then(|| cx.origins.sourced(length))
    });
    Some(RetryPolicy {
        on: Sourced::new(RetryOn::parse(word, Vocabulary::Both, |_| {}), origin),
        statuses: Vec::new(),
        headers: Vec::new(),
        request_headers: Vec::new(),
        retries: retries.unwrap_or_else(|| Sourced::new(1, defaults)),
        per_try_timeout: per_try,
        per_try_idle_timeout: None,
        backoff: Sourced::new(Backoff::FullJitter(FullJitter::envoy_v3()), defaults),
        rate_limited_backoff: None,
        avoid_previous: None,
        previous_priorities: None,
        spare_sent_non_idempotent: false,
        last_try_unbounded: false,
        no_try_after: None,
        failures_have_statuses: false,
        body_limit: None,
        origin: cx.origins.written(written.span),
    })
}
