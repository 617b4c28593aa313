//! What happened, in a few sentences: each with its moment, and with its rule where the recorder saw a rule act.
//!
//! Nothing here is concluded from two curves that look alike. A sentence says that a rule made attempts because those
//! attempts were recorded with it, that a limit refused because its refusals were; for the rest it says what was
//! measured and when. Names and rules stand in backticks.

use std::collections::BTreeSet;

use crate::figures::recovery::{Recovery, recovery};
use crate::figures::{Span, Stat};
use crate::outcome::{ErrorReason, Handled};
use crate::result::{EdgeResult, LoadResult, Note, Noted, RefusedBy, RunResult};
use crate::setup::Reaches;
use crate::verdict::State;
use crate::words;

mod growth;
mod policy;
#[cfg(test)]
mod tests;

/// Most sentences of one result.
pub const MOST: usize = 8;

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sentence {
    /// When.
    pub at_ns: u64,
    /// What, with names in backticks and without a full stop.
    pub text: String,
    /// How much would be missed without it; more is more.
    weight: u32,
}

impl Sentence {
    /// With its moment and its full stop: ``00:31.2 `service-b` slowed 10×.``
    #[must_use]
    pub fn with_moment(&self) -> String {
        format!("{} {}.", words::moment(self.at_ns), self.text)
    }
}

/// The sentences of a result in order of time, at most [`MOST`]; never none.
#[must_use]
pub fn story(result: &RunResult) -> Vec<Sentence> {
    let mut all = Vec::new();
    for (at, _) in result.faults.iter().enumerate() {
        fault(result, at, &mut all);
    }
    changes(result, &mut all);
    for load in &result.loads {
        all.extend(growth::load(result, load));
        all.extend(failing(result, load).or_else(|| slower(result, load)));
    }
    let grown = growth::queues(result, &mut all);
    for edge in &result.edges {
        all.extend(policy::amplified(result, edge));
        policy::refused(result, edge, &mut all);
    }
    for refused in &result.refused {
        all.extend(policy::connections_refused(result, refused));
    }
    for cluster in &result.clusters {
        all.extend(policy::ejected(result, cluster));
    }
    for workload in &result.workloads {
        all.extend(policy::wasted(result, workload));
    }
    notes(result, &grown, &mut all);
    if all.is_empty() {
        all.push(quiet(result));
    }
    all.sort_by_key(|s| std::cmp::Reverse(s.weight));
    all.truncate(MOST);
    all.sort_by_key(|s| s.at_ns);
    all
}

/// Stretches of a second or one window, whichever is longer.
struct Bins {
    each: usize,
    count: usize,
}

impl Bins {
    fn of(result: &RunResult) -> Self {
        let width = result.time.window_ns.max(1);
        let each = 1_000_000_000_u64.div_ceil(width).max(1) as usize;
        let count = result.time.windows.div_ceil(each);
        Self { each, count }
    }

    const fn span(&self, at: usize) -> Span {
        Span {
            first: at * self.each,
            end: (at + 1) * self.each,
        }
    }

    fn start_ns(&self, result: &RunResult, at: usize) -> u64 {
        (at * self.each) as u64 * result.time.window_ns
    }

    /// Those with nothing of the warm-up in them.
    fn measured(&self, result: &RunResult) -> std::ops::Range<usize> {
        result.time.first_measured().div_ceil(self.each)..self.count
    }
}

/// The measured time before anything was done to the run; its first fifth when nothing was.
fn before(result: &RunResult) -> Span {
    let faults = result.faults.iter().filter_map(|f| f.started_ns);
    let changes = result.changes.iter().filter_map(|c| c.first_applied_ns);
    let measured = result.time.measured();
    let first = faults.chain(changes).min();
    let fifth = (measured.end - measured.first).div_ceil(5);
    let end = first.map_or(measured.first + fifth, |ns| {
        (ns / result.time.window_ns.max(1)) as usize
    });
    if end > measured.first {
        Span { end, ..measured }
    } else {
        measured
    }
}

/// The last tenth of what was measured.
fn at_the_end(result: &RunResult) -> Span {
    let end = (result.time.end_ns().div_ceil(result.time.window_ns.max(1)) as usize)
        .min(result.time.windows);
    let first = result.time.first_measured().min(end);
    let tenth = ((end - first) / 10).max(1);
    Span {
        first: end.saturating_sub(tenth),
        end,
    }
}

/// The words of a fault or change, with the names of workloads and loads in backticks.
fn named(result: &RunResult, text: &str) -> String {
    if text.contains('`') {
        return text.to_owned();
    }
    let workloads = result.workloads.iter().map(|w| w.name.as_str());
    let loads = result.loads.iter().map(|l| l.name.as_str());
    let names: BTreeSet<&str> = workloads.chain(loads).collect();
    let words = text.split(' ').map(|word| {
        if names.contains(word) {
            format!("`{word}`")
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<String>>().join(" ")
}

fn fault(result: &RunResult, at: usize, all: &mut Vec<Sentence>) {
    let fault = &result.faults[at];
    let what = if fault.what.is_empty() {
        "it set in".to_owned()
    } else {
        named(result, &fault.what)
    };
    if let Some(started) = fault.started_ns {
        all.push(Sentence {
            at_ns: started,
            text: format!("{what} (fault `{}`)", fault.name),
            weight: 1_000,
        });
    }
    let Some(ended) = fault.ended_ns else {
        return;
    };
    let after = match recovery(result, at) {
        Recovery::After(0) => "; success and p99 were as before at once".to_owned(),
        Recovery::After(nanos) => {
            let took = words::duration(nanos as f64);
            format!("; success and p99 were as before {took} later")
        }
        Recovery::Never => format!("; {}", not_returned(result)),
        Recovery::Unknown(_) => String::new(),
    };
    all.push(Sentence {
        at_ns: ended,
        text: format!("the fault `{}` ended{after}", fault.name),
        weight: 1_000,
    });
}

/// What was still wrong at the end, load by load.
fn not_returned(result: &RunResult) -> String {
    let (before, end) = (before(result), at_the_end(result));
    let still = |load: &LoadResult| {
        let goodput = |span| load.goodput(&result.time, Some(span));
        let p99 = |span| Stat::P99.of(&load.latency(false, Some(span)));
        let (was, is) = (goodput(before)?, goodput(end).unwrap_or(0.0));
        if is < was * 0.9 {
            let (was, is) = (words::rate(was), words::rate(is));
            return Some(format!(
                "goodput of `{}` did not return ({is} at the end, {was} before)",
                load.name
            ));
        }
        let (was, is) = (p99(before)?, p99(end)?);
        (is > was * 1.1).then(|| {
            let (was, is) = (words::duration(was), words::duration(is));
            format!(
                "p99 of `{}` did not return ({is} at the end, {was} before)",
                load.name
            )
        })
    };
    let found: Vec<String> = result.loads.iter().filter_map(still).collect();
    if found.is_empty() {
        "success and p99 went on leaving their range of before until the end".to_owned()
    } else {
        words::list(&found)
    }
}

fn changes(result: &RunResult, all: &mut Vec<Sentence>) {
    for change in &result.changes {
        let what = if change.what.is_empty() {
            "made".to_owned()
        } else {
            named(result, &change.what)
        };
        let name = &change.name;
        let spread = match (change.first_applied_ns, change.last_applied_ns) {
            (Some(first), Some(last)) if last > first.saturating_add(100_000_000) => {
                let last = words::moment(last);
                let count = change.applied;
                let all = match change.reaches {
                    Reaches::Proxies => words::plural(count, "proxy", "proxies"),
                    Reaches::Pods => words::plural(count, "pod", "pods"),
                };
                format!("; the last of {all} to have it had it at {last}")
            }
            (Some(_), _) => String::new(),
            (None, _) => "; nothing had it before the end".to_owned(),
        };
        all.push(Sentence {
            at_ns: change.first_applied_ns.unwrap_or(change.at_ns),
            text: format!("{what} (change `{name}`){spread}"),
            weight: 900,
        });
    }
}

/// The reason most of a load's failures had, and how many had it.
fn main_reason(load: &LoadResult, span: Option<Span>) -> Option<(ErrorReason, u64)> {
    let reasons = ErrorReason::ALL.iter().copied();
    let counts = reasons
        .filter(|r| *r != ErrorReason::None)
        .filter_map(|r| load.errors(r, span).map(|n| (r, n)));
    counts.filter(|(_, n)| *n > 0).max_by_key(|(_, n)| *n)
}

/// Success before anything was done; of a load that had sent nothing by then, when it first did.
fn usual_success(result: &RunResult, load: &LoadResult) -> Option<f64> {
    let bins = Bins::of(result);
    let first = || {
        let mut spans = bins.measured(result).map(|at| bins.span(at));
        spans.find_map(|span| load.success(Some(span)))
    };
    load.success(Some(before(result))).or_else(first)
}

/// When the p99 of a load had tripled after something was done to the run, and how far it rose.
fn slower(result: &RunResult, load: &LoadResult) -> Option<Sentence> {
    if result.faults.is_empty() && result.changes.is_empty() {
        return None;
    }
    let p99 = |span| Stat::P99.of(&load.latency(false, Some(span)));
    let usual = p99(before(result))?;
    let bins = Bins::of(result);
    let least = 20 * result.time.runs;
    let points: Vec<(usize, f64)> = bins
        .measured(result)
        .filter(|&at| load.finished(Some(bins.span(at))).0 >= least)
        .filter_map(|at| Some((at, p99(bins.span(at))?)))
        .collect();
    let (first, _) = *points.iter().find(|(_, p99)| *p99 >= usual * 3.0)?;
    let (highest, most) = *points.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let at = words::clock(bins.start_ns(result, highest) / 1_000_000_000);
    Some(Sentence {
        at_ns: bins.start_ns(result, first),
        text: format!(
            "p99 of `{}` had tripled, up to {} at {at} ({} before)",
            load.name,
            words::duration(most),
            words::duration(usual)
        ),
        weight: 780,
    })
}

/// When a load began to fail, how deep it fell, and from what.
fn failing(result: &RunResult, load: &LoadResult) -> Option<Sentence> {
    let usual = usual_success(result, load)?;
    let of_all = main_reason(load, None);
    let mostly = of_all.map_or(String::new(), |(reason, count)| {
        let share = count as f64 / (load.finished(None).0.max(1)) as f64;
        format!(", {} {}", words::share(share), reason.text())
    });
    if usual < 0.5 {
        let overall = load.success(None).unwrap_or(usual);
        return Some(Sentence {
            at_ns: result.time.warmup_ns,
            text: format!(
                "from the start `{}` failed: {} of its requests succeeded in the whole run{mostly}",
                load.name,
                words::share(overall)
            ),
            weight: 950,
        });
    }
    let bins = Bins::of(result);
    let least_due = 5 * result.time.runs;
    let points: Vec<(usize, f64)> = bins
        .measured(result)
        .filter(|&at| load.due(Some(bins.span(at))) >= least_due)
        .filter_map(|at| Some((at, load.success(Some(bins.span(at)))?)))
        .collect();
    let limit = usual - 0.05;
    let first = points.iter().find(|(_, s)| *s < limit)?;
    let (deepest, least) = points.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let reason = main_reason(load, Some(bins.span(*deepest)));
    let reason = reason.map_or(String::new(), |(r, _)| format!(", mostly {}", r.text()));
    let worst = if deepest == &first.0 {
        format!(
            "fell from {} to {}{reason}",
            words::share(usual),
            words::share(*least)
        )
    } else {
        let at = words::clock(bins.start_ns(result, *deepest) / 1_000_000_000);
        format!(
            "fell below {}, to {} at {at}{reason}",
            words::share(limit),
            words::share(*least)
        )
    };
    Some(Sentence {
        at_ns: bins.start_ns(result, first.0),
        text: format!("success of `{}` {worst}", load.name),
        weight: 800,
    })
}

/// The first note of each kind and place, and how many there were; but for full queues of which it was told that they grew.
fn notes(result: &RunResult, grown: &[u32], all: &mut Vec<Sentence>) {
    let mut seen: Vec<(String, Noted, u64, u32)> = Vec::new();
    let told =
        |note: Note| matches!(note, Note::QueueFull { workload } if grown.contains(&workload));
    for noted in result.notes.iter().filter(|noted| !told(noted.note)) {
        let Some((text, weight)) = note_text(result, noted.note) else {
            continue;
        };
        match seen.iter_mut().find(|s| s.0 == text) {
            Some(known) => known.2 += 1,
            None => seen.push((text, *noted, 1, weight)),
        }
    }
    let least = if result.notes_dropped > 0 {
        "at least "
    } else {
        ""
    };
    for (text, noted, times, weight) in seen {
        let text = match (noted.note, times) {
            (Note::QueueFull { workload }, _) => queue_full(result, workload, text),
            (_, 1) => text,
            (Note::PodDown { workload, .. }, n) => format!(
                "{least}{} pods of `{}` went away",
                words::count(n as f64),
                result.workload_name(workload)
            ),
            (_, n) => format!(
                "{text}, {least}{} in all",
                words::plural(n, "time", "times")
            ),
        };
        all.push(Sentence {
            at_ns: noted.at_ns,
            text,
            weight,
        });
    }
}

/// With how many it turned away.
fn queue_full(result: &RunResult, workload: u32, text: String) -> String {
    let workload = result.workloads.get(workload as usize);
    let refused = workload.and_then(|w| w.handled.get(&Handled::Refused));
    match refused {
        Some(&n) if n > 0 => {
            let n = words::count(result.time.each(n));
            format!("{text}: it turned {n} requests away in all")
        }
        Some(_) | None => text,
    }
}

/// Nothing for what belongs to a start or an end that is told elsewhere.
fn note_text(result: &RunResult, note: Note) -> Option<(String, u32)> {
    let workload = |at: u32| format!("`{}`", result.workload_name(at));
    let cluster = |at: u32| {
        let found = result.clusters.get(at as usize);
        format!("`{}`", found.map_or("?", |c| c.name.as_str()))
    };
    let by = |origin: Option<u32>| {
        result
            .origin(origin)
            .map_or(String::new(), |o| format!(" (`{o}`)"))
    };
    Some(match note {
        Note::QueueFull { workload: w } => (format!("the queue of {} was full", workload(w)), 500),
        Note::PodDown { workload: w, .. } => (format!("a pod of {} went away", workload(w)), 450),
        Note::PodReady { .. } | Note::PanicLeft { .. } => return None,
        Note::PanicEntered { cluster: c, origin } => (
            format!(
                "too few endpoints of {} were healthy, and health was ignored{}",
                cluster(c),
                by(origin)
            ),
            600,
        ),
        Note::NoEndpoint { cluster: c } => (format!("{} had no endpoint left", cluster(c)), 650),
        Note::FailedOver { cluster: c, origin } => (
            format!(
                "traffic of {} went to another priority or locality{}",
                cluster(c),
                by(origin)
            ),
            600,
        ),
        Note::ConfigRefused { change, .. } => {
            let name = result
                .changes
                .get(change as usize)
                .map_or("?", |c| c.name.as_str());
            (format!("a proxy refused the change `{name}`"), 850)
        }
    })
}

fn quiet(result: &RunResult) -> Sentence {
    let each = |load: &LoadResult| {
        let Some(success) = load.success(None) else {
            return format!("`{}` finished no request", load.name);
        };
        let p99 = Stat::P99.of(&load.latency(false, None)).unwrap_or(0.0);
        format!(
            "{} of `{}` succeeded, with a p99 of {}",
            words::share(success),
            load.name,
            words::duration(p99)
        )
    };
    let loads: Vec<String> = result.loads.iter().map(each).collect();
    let text = if loads.is_empty() {
        "nothing was sent".to_owned()
    } else {
        format!("nothing stood out: {}", words::list(&loads))
    };
    let text = format!("{text}{}", not_held(result));
    Sentence {
        at_ns: result.time.warmup_ns,
        text,
        weight: 0,
    }
}

/// The expectations that failed all the same, with what was measured.
fn not_held(result: &RunResult) -> String {
    let failed = result.expectations.iter();
    let failed = failed.filter(|v| v.state == State::Failed);
    let failed: Vec<String> = failed
        .map(|v| format!("`{}` did not hold ({})", v.expression, v.measured()))
        .collect();
    if failed.is_empty() {
        return String::new();
    }
    format!("; but {}", words::list(&failed))
}

impl RunResult {
    /// The file and line of a rule, or whose default it is.
    #[must_use]
    pub fn origin(&self, at: Option<u32>) -> Option<&str> {
        let origin = self.origins.get(at? as usize)?;
        (!origin.text.is_empty()).then_some(origin.text.as_str())
    }

    /// Between whom connections were refused.
    fn refused_name(&self, refused: &RefusedBy) -> String {
        let by = self.workload_name(refused.by);
        match refused.from {
            Some(from) if from == refused.by => format!("out of `{by}`"),
            Some(from) => format!("from `{}` to `{by}`", self.workload_name(from)),
            None => format!("from outside to `{by}`"),
        }
    }

    fn edge_name(&self, edge: &EdgeResult) -> String {
        let (from, to) = (self.workload_name(edge.from), self.workload_name(edge.to));
        format!("from `{from}` to `{to}`")
    }
}
