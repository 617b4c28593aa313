//! PeerAuthentications: who takes plaintext.

use std::collections::BTreeMap;

use compare::Area;
use proxy_core::config::Name;

use super::SECURITY;
use crate::intent::{Accepts, Inbound, Intent, Mesh};
use crate::loss::{Loss, Reach};
use crate::object::{Object, Written};
use crate::yaml::Map;

/// A policy for a namespace where everybody is strict, else for single workloads.
pub(super) fn write(intent: &Intent<'_>, mesh: &Mesh<'_>, out: &mut Written) {
    let workloads = intent.source.model.workloads();
    let mut namespaces: BTreeMap<Name, Vec<&Inbound<'_>>> = BTreeMap::new();
    for inbound in &mesh.workloads {
        let namespace = workloads[inbound.workload.index()].namespace.clone();
        namespaces.entry(namespace).or_default().push(inbound);
    }
    for (namespace, all) in &namespaces {
        let strict = |it: &&&Inbound<'_>| it.accepts.0 == Accepts::Meshed;
        let is_whole = all.iter().all(|it| strict(&it));
        if is_whole {
            let mut object = Object::new(SECURITY, "PeerAuthentication", namespace, "default");
            for inbound in all {
                object.comes_from(inbound.accepts.1);
            }
            let mtls = Map::new().with("mode", "STRICT");
            out.add(object.spec(Map::new().with("mtls", mtls)));
        }
        for inbound in all {
            own(intent, inbound, is_whole, out);
        }
    }
}

/// A workload's own policy, where its namespace's does not say it.
fn own(intent: &Intent<'_>, inbound: &Inbound<'_>, strict_by_namespace: bool, out: &mut Written) {
    let workload = &intent.source.model.workloads()[inbound.workload.index()];
    let own = mode(inbound.accepts.0);
    if inbound.accepts.0 == Accepts::Plaintext {
        let loss = Loss::new(
            Reach::Workload(inbound.workload),
            Area::Connection,
            inbound.accepts.1,
            "connections are taken in plaintext alone",
            "sidecars of Istio take mutual TLS from each other unless it is turned off",
        );
        out.lose(
            loss.also(Area::Tls)
                .nearest("plaintext and mutual TLS are taken"),
        );
    }
    let mut ports = Map::new();
    for (port, accepts, _) in &inbound.ports {
        let of_port = mode(*accepts);
        if of_port != own {
            ports.set(&port.to_string(), Map::new().with("mode", of_port));
        }
    }
    let is_said = (own == "STRICT") == strict_by_namespace;
    if ports.is_empty() && is_said {
        return;
    }
    let mut labels = Map::new();
    for (key, value) in &workload.labels {
        labels.set(key, &**value);
    }
    let selector = Map::new().with("matchLabels", labels);
    let spec = Map::new()
        .with("selector", selector)
        .with("mtls", Map::new().with("mode", own))
        .map("portLevelMtls", ports);
    let name = out.free_name("PeerAuthentication", &workload.namespace, &workload.name);
    let object = Object::new(SECURITY, "PeerAuthentication", &workload.namespace, &name);
    out.add(object.spec(spec).from(inbound.accepts.1));
}

const fn mode(accepts: Accepts) -> &'static str {
    match accepts {
        Accepts::Both | Accepts::Plaintext => "PERMISSIVE",
        Accepts::Meshed | Accepts::Nothing => "STRICT",
    }
}
