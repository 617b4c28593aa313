//! What a person should know of Gateways and routes.

use std::collections::BTreeSet;

use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::gateway_api::{
    Api, BackendProblem, ControllerSeen, ListenerProblem, Lookup, Resolved, RouteRefusal,
};

/// Tells what leads nowhere: the API says what becomes of it, so that none of it is an error.
pub(super) fn tell(api: &Api, resolved: &Resolved, cx: &mut Compile<'_>) {
    for gateway in &resolved.gateways {
        let item = &api.gateways[gateway.at];
        if gateway.controller == ControllerSeen::NoClass {
            let class = &item.spec.gateway_class_name;
            let message = format!("no GatewayClass is called `{class}`");
            let meaning = "its Gateways are served as the Gateway API itself specifies";
            cx.diagnostics.push(
                Diagnostic::assumed("gateway-api::no-class", message, meaning)
                    .label(class.span, "this class"),
            );
        }
        for problem in &gateway.problems {
            let message = format!("{} has a problem: {problem:?}", item.key);
            cx.diagnostics.push(
                Diagnostic::warning("gateway-api::gateway", message).label(item.span, "this one"),
            );
        }
        for listener in &gateway.listeners {
            let problems: BTreeSet<&ListenerProblem> = listener.problems.iter().collect();
            for problem in problems {
                let message = format!("listener `{}`: {}", listener.name, said(*problem));
                cx.diagnostics.push(
                    Diagnostic::warning("gateway-api::listener", message)
                        .label(listener.span, "this listener"),
                );
            }
        }
    }
    let lookup = Lookup {
        objects: cx.objects,
        services: cx.services,
    };
    for state in &resolved.routes {
        let route = api.route(state.id);
        for parent in &state.parents {
            let Some(refusal) = parent.refusal else {
                continue;
            };
            let name = &route.parents[parent.at].name;
            let why = match refusal {
                RouteRefusal::NoMatchingParent => "it has no such listener",
                RouteRefusal::NotAllowed => {
                    "its listeners take neither the route's kind nor its namespace"
                }
                RouteRefusal::NoSharedHost => "no listener shares a host with it",
            };
            let message = format!("{} is not attached to `{name}`: {why}", route.key);
            cx.diagnostics.push(
                Diagnostic::warning("gateway-api::not-attached", message)
                    .label(name.span, "no request reaches it there"),
            );
        }
        if state.parents.is_empty() {
            continue;
        }
        for (problem, backend) in Resolved::backend_problems(api, lookup, state.id) {
            let why = match problem {
                BackendProblem::Kind => "is of a kind that is not known",
                BackendProblem::NotPermitted => {
                    "is in another namespace, which has no ReferenceGrant for it"
                }
                BackendProblem::NotFound => "is no Service with this port",
                BackendProblem::Protocol => "has a port of another protocol",
            };
            let message = format!("the backend `{}` {why}", backend.name);
            cx.diagnostics.push(
                Diagnostic::warning("gateway-api::backend", message)
                    .label(backend.name.span, "its share is answered with 500"),
            );
        }
    }
}

const fn said(problem: ListenerProblem) -> &'static str {
    match problem {
        ListenerProblem::Protocol => "its protocol is not known; it does not serve",
        ListenerProblem::Mode => "its TLS mode is not known; it does not serve",
        ListenerProblem::RouteKinds => {
            "it allows kinds of routes that are not known or do not fit its protocol"
        }
        ListenerProblem::Certificate(_) => "a certificate that it names cannot be used",
        ListenerProblem::ClientAuthority(_) => {
            "an authority for clients' certificates cannot be used"
        }
        ListenerProblem::NoClientAuthority => {
            "it is to check clients' certificates, and has no authority to check them by; it does not serve"
        }
        ListenerProblem::Conflict(_) => {
            "another listener has its port with another protocol, or its host; it does not serve"
        }
    }
}
