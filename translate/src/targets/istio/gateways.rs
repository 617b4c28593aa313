//! Gateways, and the VirtualServices that are bound to them.

use std::collections::BTreeSet;

use compare::Area;
use manifests::model::{NodeRef, WorkloadKind};
use proxy_core::config::{Name, ServerName};

use super::calls::Calls;
use super::rules::Writer;
use super::{NETWORKING, host};
use crate::intent::{Door, Gateway, Host, Intent, Serves, Tls};
use crate::loss::{Loss, Reach};
use crate::object::{Object, Written, dns_name};
use crate::targets::common::backends::backend;
use crate::targets::common::doors::spoken;
use crate::targets::common::groups::action;
use crate::yaml::Map;

/// The pods that Istio's charts bring.
const CHARTS: (&str, &str) = ("istio-system", "istio-ingressgateway");

/// Writes a gateway; the first is the one that the charts bring, others have pods of their own.
pub(super) fn write<'a>(
    intent: &Intent<'a>,
    gateway: &Gateway<'a>,
    nth: usize,
    calls: &mut Calls<'a>,
    out: &mut Written,
) {
    let facts = gateway.facts;
    let (namespace, name) = facts
        .name
        .split_once('/')
        .unwrap_or((&facts.namespace, &facts.name));
    let name = dns_name(name);
    let is_own = facts.dialect == "istio";
    let label = match (is_own, facts.labels.get("istio"), nth) {
        (true, Some(label), _) => label.to_string(),
        (_, _, 0) => "ingressgateway".to_owned(),
        (_, _, _) => name.clone(),
    };
    let stands = pods(intent, &label).unwrap_or_else(|| match label.as_str() {
        "ingressgateway" => format!("{}/{}", CHARTS.0, CHARTS.1),
        _ => format!("{namespace}/{name}"),
    });
    // doors that serve the same hosts alike are of one Gateway: VirtualServices are bound to all ports of one
    let mut groups: Vec<Group> = Vec::new();
    let mut hosts: Vec<(String, &Host<'a>)> = Vec::new();
    let mut bytes: Vec<(&Door<'a>, String)> = Vec::new();
    for door in spoken(gateway, out) {
        match &door.serves {
            Serves::Requests { hosts: own, .. } => {
                let server = server(intent, gateway, door, names_of(own), out);
                let mut serves = BTreeSet::new();
                for host in own.iter().filter(|host| !host.rules.is_empty()) {
                    let digest = digest(host);
                    if !hosts.iter().any(|(known, _)| *known == digest) {
                        hosts.push((digest.clone(), host));
                    }
                    serves.insert(digest);
                }
                let same = groups.iter_mut().find(|it| it.serves == serves);
                match same {
                    Some(group) => group.add(server),
                    None => {
                        let name = match groups.is_empty() {
                            true => name.clone(),
                            false => format!("{name}-{}", door.port),
                        };
                        groups.push(Group {
                            name,
                            serves,
                            servers: vec![server],
                        });
                    }
                }
            }
            Serves::Bytes { .. } => {
                let server = server(intent, gateway, door, server_names(door), out);
                // their VirtualServices say the port
                match groups.first_mut() {
                    Some(group) => group.add(server),
                    None => groups.push(Group {
                        name: name.clone(),
                        serves: BTreeSet::new(),
                        servers: vec![server],
                    }),
                }
                bytes.push((door, format!("{namespace}/{name}")));
            }
            Serves::Datagrams { route, .. } => {
                out.lose(Loss::new(
                    Reach::Gateway(gateway.id),
                    Area::Connection,
                    route.origin,
                    format!("datagrams of port {} are carried on", door.port),
                    "Istio's gateways carry no datagrams",
                ));
            }
            Serves::Untouched | Serves::Closed => {}
        }
    }
    if groups.is_empty() {
        return;
    }
    for group in &groups {
        let selector = Map::new().with("istio", label.as_str());
        let spec = Map::new()
            .with("selector", selector)
            .with("servers", group.servers.clone());
        let object = Object::new(NETWORKING, "Gateway", namespace, &group.name);
        out.add(object.spec(spec).from(facts.origin));
    }
    out.stands_for(gateway.id, stands);
    for (digest, host) in hosts {
        let of = groups.iter().filter(|it| it.serves.contains(&digest));
        let bound = of.map(|it| format!("{namespace}/{}", it.name)).collect();
        virtual_service(intent, gateway, host, (namespace, bound), calls, out);
    }
    for (door, bound) in bytes {
        carried(intent, gateway, door, (namespace, &bound), calls, out);
    }
}

/// A Gateway to be.
struct Group {
    name: String,
    /// What its hosts do.
    serves: BTreeSet<String>,
    servers: Vec<Map>,
}

impl Group {
    fn add(&mut self, server: Map) {
        if !self.servers.contains(&server) {
            self.servers.push(server);
        }
    }
}

/// Pods with this label that the manifests have.
fn pods(intent: &Intent<'_>, label: &str) -> Option<String> {
    let mut workloads = intent.source.model.workloads().iter();
    let found = workloads.find(|it| {
        it.kind != WorkloadKind::Gateway
            && !it.span.is_nowhere()
            && it.labels.get("istio").is_some_and(|own| **own == *label)
    });
    found.map(|it| it.full_name())
}

fn digest(host: &Host<'_>) -> String {
    let mut digest = format!("{:?}", host.names);
    for rule in &host.rules {
        digest.push_str(&format!("{:?}{}", rule.route.matches, action(rule)));
    }
    digest
}

fn names_of(hosts: &[Host<'_>]) -> Vec<String> {
    let mut names: Vec<String> = hosts.iter().flat_map(|host| host.names.clone()).collect();
    names.sort();
    names.dedup();
    if names.iter().any(|name| name == "*") {
        return vec!["*".to_owned()];
    }
    names
}

fn server_names(door: &Door<'_>) -> Vec<String> {
    let names = door.server_names().iter();
    let names: Vec<String> = names
        .map(|name| match name {
            ServerName::Exact(name) => name.to_string(),
            ServerName::Suffix(suffix) => format!("*{suffix}"),
        })
        .collect();
    match names.is_empty() {
        true => vec!["*".to_owned()],
        false => names,
    }
}

/// A server of a door.
fn server(
    intent: &Intent<'_>,
    gateway: &Gateway<'_>,
    door: &Door<'_>,
    hosts: Vec<String>,
    out: &mut Written,
) -> Map {
    let reads = matches!(door.serves, Serves::Requests { .. });
    let (protocol, tls) = match (door.tls, reads) {
        (Tls::None, true) => ("HTTP", None),
        (Tls::None, false) => ("TCP", None),
        (Tls::Passed, _) => ("TLS", Some(Map::new().with("mode", "PASSTHROUGH"))),
        (
            Tls::Ends {
                certificate,
                mutual,
            },
            _,
        ) => {
            let mode = if mutual { "MUTUAL" } else { "SIMPLE" };
            let secret = secret(intent, gateway, certificate, out);
            let tls = Map::new().with("mode", mode).with("credentialName", secret);
            (if reads { "HTTPS" } else { "TLS" }, Some(tls))
        }
    };
    let word = protocol.to_ascii_lowercase();
    let port = Map::new()
        .with("number", door.port)
        .with("name", format!("{word}-{}", door.port))
        .with("protocol", protocol);
    // of hosts within TLS those that the door is chosen by
    let hosts = match (reads, door.server_names().is_empty()) {
        (true, false) => server_names(door),
        (_, _) => hosts,
    };
    Map::new()
        .with("port", port)
        .with("hosts", hosts)
        .maybe("tls", tls)
}

/// The Secret of a certificate, which has to stand beside the gateway's pods.
fn secret(
    intent: &Intent<'_>,
    gateway: &Gateway<'_>,
    certificate: &Name,
    out: &mut Written,
) -> String {
    let node = NodeRef::Gateway(gateway.id);
    let known = intent.source.model.credential(node, certificate);
    let pair = known.and_then(|it| it.pairs.first()).unwrap_or(certificate);
    let name = pair.rsplit('/').next().unwrap_or(pair).to_owned();
    out.note(format!(
        "the Secret `{name}` has to stand in the namespace of Istio's gateway pods"
    ));
    name
}

fn virtual_service<'a>(
    intent: &Intent<'a>,
    gateway: &Gateway<'a>,
    served: &Host<'a>,
    (namespace, bound): (&str, Vec<String>),
    calls: &mut Calls<'a>,
    out: &mut Written,
) {
    let mut hosts = Vec::new();
    for name in &served.names {
        let inner = name.strip_prefix("*.").unwrap_or(name);
        if name == "*" || !inner.contains(['*', ':']) {
            hosts.push(name.clone());
        } else {
            out.lose(Loss::new(
                Reach::Gateway(gateway.id),
                Area::Destination,
                served.host.origin,
                format!("the host `{name}`"),
                "hosts of Istio are whole, or `*.` and a domain",
            ));
        }
    }
    if hosts.is_empty() || served.rules.is_empty() {
        return;
    }
    let reach = Reach::Gateway(gateway.id);
    let mut writer = Writer {
        source: intent.source,
        reach,
        calls,
        besides: Map::new(),
    };
    let rules = writer.rules(&served.rules, out);
    for rule in &served.rules {
        calls.hash(rule);
    }
    if rules.is_empty() {
        return;
    }
    let wanted = dns_name(&served.names[0]);
    let name = out.free_name("VirtualService", namespace, &wanted);
    let mut object = Object::new(NETWORKING, "VirtualService", namespace, &name);
    for rule in &served.rules {
        object.comes_from(rule.route.origin);
    }
    let spec = Map::new()
        .with("hosts", hosts)
        .with("gateways", bound)
        .with("http", rules);
    out.add(object.spec(spec));
}

/// A VirtualService for connections that are carried.
fn carried<'a>(
    intent: &Intent<'a>,
    gateway: &Gateway<'a>,
    door: &Door<'a>,
    (namespace, bound): (&str, &str),
    calls: &mut Calls<'a>,
    out: &mut Written,
) {
    let Serves::Bytes { route, to } = &door.serves else {
        return;
    };
    let reach = Reach::Gateway(gateway.id);
    let mut routes = Vec::new();
    for to in to {
        match backend(intent.source, to) {
            Ok(found) => {
                let subset = calls.add(intent.source, to, reach, out);
                let port = Map::new().with("number", found.port);
                let destination = Map::new()
                    .with("host", host(found.namespace, found.name))
                    .maybe("subset", subset)
                    .with("port", port);
                let weight = (door_len(door) > 1).then_some(to.weight);
                routes.push(
                    Map::new()
                        .with("destination", destination)
                        .maybe("weight", weight),
                );
            }
            Err(what) => out.lose(Loss::new(
                reach,
                Area::Destination,
                route.origin,
                format!("connections go to {what}"),
                "a VirtualService leads to Services and ServiceEntries",
            )),
        }
    }
    if routes.is_empty() {
        return;
    }
    let mut spec = Map::new()
        .with("hosts", server_names(door))
        .with("gateways", vec![bound]);
    let passed = door.tls == Tls::Passed && !door.server_names().is_empty();
    let mut condition = Map::new().with("port", door.port);
    if passed {
        condition.set("sniHosts", server_names(door));
    }
    let rule = Map::new()
        .with("match", vec![condition])
        .with("route", routes);
    spec.set(if passed { "tls" } else { "tcp" }, vec![rule]);
    let wanted = format!("port-{}", door.port);
    let name = out.free_name("VirtualService", namespace, &wanted);
    let object = Object::new(NETWORKING, "VirtualService", namespace, &name);
    out.add(object.spec(spec).from(route.origin));
}

fn door_len(door: &Door<'_>) -> usize {
    match &door.serves {
        Serves::Bytes { to, .. } | Serves::Datagrams { to, .. } => to.len(),
        Serves::Requests { .. } | Serves::Untouched | Serves::Closed => 0,
    }
}
