//! Which pods have a proxy, and whether it takes their traffic by interception.
//!
//! Source: hashicorp/consul-k8s 1.8 `control-plane/connect-inject/webhook/mesh_webhook.go` (`shouldInject`),
//! `control-plane/connect-inject/common/common.go` (`TransparentProxyEnabled`), `charts/consul/values.yaml` (`connectInject`).

use proxy_core::config::Name;
use proxy_core::origin::{OriginId, Sourced};

use crate::dialects::Compile;
use crate::load::{Object, Objects};
use crate::model::{SidecarFacts, Workload, WorkloadId};
use crate::text::Span;

use super::annotations;
use super::registry::Registry;

/// On pods: whether they have a proxy.
pub(super) const INJECT: &str = "consul.hashicorp.com/connect-inject";
/// On pods, as an annotation, or on their namespace, as a label: whether all of their traffic is intercepted.
pub(super) const TRANSPARENT: &str = "consul.hashicorp.com/transparent-proxy";
/// On pods of Consul's own gateways.
pub(super) const GATEWAY_KIND: &str = "consul.hashicorp.com/gateway-kind";
/// Namespaces whose pods never have one.
const SYSTEM: [&str; 6] = [
    "kube-system",
    "kube-public",
    "local-path-storage",
    "openebs",
    "gmp-system",
    "gke-managed-cim",
];
/// Consul's own API group.
pub(super) const GROUP: &str = "consul.hashicorp.com";
/// Who signs certificates: each installation draws a UUID in the place of `cluster`.
pub(super) const TRUST_DOMAIN: &str = "cluster.consul";
/// Kinds with a pod template, and where its annotations are.
pub(super) const TEMPLATES: &[(&str, &str, &str)] = &[
    ("apps", "Deployment", "spec.template.metadata.annotations"),
    ("apps", "StatefulSet", "spec.template.metadata.annotations"),
    ("apps", "DaemonSet", "spec.template.metadata.annotations"),
    ("", "Pod", "metadata.annotations"),
];

/// What shows that Consul's mesh runs: an annotation that asks for its proxy, or an object of its own.
pub(super) fn shows(objects: &Objects) -> Option<String> {
    let asks = |object: &Object, path: &str| {
        let value = object.node.at(path).and_then(|it| it.get(INJECT));
        value
            .and_then(annotations::text)
            .is_some_and(|value| annotations::boolean(&value) == Some(true))
    };
    let annotated = TEMPLATES.iter().find_map(|(group, kind, path)| {
        let mut found = objects.of(group, kind);
        let object = found.find(|object| asks(object, path))?;
        Some(format!("{INJECT} on {}", object.key))
    });
    annotated.or_else(|| {
        let own = objects.iter().find(|object| object.key.group == GROUP)?;
        Some(own.key.to_string())
    })
}

/// The name that the proxies of a service prove. Without Enterprise there is one namespace.
pub(super) fn identity(service: &str) -> Name {
    format!("spiffe://{TRUST_DOMAIN}/ns/default/dc/dc1/svc/{service}").into()
}

/// Whether pods have a proxy.
pub(super) fn sidecar(
    id: WorkloadId,
    registry: &Registry,
    cx: &mut Compile<'_>,
) -> Option<SidecarFacts> {
    let workload = &cx.workloads[id.index()];
    let (why, origin) = decide(workload, cx)?;
    Some(SidecarFacts {
        why,
        origin,
        identity: identity(&registry.service_of(workload)),
    })
}

/// Whether pods have a proxy, and why. The pods' annotation decides; without one the scenario does, as an installation with
/// `connectInject.default` would; without a word of anyone there is none.
pub(super) fn decide(workload: &Workload, cx: &mut Compile<'_>) -> Option<(String, OriginId)> {
    if SYSTEM.contains(&&*workload.namespace) || workload.annotations.contains_key(GATEWAY_KIND) {
        return None;
    }
    let full = workload.full_name();
    match workload.annotations.get(INJECT) {
        Some(value) => (annotations::boolean(value) == Some(true)).then(|| {
            (
                format!("pods of {full} have {INJECT}: {value}"),
                workload.origin,
            )
        }),
        None => {
            let named = |list: &[Name]| {
                list.iter()
                    .any(|name| **name == *workload.namespace || **name == *full)
            };
            let skipped = cx.sidecars.skip.iter().any(|name| **name == *full);
            if !named(&cx.sidecars.inject) || skipped {
                return None;
            }
            let why = format!("the scenario injects {full}");
            let origin = cx.origins.assumed(&why);
            Some((why, origin))
        }
    }
}

/// Whether a proxy takes all traffic of its pod: the pods' annotation, then the namespace's label, then the chart, which says yes.
pub(super) fn is_transparent(
    workload: &Workload,
    default: OriginId,
    cx: &mut Compile<'_>,
) -> Sourced<bool> {
    let own = workload.annotations.get(TRANSPARENT);
    if let Some(own) = own.and_then(|value| annotations::boolean(value)) {
        return Sourced::new(own, workload.origin);
    }
    let namespace = cx.objects.get("", "Namespace", "", &workload.namespace);
    let label = namespace.and_then(|object| object.label(TRANSPARENT));
    match label.and_then(|label| Some((annotations::boolean(label.value)?, label.span))) {
        Some((value, span)) => Sourced::new(value, cx.origins.written(span)),
        None => Sourced::new(true, default),
    }
}

/// Where an annotation of a workload's pods is written, if the object is there.
pub(super) fn place(workload: &Workload, key: &str, objects: &Objects) -> Span {
    let found = TEMPLATES.iter().find_map(|(group, kind, path)| {
        let object = objects.get(group, kind, &workload.namespace, &workload.name)?;
        let annotations = object.node.at(path)?.as_map()?;
        Some(annotations.entry(key)?.value.span)
    });
    found.unwrap_or(workload.span)
}
