//! Gateways and routes of the Gateway API, from manifests to what proxies do and what a controller would say.

mod mesh;
mod problems;
mod rig;
mod rules;
mod status;
mod systems;
mod tls;
mod traffic;
