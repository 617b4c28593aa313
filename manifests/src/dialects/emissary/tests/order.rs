use super::rig::*;

fn to(name: &str, service: &str, spec: &str) -> String {
    mapping(name, &format!("{{service: {service}, {spec}}}"))
}

#[test]
fn the_longer_prefix_is_asked_first_and_a_prefix_goes_by_bytes() {
    let built = served(&[
        to("a", "a", "prefix: /shop/"),
        to("b", "b", "prefix: /shop/cart/"),
    ]);
    built.is_clean();
    assert_eq!(built.get("h", "/shop/cart/1"), "b_default /1");
    assert_eq!(built.get("h", "/shop/1"), "a_default /1");
    assert_eq!(built.get("h", "/shop"), "404");
    let bytes = with("").get("h", "/x/y");
    assert_eq!(bytes, "a_default /y");
}

#[test]
fn a_long_pattern_is_asked_before_a_shorter_exact_path() {
    let built = served(&[
        to("exact", "a", "prefix: /shop/cart, prefix_exact: true"),
        to(
            "regex",
            "b",
            "prefix: '/shop/(cart|basket)', prefix_regex: true, rewrite: ''",
        ),
    ]);
    built.is_clean();
    assert_eq!(built.get("h", "/shop/cart"), "b_default /shop/cart");
    // the whole path has to match
    assert_eq!(built.get("h", "/shop/cart/1"), "404");
}

#[test]
fn precedence_beats_length_and_conditions_beat_none() {
    let rows: &[(&str, &str, &str)] = &[
        ("precedence", "prefix: /, precedence: 1", "prefix: /x/"),
        ("negative", "prefix: /x", "prefix: /x/, precedence: -1"),
        ("header", "prefix: /x/, headers: {x-user: u}", "prefix: /x/"),
        (
            "longer header",
            "prefix: /x/, headers: {x-user: u}",
            "prefix: /x/, headers: {x-u: u}",
        ),
        (
            "pattern",
            "prefix: /x/, regex_headers: {x-user: u.?}",
            "prefix: /x/, headers: {x-user: u}",
        ),
        (
            "host",
            "prefix: /x/, hostname: h",
            "prefix: /x/, hostname: '*'",
        ),
        ("method", "prefix: /x/, method: GET", "prefix: /x/"),
        (
            "parameter",
            "prefix: /x/, query_parameters: {q: v}",
            "prefix: /x/",
        ),
        (
            "header before parameter",
            "prefix: /x/, headers: {x-user: u}",
            "prefix: /x/, query_parameters: {quite: long-one}",
        ),
    ];
    for (row, first, second) in rows {
        let one = |name: &str, service: &str, spec: &str| {
            let host = if spec.contains("hostname") {
                ""
            } else {
                "hostname: '*', "
            };
            object(
                "Mapping",
                name,
                &format!("{{{host}service: {service}, {spec}}}"),
            )
        };
        for names in [("m", "n"), ("n", "m")] {
            let built = served(&[one(names.0, "a", first), one(names.1, "b", second)]);
            let ask = Ask {
                headers: &[("x-user", "u"), ("x-u", "u")],
                ..get("h", "/x/?q=v&quite=long-one")
            };
            let got = built.ask(ask);
            assert!(got.starts_with("a_default"), "{row}: {got}\n{}", built.text);
        }
    }
}

#[test]
fn of_equals_that_are_no_group_the_one_read_later_is_asked_first() {
    // labels of a Host's selector tell groups apart, and count for nothing in the order
    let host = |name: &str, label: &str| {
        object(
            "Host",
            name,
            &format!(
                "{{hostname: '*', mappingSelector: {{matchLabels: {{of: {label}}}}}, requestPolicy: {{insecure: {{action: Route}}}}}}"
            ),
        )
    };
    let one = |name: &str, service: &str, label: &str| {
        labelled(
            "v3alpha1",
            "Mapping",
            name,
            &format!("{{of: {label}, all: yes}}"),
            &format!("{{prefix: /x/, service: {service}}}"),
        )
    };
    let all = object(
        "Host",
        "z-all",
        "{hostname: '*', mappingSelector: {matchLabels: {all: 'yes'}}, requestPolicy: {insecure: {action: Route}}}",
    );
    let built = build(&[
        LISTENER.to_owned(),
        host("one", "one"),
        host("two", "two"),
        all,
        one("m", "a", "one"),
        one("n", "b", "two"),
    ]);
    assert!(built.has("emissary::second-host"));
    assert_eq!(built.get("h", "/x/"), "b_default /");
}

/// Where requests with the seeds from 0 to 999 go, in counts.
fn shares(built: &Built, path: &str) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for seed in 0..1000 {
        let ask = Ask {
            seed,
            ..get("h", path)
        };
        *counts.entry(built.ask(ask)).or_default() += 1;
    }
    counts.into_iter().collect()
}

fn near(got: &[(String, usize)], want: &[(&str, usize)]) {
    assert_eq!(got.len(), want.len(), "{got:?}");
    for ((name, count), (wanted, share)) in got.iter().zip(want) {
        assert_eq!(name, wanted);
        // five standard deviations of a share of a thousand
        assert!(count.abs_diff(*share) < 80, "{got:?}");
    }
}

#[test]
fn a_weight_is_a_share_of_the_group_and_the_rest_goes_to_those_without() {
    let built = served(&[
        to("main", "a", "prefix: /x/"),
        to("canary", "b", "prefix: /x/, weight: 20"),
    ]);
    built.is_clean();
    near(
        &shares(&built, "/x/"),
        &[("a_default /", 800), ("b_default /", 200)],
    );
}

#[test]
fn those_without_a_weight_share_the_rest_in_equal_parts() {
    let built = served(&[
        to("m", "a", "prefix: /x/, weight: 40"),
        to("n", "b", "prefix: /x/"),
        to("o", "far.other:8080", "prefix: /x/"),
    ]);
    built.is_clean();
    near(
        &shares(&built, "/x/"),
        &[
            ("a_default /", 400),
            ("b_default /", 300),
            ("far_other_8080_default /", 300),
        ],
    );
}

#[test]
fn weights_below_a_hundred_let_the_rest_fall_to_the_next_route() {
    let built = served(&[
        to("m", "a", "prefix: /x/, weight: 30"),
        to("n", "b", "prefix: /x/, weight: 20"),
        to("rest", "far.other:8080", "prefix: /, rewrite: ''"),
    ]);
    assert!(built.has("emissary::weight"), "{}", built.text);
    near(
        &shares(&built, "/x/"),
        &[
            ("a_default /", 300),
            ("b_default /", 200),
            ("far_other_8080_default /x/", 500),
        ],
    );
}

#[test]
fn one_that_is_alone_has_everything_whatever_its_weight() {
    let built = served(&[to("m", "a", "prefix: /x/, weight: 30")]);
    assert!(built.has("emissary::weight"), "{}", built.text);
    near(&shares(&built, "/x/"), &[("a_default /", 1000)]);
}

#[test]
fn weights_above_a_hundred_are_an_error() {
    let built = served(&[
        to("m", "a", "prefix: /x/, weight: 60"),
        to("n", "b", "prefix: /x/, weight: 50"),
    ]);
    assert!(built.problems.has_errors(), "{}", built.text);
    assert!(
        built.text.contains("come to 110 per cent"),
        "{}",
        built.text
    );
}

#[test]
fn a_canary_at_a_hundred_leaves_nothing_to_the_others() {
    let built = served(&[
        to("m", "a", "prefix: /x/"),
        to("n", "b", "prefix: /x/, weight: 100"),
    ]);
    built.is_clean();
    near(&shares(&built, "/x/"), &[("b_default /", 1000)]);
}

#[test]
fn a_mapping_that_differs_from_its_group_is_left_out() {
    for (row, first, second) in [
        ("timeout", "timeout_ms: 1", "timeout_ms: 2"),
        ("connect timeout", "", "connect_timeout_ms: 10"),
        ("breakers", "", "circuit_breakers: [{max_connections: 1}]"),
        ("kind of path", "", "prefix_exact: true"),
        ("auth", "bypass_auth: true", "bypass_auth: false"),
        (
            "balancer",
            "resolver: endpoint",
            "resolver: endpoint, load_balancer: {policy: maglev, header: x}",
        ),
    ] {
        let built = served(&[
            to("m", "a", &format!("prefix: /x/, {first}")),
            to("n", "b", &format!("prefix: /x/, {second}")),
        ]);
        assert_eq!(
            built.has("emissary::left-out"),
            row != "timeout",
            "{row}\n{}",
            built.text
        );
    }
}

#[test]
fn each_of_a_group_has_its_own_timeout_and_rewrite_and_the_last_one_read_decides_of_retries() {
    let built = served(&[
        to(
            "m",
            "a",
            "prefix: /x/, weight: 50, timeout_ms: 1000, rewrite: /one/, retry_policy: {retry_on: 5xx, num_retries: 1}",
        ),
        to(
            "n",
            "b",
            "prefix: /x/, weight: 50, timeout_ms: 2000, rewrite: /two/, retry_policy: {retry_on: gateway-error, num_retries: 2}",
        ),
    ]);
    built.is_clean();
    near(
        &shares(&built, "/x/"),
        &[("a_default /one/", 500), ("b_default /two/", 500)],
    );
    let forward = built.forward();
    let retry = forward.retry.expect("retries");
    assert_eq!(retry.retries.value, 2);
    let millis = forward.timeout.value.expect("a timeout").as_millis();
    assert!([1000, 2000].contains(&millis));
}

#[test]
fn headers_of_a_groups_mappings_are_added_by_all_of_them() {
    let built = served(&[
        to(
            "m",
            "a",
            "prefix: /x/, add_request_headers: {x-one: {value: m}, x-both: {value: m}}",
        ),
        to(
            "n",
            "b",
            "prefix: /x/, weight: 1, add_request_headers: {x-two: {value: n}, x-both: {value: n}}",
        ),
    ]);
    let ask = Ask {
        seed: 3,
        ..get("h", "/x/")
    };
    assert_eq!(
        built.ask(ask),
        "a_default / x-both=n x-one=m x-two=n",
        "{}",
        built.text
    );
}

#[test]
fn a_shadow_has_copies_and_takes_no_requests() {
    let built = served(&[
        to("m", "a", "prefix: /x/"),
        to("s", "b", "prefix: /x/, shadow: true, weight: 10"),
    ]);
    built.is_clean();
    near(&shares(&built, "/x/"), &[("a_default /", 1000)]);
    let forward = built.forward();
    let [mirror] = &forward.mirrors[..] else {
        panic!("one shadow")
    };
    assert_eq!(mirror.share.value.as_ppm(), 100_000);
    assert!(mirror.shadow_host);
    let config = built.config();
    let name = &config.sections[0].clusters()[mirror.cluster.0 as usize].name;
    assert_eq!(&**name, "cluster_shadow_b_default_default");

    let built = served(&[
        to("m", "a", "prefix: /x/"),
        to("s", "b", "prefix: /x/, shadow: true"),
        to("t", "b", "prefix: /x/, shadow: true, cluster_tag: t"),
    ]);
    assert!(built.has("emissary::left-out"));
    assert_eq!(built.forward().mirrors[0].share.value.as_ppm(), 1_000_000);

    let alone = served(&[to("s", "b", "prefix: /x/, shadow: true")]);
    assert_eq!(alone.get("h", "/x/"), "404");
}
