//! Whom clusters lead to, in words that the manifests and a dump share.

use std::collections::BTreeMap;

use compare::Destination;
use manifests::envoy::Bootstrap;
use manifests::model::{Destination as Found, Model, NodeRef};
use proxy_core::config::Cluster;

/// What both sides' names are looked up in.
pub(super) struct Names<'a> {
    pub(super) model: &'a Model,
    pub(super) node: NodeRef,
    pub(super) dump: &'a Bootstrap,
}

impl Names<'_> {
    /// Whom a cluster of the manifests leads to: by its name, where that is one as control planes make them, as the model knows, or by the name that
    /// a cluster of the same name in the dump resolves.
    pub(super) fn ours(&self, cluster: &Cluster) -> Destination {
        Destination::of_name(&cluster.name)
            .or_else(|| self.of_model(&cluster.name))
            .or_else(|| self.of_resolved(&cluster.name))
            .unwrap_or_else(|| Destination::of_cluster(cluster))
    }

    /// Whom a cluster of the dump leads to: by its name, as a cluster of that name of the manifests, by the name that is resolved for it, or by
    /// its addresses.
    pub(super) fn theirs(&self, cluster: &Cluster) -> Destination {
        Destination::of_name(&cluster.name)
            .or_else(|| self.of_model(&cluster.name))
            .or_else(|| self.of_resolved(&cluster.name))
            .or_else(|| self.of_address(cluster))
            .unwrap_or_else(|| Destination::of_cluster(cluster))
    }

    /// The ports that clients of a gateway dial, by those that it listens on.
    pub(super) fn listens(&self) -> BTreeMap<u16, u16> {
        let gateway = match self.node {
            NodeRef::Gateway(id) => self.model.gateways().get(id.index()),
            NodeRef::Sidecar(_) => None,
        };
        let listens = gateway.into_iter().flat_map(|facts| &facts.listens);
        listens.map(|it| (it.bound, it.port)).collect()
    }

    fn of_model(&self, name: &str) -> Option<Destination> {
        let upstream = self.model.upstream(self.node, name)?;
        Destination::of_upstream(upstream, self.model.services(), self.model.workloads())
    }

    /// By a name of DNS, as it is for pods of the proxy.
    fn of_resolved(&self, name: &str) -> Option<Destination> {
        let mut unresolved = self.dump.unresolved.iter();
        let found = unresolved.find(|it| *it.cluster == *name)?;
        let services = self.model.services();
        let namespace = self.namespace();
        let directory = self.model.directory();
        let resolved = directory.resolve(services, namespace, &found.host, found.port);
        let id = match resolved {
            Some(Found::Service(at)) => Some(at.service),
            Some(Found::Headless { service, .. }) => Some(service),
            Some(Found::Outside(_)) | None => None,
        };
        let service = id.and_then(|id| services.get(id.index()));
        Some(match service {
            Some(service) => Destination::service(service.full_name(), Some(found.port)),
            None => Destination::of_host(&found.host, Some(found.port)),
        })
    }

    fn of_address(&self, cluster: &Cluster) -> Option<Destination> {
        if let [endpoint] = &cluster.endpoints.endpoints[..] {
            let id = self.model.directory().service_at(endpoint.address.ip());
            let service = id.and_then(|id| self.model.services().get(id.index()));
            if let Some(service) = service {
                let port = endpoint.address.port();
                return Some(Destination::service(service.full_name(), Some(port)));
            }
        }
        Destination::of_addresses(cluster)
    }

    fn namespace(&self) -> &str {
        match self.node {
            NodeRef::Gateway(id) => {
                let facts = self.model.gateways().get(id.index());
                facts.map_or("", |facts| &facts.namespace)
            }
            NodeRef::Sidecar(id) => {
                let workload = self.model.workloads().get(id.index());
                workload.map_or("", |workload| &workload.namespace)
            }
        }
    }
}
