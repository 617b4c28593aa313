//! Proxies on real sockets.

mod harness;
mod heads;
mod intercept;
mod manifests;
mod robust;
mod serve;
