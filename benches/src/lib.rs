//! What the benches share: a driven sidecar, an allocator that counts, the bare loop that the simulator is held against, and
//! the scenarios that both run.
//!
//! Nothing here is part of the product. Counted work (instructions, allocations) is quoted rather than wall time, which is
//! noise on a shared machine; ratios are medians of repetitions that take turns in one process.

pub mod bare;
pub mod chain;
#[path = "../../proxy-core/tests/support/mod.rs"]
pub mod support;
