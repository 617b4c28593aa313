//! Ingresses of Traefik's class, and their annotations.

use proxy_core::config::{HostRewrite, SessionCarrier, UpstreamProtocol};

use super::rig::*;

/// An Ingress `web` with these annotations and one path to Service `a`.
fn ingress(annotations: &[(&str, &str)], path: &str, path_type: &str) -> String {
    let lines: String = annotations
        .iter()
        .map(|(key, value)| format!("    traefik.ingress.kubernetes.io/{key}: {value:?}\n"))
        .collect();
    let annotations = if lines.is_empty() {
        String::new()
    } else {
        format!("  annotations:\n{lines}")
    };
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: web\n{annotations}spec:\n  ingressClassName: traefik\n  rules:\n  - host: shop.com\n    http:\n      paths:\n      \
         - {{path: '{path}', pathType: {path_type}, backend: {{service: {{name: a, port: {{number: 80}}}}}}}}\n"
    )
}

fn check(built: &Built, rows: &[(Ask<'_>, &str)]) {
    for (ask, want) in rows {
        assert_eq!(
            built.ask(ask),
            *want,
            "{}{}\n{}",
            ask.host,
            ask.path,
            built.lines()
        );
    }
}

/// Quirk: of an Ingress, too, a prefix compares bytes, unless Traefik is started otherwise.
#[test]
fn paths_are_compared_as_traefik_does() {
    let prefix = build(&[ingress(&[], "/foo", "Prefix")]);
    check(
        &prefix,
        &[
            (get("shop.com", "/foo/x"), "a:80"),
            (get("shop.com", "/foobar"), "a:80"),
            (get("else.com", "/foo"), "404"),
        ],
    );
    let exact = build(&[ingress(&[], "/foo", "Exact")]);
    check(
        &exact,
        &[
            (get("shop.com", "/foo"), "a:80"),
            (get("shop.com", "/foo/"), "404"),
        ],
    );
    let regex = build(&[ingress(
        &[("router.pathmatcher", "PathRegexp")],
        "^/f[o]+$",
        "ImplementationSpecific",
    )]);
    check(
        &regex,
        &[
            (get("shop.com", "/foo"), "a:80"),
            (get("shop.com", "/fo/"), "404"),
        ],
    );
    let args = [
        "--entryPoints.web.address=:8000",
        "--providers.kubernetesingress.strictPrefixMatching=true",
        "--providers.kubernetesingress.allowEmptyServices=true",
    ];
    let strict = build(&[ingress(&[], "/foo/", "Prefix"), started(&args)]);
    check(
        &strict,
        &[
            (get("shop.com", "/foo"), "a:80"),
            (get("shop.com", "/foo/x"), "a:80"),
            (get("shop.com", "/foobar"), "404"),
        ],
    );
}

#[test]
fn annotations_are_those_of_a_router() {
    let strip = object("Middleware", "strip", "stripPrefix: {prefixes: [/foo]}");
    let notes = [
        ("router.middlewares", "default-strip@kubernetescrd"),
        ("router.entrypoints", "web"),
        ("router.priority", "42"),
    ];
    let built = build(&[ingress(&notes, "/foo", "Prefix"), strip]);
    check(
        &built,
        &[
            (
                get("shop.com", "/foo/x"),
                "a:80 as shop.com/x +x-forwarded-prefix=/foo",
            ),
            (over_tls("shop.com", "/foo/x"), "404"),
        ],
    );
}

/// Quirk: `spec.tls` brings a certificate and no TLS.
#[test]
fn tls_is_a_matter_of_annotations_and_entry_points() {
    let args = [
        "--entryPoints.web.address=:8000",
        "--providers.kubernetesingress",
        "--providers.kubernetesingress.allowEmptyServices=true",
    ];
    let with_tls = |notes: &[(&str, &str)]| {
        let text = ingress(notes, "/", "Prefix");
        text.replace("  rules:", "  tls: [{secretName: cert}]\n  rules:")
    };
    let without = build(&[with_tls(&[]), started(&args)]);
    let tls = Ask {
        tls: true,
        ..get("shop.com", "/")
    };
    assert_eq!(without.ask_at(8000, &tls), "404");
    assert_eq!(without.ask_at(8000, &get("shop.com", "/")), "a:80");
    assert!(without.lines().contains("warning[traefik::ingress-tls]"));
    let annotated = build(&[with_tls(&[("router.tls", "true")]), started(&args)]);
    assert_eq!(annotated.ask_at(8000, &tls), "a:80");
    assert_eq!(annotated.ask_at(8000, &get("shop.com", "/")), "404");
}

#[test]
fn annotations_of_a_service_are_those_of_its_servers() {
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: noted\n  annotations:\n    traefik.ingress.kubernetes.io/service.serversscheme: h2c\n    traefik.ingress.kubernetes.io/service.passhostheader: \"false\"\n    traefik.ingress.kubernetes.io/service.sticky.cookie: \"true\"\n    traefik.ingress.kubernetes.io/service.sticky.cookie.name: sid\n    traefik.ingress.kubernetes.io/service.nativelb: \"true\"\nspec: {selector: {app: a}, ports: [{port: 80}]}\n";
    let text = ingress(&[], "/", "Prefix").replace("name: a,", "name: noted,");
    let built = build(&[text, service.to_owned()]);
    let ask = get("shop.com", "/");
    let cluster = built.only_cluster(&ask);
    assert_eq!(cluster.protocol, UpstreamProtocol::Http2);
    assert_eq!(
        cluster.endpoints.endpoints.len(),
        1,
        "the Service's own address"
    );
    let forward = built.forward(&ask);
    assert!(matches!(forward.host, Some(HostRewrite::Endpoint)));
    let session = forward.session.expect("a session");
    assert!(matches!(session.carrier, SessionCarrier::Cookie { name, .. } if &*name == "sid"));
}

#[test]
fn an_annotation_that_traefik_does_not_know_leaves_the_ingress_out() {
    for (key, value) in [
        ("router.middleware", "x"),
        ("router.priority", "high"),
        ("router.tls", "maybe"),
        ("router.entrypoints", "wbe"),
        ("router.middlewares", "strip"),
        ("router.middlewares", "default-gone@kubernetescrd"),
        ("router.pathmatcher", "Glob"),
    ] {
        let built = build(&[ingress(&[(key, value)], "/", "ImplementationSpecific")]);
        assert_eq!(built.ask(&get("shop.com", "/")), "404", "{key}");
        assert!(built.problems.has_errors(), "{key}");
    }
    let misplaced = build(&[ingress(&[("service.nativelb", "true")], "/", "Prefix")]);
    assert_eq!(misplaced.ask(&get("shop.com", "/")), "a:80");
    assert!(misplaced.lines().contains("traefik::misplaced-annotation"));
}

#[test]
fn a_default_backend_has_what_no_rule_takes() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: rest}\nspec:\n  ingressClassName: traefik\n  defaultBackend: {service: {name: b, port: {number: 80}}}\n";
    let built = build(&[ingress(&[], "/foo", "Prefix"), text.to_owned()]);
    check(
        &built,
        &[
            (get("shop.com", "/foo"), "a:80"),
            (get("shop.com", "/"), "b:80"),
            (get("any.com", "/x"), "b:80"),
        ],
    );
}

/// Quirk: an Ingress without any class is Traefik's, too, unless the cluster has another default.
#[test]
fn an_ingress_without_a_class_is_served() {
    let bare = ingress(&[], "/", "Prefix").replace("  ingressClassName: traefik\n", "");
    let other = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: kong, annotations: {ingressclass.kubernetes.io/is-default-class: 'true'}}\nspec: {controller: ingress-controllers.konghq.com/kong}\n";
    let route = routes(&[&to_b("Path(`/b`)")]);
    let built = build(&[bare.clone(), route.clone()]);
    assert_eq!(built.ask(&get("shop.com", "/")), "a:80");
    let named =
        ingress(&[], "/", "Prefix").replace("ingressClassName: traefik", "ingressClassName: kong");
    let built = build(&[named, other.to_owned(), route]);
    assert_eq!(
        built
            .model
            .gateways()
            .iter()
            .filter(|it| it.dialect == "traefik")
            .count(),
        1
    );
    assert_eq!(built.model.gateways().len(), 2);
}
