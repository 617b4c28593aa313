//! The way back: a node's configuration as the bootstrap of an Envoy that decides as the node does.
//!
//! What [`read`](super::read()) makes of a bootstrap is written as one that it reads the same way. What Envoy cannot say is told as a
//! [`Departure`], in words and with its place; nothing is dropped without one. Files are those of Envoy 1.40.

mod actions;
mod balance;
mod chains;
mod clusters;
mod cx;
mod datagrams;
mod doors;
mod edits;
mod endpoints;
mod filters;
mod heads;
mod listeners;
mod logs;
mod manager;
mod matching;
mod message;
mod retries;
mod rewrites;
mod routes;
mod tls;
mod upgrades;
mod upstream;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::there_and_back;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use proxy_core::config::{Caller, ChainAction, Name, NodeConfig, SectionDraft};
use proxy_core::node::Arrival;
use proxy_core::origin::OriginId;
use serde_json::{Value, json};

use super::endpoints::Unresolved;
use super::tls::Certificates;
use cx::Cx;
use message::Message;

const CONNECTIONS: &str =
    "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig";

/// What a bootstrap has that the node's configuration does not say.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Where the admin interface listens; none: nowhere.
    pub admin: Option<SocketAddr>,
    /// `region/zone/subzone` of the node.
    pub locality: Name,
    /// Certificates and who is trusted, by the names that the configuration's transports have. One that is missing is a departure.
    pub certificates: Vec<Certificates>,
    /// Whether inline private keys are written; else they are `[redacted]`.
    pub shows_keys: bool,
    /// Endpoints by name, which Envoy resolves itself.
    pub unresolved: Vec<Unresolved>,
    /// Where connections arrive.
    pub sockets: Sockets,
    /// Where endpoints are dialled that are not to be dialled at their own addresses. Hashes go by their own.
    pub endpoints: BTreeMap<SocketAddr, SocketAddr>,
    /// What is written down of what happens; none: nothing.
    pub logs: Option<Logs>,
}

/// Files that Envoy puts lines of JSON in, as things happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Logs {
    /// Requests, once they are over. They have ids then.
    pub requests: Box<str>,
    /// Tries of requests, once they are over; they have the request's id, and no number.
    pub tries: Box<str>,
    /// Endpoints that are ejected and return.
    pub ejections: Box<str>,
}

/// Where the connections of a node arrive.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Sockets {
    /// At the addresses of its listeners. What is intercepted is redirected to the ports 15001 (outgoing) and 15006 (arriving), as in Istio.
    #[default]
    Own,
    /// At these alone.
    Doors(Vec<Door>),
}

/// A socket, and what its connections are taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Door {
    /// Where it listens.
    pub address: SocketAddr,
    /// Which way they come.
    pub arrival: Arrival,
    /// The address that they were meant for; none: each begins with a PROXY header that says so.
    pub meant: Option<SocketAddr>,
}

/// An Envoy that decides as the node does.
#[derive(Clone, PartialEq, Debug)]
pub struct Likeness {
    /// Its bootstrap, in protobuf's JSON.
    pub bootstrap: Value,
    /// Where it decides otherwise.
    pub departures: Vec<Departure>,
    /// What the node's clusters are called there: by section, in their order. One that dials what connections are meant for has a further
    /// one for each door: `<name> at <address>`.
    pub clusters: Vec<Vec<Name>>,
}

/// Something that Envoy does otherwise than the node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Departure {
    /// Where in the configuration: ``cluster `a` ``.
    pub place: String,
    /// The rule that is not kept to.
    pub origin: OriginId,
    /// What is otherwise.
    pub what: String,
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.place {
            "" => f.write_str(&self.what),
            place => write!(f, "{place}: {}", self.what),
        }
    }
}

/// Writes the bootstrap of an Envoy that decides as a node of this configuration does.
#[must_use]
pub fn write(config: &NodeConfig, written: &Written) -> Likeness {
    let empty = SectionDraft::default().build();
    let empty = empty.expect("a section without anything has no faults");
    let mut cx = Cx::new(config, written, &empty);
    let local = balance::Local::of(config, &cx.names);
    let mut all = clusters::all(config, local.as_ref(), &mut cx);
    let listeners = listeners::all(config, &mut cx);
    all.extend(clusters::fixed(config, local.as_ref(), &mut cx));
    let mut resources = Message::default();
    resources.list("listeners", listeners);
    resources.list("clusters", all);
    let mut bootstrap = Message::default();
    bootstrap.within("node", identity(config, written));
    if let Some(admin) = written.admin {
        bootstrap.set("admin", json!({"address": message::socket(admin)}));
    }
    let mut manager = Message::default();
    manager.maybe(
        "local_cluster_name",
        local.map(|local| local.name.to_string()),
    );
    if let Some(logs) = &written.logs {
        let events = json!({"event_log_path": &*logs.ejections});
        manager.set("outlier_detection", events);
    }
    bootstrap.within("cluster_manager", manager);
    if let Some(most) = cx.process_limit {
        let mut monitor = Message::any(CONNECTIONS);
        monitor.set("max_active_downstream_connections", most);
        let name = "envoy.resource_monitors.global_downstream_max_connections";
        let monitors = json!({"resource_monitors": [message::extension(name, monitor)]});
        bootstrap.set("overload_manager", monitors);
    }
    if !cx.connection_limits.is_empty() {
        let mut keys = Message::default();
        for (listener, most) in &cx.connection_limits {
            keys.set(
                &format!("envoy.resource_limits.listener.{listener}.connection_limit"),
                *most,
            );
        }
        let layer = json!({"name": "limits", "static_layer": Value::from(keys)});
        bootstrap.set("layered_runtime", json!({"layers": [layer]}));
    }
    bootstrap.set("static_resources", resources);
    Likeness {
        bootstrap: bootstrap.into(),
        departures: cx.departures,
        clusters: cx.names,
    }
}

/// Who the node says it is.
fn identity(config: &NodeConfig, written: &Written) -> Message {
    let caller = caller(config);
    let mut identity = Message::default();
    match caller {
        Some(caller) => {
            identity.text("id", &caller.node);
            identity.text("cluster", &caller.cluster);
        }
        // a file without an id is read under this name
        None if &*config.name == "envoy" => {}
        None => identity.text("id", &config.name),
    }
    identity.maybe("locality", message::locality(&written.locality));
    identity
}

/// Who requests to upstreams are said to come from.
fn caller(config: &NodeConfig) -> Option<&Caller> {
    let sections = config.sections.iter();
    let chains = sections
        .flat_map(|section| section.listeners())
        .flat_map(|listener| &listener.chains);
    let mut rules = chains.filter_map(|chain| match &chain.action {
        ChainAction::Http(http) => http.heads.as_deref()?.caller.as_ref(),
        ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => None,
    });
    rules.next()
}
