//! Notes what our own proxies do, in the words of the result.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use proxy_core::config::{Cluster, RetryBudget};
use proxy_core::event::{AccessRecord, AttemptFailure, AttemptRecord, AttemptResult, Event, Next};
use proxy_core::ids::{ClusterId, EndpointSlot, ExchangeId};
use proxy_core::node::{Node, Target};
use proxy_core::reply::ReplyReason;
use proxy_core::time::Time;
use reports::outcome::{AttemptKind, ErrorReason, Limit, Why};
use rustc_hash::FxHashMap;
use sim::facts;

use crate::books::{Entry, Log, Named};

/// Whom the addresses of the run belong to.
#[derive(Debug, Default)]
pub(crate) struct Who {
    /// Workload and name of the pod at an address.
    pub(crate) pods: FxHashMap<IpAddr, (u32, String)>,
    /// The first workload behind a Service, by `namespace/name`.
    pub(crate) services: FxHashMap<String, u32>,
}

/// Where a proxy stands.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) who: Arc<Who>,
    pub(crate) workload: u32,
    pub(crate) ip: IpAddr,
    pub(crate) is_gateway: bool,
    /// What it sends goes through its pod's sidecar, which tells of it.
    pub(crate) behind_sidecar: bool,
    pub(crate) proxy: u32,
}

impl Seat {
    /// Whether an address is the pod's own application.
    fn is_own(&self, address: SocketAddr) -> bool {
        !self.is_gateway && (address.ip() == self.ip || address.ip().is_loopback())
    }

    /// The workload that a try went to, or would have gone to, in a cluster whose `first` endpoint stands for all; none: what arrived for
    /// the pod itself.
    pub(crate) fn target(
        &self,
        cluster: &Cluster,
        chosen: Option<SocketAddr>,
        first: Option<SocketAddr>,
    ) -> Option<u32> {
        if chosen.or(first).is_some_and(|address| self.is_own(address)) {
            return None;
        }
        let known = chosen.and_then(|address| self.who.pods.get(&address.ip()));
        if let Some((workload, _)) = known {
            return Some(*workload);
        }
        self.who.services.get(&*cluster.service).copied()
    }

    /// How the result names an endpoint.
    pub(crate) fn named(&self, cluster: &Cluster, address: SocketAddr) -> Named {
        let short = cluster.service.rsplit('/').next().unwrap_or_default();
        let subset = cluster.subset.iter();
        let subset: Vec<String> = subset
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let name = if subset.is_empty() {
            short.to_owned()
        } else {
            format!("{short} ({})", subset.join(", "))
        };
        let pod = self.who.pods.get(&address.ip());
        Named {
            from: self.workload,
            to: self.target(cluster, Some(address), None),
            cluster: name,
            endpoint: pod.map_or_else(|| address.to_string(), |(_, name)| name.clone()),
        }
    }
}

/// What binds the retries of a cluster.
pub(crate) fn limit_of_retries(cluster: Option<&Cluster>) -> Limit {
    let budget = cluster.and_then(|cluster| cluster.retry_budget);
    match budget.map(|budget| budget.value) {
        Some(RetryBudget::Concurrency(_) | RetryBudget::Rate(_)) => Limit::RetryBudget,
        None => Limit::Retries,
    }
}

/// Notes what the nodes of one proxy say.
pub(crate) struct Scribe {
    seat: Seat,
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
    pub(crate) fn new(seat: Seat) -> Self {
        Self {
            seat,
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
                        proxy: self.seat.proxy,
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
                        proxy: self.seat.proxy,
                    }),
                    now,
                );
            }
            Event::Decision { .. }
            | Event::EjectionRefused { .. }
            | Event::Breaker { .. }
            | Event::Health { .. }
            | Event::Closed { .. }
            | Event::Upgrade(_)
            | Event::Session { .. }
            | Event::Traced(_)
            | Event::Updated => {}
        }
    }

    fn write(&self, entry: Option<Entry>, now: Time) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.log.extend(entry.map(|entry| (now, entry)));
    }

    /// The workload that a try of a cluster went or would have gone to; none: what arrived for the pod itself.
    fn target(
        &self,
        node: &Node,
        cluster: ClusterId,
        endpoint: Option<EndpointSlot>,
    ) -> Option<u32> {
        let at = |slot| node.endpoint(cluster, slot);
        let (chosen, first) = (endpoint.and_then(at), at(EndpointSlot(0)));
        self.seat.target(node.cluster(cluster)?, chosen, first)
    }

    fn attempt(&self, node: &Node, now: Time, record: &AttemptRecord) {
        let Some(to) = self.target(node, record.cluster, record.endpoint) else {
            return;
        };
        let ends = (self.seat.workload, to);
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
        } else if !self.seat.behind_sidecar {
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
            let limit = limit_of_retries(node.cluster(record.cluster));
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
        if !self.seat.is_gateway && refused.is_none() {
            return;
        }
        let to = tried.and_then(|tried| tried.to);
        let to = to.or_else(|| self.target(node, record.cluster?, None));
        let Some(to) = to else {
            return;
        };
        let ends = (self.seat.workload, to);
        if let Some(limit) = refused {
            let origin = facts::origin(record.origin);
            let entry = Entry::Rejected {
                ends,
                limit,
                origin,
            };
            noted.log.push((now, entry));
        }
        if self.seat.is_gateway {
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
        Some(self.seat.named(node.cluster(cluster)?, address))
    }
}
