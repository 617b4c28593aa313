//! What is asked of how endpoints are chosen, checked and left out.

use super::super::notes::{bad_value, left_out, not_modelled};
use super::super::types::{
    Breaker, Consecutive, HashPolicy, HashPolicyType, HealthCheck, LoadBalancer, Named,
    OutlierDetection, Strategy,
};
use super::{above_zero, not_zero, percent, share};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::Spanned;

pub(in super::super) fn breaker(conf: &Spanned<Breaker>, out: &mut Diagnostics) {
    if conf.connection_limits.is_none() && conf.outlier_detection.is_none() {
        let message = "one of `connectionLimits` and `outlierDetection` must be set";
        bad_value(conf.span, message, out);
    }
    if let Some(limits) = &conf.connection_limits {
        let all = [
            limits.max_connections,
            limits.max_connection_pools,
            limits.max_pending_requests,
            limits.max_retries,
            limits.max_requests,
        ];
        for limit in all.into_iter().flatten() {
            not_zero(Some(limit), out);
        }
        if let Some(pools) = limits.max_connection_pools {
            let meaning = "there are as many pools as are needed";
            left_out(pools.span, "`maxConnectionPools`", meaning, out);
        }
    }
    if let Some(outlier) = &conf.outlier_detection {
        outlier_detection(outlier, out);
    }
}

fn outlier_detection(outlier: &Spanned<OutlierDetection>, out: &mut Diagnostics) {
    above_zero(outlier.interval, "interval", out);
    above_zero(outlier.base_ejection_time, "baseEjectionTime", out);
    percent(outlier.max_ejection_percent, out);
    share(outlier.healthy_panic_threshold, out);
    let Some(detectors) = &outlier.detectors else {
        bad_value(outlier.span, "`detectors` must be set", out);
        return;
    };
    let rows = [
        &detectors.total_failures,
        &detectors.gateway_failures,
        &detectors.local_origin_failures,
    ];
    let counted = rows.into_iter().flatten();
    let consecutive: Vec<&Consecutive> = counted.collect();
    if consecutive.is_empty()
        && detectors.success_rate.is_none()
        && detectors.failure_percentage.is_none()
    {
        bad_value(outlier.span, "`detectors` must have one at least", out);
    }
    for detector in consecutive {
        not_zero(detector.consecutive, out);
    }
    if let Some(rate) = &detectors.success_rate {
        not_zero(rate.minimum_hosts, out);
        not_zero(rate.request_volume, out);
        let factor = rate.standard_deviation_factor;
        if let Some(factor) = factor.filter(|it| it.value.0 <= 0.0) {
            bad_value(factor.span, "must be greater than zero", out);
        }
    }
    if let Some(rate) = &detectors.failure_percentage {
        not_zero(rate.minimum_hosts, out);
        not_zero(rate.request_volume, out);
        percent(rate.threshold, out);
    }
    if let Some(local) = &detectors.local_origin_failures {
        let split = outlier.split_external_and_local_errors;
        if let (Some(count), false) = (local.consecutive, split.is_some_and(|it| it.value)) {
            out.push(
                Diagnostic::warning(
                    "kuma::no-effect",
                    "`localOriginFailures` counts only with `splitExternalAndLocalErrors: true`",
                )
                .label(count.span, "has no effect"),
            );
        }
    }
}

pub(in super::super) fn health(conf: &Spanned<HealthCheck>, out: &mut Diagnostics) {
    above_zero(conf.interval, "interval", out);
    above_zero(conf.timeout, "timeout", out);
    above_zero(conf.interval_jitter, "intervalJitter", out);
    above_zero(conf.no_traffic_interval, "noTrafficInterval", out);
    for threshold in [conf.unhealthy_threshold, conf.healthy_threshold] {
        if let Some(threshold) = threshold.filter(|it| it.value <= 0) {
            bad_value(threshold.span, "must be greater than zero", out);
        }
    }
    if let Some(jitter) = conf.interval_jitter_percent {
        if !(0..=100).contains(&jitter.value) {
            bad_value(jitter.span, "must be from 0 to 100", out);
        }
        if conf.interval_jitter.is_some() {
            let meaning = "pauses are drawn from 0 to both together, rather than each on its own";
            left_out(
                jitter.span,
                "`intervalJitterPercent` beside `intervalJitter`",
                meaning,
                out,
            );
        }
    }
    share(conf.healthy_panic_threshold, out);
    if conf.http.is_none() && conf.tcp.is_none() && conf.grpc.is_none() {
        bad_value(
            conf.span,
            "one of `http`, `tcp` and `grpc` must be set",
            out,
        );
    }
    if let Some(http) = &conf.http {
        for status in http.expected_statuses.iter().flatten() {
            if !(100..=599).contains(&status.value) {
                bad_value(status.span, "is no status", out);
            }
        }
        if let Some(path) = http.path.as_ref().filter(|path| path.is_empty()) {
            bad_value(path.span, "must not be empty", out);
        }
        let meaning = "checks come without these headers";
        not_modelled(
            http.request_headers_to_add,
            "`requestHeadersToAdd`",
            meaning,
            out,
        );
    }
    if let Some(tcp) = &conf.tcp {
        let meaning = "a connection that stands is healthy, whatever is answered";
        not_modelled(tcp.send, "`send`", meaning, out);
        not_modelled(tcp.receive, "`receive`", meaning, out);
    }
    let is_off = |disabled: Option<Spanned<bool>>| disabled.is_some_and(|it| it.value);
    let grpc = conf.grpc.as_ref();
    if let Some(grpc) = grpc.filter(|it| !is_off(it.disabled)) {
        let meaning = "ports that speak gRPC are not checked: endpoints count as healthy";
        left_out(grpc.span, "a check by gRPC", meaning, out);
    }
    let meaning = "the first check comes after an interval";
    not_modelled(conf.initial_jitter, "`initialJitter`", meaning, out);
    let meaning = "it has no bearing: checks are recorded all the same";
    not_modelled(conf.event_log_path, "`eventLogPath`", meaning, out);
    let field = conf.always_log_health_check_failures;
    not_modelled(field, "`alwaysLogHealthCheckFailures`", meaning, out);
    let meaning = "each check opens a connection of its own";
    not_modelled(conf.reuse_connection, "`reuseConnection`", meaning, out);
}

pub(in super::super) fn strategy(conf: &Spanned<Strategy>, out: &mut Diagnostics) {
    if let Some(balancer) = &conf.load_balancer {
        load_balancer(balancer, out);
        let own = [
            balancer.ring_hash.as_ref().map(|it| &it.hash_policies),
            balancer.maglev.as_ref().map(|it| &it.hash_policies),
        ];
        if conf.hash_policies.is_some() && own.into_iter().flatten().any(Option::is_some) {
            let message = "`hashPolicies` stand in the strategy itself and in the balancer";
            bad_value(balancer.r#type.span, message, out);
        }
        for policies in own.into_iter().flatten().flatten() {
            policies.iter().for_each(|policy| hash_policy(policy, out));
        }
    }
    for policy in conf.hash_policies.iter().flatten() {
        hash_policy(policy, out);
    }
    let Some(locality) = &conf.locality_awareness else {
        return;
    };
    let tags = locality.local_zone.as_ref();
    if let Some(tags) = tags.and_then(|zone| zone.affinity_tags.as_ref()) {
        let weights = tags.iter().filter(|tag| tag.weight.is_some()).count();
        if weights != 0 && weights != tags.len() {
            bad_value(tags.span, "all tags have a weight, or none", out);
        }
        for tag in tags.iter() {
            not_zero(tag.weight, out);
            if tag.key.is_empty() {
                bad_value(tag.key.span, "must not be empty", out);
            }
        }
        let meaning = "endpoints near the caller have no more of the load than others";
        left_out(tags.span, "`affinityTags`", meaning, out);
    }
    if let Some(cross) = &locality.cross_zone {
        let meaning = "there is one zone of Kuma's: nothing goes to another";
        left_out(cross.span, "`crossZone`", meaning, out);
    }
}

fn load_balancer(balancer: &LoadBalancer, out: &mut Diagnostics) {
    if let Some(least) = &balancer.least_request {
        if let Some(count) = least.choice_count.filter(|it| it.value < 2) {
            bad_value(count.span, "must be 2 at least", out);
        }
        if let Some(bias) = least.active_request_bias.filter(|it| it.value.0 < 0.0) {
            bad_value(bias.span, "must not be negative", out);
        }
    }
    if let Some(ring) = &balancer.ring_hash {
        for size in [ring.min_ring_size, ring.max_ring_size]
            .into_iter()
            .flatten()
        {
            if !(1..=8_000_000).contains(&size.value) {
                bad_value(size.span, "must be from 1 to 8000000", out);
            }
        }
        if let Some(function) = &ring.hash_function {
            match function.value.as_str() {
                "XXHash" | "XX_HASH" => {}
                "MurmurHash2" | "MURMUR_HASH_2" => {
                    let meaning = "the ring is made by xxHash: the same keys stay together, on other endpoints";
                    left_out(function.span, "`MurmurHash2`", meaning, out);
                }
                _ => bad_value(function.span, "write `XXHash` or `MurmurHash2`", out),
            }
        }
    }
    let fits = |size: u32| (1..=5_000_011).contains(&size) && is_prime(size);
    let size = balancer.maglev.as_ref().and_then(|it| it.table_size);
    if let Some(size) = size.filter(|it| !fits(it.value)) {
        bad_value(size.span, "must be a prime from 1 to 5000011", out);
    }
}

fn is_prime(number: u32) -> bool {
    let up_to_root = (2..).take_while(|n| n * n <= number);
    number > 1 && up_to_root.into_iter().all(|n| !number.is_multiple_of(n))
}

fn hash_policy(policy: &HashPolicy, out: &mut Diagnostics) {
    let named = |field: &Option<Named>, what: &str, out: &mut Diagnostics| {
        if field.is_none() {
            bad_value(policy.r#type.span, format!("`{what}` must be set"), out);
        }
    };
    match policy.r#type.value {
        HashPolicyType::Header => named(&policy.header, "header", out),
        HashPolicyType::Cookie => {
            named(&policy.cookie, "cookie", out);
            let path = policy.cookie.as_ref().and_then(|it| it.path.as_ref());
            if let Some(path) = path.filter(|path| !path.starts_with('/')) {
                bad_value(path.span, "must begin with a slash", out);
            }
        }
        HashPolicyType::QueryParameter => named(&policy.query_parameter, "queryParameter", out),
        HashPolicyType::Connection | HashPolicyType::SourceIP => {
            if policy.connection.is_none() {
                bad_value(policy.r#type.span, "`connection` must be set", out);
            }
        }
        HashPolicyType::FilterState => {
            let meaning = "it brings no hash";
            left_out(policy.r#type.span, "`FilterState`", meaning, out);
        }
    }
}
