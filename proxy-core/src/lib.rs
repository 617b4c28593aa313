//! The sans-I/O gateway and sidecar: data in, decisions out, time as an argument.

pub mod draw;
pub mod limit;
pub mod retry;
pub mod time;
pub mod words;
