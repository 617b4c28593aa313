//! From the bootstrap message to a node's configuration.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use proxy_core::config::{Caller, ClusterIndex, Name, NodeConfig, NodeKind, SectionDraft, Share};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::endpoints::Unresolved;
use super::read::{self, Message, Typed};
use super::tls::{Certificates, Secrets};
use super::types::{self, Transport};
use super::values::{Length, Percent, Whole};
use super::{RuntimeLayer, clusters, listeners};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::origins::Origins;
use crate::text::{Node, Present, Span, Spanned, Value};

/// What came of a bootstrap file.
pub(super) struct Compiled {
    pub(super) config: NodeConfig,
    pub(super) origins: Origins,
    pub(super) admin: Option<SocketAddr>,
    pub(super) tls: Vec<Certificates>,
    pub(super) unresolved: Vec<Unresolved>,
    pub(super) locality: Name,
    pub(super) runtime: Vec<RuntimeLayer>,
}

/// What every part needs to compile.
pub(super) struct Cx<'a> {
    pub(super) origins: Origins,
    pub(super) out: &'a mut Diagnostics,
    /// `default of envoy`.
    pub(super) default: OriginId,
    pub(super) tls: Vec<Certificates>,
    pub(super) unresolved: Vec<Unresolved>,
    pub(super) secrets: Secrets,
    pub(super) clusters: BTreeMap<String, Known>,
    /// Bound on connections by listener, from the runtime's `envoy.resource_limits`.
    pub(super) connection_limits: BTreeMap<String, Sourced<u32>>,
    /// Bound on connections of the whole process.
    pub(super) process_limit: Option<Sourced<u64>>,
    /// What this node calls itself: its cluster and its id.
    pub(super) caller: Caller,
    /// Where this node says it is.
    pub(super) zone: String,
    /// Who gets the spans of connection managers that do not say it.
    pub(super) tracer: Option<Spanned<types::Extension>>,
    /// Numbers of the runtime's keys that have a say.
    pub(super) numbers: BTreeMap<&'static str, u32>,
    /// The cluster that this node and its peers are, for zone-aware routing.
    pub(super) local_cluster: Option<Spanned<String>>,
    /// Whether the node stands beside an application, whose connections are handed to it.
    pub(super) intercepts: bool,
}

/// A cluster that routes may name.
pub(super) struct Known {
    pub(super) index: ClusterIndex,
    span: Span,
}

impl Cx<'_> {
    pub(super) fn read<T: Message>(&mut self, node: &Node) -> Option<T> {
        read::message(node, self.out)
    }

    pub(super) fn read_maybe<T: Message>(&mut self, node: Option<&Node>) -> Option<T> {
        self.read(node?)
    }

    pub(super) fn typed(&mut self, node: &Node) -> Option<Typed> {
        read::typed(node, self.out)
    }

    /// What Envoy would refuse.
    pub(super) fn refuse(&mut self, span: Span, message: impl Into<String>) {
        self.out
            .push(Diagnostic::error("envoy::value", message).label(span, "this value"));
    }

    pub(super) fn left_out(&mut self, span: Span, what: &str, meaning: &str) {
        read::left_out(span, what, meaning, self.out);
    }

    /// Notes a field that is not modelled, if it is written.
    pub(super) fn note(&mut self, field: Option<Present>, name: &str, meaning: &str) {
        if let Some(field) = field {
            self.left_out(field.span, &format!("`{name}`"), meaning);
        }
    }

    pub(super) fn written(&mut self, span: Span) -> OriginId {
        self.origins.written(span)
    }

    pub(super) const fn default<T>(&self, value: T) -> Sourced<T> {
        Sourced::new(value, self.default)
    }

    /// A written length; zero is kept.
    pub(super) fn length(&mut self, written: Option<Spanned<Length>>) -> Option<Sourced<Duration>> {
        let written = written?;
        Some(self.origins.sourced(written.map(|length| length.0)))
    }

    /// A timer: zero turns it off; where nothing is written `default` holds.
    pub(super) fn timer(
        &mut self,
        written: Option<Spanned<Length>>,
        default: Option<Duration>,
    ) -> Option<Sourced<Duration>> {
        match self.length(written) {
            Some(length) => Some(length).filter(|length| !length.value.is_zero()),
            None => default.map(|default| self.default(default)),
        }
    }

    pub(super) fn count<T>(&mut self, written: Option<Spanned<Whole<T>>>) -> Option<Sourced<T>> {
        let written = written?;
        Some(self.origins.sourced(written.map(|number| number.0)))
    }

    /// Per cent from 0 to 100; one outside is an error.
    pub(super) fn share(&mut self, written: Spanned<Percent>) -> Share {
        let percent = written.value.value;
        if !(0.0..=100.0).contains(&percent) {
            self.refuse(written.span, "must be from 0 to 100 per cent");
        }
        Share::from_percent(percent.clamp(0.0, 100.0))
    }

    /// The number of a runtime key that has a say.
    pub(super) fn runtime(&self, key: &str, default: u32) -> u32 {
        self.numbers.get(key).copied().unwrap_or(default)
    }

    /// The cluster called `name`; one that does not exist is an error.
    pub(super) fn cluster(&mut self, name: &Spanned<String>) -> Option<ClusterIndex> {
        if let Some(known) = self.clusters.get(&name.value) {
            return Some(known.index);
        }
        let help = did_you_mean(name, self.clusters.keys().map(String::as_str));
        self.out.push(
            Diagnostic::error(
                "envoy::unknown-cluster",
                format!("there is no cluster `{name}`"),
            )
            .label(name.span, "not among `static_resources.clusters`")
            .maybe_help(help),
        );
        None
    }

    /// Takes a cluster's name for taken; a second of its name is an error.
    pub(super) fn declare(&mut self, name: &Spanned<String>, index: ClusterIndex) -> bool {
        if let Some(first) = self.clusters.get(&name.value) {
            self.out.push(
                Diagnostic::error(
                    "envoy::duplicate-cluster",
                    format!("two clusters are called `{name}`"),
                )
                .label(name.span, "the second")
                .label(first.span, "the first"),
            );
            return false;
        }
        let known = Known {
            index,
            span: name.span,
        };
        self.clusters.insert(name.value.clone(), known);
        true
    }

    /// A socket's address; anything else is an error, or a note where Envoy knows it.
    pub(super) fn address(&mut self, address: &Spanned<types::Address>) -> Option<HostPort> {
        let meaning = "there is no socket of it here: it is left out";
        self.note(address.pipe, "pipe", meaning);
        self.note(
            address.envoy_internal_address,
            "envoy_internal_address",
            meaning,
        );
        let Some(socket) = &address.socket_address else {
            if address.pipe.is_none() && address.envoy_internal_address.is_none() {
                self.refuse(
                    address.span,
                    "an address is a `socket_address`, with `address` and `port_value`",
                );
            }
            return None;
        };
        let meaning = "the address is dialled as the system does it";
        self.note(socket.resolver_name, "resolver_name", meaning);
        self.note(
            socket.network_namespace_filepath,
            "network_namespace_filepath",
            meaning,
        );
        self.note(
            socket.named_port,
            "named_port",
            "the address has no port: it is left out",
        );
        if socket.named_port.is_some() {
            return None;
        }
        let Some(port) = socket.port_value else {
            self.refuse(socket.span, "`port_value` is missing");
            return None;
        };
        Some(HostPort {
            host: socket.address.clone(),
            port: port.value.0,
            protocol: socket.protocol,
        })
    }

    /// An address of a socket for connections that must be literal.
    pub(super) fn literal(&mut self, address: &Spanned<types::Address>) -> Option<SocketAddr> {
        let (literal, protocol) = self.literal_of_any(address)?;
        if protocol == Transport::Udp {
            let left_out = "there is no socket of it here: it is left out";
            self.left_out(address.span, "UDP", left_out);
            return None;
        }
        Some(literal)
    }

    /// The same, whatever comes to the socket.
    pub(super) fn literal_of_any(
        &mut self,
        address: &Spanned<types::Address>,
    ) -> Option<(SocketAddr, Transport)> {
        let found = self.address(address)?;
        let literal = found.literal();
        if literal.is_none() {
            let message = format!(
                "`{}` is no IP address; Envoy resolves no names here",
                found.host
            );
            self.refuse(found.host.span, message);
        }
        Some((literal?, found.protocol))
    }
}

/// Where to connect, by address or name.
pub(super) struct HostPort {
    pub(super) host: Spanned<String>,
    pub(super) port: u16,
    /// Whether of datagrams, where that is of account.
    pub(super) protocol: Transport,
}

impl HostPort {
    pub(super) fn literal(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }
}

/// Compiles the bootstrap message; none when it is no mapping at all.
pub(super) fn bootstrap(node: &Node, intercepts: bool, out: &mut Diagnostics) -> Option<Compiled> {
    let mut origins = Origins::default();
    let default = origins.default_of("envoy");
    let mut cx = Cx {
        origins,
        out,
        default,
        tls: Vec::new(),
        unresolved: Vec::new(),
        secrets: Secrets::default(),
        clusters: BTreeMap::new(),
        connection_limits: BTreeMap::new(),
        process_limit: None,
        caller: Caller {
            cluster: "".into(),
            node: "".into(),
        },
        zone: String::new(),
        tracer: None,
        numbers: BTreeMap::new(),
        local_cluster: None,
        intercepts,
    };
    let written: types::Bootstrap = cx.read(node)?;
    let identity: Option<types::Identity> = cx.read_maybe(written.node.as_ref());
    let named = |name: fn(&types::Identity) -> &Option<String>| {
        let name = identity
            .as_ref()
            .and_then(|identity| name(identity).as_deref());
        Box::from(name.unwrap_or_default())
    };
    cx.caller = Caller {
        cluster: named(|identity| &identity.cluster),
        node: named(|identity| &identity.id),
    };
    let locality = identity.as_ref().and_then(|it| it.locality.as_ref());
    cx.zone = locality.map_or_else(String::new, |it| it.zone.clone());
    cx.tracer = written.tracing.and_then(|tracing| tracing.http);
    let admin = written.admin.as_ref();
    let admin: Option<types::Admin> = cx.read_maybe(admin);
    let admin = admin.and_then(|admin| cx.literal(admin.address.as_ref()?));
    let manager: Option<types::ClusterManager> = cx.read_maybe(written.cluster_manager.as_ref());
    cx.local_cluster = manager.and_then(|manager| manager.local_cluster_name);
    let layers = layers(written.layered_runtime.as_ref());
    runtime(written.layered_runtime.as_ref(), &mut cx);
    overload(written.overload_manager.as_ref(), &mut cx);
    let resources = written.static_resources.unwrap_or_default();
    for secret in &resources.secrets {
        Secrets::add(secret, &mut cx);
    }
    let mut draft = SectionDraft::default();
    clusters::all(&resources.clusters, &mut draft, &mut cx);
    for listener in &resources.listeners {
        listeners::listener(listener, &mut draft, &mut cx);
    }
    let section = match draft.build() {
        Ok(section) => section,
        Err(error) => {
            // What went wrong before may be what is missing now.
            if !cx.out.has_errors() {
                let message = error.to_string();
                cx.out
                    .push(Diagnostic::error("envoy::section", message).label(node.span, ""));
            }
            return None;
        }
    };
    let id = identity
        .as_ref()
        .and_then(|identity| identity.id.as_deref());
    let locality = identity
        .as_ref()
        .and_then(|identity| identity.locality.as_ref());
    Some(Compiled {
        config: NodeConfig {
            name: id.unwrap_or("envoy").into(),
            kind: match intercepts {
                true => NodeKind::Sidecar,
                false => NodeKind::Gateway,
            },
            sections: vec![Arc::new(section)],
        },
        runtime: layers,
        locality: locality.map_or_else(|| "".into(), super::endpoints::locality),
        origins: cx.origins,
        admin,
        tls: cx.tls,
        unresolved: cx.unresolved,
    })
}

/// What static layers say, for people to read.
fn layers(written: Option<&types::LayeredRuntime>) -> Vec<RuntimeLayer> {
    let layers = written.iter().flat_map(|runtime| &runtime.layers);
    let layers = layers.map(|layer| {
        let mut entries = Vec::new();
        if let Some(data) = &layer.static_layer {
            texts(data, "", &mut entries);
        }
        let name = layer.name.as_deref().unwrap_or_default();
        RuntimeLayer {
            name: name.into(),
            entries,
        }
    });
    layers.collect()
}

fn texts(node: &Node, path: &str, into: &mut Vec<(String, String)>) {
    for entry in node.as_map().map_or(&[][..], |map| map.entries()) {
        let key = match path {
            "" => entry.key.text.clone(),
            _ => format!("{path}.{}", entry.key.text),
        };
        match &entry.value.value {
            Value::Map(_) => texts(&entry.value, &key, into),
            Value::String(text) => into.push((key, text.clone())),
            Value::Bool(is) => into.push((key, is.to_string())),
            Value::Int(number) => into.push((key, number.to_string())),
            Value::Float(number) => into.push((key, number.to_string())),
            Value::Null | Value::Seq(_) => {}
        }
    }
}

const CONNECTIONS: &str =
    "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig";

/// Takes the bound on connections of the process from the overload manager. Other monitors are noted.
fn overload(written: Option<&Node>, cx: &mut Cx<'_>) {
    let written: Option<types::OverloadManager> = cx.read_maybe(written);
    for monitor in written.iter().flat_map(|it| &it.resource_monitors) {
        let typed = monitor
            .typed_config
            .as_ref()
            .and_then(|config| cx.typed(config));
        match &typed {
            Some(typed) if typed.kind == CONNECTIONS => {
                let read: Option<types::DownstreamConnections> = cx.read(&typed.config);
                if let Some(most) = read.map(|it| it.max_active_downstream_connections) {
                    if most.value.0 == 0 {
                        cx.refuse(most.span, "must be at least 1");
                    }
                    cx.process_limit = cx.count(Some(most));
                }
            }
            Some(_) | None => {
                let name = monitor.name.as_ref().map_or("", |name| name.value.as_str());
                let what = format!("the resource monitor `{name}`");
                cx.left_out(
                    monitor.span,
                    &what,
                    "nothing is refused for want of what it watches",
                );
            }
        }
    }
}

/// Takes the bounds on connections from the static layers; a later layer wins. Other keys are noted.
fn runtime(written: Option<&types::LayeredRuntime>, cx: &mut Cx<'_>) {
    for layer in written.iter().flat_map(|runtime| &runtime.layers) {
        let meaning = "runtime keys have what static layers give them";
        cx.note(layer.disk_layer, "disk_layer", meaning);
        cx.note(layer.rtds_layer, "rtds_layer", meaning);
        if let Some(data) = &layer.static_layer {
            runtime_keys(data, "", cx);
        }
    }
}

fn runtime_keys(node: &Node, path: &str, cx: &mut Cx<'_>) {
    for entry in node.as_map().map_or(&[][..], |map| map.entries()) {
        let key = match path {
            "" => entry.key.text.clone(),
            _ => format!("{path}.{}", entry.key.text),
        };
        if entry.value.as_map().is_some() {
            runtime_keys(&entry.value, &key, cx);
            continue;
        }
        let listener = key
            .strip_prefix("envoy.resource_limits.listener.")
            .and_then(|rest| rest.strip_suffix(".connection_limit"));
        let known = super::tracing::KEYS.iter().find(|known| **known == key);
        if let Some(known) = known {
            let number: Option<Spanned<Whole<u32>>> = crate::text::read(&entry.value, cx.out);
            if let Some(number) = number {
                cx.numbers.insert(known, number.value.0);
            }
            continue;
        }
        if key == "overload.global_downstream_max_connections" {
            let number: Option<Spanned<Whole<u64>>> = crate::text::read(&entry.value, cx.out);
            cx.process_limit = cx.count(number);
            continue;
        }
        let Some(listener) = listener else {
            let span = entry.key.span.to(entry.value.span);
            let meaning = "nothing goes by this key";
            cx.left_out(span, &format!("the runtime key `{key}`"), meaning);
            continue;
        };
        let number: Option<Spanned<Whole<u32>>> = crate::text::read(&entry.value, cx.out);
        if let Some(limit) = cx.count(number) {
            cx.connection_limits.insert(listener.to_owned(), limit);
        }
    }
}
