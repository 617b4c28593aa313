//! Manifests of one system, laid over a shop that this system serves: any text is read and compiled for every proxy, with the endpoints of
//! a pod of each workload, or refused with a place in it.

use manifests::diagnostics::Diagnostics;
use manifests::load::{self, Layer};
use manifests::model::{
    GatewayId, Input, MeshWish, Model, NodeRef, Place, Pod, Pods, WorkloadId,
};
use manifests::origins::Origins;
use manifests::text::{Sources, Span};

const APP: &str = include_str!("../../../scenarios/eight-systems/app/app.yaml");

/// Reads `text` where `system` runs whose own objects are `base`.
pub(crate) fn read(system: &str, is_mesh: bool, base: &str, text: &str) {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let mut origins = Origins::default();
    let layers = [
        Layer::text("app.yaml", APP),
        Layer::text("base.yaml", base),
        Layer::text("manifests.yaml", text),
    ];
    let objects = load::load(&layers, &mut sources, &mut problems);
    let mesh = match is_mesh {
        true => MeshWish::Named {
            system: system.to_owned(),
            release: None,
            span: Span::NOWHERE,
        },
        false => MeshWish::None,
    };
    let input = Input {
        objects,
        mesh,
        ..Input::default()
    };
    if let Some(model) = Model::build(input, &mut origins, &mut problems) {
        configure(&model);
    }
    let _ = problems.render(&sources);
}

/// Asks for the configuration of every proxy.
fn configure(model: &Model) {
    let place = Place::default();
    let count = u32::try_from(model.workloads().len()).unwrap_or(u32::MAX);
    let mut pods = Pods::new(model.workloads().len());
    for at in 0..count {
        pods.of_mut(WorkloadId(at)).push(Pod {
            ip: std::net::Ipv4Addr::from(0x0a00_0001 + at).into(),
            name: format!("pod-{at}").as_str().into(),
            place: place.clone(),
            ready: true,
            draining: false,
            labels: None,
        });
    }
    for at in 0..count {
        let _ = model.config(NodeRef::Sidecar(WorkloadId(at)), &place, &pods);
    }
    for at in (0..).take(model.gateways().len()) {
        let _ = model.config(NodeRef::Gateway(GatewayId(at)), &place, &pods);
    }
}
