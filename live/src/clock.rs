//! Time of a run: nanoseconds since its start, and timers that are fine enough for service times of a millisecond.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::time::{Duration as Span, Instant, SystemTime};

use proxy_core::time::Time;
use tokio_timerfd::Delay;

use crate::envoy::{Epoch, Moment};

/// Now.
#[expect(
    clippy::disallowed_methods,
    reason = "this is a driver that has a real clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The clock of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) const fn new(start: Instant) -> Self {
        Self { start }
    }

    pub(crate) const fn start(self) -> Instant {
        self.start
    }

    /// The moment of the start, as the clock on the wall has it now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is a driver that has a real clock"
    )]
    pub(crate) fn epoch(self) -> Epoch {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let wall = wall.unwrap_or_default().as_nanos();
        let nanos = wall.saturating_sub(u128::from(self.now().as_nanos()));
        Epoch(Moment(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Zero before the start.
    pub(crate) fn now(self) -> Time {
        let nanos = now().saturating_duration_since(self.start).as_nanos();
        Time::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What is to happen when, first what was set first.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    heap: BinaryHeap<Reverse<(Time, u64, Slot<T>)>>,
    set: u64,
}

/// Never compared: the number before it always differs.
#[derive(Debug)]
struct Slot<T>(T);

impl<T> PartialEq for Slot<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Slot<T> {}

impl<T> PartialOrd for Slot<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Slot<T> {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            set: 0,
        }
    }
}

impl<T> Agenda<T> {
    /// Whether it is now the first.
    pub(crate) fn add(&mut self, at: Time, what: T) -> bool {
        let first = self.next().is_none_or(|next| at < next);
        self.set += 1;
        self.heap.push(Reverse((at, self.set, Slot(what))));
        first
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(crate) fn due(&mut self, now: Time) -> Option<T> {
        self.next().filter(|next| *next <= now)?;
        self.heap.pop().map(|Reverse((_, _, Slot(what)))| what)
    }
}

/// Waits to within microseconds, where the runtime's own timers have milliseconds.
pub(crate) struct Alarm {
    delay: Delay,
    clock: Clock,
}

impl Alarm {
    pub(crate) fn new(clock: Clock) -> io::Result<Self> {
        Ok(Self {
            delay: Delay::new(now())?,
            clock,
        })
    }

    /// Done at this moment.
    pub(crate) async fn until(&mut self, at: Time) -> io::Result<()> {
        self.delay
            .reset(self.clock.start + Span::from_nanos(at.as_nanos()));
        (&mut self.delay).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_in_the_order_of_time_and_then_of_their_setting() {
        let at = Time::from_nanos;
        let mut agenda = Agenda::default();
        assert!(agenda.add(at(5), 'b'));
        assert!(!agenda.add(at(5), 'c'));
        assert!(agenda.add(at(1), 'a'));
        assert_eq!(agenda.due(at(0)), None);
        let all: Vec<char> = std::iter::from_fn(|| agenda.due(at(9))).collect();
        assert_eq!(all, ['a', 'b', 'c']);
    }
}
