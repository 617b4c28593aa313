//! Clusters.

use std::sync::Arc;

use proxy_core::config::{
    Balancer, Cluster, Discovery, Endpoint, EndpointSet, NodeConfig, Priority, RouteAction,
    Section, SubsetFallback, Subsets,
};
use proxy_core::time::Duration;
use serde_json::{Value, json};

use super::super::endpoints::Unresolved;
use super::balance::{self, Local};
use super::cx::Cx;
use super::message::{Message, labels, length};
use super::{endpoints, tls, upstream};
use crate::envoy::{LookupFamily, Resolution};

/// How often names are resolved (`dns_refresh_rate`).
const REFRESH: Duration = Duration::from_secs(5);
/// Time until a connection must stand (`connect_timeout`).
const CONNECT: Duration = Duration::from_secs(5);

/// Writes the clusters of all sections.
pub(super) fn all<'a>(
    config: &'a NodeConfig,
    local: Option<&Local>,
    cx: &mut Cx<'a>,
) -> Vec<Value> {
    let mut all = Vec::new();
    for (number, section) in config.sections.iter().enumerate() {
        cx.turn_to(config, number);
        let high = uses_high(section);
        for (at, cluster) in section.clusters().iter().enumerate() {
            let name = cx.names[number][at].clone();
            let written = cx.at(format!("cluster `{name}`"), cluster.origin, |cx| {
                self::cluster(cluster, &name, local, high, cx)
            });
            all.push(written.into());
        }
    }
    all.extend(local.and_then(Local::written));
    all
}

/// Writes the clusters whose only endpoint is what the connections of a door are meant for.
pub(super) fn fixed<'a>(
    config: &'a NodeConfig,
    local: Option<&Local>,
    cx: &mut Cx<'a>,
) -> Vec<Value> {
    let mut all = Vec::new();
    for fixed in std::mem::take(&mut cx.fixed) {
        cx.turn_to(config, fixed.section);
        let section = &config.sections[fixed.section];
        let mut one = Cluster::clone(&section.clusters()[fixed.index.0 as usize]);
        one.discovery = Discovery::Endpoints;
        one.balancer.value = Balancer::RoundRobin;
        one.endpoints = Arc::new(EndpointSet {
            endpoints: vec![Endpoint::at(fixed.meant)],
            ..EndpointSet::default()
        });
        let high = uses_high(section);
        let place = format!("cluster `{}`", fixed.name);
        let written = cx.at(place, one.origin, |cx| {
            cluster(&one, &fixed.name, local, high, cx)
        });
        all.push(written.into());
    }
    all
}

/// Whether any route of a section has high priority.
fn uses_high(section: &Section) -> bool {
    let hosts = section.tables().iter().flat_map(|it| &it.virtual_hosts);
    let mut routes = hosts.flat_map(|host| &host.routes);
    routes.any(|route| match &route.action {
        RouteAction::Forward(forward) => forward.priority == Priority::High,
        RouteAction::Redirect(_) | RouteAction::Direct(_) => false,
    })
}

fn cluster(
    cluster: &Cluster,
    name: &str,
    local: Option<&Local>,
    high: bool,
    cx: &mut Cx<'_>,
) -> Message {
    let mut message = Message::default();
    message.set("name", name);
    let written = cx.written;
    let names: Vec<&Unresolved> = written
        .unresolved
        .iter()
        .filter(|it| it.cluster == cluster.name)
        .collect();
    match (cluster.discovery, names.first()) {
        (Discovery::OriginalDestination, _) => message.set("type", "ORIGINAL_DST"),
        (Discovery::Endpoints, Some(first)) => {
            message.set(
                "type",
                match first.resolution {
                    Resolution::All => "STRICT_DNS",
                    Resolution::First => "LOGICAL_DNS",
                },
            );
            asking(first, &mut message);
        }
        (Discovery::Endpoints, None) => message.set("type", "STATIC"),
    }
    balance::balance(cluster, name, local, &mut message, cx);
    if cluster.discovery == Discovery::Endpoints {
        let assignment = endpoints::assignment(cluster, name, &names, cx);
        message.maybe("load_assignment", assignment);
    }
    let connect = cluster.connect_timeout.value;
    if connect != CONNECT {
        // Envoy takes no timeout of nothing
        let least = connect.max(Duration::from_nanos(1));
        message.set("connect_timeout", length(least));
    }
    if let Some(ip) = cluster.source_address {
        let address = json!({"address": ip.to_string(), "port_value": 0});
        message.set("upstream_bind_config", json!({"source_address": address}));
    }
    upstream::protocol(cluster, &mut message, cx);
    upstream::bounds(cluster, high, &mut message, cx);
    tls::upstream(cluster, &mut message, cx);
    let has_own = cluster.discovery == Discovery::Endpoints;
    if let Some(subsets) = cluster.subsets.as_ref().filter(|_| has_own) {
        message.set("lb_subset_config", self::subsets(subsets));
    }
    if let Some(outlier) = &cluster.outlier {
        message.set("outlier_detection", upstream::outlier(&outlier.value, cx));
    }
    upstream::health_checks(cluster, &mut message, cx);
    if cluster.accrual.is_some() {
        cx.departs("failures in a row take no endpoint out until a request succeeds: Envoy has no failure accrual");
    }
    if cluster.passive.is_some() {
        cx.departs("failures within a window take no endpoint out: Envoy counts those in a row, and has a cap");
    }
    if let Some(queue) = &cluster.queue {
        let most = queue.value.capacity;
        cx.departs(format!("requests that find no endpoint do not wait ({most} at a time): they are answered with 503 at once"));
    }
    message
}

/// How names are asked for, which all of a cluster have in common.
fn asking(name: &Unresolved, message: &mut Message) {
    if name.refresh != REFRESH {
        message.set("dns_refresh_rate", length(name.refresh));
    }
    if !name.jitter.is_zero() {
        message.set("dns_jitter", length(name.jitter));
    }
    if let Some((base, most)) = name.failure {
        let rate = json!({"base_interval": length(base), "max_interval": length(most)});
        message.set("dns_failure_refresh_rate", rate);
    }
    let family = match name.family {
        LookupFamily::Auto => None,
        LookupFamily::V4Only => Some("V4_ONLY"),
        LookupFamily::V6Only => Some("V6_ONLY"),
        LookupFamily::V4Preferred => Some("V4_PREFERRED"),
        LookupFamily::All => Some("ALL"),
    };
    message.maybe("dns_lookup_family", family);
}

fn subsets(subsets: &Subsets) -> Message {
    let mut message = Message::default();
    match &subsets.fallback {
        SubsetFallback::Nowhere => {}
        SubsetFallback::Any => message.set("fallback_policy", "ANY_ENDPOINT"),
        SubsetFallback::Labelled(wanted) => {
            message.set("fallback_policy", "DEFAULT_SUBSET");
            message.set("default_subset", labels(wanted));
        }
    }
    let selectors = subsets.selectors.iter().map(|keys| {
        let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
        json!({"keys": keys})
    });
    message.list("subset_selectors", selectors.collect());
    message
}
