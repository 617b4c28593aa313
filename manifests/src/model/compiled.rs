//! The model at work: configurations with the endpoints of the pods that are there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use proxy_core::config::{
    EndpointSet, Listener, ListenerAddress, Name, NodeConfig, NodeKind, Section, SectionDraft,
};

use super::endpoints::{Caller, Cast};
use super::{
    Credential, Directory, GatewayFacts, GatewayId, Labels, NodeRef, Place, Pods, Service,
    Upstream, Workload, WorkloadId,
};
use crate::dialects::Compiled;
use crate::gateway_api::status::ObjectStatus;
use crate::kubernetes::World;
use crate::lints::reach::Reached;

/// What was read, compiled for each proxy. Made by [`Model::build`].
#[derive(Debug)]
pub struct Model {
    pub(super) world: World,
    services: Vec<Service>,
    workloads: Vec<Workload>,
    gateways: Vec<GatewayFacts>,
    directory: Directory,
    mesh: Option<String>,
    parts: Vec<Part>,
    inbound: Vec<Option<usize>>,
    outbound: Vec<Option<usize>>,
    served: Vec<Option<usize>>,
    statuses: Vec<ObjectStatus>,
    reached: Vec<Reached>,
    made: Mutex<Made>,
}

/// A section without endpoints, and whom its clusters lead to.
#[derive(Clone, Debug)]
pub(super) struct Part {
    draft: SectionDraft,
    upstreams: Vec<Upstream>,
    credentials: BTreeMap<Name, Credential>,
}

impl Part {
    pub(super) fn of(compiled: Compiled) -> Self {
        Self {
            draft: compiled.draft,
            upstreams: compiled.upstreams,
            credentials: compiled.credentials,
        }
    }

    fn depends_on_caller(&self) -> bool {
        self.upstreams.iter().any(Upstream::depends_on_caller)
    }
}

/// Who shares a section: everybody, or callers of one place and workload.
type Sharers = Option<(Place, Option<WorkloadId>)>;

/// What was made for one state of the pods, to be shared by proxies that ask for the same.
#[derive(Debug, Default)]
struct Made {
    generation: u64,
    sections: BTreeMap<(usize, Sharers), Arc<Section>>,
    configs: BTreeMap<(NodeRef, Sharers), Arc<NodeConfig>>,
}

impl Model {
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, at the end of building"
    )]
    pub(super) fn of(
        world: World,
        services: Vec<Service>,
        workloads: Vec<Workload>,
        gateways: Vec<GatewayFacts>,
        directory: Directory,
        mesh: Option<String>,
        parts: Vec<Part>,
        inbound: Vec<Option<usize>>,
        outbound: Vec<Option<usize>>,
        served: Vec<Option<usize>>,
        statuses: Vec<ObjectStatus>,
        reached: Vec<Reached>,
    ) -> Self {
        Self {
            world,
            services,
            workloads,
            gateways,
            directory,
            mesh,
            parts,
            inbound,
            outbound,
            served,
            statuses,
            reached,
            made: Mutex::default(),
        }
    }

    /// Services by id.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Workloads by id, those of gateways among them, their sidecars decided.
    #[must_use]
    pub fn workloads(&self) -> &[Workload] {
        &self.workloads
    }

    /// Gateways by id; each has its workload, unless no address was left for it.
    #[must_use]
    pub fn gateways(&self) -> &[GatewayFacts] {
        &self.gateways
    }

    /// Listeners of gateways that take datagrams.
    pub fn datagram_listeners(&self) -> impl Iterator<Item = (&GatewayFacts, &Listener)> {
        let all = (0..).zip(&self.gateways);
        let listeners = all.flat_map(move |(at, facts)| {
            let parts = self.parts_of(NodeRef::Gateway(GatewayId(at)));
            let parts = parts.unwrap_or_default().into_iter();
            parts.flat_map(move |part| {
                let listeners = self.parts[part].draft.listeners.iter();
                listeners.map(move |listener| (facts, listener))
            })
        });
        listeners.filter(|(_, it)| matches!(it.address, ListenerAddress::Datagrams(_)))
    }

    /// Names and addresses.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Kubernetes' own part of what was read.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The objects that gateways go by with the status that a controller would write.
    #[must_use]
    pub fn statuses(&self) -> &[ObjectStatus] {
        &self.statuses
    }

    /// The mesh that runs, as `linkerd@2.19`.
    #[must_use]
    pub fn mesh(&self) -> Option<&str> {
        self.mesh.as_deref()
    }

    /// The configuration of a proxy at `place`, its clusters with the endpoints of `pods`; none: there is no such proxy. Proxies that
    /// ask for the same while `pods` do not change share it.
    #[must_use]
    pub fn config(&self, node: NodeRef, place: &Place, pods: &Pods) -> Option<Arc<NodeConfig>> {
        let parts = self.parts_of(node)?;
        let depends = parts
            .iter()
            .any(|part| self.parts[*part].depends_on_caller());
        let sharers = |depends: bool| depends.then(|| (place.clone(), self.workload_of(node)));
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.generation != pods.generation() {
            *made = Made {
                generation: pods.generation(),
                ..Made::default()
            };
        }
        let key = (node, sharers(depends));
        if let Some(config) = made.configs.get(&key) {
            return Some(config.clone());
        }
        let sections = parts.iter().map(|at| {
            let part = &self.parts[*at];
            let key = (*at, sharers(part.depends_on_caller()));
            let section = made.sections.entry(key);
            let make = || Arc::new(self.section(part, node, place, pods));
            section.or_insert_with(make).clone()
        });
        let config = Arc::new(NodeConfig {
            name: self.name_of(node),
            kind: match node {
                NodeRef::Gateway(_) => NodeKind::Gateway,
                NodeRef::Sidecar(_) => NodeKind::Sidecar,
            },
            sections: sections.collect(),
        });
        made.configs.insert(key, config.clone());
        Some(config)
    }

    /// What a name of a certificate in the configuration of a proxy stands for; none: the Secret, or the identity of a mesh, of that name.
    #[must_use]
    pub fn credential(&self, node: NodeRef, name: &str) -> Option<&Credential> {
        let mut parts = self.parts_of(node)?.into_iter();
        parts.find_map(|at| self.parts[at].credentials.get(name))
    }

    /// Whom a cluster of a proxy leads to, by the cluster's name; none: there is no such cluster.
    #[must_use]
    pub fn upstream(&self, node: NodeRef, cluster: &str) -> Option<&Upstream> {
        let parts = self.parts_of(node)?.into_iter().map(|at| &self.parts[at]);
        let mut clusters = parts.flat_map(|part| part.draft.clusters.iter().zip(&part.upstreams));
        let (_, upstream) = clusters.find(|(it, _)| *it.name == *cluster)?;
        Some(upstream)
    }

    /// The endpoints of the clusters of a proxy that a change of `workload`'s pods touches, by cluster name.
    #[must_use]
    pub fn endpoints(
        &self,
        node: NodeRef,
        place: &Place,
        pods: &Pods,
        workload: WorkloadId,
    ) -> Vec<(Name, Arc<EndpointSet>)> {
        let parts = self.parts_of(node).unwrap_or_default();
        let parts = parts.into_iter().map(|at| &self.parts[at]);
        let clusters = parts.flat_map(|part| part.draft.clusters.iter().zip(&part.upstreams));
        clusters
            .filter(|(_, upstream)| upstream.involves(&self.services, workload))
            .map(|(cluster, upstream)| {
                let set = self.endpoints_of(upstream, node, place, pods);
                (cluster.name.clone(), Arc::new(set))
            })
            .collect()
    }

    /// Every section, before it has endpoints, with whom its clusters lead to.
    pub fn parts(&self) -> impl Iterator<Item = (&SectionDraft, &[Upstream])> {
        let parts = self.parts.iter();
        parts.map(|part| (&part.draft, &part.upstreams[..]))
    }

    /// The section of what arrives at pods of a workload, by its place in [`Model::parts`].
    #[must_use]
    pub fn inbound_part(&self, workload: WorkloadId) -> Option<usize> {
        *self.inbound.get(workload.index())?
    }

    /// The section of what leaves them, by its place in [`Model::parts`].
    #[must_use]
    pub fn outbound_part(&self, workload: WorkloadId) -> Option<usize> {
        *self.outbound.get(workload.index())?
    }

    /// The section of a gateway, by its place in [`Model::parts`].
    #[must_use]
    pub fn served_part(&self, gateway: GatewayId) -> Option<usize> {
        *self.served.get(gateway.index())?
    }

    /// What is known of a gateway's way into the mesh; without a mesh there is none.
    pub(crate) fn reached(&self, gateway: GatewayId) -> Reached {
        let reached = self.reached.get(gateway.index());
        reached.copied().unwrap_or_default()
    }

    fn section(&self, part: &Part, node: NodeRef, place: &Place, pods: &Pods) -> Section {
        let mut draft = part.draft.clone();
        for (cluster, upstream) in draft.clusters.iter_mut().zip(&part.upstreams) {
            cluster.endpoints = Arc::new(self.endpoints_of(upstream, node, place, pods));
        }
        draft.build().expect("it was built once without endpoints")
    }

    fn endpoints_of(
        &self,
        upstream: &Upstream,
        node: NodeRef,
        place: &Place,
        pods: &Pods,
    ) -> EndpointSet {
        let cast = Cast {
            services: &self.services,
            workloads: &self.workloads,
            pods,
        };
        let none = Labels::new();
        let workload = self.workload_of(node).map(|id| &self.workloads[id.index()]);
        let labels = workload.map_or(&none, |workload| &workload.labels);
        upstream.endpoints(cast, Caller { place, labels })
    }

    fn parts_of(&self, node: NodeRef) -> Option<Vec<usize>> {
        match node {
            NodeRef::Gateway(id) => Some(vec![(*self.served.get(id.index())?)?]),
            NodeRef::Sidecar(id) => {
                let inbound = (*self.inbound.get(id.index())?)?;
                let outbound = (*self.outbound.get(id.index())?)?;
                Some(vec![inbound, outbound])
            }
        }
    }

    fn workload_of(&self, node: NodeRef) -> Option<WorkloadId> {
        match node {
            NodeRef::Gateway(id) => self.gateways.get(id.index())?.workload,
            NodeRef::Sidecar(id) => Some(id),
        }
    }

    fn name_of(&self, node: NodeRef) -> Name {
        match node {
            NodeRef::Gateway(id) => self.gateways[id.index()].name.clone(),
            NodeRef::Sidecar(id) => self.workloads[id.index()].full_name().into(),
        }
    }
}
