//! Service profiles.

use proxy_core::origin::Sourced;
use proxy_core::retry::budget::RateBudget;
use proxy_core::time::Duration;

use super::annotations::Ports;
use super::conditions;
use super::duration::{Whole, parse};
use super::policy::{BackendPolicy, ProfilePolicy, ProfileRoutePolicy};
use super::routes::bounded;
use super::types::{Budget, Document, ProfileRoute, ServiceProfile, WeightedDst};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::dialects::Compile;
use crate::load::Object;
use crate::model::ServiceId;
use crate::text::{ScalarOr, Spanned, read};

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
    let opaque = opaque(&spec.opaque_ports, cx.diagnostics);
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
        opaque,
        origin,
    })
}

/// Ports and ranges of ports; one that is neither is an error.
fn opaque(written: &[Spanned<String>], out: &mut Diagnostics) -> Option<Ports> {
    let mut right: Vec<&str> = Vec::new();
    for ports in written {
        if Ports::parse(&ports.value).is_some() {
            right.push(&ports.value);
            continue;
        }
        let message = format!("`{ports}` is no port, and no range of ports");
        let problem = Diagnostic::error("linkerd::ports", message);
        out.push(
            problem
                .label(ports.span, "this value")
                .help("write ports and ranges such as `25` and `8000-8100`"),
        );
    }
    Ports::parse(&right.join(",")).filter(|_| !right.is_empty())
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
    let matches = conditions::requests(&route.condition, route.name.span, cx.diagnostics)?;
    let origin = cx.origins.written(route.name.span);
    Some(ProfileRoutePolicy {
        name: route.name.value.as_str().into(),
        matches,
        failures: conditions::failures(&route.response_classes, cx.diagnostics),
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
