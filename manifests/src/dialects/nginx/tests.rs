//! Ingresses in, what becomes of requests out.

mod canaries;
mod fields;
mod harness;
mod limits;
mod problems;
mod properties;
mod routing;
