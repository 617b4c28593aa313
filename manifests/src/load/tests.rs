use std::fs;

use proptest::prelude::*;

use super::*;
use crate::text::Value;

struct Loaded {
    objects: Objects,
    sources: Sources,
    problems: Diagnostics,
}

impl Loaded {
    fn lines(&self) -> String {
        self.problems.to_lines(&self.sources)
    }

    fn names(&self) -> Vec<String> {
        self.objects
            .iter()
            .map(|object| object.key.to_string())
            .collect()
    }
}

fn layers(layers: &[Layer]) -> Loaded {
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let objects = load(layers, &mut sources, &mut problems);
    Loaded {
        objects,
        sources,
        problems,
    }
}

fn texts(texts: &[&str]) -> Loaded {
    let list: Vec<Layer> = texts
        .iter()
        .enumerate()
        .map(|(nth, text)| Layer::text(format!("{nth}.yaml"), *text))
        .collect();
    layers(&list)
}

#[test]
fn a_later_layer_replaces_and_twice_in_one_layer_is_an_error() {
    let service = |name: &str, port: u16| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{port: {port}}}\n---\n"
        )
    };
    let one = service("a", 1) + &service("b", 2);
    let loaded = texts(&[&one, &service("a", 3)]);
    assert_eq!(loaded.lines(), "");
    assert_eq!(loaded.names(), ["Service/default/a", "Service/default/b"]);
    let a = loaded
        .objects
        .get("", "Service", "default", "a")
        .expect("there");
    assert_eq!(
        a.node.at("spec.port").map(|node| &node.value),
        Some(&Value::Int(3))
    );
    assert_eq!(a.layer, 1);
    let loaded = texts(&[&(service("a", 1) + &service("a", 2))]);
    assert_eq!(
        loaded.lines(),
        "0.yaml:8:18: error[load::duplicate]: Service/default/a is there twice: \
         keep one of them, or put one into a later entry of `manifests`, which then replaces the earlier\n"
    );
}

#[test]
fn versions_of_a_group_are_one_object_and_groups_are_not() {
    let vs = |version: &str| {
        format!(
            "apiVersion: {version}\nkind: VirtualService\nmetadata: {{name: a, namespace: x}}\n"
        )
    };
    let loaded = texts(&[
        &vs("networking.istio.io/v1"),
        &vs("networking.istio.io/v1alpha3"),
        &vs("other.io/v1"),
    ]);
    assert_eq!(loaded.names(), ["VirtualService/x/a", "VirtualService/x/a"]);
    assert_eq!(
        loaded
            .objects
            .of("networking.istio.io", "VirtualService")
            .count(),
        1
    );
}

#[test]
fn what_a_cluster_adds_is_left_out_and_listed() {
    let loaded = texts(&[
        "apiVersion: v1\nkind: List\nmetadata: {resourceVersion: ''}\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: a-1\n    uid: x\n    ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: a, controller: true, uid: y}]\n  status: {phase: Running}\n",
    ]);
    let pod = loaded.objects.iter().next().expect("one");
    assert_eq!(pod.node.at("metadata.uid"), None);
    assert_eq!(pod.node.get("status"), None);
    assert_eq!(
        pod.owner.as_ref().map(|owner| owner.kind.as_str()),
        Some("ReplicaSet")
    );
    assert_eq!(
        loaded.lines(),
        "0.yaml:1:1: note[load::cluster-fields]: what a cluster adds on its own is left out: `ownerReferences` (1), `status` (1), `uid` (1)\n"
    );
}

#[test]
fn items_of_a_typed_list_need_not_repeat_their_kind() {
    let loaded = texts(&[
        "apiVersion: v1\nkind: ServiceList\nitems:\n- metadata: {name: a}\n- {apiVersion: v1, kind: Service, metadata: {name: b}}\n",
    ]);
    assert_eq!(loaded.lines(), "");
    assert_eq!(loaded.names(), ["Service/default/a", "Service/default/b"]);
}

#[test]
fn cluster_wide_kinds_have_no_namespace() {
    let loaded =
        texts(&["apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, namespace: odd}\n"]);
    assert!(loaded.objects.get("", "Namespace", "", "shop").is_some());
}

#[test]
fn what_is_no_object_is_a_located_error() {
    for (text, expected) in [
        (
            "- a\n",
            "0.yaml:1:1: error[load::no-object]: a Kubernetes object is a mapping, not a sequence\n",
        ),
        (
            "kind: Service\nmetadata: {name: a}\n",
            "0.yaml:1:1: error[load::no-object]: not a Kubernetes object: `apiVersion` is missing\n",
        ),
        (
            "apiVersion: v1\nkind: Service\n",
            "0.yaml:2:7: error[load::no-name]: an object needs a name: `metadata` is missing\n",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {labels: {}}\n",
            "0.yaml:3:11: error[load::no-name]: an object needs a name: `metadata.name` is missing\n",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: 3}\n",
            "0.yaml:3:18: error[field::type]: metadata.name: expected text, found the number `3`\n",
        ),
    ] {
        let loaded = texts(&[text]);
        assert_eq!(loaded.lines(), expected, "{text}");
        assert!(loaded.objects.is_empty());
    }
}

#[test]
fn objects_are_removed_by_name() {
    let loaded = texts(&[
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: x}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n",
    ]);
    for (reference, left, problem) in [
        ("Service/a", vec!["Service/x/a", "Namespace/x"], ""),
        ("service/x/a", vec!["Service/default/a", "Namespace/x"], ""),
        ("Namespace/x", vec!["Service/default/a", "Service/x/a"], ""),
        (
            "Service/b",
            vec!["Service/default/a", "Service/x/a", "Namespace/x"],
            "error[load::nothing-to-remove]: no object is called `Service/b`: did you mean `Service/default/a`?\n",
        ),
        (
            "a",
            vec!["Service/default/a", "Service/x/a", "Namespace/x"],
            "error[load::reference]: `a` names no object: write `Kind/name` or `Kind/namespace/name`\n",
        ),
    ] {
        let mut objects = loaded.objects.clone();
        let mut problems = Diagnostics::default();
        objects.remove(
            &Spanned::new(reference.to_owned(), Span::NOWHERE),
            &mut problems,
        );
        let names: Vec<String> = objects
            .iter()
            .map(|object| object.key.to_string())
            .collect();
        assert_eq!(names, left, "{reference}");
        assert_eq!(problems.to_lines(&loaded.sources), problem, "{reference}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata:\n  key: aHVudGVyMg==\nstringData: {pass: hunter2}\n";
    for (name, text) in [
        ("beside an error", format!("{secret}---\nkind: Service\n")),
        (
            "in a text that does not parse",
            format!("{secret}broken: [\n"),
        ),
        (
            "in a list",
            format!(
                "apiVersion: v1\nkind: List\nitems:\n- {}\n---\nkind: x\n",
                secret.trim_end().replace('\n', "\n  ")
            ),
        ),
        (
            "with a duplicate key",
            format!("{secret}stringData: {{pass: hunter2}}\n"),
        ),
    ] {
        let loaded = texts(&[&text]);
        assert!(loaded.problems.has_errors(), "{name}");
        let everything = format!(
            "{:?} {:?} {}",
            loaded.objects,
            loaded.sources,
            loaded.problems.render(&loaded.sources)
        );
        assert!(
            !everything.contains("hunter2") && !everything.contains("aHVudGVyMg"),
            "{name}: {everything}"
        );
    }
}

#[test]
fn a_folder_is_read_in_order_with_the_folders_below() {
    let folder = tempfile::tempdir().expect("a folder");
    let object =
        |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    for (file, text) in [
        ("b.yaml", object("b")),
        ("a/z.yml", object("z")),
        ("a/notes.json", "{\"a\": 1}".to_owned()),
        (
            "c.json",
            "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"c\"}}"
                .to_owned(),
        ),
        ("README.md", "text".to_owned()),
        (".git/x.yaml", object("hidden")),
    ] {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().expect("in the folder")).expect("writable");
        fs::write(path, text).expect("writable");
    }
    let loaded = layers(&[Layer::path("shop/", folder.path())]);
    assert_eq!(
        loaded.names(),
        [
            "ConfigMap/default/z",
            "ConfigMap/default/b",
            "ConfigMap/default/c"
        ]
    );
    let files: Vec<&str> = loaded
        .sources
        .iter()
        .map(|(_, source)| source.name())
        .collect();
    assert_eq!(
        files,
        [
            "shop/a/notes.json",
            "shop/a/z.yml",
            "shop/b.yaml",
            "shop/c.json"
        ]
    );
    assert_eq!(
        loaded.lines(),
        "shop/a/notes.json:1:1: note[load::no-object]: not a Kubernetes object: left out\n"
    );
}

#[cfg(unix)]
#[test]
fn a_link_to_a_folder_around_it_is_told_once() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.yaml"), "").expect("a file");
    std::fs::create_dir(folder.path().join("sub")).expect("a folder");
    std::os::unix::fs::symlink("..", folder.path().join("sub/up")).expect("a link");
    let loaded = layers(&[Layer::path("in", folder.path())]);
    assert_eq!(
        loaded.lines(),
        "error[load::unreadable]: cannot read `in/sub/up`: the link leads to a folder that it is in\n"
    );
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let loaded = layers(&[Layer::path("nowhere.yaml", "/nowhere/at/all.yaml")]);
    assert!(
        loaded
            .lines()
            .starts_with("error[load::unreadable]: cannot read `nowhere.yaml`: "),
        "{}",
        loaded.lines()
    );
    let empty = tempfile::tempdir().expect("a folder");
    let loaded = layers(&[Layer::path("empty", empty.path())]);
    assert_eq!(
        loaded.lines(),
        "warning[load::empty]: `empty` has no .yaml, .yml or .json file\n"
    );
}

#[test]
fn a_kustomization_is_passed_over_with_a_word_of_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("it can be written");
    };
    let declared = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n";
    for (name, text) in [
        ("kustomization.yaml", "resources: [a.yaml]\n"),
        (
            "kustomization.yml",
            "kind: Kustomization\nresources: [a.yaml]\n",
        ),
        ("other.yaml", declared),
        (
            "part.yaml",
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n",
        ),
    ] {
        write("a.yaml", service);
        write(name, text);
        let loaded = layers(&[Layer::path("m", folder.path())]);
        assert_eq!(loaded.names(), ["Service/default/a"], "{name}");
        let lines = loaded.lines();
        let expected = format!("m/{name}:1:1: warning[load::kustomization]: ");
        assert!(lines.starts_with(&expected), "{lines}");
        assert!(lines.contains("run `kubectl kustomize` first"), "{lines}");
        fs::remove_file(folder.path().join(name)).expect("it was written");
    }
}

#[test]
fn a_template_is_recognised() {
    let loaded = texts(&["{{- if .Values.x }}\napiVersion: v1\n"]);
    assert!(
        loaded.lines().contains("warning[load::template]"),
        "{}",
        loaded.lines()
    );
}

proptest! {
    #[test]
    fn no_document_panics(
        kind in "(Secret|List|Service|PodList|3|null)?",
        metadata in "(\\{name: a\\}|\\{\\}|\\[\\]|null|x|\\{name: \\[\\]\\})?",
        rest in "(data: \\{a: b\\}|data: 3|items: \\[1, \\{kind: Secret, data: \\[\\]\\}\\]|items: x|broken: \\[)?",
    ) {
        let text = format!("apiVersion: v1\nkind: {kind}\nmetadata: {metadata}\n{rest}\n");
        let loaded = texts(&[&text]);
        let _ = loaded.problems.render(&loaded.sources);
    }
}
