//! What tells the eight systems apart, one difference a test, each seen in what one request or one flight comes to.
//!
//! Every system has the manifests of `scenarios/eight-systems`: its own defaults, and nothing else unless a test lays something over them.

mod bounds;
mod limits;
mod rig;
mod routes;
mod tries;
