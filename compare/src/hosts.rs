//! Authorities that two route tables are asked about.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proxy_core::config::{RouteTable, VirtualHost};

use super::destination::address_in;
use super::{Destination, Options, Side, probes};

/// A host that no table has.
pub(crate) const UNKNOWN: &str = "unknown.example";

/// An authority, in words that both sides share.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Authority {
    /// This text.
    Text(String),
    /// The address of a Service, which each side knows by its own.
    Address {
        /// The Service.
        service: String,
        /// With this port.
        port: Option<u16>,
    },
}

impl Authority {
    /// As a side knows it. A Service that it has no address of is asked for by that of the other side.
    pub(crate) fn for_side(&self, side: &Side<'_>, other: &Side<'_>) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Address { service, port } => {
                let known = address_for(side, other, service);
                let host = match known {
                    Some(IpAddr::V4(ip)) => ip.to_string(),
                    Some(IpAddr::V6(ip)) => format!("[{ip}]"),
                    None => UNKNOWN.to_owned(),
                };
                match port {
                    Some(port) => format!("{host}:{port}"),
                    None => host,
                }
            }
        }
    }

    /// Whether it was made up, as a host that nobody has.
    pub(crate) fn is_strange(&self) -> bool {
        match self {
            Self::Text(text) => text.starts_with(UNKNOWN) || text.starts_with("sub."),
            Self::Address { .. } => false,
        }
    }

    /// `api.example.com`, `the address of shop/cart`.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Address {
                service,
                port: None,
            } => format!("the address of {service}"),
            Self::Address {
                service,
                port: Some(port),
            } => format!("the address of {service}, port {port}"),
        }
    }

    fn of(text: &str, side: &Side<'_>) -> Self {
        let service = address_in(text).and_then(|ip| side.addresses.get(&ip));
        match service {
            Some(service) => Self::Address {
                service: service.clone(),
                port: port_of(text),
            },
            None => Self::Text(text.to_owned()),
        }
    }
}

/// The address that a side is asked with for a Service: its own, else that of the other side, unless somebody else has that one here.
pub(crate) fn address_for(side: &Side<'_>, other: &Side<'_>, service: &str) -> Option<IpAddr> {
    let is_free = |ip: &IpAddr| !side.addresses.contains_key(ip);
    address_of(side, service).or_else(|| address_of(other, service).filter(is_free))
}

/// The address that a side dials a Service at.
fn address_of(side: &Side<'_>, service: &str) -> Option<IpAddr> {
    let mut all = side.addresses.iter();
    all.find_map(|(ip, name)| (name == service).then_some(*ip))
}

fn port_of(authority: &str) -> Option<u16> {
    let (host, port) = authority.rsplit_once(':')?;
    let is_bare = host.contains(':') && !host.ends_with(']');
    port.parse().ok().filter(|_| !is_bare)
}

/// The Service that a virtual host is of and that is not asked about.
pub(crate) fn abroad(host: &VirtualHost, options: &Options) -> Option<String> {
    let mut names = host.domains.iter().map(|domain| {
        let bare = domain.rsplit_once(':').map_or(&**domain, |(name, _)| name);
        Destination::of_host(bare, None).service
    });
    let name = names.find(|name| name.contains('/'))?;
    options.passes(&name).then_some(name)
}

/// What two tables are asked about: names of their virtual hosts, names below wildcards, near ones, with and without `port`, and one that
/// nobody has. Beside them, Services whose hosts are passed over.
pub(crate) fn authorities(
    tables: [&RouteTable; 2],
    sides: [&Side<'_>; 2],
    port: u16,
    options: &Options,
) -> (BTreeSet<Authority>, BTreeSet<String>) {
    let mut all = BTreeSet::from([Authority::Text(UNKNOWN.to_owned())]);
    let mut passed = BTreeSet::new();
    for (table, side) in tables.into_iter().zip(sides) {
        for host in &table.virtual_hosts {
            if let Some(service) = abroad(host, options) {
                passed.insert(service);
                continue;
            }
            for domain in &host.domains {
                all.extend(
                    around(domain, port)
                        .into_iter()
                        .map(|it| Authority::of(&it, side)),
                );
            }
            all.extend(probes::authorities(host).map(|it| Authority::of(&it, side)));
        }
    }
    (all, passed)
}

fn around(domain: &str, port: u16) -> Vec<String> {
    if domain == "*" {
        return Vec::new();
    }
    if let Some(suffix) = domain.strip_prefix('*') {
        let bare = suffix.trim_start_matches(['.', '-']);
        return vec![
            format!("any{suffix}"),
            format!("a.b{suffix}"),
            bare.to_owned(),
        ];
    }
    if let Some(prefix) = domain.strip_suffix('*') {
        return vec![
            format!("{prefix}any"),
            prefix.trim_end_matches('.').to_owned(),
        ];
    }
    let mut found = vec![domain.to_owned()];
    if address_in(domain).is_none() {
        found.push(format!("sub.{domain}"));
    }
    match port_of(domain) {
        Some(_) => found.extend(domain.rsplit_once(':').map(|(host, _)| host.to_owned())),
        None => found.push(format!("{domain}:{port}")),
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_asked_about_with_names_that_they_take_and_near_ones() {
        for (domain, expected) in [
            ("*", &[][..]),
            ("*.shop", &["any.shop", "a.b.shop", "shop"]),
            ("shop.*", &["shop.any", "shop"]),
            ("shop", &["shop", "sub.shop", "shop:80"]),
            ("shop:80", &["shop:80", "sub.shop:80", "shop"]),
            ("10.0.0.1", &["10.0.0.1", "10.0.0.1:80"]),
        ] {
            assert_eq!(around(domain, 80), expected, "{domain}");
        }
    }
}
