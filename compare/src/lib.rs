//! What two configurations of one proxy decide differently.
//!
//! Both are asked the same: connections that either side has a rule for, and on those that carry requests, requests that some route of either
//! side takes, with near ones that it must not take. The core's own look-up answers, so names of listeners, routes and clusters are of no
//! account; what is compared is the *decision*: where a request goes and in which shares, how it leaves, for how long and how often it is
//! tried, and by which rules the endpoints of its destination are chosen, bounded and taken out.
//!
//! Clusters of two systems have different names for the same pods: a [`Side`] brings a function that names each cluster's [`Destination`]
//! neutrally, and names for the addresses that it knows Services by. [`Destination::of_upstream`], [`Destination::of_name`] and
//! [`Destination::of_addresses`] are such functions.
//!
//! ```
//! use std::sync::Arc;
//! use compare::{Destination, Options, Side, compare};
//! use proxy_core::config::SectionDraft;
//!
//! let sections = [Arc::new(SectionDraft::default().build().expect("nothing is wrong with nothing"))];
//! let side = Side::new(&sections, &|_| String::new(), &Destination::of_cluster);
//! assert!(compare(&side, &side, &Options::default()).differences.is_empty());
//! ```
//!
//! This crate drives nothing: no time passes, and nothing is drawn. Access logs, traces and endpoints are not compared.
#![deny(missing_docs)]

mod area;
mod ask;
mod connections;
mod destination;
mod doors;
mod fields;
mod hosts;
mod probes;
mod requests;
mod sample;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use proxy_core::config::{Cluster, Section};
use proxy_core::origin::OriginId;

pub use area::Area;
pub use destination::{Destination, learn};

/// One of two configurations that are compared.
pub struct Side<'a> {
    /// Its sections, as a node has them.
    pub sections: &'a [Arc<Section>],
    /// Where a value came from, in words: `vs.yaml:14`, `default of istio@1.29`; empty for what no rule set.
    pub origin: &'a dyn Fn(OriginId) -> String,
    /// Whom a cluster leads to, in words that both sides share.
    pub destination: &'a dyn Fn(&Cluster) -> Destination,
    /// Addresses that Services are dialled at, by the Service's name (`shop/cart`), so that sides which know a Service by different addresses are
    /// asked about it by either's own; see [`learn`]. An address that is not here stands for itself.
    pub addresses: BTreeMap<IpAddr, String>,
    /// The ports that clients dial, by the port that is listened on; a port that is not here is dialled as it is.
    pub ports: BTreeMap<u16, u16>,
}

impl<'a> Side<'a> {
    /// A side that knows Services by no address, and whose ports are dialled as they are.
    #[must_use]
    pub const fn new(
        sections: &'a [Arc<Section>],
        origin: &'a dyn Fn(OriginId) -> String,
        destination: &'a dyn Fn(&Cluster) -> Destination,
    ) -> Self {
        Self {
            sections,
            origin,
            destination,
            addresses: BTreeMap::new(),
            ports: BTreeMap::new(),
        }
    }
}

/// What is asked, and what is told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Ports that nobody is asked about: those that a system keeps for itself. They are counted.
    pub passed_ports: BTreeSet<u16>,
    /// Areas that are not told of.
    pub passed_areas: BTreeSet<Area>,
    /// Fields that are not told of, by their words: `request header x-mesh-tags`. They are counted.
    pub passed_fields: BTreeSet<String>,
    /// Beginnings of paths that the proxy keeps for pages of its own: what becomes of requests for them is not told. They are counted.
    pub passed_paths: BTreeSet<String>,
    /// Services (`shop/cart`) that are asked about; hosts and addresses of others are counted and passed over. None: all.
    pub known: Option<BTreeSet<String>>,
    /// Most requests that two virtual hosts are asked about; what is beyond is counted as not asked.
    pub most_requests: usize,
}

impl Default for Options {
    /// Every port and every area; of two virtual hosts 20 000 requests.
    fn default() -> Self {
        Self {
            passed_ports: BTreeSet::new(),
            passed_areas: BTreeSet::new(),
            passed_fields: BTreeSet::new(),
            passed_paths: BTreeSet::new(),
            known: None,
            most_requests: 20_000,
        }
    }
}

impl Options {
    /// Whether nothing is asked about a Service.
    fn passes(&self, service: &str) -> bool {
        let known = self.known.as_ref();
        known.is_some_and(|known| !known.contains(service))
    }
}

/// What came of a comparison.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Comparison {
    /// How much was asked.
    pub asked: Asked,
    /// What differs, in the order of asking; equal differences of several places are one.
    pub differences: Vec<Difference>,
    /// What was not compared and why, with how often.
    pub passed: BTreeMap<String, usize>,
}

/// How much was asked of both sides.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    /// Connections.
    pub connections: usize,
    /// Requests.
    pub requests: usize,
    /// Pairs of clusters.
    pub clusters: usize,
}

/// One thing that two sides decide differently.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// What it is about.
    pub area: Area,
    /// Where it shows first: `outbound to shop/cart:80, host cart.shop`, `port 8080, host api.example.com`, `cluster shop/cart:80`.
    pub place: String,
    /// Which field or decision, in the field's words: `timeout`, `retry.on`, `outlier.max ejection`.
    pub what: String,
    /// What the left side has.
    pub left: Said,
    /// What the right side has.
    pub right: Said,
    /// A request or connection that shows it: `GET http://shop/cart?x=1 with x-user: a`.
    pub example: String,
    /// How many of those that were asked show it.
    pub count: usize,
    /// In how many places it shows.
    pub places: usize,
}

/// What a side has to say.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Said {
    /// In words: `15s`, `90 % shop/cart:80 {v1}, 10 % shop/cart:80 {v2}`, `none`.
    pub text: String,
    /// Where that comes from, in words; empty when no rule set it.
    pub origin: String,
    /// The same as the side's own id.
    pub id: OriginId,
}

/// Asks both sides the same, and tells what they decide differently.
#[must_use]
pub fn compare(left: &Side<'_>, right: &Side<'_>, options: &Options) -> Comparison {
    let mut tell = tell::Tell::new([left, right], options);
    connections::all([left, right], options, &mut tell);
    tell.done()
}

#[cfg(test)]
mod tests;
