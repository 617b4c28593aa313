//! What faults do to a process.

use proxy_core::draw::{DrawKey, Purpose};
use proxy_core::time::{Duration, Time};

use super::{Doing, Replica, TimerKind, Unseen, single};
use crate::app::contract::Effect;
use crate::plan::ids::FaultId;
use crate::plan::program::Behaviour;

/// The faults upon a process, and what they come to together.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    active: Vec<(FaultId, Effect)>,
    own_slots: u32,
    own_cores: Option<f64>,
    pub(super) slots: u32,
    pub(super) cores: Option<f64>,
    /// How much longer work takes, as far as the ends of the work under way know.
    factor: f64,
    frozen_since: Option<Time>,
    /// Clocks that ran out while the process was frozen.
    pub(super) late: Vec<TimerKind>,
}

impl Faults {
    pub(super) fn new(rules: &Behaviour) -> Self {
        Self {
            active: Vec::new(),
            own_slots: rules.concurrency,
            own_cores: rules.cores,
            slots: rules.concurrency,
            cores: rules.cores,
            factor: 1.0,
            frozen_since: None,
            late: Vec::new(),
        }
    }

    pub(super) const fn frozen(&self) -> bool {
        self.frozen_since.is_some()
    }

    /// How long work of this length takes.
    pub(super) fn stretch(&self, length: Duration) -> Duration {
        scaled(length, self.factor)
    }

    /// The status with which an error fault answers a request that arrives; the first that strikes counts.
    pub(super) fn strikes(&self, key: DrawKey) -> Option<u16> {
        self.active
            .iter()
            .find_map(|&(fault, effect)| match effect {
                Effect::Error { status, share } => key
                    .chance(Purpose::InjectedFault, fault.0, share)
                    .then_some(status),
                Effect::Slow { .. } | Effect::Freeze | Effect::Capacity { .. } => None,
            })
    }

    /// What all faults come to: the slow factor, and whether the process is frozen. Slots and cores are set.
    fn sum_up(&mut self) -> (f64, bool) {
        let (mut factor, mut frozen) = (1.0, false);
        (self.slots, self.cores) = (self.own_slots, self.own_cores);
        for &(_, effect) in &self.active {
            match effect {
                Effect::Slow { factor: times } => factor *= times,
                Effect::Freeze => frozen = true,
                Effect::Capacity { slots, cores } => {
                    self.slots = slots.unwrap_or(u32::MAX).min(self.slots);
                    let fewer = |own: f64| cores.unwrap_or(f64::INFINITY).min(own);
                    self.cores = self.cores.map_or(cores, |own| Some(fewer(own)));
                }
                Effect::Error { .. } => {}
            }
        }
        (factor, frozen)
    }
}

impl Replica {
    pub(super) fn fault_begins(&mut self, now: Time, fault: FaultId, effect: Effect) {
        self.faults.active.retain(|(id, _)| *id != fault);
        self.faults.active.push((fault, effect));
        self.apply_faults(now);
    }

    pub(super) fn fault_ends(&mut self, now: Time, fault: FaultId) {
        self.faults.active.retain(|(id, _)| *id != fault);
        self.apply_faults(now);
    }

    fn apply_faults(&mut self, now: Time) {
        let (factor, frozen) = self.faults.sum_up();
        let speed = if frozen { 0.0 } else { factor.recip() };
        let cores = self.faults.cores.unwrap_or(f64::INFINITY);
        self.cores.set(now, cores, speed);
        self.shared.set(now, f64::from(self.faults.slots), speed);
        if frozen {
            self.faults.frozen_since.get_or_insert(now);
            return;
        }
        let thawed = self.faults.frozen_since.take();
        if thawed.is_some() || factor != self.faults.factor {
            self.retime(now, thawed.unwrap_or(now), factor);
        }
        if thawed.is_some() {
            self.cores.forget_timer();
            self.shared.forget_timer();
            self.see(now);
        }
    }

    /// Work under way stood still since `stopped`, and what was left of it then takes another factor from now on.
    fn retime(&mut self, now: Time, stopped: Time, factor: f64) {
        let longer = factor / self.faults.factor;
        self.faults.factor = factor;
        for place in 0..self.fibers.places() {
            let Some((key, fiber)) = self.fibers.at(place) else {
                continue;
            };
            if let Doing::Working(end) = fiber.doing {
                let end = now + scaled(end.since(stopped), longer);
                self.fiber(key).doing = Doing::Working(end);
                self.actions.push(single(TimerKind::Work(key), end));
            }
        }
    }

    /// Sees what came during the freeze, in its order, then the clocks that ran out.
    fn see(&mut self, now: Time) {
        self.unseen_jobs = 0;
        let mut unseen = std::mem::take(&mut self.unseen);
        for event in unseen.drain(..) {
            match event {
                Unseen::Arrival(job) => self.take(job),
                Unseen::Gone(job) => self.gone(now, job),
                Unseen::Done(call, outcome) => self.done(now, call, outcome),
            }
            self.settle(now);
        }
        self.unseen = unseen;
        let mut late = std::mem::take(&mut self.faults.late);
        for timer in late.drain(..) {
            self.timer(now, timer);
            self.settle(now);
        }
        self.faults.late = late;
    }

    pub(super) fn forget_unseen(&mut self) {
        self.unseen.clear();
        self.unseen_jobs = 0;
        self.faults.late.clear();
    }
}

/// Exact where nothing is scaled, however long.
fn scaled(length: Duration, factor: f64) -> Duration {
    if factor == 1.0 {
        length
    } else {
        length.scale(factor)
    }
}
