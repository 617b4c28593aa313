//! What bootstrap files mean.

mod clusters;
mod cors;
mod datagrams;
mod dump;
mod files;
mod harness;
mod heads;
mod intercepted;
mod listeners;
mod logs;
mod problems;
mod routes;
mod tls;
mod tracing;
mod upgrades;
