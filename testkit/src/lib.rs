//! What tests and benches of several crates share; never shipped.

pub mod flights;
