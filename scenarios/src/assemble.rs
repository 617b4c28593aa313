//! From a scenario file to what is flown: its plan, and a model of the manifests for each state that they are in meanwhile.
//!
//! ```
//! use std::path::Path;
//!
//! use manifests::diagnostics::Diagnostics;
//! use manifests::origins::Origins;
//! use manifests::text::Sources;
//! use scenarios::assemble::assemble;
//! use scenarios::open::open;
//!
//! let (mut sources, mut origins, mut problems) = (Sources::default(), Origins::default(), Diagnostics::default());
//! # let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mm1");
//! let opened = open(&folder, &mut sources, &mut problems).expect("a scenario");
//! let flown = assemble(&opened.file, None, &[], &opened.folder, &mut sources, &mut origins, &mut problems);
//! let flown = flown.expect("nothing is wrong");
//! assert_eq!(flown.plan.workloads.len(), flown.model.workloads().len());
//! ```

use std::path::Path;
use std::sync::Arc;

use manifests::diagnostics::{Diagnostic, Diagnostics, Severity};
use manifests::kubernetes::{self, World};
use manifests::load::{Layer, Objects};
use manifests::model::{self, Input, MeshWish, Model, SidecarRules, WorkloadKind};
use manifests::origins::Origins;
use manifests::text::{Sources, Span, Spanned};
use proxy_core::config::Name;
use proxy_core::time::Time;

use crate::plan::compile::Surroundings;
use crate::plan::{ChangeKind, FaultKind, Known, MeshSystem, Plan};
use crate::read::{Beside, File, Files, Flight, Override};

/// A scenario with all that it is flown over. Ids of workloads and Services of the plan are those of every model.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// The scenario.
    pub plan: Arc<Plan>,
    /// The manifests at the start.
    pub model: Arc<Model>,
    /// The manifests after each change that applies or removes some, by its place in the plan's changes.
    pub changed: Vec<Option<Arc<Model>>>,
    /// The manifests while each fault that pushes some lasts, by its place in the plan's faults.
    pub pushed: Vec<Option<Arc<Model>>>,
}

/// Assembles one flight of a scenario file; paths in it are relative to `folder`. `None` when there were errors, all of which are
/// reported. Changes add up in the order of time; a push lies on what holds when it begins, and later changes do not show until it
/// ends.
#[must_use]
pub fn assemble(
    file: &File,
    variant: Option<&str>,
    overrides: &[Override],
    folder: &Path,
    sources: &mut Sources,
    origins: &mut Origins,
    problems: &mut Diagnostics,
) -> Option<Assembled> {
    let mark = problems.len();
    let flown = assemble_all(file, variant, overrides, folder, sources, origins, problems);
    let is_missing = |each: &Diagnostic| each.code == UNREADABLE;
    if problems.since(mark).iter().any(is_missing) {
        problems.retain_since(mark, |each| !FOLLOWING.contains(&each.code));
    }
    flown
}

/// What is said of manifests that cannot be read.
const UNREADABLE: &str = "load::unreadable";
/// What is said of names that other manifests may have: where some cannot be read, that is the only thing to say.
const FOLLOWING: &[&str] = &[
    "call::no-service",
    "call::unknown-service",
    "istio::no-shared-host",
    "istio::unknown-delegate",
    "istio::unknown-gateway",
    "istio::unknown-host",
    "kong::unknown-kongingress",
    "kong::unknown-parameters",
    "kong::unknown-plugin",
    "kong::unknown-policy",
    "kong::unknown-service",
    "linkerd::unknown-service",
    "load::no-gateway",
    "load::nothing-to-remove",
    "load::unknown-gateway",
    "load::unknown-host",
    "route::unknown-host",
    "service::no-pods",
    "traefik::unknown-middleware",
    "traefik::unknown-reference",
    "traefik::unknown-service",
    "traefik::unknown-tlsoption",
    "traefik::unknown-traefikservice",
    "traefik::unknown-transport",
    "workload::not-in-manifests",
    "workload::unknown",
];

fn assemble_all(
    file: &File,
    variant: Option<&str>,
    overrides: &[Override],
    folder: &Path,
    sources: &mut Sources,
    origins: &mut Origins,
    problems: &mut Diagnostics,
) -> Option<Assembled> {
    let mark = problems.len();
    let flight = file.flight(variant, overrides, sources, problems)?;
    let files = Beside::new(folder);
    let mut objects = Objects::default();
    let spec = &flight.scenario.spec;
    let mut assembly = Assembly {
        files: &files,
        surroundings: Surroundings::of(&flight, sources),
        declared: Vec::new(),
        sources,
        origins,
        problems,
    };
    let written = |text: &str, span: Span| Spanned::new(text.to_owned(), span);
    for path in &spec.manifests {
        assembly.apply(&written(path, path.span()), folder, &mut objects);
    }
    for reference in &spec.remove {
        objects.remove(&written(reference, reference.span()), assembly.problems);
    }
    assembly.declare(&flight, &objects);
    let model = Arc::new(assembly.build(objects.clone(), None)?);
    assembly.tell_datagrams(&model);
    let gateways = model.gateways().iter().map(|each| each.name.to_string());
    let known = Known::of(model.workloads(), model.services(), gateways.collect());
    let plan = Plan::compile(&flight, &known, &files, assembly.sources, assembly.problems)?;
    let (changed, pushed) = assembly.later(&plan, folder, objects, &model)?;
    let mut said = problems.since(mark).iter();
    let refused = said.any(|each| each.severity() == Severity::Error);
    (!refused).then(|| Assembled {
        plan: Arc::new(plan),
        model,
        changed,
        pushed,
    })
}

/// Models by place in the plan's changes, and in its faults.
type Later = (Vec<Option<Arc<Model>>>, Vec<Option<Arc<Model>>>);

struct Assembly<'a> {
    files: &'a Beside,
    surroundings: Surroundings,
    declared: Vec<model::Declared>,
    sources: &'a mut Sources,
    origins: &'a mut Origins,
    problems: &'a mut Diagnostics,
}

/// Something that gives the manifests another state.
enum Event {
    Change(usize),
    Push(usize),
}

impl Assembly<'_> {
    fn apply(&mut self, path: &Spanned<String>, folder: &Path, objects: &mut Objects) {
        let layer = Layer::path(self.files.name(path), folder.join(path.as_str()));
        objects.apply(&layer.named_at(path.span), self.sources, self.problems);
    }

    /// Finds out which workloads the scenario means, by the names that the manifests have.
    fn declare(&mut self, flight: &Flight, objects: &Objects) {
        // Only names are wanted; building the model reports what is wrong with the objects.
        let input = kubernetes::Input {
            objects: objects.clone(),
            nodes: 1,
            before: None,
        };
        let world = World::build(input, &mut Origins::default(), &mut Diagnostics::default());
        let names: Vec<String> = world
            .workloads()
            .iter()
            .map(|each| format!("{}/{}", each.namespace, each.name))
            .collect();
        let declared = flight.declared(&names).into_iter();
        self.declared = declared
            .map(|each| model::Declared {
                namespace: each.namespace.into(),
                name: each.name.into(),
                replicas: each.replicas,
                labels: labels(each.labels),
                ports: each.ports,
                has_service: true,
                span: each.span,
            })
            .collect();
    }

    fn build(&mut self, objects: Objects, before: Option<&Model>) -> Option<Model> {
        let surroundings = &self.surroundings;
        let overrides = surroundings.gateways.iter();
        let overrides = overrides.map(|given| model::GatewayOverride {
            target: given.target.as_str().into(),
            kind: given.kind.as_deref().map(Name::from),
            namespace: given.namespace.as_deref().map(Name::from),
            labels: labels(given.labels.clone()),
            replicas: given.replicas,
        });
        let names = |list: &[(String, Span)]| {
            let names = list.iter().map(|(name, _)| name.as_str().into());
            names.collect()
        };
        let input = Input {
            objects,
            mesh: self.mesh(),
            overrides: overrides.collect(),
            sidecars: SidecarRules {
                inject: names(&surroundings.sidecars.inject),
                skip: names(&surroundings.sidecars.skip),
            },
            declared: self.declared.clone(),
            nodes: u32::try_from(surroundings.nodes).unwrap_or(u32::MAX),
            seen: None,
            before,
        };
        Model::build(input, self.origins, self.problems)
    }

    fn mesh(&self) -> MeshWish {
        match &self.surroundings.mesh {
            None => MeshWish::Shown,
            Some(choice) if choice.system == MeshSystem::None => MeshWish::None,
            Some(choice) => MeshWish::Named {
                system: choice.system.name().to_owned(),
                release: choice.release.clone(),
                span: choice.span,
            },
        }
    }

    /// Models of every state after the start. Each follows the one built before it, so that two changes never give one id to two
    /// things.
    fn later(
        &mut self,
        plan: &Plan,
        folder: &Path,
        mut objects: Objects,
        start: &Arc<Model>,
    ) -> Option<Later> {
        let mut changed = vec![None; plan.changes.len()];
        let mut pushed = vec![None; plan.faults.len()];
        let mut last = start.clone();
        for (_, event) in events(plan) {
            let (state, span, slot) = match event {
                Event::Change(at) => {
                    let change = &plan.changes[at];
                    let ChangeKind::Apply { apply, remove } = &change.kind else {
                        continue;
                    };
                    for path in apply {
                        self.apply(path, folder, &mut objects);
                    }
                    for reference in remove {
                        objects.remove(reference, self.problems);
                    }
                    (objects.clone(), change.span, &mut changed[at])
                }
                Event::Push(at) => {
                    let fault = &plan.faults[at];
                    let FaultKind::Push { apply, .. } = &fault.kind else {
                        continue;
                    };
                    let mut state = objects.clone();
                    for path in apply {
                        self.apply(path, folder, &mut state);
                    }
                    (state, fault.span, &mut pushed[at])
                }
            };
            let model = Arc::new(self.build(state, Some(&last))?);
            self.tell_pods(start, &model, span);
            *slot = Some(model.clone());
            last = model;
        }
        Some((changed, pushed))
    }

    /// Reports listeners for datagrams, which no load of a scenario sends.
    fn tell_datagrams(&mut self, model: &Model) {
        for (gateway, listener) in model.datagram_listeners() {
            let (gateway, name) = (&gateway.name, &listener.name);
            let problem = Diagnostic::not_modelled(
                "gateway::datagrams",
                format!("the listener `{name}` of {gateway} takes datagrams"),
                "nobody sends any: what is carried over UDP has no part in the flight",
            );
            let span = self.origins.span(listener.origin);
            self.problems.push(match span {
                Some(span) => problem.label(span, "here"),
                None => problem,
            });
        }
    }

    /// Reports workloads that a change of the manifests brings, takes away, or gives another number of pods: pods come and go only as
    /// `scale`, `restart` and `rollout` say.
    fn tell_pods(&mut self, start: &Model, now: &Model, span: Span) {
        for workload in now.workloads() {
            let at_start = start.workloads().get(workload.id.index());
            let before = at_start.map_or(0, |workload| workload.replicas);
            if workload.kind == WorkloadKind::Scenario || workload.replicas == before {
                continue;
            }
            let message = format!(
                "{} has {} pods after this and {} at the start",
                workload.full_name(),
                workload.replicas,
                before
            );
            self.problems.push(
                Diagnostic::not_modelled(
                    "change::pods",
                    message,
                    "its pods stay as they are at the start: what manifests applied later say of pods has no effect",
                )
                .label(span, "here")
                .help("write a change with `scale`, `restart` or `rollout` to change pods"),
            );
        }
    }
}

/// Changes and faults in the order of time; of one moment, changes first.
fn events(plan: &Plan) -> Vec<(Time, Event)> {
    let changes = plan.changes.iter().enumerate();
    let mut all: Vec<(Time, Event)> = changes
        .map(|(at, change)| (change.at, Event::Change(at)))
        .collect();
    let faults = plan.faults.iter().enumerate();
    all.extend(faults.map(|(at, fault)| (fault.window.from, Event::Push(at))));
    all.sort_by_key(|(at, _)| *at);
    all
}

fn labels(list: Vec<(String, String)>) -> model::Labels {
    let name = |text: String| Name::from(text.as_str());
    list.into_iter()
        .map(|(key, value)| (name(key), name(value)))
        .collect()
}

#[cfg(test)]
mod tests;
