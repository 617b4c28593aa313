//! YAML (and so JSON) that knows where every key and value stands.
//!
//! ```
//! use manifests::diagnostics::Diagnostics;
//! use manifests::text::{self, Sources, Spanned};
//!
//! #[derive(serde::Deserialize)]
//! struct Port { port: Spanned<u16>, name: Option<String> }
//!
//! let mut sources = Sources::default();
//! let mut problems = Diagnostics::default();
//! let file = sources.add("ports.yaml", "port: 80\nnmae: web\n");
//! let documents = text::parse(&sources, file, &mut problems);
//! let port: Port = text::read(&documents[0], &mut problems).expect("only a key is unknown");
//! assert_eq!(sources.locate(port.port.span), "ports.yaml:1");
//! assert_eq!(*port.port, 80);
//! assert_eq!(problems.to_lines(&sources), "ports.yaml:2:1: error[field::unknown]: unknown field `nmae`: did you mean `name`?\n");
//! ```
//!
//! [`parse`] gives one [`Node`] per document; [`read`] turns a node into any plain serde type and reports *all* type errors and *all*
//! unknown keys. Useful as fields of such types: [`Spanned`] (value and place), [`Node`] (any subtree), [`Present`] (a field that is only
//! noticed) and [`ScalarOr`] (a short form beside a mapping). `flatten`, untagged and internally tagged enums lose places: avoid them.

mod de;
mod node;
mod parse;
mod read;
mod scalar;
mod source;
mod spanned;

#[cfg(test)]
mod tests;

pub use node::{Entry, Key, Map, Node, Value};
pub use parse::{MAX_ALIAS_NODES, MAX_DEPTH, MAX_TEXT, parse};
pub use read::{read, read_part};
pub use source::{Position, Source, SourceId, Sources, Span};
pub use spanned::{Present, ScalarOr, Spanned};
