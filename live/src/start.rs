//! Everything that stands before the first request: pods, their proxies, their sockets.

use std::sync::Arc;

use manifests::model::{GatewayId, Model, Pods, WorkloadId};
use proxy_core::draw::DrawKey;
use proxy_core::time::Duration;
use rustc_hash::{FxHashMap, FxHashSet};
use scenarios::app::Replica;
use scenarios::plan::Plan;
use sim::Flight;
use slab::Slab;

use crate::address;
use crate::books::{Log, NamedProxy};
use crate::clock::{self, Agenda, Clock};
use crate::loads::dest_of;
use crate::stands;
use crate::wire::Wire;
use crate::world::{Dest, LoadState, Pod, Targets, World};
use crate::{Proxies, Refusal};

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

pub(crate) fn gateway_of(model: &Model, workload: u32) -> Option<GatewayId> {
    let gateways = (0..).zip(model.gateways());
    let mut ours = gateways.filter(|(_, it)| it.workload == Some(WorkloadId(workload)));
    ours.next().map(|(at, _)| GatewayId(at))
}

/// Makes the world as it is before the first request, its proxies serving.
pub(crate) fn world(
    flight: &Flight,
    seed: u64,
    proxies: &Proxies,
    stop: Option<&(dyn Fn() -> bool + Sync)>,
) -> Result<(World, Vec<NamedProxy>), Refusal> {
    let started = clock::now() + std::time::Duration::from_nanos(SETTLING.as_nanos());
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
        fleet: None,
        doors: FxHashMap::default(),
        relays: Vec::new(),
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
    let named = match proxies {
        Proxies::Own => stands::own(&mut world, started)?,
        Proxies::Envoy(binary) => {
            let named = stands::envoys(&mut world, binary, stop)?;
            // they have taken their time
            let started = clock::now() + std::time::Duration::from_nanos(SETTLING.as_nanos());
            world.clock = Clock::new(started);
            named
        }
    };
    Ok((world, named))
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

/// How long proxies may take to begin before the first request is sent.
const SETTLING: Duration = Duration::from_millis(300);
