//! What a person is told, as it is drawn.

use super::rig::*;

#[test]
fn everything_that_is_wrong_or_not_modelled_is_told_at_its_place() {
    let more = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: mesh
  addresses: [{value: 10.0.0.1}]
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: '*.example.com'}
  - {name: odd, port: 81, protocol: example.com/QUIC}
  - {name: tls, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: gone}], options: {example.com/min: '1.3'}}}
  - {name: raw, port: 9000, protocol: TCP, allowedRoutes: {kinds: [{kind: HTTPRoute}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: mesh}
spec: {controllerName: istio.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more, namespace: other}
spec:
  parentRef: {name: edge, namespace: shop}
  listeners: [{name: set, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{name: edge, sectionName: htpp}, {name: edge, sectionName: http}]
  hostnames: [example.org]
  rules:
  - backendRefs: [{name: a, port: 80}, {name: aa, port: 80}, {name: c, namespace: other, port: 80}]
    filters: [{type: ExtensionRef, extensionRef: {group: example.com, kind: Thing, name: t}}]
    timeouts: {request: 1 s}
    retires: {attempts: 1}
  - matches: [{path: {type: RegularExpression, value: '['}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: a, port: 80}]}, {backendRefs: [{name: b, port: 80}]}]
";
    let built = build(&[more.to_owned()]);
    insta::assert_snapshot!(built.text);
}
