//! What Kuma's own validation asks of settings, and what of them is not modelled.
//!
//! Source: kuma 2.14 `pkg/plugins/policies/*/api/v1alpha1/validator.go`.

use proxy_core::time::Duration;

use super::notes::{bad_value, left_out, not_modelled};
use super::types::{
    Backoff, Breaker, Consecutive, Faults, GrpcRetry, HashPolicy, HashPolicyType, HealthCheck,
    HttpFault, HttpRetry, LoadBalancer, Named, OutlierDetection, Predicate, Rate,
    RateLimitedBackoff, RateLimits, Retry, Strategy, Timeouts, Tls,
};
use super::values::{Length, Number, bandwidth};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::text::{Span, Spanned};

/// Words of `retryOn` that are no status, with what Envoy calls them; methods, with the method.
pub(super) const RETRY_ON: &[(&str, &str)] = &[
    ("5xx", "5xx"),
    ("GatewayError", "gateway-error"),
    ("Reset", "reset"),
    ("Retriable4xx", "retriable-4xx"),
    ("ConnectFailure", "connect-failure"),
    ("EnvoyRatelimited", "envoy-ratelimited"),
    ("RefusedStream", "refused-stream"),
    ("Http3PostConnectFailure", "http3-post-connect-failure"),
];
pub(super) const METHODS: &[(&str, &str)] = &[
    ("HttpMethodConnect", "CONNECT"),
    ("HttpMethodDelete", "DELETE"),
    ("HttpMethodGet", "GET"),
    ("HttpMethodHead", "HEAD"),
    ("HttpMethodOptions", "OPTIONS"),
    ("HttpMethodPatch", "PATCH"),
    ("HttpMethodPost", "POST"),
    ("HttpMethodPut", "PUT"),
    ("HttpMethodTrace", "TRACE"),
];
/// The same of calls. `Canceled` is passed on as `canceled`, which Envoy does not know.
pub(super) const GRPC_RETRY_ON: &[(&str, &str)] = &[
    ("Canceled", "canceled"),
    ("DeadlineExceeded", "deadline-exceeded"),
    ("Internal", "internal"),
    ("ResourceExhausted", "resource-exhausted"),
    ("Unavailable", "unavailable"),
];

/// The status that a word of `retryOn` names. Envoy is told of those that have a name in HTTP.
pub(super) fn status_of(word: &str) -> Option<u16> {
    let status = word.parse::<u16>().ok()?;
    let named = matches!(
        status,
        100..=103 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418 | 421..=426 | 428 | 429 | 431 | 451
            | 500..=508 | 510 | 511
    );
    named.then_some(status)
}

pub(super) fn timeouts(conf: &Spanned<Timeouts>, out: &mut Diagnostics) {
    if conf.connection_timeout.is_none() && conf.idle_timeout.is_none() && conf.http.is_none() {
        bad_value(conf.span, "at least one timeout must be set", out);
    }
    above_zero(conf.connection_timeout, "connectionTimeout", out);
    if let Some(http) = &conf.http {
        let none = http.request_timeout.is_none()
            && http.stream_idle_timeout.is_none()
            && http.max_stream_duration.is_none()
            && http.max_connection_duration.is_none();
        if none {
            let message = "`http` must set one of requestTimeout, streamIdleTimeout, maxStreamDuration and maxConnectionDuration";
            bad_value(conf.span, message, out);
        }
    }
}

pub(super) fn retry(conf: &Spanned<Retry>, out: &mut Diagnostics) {
    if conf.tcp.is_none() && conf.http.is_none() && conf.grpc.is_none() {
        bad_value(
            conf.span,
            "one of `tcp`, `http` and `grpc` must be set",
            out,
        );
    }
    if let Some(tcp) = &conf.tcp {
        match tcp.max_connect_attempt {
            None => bad_value(tcp.span, "`maxConnectAttempt` must be set", out),
            Some(most) if most.value == 0 => bad_value(most.span, "must be greater than zero", out),
            Some(_) => {}
        }
    }
    if let Some(http) = &conf.http {
        http_retry(http, out);
    }
    if let Some(grpc) = &conf.grpc {
        grpc_retry(grpc, out);
    }
}

fn http_retry(http: &Spanned<HttpRetry>, out: &mut Diagnostics) {
    let HttpRetry {
        num_retries,
        per_try_timeout,
        back_off,
        rate_limited_back_off,
        retry_on,
        retriable_response_headers,
        retriable_request_headers,
        host_selection,
        host_selection_max_attempts: _,
    } = &http.value;
    let none = num_retries.is_none()
        && per_try_timeout.is_none()
        && back_off.is_none()
        && retry_on.is_none()
        && retriable_request_headers.is_none()
        && retriable_response_headers.is_none()
        && rate_limited_back_off.is_none()
        && host_selection.is_none();
    if none {
        bad_value(http.span, "`http` must not be empty", out);
    }
    backoffs(back_off.as_ref(), rate_limited_back_off.as_ref(), out);
    for word in retry_on.iter().flatten() {
        let known = || RETRY_ON.iter().chain(METHODS).map(|row| row.0);
        if status_of(word).is_none() && !known().any(|name| name == word.value) {
            unknown_word(word, known(), out);
        }
    }
    if let Some(first) = retriable_response_headers.iter().flatten().next() {
        out.push(
            Diagnostic::warning(
                "kuma::no-effect",
                "`retriableResponseHeaders` has no effect: Kuma does not ask Envoy to look at them",
            )
            .label(first.name.span, "no answer is tried again for it")
            .help("name statuses under `retryOn`"),
        );
    }
    let headers = retriable_response_headers.iter().flatten();
    for header in headers.chain(retriable_request_headers.iter().flatten()) {
        super::routes::header_match(header, out);
    }
    let mut by_priority: Option<Span> = None;
    for selection in host_selection.iter().flatten() {
        let span = selection.predicate.span;
        match selection.predicate.value {
            Predicate::OmitPreviousHosts => {}
            Predicate::OmitHostsWithTags => {
                if selection.tags.is_none() {
                    bad_value(span, "`tags` must be set", out);
                }
                let meaning = "further tries may go to endpoints with these tags";
                left_out(span, "`OmitHostsWithTags`", meaning, out);
            }
            Predicate::OmitPreviousPriorities => {
                if let Some(first) = by_priority {
                    out.push(
                        Diagnostic::error(
                            "kuma::bad-value",
                            "`OmitPreviousPriorities` may stand once",
                        )
                        .label(span, "a second time")
                        .label(first, "the first time"),
                    );
                }
                by_priority = Some(span);
                if let Some(often) = selection.update_frequency.filter(|it| it.value <= 0) {
                    bad_value(often.span, "must be greater than zero", out);
                }
            }
        }
    }
}

fn grpc_retry(grpc: &Spanned<GrpcRetry>, out: &mut Diagnostics) {
    let GrpcRetry {
        num_retries,
        per_try_timeout,
        back_off,
        rate_limited_back_off,
        retry_on,
    } = &grpc.value;
    let none = num_retries.is_none()
        && per_try_timeout.is_none()
        && back_off.is_none()
        && retry_on.is_none()
        && rate_limited_back_off.is_none();
    if none {
        bad_value(grpc.span, "`grpc` must not be empty", out);
    }
    backoffs(back_off.as_ref(), rate_limited_back_off.as_ref(), out);
    for word in retry_on.iter().flatten() {
        let mut known = GRPC_RETRY_ON.iter().map(|row| row.0);
        if !known.any(|name| name == word.value) {
            unknown_word(word, GRPC_RETRY_ON.iter().map(|row| row.0), out);
        }
        if word.value == "Canceled" {
            out.push(
                Diagnostic::warning(
                    "kuma::canceled",
                    "calls that end with `cancelled` are not tried again for this",
                )
                .label(
                    word.span,
                    "Kuma tells Envoy `canceled`, a word that Envoy does not know",
                )
                .help("leave `retryOn` out: `cancelled` is among Kuma's own conditions"),
            );
        }
    }
}

fn unknown_word<'a>(
    word: &Spanned<String>,
    known: impl Iterator<Item = &'a str>,
    out: &mut Diagnostics,
) {
    out.push(
        Diagnostic::error("kuma::bad-value", format!("`{word}` is no condition"))
            .label(word.span, "this one")
            .maybe_help(did_you_mean(word, known)),
    );
}

fn backoffs(
    backoff: Option<&Spanned<Backoff>>,
    limited: Option<&Spanned<RateLimitedBackoff>>,
    out: &mut Diagnostics,
) {
    if let Some(backoff) = backoff {
        if backoff.base_interval.is_none() && backoff.max_interval.is_none() {
            bad_value(backoff.span, "`backOff` must not be empty", out);
        }
        above_zero(backoff.base_interval, "baseInterval", out);
    }
    let Some(limited) = limited else {
        return;
    };
    above_zero(limited.max_interval, "maxInterval", out);
    if limited.reset_headers.is_none() {
        bad_value(limited.span, "`resetHeaders` must be set", out);
    }
    for header in limited.reset_headers.iter().flatten() {
        if !matches!(header.format.as_str(), "Seconds" | "UnixTimestamp") {
            bad_value(
                header.format.span,
                "write `Seconds` or `UnixTimestamp`",
                out,
            );
        }
    }
}

pub(super) fn breaker(conf: &Spanned<Breaker>, out: &mut Diagnostics) {
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

pub(super) fn health(conf: &Spanned<HealthCheck>, out: &mut Diagnostics) {
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
    if let Some(grpc) = &conf.grpc {
        if !grpc.disabled.is_some_and(|it| it.value) {
            let meaning = "ports that speak gRPC are not checked: endpoints count as healthy";
            left_out(grpc.span, "a check by gRPC", meaning, out);
        }
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

pub(super) fn strategy(conf: &Spanned<Strategy>, out: &mut Diagnostics) {
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
    if let Some(size) = balancer.maglev.as_ref().and_then(|it| it.table_size) {
        if !(1..=5_000_011).contains(&size.value) || !is_prime(size.value) {
            bad_value(size.span, "must be a prime from 1 to 5000011", out);
        }
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

pub(super) fn faults(conf: &Spanned<Faults>, out: &mut Diagnostics) {
    for fault in conf.http.iter().flatten() {
        http_fault(fault, out);
    }
}

fn http_fault(fault: &HttpFault, out: &mut Diagnostics) {
    if let Some(abort) = &fault.abort {
        if !(100..=599).contains(&abort.http_status.value) {
            bad_value(abort.http_status.span, "is no status", out);
        }
        share(Some(abort.percentage), out);
    }
    if let Some(delay) = &fault.delay {
        share(Some(delay.percentage), out);
    }
    if let Some(slow) = &fault.response_bandwidth {
        share(Some(slow.percentage), out);
        if bandwidth(&slow.limit).is_none() {
            let message = "write a whole number with `kbps`, `Mbps` or `Gbps`";
            bad_value(slow.limit.span, message, out);
        }
        let meaning = "answers come as fast as they can";
        left_out(slow.span, "`responseBandwidth`", meaning, out);
    }
}

pub(super) fn rate_limits(conf: &Spanned<RateLimits>, out: &mut Diagnostics) {
    let Some(local) = &conf.local else {
        bad_value(conf.span, "`local` must be set", out);
        return;
    };
    if local.http.is_none() && local.tcp.is_none() {
        bad_value(conf.span, "one of `http` and `tcp` must be set", out);
    }
    if let Some(http) = &local.http {
        if http.disabled.is_none() && http.request_rate.is_none() && http.on_rate_limit.is_none() {
            bad_value(http.span, "`http` must not be empty", out);
        }
        rate(http.request_rate.as_ref(), out);
        if let Some(answer) = &http.on_rate_limit {
            let meaning = "the refusal comes without these headers";
            not_modelled(answer.headers, "`headers` of a refusal", meaning, out);
            if let Some(status) = answer.status.filter(|it| !(400..=599).contains(&it.value)) {
                out.push(
                    Diagnostic::warning(
                        "kuma::status",
                        "a refusal is 429 unless its status is 400 or above",
                    )
                    .label(status.span, "answered as 429"),
                );
            }
        }
    }
    if let Some(tcp) = &local.tcp {
        rate(tcp.connection_rate.as_ref(), out);
        if !tcp.disabled.is_some_and(|it| it.value) {
            let meaning = "connections are not limited";
            left_out(tcp.span, "a limit of connections", meaning, out);
        }
    }
}

fn rate(rate: Option<&Spanned<Rate>>, out: &mut Diagnostics) {
    let Some(rate) = rate else {
        return;
    };
    not_zero(Some(rate.num), out);
    if rate.interval.value.0 <= Duration::from_millis(50) {
        bad_value(rate.interval.span, "must be greater than 50ms", out);
    }
}

pub(super) fn tls(conf: &Spanned<Tls>, out: &mut Diagnostics) {
    let meaning = "handshakes agree on what both sides know";
    not_modelled(conf.tls_version, "`tlsVersion`", meaning, out);
    not_modelled(conf.tls_ciphers, "`tlsCiphers`", meaning, out);
}

fn above_zero(length: Option<Spanned<Length>>, what: &str, out: &mut Diagnostics) {
    if let Some(length) = length.filter(|it| it.value.0.is_zero()) {
        bad_value(
            length.span,
            format!("`{what}` must be greater than zero"),
            out,
        );
    }
}

fn not_zero(number: Option<Spanned<u32>>, out: &mut Diagnostics) {
    if let Some(number) = number.filter(|it| it.value == 0) {
        bad_value(number.span, "must be greater than zero", out);
    }
}

fn percent(number: Option<Spanned<u32>>, out: &mut Diagnostics) {
    if let Some(number) = number.filter(|it| it.value > 100) {
        bad_value(number.span, "must be from 0 to 100", out);
    }
}

fn share(number: Option<Spanned<Number>>, out: &mut Diagnostics) {
    if let Some(number) = number.filter(|it| !(0.0..=100.0).contains(&it.value.0)) {
        bad_value(number.span, "must be from 0 to 100", out);
    }
}
