//! Gateways of some systems as Kong, Traefik, ingress-nginx and Envoy, from manifests to manifests.

mod bootstraps;
mod golden;
mod kong;
mod meshes;
mod nginx;
mod rig;
mod traefik;
