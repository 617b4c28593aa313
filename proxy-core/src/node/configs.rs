//! The configurations that a node still needs: the one in force, and older ones that running exchanges keep.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::RouteRef;
use crate::config::{
    ChainAction, Cluster, ClusterIndex, FilterChain, Forward, HttpConnections, Name, NodeConfig,
    Plan, Route, RouteAction, Section, TableIndex, TcpRoute, UdpRoute, VirtualHost,
};
use crate::ids::ClusterId;

/// Where in a configuration a connection was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) config: u32,
    pub(super) section: u16,
    pub(super) listener: u32,
    pub(super) chain: u32,
}

/// One configuration and what its clusters are called in this node.
#[derive(Clone, Debug)]
struct InForce {
    config: Arc<NodeConfig>,
    ids: Vec<SectionIds>,
}

/// The ids of a section's clusters.
#[derive(Clone, Debug)]
enum SectionIds {
    /// In a row from this one.
    From(u32),
    /// One by one, after an update.
    Each(Arc<[ClusterId]>),
}

fn chain_of(section: &Section, place: Place) -> &FilterChain {
    &section.listeners()[place.listener as usize].chains[place.chain as usize]
}

/// How requests are treated at a place of `section`; none: it does not serve HTTP.
#[inline]
pub(super) fn http_of(section: &Section, place: Place) -> Option<&HttpConnections> {
    match &chain_of(section, place).action {
        ChainAction::Http(http) => Some(http),
        ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => None,
    }
}

#[derive(Clone, Debug)]
pub(super) struct Configs {
    all: Vec<Option<InForce>>,
    current: u32,
    /// The first cluster id that was never given.
    next_cluster: u32,
}

impl Configs {
    pub(super) fn new(config: Arc<NodeConfig>) -> Self {
        let mut next = 0;
        let ids = config
            .sections
            .iter()
            .map(|section| {
                let from = next;
                next += section.clusters().len() as u32;
                SectionIds::From(from)
            })
            .collect();
        Self {
            all: vec![Some(InForce { config, ids })],
            current: 0,
            next_cluster: next,
        }
    }

    pub(super) const fn current(&self) -> u32 {
        self.current
    }

    /// How many configurations there were.
    pub(super) const fn count(&self) -> usize {
        self.all.len()
    }

    pub(super) const fn cluster_count(&self) -> usize {
        self.next_cluster as usize
    }

    #[inline]
    fn get(&self, config: u32) -> &InForce {
        self.all[config as usize]
            .as_ref()
            .expect("a configuration stays while something refers to it")
    }

    pub(super) fn config(&self, config: u32) -> &NodeConfig {
        &self.get(config).config
    }

    #[inline]
    pub(super) fn section(&self, config: u32, section: u16) -> &Section {
        &self.get(config).config.sections[section as usize]
    }

    #[inline]
    pub(super) fn chain(&self, place: Place) -> &FilterChain {
        chain_of(self.section(place.config, place.section), place)
    }

    #[inline]
    pub(super) fn http(&self, place: Place) -> Option<&HttpConnections> {
        http_of(self.section(place.config, place.section), place)
    }

    pub(super) fn tcp(&self, place: Place) -> Option<&TcpRoute> {
        match &self.chain(place).action {
            ChainAction::Tcp(tcp) => Some(tcp),
            ChainAction::Http(_) | ChainAction::Udp(_) | ChainAction::Close(_) => None,
        }
    }

    pub(super) fn udp(&self, place: Place) -> Option<&UdpRoute> {
        match &self.chain(place).action {
            ChainAction::Udp(udp) => Some(udp),
            ChainAction::Http(_) | ChainAction::Tcp(_) | ChainAction::Close(_) => None,
        }
    }

    #[inline]
    pub(super) fn virtual_host(&self, config: u32, at: RouteRef) -> &VirtualHost {
        let section = self.section(config, at.section);
        &section.tables()[at.table as usize].virtual_hosts[at.host as usize]
    }

    #[inline]
    pub(super) fn route(&self, config: u32, at: RouteRef) -> &Route {
        &self.virtual_host(config, at).routes[at.route as usize]
    }

    pub(super) fn plan(&self, config: u32, at: RouteRef) -> &Plan {
        let section = self.section(config, at.section);
        &section.plans(TableIndex(at.table), at.host)[at.route as usize]
    }

    #[inline]
    pub(super) fn forward(&self, config: u32, at: RouteRef) -> Option<&Forward> {
        match &self.route(config, at).action {
            RouteAction::Forward(forward) => Some(forward),
            RouteAction::Redirect(_) | RouteAction::Direct(_) => None,
        }
    }

    pub(super) fn cluster(&self, config: u32, section: u16, index: ClusterIndex) -> &Arc<Cluster> {
        &self.section(config, section).clusters()[index.0 as usize]
    }

    #[inline]
    pub(super) fn cluster_id(&self, config: u32, section: u16, index: ClusterIndex) -> ClusterId {
        match &self.get(config).ids[section as usize] {
            SectionIds::From(from) => ClusterId(from + index.0),
            SectionIds::Each(ids) => ids[index.0 as usize],
        }
    }

    /// The cluster called `name` in the configuration in force.
    pub(super) fn cluster_named(&self, name: &str) -> Option<(u16, ClusterIndex)> {
        let sections = &self.get(self.current).config.sections;
        sections.iter().enumerate().find_map(|(s, section)| {
            let index = section.cluster_named(name)?;
            Some((s as u16, index))
        })
    }

    /// Puts `config` in force; clusters keep their ids by name. The old one stays until [`Configs::forget`].
    pub(super) fn put(&mut self, config: Arc<NodeConfig>) {
        let old = self.get(self.current);
        let mut known: FxHashMap<Name, ClusterId> = FxHashMap::default();
        for (s, section) in old.config.sections.iter().enumerate() {
            for (i, cluster) in section.clusters().iter().enumerate() {
                let id = self.cluster_id(self.current, s as u16, ClusterIndex(i as u32));
                known.insert(Arc::clone(&cluster.name), id);
            }
        }
        let mut next = self.next_cluster;
        let mut ids = Vec::with_capacity(config.sections.len());
        for (s, section) in config.sections.iter().enumerate() {
            let same = old.config.sections.get(s);
            if same.is_some_and(|old| Arc::ptr_eq(old, section)) {
                ids.push(old.ids[s].clone());
                continue;
            }
            let of_cluster = |cluster: &Arc<Cluster>| {
                known.get(&cluster.name).copied().unwrap_or_else(|| {
                    next += 1;
                    ClusterId(next - 1)
                })
            };
            let each: Arc<[ClusterId]> = section.clusters().iter().map(of_cluster).collect();
            ids.push(SectionIds::Each(each));
        }
        self.next_cluster = next;
        self.all.push(Some(InForce { config, ids }));
        self.current = self.all.len() as u32 - 1;
    }

    /// Drops a configuration that nothing refers to any more.
    pub(super) fn forget(&mut self, config: u32) {
        if config != self.current {
            self.all[config as usize] = None;
        }
    }
}
