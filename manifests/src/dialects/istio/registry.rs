//! The hosts of the mesh: Services and ServiceEntries alike.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proxy_core::config::{Cidr, Name};
use proxy_core::origin::OriginId;

use super::export::Export;
use super::protocol::Protocol;
use super::release::Release;
use super::virtual_service::names::{complete, is_within};
use crate::dialects::Compile;
use crate::load::Objects;
use crate::model::{Labels, Service, ServiceId, ServiceKind, WorkloadId};

/// Who sees a Service, as an annotation of it.
const EXPORT: &str = "networking.istio.io/exportTo";
/// How callers of a Service are spread, as an annotation of it.
const DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";

/// A host that can be called.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// Fully qualified; of a ServiceEntry as written, a pattern too.
    pub(super) name: Name,
    /// Other names that lead to it: Services of the kind ExternalName.
    pub(super) aliases: Vec<Name>,
    /// Its namespace.
    pub(super) namespace: Name,
    /// What reports call it.
    pub(super) title: Name,
    /// TCP ports.
    pub(super) ports: Vec<Port>,
    /// What is dialled for it; empty: any address.
    pub(super) addresses: Vec<Cidr>,
    /// Who answers.
    pub(super) behind: Behind,
    /// Who sees it.
    pub(super) export: Export,
    /// Whether it is outside of the mesh: no mutual TLS.
    pub(super) external: bool,
    /// `trafficDistribution`: labels by which the nearest pods come first.
    pub(super) nearest: Vec<Name>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// A port of a host.
#[derive(Clone, Debug)]
pub(super) struct Port {
    /// What callers dial.
    pub(super) number: u16,
    /// What it speaks.
    pub(super) protocol: Protocol,
    /// Its name.
    pub(super) name: Name,
    /// What is dialled on endpoints of a ServiceEntry.
    pub(super) target: u16,
}

/// Who answers for a host.
#[derive(Clone, Debug)]
pub(super) enum Behind {
    /// The pods of a Service.
    Service(ServiceId),
    /// Whatever address was dialled: a headless Service.
    Headless(ServiceId),
    /// Whatever address was dialled.
    Dialled,
    /// Endpoints of a ServiceEntry.
    Endpoints(Vec<EntryEndpoint>),
    /// Pods that a ServiceEntry selects.
    Workloads(Vec<WorkloadId>),
}

/// An endpoint of a ServiceEntry.
#[derive(Clone, Debug)]
pub(super) struct EntryEndpoint {
    /// Its address, or the Service whose name it has.
    pub(super) at: Place,
    /// Ports by the name of the entry's port.
    pub(super) ports: BTreeMap<Name, u16>,
    /// Labels.
    pub(super) labels: Labels,
    /// Region, zone and subzone.
    pub(super) locality: Name,
    /// Share.
    pub(super) weight: u32,
    /// Identity of a proxy that stands before it.
    pub(super) identity: Option<Name>,
}

/// Where an endpoint is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// At an address.
    Address(IpAddr),
    /// Behind a Service's own address.
    Service(ServiceId),
}

impl Host {
    /// The port of that number.
    pub(super) fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// Whether every request goes to the address that was dialled.
    pub(super) const fn is_dialled(&self) -> bool {
        matches!(self.behind, Behind::Headless(_) | Behind::Dialled)
    }
}

/// All hosts, Services first.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    hosts: Vec<Host>,
}

impl Registry {
    /// The Services; those of the kind ExternalName are other names of what they lead to.
    pub(super) fn of_services(release: Release, cx: &mut Compile<'_>) -> Self {
        let services = cx.services;
        let mut hosts: Vec<Host> = services
            .iter()
            .filter_map(|service| host(service, release, cx.objects))
            .collect();
        for service in services {
            if let ServiceKind::ExternalName(target) = &service.kind {
                let target = complete(target.trim_end_matches('.'), &service.namespace);
                let found = hosts.iter_mut().find(|host| *host.name == target);
                if let Some(host) = found {
                    host.aliases.push(service.host().into());
                }
            }
        }
        Self { hosts }
    }

    /// Takes a host of a ServiceEntry in.
    pub(super) fn add(&mut self, host: Host) {
        self.hosts.push(host);
    }

    /// All of them.
    pub(super) fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The host of that full name that callers of a namespace see: their own, else a Service, else any.
    pub(super) fn find(&self, name: &str, viewer: &str) -> Option<usize> {
        let seen = |host: &Host| {
            (*host.name == *name || host.aliases.iter().any(|alias| **alias == *name))
                && host.export.shows(&host.namespace, viewer)
        };
        let found = self.hosts.iter().enumerate().filter(|(_, host)| seen(host));
        let best = found.min_by_key(|(at, host)| (*host.namespace != *viewer, *at))?;
        Some(best.0)
    }

    /// Whether some host, whoever sees it, has that name or is covered by that pattern.
    pub(super) fn has(&self, pattern: &str) -> bool {
        self.hosts.iter().any(|host| {
            is_within(&host.name, pattern)
                || is_within(pattern, &host.name)
                || host.aliases.iter().any(|alias| is_within(alias, pattern))
        })
    }
}

fn host(service: &Service, release: Release, objects: &Objects) -> Option<Host> {
    let (addresses, behind) = match &service.kind {
        ServiceKind::ClusterIp(ip) => (vec![single(*ip)], Behind::Service(service.id)),
        ServiceKind::Headless => (Vec::new(), Behind::Headless(service.id)),
        ServiceKind::ExternalName(_) => return None,
    };
    let ports = service
        .ports
        .iter()
        .filter(|port| !port.udp)
        .map(|port| Port {
            number: port.number,
            protocol: Protocol::of_service_port(
                port.number,
                port.name.as_deref(),
                port.app_protocol.as_deref(),
            ),
            name: port.name.clone().unwrap_or_else(|| "".into()),
            target: port.number,
        });
    let export = service.annotations.get(EXPORT);
    Some(Host {
        name: service.host().into(),
        aliases: Vec::new(),
        namespace: service.namespace.clone(),
        title: service.full_name().into(),
        ports: ports.collect(),
        addresses,
        behind,
        export: export
            .map(|words| Export::of_annotation(words))
            .unwrap_or_default(),
        external: false,
        nearest: nearest(service, release, objects),
        origin: service.origin,
    })
}

/// One address as a block.
pub(super) const fn single(ip: IpAddr) -> Cidr {
    Cidr {
        address: ip,
        bits: if ip.is_ipv4() { 32 } else { 128 },
    }
}

/// Source: istio 1.29 `pilot/pkg/networking/core/loadbalancer/loadbalancer.go`, `GetEffectiveLbSetting`.
fn nearest(service: &Service, release: Release, objects: &Objects) -> Vec<Name> {
    if !release.has_traffic_distribution() {
        return Vec::new();
    }
    let object = objects.get("", "Service", &service.namespace, &service.name);
    let field = object
        .and_then(|object| object.node.at("spec.trafficDistribution"))
        .and_then(|node| node.as_str());
    let annotation = service.annotations.get(DISTRIBUTION).map(|word| &**word);
    let labels: &[&str] = match annotation.or(field).map(str::to_ascii_lowercase).as_deref() {
        Some("preferclose" | "prefersamezone") => &[
            "topology.istio.io/network",
            "topology.kubernetes.io/region",
            "topology.kubernetes.io/zone",
        ],
        Some("prefersamenode") => &[
            "topology.istio.io/network",
            "topology.kubernetes.io/region",
            "topology.kubernetes.io/zone",
            "topology.istio.io/subzone",
            "kubernetes.io/hostname",
        ],
        _ => &[],
    };
    labels.iter().map(|label| Name::from(*label)).collect()
}
