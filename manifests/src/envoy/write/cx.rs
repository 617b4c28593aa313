//! What every part needs to write: the place it is at, and where departures go.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::config::{ClusterIndex, Discovery, Name, NodeConfig, Section};
use proxy_core::origin::OriginId;

use super::{Departure, Written};

/// The state of one writing.
pub(super) struct Cx<'a> {
    pub(super) written: &'a Written,
    /// The section that is being written.
    pub(super) section: &'a Section,
    number: usize,
    /// Names of clusters by section.
    pub(super) names: Vec<Vec<Name>>,
    /// A name that no cluster has.
    pub(super) nowhere: Name,
    /// What the connections of the listener that is being written are all meant for.
    pub(super) meant: Option<SocketAddr>,
    /// Clusters that send connections to where these were meant for, by what that is.
    pub(super) fixed: Vec<Fixed>,
    /// Bounds on connections by listener.
    pub(super) connection_limits: Vec<(String, u32)>,
    /// Bound on connections of the whole process.
    pub(super) process_limit: Option<u64>,
    pub(super) departures: Vec<Departure>,
    place: Vec<String>,
    origin: OriginId,
}

/// A cluster for connections that are meant for one address.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) section: usize,
    pub(super) index: ClusterIndex,
    pub(super) meant: SocketAddr,
    pub(super) name: Name,
}

impl<'a> Cx<'a> {
    pub(super) fn new(config: &'a NodeConfig, written: &'a Written, empty: &'a Section) -> Self {
        let names = cluster_names(config);
        let taken: BTreeSet<&str> = names.iter().flatten().map(|name| &**name).collect();
        let nowhere = unique("nowhere", |name| taken.contains(name));
        Self {
            written,
            section: config.sections.first().map_or(empty, |first| first),
            number: 0,
            names,
            nowhere: nowhere.into(),
            meant: None,
            fixed: Vec::new(),
            connection_limits: Vec::new(),
            process_limit: process_limit(config),
            departures: Vec::new(),
            place: Vec::new(),
            origin: OriginId::NONE,
        }
    }

    /// Turns to a section.
    pub(super) fn turn_to(&mut self, config: &'a NodeConfig, number: usize) {
        self.section = &config.sections[number];
        self.number = number;
    }

    /// What a cluster of this section is called, from where it is used.
    ///
    /// Envoy does not know what connections to a door are meant for: one that goes there has a cluster of its own for each.
    pub(super) fn cluster(&mut self, index: ClusterIndex) -> Name {
        let plain = Arc::clone(&self.names[self.number][index.0 as usize]);
        let cluster = &self.section.clusters()[index.0 as usize];
        if cluster.discovery == Discovery::Endpoints {
            return plain;
        }
        let Some(meant) = self.meant else {
            if !self.written.endpoints.is_empty() {
                self.departs("connections go to the very address that they were meant for, wherever it is to be found");
            }
            return plain;
        };
        let name: Name = format!("{plain} at {meant}").into();
        let fixed = Fixed {
            section: self.number,
            index,
            meant,
            name: Arc::clone(&name),
        };
        if !self.fixed.contains(&fixed) {
            self.fixed.push(fixed);
        }
        name
    }

    /// Does something at a place within this one.
    pub(super) fn at<T>(
        &mut self,
        place: impl Into<String>,
        origin: OriginId,
        work: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let outer = std::mem::replace(&mut self.origin, origin);
        self.place.push(place.into());
        let done = work(self);
        self.place.pop();
        self.origin = outer;
        done
    }

    /// Envoy will not decide as this node does; `what` says in which way.
    pub(super) fn departs(&mut self, what: impl Into<String>) {
        let departure = Departure {
            place: self.place.join(", "),
            origin: self.origin,
            what: what.into(),
        };
        if !self.departures.contains(&departure) {
            self.departures.push(departure);
        }
    }
}

impl Cx<'_> {
    /// As [`departs`](Self::departs), of something that is so everywhere: it is told once.
    pub(super) fn departs_everywhere(&mut self, what: &str) {
        let place = std::mem::take(&mut self.place);
        let origin = std::mem::replace(&mut self.origin, OriginId::NONE);
        self.departs(what);
        (self.place, self.origin) = (place, origin);
    }
}

/// A name of its own for every cluster, in whichever section: the first of a name keeps it.
fn cluster_names(config: &NodeConfig) -> Vec<Vec<Name>> {
    let mut taken = BTreeSet::new();
    let mut names = Vec::new();
    for section in &config.sections {
        let clusters = section.clusters().iter();
        let own = clusters.map(|cluster| {
            let plain = if cluster.name.is_empty() {
                "unnamed"
            } else {
                &cluster.name
            };
            let name = unique(plain, |name| taken.contains(name));
            taken.insert(name.clone());
            name.into()
        });
        names.push(own.collect());
    }
    names
}

/// `plain`, or with a number behind it.
pub(super) fn unique(plain: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|number| format!("{plain} ({number})"));
    let mut names = std::iter::once(plain.to_owned()).chain(numbered);
    let free = names.find(|name| !is_taken(name));
    free.unwrap_or_default()
}

fn process_limit(config: &NodeConfig) -> Option<u64> {
    let sections = config.sections.iter();
    let mut listeners = sections.flat_map(|section| section.listeners());
    Some(listeners.find_map(|listener| listener.process_limit)?.value)
}
