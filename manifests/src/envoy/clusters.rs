//! Clusters.

use std::net::IpAddr;
use std::sync::Arc;

use proxy_core::config::{
    Balancer, Cluster, Discovery, Name, SectionDraft, SubsetFallback, Subsets,
};
use proxy_core::time::Duration;

use super::compile::Cx;
use super::endpoints::{Asking, Assignment, LookupFamily, Of, assignment};
use super::types::{self, DiscoveryType, DnsFamily, LbPolicy};
use super::{aggregates, balance, tls, upstream};
use crate::text::{Node, Spanned};

/// How often names are resolved (`dns_refresh_rate`).
const REFRESH: Duration = Duration::from_secs(5);
/// Time until a connection must stand (`connect_timeout`).
const CONNECT: Duration = Duration::from_secs(5);

/// A cluster that was read.
pub(super) struct Read {
    pub(super) written: types::Cluster,
    pub(super) name: Spanned<String>,
    pub(super) found: Assignment,
}

/// Compiles all clusters, so that routes can name them.
pub(super) fn all(nodes: &[Node], draft: &mut SectionDraft, cx: &mut Cx<'_>) {
    let mut read = Vec::new();
    for node in nodes {
        let Some(written) = cx.read::<types::Cluster>(node) else {
            continue;
        };
        let Some(name) = written.name.clone().filter(|name| !name.is_empty()) else {
            cx.refuse(node.span, "a cluster needs a `name`");
            continue;
        };
        let found = endpoints(&written, &name, node, cx);
        read.push(Read {
            written,
            name,
            found,
        });
    }
    let settings = aggregates::resolve(&mut read, cx);
    let local = cx.local_cluster.clone();
    let callers = local.map(|local| {
        let cluster = read.iter().find(|it| *it.name == *local);
        if cluster.is_none() {
            let message = format!("there is no cluster `{local}`, which is to be the local one");
            cx.refuse(local.span, message);
        }
        let members = cluster.map(|it| by_locality(&it.found));
        (local, members.unwrap_or_default())
    });
    for (at, of) in settings.into_iter().enumerate() {
        let name = read[at].name.clone();
        let zones = callers.as_ref().filter(|(local, _)| *local != name);
        let zones = zones.map(|(_, members)| members.clone());
        let found = std::mem::take(&mut read[at].found);
        let cluster = cluster(&read[of].written, &name, found, zones, cx);
        let index = proxy_core::config::ClusterIndex(draft.clusters.len() as u32);
        if cx.declare(&name, index) {
            draft.add_cluster(cluster);
        }
    }
}

fn by_locality(found: &Assignment) -> Vec<(Name, u32)> {
    let mut counts: Vec<(Name, u32)> = Vec::new();
    for endpoint in &found.endpoints.endpoints {
        match counts
            .iter_mut()
            .find(|(name, _)| *name == endpoint.locality)
        {
            Some((_, count)) => *count += 1,
            None => counts.push((Arc::clone(&endpoint.locality), 1)),
        }
    }
    counts
}

fn cluster(
    written: &types::Cluster,
    name: &Spanned<String>,
    found: Assignment,
    callers: Option<Vec<(Name, u32)>>,
    cx: &mut Cx<'_>,
) -> Cluster {
    let balance = balance::balance(written, callers, cx);
    let (protocol, mut pool) = upstream::protocol(written, cx);
    let bounds = upstream::bounds(written.circuit_breakers.as_ref(), cx);
    pool.max_connections_per_endpoint = bounds.per_endpoint;
    let by_destination = kind(written) == DiscoveryType::OriginalDst;
    let mut balancer = balance.balancer;
    if by_destination {
        balancer.value = Balancer::OriginalDestination;
    } else if balancer.value == Balancer::OriginalDestination && written.cluster_type.is_none() {
        let span = written.lb_policy.map_or(name.span, |policy| policy.span);
        cx.refuse(
            span,
            "only a cluster of the type `ORIGINAL_DST` chooses its own endpoint",
        );
    }
    if let Some(policy) = written.lb_policy
        && by_destination
        && policy.value != LbPolicy::ClusterProvided
    {
        cx.refuse(
            policy.span,
            "a cluster of the type `ORIGINAL_DST` needs `CLUSTER_PROVIDED`",
        );
    }
    let connect = cx.length(written.connect_timeout);
    if let Some(timeout) = written
        .connect_timeout
        .filter(|timeout| timeout.value.0.is_zero())
    {
        cx.refuse(timeout.span, "must be above 0");
    }
    let transport = written.transport_socket.as_ref();
    let transport =
        transport.and_then(|socket| tls::upstream(socket, &format!("cluster/{name}"), cx));
    let (transport, preface) = transport.unzip();
    let preface = preface.flatten();
    let plain = Cluster::envoy(name, found.endpoints);
    Cluster {
        discovery: match by_destination {
            true => Discovery::OriginalDestination,
            false => Discovery::Endpoints,
        },
        balancer,
        locality: balance.locality,
        panic_threshold: balance.panic_threshold,
        fail_traffic_on_panic: balance.fail_traffic_on_panic,
        overprovisioning: found.overprovisioning.unwrap_or(plain.overprovisioning),
        connect_timeout: connect.unwrap_or_else(|| cx.default(CONNECT)),
        source_address: source_address(written, cx),
        protocol,
        transport: transport.unwrap_or_else(|| plain.transport.clone()),
        preface,
        subsets: subsets(written, cx),
        slow_start: balance.slow_start,
        outlier: written
            .outlier_detection
            .as_ref()
            .map(|rules| upstream::outlier(rules, cx)),
        health_checks: upstream::health_checks(&written.health_checks, cx),
        pool,
        limits: bounds.limits,
        retry_budget: bounds.retry_budgets[0],
        high_retry_budget: bounds.retry_budgets[1],
        origin: cx.written(name.span),
        ..plain
    }
}

fn kind(written: &types::Cluster) -> DiscoveryType {
    written
        .kind
        .map_or(DiscoveryType::Static, |kind| kind.value)
}

fn endpoints(
    written: &types::Cluster,
    name: &Spanned<String>,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Assignment {
    let kind = kind(written);
    if kind == DiscoveryType::Eds {
        let span = written.kind.map_or(node.span, |kind| kind.span);
        cx.left_out(
            span,
            "the type `EDS`",
            "nothing is fetched: the cluster has no endpoints",
        );
    }
    let of = Of {
        cluster: name,
        kind,
        asking: asking(written, kind, cx),
    };
    let Some(load) = &written.load_assignment else {
        return Assignment::default();
    };
    let before = cx.unresolved.len();
    let found = assignment(load, &of, cx);
    let total = found.endpoints.endpoints.len() + cx.unresolved.len() - before;
    if kind == DiscoveryType::LogicalDns && total > 1 {
        cx.refuse(
            load.span,
            "a cluster of the type `LOGICAL_DNS` has one endpoint",
        );
    }
    if kind == DiscoveryType::OriginalDst && total > 0 {
        cx.refuse(
            load.span,
            "a cluster of the type `ORIGINAL_DST` has no endpoints of its own",
        );
    }
    found
}

/// How the names of a cluster's endpoints are asked for.
fn asking(written: &types::Cluster, kind: DiscoveryType, cx: &mut Cx<'_>) -> Asking {
    let is_named = matches!(kind, DiscoveryType::StrictDns | DiscoveryType::LogicalDns);
    if let Some(respect) = written.respect_dns_ttl.filter(|it| it.value && is_named) {
        let meaning = "names are asked for as often as `dns_refresh_rate` says";
        cx.left_out(respect.span, "`respect_dns_ttl`", meaning);
    }
    if let Some(rate) = written.dns_refresh_rate
        && rate.value.0 <= Duration::from_millis(1)
    {
        cx.refuse(rate.span, "must be above 0.001s");
    }
    let failure = written.dns_failure_refresh_rate.as_ref().map(|failure| {
        let base = failure.base_interval;
        let most = failure.max_interval.map(|most| most.value.0);
        let most = most.unwrap_or_else(|| base.value.0.scale(10.0));
        if base.value.0.is_zero() {
            cx.refuse(base.span, "must be above 0");
        }
        if most < base.value.0 {
            cx.refuse(base.span, "must not be above `max_interval`");
        }
        (base.value.0, most)
    });
    Asking {
        family: match written.dns_lookup_family {
            DnsFamily::Auto => LookupFamily::Auto,
            DnsFamily::V4Only => LookupFamily::V4Only,
            DnsFamily::V6Only => LookupFamily::V6Only,
            DnsFamily::V4Preferred => LookupFamily::V4Preferred,
            DnsFamily::All => LookupFamily::All,
        },
        refresh: written
            .dns_refresh_rate
            .map_or(REFRESH, |rate| rate.value.0),
        jitter: written.dns_jitter.map_or(Duration::ZERO, |it| it.value.0),
        failure,
    }
}

/// Where connections come from; an unspecified address leaves it to the system.
fn source_address(written: &types::Cluster, cx: &mut Cx<'_>) -> Option<IpAddr> {
    let bind: types::BindConfig = cx.read_maybe(written.upstream_bind_config.as_ref())?;
    let source: types::BindAddress = cx.read_maybe(bind.source_address.as_ref())?;
    if let Some(port) = source.port_value.filter(|port| port.value.0 > 0) {
        let meaning = "the port that connections come from is the system's choice";
        cx.left_out(port.span, "a port of the source address", meaning);
    }
    let address = &source.address;
    match address.parse::<IpAddr>() {
        Ok(ip) => Some(ip).filter(|ip| !ip.is_unspecified()),
        Err(_) => {
            cx.refuse(address.span, "this is no IP address");
            None
        }
    }
}

/// Sets of keys by which routes may narrow the cluster's endpoints.
fn subsets(written: &types::Cluster, cx: &mut Cx<'_>) -> Option<Subsets> {
    let written = written.lb_subset_config.as_ref()?;
    let meaning = "a subset is balanced as the whole cluster is";
    for (field, name) in [
        (written.locality_weight_aware, "locality_weight_aware"),
        (written.scale_locality_weight, "scale_locality_weight"),
        (written.panic_mode_any, "panic_mode_any"),
        (written.list_as_any, "list_as_any"),
        (written.metadata_fallback_policy, "metadata_fallback_policy"),
    ] {
        cx.note(field, name, meaning);
    }
    let mut selectors = Vec::new();
    for selector in &written.subset_selectors {
        cx.note(
            selector.single_host_per_subset,
            "single_host_per_subset",
            meaning,
        );
        let meaning = "the fallback of the cluster counts";
        cx.note(selector.fallback_policy, "fallback_policy", meaning);
        cx.note(
            selector.fallback_keys_subset,
            "fallback_keys_subset",
            meaning,
        );
        let mut keys: Vec<Name> = selector
            .keys
            .iter()
            .map(|key| key.as_str().into())
            .collect();
        keys.sort_unstable();
        selectors.push(keys);
    }
    let labels = written.default_subset.as_ref();
    let labels = labels.map(super::endpoints::labels_of).unwrap_or_default();
    Some(Subsets {
        selectors,
        fallback: match written.fallback_policy {
            None | Some(types::SubsetFallback::NoFallback) => SubsetFallback::Nowhere,
            Some(types::SubsetFallback::AnyEndpoint) => SubsetFallback::Any,
            Some(types::SubsetFallback::DefaultSubset) => SubsetFallback::Labelled(labels),
        },
    })
}
