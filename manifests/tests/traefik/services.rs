//! Where routers lead, and how servers are chosen and connected to.

use proxy_core::config::{
    Balancer, HashSource, HostRewrite, SessionCarrier, UpstreamProtocol, UpstreamTransport,
};
use proxy_core::time::Duration;

use super::rig::*;

fn with(more: &str) -> Built {
    build(&[routes(&[&format!(
        "{{match: 'PathPrefix(`/`)', services: [{{name: a, port: 80{more}}}]}}"
    )])])
}

fn services(list: &str, others: &[String]) -> Built {
    let mut all = vec![routes(&[&format!(
        "{{match: 'PathPrefix(`/`)', services: [{list}]}}"
    )])];
    all.extend_from_slice(others);
    build(&all)
}

#[test]
fn unless_something_is_said_pods_are_dialled_in_turn_without_limits_or_timeouts() {
    let built = with("");
    let forward = built.forward(&get("h", "/"));
    let cluster = built.only_cluster(&get("h", "/"));
    assert_eq!(&*cluster.name, "default/a:80");
    assert_eq!(cluster.balancer.value, Balancer::TraefikTurns);
    assert_eq!(cluster.connect_timeout.value, Duration::from_secs(30));
    assert_eq!(
        cluster.pool.idle_timeout.map(|it| it.value),
        Some(Duration::from_secs(90))
    );
    assert_eq!(cluster.limits[0].requests.value, u32::MAX);
    assert_eq!(cluster.panic_threshold.value.as_ppm(), 0);
    assert_eq!(cluster.protocol, UpstreamProtocol::Http1);
    assert!(
        cluster.passive.is_none() && cluster.health_checks.is_empty() && cluster.outlier.is_none()
    );
    assert_eq!(forward.timeout.value, None);
    assert!(forward.retry.is_none() && forward.host.is_none() && forward.session.is_none());
    assert_eq!(
        built.origin(cluster.connect_timeout.origin),
        "default of traefik@3.7"
    );
}

#[test]
fn a_strategy_is_one_of_four() {
    for (strategy, want) in [
        ("wrr", Balancer::TraefikTurns),
        ("p2c", Balancer::TraefikTwoChoices),
        ("hrw", Balancer::TraefikRendezvous),
        ("leasttime", Balancer::TraefikLeastTime),
        ("RoundRobin", Balancer::TraefikTurns),
    ] {
        let built = with(&format!(", strategy: {strategy}"));
        assert_eq!(
            built.only_cluster(&get("h", "/")).balancer.value,
            want,
            "{strategy}"
        );
        let hash = built.forward(&get("h", "/")).hash;
        let by_client = hash
            .first()
            .is_some_and(|it| it.source == HashSource::SourceAddress);
        assert_eq!(by_client, strategy == "hrw");
    }
    let bad = with(", strategy: random");
    assert_eq!(bad.ask(&get("h", "/")), "404");
}

#[test]
fn servers_see_the_clients_host_unless_it_is_not_passed() {
    assert_eq!(with(", passHostHeader: true").ask(&get("h", "/")), "a:80");
    let built = with(", passHostHeader: false");
    assert!(matches!(
        built.forward(&get("h", "/")).host,
        Some(HostRewrite::Endpoint)
    ));
    assert_eq!(built.ask(&get("h", "/")), "a:80 as pod/");
}

#[test]
fn the_scheme_is_written_or_told_by_the_port() {
    let secure =
        |port: &str, more: &str| services(&format!("{{name: secure, port: {port}{more}}}"), &[]);
    for (built, tls, h2) in [
        (with(""), false, false),
        (with(", scheme: https"), true, false),
        (with(", scheme: h2c"), false, true),
        (secure("443", ""), true, false),
        (secure("https-api", ""), true, false),
        (secure("443", ", scheme: http"), false, false),
    ] {
        let cluster = built.only_cluster(&get("h", "/"));
        assert_eq!(
            matches!(cluster.transport, UpstreamTransport::Tls { .. }),
            tls,
            "{}",
            cluster.name
        );
        assert_eq!(
            cluster.protocol == UpstreamProtocol::Http2,
            h2,
            "{}",
            cluster.name
        );
    }
}

#[test]
fn several_services_share_by_weight_and_equal_ones_share_a_cluster() {
    let built = services("{name: a, port: 80, weight: 3}, {name: b, port: 80}", &[]);
    assert_eq!(built.ask(&get("h", "/")), "a:80*3 b:80*1");
    let zero = services("{name: a, port: 80, weight: 0}, {name: b, port: 80}", &[]);
    assert_eq!(zero.ask(&get("h", "/")), "b:80");
    let none = services(
        "{name: a, port: 80, weight: 0}, {name: b, port: 80, weight: 0}",
        &[],
    );
    assert_eq!(none.ask(&get("h", "/")), "503");
    let twice = build(&[routes(&[&to_a("Path(`/a`)"), &to_a("Path(`/b`)")])]);
    assert_eq!(twice.section().clusters().len(), 1);
}

#[test]
fn weights_of_services_within_services_multiply() {
    let inner = object(
        "TraefikService",
        "canary",
        "weighted:\n  services:\n  - {name: a, port: 80, weight: 1}\n  - {name: b, port: 80, weight: 3}",
    );
    let built = services(
        "{name: canary, kind: TraefikService, weight: 1}, {name: a, port: 80, weight: 9}",
        &[inner],
    );
    assert_eq!(built.ask(&get("h", "/")), "a:80*1 b:80*3 a:80*36");
}

#[test]
fn mirrors_get_their_share_of_copies() {
    let mirrored = |mirrors: &str| {
        let it = object(
            "TraefikService",
            "copied",
            &format!("mirroring:\n  name: a\n  port: 80\n  mirrors: [{mirrors}]"),
        );
        services("{name: copied, kind: TraefikService}", &[it])
    };
    let built = mirrored("{name: b, port: 80, percent: 25}");
    let forward = built.forward(&get("h", "/"));
    assert_eq!(built.ask(&get("h", "/")), "a:80");
    assert_eq!(forward.mirrors.len(), 1);
    assert_eq!(forward.mirrors[0].share.value.as_ppm(), 250_000);
    assert!(!forward.mirrors[0].shadow_host);
    let none = mirrored("{name: b, port: 80}");
    assert!(none.forward(&get("h", "/")).mirrors.is_empty());
    assert!(
        none.lines()
            .contains("a mirror without `percent` gets nothing")
    );
    assert_eq!(
        mirrored("{name: b, port: 80, percent: 101}").ask(&get("h", "/")),
        "404"
    );
}

#[test]
fn a_failover_needs_to_know_what_fails() {
    let failover = |errors: &str| {
        let it = object(
            "TraefikService",
            "safe",
            &format!(
                "failover:\n  service: {{name: a, port: 80}}\n  fallback: {{name: b, port: 80}}\n{errors}"
            ),
        );
        services("{name: safe, kind: TraefikService}", &[it])
    };
    let by_status = failover("  errors: {status: ['500-599']}");
    assert_eq!(by_status.ask(&get("h", "/")), "a:80");
    assert!(by_status.lines().contains("the fallback gets nothing"));
    assert_eq!(failover("").ask(&get("h", "/")), "404");
}

#[test]
fn a_service_by_hash_of_the_client_is_told_to_be_drawn() {
    let hashed = object(
        "TraefikService",
        "hashed",
        "highestRandomWeight:\n  services: [{name: a, port: 80}, {name: b, port: 80, weight: 2}]",
    );
    let built = services("{name: hashed, kind: TraefikService}", &[hashed]);
    assert_eq!(built.ask(&get("h", "/")), "a:80*1 b:80*2");
    assert!(
        built
            .lines()
            .contains("`highestRandomWeight` is not modelled")
    );
}

#[test]
fn services_that_lead_to_each_other_in_a_circle_are_refused() {
    let round = object(
        "TraefikService",
        "round",
        "weighted: {services: [{name: round, kind: TraefikService}]}",
    );
    let built = services("{name: round, kind: TraefikService}", &[round]);
    assert_eq!(built.ask(&get("h", "/")), "404");
    assert!(built.lines().contains("error[traefik::circle]"));
}

#[test]
fn a_cookie_keeps_clients_where_they_are() {
    for (cookie, name, ttl, path) in [
        ("{}", "_traefik", None, "/"),
        (
            "{name: sid, maxAge: 60, path: /shop, secure: true, httpOnly: true, sameSite: lax}",
            "sid",
            Some(60),
            "/shop",
        ),
    ] {
        let built = with(&format!(", sticky: {{cookie: {cookie}}}"));
        let session = built.forward(&get("h", "/")).session.expect("a session");
        let want = SessionCarrier::Cookie {
            name: name.into(),
            ttl: ttl.map(Duration::from_secs),
            path: Some(path.into()),
        };
        assert_eq!(session.carrier, want, "{cookie}");
    }
}

/// Quirk: the Service's own address is dialled only where it is asked for.
#[test]
fn native_balancing_dials_the_service() {
    let members = |built: &Built| built.only_cluster(&get("h", "/")).endpoints.endpoints.len();
    let built = with(", nativeLB: true");
    assert_eq!(members(&built), 1, "one address");
    assert_eq!(members(&with("")), 0, "no pod is there");
    let headless = services("{name: headless, port: 80, nativeLB: true}", &[]);
    assert_eq!(headless.ask(&get("h", "/")), "404");
    assert!(headless.lines().contains("error[traefik::native-lb]"));
}

/// Quirk: one failure takes a server out for ten seconds; see the core's `passive`.
#[test]
fn passive_health_lasts_its_window() {
    for (settings, failures, secs) in [
        ("{}", 1, 10),
        ("{failureWindow: 30s, maxFailedAttempts: 3}", 3, 30),
        ("{maxFailedAttempts: 0}", 1, 10),
    ] {
        let built = with(&format!(", passiveHealthCheck: {settings}"));
        let passive = built
            .only_cluster(&get("h", "/"))
            .passive
            .expect("a passive check")
            .value;
        assert_eq!(
            (passive.failures, passive.window),
            (failures, Duration::from_secs(secs)),
            "{settings}"
        );
        assert!(!passive.returned_by_checks);
    }
}

/// Quirk: probes are for Services of another name; of pods readiness is all there is.
#[test]
fn probes_of_pods_unmake_the_router() {
    let built = with(", healthCheck: {path: /health}");
    assert_eq!(built.ask(&get("h", "/")), "404");
    assert!(built.lines().contains("error[traefik::health-check]"));
}

const EXTERNAL: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: ext}\nspec: {type: ExternalName, externalName: b.default.svc.cluster.local, ports: [{port: 80}]}\n";

#[test]
fn services_of_another_name_are_served_where_traefik_is_started_for_them() {
    let route =
        "{name: ext, port: 80, healthCheck: {path: /up, interval: 5s, timeout: 1s, status: 204}}";
    let closed = services(route, &[EXTERNAL.to_owned()]);
    assert_eq!(closed.ask(&get("h", "/")), "404");
    assert!(closed.lines().contains("error[traefik::external-name]"));
    let args = [
        "--entrypoints.web.address=:8000",
        "--providers.kubernetescrd=true",
        "--providers.kubernetescrd.allowexternalnameservices=true",
    ];
    let open = services(route, &[EXTERNAL.to_owned(), started(&args)]);
    let cluster = open.only_cluster(&get("h", "/"));
    let check = &cluster.health_checks[0].value;
    assert_eq!(check.path.as_deref(), Some("/up"));
    assert_eq!(
        (check.interval, check.unhealthy_interval),
        (Duration::from_secs(5), Some(Duration::from_secs(5)))
    );
    assert_eq!(check.timeout, Duration::from_secs(1));
    assert_eq!((check.unhealthy_threshold, check.healthy_threshold), (1, 1));
    assert!(check.expects(204) && !check.expects(200));
    assert_eq!(
        cluster.endpoints.endpoints.len(),
        1,
        "the other Service's address"
    );
}

#[test]
fn a_transport_says_how_servers_are_connected_to() {
    let transport = object(
        "ServersTransport",
        "slow",
        "serverName: api.internal\ninsecureSkipVerify: true\nmaxIdleConnsPerHost: 50\nforwardingTimeouts: {dialTimeout: 2s, responseHeaderTimeout: 5, idleConnTimeout: 1m}",
    );
    let built = services(
        "{name: a, port: 80, scheme: https, serversTransport: slow}",
        &[transport],
    );
    let cluster = built.only_cluster(&get("h", "/"));
    assert_eq!(cluster.connect_timeout.value, Duration::from_secs(2));
    assert_eq!(
        cluster.pool.idle_timeout.map(|it| it.value),
        Some(Duration::from_secs(60))
    );
    let UpstreamTransport::Tls { sni, .. } = &cluster.transport else {
        panic!("no TLS");
    };
    assert_eq!(&**sni, "api.internal");
    let retry = built
        .forward(&get("h", "/"))
        .retry
        .expect("a bound on silence");
    assert_eq!(
        retry.per_try_idle_timeout.map(|it| it.value),
        Some(Duration::from_secs(5))
    );
    assert_eq!(retry.retries.value, 0);
    let missing = with(", serversTransport: gone");
    assert_eq!(missing.ask(&get("h", "/")), "404");
}

#[test]
fn middlewares_of_a_service_come_after_those_of_its_router() {
    let built = build(&[
        routes(&[
            "{match: 'PathPrefix(`/`)', middlewares: [{name: outer}], services: [{name: a, port: 80, middlewares: [{name: inner}]}]}",
        ]),
        object("Middleware", "outer", "addPrefix: {prefix: /o}"),
        object("Middleware", "inner", "addPrefix: {prefix: /i}"),
    ]);
    assert_eq!(built.ask(&get("h", "/x")), "a:80 as h/i/o/x");
}
