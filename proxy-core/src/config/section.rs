//! A closed piece of configuration with its look-up tables.

use core::net::SocketAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use thiserror::Error;

use super::{
    ChainAction, Cluster, ClusterIndex, Forward, Listener, ListenerAddress, Plan, RouteAction,
    RouteTable, TableIndex, TcpRoute, UdpRoute, VirtualHost,
};
use crate::node::Arrival;

/// A closed piece of configuration: its routes refer to its own clusters and tables alone. Made by [`SectionDraft::build`].
#[derive(Clone, Debug)]
pub struct Section {
    listeners: Vec<Listener>,
    tables: Vec<RouteTable>,
    clusters: Vec<Arc<Cluster>>,
    domains: Vec<Domains>,
    /// By table and virtual host.
    plans: Vec<Vec<Box<[Plan]>>>,
    by_address: FxHashMap<(Way, SocketAddr), u32>,
    by_port: FxHashMap<(Way, u16), u32>,
    rest: [Option<u32>; 2],
}

/// A section under construction.
#[derive(Clone, Debug, Default)]
pub struct SectionDraft {
    /// Where connections arrive.
    pub listeners: Vec<Listener>,
    /// Virtual hosts and routes.
    pub tables: Vec<RouteTable>,
    /// Upstreams.
    pub clusters: Vec<Cluster>,
}

/// What makes a section unusable.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SectionError {
    /// A domain stands in two virtual hosts of one table.
    #[error("domain `{domain}` stands twice in route table `{table}`")]
    DuplicateDomain {
        /// Which domain.
        domain: Box<str>,
        /// Which table.
        table: Box<str>,
    },
    /// Two clusters have one name.
    #[error("two clusters are called `{0}`")]
    DuplicateCluster(Box<str>),
    /// Two listeners take the same connections.
    #[error("listeners `{0}` and `{1}` take the same connections")]
    DuplicateListener(Box<str>, Box<str>),
    /// A route or chain names a cluster that is not there.
    #[error("`{0}` refers to a cluster that is not in its section")]
    UnknownCluster(Box<str>),
    /// A chain names a table that is not there.
    #[error("listener `{0}` refers to a route table that is not in its section")]
    UnknownTable(Box<str>),
    /// A listener for datagrams does something else with them, or one for connections carries datagrams.
    #[error("listener `{0}` is for datagrams, or carries some, and not both")]
    Datagrams(Box<str>),
    /// A split without weight or without clusters.
    #[error("route `{0}` has no destination with a weight above zero")]
    NoWeight(Box<str>),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Way {
    Socket,
    Datagrams,
    Outbound,
    Inbound,
}

/// Virtual hosts of a table by domain: which of them takes an authority.
#[derive(Clone, Debug, Default)]
pub struct Domains {
    exact: FxHashMap<Box<str>, u32>,
    /// `*.suffix` without the star, longest first.
    suffixes: Vec<(Box<str>, u32)>,
    /// `prefix.*` without the star, longest first.
    prefixes: Vec<(Box<str>, u32)>,
    any: Option<u32>,
    ignore_port: bool,
}

impl SectionDraft {
    /// Adds a cluster and gives its index.
    pub fn add_cluster(&mut self, cluster: Cluster) -> ClusterIndex {
        self.clusters.push(cluster);
        ClusterIndex(self.clusters.len() as u32 - 1)
    }

    /// Adds a route table and gives its index.
    pub fn add_table(&mut self, table: RouteTable) -> TableIndex {
        self.tables.push(table);
        TableIndex(self.tables.len() as u32 - 1)
    }

    /// Checks the section and makes its look-up tables.
    ///
    /// # Errors
    /// The first reason why the section cannot be used; whoever compiled it should have told the user before.
    pub fn build(self) -> Result<Section, SectionError> {
        self.check_references()?;
        let mut names = FxHashMap::default();
        for cluster in &self.clusters {
            if names.insert(cluster.name.clone(), ()).is_some() {
                return Err(SectionError::DuplicateCluster((&*cluster.name).into()));
            }
        }
        let of_host = |host: &VirtualHost| {
            let routes = host.routes.iter();
            routes.map(|route| Plan::of(host, route)).collect()
        };
        let mut section = Section {
            plans: self
                .tables
                .iter()
                .map(|table| table.virtual_hosts.iter().map(of_host).collect())
                .collect(),
            domains: self
                .tables
                .iter()
                .map(Domains::of)
                .collect::<Result<_, _>>()?,
            listeners: self.listeners,
            tables: self.tables,
            clusters: self.clusters.into_iter().map(Arc::new).collect(),
            by_address: FxHashMap::default(),
            by_port: FxHashMap::default(),
            rest: [None; 2],
        };
        section.index_listeners()?;
        Ok(section)
    }

    fn check_references(&self) -> Result<(), SectionError> {
        for listener in &self.listeners {
            let is_datagrams = matches!(listener.address, ListenerAddress::Datagrams(_));
            if is_datagrams && listener.chains.len() != 1 {
                return Err(SectionError::Datagrams((&*listener.name).into()));
            }
            for chain in &listener.chains {
                if matches!(chain.action, ChainAction::Udp(_)) != is_datagrams {
                    return Err(SectionError::Datagrams((&*listener.name).into()));
                }
                match &chain.action {
                    ChainAction::Http(http) if http.table.0 as usize >= self.tables.len() => {
                        return Err(SectionError::UnknownTable((&*listener.name).into()));
                    }
                    ChainAction::Tcp(TcpRoute { clusters, .. })
                    | ChainAction::Udp(UdpRoute { clusters, .. }) => {
                        self.check_split(clusters, &listener.name)?;
                    }
                    ChainAction::Http(_) | ChainAction::Close(_) => {}
                }
            }
        }
        let routes = self
            .tables
            .iter()
            .flat_map(|table| &table.virtual_hosts)
            .flat_map(|host| &host.routes);
        for route in routes {
            if let RouteAction::Forward(forward) = &route.action {
                self.check_forward(forward, &route.name)?;
            }
        }
        Ok(())
    }

    fn check_split(
        &self,
        clusters: &[(ClusterIndex, u32)],
        listener: &str,
    ) -> Result<(), SectionError> {
        if clusters.iter().any(|(c, _)| self.is_unknown(*c)) {
            return Err(SectionError::UnknownCluster(listener.into()));
        }
        if clusters.iter().all(|(_, weight)| *weight == 0) {
            return Err(SectionError::NoWeight(listener.into()));
        }
        Ok(())
    }

    fn check_forward(&self, forward: &Forward, name: &str) -> Result<(), SectionError> {
        let named = forward.clusters.iter().filter_map(|w| w.cluster);
        if named
            .chain(forward.mirrors.iter().map(|m| m.cluster))
            .any(|c| self.is_unknown(c))
        {
            return Err(SectionError::UnknownCluster(name.into()));
        }
        if forward.clusters.iter().all(|w| w.weight == 0) {
            return Err(SectionError::NoWeight(name.into()));
        }
        Ok(())
    }

    fn is_unknown(&self, cluster: ClusterIndex) -> bool {
        cluster.0 as usize >= self.clusters.len()
    }
}

impl Section {
    /// Where connections arrive.
    #[must_use]
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Virtual hosts and routes.
    #[must_use]
    pub fn tables(&self) -> &[RouteTable] {
        &self.tables
    }

    /// Upstreams.
    #[must_use]
    pub fn clusters(&self) -> &[Arc<Cluster>] {
        &self.clusters
    }

    /// The plans of a virtual host's routes, in their order.
    pub(crate) fn plans(&self, table: TableIndex, host: u32) -> &[Plan] {
        &self.plans[table.0 as usize][host as usize]
    }

    /// The index of the cluster called `name`.
    #[must_use]
    pub fn cluster_named(&self, name: &str) -> Option<ClusterIndex> {
        let at = self.clusters.iter().position(|c| &*c.name == name)?;
        Some(ClusterIndex(at as u32))
    }

    fn index_listeners(&mut self) -> Result<(), SectionError> {
        for (i, listener) in self.listeners.iter().enumerate() {
            let i = i as u32;
            let before = match listener.address {
                ListenerAddress::Socket(at) if at.ip().is_unspecified() => {
                    self.by_port.insert((Way::Socket, at.port()), i)
                }
                ListenerAddress::Socket(at) => self.by_address.insert((Way::Socket, at), i),
                ListenerAddress::Datagrams(at) if at.ip().is_unspecified() => {
                    self.by_port.insert((Way::Datagrams, at.port()), i)
                }
                ListenerAddress::Datagrams(at) => self.by_address.insert((Way::Datagrams, at), i),
                ListenerAddress::OutboundTo(at) => self.by_address.insert((Way::Outbound, at), i),
                ListenerAddress::OutboundPort(port) => {
                    self.by_port.insert((Way::Outbound, port), i)
                }
                ListenerAddress::InboundPort(port) => self.by_port.insert((Way::Inbound, port), i),
                ListenerAddress::OutboundRest => self.rest[0].replace(i),
                ListenerAddress::InboundRest => self.rest[1].replace(i),
            };
            if let Some(before) = before {
                let first = &self.listeners[before as usize].name;
                return Err(SectionError::DuplicateListener(
                    (&**first).into(),
                    (&*listener.name).into(),
                ));
            }
        }
        Ok(())
    }

    /// The listener that takes a connection by its very address or port; see [`Section::rest_listener`].
    #[must_use]
    pub fn listener(&self, arrival: Arrival, destination: SocketAddr) -> Option<u32> {
        let way = match arrival {
            Arrival::Dialled => Way::Socket,
            Arrival::Datagrams => Way::Datagrams,
            Arrival::Outbound => Way::Outbound,
            Arrival::Inbound => Way::Inbound,
        };
        self.by_address
            .get(&(way, destination))
            .or_else(|| self.by_port.get(&(way, destination.port())))
            .copied()
    }

    /// The listener for intercepted connections that no other listener takes.
    #[must_use]
    pub const fn rest_listener(&self, arrival: Arrival) -> Option<u32> {
        match arrival {
            Arrival::Dialled | Arrival::Datagrams => None,
            Arrival::Outbound => self.rest[0],
            Arrival::Inbound => self.rest[1],
        }
    }

    /// The virtual host of `table` for an authority.
    ///
    /// Source: Envoy v3 `VirtualHost.domains`: exact, then the longest `*.suffix`, then the longest `prefix.*`, then
    /// `*`; case does not matter; a wildcard never matches the empty string.
    #[must_use]
    pub fn virtual_host(&self, table: TableIndex, authority: &str) -> Option<u32> {
        self.domains[table.0 as usize].virtual_host(authority)
    }
}

impl Domains {
    /// The domains of a table.
    ///
    /// # Errors
    /// When a domain stands in two virtual hosts.
    pub fn of(table: &RouteTable) -> Result<Self, SectionError> {
        let mut domains = Self {
            ignore_port: table.ignore_port,
            ..Self::default()
        };
        for (i, host) in table.virtual_hosts.iter().enumerate() {
            let i = i as u32;
            for domain in &host.domains {
                let domain = domain.to_ascii_lowercase();
                let twice = if domain == "*" {
                    domains.any.replace(i).is_some()
                } else if let Some(suffix) = domain.strip_prefix('*') {
                    push_unique(&mut domains.suffixes, suffix, i)
                } else if let Some(prefix) = domain.strip_suffix('*') {
                    push_unique(&mut domains.prefixes, prefix, i)
                } else {
                    domains.exact.insert(domain.as_str().into(), i).is_some()
                };
                if twice {
                    return Err(SectionError::DuplicateDomain {
                        domain: domain.into(),
                        table: table.name.clone(),
                    });
                }
            }
        }
        domains
            .suffixes
            .sort_by_key(|(s, _)| core::cmp::Reverse(s.len()));
        domains
            .prefixes
            .sort_by_key(|(s, _)| core::cmp::Reverse(s.len()));
        Ok(domains)
    }

    /// As [`Section::virtual_host`], without a section.
    #[must_use]
    pub fn virtual_host(&self, authority: &str) -> Option<u32> {
        let authority = if self.ignore_port {
            without_port(authority)
        } else {
            authority
        };
        if self.exact.is_empty() && self.suffixes.is_empty() && self.prefixes.is_empty() {
            return self.any;
        }
        if authority.bytes().any(|b| b.is_ascii_uppercase()) {
            return self.find(&authority.to_ascii_lowercase());
        }
        self.find(authority)
    }

    fn find(&self, authority: &str) -> Option<u32> {
        if let Some(&host) = self.exact.get(authority) {
            return Some(host);
        }
        let longer = |s: &str| authority.len() > s.len();
        let suffix = self
            .suffixes
            .iter()
            .find(|(s, _)| longer(s) && authority.ends_with(&**s));
        let found = suffix.or_else(|| {
            self.prefixes
                .iter()
                .find(|(s, _)| longer(s) && authority.starts_with(&**s))
        });
        found.map(|(_, host)| *host).or(self.any)
    }
}

/// The host of an authority; an IPv6 address keeps its brackets.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(':') => {
            let is_bare_v6 = host.contains(':') && !host.ends_with(']');
            if is_bare_v6 { authority } else { host }
        }
        Some(_) | None => authority,
    }
}

fn push_unique(list: &mut Vec<(Box<str>, u32)>, text: &str, host: u32) -> bool {
    let twice = list.iter().any(|(t, _)| &**t == text);
    list.push((text.into(), host));
    twice
}

#[cfg(test)]
mod tests {
    use super::super::VirtualHost;
    use super::*;
    use crate::origin::OriginId;

    #[test]
    fn only_a_port_is_taken_off_an_authority() {
        let rows = [
            ("shop", "shop"),
            ("shop:80", "shop"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("::1", "::1"),
            ("shop:http", "shop:http"),
            ("", ""),
        ];
        for (authority, want) in rows {
            assert_eq!(without_port(authority), want, "{authority}");
        }
    }

    fn table(domains: &[&str], ignore_port: bool) -> Result<Section, SectionError> {
        let host = |domain: &&str| VirtualHost {
            name: (*domain).into(),
            domains: vec![(*domain).into()],
            routes: Vec::new(),
            attempt_count: false,
            attempt_count_in_response: false,
            origin: OriginId::NONE,
        };
        let mut draft = SectionDraft::default();
        draft.add_table(RouteTable {
            name: "t".into(),
            virtual_hosts: domains.iter().map(host).collect(),
            ignore_port,
        });
        draft.build()
    }

    /// Envoy: `VirtualHost.domains`.
    #[test]
    fn a_virtual_host_is_found_by_its_most_specific_domain() {
        let domains = [
            "*",
            "*.com",
            "api.*",
            "*.b.com",
            "a.b.com",
            "api.b.*",
            "*-b.com",
            "a.b.com:8080",
        ];
        let section = table(&domains, false).unwrap();
        for (authority, domain) in [
            ("a.b.com", "a.b.com"),
            ("A.B.Com", "a.b.com"),
            ("x.b.com", "*.b.com"),
            ("api.b.com", "*.b.com"),
            ("x-b.com", "*-b.com"),
            ("-b.com", "*.com"),
            ("b.com", "*.com"),
            (".com", "*"),
            ("api.b.org", "api.b.*"),
            ("api.org", "api.*"),
            ("api.", "*"),
            ("org", "*"),
            ("a.b.com:8080", "a.b.com:8080"),
            ("a.b.com:80", "*"),
        ] {
            let found = section.virtual_host(TableIndex(0), authority).unwrap();
            assert_eq!(domains[found as usize], domain, "{authority}");
        }
        let without_port = table(&["a", "b"], true).unwrap();
        assert_eq!(without_port.virtual_host(TableIndex(0), "b:80"), Some(1));
        assert_eq!(without_port.virtual_host(TableIndex(0), "c"), None);
    }

    #[test]
    fn a_domain_stands_in_one_virtual_host_only() {
        for (first, second, twice) in [
            ("a", "A", true),
            ("*.a", "*.a", true),
            ("a.*", "a.*", true),
            ("*", "*", true),
            ("a", "*.a", false),
            ("a", "a:80", false),
        ] {
            let built = table(&[first, second], false).map(|_| ());
            let expected = SectionError::DuplicateDomain {
                domain: second.to_ascii_lowercase().into(),
                table: "t".into(),
            };
            assert_eq!(built, if twice { Err(expected) } else { Ok(()) });
        }
    }
}
