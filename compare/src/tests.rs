mod clusters;
mod connections;
mod properties;
pub(crate) mod rig;
mod routes;
mod tries;
