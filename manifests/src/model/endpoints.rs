//! From whom a cluster leads to, and the pods that are there, to endpoints.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::config::{DiscoveredHealth, Endpoint, EndpointSet, Name, Subset};

use super::{
    Distribution, Failover, Labels, Listed, Members, Place, Placement, Pod, Pods, Service,
    ServicePort, TargetPort, Upstream, Workload, WorkloadId,
};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Where it is.
    pub place: &'a Place,
    /// Labels of its pods.
    pub labels: &'a Labels,
}

/// What endpoints are found in.
#[derive(Clone, Copy, Debug)]
pub struct Cast<'a> {
    /// By id.
    pub services: &'a [Service],
    /// By id, their sidecars decided.
    pub workloads: &'a [Workload],
    /// Those that are there.
    pub pods: &'a Pods,
}

/// An endpoint and the labels it is compared by.
struct Candidate {
    endpoint: Endpoint,
    topology: Option<(Labels, Place)>,
}

impl Upstream {
    /// Whether endpoints differ with the caller.
    #[must_use]
    pub const fn depends_on_caller(&self) -> bool {
        match self.placement {
            Placement::Alike | Placement::Weighted => false,
            Placement::Failover(_) | Placement::Distribute(_) => true,
        }
    }

    /// Whether a change of `workload`'s pods may change the endpoints.
    #[must_use]
    pub fn involves(&self, services: &[Service], workload: WorkloadId) -> bool {
        self.members.involves(services, workload)
    }

    /// The endpoints at this moment, as `caller` sees them.
    #[must_use]
    pub fn endpoints(&self, cast: Cast<'_>, caller: Caller<'_>) -> EndpointSet {
        let mut found = Vec::new();
        self.collect(&self.members, cast, &mut found);
        let locality_weights = match &self.placement {
            Placement::Alike => Vec::new(),
            Placement::Weighted => weights_by_count(&found),
            Placement::Failover(failover) => {
                failover.prioritise(&mut found, caller);
                if failover.weighted {
                    weights_by_count(&found)
                } else {
                    Vec::new()
                }
            }
            Placement::Distribute(rules) => distribute(rules, &mut found, caller),
        };
        EndpointSet {
            endpoints: found
                .into_iter()
                .map(|candidate| candidate.endpoint)
                .collect(),
            locality_weights,
        }
    }

    fn collect(&self, members: &Members, cast: Cast<'_>, out: &mut Vec<Candidate>) {
        match members {
            Members::None => {}
            Members::Pods {
                service,
                port,
                labels,
            } => {
                let service = &cast.services[service.index()];
                if let Some(port) = service.port(*port) {
                    self.add_behind(service, port, labels, cast, out);
                }
            }
            Members::Datagrams { service, port } => {
                let service = &cast.services[service.index()];
                if let Some(port) = service.datagram_port(*port) {
                    self.add_behind(service, port, &Subset::new(), cast, out);
                }
            }
            Members::Workloads { workloads, port } if cast.pods.are_listed() => {
                let all = cast.services.iter().flat_map(|service| &service.listed);
                let mut seen = Vec::new();
                for listed in all {
                    let of = listed.workload.filter(|id| workloads.contains(id));
                    let number = of.and_then(|id| cast.workloads[id.index()].target_port(port));
                    if number.is_some() && !seen.contains(&listed.ip) {
                        seen.push(listed.ip);
                        self.add_listed(listed, number, &Subset::new(), cast, out);
                    }
                }
            }
            Members::Workloads { workloads, port } => {
                for workload in workloads {
                    self.add_pods(*workload, port, &Subset::new(), cast, out);
                }
            }
            Members::Address { service, port } => {
                let service = &cast.services[service.index()];
                if let Some(ip) = service.cluster_ip() {
                    let mut endpoint = Endpoint::at(SocketAddr::new(ip, *port));
                    endpoint.hostname = service.host().into();
                    out.push(Candidate {
                        endpoint,
                        topology: None,
                    });
                }
            }
            Members::Fixed(endpoints) => {
                out.extend(endpoints.iter().cloned().map(|endpoint| Candidate {
                    endpoint,
                    topology: None,
                }))
            }
            Members::Several(all) => {
                for members in all {
                    self.collect(members, cast, out);
                }
            }
            Members::Ranked(all) => {
                for (rank, members) in all.iter().enumerate() {
                    let mut found = Vec::new();
                    self.collect(members, cast, &mut found);
                    for mut candidate in found {
                        let address = candidate.endpoint.address;
                        if out.iter().any(|it| it.endpoint.address == address) {
                            continue;
                        }
                        candidate.endpoint.priority = u8::try_from(rank).unwrap_or(u8::MAX);
                        out.push(candidate);
                    }
                }
            }
        }
    }

    /// The pods behind a port: those that are listed, or those that its selector takes.
    fn add_behind(
        &self,
        service: &Service,
        port: &ServicePort,
        labels: &Subset,
        cast: Cast<'_>,
        out: &mut Vec<Candidate>,
    ) {
        if cast.pods.are_listed() {
            for listed in &service.listed {
                let name = port.name.as_deref().unwrap_or_default();
                let mut ports = listed.ports.iter();
                let number = ports.find(|(it, _)| **it == *name).map(|it| it.1);
                self.add_listed(listed, number, labels, cast, out);
            }
        } else {
            for workload in &service.workloads {
                self.add_pods(*workload, &port.target, labels, cast, out);
            }
        }
    }

    /// One that an EndpointSlice names; what its workload would say of it is unknown where that is.
    fn add_listed(
        &self,
        listed: &Listed,
        port: Option<u16>,
        wanted: &Subset,
        cast: Cast<'_>,
        out: &mut Vec<Candidate>,
    ) {
        let Some(port) = port.filter(|_| listed.ready) else {
            return;
        };
        let none = Labels::new();
        let workload = listed.workload.map(|id| &cast.workloads[id.index()]);
        let labels = workload.map_or(&none, |workload| &workload.labels);
        if !has_all(labels, wanted) {
            return;
        }
        let sidecar = workload
            .filter(|workload| !self.plaintext.contains(&workload.id))
            .and_then(|workload| workload.sidecar.as_ref());
        out.push(Candidate {
            endpoint: Endpoint {
                hostname: listed.pod.clone().unwrap_or_default(),
                locality: listed.place.locality.clone(),
                health: DiscoveredHealth::Healthy,
                labels: label_row(labels),
                identity: sidecar.map(|sidecar| sidecar.identity.clone()),
                ..Endpoint::at(SocketAddr::new(listed.ip, port))
            },
            topology: self
                .depends_on_caller()
                .then(|| (labels.clone(), listed.place.clone())),
        });
    }

    fn add_pods(
        &self,
        id: WorkloadId,
        target: &TargetPort,
        wanted: &Subset,
        cast: Cast<'_>,
        out: &mut Vec<Candidate>,
    ) {
        let workload = &cast.workloads[id.index()];
        let Some(port) = workload.target_port(target) else {
            return;
        };
        let sidecar = workload
            .sidecar
            .as_ref()
            .filter(|_| !self.plaintext.contains(&id));
        let ready = cast
            .pods
            .of(id)
            .iter()
            .filter(|pod| pod.ready && !pod.draining);
        for pod in ready {
            let labels = pod.labels.as_deref().unwrap_or(&workload.labels);
            if !has_all(labels, wanted) {
                continue;
            }
            let needs_topology = self.depends_on_caller();
            out.push(Candidate {
                endpoint: Endpoint {
                    hostname: pod.name.clone(),
                    locality: pod.place.locality.clone(),
                    health: DiscoveredHealth::Healthy,
                    labels: label_row(labels),
                    identity: sidecar.map(|sidecar| sidecar.identity.clone()),
                    ..Endpoint::at(SocketAddr::new(pod.ip, port))
                },
                topology: needs_topology.then(|| (labels.clone(), pod.place.clone())),
            });
        }
    }
}

fn has_all(labels: &Labels, wanted: &Subset) -> bool {
    let mut wanted = wanted.iter();
    wanted.all(|(key, value)| labels.get(key) == Some(value))
}

fn label_row(labels: &Labels) -> Arc<[(Name, Name)]> {
    labels
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

impl Members {
    fn involves(&self, services: &[Service], workload: WorkloadId) -> bool {
        match self {
            Self::None | Self::Address { .. } | Self::Fixed(_) => false,
            Self::Pods { service, .. } | Self::Datagrams { service, .. } => {
                services[service.index()].workloads.contains(&workload)
            }
            Self::Workloads { workloads, .. } => workloads.contains(&workload),
            Self::Several(all) | Self::Ranked(all) => all
                .iter()
                .any(|members| members.involves(services, workload)),
        }
    }
}

/// The addresses of the ready pods behind a Service's port, as kube-proxy knows them.
#[must_use]
pub fn ready_addresses(
    service: &Service,
    port: u16,
    cast: Cast<'_>,
) -> Vec<(WorkloadId, SocketAddr)> {
    let Some(port) = service.port(port) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for id in &service.workloads {
        let Some(number) = cast.workloads[id.index()].target_port(&port.target) else {
            continue;
        };
        let usable = |pod: &&Pod| pod.ready && !pod.draining;
        let ready = cast.pods.of(*id).iter().filter(usable);
        found.extend(ready.map(|pod| (*id, SocketAddr::new(pod.ip, number))));
    }
    found
}

fn weights_by_count(found: &[Candidate]) -> Vec<(Name, u8, u32)> {
    let mut counts: BTreeMap<(u8, Name), u32> = BTreeMap::new();
    for candidate in found {
        let endpoint = &candidate.endpoint;
        *counts
            .entry((endpoint.priority, endpoint.locality.clone()))
            .or_default() += endpoint.weight;
    }
    let rows = counts.into_iter();
    rows.map(|((priority, locality), weight)| (locality, priority, weight))
        .collect()
}

/// Region, zone and subzone; missing ones are empty.
fn parts(locality: &str) -> [&str; 3] {
    let mut parts = locality.splitn(3, '/');
    [(); 3].map(|()| parts.next().unwrap_or_default())
}

impl Failover {
    /// Source: istio 1.29 `pilot/pkg/networking/core/loadbalancer/loadbalancer.go`, `applyFailoverPriorities` and
    /// `applyLocalityFailover`; `pilot/pkg/networking/util/util.go`, `LbPriority`.
    fn prioritise(&self, found: &mut [Candidate], caller: Caller<'_>) {
        let mut ranks: Vec<(usize, u32)> = found
            .iter()
            .map(|candidate| {
                (
                    self.label_rank(candidate, caller),
                    self.locality_rank(candidate, caller),
                )
            })
            .collect();
        if !self.localities {
            ranks.iter_mut().for_each(|rank| rank.1 = 0);
        }
        let mut distinct = ranks.clone();
        distinct.sort_unstable();
        distinct.dedup();
        for (candidate, rank) in found.iter_mut().zip(&ranks) {
            let at = distinct.partition_point(|other| other < rank);
            candidate.endpoint.priority = u8::try_from(at).unwrap_or(u8::MAX);
        }
    }

    /// 0 where all labels agree, else the later the first difference, the smaller.
    fn label_rank(&self, candidate: &Candidate, caller: Caller<'_>) -> usize {
        let Some((labels, place)) = &candidate.topology else {
            return 0;
        };
        let differs = self.labels.iter().position(|(label, value)| {
            let own = match value {
                Some(value) => Some(&**value),
                None => topology_label(label, caller.labels, caller.place),
            };
            own.unwrap_or_default() != topology_label(label, labels, place).unwrap_or_default()
        });
        differs.map_or(0, |at| self.labels.len() - at)
    }

    fn locality_rank(&self, candidate: &Candidate, caller: Caller<'_>) -> u32 {
        let [region, zone, subzone] = parts(&caller.place.locality);
        let [their_region, their_zone, their_subzone] = parts(&candidate.endpoint.locality);
        if region == their_region {
            return match (zone == their_zone, subzone == their_subzone) {
                (true, true) => 0,
                (true, false) => 1,
                (false, _) => 2,
            };
        }
        let next = self.regions.iter().find(|(from, _)| **from == *region);
        if next.is_some_and(|(_, to)| **to != *their_region) {
            4
        } else {
            3
        }
    }
}

fn topology_label<'a>(label: &str, labels: &'a Labels, place: &'a Place) -> Option<&'a str> {
    let [region, zone, subzone] = parts(&place.locality);
    match label {
        "topology.kubernetes.io/region" => Some(region),
        "topology.kubernetes.io/zone" => Some(zone),
        "topology.istio.io/subzone" => Some(subzone),
        "kubernetes.io/hostname" => Some(&place.node),
        // one network, one cluster
        "topology.istio.io/network" | "topology.istio.io/cluster" => Some(""),
        _ => labels.get(label).map(|value| &**value),
    }
}

/// Whether `locality` lies under `pattern`, level by level; an empty pattern level or `*` takes all.
fn locality_matches(locality: &str, pattern: &str) -> bool {
    let pairs = parts(locality).into_iter().zip(parts(pattern));
    for (level, wanted) in pairs {
        if wanted.is_empty() || wanted == "*" {
            return true;
        }
        if level != wanted {
            return false;
        }
    }
    true
}

/// Source: istio 1.29 `loadbalancer.go`, `applyLocalityWeights`: endpoints that no share names are left out.
fn distribute(
    rules: &[Distribution],
    found: &mut Vec<Candidate>,
    caller: Caller<'_>,
) -> Vec<(Name, u8, u32)> {
    let Some(rule) = rules
        .iter()
        .find(|rule| locality_matches(&caller.place.locality, &rule.from))
    else {
        return weights_by_count(found);
    };
    let mut counts: BTreeMap<Name, u32> = BTreeMap::new();
    for candidate in found.iter() {
        *counts
            .entry(candidate.endpoint.locality.clone())
            .or_default() += candidate.endpoint.weight;
    }
    let mut weights: BTreeMap<Name, u32> = BTreeMap::new();
    for (pattern, share) in &rule.to {
        let matched: Vec<(Name, u32)> = counts
            .iter()
            .filter(|(locality, _)| {
                locality_matches(locality, pattern) && !weights.contains_key(*locality)
            })
            .map(|(locality, count)| (locality.clone(), *count))
            .collect();
        let total: u32 = matched.iter().map(|(_, count)| count).sum();
        for (locality, count) in matched {
            let weight = (u64::from(count) * u64::from(*share)).div_ceil(u64::from(total.max(1)));
            weights.insert(locality, u32::try_from(weight).unwrap_or(u32::MAX));
        }
    }
    found.retain(|candidate| weights.contains_key(&candidate.endpoint.locality));
    weights
        .into_iter()
        .map(|(locality, weight)| (locality, 0, weight))
        .collect()
}
