//! Which rule takes a request, and what becomes of it.

use super::rig::*;

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
    type Row = (
        &'static str,
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static str,
    );
    let rows: &[Row] = &[
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
fn datagrams_go_to_the_oldest_route_by_ports_for_datagrams() {
    let dns = "apiVersion: v1
kind: Service
metadata: {name: dns, namespace: shop}
spec:
  selector: {app: dns}
  ports: [{name: tcp, port: 53}, {name: udp, port: 53, protocol: UDP}]
";
    let udp = |name: &str, backends: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: UDPRoute\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  parentRefs: [{{name: \
             edge}}]\n  rules: [{{backendRefs: {backends}}}]\n"
        )
    };
    let listeners = format!("{HTTP}, {{name: dns, port: 80, protocol: UDP}}");
    let of = |routes: &[String]| {
        let mut parts = vec![gateway(&listeners), dns.to_owned(), route("r", &to("a"))];
        parts.extend_from_slice(routes);
        build(&parts)
    };
    let built = of(&[
        udp(
            "m",
            "[{name: dns, port: 53, weight: 2}, {name: gone, port: 53}]",
        ),
        udp("n", "[{name: dns, port: 53}]"),
    ]);
    assert_eq!(built.datagrams(80), "shop/dns:53/datagrams*2 nowhere*1");
    // beside requests on the same port
    assert_eq!(built.ask(&get("x", "/")), "shop/a:80");
    assert_eq!(of(&[]).datagrams(80), "nobody takes them");
    // a port for connections carries no datagrams
    let built = of(&[udp("m", "[{name: a, port: 80}]")]);
    assert_eq!(built.datagrams(80), "nowhere*1");
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
