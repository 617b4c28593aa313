//! Fields of Mappings: what is written, what holds without them, and what is refused.

use proxy_core::config::{CorsList, HostRewrite, PathRewrite, Priority, RouteAction};
use proxy_core::retry::conditions::Condition;
use proxy_core::time::Duration;

use super::rig::*;

#[test]
fn without_a_word_a_request_has_three_seconds_and_one_try() {
    let built = with("");
    built.is_clean();
    let forward = built.forward();
    assert_eq!(forward.timeout.value, Some(Duration::from_secs(3)));
    assert_eq!(
        built.origin(forward.timeout.origin),
        "default of emissary@4.1"
    );
    assert!(forward.retry.is_none());
    assert!(forward.idle_timeout.is_none());
    assert!(matches!(&forward.rewrite, Some(PathRewrite::Prefix(to)) if &**to == "/"));
    assert_eq!(forward.priority, Priority::Default);
    let route = built.route();
    assert!(!route.matches.ignore_case);
    assert_eq!(route.matches.fraction, None);
    assert_eq!(built.origin(route.origin), "edge.yaml:55");
    // Envoy's five minutes
    let silence = built.http().stream_idle_timeout.map(|it| it.value);
    assert_eq!(silence, Some(Duration::from_secs(300)));
}

#[test]
fn timeouts_are_in_milliseconds_and_zero_is_none() {
    for (spec, millis) in [
        ("timeout_ms: 1500", Some(1500)),
        ("timeout_ms: 0", None),
        ("timeout_ms: 1", Some(1)),
    ] {
        let timeout = with(spec).forward().timeout.value;
        assert_eq!(timeout.map(Duration::as_millis), millis, "{spec}");
    }
    let idle = with("idle_timeout_ms: 250").forward().idle_timeout;
    assert_eq!(idle.map(|it| it.value.as_millis()), Some(250));
    for (spec, connect) in [("", 3000), ("connect_timeout_ms: 500", 500)] {
        let cluster = with(spec).cluster();
        assert_eq!(cluster.connect_timeout.value.as_millis(), connect, "{spec}");
    }
    assert!(with("connect_timeout_ms: 0").problems.has_errors());
    for (spec, idle, life) in [
        ("", 3_600_000, None),
        ("cluster_idle_timeout_ms: 9000", 9000, None),
        ("cluster_idle_timeout_ms: 0", 3_600_000, None),
        (
            "cluster_max_connection_lifetime_ms: 7000",
            3_600_000,
            Some(7000),
        ),
    ] {
        let pool = with(spec).cluster().pool;
        assert_eq!(
            pool.idle_timeout.map(|it| it.value.as_millis()),
            Some(idle),
            "{spec}"
        );
        assert_eq!(
            pool.max_duration.map(|it| it.value.as_millis()),
            life,
            "{spec}"
        );
    }
}

#[test]
fn what_takes_the_place_of_the_prefix() {
    for (spec, path, want) in [
        ("", "/x/y?q=1", "/y?q=1"),
        ("rewrite: /z/", "/x/y", "/z/y"),
        ("rewrite: ''", "/x/y", "/x/y"),
        (
            "regex_rewrite: {pattern: '/x/([a-z]+)/(\\d+)', substitution: '/\\2/\\1'}",
            "/x/y/7",
            "/7/y",
        ),
        (
            "regex_rewrite: {pattern: '/nothing', substitution: '/z'}",
            "/x/y",
            "/x/y",
        ),
        ("prefix_exact: true", "/x/", "/"),
        ("prefix_regex: true", "/x/", "/"),
        ("case_sensitive: false", "/X/y", "/y"),
    ] {
        let got = with(spec).get("h", path);
        assert_eq!(got, format!("a_default {want}"), "{spec}");
    }
    let both = with("rewrite: /z/, regex_rewrite: {pattern: '^/x', substitution: '/w'}");
    assert!(both.has("emissary::rewrite"), "{}", both.text);
    assert_eq!(both.get("h", "/x/y"), "a_default /w/y");
    // a pattern has the whole path, and `/` takes the place of what matched
    let regex = served(&[mapping(
        "m",
        "{prefix: '/x/.*', prefix_regex: true, service: a}",
    )]);
    assert_eq!(regex.get("h", "/x/y/z"), "a_default /");
    assert!(with("regex_rewrite: {pattern: '('}").has("emissary::bad-regex"));
}

#[test]
fn the_host_is_kept_rewritten_or_the_endpoints() {
    assert_eq!(
        with("host_rewrite: b.com").get("h", "/x/"),
        "a_default at b.com /"
    );
    let host = with("auto_host_rewrite: true").forward().host;
    assert!(matches!(host, Some(HostRewrite::Endpoint)));
    assert!(with("auto_host_rewrite: false").forward().host.is_none());
}

#[test]
fn retries_have_one_condition() {
    for (word, condition) in [
        ("5xx", Condition::ServerError),
        ("gateway-error", Condition::GatewayError),
        ("connect-failure", Condition::ConnectFailure),
        ("retriable-4xx", Condition::Retriable4xx),
        ("refused-stream", Condition::RefusedStream),
        ("retriable-status-codes", Condition::RetriableStatusCodes),
    ] {
        let retry = with(&format!("retry_policy: {{retry_on: {word}}}"))
            .forward()
            .retry;
        let retry = retry.expect("retries");
        assert_eq!(
            retry.on.value.iter().collect::<Vec<_>>(),
            [condition],
            "{word}"
        );
        assert_eq!((retry.retries.value, retry.per_try_timeout), (1, None));
        assert!(retry.statuses.is_empty() && retry.avoid_previous.is_none());
    }
    let full = with("retry_policy: {retry_on: 5xx, num_retries: 4, per_try_timeout: 0.5s}");
    full.is_clean();
    let retry = full.forward().retry.expect("retries");
    assert_eq!(retry.retries.value, 4);
    assert_eq!(
        retry.per_try_timeout.map(|it| it.value.as_millis()),
        Some(500)
    );
    for (spec, code) in [
        ("{retry_on: reset}", "emissary::retry-on"),
        ("{retry_on: '5xx,reset'}", "emissary::retry-on"),
        ("{num_retries: 3}", "emissary::retry-on"),
        (
            "{retry_on: 5xx, per_try_timeout: 500ms}",
            "emissary::duration",
        ),
        ("{retry_on: 5xx, num_retries: -1}", "field::type"),
        ("{retry_on: 5xx, numRetries: 1}", "field::unknown"),
    ] {
        let built = with(&format!("retry_policy: {spec}"));
        assert!(
            built.has(code) && built.problems.has_errors(),
            "{spec}\n{}",
            built.text
        );
    }
}

#[test]
fn headers_are_added_beside_others_or_in_their_place_and_taken_out() {
    let added = with(
        "add_request_headers: {x-a: {value: one}, x-b: {value: two, append: false}, x-c: {value: ''}, x-d: {value: 50%%}}",
    );
    added.is_clean();
    let ask = Ask {
        headers: &[("x-a", "zero"), ("x-b", "zero")],
        ..get("h", "/x/")
    };
    assert_eq!(
        added.ask(ask),
        "a_default / x-a=zero x-a=one x-b=two x-d=50%"
    );
    let removed = with("remove_request_headers: [X-A], add_request_headers: {x-a: {value: new}}");
    assert_eq!(removed.ask(ask), "a_default / x-b=zero x-a=new");
    let answers = with("add_response_headers: {x-a: {value: one}}, remove_response_headers: [x-b]");
    assert_eq!(answers.route().response_edits.len(), 2);
    assert!(with("add_request_headers: {':path': {value: x}}").has("emissary::header"));
    assert!(with("add_request_headers: {x: {value: '%REQ(a)%'}}").has("emissary::not-modelled"));
    assert!(with("add_request_headers: {x: one}").has("emissary::field"));
    assert!(with("add_request_headers: {x: [one]}").has("field::type"));
    assert!(with("remove_request_headers: x").has("emissary::field"));
    let linkerd = with("add_linkerd_headers: true").get("h", "/x/");
    assert_eq!(linkerd, "a_default / l5d-dst-override=a.default:80");
}

#[test]
fn conditions_on_methods_headers_and_parameters_hold_together() {
    let ask = Ask {
        headers: &[("x-a", "one")],
        ..get("h", "/x/?q=1")
    };
    for (spec, want) in [
        ("method: GET", true),
        ("method: POST", false),
        ("method: 'GET|HEAD', method_regex: true", true),
        ("method: 'G', method_regex: true", false),
        ("headers: {x-a: one}", true),
        ("headers: {X-A: one}", true),
        ("headers: {x-a: two}", false),
        ("headers: {x-b: one}", false),
        ("regex_headers: {x-a: 'o.*'}", true),
        ("regex_headers: {x-a: 'o'}", false),
        ("query_parameters: {q: '1'}", true),
        ("query_parameters: {q: '2'}", false),
        ("regex_query_parameters: {q: '[0-9]'}", true),
        ("headers: {x-a: one}, query_parameters: {q: '2'}", false),
    ] {
        let built = with(spec);
        built.is_clean();
        assert_eq!(built.ask(ask) != "404", want, "{spec}");
    }
    assert!(with("regex_headers: {x-a: '('}").has("emissary::bad-regex"));
    assert!(with("headers: {x-a: true}").has("emissary::field"));
    assert!(with("headers: {x-a: 1}").has("field::type"));
}

#[test]
fn a_host_redirect_sends_clients_elsewhere() {
    let redirect = |spec: &str| {
        served(&[mapping(
            "m",
            &format!("{{prefix: /x/, service: example.com, host_redirect: true, {spec}}}"),
        )])
    };
    for (spec, want) in [
        ("", "301 http://example.com/x/y?q=1"),
        ("path_redirect: /new", "301 http://example.com/new?q=1"),
        ("prefix_redirect: /new/", "301 http://example.com/new/y?q=1"),
        (
            "regex_redirect: {pattern: '/x/(.*)', substitution: '/\\1/'}",
            "301 http://example.com/y/?q=1",
        ),
        (
            "redirect_response_code: 308",
            "308 http://example.com/x/y?q=1",
        ),
    ] {
        let built = redirect(spec);
        built.is_clean();
        assert_eq!(built.get("h", "/x/y?q=1"), want, "{spec}");
    }
    assert!(redirect("redirect_response_code: 300").has("emissary::redirect"));
    let several = redirect("path_redirect: /one, prefix_redirect: /two");
    assert!(several.has("emissary::redirect"));
    assert_eq!(several.get("h", "/x/"), "301 http://example.com/one");
    let with_others = served(&[
        mapping("m", "{prefix: /x/, service: a}"),
        mapping(
            "r",
            "{prefix: /x/, service: example.com, host_redirect: true}",
        ),
    ]);
    assert!(with_others.has("emissary::left-out"));
    assert_eq!(with_others.get("h", "/x/"), "a_default /");
}

#[test]
fn upgrades_are_allowed_by_name() {
    let kinds = |spec: &str| {
        let upgrades = with(spec).forward().upgrades;
        upgrades
            .iter()
            .map(|it| it.kind.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(""), [""; 0]);
    assert_eq!(
        kinds("allow_upgrade: [websocket, spdy/3.1]"),
        ["websocket", "spdy/3.1"]
    );
    assert_eq!(kinds("use_websocket: true"), ["websocket"]);
}

#[test]
fn pages_of_other_origins_are_allowed_as_the_mapping_says() {
    let built = with(
        "cors: {origins: ['http://a.com'], methods: [GET, POST], headers: [x-a], exposed_headers: [x-b, x-c], credentials: true, max_age: '600'}",
    );
    built.is_clean();
    let cors = built.route().cors.expect("cors");
    assert!(cors.allows("http://a.com") && !cors.allows("http://b.com"));
    assert_eq!(cors.methods, Some(CorsList::Text("GET, POST".into())));
    assert_eq!(cors.headers, Some(CorsList::Text("x-a".into())));
    assert_eq!(cors.expose.as_deref(), Some("x-b, x-c"));
    assert_eq!(cors.max_age.as_deref(), Some("600"));
    assert!(cors.credentials && cors.forwards_others && !cors.exposes_early);
    assert!(
        with("cors: {origins: ['*']}")
            .route()
            .cors
            .expect("cors")
            .allows("x")
    );
    assert!(with("cors: {origins: http://a.com}").has("emissary::field"));
    assert!(with("").route().cors.is_none());
}

#[test]
fn a_priority_has_limits_of_its_own() {
    assert_eq!(with("priority: HIGH").forward().priority, Priority::High);
    assert_eq!(
        with("priority: DEFAULT").forward().priority,
        Priority::Default
    );
    assert!(with("priority: MIDDLE").has("emissary::priority"));
}

#[test]
fn fields_that_nothing_is_made_of_are_told() {
    for (spec, code) in [
        ("dns_type: logical_dns", "emissary::not-modelled"),
        ("enable_ipv4: true", "emissary::not-modelled"),
        ("enable_ipv6: true", "emissary::not-modelled"),
        ("respect_dns_ttl: true", "emissary::not-modelled"),
        ("keepalive: {probes: 3}", "emissary::not-modelled"),
        ("auth_context_extensions: {a: b}", "emissary::not-modelled"),
        ("outlier_detection: x", "emissary::ignored"),
        ("error_response_overrides: []", "emissary::ignored"),
        ("bypass_error_response_overrides: true", "emissary::ignored"),
        ("modules: []", "emissary::ignored"),
        ("envoy_override: {}", "emissary::ignored"),
        ("timout_ms: 1", "field::unknown"),
    ] {
        let built = with(spec);
        assert!(built.has(code), "{spec}\n{}", built.text);
        assert_eq!(
            built.problems.has_errors(),
            code == "field::unknown",
            "{spec}"
        );
    }
    for spec in [
        "docs: {path: /docs}",
        "stats_name: x",
        "labels: {ambassador: []}",
        "bypass_auth: true",
    ] {
        with(spec).is_clean();
    }
}

#[test]
fn a_mapping_needs_a_prefix_and_a_service() {
    for spec in [
        "{hostname: '*', service: a}",
        "{hostname: '*', prefix: /x/}",
        "{hostname: '*', prefix: '', service: a}",
    ] {
        let built = served(&[object("Mapping", "m", spec)]);
        assert!(built.has("emissary::missing"), "{spec}\n{}", built.text);
    }
}

#[test]
fn old_versions_write_several_fields_otherwise() {
    let old = |spec: &str| {
        served(&[of_version(
            "v2",
            "Mapping",
            "m",
            &format!("{{prefix: /x/, service: a, {spec}}}"),
        )])
    };
    let ask = Ask {
        headers: &[("x-a", "one")],
        ..get("h.com", "/x/?q=1")
    };
    for (spec, want) in [
        // without a host an old Mapping is of every name
        ("", "a_default /?q=1 x-a=one"),
        ("host: h.com", "a_default /?q=1 x-a=one"),
        ("host: '*.com'", "a_default /?q=1 x-a=one"),
        ("host: other.com", "404"),
        (
            "host: 'h[.]com', host_regex: true",
            "a_default /?q=1 x-a=one",
        ),
        ("headers: {x-a: true}", "a_default /?q=1 x-a=one"),
        ("headers: {x-b: true}", "404"),
        ("query_parameters: {q: true}", "a_default /?q=1 x-a=one"),
        ("query_parameters: {r: true}", "404"),
        (
            "add_request_headers: {x-b: two}",
            "a_default /?q=1 x-a=one x-b=two",
        ),
        ("remove_request_headers: x-a", "a_default /?q=1"),
        ("ambassador_id: default", "a_default /?q=1 x-a=one"),
    ] {
        let built = old(spec);
        built.is_clean();
        assert_eq!(built.ask(ask), want, "{spec}\n{}", built.text);
    }
    assert!(old("hostname: h.com").has("emissary::field"));
    assert!(old("cors: {origins: 'http://a.com,http://b.com'}").route_cors("http://b.com"));
    let tls = served(&[of_version(
        "v1",
        "Mapping",
        "m",
        "{prefix: /x/, service: a, tls: true}",
    )]);
    let cluster = tls.cluster();
    assert!(matches!(
        cluster.transport,
        proxy_core::config::UpstreamTransport::Tls { .. }
    ));
    assert_eq!(
        &*cluster.name,
        "cluster_a_default_otls_no_cert_upstream_default"
    );
    assert!(
        served(&[of_version(
            "v4",
            "Mapping",
            "m",
            "{prefix: /x/, service: a}"
        )])
        .has("emissary::version")
    );
    assert!(build(&[of_version("v2", "Listener", "l", "{port: 8080}")]).has("emissary::version"));
}

impl Built {
    fn route_cors(&self, origin: &str) -> bool {
        let route = self.route();
        assert!(matches!(route.action, RouteAction::Forward(_)));
        route.cors.is_some_and(|cors| cors.allows(origin))
    }
}
