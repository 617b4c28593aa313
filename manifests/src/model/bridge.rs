//! From Kubernetes' own objects to the facts that dialects share.

use std::collections::BTreeMap;

use proxy_core::config::Name;

use super::{
    ContainerPort, Labels, Listed, Place, Service, ServiceId, ServiceKind, ServicePort, TargetPort,
    Workload, WorkloadId, WorkloadKind,
};
use crate::kubernetes::{self, PortRef, ServiceAddress, World};
use crate::origins::Origins;
use crate::text::Spanned;

type Written = BTreeMap<Spanned<String>, Spanned<String>>;

fn labels(written: &Written) -> Labels {
    let name = |text: &Spanned<String>| Name::from(text.value.as_str());
    written
        .iter()
        .map(|(key, value)| (name(key), name(value)))
        .collect()
}

/// Every Service by id; those that are gone have no ports and nobody behind them.
pub(super) fn services(world: &World, origins: &mut Origins) -> Vec<Service> {
    let all = world.services().iter();
    all.map(|service| self::service(world, service, origins))
        .collect()
}

fn service(world: &World, from: &kubernetes::Service, origins: &mut Origins) -> Service {
    let ports = from.ports.iter().map(|port| ServicePort {
        number: port.number.value,
        name: Some(port.name.clone()).filter(|name| !name.is_empty()),
        app_protocol: port.app_protocol.as_ref().map(|it| it.as_str().into()),
        target: match &port.target.value {
            PortRef::Number(number) => TargetPort::Number(*number),
            PortRef::Name(name) => TargetPort::Named(name.as_str().into()),
        },
        udp: port.protocol != kubernetes::Protocol::Tcp,
        span: port.span,
    });
    let selector = from.selector.as_ref();
    Service {
        id: ServiceId(from.id.0),
        namespace: from.namespace.clone(),
        name: from.name.clone(),
        kind: match &from.address {
            ServiceAddress::Cluster(ip) => ServiceKind::ClusterIp(*ip),
            ServiceAddress::Headless => ServiceKind::Headless,
            ServiceAddress::External(host) => ServiceKind::ExternalName(host.as_str().into()),
        },
        ports: ports.filter(|_| !from.is_gone).collect(),
        selector: selector.map(|it| labels(&it.value)).unwrap_or_default(),
        labels: labels(&from.labels),
        annotations: labels(&from.annotations),
        workloads: from.workloads.iter().map(|id| WorkloadId(id.0)).collect(),
        listed: listed(world, from),
        span: from.span,
        origin: origins.written(from.span),
    }
}

fn listed(world: &World, of: &kubernetes::Service) -> Vec<Listed> {
    let endpoints = of.endpoints.iter().filter(|_| !of.is_gone);
    endpoints
        .map(|endpoint| {
            let pod = endpoint.pod.as_deref();
            let ports = endpoint.ports.iter();
            Listed {
                ip: endpoint.address.value,
                ports: ports
                    .map(|(name, port)| (name.as_str().into(), *port))
                    .collect(),
                ready: endpoint.is_ready,
                pod: pod.map(Name::from),
                place: Place {
                    locality: locality(world, endpoint),
                    node: endpoint.node.as_deref().unwrap_or_default().into(),
                },
                workload: owner(world, of, pod),
            }
        })
        .collect()
}

/// `region/zone` as the Node object says, else the zone alone, in no region.
fn locality(world: &World, endpoint: &kubernetes::SliceEndpoint) -> Name {
    let node = endpoint.node.as_deref();
    let node = node.and_then(|name| world.objects().get("", "Node", "", name));
    let label = |key| Some(node?.label(key)?.value.to_owned());
    let region = label("topology.kubernetes.io/region").unwrap_or_default();
    let zone = endpoint.zone.clone();
    let zone = zone.or_else(|| label("topology.kubernetes.io/zone"));
    match zone {
        Some(zone) => format!("{region}/{zone}").into(),
        None => region.into(),
    }
}

/// The workload behind a Service whose pod is called so: pods have the names of what runs them, and more.
fn owner(world: &World, of: &kubernetes::Service, pod: Option<&str>) -> Option<WorkloadId> {
    let known = |id: &&kubernetes::WorkloadId| {
        let name = &*world.workloads()[id.index()].name;
        pod.is_some_and(|pod| {
            let rest = pod.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    };
    let named = of.workloads.iter().filter(known);
    let named = named.max_by_key(|id| world.workloads()[id.index()].name.len());
    let only = match &of.workloads[..] {
        [only] => Some(only),
        _ => None,
    };
    named.or(only).map(|id| WorkloadId(id.0))
}

/// Every workload by id, without sidecars.
pub(super) fn workloads(world: &World, origins: &mut Origins) -> Vec<Workload> {
    let all = world.workloads().iter();
    all.map(|workload| self::workload(workload, origins))
        .collect()
}

fn workload(from: &kubernetes::Workload, origins: &mut Origins) -> Workload {
    let ports = from.ports().map(|port| ContainerPort {
        name: port.name.as_deref().map(Name::from),
        number: port.number.value,
    });
    Workload {
        id: WorkloadId(from.id.0),
        namespace: from.namespace.clone(),
        name: from.name.clone(),
        kind: match from.kind {
            kubernetes::WorkloadKind::Deployment => WorkloadKind::Deployment,
            kubernetes::WorkloadKind::StatefulSet => WorkloadKind::StatefulSet,
            kubernetes::WorkloadKind::DaemonSet => WorkloadKind::DaemonSet,
            kubernetes::WorkloadKind::ReplicaSet => WorkloadKind::ReplicaSet,
            kubernetes::WorkloadKind::Pod => WorkloadKind::Pod,
            kubernetes::WorkloadKind::Added => WorkloadKind::Scenario,
        },
        replicas: if from.is_gone { 0 } else { from.replicas.value },
        labels: labels(&from.labels),
        annotations: labels(&from.annotations),
        service_account: from.service_account.clone(),
        ports: ports.collect(),
        host_network: from.host_network.is_some(),
        sidecar: None,
        span: from.span,
        origin: origins.written(from.span),
    }
}
