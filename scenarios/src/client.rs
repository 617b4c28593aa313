//! The clients of a load: when each request is sent, how it is tried, and how it ends, without I/O.
//!
//! Open and traced loads send on time whatever has become of earlier requests; each user of a closed load sends its next request after the
//! answer to the last and a think time. How a request travels, over which connection and from where, is the driver's business.

use std::sync::Arc;

use proxy_core::draw::DrawKey;
use proxy_core::time::{Duration, Time};

use crate::app::TimerClass;
use crate::app::outbox::Outbox;
use crate::app::tries::{At, CallOutcome, Ended, Tries, TryAction, TryId, TryKind, TryTimer};
use crate::arrivals::{Arrival, Arrivals, User};
use crate::plan::ids::RequestId;
use crate::plan::load::Load;
use crate::plan::program::Program;

#[cfg(test)]
mod tests;

/// All clients of one load.
///
/// Call [`Clients::poll_action`] until it is empty after every input.
#[derive(Clone, Debug)]
pub struct Clients {
    load: Arc<Load>,
    program: Arc<Program>,
    root: DrawKey,
    arrivals: Option<Arrivals>,
    next: Option<Arrival>,
    users: Vec<Asking>,
    tries: Tries<Asked>,
    actions: Outbox<ClientAction>,
}

/// A user of a closed load, and how many requests it has sent.
#[derive(Clone, Copy, Debug)]
struct Asking {
    user: User,
    sent: u64,
    /// When it sends its next request; [`Time::MAX`]: not before the last was answered.
    at: Time,
}

/// A request of a load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Its number in the load; of a closed load, in the order of sending by its user.
    pub number: u64,
    /// Who asks, in a closed load.
    pub user: Option<u32>,
    pub request: RequestId,
    /// The root of all draws for it.
    pub key: DrawKey,
    /// When it was meant to be sent: latency counts from here.
    pub intended: Time,
}

/// What a driver has to do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum ClientAction {
    /// Send a try.
    Send {
        call: TryId,
        asked: Asked,
        /// The try's key: the root of the draws on its way and in the server.
        key: DrawKey,
        /// Which try of the request, from 0, and why it is sent.
        number: u32,
        kind: TryKind,
    },
    /// Give up a try: its outcome is no longer wanted.
    Cancel { call: TryId },
    /// A request is over.
    Ended {
        asked: Asked,
        outcome: CallOutcome,
        /// The try whose outcome it is.
        decided_by: TryId,
        /// Tries sent.
        tries: u32,
    },
    /// Set a timer. One that was armed under the same id may be forgotten, and so may one that [`Clients::wants`] no longer.
    Arm {
        id: ClientTimer,
        at: Time,
        class: TimerClass,
    },
}

/// A timer of a load. Opaque to drivers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientTimer(Kind);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Kind {
    Arrival,
    User(u32),
    Try(TryTimer),
}

/// What a user waits at least after a request that was over the moment it was sent: a load without think time against nothing
/// at all would otherwise never let time pass.
const BREATH: Duration = Duration::from_millis(1);

impl Clients {
    /// The clients of a load of a run that ends at `end`, their draws under the run's `root`; `program` has the load's policies.
    #[must_use]
    pub fn new(load: Arc<Load>, program: Arc<Program>, root: DrawKey, end: Time) -> Self {
        let arrivals = Arrivals::new(load.clone(), root, end);
        let users = load.users(end).into_iter().map(|user| Asking {
            user,
            sent: 0,
            at: Time::MAX,
        });
        let mut clients = Self {
            arrivals,
            next: None,
            users: users.collect(),
            tries: Tries::default(),
            actions: Outbox::default(),
            load,
            program,
            root,
        };
        clients.await_arrival();
        for number in 0..clients.users.len() {
            let from = clients.users[number].user.from;
            clients.think(number, from);
        }
        clients
    }

    /// The load.
    #[must_use]
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// Requests that were sent and are not over.
    #[must_use]
    pub fn open(&self) -> usize {
        self.tries.open()
    }

    /// How a try ended. Stale tries are ignored.
    pub fn done(&mut self, now: Time, call: TryId, outcome: CallOutcome) {
        let at = At {
            now,
            policies: &self.program.policies,
        };
        let actions = &mut self.actions;
        let ended = self.tries.done(at, call, outcome, &mut |action| {
            actions.push(translate(action));
        });
        self.ended(now, ended);
    }

    /// A timer is due. Too early is ignored, late is fine.
    pub fn timer(&mut self, now: Time, id: ClientTimer) {
        match id.0 {
            Kind::Arrival => {
                while let Some(arrival) = self.next.filter(|next| next.at <= now) {
                    self.send(
                        now,
                        Asked {
                            number: arrival.number,
                            user: None,
                            request: arrival.request,
                            key: arrival.key,
                            intended: arrival.at,
                        },
                    );
                    self.await_arrival();
                }
            }
            Kind::User(user) => self.ask(now, user),
            Kind::Try(id) => {
                let at = At {
                    now,
                    policies: &self.program.policies,
                };
                let actions = &mut self.actions;
                let ended = self.tries.timer(at, id, &mut |action| {
                    actions.push(translate(action));
                });
                self.ended(now, ended);
            }
        }
    }

    /// Whether a timer that was set still means anything.
    #[must_use]
    #[inline]
    pub fn wants(&self, id: ClientTimer) -> bool {
        match id.0 {
            Kind::Arrival => true,
            Kind::User(user) => self.users[user as usize].at < Time::MAX,
            Kind::Try(id) => self.tries.wants(id),
        }
    }

    /// All that has to be done, in `into`, which must be empty; false: nothing. More may come of what is done.
    #[inline]
    pub fn take_actions(&mut self, into: &mut Vec<ClientAction>) -> bool {
        self.actions.take(into)
    }

    /// What has to be done next; none: wait for the next input.
    #[inline]
    pub fn poll_action(&mut self) -> Option<ClientAction> {
        self.actions.pop()
    }

    fn await_arrival(&mut self) {
        self.next = self.arrivals.as_mut().and_then(Iterator::next);
        if let Some(next) = self.next {
            self.arm(Kind::Arrival, next.at);
        }
    }

    /// The user thinks from then on about its next request.
    fn think(&mut self, number: usize, from: Time) {
        let Asking { user, sent, .. } = self.users[number];
        let key = self.load.user_key(self.root, user.number, sent);
        let at = from + self.load.think(&self.program, key);
        if at < user.until {
            self.users[number].at = at;
            self.arm(Kind::User(user.number), at);
        }
    }

    fn ask(&mut self, now: Time, number: u32) {
        let Some(asking) = self.users.get_mut(number as usize) else {
            return;
        };
        if asking.at > now {
            return;
        }
        let intended = std::mem::replace(&mut asking.at, Time::MAX);
        let sent = asking.sent;
        asking.sent += 1;
        let key = self.load.user_key(self.root, number, sent);
        let request = self.load.pick(key);
        self.send(
            now,
            Asked {
                number: sent,
                user: Some(number),
                request,
                key,
                intended,
            },
        );
    }

    fn send(&mut self, now: Time, asked: Asked) {
        let at = At {
            now,
            policies: &self.program.policies,
        };
        let policy = self.load.client.policy;
        let actions = &mut self.actions;
        self.tries
            .start(at, policy, asked.key, asked, &mut |action| {
                actions.push(translate(action));
            });
    }

    fn ended(&mut self, now: Time, ended: Option<Ended<Asked>>) {
        let Some(ended) = ended else {
            return;
        };
        let asked = ended.owner;
        self.actions.push(ClientAction::Ended {
            asked,
            outcome: ended.outcome,
            decided_by: ended.decided_by,
            tries: ended.tries,
        });
        if let Some(user) = asked.user {
            let from = if now > asked.intended {
                now
            } else {
                now + BREATH
            };
            self.think(user as usize, from);
        }
    }

    fn arm(&mut self, kind: Kind, at: Time) {
        self.actions.push(ClientAction::Arm {
            id: ClientTimer(kind),
            at,
            class: TimerClass::Single,
        });
    }
}

fn translate(action: TryAction<Asked>) -> ClientAction {
    match action {
        TryAction::Send {
            id,
            owner,
            key,
            number,
            kind,
        } => ClientAction::Send {
            call: id,
            asked: owner,
            key,
            number,
            kind,
        },
        TryAction::Cancel { id } => ClientAction::Cancel { call: id },
        TryAction::Arm { id, at, class } => ClientAction::Arm {
            id: ClientTimer(Kind::Try(id)),
            at,
            class,
        },
    }
}
