use super::harness::{plan, with};
use crate::diagnostics::Diagnostics;
use crate::dialects::istio::DIALECT;
use crate::load::{Layer, load};
use crate::text::Sources;

fn pods(namespace: &str, pod: &str, annotations: &str, rest: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Namespace
metadata: {{name: room, {namespace}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: guest, namespace: room}}
spec:
  selector: {{matchLabels: {{app: guest}}}}
  template:
    metadata: {{labels: {{app: guest{pod}}}, annotations: {{{annotations}}}}}
    spec: {{{rest}containers: [{{name: app, image: x}}]}}
"
    )
}

#[test]
fn labels_decide_who_has_a_sidecar_in_the_webhooks_order() {
    const ON: &str = "labels: {istio-injection: enabled}";
    const OFF: &str = "labels: {istio-injection: disabled}";
    const YES: &str = ", sidecar.istio.io/inject: \"true\"";
    const NO: &str = ", sidecar.istio.io/inject: \"false\"";
    const OLD_NO: &str = "sidecar.istio.io/inject: \"false\"";
    const OLD_YES: &str = "sidecar.istio.io/inject: \"true\"";
    let by_namespace = Some("namespace room has istio-injection: enabled");
    let by_pod = Some("pods of room/guest have sidecar.istio.io/inject: true");
    let rows = [
        ("the namespace asks", ON, "", "", "", by_namespace),
        ("host network", ON, "", "", "hostNetwork: true, ", None),
        ("pods decline", ON, NO, "", "", None),
        ("pods decline as they once did", ON, "", OLD_NO, "", None),
        (
            "the label counts before the annotation",
            ON,
            YES,
            OLD_NO,
            "",
            by_namespace,
        ),
        (
            "a namespace that declines has the last word",
            OFF,
            YES,
            "",
            "",
            None,
        ),
        ("nobody says anything", "labels: {}", "", "", "", None),
        ("pods ask", "labels: {}", YES, "", "", by_pod),
        (
            "an annotation asks for nothing",
            "labels: {}",
            "",
            OLD_YES,
            "",
            None,
        ),
        (
            "the namespace names the installed revision",
            "labels: {istio.io/rev: default}",
            "",
            "",
            "",
            Some("namespace room has istio.io/rev: default"),
        ),
        (
            "the namespace names another revision",
            "labels: {istio.io/rev: canary}",
            YES,
            "",
            "",
            None,
        ),
        (
            "injection counts before the revision",
            "labels: {istio-injection: disabled, istio.io/rev: default}",
            "",
            "",
            "",
            None,
        ),
        (
            "pods name the installed revision",
            "labels: {}",
            ", istio.io/rev: default",
            "",
            "",
            Some("pods of room/guest have istio.io/rev: default"),
        ),
        (
            "pods ask and name another revision",
            "labels: {}",
            ", sidecar.istio.io/inject: \"true\", istio.io/rev: canary",
            "",
            "",
            None,
        ),
        (
            "a gateway's pods",
            ON,
            YES,
            "inject.istio.io/templates: gateway",
            "",
            None,
        ),
    ];
    for (name, namespace, pod, annotations, rest, expected) in rows {
        let built = with(&pods(namespace, pod, annotations, rest));
        assert_eq!(built.sidecar("guest").as_deref(), expected, "{name}");
    }
}

#[test]
fn the_scenario_decides_where_no_label_does() {
    let nothing = pods("labels: {}", "", "", "");
    let rows = [
        ("a namespace", &nothing, &["room"][..], &[][..], true),
        ("a workload", &nothing, &["room/guest"], &[], true),
        ("another", &nothing, &["room/other"], &[], false),
        ("skipped", &nothing, &["room"], &["room/guest"], false),
    ];
    for (name, yaml, inject, skip, expected) in rows {
        let built = plan(yaml).inject(inject, skip).build();
        let why = expected.then(|| "the scenario injects room/guest".to_owned());
        assert_eq!(built.sidecar("guest"), why, "{name}");
    }
    let declined = pods("labels: {istio-injection: disabled}", "", "", "");
    let built = plan(&declined).inject(&["room"], &[]).build();
    assert_eq!(built.sidecar("guest"), None);
    let pods_decline = pods("labels: {}", ", sidecar.istio.io/inject: \"false\"", "", "");
    let built = plan(&pods_decline).inject(&["room"], &[]).build();
    assert_eq!(built.sidecar("guest"), None);
}

#[test]
fn the_identity_is_of_the_service_account() {
    let built = with(&pods(
        "labels: {istio-injection: enabled}",
        "",
        "",
        "serviceAccountName: visitor, ",
    ));
    let guest = &built.model.workloads()[built.workload("guest").index()];
    let facts = guest.sidecar.as_ref().expect("a sidecar");
    assert_eq!(
        &*facts.identity,
        "spiffe://cluster.local/ns/room/sa/visitor"
    );
}

#[test]
fn labels_that_ask_for_nothing_are_told() {
    let rows = [
        (
            "annotations: {istio-injection: enabled}",
            "",
            "warning[istio::injection]: istio-injection as an annotation asks for nothing: write it as a label of the namespace",
        ),
        (
            "labels: {istio-injection: enable}",
            "",
            "warning[istio::injection]: istio-injection as `enable` asks for nothing: write `enabled` or `disabled`",
        ),
        (
            "labels: {}",
            "sidecar.istio.io/inject: \"true\"",
            "warning[istio::injection]: sidecar.istio.io/inject: \"true\" is an annotation of the pods of room/guest",
        ),
        (
            "labels: {istio.io/rev: canary}",
            "",
            "assumed[istio::revision]: namespace room asks for the revision `canary`",
        ),
        (
            "labels: {istio.io/dataplane-mode: ambient}",
            "",
            "not modelled[istio::not-modelled]: ambient mode is not modelled",
        ),
    ];
    for (namespace, annotations, expected) in rows {
        let built = with(&pods(namespace, "", annotations, ""));
        assert!(built.problems.contains(expected), "{}", built.problems);
    }
}

#[test]
fn labels_and_own_objects_show_that_istio_runs() {
    let rows = [
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
            None,
        ),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {istio-injection: enabled}}\n",
            Some("istio-injection on namespace a"),
        ),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {istio.io/rev: default}}\n",
            Some("istio.io/rev on namespace a"),
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {sidecar.istio.io/inject: \"true\"}}\nspec: {}\n",
            Some("sidecar.istio.io/inject on Pod/default/a"),
        ),
        (
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a}\nspec: {}\n",
            Some("PeerAuthentication/default/a"),
        ),
    ];
    for (yaml, expected) in rows {
        let layers = [Layer::text("a.yaml", yaml)];
        let objects = load(
            &layers,
            &mut Sources::default(),
            &mut Diagnostics::default(),
        );
        assert_eq!((DIALECT.shows)(&objects).as_deref(), expected, "{yaml}");
    }
}
