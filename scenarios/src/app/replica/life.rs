//! Start and death of a process.

use proxy_core::draw::{DrawKey, Purpose};
use proxy_core::time::{Duration, Time};

use super::{AppAction, Phase, Replica, TimerKind, single};
use crate::plan::ids::DistId;

#[derive(Clone, Debug)]
pub(super) struct Life {
    phase: Phase,
    /// Which life it is: timers of an earlier one are ignored.
    number: u32,
    /// When the phase ends by itself.
    until: Time,
    /// How long after listening the readiness probe passes.
    ready_after: Duration,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            phase: Phase::Down,
            number: 0,
            until: Time::MAX,
            ready_after: Duration::ZERO,
        }
    }
}

impl Replica {
    /// Where the process is in its life.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.life.phase
    }

    /// Whether it takes connections.
    #[must_use]
    pub const fn is_listening(&self) -> bool {
        matches!(self.life.phase, Phase::Listening | Phase::Ready)
    }

    pub(super) fn boot(&mut self, now: Time, key: DrawKey) {
        if self.life.phase != Phase::Down {
            return;
        }
        let drawn = |dist: Option<DistId>, index| {
            dist.map_or(Duration::ZERO, |dist| {
                let u = key.unit(Purpose::StartUp, index);
                self.program.distribution(dist).sample(u)
            })
        };
        let boot = drawn(self.rules().boot, 0);
        self.life.ready_after = drawn(self.rules().ready, 1);
        self.life.phase = Phase::Booting;
        self.wait(now, boot);
    }

    pub(super) fn booted_before(&mut self) {
        if self.life.phase == Phase::Down {
            self.life.phase = Phase::Ready;
            self.actions.push(AppAction::Listening);
            self.actions.push(AppAction::Ready);
        }
    }

    fn wait(&mut self, now: Time, length: Duration) {
        self.life.until = now + length;
        if length.is_zero() {
            self.started(now, self.life.number);
        } else {
            let timer = TimerKind::Start(self.life.number);
            self.actions.push(single(timer, self.life.until));
        }
    }

    pub(super) fn started(&mut self, now: Time, life: u32) {
        if life != self.life.number || self.life.until > now {
            return;
        }
        match self.life.phase {
            Phase::Booting => {
                self.life.phase = Phase::Listening;
                self.actions.push(AppAction::Listening);
                self.wait(now, self.life.ready_after);
            }
            Phase::Listening => {
                self.life.phase = Phase::Ready;
                self.actions.push(AppAction::Ready);
            }
            Phase::Down | Phase::Ready => {}
        }
    }

    pub(super) fn crash(&mut self, now: Time) {
        self.life = Life {
            number: self.life.number.wrapping_add(1),
            ..Life::default()
        };
        self.forget_unseen();
        for place in 0..self.jobs.places() {
            let Some((key, job)) = self.jobs.at(place) else {
                continue;
            };
            self.stop(now, key);
            self.jobs.remove(key);
            if !job.caller_gone {
                let token = job.token;
                self.actions.push(AppAction::Lost { token });
            }
        }
        self.ready.clear();
    }
}
