//! Limits of clients.
//!
//! Source: ingress-nginx `internal/ingress/annotations/ratelimit/main.go`.

use proxy_core::config::{Gate, GateKey, GateKind, RateLimit};
use proxy_core::limit::leaky_bucket::LeakyBucket;

use super::harness::*;

fn gates(notes: &[(&str, &str)], data: &[(&str, &str)]) -> Vec<Gate> {
    let built = annotated_with(notes, &[settings(data)]);
    built
        .route(&get("a.example.com", "/"))
        .expect("a route")
        .gates
}

fn buckets(gate: &Gate) -> Vec<LeakyBucket> {
    match &gate.kind {
        GateKind::Rate {
            limit: RateLimit::Leaky(buckets),
            key: GateKey::ClientAddress { .. },
        } => buckets.clone(),
        GateKind::Rate { .. } | GateKind::InFlight { .. } | GateKind::Breaker(_) => {
            panic!("{gate:?}")
        }
    }
}

#[test]
fn a_client_may_send_five_times_its_rate_at_once() {
    type Row = (&'static [(&'static str, &'static str)], Vec<LeakyBucket>);
    let rows: [Row; 4] = [
        (
            &[("limit-rps", "10")],
            vec![LeakyBucket::per_second(10, 50)],
        ),
        (
            &[("limit-rpm", "30")],
            vec![LeakyBucket::per_minute(30, 150)],
        ),
        (
            &[("limit-rps", "10"), ("limit-burst-multiplier", "2")],
            vec![LeakyBucket::per_second(10, 20)],
        ),
        (
            &[("limit-rpm", "600"), ("limit-rps", "10")],
            vec![
                LeakyBucket::per_second(10, 50),
                LeakyBucket::per_minute(600, 3000),
            ],
        ),
    ];
    for (notes, expected) in rows {
        let gates = gates(notes, &[]);
        let [gate] = &gates[..] else {
            panic!("{notes:?}: {gates:?}");
        };
        assert_eq!(buckets(gate), expected, "{notes:?}");
        assert_eq!(gate.status, 503, "{notes:?}");
    }
    for notes in [
        &[("limit-rps", "0")],
        &[("limit-rps", "-1")],
        &[("limit-burst-multiplier", "3")],
    ] {
        assert_eq!(gates(notes, &[]), [], "{notes:?}");
    }
}

#[test]
fn rates_are_looked_at_before_what_is_under_way() {
    let notes = &[
        ("limit-connections", "3"),
        ("limit-rps", "1"),
        ("limit-whitelist", "10.0.0.0/8,192.0.2.1"),
    ];
    let data = &[
        ("limit-req-status-code", "429"),
        ("limit-conn-status-code", "420"),
    ];
    let gates = gates(notes, data);
    let [rate, seats] = &gates[..] else {
        panic!("{gates:?}");
    };
    assert_eq!(buckets(rate), [LeakyBucket::per_second(1, 5)]);
    assert!(
        matches!(seats.kind, GateKind::InFlight { most: 3, .. }),
        "{seats:?}"
    );
    assert_eq!((rate.status, seats.status), (429, 420));
    assert_eq!((rate.exempt.len(), seats.exempt.len()), (2, 2));
}

#[test]
fn the_paths_of_an_ingress_count_together_and_those_of_two_apart() {
    let notes = &[("limit-rps", "1")];
    let built = build(&[
        ingress(
            "one",
            notes,
            &["a.example.com / prefix a", "b.example.com /x prefix b"],
        ),
        ingress("two", notes, &["c.example.com / prefix a"]),
    ]);
    let name = |host: &str, path: &str| {
        let route = built.route(&get(host, path)).expect("a route");
        route.gates[0].name.to_string()
    };
    let first = name("a.example.com", "/");
    assert_eq!(first, name("b.example.com", "/x"));
    assert_ne!(first, name("c.example.com", "/"));
}

#[test]
fn addresses_are_refused_that_are_named_or_are_not() {
    type Notes = &'static [(&'static str, &'static str)];
    let (allow, deny) = (
        ("whitelist-source-range", "10.0.0.0/8,192.0.2.1"),
        ("denylist-source-range", "10.9.0.0/16"),
    );
    let login = ("auth-url", "https://auth.example.com");
    let served = "shop-a-80";
    type Row<'a> = (Vec<(&'a str, &'a str)>, Notes, &'a str, &'a str);
    let rows: &[Row<'_>] = &[
        (vec![], &[], "198.51.100.1", served),
        (vec![allow], &[], "10.1.1.1", served),
        (vec![allow], &[], "192.0.2.1", served),
        (vec![allow], &[], "192.0.2.2", "403"),
        (vec![deny], &[], "10.9.1.1", "403"),
        (vec![deny], &[], "10.8.1.1", served),
        (vec![allow, deny], &[], "10.9.1.1", "403"),
        (
            vec![],
            &[("whitelist-source-range", "10.0.0.0/8")],
            "192.0.2.1",
            "403",
        ),
        (
            vec![allow],
            &[("whitelist-source-range", "11.0.0.0/8")],
            "10.1.1.1",
            served,
        ),
        (
            vec![allow, login, ("satisfy", "any")],
            &[],
            "198.51.100.1",
            served,
        ),
        (vec![allow, login], &[], "198.51.100.1", "403"),
    ];
    for (notes, data, client, expected) in rows {
        let built = annotated_with(notes, &[settings(data)]);
        let ask = Ask {
            client: Some(client.parse().expect("an address")),
            ..get("a.example.com", "/")
        };
        assert_eq!(built.ask(&ask), *expected, "{notes:?} {data:?} {client}");
    }
}

/// NGINX: `invalid burst value "burst=0"`.
#[test]
fn a_burst_of_nothing_is_refused_by_nginx() {
    for (multiplier, is_error) in [("0", true), ("-1", true), ("1", false)] {
        let built = annotated(&[("limit-rps", "1"), ("limit-burst-multiplier", multiplier)]);
        assert_eq!(built.has("nginx::burst"), is_error, "{multiplier}");
    }
    let unlimited = annotated(&[("limit-burst-multiplier", "0")]);
    assert!(!unlimited.has("nginx::burst"));
}
