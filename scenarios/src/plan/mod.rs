//! What is executed: a scenario compiled to flat tables, the same for the simulator and for real services.

pub mod ids;
pub mod program;
