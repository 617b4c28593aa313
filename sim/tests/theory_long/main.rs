//! What theory says of heavy load, where estimates vary so much that runs last minutes.
//!
//! Not part of a plain `cargo test`; run it as `cargo test --release -p sim --test theory_long`, with `-- --nocapture` to see each comparison.
//! Run lengths follow from the variance of the estimates, since half an interval shrinks with the root of the length: where one station is M/M/c
//! or shared, half is expected at four fifths of what is allowed, or less.

mod balancing;
#[path = "../theory/kit/mod.rs"]
mod kit;
mod stations;
mod tandem;

/// Most of a value that half an interval may be from a load of 0.95 on.
const HEAVY: f64 = 0.05;
