//! Loads: clients that send on time whatever has become of earlier requests.

use manifests::model::{GatewayId, Model};
use proxy_core::time::Time;
use reports::outcome::{ErrorReason, Outcome};
use scenarios::app::{CallOutcome, TryId};
use scenarios::client::{Asked, ClientAction};
use scenarios::plan::{Protocol, RequestTemplate, Via};
use sim::facts;
use sim::setup::{gateway_for, split_authority};
use tokio::task::spawn_local;

use crate::apps::{ended, given_up};
use crate::books::Entry;
use crate::wire::{self, Heard, Owner};
use crate::world::{Dest, Due, Live, Sent, World};

/// Where a load's request goes.
pub(crate) fn dest_of(model: &Model, via: &Via, template: &RequestTemplate) -> Dest {
    match via {
        Via::Gateway(name) => gateway_for(model, name.as_deref(), template)
            .and_then(|gateway| gateway_dest(model, gateway, template))
            .unwrap_or(Dest::Unknown),
        Via::Direct | Via::Workload(_) => match template.to {
            Some((service, port)) => Dest::Service {
                service: service.0,
                port,
            },
            None => Dest::Unknown,
        },
    }
}

fn gateway_dest(model: &Model, gateway: GatewayId, template: &RequestTemplate) -> Option<Dest> {
    let facts = &model.gateways()[gateway.index()];
    let workload = facts.workload?;
    let (_, port) = split_authority(&template.authority);
    let listens = || facts.listens.iter();
    let listen = match port {
        Some(port) => listens().find(|listen| listen.port == port),
        None => listens()
            .find(|listen| listen.port == 80)
            .or_else(|| listens().find(|listen| !listen.tls))
            .or_else(|| listens().next()),
    };
    let listen = listen.filter(|listen| !listen.tls)?;
    Some(Dest::Gateway {
        workload: workload.0,
        port: listen.bound,
    })
}

impl Live {
    pub(crate) fn settle_load(&self, load: u32, now: Time) {
        while let Some(action) = self.with(|world| world.loads[load as usize].clients.poll_action())
        {
            self.act_for_client(load, now, action);
        }
    }

    fn act_for_client(&self, load: u32, now: Time, action: ClientAction) {
        match action {
            ClientAction::Send {
                call,
                asked,
                key,
                number,
                ..
            } => {
                if number == 0 {
                    let intended = asked.intended;
                    self.with(|world| world.note(now, Entry::Request { load, intended }));
                }
                self.ask(load, call, asked, key, now);
            }
            ClientAction::Cancel { call } => self.with(|world| {
                let tries = &mut world.loads[load as usize].tries;
                if let Some(sent) = tries.get_mut(&call.index())
                    && sent.id == call
                {
                    let entry = given_up(sent, now);
                    world.log.extend(entry.map(|entry| (now, entry)));
                }
            }),
            ClientAction::Ended {
                asked,
                outcome,
                decided_by,
                tries,
            } => self.with(|world| world.ended(load, now, (asked, decided_by), outcome, tries)),
            ClientAction::Arm { id, at, .. } => self.plan(at, Due::Client(load, id)),
        }
    }

    fn ask(&self, load: u32, call: TryId, asked: Asked, key: proxy_core::draw::DrawKey, now: Time) {
        let (request, dest, owner) = self.with(|world| {
            let request = world.template(asked.request, key);
            let state = &mut world.loads[load as usize];
            let dest = state.dests[asked.request.index()];
            let client = state.clients.load().client;
            let owner = match state.clients.load().via {
                Via::Workload(workload) => {
                    state.turn += 1;
                    let turn = state.turn;
                    world.pod_of_turn(workload.0, turn).map(Owner::Pod)
                }
                Via::Gateway(_) | Via::Direct => {
                    Some(Owner::Load(load, client.protocol == Protocol::Http2))
                }
            };
            let sent = Sent {
                id: call,
                task: None,
                ends: None,
                counts: false,
                at: now,
                due: world.due(client.policy, now),
            };
            world.loads[load as usize].tries.insert(call.index(), sent);
            (request, dest, owner)
        });
        let live = self.clone();
        let task = spawn_local(async move {
            let heard = match owner {
                Some(owner) => wire::ask(&live, owner, dest, request).await,
                None => (CallOutcome::Failed(scenarios::app::Failure::Connect), None),
            };
            live.load_heard(load, call, heard);
        });
        self.with(|world| {
            let tries = &mut world.loads[load as usize].tries;
            if let Some(sent) = tries.get_mut(&call.index()) {
                sent.task = Some(task.abort_handle());
            }
        });
    }

    fn load_heard(&self, load: u32, call: TryId, (outcome, by): Heard) {
        let now = self.now();
        self.with(|world| {
            let to = by
                .and_then(|by| world.pods.get(by as usize))
                .map(|it| it.workload);
            let state = &mut world.loads[load as usize];
            if let Some(sent) = state.tries.get_mut(&call.index())
                && sent.id == call
            {
                ended(sent, now, outcome);
                if let (Via::Workload(from), Some(to)) = (&state.clients.load().via, to) {
                    sent.ends = Some((from.0, to));
                }
            }
            state.clients.done(now, call, outcome);
        });
        self.settle_load(load, now);
    }
}

impl World {
    fn ended(
        &mut self,
        load: u32,
        now: Time,
        (asked, by): (Asked, TryId),
        outcome: CallOutcome,
        attempts: u32,
    ) {
        let (status, reason) = match outcome {
            CallOutcome::Answered(status) => (status, ErrorReason::None),
            CallOutcome::Failed(failure) => (0, facts::reason_of_failure(failure)),
        };
        let outcome = Outcome {
            status,
            reason,
            attempts,
        };
        let intended = asked.intended;
        let entry = Entry::RequestEnd {
            load,
            intended,
            outcome,
        };
        self.note(now, entry);
        // a request that comes from pods is a call of theirs
        let state = &self.loads[load as usize];
        let Via::Workload(from) = state.clients.load().via else {
            return;
        };
        let dest = state.dests[asked.request.index()];
        let sent = state.tries.get(&by.index());
        let ends = sent.and_then(|sent| sent.ends);
        let ends = ends.or_else(|| Some((from.0, self.workload_behind(dest)?)));
        if let Some(ends) = ends {
            let reason = if status >= 500 {
                ErrorReason::Status5xx
            } else {
                reason
            };
            self.note(now, Entry::Call { ends, reason });
        }
    }
}
