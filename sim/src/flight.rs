//! A flight: one scenario over one set of manifests, under one seed or several.

use std::sync::Arc;

use manifests::model::Model;
use proxy_core::time::Time;
use scenarios::plan::Plan;

/// What is flown. Ids of workloads and Services of the plan are those of every model.
#[derive(Clone, Debug)]
pub struct Flight {
    /// The scenario.
    pub plan: Arc<Plan>,
    /// The manifests at the start.
    pub model: Arc<Model>,
    /// The manifests after each change of the plan that applies or removes some, by its place in the plan's changes.
    pub changed: Vec<Option<Arc<Model>>>,
    /// The manifests while each fault of the plan that pushes some lasts, by its place in the plan's faults.
    pub pushed: Vec<Option<Arc<Model>>>,
    /// Where values come from, by [`OriginId`](proxy_core::origin::OriginId).
    pub origins: Vec<reports::setup::Origin>,
}

impl Flight {
    /// A flight whose manifests never change.
    #[must_use]
    pub fn new(plan: Arc<Plan>, model: Arc<Model>, origins: Vec<reports::setup::Origin>) -> Self {
        Self {
            changed: vec![None; plan.changes.len()],
            pushed: vec![None; plan.faults.len()],
            plan,
            model,
            origins,
        }
    }
}

/// How it is flown.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Told of the moment reached, now and then.
    pub progress: Option<&'a (dyn Fn(Time) + Sync)>,
    /// Asked now and then whether to stop; the result is then cut short.
    pub stop: Option<&'a (dyn Fn() -> bool + Sync)>,
}
