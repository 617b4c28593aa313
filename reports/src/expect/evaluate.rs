//! From a result to verdicts.

use super::figure::{Figure, Measured};
use super::{Binary, Compare, Expectation, Expr, Node};
use crate::figures::Span;
use crate::result::RunResult;
use crate::stats;
use crate::verdict::{SeedCounts, State, Unit, Verdict};
use crate::words;

/// Judges every expectation and leaves the verdicts in the result.
///
/// When the result is pooled, intervals and seed counts come from its replications, whose values stand in the order of
/// `expectations`.
pub fn judge(expectations: &[Expectation], result: &mut RunResult) {
    let mut verdicts: Vec<Verdict> = expectations.iter().map(|e| e.evaluate(result)).collect();
    if !result.replications.is_empty() {
        for (at, verdict) in verdicts.iter_mut().enumerate() {
            over_seeds(verdict, at, result);
            if expectations.get(at).is_some_and(|e| e.is_plain(result)) {
                let unit = verdict.unit;
                verdict.interval = verdict.interval.map(|interval| possible(interval, unit));
            }
        }
    }
    result.expectations = verdicts;
}

impl Expectation {
    /// How it comes out on a result.
    #[must_use]
    pub fn evaluate(&self, result: &RunResult) -> Verdict {
        let held = self.root.truth(result, None);
        let (state, why) = match held {
            Ok(true) => (State::Held, String::new()),
            Ok(false) => (State::Failed, String::new()),
            Err(why) => (State::Inconclusive, why),
        };
        let mut verdict = Verdict {
            expression: self.text.clone(),
            state,
            value: None,
            bound: None,
            margin: None,
            unit: Unit::Count,
            interval: None,
            spark: Vec::new(),
            seeds: SeedCounts::default(),
            note: why,
        };
        if let Some(part) = self.root.tightest(result) {
            part.describe(result, &mut verdict);
        }
        self.say_unfinished(result, &mut verdict);
        verdict.seeds.count(verdict.state.held());
        verdict
    }

    /// Requests still under way are in no share and no percentile, so their number belongs beside the verdict.
    fn say_unfinished(&self, result: &RunResult, verdict: &mut Verdict) {
        let mut asked: Vec<(String, Option<Span>)> = Vec::new();
        self.root.figures(&mut |figure| {
            let span = figure
                .window()
                .map(|w| result.time.span(w.from_ns, w.to_ns));
            asked.extend(figure.load().map(|load| (load.to_owned(), span)));
        });
        asked.dedup();
        for (name, span) in asked {
            let Some(load) = result.load(&name) else {
                continue;
            };
            let due = load.due(span);
            let unfinished = due.saturating_sub(load.finished(span).0);
            if unfinished * 100 > due {
                let [unfinished, due] =
                    [unfinished, due].map(|n| words::count(result.time.each(n)));
                let words = format!(
                    "{unfinished} of {due} requests of `{name}` had not finished and are not in it"
                );
                let gap = if verdict.note.is_empty() { "" } else { "; " };
                verdict.note = format!("{}{gap}{words}", verdict.note);
            }
        }
    }
}

/// The seeds that a pooled result is made of: how each came out, and the interval of the values.
fn over_seeds(verdict: &mut Verdict, at: usize, result: &RunResult) {
    verdict.seeds = SeedCounts::default();
    let mut values = Vec::new();
    for replication in &result.replications {
        verdict
            .seeds
            .count(replication.held.get(at).copied().flatten());
        values.extend(replication.expectations.get(at).copied().flatten());
    }
    verdict.interval = stats::mean_interval(&values);
}

impl Expectation {
    /// Whether what is measured is one figure as it stands: that cannot be below zero, nor a share above one.
    fn is_plain(&self, result: &RunResult) -> bool {
        let part = self.root.tightest(result);
        part.is_some_and(|part| matches!(part.measured.expr, Expr::Figure(..)))
    }
}

/// No further than the figure itself can be.
fn possible((low, high): (f64, f64), unit: Unit) -> (f64, f64) {
    let most = if unit == Unit::Share {
        1.0
    } else {
        f64::INFINITY
    };
    let least = if unit == Unit::Factor { 1.0 } else { 0.0 };
    (low.max(least).min(high), high.min(most))
}

/// One comparison and how it came out.
struct Part<'a> {
    measured: &'a Node,
    bound: &'a Node,
    held: bool,
    margin: f64,
}

impl Part<'_> {
    fn describe(&self, result: &RunResult, verdict: &mut Verdict) {
        let finite = |v: Result<f64, String>| v.ok().filter(|v| v.is_finite());
        let value = self.measured.number(result, None);
        if value == Ok(f64::INFINITY) {
            verdict.note = "never within the run".to_owned();
        }
        verdict.value = finite(value);
        verdict.bound = finite(self.bound.number(result, None));
        verdict.margin = self.margin.is_finite().then_some(self.margin);
        verdict.unit = self.measured.unit();
        let spark = |at: usize| finite(self.measured.number(result, Some(at)));
        let series: Vec<Option<f64>> = (0..result.time.windows).map(spark).collect();
        if series.iter().any(Option::is_some) {
            verdict.spark = series;
        }
    }
}

impl Compare {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Equal => left == right,
            Self::NotEqual => left != right,
        }
    }

    const fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Equal => Self::Equal,
            Self::NotEqual => Self::NotEqual,
        }
    }

    /// How far `value` is on the good side of `bound`, as a share of it.
    fn margin(self, value: f64, bound: f64) -> f64 {
        let share = |difference: f64| {
            if bound == 0.0 {
                if difference == 0.0 {
                    0.0
                } else {
                    difference.signum()
                }
            } else {
                difference / bound.abs()
            }
        };
        match self {
            Self::Less | Self::LessOrEqual => share(bound - value),
            Self::Greater | Self::GreaterOrEqual => share(value - bound),
            Self::Equal => -share(value - bound).abs(),
            Self::NotEqual => share(value - bound).abs(),
        }
    }
}

impl Node {
    fn truth(&self, result: &RunResult, only: Option<usize>) -> Result<bool, String> {
        match &self.expr {
            Expr::Bool(b) => Ok(*b),
            Expr::Not(inner) => inner.truth(result, only).map(|b| !b),
            Expr::Conditional(condition, yes, no) => {
                if condition.truth(result, only)? {
                    yes.truth(result, only)
                } else {
                    no.truth(result, only)
                }
            }
            Expr::Binary(op @ (Binary::And | Binary::Or), left, right) => {
                let decides = *op == Binary::Or;
                match (left.truth(result, only), right.truth(result, only)) {
                    (Ok(b), _) | (_, Ok(b)) if b == decides => Ok(b),
                    (Err(why), _) | (_, Err(why)) => Err(why),
                    (Ok(_), Ok(_)) => Ok(!decides),
                }
            }
            Expr::Binary(Binary::Compare(compare), left, right) => {
                if left.kind() == super::Kind::Bool {
                    let (l, r) = (left.truth(result, only)?, right.truth(result, only)?);
                    return Ok((l == r) == (*compare == Compare::Equal));
                }
                let (l, r) = (left.number(result, only)?, right.number(result, only)?);
                if l.is_nan() || r.is_nan() {
                    return Err("divides zero by zero".to_owned());
                }
                Ok(compare.holds(l, r))
            }
            Expr::Number(_)
            | Expr::Duration(_)
            | Expr::Figure(..)
            | Expr::Negate(_)
            | Expr::Binary(..) => unreachable_kind("a truth value"),
        }
    }

    fn number(&self, result: &RunResult, only: Option<usize>) -> Result<f64, String> {
        match &self.expr {
            Expr::Number(n) | Expr::Duration(n) => Ok(*n),
            Expr::Figure(figure, _) => match figure.measure(result, only) {
                Measured::Value(v) => Ok(v),
                Measured::Nothing(why) => Err(why),
            },
            Expr::Negate(inner) => inner.number(result, only).map(|n| -n),
            Expr::Conditional(condition, yes, no) => {
                if condition.truth(result, only)? {
                    yes.number(result, only)
                } else {
                    no.number(result, only)
                }
            }
            Expr::Binary(op, left, right) => {
                let (l, r) = (left.number(result, only)?, right.number(result, only)?);
                match op {
                    Binary::Add => Ok(l + r),
                    Binary::Subtract => Ok(l - r),
                    Binary::Multiply => Ok(l * r),
                    Binary::Divide if r == 0.0 => Err("divides by zero".to_owned()),
                    Binary::Divide => Ok(l / r),
                    Binary::And | Binary::Or | Binary::Compare(_) => unreachable_kind("a number"),
                }
            }
            Expr::Bool(_) | Expr::Not(_) => unreachable_kind("a number"),
        }
    }

    fn figures(&self, each: &mut dyn FnMut(&Figure)) {
        match &self.expr {
            Expr::Bool(_) | Expr::Number(_) | Expr::Duration(_) => {}
            Expr::Figure(figure, _) => each(figure),
            Expr::Not(inner) | Expr::Negate(inner) => inner.figures(each),
            Expr::Binary(_, left, right) => {
                left.figures(each);
                right.figures(each);
            }
            Expr::Conditional(condition, yes, no) => {
                for node in [condition, yes, no] {
                    node.figures(each);
                }
            }
        }
    }

    fn is_measured(&self) -> bool {
        let mut any = false;
        self.figures(&mut |_| any = true);
        any
    }

    /// The unit of the only figure in it, changed by arithmetic no further than a factor.
    fn unit(&self) -> Unit {
        match &self.expr {
            Expr::Figure(figure, _) => figure.unit(),
            Expr::Negate(inner) => inner.unit(),
            Expr::Conditional(_, yes, _) => yes.unit(),
            Expr::Duration(_) => Unit::Nanos,
            Expr::Binary(op, left, right) => match op {
                Binary::Add | Binary::Subtract => left.unit(),
                Binary::Multiply if left.is_measured() && !right.is_measured() => left.unit(),
                Binary::Multiply if right.is_measured() && !left.is_measured() => right.unit(),
                Binary::Divide if !right.is_measured() && right.kind() == super::Kind::Number => {
                    left.unit()
                }
                Binary::Divide => Unit::Factor,
                Binary::Multiply | Binary::And | Binary::Or | Binary::Compare(_) => Unit::Count,
            },
            Expr::Bool(_) | Expr::Number(_) | Expr::Not(_) => Unit::Count,
        }
    }

    /// Of the comparisons joined by `&&`, the one that failed by most or held by least; of a single one, itself. Those
    /// without samples are passed over.
    fn tightest<'a>(&'a self, result: &RunResult) -> Option<Part<'a>> {
        match &self.expr {
            Expr::Binary(Binary::And, left, right) => {
                let parts = [left.tightest(result), right.tightest(result)];
                let parts = parts.into_iter().flatten();
                parts.min_by(|a, b| {
                    (a.held, a.margin)
                        .partial_cmp(&(b.held, b.margin))
                        .unwrap_or(std::cmp::Ordering::Equal)
                })
            }
            Expr::Binary(Binary::Compare(compare), left, right)
                if left.kind() != super::Kind::Bool =>
            {
                let swap = !left.is_measured() && right.is_measured();
                let (compare, measured, bound) = if swap {
                    (compare.flipped(), right, left)
                } else {
                    (*compare, left, right)
                };
                let value = measured.number(result, None).ok()?;
                let limit = bound.number(result, None).ok()?;
                Some(Part {
                    measured,
                    bound,
                    held: compare.holds(value, limit),
                    margin: compare.margin(value, limit),
                })
            }
            Expr::Bool(_)
            | Expr::Number(_)
            | Expr::Duration(_)
            | Expr::Figure(..)
            | Expr::Not(_)
            | Expr::Negate(_)
            | Expr::Binary(..)
            | Expr::Conditional(..) => None,
        }
    }
}

/// Types were checked when the expectation was read.
fn unreachable_kind<T>(wanted: &str) -> T {
    unreachable!("an expectation was read with {wanted} where there is none")
}
