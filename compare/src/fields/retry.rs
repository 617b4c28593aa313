//! Retries and hedging.

use proxy_core::config::{Forward, RateLimitedBackoff, RetryPolicy};
use proxy_core::origin::Sourced;
use proxy_core::retry::backoff::{Backoff, ResetFormat};
use proxy_core::time::Duration;

use super::words::{conditions, length, list, yes};
use crate::Area;
use crate::tell::{NONE, Sheet, maybe, sourced};

/// A number of a back-off by which its interval has long come to its end.
const LATE: u32 = 63;

/// The tries of a route after the first, as they are in force: without a condition or a number there are none.
pub(super) fn retry(sheet: &mut Sheet, forward: &Forward, around: proxy_core::origin::OriginId) {
    let policy = forward.retry.as_deref();
    let origin = policy.map_or(around, |it| it.retries.origin);
    let in_force = policy.filter(|it| it.retries.value > 0 && !it.on.value.is_empty());
    let inner = in_force.map(of_policy);
    sheet.part(Area::Retry, "retry", inner, origin);
    let timeout = policy.and_then(|it| per_try(it, forward));
    let (text, origin) = sourced(timeout, around, length);
    sheet.row(Area::Timeout, "per-try timeout", text, origin);
    let idle = policy.and_then(|it| it.per_try_idle_timeout);
    let (text, origin) = sourced(idle, around, length);
    sheet.row(Area::Timeout, "per-try idle timeout", text, origin);
    let hedge = forward.hedge.filter(|it| it.on_per_try_timeout);
    let origin = hedge.map_or(around, |it| it.origin);
    sheet.row(
        Area::Retry,
        "hedge on per-try timeout",
        yes(hedge.is_some()),
        origin,
    );
}

/// One that is not shorter than the route's timeout is void.
fn per_try(policy: &RetryPolicy, forward: &Forward) -> Option<Sourced<Duration>> {
    let whole = forward.timeout.value.filter(|it| !it.is_zero());
    let per_try = policy.per_try_timeout.filter(|it| !it.value.is_zero())?;
    whole
        .is_none_or(|whole| per_try.value < whole)
        .then_some(per_try)
}

fn of_policy(policy: &RetryPolicy) -> Sheet {
    let mut sheet = Sheet::default();
    let origin = policy.origin;
    let mut row = |what: &'static str, text: String, origin| {
        sheet.row(Area::Retry, what, text, origin);
    };
    row("retry.on", policy.on.value.to_string(), policy.on.origin);
    row(
        "retry.retries",
        policy.retries.value.to_string(),
        policy.retries.origin,
    );
    let mut statuses = policy.statuses.clone();
    statuses.sort_unstable();
    statuses.dedup();
    row("retry.statuses", list(statuses), origin);
    row(
        "retry.response headers",
        conditions(&policy.headers),
        origin,
    );
    row(
        "retry.request headers",
        conditions(&policy.request_headers),
        origin,
    );
    let pause = backoff(policy.backoff.value);
    row("retry.back-off", pause, policy.backoff.origin);
    let asked = maybe(policy.rate_limited_backoff.as_ref(), asked);
    row("retry.back-off that is asked for", asked, origin);
    let (text, from) = sourced(policy.avoid_previous, origin, |picks| {
        format!("{picks} picks")
    });
    row("retry.other endpoints first", text, from);
    let previous = maybe(policy.previous_priorities, |every| {
        format!("after every {every}")
    });
    row("retry.other priorities first", previous, origin);
    let spared = yes(policy.spare_sent_non_idempotent);
    row(
        "retry.sent non-idempotent requests are left alone",
        spared,
        origin,
    );
    let unbounded = yes(policy.last_try_unbounded);
    row("retry.last try without its timeout", unbounded, origin);
    let window = policy.no_try_after.filter(|it| !it.value.is_zero());
    let (text, from) = sourced(window, origin, length);
    row("retry.no try after", text, from);
    let failures = yes(policy.failures_have_statuses);
    row("retry.statuses of failures", failures, origin);
    let longest = maybe(policy.body_limit, |it| format!("{it} bytes"));
    row("retry.longest body", longest, origin);
    sheet
}

/// `25ms, doubling up to 250ms, any part of it`.
pub(super) fn backoff(backoff: Backoff) -> String {
    match backoff {
        Backoff::None => NONE.to_owned(),
        Backoff::FullJitter(it) => format!(
            "any part of {}, doubling up to {}",
            it.interval(0),
            it.interval(LATE)
        ),
        Backoff::AddedJitter(it) => format!(
            "{} doubling up to {}, and up to {} of it more",
            it.min, it.max, it.jitter
        ),
        Backoff::Around(it) => {
            format!("half to one and a half of {} times {}", it.first, it.factor)
        }
    }
}

fn asked(asked: &RateLimitedBackoff) -> String {
    let headers = asked.headers.iter().map(|(name, format)| match format {
        ResetFormat::Seconds => format!("{name} in seconds"),
        ResetFormat::UnixTimestamp => format!("{name} as a moment"),
    });
    format!("{}, at most {}", list(headers), asked.max_interval)
}
