//! A node driven by a script on virtual time.

mod connections;
mod exchanges;
mod health;
mod limits;
mod retries;
mod rig;
mod timeouts;
mod updates;
