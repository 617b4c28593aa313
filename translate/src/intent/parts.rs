//! Sections, and whom they lead to.

use manifests::model::{Members, Model, Service, ServiceId, TargetPort, WorkloadId};
use proxy_core::config::{
    Cluster, ClusterIndex, DownstreamTransport, FilterChain, Name, Route, RouteAction,
    TransportProtocol, VirtualHost,
};

use super::{Destination, Host, Leads, Part, Rule, Source, Tls};

impl<'a> Part<'a> {
    /// The section of this number in [`Model::parts`].
    pub(super) fn nth(model: &'a Model, nth: usize) -> Option<Self> {
        let (draft, upstreams) = model.parts().nth(nth)?;
        Some(Self { draft, upstreams })
    }

    /// Where a cluster leads to.
    pub(super) fn destination(
        &self,
        source: Source<'a>,
        at: ClusterIndex,
        weight: u32,
    ) -> Destination<'a> {
        let at = at.0 as usize;
        let (cluster, upstream) = (self.draft.clusters.get(at), self.upstreams.get(at));
        let leads = match (cluster, upstream) {
            (Some(cluster), Some(upstream)) => leads_of(source, cluster, &upstream.members),
            (_, _) => Leads::Missing,
        };
        Destination {
            leads,
            weight,
            weighted: None,
            cluster,
            upstream,
        }
    }

    pub(super) fn split(
        &self,
        source: Source<'a>,
        clusters: &[(ClusterIndex, u32)],
    ) -> Vec<Destination<'a>> {
        let all = clusters.iter();
        all.map(|(at, weight)| self.destination(source, *at, *weight))
            .collect()
    }

    pub(super) fn rule(&self, source: Source<'a>, route: &'a Route) -> Rule<'a> {
        let RouteAction::Forward(forward) = &route.action else {
            return Rule {
                route,
                to: Vec::new(),
                mirrors: Vec::new(),
            };
        };
        let to = forward.clusters.iter().map(|weighted| {
            let to = match weighted.cluster {
                Some(at) => self.destination(source, at, weighted.weight),
                None => Destination {
                    leads: Leads::Missing,
                    weight: weighted.weight,
                    weighted: None,
                    cluster: None,
                    upstream: None,
                },
            };
            Destination {
                weighted: Some(weighted),
                ..to
            }
        });
        let mirrors = forward.mirrors.iter();
        Rule {
            route,
            to: to.collect(),
            mirrors: mirrors
                .map(|mirror| self.destination(source, mirror.cluster, 1))
                .collect(),
        }
    }

    pub(super) fn host(
        &self,
        source: Source<'a>,
        host: &'a VirtualHost,
        ignore_port: bool,
    ) -> Host<'a> {
        Host {
            host,
            names: names(host, ignore_port),
            rules: host
                .routes
                .iter()
                .map(|route| self.rule(source, route))
                .collect(),
        }
    }
}

/// The hosts of a virtual host as people write them.
fn names(host: &VirtualHost, ignore_port: bool) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let without = |domain: &str| match domain.rsplit_once(':') {
        Some((name, port))
            if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit() || b == b'*') =>
        {
            Some(name.to_owned())
        }
        Some(_) | None => None,
    };
    let stands = |name: &str| host.domains.iter().any(|own| **own == *name);
    for domain in &host.domains {
        let name = match without(domain) {
            Some(name) if ignore_port || stands(&name) => name,
            Some(_) | None => domain.to_string(),
        };
        // with and without the last dot it is one host
        let name = match name.strip_suffix('.') {
            Some(bare) if !bare.is_empty() => bare.to_owned(),
            Some(_) | None => name,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Whom a cluster leads to.
pub(crate) fn leads_of(source: Source<'_>, cluster: &Cluster, members: &Members) -> Leads {
    let service = |service: ServiceId, port: u16, labels: &[(Name, Name)], by_address: bool| {
        let mut labels = match labels {
            [] => cluster.subset.clone(),
            own => own.to_vec(),
        };
        labels.sort();
        Leads::Service {
            service,
            port,
            labels,
            by_address,
        }
    };
    match members {
        Members::Pods {
            service: id,
            port,
            labels,
        } => service(*id, *port, labels, false),
        Members::Datagrams { service: id, port } => service(*id, *port, &[], false),
        Members::Address { service: id, port } => service(*id, *port, &[], true),
        Members::Workloads { workloads, port } => {
            match behind(source, &cluster.service, workloads, port) {
                Some((id, port, labels)) => service(id, port, &labels, false),
                None => Leads::Other,
            }
        }
        Members::Ranked(all) if all.len() == 1 => leads_of(source, cluster, &all[0]),
        Members::Several(all) if all.len() == 1 => leads_of(source, cluster, &all[0]),
        Members::None | Members::Fixed(_) | Members::Several(_) | Members::Ranked(_) => {
            Leads::Other
        }
    }
}

/// A Service, a port of it, and labels that some of its pods have.
type Behind = (ServiceId, u16, Vec<(Name, Name)>);

/// The Service whose pods these workloads are, its port that leads to the same port of them, and the label that they alone have among its
/// workloads with a sidecar.
fn behind(
    source: Source<'_>,
    named: &str,
    workloads: &[WorkloadId],
    target: &TargetPort,
) -> Option<Behind> {
    let services = source.model.services();
    let is_whole = |service: &&Service| {
        let mut own = service.workloads.clone();
        let mut wanted = workloads.to_vec();
        own.sort_unstable();
        wanted.sort_unstable();
        !own.is_empty() && own == wanted
    };
    let holds = |service: &&Service| {
        service.full_name() == *named && workloads.iter().all(|id| service.workloads.contains(id))
    };
    let service = services.iter().find(holds);
    let service = service.or_else(|| services.iter().find(is_whole))?;
    let of = |id: &WorkloadId| &source.model.workloads()[id.index()];
    let port = service.ports.iter().find(|port| {
        let same = |id: &WorkloadId| {
            let number = of(id).target_port(target);
            number.is_some() && of(id).target_port(&port.target) == number
        };
        !port.udp && workloads.iter().all(same)
    })?;
    // who has no sidecar is nobody's endpoint where members are workloads
    let others: Vec<&WorkloadId> = service
        .workloads
        .iter()
        .filter(|id| !workloads.contains(id) && of(id).sidecar.is_some())
        .collect();
    if others.is_empty() {
        return Some((service.id, port.number, Vec::new()));
    }
    let first = of(workloads.first()?);
    let own = first.labels.iter().find(|(key, value)| {
        let has = |id: &WorkloadId| of(id).labels.get(*key) == Some(*value);
        workloads.iter().all(has) && !others.iter().any(|id| has(id))
    });
    let (key, value) = own?;
    Some((service.id, port.number, vec![(key.clone(), value.clone())]))
}

/// Who ends TLS on a chain.
pub(super) fn tls<'a>(chain: &'a FilterChain) -> Tls<'a> {
    match &chain.transport {
        DownstreamTransport::Tls {
            certificate,
            mutual,
            ..
        } => Tls::Ends {
            certificate,
            mutual: *mutual,
        },
        DownstreamTransport::Plaintext
            if !chain.matches.server_names.is_empty()
                || chain.matches.transport == Some(TransportProtocol::Tls) =>
        {
            Tls::Passed
        }
        DownstreamTransport::Plaintext => Tls::None,
    }
}
