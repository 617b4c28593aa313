//! What theory says of heavy load, where estimates vary so much that runs last minutes.
//!
//! Not part of a plain `cargo test`; run it as `cargo test --release -p sim --test theory_long`.

mod balancing;
/// Most of a value that half an interval may be from a load of 0.95 on.
const HEAVY: f64 = 0.05;

#[path = "../theory/kit/mod.rs"]
mod kit;
mod stations;
mod tandem;
