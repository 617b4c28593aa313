//! What is wrong with an expectation that is well formed, before the scenario runs: names that it has not, and verdicts that are certain.

use super::figure::Figure;
use super::near::{nearest, suggest};
use super::{Binary, ExpectError, Expectation, Expr, Node};
use crate::setup::Setup;
use crate::verdict::Unit;
use proxy_core::time::Duration;

/// What a scenario has that an expectation can name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names {
    /// Loads.
    pub loads: Vec<String>,
    /// Workloads and gateways, `name` or `namespace/name`; either form may be written.
    pub workloads: Vec<String>,
    /// Who calls whom, as positions in `workloads`; none when that is not known before the run.
    pub edges: Option<Vec<(usize, usize)>>,
    /// Clusters; a workload's name serves as well.
    pub clusters: Vec<String>,
    /// Faults.
    pub faults: Vec<String>,
    /// How long the run is, for windows; zero when not known.
    pub duration: Duration,
}

impl From<&Setup> for Names {
    fn from(setup: &Setup) -> Self {
        let full = |w: &crate::setup::WorkloadSetup| {
            if w.namespace.is_empty() {
                w.name.clone()
            } else {
                format!("{}/{}", w.namespace, w.name)
            }
        };
        Self {
            loads: setup.loads.iter().map(|l| l.name.clone()).collect(),
            workloads: setup.workloads.iter().map(full).collect(),
            edges: Some(
                setup
                    .edges
                    .iter()
                    .map(|e| (e.from.index(), e.to.index()))
                    .collect(),
            ),
            clusters: setup.clusters.iter().map(|c| c.name.clone()).collect(),
            faults: setup.faults.iter().map(|f| f.name.clone()).collect(),
            duration: setup.duration,
        }
    }
}

/// Whether `written` means `full`, which is `name` or `namespace/name`.
fn means(written: &str, full: &str) -> bool {
    written == full || full.rsplit('/').next() == Some(written)
}

impl Expectation {
    /// Every name that the scenario does not have, every window outside it, and what no run can decide, in order; empty when all is well.
    #[must_use]
    pub fn check(&self, names: &Names) -> Vec<ExpectError> {
        let mut errors = Vec::new();
        if self.root.asks() {
            self.root.check(names, &mut errors);
        } else {
            let message = "this is the same in every run: it asks nothing of the result";
            let error = ExpectError::new(0..self.text.len(), message);
            errors.push(error.help("compare a figure, as in `success('shoppers') >= 0.99`"));
        }
        errors
    }
}

impl Node {
    fn check(&self, names: &Names, errors: &mut Vec<ExpectError>) {
        match &self.expr {
            Expr::Bool(_) | Expr::Number(_) | Expr::Duration(_) => {}
            Expr::Figure(figure, written) => {
                let at = |n: usize| {
                    written
                        .get(n)
                        .cloned()
                        .unwrap_or_else(|| self.range.clone())
                };
                names.check(figure, &at, errors);
            }
            Expr::Not(inner) | Expr::Negate(inner) => inner.check(names, errors),
            Expr::Binary(operator, left, right) => {
                for side in [left, right] {
                    side.check(names, errors);
                }
                match operator {
                    Binary::And | Binary::Or => {
                        for side in [left, right].into_iter().filter(|side| !side.asks()) {
                            errors.push(certain(side));
                        }
                    }
                    Binary::Divide if right.constant() == Some(0.0) => {
                        let message = "nothing can be divided by zero";
                        errors.push(ExpectError::new(right.range.clone(), message));
                    }
                    Binary::Compare(_) => errors.extend(beyond_share(left, right)),
                    Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide => {}
                }
            }
            Expr::Conditional(condition, yes, no) => {
                if !condition.asks() {
                    errors.push(certain(condition));
                }
                for node in [condition, yes, no] {
                    node.check(names, errors);
                }
            }
        }
    }
}

impl Node {
    /// Whether it asks anything of the result.
    fn asks(&self) -> bool {
        match &self.expr {
            Expr::Bool(_) | Expr::Number(_) | Expr::Duration(_) => false,
            Expr::Figure(..) => true,
            Expr::Not(inner) | Expr::Negate(inner) => inner.asks(),
            Expr::Binary(_, left, right) => left.asks() || right.asks(),
            Expr::Conditional(condition, yes, no) => condition.asks() || yes.asks() || no.asks(),
        }
    }

    /// The number that it is in every run; none where it is none, or not simply one.
    fn constant(&self) -> Option<f64> {
        match &self.expr {
            Expr::Number(number) | Expr::Duration(number) => Some(*number),
            Expr::Negate(inner) => inner.constant().map(|number| -number),
            Expr::Binary(operator, left, right) => {
                let (left, right) = (left.constant()?, right.constant()?);
                match operator {
                    Binary::Add => Some(left + right),
                    Binary::Subtract => Some(left - right),
                    Binary::Multiply => Some(left * right),
                    Binary::Divide => Some(left / right),
                    Binary::And | Binary::Or | Binary::Compare(_) => None,
                }
            }
            Expr::Bool(_) | Expr::Figure(..) | Expr::Not(_) | Expr::Conditional(..) => None,
        }
    }
}

fn certain(node: &Node) -> ExpectError {
    let message = "this is the same in every run";
    ExpectError::new(node.range.clone(), message).help("leave it out")
}

/// A share that is compared with what no share can be.
fn beyond_share(left: &Node, right: &Node) -> Option<ExpectError> {
    let is_share = |node: &Node| match &node.expr {
        Expr::Figure(figure, _) => figure.unit() == Unit::Share,
        Expr::Bool(_)
        | Expr::Number(_)
        | Expr::Duration(_)
        | Expr::Not(_)
        | Expr::Negate(_)
        | Expr::Binary(..)
        | Expr::Conditional(..) => false,
    };
    let bound = match (is_share(left), is_share(right)) {
        (true, false) => right,
        (false, true) => left,
        (true, true) | (false, false) => return None,
    };
    let number = bound.constant()?;
    if (0.0..=1.0).contains(&number) {
        return None;
    }
    let message = "a share is from 0 to 1: every run has the same verdict";
    let error = ExpectError::new(bound.range.clone(), message);
    Some(if (1.0..=100.0).contains(&number) {
        error.help(format!("did you mean `{}`?", (number * 1e6).round() / 1e8))
    } else {
        error.help("write it as in `success('shoppers') >= 0.99`")
    })
}

impl Names {
    fn check(
        &self,
        figure: &Figure,
        at: &dyn Fn(usize) -> std::ops::Range<usize>,
        errors: &mut Vec<ExpectError>,
    ) {
        let mut first_window = 1;
        let found = match figure {
            Figure::Latency { load, .. } | Figure::Load { load, .. } => {
                known(load, "load", &self.loads, at(0))
            }
            Figure::Errors { load, .. } => {
                first_window = 2;
                known(load, "load", &self.loads, at(0))
            }
            Figure::Edge { from, to, .. } => {
                first_window = 2;
                self.edge(from, to, at)
            }
            Figure::Ejections { cluster, .. } => {
                let mut all = self.clusters.clone();
                all.extend(self.workloads.iter().cloned());
                known(cluster, "cluster", &all, at(0))
            }
            Figure::Utilization { workload, .. } | Figure::Queue { workload, .. } => {
                known(workload, "workload", &self.workloads, at(0))
            }
            Figure::Recovery { fault } => known(fault, "fault", &self.faults, at(0)),
        };
        errors.extend(found.err());
        let length = self.duration.as_nanos();
        if let Some(window) = figure.window()
            && length > 0
            && window.from_ns >= length
        {
            let message = format!("the run ends at {}", super::format_go(length));
            let range = at(first_window).start..at(first_window + 1).end;
            errors.push(ExpectError::new(range, message).help("move the window into the run"));
        }
    }

    fn edge(
        &self,
        from: &str,
        to: &str,
        at: &dyn Fn(usize) -> std::ops::Range<usize>,
    ) -> Result<(), ExpectError> {
        known(from, "workload", &self.workloads, at(0))?;
        known(to, "workload", &self.workloads, at(1))?;
        let Some(edges) = &self.edges else {
            return Ok(());
        };
        let name = |w: usize| self.workloads.get(w).map_or("", String::as_str);
        let joins = |&&(a, b): &&(usize, usize)| means(from, name(a)) && means(to, name(b));
        if edges.iter().any(|e| joins(&e)) {
            return Ok(());
        }
        let message = format!("`{from}` does not call `{to}`");
        let called = edges.iter().filter(|e| means(from, name(e.0)));
        let mut called: Vec<&str> = called.map(|e| name(e.1)).collect();
        called.sort_unstable();
        called.dedup();
        let calls = format!("`{from}` calls");
        let help = suggest(to, &calls, called, "it calls nothing");
        Err(ExpectError::new(at(1), message).help(help))
    }
}

fn known(
    written: &str,
    what: &str,
    names: &[String],
    range: std::ops::Range<usize>,
) -> Result<(), ExpectError> {
    if names.iter().any(|name| means(written, name)) {
        return Ok(());
    }
    let short = names.iter().map(|n| n.rsplit('/').next().unwrap_or(n));
    let message = format!("there is no {what} `{written}`");
    let help = if let Some(name) = nearest(written, short.clone()) {
        format!("did you mean `{name}`?")
    } else {
        suggest(
            written,
            "there are",
            short,
            &format!("the scenario has no {what}"),
        )
    };
    Err(ExpectError::new(range, message).help(help))
}
