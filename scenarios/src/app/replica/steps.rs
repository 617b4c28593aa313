//! How a handler's steps run.

use super::{
    At, CallOutcome, Caller, Discipline, Doing, DrawKey, Duration, Fiber, Key, Note, Purpose,
    Replica, Slot, Time, TimerKind, single, spawn, translate,
};
use crate::app::job::unlink;
use crate::plan::ids::{CallId, HandlerId, StepId};
use crate::plan::program::{OnError, Step};

/// What the steps of a handler need of their request.
struct Request {
    token: u64,
    key: DrawKey,
    handler: Option<HandlerId>,
}

/// Where a fiber goes after a step.
enum Next {
    At(StepId),
    /// Nowhere for now, or it is over.
    Stop,
}

impl Replica {
    /// Runs a fiber, whose job holds a slot, until it has to wait.
    pub(super) fn run(&mut self, now: Time, key: Key) {
        let Some(&fiber) = self.fibers.get(key) else {
            return;
        };
        let Some(job) = self.jobs.get(fiber.job) else {
            return;
        };
        let request = Request {
            token: job.token,
            key: job.key,
            handler: job.handler,
        };
        let mut at = match fiber.doing {
            Doing::Runnable => fiber.at,
            Doing::Failing(status) => {
                self.stop(now, fiber.job);
                return self.answer(fiber.job, status, 0);
            }
            Doing::Working(_)
            | Doing::OnCores { .. }
            | Doing::Sharing
            | Doing::Calling(_)
            | Doing::Joining(_) => return,
        };
        while let Next::At(next) = self.step(now, key, fiber, &request, at) {
            at = next;
        }
    }

    #[inline]
    fn step(&mut self, now: Time, key: Key, fiber: Fiber, request: &Request, at: StepId) -> Next {
        match self.program.steps[at.index()] {
            Step::Work { time, cpu, draw } => {
                let u = request.key.unit(Purpose::ServiceTime, draw);
                let length = self.program.distribution(time).sample(u);
                if length.is_zero() {
                    return Next::At(after(at));
                }
                let doing = self.work(now, key, fiber.job, (length, cpu));
                let fiber = self.fiber(key);
                (fiber.at, fiber.doing) = (after(at), doing);
                Next::Stop
            }
            Step::MayFail {
                share,
                status,
                draw,
            } => {
                if !request.key.chance(Purpose::HandlerError, draw, share) {
                    return Next::At(after(at));
                }
                self.stop(now, fiber.job);
                self.answer(fiber.job, status, 0);
                Next::Stop
            }
            Step::Call(call) => self.call(now, key, request, at, call),
            Step::Fork {
                first,
                count,
                after,
            } => {
                let forked = self.fiber(key);
                forked.at = after;
                if count == 0 {
                    return Next::At(after);
                }
                forked.doing = Doing::Joining(count);
                for branch in first..first + count {
                    let start = self.program.branches[branch as usize];
                    let child = spawn(&mut self.jobs, &mut self.fibers, fiber.job, key, start);
                    self.ready.push(child);
                }
                self.block(fiber.job);
                Next::Stop
            }
            Step::Join => {
                self.join(key, fiber);
                Next::Stop
            }
            Step::Reply => {
                let handler = request.handler.expect("those without one were answered");
                let handler = &self.program.handlers[handler.index()];
                let (own, size) = (handler.status, handler.size);
                // a fallback may have set it since `job` was read
                let status = self.jobs.get(fiber.job).map_or(0, |job| job.status);
                self.stop(now, fiber.job);
                self.answer(fiber.job, if status == 0 { own } else { status }, size);
                Next::Stop
            }
        }
    }

    fn work(&mut self, now: Time, key: Key, job: Key, (length, cpu): (Duration, f32)) -> Doing {
        let computing = match self.faults.cores {
            Some(_) if cpu > 0.0 => length.scale(f64::from(cpu)).min(length),
            Some(_) | None => Duration::ZERO,
        };
        let on_cores = !computing.is_zero();
        self.note(job, Note::Works { on_cores });
        if !on_cores {
            return self.take_time(now, key, length);
        }
        self.cores.add(now, key, computing);
        Doing::OnCores {
            rest: length - computing,
        }
    }

    /// Work that needs no core.
    #[inline(always)]
    fn take_time(&mut self, now: Time, key: Key, length: Duration) -> Doing {
        match self.discipline {
            Discipline::Fifo | Discipline::Lifo => {
                let end = now + self.faults.stretch(length);
                self.actions.push(single(TimerKind::Work(key), end));
                Doing::Working(end)
            }
            Discipline::Shared => {
                self.shared.add(now, key, length);
                Doing::Sharing
            }
        }
    }

    #[inline(always)]
    pub(super) fn worked(&mut self, now: Time, key: Key) {
        let Some(fiber) = self.fibers.get_mut(key) else {
            return;
        };
        if matches!(fiber.doing, Doing::Working(end) if end <= now) {
            self.has_worked(key);
        }
    }

    pub(super) fn computed(&mut self, now: Time) {
        if !self.cores.is_due(now) {
            return;
        }
        while let Some(key) = self.cores.finished(now, |key| self.fibers.contains(key)) {
            let Doing::OnCores { rest } = self.fiber(key).doing else {
                continue;
            };
            if rest.is_zero() {
                self.has_worked(key);
            } else {
                let doing = self.take_time(now, key, rest);
                self.fiber(key).doing = doing;
            }
        }
    }

    pub(super) fn shared_ended(&mut self, now: Time) {
        if !self.shared.is_due(now) {
            return;
        }
        while let Some(key) = self.shared.finished(now, |key| self.fibers.contains(key)) {
            self.has_worked(key);
        }
    }

    #[inline(always)]
    fn has_worked(&mut self, key: Key) {
        let fiber = self.fiber(key);
        fiber.doing = Doing::Runnable;
        let job = fiber.job;
        self.ready.push(key);
        self.note(job, Note::Worked);
    }

    fn call(&mut self, now: Time, key: Key, request: &Request, at: StepId, id: CallId) -> Next {
        let call = self.program.calls[id.index()];
        let fiber = self.fiber(key);
        let time = fiber.time;
        let draws = |purpose, probability| request.key.chance(purpose, call.draw, probability);
        let skipped = time == 0 && !draws(Purpose::CallProbability, call.probability);
        if skipped || time >= call.times {
            (fiber.time, fiber.at) = (0, after(at));
            return Next::At(after(at));
        }
        fiber.at = at;
        let owner = Caller {
            fiber: key,
            call: id,
            token: request.token,
        };
        let draws = request
            .key
            .child(u64::from(call.draw))
            .child(u64::from(time));
        let at = At {
            now,
            policies: &self.program.policies,
        };
        let actions = &mut self.actions;
        let open = self
            .tries
            .start(at, call.policy, draws, owner, &mut |action| {
                actions.push(translate(action));
            });
        let fiber = self.fiber(key);
        fiber.doing = Doing::Calling(open);
        let job = fiber.job;
        self.block(job);
        Next::Stop
    }

    /// A call has been answered, or not.
    #[inline(always)]
    pub(super) fn returned(&mut self, owner: Caller, outcome: CallOutcome) {
        let call = self.program.calls[owner.call.index()];
        // with a slot free nobody is in line, and it goes on at once
        let resumes = self.has_room() && !self.is_awaited();
        let fiber = self.fibers.get_mut(owner.fiber);
        let fiber = fiber.expect("a call is abandoned with its fiber");
        fiber.time += 1;
        fiber.doing = Doing::Runnable;
        let key = fiber.job;
        let failed = match outcome {
            CallOutcome::Answered(status) => status >= 400,
            CallOutcome::Failed(_) => true,
        };
        let job = self.jobs.get_mut(key).expect("its fiber is live");
        job.running += 1;
        if failed {
            match call.on_error {
                OnError::Fail { status } => fiber.doing = Doing::Failing(status),
                OnError::Ignore => {}
                OnError::Fallback { status } => {
                    (job.status, job.degraded) = (status, true);
                }
            }
        }
        match job.slot {
            Slot::Released if resumes => {
                job.slot = Slot::Held;
                self.busy += 1;
                self.ready.push(owner.fiber);
                self.note(key, Note::Resumes);
                self.note(key, Note::Resumed);
            }
            Slot::Released => {
                job.slot = Slot::Resuming;
                self.note(key, Note::Resumes);
                self.resuming.push(&mut self.jobs, key);
            }
            Slot::Held => self.ready.push(owner.fiber),
            Slot::Resuming | Slot::Queued | Slot::Unseen => {}
        }
    }

    /// One fiber less of a job runs; without any, the slot is given back if the handler does that.
    #[inline(always)]
    fn block(&mut self, key: Key) {
        let shares = self.discipline == Discipline::Shared;
        let job = self.jobs.get_mut(key).expect("its fiber is live");
        job.running -= 1;
        let releases = job
            .handler
            .is_some_and(|handler| self.program.handlers[handler.index()].releases_slot);
        if job.running == 0 && releases && !shares {
            job.slot = Slot::Released;
            self.busy -= 1;
            self.note(key, Note::Released);
        }
    }

    fn join(&mut self, key: Key, fiber: Fiber) {
        let parent = self.fiber(fiber.parent);
        if let Doing::Joining(left) = parent.doing {
            parent.doing = Doing::Joining(left - 1);
            if left == 1 {
                parent.doing = Doing::Runnable;
                self.ready.push(fiber.parent);
                let job = self.jobs.get_mut(fiber.job).expect("its fiber is live");
                job.running += 1;
            }
        }
        unlink(&mut self.jobs, &mut self.fibers, key);
        self.block(fiber.job);
    }
}

const fn after(at: StepId) -> StepId {
    StepId(at.0 + 1)
}
