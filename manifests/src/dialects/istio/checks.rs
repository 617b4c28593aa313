//! References between objects that lead nowhere.

use super::read::Policies;
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;

/// Warns of rules for hosts that nobody has: Istio takes them, and they do nothing.
pub(super) fn rules(policies: &Policies, cx: &mut Compile<'_>) {
    let names: Vec<&str> = policies
        .registry
        .hosts()
        .iter()
        .map(|host| &*host.name)
        .collect();
    for rule in policies.rules.iter() {
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
