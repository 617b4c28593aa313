//! Linkerd: sidecars that balance each request by latency, its annotations, its routes and service profiles.
//!
//! A proxy takes what its pod sends by the address it is sent to: a Service's address is balanced over its pods, any other address is
//! dialled as it is. Between meshed pods there is mutual TLS and HTTP/2. Without a policy nothing is tried again and nothing is timed out.
//! Authorization beyond the default inbound policy is reported, not modelled.

pub mod annotations;
mod compile;
mod conditions;
pub mod duration;
mod inbound;
mod injection;
mod outbound;
mod policy;
mod profiles;
mod read;
mod routes;
#[cfg(test)]
mod tests;
pub mod types;

use proxy_core::origin::Sourced;

use self::annotations::Ports;
use self::compile::Defaults;
use self::inbound::{DefaultPolicy, Inbound};
use self::policy::Policies;
use super::{Compile, Compiled, Dialect, Mesh, ScopeKey};
use crate::model::{SidecarFacts, Workload, WorkloadId};

/// Linkerd.
pub static DIALECT: Dialect = Dialect {
    name: "linkerd",
    releases: &["2.19", "2.18", "2.17", "2.16"],
    reads: |group, _kind| {
        matches!(
            group,
            "linkerd.io" | "policy.linkerd.io" | "multicluster.linkerd.io"
        )
    },
    shows: injection::shows,
    mesh: Some(|release, cx| {
        let mut policies = read::policies(cx);
        policies.declares = !matches!(release, "2.16" | "2.17");
        let release = format!("linkerd@{release}");
        Box::new(Linkerd { release, policies })
    }),
    gateways: None,
};

struct Linkerd {
    release: String,
    policies: Policies,
}

impl Mesh for Linkerd {
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
        let inbound = Inbound {
            policy: default_policy(workload, defaults, cx),
            opaque: setting(workload, "config.linkerd.io/opaque-ports", cx)
                .unwrap_or_else(Ports::of_chart),
            skipped: setting(workload, "config.linkerd.io/skip-inbound-ports", cx)
                .unwrap_or_default(),
        };
        let identity = injection::identity(workload);
        inbound::section(workload, &identity, &inbound, defaults, cx)
    }

    fn outbound_scope(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> ScopeKey {
        let workload = &cx.workloads[workload.index()];
        let skipped =
            annotation(workload, "config.linkerd.io/skip-outbound-ports", cx).unwrap_or_default();
        ScopeKey(
            format!(
                "{}|{}|{skipped}",
                workload.namespace, workload.service_account
            )
            .into(),
        )
    }

    fn outbound(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> Compiled {
        let defaults = self.defaults(cx);
        let workloads = cx.workloads;
        let workload = &workloads[workload.index()];
        let skipped: Ports =
            setting(workload, "config.linkerd.io/skip-outbound-ports", cx).unwrap_or_default();
        let callers = outbound::Callers {
            namespace: &workload.namespace,
            identity: &injection::identity(workload),
            skipped: &skipped,
        };
        outbound::section(&self.policies, callers, defaults, cx)
    }
}

impl Linkerd {
    fn defaults(&self, cx: &mut Compile<'_>) -> Defaults {
        Defaults {
            origin: cx.default_of(&self.release),
        }
    }
}

/// An annotation of a workload's pods, or of their namespace.
fn annotation(workload: &Workload, key: &str, cx: &Compile<'_>) -> Option<String> {
    let own = workload.annotations.get(key).map(|value| value.to_string());
    own.or_else(|| {
        let namespace = cx.objects.get("", "Namespace", "", &workload.namespace)?;
        Some(namespace.annotation(key)?.value.to_owned())
    })
}

/// A list of ports among them; one that is no list was reported when policies were read.
fn setting(workload: &Workload, key: &str, cx: &Compile<'_>) -> Option<Ports> {
    Ports::parse(&annotation(workload, key, cx)?)
}

fn default_policy(
    workload: &Workload,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> Sourced<DefaultPolicy> {
    const KEY: &str = "config.linkerd.io/default-inbound-policy";
    let word = annotation(workload, KEY, cx);
    let known = word.and_then(|word| {
        DefaultPolicy::NAMES
            .into_iter()
            .find(|(name, _)| *name == word)
    });
    let Some((_, policy)) = known else {
        return defaults.of(DefaultPolicy::AllUnauthenticated);
    };
    let on_namespace = (!workload.annotations.contains_key(KEY))
        .then(|| {
            cx.objects
                .get("", "Namespace", "", &workload.namespace)?
                .annotation(KEY)
        })
        .flatten();
    let origin = on_namespace.map_or(workload.origin, |value| cx.origins.written(value.span));
    Sourced::new(policy, origin)
}
