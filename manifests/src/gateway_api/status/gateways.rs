//! Gateways, sets of listeners and their listeners.

use super::{
    Condition, GatewayStatus, ListenerStatus, ObjectStatus, SetStatus, Status, SupportedKind,
};
use crate::gateway_api::listeners::{Conflict, ListenerProblem, ListenerState, Owner};
use crate::gateway_api::read::{Api, GROUP};
use crate::gateway_api::references::ReferenceProblem;
use crate::gateway_api::resolve::{GatewayProblem, GatewayState, Resolved, SetState};
use crate::gateway_api::types::text;

pub(super) fn gateways(api: &Api, resolved: &Resolved) -> Vec<ObjectStatus> {
    let all = resolved.gateways.iter();
    all.map(|state| gateway(api, resolved, state)).collect()
}

pub(super) fn sets(api: &Api, resolved: &Resolved) -> Vec<ObjectStatus> {
    let all = resolved.sets.iter();
    all.map(|state| set(api, resolved, state)).collect()
}

fn gateway(api: &Api, resolved: &Resolved, state: &GatewayState) -> ObjectStatus {
    let item = &api.gateways[state.at];
    let generation = item.generation;
    let own: Vec<&ListenerState> = of_owner(state, Owner::Gateway).collect();
    let mut conditions = vec![accepted(state, &own, generation)];
    conditions.push(programmed(state, generation));
    conditions.extend(resolved_refs(state, generation));
    let falls_back = |listener: &&ListenerState| {
        let tls = listener.tls.as_ref();
        tls.is_some_and(|tls| tls.clients.as_ref().is_some_and(|it| it.fallback))
    };
    if state.listeners.iter().any(|listener| falls_back(&listener)) {
        conditions.push(Condition::new(
            "InsecureFrontendValidationMode",
            true,
            "ConfigurationChanged",
            "clients are served whatever certificate they show",
            generation,
        ));
    }
    let attached = resolved
        .sets
        .iter()
        .filter(|set| set.gateway == state.at && set.is_allowed && serves(state, set.at));
    let status = GatewayStatus {
        addresses: Vec::new(),
        conditions,
        listeners: own
            .iter()
            .map(|listener| listener_status(listener, generation))
            .collect(),
        attached_listener_sets: attached.count(),
        asked: asked(api, state, generation),
    };
    ObjectStatus::new(item, Status::Gateway(status))
}

fn of_owner(state: &GatewayState, owner: Owner) -> impl Iterator<Item = &ListenerState> {
    let all = state.listeners.iter();
    all.filter(move |listener| listener.owner == owner)
}

/// Whether any listener of a set serves.
fn serves(state: &GatewayState, set: usize) -> bool {
    of_owner(state, Owner::Set(set)).any(ListenerState::serves)
}

fn accepted(state: &GatewayState, own: &[&ListenerState], generation: i64) -> Condition {
    let make = |holds, reason, message: &str| {
        Condition::new("Accepted", holds, reason, message, generation)
    };
    let problem = state.problems.iter().find_map(|problem| match problem {
        GatewayProblem::Parameters => Some((
            "InvalidParameters",
            "it names parameters of a kind that is not known",
        )),
        GatewayProblem::AddressType => Some((
            "UnsupportedAddress",
            "it asks for an address of a type that is not known",
        )),
        GatewayProblem::AddressUnusable | GatewayProblem::ClientCertificate(_) => None,
    });
    if let Some((reason, message)) = problem {
        return make(false, reason, message);
    }
    let valid = own.iter().filter(|it| it.is_accepted()).count();
    match valid {
        0 if !own.is_empty() => make(false, "ListenersNotValid", "none of its listeners is valid"),
        all if all == own.len() => make(true, "Accepted", "it is served"),
        _ => make(
            true,
            "ListenersNotValid",
            "some of its listeners are not valid",
        ),
    }
}

/// What is asked for of addresses, where that alone may stand in the way.
fn asked(api: &Api, state: &GatewayState, generation: i64) -> Option<(Vec<String>, Condition)> {
    if !state.problems.contains(&GatewayProblem::AddressUnusable)
        || state.problems.contains(&GatewayProblem::AddressType)
    {
        return None;
    }
    let asked = api.gateways[state.at].spec.addresses.iter();
    let asked = asked.filter_map(|it| text(&it.value)).map(str::to_owned);
    let asked = asked.filter(|it| !it.is_empty()).collect();
    Some((asked, listens(state, generation)))
}

fn programmed(state: &GatewayState, generation: i64) -> Condition {
    if state.problems.contains(&GatewayProblem::AddressUnusable)
        || state.problems.contains(&GatewayProblem::AddressType)
    {
        let message = "it asks for an address that it cannot have";
        return Condition::new("Programmed", false, "AddressNotUsable", message, generation);
    }
    listens(state, generation)
}

/// Whether it listens, wherever that is.
fn listens(state: &GatewayState, generation: i64) -> Condition {
    let make = |holds, reason, message: &str| {
        Condition::new("Programmed", holds, reason, message, generation)
    };
    if state.is_accepted() && state.listeners.iter().any(ListenerState::serves) {
        make(true, "Programmed", "it listens")
    } else {
        make(false, "Invalid", "none of its listeners serves")
    }
}

/// Of the Gateway itself: the certificate that backends are shown.
fn resolved_refs(state: &GatewayState, generation: i64) -> Option<Condition> {
    let problem = state.problems.iter().find_map(|problem| match problem {
        GatewayProblem::ClientCertificate(problem) => Some(*problem),
        GatewayProblem::Parameters
        | GatewayProblem::AddressType
        | GatewayProblem::AddressUnusable => None,
    });
    let reason = match problem {
        None => {
            let message = "everything that it names is there";
            return Some(Condition::new(
                "ResolvedRefs",
                true,
                "ResolvedRefs",
                message,
                generation,
            ));
        }
        Some(ReferenceProblem::NotPermitted) => "RefNotPermitted",
        Some(ReferenceProblem::Kind | ReferenceProblem::NotFound | ReferenceProblem::Malformed) => {
            "InvalidClientCertificateRef"
        }
    };
    Some(Condition::new(
        "ResolvedRefs",
        false,
        reason,
        "the certificate that backends would be shown cannot be used",
        generation,
    ))
}

fn set(api: &Api, resolved: &Resolved, state: &SetState) -> ObjectStatus {
    let item = &api.sets[state.at];
    let generation = item.generation;
    let mut gateways = resolved.gateways.iter();
    let gateway = gateways.find(|gateway| gateway.at == state.gateway);
    let listeners: Vec<&ListenerState> = gateway
        .into_iter()
        .flat_map(|gateway| of_owner(gateway, Owner::Set(state.at)))
        .collect();
    let (holds, reason, message) = if !state.is_allowed {
        (false, "NotAllowed", "its Gateway does not take it")
    } else if listeners.iter().any(|listener| listener.serves()) {
        (true, "", "it is served")
    } else {
        (false, "ListenersNotValid", "none of its listeners is valid")
    };
    let conditions = ["Accepted", "Programmed"].map(|kind| {
        let reason = if holds { kind } else { reason };
        Condition::new(kind, holds, reason, message, generation)
    });
    let status = SetStatus {
        conditions: conditions.into(),
        listeners: listeners
            .iter()
            .map(|listener| listener_status(listener, generation))
            .collect(),
    };
    ObjectStatus::new(item, Status::Set(status))
}

fn listener_status(listener: &ListenerState, generation: i64) -> ListenerStatus {
    let make = |kind, holds, reason, message: &str| {
        Condition::new(kind, holds, reason, message, generation)
    };
    let conflict = listener.conflict().map(|conflict| match conflict {
        Conflict::Protocol => "ProtocolConflict",
        Conflict::Hostname => "HostnameConflict",
    });
    let refused = listener.problems.iter().find_map(|problem| match problem {
        ListenerProblem::Protocol => Some("UnsupportedProtocol"),
        ListenerProblem::Mode => Some("UnsupportedValue"),
        ListenerProblem::NoClientAuthority => Some("NoValidCACertificate"),
        ListenerProblem::Conflict(_) => conflict,
        ListenerProblem::RouteKinds
        | ListenerProblem::Certificate(_)
        | ListenerProblem::ClientAuthority(_) => None,
    });
    let unresolved = listener
        .problems
        .iter()
        .find_map(|problem| unresolved(*problem));
    let conditions = vec![
        match refused {
            Some(reason) => make("Accepted", false, reason, "it does not serve"),
            None => make("Accepted", true, "Accepted", "it is valid"),
        },
        match (listener.serves(), conflict) {
            (true, _) => make("Programmed", true, "Programmed", "it serves"),
            (false, Some(reason)) => make("Programmed", false, reason, "another has its place"),
            (false, None) => make("Programmed", false, "Invalid", "it does not serve"),
        },
        match unresolved {
            Some((reason, message)) => make("ResolvedRefs", false, reason, message),
            None => make(
                "ResolvedRefs",
                true,
                "ResolvedRefs",
                "everything that it names is there",
            ),
        },
        match conflict {
            Some(reason) => make("Conflicted", true, reason, "another listener has its place"),
            None => make("Conflicted", false, "NoConflicts", "it has its own place"),
        },
    ];
    let kinds = listener.kinds.iter().map(|kind| SupportedKind {
        group: GROUP,
        kind: kind.name(),
    });
    ListenerStatus {
        name: listener.name.to_string(),
        supported_kinds: kinds.collect(),
        attached_routes: listener.attached.len(),
        conditions,
    }
}

const fn unresolved(problem: ListenerProblem) -> Option<(&'static str, &'static str)> {
    match problem {
        ListenerProblem::RouteKinds => Some((
            "InvalidRouteKinds",
            "it allows kinds of routes that are not known or do not fit",
        )),
        ListenerProblem::Certificate(why) => Some((
            match why {
                ReferenceProblem::NotPermitted => "RefNotPermitted",
                ReferenceProblem::Kind
                | ReferenceProblem::NotFound
                | ReferenceProblem::Malformed => "InvalidCertificateRef",
            },
            "a certificate that it names cannot be used",
        )),
        ListenerProblem::ClientAuthority(why) => Some((
            match why {
                ReferenceProblem::NotPermitted => "RefNotPermitted",
                ReferenceProblem::Kind => "InvalidCACertificateKind",
                ReferenceProblem::NotFound | ReferenceProblem::Malformed => {
                    "InvalidCACertificateRef"
                }
            },
            "an authority for clients' certificates cannot be used",
        )),
        ListenerProblem::Protocol
        | ListenerProblem::Mode
        | ListenerProblem::NoClientAuthority
        | ListenerProblem::Conflict(_) => None,
    }
}
