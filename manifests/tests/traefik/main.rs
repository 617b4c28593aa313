//! Traefik, from manifests to what its proxy does.

mod fields;
mod golden;
mod ingress;
mod install;
mod l4;
mod limits;
mod middlewares;
mod problems;
mod properties;
mod rig;
mod routing;
mod services;
