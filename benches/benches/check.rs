//! How long does `windtunnel check` take over what a large team has, and over very many routes?
//!
//! Everything is read from text: parsed, loaded, compiled for every proxy, and looked at by every lint; nothing is drawn. The manifests are
//! of Kubernetes, Istio, Kong and the Gateway API, five objects to a service. Routes are of one host, so that each is held against all before
//! it.

use std::fmt::Write;

use criterion::{Criterion, criterion_group, criterion_main};
use manifests::diagnostics::Diagnostics;
use manifests::findings::Findings;
use manifests::lints::{self, Usage};
use manifests::load::{Layer, load};
use manifests::model::{Input, Model};
use manifests::origins::Origins;
use manifests::text::Sources;

/// Five objects to a service: 200 of them are a thousand manifests.
fn mixed(services: usize) -> String {
    let mut text = String::from(
        "apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP}]}
",
    );
    for at in 0..services {
        let entry = match at % 2 {
            0 => format!(
                "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: s{at}, namespace: shop}}
spec:
  ingressClassName: kong
  rules: [{{host: s{at}.example.com, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: s{at}, port: {{number: 80}}}}}}}}]}}}}]"
            ),
            _ => format!(
                "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: s{at}, namespace: shop}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [s{at}.example.org]
  rules: [{{matches: [{{path: {{type: PathPrefix, value: /api}}}}], backendRefs: [{{name: s{at}, port: 80}}]}}]"
            ),
        };
        write!(
            text,
            "---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: s{at}, namespace: shop}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: s{at}}}}}
  template:
    metadata: {{labels: {{app: s{at}}}}}
    spec: {{containers: [{{name: app, image: app, ports: [{{containerPort: 8080}}]}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: s{at}, namespace: shop}}
spec: {{selector: {{app: s{at}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: s{at}, namespace: shop}}
spec:
  hosts: [s{at}]
  http: [{{timeout: 2s, retries: {{attempts: 2, perTryTimeout: 1s, retryOn: connect-failure}}, route: [{{destination: {{host: s{at}}}}}]}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: s{at}, namespace: shop}}
spec: {{host: s{at}, trafficPolicy: {{outlierDetection: {{consecutive5xxErrors: 5}}}}}}
---
{entry}
"
        )
        .expect("a string takes all");
    }
    text
}

/// Ingress objects of Kong with ten routes each, all of one host.
fn routes(count: usize) -> String {
    let mut text = String::from(
        "apiVersion: v1
kind: Service
metadata: {name: app}
spec: {selector: {app: app}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec: {containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
",
    );
    for at in 0..count.div_ceil(10) {
        write!(
            text,
            "---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: routes-{at}}}
spec:
  ingressClassName: kong
  rules:
    - host: api.example.com
      http:
        paths:
"
        )
        .expect("a string takes all");
        for path in 0..10.min(count - at * 10) {
            writeln!(
                text,
                "          - {{path: /v1/items/{at}/{path}, pathType: Prefix, backend: {{service: {{name: app, port: {{number: 80}}}}}}}}"
            )
            .expect("a string takes all");
        }
    }
    text
}

/// Everything from text to findings; how many there are.
fn check(text: &str) -> usize {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let mut origins = Origins::default();
    let layers = [Layer::text("all.yaml", text)];
    let input = Input {
        objects: load(&layers, &mut sources, &mut problems),
        ..Input::default()
    };
    let model = Model::build(input, &mut origins, &mut problems).expect("its mesh is known");
    assert!(!problems.has_errors(), "{}", problems.to_lines(&sources));
    lints::run(&model, &origins, &Usage::default(), &mut problems);
    let mut findings = Findings::new(None);
    findings.add(&problems, &sources);
    findings.close();
    findings.all().len()
}

fn checks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check");
    group.sample_size(10);
    let manifests = mixed(200);
    group.bench_function("1000 manifests", |bencher| {
        bencher.iter(|| check(&manifests));
    });
    let routes = routes(10_000);
    group.bench_function("10000 routes", |bencher| bencher.iter(|| check(&routes)));
    group.finish();
}

criterion_group!(benches, checks);
criterion_main!(benches);
