//! Retries and hedging.

use proxy_core::config::{Hedge, RateLimitedBackoff, RetryPolicy};
use proxy_core::retry::backoff::{Backoff, FullJitter, ResetFormat};
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::time::Duration;
use serde_json::{Value, json};

use super::cx::Cx;
use super::matching;
use super::message::{Message, extension, length};

const HOSTS: &str = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
const PRIORITIES: &str =
    "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig";
/// Longest pause that a response may ask for, where nothing is written.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// Writes a retry policy.
pub(super) fn policy(policy: &RetryPolicy, cx: &mut Cx<'_>) -> Message {
    cx.at("its retries", policy.origin, |cx| {
        let mut message = Message::default();
        let (words, foreign) = split(policy.on.value);
        if !foreign.is_empty() {
            cx.departs("a try that takes too long is no reason of its own to try again");
        }
        if !words.is_empty() {
            message.set("retry_on", words.to_string());
        }
        message.unless("num_retries", policy.retries.value, 1);
        let statuses = policy.statuses.iter();
        message.list(
            "retriable_status_codes",
            statuses.map(|s| (*s).into()).collect(),
        );
        for (field, conditions) in [
            ("retriable_headers", &policy.headers),
            ("retriable_request_headers", &policy.request_headers),
        ] {
            match matching::headers(conditions) {
                Some(written) => message.list(field, written),
                None => cx.departs(format!("`{field}` has a condition that Envoy has not")),
            }
        }
        let per_try = policy.per_try_timeout.map(|it| length(it.value));
        message.maybe("per_try_timeout", per_try);
        let idle = policy.per_try_idle_timeout.map(|it| length(it.value));
        message.maybe("per_try_idle_timeout", idle);
        message.maybe("retry_back_off", back_off(policy.backoff.value, cx));
        message.maybe(
            "rate_limited_retry_back_off",
            policy.rate_limited_backoff.as_ref().map(rate_limited),
        );
        if let Some(picks) = policy.avoid_previous {
            let predicate = extension(
                "envoy.retry_host_predicates.previous_hosts",
                Message::any(HOSTS),
            );
            message.set("retry_host_predicate", vec![predicate]);
            message.unless("host_selection_retry_max_attempts", picks.value, 1);
        }
        if let Some(every) = policy.previous_priorities {
            let mut config = Message::any(PRIORITIES);
            config.set("update_frequency", every);
            let name = "envoy.retry_priorities.previous_priorities";
            message.set("retry_priority", extension(name, config));
        }
        unsaid(policy, cx);
        message
    })
}

/// The words of Envoy's, and what is none of them.
fn split(on: RetryOn) -> (RetryOn, RetryOn) {
    let (words, foreign): (Vec<_>, Vec<_>) = on
        .iter()
        .partition(|condition| *condition != Condition::PerTryTimeout);
    (words.into_iter().collect(), foreign.into_iter().collect())
}

fn unsaid(policy: &RetryPolicy, cx: &mut Cx<'_>) {
    if policy.spare_sent_non_idempotent {
        cx.departs("requests of methods that are not idempotent are tried again although bytes of them were sent");
    }
    if policy.last_try_unbounded {
        cx.departs("the last try is bound by the per-try timeout as the others are");
    }
    if policy
        .no_try_after
        .is_some_and(|after| !after.value.is_zero())
    {
        cx.departs("tries begin however long ago the first one did");
    }
    if policy.failures_have_statuses {
        cx.departs(
            "a try without an answer is not tried again for the status that its failure would have",
        );
    }
    if let Some(most) = policy.body_limit {
        cx.departs(format!(
            "bodies of more than {most} bytes are tried again, as long as they fit the connection's buffer"
        ));
    }
}

fn back_off(backoff: Backoff, cx: &mut Cx<'_>) -> Option<Value> {
    let jitter = match backoff {
        // whole milliseconds below one: none
        Backoff::None => FullJitter::new(Duration::from_millis(1), Some(Duration::from_millis(1))),
        Backoff::FullJitter(jitter) => jitter,
        Backoff::AddedJitter(added) => {
            cx.departs("pauses are anything up to the interval, not the interval and more");
            FullJitter::new(added.min, Some(added.max))
        }
        Backoff::Around(around) => {
            cx.departs("pauses are anything up to an interval that doubles, not about one that grows slowly");
            FullJitter::new(around.first, None)
        }
    };
    if jitter == FullJitter::envoy_v3() {
        return None;
    }
    let (base, most) = (jitter.interval(0), jitter.interval(u32::MAX));
    Some(json!({"base_interval": length(base), "max_interval": length(most)}))
}

fn rate_limited(backoff: &RateLimitedBackoff) -> Value {
    let header = |(name, format): &(Box<str>, ResetFormat)| {
        let format = match format {
            ResetFormat::Seconds => "SECONDS",
            ResetFormat::UnixTimestamp => "UNIX_TIMESTAMP",
        };
        json!({"name": &**name, "format": format})
    };
    let mut message = Message::default();
    message.list(
        "reset_headers",
        backoff.headers.iter().map(header).collect(),
    );
    let longest = length(backoff.max_interval);
    message.unless("max_interval", longest, length(LONGEST_ASKED));
    message.into()
}

/// Writes a hedge policy.
pub(super) fn hedge(hedge: &Hedge) -> Message {
    let mut message = Message::default();
    message.flag("hedge_on_per_try_timeout", hedge.on_per_try_timeout);
    message
}
