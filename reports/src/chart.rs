//! Pictures of results, as SVG text.
//!
//! Drawn by plotters' SVG backend with coordinates of our own, so that no font of the host is measured and every strip
//! has its time axis at the same place. Colours are those of [`Ink`]; a page maps each to its own for dark screens.

pub mod graph;
mod ink;
mod labels;
mod pen;
mod scale;
pub mod spark;
pub mod strips;
mod time;
pub mod waterfall;

pub use ink::Ink;
