//! What a real Envoy says of itself is read as what it was told.

use std::net::SocketAddr;

use manifests::envoy::{Bootstrap, Written, read, write};
use serde_json::{Value, json};

use super::envoy::{Running, ask, envoy, free};

/// The answer on `/config_dump?include_eds`.
fn dump(admin: SocketAddr) -> String {
    let request = "GET /config_dump?include_eds HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = ask(admin, request);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    if !head.contains("chunked") {
        return body.to_owned();
    }
    let (mut rest, mut text) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a size");
        if size == 0 {
            break;
        }
        text.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    text
}

fn bootstrap(name: &str, text: &str) -> Bootstrap {
    read(name, text).unwrap_or_else(|refused| panic!("{refused}\n{text}"))
}

fn said(bootstrap: &Bootstrap) -> Value {
    let likeness = write(&bootstrap.config, &Written::default());
    assert!(likeness.departures.is_empty(), "{:?}", likeness.departures);
    likeness.bootstrap
}

fn address(at: SocketAddr) -> Value {
    json!({"socket_address": {"address": at.ip().to_string(), "port_value": at.port()}})
}

fn manager(routes: (&str, Value)) -> Value {
    let router = json!({"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}});
    let mut config = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "http_filters": [router],
    });
    config[routes.0] = routes.1;
    json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": config})
}

fn routes() -> Value {
    let retry = json!({"retry_on": "5xx", "num_retries": 2, "per_try_timeout": "1s"});
    let route = json!({"match": {"prefix": "/shop/"}, "route": {"cluster": "shop", "timeout": "4s", "prefix_rewrite": "/", "retry_policy": retry}});
    json!({"name": "main", "virtual_hosts": [{"name": "shop", "domains": ["shop.example.com"], "routes": [route]}]})
}

fn assignment(name: &str) -> Value {
    let at = SocketAddr::from(([127, 0, 0, 1], 9));
    json!({"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(at)}, "load_balancing_weight": 3}]}]})
}

fn cluster(more: (&str, Value), kind: &str) -> Value {
    let mut cluster = json!({
        "name": "shop",
        "type": kind,
        "connect_timeout": "0.25s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [{"max_connections": 7, "max_retries": 5}]},
    });
    cluster[more.0] = more.1;
    cluster
}

fn listener(at: SocketAddr, manager: Value) -> Value {
    json!({"name": "edge", "address": address(at), "filter_chains": [{"filters": [manager]}]})
}

fn node() -> Value {
    json!({"id": "edge-1", "cluster": "edge", "locality": {"region": "r", "zone": "z"}})
}

#[test]
fn a_real_envoys_dump_says_what_stands_in_its_file() {
    let Some(envoy) = envoy() else { return };
    let (admin, at) = (free([127, 77, 1, 1]), free([127, 77, 1, 2]));
    let file = json!({
        "node": node(),
        "admin": {"address": address(admin)},
        "static_resources": {
            "listeners": [listener(at, manager(("route_config", routes())))],
            "clusters": [cluster(("load_assignment", assignment("shop")), "STATIC")],
        },
    })
    .to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let _running = Running::in_folder(envoy, folder, &file, &[admin, at]);
    let (first, second) = (
        bootstrap("file.json", &file),
        bootstrap("dump.json", &dump(admin)),
    );
    assert_eq!(said(&first), said(&second));
    assert_eq!(first.admin, second.admin);
    assert_eq!(first.locality, second.locality);
    assert_eq!(first.config.name, second.config.name);
}

#[test]
fn what_a_real_envoy_has_fetched_is_in_its_dump() {
    let Some(envoy) = envoy() else { return };
    let (admin, at) = (free([127, 77, 2, 1]), free([127, 77, 2, 2]));
    let folder = tempfile::tempdir().expect("a folder");
    let source = |name: &str, kind: &str, mut resource: Value| {
        resource["@type"] = json!(format!("type.googleapis.com/{kind}"));
        let path = folder.path().join(name);
        let text = json!({"version_info": "1", "resources": [resource]}).to_string();
        std::fs::write(&path, text).expect("a file");
        json!({"path_config_source": {"path": path.display().to_string()}, "resource_api_version": "V3"})
    };
    let endpoints = source(
        "eds.json",
        "envoy.config.endpoint.v3.ClusterLoadAssignment",
        assignment("shop-endpoints"),
    );
    let eds = json!({"eds_config": endpoints, "service_name": "shop-endpoints"});
    let clusters = source(
        "cds.json",
        "envoy.config.cluster.v3.Cluster",
        cluster(("eds_cluster_config", eds), "EDS"),
    );
    let main = source(
        "rds.json",
        "envoy.config.route.v3.RouteConfiguration",
        routes(),
    );
    let rds = json!({"config_source": main, "route_config_name": "main"});
    let listeners = source(
        "lds.json",
        "envoy.config.listener.v3.Listener",
        listener(at, manager(("rds", rds))),
    );
    let file = json!({
        "node": node(),
        "admin": {"address": address(admin)},
        "dynamic_resources": {"lds_config": listeners, "cds_config": clusters},
    })
    .to_string();
    let _running = Running::in_folder(envoy, folder, &file, &[admin, at]);
    let told = json!({
        "node": node(),
        "admin": {"address": address(admin)},
        "static_resources": {
            "listeners": [listener(at, manager(("route_config", routes())))],
            "clusters": [cluster(("load_assignment", assignment("shop")), "STATIC")],
        },
    });
    let text = dump(admin);
    let (first, second) = (
        bootstrap("told.json", &told.to_string()),
        bootstrap("dump.json", &text),
    );
    assert_eq!(said(&first), said(&second), "{text}");
    let notices: Vec<&str> = second
        .notices
        .iter()
        .map(|it| it.message.as_str())
        .collect();
    assert!(notices.is_empty(), "{notices:?}");
}
