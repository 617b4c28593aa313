use proxy_core::time::Duration;

use super::harness::{Asks, Read, Request, forward};

const REVIEWS: &str = "reviews.default.svc.cluster.local";

fn delegated(root: &str, delegate: &str) -> Read {
    let indent =
        |text: &str| -> String { text.lines().map(|line| format!("  {line}\n")).collect() };
    Read::yaml(&format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: root}}
spec:\n  hosts: [reviews]\n{}---
apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: leaf, namespace: far}}
spec:\n{}",
        indent(root),
        indent(delegate)
    ))
}

#[test]
fn the_delegates_rules_stand_in_the_place_of_the_rule_that_names_it() {
    let read = delegated(
        "http:
- match: [{uri: {prefix: /a}}]
  delegate: {name: leaf, namespace: far}
  timeout: 3s
- directResponse: {status: 204}",
        "http:
- match: [{uri: {prefix: /a/b}}]
  directResponse: {status: 200}
- match: [{uri: {prefix: /other}}]
  directResponse: {status: 201}
- route: [{destination: {host: other}}]",
    );
    let rows = [
        ("/a/b/c", "200"),
        // the delegate's host is of the delegate's namespace
        ("/a/x", "other.far:9080"),
        ("/other", "204"),
        ("/", "204"),
    ];
    for (path, expected) in rows {
        assert_eq!(read.decide(&Request::get(path)), expected, "{path}");
    }
    let (routes, _) = read.routes(&Asks::of(REVIEWS)).expect("routes");
    let timeout = forward(&routes[1]).timeout;
    assert_eq!(timeout.value, Some(Duration::from_secs(3)));
    // a condition that no request can meet is a rule that is left out
    assert!(read.problems().contains("istio::delegate"));
}

#[test]
fn conditions_of_both_must_hold() {
    let rows = [
        ("{uri: {prefix: /a}}", "{uri: {exact: /a/b}}", true),
        ("{uri: {exact: /a}}", "{uri: {exact: /a}}", true),
        ("{uri: {exact: /a}}", "{uri: {exact: /b}}", false),
        ("{uri: {exact: /a}}", "{uri: {prefix: /a}}", false),
        ("{uri: {prefix: /a/b}}", "{uri: {prefix: /a}}", false),
        ("{uri: {regex: '/a'}}", "{uri: {exact: /a}}", false),
        ("{uri: {prefix: /a}}", "{method: {exact: GET}}", true),
        (
            "{headers: {x: {exact: a}}}",
            "{headers: {x: {exact: b}}}",
            false,
        ),
        (
            "{headers: {x: {exact: a}}}",
            "{headers: {y: {exact: b}}}",
            true,
        ),
        ("{port: 9080}", "{port: 80}", false),
        ("{port: 9080}", "{uri: {prefix: /}}", true),
        (
            "{uri: {prefix: /a}, ignoreUriCase: true}",
            "{uri: {prefix: /a/b}}",
            false,
        ),
    ];
    for (root, leaf, fits) in rows {
        let read = delegated(
            &format!("http: [{{match: [{root}], delegate: {{name: leaf, namespace: far}}}}]"),
            &format!("http: [{{match: [{leaf}], directResponse: {{status: 200}}}}]"),
        );
        let routes = read.routes(&Asks::of(REVIEWS));
        assert_eq!(routes.is_some(), fits, "{root} {leaf}");
        assert_eq!(read.problems().is_empty(), fits, "{root} {leaf}");
    }
}

#[test]
fn a_delegate_must_be_there_and_seen() {
    let root = "http: [{delegate: {name: leaf, namespace: far}}]";
    let rows = [
        ("http: [{directResponse: {status: 200}}]", ""),
        (
            "http: [{directResponse: {status: 200}}]\nexportTo: [default]",
            "",
        ),
        (
            "http: [{directResponse: {status: 200}}]\nexportTo: ['.']",
            "istio::unknown-delegate",
        ),
        (
            "hosts: [ratings]\nhttp: [{directResponse: {status: 200}}]",
            "istio::unknown-delegate",
        ),
        ("http: [{delegate: {name: leaf}}]", "istio::delegate"),
    ];
    for (leaf, code) in rows {
        let read = delegated(root, leaf);
        let problems = read.problems();
        if code.is_empty() {
            assert_eq!(problems, "", "{leaf}");
            assert_eq!(read.decide(&Request::get("/")), "200", "{leaf}");
        } else {
            assert!(problems.contains(code), "{leaf}: {problems}");
        }
    }
}
