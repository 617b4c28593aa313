//! Loads: every action of a load's clients carried out.

use proxy_core::draw::DrawKey;
use reports::outcome::Outcome;
use scenarios::app::{CallOutcome, Failure, TryId, TryKind};
use scenarios::client::{Asked, ClientAction};
use scenarios::plan::Via;

use super::World;
use super::parts::{Event, PoolOf, Sender, Sent, Stream};
use crate::facts::{self, kind_of};

impl World<'_> {
    pub(super) fn drain_load(&mut self, load: u32) {
        let mut batch = std::mem::take(&mut self.batches.clients);
        while self.loads[load as usize].clients.take_actions(&mut batch) {
            for action in &batch {
                self.act_for_client(load, action);
            }
            batch.clear();
        }
        self.batches.clients = batch;
    }

    fn act_for_client(&mut self, load: u32, action: &ClientAction) {
        match *action {
            ClientAction::Send {
                call,
                asked,
                key,
                number,
                kind,
            } => {
                if number == 0 {
                    let id = reports::ids::LoadId(load);
                    self.books.recorder.request_started(id, asked.intended);
                }
                self.ask(load, call, asked, key, (kind, number));
            }
            ClientAction::Cancel { call } => {
                let tries = &self.loads[load as usize].tries;
                if let Some(&Sent { request, .. }) = tries.get(call.index()) {
                    self.give_up(request);
                }
            }
            ClientAction::Ended {
                asked,
                outcome,
                decided_by,
                tries,
            } => self.ended(load, (asked, decided_by), outcome, tries),
            ClientAction::Arm { id, at, class } => {
                let event = Event::Client(load, id);
                match class {
                    scenarios::app::TimerClass::Lane(lane) => {
                        self.arm(self.lanes[lane.index()], event);
                    }
                    scenarios::app::TimerClass::Single => self.queue.push(at, event),
                }
            }
        }
    }

    fn ask(
        &mut self,
        load: u32,
        call: TryId,
        asked: Asked,
        key: DrawKey,
        (kind, number): (TryKind, u32),
    ) {
        let (head, size) = self.template(asked.request, key);
        let mut stream = Stream::new(Sender::Load { load, call }, head, size, key);
        (stream.kind, stream.why) = kind_of(kind);
        stream.due = self.due(self.loads[load as usize].clients.load().client.policy);
        if self.observed {
            stream.watched = self.watch_request(load, &asked);
        }
        let key = self.streams.insert(stream);
        if self.observed {
            self.watch_try(key, None, "request", number + 1);
        }
        let state = &mut self.loads[load as usize];
        if state.tries.len() <= call.index() {
            state.tries.resize(call.index() + 1, Sent::NOTHING);
        }
        state.tries[call.index()] = Sent {
            request: key,
            went: None,
        };
        let dest = state.dests[asked.request.index()];
        let from = match state.clients.load().via {
            Via::Workload(workload) => Some(workload),
            Via::Gateway(_) | Via::Direct => None,
        };
        match from {
            Some(workload) => {
                state.turn += 1;
                let turn = state.turn;
                match self.pod_of_turn(workload.0, turn) {
                    Some(pod) => self.start(PoolOf::Pod(pod), dest, key),
                    None => {
                        self.queue
                            .push(self.now, Event::Unsent(key, Failure::Connect));
                    }
                }
            }
            None => self.start(PoolOf::Load(load), dest, key),
        }
    }

    /// The ready pods of a workload send in turn.
    pub(super) fn pod_of_turn(&self, workload: u32, turn: u64) -> Option<u32> {
        let pods = &self.by_workload[workload as usize];
        let able = |pod: &&u32| {
            let pod = &self.pods[**pod as usize];
            pod.ready && !pod.gone
        };
        let ready = pods.iter().filter(able).count() as u64;
        if ready == 0 {
            return None;
        }
        let at = (turn % ready) as usize;
        pods.iter().filter(able).nth(at).copied()
    }

    /// Lets the only load begin with this pod of a workload.
    pub(super) fn give_turn(&mut self, workload: u32, ordinal: u32) -> Option<u32> {
        let pods = self.by_workload[workload as usize].len() as u64;
        let is_it = |pod: u32| self.pods[pod as usize].ordinal == ordinal;
        let turns = (1..=pods).filter(|turn| self.pod_of_turn(workload, *turn).is_some_and(is_it));
        let turn = turns.min()?;
        self.loads[0].turn = turn - 1;
        self.pod_of_turn(workload, turn)
    }

    fn ended(&mut self, load: u32, (asked, by): (Asked, TryId), outcome: CallOutcome, tries: u32) {
        let (status, reason) = match outcome {
            CallOutcome::Answered(status) => (status, self.last_reason),
            CallOutcome::Failed(failure) => (0, facts::reason_of_failure(failure)),
        };
        let outcome = Outcome {
            status,
            reason,
            attempts: tries,
        };
        let id = reports::ids::LoadId(load);
        self.books
            .recorder
            .request_finished(id, asked.intended, self.now, outcome);
        self.load_call_ended(load, (&asked, by), outcome);
        self.watch_end(load, &asked, outcome);
    }
}
