//! Gateways with their listeners, and the routes of each host.

use std::collections::{BTreeMap, BTreeSet};

use compare::Area;
use manifests::model::NodeRef;
use proxy_core::config::{Name, ServerName};

use super::rules::{Made, Reader, Writer};
use super::{GROUP, TARGET, V1};
use crate::intent::{Destination, Door, Gateway, Host, Intent, Serves, Tls};
use crate::loss::{Loss, Reach};
use crate::object::{Object, Written, dns_name};
use crate::targets::common::backends::backend;
use crate::targets::common::doors::spoken;
use crate::targets::common::groups::action;
use crate::yaml::Map;

/// What Gateways name as their class, since the source's manifests name none.
const CLASS: &str = "gateway";
/// Rules that an HTTPRoute may have. Source: `HTTPRoute.spec.rules`.
const MOST_RULES: usize = 16;

/// Writes gateways, whoever serves them.
pub(crate) fn write(intent: &Intent<'_>, gateways: &[&Gateway<'_>], out: &mut Written) {
    for gateway in gateways {
        let mut writer = GatewayWriter {
            intent,
            gateway,
            home: home(gateway),
            listeners: Vec::new(),
            grants: BTreeMap::new(),
            certificates: BTreeSet::new(),
        };
        writer.write(out);
    }
    if !gateways.is_empty() {
        out.note(format!(
            "Gateways name the class `{CLASS}`: write that of the controller that is to serve them"
        ));
    }
}

/// Namespace and name of the Gateway that stands for a gateway.
fn home(gateway: &Gateway<'_>) -> (String, String) {
    let (namespace, name) = gateway
        .facts
        .name
        .split_once('/')
        .unwrap_or((&gateway.facts.namespace, &gateway.facts.name));
    (namespace.to_owned(), dns_name(name))
}

struct GatewayWriter<'w, 'a> {
    intent: &'w Intent<'a>,
    gateway: &'w Gateway<'a>,
    /// Namespace and name.
    home: (String, String),
    /// Name and what is written of it.
    listeners: Vec<(String, Map)>,
    /// Namespaces whose Services are named from others: kind and namespace of who does.
    grants: BTreeMap<String, BTreeSet<(&'static str, String)>>,
    /// Namespaces whose Secrets the Gateway names.
    certificates: BTreeSet<String>,
}

/// A host, and the listeners that serve it.
struct Served<'w, 'a> {
    host: &'w Host<'a>,
    sections: Vec<String>,
}

impl<'w, 'a> GatewayWriter<'w, 'a> {
    fn write(&mut self, out: &mut Written) {
        let mut served: Vec<(String, Served<'w, 'a>)> = Vec::new();
        let mut carried: Vec<(&'static str, &'w Door<'a>, String)> = Vec::new();
        let gateway = self.gateway;
        for door in spoken(gateway, out) {
            match &door.serves {
                Serves::Requests { hosts, .. } => {
                    let sections = self.requests(door, out);
                    for host in hosts {
                        add(&mut served, host, &sections);
                    }
                }
                Serves::Bytes { .. } => {
                    carried.extend(self.bytes(door, out));
                }
                Serves::Datagrams { .. } => {
                    let name = format!("udp-{}", door.port);
                    self.listener(&name, door.port, "UDP", Map::new());
                    carried.push(("UDPRoute", door, name));
                }
                Serves::Untouched | Serves::Closed => {}
            }
        }
        let (namespace, name) = self.home.clone();
        let spec = Map::new().with("gatewayClassName", CLASS).list(
            "listeners",
            self.listeners.iter().map(|(_, it)| it.clone()).collect(),
        );
        let object = Object::new(V1, "Gateway", &namespace, &name)
            .spec(spec)
            .from(gateway.facts.origin);
        out.add(object);
        out.stands_for(gateway.id, format!("{namespace}/{name}"));
        for (_, served) in &served {
            self.host(served, out);
        }
        for (kind, door, section) in carried {
            self.carried(kind, door, &section, out);
        }
        self.write_grants(out);
    }

    fn lose(&self, area: Area, what: impl Into<String>, why: &str, out: &mut Written) {
        let reach = Reach::Gateway(self.gateway.id);
        let rule = self.gateway.facts.origin;
        out.lose(Loss::new(reach, area, rule, what, why));
    }

    fn listener(&mut self, name: &str, port: u16, protocol: &str, more: Map) {
        if self.listeners.iter().any(|(own, _)| own == name) {
            return;
        }
        let from = Map::new().with("namespaces", Map::new().with("from", "All"));
        let mut listener = Map::new().with("name", name);
        if let Some(host) = more.get("hostname") {
            listener.set("hostname", host.clone());
        }
        listener.set("port", port);
        listener.set("protocol", protocol);
        for (key, value) in more.iter() {
            listener.set(key, value.clone());
        }
        let listener = listener.with("allowedRoutes", from);
        self.listeners.push((name.to_owned(), listener));
    }

    /// Listeners of a door that reads requests, and their names.
    fn requests(&mut self, door: &Door<'_>, out: &mut Written) -> Vec<String> {
        let (certificate, mutual) = match door.tls {
            Tls::None | Tls::Passed => {
                let name = format!("http-{}", door.port);
                self.listener(&name, door.port, "HTTP", Map::new());
                return vec![name];
            }
            Tls::Ends {
                certificate,
                mutual,
            } => (certificate, mutual),
        };
        if mutual {
            self.lose(
                Area::Tls,
                "clients must show a certificate",
                "whom a Gateway believes is named by ConfigMaps, of which the source has none",
                out,
            );
        }
        let references = self.certificates(certificate, door.port, out);
        let tls = Map::new()
            .with("mode", "Terminate")
            .list("certificateRefs", references);
        let mut names = Vec::new();
        for host in hosts_of(door.server_names()) {
            let base = format!("https-{}", door.port);
            let name = match &host {
                None => base,
                Some(host) => dns_name(&format!("{base}-{host}")),
            };
            let more = Map::new().maybe("hostname", host).with("tls", tls.clone());
            self.listener(&name, door.port, "HTTPS", more);
            names.push(name);
        }
        names
    }

    /// References to the Secrets that a name of a certificate stands for.
    fn certificates(&mut self, certificate: &Name, port: u16, out: &mut Written) -> Vec<Map> {
        let node = NodeRef::Gateway(self.gateway.id);
        let known = self.intent.source.model.credential(node, certificate);
        let pairs = match known {
            Some(credential) => credential.pairs.clone(),
            None => vec![certificate.clone()],
        };
        if known.is_none() && is_made_up(certificate) {
            let loss = Loss::new(
                Reach::Gateway(self.gateway.id),
                Area::Connection,
                self.gateway.facts.origin,
                format!("at port {port} a certificate that the gateway made for itself"),
                format!("a Gateway takes certificates of Secrets, and `{certificate}` is none"),
            );
            let nearest = format!("the listener opens when a Secret `{certificate}` is there");
            out.lose(loss.nearest(nearest));
        }
        let mut references = Vec::new();
        for pair in &pairs {
            let (namespace, name) = pair
                .split_once('/')
                .unwrap_or((&self.gateway.facts.namespace, pair));
            let mut reference = Map::new().with("name", name);
            if namespace != self.home.0 {
                reference.set("namespace", namespace);
                self.certificates.insert(namespace.to_owned());
            }
            references.push(reference);
        }
        references
    }

    /// The listener of a door that carries bytes, with the kind of its route.
    fn bytes<'d>(
        &mut self,
        door: &'d Door<'a>,
        out: &mut Written,
    ) -> Option<(&'static str, &'d Door<'a>, String)> {
        match door.tls {
            Tls::None => {
                let name = format!("tcp-{}", door.port);
                self.listener(&name, door.port, "TCP", Map::new());
                Some(("TCPRoute", door, name))
            }
            Tls::Passed => {
                let name = format!("tls-{}", door.port);
                let tls = Map::new().with("tls", Map::new().with("mode", "Passthrough"));
                self.listener(&name, door.port, "TLS", tls);
                Some(("TLSRoute", door, name))
            }
            Tls::Ends { certificate, .. } => {
                let name = format!("tls-{}", door.port);
                let references = self.certificates(certificate, door.port, out);
                let tls = Map::new()
                    .with("mode", "Terminate")
                    .list("certificateRefs", references);
                self.listener(&name, door.port, "TLS", Map::new().with("tls", tls));
                if door.server_names().is_empty() {
                    return Some(("TCPRoute", door, name));
                }
                self.lose(
                    Area::Connection,
                    "bytes from within TLS go by server name",
                    "a TCPRoute has no server names",
                    out,
                );
                Some(("TCPRoute", door, name))
            }
        }
    }

    /// The routes of a host: one object, or several where its rules are many.
    fn host(&mut self, served: &Served<'w, 'a>, out: &mut Written) {
        let host = served.host;
        let names = self.names(host, out);
        if host.rules.is_empty() {
            return;
        }
        if names.as_ref().is_some_and(Vec::is_empty) {
            return;
        }
        let namespace = self.route_namespace(host);
        let reach = Reach::Gateway(self.gateway.id);
        let writer = Writer {
            source: self.intent.source,
            target: &TARGET,
            reader: Reader::Api,
            reach,
            namespace: namespace.clone(),
        };
        let made = writer.rules(&host.rules, out);
        let parents = self.parents(&namespace, &served.sections);
        let wanted = match &names {
            None => format!("{}-any", self.home.1),
            Some(names) => names[0].clone(),
        };
        let parts = split(made);
        let count = parts.len();
        for (nth, part) in parts.into_iter().enumerate() {
            // names decide between routes of one age
            let wanted = match count {
                1 => wanted.clone(),
                _ => format!("{wanted}-{:02}", nth + 1),
            };
            let name = out.free_name("HTTPRoute", &namespace, &wanted);
            let mut object = Object::new(V1, "HTTPRoute", &namespace, &name);
            for made in &part {
                object.comes_from(made.of.route.origin);
                for abroad in &made.abroad {
                    self.grant(abroad, "HTTPRoute", &namespace);
                }
            }
            let rules: Vec<Map> = part.into_iter().map(|made| made.rule).collect();
            let spec = Map::new()
                .with("parentRefs", parents.clone())
                .list("hostnames", names.clone().unwrap_or_default())
                .list("rules", rules);
            out.add(object.spec(spec));
        }
    }

    /// Host names as routes have them; none: any host.
    fn names(&self, host: &Host<'_>, out: &mut Written) -> Option<Vec<String>> {
        let mut names = Vec::new();
        for name in &host.names {
            if name == "*" {
                return None;
            }
            let inner = name.strip_prefix("*.").unwrap_or(name);
            if inner.contains(['*', ':']) || name.starts_with("*") && !name.starts_with("*.") {
                self.lose(
                    Area::Destination,
                    format!("the host `{name}`"),
                    "hostnames are whole, or `*.` and a domain",
                    out,
                );
            } else {
                names.push(name.clone());
            }
        }
        Some(names)
    }

    /// Where most of a host's first destinations are; a host that sends nothing on has the gateway's own.
    fn route_namespace(&self, host: &Host<'_>) -> String {
        let all = host.rules.iter().flat_map(|rule| &rule.to);
        let mut found = all.filter_map(|to| to.service());
        let first = found.next().map(|(service, _)| service);
        match first {
            Some(service) => self.intent.source.service(service).namespace.to_string(),
            None => self.home.0.clone(),
        }
    }

    fn parents(&self, namespace: &str, sections: &[String]) -> Vec<Map> {
        let mut base = Map::new().with("name", self.home.1.as_str());
        if namespace != self.home.0 {
            base.set("namespace", self.home.0.as_str());
        }
        let all = self
            .listeners
            .iter()
            .all(|(name, _)| sections.contains(name));
        if all {
            return vec![base];
        }
        let named = sections.iter();
        named
            .map(|section| base.clone().with("sectionName", section.as_str()))
            .collect()
    }

    fn grant(&mut self, to: &str, kind: &'static str, from: &str) {
        let grants = self.grants.entry(to.to_owned()).or_default();
        grants.insert((kind, from.to_owned()));
    }

    /// A route for connections or datagrams.
    fn carried(&mut self, kind: &'static str, door: &Door<'_>, section: &str, out: &mut Written) {
        let (to, origin): (&[Destination<'_>], _) = match &door.serves {
            Serves::Bytes { to, route } => (&to[..], route.origin),
            Serves::Datagrams { to, route } => (&to[..], route.origin),
            Serves::Requests { .. } | Serves::Untouched | Serves::Closed => return,
        };
        let namespace = self.home.0.clone();
        let mut references = Vec::new();
        for to in to {
            match backend(self.intent.source, to) {
                Ok(found) => {
                    let name = match found.labels.is_empty() {
                        true => found.name.to_owned(),
                        false => {
                            let service = self.intent.source.service(found.service);
                            out.subset(service, &found.labels)
                        }
                    };
                    let mut reference = Map::new().with("name", name);
                    if found.namespace != namespace {
                        reference.set("namespace", found.namespace);
                        self.grant(found.namespace, kind, &namespace);
                    }
                    reference.set("port", found.port);
                    if door_splits(door) {
                        reference.set("weight", to.weight);
                    }
                    references.push(reference);
                }
                Err(what) => self.lose(
                    Area::Destination,
                    format!("connections go to {what}"),
                    "a route leads to Services",
                    out,
                ),
            }
        }
        if references.is_empty() {
            return;
        }
        let version = match kind {
            "TLSRoute" => V1.to_owned(),
            _ => format!("{GROUP}/v1alpha2"),
        };
        let name = out.free_name(kind, &namespace, section);
        let rule = Map::new().with("backendRefs", references);
        let names: Vec<String> = match kind {
            "TLSRoute" => hosts_of(door.server_names())
                .into_iter()
                .flatten()
                .collect(),
            _ => Vec::new(),
        };
        let parent = Map::new()
            .with("name", self.home.1.as_str())
            .with("sectionName", section);
        let spec = Map::new()
            .with("parentRefs", vec![parent])
            .list("hostnames", names)
            .with("rules", vec![rule]);
        let object = Object::new(&version, kind, &namespace, &name);
        out.add(object.spec(spec).from(origin));
    }

    fn write_grants(&self, out: &mut Written) {
        for (namespace, from) in &self.grants {
            let who = from.iter().map(|(kind, from)| who(kind, from));
            let what = Map::new().with("group", "").with("kind", "Service");
            grant(namespace, &self.home.1, who.collect(), what, out);
        }
        for namespace in &self.certificates {
            let who = vec![who("Gateway", &self.home.0)];
            let what = Map::new().with("group", "").with("kind", "Secret");
            grant(namespace, &self.home.1, who, what, out);
        }
    }
}

/// Whether it is the name of what gateways show without a Secret: such have no namespace.
fn is_made_up(certificate: &str) -> bool {
    !certificate.contains('/') && certificate.ends_with("-default-certificate")
}

fn who(kind: &str, namespace: &str) -> Map {
    Map::new()
        .with("group", GROUP)
        .with("kind", kind)
        .with("namespace", namespace)
}

/// A grant of one namespace to others.
pub(super) fn grant(namespace: &str, wanted: &str, from: Vec<Map>, to: Map, out: &mut Written) {
    let name = out.free_name("ReferenceGrant", namespace, wanted);
    let spec = Map::new().with("from", from).with("to", vec![to]);
    let version = format!("{GROUP}/v1beta1");
    out.add(Object::new(&version, "ReferenceGrant", namespace, &name).spec(spec));
}

/// Server names as hosts; none, once: any.
fn hosts_of(names: &[ServerName]) -> Vec<Option<String>> {
    if names.is_empty() {
        return vec![None];
    }
    let names = names.iter();
    names
        .map(|name| {
            Some(match name {
                ServerName::Exact(name) => name.to_string(),
                ServerName::Suffix(suffix) => format!("*{suffix}"),
            })
        })
        .collect()
}

fn door_splits(door: &Door<'_>) -> bool {
    match &door.serves {
        Serves::Bytes { to, .. } | Serves::Datagrams { to, .. } => to.len() > 1,
        Serves::Requests { .. } | Serves::Untouched | Serves::Closed => false,
    }
}

/// A host that several listeners serve alike is written once.
fn add<'w, 'a>(
    served: &mut Vec<(String, Served<'w, 'a>)>,
    host: &'w Host<'a>,
    sections: &[String],
) {
    let mut digest = format!("{:?}", host.names);
    for rule in &host.rules {
        digest.push_str(&format!("{:?}{}", rule.route.matches, action(rule)));
    }
    match served.iter_mut().find(|(own, _)| *own == digest) {
        Some((_, known)) => known.sections.extend_from_slice(sections),
        None => served.push((
            digest,
            Served {
                host,
                sections: sections.to_vec(),
            },
        )),
    }
}

/// Rules in as many parts as objects are needed.
pub(super) fn split<'r, 'a>(made: Vec<Made<'r, 'a>>) -> Vec<Vec<Made<'r, 'a>>> {
    let mut parts: Vec<Vec<Made<'r, 'a>>> = Vec::new();
    for made in made {
        match parts.last_mut() {
            Some(part) if part.len() < MOST_RULES => part.push(made),
            Some(_) | None => parts.push(vec![made]),
        }
    }
    parts
}
