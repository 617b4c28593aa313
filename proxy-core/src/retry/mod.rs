//! Retries: what may be retried ([`conditions`]), when ([`backoff`]) and how many at once or per time ([`budget`]).

pub mod backoff;
pub mod budget;
pub mod conditions;

/// What became of a wish to retry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It happens; whatever `admit` took is held until the next decision or the exchange's end.
    Retry,
    /// The exchange has used up its retries: flag URX, the response at hand is returned.
    LimitExceeded,
    /// The cluster's retry limit or budget is used up: the response at hand is returned.
    Overflow,
}

/// Admits one more retry of an exchange that has `remaining` left, if `take` finds room in the cluster's limit.
///
/// `remaining` falls before `take` is asked, so a retry that overflows is spent.
///
/// Source: Envoy `source/common/router/retry_state_impl.cc`, `shouldRetry`.
#[must_use]
pub fn admit(remaining: &mut u32, take: impl FnOnce() -> bool) -> Admission {
    let Some(fewer) = remaining.checked_sub(1) else {
        return Admission::LimitExceeded;
    };
    *remaining = fewer;
    if take() {
        Admission::Retry
    } else {
        Admission::Overflow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overflowing_retry_is_spent() {
        let mut remaining = 2;
        assert_eq!(admit(&mut remaining, || false), Admission::Overflow);
        assert_eq!(admit(&mut remaining, || true), Admission::Retry);
        assert_eq!(admit(&mut remaining, || true), Admission::LimitExceeded);
        assert_eq!(remaining, 0);
    }
}
