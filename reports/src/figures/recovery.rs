//! How long a run took to be well again after a fault.

use super::{Span, Stat};
use crate::histogram::{COARSE, Histogram};
use crate::result::{LoadResult, RunResult};

/// Length of a block in which success and p99 are judged.
pub const BLOCK_NS: u64 = 5_000_000_000;
/// How far from before still counts as well.
pub const TOLERANCE: f64 = 0.10;

/// How a run came out of a fault.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Recovery {
    /// Well again after so many nanoseconds, and well until the end.
    After(u64),
    /// Not well at the end of the run.
    Never,
    /// Not to be judged: too little was measured before or after.
    Unknown(&'static str),
}

/// Time from the end of a fault until success and p99 of every load stay within 10 % of before.
///
/// Judged in blocks of 5 s (or one window, if that is longer) that start at the fault's end; a block is well when each
/// load's success is at least 90 % of, and its p99 at most 110 % of, the worst such block between the warm-up and the
/// fault's start, so that the spread of quiet times is not called illness. A block without finished requests, where some
/// were due, is not well. Zero means well at once.
#[must_use]
pub fn recovery(result: &RunResult, fault: usize) -> Recovery {
    let Some(fault) = result.faults.get(fault) else {
        return Recovery::Unknown("no such fault");
    };
    let Some(started) = fault.started_ns else {
        return Recovery::Unknown("the fault never set in");
    };
    let Some(ended) = fault.ended_ns else {
        return Recovery::Unknown("the fault lasted to the end of the run");
    };
    let width = result.time.window_ns.max(1);
    let block = (BLOCK_NS / width).max(1) as usize;
    let before = Span {
        first: result.time.first_measured(),
        end: ((started / width) as usize).min(result.time.windows),
    };
    let measured_until = (result.time.end_ns() / width) as usize;
    let after = Span {
        first: (ended.div_ceil(width) as usize).min(measured_until),
        end: measured_until,
    };
    let usual: Vec<_> = result
        .loads
        .iter()
        .map(|l| usual(l, before, block))
        .collect();
    if usual.iter().all(Option::is_none) {
        return Recovery::Unknown("nothing finished before the fault");
    }
    if usual.iter().flatten().any(|u| u.success < 0.5) {
        return Recovery::Unknown(
            "less than half succeeded before the fault: nothing to return to",
        );
    }
    let mut last_bad = None;
    let mut judged = false;
    for (at, span) in blocks(after, block).enumerate() {
        let judge = |(load, usual): (&LoadResult, &Option<Usual>)| {
            usual.as_ref().and_then(|usual| usual.holds(load, span))
        };
        let verdicts: Vec<bool> = result.loads.iter().zip(&usual).filter_map(judge).collect();
        judged |= !verdicts.is_empty();
        if verdicts.contains(&false) {
            last_bad = Some(at);
        }
    }
    let count = blocks(after, block).count();
    match last_bad {
        _ if !judged => Recovery::Unknown("the run ends before 5 s after the fault were measured"),
        None => Recovery::After(0),
        Some(at) if at + 1 == count => Recovery::Never,
        Some(at) => {
            let well = (after.first + (at + 1) * block) as u64 * width;
            Recovery::After(well.saturating_sub(ended))
        }
    }
}

/// Whole blocks only: a short rest at the end has too few samples to be judged.
fn blocks(span: Span, block: usize) -> impl Iterator<Item = Span> {
    let count = span.end.saturating_sub(span.first) / block;
    (0..count).map(move |n| Span {
        first: span.first + n * block,
        end: span.first + (n + 1) * block,
    })
}

/// The worst of the blocks before the fault.
struct Usual {
    success: f64,
    p99: f64,
}

fn usual(load: &LoadResult, before: Span, block: usize) -> Option<Usual> {
    let whole = blocks(before, block).filter_map(|span| figures(load, span));
    let mut worst = None;
    let short = (before.end > before.first && before.end - before.first < block).then_some(before);
    for (success, p99) in whole.chain(short.and_then(|span| figures(load, span))) {
        let worst = worst.get_or_insert(Usual { success, p99 });
        worst.success = worst.success.min(success);
        worst.p99 = worst.p99.max(p99);
    }
    worst
}

fn figures(load: &LoadResult, span: Span) -> Option<(f64, f64)> {
    let success = load.success(Some(span))?;
    let mut latency = Histogram::new(COARSE);
    super::merged(&load.series.ok_latency, span, &mut latency);
    super::merged(&load.series.failed_latency, span, &mut latency);
    Some((success, Stat::P99.of(&latency)?))
}

impl Usual {
    /// None when nothing was due.
    fn holds(&self, load: &LoadResult, span: Span) -> Option<bool> {
        if load.due(Some(span)) == 0 {
            return None;
        }
        let Some((success, p99)) = figures(load, span) else {
            return Some(false);
        };
        let well =
            success >= self.success * (1.0 - TOLERANCE) && p99 <= self.p99 * (1.0 + TOLERANCE);
        Some(well)
    }
}
