//! What Kuma's own validation asks of settings, and what of them is not modelled.
//!
//! Source: kuma 2.14 `pkg/plugins/policies/*/api/v1alpha1/validator.go`.

mod endpoints;
mod retry;

use proxy_core::time::Duration;

pub(super) use self::endpoints::{breaker, health, strategy};
pub(super) use self::retry::{GRPC_RETRY_ON, METHODS, RETRY_ON, retry, status_of};
use super::notes::{bad_value, left_out, not_modelled};
use super::types::{Faults, HttpFault, Rate, RateLimits, Timeouts, Tls};
use super::values::{Length, Number, bandwidth};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::Spanned;

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
