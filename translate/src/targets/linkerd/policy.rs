//! How requests are tried and bounded, as annotations say it.

use std::collections::BTreeMap;

use compare::Area;
use proxy_core::config::Forward;
use proxy_core::retry::conditions::Condition;

use crate::targets::common::duration::single;
use crate::targets::common::retries;

/// How requests are tried and bounded, as annotations say it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Policy(pub(super) BTreeMap<&'static str, String>);

pub(super) type Unsaid = Vec<(Area, String, String)>;

/// Annotations for how requests of a route are tried and bounded, and what of it they cannot say.
pub(super) fn policy(forward: &Forward) -> (Policy, Unsaid) {
    let mut notes: BTreeMap<&'static str, String> = BTreeMap::new();
    let mut unsaid = Unsaid::new();
    let mut bound = retries::timeout(forward);
    if let Some(policy) = retries::effective(forward) {
        let on = policy.on.value;
        let mut http: Vec<String> = Vec::new();
        if on.has(Condition::ServerError) {
            http.push("5xx".to_owned());
        } else if on.has(Condition::GatewayError) {
            http.push("gateway-error".to_owned());
        }
        if on.has(Condition::Retriable4xx) {
            http.push("409".to_owned());
        }
        if on.has(Condition::RetriableStatusCodes) {
            let listed = policy.statuses.iter().copied();
            let whole = on.has(Condition::ServerError);
            let listed: Vec<u16> = listed.filter(|it| !(whole && *it >= 500)).collect();
            http.extend(retries::ranges(&listed));
        }
        let grpc = [
            Condition::Cancelled,
            Condition::DeadlineExceeded,
            Condition::Internal,
            Condition::ResourceExhausted,
            Condition::Unavailable,
        ];
        let grpc: Vec<&str> = grpc
            .into_iter()
            .filter(|it| on.has(*it))
            .map(Condition::name)
            .collect();
        if !http.is_empty() {
            notes.insert("retry.linkerd.io/http", http.join(","));
        }
        if !grpc.is_empty() {
            notes.insert("retry.linkerd.io/grpc", grpc.join(","));
        }
        if let Some(limit) = u16::try_from(policy.retries.value)
            .ok()
            .filter(|it| *it != 1)
        {
            notes.insert("retry.linkerd.io/limit", limit.to_string());
        } else if policy.retries.value == 1 && notes.is_empty() {
            notes.insert("retry.linkerd.io/limit", "1".to_owned());
        }
        // a try that takes too long is tried again only where the source would do so
        let slow = [
            Condition::ServerError,
            Condition::GatewayError,
            Condition::Reset,
            Condition::PerTryTimeout,
        ];
        if let Some(each) = retries::per_try(forward) {
            if slow.into_iter().any(|it| on.has(it)) {
                notes.insert("retry.linkerd.io/timeout", single(each));
                if !policy.last_try_unbounded {
                    unsaid.push((
                        Area::Retry,
                        "the last try is bound, too".to_owned(),
                        "Linkerd lets the last try take as long as it needs".to_owned(),
                    ));
                }
            } else {
                // nobody tries again what ends so: the answer is 504 after this time
                bound = Some(bound.map_or(each, |whole| whole.min(each)));
                unsaid.push((
                    Area::Retry,
                    "each try is bound, and one that takes too long is not tried again".to_owned(),
                    format!("the answer has to come within {}", single(each)),
                ));
            }
        }
        let failed = [
            Condition::ConnectFailure,
            Condition::Reset,
            Condition::ResetBeforeRequest,
        ];
        let failed: Vec<&str> = failed
            .into_iter()
            .filter(|it| on.has(*it))
            .map(Condition::name)
            .collect();
        if !failed.is_empty() {
            unsaid.push((
                Area::Retry,
                format!("tries follow `{}`", failed.join(", ")),
                "requests wait for an endpoint that is ready instead, up to 3 s".to_owned(),
            ));
        }
        for extra in retries::extras(policy) {
            unsaid.push((Area::Retry, extra, String::new()));
        }
    } else if let Some(each) = retries::per_try(forward) {
        bound = Some(bound.map_or(each, |whole| whole.min(each)));
    }
    match (bound, forward.max_stream_duration) {
        (Some(bound), Some(stream)) if !stream.value.is_zero() => {
            notes.insert("timeout.linkerd.io/response", single(bound));
            notes.insert("timeout.linkerd.io/request", single(stream.value));
        }
        (Some(bound), _) => {
            notes.insert("timeout.linkerd.io/request", single(bound));
        }
        (None, Some(stream)) if !stream.value.is_zero() => {
            notes.insert("timeout.linkerd.io/request", single(stream.value));
        }
        (None, _) => {}
    }
    if let Some(idle) = forward.idle_timeout.filter(|it| !it.value.is_zero()) {
        notes.insert("timeout.linkerd.io/idle", single(idle.value));
    }
    (Policy(notes), unsaid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_core::config::{ClusterIndex, RetryPolicy};
    use proxy_core::origin::{OriginId, Sourced};
    use proxy_core::retry::backoff::Backoff;
    use proxy_core::retry::conditions::RetryOn;
    use proxy_core::time::Duration;

    fn forward(on: RetryOn, retries: u32) -> Forward {
        let mut forward = Forward::to(ClusterIndex(0));
        forward.retry = Some(Box::new(RetryPolicy {
            on: Sourced::unsourced(on),
            statuses: Vec::new(),
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

    fn note(policy: &Policy, key: &str) -> Option<String> {
        policy.0.get(key).cloned()
    }

    #[test]
    fn retries_on_server_errors_are_an_annotation() {
        let (written, unsaid) = policy(&forward(RetryOn::NONE.with(Condition::ServerError), 3));
        assert_eq!(
            note(&written, "retry.linkerd.io/http").as_deref(),
            Some("5xx")
        );
        assert_eq!(
            note(&written, "retry.linkerd.io/limit").as_deref(),
            Some("3")
        );
        assert!(unsaid.is_empty(), "{unsaid:?}");
    }

    #[test]
    fn retries_of_connections_have_no_word_and_that_is_said() {
        let on = RetryOn::NONE.with(Condition::ConnectFailure);
        let (_, unsaid) = policy(&forward(on, 2));
        assert_eq!(unsaid.len(), 1);
        assert!(unsaid[0].1.contains("connect-failure"), "{unsaid:?}");
    }

    #[test]
    fn a_bound_of_tries_that_are_not_tried_again_is_a_bound_of_the_answer() {
        let on = RetryOn::NONE.with(Condition::ConnectFailure);
        let mut slow = forward(on, 3);
        let each = Some(Sourced::unsourced(Duration::from_secs(2)));
        slow.retry.as_mut().unwrap().per_try_timeout = each;
        let (written, _) = policy(&slow);
        assert_eq!(
            note(&written, "timeout.linkerd.io/request").as_deref(),
            Some("2s")
        );
        assert_eq!(note(&written, "retry.linkerd.io/timeout"), None);
        let on = on.with(Condition::ServerError);
        let mut again = forward(on, 3);
        again.retry.as_mut().unwrap().per_try_timeout = each;
        let (written, _) = policy(&again);
        assert_eq!(
            note(&written, "retry.linkerd.io/timeout").as_deref(),
            Some("2s")
        );
        assert_eq!(note(&written, "timeout.linkerd.io/request"), None);
    }

    #[test]
    fn no_retries_are_no_annotation() {
        let (written, unsaid) = policy(&forward(RetryOn::NONE, 5));
        assert!(written.0.is_empty() && unsaid.is_empty());
    }
}
