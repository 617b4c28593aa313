//! Consul's catalog: which services there are, and who is behind them.
//!
//! A Kubernetes Service with meshed pods is a Consul service of its name, or of the name that its pods' annotation has. Without Enterprise
//! there is one namespace: Services of one name in several Kubernetes namespaces are one Consul service.
//!
//! Source: hashicorp/consul-k8s 1.8 `control-plane/connect-inject/controllers/endpoints/endpoints_controller.go`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use super::filter::{Filter, Instance};
use super::{annotations, injection};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::model::{Members, Service, ServiceId, ServiceKind, TargetPort, Workload, WorkloadId};
use crate::text::Span;

/// Where a proxy takes connections of the mesh, where the application has no port of its own.
pub(super) const PROXY_PORT: u16 = 20000;

/// All services by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    services: BTreeMap<Name, Registered>,
    of_workload: BTreeMap<WorkloadId, Name>,
}

/// A service of the catalog.
#[derive(Clone, Debug)]
pub(super) struct Registered {
    /// The Kubernetes Services that it stands for.
    pub(super) kubernetes: Vec<ServiceId>,
    /// Whose pods are its instances.
    pub(super) members: Vec<Member>,
    /// Addresses that transparent proxies know it by.
    pub(super) addresses: Vec<IpAddr>,
    /// Where the first of its Kubernetes Services is written.
    pub(super) span: Span,
    /// The same as an origin.
    pub(super) origin: OriginId,
}

/// Pods that are instances of a service.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Whose.
    pub(super) workload: WorkloadId,
    /// The application's port; none: it has none that is known.
    pub(super) port: Option<u16>,
    /// What filters ask about.
    pub(super) instance: Instance,
}

impl Registry {
    /// The catalog of the cluster. What Consul would not start is reported.
    pub(super) fn of(default: OriginId, cx: &mut Compile<'_>) -> Self {
        let mut registry = Self::default();
        let (services, workloads) = (cx.services, cx.workloads);
        let mut all: Vec<&Service> = services.iter().collect();
        all.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        let mut claims: BTreeMap<WorkloadId, Vec<(ServiceId, Name)>> = BTreeMap::new();
        for service in all {
            if is_ignored(service) || matches!(service.kind, ServiceKind::ExternalName(_)) {
                continue;
            }
            for id in &service.workloads {
                let workload = &workloads[id.index()];
                if injection::decide(workload, cx).is_some() && is_meant(service, workload) {
                    let name = name_of(service, workload);
                    claims.entry(*id).or_default().push((service.id, name));
                }
            }
        }
        for (id, claims) in claims {
            registry.add(&workloads[id.index()], &claims, default, cx);
        }
        registry.report(cx);
        registry
    }

    /// A service by name.
    pub(super) fn get(&self, name: &str) -> Option<&Registered> {
        self.services.get(name)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Name, &Registered)> {
        self.services.iter()
    }

    /// The names of all of them.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(|name| &**name)
    }

    /// The service whose instances a workload's pods are; one that has none goes by its own name.
    pub(super) fn service_of(&self, workload: &Workload) -> Name {
        let found = self.of_workload.get(&workload.id);
        found.unwrap_or(&workload.name).clone()
    }

    /// The service that a Kubernetes Service stands for.
    pub(super) fn named_by(&self, service: ServiceId) -> Option<&Name> {
        let mut all = self.services.iter();
        all.find(|(_, registered)| registered.kubernetes.contains(&service))
            .map(|(name, _)| name)
    }

    fn add(
        &mut self,
        workload: &Workload,
        claims: &[(ServiceId, Name)],
        default: OriginId,
        cx: &mut Compile<'_>,
    ) {
        let Some((service, name)) = claims.first() else {
            return;
        };
        let services = cx.services;
        let service = &services[service.index()];
        if let Some((other, _)) = claims.get(1) {
            let other = &services[other.index()];
            let message = format!(
                "pods of {} are behind two Services, `{}` and `{}`: Consul does not start them",
                workload.full_name(),
                service.name,
                other.name
            );
            cx.diagnostics.push(
                Diagnostic::error("consul::several-services", message)
                    .label(workload.span, "these pods")
                    .label(service.span, "one Service")
                    .label(other.span, "another")
                    .help(format!(
                        "label the Service that Consul shall not know with `{}: \"true\"`",
                        annotations::IGNORE
                    )),
            );
        }
        let is_transparent = injection::is_transparent(workload, default, cx).value;
        self.of_workload.insert(workload.id, name.clone());
        let entry = self.services.entry(name.clone()).or_insert(Registered {
            kubernetes: Vec::new(),
            members: Vec::new(),
            addresses: Vec::new(),
            span: service.span,
            origin: service.origin,
        });
        if !entry.kubernetes.contains(&service.id) {
            entry.kubernetes.push(service.id);
        }
        // only transparent proxies are registered with the Service's address
        if let Some(ip) = service.cluster_ip().filter(|_| is_transparent)
            && !entry.addresses.contains(&ip)
        {
            entry.addresses.push(ip);
        }
        entry.members.push(Member {
            workload: workload.id,
            port: port(workload),
            instance: Instance {
                service: name.to_string(),
                words: annotations::words(workload, &service.name),
                tags: annotations::tags(workload),
            },
        });
    }

    fn report(&self, cx: &mut Compile<'_>) {
        let (services, workloads) = (cx.services, cx.workloads);
        for (name, registered) in &self.services {
            if let [first, second, ..] = registered.kubernetes[..] {
                let (first, second) = (&services[first.index()], &services[second.index()]);
                let message = format!(
                    "Services {} and {} are one Consul service, `{name}`: requests to either go to the pods of both",
                    first.full_name(),
                    second.full_name()
                );
                cx.diagnostics.push(
                    Diagnostic::warning("consul::one-namespace", message)
                        .label(first.span, "one")
                        .label(second.span, "the other")
                        .help("without Consul Enterprise there is one namespace: give them different names"),
                );
            }
            for id in &registered.kubernetes {
                let service = &services[id.index()];
                if service.kind == ServiceKind::Headless {
                    let message = format!(
                        "`{}` has no address of its own: no proxy knows what is sent to it",
                        service.full_name()
                    );
                    cx.diagnostics.push(
                        Diagnostic::warning("consul::headless", message)
                            .label(service.span, "its pods refuse what comes in plaintext")
                            .help("give it an address, or name it as an upstream of its callers"),
                    );
                }
            }
            for member in &registered.members {
                let workload = &workloads[member.workload.index()];
                self.report_ports(name, member, workload, cx);
            }
        }
        for workload in workloads {
            if self.of_workload.contains_key(&workload.id)
                || injection::decide(workload, cx).is_none()
            {
                continue;
            }
            let message = format!(
                "pods of {} are behind no Service: Consul does not start them",
                workload.full_name()
            );
            cx.diagnostics.push(
                Diagnostic::warning("consul::no-service", message)
                    .label(workload.span, "these pods wait until they are registered")
                    .help("here they run all the same; write a Service that selects them"),
            );
        }
    }

    fn report_ports(&self, name: &str, member: &Member, workload: &Workload, cx: &mut Compile<'_>) {
        let Some(port) = member.port else {
            let message = format!(
                "pods of {} declare no port: their proxies do not know where the application listens",
                workload.full_name()
            );
            cx.diagnostics.push(
                Diagnostic::warning("consul::no-port", message)
                    .label(workload.span, "every request to them is answered 503")
                    .help(format!(
                        "write `ports` of the container, or annotate the pods with `{}`",
                        annotations::PORT
                    )),
            );
            return;
        };
        let services = cx.services;
        let named = self.services.get(name).into_iter();
        for id in named.flat_map(|registered| &registered.kubernetes) {
            let service = &services[id.index()];
            if !service.workloads.contains(&workload.id) {
                continue;
            }
            for other in service.ports.iter().filter(|port| !port.udp) {
                let target = workload.target_port(&other.target);
                if target == Some(port) {
                    continue;
                }
                let message = format!(
                    "port {} of `{}` leads to port {port} of its pods in the mesh: a Consul service has one port",
                    other.number,
                    service.full_name()
                );
                cx.diagnostics.push(
                    Diagnostic::warning("consul::one-port", message)
                        .label(other.span, "whatever it says")
                        .help("make it a Service of its own, with pods of its own"),
                );
            }
        }
    }
}

impl Registered {
    /// The instances that a filter takes; none: all.
    pub(super) fn instances(&self, filter: Option<&Filter>) -> Members {
        let mut by_port: BTreeMap<u16, Vec<WorkloadId>> = BTreeMap::new();
        for member in &self.members {
            if filter.is_none_or(|filter| filter.takes(&member.instance)) {
                let port = member.port.unwrap_or(PROXY_PORT);
                by_port.entry(port).or_default().push(member.workload);
            }
        }
        let mut groups: Vec<Members> = by_port
            .into_iter()
            .map(|(port, workloads)| Members::Workloads {
                workloads,
                port: TargetPort::Number(port),
            })
            .collect();
        match groups.len() {
            0 => Members::None,
            1 => groups.swap_remove(0),
            _ => Members::Several(groups),
        }
    }
}

fn is_ignored(service: &Service) -> bool {
    let label = service.labels.get(annotations::IGNORE);
    label.is_some_and(|value| annotations::boolean(value) == Some(true))
}

/// Whether pods are registered for this Service, if they say which of several.
fn is_meant(service: &Service, workload: &Workload) -> bool {
    let named = workload.annotations.get(annotations::KUBERNETES_SERVICE);
    named.is_none_or(|name| *name == service.name)
}

fn name_of(service: &Service, workload: &Workload) -> Name {
    let annotated = workload.annotations.get(annotations::SERVICE);
    match annotated.filter(|name| !name.is_empty() && !name.contains(',')) {
        Some(name) => name.clone(),
        None => service.name.clone(),
    }
}

/// The application's port, by the name of a container's port or by number; none written: the first that there is.
pub(super) fn port(workload: &Workload) -> Option<u16> {
    let Some(written) = workload.annotations.get(annotations::PORT) else {
        return workload.ports.first().map(|port| port.number);
    };
    let first = written.split(',').next().unwrap_or_default();
    port_named(workload, first).or_else(|| first.trim().parse().ok().filter(|port| *port > 0))
}

/// A container's port by name.
pub(super) fn port_named(workload: &Workload, name: &str) -> Option<u16> {
    let mut ports = workload.ports.iter();
    let port = ports.find(|port| port.name.as_deref() == Some(name))?;
    Some(port.number)
}
