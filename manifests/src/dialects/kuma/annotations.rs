//! What pods and Services ask of Kuma.

use super::injection::{INJECTION, asks};
use super::notes::{bad_value, left_out};
use super::protocol::Protocol;
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::model::Workload;
use crate::text::Span;

pub(super) const EXCLUDE_INBOUND: &str = "traffic.kuma.io/exclude-inbound-ports";
pub(super) const EXCLUDE_OUTBOUND: &str = "traffic.kuma.io/exclude-outbound-ports";
/// More ports than this are not told apart.
const MOST_PORTS: usize = 1024;

/// Annotations of pods that have no bearing on traffic, or that what injects them writes.
const NO_BEARING: &[&str] = &[
    "kuma.io/sidecar-injected",
    "kuma.io/sidecar-uid",
    "kuma.io/sidecar-env-vars",
    "kuma.io/sidecar-proxy-concurrency",
    "kuma.io/sidecar-drain-time",
    "kuma.io/service-account-token-volume",
    "kuma.io/container-patches",
    "kuma.io/envoy-log-level",
    "kuma.io/envoy-component-log-level",
    "kuma.io/envoy-admin-port",
    "kuma.io/init-first",
    "kuma.io/wait-for-dataplane-ready",
    "kuma.io/virtual-probes",
    "kuma.io/virtual-probes-port",
    "kuma.io/application-probe-proxy-port",
    "kuma.io/builtin-dns",
    "kuma.io/builtin-dns-port",
    "kuma.io/builtin-dns-logging",
    "kuma.io/xds-transport-protocol-variant",
    "kuma.io/transparent-proxying-inbound-port",
    "kuma.io/transparent-proxying-outbound-port",
    "kuma.io/transparent-proxying-ip-family-mode",
    "kuma.io/transparent-proxying-ebpf",
    "kuma.io/transparent-proxying-ebpf-bpf-fs-path",
    "kuma.io/transparent-proxying-ebpf-cgroup-path",
    "kuma.io/transparent-proxying-ebpf-tc-attach-iface",
    "kuma.io/transparent-proxying-ebpf-instance-ip-env-var-name",
    "kuma.io/transparent-proxying-ebpf-programs-source-path",
    "traffic.kuma.io/drop-invalid-packets",
    "traffic.kuma.io/iptables-logs",
];
/// Annotations of pods that are modelled.
const MODELLED: &[&str] = &[
    "kuma.io/mesh",
    "kuma.io/gateway",
    EXCLUDE_INBOUND,
    EXCLUDE_OUTBOUND,
];
/// Others, with what that means.
const NOT_MODELLED: &[(&str, &str)] = &[
    (
        "kuma.io/transparent-proxying",
        "traffic is redirected to the proxy all the same",
    ),
    (
        "kuma.io/transparent-proxying-reachable-services",
        "its proxy knows every Service of the mesh",
    ),
    (
        "kuma.io/reachable-backends",
        "its proxy knows every Service of the mesh",
    ),
    (
        "kuma.io/direct-access-services",
        "connections to pods of these Services pass as they come",
    ),
    ("kuma.io/tags", "its tags are those of its labels"),
    ("kuma.io/ignore", "it is part of the mesh all the same"),
    (
        "kuma.io/ingress",
        "it is no ingress of a zone: there is one zone",
    ),
    (
        "kuma.io/egress",
        "it is no egress of a zone: services outside are dialled by whoever calls them",
    ),
    ("kuma.io/ingress-public-address", "there is one zone"),
    ("kuma.io/ingress-public-port", "there is one zone"),
    (
        "traffic.kuma.io/transparent-proxy-config",
        "the defaults of its proxy hold",
    ),
    (
        "traffic.kuma.io/transparent-proxy-configmap-name",
        "the defaults of its proxy hold",
    ),
    (
        "traffic.kuma.io/exclude-outbound-ports-for-uids",
        "these ports are redirected, whoever dials them",
    ),
    (
        "traffic.kuma.io/exclude-inbound-ips",
        "connections from these addresses are redirected",
    ),
    (
        "traffic.kuma.io/exclude-outbound-ips",
        "connections to these addresses are redirected",
    ),
];

/// Checks what namespaces, pods and Services say to Kuma.
pub(super) fn check(cx: &mut Compile<'_>) {
    for object in cx.objects.of("", "Namespace") {
        if let Some(label) = object.label(INJECTION) {
            injection(label.value, label.span, cx);
        }
    }
    for workload in cx.workloads {
        pods(workload, cx);
    }
    services(cx);
    upstream(cx);
}

fn injection(value: &str, span: Span, cx: &mut Compile<'_>) {
    if asks(value).is_none() {
        let message = format!("`{INJECTION}` cannot be `{value}`: write `enabled` or `disabled`");
        bad_value(span, message, cx.diagnostics);
    }
}

fn pods(workload: &Workload, cx: &mut Compile<'_>) {
    let of = workload.full_name();
    if let Some(value) = workload.labels.get(INJECTION) {
        injection(value, workload.span, cx);
        if workload.host_network && asks(value) == Some(true) {
            let meaning = "they have no proxy; Kuma would redirect the traffic of the whole node";
            let what = format!("injection into pods of {of}, which use the node's network,");
            left_out(workload.span, &what, meaning, cx.diagnostics);
        }
    }
    for (key, value) in &workload.annotations {
        let is_own = key.starts_with("kuma.io/") || key.starts_with("traffic.kuma.io/");
        if !is_own || MODELLED.contains(&&**key) {
            if matches!(&**key, EXCLUDE_INBOUND | EXCLUDE_OUTBOUND) {
                list(workload, key, value, cx);
            }
            continue;
        }
        let what = format!("`{key}` on pods of {of}");
        if **key == *INJECTION {
            cx.diagnostics.push(
                Diagnostic::warning("kuma::ignored", format!("{what} is an annotation"))
                    .label(workload.span, "has no effect")
                    .help("write it as a label"),
            );
        } else if NO_BEARING.contains(&&**key) {
            let message = format!("{what} has no bearing");
            cx.diagnostics
                .push(Diagnostic::listed("kuma::annotation", message).label(workload.span, ""));
        } else if let Some((_, meaning)) = NOT_MODELLED.iter().find(|row| row.0 == &**key) {
            left_out(workload.span, &what, meaning, cx.diagnostics);
        } else {
            let known = NOT_MODELLED.iter().map(|row| row.0);
            let known = known.chain(MODELLED.iter().chain(NO_BEARING).copied());
            cx.diagnostics.push(
                Diagnostic::error("kuma::unknown-annotation", format!("{what} is unknown"))
                    .label(workload.span, "this workload")
                    .maybe_help(did_you_mean(key, known)),
            );
        }
    }
}

fn list(workload: &Workload, key: &str, value: &str, cx: &mut Compile<'_>) {
    let of = workload.full_name();
    match parse(value) {
        None => {
            let message = format!("`{value}` in `{key}` on pods of {of} is no list of ports");
            bad_value(workload.span, message, cx.diagnostics);
        }
        Some(ports) if ports.len() > MOST_PORTS => {
            let what = format!("`{key}` of more than {MOST_PORTS} ports on pods of {of}");
            let meaning = "none of them is left out";
            left_out(workload.span, &what, meaning, cx.diagnostics);
        }
        Some(_) => {}
    }
}

fn services(cx: &mut Compile<'_>) {
    for service in cx.services {
        for (key, value) in &service.annotations {
            let Some(port) = key.strip_suffix(".service.kuma.io/protocol") else {
                continue;
            };
            let is_known = value.is_empty()
                || Protocol::of_word(value) != Protocol::Other
                || matches!(value.to_ascii_lowercase().as_str(), "tls" | "mysql");
            let is_port = port.parse().is_ok_and(|port| service.port(port).is_some());
            if !is_port {
                let message = format!("{} has no port `{port}`", service.full_name());
                bad_value(service.span, message, cx.diagnostics);
            } else if !is_known {
                let known = ["tcp", "http", "http2", "grpc", "kafka"];
                cx.diagnostics.push(
                    Diagnostic::warning(
                        "kuma::protocol",
                        format!(
                            "Kuma knows no protocol `{value}`: port {port} of {} carries bytes",
                            service.full_name()
                        ),
                    )
                    .label(service.span, "this Service")
                    .maybe_help(did_you_mean(value, known)),
                );
            }
        }
    }
}

/// Kuma tells gateways of other systems to dial Services.
///
/// Source: kuma 2.14 `pkg/plugins/runtime/k8s/controllers/service_controller.go`.
fn upstream(cx: &mut Compile<'_>) {
    let Some(ingress) = cx.objects.of("networking.k8s.io", "Ingress").next() else {
        return;
    };
    const KEY: &str = "ingress.kubernetes.io/service-upstream";
    if cx
        .services
        .iter()
        .any(|it| it.annotations.contains_key(KEY))
    {
        return;
    }
    let message = format!("Kuma annotates Services with `{KEY}: \"true\"`, here nobody does");
    let meaning =
        "gateways dial pods where they would dial Services; write the annotation where Kuma would";
    cx.diagnostics.push(
        Diagnostic::not_modelled("kuma::not-modelled", message, meaning)
            .label(ingress.name_span, "leads to Services"),
    );
}

/// The ports that an annotation of pods lists; those that cannot be read were reported.
pub(super) fn ports(workload: &Workload, key: &str) -> Vec<u16> {
    let value = workload.annotations.get(key);
    let ports = value.and_then(|value| parse(value)).unwrap_or_default();
    if ports.len() > MOST_PORTS {
        return Vec::new();
    }
    ports
}

/// Ports and ranges, as `80,8000-8100`.
fn parse(value: &str) -> Option<Vec<u16>> {
    let mut ports = Vec::new();
    let words = value.split(',').map(str::trim);
    for word in words.filter(|word| !word.is_empty()) {
        let (from, to) = word.split_once('-').unwrap_or((word, word));
        let (from, to): (u16, u16) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        if from > to {
            return None;
        }
        ports.extend(from..=to);
    }
    ports.sort_unstable();
    ports.dedup();
    Some(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_alone_and_in_ranges() {
        for (text, expected) in [
            ("", Some(vec![])),
            ("80", Some(vec![80])),
            ("443, 80,80", Some(vec![80, 443])),
            ("8000-8002", Some(vec![8000, 8001, 8002])),
            ("9-8", None),
            ("http", None),
            ("70000", None),
            ("-1", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
