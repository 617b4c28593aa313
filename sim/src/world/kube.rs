//! What the cluster does: pods come and go, endpoints follow them, configurations reach proxies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use manifests::model::{self, Cast, Labels, NodeRef, Place, ready_addresses};
use proxy_core::config::{EndpointSet, Name};
use proxy_core::draw::DrawKey;
use proxy_core::node::{Identity, Input, Node, Update};
use proxy_core::shared::PlainState;
use proxy_core::time::{Duration, Time};
use reports::outcome::ErrorReason;
use scenarios::app::{AppInput, Replica};
use scenarios::plan::events::Pace;

use super::World;
use super::parts::{Dest, Event, Gauges, Opener, Pod, Proxy, Taker, Targets, Worker};
use crate::slab::Key;

/// From a change of a pod until proxies and kube-proxy know: the kubelet's report, the EndpointSlice controller and the push of
/// configuration together. An assumption, the same for every system.
const ENDPOINTS_KNOWN: Duration = Duration::from_secs(1);
/// A pod that is to go is served on so long, so that everybody knows before it stops: the pause that guides put in `preStop`.
const LINGERS: Duration = Duration::from_secs(5);
/// After this long it is killed. Source: Kubernetes `terminationGracePeriodSeconds`.
const GRACE: Duration = Duration::from_secs(30);

/// A cluster's name with all its endpoints.
type ClusterEndpoints = (Name, Arc<EndpointSet>);

/// Pods being replaced.
#[derive(Clone, Debug)]
pub(super) struct Rollout {
    change: u32,
    workload: u32,
    /// Versions of the pods still to come.
    coming: Vec<u32>,
    old: Vec<u32>,
    wanted: u32,
    surge: u32,
    unavailable: u32,
}

impl World<'_> {
    /// Makes the pods that are there at the start, with their proxies.
    pub(super) fn populate(&mut self) {
        let plan = self.plan.clone();
        for workload in 0..plan.workloads.len() as u32 {
            for (version, given) in (0..).zip(&plan.workloads[workload as usize].versions) {
                for _ in 0..given.replicas {
                    self.make_pod(workload, version);
                }
            }
        }
        for pod in &mut self.pods {
            pod.ready = true;
        }
        for workload in 0..plan.workloads.len() as u32 {
            self.view(workload);
        }
        for pod in 0..self.pods.len() as u32 {
            self.make_proxies(pod);
        }
        for pod in 0..self.pods.len() as u32 {
            self.tell(pod, AppInput::BootedBefore);
        }
    }

    fn make_pod(&mut self, workload: u32, version: u32) -> u32 {
        let ordinal = self.ordinals[workload as usize];
        self.ordinals[workload as usize] += 1;
        let world = &self.model.world().workloads()[workload as usize];
        let (ip, name) = (world.pod_address(ordinal), world.pod_name(ordinal));
        let node = self
            .plan
            .topology
            .place(workload as usize, ordinal as usize);
        let zone = self.plan.topology.zone_of(node);
        let place = Place {
            locality: format!("region/{}", self.plan.topology.zones[zone.index()]).into(),
            node: (&*self.plan.topology.nodes[node.index()].name).into(),
        };
        let behaviour = self.plan.workloads[workload as usize].versions[version as usize].behaviour;
        let is_gateway = self.gateway_of[workload as usize].is_some();
        let app = (!is_gateway).then(|| {
            let program = self.plan.program.clone();
            Box::new(Replica::new(program, behaviour))
        });
        let number = self.pods.len() as u32;
        // far from the keys of loads
        let key = self
            .root
            .child(1 << 40 | u64::from(workload))
            .child(u64::from(ordinal));
        self.pods.push(Pod {
            workload,
            version,
            ordinal,
            ip,
            name: name.into(),
            node,
            zone,
            place,
            app,
            last_handler: None,
            sidecar: None,
            gateway: None,
            key,
            dialled: 0,
            pools: Vec::new(),
            tries: Vec::new(),
            ready: false,
            draining: false,
            gone: false,
            expired: 0,
            nameless: 0,
            dark: 0,
            gauges: Gauges::default(),
            drains_since: Time::ZERO,
        });
        self.by_ip.insert(ip, number);
        self.by_workload[workload as usize].push(number);
        number
    }

    fn make_proxies(&mut self, pod: u32) {
        let workload = self.pods[pod as usize].workload;
        if self.model.workloads()[workload as usize].sidecar.is_some() {
            let id = manifests::model::WorkloadId(workload);
            let made = self.make_proxy(pod, NodeRef::Sidecar(id));
            self.pods[pod as usize].sidecar = made;
        }
        if let Some(gateway) = self.gateway_of[workload as usize] {
            let made = self.make_proxy(pod, NodeRef::Gateway(gateway));
            self.pods[pod as usize].gateway = made;
        }
    }

    fn make_proxy(&mut self, pod: u32, node: NodeRef) -> Option<u32> {
        let place = self.pods[pod as usize].place.clone();
        let config = self.model.config(node, &place, &self.known)?;
        let proxy = self.proxies.len() as u32;
        let first = self.workers.len() as u32;
        let count = self.plan.proxies.concurrency.max(1);
        let own = match node {
            NodeRef::Sidecar(_) => 2,
            NodeRef::Gateway(_) => 3,
        };
        let key = self.pods[pod as usize].key.child(1 << 41 | own);
        for number in 0..count {
            let identity = Identity {
                key: key.child(u64::from(number)),
                locality: place.locality.clone(),
                epoch_nanos: self.plan.epoch.saturating_mul(1_000_000_000),
                elected: number == 0,
            };
            let mut node = Node::new(identity, config.clone());
            node.set_detail(self.detail);
            self.workers.push(Worker {
                node,
                proxy,
                pod,
                upstreams: Vec::new(),
                free_at: Time::ZERO,
                is_busy: false,
            });
        }
        let number = self.config_number(&config);
        let report = self.books.proxy(&self.pods[pod as usize], node, count);
        self.proxies.push(Proxy {
            node,
            pod,
            workers: first..first + count,
            shared: PlainState::default(),
            model: self.model.clone(),
            model_number: self.current_model.unwrap_or(0),
            config: number,
            busy: 0,
            report,
            dead: false,
        });
        for worker in first..first + count {
            self.with_node(worker, |node, cx| node.start(cx));
            self.drain_node(worker);
        }
        Some(proxy)
    }

    fn config_number(&mut self, config: &Arc<proxy_core::config::NodeConfig>) -> u32 {
        let address = Arc::as_ptr(config) as usize;
        if let Some(&known) = self.config_numbers.get(&address) {
            return known;
        }
        let number = self.configs.len() as u32;
        self.configs.push(config.clone());
        self.config_numbers.insert(address, number);
        number
    }

    /// The cluster sees the pods of a workload as they are now.
    fn view(&mut self, workload: u32) {
        let labels = |version: u32| self.labels_of(workload, version);
        let alive = self.by_workload[workload as usize].iter();
        let pods: Vec<model::Pod> = alive
            .map(|pod| &self.pods[*pod as usize])
            .filter(|pod| !pod.gone)
            .map(|pod| model::Pod {
                ip: pod.ip,
                name: pod.name.clone(),
                place: pod.place.clone(),
                ready: pod.ready,
                draining: pod.draining,
                labels: labels(pod.version),
            })
            .collect();
        *self.known.of_mut(model::WorkloadId(workload)) = pods;
        self.forget_targets();
    }

    /// Labels of pods of a version, where they differ from their workload's.
    fn labels_of(&self, workload: u32, version: u32) -> Option<Arc<Labels>> {
        let given = &self.plan.workloads[workload as usize];
        let own = &given.versions[version as usize].labels;
        if given.labels.is_empty() && own.is_empty() {
            return None;
        }
        let mut labels = self.model.workloads()[workload as usize].labels.clone();
        for (key, value) in given.labels.iter().chain(own) {
            labels.insert((&**key).into(), (&**value).into());
        }
        Some(Arc::new(labels))
    }

    pub(super) fn forget_targets(&mut self) {
        self.targets.clear();
    }

    /// The pods behind a Service's port, as kube-proxy knows them.
    pub(super) fn targets(&mut self, service: u32, port: u16) -> Targets {
        if let Some(known) = self.targets.get(&(service, port)) {
            return known.clone();
        }
        let cast = Cast {
            services: self.model.services(),
            workloads: self.model.workloads(),
            pods: &self.known,
        };
        let found = ready_addresses(&self.model.services()[service as usize], port, cast);
        let found: Targets = found
            .into_iter()
            .filter_map(|(_, address)| Some((self.pod_at(address.ip())?, address)))
            .collect();
        self.targets.insert((service, port), found.clone());
        found
    }

    /// The address that a client dials for a destination, and the name it asks for where it speaks TLS.
    pub(super) fn address(
        &mut self,
        dest: u32,
        key: DrawKey,
    ) -> Option<(SocketAddr, Option<Box<str>>)> {
        use proxy_core::draw::Purpose;
        match self.dests[dest as usize].clone() {
            Dest::Unknown => None,
            Dest::Address(address) => Some((address, None)),
            Dest::Service { service, port } => {
                let entry = &self.model.services()[service as usize];
                if let Some(ip) = entry.cluster_ip() {
                    return Some((SocketAddr::new(ip, port), None));
                }
                // a headless Service is the addresses of its pods
                let targets = self.targets(service, port);
                let count = targets.len() as u64;
                let pick = (count > 0).then(|| key.below(Purpose::KubeProxy, 2, count))?;
                Some((targets[pick as usize].1, None))
            }
            Dest::Gateway {
                workload,
                port,
                tls,
            } => {
                let able: Vec<SocketAddr> = self
                    .known
                    .of(model::WorkloadId(workload))
                    .iter()
                    .filter(|pod| pod.ready && !pod.draining)
                    .map(|pod| SocketAddr::new(pod.ip, port))
                    .collect();
                let count = able.len() as u64;
                let pick = (count > 0).then(|| key.below(Purpose::KubeProxy, 2, count))?;
                Some((able[pick as usize], tls))
            }
        }
    }

    pub(super) fn endpoints_soon(&mut self, workload: u32) {
        self.queue
            .push(self.now + ENDPOINTS_KNOWN, Event::Endpoints(workload));
    }

    /// Everybody learns of the present pods of a workload.
    pub(super) fn endpoints(&mut self, workload: u32) {
        self.view(workload);
        let mut made: BTreeMap<(u32, NodeRef, Place), Arc<[ClusterEndpoints]>> = BTreeMap::new();
        for proxy in 0..self.proxies.len() {
            let state = &self.proxies[proxy];
            let pod = &self.pods[state.pod as usize];
            if pod.gone || state.dead {
                continue;
            }
            let key = (state.model_number, state.node, pod.place.clone());
            let sets = made.entry(key).or_insert_with(|| {
                let id = model::WorkloadId(workload);
                let sets = state
                    .model
                    .endpoints(state.node, &pod.place, &self.known, id);
                sets.into()
            });
            let sets = sets.clone();
            for worker in state.workers.clone() {
                for (cluster, set) in &*sets {
                    let update = Update::Endpoints {
                        cluster,
                        set: set.clone(),
                    };
                    self.with_node(worker, |node, cx| node.update(cx, update));
                    self.drain_node(worker);
                }
            }
        }
    }

    /// A proxy's turn to be configured has come: it gets the newest configuration that was sent out, whichever gave it this turn.
    ///
    /// Source: Istio merges what waits for one proxy (istio/istio:pilot/pkg/xds/pushqueue.go); other control planes push their present
    /// state as well.
    pub(super) fn configure(&mut self, proxy: u32, given: u32, change: Option<u32>) {
        let number = self.newest_model;
        let change = change.filter(|_| given == number);
        let state = &self.proxies[proxy as usize];
        let pod = &self.pods[state.pod as usize];
        if pod.gone || state.dead {
            return;
        }
        let model = self.models[number as usize].clone();
        let Some(config) = model.config(state.node, &pod.place, &self.known) else {
            return;
        };
        let config_number = self.config_number(&config);
        let state = &mut self.proxies[proxy as usize];
        state.model = model;
        state.model_number = number;
        state.config = config_number;
        for worker in state.workers.clone() {
            let update = Update::Config(config.clone());
            self.with_node(worker, |node, cx| node.update(cx, update));
            self.drain_node(worker);
        }
        if let Some(change) = change {
            self.applied(change);
        }
    }

    /// A pod passes its readiness probe.
    pub(super) fn became_ready(&mut self, pod: u32) {
        let state = &mut self.pods[pod as usize];
        if state.ready || state.gone {
            return;
        }
        state.ready = true;
        let workload = state.workload;
        self.endpoints_soon(workload);
        self.note_pod(pod, true);
        self.roll_on(workload);
    }

    pub(super) fn note_pod(&mut self, pod: u32, ready: bool) {
        let state = &self.pods[pod as usize];
        let (workload, pod) = (state.workload, state.ordinal);
        let note = if ready {
            reports::result::Note::PodReady { workload, pod }
        } else {
            reports::result::Note::PodDown { workload, pod }
        };
        self.books.recorder.note(self.now, note);
    }

    /// Every connection of a pod's application, or of its gateway, breaks.
    pub(super) fn lose_connections(&mut self, pod: u32) {
        let gateway = self.pods[pod as usize].gateway;
        let is_own = |worker: u32| {
            gateway.is_some_and(|proxy| self.proxies[proxy as usize].workers.contains(&worker))
        };
        let mut taken = Vec::new();
        let mut opened = Vec::new();
        for (key, conn) in self.conns.iter() {
            match conn.taker {
                Taker::App(at) if at == pod => taken.push(key),
                Taker::Node { worker, .. } | Taker::Pipe { worker, .. } if is_own(worker) => {
                    taken.push(key);
                }
                Taker::App(_) | Taker::Node { .. } | Taker::Pipe { .. } | Taker::Nobody => {}
            }
            match conn.opener {
                Opener::Pool {
                    of: super::parts::PoolOf::Pod(at),
                    ..
                } if at == pod => opened.push(key),
                Opener::Node { worker, .. } if is_own(worker) => opened.push(key),
                Opener::Pool { .. } | Opener::Node { .. } => {}
            }
        }
        for key in taken {
            self.close_by_server(key);
        }
        for key in opened {
            self.drop_opened(key);
        }
        for pool in &mut self.pods[pod as usize].pools {
            pool.idle.clear();
            pool.waiting.clear();
            pool.open = 0;
        }
    }

    fn drop_opened(&mut self, key: Key) {
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        for request in conn.active.clone() {
            self.attempt_returns(request, ErrorReason::Superseded);
            self.client_is_done(request);
        }
        self.close_by_client(key);
    }

    /// A proxy's process has died: what it had in flight, and every timer, comes to nothing.
    fn bury(&mut self, proxy: u32) {
        let state = &mut self.proxies[proxy as usize];
        state.dead = true;
        let config = self.configs[state.config as usize].clone();
        for worker in state.workers.clone() {
            let identity = Identity {
                key: DrawKey::default(),
                locality: self.pods[state.pod as usize].place.locality.clone(),
                epoch_nanos: 0,
                elected: false,
            };
            self.workers[worker as usize].node = Node::new(identity, config.clone());
        }
    }

    /// A gateway's process starts anew, knowing nothing.
    pub(super) fn restart_proxy(&mut self, pod: u32) {
        if let Some(old) = self.pods[pod as usize].gateway {
            self.bury(old);
            let node = self.proxies[old as usize].node;
            let made = self.make_proxy(pod, node);
            self.pods[pod as usize].gateway = made;
        }
    }

    /// Sets the number of pods of a version.
    pub(super) fn scale(&mut self, workload: u32, version: u32, replicas: u32) {
        let pods = self.by_workload[workload as usize].clone();
        let alive: Vec<u32> = pods
            .into_iter()
            .filter(|pod| {
                let pod = &self.pods[*pod as usize];
                pod.version == version && !pod.gone && !pod.draining
            })
            .collect();
        let have = alive.len() as u32;
        for _ in have..replicas {
            self.start_pod(workload, version);
        }
        for pod in alive
            .iter()
            .rev()
            .take(have.saturating_sub(replicas) as usize)
        {
            self.drain_pod(*pod);
        }
    }

    fn start_pod(&mut self, workload: u32, version: u32) -> u32 {
        let pod = self.make_pod(workload, version);
        self.make_proxies(pod);
        let key = self.pods[pod as usize].key.child(2);
        if self.pods[pod as usize].app.is_some() {
            self.strike_newcomer(pod);
            self.tell(pod, AppInput::Boot { key });
        } else {
            self.became_ready(pod);
        }
        pod
    }

    /// Faults of all pods of a workload strike those that come later, too.
    fn strike_newcomer(&mut self, pod: u32) {
        let plan = self.plan.clone();
        for (number, fault) in (0_u32..).zip(&plan.faults) {
            let all = |select: &&scenarios::plan::Select| {
                select.pods == scenarios::plan::Pods::All
                    && self.selected(select, &fault.name).contains(&pod)
            };
            let in_force = fault.window.from <= self.now && self.now < fault.window.until();
            let Some(effect) = scenarios::app::Effect::of(&fault.kind) else {
                continue;
            };
            if in_force && fault.kind.select().filter(all).is_some() {
                self.struck[number as usize].push(pod);
                let fault = scenarios::plan::FaultId(number);
                self.tell(pod, AppInput::FaultBegins { fault, effect });
            }
        }
    }

    /// A pod is to go: it is no endpoint any more, and stops when its requests are done.
    pub(super) fn drain_pod(&mut self, pod: u32) {
        let state = &mut self.pods[pod as usize];
        if state.draining || state.gone {
            return;
        }
        state.draining = true;
        state.drains_since = self.now;
        let workload = state.workload;
        self.endpoints_soon(workload);
        self.queue.push(self.now + LINGERS, Event::Drained(pod));
    }

    pub(super) fn drained(&mut self, pod: u32) {
        let state = &self.pods[pod as usize];
        if state.gone {
            return;
        }
        let app = state.app.as_ref();
        let is_idle = app.is_none_or(|app| app.in_flight() == 0) && !self.has_exchanges(pod);
        if !is_idle && self.now < state.drains_since + GRACE {
            self.queue
                .push(self.now + Duration::from_millis(100), Event::Drained(pod));
            return;
        }
        for proxy in [state.sidecar, state.gateway].into_iter().flatten() {
            for worker in self.proxies[proxy as usize].workers.clone() {
                self.with_node(worker, |node, cx| node.handle(cx, Input::Drain));
                self.drain_node(worker);
            }
        }
        self.tell(pod, AppInput::Crash);
        self.lose_connections(pod);
        if let Some(gateway) = self.pods[pod as usize].gateway {
            self.bury(gateway);
        }
        let state = &mut self.pods[pod as usize];
        state.gone = true;
        state.ready = false;
        let (workload, ip) = (state.workload, state.ip);
        if self.by_ip.get(&ip) == Some(&pod) {
            self.by_ip.remove(&ip);
        }
        self.note_pod(pod, false);
        self.roll_on(workload);
    }

    fn has_exchanges(&self, pod: u32) -> bool {
        let state = &self.pods[pod as usize];
        [state.sidecar, state.gateway]
            .into_iter()
            .flatten()
            .any(|proxy| {
                let mut workers = self.proxies[proxy as usize].workers.clone();
                workers.any(|worker| self.workers[worker as usize].node.exchanges() > 0)
            })
    }

    pub(super) fn begin_rollout(
        &mut self,
        change: u32,
        workload: u32,
        to: Option<u32>,
        pace: Pace,
    ) {
        let pods = self.by_workload[workload as usize].iter().copied();
        let old: Vec<u32> = pods
            .filter(|pod| {
                let pod = &self.pods[*pod as usize];
                !pod.gone && !pod.draining && to != Some(pod.version)
            })
            .collect();
        let coming: Vec<u32> = old
            .iter()
            .map(|pod| to.unwrap_or(self.pods[*pod as usize].version))
            .collect();
        let wanted = old.len() as u32;
        let (surge, unavailable) = pace.of(wanted);
        self.rollouts.push(Rollout {
            change,
            workload,
            coming,
            old,
            wanted,
            surge,
            unavailable,
        });
        self.roll_on(workload);
    }

    fn roll_on(&mut self, workload: u32) {
        if self.rollouts.iter().any(|it| it.workload == workload) {
            self.queue.push(self.now, Event::Rollout(workload));
        }
    }

    pub(super) fn rollout(&mut self, workload: u32) {
        let Some(at) = self.rollouts.iter().position(|it| it.workload == workload) else {
            return;
        };
        let mut rollout = self.rollouts[at].clone();
        let alive = |world: &Self| {
            let pods = world.by_workload[workload as usize].iter();
            pods.map(|pod| &world.pods[*pod as usize])
                .filter(|pod| !pod.gone)
                .count() as u32
        };
        let ready = |world: &Self| {
            let pods = world.by_workload[workload as usize].iter();
            pods.map(|pod| &world.pods[*pod as usize])
                .filter(|pod| pod.ready && !pod.draining && !pod.gone)
                .count() as u32
        };
        while !rollout.coming.is_empty() && alive(self) < rollout.wanted + rollout.surge {
            let version = rollout.coming.remove(0);
            self.start_pod(workload, version);
            self.applied(rollout.change);
        }
        while let Some(&pod) = rollout.old.first() {
            let lost = u32::from(self.pods[pod as usize].ready);
            if ready(self).saturating_sub(lost) < rollout.wanted - rollout.unavailable {
                break;
            }
            rollout.old.remove(0);
            self.drain_pod(pod);
        }
        if rollout.coming.is_empty() && rollout.old.is_empty() {
            self.rollouts.remove(at);
        } else {
            self.rollouts[at] = rollout;
        }
    }
}
