//! TLS toward backends, as BackendTLSPolicies have it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::read::{Api, Item};
use super::references::{Lookup, Namer, ReferenceProblem};
use super::types::{BackendTlsPolicy, text};
use crate::model::ServiceId;

/// Whose certificates are believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Roots {
    /// Those that the proxy's machine believes.
    System,
    /// These, as PEM.
    Pem(Vec<Arc<str>>),
}

/// How a backend is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trust {
    /// Whom its certificate must come from.
    pub roots: Roots,
    /// The server name asked for; where `names` is empty, the name that the certificate must have.
    pub hostname: String,
    /// Names of which the certificate must have one: hosts, perhaps with `*.`, and URIs.
    pub names: Vec<AltName>,
}

/// A name in a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AltName {
    /// A host; `*.` at its start stands for one label.
    Host(String),
    /// A URI.
    Uri(String),
}

/// What is wrong with a policy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum PolicyProblem {
    /// An authority.
    Authority(ReferenceProblem),
    /// No authority can be used.
    NoAuthority,
    /// An older policy, or one whose name comes first, has its place.
    Conflicted,
}

/// A policy as it came out.
#[derive(Clone, Debug)]
pub struct PolicyState {
    /// Its place in [`Api`].
    pub at: usize,
    /// The Services that it is in force for, and the name of their port where it is for one alone.
    pub targets: Vec<(ServiceId, Option<String>)>,
    /// The Services that it is for, those among them that another policy has.
    pub services: Vec<ServiceId>,
    /// What is wrong with it.
    pub problems: Vec<PolicyProblem>,
    /// What it demands; none: its backends cannot be reached.
    pub trust: Option<Trust>,
}

impl PolicyState {
    /// Whether a controller would accept it.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        let hard = |it: &PolicyProblem| {
            matches!(it, PolicyProblem::NoAuthority | PolicyProblem::Conflicted)
        };
        !self.problems.iter().any(hard)
    }
}

/// Every policy, and who has the place where two want it.
///
/// Source: `BackendTLSPolicy.spec.targetRefs`: a policy for a port comes before one for its Service; of two for the same the older, then the one
/// whose `namespace/name` comes first.
pub(super) fn resolve(api: &Api, lookup: Lookup<'_>) -> Vec<PolicyState> {
    let mut taken: BTreeMap<(ServiceId, Option<String>), usize> = BTreeMap::new();
    let mut found = Vec::new();
    // they stand from the oldest to the youngest
    for (at, policy) in api.policies.iter().enumerate() {
        let mut state = PolicyState {
            at,
            targets: Vec::new(),
            services: Vec::new(),
            problems: Vec::new(),
            trust: None,
        };
        for target in &policy.spec.target_refs {
            let is_service = target.group.value.is_empty() && target.kind.value == "Service";
            let mut services = lookup.services.iter().filter(|_| is_service);
            let service = services.find(|service| {
                *service.namespace == *policy.key.namespace && *service.name == *target.name.value
            });
            let Some(service) = service else {
                continue;
            };
            let key = (service.id, text(&target.section_name).map(str::to_owned));
            state.services.push(service.id);
            if *taken.entry(key.clone()).or_insert(at) == at {
                state.targets.push(key);
            } else {
                state.problems.push(PolicyProblem::Conflicted);
            }
        }
        state.trust = trust(api, lookup, policy, &mut state.problems);
        state.problems.sort_unstable();
        state.problems.dedup();
        found.push(state);
    }
    found
}

fn trust(
    api: &Api,
    lookup: Lookup<'_>,
    policy: &Item<BackendTlsPolicy>,
    problems: &mut Vec<PolicyProblem>,
) -> Option<Trust> {
    let validation = &policy.spec.validation;
    let namer = Namer {
        kind: "BackendTLSPolicy",
        namespace: &policy.key.namespace,
    };
    let roots = if validation.ca_certificate_refs.is_empty() {
        text(&validation.well_known)
            .filter(|known| *known == "System")
            .map(|_| Roots::System)
    } else {
        let mut texts = Vec::new();
        for reference in &validation.ca_certificate_refs {
            match lookup.authority(api, reference, namer) {
                Ok(text) => texts.push(text),
                Err(problem) => problems.push(PolicyProblem::Authority(problem)),
            }
        }
        (!texts.is_empty()).then_some(Roots::Pem(texts))
    };
    if roots.is_none() {
        problems.push(PolicyProblem::NoAuthority);
    }
    let names = validation.subject_alt_names.iter().filter_map(|name| {
        let host = || Some(AltName::Host(text(&name.hostname)?.to_ascii_lowercase()));
        match name.r#type.value.as_str() {
            "Hostname" => host(),
            "URI" => Some(AltName::Uri(text(&name.uri)?.to_owned())),
            _ => None,
        }
    });
    Some(Trust {
        names: names.collect(),
        hostname: validation.hostname.to_ascii_lowercase(),
        roots: roots?,
    })
}

/// The policy for a port of a Service, by its name: one for the port alone comes first.
pub(super) fn policy_for<'a>(
    policies: &'a [PolicyState],
    service: ServiceId,
    port: Option<&str>,
) -> Option<&'a PolicyState> {
    let of = |wanted: Option<&str>| {
        policies.iter().find(|policy| {
            let mut targets = policy.targets.iter();
            targets.any(|(id, name)| *id == service && name.as_deref() == wanted)
        })
    };
    port.and_then(|port| of(Some(port))).or_else(|| of(None))
}
