//! What does an event cost in the simulator's queue?
//!
//! The hold model: with so many events waiting, one is taken and another put in. Events go to the heap (any moment), to the
//! lanes (timers of a few lengths), or to both in the share that a simulated request has: one of the heap to two timers.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use proxy_core::draw::{DrawKey, Purpose};
use proxy_core::time::{Duration, Time};
use sim::queue::Queue;

/// Lengths of timers, as timeouts have them.
const LENGTHS: [u64; 4] = [100, 400, 1_000, 5_000];
/// Mean of what goes to the heap, in milliseconds.
const MEAN: u64 = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Heap,
    Lanes,
    Both,
}

/// Something of the size that events of a simulation have.
type Event = [u64; 3];

struct Hold {
    queue: Queue<Event>,
    kept: Kept,
    number: u64,
}

impl Hold {
    fn new(kept: Kept, waiting: u64) -> Self {
        let mut hold = Self {
            queue: Queue::default(),
            kept,
            number: 0,
        };
        (0..waiting).for_each(|_| hold.put());
        // past the first round, in which all timers of a length are due at once
        (0..4 * waiting).for_each(|_| {
            hold.turn();
        });
        hold
    }

    fn put(&mut self) {
        self.number += 1;
        let event = [self.number; 3];
        let in_heap = match self.kept {
            Kept::Heap => true,
            Kept::Lanes => false,
            Kept::Both => self.number.is_multiple_of(3),
        };
        if in_heap {
            let spread = 2 * MEAN * 1_000_000;
            let key = DrawKey::root(self.number);
            let after = Duration::from_nanos(key.below(Purpose::ServiceTime, 0, spread));
            self.queue.push(self.queue.now() + after, event);
        } else {
            let length = LENGTHS[(self.number % LENGTHS.len() as u64) as usize];
            self.queue.push_lane(Duration::from_millis(length), event);
        }
    }

    fn turn(&mut self) -> Option<(Time, Event)> {
        let taken = self.queue.pop();
        self.put();
        taken
    }
}

fn hold(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    group.throughput(Throughput::Elements(1));
    for (kept, name) in [
        (Kept::Heap, "heap"),
        (Kept::Lanes, "lanes"),
        (Kept::Both, "both"),
    ] {
        for waiting in [100, 10_000, 1_000_000] {
            let mut hold = Hold::new(kept, waiting);
            group.bench_function(BenchmarkId::new(name, waiting), |bencher| {
                bencher.iter(|| hold.turn());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, hold);
criterion_main!(benches);
