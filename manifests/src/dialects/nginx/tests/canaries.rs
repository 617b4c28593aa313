//! Canaries and clients that stay.
//!
//! Source: ingress-nginx `docs/user-guide/nginx-configuration/annotations.md` ("Canary"), `rootfs/etc/nginx/lua/balancer.lua`.

use proxy_core::config::{Balancer, SessionCarrier};
use proxy_core::time::Duration;

use super::harness::*;

const HOST: &str = "a.example.com";

/// A main Ingress to `a` and a canary of it to `b`.
fn canary(notes: &[(&str, &str)]) -> Built {
    let mut all = vec![("canary", "true")];
    all.extend_from_slice(notes);
    build(&[
        ingress("web", &[], &["a.example.com / prefix a"]),
        ingress("next", &all, &["a.example.com / prefix b"]),
    ])
}

#[test]
fn headers_come_before_cookies_and_cookies_before_weights() {
    let (main, next) = ("shop-a-80", "shop-b-80");
    type Row = (
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static [(&'static str, &'static str)],
        &'static str,
    );
    const ALL: &[(&str, &str)] = &[
        ("canary-by-header", "X-Next"),
        ("canary-by-cookie", "next"),
        ("canary-weight", "20"),
    ];
    let split = "shop-a-80*80 shop-b-80*20";
    let rows: &[Row] = &[
        (
            "a header says always",
            ALL,
            &[("x-next", "always"), ("cookie", "next=never")],
            next,
        ),
        (
            "a header says never",
            ALL,
            &[("x-next", "never"), ("cookie", "next=always")],
            main,
        ),
        (
            "a header says nothing",
            ALL,
            &[("x-next", "perhaps"), ("cookie", "next=always")],
            next,
        ),
        (
            "a cookie says never",
            ALL,
            &[("cookie", "a=b; next=never; c=d")],
            main,
        ),
        (
            "a cookie of another name",
            ALL,
            &[("cookie", "anext=always")],
            split,
        ),
        (
            "a cookie says nothing",
            ALL,
            &[("cookie", "next=perhaps")],
            split,
        ),
        ("nobody says anything", ALL, &[], split),
        (
            "a value",
            &[
                ("canary-by-header", "X-User"),
                ("canary-by-header-value", "beta"),
            ],
            &[("x-user", "beta")],
            next,
        ),
        (
            "another value, though it is `always`",
            &[
                ("canary-by-header", "X-User"),
                ("canary-by-header-value", "beta"),
            ],
            &[("x-user", "always")],
            main,
        ),
        (
            "a pattern, anywhere",
            &[
                ("canary-by-header", "X-User"),
                ("canary-by-header-pattern", "be[a-z]a"),
            ],
            &[("x-user", "my beta user")],
            next,
        ),
        (
            "a value before a pattern",
            &[
                ("canary-by-header", "X-User"),
                ("canary-by-header-value", "beta"),
                ("canary-by-header-pattern", "gamma"),
            ],
            &[("x-user", "gamma")],
            main,
        ),
    ];
    for (name, notes, headers, expected) in rows {
        let built = canary(notes);
        let ask = Ask {
            headers,
            ..get(HOST, "/x")
        };
        assert_eq!(built.ask(&ask), *expected, "{name}");
    }
}

#[test]
fn a_weight_is_one_of_a_total() {
    let rows: &[(&[(&str, &str)], &str)] = &[
        (&[], "shop-a-80"),
        (&[("canary-weight", "0")], "shop-a-80"),
        (&[("canary-weight", "-5")], "shop-a-80"),
        (&[("canary-weight", "30")], "shop-a-80*70 shop-b-80*30"),
        (&[("canary-weight", "100")], "shop-b-80"),
        (&[("canary-weight", "250")], "shop-b-80"),
        (
            &[("canary-weight", "30"), ("canary-weight-total", "1000")],
            "shop-a-80*970 shop-b-80*30",
        ),
        // a total below 100 is none
        (
            &[("canary-weight", "30"), ("canary-weight-total", "50")],
            "shop-a-80*70 shop-b-80*30",
        ),
    ];
    for (notes, expected) in rows {
        let built = canary(notes);
        assert_eq!(built.ask(&get(HOST, "/")), *expected, "{notes:?}");
    }
}

#[test]
fn a_canary_has_the_host_path_and_type_of_its_main_ingress() {
    let weight = &[("canary", "true"), ("canary-weight", "100")];
    let rows: &[(&str, &str, bool)] = &[
        ("the same", "a.example.com / prefix b", true),
        ("another path", "a.example.com /x prefix b", false),
        ("another host", "b.example.com / prefix b", false),
        ("another type", "a.example.com / exact b", false),
    ];
    for (name, rule, takes) in rows {
        let built = build(&[
            ingress("web", &[], &["a.example.com / prefix a"]),
            ingress("next", weight, &[rule]),
        ]);
        let expected = if *takes { "shop-b-80" } else { "shop-a-80" };
        assert_eq!(built.ask(&get(HOST, "/x")), expected, "{name}");
        assert_eq!(built.has("nginx::lonely-canary"), !takes, "{name}");
    }
}

#[test]
fn a_rule_has_one_canary() {
    let weight = &[("canary", "true"), ("canary-weight", "10")];
    let built = build(&[
        ingress("web", &[], &["a.example.com / prefix a"]),
        ingress("next", weight, &["a.example.com / prefix b"]),
        ingress("after", weight, &["a.example.com / prefix c"]),
    ]);
    assert_eq!(built.ask(&get(HOST, "/")), "shop-a-80*90 shop-b-80*10");
    assert!(built.has("nginx::second-canary"), "{}", built.lines());
}

/// The controller keeps canaries by what they stand for, and not by path.
#[test]
fn every_path_of_the_same_backend_has_the_canary() {
    let built = build(&[
        ingress(
            "web",
            &[],
            &["a.example.com / prefix a", "a.example.com /x prefix a"],
        ),
        ingress(
            "next",
            &[("canary", "true"), ("canary-weight", "100")],
            &["a.example.com /x prefix b"],
        ),
    ]);
    assert_eq!(built.ask(&get(HOST, "/")), "shop-b-80");
}

#[test]
fn a_backend_that_was_a_canarys_first_is_served_by_no_path() {
    let built = build(&[
        ingress(
            "next",
            &[("canary", "true"), ("canary-weight", "10")],
            &["a.example.com /b prefix b"],
        ),
        ingress(
            "web",
            &[],
            &["a.example.com / prefix a", "a.example.com /b prefix b"],
        ),
    ]);
    assert_eq!(built.ask(&get(HOST, "/b")), "shop-a-80");
    assert!(built.has("nginx::canary"), "{}", built.lines());
}

#[test]
fn the_main_ingress_has_the_say_over_all_else() {
    let built = build(&[
        ingress(
            "web",
            &[("proxy-body-size", "2m")],
            &["a.example.com / prefix a"],
        ),
        ingress(
            "next",
            &[
                ("canary", "true"),
                ("canary-weight", "100"),
                ("proxy-body-size", "9m"),
            ],
            &["a.example.com / prefix b"],
        ),
    ]);
    let forward = built.forward(&get(HOST, "/"));
    assert_eq!(forward.largest_body.expect("a size").value, 2 << 20);
    assert!(built.has("nginx::canary"), "{}", built.lines());
}

#[test]
fn a_canary_that_is_not_switched_on_is_an_ingress_as_any_other() {
    let built = build(&[
        ingress("web", &[], &["a.example.com / prefix a"]),
        ingress(
            "next",
            &[("canary-weight", "50")],
            &["a.example.com / prefix b"],
        ),
    ]);
    assert_eq!(built.ask(&get(HOST, "/")), "shop-a-80");
    let codes = built.codes();
    assert!(
        codes.contains(&"nginx::no-canary") && codes.contains(&"nginx::same-path"),
        "{codes:?}"
    );
}

#[test]
fn clients_stay_with_an_endpoint_by_a_cookie() {
    let cookie = |notes: &[(&str, &str)]| {
        let built = annotated(notes);
        let forward = built.forward(&get(HOST, "/"));
        let balancer = built.cluster(&get(HOST, "/")).balancer.value;
        forward.session.map(|it| (it.carrier, balancer))
    };
    let carrier = |name: &str, ttl: Option<u64>, path: &str| SessionCarrier::Cookie {
        name: name.into(),
        ttl: ttl.map(Duration::from_secs),
        path: Some(path.into()),
    };
    type Row = (
        &'static [(&'static str, &'static str)],
        Option<(&'static str, Option<u64>, &'static str)>,
    );
    let rows: &[Row] = &[
        (&[], None),
        (&[("session-cookie-name", "route")], None),
        (
            &[("affinity", "cookie")],
            Some(("INGRESSCOOKIE", None, "/")),
        ),
        (
            &[
                ("affinity", "cookie"),
                ("session-cookie-name", "route"),
                ("session-cookie-max-age", "172800"),
                ("session-cookie-expires", "1"),
                ("session-cookie-path", "/app"),
            ],
            Some(("route", Some(172_800), "/app")),
        ),
        (
            &[("affinity", "cookie"), ("session-cookie-expires", "60")],
            Some(("INGRESSCOOKIE", Some(60), "/")),
        ),
    ];
    for (notes, expected) in rows {
        let expected =
            expected.map(|(name, ttl, path)| (carrier(name, ttl, path), Balancer::Random));
        assert_eq!(cookie(notes), expected, "{notes:?}");
    }
}

#[test]
fn clients_stay_on_their_side_of_a_canary_unless_it_is_told_otherwise() {
    let with = |behaviour: &str| {
        build(&[
            ingress(
                "web",
                &[("affinity", "cookie")],
                &["a.example.com / prefix a"],
            ),
            ingress(
                "next",
                &[
                    ("canary", "true"),
                    ("canary-by-header", "X-Next"),
                    ("canary-weight", "10"),
                    ("affinity-canary-behavior", behaviour),
                ],
                &["a.example.com / prefix b"],
            ),
        ])
    };
    let ask = Ask {
        headers: &[
            ("x-next", "always"),
            ("cookie", "INGRESSCOOKIE=\"10.0.0.1:8080\""),
        ],
        ..get(HOST, "/")
    };
    assert_eq!(with("sticky").ask(&ask), "shop-a-80*90 shop-b-80*10");
    assert_eq!(with("legacy").ask(&ask), "shop-b-80");
}
