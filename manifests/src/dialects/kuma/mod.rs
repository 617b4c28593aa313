//! Kuma: sidecars whose policies are merged field by field, the stock ones first.
//!
//! A proxy takes what its pod sends to a Service's address by what the Service's port declares: nothing is detected, and without
//! `appProtocol: http` there are no requests, no retries and no faults. Between proxies requests travel on HTTP/2. Every mesh has stock
//! policies: five retries on gateway errors, 15 s for a request, limits of 1024. Mutual TLS is off unless a Mesh or MeshIdentity asks for it.
//! Permissions are checked and reported, not modelled; built-in gateways of 2.x are reported.

mod annotations;
mod backends;
mod chains;
mod checks;
mod clusters;
mod dataplane;
mod identity;
mod inbound;
mod injection;
mod merge;
mod notes;
mod outbound;
mod passthrough;
mod policies;
mod protocol;
mod read;
mod registry;
mod release;
mod retries;
mod routes;
mod rules;
mod scope;
mod settings;
mod stock;
mod target;
#[cfg(test)]
mod tests;
pub mod types;
pub mod values;

use proxy_core::origin::OriginId;

use self::annotations::{EXCLUDE_OUTBOUND, ports};
use self::dataplane::Dataplane;
use self::policies::Policies;
use self::release::{Defaults, Release};
use self::types::TlsMode;
use super::{Compile, Compiled, Dialect, Mesh, ScopeKey};
use crate::model::{ServiceId, SidecarFacts, WorkloadId};

/// Kuma. The newest release comes first; 3.0, as of its development head, has to be asked for.
pub static DIALECT: Dialect = Dialect {
    name: "kuma",
    releases: &["2.14", "2.13", "2.12", "2.11", "2.10", "3.0"],
    reads: |group, _kind| group == "kuma.io",
    shows: injection::shows,
    mesh: Some(|release, cx| {
        let policies = read::policies(Release::of(release), cx);
        let release = format!("kuma@{release}");
        Box::new(Kuma { release, policies })
    }),
    gateways: None,
};

struct Kuma {
    release: String,
    policies: Policies,
}

impl Kuma {
    fn defaults(&self, cx: &mut Compile<'_>) -> Defaults {
        Defaults {
            origin: cx.default_of(&self.release),
        }
    }
}

impl Mesh for Kuma {
    fn release(&self) -> &str {
        &self.release
    }

    fn sidecar(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> Option<SidecarFacts> {
        injection::sidecar(&self.policies, workload, cx)
    }

    fn inbound(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> Compiled {
        let defaults = self.defaults(cx);
        let workloads = cx.workloads;
        let proxy = Dataplane::of(&workloads[workload.index()], cx);
        inbound::section(&self.policies, &proxy, defaults, cx)
    }

    fn outbound_scope(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> ScopeKey {
        let workloads = cx.workloads;
        let workload = &workloads[workload.index()];
        let proxy = Dataplane::of(workload, cx);
        let excluded: Vec<String> = ports(workload, EXCLUDE_OUTBOUND)
            .iter()
            .map(u16::to_string)
            .collect();
        // policies by labels tell workloads of one namespace apart, and so does what they prove
        let own = if self.policies.are_narrow() {
            workload.full_name()
        } else {
            String::new()
        };
        let proof = self.policies.proof(&proxy);
        let identity = proof.map(|proof| proof.identity).unwrap_or_default();
        let excluded = excluded.join(",");
        let Dataplane { mesh, .. } = &proxy;
        ScopeKey(format!("{mesh}|{}|{identity}|{excluded}|{own}", workload.namespace).into())
    }

    fn outbound(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> Compiled {
        let defaults = self.defaults(cx);
        let workloads = cx.workloads;
        let proxy = Dataplane::of(&workloads[workload.index()], cx);
        outbound::section(&self.policies, &proxy, defaults, cx)
    }

    fn rules_for_callers(
        &self,
        cx: &Compile<'_>,
        caller: WorkloadId,
        service: ServiceId,
    ) -> Vec<(String, OriginId)> {
        let proxy = Dataplane::of(&cx.workloads[caller.index()], cx);
        self.policies.written_for(&proxy, service)
    }

    fn refuses_plaintext(
        &self,
        cx: &mut Compile<'_>,
        workload: WorkloadId,
        port: u16,
    ) -> Option<OriginId> {
        let defaults = self.defaults(cx);
        let workloads = cx.workloads;
        let proxy = Dataplane::of(&workloads[workload.index()], cx);
        if proxy.is_gateway {
            return None;
        }
        let mode = match proxy.inbound(port) {
            Some(port) => self.policies.mode(&proxy, port, defaults, cx)?,
            None => {
                let proof = self.policies.proof(&proxy)?;
                proxy_core::origin::Sourced::new(proof.mode, proof.origin)
            }
        };
        (mode.value == TlsMode::Strict).then_some(mode.origin)
    }

    fn joining(&self, namespace: &str) -> Option<String> {
        Some(format!(
            "label namespace `{namespace}` with `{}: enabled`",
            injection::INJECTION
        ))
    }
}
