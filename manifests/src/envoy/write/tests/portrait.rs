//! What a configuration says, as text: without where it says it, and with one form for what has several.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use proxy_core::config::{
    ChainAction, ChainMatch, HeaderEdits, HttpConnections, HttpFilter, LocalRateLimit, NodeConfig,
    RouteAction, RouteTable, Section,
};
use proxy_core::heads::{HeadWriter, HeaderOp};

use crate::envoy::Certificates;

/// Values of one header.
struct Lines(Vec<String>);

impl HeadWriter for Lines {
    fn set_path(&mut self, _: &str) {}
    fn set_authority(&mut self, _: &str) {}
    fn set(&mut self, _: &str, value: &str) {
        self.0 = vec![value.to_owned()];
    }
    fn append(&mut self, _: &str, value: &str) {
        self.0.push(value.to_owned());
    }
    fn remove(&mut self, _: &str) {
        self.0.clear();
    }
    fn has(&self, _: &str) -> bool {
        !self.0.is_empty()
    }
    fn first(&self, _: &str) -> Option<&str> {
        self.0.first().map(String::as_str)
    }
}

/// Edits by header, each as what becomes of an old value and of none: that is all that edits can do.
fn edits(edits: &mut HeaderEdits) {
    let mut by_name: BTreeMap<Box<str>, Vec<HeaderOp>> = BTreeMap::new();
    for op in edits.drain(..) {
        by_name.entry(op.name().into()).or_default().push(op);
    }
    for (name, ops) in by_name {
        let [there, absent] = [vec!["(old)".to_owned()], Vec::new()].map(|before| {
            let mut lines = Lines(before);
            ops.iter().for_each(|op| op.apply(&mut lines));
            let values = lines.0.into_iter();
            let values = values.map(|value| HeaderOp::Append(name.clone(), value.into()));
            values.collect::<Vec<HeaderOp>>()
        });
        edits.push(HeaderOp::IfPresent(name, there.into(), absent.into()));
    }
}

/// Names of buckets: only which are the same counts.
#[derive(Default)]
struct Buckets(BTreeMap<String, usize>);

impl Buckets {
    fn rename(&mut self, limit: &mut LocalRateLimit) {
        let next = self.0.len();
        let number = *self.0.entry(limit.name.to_string()).or_insert(next);
        limit.name = format!("bucket {number}").into();
    }
}

fn table(table: &mut RouteTable, buckets: &mut Buckets) {
    for host in &mut table.virtual_hosts {
        for route in &mut host.routes {
            edits(&mut route.request_edits);
            edits(&mut route.response_edits);
            if let Some(limit) = &mut route.rate_limit {
                buckets.rename(limit);
            }
            if let RouteAction::Forward(forward) = &mut route.action {
                for each in &mut forward.clusters {
                    edits(&mut each.request_edits);
                    edits(&mut each.response_edits);
                }
            }
        }
    }
}

fn http(http: &HttpConnections, section: &Section, buckets: &mut Buckets) -> String {
    let mut http = http.clone();
    for filter in &mut http.filters {
        if let HttpFilter::LocalRateLimit(Some(limit)) = filter {
            buckets.rename(limit);
        }
    }
    let mut own = section.tables()[http.table.0 as usize].clone();
    table(&mut own, buckets);
    http.table.0 = 0;
    format!("{http:#?}\n{own:#?}")
}

/// A match without what is listed twice; of a block only the leading bits count.
fn plain(matches: &ChainMatch) -> ChainMatch {
    let mut plain = matches.clone();
    for block in &mut plain.destinations {
        let IpAddr::V4(ip) = block.address else {
            continue;
        };
        let kept = u64::from(ip.to_bits()) >> (32 - block.bits) << (32 - block.bits);
        block.address = IpAddr::from((kept as u32).to_be_bytes());
    }
    let all = std::mem::take(&mut plain.destinations);
    for block in all {
        if !plain.destinations.contains(&block) {
            plain.destinations.push(block);
        }
    }
    let mut seen = BTreeSet::new();
    plain.protocols.retain(|it| seen.insert(it.clone()));
    plain
}

/// The text of a configuration.
pub(super) fn portrait(config: &NodeConfig) -> String {
    let mut text = format!("{} {:?}\n", config.name, config.kind);
    let mut buckets = Buckets::default();
    for section in &config.sections {
        for listener in section.listeners() {
            text.push_str(&format!(
                "listener {} {:?} {:?} {:?}\n",
                listener.name, listener.address, listener.max_connections, listener.preface
            ));
            for chain in &listener.chains {
                let matches = plain(&chain.matches);
                text.push_str(&format!("{matches:#?} {:?}\n", chain.transport));
                text.push_str(&match &chain.action {
                    ChainAction::Http(it) => http(it, section, &mut buckets),
                    other @ (ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_)) => {
                        format!("{other:#?}")
                    }
                });
            }
        }
        for cluster in section.clusters() {
            let mut cluster = (**cluster).clone();
            let mut endpoints = (*cluster.endpoints).clone();
            for endpoint in &mut endpoints.endpoints {
                let mut labels = endpoint.labels.to_vec();
                labels.sort();
                endpoint.labels = labels.into();
            }
            cluster.endpoints = Arc::new(endpoints);
            text.push_str(&format!("{cluster:#?}\n"));
        }
    }
    without_origins(&text)
}

/// The text of certificates.
pub(super) fn certificates(all: &[Certificates]) -> String {
    without_origins(&format!("{all:#?}"))
}

fn without_origins(text: &str) -> String {
    let origin = regex::Regex::new("origin#[0-9]+").expect("a pattern");
    origin.replace_all(text, "origin").into_owned()
}
