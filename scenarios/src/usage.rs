//! What a plan knows of the use of its manifests: who asks whom, how often each tries, and how much room there is.

use manifests::lints::{Ask, Asker, Entrance, Room, Usage};
use manifests::model::{self, Labels};
use manifests::text::Span;
use proxy_core::config::Name;

use crate::plan::ids::{BehaviourId, RequestId, ServiceId, StepId};
use crate::plan::program::{Call, Program, Step, TryPolicy};
use crate::plan::{Plan, Via, Workload};

/// What a plan knows.
#[must_use]
pub fn of(plan: &Plan) -> Usage {
    let mut usage = Usage::default();
    for (at, workload) in (0..).zip(&plan.workloads) {
        let id = model::WorkloadId(at);
        usage.pods.insert(id, pods(workload));
        if workload.described {
            usage.rooms.insert(id, room(&plan.program, workload));
        }
        for version in &workload.versions {
            for call in calls(&plan.program, version.behaviour) {
                let policy = plan.program.policies[call.policy.index()];
                let entrance = service(call.to, call.port);
                let asker = Asker::Workload(id);
                let ask = ask(plan, asker, entrance, call.request, policy, workload.span);
                if !usage.asks.contains(&ask) {
                    usage.asks.push(ask);
                }
            }
        }
    }
    for load in &plan.loads {
        let policy = plan.program.policies[load.client.policy.index()];
        for mixed in &load.mix {
            let request = &plan.requests[mixed.request.index()];
            let direct = request.to.map(|(to, port)| service(to, port));
            let (asker, entrance) = match &load.via {
                Via::Gateway(name) => {
                    let name = name.as_ref().map(|name| name.to_string());
                    let client = Asker::Client(load.name.to_string());
                    (client, Some(Entrance::Gateway(name)))
                }
                Via::Direct => (Asker::Client(load.name.to_string()), direct),
                Via::Workload(id) => (Asker::Workload(model::WorkloadId(id.0)), direct),
            };
            let asked = entrance.map(|it| ask(plan, asker, it, mixed.request, policy, load.span));
            usage.asks.extend(asked);
        }
    }
    usage
}

fn service(to: ServiceId, port: u16) -> Entrance {
    Entrance::Service(model::ServiceId(to.0), port)
}

fn ask(
    plan: &Plan,
    asker: Asker,
    entrance: Entrance,
    request: RequestId,
    policy: TryPolicy,
    span: Span,
) -> Ask {
    let request = &plan.requests[request.index()];
    Ask {
        asker,
        entrance,
        method: request.method.to_string(),
        authority: request.authority.to_string(),
        path: request.path.to_string(),
        tries: policy.retries.saturating_add(1),
        timeout: policy.timeout.map(|timer| timer.after),
        span,
    }
}

/// Pods of each version, by what the scenario says of their labels.
fn pods(workload: &Workload) -> Vec<(Labels, u32)> {
    let versions = workload.versions.iter();
    versions
        .map(|version| {
            let labels = workload.labels.iter().chain(&version.labels);
            let name = |text: &str| Name::from(text);
            let labels = labels.map(|(key, value)| (name(key), name(value)));
            (labels.collect(), version.replicas)
        })
        .collect()
}

fn room(program: &Program, workload: &Workload) -> Room {
    let mut room = Room {
        slots: 0,
        queue: Some(0),
    };
    for version in &workload.versions {
        let behaviour = &program.behaviours[version.behaviour.index()];
        let pods = u64::from(version.replicas);
        room.slots += pods * u64::from(behaviour.concurrency);
        let waiting = behaviour.queue_limit.map(|limit| pods * u64::from(limit));
        room.queue = room.queue.zip(waiting).map(|(all, more)| all + more);
    }
    room
}

/// Every call that a behaviour may make.
fn calls(program: &Program, behaviour: BehaviourId) -> Vec<Call> {
    let handlers = program.behaviours[behaviour.index()].handlers.clone();
    let firsts = handlers.map(|handler| program.handlers[handler as usize].first);
    let mut pending: Vec<StepId> = firsts.collect();
    let mut found = Vec::new();
    while let Some(first) = pending.pop() {
        let mut at = first.index();
        loop {
            match program.steps[at] {
                Step::Call(call) => found.push(program.calls[call.index()]),
                Step::Fork {
                    first,
                    count,
                    after,
                } => {
                    let branches = first as usize..(first + count) as usize;
                    pending.extend(&program.branches[branches]);
                    at = after.index();
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
