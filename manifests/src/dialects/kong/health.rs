//! Kong's active and passive checks in the core's words.
//!
//! Source: Kong `kong/db/schema/entities/upstreams.lua` (defaults), lua-resty-healthcheck (counters). Each counter of Kong's is off at 0,
//! which is its default, and is set back by a success.

use proxy_core::config::Share;
use proxy_core::health::Check;
use proxy_core::outlier::{RateRule, Settings};
use proxy_core::time::Duration;

use super::types::{ActiveCheck, CheckType, HealthChecks, PassiveCheck, Unhealthy};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::{Span, Spanned};

/// Which targets are left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    /// Probes.
    pub(super) active: Option<Spanned<Check>>,
    /// What answers and failures say.
    pub(super) passive: Option<Spanned<Settings>>,
    /// Least share of healthy weight.
    pub(super) threshold: Option<Spanned<Share>>,
}

/// Kong's own statuses of a passing and a failing probe.
const PASSING: [u16; 2] = [200, 302];

/// Checks what is written.
pub(super) fn health(checks: &HealthChecks, out: &mut Diagnostics) -> Health {
    Health {
        active: checks
            .active
            .as_ref()
            .and_then(|active| self::active(active, out)),
        passive: checks
            .passive
            .as_ref()
            .and_then(|passive| self::passive(passive, out)),
        threshold: checks
            .threshold
            .as_ref()
            .and_then(|threshold| self::threshold(threshold, out)),
    }
}

fn threshold(threshold: &Spanned<u32>, out: &mut Diagnostics) -> Option<Spanned<Share>> {
    if threshold.value > 100 {
        let problem = Diagnostic::error("kong::threshold", "a threshold is a percentage");
        out.push(problem.label(threshold.span, "more than 100"));
        return None;
    }
    let share = Share::from_percent(f64::from(threshold.value));
    Some(Spanned::new(share, threshold.span))
}

/// Healthy targets are probed every `healthy.interval` seconds, unhealthy ones every `unhealthy.interval`; 0 is never.
///
/// Departs: a target counts as unhealthy until its first probe has passed, which is sent at once; where failing statuses, connection
/// failures and timeouts have counters of their own, the least of them counts for all.
fn active(active: &ActiveCheck, out: &mut Diagnostics) -> Option<Spanned<Check>> {
    let healthy = active.healthy.clone().unwrap_or_default();
    let unhealthy = active.unhealthy.clone().unwrap_or_default();
    let is_set = |interval: &Spanned<u32>| interval.value > 0;
    let Some(interval) = healthy.interval.filter(is_set) else {
        if let Some(interval) = unhealthy.interval.filter(is_set) {
            let meaning = "targets in use are not probed, and one that passive checks take out is not brought back";
            not_modelled(
                interval.span,
                "probes of unhealthy targets alone",
                meaning,
                out,
            );
        }
        return None;
    };
    let counters = [
        unhealthy.http_failures,
        unhealthy.tcp_failures,
        unhealthy.timeouts,
    ];
    // without a counter probes have no consequence
    let failures = least(&counters, "active.unhealthy", out)?;
    let is_http = !matches!(active.r#type.map(|kind| kind.value), Some(CheckType::Tcp));
    for field in [
        active.https_sni,
        active.https_verify_certificate,
        active.headers,
    ]
    .into_iter()
    .flatten()
    {
        not_modelled(
            field.span,
            "this setting of probes",
            "probes are sent without it, and its certificate is taken as valid",
            out,
        );
    }
    let passing = healthy
        .http_statuses
        .map_or_else(|| PASSING.to_vec(), |statuses| statuses.value);
    let seconds = |value: Option<Spanned<u32>>| {
        value
            .filter(is_set)
            .map(|it| Duration::from_secs(it.value.into()))
    };
    let check = Check {
        path: is_http.then(|| {
            active
                .http_path
                .as_ref()
                .map_or("/", |path| path.value.as_str())
                .into()
        }),
        host: "".into(),
        timeout: seconds(active.timeout).unwrap_or(Duration::from_secs(1)),
        interval: Duration::from_secs(interval.value.into()),
        interval_jitter: Duration::ZERO,
        unhealthy_interval: Some(seconds(unhealthy.interval).unwrap_or(Duration::MAX)),
        no_traffic_interval: None,
        unhealthy_threshold: failures.value,
        healthy_threshold: healthy
            .successes
            .filter(is_set)
            .map_or(u32::MAX, |successes| successes.value),
        expected: passing.into_iter().map(|status| (status, status)).collect(),
        // every other status is counted; none takes a target out at once
        retriable: vec![(100, 599)],
    };
    Some(Spanned::new(check, failures.span))
}

/// A target that fails too often in a row stays out until a probe passes.
///
/// Departs: any status from 500 on is a failure; Kong counts 429, 500 and 503 unless told otherwise. Connection failures and timeouts
/// share one counter, the least of the two.
fn passive(passive: &PassiveCheck, out: &mut Diagnostics) -> Option<Spanned<Settings>> {
    let Unhealthy {
        http_failures,
        tcp_failures,
        timeouts,
        http_statuses,
        ..
    } = passive.unhealthy.clone()?;
    let answers = http_failures.filter(|counter| counter.value > 0);
    let failures = least(&[tcp_failures, timeouts], "passive.unhealthy", out);
    let span = answers.or(failures)?.span;
    if let Some(counter) = answers {
        let meaning = "answers from 500 to 599 count as failures; Kong counts the statuses of its list, 429, 500 and 503 unless it is set";
        not_modelled(
            http_statuses.map_or(counter.span, |statuses| statuses.span),
            "the list of failing statuses",
            meaning,
            out,
        );
    }
    let off = RateRule {
        enforcing: Share::ZERO,
        minimum_hosts: u32::MAX,
        request_volume: u32::MAX,
    };
    let settings = Settings {
        consecutive_5xx: answers.map_or(0, |counter| counter.value),
        consecutive_gateway_failure: 0,
        split_local_origin: true,
        consecutive_local_origin_failure: failures.map_or(0, |counter| counter.value),
        base_ejection_time: Duration::MAX,
        max_ejection_time: Duration::MAX,
        max_ejection_share: Share::ALL,
        always_eject_one: true,
        success_rate: off,
        enforcing_local_origin_success_rate: Share::ZERO,
        failure_percentage: off,
        enforcing_failure_percentage_local_origin: Share::ZERO,
        health_check_returns: true,
        ..Settings::envoy_v3()
    };
    Some(Spanned::new(settings, span))
}

/// The least counter that is on; that the others differ is reported.
fn least(
    counters: &[Option<Spanned<u32>>],
    what: &str,
    out: &mut Diagnostics,
) -> Option<Spanned<u32>> {
    let on: Vec<Spanned<u32>> = counters
        .iter()
        .flatten()
        .copied()
        .filter(|counter| counter.value > 0)
        .collect();
    let least = *on.iter().min()?;
    if on.len() < counters.len() || on.iter().any(|counter| counter.value != least.value) {
        let meaning = format!(
            "failures of every kind are counted together: {} in a row take a target out",
            least.value
        );
        not_modelled(
            least.span,
            &format!("{what}: a counter for each kind of failure"),
            &meaning,
            out,
        );
    }
    Some(least)
}

fn not_modelled(span: Span, what: &str, meaning: &str, out: &mut Diagnostics) {
    let note = Diagnostic::not_modelled(
        "kong::not-modelled",
        format!("{what}: not modelled"),
        meaning,
    );
    out.push(note.label(span, ""));
}
