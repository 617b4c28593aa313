//! How endpoints are chosen.

use proxy_core::balance::slow_start::SlowStart;
use proxy_core::config::{
    Balancer, Cluster, Discovery, HashBalance, LocalityBalance, Name, NodeConfig, Share, ZoneAware,
};
use serde_json::{Value, json};

use super::cx::{Cx, unique};
use super::message::{Message, extension, length, locality, percent, runtime_double, socket};

const AREA: &str = "envoy.extensions.load_balancing_policies";
const LARGEST_RING: u64 = 8 << 20;

/// Writes how the endpoints of a cluster called `name` are chosen.
///
/// Policies have two forms, one of which looks at all endpoints and keeps to a zone, while the other goes with subsets.
pub(super) fn balance(
    cluster: &Cluster,
    name: &str,
    local: Option<&Local>,
    message: &mut Message,
    cx: &mut Cx<'_>,
) {
    let policy = Policy::of(cluster, cx);
    let is_extension = policy.as_extension(cluster, cx);
    let localities = localities(cluster, name, local, is_extension, cx);
    let mut common = Message::default();
    if is_extension {
        policy.write_extension(localities, message);
    } else {
        policy.write(message);
        common = localities;
    }
    let threshold = cluster.panic_threshold.value;
    if threshold != Share::from_ppm(500_000) {
        common.set("healthy_panic_threshold", percent(threshold));
    }
    if let Balancer::RingHash { bound, .. } | Balancer::Maglev { bound, .. } =
        &cluster.balancer.value
        && let Some(HashBalance { factor }) = bound
    {
        let factor = json!({"hash_balance_factor": factor});
        common.set("consistent_hashing_lb_config", factor);
    }
    message.within("common_lb_config", common);
}

/// A policy with its settings.
struct Policy {
    /// Its name; none: the one that holds anyway.
    name: Option<&'static str>,
    /// The field that has its settings, and the extension that does.
    forms: (&'static str, &'static str),
    settings: Message,
    full_scan: bool,
}

impl Policy {
    const TURNS: (&'static str, &'static str) =
        ("round_robin_lb_config", "round_robin.v3.RoundRobin");
    const LEAST: (&'static str, &'static str) =
        ("least_request_lb_config", "least_request.v3.LeastRequest");

    fn new(name: Option<&'static str>, forms: (&'static str, &'static str)) -> Self {
        Self {
            name,
            forms,
            settings: Message::default(),
            full_scan: false,
        }
    }

    fn of(cluster: &Cluster, cx: &mut Cx<'_>) -> Self {
        let least = || Self::new(Some("LEAST_REQUEST"), Self::LEAST);
        let turns = || Self::new(None, Self::TURNS);
        let (mut policy, departs) = match &cluster.balancer.value {
            Balancer::RoundRobin => (turns(), None),
            Balancer::LeastRequest {
                choices,
                bias,
                full_scan,
            } => {
                let mut policy = least();
                policy.full_scan = *full_scan;
                policy.settings.unless("choice_count", (*choices).max(2), 2);
                if *bias != 1.0 {
                    let bias = runtime_double(*bias, "active_request_bias");
                    policy.settings.set("active_request_bias", bias);
                }
                (policy, None)
            }
            Balancer::Random => (Self::new(Some("RANDOM"), ("", "random.v3.Random")), None),
            Balancer::RingHash {
                min_size, max_size, ..
            } => {
                let mut policy = Self::new(Some("RING_HASH"), ("ring_hash_lb_config", ""));
                let settings = &mut policy.settings;
                settings.unless("minimum_ring_size", *min_size, 1024);
                settings.unless("maximum_ring_size", *max_size, LARGEST_RING);
                (policy, None)
            }
            Balancer::Maglev { size, .. } => {
                let mut policy = Self::new(Some("MAGLEV"), ("maglev_lb_config", ""));
                policy.settings.unless("table_size", *size, 65_537);
                (policy, None)
            }
            Balancer::PeakEwma { .. } => (
                least(),
                Some(
                    "the endpoint with fewest requests of two is taken, not the one with the lower peak EWMA",
                ),
            ),
            Balancer::KongRing => (
                turns(),
                Some("endpoints are taken in Envoy's turn, not in that of Kong's ring"),
            ),
            Balancer::KongLeastConnections => (
                least(),
                Some(
                    "the endpoint with fewest requests of two is taken, not that with fewest connections for its weight",
                ),
            ),
            Balancer::KongLatency => (
                least(),
                Some(
                    "the endpoint with fewest requests of two is taken, not the one that answers sooner",
                ),
            ),
            Balancer::NginxEwma => (
                least(),
                Some(
                    "the endpoint with fewest requests of two is taken, not the one that has answered sooner",
                ),
            ),
            Balancer::TraefikTurns => (
                turns(),
                Some("endpoints are taken in Envoy's turn, not in Traefik's"),
            ),
            Balancer::TraefikTwoChoices => (
                least(),
                Some("weights have a say beside the requests under way of two endpoints"),
            ),
            Balancer::TraefikLeastTime => (
                least(),
                Some(
                    "the endpoint with fewest requests of two is taken, not the one of all whose answers came soonest",
                ),
            ),
            Balancer::TraefikRendezvous => (
                Self::new(Some("MAGLEV"), ("maglev_lb_config", "")),
                Some("a hash finds its endpoint in Maglev's table, not by the highest score"),
            ),
            Balancer::OriginalDestination => {
                let own = cluster.discovery == Discovery::OriginalDestination;
                let strange = "endpoints are taken in turn: the cluster has some of its own";
                let policy = Self::new(own.then_some("CLUSTER_PROVIDED"), ("", ""));
                (policy, Some(strange).filter(|_| !own))
            }
        };
        if let Some(departs) = departs {
            cx.departs(departs);
        }
        if let Some(slow) = &cluster.slow_start {
            if policy.forms == Self::TURNS || policy.forms == Self::LEAST {
                let slow = slow_start(&slow.value);
                policy.settings.set("slow_start_config", slow);
            } else {
                cx.departs("new endpoints get their whole share at once: only turns and fewest requests have a slow start");
            }
        }
        policy
    }

    /// Whether it has to be written as an extension, and can be.
    fn as_extension(&self, cluster: &Cluster, cx: &mut Cx<'_>) -> bool {
        let keeps = match &cluster.locality.value {
            LocalityBalance::ZoneAware(zones) => zones.force_local_min.is_some(),
            LocalityBalance::Ignored | LocalityBalance::Weighted => false,
        };
        let can = !self.forms.1.is_empty() && cluster.subsets.is_none();
        if can {
            return self.full_scan || keeps;
        }
        if self.full_scan {
            cx.departs("a few endpoints are looked at, not all: Envoy does that in no cluster with subsets");
        }
        if keeps {
            cx.departs(
                "the own zone is not kept to: Envoy does that with no hashes and no subsets",
            );
        }
        false
    }

    fn write(self, message: &mut Message) {
        message.maybe("lb_policy", self.name);
        message.within(self.forms.0, self.settings);
    }

    fn write_extension(self, localities: Message, message: &mut Message) {
        let kind = self.forms.1;
        let mut config = Message::any(&format!("{AREA}.{kind}"));
        config.extend(self.settings);
        if self.full_scan {
            config.set("selection_method", "FULL_SCAN");
        }
        config.within("locality_lb_config", localities);
        let policy = extension("policy", config);
        let policies = vec![json!({"typed_extension_config": policy})];
        message.set("load_balancing_policy", json!({"policies": policies}));
    }
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

/// How localities share the load; `name` is the cluster's. Only an extension `keeps` to a zone.
fn localities(
    cluster: &Cluster,
    name: &str,
    local: Option<&Local>,
    keeps: bool,
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
            message.within("zone_aware_lb_config", zones_of(zones, keeps, cluster));
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

fn zones_of(zones: &ZoneAware, keeps: bool, cluster: &Cluster) -> Message {
    let mut message = Message::default();
    if zones.enabled != Share::ALL {
        message.set("routing_enabled", percent(zones.enabled));
    }
    message.unless("min_cluster_size", zones.min_cluster_size, 6);
    if let Some(least) = zones.force_local_min.filter(|_| keeps) {
        message.set("force_local_zone", json!({"min_size": least}));
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
