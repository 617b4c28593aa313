//! References between objects that lead nowhere.

use super::destination_rule::{Locality, Rule};
use super::read::Policies;
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::text::Span;

/// Warns of rules for hosts that nobody has: Istio takes them, and they do nothing.
pub(super) fn rules(policies: &Policies, cx: &mut Compile<'_>) {
    let names: Vec<&str> = policies
        .registry
        .hosts()
        .iter()
        .map(|host| &*host.name)
        .collect();
    for rule in policies.rules.iter() {
        failover(rule, cx);
        if policies.registry.has(&rule.host) {
            continue;
        }
        let short: Vec<&str> = names
            .iter()
            .filter_map(|name| name.split('.').next())
            .collect();
        let written = rule.host.split('.').next().unwrap_or_default();
        let help = did_you_mean(&rule.host, names.iter().copied())
            .or_else(|| did_you_mean(written, short));
        cx.diagnostics.push(
            Diagnostic::warning(
                "istio::unknown-host",
                format!(
                    "DestinationRule/{}/{} is for `{}`, which no Service and no ServiceEntry has",
                    rule.namespace, rule.name, rule.host
                ),
            )
            .label(rule.host_span, "has no effect")
            .maybe_help(help),
        );
    }
}

/// Warns of an order of places that nothing makes use of: without outlier detection all places share the load.
fn failover(rule: &Rule, cx: &mut Compile<'_>) {
    let subsets = std::iter::once(None).chain(rule.subsets.iter().map(Some));
    for subset in subsets {
        // no port is called 0: what holds for those without a policy of their own
        let traffic = rule.traffic(subset, 0);
        let Some(locality) = traffic.balance.and_then(|balance| balance.locality) else {
            continue;
        };
        let orders = match &locality.value {
            Locality::Failover { regions, labels } => !regions.is_empty() || !labels.is_empty(),
            Locality::Off | Locality::Shares(_) => false,
        };
        if orders && traffic.outlier.is_none() {
            let span = cx.origins.span(locality.origin).unwrap_or(Span::NOWHERE);
            cx.diagnostics.push(
                Diagnostic::warning(
                    "istio::ignored",
                    "failing over by place has no effect without `outlierDetection`",
                )
                .label(span, "all places share the load")
                .help("add `outlierDetection` to the policy; `{}` will do"),
            );
        }
    }
}
