//! Two results side by side: what differs, and whether more than chance.
//!
//! Both sides see the same arrivals, service times and faults when their seeds are the same, so differences are taken
//! pair by pair and most of the noise falls out. Over replications a pair is a seed, and the interval is Student's of
//! the mean of the differences. Of one seed a pair is one of up to twenty equal stretches of the run, and the interval
//! is by sectioning (Asmussen and Glynn 2007, *Stochastic Simulation*, III.5b): centred on the difference of the whole
//! runs, as wide as the stretches vary around it. That variation is also what a fault does to some stretches and not
//! to others, so of one seed intervals are wide and want no more trust than "this much, everywhere in the run".
//!
//! Results of other lengths or of unrelated scenarios have no figure in common and are refused. Where the two were not
//! offered the same load, arrivals are not the same: that is said, no pairing is claimed, and nothing is called better.

use crate::figures::Span;
use crate::result::{LoadResult, RunResult, TimeAxis};
use crate::stats;
use crate::verdict::Unit;
use crate::words;

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
    /// Loads that were not offered alike; empty when both were asked the same.
    pub offered: Vec<Offered>,
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

/// A load that was not offered alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offered {
    /// Its name.
    pub load: String,
    /// What the first was asked, in words: `20 /s`, `10 users`, `nothing`.
    pub a: String,
    /// What the second was asked.
    pub b: String,
}

impl Offered {
    /// In words, with the load in backticks.
    #[must_use]
    pub fn text(&self) -> String {
        if self.a == self.b {
            return format!("`{}` {} in both, at other moments", self.load, self.a);
        }
        format!("`{}` {} against {}", self.load, self.a, self.b)
    }
}

/// Why two results cannot be compared.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Incomparable {
    /// They are not of the same length.
    #[error("one is of {0} and the other of {1}")]
    Duration(String, String),
    /// Not the same part of them is left out.
    #[error("the first {0} are left out of one and the first {1} of the other")]
    Warmup(String, String),
    /// Their series have other windows.
    #[error("one has windows of {0} and the other of {1}")]
    Windows(String, String),
    /// One was cut short, or both at other moments.
    #[error("{0}, so they do not cover the same time")]
    Cut(String),
    /// They have no load of the same name.
    #[error("they have no load in common: {0} against {1}")]
    Loads(String, String),
    /// They are of scenarios that have nothing to do with each other.
    #[error("they are of the scenarios `{0}` and `{1}`, which have no workload in common")]
    Scenarios(String, String),
}

impl Incomparable {
    /// What stands between two results, if anything does.
    fn find(a: &RunResult, b: &RunResult) -> Option<Self> {
        let (x, y) = (&a.time, &b.time);
        let time = |nanos: u64| words::duration(nanos as f64);
        if x.duration_ns != y.duration_ns {
            return Some(Self::Duration(time(x.duration_ns), time(y.duration_ns)));
        }
        if x.warmup_ns != y.warmup_ns {
            return Some(Self::Warmup(time(x.warmup_ns), time(y.warmup_ns)));
        }
        if (x.window_ns, x.windows) != (y.window_ns, y.windows) {
            return Some(Self::Windows(time(x.window_ns), time(y.window_ns)));
        }
        if x.cut_at_ns != y.cut_at_ns {
            let cut = |t: &TimeAxis| t.cut_at_ns.map(words::moment);
            return Some(Self::Cut(match (cut(x), cut(y)) {
                (Some(at), Some(other)) => {
                    format!("one was cut short at {at} and the other at {other}")
                }
                (Some(at), None) | (None, Some(at)) => {
                    format!("one was cut short at {at} and the other was not")
                }
                (None, None) => String::new(),
            }));
        }
        let workloads = |r: &RunResult| r.workloads.is_empty();
        let common = a.workloads.iter().any(|w| {
            let same = |o: &crate::result::WorkloadResult| o.name == w.name;
            b.workloads.iter().any(same)
        });
        if a.scenario != b.scenario && !common && !(workloads(a) && workloads(b)) {
            return Some(Self::Scenarios(a.scenario.clone(), b.scenario.clone()));
        }
        let nothing = a.loads.is_empty() && b.loads.is_empty();
        let common = a.loads.iter().any(|load| b.load(&load.name).is_some());
        if !common && !nothing {
            let names = |r: &RunResult| {
                let names = r.loads.iter().map(|load| format!("`{}`", load.name));
                match r.loads.is_empty() {
                    true => "none".to_owned(),
                    false => words::list(&names.collect::<Vec<String>>()),
                }
            };
            return Some(Self::Loads(names(a), names(b)));
        }
        None
    }
}

/// What a comparison comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conclusion {
    /// No figure differs by more than chance.
    Same,
    /// At least one does.
    Different,
    /// None surely does, and some differ in a way that has no interval.
    Unclear,
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

    /// Whether the two are not alike and nothing says whether chance may do that: there is no interval, or one has no samples.
    #[must_use]
    pub fn is_unclear(&self) -> bool {
        self.a != self.b && self.interval.is_none()
    }

    /// Whether the second is better; none when they are alike or it cannot be said.
    #[must_use]
    pub fn is_better(&self) -> Option<bool> {
        let difference = self.difference.filter(|d| *d != 0.0)?;
        self.more_is_better.map(|more| more == (difference > 0.0))
    }
}

impl Comparison {
    /// What it comes to.
    #[must_use]
    pub fn conclusion(&self) -> Conclusion {
        if self.rows.iter().any(Difference::is_significant) {
            Conclusion::Different
        } else if self.rows.iter().any(Difference::is_unclear) {
            Conclusion::Unclear
        } else {
            Conclusion::Same
        }
    }

    /// What the intervals are, in words.
    #[must_use]
    pub fn intervals(&self) -> String {
        let (of, over) = match (self.paired, self.offered.is_empty()) {
            (Paired::Not(why), _) => return format!("no intervals: {why}"),
            (paired, true) => ("the paired difference", paired),
            (paired, false) => ("the difference", paired),
        };
        let over = match over {
            Paired::Seeds(n) => format!("{n} seeds"),
            Paired::Stretches(n) => format!("{n} stretches of one seed"),
            Paired::Not(_) => String::new(),
        };
        format!("95 % intervals of {of} over {over}")
    }

    /// That the two were not asked the same, and what that means; none when they were.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        if self.offered.is_empty() {
            return None;
        }
        let each: Vec<String> = self.offered.iter().map(Offered::text).collect();
        Some(format!(
            "the offered load differs: {}; figures differ by that too, arrivals are not the same, and nothing is called better or worse",
            words::list(&each)
        ))
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
///
/// # Errors
/// When they have no figure in common: other time axes, or scenarios that have nothing to do with each other.
pub fn compare(a: &RunResult, b: &RunResult) -> Result<Comparison, Incomparable> {
    if let Some(why) = Incomparable::find(a, b) {
        return Err(why);
    }
    let (of_a, of_b) = (a.figures(), b.figures());
    let pairs = Pairs::find(a, b);
    let offered = offered(a, b);
    let extra = of_b.keys().filter(|name| !of_a.contains_key(*name));
    let names = of_a.keys().chain(extra);
    let rows = names.map(|name| {
        let (unit, more_is_better) = nature(name);
        let (x, y) = (value(&of_a, name, unit), value(&of_b, name, unit));
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
            interval: interval.map(|interval| possible(interval, unit)),
            more_is_better: more_is_better.filter(|_| offered.is_empty()),
        }
    });
    let mut rows: Vec<Difference> = rows.collect();
    judge_latency_beside_success(a, &mut rows);
    Ok(Comparison {
        a: a.label(),
        b: b.label(),
        paired: pairs.paired(),
        offered,
        rows,
    })
}

/// A figure of one side. A count that is not there is zero: an edge that carried nothing may not even be known.
fn value(figures: &Figures, name: &str, unit: Unit) -> Option<f64> {
    let absent = (unit == Unit::Count).then_some(0.0);
    figures.get(name).copied().or(absent)
}

/// No further than a difference can be: a share has no more than 100 points to lose or to win.
fn possible((low, high): (f64, f64), unit: Unit) -> (f64, f64) {
    match unit {
        Unit::Share => (low.max(-1.0), high.min(1.0)),
        Unit::Nanos | Unit::PerSecond | Unit::Factor | Unit::Count => (low, high),
    }
}

/// Loads that the two were not offered alike, in the order of the first.
fn offered(a: &RunResult, b: &RunResult) -> Vec<Offered> {
    let same_seeds = a.seeds == b.seeds;
    let asked = |r: &RunResult, load: &LoadResult| match load.users {
        Some(users) => words::plural(u64::from(users), "user", "users"),
        None => {
            let seconds = r.time.seconds(r.time.measured());
            words::rate(load.sent as f64 / seconds.max(f64::MIN_POSITIVE))
        }
    };
    let alike = |x: &LoadResult, y: &LoadResult| {
        if x.users.is_some() || y.users.is_some() {
            // what a closed load sends is a matter of its answers
            x.users == y.users
        } else if same_seeds {
            x.series.sent == y.series.sent
        } else {
            is_chance(
                (x.sent as f64, a.time.runs as f64),
                (y.sent as f64, b.time.runs as f64),
            )
        }
    };
    let nothing = || "nothing".to_owned();
    let mut all = Vec::new();
    for x in &a.loads {
        let other = b.load(&x.name);
        if other.is_some_and(|y| alike(x, y)) {
            continue;
        }
        all.push(Offered {
            load: x.name.clone(),
            a: asked(a, x),
            b: other.map_or_else(nothing, |y| asked(b, y)),
        });
    }
    for y in b.loads.iter().filter(|y| a.load(&y.name).is_none()) {
        all.push(Offered {
            load: y.name.clone(),
            a: nothing(),
            b: asked(b, y),
        });
    }
    all
}

/// Whether two counts, each with the number of runs that it adds up, may be those of one Poisson stream on other seeds: within 1 %, or
/// within five deviations.
fn is_chance((x, of_x): (f64, f64), (y, of_y): (f64, f64)) -> bool {
    let (mean_x, mean_y) = (x / of_x, y / of_y);
    let apart = (mean_x - mean_y).abs();
    let deviation = libm::sqrt(mean_x / of_x + mean_y / of_y);
    apart <= 0.01 * mean_x.max(mean_y) || apart <= 5.0 * deviation
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
        let of = |(x, y): &(Figures, Figures)| Some(value(y, name, unit)? - value(x, name, unit)?);
        let differences: Vec<f64> = pairs.iter().filter_map(of).collect();
        if !sections {
            // of some seeds alone it would be another figure than the one beside it
            if differences.len() < pairs.len() {
                return (total, None);
            }
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
