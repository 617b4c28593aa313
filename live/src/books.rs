//! What is written down while everything runs, and how it becomes a result afterwards.
//!
//! Proxies run on threads of their own, so that facts come in no order. Each is noted with its moment, and the recorder is told of them
//! in the order of time once the run is over.

use std::collections::HashMap;

use proxy_core::time::{Duration, Time};
use reports::ids::{self, EdgeId, OriginId};
use reports::outcome::{AttemptKind, EjectionReason, ErrorReason, Handled, Limit, Outcome, Why};
use reports::recorder::Recorder;
use reports::result::RunResult;
use reports::setup::{ClusterSetup, EdgeSetup, ProxySetup};
use rustc_hash::FxHashMap;

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
    pub(crate) from: u32,
    pub(crate) to: Option<u32>,
    pub(crate) cluster: String,
    pub(crate) endpoint: String,
}

/// A list of what happened.
pub(crate) type Log = Vec<(Time, Entry)>;

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
