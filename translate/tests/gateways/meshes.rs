//! What only sidecars did is lost at a gateway, and said once for each Service.

use compare::Area;
use manifests::model::MeshWish;
use translate::Reach;

use super::rig::{APP, Made};

fn meshed() -> String {
    format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: shop, labels: {{istio-injection: enabled}}}}
---
{APP}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: cart, namespace: shop}}
spec:
  hosts: [cart]
  http:
  - timeout: 2s
    retries: {{attempts: 3}}
    route: [{{destination: {{host: cart}}}}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: strict, namespace: shop}}
spec: {{mtls: {{mode: STRICT}}}}
"
    )
}

#[test]
fn a_service_between_sidecars_loses_its_policies_once() {
    for target in ["kong", "traefik", "nginx"] {
        let made = Made::in_mesh(target, &meshed(), MeshWish::Shown);
        let of_services = made.written.losses.iter();
        let of_services: Vec<_> = of_services
            .filter(|it| matches!(it.reach, Reach::Service(_)))
            .collect();
        assert_eq!(of_services.len(), 3, "{target}: {}", made.told());
        let cart = of_services
            .iter()
            .find(|it| it.what.contains("a timeout of 2s"));
        let cart = cart.expect("the cart's timeout");
        assert!(cart.what.contains("3 retries on"), "{}", cart.what);
        assert!(cart.what.contains("mutual TLS"), "{}", cart.what);
        for area in [Area::Timeout, Area::Retry, Area::Tls, Area::Balance] {
            assert!(cart.areas.contains(&area));
        }
    }
}

#[test]
fn who_may_call_is_lost_for_each_workload() {
    let made = Made::in_mesh("kong", &meshed(), MeshWish::Shown);
    let mut of_workloads = made.written.losses.iter();
    let strict = of_workloads.find(|it| matches!(it.reach, Reach::Workload(_)));
    let strict = strict.expect("a loss of a workload");
    assert_eq!(
        strict.what,
        "connections that are not the mesh's are refused"
    );
}

#[test]
fn without_a_mesh_nothing_of_it_is_lost() {
    let made = Made::in_mesh("kong", &meshed(), MeshWish::None);
    let mut losses = made.written.losses.iter();
    assert!(losses.all(|it| !matches!(it.reach, Reach::Service(_) | Reach::Workload(_))));
}
