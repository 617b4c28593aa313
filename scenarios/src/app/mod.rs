//! The application model: what a service does with its requests, without I/O, driven alike by the simulator and by real services.
//!
//! A [`Replica`] is one process. It takes arrivals, answers of its calls, timers and faults, and says what has to be done;
//! time is an argument, and every draw comes from the arriving request's key. Which handler takes a request, whom a call
//! goes to and what a request looks like is in the [`Program`](crate::plan::program::Program); how they travel is the driver's business.
//! [`tries`] is how a caller that is no proxy tries a call: a replica's handler, or the client of a load.

mod contract;
mod job;
pub(crate) mod outbox;
mod queue;
mod ready;
mod replica;
mod sharing;
pub(crate) mod slab;
pub mod tries;

pub use contract::{
    AppAction, AppInput, AppTimer, Arrival, Effect, JobId, NO_HANDLER_STATUS, Note, Phase,
    QUEUE_FULL_STATUS, TimerClass,
};
pub use replica::Replica;
pub use tries::{CallOutcome, Failure, TryId, TryKind};
