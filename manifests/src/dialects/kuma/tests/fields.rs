//! Every field: as it is by default, set, at its edges, and wrong.

use proxy_core::config::{Balancer, HashSource, Share};
use proxy_core::retry::backoff::{Backoff, FullJitter, ResetFormat};
use proxy_core::time::Duration;

use super::harness::{Built, http_of, policy, tcp_of, to_all, to_web, with};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Settings, what they come to, and the figure that shows it.
type Row<'a> = (&'a str, &'a str, fn(&Built) -> String);

fn table(kind: &str, rows: &[Row<'_>]) {
    for (conf, expected, figure) in rows {
        let text = if conf.is_empty() {
            String::new()
        } else {
            policy(kind, &to_web(conf))
        };
        let built = with(&text);
        assert_eq!(built.problems, "", "{conf}");
        assert_eq!(figure(&built), *expected, "{conf}");
    }
}

fn refused(kind: &str, confs: &[&str]) {
    for conf in confs {
        let built = with(&policy(kind, &to_all(conf)));
        let is_error = built.problems.contains("error[");
        assert!(is_error, "{conf}: {}", built.problems);
    }
}

#[test]
fn timeouts() {
    let request = |it: &Built| format!("{:?}", it.web("/").timeout.value);
    let idle = |it: &Built| format!("{:?}", it.web("/").idle_timeout.map(|it| it.value));
    let stream = |it: &Built| format!("{:?}", it.web("/").max_stream_duration.map(|it| it.value));
    let connect = |it: &Built| format!("{:?}", it.cluster("web_shop_svc_80").connect_timeout.value);
    let pool = |it: &Built| {
        let cluster = it.cluster("web_shop_svc_80");
        format!("{:?}", cluster.pool.idle_timeout.map(|it| it.value))
    };
    let age = |it: &Built| {
        let cluster = it.cluster("web_shop_svc_80");
        format!("{:?}", cluster.pool.max_duration.map(|it| it.value))
    };
    let head = |it: &Built| {
        let listener = it.listener("api", it.address("web"));
        format!(
            "{:?}",
            http_of(&listener.chains[0].action)
                .head_timeout
                .map(|it| it.value)
        )
    };
    let some = |seconds| format!("{:?}", Some(secs(seconds)));
    table(
        "MeshTimeout",
        &[
            ("", &some(15), request),
            ("http: {requestTimeout: 1m30s}", &some(90), request),
            ("http: {requestTimeout: 0s}", "None", request),
            ("", &some(1800), idle),
            ("http: {streamIdleTimeout: 5s}", &some(5), idle),
            ("http: {streamIdleTimeout: 0s}", &some(0), idle),
            ("", "None", stream),
            ("http: {maxStreamDuration: 9s}", &some(9), stream),
            ("", &format!("{:?}", secs(5)), connect),
            ("connectionTimeout: 1s", &format!("{:?}", secs(1)), connect),
            ("", &some(3600), pool),
            ("idleTimeout: 20s", &some(20), pool),
            ("idleTimeout: 0s", "None", pool),
            ("", "None", age),
            ("http: {maxConnectionDuration: 1h}", &some(3600), age),
            ("", "None", head),
            (
                "http: {requestHeadersTimeout: 2s, requestTimeout: 1s}",
                &some(2),
                head,
            ),
        ],
    );
    refused(
        "MeshTimeout",
        &[
            "",
            "connectionTimeout: 0s",
            "connectionTimeout: 5",
            "idleTimeout: -1s",
            "http: {}",
            "http: {requestHeadersTimeout: 1s}",
            "http: {requestTimout: 1s}",
        ],
    );
}

#[test]
fn idle_timeouts_of_bytes_are_the_connections_and_calls_keep_envoys() {
    let built = with(&policy("MeshTimeout", &to_all("idleTimeout: 20s")));
    let listener = built.listener("api", built.address("db"));
    let idle = tcp_of(&listener.chains[0].action).idle_timeout;
    assert_eq!(idle.expect("set").value, secs(20));
    let of_calls = built.cluster("rpc_shop_svc_9000").pool.idle_timeout;
    assert_eq!(of_calls.expect("an hour").value, secs(3600));
}

#[test]
fn retries() {
    let retry = |it: &Built| it.retries("web").expect("retries");
    let built = with(&policy(
        "MeshRetry",
        &to_web(
            "http: {numRetries: 2, perTryTimeout: 3s, backOff: {baseInterval: 10ms}, rateLimitedBackOff: {resetHeaders: [{name: Retry-After, format: Seconds}, {name: x-reset, format: UnixTimestamp}], maxInterval: 9s}, retryOn: [5xx, Reset], hostSelection: [{predicate: OmitPreviousHosts}, {predicate: OmitPreviousPriorities}], hostSelectionMaxAttempts: 3}",
        ),
    ));
    assert_eq!(built.problems, "");
    let all = retry(&built);
    assert_eq!(all.retries.value, 2);
    assert_eq!(all.per_try_timeout.map(|it| it.value), Some(secs(3)));
    // the base is set, the stock maximum stays
    let jitter = FullJitter::new(Duration::from_millis(10), Some(Duration::from_millis(250)));
    assert_eq!(all.backoff.value, Backoff::FullJitter(jitter));
    let limited = all.rate_limited_backoff.clone().expect("asked for");
    assert_eq!(limited.max_interval, secs(9));
    let headers = [
        ("retry-after".into(), ResetFormat::Seconds),
        ("x-reset".into(), ResetFormat::UnixTimestamp),
    ];
    assert_eq!(limited.headers, headers);
    assert_eq!(all.avoid_previous.map(|it| it.value), Some(3));
    assert_eq!(all.previous_priorities, Some(2));
    let off = with(&policy("MeshRetry", &to_web("http: {perTryTimeout: 0s}")));
    assert!(retry(&off).per_try_timeout.is_none());
    let tcp = with(&policy("MeshRetry", &to_all("tcp: {maxConnectAttempt: 1}")));
    let listener = tcp.listener("api", tcp.address("db"));
    assert_eq!(tcp_of(&listener.chains[0].action).connect_retries, 0);
    refused(
        "MeshRetry",
        &[
            "",
            "tcp: {}",
            "tcp: {maxConnectAttempt: 0}",
            "http: {}",
            "grpc: {}",
            "http: {retryOn: [gateway-error]}",
            "http: {retryOn: ['600']}",
            "http: {backOff: {}}",
            "http: {numRetries: -1}",
            "http: {rateLimitedBackOff: {maxInterval: 1s}}",
            "http: {rateLimitedBackOff: {resetHeaders: [{name: a, format: Minutes}]}}",
            "http: {hostSelection: [{predicate: OmitPreviousPriorities, updateFrequency: 0}]}",
            "http: {hostSelection: [{predicate: OmitHosts}]}",
            "grpc: {retryOn: [Cancelled]}",
        ],
    );
    let headers = "http: {retriableResponseHeaders: [{name: x-retry, type: Present}]}";
    let built = with(&policy("MeshRetry", &to_all(headers)));
    assert_eq!(built.codes(), ["kuma::no-effect"]);
}

#[test]
fn limits_and_ejection() {
    let limits = |it: &Built| {
        let cluster = it.cluster("web_shop_svc_80");
        let all = cluster
            .limits
            .map(|it| [it.connections, it.pending, it.requests, it.retries].map(|it| it.value));
        format!("{all:?}")
    };
    let set = "connectionLimits: {maxConnections: 1, maxPendingRequests: 2, maxRequests: 3, maxRetries: 4}";
    table(
        "MeshCircuitBreaker",
        &[
            ("", "[[1024, 1024, 1024, 3], [1024, 1024, 1024, 3]]", limits),
            (set, "[[1, 2, 3, 4], [1024, 1024, 1024, 3]]", limits),
            (
                "connectionLimits: {maxRetries: 9}",
                "[[1024, 1024, 1024, 9], [1024, 1024, 1024, 3]]",
                limits,
            ),
        ],
    );
    let conf = "outlierDetection: {interval: 5s, baseEjectionTime: 400s, maxEjectionPercent: 50, splitExternalAndLocalErrors: true, healthyPanicThreshold: '62.5', detectors: {gatewayFailures: {consecutive: 2}, localOriginFailures: {consecutive: 4}, successRate: {minimumHosts: 3, requestVolume: 20, standardDeviationFactor: '1.5'}, failurePercentage: {minimumHosts: 6, requestVolume: 7, threshold: 60}}}";
    let built = with(&policy("MeshCircuitBreaker", &to_web(conf)));
    assert_eq!(built.problems, "");
    let cluster = built.cluster("web_shop_svc_80");
    let it = cluster.outlier.expect("ejection").value;
    assert_eq!((it.interval, it.base_ejection_time), (secs(5), secs(400)));
    assert_eq!(it.max_ejection_time, secs(400));
    assert_eq!(it.max_ejection_share, Share::from_percent(50.0));
    assert!(it.split_local_origin);
    // not listed: off
    assert_eq!(it.enforcing_consecutive_5xx, Share::ZERO);
    assert_eq!(
        (
            it.consecutive_gateway_failure,
            it.enforcing_consecutive_gateway_failure
        ),
        (2, Share::ALL)
    );
    assert_eq!(it.consecutive_local_origin_failure, 4);
    assert_eq!(
        (
            it.success_rate.minimum_hosts,
            it.success_rate.request_volume
        ),
        (3, 20)
    );
    assert_eq!(it.success_rate_stdev_factor, 1500);
    assert_eq!(it.failure_percentage.enforcing, Share::ALL);
    assert_eq!(it.failure_percentage_threshold, 60);
    assert_eq!(cluster.panic_threshold.value, Share::from_percent(62.5));
    let off = "outlierDetection: {disabled: true, detectors: {totalFailures: {consecutive: 1}}}";
    let built = with(&policy("MeshCircuitBreaker", &to_web(off)));
    assert!(built.cluster("web_shop_svc_80").outlier.is_none());
    refused(
        "MeshCircuitBreaker",
        &[
            "",
            "connectionLimits: {maxConnections: 0}",
            "outlierDetection: {}",
            "outlierDetection: {detectors: {}}",
            "outlierDetection: {detectors: {totalFailures: {consecutive: 0}}}",
            "outlierDetection: {maxEjectionPercent: 101, detectors: {totalFailures: {consecutive: 1}}}",
            "outlierDetection: {healthyPanicThreshold: -1, detectors: {totalFailures: {consecutive: 1}}}",
            "outlierDetection: {detectors: {successRate: {standardDeviationFactor: 0}}}",
        ],
    );
    let alone = "outlierDetection: {detectors: {localOriginFailures: {consecutive: 1}}}";
    let built = with(&policy("MeshCircuitBreaker", &to_all(alone)));
    assert_eq!(built.codes(), ["kuma::no-effect"]);
}

#[test]
fn health_checks() {
    let built = with(&policy("MeshHealthCheck", &to_all("http: {}")));
    assert_eq!(built.problems, "");
    let cluster = built.cluster("web_shop_svc_80");
    let [check] = &cluster.health_checks[..] else {
        panic!("one check")
    };
    let it = &check.value;
    assert_eq!(it.path.as_deref(), Some("/"));
    assert_eq!((it.interval, it.timeout), (secs(60), secs(15)));
    assert_eq!((it.unhealthy_threshold, it.healthy_threshold), (5, 1));
    assert_eq!(it.no_traffic_interval, Some(secs(60)));
    assert!(built.cluster("db_shop_svc_5432").health_checks.is_empty());
    let conf = "interval: 1s, timeout: 2s, unhealthyThreshold: 3, healthyThreshold: 4, intervalJitterPercent: 50, noTrafficInterval: 5s, failTrafficOnPanic: true, http: {path: /live, expectedStatuses: [200, 204]}, tcp: {}";
    let built = with(&policy("MeshHealthCheck", &to_all(conf)));
    assert_eq!(built.problems, "");
    let cluster = built.cluster("web_shop_svc_80");
    let it = &cluster.health_checks[0].value;
    assert_eq!(it.path.as_deref(), Some("/live"));
    assert_eq!(it.expected, [(200, 200), (204, 204)]);
    assert_eq!(it.interval_jitter, Duration::from_millis(500));
    assert!(cluster.fail_traffic_on_panic);
    let by_connecting = &built.cluster("db_shop_svc_5432").health_checks[0].value;
    assert_eq!(by_connecting.path, None);
    let conf = "http: {disabled: true}, tcp: {}";
    let built = with(&policy("MeshHealthCheck", &to_all(conf)));
    assert_eq!(
        built.cluster("web_shop_svc_80").health_checks[0].value.path,
        None
    );
    refused(
        "MeshHealthCheck",
        &[
            "interval: 1s",
            "interval: 0s, http: {}",
            "unhealthyThreshold: 0, http: {}",
            "intervalJitterPercent: 101, http: {}",
            "http: {expectedStatuses: [99]}",
            "http: {path: ''}",
        ],
    );
    let built = with(&policy("MeshHealthCheck", &to_all("grpc: {}")));
    assert_eq!(built.codes(), ["kuma::not-modelled"]);
    assert!(built.cluster("rpc_shop_svc_9000").health_checks.is_empty());
}

#[test]
fn balancing() {
    let balancer = |it: &Built| format!("{:?}", it.cluster("web_shop_svc_80").balancer.value);
    let least = |choices, bias| Balancer::LeastRequest {
        choices,
        bias,
        full_scan: false,
    };
    let ring = |min_size, max_size| Balancer::RingHash {
        min_size,
        max_size,
        bound: None,
    };
    let maglev = |size| Balancer::Maglev { size, bound: None };
    let text = |balancer: Balancer| format!("{balancer:?}");
    table(
        "MeshLoadBalancingStrategy",
        &[
            ("", &text(Balancer::RoundRobin), balancer),
            (
                "loadBalancer: {type: RoundRobin}",
                &text(Balancer::RoundRobin),
                balancer,
            ),
            (
                "loadBalancer: {type: Random}",
                &text(Balancer::Random),
                balancer,
            ),
            (
                "loadBalancer: {type: LeastRequest}",
                &text(least(2, 1.0)),
                balancer,
            ),
            (
                "loadBalancer: {type: LeastRequest, leastRequest: {choiceCount: 4, activeRequestBias: '0.5'}}",
                &text(least(4, 0.5)),
                balancer,
            ),
            (
                "loadBalancer: {type: RingHash}",
                &text(ring(1024, 8_388_608)),
                balancer,
            ),
            (
                "loadBalancer: {type: RingHash, ringHash: {minRingSize: 10, maxRingSize: 100}}",
                &text(ring(10, 100)),
                balancer,
            ),
            (
                "loadBalancer: {type: Maglev}",
                &text(maglev(65_537)),
                balancer,
            ),
            (
                "loadBalancer: {type: Maglev, maglev: {tableSize: 7}}",
                &text(maglev(7)),
                balancer,
            ),
        ],
    );
    let conf = "loadBalancer: {type: Maglev}, hashPolicies: [{type: Header, header: {name: X-User}, terminal: true}, {type: Cookie, cookie: {name: c, ttl: 1h}}, {type: Connection, connection: {sourceIP: true}}, {type: QueryParameter, queryParameter: {name: q}}]";
    let built = with(&policy("MeshLoadBalancingStrategy", &to_web(conf)));
    assert_eq!(built.problems, "");
    let hash = built.web("/").hash;
    let sources: Vec<HashSource> = hash.iter().map(|it| it.source.clone()).collect();
    let expected = [
        HashSource::Header("x-user".into()),
        HashSource::Cookie {
            name: "c".into(),
            ttl: Some(secs(3600)),
        },
        HashSource::SourceAddress,
        HashSource::Param("q".into()),
    ];
    assert_eq!(sources, expected);
    assert!(hash[0].terminal && !hash[1].terminal);
    refused(
        "MeshLoadBalancingStrategy",
        &[
            "loadBalancer: {}",
            "loadBalancer: {type: Fastest}",
            "loadBalancer: {type: LeastRequest, leastRequest: {choiceCount: 1}}",
            "loadBalancer: {type: Maglev, maglev: {tableSize: 8}}",
            "loadBalancer: {type: RingHash, ringHash: {minRingSize: 0}}",
            "hashPolicies: [{type: Header}]",
            "hashPolicies: [{type: Cookie, cookie: {name: c, path: x}}]",
            "localityAwareness: {localZone: {affinityTags: [{key: a, weight: 1}, {key: b}]}}",
        ],
    );
    let near =
        "localityAwareness: {localZone: {affinityTags: [{key: topology.kubernetes.io/zone}]}}";
    let built = with(&policy("MeshLoadBalancingStrategy", &to_all(near)));
    assert_eq!(built.codes(), ["kuma::not-modelled"]);
}

#[test]
fn faults_limits_and_passthrough_that_kuma_refuses() {
    let rules = |conf: &str| format!("rules: [{{default: {{{conf}}}}}]");
    let rows = [
        (
            "MeshFaultInjection",
            rules("http: [{abort: {httpStatus: 99, percentage: 1}}]"),
        ),
        (
            "MeshFaultInjection",
            rules("http: [{abort: {httpStatus: 500, percentage: 101}}]"),
        ),
        (
            "MeshFaultInjection",
            rules("http: [{abort: {httpStatus: 500, percentage: 1.5}}]"),
        ),
        (
            "MeshFaultInjection",
            rules("http: [{abort: {httpStatus: 500}}]"),
        ),
        (
            "MeshFaultInjection",
            rules("http: [{responseBandwidth: {limit: fast, percentage: 1}}]"),
        ),
        ("MeshRateLimit", rules("")),
        ("MeshRateLimit", rules("local: {}")),
        ("MeshRateLimit", rules("local: {http: {}}")),
        (
            "MeshRateLimit",
            rules("local: {http: {requestRate: {num: 0, interval: 1s}}}"),
        ),
        (
            "MeshRateLimit",
            rules("local: {http: {requestRate: {num: 1, interval: 50ms}}}"),
        ),
        ("MeshTLS", rules("mode: Lax")),
        (
            "MeshPassthrough",
            "default: {passthroughMode: Some}".to_owned(),
        ),
        (
            "MeshPassthrough",
            "default: {appendMatch: [{type: IP, value: a}]}".to_owned(),
        ),
        (
            "MeshPassthrough",
            "default: {appendMatch: [{type: CIDR, value: 10.0.0.0/33}]}".to_owned(),
        ),
        (
            "MeshPassthrough",
            "default: {appendMatch: [{type: Domain, value: a.example}]}".to_owned(),
        ),
        (
            "MeshPassthrough",
            "default: {appendMatch: [{type: Domain, value: '*a.example', protocol: tls}]}"
                .to_owned(),
        ),
        (
            "MeshPassthrough",
            "default: {appendMatch: [{type: Domain, value: '*.a.example', protocol: http}]}"
                .to_owned(),
        ),
        (
            "MeshPassthrough",
            "default: {appendMatch: [{type: IP, value: 10.0.0.1, protocol: mysql}]}".to_owned(),
        ),
    ];
    for (kind, spec) in rows {
        let built = with(&policy(kind, &spec));
        assert!(
            built.problems.contains("error["),
            "{spec}: {}",
            built.problems
        );
    }
}
