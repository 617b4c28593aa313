//! Service profiles, field by field.

use proxy_core::config::RetryBudget;
use proxy_core::retry::budget::RateBudget;

use super::*;

fn profile(spec: &str) -> String {
    format!(
        "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\nmetadata: {{name: a.default.svc.cluster.local}}\nspec: {spec}\n"
    )
}

/// A profile with one route of this condition, which is tried again.
fn asking(condition: &str) -> Cluster_ {
    Cluster_::with(&profile(&format!(
        "{{routes: [{{name: asked, condition: {condition}, isRetryable: true}}]}}"
    )))
}

#[test]
fn conditions_hold_as_they_are_nested() {
    type Row = (
        &'static str,
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static [(&'static str, &'static str)],
    );
    let rows: [Row; 11] = [
        (
            "a path whole",
            "{pathRegex: '/a'}",
            &[("GET", "/a"), ("PUT", "/a?x=1")],
            &[("GET", "/a/b"), ("GET", "/x/a")],
        ),
        (
            "anchors that are written",
            "{pathRegex: '^/a/.*$'}",
            &[("GET", "/a/b")],
            &[("GET", "/b/a/c")],
        ),
        (
            "a method",
            "{method: POST}",
            &[("POST", "/any")],
            &[("GET", "/any")],
        ),
        (
            "both",
            "{method: POST, pathRegex: '/a'}",
            &[("POST", "/a")],
            &[("GET", "/a"), ("POST", "/b")],
        ),
        (
            "all",
            "{all: [{method: POST}, {pathRegex: '/a'}]}",
            &[("POST", "/a")],
            &[("GET", "/a")],
        ),
        (
            "all of two patterns",
            "{all: [{pathRegex: '/a.*'}, {pathRegex: '.*z'}]}",
            &[("GET", "/a/z")],
            &[("GET", "/a"), ("GET", "/z")],
        ),
        (
            "any",
            "{any: [{method: POST}, {pathRegex: '/a'}]}",
            &[("POST", "/b"), ("GET", "/a")],
            &[("GET", "/b")],
        ),
        (
            "any beside a method",
            "{method: GET, any: [{pathRegex: '/a'}, {pathRegex: '/b'}]}",
            &[("GET", "/a"), ("GET", "/b")],
            &[("POST", "/a")],
        ),
        (
            "not",
            "{not: {method: GET}}",
            &[("POST", "/a")],
            &[("GET", "/a")],
        ),
        (
            "not any",
            "{not: {any: [{method: GET}, {pathRegex: '/a'}]}}",
            &[("POST", "/b")],
            &[("POST", "/a"), ("GET", "/b")],
        ),
        (
            "not all, within another",
            "{all: [{pathRegex: '/.*'}, {not: {all: [{method: GET}, {pathRegex: '/a'}]}}]}",
            &[("GET", "/b"), ("POST", "/a")],
            &[("GET", "/a")],
        ),
    ];
    for (name, condition, taken, left) in rows {
        let mut cluster = asking(condition);
        for (requests, expected) in [(taken, "asked"), (left, "default")] {
            for (method, path) in requests {
                let request = Request {
                    method,
                    path,
                    headers: &[],
                };
                let (route, _) = cluster.call(&request).expect("a route");
                assert_eq!(&*route.name, expected, "{name}: {method} {path}");
            }
        }
        assert_eq!(cluster.problems(), "", "{name}");
    }
}

#[test]
fn of_alternatives_in_a_pattern_each_has_one_anchor() {
    let mut cluster = asking("{pathRegex: '/a|/b'}");
    let rows = [
        ("/a", "asked"),
        ("/abc", "asked"),
        ("/x/b", "asked"),
        ("/x/a", "default"),
        ("/b/c", "default"),
    ];
    for (path, expected) in rows {
        assert_eq!(
            &*cluster.get(path).expect("a route").0.name,
            expected,
            "{path}"
        );
    }
    let mut grouped = asking("{pathRegex: '(/a|/b)'}");
    assert_eq!(&*grouped.get("/abc").expect("a route").0.name, "default");
}

#[test]
fn conditions_that_cannot_be_are_located() {
    let many = |letter: &str| {
        let all: Vec<String> = (0..9)
            .map(|nth| format!("{{pathRegex: '/{letter}{nth}'}}"))
            .collect();
        format!("{{any: [{}]}}", all.join(", "))
    };
    let many = format!("{{all: [{}, {}]}}", many("a"), many("b"));
    let rows = [
        ("{}", "error[linkerd::condition]"),
        ("{not: {}}", "error[linkerd::condition]"),
        ("{pathRegex: '['}", "error[linkerd::bad-regex]"),
        (
            many.as_str(),
            "not modelled[linkerd::not-modelled]: a condition of more than 64 alternatives",
        ),
        ("{pathRegx: '/a'}", "error[field::unknown]"),
    ];
    for (condition, expected) in rows {
        let mut cluster = asking(condition);
        let problems = cluster.problems();
        assert!(problems.contains(expected), "{condition}\n{problems}");
        assert_eq!(
            &*cluster.get("/a").expect("a route").0.name,
            "default",
            "{condition}"
        );
    }
}

#[test]
fn classes_say_which_answers_are_tried_again() {
    type Row = (
        &'static str,
        &'static str,
        &'static [u16],
        &'static [u16],
        bool,
    );
    // failures, successes, and whether calls fail by their own status
    let rows: [Row; 9] = [
        ("none: 5xx", "[]", &[500, 503, 599], &[200, 404, 499], true),
        (
            "a range more",
            "[{condition: {status: {min: 404, max: 404}}, isFailure: true}]",
            &[404, 500],
            &[403],
            true,
        ),
        (
            "a range less",
            "[{condition: {status: {min: 501, max: 501}}, isFailure: false}]",
            &[500],
            &[501],
            true,
        ),
        (
            "without a word they are successes",
            "[{condition: {status: {min: 500, max: 599}}}]",
            &[],
            &[500, 599],
            true,
        ),
        (
            "the first class decides",
            "[{condition: {status: {min: 500, max: 500}}, isFailure: false}, {condition: {status: {min: 400, max: 599}}, isFailure: true}]",
            &[400, 501],
            &[500],
            true,
        ),
        (
            "any",
            "[{condition: {any: [{status: {min: 409, max: 409}}, {status: {min: 429, max: 429}}]}, isFailure: true}]",
            &[409, 429],
            &[410],
            true,
        ),
        (
            "all",
            "[{condition: {all: [{status: {min: 400, max: 450}}, {status: {min: 440, max: 499}}]}, isFailure: true}]",
            &[440, 450],
            &[439, 451],
            true,
        ),
        (
            "not: answers of 200, too",
            "[{condition: {not: {status: {min: 300, max: 599}}}, isFailure: false}]",
            &[500],
            &[200],
            false,
        ),
        (
            "one that takes everything",
            "[{condition: {status: {min: 100, max: 599}}, isFailure: true}]",
            &[200, 404],
            &[],
            false,
        ),
    ];
    for (name, classes, failures, successes, by_code) in rows {
        let mut cluster = Cluster_::with(&profile(&format!(
            "{{routes: [{{name: asked, condition: {{method: GET}}, isRetryable: true, responseClasses: {classes}}}]}}"
        )));
        let retry = cluster.retry("/");
        let all =
            |statuses: &[u16], is| statuses.iter().all(|it| retry.statuses.contains(it) == is);
        assert!(all(failures, true) && all(successes, false), "{name}");
        assert_eq!(!retry.headers.is_empty(), by_code, "{name}");
        assert_eq!(cluster.problems(), "", "{name}");
    }
}

#[test]
fn calls_fail_by_six_statuses() {
    let mut cluster = asking("{method: GET}");
    let retry = cluster.retry("/");
    let failures = (0..=16).filter(|code| retry.headers[0].value.matches(&code.to_string()));
    assert_eq!(failures.collect::<Vec<u32>>(), [2, 4, 7, 13, 14, 15]);
}

#[test]
fn classes_that_take_nothing_are_told() {
    let rows = [
        (
            "{status: {min: 429}}",
            "warning[linkerd::ignored]: Linkerd's proxies drop a range of statuses with one bound",
        ),
        ("{status: {max: 404}}", "warning[linkerd::ignored]"),
        ("{status: {min: 99, max: 200}}", "error[linkerd::status]"),
        ("{status: {min: 500, max: 400}}", "error[linkerd::status]"),
    ];
    for (condition, expected) in rows {
        let mut cluster = Cluster_::with(&profile(&format!(
            "{{routes: [{{name: asked, condition: {{method: GET}}, isRetryable: true, responseClasses: [{{condition: {condition}, isFailure: true}}]}}]}}"
        )));
        assert_eq!(
            cluster.retry("/").statuses.len(),
            100,
            "{condition}: 5xx alone"
        );
        let problems = cluster.problems();
        assert!(problems.contains(expected), "{condition}\n{problems}");
    }
}

#[test]
fn budgets_have_their_bounds() {
    let of = |spec: &str| {
        let mut cluster = Cluster_::with(&profile(spec));
        let (_, clusters) = cluster.get("/").expect("a route");
        let budget = clusters[0].retry_budget.expect("a budget").value;
        (budget, cluster.problems())
    };
    let made = |ratio, least, seconds| {
        RetryBudget::Rate(
            RateBudget::new(ratio, least, Duration::from_secs(seconds)).expect("a budget"),
        )
    };
    let written = |ratio: &str, least: &str, ttl: &str| {
        format!(
            "{{retryBudget: {{retryRatio: {ratio}, minRetriesPerSecond: {least}, ttl: {ttl}}}}}"
        )
    };
    let rows = [
        ("none: Linkerd's", "{}".to_owned(), made(0.2, 10, 10)),
        ("set", written("0.5", "0", "20s"), made(0.5, 0, 20)),
        (
            "no retries but those of each second",
            written("0", "3", "1s"),
            made(0.0, 3, 1),
        ),
        (
            "the longest",
            written("1000", "1", "1m"),
            made(1_000.0, 1, 60),
        ),
    ];
    for (name, spec, expected) in rows {
        assert_eq!(of(&spec), (expected, String::new()), "{name}");
    }
    for (ratio, ttl) in [
        ("0.2", "0s"),
        ("0.2", "61s"),
        ("0.2", "soon"),
        ("-1", "10s"),
        ("1001", "10s"),
    ] {
        let (budget, problems) = of(&written(ratio, "1", ttl));
        assert_eq!(budget, made(0.2, 10, 10), "{ratio} {ttl}");
        assert!(
            problems.contains("error[linkerd::budget]"),
            "{ratio} {ttl}\n{problems}"
        );
    }
}

#[test]
fn overrides_take_the_place_of_the_service() {
    let shares = |overrides: &str| {
        let mut cluster = Cluster_::with(&profile(&format!("{{dstOverrides: {overrides}}}")));
        let forward = cluster.forward("/");
        let weights: Vec<u32> = forward.clusters.iter().map(|it| it.weight).collect();
        (weights, cluster.problems())
    };
    let (a, b) = (
        "a.default.svc.cluster.local:80",
        "b.default.svc.cluster.local",
    );
    let rows = [
        ("none: the Service", "[]".to_owned(), vec![1]),
        (
            "whole numbers",
            format!("[{{authority: '{a}', weight: 9}}, {{authority: '{b}', weight: 1}}]"),
            vec![9_000, 1_000],
        ),
        (
            "thousandths",
            format!("[{{authority: '{a}', weight: 900m}}, {{authority: '{b}.', weight: 100m}}]"),
            vec![900, 100],
        ),
    ];
    for (name, overrides, expected) in rows {
        assert_eq!(shares(&overrides), (expected, String::new()), "{name}");
    }
    for (overrides, expected) in [
        (
            format!("[{{authority: '{a}', weight: much}}]"),
            "error[linkerd::weight]",
        ),
        (
            "[{authority: 'c.other.svc.cluster.local:80', weight: 1}]".to_owned(),
            "error[linkerd::unknown-service]",
        ),
    ] {
        let (_, problems) = shares(&overrides);
        assert!(problems.contains(expected), "{overrides}\n{problems}");
    }
}

#[test]
fn routes_bound_all_their_tries_together() {
    let of = |timeout: &str| {
        let mut cluster = Cluster_::with(&profile(&format!(
            "{{routes: [{{name: asked, condition: {{method: GET}}{timeout}}}]}}"
        )));
        (cluster.forward("/").timeout.value, cluster.problems())
    };
    assert_eq!(of(""), (None, String::new()));
    assert_eq!(
        of(", timeout: 1m1s"),
        (Some(Duration::from_secs(61)), String::new())
    );
    assert_eq!(of(", timeout: 0s"), (None, String::new()));
    let (timeout, problems) = of(", timeout: later");
    assert!(
        timeout.is_none() && problems.contains("error[linkerd::duration]"),
        "{problems}"
    );
}

#[test]
fn a_profile_of_the_callers_namespace_comes_first() {
    let of = |namespace: &str, name: &str| {
        profile(&format!(
            "{{routes: [{{name: {name}, condition: {{method: GET}}}}]}}"
        ))
        .replace(
            "metadata: {",
            &format!("metadata: {{namespace: {namespace}, "),
        )
    };
    let both = format!("{}---\n{}", of("default", "own"), of("shop", "callers"));
    for (namespace, expected) in [("default", "own"), ("shop", "callers"), ("other", "own")] {
        let mut cluster = Cluster_::with(&both);
        cluster.workloads[1].namespace = namespace.into();
        assert_eq!(
            &*cluster.get("/").expect("a route").0.name,
            expected,
            "{namespace}"
        );
    }
}

#[test]
fn a_profile_adds_to_the_ports_that_are_not_looked_into() {
    let mut cluster = Cluster_::with(&profile("{opaquePorts: ['80', '90-91']}"));
    let section = cluster.outbound();
    let listener = section
        .listener(Arrival::Outbound, SocketAddr::new(ip(0), 80))
        .expect("a listener");
    let chains = &section.listeners()[listener as usize].chains;
    assert!(matches!(chains[..], [ref only] if matches!(only.action, ChainAction::Tcp(_))));
    let problems = Cluster_::with(&profile("{opaquePorts: ['80', x]}")).problems();
    assert!(
        problems.contains("error[linkerd::ports]: `x` is no port"),
        "{problems}"
    );
}

#[test]
fn a_profile_of_no_service_is_an_error() {
    let wrong = profile("{}").replace("a.default", "aa.default");
    let problems = Cluster_::with(&wrong).problems();
    assert!(
        problems.contains("error[linkerd::unknown-service]: no Service is called `aa.default.svc.cluster.local`: did you mean"),
        "{problems}"
    );
}
