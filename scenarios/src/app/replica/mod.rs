//! One process of a workload: its slots, its queue, its cores and the requests in it.

use std::sync::Arc;

use proxy_core::draw::{DrawKey, Purpose};
use proxy_core::time::{Duration, Time};

use super::contract::{
    AppAction, AppInput, AppTimer, Arrival, JobId, NO_HANDLER_STATUS, Note, Phase, TimerClass,
    TimerKind,
};
use super::job::{Caller, Doing, Fiber, Job, Slot, spawn};
use super::outbox::Outbox;
use super::queue::Queue;
use super::ready::Ready;
use super::sharing::Sharing;
use super::slab::{Key, Slab};
use super::tries::{At, CallOutcome, Ended, Tries, TryAction, TryId};
use crate::plan::ids::BehaviourId;
use crate::plan::program::{Behaviour, CallerGone, Discipline, Program};
use faults::Faults;

mod faults;
mod life;
mod steps;
#[cfg(test)]
mod tests;

/// One process: requests take a slot each, in the order of the discipline, and run their handler's steps.
///
/// - A request that finds no slot free waits; one that finds the queue full is refused; one without a handler,
///   or that an error fault strikes, is answered at once.
/// - Work of time t with a share c for the processor first computes for t × c on the cores, shared equally with all that
///   computes (cores left out are never short), then only takes time. The slot is held throughout.
/// - A handler that gives its slot back during calls does so while every strand of it waits for calls. Before it does anything
///   further it takes a slot again, ahead of every request that has not begun, whatever the discipline.
/// - Under processor sharing nobody waits: `concurrency` servers are shared by all the work there is, and waiting for calls costs
///   no server. The bound is on requests in the process: refused from concurrency + limit on.
/// - The strands of a fork run at once on the one slot. The first to fail ends the request; the others' calls are cancelled.
/// - A request whose caller has gone goes on, or is dropped with its calls, as the behaviour says.
///
/// Call [`Replica::poll_action`] until it is empty after every input. Nothing is allocated once the process has seen its peak load.
#[derive(Clone, Debug)]
pub struct Replica {
    program: Arc<Program>,
    behaviour: BehaviourId,
    /// Of the behaviour: what is asked all the time.
    discipline: Discipline,
    queue_limit: Option<u32>,
    jobs: Slab<Job>,
    fibers: Slab<Fiber>,
    tries: Tries<Caller>,
    /// Requests that have not begun.
    queue: Queue,
    /// Requests that want their slot back.
    resuming: Queue,
    busy: u32,
    cores: Sharing,
    shared: Sharing,
    /// Fibers that may run, in turn.
    ready: Ready,
    faults: Faults,
    /// Whether a request has come whose way is told in notes: hardly any run has one.
    watches: bool,
    /// What came while the process was frozen.
    unseen: Vec<Unseen>,
    unseen_jobs: u32,
    life: life::Life,
    actions: Outbox<AppAction>,
}

/// Something that a frozen process will see when it goes on; timers come last.
#[derive(Clone, Copy, Debug)]
enum Unseen {
    Arrival(Key),
    Gone(Key),
    Done(TryId, CallOutcome),
}

impl Replica {
    /// A process that does not run yet: boot it, or say that it was booted long ago.
    #[must_use]
    pub fn new(program: Arc<Program>, behaviour: BehaviourId) -> Self {
        let rules = &program.behaviours[behaviour.index()];
        let faults = Faults::new(rules);
        Self {
            behaviour,
            discipline: rules.discipline,
            queue_limit: rules.queue_limit,
            jobs: Slab::default(),
            fibers: Slab::default(),
            tries: Tries::default(),
            queue: Queue::EMPTY,
            resuming: Queue::EMPTY,
            busy: 0,
            cores: Sharing::new(faults.cores.unwrap_or(f64::INFINITY)),
            shared: Sharing::new(f64::from(faults.slots)),
            ready: Ready::default(),
            faults,
            watches: false,
            unseen: Vec::new(),
            unseen_jobs: 0,
            life: life::Life::default(),
            actions: Outbox::default(),
            program,
        }
    }

    /// A request reaches the process. It may be over by the time this returns; the actions tell.
    #[inline]
    pub fn arrive(&mut self, now: Time, arrival: Arrival) -> JobId {
        if !self.is_listening() {
            let token = arrival.token;
            self.actions.push(AppAction::Lost { token });
            return JobId(Key::NONE);
        }
        self.watches |= arrival.watched;
        let job = self.jobs.insert(Job::new(arrival));
        if self.faults.frozen() {
            self.unseen.push(Unseen::Arrival(job));
            self.unseen_jobs += 1;
        } else {
            self.take(job);
            self.settle(now);
        }
        JobId(job)
    }

    /// Anything else happens. What refers to something that is over is ignored.
    pub fn handle(&mut self, now: Time, input: AppInput) {
        match input {
            AppInput::CallerGone { job } => {
                if let Some(job) = self.jobs.get_mut(job.0) {
                    job.caller_gone = true;
                }
                if self.faults.frozen() {
                    self.unseen.push(Unseen::Gone(job.0));
                } else {
                    self.gone(now, job.0);
                }
            }
            AppInput::CallDone { call, outcome } => {
                self.call_done(now, call, outcome);
                return;
            }
            AppInput::Timer { id } => {
                self.fires(now, id);
                return;
            }
            AppInput::FaultBegins { fault, effect } => self.fault_begins(now, fault, effect),
            AppInput::FaultEnds { fault } => self.fault_ends(now, fault),
            AppInput::Crash => self.crash(now),
            AppInput::Boot { key } => self.boot(now, key),
            AppInput::BootedBefore => self.booted_before(),
        }
        self.settle(now);
    }

    /// A try of a call ended so: [`AppInput::CallDone`].
    pub fn call_done(&mut self, now: Time, call: TryId, outcome: CallOutcome) {
        if self.faults.frozen() {
            self.unseen.push(Unseen::Done(call, outcome));
        } else {
            self.done(now, call, outcome);
            self.settle(now);
        }
    }

    /// A timer is due ([`AppInput::Timer`]). Too early is ignored, late is fine; false: it meant nothing any more.
    pub fn fires(&mut self, now: Time, id: AppTimer) -> bool {
        let is_wanted = self.wants(id);
        if is_wanted {
            self.timer(now, id.0);
            self.settle(now);
        }
        is_wanted
    }

    /// Whether a timer that was set still means anything.
    #[must_use]
    #[inline]
    pub fn wants(&self, id: AppTimer) -> bool {
        match id.0 {
            TimerKind::Try(id) => self.tries.wants(id),
            TimerKind::Work(fiber) => self.fibers.contains(fiber),
            TimerKind::Cores | TimerKind::Shared | TimerKind::Start(_) => true,
        }
    }

    /// All that has to be done, in `into`, which must be empty; false: nothing. More may come of what is done.
    #[inline]
    pub fn take_actions(&mut self, into: &mut Vec<AppAction>) -> bool {
        self.actions.take(into)
    }

    /// What has to be done next; none: wait for the next input.
    #[inline]
    pub fn poll_action(&mut self) -> Option<AppAction> {
        self.actions.pop()
    }

    /// What this process is.
    #[must_use]
    pub const fn behaviour(&self) -> BehaviourId {
        self.behaviour
    }

    /// Slots in use; under processor sharing, servers in demand, at most all.
    #[must_use]
    #[inline]
    pub fn busy(&self) -> u32 {
        match self.discipline {
            Discipline::Fifo | Discipline::Lifo => self.busy,
            Discipline::Shared => self.busy.min(self.faults.slots),
        }
    }

    /// Requests that wait for a slot, have not been seen by a frozen process, or under processor sharing exceed the servers.
    #[must_use]
    #[inline]
    pub fn waiting(&self) -> u32 {
        let beyond = self.busy - self.busy();
        self.queue.len() + self.resuming.len() + self.unseen_jobs + beyond
    }

    /// Whether nothing happens in the process.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        self.faults.frozen()
    }

    /// Slots that there are at present.
    #[must_use]
    #[inline]
    pub const fn slots(&self) -> u32 {
        self.faults.slots
    }

    /// Requests in the process, those that wait for calls without a slot included.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.jobs.len()
    }

    /// Cores at work; zero for a process whose cores are never short.
    #[must_use]
    pub fn cores_busy(&self) -> f64 {
        self.cores.busy()
    }

    /// Cores that there are at present; none: never short.
    #[must_use]
    pub const fn cores(&self) -> Option<f64> {
        self.faults.cores
    }

    fn rules(&self) -> &Behaviour {
        &self.program.behaviours[self.behaviour.index()]
    }

    /// Lets a new request in, queues or refuses it.
    #[inline(always)]
    fn take(&mut self, key: Key) {
        let Some(job) = self.jobs.get(key) else {
            return;
        };
        if job.handler.is_none() {
            self.answer(key, NO_HANDLER_STATUS, 0);
        } else if let Some(status) = self.faults.strikes(job.key) {
            self.answer(key, status, 0);
        } else if self.is_full() {
            let (token, caller_gone) = (job.token, job.caller_gone);
            self.jobs.remove(key);
            if !caller_gone {
                self.actions.push(AppAction::Refuse { token });
            }
        } else if self.has_room() {
            self.admit(key);
        } else {
            self.set_slot(key, Slot::Queued);
            self.note(key, Note::Queued);
            self.queue.push(&mut self.jobs, key);
        }
    }

    fn is_full(&self) -> bool {
        let Some(limit) = self.queue_limit else {
            return false;
        };
        match self.discipline {
            Discipline::Fifo | Discipline::Lifo => !self.has_room() && self.queue.len() >= limit,
            Discipline::Shared => self.busy >= self.faults.slots.saturating_add(limit),
        }
    }

    #[inline]
    fn has_room(&self) -> bool {
        match self.discipline {
            Discipline::Fifo | Discipline::Lifo => self.busy < self.faults.slots,
            Discipline::Shared => true,
        }
    }

    /// Whether somebody is in line for a slot.
    #[inline]
    const fn is_awaited(&self) -> bool {
        self.resuming.len() != 0 || self.queue.len() != 0
    }

    fn set_slot(&mut self, key: Key, slot: Slot) {
        let job = self.jobs.get_mut(key).expect("only live jobs are served");
        job.slot = slot;
    }

    /// Gives a slot to a request that has not begun.
    fn admit(&mut self, key: Key) {
        self.busy += 1;
        let job = self.jobs.get_mut(key).expect("only live jobs are served");
        let handler = job.handler.expect("those without one were answered");
        let at = self.program.handlers[handler.index()].first;
        let fiber = self.fibers.insert(Fiber::new(key, Key::NONE, at));
        (job.slot, job.first_fiber, job.running) = (Slot::Held, fiber, 1);
        self.ready.push(fiber);
        self.note(key, Note::Began);
    }

    /// Runs what may run and gives free slots away, until nothing changes.
    fn settle(&mut self, now: Time) {
        if self.faults.frozen() {
            return;
        }
        loop {
            while let Some(fiber) = self.ready.pop() {
                self.run(now, fiber);
            }
            if !(self.has_room() && self.grant()) {
                break;
            }
        }
        if self.cores.is_idle() && self.shared.is_idle() {
            return;
        }
        let fibers = &self.fibers;
        for (sharing, kind) in [
            (&mut self.cores, TimerKind::Cores),
            (&mut self.shared, TimerKind::Shared),
        ] {
            if let Some(at) = sharing.rearm(|fiber| fibers.contains(fiber)) {
                self.actions.push(single(kind, at));
            }
        }
    }

    /// Gives one free slot to the next in line.
    fn grant(&mut self) -> bool {
        if !self.is_awaited() {
            return false;
        }
        if let Some(job) = self.resuming.take_first(&mut self.jobs) {
            self.set_slot(job, Slot::Held);
            self.busy += 1;
            self.note(job, Note::Resumed);
            let mut next = self.jobs.get(job).map_or(Key::NONE, |job| job.first_fiber);
            while let Some(fiber) = self.fibers.get(next) {
                if fiber.may_run() {
                    self.ready.push(next);
                }
                next = fiber.after;
            }
            return true;
        }
        let next = match self.discipline {
            Discipline::Fifo | Discipline::Shared => self.queue.take_first(&mut self.jobs),
            Discipline::Lifo => self.queue.take_last(&mut self.jobs),
        };
        if let Some(job) = next {
            self.admit(job);
        }
        next.is_some()
    }

    /// Ends a request with a response.
    fn answer(&mut self, key: Key, status: u16, size: u64) {
        let Some(job) = self.jobs.remove(key) else {
            return;
        };
        if !job.caller_gone {
            self.actions.push(AppAction::Answer {
                token: job.token,
                status,
                size,
                degraded: job.degraded,
            });
        }
    }

    /// Takes a request out of the queue, or stops its work and its calls, and frees its slot. What is left is to answer or forget it.
    fn stop(&mut self, now: Time, key: Key) {
        let Some(job) = self.jobs.get(key) else {
            return;
        };
        let mut next = job.first_fiber;
        match job.slot {
            Slot::Queued => self.queue.remove(&mut self.jobs, key),
            Slot::Resuming => self.resuming.remove(&mut self.jobs, key),
            Slot::Held => self.busy -= 1,
            Slot::Unseen | Slot::Released => {}
        }
        while let Some(fiber) = self.fibers.remove(next) {
            match fiber.doing {
                Doing::OnCores { .. } => self.cores.remove(now),
                Doing::Sharing => self.shared.remove(now),
                Doing::Calling(call) => {
                    let actions = &mut self.actions;
                    let given_up = self.tries.abandon(call, &mut |action| {
                        actions.push(translate(action));
                    });
                    if let Some((caller, latest)) = given_up {
                        let call = caller.call;
                        actions.push(AppAction::CallGivenUp { call, latest });
                    }
                }
                Doing::Working(_) | Doing::Runnable | Doing::Failing(_) | Doing::Joining(_) => {}
            }
            next = fiber.after;
        }
    }

    fn gone(&mut self, now: Time, key: Key) {
        match self.rules().on_caller_gone {
            CallerGone::Continue => {}
            CallerGone::Abort => {
                self.stop(now, key);
                self.jobs.remove(key);
            }
        }
    }

    #[inline(always)]
    fn done(&mut self, now: Time, call: TryId, outcome: CallOutcome) {
        let at = At {
            now,
            policies: &self.program.policies,
        };
        let actions = &mut self.actions;
        let ended = self.tries.done(at, call, outcome, &mut |action| {
            actions.push(translate(action));
        });
        self.called(ended);
    }

    #[inline(always)]
    fn called(&mut self, ended: Option<Ended<Caller>>) {
        if let Some(ended) = ended {
            self.actions.push(AppAction::CallEnded {
                call: ended.owner.call,
                outcome: ended.outcome,
                decided_by: ended.decided_by,
            });
            self.returned(ended.owner, ended.outcome);
        }
    }

    #[inline(always)]
    fn timer(&mut self, now: Time, id: TimerKind) {
        match id {
            TimerKind::Try(_) | TimerKind::Start(_) if self.faults.frozen() => {
                self.faults.late.push(id);
            }
            TimerKind::Try(id) => {
                let at = At {
                    now,
                    policies: &self.program.policies,
                };
                let actions = &mut self.actions;
                let ended = self.tries.timer(at, id, &mut |action| {
                    actions.push(translate(action));
                });
                self.called(ended);
            }
            TimerKind::Start(life) => self.started(now, life),
            // work stands still; the thaw arms anew
            TimerKind::Work(_) | TimerKind::Cores | TimerKind::Shared if self.faults.frozen() => {}
            TimerKind::Work(fiber) => self.worked(now, fiber),
            TimerKind::Cores => self.computed(now),
            TimerKind::Shared => self.shared_ended(now),
        }
    }

    /// Tells what becomes of a request, if that is watched.
    #[inline]
    fn note(&mut self, key: Key, note: Note) {
        if self.watches {
            self.tell_note(key, note);
        }
    }

    #[cold]
    fn tell_note(&mut self, key: Key, note: Note) {
        if let Some(job) = self.jobs.get(key)
            && job.watched
            && !job.caller_gone
        {
            let token = job.token;
            self.actions.push(AppAction::Note { token, note });
        }
    }

    fn fiber(&mut self, key: Key) -> &mut Fiber {
        self.fibers.get_mut(key).expect("only live fibers run")
    }
}

impl Fiber {
    fn may_run(&self) -> bool {
        match self.doing {
            Doing::Runnable | Doing::Failing(_) => true,
            Doing::Working(_)
            | Doing::OnCores { .. }
            | Doing::Sharing
            | Doing::Calling(_)
            | Doing::Joining(_) => false,
        }
    }
}

fn single(kind: TimerKind, at: Time) -> AppAction {
    AppAction::Arm {
        id: AppTimer(kind),
        at,
        class: TimerClass::Single,
    }
}

fn translate(action: TryAction<Caller>) -> AppAction {
    match action {
        TryAction::Send {
            id,
            owner,
            key,
            number,
            kind,
        } => AppAction::Call {
            call: id,
            to: owner.call,
            key,
            number,
            kind,
            token: owner.token,
        },
        TryAction::Cancel { id } => AppAction::CancelCall { call: id },
        TryAction::Arm { id, at, class } => AppAction::Arm {
            id: AppTimer(TimerKind::Try(id)),
            at,
            class,
        },
    }
}
