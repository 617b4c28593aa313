//! What both proxies are given: listeners that trace in several ways, and requests.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

const HTTP: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const OPEN_TELEMETRY: &str = "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig";
const ZIPKIN: &str = "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig";
const OPTIONS: &str = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// How many listeners there are.
pub(super) const COUNT: u16 = 12;

/// Listeners by name: which way, what stands in `tracing`.
pub(super) fn listeners() -> Vec<(&'static str, bool, Value)> {
    let otlp = |service: Value| {
        let mut config = service;
        config["@type"] = json!(OPEN_TELEMETRY);
        config["service_name"] = json!("svc");
        json!({"name": "o", "typed_config": config})
    };
    let http = json!({"http_service": {
        "http_uri": {"uri": "http://c.test/v1/traces", "cluster": "up", "timeout": "1s"},
        "request_headers_to_add": [{"header": {"key": "x-token", "value": "t"}}],
    }});
    let grpc = json!({"grpc_service": {
        "envoy_grpc": {"cluster_name": "up2"}, "timeout": "1s",
        "initial_metadata": [{"key": "x-token", "value": "g"}],
    }});
    let zipkin = |more: Value| {
        let mut config = json!({
            "@type": ZIPKIN, "collector_cluster": "up", "collector_endpoint": "/api/v2/spans",
            "collector_endpoint_version": "HTTP_JSON",
        });
        for (key, value) in more.as_object().expect("fields") {
            config[key] = value.clone();
        }
        json!({"name": "z", "typed_config": config})
    };
    let tags = json!([
        {"tag": "lit", "literal": {"value": "v"}},
        {"tag": "env", "environment": {"name": "LIKE_ENVOY", "default_value": "d"}},
        {"tag": "env2", "environment": {"name": "LIKE_ENVOY_NOT", "default_value": "d"}},
        {"tag": "env3", "environment": {"name": "LIKE_ENVOY_NOT"}},
        {"tag": "head", "request_header": {"name": "X-H", "default_value": "none"}},
        {"tag": "head2", "request_header": {"name": "x-nope"}},
    ]);
    let parent = json!({"name": "s", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.tracers.opentelemetry.samplers.v3.AlwaysOnSamplerConfig",
    }});
    let mut always = http.clone();
    always["sampler"] = parent.clone();
    let mut after = http.clone();
    after["sampler"] = json!({"name": "s", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.tracers.opentelemetry.samplers.v3.ParentBasedSamplerConfig",
        "wrapped_sampler": parent,
    }});
    let none = json!({"value": 0});
    vec![
        (
            "in",
            false,
            json!({"custom_tags": tags, "provider": otlp(http.clone())}),
        ),
        (
            "out",
            true,
            json!({"custom_tags": tags, "provider": otlp(grpc)}),
        ),
        (
            "spawn",
            false,
            json!({"spawn_upstream_span": true, "verbose": true, "provider": otlp(http.clone())}),
        ),
        (
            "never",
            false,
            json!({"random_sampling": none, "provider": otlp(http.clone())}),
        ),
        (
            "off",
            false,
            json!({"overall_sampling": none, "client_sampling": none, "provider": otlp(http)}),
        ),
        ("always", false, json!({"provider": otlp(always)})),
        ("after", false, json!({"provider": otlp(after)})),
        (
            "zipkin",
            false,
            json!({"max_path_tag_length": 5, "provider": zipkin(json!({}))}),
        ),
        (
            "zipkin-out",
            true,
            json!({"provider": zipkin(json!({
                "trace_id_128bit": true, "trace_context_option": "USE_B3_WITH_W3C_PROPAGATION",
            }))}),
        ),
        (
            "zipkin-spawn",
            false,
            json!({"spawn_upstream_span": true, "provider": zipkin(json!({}))}),
        ),
        (
            "zipkin-apart",
            false,
            json!({"provider": zipkin(json!({"shared_span_context": false}))}),
        ),
        ("alone", false, json!({})),
    ]
}

pub(super) fn bootstrap(first: u16, upstream: SocketAddr) -> Value {
    let again = json!({
        "retry_on": "5xx", "num_retries": 1, "retry_back_off": {"base_interval": "0.001s"},
    });
    let own = json!([
        {"tag": "route", "literal": {"value": "r"}}, {"tag": "lit", "literal": {"value": "route"}},
    ]);
    let routes = json!([
        {"match": {"prefix": "/never"}, "route": {"cluster": "up"},
         "tracing": {"random_sampling": {"numerator": 0}, "custom_tags": own}},
        {"match": {"prefix": "/named"}, "route": {"cluster": "up"},
         "decorator": {"operation": "named"}, "tracing": {"custom_tags": own}},
        {"match": {"prefix": "/quiet"}, "route": {"cluster": "up"},
         "decorator": {"operation": "quiet", "propagate": false}},
        {"match": {"prefix": "/again"}, "route": {"cluster": "up", "retry_policy": again}},
        {"match": {"prefix": "/direct"}, "direct_response": {"status": 200, "body": {"inline_string": "x"}}},
        {"match": {"prefix": "/dead"}, "route": {"cluster": "dead"}},
        {"match": {"prefix": "/slow"}, "route": {"cluster": "up", "timeout": "0.1s"}},
        {"match": {"prefix": "/tried"}, "route": {"cluster": "up", "retry_policy": {"per_try_timeout": "0.1s"}}},
        {"match": {"prefix": "/old"}, "route": {"cluster": "up", "prefix_rewrite": "/"}},
    ]);
    let all = (first..).zip(listeners());
    let all = all.map(|(port, (name, outbound, tracing))| {
        let manager = json!({
            "@type": HTTP, "stat_prefix": name, "server_name": "envoy",
            "use_remote_address": true, "preserve_external_request_id": true,
            "internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]},
            "tracing": tracing,
            "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        });
        json!({
            "name": name,
            "traffic_direction": if outbound { "OUTBOUND" } else { "INBOUND" },
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        })
    });
    let cluster = |name: &str, at: SocketAddr, http2: bool| {
        let at = json!({"socket_address": {"address": at.ip(), "port_value": at.port()}});
        let mut cluster = json!({
            "name": name, "type": "STATIC",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at}}]}]},
        });
        if http2 {
            cluster["typed_extension_protocol_options"] = json!({
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": OPTIONS, "explicit_http_config": {"http2_protocol_options": {}},
                },
            });
        }
        cluster
    };
    let dead = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    json!({
        "node": {"id": "n", "cluster": "c", "locality": {"zone": "z"}},
        "layered_runtime": {"layers": [{"name": "a", "static_layer": {
            "tracing.opentelemetry.flush_interval_ms": 50, "tracing.opentelemetry.min_flush_spans": 1,
            "tracing.zipkin.flush_interval_ms": 50, "tracing.zipkin.min_flush_spans": 1,
        }}]},
        "static_resources": {
            "listeners": all.collect::<Vec<_>>(),
            "clusters": [
                cluster("up", upstream, false), cluster("up2", upstream, true), cluster("dead", dead, false),
            ],
        },
    })
}

/// A request: to which listener, for what, with which headers.
pub(super) type Ask = (&'static str, &'static str, Vec<(&'static str, String)>);

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
const WIDE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const NARROW: &str = "64fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";
const OTHER: &str = "05e3ac9a4f6e3b90";

pub(super) fn asks() -> Vec<Ask> {
    let force = || ("x-envoy-force-trace", "1".to_owned());
    let client = || ("x-client-trace-id", "cc".to_owned());
    let parent = |flags: &str| ("traceparent", format!("{PARENT}-{flags}"));
    let named = || ("x-envoy-decorator-operation", "client".to_owned());
    let grpc = || ("content-type", "application/grpc".to_owned());
    let id = |letter: char| {
        (
            "x-request-id",
            format!("00000001-0000-{letter}000-8000-000000000000"),
        )
    };
    let b3 = |value: String| ("b3", value);
    let trace = |id: &str| ("x-b3-traceid", id.to_owned());
    let span = || ("x-b3-spanid", SPAN.to_owned());
    let sampled = |value: &str| ("x-b3-sampled", value.to_owned());
    let state = |value: &str| ("tracestate", value.to_owned());
    let mut all: Vec<Ask> = vec![
        (
            "in",
            "/none",
            vec![
                parent("01"),
                state("a=1"),
                state("b=2"),
                ("x-h", "hi".to_owned()),
            ],
        ),
        ("in", "/old/a?b=c", vec![("user-agent", "a".to_owned())]),
        ("in", "/old/a", vec![parent("00"), force()]),
        (
            "in",
            "/old/a",
            vec![("traceparent", "bad".to_owned()), state("a=1")],
        ),
        ("in", "/old/a", vec![client()]),
        ("in", "/never", vec![]),
        ("in", "/never", vec![force()]),
        ("in", "/never", vec![client(), force()]),
        ("in", "/never", vec![id('9')]),
        ("in", "/never", vec![id('b')]),
        ("in", "/named", vec![named()]),
        ("in", "/named/b", vec![]),
        ("in", "/quiet", vec![]),
        ("in", "/named/renamed", vec![]),
        ("in", "/direct", vec![]),
        ("in", "/dead", vec![]),
        ("in", "/slow/delay", vec![]),
        (
            "in",
            "/old/grpc4",
            vec![grpc(), ("grpc-timeout", "1S".to_owned())],
        ),
        ("in", "/old/grpc5", vec![grpc()]),
        ("in", "/old/grpc8", vec![grpc()]),
        ("out", "/old/grpc5", vec![grpc()]),
        ("out", "/old/grpc8", vec![grpc()]),
        ("in", "/none", vec![grpc()]),
        ("in", "/old/s404", vec![]),
        ("in", "/old/s503", vec![]),
        ("out", "/old/a", vec![]),
        ("out", "/old/a", vec![parent("01")]),
        ("out", "/named", vec![named()]),
        ("out", "/quiet", vec![named()]),
        ("out", "/named/renamed", vec![]),
        ("out", "/old/s404", vec![]),
        ("out", "/again/s503", vec![]),
        ("spawn", "/old/a", vec![parent("01")]),
        ("spawn", "/again/s503", vec![]),
        ("spawn", "/direct", vec![]),
        ("spawn", "/dead", vec![]),
        ("spawn", "/slow/delay", vec![]),
        ("spawn", "/tried/delay", vec![]),
        ("spawn", "/tried/s404", vec![]),
        ("never", "/old/a", vec![]),
        ("never", "/old/a", vec![parent("01")]),
        ("never", "/old/a", vec![force()]),
        ("off", "/old/a", vec![force(), id('9')]),
        ("off", "/old/a", vec![client()]),
        ("off", "/old/a", vec![parent("01")]),
        ("always", "/old/a", vec![]),
        ("always", "/old/a", vec![parent("00")]),
        ("always", "/never", vec![parent("01")]),
        ("after", "/old/a", vec![]),
        ("after", "/old/a", vec![parent("00")]),
        ("alone", "/old/a", vec![parent("01")]),
        ("alone", "/named", vec![named()]),
        ("zipkin", "/old/a", vec![]),
        ("zipkin", "/never", vec![]),
        ("zipkin", "/old/a", vec![b3("0".to_owned())]),
        (
            "zipkin",
            "/old/a",
            vec![b3(format!("{WIDE}-{SPAN}-1-{OTHER}"))],
        ),
        ("zipkin", "/old/a", vec![b3(format!("{WIDE}-{SPAN}"))]),
        ("zipkin", "/old/a", vec![b3("junk-junk".to_owned())]),
        ("zipkin", "/old/a", vec![b3(format!("{NARROW}-{SPAN}-d"))]),
        ("zipkin", "/old/a", vec![b3(format!("{NARROW}-{SPAN}-0"))]),
        ("zipkin", "/old/a", vec![sampled("0")]),
        ("zipkin", "/never", vec![sampled("1")]),
        ("zipkin", "/never", vec![b3("1".to_owned())]),
        (
            "zipkin",
            "/never",
            vec![sampled("1"), trace(NARROW), span()],
        ),
        (
            "zipkin",
            "/old/a",
            vec![sampled("true"), trace(NARROW), span()],
        ),
        (
            "zipkin",
            "/old/a",
            vec![trace(WIDE), span(), ("x-b3-parentspanid", OTHER.to_owned())],
        ),
        (
            "zipkin",
            "/old/a",
            vec![trace(NARROW), span(), ("x-b3-flags", "1".to_owned())],
        ),
        ("zipkin", "/old/a", vec![trace("zz"), span()]),
        ("zipkin", "/old/a", vec![trace(NARROW), sampled("1")]),
        ("zipkin", "/old/a", vec![parent("01")]),
        (
            "zipkin-apart",
            "/old/a",
            vec![trace(NARROW), span(), sampled("1")],
        ),
    ];
    for listener in ["zipkin-out", "zipkin-spawn"] {
        all.extend([
            (listener, "/old/a", vec![]),
            (listener, "/old/a", vec![parent("01"), state("a=1")]),
            (
                listener,
                "/old/a",
                vec![trace(NARROW), span(), sampled("1")],
            ),
            (
                listener,
                "/old/a",
                vec![b3(format!("{WIDE}-{SPAN}-1-{OTHER}"))],
            ),
        ]);
    }
    all
}
