//! Names and addresses: what DNS and kube-proxy know.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use proxy_core::config::Name;

use super::{Service, ServiceAddress, ServiceId, ServiceKind};

/// Names and addresses of all Services and of the hosts that dialects add.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    hosts: BTreeMap<Name, Entry>,
    addresses: BTreeMap<IpAddr, ServiceId>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Entry {
    Service(ServiceId),
    Addresses(Vec<IpAddr>),
}

/// What a name stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// A Service with an address of its own.
    Service(ServiceAddress),
    /// A headless Service: one of its pods' addresses; which, is for the asker to draw.
    Headless {
        /// The Service.
        service: ServiceId,
        /// The port asked for, dialled as it is.
        port: u16,
    },
    /// Addresses outside; the first one serves.
    Outside(Vec<SocketAddr>),
}

impl Directory {
    /// The names and addresses of `services`.
    #[must_use]
    pub fn new(services: &[Service]) -> Self {
        let mut directory = Self::default();
        for service in services {
            directory
                .hosts
                .insert(service.host().into(), Entry::Service(service.id));
            if let Some(ip) = service.cluster_ip() {
                directory.addresses.insert(ip, service.id);
            }
        }
        directory
    }

    /// Adds a host outside with its addresses; a name that is there stays as it is.
    pub fn add_host(&mut self, host: Name, addresses: Vec<IpAddr>) {
        self.hosts
            .entry(host)
            .or_insert(Entry::Addresses(addresses));
    }

    /// What `host` (without port) means to a caller in `namespace`: an address, `service`, `service.namespace`,
    /// `service.namespace.svc`, a full name with or without its last dot, or a host outside.
    #[must_use]
    pub fn resolve(
        &self,
        services: &[Service],
        namespace: &str,
        host: &str,
        port: u16,
    ) -> Option<Destination> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(self.address(ip, port));
        }
        let found = search(&host, namespace).find_map(|name| self.hosts.get(&*name))?;
        match found {
            Entry::Addresses(all) => Some(Destination::Outside(
                all.iter().map(|ip| SocketAddr::new(*ip, port)).collect(),
            )),
            Entry::Service(id) => {
                let service = &services[id.index()];
                match &service.kind {
                    ServiceKind::ClusterIp(ip) => Some(Destination::Service(ServiceAddress {
                        service: *id,
                        port,
                        address: SocketAddr::new(*ip, port),
                    })),
                    ServiceKind::Headless => Some(Destination::Headless { service: *id, port }),
                    // one step: an alias of an alias is not followed further
                    ServiceKind::ExternalName(other) => match self.hosts.get(&**other)? {
                        Entry::Addresses(all) => Some(Destination::Outside(
                            all.iter().map(|ip| SocketAddr::new(*ip, port)).collect(),
                        )),
                        Entry::Service(target) => {
                            let ip = services[target.index()].cluster_ip()?;
                            Some(self.address(ip, port))
                        }
                    },
                }
            }
        }
    }

    /// The Service that has `address`, if any: what kube-proxy goes by.
    #[must_use]
    pub fn service_at(&self, address: IpAddr) -> Option<ServiceId> {
        self.addresses.get(&address).copied()
    }

    /// The Service of a fully qualified name.
    #[must_use]
    pub fn service_named(&self, host: &str) -> Option<ServiceId> {
        match self.hosts.get(host)? {
            Entry::Service(id) => Some(*id),
            Entry::Addresses(_) => None,
        }
    }

    /// Every name, in order.
    pub fn hosts(&self) -> impl Iterator<Item = &Name> {
        self.hosts.keys()
    }

    fn address(&self, ip: IpAddr, port: u16) -> Destination {
        let address = SocketAddr::new(ip, port);
        match self.service_at(ip) {
            Some(service) => Destination::Service(ServiceAddress {
                service,
                port,
                address,
            }),
            None => Destination::Outside(vec![address]),
        }
    }
}

/// The full names that a resolver of a pod in `namespace` tries, in its order (`ndots: 5`).
fn search<'a>(host: &'a str, namespace: &'a str) -> impl Iterator<Item = String> + 'a {
    let suffixes = [
        format!(".{namespace}.svc.cluster.local"),
        ".svc.cluster.local".into(),
        ".cluster.local".into(),
        String::new(),
    ];
    suffixes
        .into_iter()
        .map(move |suffix| format!("{host}{suffix}"))
}
