//! A worker's timers: a FIFO lane for each length, a heap for the others.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use proxy_core::node::{TimerClass, TimerId};
use proxy_core::time::{Duration, Time};
use rustc_hash::FxHashMap;

/// So many timers of one length, and so many of others, are kept whether or not anybody still wants them.
const SPARE: usize = 256;

/// What is due and when. A timer that is disarmed stays for a while, or until it is due; the node then ignores it.
#[derive(Debug)]
pub(crate) struct Timers<I: Ord = TimerId> {
    lanes: FxHashMap<Duration, Lane<I>>,
    single: BinaryHeap<Reverse<(Time, I)>>,
    single_room: Room,
}

#[derive(Debug)]
struct Lane<I> {
    waiting: VecDeque<(Time, I)>,
    room: Room,
}

impl<I> Default for Lane<I> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            room: Room::default(),
        }
    }
}

impl<I: Ord> Default for Timers<I> {
    fn default() -> Self {
        Self {
            lanes: FxHashMap::default(),
            single: BinaryHeap::new(),
            single_room: Room::default(),
        }
    }
}

/// How many may wait before those that nobody wants are taken out: twice as many as were wanted when that was last done, so that each
/// timer is looked at about once.
#[derive(Debug)]
struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(SPARE)
    }
}

impl Room {
    fn fit(&mut self, left: usize) {
        self.0 = SPARE.max(2 * left);
    }
}

impl<I: Ord + Copy> Timers<I> {
    /// Sets a timer. Where too many wait, those that are not `wanted` are forgotten: most are of exchanges that are long over, and one at the
    /// head that is wanted for an hour must not keep all that come after it.
    pub(crate) fn arm(&mut self, id: I, at: Time, class: TimerClass, wanted: impl Fn(I) -> bool) {
        match class {
            TimerClass::Lane(length) => {
                let lane = self.lanes.entry(length).or_default();
                if lane.waiting.len() >= lane.room.0 {
                    lane.waiting.retain(|(_, id)| wanted(*id));
                    lane.room.fit(lane.waiting.len());
                }
                lane.waiting.push_back((at, id));
            }
            TimerClass::Single => {
                if self.single.len() >= self.single_room.0 {
                    self.single.retain(|Reverse((_, id))| wanted(*id));
                    self.single_room.fit(self.single.len());
                }
                self.single.push(Reverse((at, id)));
            }
        }
    }

    /// When the next is due.
    pub(crate) fn next(&self) -> Option<Time> {
        let lanes = self.lanes.values();
        let heads = lanes.filter_map(|lane| Some(lane.waiting.front()?.0));
        let single = self.single.peek().map(|Reverse((at, _))| *at);
        heads.chain(single).min()
    }

    /// Takes one that is due.
    pub(crate) fn due(&mut self, now: Time) -> Option<I> {
        if let Some(Reverse((at, id))) = self.single.peek().copied()
            && at <= now
        {
            self.single.pop();
            return Some(id);
        }
        let mut lanes = self.lanes.values_mut();
        lanes.find_map(|lane| {
            let (at, _) = *lane.waiting.front()?;
            (at <= now)
                .then(|| lane.waiting.pop_front())?
                .map(|(_, id)| id)
        })
    }

    /// Forgets those at the heads of lanes that nobody wants any more, and lanes with nobody left.
    pub(crate) fn clear_up(&mut self, wanted: impl Fn(I) -> bool) {
        for lane in self.lanes.values_mut() {
            while let Some((_, id)) = lane.waiting.front()
                && !wanted(*id)
            {
                lane.waiting.pop_front();
            }
        }
        self.lanes.retain(|_, lane| !lane.waiting.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Time {
        Time::ZERO + Duration::from_secs(second)
    }

    #[test]
    fn one_that_is_wanted_for_long_keeps_none_that_come_after_it() {
        for class in [TimerClass::Lane(Duration::from_secs(9)), TimerClass::Single] {
            let mut timers = Timers::default();
            for id in 0..100_000_u64 {
                timers.arm(id, at(id), class, |id| id == 0);
            }
            let lanes = timers.lanes.values().map(|lane| lane.waiting.len());
            let kept = lanes.sum::<usize>() + timers.single.len();
            assert!(kept <= SPARE, "{kept} of {class:?}");
            assert_eq!(timers.due(at(0)), Some(0), "{class:?}");
        }
    }

    #[test]
    fn those_that_are_wanted_come_when_they_are_due_whatever_was_forgotten_among_them() {
        for class in [TimerClass::Lane(Duration::from_secs(9)), TimerClass::Single] {
            let mut timers = Timers::default();
            for id in 0..5_000_u64 {
                timers.arm(id, at(id), class, |id| id % 3 == 0);
            }
            assert_eq!(timers.next(), Some(at(0)));
            let mut came = Vec::new();
            while let Some(id) = timers.due(at(4_000)) {
                came.extend((id % 3 == 0).then_some(id));
            }
            let want: Vec<u64> = (0..=4_000).step_by(3).collect();
            assert_eq!(came, want, "{class:?}");
        }
    }
}
