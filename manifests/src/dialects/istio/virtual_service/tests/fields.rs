use proxy_core::config::{
    FaultAbort, FaultDelay, HashPolicy, HashSource, HostRewrite, PathRedirect, PathRewrite,
    RouteAction, Share,
};
use proxy_core::heads::HeaderOp;
use proxy_core::retry::backoff::{Backoff, FullJitter};
use proxy_core::time::Duration;

use super::harness::{Asks, Read, Request};

const REVIEWS: &str = "reviews.default.svc.cluster.local";

#[test]
fn a_rule_without_settings_has_the_releases_retries_and_no_timeout() {
    for (release, statuses) in [("1.29", vec![]), ("1.24", vec![]), ("1.23", vec![503])] {
        let read = Read::rule("");
        let asks = Asks {
            release,
            ..Asks::of(REVIEWS)
        };
        let (routes, _) = read.routes(&asks).expect("routes");
        let forward = super::harness::forward(&routes[0]);
        let retry = forward.retry.expect("retries");
        assert_eq!(retry.retries.value, 2, "{release}");
        let words: Vec<&str> = retry.on.value.iter().map(|on| on.name()).collect();
        assert_eq!(
            words,
            [
                "connect-failure",
                "refused-stream",
                "retriable-status-codes",
                "cancelled",
                "unavailable"
            ]
        );
        assert_eq!(retry.statuses, statuses, "{release}");
        assert!(retry.per_try_timeout.is_none());
        assert_eq!(retry.avoid_previous.map(|picks| picks.value), Some(5));
        assert_eq!(retry.previous_priorities, None);
        assert_eq!(
            retry.backoff.value,
            Backoff::FullJitter(FullJitter::envoy_v3())
        );
        assert_eq!(forward.timeout.value, None);
        // `grpc-timeout` is obeyed without a bound
        assert_eq!(forward.grpc_timeout_max, Some(Duration::ZERO));
        assert_eq!(read.origin(retry.retries.origin), "default of istio@test");
        assert_eq!(read.problems(), "");
    }
}

#[test]
fn attempts_are_tries_after_the_first_and_keep_the_default_conditions() {
    let read = Read::rule("retries: {attempts: 3, perTryTimeout: 2s}");
    let retry = read.retry();
    assert_eq!(retry.retries.value, 3);
    assert_eq!(read.origin(retry.retries.origin), "vs.yaml:8");
    let bound = retry.per_try_timeout.expect("a bound");
    assert_eq!(bound.value, Duration::from_secs(2));
    assert_eq!(read.origin(bound.origin), "vs.yaml:8");
    assert_eq!(read.origin(retry.on.origin), "default of istio@test");
    assert_eq!(retry.on.value.iter().count(), 5);
}

#[test]
fn retries_are_off_with_no_attempts() {
    for settings in ["retries: {attempts: 0}", "retries: {}"] {
        let read = Read::rule(settings);
        assert!(read.forward().retry.is_none(), "{settings}");
        assert_eq!(read.problems(), "", "{settings}");
    }
}

#[test]
fn words_and_statuses_of_retry_on_replace_the_defaults() {
    let rows: [(&str, &[&str], &[u16]); 5] = [
        ("5xx", &["5xx"], &[]),
        (
            "503, 429 ,reset",
            &["reset", "retriable-status-codes"],
            &[503, 429],
        ),
        ("retriable-status-codes", &["retriable-status-codes"], &[]),
        (
            "gateway-error,connect-failure,refused-stream",
            &["gateway-error", "connect-failure", "refused-stream"],
            &[],
        ),
        (
            "",
            &[
                "connect-failure",
                "refused-stream",
                "retriable-status-codes",
                "cancelled",
                "unavailable",
            ],
            &[],
        ),
    ];
    for (list, words, statuses) in rows {
        let read = Read::rule(&format!("retries: {{attempts: 1, retryOn: {list:?}}}"));
        let retry = read.retry();
        let found: Vec<&str> = retry.on.value.iter().map(|on| on.name()).collect();
        assert_eq!(found, words, "{list}");
        assert_eq!(retry.statuses, statuses, "{list}");
        assert_eq!(read.problems(), "", "{list}");
    }
}

#[test]
fn a_retry_may_return_to_an_endpoint_where_it_is_told_so_or_hashed() {
    let hash = vec![HashPolicy {
        source: HashSource::SourceAddress,
        terminal: false,
    }];
    let rows = [
        ("", false, Some(5)),
        ("", true, None),
        (", retryIgnorePreviousHosts: false", false, None),
        (", retryIgnorePreviousHosts: true", true, Some(5)),
    ];
    for (setting, hashed, picks) in rows {
        let read = Read::rule(&format!("retries: {{attempts: 1{setting}}}"));
        let asks = Asks {
            hash: if hashed { hash.clone() } else { Vec::new() },
            ..Asks::of(REVIEWS)
        };
        let (routes, _) = read.routes(&asks).expect("routes");
        let forward = super::harness::forward(&routes[0]);
        let retry = forward.retry.expect("retries");
        let found = retry.avoid_previous.map(|picks| picks.value);
        assert_eq!(found, picks, "{setting} {hashed}");
        assert_eq!(forward.hash.len(), usize::from(hashed));
    }
}

#[test]
fn other_localities_and_the_first_pause_are_settings_of_retries() {
    let read = Read::rule("retries: {attempts: 1, retryRemoteLocalities: true, backoff: 100ms}");
    let retry = read.retry();
    assert_eq!(retry.previous_priorities, Some(2));
    let jitter = FullJitter::new(Duration::from_millis(100), None);
    assert_eq!(retry.backoff.value, Backoff::FullJitter(jitter));
}

#[test]
fn a_timeout_bounds_all_tries_and_grpc_timeouts_too() {
    let rows = [
        ("timeout: 1.5s", Some(1_500), 1_500),
        ("timeout: 20ms", Some(20), 20),
        ("timeout: 0s", None, 0),
    ];
    for (setting, millis, grpc) in rows {
        let read = Read::rule(setting);
        let forward = read.forward();
        assert_eq!(
            forward.timeout.value,
            millis.map(Duration::from_millis),
            "{setting}"
        );
        assert_eq!(read.origin(forward.timeout.origin), "vs.yaml:8");
        assert_eq!(forward.grpc_timeout_max, Some(Duration::from_millis(grpc)));
        assert_eq!(read.problems(), "");
    }
}

#[test]
fn faults_strike_their_share_and_nobody_without_one() {
    let delay = |millis, ppm| {
        Some(FaultDelay {
            fixed: Some(Duration::from_millis(millis)),
            share: Share::from_ppm(ppm),
        })
    };
    let abort = |status, grpc, ppm| {
        Some(FaultAbort {
            status,
            grpc,
            share: Share::from_ppm(ppm),
        })
    };
    let rows = [
        (
            "fault: {delay: {fixedDelay: 5s, percentage: {value: 0.1}}}",
            delay(5_000, 1_000),
            None,
        ),
        (
            "fault: {delay: {fixedDelay: 5s, percent: 20}}",
            delay(5_000, 200_000),
            None,
        ),
        ("fault: {delay: {fixedDelay: 5s}}", delay(5_000, 0), None),
        (
            "fault: {abort: {httpStatus: 503, percentage: {value: 100}}}",
            None,
            abort(Some(503), None, 1_000_000),
        ),
        (
            "fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 50}}}",
            None,
            abort(None, Some(14), 500_000),
        ),
        (
            "fault: {abort: {httpStatus: 500}}",
            None,
            abort(Some(500), None, 0),
        ),
    ];
    for (setting, delay, abort) in rows {
        let read = Read::rule(setting);
        let fault = read.first().fault.expect("a fault");
        assert_eq!((fault.delay, fault.abort), (delay, abort), "{setting}");
        assert_eq!(read.origin(fault.origin), "vs.yaml:8");
    }
}

#[test]
fn a_path_matches_by_its_kind() {
    let rows = [
        ("{uri: {exact: /a}}", "/a", true),
        ("{uri: {exact: /a}}", "/a/", false),
        ("{uri: {exact: /a}}", "/a?x=1", true),
        ("{uri: {prefix: /a}}", "/abc", true),
        ("{uri: {prefix: /a}}", "/A", false),
        ("{uri: {prefix: /a}, ignoreUriCase: true}", "/ABC", true),
        ("{uri: {exact: /a}, ignoreUriCase: true}", "/A", true),
        ("{uri: {regex: '/v[0-9]+'}}", "/v12", true),
        ("{uri: {regex: '/v[0-9]+'}}", "/v12/x", false),
        ("{uri: {regex: '/v'}, ignoreUriCase: true}", "/V", false),
        ("{uri: {}}", "/anything", true),
        ("{port: 9080}", "/", true),
        ("{port: 80}", "/", false),
        ("{scheme: {exact: http}}", "/", true),
        ("{scheme: {exact: https}}", "/", false),
        ("{scheme: {prefix: http}}", "/", true),
    ];
    for (condition, path, takes) in rows {
        let read = Read::condition(condition);
        let found = read.decide(&Request::get(path));
        let expected = match (takes, condition) {
            (true, _) => "reviews.default:9080",
            // no route is made, so that the host's own counts
            (false, "{port: 80}" | "{scheme: {exact: https}}") => "default",
            (false, _) => "",
        };
        assert_eq!(found, expected, "{condition} {path}");
        assert_eq!(read.problems(), "", "{condition}");
    }
}

#[test]
fn methods_authorities_headers_and_parameters_all_must_match() {
    let gold: &[(&str, &str)] = &[("x-tier", "gold")];
    let none: &[(&str, &str)] = &[];
    let rows = [
        ("{method: {exact: GET}}", none, "/", true),
        ("{method: {exact: POST}}", none, "/", false),
        ("{method: {regex: 'GET|HEAD'}}", none, "/", true),
        ("{authority: {exact: 'reviews:9080'}}", none, "/", true),
        ("{authority: {prefix: rev}}", none, "/", true),
        ("{authority: {exact: reviews}}", none, "/", false),
        ("{headers: {X-Tier: {exact: gold}}}", gold, "/", true),
        ("{headers: {x-tier: {exact: silver}}}", gold, "/", false),
        ("{headers: {x-tier: {prefix: go}}}", gold, "/", true),
        ("{headers: {x-tier: {regex: 'g.*'}}}", gold, "/", true),
        ("{headers: {x-tier: {regex: 'g'}}}", gold, "/", false),
        ("{headers: {x-tier: {}}}", gold, "/", true),
        ("{headers: {x-tier: {}}}", none, "/", false),
        ("{headers: {x-tier: {regex: '*'}}}", gold, "/", true),
        ("{headers: {x-tier: {regex: '*'}}}", none, "/", false),
        ("{withoutHeaders: {x-tier: {}}}", none, "/", true),
        ("{withoutHeaders: {x-tier: {}}}", gold, "/", false),
        (
            "{withoutHeaders: {x-tier: {exact: silver}}}",
            gold,
            "/",
            true,
        ),
        (
            "{withoutHeaders: {x-tier: {exact: silver}}}",
            none,
            "/",
            true,
        ),
        // a missing header counts as an empty one, which this takes
        (
            "{withoutHeaders: {x-tier: {regex: 's.*|'}}}",
            none,
            "/",
            false,
        ),
        (
            "{withoutHeaders: {x-tier: {regex: 's.*|'}}}",
            gold,
            "/",
            true,
        ),
        ("{queryParams: {v: {exact: '2'}}}", none, "/?v=2", true),
        ("{queryParams: {v: {exact: '2'}}}", none, "/?v=3", false),
        ("{queryParams: {v: {prefix: a}}}", none, "/?u=1&v=ab", true),
        ("{queryParams: {v: {}}}", none, "/?v", true),
        ("{queryParams: {v: {}}}", none, "/?u", false),
        (
            "{method: {exact: GET}, headers: {x-tier: {exact: gold}}}",
            none,
            "/",
            false,
        ),
    ];
    for (condition, headers, path, takes) in rows {
        let read = Read::condition(condition);
        let request = Request {
            headers,
            ..Request::get(path)
        };
        let expected = if takes { "reviews.default:9080" } else { "" };
        assert_eq!(read.decide(&request), expected, "{condition} {path}");
        assert_eq!(read.problems(), "", "{condition}");
    }
}

#[test]
fn a_destination_without_a_port_has_the_dialled_one_and_at_gateways_the_hosts_only_one() {
    // the destination, and its cluster for sidecars and for a gateway
    let rows = [
        (
            "{host: ratings}",
            "ratings.default:8080",
            "ratings.default:9080",
        ),
        (
            "{host: ratings, port: {number: 9080}}",
            "ratings.default:9080",
            "ratings.default:9080",
        ),
        ("{host: shop}", "shop.default:8080", "shop.default:8080"),
        (
            "{host: shop, port: {number: 80}}",
            "shop.default:80",
            "shop.default:80",
        ),
        (
            "{host: other.far.svc.cluster.local}",
            "other.far:8080",
            "other.far:9080",
        ),
    ];
    for (destination, mesh, edge) in rows {
        let read = Read::yaml(&format!(
            "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge}}
spec: {{}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: vs}}
spec:
  hosts: [reviews]
  gateways: [mesh, edge]
  http: [{{route: [{{destination: {destination}}}]}}]
"
        ));
        for (gateway, cluster) in [("mesh", mesh), ("default/edge", edge)] {
            let asks = Asks {
                port: 8080,
                gateway,
                ..Asks::of(REVIEWS)
            };
            let found = read.decide_for(&asks, &Request::get("/"));
            assert_eq!(found, cluster, "{destination} {gateway}");
        }
        assert_eq!(read.problems(), "");
    }
}

#[test]
fn weights_share_and_those_without_are_left_out() {
    let rows = [
        (
            "[{destination: {host: reviews}, weight: 90}, {destination: {host: ratings}, weight: 10}]",
            "reviews.default:9080 90, ratings.default:9080 10",
        ),
        (
            "[{destination: {host: reviews}, weight: 100}, {destination: {host: ratings}}]",
            "reviews.default:9080",
        ),
        (
            "[{destination: {host: reviews}, weight: 0}]",
            "reviews.default:9080",
        ),
        (
            "[{destination: {host: reviews}, weight: 1}, {destination: {host: gone}, weight: 2}]",
            "reviews.default:9080 1, - 2",
        ),
    ];
    for (route, expected) in rows {
        let read = Read::spec(&format!("http: [{{route: {route}}}]"));
        assert_eq!(read.decide(&Request::get("/")), expected, "{route}");
    }
}

#[test]
fn what_is_not_there_is_answered_503_and_reported() {
    let read = Read::spec("http: [{route: [{destination: {host: reviews, subset: gone}}]}]");
    let forward = read.forward();
    assert_eq!(forward.clusters[0].cluster, None);
    assert_eq!(forward.missing_status, 503);
    assert!(read.problems().contains("istio::unknown-subset"));
}

#[test]
fn paths_and_authorities_are_rewritten() {
    let read = Read::rule("rewrite: {uri: /v2, authority: new.example.com}");
    let forward = read.forward();
    assert!(matches!(&forward.rewrite, Some(PathRewrite::Prefix(to)) if &**to == "/v2"));
    assert!(matches!(&forward.host, Some(HostRewrite::Literal(to)) if &**to == "new.example.com"));
    let read = Read::rule("rewrite: {uriRegexRewrite: {match: '^/a/(.*)', rewrite: '/b/\\1'}}");
    let forward = read.forward();
    assert!(matches!(&forward.rewrite, Some(PathRewrite::Regex(_, to)) if &**to == "/b/\\1"));
    assert!(forward.host.is_none());
}

#[test]
fn headers_are_taken_out_before_any_is_put_in() {
    let read = Read::spec(
        "http:
- route:
  - destination: {host: reviews}
    headers: {request: {set: {x-b: '2'}, remove: [x-d]}}
  headers:
    request: {add: {X-A: '1'}, set: {x-c: '100%%', host: new.example.com}, remove: [X-Gone, ':path']}
    response: {set: {x-r: r}, remove: [server]}",
    );
    let route = read.first();
    let set = |name: &str, value: &str| HeaderOp::Set(name.into(), value.into());
    assert_eq!(
        route.request_edits,
        [
            HeaderOp::Remove("x-gone".into()),
            HeaderOp::Remove("x-d".into()),
            set("x-c", "100%"),
            HeaderOp::Append("x-a".into(), "1".into()),
            set("x-b", "2"),
        ]
    );
    assert_eq!(
        route.response_edits,
        [HeaderOp::Remove("server".into()), set("x-r", "r")]
    );
    let host = super::harness::forward(&route).host;
    assert!(matches!(host, Some(HostRewrite::Literal(to)) if &*to == "new.example.com"));
}

#[test]
fn of_several_destinations_each_ones_edits_come_before_the_routes() {
    let read = Read::spec(
        "http:
- route:
  - {destination: {host: reviews}, weight: 1, headers: {request: {set: {x-v: one}}}}
  - {destination: {host: ratings}, weight: 1}
  headers: {request: {set: {x-v: route}}}",
    );
    let route = read.first();
    assert_eq!(route.request_edits, []);
    let forward = super::harness::forward(&route);
    let values = |nth: usize| -> Vec<String> {
        let edits = forward.clusters[nth].request_edits.iter();
        edits
            .map(|edit| match edit {
                HeaderOp::Set(_, value) => value.to_string(),
                HeaderOp::Append(..)
                | HeaderOp::AddIfAbsent(..)
                | HeaderOp::IfPresent(..)
                | HeaderOp::Remove(_) => panic!("set"),
            })
            .collect()
    };
    assert_eq!(values(0), ["one", "route"]);
    assert_eq!(values(1), ["route"]);
}

#[test]
fn mirrors_copy_all_requests_unless_a_share_is_written() {
    let rows: [(&str, &[u32]); 6] = [
        ("mirror: {host: ratings}", &[1_000_000]),
        (
            "mirror: {host: ratings}\nmirrorPercentage: {value: 12.5}",
            &[125_000],
        ),
        ("mirror: {host: ratings}\nmirrorPercent: 30", &[300_000]),
        ("mirror: {host: ratings}\nmirrorPercentage: {value: 0}", &[]),
        (
            "mirrors: [{destination: {host: ratings}, percentage: {value: 1}}, {destination: {host: details}}]",
            &[10_000, 1_000_000],
        ),
        ("mirrors: [{destination: {host: gone}}]", &[]),
    ];
    for (settings, shares) in rows {
        let forward = Read::rule(settings).forward();
        let found: Vec<u32> = forward
            .mirrors
            .iter()
            .map(|mirror| mirror.share.value.as_ppm())
            .collect();
        assert_eq!(found, shares, "{settings}");
        assert!(!forward.mirrors.iter().any(|mirror| mirror.shadow_host));
    }
}

#[test]
fn a_redirect_is_301_and_leaves_out_the_schemes_own_port() {
    let rows = [
        ("{authority: b.example.com}", 301, None),
        ("{uri: /new, redirectCode: 308}", 308, None),
        ("{scheme: https, port: 443}", 301, None),
        ("{scheme: https, port: 8443}", 301, Some(8443)),
        ("{uri: /, derivePort: FROM_REQUEST_PORT}", 301, Some(9080)),
        ("{uri: /, derivePort: FROM_PROTOCOL_DEFAULT}", 301, None),
    ];
    for (redirect, status, port) in rows {
        let read = Read::spec(&format!("http: [{{redirect: {redirect}}}]"));
        let RouteAction::Redirect(found) = read.first().action else {
            panic!("{redirect}: a redirect");
        };
        assert_eq!((found.status, found.port), (status, port), "{redirect}");
        assert_eq!(read.problems(), "");
    }
}

#[test]
fn a_redirect_replaces_the_whole_path_or_what_matched_of_it() {
    let found = |rule: &str| {
        let read = Read::spec(&format!("http: [{{{rule}}}]"));
        assert_eq!(read.problems(), "", "{rule}");
        let RouteAction::Redirect(redirect) = read.first().action else {
            panic!("{rule}: a redirect");
        };
        redirect.path
    };
    assert!(matches!(found("redirect: {uri: /x}"), Some(PathRedirect::Full(to)) if &*to == "/x"));
    for rule in [
        "redirect: {prefixRewrite: /x}",
        "match: [{uri: {prefix: /a}}], redirect: {prefixRewrite: /x}",
        "match: [{method: {exact: GET}}], redirect: {prefixRewrite: /x}",
    ] {
        assert!(
            matches!(found(rule), Some(PathRedirect::Prefix(to)) if &*to == "/x"),
            "{rule}"
        );
    }
    assert!(found("redirect: {scheme: https}").is_none());
    for rule in [
        "redirect: {uri: /y, prefixRewrite: /x}",
        "match: [{uri: {exact: /a}}], redirect: {prefixRewrite: /x}",
        "match: [{uri: {prefix: /a}}, {uri: {regex: /b}}], redirect: {prefixRewrite: /x}",
    ] {
        let problems = Read::spec(&format!("http: [{{{rule}}}]")).problems();
        assert!(problems.contains("istio::redirect"), "{rule}: {problems}");
    }
}

#[test]
fn a_direct_response_has_its_status_and_body() {
    for (body, expected, code) in [
        ("{string: short}", Some("short"), ""),
        ("{bytes: c2hvcnQ=}", Some("short"), ""),
        ("{}", Some(""), ""),
        ("{bytes: /w==}", Some(""), "istio::not-modelled"),
        ("{bytes: short}", None, "istio::direct-response"),
    ] {
        let rule = format!("http: [{{directResponse: {{status: 418, body: {body}}}}}]");
        let read = Read::spec(&rule);
        let asks = Asks::of(REVIEWS);
        let first = read.routes(&asks).map(|(mut routes, _)| routes.remove(0));
        let response = first.map(|route| match route.action {
            RouteAction::Direct(response) => response,
            RouteAction::Forward(_) | RouteAction::Redirect(_) => panic!("{body}: an answer"),
        });
        let found = response.map(|it| (it.status, it.body.into_string()));
        assert_eq!(found, expected.map(|it| (418, it.to_owned())), "{body}");
        let problems = read.problems();
        assert!(
            problems.contains(code) && problems.is_empty() == code.is_empty(),
            "{problems}"
        );
    }
}
