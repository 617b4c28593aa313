//! Manifests that the repository ships, written for other systems: what is written, and what is said of it.

mod common;

use common::{shipped, shown};

/// Kong in the mesh before a Service with a VirtualService, strict mutual TLS.
const MESHED: &[&str] = &["scenarios/tutorial/layered", "scenarios/tutorial/meshed"];

fn eight(system: &str) -> Vec<String> {
    let mut layers = vec!["scenarios/eight-systems/app".to_owned()];
    layers.push(format!("scenarios/eight-systems/{system}"));
    layers
}

fn written(paths: &[&str], target: &str) -> String {
    shown(&shipped(paths).to(target))
}

fn written_of(system: &str, target: &str) -> String {
    let layers = eight(system);
    let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
    written(&layers, target)
}

#[test]
fn the_tutorials_mesh_for_linkerd() {
    insta::assert_snapshot!(written(MESHED, "linkerd"));
}

#[test]
fn the_tutorials_mesh_for_kuma() {
    insta::assert_snapshot!(written(MESHED, "kuma"));
}

#[test]
fn the_tutorials_mesh_for_the_gateway_api() {
    insta::assert_snapshot!(written(MESHED, "gateway-api"));
}

#[test]
fn the_tutorials_storm_for_linkerd() {
    let paths = [
        MESHED,
        &["scenarios/tutorial/storm", "scenarios/tutorial/limits"],
    ]
    .concat();
    insta::assert_snapshot!(written(&paths, "linkerd"));
}

#[test]
fn a_shop_under_istio_for_linkerd_and_kuma() {
    insta::assert_snapshot!("istio_to_linkerd", written_of("istio", "linkerd"));
    insta::assert_snapshot!("istio_to_kuma", written_of("istio", "kuma"));
}

#[test]
fn a_shop_under_linkerd_for_istio_and_kuma() {
    insta::assert_snapshot!("linkerd_to_istio", written_of("linkerd", "istio"));
    insta::assert_snapshot!("linkerd_to_kuma", written_of("linkerd", "kuma"));
}

#[test]
fn a_shop_under_kuma_for_istio_and_linkerd() {
    insta::assert_snapshot!("kuma_to_istio", written_of("kuma", "istio"));
    insta::assert_snapshot!("kuma_to_linkerd", written_of("kuma", "linkerd"));
}

#[test]
fn gateways_of_every_kind_for_the_gateway_api() {
    for system in ["kong", "emissary", "nginx", "traefik"] {
        let name = format!("{system}_to_gateway_api");
        insta::assert_snapshot!(name, written_of(system, "gateway-api"));
    }
}

#[test]
fn gateways_of_every_kind_for_istio() {
    for system in ["kong", "emissary", "nginx", "traefik"] {
        let name = format!("{system}_to_istio");
        insta::assert_snapshot!(name, written_of(system, "istio"));
    }
}

#[test]
fn the_same_manifests_give_the_same_bytes() {
    let read = shipped(MESHED);
    assert_eq!(shown(&read.to("kuma")), shown(&read.to("kuma")));
}

#[test]
fn whatever_is_shipped_is_written_so_that_it_can_be_read() {
    let all = [
        "istio", "linkerd", "consul", "kuma", "kong", "emissary", "nginx", "traefik",
    ];
    for system in all {
        let layers = eight(system);
        let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
        let read = shipped(&layers);
        for target in translate::targets::TARGETS {
            // a fault fails there
            let _ = read.to(target.name);
        }
    }
}
