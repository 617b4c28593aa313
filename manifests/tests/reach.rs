//! Warnings of gateways that pass by the mesh's policy, as `check` shows them.

use manifests::diagnostics::Diagnostics;
use manifests::load::{Layer, load};
use manifests::model::{Input, Model};
use manifests::origins::Origins;
use manifests::text::Sources;

/// Kong in a meshed namespace, an Ingress to a Service, and what somebody wrote for callers of that Service.
const EDGE: &str = "apiVersion: v1
kind: Namespace
metadata: {name: kong, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: kong, namespace: kong}
spec:
  selector: {matchLabels: {app: kong}}
  template:
    metadata: {labels: {app: kong}}
    spec: {containers: [{name: proxy, image: kong}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  template:
    metadata: {labels: {app: orders}}
    spec: {containers: [{name: orders, image: orders, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {selector: {app: orders}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: edge, namespace: shop}
spec:
  ingressClassName: kong
  rules:
    - http:
        paths:
          - {path: /, pathType: Prefix, backend: {service: {name: orders, port: {number: 80}}}}
";
const ROUTES: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders-routes, namespace: shop}
spec:
  hosts: [orders]
  http: [{retries: {attempts: 2}, route: [{destination: {host: orders}}]}]
";
const RULE: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders-rule, namespace: shop}
spec:
  host: orders
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}
";
const STRICT: &str = "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
";
const UNMESHED: &str = "apiVersion: v1
kind: Namespace
metadata: {name: kong}
";
const BY_SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop, annotations: {ingress.kubernetes.io/service-upstream: \"true\"}}
spec: {selector: {app: orders}, ports: [{port: 80, targetPort: 8080}]}
";
const FOR_OTHERS: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stock, namespace: shop}
spec:
  hosts: [stock.example.com]
  http: [{route: [{destination: {host: orders}}]}]
";

/// What is said of these, each a file of a later layer than the ones before it.
fn said(over: &[(&str, &str)]) -> (Vec<String>, String) {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let mut layers = vec![Layer::text("edge.yaml", EDGE)];
    layers.extend(over.iter().map(|(name, text)| Layer::text(*name, *text)));
    let objects = load(&layers, &mut sources, &mut problems);
    let input = Input {
        objects,
        ..Input::default()
    };
    Model::build(input, &mut Origins::default(), &mut problems).expect("its mesh is known");
    let about = |code: &str| code == "mesh::unasked" || code == "mesh::refused";
    let all = problems.sorted();
    let of_reach: Vec<_> = all.iter().filter(|each| about(each.code)).collect();
    let codes = of_reach.iter().map(|each| each.code.to_owned()).collect();
    let drawn: Vec<String> = of_reach.iter().map(|each| each.render(&sources)).collect();
    (codes, drawn.join("\n"))
}

#[test]
fn a_gateway_that_dials_pods_is_told_which_policy_it_never_asks() {
    let (routes, rule, strict) = (
        ("routes.yaml", ROUTES),
        ("rule.yaml", RULE),
        ("strict.yaml", STRICT),
    );
    let (unmeshed, by_service) = (("unmeshed.yaml", UNMESHED), ("service.yaml", BY_SERVICE));
    let (unasked, refused) = ("mesh::unasked", "mesh::refused");
    for (name, over, expected) in [
        ("no policy", &[][..], &[][..]),
        ("a VirtualService", &[routes], &[unasked]),
        ("a DestinationRule", &[rule], &[unasked]),
        (
            "a VirtualService of others",
            &[("others.yaml", FOR_OTHERS)],
            &[],
        ),
        ("strict servers", &[strict], &[refused]),
        ("all of it", &[routes, rule, strict], &[unasked, refused]),
        ("by the Service", &[routes, rule, strict, by_service], &[]),
        (
            "outside the mesh",
            &[unmeshed, routes, strict],
            &[unasked, refused],
        ),
        (
            "outside the mesh, by the Service",
            &[unmeshed, routes, strict, by_service],
            &[unasked, refused],
        ),
        ("outside the mesh, nothing to pass by", &[unmeshed], &[]),
    ] {
        let (mut codes, drawn) = said(over);
        codes.sort_by_key(|code| code != unasked);
        assert_eq!(codes, expected, "{name}\n{drawn}");
    }
}

#[test]
fn the_warning_names_both_places_and_the_annotation() {
    let (_, meshed) = said(&[("routes.yaml", ROUTES), ("rule.yaml", RULE)]);
    insta::assert_snapshot!("meshed", meshed);
    let (_, outside) = said(&[
        ("unmeshed.yaml", UNMESHED),
        ("routes.yaml", ROUTES),
        ("strict.yaml", STRICT),
    ]);
    insta::assert_snapshot!("outside", outside);
}
