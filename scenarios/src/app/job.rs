//! One request inside a replica, and the strands of its handler that run at once.

use proxy_core::draw::DrawKey;
use proxy_core::time::{Duration, Time};

use super::contract::Arrival;
use super::slab::{Key, Slab};
use super::tries::OpenCall;
use crate::plan::ids::{CallId, HandlerId, StepId};

/// A request that was taken and has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) token: u64,
    pub(super) key: DrawKey,
    pub(super) handler: Option<HandlerId>,
    pub(super) slot: Slot,
    /// Fibers that work or are about to; when none does, all wait for calls.
    pub(super) running: u32,
    pub(super) caller_gone: bool,
    pub(super) watched: bool,
    /// Of a fallback; zero: the handler's own.
    pub(super) status: u16,
    pub(super) degraded: bool,
    pub(super) first_fiber: Key,
    /// Neighbours in the queue.
    pub(super) before: Key,
    pub(super) after: Key,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    /// It came while the process was frozen and has not been seen yet.
    Unseen,
    /// In the queue.
    Queued,
    Held,
    /// Given back until a call is answered.
    Released,
    /// In line for another slot after a call.
    Resuming,
}

/// A strand of a handler: the handler itself, or a branch of a fork.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fiber {
    pub(super) job: Key,
    /// The fiber that waits for this one to join; none for the handler itself.
    pub(super) parent: Key,
    pub(super) at: StepId,
    pub(super) doing: Doing,
    /// How many of a repeated call's times are done.
    pub(super) time: u32,
    /// Neighbours among the job's fibers.
    pub(super) before: Key,
    pub(super) after: Key,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Doing {
    /// Next in turn, or waiting for its job's slot.
    Runnable,
    /// Its call failed, and so will the job with this status as soon as it has a slot.
    Failing(u16),
    /// Works until then; while the process is frozen, as if it were not.
    Working(Time),
    /// Computes, and works for the rest afterwards.
    OnCores {
        rest: Duration,
    },
    /// Works under processor sharing.
    Sharing,
    Calling(OpenCall),
    /// Waits for so many branches.
    Joining(u32),
}

/// Whose call it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) fiber: Key,
    pub(super) call: CallId,
    pub(super) token: u64,
}

impl Job {
    pub(super) const fn new(arrival: Arrival) -> Self {
        Self {
            token: arrival.token,
            key: arrival.key,
            handler: arrival.handler,
            watched: arrival.watched,
            slot: Slot::Unseen,
            running: 0,
            caller_gone: false,
            status: 0,
            degraded: false,
            first_fiber: Key::NONE,
            before: Key::NONE,
            after: Key::NONE,
        }
    }
}

impl Fiber {
    /// One that may run, the only one of its job.
    pub(super) const fn new(job: Key, parent: Key, at: StepId) -> Self {
        Self {
            job,
            parent,
            at,
            doing: Doing::Runnable,
            time: 0,
            before: Key::NONE,
            after: Key::NONE,
        }
    }
}

/// A new runnable fiber of `job`.
pub(super) fn spawn(
    jobs: &mut Slab<Job>,
    fibers: &mut Slab<Fiber>,
    job: Key,
    parent: Key,
    at: StepId,
) -> Key {
    let entry = jobs.get_mut(job).expect("only live jobs run");
    let after = entry.first_fiber;
    let fiber = fibers.insert(Fiber {
        after,
        ..Fiber::new(job, parent, at)
    });
    entry.first_fiber = fiber;
    entry.running += 1;
    if let Some(next) = fibers.get_mut(after) {
        next.before = fiber;
    }
    fiber
}

/// Takes a fiber out of its job.
pub(super) fn unlink(jobs: &mut Slab<Job>, fibers: &mut Slab<Fiber>, fiber: Key) {
    let Some(gone) = fibers.remove(fiber) else {
        return;
    };
    match fibers.get_mut(gone.before) {
        Some(before) => before.after = gone.after,
        None => {
            if let Some(job) = jobs.get_mut(gone.job) {
                job.first_fiber = gone.after;
            }
        }
    }
    if let Some(after) = fibers.get_mut(gone.after) {
        after.before = gone.before;
    }
}
