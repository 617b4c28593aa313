//! What theory says of heavy load, where estimates vary so much that runs last minutes.
//!
//! Not part of a plain `cargo test`; run it as `cargo test --release -p sim --test theory_long`.

mod balancing;
#[path = "../theory/kit/mod.rs"]
mod kit;
mod stations;
mod tandem;
