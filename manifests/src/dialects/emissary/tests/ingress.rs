//! Ingresses of Emissary's classes.

use super::rig::*;
use crate::model::GatewayOverride;

fn ingress(class: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web, {class}}}\nspec: {spec}\n"
    )
}

const OLDER: &str = "annotations: {kubernetes.io/ingress.class: Ambassador}";
const BACKEND: &str = "backend: {service: {name: a, port: {number: 80}}}";

fn served_by(class: &str, spec: &str) -> Built {
    served(&[ingress(class, spec)])
}

#[test]
fn an_ingress_is_served_by_its_class() {
    let class = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: edge}\nspec: {controller: getambassador.io/ingress-controller}\n";
    let default = class.replace(
        "name: edge",
        "name: edge, annotations: {ingressclass.kubernetes.io/is-default-class: 'true'}",
    );
    let rule =
        format!("rules: [{{http: {{paths: [{{path: /x/, pathType: Prefix, {BACKEND}}}]}}}}]");
    for (row, meta, spec, classes, want) in [
        ("annotation", OLDER, format!("{{{rule}}}"), "", true),
        (
            "other annotation",
            "annotations: {kubernetes.io/ingress.class: nobody}",
            format!("{{{rule}}}"),
            "",
            false,
        ),
        (
            "class",
            "labels: {}",
            format!("{{ingressClassName: edge, {rule}}}"),
            class,
            true,
        ),
        (
            "class of nobody",
            "labels: {}",
            format!("{{ingressClassName: ambassador, {rule}}}"),
            "",
            false,
        ),
        (
            "default class",
            "labels: {}",
            format!("{{{rule}}}"),
            default.as_str(),
            true,
        ),
        (
            "no class",
            "labels: {}",
            format!("{{{rule}}}"),
            class,
            false,
        ),
        (
            "another Emissary's",
            "annotations: {kubernetes.io/ingress.class: ambassador, getambassador.io/ambassador-id: two}",
            format!("{{{rule}}}"),
            "",
            false,
        ),
    ] {
        let mut parts = vec![ingress(meta, &spec)];
        if !classes.is_empty() {
            parts.push(classes.to_owned());
        }
        let built = served(&parts);
        assert_eq!(
            built.get("h", "/x/y") != "404",
            want,
            "{row}\n{}",
            built.text
        );
    }
    let by_scenario = build_with(
        &[
            LISTENER.to_owned(),
            ingress("labels: {}", &format!("{{{rule}}}")),
        ],
        vec![GatewayOverride {
            target: "default/web".into(),
            kind: Some("emissary".into()),
            ..GatewayOverride::default()
        }],
    );
    assert_ne!(by_scenario.get("h", "/x/y"), "404", "{}", by_scenario.text);
}

#[test]
fn paths_are_mappings_whose_prefix_goes() {
    let spec = format!(
        "{{defaultBackend: {{service: {{name: b, port: {{number: 80}}}}}}, rules: [{{host: h.com, http: {{paths: [
            {{path: /x, pathType: Prefix, {BACKEND}}},
            {{path: /x/y, pathType: Exact, backend: {{service: {{name: b, port: {{name: web}}}}}}}}]}}}},
          {{host: '*.w.com', http: {{paths: [{{path: /w, pathType: ImplementationSpecific, {BACKEND}}}]}}}}]}}"
    );
    let built = served_by(OLDER, &spec);
    built.is_clean();
    for (host, path, want) in [
        ("h.com", "/x/1", "a_default_80_default //1"),
        // bytes, not segments
        ("h.com", "/xyz", "a_default_80_default /yz"),
        ("h.com", "/x/y", "b_default_80_default /"),
        ("h.com", "/x/y/z", "a_default_80_default //y/z"),
        ("h.com", "/other", "b_default_80_default /other"),
        ("s.w.com", "/w/1", "a_default_80_default //1"),
        ("s.t.w.com", "/w/1", "b_default_80_default /w/1"),
        ("other.com", "/x", "b_default_80_default /x"),
    ] {
        assert_eq!(built.get(host, path), want, "{host}{path}");
    }
}

#[test]
fn tls_of_an_ingress_makes_hosts_of_its_own() {
    let spec = format!(
        "{{tls: [{{hosts: [s.com], secretName: cert}}], rules: [{{host: s.com, http: {{paths: [{{path: /, pathType: Prefix, {BACKEND}}}]}}}}]}}"
    );
    let https = object(
        "Listener",
        "emissary/https",
        "{port: 8443, protocol: HTTPS, securityModel: XFP, hostBinding: {namespace: {from: ALL}}}",
    );
    let built = build(&[LISTENER.to_owned(), https, ingress(OLDER, &spec)]);
    assert_eq!(
        built.asked(8443, "s.com", get("s.com", "/1")),
        "a_default_80_default /1",
        "{}",
        built.text
    );
    // in the clear it is routed, too
    assert_eq!(built.get("s.com", "/1"), "a_default_80_default /1");
    assert_eq!(built.get("t.com", "/1"), "404");
}

#[test]
fn a_backend_that_is_not_there_is_an_error() {
    let rule = |backend: &str| {
        served_by(
            OLDER,
            &format!(
                "{{rules: [{{http: {{paths: [{{path: /, pathType: Prefix, {backend}}}]}}}}]}}"
            ),
        )
    };
    assert!(
        rule("backend: {service: {name: c, port: {number: 80}}}").has("emissary::unknown-service")
    );
    assert!(rule("backend: {service: {name: a, port: {name: nothing}}}").has("emissary::service"));
    let resource = rule("backend: {resource: {apiGroup: x.io, kind: Bucket, name: b}}");
    assert!(resource.has("emissary::not-modelled"), "{}", resource.text);
}
