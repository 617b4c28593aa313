//! By which addresses a configuration knows the Services that it leads to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use proxy_core::config::{
    ChainAction, ChainMatch, Cidr, Cluster, ClusterIndex, ListenerAddress, RouteAction, RouteTable,
    Section, VirtualHost,
};

use super::Destination;
use super::names::DIALLED;

/// The addresses that sections know Services by, with the Services' names: where what is sent to an address alone goes to one Service, and
/// where an address stands among the domains of a Service's virtual host.
#[must_use]
pub fn learn(
    sections: &[Arc<Section>],
    destination: &dyn Fn(&Cluster) -> Destination,
) -> BTreeMap<IpAddr, String> {
    let mut found = BTreeMap::new();
    for section in sections {
        let learn = Learn {
            section,
            destination,
        };
        for table in section.tables() {
            learn.of_domains(table, &mut found);
        }
        for listener in section.listeners() {
            let of_listener = match listener.address {
                ListenerAddress::OutboundTo(at) => Some(at.ip()),
                ListenerAddress::Socket(_)
                | ListenerAddress::OutboundPort(_)
                | ListenerAddress::OutboundRest
                | ListenerAddress::InboundPort(_)
                | ListenerAddress::InboundRest
                | ListenerAddress::Datagrams(_) => None,
            };
            for chain in &listener.chains {
                let of_chain = singles(&chain.matches);
                let dialled = of_chain.into_iter().chain(of_listener);
                let unknown: Vec<IpAddr> = dialled.filter(|ip| !found.contains_key(ip)).collect();
                let name = (!unknown.is_empty()).then(|| learn.of_action(&chain.action));
                if let Some(name) = name.flatten() {
                    found.extend(unknown.into_iter().map(|ip| (ip, name.clone())));
                }
            }
        }
    }
    found
}

/// The single addresses that a chain takes connections to.
fn singles(matches: &ChainMatch) -> Vec<IpAddr> {
    let is_single = |block: &&Cidr| block.bits == if block.address.is_ipv4() { 32 } else { 128 };
    let blocks = matches.destinations.iter().filter(is_single);
    blocks.map(|block| block.address).collect()
}

struct Learn<'a> {
    section: &'a Section,
    destination: &'a dyn Fn(&Cluster) -> Destination,
}

impl Learn<'_> {
    fn of_domains(&self, table: &RouteTable, found: &mut BTreeMap<IpAddr, String>) {
        for host in &table.virtual_hosts {
            let whole = host.domains.iter().find_map(|domain| {
                let named = Destination::of_host(without_port(domain), None);
                named.service.contains('/').then_some(named.service)
            });
            let Some(name) = whole else {
                continue;
            };
            for domain in &host.domains {
                if let Some(ip) = address_in(domain) {
                    found.entry(ip).or_insert_with(|| name.clone());
                }
            }
        }
    }

    fn of_action(&self, action: &ChainAction) -> Option<String> {
        match action {
            // of several the one that gets the most
            ChainAction::Tcp(route) => {
                let named = route.clusters.iter();
                let named = named.filter_map(|(at, weight)| Some((*weight, self.name(*at)?)));
                let most = named.max_by(|(a, one), (b, other)| a.cmp(b).then(other.cmp(one)));
                most.map(|(_, name)| name)
            }
            ChainAction::Http(http) => {
                let table = self.section.tables().get(http.table.0 as usize)?;
                let mut hosts = table.virtual_hosts.iter();
                hosts.find_map(|host| self.of_host(host))
            }
            ChainAction::Udp(_) | ChainAction::Close(_) => None,
        }
    }

    /// The Service that the last route leads to: rules for some requests stand before it.
    fn of_host(&self, host: &VirtualHost) -> Option<String> {
        let mut routes = host.routes.iter().rev();
        routes.find_map(|route| match &route.action {
            RouteAction::Forward(forward) => {
                let mut clusters = forward.clusters.iter();
                self.name(clusters.find_map(|it| it.cluster)?)
            }
            RouteAction::Redirect(_) | RouteAction::Direct(_) => None,
        })
    }

    fn name(&self, cluster: ClusterIndex) -> Option<String> {
        let cluster = self.section.clusters().get(cluster.0 as usize)?;
        let name = (self.destination)(cluster).service;
        (name != DIALLED).then_some(name)
    }
}

/// A domain without a port.
fn without_port(domain: &str) -> &str {
    match domain.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.parse::<u16>().is_ok() => name,
        Some(_) | None => domain,
    }
}

/// The address that an authority or a domain is, whatever its port.
pub(crate) fn address_in(authority: &str) -> Option<IpAddr> {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']')?.0.parse().ok();
    }
    without_port(authority).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_an_address_with_or_without_a_port() {
        for (authority, ip) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("10.0.0.1:80", Some("10.0.0.1")),
            ("[::1]", Some("::1")),
            ("[::1]:80", Some("::1")),
            ("::1", Some("::1")),
            ("shop", None),
            ("shop:80", None),
            ("*", None),
        ] {
            let found = address_in(authority).map(|ip| ip.to_string());
            assert_eq!(found.as_deref(), ip, "{authority}");
        }
    }
}
