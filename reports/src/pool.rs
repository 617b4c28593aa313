//! Replications: one result of several seeds.
//!
//! What the scenario names (loads, workloads, faults, changes) is the same in every run and stands at the same place.
//! What a run discovers while it goes (edges, clusters, their endpoints, proxies of pods that came later) is found in an
//! order that the seed decides, or not at all. That is matched by name, and stands in the pooled result in the order of its
//! names' workloads, whatever was discovered first; what a run lacks was zero there.

mod places;

use indexmap::IndexMap;

use crate::histogram::Histogram;
use crate::result::{
    ClusterResult, EdgeResult, EdgeTotals, Levels, LoadResult, RefusedBy, Replication, RunResult,
    WorkloadResult,
};

/// Why results cannot be pooled.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PoolError {
    /// There is none.
    #[error("no results to pool")]
    Nothing,
    /// They are not runs of one scenario.
    #[error("the runs of seeds {first} and {other} do not have the same {what}")]
    Differ {
        /// The first seed.
        first: u64,
        /// The seed that differs from it.
        other: u64,
        /// In what.
        what: &'static str,
    },
}

/// Adds up runs of one scenario on different seeds.
///
/// Counts, histograms and levels are summed (`time.runs` says over how many); single events, notes and waterfalls are
/// those of the first seed; each seed keeps its main figures and the values of its own expectations in `replications`.
/// Edges, clusters and proxies that only some runs have count as zero in the others.
/// The pooled expectations are not judged here: call [`crate::expect::judge`] afterwards.
///
/// # Errors
/// When there is none, or when names or time axes differ.
pub fn pool(runs: Vec<RunResult>) -> Result<RunResult, PoolError> {
    let mut runs = runs.into_iter();
    let mut pooled = runs.next().ok_or(PoolError::Nothing)?;
    pooled.keep_replication();
    pooled.put_in_order();
    for mut run in runs {
        pooled.check_same(&run)?;
        run.keep_replication();
        pooled.add(run);
        pooled.put_in_order();
    }
    Ok(pooled)
}

impl RunResult {
    /// The same as a replication, if it is of one seed and has not been kept yet.
    fn keep_replication(&mut self) {
        if !self.replications.is_empty() {
            return;
        }
        let figures: IndexMap<String, f64> = self.figures();
        self.replications.push(Replication {
            seed: self.seeds.first().copied().unwrap_or(0),
            figures,
            expectations: self.expectations.iter().map(|v| v.value).collect(),
            held: self.expectations.iter().map(|v| v.state.held()).collect(),
        });
    }

    fn check_same(&self, other: &Self) -> Result<(), PoolError> {
        let axis = |r: &Self| (r.time.window_ns, r.time.windows, r.time.warmup_ns);
        let loads = |r: &Self| r.loads.iter().map(|l| l.name.clone()).collect::<Vec<_>>();
        let workloads = |r: &Self| {
            let names = r.workloads.iter();
            names
                .map(|w| (w.namespace.clone(), w.name.clone()))
                .collect::<Vec<_>>()
        };
        let what = if axis(self) != axis(other) {
            "time axis"
        } else if (&self.scenario, &self.variant) != (&other.scenario, &other.variant) {
            "scenario and variant"
        } else if loads(self) != loads(other) {
            "loads"
        } else if workloads(self) != workloads(other) {
            "workloads"
        } else {
            return Ok(());
        };
        let seed = |r: &Self| r.seeds.first().copied().unwrap_or(0);
        Err(PoolError::Differ {
            first: seed(self),
            other: seed(other),
            what,
        })
    }

    fn add(&mut self, other: Self) {
        let places = self.make_room(&other);
        self.time.runs += other.time.runs;
        self.time.cut_at_ns = match (self.time.cut_at_ns, other.time.cut_at_ns) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (None, _) | (_, None) => None,
        };
        self.seeds.extend(other.seeds);
        self.replications.extend(other.replications);
        let origins: Vec<u32> = other
            .origins
            .into_iter()
            .map(|origin| {
                let known = self.origins.iter().position(|o| *o == origin);
                let at = known.unwrap_or_else(|| {
                    self.origins.push(origin);
                    self.origins.len() - 1
                });
                at as u32
            })
            .collect();
        let translated = |at: Option<u32>| at.and_then(|at| origins.get(at as usize).copied());
        for (mine, theirs) in self.loads.iter_mut().zip(other.loads) {
            mine.add(theirs);
        }
        for (mine, theirs) in self.workloads.iter_mut().zip(other.workloads) {
            mine.add(theirs);
        }
        for (at, theirs) in places.edges.into_iter().zip(other.edges) {
            self.edges[at].add(theirs, &translated);
        }
        for mut theirs in other.refused {
            theirs.origin = translated(theirs.origin);
            let key = |r: &RefusedBy| (r.from, r.by, r.why, r.origin);
            match self
                .refused
                .iter_mut()
                .find(|mine| key(mine) == key(&theirs))
            {
                Some(mine) => {
                    mine.count += theirs.count;
                    add_series(&mut mine.series, &theirs.series);
                }
                None => self.refused.push(theirs),
            }
        }
        for (at, theirs) in places.clusters.into_iter().zip(&other.clusters) {
            self.clusters[at].add(theirs);
        }
        for (at, theirs) in places.proxies.into_iter().zip(&other.proxies) {
            self.proxies[at].busy.add(&theirs.busy);
        }
    }
}

fn add_series(mine: &mut Vec<u64>, theirs: &[u64]) {
    if mine.len() < theirs.len() {
        mine.resize(theirs.len(), 0);
    }
    for (a, b) in mine.iter_mut().zip(theirs) {
        *a = a.saturating_add(*b);
    }
}

fn add_histograms(mine: &mut Vec<Histogram>, theirs: &[Histogram]) {
    if mine.is_empty() {
        *mine = theirs.to_vec();
        return;
    }
    for (a, b) in mine.iter_mut().zip(theirs) {
        a.merge(b);
    }
}

impl LoadResult {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.unfinished += other.unfinished;
        self.warmup_sent += other.warmup_sent;
        self.client_attempts += other.client_attempts;
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        self.ok_latency.merge(&other.ok_latency);
        self.failed_latency.merge(&other.failed_latency);
        let (mine, theirs) = (&mut self.series, other.series);
        add_series(&mut mine.sent, &theirs.sent);
        add_series(&mut mine.succeeded, &theirs.succeeded);
        add_series(&mut mine.completed, &theirs.completed);
        for (reason, series) in &theirs.reasons {
            add_series(mine.reasons.entry(*reason).or_default(), series);
        }
        add_histograms(&mut mine.ok_latency, &theirs.ok_latency);
        add_histograms(&mut mine.failed_latency, &theirs.failed_latency);
    }
}

impl Levels {
    fn add(&mut self, other: &Self) {
        add_series(&mut self.area, &other.area);
        if self.max.len() < other.max.len() {
            self.max.resize(other.max.len(), 0);
        }
        for (a, b) in self.max.iter_mut().zip(&other.max) {
            *a = (*a).max(*b);
        }
    }
}

impl WorkloadResult {
    fn add(&mut self, other: Self) {
        for (how, count) in other.handled {
            *self.handled.entry(how).or_default() += count;
        }
        for (how, series) in &other.handled_series {
            add_series(self.handled_series.entry(*how).or_default(), series);
        }
        self.queue.add(&other.queue);
        self.busy.add(&other.busy);
        self.capacity.add(&other.capacity);
    }
}

impl EdgeResult {
    fn add(&mut self, other: Self, origin: &dyn Fn(Option<u32>) -> Option<u32>) {
        if self.policies.is_empty() {
            self.policies = other.policies;
        }
        self.totals.add(&other.totals);
        self.latency.merge(&other.latency);
        self.active.add(&other.active);
        let counts = &mut self.series.counts;
        if counts.len() < other.series.counts.len() {
            counts.resize(other.series.counts.len(), EdgeTotals::default());
        }
        for (a, b) in counts.iter_mut().zip(&other.series.counts) {
            a.add(b);
        }
        add_histograms(&mut self.series.latency, &other.series.latency);
        for mut theirs in other.retried {
            theirs.origin = origin(theirs.origin);
            let same = |r: &&mut crate::result::RetriedBy| {
                (r.origin, r.condition) == (theirs.origin, theirs.condition)
            };
            match self.retried.iter_mut().find(same) {
                Some(mine) => {
                    mine.count += theirs.count;
                    add_series(&mut mine.series, &theirs.series);
                }
                None => self.retried.push(theirs),
            }
        }
        for mut theirs in other.rejected {
            theirs.origin = origin(theirs.origin);
            let same = |r: &&mut crate::result::RejectedBy| {
                (r.origin, r.limit) == (theirs.origin, theirs.limit)
            };
            match self.rejected.iter_mut().find(same) {
                Some(mine) => {
                    mine.count += theirs.count;
                    add_series(&mut mine.series, &theirs.series);
                }
                None => self.rejected.push(theirs),
            }
        }
    }
}

impl ClusterResult {
    fn add(&mut self, other: &Self) {
        self.ejections += other.ejections;
        self.out.add(&other.out);
        for name in &other.endpoints {
            if !self.endpoints.contains(name) {
                self.endpoints.push(name.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
