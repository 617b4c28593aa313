//! What people write: text in, spanned objects out, and what they mean for proxies.
//!
//! - [`text`]: one YAML reader for manifests and scenario files; every key and value knows its place.
//! - [`diagnostics`]: every problem of a run, each with a stable code and a label on the exact text.
//!
//! This crate opens no sockets and knows nothing of time or load. It reads files only where asked to load them.

pub mod diagnostics;
pub mod text;
