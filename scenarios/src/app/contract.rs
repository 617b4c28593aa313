//! What goes into a replica and what comes out of it.

use proxy_core::draw::DrawKey;
use proxy_core::time::Time;

use super::slab::Key;
use super::tries::{CallOutcome, TryId, TryKind, TryTimer};
use crate::plan::events::FaultKind;
use crate::plan::ids::{CallId, FaultId, HandlerId, LaneId};

/// What a replica answers when its queue is full.
pub const QUEUE_FULL_STATUS: u16 = 503;
/// What a replica answers when no handler takes a request.
pub const NO_HANDLER_STATUS: u16 = 404;

/// A request that a replica has taken. Recognised as stale once the request is over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JobId(pub(super) Key);

impl JobId {
    /// Dense and reused: for a driver's side tables.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0.index as usize
    }
}

/// A request that reaches a replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// The driver's own number for it; comes back with how it ends.
    pub token: u64,
    /// From [`Program::handler_for`](crate::plan::program::Program::handler_for); none: answered 404 at once, without a slot.
    pub handler: Option<HandlerId>,
    /// The root of all that is left to chance for this request, and of its calls' keys.
    pub key: DrawKey,
    /// Whether its way through the process is told in [`AppAction::Note`]s, for a waterfall.
    pub watched: bool,
}

/// What happens to a replica besides arrivals.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum AppInput {
    /// The caller of a request no longer waits for it. Nothing more is said of that request's token.
    CallerGone { job: JobId },
    /// How a try of a call ended.
    CallDone { call: TryId, outcome: CallOutcome },
    /// A timer is due. Too early is ignored, late is fine.
    Timer { id: AppTimer },
    /// A fault begins. Several at once: slow factors multiply, the lowest capacity counts, errors are drawn one by one.
    FaultBegins { fault: FaultId, effect: Effect },
    /// A fault is over.
    FaultEnds { fault: FaultId },
    /// The process dies: every request in it is lost, its calls are given up, and it stays down until it is booted.
    Crash,
    /// The process starts. It listens after its boot time and is ready after its readiness time, both drawn from `key`.
    Boot { key: DrawKey },
    /// The process has long been running: it listens and is ready at once.
    BootedBefore,
}

/// What a fault does to a replica.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Effect {
    /// Work takes `factor` times as long; what is left of work under way stretches too. Above zero.
    Slow { factor: f64 },
    /// Nothing happens in the process. Work under way goes on afterwards where it stopped; what arrives meanwhile, and
    /// then the clocks that ran out meanwhile, are seen at the end (as by a process stopped for garbage collection:
    /// an answer that came during the pause still beats a timeout that passed during it).
    Freeze,
    /// At most so many slots and cores. Requests that hold a slot keep it.
    Capacity {
        slots: Option<u32>,
        cores: Option<f64>,
    },
    /// A `share` (0 to 1) of the requests that arrive is answered `status` at once, without a slot or any work.
    Error { status: u16, share: f64 },
}

impl Effect {
    /// What a scenario's fault does to each process that it strikes; none: it strikes something else, or kills.
    #[must_use]
    pub const fn of(fault: &FaultKind) -> Option<Self> {
        match *fault {
            FaultKind::Slow { factor, .. } => Some(Self::Slow { factor }),
            FaultKind::Error { status, share, .. } => Some(Self::Error { status, share }),
            FaultKind::Freeze { .. } => Some(Self::Freeze),
            FaultKind::Capacity { slots, cores, .. } => Some(Self::Capacity { slots, cores }),
            FaultKind::Crash { .. }
            | FaultKind::Outage { .. }
            | FaultKind::Delay { .. }
            | FaultKind::Loss { .. }
            | FaultKind::Partition { .. }
            | FaultKind::Reset { .. }
            | FaultKind::Blackhole { .. }
            | FaultKind::Dns { .. }
            | FaultKind::Expire { .. }
            | FaultKind::Surge { .. }
            | FaultKind::Push { .. } => None,
        }
    }
}

/// What a driver has to do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum AppAction {
    /// Send a try of a call.
    Call {
        call: TryId,
        /// Which of the program's calls: Service, port, request.
        to: CallId,
        /// The try's key: the root of the draws on its way and in the server.
        key: DrawKey,
        /// Which try of this call, from 0, and why it is sent.
        number: u32,
        kind: TryKind,
        /// On behalf of which arrival.
        token: u64,
    },
    /// A call with all its tries is over.
    CallEnded {
        call: CallId,
        outcome: CallOutcome,
        /// The try whose outcome it is.
        decided_by: TryId,
    },
    /// A call was given up with its request: a call beside it had failed, the caller had gone, or the process died.
    CallGivenUp {
        call: CallId,
        /// The try that was under way; none while the call backed off.
        latest: Option<TryId>,
    },
    /// Give up a try: its stream is reset, its outcome no longer wanted. Of a try that ended while the process was frozen, or as it
    /// died, this may come late; there is nothing to do then.
    CancelCall { call: TryId },
    /// The response to an arrival.
    Answer {
        token: u64,
        status: u16,
        /// Bytes of body; an error has none.
        size: u64,
        /// Whether a fallback stood in for a call that failed.
        degraded: bool,
    },
    /// The queue is full: answer [`QUEUE_FULL_STATUS`].
    Refuse { token: u64 },
    /// The process died, or does not listen: reset the connection.
    Lost { token: u64 },
    /// Set a timer. One that was armed under the same id may be forgotten, and so may one that [`Replica::wants`](super::Replica::wants) no
    /// longer when it is due: nearly all timeouts are of calls that were answered long before.
    Arm {
        id: AppTimer,
        at: Time,
        class: TimerClass,
    },
    /// What has just become of a watched request.
    Note { token: u64, note: Note },
    /// The process takes connections from now on.
    Listening,
    /// The readiness probe passes from now on.
    Ready,
}

/// A moment on a request's way through a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Note {
    /// No slot was free.
    Queued,
    /// It got a slot.
    Began,
    /// A piece of work begins, which first computes if `on_cores`.
    Works { on_cores: bool },
    /// A piece of work is done.
    Worked,
    /// It gave its slot back while it waits for calls.
    Released,
    /// Its calls were answered, and it wants a slot again.
    Resumes,
    /// It got a slot again.
    Resumed,
}

/// A timer of a replica. Opaque to drivers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AppTimer(pub(super) TimerKind);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum TimerKind {
    /// The end of a fiber's work.
    Work(Key),
    /// The next end on the cores.
    Cores,
    /// The next end under processor sharing.
    Shared,
    Try(TryTimer),
    /// The end of the boot, or of the wait for readiness, of a process's n-th life.
    Start(u32),
}

/// How a driver may keep a timer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TimerClass {
    /// Set the lane's whole length before it is due, so the timers of a lane are due in the order of their arming.
    Lane(LaneId),
    /// Any length.
    Single,
}

/// Where a process is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It does not run.
    Down,
    /// It starts and does not listen yet.
    Booting,
    /// It listens; its readiness probe has not passed.
    Listening,
    /// It listens and is ready.
    Ready,
}
