//! Bounds in time that never count, or that cut off what stands behind them.

use proxy_core::config::{Forward, RetryPolicy};
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::Lint;
use super::hops::{Hop, Layer};
use super::resends::retries_timeouts;
use super::view::{View, route_timeout};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::Span;

/// A per-try timeout that the route's timeout makes void.
pub(super) static VOID_PER_TRY: Lint = Lint::warning(
    "timeout::void-per-try",
    "A per-try timeout that is not shorter than the request's",
    "The timeout of a request bounds all its tries together. A per-try timeout that is not shorter is left aside: a try that hangs takes \
     all the time there is and is never tried again.",
    "a try that hangs is not tried again; make it shorter, or the timeout longer",
);
/// Tries for which no time is left.
pub(super) static CUT_OFF: Lint = Lint::advice(
    "timeout::cut-off",
    "Retries for which no time is left",
    "When every try hangs, the request's timeout ends it before all tries that are set were made.",
    "make the tries shorter or fewer, or the timeout of the request longer",
);
/// A caller gives up before the rule behind it does.
pub(super) static OUTER_SHORTER: Lint = Lint::warning(
    "timeout::outer-shorter",
    "A caller that gives up before the rules behind it",
    "Two layers bound the same request, and the outer bound is the shorter one. What the inner layer would still do, a second try or the \
     rest of its timeout, is for a caller that has gone; and work that was begun goes on where nothing carries the cancellation.",
    "let each layer give up before the one in front of it: the outer bound longer than all tries of the inner one together",
);

/// A bound of each try and one of all; shared by whoever sees them in a text before it is compiled.
pub(crate) fn void_per_try(
    (one, each): (Duration, Span),
    (whole, all): (Duration, Span),
) -> Diagnostic {
    VOID_PER_TRY
        .found(format!(
            "the per-try timeout of {one} has no effect: the request ends after {whole}"
        ))
        .label(each, "not shorter than the request's timeout")
        .label(all, "bounds all tries together")
}

pub(super) fn check(view: &View<'_>, out: &mut Diagnostics) {
    for section in &view.sections {
        for sending in section.sendings() {
            check_route(view, sending.forward, out);
        }
    }
    for hop in view.hops() {
        for pair in hop.layers.windows(2) {
            out.extend(shorter(view, hop, &pair[0], &pair[1]));
        }
    }
}

fn check_route(view: &View<'_>, forward: &Forward, out: &mut Diagnostics) {
    let (Some(all), Some(policy)) = (route_timeout(forward), forward.retry.as_deref()) else {
        return;
    };
    let Some(one) = policy.per_try_timeout.filter(|one| !one.value.is_zero()) else {
        return;
    };
    if one.value >= all.value {
        if view.is_written(one.origin) {
            let (each, whole) = (view.span(one.origin), view.span(all.origin));
            out.push(void_per_try((one.value, each), (all.value, whole)));
        }
        return;
    }
    let set = policy.retries.value.saturating_add(1);
    let fitting = tries_within(all.value, one.value);
    if fitting < u64::from(set)
        && policy.retries.value > 0
        && retries_timeouts(policy.on.value)
        && view.is_written(policy.retries.origin)
    {
        let message = format!(
            "of {set} tries that hang only {fitting} are made: {} each, and the request ends after {}",
            one.value, all.value
        );
        out.push(
            CUT_OFF
                .found(message)
                .label(
                    view.span(policy.retries.origin),
                    "more than there is time for",
                )
                .label(view.span(one.origin), "of each")
                .label(view.span(all.origin), "of all"),
        );
    }
}

/// How many tries of this length begin before the end.
pub(super) fn tries_within(all: Duration, one: Duration) -> u64 {
    all.as_nanos().div_ceil(one.as_nanos().max(1))
}

/// How long a route may take at most over a server that never answers, and the rule that says so; none: for ever.
pub(super) fn longest(forward: &Forward) -> Option<Sourced<Duration>> {
    let all = route_timeout(forward);
    let tried = forward.retry.as_deref().and_then(tried_for);
    match (all, tried) {
        (Some(all), Some(tried)) if tried.value < all.value => Some(tried),
        (Some(all), _) => Some(all),
        (None, tried) => tried,
    }
}

/// The time of all tries of a policy that bounds each.
fn tried_for(policy: &RetryPolicy) -> Option<Sourced<Duration>> {
    let one = each(policy)?;
    let count = match retries_timeouts(policy.on.value) {
        true => u64::from(policy.retries.value) + 1,
        false => 1,
    };
    Some(Sourced::new(one.value * count, one.origin))
}

/// The bound of each try, whatever it counts.
pub(super) fn each(policy: &RetryPolicy) -> Option<Sourced<Duration>> {
    let bounds = [policy.per_try_timeout, policy.per_try_idle_timeout];
    let bounds = bounds
        .into_iter()
        .flatten()
        .filter(|it| !it.value.is_zero());
    bounds.min_by_key(|it| it.value)
}

fn shorter(
    view: &View<'_>,
    hop: &Hop<'_>,
    outer: &Layer<'_>,
    inner: &Layer<'_>,
) -> Option<Diagnostic> {
    let (patience, takes) = (outer.patience()?, inner.longest()?);
    let (patience_at, takes_at) = (
        outer.place(view, patience.origin),
        inner.place(view, takes.origin),
    );
    // a client's own patience in front of defaults is no slip of anybody
    if patience.value >= takes.value || takes_at.is_nowhere() {
        return None;
    }
    let message = format!(
        "{} gives up on `{}` after {}{}, while {} may go on for {}",
        outer.name,
        hop.service,
        patience.value,
        view.by_default(patience.origin),
        inner.name,
        takes.value,
    );
    let found = OUTER_SHORTER
        .found(message)
        .label(patience_at, "the caller's bound")
        .label(takes_at, "goes on after that");
    Some(found)
}
