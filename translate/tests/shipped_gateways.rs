//! Manifests that the repository ships, written for gateways: what is written, and what is said of it once it was compared.

mod common;

use common::{shipped, shown};

fn written_of(system: &str, target: &str) -> String {
    let app = "scenarios/eight-systems/app";
    let own = format!("scenarios/eight-systems/{system}");
    shown(&shipped(&[app, &own]).to(target))
}

#[test]
fn each_gateway_is_written_for_each_other() {
    for system in ["kong", "emissary", "nginx", "traefik"] {
        for target in ["kong", "nginx", "traefik"] {
            insta::assert_snapshot!(format!("{system}_to_{target}"), written_of(system, target));
        }
    }
}

#[test]
fn a_mesh_is_written_for_a_gateway() {
    for target in ["kong", "nginx", "traefik"] {
        insta::assert_snapshot!(format!("istio_to_{target}"), written_of("istio", target));
    }
}

#[test]
fn every_proxy_of_a_mesh_has_a_bootstrap() {
    let read = shipped(&[
        "scenarios/eight-systems/app",
        "scenarios/eight-systems/istio",
    ]);
    let translation = read.to("envoy");
    let sidecars = read.model.workloads().iter();
    let sidecars = sidecars.filter(|it| it.sidecar.is_some()).count();
    let gateways = read.model.gateways().len();
    assert_eq!(translation.files.len(), sidecars + gateways);
    let gateways = translation.files.iter();
    for (name, text) in gateways.filter(|(name, _)| name.starts_with("gateway-")) {
        let read = manifests::envoy::read(name, text);
        assert!(read.is_ok(), "{}", read.expect_err("refused"));
    }
}

#[test]
fn the_same_manifests_give_the_same_bytes() {
    for target in ["kong", "nginx", "traefik"] {
        assert_eq!(
            written_of("emissary", target),
            written_of("emissary", target)
        );
    }
    let read = shipped(&[
        "scenarios/eight-systems/app",
        "scenarios/eight-systems/kong",
    ]);
    assert_eq!(read.to("envoy").files, read.to("envoy").files);
}
