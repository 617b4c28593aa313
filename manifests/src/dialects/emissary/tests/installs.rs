//! Which Emissaries there are, and what each reads.

use super::rig::*;
use crate::model::GatewayOverride;

fn deployment(name: &str, env: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: edge}}\nspec: {{replicas: 3, selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{serviceAccountName: em, containers: [{{name: emissary, image: 'docker.io/emissaryingress/emissary:4.1.0', ports: [{{name: web, containerPort: 8080}}], env: [{env}]}}]}}}}}}\n"
    )
}

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: edge, namespace: edge}\nspec: {selector: {app: em}, ports: [{port: 8000, targetPort: web}]}\n";

#[test]
fn where_nobody_shows_it_emissary_is_as_its_chart_makes_it() {
    let built = with("");
    let [facts] = built.model.gateways() else {
        panic!("one gateway")
    };
    assert_eq!(
        (&*facts.name, &*facts.namespace),
        ("emissary/emissary-ingress", "emissary")
    );
    let listens: Vec<_> = facts
        .listens
        .iter()
        .map(|it| (it.port, it.bound, it.tls))
        .collect();
    assert_eq!(listens, [(80, 8080, false)]);
    assert_eq!(facts.hosts, ["*".into()]);
    assert!(built.has("emissary::assumed-pods"));
}

#[test]
fn its_deployment_says_where_it_is_and_what_it_reads() {
    let built = served(&[
        deployment(
            "em",
            "{name: AMBASSADOR_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}",
        ),
        SERVICE.to_owned(),
        mapping("m", "{prefix: /x/, service: a}"),
    ]);
    built.is_clean();
    let [facts] = built.model.gateways() else {
        panic!("one gateway")
    };
    assert_eq!((&*facts.name, &*facts.service_account), ("edge/em", "em"));
    let listens: Vec<_> = facts.listens.iter().map(|it| (it.port, it.bound)).collect();
    assert_eq!(listens, [(8000, 8080)]);
    assert!(!built.has("emissary::assumed-pods"));
    assert_eq!(built.get("h", "/x/"), "a_default /");
}

#[test]
fn a_name_without_a_namespace_is_in_the_mappings_own() {
    // an Emissary of `default` needs not say so
    let built = served(&[
        deployment("em", "{name: AMBASSADOR_NAMESPACE, value: default}"),
        mapping("m", "{prefix: /x/, service: a}"),
    ]);
    assert_eq!(built.get("h", "/x/"), "a_default /");
}

#[test]
fn each_emissary_reads_the_objects_of_its_id() {
    let parts = [
        deployment("one", "{name: AMBASSADOR_ID, value: one}"),
        deployment("two", "{name: AMBASSADOR_ID, value: two}"),
        object(
            "Listener",
            "emissary/l",
            "{ambassador_id: [one, two], port: 8080, protocol: HTTP, securityModel: XFP, hostBinding: {namespace: {from: ALL}}}",
        ),
        object(
            "Host",
            "h",
            "{ambassador_id: [one, two], hostname: '*', requestPolicy: {insecure: {action: Route}}}",
        ),
        mapping("m", "{ambassador_id: [one], prefix: /x/, service: a}"),
        mapping("n", "{ambassador_id: [two], prefix: /x/, service: b}"),
        mapping("o", "{prefix: /o/, service: b}"),
    ];
    let built = build(&parts);
    assert_eq!(built.model.gateways().len(), 2);
    assert_eq!(built.get("h", "/x/"), "a_default /");
    assert!(built.has("emissary::other-id"), "{}", built.text);
    assert_eq!(built.get("h", "/o/"), "404");
}

#[test]
fn an_emissary_of_one_namespace_reads_no_other() {
    let built = served(&[
        deployment(
            "em",
            "{name: AMBASSADOR_NAMESPACE, value: emissary}, {name: AMBASSADOR_SINGLE_NAMESPACE, value: 'YES'}",
        ),
        object(
            "Mapping",
            "emissary/m",
            "{hostname: '*', prefix: /x/, service: a.default}",
        ),
        mapping("n", "{prefix: /y/, service: a}"),
    ]);
    assert_eq!(built.get("h", "/x/"), "a_default_emissary /");
    assert_eq!(built.get("h", "/y/"), "404");
}

#[test]
fn what_converts_versions_is_no_gateway() {
    let apiext = deployment("emissary-apiext", "{name: X, value: y}").replace(
        "name: emissary,",
        "name: emissary, command: [apiext, emissary-apiext],",
    );
    let built = served(&[apiext, mapping("m", "{prefix: /x/, service: a}")]);
    let names: Vec<_> = built
        .model
        .gateways()
        .iter()
        .map(|it| it.name.to_string())
        .collect();
    assert_eq!(names, ["emissary/emissary-ingress"]);
}

#[test]
fn a_scenario_may_say_where_it_is() {
    let over = GatewayOverride {
        target: "gates/emissary-ingress".into(),
        kind: Some("emissary".into()),
        namespace: Some("gates".into()),
        replicas: Some(4),
        ..GatewayOverride::default()
    };
    let parts = [
        LISTENER.to_owned(),
        HOST.to_owned(),
        mapping("m", "{prefix: /x/, service: a}"),
    ];
    let built = build_with(&parts, vec![over]);
    let [facts] = built.model.gateways() else {
        panic!("one gateway")
    };
    assert_eq!(
        (&*facts.name, &*facts.namespace, facts.replicas),
        ("gates/emissary-ingress", "gates", Some(4))
    );
}

#[test]
fn labels_may_be_asked_for_one_by_one() {
    let parts = |env: &str| {
        build(&[
            deployment(
                "em",
                &format!("{{name: AMBASSADOR_NAMESPACE, value: emissary}}{env}"),
            ),
            LISTENER.to_owned(),
            object(
                "Host",
                "h",
                "{hostname: a.com, mappingSelector: {matchLabels: {one: '1', two: '2'}}, requestPolicy: {insecure: {action: Route}}}",
            ),
            labelled(
                "v3alpha1",
                "Mapping",
                "m",
                "{one: '1'}",
                "{prefix: /x/, service: a}",
            ),
        ])
    };
    assert_eq!(parts("").get("a.com", "/x/"), "404");
    let loose = parts(", {name: DISABLE_STRICT_LABEL_SELECTORS, value: 'true'}");
    assert_ne!(loose.get("a.com", "/x/"), "404", "{}", loose.text);
}
