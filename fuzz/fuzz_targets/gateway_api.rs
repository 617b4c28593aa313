//! Manifests of the Gateway API and plain Ingress, whoever serves them.

#![no_main]

mod dialect;

use libfuzzer_sys::fuzz_target;

const BASE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: any}
spec: {controllerName: example.com/any}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  gatewayClassName: any
  listeners: [{name: http, port: 80, protocol: HTTP}]
";

fuzz_target!(|text: &str| dialect::read("", false, BASE, text));
