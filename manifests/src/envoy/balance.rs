//! How endpoints are chosen.

use proxy_core::balance::slow_start::SlowStart;
use proxy_core::config::{Balancer, HashBalance, LocalityBalance, Name, Share, ZoneAware};
use proxy_core::origin::Sourced;

use super::compile::Cx;
use super::types::{self, HashFunction, LbPolicy, SelectionMethod};
use crate::text::{Span, Spanned};

/// What of a cluster has to do with choosing endpoints.
pub(super) struct Balance {
    pub(super) balancer: Sourced<Balancer>,
    pub(super) slow_start: Option<Sourced<SlowStart>>,
    pub(super) locality: Sourced<LocalityBalance>,
    pub(super) panic_threshold: Sourced<Share>,
    pub(super) fail_traffic_on_panic: bool,
}

/// The settings of one policy, whichever way they were written.
#[derive(Default)]
struct Settings {
    round_robin: types::RoundRobin,
    least_request: types::LeastRequest,
    ring_hash: types::RingHash,
    maglev: types::Maglev,
    locality: types::LocalityConfig,
}

/// Compiles the balancing of a cluster.
///
/// `callers` are the members of the local cluster by locality; none: there is no zone-aware routing.
pub(super) fn balance(
    written: &types::Cluster,
    callers: Option<Vec<(Name, u32)>>,
    cx: &mut Cx<'_>,
) -> Balance {
    let common: Option<types::CommonLb> = cx.read_maybe(written.common_lb_config.as_ref());
    let common = common.unwrap_or_default();
    let mut settings = Settings {
        round_robin: written.round_robin_lb_config.clone().unwrap_or_default(),
        least_request: written.least_request_lb_config.clone().unwrap_or_default(),
        ring_hash: written.ring_hash_lb_config.clone().unwrap_or_default(),
        maglev: written.maglev_lb_config.clone().unwrap_or_default(),
        locality: types::LocalityConfig {
            zone_aware_lb_config: common.zone_aware_lb_config.clone(),
            locality_weighted_lb_config: common.locality_weighted_lb_config,
        },
    };
    let hashing = common.consistent_hashing_lb_config.clone();
    settings.ring_hash.consistent_hashing_lb_config = hashing.clone();
    settings.maglev.consistent_hashing_lb_config = hashing;
    let named = written.lb_policy.map(|policy| (policy.value, policy.span));
    let chosen = match &written.load_balancing_policy {
        Some(policies) => extension(policies, &mut settings, cx),
        None => named,
    };
    let (policy, origin) = match chosen {
        Some((policy, span)) => (policy, cx.written(span)),
        None => (LbPolicy::RoundRobin, cx.default),
    };
    let slow = match policy {
        LbPolicy::LeastRequest => settings.least_request.slow_start_config.clone(),
        LbPolicy::RoundRobin
        | LbPolicy::RingHash
        | LbPolicy::Random
        | LbPolicy::Maglev
        | LbPolicy::ClusterProvided
        | LbPolicy::LoadBalancingPolicyConfig => settings.round_robin.slow_start_config.clone(),
    };
    let takes_slow = matches!(policy, LbPolicy::RoundRobin | LbPolicy::LeastRequest);
    let panic_threshold = match common.healthy_panic_threshold {
        Some(percent) => {
            let share = cx.share(percent);
            Sourced::new(share, cx.written(percent.span))
        }
        None => cx.default(Share::from_ppm(500_000)),
    };
    let zones = settings.locality.zone_aware_lb_config.clone();
    Balance {
        balancer: Sourced::new(balancer(policy, &settings, cx), origin),
        slow_start: slow
            .filter(|_| takes_slow)
            .and_then(|slow| slow_start(&slow, cx)),
        locality: locality(&settings.locality, callers, cx),
        panic_threshold,
        fail_traffic_on_panic: zones.is_some_and(|zones| zones.fail_traffic_on_panic),
    }
}

/// The first policy of `load_balancing_policy` that is known, with its settings.
fn extension(
    policies: &types::LoadBalancingPolicy,
    settings: &mut Settings,
    cx: &mut Cx<'_>,
) -> Option<(LbPolicy, Span)> {
    const AREA: &str = "envoy.extensions.load_balancing_policies.";
    for policy in &policies.policies {
        let extension = &policy.typed_extension_config;
        let Some(typed) = extension
            .typed_config
            .as_ref()
            .and_then(|config| cx.typed(config))
        else {
            continue;
        };
        let kind = typed.kind.strip_prefix(AREA).unwrap_or_default();
        let config = &typed.config;
        let found = match kind {
            "round_robin.v3.RoundRobin" => {
                settings.round_robin = crate::text::read(config, cx.out).unwrap_or_default();
                let locality = settings.round_robin.locality_lb_config.clone();
                settings.locality = locality.unwrap_or_default();
                LbPolicy::RoundRobin
            }
            "least_request.v3.LeastRequest" => {
                settings.least_request = crate::text::read(config, cx.out).unwrap_or_default();
                let locality = settings.least_request.locality_lb_config.clone();
                settings.locality = locality.unwrap_or_default();
                LbPolicy::LeastRequest
            }
            "random.v3.Random" => {
                let random: types::Random = crate::text::read(config, cx.out).unwrap_or_default();
                settings.locality = random.locality_lb_config.unwrap_or_default();
                LbPolicy::Random
            }
            "ring_hash.v3.RingHash" => {
                settings.ring_hash = crate::text::read(config, cx.out).unwrap_or_default();
                settings.locality.locality_weighted_lb_config =
                    settings.ring_hash.locality_weighted_lb_config;
                LbPolicy::RingHash
            }
            "maglev.v3.Maglev" => {
                settings.maglev = crate::text::read(config, cx.out).unwrap_or_default();
                settings.locality.locality_weighted_lb_config =
                    settings.maglev.locality_weighted_lb_config;
                LbPolicy::Maglev
            }
            "cluster_provided.v3.ClusterProvided" => LbPolicy::ClusterProvided,
            _ => {
                let name = extension
                    .name
                    .as_ref()
                    .map_or("", |name| name.value.as_str());
                let meaning = "the next policy of the list is taken, or else round robin";
                cx.left_out(extension.span, &format!("the policy `{name}`"), meaning);
                continue;
            }
        };
        return Some((found, extension.span));
    }
    None
}

fn balancer(policy: LbPolicy, settings: &Settings, cx: &mut Cx<'_>) -> Balancer {
    match policy {
        LbPolicy::RoundRobin | LbPolicy::LoadBalancingPolicyConfig => Balancer::RoundRobin,
        LbPolicy::Random => Balancer::Random,
        LbPolicy::ClusterProvided => Balancer::OriginalDestination,
        LbPolicy::LeastRequest => {
            let written = &settings.least_request;
            if let Some(choices) = written.choice_count.filter(|count| count.value.0 < 2) {
                cx.refuse(choices.span, "must be at least 2");
            }
            let bias = written.active_request_bias.as_ref();
            Balancer::LeastRequest {
                choices: written.choice_count.map_or(2, |count| count.value.0),
                bias: bias.and_then(|bias| bias.default_value).unwrap_or(1.0),
                full_scan: written.enable_full_scan
                    || written.selection_method == SelectionMethod::FullScan,
            }
        }
        LbPolicy::RingHash => ring_hash(&settings.ring_hash, cx),
        LbPolicy::Maglev => {
            let written = &settings.maglev;
            let size = written.table_size.map_or(65_537, |size| size.value.0);
            if let Some(written) = written
                .table_size
                .filter(|size| !is_table_size(size.value.0))
            {
                cx.refuse(written.span, "must be a prime of at most 5000011");
            }
            Balancer::Maglev {
                size,
                bound: bound(written.consistent_hashing_lb_config.as_ref(), None, cx),
            }
        }
    }
}

fn ring_hash(written: &types::RingHash, cx: &mut Cx<'_>) -> Balancer {
    const LARGEST: u64 = 8 << 20;
    let min_size = written.minimum_ring_size.map_or(1024, |size| size.value.0);
    let max_size = written
        .maximum_ring_size
        .map_or(LARGEST, |size| size.value.0);
    if let Some(size) = written.maximum_ring_size.or(written.minimum_ring_size)
        && (min_size > max_size || max_size > LARGEST)
    {
        cx.refuse(
            size.span,
            "the ring's least size must not be above its most, which is at most 8388608",
        );
    }
    if let Some(function) = written.hash_function
        && function.value == HashFunction::MurmurHash2
    {
        cx.left_out(
            function.span,
            "`MURMUR_HASH_2`",
            "the ring is made with xxHash",
        );
    }
    let meaning = "endpoints are hashed by their addresses";
    cx.note(
        written.use_hostname_for_hashing,
        "use_hostname_for_hashing",
        meaning,
    );
    let hashing = written.consistent_hashing_lb_config.as_ref();
    Balancer::RingHash {
        min_size,
        max_size,
        bound: bound(hashing, written.hash_balance_factor, cx),
    }
}

fn is_table_size(size: u64) -> bool {
    let has_divisor = |n: u64| {
        (2..)
            .take_while(|d| d * d <= n)
            .any(|d| n.is_multiple_of(d))
    };
    (2..=5_000_011).contains(&size) && !has_divisor(size)
}

fn bound(
    written: Option<&types::ConsistentHashing>,
    old: Option<Spanned<super::values::Whole<u32>>>,
    cx: &mut Cx<'_>,
) -> Option<HashBalance> {
    if let Some(written) = written {
        let meaning = "endpoints are hashed by their addresses";
        cx.note(
            written.use_hostname_for_hashing,
            "use_hostname_for_hashing",
            meaning,
        );
        let meaning = "requests are hashed by the policies of their route";
        cx.note(written.hash_policy, "hash_policy", meaning);
    }
    let factor = written
        .and_then(|written| written.hash_balance_factor)
        .or(old)?;
    if factor.value.0 == 0 {
        return None;
    }
    if factor.value.0 < 100 {
        cx.refuse(factor.span, "must be 0 or at least 100");
    }
    Some(HashBalance {
        factor: factor.value.0,
    })
}

fn slow_start(written: &Spanned<types::SlowStart>, cx: &mut Cx<'_>) -> Option<Sourced<SlowStart>> {
    let window = written.slow_start_window?.0;
    if window.is_zero() {
        return None;
    }
    let mut slow = SlowStart::envoy_v3(window);
    if let Some(aggression) = written.aggression.as_ref().and_then(|a| a.default_value) {
        if aggression <= 0.0 {
            cx.refuse(written.span, "`aggression` must be above 0");
        }
        slow.aggression = aggression;
    }
    if let Some(least) = written.min_weight_percent {
        slow.min_weight = cx.share(Spanned::new(least, written.span)).as_fraction();
    }
    Some(Sourced::new(slow, cx.written(written.span)))
}

fn locality(
    written: &types::LocalityConfig,
    callers: Option<Vec<(Name, u32)>>,
    cx: &mut Cx<'_>,
) -> Sourced<LocalityBalance> {
    if let Some(weighted) = written.locality_weighted_lb_config {
        return Sourced::new(LocalityBalance::Weighted, cx.written(weighted.span));
    }
    let zones = written.zone_aware_lb_config.as_ref();
    let Some(callers) = callers else {
        if let Some(zones) = zones {
            let meaning = "the node has no local cluster (`cluster_manager.local_cluster_name`): all zones are one, as with Envoy";
            let message = "zone-aware routing has no effect";
            cx.out.push(
                crate::diagnostics::Diagnostic::not_modelled(
                    "envoy::no-local-cluster",
                    message,
                    meaning,
                )
                .label(zones.span, ""),
            );
        }
        return cx.default(LocalityBalance::Ignored);
    };
    let origin = zones.map_or(cx.default, |zones| cx.written(zones.span));
    let zones = zones.map(|zones| zones.value.clone()).unwrap_or_default();
    cx.note(
        zones.locality_basis,
        "locality_basis",
        "each endpoint counts as one",
    );
    let min_size = zones.min_cluster_size.map_or(6, |size| size.0);
    let enabled = zones.routing_enabled;
    let forced = zones
        .force_local_zone
        .map(|zone| zone.min_size.map_or(1, |size| size.0));
    let old = zones.force_locality_direct_routing.then_some(1);
    let zone_aware = ZoneAware {
        enabled: enabled.map_or(Share::ALL, |percent| Share::from_percent(percent.value)),
        min_cluster_size: u32::try_from(min_size).unwrap_or(u32::MAX),
        force_local_min: forced.or(old),
        callers,
    };
    Sourced::new(LocalityBalance::ZoneAware(zone_aware), origin)
}
