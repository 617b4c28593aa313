//! The discrete-event simulator: virtual time, pods, queues and a network around the real proxy core.
//!
//! It drives [`proxy_core::node::Node`] and the application model of [`scenarios::app`] exactly as a deployed proxy and a real service
//! would be driven, and decides nothing about a request itself: no endpoint, no retry, no status. Given the same [`Flight`] and seed it
//! leaves the same bytes on every host.
//!
//! - [`flight`]: what is flown, and how. Start with [`fly`].
//! - [`queue`]: events in the order of time, then of insertion.

pub mod flight;
mod heads;
pub mod queue;
mod setup;
mod slab;
mod world;

use proxy_core::event::Detail;
use reports::result::RunResult;

pub use flight::{Flight, Options};

/// Flies once under a seed.
///
/// What a run cannot know (expectations, what it rests on) is left empty for whoever read the scenario.
#[must_use]
pub fn fly(flight: &Flight, seed: u64, options: Options<'_>) -> RunResult {
    world::World::new(flight, seed, Detail::Statistics, options).run()
}
