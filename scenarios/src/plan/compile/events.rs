//! Faults and changes.

use manifests::diagnostics::Diagnostic;
use proxy_core::time::{Duration, Time};

use super::Compiler;
use super::behaviour::{DEFAULT_BOOT, DEFAULT_READY, small};
use crate::format::scalars::{self, Factor, Share};
use crate::format::{self, Located};
use crate::plan::environment::Window;
use crate::plan::events::{
    Change, ChangeKind, CountOrShare, Fault, FaultKind, Pace, Peer, Pods, Select,
};
use crate::plan::ids::{NodeId, WorkloadId, ZoneId};
use crate::plan::load::Process;

const KINDS: &[&str] = &[
    "slow",
    "error",
    "crash",
    "freeze",
    "capacity",
    "delay",
    "loss",
    "partition",
    "reset",
    "blackhole",
    "outage",
    "dns",
    "expire",
    "surge",
    "push",
];

/// What a fault strikes.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    /// Processes.
    Pods,
    /// What goes between them: `edge` may be given.
    Connections,
}

impl Compiler<'_> {
    pub(super) fn read_faults(&mut self) {
        let spec = self.spec;
        let names = spec.faults.iter().map(|fault| &fault.name);
        self.distinct(
            "faults and changes",
            names.chain(spec.changes.iter().map(|change| &change.name)),
        );
        for fault in &spec.faults {
            let window = self.window(fault);
            if let Some(kind) = self.fault(fault) {
                self.faults.push(Fault {
                    name: fault.name.as_str().into(),
                    window,
                    kind,
                    span: fault.name.span(),
                });
            }
        }
    }

    fn window(&mut self, fault: &Located<format::Fault>) -> Window {
        self.within_run("fault", &fault.at);
        let from = Time::ZERO + fault.at.0;
        if let Some(lasts) = &fault.lasts {
            if lasts.0.is_zero() {
                self.error(
                    "fault::window",
                    "a fault lasts longer than no time",
                    lasts.span(),
                    "no time",
                );
            }
            let end = fault.at.0 + lasts.0;
            if end > self.duration && fault.at.0 < self.duration {
                let problem = Diagnostic::warning(
                    "fault::window",
                    format!("the fault would end at {end}, after the run"),
                )
                .label(lasts.span(), "so long")
                .label(self.spec.duration.span(), "the whole run")
                .help("nothing is seen of what follows it");
                self.problems.push(problem);
            }
        }
        Window {
            from,
            length: fault.lasts.as_ref().map(|lasts| lasts.0),
        }
    }

    fn within_run(&mut self, what: &str, at: &Located<scalars::Period>) {
        if at.0 >= self.duration {
            let problem =
                Diagnostic::error("time::outside", format!("this {what} comes after the run"))
                    .label(at.span(), "not before its end")
                    .label(self.spec.duration.span(), "the whole run");
            self.problems.push(problem);
        }
    }

    fn fault(&mut self, fault: &Located<format::Fault>) -> Option<FaultKind> {
        let is = [
            fault.slow.is_some(),
            fault.error.is_some(),
            fault.crash.is_some(),
            fault.freeze.is_some(),
            fault.capacity.is_some(),
            fault.delay.is_some(),
            fault.loss.is_some(),
            fault.partition.is_some(),
            fault.reset.is_some(),
            fault.blackhole.is_some(),
            fault.outage.is_some(),
            fault.dns.is_some(),
            fault.expire.is_some(),
            fault.surge.is_some(),
            fault.push.is_some(),
        ];
        let given: Vec<&str> = KINDS
            .iter()
            .zip(is)
            .filter_map(|(kind, is)| is.then_some(*kind))
            .collect();
        if given.len() != 1 {
            self.one_of(fault.span(), KINDS, &given);
            return None;
        }
        if let Some(kind) = self.pod_fault(fault) {
            return kind;
        }
        self.connection_fault(fault)
            .or_else(|| self.other_fault(fault))?
    }

    /// Outer none: not one of these kinds; inner none: one, and wrong.
    fn pod_fault(&mut self, fault: &format::Fault) -> Option<Option<FaultKind>> {
        use Target::Pods;
        if let Some(slow) = &fault.slow {
            let factor = self.positive(&slow.factor);
            let select = self.select(&slow.select, Pods);
            return Some(select.and_then(|select| {
                Some(FaultKind::Slow {
                    select,
                    factor: factor?,
                })
            }));
        }
        if let Some(error) = &fault.error {
            let status = error.status.as_ref().map_or(500, |status| small(status.0));
            let share = share(error.share.as_ref());
            let select = self.select(&error.select, Pods);
            return Some(select.map(|select| FaultKind::Error {
                select,
                status,
                share,
            }));
        }
        if let Some(crash) = &fault.crash {
            return Some(
                self.select(&crash.select, Pods)
                    .map(|select| FaultKind::Crash { select }),
            );
        }
        if let Some(freeze) = &fault.freeze {
            return Some(
                self.select(&freeze.select, Pods)
                    .map(|select| FaultKind::Freeze { select }),
            );
        }
        if let Some(capacity) = &fault.capacity {
            let slots = capacity.slots.as_ref().map(|slots| slots.0);
            let cores = capacity.cores.as_ref().map(|cores| self.positive(cores));
            if slots.is_none() && cores.is_none() {
                self.error(
                    "field::one-of",
                    "`slots` or `cores` is needed",
                    capacity.span(),
                    "in this object",
                );
            }
            let select = self.select(&capacity.select, Pods);
            return Some(select.map(|select| FaultKind::Capacity {
                select,
                slots,
                cores: cores.flatten(),
            }));
        }
        if let Some(expire) = &fault.expire {
            return Some(
                self.select(&expire.select, Pods)
                    .map(|select| FaultKind::Expire { select }),
            );
        }
        let dns = fault.dns.as_ref()?;
        Some(
            self.select(&dns.select, Pods)
                .map(|select| FaultKind::Dns { select }),
        )
    }

    fn connection_fault(&mut self, fault: &format::Fault) -> Option<Option<FaultKind>> {
        use Target::Connections;
        if let Some(delay) = &fault.delay {
            let add = self.times(&delay.add);
            let select = self.select(&delay.select, Connections);
            return Some(select.and_then(|select| Some(FaultKind::Delay { select, add: add? })));
        }
        if let Some(partition) = &fault.partition {
            let select = self.select(&partition.select, Connections);
            return Some(select.map(|select| FaultKind::Partition { select }));
        }
        let striking = fault
            .loss
            .as_ref()
            .or(fault.reset.as_ref())
            .or(fault.blackhole.as_ref())?;
        let share = share(striking.share.as_ref());
        let select = self.select(&striking.select, Connections);
        Some(select.map(|select| match (&fault.loss, &fault.reset) {
            (Some(_), _) => FaultKind::Loss { select, share },
            (None, Some(_)) => FaultKind::Reset { select, share },
            (None, None) => FaultKind::Blackhole { select, share },
        }))
    }

    fn other_fault(&mut self, fault: &Located<format::Fault>) -> Option<Option<FaultKind>> {
        if let Some(outage) = &fault.outage {
            return Some(
                self.zone(&outage.zone)
                    .map(|zone| FaultKind::Outage { zone }),
            );
        }
        if let Some(surge) = &fault.surge {
            let factor = surge.factor.0;
            let load = self.load_named(&surge.load)?;
            let closed = matches!(self.loads[load.index()].process, Process::Closed { .. });
            let open = matches!(self.loads[load.index()].process, Process::Open { .. });
            if (closed || !open) && factor < 1.0 {
                let message = "only an open load can be made less; a surge of users or of a trace adds to them";
                self.error("surge::factor", message, surge.factor.span(), "below one");
            }
            return Some(Some(FaultKind::Surge { load, factor }));
        }
        let push = fault.push.as_ref()?;
        if push.apply.is_empty() {
            self.error(
                "push::apply",
                "there is nothing to apply",
                push.span(),
                "an empty list",
            );
        }
        let apply = self.paths(&push.apply);
        let propagation = match &push.propagation {
            Some(times) => Some(self.times(times)?),
            None => None,
        };
        Some(Some(FaultKind::Push { apply, propagation }))
    }

    fn positive(&mut self, factor: &Located<Factor>) -> Option<f64> {
        if factor.0 > 0.0 {
            return Some(factor.0);
        }
        self.error(
            "value::zero",
            "must be above zero",
            factor.span(),
            "nothing would ever end",
        );
        None
    }

    fn select(&mut self, given: &Located<format::Select>, target: Target) -> Option<Select> {
        let nothing = given.workload.is_none()
            && given.pods.is_none()
            && given.zone.is_none()
            && given.node.is_none()
            && given.edge.is_none();
        if nothing {
            let keys = "`workload`, `pods`, `zone`, `node` or `edge`";
            self.error(
                "select::empty",
                format!("one of {keys} is needed"),
                given.span(),
                "selects nothing",
            );
            return None;
        }
        let workload = match &given.workload {
            Some(name) => Some(self.peer_workload(name)?),
            None => None,
        };
        let version = match (&given.version, workload) {
            (Some(name), Some(workload)) => Some(self.version(workload, name)?),
            (Some(name), None) => {
                self.error(
                    "select::version",
                    "a version is one of a `workload`",
                    name.span(),
                    "no workload is given",
                );
                return None;
            }
            (None, _) => None,
        };
        let zone = match &given.zone {
            Some(zone) => Some(self.zone(zone)?),
            None => None,
        };
        let node = match &given.node {
            Some(node) => Some(self.node(node)?),
            None => None,
        };
        let edge = match &given.edge {
            Some(edge) if target == Target::Pods => {
                self.error(
                    "select::edge",
                    "this fault strikes pods, not what goes between them",
                    edge.span(),
                    "an edge",
                );
                return None;
            }
            Some(edge) => Some((self.peer(&edge.0)?, self.peer(&edge.1)?)),
            None => None,
        };
        Some(Select {
            workload,
            version,
            pods: match given.pods.as_deref() {
                None => Pods::All,
                Some(scalars::CountOrShare::Count(count)) => Pods::Count(*count),
                Some(scalars::CountOrShare::Share(share)) => Pods::Share(*share),
            },
            zone,
            node,
            edge,
        })
    }

    fn peer(&mut self, name: &Located<String>) -> Option<Peer> {
        if name.as_str() == "gateway" {
            return Some(Peer::Gateways);
        }
        if let Some(load) = self.loads.iter().position(|load| *load.name == ***name) {
            return Some(Peer::Load(crate::plan::ids::LoadId::at(load)));
        }
        self.peer_workload(name).map(Peer::Workload)
    }

    fn zone(&mut self, name: &Located<String>) -> Option<ZoneId> {
        let zones = self.topology.zones.clone();
        let found = zones.iter().position(|zone| **zone == ***name);
        if found.is_none() {
            self.unknown(
                "zone::unknown",
                "zone",
                name,
                zones.iter().map(|zone| &**zone),
            );
        }
        found.map(ZoneId::at)
    }

    fn node(&mut self, name: &Located<String>) -> Option<NodeId> {
        let names: Vec<Box<str>> = self
            .topology
            .nodes
            .iter()
            .map(|node| node.name.clone())
            .collect();
        let found = names.iter().position(|node| **node == ***name);
        if found.is_none() {
            self.unknown(
                "node::unknown",
                "machine",
                name,
                names.iter().map(|node| &**node),
            );
        }
        found.map(NodeId::at)
    }

    fn version(&mut self, workload: WorkloadId, name: &Located<String>) -> Option<usize> {
        let workload = &self.workloads[workload.index()];
        let found = workload.version(name);
        if found.is_none() {
            let names: Vec<Box<str>> = workload
                .versions
                .iter()
                .filter_map(|version| version.name.clone())
                .collect();
            self.unknown(
                "version::unknown",
                "version",
                name,
                names.iter().map(|name| &**name),
            );
        }
        found
    }

    pub(super) fn read_changes(&mut self) -> Vec<Change> {
        let spec = self.spec;
        let mut changes = Vec::new();
        for change in &spec.changes {
            self.within_run("change", &change.at);
            let propagation = match &change.propagation {
                Some(times) => self.times(times),
                None => None,
            };
            if let Some(kind) = self.change(change) {
                changes.push(Change {
                    name: change.name.as_str().into(),
                    at: Time::ZERO + change.at.0,
                    kind,
                    propagation,
                    span: change.name.span(),
                });
            }
        }
        changes
    }

    fn change(&mut self, change: &Located<format::Change>) -> Option<ChangeKind> {
        let applies = !change.apply.is_empty() || !change.remove.is_empty();
        let keys = [
            ("apply", applies),
            ("scale", change.scale.is_some()),
            ("restart", change.restart.is_some()),
            ("rollout", change.rollout.is_some()),
        ];
        let given: Vec<&str> = keys
            .iter()
            .filter(|each| each.1)
            .map(|each| each.0)
            .collect();
        if given.len() != 1 {
            self.one_of(
                change.span(),
                &["apply", "remove", "scale", "restart", "rollout"],
                &given,
            );
            return None;
        }
        if let Some(propagation) = change.propagation.as_ref().filter(|_| !applies) {
            self.error(
                "change::propagation",
                "only configuration takes time to reach the proxies",
                propagation.span(),
                "there is no `apply` or `remove`",
            );
        }
        if let Some(scale) = &change.scale {
            let workload = self.peer_workload(&scale.workload)?;
            let version = match &scale.version {
                Some(name) => self.version(workload, name)?,
                None => 0,
            };
            let replicas = scale.replicas.0;
            return Some(ChangeKind::Scale {
                workload,
                version,
                replicas,
            });
        }
        if let Some(restart) = &change.restart {
            let workload = self.peer_workload(&restart.workload)?;
            let pace = pace(
                restart.max_surge.as_deref(),
                restart.max_unavailable.as_deref(),
            );
            return Some(ChangeKind::Restart { workload, pace });
        }
        if let Some(rollout) = &change.rollout {
            let workload = self.peer_workload(&rollout.workload)?;
            let to = self.version(workload, &rollout.to)?;
            let pace = pace(
                rollout.max_surge.as_deref(),
                rollout.max_unavailable.as_deref(),
            );
            return Some(ChangeKind::Rollout { workload, to, pace });
        }
        let apply = self.paths(&change.apply);
        let remove = self.object_refs(&change.remove);
        Some(ChangeKind::Apply { apply, remove })
    }

    /// Start-up times matter only when something starts.
    pub(super) fn assume_start_times(&mut self, changes: &[Change]) {
        let starts = |id: WorkloadId| {
            let struck = self.faults.iter().any(|fault| match &fault.kind {
                FaultKind::Outage { .. } => true,
                FaultKind::Crash { select } => {
                    select.workload.is_none_or(|workload| workload == id)
                }
                FaultKind::Slow { .. }
                | FaultKind::Error { .. }
                | FaultKind::Freeze { .. }
                | FaultKind::Capacity { .. }
                | FaultKind::Delay { .. }
                | FaultKind::Loss { .. }
                | FaultKind::Partition { .. }
                | FaultKind::Reset { .. }
                | FaultKind::Blackhole { .. }
                | FaultKind::Dns { .. }
                | FaultKind::Expire { .. }
                | FaultKind::Surge { .. }
                | FaultKind::Push { .. } => false,
            });
            struck
                || changes.iter().any(|change| match &change.kind {
                    ChangeKind::Scale { workload, .. }
                    | ChangeKind::Restart { workload, .. }
                    | ChangeKind::Rollout { workload, .. } => *workload == id,
                    ChangeKind::Apply { .. } => false,
                })
        };
        let spec = self.spec;
        let mut missing: Vec<(String, Duration, [&str; 2])> = Vec::new();
        for (index, workload) in self.workloads.iter().enumerate() {
            if !starts(WorkloadId::at(index)) {
                continue;
            }
            let key = spec
                .workloads
                .keys()
                .find(|key| key.span() == workload.span);
            let name = key.map_or_else(|| workload.full_name(), |key| key.to_string());
            let start = key
                .and_then(|key| spec.workloads.get(key))
                .and_then(|given| given.start.as_ref());
            if start.is_none_or(|start| start.after.is_none()) {
                missing.push((
                    format!("workloads.{name}.start.after"),
                    DEFAULT_BOOT,
                    ["1s", "30s"],
                ));
            }
            if start.is_none_or(|start| start.ready.is_none()) {
                missing.push((
                    format!("workloads.{name}.start.ready"),
                    DEFAULT_READY,
                    ["500ms", "10s"],
                ));
            }
        }
        for (path, value, alternatives) in missing {
            let why = "how long its pods take to start is not written";
            self.assume(path, &value.to_string(), why, &alternatives);
        }
    }
}

fn share(given: Option<&Located<Share>>) -> f64 {
    given.map_or(1.0, |share| share.0)
}

/// Default 25 % each: Kubernetes apps/v1 `DeploymentStrategy`.
fn pace(
    surge: Option<&scalars::CountOrShare>,
    unavailable: Option<&scalars::CountOrShare>,
) -> Pace {
    let part = |given: Option<&scalars::CountOrShare>| match given {
        None => CountOrShare::Share(0.25),
        Some(scalars::CountOrShare::Count(count)) => CountOrShare::Count(*count),
        Some(scalars::CountOrShare::Share(share)) => CountOrShare::Share(*share),
    };
    Pace {
        max_surge: part(surge),
        max_unavailable: part(unavailable),
    }
}
