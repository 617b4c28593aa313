//! Hosts, ports and subsets that rules may name.

use std::collections::{BTreeMap, BTreeSet};

use super::GROUP;
use super::names::{MESH, complete, complete_gateway, is_within};
use super::read::Written;
use super::types::Destination;
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::dialects::Compile;
use crate::text::{Node, Spanned, Value};

/// Every host of the mesh with its ports, and the subsets of the DestinationRules.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    hosts: BTreeMap<String, Vec<u16>>,
    /// Gateways as `namespace/name`.
    gateways: BTreeSet<String>,
    /// Hosts, wildcards among them, with the names of their subsets.
    subsets: Vec<(String, BTreeSet<String>)>,
}

impl Registry {
    /// From Services, ServiceEntries and DestinationRules.
    pub(super) fn of(cx: &Compile<'_>) -> Self {
        let mut registry = Self::default();
        for service in cx.services {
            let ports = service.ports.iter().filter(|port| !port.udp);
            let ports = ports.map(|port| port.number).collect();
            registry.hosts.insert(service.host(), ports);
        }
        for entry in cx.objects.of(GROUP, "ServiceEntry") {
            let list = |path: &str| entry.node.at(path).and_then(|node| node.as_seq());
            let ports = list("spec.ports").unwrap_or_default().iter();
            let ports = ports.filter_map(|port| number(port.get("number")?));
            let ports: Vec<u16> = ports.collect();
            for host in list("spec.hosts").unwrap_or_default() {
                if let Some(host) = host.as_str() {
                    let known = registry.hosts.entry(host.to_owned()).or_default();
                    known.extend(&ports);
                }
            }
        }
        let gateways = cx.objects.of(GROUP, "Gateway");
        let gateways = gateways.map(|it| format!("{}/{}", it.key.namespace, it.key.name));
        registry.gateways = gateways.collect();
        for rule in cx.objects.of(GROUP, "DestinationRule") {
            let Some(host) = rule.node.at("spec.host").and_then(|host| host.as_str()) else {
                continue;
            };
            let subsets = rule.node.at("spec.subsets").and_then(|node| node.as_seq());
            let names = subsets.unwrap_or_default().iter();
            let names = names.filter_map(|subset| subset.get("name")?.as_str());
            let names = names.map(str::to_owned).collect();
            let host = complete(host, &rule.key.namespace);
            registry.subsets.push((host, names));
        }
        registry
    }

    /// Whether a Service or ServiceEntry has the host.
    pub(super) fn has(&self, host: &str) -> bool {
        self.hosts.contains_key(host)
    }

    /// The port of a destination that names none: the host's only one, else the one dialled.
    ///
    /// Source: istio `pilot/pkg/networking/core/route/route.go` (`GetDestinationCluster`).
    pub(super) fn port(&self, host: &str, dialled: u16) -> u16 {
        match self.hosts.get(host).map(Vec::as_slice) {
            Some([only]) => *only,
            Some(_) | None => dialled,
        }
    }

    /// Reports everything that a VirtualService names and that is not there.
    pub(super) fn check(&self, one: &Written, out: &mut Diagnostics) {
        self.check_gateways(one, out);
        let http = one.spec.http.iter();
        let of_http = http.flat_map(|rule| {
            let routes = rule.route.iter().map(|to| &to.destination);
            let mirrors = rule.mirrors.iter();
            let mirrors = mirrors.filter_map(|mirror| mirror.destination.as_ref());
            routes.chain(&rule.mirror).chain(mirrors)
        });
        let tls = one.spec.tls.iter().flat_map(|rule| &rule.route);
        let tcp = one.spec.tcp.iter().flat_map(|rule| &rule.route);
        let of_others = tls.chain(tcp).map(|to| &to.destination);
        for to in of_http.chain(of_others) {
            self.check_destination(to, out);
        }
    }

    fn check_gateways(&self, one: &Written, out: &mut Diagnostics) {
        let http = one.spec.http.iter().flat_map(|rule| &rule.r#match);
        let tls = one.spec.tls.iter().flat_map(|rule| &rule.r#match);
        let tcp = one.spec.tcp.iter().flat_map(|rule| &rule.r#match);
        let of_conditions = http.map(|one| &one.gateways);
        let of_conditions = of_conditions.chain(tls.map(|one| &one.gateways));
        let of_conditions = of_conditions.chain(tcp.map(|one| &one.gateways));
        for written in one.spec.gateways.iter().chain(of_conditions.flatten()) {
            let gateway = complete_gateway(written, &one.namespace);
            if gateway == MESH || self.gateways.contains(&gateway) {
                continue;
            }
            let names = self.gateways.iter().map(String::as_str);
            let help = did_you_mean(&gateway, names.chain([MESH]));
            out.push(
                Diagnostic::error("istio::unknown-gateway", format!("no Gateway `{gateway}`"))
                    .label(written.span, "takes nothing")
                    .maybe_help(help),
            );
        }
    }

    fn check_destination(&self, to: &Destination, out: &mut Diagnostics) {
        let Some(ports) = self.hosts.get(&to.host.value) else {
            return self.unknown_host(&to.host, out);
        };
        if let Some(port) = &to.port
            && !ports.contains(&port.number.value)
        {
            let known: Vec<String> = ports.iter().map(|port| format!("`{port}`")).collect();
            let message = format!("`{}` has no port {}", to.host, port.number);
            out.push(
                Diagnostic::error("istio::unknown-port", message)
                    .label(port.number.span, "requests to it are answered 503")
                    .help(format!("it has {}", known.join(", "))),
            );
        }
        let Some(subset) = to.subset.as_ref().filter(|subset| !subset.is_empty()) else {
            return;
        };
        let fitting = self.subsets.iter();
        let fitting = fitting.filter(|(host, _)| is_within(&to.host, host));
        let names: BTreeSet<&str> = fitting
            .flat_map(|(_, names)| names.iter().map(String::as_str))
            .collect();
        if !names.contains(subset.as_str()) {
            let message = format!("no DestinationRule gives `{}` a subset `{subset}`", to.host);
            out.push(
                Diagnostic::error("istio::unknown-subset", message)
                    .label(subset.span, "requests to it are answered 503")
                    .maybe_help(did_you_mean(subset, names)),
            );
        }
    }

    fn unknown_host(&self, host: &Spanned<String>, out: &mut Diagnostics) {
        let full = format!("{host}.svc.cluster.local");
        let help = if self.has(&full) {
            Some(format!(
                "a name with a dot is not completed: write `{full}`"
            ))
        } else {
            let names = self.hosts.keys().map(String::as_str);
            did_you_mean(host, names)
        };
        out.push(
            Diagnostic::error(
                "istio::unknown-host",
                format!("no Service or ServiceEntry is called `{host}`"),
            )
            .label(host.span, "requests to it are answered 503")
            .maybe_help(help),
        );
    }
}

fn number(node: &Node) -> Option<u16> {
    let Value::Int(number) = node.value else {
        return None;
    };
    u16::try_from(number).ok()
}
