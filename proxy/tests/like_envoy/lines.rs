//! Lines of access logs: the same formats and the same requests, written by Envoy and by ours.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::binaries::Side;
use crate::bootstrap;
use crate::case::{Answer, Ask, Body, Deed, Response};
use crate::client::Caller;
use crate::processes::Running;
use crate::upstream::{Script, Upstreams, socket};
use crate::yaml;

/// Formats in text whose lines do not depend on when they are written, nor on ports that are drawn.
const TEXTS: [&str; 26] = [
    "%PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG% %UPSTREAM_PROTOCOL%",
    "%RESPONSE_CODE_DETAILS% %RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%",
    "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %REQ(:path)% %REQ(:AUTHORITY)% %REQ(:scheme)%",
    "%REQ(user-agent)% %REQ(user-agent):3% %REQ(nope?user-agent):4% %REQ(nope)% %REQ(nope?nope2)% %REQ(host)%",
    "%REQUEST_HEADER(x-a)%|%RESPONSE_HEADER(x-b)%|%RESPONSE_TRAILER(x-end)%|%TRAILER(x-end):1%",
    "%RESP(content-type)% %RESP(:status)% %RESP(x-b):2% %RESP(nope)% %RESP(nope?x-b)% %RESP(content-length)%",
    "%BYTES_RECEIVED% %BYTES_SENT%",
    "%UPSTREAM_CLUSTER% %UPSTREAM_CLUSTER_RAW% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %ROUTE_NAME% %VIRTUAL_CLUSTER_NAME%",
    "%UPSTREAM_HOST% %UPSTREAM_HOST_NAME% %UPSTREAM_HOST_NAME_WITHOUT_PORT% %UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_REMOTE_PORT%",
    "%UPSTREAM_HOSTS_ATTEMPTED% %UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT% %UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
    "%UPSTREAM_TRANSPORT_FAILURE_REASON% %CONNECTION_TERMINATION_DETAILS% %ACCESS_LOG_TYPE%",
    "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT% %DOWNSTREAM_DIRECT_LOCAL_ADDRESS%",
    "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER% %DOWNSTREAM_PEER_SUBJECT% %UPSTREAM_TLS_VERSION% %UPSTREAM_PEER_URI_SAN% %REQUESTED_SERVER_NAME%",
    "%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%",
    "%HOSTNAME% %ENVIRONMENT(LIKE_ENVOY)% %ENVIRONMENT(LIKE_ENVOY):2% %ENVIRONMENT(LIKE_ENVOY_NOT)%",
    "%STREAM_ID% %LOCAL_REPLY_BODY%|",
    "%PATH% %PATH(NQ)% %PATH(WQ:PATH)% %PATH(NQ:ORIG_OR_PATH)%",
    "%QUERY_PARAMS% %QUERY_PARAM(a)% %QUERY_PARAM(b):1% %QUERY_PARAM(c)% %QUERY_PARAMS(ORIG):2%",
    "%START_TIME(%Y %% %t|)% %EMIT_TIME(%C)% %START_TIME(%Z %z %Ez)%",
    "%FILTER_CHAIN_NAME% 100%% %%PROTOCOL%% %DYNAMIC_METADATA(a:b)% %FILTER_STATE(a)%",
    "%COMMON_DURATION(DS_RX_BEG:DS_RX_BEG:ns)%",
    "%REQ(x-request-id)% %REQ(x-forwarded-proto)% %REQ(x-envoy-expected-rq-timeout-ms)% %REQ(x-added)%",
    "%RESP(x-added)% %RESP(server)%",
    "%REQ(TE)%|%REQ(x-empty)%|%RESP(x-envoy-ratelimited)%",
    "plain\ttext \"quoted\" é",
];

/// Formats in JSON.
fn shapes() -> Vec<Value> {
    vec![
        json!({
            "b": "%RESPONSE_CODE%", "a": "%REQ(user-agent)%", "nope": "%REQ(nope)%",
            "mixed": "<%RESPONSE_CODE% %REQ(nope)%>", "list": ["%REQ(nope)%", "%BYTES_SENT%", "text"],
            "deep": {"z": "%RESPONSE_FLAGS%", "A": {"n": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"}},
            "number": 3, "half": 1.5, "truth": true, "nothing": null, "empty": {}, "none": [],
            "quoted \"name\"": "back\\slash", "port": "%DOWNSTREAM_LOCAL_PORT%",
            "cut": "%REQ(user-agent):3%", "grpc": "%GRPC_STATUS(NUMBER)%", "é": "%ROUTE_NAME%",
        }),
        json!({
            "nope": "%REQ(nope)%", "code": "%RESPONSE_CODE%", "deep": {"nope": "%REQ(nope)%"},
            "list": ["%REQ(nope)%", "x"], "mixed": "<%REQ(nope)%>", "nothing": null,
        }),
    ]
}

const HTTP: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const FILE: &str = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";

fn bootstrap(dir: &TempDir, listener: u16, upstream: u16) -> Value {
    let texts = TEXTS.iter().flat_map(|text| {
        let text = json!({"text_format_source": {"inline_string": format!("{text}\n")}});
        let mut omitting = text.clone();
        omitting["omit_empty_values"] = json!(true);
        [text, omitting]
    });
    let jsons = shapes().into_iter().flat_map(|shape| {
        let kept = json!({"json_format": shape});
        let mut omitting = kept.clone();
        omitting["omit_empty_values"] = json!(true);
        [kept, omitting]
    });
    let logs = texts.chain(jsons).enumerate().map(|(number, format)| {
        let path = dir.path().join(number.to_string());
        json!({"name": "file", "typed_config": {"@type": FILE, "path": path, "log_format": format}})
    });
    let logs: Vec<Value> = logs.collect();
    let cluster = |name: &str, address: &str, port: u16| {
        let at = json!({"socket_address": {"address": address, "port_value": port}});
        let host = json!({"endpoint": {"address": at, "hostname": "up.test:80"}});
        json!({
            "name": name, "type": "STATIC",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [host]}]},
        })
    };
    let added = json!([{"header": {"key": "x-added", "value": "here"}}]);
    let again = json!({
        "retry_on": "5xx", "num_retries": 2, "retry_back_off": {"base_interval": "0.001s"},
    });
    let routes = json!([
        {"match": {"prefix": "/direct"}, "direct_response": {"status": 403, "body": {"inline_string": "no \"entry\""}}},
        {"match": {"prefix": "/redirect"}, "redirect": {"path_redirect": "/direct"}},
        {"match": {"prefix": "/dead"}, "route": {"cluster": "dead", "prefix_rewrite": "/gone"}},
        {"match": {"prefix": "/missing"}, "route": {"cluster": "missing"}},
        {"name": "rewritten", "match": {"prefix": "/old"}, "route": {"cluster": "up", "prefix_rewrite": "/new"},
         "request_headers_to_add": added, "response_headers_to_add": added},
        {"match": {"prefix": "/slow"}, "route": {"cluster": "up", "timeout": "0.2s"}},
        {"name": "all", "match": {"prefix": "/up"}, "route": {"cluster": "up", "retry_policy": again}},
    ]);
    let manager = json!({
        "@type": HTTP,
        "stat_prefix": "in",
        "generate_request_id": false,
        "server_name": "envoy",
        "access_log": logs,
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
        "route_config": {
            "validate_clusters": false,
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        },
    });
    json!({"static_resources": {
        "listeners": [{
            "name": "in",
            "address": {"socket_address": {"address": "127.251.0.1", "port_value": listener}},
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        }],
        "clusters": [cluster("up", "127.251.0.2", upstream), cluster("dead", "127.251.0.3", 9)],
    }})
}

fn ask(target: &str, headers: &[(&str, &str)], answers: Vec<Answer>) -> Ask {
    let headers = headers.iter();
    Ask {
        http2: false,
        method: "GET".to_owned(),
        target: target.to_owned(),
        authority: Some("a.test".to_owned()),
        headers: headers
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .chain([("x-request-id".to_owned(), "an-id".to_owned())])
            .collect(),
        body: Body::None,
        answers,
        pause: Duration::ZERO,
        beside: false,
        aside: false,
        stall: Duration::ZERO,
        carried: None,
    }
}

fn asks() -> Vec<Ask> {
    let ok = || vec![Answer::status(200)];
    let agent = ("user-agent", "a \"quoted\" \\ agent");
    let mut told = Response::status(200);
    for (name, value) in [("x-b", "abc"), ("content-type", "text/plain")] {
        told.headers.push((name.to_owned(), value.to_owned()));
    }
    told.body = Body::Chunked(50);
    let mut grpc = told.clone();
    let status = ("grpc-status".to_owned(), "4".to_owned());
    grpc.headers.push(status);
    grpc.trailers.push(("x-end".to_owned(), "1".to_owned()));
    let kind = ("content-type", "application/grpc");
    let slow = Answer {
        after: Duration::from_millis(500),
        ..Answer::status(200)
    };
    let reset = Answer {
        after: Duration::ZERO,
        deed: Deed::Reset(0),
    };
    let mut broken = told.clone();
    broken.breaks = true;
    let mut all = vec![
        ask("/up?a=1&b=22&a=3", &[agent], vec![Answer::of(told)]),
        ask("/old/x?c=5", &[agent, ("x-a", "1"), ("x-empty", "")], ok()),
        ask("/none", &[], ok()),
        ask("/direct", &[], ok()),
        ask("/direct", &[kind], ok()),
        ask("/redirect?a=", &[], ok()),
        ask("/dead/end", &[], ok()),
        ask("/missing", &[], ok()),
        ask("/slow", &[], vec![slow]),
        ask("/up", &[], vec![Answer::status(503)]),
        ask("/up", &[], vec![reset.clone(), Answer::status(200)]),
        ask("/up", &[], vec![reset]),
        ask("/up", &[kind], vec![Answer::of(grpc)]),
        ask("/up", &[], vec![Answer::of(broken)]),
    ];
    let second: Vec<Ask> = all
        .iter()
        .cloned()
        .map(|mut ask| {
            ask.http2 = true;
            ask
        })
        .collect();
    all.extend(second);
    let mut posted = ask("/up", &[], ok());
    posted.method = "POST".to_owned();
    posted.body = Body::Sized(123);
    all.push(posted);
    all
}

/// Sends all requests to one side; gives the lines of each log.
async fn lines(side: Side, upstreams: &Upstreams, listener: u16) -> Vec<Vec<String>> {
    let dir = TempDir::new().expect("a place for logs");
    let file = tempfile::Builder::new().suffix(".yaml").tempfile();
    let file = file.expect("a file for the bootstrap");
    let text = yaml::document(&bootstrap(&dir, listener, upstreams.port));
    std::fs::write(file.path(), text).expect("it can be written");
    let asks = asks();
    let scripts = asks.iter().enumerate();
    let scripts = scripts.map(|(number, ask)| {
        let script = Script::new(ask.answers.clone(), Vec::<Ipv4Addr>::new().into());
        (number as u64, script)
    });
    upstreams.take_up(scripts.collect(), HashMap::new());
    let at = socket(Ipv4Addr::new(127, 251, 0, 1), listener);
    let running = Running::start(side, file.path(), &[at]).await;
    let mut running = running.unwrap_or_else(|why| panic!("{why}"));
    let caller = Caller::new(at);
    for (number, ask) in asks.iter().enumerate() {
        caller.ask(ask, number as u64).await;
    }
    drop(caller);
    running.end().await;
    (0..TEXTS.len() * 2 + shapes().len() * 2)
        .map(|number| {
            let path = dir.path().join(number.to_string());
            let bytes = std::fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.lines().map(str::to_owned).collect()
        })
        .collect()
}

/// A line with what is known to differ made alike.
///
/// - Flags stand in one order, not in that in which they came.
/// - A retry is told the whole of the route's time, not what is left of it.
/// - Trailers pass over HTTP/1.1, too.
fn told(line: &str) -> String {
    let mut line = line.replace("URX,UC", "UC,URX").replace(
        "UpstreamRetryLimitExceeded,UpstreamConnectionTermination",
        "UpstreamConnectionTermination,UpstreamRetryLimitExceeded",
    );
    for left in 14_900..15_000 {
        line = line.replace(&format!("an-id http {left}"), "an-id http 15000");
    }
    line.replace("|abc|1|1", "|abc||")
        .replace("|abc|-|-", "|abc||")
}

/// Writes what Envoy writes.
pub(crate) fn compare() {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let everything = async {
        let upstreams = Upstreams::start().await;
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let listener = free.local_addr().expect("its address").port();
        drop(free);
        let envoy = lines(Side::Envoy, &upstreams, listener).await;
        let ours = lines(Side::Ours, &upstreams, listener).await;
        let mut text = String::new();
        let asks = asks();
        for (number, (envoy, ours)) in envoy.iter().zip(&ours).enumerate() {
            assert_eq!(envoy.len(), asks.len(), "log {number} of Envoy: {envoy:#?}");
            assert_eq!(ours.len(), asks.len(), "log {number} of ours: {ours:#?}");
            for ((envoy, ours), ask) in envoy.iter().zip(ours).zip(&asks) {
                if told(envoy) != told(ours) {
                    let format = TEXTS.get(number / 2).copied().unwrap_or("JSON");
                    let version = if ask.http2 { 2 } else { 1 };
                    text.push_str(&format!(
                        "{format}\n  {} over HTTP/{version}\n  Envoy: {envoy}\n  ours:  {ours}\n",
                        ask.target
                    ));
                }
            }
        }
        assert!(text.is_empty(), "{text}");
    };
    LocalSet::new().block_on(&runtime, everything);
}

/// Only what both have is compared: the log of every case has its flags, too.
#[test]
fn a_line_of_a_case_is_taken_apart() {
    let line = "17 UF,URX via_upstream 2 case0-up 3 4";
    let (tag, logged) = bootstrap::logged(line).expect("a line");
    assert_eq!((tag, &*logged.flags, &*logged.tries), (17, "UF,URX", "2"));
    assert!(bootstrap::logged("- NR route_not_found 0 - 0 0").is_none());
}
