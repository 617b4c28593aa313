//! ServiceDefaults and ProxyDefaults: each field, and which of several places decides.

use proxy_core::config::Share;
use proxy_core::outlier::Settings;
use proxy_core::time::Duration;

use super::harness::*;

/// `web` calls `api` with these upstream settings.
fn calling(config: &str) -> World {
    with(&[
        http("api"),
        entry(
            "ServiceDefaults",
            "web",
            &format!("{{upstreamConfig: {config}}}"),
        ),
    ])
}

#[test]
fn a_callers_connect_timeout_comes_before_the_resolvers() {
    let resolver = entry("ServiceResolver", "api", "{connectTimeout: 9s}");
    for (config, expected) in [
        ("{}", 9_000),
        ("{defaults: {connectTimeoutMs: 100}}", 100),
        ("{defaults: {connectTimeoutMs: 0}}", 9_000),
        ("{defaults: {connectTimeoutMs: -1}}", 9_000),
        (
            "{defaults: {connectTimeoutMs: 100}, overrides: [{name: api, connectTimeoutMs: 200}]}",
            200,
        ),
        (
            "{defaults: {connectTimeoutMs: 100}, overrides: [{name: db, connectTimeoutMs: 200}]}",
            100,
        ),
        (
            "{defaults: {connectTimeoutMs: 100}, overrides: [{name: api}]}",
            100,
        ),
    ] {
        let world = with(&[
            http("api"),
            resolver.clone(),
            entry(
                "ServiceDefaults",
                "web",
                &format!("{{upstreamConfig: {config}}}"),
            ),
        ]);
        let found = world.cluster().connect_timeout.value;
        assert_eq!(found, Duration::from_millis(expected), "{config}");
    }
}

#[test]
fn limits_of_an_override_take_the_place_of_all_limits() {
    let world = calling(
        "{defaults: {limits: {maxConnections: 1, maxPendingRequests: 2}}, overrides: [{name: api, limits: {maxConcurrentRequests: 3}}]}",
    );
    let limits = world.cluster().limits[0];
    let all = [limits.connections, limits.pending, limits.requests];
    assert_eq!(all.map(|it| it.value), [1024, 1024, 3]);
    assert!(
        world
            .origin(limits.requests.origin)
            .starts_with("consul.yaml:")
    );
    assert_eq!(
        world.origin(limits.pending.origin),
        "default of consul@1.21"
    );
    let zero = calling("{defaults: {limits: {maxConnections: 0}}}");
    assert_eq!(
        zero.cluster().limits[0].connections.value,
        0,
        "zero is zero"
    );
}

#[test]
fn a_passive_health_check_says_what_is_not_envoys() {
    let envoy = Settings::envoy_v3();
    for (fields, expected) in [
        ("", envoy),
        ("interval: 0s, maxFailures: 0", envoy),
        (
            "interval: 2s",
            Settings {
                interval: Duration::from_secs(2),
                ..envoy
            },
        ),
        (
            "maxFailures: 3",
            Settings {
                consecutive_5xx: 3,
                ..envoy
            },
        ),
        (
            "enforcingConsecutive5xx: 50",
            Settings {
                enforcing_consecutive_5xx: Share::from_percent(50.0),
                ..envoy
            },
        ),
        (
            "enforcingConsecutive5xx: 0",
            Settings {
                enforcing_consecutive_5xx: Share::ZERO,
                ..envoy
            },
        ),
        (
            "maxEjectionPercent: 100",
            Settings {
                max_ejection_share: Share::ALL,
                ..envoy
            },
        ),
        (
            "baseEjectionTime: 5s",
            Settings {
                base_ejection_time: Duration::from_secs(5),
                ..envoy
            },
        ),
        (
            "baseEjectionTime: 10m",
            Settings {
                base_ejection_time: Duration::from_secs(600),
                max_ejection_time: Duration::from_secs(600),
                ..envoy
            },
        ),
    ] {
        let world = calling(&format!(
            "{{defaults: {{passiveHealthCheck: {{{fields}}}}}}}"
        ));
        let found = world.cluster().outlier.expect("always there");
        assert_eq!(found.value, expected, "{fields}");
        assert!(
            world.origin(found.origin).starts_with("consul.yaml:"),
            "{fields}"
        );
    }
    let world = calling(
        "{defaults: {passiveHealthCheck: {maxFailures: 3, interval: 2s}}, overrides: [{name: api, passiveHealthCheck: {maxFailures: 4}}]}",
    );
    let found = world.cluster().outlier.expect("always there").value;
    assert_eq!(
        (found.consecutive_5xx, found.interval),
        (4, Duration::from_secs(10))
    );
}

#[test]
fn proxy_defaults_say_nothing_of_upstreams_but_the_protocol() {
    let all = entry(
        "ProxyDefaults",
        "global",
        "{config: {protocol: http, connect_timeout_ms: 1}}",
    );
    let world = with(&[all]);
    assert_eq!(
        world.cluster().connect_timeout.value,
        Duration::from_secs(5)
    );
    assert_eq!(world.complaints(), ["consul::unknown-setting"]);
}

#[test]
fn who_decides_what_a_service_speaks() {
    let proxies = |protocol: &str| {
        entry(
            "ProxyDefaults",
            "global",
            &format!("{{config: {{protocol: {protocol}}}}}"),
        )
    };
    let own = |protocol: &str| {
        entry(
            "ServiceDefaults",
            "api",
            &format!("{{protocol: {protocol}}}"),
        )
    };
    let rows = [
        ("nobody", vec![], false),
        ("ProxyDefaults", vec![proxies("http")], true),
        ("capitals", vec![proxies("HTTP")], true),
        ("ServiceDefaults", vec![own("http")], true),
        (
            "ServiceDefaults before ProxyDefaults",
            vec![proxies("http"), own("tcp")],
            false,
        ),
        (
            "and the other way round",
            vec![proxies("tcp"), own("grpc")],
            true,
        ),
        (
            "silent ServiceDefaults before ProxyDefaults",
            vec![
                proxies("http"),
                entry("ServiceDefaults", "api", "{maxInboundConnections: 1}"),
            ],
            false,
        ),
        (
            "the caller before all",
            vec![
                own("tcp"),
                entry(
                    "ServiceDefaults",
                    "web",
                    "{upstreamConfig: {overrides: [{name: api, protocol: http}]}}",
                ),
            ],
            true,
        ),
        (
            "the caller's defaults",
            vec![
                own("http"),
                entry(
                    "ServiceDefaults",
                    "web",
                    "{upstreamConfig: {defaults: {protocol: tcp}}}",
                ),
            ],
            false,
        ),
    ];
    for (name, parts, is_http) in rows {
        let action = with(&parts).service_connection("web", "api");
        let found = matches!(action, proxy_core::config::ChainAction::Http(_));
        assert_eq!(found, is_http, "{name}");
    }
}

#[test]
fn settings_of_proxies_have_three_places() {
    let rows = [
        ("none", "{}", "{}", "", Some(15_000), 5_000),
        (
            "ProxyDefaults",
            "{local_request_timeout_ms: 1, local_connect_timeout_ms: 2}",
            "{}",
            "",
            Some(1),
            2,
        ),
        (
            "zero is off",
            "{local_request_timeout_ms: 0, local_connect_timeout_ms: 0}",
            "{}",
            "",
            None,
            5_000,
        ),
        (
            "as text",
            "{local_request_timeout_ms: '7'}",
            "{}",
            "",
            Some(7),
            5_000,
        ),
        (
            "ServiceDefaults",
            "{local_request_timeout_ms: 1}",
            "{localRequestTimeoutMs: 3, localConnectTimeoutMs: 4}",
            "",
            Some(3),
            4,
        ),
        (
            "zero of them is silence",
            "{local_request_timeout_ms: 1}",
            "{localRequestTimeoutMs: 0}",
            "",
            Some(1),
            5_000,
        ),
        (
            "the annotation",
            "{local_request_timeout_ms: 1}",
            "{localRequestTimeoutMs: 3}",
            ", consul.hashicorp.com/proxy-config-map: '{\"local_request_timeout_ms\": 9}'",
            Some(9),
            5_000,
        ),
    ];
    for (name, proxies, own, annotation, request, connect) in rows {
        let config = proxies.replacen('{', "{protocol: http, ", 1);
        let own = own.replacen('{', "{protocol: http, ", 1);
        let world = with(&[
            entry("ProxyDefaults", "global", &format!("{{config: {config}}}")),
            entry("ServiceDefaults", "shop", &own),
            app("shop", &format!("{MESHED}{annotation}")),
        ]);
        let section = world.inbound("shop");
        let listener = &section.listeners()[0];
        let http = http_of(&listener.chains[0].action);
        let route = route_in(&section, &http, get("/")).expect("a route");
        let forward = forward_of(&route);
        assert_eq!(
            forward.timeout.value,
            request.map(Duration::from_millis),
            "{name}"
        );
        let app = section.cluster_named("local_app").expect("the application");
        let app = &section.clusters()[app.0 as usize];
        assert_eq!(
            app.connect_timeout.value,
            Duration::from_millis(connect),
            "{name}"
        );
        assert_eq!(world.complaints(), Vec::<&str>::new(), "{name}");
    }
}
