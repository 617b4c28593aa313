//! A bootstrap in parts: what an Envoy is told at its start, and what it asks for and may be told anew while it runs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The cluster of the bootstrap by which Envoys ask.
const SOURCE: &str = "windtunnel";
/// Where nobody listens: the port of a service that discards, which no machine has.
const NOBODY: (&str, u16) = ("127.0.0.1", 9);
const API: &str = "type.googleapis.com/envoy";

/// What an Envoy asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Kind {
    Clusters,
    Endpoints,
    Listeners,
    Routes,
}

impl Kind {
    /// By the path of a request.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "/v3/discovery:clusters" => Some(Self::Clusters),
            "/v3/discovery:endpoints" => Some(Self::Endpoints),
            "/v3/discovery:listeners" => Some(Self::Listeners),
            "/v3/discovery:routes" => Some(Self::Routes),
            _ => None,
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Clusters => "config.cluster.v3.Cluster",
            Self::Endpoints => "config.endpoint.v3.ClusterLoadAssignment",
            Self::Listeners => "config.listener.v3.Listener",
            Self::Routes => "config.route.v3.RouteConfiguration",
        }
    }

    /// In words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Clusters => "clusters",
            Self::Endpoints => "endpoints",
            Self::Listeners => "listeners",
            Self::Routes => "routes",
        }
    }
}

/// What an Envoy may be told anew, by its names.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Resources {
    pub(super) clusters: BTreeMap<String, Value>,
    pub(super) endpoints: BTreeMap<String, Value>,
    pub(super) listeners: BTreeMap<String, Value>,
    pub(super) routes: BTreeMap<String, Value>,
}

impl Resources {
    /// Takes what can change out of a bootstrap, and has it ask for that at `port` as `seat`.
    pub(super) fn split(bootstrap: &mut Value, port: u16, seat: usize) -> Self {
        let mut resources = Self::default();
        let manager = &bootstrap["cluster_manager"]["local_cluster_name"];
        let local = manager.as_str().map(str::to_owned);
        let mut fixed = vec![source(port)];
        for mut cluster in taken(bootstrap, "clusters") {
            let name = text(&cluster, "name");
            let assigned = field(&mut cluster, "load_assignment");
            let is_found = cluster["type"] == "ORIGINAL_DST";
            let assigned = match assigned {
                _ if is_found => nobody(&name),
                Some(assigned) => assigned,
                None => json!({"cluster_name": name}),
            };
            if is_found {
                field(&mut cluster, "lb_policy");
            }
            cluster["type"] = "EDS".into();
            cluster["eds_cluster_config"] = json!({"eds_config": asks()});
            resources.endpoints.insert(name.clone(), assigned);
            // Envoy wants the one that it is itself from the start
            match local.as_deref() == Some(&*name) {
                true => fixed.push(cluster),
                false => _ = resources.clusters.insert(name, cluster),
            }
        }
        for mut listener in taken(bootstrap, "listeners") {
            let name = text(&listener, "name");
            if let Some(chains) = listener["filter_chains"].as_array_mut() {
                for chain in chains {
                    resources.take_routes(&name, chain);
                }
            }
            resources.listeners.insert(name, listener);
        }
        bootstrap["static_resources"] = json!({"clusters": fixed});
        bootstrap["dynamic_resources"] = json!({"cds_config": asks(), "lds_config": asks()});
        bootstrap["node"]["metadata"] = json!({"seat": seat});
        // whoever asks has both names
        for name in ["id", "cluster"] {
            if bootstrap["node"][name].is_null() {
                bootstrap["node"][name] = "windtunnel".into();
            }
        }
        resources
    }

    /// Route tables are called by the listener and what its chain takes, which a change of routes leaves as they are.
    fn take_routes(&mut self, listener: &str, chain: &mut Value) {
        let place = format!("{listener} {}", chain["filter_chain_match"]);
        let filters = chain["filters"].as_array_mut();
        for filter in filters.into_iter().flatten() {
            let config = &mut filter["typed_config"];
            let Some(mut table) = field(config, "route_config") else {
                continue;
            };
            table["name"] = place.clone().into();
            config["rds"] = json!({"config_source": asks(), "route_config_name": place});
            self.routes.insert(place.clone(), table);
        }
    }

    /// What stands before `other`: its own clusters, and those of which it knows nothing.
    pub(super) fn keep_clusters(&mut self, other: &Self) {
        for (name, cluster) in &other.clusters {
            if !self.clusters.contains_key(name) {
                self.clusters.insert(name.clone(), cluster.clone());
                let assigned = other.endpoints.get(name).cloned();
                let assigned = assigned.unwrap_or_else(|| json!({"cluster_name": name}));
                self.endpoints.insert(name.clone(), assigned);
            }
        }
    }

    /// What is answered to whoever asks: resources of a kind, and the name of the one that is asked for.
    pub(super) fn answers(&self) -> impl Iterator<Item = (Kind, &str, Vec<&Value>)> {
        let whole = [
            (Kind::Clusters, "", self.clusters.values().collect()),
            (Kind::Listeners, "", self.listeners.values().collect()),
        ];
        let single = [
            (Kind::Endpoints, &self.endpoints),
            (Kind::Routes, &self.routes),
        ];
        let single = single.into_iter().flat_map(|(kind, all)| {
            let each = all.iter();
            each.map(move |(name, value)| (kind, name.as_str(), vec![value]))
        });
        whole.into_iter().chain(single)
    }
}

/// The answer to a request for these, in protobuf's JSON.
pub(super) fn response(kind: Kind, version: &str, resources: &[&Value]) -> Value {
    let resources = resources.iter().map(|resource| {
        let mut typed = Map::new();
        let name = format!("{API}.{}", kind.message());
        typed.insert("@type".to_owned(), name.into());
        let fields = resource.as_object().into_iter().flatten();
        typed.extend(fields.map(|(name, value)| (name.clone(), value.clone())));
        Value::Object(typed)
    });
    let resources: Vec<Value> = resources.collect();
    json!({"version_info": version, "type_url": format!("{API}.{}", kind.message()), "resources": resources})
}

/// Where Envoy asks: each request waits for its answer until there is something new.
fn asks() -> Value {
    json!({
        "resource_api_version": "V3",
        "initial_fetch_timeout": "60s",
        "api_config_source": {
            "api_type": "REST",
            "transport_api_version": "V3",
            "cluster_names": [SOURCE],
            "refresh_delay": "0.01s",
            "request_timeout": "604800s",
        },
    })
}

fn source(port: u16) -> Value {
    let endpoint = json!({"endpoint": {"address": socket(NOBODY.0, port)}});
    let assigned = json!({"cluster_name": SOURCE, "endpoints": [{"lb_endpoints": [endpoint]}]});
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let http2 = json!({
        "@type": format!("type.googleapis.com/{options}"),
        "explicit_http_config": {"http2_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": "0s"},
    });
    let (mut cluster, mut extensions) = (Map::new(), Map::new());
    extensions.insert(options.to_owned(), http2);
    cluster.insert("name".to_owned(), SOURCE.into());
    cluster.insert("type".to_owned(), "STATIC".into());
    cluster.insert("load_assignment".to_owned(), assigned);
    cluster.insert(
        "typed_extension_protocol_options".to_owned(),
        extensions.into(),
    );
    cluster.into()
}

/// Connections go to the address that they were meant for: nobody on loopback has it, and whoever has it elsewhere is left alone.
fn nobody(cluster: &str) -> Value {
    let endpoint = json!({"endpoint": {"address": socket(NOBODY.0, NOBODY.1)}});
    json!({"cluster_name": cluster, "endpoints": [{"lb_endpoints": [endpoint]}]})
}

fn socket(ip: &str, port: u16) -> Value {
    json!({"socket_address": {"address": ip, "port_value": port}})
}

fn taken(bootstrap: &mut Value, field: &str) -> Vec<Value> {
    match bootstrap["static_resources"][field].take() {
        Value::Array(all) => all,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Vec::new()
        }
    }
}

fn text(message: &Value, field: &str) -> String {
    message[field].as_str().unwrap_or_default().to_owned()
}

fn field(message: &mut Value, field: &str) -> Option<Value> {
    message.as_object_mut()?.remove(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bootstrap() -> Value {
        json!({
            "node": {"id": "n"},
            "static_resources": {
                "clusters": [
                    {"name": "a", "type": "STATIC", "load_assignment": {"cluster_name": "a", "endpoints": []}},
                    {"name": "through", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"},
                ],
                "listeners": [{"name": "l", "filter_chains": [
                    {"filter_chain_match": {"destination_port": 80}, "filters": [
                        {"typed_config": {"route_config": {"name": "t", "virtual_hosts": []}}},
                    ]},
                    {"filters": [{"typed_config": {"cluster": "a"}}]},
                ]}],
            },
        })
    }

    #[test]
    fn what_can_change_is_asked_for() {
        let mut bootstrap = bootstrap();
        let resources = Resources::split(&mut bootstrap, 1, 3);
        let names: Vec<&String> = resources.clusters.keys().collect();
        assert_eq!(names, ["a", "through"]);
        assert_eq!(resources.clusters["a"]["type"], "EDS");
        let table = "l {\"destination_port\":80}";
        assert_eq!(resources.routes[table]["name"], table);
        let chains = &resources.listeners["l"]["filter_chains"];
        let asks = &chains[0]["filters"][0]["typed_config"];
        assert_eq!(asks["rds"]["route_config_name"], table);
        assert!(asks.get("route_config").is_none());
        let node = json!({"id": "n", "cluster": "windtunnel", "metadata": {"seat": 3}});
        assert_eq!(bootstrap["node"], node);
        let left = &bootstrap["static_resources"];
        assert_eq!(left["clusters"][0]["name"], SOURCE);
        assert!(left.get("listeners").is_none());
    }

    #[test]
    fn nobody_beyond_loopback_is_dialled() {
        let resources = Resources::split(&mut bootstrap(), 1, 0);
        let through = &resources.clusters["through"];
        assert_eq!(through["type"], "EDS");
        assert!(through.get("lb_policy").is_none());
        assert_eq!(resources.endpoints["through"], nobody("through"));
    }

    #[test]
    fn clusters_stay_until_nobody_sends_there() {
        let before = Resources::split(&mut bootstrap(), 1, 0);
        let mut after = Resources::default();
        after.keep_clusters(&before);
        assert_eq!(
            (after.clusters, after.endpoints),
            (before.clusters, before.endpoints)
        );
    }
}
