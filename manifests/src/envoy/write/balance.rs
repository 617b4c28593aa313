//! How endpoints are chosen.

use proxy_core::balance::slow_start::SlowStart;
use proxy_core::config::{
    Balancer, Cluster, HashBalance, LocalityBalance, Name, NodeConfig, Share, ZoneAware,
};
use serde_json::{Value, json};

use super::cx::{Cx, unique};
use super::message::{Message, extension, length, locality, percent, runtime_double, socket};

const LEAST_REQUEST: &str =
    "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest";
const LARGEST_RING: u64 = 8 << 20;

/// Writes the policy of a cluster, with its settings.
pub(super) fn balancer(
    cluster: &Cluster,
    localities: Message,
    message: &mut Message,
    cx: &mut Cx<'_>,
) {
    let slow = cluster.slow_start.map(|slow| slow_start(&slow.value));
    let mut settings = Message::default();
    match &cluster.balancer.value {
        Balancer::RoundRobin => {
            settings.maybe("slow_start_config", slow);
            message.within("round_robin_lb_config", settings);
            return;
        }
        Balancer::LeastRequest {
            choices,
            bias,
            full_scan,
        } => {
            let numbers = (*choices, *bias);
            let localities = full_scan.then_some(localities);
            least_request(cluster, numbers, localities, slow, message, cx);
            return;
        }
        Balancer::Random => message.set("lb_policy", "RANDOM"),
        Balancer::RingHash {
            min_size, max_size, ..
        } => {
            message.set("lb_policy", "RING_HASH");
            settings.unless("minimum_ring_size", *min_size, 1024);
            settings.unless("maximum_ring_size", *max_size, LARGEST_RING);
            message.within("ring_hash_lb_config", settings);
        }
        Balancer::Maglev { size, .. } => {
            message.set("lb_policy", "MAGLEV");
            settings.unless("table_size", *size, 65_537);
            message.within("maglev_lb_config", settings);
        }
        Balancer::PeakEwma { .. } => {
            cx.departs("the endpoint with fewest requests of two is taken, not the one with the lower peak EWMA");
            message.set("lb_policy", "LEAST_REQUEST");
        }
        Balancer::KongRing => {
            cx.departs("endpoints are taken in Envoy's turn, not in that of Kong's ring");
        }
        Balancer::KongLeastConnections => {
            cx.departs("the endpoint with fewest requests of two is taken, not that with fewest connections for its weight");
            message.set("lb_policy", "LEAST_REQUEST");
        }
        Balancer::KongLatency => {
            cx.departs("the endpoint with fewest requests of two is taken, not the one that answers sooner");
            message.set("lb_policy", "LEAST_REQUEST");
        }
        Balancer::OriginalDestination => {
            cx.departs("endpoints are taken in turn: the cluster has some of its own");
        }
    }
    if slow.is_some() {
        cx.departs("new endpoints get their whole share at once: only turns and fewest requests have a slow start");
    }
}

/// Only the extension of Envoy's looks at all endpoints; it has its `localities` itself.
fn least_request(
    cluster: &Cluster,
    (choices, bias): (u32, f64),
    localities: Option<Message>,
    slow: Option<Message>,
    message: &mut Message,
    cx: &mut Cx<'_>,
) {
    let mut settings = match &localities {
        Some(_) => Message::any(LEAST_REQUEST),
        None => Message::default(),
    };
    settings.unless("choice_count", choices.max(2), 2);
    if bias != 1.0 {
        let bias = runtime_double(bias, "active_request_bias");
        settings.set("active_request_bias", bias);
    }
    settings.maybe("slow_start_config", slow);
    let Some(localities) = localities else {
        message.set("lb_policy", "LEAST_REQUEST");
        message.within("least_request_lb_config", settings);
        return;
    };
    settings.set("selection_method", "FULL_SCAN");
    settings.within("locality_lb_config", localities);
    if cluster.subsets.is_some() {
        cx.departs("what routes ask for is of no account: a cluster whose balancer looks at all endpoints has no subsets");
    }
    let policy = extension("envoy.load_balancing_policies.least_request", settings);
    let policies = vec![json!({"typed_extension_config": policy})];
    message.set("load_balancing_policy", json!({"policies": policies}));
}

fn slow_start(slow: &SlowStart) -> Message {
    let mut message = Message::default();
    message.set("slow_start_window", length(slow.window));
    if slow.aggression != 1.0 {
        let aggression = runtime_double(slow.aggression, "slow_start_aggression");
        message.set("aggression", aggression);
    }
    let least = Share::from_percent(slow.min_weight * 100.0);
    if least != Share::from_ppm(100_000) {
        message.set("min_weight_percent", percent(least));
    }
    message
}

/// Writes what balancers have in common: localities, panic, bounded loads.
pub(super) fn common(cluster: &Cluster, localities: Message, message: &mut Message) {
    let mut common = localities;
    let threshold = cluster.panic_threshold.value;
    if threshold != Share::from_ppm(500_000) {
        common.set("healthy_panic_threshold", percent(threshold));
    }
    let bound = match &cluster.balancer.value {
        Balancer::RingHash { bound, .. } | Balancer::Maglev { bound, .. } => *bound,
        Balancer::RoundRobin
        | Balancer::LeastRequest { .. }
        | Balancer::Random
        | Balancer::PeakEwma { .. }
        | Balancer::KongRing
        | Balancer::KongLeastConnections
        | Balancer::KongLatency
        | Balancer::OriginalDestination => None,
    };
    if let Some(HashBalance { factor }) = bound {
        let factor = json!({"hash_balance_factor": factor});
        common.set("consistent_hashing_lb_config", factor);
    }
    message.within("common_lb_config", common);
}

/// Whether the policy itself has the localities; else the balancers have them in common.
pub(super) const fn has_localities(cluster: &Cluster) -> bool {
    let balancer = &cluster.balancer.value;
    matches!(
        balancer,
        Balancer::LeastRequest {
            full_scan: true,
            ..
        }
    )
}

/// How localities share the load; `name` is the cluster's.
pub(super) fn localities(
    cluster: &Cluster,
    name: &str,
    local: Option<&Local>,
    cx: &mut Cx<'_>,
) -> Message {
    let mut message = Message::default();
    match &cluster.locality.value {
        LocalityBalance::Weighted => {
            if cluster.fail_traffic_on_panic {
                cx.departs("in panic all endpoints are used: with weighted localities Envoy refuses nobody");
            }
            message.set("locality_weighted_lb_config", json!({}));
        }
        LocalityBalance::ZoneAware(zones) => {
            if local.is_none_or(|local| local.callers != zones.callers) {
                cx.departs("zones count the callers of other clusters: Envoy has one number of callers for all clusters");
            }
            message.within("zone_aware_lb_config", zones_of(cluster));
        }
        LocalityBalance::Ignored => {
            let mut zones = Message::default();
            // where there is a local cluster, zones count for all others
            if local.is_some_and(|local| *local.name != *name) {
                zones.set("routing_enabled", percent(Share::ZERO));
            }
            zones.flag("fail_traffic_on_panic", cluster.fail_traffic_on_panic);
            message.within("zone_aware_lb_config", zones);
        }
    }
    message
}

fn zones_of(cluster: &Cluster) -> Message {
    let mut message = Message::default();
    if let LocalityBalance::ZoneAware(zones) = &cluster.locality.value {
        if zones.enabled != Share::ALL {
            message.set("routing_enabled", percent(zones.enabled));
        }
        message.unless("min_cluster_size", zones.min_cluster_size, 6);
        if let Some(least) = zones.force_local_min {
            message.set("force_local_zone", json!({"min_size": least}));
        }
    }
    message.flag("fail_traffic_on_panic", cluster.fail_traffic_on_panic);
    message
}

/// The cluster that a node and its peers are, from which Envoy knows how its callers spread over zones.
pub(super) struct Local {
    pub(super) name: Name,
    pub(super) callers: Vec<(Name, u32)>,
    /// Whether no cluster of the node is it.
    is_made: bool,
}

impl Local {
    /// The one that the first cluster with zones goes by; none where zones are of no account.
    pub(super) fn of(config: &NodeConfig, names: &[Vec<Name>]) -> Option<Self> {
        let clusters = || {
            let sections = config.sections.iter().zip(names);
            sections.flat_map(|(section, names)| section.clusters().iter().zip(names))
        };
        let zones = |cluster: &Cluster| match &cluster.locality.value {
            LocalityBalance::ZoneAware(ZoneAware { callers, .. }) => Some(callers.clone()),
            LocalityBalance::Ignored | LocalityBalance::Weighted => None,
        };
        let callers = clusters().find_map(|(cluster, _)| zones(cluster))?;
        let mut own = clusters().filter(|(cluster, _)| zones(cluster).is_none());
        // Envoy takes none with several priorities
        let is_flat = |cluster: &Cluster| {
            cluster
                .endpoints
                .endpoints
                .iter()
                .all(|it| it.priority == 0)
        };
        let own = own.find(|(it, _)| is_flat(it) && by_locality(it) == callers);
        let is_taken = |name: &str| clusters().any(|(_, other)| **other == *name);
        let name = match own {
            Some((_, name)) => name.clone(),
            None => unique("callers", is_taken).into(),
        };
        Some(Self {
            name,
            callers,
            is_made: own.is_none(),
        })
    }

    /// The cluster itself, where the node has none: addresses that nobody dials, in the right number for each locality.
    pub(super) fn written(&self) -> Option<Value> {
        if !self.is_made {
            return None;
        }
        let mut next = 0_u32;
        let groups = self.callers.iter().map(|(place, count)| {
            let mut message = Message::default();
            message.maybe("locality", locality(place));
            let endpoints = (0..*count).map(|_| {
                next += 1;
                // 198.18.0.0/15 is for measurements and leads nowhere
                let at = std::net::Ipv4Addr::from_bits(0xc612_0000 + (next & 0x1_ffff));
                json!({"endpoint": {"address": socket((at, 9).into())}})
            });
            message.list("lb_endpoints", endpoints.collect());
            message.into()
        });
        let groups: Vec<Value> = groups.collect();
        let assignment = json!({"cluster_name": &*self.name, "endpoints": groups});
        Some(json!({"name": &*self.name, "type": "STATIC", "load_assignment": assignment}))
    }
}

fn by_locality(cluster: &Cluster) -> Vec<(Name, u32)> {
    let mut counts: Vec<(Name, u32)> = Vec::new();
    for endpoint in &cluster.endpoints.endpoints {
        match counts
            .iter_mut()
            .find(|(name, _)| *name == endpoint.locality)
        {
            Some((_, count)) => *count += 1,
            None => counts.push((endpoint.locality.clone(), 1)),
        }
    }
    counts
}
