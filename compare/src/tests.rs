mod clusters;
mod connections;
mod filters;
mod properties;
pub(crate) mod rig;
mod routes;
mod telling;
mod tries;
