//! Names as pods resolve them.

use std::net::IpAddr;

use super::World;
use super::service::{ServiceAddress, ServiceId};
use super::workload::{WorkloadId, WorkloadKind};

/// The domain of a cluster whose installer chose no other.
pub const CLUSTER_DOMAIN: &str = "cluster.local";

/// What a name leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolved {
    /// A Service: its address, or its pods when it is headless.
    Service(ServiceId),
    /// A pod of a StatefulSet by its lasting name (`web-0.web.shop.svc.cluster.local`).
    Pod(WorkloadId, u32),
    /// An address, written as such.
    Address(IpAddr),
    /// A name outside of the cluster that an ExternalName Service stands for.
    External(String),
}

impl World {
    /// What a pod of `namespace` gets for `host`: short names are searched in its namespace, then in the cluster; none when nothing has the
    /// name.
    ///
    /// Source: the search list that the kubelet writes, `<namespace>.svc.cluster.local svc.cluster.local cluster.local`.
    #[must_use]
    pub fn resolve(&self, host: &str, namespace: &str) -> Option<Resolved> {
        let host = host.trim_end_matches('.');
        let literal = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        if let Ok(address) = literal.parse() {
            return Some(Resolved::Address(address));
        }
        let host = host.to_ascii_lowercase();
        let in_cluster = host
            .strip_suffix(CLUSTER_DOMAIN)
            .and_then(|rest| rest.strip_suffix('.'))
            .unwrap_or(&host);
        let parts: Vec<&str> = in_cluster.split('.').collect();
        match parts[..] {
            [service] => self.lookup(namespace, service),
            [service, of] | [service, of, "svc"] => self.lookup(of, service),
            [pod, service, of, "svc"] => self.pod_of_set(of, service, pod),
            [pod, service, of] => self.pod_of_set(of, service, pod),
            _ => None,
        }
    }

    /// The Service that a host means for policies of `namespace`: by short name, `name.namespace`, or in full.
    #[must_use]
    pub fn service_of_host(&self, host: &str, namespace: &str) -> Option<ServiceId> {
        let host = host.trim_end_matches('.');
        let in_cluster = host
            .strip_suffix(CLUSTER_DOMAIN)
            .and_then(|rest| rest.strip_suffix('.'))
            .unwrap_or(host);
        let parts: Vec<&str> = in_cluster.split('.').collect();
        let service = match parts[..] {
            [service] => self.service_named(namespace, service),
            [service, of] | [service, of, "svc"] => self.service_named(of, service),
            _ => None,
        };
        service.map(|service| service.id)
    }

    fn lookup(&self, namespace: &str, name: &str) -> Option<Resolved> {
        let service = self.service_named(namespace, name)?;
        Some(match &service.address {
            ServiceAddress::External(host) => Resolved::External(host.value.clone()),
            ServiceAddress::Cluster(_) | ServiceAddress::Headless => Resolved::Service(service.id),
        })
    }

    fn pod_of_set(&self, namespace: &str, service: &str, pod: &str) -> Option<Resolved> {
        let service = self.service_named(namespace, service)?;
        let (set, ordinal) = pod.rsplit_once('-')?;
        let ordinal = ordinal.parse().ok()?;
        let is_set = |id: &&WorkloadId| {
            let workload = self.workload(**id);
            workload.kind == WorkloadKind::StatefulSet && *workload.name == *set
        };
        let id = *service.workloads.iter().find(is_set)?;
        Some(Resolved::Pod(id, ordinal))
    }
}
