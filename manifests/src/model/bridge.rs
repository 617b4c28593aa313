//! From Kubernetes' own objects to the facts that dialects share.

use std::collections::BTreeMap;

use proxy_core::config::Name;

use super::{
    ContainerPort, Labels, Service, ServiceId, ServiceKind, ServicePort, TargetPort, Workload,
    WorkloadId, WorkloadKind,
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
    all.map(|service| self::service(service, origins)).collect()
}

fn service(from: &kubernetes::Service, origins: &mut Origins) -> Service {
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
        span: from.span,
        origin: origins.written(from.span),
    }
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
