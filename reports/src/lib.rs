//! Results of a run, and everything that is made of them: verdicts, pages, files.
//!
//! This crate owns the [`recorder`] that a run fills, the [`result`] types it leaves, and what people read. It knows
//! nothing of how a run happened: whoever runs one names loads, edges, workloads, clusters, faults, changes and rules
//! once in a [`setup::Setup`] and speaks in dense ids from then on. It reads no file and writes none: texts come and go as
//! strings, and the same result gives the same text.

pub mod chart;
pub mod compare;
#[cfg(test)]
mod demo;
pub mod diff;
pub mod expect;
pub mod figures;
pub mod histogram;
pub mod html;
pub mod ids;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod outcome;
pub mod page;
pub mod pool;
pub mod recorder;
pub mod result;
pub mod setup;
pub mod stats;
pub mod story;
pub mod trace;
pub mod verdict;
pub mod waterfall;
pub mod words;
