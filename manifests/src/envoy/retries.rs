//! Retries and hedging.

use proxy_core::config::{Hedge, RateLimitedBackoff, RetryPolicy};
use proxy_core::origin::Sourced;
use proxy_core::retry::backoff::{Backoff, FullJitter, ResetFormat};
use proxy_core::retry::conditions::{Condition, RetryOn, Vocabulary};
use proxy_core::time::Duration;

use super::compile::Cx;
use super::matching;
use super::types::{self, ResetHeaderFormat};
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::text::{Node, Spanned};

/// Longest pause that a response may ask for (`RateLimitedRetryBackOff.max_interval`).
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// Compiles a retry policy.
pub(super) fn policy(node: &Node, cx: &mut Cx<'_>) -> Option<RetryPolicy> {
    let written: types::RetryPolicy = cx.read(node)?;
    let on = match &written.retry_on {
        Some(words) => Sourced::new(conditions(words, cx), cx.written(words.span)),
        None => cx.default(RetryOn::NONE),
    };
    let retries = cx.count(written.num_retries);
    let backoff = match &written.retry_back_off {
        Some(written) => back_off(written, cx),
        None => cx.default(Backoff::FullJitter(FullJitter::envoy_v3())),
    };
    Some(RetryPolicy {
        on,
        statuses: written
            .retriable_status_codes
            .iter()
            .map(|code| code.0)
            .collect(),
        headers: matching::headers(&written.retriable_headers, cx)?,
        request_headers: matching::headers(&written.retriable_request_headers, cx)?,
        retries: retries.unwrap_or_else(|| cx.default(1)),
        per_try_timeout: cx.timer(written.per_try_timeout, None),
        per_try_idle_timeout: cx.timer(written.per_try_idle_timeout, None),
        backoff,
        rate_limited_backoff: written
            .rate_limited_retry_back_off
            .as_ref()
            .map(rate_limited),
        avoid_previous: predicates(&written, cx),
        previous_priorities: priorities(&written, cx),
        spare_sent_non_idempotent: false,
        last_try_unbounded: false,
        no_try_after: None,
        failures_have_statuses: false,
        body_limit: None,
        origin: cx.written(node.span),
    })
}

/// Compiles a hedge policy.
pub(super) fn hedge(node: &Node, cx: &mut Cx<'_>) -> Option<Hedge> {
    let written: types::HedgePolicy = cx.read(node)?;
    Some(Hedge {
        on_per_try_timeout: written.hedge_on_per_try_timeout,
        origin: cx.written(node.span),
    })
}

/// Envoy leaves words that it does not know aside without a word; here they are warned of.
fn conditions(words: &Spanned<String>, cx: &mut Cx<'_>) -> RetryOn {
    let mut unknown = Vec::new();
    let on = RetryOn::parse(words, Vocabulary::Both, |word| unknown.push(word));
    for word in unknown {
        let names = Condition::ALL.iter().map(|condition| condition.name());
        cx.out.push(
            Diagnostic::warning(
                "envoy::retry-on",
                format!("`{word}` is no retry condition: Envoy leaves it aside"),
            )
            .label(words.span, "in this list")
            .maybe_help(did_you_mean(word, names)),
        );
    }
    on
}

fn back_off(written: &Spanned<types::RetryBackOff>, cx: &mut Cx<'_>) -> Sourced<Backoff> {
    let base = written.base_interval.0;
    let most = written.max_interval.map(|most| most.0);
    if base.is_zero() {
        cx.refuse(written.span, "`base_interval` must be above 0");
    }
    if most.is_some_and(|most| most < base) {
        cx.refuse(
            written.span,
            "`max_interval` must not be below `base_interval`",
        );
    }
    let origin = cx.written(written.span);
    Sourced::new(Backoff::FullJitter(FullJitter::new(base, most)), origin)
}

fn rate_limited(written: &Spanned<types::RateLimitedBackOff>) -> RateLimitedBackoff {
    let header = |header: &types::ResetHeader| {
        let format = match header.format {
            ResetHeaderFormat::Seconds => ResetFormat::Seconds,
            ResetHeaderFormat::UnixTimestamp => ResetFormat::UnixTimestamp,
        };
        (header.name.to_ascii_lowercase().into(), format)
    };
    RateLimitedBackoff {
        headers: written.reset_headers.iter().map(header).collect(),
        max_interval: written.max_interval.map_or(LONGEST_ASKED, |most| most.0),
    }
}

/// With the predicate `previous_hosts`: picks before an endpoint that was tried is taken all the same.
fn predicates(written: &types::RetryPolicy, cx: &mut Cx<'_>) -> Option<Sourced<u32>> {
    let mut avoid = None;
    for predicate in &written.retry_host_predicate {
        let typed = predicate
            .typed_config
            .as_ref()
            .and_then(|config| cx.typed(config));
        let kind = typed.map(|typed| typed.kind).unwrap_or_default();
        let name = predicate
            .name
            .as_ref()
            .map_or("", |name| name.value.as_str());
        if kind.ends_with(".PreviousHostsPredicate")
            || name == "envoy.retry_host_predicates.previous_hosts"
        {
            let picks = written
                .host_selection_retry_max_attempts
                .map_or(1, |most| most.0);
            let origin = cx.written(predicate.span);
            avoid = Some(Sourced::new(picks, origin));
        } else {
            let meaning = "a retry may go to the endpoints that it would leave out";
            cx.left_out(predicate.span, &format!("the predicate `{name}`"), meaning);
        }
    }
    avoid
}

fn priorities(written: &types::RetryPolicy, cx: &mut Cx<'_>) -> Option<u32> {
    let extension = written.retry_priority.as_ref()?;
    let typed = cx.typed(extension.typed_config.as_ref()?)?;
    if !typed.kind.ends_with(".PreviousPrioritiesConfig") {
        let meaning = "retries go by the priorities of the first try";
        cx.left_out(typed.span, "this retry priority", meaning);
        return None;
    }
    let config: types::PreviousPriorities = cx.read(&typed.config)?;
    Some(config.update_frequency.0)
}
