//! Kinds that are read, and what is told of others.

use super::super::notes::{ignored, left_out};
use super::Reader;
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::load::Object;

/// Kinds that are known and not modelled, with what that means.
const NOT_MODELLED: &[(&str, &str)] = &[
    (
        "MeshAccessLog",
        "it has no bearing: requests are recorded all the same",
    ),
    (
        "MeshTrace",
        "it has no bearing: requests are followed all the same",
    ),
    (
        "MeshMetric",
        "it has no bearing: figures are counted all the same",
    ),
    (
        "MeshOpenTelemetryBackend",
        "it has no bearing: nothing is sent to it",
    ),
    (
        "MeshProxyPatch",
        "proxies are as they would be without its patches, whatever these change of traffic",
    ),
    (
        "HostnameGenerator",
        "the names that it makes are not known: callers ask for Services by their names in the cluster",
    ),
    (
        "ContainerPatch",
        "proxies have the resources that the scenario gives them",
    ),
    ("MeshTrust", "every identity of the mesh is trusted"),
    ("MeshZoneAddress", "there is one zone"),
    ("Zone", "there is one zone"),
    ("ZoneIngress", "there is one zone"),
    (
        "ZoneEgress",
        "services outside are dialled by whoever calls them",
    ),
    ("Workload", "it has no bearing: the control plane makes it"),
    (
        "Dataplane",
        "it has no bearing where the control plane makes it of a pod; one that people write is nobody's endpoint",
    ),
];
/// Built-in gateways of 2.x, with what that means.
const GATEWAYS: &[(&str, &str)] = &[
    (
        "MeshGateway",
        "nothing listens where it does: clients that dial it reach nobody",
    ),
    (
        "MeshGatewayInstance",
        "it has no pods and no Service: clients that dial it reach nobody",
    ),
    ("MeshGatewayRoute", "nothing listens for it"),
    ("MeshGatewayConfig", "nothing listens for it"),
];
/// Policies older than those that are modelled; each has a successor.
pub(super) const OLD: &[(&str, &str)] = &[
    ("CircuitBreaker", "MeshCircuitBreaker"),
    ("ExternalService", "MeshExternalService"),
    ("FaultInjection", "MeshFaultInjection"),
    ("HealthCheck", "MeshHealthCheck"),
    ("ProxyTemplate", "MeshProxyPatch"),
    ("RateLimit", "MeshRateLimit"),
    ("Retry", "MeshRetry"),
    ("Timeout", "MeshTimeout"),
    ("TrafficLog", "MeshAccessLog"),
    ("TrafficPermission", "MeshTrafficPermission"),
    ("TrafficRoute", "MeshHTTPRoute"),
    ("TrafficTrace", "MeshTrace"),
    ("VirtualOutbound", "HostnameGenerator"),
];
/// Kinds that are read.
const READ: &[&str] = &[
    "Mesh",
    "MeshService",
    "MeshExternalService",
    "MeshMultiZoneService",
    "MeshIdentity",
    "MeshHTTPRoute",
    "MeshTCPRoute",
    "MeshTimeout",
    "MeshRetry",
    "MeshCircuitBreaker",
    "MeshHealthCheck",
    "MeshLoadBalancingStrategy",
    "MeshFaultInjection",
    "MeshRateLimit",
    "MeshTLS",
    "MeshPassthrough",
    "MeshTrafficPermission",
];
/// What the control plane itself writes.
const WRITTEN_BY_KUMA: &[&str] = &[
    "DataplaneInsight",
    "MeshInsight",
    "ServiceInsight",
    "ZoneInsight",
    "ZoneIngressInsight",
    "ZoneEgressInsight",
];

impl Reader<'_, '_> {
    pub(super) fn report(&mut self, object: &Object) {
        let kind = object.key.kind.as_str();
        let find = |rows: &[(&'static str, &'static str)]| {
            rows.iter().find(|row| row.0 == kind).map(|row| row.1)
        };
        if let Some(meaning) = find(NOT_MODELLED) {
            left_out(
                object.name_span,
                &object.key.to_string(),
                meaning,
                self.cx.diagnostics,
            );
        } else if let Some(meaning) = find(GATEWAYS) {
            self.report_old(object, meaning, "the built-in gateway is gone");
        } else if let Some(successor) = find(OLD) {
            let meaning = format!("it has no effect here: write a {successor} in its place");
            self.report_old(object, &meaning, &format!("write a {successor}"));
        } else if WRITTEN_BY_KUMA.contains(&kind) {
            let message = format!("{} has no bearing: the control plane writes it", object.key);
            self.cx
                .diagnostics
                .push(Diagnostic::listed("kuma::written", message).label(object.name_span, ""));
        } else if !READ.contains(&kind) {
            let known = READ.iter().copied();
            let known = known.chain(NOT_MODELLED.iter().map(|row| row.0));
            let message = format!("{} is of a kind that Kuma does not know", object.key);
            self.cx.diagnostics.push(
                Diagnostic::warning("kuma::unknown-kind", message)
                    .label(object.name_span, "has no effect")
                    .maybe_help(did_you_mean(kind, known)),
            );
        }
    }

    fn report_old(&mut self, object: &Object, meaning: &str, help: &str) {
        let what = object.key.to_string();
        if self.release.is_v3() {
            ignored(object.name_span, &what, help, self.cx.diagnostics);
        } else {
            left_out(object.name_span, &what, meaning, self.cx.diagnostics);
        }
    }
}
