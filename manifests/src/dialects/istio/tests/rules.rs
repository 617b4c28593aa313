use proxy_core::config::{
    Balancer, Cluster, Discovery, EndpointSet, HashSource, LocalityBalance, RetryBudget,
    UpstreamProtocol, UpstreamTransport,
};
use proxy_core::time::Duration;

use super::harness::{Built, forward, plan, policy, rule, with};

const LEAST_REQUEST: Balancer = Balancer::LeastRequest {
    choices: 2,
    bias: 1.0,
    full_scan: false,
};

#[test]
fn without_a_rule_the_releases_defaults_count() {
    let built = with("");
    assert_eq!(
        built.problems.matches("istio::").count(),
        1,
        "headless peers are told"
    );
    let web = built.web();
    assert_eq!(web.balancer.value, LEAST_REQUEST);
    assert_eq!(built.origin(web.balancer.origin), "default of istio@1.29");
    for limits in web.limits {
        let all = [
            limits.connections,
            limits.pending,
            limits.requests,
            limits.retries,
        ];
        assert!(all.iter().all(|limit| limit.value == u32::MAX));
        assert_eq!(built.origin(limits.retries.origin), "default of istio@1.29");
    }
    assert_eq!(web.connect_timeout.value, Duration::from_secs(10));
    assert_eq!(
        web.pool.idle_timeout.expect("an hour").value,
        Duration::from_secs(3600)
    );
    assert_eq!(web.panic_threshold.value.as_ppm(), 500_000);
    assert!(web.outlier.is_none() && web.retry_budget.is_none() && web.slow_start.is_none());
    assert_eq!(web.locality.value, LocalityBalance::Ignored);
    assert_eq!(web.protocol, UpstreamProtocol::Http1);
}

#[test]
fn panic_is_off_where_endpoints_are_told_that_are_not_ready() {
    let judged = policy("outlierDetection: {minHealthPercent: 30}");
    let near = "
apiVersion: v1
kind: Service
metadata: {name: near}
spec: {selector: {app: web}, trafficDistribution: PreferClose, ports: [{name: http, port: 80}]}
";
    let near_judged = format!(
        "{near}---\n{}",
        rule(
            "near",
            "trafficPolicy: {outlierDetection: {minHealthPercent: 30}}"
        )
    );
    // the release, the rule, the Service and its panic threshold in per cent
    let rows = [
        ("1.29", "", "web", 50),
        ("1.30", "", "web", 50),
        ("1.31", "", "web", 0),
        ("1.29", &*judged, "web", 30),
        ("1.31", &judged, "web", 30),
        ("1.29", near, "near", 0),
        ("1.31", near, "near", 0),
        ("1.29", &near_judged, "near", 0),
        ("1.24", near, "near", 50),
    ];
    for (release, yaml, service, percent) in rows {
        let built = plan(yaml).release(release).build();
        let name = format!("80||{service}.default.svc.cluster.local");
        let cluster = built.cluster("api", &name).expect("a cluster");
        assert_eq!(
            cluster.panic_threshold.value.as_ppm(),
            percent * 10_000,
            "{release} {yaml}"
        );
    }
}

#[test]
fn streams_are_bounded_where_http_2_is_spoken() {
    let usual = Cluster::envoy("", EndpointSet::default())
        .pool
        .max_streams
        .value;
    let rows = [
        ("maxConcurrentStreams: 7", usual),
        ("maxConcurrentStreams: 7, h2UpgradePolicy: UPGRADE", 7),
        (
            "maxConcurrentStreams: 7, h2UpgradePolicy: UPGRADE, useClientProtocol: true",
            usual,
        ),
    ];
    for (http, expected) in rows {
        let built = with(&policy(&format!("connectionPool: {{http: {{{http}}}}}")));
        assert_eq!(built.web().pool.max_streams.value, expected, "{http}");
    }
}

#[test]
fn each_balancer_is_envoys() {
    let ring = |min_size| Balancer::RingHash {
        min_size,
        max_size: 8_388_608,
        bound: None,
    };
    let maglev = |size| Balancer::Maglev { size, bound: None };
    let rows = [
        ("simple: UNSPECIFIED", LEAST_REQUEST),
        ("simple: LEAST_CONN", LEAST_REQUEST),
        ("simple: LEAST_REQUEST", LEAST_REQUEST),
        ("simple: ROUND_ROBIN", Balancer::RoundRobin),
        ("simple: RANDOM", Balancer::Random),
        ("simple: PASSTHROUGH", Balancer::OriginalDestination),
        ("consistentHash: {useSourceIp: true}", ring(1024)),
        (
            "consistentHash: {useSourceIp: true, minimumRingSize: 64}",
            ring(64),
        ),
        (
            "consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 4096}}",
            ring(4096),
        ),
        (
            "consistentHash: {useSourceIp: true, ringHash: {}}",
            ring(1024),
        ),
        (
            "consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 0}}",
            ring(1024),
        ),
        (
            "consistentHash: {useSourceIp: true, maglev: {}}",
            maglev(65_537),
        ),
        (
            "consistentHash: {useSourceIp: true, maglev: {tableSize: 101}}",
            maglev(101),
        ),
    ];
    for (balancer, expected) in rows {
        let built = with(&policy(&format!("loadBalancer: {{{balancer}}}")));
        assert_eq!(built.web().balancer.value, expected, "{balancer}");
    }
    let built = with(&policy("loadBalancer: {simple: PASSTHROUGH}"));
    assert_eq!(built.web().discovery, Discovery::OriginalDestination);
    assert!(built.web().endpoints.endpoints.is_empty());
    let written = with(&policy("loadBalancer: {simple: RANDOM}"));
    assert_eq!(written.origin(written.web().balancer.origin), "test.yaml:4");
}

#[test]
fn a_hash_goes_by_its_key_and_keeps_retries_on_their_endpoint() {
    let cookie = |ttl| HashSource::Cookie {
        name: "user".into(),
        ttl,
    };
    const ROUTED: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
";
    let rows = [
        (
            "httpHeaderName: X-User",
            HashSource::Header("x-user".into()),
        ),
        ("httpCookie: {name: user}", cookie(None)),
        (
            "httpCookie: {name: user, ttl: 0s}",
            cookie(Some(Duration::ZERO)),
        ),
        (
            "httpCookie: {name: user, ttl: 10m}",
            cookie(Some(Duration::from_secs(600))),
        ),
        ("useSourceIp: true", HashSource::SourceAddress),
        (
            "httpQueryParameterName: user",
            HashSource::Param("user".into()),
        ),
    ];
    for (key, expected) in rows {
        let hashed = policy(&format!("loadBalancer: {{consistentHash: {{{key}}}}}"));
        let built = with(&hashed);
        let host = built.host("api", built.address("web", 80), "web");
        let forward = self::forward(&host);
        assert_eq!(forward.hash.len(), 1, "{key}");
        assert_eq!(forward.hash[0].source, expected, "{key}");
        let retry = forward.retry.expect("the default");
        assert!(
            retry.avoid_previous.is_some(),
            "{key}: nobody but the rule makes the route"
        );
        let routed = with(&(hashed + "---\n" + ROUTED));
        let forward = self::forward(&routed.host("api", routed.address("web", 80), "web"));
        let retry = forward.retry.expect("the default");
        assert!(
            retry.avoid_previous.is_none(),
            "{key}: a VirtualService makes it"
        );
    }
    let plain = with("");
    let host = plain.host("api", plain.address("web", 80), "web");
    let retry = forward(&host).retry.expect("the default");
    assert_eq!(retry.avoid_previous.expect("picks").value, 5);
}

#[test]
fn new_endpoints_warm_up_where_the_balancer_knows_weights() {
    let rows = [
        ("warmupDurationSecs: 30s", Some((30, 1.0, 0.1))),
        ("warmup: {duration: 60s}", Some((60, 1.0, 0.1))),
        (
            "warmup: {duration: 60s, minimumPercent: 50, aggression: 2}",
            Some((60, 2.0, 0.5)),
        ),
        ("warmup: {duration: 0s}", None),
        ("warmup: {duration: 60s}, simple: RANDOM", None),
        (
            "warmup: {duration: 60s}, simple: ROUND_ROBIN",
            Some((60, 1.0, 0.1)),
        ),
    ];
    for (written, expected) in rows {
        let built = with(&policy(&format!("loadBalancer: {{{written}}}")));
        let found = built.web().slow_start.map(|start| {
            let start = start.value;
            (
                start.window.as_millis() / 1000,
                start.aggression,
                start.min_weight,
            )
        });
        assert_eq!(found, expected, "{written}");
    }
}

#[test]
fn a_pool_bounds_and_zero_stands_for_unset() {
    let built = clean_but_headless(&policy(
        "connectionPool: {tcp: {maxConnections: 1, connectTimeout: 2s, maxConnectionDuration: 3s, idleTimeout: 4s}, http: {http1MaxPendingRequests: 5, http2MaxRequests: 6, maxRequestsPerConnection: 7, maxRetries: 8, maxConcurrentStreams: 9, h2UpgradePolicy: UPGRADE}}",
    ));
    let web = built.web();
    let limits = web.limits[0];
    assert_eq!(
        [
            limits.connections.value,
            limits.pending.value,
            limits.requests.value,
            limits.retries.value
        ],
        [1, 5, 6, 8]
    );
    let seconds = |duration: Duration| duration.as_millis() / 1000;
    assert_eq!(seconds(web.connect_timeout.value), 2);
    assert_eq!(seconds(web.pool.max_duration.expect("set").value), 3);
    // idle connections of HTTP go by the TCP bound where they have none
    assert_eq!(seconds(web.pool.idle_timeout.expect("set").value), 4);
    assert_eq!(web.pool.max_requests_per_connection.expect("set").value, 7);
    assert_eq!(web.pool.max_streams.value, 9);
    assert_eq!(built.origin(limits.retries.origin), "test.yaml:4");
    let zero = clean_but_headless(&policy(
        "connectionPool: {tcp: {maxConnections: 0}, http: {http1MaxPendingRequests: 0, http2MaxRequests: 0, maxRequestsPerConnection: 0, maxRetries: 0, maxConcurrentStreams: 0, idleTimeout: 0s}}",
    ));
    let web = zero.web();
    assert_eq!(web.limits[0].connections.value, u32::MAX);
    assert_eq!(
        zero.origin(web.limits[0].retries.origin),
        "default of istio@1.29"
    );
    assert!(web.pool.max_requests_per_connection.is_none());
    assert!(web.pool.idle_timeout.is_none(), "a written 0s turns it off");
    let both = with(&policy(
        "connectionPool: {tcp: {idleTimeout: 4s}, http: {idleTimeout: 5s}}",
    ));
    assert_eq!(seconds(both.web().pool.idle_timeout.expect("set").value), 5);
}

/// Nothing is told but what the headless Service of the cluster always brings.
fn clean_but_headless(yaml: &str) -> Built {
    let built = with(yaml);
    assert_eq!(built.codes(), ["istio::headless"], "{}", built.problems);
    built
}

#[test]
fn what_is_spoken_follows_the_declaration_unless_a_rule_says_otherwise() {
    let rows = [
        ("h2UpgradePolicy: DEFAULT", UpstreamProtocol::Http1),
        ("h2UpgradePolicy: DO_NOT_UPGRADE", UpstreamProtocol::Http1),
        ("h2UpgradePolicy: UPGRADE", UpstreamProtocol::Http2),
        ("useClientProtocol: true", UpstreamProtocol::Downstream),
        (
            "useClientProtocol: true, h2UpgradePolicy: UPGRADE",
            UpstreamProtocol::Downstream,
        ),
    ];
    for (http, expected) in rows {
        let built = with(&policy(&format!("connectionPool: {{http: {{{http}}}}}")));
        assert_eq!(built.web().protocol, expected, "{http}");
    }
    let built = with("");
    let spoken = |name: &str| built.cluster("web", name).expect("a cluster").protocol;
    assert_eq!(
        spoken("80||api.default.svc.cluster.local"),
        UpstreamProtocol::Downstream
    );
    assert_eq!(
        spoken("9000||rpc.default.svc.cluster.local"),
        UpstreamProtocol::Http2
    );
}

#[test]
fn outlier_detection_has_istios_defaults() {
    let built = with(&policy("outlierDetection: {}"));
    let web = built.web();
    let outlier = web.outlier.expect("set").value;
    assert_eq!(outlier.consecutive_5xx, 5);
    assert_eq!(outlier.enforcing_consecutive_5xx.as_ppm(), 1_000_000);
    assert_eq!(outlier.enforcing_consecutive_gateway_failure.as_ppm(), 0);
    assert_eq!(outlier.success_rate.enforcing.as_ppm(), 0);
    assert_eq!(outlier.interval, Duration::from_secs(10));
    assert_eq!(outlier.base_ejection_time, Duration::from_secs(30));
    assert_eq!(outlier.max_ejection_share.as_ppm(), 100_000);
    assert!(!outlier.split_local_origin);
    assert_eq!(
        web.panic_threshold.value.as_ppm(),
        0,
        "panic is off with it"
    );
}

#[test]
fn outlier_detection_as_written() {
    let built = with(&policy(
        "outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 3, interval: 1s, baseEjectionTime: 10m, maxEjectionPercent: 100, minHealthPercent: 25, splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 7}",
    ));
    let web = built.web();
    let outlier = web.outlier.expect("set").value;
    assert_eq!(
        outlier.enforcing_consecutive_5xx.as_ppm(),
        0,
        "0 turns it off"
    );
    assert_eq!(outlier.consecutive_gateway_failure, 3);
    assert_eq!(
        outlier.enforcing_consecutive_gateway_failure.as_ppm(),
        1_000_000
    );
    assert_eq!(outlier.interval, Duration::from_secs(1));
    assert_eq!(outlier.base_ejection_time, Duration::from_secs(600));
    assert_eq!(
        outlier.max_ejection_time,
        Duration::from_secs(600),
        "never below the base"
    );
    assert_eq!(outlier.max_ejection_share.as_ppm(), 1_000_000);
    assert_eq!(web.panic_threshold.value.as_ppm(), 250_000);
    assert_eq!(
        (
            outlier.split_local_origin,
            outlier.consecutive_local_origin_failure
        ),
        (true, 7)
    );
}

#[test]
fn a_budget_bounds_retries_from_1_27_on() {
    let rows = [
        ("retryBudget: {}", (20.0, 3, None)),
        (
            "retryBudget: {percent: 50, minRetryConcurrency: 0}",
            (50.0, 3, None),
        ),
        (
            "retryBudget: {percent: 0, minRetryConcurrency: 1, budgetInterval: 10s}",
            (0.0, 1, Some(Duration::from_secs(10))),
        ),
    ];
    for (written, expected) in rows {
        let web = with(&policy(written)).web();
        let Some(RetryBudget::Concurrency(budget)) = web.retry_budget.map(|it| it.value) else {
            panic!("{written}: Envoy's budget")
        };
        let found = (budget.percent, budget.min_concurrency, budget.interval);
        assert_eq!(found, expected, "{written}");
    }
    let old = plan(&policy("retryBudget: {}")).release("1.26").build();
    assert!(old.web().retry_budget.is_none());
    assert!(
        old.problems
            .contains("istio@1.26 does not know it: retries under way are not bounded"),
        "{}",
        old.problems
    );
}

#[test]
fn tls_is_the_meshs_own_unless_a_rule_says_otherwise() {
    let mesh = |sni: &str, only_where_meshed| UpstreamTransport::Mesh {
        sni: sni.into(),
        identity: "spiffe://cluster.local/ns/default/sa/default".into(),
        alpn: ["istio-http/1.1", "istio", "http/1.1"]
            .map(Into::into)
            .to_vec(),
        only_where_meshed,
    };
    let own = "outbound_.80_._.web.default.svc.cluster.local";
    let simple = |sni: &str, certificate: Option<&str>| UpstreamTransport::Tls {
        sni: sni.into(),
        certificate: certificate.map(Into::into),
    };
    let rows = [
        ("", mesh(own, true)),
        ("tls: {mode: DISABLE}", UpstreamTransport::Plaintext),
        ("tls: {}", UpstreamTransport::Plaintext),
        ("tls: {mode: ISTIO_MUTUAL}", mesh(own, false)),
        ("tls: {mode: ISTIO_MUTUAL, sni: x}", mesh("x", false)),
        (
            "tls: {mode: SIMPLE}",
            simple("web.default.svc.cluster.local", None),
        ),
        ("tls: {mode: SIMPLE, sni: x}", simple("x", None)),
        (
            "tls: {mode: MUTUAL, credentialName: secret}",
            simple("web.default.svc.cluster.local", Some("secret")),
        ),
    ];
    for (written, expected) in rows {
        assert_eq!(
            with(&policy(written)).web().transport,
            expected,
            "{written}"
        );
    }
}

#[test]
fn a_ports_own_policy_replaces_the_whole() {
    let built = with(&policy(
        "connectionPool: {tcp: {maxConnections: 1}}, outlierDetection: {}, portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]",
    ));
    let web = built.web();
    assert_eq!(web.balancer.value, Balancer::Random);
    assert_eq!(web.limits[0].connections.value, u32::MAX);
    assert!(web.outlier.is_none());
    let other = with(&policy(
        "connectionPool: {tcp: {maxConnections: 1}}, portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: RANDOM}}]",
    ));
    assert_eq!(other.web().limits[0].connections.value, 1);
}

const ROUTE_TO_SUBSET: &str = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec: {hosts: [web], http: [{route: [{destination: {host: web, subset: v1}}]}]}
";

#[test]
fn a_subset_has_its_pods_and_its_blocks_over_the_rules() {
    let yaml = rule(
        "web",
        "trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}, outlierDetection: {}}, subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {connectionPool: {tcp: {maxConnections: 2}}}}, {name: none, labels: {version: v9}}]",
    );
    let built = with(&format!("{yaml}{ROUTE_TO_SUBSET}"));
    let name = "80|v1|web.default.svc.cluster.local";
    let subset = built.cluster("api", name).expect("asked for by a route");
    assert_eq!(subset.limits[0].connections.value, 2);
    assert!(subset.outlier.is_some(), "inherited");
    assert_eq!(subset.endpoints.endpoints.len(), 2);
    let UpstreamTransport::Mesh { sni, .. } = &subset.transport else {
        panic!("the mesh's own")
    };
    assert_eq!(&**sni, "outbound_.80_.v1_.web.default.svc.cluster.local");
    let empty = ROUTE_TO_SUBSET.replace("subset: v1", "subset: none");
    let built = with(&format!("{yaml}{empty}"));
    let none = built.cluster("api", "80|none|web.default.svc.cluster.local");
    assert!(none.expect("it is there").endpoints.endpoints.is_empty());
}

#[test]
fn failing_over_by_place_needs_outlier_detection() {
    let priorities = |built: &Built| -> Vec<u8> {
        let web = built.web();
        let endpoints = web.endpoints.endpoints.iter();
        endpoints.map(|endpoint| endpoint.priority).collect()
    };
    let setting = |lb: &str, outlier: &str| {
        policy(&format!(
            "loadBalancer: {{localityLbSetting: {{{lb}}}}}{outlier}"
        ))
    };
    let outlier = ", outlierDetection: {}";
    // one pod in the caller's zone, one in another
    let rows = [
        (
            "nothing",
            policy("loadBalancer: {simple: RANDOM}"),
            [0, 0],
            false,
        ),
        (
            "outliers alone",
            policy("outlierDetection: {}"),
            [0, 1],
            false,
        ),
        (
            "enabled without outliers",
            setting("enabled: true", ""),
            [0, 0],
            false,
        ),
        ("off", setting("enabled: false", outlier), [0, 0], false),
        (
            "regions",
            setting("failover: [{from: r, to: q}]", outlier),
            [0, 1],
            true,
        ),
        (
            "labels",
            setting("failoverPriority: [topology.kubernetes.io/zone]", outlier),
            [0, 1],
            true,
        ),
        (
            "a label's own value",
            setting(
                "failoverPriority: ['topology.kubernetes.io/zone=b']",
                outlier,
            ),
            [1, 0],
            true,
        ),
        (
            "labels without outliers",
            setting("failoverPriority: [topology.kubernetes.io/zone]", ""),
            [0, 0],
            false,
        ),
    ];
    for (name, yaml, expected, weighted) in rows {
        let built = with(&yaml);
        assert_eq!(priorities(&built), expected, "{name}");
        let is_weighted = built.web().locality.value == LocalityBalance::Weighted;
        assert_eq!(is_weighted, weighted, "{name}");
    }
}

#[test]
fn shares_by_place_leave_out_places_without_one() {
    let shares = |to: &str| {
        policy(&format!(
            "loadBalancer: {{localityLbSetting: {{distribute: [{{from: r/a/*, to: {{{to}}}}}]}}}}"
        ))
    };
    let built = with(&shares("'r/a/*': 80, 'r/b/*': 20"));
    let web = built.web();
    assert_eq!(web.locality.value, LocalityBalance::Weighted);
    let weights: Vec<_> = web
        .endpoints
        .locality_weights
        .iter()
        .map(|(place, _, weight)| (&**place, *weight))
        .collect();
    assert_eq!(weights, [("r/a", 80), ("r/b", 20)]);
    let one = with(&shares("'r/b/*': 100")).web();
    assert_eq!(one.endpoints.endpoints.len(), 1);
}

#[test]
fn bad_values_are_errors_at_their_place() {
    let rows = [
        ("loadBalancer: {simple: ROUND}", "field::choice"),
        (
            "loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}",
            "istio::bad-value",
        ),
        ("loadBalancer: {consistentHash: {}}", "istio::bad-value"),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, httpHeaderName: a}}",
            "istio::bad-value",
        ),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 100}}}",
            "istio::bad-value",
        ),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}, ringHash: {}}}",
            "istio::bad-value",
        ),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 9000000}}}",
            "istio::bad-value",
        ),
        ("loadBalancer: {warmup: {}}", "istio::bad-value"),
        (
            "loadBalancer: {warmup: {duration: 1s, aggression: 0.5}}",
            "istio::bad-value",
        ),
        (
            "loadBalancer: {warmup: {duration: 1s, minimumPercent: 101}}",
            "istio::bad-value",
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 99}}]}}",
            "istio::bad-value",
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 100}}], failover: [{from: a, to: b}]}}",
            "istio::bad-value",
        ),
        (
            "loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}, outlierDetection: {}",
            "istio::bad-value",
        ),
        (
            "connectionPool: {tcp: {maxConnections: -1}}",
            "istio::bad-value",
        ),
        (
            "connectionPool: {tcp: {connectTimeout: 0s}}",
            "istio::bad-value",
        ),
        (
            "connectionPool: {tcp: {connectTimeout: soon}}",
            "istio::duration",
        ),
        ("connectionPool: {http: {maxRetry: 1}}", "field::unknown"),
        (
            "outlierDetection: {maxEjectionPercent: 101}",
            "istio::bad-value",
        ),
        ("outlierDetection: {interval: 1}", "field::type"),
        (
            "outlierDetection: {consecutiveErrors: 5}",
            "istio::not-modelled",
        ),
        (
            "outlierDetection: {consecutiveLocalOriginFailures: 5}",
            "istio::ignored",
        ),
        (
            "outlierDetection: {outlierDetectionHttpErrorCodes: [429]}",
            "istio::not-modelled",
        ),
        (
            "loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}",
            "istio::ignored",
        ),
        ("tls: {mode: MUTUAL}", "istio::bad-value"),
        ("retryBudget: {percent: 101}", "istio::bad-value"),
        (
            "portLevelSettings: [{port: {number: 80}}, {port: {number: 80}}]",
            "istio::bad-value",
        ),
        (
            "tunnel: {targetHost: a, targetPort: 1}",
            "istio::not-modelled",
        ),
        ("proxyProtocol: {version: V2}", "istio::not-modelled"),
        (
            "loadBalancer: {zoneAwareLbSetting: {}}",
            "istio::not-modelled",
        ),
    ];
    for (written, code) in rows {
        let built = with(&policy(written));
        let of_test: Vec<&str> = built
            .problems
            .lines()
            .filter(|line| line.starts_with("test.yaml:4:"))
            .collect();
        assert_eq!(of_test.len(), 1, "{written}\n{}", built.problems);
        assert!(
            of_test[0].contains(&format!("[{code}]")),
            "{written}\n{}",
            of_test[0]
        );
    }
}

#[test]
fn a_slip_in_a_key_has_a_suggestion() {
    let built = with(&policy("outlierDetection: {consecutive5xxError: 5}"));
    assert!(
        built.problems.contains(
            "error[field::unknown]: unknown field `consecutive5xxError`: did you mean `consecutive5xxErrors`?"
        ),
        "{}",
        built.problems
    );
}

#[test]
fn a_rule_for_nobody_is_a_warning() {
    let built = with(&rule("wev", ""));
    assert!(
        built.problems.contains("warning[istio::unknown-host]: DestinationRule/default/rule is for `wev.default.svc.cluster.local`, which no Service and no ServiceEntry has"),
        "{}",
        built.problems
    );
    let dotted = with(&rule("web.default", ""));
    assert!(
        dotted.problems.contains("istio::unknown-host"),
        "{}",
        dotted.problems
    );
    for host in ["web", "web.default.svc.cluster.local", "'*.local'", "'*'"] {
        clean_but_headless(&rule(host, ""));
    }
}

#[test]
fn a_release_without_a_field_says_so() {
    let yaml = policy("loadBalancer: {warmup: {duration: 1s}}");
    assert!(clean_but_headless(&yaml).web().slow_start.is_some());
    let old = plan(&yaml).release("1.23").build();
    assert!(old.web().slow_start.is_none());
    assert!(
        old.problems.contains("istio@1.23 does not know it"),
        "{}",
        old.problems
    );
}
