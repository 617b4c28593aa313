//! HTTPRoutes whose parent is a Service.

use proxy_core::config::{
    Absent, HeaderEdits, HeaderMatch, ParamMatch, PathMatch, PathRedirect, Redirect, TextMatch,
};
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::annotations;
use super::duration::{Whole, parse};
use super::policy::{BackendPolicy, Condition, Policies, RoutePolicy, RulePolicy};
use super::read::{entries, request_policy};
use super::types::{
    BackendRef, Document, Filter, HttpRoute, Match, NamedCondition, PathType, RequestRedirect,
    Rule, ValueType,
};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::dialects::Compile;
use crate::load::Object;
use crate::model::Service;
use crate::text::{Span, Spanned, read};

/// Whether one of a route's parents is a Service.
pub(super) fn has_service_parent(object: &Object) -> bool {
    let parents = object
        .node
        .at("spec.parentRefs")
        .and_then(|node| node.as_seq())
        .unwrap_or_default();
    parents
        .iter()
        .any(|parent| parent.get("kind").and_then(|kind| kind.as_str()) == Some("Service"))
}

/// Reads a route, once for each Service that is its parent.
pub(super) fn read_route(object: &Object, policies: &mut Policies, cx: &mut Compile<'_>) {
    if !has_service_parent(object) {
        if object.key.group == "policy.linkerd.io" {
            let meaning =
                "requests are taken whatever their path: authorization by route is not modelled";
            cx.diagnostics.push(
                Diagnostic::not_modelled(
                    "linkerd::not-modelled",
                    format!("{} is not modelled", object.key),
                    meaning,
                )
                .label(object.name_span, "its parent is no Service"),
            );
        }
        return;
    }
    let Some(Document { spec, .. }) = read::<Document<HttpRoute>>(&object.node, cx.diagnostics)
    else {
        return;
    };
    let notes = annotations::read(entries(object), cx.diagnostics);
    let requests = request_policy(&notes, cx);
    let rules: Vec<RulePolicy> = spec
        .rules
        .iter()
        .filter_map(|rule| rule_policy(rule, object, cx))
        .collect();
    for parent in &spec.parent_refs {
        let is_service = parent
            .kind
            .as_ref()
            .is_some_and(|kind| kind.value == "Service");
        let is_core = parent
            .group
            .as_ref()
            .is_none_or(|group| matches!(group.value.as_str(), "" | "core"));
        if !(is_service && is_core) {
            continue;
        }
        let namespace = parent
            .namespace
            .as_ref()
            .map_or(object.key.namespace.as_str(), |namespace| {
                namespace.value.as_str()
            });
        let Some(service) = find_service(namespace, &parent.name, cx) else {
            continue;
        };
        if let Some(port) = parent
            .port
            .as_ref()
            .filter(|port| service.port(port.value).is_none())
        {
            unknown_port(service, port.value, port.span, cx.diagnostics);
        }
        policies.routes.push(RoutePolicy {
            namespace: object.key.namespace.as_str().into(),
            name: object.key.name.as_str().into(),
            parent: service.id,
            port: parent.port.as_ref().map(|port| port.value),
            hosts: spec
                .hostnames
                .iter()
                .map(|host| host.to_ascii_lowercase())
                .collect(),
            rules: rules.clone(),
            requests: requests.clone(),
        });
    }
}

/// A Service by name; one that is not there is an error.
pub(super) fn find_service<'c>(
    namespace: &str,
    name: &Spanned<String>,
    cx: &mut Compile<'c>,
) -> Option<&'c Service> {
    let services = cx.services;
    let found = services
        .iter()
        .find(|service| *service.namespace == *namespace && *service.name == *name.value);
    if found.is_none() {
        let names = services
            .iter()
            .filter(|service| *service.namespace == *namespace)
            .map(|service| &*service.name);
        let message = format!("no Service `{name}` in namespace `{namespace}`");
        cx.diagnostics.push(
            Diagnostic::error("linkerd::unknown-service", message)
                .label(name.span, "asked for here")
                .maybe_help(did_you_mean(name, names)),
        );
    }
    found
}

fn unknown_port(service: &Service, port: u16, span: Span, out: &mut Diagnostics) {
    let ports: Vec<String> = service
        .ports
        .iter()
        .map(|port| format!("`{}`", port.number))
        .collect();
    out.push(
        Diagnostic::error(
            "linkerd::unknown-port",
            format!("Service `{}` has no port {port}", service.name),
        )
        .label(span, "this port")
        .label(service.span, "the Service")
        .help(format!("it has {}", ports.join(", "))),
    );
}

fn rule_policy(rule: &Rule, object: &Object, cx: &mut Compile<'_>) -> Option<RulePolicy> {
    for field in [rule.retry, rule.session_persistence].into_iter().flatten() {
        let meaning = "Linkerd reads retries from annotations, and holds no client to one pod";
        cx.diagnostics.push(
            Diagnostic::warning("linkerd::ignored", "Linkerd does not read this field")
                .label(field.span, "has no effect")
                .help(meaning),
        );
    }
    let mut matches: Vec<Condition> = rule
        .matches
        .iter()
        .filter_map(|one| condition(one, cx.diagnostics))
        .collect();
    if rule.matches.is_empty() {
        matches.push(Condition::all());
    }
    let timeout = rule.timeouts.as_ref().and_then(|timeouts| {
        // of the two, the policy controller passes on the first alone
        if let Some(backend) = &timeouts.backend_request {
            cx.diagnostics.push(
                Diagnostic::warning(
                    "linkerd::ignored",
                    "Linkerd does not bound single tries by `backendRequest`",
                )
                .label(backend.span, "has no effect")
                .help("annotate the route with `retry.linkerd.io/timeout`"),
            );
        }
        bounded(timeouts.request.as_ref()?, cx)
    });
    let edits = filters(&rule.filters, cx.diagnostics)?;
    let backends = rule
        .backend_refs
        .iter()
        .filter_map(|backend| backend_policy(backend, object, cx))
        .collect();
    let at = rule
        .name
        .as_ref()
        .map_or(object.name_span, |name| name.span);
    Some(RulePolicy {
        matches,
        request_edits: edits.request,
        response_edits: edits.response,
        redirect: edits.redirect,
        backends,
        timeout,
        origin: cx.origins.written(at),
    })
}

/// A timeout of a specification; zero is none.
pub(super) fn bounded(text: &Spanned<String>, cx: &mut Compile<'_>) -> Option<Sourced<Duration>> {
    let Some(duration) = parse(text, Whole::Parts) else {
        cx.diagnostics.push(
            Diagnostic::error(
                "linkerd::duration",
                format!("`{text}` is no length of time"),
            )
            .label(text.span, "this value")
            .help("write a number and a unit, such as `500ms` or `1m30s`"),
        );
        return None;
    };
    (!duration.is_zero()).then(|| Sourced::new(duration, cx.origins.written(text.span)))
}

fn condition(one: &Match, out: &mut Diagnostics) -> Option<Condition> {
    let path = match &one.path {
        None => PathMatch::Prefix("/".into()),
        Some(path) => {
            let text = path
                .value
                .as_ref()
                .map_or("/", |value| value.value.as_str());
            match path
                .r#type
                .as_ref()
                .map_or(PathType::PathPrefix, |kind| kind.value)
            {
                PathType::Exact => PathMatch::Exact(text.into()),
                PathType::PathPrefix => PathMatch::segments(text),
                PathType::RegularExpression => {
                    let span = path
                        .value
                        .as_ref()
                        .map_or(Span::NOWHERE, |value| value.span);
                    compiled(PathMatch::regex(text), span, out)?
                }
            }
        }
    };
    let headers = one.headers.iter().map(|header| {
        let (name, value) = named(header, out)?;
        Some(HeaderMatch {
            name: name.to_ascii_lowercase().into(),
            value,
            invert: false,
            ignore_case: false,
            absent: Absent::Unequal,
        })
    });
    let headers = headers.collect::<Option<_>>()?;
    let params = one.query_params.iter().map(|param| {
        let (name, value) = named(param, out)?;
        Some(ParamMatch {
            name: name.into(),
            value,
            invert: false,
        })
    });
    Some(Condition {
        path,
        method: one.method.as_ref().map(|method| method.value.clone()),
        headers,
        params: params.collect::<Option<_>>()?,
    })
}

fn named<'a>(condition: &'a NamedCondition, out: &mut Diagnostics) -> Option<(&'a str, TextMatch)> {
    let text = condition.value.value.as_str();
    let value = match condition
        .r#type
        .as_ref()
        .map_or(ValueType::Exact, |kind| kind.value)
    {
        ValueType::Exact => TextMatch::Exact(text.into()),
        ValueType::RegularExpression => {
            compiled(TextMatch::regex(text), condition.value.span, out)?
        }
    };
    Some((&condition.name, value))
}

pub(super) fn compiled<T>(
    pattern: Result<T, regex::Error>,
    span: Span,
    out: &mut Diagnostics,
) -> Option<T> {
    match pattern {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            out.push(
                Diagnostic::error("linkerd::bad-regex", error.to_string())
                    .label(span, "this pattern"),
            );
            None
        }
    }
}

#[derive(Default)]
struct Edits {
    request: HeaderEdits,
    response: HeaderEdits,
    redirect: Option<Redirect>,
}

/// What filters do; one that Linkerd refuses makes it drop the whole route, which is an error here.
fn filters(filters: &[Filter], out: &mut Diagnostics) -> Option<Edits> {
    let mut edits = Edits::default();
    for filter in filters {
        match (
            filter.r#type.value.as_str(),
            &filter.request_header_modifier,
            &filter.response_header_modifier,
            &filter.request_redirect,
        ) {
            ("RequestHeaderModifier", Some(modifier), None, None) => {
                edits.request.extend(modifier.edits())
            }
            ("ResponseHeaderModifier", None, Some(modifier), None) => {
                edits.response.extend(modifier.edits())
            }
            ("RequestRedirect", None, None, Some(to)) => edits.redirect = Some(redirect(to)),
            (kind, ..) => {
                out.push(
                    Diagnostic::error("linkerd::filter", format!("Linkerd does not take the filter `{kind}` as it is written"))
                        .label(filter.r#type.span, "this filter")
                        .help("it takes RequestHeaderModifier, ResponseHeaderModifier and RequestRedirect, each with its own settings"),
                );
                return None;
            }
        }
    }
    Some(edits)
}

fn redirect(to: &RequestRedirect) -> Redirect {
    let path = to.path.as_ref().and_then(|path| {
        let full = path
            .replace_full_path
            .as_ref()
            .map(|to| PathRedirect::Full(to.value.as_str().into()));
        full.or_else(|| {
            Some(PathRedirect::JoinedPrefix(
                path.replace_prefix_match.as_ref()?.value.as_str().into(),
            ))
        })
    });
    let text =
        |value: &Option<Spanned<String>>| value.as_ref().map(|value| value.value.as_str().into());
    Redirect {
        status: to.status_code.as_ref().map_or(302, |status| status.value),
        scheme: text(&to.scheme),
        host: text(&to.hostname),
        port: to.port.as_ref().map(|port| port.value),
        path,
        strip_query: false,
        omits_own_port: false,
    }
}

/// Where a share goes. A Service that is not there is an error here; in a cluster its share would be answered 500.
fn backend_policy(
    backend: &BackendRef,
    object: &Object,
    cx: &mut Compile<'_>,
) -> Option<BackendPolicy> {
    let origin = cx.origins.written(backend.name.span);
    let edits = filters(&backend.filters, cx.diagnostics)?;
    let is_service = backend
        .kind
        .as_ref()
        .is_none_or(|kind| kind.value == "Service")
        && backend
            .group
            .as_ref()
            .is_none_or(|group| matches!(group.value.as_str(), "" | "core"));
    let mut target = None;
    if is_service {
        let namespace = backend
            .namespace
            .as_ref()
            .map_or(object.key.namespace.as_str(), |namespace| {
                namespace.value.as_str()
            });
        if let Some(service) = find_service(namespace, &backend.name, cx) {
            match &backend.port {
                Some(port) if service.port(port.value).is_some() => {
                    target = Some((service.id, port.value))
                }
                Some(port) => unknown_port(service, port.value, port.span, cx.diagnostics),
                None => cx.diagnostics.push(
                    Diagnostic::error("linkerd::no-port", "a Service as backend needs a port")
                        .label(backend.name.span, "without one"),
                ),
            }
        }
    } else {
        let meaning = "its share of requests is answered 500, as Linkerd does for kinds that it does not know";
        cx.diagnostics.push(
            Diagnostic::not_modelled(
                "linkerd::not-modelled",
                "a backend that is no Service",
                meaning,
            )
            .label(backend.name.span, ""),
        );
    }
    Some(BackendPolicy {
        target,
        weight: backend.weight.as_ref().map_or(1, |weight| weight.value),
        request_edits: edits.request,
        response_edits: edits.response,
        origin,
    })
}
