//! Retries that do not do what they are there for, or do more than they may.

use proxy_core::config::{Forward, HeaderMatch, RetryPolicy};
use proxy_core::heads::OwnedHead;
use proxy_core::retry::conditions::{Condition, Reset, ResetContext, RetryOn, decide_on_reset};

use super::Lint;
use super::view::{Sending, View, route_timeout};
use crate::diagnostics::{Diagnostic, Diagnostics};

/// A request that changes something may be carried out twice.
pub(super) static NON_IDEMPOTENT: Lint = Lint::warning(
    "retry::non-idempotent",
    "Requests that change something are sent again",
    "The route takes POST (RFC 9110 §9.2.2: not idempotent) and its conditions try again after the request has reached a server, which may \
     have carried it out: an order is placed twice.",
    "give such requests a route of their own that retries on `connect-failure,refused-stream,reset-before-request` alone",
);
/// A try that hangs is the end.
pub(super) static TIMEOUT: Lint = Lint::warning(
    "retry::timeout-not-retried",
    "A per-try timeout that no condition retries",
    "A try that runs into the per-try timeout is tried again only where the conditions say so. None of them does here, so the first slow \
     answer ends the request: the bound acts as a timeout of the whole request, and the retries are for other failures.",
    "add `reset` or `5xx` to the conditions, and mind that a slow server then meets several tries of each request",
);
/// Tries that never happen.
pub(super) static NEVER: Lint = Lint::warning(
    "retry::never",
    "Retries without a condition",
    "A number of retries is set, and no failure leads to one.",
    "name the failures after which to try again",
);

pub(super) fn check(view: &View<'_>, out: &mut Diagnostics) {
    for section in &view.sections {
        for sending in section.sendings() {
            let Some(policy) = sending.forward.retry.as_deref() else {
                continue;
            };
            if policy.retries.value == 0 {
                continue;
            }
            if policy.on.value.is_empty() {
                out.extend(never(view, policy));
                continue;
            }
            check_timeout(view, sending.forward, policy, out);
            let rules = [policy.retries.origin, policy.on.origin];
            if rules.into_iter().any(|rule| view.is_written(rule)) {
                check_methods(view, sending, policy, out);
            }
        }
    }
}

fn never(view: &View<'_>, policy: &RetryPolicy) -> Option<Diagnostic> {
    let written = view.span(policy.retries.origin);
    let message = format!(
        "the retries of this policy ({}) are never made",
        policy.retries.value
    );
    let found = NEVER
        .found(message)
        .label(written, "no condition leads to them");
    (!written.is_nowhere()).then_some(found)
}

fn check_timeout(view: &View<'_>, forward: &Forward, policy: &RetryPolicy, out: &mut Diagnostics) {
    let Some(bound) = policy.per_try_timeout else {
        return;
    };
    let is_void = route_timeout(forward).is_some_and(|all| bound.value >= all.value);
    let hedged = forward.hedge.is_some_and(|hedge| hedge.on_per_try_timeout);
    if is_void || hedged || bound.value.is_zero() || !view.is_written(bound.origin) {
        return;
    }
    if retries_timeouts(policy.on.value) {
        return;
    }
    let message = format!(
        "a try that takes longer than {} is not tried again: the request fails",
        bound.value
    );
    let conditions = view.span(policy.on.origin);
    let mut found = TIMEOUT
        .found(message)
        .label(view.span(bound.origin), "ends the request")
        .label(conditions, "says nothing of timeouts");
    if conditions.is_nowhere() {
        found = found.help(format!(
            "the conditions are `{}`{}; {}",
            policy.on.value,
            view.by_default(policy.on.origin),
            TIMEOUT.help
        ));
    }
    out.push(found);
}

/// Whether a try that ran into its bound is tried again.
pub(super) fn retries_timeouts(on: RetryOn) -> bool {
    let context = ResetContext {
        reset: Reset::PerTryTimeout,
        request_started: true,
        http3_with_fallback: false,
    };
    decide_on_reset(on, context).condition().is_some()
}

fn check_methods(
    view: &View<'_>,
    sending: Sending<'_>,
    policy: &RetryPolicy,
    out: &mut Diagnostics,
) {
    if policy.spare_sent_non_idempotent || policy.body_limit == Some(0) {
        return;
    }
    let methods = &sending.route.matches.methods;
    let mut asked = methods.iter().map(|method| &**method);
    let method = match methods.is_empty() {
        true => Some("POST"),
        false => asked.find(|method| matches!(*method, "POST" | "PATCH")),
    };
    let by_header = |method: &str| {
        let mut conditions = sending.route.matches.headers.iter();
        conditions.all(|condition| takes_method(condition, method))
    };
    let Some(method) = method.filter(|method| by_header(method)) else {
        return;
    };
    let named = policy.request_headers.iter();
    let mut named = named
        .filter(|condition| &*condition.name == ":method")
        .peekable();
    if named.peek().is_some() && !named.any(|condition| takes_method(condition, method)) {
        return;
    }
    let risky: Vec<&str> = risky(policy, sending.route.matches.grpc);
    if risky.is_empty() {
        return;
    }
    let message = format!(
        "a {method} that reached a server may be sent again, up to {} in all",
        times(policy.retries.value.saturating_add(1))
    );
    let conditions = format!("{} after it was sent", risky.join(", "));
    let retries = view.span(policy.retries.origin);
    out.push(
        NON_IDEMPOTENT
            .found(message)
            .label(view.span(policy.on.origin), conditions)
            .label(retries, "so often")
            .label(view.span(sending.route.origin), "takes it"),
    );
}

/// The conditions that hold after bytes of a request have reached a server.
fn risky(policy: &RetryPolicy, grpc: bool) -> Vec<&'static str> {
    let on = policy.on.value.iter();
    on.filter(|condition| match condition {
        Condition::ServerError
        | Condition::GatewayError
        | Condition::Reset
        | Condition::RetriableHeaders => true,
        Condition::PerTryTimeout => policy.per_try_timeout.is_some(),
        Condition::RetriableStatusCodes => policy.statuses.iter().any(|status| *status >= 500),
        Condition::Cancelled
        | Condition::DeadlineExceeded
        | Condition::ResourceExhausted
        | Condition::Internal
        | Condition::Unavailable => grpc,
        // the peer says that it did nothing, or nothing was sent
        Condition::ResetBeforeRequest
        | Condition::ConnectFailure
        | Condition::EnvoyRateLimited
        | Condition::Retriable4xx
        | Condition::RefusedStream
        | Condition::Http3PostConnectFailure => false,
    })
    .map(Condition::name)
    .collect()
}

/// Whether a condition on a header lets a request of this method pass; one that asks for something else does.
fn takes_method(condition: &HeaderMatch, method: &str) -> bool {
    if &*condition.name != ":method" {
        return true;
    }
    OwnedHead::new(method, false, "any", "/")
        .view()
        .matches(condition)
}

fn times(count: u32) -> String {
    match count {
        2 => "twice".to_owned(),
        _ => format!("{count} times"),
    }
}

#[cfg(test)]
mod tests {
    use proxy_core::config::{Absent, TextMatch};
    use proxy_core::origin::Sourced;
    use proxy_core::retry::backoff::Backoff;
    use proxy_core::time::Duration;

    use super::*;

    /// A policy as far as this module looks at it.
    fn policy(on: &[Condition]) -> RetryPolicy {
        RetryPolicy {
            on: Sourced::unsourced(on.iter().copied().collect()),
            statuses: vec![503],
            headers: Vec::new(),
            request_headers: Vec::new(),
            retries: Sourced::unsourced(2),
            per_try_timeout: Some(Sourced::unsourced(Duration::from_secs(1))),
            per_try_idle_timeout: None,
            backoff: Sourced::unsourced(Backoff::None),
            rate_limited_backoff: None,
            avoid_previous: None,
            previous_priorities: None,
            spare_sent_non_idempotent: false,
            last_try_unbounded: false,
            body_limit: None,
            no_try_after: None,
            failures_have_statuses: false,
            origin: proxy_core::origin::OriginId::NONE,
        }
    }

    #[test]
    fn conditions_that_hold_once_a_request_was_sent_are_risky() {
        use Condition::*;
        for (on, grpc, expected) in [
            (
                &[ConnectFailure, RefusedStream, ResetBeforeRequest][..],
                false,
                &[][..],
            ),
            (&[ServerError, ConnectFailure], false, &["5xx"]),
            (&[RetriableStatusCodes], false, &["retriable-status-codes"]),
            (&[Unavailable], false, &[]),
            (&[Unavailable], true, &["unavailable"]),
            (&[PerTryTimeout], false, &["per-try-timeout"]),
        ] {
            assert_eq!(risky(&policy(on), grpc), expected, "{on:?}");
        }
        let mut bounded = policy(&[Condition::RetriableStatusCodes]);
        bounded.statuses = vec![429];
        assert!(risky(&bounded, false).is_empty(), "it was refused");
    }

    #[test]
    fn retries_without_a_condition_are_told_where_somebody_wrote_them() {
        crate::lints::view::tests::with_view(|view, written| {
            let mut policy = policy(&[]);
            assert_eq!(never(view, &policy), None);
            policy.retries.origin = written;
            let found = never(view, &policy).expect("it is written");
            assert_eq!((found.code, found.labels.len()), ("retry::never", 1));
        });
    }

    #[test]
    fn only_some_conditions_try_a_timeout_again() {
        for (condition, expected) in [
            (Condition::Reset, true),
            (Condition::ServerError, true),
            (Condition::GatewayError, true),
            (Condition::PerTryTimeout, true),
            (Condition::ConnectFailure, false),
            (Condition::Unavailable, false),
            (Condition::RetriableStatusCodes, false),
        ] {
            assert_eq!(
                retries_timeouts(RetryOn::NONE.with(condition)),
                expected,
                "{condition:?}"
            );
        }
    }

    #[test]
    fn a_condition_on_the_method_keeps_others_out() {
        let on_method = |value: TextMatch, invert| HeaderMatch {
            name: ":method".into(),
            value,
            invert,
            ignore_case: false,
            absent: Absent::Unequal,
        };
        let get = on_method(TextMatch::Exact("GET".into()), false);
        let not_get = on_method(TextMatch::Exact("GET".into()), true);
        let safe = on_method(TextMatch::regex("GET|HEAD").unwrap(), false);
        assert!(!takes_method(&get, "POST") && takes_method(&get, "GET"));
        assert!(takes_method(&not_get, "POST"));
        assert!(!takes_method(&safe, "POST"));
    }
}
