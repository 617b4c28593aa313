//! What people write: text in, spanned objects out, and what they mean for proxies.
//!
//! - [`text`]: one YAML reader for manifests and scenario files; every key and value knows its place.
//! - [`diagnostics`]: every problem of a run, each with a stable code and a label on the exact text.
//! - [`kubernetes`]: namespaces, workloads, Services and Ingress objects, with ids, addresses and names.
//! - [`load`]: files and folders in, Kubernetes objects out, in layers.
//! - [`dialects`]: one folder a system: its objects in, configuration of proxies out.
//! - [`gateway_api`]: which routes of the Gateway API reach which listeners, and why not; whoever serves them.
//! - [`envoy`]: a bootstrap file of Envoy in, the configuration of one proxy out; and back.
//! - [`lints`]: what is allowed in a compiled model and most likely not meant.
//! - [`findings`]: what several readings found, each thing once, as text, JSON, Markdown and SARIF.
//! - [`model`]: what was read, compiled per node.
//! - [`origins`]: where each policy value came from.
//!
//! This crate opens no sockets and knows nothing of time or load. It reads files only in [`load`].

pub mod diagnostics;
pub mod dialects;
pub mod envoy;
pub mod findings;
pub mod gateway_api;
mod ingress;
pub mod kubernetes;
pub mod lints;
pub mod load;
pub mod model;
pub mod origins;
pub mod text;
