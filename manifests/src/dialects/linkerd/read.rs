//! Objects to policies.

use proxy_core::origin::{OriginId, Sourced};

use super::annotations::{self, Notes, Ports};
use super::inbound::DefaultPolicy;
use super::policy::{Policies, RequestPolicy, ServicePolicy, TimeoutPolicy};
use super::{profiles, routes};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::dialects::Compile;
use crate::load::Object;
use crate::model::Service;
use crate::text::{Entry, Span, Spanned};

/// Kinds that are known and not modelled, with what that means.
const NOT_MODELLED: &[(&str, &str, &str)] = &[
    (
        "policy.linkerd.io",
        "Server",
        "its port takes whom the default inbound policy takes: a Server without a policy that allows them would refuse all",
    ),
    (
        "policy.linkerd.io",
        "ServerAuthorization",
        "it allows nobody and refuses nobody",
    ),
    (
        "policy.linkerd.io",
        "AuthorizationPolicy",
        "it allows nobody and refuses nobody: requests that it would refuse with 403 are served",
    ),
    (
        "policy.linkerd.io",
        "MeshTLSAuthentication",
        "policies that name it allow nobody and refuse nobody",
    ),
    (
        "policy.linkerd.io",
        "NetworkAuthentication",
        "policies that name it allow nobody and refuse nobody",
    ),
    (
        "policy.linkerd.io",
        "HTTPLocalRateLimitPolicy",
        "no request is refused with 429",
    ),
    (
        "policy.linkerd.io",
        "EgressNetwork",
        "traffic to addresses outside is carried as it comes",
    ),
    (
        "policy.linkerd.io",
        "TCPRoute",
        "connections go to the Service that they were meant for",
    ),
    (
        "policy.linkerd.io",
        "TLSRoute",
        "connections go to the Service that they were meant for",
    ),
    (
        "gateway.networking.k8s.io",
        "GRPCRoute",
        "calls go to the Service that they were meant for, without its retries and timeouts",
    ),
    (
        "gateway.networking.k8s.io",
        "TCPRoute",
        "connections go to the Service that they were meant for",
    ),
    (
        "gateway.networking.k8s.io",
        "TLSRoute",
        "connections go to the Service that they were meant for",
    ),
    (
        "workload.linkerd.io",
        "ExternalWorkload",
        "it is no endpoint of any Service",
    ),
    ("multicluster.linkerd.io", "Link", "there is one cluster"),
];

/// Reads everything that Linkerd's proxies go by.
pub(super) fn policies(cx: &mut Compile<'_>) -> Policies {
    let mut policies = Policies::default();
    let (objects, services) = (cx.objects, cx.services);
    for service in services {
        let policy = service_policy(service, cx);
        policies.services.insert(service.id, policy);
    }
    for object in objects.iter() {
        match (object.key.group.as_str(), object.key.kind.as_str()) {
            ("gateway.networking.k8s.io" | "policy.linkerd.io", "HTTPRoute") => {
                routes::read_route(object, &mut policies, cx)
            }
            ("linkerd.io", "ServiceProfile") => {
                policies.profiles.extend(profiles::read_profile(object, cx))
            }
            ("", "Namespace" | "Pod") | ("apps", "Deployment" | "StatefulSet" | "DaemonSet") => {
                check_settings(object, cx.diagnostics)
            }
            (group, kind) => report(object, group, kind, cx.diagnostics),
        }
    }
    policies.routes.sort_by(|a, b| a.name.cmp(&b.name));
    policies
}

fn report(object: &Object, group: &str, kind: &str, out: &mut Diagnostics) {
    let Some((_, _, meaning)) = NOT_MODELLED
        .iter()
        .find(|row| row.0 == group && row.1 == kind)
    else {
        return;
    };
    if group == "gateway.networking.k8s.io" && !routes::has_service_parent(object) {
        return;
    }
    let message = format!("{} is not modelled", object.key);
    out.push(
        Diagnostic::not_modelled("linkerd::not-modelled", message, *meaning)
            .label(object.name_span, ""),
    );
}

/// The annotations of an object as written.
pub(super) fn entries(object: &Object) -> &[Entry] {
    annotations_at(object, "metadata.annotations")
}

fn annotations_at<'a>(object: &'a Object, path: &str) -> &'a [Entry] {
    object
        .node
        .at(path)
        .and_then(|node| node.as_map())
        .map_or(&[], |map| map.entries())
}

fn service_policy(service: &Service, cx: &mut Compile<'_>) -> ServicePolicy {
    let objects = cx.objects;
    let object = objects.get("", "Service", &service.namespace, &service.name);
    let notes = object
        .map(|object| annotations::read(entries(object), cx.diagnostics))
        .unwrap_or_default();
    let requests = request_policy(&notes, cx);
    // the injector copies the namespace's list to Services that have none
    let namespace = objects.get("", "Namespace", "", &service.namespace);
    let inherited = || {
        Ports::parse(
            namespace?
                .annotation("config.linkerd.io/opaque-ports")?
                .value,
        )
    };
    let opaque = notes
        .opaque_ports
        .map(|ports| ports.value)
        .or_else(inherited);
    ServicePolicy {
        opaque: opaque.unwrap_or_else(Ports::of_chart),
        requests,
        accrual: notes.accrual.map(|accrual| cx.origins.sourced(accrual)),
    }
}

/// Retries and timeouts of annotations with their origins.
pub(super) fn request_policy(notes: &Notes, cx: &mut Compile<'_>) -> RequestPolicy {
    let mut origin = |span: Span| -> OriginId { cx.origins.written(span) };
    RequestPolicy {
        retries: notes
            .retries
            .as_ref()
            .map(|retries| Sourced::new(retries.clone(), origin(retries.at.span))),
        timeouts: TimeoutPolicy::of(&notes.timeouts, origin),
    }
}

/// Checks what a namespace or pods set for their proxies.
fn check_settings(object: &Object, out: &mut Diagnostics) {
    let path = match object.key.kind.as_str() {
        "Namespace" | "Pod" => "metadata.annotations",
        _ => "spec.template.metadata.annotations",
    };
    for entry in annotations_at(object, path) {
        let Some(value) = entry.value.as_str() else {
            continue;
        };
        let value = Spanned::new(value, entry.value.span);
        match entry.key.text.as_str() {
            key @ ("config.linkerd.io/opaque-ports" | "config.linkerd.io/skip-inbound-ports" | "config.linkerd.io/skip-outbound-ports")
                if Ports::parse(&value).is_none() =>
            {
                bad(key, value, "write ports and ranges such as `25,8000-8100`".to_owned(), out);
            }
            key @ "config.linkerd.io/default-inbound-policy" => {
                let names = DefaultPolicy::NAMES.map(|(name, _)| name);
                if !names.contains(&value.value) {
                    let help = did_you_mean(&value, names).unwrap_or_else(|| format!("write one of {}", names.join(", ")));
                    bad(key, value, help, out);
                }
            }
            key @ "linkerd.io/inject" => match value.value {
                "enabled" | "disabled" => {}
                "ingress" => out.push(
                    Diagnostic::not_modelled(
                        "linkerd::not-modelled",
                        "`linkerd.io/inject: ingress` is not modelled",
                        "the proxy goes by the address that is dialled, not by the header `l5d-dst-override`",
                    )
                    .label(value.span, ""),
                ),
                _ => bad(key, value, "write `enabled`, `disabled` or `ingress`".to_owned(), out),
            },
            key if key.starts_with("config.linkerd.io/proxy-") && key.ends_with("-timeout") => out.push(
                Diagnostic::not_modelled("linkerd::not-modelled", format!("`{key}` is not modelled"), "the release's default counts")
                    .label(entry.key.span, ""),
            ),
            _ => {}
        }
    }
}

fn bad(key: &str, value: Spanned<&str>, help: String, out: &mut Diagnostics) {
    let message = format!("`{key}` cannot be `{}`", value.value);
    out.push(
        Diagnostic::error("linkerd::bad-annotation", message)
            .label(value.span, "not a value of it")
            .help(help),
    );
}
