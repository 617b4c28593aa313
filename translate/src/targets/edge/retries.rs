//! What a retry policy comes to, apart from how a system says it.

use std::collections::BTreeSet;

use proxy_core::config::{Forward, RetryPolicy};
use proxy_core::retry::conditions::Condition;

/// Which failures and answers are followed by another try.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tried {
    /// Tries after the first.
    pub(crate) retries: u32,
    /// Connections that could not be made.
    pub(crate) unconnected: bool,
    /// Connections that broke before an answer, whatever was sent.
    pub(crate) broken: bool,
    /// Tries that took too long.
    pub(crate) slow: bool,
    /// Answers with these statuses.
    pub(crate) statuses: BTreeSet<u16>,
    /// Conditions that are none of these, in the words of `retry_on`.
    pub(crate) others: Vec<&'static str>,
}

/// What is tried again; none: nothing is.
pub(crate) fn tried(forward: &Forward) -> Option<Tried> {
    let policy = forward.retry.as_deref()?;
    if policy.retries.value == 0 || policy.on.value.is_empty() {
        return None;
    }
    let mut tried = Tried {
        retries: policy.retries.value,
        ..Tried::default()
    };
    for condition in policy.on.value.iter() {
        tried.add(condition, policy);
    }
    Some(tried)
}

impl Tried {
    fn add(&mut self, condition: Condition, policy: &RetryPolicy) {
        match condition {
            Condition::ConnectFailure => self.unconnected = true,
            Condition::ResetBeforeRequest => self.unconnected = true,
            Condition::Reset => {
                self.unconnected = true;
                self.broken = true;
                self.slow = true;
            }
            Condition::ServerError | Condition::GatewayError => {
                self.unconnected = true;
                self.broken = true;
                self.slow = true;
                let every = condition == Condition::ServerError;
                self.statuses
                    .extend(if every { 500..=599 } else { 502..=504 });
            }
            Condition::PerTryTimeout => self.slow = true,
            Condition::Retriable4xx => {
                self.statuses.insert(409);
            }
            Condition::RetriableStatusCodes => self.statuses.extend(&policy.statuses),
            // a stream that was refused is one of HTTP/2
            Condition::RefusedStream
            | Condition::EnvoyRateLimited
            | Condition::RetriableHeaders
            | Condition::Http3PostConnectFailure
            | Condition::Cancelled
            | Condition::DeadlineExceeded
            | Condition::ResourceExhausted
            | Condition::Internal
            | Condition::Unavailable => self.others.push(condition.name()),
        }
    }

    /// Statuses as ranges: `500-599`, `409`.
    pub(crate) fn ranges(&self) -> Vec<String> {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for status in &self.statuses {
            match ranges.last_mut() {
                Some((_, to)) if *to + 1 == *status => *to = *status,
                Some(_) | None => ranges.push((*status, *status)),
            }
        }
        let text = |(from, to): &(u16, u16)| match from == to {
            true => from.to_string(),
            false => format!("{from}-{to}"),
        };
        ranges.iter().map(text).collect()
    }
}

/// A policy in words: `2 retries on connect-failure,503`.
pub(crate) fn words(policy: &RetryPolicy) -> String {
    let mut on = policy.on.value.to_string();
    if !policy.statuses.is_empty() {
        let statuses: Vec<String> = policy.statuses.iter().map(u16::to_string).collect();
        on = format!("{on} ({})", statuses.join(", "));
    }
    let number = policy.retries.value;
    let noun = if number == 1 { "retry" } else { "retries" };
    format!("{number} {noun} on {on}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_core::config::ClusterIndex;
    use proxy_core::origin::{OriginId, Sourced};
    use proxy_core::retry::backoff::Backoff;
    use proxy_core::retry::conditions::RetryOn;

    fn forward(on: &[Condition], retries: u32) -> Forward {
        let mut forward = Forward::to(ClusterIndex(0));
        forward.retry = Some(Box::new(RetryPolicy {
            on: Sourced::unsourced(on.iter().copied().collect::<RetryOn>()),
            statuses: vec![429],
            headers: Vec::new(),
            request_headers: Vec::new(),
            retries: Sourced::unsourced(retries),
            per_try_timeout: None,
            per_try_idle_timeout: None,
            backoff: Sourced::unsourced(Backoff::None),
            rate_limited_backoff: None,
            avoid_previous: None,
            previous_priorities: None,
            spare_sent_non_idempotent: false,
            last_try_unbounded: false,
            no_try_after: None,
            failures_have_statuses: false,
            body_limit: None,
            origin: OriginId::NONE,
        }));
        forward
    }

    #[test]
    fn conditions_come_to_failures_and_statuses() {
        let tried = tried(&forward(&[Condition::GatewayError], 2)).expect("retries");
        assert!(tried.unconnected && tried.broken && tried.slow);
        assert_eq!(tried.ranges(), ["502-504"]);
        let listed = [Condition::ConnectFailure, Condition::RetriableStatusCodes];
        let tried = super::tried(&forward(&listed, 2)).expect("retries");
        assert!(tried.unconnected && !tried.broken);
        assert_eq!(tried.ranges(), ["429"]);
        let grpc = super::tried(&forward(&[Condition::Unavailable], 1)).expect("retries");
        assert_eq!(grpc.others, ["unavailable"]);
    }

    #[test]
    fn without_a_number_or_a_condition_nothing_is_tried_again() {
        assert_eq!(tried(&forward(&[Condition::Reset], 0)), None);
        assert_eq!(tried(&forward(&[], 3)), None);
    }
}
