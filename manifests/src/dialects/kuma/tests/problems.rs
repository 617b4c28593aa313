//! Problems as people see them.

use super::harness::{plan, with};

const YAML: &str = "apiVersion: kuma.io/v1alpha1
kind: Mesh
metadata: {name: default}
spec:
  mtls:
    enabledBackend: ca-2
    backends: [{name: ca-1, type: builtin}]
  constraints: {dataplaneProxy: {}}
  skipCreatingInitialPolicies: [MeshRetri]
---
apiVersion: kuma.io/v1alpha1
kind: MeshRetry
metadata: {name: retry, namespace: kuma-system}
spec:
  to:
    - targetRef: {kind: MeshService, name: wen_shop_svc_80}
      default: {http: {numRetry: 3, retryOn: [GatewayErrors]}}
    - targetRef: {kind: MeshService, name: web_shop_svc_81}
      default: {http: {numRetries: 3}}
---
apiVersion: kuma.io/v1alpha1
kind: MeshTimeout
metadata: {name: mixed, namespace: shop}
spec:
  to:
    - targetRef: {kind: MeshService, name: web_shop_svc_80}
      default: {connectionTimeout: 1s}
    - targetRef: {kind: Mesh}
      default: {connectionTimeout: 1s}
---
apiVersion: kuma.io/v1alpha1
kind: MeshTimeout
metadata: {name: empty, namespace: shop}
spec: {}
---
apiVersion: kuma.io/v1alpha1
kind: MeshTimeout
metadata: {name: target, namespace: kuma-system}
spec:
  targetRef: {kind: Mesh, name: default}
  to: [{targetRef: {kind: Dataplane}, default: {connectionTimeout: soon}}]
---
apiVersion: kuma.io/v1alpha1
kind: MeshTrafficPermission
metadata: {name: allow, namespace: kuma-system}
spec: {from: [{targetRef: {kind: Mesh}, default: {action: Allow}}]}
---
apiVersion: kuma.io/v1alpha1
kind: MeshAccessLog
metadata: {name: log, namespace: kuma-system}
spec: {to: [{targetRef: {kind: Mesh}, default: {backends: []}}]}
---
apiVersion: kuma.io/v1alpha1
kind: MeshProxyPatch
metadata: {name: patch, namespace: kuma-system}
spec: {default: {appendModifications: []}}
---
apiVersion: kuma.io/v1alpha1
kind: TrafficRoute
metadata: {name: old}
spec: {}
---
apiVersion: kuma.io/v1alpha1
kind: DataplaneInsight
metadata: {name: pod, namespace: shop}
---
apiVersion: kuma.io/v1alpha1
kind: MeshRetries
metadata: {name: typo, namespace: shop}
---
apiVersion: kuma.io/v1alpha1
kind: MeshHTTPRoute
metadata: {name: bytes, namespace: kuma-system}
spec:
  to:
    - targetRef: {kind: MeshService, name: db_shop_svc_5432}
      rules: [{matches: [{path: {type: PathPrefix, value: /}}], default: {}}]
";

#[test]
fn problems_are_shown_in_the_text() {
    insta::assert_snapshot!(with(YAML).rendered);
}

#[test]
fn annotations_are_checked() {
    let rows = [
        (
            "traffic.kuma.io/exclude-inbound-ports: http",
            "kuma::bad-value",
        ),
        ("kuma.io/sidecar-injection: enabled", "kuma::ignored"),
        ("kuma.io/virtual-probes: enabled", "kuma::annotation"),
        (
            "kuma.io/reachable-backends: 'refs: []'",
            "kuma::not-modelled",
        ),
        ("kuma.io/reachable-backend: x", "kuma::unknown-annotation"),
    ];
    for (annotation, code) in rows {
        let built = plan("").annotated(annotation).build();
        assert_eq!(built.codes(), [code], "{annotation}");
    }
}

#[test]
fn a_gateway_outside_of_the_mesh_is_told_which_policies_it_never_asks() {
    let built = with(
        "apiVersion: kuma.io/v1alpha1
kind: MeshRetry
metadata: {name: mine, namespace: shop}
spec: {to: [{targetRef: {kind: MeshService, name: web}, default: {http: {numRetries: 1}}}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: kong, namespace: plain}
spec:
  selector: {matchLabels: {app: kong}}
  template:
    metadata: {labels: {app: kong}}
    spec: {containers: [{name: proxy, image: kong}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: edge, namespace: shop}
spec:
  ingressClassName: kong
  rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
",
    );
    assert_eq!(built.codes(), ["kuma::not-modelled", "mesh::unasked"]);
    let told = "never asks MeshRetry `shop/mine`";
    assert!(built.problems.contains(told), "{}", built.problems);
    assert!(
        built
            .rendered
            .contains("with `kuma.io/sidecar-injection: enabled`"),
        "{}",
        built.rendered
    );
}
