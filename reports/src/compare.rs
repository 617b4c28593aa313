//! Two results side by side: what differs, and whether more than chance.
//!
//! Both sides see the same arrivals, service times and faults when their seeds are the same, so differences are taken
//! pair by pair and most of the noise falls out. Over replications a pair is a seed, and the interval is Student's of
//! the mean of the differences. Of one seed a pair is one of up to twenty equal stretches of the run, and the interval
//! is by sectioning (Asmussen and Glynn 2007, *Stochastic Simulation*, III.5b): centred on the difference of the whole
//! runs, as wide as the stretches vary around it. That variation is also what a fault does to some stretches and not
//! to others, so of one seed intervals are wide and want no more trust than "this much, everywhere in the run".

use crate::figures::Span;
use crate::figures::recovery::{Recovery, recovery};
use crate::result::{RunResult, TimeAxis};
use crate::stats;
use crate::verdict::Unit;

#[cfg(test)]
mod tests;

/// Most stretches of one run.
const STRETCHES: usize = 20;
/// Fewer stretches than this say nothing.
const FEWEST: usize = 5;

/// Every main figure of two results.
#[derive(Clone, PartialEq, Debug)]
pub struct Comparison {
    /// What the first is called.
    pub a: String,
    /// What the second is called.
    pub b: String,
    /// What the pairs are.
    pub paired: Paired,
    /// A row a figure that at least one of them has, in the order of the first.
    pub rows: Vec<Difference>,
}

/// What makes a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Paired {
    /// So many common seeds.
    Seeds(usize),
    /// So many stretches of one seed.
    Stretches(usize),
    /// Nothing, and why.
    Not(&'static str),
}

impl Paired {
    /// What the intervals are, in words.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Seeds(n) => format!("95 % intervals of the paired difference over {n} seeds"),
            Self::Stretches(n) => {
                format!("95 % intervals of the paired difference over {n} stretches of one seed")
            }
            Self::Not(why) => format!("no intervals: {why}"),
        }
    }
}

/// One figure of both.
#[derive(Clone, PartialEq, Debug)]
pub struct Difference {
    /// The expression that asks for it: `latency('shoppers').p99`.
    pub figure: String,
    /// What it counts.
    pub unit: Unit,
    /// Of the first; none without samples.
    pub a: Option<f64>,
    /// Of the second.
    pub b: Option<f64>,
    /// Second less first.
    pub difference: Option<f64>,
    /// 95 % interval of the difference.
    pub interval: Option<(f64, f64)>,
    /// Whether more is better; none when it is neither good nor bad.
    pub more_is_better: Option<bool>,
}

impl Difference {
    /// Whether the interval leaves zero out.
    #[must_use]
    pub fn is_significant(&self) -> bool {
        self.interval
            .is_some_and(|(low, high)| low > 0.0 || high < 0.0)
    }

    /// Whether the second is better; none when they are alike or it cannot be said.
    #[must_use]
    pub fn is_better(&self) -> Option<bool> {
        let difference = self.difference.filter(|d| *d != 0.0)?;
        self.more_is_better.map(|more| more == (difference > 0.0))
    }
}

impl Comparison {
    /// Whether any figure differs significantly.
    #[must_use]
    pub fn is_different(&self) -> bool {
        self.rows.iter().any(Difference::is_significant)
    }
}

/// What a figure of this name counts, and whether more of it is better.
fn nature(figure: &str) -> (Unit, Option<bool>) {
    match figure.split('(').next().unwrap_or(figure) {
        "latency" | "recovery" => (Unit::Nanos, Some(false)),
        "success" => (Unit::Share, Some(true)),
        "goodput" => (Unit::PerSecond, Some(true)),
        "amplification" => (Unit::Factor, Some(false)),
        "utilization" => (Unit::Share, None),
        _ => (Unit::Count, None),
    }
}

/// Sets two results side by side.
#[must_use]
pub fn compare(a: &RunResult, b: &RunResult) -> Comparison {
    let (of_a, of_b) = (whole(a), whole(b));
    let pairs = Pairs::find(a, b);
    let extra = of_b.keys().filter(|name| !of_a.contains_key(*name));
    let names = of_a.keys().chain(extra);
    let rows = names.map(|name| {
        let (unit, more_is_better) = nature(name);
        let (x, y) = (of_a.get(name).copied(), of_b.get(name).copied());
        let total = x.zip(y).map(|(x, y)| y - x);
        let (difference, interval) = total.map_or((None, None), |total| {
            let (difference, interval) = pairs.interval(name, unit, total);
            (Some(difference), interval)
        });
        Difference {
            figure: name.clone(),
            unit,
            a: x,
            b: y,
            difference,
            interval,
            more_is_better,
        }
    });
    let mut rows: Vec<Difference> = rows.collect();
    judge_latency_beside_success(a, &mut rows);
    Comparison {
        a: a.label(),
        b: b.label(),
        paired: pairs.paired(),
        rows,
    }
}

/// Failing fast is no better: latency has failures in it, so where it fell and fewer requests succeeded, or it rose and more
/// did, it is neither good nor bad.
fn judge_latency_beside_success(a: &RunResult, rows: &mut [Difference]) {
    for load in &a.loads {
        let success = format!("success('{}')", load.name);
        let gained = rows.iter().find(|r| r.figure == success);
        let Some(gained) = gained.and_then(|r| r.difference).filter(|d| d.abs() > 0.01) else {
            continue;
        };
        let latency = format!("latency('{}')", load.name);
        for row in rows.iter_mut().filter(|r| r.figure.starts_with(&latency)) {
            if row.difference.is_some_and(|d| (d > 0.0) == (gained > 0.0)) {
                row.more_is_better = None;
            }
        }
    }
}

type Figures = indexmap::IndexMap<String, f64>;

fn whole(result: &RunResult) -> Figures {
    let mut figures = result.main_figures(None);
    for (at, fault) in result.faults.iter().enumerate() {
        if let Recovery::After(nanos) = recovery(result, at) {
            figures.insert(format!("recovery('{}')", fault.name), nanos as f64);
        }
    }
    figures
}

enum Pairs {
    Seeds(Vec<(Figures, Figures)>),
    Stretches(Vec<(Figures, Figures)>),
    Not(&'static str),
}

impl Pairs {
    fn find(a: &RunResult, b: &RunResult) -> Self {
        let of_b = |seed: u64| b.replications.iter().find(|r| r.seed == seed);
        let common: Vec<(Figures, Figures)> = a
            .replications
            .iter()
            .filter_map(|x| of_b(x.seed).map(|y| (x.figures.clone(), y.figures.clone())))
            .collect();
        if common.len() >= 2 {
            return Self::Seeds(common);
        }
        if a.seeds != b.seeds {
            return Self::Not("the seeds are not the same");
        }
        if a.time.runs > 1 || b.time.runs > 1 {
            return Self::Not("fewer than two seeds in common");
        }
        let axis = |t: &TimeAxis| (t.window_ns, t.windows, t.warmup_ns, t.cut_at_ns);
        if axis(&a.time) != axis(&b.time) {
            return Self::Not("the time axes are not the same");
        }
        let stretches = stretches(&a.time);
        if stretches.len() < FEWEST {
            return Self::Not("the run is too short to be cut into stretches");
        }
        let both = |span: Span| (a.main_figures(Some(span)), b.main_figures(Some(span)));
        Self::Stretches(stretches.into_iter().map(both).collect())
    }

    fn paired(&self) -> Paired {
        match self {
            Self::Seeds(pairs) => Paired::Seeds(pairs.len()),
            Self::Stretches(pairs) => Paired::Stretches(pairs.len()),
            Self::Not(why) => Paired::Not(why),
        }
    }

    /// The difference and its interval.
    fn interval(&self, name: &str, unit: Unit, total: f64) -> (f64, Option<(f64, f64)>) {
        let (pairs, sections) = match self {
            Self::Seeds(pairs) => (pairs, false),
            Self::Stretches(pairs) => (pairs, true),
            Self::Not(_) => return (total, None),
        };
        let of = |(x, y): &(Figures, Figures)| Some(y.get(name)? - x.get(name)?);
        let differences: Vec<f64> = pairs.iter().filter_map(of).collect();
        if !sections {
            let mean = stats::mean(&differences).unwrap_or(total);
            return (mean, stats::mean_interval(&differences));
        }
        let n = differences.len();
        if n < FEWEST {
            return (total, None);
        }
        // A count of the whole run is the sum of its stretches, anything else is like their mean.
        let scale = if unit == Unit::Count { n as f64 } else { 1.0 };
        let squares = differences.iter().map(|d| d - total / scale).map(|d| d * d);
        let deviation = libm::sqrt(squares.sum::<f64>() / (n - 1) as f64);
        let half = scale * stats::student_t(n - 1) * deviation / libm::sqrt(n as f64);
        (total, Some((total - half, total + half)))
    }
}

/// Up to twenty stretches of equal length; windows that are left over at the end are left out.
fn stretches(time: &TimeAxis) -> Vec<Span> {
    let measured = time.measured();
    let end = ((time.end_ns() / time.window_ns.max(1)) as usize).min(measured.end);
    let windows = end.saturating_sub(measured.first);
    let length = windows.div_ceil(STRETCHES).max(1);
    (0..windows / length)
        .map(|n| Span {
            first: measured.first + n * length,
            end: measured.first + (n + 1) * length,
        })
        .collect()
}

impl RunResult {
    /// What it is called beside others: its variant, else `as written`.
    #[must_use]
    pub fn label(&self) -> String {
        self.variant.clone().unwrap_or_else(|| "as written".into())
    }
}
