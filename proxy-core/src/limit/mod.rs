//! Limits: how much may be under way at once ([`concurrency`]), and how much may pass per time ([`token_bucket`],
//! [`gcra`], and by key [`leaky_bucket`], [`delaying_bucket`] and [`windows`]).
//!
//! All of them belong to a process: their numbers live in a block of [`Words`](crate::words::Words), and a value such
//! as [`ConcurrencyLimit`](concurrency::ConcurrencyLimit) only knows where its block is.

pub mod concurrency;
pub mod delaying_bucket;
pub mod gcra;
pub mod keyed;
pub mod leaky_bucket;
pub mod token_bucket;
pub mod windows;
