//! What grew: a load that was offered, a queue.

use super::{Bins, Sentence, before};
use crate::figures::Span;
use crate::result::{LoadResult, Note, Noted, RunResult, WorkloadResult};
use crate::words;

/// Bins that are taken together to say how much of a load there is.
const TOGETHER: usize = 5;
/// Standard deviations of a Poisson stream that are not chance any more.
const DEVIATIONS: f64 = 6.0;
/// A shorter queue is not told.
const LEAST_WAITING: f64 = 10.0;
/// Most queues that are told, the longest for its slots first.
const MOST_QUEUES: usize = 2;

/// When an open load began, or had grown to twice what it was at first, and how far it rose.
///
/// What users who wait for their answers send is a result and no cause; a load that a fault multiplied is told by the fault.
pub(super) fn load(result: &RunResult, load: &LoadResult) -> Option<Sentence> {
    if load.users.is_some() {
        return None;
    }
    let bins = Bins::of(result);
    let measured = bins.measured(result);
    let end = (result.time.end_ns() / result.time.window_ns.max(1)) as usize / bins.each;
    let sent: Vec<f64> = (measured.start..measured.end.min(end))
        .map(|at| load.due(Some(bins.span(at))) as f64)
        .collect();
    if sent.len() < 2 * TOGETHER {
        return None;
    }
    let mean = |some: &[f64]| some.iter().sum::<f64>() / some.len() as f64;
    let usual = mean(&sent[..TOGETHER]);
    let runs = result.time.runs as f64;
    let is_more = |n: f64| n >= usual * 2.0 && n - usual >= DEVIATIONS * libm::sqrt(usual + runs);
    let stretches: Vec<f64> = sent.windows(TOGETHER).map(mean).collect();
    let first = sent
        .iter()
        .zip(&stretches)
        .position(|(now, from_now)| is_more(*now) && is_more(*from_now))?;
    let highest = stretches.iter().copied().fold(0.0, f64::max);
    let reached = stretches.iter().position(|n| *n >= highest * 0.95)?;
    let second = |at: usize| bins.start_ns(result, measured.start + at) / 1_000_000_000;
    let at_ns = bins.start_ns(result, measured.start + first);
    let width = bins.each as u64 * result.time.window_ns;
    let of_fault = |f: &crate::result::FaultResult| {
        f.started_ns
            .is_some_and(|ns| ns.abs_diff(at_ns) <= 2 * width && f.what.contains(&load.name))
    };
    if result.faults.iter().any(of_fault) {
        return None;
    }
    let seconds = width as f64 / 1e9 * runs;
    let rate = |n: f64| words::rate(n / seconds);
    let until = if reached > first + 1 {
        format!(" by {}", words::clock(second(reached)))
    } else {
        String::new()
    };
    let text = if usual > 0.0 {
        let (was, is) = (rate(usual), rate(highest));
        format!(
            "the load `{}` began to rise, from {was} to {is}{until}",
            load.name
        )
    } else {
        format!("the load `{}` began, {}{until}", load.name, rate(highest))
    };
    Some(Sentence {
        at_ns,
        text,
        weight: 860,
    })
}

/// When the queues that became longest for their slots began to grow, how long they became, and when they were full. Says whose.
pub(super) fn queues(result: &RunResult, all: &mut Vec<Sentence>) -> Vec<u32> {
    let workloads = (0..).zip(&result.workloads);
    let told = workloads.filter_map(|(at, w)| queue(result, w).map(|told| (at, told)));
    let mut told: Vec<(u32, (f64, Sentence))> = told.collect();
    told.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    told.truncate(MOST_QUEUES);
    let mut whose = Vec::new();
    for (nth, (at, (_, sentence))) in told.into_iter().enumerate() {
        let is_full = |n: &&Noted| n.note == (Note::QueueFull { workload: at });
        let full = result.notes.iter().find(is_full).map(|n| {
            let text = format!("; it was full at {}", words::moment(n.at_ns));
            super::queue_full(result, at, text)
        });
        all.push(Sentence {
            text: sentence.text + full.as_deref().unwrap_or_default(),
            weight: if nth == 0 { 770 } else { 610 },
            ..sentence
        });
        whose.push(at);
    }
    whose
}

/// A queue that came to hold more than there are slots, so that who came last waited for longer than the work takes.
fn queue(result: &RunResult, workload: &WorkloadResult) -> Option<(f64, Sentence)> {
    let bins = Bins::of(result);
    let mean = |span: Span| workload.queue.mean(&result.time, span).unwrap_or(0.0);
    let slots = |span: Span| workload.capacity.mean(&result.time, span).unwrap_or(0.0);
    let waiting: Vec<(usize, f64)> = bins
        .measured(result)
        .map(|at| (at, mean(bins.span(at))))
        .collect();
    let usual = mean(before(result));
    let waited = waiting.iter().copied();
    let (peak_at, peak) = waited.reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    let slots = slots(bins.span(peak_at));
    if peak < LEAST_WAITING || peak < usual * 3.0 || peak < slots {
        return None;
    }
    // From half of it back to where there was no more than usual.
    let half = waiting.iter().position(|(_, n)| *n * 2.0 >= peak)?;
    let quiet = (usual * 2.0).max(1.0);
    let start = waiting[..half].iter().rposition(|(_, n)| *n < quiet);
    let (start, _) = waiting[start.map_or(0, |at| at + 1)];
    let most = workload.queue.highest(bins.span(peak_at));
    let at = words::clock(bins.start_ns(result, peak_at) / 1_000_000_000);
    let slots_text = if slots >= 0.5 {
        let slots = words::plural(libm::round(slots) as u64, "slot", "slots");
        format!(" for {slots}")
    } else {
        String::new()
    };
    let most = words::plural(most, "request", "requests");
    Some((
        peak / slots.max(1.0),
        Sentence {
            at_ns: bins.start_ns(result, start),
            text: format!(
                "the queue of `{}` began to grow, to {most} waiting{slots_text} at {at}",
                workload.name
            ),
            weight: 0,
        },
    ))
}
