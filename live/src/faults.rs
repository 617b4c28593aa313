//! What goes wrong and what operators do, at its moment.

use proxy_core::draw::Purpose;
use proxy_core::time::{Duration, Time};
use scenarios::app::{AppInput, Effect};
use scenarios::plan::{ChangeKind, DistId, FaultId, FaultKind, Plan};

use crate::books::Entry;
use crate::world::{Due, Engine, Live, World};

/// What of a plan cannot be done on loopback, one line each.
pub(crate) fn refused(plan: &Plan) -> Vec<String> {
    let mut said = Vec::new();
    for fault in &plan.faults {
        match fault.kind {
            FaultKind::Slow { .. }
            | FaultKind::Error { .. }
            | FaultKind::Crash { .. }
            | FaultKind::Freeze { .. }
            | FaultKind::Capacity { .. }
            | FaultKind::Reset { .. }
            | FaultKind::Blackhole { .. }
            | FaultKind::Surge { .. }
            | FaultKind::Push { .. } => {
                let edge = fault.kind.select().and_then(|select| select.edge);
                if edge.is_some() {
                    said.push(format!("fault `{}` strikes one edge alone", fault.name));
                }
            }
            FaultKind::Delay { .. }
            | FaultKind::Loss { .. }
            | FaultKind::Partition { .. }
            | FaultKind::Outage { .. }
            | FaultKind::Dns { .. }
            | FaultKind::Expire { .. } => {
                let kind = fault.kind.name();
                said.push(format!("fault `{}` is a `{kind}`", fault.name));
            }
        }
    }
    for change in &plan.changes {
        let kind = match change.kind {
            ChangeKind::Apply { .. } => continue,
            ChangeKind::Scale { .. } => "scale",
            ChangeKind::Restart { .. } => "restart",
            ChangeKind::Rollout { .. } => "rollout",
        };
        said.push(format!("change `{}` is a `{kind}`", change.name));
    }
    said
}

impl Live {
    /// Sets down everything that the plan says will happen.
    pub(crate) fn schedule(&self) {
        let plan = self.with(|world| world.plan.clone());
        for (number, fault) in (0..).zip(&plan.faults) {
            self.plan(fault.window.from, Due::Fault(number, true));
            if fault.window.length.is_some() {
                self.plan(fault.window.until(), Due::Fault(number, false));
            }
        }
        for (number, change) in (0..).zip(&plan.changes) {
            self.plan(change.at, Due::Change(number));
        }
    }

    pub(crate) fn fault(&self, number: u32, begins: bool) {
        let now = self.now();
        let plan = self.with(|world| world.plan.clone());
        let fault = &plan.faults[number as usize];
        let struck = self.with(|world| {
            world.note(now, Entry::Fault { number, begins });
            if !begins {
                return std::mem::take(&mut world.struck[number as usize]);
            }
            let select = fault.kind.select();
            let all = select.map_or_else(Vec::new, |it| world.selected(it, &fault.name));
            world.struck[number as usize].clone_from(&all);
            all
        });
        if let Some(effect) = Effect::of(&fault.kind) {
            let fault = FaultId(number);
            for pod in struck {
                self.tell(
                    pod,
                    if begins {
                        AppInput::FaultBegins { fault, effect }
                    } else {
                        AppInput::FaultEnds { fault }
                    },
                );
            }
            return;
        }
        match fault.kind {
            FaultKind::Crash { .. } => {
                for pod in struck {
                    if begins {
                        self.crash(pod);
                    }
                    if !begins || fault.window.length.is_none() {
                        let key = self.with(|world| {
                            let key = world.pods[pod as usize].key;
                            key.child(1 << 40 | u64::from(number))
                        });
                        self.tell(pod, AppInput::Boot { key });
                    }
                }
            }
            FaultKind::Reset { share, .. } => self.with(|world| {
                let shares = struck.iter().map(|pod| *pod as usize);
                for pod in shares {
                    strike(&mut world.pods[pod].resets, number, share, begins);
                }
            }),
            FaultKind::Blackhole { share, .. } => self.with(|world| {
                for pod in struck {
                    strike(&mut world.pods[pod as usize].swallows, number, share, begins);
                }
            }),
            FaultKind::Push { propagation, .. } => {
                let model = self.with(|world| {
                    if begins {
                        world.pushed(number)
                    } else {
                        Some(world.current)
                    }
                });
                if let Some(model) = model {
                    self.propagate(model, propagation, &fault.name, None);
                }
            }
            FaultKind::Slow { .. }
            | FaultKind::Error { .. }
            | FaultKind::Freeze { .. }
            | FaultKind::Capacity { .. }
            // the arrivals hold it already
            | FaultKind::Surge { .. }
            // refused before the run
            | FaultKind::Delay { .. }
            | FaultKind::Loss { .. }
            | FaultKind::Partition { .. }
            | FaultKind::Outage { .. }
            | FaultKind::Dns { .. }
            | FaultKind::Expire { .. } => {}
        }
    }

    /// A process dies with everything in it; its proxy stays.
    fn crash(&self, pod: u32) {
        self.tell(pod, AppInput::Crash);
        let servers = self.with(|world| std::mem::take(&mut world.pods[pod as usize].servers));
        for server in servers {
            server.abort();
        }
        self.became(pod, false);
    }

    pub(crate) fn change(&self, number: u32) {
        let plan = self.with(|world| world.plan.clone());
        let change = &plan.changes[number as usize];
        let model = self.with(|world| {
            let model = world.changed(number)?;
            world.current = model;
            world.point();
            Some(model)
        });
        if let Some(model) = model {
            self.propagate(model, change.propagation, &change.name, Some(number));
        }
    }

    fn propagate(&self, model: u32, propagation: Option<DistId>, name: &str, change: Option<u32>) {
        let now = self.now();
        let all: Vec<(u32, Duration)> = self.with(|world| {
            world.newest = model;
            let key = world.root.child(sim::setup::hash_of(name));
            let proxies = (0..).zip(&world.proxies);
            let delays = proxies.map(|(proxy, stands)| {
                let pod = &world.pods[stands.pod as usize];
                let own = key
                    .child(u64::from(pod.workload))
                    .child(u64::from(pod.ordinal));
                let after = propagation.map_or(Duration::ZERO, |id| {
                    let u = own.unit(Purpose::Propagation, 0);
                    world.plan.program.distribution(id).sample(u)
                });
                (proxy, after)
            });
            delays.collect()
        });
        for (proxy, after) in all {
            let due = Due::Configure {
                proxy,
                model,
                change,
            };
            self.plan(now + after, due);
        }
    }

    pub(crate) fn configure(&self, proxy: u32, model: u32, change: Option<u32>) {
        let now = self.now();
        self.with(|world| {
            if world.newest != model {
                return;
            }
            let stands = &world.proxies[proxy as usize];
            let place = world.pods[stands.pod as usize].place.clone();
            let known = world.known.clone();
            let config = world.models[model as usize].config(stands.node, &place, &known);
            if let Some(config) = config {
                match (&stands.engine, &world.fleet) {
                    (Engine::Own(own, _), _) => own.reconfigure(config),
                    (Engine::Envoy, Some(fleet)) => fleet.configure(proxy as usize, config),
                    (Engine::Envoy, None) => {}
                }
                world.proxies[proxy as usize].model = model;
            }
            if let Some(change) = change {
                world.note(now, Entry::Applied { change });
            }
        });
    }

    /// Everybody knows how the pods of a workload are.
    pub(crate) fn endpoints(&self, workload: u32) {
        self.with(|world| {
            world.view(workload);
            world.point();
            for (proxy, stands) in world.proxies.iter().enumerate() {
                let place = &world.pods[stands.pod as usize].place;
                let id = manifests::model::WorkloadId(workload);
                let model = &world.models[stands.model as usize];
                let sets = model.endpoints(stands.node, place, &world.known, id);
                if sets.is_empty() {
                    continue;
                }
                match (&stands.engine, &world.fleet) {
                    (Engine::Own(own, _), _) => own.set_endpoints(sets),
                    (Engine::Envoy, Some(fleet)) => {
                        let config = model.config(stands.node, place, &world.known);
                        config
                            .into_iter()
                            .for_each(|config| fleet.configure(proxy, config));
                    }
                    (Engine::Envoy, None) => {}
                }
            }
        });
    }
}

fn strike(shares: &mut Vec<(u32, f64)>, fault: u32, share: f64, begins: bool) {
    if begins {
        shares.push((fault, share));
    } else {
        shares.retain(|(known, _)| *known != fault);
    }
}

impl World {
    /// The state of the manifests while a fault pushes some.
    fn pushed(&self, fault: u32) -> Option<u32> {
        self.later.1[fault as usize]
    }

    /// The state of the manifests after a change.
    fn changed(&self, change: u32) -> Option<u32> {
        self.later.0[change as usize]
    }
}

/// The end of a plan.
pub(crate) fn end_of(plan: &Plan) -> Time {
    Time::ZERO + plan.duration
}
