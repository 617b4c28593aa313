//! Which rule takes a request, and what becomes of it.

use proxy_core::config::{ChainAction, RouteAction, SessionCarrier};
use proxy_core::time::Duration;

use super::rig::*;

fn with_rules(rules: &str) -> Built {
    build(&[gateway(HTTP), route("r", &format!("rules:\n{rules}"))])
}

/// Source: `HTTPRouteRule.matches`.
#[test]
fn of_rules_that_take_a_request_the_most_telling_wins() {
    let built = with_rules(
        "- {matches: [{path: {value: /}}], backendRefs: [{name: a, port: 80}]}
- {matches: [{path: {value: /v2}}], backendRefs: [{name: b, port: 80}]}
- {matches: [{path: {type: Exact, value: /v2}}], backendRefs: [{name: a, port: 81}]}
- {matches: [{path: {value: /v2}, method: PUT}], backendRefs: [{name: b, port: 81}]}
- {matches: [{path: {value: /v2}, headers: [{name: X-A, value: '1'}, {name: x-a, value: '2'}]}], filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301, hostname: h}}]}
- {matches: [{path: {value: /v2}, queryParams: [{name: q, value: '1'}]}], filters: [{type: RequestRedirect, requestRedirect: {hostname: q}}]}
- {matches: [{path: {type: RegularExpression, value: '/v[0-9]+/re'}}], filters: [{type: RequestRedirect, requestRedirect: {hostname: re}}]}",
    );
    let ask = |method, path, headers| {
        built.ask(&Ask {
            method,
            host: "any.example",
            path,
            headers,
            seed: 0,
        })
    };
    let rows: &[(&str, &str, &[(&str, &str)], &str)] = &[
        ("GET", "/", &[], "shop/a:80"),
        ("GET", "/v2x", &[], "shop/a:80"),
        ("GET", "/v2", &[], "shop/a:81"),
        ("GET", "/v2/", &[], "shop/b:80"),
        ("GET", "/v2/x?a=b", &[], "shop/b:80"),
        ("PUT", "/v2/x", &[], "shop/b:81"),
        // a method counts more than headers, headers more than a query
        ("PUT", "/v2/x", &[("x-a", "1")], "shop/b:81"),
        ("GET", "/v2/x?q=1", &[("x-a", "1")], "301 http://h/v2/x?q=1"),
        // of a header that is named twice the first condition counts
        ("GET", "/v2/x", &[("x-a", "2")], "shop/b:80"),
        ("GET", "/v2/x?q=1", &[], "302 http://q/v2/x?q=1"),
        // an exact path, then a regular expression, then a prefix
        ("GET", "/v2/re", &[], "302 http://re/v2/re"),
        ("GET", "/v2/re/x", &[], "shop/b:80"),
    ];
    for (method, path, headers, want) in rows {
        assert_eq!(
            ask(method, path, headers),
            *want,
            "{method} {path} {headers:?}"
        );
    }
}

#[test]
fn of_routes_that_are_alike_the_older_wins_then_the_one_whose_name_comes_first() {
    let aged = |name: &str, service: &str, at: &str| {
        let route = route(name, &to(service));
        route.replace("generation: 7", &format!("creationTimestamp: '{at}'"))
    };
    let rows = [
        ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", "shop/b:80"),
        ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "shop/a:80"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "shop/a:80"),
    ];
    for (first, second, want) in rows {
        let built = build(&[gateway(HTTP), aged("m", "a", first), aged("n", "b", second)]);
        assert_eq!(built.ask(&get("x", "/")), want, "{first} {second}");
    }
    // one that no cluster has made is younger than any
    let built = build(&[
        gateway(HTTP),
        route("a", &to("a")),
        aged("z", "b", "2026-01-01T00:00:00Z"),
    ]);
    assert_eq!(built.ask(&get("x", "/")), "shop/b:80");
}

/// Source: `HTTPRoute.spec.hostnames`; "listener isolation" of `Gateway.spec.listeners`.
#[test]
fn a_request_is_for_the_listener_whose_host_says_most_and_then_for_the_route_whose_host_does() {
    let built = build(&[
        gateway(
            "{name: any, port: 80, protocol: HTTP}, {name: wild, port: 80, protocol: HTTP, hostname: '*.example.com'}, \
             {name: one, port: 80, protocol: HTTP, hostname: one.example.com}",
        ),
        route_at("any", "any", &to("a")),
        route_at(
            "wild",
            "wild",
            "hostnames: ['*.example.com', two.example.com]\nrules: [{matches: [{path: {value: /w}}], backendRefs: [{name: b, port: 80}]}]",
        ),
        route_at(
            "wild",
            "two",
            "hostnames: [two.example.com]\nrules: [{matches: [{path: {value: /}}], backendRefs: [{name: b, port: 81}]}]",
        ),
    ]);
    for (host, path, want) in [
        ("example.org", "/w", "shop/a:80"),
        ("example.com", "/", "shop/a:80"),
        ("x.example.com", "/w", "shop/b:80"),
        ("x.y.example.com:8080", "/w", "shop/b:80"),
        // the listener has it, and no route of it takes it
        ("x.example.com", "/", "404"),
        ("one.example.com", "/w", "404"),
        // the route with the host itself, though its path says less
        ("two.example.com", "/", "shop/b:81"),
        ("two.example.com", "/w", "shop/b:80"),
        ("TWO.example.com", "/w", "shop/b:80"),
    ] {
        assert_eq!(built.ask(&get(host, path)), want, "{host}{path}");
    }
}

/// Source: `HTTPRequestRedirectFilter`, `HTTPURLRewriteFilter`, `HTTPPathModifier`.
#[test]
fn redirects_and_rewrites_change_what_they_say() {
    let rows = [
        (
            "RequestRedirect",
            "{hostname: h}",
            "302 http://h:8080/p/x?q",
        ),
        (
            "RequestRedirect",
            "{scheme: https}",
            "302 https://e.com/p/x?q",
        ),
        (
            "RequestRedirect",
            "{scheme: https, port: 8443}",
            "302 https://e.com:8443/p/x?q",
        ),
        (
            "RequestRedirect",
            "{port: 80, statusCode: 308}",
            "308 http://e.com/p/x?q",
        ),
        (
            "RequestRedirect",
            "{path: {type: ReplaceFullPath, replaceFullPath: /f}}",
            "302 http://e.com:8080/f?q",
        ),
        (
            "RequestRedirect",
            "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /n/}}",
            "302 http://e.com:8080/n/x?q",
        ),
        (
            "RequestRedirect",
            "{path: {type: ReplacePrefixMatch, replacePrefixMatch: ''}}",
            "302 http://e.com:8080/x?q",
        ),
        ("URLRewrite", "{hostname: h}", "shop/a:80 as h/p/x?q"),
        (
            "URLRewrite",
            "{path: {type: ReplaceFullPath, replaceFullPath: /f}}",
            "shop/a:80 as e.com/f?q",
        ),
        (
            "URLRewrite",
            "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}",
            "shop/a:80 as e.com/x?q",
        ),
    ];
    for (kind, settings, want) in rows {
        let (key, backends) = match kind {
            "URLRewrite" => ("urlRewrite", "[{name: a, port: 80}]"),
            _ => ("requestRedirect", "[]"),
        };
        let rule = format!(
            "rules:\n- {{matches: [{{path: {{value: /p}}}}], filters: [{{type: {kind}, {key}: {settings}}}], backendRefs: {backends}}}"
        );
        let built = build(&[
            gateway("{name: http, port: 8080, protocol: HTTP}"),
            route("r", &rule),
        ]);
        let said = built.asked(8080, "", &get("e.com", "/p/x?q"));
        assert_eq!(said, want, "{kind} {settings}");
    }
}

/// Source: `HTTPHeaderFilter`; what a backend's filters do stands upon what those of the rule have done.
#[test]
fn headers_are_edited_by_the_rule_and_then_by_the_backend() {
    let built = with_rules(
        "- filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Set, value: rule}], add: [{name: x-add, value: rule}], remove: [x-gone]}}]
  backendRefs: [{name: a, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: backend}], add: [{name: x-add, value: backend}]}}]}]",
    );
    let ask = Ask {
        headers: &[("x-set", "client"), ("x-gone", "client")],
        ..get("x", "/")
    };
    assert_eq!(
        built.ask(&ask),
        "shop/a:80 +x-add=rule +x-set=backend +x-add=backend -x-gone"
    );
}

/// Source: `HTTPRouteRule.backendRefs`.
#[test]
fn what_leads_nowhere_is_answered_with_500_in_its_share() {
    let rows = [
        (
            "[{name: a, port: 80}, {name: b, port: 80, weight: 3}]",
            "shop/a:80*1 shop/b:80*3",
            "",
        ),
        (
            "[{name: a, port: 80}, {name: gone, port: 80}]",
            "shop/a:80*1 500*1",
            "gateway-api::backend",
        ),
        ("[{name: a, port: 82}]", "500", "gateway-api::backend"),
        ("[{name: a}]", "500", "gateway-api::backend"),
        (
            "[{name: c, namespace: other, port: 80}]",
            "500",
            "gateway-api::backend",
        ),
        (
            "[{name: a, kind: Thing, group: example.com, port: 80}]",
            "500",
            "gateway-api::backend",
        ),
        ("[{name: a, port: 80, weight: 0}]", "500", ""),
        ("[]", "500", ""),
    ];
    for (backends, want, code) in rows {
        let built = with_rules(&format!("- {{backendRefs: {backends}}}"));
        assert_eq!(built.ask(&get("x", "/")), want, "{backends}");
        assert_eq!(
            built.has("gateway-api::backend"),
            !code.is_empty(),
            "{backends}"
        );
        assert!(!built.problems.has_errors(), "{}", built.text);
    }
}

/// Source: `ReferenceGrant`.
#[test]
fn a_backend_in_another_namespace_needs_a_grant_there() {
    let grant = |namespace: &str, from: &str, to: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {{name: g, namespace: {namespace}}}\nspec: {{from: [{from}], \
             to: [{to}]}}\n"
        )
    };
    let from = "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}";
    let rows = [
        (
            "whole",
            grant("other", from, "{group: '', kind: Service}"),
            true,
        ),
        (
            "by name",
            grant("other", from, "{group: '', kind: Service, name: c}"),
            true,
        ),
        (
            "another name",
            grant("other", from, "{group: '', kind: Service, name: d}"),
            false,
        ),
        (
            "another kind",
            grant("other", from, "{group: '', kind: Secret}"),
            false,
        ),
        (
            "elsewhere",
            grant("shop", from, "{group: '', kind: Service}"),
            false,
        ),
        (
            "for others",
            grant(
                "other",
                "{group: gateway.networking.k8s.io, kind: GRPCRoute, namespace: shop}",
                "{group: '', kind: Service}",
            ),
            false,
        ),
    ];
    for (name, grant, permitted) in rows {
        let built = build(&[
            gateway(HTTP),
            route(
                "r",
                "rules: [{backendRefs: [{name: c, namespace: other, port: 80}]}]",
            ),
            grant,
        ]);
        let want = if permitted { "other/c:80" } else { "500" };
        assert_eq!(built.ask(&get("x", "/")), want, "{name}");
    }
}

/// Source: `HTTPRouteFilter`: a request to a filter that is not known must not pass.
#[test]
fn a_filter_that_is_not_known_lets_nothing_pass() {
    for filter in [
        "{type: ExtensionRef, extensionRef: {group: example.com, kind: Thing, name: t}}",
        "{type: ExternalAuth, externalAuth: {}}",
    ] {
        let built = with_rules(&format!(
            "- {{filters: [{filter}], backendRefs: [{{name: a, port: 80}}]}}"
        ));
        assert_eq!(built.ask(&get("x", "/")), "500", "{filter}");
        assert!(built.has("gateway-api::filter"), "{filter}");
    }
}

#[test]
fn backends_whose_filters_redirect_or_rewrite_have_their_share_of_draws() {
    let built = with_rules(
        "- backendRefs:
  - {name: a, port: 80, weight: 1, filters: [{type: URLRewrite, urlRewrite: {hostname: h}}]}
  - {name: b, port: 80, weight: 3, filters: [{type: RequestRedirect, requestRedirect: {hostname: r}}]}",
    );
    let mut redirected = 0;
    for seed in 0..2000 {
        let ask = Ask {
            seed,
            ..get("x", "/")
        };
        match built.ask(&ask).as_str() {
            "shop/a:80 as h/" => {}
            "302 http://r/" => redirected += 1,
            other => panic!("{other}"),
        }
    }
    // 1500 with a standard deviation of 19
    assert!((1400..1600).contains(&redirected), "{redirected}");
}

#[test]
fn copies_go_to_their_share_and_not_to_what_is_not_there() {
    let built = with_rules(
        "- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: b, port: 80}, percent: 20}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: b, port: 81}, fraction: {numerator: 1, denominator: 8}}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: gone, port: 80}}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: a, port: 81}}}
  backendRefs: [{name: a, port: 80}]",
    );
    let config = built.gateway();
    let section = &config.sections[0];
    let ChainAction::Http(http) = &section.listeners()[0].chains[0].action else {
        panic!("requests are read");
    };
    let route = taken(section, http.table, &get("x", "/")).expect("a route");
    let RouteAction::Forward(forward) = &route.action else {
        panic!("it is sent on");
    };
    let mirrors: Vec<(String, u32)> = forward
        .mirrors
        .iter()
        .map(|mirror| {
            let name = section.clusters()[mirror.cluster.0 as usize]
                .name
                .to_string();
            (name, mirror.share.value.as_ppm())
        })
        .collect();
    let row = |name: &str, ppm| (name.to_owned(), ppm);
    assert_eq!(
        mirrors,
        [
            row("shop/b:80", 200_000),
            row("shop/b:81", 125_000),
            row("shop/a:81", 1_000_000)
        ]
    );
}

/// Source: `HTTPRouteTimeouts`, GEP-1742; `HTTPRouteRetry`, GEP-1731.
#[test]
fn timeouts_and_retries_are_as_written() {
    type Seen = (Option<u64>, Option<u64>, Option<u32>, Vec<u16>);
    let rows: &[(&str, Seen)] = &[
        ("", (None, None, None, vec![])),
        (
            "timeouts: {request: 500ms}",
            (Some(500), None, None, vec![]),
        ),
        ("timeouts: {request: 0s}", (None, None, None, vec![])),
        (
            "timeouts: {backendRequest: 1s}",
            (Some(1000), None, None, vec![]),
        ),
        (
            "timeouts: {request: 1m, backendRequest: 1s}",
            (Some(60_000), Some(1000), Some(0), vec![]),
        ),
        (
            "timeouts: {backendRequest: 1s}, retry: {attempts: 3, codes: [500, 503]}",
            (None, Some(1000), Some(3), vec![500, 503]),
        ),
        ("retry: {codes: [502]}", (None, None, Some(1), vec![502])),
        ("retry: {attempts: 0}", (None, None, Some(0), vec![])),
    ];
    for (rule, want) in rows {
        let comma = if rule.is_empty() { "" } else { ", " };
        let built = with_rules(&format!(
            "- {{backendRefs: [{{name: a, port: 80}}]{comma}{rule}}}"
        ));
        let config = built.gateway();
        let section = &config.sections[0];
        let ChainAction::Http(http) = &section.listeners()[0].chains[0].action else {
            panic!("requests are read");
        };
        let route = taken(section, http.table, &get("x", "/")).expect("a route");
        let RouteAction::Forward(forward) = &route.action else {
            panic!("it is sent on");
        };
        let millis = |it: Duration| it.as_millis();
        let retry = forward.retry.as_deref();
        let seen: Seen = (
            forward.timeout.value.map(millis),
            retry.and_then(|it| Some(millis(it.per_try_timeout?.value))),
            retry.map(|it| it.retries.value),
            retry.map(|it| it.statuses.clone()).unwrap_or_default(),
        );
        assert_eq!(seen, *want, "{rule}");
    }
}

/// Source: `SessionPersistence`, GEP-1619.
#[test]
fn sessions_are_carried_by_what_is_written() {
    let cookie = |name: &str, ttl: Option<u64>| SessionCarrier::Cookie {
        name: name.into(),
        ttl: ttl.map(Duration::from_secs),
        path: Some("/".into()),
    };
    let rows = [
        ("{}", cookie("gateway-session", None), ""),
        ("{sessionName: s}", cookie("s", None), ""),
        (
            "{absoluteTimeout: 1h, cookieConfig: {lifetimeType: Permanent}}",
            cookie("gateway-session", Some(3600)),
            "",
        ),
        (
            "{absoluteTimeout: 1h}",
            cookie("gateway-session", None),
            "gateway-api::not-modelled",
        ),
        (
            "{sessionName: X-S, type: Header, idleTimeout: 1h}",
            SessionCarrier::Header("x-s".into()),
            "gateway-api::not-modelled",
        ),
    ];
    for (written, want, code) in rows {
        let built = with_rules(&format!(
            "- {{backendRefs: [{{name: a, port: 80}}], sessionPersistence: {written}}}"
        ));
        let config = built.gateway();
        let section = &config.sections[0];
        let ChainAction::Http(http) = &section.listeners()[0].chains[0].action else {
            panic!("requests are read");
        };
        let route = taken(section, http.table, &get("x", "/")).expect("a route");
        let RouteAction::Forward(forward) = &route.action else {
            panic!("it is sent on");
        };
        let carrier = forward
            .session
            .as_ref()
            .map(|session| session.carrier.clone());
        assert_eq!(carrier, Some(want), "{written}");
        let told = built.has("gateway-api::not-modelled");
        assert_eq!(told, !code.is_empty(), "{written}");
    }
}

/// Source: `GRPCRouteMatch`, `GRPCMethodMatch`.
#[test]
fn calls_go_by_service_and_method_over_http2() {
    let built = build(&[
        gateway(HTTP),
        "apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: calls, namespace: shop}
spec:
  parentRefs: [{name: edge}]
  rules:
  - {matches: [{method: {method: List}}], backendRefs: [{name: b, port: 81}]}
  - {matches: [{method: {service: shop.Cart}}], backendRefs: [{name: a, port: 80}]}
  - {matches: [{method: {service: shop.Cart, method: Put}}], backendRefs: [{name: b, port: 80}]}
  - {matches: [{method: {type: RegularExpression, service: 'shop\\.[A-Z].*', method: Get.*}}], backendRefs: [{name: a, port: 81}]}
"
        .to_owned(),
    ]);
    let call = |path| Ask {
        method: "POST",
        headers: &[("content-type", "application/grpc+proto")],
        ..get("x", path)
    };
    for (path, want) in [
        ("/shop.Cart/Put", "shop/b:80/grpc"),
        ("/shop.Cart/Take", "shop/a:80/grpc"),
        ("/shop.Cart/List", "shop/a:80/grpc"),
        ("/shop.Else/List", "shop/b:81/grpc"),
        ("/shop.Else/GetAll", "shop/a:81/grpc"),
        ("/shop.else/GetAll", "404"),
    ] {
        assert_eq!(built.ask(&call(path)), want, "{path}");
    }
    assert_eq!(built.ask(&get("x", "/shop.Cart/Put")), "404", "no call");
    let config = built.gateway();
    let http2 = proxy_core::config::UpstreamProtocol::Http2;
    assert!(
        config.sections[0]
            .clusters()
            .iter()
            .all(|it| it.protocol == http2)
    );
}

#[test]
fn a_port_says_what_it_speaks() {
    let h2c = service("shop", "h2", ", appProtocol: kubernetes.io/h2c");
    let built = build(&[gateway(HTTP), h2c, route("r", &to("h2"))]);
    let config = built.gateway();
    let protocol = config.sections[0].clusters()[0].protocol;
    assert_eq!(protocol, proxy_core::config::UpstreamProtocol::Http2);
}

#[test]
fn connections_go_to_the_oldest_route_of_a_listener() {
    let tcp = |name: &str, backends: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: TCPRoute\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  parentRefs: [{{name: \
             edge}}]\n  rules: [{{backendRefs: {backends}}}]\n"
        )
    };
    let listener = "{name: tcp, port: 9000, protocol: TCP}";
    let built = build(&[
        gateway(listener),
        tcp(
            "m",
            "[{name: a, port: 80, weight: 3}, {name: gone, port: 80}]",
        ),
        tcp("n", "[{name: b, port: 80}]"),
    ]);
    let said = built.asked(9000, "", &get("", ""));
    assert_eq!(said, "shop/a:80/bytes*3 nowhere*1");
    let built = build(&[gateway(listener), tcp("m", "[]")]);
    assert_eq!(built.asked(9000, "", &get("", "")), "closed");
}

#[test]
fn listeners_of_sets_serve_beside_those_of_their_gateway() {
    let set = "apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more, namespace: other}
spec:
  parentRef: {name: edge, namespace: shop}
  listeners: [{name: set, port: 80, protocol: HTTP, hostname: set.example, allowedRoutes: {namespaces: {from: All}}}]
";
    let by_set = |namespace: &str| {
        route("set", "rules: [{backendRefs: [{name: b, port: 80}]}]").replacen(
            "parentRefs: [{name: edge}]",
            &format!("parentRefs: [{{kind: ListenerSet, name: more, namespace: {namespace}}}]"),
            1,
        )
    };
    let rows = [
        ("taken", "All", "shop/b:80"),
        (
            "selected",
            "Selector, selector: {matchLabels: {tier: back}}",
            "shop/b:80",
        ),
        (
            "not selected",
            "Selector, selector: {matchLabels: {tier: front}}",
            "shop/a:80",
        ),
        ("of the same namespace alone", "Same", "shop/a:80"),
        ("of none", "None", "shop/a:80"),
    ];
    for (name, from, want) in rows {
        let gateway = gateway(HTTP).replacen(
            "  listeners:",
            &format!("  allowedListeners: {{namespaces: {{from: {from}}}}}\n  listeners:"),
            1,
        );
        let built = build(&[
            gateway,
            set.to_owned(),
            by_set("other"),
            route("own", &to("a")),
        ]);
        assert_eq!(built.ask(&get("set.example", "/")), want, "{name}");
        // routes of the Gateway are not those of its sets
        assert_eq!(built.ask(&get("else.example", "/")), "shop/a:80", "{name}");
    }
}

#[test]
fn unknown_keys_and_lengths_that_are_none_are_errors() {
    for (rule, code) in [
        (
            "{backendRefs: [{name: a, port: 80}], timeout: 1s}",
            "field::unknown",
        ),
        (
            "{backendRefs: [{name: a, port: 80}], timeouts: {request: soon}}",
            "gateway-api::duration",
        ),
        (
            "{matches: [{path: {type: Regex, value: /}}]}",
            "gateway-api::match-type",
        ),
        (
            "{matches: [{path: {type: RegularExpression, value: '('}}], backendRefs: [{name: a, port: 80}]}",
            "gateway-api::bad-regex",
        ),
        (
            "{filters: [{type: URLRewrite}]}",
            "gateway-api::filter-settings",
        ),
    ] {
        let built = with_rules(&format!("- {rule}"));
        assert!(
            built.has(code) && built.problems.has_errors(),
            "{rule}: {}",
            built.text
        );
    }
}
