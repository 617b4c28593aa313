//! What a person should know of Gateways and routes.

use std::collections::BTreeSet;

use super::unmodelled;
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::gateway_api::{
    Api, BackendProblem, ControllerSeen, GatewayProblem, ListenerProblem, Lookup, Parent, Resolved,
    RouteRefusal,
};

/// Controllers of systems whose own rules for their Gateways are not known here.
///
/// Source: the `controllerName` of each system's class.
const OTHERS: &[(&str, &str)] = &[
    ("istio.io/", "Istio"),
    ("konghq.com/", "Kong"),
    ("traefik.io/", "Traefik"),
    ("gateway.envoyproxy.io/", "Envoy Gateway"),
    ("gateway.nginx.org/", "NGINX Gateway Fabric"),
    ("kgateway.dev/", "kgateway"),
    ("io.cilium/", "Cilium"),
    ("projectcontour.io/", "Contour"),
    ("networking.gke.io/", "GKE"),
    ("gateway.k8s.aws/", "the AWS Load Balancer Controller"),
    ("consul.hashicorp.com/", "Consul"),
    ("gateways.kuma.io/", "Kuma"),
];

/// Tells what is not modelled, and what leads nowhere: the API says what becomes of the latter, so that none of it is an error.
pub(super) fn tell(api: &Api, resolved: &Resolved, cx: &mut Compile<'_>) {
    tell_classes(api, resolved, cx);
    tell_gateways(api, resolved, cx);
    unmodelled::check(api, cx.diagnostics);
    unmodelled::tell(api, cx.diagnostics);
    tell_routes(api, resolved, cx);
}

/// Gateways of other systems are served as the API has it.
fn tell_classes(api: &Api, resolved: &Resolved, cx: &mut Compile<'_>) {
    let meaning = "its Gateways are served as the Gateway API itself specifies";
    for gateway in &resolved.gateways {
        let class = &api.gateways[gateway.at].spec.gateway_class_name;
        let (message, meaning) = match &gateway.controller {
            ControllerSeen::NoClass => (
                format!("no GatewayClass is called `{class}`"),
                meaning.to_owned(),
            ),
            ControllerSeen::Named(name) => {
                let mut others = OTHERS.iter();
                let Some((_, system)) = others.find(|(start, _)| name.starts_with(start)) else {
                    continue;
                };
                let message = format!("the GatewayClass `{class}` is for {system}");
                let more = format!("{meaning}: what {system} does besides is not known");
                (message, more)
            }
        };
        cx.diagnostics.push(
            Diagnostic::assumed("gateway-api::class", message, meaning)
                .label(class.span, "this class"),
        );
    }
}

fn tell_gateways(api: &Api, resolved: &Resolved, cx: &mut Compile<'_>) {
    for gateway in &resolved.gateways {
        let item = &api.gateways[gateway.at];
        for problem in &gateway.problems {
            let why = match problem {
                GatewayProblem::Parameters => {
                    "names parameters of a kind that is not known: it is not served"
                }
                GatewayProblem::AddressType => {
                    "asks for an address of a type that is not known: it is not served"
                }
                GatewayProblem::AddressUnusable => {
                    "asks for an address: where it listens is not the manifest's to say"
                }
                GatewayProblem::ClientCertificate(_) => {
                    "names a certificate for backends that cannot be used"
                }
            };
            cx.diagnostics.push(
                Diagnostic::warning("gateway-api::gateway", format!("{} {why}", item.key))
                    .label(item.span, "this Gateway"),
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
    for set in resolved.sets.iter().filter(|set| !set.is_allowed) {
        let item = &api.sets[set.at];
        let message = format!("{} is not taken by its Gateway", item.key);
        cx.diagnostics.push(
            Diagnostic::warning("gateway-api::listener-set", message)
                .label(item.span, "its listeners do not serve")
                .help("the Gateway says under `allowedListeners` whose it takes"),
        );
    }
}

fn tell_routes(api: &Api, resolved: &Resolved, cx: &mut Compile<'_>) {
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
                RouteRefusal::NoMatchingParent => "it has no such listener or port",
                RouteRefusal::NotAllowed => {
                    "its listeners do not take the route's kind or its namespace"
                }
                RouteRefusal::NoSharedHost => "no listener shares a host with it",
            };
            let message = format!("{} is not attached to `{name}`: {why}", route.key);
            let section = &route.parents[parent.at].section_name;
            let listeners = listeners_of(api, resolved, parent.parent);
            let help = section
                .as_ref()
                .filter(|_| refusal == RouteRefusal::NoMatchingParent);
            let help = help.and_then(|section| did_you_mean(section, listeners));
            cx.diagnostics.push(
                Diagnostic::warning("gateway-api::not-attached", message)
                    .label(name.span, "no request reaches it there")
                    .maybe_help(help),
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
                    .label(backend.name.span, "its share is refused"),
            );
        }
    }
}

/// The names of a parent's listeners.
fn listeners_of<'a>(api: &'a Api, resolved: &'a Resolved, parent: Parent) -> Vec<&'a str> {
    let all = match parent {
        Parent::Gateway(at) => &api.gateways[at].spec.listeners,
        Parent::Set(at)
            if resolved
                .sets
                .iter()
                .any(|set| set.at == at && set.is_allowed) =>
        {
            &api.sets[at].spec.listeners
        }
        Parent::Set(_) | Parent::Service(_) => return Vec::new(),
    };
    all.iter().map(|listener| listener.name.as_str()).collect()
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
