//! The scenario format, its validation, the plan both worlds execute, and the application model.

pub mod app;
pub mod distribution;
pub mod plan;
