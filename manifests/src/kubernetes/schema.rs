//! Objects of Kubernetes' own kinds: checked whole against the API's types, then read in part into types that keep places.

use std::collections::BTreeMap;

use k8s_openapi::api::{apps, core, discovery, networking};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::diagnostics::Diagnostics;
use crate::load::Object;
use crate::text::{self, Present, Spanned};

/// Labels or annotations: keys and values with their places.
pub type Labels = BTreeMap<Spanned<String>, Spanned<String>>;

/// Checks an object of Kubernetes' own kinds against its API type; objects of other kinds pass.
///
/// Types of release 1.34: unknown keys and wrong types are errors. What a cluster would refuse beyond that is checked where it is read.
pub(super) fn check(object: &Object, problems: &mut Diagnostics) {
    let check = match (object.key.group.as_str(), object.key.kind.as_str()) {
        ("", "Namespace") => conforms::<core::v1::Namespace>,
        ("", "Pod") => conforms::<core::v1::Pod>,
        ("", "Service") => conforms::<core::v1::Service>,
        ("", "ConfigMap") => conforms::<core::v1::ConfigMap>,
        ("", "ServiceAccount") => conforms::<core::v1::ServiceAccount>,
        ("apps", "Deployment") => conforms::<apps::v1::Deployment>,
        ("apps", "StatefulSet") => conforms::<apps::v1::StatefulSet>,
        ("apps", "DaemonSet") => conforms::<apps::v1::DaemonSet>,
        ("apps", "ReplicaSet") => conforms::<apps::v1::ReplicaSet>,
        ("discovery.k8s.io", "EndpointSlice") => conforms::<discovery::v1::EndpointSlice>,
        ("networking.k8s.io", "Ingress") => conforms::<networking::v1::Ingress>,
        ("networking.k8s.io", "IngressClass") => conforms::<networking::v1::IngressClass>,
        ("networking.k8s.io", "NetworkPolicy") => conforms::<networking::v1::NetworkPolicy>,
        _ => return,
    };
    check(object, problems);
}

fn conforms<T: DeserializeOwned>(object: &Object, problems: &mut Diagnostics) {
    let _: Option<T> = text::read(&object.node, problems);
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Meta {
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Bare {
    pub(super) metadata: Meta,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Controller {
    pub(super) spec: ControllerSpec,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ControllerSpec {
    pub(super) replicas: Option<Spanned<u32>>,
    pub(super) selector: Option<Spanned<Selector>>,
    pub(super) template: Pod,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Selector {
    pub(super) match_labels: Labels,
    pub(super) match_expressions: Vec<Requirement>,
}

#[derive(Deserialize)]
pub(super) struct Requirement {
    pub(super) key: String,
    pub(super) operator: Spanned<String>,
    #[serde(default)]
    pub(super) values: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) metadata: Meta,
    pub(super) spec: PodSpec,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub(super) containers: Vec<Container>,
    pub(super) init_containers: Vec<Container>,
    pub(super) host_network: Option<Spanned<bool>>,
    pub(super) service_account: Option<String>,
    pub(super) service_account_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: Option<String>,
    #[serde(default)]
    pub(super) ports: Vec<ContainerPort>,
    pub(super) restart_policy: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerPort {
    pub(super) container_port: Spanned<u16>,
    pub(super) name: Option<String>,
    pub(super) protocol: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Service {
    pub(super) metadata: Meta,
    pub(super) spec: ServiceSpec,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ServiceSpec {
    pub(super) r#type: Option<Spanned<String>>,
    #[serde(rename = "clusterIP")]
    pub(super) cluster_ip: Option<Spanned<String>>,
    pub(super) external_name: Option<Spanned<String>>,
    pub(super) selector: Option<Spanned<Labels>>,
    pub(super) ports: Vec<Spanned<ServicePort>>,
    pub(super) internal_traffic_policy: Option<Spanned<String>>,
    pub(super) traffic_distribution: Option<Spanned<String>>,
    pub(super) session_affinity: Option<Spanned<String>>,
    pub(super) publish_not_ready_addresses: Option<Spanned<bool>>,
    #[serde(rename = "externalIPs")]
    pub(super) external_ips: Option<Present>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServicePort {
    pub(super) port: Spanned<u16>,
    pub(super) name: Option<Spanned<String>>,
    pub(super) target_port: Option<Spanned<PortRef>>,
    pub(super) app_protocol: Option<Spanned<String>>,
    pub(super) protocol: Option<Spanned<String>>,
}

/// A port by number or by name.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(from = "PortScalar")]
pub enum PortRef {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

/// A port as any scalar says it; numbers in quotes are names that no port may have.
struct PortScalar(PortRef);

impl From<PortScalar> for PortRef {
    fn from(scalar: PortScalar) -> Self {
        scalar.0
    }
}

impl<'de> Deserialize<'de> for PortScalar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = PortScalar;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a port number from 1 to 65535, or a port's name")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<PortScalar, E> {
                match u16::try_from(number) {
                    Ok(number) if number > 0 => Ok(PortScalar(PortRef::Number(number))),
                    Ok(_) | Err(_) => Err(E::invalid_value(
                        serde::de::Unexpected::Unsigned(number),
                        &self,
                    )),
                }
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<PortScalar, E> {
                if name.is_empty() {
                    return Err(E::invalid_value(serde::de::Unexpected::Str(name), &self));
                }
                Ok(PortScalar(PortRef::Name(name.to_owned())))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct EndpointSlice {
    pub(super) metadata: Meta,
    pub(super) endpoints: Vec<SliceEndpoint>,
    pub(super) ports: Vec<SlicePort>,
    pub(super) address_type: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SliceEndpoint {
    pub(super) addresses: Vec<Spanned<String>>,
    pub(super) conditions: Conditions,
    pub(super) zone: Option<String>,
    pub(super) node_name: Option<String>,
    pub(super) target_ref: Option<TargetRef>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct TargetRef {
    pub(super) kind: String,
    pub(super) name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Conditions {
    pub(super) ready: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct SlicePort {
    pub(super) name: Option<String>,
    pub(super) port: Option<u16>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Ingress {
    pub(super) metadata: Meta,
    pub(super) spec: IngressSpec,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct IngressSpec {
    pub(super) ingress_class_name: Option<Spanned<String>>,
    pub(super) default_backend: Option<Spanned<Backend>>,
    pub(super) rules: Vec<Spanned<Rule>>,
    pub(super) tls: Vec<Spanned<IngressTls>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Rule {
    pub(super) host: Option<Spanned<String>>,
    pub(super) http: Option<RuleHttp>,
}

#[derive(Deserialize)]
pub(super) struct RuleHttp {
    pub(super) paths: Vec<Spanned<IngressPath>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IngressPath {
    pub(super) path: Option<Spanned<String>>,
    pub(super) path_type: Spanned<PathType>,
    pub(super) backend: Spanned<Backend>,
}

/// How an Ingress path is compared.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathType {
    /// The whole path.
    Exact,
    /// Whole segments from the start.
    Prefix,
    /// As the controller likes.
    ImplementationSpecific,
}

#[derive(Deserialize)]
pub(super) struct Backend {
    pub(super) service: Option<BackendService>,
    pub(super) resource: Option<Present>,
}

#[derive(Deserialize)]
pub(super) struct BackendService {
    pub(super) name: Spanned<String>,
    pub(super) port: Option<Spanned<BackendPort>>,
}

#[derive(Deserialize)]
pub(super) struct BackendPort {
    pub(super) name: Option<Spanned<String>>,
    pub(super) number: Option<Spanned<u16>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct IngressTls {
    pub(super) hosts: Vec<Spanned<String>>,
    pub(super) secret_name: Option<Spanned<String>>,
}
