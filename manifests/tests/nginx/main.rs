//! Ingresses of ingress-nginx, whole.

mod real;
mod rig;
mod shop;
