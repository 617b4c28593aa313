//! Kubernetes' own part of what was read: namespaces, workloads, Services and their addresses, Ingress objects.
//!
//! A [`World`] is neutral: it knows no mesh and no gateway. Each thing has a dense id, each name and address leads to it, and whatever leads
//! nowhere is a located error.

mod address;
mod dns;
mod ingress;
mod notes;
mod schema;
mod service;
mod workload;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use indexmap::IndexMap;
use proxy_core::config::Name;
use proxy_core::origin::Sourced;
use serde::de::DeserializeOwned;

use address::Addresses;
pub use address::PodBlock;
pub use dns::{CLUSTER_DOMAIN, Resolved};
pub use ingress::{Backend, Ingress, IngressPath, IngressRule, IngressTls};
pub use notes::accounts_for;
pub use schema::{Labels, PathType, PortRef};
pub use service::{Service, ServiceAddress, ServiceId, ServicePort, SliceEndpoint};
pub use workload::{Container, ContainerPort, Protocol, Workload, WorkloadId, WorkloadKind};

use crate::diagnostics::{Diagnostic, Diagnostics, Severity};
use crate::load::{Object, Objects};
use crate::origins::Origins;
use crate::text::{self, Span, Spanned};

/// What was read, as Kubernetes means it.
#[derive(Clone, Debug, Default)]
pub struct World {
    objects: Objects,
    namespaces: BTreeMap<Name, Namespace>,
    workloads: Vec<Workload>,
    services: Vec<Service>,
    ingresses: Vec<Ingress>,
    addresses: Addresses,
    workload_ids: IndexMap<String, WorkloadId>,
    service_ids: IndexMap<String, ServiceId>,
    service_at: BTreeMap<IpAddr, ServiceId>,
}

/// A namespace that something lives in.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// The name.
    pub name: Name,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// The text of its name; none when no Namespace object was given and it is known from what lives there.
    pub span: Option<Span>,
}

/// What a [`World`] is built from.
pub struct Input<'a> {
    /// What was read.
    pub objects: Objects,
    /// How many nodes the cluster has: a DaemonSet has a pod on each.
    pub nodes: u32,
    /// The world that this one follows, after a change: what persists keeps its id and its addresses.
    pub before: Option<&'a World>,
}

/// A workload that no manifest has.
pub struct Added<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The name.
    pub name: &'a str,
    /// Pods at the start.
    pub replicas: Sourced<u32>,
    /// Ports that it listens on, and that its Service has.
    pub ports: &'a [u16],
    /// Labels of its pods beyond what is chosen for it.
    pub labels: Labels,
    /// Whether a Service of its name is made when no manifest has one.
    pub has_service: bool,
}

impl World {
    /// Reads Kubernetes' own kinds, resolves selectors and gives addresses. Every problem is reported; what could be read is there.
    pub fn build(input: Input<'_>, origins: &mut Origins, problems: &mut Diagnostics) -> Self {
        let mut world = Self {
            objects: input.objects,
            ..Self::default()
        };
        if let Some(before) = input.before {
            world.follow(before);
        }
        let objects = std::mem::take(&mut world.objects);
        for object in objects.iter() {
            notes::tell(object, problems);
            world.read_object(object, &objects, input.nodes, origins, problems);
        }
        for object in objects.of("discovery.k8s.io", "EndpointSlice") {
            world.read_slice(object, problems);
        }
        world.objects = objects;
        for home in world.homes() {
            world.name_namespace(home);
        }
        for nth in 0..world.services.len() {
            world.connect(ServiceId(dense(nth)));
        }
        world
    }

    /// Adds a workload that no manifest has, with a Service of its name. A Service of that name in the manifests which selects nobody selects it:
    /// its pods then have the labels that the Service wants. A workload of that name that is there already is returned as it is.
    ///
    /// `None` when no address is left.
    pub fn add_workload(
        &mut self,
        added: Added<'_>,
        problems: &mut Diagnostics,
    ) -> Option<WorkloadId> {
        let title = format!("{}/{}", added.namespace, added.name);
        if let Some(workload) = self.workload_named(added.namespace, added.name) {
            return Some(workload.id);
        }
        let own = self.service_named(added.namespace, added.name);
        let wanted = own
            .filter(|service| service.workloads.is_empty())
            .and_then(|service| service.selector.as_ref());
        let mut labels = match wanted {
            Some(selector) => selector.value.clone(),
            None => {
                let nowhere = |text: &str| Spanned::new(text.to_owned(), Span::NOWHERE);
                Labels::from([(nowhere("app"), nowhere(added.name))])
            }
        };
        labels.extend(added.labels);
        let makes_service = added.has_service && own.is_none();
        let listens: Vec<u16> = match own {
            Some(service) if added.ports.is_empty() => service
                .ports
                .iter()
                .filter_map(|port| match port.target.value {
                    PortRef::Number(number) => Some(number),
                    PortRef::Name(_) => None,
                })
                .collect(),
            Some(_) | None => added.ports.to_vec(),
        };
        let draft = workload::added(labels, added.replicas, &listens);
        let id = self.add_draft(draft, &title, added.namespace, added.name, problems)?;
        self.connect_workload(id);
        if makes_service {
            let Ok(address) = self.addresses.service(&title) else {
                problems.push(Diagnostic::error(
                    "service::address",
                    format!("no Service address is left for {title}"),
                ));
                return None;
            };
            let service_id = self.service_id(&title);
            let service = service::added(
                service_id,
                &self.workloads[id.index()],
                address,
                added.ports,
            );
            put(&mut self.services, service_id.index(), service);
            self.connect(service_id);
        }
        self.name_namespace(added.namespace.into());
        Some(id)
    }

    /// Every object that was read.
    #[must_use]
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Namespaces by name: those with an object, and those that something lives in.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.values()
    }

    /// A namespace.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// All workloads, by id; those that are gone among them.
    #[must_use]
    pub fn workloads(&self) -> &[Workload] {
        &self.workloads
    }

    /// One workload.
    #[must_use]
    pub fn workload(&self, id: WorkloadId) -> &Workload {
        &self.workloads[id.index()]
    }

    /// A workload by name; when a Deployment and another kind share it, the first of them.
    #[must_use]
    pub fn workload_named(&self, namespace: &str, name: &str) -> Option<&Workload> {
        self.workloads.iter().find(|workload| {
            !workload.is_gone && *workload.name == *name && *workload.namespace == *namespace
        })
    }

    /// All Services, by id; those that are gone among them.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// One Service.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> &Service {
        &self.services[id.index()]
    }

    /// A Service by name.
    #[must_use]
    pub fn service_named(&self, namespace: &str, name: &str) -> Option<&Service> {
        let id = self.service_ids.get(&format!("{namespace}/{name}"))?;
        self.services
            .get(id.index())
            .filter(|service| !service.is_gone)
    }

    /// The Service that has an address.
    #[must_use]
    pub fn service_at(&self, address: IpAddr) -> Option<&Service> {
        self.service_at.get(&address).map(|id| self.service(*id))
    }

    /// The workload and the slot of the pod that has an address.
    #[must_use]
    pub fn pod_at(&self, address: IpAddr) -> Option<(WorkloadId, u32)> {
        self.workloads
            .iter()
            .filter(|workload| !workload.is_gone)
            .find_map(|workload| Some((workload.id, workload.addresses.ordinal(address)?)))
    }

    /// Ingress objects in the order read.
    #[must_use]
    pub fn ingresses(&self) -> &[Ingress] {
        &self.ingresses
    }

    /// Takes over ids and addresses; everything counts as gone until it is read again.
    fn follow(&mut self, before: &Self) {
        self.addresses = before.addresses.clone();
        self.workload_ids = before.workload_ids.clone();
        self.service_ids = before.service_ids.clone();
        self.workloads = before
            .workloads
            .iter()
            .cloned()
            .map(Workload::into_gone)
            .collect();
        self.services = before
            .services
            .iter()
            .cloned()
            .map(Service::into_gone)
            .collect();
    }

    fn read_object(
        &mut self,
        object: &Object,
        objects: &Objects,
        nodes: u32,
        origins: &mut Origins,
        problems: &mut Diagnostics,
    ) {
        let key = &object.key;
        if let Some(kind) = workload::kind_of(object) {
            if stands_for_replica(object, objects) {
                let message = format!(
                    "{key} was made by a cluster for a workload that is here too: left out"
                );
                problems.push(
                    Diagnostic::listed("workload::replica", message)
                        .label(object.name_span, "this object"),
                );
                return;
            }
            if let Some(draft) = workload::read(object, kind, nodes, origins, problems) {
                let title = format!("{}/{}", key.namespace, key.name);
                let _: Option<WorkloadId> =
                    self.add_draft(draft, &title, &key.namespace, &key.name, problems);
            }
            return;
        }
        match (key.group.as_str(), key.kind.as_str()) {
            ("", "Namespace") => {
                let bare: schema::Bare = read_checked(object, problems).unwrap_or_default();
                let name: Name = key.name.as_str().into();
                let namespace = Namespace {
                    name: name.clone(),
                    labels: bare.metadata.labels,
                    annotations: bare.metadata.annotations,
                    span: Some(object.name_span),
                };
                self.namespaces.insert(name, namespace);
            }
            ("", "Service") => {
                let id = self.service_id(&format!("{}/{}", key.namespace, key.name));
                match service::read(object, id, &mut self.addresses, problems) {
                    Some(service) => put(&mut self.services, id.index(), service),
                    // An id without a Service behind it: the last one is taken back, an older one stays gone.
                    None if id.index() == self.services.len() => {
                        self.service_ids.pop();
                    }
                    None => {}
                }
            }
            ("networking.k8s.io", "Ingress") => {
                self.ingresses.extend(ingress::read(object, problems))
            }
            // Read when all Services are there.
            ("discovery.k8s.io", "EndpointSlice") => {}
            _ => schema::check(object, problems),
        }
    }

    fn add_draft(
        &mut self,
        draft: workload::Draft,
        title: &str,
        namespace: &str,
        name: &str,
        problems: &mut Diagnostics,
    ) -> Option<WorkloadId> {
        let key = format!("{:?}/{title}", draft.kind);
        let Ok(block) = self.addresses.pods(&key, draft.replicas.value) else {
            problems.push(
                Diagnostic::error(
                    "workload::address",
                    format!("no pod addresses are left in 10.128.0.0/9 for {title}"),
                )
                .label(draft.span, "this workload"),
            );
            return None;
        };
        let next = WorkloadId(dense(self.workloads.len()));
        let id = *self.workload_ids.entry(key).or_insert(next);
        let workload = draft.finish(id, namespace, name, block);
        put(&mut self.workloads, id.index(), workload);
        Some(id)
    }

    fn service_id(&mut self, title: &str) -> ServiceId {
        let next = ServiceId(dense(self.services.len()));
        *self.service_ids.entry(title.to_owned()).or_insert(next)
    }

    fn read_slice(&mut self, object: &Object, problems: &mut Diagnostics) {
        let Some((service, endpoints)) = service::read_slice(object, problems) else {
            return;
        };
        let Some(found) = self.service_named(&object.key.namespace, &service) else {
            let problem = self.no_such_service(&object.key.namespace, &service);
            problems.push(problem);
            return;
        };
        let at = found.id.index();
        self.services[at].endpoints.extend(endpoints);
    }

    /// Where things live.
    fn homes(&self) -> BTreeSet<Name> {
        let workloads = self.workloads.iter().map(|each| each.namespace.clone());
        let services = self.services.iter().map(|each| each.namespace.clone());
        let ingresses = self
            .ingresses
            .iter()
            .map(|each| Name::from(each.key.namespace.as_str()));
        workloads.chain(services).chain(ingresses).collect()
    }

    /// A namespace that is known only from what lives there.
    fn name_namespace(&mut self, name: Name) {
        self.namespaces
            .entry(name.clone())
            .or_insert_with(|| Namespace {
                name,
                labels: Labels::new(),
                annotations: Labels::new(),
                span: None,
            });
    }

    /// Finds out whose pods a Service selects, and what its address is.
    fn connect(&mut self, id: ServiceId) {
        let service = &mut self.services[id.index()];
        service.workloads.clear();
        if service.is_gone {
            return;
        }
        if let ServiceAddress::Cluster(address) = service.address {
            self.service_at.insert(address, id);
        }
        let Some(selector) = &service.selector else {
            return;
        };
        for workload in &mut self.workloads {
            if !workload.is_gone
                && workload.namespace == service.namespace
                && workload.is_selected_by(selector)
            {
                service.workloads.push(workload.id);
                workload.services.push(id);
            }
        }
    }

    /// Finds out which Services select the pods of a workload that came later.
    fn connect_workload(&mut self, id: WorkloadId) {
        let workload = &mut self.workloads[id.index()];
        for service in &mut self.services {
            let selects = service.namespace == workload.namespace
                && service
                    .selector
                    .as_ref()
                    .is_some_and(|selector| workload.is_selected_by(selector));
            if selects && !service.is_gone {
                service.workloads.push(id);
                workload.services.push(service.id);
            }
        }
    }
}

/// Reads an object in part, and checks it whole; a value that both find wrong is told once.
fn read_checked<T: DeserializeOwned>(object: &Object, problems: &mut Diagnostics) -> Option<T> {
    let mark = problems.len();
    let value = text::read_part(&object.node, problems);
    let mut checked = Diagnostics::default();
    schema::check(object, &mut checked);
    let told: Vec<Option<Span>> = problems.since(mark).iter().map(Diagnostic::span).collect();
    problems.extend(checked.into_iter().filter(|problem| {
        problem.severity() != Severity::Error || !told.contains(&problem.span())
    }));
    value
}

/// Whether an object is a cluster's own copy of a replica: its controller, or that one's, is among the objects.
fn stands_for_replica(object: &Object, objects: &Objects) -> bool {
    let Some(owner) = &object.owner else {
        return false;
    };
    let group = if matches!(owner.kind.as_str(), "Job" | "CronJob") {
        "batch"
    } else {
        "apps"
    };
    if objects
        .get(group, &owner.kind, &object.key.namespace, &owner.name)
        .is_some()
    {
        return true;
    }
    // `kubectl get deployments,pods` leaves the ReplicaSet between them out: it is the Deployment's name and a hash.
    owner.kind == "ReplicaSet"
        && owner.name.rsplit_once('-').is_some_and(|(deployment, _)| {
            objects
                .get("apps", "Deployment", &object.key.namespace, deployment)
                .is_some()
        })
}

fn put<T>(list: &mut Vec<T>, at: usize, value: T) {
    match list.get_mut(at) {
        Some(slot) => *slot = value,
        None => list.push(value),
    }
}

fn dense(len: usize) -> u32 {
    u32::try_from(len).expect("fewer than 2^32 objects")
}
