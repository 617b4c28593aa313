//! What tests and benches of several crates share; never shipped, and needed by no crate but for its tests.
//!
//! Its own `tests/` hold what is true of the workspace as a whole: who depends on whom, that the shipped scenarios give the same bytes,
//! and that the documents name all there is.

pub mod flights;
