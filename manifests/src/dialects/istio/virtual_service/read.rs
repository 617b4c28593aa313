//! Objects to policies.

use proxy_core::config::Name;

use super::super::export::Export;
use super::connections::{tcp_rule, tls_rule};
use super::matching::takes_all;
use super::names::{MESH, complete, complete_gateway};
use super::policy::{Audience, Rule, VirtualServicePolicy};
use super::rules::rule;
use super::types::{Destination, Document, HttpRoute, VirtualService};
use super::{GROUP, KIND, delegates};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::lints;
use crate::load::Object;
use crate::text::{Span, Spanned, read};

/// A VirtualService as it is written, its destinations with complete names.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// Its namespace.
    pub(super) namespace: Name,
    /// Its name.
    pub(super) name: Name,
    /// What it asks for.
    pub(super) spec: VirtualService,
    /// Where it is named.
    pub(super) span: Span,
}

/// Every VirtualService that reads well, the one that counts as oldest first.
///
/// Manifests tell no time of creation; of equally old ones Istio takes them by name, and then by namespace. Source: istio
/// `pilot/pkg/model/config.go` (`sortConfigByCreationTime`).
pub(super) fn written(cx: &mut Compile<'_>) -> Vec<Written> {
    let objects = cx.objects;
    let mut found: Vec<Written> = objects
        .of(GROUP, KIND)
        .filter_map(|object| parsed(object, cx))
        .collect();
    found.sort_by(|a, b| (&a.name, &a.namespace).cmp(&(&b.name, &b.namespace)));
    found
}

fn parsed(object: &Object, cx: &mut Compile<'_>) -> Option<Written> {
    let mut spec = read::<Document<VirtualService>>(&object.node, cx.diagnostics)?.spec;
    complete_destinations(&mut spec, &object.key.namespace);
    Some(Written {
        namespace: object.key.namespace.as_str().into(),
        name: object.key.name.as_str().into(),
        spec,
        span: object.name_span,
    })
}

fn complete_destinations(spec: &mut VirtualService, namespace: &str) {
    let complete = |to: &mut Destination| to.host.value = complete(&to.host.value, namespace);
    for http in &mut spec.http {
        let HttpRoute {
            route,
            mirror,
            mirrors,
            delegate,
            ..
        } = &mut http.value;
        route
            .iter_mut()
            .for_each(|to| complete(&mut to.destination));
        mirror.iter_mut().for_each(complete);
        let mirrors = mirrors.iter_mut();
        mirrors
            .filter_map(|to| to.destination.as_mut())
            .for_each(complete);
        if let Some(delegate) = delegate
            && delegate.namespace.as_ref().is_none_or(|n| n.is_empty())
        {
            let span = delegate.name.span;
            delegate.value.namespace = Some(Spanned::new(namespace.to_owned(), span));
        }
    }
    let tls = spec.tls.iter_mut().flat_map(|tls| &mut tls.value.route);
    tls.for_each(|to| complete(&mut to.destination));
    let tcp = spec.tcp.iter_mut().flat_map(|tcp| &mut tcp.value.route);
    tcp.for_each(|to| complete(&mut to.destination));
}

/// The policies of all VirtualServices with hosts, in their order.
pub(super) fn policies(all: &[Written], cx: &mut Compile<'_>) -> Vec<VirtualServicePolicy> {
    delegates::report(all, cx);
    let with_hosts = all.iter().filter(|one| !one.spec.hosts.is_empty());
    with_hosts.map(|one| policy(one, all, cx)).collect()
}

fn policy(one: &Written, all: &[Written], cx: &mut Compile<'_>) -> VirtualServicePolicy {
    let Written {
        namespace, spec, ..
    } = one;
    let rules = delegates::merged(one, all, cx);
    let mut http = Vec::new();
    for (written, home) in &rules {
        http.extend(rule(written, home, cx));
    }
    report_unreachable(&http, cx);
    let tls = spec.tls.iter();
    let tls = tls.filter_map(|written| tls_rule(written, namespace, cx));
    let tls = tls.collect();
    let tcp = spec.tcp.iter();
    let tcp = tcp.filter_map(|written| tcp_rule(written, namespace, cx));
    let tcp = tcp.collect();
    if spec.http.is_empty() && spec.tls.is_empty() && spec.tcp.is_empty() {
        let message = "a VirtualService needs one of `http`, `tls` and `tcp`";
        cx.diagnostics
            .push(Diagnostic::error("istio::action", message).label(one.span, "has none"));
    }
    VirtualServicePolicy {
        namespace: namespace.clone(),
        name: one.name.clone(),
        hosts: hosts(spec, namespace),
        gateways: gateways(spec, namespace),
        exported: Export::of(&spec.export_to),
        http,
        tls,
        tcp,
        origin: cx.origins.written(one.span),
    }
}

/// Reports the first rule after one that takes every request.
fn report_unreachable(http: &[Rule], cx: &mut Compile<'_>) {
    let takes_all = |rule: &Rule| {
        let mut conditions = rule.conditions.iter();
        rule.conditions.is_empty()
            || conditions.any(|one| {
                one.scheme.is_none()
                    && one.audience == Audience::default()
                    && takes_all(&one.matches)
            })
    };
    let Some(last) = http.iter().position(takes_all) else {
        return;
    };
    let Some(next) = http.get(last + 1) else {
        return;
    };
    let at = |origin, cx: &Compile<'_>| cx.origins.span(origin).unwrap_or(Span::NOWHERE);
    let (next, last) = (at(next.origin, cx), at(http[last].origin, cx));
    if next == last {
        return;
    }
    let found = lints::unreachable::unreachable(next, last, true);
    cx.diagnostics.push(found);
}

fn hosts(spec: &VirtualService, namespace: &str) -> Vec<String> {
    let hosts = spec.hosts.iter();
    hosts
        .map(|host| complete(&host.to_ascii_lowercase(), namespace))
        .collect()
}

fn gateways(spec: &VirtualService, namespace: &str) -> Vec<String> {
    if spec.gateways.is_empty() {
        return vec![MESH.to_owned()];
    }
    let gateways = spec.gateways.iter();
    gateways
        .map(|gateway| complete_gateway(gateway, namespace))
        .collect()
}
