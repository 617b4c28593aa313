//! What does one whole exchange cost in the core, and does it ask for memory?
//!
//! A sidecar's node under load: a request comes in, finds its route, its endpoint and a warm connection, and is answered.
//! Allocations are counted first and printed; then criterion takes the time.

use criterion::{Criterion, Throughput};

use benches::support::counting::{Counting, allocations};
use benches::support::sidecar::{SIDES, Sidecar};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Requests under way at a time.
const IN_FLIGHT: usize = 16;
const WARM_UP: u64 = 20_000;
const COUNTED: u64 = 100_000;

#[expect(clippy::print_stdout, reason = "a bench prints what it measured")]
fn count() {
    for (side, name) in SIDES {
        let mut sidecar = Sidecar::new(side, IN_FLIGHT);
        (0..WARM_UP).for_each(|_| sidecar.exchange());
        let (before, told) = (allocations(), sidecar.tally());
        (0..COUNTED).for_each(|_| sidecar.exchange());
        let asked = allocations() - before;
        let actions = (sidecar.tally().actions - told.actions) as f64 / COUNTED as f64;
        println!("{name}: {asked} allocations in {COUNTED} exchanges, {actions:.1} actions each");
    }
}

fn time(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("exchange");
    group.throughput(Throughput::Elements(1));
    for (side, name) in SIDES {
        let mut sidecar = Sidecar::new(side, IN_FLIGHT);
        (0..WARM_UP).for_each(|_| sidecar.exchange());
        group.bench_function(name, |bencher| bencher.iter(|| sidecar.exchange()));
    }
    group.finish();
}

fn main() {
    count();
    let mut criterion = Criterion::default().configure_from_args();
    time(&mut criterion);
    criterion.final_summary();
}
