//! Which pods have a proxy.

use proxy_core::config::Name;

use super::annotation;
use crate::dialects::Compile;
use crate::load::Objects;
use crate::model::{SidecarFacts, Workload, WorkloadId};

/// Asks for a proxy, on a namespace or on pods.
const INJECT: &str = "linkerd.io/inject";
/// Kinds with a pod template, and where it is.
const TEMPLATES: &[(&str, &str, &str)] = &[
    ("apps", "Deployment", "spec.template.metadata.annotations"),
    ("apps", "StatefulSet", "spec.template.metadata.annotations"),
    ("apps", "DaemonSet", "spec.template.metadata.annotations"),
    ("", "Pod", "metadata.annotations"),
];

/// What shows that Linkerd runs: an annotation that asks for its proxy.
pub(super) fn shows(objects: &Objects) -> Option<String> {
    let asks = |value: &str| matches!(value, "enabled" | "ingress");
    let mut namespaces = objects.of("", "Namespace");
    if let Some(object) = namespaces.find(|object| {
        object
            .annotation(INJECT)
            .is_some_and(|value| asks(value.value))
    }) {
        return Some(format!("{INJECT} on namespace {}", object.key.name));
    }
    TEMPLATES.iter().find_map(|(group, kind, path)| {
        let mut found = objects.of(group, kind);
        let object = found.find(|object| {
            let value = object
                .node
                .at(path)
                .and_then(|annotations| annotations.get(INJECT));
            value.and_then(|value| value.as_str()).is_some_and(asks)
        })?;
        Some(format!("{INJECT} on {}", object.key))
    })
}

/// The name that the proxy of a workload proves to others.
pub(super) fn identity(workload: &Workload) -> Name {
    let Workload {
        service_account,
        namespace,
        ..
    } = workload;
    format!("{service_account}.{namespace}.serviceaccount.identity.linkerd.cluster.local").into()
}

/// Whether pods have a proxy: the pods' annotation decides, then the namespace's, then the scenario. Pods on the node's network have none.
///
/// Source: linkerd/linkerd2 `pkg/inject/inject.go` (`ShouldInjectWebhook`, `reasonsForNoInject`).
pub(super) fn sidecar(id: WorkloadId, cx: &mut Compile<'_>) -> Option<SidecarFacts> {
    let workload = &cx.workloads[id.index()];
    if workload.host_network {
        return None;
    }
    let (why, origin) = match annotation(workload, INJECT, cx).as_deref() {
        Some(value @ ("enabled" | "ingress")) => match workload.annotations.get(INJECT) {
            Some(_) => (
                format!("pods of {} have {INJECT}: {value}", workload.full_name()),
                workload.origin,
            ),
            None => {
                let namespace = cx.objects.get("", "Namespace", "", &workload.namespace);
                let span = namespace
                    .and_then(|object| object.annotation(INJECT))
                    .map(|value| value.span);
                let origin = span.map_or(workload.origin, |span| cx.origins.written(span));
                (
                    format!("namespace {} has {INJECT}: {value}", workload.namespace),
                    origin,
                )
            }
        },
        Some(_) => return None,
        None => {
            let full = workload.full_name();
            let named = |list: &[Name]| {
                list.iter()
                    .any(|name| **name == *workload.namespace || **name == *full)
            };
            if !named(&cx.sidecars.inject) || cx.sidecars.skip.iter().any(|name| **name == *full) {
                return None;
            }
            let why = format!("the scenario injects {full}");
            let origin = cx.origins.assumed(&why);
            (why, origin)
        }
    };
    Some(SidecarFacts {
        why,
        origin,
        identity: identity(workload),
    })
}
