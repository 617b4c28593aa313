//! Which pods have a sidecar.

use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::load::Objects;
use crate::model::{SidecarFacts, Workload, WorkloadId};

/// On a namespace: whether its pods get a sidecar.
const NAMESPACE_LABEL: &str = "istio-injection";
/// On a namespace or on pods: which revision of Istio injects.
const REVISION: &str = "istio.io/rev";
/// On pods, as a label; as an annotation in the older API.
const POD_LABEL: &str = "sidecar.istio.io/inject";
/// On pods: which template is injected.
const TEMPLATES: &str = "inject.istio.io/templates";
/// On a namespace or on pods: `ambient` has no sidecars.
const DATAPLANE: &str = "istio.io/dataplane-mode";
/// The installed revision: an install has this one unless it asks for another.
const INSTALLED: &str = "default";
/// Namespaces whose pods never get one.
const SYSTEM: [&str; 4] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "local-path-storage",
];
/// Istio's own API groups.
const GROUPS: [&str; 5] = [
    "networking.istio.io",
    "security.istio.io",
    "telemetry.istio.io",
    "extensions.istio.io",
    "install.istio.io",
];
/// Kinds with a pod template, and where its labels are.
const PODS: &[(&str, &str, &str)] = &[
    ("apps", "Deployment", "spec.template.metadata.labels"),
    ("apps", "StatefulSet", "spec.template.metadata.labels"),
    ("apps", "DaemonSet", "spec.template.metadata.labels"),
    ("", "Pod", "metadata.labels"),
];

/// Whether objects of this API group are Istio's own.
pub(super) fn is_own(group: &str) -> bool {
    GROUPS.contains(&group)
}

/// What shows that Istio runs: a label that asks for its sidecar, or an object of its own.
pub(super) fn shows(objects: &Objects) -> Option<String> {
    let mut namespaces = objects.of("", "Namespace");
    let labelled = namespaces.find_map(|object| {
        let enabled = object
            .label(NAMESPACE_LABEL)
            .is_some_and(|value| value.value == "enabled");
        let label = if enabled {
            NAMESPACE_LABEL
        } else {
            object.label(REVISION).map(|_| REVISION)?
        };
        Some(format!("{label} on namespace {}", object.key.name))
    });
    labelled
        .or_else(|| {
            PODS.iter().find_map(|(group, kind, path)| {
                let mut found = objects.of(group, kind);
                let object = found.find(|object| {
                    let labels = object.node.at(path);
                    let value = labels.and_then(|labels| labels.get(POD_LABEL));
                    value.and_then(|value| value.as_str()) == Some("true")
                })?;
                Some(format!("{POD_LABEL} on {}", object.key))
            })
        })
        .or_else(|| {
            let own = objects.iter().find(|object| is_own(&object.key.group))?;
            Some(own.key.to_string())
        })
}

/// The name that the proxy of a workload proves to others.
pub(super) fn identity(workload: &Workload) -> Name {
    let Workload {
        service_account,
        namespace,
        ..
    } = workload;
    format!("spiffe://cluster.local/ns/{namespace}/sa/{service_account}").into()
}

/// Whether pods have a sidecar. Where neither labels of the pods nor a label of their namespace decide, the scenario does; without a word
/// of anyone there is none.
///
/// Source: istio 1.29 `manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml` (which pods are looked at) and
/// `pkg/kube/inject/inject.go`, `injectRequired` (which of them get one).
pub(super) fn sidecar(id: WorkloadId, cx: &mut Compile<'_>) -> Option<SidecarFacts> {
    let workload = &cx.workloads[id.index()];
    let (why, origin) = decide(workload, cx)?;
    Some(SidecarFacts {
        why,
        origin,
        identity: identity(workload),
    })
}

fn decide(workload: &Workload, cx: &mut Compile<'_>) -> Option<(String, OriginId)> {
    if workload.host_network || SYSTEM.contains(&&*workload.namespace) {
        return None;
    }
    let pod = workload.labels.get(POD_LABEL).map(|value| &**value);
    let annotation = workload.annotations.get(POD_LABEL).map(|value| &**value);
    // the label counts where both are written
    if pod.or(annotation) == Some("false") {
        return None;
    }
    if workload
        .annotations
        .get(TEMPLATES)
        .is_some_and(|templates| &**templates == "gateway")
    {
        return None;
    }
    let pod_revision = workload.labels.get(REVISION).map(|value| &**value);
    let own = |what: String, workload: &Workload| {
        Some((
            format!("pods of {} have {what}", workload.full_name()),
            workload.origin,
        ))
    };
    let objects = cx.objects;
    let namespace = objects.get("", "Namespace", "", &workload.namespace);
    let injection = namespace.and_then(|object| object.label(NAMESPACE_LABEL));
    let revision = namespace.and_then(|object| object.label(REVISION));
    match (injection, revision) {
        (Some(label), _) if label.value == "enabled" => {
            let why = format!(
                "namespace {} has {NAMESPACE_LABEL}: enabled",
                workload.namespace
            );
            Some((why, cx.origins.written(label.span)))
        }
        (Some(_), _) => None,
        (None, Some(label)) if label.value == INSTALLED => {
            let why = format!(
                "namespace {} has {REVISION}: {INSTALLED}",
                workload.namespace
            );
            Some((why, cx.origins.written(label.span)))
        }
        (None, Some(_)) => None,
        (None, None) if pod_revision == Some(INSTALLED) => {
            own(format!("{REVISION}: {INSTALLED}"), workload)
        }
        (None, None) if pod_revision.is_none() && pod == Some("true") => {
            own(format!("{POD_LABEL}: true"), workload)
        }
        // a revision that is not installed injects nothing
        (None, None) if pod_revision.is_some() => None,
        (None, None) => by_scenario(workload, cx),
    }
}

fn by_scenario(workload: &Workload, cx: &mut Compile<'_>) -> Option<(String, OriginId)> {
    let full = workload.full_name();
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

/// Warns of labels that look as if they asked for a sidecar and do not, and reports ambient mode.
pub(super) fn check(cx: &mut Compile<'_>) {
    let objects = cx.objects;
    for object in objects.of("", "Namespace") {
        if let Some(value) = object.annotation(NAMESPACE_LABEL) {
            no_effect(
                value.span,
                "an annotation",
                "write it as a label of the namespace",
                cx,
            );
        }
        if let Some(value) = object.label(NAMESPACE_LABEL)
            && !matches!(value.value, "enabled" | "disabled")
        {
            no_effect(
                value.span,
                &format!("`{value}`"),
                "write `enabled` or `disabled`",
                cx,
            );
        }
        if let Some(value) = object.label(REVISION)
            && value.value != INSTALLED
            && object.label(NAMESPACE_LABEL).is_none()
        {
            let meaning = format!(
                "its pods have no sidecar: the revision that is installed is `{INSTALLED}`"
            );
            cx.diagnostics.push(
                Diagnostic::assumed(
                    "istio::revision",
                    format!(
                        "namespace {} asks for the revision `{value}`",
                        object.key.name
                    ),
                    meaning,
                )
                .label(value.span, ""),
            );
        }
        if let Some(value) = object.label(DATAPLANE)
            && value.value == "ambient"
        {
            super::notes::left_out(
                value.span,
                "ambient mode",
                "its pods have neither a sidecar nor a proxy of the node",
                cx.diagnostics,
            );
        }
    }
    for workload in cx.workloads {
        let annotation = workload.annotations.get(POD_LABEL);
        if annotation.is_some_and(|value| &**value == "true")
            && !workload.labels.contains_key(POD_LABEL)
        {
            let full = workload.full_name();
            cx.diagnostics.push(
                Diagnostic::warning(
                    "istio::injection",
                    format!("{POD_LABEL}: \"true\" is an annotation of the pods of {full}, which asks for nothing"),
                )
                .label(workload.span, "this workload")
                .help("write it as a label of the pods"),
            );
        }
    }
}

fn no_effect(span: crate::text::Span, what: &str, help: &str, cx: &mut Compile<'_>) {
    cx.diagnostics.push(
        Diagnostic::warning(
            "istio::injection",
            format!("{NAMESPACE_LABEL} as {what} asks for nothing"),
        )
        .label(span, "has no effect")
        .help(help),
    );
}
