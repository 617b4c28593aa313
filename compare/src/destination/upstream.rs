//! Whom the clusters of a model lead to.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use manifests::model::{Members, Service, TargetPort, Upstream, Workload};
use proxy_core::config::Cluster;

use super::Destination;

impl Destination {
    /// Whom a cluster leads to, as the model that made it knows: the Service and its port, or the workloads; none: the model does not know.
    #[must_use]
    pub fn of_upstream(
        upstream: &Upstream,
        services: &[Service],
        workloads: &[Workload],
    ) -> Option<Self> {
        of_members(&upstream.members, services, workloads)
    }

    /// Whom a cluster leads to, by the addresses of its endpoints; none: it has none.
    #[must_use]
    pub fn of_addresses(cluster: &Cluster) -> Option<Self> {
        let all = cluster.endpoints.endpoints.iter().map(|it| it.address);
        of_addresses(all)
    }
}

fn of_addresses(all: impl Iterator<Item = SocketAddr>) -> Option<Destination> {
    let all: BTreeSet<SocketAddr> = all.collect();
    let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| Destination::service(texts.join(", "), None))
}

fn of_members(
    members: &Members,
    services: &[Service],
    workloads: &[Workload],
) -> Option<Destination> {
    let named = |service: usize, port| {
        let service = services.get(service)?;
        Some(Destination::service(service.full_name(), Some(port)))
    };
    match members {
        Members::None => None,
        Members::Pods {
            service,
            port,
            labels,
        } => {
            let labels: Vec<String> = labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            Some(Destination {
                subset: labels.join(","),
                ..named(service.index(), *port)?
            })
        }
        Members::Datagrams { service, port } | Members::Address { service, port } => {
            named(service.index(), *port)
        }
        Members::Workloads {
            workloads: ids,
            port,
        } => {
            let names = ids.iter().filter_map(|id| workloads.get(id.index()));
            let names: BTreeSet<String> = names.map(Workload::full_name).collect();
            let names: Vec<String> = names.into_iter().collect();
            let port = match port {
                TargetPort::Number(port) => Some(*port),
                TargetPort::Named(_) => None,
            };
            Some(Destination::service(
                format!("pods of {}", names.join(", ")),
                port,
            ))
        }
        Members::Fixed(endpoints) => of_addresses(endpoints.iter().map(|it| it.address)),
        // whoever comes first names them; others are there for when it fails
        Members::Several(all) | Members::Ranked(all) => all
            .iter()
            .find_map(|one| of_members(one, services, workloads)),
    }
}
