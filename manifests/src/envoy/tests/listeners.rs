use proxy_core::config::{
    ChainAction, CloseReason, HttpFilter, ListenerAddress, NodeKind, Preface, RouteAction,
    ServerName, TransportProtocol,
};
use proxy_core::time::Duration;

use super::harness::{CLUSTER_A, accepted, refused, with_filters, with_manager, with_routes};

#[test]
fn a_listener_sends_a_request_by_its_route_to_the_endpoint_of_a_cluster() {
    let b = accepted(&with_routes("- match: {prefix: /}\n  route: {cluster: a}"));
    let listener = b.listener();
    let any = ListenerAddress::Socket("0.0.0.0:8080".parse().unwrap());
    assert_eq!((&*listener.name, listener.address), ("l", any));
    assert_eq!(b.config.kind, NodeKind::Gateway);
    assert_eq!(&*b.section().tables()[0].name, "in");
    let RouteAction::Forward(forward) = &b.route().action else {
        panic!("{:?}", b.route().action);
    };
    let index = forward.clusters[0].cluster.unwrap();
    let cluster = &b.section().clusters()[index.0 as usize];
    assert_eq!(&*cluster.name, "a");
    let endpoint = &cluster.endpoints.endpoints[0];
    assert_eq!(endpoint.address, "10.0.0.1:80".parse().unwrap());
    assert!(b.notices.is_empty(), "{:?}", b.notes());
}

#[test]
fn values_know_where_they_were_written() {
    let b = accepted(&with_routes(
        "- match: {prefix: /}\n  route: {cluster: a, timeout: 3s}",
    ));
    assert_eq!(b.origin(b.listener().origin), "b.yaml:3");
    assert_eq!(b.origin(b.route().origin), "b.yaml:21");
    assert_eq!(b.origin(b.forward().timeout.origin), "b.yaml:22");
    assert_eq!(b.origin(b.cluster("a").origin), "b.yaml:24");
    assert_eq!(
        b.origin(b.cluster("a").connect_timeout.origin),
        "default of envoy"
    );
}

#[test]
fn the_timers_of_a_manager_are_envoys_unless_they_are_written() {
    const HOUR: u64 = 3_600_000;
    let common = |field: &str| format!("common_http_protocol_options: {{{field}}}");
    // stream idle, request, longest stream, connection idle
    let rows = [
        (String::new(), [Some(300_000), None, None, Some(HOUR)]),
        (
            "stream_idle_timeout: 0s".into(),
            [None, None, None, Some(HOUR)],
        ),
        (
            "stream_idle_timeout: 1.5s".into(),
            [Some(1_500), None, None, Some(HOUR)],
        ),
        (
            "request_timeout: 2s".into(),
            [Some(300_000), Some(2_000), None, Some(HOUR)],
        ),
        (
            "request_timeout: 0s".into(),
            [Some(300_000), None, None, Some(HOUR)],
        ),
        (
            common("max_stream_duration: 4s"),
            [Some(300_000), None, Some(4_000), Some(HOUR)],
        ),
        (
            common("idle_timeout: 0s"),
            [Some(300_000), None, None, None],
        ),
        (
            common("idle_timeout: 9s"),
            [Some(300_000), None, None, Some(9_000)],
        ),
    ];
    for (fields, expected) in rows {
        let b = accepted(&with_manager(&fields, "{}"));
        let http = b.http();
        let timers = [
            http.stream_idle_timeout,
            http.request_timeout,
            http.max_stream_duration,
            http.idle_timeout,
        ];
        let found = timers.map(|timer| timer.map(|timer| timer.value));
        assert_eq!(
            found,
            expected.map(|t| t.map(Duration::from_millis)),
            "{fields}"
        );
    }
}

#[test]
fn a_manager_is_an_edge_only_when_it_goes_by_the_remote_address() {
    for (fields, edge) in [
        ("", false),
        ("use_remote_address: false", false),
        ("use_remote_address: true", true),
        ("useRemoteAddress: true", true),
    ] {
        assert_eq!(
            accepted(&with_manager(fields, "{}")).http().edge,
            edge,
            "{fields}"
        );
    }
}

#[test]
fn requests_of_a_connection_are_unbounded_unless_written() {
    for (fields, most) in [
        ("", None),
        (
            "common_http_protocol_options: {max_requests_per_connection: 0}",
            None,
        ),
        (
            "common_http_protocol_options: {max_requests_per_connection: 7}",
            Some(7),
        ),
    ] {
        let b = accepted(&with_manager(fields, "{}"));
        let found = b.http().max_requests_per_connection.map(|most| most.value);
        assert_eq!(found, most, "{fields}");
    }
}

#[test]
fn what_a_manager_has_and_nobody_models_is_noted_with_its_meaning() {
    let b = accepted(&with_manager(
        "early_header_mutation_extensions: []\ndrain_timeout: 1s\ncodec_type: HTTP2",
        "{}",
    ));
    let expected = [
        "`early_header_mutation_extensions` is not modelled",
        "`drain_timeout` is not modelled",
        "a fixed `codec_type` is not modelled",
    ];
    assert_eq!(b.notes(), expected);
    assert!(
        b.notices
            .iter()
            .all(|notice| notice.meaning().is_some() && notice.span().is_some())
    );
}

fn limited(fields: &str) -> String {
    let filter = "
- name: rl
  typed_config:
    '@type': type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
    stat_prefix: rl
    ";
    with_filters(
        "",
        &format!("{filter}{}", super::harness::indent(fields, 4)),
        "{}",
    )
}

const ON: &str = "filter_enabled: {default_value: {numerator: 100}}
filter_enforced: {default_value: {numerator: 100}}
";

#[test]
fn a_local_rate_limit_has_a_bucket_and_a_status() {
    let bucket = "token_bucket: {max_tokens: 10, fill_interval: 1s}\n";
    let more = "token_bucket: {max_tokens: 10, tokens_per_fill: 5, fill_interval: 0.05s}\n";
    for (fields, expected) in [
        (format!("{ON}{bucket}"), Some((10, 1, 1_000, 429))),
        (format!("{ON}{more}"), Some((10, 5, 50, 429))),
        (
            format!("{ON}{bucket}status: {{code: 503}}"),
            Some((10, 1, 1_000, 503)),
        ),
        (
            format!("{ON}{bucket}status: {{code: ServiceUnavailable}}"),
            Some((10, 1, 1_000, 503)),
        ),
        (
            format!("{ON}{bucket}status: {{code: 200}}"),
            Some((10, 1, 1_000, 429)),
        ),
        (ON.to_owned(), None),
        (bucket.to_owned(), None),
        (
            format!("filter_enabled: {{default_value: {{numerator: 0}}}}\n{bucket}"),
            None,
        ),
    ] {
        let b = accepted(&limited(&fields));
        let [HttpFilter::LocalRateLimit(limit)] = &b.http().filters[..] else {
            panic!("{:?}", b.http().filters);
        };
        let found = limit.as_ref().map(|limit| {
            let bucket = limit.bucket;
            let interval = bucket.fill_interval.as_millis();
            (
                bucket.max_tokens,
                bucket.tokens_per_fill,
                interval,
                limit.status,
            )
        });
        assert_eq!(found, expected, "{fields}");
    }
}

#[test]
fn a_bucket_is_not_filled_more_often_than_every_50_ms() {
    let fields = format!("{ON}token_bucket: {{max_tokens: 1, fill_interval: 0.049s}}");
    assert_eq!(
        refused(&limited(&fields)).errors(),
        ["envoy::value: must be at least 0.05s"]
    );
}

#[test]
fn a_filter_that_would_turn_requests_away_is_noted_as_letting_them_pass() {
    let filter = "- name: jwt\n  typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication, providers: {}}";
    let b = accepted(&with_filters("", filter, "{}"));
    assert!(b.http().filters.is_empty());
    let meaning = b.notices[0].meaning().unwrap();
    assert!(
        meaning.contains("requests that it would refuse pass"),
        "{meaning}"
    );
}

#[test]
fn the_router_must_be_there_and_last() {
    let after = with_filters("", "", "{}").replace("          route_config:", "          - {name: f, typed_config: {'@type': x/envoy.extensions.filters.http.cors.v3.Cors}}\n          route_config:");
    assert_eq!(
        refused(&after).errors(),
        ["envoy::value: the last of `http_filters` must be the router"]
    );
}

fn with_chains(chains: &str) -> String {
    let chains = super::harness::indent(chains, 4);
    format!(
        "static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{address: '::', port_value: 1}}}}
    filter_chains:
    {chains}
  clusters:
{CLUSTER_A}"
    )
}

fn tcp(fields: &str) -> String {
    with_chains(&format!(
        "- filters:\n  - name: t\n    typed_config: {{'@type': x/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, {fields}}}"
    ))
}

#[test]
fn a_tcp_proxy_carries_bytes_to_its_clusters() {
    let split = "weighted_clusters: {clusters: [{name: a, weight: 1}, {name: c, weight: 3}]}";
    // clusters with weights, idle timeout in seconds, further tries
    let rows = [
        ("cluster: b".to_owned(), vec![(1, 1)], Some(3600), 0),
        (split.to_owned(), vec![(0, 1), (2, 3)], Some(3600), 0),
        (
            "cluster: a, idle_timeout: 5s".into(),
            vec![(0, 1)],
            Some(5),
            0,
        ),
        ("cluster: a, idle_timeout: 0s".into(), vec![(0, 1)], None, 0),
        (
            "cluster: a, max_connect_attempts: 3".into(),
            vec![(0, 1)],
            Some(3600),
            2,
        ),
    ];
    for (fields, clusters, idle, retries) in rows {
        let b = accepted(&tcp(&fields));
        let ChainAction::Tcp(route) = &b.chain().action else {
            panic!("{:?}", b.chain().action);
        };
        let found: Vec<_> = route
            .clusters
            .iter()
            .map(|(c, weight)| (c.0, *weight))
            .collect();
        assert_eq!(found, clusters, "{fields}");
        let seconds = route.idle_timeout.map(|idle| idle.value.as_millis() / 1000);
        assert_eq!(
            (seconds, route.connect_retries),
            (idle, retries),
            "{fields}"
        );
    }
}

#[test]
fn a_tcp_proxy_needs_somewhere_to_go() {
    for (fields, error) in [
        (
            "cluster: d",
            "envoy::unknown-cluster: there is no cluster `d`",
        ),
        (
            "idle_timeout: 1s",
            "envoy::value: write one of `cluster` and `weighted_clusters`",
        ),
        (
            "cluster: a, max_connect_attempts: 0",
            "envoy::value: must be at least 1",
        ),
        (
            "weighted_clusters: {clusters: [{name: a, weight: 0}]}",
            "envoy::value: the weights of a split must not all be 0",
        ),
    ] {
        assert_eq!(refused(&tcp(fields)).errors(), [error], "{fields}");
    }
}

#[test]
fn chains_match_by_port_address_name_and_protocol() {
    let chains = "
- filter_chain_match:
    destination_port: 443
    prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]
    server_names: [Shop.example.com, '*.example.com']
    transport_protocol: tls
    application_protocols: [h2]
  filters: []
- filter_chain_match: {transport_protocol: raw_buffer, source_ports: [1]}
  filters: []
";
    let b = accepted(&with_chains(chains));
    let first = &b.listener().chains[0].matches;
    assert_eq!(first.port, Some(443));
    assert!(first.destinations[0].contains("10.9.9.9".parse().unwrap()));
    assert!(!first.destinations[0].contains("11.0.0.1".parse().unwrap()));
    let names = [
        ServerName::Exact("shop.example.com".into()),
        ServerName::Suffix(".example.com".into()),
    ];
    assert_eq!(first.server_names, names);
    assert_eq!(first.transport, Some(TransportProtocol::Tls));
    assert_eq!(&*first.protocols[0], "h2");
    let second = &b.listener().chains[1];
    assert_eq!(second.matches.transport, Some(TransportProtocol::Raw));
    assert!(matches!(
        second.action,
        ChainAction::Close(CloseReason::NoFilterChain)
    ));
    assert!(b.notes().contains(&"`source_ports` is not modelled"));
}

#[test]
fn the_default_chain_takes_what_no_other_takes() {
    let text = with_chains("- filter_chain_match: {destination_port: 7}\n  filters: []\n").replace(
        "  clusters:\n",
        "    default_filter_chain: {filters: []}\n  clusters:\n",
    );
    let b = accepted(&text);
    let matches: Vec<_> = b
        .listener()
        .chains
        .iter()
        .map(|chain| chain.matches.port)
        .collect();
    assert_eq!(matches, [Some(7), None]);
}

#[test]
fn connections_are_bounded_by_a_filter_or_a_runtime_key() {
    let limit = "- filters:
  - {name: c, typed_config: {'@type': x/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit, stat_prefix: c, max_connections: 9}}
  - {name: t, typed_config: {'@type': x/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: a}}";
    let by_filter = with_chains(limit);
    let runtime = "layered_runtime: {layers: [{name: s, static_layer: {envoy: {resource_limits: {listener: {l: {connection_limit: 4}}}}}}]}\n";
    for (text, most) in [
        (with_chains("- filters: []"), None),
        (by_filter.clone(), Some(9)),
        (
            format!("{}{runtime}", with_chains("- filters: []")),
            Some(4),
        ),
        (format!("{by_filter}{runtime}"), Some(4)),
    ] {
        let b = accepted(&text);
        assert_eq!(
            b.listener().max_connections.map(|most| most.value),
            most,
            "{text}"
        );
    }
}

#[test]
fn listener_filters_that_only_look_are_taken_and_others_noted() {
    let kinds = [
        "tls_inspector.v3.TlsInspector",
        "http_inspector.v3.HttpInspector",
        "original_dst.v3.OriginalDst",
    ];
    let filter = |kind: &str| {
        format!(
            "    - {{name: f, typed_config: {{'@type': x/envoy.extensions.filters.listener.{kind}}}}}\n"
        )
    };
    let text = |filters: String| {
        with_chains("- filters: []").replace(
            "    filter_chains:",
            &format!("    listener_filters:\n{filters}    filter_chains:"),
        )
    };
    let known = accepted(&text(kinds.map(filter).concat()));
    assert!(
        known
            .notices
            .iter()
            .all(|notice| notice.code == "envoy::no-filters")
    );
    let other = accepted(&text(filter("local_ratelimit.v3.LocalRateLimit")));
    assert!(
        other
            .notes()
            .contains(&"the listener filter `f` is not modelled")
    );
}

/// As a dump of Emissary's has them.
#[test]
fn filters_may_be_known_by_their_names_alone() {
    let router =
        "{name: router, typed_config: {'@type': x/envoy.extensions.filters.http.router.v3.Router}}";
    let written = with_routes("- match: {prefix: /}\n  route: {cluster: a}").replace(
        "type.googleapis.com/envoy.extensions.filters.http.router",
        "x/envoy.extensions.filters.http.router",
    );
    let written = written.replace(
        "- name: router\n            typed_config: {'@type': x/envoy.extensions.filters.http.router.v3.Router}",
        &format!("- {router}"),
    );
    assert!(written.contains(router), "{written}");
    let with = |filters: &str| written.replace(&format!("- {router}"), filters);
    let text = with("- {name: envoy.filters.http.cors}\n          - {name: envoy.filters.http.router}")
        .replace(
            "    filter_chains:",
            "    listener_filters: [{name: envoy.filters.listener.proxy_protocol}, {name: envoy.filters.listener.tls_inspector}]\n    filter_chains:",
        );
    let b = accepted(&text);
    assert!(matches!(b.http().filters[..], [HttpFilter::Cors]));
    let both = Some(Preface {
        optional: false,
        v1: true,
        v2: true,
    });
    assert_eq!(b.listener().preface, both);
    assert!(b.notices.is_empty(), "{:?}", b.notes());
    let other = refused(&with("- {name: envoy.filters.http.other}"));
    let wanted = "envoy::value: the last of `http_filters` must be the router";
    assert_eq!(other.errors(), [wanted]);
}

#[test]
fn a_listener_may_take_headers_of_the_proxy_protocol() {
    let text = |fields: &str| {
        let filter = format!(
            "    listener_filters:\n    - {{name: pp, typed_config: {{'@type': x/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol{fields}}}}}\n    filter_chains:"
        );
        with_chains("- filters: []").replace("    filter_chains:", &filter)
    };
    let rules = |optional, v1, v2| Some(Preface { optional, v1, v2 });
    for (fields, want) in [
        ("", rules(false, true, true)),
        (
            ", allow_requests_without_proxy_protocol: true",
            rules(true, true, true),
        ),
        (", disallowed_versions: [V2]", rules(false, true, false)),
    ] {
        assert_eq!(accepted(&text(fields)).listener().preface, want, "{fields}");
    }
    let b = accepted(&text(", rules: [{tlv_type: 1}]"));
    assert!(b.notes().contains(&"`rules` is not modelled"));
    assert_eq!(
        accepted(&with_chains("- filters: []")).listener().preface,
        None
    );
}

#[test]
fn listeners_without_a_socket_are_left_out() {
    for (from, to) in [
        (
            "{socket_address: {address: '::', port_value: 1}}",
            "{pipe: {path: /x}}",
        ),
        ("  - name: l", "  - name: l\n    bind_to_port: false"),
    ] {
        let text = with_chains("- filters: []").replace(from, to);
        let b = accepted(&text);
        assert!(b.section().listeners().is_empty(), "{text}");
        assert!(!b.notices.is_empty(), "{text}");
    }
}

#[test]
fn a_listener_has_each_of_its_addresses() {
    let text = with_chains("- filters: []").replace(
        "    filter_chains:",
        "    additional_addresses: [{address: {socket_address: {address: 127.0.0.1, port_value: 2}}}]\n    filter_chains:",
    );
    let b = accepted(&text);
    let addresses: Vec<_> = b.section().listeners().iter().map(|l| l.address).collect();
    let socket = |text: &str| ListenerAddress::Socket(text.parse().unwrap());
    assert_eq!(addresses, [socket("[::]:1"), socket("127.0.0.1:2")]);
}

/// Envoy: `ListenerFilter.filter_disabled`.
#[test]
fn a_chain_for_tls_is_never_met_where_nobody_looks_for_it() {
    let chain = |port: u16, transport: &str| {
        format!(
            "- {{filters: [], filter_chain_match: {{destination_port: {port}, transport_protocol: {transport}}}}}"
        )
    };
    let chains = [
        chain(7000, "tls"),
        chain(7000, "raw_buffer"),
        chain(8000, "tls"),
    ]
    .join("\n");
    let off = "or_match: {rules: [{destination_port_range: {start: 7000, end: 7001}}, {destination_port_range: {start: 9000, end: 9001}}]}";
    let text = |off: &str| {
        let kind = "x/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
        with_chains(&chains).replace(
            "    filter_chains:",
            &format!(
                "    listener_filters:\n    - {{name: f, filter_disabled: {{{off}}}, typed_config: {{'@type': {kind}}}}}\n    filter_chains:"
            ),
        )
    };
    let found = |off: &str| {
        let b = accepted(&text(off));
        let chains = b.listener().chains.iter();
        let told = chains.map(|it| format!("{:?} {:?}", it.matches.port, it.matches.transport));
        told.collect::<Vec<_>>()
    };
    let met = ["Some(7000) None", "Some(8000) Some(Tls)"];
    assert_eq!(found(off), met);
    assert_eq!(
        found("destination_port_range: {start: 7000, end: 7001}"),
        met
    );
    let all = [
        "Some(7000) Some(Tls)",
        "Some(7000) Some(Raw)",
        "Some(8000) Some(Tls)",
    ];
    assert_eq!(
        found("destination_port_range: {start: 6000, end: 7000}"),
        all
    );
}
