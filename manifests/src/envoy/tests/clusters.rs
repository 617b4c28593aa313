use proxy_core::config::{
    Balancer, Cluster, DiscoveredHealth, Discovery, HashBalance, LocalityBalance, Name,
    PrefaceVersion, RetryBudget, Share, SubsetFallback, UpstreamProtocol, UpstreamTransport,
};
use proxy_core::outlier::Settings;
use proxy_core::time::Duration;

use super::harness::{accepted, refused, with_cluster, with_routes};
use crate::envoy::{LookupFamily, Resolution};

fn cluster(fields: &str) -> Cluster {
    accepted(&with_cluster(fields)).cluster("x").clone()
}

#[test]
fn a_cluster_of_which_only_the_name_is_written_has_envoys_defaults() {
    let x = cluster("");
    let plain = Cluster::envoy("x", x.endpoints.as_ref().clone());
    assert_eq!(x.discovery, Discovery::Endpoints);
    assert_eq!(x.balancer.value, Balancer::RoundRobin);
    assert_eq!(x.connect_timeout.value, Duration::from_secs(5));
    assert_eq!(x.panic_threshold.value, Share::from_percent(50.0));
    assert_eq!(
        (x.locality.value, x.overprovisioning),
        (LocalityBalance::Ignored, 140)
    );
    assert_eq!(x.protocol, UpstreamProtocol::Http1);
    assert_eq!(x.transport, plain.transport);
    assert_eq!(
        x.pool.idle_timeout.unwrap().value,
        Duration::from_secs(3600)
    );
    for limits in x.limits {
        let all = [
            limits.connections,
            limits.pending,
            limits.requests,
            limits.retries,
        ];
        assert_eq!(all.map(|limit| limit.value), [1024, 1024, 1024, 3]);
    }
    assert!(x.outlier.is_none() && x.slow_start.is_none() && x.health_checks.is_empty());
    assert!(x.retry_budget.is_none() && !x.fail_traffic_on_panic);
}

#[test]
fn the_connect_timeout_is_above_zero() {
    assert_eq!(
        cluster("connect_timeout: 0.25s").connect_timeout.value,
        Duration::from_millis(250)
    );
    assert_eq!(
        refused(&with_cluster("connect_timeout: 0s")).errors(),
        ["envoy::value: must be above 0"]
    );
}

#[test]
fn the_balancer_is_that_of_the_old_fields_or_of_the_new_policy() {
    let typed = |kind: &str| {
        format!(
            "load_balancing_policy: {{policies: [{{typed_extension_config: {{name: p, typed_config: {{'@type': x/envoy.extensions.load_balancing_policies.{kind}}}}}}}]}}"
        )
    };
    let least = |choices, bias, full_scan| Balancer::LeastRequest {
        choices,
        bias,
        full_scan,
    };
    let ring = |min_size, max_size, bound| Balancer::RingHash {
        min_size,
        max_size,
        bound,
    };
    for (fields, expected) in [
        ("lb_policy: ROUND_ROBIN".to_owned(), Balancer::RoundRobin),
        ("lb_policy: RANDOM".into(), Balancer::Random),
        ("lbPolicy: LEAST_REQUEST".into(), least(2, 1.0, false)),
        ("lb_policy: LEAST_REQUEST\nleast_request_lb_config: {choice_count: 5, active_request_bias: {default_value: 0.5, runtime_key: k}}".into(), least(5, 0.5, false)),
        ("lb_policy: RING_HASH".into(), ring(1024, 8_388_608, None)),
        ("lb_policy: RING_HASH\nring_hash_lb_config: {minimum_ring_size: '8', maximum_ring_size: 16}\ncommon_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 120}}".into(), ring(8, 16, Some(HashBalance { factor: 120 }))),
        ("lb_policy: MAGLEV".into(), Balancer::Maglev { size: 65_537, bound: None }),
        ("lb_policy: MAGLEV\nmaglev_lb_config: {table_size: 7}".into(), Balancer::Maglev { size: 7, bound: None }),
        (typed("random.v3.Random"), Balancer::Random),
        (typed("least_request.v3.LeastRequest, choice_count: 3, selection_method: FULL_SCAN"), least(3, 1.0, true)),
        (typed("client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin"), Balancer::RoundRobin),
    ] {
        assert_eq!(cluster(&fields).balancer.value, expected, "{fields}");
    }
}

#[test]
fn settings_of_balancers_that_make_no_sense_are_refused() {
    for fields in [
        "lb_policy: LEAST_REQUEST\nleast_request_lb_config: {choice_count: 1}",
        "lb_policy: MAGLEV\nmaglev_lb_config: {table_size: 8}",
        "lb_policy: RING_HASH\nring_hash_lb_config: {minimum_ring_size: 9, maximum_ring_size: 8}",
        "lb_policy: CLUSTER_PROVIDED",
        "type: ORIGINAL_DST\nlb_policy: RANDOM",
        "common_lb_config: {healthy_panic_threshold: {value: 101}}",
    ] {
        assert_eq!(refused(&with_cluster(fields)).errors().len(), 1, "{fields}");
    }
}

#[test]
fn slow_start_is_of_round_robin_and_least_request() {
    let slow = "slow_start_config: {slow_start_window: 60s, aggression: {default_value: 2.0, runtime_key: k}, min_weight_percent: {value: 20}}";
    for (fields, is_slow) in [
        (format!("round_robin_lb_config: {{{slow}}}"), true),
        (
            format!("lb_policy: LEAST_REQUEST\nleast_request_lb_config: {{{slow}}}"),
            true,
        ),
        (
            format!("lb_policy: RANDOM\nround_robin_lb_config: {{{slow}}}"),
            false,
        ),
        ("round_robin_lb_config: {}".into(), false),
    ] {
        let found = cluster(&fields).slow_start.map(|slow| slow.value);
        assert_eq!(found.is_some(), is_slow, "{fields}");
        if let Some(slow) = found {
            assert_eq!(
                (slow.window, slow.aggression, slow.min_weight),
                (Duration::from_secs(60), 2.0, 0.2)
            );
        }
    }
}

const SPREAD: &str = "load_assignment:
  cluster_name: x
  policy: {overprovisioning_factor: 200}
  endpoints:
  - locality: {region: r, zone: z}
    load_balancing_weight: 3
    lb_endpoints:
    - endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}, hostname: one}
      load_balancing_weight: 5
      metadata: {filter_metadata: {envoy.lb: {version: v2, canary: true}}}
    - {endpoint: {address: {socket_address: {address: 10.0.0.2, port_value: 80}}}, health_status: DRAINING}
  - priority: 1
    lb_endpoints:
    - {endpoint: {address: {socket_address: {address: '::1', port_value: 81}}}, health_status: TIMEOUT}
";

#[test]
fn endpoints_have_locality_priority_weight_health_and_labels() {
    let x = cluster(SPREAD);
    let [one, two, three] = &x.endpoints.endpoints[..] else {
        panic!()
    };
    assert_eq!(
        (one.address, &*one.hostname, &*one.locality),
        ("10.0.0.1:80".parse().unwrap(), "one", "r/z")
    );
    assert_eq!(&*two.hostname, "", "an address is no name");
    assert_eq!(
        (one.weight, one.priority, one.canary, one.health),
        (5, 0, true, DiscoveredHealth::Healthy)
    );
    assert_eq!(
        &*one.labels,
        &[
            ("version".into(), "v2".into()),
            ("canary".into(), "true".into())
        ]
    );
    assert_eq!((two.weight, two.health), (1, DiscoveredHealth::Draining));
    assert_eq!(
        (&*three.locality, three.priority, three.health),
        ("", 1, DiscoveredHealth::Unhealthy)
    );
    assert_eq!(x.endpoints.locality_weights, [("r/z".into(), 0, 3)]);
    assert_eq!(x.overprovisioning, 200);
}

fn named(kind: &str, host: &str) -> String {
    with_cluster(&format!(
        "type: {kind}\ndns_refresh_rate: 9s\nload_assignment: {{cluster_name: x, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {host}, port_value: 80}}}}}}}}]}}]}}"
    ))
}

#[test]
fn names_are_asked_for_as_the_cluster_says() {
    let asking = "dns_jitter: 1s\ndns_lookup_family: ALL\nrespect_dns_ttl: true\ndns_failure_refresh_rate: {base_interval: 2s}\n";
    let text = named("STRICT_DNS", "shop.example.com").replace(
        "dns_refresh_rate: 9s",
        &super::harness::indent(&format!("dns_refresh_rate: 9s\n{asking}"), 4),
    );
    let b = accepted(&text);
    let name = &b.unresolved[0];
    assert_eq!(name.jitter, Duration::from_secs(1));
    assert_eq!(name.family, LookupFamily::All);
    let (base, most) = (Duration::from_secs(2), Duration::from_secs(20));
    assert_eq!(name.failure, Some((base, most)));
    assert_eq!(b.notes(), ["`respect_dns_ttl` is not modelled"]);
    let errors = refused(&text.replace("base_interval: 2s", "base_interval: 2s, max_interval: 1s"));
    assert!(errors.errors()[0].contains("must not be above `max_interval`"));
}

#[test]
fn connections_may_begin_with_a_header() {
    let socket = |config: &str| {
        with_cluster(&format!(
            "transport_socket:\n  name: pp\n  typed_config:\n    '@type': x/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport\n{config}    transport_socket: {{name: tls, typed_config: {{'@type': x/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: shop}}}}"
        ))
    };
    for (config, version) in [
        ("", PrefaceVersion::V1),
        ("    config: {version: V1}\n", PrefaceVersion::V1),
        ("    config: {version: V2}\n", PrefaceVersion::V2),
    ] {
        let b = accepted(&socket(config));
        let cluster = b.cluster("x");
        assert_eq!(cluster.preface, Some(version));
        let is_tls =
            matches!(&cluster.transport, UpstreamTransport::Tls { sni, .. } if &**sni == "shop");
        assert!(is_tls, "behind it stands what it wraps");
    }
    let b = accepted(&socket("    config: {pass_through_tlvs: {}}\n"));
    assert_eq!(b.notes(), ["`pass_through_tlvs` is not modelled"]);
    assert_eq!(
        accepted(&with_cluster("type: STATIC")).cluster("x").preface,
        None
    );
}

#[test]
fn names_are_kept_for_whoever_resolves_them() {
    for (kind, resolution) in [
        ("STRICT_DNS", Resolution::All),
        ("LOGICAL_DNS", Resolution::First),
    ] {
        let b = accepted(&named(kind, "shop.example.com"));
        assert!(b.cluster("x").endpoints.endpoints.is_empty());
        let name = &b.unresolved[0];
        assert_eq!(
            (&*name.cluster, &*name.host, name.port),
            ("x", "shop.example.com", 80)
        );
        assert_eq!(
            (name.resolution, name.refresh),
            (resolution, Duration::from_secs(9))
        );
        assert_eq!(&*name.endpoint.hostname, "shop.example.com");
        let literal = accepted(&named(kind, "10.0.0.9"));
        assert!(literal.unresolved.is_empty());
        assert_eq!(literal.cluster("x").endpoints.endpoints.len(), 1);
    }
    let message =
        "envoy::value: `shop.example.com` is no IP address: a static cluster resolves no names";
    assert_eq!(
        refused(&named("STATIC", "shop.example.com")).errors(),
        [message]
    );
}

#[test]
fn an_original_destination_is_its_own_endpoint() {
    let x = cluster("type: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED");
    assert_eq!(
        (x.discovery, x.balancer.value),
        (
            Discovery::OriginalDestination,
            Balancer::OriginalDestination
        )
    );
}

#[test]
fn a_cluster_that_would_be_fetched_has_no_endpoints_and_a_note() {
    let b = accepted(&with_cluster(
        "type: EDS\neds_cluster_config: {service_name: x}",
    ));
    assert_eq!(b.notices.len(), 2);
    assert!(b.cluster("x").endpoints.endpoints.is_empty());
}

/// A cluster of clusters `x` beside `a`, with two priorities, and `b`.
fn aggregate(members: &str) -> String {
    let at = |ip: &str| {
        format!(
            "{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {ip}, port_value: 80}}}}}}}}]}}"
        )
    };
    let second = at("10.0.0.2").replacen('{', "{priority: 1, ", 1);
    let (first, third) = (at("10.0.0.1"), at("10.0.0.3"));
    format!(
        "static_resources:\n  clusters:\n  - name: a\n    connect_timeout: 3s\n    load_assignment: {{cluster_name: a, endpoints: [{first}, {second}]}}\n  - name: b\n    load_assignment: {{cluster_name: b, endpoints: [{third}]}}\n  - name: x\n    lb_policy: CLUSTER_PROVIDED\n    cluster_type: {{name: envoy.clusters.aggregate, typed_config: {{'@type': type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig, clusters: [{members}]}}}}\n"
    )
}

#[test]
fn behind_a_cluster_of_clusters_the_first_ones_endpoints_come_first() {
    for (members, expected) in [
        (
            "a, b",
            &[("10.0.0.1:80", 0), ("10.0.0.2:80", 1), ("10.0.0.3:80", 2)][..],
        ),
        (
            "b, a",
            &[("10.0.0.3:80", 0), ("10.0.0.1:80", 1), ("10.0.0.2:80", 2)],
        ),
        ("b", &[("10.0.0.3:80", 0)]),
    ] {
        let x = accepted(&aggregate(members)).cluster("x").clone();
        let found = x.endpoints.endpoints.iter();
        let found: Vec<(String, u8)> = found
            .map(|it| (it.address.to_string(), it.priority))
            .collect();
        let expected: Vec<(String, u8)> =
            expected.iter().map(|it| (it.0.to_owned(), it.1)).collect();
        assert_eq!(found, expected, "{members}");
    }
}

#[test]
fn a_cluster_of_clusters_calls_as_its_first_does() {
    let x = accepted(&aggregate("a, b")).cluster("x").clone();
    assert_eq!(x.connect_timeout.value, Duration::from_secs(3));
    assert_eq!(x.balancer.value, Balancer::RoundRobin);
}

#[test]
fn a_cluster_of_clusters_has_clusters_with_endpoints() {
    let message = "envoy::value: this is no cluster with endpoints of its own";
    for (members, expected) in [
        ("a, c", &[message][..]),
        ("x", &[message]),
        ("", &["envoy::value: a cluster of clusters needs some"]),
    ] {
        assert_eq!(refused(&aggregate(members)).errors(), expected, "{members}");
    }
}

#[test]
fn limits_are_by_priority_and_the_first_entry_of_each_counts() {
    let x = cluster(
        "circuit_breakers:\n  thresholds:\n  - {max_connections: 1, max_retries: 0}\n  - {priority: HIGH, max_pending_requests: 2, max_requests: '3'}\n  - {max_connections: 9}\n  per_host_thresholds: [{max_connections: 4}]",
    );
    let all = x
        .limits
        .map(|l| [l.connections, l.pending, l.requests, l.retries].map(|l| l.value));
    assert_eq!(all, [[1, 1024, 1024, 0], [1024, 2, 3, 3]]);
    assert_eq!(x.pool.max_connections_per_endpoint.unwrap().value, 4);
}

#[test]
fn a_retry_budget_has_envoys_defaults() {
    for (fields, percent, least) in [
        ("{}", 20.0, 3),
        (
            "{budget_percent: {value: 12.5}, min_retry_concurrency: 7}",
            12.5,
            7,
        ),
    ] {
        let x = cluster(&format!(
            "circuit_breakers: {{thresholds: [{{retry_budget: {fields}}}]}}"
        ));
        let Some(RetryBudget::Concurrency(budget)) = x.retry_budget.map(|budget| budget.value)
        else {
            panic!()
        };
        assert_eq!(
            (budget.percent, budget.min_concurrency),
            (percent, least),
            "{fields}"
        );
    }
}

#[test]
fn empty_outlier_detection_is_envoys() {
    assert_eq!(
        cluster("outlier_detection: {}").outlier.unwrap().value,
        Settings::envoy_v3()
    );
}

#[test]
fn every_field_of_outlier_detection_counts() {
    let defaults = Settings::envoy_v3();
    let ten = Share::from_percent(10.0);
    let rows: [(&str, Settings); 23] = [
        (
            "consecutive_5xx: 7",
            Settings {
                consecutive_5xx: 7,
                ..defaults
            },
        ),
        (
            "consecutive5xx: 0",
            Settings {
                consecutive_5xx: 0,
                ..defaults
            },
        ),
        (
            "enforcing_consecutive_5xx: 10",
            Settings {
                enforcing_consecutive_5xx: ten,
                ..defaults
            },
        ),
        (
            "consecutive_gateway_failure: 7",
            Settings {
                consecutive_gateway_failure: 7,
                ..defaults
            },
        ),
        (
            "enforcing_consecutive_gateway_failure: 10",
            Settings {
                enforcing_consecutive_gateway_failure: ten,
                ..defaults
            },
        ),
        (
            "split_external_local_origin_errors: true",
            Settings {
                split_local_origin: true,
                ..defaults
            },
        ),
        (
            "consecutive_local_origin_failure: 7",
            Settings {
                consecutive_local_origin_failure: 7,
                ..defaults
            },
        ),
        (
            "enforcing_consecutive_local_origin_failure: 10",
            Settings {
                enforcing_consecutive_local_origin: ten,
                ..defaults
            },
        ),
        (
            "interval: 1s",
            Settings {
                interval: Duration::from_secs(1),
                ..defaults
            },
        ),
        (
            "base_ejection_time: 1s",
            Settings {
                base_ejection_time: Duration::from_secs(1),
                ..defaults
            },
        ),
        (
            "base_ejection_time: 400s",
            Settings {
                base_ejection_time: Duration::from_secs(400),
                max_ejection_time: Duration::from_secs(400),
                ..defaults
            },
        ),
        (
            "max_ejection_time: 60s",
            Settings {
                max_ejection_time: Duration::from_secs(60),
                ..defaults
            },
        ),
        (
            "max_ejection_time_jitter: 1s",
            Settings {
                max_ejection_jitter: Duration::from_secs(1),
                ..defaults
            },
        ),
        (
            "max_ejection_percent: 100",
            Settings {
                max_ejection_share: Share::ALL,
                ..defaults
            },
        ),
        (
            "always_eject_one_host: true",
            Settings {
                always_eject_one: true,
                ..defaults
            },
        ),
        (
            "enforcing_success_rate: 10",
            Settings {
                success_rate: proxy_core::outlier::RateRule {
                    enforcing: ten,
                    ..defaults.success_rate
                },
                ..defaults
            },
        ),
        (
            "success_rate_minimum_hosts: 2",
            Settings {
                success_rate: proxy_core::outlier::RateRule {
                    minimum_hosts: 2,
                    ..defaults.success_rate
                },
                ..defaults
            },
        ),
        (
            "success_rate_stdev_factor: 1000",
            Settings {
                success_rate_stdev_factor: 1000,
                ..defaults
            },
        ),
        (
            "enforcing_local_origin_success_rate: 10",
            Settings {
                enforcing_local_origin_success_rate: ten,
                ..defaults
            },
        ),
        (
            "failure_percentage_threshold: 10",
            Settings {
                failure_percentage_threshold: 10,
                ..defaults
            },
        ),
        (
            "enforcing_failure_percentage: 10",
            Settings {
                failure_percentage: proxy_core::outlier::RateRule {
                    enforcing: ten,
                    ..defaults.failure_percentage
                },
                ..defaults
            },
        ),
        (
            "enforcing_failure_percentage_local_origin: 10",
            Settings {
                enforcing_failure_percentage_local_origin: ten,
                ..defaults
            },
        ),
        (
            "successful_active_health_check_uneject_host: false",
            Settings {
                health_check_returns: false,
                ..defaults
            },
        ),
    ];
    for (field, expected) in rows {
        assert_eq!(
            cluster(&format!("outlier_detection: {{{field}}}"))
                .outlier
                .unwrap()
                .value,
            expected,
            "{field}"
        );
    }
    for field in ["interval: 0s", "max_ejection_percent: 101"] {
        refused(&with_cluster(&format!("outlier_detection: {{{field}}}")));
    }
}

#[test]
fn health_checks_are_by_path_or_by_connection() {
    let times = "timeout: 1s, interval: 5s, unhealthy_threshold: 2, healthy_threshold: 3";
    let x = cluster(&format!(
        "health_checks:\n- {{{times}, http_health_check: {{path: /ok, expected_statuses: [{{start: 200, end: 204}}], retriable_statuses: [{{start: 500, end: 501}}]}}}}\n- {{{times}, tcp_health_check: {{}}, no_traffic_interval: 7s, interval_jitter: 1s, interval_jitter_percent: 10, unhealthy_interval: 2s}}"
    ));
    let [http, tcp] = &x.health_checks[..] else {
        panic!()
    };
    let (http, tcp) = (&http.value, &tcp.value);
    assert_eq!((http.path.as_deref(), &*http.host), (Some("/ok"), ""));
    assert_eq!(
        (&http.expected[..], &http.retriable[..]),
        (&[(200, 203)][..], &[(500, 500)][..])
    );
    assert_eq!(
        (http.timeout, http.interval),
        (Duration::from_secs(1), Duration::from_secs(5))
    );
    assert_eq!((http.unhealthy_threshold, http.healthy_threshold), (2, 3));
    assert_eq!(http.no_traffic_interval, Some(Duration::from_secs(60)));
    assert!(tcp.path.is_none());
    assert_eq!(tcp.no_traffic_interval, Some(Duration::from_secs(7)));
    assert_eq!(tcp.interval_jitter, Duration::from_millis(1500));
    assert_eq!(tcp.unhealthy_interval, Some(Duration::from_secs(2)));
    let errors = refused(&with_cluster(
        "health_checks: [{timeout: 1s, tcp_health_check: {}}]",
    ))
    .errors();
    assert!(errors[0].starts_with("field::missing"), "{errors:?}");
}

#[test]
fn panic_and_localities_go_by_the_common_settings() {
    let x = cluster(
        "common_lb_config: {healthy_panic_threshold: {value: 0}, locality_weighted_lb_config: {}}",
    );
    assert_eq!(x.panic_threshold.value, Share::ZERO);
    assert_eq!(x.locality.value, LocalityBalance::Weighted);
}

#[test]
fn zones_count_only_beside_a_local_cluster() {
    let fields = format!(
        "{SPREAD}common_lb_config: {{zone_aware_lb_config: {{min_cluster_size: 2, routing_enabled: {{value: 50}}, fail_traffic_on_panic: true}}}}"
    );
    let alone = cluster(&fields);
    assert_eq!(alone.locality.value, LocalityBalance::Ignored);
    assert!(alone.fail_traffic_on_panic);
    let me = "  - name: me\n    load_assignment: {cluster_name: me, endpoints: [{locality: {zone: z}, lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.1.0.1, port_value: 1}}}}]}]}\n";
    let text = format!(
        "cluster_manager: {{local_cluster_name: me}}\n{}{me}",
        with_cluster(&fields)
    );
    let b = accepted(&text);
    let LocalityBalance::ZoneAware(zones) = &b.cluster("x").locality.value else {
        panic!()
    };
    assert_eq!(
        (zones.min_cluster_size, zones.enabled),
        (2, Share::from_percent(50.0))
    );
    assert_eq!(zones.callers, [("/z".into(), 1)]);
}

#[test]
fn what_is_spoken_goes_by_the_protocol_options() {
    let typed = |fields: &str| {
        format!(
            "typed_extension_protocol_options: {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{'@type': x/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, {fields}}}}}"
        )
    };
    for (fields, protocol) in [
        (
            "http2_protocol_options: {}".to_owned(),
            UpstreamProtocol::Http2,
        ),
        (
            "protocol_selection: USE_DOWNSTREAM_PROTOCOL".into(),
            UpstreamProtocol::Downstream,
        ),
        (
            typed("explicit_http_config: {http_protocol_options: {}}"),
            UpstreamProtocol::Http1,
        ),
        (
            typed("explicit_http_config: {http2_protocol_options: {}}"),
            UpstreamProtocol::Http2,
        ),
        (
            typed("use_downstream_protocol_config: {}"),
            UpstreamProtocol::Downstream,
        ),
    ] {
        assert_eq!(cluster(&fields).protocol, protocol, "{fields}");
    }
    let x = cluster(&typed(
        "explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 8}}, common_http_protocol_options: {idle_timeout: 4s, max_requests_per_connection: 5, max_connection_duration: 6s}",
    ));
    assert_eq!(x.pool.max_streams.value, 8);
    assert_eq!(x.pool.idle_timeout.unwrap().value, Duration::from_secs(4));
    assert_eq!(x.pool.max_requests_per_connection.unwrap().value, 5);
    assert_eq!(x.pool.max_duration.unwrap().value, Duration::from_secs(6));
    assert_eq!(
        cluster("max_requests_per_connection: 3")
            .pool
            .max_requests_per_connection
            .unwrap()
            .value,
        3
    );
    assert_eq!(
        refused(&with_cluster(&typed("header_validation_config: {}")))
            .errors()
            .len(),
        1
    );
}

#[test]
fn a_cluster_has_the_subsets_that_its_selectors_make() {
    let labels = "{filter_metadata: {envoy.lb: {version: v2, stage: prod}}}";
    let routes =
        format!("- match: {{prefix: /}}\n  route: {{cluster: b, metadata_match: {labels}}}");
    let label = |key: &str, value: &str| (Name::from(key), Name::from(value));
    for (fallback, expected) in [
        ("", SubsetFallback::Nowhere),
        ("fallback_policy: NO_FALLBACK, ", SubsetFallback::Nowhere),
        ("fallback_policy: ANY_ENDPOINT, ", SubsetFallback::Any),
        (
            "fallback_policy: DEFAULT_SUBSET, default_subset: {stage: test}, ",
            SubsetFallback::Labelled(vec![label("stage", "test")]),
        ),
    ] {
        let subsets = format!(
            "  - name: b\n    lb_subset_config: {{{fallback}subset_selectors: [{{keys: [version, stage]}}, {{keys: [zone]}}]}}"
        );
        let b = accepted(&with_routes(&routes).replace("  - name: b", &subsets));
        assert_eq!(
            b.forward().subset,
            [label("stage", "prod"), label("version", "v2")],
            "by key"
        );
        let clusters = b.section().clusters();
        let subsets = clusters.iter().find_map(|it| it.subsets.as_ref());
        let subsets = subsets.expect("b has some");
        assert_eq!(subsets.fallback, expected, "{fallback}");
        let keys = [vec!["stage".into(), "version".into()], vec!["zone".into()]];
        assert_eq!(subsets.selectors, keys);
    }
}
