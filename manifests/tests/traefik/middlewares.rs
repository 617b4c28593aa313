//! What middlewares do to requests and answers.

use proxy_core::config::CorsList;

use super::rig::*;

fn check(specs: &[&str], rows: &[(Ask<'_>, &str)]) {
    let built = through(specs);
    for (ask, want) in rows {
        let found = built.ask(ask);
        assert_eq!(
            found,
            *want,
            "{specs:?}: {} {}{}\n{}",
            ask.method,
            ask.host,
            ask.path,
            built.lines()
        );
    }
}

#[test]
fn paths_are_changed_in_the_order_of_the_middlewares() {
    let rows: &[(&[&str], &str, &str)] = &[
        (
            &["addPrefix: {prefix: /v2}"],
            "/a?x=1",
            "a:80 as h/v2/a?x=1",
        ),
        (&["addPrefix: {prefix: v2}"], "/a", "a:80 as h/v2/a"),
        (
            &["stripPrefix: {prefixes: [/api, /v1]}"],
            "/api/a",
            "a:80 as h/a +x-forwarded-prefix=/api",
        ),
        (
            &["stripPrefix: {prefixes: [/api, /v1]}"],
            "/v1",
            "a:80 as h/ +x-forwarded-prefix=/v1",
        ),
        (&["stripPrefix: {prefixes: [/api, /v1]}"], "/other", "a:80"),
        (
            &["stripPrefix: {prefixes: [/api]}"],
            "/apis/a",
            "a:80 as h/s/a +x-forwarded-prefix=/api",
        ),
        (
            &["stripPrefixRegex: {regex: ['/v[0-9]+']}"],
            "/v12/a",
            "a:80 as h/a",
        ),
        (
            &["stripPrefixRegex: {regex: ['/v[0-9]+']}"],
            "/a/v12",
            "a:80",
        ),
        (
            &["replacePath: {path: /new}"],
            "/old?x=1",
            "a:80 as h/new?x=1",
        ),
        (
            &["replacePathRegex: {regex: '^/u/([0-9]+)', replacement: '/users/$1/'}"],
            "/u/7x",
            "a:80 as h/users/7/x",
        ),
        (
            &[
                "stripPrefix: {prefixes: [/api]}",
                "addPrefix: {prefix: /v2}",
            ],
            "/api/a",
            "a:80 as h/v2/a +x-forwarded-prefix=/api",
        ),
        (
            &[
                "addPrefix: {prefix: /v2}",
                "stripPrefix: {prefixes: [/v2/api]}",
            ],
            "/api/a",
            "a:80 as h/a",
        ),
        (
            &[
                "chain: {middlewares: [{name: m1}, {name: m2}]}",
                "addPrefix: {prefix: /b}",
                "addPrefix: {prefix: /a}",
            ],
            "/x",
            // the chain, and then both once more by themselves
            "a:80 as h/a/b/a/b/x",
        ),
    ];
    for (specs, path, want) in rows {
        check(specs, &[(get("h", path), want)]);
    }
}

#[test]
fn a_scheme_is_redirected_to_with_another_status_than_get_for_other_methods() {
    let post = |path| Ask {
        method: "POST",
        ..get("h.com", path)
    };
    check(
        &["redirectScheme: {scheme: https, permanent: true}"],
        &[
            (get("h.com", "/a?b=1"), "301 https://h.com/a?b=1"),
            (get("h.com:8000", "/a"), "301 https://h.com/a"),
            (post("/a"), "308 https://h.com/a"),
            (over_tls("h.com", "/a"), "a:80"),
        ],
    );
    check(
        &["redirectScheme: {scheme: https, port: '8443'}"],
        &[
            (get("h.com", "/a"), "302 https://h.com:8443/a"),
            (post("/a"), "307 https://h.com:8443/a"),
            (over_tls("h.com:8443", "/a"), "a:80"),
            (over_tls("h.com", "/a"), "302 https://h.com:8443/a"),
        ],
    );
    check(
        &["redirectScheme: {scheme: https, port: 443}"],
        &[
            (get("h.com", "/a"), "302 https://h.com/a"),
            (over_tls("h.com:444", "/a"), "302 https://h.com/a"),
        ],
    );
}

#[test]
fn a_redirect_by_pattern_takes_whole_urls_and_lets_others_pass() {
    check(
        &[
            "redirectRegex: {regex: '^https?://www\\.(.+)', replacement: 'https://${1}', permanent: true}",
        ],
        &[
            (get("www.h.com", "/a?b=1"), "301 https://h.com/a?b=1"),
            (over_tls("www.h.com", "/"), "301 https://h.com/"),
            (get("h.com", "/www."), "a:80"),
        ],
    );
    check(
        &["redirectRegex: {regex: '^http://', replacement: 'https://'}"],
        &[
            (get("h", "/"), "302 https://h/"),
            (over_tls("h", "/"), "a:80"),
        ],
    );
}

/// Traefik compares the URL before and after.
#[test]
fn a_redirect_by_pattern_lets_pass_what_it_would_send_to_itself() {
    check(
        &["redirectRegex: {regex: '^https?://(?:www\\.)?(.+)', replacement: 'https://www.${1}'}"],
        &[
            (get("h.com", "/a"), "302 https://www.h.com/a"),
            (get("www.h.com", "/a"), "302 https://www.h.com/a"),
            (over_tls("h.com", "/a"), "302 https://www.h.com/a"),
            (over_tls("www.h.com", "/a?b=1"), "a:80"),
        ],
    );
    check(
        &["redirectRegex: {regex: '^(.*)$', replacement: '$1'}"],
        &[(get("h", "/"), "a:80")],
    );
    // nobody has arrived where one goes on for ever
    check(
        &["redirectRegex: {regex: '^http://(.+)', replacement: 'http://www.$1'}"],
        &[(get("www.h", "/"), "302 http://www.www.h/")],
    );
}

#[test]
fn headers_are_set_and_taken_away_and_the_first_middleware_has_the_last_word_on_answers() {
    let headers = "headers: {customRequestHeaders: {X-New: a, X-Old: '', Host: internal}, customResponseHeaders: {X-Powered-By: '', X-From: outer}}";
    let inner = "headers: {customResponseHeaders: {X-From: inner, X-Inner: '1'}}";
    let built = through(&[headers, inner]);
    let ask = Ask {
        headers: &[("x-old", "1")],
        ..get("h", "/")
    };
    assert_eq!(built.ask(&ask), "a:80 as internal/ +x-new=a -x-old");
    let answer = built.answered(&ask, &[("x-powered-by", "php"), ("x-from", "server")]);
    let mut lines: Vec<String> = answer
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.sort();
    assert_eq!(lines, ["x-from: outer", "x-inner: 1"]);
}

#[test]
fn browsers_are_told_what_the_middleware_says_and_of_strict_transport_over_tls_alone() {
    let built = through(&[
        "headers: {stsSeconds: 31536000, stsIncludeSubdomains: true, stsPreload: true, frameDeny: true, contentTypeNosniff: true, browserXssFilter: true, referrerPolicy: no-referrer, contentSecurityPolicy: \"default-src 'self'\"}",
    ]);
    let lines = |ask: &Ask<'_>| -> Vec<String> {
        let answer = built.answered(ask, &[]);
        let mut lines: Vec<String> = answer
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        lines.sort();
        lines
    };
    let plain = lines(&get("h", "/"));
    assert_eq!(
        plain,
        [
            "content-security-policy: default-src 'self'",
            "referrer-policy: no-referrer",
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
            "x-xss-protection: 1; mode=block",
        ]
    );
    let tls = lines(&over_tls("h", "/"));
    assert!(
        tls.contains(
            &"strict-transport-security: max-age=31536000; includeSubDomains; preload".to_owned()
        ),
        "{tls:?}"
    );
}

#[test]
fn hosts_that_are_not_allowed_are_500() {
    check(
        &["headers: {allowedHosts: [shop.com]}"],
        &[
            (get("shop.com", "/"), "a:80"),
            (get("Shop.com", "/"), "a:80"),
            (get("evil.com", "/"), "500"),
        ],
    );
}

#[test]
fn cross_origin_requests_are_answered_as_the_middleware_says() {
    let built = through(&[
        "headers: {accessControlAllowOriginList: ['https://a.com', '*'], accessControlAllowMethods: [GET, PUT], accessControlAllowHeaders: ['*'], accessControlMaxAge: 100, accessControlExposeHeaders: [X-A, X-B], accessControlAllowCredentials: true}",
    ]);
    let route = built.route(&get("h", "/")).expect("a route");
    let cors = route.cors.expect("cross-origin rules");
    assert!(cors.allows("https://a.com") && cors.allows("https://z.com"));
    assert_eq!(cors.methods, Some(CorsList::Text("GET,PUT".into())));
    assert_eq!(
        cors.headers,
        Some(CorsList::Asked),
        "a star with credentials"
    );
    assert_eq!(cors.expose.as_deref(), Some("X-A,X-B"));
    assert_eq!(cors.max_age.as_deref(), Some("100"));
    assert!(cors.credentials);
    let regex = through(&[
        "headers: {accessControlAllowOriginListRegex: ['^https://.+\\.a\\.com$'], accessControlAllowMethods: ['*']}",
    ]);
    let cors = regex
        .route(&get("h", "/"))
        .and_then(|route| route.cors)
        .expect("rules");
    assert!(cors.allows("https://x.a.com") && !cors.allows("https://a.com"));
}

#[test]
fn clients_outside_of_an_allow_list_are_refused() {
    let from = |client| Ask {
        client,
        ..get("h", "/")
    };
    check(
        &["ipAllowList: {sourceRange: [10.0.0.0/8, 192.168.1.7]}"],
        &[
            (from("10.1.1.1"), "a:80"),
            (from("192.168.1.7"), "a:80"),
            (from("192.168.1.8"), "403"),
        ],
    );
    check(
        &["ipAllowList: {sourceRange: [10.0.0.0/8], rejectStatusCode: 404}"],
        &[(from("11.1.1.1"), "404")],
    );
}

#[test]
fn what_comes_before_a_redirect_is_done_and_what_comes_after_is_not() {
    let built = through(&[
        "rateLimit: {average: 10}",
        "redirectScheme: {scheme: https}",
        "inFlightReq: {amount: 5}",
    ]);
    let redirected = built.route(&get("h", "/")).expect("a route");
    assert_eq!(redirected.gates.len(), 1);
    let passed = built.route(&over_tls("h", "/")).expect("a route");
    assert_eq!(passed.gates.len(), 2);
}

#[test]
fn who_cannot_be_asked_is_told_loudly_and_lets_everybody_pass() {
    for spec in [
        "basicAuth: {secret: users}",
        "digestAuth: {secret: users}",
        "forwardAuth: {address: 'http://auth/verify'}",
    ] {
        let built = through(&[spec]);
        assert_eq!(built.ask(&get("h", "/")), "a:80", "{spec}");
        let lines = built.lines();
        assert!(lines.contains("EVERY REQUEST PASSES"), "{lines}");
    }
}

#[test]
fn a_middleware_that_cannot_be_made_unmakes_its_router() {
    for spec in [
        "addPrefix: {}",
        "redirectScheme: {port: '1'}",
        "retry: {}",
        "retry: {attempts: 0}",
        "retry: {attempts: 2, disableRetryOnNetworkError: true}",
        "retry: {attempts: 2, status: [5xx]}",
        "circuitBreaker: {}",
        "circuitBreaker: {expression: 'NetworkErrors() > 1'}",
        "ipAllowList: {}",
        "ipAllowList: {sourceRange: [10.0.0.0/99]}",
        "rateLimit: {average: 1, sourceCriterion: {requestHost: true, requestHeaderName: X}}",
        "basicAuth: {}",
        "forwardAuth: {}",
        "headers: {}",
        "stripPrefixRegex: {regex: ['(']}",
        "errors: {status: ['x']}",
        "addPrefix: {prefix: /a}\nretry: {attempts: 2}",
        "chain: {middlewares: [{name: gone}]}",
        "chain: {middlewares: [{name: m0}]}",
        "{}",
    ] {
        let built = through(&[spec]);
        assert_eq!(
            built.ask(&get("h", "/")),
            "404",
            "{spec}\n{}",
            built.lines()
        );
        assert!(built.problems.has_errors(), "{spec}");
    }
}
