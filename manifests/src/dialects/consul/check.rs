//! What Consul refuses of entries that are right each on its own.

use std::collections::BTreeSet;

use proxy_core::config::Name;

use super::annotations::{self, Explicit, Unread};
use super::chain::{self, Broken};
use super::injection;
use super::notes::Defaults;
use super::policy::{Policies, Protocol, Reference};
use super::registry;
use super::resolver::unknown_subset;
use super::shared;
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::model::Workload;
use crate::text::Span;

/// Reports chains that Consul refuses, services that nobody knows, and services that carry bytes.
pub(super) fn report(policies: &Policies, defaults: Defaults, cx: &mut Compile<'_>) {
    let mut names: BTreeSet<&Name> = policies.routers.keys().collect();
    names.extend(policies.splitters.keys());
    names.extend(policies.resolvers.keys());
    names.extend(policies.registry.all().map(|(name, _)| name));
    for name in names {
        if let Err(broken) = chain::compile(policies, name, None, defaults) {
            refused(name, broken, policies, cx);
        }
    }
    references(policies, cx);
    without_bearing(policies, cx);
    upstreams(policies, cx);
    shared::report(policies, defaults, cx);
    carried_as_bytes(policies, defaults, cx);
}

fn refused(name: &Name, broken: Broken, policies: &Policies, cx: &mut Compile<'_>) {
    match broken {
        Broken::Protocols { first, other, span } => {
            let message = format!(
                "what is sent to `{name}` leads to services that speak differently: `{}` {}, `{}` {}",
                first.0,
                first.1.name(),
                other.0,
                other.1.name()
            );
            let place = if span.is_nowhere() {
                entry(name, policies)
            } else {
                span
            };
            cx.diagnostics.push(
                Diagnostic::error("consul::protocols", message)
                    .label(place, "leads there")
                    .label(defaults_of(&other.0, policies), "says so")
                    .help("Consul refuses the entry: write ServiceDefaults with one `protocol` for all of them"),
            );
        }
        Broken::NeedsHttp {
            protocol,
            span,
            kind,
        } => {
            let message = format!(
                "`{name}` speaks {}: Consul refuses a {kind} for it",
                protocol.name()
            );
            let help = format!(
                "write ServiceDefaults `{name}` with `protocol: http`, or ProxyDefaults `global` with `config: {{protocol: http}}`"
            );
            cx.diagnostics.push(
                Diagnostic::error("consul::needs-http", message)
                    .label(span, "refused")
                    .label(defaults_of(name, policies), "says nothing of HTTP")
                    .help(help),
            );
        }
        Broken::Subset {
            service,
            subset,
            span,
        } => {
            let resolver = policies.resolvers.get(&service);
            let known = resolver.into_iter().flat_map(|it| it.subsets.keys());
            unknown_subset(&service, &subset, span, known, cx);
        }
        Broken::TooManyShares { span } => {
            let message = format!("the splitters that `{name}` leads to have thousands of shares");
            cx.diagnostics.push(
                Diagnostic::error("consul::shares", message).label(span, "too many from here on"),
            );
        }
        Broken::Circle { way, span } => {
            let way: Vec<&str> = way.iter().map(|name| &**name).collect();
            let message = format!("it leads back to itself: {}", way.join(" → "));
            cx.diagnostics
                .push(Diagnostic::error("consul::circle", message).label(span, "refused"));
        }
    }
}

/// Where the first entry of a service is written.
fn entry(name: &Name, policies: &Policies) -> Span {
    let router = policies.routers.get(name).map(|it| it.span);
    let splitter = policies.splitters.get(name).map(|it| it.span);
    let resolver = policies.resolvers.get(name).map(|it| it.span);
    router.or(splitter).or(resolver).unwrap_or(Span::NOWHERE)
}

fn defaults_of(name: &Name, policies: &Policies) -> Span {
    let found = policies.services.get(name);
    found.map_or(Span::NOWHERE, |policy| policy.span)
}

/// Whether anything is known by this name.
fn is_known(name: &Name, policies: &Policies) -> bool {
    policies.registry.get(name).is_some()
        || policies.resolvers.contains_key(name)
        || policies
            .services
            .get(name)
            .is_some_and(|policy| policy.is_outside)
}

fn references(policies: &Policies, cx: &mut Compile<'_>) {
    let mut asked: Vec<&Reference> = Vec::new();
    for router in policies.routers.values() {
        asked.extend(router.routes.iter().map(|route| &route.to));
    }
    for splitter in policies.splitters.values() {
        asked.extend(splitter.splits.iter().map(|split| &split.to));
    }
    for resolver in policies.resolvers.values() {
        let targets = resolver.failover.values().flatten();
        let targets = targets.chain(&resolver.redirect);
        let here = targets.filter(|target| !target.elsewhere);
        asked.extend(here.map(|target| &target.to));
    }
    for reference in asked {
        let Some(service) = &reference.service else {
            continue;
        };
        if !is_known(service, policies) {
            unknown(service, reference.span, policies, cx);
        }
    }
    let entries = policies
        .routers
        .iter()
        .map(|(name, router)| (name, router.span))
        .chain(policies.splitters.iter().map(|(name, it)| (name, it.span)));
    for (name, span) in entries {
        if !is_known(name, policies) {
            unknown(name, span, policies, cx);
        }
    }
    for (name, resolver) in &policies.resolvers {
        if policies.registry.get(name).is_none() && resolver.redirect.is_none() {
            unknown(name, resolver.span, policies, cx);
        }
    }
}

fn unknown(name: &Name, span: Span, policies: &Policies, cx: &mut Compile<'_>) {
    let help = instead_of(name, policies, cx);
    cx.diagnostics.push(
        Diagnostic::error(
            "consul::unknown-service",
            format!("the mesh has no service `{name}`"),
        )
        .label(span, "asked for here")
        .help(help),
    );
}

/// What may have been meant by a service that is not there.
fn instead_of(name: &Name, policies: &Policies, cx: &Compile<'_>) -> String {
    let mut services = cx.services.iter();
    if services.any(|service| service.name == *name) {
        return format!(
            "the Service `{name}` has no pods in the mesh: annotate them with `{}: \"true\"`",
            injection::INJECT
        );
    }
    did_you_mean(name, policies.registry.names())
        .unwrap_or_else(|| "a Service with pods in the mesh is a service of its name".to_owned())
}

/// ServiceDefaults of nobody, and what is said of calls to nobody.
fn without_bearing(policies: &Policies, cx: &mut Compile<'_>) {
    for (name, policy) in &policies.services {
        let named = policy.named.iter().map(|(name, span)| (name, *span));
        for (name, span) in named.chain([(name, policy.span)]) {
            if is_known(name, policies) {
                continue;
            }
            let help = instead_of(name, policies, cx);
            cx.diagnostics.push(
                Diagnostic::warning(
                    "consul::unknown-service",
                    format!("the mesh has no service `{name}`"),
                )
                .label(span, "has no effect")
                .help(help),
            );
        }
    }
}

/// Upstreams that pods name: those that are none, and what is taken for granted of the others.
fn upstreams(policies: &Policies, cx: &mut Compile<'_>) {
    let workloads = cx.workloads;
    for workload in workloads {
        let Some(text) = workload.annotations.get(annotations::UPSTREAMS) else {
            continue;
        };
        if injection::decide(workload, cx).is_none() {
            continue;
        }
        let span = injection::place(workload, annotations::UPSTREAMS, cx.objects);
        let read = annotations::upstreams(text, |name| registry::port_named(workload, name));
        for upstream in read {
            match upstream {
                Ok(upstream) => explicit(&upstream, workload, span, policies, cx),
                // reported where annotations are checked
                Err(Unread::Query) => {}
                Err(Unread::Wrong) => cx.diagnostics.push(
                    Diagnostic::error(
                        "consul::bad-annotation",
                        format!("`{text}` names no upstream and port"),
                    )
                    .label(span, "not a value of it")
                    .help("write `service:port` with commas between them"),
                ),
            }
        }
    }
}

fn explicit(
    upstream: &Explicit,
    workload: &Workload,
    span: Span,
    policies: &Policies,
    cx: &mut Compile<'_>,
) {
    if upstream.elsewhere.is_some() {
        return;
    }
    let name = Name::from(upstream.service.as_str());
    if policies.registry.get(&name).is_none() {
        unknown(&name, span, policies, cx);
        return;
    }
    let full = workload.full_name();
    cx.diagnostics.push(
        Diagnostic::assumed(
            "consul::upstream",
            format!("{full} calls `{name}` at 127.0.0.1:{}", upstream.port),
            "its pods name the upstream: what they send to the Service of that name is taken to be sent there, since a transparent proxy no longer knows the Service's address",
        )
        .label(span, ""),
    );
}

/// Says of each service that speaks bytes what that means; silence about protocols is what goes wrong most.
fn carried_as_bytes(policies: &Policies, defaults: Defaults, cx: &mut Compile<'_>) {
    for (name, registered) in policies.registry.all() {
        let protocol = chain::protocol_of(policies, name, defaults);
        if protocol.value != Protocol::Tcp {
            continue;
        }
        let own = policies.services.get(name);
        let shadowed = own.is_some_and(|own| own.own.protocol.is_none())
            && policies
                .proxy
                .protocol
                .is_some_and(|protocol| protocol.value.is_http());
        let span = cx.origins.span(protocol.origin);
        if shadowed {
            let message = format!(
                "ServiceDefaults of `{name}` say no protocol: its callers carry bytes, whatever ProxyDefaults say"
            );
            cx.diagnostics.push(
                Diagnostic::warning("consul::shadowed-protocol", message)
                    .label(span.unwrap_or(registered.span), "without `protocol`")
                    .help("write `protocol: http` here, too"),
            );
            continue;
        }
        let said = own.is_some_and(|own| own.own.protocol.is_some());
        if said {
            continue;
        }
        let message = format!("what is sent to `{name}` is carried as bytes");
        let meaning = "neither ServiceDefaults nor ProxyDefaults say that it speaks HTTP: no routes, no retries, no timeouts, no balancing of single requests";
        cx.diagnostics.push(
            Diagnostic::assumed("consul::bytes", message, meaning).label(registered.span, ""),
        );
    }
}
