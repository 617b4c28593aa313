//! Which router takes a request.

use super::rig::*;

fn check(built: &Built, rows: &[(Ask<'_>, &str)]) {
    for (ask, want) in rows {
        let found = built.ask(ask);
        assert_eq!(
            found,
            *want,
            "{} {}{}\n{}",
            ask.method,
            ask.host,
            ask.path,
            built.lines()
        );
    }
}

#[test]
fn a_route_is_served_in_plaintext_and_in_tls_where_its_entry_points_are() {
    let built = build(&[routes(&[&to_a("Host(`shop.com`)")])]);
    check(
        &built,
        &[
            (get("shop.com", "/"), "a:80"),
            (get("shop.com:8000", "/"), "a:80"),
            (get("SHOP.com", "/"), "a:80"),
            (get("shop.com.", "/"), "a:80"),
            (over_tls("shop.com", "/"), "a:80"),
            (get("else.com", "/"), "404"),
        ],
    );
}

/// Quirk: `PathPrefix` compares bytes.
#[test]
fn a_prefix_takes_longer_words_too() {
    let built = build(&[routes(&[&to_a("PathPrefix(`/products`)")])]);
    check(
        &built,
        &[
            (get("a", "/products"), "a:80"),
            (get("a", "/products/1"), "a:80"),
            (get("a", "/products-for-sale"), "a:80"),
            (get("a", "/product"), "404"),
        ],
    );
}

/// Quirk: the priority of a router is the length of its rule's text.
#[test]
fn the_longer_rule_is_asked_first_whatever_it_says() {
    let exact = "Path(`/about`)";
    let wider = "Host(`shop.com`) && PathPrefix(`/`)";
    assert!(wider.len() > exact.len());
    let built = build(&[routes(&[&to_a(exact), &to_b(wider)])]);
    check(
        &built,
        &[
            (get("shop.com", "/about"), "b:80"),
            (get("else.com", "/about"), "a:80"),
        ],
    );
    let long = format!(
        "HostRegexp(`{}`)",
        "^[a-z]+\\.(com|net|org|dev|info)$".replace('\\', "\\\\")
    );
    let built = build(&[routes(&[
        &to_a("Host(`shop.com`)"),
        &to_b(&long.replace("\\\\", "\\")),
    ])]);
    check(&built, &[(get("shop.com", "/"), "b:80")]);
}

#[test]
fn a_priority_that_is_set_goes_before_lengths() {
    let low = "{match: 'Host(`shop.com`) && PathPrefix(`/`)', priority: 1, services: [{name: b, port: 80}]}";
    let zero = low.replace("priority: 1", "priority: 0");
    for (route, want) in [(low, "a:80"), (&*zero, "b:80")] {
        let built = build(&[routes(&[&to_a("Path(`/about`)"), route])]);
        check(&built, &[(get("shop.com", "/about"), want)]);
    }
}

#[test]
fn each_matcher_takes_what_it_asks_for() {
    type Headers = &'static [(&'static str, &'static str)];
    let with = |headers: Headers| Ask {
        headers,
        ..get("a.b.com", "/x/y?k=v&flag")
    };
    let method = |method| Ask {
        method,
        ..get("a.b.com", "/x/y")
    };
    let from = |client| Ask {
        client,
        ..get("a.b.com", "/x/y")
    };
    let rows: Vec<(&str, Ask<'_>, bool)> = vec![
        ("Host(`a.b.com`)", with(&[]), true),
        ("Host(`*.b.com`)", with(&[]), true),
        ("Host(`*.com`)", with(&[]), false),
        ("Host(`*`)", with(&[]), true),
        ("HostRegexp(`^[a-z]\\.b`)", with(&[]), true),
        ("HostRegexp(`com$`)", get("a.b.com:8000", "/"), true),
        ("HostRegexp(`^b`)", with(&[]), false),
        ("Path(`/x/y`)", with(&[]), true),
        ("Path(`/x`)", with(&[]), false),
        ("PathRegexp(`y`)", with(&[]), true),
        ("PathRegexp(`^/x/[yz]$`)", with(&[]), true),
        ("PathRegexp(`k=v`)", with(&[]), false),
        ("Method(`post`)", method("POST"), true),
        ("Method(`POST`)", method("GET"), false),
        (
            "Header(`X-Tier`, `gold`)",
            with(&[("x-tier", "gold")]),
            true,
        ),
        (
            "Header(`X-Tier`, `gold`)",
            with(&[("x-tier", "golden")]),
            false,
        ),
        ("Header(`X-Tier`, `gold`)", with(&[]), false),
        (
            "HeaderRegexp(`X-Tier`, `old`)",
            with(&[("x-tier", "golden")]),
            true,
        ),
        ("Query(`k`, `v`)", with(&[]), true),
        ("Query(`k`)", with(&[]), false),
        ("Query(`flag`)", with(&[]), true),
        ("QueryRegexp(`k`, `^[uv]$`)", with(&[]), true),
        ("ClientIP(`10.1.0.0/16`)", from("10.1.2.3"), true),
        ("ClientIP(`10.1.0.0/16`)", from("10.2.2.3"), false),
        ("ClientIP(`::1`)", from("::1"), true),
    ];
    for (rule, ask, taken) in rows {
        for (rule, taken) in [(rule.to_owned(), taken), (format!("!{rule}"), !taken)] {
            let built = build(&[routes(&[&to_a(&rule)])]);
            let want = if taken { "a:80" } else { "404" };
            assert_eq!(
                built.ask(&ask),
                want,
                "{rule} {}\n{}",
                ask.path,
                built.lines()
            );
        }
    }
}

#[test]
fn rules_join_conditions_as_gos_expressions_do() {
    let rule =
        "Host(`a.com`) && (PathPrefix(`/api`) || Method(`POST`)) && !PathPrefix(`/api/internal`)";
    let built = build(&[routes(&[&to_a(rule)])]);
    let post = |path| Ask {
        method: "POST",
        ..get("a.com", path)
    };
    check(
        &built,
        &[
            (get("a.com", "/api/x"), "a:80"),
            (get("a.com", "/other"), "404"),
            (post("/other"), "a:80"),
            (post("/api/internal/x"), "404"),
            (get("a.com", "/api/internal"), "404"),
            (get("b.com", "/api/x"), "404"),
        ],
    );
    let either = build(&[routes(&[&to_a(
        "Host(`a.com`) || Host(`b.com`) && Path(`/b`)",
    )])]);
    check(
        &either,
        &[
            (get("a.com", "/"), "a:80"),
            (get("b.com", "/b"), "a:80"),
            (get("b.com", "/"), "404"),
        ],
    );
}

#[test]
fn a_host_that_one_rule_names_is_still_for_rules_of_others() {
    let built = build(&[routes(&[
        &to_a("Host(`a.com`) && Path(`/only`)"),
        &to_b("HostRegexp(`.+`) && PathPrefix(`/api`)"),
        &to_b("!Host(`a.com`)"),
    ])]);
    check(
        &built,
        &[
            (get("a.com", "/only"), "a:80"),
            (get("a.com", "/api"), "b:80"),
            (get("a.com", "/else"), "404"),
            (get("z.com", "/else"), "b:80"),
        ],
    );
}

#[test]
fn rules_of_version_2_are_read_where_a_router_asks_for_them() {
    let v2 =
        |rule: &str| format!("{{match: '{rule}', syntax: v2, services: [{{name: a, port: 80}}]}}");
    let built = build(&[routes(&[
        &v2("Host(`a.com`, `b.com`) && PathPrefix(`/users/{id:[0-9]+}`)"),
        &v2("HostRegexp(`{sub:[a-z]+}.c.com`) && Headers(`X-A`, `1`)"),
    ])]);
    let with = Ask {
        headers: &[("x-a", "1")],
        ..get("shop.c.com", "/")
    };
    check(
        &built,
        &[
            (get("b.com", "/users/42/x"), "a:80"),
            (get("b.com", "/users/me"), "404"),
            (with, "a:80"),
            (get("shop.c.com", "/"), "404"),
        ],
    );
    assert!(built.lines().contains("traefik::deprecated"));
}

#[test]
fn two_routes_with_one_rule_are_one_router_and_the_last_is_it() {
    let built = build(&[routes(&[&to_a("Path(`/a`)"), &to_b("Path(`/a`)")])]);
    check(&built, &[(get("x", "/a"), "b:80")]);
    assert!(built.lines().contains("traefik::same-rule"));
}

/// Quirk: what a router refers to and is not there unmakes the router, whose requests are then 404 or go to others.
#[test]
fn a_missing_middleware_unmakes_its_router() {
    let broken = "{match: 'PathPrefix(`/api`)', middlewares: [{name: gone}], services: [{name: a, port: 80}]}";
    let built = build(&[routes(&[broken])]);
    check(&built, &[(get("x", "/api"), "404")]);
    let line = built.lines();
    assert!(
        line.contains("error[traefik::unknown-middleware]"),
        "{line}"
    );
    let built = build(&[routes(&[broken, &to_b("PathPrefix(`/`)")])]);
    check(&built, &[(get("x", "/api"), "b:80")]);
}

#[test]
fn other_namespaces_are_out_of_reach_unless_traefik_is_started_for_them() {
    let route = "{match: 'Path(`/c`)', services: [{name: c, namespace: other, port: 80}]}";
    let closed = build(&[routes(&[route])]);
    check(&closed, &[(get("x", "/c"), "404")]);
    assert!(closed.lines().contains("error[traefik::cross-namespace]"));
    let args = [
        "--entryPoints.web.address=:8000",
        "--providers.kubernetescrd.allowCrossNamespace=true",
    ];
    let open = build(&[routes(&[route]), started(&args)]);
    check(&open, &[(get("x", "/c"), "other/c:80")]);
}

#[test]
fn an_ingress_route_of_another_class_is_not_served() {
    let of = |class: &str| {
        routes(&[&to_a("Path(`/a`)")]).replacen(
            "spec:",
            &format!("spec:\n  ingressClassName: {class}"),
            1,
        )
    };
    for (class, want) in [("traefik", "a:80"), ("traefik-internal", "404")] {
        let built = build(&[
            of(class),
            object(
                "IngressRoute",
                "other",
                "routes: [{match: 'Path(`/b`)', services: [{name: b, port: 80}]}]",
            ),
        ]);
        assert_eq!(
            built.ask(&get("x", "/a")),
            want,
            "{class}\n{}",
            built.lines()
        );
    }
}

#[test]
fn routers_lead_to_others_and_what_none_of_those_takes_is_404() {
    let parent = routes(&["{match: 'PathPrefix(`/api`)', middlewares: [{name: tag}]}"]);
    let child = object(
        "IngressRoute",
        "users",
        "parentRefs: [{name: web}]\nroutes:\n- {match: 'PathPrefix(`/api/users`)', services: [{name: a, port: 80}]}\n- {match: 'Header(`X-B`, `1`)', services: [{name: b, port: 80}]}",
    );
    let tag = object(
        "Middleware",
        "tag",
        "headers: {customRequestHeaders: {X-Tag: '1'}}",
    );
    let fallback = object(
        "IngressRoute",
        "rest",
        "routes: [{match: 'PathPrefix(`/`)', services: [{name: b, port: 80}]}]",
    );
    let built = build(&[parent, child, tag, fallback]);
    let with = Ask {
        headers: &[("x-b", "1")],
        ..get("x", "/api/z")
    };
    check(
        &built,
        &[
            (get("x", "/api/users/1"), "a:80 +x-tag=1"),
            (with, "b:80 +x-tag=1"),
            (get("x", "/api/z"), "404"),
            (get("x", "/z"), "b:80"),
        ],
    );
}

#[test]
fn a_rule_with_too_many_alternatives_is_told_and_left_out() {
    let rule = ["(Path(`/a`) || Path(`/b`))"; 12].join(" && ");
    let built = build(&[routes(&[&to_a(&rule), &to_b("PathPrefix(`/`)")])]);
    assert_eq!(built.ask(&get("x", "/a")), "b:80");
    assert!(
        built.lines().contains("more than 256 alternatives"),
        "{}",
        built.lines()
    );
}
