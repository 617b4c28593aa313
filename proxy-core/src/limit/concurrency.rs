//! Envoy's `circuit_breakers`: caps on what a process has under way to one cluster at one routing priority.
//!
//! There is no open, half-open or closed: the question is always only whether one more fits now.
//!
//! Source: Envoy v3 `config/cluster/v3/circuit_breaker.proto`, `docs/…/upstream/circuit_breaking.rst`,
//! `source/common/upstream/resource_manager_impl.h`.

use crate::words::Words;

/// What a cluster's limits count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[repr(u8)]
pub enum Resource {
    /// Connections to the cluster's endpoints, open or being opened.
    Connections,
    /// Requests that wait for a connection.
    PendingRequests,
    /// Attempts dispatched on a connection and not yet ended.
    Requests,
    /// Retries decided upon, from the decision through backoff to the next decision or the exchange's end.
    Retries,
    /// Connection pools: one per endpoint, protocol and set of socket options.
    ConnectionPools,
}

impl Resource {
    /// Every resource, in the order of its words.
    pub const ALL: [Self; 5] = [
        Self::Connections,
        Self::PendingRequests,
        Self::Requests,
        Self::Retries,
        Self::ConnectionPools,
    ];
}

/// The most of each resource that may be under way. `u64::MAX` is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// Default 1024. Beyond it no connection is opened and requests become pending.
    pub max_connections: u64,
    /// Default 1024. Beyond it a request is refused: 503, flag UO.
    pub max_pending_requests: u64,
    /// Default 1024. Beyond it a request is refused: 503, flag UO.
    pub max_requests: u64,
    /// Default 3. Beyond it no retry happens and the response at hand is returned. A retry budget replaces this number.
    pub max_retries: u64,
    /// Default unlimited. Beyond it a request is refused: 503, flag UO.
    pub max_connection_pools: u64,
}

impl Thresholds {
    /// What Envoy applies to a priority that has no thresholds of its own.
    #[must_use]
    pub const fn envoy_v3() -> Self {
        Self {
            max_connections: 1024,
            max_pending_requests: 1024,
            max_requests: 1024,
            max_retries: 3,
            max_connection_pools: u64::MAX,
        }
    }

    /// No limit on anything.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self {
            max_connections: u64::MAX,
            max_pending_requests: u64::MAX,
            max_requests: u64::MAX,
            max_retries: u64::MAX,
            max_connection_pools: u64::MAX,
        }
    }

    /// The most of `resource` that may be under way.
    #[must_use]
    pub const fn max(&self, resource: Resource) -> u64 {
        match resource {
            Resource::Connections => self.max_connections,
            Resource::PendingRequests => self.max_pending_requests,
            Resource::Requests => self.max_requests,
            Resource::Retries => self.max_retries,
            Resource::ConnectionPools => self.max_connection_pools,
        }
    }
}

/// The counts of one cluster and routing priority.
///
/// Layout: word `resource as usize` is how much of it is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConcurrencyLimit {
    at: usize,
}

impl ConcurrencyLimit {
    /// Length of its block.
    pub const WORDS: usize = Resource::ALL.len();

    /// The limit whose block starts at `at`.
    #[must_use]
    pub const fn new(at: usize) -> Self {
        Self { at }
    }

    /// How much of `resource` is under way.
    pub fn active(self, words: &impl Words, resource: Resource) -> u64 {
        words.get(self.word(resource))
    }

    /// Takes one of `resource` if fewer than `max` are under way. `max` comes from [`Thresholds::max`] or, for
    /// retries, from a budget.
    ///
    /// Departs: the test and the increment are one step, so racing workers cannot overshoot; Envoy's can.
    #[must_use]
    pub fn try_take(self, words: &mut impl Words, resource: Resource, max: u64) -> bool {
        let take = |active: u64| if active < max { active + 1 } else { active };
        let (before, _) = words.update(self.word(resource), take);
        before < max
    }

    /// Takes one of `resource` whatever the limit: Envoy opens the first connection of a pool even above
    /// `max_connections`, so that its requests are not stranded.
    pub fn take(self, words: &mut impl Words, resource: Resource) {
        words.add(self.word(resource), 1);
    }

    /// Gives back one of `resource` that was taken.
    pub fn release(self, words: &mut impl Words, resource: Resource) {
        let taken = words.take_one(self.word(resource));
        debug_assert!(taken, "{resource:?} released more often than taken");
    }

    const fn word(self, resource: Resource) -> usize {
        self.at + resource as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_defaults_are_envoys() {
        let defaults = Thresholds::envoy_v3();
        let expected = [1024, 1024, 1024, 3, u64::MAX];
        assert_eq!(Resource::ALL.map(|r| defaults.max(r)), expected);
    }

    #[test]
    fn one_more_than_the_limit_is_refused_until_one_is_given_back() {
        let mut words = vec![0; 2 + ConcurrencyLimit::WORDS];
        let limit = ConcurrencyLimit::new(2);
        let taken: Vec<bool> = (0..4)
            .map(|_| limit.try_take(&mut words, Resource::Retries, 3))
            .collect();
        assert_eq!(taken, [true, true, true, false]);
        limit.release(&mut words, Resource::Retries);
        assert!(limit.try_take(&mut words, Resource::Retries, 3));
        assert_eq!(limit.active(&words, Resource::Requests), 0);
        assert_eq!(words[..2], [0, 0], "words before the block are not ours");
    }

    #[test]
    fn an_unconditional_take_counts_against_later_ones() {
        let mut words = vec![0; ConcurrencyLimit::WORDS];
        let limit = ConcurrencyLimit::new(0);
        limit.take(&mut words, Resource::Connections);
        assert!(!limit.try_take(&mut words, Resource::Connections, 0));
        assert!(!limit.try_take(&mut words, Resource::Connections, 1));
        assert!(limit.try_take(&mut words, Resource::Connections, 2));
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit_is_under_way(
            max in 0_u64..6, steps in prop::collection::vec(any::<bool>(), 0..200)
        ) {
            let mut words = vec![0; ConcurrencyLimit::WORDS];
            let limit = ConcurrencyLimit::new(0);
            let mut model = 0_u64;
            for take in steps {
                if take {
                    let taken = limit.try_take(&mut words, Resource::Requests, max);
                    prop_assert_eq!(taken, model < max);
                    model += u64::from(taken);
                } else if model > 0 {
                    limit.release(&mut words, Resource::Requests);
                    model -= 1;
                }
                prop_assert_eq!(limit.active(&words, Resource::Requests), model);
                prop_assert!(model <= max);
            }
        }
    }
}
