//! What manifests say of who runs, who calls whom and where requests come in.

use std::collections::{BTreeMap, BTreeSet};

use manifests::load::Object;
use manifests::model::{GatewayFacts, Model, Service, Workload};
use manifests::text::{Node, Value};

use super::hosts;

/// Of a load's name.
const LONGEST: usize = 63;

/// All that a first scenario is written from, in the order of the manifests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// As `istio@1.29`.
    pub(super) mesh: Option<String>,
    pub(super) workloads: Vec<FoundWorkload>,
    pub(super) entries: Vec<Entry>,
}

/// A workload of the application.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FoundWorkload {
    /// As scenarios name it.
    pub(super) key: String,
    /// Services that its containers are given the address of.
    pub(super) calls: Vec<String>,
}

/// A way in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// `direct`, or `gateway/namespace/name`.
    pub(super) via: String,
    /// Host and path.
    pub(super) requests: Vec<(String, String)>,
}

impl Found {
    pub(super) fn of(model: &Model) -> Self {
        let gateways: BTreeSet<_> = model
            .gateways()
            .iter()
            .filter_map(|each| each.workload)
            .collect();
        let own: Vec<&Workload> = model
            .workloads()
            .iter()
            .filter(|each| !gateways.contains(&each.id))
            .collect();
        let mut graph = Graph::new(model, &own);
        let workloads = own.iter().enumerate().map(|(at, workload)| FoundWorkload {
            key: key(workload, model),
            calls: graph.calls_of(at),
        });
        Self {
            mesh: model.mesh().map(str::to_owned),
            workloads: workloads.collect(),
            entries: distinct(entries(model, &graph)),
        }
    }
}

/// The bare name where it can mean only this workload.
fn key(workload: &Workload, model: &Model) -> String {
    let same = model
        .workloads()
        .iter()
        .filter(|each| each.name == workload.name);
    if same.count() == 1 && &*workload.namespace == "default" {
        workload.name.to_string()
    } else {
        workload.full_name()
    }
}

/// Who is given whose address. Calls that would close a circle are left out: a scenario's calls have an end.
struct Graph<'a> {
    model: &'a Model,
    /// Services by place in the model, for each workload of the application.
    calls: Vec<Vec<usize>>,
    /// Workloads by place behind each Service.
    behind: Vec<Vec<usize>>,
    /// Namespace of each workload.
    namespaces: Vec<String>,
}

impl<'a> Graph<'a> {
    fn new(model: &'a Model, own: &[&Workload]) -> Self {
        let places: BTreeMap<_, usize> = own
            .iter()
            .enumerate()
            .map(|(at, each)| (each.id, at))
            .collect();
        let behind = model.services().iter().map(|service| {
            let ids = service.workloads.iter();
            ids.filter_map(|id| places.get(id).copied()).collect()
        });
        let mut graph = Self {
            model,
            calls: vec![Vec::new(); own.len()],
            behind: behind.collect(),
            namespaces: own.iter().map(|each| each.namespace.to_string()).collect(),
        };
        for (at, workload) in own.iter().enumerate() {
            for service in services_named_by(workload, model) {
                let closes = graph.behind[service]
                    .iter()
                    .any(|to| graph.reaches(*to, at));
                if !closes
                    && !graph.behind[service].is_empty()
                    && !graph.calls[at].contains(&service)
                {
                    graph.calls[at].push(service);
                }
            }
        }
        graph
    }

    /// Whether calls lead from one workload to another, or they are the same.
    fn reaches(&self, from: usize, to: usize) -> bool {
        let mut seen = BTreeSet::from([from]);
        let mut next = vec![from];
        while let Some(at) = next.pop() {
            if at == to {
                return true;
            }
            let called = self.calls[at]
                .iter()
                .flat_map(|service| &self.behind[*service]);
            next.extend(called.copied().filter(|called| seen.insert(*called)));
        }
        false
    }

    fn calls_of(&mut self, at: usize) -> Vec<String> {
        let services = self.calls[at]
            .iter()
            .map(|service| &self.model.services()[*service]);
        services
            .map(|service| match *service.namespace == *self.namespaces[at] {
                true => service.name.to_string(),
                false => service.full_name(),
            })
            .collect()
    }

    fn is_called(&self, service: usize) -> bool {
        self.calls.iter().flatten().any(|called| *called == service)
    }
}

/// Services whose address stands in a workload's containers: in `env`, `args` and `command`.
fn services_named_by(workload: &Workload, model: &Model) -> Vec<usize> {
    let span = workload.span;
    let object = model.world().objects().iter().find(|object| {
        let whole = object.span();
        whole.source == span.source && whole.start <= span.start && span.start < whole.end
    });
    let template = object.and_then(|object| object.node.at("spec.template.spec"));
    let pod = template.or_else(|| object.and_then(|object| object.node.at("spec")));
    let containers = pod
        .and_then(|pod| pod.get("containers"))
        .and_then(Node::as_seq);
    let mut words = BTreeSet::new();
    for container in containers.unwrap_or_default() {
        for part in ["env", "args", "command"] {
            if let Some(node) = container.get(part) {
                strings(node, &mut |text| words.extend(hosts(text)));
            }
        }
    }
    let services = model.services().iter().enumerate();
    services
        .filter(|(_, service)| words.iter().any(|word| means(word, service, workload)))
        .map(|(at, _)| at)
        .collect()
}

/// Whether a host leads to a Service from a pod of a workload.
fn means(host: &str, service: &Service, from: &Workload) -> bool {
    let host = host.trim_end_matches('.');
    let host = host.strip_suffix(".cluster.local").unwrap_or(host);
    let host = host.strip_suffix(".svc").unwrap_or(host);
    let (name, namespace) = host.split_once('.').unwrap_or((host, &from.namespace));
    *service.name == *name && *service.namespace == *namespace
}

fn strings(node: &Node, take: &mut impl FnMut(&str)) {
    match &node.value {
        Value::String(text) => take(text),
        Value::Seq(items) => items.iter().for_each(|item| strings(item, take)),
        Value::Map(map) => map
            .entries()
            .iter()
            .for_each(|entry| strings(&entry.value, take)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {}
    }
}

/// A load for each host of each gateway; without gateways one for each Service that clients outside can reach, or else that nobody calls.
fn entries(model: &Model, graph: &Graph<'_>) -> Vec<Entry> {
    if !model.gateways().is_empty() {
        let routes = routes(model);
        let gateways = model.gateways().iter();
        return gateways
            .flat_map(|gateway| of_gateway(gateway, &routes))
            .collect();
    }
    let services = model.services().iter().enumerate();
    let served: Vec<(usize, &Service)> = services
        .filter(|(at, service)| !graph.behind[*at].is_empty() && port(service).is_some())
        .collect();
    let outside: Vec<_> = served
        .iter()
        .filter(|(_, service)| is_outside(service, model))
        .collect();
    let uncalled: Vec<_> = served
        .iter()
        .filter(|(at, _)| !graph.is_called(*at))
        .collect();
    let chosen = match outside.is_empty() {
        true => uncalled,
        false => outside,
    };
    chosen
        .into_iter()
        .map(|(_, service)| of_service(service))
        .collect()
}

/// A load for each host that a gateway serves, with the paths of its routes.
fn of_gateway(gateway: &GatewayFacts, routes: &[(String, String)]) -> Vec<Entry> {
    let mut hosts: BTreeSet<&str> = gateway.hosts.iter().map(|host| &**host).collect();
    if hosts.is_empty() {
        hosts.insert("*");
    }
    let alone = hosts.len() == 1;
    let of_host = |host: &str| {
        let of_host = routes.iter().filter(|(own, _)| own == host);
        let mut paths: BTreeSet<&str> = of_host.map(|(_, path)| path.as_str()).collect();
        if paths.is_empty() {
            paths.insert("/");
        }
        let asked = asked(host);
        let requests = paths
            .into_iter()
            .map(|path| (asked.clone(), path.to_owned()));
        Entry {
            name: match alone {
                true => fit(&gateway.name),
                false => fit(&format!("{}-{asked}", gateway.name)),
            },
            via: format!("gateway/{}", gateway.name),
            requests: requests.collect(),
        }
    };
    hosts.into_iter().map(of_host).collect()
}

/// Loads of one name, which was cut short, have numbers.
fn distinct(mut entries: Vec<Entry>) -> Vec<Entry> {
    let mut taken = BTreeSet::new();
    for entry in &mut entries {
        let mut number = 1;
        let mut name = entry.name.clone();
        while !taken.insert(name.clone()) {
            number += 1;
            let kept = entry.name.len().min(LONGEST - 6);
            name = format!("{}-{number}", &entry.name[..kept]);
        }
        entry.name = name;
    }
    entries
}

fn of_service(service: &Service) -> Entry {
    let host = match &*service.namespace == "default" {
        true => service.name.to_string(),
        false => format!("{}.{}", service.name, service.namespace),
    };
    let host = match port(service) {
        None | Some(80) => host,
        Some(port) => format!("{host}:{port}"),
    };
    let name = match &*service.namespace == "default" {
        true => fit(&service.name),
        false => fit(&service.full_name()),
    };
    Entry {
        name,
        via: "direct".to_owned(),
        requests: vec![(host, "/".to_owned())],
    }
}

fn port(service: &Service) -> Option<u16> {
    let mut tcp = service.ports.iter().filter(|port| !port.udp);
    tcp.next().map(|port| port.number)
}

fn is_outside(service: &Service, model: &Model) -> bool {
    let object = model
        .world()
        .objects()
        .get("", "Service", &service.namespace, &service.name);
    let kind = object
        .and_then(|object| object.node.at("spec.type"))
        .and_then(Node::as_str);
    matches!(kind, Some("LoadBalancer" | "NodePort"))
}

/// A host that a client would ask for.
fn asked(host: &str) -> String {
    match host.strip_prefix("*.") {
        Some(rest) => format!("www.{rest}"),
        None if host == "*" => "example.com".to_owned(),
        None => host.to_owned(),
    }
}

/// Letters, digits, `-` and `.`: a name for a load.
fn fit(name: &str) -> String {
    let plain = |c: char| match c.is_ascii_alphanumeric() || c == '.' {
        true => c,
        false => '-',
    };
    name.chars().map(plain).take(LONGEST).collect()
}

/// Host and path of every route of the manifests that says both without a pattern.
fn routes(model: &Model) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for ingress in model.world().ingresses() {
        for rule in &ingress.rules {
            let host = rule.host.as_ref().map_or("*", |host| host.as_str());
            let paths = rule.paths.iter().map(|path| path.path.as_str());
            let paths = paths.filter(|path| is_path(path));
            all.extend(paths.map(|path| (host.to_owned(), path.to_owned())));
        }
    }
    let objects = model.world().objects();
    for object in objects.of("gateway.networking.k8s.io", "HTTPRoute") {
        let matches = list(object, "spec.rules")
            .iter()
            .flat_map(|rule| below(rule, "matches"));
        let paths: Vec<&str> = matches
            .filter(|each| each.at("path.type").and_then(Node::as_str) != Some("RegularExpression"))
            .filter_map(|each| each.at("path.value").and_then(Node::as_str))
            .collect();
        pair(list(object, "spec.hostnames"), &paths, &mut all);
    }
    for object in objects.of("networking.istio.io", "VirtualService") {
        let matches = list(object, "spec.http")
            .iter()
            .flat_map(|rule| below(rule, "match"));
        let paths: Vec<&str> = matches
            .filter_map(|each| each.at("uri.prefix").or_else(|| each.at("uri.exact")))
            .filter_map(Node::as_str)
            .collect();
        pair(list(object, "spec.hosts"), &paths, &mut all);
    }
    all
}

fn pair(hosts: &[Node], paths: &[&str], all: &mut Vec<(String, String)>) {
    let hosts: Vec<&str> = match hosts.is_empty() {
        true => vec!["*"],
        false => hosts.iter().filter_map(Node::as_str).collect(),
    };
    for host in hosts {
        let paths = paths.iter().filter(|path| is_path(path));
        all.extend(paths.map(|path| (host.to_owned(), (*path).to_owned())));
    }
}

fn list<'a>(object: &'a Object, path: &str) -> &'a [Node] {
    object
        .node
        .at(path)
        .and_then(Node::as_seq)
        .unwrap_or_default()
}

fn below<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key).and_then(Node::as_seq).unwrap_or_default()
}

/// Whether a request can ask for it as it stands.
fn is_path(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.".contains(&b);
    path.starts_with('/') && path.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_have_names_of_their_own() {
        let entry = |name: &str| Entry {
            name: fit(name),
            via: "direct".into(),
            requests: Vec::new(),
        };
        let long = "x".repeat(80);
        let all = distinct(vec![entry("a/b"), entry("a-b"), entry(&long), entry(&long)]);
        let names: Vec<&str> = all.iter().map(|each| each.name.as_str()).collect();
        assert_eq!(names[..2], ["a-b", "a-b-2"]);
        assert_eq!(names[2], "x".repeat(63));
        assert!(names[3].len() <= 63 && names[3].ends_with("x-2"));
    }

    #[test]
    fn a_client_asks_for_a_host_that_the_pattern_takes() {
        for (host, expected) in [
            ("*.example.com", "www.example.com"),
            ("*", "example.com"),
            ("api.example.com", "api.example.com"),
        ] {
            assert_eq!(asked(host), expected);
        }
    }
}
