//! Istio: sidecars configured by host names, with mutual TLS between them and Envoy's behaviour throughout.
//!
//! A proxy takes what its pod sends by the address it is sent to. Ports declared as HTTP share one listener per number, where the request's
//! authority chooses the host; a port that declares nothing has a listener at its Service's address, where every authority will do; what
//! is sent to a pod's own address passes by all policies. Authorization, Envoy filters and mesh-wide settings are reported, not modelled.
//!
//! Defaults are those of a release. What changed between them is in `release.rs`.

mod annotations;
mod chains;
mod checks;
mod clusters;
mod destination_rule;
mod duration;
mod export;
pub mod gateway;
mod inbound;
mod injection;
mod notes;
mod outbound;
mod peers;
mod protocol;
mod read;
mod registry;
mod release;
mod service_entry;
mod sidecars;
#[cfg(test)]
mod tests;
pub mod types;
pub mod virtual_service;

use proxy_core::config::Balancer;
use proxy_core::origin::OriginId;

use self::clusters::Caller;
use self::notes::Defaults;
use self::read::Policies;
use self::release::{RELEASES, Release};
use super::{Compile, Compiled, Dialect, Mesh, ScopeKey};
use crate::model::{ServiceId, SidecarFacts, WorkloadId};

/// The less busy of two. Source: istio 1.29 `pilot/pkg/networking/core/cluster_traffic_policy.go`, `defaultLBAlgorithm`.
const LEAST_REQUEST: Balancer = Balancer::LeastRequest {
    choices: 2,
    bias: 1.0,
    full_scan: false,
};

/// Istio.
pub static DIALECT: Dialect = Dialect {
    name: "istio",
    releases: RELEASES,
    reads: |group, _kind| injection::is_own(group),
    shows: injection::shows,
    mesh: Some(|release, cx| {
        let policies = read::policies(Release(release), cx);
        Box::new(Istio {
            release: format!("istio@{release}"),
            policies,
        })
    }),
    gateways: Some(gateway::read),
};

struct Istio {
    release: String,
    policies: Policies,
}

impl Mesh for Istio {
    fn release(&self) -> &str {
        &self.release
    }

    fn sidecar(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> Option<SidecarFacts> {
        injection::sidecar(workload, cx)
    }

    fn inbound(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> Compiled {
        let defaults = self.defaults(cx);
        let workloads = cx.workloads;
        let workload = &workloads[workload.index()];
        let identity = injection::identity(workload);
        let scope = self.policies.sidecars.of(workload);
        inbound::section(&self.policies, workload, &identity, scope, defaults, cx)
    }

    fn outbound_scope(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> ScopeKey {
        let workload = &cx.workloads[workload.index()];
        let scope = self.policies.sidecars.of(workload);
        let mut key = format!(
            "{}|{}|{}",
            workload.namespace,
            workload.service_account,
            scope.map(sidecars::Scope::key).unwrap_or_default()
        );
        key.push('|');
        key.push_str(&self.policies.routes.tells_apart(virtual_service::Caller {
            namespace: &workload.namespace,
            labels: &workload.labels,
        }));
        for port in annotations::ports(workload, annotations::EXCLUDE_OUTBOUND) {
            key.push_str(&format!("|{port}"));
        }
        if self.policies.rules.ask_for_labels() {
            for (label, value) in &workload.labels {
                key.push_str(&format!("|{label}={value}"));
            }
        }
        ScopeKey(key.into())
    }

    fn outbound(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> Compiled {
        let defaults = self.defaults(cx);
        let workloads = cx.workloads;
        let workload = &workloads[workload.index()];
        let identity = injection::identity(workload);
        let caller = Caller {
            namespace: &workload.namespace,
            labels: &workload.labels,
            identity: &identity,
            gateway: false,
        };
        let sidecar = outbound::Sidecar {
            scope: self.policies.sidecars.of(workload),
            excluded: annotations::ports(workload, annotations::EXCLUDE_OUTBOUND),
        };
        outbound::section(&self.policies, caller, &sidecar, defaults, cx)
    }

    fn rules_for_callers(
        &self,
        cx: &Compile<'_>,
        caller: WorkloadId,
        service: ServiceId,
    ) -> Vec<(String, OriginId)> {
        let caller = &cx.workloads[caller.index()];
        let service = &cx.services[service.index()];
        let host = service.host();
        let (namespace, labels) = (&*caller.namespace, &caller.labels);
        let asking = virtual_service::Caller { namespace, labels };
        let routes = self.policies.routes.of_sidecars(&host, asking);
        let mut found: Vec<_> = routes.into_iter().collect();
        let viewer = destination_rule::Viewer {
            namespace,
            labels: Some(labels),
        };
        let rule = self.policies.rules.find(&host, &service.namespace, viewer);
        found.extend(rule.map(|rule| {
            let name = format!("DestinationRule/{}/{}", rule.namespace, rule.name);
            (name, rule.origin)
        }));
        found
    }

    fn refuses_plaintext(
        &self,
        cx: &mut Compile<'_>,
        workload: WorkloadId,
        port: u16,
    ) -> Option<OriginId> {
        let default = cx.default_of(&self.release);
        let workload = &cx.workloads[workload.index()];
        if annotations::ports(workload, annotations::EXCLUDE_INBOUND).contains(&port) {
            return None;
        }
        let mode = self.policies.peers.mode(workload, port, default);
        (mode.value == peers::Mode::Strict).then_some(mode.origin)
    }

    fn joining(&self, namespace: &str) -> Option<String> {
        Some(format!(
            "give its pods a sidecar: label namespace `{namespace}` with `istio-injection: enabled`"
        ))
    }
}

impl Istio {
    fn defaults(&self, cx: &mut Compile<'_>) -> Defaults {
        Defaults {
            origin: cx.default_of(&self.release),
        }
    }
}
