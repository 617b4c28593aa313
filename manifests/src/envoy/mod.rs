//! An Envoy v3 bootstrap file, in YAML or JSON, as the configuration of one node; or what a running Envoy answers on `/config_dump`, with
//! `?include_eds` or without.
//!
//! `static_resources`, `admin` and `node` are read; fields stand in snake case or in the lower camel case of protobuf's JSON. What Envoy's
//! API does not know is an error; what it knows and is not modelled is a note that says what that means. Defaults are Envoy's own.
//!
//! Source: envoyproxy/data-plane-api (2026-01).

mod actions;
mod aggregates;
mod balance;
mod clusters;
mod compile;
mod connections;
mod datagrams;
mod dump;
mod edits;
mod endpoints;
mod filters;
mod heads;
mod intercepted;
mod listeners;
mod logs;
mod matching;
mod read;
mod retries;
mod routes;
mod tls;
mod tracing;
mod types;
mod upgrades;
mod upstream;
mod values;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::config::{Name, NodeConfig};

pub use endpoints::{LookupFamily, Resolution, Unresolved};
pub use tls::{Certificates, DataSource, KeyPair, Subject, SubjectKind, TlsVersion};
pub use write::{Departure, Door, Likeness, Logs, Sockets, Written, write};

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::origins::OriginText;
use crate::text::{self, Sources};

/// A static layer of the runtime.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuntimeLayer {
    /// Its name.
    pub name: Box<str>,
    /// Keys with their values as texts.
    pub entries: Vec<(String, String)>,
}

/// What a bootstrap file says.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// The node: one section with all listeners, route tables and clusters, in the order of the file.
    pub config: Arc<NodeConfig>,
    /// Where each value came from; the row's number is the [`OriginId`](proxy_core::origin::OriginId).
    pub origins: Vec<OriginText>,
    /// Where the admin interface listens.
    pub admin: Option<SocketAddr>,
    /// Certificates and who is trusted, by the names that `certificate` of the configuration's transports has.
    pub tls: Vec<Certificates>,
    /// Endpoints by name, which stand in no cluster until somebody resolves them.
    pub unresolved: Vec<Unresolved>,
    /// `region/zone/subzone` of the node, as far as the file says.
    pub locality: Name,
    /// Static layers of the runtime, in their order.
    pub runtime: Vec<RuntimeLayer>,
    /// What is not modelled, and what that means; by place.
    pub notices: Vec<Diagnostic>,
    /// The text that notices point into; inline keys are hidden.
    pub sources: Sources,
}

/// Why a bootstrap file is refused, with the text that the diagnostics point into.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Everything that was found, errors and notices.
    pub diagnostics: Diagnostics,
    /// The text; inline keys are hidden.
    pub sources: Sources,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostics.render(&self.sources))
    }
}

impl std::error::Error for Refused {}

/// Reads the bootstrap file, or the configuration dump, called `name`.
///
/// # Errors
/// When the text is no YAML, has fields that Envoy does not know, or says what Envoy would refuse.
pub fn read(name: &str, text: &str) -> Result<Bootstrap, Box<Refused>> {
    read_as(name, text, false)
}

/// The same of a node that stands beside an application: its listeners take what the pod sends, and what it is sent, by the address that each
/// connection was meant for.
///
/// # Errors
/// As [`read`].
pub fn read_sidecar(name: &str, text: &str) -> Result<Bootstrap, Box<Refused>> {
    read_as(name, text, true)
}

fn read_as(name: &str, text: &str, intercepts: bool) -> Result<Bootstrap, Box<Refused>> {
    let mut sources = Sources::default();
    let source = sources.add(name, text);
    let mut out = Diagnostics::default();
    let mut documents = text::parse(&sources, source, &mut out);
    if documents.len() > 1 {
        out.push(
            Diagnostic::error("envoy::documents", "a bootstrap file is one document")
                .label(documents[1].span, "the second"),
        );
    }
    let compiled = match documents.first_mut() {
        Some(document) => {
            sources.conceal(&tls::secrets(document));
            read::rename(document, &mut out);
            if dump::is_dump(document) {
                *document = dump::bootstrap(document, &mut out);
            }
            compile::bootstrap(document, intercepts, &mut out)
        }
        None => {
            if !out.has_errors() {
                out.push(Diagnostic::error("envoy::empty", "the file is empty"));
            }
            None
        }
    };
    let Some(compiled) = compiled.filter(|_| !out.has_errors()) else {
        return Err(Box::new(Refused {
            diagnostics: out,
            sources,
        }));
    };
    Ok(Bootstrap {
        config: Arc::new(compiled.config),
        origins: compiled.origins.rows(&sources).collect(),
        admin: compiled.admin,
        tls: compiled.tls,
        unresolved: compiled.unresolved,
        locality: compiled.locality,
        runtime: compiled.runtime,
        notices: out.sorted().into_iter().cloned().collect(),
        sources,
    })
}
