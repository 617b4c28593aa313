//! A node driven by a script on virtual time.

mod answers;
mod balancers;
mod bodies;
mod connections;
mod controls;
mod conversations;
mod cors;
mod exchanges;
mod gates;
mod heads;
mod health;
mod hedges;
mod limits;
mod logs;
mod retries;
mod rig;
mod sessions;
mod sticky;
mod timeouts;
mod traces;
mod updates;
mod upgrades;
