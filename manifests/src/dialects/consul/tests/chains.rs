//! Routers, splitters and resolvers.

use proxy_core::config::{PathMatch, PathRewrite, Route, RouteAction, UpstreamProtocol};
use proxy_core::heads::HeaderOp;
use proxy_core::retry::backoff::{Backoff, FullJitter};
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::time::Duration;

use super::harness::*;

fn router(routes: &str) -> World {
    with(&[
        http("api"),
        http("db"),
        entry("ServiceRouter", "api", &format!("{{routes: [{routes}]}}")),
    ])
}

/// Where a route leads: titles of services and subsets.
fn leads(world: &World, ask: Ask<'_>) -> Vec<String> {
    let (_, clusters) = world.call("web", "api", ask);
    clusters.iter().map(|it| it.service.to_string()).collect()
}

#[test]
fn the_first_route_that_matches_counts_and_after_all_the_service_itself() {
    let world = router(
        "{match: {http: {pathPrefix: /db}}, destination: {service: db}}, {match: {http: {pathExact: /db/x}}, destination: {service: api}}",
    );
    assert_eq!(leads(&world, get("/db/x")), ["db"]);
    assert_eq!(leads(&world, get("/other")), ["api"]);
    assert_eq!(world.complaints(), Vec::<&str>::new());
}

#[test]
fn a_prefix_takes_whatever_begins_with_its_bytes() {
    let world = router("{match: {http: {pathPrefix: /foo}}, destination: {service: db}}");
    for (path, to) in [
        ("/foo", "db"),
        ("/foobar", "db"),
        ("/fo", "api"),
        ("/FOO", "api"),
    ] {
        assert_eq!(leads(&world, get(path)), [to], "{path}");
    }
}

#[test]
fn conditions_are_those_of_envoy() {
    let rows: [(&str, &[(Ask<'_>, bool)]); 12] = [
        (
            "pathExact: /a",
            &[(get("/a"), true), (get("/a?b"), true), (get("/a/"), false)],
        ),
        ("pathExact: /a, caseInsensitive: true", &[(get("/A"), true)]),
        (
            "pathRegex: '/a[0-9]+'",
            &[(get("/a12"), true), (get("/a12/x"), false)],
        ),
        (
            "methods: [get, PUT]",
            &[
                (get("/"), true),
                (
                    Ask {
                        method: "POST",
                        ..get("/")
                    },
                    false,
                ),
            ],
        ),
        (
            "header: [{name: X-A, exact: '1'}]",
            &[
                (header(&[("x-a", "1")]), true),
                (header(&[("x-a", "2")]), false),
                (get("/"), false),
            ],
        ),
        (
            "header: [{name: x-a, prefix: a}]",
            &[
                (header(&[("x-a", "ab")]), true),
                (header(&[("x-a", "ba")]), false),
            ],
        ),
        (
            "header: [{name: x-a, suffix: b}]",
            &[
                (header(&[("x-a", "ab")]), true),
                (header(&[("x-a", "ba")]), false),
            ],
        ),
        (
            "header: [{name: x-a, regex: 'a+'}]",
            &[
                (header(&[("x-a", "aa")]), true),
                (header(&[("x-a", "ab")]), false),
            ],
        ),
        (
            "header: [{name: x-a, present: true}]",
            &[(header(&[("x-a", "")]), true), (get("/"), false)],
        ),
        (
            "header: [{name: x-a, present: true, invert: true}]",
            &[(header(&[("x-a", "1")]), false), (get("/"), true)],
        ),
        // what is not there equals nothing, turned round or not
        (
            "header: [{name: x-a, exact: '1', invert: true}]",
            &[
                (header(&[("x-a", "2")]), true),
                (header(&[("x-a", "1")]), false),
                (get("/"), false),
            ],
        ),
        (
            "queryParam: [{name: a, exact: '1'}, {name: b, present: true}, {name: c, regex: '[0-9]'}]",
            &[
                (get("/?a=1&b&c=3"), true),
                (get("/?a=1&b&c=x"), false),
                (get("/?a=1"), false),
            ],
        ),
    ];
    for (condition, asks) in rows {
        let world = router(&format!(
            "{{match: {{http: {{{condition}}}}}, destination: {{service: db}}}}"
        ));
        assert_eq!(world.complaints(), Vec::<&str>::new(), "{condition}");
        for (ask, taken) in asks {
            let to = if *taken { "db" } else { "api" };
            assert_eq!(
                leads(&world, *ask),
                [to],
                "{condition}: {} {:?}",
                ask.path,
                ask.headers
            );
        }
    }
}

const fn header<'a>(headers: &'a [(&'a str, &'a str)]) -> Ask<'a> {
    Ask {
        method: "GET",
        path: "/",
        headers,
    }
}

fn destination(fields: &str) -> (World, Route) {
    let world = router(&format!(
        "{{match: {{http: {{pathPrefix: /a/}}}}, destination: {{{fields}}}}}"
    ));
    let (route, _) = world.call("web", "api", get("/a/b"));
    (world, route)
}

#[test]
fn timeouts_of_a_route() {
    let default = Some(Duration::from_secs(15));
    for (field, timeout, idle) in [
        ("", default, None),
        ("requestTimeout: 3s", Some(Duration::from_secs(3)), None),
        ("requestTimeout: 0s", default, None),
        ("requestTimeout: -1s", None, None),
        ("idleTimeout: 2s", default, Some(Duration::from_secs(2))),
        ("idleTimeout: 0s", default, None),
        ("idleTimeout: -1s", default, Some(Duration::ZERO)),
    ] {
        let (_, route) = destination(field);
        let forward = forward_of(&route);
        let found = (
            forward.timeout.value,
            forward.idle_timeout.map(|it| it.value),
        );
        assert_eq!(found, (timeout, idle), "{field}");
    }
    let (world, route) = destination("requestTimeout: 3s");
    let origin = world.origin(forward_of(&route).timeout.origin);
    assert!(origin.starts_with("consul.yaml:"), "{origin}");
}

#[test]
fn no_route_has_retries_unless_it_says_something_of_them() {
    for (fields, expected) in [
        ("", None),
        ("requestTimeout: 3s", None),
        ("numRetries: 0", None),
        ("retryOnConnectFailure: false", None),
        (
            "numRetries: 3, retryOn: [5xx]",
            Some((3, RetryOn::NONE.with(Condition::ServerError))),
        ),
        // a condition without a number is one retry
        (
            "retryOn: [5xx, reset]",
            Some((
                1,
                RetryOn::NONE
                    .with(Condition::ServerError)
                    .with(Condition::Reset),
            )),
        ),
        (
            "retryOnConnectFailure: true",
            Some((1, RetryOn::NONE.with(Condition::ConnectFailure))),
        ),
        (
            "retryOnConnectFailure: true, retryOn: [connect-failure]",
            Some((1, RetryOn::NONE.with(Condition::ConnectFailure))),
        ),
        (
            "retryOnStatusCodes: [503, 429]",
            Some((1, RetryOn::NONE.with(Condition::RetriableStatusCodes))),
        ),
        (
            "retryOn: [unavailable, cancelled]",
            Some((
                1,
                RetryOn::NONE
                    .with(Condition::Unavailable)
                    .with(Condition::Cancelled),
            )),
        ),
        // a number without a condition retries nothing
        ("numRetries: 3", Some((3, RetryOn::NONE))),
    ] {
        let (_, route) = destination(fields);
        let retry = forward_of(&route).retry;
        let found = retry.map(|retry| (retry.retries.value, retry.on.value));
        assert_eq!(found, expected, "{fields}");
    }
    let (world, _) = destination("numRetries: 3");
    assert_eq!(world.complaints(), ["consul::no-condition"]);
}

#[test]
fn retries_have_envoys_pauses_and_choose_any_instance() {
    let (world, route) = destination("retryOnStatusCodes: [503, 429]");
    let retry = forward_of(&route).retry.expect("retries");
    assert_eq!(retry.statuses, [503, 429]);
    assert_eq!(
        retry.backoff.value,
        Backoff::FullJitter(FullJitter::envoy_v3())
    );
    assert!(retry.per_try_timeout.is_none() && retry.avoid_previous.is_none());
    assert!(!retry.spare_sent_non_idempotent);
    assert_eq!(world.origin(retry.retries.origin), "default of consul@1.21");
}

#[test]
fn a_rewrite_takes_the_place_of_what_matched() {
    let (_, route) = destination("prefixRewrite: /");
    let rewrite = forward_of(&route).rewrite;
    assert!(matches!(rewrite, Some(PathRewrite::Prefix(to)) if &*to == "/"));
    assert!(matches!(route.matches.path, PathMatch::Prefix(ref from) if &**from == "/a/"));
}

#[test]
fn headers_are_taken_out_set_and_added_in_this_order() {
    let (_, route) = destination(
        "requestHeaders: {add: {X-A: '1'}, set: {x-b: '2'}, remove: [x-c]}, responseHeaders: {set: {x-d: 'a%%b'}}",
    );
    assert_eq!(
        route.request_edits,
        [
            HeaderOp::Remove("x-c".into()),
            HeaderOp::Set("x-b".into(), "2".into()),
            HeaderOp::Append("x-a".into(), "1".into()),
        ]
    );
    assert_eq!(
        route.response_edits,
        [HeaderOp::Set("x-d".into(), "a%b".into())]
    );
}

#[test]
fn a_splitter_shares_by_hundredths_of_a_per_cent() {
    let world = with(&[
        http("api"),
        entry("ServiceResolver", "api", &format!("{{{VERSIONS}}}")),
        entry(
            "ServiceSplitter",
            "api",
            "{splits: [{weight: 99.99, serviceSubset: v1, requestHeaders: {set: {x-v: '1'}}}, {weight: 0.01, serviceSubset: v2}]}",
        ),
    ]);
    let (route, clusters) = world.call("web", "api", get("/"));
    let forward = forward_of(&route);
    let weights: Vec<u32> = forward.clusters.iter().map(|leg| leg.weight).collect();
    assert_eq!(weights, [9_999, 1]);
    assert_eq!(
        forward.clusters[0].request_edits,
        [HeaderOp::Set("x-v".into(), "1".into())]
    );
    assert_eq!(World::behind(&clusters[0]), pods(&["api-0", "api-1"]));
    assert_eq!(World::behind(&clusters[1]), pods(&["api-v2-0", "api-v2-1"]));
    assert_eq!(&*clusters[1].service, "v2.api");
    assert_eq!(
        &*clusters[1].name,
        "v2.api.default.dc1.internal.cluster.consul"
    );
    assert_eq!(world.complaints(), Vec::<&str>::new());
}

#[test]
fn splitters_that_splitters_lead_to_are_one() {
    let world = with(&[
        http("api"),
        http("db"),
        http("web"),
        entry(
            "ServiceSplitter",
            "api",
            "{splits: [{weight: 50, service: db, requestHeaders: {set: {a: outer, b: outer}}}, {weight: 50}]}",
        ),
        entry(
            "ServiceSplitter",
            "db",
            "{splits: [{weight: 25, service: db, requestHeaders: {set: {a: inner}}}, {weight: 75, service: web}]}",
        ),
    ]);
    let (route, clusters) = world.call("web", "api", get("/"));
    let forward = forward_of(&route);
    let legs: Vec<(u32, &str)> = forward
        .clusters
        .iter()
        .zip(&clusters)
        .map(|(leg, cluster)| (leg.weight, &*cluster.service))
        .collect();
    assert_eq!(legs, [(1_250, "db"), (3_750, "web"), (5_000, "api")]);
    assert_eq!(
        forward.clusters[0].request_edits,
        [
            HeaderOp::Set("a".into(), "inner".into()),
            HeaderOp::Set("b".into(), "outer".into()),
        ]
    );
}

#[test]
fn splitters_that_multiply_without_end_are_refused() {
    // ten layers of ten services, each of which splits over the whole next layer
    let mut parts = vec![entry(
        "ProxyDefaults",
        "global",
        "{config: {protocol: http}}",
    )];
    for layer in 0..10 {
        for nth in 0..10 {
            let splits: Vec<String> = (0..10)
                .map(|to| format!("{{weight: 10, service: s{}-{to}}}", layer + 1))
                .collect();
            let spec = format!("{{splits: [{}]}}", splits.join(", "));
            parts.push(entry("ServiceSplitter", &format!("s{layer}-{nth}"), &spec));
        }
    }
    let world = with(&parts);
    assert!(world.complaints().contains(&"consul::shares"));
}

#[test]
fn a_route_to_a_subset_passes_by_the_splitter() {
    let world = with(&[
        http("api"),
        entry(
            "ServiceResolver",
            "api",
            &format!("{{{VERSIONS}, defaultSubset: v1}}"),
        ),
        entry(
            "ServiceSplitter",
            "api",
            "{splits: [{weight: 50, serviceSubset: v1}, {weight: 50, serviceSubset: v2}]}",
        ),
        entry(
            "ServiceRouter",
            "api",
            "{routes: [{match: {http: {header: [{name: x-canary, present: true}]}}, destination: {serviceSubset: v2}}]}",
        ),
    ]);
    assert_eq!(leads(&world, header(&[("x-canary", "1")])), ["v2.api"]);
    assert_eq!(leads(&world, get("/")), ["v1.api", "v2.api"]);
}

#[test]
fn bytes_pass_by_router_and_splitter_but_have_their_resolver() {
    let tcp = "{upstreamConfig: {overrides: [{name: api, protocol: tcp}]}}";
    let world = with(&[
        http("api"),
        http("db"),
        entry("ServiceDefaults", "web", tcp),
        entry(
            "ServiceRouter",
            "api",
            "{routes: [{destination: {service: db}}]}",
        ),
        entry(
            "ServiceResolver",
            "api",
            &format!("{{{VERSIONS}, defaultSubset: v2}}"),
        ),
    ]);
    let carried = bytes_of(&world.service_connection("web", "api"));
    let section = world.outbound("web");
    let cluster = &section.clusters()[carried.clusters[0].0.0 as usize];
    assert_eq!(World::behind(cluster), pods(&["api-v2-0", "api-v2-1"]));
    // others have the router
    let (_, clusters) = world.call("db", "api", get("/"));
    assert_eq!(&*clusters[0].service, "db");
}

#[test]
fn callers_may_speak_otherwise_than_a_service_asks_for() {
    let grpc = "{upstreamConfig: {defaults: {protocol: http2}}}";
    let world = with(&[http("api"), entry("ServiceDefaults", "web", grpc)]);
    assert_eq!(world.cluster().protocol, UpstreamProtocol::Http2);
    let (route, clusters) = world.call("db", "api", get("/"));
    assert_eq!(clusters[0].protocol, UpstreamProtocol::Http1);
    assert!(matches!(route.action, RouteAction::Forward(_)));
}
