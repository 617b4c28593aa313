//! Objects to gateways.

use std::collections::{BTreeMap, BTreeSet};

use proxy_core::config::Name;

use super::super::virtual_service::GROUP;
use super::super::virtual_service::types::Document;
use super::policy::{GatewayPolicy, Group, ServerKind, ServerPolicy, Termination};
use super::types::{Gateway, Server, ServerTls, TlsMode};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::dialects::Compile;
use crate::load::Object;
use crate::model::{Labels, Listen, Workload, selects};
use crate::text::{Spanned, read};

const KIND: &str = "Gateway";
/// Protocols that a server may have.
const PROTOCOLS: [&str; 8] = [
    "HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "TCP", "TLS",
];

/// Whether there is any Gateway.
pub(super) fn has_any(cx: &Compile<'_>) -> bool {
    cx.objects.of(GROUP, KIND).next().is_some()
}

/// Every Gateway that reads well, by name and then by namespace, which is the order of those of equal age.
pub(super) fn gateways(cx: &mut Compile<'_>) -> Vec<GatewayPolicy> {
    let objects = cx.objects;
    let mut found: Vec<(&Object, Gateway)> = objects
        .of(GROUP, KIND)
        .filter_map(|object| {
            let document = read::<Document<Gateway>>(&object.node, cx.diagnostics)?;
            Some((object, document.spec))
        })
        .collect();
    found.sort_by(|(a, _), (b, _)| {
        (&a.key.name, &a.key.namespace).cmp(&(&b.key.name, &b.key.namespace))
    });
    found
        .into_iter()
        .map(|(object, spec)| gateway(object, &spec, cx))
        .collect()
}

fn gateway(object: &Object, spec: &Gateway, cx: &mut Compile<'_>) -> GatewayPolicy {
    let name = format!("{}/{}", object.key.namespace, object.key.name);
    if spec.servers.is_empty() {
        cx.diagnostics.push(
            Diagnostic::error("istio::gateway", "a Gateway needs `servers`")
                .label(object.name_span, "has none"),
        );
    }
    let servers = spec.servers.iter();
    let servers = servers.filter_map(|server| self::server(server, &name, object, cx));
    GatewayPolicy {
        servers: servers.collect(),
        selector: spec
            .selector
            .iter()
            .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
            .collect(),
        origin: cx.origins.written(object.name_span),
        name,
    }
}

fn server(
    server: &Spanned<Server>,
    gateway: &str,
    object: &Object,
    cx: &mut Compile<'_>,
) -> Option<ServerPolicy> {
    if let Some(bind) = server.bind {
        let meaning = "it listens on every address of the pod";
        cx.diagnostics.push(
            Diagnostic::not_modelled("istio::not-modelled", "`bind` is not modelled", meaning)
                .label(bind.span, ""),
        );
    }
    if let Some(ignored) = server.default_endpoint.or(server.port.target_port) {
        cx.diagnostics.push(
            Diagnostic::warning("istio::ignored", "Istio does not read this field")
                .label(ignored.span, "has no effect"),
        );
    }
    let kind = kind(server, gateway, cx.diagnostics)?;
    let named = server.port.name.as_ref().or(server.name.as_ref());
    Some(ServerPolicy {
        gateway: gateway.to_owned(),
        port: server.port.number.value,
        label: named.map(|name| name.value.clone()).unwrap_or_default(),
        kind,
        hosts: hosts(server, &object.key.namespace),
        origin: cx.origins.written(server.port.number.span),
    })
}

/// Hosts with the namespace before the slash: `.` is the Gateway's own, `*` any.
fn hosts(server: &Server, home: &str) -> Vec<(Option<String>, String)> {
    let hosts = server.hosts.iter().map(|written| {
        let host = written.to_ascii_lowercase();
        match host.split_once('/') {
            Some((".", host)) => (Some(home.to_owned()), host.to_owned()),
            Some(("*", host)) => (None, host.to_owned()),
            Some((namespace, host)) => (Some(namespace.to_owned()), host.to_owned()),
            None => (None, host),
        }
    });
    hosts.collect()
}

/// Source: istio `pkg/config/gateway/gateway.go` (`IsHTTPServer`, `IsPassThroughServer`).
fn kind(server: &Spanned<Server>, gateway: &str, out: &mut Diagnostics) -> Option<ServerKind> {
    let protocol = server.port.protocol.to_ascii_uppercase();
    if !PROTOCOLS.contains(&protocol.as_str()) {
        let message = format!("`{}` is no protocol of a server", server.port.protocol);
        let help = did_you_mean(&protocol, PROTOCOLS)
            .unwrap_or_else(|| format!("known: {}", PROTOCOLS.join(", ")));
        out.push(
            Diagnostic::error("istio::gateway", message)
                .label(server.port.protocol.span, "this protocol")
                .help(help),
        );
        return None;
    }
    let redirects = |tls: &ServerTls| tls.https_redirect.is_some_and(|redirect| redirect.value);
    if matches!(protocol.as_str(), "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB") {
        let tls = server.tls.as_ref();
        return Some(ServerKind::Http {
            redirects: tls.is_some_and(|tls| redirects(&tls.value)),
        });
    }
    let Some(tls) = &server.tls else {
        if matches!(protocol.as_str(), "HTTPS" | "TLS") {
            let message = format!("a server of protocol {protocol} needs `tls`");
            out.push(
                Diagnostic::error("istio::gateway", message)
                    .label(server.port.protocol.span, "without it")
                    .help("write `tls: {mode: SIMPLE, credentialName: …}`, or `PASSTHROUGH`"),
            );
            return None;
        }
        return Some(ServerKind::Tcp);
    };
    let mode = tls.mode.map_or(TlsMode::Passthrough, |mode| mode.value);
    match mode {
        TlsMode::Passthrough => return Some(ServerKind::Passthrough),
        TlsMode::AutoPassthrough => {
            let span = tls.mode.map_or(tls.span, |mode| mode.span);
            let message = "traffic between meshes is not modelled";
            let meaning = "nothing listens on this port";
            out.push(
                Diagnostic::not_modelled("istio::not-modelled", message, meaning)
                    .label(span, "AUTO_PASSTHROUGH"),
            );
            return None;
        }
        TlsMode::Mutual => {
            let span = tls.mode.map_or(tls.span, |mode| mode.span);
            let message = "client certificates from outside the mesh are not modelled";
            let meaning = "clients without a certificate, which it would refuse, are served";
            out.push(
                Diagnostic::not_modelled("istio::not-modelled", message, meaning)
                    .label(span, "MUTUAL"),
            );
        }
        TlsMode::Simple | TlsMode::IstioMutual | TlsMode::OptionalMutual => {}
    }
    let certificate: Name = match &tls.credential_name {
        Some(secret) => secret.as_str().into(),
        None => gateway.into(),
    };
    let termination = Termination { mode, certificate };
    Some(if protocol == "HTTPS" {
        ServerKind::Https(termination)
    } else {
        ServerKind::TcpOverTls(termination)
    })
}

/// Gateways by the pods that serve them: those that a selector takes, each with all Gateways that select it; Gateways without pods in the
/// manifests by their selector. A Gateway without selector is served by all of them.
pub(super) fn groups(gateways: &[GatewayPolicy], cx: &Compile<'_>) -> Vec<Group> {
    let mut served: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let mut homeless: BTreeMap<&Labels, BTreeSet<usize>> = BTreeMap::new();
    for (at, gateway) in gateways.iter().enumerate() {
        if gateway.selector.is_empty() {
            continue;
        }
        let workloads = cx.workloads.iter();
        let mut pods = workloads
            .enumerate()
            .filter(|(_, workload)| selects(&gateway.selector, &workload.labels))
            .peekable();
        if pods.peek().is_none() {
            homeless.entry(&gateway.selector).or_default().insert(at);
        }
        for (pod, _) in pods {
            served.entry(pod).or_default().insert(at);
        }
    }
    let usual = Labels::from([("istio".into(), "ingressgateway".into())]);
    let anywhere = gateways.iter().enumerate();
    let anywhere = anywhere.filter(|(_, gateway)| gateway.selector.is_empty());
    let anywhere: Vec<usize> = anywhere.map(|(at, _)| at).collect();
    if served.is_empty() && homeless.is_empty() && !anywhere.is_empty() {
        homeless.insert(&usual, BTreeSet::new());
    }
    let of = |all: &BTreeSet<usize>| -> Vec<GatewayPolicy> {
        let all: BTreeSet<usize> = all.iter().chain(&anywhere).copied().collect();
        all.into_iter().map(|at| gateways[at].clone()).collect()
    };
    let mut groups = Vec::new();
    for (pod, all) in &served {
        groups.push(group(of(all), Some(&cx.workloads[*pod]), None, cx));
    }
    for (selector, all) in &homeless {
        groups.push(group(of(all), None, Some(selector), cx));
    }
    groups
}

fn group(
    gateways: Vec<GatewayPolicy>,
    workload: Option<&Workload>,
    selector: Option<&Labels>,
    cx: &Compile<'_>,
) -> Group {
    let servers = gateways.iter().flat_map(|gateway| &gateway.servers);
    let mut listens: BTreeMap<u16, Listen> = BTreeMap::new();
    for server in servers {
        let listen = Listen {
            port: server.port,
            bound: bound(server.port, workload, cx),
            tls: server.kind.is_tls(),
        };
        listens.entry(server.port).or_insert(listen);
    }
    Group {
        gateways,
        selector: selector.cloned().unwrap_or_default(),
        workload: workload.map(|workload| workload.id),
        listens: listens.into_values().collect(),
    }
}

/// Where pods listen for a port of their Service; the same port where no Service has it.
///
/// Source: istio `pilot/pkg/model/gateway.go` (`resolvePorts`).
fn bound(port: u16, workload: Option<&Workload>, cx: &Compile<'_>) -> u16 {
    let resolved = workload.and_then(|workload| {
        let services = cx.services.iter();
        let mut services = services.filter(|service| service.workloads.contains(&workload.id));
        services.find_map(|service| workload.target_port(&service.port(port)?.target))
    });
    resolved.unwrap_or(port)
}
