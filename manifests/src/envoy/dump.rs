//! What a running Envoy says of itself: its admin interface's `/config_dump`, put together as one bootstrap.
//!
//! Listeners and clusters are those in force, whether they stand in its file or were fetched; names of route configurations, of endpoints and of
//! secrets are looked up among what was fetched. Keys are not in a dump.
//!
//! Source: envoyproxy/data-plane-api `envoy/admin/v3/config_dump.proto`.

use std::collections::BTreeMap;

use super::read::{left_out, short};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::text::{Entry, Key, Map, Node, Span, Value};

/// What stands in the place of a key, as text and in base64.
const REDACTED: [&str; 2] = ["[redacted]", "W3JlZGFjdGVkXQ=="];

/// What a node says of its own build, which nobody has asked it to be.
const OWN: [&str; 5] = [
    "user_agent_name",
    "user_agent_version",
    "user_agent_build_version",
    "extensions",
    "client_features",
];

/// Whether a document is a dump.
pub(super) fn is_dump(document: &Node) -> bool {
    document.get("configs").and_then(Node::as_seq).is_some()
}

/// The parts of a dump.
#[derive(Default)]
struct Parts {
    bootstrap: Option<Node>,
    clusters: Option<Vec<Node>>,
    listeners: Option<Vec<Node>>,
    secrets: Vec<Node>,
    /// Route configurations by name.
    routes: BTreeMap<String, Node>,
    /// Endpoints by the name that they were fetched under.
    endpoints: BTreeMap<String, Node>,
}

/// The bootstrap of an Envoy that has in its file what this one has in force.
pub(super) fn bootstrap(document: &Node, out: &mut Diagnostics) -> Node {
    let mut parts = Parts::default();
    let configs = document.get("configs").and_then(Node::as_seq);
    for config in configs.unwrap_or_default() {
        parts.take(config, out);
    }
    hidden_keys(document, out);
    parts.whole(document, out)
}

impl Parts {
    fn take(&mut self, config: &Node, out: &mut Diagnostics) {
        let url = config.get("@type").and_then(Node::as_str);
        let Some(kind) = url.map(short) else {
            out.push(
                Diagnostic::error(
                    "envoy::dump",
                    "a part of a dump says what it is with `@type`",
                )
                .label(config.span, "without `@type`"),
            );
            return;
        };
        match kind.rsplit('.').next().unwrap_or(kind) {
            "BootstrapConfigDump" => self.bootstrap_of(config, out),
            "ClustersConfigDump" => {
                let found = in_force(
                    config,
                    "cluster",
                    &["static_clusters", "dynamic_active_clusters"],
                );
                self.clusters.get_or_insert_default().extend(found);
                waiting(config, "dynamic_warming_clusters", "clusters", out);
            }
            "ListenersConfigDump" => {
                let mut found = in_force(config, "listener", &["static_listeners"]);
                for listener in items(config, "dynamic_listeners") {
                    found.extend(active(listener, out));
                }
                self.listeners.get_or_insert_default().extend(found);
            }
            "RoutesConfigDump" => {
                let fields = ["static_route_configs", "dynamic_route_configs"];
                for routes in in_force(config, "route_config", &fields) {
                    keep(&mut self.routes, "name", routes);
                }
            }
            "EndpointsConfigDump" => {
                let fields = ["static_endpoint_configs", "dynamic_endpoint_configs"];
                for endpoints in in_force(config, "endpoint_config", &fields) {
                    keep(&mut self.endpoints, "cluster_name", endpoints);
                }
            }
            "SecretsConfigDump" => {
                let fields = ["static_secrets", "dynamic_active_secrets"];
                self.secrets.extend(in_force(config, "secret", &fields));
                waiting(config, "dynamic_warming_secrets", "secrets", out);
            }
            "ScopedRoutesConfigDump" => {
                let fields = [
                    "inline_scoped_route_configs",
                    "dynamic_scoped_route_configs",
                ];
                if fields.iter().any(|field| !items(config, field).is_empty()) {
                    let meaning = "their connection managers answer every request with 404";
                    left_out(config.span, "scoped routes", meaning, out);
                }
            }
            other => {
                let meaning = "what it says has no effect";
                left_out(config.span, &format!("`{other}`"), meaning, out);
            }
        }
    }

    fn bootstrap_of(&mut self, config: &Node, out: &mut Diagnostics) {
        let Some(bootstrap) = config.get("bootstrap") else {
            return;
        };
        if let Some(first) = &self.bootstrap {
            out.push(
                Diagnostic::error(
                    "envoy::dump",
                    "a dump of several nodes cannot be read as one",
                )
                .label(bootstrap.span, "another node")
                .label(first.span, "the first")
                .help("leave one of `configs`"),
            );
            return;
        }
        self.bootstrap = Some(bootstrap.clone());
    }

    /// Puts the parts together. Where a kind of part is missing, what the node's file has of it counts.
    fn whole(mut self, document: &Node, out: &mut Diagnostics) -> Node {
        let span = document.span;
        let mut root = self.bootstrap.take().unwrap_or_else(|| mapping(span));
        let mut resources = mapping(span);
        if let Some(map) = root.as_map_mut() {
            // what would be fetched was fetched
            map.remove("dynamic_resources");
            if let Some(node) = map.get_mut("node").and_then(Node::as_map_mut) {
                for field in OWN {
                    node.remove(field);
                }
            }
            if let Some(written) = map.remove("static_resources") {
                resources = written.value;
            }
        }
        if let Some(map) = resources.as_map_mut() {
            for (field, found) in [
                ("clusters", self.clusters.take()),
                ("listeners", self.listeners.take()),
            ] {
                if let Some(found) = found {
                    map.insert(entry(field, Value::Seq(found), span));
                }
            }
            let mut secrets = std::mem::take(&mut self.secrets);
            let named = |node: &Node| node.get("name").and_then(Node::as_str).map(str::to_owned);
            for written in map
                .get("secrets")
                .and_then(Node::as_seq)
                .unwrap_or_default()
            {
                if secrets.iter().all(|it| named(it) != named(written)) {
                    secrets.push(written.clone());
                }
            }
            map.insert(entry("secrets", Value::Seq(secrets), span));
            if let Some(clusters) = map.get_mut("clusters") {
                for cluster in seq_mut(clusters) {
                    self.endpoints_of(cluster);
                }
            }
            if let Some(listeners) = map.get_mut("listeners") {
                self.routes_of(listeners, out);
            }
        }
        if let Some(map) = root.as_map_mut() {
            map.insert(entry("static_resources", resources.value, resources.span));
        }
        root
    }

    /// Gives a cluster the endpoints that were fetched for it.
    fn endpoints_of(&self, cluster: &mut Node) {
        let text =
            |path: &str, node: &Node| node.at(path).and_then(Node::as_str).map(str::to_owned);
        if text("type", cluster).as_deref() != Some("EDS") {
            return;
        }
        let name = text("eds_cluster_config.service_name", cluster);
        let name = name.filter(|name| !name.is_empty());
        let Some(name) = name.or_else(|| text("name", cluster)) else {
            return;
        };
        let Some(found) = self.endpoints.get(&name) else {
            return;
        };
        let Some(map) = cluster.as_map_mut() else {
            return;
        };
        map.remove("eds_cluster_config");
        if let Some(kind) = map.get_mut("type") {
            kind.value = Value::String("STATIC".to_owned());
        }
        let mut found = found.clone();
        without_empty("health_check_config", &mut found);
        map.insert(entry("load_assignment", found.value, found.span));
    }

    /// Gives every connection manager below `node` the routes that it goes by.
    fn routes_of(&self, node: &mut Node, out: &mut Diagnostics) {
        if let Some(map) = node.as_map_mut() {
            if let Some(fetched) = map.remove("rds") {
                let routes = self.routes_named(&fetched.value, out);
                map.insert(routes);
            }
            if let Some(scoped) = map.remove("scoped_routes") {
                let meaning = "its connection manager answers every request with 404";
                left_out(scoped.key.span, "`scoped_routes`", meaning, out);
                let nothing = Value::Map(Map::default());
                map.insert(entry("route_config", nothing, scoped.key.span));
            }
            for value in map.values_mut() {
                self.routes_of(value, out);
            }
        }
        for item in seq_mut(node) {
            self.routes_of(item, out);
        }
    }

    fn routes_named(&self, fetched: &Node, out: &mut Diagnostics) -> Entry {
        let name = fetched.get("route_config_name");
        let text = name.and_then(Node::as_str).unwrap_or_default();
        if let Some(found) = self.routes.get(text) {
            return entry("route_config", found.value.clone(), found.span);
        }
        let span = name.map_or(fetched.span, |name| name.span);
        let help = did_you_mean(text, self.routes.keys().map(String::as_str));
        let help = help.unwrap_or_else(|| {
            "ask the node for all of its `/config_dump`, once it has fetched everything".to_owned()
        });
        out.push(
            Diagnostic::error(
                "envoy::dump",
                format!("the dump has no routes called `{text}`"),
            )
            .label(span, "asked for here")
            .help(help),
        );
        entry("route_config", Value::Map(Map::default()), span)
    }
}

/// The items of a field.
fn items<'a>(node: &'a Node, field: &str) -> &'a [Node] {
    let found = node.get(field).and_then(Node::as_seq);
    found.unwrap_or_default()
}

/// What stands under `name` in the items of these fields.
fn in_force(config: &Node, name: &str, fields: &[&str]) -> Vec<Node> {
    let all = fields.iter().flat_map(|field| items(config, field));
    all.filter_map(|item| item.get(name).map(message)).collect()
}

/// The listener that is in force of one that was fetched.
fn active(listener: &Node, out: &mut Diagnostics) -> Option<Node> {
    if let Some(error) = listener.get("error_state") {
        out.push(
            Diagnostic::warning("envoy::dump", "the node has refused a newer listener")
                .label(error.span, "not in force"),
        );
    }
    for (state, what) in [
        ("warming_state", "a listener that waits for something"),
        (
            "draining_state",
            "a listener that takes no more connections",
        ),
    ] {
        if let Some(state) = listener.get(state) {
            left_out(state.span, what, "nothing listens for it", out);
        }
    }
    listener.get("active_state")?.get("listener").map(message)
}

/// Tells of what waits for something, and is not in force.
fn waiting(config: &Node, field: &str, what: &str, out: &mut Diagnostics) {
    if let Some(first) = items(config, field).first() {
        let what = format!("{what} that wait for something");
        left_out(first.span, &what, "they are not in force", out);
    }
}

/// A message without the name of its kind.
fn message(node: &Node) -> Node {
    let mut message = node.clone();
    if let Some(map) = message.as_map_mut() {
        map.remove("@type");
    }
    message
}

/// Removes a field that is always written wherever it says nothing.
fn without_empty(field: &str, node: &mut Node) {
    if let Some(map) = node.as_map_mut() {
        let found = map.get(field).and_then(Node::as_map);
        if found.is_some_and(|it| it.entries().is_empty()) {
            map.remove(field);
        }
        for value in map.values_mut() {
            without_empty(field, value);
        }
    }
    for item in seq_mut(node) {
        without_empty(field, item);
    }
}

fn keep(all: &mut BTreeMap<String, Node>, field: &str, node: Node) {
    let name = node.get(field).and_then(Node::as_str).map(str::to_owned);
    all.insert(name.unwrap_or_default(), node);
}

fn mapping(span: Span) -> Node {
    Node {
        span,
        value: Value::Map(Map::default()),
    }
}

fn entry(key: &str, value: Value, span: Span) -> Entry {
    Entry {
        key: Key {
            text: key.to_owned(),
            span,
        },
        value: Node { span, value },
    }
}

fn seq_mut(node: &mut Node) -> &mut [Node] {
    match &mut node.value {
        Value::Seq(items) => items,
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::String(_)
        | Value::Map(_) => &mut [],
    }
}

/// Tells of keys that the dump does not show.
fn hidden_keys(node: &Node, out: &mut Diagnostics) {
    for entry in node.as_map().map_or(&[][..], Map::entries) {
        let is_hidden = entry.value.as_map().is_some_and(|map| {
            let mut texts = map.entries().iter().filter_map(|it| it.value.as_str());
            texts.any(|text| REDACTED.contains(&text))
        });
        if entry.key.text == "private_key" && is_hidden {
            let meaning = "TLS that needs it is not spoken: a dump has no keys";
            left_out(entry.key.span, "a hidden key", meaning, out);
        } else {
            hidden_keys(&entry.value, out);
        }
    }
    for item in node.as_seq().unwrap_or_default() {
        hidden_keys(item, out);
    }
}
