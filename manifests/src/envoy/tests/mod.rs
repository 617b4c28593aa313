//! What bootstrap files mean.

mod clusters;
mod datagrams;
mod files;
mod harness;
mod heads;
mod listeners;
mod logs;
mod problems;
mod routes;
mod tls;
mod tracing;
mod upgrades;
