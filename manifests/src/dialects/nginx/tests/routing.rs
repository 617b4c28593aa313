//! Which Ingress, which location, and what NGINX answers by itself.
//!
//! Source: ingress-nginx `docs/user-guide/ingress-path-matching.md`; NGINX `location`.

use super::harness::*;

const HOST: &str = "a.example.com";

type Notes = &'static [(&'static str, &'static str)];

fn rows(built: &Built, rows: &[(&str, &str)]) {
    for (path, expected) in rows {
        assert_eq!(built.ask(&get(HOST, path)), *expected, "{path}");
    }
}

#[test]
fn a_whole_path_comes_before_the_longest_start() {
    let built = build(&[ingress(
        "web",
        &[],
        &[
            "a.example.com / prefix a",
            "a.example.com /foo prefix b",
            "a.example.com /foo exact c",
            "a.example.com /foo/bar prefix a",
        ],
    )]);
    rows(
        &built,
        &[
            ("/", "shop-a-80"),
            ("/foo", "shop-c-80"),
            ("/foo/", "shop-b-80"),
            ("/foo/bar", "shop-a-80"),
            ("/foo/bar/baz", "shop-a-80"),
            ("/foo/barn", "shop-b-80"),
            ("/foobar", "shop-a-80"),
            ("/FOO", "shop-a-80"),
        ],
    );
    assert_eq!(built.codes(), Vec::<&str>::new(), "{}", built.lines());
}

#[test]
fn a_start_is_one_of_segments() {
    let built = build(&[ingress("web", &[], &["a.example.com /foo prefix a"])]);
    rows(
        &built,
        &[
            ("/foo", "shop-a-80"),
            ("/foo/", "shop-a-80"),
            ("/foo/x?y=1", "shop-a-80"),
            ("/foobar", "404"),
            ("/", "404"),
        ],
    );
}

/// NGINX: `auto_redirect`. Kubernetes would have the path without the slash served.
#[test]
fn a_path_with_a_slash_at_its_end_is_redirected_to_from_the_one_without() {
    let built = build(&[ingress("web", &[], &["a.example.com /foo/ prefix a"])]);
    rows(
        &built,
        &[
            ("/foo", "301 http://a.example.com/foo/"),
            ("/foo?x=1", "301 http://a.example.com/foo/?x=1"),
            ("/foo/", "shop-a-80"),
            ("/foo/x", "shop-a-80"),
        ],
    );
    let both = build(&[ingress(
        "web",
        &[],
        &["a.example.com /foo/ prefix a", "a.example.com /foo exact b"],
    )]);
    assert_eq!(both.ask(&get(HOST, "/foo")), "shop-b-80");
}

#[test]
fn an_implementations_own_path_is_a_start() {
    let built = build(&[ingress("web", &[], &["a.example.com /foo any a"])]);
    rows(&built, &[("/foo/x", "shop-a-80"), ("/foobar", "404")]);
}

#[test]
fn one_regular_expression_makes_all_paths_of_a_host_so() {
    let built = build(&[
        ingress(
            "old",
            &[],
            &["a.example.com /foo exact a", "b.example.com /foo exact a"],
        ),
        ingress(
            "new",
            &[("use-regex", "true")],
            &["a.example.com /foo/.+bar any b"],
        ),
    ]);
    rows(
        &built,
        &[
            ("/foo", "shop-a-80"),
            // whatever the type of the path, it is no more than a start, in any case
            ("/foobar", "shop-a-80"),
            ("/FOO/x", "shop-a-80"),
            ("/foo/xbar", "shop-b-80"),
            ("/foo/xbar/y", "shop-b-80"),
            ("/x/foo", "404"),
        ],
    );
    assert_eq!(built.ask(&get("b.example.com", "/foobar")), "404");
}

#[test]
fn the_longest_regular_expression_is_tried_first() {
    let built = build(&[ingress(
        "web",
        &[("use-regex", "true")],
        &[
            "a.example.com /foo/bar/[a-z]{3} any b",
            "a.example.com /foo/bar/.+ any a",
            "a.example.com /foo/bar/[A-Z0-9]{3} any c",
        ],
    )]);
    // Source: docs/user-guide/ingress-path-matching.md, "Warning"
    rows(
        &built,
        &[("/foo/bar/bar", "shop-c-80"), ("/foo/bar/x", "shop-a-80")],
    );
}

#[test]
fn a_rewrite_replaces_the_whole_path_and_brings_groups_along() {
    let built = build(&[ingress(
        "web",
        &[("rewrite-target", "/$2"), ("use-regex", "true")],
        &["a.example.com /something(/|$)(.*) any a"],
    )]);
    rows(
        &built,
        &[
            ("/something", "shop-a-80 as a.example.com/"),
            ("/something/", "shop-a-80 as a.example.com/"),
            ("/something/new?q=1", "shop-a-80 as a.example.com/new?q=1"),
            ("/SOMETHING/New", "shop-a-80 as a.example.com/New"),
            ("/somethingelse", "404"),
        ],
    );
    let plain = build(&[ingress(
        "web",
        &[("rewrite-target", "/")],
        &["a.example.com /app prefix a"],
    )]);
    rows(
        &plain,
        &[
            ("/app/deep/path", "shop-a-80 as a.example.com/"),
            ("/application", "shop-a-80 as a.example.com/"),
        ],
    );
}

#[test]
fn of_two_ingresses_with_one_path_the_older_has_it() {
    let first = ingress("first", &[], &["a.example.com / prefix a"]);
    let second = ingress("second", &[], &["a.example.com / prefix b"]);
    let born = |text: &str, at: &str| {
        text.replacen(
            "  namespace: shop\n",
            &format!("  namespace: shop\n  creationTimestamp: \"{at}\"\n"),
            1,
        )
    };
    let (early, late) = ("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
    let rows = [
        (
            "as they are written",
            [first.clone(), second.clone()],
            "shop-a-80",
        ),
        (
            "by time",
            [born(&first, late), born(&second, early)],
            "shop-b-80",
        ),
        (
            "of one time, the later name",
            [born(&first, early), born(&second, early)],
            "shop-b-80",
        ),
        (
            "one that is there before one that is not",
            [first.clone(), born(&second, late)],
            "shop-b-80",
        ),
    ];
    for (name, parts, expected) in rows {
        let built = build(&parts);
        assert_eq!(built.ask(&get(HOST, "/")), expected, "{name}");
        assert!(built.has("nginx::same-path"), "{name}: {}", built.lines());
    }
}

#[test]
fn hosts_are_exact_then_a_wildcard_of_one_label_then_any() {
    let built = build(&[ingress(
        "web",
        &[],
        &[
            "a.example.com / prefix a",
            "*.example.com / prefix b",
            "* /any prefix c",
        ],
    )]);
    let rows = [
        ("a.example.com", "/", "shop-a-80"),
        ("A.example.com:8080", "/", "shop-a-80"),
        ("x.example.com", "/", "shop-b-80"),
        ("x.example.com", "/any", "shop-b-80"),
        ("x.y.example.com", "/", "404"),
        ("x.y.example.com", "/any", "shop-c-80"),
        ("example.com", "/any", "shop-c-80"),
        ("other.org", "/", "404"),
        ("other.org", "/healthz", "200"),
        ("a.example.com", "/healthz", "shop-a-80"),
    ];
    for (host, path, expected) in rows {
        assert_eq!(built.ask(&get(host, path)), expected, "{host}{path}");
    }
}

#[test]
fn a_default_backend_has_what_no_path_takes() {
    let backend = "  defaultBackend: {service: {name: b, port: {number: 80}}}\n";
    let alone = build(&[ingress_with("all", &[], &[], backend)]);
    assert_eq!(alone.ask(&get("any.org", "/x")), "shop-b-80");
    let beside = build(&[ingress_with(
        "web",
        &[],
        &["a.example.com /a prefix a"],
        backend,
    )]);
    let rows = [
        (HOST, "/a", "shop-a-80"),
        (HOST, "/b", "shop-b-80"),
        ("any.org", "/", "404"),
    ];
    for (host, path, expected) in rows {
        assert_eq!(beside.ask(&get(host, path)), expected, "{host}{path}");
    }
}

#[test]
fn the_controllers_default_backend_has_what_no_ingress_takes() {
    let built = build(&[
        controller("--default-backend-service=shop/b"),
        ingress("web", &[], &["a.example.com /a prefix a"]),
    ]);
    let rows = [
        (HOST, "/a", "shop-a-80"),
        (HOST, "/b", "upstream-default-backend"),
        ("any.org", "/", "upstream-default-backend"),
    ];
    for (host, path, expected) in rows {
        assert_eq!(built.ask(&get(host, path)), expected, "{host}{path}");
    }
}

const TLS: &str = "  tls: [{hosts: [a.example.com], secretName: a-tls}]\n";

#[test]
fn plaintext_is_redirected_where_tls_is_set_up() {
    let rules = &["a.example.com / prefix a", "b.example.com / prefix b"];
    let to_tls = "308 https://a.example.com/x?y=1";
    type Row = (&'static str, Notes, &'static str, &'static str);
    let rows: &[Row] = &[
        ("with TLS", &[], TLS, to_tls),
        ("without TLS", &[], "", "shop-a-80"),
        (
            "switched off",
            &[("ssl-redirect", "false")],
            TLS,
            "shop-a-80",
        ),
        ("forced", &[("force-ssl-redirect", "true")], "", to_tls),
        (
            "forced though switched off",
            &[("ssl-redirect", "false"), ("force-ssl-redirect", "true")],
            "",
            to_tls,
        ),
        // any entry sets TLS up for all hosts of the Ingress, with the controller's own certificate
        (
            "TLS of another host",
            &[],
            "  tls: [{hosts: [other.example.com], secretName: x}]\n",
            to_tls,
        ),
    ];
    for (name, annotations, tls, expected) in rows {
        let built = build(&[ingress_with("web", annotations, rules, tls)]);
        let ask = get(HOST, "/x?y=1");
        assert_eq!(built.ask(&ask), *expected, "{name}");
        let over_tls = Ask { tls: true, ..ask };
        assert_eq!(built.ask(&over_tls), "shop-a-80", "{name}");
    }
}

#[test]
fn a_redirect_to_tls_drops_the_port_and_the_last_slash() {
    let built = build(&[ingress_with("web", &[], &["a.example.com / prefix a"], TLS)]);
    let rows = [
        (
            "a.example.com:8080",
            "/foo/",
            "308 https://a.example.com/foo",
        ),
        ("a.example.com", "/", "308 https://a.example.com"),
    ];
    for (host, path, expected) in rows {
        assert_eq!(built.ask(&get(host, path)), expected, "{host}{path}");
    }
    let kept = build(&[
        settings(&[
            ("preserve-trailing-slash", "true"),
            ("http-redirect-code", "301"),
        ]),
        ingress_with("web", &[], &["a.example.com / prefix a"], TLS),
    ]);
    assert_eq!(
        kept.ask(&get(HOST, "/foo/")),
        "301 https://a.example.com/foo/"
    );
}

#[test]
fn challenges_of_certificates_are_not_redirected() {
    let rules = &[
        "a.example.com / prefix a",
        "a.example.com /.well-known/acme-challenge/token prefix b",
    ];
    let built = build(&[ingress_with("web", &[], rules, TLS)]);
    let path = "/.well-known/acme-challenge/token";
    assert_eq!(built.ask(&get(HOST, path)), "shop-b-80");
    assert_eq!(built.ask(&get(HOST, "/x")), "308 https://a.example.com/x");
}

#[test]
fn a_certificate_of_the_wildcard_counts_for_its_hosts() {
    let built = build(&[
        ingress("web", &[], &["a.example.com / prefix a"]),
        ingress_with(
            "wild",
            &[],
            &["*.example.com / prefix b"],
            "  tls: [{hosts: [\"*.example.com\"], secretName: wild}]\n",
        ),
    ]);
    for host in ["a.example.com", "x.example.com"] {
        let expected = format!("308 https://{host}/y");
        assert_eq!(built.ask(&get(host, "/y")), expected, "{host}");
    }
}

#[test]
fn each_host_shows_its_own_certificate() {
    let built = build(&[
        controller("--default-ssl-certificate=shop/own"),
        ingress_with(
            "web",
            &[],
            &[
                "a.example.com / prefix a",
                "*.b.org / prefix b",
                "c.org / prefix c",
            ],
            "  tls: [{hosts: [a.example.com], secretName: a-tls}, {hosts: [\"*.b.org\"], secretName: b-tls}]\n",
        ),
    ]);
    let rows = [
        ("a.example.com", "shop/a-tls"),
        ("x.b.org", "shop/b-tls"),
        ("c.org", "shop/own"),
        ("", "shop/own"),
    ];
    for (name, expected) in rows {
        let chain = built.chain(443, name);
        let proxy_core::config::DownstreamTransport::Tls { certificate, .. } = &chain.transport
        else {
            panic!("{name}: no TLS");
        };
        assert_eq!(&**certificate, expected, "{name}");
    }
}

#[test]
fn pages_that_have_moved_are_redirected_to() {
    let rows: &[(&str, Notes, &str)] = &[
        (
            "for good",
            &[("permanent-redirect", "https://www.example.com")],
            "301 https://www.example.com",
        ),
        (
            "with a status",
            &[
                ("permanent-redirect", "https://b.org/x?y=1"),
                ("permanent-redirect-code", "308"),
            ],
            "308 https://b.org/x?y=1",
        ),
        (
            "for a while",
            &[("temporal-redirect", "http://b.org/x")],
            "302 http://b.org/x",
        ),
        (
            "for a while before for good",
            &[
                ("temporal-redirect", "http://b.org/x"),
                ("temporal-redirect-code", "307"),
                ("permanent-redirect", "https://www.example.com"),
            ],
            "307 http://b.org/x",
        ),
        (
            "a status of none",
            &[
                ("permanent-redirect", "https://b.org"),
                ("permanent-redirect-code", "200"),
            ],
            "301 https://b.org",
        ),
    ];
    for (name, annotations, expected) in rows {
        let built = annotated(annotations);
        assert_eq!(built.ask(&get(HOST, "/a?b=c")), *expected, "{name}");
    }
}

#[test]
fn the_root_of_an_application_may_be_elsewhere() {
    let built = annotated(&[("app-root", "/console")]);
    rows(
        &built,
        &[
            ("/", "302 http://a.example.com/console"),
            ("/?x=1", "302 http://a.example.com/console"),
            ("/x", "shop-a-80"),
        ],
    );
}

#[test]
fn the_host_with_www_leads_to_the_one_without_and_the_other_way_round() {
    let notes = &[("from-to-www-redirect", "true")];
    let built = build(&[
        ingress("plain", notes, &["b.org / prefix a"]),
        ingress("www", notes, &["www.c.org / prefix a"]),
        ingress("both", notes, &["d.org / prefix a", "www.d.org / prefix b"]),
    ]);
    let rows = [
        ("www.b.org", "308 http://b.org/x"),
        ("c.org", "308 http://www.c.org/x"),
        ("www.d.org", "shop-b-80"),
        ("d.org", "shop-a-80"),
    ];
    for (host, expected) in rows {
        assert_eq!(
            built.ask(&get(host, "/x/")).trim_end_matches('/'),
            expected,
            "{host}"
        );
    }
}

#[test]
fn other_names_of_a_host_are_served_alike() {
    let built = build(&[
        ingress(
            "web",
            &[("server-alias", "b.org, *.c.org, ~^d[0-9]+$, e.org")],
            &["a.example.com / prefix a"],
        ),
        ingress("other", &[], &["e.org / prefix b"]),
    ]);
    let rows = [
        ("b.org", "shop-a-80"),
        ("x.y.c.org", "shop-a-80"),
        ("e.org", "shop-b-80"),
    ];
    for (host, expected) in rows {
        assert_eq!(built.ask(&get(host, "/")), expected, "{host}");
    }
    assert!(built.has("nginx::not-modelled"), "{}", built.lines());
}

#[test]
fn tls_may_pass_the_controller_by() {
    let notes = &[("ssl-passthrough", "true")];
    let rules = &["a.example.com / prefix a"];
    let carries = |built: &Built| {
        matches!(
            built.chain(443, HOST).action,
            proxy_core::config::ChainAction::Tcp(_)
        )
    };
    let told = build(&[
        controller("--enable-ssl-passthrough"),
        ingress("web", notes, rules),
    ]);
    assert!(carries(&told));
    let not_told = build(&[controller("--v=2"), ingress("web", notes, rules)]);
    assert!(!carries(&not_told));
    assert!(not_told.has("nginx::passthrough"), "{}", not_told.lines());
    let unknown = build(&[ingress("web", notes, rules)]);
    assert!(carries(&unknown));
    assert!(unknown.has("nginx::passthrough"), "{}", unknown.lines());
}

#[test]
fn a_controller_serves_its_classes() {
    let other = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: edge}\nspec: {controller: k8s.io/ingress-nginx}\n";
    let foreign = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: edge}\nspec: {controller: example.com/edge}\n";
    let default = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: edge, annotations: \
                   {ingressclass.kubernetes.io/is-default-class: \"true\"}}\nspec: {controller: k8s.io/ingress-nginx}\n";
    let plain = ingress("web", &[], &["a.example.com / prefix a"]);
    let of = |class: &str| {
        plain.replace(
            "ingressClassName: nginx",
            &format!("ingressClassName: {class}"),
        )
    };
    let without = plain.replace("  ingressClassName: nginx\n", "");
    let by_note = ingress(
        "web",
        &[("kubernetes.io/ingress.class", "nginx")],
        &["a.example.com / prefix a"],
    )
    .replace("  ingressClassName: nginx\n", "");
    let inside = by_note.replace("\"nginx\"", "\"inside\"");
    let rows: &[(&str, Vec<String>, bool)] = &[
        ("its own", vec![plain.clone()], true),
        ("another of its", vec![other.into(), of("edge")], true),
        ("another's", vec![foreign.into(), of("edge")], false),
        ("one that is not there", vec![of("edge")], false),
        ("none", vec![without.clone()], false),
        (
            "none, and a default",
            vec![default.into(), without.clone()],
            true,
        ),
        (
            "none, watched",
            vec![controller("--watch-ingress-without-class=true"), without],
            true,
        ),
        ("by annotation", vec![by_note], true),
        ("by another annotation", vec![inside.clone()], false),
        (
            "by the annotation that it is told of",
            vec![controller("--ingress-class=inside"), inside],
            true,
        ),
        (
            "of another namespace",
            vec![controller("--watch-namespace=other"), plain],
            false,
        ),
    ];
    for (name, parts, served) in rows {
        let built = build(parts);
        let gateways = built.model.gateways();
        let is_served = gateways.iter().any(|it| it.dialect == "nginx");
        assert_eq!(is_served, *served, "{name}: {}", built.lines());
    }
}

#[test]
fn the_scenario_may_say_that_an_ingress_nginx_serves_an_ingress() {
    let plain = ingress("web", &[], &["a.example.com / prefix a"]);
    let of = plain.replace("ingressClassName: nginx", "ingressClassName: edge");
    let built = build_over(&[of], &[("shop/web", "nginx")]);
    assert_eq!(built.ask(&get(HOST, "/")), "shop-a-80");
    assert_eq!(&*built.model.gateways()[0].name, "shop/web");
}
