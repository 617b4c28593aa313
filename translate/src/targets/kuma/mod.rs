//! Kuma: a Mesh, policies by kind of setting, and MeshHTTPRoutes.

mod conf;
mod policies;
mod routes;

use std::collections::BTreeSet;

use compare::Area;
use manifests::model::WorkloadId;

use super::gateway_api::write_gateways;
use super::{Gateways, Injection, Mark, Target};
use crate::intent::{Accepts, Intent, Mesh};
use crate::loss::{Loss, Reach};
use crate::object::{Object, Written};
use crate::yaml::Map;

/// Of every kind.
const V1: &str = "kuma.io/v1alpha1";
/// Where the control plane runs, and policies that hold for everybody stand.
const SYSTEM: &str = "kuma-system";

/// Kuma, whose own gateways are not written: what stands before a mesh stays there.
pub(super) static TARGET: Target = Target {
    name: "kuma",
    title: "Kuma 2.14",
    dialect: "kuma",
    release: "2.14",
    injection: Some(Injection::Marked {
        namespace: Mark::Label("kuma.io/sidecar-injection", "enabled"),
        out: Mark::Label("kuma.io/sidecar-injection", "disabled"),
    }),
    gateways: Gateways::None,
    unsaid: &[
        (
            Area::Balance,
            "Kuma balances with Envoy's round robin, least request, random and hashes",
        ),
        (
            Area::Ejection,
            "Kuma takes endpoints out as Envoy does, by the detectors that are listed",
        ),
        (
            Area::Health,
            "Kuma checks endpoints by requests and by connecting",
        ),
        (
            Area::Limit,
            "Kuma bounds what is under way by Service, and rates at the server",
        ),
        (
            Area::Pool,
            "connections between Kuma's proxies are HTTP/2, whatever their ports speak",
        ),
        (
            Area::Fault,
            "failures of Kuma are the server's, for all of its requests",
        ),
        (Area::Cors, "Kuma does not speak for pages of other origins"),
        (Area::Session, "Kuma holds clients to pods by hashes alone"),
        (
            Area::Retry,
            "retries of Kuma are Envoy's, for ports that speak HTTP/1.1 or gRPC",
        ),
        (
            Area::Answer,
            "what no rule takes reaches the Service; Kuma answers by itself with redirects alone",
        ),
        (
            Area::Tls,
            "mutual TLS of Kuma is the mesh's, with identities of its own",
        ),
        (Area::Reading, "what is done to heads is Envoy's own"),
        (
            Area::Upgrade,
            "Kuma lets no connection become anything else",
        ),
        (
            Area::Timeout,
            "what arrives has Kuma's own timeouts: two hours of silence of a connection, one of a stream",
        ),
        (
            Area::Connection,
            "ports carry what they declare: Kuma detects nothing",
        ),
        (
            Area::Headers,
            "Kuma sets, adds and removes headers for all destinations of a rule alike, and tells upstreams nothing of tries",
        ),
        (
            Area::Rewrite,
            "Kuma puts new paths in the place of whole segments",
        ),
    ],
    write,
};

fn write(intent: &Intent<'_>, out: &mut Written) {
    let gateways: Vec<_> = intent.to_write().collect();
    write_gateways(intent, &gateways, out);
    let Some(mesh) = &intent.mesh else {
        return;
    };
    the_mesh(intent, mesh, out);
    policies::write(intent, mesh, out);
    delegated(intent, out);
}

/// The Mesh with its authority, and who departs from what it says of plaintext.
fn the_mesh(intent: &Intent<'_>, mesh: &Mesh<'_>, out: &mut Written) {
    let services = Map::new().with("mode", "Exclusive");
    let mut spec = Map::new().with("meshServices", services);
    let encrypted = |accepts: Accepts| matches!(accepts, Accepts::Both | Accepts::Meshed);
    let any = mesh.workloads.iter().any(|it| encrypted(it.accepts.0));
    let mut object = Object::new(V1, "Mesh", "", "default");
    if any {
        let strict = mesh.workloads.iter();
        let strict = strict.filter(|it| it.accepts.0 == Accepts::Meshed).count();
        let is_strict = strict * 2 > mesh.workloads.len();
        let mode = if is_strict { "STRICT" } else { "PERMISSIVE" };
        let backend = Map::new()
            .with("name", "ca-1")
            .with("type", "builtin")
            .with("mode", mode);
        let mtls = Map::new()
            .with("enabledBackend", "ca-1")
            .with("backends", vec![backend]);
        spec.set("mtls", mtls);
        for inbound in &mesh.workloads {
            object.comes_from(inbound.accepts.1);
        }
        own_modes(intent, mesh, is_strict, out);
        permission(out);
    }
    out.add(object.spec(spec));
}

/// MeshTLS of workloads whose mode is not the mesh's.
fn own_modes(intent: &Intent<'_>, mesh: &Mesh<'_>, is_strict: bool, out: &mut Written) {
    for inbound in &mesh.workloads {
        let workload = &intent.source.model.workloads()[inbound.workload.index()];
        let own = inbound.accepts.0;
        if own == Accepts::Plaintext {
            let loss = Loss::new(
                Reach::Workload(inbound.workload),
                Area::Connection,
                inbound.accepts.1,
                "connections are taken in plaintext alone",
                "mutual TLS is the mesh's: every proxy has an identity",
            );
            out.lose(
                loss.also(Area::Tls)
                    .nearest("plaintext and mutual TLS are taken"),
            );
        }
        let mut labels = Map::new();
        for (key, value) in &workload.labels {
            labels.set(key, &**value);
        }
        let target = Map::new().with("kind", "Dataplane").with("labels", labels);
        let mut add = |section: Option<String>, strict: bool| {
            let mode = if strict { "Strict" } else { "Permissive" };
            let rule = Map::new().with("default", Map::new().with("mode", mode));
            let wanted = match &section {
                Some(port) => format!("{}-{port}", workload.name),
                None => workload.name.to_string(),
            };
            let target = target.clone().maybe("sectionName", section);
            let spec = Map::new()
                .with("targetRef", target)
                .with("rules", vec![rule]);
            let name = out.free_name("MeshTLS", SYSTEM, &wanted);
            let object = Object::new(V1, "MeshTLS", SYSTEM, &name);
            out.add(object.spec(spec).from(inbound.accepts.1));
        };
        let strict = own == Accepts::Meshed;
        if strict != is_strict {
            add(None, strict);
        }
        for (port, accepts, _) in &inbound.ports {
            let of_port = *accepts == Accepts::Meshed;
            if of_port != strict {
                add(Some(port.to_string()), of_port);
            }
        }
    }
}

/// With mutual TLS and without a permission nobody may call anybody.
fn permission(out: &mut Written) {
    let rule = Map::new()
        .with("targetRef", Map::new().with("kind", "Mesh"))
        .with("default", Map::new().with("action", "Allow"));
    let spec = Map::new().with("from", vec![rule]);
    let name = out.free_name("MeshTrafficPermission", SYSTEM, "allow-all");
    out.add(Object::new(V1, "MeshTrafficPermission", SYSTEM, &name).spec(spec));
}

/// Gateways that stay and have a sidecar are told to Kuma, so that it leaves alone what clients send to them.
fn delegated(intent: &Intent<'_>, out: &mut Written) {
    let mut seen: BTreeSet<WorkloadId> = BTreeSet::new();
    for gateway in intent.gateways.iter().filter(|it| it.stays) {
        let Some(id) = gateway.facts.workload.filter(|id| seen.insert(*id)) else {
            continue;
        };
        let workload = &intent.source.model.workloads()[id.index()];
        if workload.sidecar.is_none() {
            continue;
        }
        let kinds = [
            "Deployment",
            "StatefulSet",
            "DaemonSet",
            "ReplicaSet",
            "Pod",
        ];
        let kind = kinds.into_iter().find(|kind| {
            out.find(kind, &workload.namespace, &workload.name)
                .is_some()
        });
        match kind.and_then(|kind| out.find(kind, &workload.namespace, &workload.name)) {
            Some(object) => object.annotate_pods("kuma.io/gateway", "enabled"),
            None => out.note(format!(
                "pods of the gateway {} need the annotation `kuma.io/gateway: enabled`",
                gateway.facts.name
            )),
        }
    }
}
