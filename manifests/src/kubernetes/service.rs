//! Services: names and addresses before workloads.

use std::net::IpAddr;

use proxy_core::config::Name;

use super::schema::{self, Labels, PortRef};
use super::workload::{Protocol, Workload, WorkloadId, check_port, protocol};
use super::{Addresses, read_checked};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::load::Object;
use crate::text::{Span, Spanned};

/// Names a Service of one [`World`](super::World): dense, and the same in worlds that follow each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServiceId(pub u32);

impl ServiceId {
    /// For tables by Service.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A name, and mostly an address, before pods.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its id.
    pub id: ServiceId,
    /// The namespace.
    pub namespace: Name,
    /// The name.
    pub name: Name,
    /// Where its name leads.
    pub address: ServiceAddress,
    /// Its ports in the order written.
    pub ports: Vec<ServicePort>,
    /// Labels that its pods have; none: its endpoints come from EndpointSlices.
    pub selector: Option<Spanned<Labels>>,
    /// The workloads whose pods it selects.
    pub workloads: Vec<WorkloadId>,
    /// Endpoints from EndpointSlices: a cluster's own copy of its pods, for a Service with a selector.
    pub endpoints: Vec<SliceEndpoint>,
    /// Labels of the Service itself.
    pub labels: Labels,
    /// Annotations of the Service itself.
    pub annotations: Labels,
    /// `internalTrafficPolicy`.
    pub internal_traffic_policy: Option<Spanned<String>>,
    /// `trafficDistribution`.
    pub traffic_distribution: Option<Spanned<String>>,
    /// `sessionAffinity`.
    pub session_affinity: Option<Spanned<String>>,
    /// `publishNotReadyAddresses: true`: pods count as endpoints before they are ready.
    pub publishes_not_ready: bool,
    /// The text of its name; [`Span::NOWHERE`] when no manifest has it.
    pub span: Span,
    /// An earlier world had it and this one does not.
    pub is_gone: bool,
}

/// Where a Service's name leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServiceAddress {
    /// To an address of its own, where kube-proxy picks a pod for each connection.
    Cluster(IpAddr),
    /// To its pods (`clusterIP: None`).
    Headless,
    /// To another name (`ExternalName`).
    External(Spanned<String>),
}

/// A port of a Service.
#[derive(Clone, Debug)]
pub struct ServicePort {
    /// The number.
    pub number: Spanned<u16>,
    /// The name; empty when there is none.
    pub name: Name,
    /// The pods' port: by number, or the name that a container gives it.
    pub target: Spanned<PortRef>,
    /// `appProtocol`.
    pub app_protocol: Option<Spanned<String>>,
    /// The transport.
    pub protocol: Protocol,
    /// The whole entry.
    pub span: Span,
}

/// An endpoint that an EndpointSlice names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SliceEndpoint {
    /// Its address.
    pub address: Spanned<IpAddr>,
    /// Numbers by the name of the Service's port.
    pub ports: Vec<(String, u16)>,
    /// Whether it takes traffic.
    pub is_ready: bool,
    /// Its zone.
    pub zone: Option<String>,
    /// Its node.
    pub node: Option<String>,
    /// The pod that it is.
    pub pod: Option<String>,
}

impl Service {
    /// `namespace/name`, as people call it.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// `name.namespace.svc.cluster.local`.
    #[must_use]
    pub fn host(&self) -> String {
        format!(
            "{}.{}.svc.{}",
            self.name,
            self.namespace,
            super::dns::CLUSTER_DOMAIN
        )
    }

    /// Its address within the cluster, if it has one.
    #[must_use]
    pub fn cluster_ip(&self) -> Option<IpAddr> {
        match self.address {
            ServiceAddress::Cluster(address) => Some(address),
            ServiceAddress::Headless | ServiceAddress::External(_) => None,
        }
    }

    /// The port of that number.
    #[must_use]
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| *port.number == number)
    }

    /// The port of that name.
    #[must_use]
    pub fn port_named(&self, name: &str) -> Option<&ServicePort> {
        self.ports.iter().find(|port| &*port.name == name)
    }

    /// A label of the Service itself.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<Spanned<&str>> {
        self.labels
            .get(key)
            .map(|value| Spanned::new(value.as_str(), value.span))
    }

    /// An annotation of the Service itself.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<Spanned<&str>> {
        self.annotations
            .get(key)
            .map(|value| Spanned::new(value.as_str(), value.span))
    }

    pub(super) fn into_gone(mut self) -> Self {
        self.is_gone = true;
        self.workloads.clear();
        self.endpoints.clear();
        self
    }
}

impl ServicePort {
    /// The port of a workload's pods that this one leads to; none when no container has the name.
    #[must_use]
    pub fn target_on(&self, workload: &Workload) -> Option<u16> {
        match &self.target.value {
            PortRef::Number(number) => Some(*number),
            PortRef::Name(name) => workload.port_named(name),
        }
    }

    /// The name, or the number where there is none, for errors and reports.
    #[must_use]
    pub fn title(&self) -> String {
        if self.name.is_empty() {
            self.number.to_string()
        } else {
            self.name.to_string()
        }
    }
}

/// Reads a Service; its workloads are found later.
pub(super) fn read(
    object: &Object,
    id: ServiceId,
    addresses: &mut Addresses,
    problems: &mut Diagnostics,
) -> Option<Service> {
    let schema::Service { metadata, spec } = read_checked(object, problems)?;
    let title = format!("{}/{}", object.key.namespace, object.key.name);
    let address = address(object, &title, &spec, addresses, problems)?;
    let is_external = matches!(address, ServiceAddress::External(_));
    if spec.ports.is_empty() && !is_external && address != ServiceAddress::Headless {
        problems.push(
            Diagnostic::error("service::no-ports", format!("{} has no ports", object.key))
                .label(object.name_span, "this Service"),
        );
    }
    let several = spec.ports.len() > 1;
    let mut ports: Vec<ServicePort> = Vec::new();
    for written in spec.ports {
        let port = port(written, problems);
        check_against(&port, &ports, several, problems);
        ports.push(port);
    }
    Some(Service {
        id,
        namespace: object.key.namespace.as_str().into(),
        name: object.key.name.as_str().into(),
        address,
        ports,
        selector: spec
            .selector
            .filter(|selector| !selector.is_empty() && !is_external),
        workloads: Vec::new(),
        endpoints: Vec::new(),
        labels: metadata.labels,
        annotations: metadata.annotations,
        internal_traffic_policy: spec.internal_traffic_policy,
        traffic_distribution: spec.traffic_distribution,
        session_affinity: spec.session_affinity,
        publishes_not_ready: spec
            .publish_not_ready_addresses
            .is_some_and(|flag| flag.value),
        span: object.name_span,
        is_gone: false,
    })
}

fn address(
    object: &Object,
    title: &str,
    spec: &schema::ServiceSpec,
    addresses: &mut Addresses,
    problems: &mut Diagnostics,
) -> Option<ServiceAddress> {
    if let Some(kind) = &spec.r#type {
        match kind.as_str() {
            "ClusterIP" | "NodePort" | "LoadBalancer" => {}
            "ExternalName" => {
                let Some(name) = &spec.external_name else {
                    problems.push(
                        Diagnostic::error(
                            "service::external-name",
                            "a Service of type ExternalName needs `externalName`",
                        )
                        .label(kind.span, "this type"),
                    );
                    return None;
                };
                return Some(ServiceAddress::External(name.clone()));
            }
            other => problems.push(
                Diagnostic::error("field::choice", format!("`{other}` is no type of Service"))
                    .label(kind.span, "this type")
                    .help("one of `ClusterIP`, `NodePort`, `LoadBalancer`, `ExternalName`"),
            ),
        }
    }
    match &spec.cluster_ip {
        Some(written) if written.as_str() == "None" => return Some(ServiceAddress::Headless),
        Some(written) if !written.is_empty() => match written.parse() {
            Ok(address) => {
                if !addresses.reserve(title, address) {
                    problems.push(
                        Diagnostic::error(
                            "service::address",
                            format!("another Service has the address {address}"),
                        )
                        .label(written.span, "this address")
                        .help("leave `clusterIP` out to get an address of its own"),
                    );
                }
                return Some(ServiceAddress::Cluster(address));
            }
            Err(_) => problems.push(
                Diagnostic::error(
                    "service::address",
                    format!("`{written}` is not an IP address"),
                )
                .label(written.span, "this address")
                .help("an address, `None` for a headless Service, or nothing"),
            ),
        },
        Some(_) | None => {}
    }
    match addresses.service(title) {
        Ok(address) => Some(ServiceAddress::Cluster(address)),
        Err(_) => {
            problems.push(
                Diagnostic::error(
                    "service::address",
                    "no Service address is left in 10.96.0.0/12",
                )
                .label(object.name_span, "for this Service"),
            );
            None
        }
    }
}

fn port(written: Spanned<schema::ServicePort>, problems: &mut Diagnostics) -> ServicePort {
    let Spanned { value: port, span } = written;
    check_port(port.port, problems);
    ServicePort {
        number: port.port,
        target: port
            .target_port
            .unwrap_or_else(|| port.port.map(PortRef::Number)),
        name: port.name.map(|name| name.value).unwrap_or_default().into(),
        app_protocol: port.app_protocol,
        protocol: protocol(port.protocol.as_ref(), problems),
        span,
    }
}

/// What a cluster refuses: a number or a name twice, and several ports of which one has no name.
fn check_against(
    port: &ServicePort,
    earlier: &[ServicePort],
    several: bool,
    problems: &mut Diagnostics,
) {
    if several && port.name.is_empty() {
        problems.push(
            Diagnostic::error(
                "service::port-name",
                "a Service with several ports names them all",
            )
            .label(port.span, "this port has no name")
            .help("add a `name`"),
        );
    }
    for other in earlier {
        if other.number == port.number && other.protocol == port.protocol {
            problems.push(
                Diagnostic::error(
                    "service::duplicate-port",
                    format!("port {} is there twice", port.number),
                )
                .label(port.number.span, "again here")
                .label(other.number.span, "first here"),
            );
        }
        if !port.name.is_empty() && other.name == port.name {
            problems.push(
                Diagnostic::error(
                    "service::duplicate-port",
                    format!("two ports are called `{}`", port.name),
                )
                .label(port.span, "again here")
                .label(other.span, "first here"),
            );
        }
    }
}

/// The Service that an EndpointSlice belongs to, and its endpoints.
pub(super) fn read_slice(
    object: &Object,
    problems: &mut Diagnostics,
) -> Option<(Spanned<String>, Vec<SliceEndpoint>)> {
    let slice: schema::EndpointSlice = read_checked(object, problems)?;
    let service = slice
        .metadata
        .labels
        .get("kubernetes.io/service-name")?
        .clone();
    if slice
        .address_type
        .as_ref()
        .is_some_and(|kind| kind.as_str() == "FQDN")
    {
        let kind = slice.address_type.expect("it was just looked at");
        problems.push(
            Diagnostic::not_modelled(
                "slice::names",
                "endpoints given by name",
                "the Service has no endpoints",
            )
            .label(kind.span, "addressType"),
        );
        return Some((service, Vec::new()));
    }
    let ports: Vec<(String, u16)> = slice
        .ports
        .into_iter()
        .filter_map(|port| Some((port.name.unwrap_or_default(), port.port?)))
        .collect();
    let mut endpoints = Vec::new();
    for endpoint in slice.endpoints {
        let pod = endpoint.target_ref.filter(|target| target.kind == "Pod");
        let pod = pod.map(|target| target.name);
        for address in endpoint.addresses {
            match address.parse() {
                Ok(parsed) => endpoints.push(SliceEndpoint {
                    address: Spanned::new(parsed, address.span),
                    ports: ports.clone(),
                    // Unknown counts as ready, as the API says.
                    is_ready: endpoint.conditions.ready.unwrap_or(true),
                    zone: endpoint.zone.clone(),
                    node: endpoint.node_name.clone(),
                    pod: pod.clone(),
                }),
                Err(_) => problems.push(
                    Diagnostic::error("field::value", format!("`{address}` is not an IP address"))
                        .label(address.span, "this address"),
                ),
            }
        }
    }
    Some((service, endpoints))
}

/// The Service that a workload gets which no manifest has: its name, its ports.
pub(super) fn added(id: ServiceId, workload: &Workload, address: IpAddr, ports: &[u16]) -> Service {
    let port = |number: &u16| {
        let number = Spanned::new(*number, Span::NOWHERE);
        ServicePort {
            number,
            name: if ports.len() == 1 {
                "http".into()
            } else {
                format!("http-{number}").into()
            },
            target: number.map(PortRef::Number),
            app_protocol: None,
            protocol: Protocol::Tcp,
            span: Span::NOWHERE,
        }
    };
    Service {
        id,
        namespace: workload.namespace.clone(),
        name: workload.name.clone(),
        address: ServiceAddress::Cluster(address),
        ports: ports.iter().map(port).collect(),
        selector: Some(Spanned::new(workload.labels.clone(), Span::NOWHERE)),
        workloads: Vec::new(),
        endpoints: Vec::new(),
        labels: Labels::new(),
        annotations: Labels::new(),
        internal_traffic_policy: None,
        traffic_distribution: None,
        session_affinity: None,
        publishes_not_ready: false,
        span: Span::NOWHERE,
        is_gone: false,
    }
}
