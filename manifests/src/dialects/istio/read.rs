//! Objects to policies.

use super::destination_rule::{Rules, read_rule};
use super::export::ROOT_NAMESPACE;
use super::peers::Peers;
use super::registry::Registry;
use super::release::Release;
use super::service_entry::read_entry;
use super::sidecars::Sidecars;
use super::virtual_service::VirtualServices;
use super::{annotations, checks, injection};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::dialects::Compile;
use crate::load::Object;

/// Everything that Istio's proxies go by.
pub(super) struct Policies {
    /// Whose defaults count.
    pub(super) release: Release,
    /// Hosts.
    pub(super) registry: Registry,
    /// DestinationRules.
    pub(super) rules: Rules,
    /// PeerAuthentications.
    pub(super) peers: Peers,
    /// Sidecars.
    pub(super) sidecars: Sidecars,
    /// VirtualServices.
    pub(super) routes: VirtualServices,
}

/// Kinds that are known and not modelled: group, kind, whether it is a matter of who may call (then a warning says so), and what it means.
const NOT_MODELLED: &[(&str, &str, bool, &str)] = &[
    (
        "security.istio.io",
        "AuthorizationPolicy",
        true,
        "everybody may call: requests that it would refuse with 403 are served",
    ),
    (
        "security.istio.io",
        "RequestAuthentication",
        true,
        "no token is looked at: requests with a bad one, which it would answer 401, are served",
    ),
    (
        "telemetry.istio.io",
        "Telemetry",
        false,
        "what is logged and measured is the report's own",
    ),
    (
        "networking.istio.io",
        "EnvoyFilter",
        false,
        "proxies are as Istio makes them without it: a rate limit, filter or setting of it is not there",
    ),
    (
        "extensions.istio.io",
        "WasmPlugin",
        false,
        "requests pass as if the plugin were not there",
    ),
    (
        "extensions.istio.io",
        "TrafficExtension",
        false,
        "requests pass as if the extension were not there",
    ),
    (
        "networking.istio.io",
        "ProxyConfig",
        false,
        "workers and settings of proxies are the scenario's",
    ),
    (
        "networking.istio.io",
        "WorkloadEntry",
        false,
        "it is an endpoint of no host",
    ),
    (
        "networking.istio.io",
        "WorkloadGroup",
        false,
        "it brings no endpoints",
    ),
    (
        "install.istio.io",
        "IstioOperator",
        false,
        "the mesh has the settings of an install without options, such as ALLOW_ANY and automatic mutual TLS",
    ),
];

/// Reads everything but gateways.
pub(super) fn policies(release: Release, cx: &mut Compile<'_>) -> Policies {
    let mut policies = Policies {
        release,
        registry: Registry::of_services(release, cx),
        rules: Rules::default(),
        peers: Peers::default(),
        sidecars: Sidecars::default(),
        routes: VirtualServices::read(cx),
    };
    let objects = cx.objects;
    for object in objects.iter() {
        match (object.key.group.as_str(), object.key.kind.as_str()) {
            ("networking.istio.io", "DestinationRule") => {
                if let Some(rule) = read_rule(object, release, cx) {
                    policies.rules.add(rule);
                }
            }
            ("networking.istio.io", "ServiceEntry") => {
                read_entry(object, &mut policies.registry, cx);
            }
            ("networking.istio.io", "Sidecar") => policies.sidecars.add(object, cx),
            ("security.istio.io", "PeerAuthentication") => policies.peers.add(object, cx),
            (group, kind) => report(object, group, kind, cx.diagnostics),
        }
    }
    policies.rules.finish(cx);
    policies.peers.finish(cx);
    policies.sidecars.finish();
    injection::check(cx);
    annotations::check(cx);
    checks::rules(&policies, cx);
    policies
}

fn report(object: &Object, group: &str, kind: &str, out: &mut Diagnostics) {
    if (group, kind) == ("", "ConfigMap")
        && object.key.namespace == ROOT_NAMESPACE
        && object.key.name == "istio"
    {
        let meaning = "the mesh has the settings of an install without options, such as ALLOW_ANY and automatic mutual TLS";
        let message = format!("{} is not modelled", object.key);
        out.push(
            Diagnostic::not_modelled("istio::not-modelled", message, meaning)
                .label(object.name_span, ""),
        );
        return;
    }
    let Some((_, _, is_loud, meaning)) = NOT_MODELLED
        .iter()
        .find(|row| row.0 == group && row.1 == kind)
    else {
        return;
    };
    let message = format!("{} is not modelled", object.key);
    let diagnostic = if *is_loud {
        Diagnostic::warning("istio::not-modelled", message).help(*meaning)
    } else {
        Diagnostic::not_modelled("istio::not-modelled", message, *meaning)
    };
    out.push(diagnostic.label(object.name_span, ""));
}
