//! Policies of backends, as the Gateways see them whose routes lead there.

use std::collections::BTreeSet;

use super::{AncestorStatus, Condition, ObjectStatus, PolicyStatus, Reference, Status};
use crate::gateway_api::backends::find_backend;
use crate::gateway_api::policies::{PolicyProblem, PolicyState};
use crate::gateway_api::read::{Api, GROUP, RouteId};
use crate::gateway_api::references::{Lookup, ReferenceProblem};
use crate::gateway_api::resolve::{GatewayState, Resolved};
use crate::model::ServiceId;

/// The most ancestors that a status has. Source: `PolicyStatus.ancestors`.
const ANCESTORS: usize = 16;

pub(super) fn policies(api: &Api, resolved: &Resolved, lookup: Lookup<'_>) -> Vec<ObjectStatus> {
    let reached: Vec<(&GatewayState, BTreeSet<ServiceId>)> = resolved
        .gateways
        .iter()
        .map(|gateway| (gateway, reached(api, lookup, gateway)))
        .collect();
    let mut found = Vec::new();
    for state in &resolved.policies {
        let item = &api.policies[state.at];
        let leads = reached.iter().filter(|(_, services)| {
            let mut targets = state.services.iter();
            targets.any(|id| services.contains(id))
        });
        let ancestors: Vec<AncestorStatus> = leads
            .take(ANCESTORS)
            .map(|(gateway, _)| ancestor(api, gateway, state, item.generation))
            .collect();
        if !ancestors.is_empty() {
            let status = Status::Policy(PolicyStatus { ancestors });
            found.push(ObjectStatus::new(item, status));
        }
    }
    found
}

/// The Services that a Gateway's routes lead to.
fn reached(api: &Api, lookup: Lookup<'_>, gateway: &GatewayState) -> BTreeSet<ServiceId> {
    let attached = gateway.listeners.iter().flat_map(|it| &it.attached);
    let routes: BTreeSet<RouteId> = attached.map(|attached| attached.route).collect();
    let mut services = BTreeSet::new();
    for route in routes {
        let namespace = &api.route(route).key.namespace;
        for backend in api.backends(route) {
            let found = find_backend(api, lookup, (route.kind, namespace), backend);
            services.extend(found.ok().map(|(service, _)| service));
        }
    }
    services
}

fn ancestor(
    api: &Api,
    gateway: &GatewayState,
    state: &PolicyState,
    generation: i64,
) -> AncestorStatus {
    let key = &api.gateways[gateway.at].key;
    let accepted = match state.problems.iter().find_map(|problem| match problem {
        PolicyProblem::Conflicted => Some(("Conflicted", "another policy has its place")),
        PolicyProblem::NoAuthority => Some((
            "NoValidCACertificate",
            "it names no authority that can be used",
        )),
        PolicyProblem::Authority(_) => None,
    }) {
        Some((reason, message)) => Condition::new("Accepted", false, reason, message, generation),
        None => Condition::new("Accepted", true, "Accepted", "it is in force", generation),
    };
    let unresolved = state.problems.iter().find_map(|problem| match problem {
        PolicyProblem::Authority(ReferenceProblem::Kind) => Some("InvalidKind"),
        PolicyProblem::Authority(
            ReferenceProblem::NotFound
            | ReferenceProblem::Malformed
            | ReferenceProblem::NotPermitted,
        ) => Some("InvalidCACertificateRef"),
        PolicyProblem::NoAuthority | PolicyProblem::Conflicted => None,
    });
    let resolved = match unresolved {
        Some(reason) => Condition::new(
            "ResolvedRefs",
            false,
            reason,
            "an authority that it names cannot be used",
            generation,
        ),
        None => Condition::new(
            "ResolvedRefs",
            true,
            "ResolvedRefs",
            "everything that it names is there",
            generation,
        ),
    };
    AncestorStatus {
        ancestor_ref: Reference {
            group: GROUP.to_owned(),
            kind: "Gateway".to_owned(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            section_name: None,
            port: None,
        },
        controller_name: gateway.controller.name().to_owned(),
        conditions: vec![accepted, resolved],
    }
}
