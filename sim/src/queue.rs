//! The event queue: a heap for moments of any kind, and a FIFO lane for each length that many timers share.
//!
//! Events of one moment happen in the order in which they were put in, whichever way they were kept.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use proxy_core::time::{Duration, Time};
use rustc_hash::FxHashMap;

/// Events by time, then by insertion.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Entry<E>>,
    /// What happens now, after what is going on.
    now: VecDeque<(u64, E)>,
    lanes: Vec<VecDeque<(Time, u64, E)>>,
    by_length: FxHashMap<Duration, u32>,
    /// First of every lane that is not empty.
    heads: BinaryHeap<Entry<u32>>,
    /// The earliest moment in the heap and the lanes.
    due: Time,
    number: u64,
    at: Time,
}

/// A FIFO lane of one length.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    number: u32,
    length: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Entry<E> {
    at: Time,
    number: u64,
    event: E,
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            now: VecDeque::new(),
            lanes: Vec::new(),
            by_length: FxHashMap::default(),
            heads: BinaryHeap::new(),
            due: Time::MAX,
            number: 0,
            at: Time::ZERO,
        }
    }
}

impl<E> Queue<E> {
    /// The moment of the last event taken.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.at
    }

    /// The lane of a length.
    pub fn lane(&mut self, length: Duration) -> Lane {
        let number = match self.by_length.get(&length) {
            Some(&number) => number,
            None => {
                let number = self.lanes.len() as u32;
                self.lanes.push(VecDeque::new());
                self.by_length.insert(length, number);
                number
            }
        };
        Lane { number, length }
    }

    /// Puts an event in; one that lies in the past happens now.
    pub fn push(&mut self, at: Time, event: E) {
        let number = self.number;
        self.number += 1;
        if at <= self.at {
            self.now.push_back((number, event));
        } else {
            self.due = self.due.min(at);
            self.heap.push(Entry { at, number, event });
        }
    }

    /// Puts in an event that lies `after` from now, with all others of that length.
    pub fn push_lane(&mut self, after: Duration, event: E) {
        let lane = self.lane(after);
        self.push_in(lane, event);
    }

    /// Puts in an event that lies the lane's length from now.
    #[inline]
    pub fn push_in(&mut self, lane: Lane, event: E) {
        let at = self.at + lane.length;
        if lane.length.is_zero() {
            self.push(at, event);
            return;
        }
        let number = self.number;
        self.number += 1;
        let entries = &mut self.lanes[lane.number as usize];
        if entries.is_empty() {
            self.due = self.due.min(at);
            self.heads.push(Entry {
                at,
                number,
                event: lane.number,
            });
        }
        entries.push_back((at, number, event));
    }

    /// The next event, and its moment.
    #[inline]
    pub fn pop(&mut self) -> Option<(Time, E)> {
        if self.due > self.at
            && let Some((_, event)) = self.now.pop_front()
        {
            return Some((self.at, event));
        }
        self.pop_due()
    }

    fn pop_due(&mut self) -> Option<(Time, E)> {
        const NEVER: (Time, u64) = (Time::MAX, u64::MAX);
        let heap = self
            .heap
            .peek()
            .map_or(NEVER, |head| (head.at, head.number));
        let lane = self
            .heads
            .peek()
            .map_or(NEVER, |head| (head.at, head.number));
        if let Some(&(number, _)) = self.now.front() {
            let now = (self.at, number);
            if now < heap && now < lane {
                let (_, event) = self.now.pop_front()?;
                return Some((self.at, event));
            }
        }
        let popped = if heap < lane {
            self.at = heap.0;
            self.heap.pop().map(|entry| (entry.at, entry.event))
        } else {
            self.pop_lane()
        };
        self.due = self.earliest();
        popped
    }

    #[inline]
    fn earliest(&self) -> Time {
        let heap = self.heap.peek().map_or(Time::MAX, |head| head.at);
        let lane = self.heads.peek().map_or(Time::MAX, |head| head.at);
        heap.min(lane)
    }

    fn pop_lane(&mut self) -> Option<(Time, E)> {
        self.at = self.heads.peek()?.at;
        let lane = self.heads.peek()?.event;
        let entries = &mut self.lanes[lane as usize];
        let (at, _, event) = entries.pop_front()?;
        match entries.front() {
            Some(&(at, number, _)) => {
                if let Some(mut head) = self.heads.peek_mut() {
                    *head = Entry {
                        at,
                        number,
                        event: lane,
                    };
                }
            }
            None => {
                self.heads.pop();
            }
        }
        Some((at, event))
    }

    /// How many events wait.
    #[must_use]
    pub fn len(&self) -> usize {
        let in_lanes: usize = self.lanes.iter().map(VecDeque::len).sum();
        self.heap.len() + self.now.len() + in_lanes
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops events of lanes that are not wanted any more.
    pub fn retain_lanes(&mut self, mut wanted: impl FnMut(&E) -> bool) {
        self.heads.clear();
        for (lane, entries) in self.lanes.iter_mut().enumerate() {
            entries.retain(|(_, _, event)| wanted(event));
            if let Some(&(at, number, _)) = entries.front() {
                self.heads.push(Entry {
                    at,
                    number,
                    event: lane as u32,
                });
            }
        }
        self.due = self.earliest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn events_of_one_moment_keep_their_order_across_heap_and_lanes() {
        let mut queue = Queue::default();
        let ms = Duration::from_millis;
        queue.push(Time::ZERO + ms(5), 'a');
        queue.push_lane(ms(5), 'b');
        queue.push(Time::ZERO + ms(5), 'c');
        queue.push_lane(ms(3), 'd');
        queue.push(Time::ZERO, 'e');
        let order: String = core::iter::from_fn(|| queue.pop())
            .map(|(_, e)| e)
            .collect();
        assert_eq!(order, "edabc");
    }

    #[test]
    fn unwanted_timers_are_dropped_from_their_lanes() {
        let mut queue = Queue::default();
        for n in 0..100 {
            queue.push_lane(Duration::from_millis(5), n);
        }
        queue.retain_lanes(|n| n % 10 == 3);
        let left: Vec<i32> = core::iter::from_fn(|| queue.pop())
            .map(|(_, e)| e)
            .collect();
        assert_eq!(left, [3, 13, 23, 33, 43, 53, 63, 73, 83, 93]);
    }

    proptest! {
        #[test]
        fn events_come_in_the_order_of_time_and_insertion(
            steps in prop::collection::vec((any::<bool>(), 0_u64..20, 0_u8..3), 1..300)
        ) {
            let mut queue = Queue::default();
            let mut reference: Vec<(Time, usize)> = Vec::new();
            let mut now = Time::ZERO;
            for (number, (lane, after, pops)) in steps.into_iter().enumerate() {
                let after = Duration::from_millis(after);
                if lane {
                    queue.push_lane(after, number);
                } else {
                    queue.push(now + after, number);
                }
                reference.push((now + after, number));
                for _ in 0..pops {
                    let Some(first) = reference.iter().min().copied() else { break };
                    reference.retain(|e| *e != first);
                    prop_assert_eq!(queue.pop(), Some(first));
                    now = first.0;
                }
            }
        }
    }
}
