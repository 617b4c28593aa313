//! How an application or a client tries a call: timeouts, retries, back-off and hedging, without a proxy's help.

use proxy_core::draw::DrawKey;
use proxy_core::time::Time;

use super::contract::TimerClass;
use super::slab::{Key, Slab};
use crate::plan::ids::PolicyId;
use crate::plan::program::{Timer, TryPolicy};

#[cfg(test)]
mod tests;

/// One try of a call. Recognised as stale once it has ended or been cancelled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TryId(Key);

impl TryId {
    /// Dense and reused: for a driver's side tables.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0.index as usize
    }
}

/// A call under way. Recognised as stale once it has ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpenCall(Key);

/// How a try ended, and after its last try a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CallOutcome {
    /// A whole response of this status.
    Answered(u16),
    Failed(Failure),
}

/// Why there was no response.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Failure {
    /// The caller's own timeout passed.
    Timeout,
    /// No connection.
    Connect,
    /// The connection or the stream broke before the response was whole.
    Reset,
    /// The name did not resolve.
    Dns,
    /// The handshake was refused.
    Tls,
}

impl CallOutcome {
    /// Whether another try may follow: no response, or one of 500 or above.
    #[must_use]
    pub const fn may_be_retried(self) -> bool {
        match self {
            Self::Answered(status) => status >= 500,
            Self::Failed(_) => true,
        }
    }
}

/// A timer of a call or a try. Opaque to drivers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TryTimer {
    kind: Kind,
    /// Of the try for a timeout, else of the call.
    key: Key,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Kind {
    Timeout,
    Hedge,
    Backoff,
}

impl TryTimer {
    #[inline(always)]
    const fn of(kind: Kind, key: Key) -> Self {
        Self { kind, key }
    }
}

/// Why a try was sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TryKind {
    First,
    /// The tries before it had all failed, the last of them so.
    Retry(CallOutcome),
    /// The tries before it were slow.
    Hedge,
}

/// What the owner of a call has to do for it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum TryAction<O> {
    Send {
        id: TryId,
        owner: O,
        key: DrawKey,
        /// From 0, in the order of sending.
        number: u32,
        kind: TryKind,
    },
    /// The try's outcome is no longer wanted.
    Cancel { id: TryId },
    Arm {
        id: TryTimer,
        at: Time,
        class: TimerClass,
    },
}

/// The end of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended<O> {
    pub owner: O,
    pub outcome: CallOutcome,
    /// The try whose outcome it is.
    pub decided_by: TryId,
    /// Tries sent.
    pub tries: u32,
}

/// Calls under way, each with the tries that are in flight for it.
///
/// A call ends with the first answer below 500; its other tries are then cancelled. While a try is in flight and unanswered for
/// the hedge's `after`, a further one is sent, at most `max` for the whole call. When the last try in flight has failed
/// (so a failure never overtakes a hedge that may yet succeed) a retry follows, at once or after its back-off, if there is one left.
/// Each try has the whole timeout. A call thus sends at most 1 + retries + hedges tries, and ends with the failure of its last.
///
/// Try number n of the retries has the key `child(n)` of the call, hedge n `child(2^32 + n)`: turning hedging on leaves the draws of
/// all other tries as they were.
#[derive(Clone, Debug)]
pub struct Tries<O> {
    calls: Slab<Open<O>>,
    tries: Slab<Try>,
}

#[derive(Clone, Copy, Debug)]
struct Open<O> {
    owner: O,
    policy: PolicyId,
    key: DrawKey,
    /// The tries in flight, latest first.
    in_flight: Key,
    sent: u32,
    retries: u32,
    hedges: u32,
    /// [`Time::MAX`]: no such timer.
    hedge_at: Time,
    backoff_at: Time,
    /// How the last try failed, while the call backs off.
    failed: Option<CallOutcome>,
}

#[derive(Clone, Copy, Debug)]
struct Try {
    call: Key,
    next: Key,
    timeout_at: Time,
}

impl<O> Default for Tries<O> {
    fn default() -> Self {
        Self {
            calls: Slab::default(),
            tries: Slab::default(),
        }
    }
}

/// What is lent for one input: the moment and the policies that [`PolicyId`]s stand for.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    pub now: Time,
    pub policies: &'a [TryPolicy],
}

const HEDGES: u64 = 1 << 32;

impl<O: Copy> Tries<O> {
    /// Begins a call and sends its first try.
    #[inline]
    pub fn start(
        &mut self,
        at: At<'_>,
        policy: PolicyId,
        key: DrawKey,
        owner: O,
        out: &mut impl FnMut(TryAction<O>),
    ) -> OpenCall {
        let call = self.calls.insert(Open {
            owner,
            policy,
            key,
            in_flight: Key::NONE,
            sent: 0,
            retries: 0,
            hedges: 0,
            hedge_at: Time::MAX,
            backoff_at: Time::MAX,
            failed: None,
        });
        self.send(at, call, TryKind::First, out);
        OpenCall(call)
    }

    /// A try ended. Stale tries are ignored.
    #[inline]
    pub fn done(
        &mut self,
        at: At<'_>,
        id: TryId,
        outcome: CallOutcome,
        out: &mut impl FnMut(TryAction<O>),
    ) -> Option<Ended<O>> {
        let ended = self.tries.remove(id.0)?;
        let first = self.calls.get(ended.call)?.in_flight;
        self.unlink(ended.call, first, id.0, ended.next);
        if !outcome.may_be_retried() {
            return self.end(ended.call, id, outcome, out);
        }
        let open = self.calls.get_mut(ended.call)?;
        if !open.in_flight.is_none() {
            return None;
        }
        let policy = &at.policies[open.policy.index()];
        if open.retries == policy.retries {
            return self.end(ended.call, id, outcome, out);
        }
        open.retries += 1;
        let Some(backoff) = policy.backoff else {
            self.send(at, ended.call, TryKind::Retry(outcome), out);
            return None;
        };
        open.failed = Some(outcome);
        open.backoff_at = at.now + backoff.wait(open.retries, open.key);
        out(TryAction::Arm {
            id: TryTimer::of(Kind::Backoff, ended.call),
            at: open.backoff_at,
            class: TimerClass::Single,
        });
        None
    }

    /// A timer is due. Too early, or no longer wanted, is ignored.
    pub fn timer(
        &mut self,
        at: At<'_>,
        id: TryTimer,
        out: &mut impl FnMut(TryAction<O>),
    ) -> Option<Ended<O>> {
        let (key, call) = (id.key, id.key);
        match id.kind {
            Kind::Timeout => {
                if self.tries.get(key)?.timeout_at > at.now {
                    return None;
                }
                out(TryAction::Cancel { id: TryId(key) });
                self.done(at, TryId(key), CallOutcome::Failed(Failure::Timeout), out)
            }
            Kind::Hedge => {
                let open = self.calls.get_mut(call)?;
                // nothing in flight: the call backs off, and its retry is what comes next
                if open.hedge_at <= at.now && !open.in_flight.is_none() {
                    open.hedges += 1;
                    self.send(at, call, TryKind::Hedge, out);
                }
                None
            }
            Kind::Backoff => {
                let open = self.calls.get_mut(call)?;
                if open.backoff_at <= at.now
                    && let Some(failed) = open.failed.take()
                {
                    open.backoff_at = Time::MAX;
                    self.send(at, call, TryKind::Retry(failed), out);
                }
                None
            }
        }
    }

    /// Whether a timer that was armed still means anything.
    #[must_use]
    #[inline]
    pub fn wants(&self, id: TryTimer) -> bool {
        match id.kind {
            Kind::Timeout => self.tries.contains(id.key),
            Kind::Hedge | Kind::Backoff => self.calls.contains(id.key),
        }
    }

    /// Gives up a call and cancels its tries; it will not end. Says whose it was, and its latest try if one was in flight.
    pub fn abandon(
        &mut self,
        call: OpenCall,
        out: &mut impl FnMut(TryAction<O>),
    ) -> Option<(O, Option<TryId>)> {
        let open = self.calls.remove(call.0)?;
        self.close(&open, out);
        let latest = (!open.in_flight.is_none()).then_some(TryId(open.in_flight));
        Some((open.owner, latest))
    }

    /// Gives up everything.
    pub fn abandon_all(&mut self, out: &mut impl FnMut(TryAction<O>)) {
        for place in 0..self.calls.places() {
            if let Some((call, _)) = self.calls.at(place) {
                self.abandon(OpenCall(call), out);
            }
        }
    }

    /// Calls under way.
    #[must_use]
    pub fn open(&self) -> usize {
        self.calls.len()
    }

    #[inline]
    fn send(&mut self, at: At<'_>, call: Key, kind: TryKind, out: &mut impl FnMut(TryAction<O>)) {
        let open = self
            .calls
            .get_mut(call)
            .expect("the caller has just seen it");
        let policy = &at.policies[open.policy.index()];
        let due = |timer: Option<Timer>| timer.map_or(Time::MAX, |timer| at.now + timer.after);
        let timeout_at = due(policy.timeout);
        let id = self.tries.insert(Try {
            call,
            next: open.in_flight,
            timeout_at,
        });
        open.in_flight = id;
        let branch = match kind {
            TryKind::First | TryKind::Retry(_) => u64::from(open.retries),
            TryKind::Hedge => HEDGES + u64::from(open.hedges),
        };
        out(TryAction::Send {
            id: TryId(id),
            owner: open.owner,
            key: open.key.child(branch),
            number: open.sent,
            kind,
        });
        open.sent += 1;
        if let Some(timer) = policy.timeout {
            out(TryAction::Arm {
                id: TryTimer::of(Kind::Timeout, id),
                at: timeout_at,
                class: TimerClass::Lane(timer.lane),
            });
        }
        let hedge = policy.hedge.filter(|hedge| open.hedges < hedge.max);
        open.hedge_at = due(hedge.map(|hedge| hedge.after));
        if let Some(hedge) = hedge {
            out(TryAction::Arm {
                id: TryTimer::of(Kind::Hedge, call),
                at: open.hedge_at,
                class: TimerClass::Lane(hedge.after.lane),
            });
        }
    }

    #[inline]
    fn unlink(&mut self, call: Key, first: Key, gone: Key, after: Key) {
        if first == gone {
            if let Some(open) = self.calls.get_mut(call) {
                open.in_flight = after;
            }
            return;
        }
        let mut before = first;
        while let Some(link) = self.tries.get_mut(before) {
            if link.next == gone {
                link.next = after;
                return;
            }
            before = link.next;
        }
    }

    #[inline]
    fn end(
        &mut self,
        call: Key,
        decided_by: TryId,
        outcome: CallOutcome,
        out: &mut impl FnMut(TryAction<O>),
    ) -> Option<Ended<O>> {
        let open = self.calls.remove(call)?;
        self.close(&open, out);
        Some(Ended {
            owner: open.owner,
            outcome,
            decided_by,
            tries: open.sent,
        })
    }

    fn close(&mut self, open: &Open<O>, out: &mut impl FnMut(TryAction<O>)) {
        let mut next = open.in_flight;
        while let Some(loser) = self.tries.remove(next) {
            out(TryAction::Cancel { id: TryId(next) });
            next = loser.next;
        }
    }
}
