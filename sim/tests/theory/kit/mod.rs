//! What every comparison with theory needs: flights of known traffic, intervals, and the closed forms of the simplest queues.

pub(crate) mod flights;
pub(crate) mod interval;
pub(crate) mod queues;
pub(crate) mod stations;

/// Most of a value that half an interval may be, below heavy load.
pub(crate) const NARROW: f64 = 0.02;
