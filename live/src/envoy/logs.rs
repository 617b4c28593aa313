//! What an Envoy has written down, in the words of the result.
//!
//! Tries of one request have its id, and go to its cluster. One id may be of several requests: a caller that tries again keeps it, and so
//! does a gateway between the two sides of its sidecar.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use manifests::envoy::Likeness;
use proxy_core::config::{Cluster, NodeConfig, RouteAction, Section};
use proxy_core::event::{AttemptFailure, AttemptResult};
use proxy_core::origin::OriginId;
use proxy_core::reply::Flags;
use proxy_core::time::Time;
use reports::outcome::{AttemptKind, EjectionReason, ErrorReason, Limit, Why};
use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sim::facts;

use super::moments::{Epoch, Moment};
use crate::books::{Entry, Log};
use crate::scribe::{Seat, limit_of_retries};

/// What stands behind the names in an Envoy's logs.
#[derive(Default, Debug)]
pub(super) struct Names {
    clusters: FxHashMap<String, (Arc<Section>, usize)>,
    /// Endpoints of the configuration by where they are dialled.
    endpoints: FxHashMap<SocketAddr, SocketAddr>,
    /// The rule that retries, by route and cluster.
    retries: FxHashMap<(String, String), OriginId>,
}

impl Names {
    /// Learns the names of a configuration; what had them before is forgotten.
    pub(super) fn learn(
        &mut self,
        config: &NodeConfig,
        likeness: &Likeness,
        endpoints: &BTreeMap<SocketAddr, SocketAddr>,
    ) {
        let dialled = endpoints.iter().map(|(own, dialled)| (*dialled, *own));
        self.endpoints.extend(dialled);
        for (section, names) in config.sections.iter().zip(&likeness.clusters) {
            for (at, name) in names.iter().enumerate() {
                let known = (section.clone(), at);
                self.clusters.insert(name.to_string(), known);
            }
            let hosts = section.tables().iter().flat_map(|it| &it.virtual_hosts);
            for route in hosts.flat_map(|host| &host.routes) {
                let RouteAction::Forward(forward) = &route.action else {
                    continue;
                };
                let Some(policy) = &forward.retry else {
                    continue;
                };
                for to in forward.clusters.iter().filter_map(|it| it.cluster) {
                    if let Some(cluster) = names.get(to.0 as usize) {
                        let key = (route.name.to_string(), cluster.to_string());
                        self.retries.insert(key, policy.on.origin);
                    }
                }
            }
        }
    }

    /// A cluster, or what one is called for connections that are meant for one address.
    fn cluster(&self, name: &str) -> Option<&Cluster> {
        let plain = || self.clusters.get(name.rsplit_once(" at ")?.0);
        let (section, at) = self.clusters.get(name).or_else(plain)?;
        section.clusters().get(*at).map(AsRef::as_ref)
    }

    /// An endpoint as the configuration has it.
    fn endpoint(&self, said: Option<&str>) -> Option<SocketAddr> {
        let dialled: SocketAddr = said?.parse().ok()?;
        Some(self.endpoints.get(&dialled).copied().unwrap_or(dialled))
    }
}

/// A request or a try that is over.
#[derive(Deserialize, Debug)]
struct Line {
    began: Moment,
    ended: Moment,
    id: Option<String>,
    status: Option<u16>,
    flags: Option<String>,
    route: Option<String>,
    cluster: Option<String>,
    endpoint: Option<String>,
}

impl Line {
    fn has(&self, flag: Flags) -> bool {
        let said = self.flags.iter().flat_map(|flags| flags.split(','));
        let mut flags = said.filter_map(Flags::parse);
        flags.any(|each| each == flag)
    }

    fn status(&self) -> u16 {
        self.status.unwrap_or_default()
    }

    /// How a try of this request ended; none: the request is not over.
    fn result(&self, request: Option<&Self>) -> AttemptResult {
        if self.status() != 0 {
            return AttemptResult::Response(self.status());
        }
        let failures = [
            (Flags::UO, AttemptFailure::Overflow),
            (Flags::UT, AttemptFailure::PerTryTimeout),
            (Flags::UF, AttemptFailure::ConnectRefused),
            (Flags::UC, AttemptFailure::Terminated),
            (Flags::UR, AttemptFailure::Reset),
            (Flags::LR, AttemptFailure::Reset),
            (Flags::UPE, AttemptFailure::Protocol),
        ];
        let own = failures.into_iter().find(|(flag, _)| self.has(*flag));
        match own {
            Some((_, failure)) => AttemptResult::Failed(failure),
            // it has no flag of its own when the whole request took too long
            None if request.is_some_and(|request| request.has(Flags::UT)) => {
                AttemptResult::Failed(AttemptFailure::RouteTimeout)
            }
            None => AttemptResult::Cancelled,
        }
    }
}

/// An endpoint that is taken out, or returns.
#[derive(Deserialize, Debug)]
struct EjectionLine {
    #[serde(rename = "type")]
    kind: String,
    timestamp: Moment,
    cluster_name: String,
    upstream_url: String,
    action: String,
    #[serde(default)]
    enforced: bool,
}

/// What the logs in a folder say, and how many of their lines say nothing.
pub(super) fn read(folder: &Path, names: &Names, seat: &Seat, epoch: Epoch) -> (Log, usize) {
    let mut reader = Reader {
        names,
        seat,
        epoch,
        log: Log::new(),
        unread: 0,
    };
    let requests = reader.lines::<Line>(folder, REQUESTS);
    let tries = reader.lines::<Line>(folder, TRIES);
    reader.exchanges(requests, tries);
    for line in reader.lines(folder, EJECTIONS) {
        reader.ejection(&line);
    }
    (reader.log, reader.unread)
}

pub(super) const REQUESTS: &str = "requests";
pub(super) const TRIES: &str = "tries";
pub(super) const EJECTIONS: &str = "ejections";

struct Reader<'a> {
    names: &'a Names,
    seat: &'a Seat,
    epoch: Epoch,
    log: Log,
    unread: usize,
}

/// Requests of one id and cluster, and tries.
type Group = (Vec<Line>, Vec<Line>);

impl Reader<'_> {
    fn lines<T: DeserializeOwned>(&mut self, folder: &Path, file: &str) -> Vec<T> {
        // a log without a line may not be there
        let text = fs::read(folder.join(file)).unwrap_or_default();
        // what was under way when it ended has no end
        let whole = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        let lines = text[..whole].split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        let mut read = Vec::new();
        for line in lines {
            match serde_json::from_slice(line) {
                Ok(line) => read.push(line),
                Err(_) => self.unread += 1,
            }
        }
        read
    }

    fn note(&mut self, at: Moment, entry: Entry) {
        self.log.push((self.time(at), entry));
    }

    fn time(&self, at: Moment) -> Time {
        self.epoch.time(at)
    }

    fn exchanges(&mut self, requests: Vec<Line>, tries: Vec<Line>) {
        let mut groups: FxHashMap<(Option<String>, Option<String>), Group> = FxHashMap::default();
        let mut of = |mut line: Line, pick: fn(&mut Group) -> &mut Vec<Line>| {
            let key = (line.id.take(), line.cluster.clone());
            pick(groups.entry(key).or_default()).push(line);
        };
        requests
            .into_iter()
            .for_each(|line| of(line, |group| &mut group.0));
        tries
            .into_iter()
            .for_each(|line| of(line, |group| &mut group.1));
        for (mut requests, mut tries) in groups.into_values() {
            requests.sort_by_key(|line| line.began);
            tries.sort_by_key(|line| line.began);
            for request in &requests {
                let within =
                    |line: &mut Line| request.began <= line.began && line.began <= request.ended;
                let own: Vec<Line> = tries.extract_if(.., within).collect();
                self.exchange(Some(request), &own);
            }
            self.exchange(None, &tries);
        }
    }

    /// One request, as far as it is over, and its tries.
    fn exchange(&mut self, request: Option<&Line>, tries: &[Line]) {
        let Some(name) = request
            .or_else(|| tries.first())
            .and_then(|it| it.cluster.as_ref())
        else {
            return;
        };
        let names = self.names;
        let Some(cluster) = names.cluster(name) else {
            return;
        };
        let mut last = None;
        let mut why = None;
        for (number, line) in tries.iter().enumerate() {
            let Some(to) = self.target(cluster, line) else {
                continue;
            };
            let ends = (self.seat.workload, to);
            let result = line.result(request);
            let is_beside = |other: &Line| other.ended > line.began;
            let kind = match number {
                0 => AttemptKind::First,
                _ if tries[..number].iter().any(is_beside) => AttemptKind::Hedge,
                _ => AttemptKind::Retry,
            };
            if result == AttemptResult::Failed(AttemptFailure::Overflow) {
                let (limit, origin) = limit_of(cluster);
                let origin = facts::origin(origin);
                let entry = Entry::Rejected {
                    ends,
                    limit,
                    origin,
                };
                self.note(line.ended, entry);
            } else if !self.seat.behind_sidecar {
                let why = match kind {
                    AttemptKind::First => None,
                    AttemptKind::Retry => why,
                    AttemptKind::Hedge => Some(self.why(line, name, AttemptResult::Cancelled)),
                };
                self.note(line.began, Entry::Try { ends, kind, why });
                let reason = facts::reason_of_result(result);
                let took = self.time(line.ended).since(self.time(line.began));
                self.note(line.ended, Entry::TryEnd { ends, reason, took });
            }
            why = Some(self.why(line, name, result));
            last = Some((to, result));
        }
        if let Some(request) = request {
            self.request(request, cluster, last);
        }
    }

    /// The end of a request.
    fn request(&mut self, line: &Line, cluster: &Cluster, last: Option<(u32, AttemptResult)>) {
        let to = last.map(|(to, _)| to);
        let Some(to) = to.or_else(|| self.target(cluster, line)) else {
            return;
        };
        let ends = (self.seat.workload, to);
        let overflowed = |(_, result)| result != AttemptResult::Failed(AttemptFailure::Overflow);
        let no_retry = line.has(Flags::UO) && last.is_some_and(overflowed);
        let budget = cluster.retry_budget.map(|budget| budget.origin);
        let ceiling = budget.unwrap_or(cluster.limits[0].retries.origin);
        let refusals = [
            (line.has(Flags::UH), Limit::NoHealthy, OriginId::NONE),
            (no_retry, limit_of_retries(Some(cluster)), ceiling),
            (line.has(Flags::RL), Limit::Rate, OriginId::NONE),
            (line.has(Flags::FI), Limit::FaultAbort, OriginId::NONE),
        ];
        for (_, limit, origin) in refusals.into_iter().filter(|(is_so, ..)| *is_so) {
            let origin = facts::origin(origin);
            let entry = Entry::Rejected {
                ends,
                limit,
                origin,
            };
            self.note(line.ended, entry);
        }
        if self.seat.is_gateway {
            let reason = match line.status() {
                0 => ErrorReason::ClientGone,
                500.. => ErrorReason::Status5xx,
                _ => ErrorReason::None,
            };
            self.note(line.ended, Entry::Call { ends, reason });
        }
    }

    fn target(&self, cluster: &Cluster, line: &Line) -> Option<u32> {
        let chosen = self.names.endpoint(line.endpoint.as_deref());
        let first = cluster.endpoints.endpoints.first();
        self.seat
            .target(cluster, chosen, first.map(|it| it.address))
    }

    /// Why the next try is made after one that ended so.
    fn why(&self, line: &Line, cluster: &str, result: AttemptResult) -> Why {
        let route = line.route.clone().unwrap_or_default();
        let rule = self.names.retries.get(&(route, cluster.to_owned()));
        Why {
            origin: rule.and_then(|rule| facts::origin(*rule)),
            condition: facts::condition_of(result),
        }
    }

    fn ejection(&mut self, line: &EjectionLine) {
        let address = self.names.endpoint(Some(&line.upstream_url));
        let cluster = self.names.cluster(&line.cluster_name);
        let Some((cluster, address)) = cluster.zip(address) else {
            self.unread += 1;
            return;
        };
        let (named, proxy) = (self.seat.named(cluster, address), self.seat.proxy);
        let outlier = cluster.outlier.as_ref().map(|it| it.origin);
        match (&*line.action, line.enforced) {
            ("EJECT", true) => {
                let entry = Entry::Ejected {
                    cluster: named,
                    proxy,
                    reason: ejection_reason(&line.kind),
                    origin: outlier.and_then(facts::origin),
                };
                self.note(line.timestamp, entry);
            }
            // one that would have been, if it were not for a share
            ("EJECT", false) => {}
            _ => {
                let cluster = named;
                self.note(line.timestamp, Entry::Returned { cluster, proxy });
            }
        }
    }
}

/// The limit that refuses tries of a cluster, as far as a rule has set one.
fn limit_of(cluster: &Cluster) -> (Limit, OriginId) {
    let limits = cluster.limits.iter();
    let mut origins = limits.flat_map(|limits| {
        let all = [limits.pending, limits.requests, limits.connections];
        all.map(|limit| limit.origin)
    });
    let rule = origins.find(|rule| *rule != OriginId::NONE);
    let rule = rule.unwrap_or(OriginId::NONE);
    (facts::limit_by_origin(cluster, rule), rule)
}

/// Source: `envoy.data.cluster.v3.OutlierEjectionType`.
fn ejection_reason(kind: &str) -> EjectionReason {
    match kind {
        "CONSECUTIVE_GATEWAY_FAILURE" => EjectionReason::ConsecutiveGateway,
        "CONSECUTIVE_LOCAL_ORIGIN_FAILURE" => EjectionReason::ConsecutiveLocal,
        "SUCCESS_RATE" | "SUCCESS_RATE_LOCAL_ORIGIN" => EjectionReason::SuccessRate,
        "FAILURE_PERCENTAGE" | "FAILURE_PERCENTAGE_LOCAL_ORIGIN" => {
            EjectionReason::FailurePercentage
        }
        _ => EjectionReason::Consecutive5xx,
    }
}
