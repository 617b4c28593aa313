//! The way there and back.

mod departures;
mod dice;
mod generated;
mod listeners;
mod portrait;
mod there_and_back;

pub(in crate::envoy) use there_and_back::there_and_back;
