//! A node driven by a script on virtual time.

mod answers;
mod connections;
mod controls;
mod exchanges;
mod heads;
mod health;
mod hedges;
mod limits;
mod logs;
mod retries;
mod rig;
mod sessions;
mod timeouts;
mod updates;
mod upgrades;
