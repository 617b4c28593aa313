//! Proxies on real sockets.

mod gateway_api;
mod harness;
mod heads;
mod intercept;
mod logs;
mod manifests;
mod robust;
mod serve;
mod upgrades;
