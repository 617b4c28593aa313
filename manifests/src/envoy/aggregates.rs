//! Clusters of clusters (`envoy.clusters.aggregate`): whoever stands behind the first, then behind the second, as one cluster.
//!
//! Source: Envoy 1.37 `source/extensions/clusters/aggregate/cluster.cc`: priorities of the members follow one another; which endpoint of a
//! priority is chosen, and how it is called, is its own cluster's affair. Departs: here it is the first's, which holds for what Consul makes,
//! whose members have the settings of one resolver.

use proxy_core::config::EndpointSet;

use super::clusters::Read;
use super::compile::Cx;
use super::endpoints::Assignment;
use super::types;
use crate::text::Spanned;

const AGGREGATE: &str = "envoy.extensions.clusters.aggregate.v3.ClusterConfig";

/// The cluster whose settings each one has, by their places: its own, or of an aggregate those of its first member. Aggregates get the
/// endpoints of their members.
pub(super) fn resolve(read: &mut [Read], cx: &mut Cx<'_>) -> Vec<usize> {
    let mut settings = Vec::new();
    for at in 0..read.len() {
        let Some(names) = members(&read[at].written, cx) else {
            settings.push(at);
            continue;
        };
        let mut found = Vec::new();
        for name in &names {
            let place = read.iter().position(|it| *it.name.value == *name.value);
            match place.filter(|place| !is_aggregate(&read[*place].written)) {
                Some(place) => found.push(place),
                None => cx.refuse(name.span, "this is no cluster with endpoints of its own"),
            }
        }
        let resolved = cx.unresolved.iter();
        let mut resolved = resolved.map(|it| &*it.cluster);
        if let Some(name) = names
            .iter()
            .find(|name| resolved.any(|it| *it == *name.value))
        {
            let meaning = "the cluster of clusters has those with addresses alone";
            cx.left_out(name.span, "a member whose endpoints have names", meaning);
        }
        read[at].found = Assignment {
            endpoints: one_after_another(found.iter().map(|place| &read[*place].found.endpoints)),
            overprovisioning: found
                .first()
                .and_then(|first| read[*first].found.overprovisioning),
        };
        settings.push(found.first().copied().unwrap_or(at));
    }
    settings
}

/// Whether a cluster's members are clusters.
fn is_aggregate(written: &types::Cluster) -> bool {
    let config = written
        .cluster_type
        .as_ref()
        .and_then(|it| it.typed_config.as_ref());
    let url = config
        .and_then(|config| config.get("@type"))
        .and_then(|it| it.as_str());
    url.is_some_and(|url| super::read::short(url) == AGGREGATE)
}

/// The names of a cluster's clusters; none: it is none of those, which is said where it is of another unknown type.
fn members(written: &types::Cluster, cx: &mut Cx<'_>) -> Option<Vec<Spanned<String>>> {
    let kind = written.cluster_type.as_ref()?;
    if !is_aggregate(written) {
        cx.left_out(
            kind.span,
            "`cluster_type`",
            "the cluster has the endpoints that stand in the file",
        );
        return None;
    }
    let typed = cx.typed(kind.typed_config.as_ref()?)?;
    let config: types::Aggregate = cx.read(&typed.config)?;
    if config.clusters.is_empty() {
        cx.refuse(kind.span, "a cluster of clusters needs some");
    }
    Some(config.clusters)
}

/// Endpoints of several sets, the priorities of each after those of the ones before.
fn one_after_another<'a>(sets: impl Iterator<Item = &'a EndpointSet>) -> EndpointSet {
    let mut all = EndpointSet::default();
    let mut next: u8 = 0;
    for set in sets {
        let mut last = next;
        for endpoint in &set.endpoints {
            let mut endpoint = endpoint.clone();
            endpoint.priority = endpoint.priority.saturating_add(next);
            last = last.max(endpoint.priority);
            if all
                .endpoints
                .iter()
                .all(|it| it.address != endpoint.address)
            {
                all.endpoints.push(endpoint);
            }
        }
        let weights = set.locality_weights.iter();
        let weights = weights
            .map(|(name, priority, weight)| (name.clone(), priority.saturating_add(next), *weight));
        all.locality_weights.extend(weights);
        if !set.endpoints.is_empty() {
            next = last.saturating_add(1);
        }
    }
    all
}
