//! What pods and Services say of their proxies.
//!
//! Source: hashicorp/consul-k8s 1.8 `control-plane/connect-inject/constants/annotations_and_labels.go`. Departs: a value that the webhook
//! refuses, so that no pod comes to be, is an error here.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proxy_core::config::Cidr;

use super::injection::{INJECT, TEMPLATES, TRANSPARENT};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::load::Object;
use crate::model::Workload;
use crate::text::{Node, Span, Value};

/// What all of Consul's annotations begin with.
const PREFIX: &str = "consul.hashicorp.com/";
/// The service's name in Consul; none: that of the Kubernetes Service.
pub(super) const SERVICE: &str = "consul.hashicorp.com/connect-service";
/// Which of several Kubernetes Services counts.
pub(super) const KUBERNETES_SERVICE: &str = "consul.hashicorp.com/kubernetes-service";
/// The application's one port; none: the first of the first container.
pub(super) const PORT: &str = "consul.hashicorp.com/connect-service-port";
/// Upstreams with a port of their own on loopback.
pub(super) const UPSTREAMS: &str = "consul.hashicorp.com/connect-service-upstreams";
/// Settings of the proxy, before those of ServiceDefaults and ProxyDefaults.
pub(super) const CONFIG: &str = "consul.hashicorp.com/proxy-config-map";
/// Words of an instance.
const META: &str = "consul.hashicorp.com/service-meta-";
/// Tags of an instance.
const TAGS: &str = "consul.hashicorp.com/service-tags";
/// Ports whose arriving traffic is left alone.
pub(super) const EXCLUDE_INBOUND: &str =
    "consul.hashicorp.com/transparent-proxy-exclude-inbound-ports";
/// Ports that are called without the proxy.
pub(super) const EXCLUDE_OUTBOUND: &str =
    "consul.hashicorp.com/transparent-proxy-exclude-outbound-ports";
/// Addresses that are called without the proxy.
pub(super) const EXCLUDE_CIDRS: &str =
    "consul.hashicorp.com/transparent-proxy-exclude-outbound-cidrs";
/// On Services: whether they are left out of the catalog.
pub(super) const IGNORE: &str = "consul.hashicorp.com/service-ignore";

/// Annotations that have no bearing on traffic as it is simulated.
const WITHOUT_BEARING: &[&str] = &[
    "connect-inject-status",
    "transparent-proxy-status",
    "connect-inject-managed-by",
    "gateway-kind",
    "gateway-consul-service-name",
    "gateway-wan-address-source",
    "gateway-wan-address-static",
    "gateway-wan-port",
    "gateway-namespace",
    "mesh-gateway-container-port",
    "connect-inject-mount-volume",
    "use-proxy-health-check",
    "sidecar-proxy-startup-failure-seconds",
    "sidecar-proxy-liveness-failure-seconds",
    "sidecar-proxy-cpu-limit",
    "sidecar-proxy-cpu-request",
    "sidecar-proxy-memory-limit",
    "sidecar-proxy-memory-request",
    "enable-sidecar-proxy-lifecycle",
    "enable-sidecar-proxy-lifecycle-shutdown-drain-listeners",
    "sidecar-proxy-lifecycle-shutdown-grace-period-seconds",
    "sidecar-proxy-lifecycle-startup-grace-period-seconds",
    "sidecar-proxy-lifecycle-graceful-port",
    "sidecar-proxy-lifecycle-graceful-shutdown-path",
    "sidecar-proxy-lifecycle-graceful-startup-path",
    "consul-sidecar-user-volume",
    "consul-sidecar-user-volume-mount",
    "consul-envoy-proxy-concurrency",
    "enable-metrics",
    "enable-metrics-merging",
    "merged-metrics-port",
    "prometheus-scrape-port",
    "prometheus-scrape-path",
    "service-metrics-port",
    "service-metrics-path",
    "prometheus-ca-file",
    "prometheus-ca-path",
    "prometheus-cert-file",
    "prometheus-key-file",
    "envoy-extra-args",
    "consul-namespace",
    "consul-dns",
    "transparent-proxy-exclude-uids",
    "transparent-proxy-overwrite-probes",
    "redirect-traffic-config",
    "original-pod",
    "peering-version",
    "connect-k8s-version",
    "consul-k8s-version",
    "telemetry-collector",
    "enable-consul-dataplane-as-sidecar",
    "sidecar-initial-probe-check-delay-seconds",
    "sidecar-probe-period-seconds",
    "sidecar-probe-failure-threshold",
    "sidecar-probe-check-timeout-seconds",
];
/// Those that have.
const KNOWN: &[&str] = &[
    "connect-inject",
    "transparent-proxy",
    "connect-service",
    "kubernetes-service",
    "connect-service-port",
    "connect-service-upstreams",
    "proxy-config-map",
    "service-tags",
    "transparent-proxy-exclude-inbound-ports",
    "transparent-proxy-exclude-outbound-ports",
    "transparent-proxy-exclude-outbound-cidrs",
];

/// A truth value as Go's `strconv.ParseBool` has it.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A scalar as text: without quotes YAML has truth values and numbers of its own, which Kubernetes would refuse here.
pub(super) fn text(node: &Node) -> Option<String> {
    match &node.value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Int(value) => Some(value.to_string()),
        Value::Float(_) | Value::Null | Value::Seq(_) | Value::Map(_) => None,
    }
}

/// The items of a list with commas.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// The ports of an annotation; what is none was reported.
pub(super) fn ports(workload: &Workload, key: &str) -> Vec<u16> {
    let value = workload.annotations.get(key);
    let mut ports: Vec<u16> = value
        .into_iter()
        .flat_map(|value| items(value))
        .filter_map(|item| item.parse().ok())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The blocks of addresses that are called without the proxy; what is none was reported.
pub(super) fn cidrs(workload: &Workload) -> Vec<Cidr> {
    let value = workload.annotations.get(EXCLUDE_CIDRS);
    let items = value.into_iter().flat_map(|value| items(value));
    items.filter_map(cidr).collect()
}

/// A block, or one address.
fn cidr(text: &str) -> Option<Cidr> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some(Cidr { address, bits })
}

/// The words of an instance: those of its annotations, and those that the controller adds.
pub(super) fn words(workload: &Workload, service: &str) -> BTreeMap<String, String> {
    let mut words = BTreeMap::from([
        ("k8s-service-name".to_owned(), service.to_owned()),
        ("k8s-namespace".to_owned(), workload.namespace.to_string()),
        (
            "managed-by".to_owned(),
            "consul-k8s-endpoints-controller".to_owned(),
        ),
        ("synthetic-node".to_owned(), "true".to_owned()),
    ]);
    for (key, value) in &workload.annotations {
        if let Some(name) = key.strip_prefix(META).filter(|name| !name.is_empty()) {
            words.insert(name.to_owned(), value.to_string());
        }
    }
    words
}

/// The tags of an instance.
pub(super) fn tags(workload: &Workload) -> Vec<String> {
    let value = workload.annotations.get(TAGS);
    let items = value.into_iter().flat_map(|value| items(value));
    items.map(str::to_owned).collect()
}

/// An upstream with a port of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Explicit {
    /// The service.
    pub(super) service: String,
    /// The port on loopback.
    pub(super) port: u16,
    /// Where else the service is, if not here: another datacenter or cluster.
    pub(super) elsewhere: Option<String>,
}

/// Why an entry of the annotation is none that is understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unread {
    /// The webhook refuses it, or drops it.
    Wrong,
    /// A prepared query.
    Query,
}

/// The upstreams of an annotation, each as it is read.
///
/// Source: `endpoints_controller.go`, `processUpstreams`: `name:port`, `name:port:datacenter`, `name.svc:port`, `name.svc.x.peer:port`,
/// `name.svc.x.dc:port`. Without Enterprise a dot is part of the name.
pub(super) fn upstreams(
    text: &str,
    port_named: impl Fn(&str) -> Option<u16>,
) -> Vec<Result<Explicit, Unread>> {
    let read = |raw: &str| -> Result<Explicit, Unread> {
        let mut parts = raw.splitn(3, ':').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let port = parts.next().ok_or(Unread::Wrong)?;
        if name == "prepared_query" {
            return Err(Unread::Query);
        }
        let number = port_named(port).or_else(|| port.parse().ok());
        let number = number.filter(|port| *port > 0).ok_or(Unread::Wrong)?;
        let pieces: Vec<&str> = name.split('.').map(str::trim).collect();
        let (service, elsewhere) = match pieces[..] {
            [service, "svc"] => (service, None),
            [service, "svc", place, "peer" | "dc"] => (service, Some(place)),
            [_, "svc", ..] => return Err(Unread::Wrong),
            _ => (name, parts.next().filter(|place| !place.is_empty())),
        };
        if service.is_empty() {
            return Err(Unread::Wrong);
        }
        Ok(Explicit {
            service: service.to_owned(),
            port: number,
            elsewhere: elsewhere.filter(|place| *place != "dc1").map(str::to_owned),
        })
    };
    items(text).map(read).collect()
}

/// Checks what an object says in annotations under Consul's prefix: of pods and pod templates, and of namespaces.
pub(super) fn check(object: &Object, out: &mut Diagnostics) {
    let template = TEMPLATES
        .iter()
        .find(|(group, kind, _)| object.key.group == *group && object.key.kind == *kind);
    let Some((_, _, path)) = template else {
        if object.key.kind == "Namespace" {
            check_namespace(object, out);
        }
        return;
    };
    let annotations = object.node.at(path).and_then(|node| node.as_map());
    for entry in annotations.map_or(&[][..], |map| map.entries()) {
        let Some(name) = entry.key.text.strip_prefix(PREFIX) else {
            continue;
        };
        if let Some(value) = text(&entry.value) {
            check_annotation(name, &entry.key.text, &value, entry.value.span, out);
        }
        if !KNOWN.contains(&name)
            && !WITHOUT_BEARING.contains(&name)
            && !entry.key.text.starts_with(META)
        {
            out.push(
                Diagnostic::error(
                    "consul::unknown-annotation",
                    format!("Consul has no annotation `{}`", entry.key.text),
                )
                .label(entry.key.span, "not an annotation of its")
                .maybe_help(did_you_mean(
                    name,
                    KNOWN.iter().chain(WITHOUT_BEARING).copied(),
                )),
            );
        }
    }
}

fn check_annotation(name: &str, key: &str, value: &str, span: Span, out: &mut Diagnostics) {
    match name {
        "connect-inject" | "transparent-proxy" if boolean(value).is_none() => {
            bad(key, value, "write \"true\" or \"false\"", span, out);
        }
        "transparent-proxy-exclude-inbound-ports" | "transparent-proxy-exclude-outbound-ports" => {
            if let Some(wrong) = items(value).find(|item| item.parse::<u16>().is_err()) {
                bad(
                    key,
                    wrong,
                    "write port numbers with commas between them",
                    span,
                    out,
                );
            }
        }
        "transparent-proxy-exclude-outbound-cidrs" => {
            if let Some(wrong) = items(value).find(|item| cidr(item).is_none()) {
                bad(
                    key,
                    wrong,
                    "write blocks such as `10.0.0.0/8` with commas between them",
                    span,
                    out,
                );
            }
        }
        "transparent-proxy-exclude-uids" => out.push(
            Diagnostic::not_modelled(
                "consul::not-modelled",
                format!("`{key}` is not modelled"),
                "what those users of a pod send passes through its proxy as all else does",
            )
            .label(span, ""),
        ),
        "connect-service-port" | "connect-service" if value.contains(',') => out.push(
            Diagnostic::not_modelled(
                "consul::not-modelled",
                "pods of several services, each with a proxy of its own, are not modelled",
                "the first name and the first port count: the pods are one service",
            )
            .label(span, ""),
        ),
        "connect-service-upstreams" => {
            for read in upstreams(value, |_| None) {
                match read {
                    Ok(Explicit {
                        elsewhere: Some(place),
                        service,
                        ..
                    }) => out.push(
                        Diagnostic::not_modelled(
                            "consul::not-modelled",
                            format!("upstream `{service}` in `{place}` is not modelled"),
                            "there is one cluster and one datacenter: nobody answers there",
                        )
                        .label(span, ""),
                    ),
                    Err(Unread::Query) => out.push(
                        Diagnostic::not_modelled(
                            "consul::not-modelled",
                            "prepared queries are not modelled",
                            "nobody answers on the port of such an upstream",
                        )
                        .label(span, ""),
                    ),
                    // a port may be the name of a container's, which is not known here
                    Ok(_) | Err(Unread::Wrong) => {}
                }
            }
        }
        _ => {}
    }
}

fn check_namespace(object: &Object, out: &mut Diagnostics) {
    if let Some(label) = object
        .label(TRANSPARENT)
        .filter(|it| boolean(it.value).is_none())
    {
        bad(
            TRANSPARENT,
            label.value,
            "write \"true\" or \"false\"",
            label.span,
            out,
        );
    }
    let stray = [
        object
            .annotation(INJECT)
            .map(|it| (INJECT, "an annotation", it.span)),
        object.label(INJECT).map(|it| (INJECT, "a label", it.span)),
        object
            .annotation(TRANSPARENT)
            .map(|it| (TRANSPARENT, "an annotation", it.span)),
    ];
    for (key, what, span) in stray.into_iter().flatten() {
        let help = if key == INJECT {
            "annotate the pods, or install with `connectInject.default: true`"
        } else {
            "write it as a label of the namespace"
        };
        out.push(
            Diagnostic::warning(
                "consul::injection",
                format!("{key} as {what} of a namespace asks for nothing"),
            )
            .label(span, "has no effect")
            .help(help),
        );
    }
}

fn bad(key: &str, value: &str, help: &str, span: Span, out: &mut Diagnostics) {
    out.push(
        Diagnostic::error(
            "consul::bad-annotation",
            format!("`{key}` cannot be `{value}`"),
        )
        .label(span, "not a value of it")
        .help(help),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_read_as_the_controller_reads_them() {
        let ok = |service: &str, port, elsewhere: Option<&str>| {
            Ok(Explicit {
                service: service.to_owned(),
                port,
                elsewhere: elsewhere.map(str::to_owned),
            })
        };
        for (text, expected) in [
            ("web:1234", vec![ok("web", 1234, None)]),
            (
                " web : 1234 , api:80",
                vec![ok("web", 1234, None), ok("api", 80, None)],
            ),
            ("web:1234:dc2", vec![ok("web", 1234, Some("dc2"))]),
            ("web:1234:dc1", vec![ok("web", 1234, None)]),
            ("web.svc:1234", vec![ok("web", 1234, None)]),
            ("web.svc.east.peer:1", vec![ok("web", 1, Some("east"))]),
            ("web.svc.dc2.dc:1", vec![ok("web", 1, Some("dc2"))]),
            ("web.default:1", vec![ok("web.default", 1, None)]),
            ("web:named", vec![ok("web", 7, None)]),
            ("web.svc.east.ap:1", vec![Err(Unread::Wrong)]),
            ("web", vec![Err(Unread::Wrong)]),
            ("web:0", vec![Err(Unread::Wrong)]),
            ("web:x", vec![Err(Unread::Wrong)]),
            ("prepared_query:q:1", vec![Err(Unread::Query)]),
            ("", vec![]),
        ] {
            let named = |name: &str| (name == "named").then_some(7);
            assert_eq!(upstreams(text, named), expected, "{text}");
        }
    }

    #[test]
    fn truth_is_what_go_takes_for_it() {
        for text in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(boolean(text), Some(true), "{text}");
        }
        for text in ["0", "f", "F", "false", "FALSE", "False"] {
            assert_eq!(boolean(text), Some(false), "{text}");
        }
        for text in ["", "yes", "on", "enabled", "tRuE"] {
            assert_eq!(boolean(text), None, "{text}");
        }
    }

    #[test]
    fn blocks_and_addresses_are_excluded() {
        let block = |text: &str| cidr(text).map(|it| it.bits);
        for (text, bits) in [
            ("10.0.0.0/8", Some(8)),
            ("10.1.2.3", Some(32)),
            ("fd00::/8", Some(8)),
            ("fd00::1", Some(128)),
            ("10.0.0.0/33", None),
            ("x", None),
            ("10.0.0.0/", None),
        ] {
            assert_eq!(block(text), bits, "{text}");
        }
    }
}
