//! Whole shops, as each target has them.

use super::rig::{APP, Made};

/// A shop behind the Gateway API: TLS, a redirect to it, a canary by header and by share, a rewrite, timeouts and retries.
fn gateway_api() -> String {
    format!(
        "{APP}---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: edge}}
spec: {{controllerName: example.com/edge}}
---
apiVersion: v1
kind: Secret
metadata: {{name: shop-tls, namespace: shop}}
type: kubernetes.io/tls
data: {{tls.crt: '', tls.key: ''}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec:
  gatewayClassName: edge
  listeners:
  - {{name: http, port: 80, protocol: HTTP}}
  - name: https
    port: 443
    protocol: HTTPS
    tls: {{certificateRefs: [{{name: shop-tls}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: to-tls, namespace: shop}}
spec:
  parentRefs: [{{name: edge, sectionName: http}}]
  hostnames: [shop.example.com]
  rules:
  - filters: [{{type: RequestRedirect, requestRedirect: {{scheme: https, statusCode: 301}}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: shop, namespace: shop}}
spec:
  parentRefs: [{{name: edge, sectionName: https}}]
  hostnames: [shop.example.com]
  rules:
  - matches: [{{path: {{value: /}}, headers: [{{name: x-canary, value: 'yes'}}]}}]
    backendRefs: [{{name: reviews, port: 9080}}]
  - matches: [{{path: {{value: /cart}}, method: GET}}]
    filters:
    - {{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: /}}}}}}
    backendRefs: [{{name: cart, port: 8000}}]
    timeouts: {{request: 2s}}
    retry: {{attempts: 2, codes: [503]}}
  - matches: [{{path: {{type: Exact, value: /health}}}}]
    backendRefs: [{{name: web, port: 80}}]
  - backendRefs: [{{name: web, port: 80, weight: 9}}, {{name: reviews, port: 9080, weight: 1}}]
"
    )
}

/// A shop behind an Istio gateway: versions by header and share, an injected fault, a timeout with Istio's own retries, ejection.
fn istio() -> String {
    super::rig::istio(
        "
- match: [{uri: {prefix: /reviews}, headers: {end-user: {exact: jason}}}]
  route: [{destination: {host: reviews, subset: v2}}]
- match: [{uri: {prefix: /reviews}}]
  route:
  - {destination: {host: reviews, subset: v1}, weight: 90}
  - {destination: {host: reviews, subset: v2}, weight: 10}
  timeout: 3s
- match: [{uri: {prefix: /old}}]
  redirect: {uri: /new, authority: www.example.com}
- match: [{uri: {exact: /cart}}]
  rewrite: {uri: /v2/cart}
  retries: {attempts: 3, perTryTimeout: 500ms, retryOn: 'connect-failure,503'}
  mirror: {host: reviews, subset: v2}
  mirrorPercentage: {value: 5}
  route: [{destination: {host: cart}}]
- fault: {delay: {percentage: {value: 10}, fixedDelay: 1s}}
  route: [{destination: {host: web}}]
",
        "trafficPolicy:
  connectionPool: {tcp: {connectTimeout: 2s, maxConnections: 100}}
  loadBalancer: {simple: LEAST_REQUEST}
  outlierDetection: {consecutive5xxErrors: 3, interval: 5s, baseEjectionTime: 20s}",
    )
}

/// A shop behind an Ingress of a controller that nobody here knows.
fn plain() -> String {
    format!(
        "{APP}---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {{name: other}}
spec: {{controller: example.com/other}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: shop, namespace: shop}}
spec:
  ingressClassName: other
  rules:
  - host: shop.example.com
    http:
      paths:
      - {{path: /cart, pathType: Prefix, backend: {{service: {{name: cart, port: {{number: 8000}}}}}}}}
      - {{path: /health, pathType: Exact, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}
      - {{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}
  - host: '*.example.com'
    http:
      paths:
      - {{path: /, pathType: Prefix, backend: {{service: {{name: reviews, port: {{number: 9080}}}}}}}}
"
    )
}

fn golden(target: &str, source: &str, text: &str) {
    let made = Made::of(target, text);
    insta::assert_snapshot!(
        format!("{target}_from_{source}"),
        format!("{}\n{}", made.own(), made.told())
    );
}

#[test]
fn a_shop_of_the_gateway_api_is_written_for_each_gateway() {
    for target in ["kong", "traefik", "nginx"] {
        golden(target, "gateway_api", &gateway_api());
    }
}

#[test]
fn a_shop_of_istio_is_written_for_each_gateway() {
    for target in ["kong", "traefik", "nginx"] {
        golden(target, "istio", &istio());
    }
}

#[test]
fn a_shop_of_plain_ingresses_is_written_for_each_gateway() {
    for target in ["kong", "traefik", "nginx"] {
        golden(target, "ingress", &plain());
    }
}
