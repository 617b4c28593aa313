//! Which pods have a proxy.

use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use super::dataplane::Dataplane;
use super::policies::Policies;
use super::release::SYSTEM_NAMESPACE;
use crate::dialects::Compile;
use crate::load::Objects;
use crate::model::{SidecarFacts, WorkloadId};

/// On a namespace and on pods, as a label: whether pods get a proxy.
pub(super) const INJECTION: &str = "kuma.io/sidecar-injection";
/// Namespaces whose pods never get one.
const SYSTEM: [&str; 2] = ["kube-system", SYSTEM_NAMESPACE];
/// Kinds with a pod template, and where its labels are.
const PODS: &[(&str, &str, &str)] = &[
    ("apps", "Deployment", "spec.template.metadata.labels"),
    ("apps", "StatefulSet", "spec.template.metadata.labels"),
    ("apps", "DaemonSet", "spec.template.metadata.labels"),
    ("", "Pod", "metadata.labels"),
];

/// What shows that Kuma runs: a label that asks for its proxy, or an object of its own.
pub(super) fn shows(objects: &Objects) -> Option<String> {
    let mut namespaces = objects.of("", "Namespace");
    let labelled = namespaces.find(|object| {
        object
            .label(INJECTION)
            .is_some_and(|value| asks(value.value) == Some(true))
    });
    if let Some(object) = labelled {
        return Some(format!("{INJECTION} on namespace {}", object.key.name));
    }
    let pods = PODS.iter().find_map(|(group, kind, path)| {
        let mut found = objects.of(group, kind);
        let object = found.find(|object| {
            let labels = object.node.at(path);
            let value = labels.and_then(|labels| labels.get(INJECTION));
            value.and_then(|value| value.as_str()).and_then(asks) == Some(true)
        })?;
        Some(format!("{INJECTION} on {}", object.key))
    });
    pods.or_else(|| {
        let own = objects
            .iter()
            .find(|object| object.key.group == "kuma.io")?;
        Some(own.key.to_string())
    })
}

/// What a value asks for; none: it is none of Kuma's words.
///
/// Source: kuma 2.14 `pkg/plugins/runtime/k8s/metadata/annotations.go`, `GetBooleanWithDefault`.
pub(super) fn asks(value: &str) -> Option<bool> {
    match value {
        "enabled" | "true" | "yes" => Some(true),
        "disabled" | "false" | "no" => Some(false),
        _ => None,
    }
}

/// Whether pods have a proxy: a label of the pods decides, then that of their namespace. A namespace without the label has none, whatever
/// its pods ask for. Where no Namespace is written, the pods' label decides, then the scenario.
///
/// Source: kuma 2.14 `deployments/charts/kuma/templates/cp-webhooks-and-secrets.yaml` (which pods are looked at) and
/// `pkg/plugins/runtime/k8s/webhooks/injector/precheck.go`, `needToInject` (which of them get one).
pub(super) fn sidecar(
    policies: &Policies,
    id: WorkloadId,
    cx: &mut Compile<'_>,
) -> Option<SidecarFacts> {
    let (why, origin) = decide(id, cx)?;
    let workloads = cx.workloads;
    let proxy = Dataplane::of(&workloads[id.index()], cx);
    Some(SidecarFacts {
        why,
        origin,
        identity: policies.name_of(&proxy),
    })
}

fn decide(id: WorkloadId, cx: &mut Compile<'_>) -> Option<(String, OriginId)> {
    let workload = &cx.workloads[id.index()];
    if workload.host_network || SYSTEM.contains(&&*workload.namespace) {
        return None;
    }
    let pod = workload.labels.get(INJECTION).map(|value| asks(value));
    let namespace = cx.objects.get("", "Namespace", "", &workload.namespace);
    let label = namespace.and_then(|object| object.label(INJECTION));
    if let Some(label) = label {
        let of_namespace = asks(label.value).unwrap_or(false);
        return match pod {
            Some(Some(true)) => Some(of_pods(id, cx)),
            Some(_) => None,
            None if of_namespace => {
                let why = format!(
                    "namespace {} has {INJECTION}: {}",
                    workload.namespace, label.value
                );
                Some((why, cx.origins.written(label.span)))
            }
            None => None,
        };
    }
    if namespace.is_none() {
        match pod {
            Some(Some(true)) => return Some(of_pods(id, cx)),
            Some(_) => return None,
            None => {}
        }
    }
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
    Some((why, origin))
}

fn of_pods(id: WorkloadId, cx: &Compile<'_>) -> (String, OriginId) {
    let workload = &cx.workloads[id.index()];
    let why = format!("pods of {} have {INJECTION}: enabled", workload.full_name());
    (why, workload.origin)
}
