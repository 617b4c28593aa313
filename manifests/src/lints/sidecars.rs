//! Sidecars that do nothing, and meshes that are hardly worth theirs.

use super::Lint;
use super::view::{Role, View};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::kubernetes::{self, WorkloadKind};
use crate::model::Workload;
use crate::text::{Node, Span, Value};

/// A proxy beside an application that no traffic is led to.
pub(super) static NO_INTERCEPTION: Lint = Lint::warning(
    "sidecar::no-interception",
    "A sidecar container without interception",
    "A proxy in a pod sees the pod's traffic only where something leads it there: rules of the pod's network that an init container or a CNI \
     plugin writes, or an application that dials the proxy. A container alone does nothing, whatever its ports are called.",
    "let the mesh inject the sidecar, add its init container, or let the application dial the proxy on 127.0.0.1",
);
/// A mesh of a few.
pub(super) static FEW: Lint = Lint::advice(
    "mesh::few-services",
    "A mesh for a handful of services",
    "Each pod runs a proxy and each call passes two of them, and somebody has to keep the mesh itself running. For a few services the same \
     timeouts, retries and certificates are often had with less: in a gateway, or in the clients.",
    "count what the mesh does here that nothing else does, and decide",
);
/// A gateway that stands outside.
pub(super) static OUTSIDE: Lint = Lint::advice(
    "mesh::outside",
    "A gateway outside the mesh that it leads into",
    "Its requests come in plaintext and without an identity: policies that go by who calls see nobody, and a port that takes mutual TLS \
     alone refuses them.",
    "give the gateway's pods a sidecar, or use the gateway of the mesh",
);

/// Fewer services than these are a handful.
const HANDFUL: usize = 4;

/// What images of proxies that stand beside applications are called, without registry and tag.
const PROXIES: &[&str] = &[
    "consul-dataplane",
    "envoy",
    "envoy-alpine",
    "envoy-distroless",
    "kuma-dp",
    "linkerd-proxy",
    "proxyv2",
];

pub(super) fn check(view: &View<'_>, out: &mut Diagnostics) {
    for workload in view.model.world().workloads() {
        out.extend(uncalled(view, workload));
    }
    few(view, out);
    outside(view, out);
}

fn uncalled(view: &View<'_>, workload: &kubernetes::Workload) -> Option<Diagnostic> {
    let sidecar = view.model.workloads().get(workload.id.index());
    let is_injected = sidecar.is_some_and(|it| it.sidecar.is_some());
    if is_injected || workload.is_gone || workload.containers.len() < 2 {
        return None;
    }
    let (proxies, others): (Vec<_>, Vec<_>) = workload.containers.iter().partition(|container| {
        let image = container.image.as_deref();
        image.is_some_and(|image| PROXIES.contains(&bare(image)))
    });
    let proxy = proxies.first().filter(|_| !others.is_empty())?;
    let pod = pod_spec(view, workload)?;
    if leads_traffic(pod) {
        return None;
    }
    let span = container_span(pod, &proxy.name).unwrap_or(workload.span);
    let message = format!(
        "nothing leads the traffic of `{}` to the container `{}`",
        workload.title(),
        proxy.name
    );
    Some(
        NO_INTERCEPTION
            .found(message)
            .label(span, "sees no request"),
    )
}

/// `registry/envoy:v1@sha256:…` is `envoy`.
fn bare(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    let image = image.rsplit('/').next().unwrap_or(image);
    image.split(':').next().unwrap_or(image)
}

fn pod_spec<'a>(view: &'a View<'_>, workload: &kubernetes::Workload) -> Option<&'a Node> {
    let (group, kind) = match workload.kind {
        WorkloadKind::Deployment => ("apps", "Deployment"),
        WorkloadKind::StatefulSet => ("apps", "StatefulSet"),
        WorkloadKind::DaemonSet => ("apps", "DaemonSet"),
        WorkloadKind::ReplicaSet => ("apps", "ReplicaSet"),
        WorkloadKind::Pod => ("", "Pod"),
        WorkloadKind::Added => return None,
    };
    let objects = view.model.world().objects();
    let object = objects.get(group, kind, &workload.namespace, &workload.name)?;
    let path = match workload.kind == WorkloadKind::Pod {
        true => "spec",
        false => "spec.template.spec",
    };
    object.node.at(path)
}

fn list<'a>(pod: &'a Node, field: &str) -> &'a [Node] {
    pod.get(field).and_then(Node::as_seq).unwrap_or_default()
}

/// Whether an init container may change the network of the pod, or a container dials the proxy itself as its variables show.
fn leads_traffic(pod: &Node) -> bool {
    let is_capable = |container: &Node| {
        let context = container.get("securityContext");
        let added = context.and_then(|it| it.at("capabilities.add"));
        let mut added = added.and_then(Node::as_seq).unwrap_or_default().iter();
        let names = ["NET_ADMIN", "CAP_NET_ADMIN", "ALL"];
        let adds = added.any(|it| it.as_str().is_some_and(|it| names.contains(&it)));
        let is_privileged = context.and_then(|it| it.get("privileged"));
        adds || is_privileged.is_some_and(|it| it.value == Value::Bool(true))
    };
    let dials = |container: &Node| {
        let mut variables = list(container, "env").iter();
        variables.any(|variable| {
            let value = variable.get("value").and_then(Node::as_str);
            value.is_some_and(|it| it.contains("127.0.0.1") || it.contains("localhost"))
        })
    };
    let mut inits = list(pod, "initContainers").iter();
    let mut all = list(pod, "containers").iter();
    inits.any(is_capable) || all.any(dials)
}

fn container_span(pod: &Node, name: &str) -> Option<Span> {
    let all = list(pod, "containers")
        .iter()
        .chain(list(pod, "initContainers"));
    let mut names = all.filter_map(|container| container.get("name"));
    let found = names.find(|it| it.as_str() == Some(name))?;
    Some(found.span)
}

fn few(view: &View<'_>, out: &mut Diagnostics) {
    let Some(mesh) = view.model.mesh() else {
        return;
    };
    let meshed = view.model.workloads().iter();
    let meshed = meshed.filter(|it| it.sidecar.is_some() && !view.is_gateway(it.id));
    let meshed: Vec<&Workload> = meshed.collect();
    if meshed.is_empty() || meshed.len() >= HANDFUL {
        return;
    }
    let services = match meshed.len() {
        1 => "one workload".to_owned(),
        count => format!("{count} workloads"),
    };
    let rules = meshed.iter().filter_map(|it| it.sidecar.as_ref());
    let rule = rules
        .map(|it| it.origin)
        .find(|rule| view.is_written(*rule));
    let span = rule.map_or(meshed[0].span, |rule| view.span(rule));
    let message = format!("{mesh} runs for {services}");
    out.push(FEW.found(message).label(span, "brings the sidecars"));
}

fn outside(view: &View<'_>, out: &mut Diagnostics) {
    for section in &view.sections {
        let Role::Gateway(id) = section.role else {
            continue;
        };
        let facts = &view.model.gateways()[id.index()];
        let has_sidecar = |pods| view.workload(pods).sidecar.is_some();
        if facts.identity.is_some() || facts.workload.is_none_or(has_sidecar) {
            continue;
        }
        let meshed = section.sendings().find_map(|sending| {
            let mut clusters = sending.forward.clusters.iter();
            clusters.find_map(|weighted| {
                let (_, upstream) = section.cluster(weighted)?;
                let (service, ..) = View::target(upstream)?;
                let service = view.service(service);
                let mut behind = service.workloads.iter();
                let is_meshed = behind.any(|id| view.workload(*id).sidecar.is_some());
                is_meshed.then_some((sending.route.origin, service))
            })
        });
        // what is worse has been told
        let Some((route, service)) = meshed.filter(|_| !view.model.reached(id).told) else {
            continue;
        };
        let message = format!(
            "gateway `{}` leads to `{}` in the mesh and has no sidecar",
            facts.name,
            service.full_name()
        );
        let span = match view.is_written(facts.origin) {
            true => view.span(facts.origin),
            false => view.span(route),
        };
        out.push(OUTSIDE.found(message).label(span, "comes from outside"));
    }
}
