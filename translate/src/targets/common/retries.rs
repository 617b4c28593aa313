//! Retries in words that several targets have.

use proxy_core::config::{Forward, RetryPolicy};
use proxy_core::retry::backoff::{Backoff, FullJitter};
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::time::Duration;

/// The policy of a route that tries anything again.
pub(crate) fn effective(forward: &Forward) -> Option<&RetryPolicy> {
    let policy = forward.retry.as_deref()?;
    (policy.retries.value > 0 && !policy.on.value.is_empty()).then_some(policy)
}

/// The bound of a try that counts: one that is not shorter than the route's is void.
pub(crate) fn per_try(forward: &Forward) -> Option<Duration> {
    let bound = forward.retry.as_deref()?.per_try_timeout?.value;
    let whole = forward.timeout.value.filter(|it| !it.is_zero());
    (!bound.is_zero() && whole.is_none_or(|whole| bound < whole)).then_some(bound)
}

/// The bound of all tries.
pub(crate) fn timeout(forward: &Forward) -> Option<Duration> {
    forward.timeout.value.filter(|it| !it.is_zero())
}

/// Statuses from 500 to 599 that servers and proxies answer with.
const USUAL: [u16; 4] = [500, 502, 503, 504];

fn is_5xx(status: u16) -> bool {
    (500..600).contains(&status)
}

/// Whether a list has every status from 500 to 599.
pub(crate) fn is_class(statuses: &[u16]) -> bool {
    (500..600).all(|status| statuses.contains(&status))
}

/// A list in few words: `5xx`, `429`, `502-504`; ranges where statuses follow one another.
pub(crate) fn ranges(statuses: &[u16]) -> Vec<String> {
    let mut all = statuses.to_vec();
    all.sort_unstable();
    all.dedup();
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for status in all {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == status => *last = status,
            Some(_) | None => runs.push((status, status)),
        }
    }
    runs.into_iter()
        .map(|(from, to)| match (from, to) {
            (500, 599) => "5xx".to_owned(),
            (502, 504) => "gateway-error".to_owned(),
            (from, to) if from == to => from.to_string(),
            (from, to) => format!("{from}-{to}"),
        })
        .collect()
}

/// Statuses that a policy tries again, as lists have them: those of a class by their usual members.
pub(crate) fn statuses(policy: &RetryPolicy) -> Vec<u16> {
    let on = policy.on.value;
    let mut all: Vec<u16> = Vec::new();
    if on.has(Condition::ServerError) {
        all.extend(USUAL);
    }
    if on.has(Condition::GatewayError) {
        all.extend([502, 503, 504]);
    }
    if on.has(Condition::Retriable4xx) {
        all.push(409);
    }
    if on.has(Condition::RetriableStatusCodes) {
        match is_class(&policy.statuses) {
            true => {
                all.extend(USUAL);
                all.extend(policy.statuses.iter().filter(|it| !is_5xx(**it)));
            }
            false => all.extend(&policy.statuses),
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// `5xx, connect-failure`.
pub(crate) fn words(on: RetryOn) -> String {
    let words: Vec<&str> = on.iter().map(Condition::name).collect();
    words.join(", ")
}

/// First and longest pause of Envoy's kind, where it is not Envoy's own; an error says in words what else it is.
pub(crate) fn pauses(backoff: Backoff) -> Result<Option<(Duration, Duration)>, &'static str> {
    match backoff {
        Backoff::FullJitter(jitter) if jitter == FullJitter::envoy_v3() => Ok(None),
        Backoff::FullJitter(jitter) => Ok(Some((jitter.interval(0), jitter.interval(u32::MAX)))),
        Backoff::None => Err("no pause before a try"),
        Backoff::AddedJitter(_) => Err("pauses with jitter on top"),
        Backoff::Around(_) => Err("pauses about an interval that grows slowly"),
    }
}

/// What of a policy no target but Envoy has a word for: in words.
pub(crate) fn extras(policy: &RetryPolicy) -> Vec<String> {
    let mut all = Vec::new();
    let mut add = |is: bool, words: &str| {
        if is {
            all.push(words.to_owned());
        }
    };
    add(
        policy.spare_sent_non_idempotent,
        "requests of methods that are not idempotent are left alone once bytes of them were sent",
    );
    add(
        policy.no_try_after.is_some_and(|it| !it.value.is_zero()),
        "no try begins once so much time has passed",
    );
    add(
        policy.rate_limited_backoff.is_some(),
        "pauses that the response asks for",
    );
    add(
        policy.previous_priorities.is_some(),
        "priorities that were tried are left",
    );
    add(
        !policy.headers.is_empty() && policy.on.value.has(Condition::RetriableHeaders),
        "answers with some headers are tried again",
    );
    add(
        policy.per_try_idle_timeout.is_some(),
        "a bound of a try's silence",
    );
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_in_few_words() {
        let all: Vec<u16> = (500..600).collect();
        assert_eq!(ranges(&all), ["5xx"]);
        assert_eq!(ranges(&[504, 502, 503, 429]), ["429", "gateway-error"]);
        assert_eq!(ranges(&[500, 501, 503]), ["500-501", "503"]);
        assert!(ranges(&[]).is_empty());
    }
}
