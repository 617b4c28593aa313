//! Endpoints: those with addresses, and those that Envoy resolves itself.

use proxy_core::config::{Balancer, Cluster, DiscoveredHealth, Endpoint, Name};
use serde_json::{Value, json};

use super::super::endpoints::Unresolved;
use super::cx::Cx;
use super::message::{Message, labels, locality, socket, socket_of};
use super::tls::MATCH;

/// Per cent by which healthy endpoints count more (`overprovisioning_factor`).
const OVERPROVISIONING: u32 = 140;

/// Writes the load assignment of a cluster; none where it says nothing.
pub(super) fn assignment(
    cluster: &Cluster,
    name: &str,
    unresolved: &[&Unresolved],
    cx: &mut Cx<'_>,
) -> Option<Message> {
    let hashes = matches!(
        cluster.balancer.value,
        Balancer::RingHash { .. } | Balancer::Maglev { .. }
    );
    let mut groups = Groups::default();
    for endpoint in own(cluster) {
        let dialled = cx.written.endpoints.get(&endpoint.address);
        let mut extra = Vec::new();
        if dialled.is_some() && hashes {
            let key: Name = endpoint.address.to_string().into();
            extra.push(("hash_key".into(), key));
        }
        let at = socket(*dialled.unwrap_or(&endpoint.address));
        groups.push(endpoint, lb_endpoint(endpoint, at, &extra));
    }
    for each in unresolved {
        let at = socket_of(&each.host, each.port);
        groups.push(&each.endpoint, lb_endpoint(&each.endpoint, at, &[]));
    }
    let localities = groups.written(&cluster.endpoints.locality_weights);
    let mut message = Message::default();
    message.list("endpoints", localities);
    if cluster.overprovisioning != OVERPROVISIONING {
        let factor = cluster.overprovisioning.max(1);
        message.set("policy", json!({"overprovisioning_factor": factor}));
    }
    if message.is_empty() {
        return None;
    }
    message.set("cluster_name", name);
    Some(message)
}

/// Those of a cluster's endpoints that have its labels.
fn own(cluster: &Cluster) -> impl Iterator<Item = &Endpoint> {
    let endpoints = cluster.endpoints.endpoints.iter();
    endpoints.filter(|it| cluster.subset.iter().all(|label| it.labels.contains(label)))
}

/// Endpoints in a row that have one locality and priority.
#[derive(Default)]
struct Groups(Vec<(Name, u8, Vec<Value>)>);

impl Groups {
    fn push(&mut self, endpoint: &Endpoint, written: Value) {
        let (locality, priority) = (&endpoint.locality, endpoint.priority);
        match self.0.last_mut() {
            Some((place, level, of)) if place == locality && *level == priority => of.push(written),
            Some(_) | None => self.0.push((locality.clone(), priority, vec![written])),
        }
    }

    /// A weight stands at the first group of its locality and priority; one without endpoints has a group of its own.
    fn written(self, weights: &[(Name, u8, u32)]) -> Vec<Value> {
        let mut weights: Vec<&(Name, u8, u32)> = weights.iter().collect();
        let mut written = Vec::new();
        for (place, level, endpoints) in self.0 {
            let own = weights
                .iter()
                .position(|(name, priority, _)| *name == place && *priority == level);
            let weight = own.map(|at| weights.remove(at).2);
            written.push(group(&place, level, weight, endpoints));
        }
        for (place, level, weight) in weights {
            written.push(group(place, *level, Some(*weight), Vec::new()));
        }
        written
    }
}

fn group(place: &str, priority: u8, weight: Option<u32>, endpoints: Vec<Value>) -> Value {
    let mut message = Message::default();
    message.maybe("locality", locality(place));
    message.unless("priority", priority, 0);
    // Envoy has no weight of 0: without one nothing goes there
    message.maybe("load_balancing_weight", weight.filter(|weight| *weight > 0));
    message.list("lb_endpoints", endpoints);
    message.into()
}

fn lb_endpoint(endpoint: &Endpoint, at: Value, extra: &[(Name, Name)]) -> Value {
    let mut inner = Message::default();
    inner.set("address", at);
    inner.text("hostname", &endpoint.hostname);
    let mut message = Message::default();
    message.set("endpoint", inner);
    message.unless("load_balancing_weight", endpoint.weight.max(1), 1);
    let health = match endpoint.health {
        DiscoveredHealth::Healthy => None,
        DiscoveredHealth::Unhealthy => Some("UNHEALTHY"),
        DiscoveredHealth::Draining => Some("DRAINING"),
    };
    message.maybe("health_status", health);
    let mut own: Vec<(Name, Name)> = endpoint.labels.to_vec();
    own.extend_from_slice(extra);
    let is_canary = own
        .iter()
        .any(|(key, value)| &**key == "canary" && &**value == "true");
    if endpoint.canary && !is_canary {
        own.push(("canary".into(), "true".into()));
    }
    let mut metadata = Message::default();
    if !own.is_empty() {
        metadata.set("envoy.lb", labels(&own));
    }
    if endpoint.identity.is_some() {
        metadata.set(MATCH, json!({"tlsMode": "istio"}));
    }
    if !metadata.is_empty() {
        let metadata = Value::from(metadata);
        message.set("metadata", json!({"filter_metadata": metadata}));
    }
    message.into()
}
