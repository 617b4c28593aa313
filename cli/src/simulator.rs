//! The simulator, as this program calls it.

use proxy_core::time::Time;
use reports::recorder::Recorder;
use reports::result::RunResult;
use reports::setup::{LoadSetup, Setup, WorkloadSetup};
use reports::waterfall::Waterfall;

pub(crate) use sim::flight::{Flight, Options};

/// A run that is cut short before the first request.
pub(crate) fn fly(flight: &Flight, seed: u64, _options: Options<'_>) -> RunResult {
    let plan = &flight.plan;
    let setup = Setup {
        scenario: plan.name.clone(),
        variant: Some(plan.flight.clone()),
        seed,
        duration: plan.duration,
        warmup: plan.warmup,
        loads: plan
            .loads
            .iter()
            .map(|load| LoadSetup {
                name: load.name.to_string(),
                enters: None,
            })
            .collect(),
        workloads: plan
            .workloads
            .iter()
            .map(|workload| WorkloadSetup {
                name: workload.name.to_string(),
                namespace: workload.namespace.to_string(),
                replicas: workload.replicas(),
                ..WorkloadSetup::default()
            })
            .collect(),
        origins: flight.origins.clone(),
        ..Setup::default()
    };
    Recorder::new(setup).finish(Time::ZERO)
}

/// None.
pub(crate) fn waterfalls(_flight: &Flight, _seed: u64, _result: &RunResult) -> Vec<Waterfall> {
    Vec::new()
}
