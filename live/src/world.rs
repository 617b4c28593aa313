//! What stands while a run lasts: pods with their applications, loads, and what each has under way. One thread drives it.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock};

use manifests::model::{self, Cast, Model, NodeRef, Place, Pods, ready_addresses};
use proxy::Proxy;
use proxy_core::config::Name;
use proxy_core::draw::{DrawKey, Purpose};
use proxy_core::time::{Duration, Time};
use rustc_hash::FxHashMap;
use scenarios::app::{AppTimer, JobId, Replica, TryId};
use scenarios::client::{ClientTimer, Clients};
use scenarios::plan::{NodeId, Plan, Select, ZoneId};
use slab::Slab;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use crate::books::{Ends, Entry, Log};
use crate::clock::{Agenda, Clock};
use crate::envoy::Fleet;
use crate::relay::Relay;
use crate::scribe::Scribe;
use crate::wire::Wire;

/// From a change of a pod until proxies and kube-proxy know; the simulator's assumption.
pub(crate) const ENDPOINTS_KNOWN: Duration = Duration::from_secs(1);

/// Something that is to happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    App(u32, AppTimer),
    Client(u32, ClientTimer),
    Fault(u32, bool),
    Change(u32),
    Endpoints(u32),
    /// A state of the manifests reaches a proxy: its number, and the change that brings it.
    Configure {
        proxy: u32,
        model: u32,
        change: Option<u32>,
    },
}

/// Where requests go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Dest {
    Service { service: u32, port: u16 },
    Gateway { workload: u32, port: u16 },
    Unknown,
}

/// One pod.
pub(crate) struct Pod {
    pub(crate) workload: u32,
    pub(crate) version: u32,
    pub(crate) ordinal: u32,
    pub(crate) ip: IpAddr,
    pub(crate) name: Name,
    pub(crate) node: NodeId,
    pub(crate) zone: ZoneId,
    pub(crate) place: Place,
    pub(crate) app: Option<Replica>,
    pub(crate) has_sidecar: bool,
    pub(crate) ready: bool,
    pub(crate) key: DrawKey,
    /// Requests that have come, and what waits for their answers.
    pub(crate) arrived: u64,
    pub(crate) requests: Slab<Asked>,
    /// Tries of calls under way, by their index.
    pub(crate) tries: FxHashMap<usize, Sent>,
    pub(crate) gauges: [u64; 3],
    /// Whoever accepts and serves connections.
    pub(crate) servers: Vec<AbortHandle>,
    /// Shares of requests that faults reset, or swallow.
    pub(crate) resets: Vec<(u32, f64)>,
    pub(crate) swallows: Vec<(u32, f64)>,
}

/// A request that an application has taken.
pub(crate) struct Asked {
    pub(crate) answer: Option<oneshot::Sender<Answer>>,
    pub(crate) job: Option<JobId>,
}

/// What an application makes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    Status(u16, u64),
    /// The process died, or does not listen.
    Lost,
}

/// A try that an application or a client has sent.
pub(crate) struct Sent {
    pub(crate) id: TryId,
    pub(crate) task: Option<AbortHandle>,
    pub(crate) ends: Option<Ends>,
    /// Whether the edge is told of it: a proxy tells of its own tries.
    pub(crate) counts: bool,
    pub(crate) at: Time,
    /// When its sender gives it up.
    pub(crate) due: Time,
}

/// One load.
pub(crate) struct LoadState {
    pub(crate) clients: Clients,
    pub(crate) tries: FxHashMap<usize, Sent>,
    /// By request of the plan.
    pub(crate) dests: Vec<u32>,
    pub(crate) turn: u64,
}

/// What a proxy is.
pub(crate) enum Engine {
    Own(Proxy, Arc<Scribe>),
    /// The one of this number.
    Envoy,
}

/// One proxy.
pub(crate) struct Stands {
    pub(crate) engine: Engine,
    pub(crate) node: NodeRef,
    pub(crate) pod: u32,
    /// Which state of the manifests it has.
    pub(crate) model: u32,
}

/// Ready pods by address and port of a Service, for proxies and for applications without one.
pub(crate) type Targets = Arc<RwLock<FxHashMap<SocketAddr, Vec<SocketAddr>>>>;

/// Everything at one moment.
pub(crate) struct World {
    pub(crate) plan: Arc<Plan>,
    pub(crate) models: Vec<Arc<Model>>,
    /// The state of the manifests in force, without what faults push.
    pub(crate) current: u32,
    pub(crate) newest: u32,
    /// States after each change, and while each fault pushes.
    pub(crate) later: (Vec<Option<u32>>, Vec<Option<u32>>),
    pub(crate) clock: Clock,
    pub(crate) root: DrawKey,
    pub(crate) pods: Vec<Pod>,
    pub(crate) by_workload: Vec<Vec<u32>>,
    pub(crate) known: Pods,
    pub(crate) targets: Targets,
    pub(crate) dests: Vec<Dest>,
    pub(crate) call_dests: Vec<u32>,
    pub(crate) loads: Vec<LoadState>,
    pub(crate) proxies: Vec<Stands>,
    /// Envoys, by the numbers of the proxies.
    pub(crate) fleet: Option<Fleet>,
    /// Sockets of sidecars for what their pods send to one address.
    pub(crate) doors: FxHashMap<(u32, SocketAddr), SocketAddr>,
    /// Sockets that are Services to whoever has no sidecar and cannot choose a pod.
    pub(crate) relays: Vec<Relay>,
    pub(crate) struck: Vec<Vec<u32>>,
    pub(crate) wire: Wire,
    pub(crate) log: Log,
    pub(crate) agenda: Agenda<Due>,
    pub(crate) dialled: u64,
    /// Connections and requests that ended because the run did are not told any more.
    pub(crate) over: bool,
}

/// The world, shared by the tasks of its thread.
#[derive(Clone)]
pub(crate) struct Live(Rc<Shared>);

struct Shared {
    world: RefCell<World>,
    sooner: Notify,
}

impl Live {
    pub(crate) fn new(world: World) -> Self {
        Self(Rc::new(Shared {
            world: RefCell::new(world),
            sooner: Notify::new(),
        }))
    }

    /// Reads or changes the world. Nothing that is called from here may do so again.
    pub(crate) fn with<R>(&self, call: impl FnOnce(&mut World) -> R) -> R {
        call(&mut self.0.world.borrow_mut())
    }

    pub(crate) fn now(&self) -> Time {
        self.0.world.borrow().clock.now()
    }

    /// Sets something down for later.
    pub(crate) fn plan(&self, at: Time, what: Due) {
        if self.with(|world| world.agenda.add(at, what)) {
            self.0.sooner.notify_one();
        }
    }

    /// Done when something was set down that comes before everything else.
    pub(crate) async fn sooner(&self) {
        self.0.sooner.notified().await;
    }
}

impl World {
    pub(crate) fn note(&mut self, at: Time, entry: Entry) {
        if !self.over {
            self.log.push((at, entry));
        }
    }

    /// The number of a destination.
    pub(crate) fn dest(&mut self, dest: Dest) -> u32 {
        let known = self.dests.iter().position(|it| *it == dest);
        let at = known.unwrap_or_else(|| {
            self.dests.push(dest);
            self.dests.len() - 1
        });
        at as u32
    }

    /// The first workload behind the Service that a request goes to.
    pub(crate) fn workload_behind(&self, dest: u32) -> Option<u32> {
        match self.dests[dest as usize] {
            Dest::Service { service, .. } => {
                let service = &self.plan.services[service as usize];
                Some(service.workloads.first()?.0)
            }
            Dest::Gateway { workload, .. } => Some(workload),
            Dest::Unknown => None,
        }
    }

    /// The ready pods of a workload in turn.
    pub(crate) fn pod_of_turn(&self, workload: u32, turn: u64) -> Option<u32> {
        let pods = self.by_workload[workload as usize].iter();
        let ready: Vec<u32> = pods
            .copied()
            .filter(|pod| self.pods[*pod as usize].ready)
            .collect();
        let at = turn.checked_rem(ready.len() as u64)?;
        ready.get(at as usize).copied()
    }

    /// Pods as the cluster sees them now.
    pub(crate) fn view(&mut self, workload: u32) {
        let given = &self.plan.workloads[workload as usize];
        let base = &self.models[self.current as usize].workloads()[workload as usize].labels;
        let pods = self.by_workload[workload as usize].iter();
        let pods: Vec<model::Pod> = pods
            .map(|pod| &self.pods[*pod as usize])
            .map(|pod| {
                let own = &given.versions[pod.version as usize].labels;
                let labels = (!given.labels.is_empty() || !own.is_empty()).then(|| {
                    let mut labels = base.clone();
                    for (key, value) in given.labels.iter().chain(own) {
                        labels.insert((&**key).into(), (&**value).into());
                    }
                    Arc::new(labels)
                });
                model::Pod {
                    ip: pod.ip,
                    name: pod.name.clone(),
                    place: pod.place.clone(),
                    ready: pod.ready,
                    draining: false,
                    labels,
                }
            })
            .collect();
        *self.known.of_mut(model::WorkloadId(workload)) = pods;
    }

    /// Tells kube-proxy, so to speak, which pods are ready.
    pub(crate) fn point(&self) {
        let model = &self.models[self.current as usize];
        let cast = Cast {
            services: model.services(),
            workloads: model.workloads(),
            pods: &self.known,
        };
        let mut found = FxHashMap::default();
        for service in model.services() {
            let Some(ip) = service.cluster_ip() else {
                continue;
            };
            for port in &service.ports {
                let ready = ready_addresses(service, port.number, cast);
                let ready = ready.into_iter().map(|(_, address)| address).collect();
                found.insert(SocketAddr::new(ip, port.number), ready);
            }
        }
        *self.targets.write().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// Ready pods behind a port of a Service.
    pub(crate) fn ready_behind(&self, service: u32, port: u16) -> Vec<SocketAddr> {
        let model = &self.models[self.current as usize];
        let cast = Cast {
            services: model.services(),
            workloads: model.workloads(),
            pods: &self.known,
        };
        let found = ready_addresses(&model.services()[service as usize], port, cast);
        found.into_iter().map(|(_, address)| address).collect()
    }

    /// The pods that a fault strikes: as many as it says, those that the simulator would take.
    pub(crate) fn selected(&self, select: &Select, name: &str) -> Vec<u32> {
        let fits = |pod: &Pod| {
            select.workload.is_none_or(|w| w.0 == pod.workload)
                && select.version.is_none_or(|v| v as u32 == pod.version)
                && select.zone.is_none_or(|zone| zone == pod.zone)
                && select.node.is_none_or(|node| node == pod.node)
        };
        let all = (0..).zip(&self.pods).filter(|(_, pod)| fits(pod));
        let key = self.root.child(sim::setup::hash_of(name));
        let mut ranked: Vec<(u64, u32)> = all
            .map(|(number, pod)| {
                let own = key
                    .child(u64::from(pod.workload))
                    .child(u64::from(pod.ordinal));
                (own.bits(Purpose::FaultSelection, 0), number)
            })
            .collect();
        let wanted = select.pods.of(ranked.len());
        if wanted < ranked.len() {
            ranked.sort_unstable();
        }
        let mut chosen: Vec<u32> = ranked
            .into_iter()
            .take(wanted)
            .map(|(_, pod)| pod)
            .collect();
        chosen.sort_unstable();
        chosen
    }

    /// One number that nothing else draws.
    pub(crate) fn draw(&mut self, below: u64) -> u64 {
        self.dialled += 1;
        let key = self.root.child(1 << 43).child(self.dialled);
        key.below(Purpose::KubeProxy, 0, below)
    }
}
