//! The numbers that expectations, pages and comparisons share, computed from a result in one place.
//!
//! A figure over the whole run uses the exact totals after the warm-up; a figure over a [`Span`] uses the windows of
//! the series. Latency counts from the moment a request was meant to be sent, failures too unless a name says `ok`.

use indexmap::IndexMap;

use crate::histogram::{FINE, Histogram};
use crate::outcome::ErrorReason;
use crate::result::{
    ClusterResult, EdgeResult, EdgeTotals, Levels, LoadResult, RunResult, TimeAxis,
};
use crate::setup::WorkloadKind;

pub mod recovery;
#[cfg(test)]
pub(crate) mod tests;

/// A stretch of the series: windows `first..end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The first window.
    pub first: usize,
    /// The window after the last one.
    pub end: usize,
}

/// A part of the latency distribution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stat {
    /// The exact mean.
    Mean,
    /// The median.
    P50,
    /// The 90th percentile.
    P90,
    /// The 99th percentile.
    P99,
    /// The 99.9th percentile.
    P999,
    /// The exact largest.
    Max,
}

impl Stat {
    /// Every value, in order.
    pub const ALL: [Self; 6] = [
        Self::Mean,
        Self::P50,
        Self::P90,
        Self::P99,
        Self::P999,
        Self::Max,
    ];

    /// Its name, as expectations write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p999",
            Self::Max => "max",
        }
    }

    /// Nanoseconds; none without samples.
    #[must_use]
    pub fn of(self, latency: &Histogram) -> Option<f64> {
        match self {
            Self::Mean => latency.mean(),
            Self::P50 => latency.quantile(0.5).map(|n| n as f64),
            Self::P90 => latency.quantile(0.9).map(|n| n as f64),
            Self::P99 => latency.quantile(0.99).map(|n| n as f64),
            Self::P999 => latency.quantile(0.999).map(|n| n as f64),
            Self::Max => latency.max().map(|n| n as f64),
        }
    }
}

impl TimeAxis {
    /// Until when the run was measured.
    #[must_use]
    pub fn end_ns(&self) -> u64 {
        self.cut_at_ns.unwrap_or(self.duration_ns)
    }

    /// The first window with nothing of the warm-up in it.
    #[must_use]
    pub fn first_measured(&self) -> usize {
        (self.warmup_ns.div_ceil(self.window_ns.max(1)) as usize).min(self.windows)
    }

    /// The windows after the warm-up.
    #[must_use]
    pub fn measured(&self) -> Span {
        Span {
            first: self.first_measured(),
            end: self.windows,
        }
    }

    /// The windows nearest to a stretch of time, at least one, none beyond the end.
    #[must_use]
    pub fn span(&self, from_ns: u64, to_ns: u64) -> Span {
        let width = self.window_ns.max(1);
        let nearest = |ns: u64| (ns.saturating_add(width / 2) / width) as usize;
        let last = self.windows.saturating_sub(1);
        let first = nearest(from_ns).min(last);
        let end = nearest(to_ns).clamp(first + 1, self.windows.max(first + 1));
        Span { first, end }
    }

    /// Seconds of a stretch that were measured, over all runs that are added up; the last window may be shorter.
    #[must_use]
    pub fn seconds(&self, span: Span) -> f64 {
        let at = |window: usize| {
            (window as u64)
                .saturating_mul(self.window_ns)
                .min(self.end_ns())
        };
        at(span.end).saturating_sub(at(span.first)) as f64 / 1e9 * self.runs as f64
    }

    /// A count of one run: what the sum over all runs comes to on average.
    #[must_use]
    pub fn each(&self, count: u64) -> f64 {
        count as f64 / self.runs.max(1) as f64
    }

    /// Seconds of one window that were measured, over all runs.
    #[must_use]
    pub fn window_seconds(&self, window: usize) -> f64 {
        self.seconds(Span {
            first: window,
            end: window + 1,
        })
    }
}

/// The sum of a series over a stretch; a series that is shorter counts nothing beyond its end.
#[must_use]
pub fn sum(series: &[u64], span: Span) -> u64 {
    let end = span.end.min(series.len());
    let first = span.first.min(end);
    series[first..end].iter().sum()
}

fn merged(windows: &[Histogram], span: Span, into: &mut Histogram) {
    let end = span.end.min(windows.len());
    for window in &windows[span.first.min(end)..end] {
        into.merge(window);
    }
}

impl LoadResult {
    /// Latencies of successes, or of every finished request.
    #[must_use]
    pub fn latency(&self, only_ok: bool, span: Option<Span>) -> Histogram {
        let mut all = Histogram::new(FINE);
        let Some(span) = span else {
            all.merge(&self.ok_latency);
            if !only_ok {
                all.merge(&self.failed_latency);
            }
            return all;
        };
        merged(&self.series.ok_latency, span, &mut all);
        if !only_ok {
            merged(&self.series.failed_latency, span, &mut all);
        }
        all
    }

    /// Finished requests and those of them that succeeded.
    #[must_use]
    pub fn finished(&self, span: Option<Span>) -> (u64, u64) {
        let Some(span) = span else {
            return (self.succeeded + self.failed, self.succeeded);
        };
        let finished = self.series.reasons.values().map(|s| sum(s, span)).sum();
        (finished, sum(&self.series.succeeded, span))
    }

    /// The share of finished requests that was answered below 500 within the client's timeout; none without any.
    #[must_use]
    pub fn success(&self, span: Option<Span>) -> Option<f64> {
        let (finished, succeeded) = self.finished(span);
        (finished > 0).then(|| succeeded as f64 / finished as f64)
    }

    /// Requests due in a stretch.
    #[must_use]
    pub fn due(&self, span: Option<Span>) -> u64 {
        span.map_or(self.sent, |span| sum(&self.series.sent, span))
    }

    /// Successes a second, each in the moment it completed; none when nothing was due.
    #[must_use]
    pub fn goodput(&self, time: &TimeAxis, span: Option<Span>) -> Option<f64> {
        let over = span.unwrap_or_else(|| time.measured());
        let completed = sum(&self.series.completed, over);
        let seconds = time.seconds(over);
        (seconds > 0.0 && completed + self.due(span) > 0).then(|| completed as f64 / seconds)
    }

    /// Finished requests a second, each in the moment it was due; none when nothing was due.
    #[must_use]
    pub fn throughput(&self, time: &TimeAxis, span: Option<Span>) -> Option<f64> {
        let seconds = time.seconds(span.unwrap_or_else(|| time.measured()));
        (seconds > 0.0 && self.due(span) > 0).then(|| self.finished(span).0 as f64 / seconds)
    }

    /// Finished requests that ended so; none when nothing finished.
    #[must_use]
    pub fn errors(&self, reason: ErrorReason, span: Option<Span>) -> Option<u64> {
        let count = match span {
            None => self.reasons.get(&reason).copied().unwrap_or(0),
            Some(span) => {
                let series = self.series.reasons.get(&reason);
                series.map_or(0, |series| sum(series, span))
            }
        };
        (self.finished(span).0 > 0).then_some(count)
    }
}

impl EdgeResult {
    /// Counts of a stretch.
    #[must_use]
    pub fn counts(&self, span: Option<Span>) -> EdgeTotals {
        let Some(span) = span else {
            return self.totals;
        };
        let mut totals = EdgeTotals::default();
        let end = span.end.min(self.series.counts.len());
        for window in &self.series.counts[span.first.min(end)..end] {
            totals.add(window);
        }
        totals
    }
}

impl EdgeTotals {
    /// Attempts per first attempt; none without a first attempt.
    #[must_use]
    pub fn amplification(&self) -> Option<f64> {
        (self.first > 0).then(|| self.attempts() as f64 / self.first as f64)
    }

    /// The share of calls that ended well; none without any.
    #[must_use]
    pub fn call_success(&self) -> Option<f64> {
        let calls = self.calls();
        (calls > 0).then(|| self.calls_ok as f64 / calls as f64)
    }
}

impl ClusterResult {
    /// Ejections of one run that started in a stretch; of pooled runs, a stretch has those of the first. Of a cluster with
    /// more than were kept, later ones are missing from a stretch.
    #[must_use]
    pub fn ejections_in(&self, time: &TimeAxis, span: Option<Span>) -> f64 {
        let Some(span) = span else {
            return time.each(self.ejections);
        };
        let from = span.first as u64 * time.window_ns;
        let to = span.end as u64 * time.window_ns;
        let inside = |e: &&crate::result::Ejected| (from..to).contains(&e.from_ns);
        self.ejected.iter().filter(inside).count() as f64
    }
}

impl Levels {
    /// The mean over a stretch; none when the stretch has no length.
    #[must_use]
    pub fn mean(&self, time: &TimeAxis, span: Span) -> Option<f64> {
        let seconds = time.seconds(span);
        (seconds > 0.0).then(|| sum(&self.area, span) as f64 / 1e9 / seconds)
    }

    /// The highest level of a stretch.
    #[must_use]
    pub fn highest(&self, span: Span) -> u64 {
        let end = span.end.min(self.max.len());
        let first = span.first.min(end);
        self.max[first..end].iter().copied().max().unwrap_or(0)
    }
}

impl RunResult {
    /// The load of this name.
    #[must_use]
    pub fn load(&self, name: &str) -> Option<&LoadResult> {
        self.loads.iter().find(|load| load.name == name)
    }

    /// Positions of the workloads that a name means: `name`, or `namespace/name`.
    #[must_use]
    pub fn workloads_named(&self, name: &str) -> Vec<usize> {
        let means = |w: &crate::result::WorkloadResult| {
            w.name == name || name.split_once('/') == Some((w.namespace.as_str(), w.name.as_str()))
        };
        let all = self.workloads.iter().enumerate();
        all.filter(|(_, w)| means(w)).map(|(at, _)| at).collect()
    }

    /// The edges between two names, together; none when there is no such edge.
    #[must_use]
    pub fn between(&self, from: &str, to: &str, span: Option<Span>) -> Option<EdgeTotals> {
        let (from, to) = (self.workloads_named(from), self.workloads_named(to));
        let joins =
            |e: &&EdgeResult| from.contains(&(e.from as usize)) && to.contains(&(e.to as usize));
        let mut total = None;
        for edge in self.edges.iter().filter(joins) {
            total
                .get_or_insert_with(EdgeTotals::default)
                .add(&edge.counts(span));
        }
        total
    }

    /// The clusters that a name means: their own, or that of the workload they lead to.
    #[must_use]
    pub fn clusters_named(&self, name: &str) -> Vec<&ClusterResult> {
        let targets = self.workloads_named(name);
        let leads = |c: &ClusterResult| {
            let edge = c.edge.and_then(|e| self.edges.get(e as usize));
            edge.is_some_and(|e| targets.contains(&(e.to as usize)))
        };
        let all = self.clusters.iter();
        all.filter(|c| c.name == name || leads(c)).collect()
    }

    /// The mean share of a workload's slots, or else of its proxies' workers, that is at work; none when it has neither.
    #[must_use]
    pub fn utilization(&self, workload: usize, span: Option<Span>) -> Option<f64> {
        let span = span.unwrap_or_else(|| self.time.measured());
        let w = self.workloads.get(workload)?;
        let slots = sum(&w.capacity.area, span);
        if slots > 0 {
            return Some(sum(&w.busy.area, span) as f64 / slots as f64);
        }
        if w.kind != WorkloadKind::Gateway {
            return None;
        }
        self.proxy_utilization(workload, span)
    }

    /// The mean share of the workers of a workload's proxies that is at work; none without watched proxies.
    #[must_use]
    pub fn proxy_utilization(&self, workload: usize, span: Span) -> Option<f64> {
        let mine = self.proxies.iter();
        let mine = mine.filter(|p| p.workload == Some(workload as u32));
        let (mut busy, mut workers) = (0_u64, 0_u64);
        for proxy in mine {
            busy = busy.saturating_add(sum(&proxy.busy.area, span));
            workers += u64::from(proxy.workers);
        }
        let there = workers as f64 * self.time.seconds(span) * 1e9;
        (there > 0.0).then(|| busy as f64 / there)
    }

    /// The figures that replications and comparisons are made of, by the expression that asks for each; durations in
    /// nanoseconds. A figure without samples is absent.
    #[must_use]
    pub fn main_figures(&self, span: Option<Span>) -> IndexMap<String, f64> {
        let mut figures = IndexMap::new();
        let mut put = |name: String, value: Option<f64>| {
            if let Some(value) = value {
                figures.insert(name, value);
            }
        };
        for load in &self.loads {
            let name = &load.name;
            let latency = load.latency(false, span);
            put(format!("success('{name}')"), load.success(span));
            put(format!("goodput('{name}')"), load.goodput(&self.time, span));
            for stat in [Stat::Mean, Stat::P50, Stat::P90, Stat::P99] {
                let value = stat.of(&latency);
                put(format!("latency('{name}').{}", stat.name()), value);
            }
        }
        let names = self.names_apart();
        let name = |at: u32| names.get(at as usize).map_or("?", String::as_str);
        for edge in &self.edges {
            let (from, to) = (name(edge.from), name(edge.to));
            let counts = edge.counts(span);
            if counts.attempts() > 0 {
                put(
                    format!("attempts('{from}', '{to}')"),
                    Some(self.time.each(counts.attempts())),
                );
                put(
                    format!("amplification('{from}', '{to}')"),
                    counts.amplification(),
                );
            }
        }
        // Callers of one Service have a cluster of its name each.
        let mut ejections: IndexMap<&str, f64> = IndexMap::new();
        for cluster in &self.clusters {
            let count = cluster.ejections_in(&self.time, span);
            *ejections.entry(&cluster.name).or_default() += count;
        }
        for (name, count) in ejections {
            put(format!("ejections('{name}')"), Some(count));
        }
        for at in 0..self.workloads.len() {
            let share = self.utilization(at, span);
            put(format!("utilization('{}')", name(at as u32)), share);
        }
        figures
    }

    /// The main figures of the whole run, and how long it took to be well again after each fault that it was well after.
    #[must_use]
    pub fn figures(&self) -> IndexMap<String, f64> {
        let mut figures = self.main_figures(None);
        for (at, fault) in self.faults.iter().enumerate() {
            if let recovery::Recovery::After(nanos) = recovery::recovery(self, at) {
                figures.insert(format!("recovery('{}')", fault.name), nanos as f64);
            }
        }
        figures
    }

    /// A name of each workload that no other has: with its namespace where the name alone would not do.
    fn names_apart(&self) -> Vec<String> {
        let shared = |name: &str| self.workloads.iter().filter(|w| w.name == name).count() > 1;
        let each = self.workloads.iter().map(|w| {
            if shared(&w.name) && !w.namespace.is_empty() {
                format!("{}/{}", w.namespace, w.name)
            } else {
                w.name.clone()
            }
        });
        each.collect()
    }

    /// The name of a workload by its position.
    #[must_use]
    pub fn workload_name(&self, at: u32) -> &str {
        self.workloads
            .get(at as usize)
            .map_or("?", |w| w.name.as_str())
    }
}
