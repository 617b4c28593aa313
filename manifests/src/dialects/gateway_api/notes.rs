//! What a person should know of Gateways and routes.

use std::collections::{BTreeMap, BTreeSet};

use super::systems::{Field, Lacking, System};
use super::{systems, unmodelled};
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::gateway_api::types::{BackendRef, Filter};
use crate::gateway_api::{
    Api, BackendProblem, ControllerSeen, GatewayProblem, ListenerProblem, Lookup, Parent, Resolved,
    RouteId, RouteKind, RouteRefusal,
};
use crate::text::{Span, Spanned};

/// Tells what is not modelled, and what leads nowhere: the API says what becomes of the latter, so that none of it is an error.
pub(super) fn tell(api: &Api, resolved: &Resolved, cx: &mut Compile<'_>) {
    tell_classes(api, resolved, cx);
    tell_unread(api, resolved, cx);
    tell_gateways(api, resolved, cx);
    unmodelled::check(api, cx.diagnostics);
    unmodelled::tell(api, cx.diagnostics);
    tell_routes(api, resolved, cx);
}

/// Who serves a Gateway is assumed by its class, and so is what it brings.
fn tell_classes(api: &Api, resolved: &Resolved, cx: &mut Compile<'_>) {
    let alone = "its Gateways are served as the Gateway API itself specifies";
    for gateway in &resolved.gateways {
        let class = &api.gateways[gateway.at].spec.gateway_class_name;
        let system = systems::of(&gateway.controller);
        let (message, meaning) = match &gateway.controller {
            ControllerSeen::NoClass => (
                format!("no GatewayClass is called `{class}`"),
                alone.to_owned(),
            ),
            ControllerSeen::Named(_) if !system.is_the_api() => (
                format!("the GatewayClass `{class}` is for {}", system.name),
                format!(
                    "its Gateways have the defaults of {}; {} have no effect on them",
                    system.release, system.besides
                ),
            ),
            ControllerSeen::Named(name) => {
                let Some(other) = systems::other(name) else {
                    continue;
                };
                let message = format!("the GatewayClass `{class}` is for {other}");
                let more = format!("{alone}: what {other} does besides is not known");
                (message, more)
            }
        };
        cx.diagnostics.push(
            Diagnostic::assumed("gateway-api::class", message, meaning)
                .label(class.span, "this class"),
        );
    }
}

/// What a route asks for that the system of one of its Gateways does not do.
fn tell_unread(api: &Api, resolved: &Resolved, cx: &mut Compile<'_>) {
    for state in &resolved.routes {
        let gateways = state
            .parents
            .iter()
            .filter_map(|parent| match parent.parent {
                Parent::Gateway(at) => Some(at),
                Parent::Set(at) => {
                    let set = resolved.sets.iter().find(|set| set.at == at)?;
                    Some(set.gateway)
                }
                Parent::Service(_) => None,
            });
        let systems = gateways.filter_map(|at| {
            let mut all = resolved.gateways.iter();
            let gateway = all.find(|gateway| gateway.at == at)?;
            Some(systems::of(&gateway.controller))
        });
        let systems: BTreeMap<&str, &System> = systems.map(|it| (it.name, it)).collect();
        for system in systems.values() {
            for (what, span, becomes) in unread(api, state.id, system) {
                cx.diagnostics.push(
                    Diagnostic::warning(
                        "gateway-api::unsupported",
                        format!("{} does not carry out {what}", system.name),
                    )
                    .label(span, becomes),
                );
            }
        }
    }
}

/// What of a route has no effect with a system: its word, its place, and what becomes of it.
fn unread(api: &Api, id: RouteId, system: &System) -> Vec<(String, Span, &'static str)> {
    const NOTHING: &str = "it has no effect";
    let lost = match system.lacking {
        Lacking::Error => "requests of its rule are answered with 500",
        Lacking::NoRoute => "nothing of the route is served",
    };
    let mut found = Vec::new();
    let mut field = |field: Field, span: Option<Span>| {
        if let Some(span) = span.filter(|_| !system.reads(field)) {
            found.push((format!("`{}`", field.word()), span, NOTHING));
        }
    };
    let mut filters: Vec<(&[Filter], &[BackendRef])> = Vec::new();
    match id.kind {
        RouteKind::Http => {
            let route = &api.http[id.at];
            for rule in &route.spec.rules {
                let span_of = |text: &Option<Spanned<String>>| text.as_ref().map(|it| it.span);
                let timeouts = rule.timeouts.as_ref();
                field(
                    Field::RequestTimeout,
                    timeouts.and_then(|it| span_of(&it.request)),
                );
                field(
                    Field::BackendTimeout,
                    timeouts.and_then(|it| span_of(&it.backend_request)),
                );
                field(
                    Field::Retry,
                    rule.retry.as_ref().map(|it| {
                        let attempts = it.attempts.map(|it| it.span);
                        let code = it.codes.first().map(|it| it.span);
                        let pause = span_of(&it.backoff);
                        attempts.or(code).or(pause).unwrap_or(route.span)
                    }),
                );
                let session = rule.session_persistence.as_ref();
                field(
                    Field::Session,
                    session.map(|it| span_of(&it.session_name).unwrap_or(route.span)),
                );
                filters.push((&rule.filters, &rule.backend_refs));
            }
        }
        RouteKind::Grpc => {
            for rule in &api.grpc[id.at].spec.rules {
                let session = rule.session_persistence.as_ref();
                field(Field::Session, session.map(|_| api.grpc[id.at].span));
                filters.push((&rule.filters, &rule.backend_refs));
            }
        }
        RouteKind::Tls | RouteKind::Tcp | RouteKind::Udp => {}
    }
    for (of_rule, backends) in filters {
        let of_backends = backends.iter().flat_map(|backend| &backend.filters);
        for filter in of_rule.iter().chain(of_backends.clone()) {
            if system.lacks.contains(&filter.r#type.as_str()) {
                let what = format!("the filter `{}`", filter.r#type);
                found.push((what, filter.r#type.span, lost));
            }
        }
        if !system.backend_filters {
            let all =
                of_backends.map(|it| ("filters of backends".to_owned(), it.r#type.span, lost));
            found.extend(all);
        }
    }
    found
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
