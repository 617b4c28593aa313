//! What filters, backends, timeouts and sessions make of requests.

use proxy_core::config::{ChainAction, RouteAction, SessionCarrier};
use proxy_core::time::Duration;

use super::rig::*;

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
