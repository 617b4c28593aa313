//! Service profiles.

use proxy_core::config::{PathMatch, RouteMatch};
use proxy_core::origin::Sourced;
use proxy_core::retry::budget::RateBudget;
use proxy_core::time::Duration;

use super::annotations::Ports;
use super::duration::{Whole, parse};
use super::policy::{BackendPolicy, ProfilePolicy, ProfileRoutePolicy};
use super::routes::{bounded, compiled};
use super::types::{
    Budget, Document, ProfileMatch, ProfileRoute, ResponseClass, ServiceProfile, WeightedDst,
};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::dialects::Compile;
use crate::load::Object;
use crate::model::ServiceId;
use crate::text::{ScalarOr, Span, Spanned, read};

/// Reads a profile; its name is the host name of a Service.
///
/// Source: linkerd/linkerd2 `controller/api/destination/profile_translator.go`.
pub(super) fn read_profile(object: &Object, cx: &mut Compile<'_>) -> Option<ProfilePolicy> {
    let Document { spec, .. } = read::<Document<ServiceProfile>>(&object.node, cx.diagnostics)?;
    let name = Spanned::new(object.key.name.clone(), object.name_span);
    let (service, _) = authority(&name, cx)?;
    let routes = spec
        .routes
        .iter()
        .filter_map(|route| profile_route(route, cx))
        .collect();
    let opaque: Vec<&str> = spec
        .opaque_ports
        .iter()
        .map(|ports| ports.value.as_str())
        .collect();
    let origin = cx.origins.written(object.name_span);
    Some(ProfilePolicy {
        namespace: object.key.namespace.as_str().into(),
        service,
        routes,
        budget: budget(spec.retry_budget.as_ref(), cx)
            .unwrap_or_else(|| Sourced::new(RateBudget::linkerd(), origin)),
        overrides: spec
            .dst_overrides
            .iter()
            .filter_map(|dst| weighted(dst, cx))
            .collect(),
        opaque: Ports::parse(&opaque.join(",")).filter(|_| !opaque.is_empty()),
        origin,
    })
}

/// The Service and port of `name.namespace.svc.cluster.local:port`; one that is not there is an error.
fn authority(text: &Spanned<String>, cx: &mut Compile<'_>) -> Option<(ServiceId, u16)> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "0"));
    let host = host.trim_end_matches('.');
    let found = cx.services.iter().find(|service| service.host() == host);
    let port: Option<u16> = port.parse().ok();
    let (Some(service), Some(port)) = (found, port) else {
        let names: Vec<String> = cx.services.iter().map(|service| service.host()).collect();
        cx.diagnostics.push(
            Diagnostic::error(
                "linkerd::unknown-service",
                format!("no Service is called `{text}`"),
            )
            .label(text.span, "asked for here")
            .maybe_help(did_you_mean(host, names.iter().map(String::as_str))),
        );
        return None;
    };
    Some((service.id, port))
}

fn profile_route(route: &ProfileRoute, cx: &mut Compile<'_>) -> Option<ProfileRoutePolicy> {
    let matches = conditions(&route.condition, route.name.span, cx.diagnostics)?;
    let origin = cx.origins.written(route.name.span);
    Some(ProfileRoutePolicy {
        name: route.name.value.as_str().into(),
        matches,
        failures: failures(&route.response_classes, cx.diagnostics),
        retryable: match route.is_retryable {
            Some(flag) => cx.origins.sourced(flag),
            None => Sourced::new(false, origin),
        },
        timeout: route
            .timeout
            .as_ref()
            .and_then(|timeout| bounded(timeout, cx)),
        origin,
    })
}

/// A condition as routes, any of which may hold; none, with a report, when it is of a kind that is not modelled.
fn conditions(
    condition: &ProfileMatch,
    at: Span,
    out: &mut Diagnostics,
) -> Option<Vec<RouteMatch>> {
    let nested = condition
        .all
        .iter()
        .chain(&condition.any)
        .any(|inner| !inner.all.is_empty() || !inner.any.is_empty());
    if condition.not.is_some()
        || nested
        || condition
            .all
            .iter()
            .chain(&condition.any)
            .any(|inner| inner.not.is_some())
    {
        let meaning = "the route is left out: its requests are neither tried again nor timed out";
        let span = condition.not.map_or(at, |not| not.span);
        out.push(
            Diagnostic::not_modelled(
                "linkerd::not-modelled",
                "a condition with `not`, or within another, is not modelled",
                meaning,
            )
            .label(span, ""),
        );
        return None;
    }
    if !condition.any.is_empty() {
        let each = condition.any.iter().map(|inner| simple(&[inner], out));
        return each.collect();
    }
    let mut parts: Vec<&ProfileMatch> = condition.all.iter().collect();
    parts.push(condition);
    Some(vec![simple(&parts, out)?])
}

fn simple(parts: &[&ProfileMatch], out: &mut Diagnostics) -> Option<RouteMatch> {
    let mut matches = RouteMatch::all();
    for part in parts {
        if let Some(pattern) = &part.path_regex {
            matches.path = compiled(PathMatch::regex(pattern), pattern.span, out)?;
        }
        if let Some(method) = &part.method {
            matches.methods = vec![method.value.as_str().into()];
        }
    }
    Some(matches)
}

/// Statuses that count as failures: the first class that takes a status decides, 5xx where none does.
fn failures(classes: &[ResponseClass], out: &mut Diagnostics) -> Vec<u16> {
    for class in classes {
        for part in [
            class.condition.all,
            class.condition.any,
            class.condition.not,
        ]
        .into_iter()
        .flatten()
        {
            let meaning = "the class takes no answer";
            out.push(
                Diagnostic::not_modelled(
                    "linkerd::not-modelled",
                    "a class of answers by `all`, `any` or `not`",
                    meaning,
                )
                .label(part.span, ""),
            );
        }
    }
    let is_failure = |status: u16| {
        let class = classes.iter().find(|class| {
            class.condition.status.as_ref().is_some_and(|range| {
                let min = range.min.as_ref().map_or(100, |min| min.value);
                // one bound alone stands for both
                let max = range.max.as_ref().map_or_else(
                    || range.min.as_ref().map_or(599, |min| min.value),
                    |max| max.value,
                );
                (min..=max).contains(&status)
            })
        });
        class.map_or(status >= 500, |class| {
            class.is_failure.as_ref().is_some_and(|flag| flag.value)
        })
    };
    (100..600).filter(|status| is_failure(*status)).collect()
}

fn budget(budget: Option<&Spanned<Budget>>, cx: &mut Compile<'_>) -> Option<Sourced<RateBudget>> {
    let budget = budget?;
    let ttl = parse(&budget.ttl, Whole::Parts).unwrap_or(Duration::ZERO);
    match RateBudget::new(
        budget.retry_ratio.value,
        budget.min_retries_per_second.value,
        ttl,
    ) {
        Ok(made) => Some(Sourced::new(made, cx.origins.written(budget.span))),
        Err(error) => {
            cx.diagnostics.push(
                Diagnostic::error("linkerd::budget", error.to_string())
                    .label(budget.span, "this budget")
                    .label(budget.ttl.span, "its ttl"),
            );
            None
        }
    }
}

fn weighted(dst: &WeightedDst, cx: &mut Compile<'_>) -> Option<BackendPolicy> {
    let target = authority(&dst.authority, cx)?;
    let weight = match &dst.weight {
        ScalarOr::Scalar(text) => match text.strip_suffix('m') {
            Some(thousandths) => thousandths.parse().ok(),
            None => text
                .parse::<u32>()
                .ok()
                .and_then(|whole| whole.checked_mul(1_000)),
        },
        ScalarOr::Full(_) => None,
    };
    let Some(weight) = weight else {
        cx.diagnostics.push(
            Diagnostic::error(
                "linkerd::weight",
                "a weight is a whole number, or one of thousandths such as `500m`",
            )
            .label(dst.authority.span, "of this destination"),
        );
        return None;
    };
    let origin = cx.origins.written(dst.authority.span);
    Some(BackendPolicy {
        target: Some(target),
        weight,
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        origin,
    })
}
