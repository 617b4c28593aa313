//! What people are told.

use super::harness::*;

const HOST: &str = "a.example.com";

#[test]
fn a_wrong_value_does_what_it_does_in_the_release() {
    let rows: &[(&str, &str, &str, &str)] = &[
        (
            "the default counts",
            "proxy-read-timeout",
            "5m",
            "shop-a-80",
        ),
        (
            "the path is denied",
            "whitelist-source-range",
            "10.0.0.0/33",
            "503",
        ),
        (
            "the path is denied",
            "denylist-source-range",
            "nobody",
            "503",
        ),
        (
            "the path is denied",
            "auth-response-headers",
            "X-A;X-B",
            "503",
        ),
        ("the Ingress is left out", "limit-rps", "many", ""),
        (
            "the Ingress is left out",
            "configuration-snippet",
            "return 418;",
            "",
        ),
        ("not known", "proxy-reed-timeout", "5", "shop-a-80"),
    ];
    for (name, key, value, expected) in rows {
        let built = annotated(&[(key, value)]);
        let found = match built.model.gateways() {
            [] => String::new(),
            [..] => built.ask(&get(HOST, "/")),
        };
        assert_eq!(found, *expected, "{key}: {name}");
        let is_error = built.problems.has_errors();
        assert_eq!(is_error, *expected != "503", "{key}: {}", built.lines());
    }
}

#[test]
fn what_asks_who_somebody_is_needs_all_of_it() {
    let rows: &[(&[(&str, &str)], &str)] = &[
        (&[("auth-type", "basic")], "503"),
        (
            &[("auth-type", "basic"), ("auth-secret", "users")],
            "shop-a-80",
        ),
        (&[("auth-url", "auth.example.com")], "503"),
        (&[("auth-url", "https://auth.example.com/ok")], "shop-a-80"),
    ];
    for (notes, expected) in rows {
        let built = annotated(notes);
        assert_eq!(built.ask(&get(HOST, "/")), *expected, "{notes:?}");
        let code = if *expected == "503" {
            "nginx::denied"
        } else {
            "nginx::open"
        };
        assert!(built.has(code), "{notes:?}: {}", built.lines());
    }
}

#[test]
fn snippets_are_taken_where_the_configmap_allows_them() {
    let allowed = settings(&[
        ("allow-snippet-annotations", "true"),
        ("annotations-risk-level", "Critical"),
    ]);
    let built = annotated_with(&[("configuration-snippet", "return 418;")], &[allowed]);
    assert_eq!(built.ask(&get(HOST, "/")), "shop-a-80");
    assert!(built.has("nginx::snippet"), "{}", built.lines());
    let half = settings(&[("allow-snippet-annotations", "true")]);
    let built = annotated_with(&[("configuration-snippet", "return 418;")], &[half]);
    assert!(built.has("nginx::refused"), "{}", built.lines());
}

/// Everything that may be wrong, or is not modelled, in one file.
#[test]
fn problems_are_shown_in_the_text() {
    let built = build(&[
        settings(&[
            ("proxy-body-size", "8mb"),
            ("proxy-read-timeuot", "5"),
            ("global-auth-url", "https://auth.example.com"),
            ("use-forwarded-headers", "true"),
        ]),
        ingress(
            "web",
            &[
                ("proxy-conect-timeout", "5"),
                ("proxy-connect-timeout", "5s"),
                ("proxy-send-timeout", "10"),
                ("auth-url", "https://auth.example.com"),
                ("auth-signin", "https://login.example.com"),
                ("whitelist-source-range", "10.0.0.0/8"),
                ("allowlist-source-range", "11.0.0.0/8"),
                ("enable-access-log", "false"),
                ("ssl-ciphers", ""),
                ("permanent-redirect", "/somewhere"),
                ("upstream-hash-by", "$upstream_addr"),
                ("mirror-target", "https://nobody.example.com$request_uri"),
                ("rewrite-target", "x/$unknown"),
            ],
            &[
                "a.example.com /a prefix a",
                "a.example.com /a.*(?=b) any b",
                "a.example.com /[x] prefix nobody",
                "a.example.com /a prefix b",
            ],
        ),
        ingress(
            "denied",
            &[("denylist-source-range", "everybody")],
            &["b.example.com / prefix a"],
        ),
        ingress(
            "lonely",
            &[
                ("canary", "true"),
                ("canary-weight", "5"),
                ("limit-rpm", "5"),
            ],
            &["c.example.com / prefix a"],
        ),
    ]);
    insta::assert_snapshot!(built.problems.render(&built.sources));
}

#[test]
fn of_an_annotation_and_its_older_name_the_annotation_counts() {
    let (old, new) = (
        ("limit-whitelist", "10.0.0.0/8"),
        ("limit-allowlist", "11.0.0.0/8"),
    );
    for notes in [
        [("limit-rps", "1"), old, new],
        [("limit-rps", "1"), new, old],
    ] {
        let built = annotated(&notes);
        let gates = built.route(&get(HOST, "/")).expect("a route").gates;
        assert_eq!(
            gates[0].exempt[0].address.to_string(),
            "11.0.0.0",
            "{notes:?}"
        );
        assert!(built.has("nginx::twice"), "{notes:?}: {}", built.lines());
    }
}

#[test]
fn ways_to_choose_that_need_more_are_told() {
    for (notes, told) in [
        (&[("load-balance", "chash")][..], true),
        (&[("load-balance", "sticky_balanced")], true),
        (
            &[("load-balance", "chash"), ("upstream-hash-by", "$host")],
            false,
        ),
        (&[("load-balance", "ewma")], false),
    ] {
        let built = annotated(notes);
        assert_eq!(built.has("nginx::load-balance"), told, "{notes:?}");
    }
}
