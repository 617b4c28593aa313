//! Faults and changes of the plan, as they come.

use proxy_core::draw::Purpose;
use proxy_core::time::Duration;
use scenarios::app::{AppInput, Effect};
use scenarios::plan::{ChangeKind, FaultId, FaultKind, Pods, Select};

use super::World;
use super::network::{Trouble, hash_of};
use super::parts::Event;

/// From a node's last heartbeat until its pods are no endpoints any more. Source: kube-controller-manager
/// `--node-monitor-grace-period`, 50 s since Kubernetes 1.32.
const NODE_GRACE: Duration = Duration::from_secs(50);

impl World<'_> {
    /// Puts everything in the queue that the plan says will happen.
    pub(super) fn schedule(&mut self) {
        for (number, fault) in (0..).zip(&self.plan.faults) {
            self.queue
                .push(fault.window.from, Event::Fault(number, true));
            if fault.window.length.is_some() {
                self.queue
                    .push(fault.window.until(), Event::Fault(number, false));
            }
        }
        for (number, change) in (0..).zip(&self.plan.changes) {
            self.queue.push(change.at, Event::Change(number));
        }
    }

    pub(super) fn fault(&mut self, number: u32, begins: bool) {
        let plan = self.plan.clone();
        let fault = &plan.faults[number as usize];
        let id = reports::ids::FaultId(number);
        if begins {
            self.books.recorder.fault_started(id, self.now);
        } else {
            self.books.recorder.fault_ended(id, self.now);
        }
        let struck = if begins {
            let all = self.struck_by(&fault.kind, &fault.name);
            self.struck[number as usize].clone_from(&all);
            all
        } else {
            core::mem::take(&mut self.struck[number as usize])
        };
        if let Some(effect) = Effect::of(&fault.kind) {
            for pod in struck {
                self.effect(pod, number, effect, begins);
            }
            return;
        }
        match &fault.kind {
            FaultKind::Crash { .. } => {
                // without a length the process starts again at once
                let at_once = fault.window.length.is_none();
                for pod in struck {
                    if begins {
                        self.crash(pod);
                    }
                    if !begins || at_once {
                        self.boot(pod, number);
                    }
                }
            }
            FaultKind::Outage { .. } => self.outage(number, struck, begins),
            FaultKind::Expire { .. } => {
                for pod in struck {
                    let expired = &mut self.pods[pod as usize].expired;
                    *expired = expired.saturating_add_signed(if begins { 1 } else { -1 });
                }
            }
            FaultKind::Dns { .. } => {
                for pod in struck {
                    let nameless = &mut self.pods[pod as usize].nameless;
                    *nameless = nameless.saturating_add_signed(if begins { 1 } else { -1 });
                }
            }
            FaultKind::Push { propagation, .. } => {
                let model = if begins {
                    self.pushed_models[number as usize]
                } else {
                    self.current_model
                };
                if let Some(model) = model {
                    self.propagate(model, *propagation, &fault.name, None);
                }
            }
            // the arrivals hold it already
            FaultKind::Surge { .. } => {}
            FaultKind::Delay { .. }
            | FaultKind::Loss { .. }
            | FaultKind::Partition { .. }
            | FaultKind::Reset { .. }
            | FaultKind::Blackhole { .. }
            | FaultKind::Slow { .. }
            | FaultKind::Error { .. }
            | FaultKind::Freeze { .. }
            | FaultKind::Capacity { .. } => self.trouble(number, struck, begins),
        }
    }

    fn struck_by(&self, kind: &FaultKind, name: &str) -> Vec<u32> {
        if let FaultKind::Outage { zone } = kind {
            let select = Select {
                workload: None,
                version: None,
                pods: Pods::All,
                zone: Some(*zone),
                node: None,
                edge: None,
            };
            return self.selected(&select, name);
        }
        kind.select()
            .map_or_else(Vec::new, |select| self.selected(select, name))
    }

    fn effect(&mut self, pod: u32, number: u32, effect: Effect, begins: bool) {
        let fault = FaultId(number);
        self.tell(
            pod,
            if begins {
                AppInput::FaultBegins { fault, effect }
            } else {
                AppInput::FaultEnds { fault }
            },
        );
    }

    /// Puts a fault of connections in force, or ends it.
    fn trouble(&mut self, number: u32, struck: Vec<u32>, begins: bool) {
        if !begins {
            self.net.troubles.retain(|trouble| trouble.number != number);
            return;
        }
        let plan = self.plan.clone();
        let fault = &plan.faults[number as usize];
        let edge = fault.kind.select().and_then(|select| select.edge);
        let mut trouble = Trouble::new(number, edge, struck);
        match &fault.kind {
            FaultKind::Delay { add, .. } => {
                trouble.delay = Some(plan.program.distribution(*add).clone());
            }
            FaultKind::Loss { share, .. } => trouble.loss = *share,
            FaultKind::Partition { .. } => trouble.cut_until = Some(fault.window.until()),
            FaultKind::Reset { share, .. } => trouble.reset = *share,
            FaultKind::Blackhole { share, .. } => trouble.blackhole = *share,
            FaultKind::Slow { .. }
            | FaultKind::Error { .. }
            | FaultKind::Crash { .. }
            | FaultKind::Freeze { .. }
            | FaultKind::Capacity { .. }
            | FaultKind::Outage { .. }
            | FaultKind::Dns { .. }
            | FaultKind::Expire { .. }
            | FaultKind::Surge { .. }
            | FaultKind::Push { .. } => return,
        }
        self.net.troubles.push(trouble);
    }

    /// A zone goes dark: its processes die, nothing gets in or out, not even word of their death, and the cluster notices only when
    /// heartbeats stay away. After it the kubelets tell at once what has to start again.
    fn outage(&mut self, number: u32, struck: Vec<u32>, begins: bool) {
        let mut workloads: Vec<u32> = struck
            .iter()
            .map(|pod| self.pods[*pod as usize].workload)
            .collect();
        workloads.dedup();
        if begins {
            let until = self.plan.faults[number as usize].window.until();
            let mut trouble = Trouble::new(number, None, struck.clone());
            trouble.cut_until = Some(until);
            self.net.troubles.push(trouble);
            for pod in &struck {
                self.pods[*pod as usize].dark += 1;
                self.crash(*pod);
            }
            for workload in workloads {
                self.queue
                    .push(self.now + NODE_GRACE, Event::Endpoints(workload));
            }
        } else {
            self.net.troubles.retain(|trouble| trouble.number != number);
            for pod in struck {
                self.pods[pod as usize].dark -= 1;
                self.boot(pod, number);
            }
            for workload in workloads {
                self.endpoints_soon(workload);
            }
        }
    }

    /// A process dies with everything in it; its proxy, if it has one, stays.
    pub(super) fn crash(&mut self, pod: u32) {
        self.tell(pod, AppInput::Crash);
        self.lose_connections(pod);
        let state = &mut self.pods[pod as usize];
        if state.app.is_none() && state.gateway.is_some() {
            self.restart_proxy(pod);
        }
        let state = &mut self.pods[pod as usize];
        if state.ready {
            state.ready = false;
            let workload = state.workload;
            if state.dark == 0 {
                self.endpoints_soon(workload);
            }
            self.note_pod(pod, false);
        }
    }

    fn boot(&mut self, pod: u32, number: u32) {
        let state = &self.pods[pod as usize];
        if state.gone || state.dark > 0 {
            return;
        }
        let key = state.key.child(u64::from(number)).child(1);
        if state.app.is_some() {
            self.tell(pod, AppInput::Boot { key });
        } else {
            self.became_ready(pod);
        }
    }

    pub(super) fn change(&mut self, number: u32) {
        let plan = self.plan.clone();
        let change = &plan.changes[number as usize];
        match &change.kind {
            ChangeKind::Apply { .. } => {
                if let Some(model) = self.changed_models[number as usize] {
                    self.current_model = Some(model);
                    self.model = self.models[model as usize].clone();
                    self.forget_targets();
                    self.propagate(model, change.propagation, &change.name, Some(number));
                }
            }
            ChangeKind::Scale {
                workload,
                version,
                replicas,
            } => {
                self.scale(workload.0, *version as u32, *replicas);
                self.applied(number);
            }
            ChangeKind::Restart { workload, pace } => {
                self.begin_rollout(number, workload.0, None, *pace);
            }
            ChangeKind::Rollout { workload, to, pace } => {
                self.begin_rollout(number, workload.0, Some(*to as u32), *pace);
            }
        }
    }

    pub(super) fn applied(&mut self, change: u32) {
        let id = reports::ids::ChangeId(change);
        self.books.recorder.config_applied(id, self.now);
    }

    /// Sends a configuration to every proxy; each gets it after a delay of its own.
    fn propagate(
        &mut self,
        model: u32,
        propagation: Option<scenarios::plan::DistId>,
        name: &str,
        change: Option<u32>,
    ) {
        self.newest_model = model;
        let key = self.root.child(hash_of(name));
        for proxy in 0..self.proxies.len() as u32 {
            let state = &self.proxies[proxy as usize];
            let pod = &self.pods[state.pod as usize];
            if pod.gone || state.dead {
                continue;
            }
            let own = key
                .child(u64::from(pod.workload))
                .child(u64::from(pod.ordinal));
            let after = propagation.map_or(Duration::ZERO, |id| {
                let u = own.unit(Purpose::Propagation, 0);
                self.plan.program.distribution(id).sample(u)
            });
            self.queue.push(
                self.now + after,
                Event::Configure {
                    proxy,
                    model,
                    change,
                },
            );
        }
    }
}
