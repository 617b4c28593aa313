//! The event queue: a heap for moments of any kind, and a FIFO lane for each length that many timers share.
//!
//! Events of one moment happen in the order in which they were put in, whichever way they were kept.
//!
//! Nearly all timers are of what ended long before they are due. A lane forgets them from its front as others join
//! ([`Queue::forget`]), so that it holds about as many as may yet be wanted, and most never come up.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use proxy_core::time::{Duration, Time};
use rustc_hash::FxHashMap;

/// How many events come between two looks at a lane's front.
const BATCH: usize = 16;

/// Events by time, then by insertion.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Entry<E>>,
    /// What happens now, after what is going on.
    now: VecDeque<(u64, E)>,
    lanes: Vec<Waiting<E>>,
    by_length: FxHashMap<Duration, u32>,
    /// First of every lane that is not empty, or one that came before it and was forgotten since: that is seen when it comes up.
    heads: BinaryHeap<Entry<u32>>,
    /// Nothing in the heap and the lanes is due before.
    due: Time,
    number: u64,
    at: Time,
}

/// What a lane holds.
#[derive(Clone, Debug)]
struct Waiting<E> {
    events: VecDeque<(Time, u64, E)>,
    /// Whether it stands among the heads.
    has_head: bool,
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

impl<E> Entry<E> {
    /// Time, then insertion, as one number: heaps compare without branches, which nobody could foresee.
    #[inline(always)]
    const fn rank(&self) -> u128 {
        (self.at.as_nanos() as u128) << 64 | self.number as u128
    }
}

/// The earliest is the greatest, as the heap of the standard library wants it.
impl<E> Ord for Entry<E> {
    #[inline(always)]
    fn cmp(&self, other: &Self) -> Ordering {
        other.rank().cmp(&self.rank())
    }
}

impl<E> PartialOrd for Entry<E> {
    #[inline(always)]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    // what the heap asks, in two instructions each

    #[inline(always)]
    fn lt(&self, other: &Self) -> bool {
        other.rank() < self.rank()
    }

    #[inline(always)]
    fn le(&self, other: &Self) -> bool {
        other.rank() <= self.rank()
    }

    #[inline(always)]
    fn gt(&self, other: &Self) -> bool {
        other.rank() > self.rank()
    }

    #[inline(always)]
    fn ge(&self, other: &Self) -> bool {
        other.rank() >= self.rank()
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
                self.lanes.push(Waiting {
                    events: VecDeque::new(),
                    has_head: false,
                });
                self.by_length.insert(length, number);
                number
            }
        };
        Lane { number, length }
    }

    /// Puts an event in; one that lies in the past happens now.
    pub fn push(&mut self, at: Time, event: E) {
        if at <= self.at {
            self.push_now(event);
            return;
        }
        let number = self.number;
        self.number += 1;
        self.due = self.due.min(at);
        self.heap.push(Entry { at, number, event });
    }

    /// Puts in an event that happens now, after all others that do so already.
    #[inline]
    pub fn push_now(&mut self, event: E) {
        self.now.push_back((self.number, event));
        self.number += 1;
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
        let waiting = &mut self.lanes[lane.number as usize];
        waiting.events.push_back((at, number, event));
        if !waiting.has_head {
            waiting.has_head = true;
            self.due = self.due.min(at);
            self.heads.push(Entry {
                at,
                number,
                event: lane.number,
            });
        }
    }

    /// Once for every sixteen events that a lane has, drops its first that are not wanted any more, twice as many at most: who
    /// calls this for each that is put in keeps the lane short at a bounded cost.
    #[inline]
    pub fn forget(&mut self, lane: Lane, wanted: impl FnMut(&E) -> bool) {
        let events = &self.lanes[lane.number as usize].events;
        if events.len().is_multiple_of(BATCH) {
            self.forget_batch(lane, wanted);
        }
    }

    #[inline(never)]
    fn forget_batch(&mut self, lane: Lane, mut wanted: impl FnMut(&E) -> bool) {
        let events = &mut self.lanes[lane.number as usize].events;
        for _ in 0..2 * BATCH {
            match events.front() {
                Some((_, _, event)) if !wanted(event) => events.pop_front(),
                Some(_) | None => return,
            };
        }
    }

    /// Whether what is put in for now would be the next event.
    #[must_use]
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.now.is_empty() && self.due > self.at
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
        const NEVER: u128 = u128::MAX;
        loop {
            let heap = self.heap.peek().map_or(NEVER, Entry::rank);
            let lane = self.heads.peek().map_or(NEVER, Entry::rank);
            if let Some(&(number, _)) = self.now.front() {
                let now = Entry {
                    at: self.at,
                    number,
                    event: (),
                };
                let now = now.rank();
                if now < heap && now < lane {
                    let (_, event) = self.now.pop_front()?;
                    return Some((self.at, event));
                }
            }
            if heap < lane {
                let entry = self.heap.pop()?;
                self.at = entry.at;
                self.due = self.earliest();
                return Some((entry.at, entry.event));
            }
            if self.heads.is_empty() {
                return None;
            }
            if let Some(popped) = self.pop_lane() {
                return Some(popped);
            }
        }
    }

    #[inline]
    fn earliest(&self) -> Time {
        let heap = self.heap.peek().map_or(Time::MAX, |head| head.at);
        let lane = self.heads.peek().map_or(Time::MAX, |head| head.at);
        heap.min(lane)
    }

    /// Takes the first of the lane whose head is first; none: that had been forgotten, and the lane's place is found anew.
    fn pop_lane(&mut self) -> Option<(Time, E)> {
        let Entry {
            number,
            event: lane,
            ..
        } = *self.heads.peek()?;
        let waiting = &mut self.lanes[lane as usize];
        let is_first = |&mut (_, first, _): &mut (Time, u64, E)| first == number;
        let popped = waiting.events.pop_front_if(is_first);
        match waiting.events.front() {
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
                waiting.has_head = false;
                self.heads.pop();
            }
        }
        self.due = self.earliest();
        let (at, _, event) = popped?;
        self.at = at;
        Some((at, event))
    }

    /// How many events wait.
    #[must_use]
    pub fn len(&self) -> usize {
        let in_lanes: usize = self.lanes.iter().map(|lane| lane.events.len()).sum();
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
        for (lane, waiting) in self.lanes.iter_mut().enumerate() {
            waiting.events.retain(|(_, _, event)| wanted(event));
            waiting.has_head = !waiting.events.is_empty();
            if let Some(&(at, number, _)) = waiting.events.front() {
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

    #[test]
    fn a_lane_forgets_what_nobody_wants_without_disturbing_the_order() {
        let mut queue = Queue::default();
        let ms = Duration::from_millis;
        let lane = queue.lane(ms(5));
        for n in 0..BATCH as i32 {
            queue.push_in(lane, n - BATCH as i32 + 4);
        }
        queue.push(Time::ZERO + ms(5), 4);
        queue.forget(lane, |n| *n >= 3);
        assert_eq!(queue.len(), 2);
        queue.forget(lane, |_| false);
        assert_eq!(queue.len(), 2, "too few for a look at its front");
        queue.push_in(lane, 5);
        let left: Vec<i32> = core::iter::from_fn(|| queue.pop())
            .map(|(_, e)| e)
            .collect();
        assert_eq!(left, [3, 4, 5]);
    }

    proptest! {
        #[test]
        fn what_is_forgotten_never_changes_what_else_comes_and_when(
            steps in prop::collection::vec((0_u64..4, any::<bool>(), 0_u8..3), 1..300)
        ) {
            // odd numbers are never wanted: with and without forgetting, the even ones come alike
            let (mut short, mut long) = (Queue::default(), Queue::default());
            let next = |queue: &mut Queue<usize>| loop {
                match queue.pop() {
                    Some((_, number)) if number % 2 == 1 => {}
                    wanted => return wanted,
                }
            };
            for (number, (length, lane, pops)) in steps.into_iter().enumerate() {
                let after = Duration::from_millis(length);
                for queue in [&mut short, &mut long] {
                    if lane {
                        let lane = queue.lane(after);
                        queue.push_in(lane, number);
                    } else {
                        let at = queue.now() + after;
                        queue.push(at, number);
                    }
                }
                let lane = short.lane(after);
                short.forget(lane, |number| number % 2 == 0);
                for _ in 0..pops {
                    let (a, b) = (next(&mut short), next(&mut long));
                    prop_assert_eq!(a, b);
                    if a.is_none() {
                        // all that is left was unwanted: time may differ by that
                        return Ok(());
                    }
                }
            }
        }

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
