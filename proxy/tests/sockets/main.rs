//! Proxies on real sockets.

mod harness;
mod heads;
mod intercept;
mod logs;
mod manifests;
mod operators;
mod robust;
mod serve;
mod upgrades;
