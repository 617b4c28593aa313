//! What a run is about, named once for the recorder.

use manifests::model::{GatewayId, Model};
use proxy_core::time::{Duration, Time};
use reports::ids::WorkloadId;
use reports::setup::{
    ChangeSetup, EdgeSetup, FaultSetup, LoadSetup, Reaches, Setup, WorkloadKind, WorkloadSetup,
};
use scenarios::plan::{ChangeKind, FaultKind, Peer, Plan, Process, RequestTemplate, Select, Via};

use crate::flight::Flight;
pub use crate::world::{hash_of, split_authority};

/// Everything that a flight names.
#[must_use]
pub fn setup(flight: &Flight, seed: u64) -> Setup {
    let plan = &flight.plan;
    let model = &flight.model;
    Setup {
        scenario: plan.name.clone(),
        variant: Some(plan.flight.clone()).filter(|name| name != scenarios::read::BASE),
        seed,
        duration: plan.duration,
        warmup: plan.warmup,
        window: None,
        start_time: Some(rfc3339(plan.epoch)),
        loads: plan
            .loads
            .iter()
            .map(|load| LoadSetup {
                name: load.name.to_string(),
                enters: enters(plan, model, load),
                users: match load.process {
                    Process::Closed { users, .. } => Some(users),
                    Process::Open { .. } | Process::Trace(_) => None,
                },
            })
            .collect(),
        workloads: workloads(plan, model),
        edges: edges(plan),
        clusters: Vec::new(),
        proxies: Vec::new(),
        faults: faults(plan),
        changes: changes(plan),
        origins: flight.origins.clone(),
    }
}

fn workloads(plan: &Plan, model: &Model) -> Vec<WorkloadSetup> {
    let is_gateway = |at: usize| {
        let mut gateways = model.gateways().iter();
        gateways.any(|gateway| gateway.workload.is_some_and(|id| id.index() == at))
    };
    let all = plan.workloads.iter().enumerate();
    all.map(|(at, workload)| WorkloadSetup {
        name: workload.name.to_string(),
        namespace: workload.namespace.to_string(),
        kind: if is_gateway(at) {
            WorkloadKind::Gateway
        } else {
            WorkloadKind::Application
        },
        replicas: workload.replicas(),
    })
    .collect()
}

/// Who calls whom, as far as the program of the services tells; gateways and routes that lead elsewhere come as they are met.
fn edges(plan: &Plan) -> Vec<EdgeSetup> {
    let mut found: Vec<(u32, u32)> = Vec::new();
    for (from, workload) in (0..).zip(&plan.workloads) {
        for version in &workload.versions {
            for call in calls_of(plan, version.behaviour) {
                let to = plan.services[call.index()].workloads.first();
                if let Some(to) = to
                    && !found.contains(&(from, to.0))
                {
                    found.push((from, to.0));
                }
            }
        }
    }
    let edge = |(from, to)| EdgeSetup {
        from: WorkloadId(from),
        to: WorkloadId(to),
        policies: Vec::new(),
    };
    found.into_iter().map(edge).collect()
}

/// The Services that a behaviour calls, in the order of its steps.
fn calls_of(
    plan: &Plan,
    behaviour: scenarios::plan::BehaviourId,
) -> Vec<scenarios::plan::ServiceId> {
    use scenarios::plan::program::Step;
    let program = &plan.program;
    let mut found = Vec::new();
    let mut pending: Vec<u32> = program.behaviours[behaviour.index()]
        .handlers
        .clone()
        .map(|handler| program.handlers[handler as usize].first.0)
        .collect();
    while let Some(mut at) = pending.pop() {
        loop {
            match program.steps[at as usize] {
                Step::Call(call) => found.push(program.calls[call.index()].to),
                Step::Fork {
                    first,
                    count,
                    after,
                } => {
                    let branches = &program.branches[first as usize..(first + count) as usize];
                    pending.extend(branches.iter().map(|branch| branch.0));
                    at = after.0;
                    continue;
                }
                Step::Join | Step::Reply => break,
                Step::Work { .. } | Step::MayFail { .. } => {}
            }
            at += 1;
        }
    }
    found
}

fn enters(plan: &Plan, model: &Model, load: &scenarios::plan::Load) -> Option<WorkloadId> {
    let request = &plan.requests[load.mix.first()?.request.index()];
    match &load.via {
        Via::Gateway(name) => {
            let gateway = gateway_for(model, name.as_deref(), request)?;
            let workload = model.gateways()[gateway.index()].workload?;
            Some(WorkloadId(workload.0))
        }
        Via::Direct => {
            let (service, _) = request.to?;
            let workload = plan.services[service.index()].workloads.first()?;
            Some(WorkloadId(workload.0))
        }
        Via::Workload(workload) => Some(WorkloadId(workload.0)),
    }
}

/// The gateway of that name, or the one that serves a request's host; one that serves every host, or the only one there is, serves as well.
#[must_use]
pub fn gateway_for(
    model: &Model,
    name: Option<&str>,
    request: &RequestTemplate,
) -> Option<GatewayId> {
    let gateways = model.gateways();
    let found = match name {
        Some(name) => gateways.iter().position(|gateway| {
            let short = gateway.name.rsplit('/').next();
            &*gateway.name == name || short == Some(name)
        }),
        None => {
            let (host, _) = split_authority(&request.authority);
            let takes = |pattern: &str| match pattern.strip_prefix('*') {
                Some(suffix) => !suffix.is_empty() && host.ends_with(suffix),
                None => pattern.eq_ignore_ascii_case(host),
            };
            let exact = gateways
                .iter()
                .position(|gateway| gateway.hosts.iter().any(|pattern| takes(pattern)));
            let any = || {
                gateways
                    .iter()
                    .position(|gateway| gateway.hosts.iter().any(|pattern| &**pattern == "*"))
            };
            let only = || (gateways.len() == 1).then_some(0);
            exact.or_else(any).or_else(only)
        }
    };
    found.map(|at| GatewayId(at as u32))
}

fn faults(plan: &Plan) -> Vec<FaultSetup> {
    let end = Time::ZERO + plan.duration;
    let all = plan.faults.iter();
    all.map(|fault| FaultSetup {
        name: fault.name.to_string(),
        what: fault_words(plan, &fault.kind),
        start: fault.window.from,
        end: fault.window.until().min(end),
    })
    .collect()
}

fn fault_words(plan: &Plan, kind: &FaultKind) -> String {
    let who = kind.select().map(|select| select_words(plan, select));
    let who = who.unwrap_or_default();
    match kind {
        FaultKind::Slow { factor, .. } => format!("{who} slowed {factor}×"),
        FaultKind::Error { status, share, .. } => {
            format!("{who} answers {status} to {}", percent(*share))
        }
        FaultKind::Crash { .. } => format!("{who} crashed"),
        FaultKind::Freeze { .. } => format!("{who} froze"),
        FaultKind::Capacity { slots, cores, .. } => match (slots, cores) {
            (Some(slots), _) => format!("{who} left with {slots} slots"),
            (None, Some(cores)) => format!("{who} left with {cores} cores"),
            (None, None) => format!("{who} short of capacity"),
        },
        FaultKind::Delay { .. } => format!("messages of {who} delayed"),
        FaultKind::Loss { share, .. } => {
            format!("{} of the messages of {who} lost", percent(*share))
        }
        FaultKind::Partition { .. } => format!("{who} cut off"),
        FaultKind::Reset { share, .. } => {
            format!("{} of the connections of {who} reset", percent(*share))
        }
        FaultKind::Blackhole { share, .. } => {
            format!("{} of the requests to {who} swallowed", percent(*share))
        }
        FaultKind::Outage { zone } => {
            format!("zone {} went dark", plan.topology.zones[zone.index()])
        }
        FaultKind::Dns { .. } => format!("{who} resolves no names"),
        FaultKind::Expire { .. } => format!("the certificates of {who} ran out"),
        FaultKind::Surge { load, factor } => {
            format!(
                "load {} multiplied by {factor}",
                code(&plan.loads[load.index()].name)
            )
        }
        FaultKind::Push { apply, .. } => format!("{} applied", files(apply)),
    }
}

fn percent(share: f64) -> String {
    format!("{}%", share * 100.0)
}

fn files(apply: &[manifests::text::Spanned<String>]) -> String {
    let names: Vec<String> = apply.iter().map(|file| code(&file.value)).collect();
    names.join(", ")
}

/// A name in a sentence of the report.
fn code(name: &str) -> String {
    format!("`{name}`")
}

fn select_words(plan: &Plan, select: &Select) -> String {
    use scenarios::plan::Pods;
    let peer = |peer: &Peer| match peer {
        Peer::Workload(id) => code(&plan.workloads[id.index()].name),
        Peer::Load(id) => format!("load {}", code(&plan.loads[id.index()].name)),
        Peer::Gateways => "the gateways".to_owned(),
    };
    if let Some((from, to)) = &select.edge {
        return format!("{} → {}", peer(from), peer(to));
    }
    let mut words = match select.workload {
        Some(id) => code(&plan.workloads[id.index()].name),
        None => "every pod".to_owned(),
    };
    if let (Some(workload), Some(version)) = (select.workload, select.version)
        && let Some(name) = &plan.workloads[workload.index()].versions[version].name
    {
        words = format!("{words} {name}");
    }
    match select.pods {
        Pods::All => {}
        Pods::Count(1) => words = format!("one pod of {words}"),
        Pods::Count(count) => words = format!("{count} pods of {words}"),
        Pods::Share(share) => words = format!("{} of the pods of {words}", percent(share)),
    }
    if let Some(zone) = select.zone {
        words = format!("{words} in zone {}", plan.topology.zones[zone.index()]);
    }
    if let Some(node) = select.node {
        words = format!("{words} on {}", plan.topology.nodes[node.index()].name);
    }
    words
}

fn changes(plan: &Plan) -> Vec<ChangeSetup> {
    let all = plan.changes.iter();
    all.map(|change| ChangeSetup {
        name: change.name.to_string(),
        what: match &change.kind {
            ChangeKind::Apply { apply, remove } => match (apply.is_empty(), remove.is_empty()) {
                (false, true) => format!("{} applied", files(apply)),
                (true, _) => format!("{} removed", files(remove)),
                (false, false) => format!("{} applied, {} removed", files(apply), files(remove)),
            },
            ChangeKind::Scale {
                workload, replicas, ..
            } => format!(
                "{} scaled to {replicas}",
                code(&plan.workloads[workload.index()].name)
            ),
            ChangeKind::Restart { workload, .. } => {
                format!("{} restarted", code(&plan.workloads[workload.index()].name))
            }
            ChangeKind::Rollout { workload, to, .. } => {
                let entry = &plan.workloads[workload.index()];
                let version = entry.versions[*to].name.as_deref().unwrap_or("its base");
                format!("{} rolled out to {version}", code(&entry.name))
            }
        },
        at: change.at,
        reaches: match change.kind {
            ChangeKind::Apply { .. } => Reaches::Proxies,
            ChangeKind::Scale { .. } | ChangeKind::Restart { .. } | ChangeKind::Rollout { .. } => {
                Reaches::Pods
            }
        },
    })
    .collect()
}

/// A moment in seconds since 1970 as RFC 3339 has it. Source: Howard Hinnant, "chrono-compatible low-level date algorithms" (2013).
fn rfc3339(seconds: u64) -> String {
    let days = (seconds / 86_400) as i64 + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let rest = Duration::from_secs(seconds % 86_400).as_millis() / 1_000;
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_rfc_3339_has_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_603_600, "2026-01-05T09:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
