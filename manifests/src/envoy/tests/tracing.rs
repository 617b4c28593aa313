//! Tracing, records of connections, and bounds of the process.

use proxy_core::config::{
    ChainAction, ExportProtocol, Propagation, Sampler, TagValue, TraceShare, TraceSide, Tracing,
};

use super::harness::{accepted as there_and_back, indent, refused, with_manager};
use crate::envoy::{Bootstrap, read};

const OTEL: &str = "'@type': type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig";
const ZIPKIN: &str = "'@type': type.googleapis.com/envoy.config.trace.v3.ZipkinConfig";

/// A bootstrap that is read; tracing and logs of connections are not written again.
#[track_caller]
fn accepted(text: &str) -> Bootstrap {
    read("b.yaml", text).unwrap_or_else(|refused| panic!("{refused}\n{text}"))
}

/// A manager whose `tracing` has these fields.
fn with_tracing(fields: &str) -> String {
    with_manager(&format!("tracing:\n  {}", indent(fields, 2)), "{}")
}

/// The same with a provider of this config.
fn with_provider(config: &str) -> String {
    with_tracing(&format!(
        "provider:\n  name: p\n  typed_config: {{{config}}}"
    ))
}

fn tracing(b: &Bootstrap) -> &Tracing {
    b.http().tracing.as_deref().expect("it traces")
}

fn share(parts: u32, of: u32) -> TraceShare {
    TraceShare { parts, of }
}

#[test]
fn where_nothing_is_said_everything_is_traced_and_nobody_gets_spans() {
    assert!(
        there_and_back(&with_manager("", "{}"))
            .http()
            .tracing
            .is_none()
    );
    let b = accepted(&with_manager("tracing: {}", "{}"));
    let tracing = tracing(&b);
    assert_eq!(tracing.shares.client, share(100, 100));
    assert_eq!(tracing.shares.random, share(10_000, 10_000));
    assert_eq!(tracing.shares.overall, share(100, 100));
    assert_eq!((tracing.longest_path, tracing.spawns), (256, false));
    assert!(
        tracing.provider.is_none() && b.notes().is_empty(),
        "{:?}",
        b.notes()
    );
    assert!(
        b.http()
            .heads
            .as_deref()
            .is_some_and(|heads| heads.request_id.samples)
    );
}

#[test]
fn shares_have_the_digits_that_envoy_looks_at() {
    let b = accepted(&with_tracing(
        "client_sampling: {value: 12.9}\nrandom_sampling: {value: 1.236}\noverall_sampling: {value: 99.99}",
    ));
    let shares = tracing(&b).shares;
    assert_eq!(shares.client, share(12, 100));
    assert_eq!(shares.random, share(124, 10_000));
    assert_eq!(shares.overall, share(99, 100));
    let refused = refused(&with_tracing("random_sampling: {value: 101}"));
    assert_eq!(
        refused.errors(),
        ["envoy::value: must be from 0 to 100 per cent"]
    );
}

#[test]
fn open_telemetry_has_a_service_of_http_or_of_grpc() {
    let http = "http_service: {http_uri: {uri: 'https://c.test:4318/v1/traces', cluster: a, timeout: 2s}, request_headers_to_add: [{header: {key: X-T, value: v}}]}";
    let grpc =
        "grpc_service: {envoy_grpc: {cluster_name: b}, initial_metadata: [{key: x-t, value: v}]}";
    for (service, protocol, cluster, authority, path, millis) in [
        (
            http,
            ExportProtocol::OtlpHttp,
            "a",
            "c.test:4318",
            "/v1/traces",
            2000,
        ),
        (
            grpc,
            ExportProtocol::OtlpGrpc,
            "b",
            "b",
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            0,
        ),
    ] {
        let b = accepted(&with_provider(&format!(
            "{OTEL}, {service}, max_cache_size: 7"
        )));
        let provider = tracing(&b).provider.as_deref().expect("it has one");
        let export = &provider.export;
        assert_eq!(provider.propagation, Propagation::W3c);
        assert_eq!(export.protocol, protocol);
        assert_eq!((&*export.cluster, &*export.authority), (cluster, authority));
        assert_eq!((&*export.path, export.timeout.as_millis()), (path, millis));
        assert_eq!(export.headers, [("x-t".into(), "v".into())]);
        assert_eq!((export.capacity, export.batch), (7, 5));
        assert_eq!(export.interval.as_millis(), 5000);
        assert_eq!(&*export.service, "unknown_service:envoy");
        assert!(b.notes().is_empty(), "{:?}", b.notes());
    }
    for (config, error) in [
        (
            format!("{OTEL}, grpc_service: {{envoy_grpc: {{cluster_name: d}}}}"),
            "envoy::unknown-cluster: there is no cluster `d`",
        ),
        (
            format!("{OTEL}, http_service: {{http_uri: {{uri: /v1, cluster: a}}}}"),
            "envoy::value: a URI has a scheme and a host",
        ),
        (
            format!("{OTEL}, grpc_service: {{}}, http_service: {{}}"),
            "envoy::value: write one of `grpc_service` and `http_service`",
        ),
    ] {
        let refused = refused(&with_provider(&config));
        assert_eq!(refused.errors(), [error], "{config}");
    }
}

#[test]
fn samplers_and_detectors_that_are_known_are_taken_and_others_told() {
    let package = "type.googleapis.com/envoy.extensions.tracers.opentelemetry";
    let service = "grpc_service: {envoy_grpc: {cluster_name: a}}";
    let sampler = |kind: &str, more: &str| {
        format!("{{name: s, typed_config: {{'@type': {package}.samplers.v3.{kind}{more}}}}}")
    };
    let always = sampler("AlwaysOnSamplerConfig", "");
    let parent = sampler(
        "ParentBasedSamplerConfig",
        &format!(", wrapped_sampler: {always}"),
    );
    for (sampler, want, notes) in [
        (always, Sampler::Always, 0),
        (parent, Sampler::ParentElseAlways, 0),
        (
            sampler("TraceIdRatioBasedSamplerConfig", ""),
            Sampler::Reason,
            1,
        ),
    ] {
        let b = accepted(&with_provider(&format!(
            "{OTEL}, {service}, sampler: {sampler}"
        )));
        let provider = tracing(&b).provider.as_deref().expect("it has one");
        assert_eq!(
            (provider.sampler, b.notes().len()),
            (want, notes),
            "{sampler}"
        );
    }
    let detector = |kind: &str, more: &str| {
        format!(
            "{{name: d, typed_config: {{'@type': {package}.resource_detectors.v3.{kind}{more}}}}}"
        )
    };
    let detectors = [
        detector("EnvironmentResourceDetectorConfig", ""),
        detector("StaticConfigResourceDetectorConfig", ", attributes: {k: v}"),
        detector("DynatraceResourceDetectorConfig", ""),
    ];
    let detectors = detectors.join(", ");
    let b = accepted(&with_provider(&format!(
        "{OTEL}, {service}, resource_detectors: [{detectors}]"
    )));
    let export = &tracing(&b).provider.as_deref().expect("it has one").export;
    assert!(export.from_environment);
    assert_eq!(export.resource, [("k".into(), "v".into())]);
    assert_eq!(b.notes(), ["the resource detector `d` is not modelled"]);
}

#[test]
fn zipkin_says_in_which_form_traces_are_told() {
    let collector = "collector_cluster: a, collector_endpoint: /api/v2/spans";
    let b = accepted(&with_provider(&format!(
        "{ZIPKIN}, {collector}, collector_endpoint_version: HTTP_PROTO, trace_id_128bit: true, \
         shared_span_context: false, trace_context_option: USE_B3_WITH_W3C_PROPAGATION"
    )));
    let provider = tracing(&b).provider.as_deref().expect("it has one");
    let propagation = Propagation::B3 {
        wide: true,
        shares: false,
        w3c: true,
    };
    assert_eq!(provider.propagation, propagation);
    assert_eq!(&*provider.export.path, "/api/v2/spans");
    assert_eq!(provider.export.timeout.as_millis(), 5000);
    assert_eq!(
        b.notes(),
        ["a form of spans other than `HTTP_JSON` is not modelled"]
    );
    let refused = refused(&with_provider(&format!("{ZIPKIN}, collector_cluster: a")));
    assert_eq!(
        refused.errors(),
        ["envoy::value: the collector's endpoint is a path"]
    );
}

#[test]
fn a_tracer_that_nobody_knows_is_told_and_requests_are_still_decided_about() {
    let b = accepted(&with_provider(
        "'@type': type.googleapis.com/envoy.config.trace.v3.DatadogConfig",
    ));
    assert!(tracing(&b).provider.is_none());
    assert_eq!(b.notes(), ["the tracer `p` is not modelled"]);
}

#[test]
fn the_bootstraps_own_tracer_serves_managers_that_name_none() {
    let text = with_tracing("verbose: true");
    let general = format!(
        "\ntracing: {{http: {{name: z, typed_config: {{{ZIPKIN}, collector_cluster: a, collector_endpoint: /}}}}}}\n"
    );
    let b = accepted(&(text + &general));
    assert!(tracing(&b).provider.is_some() && tracing(&b).verbose);
}

#[test]
fn tags_say_what_they_are_told_to() {
    let b = accepted(&with_tracing(
        "custom_tags:
- {tag: a, literal: {value: v}}
- {tag: b, environment: {name: E, default_value: d}}
- {tag: c, request_header: {name: X-H}}
- {tag: d, metadata: {kind: {request: {}}, metadata_key: {key: k}, default_value: m}}
- {tag: e, value: '%PROTOCOL%'}",
    ));
    let tags: Vec<_> = tracing(&b).tags.iter().map(|tag| &tag.value).collect();
    assert_eq!(*tags[0], TagValue::Literal("v".into()));
    assert_eq!(*tags[1], TagValue::Environment("E".into(), "d".into()));
    assert_eq!(*tags[2], TagValue::Header("x-h".into(), "".into()));
    assert_eq!(*tags[3], TagValue::Literal("m".into()));
    assert!(matches!(tags[4], TagValue::Text(_)));
    assert_eq!(b.notes(), ["a tag of metadata is not modelled"]);
    for (tag, error) in [
        ("{tag: a}", "envoy::value: a tag has a value"),
        (
            "{tag: '', literal: {value: v}}",
            "envoy::value: a tag has a name",
        ),
    ] {
        let refused = refused(&with_tracing(&format!("custom_tags: [{tag}]")));
        assert_eq!(refused.errors(), [error], "{tag}");
    }
}

#[test]
fn listeners_say_which_way_requests_go_and_routes_have_their_say() {
    let routes = "virtual_hosts:
- name: v
  domains: ['*']
  routes:
  - match: {prefix: /a}
    route: {cluster: a}
    decorator: {operation: op, propagate: false}
    tracing: {random_sampling: {numerator: 5, denominator: MILLION}}
  - match: {prefix: /}
    route: {cluster: a}";
    let text = with_manager("tracing: {}", routes);
    for (direction, side) in [
        ("OUTBOUND", TraceSide::Egress),
        ("INBOUND", TraceSide::Ingress),
    ] {
        let name = format!("- name: l\n    traffic_direction: {direction}");
        let b = accepted(&text.replace("- name: l\n", &format!("{name}\n")));
        assert_eq!(tracing(&b).side, side);
        let said = b.routes()[0].tracing.as_deref().expect("it says something");
        let shares = said.shares.expect("it says how many");
        assert_eq!(shares.random, share(5, 1_000_000));
        assert_eq!(shares.overall, share(100, 100));
        let decorator = said.decorator.as_ref().expect("it has a name");
        assert_eq!((&*decorator.operation, decorator.propagates), ("op", false));
        assert!(b.routes()[1].tracing.is_none());
        assert!(b.notes().is_empty(), "{:?}", b.notes());
    }
}

#[test]
fn keys_of_the_runtime_say_when_spans_are_sent() {
    let text = with_provider(&format!(
        "{OTEL}, grpc_service: {{envoy_grpc: {{cluster_name: a}}}}"
    ));
    let layer = "\nlayered_runtime: {layers: [{name: s, static_layer: {tracing.opentelemetry.min_flush_spans: 2, tracing: {opentelemetry: {flush_interval_ms: 30}}, other: 1}}]}\n";
    let b = accepted(&(text + layer));
    let export = &tracing(&b).provider.as_deref().expect("it has one").export;
    assert_eq!((export.batch, export.interval.as_millis()), (2, 30));
    assert_eq!(b.notes(), ["the runtime key `other` is not modelled"]);
    let entries = &b.runtime[0].entries;
    let keys: Vec<&str> = entries.iter().map(|(key, _)| &**key).collect();
    assert_eq!(
        keys,
        [
            "tracing.opentelemetry.min_flush_spans",
            "tracing.opentelemetry.flush_interval_ms",
            "other",
        ]
    );
}

const LOG: &str = "{name: f, typed_config: {'@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/null}}";

/// A listener with these fields, and with these of its TCP proxy.
fn carrying(listener: &str, tcp: &str) -> String {
    let (listener, tcp) = (indent(listener, 4), indent(tcp, 10));
    format!(
        "static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{address: 0.0.0.0, port_value: 8080}}}}
    {listener}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: t
          cluster: a
          {tcp}
  clusters: [{{name: a}}]
"
    )
}

#[test]
fn listeners_and_tcp_proxies_have_logs_of_their_own() {
    let options = "access_log_options: {access_log_flush_interval: 2s, flush_access_log_on_connected: true, flush_access_log_on_start: true}";
    for (tcp, every, connected, notes) in [
        ("".to_owned(), None, false, 0),
        (
            "access_log_flush_interval: 1s".to_owned(),
            Some(1000),
            false,
            0,
        ),
        (
            "flush_access_log_on_connected: true".to_owned(),
            None,
            true,
            0,
        ),
        (options.to_owned(), Some(2000), true, 1),
    ] {
        let b = accepted(&carrying(
            &format!("access_log: [{LOG}, {LOG}]"),
            &format!("access_log: [{LOG}]\n{tcp}"),
        ));
        let ChainAction::Tcp(route) = &b.chain().action else {
            panic!("{:?}", b.chain().action);
        };
        assert_eq!(b.listener().logs.all().len(), 2);
        assert_eq!(route.logs.all.all().len(), 1);
        let found = route.logs.every.map(|every| every.as_millis());
        assert_eq!((found, route.logs.connected), (every, connected), "{tcp}");
        assert_eq!(b.notes().len(), notes, "{:?}", b.notes());
    }
}

#[test]
fn connections_may_be_bounded_in_age_and_heads_in_time() {
    let b = there_and_back(&with_manager(
        "request_headers_timeout: 3s\ncommon_http_protocol_options: {max_connection_duration: 4s}",
        "{}",
    ));
    let seconds = |timer: Option<proxy_core::origin::Sourced<proxy_core::time::Duration>>| {
        timer.map(|timer| timer.value.as_millis() / 1000)
    };
    assert_eq!(seconds(b.http().head_timeout), Some(3));
    assert_eq!(seconds(b.http().max_connection_duration), Some(4));
    let b = there_and_back(&carrying("", "max_downstream_connection_duration: 5s"));
    let ChainAction::Tcp(route) = &b.chain().action else {
        panic!("{:?}", b.chain().action);
    };
    assert_eq!(seconds(route.max_duration), Some(5));
}

#[test]
fn the_process_may_be_bounded_in_connections() {
    let monitor = |name: &str, config: &str| {
        format!(
            "{{name: {name}, typed_config: {{'@type': type.googleapis.com/envoy.extensions.resource_monitors.{config}}}}}"
        )
    };
    let connections = monitor(
        "n",
        "downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: 9",
    );
    let heap = monitor(
        "heap",
        "fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 1",
    );
    let bounded =
        |monitors: &str| format!("overload_manager: {{resource_monitors: [{monitors}]}}\n");
    for (listener, want) in [("", Some(9)), ("ignore_global_conn_limit: true", None)] {
        let text = carrying(listener, "") + &bounded(&connections);
        let b = accepted(&text);
        let found = b.listener().process_limit.map(|most| most.value);
        assert_eq!(found, want, "{listener}");
        if want.is_some() {
            there_and_back(&text);
        }
    }
    let b = accepted(&(carrying("", "") + &bounded(&heap)));
    assert_eq!(b.listener().process_limit, None);
    assert_eq!(b.notes(), ["the resource monitor `heap` is not modelled"]);
    let none = connections.replace("connections: 9", "connections: 0");
    let refused = refused(&(carrying("", "") + &bounded(&none)));
    assert_eq!(refused.errors(), ["envoy::value: must be at least 1"]);
}
