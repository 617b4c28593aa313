//! Load balancing: which priority, which locality, which endpoint.
//!
//! [`selector::Selector`] goes the whole way in Envoy's order: [`priority`] (and panic), locality or [`zone_aware`],
//! and a picker over the candidates that remain. It belongs to one worker and is rebuilt whenever membership, health or
//! weights change; what workers share it reads through [`Hosts`].

pub mod bounded_load;
pub mod edf;
mod group;
pub mod kong;
pub mod least_request;
pub mod maglev;
pub mod nginx;
pub mod peak_ewma;
pub mod priority;
pub mod random;
pub mod ring_hash;
pub mod round_robin;
pub mod selector;
pub mod slow_start;
pub mod traefik;
pub mod weights;
pub mod zone_aware;

pub(crate) use group::KONG_DECAY;

/// What a balancer may ask about its candidates, which are numbered from 0 in a fixed order.
pub trait Hosts {
    /// How many candidates there are.
    fn count(&self) -> usize;

    /// Configured weight, at least 1.
    fn weight(&self, i: usize) -> u32;

    /// Requests that this process has under way to the candidate.
    fn active(&self, i: usize) -> u64;

    /// What consistent hashing hashes: address and port, or the host name.
    fn key(&self, i: usize) -> &str;

    /// The share of its weight that slow start lets a candidate have, in (0, 1].
    fn slow_start(&self, _i: usize) -> f64 {
        1.0
    }

    /// Whether any candidate is in slow start, so that equal weights need not be equal.
    fn any_in_slow_start(&self) -> bool {
        false
    }

    /// Estimated response time as it stands now: in seconds, see [`peak_ewma::PeakEwma::estimate`], or in milliseconds, see
    /// [`traefik::LatestTimes::mean`].
    fn latency(&self, _i: usize) -> f64 {
        0.0
    }

    /// Whether the candidate may be picked at all. Asked only by balancers of Kong and Traefik that keep their order
    /// while targets come and go; the others are given available candidates alone.
    fn is_available(&self, _i: usize) -> bool {
        true
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Candidates as plain lists.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct List {
        pub(crate) weights: Vec<u32>,
        pub(crate) active: Vec<u64>,
        pub(crate) keys: Vec<String>,
        pub(crate) slow_start: Vec<f64>,
        pub(crate) latency: Vec<f64>,
        pub(crate) unavailable: Vec<usize>,
    }

    impl List {
        pub(crate) fn of(weights: &[u32]) -> Self {
            Self {
                weights: weights.to_vec(),
                active: vec![0; weights.len()],
                keys: (0..weights.len())
                    .map(|i| format!("10.0.{}.{}:80", i / 256, i % 256))
                    .collect(),
                ..Self::default()
            }
        }

        pub(crate) fn equal(count: usize) -> Self {
            Self::of(&vec![1; count])
        }
    }

    impl Hosts for List {
        fn count(&self) -> usize {
            self.weights.len()
        }

        fn weight(&self, i: usize) -> u32 {
            self.weights[i]
        }

        fn active(&self, i: usize) -> u64 {
            self.active[i]
        }

        fn key(&self, i: usize) -> &str {
            &self.keys[i]
        }

        fn slow_start(&self, i: usize) -> f64 {
            self.slow_start.get(i).copied().unwrap_or(1.0)
        }

        fn any_in_slow_start(&self) -> bool {
            !self.slow_start.is_empty()
        }

        fn latency(&self, i: usize) -> f64 {
            self.latency.get(i).copied().unwrap_or(0.0)
        }

        fn is_available(&self, i: usize) -> bool {
            !self.unavailable.contains(&i)
        }
    }
}
