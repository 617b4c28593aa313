//! Every scenario that is shipped compiles, in every variant, without a word.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use manifests::diagnostics::{Diagnostics, Severity};
use manifests::kubernetes::{Added, Input, Labels, World};
use manifests::load::{self, Layer};
use manifests::origins::Origins;
use manifests::text::{Sources, Span, Spanned};
use proxy_core::origin::Sourced;
use scenarios::plan::program::Step;
use scenarios::plan::{ChangeKind, FaultKind, Known, KnownService, KnownWorkload, Plan};
use scenarios::read::{Beside, File, Flight};

const SHIPPED: &[(&str, &[&str])] = &[
    ("bad-push", &["pushed", "slow-rollout", "stopped-early"]),
    ("canary", &["split", "per-version", "whole-service"]),
    (
        "cascading-failure",
        &[
            "threads",
            "short-queues",
            "no-retries",
            "fail-fast",
            "event-loops",
        ],
    ),
    (
        "eight-systems",
        &[
            "base", "istio", "linkerd", "consul", "kuma", "kong", "emissary", "nginx", "traefik",
        ],
    ),
    ("hedging", &["patient", "hedged"]),
    ("mm1", &["base", "lighter", "four-servers"]),
    ("noisy-neighbour", &["shared", "limits"]),
    (
        "retry-storm",
        &["storm", "budget", "short-queue", "newest-first"],
    ),
    ("social-network", &["benchmark", "cold-cache"]),
    (
        "tutorial",
        &["guide", "meshed", "storm", "budget", "limits", "linkerd"],
    ),
    ("zone-outage", &["anywhere", "locality"]),
];

struct Reading {
    sources: Sources,
    problems: Diagnostics,
    folder: PathBuf,
    file: File,
}

fn open(name: &str) -> Reading {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = std::fs::read_to_string(folder.join("scenario.yaml")).expect("it is shipped");
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let source = sources.add(format!("{name}/scenario.yaml"), text);
    let file = File::parse(&sources, source, &mut problems).expect("it is a scenario");
    Reading {
        sources,
        problems,
        folder,
        file,
    }
}

impl Reading {
    fn fly(&mut self, variant: &str) -> Plan {
        let flight = self
            .file
            .flight(Some(variant), &[], &self.sources, &mut self.problems);
        let flight = flight.unwrap_or_else(|| panic!("{}", self.problems.render(&self.sources)));
        let known = self.known(&flight);
        let files = Beside::new(&self.folder);
        let plan = Plan::compile(
            &flight,
            &known,
            &files,
            &mut self.sources,
            &mut self.problems,
        );
        plan.unwrap_or_else(|| panic!("{}", self.problems.render(&self.sources)))
    }

    fn layer(&self, path: &str) -> Layer {
        Layer::path(path, self.folder.join(path))
    }

    /// What Kubernetes alone knows of the flight's manifests: enough for a plan.
    fn known(&mut self, flight: &Flight) -> Known {
        let spec = &flight.scenario.spec;
        let layers: Vec<Layer> = spec.manifests.iter().map(|path| self.layer(path)).collect();
        let mut problems = Diagnostics::default();
        let mut origins = Origins::default();
        let objects = load::load(&layers, &mut self.sources, &mut problems);
        let input = Input {
            objects,
            nodes: 1,
            before: None,
        };
        let mut world = World::build(input, &mut origins, &mut problems);
        let names: Vec<String> = world
            .workloads()
            .iter()
            .map(|each| format!("{}/{}", each.namespace, each.name))
            .collect();
        for declared in flight.declared(&names) {
            let nowhere = |text: String| Spanned::new(text, Span::NOWHERE);
            let labels = declared
                .labels
                .into_iter()
                .map(|(name, value)| (nowhere(name), nowhere(value)));
            let added = Added {
                namespace: &declared.namespace,
                name: &declared.name,
                replicas: Sourced::unsourced(declared.replicas),
                ports: &declared.ports,
                labels: labels.collect::<Labels>(),
                has_service: true,
            };
            world.add_workload(added, &mut problems);
        }
        let errors = problems
            .sorted()
            .into_iter()
            .filter(|each| each.severity() == Severity::Error);
        let errors: Vec<String> = errors.map(|each| each.to_line(&self.sources)).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let workloads = world.workloads().iter().map(|each| KnownWorkload {
            namespace: each.namespace.to_string(),
            name: each.name.to_string(),
            replicas: each.replicas.value,
            in_manifests: !each.span.is_nowhere(),
            is_gateway: false,
        });
        let services = world.services().iter().map(|each| KnownService {
            namespace: each.namespace.to_string(),
            name: each.name.to_string(),
            ports: each.ports.iter().map(|port| port.number.value).collect(),
            workloads: each.workloads.iter().map(|id| id.index()).collect(),
            in_manifests: !each.span.is_nowhere(),
        });
        Known {
            workloads: workloads.collect(),
            services: services.collect(),
            gateways: spec.gateways.keys().map(|key| key.to_string()).collect(),
        }
    }
}

#[test]
fn every_shipped_scenario_compiles_without_a_word() {
    for (name, flights) in SHIPPED {
        let mut reading = open(name);
        assert_eq!(reading.file.flights(), *flights, "{name}");
        for flight in *flights {
            let plan = reading.fly(flight);
            assert_eq!(
                reading.problems.render(&reading.sources),
                "",
                "{name} {flight}"
            );
            assert_eq!((plan.name.as_str(), plan.flight.as_str()), (*name, *flight));
            assert!(
                !plan.expectations.is_empty() && plan.description.is_some(),
                "{name} {flight}"
            );
        }
    }
}

#[test]
fn every_file_that_a_shipped_scenario_applies_is_there() {
    for (name, flights) in SHIPPED {
        let mut reading = open(name);
        for flight in *flights {
            let plan = reading.fly(flight);
            let mut paths: Vec<String> =
                plan.manifests.iter().map(|path| path.to_string()).collect();
            for fault in &plan.faults {
                if let FaultKind::Push { apply, .. } = &fault.kind {
                    paths.extend(apply.iter().map(|path| path.to_string()));
                }
            }
            for change in &plan.changes {
                if let ChangeKind::Apply { apply, .. } = &change.kind {
                    paths.extend(apply.iter().map(|path| path.to_string()));
                }
            }
            for path in paths {
                let mut problems = Diagnostics::default();
                let layer = reading.layer(&path);
                let objects = load::load(&[layer], &mut reading.sources, &mut problems);
                assert!(
                    !objects.is_empty() && !problems.has_errors(),
                    "{name} {flight} {path}: {}",
                    problems.render(&reading.sources)
                );
            }
        }
    }
}

#[test]
fn every_folder_with_a_scenario_is_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found: BTreeSet<String> = std::fs::read_dir(root)
        .expect("the crate's folder")
        .filter_map(|entry| {
            let entry = entry.expect("a readable folder");
            entry
                .path()
                .join("scenario.yaml")
                .exists()
                .then(|| entry.file_name().to_string_lossy().into_owned())
        })
        .collect();
    let listed: BTreeSet<String> = SHIPPED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, listed);
}

/// Numbers of the benchmark's sources: 13 services and 13 stores, 19 edges between services, and 11 calls (stores not counted) three
/// deep for composing a post.
#[test]
fn the_social_network_has_the_graph_of_its_sources() {
    let plan = open("social-network").fly("benchmark");
    let is_store = |name: &str| {
        ["redis", "memcached", "mongodb"]
            .iter()
            .any(|kind| name.ends_with(kind))
    };
    let names: Vec<&str> = plan.workloads.iter().map(|each| &*each.name).collect();
    assert_eq!(names.iter().filter(|name| is_store(name)).count(), 13);
    assert_eq!(names.iter().filter(|name| !is_store(name)).count(), 13);
    let mut edges = BTreeSet::new();
    let mut stores = BTreeSet::new();
    for workload in &plan.workloads {
        let handlers = plan.program.behaviours[workload.versions[0].behaviour.index()]
            .handlers
            .clone();
        for handler in handlers {
            for call in calls(&plan, handler as usize) {
                let callee = &*plan.services[plan.program.calls[call].to.index()].name;
                let list = if is_store(callee) {
                    &mut stores
                } else {
                    &mut edges
                };
                list.insert((&*workload.name, callee));
            }
        }
    }
    assert_eq!(edges.len(), 19, "{edges:?}");
    assert_eq!(stores.len(), 13, "{stores:?}");
    let front = plan.workload_named("nginx-thrift").expect("the front end");
    let behaviour = plan.workloads[front.index()].versions[0].behaviour;
    let compose = plan
        .program
        .handler_for(behaviour, "POST", "/wrk2-api/post/compose")
        .expect("it takes posts");
    let count = |name: &str| u32::from(!is_store(name));
    assert_eq!(below(&plan, compose.index(), &count), (11, 3));
}

/// Calls of a handler in the order of its steps.
fn calls(plan: &Plan, handler: usize) -> Vec<usize> {
    let program = &plan.program;
    let first = program.handlers[handler].first.index();
    let end = program
        .handlers
        .get(handler + 1)
        .map_or(program.steps.len(), |next| next.first.index());
    let steps = program.steps[first..end].iter();
    steps
        .filter_map(|step| {
            if let Step::Call(call) = step {
                Some(call.index())
            } else {
                None
            }
        })
        .collect()
}

/// How many calls a handler causes, and how deep they go; `count` says which callees count.
fn below(plan: &Plan, handler: usize, count: &dyn Fn(&str) -> u32) -> (u32, u32) {
    let mut all = (0, 0);
    for call in calls(plan, handler) {
        let call = &plan.program.calls[call];
        let service = &plan.services[call.to.index()];
        let request = &plan.requests[call.request.index()];
        let behaviour = plan.workloads[service.workloads[0].index()].versions[0].behaviour;
        let taken = plan
            .program
            .handler_for(behaviour, &request.method, &request.path)
            .expect("it is taken");
        let own = count(&service.name);
        let (calls, depth) = below(plan, taken.index(), count);
        all = (all.0 + own + calls, all.1.max(own + depth));
    }
    all
}
