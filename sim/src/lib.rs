//! The discrete-event simulator: virtual time, pods, queues and a network around the real proxy core.
//!
//! It drives [`proxy_core::node::Node`] and the application model of [`scenarios::app`] exactly as a deployed proxy and a real service
//! would be driven, and decides nothing about a request itself: no endpoint, no retry, no status. Given the same [`Flight`] and seed it
//! leaves the same bytes on every host: it has no clock, no files, no sockets, and no thread of its own that a result could hang on.
//!
//! - [`flight`]: what is flown, and how. Start with [`fly`].
//! - [`trace`]: one request in no time, with every decision on its way.
//! - [`facts`], [`setup`], [`policies`]: what is written down, under which names, for whoever flies the same scenario otherwise.
//! - [`queue`]: events in the order of time, then of insertion.

mod decisions;
pub mod facts;
pub mod flight;
mod heads;
pub mod policies;
pub mod queue;
mod rules;
pub mod setup;
mod slab;
pub mod trace;
mod world;

use proxy_core::event::Detail;
use reports::result::RunResult;
use reports::waterfall::Waterfall;

pub use flight::{Flight, Options};
pub use world::Pick;

/// What a flight leaves.
#[derive(Clone, Debug)]
pub struct Flown {
    /// What was measured. What a run cannot know (expectations, what it rests on, waterfalls) is left empty for whoever read the
    /// scenario.
    pub result: RunResult,
    /// Requests worth a closer look: a typical one, the slowest, one that failed; see [`waterfalls`].
    pub picks: Vec<Pick>,
}

/// Flies once under a seed.
#[must_use]
pub fn fly(flight: &Flight, seed: u64, options: Options<'_>) -> Flown {
    let world = world::World::new(flight, seed, Detail::Statistics, options);
    let (result, picks) = world.run();
    Flown { result, picks }
}

/// Flies again and watches only these requests of [`fly`] under the same seed.
#[must_use]
pub fn waterfalls(
    flight: &Flight,
    seed: u64,
    picks: &[Pick],
    options: Options<'_>,
) -> Vec<Waterfall> {
    if picks.is_empty() {
        return Vec::new();
    }
    let world = world::World::new(flight, seed, Detail::Decisions, options);
    world.watch(picks.to_vec())
}
