//! Which proxies stand before the pods, where they listen, and where they find what they dial.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use manifests::envoy::Door;
use manifests::model::{Model, NodeRef, WorkloadId};
use proxy::{Dial, Meant, Options, Proxy, Tap, Way};
use proxy_core::config::NodeConfig;
use proxy_core::node::Arrival;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::Refusal;
use crate::address::{self, OUTBOUND};
use crate::apps::ports;
use crate::books::NamedProxy;
use crate::envoy::{Fleet, Post};
use crate::identities::Authority;
use crate::relay::Relay;
use crate::scribe::{Scribe, Seat, Who};
use crate::start::gateway_of;
use crate::world::{Dest, Engine, Pod, Stands, World};

/// Where a proxy is to stand.
struct Place {
    pod: u32,
    node: NodeRef,
    config: Arc<NodeConfig>,
    seat: Seat,
    named: NamedProxy,
}

impl Place {
    const fn is_gateway(&self) -> bool {
        self.seat.is_gateway
    }
}

fn places(world: &World) -> Vec<Place> {
    let model = world.models[0].clone();
    let mut who = Who::default();
    for pod in &world.pods {
        who.pods
            .insert(pod.ip, (pod.workload, pod.name.to_string()));
    }
    for service in &world.plan.services {
        if let Some(first) = service.workloads.first() {
            let name = format!("{}/{}", service.namespace, service.name);
            who.services.insert(name, first.0);
        }
    }
    let who = Arc::new(who);
    let mut places = Vec::new();
    for (number, pod) in (0..).zip(&world.pods) {
        let sidecar = pod.has_sidecar.then_some(WorkloadId(pod.workload));
        let sidecar = sidecar.map(NodeRef::Sidecar);
        let gateway = gateway_of(&model, pod.workload).map(NodeRef::Gateway);
        for node in sidecar.into_iter().chain(gateway) {
            let Some(config) = model.config(node, &pod.place, &world.known) else {
                continue;
            };
            let is_gateway = matches!(node, NodeRef::Gateway(_));
            let what = if is_gateway { "gateway" } else { "sidecar" };
            let proxy = places.len() as u32;
            places.push(Place {
                pod: number,
                node,
                config,
                seat: Seat {
                    who: who.clone(),
                    workload: pod.workload,
                    ip: pod.ip,
                    is_gateway,
                    behind_sidecar: is_gateway && pod.has_sidecar,
                    proxy,
                },
                named: NamedProxy {
                    name: format!("{} {what}", pod.name),
                    workload: pod.workload,
                    workers: world.plan.proxies.concurrency.max(1),
                },
            });
        }
    }
    places
}

/// Has our own proxies stand.
pub(crate) fn own(world: &mut World, started: Instant) -> Result<Vec<NamedProxy>, Refusal> {
    let model = world.models[0].clone();
    let mut authority = Authority::new()?;
    let mut all = Vec::new();
    for place in places(world) {
        let pod = &world.pods[place.pod as usize];
        let scribe = Arc::new(Scribe::new(place.seat.clone()));
        let writes = scribe.clone();
        let tap: Tap = Arc::new(move |node, now, target, event| {
            writes.note(node, now, target, event);
        });
        let own = if place.is_gateway() { 3 } else { 2 };
        let at = proxy::Place {
            locality: pod.place.locality.clone(),
            started: Some(started),
            dial: Some(dial(world, pod, place.is_gateway())),
            tap: Some(tap),
            lookup: None,
        };
        let options = Options {
            secrets: authority.secrets(&place.config)?,
            config: place.config,
            admin: None,
            endpoints: Vec::new(),
            names: Arc::default(),
            concurrency: place.named.workers as usize,
            seed: pod
                .key
                .child(1 << 41 | own)
                .bits(proxy_core::draw::Purpose::KubeProxy, 0),
            drain: std::time::Duration::ZERO,
            doors: doors(&model, pod, place.node)?
                .into_iter()
                .map(|door| proxy::Door {
                    address: door.address,
                    arrival: door.arrival,
                    meant: door.meant.map_or(Meant::Announced, Meant::To),
                })
                .collect(),
            place: at,
        };
        let proxy = Proxy::start(options)?;
        world.proxies.push(Stands {
            engine: Engine::Own(proxy, scribe),
            node: place.node,
            pod: place.pod,
            model: 0,
        });
        all.push(place.named);
    }
    Ok(all)
}

/// Has Envoys stand.
pub(crate) fn envoys(
    world: &mut World,
    binary: &Path,
    stop: Option<&(dyn Fn() -> bool + Sync)>,
) -> Result<Vec<NamedProxy>, Refusal> {
    let model = world.models[0].clone();
    let (mut all, mut posts) = (Vec::new(), Vec::new());
    let places = places(world);
    let relays = relays(world, &places)?;
    for place in &places {
        if let NodeRef::Sidecar(_) = place.node {
            open(world, place)?;
        }
    }
    for place in places {
        let pod = &world.pods[place.pod as usize];
        let mut doors = doors(&model, pod, place.node)?;
        let extra = world.doors.iter().filter(|((pod, _), _)| *pod == place.pod);
        let extra: FxHashMap<SocketAddr, SocketAddr> = extra
            .map(|((_, meant), address)| (*meant, *address))
            .collect();
        if !place.is_gateway() {
            let mut extra: Vec<_> = extra.iter().collect();
            extra.sort();
            doors.extend(extra.into_iter().map(|(meant, address)| Door {
                address: *address,
                arrival: Arrival::Outbound,
                meant: Some(*meant),
            }));
        }
        let post = Post {
            name: place.named.name.clone(),
            locality: pod.place.locality.clone(),
            doors,
            places: Box::new(found(world, pod, place.is_gateway(), extra, relays.clone())),
            workers: place.named.workers,
            seat: place.seat,
            folder: std::path::PathBuf::new(),
        };
        posts.push((post, place.config));
        world.proxies.push(Stands {
            engine: Engine::Envoy,
            node: place.node,
            pod: place.pod,
            model: 0,
        });
        all.push(place.named);
    }
    world.fleet = Some(Fleet::start(binary, posts, Authority::new()?, stop)?);
    Ok(all)
}

/// Everything that a node may ever dial by address.
fn dialled(world: &World, pod: &Pod, node: NodeRef) -> BTreeSet<SocketAddr> {
    let models = world.models.iter();
    let configs = models.filter_map(|model| model.config(node, &pod.place, &world.known));
    let mut found = BTreeSet::new();
    for config in configs {
        let clusters = config.sections.iter().flat_map(|it| it.clusters());
        let endpoints = clusters.flat_map(|it| &it.endpoints.endpoints);
        found.extend(endpoints.map(|it| it.address));
    }
    found
}

/// Sockets for the Services that Envoys dial: by the addresses of the Services.
fn relays(
    world: &mut World,
    places: &[Place],
) -> Result<FxHashMap<SocketAddr, SocketAddr>, Refusal> {
    let mut wanted = BTreeSet::new();
    for place in places.iter().filter(|place| !place.seat.behind_sidecar) {
        let pod = &world.pods[place.pod as usize];
        wanted.extend(dialled(world, pod, place.node));
    }
    let targets = world.targets.read().unwrap_or_else(PoisonError::into_inner);
    wanted.retain(|address| targets.contains_key(address));
    drop(targets);
    let mut relays = FxHashMap::default();
    for service in wanted {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        relays.insert(service, socket.local_addr()?);
        world.relays.push(Relay { socket, service });
    }
    Ok(relays)
}

/// Gives a sidecar a socket for each address that its pod dials without being able to say which: a gateway's Envoy writes no PROXY
/// header, and the sidecar's cannot carry to an address that its configuration does not name.
fn open(world: &mut World, place: &Place) -> Result<(), Refusal> {
    let pod = &world.pods[place.pod as usize];
    let model = &world.models[0];
    let mut taken = ports(model, pod.workload);
    let mut meant = BTreeSet::new();
    if let Some(gateway) = gateway_of(model, pod.workload) {
        let listens = &model.gateways()[gateway.index()].listens;
        taken.extend(listens.iter().map(|listen| listen.bound));
        meant.extend(dialled(world, pod, NodeRef::Gateway(gateway)));
    }
    let services = world.dests.iter().filter_map(|dest| match dest {
        Dest::Service { service, port } => Some((*service, *port)),
        Dest::Gateway { .. } | Dest::Unknown => None,
    });
    let is_headless = |service: u32| model.services()[service as usize].cluster_ip().is_none();
    for (service, port) in services.filter(|(service, _)| is_headless(*service)) {
        meant.extend(world.ready_behind(service, port));
    }
    let ip = address::outside(pod.ip);
    let mut free = (OUTBOUND + 100..=u16::MAX).filter(|port| !taken.contains(port));
    let mut doors = Vec::new();
    for meant in meant {
        let address = free.next().and_then(|port| address::at(ip, port));
        let address = address.ok_or(Refusal::Address(pod.ip))?;
        doors.push(((place.pod, meant), address));
    }
    world.doors.extend(doors);
    Ok(())
}

/// Nobody listens there: the port of a service that discards, which no machine has.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

/// As [`dial`], for whoever must know before: where each address is found.
fn found(
    world: &World,
    pod: &Pod,
    is_gateway: bool,
    doors: FxHashMap<SocketAddr, SocketAddr>,
    relays: FxHashMap<SocketAddr, SocketAddr>,
) -> impl Fn(SocketAddr) -> SocketAddr + Send + 'static {
    let pods: FxHashSet<IpAddr> = world.pods.iter().map(|pod| pod.ip).collect();
    let (own, has_sidecar) = (pod.ip, pod.has_sidecar);
    move |meant| {
        let place = if is_gateway && has_sidecar {
            doors.get(&meant).copied()
        } else if !is_gateway && (meant.ip() == own || meant.ip().is_loopback()) {
            address::at(address::inside(own), meant.port())
        } else if let Some(relay) = relays.get(&meant) {
            Some(*relay)
        } else if pods.contains(&meant.ip()) {
            address::at(address::outside(meant.ip()), meant.port())
        } else {
            None
        };
        place.unwrap_or(NOBODY)
    }
}

/// Where a proxy listens: what applications send begins with a PROXY header.
fn doors(model: &Model, pod: &Pod, node: NodeRef) -> Result<Vec<Door>, Refusal> {
    let bad = || Refusal::Address(pod.ip);
    match node {
        NodeRef::Gateway(gateway) => {
            let ip = if pod.has_sidecar {
                address::inside(pod.ip)
            } else {
                address::outside(pod.ip)
            };
            let mut bound: Vec<u16> = model.gateways()[gateway.index()]
                .listens
                .iter()
                .map(|listen| listen.bound)
                .collect();
            bound.sort_unstable();
            bound.dedup();
            let doors = bound.into_iter().map(|port| {
                Some(Door {
                    address: address::at(ip, port)?,
                    arrival: Arrival::Dialled,
                    meant: Some(SocketAddr::new(pod.ip, port)),
                })
            });
            doors.collect::<Option<_>>().ok_or_else(bad)
        }
        NodeRef::Sidecar(workload) => {
            let ip = address::outside(pod.ip);
            let mut all = ports(model, workload.0);
            if let Some(gateway) = gateway_of(model, workload.0) {
                let listens = &model.gateways()[gateway.index()].listens;
                all.extend(listens.iter().map(|listen| listen.bound));
                all.sort_unstable();
                all.dedup();
            }
            let inbound = all.into_iter().map(|port| {
                Some(Door {
                    address: address::at(ip, port)?,
                    arrival: Arrival::Inbound,
                    meant: Some(SocketAddr::new(pod.ip, port)),
                })
            });
            let mut doors: Vec<Door> = inbound.collect::<Option<_>>().ok_or_else(bad)?;
            doors.push(Door {
                address: address::at(ip, OUTBOUND).ok_or_else(bad)?,
                arrival: Arrival::Outbound,
                meant: None,
            });
            Ok(doors)
        }
    }
}

/// How a proxy finds what it dials: its own application behind it, a Service as kube-proxy would have it, other pods where they are.
fn dial(world: &World, pod: &Pod, is_gateway: bool) -> Dial {
    let pods: FxHashSet<IpAddr> = world.pods.iter().map(|pod| pod.ip).collect();
    let targets = world.targets.clone();
    let (own, has_sidecar) = (pod.ip, pod.has_sidecar);
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let straight = |address: Option<SocketAddr>| {
        address.map(|address| Way {
            address,
            announce: None,
        })
    };
    Arc::new(move |meant: SocketAddr| {
        if is_gateway && has_sidecar {
            return Some(Way {
                address: address::at(address::outside(own), OUTBOUND)?,
                announce: Some(meant),
            });
        }
        if !is_gateway && (meant.ip() == own || meant.ip().is_loopback()) {
            return straight(address::at(address::inside(own), meant.port()));
        }
        let targets = targets.read().unwrap_or_else(PoisonError::into_inner);
        let to = match targets.get(&meant) {
            Some(ready) => {
                let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                *ready.get(turn.checked_rem(ready.len())?)?
            }
            None => meant,
        };
        if !pods.contains(&to.ip()) {
            return None;
        }
        straight(address::at(address::outside(to.ip()), to.port()))
    })
}
