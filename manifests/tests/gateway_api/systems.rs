//! Who serves a Gateway, by the controller of its class: the defaults of each, and what of the API it does not read.

use proxy_core::config::{
    Balancer, ChainAction, Cluster, Forward, HttpConnections, ReplyProfile, RouteAction,
};
use proxy_core::retry::backoff::Backoff;
use proxy_core::time::Duration;

use super::rig::*;

const SYSTEMS: [(&str, &str); 8] = [
    ("the API", "example.com/edge"),
    (
        "Envoy Gateway",
        "gateway.envoyproxy.io/gatewayclass-controller",
    ),
    ("Istio", "istio.io/gateway-controller"),
    ("Kong", "konghq.com/kic-gateway-controller"),
    ("Traefik", "traefik.io/gateway-controller"),
    ("NGINX", "gateway.nginx.org/nginx-gateway-controller"),
    ("Consul", "consul.hashicorp.com/gateway-controller"),
    ("Kuma", "gateways.kuma.io/controller"),
];

/// `shop/edge` under a class of another controller, with rules of one route.
fn served(controller: &str, rules: &str) -> Built {
    let class = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {{name: own}}\nspec: {{controllerName: {controller}}}\n"
    );
    let gateway = gateway(HTTP).replace("gatewayClassName: edge", "gatewayClassName: own");
    let pods = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: shop}\nspec:\n  replicas: 4\n  selector: {matchLabels: {app: a}}\n  \
                template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: a}]}}\n";
    build(&[
        class,
        gateway,
        pods.to_owned(),
        route("r", &format!("rules:\n{rules}")),
    ])
}

/// How the first rule's requests are sent on.
fn sent(built: &Built) -> (HttpConnections, Forward, Cluster) {
    let config = built.gateway();
    let section = &config.sections[0];
    let ChainAction::Http(http) = &section.listeners()[0].chains[0].action else {
        panic!("requests come");
    };
    let route = taken(section, http.table, &get("h", "/")).expect("a route");
    let RouteAction::Forward(forward) = &route.action else {
        panic!("it is sent on: {:?}", route.action);
    };
    let at = forward.clusters[0].cluster.expect("a cluster");
    let cluster = section.clusters()[at.0 as usize].clone();
    ((**http).clone(), (**forward).clone(), (*cluster).clone())
}

fn length(length: Option<Duration>) -> String {
    length.map_or_else(|| "none".to_owned(), |it| format!("{}ms", it.as_millis()))
}

/// Whole, silence of streams, tries.
fn times(built: &Built) -> String {
    let (http, forward, _) = sent(built);
    let whole = length(forward.timeout.value);
    let silence = length(http.stream_idle_timeout.map(|it| it.value));
    let of_route = length(forward.idle_timeout.map(|it| it.value));
    let tries = match &forward.retry {
        None => "one try".to_owned(),
        Some(retry) => {
            let on: Vec<&str> = retry.on.value.iter().map(|on| on.name()).collect();
            let mut words = vec![format!("{} more on {}", retry.retries.value, on.join(" "))];
            if !retry.statuses.is_empty() {
                words.push(format!("{:?}", retry.statuses));
            }
            if retry.backoff.value == Backoff::None {
                words.push("at once".to_owned());
            }
            if let Some(bound) = retry.per_try_timeout {
                words.push(format!("each {}", length(Some(bound.value))));
            }
            if let Some(bound) = retry.per_try_idle_timeout {
                words.push(format!("silent {}", length(Some(bound.value))));
            }
            if retry.avoid_previous.is_some() {
                words.push("elsewhere".to_owned());
            }
            if retry.spare_sent_non_idempotent {
                words.push("no POST twice".to_owned());
            }
            words.join(", ")
        }
    };
    format!("whole {whole}; streams {silence} {of_route}; {tries}")
}

const PLAIN: &str = "- {backendRefs: [{name: a, port: 80}]}";

#[test]
fn every_system_brings_its_own_times_and_retries() {
    let before = "connect-failure refused-stream retriable-status-codes cancelled unavailable";
    for (name, want) in [
        ("the API", "whole none; streams none none; one try".to_owned()),
        (
            "Envoy Gateway",
            "whole 15000ms; streams 300000ms none; one try".to_owned(),
        ),
        (
            "Istio",
            format!("whole none; streams none none; 2 more on {before}, elsewhere"),
        ),
        (
            "Kong",
            "whole none; streams none none; 5 more on reset connect-failure, at once, silent 60000ms, no POST twice".to_owned(),
        ),
        ("Traefik", "whole none; streams none none; one try".to_owned()),
        (
            "NGINX",
            "whole none; streams none none; 3 more on reset connect-failure, at once, silent 60000ms, no POST twice".to_owned(),
        ),
        ("Consul", "whole 15000ms; streams none none; one try".to_owned()),
        (
            "Kuma",
            "whole 15000ms; streams 1800000ms none; 5 more on gateway-error connect-failure refused-stream".to_owned(),
        ),
    ] {
        let built = served(controller(name), PLAIN);
        assert_eq!(times(&built), want, "{name}");
    }
}

fn controller(name: &str) -> &'static str {
    let found = SYSTEMS.iter().find(|(known, _)| *known == name);
    found.expect("a system of the list").1
}

#[test]
fn every_system_connects_balances_and_answers_its_own_way() {
    // balancer, connect and idle in seconds, requests of a connection, connections and retries at once, panic, answers
    type Row = (
        &'static str,
        &'static str,
        (u64, u64),
        Option<u32>,
        (u32, u32),
        bool,
        ReplyProfile,
    );
    let most = (u32::MAX, u32::MAX);
    let rows: [Row; 8] = [
        (
            "the API",
            "turns",
            (5, 3600),
            None,
            (1024, 1024),
            true,
            ReplyProfile::Envoy,
        ),
        (
            "Envoy Gateway",
            "least",
            (10, 3600),
            None,
            (1024, 1024),
            true,
            ReplyProfile::Envoy,
        ),
        (
            "Istio",
            "least",
            (10, 3600),
            None,
            most,
            false,
            ReplyProfile::Envoy,
        ),
        (
            "Kong",
            "kong",
            (60, 60),
            Some(10_000),
            most,
            false,
            ReplyProfile::Nginx,
        ),
        (
            "Traefik",
            "traefik",
            (30, 90),
            None,
            most,
            false,
            ReplyProfile::Traefik,
        ),
        (
            "NGINX",
            "least",
            (60, 60),
            Some(1),
            most,
            false,
            ReplyProfile::Nginx,
        ),
        (
            "Consul",
            "turns",
            (5, 3600),
            None,
            (1024, 3),
            false,
            ReplyProfile::Envoy,
        ),
        (
            "Kuma",
            "turns",
            (5, 3600),
            None,
            (1024, 3),
            true,
            ReplyProfile::Envoy,
        ),
    ];
    for (name, balancer, lengths, requests, bounds, panics, replies) in rows {
        let built = served(controller(name), PLAIN);
        let (http, _, cluster) = sent(&built);
        let found = if cluster.balancer.value == Balancer::RoundRobin {
            "turns"
        } else if cluster.balancer.value == Balancer::KongRing {
            "kong"
        } else if cluster.balancer.value == Balancer::TraefikTurns {
            "traefik"
        } else {
            "least"
        };
        assert_eq!(found, balancer, "{name}");
        let connect = cluster.connect_timeout.value.as_millis() / 1000;
        let idle = cluster
            .pool
            .idle_timeout
            .map(|it| it.value.as_millis() / 1000);
        assert_eq!((connect, idle), (lengths.0, Some(lengths.1)), "{name}");
        let carried = cluster.pool.max_requests_per_connection.map(|it| it.value);
        assert_eq!(carried, requests, "{name}");
        let limits = cluster.limits[0];
        assert_eq!(
            (limits.connections.value, limits.retries.value),
            bounds,
            "{name}"
        );
        let has_panic = cluster.panic_threshold.value.as_fraction() > 0.0;
        assert_eq!(
            (has_panic, cluster.fail_traffic_on_panic),
            (panics, !panics),
            "{name}"
        );
        assert_eq!(http.replies, replies, "{name}");
    }
}

#[test]
fn what_a_rule_says_of_time_and_retries_counts_where_it_is_read() {
    let rule = "- {backendRefs: [{name: a, port: 80}], timeouts: {request: 9s, backendRequest: 2s}, retry: {codes: [500], attempts: 4, backoff: 50ms}}";
    let before = "connect-failure refused-stream retriable-status-codes cancelled unavailable";
    for (name, want, unread) in [
        (
            "the API",
            "whole 9000ms; streams none none; 4 more on reset connect-failure refused-stream retriable-status-codes, [500], each 2000ms".to_owned(),
            0,
        ),
        (
            "Envoy Gateway",
            format!("whole 9000ms; streams 300000ms 3600000ms; 4 more on {before}, [500], each 2000ms, elsewhere"),
            0,
        ),
        (
            "Istio",
            format!("whole 9000ms; streams none none; 4 more on {before}, [500], each 2000ms, elsewhere"),
            0,
        ),
        // connections and answers may take as long as a try
        (
            "Kong",
            "whole none; streams none none; 5 more on reset connect-failure, at once, silent 2000ms, no POST twice".to_owned(),
            2,
        ),
        ("Traefik", "whole none; streams none none; one try".to_owned(), 3),
        (
            "NGINX",
            "whole none; streams none none; 3 more on reset connect-failure, at once, silent 60000ms, no POST twice".to_owned(),
            3,
        ),
    ] {
        let built = served(controller(name), rule);
        assert_eq!(times(&built), want, "{name}");
        let told = built.text.matches("gateway-api::unsupported").count();
        assert_eq!(told, unread, "{name}: {}", built.text);
    }
}

#[test]
fn a_retry_that_says_nothing_is_the_systems() {
    let rule = "- {backendRefs: [{name: a, port: 80}], retry: {}}";
    for (name, want) in [
        ("the API", "1 more on reset"),
        ("Envoy Gateway", "2 more on connect-failure"),
        ("Istio", "2 more on connect-failure"),
    ] {
        let said = times(&served(controller(name), rule));
        assert!(said.contains(want), "{name}: {said}");
    }
    let said = times(&served(controller("Envoy Gateway"), rule));
    assert!(said.contains("[503]"), "{said}");
}

#[test]
fn filters_that_a_system_lacks_are_answered_or_take_the_route_away() {
    let mirror = "- {backendRefs: [{name: a, port: 80}], filters: [{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 80}}}]}";
    let cors = "- {backendRefs: [{name: a, port: 80}], filters: [{type: CORS, cors: {allowOrigins: ['https://a.example']}}]}";
    let of_backend = "- {backendRefs: [{name: a, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x-a]}}]}]}";
    let sent = "shop/a:80";
    for (name, want) in [
        ("the API", [sent; 3]),
        ("Envoy Gateway", [sent; 3]),
        ("Istio", [sent; 3]),
        ("Kong", ["404"; 3]),
        ("Traefik", ["500", "500", sent]),
        ("NGINX", [sent; 3]),
    ] {
        let got = [mirror, cors, of_backend].map(|rule| {
            let built = served(controller(name), rule);
            let ask = built.ask(&get("h", "/"));
            assert_eq!(
                ask != sent,
                built.has("gateway-api::unsupported"),
                "{name}: {}",
                built.text
            );
            ask
        });
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn the_share_of_what_is_not_there_is_500_and_with_kong_the_others() {
    let rule = "- {backendRefs: [{name: a, port: 80}, {name: gone, port: 80}]}";
    let nothing = "- {backendRefs: [{name: gone, port: 80}]}";
    for (name, _) in SYSTEMS {
        let want = if name == "Kong" {
            "shop/a:80"
        } else {
            "shop/a:80*1 500*1"
        };
        let built = served(controller(name), rule);
        assert_eq!(built.ask(&get("h", "/")), want, "{name}");
        let built = served(controller(name), nothing);
        assert_eq!(built.ask(&get("h", "/")), "500", "{name}");
    }
}

#[test]
fn bodies_and_sessions_are_the_systems() {
    let rule = "- {backendRefs: [{name: a, port: 80}], sessionPersistence: {sessionName: s}}";
    for (name, session, largest, kept) in [
        ("the API", true, None, 1 << 20),
        ("Envoy Gateway", true, None, 1 << 20),
        ("Istio", false, None, 1 << 20),
        ("Kong", false, None, u64::MAX),
        ("Traefik", false, None, 1 << 20),
        ("NGINX", false, Some(1 << 20), u64::MAX),
    ] {
        let built = served(controller(name), rule);
        let (http, forward, _) = sent(&built);
        assert_eq!(forward.session.is_some(), session, "{name}");
        assert_eq!(forward.largest_body.map(|it| it.value), largest, "{name}");
        assert_eq!(http.retained_bytes, kept, "{name}");
    }
}

#[test]
fn whose_defaults_hold_is_told() {
    for (name, release) in [
        ("Envoy Gateway", "envoy-gateway@1.8"),
        ("Istio", "istio@1.30"),
        ("Kong", "kong@3.9"),
        ("Traefik", "traefik@3.7"),
        ("NGINX", "nginx-gateway-fabric@2.6"),
        ("Consul", "consul@1.21"),
        ("Kuma", "kuma@2.14"),
    ] {
        let built = served(controller(name), PLAIN);
        assert!(built.has("gateway-api::class"), "{name}");
        assert!(
            built.text.contains(&format!("the defaults of {release}")),
            "{}",
            built.text
        );
    }
    let built = served("io.cilium/gateway-controller", PLAIN);
    assert!(
        built.text.contains("what Cilium does besides is"),
        "{}",
        built.text
    );
    assert!(!served("example.com/edge", PLAIN).has("gateway-api::class"));
}
