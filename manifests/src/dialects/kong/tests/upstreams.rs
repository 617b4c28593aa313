//! KongUpstreamPolicies and what is left of KongIngresses, field by field.

use super::*;

fn policy(spec: &str) -> Kong {
    let object = format!(
        "apiVersion: configuration.konghq.com/v1beta1\nkind: KongUpstreamPolicy\nmetadata: {{name: p}}\nspec: {spec}\n"
    );
    Kong::annotated_service(&[("konghq.com/upstream-policy", "p")], &object)
}

fn legacy(upstream: &str) -> Kong {
    let object = format!(
        "apiVersion: configuration.konghq.com/v1\nkind: KongIngress\nmetadata: {{name: k}}\nupstream: {upstream}\n"
    );
    Kong::annotated_service(&[("konghq.com/override", "k")], &object)
}

/// What is hashed, and whether what follows counts only where that is missing.
fn hashed(kong: &mut Kong) -> Vec<(HashSource, bool)> {
    let taken = kong.get("a.example.com", "/").expect("a route");
    let RouteAction::Forward(forward) = &taken.route.action else {
        panic!("sent on")
    };
    let policies = forward.hash.iter();
    policies
        .map(|it| (it.source.clone(), it.terminal))
        .collect()
}

#[test]
fn sources_of_a_hash() {
    let cookie = HashSource::Cookie {
        name: "session".into(),
        ttl: Some(Duration::ZERO),
    };
    let header = HashSource::Header("x-user".into());
    let rows = [
        ("hashOn: {header: X-User}", vec![(header.clone(), true)]),
        (
            "hashOn: {cookie: session, cookiePath: /a}",
            vec![(cookie.clone(), true)],
        ),
        (
            "hashOn: {queryArg: user}",
            vec![(HashSource::Param("user".into()), true)],
        ),
        (
            "hashOn: {input: ip}",
            vec![(HashSource::SourceAddress, true)],
        ),
        ("hashOn: {input: path}", vec![(HashSource::Path, true)]),
        ("hashOn: {input: none}", vec![]),
        (
            "hashOn: {header: X-User}, hashOnFallback: {input: ip}",
            vec![(header.clone(), true), (HashSource::SourceAddress, false)],
        ),
    ];
    for (spec, expected) in rows {
        let mut kong = policy(&format!("{{algorithm: consistent-hashing, {spec}}}"));
        assert_eq!(hashed(&mut kong), expected, "{spec}");
        assert!(
            !kong.diagnostics.has_errors(),
            "{spec}: {}",
            kong.problems()
        );
    }
    let rows = [
        (
            "hash_on: header, hash_on_header: X-User",
            vec![(header.clone(), true)],
        ),
        (
            "hash_on: cookie, hash_on_cookie: session",
            vec![(cookie, true)],
        ),
        (
            "hash_on: query_arg, hash_on_query_arg: user",
            vec![(HashSource::Param("user".into()), true)],
        ),
        ("hash_on: ip", vec![(HashSource::SourceAddress, true)]),
        ("hash_on: path", vec![(HashSource::Path, true)]),
        ("hash_on: none", vec![]),
        (
            "hash_on: ip, hash_fallback: header, hash_fallback_header: X-User",
            vec![(HashSource::SourceAddress, true), (header, false)],
        ),
    ];
    for (upstream, expected) in rows {
        let mut kong = legacy(&format!("{{algorithm: consistent-hashing, {upstream}}}"));
        assert_eq!(hashed(&mut kong), expected, "{upstream}");
        assert!(
            !kong.diagnostics.has_errors(),
            "{upstream}: {}",
            kong.problems()
        );
    }
}

#[test]
fn policies_that_kong_refuses_are_errors() {
    let rows = [
        ("{hashOn: {input: ip}}", "error[kong::hash-without-hashing]"),
        (
            "{algorithm: round-robin, hashOnFallback: {input: ip}}",
            "error[kong::hash-without-hashing]",
        ),
        (
            "{algorithm: consistent-hashing, hashOn: {}}",
            "error[kong::hash-sources]: a hash needs a source",
        ),
        (
            "{algorithm: consistent-hashing, hashOn: {header: a, queryArg: b}}",
            "error[kong::hash-sources]: a hash has one source",
        ),
        (
            "{algorithm: consistent-hashing, hashOn: {cookie: c}, hashOnFallback: {input: ip}}",
            "error[kong::cookie-fallback]",
        ),
        ("{slots: 9}", "error[kong::slots]"),
        ("{slots: 65537}", "error[kong::slots]"),
        ("{healthchecks: {threshold: 101}}", "error[kong::threshold]"),
        ("{algorithm: at-random}", "error["),
        (
            "{algoritm: latency}",
            "error[field::unknown]: unknown field `algoritm`: did you mean `algorithm`?",
        ),
    ];
    for (spec, expected) in rows {
        let problems = policy(spec).problems();
        assert!(problems.contains(expected), "{spec}\n{problems}");
    }
}

#[test]
fn slots_from_10_to_65536() {
    for (slots, size) in [
        ("", 10_000),
        (", slots: 10", 10),
        (", slots: 65536", 65_536),
    ] {
        let spec = format!("{{algorithm: consistent-hashing, hashOn: {{input: ip}}{slots}}}");
        let mut kong = policy(&spec);
        let balancer = kong
            .get("a.example.com", "/")
            .expect("a route")
            .cluster
            .balancer;
        let expected = Balancer::RingHash {
            min_size: size,
            max_size: size,
            bound: None,
        };
        assert_eq!(balancer.value, expected, "{spec}");
        assert!(!kong.diagnostics.has_errors(), "{spec}");
    }
}

#[test]
fn what_of_a_policy_is_not_modelled_is_told() {
    let rows = [
        (
            "{algorithm: sticky-sessions}",
            "clients are not held to one",
        ),
        (
            "{stickySessions: {cookie: c}}",
            "clients are not held to one target",
        ),
        (
            "{algorithm: consistent-hashing, hashOn: {input: consumer}}",
            "there is no consumer",
        ),
        (
            "{algorithm: consistent-hashing, hashOn: {uriCapture: id}}",
            "groups of paths are not hashed",
        ),
        (
            "{healthchecks: {active: {headers: {x: [y]}, healthy: {interval: 1}, unhealthy: {httpFailures: 1, tcpFailures: 1, timeouts: 1}}}}",
            "probes are sent without it",
        ),
        (
            "{healthchecks: {active: {httpsSni: x, healthy: {interval: 1}, unhealthy: {httpFailures: 1, tcpFailures: 1, timeouts: 1}}}}",
            "its certificate is taken as valid",
        ),
        (
            "{healthchecks: {active: {healthy: {interval: 1}, unhealthy: {httpFailures: 1, tcpFailures: 2, timeouts: 3}}}}",
            "1 in a row take a target out",
        ),
    ];
    for (spec, expected) in rows {
        let problems = policy(spec).problems();
        let told =
            problems.contains("not modelled[kong::not-modelled]") && problems.contains(expected);
        assert!(told, "{spec}\n{problems}");
    }
}

#[test]
fn probes_field_by_field() {
    let probe = |active: &str| {
        let counters = "httpFailures: 2, tcpFailures: 2, timeouts: 2";
        let spec = format!("{{healthchecks: {{active: {{{active}, unhealthy: {{{counters}}}}}}}}}");
        let mut kong = policy(&spec);
        let cluster = kong.get("a.example.com", "/").expect("a route").cluster;
        cluster.health_checks.first().map(|it| it.value.clone())
    };
    let seconds = Duration::from_secs;
    let usual = probe("healthy: {interval: 5}").expect("a check");
    assert_eq!(
        (usual.path.as_deref(), usual.timeout),
        (Some("/"), seconds(1))
    );
    assert_eq!(
        (usual.interval, usual.unhealthy_interval),
        (seconds(5), Some(Duration::MAX))
    );
    assert_eq!(
        (usual.healthy_threshold, usual.unhealthy_threshold),
        (u32::MAX, 2)
    );
    assert!(usual.expects(200) && usual.expects(302) && !usual.expects(201));

    assert_eq!(probe("healthy: {interval: 0}"), None, "0 is off");
    assert_eq!(probe("healthy: {}"), None, "off");
    let of = |active: &str| probe(&format!("healthy: {{interval: 5}}, {active}")).expect("a check");
    assert_eq!(of("httpPath: /up").path.as_deref(), Some("/up"));
    assert_eq!(of("timeout: 3").timeout, seconds(3));
    assert_eq!(of("timeout: 0").timeout, seconds(1), "0 is unset");
    assert_eq!(of("type: tcp").path, None, "connecting is enough");
    assert_eq!(of("type: https").path.as_deref(), Some("/"));
    let set = probe("healthy: {interval: 5, successes: 4, httpStatuses: [204]}").expect("a check");
    assert_eq!(set.healthy_threshold, 4);
    assert!(set.expects(204) && !set.expects(200));
    let underscored =
        probe("http_path: /up, healthy: {interval: 5, http_statuses: [204]}").expect("a check");
    assert!(underscored.path.as_deref() == Some("/up") && underscored.expects(204));
}

#[test]
fn passive_counters_one_by_one() {
    let of = |unhealthy: &str| {
        let mut kong = policy(&format!(
            "{{healthchecks: {{passive: {{unhealthy: {unhealthy}}}}}}}"
        ));
        let outlier = kong
            .get("a.example.com", "/")
            .expect("a route")
            .cluster
            .outlier;
        outlier.map(|it| {
            (
                it.value.consecutive_5xx,
                it.value.consecutive_local_origin_failure,
            )
        })
    };
    let rows = [
        ("{}", None),
        ("{httpFailures: 0, tcpFailures: 0, timeouts: 0}", None),
        ("{httpFailures: 3}", Some((3, 0))),
        ("{tcpFailures: 2}", Some((0, 2))),
        ("{timeouts: 4}", Some((0, 4))),
        ("{tcpFailures: 2, timeouts: 4}", Some((0, 2))),
        (
            "{httpFailures: 3, tcpFailures: 2, timeouts: 2}",
            Some((3, 2)),
        ),
    ];
    for (unhealthy, expected) in rows {
        assert_eq!(of(unhealthy), expected, "{unhealthy}");
    }
}

#[test]
fn a_threshold_is_a_share_of_weight() {
    for (threshold, expected) in [("0", 0), ("1", 10_000), ("100", 1_000_000)] {
        let mut kong = policy(&format!("{{healthchecks: {{threshold: {threshold}}}}}"));
        let cluster = kong.get("a.example.com", "/").expect("a route").cluster;
        assert_eq!(
            cluster.panic_threshold.value.as_ppm(),
            expected,
            "{threshold}"
        );
        assert!(cluster.fail_traffic_on_panic, "nobody is used below it");
    }
}

#[test]
fn a_policy_comes_before_a_kongingress() {
    let objects = "apiVersion: configuration.konghq.com/v1\nkind: KongIngress\nmetadata: {name: k}\nupstream: {algorithm: latency}\n---\n\
                   apiVersion: configuration.konghq.com/v1beta1\nkind: KongUpstreamPolicy\nmetadata: {name: p}\nspec: {algorithm: least-connections}\n";
    let both = [
        ("konghq.com/override", "k"),
        ("konghq.com/upstream-policy", "p"),
    ];
    let mut kong = Kong::annotated_service(&both, objects);
    let cluster = kong.get("a.example.com", "/").expect("a route").cluster;
    assert_eq!(cluster.balancer.value, Balancer::KongLeastConnections);
}

#[test]
fn a_kongingress_that_is_not_there_is_an_error_and_one_for_an_ingress_does_nothing() {
    let mut missing = Kong::annotated_service(&[("konghq.com/override", "k")], "");
    assert!(
        missing
            .problems()
            .contains("error[kong::unknown-kongingress]"),
        "{}",
        missing.problems()
    );
    let object = "apiVersion: configuration.konghq.com/v1\nkind: KongIngress\nmetadata: {name: k}\nroute: {strip_path: true}\n";
    let mut useless = Kong::ingress(&[("konghq.com/override", "k")], "/a", "Prefix", object);
    assert!(
        useless
            .problems()
            .contains("warning[kong::kongingress]: a KongIngress does nothing for an Ingress"),
        "{}",
        useless.problems()
    );
    assert_eq!(
        useless.get("a.example.com", "/a/b").expect("a route").path,
        "/a/b"
    );
}

#[test]
fn kinds_that_are_not_modelled_are_told() {
    for (version, kind, expected) in [
        (
            "v1beta1",
            "TCPIngress",
            "not modelled[kong::not-modelled]: TCPIngress/default/x is not modelled: its ports are not served",
        ),
        ("v1beta1", "UDPIngress", "not modelled[kong::not-modelled]"),
        ("v1", "KongConsumer", "note[kong::listed]"),
        ("v1beta1", "KongConsumerGroup", "note[kong::listed]"),
    ] {
        let object = format!(
            "apiVersion: configuration.konghq.com/{version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{}}\n"
        );
        let problems = Kong::ingress(&[], "/", "Prefix", &object).problems();
        assert!(problems.contains(expected), "{kind}\n{problems}");
    }
}
