//! What annotations of pods say to their sidecars.

use std::collections::BTreeSet;

use super::notes::{bad_value, left_out};
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::model::Workload;

/// Connections to these ports leave the pod without its proxy.
pub(super) const EXCLUDE_OUTBOUND: &str = "traffic.sidecar.istio.io/excludeOutboundPorts";
/// Connections to these ports of the pod arrive without its proxy.
pub(super) const EXCLUDE_INBOUND: &str = "traffic.sidecar.istio.io/excludeInboundPorts";
/// Annotations about what is redirected to the proxy.
const PREFIX: &str = "traffic.sidecar.istio.io/";
/// Those of them that are not modelled, with what that means.
const NOT_MODELLED: &[(&str, &str)] = &[
    (
        "includeInboundPorts",
        "every port of the pod is taken by its proxy",
    ),
    (
        "includeOutboundPorts",
        "connections to every port are taken by the proxy",
    ),
    (
        "includeOutboundIPRanges",
        "connections to every address are taken by the proxy",
    ),
    (
        "excludeOutboundIPRanges",
        "connections to every address are taken by the proxy",
    ),
    (
        "excludeInterfaces",
        "connections by every interface are taken by the proxy",
    ),
    (
        "kubevirtInterfaces",
        "there are no virtual machines in pods",
    ),
];

/// The ports that an annotation of a workload's pods lists; words that are no ports were reported when policies were read.
pub(super) fn ports(workload: &Workload, key: &str) -> BTreeSet<u16> {
    let list = workload.annotations.get(key);
    list.into_iter()
        .flat_map(|list| list.split(','))
        .filter_map(|word| word.trim().parse().ok())
        .collect()
}

/// Reports annotations that are wrong or not modelled.
pub(super) fn check(cx: &mut Compile<'_>) {
    for workload in cx.workloads {
        for (key, value) in &workload.annotations {
            let Some(name) = key.strip_prefix(PREFIX) else {
                if &**key == "proxy.istio.io/config" {
                    let meaning = "workers and settings of proxies are the scenario's";
                    let what = format!("`{key}` on pods of {}", workload.full_name());
                    left_out(workload.span, &what, meaning, cx.diagnostics);
                }
                continue;
            };
            let what = format!("`{key}` on pods of {}", workload.full_name());
            if matches!(&**key, EXCLUDE_INBOUND | EXCLUDE_OUTBOUND) {
                check_list(workload, key, value, cx);
            } else if let Some((_, meaning)) = NOT_MODELLED.iter().find(|row| row.0 == name) {
                left_out(workload.span, &what, meaning, cx.diagnostics);
            } else {
                let known = NOT_MODELLED.iter().map(|row| row.0);
                let known = known.chain(["excludeInboundPorts", "excludeOutboundPorts"]);
                cx.diagnostics.push(
                    Diagnostic::error("istio::unknown-annotation", format!("{what} is unknown"))
                        .label(workload.span, "this workload")
                        .maybe_help(did_you_mean(name, known)),
                );
            }
        }
    }
}

fn check_list(workload: &Workload, key: &str, value: &str, cx: &mut Compile<'_>) {
    let words = value.split(',').map(str::trim);
    for word in words.filter(|word| !word.is_empty()) {
        if word.parse::<u16>().is_err() {
            let message = format!(
                "`{word}` in `{key}` on pods of {} is no port",
                workload.full_name()
            );
            bad_value(workload.span, message, cx.diagnostics);
        }
    }
}
