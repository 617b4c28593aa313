//! Scenarios on virtual time: a deterministic discrete-event simulation that drives the proxy core and the application model.
//!
//! - [`flight`]: what is flown.
//! - [`queue`]: the event queue with its timer lanes.
//!
//! This crate decides nothing about a request: which endpoint, whether to retry, what status is the core's and the application model's.
//! It opens no sockets and reads no files.

pub mod flight;
pub mod queue;
