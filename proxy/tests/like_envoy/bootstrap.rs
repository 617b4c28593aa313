//! A batch of cases as one bootstrap file.

use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use crate::case::{Backend, Case, Host};
use crate::outcome::Logged;

const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
/// Addresses of one case: clusters have 16 each.
const BLOCK: u64 = 128;
/// Seeds after which addresses come again.
const BLOCKS: u64 = 120_000;
/// Where nobody listens.
const CLOSED: u16 = 9;

/// What everything of a batch has in common.
#[derive(Clone, Debug)]
pub(crate) struct Ports {
    pub(crate) listeners: u16,
    pub(crate) upstreams: u16,
    /// Where the access log is.
    pub(crate) log: String,
}

const FILE_LOG: &str = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
/// What a line of the access log says.
const LINE: &str = "%REQ(x-like)% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_CLUSTER% %BYTES_RECEIVED% %BYTES_SENT%\n";

/// The request that a line is of, and what it says of it.
pub(crate) fn logged(line: &str) -> Option<(u64, Logged)> {
    let mut parts = line.split(' ').map(str::to_owned);
    let tag = parts.next()?.parse().ok()?;
    let logged = Logged {
        flags: parts.next()?,
        details: parts.next()?,
        tries: parts.next()?,
        cluster: parts.next()?,
        bytes: [parts.next()?, parts.next()?],
    };
    Some((tag, logged))
}

/// The listener's address, by the case's place in its batch.
pub(crate) fn listener(place: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 250, (place / 250) as u8, (place % 250 + 1) as u8)
}

/// An endpoint's address, by the case's seed: what hashes addresses finds the same ones in whatever batch.
pub(crate) fn endpoint(case: &Case, backend: &Backend, host: usize) -> Ipv4Addr {
    let block = (case.seed % BLOCKS) * BLOCK;
    let at = 0x1_0000 + block + u64::from(backend.slot) * 16 + host as u64;
    Ipv4Addr::from_bits(0x7f00_0000 + at as u32)
}

/// The cluster and the endpoint of it that have an address.
pub(crate) fn find(case: &Case, at: Ipv4Addr) -> Option<(&Backend, usize)> {
    case.clusters.iter().find_map(|backend| {
        let mut hosts = 0..backend.hosts.len();
        let host = hosts.find(|host| endpoint(case, backend, *host) == at)?;
        Some((backend, host))
    })
}

/// The whole file.
pub(crate) fn of(cases: &[Case], ports: &Ports) -> Value {
    let all = || cases.iter().enumerate();
    let listeners: Vec<Value> = all()
        .map(|(place, case)| self::front(place, case, ports))
        .collect();
    let clusters: Vec<Value> = all()
        .flat_map(|(place, case)| {
            let backends = case.clusters.iter();
            backends.map(move |backend| cluster(place, case, backend, ports))
        })
        .collect();
    json!({"static_resources": {"listeners": listeners, "clusters": clusters}})
}

fn front(place: usize, case: &Case, ports: &Ports) -> Value {
    let mut manager = json!({
        "@type": MANAGER,
        "stat_prefix": format!("case{place}"),
        "generate_request_id": false,
        "http_filters": [],
        "access_log": [{"name": "file", "typed_config": {
            "@type": FILE_LOG,
            "path": ports.log,
            "log_format": {"text_format_source": {"inline_string": LINE}},
        }}],
    });
    for (key, value) in &case.manager {
        manager[key] = value.clone();
    }
    let router = json!({"name": "router", "typed_config": {"@type": ROUTER}});
    manager["http_filters"]
        .as_array_mut()
        .expect("a list of filters")
        .push(router);
    name_clusters(&mut manager, place);
    json!({
        "name": format!("case{place}"),
        "address": address(listener(place), ports.listeners),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    })
}

fn address(at: Ipv4Addr, port: u16) -> Value {
    json!({"socket_address": {"address": at.to_string(), "port_value": port}})
}

fn name(place: usize, backend: &str) -> String {
    format!("case{place}-{backend}")
}

/// Texts that begin with `@` are names of the case's clusters.
fn name_clusters(value: &mut Value, place: usize) {
    match value {
        Value::String(text) => {
            if let Some(backend) = text.strip_prefix('@') {
                *text = name(place, backend);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|each| name_clusters(each, place)),
        Value::Object(map) => {
            for (_, each) in map.iter_mut() {
                name_clusters(each, place);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn cluster(place: usize, case: &Case, backend: &Backend, ports: &Ports) -> Value {
    let name = name(place, backend.name);
    let mut cluster = json!({"name": name, "type": "STATIC", "connect_timeout": "1s"});
    for (key, value) in &backend.fields {
        cluster[key] = value.clone();
    }
    let mut localities: Vec<(Map<String, Value>, Vec<Value>)> = Vec::new();
    for (number, host) in backend.hosts.iter().enumerate() {
        let written = lb_endpoint(endpoint(case, backend, number), host, ports);
        match localities.last_mut() {
            Some((around, hosts)) if *around == host.around => hosts.push(written),
            Some(_) | None => localities.push((host.around.clone(), vec![written])),
        }
    }
    let localities: Vec<Value> = localities
        .into_iter()
        .map(|(mut around, hosts)| {
            around.insert("lb_endpoints".to_owned(), Value::from(hosts));
            Value::from(around)
        })
        .collect();
    cluster["load_assignment"] = json!({"cluster_name": name, "endpoints": localities});
    cluster
}

fn lb_endpoint(at: Ipv4Addr, host: &Host, ports: &Ports) -> Value {
    let port = if host.refuses {
        CLOSED
    } else {
        ports.upstreams
    };
    let mut written = json!({"endpoint": {"address": address(at, port)}});
    for (key, value) in &host.fields {
        if key == "hostname" {
            written["endpoint"]["hostname"] = value.clone();
        } else {
            written[key] = value.clone();
        }
    }
    written
}

/// What makes a cluster speak HTTP/2.
pub(crate) fn http2_options() -> Value {
    json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }})
}
