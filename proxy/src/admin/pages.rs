//! The pages that show clusters and listeners, as Envoy writes them.
//!
//! Source: Envoy 1.40 `source/server/admin/clusters_handler.cc`, `listeners_handler.cc`, `server_info_handler.cc`; `envoy.admin.v3`.

use std::fmt::Write as _;

use proxy_core::config::DiscoveredHealth;
use serde_json::{Value, json};

use super::shots::{ClusterShot, EndpointShot, ProxyShot};

/// Thresholds, in the order of a shot's limits.
const LIMITS: [&str; 4] = [
    "max_connections",
    "max_pending_requests",
    "max_requests",
    "max_retries",
];

/// `/clusters`.
pub(super) fn clusters(shots: &[ProxyShot]) -> String {
    let mut out = String::new();
    for cluster in shots.iter().flat_map(|shot| &shot.clusters) {
        let name = &cluster.name;
        let _ = writeln!(out, "{name}::observability_name::{name}");
        for (priority, limits) in ["default", "high"].iter().zip(&cluster.limits) {
            for (what, limit) in LIMITS.iter().zip(limits) {
                let _ = writeln!(out, "{name}::{priority}_priority::{what}::{limit}");
            }
        }
        let _ = writeln!(out, "{name}::added_via_api::false");
        for endpoint in &cluster.endpoints {
            let at = format!("{name}::{}", endpoint.address);
            for (what, value) in facts(endpoint) {
                let _ = writeln!(out, "{at}::{what}::{value}");
            }
        }
    }
    out
}

fn facts(endpoint: &EndpointShot) -> Vec<(&'static str, String)> {
    let [region, zone, sub_zone] = locality(endpoint);
    vec![
        ("cx_active", endpoint.connections.to_string()),
        ("rq_active", endpoint.requests.to_string()),
        ("hostname", endpoint.hostname.clone()),
        ("health_flags", health_flags(endpoint)),
        ("weight", endpoint.weight.to_string()),
        ("region", region),
        ("zone", zone),
        ("sub_zone", sub_zone),
        ("canary", "false".to_owned()),
        ("priority", endpoint.priority.to_string()),
    ]
}

fn locality(endpoint: &EndpointShot) -> [String; 3] {
    let mut parts = endpoint.locality.splitn(3, '/').map(str::to_owned);
    [(); 3].map(|()| parts.next().unwrap_or_default())
}

fn health_flags(endpoint: &EndpointShot) -> String {
    let unhealthy = matches!(endpoint.discovered, DiscoveredHealth::Unhealthy);
    let draining = matches!(endpoint.discovered, DiscoveredHealth::Draining);
    let flags: String = [
        (endpoint.fails_check, "/failed_active_hc"),
        (endpoint.ejected, "/failed_outlier_check"),
        (unhealthy, "/failed_eds_health"),
        (draining, "/eds_status_draining"),
    ]
    .iter()
    .filter(|(set, _)| *set)
    .map(|(_, name)| *name)
    .collect();
    if flags.is_empty() {
        "healthy".to_owned()
    } else {
        flags
    }
}

/// `/clusters?format=json`.
pub(super) fn clusters_json(shots: &[ProxyShot]) -> Value {
    let all = shots.iter().flat_map(|shot| &shot.clusters);
    json!({"cluster_statuses": all.map(cluster_json).collect::<Vec<_>>()})
}

fn cluster_json(cluster: &ClusterShot) -> Value {
    let thresholds = ["DEFAULT", "HIGH"].iter().zip(&cluster.limits);
    let thresholds = thresholds.map(|(priority, limits)| {
        let mut threshold = json!({"priority": priority});
        for (what, limit) in LIMITS.iter().zip(limits) {
            threshold[what] = json!(limit);
        }
        threshold
    });
    json!({
        "name": cluster.name,
        "observability_name": cluster.name,
        "eds_service_name": cluster.service,
        "circuit_breakers": {"thresholds": thresholds.collect::<Vec<_>>()},
        "host_statuses": cluster.endpoints.iter().map(endpoint_json).collect::<Vec<_>>(),
    })
}

fn endpoint_json(endpoint: &EndpointShot) -> Value {
    let [region, zone, sub_zone] = locality(endpoint);
    json!({
        "address": socket(endpoint.address),
        "hostname": endpoint.hostname,
        "stats": [
            {"name": "cx_active", "type": "GAUGE", "value": endpoint.connections.to_string()},
            {"name": "rq_active", "type": "GAUGE", "value": endpoint.requests.to_string()},
        ],
        "health_status": {
            "eds_health_status": match endpoint.discovered {
                DiscoveredHealth::Healthy => "HEALTHY",
                DiscoveredHealth::Unhealthy => "UNHEALTHY",
                DiscoveredHealth::Draining => "DRAINING",
            },
            "failed_active_health_check": endpoint.fails_check,
            "failed_outlier_check": endpoint.ejected,
        },
        "weight": endpoint.weight,
        "priority": endpoint.priority,
        "locality": {"region": region, "zone": zone, "sub_zone": sub_zone},
    })
}

fn socket(address: std::net::SocketAddr) -> Value {
    let (ip, port) = (address.ip().to_string(), address.port());
    json!({"socket_address": {"address": ip, "port_value": port}})
}

/// `/listeners`.
pub(super) fn listeners(shots: &[ProxyShot]) -> String {
    let all = shots.iter().flat_map(|shot| &shot.listeners);
    all.map(|(name, address)| format!("{name}::{address}\n"))
        .collect()
}

/// `/listeners?format=json`.
pub(super) fn listeners_json(shots: &[ProxyShot]) -> Value {
    let all = shots.iter().flat_map(|shot| &shot.listeners);
    let all = all.map(|(name, address)| json!({"name": name, "local_address": socket(*address)}));
    json!({"listener_statuses": all.collect::<Vec<_>>()})
}
