//! Rules as written to rules that can be used.

use std::collections::{BTreeMap, BTreeSet};

use proxy_core::config::Share;
use proxy_core::origin::Sourced;
use proxy_core::outlier::Settings;
use proxy_core::retry::budget::ConcurrencyBudget;

use super::super::export::Export;
use super::super::notes::{
    bad_value, duration, labels, left_out, not_modelled, percent, positive_duration,
};
use super::super::types::{
    ClientTls, DestinationRule, Document, LoadBalancer, OutlierDetection, PortPolicy, RetryBudget,
    Subset, TlsMode, TrafficPolicy,
};
use super::super::virtual_service::names::complete;
use super::balance::read_balance;
use super::{Outliers, Policy, Rule, SubsetRule, Tls, Traffic, read_pool};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::load::Object;
use crate::text::{Spanned, read};

/// Reads a rule; none when it names no host, which is an error.
pub(in super::super) fn read_rule(
    object: &Object,
    release: super::super::Release,
    cx: &mut Compile<'_>,
) -> Option<Rule> {
    let Document { spec, .. } = read::<Document<DestinationRule>>(&object.node, cx.diagnostics)?;
    let Some(host) = spec.host.as_ref().filter(|host| !host.is_empty()) else {
        cx.diagnostics.push(
            Diagnostic::error(
                "istio::bad-value",
                format!("{} names no `host`", object.key),
            )
            .label(object.name_span, "this rule"),
        );
        return None;
    };
    let policy = spec
        .traffic_policy
        .as_ref()
        .map(|policy| policy_of(policy, release, cx));
    let subsets = subsets(&spec.subsets, release, cx);
    let selector = spec
        .workload_selector
        .as_ref()
        .map(|selector| labels(&selector.match_labels))
        .filter(|selector| !selector.is_empty());
    Some(Rule {
        namespace: object.key.namespace.as_str().into(),
        name: object.key.name.as_str().into(),
        host: complete(&host.to_ascii_lowercase(), &object.key.namespace).into(),
        host_span: host.span,
        export: if selector.is_some() {
            Export::private()
        } else {
            Export::of(&spec.export_to)
        },
        selector,
        policy,
        subsets,
        origin: cx.origins.written(object.name_span),
    })
}

fn subsets(
    written: &[Subset],
    release: super::super::Release,
    cx: &mut Compile<'_>,
) -> Vec<SubsetRule> {
    let mut seen: BTreeMap<&str, &Spanned<String>> = BTreeMap::new();
    let mut found = Vec::new();
    for subset in written {
        if let Some(first) = seen.get(subset.name.as_str()) {
            cx.diagnostics.push(
                Diagnostic::error(
                    "istio::duplicate-subset",
                    format!("two subsets are called `{}`", subset.name),
                )
                .label(subset.name.span, "this one")
                .label(first.span, "the first one"),
            );
            continue;
        }
        seen.insert(&subset.name, &subset.name);
        found.push(SubsetRule {
            name: subset.name.value.as_str().into(),
            labels: labels(&subset.labels),
            policy: subset
                .traffic_policy
                .as_ref()
                .map(|policy| policy_of(policy, release, cx)),
            origin: cx.origins.written(subset.name.span),
        });
    }
    found
}

fn policy_of(
    written: &TrafficPolicy,
    release: super::super::Release,
    cx: &mut Compile<'_>,
) -> Policy {
    not_modelled(
        written.tunnel,
        "a CONNECT tunnel",
        "connections go to the host itself",
        cx.diagnostics,
    );
    not_modelled(
        written.proxy_protocol,
        "the PROXY protocol to a host",
        "its server sees the proxy's address as the client's",
        cx.diagnostics,
    );
    let whole = traffic(
        Blocks {
            load_balancer: written.load_balancer.as_ref(),
            connection_pool: written.connection_pool.as_ref(),
            outlier_detection: written.outlier_detection.as_ref(),
            tls: written.tls.as_ref(),
            retry_budget: written.retry_budget.as_ref(),
        },
        release,
        cx,
    );
    let mut ports = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for port in &written.port_level_settings {
        let Some(number) = port.port.as_ref().map(|port| &port.number) else {
            continue;
        };
        if !seen.insert(number.value) {
            bad_value(
                number.span,
                format!("port {number} is written twice"),
                cx.diagnostics,
            );
            continue;
        }
        ports.insert(number.value, traffic(Blocks::of_port(port), release, cx));
    }
    Policy { whole, ports }
}

/// The blocks of a policy as written.
#[derive(Clone, Copy)]
struct Blocks<'a> {
    load_balancer: Option<&'a LoadBalancer>,
    connection_pool: Option<&'a super::super::types::ConnectionPool>,
    outlier_detection: Option<&'a Spanned<OutlierDetection>>,
    tls: Option<&'a Spanned<ClientTls>>,
    retry_budget: Option<&'a Spanned<RetryBudget>>,
}

impl<'a> Blocks<'a> {
    fn of_port(port: &'a PortPolicy) -> Self {
        Self {
            load_balancer: port.load_balancer.as_ref(),
            connection_pool: port.connection_pool.as_ref(),
            outlier_detection: port.outlier_detection.as_ref(),
            tls: port.tls.as_ref(),
            retry_budget: None,
        }
    }
}

fn traffic(blocks: Blocks<'_>, release: super::super::Release, cx: &mut Compile<'_>) -> Traffic {
    Traffic {
        balance: blocks
            .load_balancer
            .map(|balancer| read_balance(balancer, release, cx)),
        pool: blocks.connection_pool.map(|pool| read_pool(pool, cx)),
        outlier: blocks
            .outlier_detection
            .map(|outlier| outliers(outlier, cx)),
        tls: blocks.tls.map(|tls| client_tls(tls, cx)),
        budget: blocks
            .retry_budget
            .and_then(|budget| retry_budget(budget, release, cx)),
    }
}

/// Success rates never eject, gateway errors only where a number is written, and panic begins at `minHealthPercent`, which is 0 unless
/// set: the block by itself turns Envoy's panic routing off.
///
/// Source: istio 1.29 `pilot/pkg/networking/core/cluster_traffic_policy.go`, `applyOutlierDetection`.
fn outliers(written: &Spanned<OutlierDetection>, cx: &mut Compile<'_>) -> Sourced<Outliers> {
    let origin = cx.origins.written(written.span);
    let mut settings = Settings::envoy_v3();
    settings.success_rate.enforcing = Share::ZERO;
    settings.enforcing_local_origin_success_rate = Share::ZERO;
    let enforced = |count: u32| if count == 0 { Share::ZERO } else { Share::ALL };
    if let Some(count) = written.consecutive_5xx_errors {
        settings.consecutive_5xx = count.value;
        settings.enforcing_consecutive_5xx = enforced(count.value);
    }
    if let Some(count) = written.consecutive_gateway_errors {
        settings.consecutive_gateway_failure = count.value;
        settings.enforcing_consecutive_gateway_failure = enforced(count.value);
    }
    let split = written.split_external_local_origin_errors;
    settings.split_local_origin = split.is_some_and(|split| split.value);
    if let Some(count) = written.consecutive_local_origin_failures {
        if settings.split_local_origin && count.value > 0 {
            settings.consecutive_local_origin_failure = count.value;
        } else if !settings.split_local_origin {
            cx.diagnostics.push(
                Diagnostic::warning(
                    "istio::ignored",
                    "`consecutiveLocalOriginFailures` has no effect",
                )
                .label(count.span, "local failures are not judged apart")
                .help("set `splitExternalLocalOriginErrors: true`"),
            );
        }
    }
    if let Some(interval) = positive_duration(written.interval.as_ref(), cx) {
        settings.interval = interval.value;
    }
    if let Some(base) = positive_duration(written.base_ejection_time.as_ref(), cx) {
        settings.base_ejection_time = base.value;
        settings.max_ejection_time = settings.max_ejection_time.max(base.value);
    }
    if let Some(share) = whole_percent(written.max_ejection_percent, cx)
        && share.value > 0
    {
        settings.max_ejection_share = Share::from_percent(f64::from(share.value));
    }
    let panic =
        whole_percent(written.min_health_percent, cx).unwrap_or_else(|| Sourced::new(0, origin));
    not_modelled(
        written.consecutive_errors,
        "`consecutiveErrors`",
        "Istio does not read it any more: `consecutive5xxErrors` counts, 5 unless set",
        cx.diagnostics,
    );
    not_modelled(
        written.outlier_detection_http_error_codes,
        "`outlierDetectionHttpErrorCodes`",
        "statuses from 500 on count as errors, whatever the list says",
        cx.diagnostics,
    );
    Sourced::new(Outliers { settings, panic }, origin)
}

fn whole_percent(number: Option<Spanned<i32>>, cx: &mut Compile<'_>) -> Option<Sourced<u32>> {
    let number = number?;
    let percent = percent(number.map(f64::from), cx)?;
    Some(Sourced::new(percent.value as u32, percent.origin))
}

fn client_tls(written: &Spanned<ClientTls>, cx: &mut Compile<'_>) -> Sourced<Tls> {
    let name = |text: &Option<Spanned<String>>| {
        text.as_ref()
            .filter(|text| !text.is_empty())
            .map(|text| text.value.as_str().into())
    };
    let sni = name(&written.sni);
    let mode = written.mode.map_or(TlsMode::Disable, |mode| mode.value);
    let tls = match mode {
        TlsMode::Disable => Tls::Disable,
        TlsMode::Simple => Tls::Simple {
            sni,
            certificate: None,
        },
        TlsMode::Mutual => {
            let certificate =
                name(&written.credential_name).or_else(|| name(&written.client_certificate));
            if certificate.is_none() {
                cx.diagnostics.push(
                    Diagnostic::error("istio::bad-value", "`MUTUAL` needs a certificate")
                        .label(written.span, "none here")
                        .help("write `credentialName`, or `clientCertificate` and `privateKey`"),
                );
            }
            Tls::Simple { sni, certificate }
        }
        TlsMode::IstioMutual => Tls::Mesh { sni },
    };
    let names = "which names the server may prove is not looked at";
    not_modelled(
        written.subject_alt_names,
        "`subjectAltNames`",
        names,
        cx.diagnostics,
    );
    let span = written.mode.map_or(written.span, |mode| mode.span);
    Sourced::new(tls, cx.origins.written(span))
}

/// Source: istio 1.29 `cluster_traffic_policy.go`, `applyRetryBudget`: 20 per cent and at least 3 unless set.
fn retry_budget(
    written: &Spanned<RetryBudget>,
    release: super::super::Release,
    cx: &mut Compile<'_>,
) -> Option<Sourced<ConcurrencyBudget>> {
    if !release.has_retry_budget() {
        let meaning =
            format!("istio@{release} does not know it: retries under way are not bounded");
        left_out(written.span, "`retryBudget`", &meaning, cx.diagnostics);
        return None;
    }
    let mut budget = ConcurrencyBudget::envoy_v3();
    if let Some(share) = written.percent.and_then(|share| percent(share, cx)) {
        budget.percent = share.value;
    }
    if let Some(least) = written.min_retry_concurrency
        && least.value > 0
    {
        budget.min_concurrency = least.value;
    }
    if let Some(interval) = duration(written.budget_interval.as_ref(), cx)
        && !interval.value.is_zero()
    {
        budget.interval = Some(interval.value);
    }
    Some(Sourced::new(budget, cx.origins.written(written.span)))
}
