//! What services do with a request, compiled to flat tables that run without allocation.

use proxy_core::draw::{DrawKey, Purpose};
use proxy_core::time::Duration;

use super::ids::{
    BehaviourId, CallId, DistId, HandlerId, LaneId, PolicyId, RequestId, ServiceId, StepId,
};
use crate::distribution::Distribution;

/// Every behaviour of a scenario. Ids index its tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    pub distributions: Vec<Distribution>,
    pub behaviours: Vec<Behaviour>,
    pub handlers: Vec<Handler>,
    pub steps: Vec<Step>,
    /// First steps of the branches of every [`Step::Fork`].
    pub branches: Vec<StepId>,
    pub calls: Vec<Call>,
    pub policies: Vec<TryPolicy>,
    /// The lengths of the timer lanes.
    pub lanes: Vec<Duration>,
}

/// What one replica of a workload is and does.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// Requests a replica works on at once; with [`Discipline::Shared`] the servers that all requests share.
    pub concurrency: u32,
    /// Processor cores of a replica; none: processors are never short.
    pub cores: Option<f64>,
    /// Requests that may wait for a slot; none: as many as come.
    pub queue_limit: Option<u32>,
    pub discipline: Discipline,
    pub on_caller_gone: CallerGone,
    /// From the start of the process until it listens.
    pub boot: Option<DistId>,
    /// From listening until the readiness probe has passed.
    pub ready: Option<DistId>,
    /// The first handler that matches answers; none matching: 404.
    pub handlers: core::ops::Range<u32>,
}

/// Which waiting request is served next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// The one that has waited longest.
    Fifo,
    /// The one that came last.
    Lifo,
    /// None waits: all share the servers (egalitarian processor sharing).
    Shared,
}

/// What becomes of work whose caller has given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerGone {
    /// It goes on, and its answer goes nowhere.
    Continue,
    /// It is dropped from the queue or stopped, and its own calls are cancelled.
    Abort,
}

/// One handler: which requests it takes and what it does first to last.
#[derive(Clone, Debug, PartialEq)]
pub struct Handler {
    /// None: any method.
    pub method: Option<Box<str>>,
    pub path: PathMatch,
    pub first: StepId,
    pub status: u16,
    /// Bytes of the response's body.
    pub size: u64,
    /// Whether the slot is given back while the request only waits for calls.
    pub releases_slot: bool,
}

/// How a handler's path is compared, always without the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path.
    Exact(Box<str>),
    /// The path, or anything below it by segments: `/a` takes `/a` and `/a/b`, not `/ab`. Held without a slash at the end.
    Prefix(Box<str>),
}

impl PathMatch {
    /// Whether `path` (a query is cut off) falls under this.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        match self {
            Self::Exact(exact) => path == &**exact,
            Self::Prefix(prefix) => path
                .strip_prefix(&**prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}

/// One instruction of a handler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Hold the slot for a time; `cpu` of it (0 to 1) needs a core. Draw number `draw` decides how long.
    Work { time: DistId, cpu: f32, draw: u32 },
    /// Answer `status` in `share` of the cases, without doing the rest. Draw number `draw` decides.
    MayFail { share: f64, status: u16, draw: u32 },
    /// Call another service, and go on when it has been answered for.
    Call(CallId),
    /// Run branches `first..first + count` at once, and go on at `after` when all have joined.
    Fork {
        first: u32,
        count: u32,
        after: StepId,
    },
    /// The end of a branch.
    Join,
    /// The end of the handler.
    Reply,
}

/// A call that a handler makes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call {
    pub to: ServiceId,
    /// Port of the Service.
    pub port: u16,
    pub request: RequestId,
    /// How likely the call (all its times) is made at all.
    pub probability: f64,
    /// Made so many times, one after the other.
    pub times: u32,
    pub policy: PolicyId,
    pub on_error: OnError,
    /// Which child of the handler's draw key the call is.
    pub draw: u32,
}

/// What a failed call means to its handler. A call has failed when, after its retries, it has no answer or one of 400 or above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The handler answers `status` without its remaining steps (default 500).
    Fail { status: u16 },
    /// As if it had succeeded.
    Ignore,
    /// The handler goes on, and its answer is `status` and counted as degraded.
    Fallback { status: u16 },
}

/// How a caller (an application or a client, not a proxy) tries a call.
///
/// A failed try (no answer in time, no connection, a reset, a status of 500 or above) is followed by the next at once unless
/// there is a back-off; each try has the whole timeout.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct TryPolicy {
    /// None: it waits for ever.
    pub timeout: Option<Timer>,
    /// Tries after the first.
    pub retries: u32,
    pub backoff: Option<Backoff>,
    pub hedge: Option<Hedge>,
}

/// A length with the lane that its timers are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    pub after: Duration,
    pub lane: LaneId,
}

/// Waits between a failed try and the next: `base` × `factor`^(n-1), at most `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    pub base: Duration,
    pub factor: f64,
    pub max: Duration,
    pub jitter: Jitter,
}

/// Which part of a back-off is left to chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    None,
    /// Uniform between half the wait and the whole.
    Equal,
    /// Uniform between zero and the wait.
    Full,
}

impl Backoff {
    /// The wait before retry `number` (from 1), with chance drawn from `key`.
    #[must_use]
    pub fn wait(&self, number: u32, key: DrawKey) -> Duration {
        let grown = self.base.as_nanos() as f64
            * libm::pow(self.factor, f64::from(number.saturating_sub(1)));
        let whole = Duration::from_nanos(libm::round(grown) as u64).min(self.max);
        let u = || key.unit(Purpose::ClientBackoff, number);
        match self.jitter {
            Jitter::None => whole,
            Jitter::Equal => whole.scale(0.5 + 0.5 * u()),
            Jitter::Full => whole.scale(u()),
        }
    }
}

/// A second copy of a call that is slow: sent `after` the first, at most `max` of them; the first good answer counts and the
/// others are cancelled (Dean and Barroso, The Tail at Scale, 2013).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    pub after: Timer,
    pub max: u32,
}

impl Program {
    /// The first handler of `behaviour` that takes this method and path; none: the replica answers 404.
    #[must_use]
    pub fn handler_for(
        &self,
        behaviour: BehaviourId,
        method: &str,
        path: &str,
    ) -> Option<HandlerId> {
        let range = self.behaviours[behaviour.index()].handlers.clone();
        range.map(HandlerId).find(|id| {
            let handler = &self.handlers[id.index()];
            handler.method.as_deref().is_none_or(|m| m == method) && handler.path.matches(path)
        })
    }

    /// The distribution `id` stands for.
    #[must_use]
    pub fn distribution(&self, id: DistId) -> &Distribution {
        &self.distributions[id.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_by_segments() {
        let prefix = |p: &str| PathMatch::Prefix(p.into());
        let exact = |p: &str| PathMatch::Exact(p.into());
        for (name, rule, path, expected) in [
            ("everything", prefix(""), "/a/b", true),
            ("itself", prefix("/a"), "/a", true),
            ("below", prefix("/a"), "/a/b", true),
            ("with a query", prefix("/a"), "/a?x=/b", true),
            ("not a longer word", prefix("/a"), "/ab", false),
            ("exact", exact("/a"), "/a?q", true),
            ("exact is not a prefix", exact("/a"), "/a/b", false),
        ] {
            assert_eq!(rule.matches(path), expected, "{name}");
        }
    }

    #[test]
    fn backoff_grows_to_its_cap() {
        let mut backoff = Backoff {
            base: Duration::from_millis(10),
            factor: 2.0,
            max: Duration::from_millis(50),
            jitter: Jitter::None,
        };
        let key = DrawKey::root(1);
        let waits: Vec<_> = (1..=4).map(|n| backoff.wait(n, key).as_millis()).collect();
        assert_eq!(waits, [10, 20, 40, 50]);
        backoff.jitter = Jitter::Equal;
        for n in 1..100 {
            let wait = backoff.wait(n, key);
            assert!(wait <= backoff.max && wait >= Duration::from_millis(5));
        }
    }
}
