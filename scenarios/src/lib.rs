//! The scenario format, its validation, the plan both worlds execute, and the application model.
//!
//! - [`mod@format`]: what a scenario file may say, with its JSON Schema in [`schema`].
//! - [`read`]: from text to one flight: overrides, variants, and what was assumed ([`assumptions`]).
//! - [`open`]: from a path to a scenario file; [`mod@assemble`]: from there to a plan and the models it is flown over.
//! - [`plan`]: a flight compiled to flat tables; [`arrivals`] says when its requests come.
//! - [`usage`]: what a plan knows of the use of manifests, for lints.
//! - [`app`]: what a service does with a request, and [`client`] what those who ask do, without I/O.
//!
//! This crate runs nothing: it has no clock, no event queue and no sockets, and reads files only through [`read::Files`], [`open`] and [`manifests::load`].

pub mod app;
pub mod arrivals;
pub mod assemble;
pub mod assumptions;
pub mod client;
pub mod distribution;
pub mod format;
pub mod open;
pub mod plan;
pub mod read;
pub mod schema;
pub mod usage;
mod variants;
