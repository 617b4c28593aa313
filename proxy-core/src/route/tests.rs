use super::*;
use crate::config::*;
use crate::draw::DrawKey;
use crate::heads::{HeadId, HeadWriter, Heads};
use crate::origin::OriginId;

/// One head and what is written to it.
#[derive(Clone, Default)]
struct Head {
    method: String,
    authority: String,
    path: String,
    headers: Vec<(String, String)>,
}

impl Heads for Head {
    fn method(&self, _: HeadId) -> &str {
        &self.method
    }
    fn authority(&self, _: HeadId) -> &str {
        &self.authority
    }
    fn path(&self, _: HeadId) -> &str {
        &self.path
    }
    fn header(&self, _: HeadId, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
    fn status(&self, _: HeadId) -> u16 {
        200
    }
    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}

impl HeadWriter for Head {
    fn set_path(&mut self, path: &str) {
        self.path = path.into();
    }
    fn set_authority(&mut self, authority: &str) {
        self.authority = authority.into();
    }
    fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.append(name, value);
    }
    fn append(&mut self, name: &str, value: &str) {
        self.headers.push((name.into(), value.into()));
    }
    fn remove(&mut self, name: &str) {
        self.headers.retain(|(n, _)| n != name);
    }
    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(n, _)| n == name)
    }
}

fn get(path: &str) -> Head {
    Head {
        method: "GET".into(),
        authority: "example.com".into(),
        path: path.into(),
        headers: Vec::new(),
    }
}

fn view(head: &Head) -> RequestView<'_, Head> {
    RequestView {
        heads: head,
        head: HeadId(0),
        edge: false,
    }
}

fn route(matches: RouteMatch) -> Route {
    Route {
        name: "r".into(),
        matches,
        action: RouteAction::Forward(Box::new(Forward::to(ClusterIndex(0)))),
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        fault: None,
        rate_limit: None,
        origin: OriginId::NONE,
    }
}

fn host(routes: Vec<Route>) -> VirtualHost {
    VirtualHost {
        name: "h".into(),
        domains: vec!["*".into()],
        routes,
        attempt_count: false,
        origin: OriginId::NONE,
    }
}

fn takes(matches: RouteMatch, head: &Head) -> bool {
    find_route(&host(vec![route(matches)]), view(head), DrawKey::root(1)).is_some()
}

#[test]
fn paths_match_by_their_kind() {
    let rows: &[(&str, PathMatch, &str, bool)] = &[
        (
            "bytes take a longer word",
            PathMatch::Prefix("/foo".into()),
            "/foobar",
            true,
        ),
        (
            "segments do not",
            PathMatch::segments("/foo"),
            "/foobar",
            false,
        ),
        (
            "segments take themselves",
            PathMatch::segments("/foo/"),
            "/foo",
            true,
        ),
        (
            "segments take what is below",
            PathMatch::segments("/foo"),
            "/foo/bar?x=1",
            true,
        ),
        (
            "the root takes all",
            PathMatch::segments("/"),
            "/anything",
            true,
        ),
        (
            "exact ignores the query",
            PathMatch::Exact("/foo".into()),
            "/foo?x=1",
            true,
        ),
        (
            "exact is exact",
            PathMatch::Exact("/foo".into()),
            "/foo/",
            false,
        ),
        (
            "a regex must take all",
            PathMatch::regex("/v[0-9]").expect("valid"),
            "/v1/x",
            false,
        ),
        (
            "Kong's regex need not",
            PathMatch::regex_start("/v[0-9]").expect("valid"),
            "/v1/x",
            true,
        ),
    ];
    for (name, path, request, expected) in rows {
        assert_eq!(
            takes(RouteMatch::path(path.clone()), &get(request)),
            *expected,
            "{name}"
        );
    }
}

#[test]
fn all_conditions_must_hold() {
    let mut matches = RouteMatch::all();
    matches.methods = vec!["GET".into()];
    matches.headers = vec![HeaderMatch {
        name: "x-tier".into(),
        value: TextMatch::Exact("gold".into()),
        invert: false,
        ignore_case: false,
    }];
    matches.params = vec![ParamMatch {
        name: "v".into(),
        value: TextMatch::Prefix("2".into()),
    }];
    let mut head = get("/a?v=21&v=3");
    assert!(!takes(matches.clone(), &head), "header missing");
    head.append("x-tier", "gold");
    assert!(takes(matches.clone(), &head));
    head.path = "/a?v=3&v=21".into();
    assert!(
        !takes(matches.clone(), &head),
        "only the first value of a repeated key counts"
    );
    head.path = "/a?v=2".into();
    head.method = "POST".into();
    assert!(!takes(matches, &head), "method");
}

#[test]
fn an_inverted_condition_takes_requests_without_the_header() {
    let mut matches = RouteMatch::all();
    matches.headers = vec![HeaderMatch {
        name: "x-canary".into(),
        value: TextMatch::Present,
        invert: true,
        ignore_case: false,
    }];
    let mut head = get("/");
    assert!(takes(matches.clone(), &head));
    head.append("x-canary", "1");
    assert!(!takes(matches, &head));
}

#[test]
fn grpc_is_known_by_its_content_type() {
    let mut matches = RouteMatch::all();
    matches.grpc = true;
    for (kind, expected) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc-web", false),
        ("application/json", false),
    ] {
        let mut head = get("/");
        head.append("content-type", kind);
        assert_eq!(takes(matches.clone(), &head), expected, "{kind}");
    }
}

#[test]
fn a_fraction_takes_its_share_and_the_rest_falls_through() {
    let mut first = route(RouteMatch::all());
    first.matches.fraction = Some(Share::from_percent(25.0));
    let host = host(vec![first, route(RouteMatch::all())]);
    let head = get("/");
    let n = 40_000;
    let taken = (0..n)
        .filter(|i| find_route(&host, view(&head), DrawKey::root(3).child(*i)) == Some(0))
        .count();
    // 5 sigma of a binomial share of 0.25
    assert!((taken as f64 / n as f64 - 0.25).abs() < 5.0 * (0.25 * 0.75 / n as f64).sqrt());
}

#[test]
fn rewrites_replace_what_was_matched() {
    let rows: &[(&str, PathMatch, PathRewrite, &str, &str)] = &[
        (
            "prefix",
            PathMatch::Prefix("/api".into()),
            PathRewrite::Prefix("/v2".into()),
            "/api/x?q=1",
            "/v2/x?q=1",
        ),
        (
            "prefix to root",
            PathMatch::segments("/api"),
            PathRewrite::Prefix("/".into()),
            "/api/x",
            "/x",
        ),
        (
            "prefix to root, nothing left",
            PathMatch::segments("/api"),
            PathRewrite::Prefix("/".into()),
            "/api",
            "/",
        ),
        (
            "prefix away",
            PathMatch::Prefix("/api".into()),
            PathRewrite::Prefix("".into()),
            "/api",
            "/",
        ),
        (
            "bytes, not segments",
            PathMatch::Prefix("/api/".into()),
            PathRewrite::Prefix("/".into()),
            "/api/x",
            "/x",
        ),
        (
            "full",
            PathMatch::segments("/"),
            PathRewrite::Full("/one".into()),
            "/a/b?c",
            "/one?c",
        ),
        (
            "regex groups",
            PathMatch::segments("/"),
            PathRewrite::Regex(
                Box::new(regex::Regex::new("^/u/([0-9]+)").expect("valid")),
                r"/user/\1/$".into(),
            ),
            "/u/42/x",
            "/user/42/$/x",
        ),
    ];
    for (name, path, rewrite, from, to) in rows {
        let mut r = route(RouteMatch::path(path.clone()));
        if let RouteAction::Forward(f) = &mut r.action {
            f.rewrite = Some(rewrite.clone());
        }
        let head = get(from);
        let mut out = head.clone();
        let departure = Departure {
            weighted: 0,
            attempt_count: None,
            timeout_ms: 0,
            endpoint_host: "",
            shadow: false,
        };
        write_request(&r, view(&head), departure, &mut out);
        assert_eq!(out.path, *to, "{name}");
    }
}

#[test]
fn redirects_keep_what_they_do_not_change() {
    let none = Redirect {
        status: 301,
        scheme: None,
        host: None,
        port: None,
        path: None,
        strip_query: false,
    };
    let rows = [
        (
            none.clone(),
            "example.com:8080",
            "http://example.com:8080/a?b=1",
        ),
        (
            Redirect {
                scheme: Some("https".into()),
                ..none.clone()
            },
            "example.com:80",
            "https://example.com/a?b=1",
        ),
        (
            Redirect {
                host: Some("x.org".into()),
                strip_query: true,
                ..none.clone()
            },
            "example.com:8080",
            "http://x.org/a",
        ),
        (
            Redirect {
                path: Some(PathRedirect::Prefix("/z".into())),
                port: Some(8443),
                ..none
            },
            "example.com",
            "http://example.com:8443/z?b=1",
        ),
    ];
    for (redirect, authority, expected) in rows {
        let mut head = get("/a?b=1");
        head.authority = authority.into();
        let r = route(RouteMatch::path(PathMatch::segments("/a")));
        assert_eq!(
            redirect_location(&r, &redirect, "http", view(&head)),
            expected
        );
    }
}

/// Envoy: `RouteMatch.runtime_fraction` compares one random number of the request with each route's share.
#[test]
fn one_draw_serves_the_fractions_of_all_routes() {
    let with = |percent| {
        let mut route = route(RouteMatch::all());
        route.matches.fraction = Some(Share::from_percent(percent));
        route
    };
    let host = host(vec![with(20.0), with(50.0), with(40.0), with(100.0)]);
    let head = get("/");
    let n = 20_000;
    let mut counts = [0_u32; 4];
    for i in 0..n {
        let taken = find_route(&host, view(&head), DrawKey::root(5).child(i)).unwrap();
        counts[taken as usize] += 1;
    }
    // the second takes what lies between 20 and 50 %, the third nothing that it does not
    for (count, share) in counts.iter().zip([0.2, 0.3, 0.0, 0.5]) {
        let off = f64::from(*count) / n as f64 - share;
        assert!(
            off.abs() <= 5.0 * (share * (1.0 - share) / n as f64).sqrt(),
            "{counts:?}"
        );
    }
}

fn departing(edit: impl FnOnce(&mut Departure<'static>)) -> Departure<'static> {
    let mut departure = Departure {
        weighted: 0,
        attempt_count: None,
        timeout_ms: 0,
        endpoint_host: "",
        shadow: false,
    };
    edit(&mut departure);
    departure
}

/// Envoy: `RetryStateImpl::create`, `finalTimeout`, `decodeHeaders` remove what they have read.
#[test]
fn control_headers_do_not_travel_on() {
    let spent = [
        "x-envoy-retry-on",
        "x-envoy-retry-grpc-on",
        "x-envoy-max-retries",
        "x-envoy-hedge-on-per-try-timeout",
        "x-envoy-retriable-header-names",
        "x-envoy-retriable-status-codes",
        "x-envoy-upstream-rq-per-try-timeout-ms",
        "x-envoy-upstream-rq-timeout-ms",
        "x-envoy-upstream-rq-timeout-alt-response",
    ];
    let r = route(RouteMatch::all());
    for name in spent {
        let mut head = get("/");
        head.append(name, "1");
        head.append("x-kept", "1");
        assert!(edits_request(&r, 0, view(&head), true), "{name}");
        let mut out = head.clone();
        write_request(&r, view(&head), departing(|_| ()), &mut out);
        assert!(!out.has(name) && out.has("x-kept"), "{name}");
    }
}

#[test]
fn upstreams_learn_of_the_try_the_time_and_the_copy() {
    let r = route(RouteMatch::all());
    for (authority, shadow) in [
        ("example.com", "example.com-shadow"),
        ("example.com:8080", "example.com-shadow:8080"),
    ] {
        let mut head = get("/");
        head.authority = authority.into();
        let mut out = head.clone();
        let departure = departing(|d| {
            d.attempt_count = Some(2);
            d.timeout_ms = 250;
            d.shadow = true;
        });
        write_request(&r, view(&head), departure, &mut out);
        let value = |name| out.header(HeadId(0), name);
        assert_eq!(value("x-envoy-attempt-count"), Some("2"));
        assert_eq!(value("x-envoy-expected-rq-timeout-ms"), Some("250"));
        assert_eq!(out.authority, shadow);
    }
}

/// Envoy: `case_sensitive` does not reach regular expressions, and no query reaches a path.
#[test]
fn case_counts_unless_told_otherwise_and_a_query_never_does() {
    for (name, path, ignore_case, request, expected) in [
        (
            "exact",
            PathMatch::Exact("/Foo".into()),
            false,
            "/foo",
            false,
        ),
        (
            "exact, ignored",
            PathMatch::Exact("/Foo".into()),
            true,
            "/fOO",
            true,
        ),
        (
            "prefix, ignored",
            PathMatch::Prefix("/Foo".into()),
            true,
            "/foobar",
            true,
        ),
        (
            "segments, ignored",
            PathMatch::segments("/Foo"),
            true,
            "/foo/x",
            true,
        ),
        (
            "regex",
            PathMatch::regex("/foo").unwrap(),
            true,
            "/FOO",
            false,
        ),
        (
            "regex and query",
            PathMatch::regex("/foo").unwrap(),
            false,
            "/foo?x=1",
            true,
        ),
        (
            "prefix of a query",
            PathMatch::Prefix("/foo?x".into()),
            false,
            "/foo?x=1",
            false,
        ),
    ] {
        let mut matches = RouteMatch::path(path);
        matches.ignore_case = ignore_case;
        assert_eq!(takes(matches, &get(request)), expected, "{name}");
    }
}

/// Envoy: `x-envoy-original-path`.
#[test]
fn a_rewritten_path_is_kept_beside_the_new_one() {
    for (to, original) in [("/v2", Some("/api/x?q=1")), ("/api", None)] {
        let mut r = route(RouteMatch::path(PathMatch::Prefix("/api".into())));
        if let RouteAction::Forward(f) = &mut r.action {
            f.rewrite = Some(PathRewrite::Prefix(to.into()));
        }
        let head = get("/api/x?q=1");
        let mut out = head.clone();
        write_request(&r, view(&head), departing(|_| ()), &mut out);
        assert_eq!(out.header(HeadId(0), "x-envoy-original-path"), original);
    }
}
