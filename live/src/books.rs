//! What is written down while everything runs, and how it becomes a result afterwards.
//!
//! Proxies run on threads of their own, so that facts come in no order. Each is noted with its moment, and the recorder is told of them
//! in the order of time once the run is over.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use proxy_core::config::RetryBudget;
use proxy_core::event::{AccessRecord, AttemptFailure, AttemptRecord, AttemptResult, Event, Next};
use proxy_core::ids::{ClusterId, EndpointSlot, ExchangeId};
use proxy_core::node::{Node, Target};
use proxy_core::reply::ReplyReason;
use proxy_core::time::{Duration, Time};
use reports::ids::{self, EdgeId, OriginId};
use reports::outcome::{AttemptKind, EjectionReason, ErrorReason, Handled, Limit, Outcome, Why};
use reports::recorder::Recorder;
use reports::result::RunResult;
use reports::setup::{ClusterSetup, EdgeSetup, ProxySetup};
use rustc_hash::FxHashMap;
use sim::facts;

/// From one workload to another.
pub(crate) type Ends = (u32, u32);

/// One thing that happened.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Entry {
    Request {
        load: u32,
        intended: Time,
    },
    RequestEnd {
        load: u32,
        intended: Time,
        outcome: Outcome,
    },
    Try {
        ends: Ends,
        kind: AttemptKind,
        why: Option<Why>,
    },
    TryEnd {
        ends: Ends,
        reason: ErrorReason,
        took: Duration,
    },
    Call {
        ends: Ends,
        reason: ErrorReason,
    },
    CallGivenUp {
        ends: Ends,
    },
    Rejected {
        ends: Ends,
        limit: Limit,
        origin: Option<OriginId>,
    },
    Handled {
        workload: u32,
        how: Handled,
    },
    /// Busy slots, waiting requests and slots of a pod, before and after.
    Gauges {
        workload: u32,
        before: [u64; 3],
        after: [u64; 3],
    },
    Ejected {
        cluster: Named,
        proxy: u32,
        reason: EjectionReason,
        origin: Option<OriginId>,
    },
    Returned {
        cluster: Named,
        proxy: u32,
    },
    Fault {
        number: u32,
        begins: bool,
    },
    Applied {
        change: u32,
    },
}

/// An endpoint of a cluster as its callers know it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Named {
    from: u32,
    to: Option<u32>,
    cluster: String,
    endpoint: String,
}

/// A list of what happened.
pub(crate) type Log = Vec<(Time, Entry)>;

/// Whom the addresses of the run belong to.
#[derive(Debug, Default)]
pub(crate) struct Who {
    /// Workload and name of the pod at an address.
    pub(crate) pods: FxHashMap<IpAddr, (u32, String)>,
    /// The first workload behind a Service, by `namespace/name`.
    pub(crate) services: FxHashMap<String, u32>,
}

/// Notes what the nodes of one proxy say.
pub(crate) struct Scribe {
    who: Arc<Who>,
    workload: u32,
    ip: IpAddr,
    is_gateway: bool,
    /// What it sends goes through its pod's sidecar, which tells of it.
    behind_sidecar: bool,
    proxy: u32,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    log: Log,
    /// Why the next try of an exchange is made, and how many run.
    exchanges: FxHashMap<(std::thread::ThreadId, ExchangeId), Tried>,
}

#[derive(Clone, Copy, Default)]
struct Tried {
    why: Option<Why>,
    /// The workload that the last try went to.
    to: Option<u32>,
}

impl Scribe {
    pub(crate) fn new(
        who: Arc<Who>,
        (workload, ip): (u32, IpAddr),
        (is_gateway, behind_sidecar): (bool, bool),
        proxy: u32,
    ) -> Self {
        Self {
            who,
            workload,
            ip,
            is_gateway,
            behind_sidecar,
            proxy,
            noted: Mutex::default(),
        }
    }

    /// Everything that was noted.
    pub(crate) fn take(&self) -> Log {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut noted.log)
    }

    /// A node records a fact.
    pub(crate) fn note(&self, node: &Node, now: Time, _: Target, event: &Event) {
        match event {
            Event::Attempt(record) => self.attempt(node, now, record),
            Event::Exchange(record) => self.exchange(node, now, record),
            Event::Ejected {
                cluster,
                endpoint,
                why,
                origin,
                ..
            } => {
                let entry = self.named(node, *cluster, *endpoint);
                self.write(
                    entry.map(|cluster| Entry::Ejected {
                        cluster,
                        proxy: self.proxy,
                        reason: facts::ejection_reason(*why),
                        origin: facts::origin(*origin),
                    }),
                    now,
                );
            }
            Event::Returned { cluster, endpoint } => {
                let entry = self.named(node, *cluster, *endpoint);
                self.write(
                    entry.map(|cluster| Entry::Returned {
                        cluster,
                        proxy: self.proxy,
                    }),
                    now,
                );
            }
            Event::Decision { .. }
            | Event::EjectionRefused { .. }
            | Event::Health { .. }
            | Event::Closed { .. }
            | Event::Upgrade(_)
            | Event::Updated => {}
        }
    }

    fn write(&self, entry: Option<Entry>, now: Time) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.log.extend(entry.map(|entry| (now, entry)));
    }

    /// Whether an address is the pod's own application.
    fn is_own(&self, address: SocketAddr) -> bool {
        !self.is_gateway && (address.ip() == self.ip || address.ip().is_loopback())
    }

    /// The workload that a try of a cluster went or would have gone to; none: what arrived for the pod itself.
    fn target(
        &self,
        node: &Node,
        cluster: ClusterId,
        endpoint: Option<EndpointSlot>,
    ) -> Option<u32> {
        let address = node.endpoint(cluster, endpoint.unwrap_or(EndpointSlot(0)));
        if address.is_some_and(|address| self.is_own(address)) {
            return None;
        }
        let chosen = endpoint.and(address);
        let known = chosen.and_then(|address| self.who.pods.get(&address.ip()));
        if let Some((workload, _)) = known {
            return Some(*workload);
        }
        let service = &node.cluster(cluster)?.service;
        self.who.services.get(&**service).copied()
    }

    fn attempt(&self, node: &Node, now: Time, record: &AttemptRecord) {
        let Some(to) = self.target(node, record.cluster, record.endpoint) else {
            return;
        };
        let ends = (self.workload, to);
        let key = (std::thread::current().id(), record.exchange);
        let origin = facts::origin(record.origin);
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let tried = noted.exchanges.entry(key).or_default();
        tried.to = Some(to);
        let before = tried.why;
        if record.next == Next::Retried {
            let condition = facts::condition_of(record.result);
            tried.why = Some(Why { origin, condition });
        }
        let limit = match record.result {
            AttemptResult::Failed(AttemptFailure::Overflow) => node
                .cluster(record.cluster)
                .map(|cluster| facts::limit_by_origin(cluster, record.origin)),
            AttemptResult::Failed(AttemptFailure::NoHealthyUpstream) => Some(Limit::NoHealthy),
            AttemptResult::Failed(_) | AttemptResult::Response(_) | AttemptResult::Cancelled => {
                None
            }
        };
        if let Some(limit) = limit {
            let entry = Entry::Rejected {
                ends,
                limit,
                origin,
            };
            noted.log.push((now, entry));
        } else if !self.behind_sidecar {
            let kind = match record.number {
                1 => AttemptKind::First,
                _ if record.hedged => AttemptKind::Hedge,
                _ => AttemptKind::Retry,
            };
            let why = before.filter(|_| kind != AttemptKind::First);
            noted
                .log
                .push((record.start, Entry::Try { ends, kind, why }));
            let reason = facts::reason_of_result(record.result);
            let took = now.since(record.start);
            let entry = Entry::TryEnd { ends, reason, took };
            noted.log.push((now, entry));
        }
        if record.next == Next::RetryOverflow {
            let cluster = node.cluster(record.cluster);
            let budget = cluster.and_then(|cluster| cluster.retry_budget);
            let limit = match budget.map(|budget| budget.value) {
                Some(RetryBudget::Concurrency(_) | RetryBudget::Rate(_)) => Limit::RetryBudget,
                None => Limit::Retries,
            };
            let entry = Entry::Rejected {
                ends,
                limit,
                origin,
            };
            noted.log.push((now, entry));
        }
    }

    fn exchange(&self, node: &Node, now: Time, record: &AccessRecord) {
        let key = (std::thread::current().id(), record.exchange);
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let tried = noted.exchanges.remove(&key);
        let refused = match record.reply {
            Some(ReplyReason::RateLimited) => Some(Limit::Rate),
            Some(ReplyReason::FaultAbort) => Some(Limit::FaultAbort),
            _ => None,
        };
        if !self.is_gateway && refused.is_none() {
            return;
        }
        let to = tried.and_then(|tried| tried.to);
        let to = to.or_else(|| self.target(node, record.cluster?, None));
        let Some(to) = to else {
            return;
        };
        let ends = (self.workload, to);
        if let Some(limit) = refused {
            let origin = facts::origin(record.origin);
            let entry = Entry::Rejected {
                ends,
                limit,
                origin,
            };
            noted.log.push((now, entry));
        }
        if self.is_gateway {
            let reason = match record.status {
                0 => ErrorReason::ClientGone,
                500.. => ErrorReason::Status5xx,
                _ => ErrorReason::None,
            };
            noted.log.push((now, Entry::Call { ends, reason }));
        }
    }

    fn named(&self, node: &Node, cluster: ClusterId, slot: EndpointSlot) -> Option<Named> {
        let address = node.endpoint(cluster, slot)?;
        let config = node.cluster(cluster)?;
        let short = config.service.rsplit('/').next().unwrap_or_default();
        let subset = config.subset.iter();
        let subset: Vec<String> = subset
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let cluster_name = if subset.is_empty() {
            short.to_owned()
        } else {
            format!("{short} ({})", subset.join(", "))
        };
        let pod = self.who.pods.get(&address.ip());
        Some(Named {
            from: self.workload,
            to: self.target(node, cluster, Some(slot)),
            cluster: cluster_name,
            endpoint: pod.map_or_else(|| address.to_string(), |(_, name)| name.clone()),
        })
    }
}

/// A proxy as the result names it.
pub(crate) struct NamedProxy {
    pub(crate) name: String,
    pub(crate) workload: u32,
    pub(crate) workers: u32,
}

/// Tells the recorder everything in the order of time.
pub(crate) fn replay(
    mut recorder: Recorder,
    proxies: Vec<NamedProxy>,
    mut log: Log,
    end: Time,
) -> RunResult {
    log.retain(|(at, _)| *at <= end);
    log.sort_by_key(|(at, _)| *at);
    let proxies: Vec<ids::ProxyId> = proxies
        .into_iter()
        .map(|proxy| {
            recorder.add_proxy(ProxySetup {
                name: proxy.name,
                workload: Some(ids::WorkloadId(proxy.workload)),
                workers: proxy.workers,
            })
        })
        .collect();
    let setup = recorder.setup();
    let edges = (0..).zip(&setup.edges);
    let edges = edges.map(|(number, edge)| ((edge.from.0, edge.to.0), EdgeId(number)));
    let mut books = Books {
        edges: edges.collect(),
        totals: vec![[0; 3]; setup.workloads.len()],
        active: FxHashMap::default(),
        clusters: HashMap::new(),
        endpoints: HashMap::new(),
        proxies,
        recorder,
    };
    for (at, entry) in log {
        books.tell(at, entry);
    }
    books.recorder.finish(end)
}

struct Books {
    recorder: Recorder,
    edges: FxHashMap<Ends, EdgeId>,
    active: FxHashMap<EdgeId, u64>,
    totals: Vec<[u64; 3]>,
    clusters: HashMap<(u32, String), ids::ClusterId>,
    endpoints: HashMap<(ids::ClusterId, String), ids::EndpointId>,
    proxies: Vec<ids::ProxyId>,
}

impl Books {
    fn edge(&mut self, (from, to): Ends) -> EdgeId {
        let recorder = &mut self.recorder;
        *self.edges.entry((from, to)).or_insert_with(|| {
            recorder.add_edge(EdgeSetup {
                from: ids::WorkloadId(from),
                to: ids::WorkloadId(to),
                policies: Vec::new(),
            })
        })
    }

    fn tell(&mut self, at: Time, entry: Entry) {
        match entry {
            Entry::Request { load, intended } => {
                self.recorder.request_started(ids::LoadId(load), intended);
            }
            Entry::RequestEnd {
                load,
                intended,
                outcome,
            } => {
                let load = ids::LoadId(load);
                self.recorder.request_finished(load, intended, at, outcome);
            }
            Entry::Try { ends, kind, why } => {
                let edge = self.edge(ends);
                self.recorder.attempt_started(edge, at, kind, why);
                self.active(edge, at, true);
            }
            Entry::TryEnd { ends, reason, took } => {
                let edge = self.edge(ends);
                self.recorder.attempt_finished(edge, at, reason, took);
                self.active(edge, at, false);
            }
            Entry::Call { ends, reason } => {
                let edge = self.edge(ends);
                self.recorder.call_finished(edge, at, reason);
            }
            Entry::CallGivenUp { ends } => {
                let edge = self.edge(ends);
                self.recorder.call_given_up(edge, at);
            }
            Entry::Rejected {
                ends,
                limit,
                origin,
            } => {
                let edge = self.edge(ends);
                self.recorder.rejected(edge, at, limit, origin);
            }
            Entry::Handled { workload, how } => {
                self.recorder.handled(ids::WorkloadId(workload), at, how);
            }
            Entry::Gauges {
                workload,
                before,
                after,
            } => self.gauges(workload, at, before, after),
            Entry::Ejected {
                cluster,
                proxy,
                reason,
                origin,
            } => {
                let (cluster, endpoint) = self.endpoint(cluster);
                let proxy = self.proxies.get(proxy as usize).copied();
                self.recorder
                    .ejection_started(cluster, endpoint, proxy, at, reason, origin);
            }
            Entry::Returned { cluster, proxy } => {
                let (cluster, endpoint) = self.endpoint(cluster);
                let proxy = self.proxies.get(proxy as usize).copied();
                self.recorder.ejection_ended(cluster, endpoint, proxy, at);
            }
            Entry::Fault { number, begins } => {
                let fault = ids::FaultId(number);
                if begins {
                    self.recorder.fault_started(fault, at);
                } else {
                    self.recorder.fault_ended(fault, at);
                }
            }
            Entry::Applied { change } => {
                self.recorder.config_applied(ids::ChangeId(change), at);
            }
        }
    }

    fn active(&mut self, edge: EdgeId, at: Time, more: bool) {
        let active = self.active.entry(edge).or_default();
        *active = if more {
            *active + 1
        } else {
            active.saturating_sub(1)
        };
        self.recorder.active_requests(edge, at, *active);
    }

    fn gauges(&mut self, workload: u32, at: Time, before: [u64; 3], after: [u64; 3]) {
        let id = ids::WorkloadId(workload);
        let totals = &mut self.totals[workload as usize];
        for (total, (before, after)) in totals.iter_mut().zip(before.into_iter().zip(after)) {
            *total = *total + after - before;
        }
        let [busy, waiting, slots] = *totals;
        self.recorder.busy(id, at, busy);
        self.recorder.queue_length(id, at, waiting);
        self.recorder.capacity(id, at, slots);
    }

    fn endpoint(&mut self, named: Named) -> (ids::ClusterId, ids::EndpointId) {
        let edge = named.to.map(|to| self.edge((named.from, to)));
        let recorder = &mut self.recorder;
        let name = named.cluster;
        let cluster = *self
            .clusters
            .entry((named.from, name.clone()))
            .or_insert_with(|| {
                recorder.add_cluster(ClusterSetup {
                    name,
                    edge,
                    endpoints: Vec::new(),
                })
            });
        let key = (cluster, named.endpoint.clone());
        let endpoint = self.endpoints.entry(key);
        let endpoint = endpoint.or_insert_with(|| recorder.add_endpoint(cluster, named.endpoint));
        (cluster, *endpoint)
    }
}
