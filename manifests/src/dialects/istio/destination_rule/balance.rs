//! `loadBalancer`.

use proxy_core::balance::slow_start::SlowStart;
use proxy_core::config::{Balancer, HashPolicy, HashSource, Name};
use proxy_core::origin::Sourced;

use super::super::notes::{bad_value, duration, left_out, not_modelled, percent};
use super::super::types::{
    ConsistentHash, Distribute, LoadBalancer, LocalitySetting, SimpleBalancer, Warmup,
};
use super::super::{LEAST_REQUEST, Release};
use super::{Balance, Locality};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::model::Distribution;
use crate::text::Spanned;

/// Entries of a ring: least unless set, and most. Source: Envoy v3 `RingHashLbConfig`.
const RING: (u64, u64) = (1024, 8 * 1024 * 1024);
/// Entries of Maglev's table unless set, and most. Source: Envoy v3 `MaglevLbConfig`.
const MAGLEV: (u64, u64) = (65_537, 5_000_011);

pub(super) fn read_balance(
    written: &LoadBalancer,
    release: Release,
    cx: &mut Compile<'_>,
) -> Balance {
    let mut balance = Balance::default();
    if let (Some(simple), Some(hash)) = (&written.simple, &written.consistent_hash) {
        cx.diagnostics.push(
            Diagnostic::error(
                "istio::bad-value",
                "`simple` and `consistentHash` exclude each other",
            )
            .label(hash.span, "this one")
            .label(simple.span, "and this one"),
        );
    }
    if let Some(simple) = written.simple {
        balance.balancer = simple_balancer(simple.value)
            .map(|balancer| Sourced::new(balancer, cx.origins.written(simple.span)));
    }
    if let Some(hash) = &written.consistent_hash {
        balance.balancer = hash_balancer(hash, cx);
        balance.hash.extend(hash_policy(hash, cx));
    }
    balance.slow_start = slow_start(written, release, cx);
    balance.locality = written
        .locality_lb_setting
        .as_ref()
        .and_then(|setting| locality(setting, cx));
    not_modelled(
        written.zone_aware_lb_setting,
        "`zoneAwareLbSetting`",
        "endpoints of all zones share the load alike",
        cx.diagnostics,
    );
    balance
}

const fn simple_balancer(simple: SimpleBalancer) -> Option<Balancer> {
    Some(match simple {
        SimpleBalancer::Unspecified => return None,
        SimpleBalancer::LeastConn | SimpleBalancer::LeastRequest => LEAST_REQUEST,
        SimpleBalancer::Random => Balancer::Random,
        SimpleBalancer::Passthrough => Balancer::OriginalDestination,
        SimpleBalancer::RoundRobin => Balancer::RoundRobin,
    })
}

/// Source: istio 1.29 `cluster_traffic_policy.go`, `ApplyRingHashLoadBalancer`.
fn hash_balancer(
    written: &Spanned<ConsistentHash>,
    cx: &mut Compile<'_>,
) -> Option<Sourced<Balancer>> {
    if let (Some(_), Some(_)) = (&written.ring_hash, &written.maglev) {
        bad_value(
            written.span,
            "`ringHash` and `maglev` exclude each other",
            cx.diagnostics,
        );
    }
    let origin = cx.origins.written(written.span);
    if let Some(maglev) = &written.maglev {
        let size = maglev.table_size.filter(|size| size.value > 0);
        if let Some(size) = size
            && !(size.value <= MAGLEV.1 && is_prime(size.value))
        {
            let message = format!("must be a prime number up to {}", MAGLEV.1);
            bad_value(size.span, message, cx.diagnostics);
            return None;
        }
        let balancer = Balancer::Maglev {
            size: size.map_or(MAGLEV.0, |size| size.value),
            bound: None,
        };
        return Some(Sourced::new(balancer, origin));
    }
    let ring = written.ring_hash.as_ref();
    let size = match ring {
        Some(ring) => ring.minimum_ring_size,
        None => written.minimum_ring_size,
    };
    let size = size.filter(|size| size.value > 0);
    if let Some(size) = size
        && size.value > RING.1
    {
        let message = format!("must be at most {}", RING.1);
        bad_value(size.span, message, cx.diagnostics);
        return None;
    }
    let balancer = Balancer::RingHash {
        min_size: size.map_or(RING.0, |size| size.value),
        max_size: RING.1,
        bound: None,
    };
    Some(Sourced::new(balancer, origin))
}

fn is_prime(number: u64) -> bool {
    number >= 2
        && (2..)
            .take_while(|divisor| divisor * divisor <= number)
            .all(|divisor| !number.is_multiple_of(divisor))
}

/// What a hash is made of: one key, which Istio demands.
///
/// Source: istio 1.29 `pilot/pkg/networking/core/route/route.go`, `ConsistentHashToHashPolicy`.
fn hash_policy(written: &Spanned<ConsistentHash>, cx: &mut Compile<'_>) -> Option<HashPolicy> {
    let mut keys = Vec::new();
    if let Some(header) = &written.http_header_name {
        keys.push(HashSource::Header(header.to_ascii_lowercase().into()));
    }
    if let Some(cookie) = &written.http_cookie {
        keys.push(HashSource::Cookie {
            name: cookie.name.as_str().into(),
            ttl: duration(cookie.ttl.as_ref(), cx).map(|ttl| ttl.value),
        });
        not_modelled(
            cookie.attributes,
            "attributes of a made cookie",
            "clients send it back all the same",
            cx.diagnostics,
        );
    }
    if written.use_source_ip.is_some_and(|flag| flag.value) {
        keys.push(HashSource::SourceAddress);
    }
    if let Some(param) = &written.http_query_parameter_name {
        keys.push(HashSource::Param(param.as_str().into()));
    }
    if keys.len() != 1 {
        cx.diagnostics.push(
            Diagnostic::error(
                "istio::bad-value",
                format!("`consistentHash` takes one key, not {}", keys.len()),
            )
            .label(written.span, "in this block")
            .help("write one of `httpHeaderName`, `httpCookie`, `useSourceIp`, `httpQueryParameterName`"),
        );
    }
    let source = keys.into_iter().next()?;
    Some(HashPolicy {
        source,
        terminal: false,
    })
}

/// Source: istio 1.29 `cluster_traffic_policy.go`, `setWarmup` and `setSlowStartConfig`.
fn slow_start(
    written: &LoadBalancer,
    release: Release,
    cx: &mut Compile<'_>,
) -> Option<Sourced<SlowStart>> {
    if let Some(warmup) = &written.warmup {
        if !release.has_warmup() {
            let meaning = format!(
                "istio@{release} does not know it: new endpoints get their whole share at once"
            );
            left_out(warmup.span, "`warmup`", &meaning, cx.diagnostics);
            return None;
        }
        return warmup_of(warmup, cx);
    }
    let window = duration(written.warmup_duration_secs.as_ref(), cx)?;
    let start = SlowStart::envoy_v3(window.value);
    (!window.value.is_zero()).then(|| Sourced::new(start, window.origin))
}

fn warmup_of(written: &Spanned<Warmup>, cx: &mut Compile<'_>) -> Option<Sourced<SlowStart>> {
    if written.duration.is_none() {
        bad_value(written.span, "`warmup` needs a `duration`", cx.diagnostics);
    }
    let window = duration(written.duration.as_ref(), cx)?;
    let mut start = SlowStart::envoy_v3(window.value);
    if let Some(least) = written.minimum_percent {
        start.min_weight = percent(least, cx)?.value / 100.0;
    }
    if let Some(aggression) = written.aggression {
        if aggression.value < 1.0 {
            bad_value(aggression.span, "must be at least 1", cx.diagnostics);
            return None;
        }
        start.aggression = aggression.value;
    }
    (!window.value.is_zero()).then(|| Sourced::new(start, cx.origins.written(written.span)))
}

/// Source: istio 1.29 `pilot/pkg/networking/core/loadbalancer/loadbalancer.go`.
fn locality(written: &Spanned<LocalitySetting>, cx: &mut Compile<'_>) -> Option<Sourced<Locality>> {
    let origin = cx.origins.written(written.span);
    if written.enabled.is_some_and(|flag| !flag.value) {
        return Some(Sourced::new(Locality::Off, origin));
    }
    let fails_over = !written.failover.is_empty() || !written.failover_priority.is_empty();
    if !written.distribute.is_empty() {
        if fails_over {
            bad_value(
                written.span,
                "`distribute` excludes `failover` and `failoverPriority`",
                cx.diagnostics,
            );
        }
        let shares = written
            .distribute
            .iter()
            .filter_map(|share| distribution(share, cx))
            .collect();
        return Some(Sourced::new(Locality::Shares(shares), origin));
    }
    let name = |text: &Spanned<String>| Name::from(text.value.as_str());
    for pair in &written.failover {
        if pair.from.value == pair.to.value {
            bad_value(
                pair.to.span,
                "a region cannot come after itself",
                cx.diagnostics,
            );
        }
    }
    let labels = written.failover_priority.iter().map(|label| {
        let text = label.value.as_str();
        match text.split_once('=') {
            Some((label, value)) => (label.into(), Some(value.into())),
            None => (text.into(), None),
        }
    });
    let setting = Locality::Failover {
        regions: written
            .failover
            .iter()
            .map(|pair| (name(&pair.from), name(&pair.to)))
            .collect(),
        labels: labels.collect(),
    };
    Some(Sourced::new(setting, origin))
}

fn distribution(written: &Distribute, cx: &mut Compile<'_>) -> Option<Distribution> {
    let from = written.from.as_ref()?;
    let total: u64 = written
        .to
        .values()
        .map(|share| u64::from(share.value))
        .sum();
    if total != 100 {
        let message = format!("the shares of `{from}` sum up to {total}, not 100");
        bad_value(from.span, message, cx.diagnostics);
        return None;
    }
    let name = |text: &Spanned<String>| Name::from(text.value.as_str());
    Some(Distribution {
        from: name(from),
        to: written
            .to
            .iter()
            .map(|(to, share)| (name(to), share.value))
            .collect(),
    })
}
