//! From a flight to a plan: names become ids, and whatever does not fit together is reported.

mod behaviour;
mod calls;
mod environment;
mod events;
mod files;
mod loads;
mod names;
mod times;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use manifests::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use manifests::text::{Sources, Span};
use proxy_core::time::Duration;

use super::ids::{DistId, LaneId, PolicyId};
use super::known::Known;
use super::program::{Program, Timer, TryPolicy};
use super::{
    Expectation, Fault, GatewayOverride, Load, MeshChoice, Plan, RequestTemplate, Service,
    SidecarOverrides, Workload,
};
use crate::assumptions::{Assumption, AssumptionSource};
use crate::distribution::Distribution;
use crate::format::{self, Located};
use crate::read::{Files, Flight};

/// What the nodes believe the time is at the start when a scenario does not say: 2026-01-05, a Monday, 09:00 UTC.
const DEFAULT_EPOCH: u64 = 1_767_603_600;
/// The most pods that one scenario may start; a simulation keeps a proxy for each.
const MAX_PODS: u64 = 200_000;

impl Plan {
    /// Compiles a flight against what the manifests hold; `None` when there were errors.
    ///
    /// Traces and files of observed times are read through `files` and added to `sources`, so that their errors have places too.
    #[must_use]
    pub fn compile(
        flight: &Flight,
        known: &Known,
        files: &dyn Files,
        sources: &mut Sources,
        problems: &mut Diagnostics,
    ) -> Option<Self> {
        let mark = problems.len();
        let plan = Compiler::new(flight, known, files, sources, problems).run();
        let refused = problems
            .since(mark)
            .iter()
            .any(|each| each.severity() == manifests::diagnostics::Severity::Error);
        plan.filter(|_| !refused)
    }
}

/// What a model of the manifests is built with, beside the manifests.
pub(crate) struct Surroundings {
    pub(crate) mesh: Option<MeshChoice>,
    pub(crate) gateways: Vec<GatewayOverride>,
    pub(crate) sidecars: SidecarOverrides,
    /// Machines of the cluster.
    pub(crate) nodes: usize,
}

impl Surroundings {
    /// Reads them before there is anything to compile against; [`Plan::compile`] reports what is wrong with them.
    pub(crate) fn of(flight: &Flight, sources: &mut Sources) -> Self {
        let (known, files) = (Known::default(), crate::read::Memory::default());
        let mut unheard = Diagnostics::default();
        let mut compiler = Compiler::new(flight, &known, &files, sources, &mut unheard);
        Self {
            mesh: compiler.mesh(),
            gateways: compiler.gateways(),
            sidecars: compiler.sidecars(),
            nodes: compiler.read_topology().nodes.len(),
        }
    }
}

struct Compiler<'a> {
    flight: &'a Flight,
    spec: &'a format::Spec,
    known: &'a Known,
    files: &'a dyn Files,
    sources: &'a mut Sources,
    problems: &'a mut Diagnostics,
    duration: Duration,
    program: Program,
    lanes: BTreeMap<Duration, LaneId>,
    requests: Vec<RequestTemplate>,
    workloads: Vec<Workload>,
    services: Vec<Service>,
    loads: Vec<Load>,
    faults: Vec<Fault>,
    assumptions: Vec<Assumption>,
    topology: super::Topology,
    /// Where each of the program's calls and handlers is written, for what is found out later.
    call_spans: Vec<Span>,
    handler_names: Vec<String>,
}

impl<'a> Compiler<'a> {
    fn new(
        flight: &'a Flight,
        known: &'a Known,
        files: &'a dyn Files,
        sources: &'a mut Sources,
        problems: &'a mut Diagnostics,
    ) -> Self {
        let spec = &flight.scenario.spec;
        Self {
            flight,
            spec,
            known,
            files,
            sources,
            problems,
            duration: spec.duration.0,
            program: Program::default(),
            lanes: BTreeMap::new(),
            requests: Vec::new(),
            workloads: Vec::new(),
            services: Vec::new(),
            loads: Vec::new(),
            faults: Vec::new(),
            assumptions: flight.assumed.clone(),
            topology: super::Topology {
                zones: Vec::new(),
                nodes: Vec::new(),
                spread: super::Spread::Even,
            },
            call_spans: Vec::new(),
            handler_names: Vec::new(),
        }
    }

    fn run(mut self) -> Option<Plan> {
        let spec = self.spec;
        let warmup = self.warmup();
        self.topology = self.read_topology();
        let mesh = self.mesh();
        let gateways = self.gateways();
        let sidecars = self.sidecars();
        let proxies = self.proxies();
        let network = self.network();
        let remove = self.object_refs(&spec.remove);
        let manifests = self.paths(&spec.manifests);
        self.declare_workloads();
        self.behaviours();
        self.check_calls();
        self.read_loads();
        self.read_faults();
        let changes = self.read_changes();
        self.assume_start_times(&changes);
        self.surge_loads();
        let expectations = self.expectations();
        Some(Plan {
            name: self.flight.scenario.metadata.name.to_string(),
            flight: self.flight.name.clone(),
            description: self
                .flight
                .description
                .clone()
                .or_else(|| self.flight.scenario.metadata.description.clone()),
            epoch: spec
                .start_time
                .as_ref()
                .map_or(DEFAULT_EPOCH, |time| time.0),
            duration: self.duration,
            warmup,
            seed: spec.seed.as_ref().map_or(1, |seed| **seed),
            manifests,
            remove,
            mesh,
            gateways,
            sidecars,
            proxies,
            topology: self.topology,
            network: network?,
            program: Arc::new(self.program),
            requests: self.requests,
            workloads: self.workloads,
            services: self.services,
            loads: self.loads.into_iter().map(Arc::new).collect(),
            faults: self.faults,
            changes,
            expectations,
            assumptions: self.assumptions,
        })
    }

    fn warmup(&mut self) -> Duration {
        let spec = self.spec;
        if spec.duration.0.is_zero() {
            self.error(
                "scenario::duration",
                "a scenario lasts longer than no time",
                spec.duration.span(),
                "no time",
            );
        }
        let Some(warmup) = &spec.warmup else {
            return Duration::ZERO;
        };
        if warmup.0 >= self.duration {
            let problem =
                Diagnostic::error("scenario::warmup", "the warm-up leaves no time to measure")
                    .label(warmup.span(), "at least as long as the run")
                    .label(spec.duration.span(), "the whole run");
            self.problems.push(problem);
        }
        warmup.0
    }

    fn expectations(&mut self) -> Vec<Expectation> {
        let spec = self.spec;
        spec.expect
            .iter()
            .map(|text| Expectation {
                text: text.to_string(),
                span: text.span(),
            })
            .collect()
    }

    fn error(&mut self, code: &'static str, message: impl Into<String>, span: Span, label: &str) {
        self.problems
            .push(Diagnostic::error(code, message).label(span, label));
    }

    /// Reports a name that stands for nothing.
    fn unknown<'n>(
        &mut self,
        code: &'static str,
        what: &str,
        name: &Located<String>,
        candidates: impl IntoIterator<Item = &'n str>,
    ) {
        let candidates: Vec<&str> = candidates.into_iter().collect();
        let help = did_you_mean(name, candidates.iter().copied()).or_else(|| {
            (!candidates.is_empty() && candidates.len() <= 8)
                .then(|| format!("there is `{}`", candidates.join("`, `")))
        });
        self.problems.push(
            Diagnostic::error(code, format!("there is no {what} `{}`", **name))
                .label(name.span(), "not known here")
                .maybe_help(help),
        );
    }

    /// Reports that not exactly one of some keys is given.
    fn one_of(&mut self, span: Span, keys: &[&str], given: &[&str]) {
        let list = keys.join("`, `");
        let message = if given.is_empty() {
            format!("one of `{list}` is needed")
        } else {
            format!(
                "`{}` exclude each other: give one of `{list}`",
                given.join("` and `")
            )
        };
        self.error("field::one-of", message, span, "in this object");
    }

    /// Reports names that are given twice.
    fn distinct<'n>(&mut self, what: &str, names: impl IntoIterator<Item = &'n Located<String>>) {
        let mut seen: IndexMap<&str, Span> = IndexMap::new();
        for name in names {
            if let Err(problem) = crate::read::check_name(name) {
                self.error("name::invalid", problem, name.span(), "this name");
            }
            if let Some(first) = seen.get(name.as_str()) {
                let problem = Diagnostic::error(
                    "name::duplicate",
                    format!("two {what} are named `{}`", **name),
                )
                .label(name.span(), "again here")
                .label(*first, "first here");
                self.problems.push(problem);
            } else {
                seen.insert(name, name.span());
            }
        }
    }

    fn dist(&mut self, distribution: Distribution) -> DistId {
        self.program.distributions.push(distribution);
        DistId::at(self.program.distributions.len() - 1)
    }

    fn constant(&mut self, time: Duration) -> DistId {
        let distribution = Distribution::constant(time.as_nanos() as f64)
            .expect("a duration is a number of at least zero");
        self.dist(distribution)
    }

    fn timer(&mut self, after: Duration) -> Timer {
        let lanes = &mut self.program.lanes;
        let lane = *self.lanes.entry(after).or_insert_with(|| {
            lanes.push(after);
            LaneId::at(lanes.len() - 1)
        });
        Timer { after, lane }
    }

    fn policy(&mut self, policy: TryPolicy) -> PolicyId {
        let policies = &mut self.program.policies;
        let at = policies.iter().position(|each| *each == policy);
        PolicyId::at(at.unwrap_or_else(|| {
            policies.push(policy);
            policies.len() - 1
        }))
    }

    /// Records a default that nobody wrote and that matters.
    fn assume(&mut self, path: String, value: &str, why: &str, alternatives: &[&str]) {
        self.assumptions.push(Assumption {
            path,
            value: value.to_owned(),
            why: why.to_owned(),
            alternatives: alternatives.iter().map(|&each| each.to_owned()).collect(),
            source: AssumptionSource::Default,
        });
    }
}
