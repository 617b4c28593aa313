//! Configuration dumps: what is in force is taken, and names are looked up.

use serde_json::{Value, json};

use super::harness::{accepted, refused};
use crate::envoy::{Bootstrap, Written, read, write};

fn typed(kind: &str, mut config: Value) -> Value {
    config["@type"] = json!(format!("type.googleapis.com/{kind}"));
    config
}

fn part(kind: &str, config: Value) -> Value {
    typed(&format!("envoy.admin.v3.{kind}ConfigDump"), config)
}

fn cluster(name: &str, more: Value) -> Value {
    let mut cluster = typed(
        "envoy.config.cluster.v3.Cluster",
        json!({"name": name, "connect_timeout": "1s"}),
    );
    for (key, value) in more.as_object().expect("fields") {
        cluster[key] = value.clone();
    }
    json!({"version_info": "1", "cluster": cluster, "last_updated": "2026-01-05T09:00:00.000Z"})
}

fn assignment(name: &str, port: u16) -> Value {
    let address = json!({"socket_address": {"address": "10.0.0.1", "port_value": port}});
    json!({"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]})
}

/// A listener whose routes are found as `routes` says.
fn listener(name: &str, port: u16, routes: Value) -> Value {
    let mut manager = typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": name,
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": typed("envoy.extensions.filters.http.router.v3.Router", json!({}))}],
        }),
    );
    for (key, value) in routes.as_object().expect("fields") {
        manager[key] = value.clone();
    }
    let filter =
        json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": manager});
    typed(
        "envoy.config.listener.v3.Listener",
        json!({
            "name": name,
            "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},
            "filter_chains": [{"filters": [filter]}],
        }),
    )
}

fn rds(name: &str) -> Value {
    json!({"rds": {"config_source": {"ads": {}}, "route_config_name": name}})
}

fn routes(name: &str, cluster: &str) -> Value {
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": cluster}});
    let host = json!({"name": "all", "domains": ["*"], "routes": [route]});
    let config = typed(
        "envoy.config.route.v3.RouteConfiguration",
        json!({"name": name, "virtual_hosts": [host]}),
    );
    json!({"version_info": "1", "route_config": config})
}

/// Routes that stand in their listener, which are no message of their own.
fn inline(name: &str, cluster: &str) -> Value {
    let mut routes = routes(name, cluster)["route_config"].clone();
    routes.as_object_mut().expect("fields").remove("@type");
    json!({"route_config": routes})
}

/// Everything that a dump may have.
fn whole() -> Vec<Value> {
    let state = |listener: Value| json!({"version_info": "1", "listener": listener});
    vec![
        part(
            "Bootstrap",
            json!({"bootstrap": {
                "node": {"id": "edge-1", "cluster": "edge"},
                "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}},
                "dynamic_resources": {"ads_config": {}, "lds_config": {"ads": {}}},
                "static_resources": {"clusters": [{"name": "old"}]},
            }}),
        ),
        part(
            "Clusters",
            json!({
                "static_clusters": [cluster("fixed", json!({"load_assignment": assignment("fixed", 1)}))],
                "dynamic_active_clusters": [
                    cluster("by-name", json!({"type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}}}})),
                    cluster("by-service", json!({"type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}}, "service_name": "svc"}})),
                    cluster("unknown", json!({"type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}}}})),
                ],
                "dynamic_warming_clusters": [cluster("warming", json!({}))],
            }),
        ),
        part(
            "Listeners",
            json!({
                "static_listeners": [{"listener": listener("static", 1, inline("in", "fixed"))}],
                "dynamic_listeners": [
                    {"name": "one", "active_state": state(listener("one", 2, rds("r"))), "warming_state": state(listener("one", 9, rds("r")))},
                    {"name": "two", "draining_state": state(listener("two", 3, rds("r")))},
                    {"name": "three", "error_state": {"details": "no"}, "active_state": state(listener("three", 4, rds("s")))},
                ],
            }),
        ),
        part(
            "Routes",
            json!({
                "static_route_configs": [routes("s", "by-name")],
                "dynamic_route_configs": [routes("r", "by-service")],
            }),
        ),
        part(
            "ScopedRoutes",
            json!({"dynamic_scoped_route_configs": [{"name": "x"}]}),
        ),
        part(
            "Endpoints",
            json!({
                "static_endpoint_configs": [
                    {"endpoint_config": assignment("fixed", 7)},
                    {"endpoint_config": assignment("svc", 3)},
                ],
                "dynamic_endpoint_configs": [
                    {"endpoint_config": typed("envoy.config.endpoint.v3.ClusterLoadAssignment", assignment("by-name", 2))},
                ],
            }),
        ),
        part(
            "Secrets",
            json!({"dynamic_active_secrets": [{"name": "cert", "secret": typed(
                "envoy.extensions.transport_sockets.tls.v3.Secret",
                json!({"name": "cert", "tls_certificate": {
                    "certificate_chain": {"inline_bytes": "Y2hhaW4="},
                    "private_key": {"inline_bytes": "W3JlZGFjdGVkXQ=="},
                }}),
            )}]}),
        ),
        part("Ecds", json!({"ecds_filters": []})),
    ]
}

fn text(parts: &[Value]) -> String {
    serde_json::to_string_pretty(&json!({"configs": parts})).expect("JSON")
}

fn names(bootstrap: &Bootstrap) -> Vec<String> {
    let clusters = bootstrap.section().clusters().iter();
    clusters.map(|cluster| cluster.name.to_string()).collect()
}

#[test]
fn what_is_in_force_is_taken_and_names_are_looked_up() {
    let read = accepted(&text(&whole()));
    assert_eq!(&*read.config.name, "edge-1");
    assert_eq!(read.admin.map(|at| at.port()), Some(15000));
    assert_eq!(names(&read), ["fixed", "by-name", "by-service", "unknown"]);
    let ports: Vec<Vec<u16>> = read
        .section()
        .clusters()
        .iter()
        .map(|cluster| {
            cluster
                .endpoints
                .endpoints
                .iter()
                .map(|it| it.address.port())
                .collect()
        })
        .collect();
    assert_eq!(ports, [vec![1], vec![2], vec![3], vec![]]);
    let listeners: Vec<&str> = read
        .section()
        .listeners()
        .iter()
        .map(|it| &*it.name)
        .collect();
    assert_eq!(listeners, ["static", "one", "three"]);
    let tables: Vec<&str> = read.section().tables().iter().map(|it| &*it.name).collect();
    assert_eq!(tables, ["in", "r", "s"]);
    let told: Vec<String> = read.notices.iter().map(|it| it.message.clone()).collect();
    for words in [
        "clusters that wait for something",
        "a listener that waits for something",
        "a listener that takes no more connections",
        "the node has refused a newer listener",
        "scoped routes",
        "`EcdsConfigDump`",
        "the type `EDS`",
        "a hidden key",
    ] {
        assert!(
            told.iter().any(|it| it.contains(words)),
            "{words}: {told:#?}"
        );
    }
    assert!(told.iter().all(|it| !it.contains("dynamic_resources")));
}

#[test]
fn fields_may_stand_in_camel_case() {
    let camel = text(&whole())
        .replace("static_clusters", "staticClusters")
        .replace("dynamic_active_clusters", "dynamicActiveClusters")
        .replace("dynamic_listeners", "dynamicListeners")
        .replace("active_state", "activeState")
        .replace("route_config_name", "routeConfigName")
        .replace("dynamic_route_configs", "dynamicRouteConfigs")
        .replace("endpoint_config\"", "endpointConfig\"")
        .replace("load_assignment", "loadAssignment");
    let read = accepted(&camel);
    assert_eq!(names(&read), ["fixed", "by-name", "by-service", "unknown"]);
    assert_eq!(read.section().listeners().len(), 3);
}

#[test]
fn what_a_dump_lacks_is_as_the_nodes_file_has_it() {
    let parts: Vec<Value> = whole().into_iter().take(1).collect();
    let only_bootstrap = accepted(&text(&parts));
    assert_eq!(names(&only_bootstrap), ["old"]);
    assert!(only_bootstrap.section().listeners().is_empty());
    let nothing = accepted("configs: []");
    assert!(nothing.section().clusters().is_empty());
}

#[test]
fn a_dump_that_is_no_whole_is_refused() {
    let mut parts = whole();
    let routes = parts.iter().position(|it| {
        it["@type"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("v3.RoutesConfigDump"))
    });
    parts[routes.expect("routes")]["dynamic_route_configs"] = json!([]);
    let errors = refused(&text(&parts)).errors();
    assert_eq!(errors, ["envoy::dump: the dump has no routes called `r`"]);
    let twice = [whole()[0].clone(), whole()[0].clone()];
    assert_eq!(
        refused(&text(&twice)).errors(),
        ["envoy::dump: a dump of several nodes cannot be read as one"]
    );
    let untyped = refused("configs: [{bootstrap: {}}]").errors();
    assert_eq!(
        untyped,
        ["envoy::dump: a part of a dump says what it is with `@type`"]
    );
}

#[test]
fn keys_are_not_shown() {
    let shown = text(&whole()).replace("W3JlZGFjdGVkXQ==", "c2VjcmV0a2V5");
    let read = accepted(&shown);
    let sources = format!("{:?}", read.sources);
    assert!(!sources.contains("c2VjcmV0a2V5"), "{sources}");
}

/// What the proxy's own admin interface answers: the bootstrap of an Envoy that decides alike, and where it would not.
#[test]
fn a_dump_of_ones_own_says_what_the_node_was_told() {
    for (name, file) in [
        ("policy", include_str!("files/policy.json")),
        ("chain-out", include_str!("files/chain-out.json")),
        ("lean", include_str!("files/lean.json")),
    ] {
        let Ok(first) = read("first.json", file) else {
            panic!("{name}")
        };
        let likeness = write(&first.config, &Written::default());
        let own = part(
            "Bootstrap",
            json!({"name": name, "bootstrap": likeness.bootstrap, "departures": []}),
        );
        let second = accepted(&text(&[own]));
        let again = write(&second.config, &Written::default());
        assert_eq!(likeness.bootstrap, again.bootstrap, "{name}");
    }
}
