//! Problems as people see them.

use super::harness::with;

const YAML: &str = "apiVersion: v1
kind: Namespace
metadata: {name: team, annotations: {istio-injection: enabled}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: ports}
spec:
  portLevelMtls:
    8080: {mode: DISABLE}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody}
spec: {}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec:
  host: wen
  trafficPolicy:
    loadBalancer:
      simple: ROUND_ROBIN
      consistentHash:
        httpHeaderName: x-user
      localityLbSetting:
        failover: [{from: a, to: b}]
    connectionPool:
      tcp: {connectTimeout: soon, maxConnections: -1}
      http: {maxRetry: 3}
    outlierDetection:
      consecutiveErrors: 5
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v1, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web-again}
spec: {host: web, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web-first}
spec:
  host: web
  trafficPolicy:
    loadBalancer: {localityLbSetting: {failoverPriority: [topology.kubernetes.io/zone]}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out}
spec:
  hosts: [api.example.com]
  ports: [{number: 443, name: https, protocol: HTPS}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec:
  ingress: [{port: {number: 8080}, defaultEndpoint: '127.0.0.1:8080'}]
  egress: [{hosts: [web]}]
";

#[test]
fn problems_are_shown_in_the_text() {
    insta::assert_snapshot!(with(YAML).rendered);
}
