//! Proxies on real sockets.

mod datagrams;
mod harness;
mod heads;
mod intercept;
mod logs;
mod manifests;
mod robust;
mod serve;
mod upgrades;
