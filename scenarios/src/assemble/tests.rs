use std::path::PathBuf;

use manifests::model::{NodeRef, WorkloadId};

use super::*;
use crate::open::open;

/// What came of it, and what was said, one line each.
fn flown(
    file: &File,
    variant: Option<&str>,
    folder: &Path,
    mut sources: Sources,
) -> (Option<Assembled>, String) {
    let (mut origins, mut problems) = (Origins::default(), Diagnostics::default());
    let flown = assemble(
        file,
        variant,
        &[],
        folder,
        &mut sources,
        &mut origins,
        &mut problems,
    );
    assert_eq!(flown.is_none(), problems.has_errors());
    (flown, problems.to_lines(&sources))
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn written(spec: &str) -> (Option<Assembled>, String) {
    let text = format!(
        "apiVersion: windtunnel.dev/v1alpha1\nkind: Scenario\nmetadata: {{name: t}}\nspec:\n  duration: 60s\n{spec}"
    );
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let source = sources.add("t.yaml", text);
    let file = File::parse(&sources, source, &mut problems).expect("a scenario");
    flown(&file, None, &shipped("tutorial"), sources)
}

fn assert_ids_agree(plan: &Plan, model: &Model) {
    for (nth, (here, there)) in plan.workloads.iter().zip(model.workloads()).enumerate() {
        assert_eq!(here.full_name(), there.full_name(), "workload {nth}");
    }
    for (nth, (here, there)) in plan.services.iter().zip(model.services()).enumerate() {
        let names = [&*here.namespace, &*here.name];
        assert_eq!(names, [&*there.namespace, &*there.name], "Service {nth}");
        let behind: Vec<u32> = here.workloads.iter().map(|id| id.0).collect();
        let there: Vec<u32> = there.workloads.iter().map(|id| id.0).collect();
        assert_eq!(behind, there, "behind Service {nth}");
    }
    assert_eq!(
        (plan.workloads.len(), plan.services.len()),
        (model.workloads().len(), model.services().len())
    );
}

#[test]
fn plan_and_model_give_everything_the_same_id() {
    for name in ["mm1", "hedging", "social-network", "cascading-failure"] {
        let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
        let opened = open(&shipped(name), &mut sources, &mut problems);
        let opened = opened.expect("it is shipped");
        for variant in opened.file.flights() {
            let (flown, said) = flown(&opened.file, Some(variant), &opened.folder, sources.clone());
            let flown = flown.unwrap_or_else(|| panic!("{name} {variant}: {said}"));
            assert_eq!(said, "", "{name} {variant}");
            assert_ids_agree(&flown.plan, &flown.model);
            assert!(
                flown
                    .changed
                    .iter()
                    .chain(&flown.pushed)
                    .all(Option::is_none)
            );
        }
    }
}

const KONG: &str = "  manifests: [layered/]
  mesh: linkerd
  gateways: {default/api-gateway: {kind: kong, namespace: kong, labels: {app: kong}, replicas: 2}}
  workloads:
    service-a: {handlers: [{match: /, time: 1ms, steps: [{call: {workload: stock, request: GET /}}]}]}
    stock: {replicas: 3, handlers: [{match: /, time: 1ms}]}
  load: [{name: users, via: gateway, open: {rate: 10/s}, requests: [{host: api.example.com, path: /service-a}]}]
";

#[test]
fn gateways_and_workloads_of_manifests_and_scenario_share_one_table() {
    let (flown, said) = written(KONG);
    let flown = flown.unwrap_or_else(|| panic!("{said}"));
    assert_ids_agree(&flown.plan, &flown.model);
    let replicas = |name| {
        let id = flown.plan.workload_named(name).expect("it is there");
        flown.plan.workloads[id.index()].replicas()
    };
    assert_eq!([replicas("service-a"), replicas("stock")], [2, 3]);
    let kong = flown.model.gateways()[0].workload.expect("its pods");
    assert_eq!(flown.model.workloads()[kong.index()].replicas, 2);
    assert_eq!(flown.plan.workloads[kong.index()].replicas(), 2);
}

#[test]
fn changes_add_up_in_the_order_of_time_and_a_push_lies_on_what_holds() {
    let spec = format!(
        "{KONG}  changes:
    - {{name: off, at: 40s, remove: [Namespace/kong]}}
    - {{name: on, at: 20s, apply: [linkerd/]}}
  faults:
    - {{name: early, at: 10s, for: 5s, push: {{apply: [linkerd/linkerd.yaml]}}}}
    - {{name: late, at: 50s, for: 5s, push: {{apply: [linkerd/]}}}}
"
    );
    let (flown, said) = written(&spec);
    let flown = flown.unwrap_or_else(|| panic!("{said}"));
    let model = |list: &[Option<Arc<Model>>], at: usize| list[at].clone().expect("a model");
    let meshed = |model: &Model| -> Vec<String> {
        let workloads = model.workloads().iter();
        let meshed = workloads.filter(|each| each.sidecar.is_some());
        meshed.map(|each| each.name.to_string()).collect()
    };
    let a = flown.plan.workload_named("service-a").expect("it is there");
    let all = meshed(&model(&flown.changed, 1));
    assert!(all.len() == 3 && meshed(&flown.model).is_empty(), "{all:?}");
    assert_eq!(meshed(&model(&flown.changed, 0)), ["service-a", "stock"]);
    assert_eq!(meshed(&model(&flown.pushed, 0)), all);
    assert_eq!(meshed(&model(&flown.pushed, 1)), all);
    let states = flown.changed.iter().chain(&flown.pushed).flatten();
    for state in states {
        assert_ids_agree(&flown.plan, state);
        let sidecar = NodeRef::Sidecar(WorkloadId(a.0));
        let pods = manifests::model::Pods::new(state.workloads().len());
        assert!(
            state
                .config(sidecar, &manifests::model::Place::default(), &pods)
                .is_some()
        );
    }
}

#[test]
fn pods_that_come_and_go_with_manifests_are_said_not_to() {
    let (flown, said) = written(&format!(
        "{KONG}  changes: [{{name: gone, at: 20s, remove: [Deployment/service-a]}}]\n"
    ));
    assert!(flown.is_some(), "{said}");
    assert!(
        said.contains("not modelled[change::pods]: default/service-a has 0 pods after this and 2"),
        "{said}"
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let load =
        "  load: [{name: u, via: direct, open: {rate: 1/s}, requests: [{host: a, path: /}]}]\n";
    let workload = "  workloads: {a: {handlers: [{match: /, time: 1ms}]}}\n";
    for (spec, expected) in [
        (
            "  manifests: [nowhere/]\n",
            "t.yaml:6:15: error[load::unreadable]",
        ),
        ("  mesh: istoi\n", "t.yaml:6:9: error[mesh::unknown]"),
        (
            "  mesh: linkerd@0.1\n",
            "t.yaml:6:9: error[mesh::unknown-release]",
        ),
        (
            "  remove: [Deployment/none]\n",
            "t.yaml:6:12: error[load::nothing-to-remove]",
        ),
        (
            "  changes: [{name: c, at: 1s, apply: [nowhere/]}]\n",
            "t.yaml:6:39: error[load::unreadable]",
        ),
        (
            "  faults: [{name: f, at: 1s, push: {apply: [nowhere/]}}]\n",
            "t.yaml:6:45: error[load::unreadable]",
        ),
    ] {
        let (flown, said) = written(&format!("{spec}{workload}{load}"));
        assert!(flown.is_none() && said.contains(expected), "{spec}{said}");
    }
    let (flown, said) = written(&format!(
        "  manifests: [layered/]\n  workloads: {{servise-a: {{handlers: [{{match: /, time: 1ms}}]}}, Bad: {{handlers: [{{match: /, time: 1ms}}]}}}}\n{}",
        load.replace("host: a", "host: servise-a")
    ));
    assert!(flown.is_none());
    for expected in [
        "error[name::invalid]",
        "warning[workload::not-in-manifests]",
    ] {
        assert!(said.contains(expected), "{said}");
    }
}
