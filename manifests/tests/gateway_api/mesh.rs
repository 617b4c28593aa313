//! Routes of Services, as sidecars of callers go by them.

use std::net::SocketAddr;

use manifests::model::{NodeRef, WorkloadId};
use proxy_core::config::ChainAction;
use proxy_core::node::Arrival;

use super::rig::*;

fn workload(namespace: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: {namespace}}}\nspec:\n  selector: {{matchLabels: {{app: web}}}}\n  \
         template:\n    metadata: {{labels: {{app: web}}}}\n    spec: {{containers: [{{name: web, image: web}}]}}\n"
    )
}

/// A route of the Service `shop/a` that stands in a namespace.
fn of_service(namespace: &str, name: &str, port: &str, to: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  parentRefs: [{{group: '', \
         kind: Service, name: a, namespace: shop{port}}}]\n  rules: [{{matches: [{{path: {{value: /in}}}}], {to}}}]\n"
    )
}

/// What becomes of a request of pods of a namespace to a port of `shop/a`.
fn asked(parts: &[String], caller: &str, port: u16, path: &str) -> String {
    let mut all = vec![workload("shop"), workload("other")];
    all.extend_from_slice(parts);
    let built = build_with(&all, named("gateway-api"), &["shop", "other"]);
    let mut workloads = built.model.workloads().iter();
    let of = workloads.find(|it| *it.namespace == *caller && &*it.name == "web");
    let id: WorkloadId = of.expect("it is there").id;
    let config = built.node(NodeRef::Sidecar(id));
    let mut services = built.model.services().iter();
    let service = services.find(|it| it.full_name() == "shop/a");
    let ip = service.and_then(|it| it.cluster_ip()).expect("an address");
    for section in &config.sections {
        let at = SocketAddr::new(ip, port);
        if let Some(listener) = section.listener(Arrival::Outbound, at) {
            let listener = &section.listeners()[listener as usize];
            let mut chains = listener.chains.iter();
            let requests = chains.find(|it| matches!(it.action, ChainAction::Http(_)));
            let chain = requests.unwrap_or(&listener.chains[0]);
            return outcome(section, chain, &get("a.shop", path));
        }
    }
    "passes".to_owned()
}

/// Source: GEP-1426.
#[test]
fn callers_go_by_the_routes_of_a_service() {
    let to_b = "backendRefs: [{name: b, port: 80}]";
    let producer = of_service("shop", "p", "", to_b);
    type Row<'a> = (&'a str, &'a [String], &'a str, u16, &'a str, &'a str);
    let rows: &[Row<'_>] = &[
        (
            "without a route bytes pass",
            &[],
            "shop",
            80,
            "/in",
            "shop/a:80/bytes*1",
        ),
        (
            "a route of the Service's own namespace",
            std::slice::from_ref(&producer),
            "other",
            80,
            "/in",
            "shop/b:80",
        ),
        (
            "what it does not take",
            std::slice::from_ref(&producer),
            "other",
            80,
            "/out",
            "404",
        ),
        (
            "on every port",
            std::slice::from_ref(&producer),
            "shop",
            81,
            "/in",
            "shop/b:80",
        ),
        (
            "on one port",
            &[of_service("shop", "p", ", port: 80", to_b)],
            "shop",
            81,
            "/in",
            "shop/a:81/bytes*1",
        ),
    ];
    for (name, parts, caller, port, path, want) in rows {
        assert_eq!(asked(parts, caller, *port, path), *want, "{name}");
    }
}

/// Source: GEP-1426, "producer" and "consumer" routes.
#[test]
fn a_route_of_the_callers_namespace_is_for_callers_there_and_takes_the_others_place() {
    let producer = of_service("shop", "p", "", "backendRefs: [{name: b, port: 80}]");
    // back to its parent, which needs no grant
    let consumer = of_service(
        "other",
        "c",
        "",
        "backendRefs: [{name: a, namespace: shop, port: 80}]",
    );
    let elsewhere = of_service(
        "other",
        "e",
        "",
        "backendRefs: [{name: b, namespace: shop, port: 80}]",
    );
    let both = [producer.clone(), consumer.clone()];
    assert_eq!(asked(&both, "other", 80, "/in"), "shop/a:80");
    assert_eq!(asked(&both, "shop", 80, "/in"), "shop/b:80");
    assert_eq!(asked(&[consumer], "shop", 80, "/in"), "shop/a:80/bytes*1");
    assert_eq!(
        asked(&[elsewhere], "other", 80, "/in"),
        "500",
        "another needs one"
    );
}
