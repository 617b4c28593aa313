//! Rules that go on in another VirtualService.
//!
//! Source: istio `pilot/pkg/model/virtualservice.go` (`mergeVirtualServicesIfNeeded`, `mergeHTTPMatchRequests`).

use std::collections::BTreeMap;

use proxy_core::config::Name;

use super::super::export::Export;
use super::read::Written;
use super::types::{Delegate, HttpMatch, HttpRoute, StringMatch};
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::text::Spanned;

type Values = BTreeMap<Spanned<String>, Option<StringMatch>>;

/// The rules of a VirtualService, those of its delegates in place of the rules that name them; each with the namespace it is of.
pub(super) fn merged(
    one: &Written,
    all: &[Written],
    cx: &mut Compile<'_>,
) -> Vec<(Spanned<HttpRoute>, Name)> {
    let mut rules = Vec::new();
    for root in &one.spec.http {
        let Some(delegate) = &root.delegate else {
            rules.push((root.clone(), one.namespace.clone()));
            continue;
        };
        let Some(to) = find(delegate, one, all, cx) else {
            continue;
        };
        for rule in &to.spec.http {
            match merge(root, rule) {
                Some(merged) => rules.push((Spanned::new(merged, rule.span), to.namespace.clone())),
                None => conflict(root, rule, cx),
            }
        }
    }
    rules
}

/// Reports delegates that delegate, that are bound to something, or that nobody delegates to.
pub(super) fn report(all: &[Written], cx: &mut Compile<'_>) {
    for one in all.iter().filter(|one| one.spec.hosts.is_empty()) {
        let is_asked_for = all.iter().any(|root| asks_for(root, one));
        if !is_asked_for {
            let message = "a VirtualService without `hosts` that no other delegates to";
            cx.diagnostics.push(
                Diagnostic::warning("istio::delegate", message)
                    .label(one.span, "has no effect")
                    .help("give it `hosts`, or name it under `delegate` of one that has"),
            );
        }
        for rule in &one.spec.http {
            if let Some(delegate) = &rule.delegate {
                let message = "a delegate cannot delegate: it has no `hosts`";
                cx.diagnostics.push(
                    Diagnostic::error("istio::delegate", message)
                        .label(delegate.span, "this one has no effect"),
                );
            }
        }
        if let Some(gateway) = one.spec.gateways.first() {
            let message = "a delegate is bound to no gateway: it has no `hosts`";
            cx.diagnostics.push(
                Diagnostic::error("istio::delegate", message)
                    .label(gateway.span, "not allowed here"),
            );
        }
    }
}

fn asks_for(root: &Written, delegate: &Written) -> bool {
    let mut asked = root
        .spec
        .http
        .iter()
        .filter_map(|rule| rule.delegate.as_ref());
    asked.any(|asked| {
        let namespace = asked.namespace.as_ref().map_or("", |n| n.as_str());
        *delegate.namespace == *namespace && *delegate.name == *asked.name.value
    })
}

fn find<'a>(
    delegate: &Spanned<Delegate>,
    root: &Written,
    all: &'a [Written],
    cx: &mut Compile<'_>,
) -> Option<&'a Written> {
    let namespace = delegate.namespace.as_ref().map_or("", |n| n.as_str());
    let mut delegates = all.iter().filter(|one| one.spec.hosts.is_empty());
    let found =
        delegates.find(|one| *one.namespace == *namespace && *one.name == *delegate.name.value);
    let Some(found) = found else {
        let names = all.iter().filter(|one| one.spec.hosts.is_empty());
        let names = names.filter(|one| *one.namespace == *namespace);
        let message = format!(
            "no VirtualService `{}` without hosts in namespace `{namespace}`",
            delegate.name
        );
        cx.diagnostics.push(
            Diagnostic::error("istio::unknown-delegate", message)
                .label(delegate.name.span, "asked for here: the rule is left out")
                .maybe_help(did_you_mean(&delegate.name, names.map(|one| &*one.name))),
        );
        return None;
    };
    if !Export::of(&found.spec.export_to).shows(&found.namespace, &root.namespace) {
        let message = format!(
            "VirtualService `{namespace}/{}` is not exported to namespace `{}`",
            delegate.name, root.namespace
        );
        cx.diagnostics.push(
            Diagnostic::error("istio::unknown-delegate", message)
                .label(delegate.name.span, "the rule is left out")
                .label(found.span, "defined here"),
        );
        return None;
    }
    Some(found)
}

fn conflict(root: &Spanned<HttpRoute>, rule: &Spanned<HttpRoute>, cx: &mut Compile<'_>) {
    let message = "the delegate's rule takes requests that never reach it: it is left out";
    cx.diagnostics.push(
        Diagnostic::warning("istio::delegate", message)
            .label(rule.span, "this rule")
            .label(root.span, "takes other requests"),
    );
}

/// The delegate's rule with what only the root says; none: no request can match both.
fn merge(root: &HttpRoute, delegate: &HttpRoute) -> Option<HttpRoute> {
    let name = match (&root.name, &delegate.name) {
        (Some(root), Some(name)) => Some(name.as_ref().map(|name| format!("{root}-{name}"))),
        (root, name) => name.clone().or_else(|| root.clone()),
    };
    let inherit_mirror = delegate.mirror.is_none();
    Some(HttpRoute {
        name,
        r#match: matches(&root.r#match, &delegate.r#match)?,
        rewrite: delegate.rewrite.clone().or_else(|| root.rewrite.clone()),
        timeout: delegate.timeout.clone().or_else(|| root.timeout.clone()),
        retries: delegate.retries.clone().or_else(|| root.retries.clone()),
        fault: delegate.fault.clone().or_else(|| root.fault.clone()),
        mirror: if inherit_mirror {
            root.mirror.clone()
        } else {
            delegate.mirror.clone()
        },
        mirrors: if delegate.mirrors.is_empty() {
            root.mirrors.clone()
        } else {
            delegate.mirrors.clone()
        },
        mirror_percent: delegate.mirror_percent.or(root.mirror_percent),
        mirror_percentage: delegate
            .mirror_percentage
            .clone()
            .or_else(|| root.mirror_percentage.clone()),
        cors_policy: delegate
            .cors_policy
            .clone()
            .or_else(|| root.cors_policy.clone()),
        headers: delegate.headers.clone().or_else(|| root.headers.clone()),
        ..delegate.clone()
    })
}

/// Every pair that does not contradict; a condition of the delegate without any partner makes all void.
fn matches(root: &[HttpMatch], delegate: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    if root.is_empty() || delegate.is_empty() {
        let only = if root.is_empty() { delegate } else { root };
        return Some(only.to_vec());
    }
    let mut found = Vec::new();
    for inner in delegate {
        let partners = root.iter().filter(|outer| !contradict(outer, inner));
        let before = found.len();
        found.extend(partners.map(|outer| joined(outer, inner)));
        if found.len() == before {
            return None;
        }
    }
    Some(found)
}

fn joined(root: &HttpMatch, delegate: &HttpMatch) -> HttpMatch {
    let both = |root: &Values, delegate: &Values| {
        let mut all = root.clone();
        all.extend(delegate.clone());
        all
    };
    let name = match (&root.name, &delegate.name) {
        (Some(root), Some(name)) => Some(name.as_ref().map(|name| format!("{root}-{name}"))),
        (root, name) => name.clone().or_else(|| root.clone()),
    };
    HttpMatch {
        name,
        uri: delegate.uri.clone().or_else(|| root.uri.clone()),
        scheme: delegate.scheme.clone().or_else(|| root.scheme.clone()),
        method: delegate.method.clone().or_else(|| root.method.clone()),
        authority: delegate
            .authority
            .clone()
            .or_else(|| root.authority.clone()),
        headers: both(&root.headers, &delegate.headers),
        without_headers: both(&root.without_headers, &delegate.without_headers),
        query_params: both(&root.query_params, &delegate.query_params),
        port: delegate.port.or(root.port),
        ..delegate.clone()
    }
}

fn contradict(root: &HttpMatch, leaf: &HttpMatch) -> bool {
    let texts = [
        (&root.uri, &leaf.uri),
        (&root.scheme, &leaf.scheme),
        (&root.method, &leaf.method),
        (&root.authority, &leaf.authority),
    ];
    let of = |text: &Option<Spanned<StringMatch>>| text.as_ref().map(|text| text.value.clone());
    let in_texts = texts
        .into_iter()
        .any(|(root, leaf)| outside(of(root).as_ref(), of(leaf).as_ref()));
    let in_values = |root: &Values, leaf: &Values| {
        leaf.iter().any(|(key, leaf)| {
            let root = root.get(key).and_then(Option::as_ref);
            outside(root, leaf.as_ref())
        })
    };
    let folds = |one: &HttpMatch| one.ignore_uri_case.is_some_and(|ignore| ignore.value);
    let in_ports = match (root.port, leaf.port) {
        (Some(root), Some(leaf)) => root.value != leaf.value,
        _ => false,
    };
    in_texts
        || in_values(&root.headers, &leaf.headers)
        || in_values(&root.headers, &leaf.without_headers)
        || in_values(&root.query_params, &leaf.query_params)
        || folds(root) != folds(leaf)
        || in_ports
}

/// Whether `leaf` takes texts that `root` does not; of regular expressions nobody can tell, so they contradict everything.
fn outside(root: Option<&StringMatch>, leaf: Option<&StringMatch>) -> bool {
    let (Some(root), Some(leaf)) = (root, leaf) else {
        return false;
    };
    let text = |text: &Option<Spanned<String>>| {
        let text = text.as_ref().map(|text| text.value.clone());
        text.filter(|text| !text.is_empty())
    };
    if text(&root.regex).is_some() || text(&leaf.regex).is_some() {
        return true;
    }
    if let Some(exact) = text(&root.exact) {
        return text(&leaf.prefix).is_some() || text(&leaf.exact) != Some(exact);
    }
    if let Some(prefix) = text(&root.prefix) {
        let inner = text(&leaf.prefix).or_else(|| text(&leaf.exact));
        return inner.is_none_or(|inner| !inner.starts_with(&prefix));
    }
    true
}
