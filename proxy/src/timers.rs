//! A worker's timers: a FIFO lane for each length, a heap for the others.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use proxy_core::node::{TimerClass, TimerId};
use proxy_core::time::{Duration, Time};
use rustc_hash::FxHashMap;

/// What is due and when. A timer that is disarmed stays until it is due; the node then ignores it.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    lanes: FxHashMap<Duration, VecDeque<(Time, TimerId)>>,
    single: BinaryHeap<Reverse<(Time, TimerId)>>,
}

impl Timers {
    pub(crate) fn arm(&mut self, id: TimerId, at: Time, class: TimerClass) {
        match class {
            TimerClass::Lane(length) => self.lanes.entry(length).or_default().push_back((at, id)),
            TimerClass::Single => self.single.push(Reverse((at, id))),
        }
    }

    /// When the next is due.
    pub(crate) fn next(&self) -> Option<Time> {
        let lanes = self.lanes.values();
        let heads = lanes.filter_map(|lane| Some(lane.front()?.0));
        let single = self.single.peek().map(|Reverse((at, _))| *at);
        heads.chain(single).min()
    }

    /// Takes one that is due.
    pub(crate) fn due(&mut self, now: Time) -> Option<TimerId> {
        if let Some(Reverse((at, id))) = self.single.peek().copied()
            && at <= now
        {
            self.single.pop();
            return Some(id);
        }
        let mut lanes = self.lanes.values_mut();
        lanes.find_map(|lane| {
            let (at, _) = *lane.front()?;
            (at <= now).then(|| lane.pop_front())?.map(|(_, id)| id)
        })
    }

    /// Forgets those at the heads of lanes that nobody wants any more: most are of exchanges that are long over.
    pub(crate) fn clear_up(&mut self, wanted: impl Fn(TimerId) -> bool) {
        for lane in self.lanes.values_mut() {
            while let Some((_, id)) = lane.front()
                && !wanted(*id)
            {
                lane.pop_front();
            }
        }
        self.lanes.retain(|_, lane| !lane.is_empty());
    }
}
