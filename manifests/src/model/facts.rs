//! Services, workloads and gateways as every dialect sees them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use super::{Place, ServiceId, WorkloadId};
use crate::text::Span;

/// Labels or annotations.
pub type Labels = BTreeMap<Name, Name>;

/// Whether `labels` has all of `wanted`; an empty `wanted` takes all.
#[must_use]
pub fn selects(wanted: &Labels, labels: &Labels) -> bool {
    wanted
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

/// A Kubernetes Service, or one that the scenario implies.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its place in the list.
    pub id: ServiceId,
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// How it is reached.
    pub kind: ServiceKind,
    /// Its ports, in the order written.
    pub ports: Vec<ServicePort>,
    /// Labels of the pods behind it; empty for none.
    pub selector: Labels,
    /// Its own labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// The workloads that `selector` takes, by id.
    pub workloads: Vec<WorkloadId>,
    /// Its endpoints as EndpointSlices have them.
    pub listed: Vec<Listed>,
    /// Where it is written.
    pub span: Span,
    /// The same as an origin.
    pub origin: OriginId,
}

/// An endpoint that an EndpointSlice names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its address.
    pub ip: IpAddr,
    /// Numbers by the name of the Service's port; empty for one without a name.
    pub ports: Vec<(Name, u16)>,
    /// Whether it takes traffic.
    pub ready: bool,
    /// The pod, if it is one.
    pub pod: Option<Name>,
    /// Its node and, where a Node object has them, its region and zone.
    pub place: Place,
    /// The workload whose pod it is, as far as known.
    pub workload: Option<WorkloadId>,
}

/// How a Service is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServiceKind {
    /// By an address of its own, behind which kube-proxy picks a pod for each connection.
    ClusterIp(IpAddr),
    /// By the addresses of its pods (`clusterIP: None`).
    Headless,
    /// By another name (`ExternalName`).
    ExternalName(Name),
}

/// A port of a Service.
#[derive(Clone, Debug)]
pub struct ServicePort {
    /// The Service's port.
    pub number: u16,
    /// Its name.
    pub name: Option<Name>,
    /// `appProtocol`.
    pub app_protocol: Option<Name>,
    /// What is dialled on a pod.
    pub target: TargetPort,
    /// Not TCP: carries no traffic here.
    pub udp: bool,
    /// Where it is written.
    pub span: Span,
}

/// What is dialled on a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TargetPort {
    /// This port.
    Number(u16),
    /// The container port of this name; pods without one are no endpoints of the port.
    Named(Name),
}

impl Service {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// `name.namespace.svc.cluster.local`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("{}.{}.svc.cluster.local", self.name, self.namespace)
    }

    /// Its own address, if it has one.
    #[must_use]
    pub const fn cluster_ip(&self) -> Option<IpAddr> {
        match self.kind {
            ServiceKind::ClusterIp(ip) => Some(ip),
            ServiceKind::Headless | ServiceKind::ExternalName(_) => None,
        }
    }

    /// The TCP port of this number.
    #[must_use]
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports
            .iter()
            .find(|port| port.number == number && !port.udp)
    }

    /// The port of this number that carries datagrams.
    #[must_use]
    pub fn datagram_port(&self, number: u16) -> Option<&ServicePort> {
        self.ports
            .iter()
            .find(|port| port.number == number && port.udp)
    }

    /// The TCP port of this name.
    #[must_use]
    pub fn port_named(&self, name: &str) -> Option<&ServicePort> {
        self.ports
            .iter()
            .find(|port| port.name.as_deref() == Some(name) && !port.udp)
    }
}

/// What runs replicas.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its place in the list.
    pub id: WorkloadId,
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: WorkloadKind,
    /// Replicas that the manifest asks for; 1 where it does not say.
    pub replicas: u32,
    /// Labels of its pods.
    pub labels: Labels,
    /// Annotations of its pods.
    pub annotations: Labels,
    /// Service account of its pods.
    pub service_account: Name,
    /// Named and numbered container ports.
    pub ports: Vec<ContainerPort>,
    /// Uses the node's network.
    pub host_network: bool,
    /// The sidecar of its pods, once that is decided.
    pub sidecar: Option<SidecarFacts>,
    /// Where it is written; [`Span::NOWHERE`] for one that only the scenario has.
    pub span: Span,
    /// The same as an origin.
    pub origin: OriginId,
}

/// What a workload is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum WorkloadKind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
    /// A ReplicaSet that no Deployment owns.
    ReplicaSet,
    /// A Job or CronJob.
    Job,
    /// A pod on its own.
    Pod,
    /// Written in the scenario only.
    Scenario,
    /// The pods of a gateway whose manifests are not there.
    Gateway,
}

/// A container port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContainerPort {
    /// Its name.
    pub name: Option<Name>,
    /// Its number.
    pub number: u16,
}

impl Workload {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The port of its pods that `target` names.
    #[must_use]
    pub fn target_port(&self, target: &TargetPort) -> Option<u16> {
        match target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Named(name) => {
                let port = self
                    .ports
                    .iter()
                    .find(|port| port.name.as_ref() == Some(name))?;
                Some(port.number)
            }
        }
    }
}

/// That pods have a sidecar, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SidecarFacts {
    /// In words, for the report: `namespace default has istio-injection: enabled`.
    pub why: String,
    /// The rule that decided.
    pub origin: OriginId,
    /// The mesh identity it presents, for example `spiffe://cluster.local/ns/default/sa/default`.
    pub identity: Name,
}

/// A gateway.
#[derive(Clone, Debug)]
pub struct GatewayFacts {
    /// `namespace/name`, unique: of the object that brings it (Gateway, Ingress class, Deployment).
    pub name: Name,
    /// The dialect that serves it.
    pub dialect: &'static str,
    /// Namespace of its pods.
    pub namespace: Name,
    /// Labels of its pods.
    pub labels: Labels,
    /// Service account of its pods.
    pub service_account: Name,
    /// Its pods' workload in the manifests, if they are there; the model makes one otherwise.
    pub workload: Option<WorkloadId>,
    /// Its pods; `None`: as many as `workload` has, else 1.
    pub replicas: Option<u32>,
    /// Where clients dial it. Port numbers of the listeners of its section.
    pub listens: Vec<Listen>,
    /// Identity it presents where it is itself part of the mesh; such a gateway has no sidecar.
    pub identity: Option<Name>,
    /// Host names it serves, for `init` and `trace`; `*` for any.
    pub hosts: Vec<Name>,
    /// The rule that brings it.
    pub origin: OriginId,
}

/// A port that clients dial.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    /// What clients dial (the port of the gateway's Service).
    pub port: u16,
    /// What its proxy listens on: the port of a `Socket` listener in its section.
    pub bound: u16,
    /// Whether clients speak TLS.
    pub tls: bool,
}

/// What a scenario says of one gateway; everything else is the dialect's to decide.
#[derive(Clone, Debug, Default)]
pub struct GatewayOverride {
    /// `namespace/name` of the object that brings it: an Ingress, a Gateway, a Deployment.
    pub target: Name,
    /// Which dialect serves it.
    pub kind: Option<Name>,
    /// Namespace of its pods.
    pub namespace: Option<Name>,
    /// Labels of its pods.
    pub labels: Labels,
    /// Its pods.
    pub replicas: Option<u32>,
}

/// What a scenario says of sidecars, for where no Namespace or Pod object decides.
#[derive(Clone, Debug, Default)]
pub struct SidecarRules {
    /// Namespaces, or workloads as `namespace/name`, with one.
    pub inject: Vec<Name>,
    /// Namespaces, or workloads as `namespace/name`, without.
    pub skip: Vec<Name>,
}

/// Where an address leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceAddress {
    /// The Service.
    pub service: ServiceId,
    /// Its port.
    pub port: u16,
    /// The address.
    pub address: SocketAddr,
}
