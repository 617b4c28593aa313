//! The simulator beside closed forms of queueing theory: whatever has an exact answer must come out so.
//!
//! Runs are as long as the variance of their estimates asks for, and no longer; what needs minutes is in `theory_long`.

mod admission;
mod closed;
mod kit;
mod loss;
mod networks;
mod retries;
mod single;
