//! Bootstraps of Envoy.

use compare::Area;
use manifests::model::MeshWish;

use super::rig::{APP, Made, gateway_api, ingress, istio};

fn file<'a>(made: &'a Made, name: &str) -> &'a str {
    let found = made.written.files.iter().find(|(own, _)| own == name);
    let names: Vec<&String> = made.written.files.iter().map(|(name, _)| name).collect();
    &found
        .unwrap_or_else(|| panic!("{name} is none of {names:?}"))
        .1
}

#[test]
fn a_gateway_is_a_bootstrap_that_finds_services_by_name() {
    let made = Made::of(
        "envoy",
        &gateway_api("- backendRefs: [{name: cart, port: 8000}]"),
    );
    let text = file(&made, "gateway-shop-edge.yaml");
    assert!(text.contains("STRICT_DNS"), "{text}");
    assert!(text.contains("cart.shop.svc.cluster.local"), "{text}");
    assert!(text.contains("port_value: 8000"), "{text}");
}

#[test]
fn a_subset_is_a_service_of_its_own() {
    let rules = "- route: [{destination: {host: reviews, subset: v2}}]";
    let made = Made::of("envoy", &istio(rules, ""));
    assert!(made.service("reviews-v2").body.get("spec").is_some());
    let (_, text) = &made.written.files[0];
    assert!(text.contains("reviews-v2.shop.svc.cluster.local"), "{text}");
}

#[test]
fn that_kube_proxy_picks_pods_is_told() {
    let made = Made::of(
        "envoy",
        &gateway_api("- backendRefs: [{name: cart, port: 8000}]"),
    );
    assert!(
        made.tells(Area::Balance, "pods are picked for each request"),
        "{}",
        made.told()
    );
}

#[test]
fn what_envoy_cannot_say_is_a_loss() {
    let text = ingress(
        "kong",
        "{}",
        "[{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]",
    );
    let made = Made::of("envoy", &text);
    assert!(made.tells(Area::Pool, "otherwise there"), "{}", made.told());
    assert!(
        made.tells(Area::Answer, "otherwise there"),
        "{}",
        made.told()
    );
}

#[test]
fn sidecars_have_bootstraps_of_their_own() {
    let text = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{istio-injection: enabled}}}}\n---\n{APP}"
    );
    let made = Made::in_mesh("envoy", &text, MeshWish::Shown);
    let text = file(&made, "sidecar-shop-cart.yaml");
    assert!(text.contains("15001") && text.contains("15006"), "{text}");
    assert_eq!(made.written.files.len(), 4);
}
