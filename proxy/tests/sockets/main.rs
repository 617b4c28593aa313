//! Proxies on real sockets.

mod datagrams;
mod gateway_api;
mod harness;
mod heads;
mod intercept;
mod logs;
mod manifests;
mod names;
mod operators;
mod preface;
mod robust;
mod serve;
mod upgrades;
