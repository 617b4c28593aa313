use proxy_core::config::{
    Absent, DirectResponse, HashSource, HostRewrite, PathMatch, PathRedirect, PathRewrite,
    Priority, RouteAction, Share,
};
use proxy_core::heads::HeaderOp;
use proxy_core::retry::backoff::{Backoff, FullJitter, ResetFormat};
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::time::Duration;

use super::harness::{
    accepted, indent, refused, with_action, with_filters, with_manager, with_routes,
};

fn matching(fields: &str) -> String {
    with_routes(&format!("- match: {{{fields}}}\n  route: {{cluster: a}}"))
}

#[test]
fn a_path_is_matched_in_one_of_four_ways() {
    for (fields, expected) in [
        ("prefix: /x", "Prefix(\"/x\")"),
        ("path: /x", "Exact(\"/x\")"),
        ("path_separated_prefix: /x", "Segments(\"/x\")"),
        (
            "safe_regex: {regex: '/x.*'}",
            "Regex(Regex(\"^(?:/x.*)$\"))",
        ),
        (
            "safe_regex: {google_re2: {}, regex: x}",
            "Regex(Regex(\"^(?:x)$\"))",
        ),
    ] {
        let b = accepted(&matching(fields));
        assert_eq!(
            format!("{:?}", b.route().matches.path),
            expected,
            "{fields}"
        );
    }
    for fields in [
        "",
        "prefix: /, path: /x",
        "path_separated_prefix: /x/",
        "safe_regex: {regex: '('}",
    ] {
        assert_eq!(refused(&matching(fields)).errors().len(), 1, "{fields}");
    }
}

#[test]
fn a_route_matches_by_case_share_and_protocol_as_well() {
    let plain = accepted(&matching("prefix: /"));
    let matches = &plain.route().matches;
    assert!(!matches.ignore_case && !matches.grpc && matches.fraction.is_none());
    let all = "prefix: /, case_sensitive: false, grpc: {}, runtime_fraction: {default_value: {numerator: 5}, runtime_key: k}";
    let b = accepted(&matching(all));
    let matches = &b.route().matches;
    assert!(matches.ignore_case && matches.grpc);
    assert_eq!(matches.fraction, Some(Share::from_percent(5.0)));
}

#[test]
fn headers_match_in_the_old_form_and_the_new() {
    // value, inverted, ignoring case
    for (fields, expected) in [
        ("exact_match: v", ("Exact(\"v\")", false, false)),
        (
            "string_match: {exact: v, ignore_case: true}",
            ("Exact(\"v\")", false, true),
        ),
        ("prefix_match: v", ("Prefix(\"v\")", false, false)),
        ("string_match: {suffix: v}", ("Suffix(\"v\")", false, false)),
        ("contains_match: v", ("Contains(\"v\")", false, false)),
        (
            "safe_regex_match: {regex: v}",
            ("Regex(Regex(\"^(?:v)$\"))", false, false),
        ),
        ("present_match: true", ("Present", false, false)),
        ("present_match: false", ("Present", true, false)),
        (
            "present_match: true, invert_match: true",
            ("Present", true, false),
        ),
        (
            "present_match: false, invert_match: true",
            ("Present", false, false),
        ),
        ("invert_match: false", ("Present", false, false)),
        (
            "range_match: {start: -1, end: 5}",
            ("Range(-1, 5)", false, false),
        ),
    ] {
        let b = accepted(&matching(&format!(
            "prefix: /, headers: [{{name: X-A, {fields}}}]"
        )));
        let [header] = &b.route().matches.headers[..] else {
            panic!("{fields}");
        };
        assert_eq!(&*header.name, "x-a");
        let value = format!("{:?}", header.value);
        assert_eq!(
            (value.as_str(), header.invert, header.ignore_case),
            expected,
            "{fields}"
        );
    }
}

#[test]
fn an_absent_header_matches_no_value_unless_that_counts_as_empty() {
    for (fields, absent) in [
        ("exact_match: v", Absent::Refused),
        ("exact_match: v, invert_match: true", Absent::Refused),
        ("range_match: {start: 1, end: 2}", Absent::Refused),
        ("present_match: true, invert_match: true", Absent::Unequal),
        (
            "exact_match: v, treat_missing_header_as_empty: true",
            Absent::Empty,
        ),
    ] {
        let b = accepted(&matching(&format!(
            "prefix: /, headers: [{{name: x, {fields}}}]"
        )));
        assert_eq!(b.route().matches.headers[0].absent, absent, "{fields}");
    }
}

#[test]
fn parameters_match_with_and_without_case() {
    for (fields, matching_value) in [
        ("string_match: {exact: v}", "v"),
        ("string_match: {exact: V, ignore_case: true}", "v"),
        ("string_match: {prefix: A, ignore_case: true}", "abc"),
        ("present_match: true", ""),
        ("present_match: false", ""),
    ] {
        let b = accepted(&matching(&format!(
            "prefix: /, query_parameters: [{{name: q, {fields}}}]"
        )));
        let param = &b.route().matches.params[0];
        assert!(param.value.matches(matching_value), "{fields}");
        assert_eq!(param.invert, fields.ends_with("false"), "{fields}");
    }
}

#[test]
fn a_route_with_a_condition_that_is_not_modelled_is_left_out() {
    for fields in [
        "prefix: /, tls_context: {presented: true}",
        "prefix: /, cookies: [{name: x}]",
    ] {
        let b = accepted(&matching(fields));
        assert!(b.routes().is_empty(), "{fields}");
        assert_eq!(b.notices.len(), 1, "{fields}");
    }
}

#[test]
fn the_route_timeout_is_15_s_unless_written() {
    for (fields, millis) in [
        ("cluster: a", Some(15_000)),
        ("cluster: a\ntimeout: 0.25s", Some(250)),
        ("cluster: a\ntimeout: 0s", None),
    ] {
        let b = accepted(&with_action(fields));
        assert_eq!(
            b.forward().timeout.value,
            millis.map(Duration::from_millis),
            "{fields}"
        );
    }
    let defaults = accepted(&with_action("cluster: a"));
    assert_eq!(
        defaults.origin(defaults.forward().timeout.origin),
        "default of envoy"
    );
}

#[test]
fn a_route_action_has_envoys_defaults() {
    let b = accepted(&with_action("cluster: a"));
    let f = b.forward();
    assert_eq!((f.missing_status, f.priority), (503, Priority::Default));
    assert!(f.idle_timeout.is_none() && f.max_stream_duration.is_none());
    assert!(f.grpc_timeout_max.is_none() && f.retry.is_none() && f.hedge.is_none());
    assert!(f.rewrite.is_none() && f.host.is_none());
    assert!(f.mirrors.is_empty() && f.hash.is_empty() && f.subset.is_empty());
}

#[test]
fn the_streams_of_a_route_may_have_timers_of_their_own() {
    let b = accepted(&with_action(
        "cluster: a\nidle_timeout: 0s\nmax_stream_duration: {max_stream_duration: 7s, grpc_timeout_header_max: 9s}",
    ));
    let f = b.forward();
    assert_eq!(
        f.idle_timeout.unwrap().value,
        Duration::ZERO,
        "which turns the listener's off"
    );
    assert_eq!(f.max_stream_duration.unwrap().value, Duration::from_secs(7));
    assert_eq!(f.grpc_timeout_max, Some(Duration::from_secs(9)));
}

#[test]
fn a_split_goes_by_weights() {
    let b = accepted(&with_action(
        "weighted_clusters: {clusters: [{name: a, weight: 90}, {name: b, weight: 10}, {name: c}]}",
    ));
    let weights: Vec<_> = b
        .forward()
        .clusters
        .iter()
        .map(|c| (c.cluster.unwrap().0, c.weight))
        .collect();
    assert_eq!(weights, [(0, 90), (1, 10), (2, 0)]);
    let none = with_action("weighted_clusters: {clusters: [{name: a, weight: 0}]}");
    assert_eq!(
        refused(&none).errors(),
        ["envoy::value: the weights of a split must not all be 0"]
    );
}

#[test]
fn a_cluster_that_is_not_there_is_an_error_unless_nobody_checks() {
    let hosts = "virtual_hosts:\n- name: v\n  domains: ['*']\n  routes:\n  - match: {prefix: /}\n    route: {cluster: aa, cluster_not_found_response_code: NOT_FOUND}";
    let refused = refused(&with_manager("", hosts));
    assert_eq!(
        refused.errors(),
        ["envoy::unknown-cluster: there is no cluster `aa`"]
    );
    let b = accepted(&with_manager(
        "",
        &format!("validate_clusters: false\n{hosts}"),
    ));
    assert_eq!(
        (b.forward().clusters[0].cluster, b.forward().missing_status),
        (None, 404)
    );
}

#[test]
fn paths_and_hosts_are_rewritten() {
    let b = accepted(&with_action(
        "cluster: a\nprefix_rewrite: /y\nhost_rewrite_literal: h",
    ));
    assert!(matches!(&b.forward().rewrite, Some(PathRewrite::Prefix(to)) if &**to == "/y"));
    assert!(matches!(&b.forward().host, Some(HostRewrite::Literal(to)) if &**to == "h"));
    let b = accepted(&with_action(
        "cluster: a\nregex_rewrite: {pattern: {regex: '^/x(.*)'}, substitution: '/y\\1'}\nauto_host_rewrite: true",
    ));
    assert!(matches!(&b.forward().rewrite, Some(PathRewrite::Regex(_, to)) if &**to == "/y\\1"));
    assert!(matches!(b.forward().host, Some(HostRewrite::Endpoint)));
    let b = accepted(&with_action("cluster: a\nhost_rewrite_header: X-Host"));
    assert!(matches!(&b.forward().host, Some(HostRewrite::Header(name)) if &**name == "x-host"));
    refused(&with_action(
        "cluster: a\nprefix_rewrite: /y\nregex_rewrite: {pattern: {regex: x}}",
    ));
}

#[test]
fn hashes_go_by_their_policies_in_order() {
    let b = accepted(&with_action(
        "cluster: a\nhash_policy:\n- {header: {header_name: X-U}, terminal: true}\n- {cookie: {name: c, ttl: 60s}}\n- {cookie: {name: d}}\n- {connection_properties: {source_ip: true}}\n- {query_parameter: {name: q}}",
    ));
    let cookie = |name: &str, ttl| HashSource::Cookie {
        name: name.into(),
        ttl,
    };
    let sources: Vec<_> = b
        .forward()
        .hash
        .iter()
        .map(|policy| policy.source.clone())
        .collect();
    let expected = [
        HashSource::Header("x-u".into()),
        cookie("c", Some(Duration::from_secs(60))),
        cookie("d", None),
        HashSource::SourceAddress,
        HashSource::Param("q".into()),
    ];
    assert_eq!(sources, expected);
    let terminal: Vec<_> = b
        .forward()
        .hash
        .iter()
        .map(|policy| policy.terminal)
        .collect();
    assert_eq!(terminal, [true, false, false, false, false]);
}

#[test]
fn copies_go_to_mirrors() {
    let b = accepted(&with_action(
        "cluster: a\nrequest_mirror_policies:\n- {cluster: b}\n- {cluster: c, runtime_fraction: {default_value: {numerator: 25}}, disable_shadow_host_suffix_append: true}",
    ));
    let mirrors: Vec<_> = b
        .forward()
        .mirrors
        .iter()
        .map(|m| (m.cluster.0, m.share.value, m.shadow_host))
        .collect();
    assert_eq!(
        mirrors,
        [(1, Share::ALL, true), (2, Share::from_percent(25.0), false)]
    );
}

#[test]
fn a_retry_policy_has_envoys_defaults() {
    let b = accepted(&with_action(
        "cluster: a\nretry_policy: {retry_on: '5xx,reset'}",
    ));
    let retry = b.forward().retry.as_deref().unwrap();
    assert_eq!(
        retry.on.value,
        RetryOn::NONE
            .with(Condition::ServerError)
            .with(Condition::Reset)
    );
    assert_eq!(retry.retries.value, 1);
    assert_eq!(
        retry.backoff.value,
        Backoff::FullJitter(FullJitter::envoy_v3())
    );
    assert!(retry.per_try_timeout.is_none() && retry.per_try_idle_timeout.is_none());
    assert!(retry.avoid_previous.is_none() && retry.previous_priorities.is_none());
    assert!(retry.statuses.is_empty() && retry.rate_limited_backoff.is_none());
}

#[test]
fn a_retry_policy_is_read_whole() {
    let b = accepted(&with_action(
        "cluster: a
retry_policy:
  retry_on: retriable-status-codes
  num_retries: 4
  per_try_timeout: 2s
  per_try_idle_timeout: 1s
  retriable_status_codes: [503, 429]
  retry_back_off: {base_interval: 0.1s, max_interval: 1s}
  rate_limited_retry_back_off: {reset_headers: [{name: Retry-After}, {name: x-reset, format: UNIX_TIMESTAMP}]}
  retry_host_predicate: [{name: p, typed_config: {'@type': x/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]
  host_selection_retry_max_attempts: '5'
  retry_priority: {name: p, typed_config: {'@type': x/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig, update_frequency: 2}}
  retriable_headers: [{name: x-again}]
  retriable_request_headers: [{name: ':method', exact_match: GET}]",
    ));
    let retry = b.forward().retry.as_deref().unwrap();
    let seconds = |timer: Option<proxy_core::origin::Sourced<Duration>>| {
        timer.map(|t| t.value.as_millis() / 1000)
    };
    assert_eq!(retry.retries.value, 4);
    assert_eq!(
        (
            seconds(retry.per_try_timeout),
            seconds(retry.per_try_idle_timeout)
        ),
        (Some(2), Some(1))
    );
    assert_eq!(retry.statuses, [503, 429]);
    let jitter = FullJitter::new(Duration::from_millis(100), Some(Duration::from_secs(1)));
    assert_eq!(retry.backoff.value, Backoff::FullJitter(jitter));
    let asked = retry.rate_limited_backoff.as_ref().unwrap();
    let headers = [
        ("retry-after".into(), ResetFormat::Seconds),
        ("x-reset".into(), ResetFormat::UnixTimestamp),
    ];
    assert_eq!(asked.headers, headers);
    assert_eq!(asked.max_interval, Duration::from_secs(300));
    assert_eq!(retry.avoid_previous.map(|picks| picks.value), Some(5));
    assert_eq!(retry.previous_priorities, Some(2));
    assert_eq!((retry.headers.len(), retry.request_headers.len()), (1, 1));
    assert!(b.notices.is_empty(), "{:?}", b.notes());
}

#[test]
fn a_word_that_is_no_retry_condition_is_warned_of() {
    let b = accepted(&with_action(
        "cluster: a\nretry_policy: {retry_on: 'gateway-eror'}",
    ));
    assert_eq!(b.notices[0].code, "envoy::retry-on");
    assert_eq!(
        b.notices[0].help.as_deref(),
        Some("did you mean `gateway-error`?")
    );
}

#[test]
fn a_route_has_the_policies_of_its_virtual_host_unless_it_has_its_own() {
    let host = "virtual_hosts:\n- name: v\n  domains: ['*']\n  retry_policy: {retry_on: 5xx, num_retries: 7}\n  hedge_policy: {hedge_on_per_try_timeout: true}\n  include_request_attempt_count: true\n  routes:\n  - match: {prefix: /}\n    route: ";
    let inherits = accepted(&with_manager("", &format!("{host}{{cluster: a}}")));
    assert_eq!(
        inherits.forward().retry.as_deref().unwrap().retries.value,
        7
    );
    assert!(inherits.forward().hedge.unwrap().on_per_try_timeout);
    assert!(inherits.section().tables()[0].virtual_hosts[0].attempt_count);
    let own = accepted(&with_manager(
        "",
        &format!("{host}{{cluster: a, retry_policy: {{}}}}"),
    ));
    let retry = own.forward().retry.as_deref().unwrap();
    assert_eq!((retry.retries.value, retry.on.value), (1, RetryOn::NONE));
}

#[test]
fn redirects_and_direct_responses_need_no_cluster() {
    let b = accepted(&with_routes(
        "- match: {prefix: /}\n  redirect: {https_redirect: true, host_redirect: h, port_redirect: 8443, path_redirect: /p, response_code: FOUND, strip_query: true}\n- match: {prefix: /}\n  redirect: {prefix_rewrite: /q}\n- match: {prefix: /}\n  redirect: {regex_rewrite: {pattern: {regex: a}, substitution: b}}\n- match: {prefix: /}\n  direct_response: {status: 418, body: {inline_string: tea}}",
    ));
    let RouteAction::Redirect(redirect) = &b.routes()[0].action else {
        panic!()
    };
    assert_eq!(
        (
            redirect.status,
            redirect.scheme.as_deref(),
            redirect.host.as_deref(),
            redirect.port,
            redirect.strip_query
        ),
        (302, Some("https"), Some("h"), Some(8443), true)
    );
    assert!(matches!(&redirect.path, Some(PathRedirect::Full(path)) if &**path == "/p"));
    let RouteAction::Redirect(redirect) = &b.routes()[1].action else {
        panic!()
    };
    assert!(
        redirect.status == 301
            && matches!(&redirect.path, Some(PathRedirect::Prefix(to)) if &**to == "/q")
    );
    let RouteAction::Redirect(redirect) = &b.routes()[2].action else {
        panic!()
    };
    assert!(matches!(&redirect.path, Some(PathRedirect::Regex(_, to)) if &**to == "b"));
    let RouteAction::Direct(direct) = &b.routes()[3].action else {
        panic!()
    };
    assert_eq!(
        *direct,
        DirectResponse {
            status: 418,
            body: "tea".into()
        }
    );
}

const EDITED: &str = "request_headers_to_add: [{header: {key: X-T, value: t}}]
virtual_hosts:
- name: v
  domains: ['*']
  request_headers_to_add: [{header: {key: x-v, value: v}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
  response_headers_to_remove: [Server]
  routes:
  - match: {prefix: /}
    request_headers_to_add: [{header: {key: x-r, value: '50%%'}, append: false}]
    request_headers_to_remove: [x-gone]
    route:
      weighted_clusters:
        clusters:
        - {name: a, weight: 1, request_headers_to_add: [{header: {key: x-c, value: c}, append_action: ADD_IF_ABSENT}]}
";

#[test]
fn edits_go_from_the_specific_to_the_general() {
    let b = accepted(&with_manager("", EDITED));
    let expected = [
        HeaderOp::Remove("x-gone".into()),
        HeaderOp::Set("x-r".into(), "50%".into()),
        HeaderOp::Set("x-v".into(), "v".into()),
        HeaderOp::Append("x-t".into(), "t".into()),
    ];
    assert_eq!(b.route().request_edits, expected);
    assert_eq!(
        b.route().response_edits,
        [HeaderOp::Remove("server".into())]
    );
    let cluster = &b.forward().clusters[0];
    assert_eq!(
        cluster.request_edits,
        [HeaderOp::AddIfAbsent("x-c".into(), "c".into())]
    );
}

#[test]
fn edits_go_the_other_way_where_the_specific_wins() {
    let b = accepted(&with_manager(
        "",
        &format!("most_specific_header_mutations_wins: true\n{EDITED}"),
    ));
    let names: Vec<_> = b.route().request_edits.iter().map(HeaderOp::name).collect();
    assert_eq!(names, ["x-t", "x-v", "x-gone", "x-r"]);
    let of_cluster = &b.forward().clusters[0].request_edits;
    assert_eq!(of_cluster[0].name(), "x-c", "it comes before them all");
}

/// Envoy: `HeaderParser::evaluateHeaders`.
#[test]
fn within_a_level_conditions_go_by_what_was_there_before_it() {
    type Row = (&'static [(&'static str, &'static str)], Vec<HeaderOp>);
    let set = |value: &str| HeaderOp::Set("x-a".into(), value.into());
    let append = |value: &str| HeaderOp::Append("x-a".into(), value.into());
    let if_present = |there: Vec<HeaderOp>, absent: Vec<HeaderOp>| {
        HeaderOp::IfPresent("x-a".into(), there.into(), absent.into())
    };
    let rows: [Row; 6] = [
        (
            &[
                ("1", "APPEND_IF_EXISTS_OR_ADD"),
                ("2", "OVERWRITE_IF_EXISTS_OR_ADD"),
            ],
            vec![set("2"), append("1")],
        ),
        (
            &[("1", "OVERWRITE_IF_EXISTS")],
            vec![if_present(vec![set("1")], vec![])],
        ),
        (
            &[("1", "ADD_IF_ABSENT")],
            vec![HeaderOp::AddIfAbsent("x-a".into(), "1".into())],
        ),
        (
            &[("1", "APPEND_IF_EXISTS_OR_ADD"), ("2", "ADD_IF_ABSENT")],
            vec![if_present(
                vec![append("1")],
                vec![append("1"), append("2")],
            )],
        ),
        (
            &[
                ("1", "OVERWRITE_IF_EXISTS_OR_ADD"),
                ("2", "OVERWRITE_IF_EXISTS"),
            ],
            vec![if_present(vec![set("2")], vec![set("1")])],
        ),
        (
            &[
                ("1", "OVERWRITE_IF_EXISTS"),
                ("2", "OVERWRITE_IF_EXISTS_OR_ADD"),
            ],
            vec![set("2")],
        ),
    ];
    for (options, expected) in rows {
        let options: Vec<String> = options
            .iter()
            .map(|(value, action)| {
                format!("{{header: {{key: X-A, value: '{value}'}}, append_action: {action}}}")
            })
            .collect();
        let b = accepted(&with_routes(&format!(
            "- match: {{prefix: /}}\n  route: {{cluster: a}}\n  request_headers_to_add: [{}]",
            options.join(", ")
        )));
        assert_eq!(b.route().request_edits, expected, "{options:?}");
    }
}

#[test]
fn a_header_that_decides_the_route_cannot_be_edited() {
    let hosts = EDITED.replace("X-T", ":path");
    assert_eq!(refused(&with_manager("", &hosts)).errors().len(), 1);
}

#[test]
fn a_value_that_the_proxy_fills_in_stays_as_it_is_written() {
    let b = accepted(&with_manager(
        "",
        &EDITED.replace("value: t", "value: '%START_TIME%'"),
    ));
    let last = b.route().request_edits.last();
    assert_eq!(
        last,
        Some(&HeaderOp::Append("x-t".into(), "%START_TIME%".into()))
    );
    assert_eq!(
        b.notes(),
        ["a value that the proxy fills in is not modelled"]
    );
}

#[test]
fn domains_are_lower_case_and_stand_once() {
    let hosts = |domains: &str| {
        with_manager(
            "",
            &format!("virtual_hosts:\n- {{name: v, domains: {domains}}}"),
        )
    };
    let b = accepted(&hosts("[Shop.example.com, '*.x']"));
    assert_eq!(
        b.section().tables()[0].virtual_hosts[0].domains,
        ["shop.example.com".into(), Box::<str>::from("*.x")]
    );
    assert_eq!(
        refused(&hosts("[a, A]")).errors(),
        ["envoy::duplicate-domain: the domain `A` stands twice"]
    );
    assert_eq!(
        refused(&hosts("[]")).errors(),
        ["envoy::value: a virtual host needs `domains`"]
    );
}

const FAULT: &str = "'@type': x/envoy.extensions.filters.http.fault.v3.HTTPFault";

fn faulty(listener: &str, route: &str) -> String {
    let filter =
        format!("- {{name: envoy.filters.http.fault, typed_config: {{{FAULT}, {listener}}}}}");
    let route = indent(
        &format!("- match: {{prefix: /}}\n  route: {{cluster: a}}\n  {route}"),
        2,
    );
    with_filters(
        "",
        &filter,
        &format!("virtual_hosts:\n- name: v\n  domains: ['*']\n  routes:\n  {route}"),
    )
}

#[test]
fn a_route_may_bring_its_own_fault_or_turn_it_off() {
    let abort = "abort: {http_status: 503, percentage: {numerator: 10}}";
    let b = accepted(&faulty(abort, ""));
    let proxy_core::config::HttpFilter::Fault(Some(fault)) = &b.http().filters[0] else {
        panic!()
    };
    let abort = fault.abort.unwrap();
    assert_eq!(
        (abort.status, abort.share),
        (Some(503), Share::from_percent(10.0))
    );
    assert!(b.route().fault.is_none());
    let delay = format!(
        "typed_per_filter_config: {{envoy.filters.http.fault: {{{FAULT}, delay: {{fixed_delay: 2s}}, max_active_faults: 3}}}}"
    );
    let b = accepted(&faulty("", &delay));
    let fault = b.route().fault.as_deref().unwrap();
    let delay = fault.delay.unwrap();
    assert_eq!(
        (delay.fixed, delay.share),
        (Some(Duration::from_secs(2)), Share::ZERO),
        "without a percentage"
    );
    assert_eq!(fault.max_active, Some(3));
    let off = "typed_per_filter_config: {envoy.filters.http.fault: {'@type': x/envoy.config.route.v3.FilterConfig, disabled: true}}";
    let b = accepted(&faulty("", off));
    let fault = b.route().fault.as_deref().unwrap();
    assert!(fault.delay.is_none() && fault.abort.is_none());
}

#[test]
fn a_filter_whose_matcher_has_no_rule_is_for_everybody() {
    let kind = "'@type': x/envoy.extensions.common.matching.v3.ExtensionWithMatcher";
    let fault = format!(
        "extension_config: {{name: f, typed_config: {{{FAULT}, abort: {{http_status: 503, percentage: {{numerator: 10}}}}}}}}"
    );
    for (matcher, count) in [("{}", 1), ("{matcher_list: {matchers: []}}", 0)] {
        let filter =
            format!("- {{name: f, typed_config: {{{kind}, {fault}, xds_matcher: {matcher}}}}}");
        let routes = "virtual_hosts:\n- name: v\n  domains: ['*']\n  routes:\n  - match: {prefix: /}\n    route: {cluster: a}";
        let b = accepted(&with_filters("", &filter, routes));
        assert_eq!(b.http().filters.len(), count, "{matcher}");
    }
}

#[test]
fn a_match_by_any_path_is_that_of_a_slash() {
    let b = accepted(&matching("prefix: ''"));
    assert!(matches!(&b.route().matches.path, PathMatch::Prefix(text) if text.is_empty()));
}

/// Envoy: `VirtualHost.require_tls`.
#[test]
fn plaintext_is_sent_to_https_before_any_route_where_tls_is_required() {
    let host = |fields: &str| {
        with_manager(
            "",
            &format!(
                "virtual_hosts:\n- name: v\n  domains: ['*']\n  {fields}\n  routes: [{{match: {{prefix: /}}, route: {{cluster: a}}}}]"
            ),
        )
    };
    let b = accepted(&host("require_tls: ALL"));
    let [redirect, route] = b.routes() else {
        panic!("{:?}", b.routes());
    };
    let RouteAction::Redirect(to) = &redirect.action else {
        panic!("{:?}", redirect.action);
    };
    assert_eq!((to.status, to.scheme.as_deref()), (301, Some("https")));
    let scheme = &redirect.matches.headers[0];
    assert_eq!(&*scheme.name, ":scheme");
    assert!(scheme.value.matches("http") && !scheme.value.matches("https"));
    assert!(matches!(route.action, RouteAction::Forward(_)));
    assert_eq!(accepted(&host("require_tls: NONE")).routes().len(), 1);
    let b = accepted(&host("require_tls: EXTERNAL_ONLY"));
    assert_eq!(
        (b.routes().len(), b.notes().len()),
        (1, 1),
        "{:?}",
        b.notes()
    );
}

/// Envoy: `RouteConfiguration.max_direct_response_body_size_bytes`.
#[test]
fn a_body_is_at_most_as_long_as_its_table_says() {
    let table = |longest: &str, body: &str| {
        with_manager(
            "",
            &format!(
                "{longest}\nvirtual_hosts:\n- name: v\n  domains: ['*']\n  routes: [{{match: {{prefix: /}}, direct_response: {{status: 200, body: {{{body}}}}}}}]"
            ),
        )
    };
    let long = format!("inline_string: {}", "x".repeat(5000));
    let usual = "name: t";
    let longer = "max_direct_response_body_size_bytes: 1048576";
    let answer = |text: &str| match &accepted(text).route().action {
        RouteAction::Direct(answer) => answer.body.clone(),
        RouteAction::Forward(_) | RouteAction::Redirect(_) => panic!("{text}"),
    };
    assert_eq!(answer(&table(longer, &long)).len(), 5000);
    assert_eq!(refused(&table(usual, &long)).errors().len(), 1);
    assert_eq!(&*answer(&table(usual, "inline_bytes: dGVh")), "tea");
}
