//! Workloads: what runs pods.

use std::net::IpAddr;

use proxy_core::config::Name;
use proxy_core::origin::{OriginId, Sourced};

use super::address::PodBlock;
use super::schema::{self, Labels, Requirement};
use super::{ServiceId, read_checked};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::load::Object;
use crate::origins::Origins;
use crate::text::{Span, Spanned};

/// Names a workload of one [`World`](super::World): dense, and the same in worlds that follow each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WorkloadId(pub u32);

impl WorkloadId {
    /// For tables by workload.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a workload is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum WorkloadKind {
    /// apps/v1.
    Deployment,
    /// apps/v1; its pods have names that last.
    StatefulSet,
    /// apps/v1; a pod on each node.
    DaemonSet,
    /// apps/v1, on its own.
    ReplicaSet,
    /// A Pod on its own.
    Pod,
    /// No manifest has it; a scenario or a gateway brought it.
    Added,
}

/// What runs pods: all of one template.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its id.
    pub id: WorkloadId,
    /// The namespace.
    pub namespace: Name,
    /// The name.
    pub name: Name,
    /// What it is.
    pub kind: WorkloadKind,
    /// Pods at the start.
    pub replicas: Sourced<u32>,
    /// Labels of its pods.
    pub labels: Labels,
    /// Annotations of its pods.
    pub annotations: Labels,
    /// The service account of its pods.
    pub service_account: Name,
    /// Where it says `hostNetwork: true`.
    pub host_network: Option<Span>,
    /// Its containers; init containers that stay (native sidecars) among them.
    pub containers: Vec<Container>,
    /// The Services that select its pods.
    pub services: Vec<ServiceId>,
    /// Addresses of its pods.
    pub addresses: PodBlock,
    /// The text of its name; [`Span::NOWHERE`] when no manifest has it.
    pub span: Span,
    /// An earlier world had it and this one does not; it has no pods and no Services.
    pub is_gone: bool,
}

/// A container of a pod.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: Option<String>,
    /// Ports that it declares; it may listen on others.
    pub ports: Vec<ContainerPort>,
    /// An init container that stays (`restartPolicy: Always`).
    pub is_sidecar: bool,
}

/// A port that a container declares.
#[derive(Clone, Debug)]
pub struct ContainerPort {
    /// The number.
    pub number: Spanned<u16>,
    /// The name.
    pub name: Option<String>,
    /// The transport.
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Protocol {
    /// The default.
    Tcp,
    /// Datagrams.
    Udp,
    /// Streams, seldom seen.
    Sctp,
}

impl Workload {
    /// `namespace/name`, as people call it.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The address of the pod in slot `ordinal`.
    #[must_use]
    pub fn pod_address(&self, ordinal: u32) -> IpAddr {
        self.addresses.address(ordinal)
    }

    /// The name of the pod in slot `ordinal`: `web-0`; a Pod on its own has its own name.
    #[must_use]
    pub fn pod_name(&self, ordinal: u32) -> String {
        match self.kind {
            WorkloadKind::Pod => self.name.to_string(),
            WorkloadKind::Deployment
            | WorkloadKind::StatefulSet
            | WorkloadKind::DaemonSet
            | WorkloadKind::ReplicaSet
            | WorkloadKind::Added => format!("{}-{ordinal}", self.name),
        }
    }

    /// The number of the TCP port that a container calls `name`.
    #[must_use]
    pub fn port_named(&self, name: &str) -> Option<u16> {
        self.ports()
            .find(|port| port.name.as_deref() == Some(name))
            .map(|port| *port.number)
    }

    /// Every port that a container declares.
    pub fn ports(&self) -> impl Iterator<Item = &ContainerPort> {
        self.containers
            .iter()
            .flat_map(|container| &container.ports)
    }

    /// A label of its pods.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<Spanned<&str>> {
        self.labels
            .get(key)
            .map(|value| Spanned::new(value.as_str(), value.span))
    }

    /// An annotation of its pods.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<Spanned<&str>> {
        self.annotations
            .get(key)
            .map(|value| Spanned::new(value.as_str(), value.span))
    }

    /// Whether its pods have all the labels of a selector.
    #[must_use]
    pub fn is_selected_by(&self, selector: &Labels) -> bool {
        selector
            .iter()
            .all(|(key, value)| self.labels.get(key) == Some(value))
    }
}

/// A workload without its id and addresses.
pub(super) struct Draft {
    pub(super) kind: WorkloadKind,
    pub(super) replicas: Sourced<u32>,
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
    pub(super) service_account: Name,
    pub(super) host_network: Option<Span>,
    pub(super) containers: Vec<Container>,
    pub(super) span: Span,
}

/// The kind of workload that an object is, if it is one.
pub(super) fn kind_of(object: &Object) -> Option<WorkloadKind> {
    match (object.key.group.as_str(), object.key.kind.as_str()) {
        ("apps", "Deployment") => Some(WorkloadKind::Deployment),
        ("apps", "StatefulSet") => Some(WorkloadKind::StatefulSet),
        ("apps", "DaemonSet") => Some(WorkloadKind::DaemonSet),
        ("apps", "ReplicaSet") => Some(WorkloadKind::ReplicaSet),
        ("", "Pod") => Some(WorkloadKind::Pod),
        _ => None,
    }
}

/// Reads a workload; a DaemonSet has a pod on each of `nodes`.
pub(super) fn read(
    object: &Object,
    kind: WorkloadKind,
    nodes: u32,
    origins: &mut Origins,
    problems: &mut Diagnostics,
) -> Option<Draft> {
    let (pod, replicas) = match kind {
        WorkloadKind::Pod => {
            let pod: schema::Pod = read_checked(object, problems)?;
            (pod, Sourced::new(1, origins.written(object.name_span)))
        }
        WorkloadKind::Deployment
        | WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::ReplicaSet
        | WorkloadKind::Added => {
            let controller: schema::Controller = read_checked(object, problems)?;
            check_selector(object, &controller.spec, problems);
            let replicas = match (kind, controller.spec.replicas) {
                (WorkloadKind::DaemonSet, _) => Sourced::new(
                    nodes,
                    origins.assumed("a DaemonSet has one pod on each node"),
                ),
                (_, Some(replicas)) => origins.sourced(replicas),
                (_, None) => Sourced::new(1, origins.default_of("kubernetes")),
            };
            (controller.spec.template, replicas)
        }
    };
    let spec = pod.spec;
    if spec.containers.is_empty() {
        problems.push(
            Diagnostic::error(
                "workload::no-containers",
                format!("{} has no containers", object.key),
            )
            .label(object.name_span, "this workload"),
        );
    }
    let staying = spec
        .init_containers
        .into_iter()
        .filter(|init| init.restart_policy.as_deref() == Some("Always"));
    let containers = spec
        .containers
        .into_iter()
        .map(|each| (each, false))
        .chain(staying.map(|each| (each, true)))
        .map(|(each, is_sidecar)| container(each, is_sidecar, problems))
        .collect();
    let account = spec
        .service_account_name
        .or(spec.service_account)
        .unwrap_or_else(|| "default".to_owned());
    Some(Draft {
        kind,
        replicas,
        labels: pod.metadata.labels,
        annotations: pod.metadata.annotations,
        service_account: account.into(),
        host_network: spec
            .host_network
            .filter(|flag| flag.value)
            .map(|flag| flag.span),
        containers,
        span: object.name_span,
    })
}

/// A workload that no manifest has: pods labelled `labels`, listening on `ports`.
pub(super) fn added(labels: Labels, replicas: Sourced<u32>, ports: &[u16]) -> Draft {
    let port = |number: &u16| ContainerPort {
        number: Spanned::new(*number, Span::NOWHERE),
        name: None,
        protocol: Protocol::Tcp,
    };
    Draft {
        kind: WorkloadKind::Added,
        replicas,
        labels,
        annotations: Labels::new(),
        service_account: "default".into(),
        host_network: None,
        containers: vec![Container {
            name: "app".to_owned(),
            image: None,
            ports: ports.iter().map(port).collect(),
            is_sidecar: false,
        }],
        span: Span::NOWHERE,
    }
}

impl Draft {
    pub(super) fn finish(
        self,
        id: WorkloadId,
        namespace: &str,
        name: &str,
        addresses: PodBlock,
    ) -> Workload {
        Workload {
            id,
            namespace: namespace.into(),
            name: name.into(),
            kind: self.kind,
            replicas: self.replicas,
            labels: self.labels,
            annotations: self.annotations,
            service_account: self.service_account,
            host_network: self.host_network,
            containers: self.containers,
            services: Vec::new(),
            addresses,
            span: self.span,
            is_gone: false,
        }
    }
}

impl Workload {
    /// What is left of a workload that this world no longer has.
    pub(super) fn into_gone(mut self) -> Self {
        self.is_gone = true;
        self.replicas = Sourced::new(0, OriginId::NONE);
        self.services.clear();
        self.labels.clear();
        self
    }
}

fn container(read: schema::Container, is_sidecar: bool, problems: &mut Diagnostics) -> Container {
    let port = |port: schema::ContainerPort| {
        check_port(port.container_port, problems);
        ContainerPort {
            number: port.container_port,
            name: port.name,
            protocol: protocol(port.protocol.as_ref(), problems),
        }
    };
    Container {
        name: read.name,
        image: read.image,
        ports: read.ports.into_iter().map(port).collect(),
        is_sidecar,
    }
}

pub(super) fn check_port(port: Spanned<u16>, problems: &mut Diagnostics) {
    if port.value == 0 {
        problems.push(
            Diagnostic::error("field::value", "a port is from 1 to 65535")
                .label(port.span, "this port"),
        );
    }
}

pub(super) fn protocol(written: Option<&Spanned<String>>, problems: &mut Diagnostics) -> Protocol {
    let Some(written) = written else {
        return Protocol::Tcp;
    };
    match written.as_str() {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        other => {
            problems.push(
                Diagnostic::error("field::choice", format!("`{other}` is no protocol"))
                    .label(written.span, "this name")
                    .help("one of `TCP`, `UDP`, `SCTP`"),
            );
            Protocol::Tcp
        }
    }
}

/// A cluster refuses a controller whose selector does not pick its own pods.
fn check_selector(object: &Object, spec: &schema::ControllerSpec, problems: &mut Diagnostics) {
    let Some(selector) = &spec.selector else {
        problems.push(
            Diagnostic::error(
                "workload::selector",
                format!("{} has no `selector`", object.key),
            )
            .label(object.name_span, "this workload")
            .help("add `selector: {matchLabels: …}` with labels of its pod template"),
        );
        return;
    };
    let labels = &spec.template.metadata.labels;
    for (key, value) in &selector.match_labels {
        match labels.get(key) {
            Some(found) if found == value => {}
            Some(found) => problems.push(
                Diagnostic::error(
                    "workload::selector",
                    format!("the selector wants `{key}: {value}`, the pods have `{key}: {found}`"),
                )
                .label(value.span, "wanted here")
                .label(found.span, "the pods have this"),
            ),
            None => problems.push(
                Diagnostic::error(
                    "workload::selector",
                    format!("the pods lack the label `{key}` that the selector wants"),
                )
                .label(key.span, "wanted here")
                .help(format!(
                    "add `{key}: {value}` to the labels of the pod template"
                )),
            ),
        }
    }
    for requirement in &selector.match_expressions {
        if !holds(requirement, labels) {
            problems.push(
                Diagnostic::error(
                    "workload::selector",
                    format!(
                        "the pods do not fit the selector's requirement on `{}`",
                        requirement.key
                    ),
                )
                .label(requirement.operator.span, "this requirement"),
            );
        }
    }
}

fn holds(requirement: &Requirement, labels: &Labels) -> bool {
    let value = labels.get(requirement.key.as_str());
    let is_listed = value.is_some_and(|value| requirement.values.contains(&value.value));
    match requirement.operator.as_str() {
        "In" => is_listed,
        "NotIn" => !is_listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}
