//! A node driven by a script on virtual time.

mod connections;
mod health;
mod limits;
mod retries;
mod rig;
mod timeouts;
