//! The common path of an exchange asks for no memory.

pub mod support;

use support::counting::{Counting, allocations};
use support::datagrams::front;
use support::sidecar::{SIDES, Sidecar, Tally};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Requests under way at a time, and so connections to endpoints.
const IN_FLIGHT: usize = 16;
/// Enough that every endpoint was picked and every list has its full length.
const WARM_UP: u64 = 20_000;
const MEASURED: u64 = 10_000;

/// What one exchange more asked for, and what the driver was told of it.
fn measure(sidecar: &mut Sidecar) -> (u64, Tally, Tally) {
    let (asked, before) = (allocations(), sidecar.tally());
    sidecar.exchange();
    (allocations() - asked, before, sidecar.tally())
}

#[test]
fn an_exchange_over_a_warm_connection_allocates_nothing() {
    for (side, name) in SIDES {
        let mut sidecar = Sidecar::new(side, IN_FLIGHT);
        (0..WARM_UP).for_each(|_| sidecar.exchange());
        let mut warm = 0;
        for number in 0..MEASURED {
            let (asked, before, after) = measure(&mut sidecar);
            assert_eq!(
                after.ended - before.ended,
                1,
                "{name}: one ends as one begins"
            );
            assert_eq!(
                after.forwarded - before.forwarded,
                1,
                "{name}: it was answered"
            );
            // more requests than ever at one endpoint open a connection, which may
            if after.opened == before.opened {
                warm += 1;
                assert_eq!(asked, 0, "{name}: allocations of exchange {number}");
            }
        }
        assert!(
            warm > MEASURED * 99 / 100,
            "{name}: only {warm} found a warm connection"
        );
    }
}

#[test]
fn the_first_exchange_does_allocate() {
    let mut sidecar = Sidecar::new(SIDES[0].0, 1);
    let before = allocations();
    sidecar.exchange();
    sidecar.settle();
    assert!(allocations() > before, "the count counts");
    assert_eq!(sidecar.tally().ended, 1);
}

#[test]
fn a_datagram_of_a_known_client_allocates_nothing() {
    for per_datagram in [false, true] {
        let mut front = front(per_datagram);
        for client in 1..=100 {
            (0..8).for_each(|_| front.datagram(client));
        }
        let before = allocations();
        for client in 1..=100 {
            front.datagram(client);
        }
        assert_eq!(allocations() - before, 0, "each on its own: {per_datagram}");
    }
}
