//! What the facts of a proxy, an application or a client are called in a result: the same words for whoever drives them.

use proxy_core::config::Cluster;
use proxy_core::event::{AttemptFailure, AttemptResult};
use proxy_core::origin::OriginId;
use proxy_core::reply::ReplyReason;
use reports::outcome::{AttemptKind, EjectionReason, ErrorReason, Limit, RetryCondition, Why};
use scenarios::app::{CallOutcome, Failure, TryKind};

/// A rule's number, if a rule stands behind it.
#[must_use]
pub const fn origin(id: OriginId) -> Option<reports::ids::OriginId> {
    if id.0 == 0 {
        None
    } else {
        Some(reports::ids::OriginId(id.0))
    }
}

/// What a retry after this answer counts as.
#[must_use]
pub const fn condition_of_status(status: u16) -> RetryCondition {
    match status {
        502..=504 => RetryCondition::GatewayError,
        500.. => RetryCondition::Status5xx,
        409 => RetryCondition::Retriable4xx,
        _ => RetryCondition::RetriableStatus,
    }
}

/// What a retry after a try that ended so counts as.
#[must_use]
pub const fn condition_of(result: AttemptResult) -> RetryCondition {
    match result {
        AttemptResult::Response(status) => condition_of_status(status),
        AttemptResult::Cancelled => RetryCondition::HedgeDelay,
        AttemptResult::Failed(failure) => match failure {
            AttemptFailure::NoHealthyUpstream | AttemptFailure::Overflow => {
                RetryCondition::NextTarget
            }
            AttemptFailure::ConnectRefused | AttemptFailure::ConnectTimeout => {
                RetryCondition::ConnectFailure
            }
            AttemptFailure::Terminated | AttemptFailure::Reset | AttemptFailure::Protocol => {
                RetryCondition::Reset
            }
            AttemptFailure::RefusedStream => RetryCondition::RefusedStream,
            AttemptFailure::PerTryTimeout | AttemptFailure::PerTryIdle => {
                RetryCondition::PerTryTimeout
            }
            AttemptFailure::RouteTimeout => RetryCondition::Timeout,
        },
    }
}

/// Why a try was not served.
#[must_use]
pub const fn reason_of_result(result: AttemptResult) -> ErrorReason {
    match result {
        AttemptResult::Response(500..) => ErrorReason::Status5xx,
        AttemptResult::Response(_) => ErrorReason::None,
        AttemptResult::Cancelled => ErrorReason::Superseded,
        AttemptResult::Failed(failure) => match failure {
            AttemptFailure::NoHealthyUpstream => ErrorReason::NoHealthy,
            AttemptFailure::Overflow => ErrorReason::Overflow,
            AttemptFailure::ConnectRefused | AttemptFailure::ConnectTimeout => ErrorReason::Connect,
            AttemptFailure::Terminated
            | AttemptFailure::Reset
            | AttemptFailure::RefusedStream
            | AttemptFailure::Protocol => ErrorReason::Reset,
            AttemptFailure::PerTryTimeout
            | AttemptFailure::PerTryIdle
            | AttemptFailure::RouteTimeout => ErrorReason::Timeout,
        },
    }
}

/// Why a proxy answered itself.
#[must_use]
pub const fn reason_of_reply(reason: ReplyReason) -> ErrorReason {
    match reason {
        ReplyReason::NoRoute | ReplyReason::NoCluster => ErrorReason::NoRoute,
        ReplyReason::NoHealthyUpstream | ReplyReason::Failfast => ErrorReason::NoHealthy,
        ReplyReason::LoadShed | ReplyReason::Overflow | ReplyReason::BreakerOpen => {
            ErrorReason::Overflow
        }
        ReplyReason::ConnectFailure | ReplyReason::ConnectTimeout => ErrorReason::Connect,
        ReplyReason::UpstreamTermination
        | ReplyReason::UpstreamReset
        | ReplyReason::UpstreamRefused
        | ReplyReason::LocalReset
        | ReplyReason::UpstreamProtocolError => ErrorReason::Reset,
        ReplyReason::RouteTimeout
        | ReplyReason::PerTryTimeout
        | ReplyReason::PerTryIdle
        | ReplyReason::StreamIdle
        | ReplyReason::MaxStreamDuration
        | ReplyReason::RequestTimeout => ErrorReason::Timeout,
        ReplyReason::RateLimited | ReplyReason::TooManyInFlight => ErrorReason::RateLimited,
        ReplyReason::FaultAbort => ErrorReason::FaultInjected,
        ReplyReason::Direct | ReplyReason::Redirect => ErrorReason::None,
        ReplyReason::Draining
        | ReplyReason::BadHead(_)
        | ReplyReason::MalformedBody
        | ReplyReason::BodyTooLarge
        | ReplyReason::UpgradeRefused
        | ReplyReason::Preflight => ErrorReason::Other,
    }
}

/// What a client's or an application's own retry after this counts as.
const fn condition_of_call(failed: CallOutcome) -> RetryCondition {
    match failed {
        CallOutcome::Answered(status) => condition_of_status(status),
        CallOutcome::Failed(Failure::Timeout) => RetryCondition::Timeout,
        CallOutcome::Failed(Failure::Reset) => RetryCondition::Reset,
        CallOutcome::Failed(Failure::Connect | Failure::Dns | Failure::Tls) => {
            RetryCondition::ConnectFailure
        }
    }
}

/// What a client's or an application's own try counts as.
#[must_use]
pub const fn kind_of(kind: TryKind) -> (AttemptKind, Option<Why>) {
    match kind {
        TryKind::First => (AttemptKind::First, None),
        TryKind::Retry(failed) => (
            AttemptKind::Retry,
            Some(Why {
                origin: None,
                condition: condition_of_call(failed),
            }),
        ),
        TryKind::Hedge => (
            AttemptKind::Hedge,
            Some(Why {
                origin: None,
                condition: RetryCondition::HedgeDelay,
            }),
        ),
    }
}

/// The limit of a cluster that a rule has set.
#[must_use]
pub fn limit_by_origin(cluster: &Cluster, rule: OriginId) -> Limit {
    let limits = cluster.limits.iter();
    let found = limits.flat_map(|limits| {
        [
            (limits.pending, Limit::Pending),
            (limits.requests, Limit::Requests),
            (limits.connections, Limit::Connections),
        ]
    });
    let bounded = found.filter(|(value, _)| value.origin == rule && value.value != u32::MAX);
    bounded
        .map(|(_, limit)| limit)
        .next()
        .unwrap_or(Limit::Pending)
}

/// Why an endpoint was taken out.
#[must_use]
pub const fn ejection_reason(why: proxy_core::event::EjectionReason) -> EjectionReason {
    use proxy_core::event::EjectionReason as Why;
    match why {
        Why::Consecutive5xx => EjectionReason::Consecutive5xx,
        Why::ConsecutiveGateway => EjectionReason::ConsecutiveGateway,
        Why::ConsecutiveLocalOrigin => EjectionReason::ConsecutiveLocal,
        Why::SuccessRate | Why::LocalOriginSuccessRate => EjectionReason::SuccessRate,
        Why::FailurePercentage | Why::LocalOriginFailurePercentage => {
            EjectionReason::FailurePercentage
        }
        Why::FailureAccrual => EjectionReason::FailureAccrual,
        Why::PassiveCheck => EjectionReason::PassiveCheck,
    }
}

/// How a call of an application ended.
#[must_use]
pub const fn reason_of_call(outcome: CallOutcome) -> ErrorReason {
    match outcome {
        CallOutcome::Answered(500..) => ErrorReason::Status5xx,
        CallOutcome::Answered(_) => ErrorReason::None,
        CallOutcome::Failed(failure) => reason_of_failure(failure),
    }
}

/// Why there was no response.
#[must_use]
pub const fn reason_of_failure(failure: Failure) -> ErrorReason {
    match failure {
        Failure::Timeout => ErrorReason::Timeout,
        Failure::Connect => ErrorReason::Connect,
        Failure::Reset => ErrorReason::Reset,
        Failure::Dns => ErrorReason::Dns,
        Failure::Tls => ErrorReason::Tls,
    }
}
