//! The sans-I/O gateway and sidecar: data in, decisions out, time as an argument.
//!
//! A [`node::Node`] is one proxy: listeners, routes, clusters, connection pools and the exchanges under way. Drivers
//! move bytes, keep time and hold secrets; whatever is decided about a connection or a request is decided here, so a
//! simulator and a deployed proxy that drive it decide alike. There are no sockets, clocks, threads, locks or ambient
//! randomness in this crate.
//!
//! Where to look: [`config`] is what a node is told, [`node`] the contract and the machine, [`route`] which route
//! takes a request; [`balance`], [`retry`], [`limit`] and their neighbours are the algorithms, each on its own.
#![deny(missing_docs)]

pub mod accrual;
pub mod balance;
pub mod breaker;
pub mod config;
pub mod draw;
pub mod event;
pub mod heads;
pub mod health;
pub mod ids;
pub mod limit;
pub mod log;
pub mod node;
pub mod origin;
pub mod outlier;
pub mod passive;
pub mod reply;
pub mod retry;
pub mod route;
pub mod sanitize;
pub mod shared;
pub mod time;
pub mod trace;
pub mod words;
