//! What Kubernetes' own objects say that is understood and not modelled: each is told with what it means for the result.

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::load::Object;
use crate::text::{Node, Value};

/// What becomes of a field.
enum Fate {
    /// It is modelled, or without bearing on traffic.
    Fine,
    /// It is not modelled, which means this.
    Told(&'static str),
}
use Fate::{Fine, Told};

const PROBES: &str = "pods become ready by the scenario's `start`, whatever the probe would say";
const PLACES: &str = "pods are spread over nodes and zones by the scenario's `topology`";
const OWN_NAME: &str = "the pod has no name of its own in DNS";
const NAMES: &str = "names are resolved by the cluster's own rules";

/// Pod fields, sorted. Those that are fine because nothing of them reaches traffic: images, volumes, identities on the node, security.
const POD: &[(&str, Fate)] = &[
    (
        "activeDeadlineSeconds",
        Told("pods run until the end, or until the scenario takes them down"),
    ),
    ("affinity", Told(PLACES)),
    ("automountServiceAccountToken", Fine),
    ("containers", Fine),
    ("dnsConfig", Told(NAMES)),
    ("dnsPolicy", Fine),
    ("enableServiceLinks", Fine),
    ("ephemeralContainers", Fine),
    ("hostAliases", Told(NAMES)),
    ("hostIPC", Fine),
    ("hostNetwork", Fine),
    ("hostPID", Fine),
    ("hostUsers", Fine),
    ("hostname", Told(OWN_NAME)),
    ("hostnameOverride", Told(OWN_NAME)),
    ("imagePullSecrets", Fine),
    ("initContainers", Fine),
    ("nodeName", Told(PLACES)),
    ("nodeSelector", Told(PLACES)),
    ("os", Fine),
    ("overhead", Fine),
    ("preemptionPolicy", Fine),
    ("priority", Fine),
    ("priorityClassName", Fine),
    ("readinessGates", Told(PROBES)),
    ("resourceClaims", Fine),
    (
        "resources",
        Told("how much CPU a replica has is the scenario's `cpu`"),
    ),
    ("restartPolicy", Fine),
    ("runtimeClassName", Fine),
    ("schedulerName", Fine),
    ("schedulingGates", Told(PLACES)),
    ("securityContext", Fine),
    ("serviceAccount", Fine),
    ("serviceAccountName", Fine),
    ("setHostnameAsFQDN", Fine),
    ("shareProcessNamespace", Fine),
    ("subdomain", Told(OWN_NAME)),
    (
        "terminationGracePeriodSeconds",
        Told("how long a pod that leaves goes on working is the scenario's"),
    ),
    ("tolerations", Fine),
    ("topologySpreadConstraints", Told(PLACES)),
    ("volumes", Fine),
];

const CONTAINER: &[(&str, Fate)] = &[
    ("args", Fine),
    ("command", Fine),
    ("env", Fine),
    ("envFrom", Fine),
    ("image", Fine),
    ("imagePullPolicy", Fine),
    (
        "lifecycle",
        Told("hooks do not run; how long a pod that leaves goes on working is the scenario's"),
    ),
    (
        "livenessProbe",
        Told("a pod that does not answer is not restarted"),
    ),
    ("name", Fine),
    ("ports", Fine),
    ("readinessProbe", Told(PROBES)),
    (
        "resources",
        Told("how much CPU a replica has is the scenario's `cpu`"),
    ),
    ("resizePolicy", Fine),
    ("restartPolicy", Fine),
    ("restartPolicyRules", Fine),
    ("securityContext", Fine),
    ("startupProbe", Told(PROBES)),
    ("stdin", Fine),
    ("stdinOnce", Fine),
    ("terminationMessagePath", Fine),
    ("terminationMessagePolicy", Fine),
    ("tty", Fine),
    ("volumeDevices", Fine),
    ("volumeMounts", Fine),
    ("workingDir", Fine),
];

const SERVICE: &[(&str, Fate)] = &[
    ("allocateLoadBalancerNodePorts", Fine),
    ("clusterIP", Fine),
    ("clusterIPs", Fine),
    (
        "externalIPs",
        Told("nobody reaches the Service by these addresses"),
    ),
    ("externalName", Fine),
    (
        "externalTrafficPolicy",
        Told("requests from outside enter at gateways, which kube-proxy does not spread by node"),
    ),
    ("healthCheckNodePort", Fine),
    (
        "internalTrafficPolicy",
        Told("callers without a proxy use pods of every node"),
    ),
    ("ipFamilies", Fine),
    ("ipFamilyPolicy", Fine),
    ("loadBalancerClass", Fine),
    ("loadBalancerIP", Fine),
    ("loadBalancerSourceRanges", Told("every source may connect")),
    ("ports", Fine),
    ("publishNotReadyAddresses", Fine),
    ("selector", Fine),
    (
        "sessionAffinity",
        Told("callers without a proxy get any pod on each connection, whichever they had before"),
    ),
    ("sessionAffinityConfig", Fine),
    (
        "trafficDistribution",
        Told("callers without a proxy use pods of every zone"),
    ),
    ("type", Fine),
];

/// What the API fills in by itself when nobody says otherwise.
const DEFAULTS: &[(&str, &str)] = &[
    ("externalTrafficPolicy", "Cluster"),
    ("internalTrafficPolicy", "Cluster"),
    ("sessionAffinity", "None"),
];

/// Kinds that change traffic in a cluster and are not modelled.
const KINDS: &[(&str, &str, &str)] = &[
    (
        "autoscaling",
        "HorizontalPodAutoscaler",
        "replicas change only when the scenario scales them",
    ),
    (
        "autoscaling.k8s.io",
        "VerticalPodAutoscaler",
        "a replica's CPU is the scenario's",
    ),
    (
        "keda.sh",
        "ScaledObject",
        "replicas change only when the scenario scales them",
    ),
    (
        "networking.k8s.io",
        "NetworkPolicy",
        "connections that it forbids are allowed",
    ),
    (
        "policy",
        "PodDisruptionBudget",
        "rollouts and faults do not ask it",
    ),
];

/// Kinds of Kubernetes' own that have no bearing on traffic.
const WITHOUT_BEARING: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "ConfigMap",
            "Event",
            "LimitRange",
            "Node",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "ResourceQuota",
            "Secret",
            "ServiceAccount",
        ],
    ),
    ("apps", &["ControllerRevision"]),
    ("batch", &["CronJob", "Job"]),
    ("coordination.k8s.io", &["Lease"]),
    ("networking.k8s.io", &["IngressClass"]),
    (
        "rbac.authorization.k8s.io",
        &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"],
    ),
    ("scheduling.k8s.io", &["PriorityClass"]),
    (
        "storage.k8s.io",
        &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"],
    ),
    ("windtunnel.dev", &["Scenario"]),
];

/// Whether Kubernetes' own part of this crate has said all there is to say about a kind: it reads it, tells that it is not modelled, or knows
/// that it has no bearing on traffic. Other kinds are a dialect's, or unknown.
#[must_use]
pub fn accounts_for(group: &str, kind: &str) -> bool {
    let is_read = matches!(
        (group, kind),
        ("", "Namespace" | "Pod" | "Service" | "Endpoints")
            | (
                "apps",
                "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet"
            )
            | ("discovery.k8s.io", "EndpointSlice")
            | ("networking.k8s.io", "Ingress")
    );
    is_read
        || KINDS
            .iter()
            .any(|(its_group, its_kind, _)| *its_group == group && *its_kind == kind)
        || WITHOUT_BEARING
            .iter()
            .any(|(its_group, kinds)| *its_group == group && kinds.contains(&kind))
}

/// Tells what an object says that is not modelled.
pub(super) fn tell(object: &Object, problems: &mut Diagnostics) {
    let (group, kind) = (object.key.group.as_str(), object.key.kind.as_str());
    if let Some((_, _, meaning)) = KINDS
        .iter()
        .find(|(its_group, its_kind, _)| *its_group == group && *its_kind == kind)
    {
        problems.push(
            Diagnostic::not_modelled(
                "kubernetes::kind",
                format!("{} is not modelled", object.key),
                *meaning,
            )
            .label(object.name_span, "this object"),
        );
    }
    match (group, kind) {
        ("", "Service") => fields(object.node.get("spec"), SERVICE, problems),
        ("", "Pod") => pod(object.node.get("spec"), problems),
        ("apps", _) => pod(object.node.at("spec.template.spec"), problems),
        ("", "Endpoints") => problems.push(
            Diagnostic::not_modelled(
                "kubernetes::kind",
                format!("{} is not read", object.key),
                "endpoints come from selectors and EndpointSlices",
            )
            .label(object.name_span, "this object"),
        ),
        _ => {}
    }
}

fn pod(spec: Option<&Node>, problems: &mut Diagnostics) {
    fields(spec, POD, problems);
    for list in ["containers", "initContainers"] {
        let containers = spec
            .and_then(|spec| spec.get(list))
            .and_then(Node::as_seq)
            .unwrap_or_default();
        for container in containers {
            fields(Some(container), CONTAINER, problems);
        }
    }
}

fn fields(node: Option<&Node>, table: &[(&str, Fate)], problems: &mut Diagnostics) {
    let Some(map) = node.and_then(Node::as_map) else {
        return;
    };
    for entry in map.entries() {
        let field = entry.key.text.as_str();
        let is_default = match &entry.value.value {
            Value::Null => true,
            Value::Map(map) => map.entries().is_empty(),
            Value::Seq(items) => items.is_empty(),
            Value::String(text) => DEFAULTS.contains(&(field, text)),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => false,
        };
        if is_default {
            continue;
        }
        if let Some((_, Told(meaning))) = table.iter().find(|(name, _)| *name == field) {
            problems.push(
                Diagnostic::not_modelled("kubernetes::field", format!("`{field}`"), *meaning)
                    .label(entry.key.span, "this field"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1;
    use serde::Deserialize;

    use super::*;

    /// Learns a type's fields from the list that it hands to its deserializer.
    fn fields_of<T: for<'de> Deserialize<'de>>() -> Vec<&'static str> {
        struct Spy<'a>(&'a mut Vec<&'static str>);
        impl<'de> serde::Deserializer<'de> for Spy<'_> {
            type Error = serde::de::value::Error;
            fn deserialize_any<V: serde::de::Visitor<'de>>(
                self,
                _: V,
            ) -> Result<V::Value, Self::Error> {
                Err(serde::de::Error::custom("only structs are asked"))
            }
            fn deserialize_struct<V: serde::de::Visitor<'de>>(
                self,
                _: &'static str,
                fields: &'static [&'static str],
                visitor: V,
            ) -> Result<V::Value, Self::Error> {
                self.0.extend(fields);
                self.deserialize_any(visitor)
            }
            serde::forward_to_deserialize_any! {
                bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
                newtype_struct seq tuple tuple_struct map enum identifier ignored_any
            }
        }
        let mut fields = Vec::new();
        assert!(T::deserialize(Spy(&mut fields)).is_err());
        fields
    }

    #[test]
    fn every_field_of_the_api_has_its_fate() {
        for (name, fields, table) in [
            ("Pod", fields_of::<v1::PodSpec>(), POD),
            ("Container", fields_of::<v1::Container>(), CONTAINER),
            ("Service", fields_of::<v1::ServiceSpec>(), SERVICE),
        ] {
            for field in fields {
                assert!(
                    table.iter().any(|(known, _)| *known == field),
                    "{name}: {field}"
                );
            }
        }
    }
}
