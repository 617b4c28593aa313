//! Kubernetes manifests as what a gateway or a sidecar serves.
//!
//! Everything is read anew after a change: objects, the model that they make, the configuration of each proxy that is wanted, its
//! endpoints from EndpointSlices, and its certificates from Secrets or from the files of its mesh identity.

mod listen_map;
mod secrets;
mod status;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use manifests::diagnostics::{Diagnostics, did_you_mean};
use manifests::load::{Layer, Objects};
use manifests::model::{
    Declared, GatewayFacts, GatewayId, Input, Labels, MeshWish, Model, NodeRef, Place, Pods,
    SidecarRules, Workload,
};
use manifests::origins::Origins;
use manifests::text::{Sources, Span};
use proxy_core::config::{EndpointSet, ListenerAddress, Name, NodeConfig};
use proxy_core::node::Arrival;

pub use listen_map::{ListenMap, Listens, Transport};
pub use secrets::{IdentityFiles, presented};
pub use status::Reporter;

use crate::bootstrap::LoadError;
use crate::doors::{Door, Meant};
use crate::names::Named;
use crate::process::Secrets;

/// Where a sidecar takes what its application sends, and what is sent to its application.
///
/// Source: Istio 1.29, "Application Requirements": ports 15001 and 15006.
pub const OUTBOUND: u16 = 15001;
/// See [`OUTBOUND`].
pub const INBOUND: u16 = 15006;
/// Where what a sidecar passes on to its application comes from.
///
/// Source: Istio 1.29, as `source_address` of its inbound clusters.
pub const OWN_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);

/// Which proxies of the manifests are served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// The gateways called so (`namespace/name`), or all of them.
    Gateways(Vec<String>),
    /// The sidecar of this workload (`namespace/name`).
    Sidecar(String),
}

/// What is read, and for whom.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Files and folders; a later one replaces objects of earlier ones.
    pub paths: Vec<PathBuf>,
    /// For which proxies.
    pub role: Role,
    /// Which mesh runs: `istio`, or `istio@1.29`; none: the one that the manifests show.
    pub mesh: Option<String>,
    /// Where proxies listen, where it is not where the manifests say.
    pub listen_map: Option<PathBuf>,
    /// Certificate, key and authority of the mesh identity.
    pub identity: Option<IdentityFiles>,
    /// Where the proxies stand: `region/zone/subzone`.
    pub locality: String,
}

/// One proxy, ready to be served.
#[derive(Clone, Debug)]
pub struct Ready {
    /// `namespace/name` of the gateway, or of the sidecar's workload.
    pub name: Name,
    /// What it does.
    pub config: Arc<NodeConfig>,
    /// Its certificates and authorities.
    pub secrets: Secrets,
    /// Endpoints of clusters, where they are not those of the configuration.
    pub endpoints: Vec<(Name, Arc<EndpointSet>)>,
    /// The names of those, which are asked for again and again.
    pub names: Arc<[Named]>,
    /// Where it listens; empty: the sockets that the configuration names.
    pub doors: Vec<Door>,
    /// Where it stands.
    pub locality: Name,
}

/// What was read.
#[derive(Debug)]
pub struct Read {
    /// The proxies, in the order of the manifests.
    pub proxies: Vec<Ready>,
    /// What a person should know.
    pub notices: String,
    model: Model,
}

impl Wanted {
    /// Reads the manifests, and all that is needed besides.
    ///
    /// # Errors
    /// Where a file cannot be read, the manifests have errors, or there is no such proxy.
    pub fn read(&self, before: Option<&Read>) -> Result<Read, LoadError> {
        let map = match &self.listen_map {
            Some(path) => ListenMap::read(path)?,
            None => ListenMap::default(),
        };
        let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
        let mut objects = Objects::with_secrets();
        for path in &self.paths {
            let layer = Layer::path(path.display().to_string(), path);
            objects.apply(&layer, &mut sources, &mut problems);
        }
        let vault = objects.vault().cloned().unwrap_or_default();
        let declared = match &self.role {
            Role::Sidecar(name) => self.declared(&objects, name),
            Role::Gateways(_) => None,
        };
        let input = Input {
            declared: declared.into_iter().collect(),
            objects,
            mesh: self.wish(),
            sidecars: SidecarRules {
                inject: match &self.role {
                    Role::Sidecar(name) => vec![name.as_str().into()],
                    Role::Gateways(_) => Vec::new(),
                },
                skip: Vec::new(),
            },
            before: before.map(|read| &read.model),
            ..Input::default()
        };
        let model = Model::build(input, &mut Origins::default(), &mut problems);
        let text = problems.render(&sources);
        let Some(model) = model.filter(|_| !problems.has_errors()) else {
            return Err(LoadError::new(text));
        };
        let mut read = Read {
            proxies: Vec::new(),
            notices: text,
            model,
        };
        let pods = Pods::listed();
        for node in self.nodes(&read.model)? {
            let place = Place {
                locality: self.locality_in(&read.model),
                node: Name::from(""),
            };
            let Some(config) = read.model.config(node, &place, &pods) else {
                continue;
            };
            let of = (&read.model, node);
            let secrets = secrets::gather(
                of,
                &config,
                &vault,
                self.identity.as_ref(),
                &mut read.notices,
            )?;
            read.proxies.push(Ready {
                doors: doors(&read.model, node, &config, &map, &mut read.notices),
                name: config.name.clone(),
                config,
                secrets,
                endpoints: Vec::new(),
                names: Arc::default(),
                locality: place.locality,
            });
        }
        // a proxy without a door has been told of
        read.proxies.retain(|ready| !ready.doors.is_empty());
        let doors = read.proxies.iter();
        let doors: Vec<_> = doors.map(|it| (&*it.name, &*it.doors)).collect();
        if let Some((one, other, address)) = one_door_for_two(&doors) {
            return Err(LoadError::new(format!(
                "`{one}` and `{other}` both listen on {address}: name one of them with --gateway, or give each a place of its own with --listen-map\n"
            )));
        }
        Ok(read)
    }

    /// A workload that is known by its pods alone, or, to a mesh whose members are those that are named, by its namespace: the object that runs
    /// its pods is not among the manifests.
    fn declared(&self, objects: &Objects, name: &str) -> Option<Declared> {
        let (namespace, workload) = name.split_once('/')?;
        let is_there = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"]
            .iter()
            .any(|kind| objects.get("apps", kind, namespace, workload).is_some())
            || objects.get("", "Pod", namespace, workload).is_some();
        let mesh = self.mesh.as_deref().unwrap_or_default();
        let by_name = mesh.split('@').next() == Some("gateway-api")
            && objects.get("", "Namespace", "", namespace).is_some();
        let is_known = by_name || has_pods(objects, namespace, workload);
        (is_known && !is_there).then(|| Declared {
            namespace: namespace.into(),
            name: workload.into(),
            replicas: 0,
            labels: Labels::new(),
            ports: Vec::new(),
            has_service: false,
            span: Span::NOWHERE,
        })
    }

    fn wish(&self) -> MeshWish {
        let Some(mesh) = &self.mesh else {
            return MeshWish::Shown;
        };
        let (system, release) = match mesh.split_once('@') {
            Some((system, release)) => (system, Some(release)),
            None => (mesh.as_str(), None),
        };
        MeshWish::Named {
            system: system.to_owned(),
            release: release.map(str::to_owned),
            span: Span::NOWHERE,
        }
    }

    fn nodes(&self, model: &Model) -> Result<Vec<NodeRef>, LoadError> {
        match &self.role {
            Role::Gateways(names) => {
                let known = || model.gateways().iter().map(|facts| &*facts.name);
                let of = |at| NodeRef::Gateway(GatewayId(u32::try_from(at).unwrap_or(u32::MAX)));
                if let Some(name) = names.iter().find(|name| !known().any(|it| it == **name)) {
                    return Err(unknown("gateway", name, known()));
                }
                let all = model.gateways().iter().enumerate();
                let wanted = |facts: &GatewayFacts| {
                    names.is_empty() || names.iter().any(|name| **name == *facts.name)
                };
                let nodes: Vec<NodeRef> = all
                    .filter(|(_, facts)| wanted(facts))
                    .map(|(at, _)| of(at))
                    .collect();
                if nodes.is_empty() {
                    return Err(LoadError::new(
                        "the manifests have no gateway that is known: a Gateway of the Gateway API, an Istio Gateway, or an Ingress of Kong's class\n"
                            .to_owned(),
                    ));
                }
                Ok(nodes)
            }
            Role::Sidecar(name) => {
                let mut all = model.workloads().iter();
                let Some(workload) = all.find(|it| it.full_name() == *name) else {
                    let names: Vec<String> =
                        model.workloads().iter().map(Workload::full_name).collect();
                    let known = names.iter().map(String::as_str);
                    return Err(unknown("workload", name, known));
                };
                if workload.sidecar.is_none() {
                    let why = match model.mesh() {
                        None => "the manifests show no mesh: name one with --mesh".to_owned(),
                        Some(mesh) => format!("{mesh} gives its pods none"),
                    };
                    return Err(LoadError::new(format!("{name} has no sidecar: {why}\n")));
                }
                Ok(vec![NodeRef::Sidecar(workload.id)])
            }
        }
    }

    /// Where proxies stand, in the words that endpoints have: those of EndpointSlices without Node objects are in no region.
    fn locality_in(&self, model: &Model) -> Name {
        let mut listed = model.services().iter().flat_map(|service| &service.listed);
        let has_regions = listed.any(|listed| !listed.place.locality.starts_with('/'));
        match self.locality.split_once('/') {
            Some((_, rest)) if !has_regions => format!("/{rest}").into(),
            Some(_) | None => self.locality.as_str().into(),
        }
    }
}

/// Whether EndpointSlices name pods of a workload.
fn has_pods(objects: &Objects, namespace: &str, workload: &str) -> bool {
    let is_its = |pod: &str| {
        let rest = pod.strip_prefix(workload);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let mut slices = objects.of("discovery.k8s.io", "EndpointSlice");
    slices.any(|slice| {
        let endpoints = slice.node.get("endpoints").and_then(|it| it.as_seq());
        let mut pods = endpoints
            .into_iter()
            .flatten()
            .filter_map(|endpoint| endpoint.at("targetRef.name")?.as_str());
        slice.key.namespace == namespace && pods.any(is_its)
    })
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> LoadError {
    let known: Vec<&str> = known.collect();
    let help = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| match known.len() {
        0 => "the manifests have none".to_owned(),
        _ => format!("there are: {}", known.join(", ")),
    });
    LoadError::new(format!("no {what} is called `{name}`: {help}\n"))
}

/// Where a proxy listens: where the map says; else a gateway on every address, at the ports of its pods, and a sidecar where redirect rules
/// bring connections.
fn doors(
    model: &Model,
    node: NodeRef,
    config: &NodeConfig,
    map: &ListenMap,
    notices: &mut String,
) -> Vec<Door> {
    match node {
        NodeRef::Gateway(id) => {
            let facts = &model.gateways()[id.index()];
            let own = map.gateways.get(&*facts.name);
            if own.is_none() && !map.gateways.is_empty() {
                notices.push_str(&format!(
                    "{}: the listen map has no place for it: it is not served\n",
                    facts.name
                ));
                return Vec::new();
            }
            gateway_doors(facts, config, own, notices)
        }
        NodeRef::Sidecar(id) => match map.mesh.get(&model.workloads()[id.index()].full_name()) {
            Some(own) => mesh_doors(model, own, notices),
            None => intercepted(),
        },
    }
}

/// Two proxies at one door, to either of which the system would hand a connection, by chance.
fn one_door_for_two<'a>(proxies: &[(&'a str, &[Door])]) -> Option<(&'a str, &'a str, SocketAddr)> {
    let meets = |one: &Door, other: &Door| {
        let (a, b) = (one.address.ip(), other.address.ip());
        let all = a.is_unspecified() || b.is_unspecified();
        let is_same = a == b || all && a.is_ipv4() == b.is_ipv4();
        let [udp, other_udp] = [one, other].map(|door| door.arrival == Arrival::Datagrams);
        is_same && one.address.port() == other.address.port() && udp == other_udp
    };
    proxies.iter().enumerate().find_map(|(at, (name, doors))| {
        proxies[at + 1..].iter().find_map(|(other, others)| {
            let door = doors
                .iter()
                .find(|door| others.iter().any(|it| meets(door, it)))?;
            Some((*name, *other, door.address))
        })
    })
}

/// Where redirect rules bring connections, in each family of addresses that the machine has.
fn intercepted() -> Vec<Door> {
    let has_v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    let v6 = has_v6.then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let families = [IpAddr::V4(Ipv4Addr::UNSPECIFIED)].into_iter().chain(v6);
    families
        .flat_map(|ip| {
            [(OUTBOUND, Arrival::Outbound), (INBOUND, Arrival::Inbound)].map(|(port, arrival)| {
                Door {
                    address: SocketAddr::new(ip, port),
                    arrival,
                    meant: Meant::Original,
                }
            })
        })
        .collect()
}

fn gateway_doors(
    facts: &GatewayFacts,
    config: &NodeConfig,
    own: Option<&Listens>,
    notices: &mut String,
) -> Vec<Door> {
    let mut doors = Vec::new();
    for listen in &facts.listens {
        let (ip, port) = match own {
            None => (Ipv4Addr::UNSPECIFIED.into(), listen.bound),
            Some(own) => match own.ports.get(&listen.port) {
                Some(port) => (own.address, *port),
                None => {
                    notices.push_str(&format!(
                        "{}: the listen map has no place for its port {}: nothing listens there\n",
                        facts.name, listen.port
                    ));
                    continue;
                }
            },
        };
        let door = Door {
            address: SocketAddr::new(ip, port),
            arrival: Arrival::Dialled,
            meant: Meant::To(SocketAddr::new(ip, listen.bound)),
        };
        if !doors.contains(&door) {
            doors.push(door);
        }
    }
    let listeners = config.sections.iter().flat_map(|it| it.listeners());
    for listener in listeners {
        let ListenerAddress::Datagrams(at) = listener.address else {
            continue;
        };
        let (address, meant) = match own {
            None => (at, Meant::Dialled),
            Some(own) => match own.ports.get(&at.port()) {
                Some(port) => (SocketAddr::new(own.address, *port), Meant::To(at)),
                None => {
                    notices.push_str(&format!(
                        "{}: the listen map has no place for its port {}: nobody takes its datagrams\n",
                        facts.name,
                        at.port()
                    ));
                    continue;
                }
            },
        };
        doors.push(Door {
            address,
            arrival: Arrival::Datagrams,
            meant,
        });
    }
    if doors.is_empty() && config.sections.iter().all(|it| it.listeners().is_empty()) {
        notices.push_str(&format!("{}: it has no listener\n", facts.name));
    }
    doors
}

/// The addresses of Services as a workload's own proxy takes them, at other places.
fn mesh_doors(model: &Model, own: &BTreeMap<String, Listens>, notices: &mut String) -> Vec<Door> {
    let mut doors = Vec::new();
    for (name, listens) in own {
        let service = model.services().iter().find(|it| it.full_name() == *name);
        let Some(service) = service else {
            notices.push_str(&format!(
                "no Service is called `{name}`, which the listen map has a place for\n"
            ));
            continue;
        };
        // a headless Service has no address of its own: whoever dials it dials the place that stands for its pods
        let ip: IpAddr = service.cluster_ip().unwrap_or(listens.address);
        for (port, actual) in &listens.ports {
            doors.push(Door {
                address: SocketAddr::new(listens.address, *actual),
                arrival: Arrival::Outbound,
                meant: Meant::To(SocketAddr::new(ip, *port)),
            });
        }
    }
    doors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_gateways_cannot_have_one_door() {
        use Arrival::{Datagrams, Dialled};
        for (other, arrival, meets) in [
            ("0.0.0.0:80", Dialled, true),
            ("127.0.0.1:80", Dialled, true),
            ("0.0.0.0:81", Dialled, false),
            ("[::]:80", Dialled, false),
            ("0.0.0.0:80", Datagrams, false),
        ] {
            let door = |address: &str, arrival| Door {
                address: address.parse().unwrap(),
                arrival,
                meant: Meant::Dialled,
            };
            let doors = [[door("0.0.0.0:80", Dialled)], [door(other, arrival)]];
            let found = one_door_for_two(&[("a", &doors[0]), ("b", &doors[1])]);
            assert_eq!(found.is_some(), meets, "{other}");
        }
        let own = ["127.0.0.2:80", "127.0.0.3:80"].map(|address| {
            [Door {
                address: address.parse().unwrap(),
                arrival: Dialled,
                meant: Meant::Dialled,
            }]
        });
        assert_eq!(one_door_for_two(&[("a", &own[0]), ("b", &own[1])]), None);
    }
}
