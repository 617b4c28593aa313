//! What measurements of a whole node share: a sidecar with the least driver that it needs, and an allocator that counts.

pub mod counting;
pub mod datagrams;
pub mod sidecar;
