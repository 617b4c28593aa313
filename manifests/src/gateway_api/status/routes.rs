//! Routes and their parents.

use super::{Condition, ObjectStatus, ParentStatus, Reference, RouteStatus, Status};
use crate::gateway_api::attach::{Parent, ParentState, RouteRefusal, RouteState};
use crate::gateway_api::backends::BackendProblem;
use crate::gateway_api::read::{Api, GROUP, RouteKind};
use crate::gateway_api::references::Lookup;
use crate::gateway_api::resolve::Resolved;
use crate::gateway_api::types::text;

pub(super) fn routes(api: &Api, resolved: &Resolved, lookup: Lookup<'_>) -> Vec<ObjectStatus> {
    let all = resolved.routes.iter();
    all.filter_map(|state| route(api, resolved, lookup, state))
        .collect()
}

/// A route with a parent that is served; none: nobody here has a say in it.
fn route(
    api: &Api,
    resolved: &Resolved,
    lookup: Lookup<'_>,
    state: &RouteState,
) -> Option<ObjectStatus> {
    let generation = match state.id.kind {
        RouteKind::Http => api.http[state.id.at].generation,
        RouteKind::Grpc => api.grpc[state.id.at].generation,
        RouteKind::Tls | RouteKind::Tcp | RouteKind::Udp => api.l4(state.id).generation,
    };
    let problems = Resolved::backend_problems(api, lookup, state.id);
    let unresolved = problems.keys().next().copied();
    let parents: Vec<ParentStatus> = state
        .parents
        .iter()
        .filter_map(|parent| {
            Some(ParentStatus {
                parent_ref: reference(api, state, parent),
                controller_name: controller(resolved, parent.parent)?,
                conditions: vec![
                    accepted(parent.refusal, generation),
                    resolved_refs(unresolved, generation),
                ],
            })
        })
        .collect();
    if parents.is_empty() {
        return None;
    }
    let status = Status::Route(RouteStatus { parents });
    Some(match state.id.kind {
        RouteKind::Http => ObjectStatus::new(&api.http[state.id.at], status),
        RouteKind::Grpc => ObjectStatus::new(&api.grpc[state.id.at], status),
        RouteKind::Tls | RouteKind::Tcp | RouteKind::Udp => {
            ObjectStatus::new(api.l4(state.id), status)
        }
    })
}

/// Who serves a parent; a Service is a mesh's.
fn controller(resolved: &Resolved, parent: Parent) -> Option<String> {
    let gateway = match parent {
        Parent::Gateway(at) => at,
        Parent::Set(at) => resolved.sets.iter().find(|set| set.at == at)?.gateway,
        Parent::Service(_) => return None,
    };
    let mut gateways = resolved.gateways.iter();
    let state = gateways.find(|state| state.at == gateway)?;
    Some(state.controller.name().to_owned())
}

fn reference(api: &Api, state: &RouteState, parent: &ParentState) -> Reference {
    let route = api.route(state.id);
    let written = &route.parents[parent.at];
    Reference {
        group: text(&written.group).unwrap_or(GROUP).to_owned(),
        kind: text(&written.kind).unwrap_or("Gateway").to_owned(),
        namespace: text(&written.namespace)
            .unwrap_or(&route.key.namespace)
            .to_owned(),
        name: written.name.value.clone(),
        section_name: text(&written.section_name).map(str::to_owned),
        port: written.port.as_ref().map(|port| port.value),
    }
}

fn accepted(refusal: Option<RouteRefusal>, generation: i64) -> Condition {
    let (reason, message) = match refusal {
        None => ("Accepted", "it is attached"),
        Some(RouteRefusal::NoMatchingParent) => {
            ("NoMatchingParent", "the parent has no such listener")
        }
        Some(RouteRefusal::NotAllowed) => (
            "NotAllowedByListeners",
            "listeners of the parent take neither its kind nor its namespace",
        ),
        Some(RouteRefusal::NoSharedHost) => (
            "NoMatchingListenerHostname",
            "no listener of the parent shares a host with it",
        ),
    };
    Condition::new("Accepted", refusal.is_none(), reason, message, generation)
}

fn resolved_refs(problem: Option<BackendProblem>, generation: i64) -> Condition {
    let (reason, message) = match problem {
        None => ("ResolvedRefs", "every backend is there"),
        Some(BackendProblem::Kind) => ("InvalidKind", "a backend is of a kind that is not known"),
        Some(BackendProblem::NotPermitted) => (
            "RefNotPermitted",
            "a backend is in another namespace, which has no ReferenceGrant for it",
        ),
        Some(BackendProblem::NotFound) => ("BackendNotFound", "a backend is not there"),
        Some(BackendProblem::Protocol) => (
            "UnsupportedProtocol",
            "the port of a backend has another protocol",
        ),
    };
    Condition::new(
        "ResolvedRefs",
        problem.is_none(),
        reason,
        message,
        generation,
    )
}
