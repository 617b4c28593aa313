//! Everything that stands before the first request: pods, their proxies, their sockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use manifests::model::{GatewayId, Model, NodeRef, Pods, WorkloadId};
use proxy::{Dial, Door, Meant, Options, Proxy, Tap, Way};
use proxy_core::draw::DrawKey;
use proxy_core::node::Arrival;
use proxy_core::time::Duration;
use rustc_hash::{FxHashMap, FxHashSet};
use scenarios::app::Replica;
use scenarios::plan::Plan;
use sim::Flight;
use slab::Slab;

use crate::Refusal;
use crate::address::{self, OUTBOUND};
use crate::apps::ports;
use crate::books::{Log, NamedProxy, Scribe, Who};
use crate::clock::{Agenda, Clock};
use crate::identities::Authority;
use crate::loads::dest_of;
use crate::wire::Wire;
use crate::world::{Dest, LoadState, Pod, Stands, Targets, World};

/// Who writes down what the proxies say, and how the result names them.
pub(crate) type Scribes = Vec<(Arc<Scribe>, NamedProxy)>;

/// The pods that are there at the start.
fn pods(flight: &Flight, root: DrawKey) -> Result<Vec<Pod>, Refusal> {
    let (plan, model) = (&flight.plan, &flight.model);
    let mut pods = Vec::new();
    for (workload, given) in (0..).zip(&plan.workloads) {
        let known = &model.world().workloads()[workload as usize];
        let is_gateway = gateway_of(model, workload).is_some();
        let versions = (0..).zip(&given.versions);
        let versions = versions.flat_map(|(at, it)| (0..it.replicas).map(move |_| at));
        for (ordinal, version) in (0..).zip(versions) {
            let node = plan.topology.place(workload as usize, ordinal as usize);
            let zone = plan.topology.zone_of(node);
            let behaviour = given.versions[version as usize].behaviour;
            let key = root
                .child(1 << 40 | u64::from(workload))
                .child(u64::from(ordinal));
            pods.push(Pod {
                workload,
                version,
                ordinal,
                ip: known.pod_address(ordinal),
                name: known.pod_name(ordinal).into(),
                node,
                zone,
                place: manifests::model::Place {
                    locality: format!("region/{}", plan.topology.zones[zone.index()]).into(),
                    node: (&*plan.topology.nodes[node.index()].name).into(),
                },
                app: (!is_gateway).then(|| Replica::new(plan.program.clone(), behaviour)),
                has_sidecar: model.workloads()[workload as usize].sidecar.is_some(),
                ready: true,
                key,
                arrived: 0,
                requests: Slab::new(),
                tries: FxHashMap::default(),
                gauges: [0; 3],
                servers: Vec::new(),
                resets: Vec::new(),
                swallows: Vec::new(),
            });
        }
    }
    let mut places = FxHashSet::default();
    for pod in &pods {
        for place in [address::outside(pod.ip), address::inside(pod.ip)] {
            let place = place.ok_or(Refusal::Address(pod.ip))?;
            if !places.insert(place) {
                return Err(Refusal::Address(pod.ip));
            }
        }
    }
    Ok(pods)
}

fn gateway_of(model: &Model, workload: u32) -> Option<GatewayId> {
    let gateways = (0..).zip(model.gateways());
    let mut ours = gateways.filter(|(_, it)| it.workload == Some(WorkloadId(workload)));
    ours.next().map(|(at, _)| GatewayId(at))
}

/// Makes the world as it is before the first request, its proxies serving.
pub(crate) fn world(
    flight: &Flight,
    seed: u64,
    started: Instant,
) -> Result<(World, Scribes), Refusal> {
    let (plan, model) = (flight.plan.clone(), flight.model.clone());
    let root = Plan::root(seed);
    let pods = pods(flight, root)?;
    let mut models = vec![model.clone()];
    let mut number = |given: &Option<Arc<Model>>| {
        given.as_ref().map(|given| {
            models.push(given.clone());
            models.len() as u32 - 1
        })
    };
    let later = (
        flight.changed.iter().map(&mut number).collect(),
        flight.pushed.iter().map(&mut number).collect(),
    );
    let mut by_workload = vec![Vec::new(); plan.workloads.len()];
    for (at, pod) in (0..).zip(&pods) {
        by_workload[pod.workload as usize].push(at);
    }
    let mut world = World {
        current: 0,
        newest: 0,
        later,
        clock: Clock::new(started),
        root,
        known: Pods::new(plan.workloads.len()),
        targets: Targets::default(),
        dests: vec![Dest::Unknown],
        call_dests: Vec::new(),
        loads: Vec::new(),
        proxies: Vec::new(),
        struck: vec![Vec::new(); plan.faults.len()],
        wire: Wire::default(),
        log: Log::new(),
        agenda: Agenda::default(),
        dialled: 0,
        over: false,
        plan,
        models,
        pods,
        by_workload,
    };
    for workload in 0..world.by_workload.len() as u32 {
        world.view(workload);
    }
    world.point();
    aim(&mut world);
    let scribes = proxies(&mut world, started)?;
    Ok((world, scribes))
}

/// Finds out where calls and requests go.
fn aim(world: &mut World) {
    let plan = world.plan.clone();
    for call in &plan.program.calls {
        let dest = world.dest(Dest::Service {
            service: call.to.0,
            port: call.port,
        });
        world.call_dests.push(dest);
    }
    for (at, load) in plan.loads.iter().enumerate() {
        let mut dests = vec![0; plan.requests.len()];
        for mixed in &load.mix {
            let template = &plan.requests[mixed.request.index()];
            let dest = dest_of(&world.models[0], &load.via, template);
            dests[mixed.request.index()] = world.dest(dest);
        }
        let clients = plan.clients(scenarios::plan::LoadId::at(at), world.root);
        world.loads.push(LoadState {
            clients,
            tries: FxHashMap::default(),
            dests,
            turn: 0,
        });
    }
}

fn proxies(world: &mut World, started: Instant) -> Result<Scribes, Refusal> {
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
    let mut authority = Authority::new()?;
    let mut scribes = Scribes::new();
    for pod in 0..world.pods.len() as u32 {
        let state = &world.pods[pod as usize];
        let sidecar = state.has_sidecar.then_some(WorkloadId(state.workload));
        let sidecar = sidecar.map(NodeRef::Sidecar);
        let gateway = gateway_of(&model, state.workload).map(NodeRef::Gateway);
        for node in sidecar.into_iter().chain(gateway) {
            let state = &world.pods[pod as usize];
            let Some(config) = model.config(node, &state.place, &world.known) else {
                continue;
            };
            let is_gateway = matches!(node, NodeRef::Gateway(_));
            let number = scribes.len() as u32;
            let what = if is_gateway { "gateway" } else { "sidecar" };
            let workers = world.plan.proxies.concurrency.max(1);
            let scribe = Arc::new(Scribe::new(
                who.clone(),
                (state.workload, state.ip),
                (is_gateway, is_gateway && state.has_sidecar),
                number,
            ));
            let writes = scribe.clone();
            let tap: Tap = Arc::new(move |node, now, target, event| {
                writes.note(node, now, target, event);
            });
            let own = if is_gateway { 3 } else { 2 };
            let place = proxy::Place {
                locality: state.place.locality.clone(),
                started: Some(started),
                dial: Some(dial(world, state, is_gateway)),
                tap: Some(tap),
            };
            let options = Options {
                secrets: authority.secrets(&config)?,
                config,
                admin: None,
                endpoints: Vec::new(),
                concurrency: workers as usize,
                seed: state
                    .key
                    .child(1 << 41 | own)
                    .bits(proxy_core::draw::Purpose::KubeProxy, 0),
                drain: std::time::Duration::ZERO,
                doors: doors(&model, state, node)?,
                place,
            };
            let named = NamedProxy {
                name: format!("{} {what}", state.name),
                workload: state.workload,
                workers,
            };
            let proxy = Proxy::start(options)?;
            world.proxies.push(Stands {
                proxy,
                node,
                pod,
                model: 0,
            });
            scribes.push((scribe, named));
        }
    }
    Ok(scribes)
}

/// Where a proxy listens.
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
                    meant: Meant::To(SocketAddr::new(pod.ip, port)),
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
                    meant: Meant::To(SocketAddr::new(pod.ip, port)),
                })
            });
            let mut doors: Vec<Door> = inbound.collect::<Option<_>>().ok_or_else(bad)?;
            doors.push(Door {
                address: address::at(ip, OUTBOUND).ok_or_else(bad)?,
                arrival: Arrival::Outbound,
                meant: Meant::Announced,
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

/// How long proxies may take to begin before the first request is sent.
pub(crate) const SETTLING: Duration = Duration::from_millis(300);
