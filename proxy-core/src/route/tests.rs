mod urls;

use super::*;
use crate::config::*;
use crate::draw::DrawKey;
use crate::heads::{HeadId, HeadWriter, HeaderOp, Heads};
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
    fn any_value(&self, _: HeadId, name: &str, is: impl FnMut(&str) -> bool) -> Option<bool> {
        let lines = self.headers.iter().filter(|(n, _)| n == name);
        let mut values = lines.map(|(_, value)| value.as_str()).peekable();
        values.peek()?;
        Some(values.any(is))
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
    fn first(&self, name: &str) -> Option<&str> {
        self.header(HeadId(0), name)
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
        gates: Vec::new(),
        cors: None,
        tracing: None,
        origin: OriginId::NONE,
    }
}

fn host(routes: Vec<Route>) -> VirtualHost {
    VirtualHost {
        name: "h".into(),
        domains: vec!["*".into()],
        routes,
        attempt_count: false,
        attempt_count_in_response: false,
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

/// Envoy 1.40: `connect_matcher`; a CONNECT has no path that another could look at.
#[test]
fn a_connect_is_taken_by_its_own_kind_alone() {
    let connect = Head {
        method: "CONNECT".into(),
        path: String::new(),
        ..get("/")
    };
    for (path, takes_connect, takes_get) in [
        (PathMatch::Connect, true, false),
        (PathMatch::Prefix("/".into()), false, true),
        (PathMatch::Prefix("".into()), false, true),
        (PathMatch::segments("/"), false, true),
        (PathMatch::regex(".*").expect("valid"), false, true),
    ] {
        let matches = RouteMatch::path(path);
        assert_eq!(
            takes(matches.clone(), &connect),
            takes_connect,
            "{matches:?}"
        );
        assert_eq!(takes(matches.clone(), &get("/")), takes_get, "{matches:?}");
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
        absent: Absent::Unequal,
    }];
    matches.params = vec![ParamMatch {
        name: "v".into(),
        value: TextMatch::Prefix("2".into()),
        invert: false,
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
        absent: Absent::Unequal,
    }];
    let mut head = get("/");
    assert!(takes(matches.clone(), &head));
    head.append("x-canary", "1");
    assert!(!takes(matches, &head));
}

/// Envoy 1.40: conditions look at each value.
#[test]
fn of_several_values_one_must_match_and_none_where_turned_round() {
    let rows: [(&[&str], bool, bool); 6] = [
        (&["gold"], true, false),
        (&["tin", "gold"], true, false),
        (&["gold", "tin"], true, false),
        (&["tin", "tin"], false, true),
        (&["gold,tin"], false, true),
        (&[], false, false),
    ];
    for (values, plain, inverted) in rows {
        let mut head = get("/");
        for value in values {
            head.append("x-tier", value);
        }
        for (invert, expected) in [(false, plain), (true, inverted)] {
            let condition = HeaderMatch {
                name: "x-tier".into(),
                value: TextMatch::Exact("gold".into()),
                invert,
                ignore_case: false,
                absent: Absent::Refused,
            };
            let holds = view(&head).matches(&condition);
            assert_eq!(holds, expected, "{values:?}, inverted: {invert}");
        }
    }
}

#[test]
fn an_absent_header_counts_as_its_condition_says() {
    for (absent, value, plain, inverted) in [
        (Absent::Unequal, "", false, true),
        (Absent::Refused, "", false, false),
        (Absent::Empty, "", true, false),
        (Absent::Empty, "gold", false, true),
    ] {
        for (invert, expected) in [(false, plain), (true, inverted)] {
            let condition = HeaderMatch {
                name: "x-tier".into(),
                value: TextMatch::Exact(value.into()),
                invert,
                ignore_case: false,
                absent,
            };
            let holds = view(&get("/")).matches(&condition);
            assert_eq!(holds, expected, "{absent:?} {value:?}, inverted: {invert}");
        }
    }
}

#[test]
fn a_range_takes_whole_numbers_up_to_its_end() {
    let range = TextMatch::Range(-5, 10);
    for (text, expected) in [
        ("-6", false),
        ("-5", true),
        ("007", true),
        ("+9", true),
        (" 9 ", true),
        ("10", false),
        ("1.5", false),
        ("", false),
    ] {
        assert_eq!(range.matches(text), expected, "{text:?}");
    }
}

#[test]
fn a_parameter_may_have_to_be_absent() {
    let mut matches = RouteMatch::all();
    matches.params = vec![ParamMatch {
        name: "v".into(),
        value: TextMatch::Present,
        invert: true,
    }];
    for (path, expected) in [
        ("/", true),
        ("/?w=1", true),
        ("/?v", false),
        ("/?v=1", false),
    ] {
        assert_eq!(takes(matches.clone(), &get(path)), expected, "{path}");
    }
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
            PathRewrite::JoinedPrefix("/".into()),
            "/api/x",
            "/x",
        ),
        (
            "prefix to root, byte by byte",
            PathMatch::segments("/api"),
            PathRewrite::Prefix("/".into()),
            "/api/x",
            "//x",
        ),
        (
            "slashes stay as they are",
            PathMatch::Prefix("/".into()),
            PathRewrite::Prefix("/v2/".into()),
            "//x",
            "/v2//x",
        ),
        (
            "prefix to root, nothing left",
            PathMatch::segments("/api"),
            PathRewrite::JoinedPrefix("/".into()),
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
        (
            "a slash comes first",
            PathMatch::segments("/"),
            PathRewrite::Regex(Box::new(regex::Regex::new("/").expect("valid")), "-".into()),
            "/a/x",
            "/-a-x",
        ),
    ];
    for (name, path, rewrite, from, to) in rows {
        let mut r = route(RouteMatch::path(path.clone()));
        if let RouteAction::Forward(f) = &mut r.action {
            f.rewrite = Some(rewrite.clone());
        }
        let head = get(from);
        let mut out = head.clone();
        write_request(&r, view(&head), Departure::PLAIN, &mut out);
        assert_eq!(out.path, *to, "{name}");
    }
}

/// A redirect to the same place of a request for `/a/b?c=1`.
fn redirected(authority: &str, scheme: &str, edit: impl FnOnce(&mut Redirect)) -> String {
    let mut redirect = Redirect {
        status: 301,
        scheme: None,
        host: None,
        port: None,
        path: None,
        strip_query: false,
        omits_own_port: false,
    };
    edit(&mut redirect);
    let mut head = get("/a/b?c=1");
    head.authority = authority.into();
    let r = route(RouteMatch::path(PathMatch::Prefix("/a".into())));
    redirect_location(&r, &redirect, scheme, view(&head))
}

/// Envoy: `processRequestHost`.
#[test]
fn a_redirect_keeps_the_port_unless_it_was_the_old_schemes() {
    type Row = (&'static str, &'static str, fn(&mut Redirect), &'static str);
    let https = |r: &mut Redirect| r.scheme = Some("https".into());
    let none = |_: &mut Redirect| ();
    let rows: [Row; 9] = [
        ("e.com:8080", "http", none, "http://e.com:8080"),
        ("e.com:80", "http", none, "http://e.com:80"),
        ("e.com:80", "http", https, "https://e.com"),
        ("e.com:443", "http", https, "https://e.com:443"),
        ("e.com:443", "https", https, "https://e.com:443"),
        ("[::1]:80", "http", https, "https://[::1]"),
        ("[::1]", "http", https, "https://[::1]"),
        ("e.com:80", "http", |r| r.port = Some(81), "http://e.com:81"),
        (
            "e.com:80",
            "http",
            |r| r.host = Some("x:9".into()),
            "http://x:9",
        ),
    ];
    for (authority, scheme, edit, expected) in rows {
        let location = redirected(authority, scheme, edit);
        assert_eq!(location, format!("{expected}/a/b?c=1"), "{authority}");
    }
}

/// The Gateway API: `HTTPRequestRedirectFilter.port`.
#[test]
fn a_port_that_is_the_schemes_own_may_be_left_out() {
    let rows: [(&str, Option<&str>, u16, &str); 6] = [
        ("http", None, 80, "http://e.com"),
        ("http", None, 443, "http://e.com:443"),
        ("https", None, 443, "https://e.com"),
        ("http", Some("https"), 443, "https://e.com"),
        ("http", Some("https"), 80, "https://e.com:80"),
        ("http", None, 8080, "http://e.com:8080"),
    ];
    for (scheme, new, port, expected) in rows {
        // whatever port the client wrote
        for authority in ["e.com", "e.com:9090", "e.com:80"] {
            let location = redirected(authority, scheme, |r| {
                r.scheme = new.map(Into::into);
                r.port = Some(port);
                r.omits_own_port = true;
            });
            assert_eq!(location, format!("{expected}/a/b?c=1"), "{authority}");
        }
    }
}

/// Envoy: `newUri`.
#[test]
fn a_redirects_path_may_bring_a_query_along() {
    let full = |path: &str| Some(PathRedirect::Full(path.into()));
    let prefix = |path: &str| Some(PathRedirect::Prefix(path.into()));
    let joined = |path: &str| Some(PathRedirect::JoinedPrefix(path.into()));
    let regex = || {
        let pattern = regex::Regex::new("/([a-z])").expect("valid");
        Some(PathRedirect::Regex(Box::new(pattern), r"/\1\1".into()))
    };
    for (path, strip_query, expected) in [
        (None, false, "/a/b?c=1"),
        (None, true, "/a/b"),
        (full("/n"), false, "/n?c=1"),
        (full("/n"), true, "/n"),
        (full("/n?d=2"), false, "/n?d=2"),
        (full("/n?d=2"), true, "/n?d=2"),
        (prefix("/n/"), false, "/n//b?c=1"),
        (prefix("/n?d=2"), false, "/n?d=2/b?c=1"),
        (prefix("/n?d=2"), true, "/n"),
        (joined("/n/"), false, "/n/b?c=1"),
        (regex(), false, "/aa/bb?c=1"),
    ] {
        let location = redirected("e.com", "http", |r| {
            r.path = path.clone();
            r.strip_query = strip_query;
        });
        let expected = format!("http://e.com{expected}");
        assert_eq!(location, expected, "{path:?}, stripped: {strip_query}");
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
    let mut departure = Departure::PLAIN;
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
        assert!(spends_controls(view(&head), true), "{name}");
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
            d.copied = Copied::Marked;
        });
        write_request(&r, view(&head), departure, &mut out);
        let value = |name| out.header(HeadId(0), name);
        assert_eq!(value("x-envoy-attempt-count"), Some("2"));
        assert_eq!(value("x-envoy-expected-rq-timeout-ms"), Some("250"));
        assert_eq!(out.authority, shadow);
    }
}

/// Envoy: `finalizeRequestHeaders` edits headers first; `updateAuthority` keeps the old host.
#[test]
fn the_host_may_be_what_an_edit_made_of_a_header() {
    for (edits, sent, original) in [
        (Vec::new(), "asked.org", Some("example.com")),
        (
            vec![HeaderOp::Set("x-host".into(), "edited.org".into())],
            "edited.org",
            Some("example.com"),
        ),
        (vec![HeaderOp::Remove("x-host".into())], "example.com", None),
    ] {
        let mut r = route(RouteMatch::all());
        r.request_edits = edits;
        if let RouteAction::Forward(f) = &mut r.action {
            f.host = Some(HostRewrite::Header("x-host".into()));
        }
        let mut head = get("/");
        head.append("x-host", "asked.org");
        let mut out = head.clone();
        write_request(&r, view(&head), departing(|_| ()), &mut out);
        assert_eq!(out.authority, sent);
        assert_eq!(out.first("x-envoy-original-host"), original);
    }
}

/// Envoy: shadow requests are made of the head that was rewritten, before there is an endpoint.
#[test]
fn a_copy_leaves_under_the_hosts_new_name_but_not_under_its_endpoints() {
    for (host, copied, sent) in [
        (
            HostRewrite::Literal("new.org".into()),
            Copied::Not,
            "new.org",
        ),
        (
            HostRewrite::Literal("new.org".into()),
            Copied::Plainly,
            "new.org",
        ),
        (
            HostRewrite::Literal("new.org:81".into()),
            Copied::Marked,
            "new.org-shadow:81",
        ),
        (HostRewrite::Endpoint, Copied::Not, "up.org"),
        (HostRewrite::Endpoint, Copied::Plainly, "example.com"),
        (HostRewrite::Endpoint, Copied::Marked, "example.com-shadow"),
    ] {
        let mut r = route(RouteMatch::all());
        if let RouteAction::Forward(f) = &mut r.action {
            f.host = Some(host.clone());
        }
        let head = get("/");
        let mut out = head.clone();
        let departure = departing(|d| {
            d.endpoint_host = "up.org";
            d.copied = copied;
        });
        write_request(&r, view(&head), departure, &mut out);
        assert_eq!(out.authority, sent, "{host:?} {copied:?}");
        let internal = out.first("x-envoy-internal");
        assert_eq!(internal.is_some(), copied != Copied::Not, "{copied:?}");
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
    for (to, tells) in [("/v2", true), ("/api", true), ("/v2", false)] {
        let mut r = route(RouteMatch::path(PathMatch::Prefix("/api".into())));
        if let RouteAction::Forward(f) = &mut r.action {
            f.rewrite = Some(PathRewrite::Prefix(to.into()));
        }
        let head = get("/api/x?q=1");
        let mut out = head.clone();
        write_request(&r, view(&head), departing(|d| d.tells = tells), &mut out);
        let original = tells.then_some("/api/x?q=1");
        assert_eq!(out.first("x-envoy-original-path"), original, "{to}");
        assert_eq!(out.path, format!("{to}/x?q=1"));
    }
}

/// Envoy: `x-envoy-original-host`, `append_x_forwarded_host`.
#[test]
fn a_rewritten_authority_is_told_where_it_is_to_be() {
    for (name, forwarded, came, tells, want) in [
        (
            "told",
            true,
            None,
            true,
            (Some("example.com"), Some("example.com")),
        ),
        (
            "behind another",
            true,
            Some("before"),
            true,
            (Some("before + example.com"), Some("example.com")),
        ),
        (
            "not twice",
            true,
            Some("before,example.com"),
            true,
            (Some("before,example.com"), Some("example.com")),
        ),
        (
            "not asked for",
            false,
            None,
            true,
            (None, Some("example.com")),
        ),
        ("silent", true, None, false, (Some("example.com"), None)),
    ] {
        let mut r = route(RouteMatch::all());
        if let RouteAction::Forward(f) = &mut r.action {
            f.host = Some(HostRewrite::Literal("new.example".into()));
            f.forwarded_host = forwarded;
        }
        let mut head = get("/");
        if let Some(came) = came {
            head.append("x-forwarded-host", came);
        }
        let mut out = head.clone();
        write_request(&r, view(&head), departing(|d| d.tells = tells), &mut out);
        let values = |name: &str| {
            let values = out.headers.iter().filter(|(it, _)| it == name);
            let values: Vec<_> = values.map(|(_, value)| value.as_str()).collect();
            (!values.is_empty()).then(|| values.join(" + "))
        };
        let got = (values("x-forwarded-host"), values("x-envoy-original-host"));
        assert_eq!((got.0.as_deref(), got.1.as_deref()), want, "{name}");
        assert_eq!(out.authority, "new.example", "{name}");
    }
}

/// Envoy: `RouteEntryImplBase::finalizeRequestHeaders`, `Filter::decodeHeaders`.
#[test]
fn edits_see_what_the_try_is_told_and_rewrites_see_the_edits() {
    let set = |name: &str, value: &str| HeaderOp::Set(name.into(), value.into());
    let mut r = route(RouteMatch::path(PathMatch::Prefix("/api".into())));
    r.request_edits = vec![
        set("x-envoy-expected-rq-timeout-ms", "mine"),
        set("x-envoy-attempt-count", "mine"),
        set("x-envoy-original-path", "mine"),
        set("x-host", "by-edit"),
    ];
    if let RouteAction::Forward(f) = &mut r.action {
        f.rewrite = Some(PathRewrite::Prefix("/v2".into()));
        f.host = Some(HostRewrite::Header("x-host".into()));
    }
    let mut head = get("/api");
    head.append("x-host", "by-client");
    for (attempt, count) in [(1, "mine"), (2, "2")] {
        let mut out = head.clone();
        let departure = departing(|d| {
            d.attempt_count = Some(attempt);
            d.timeout_ms = 250;
        });
        write_request(&r, view(&head), departure, &mut out);
        let value = |name| out.header(HeadId(0), name);
        assert_eq!(value("x-envoy-expected-rq-timeout-ms"), Some("mine"));
        assert_eq!(value("x-envoy-attempt-count"), Some(count));
        assert_eq!(value("x-envoy-original-path"), Some("/api"));
        assert_eq!(out.authority, "by-edit");
    }
}
