//! A model as it is compared.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use compare::Destination;
use manifests::model::{GatewayId, Model, NodeRef, Place, Pods, WorkloadId};
use manifests::origins::Origins;
use manifests::text::Sources;
use proxy_core::config::{Name, NodeKind, Section};

use crate::intent::{Leads, Source, leads_of};
use crate::object::Subset;

/// A model with what its values come from.
#[derive(Clone, Copy)]
pub(super) struct Book<'b> {
    pub(super) model: &'b Model,
    pub(super) origins: &'b Origins,
    pub(super) sources: &'b Sources,
    /// Services that stand for subsets of others.
    pub(super) subsets: &'b [Subset],
}

/// Sections that are compared: those of a node, one way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Part {
    Whole,
    Inbound,
    Outbound,
}

pub(super) type Destinations = BTreeMap<String, Destination>;
impl Book<'_> {
    pub(super) fn gateway(&self, dialect: &str, name: &str) -> Option<GatewayId> {
        let all = (0..).map(GatewayId).zip(self.model.gateways());
        let of: Vec<_> = all.filter(|(_, facts)| facts.dialect == dialect).collect();
        let named = of.iter().find(|(_, facts)| *facts.name == *name);
        // whoever stands alone is meant
        named
            .or_else(|| of.first().filter(|_| of.len() == 1))
            .map(|(id, _)| *id)
    }

    /// The workload of this name, if it has a sidecar.
    pub(super) fn meshed(&self, name: &str) -> Option<WorkloadId> {
        let mut workloads = self.model.workloads().iter();
        let found = workloads.find(|it| it.full_name() == name && it.sidecar.is_some())?;
        self.model.inbound_part(found.id)?;
        Some(found.id)
    }

    pub(super) fn sections(&self, node: NodeRef, part: Part) -> Option<Vec<Arc<Section>>> {
        let pods = Pods::new(self.model.workloads().len());
        let config = self.model.config(node, &Place::default(), &pods)?;
        let mut all = config.sections.clone();
        match (part, config.kind) {
            (Part::Whole, _) | (_, NodeKind::Gateway) => {}
            (Part::Inbound, NodeKind::Sidecar) => all.truncate(1),
            (Part::Outbound, NodeKind::Sidecar) => {
                all = all.split_off(all.len().min(1));
            }
        }
        Some(all)
    }

    fn parts(&self, node: NodeRef, part: Part) -> Option<usize> {
        match (node, part) {
            (NodeRef::Gateway(id), _) => self.model.served_part(id),
            (NodeRef::Sidecar(id), Part::Inbound) => self.model.inbound_part(id),
            (NodeRef::Sidecar(id), Part::Outbound | Part::Whole) => self.model.outbound_part(id),
        }
    }

    /// Whom clusters lead to, by their names: in words of Services, ports and labels that both sides share.
    pub(super) fn destinations(&self, node: NodeRef, part: Part) -> Destinations {
        let mut known = Destinations::new();
        let drafts = self
            .parts(node, part)
            .and_then(|nth| self.model.parts().nth(nth));
        let Some((draft, upstreams)) = drafts else {
            return known;
        };
        let source = Source {
            model: self.model,
            origins: self.origins,
            sources: self.sources,
        };
        for (cluster, upstream) in draft.clusters.iter().zip(upstreams) {
            let found = match (part, leads_of(source, cluster, &upstream.members)) {
                // whatever a system calls it, it is the one thing behind a sidecar
                (Part::Inbound, _) => Some(Destination::service("the application", None)),
                (
                    _,
                    Leads::Service {
                        service,
                        port,
                        labels,
                        ..
                    },
                ) => Some(self.of_service(service.index(), port, &labels)),
                (_, Leads::Other | Leads::Missing) => Destination::of_upstream(
                    upstream,
                    self.model.services(),
                    self.model.workloads(),
                ),
            };
            if let Some(found) = found {
                known.insert(cluster.name.to_string(), found);
            }
        }
        known
    }

    fn of_service(&self, at: usize, port: u16, labels: &[(Name, Name)]) -> Destination {
        let service = &self.model.services()[at];
        let words = |labels: Vec<(String, String)>| -> String {
            let labels: Vec<String> = labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            labels.join(",")
        };
        let own: Vec<(String, String)> = labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        let stands = self.subsets.iter().find(|subset| {
            let whole = &self.model.services()[subset.service.index()];
            *subset.name == *service.name && whole.namespace == service.namespace
        });
        match stands {
            Some(subset) => Destination {
                subset: words(subset.labels.clone()),
                ..Destination::service(
                    self.model.services()[subset.service.index()].full_name(),
                    Some(port),
                )
            },
            None => Destination {
                subset: words(own),
                ..Destination::service(service.full_name(), Some(port))
            },
        }
    }

    pub(super) fn addresses(&self) -> BTreeMap<IpAddr, String> {
        let services = self.model.services().iter();
        services
            .filter_map(|service| Some((service.cluster_ip()?, service.full_name())))
            .collect()
    }

    pub(super) fn ports(&self, node: NodeRef) -> BTreeMap<u16, u16> {
        match node {
            NodeRef::Gateway(id) => {
                let listens = self.model.gateways()[id.index()].listens.iter();
                listens.map(|it| (it.bound, it.port)).collect()
            }
            NodeRef::Sidecar(_) => BTreeMap::new(),
        }
    }
}
