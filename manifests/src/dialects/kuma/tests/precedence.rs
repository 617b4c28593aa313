//! Which of several policies counts.

use proxy_core::time::Duration;

use super::harness::{Built, forward_of, get, named, policy, to_all, to_web, with};

/// Settings of the request timeout.
fn timeout(name: &str, namespace: &str, target: &str, to: &str, seconds: u32) -> String {
    let target = if target.is_empty() {
        String::new()
    } else {
        format!("targetRef: {{{target}}}, ")
    };
    let conf = format!("http: {{requestTimeout: {seconds}s}}");
    named(
        "MeshTimeout",
        name,
        namespace,
        &format!("{target}to: [{{targetRef: {{{to}}}, default: {{{conf}}}}}]"),
    )
}

fn seconds(built: &Built) -> u64 {
    let timeout = built.web("/").timeout.value.expect("a timeout");
    timeout.as_millis() / 1000
}

const WEB: &str = "kind: MeshService, name: web_shop_svc_80";
const ALL: &str = "kind: Mesh";

#[test]
fn the_more_specific_policy_counts() {
    let rows: &[(&str, &[String], u64)] = &[
        ("a stock one", &[], 15),
        ("one for all", &[timeout("a", "kuma-system", "", ALL, 1)], 1),
        (
            "its destination before all of them",
            &[
                timeout("a", "kuma-system", "", ALL, 1),
                timeout("b", "kuma-system", "", WEB, 2),
            ],
            2,
        ),
        (
            "its proxies before its destination",
            &[
                timeout(
                    "a",
                    "kuma-system",
                    "kind: Dataplane, labels: {app: api}",
                    ALL,
                    1,
                ),
                timeout("b", "kuma-system", "", WEB, 2),
            ],
            1,
        ),
        (
            "proxies by tags before proxies by labels",
            &[
                timeout(
                    "a",
                    "kuma-system",
                    "kind: Dataplane, labels: {app: api}",
                    ALL,
                    1,
                ),
                timeout(
                    "b",
                    "kuma-system",
                    "kind: MeshSubset, tags: {app: api}",
                    ALL,
                    2,
                ),
            ],
            2,
        ),
        (
            "other proxies' not at all",
            &[timeout(
                "a",
                "kuma-system",
                "kind: Dataplane, labels: {app: db}",
                WEB,
                1,
            )],
            15,
        ),
        (
            "those of the namespace of the callers before those of the owners before those for everybody",
            &[
                timeout("a", "kuma-system", "", WEB, 1),
                timeout("b", "shop", "", WEB, 2),
                timeout("c", "shop", "", ALL, 3),
            ],
            3,
        ),
        (
            "those of the owners before those for everybody",
            &[
                timeout("a", "kuma-system", "", WEB, 1),
                timeout("b", "shop", "", "kind: MeshService, name: web", 2),
            ],
            2,
        ),
        (
            "callers of another namespace do not go by those of callers",
            &[timeout("a", "far", "", ALL, 1)],
            15,
        ),
        (
            "of equals the first by name",
            &[
                timeout("b", "kuma-system", "", WEB, 2),
                timeout("a", "kuma-system", "", WEB, 1),
            ],
            1,
        ),
        (
            "a port before its Service",
            &[
                timeout("a", "shop", "", "kind: MeshService, name: web", 1),
                timeout(
                    "b",
                    "shop",
                    "",
                    "kind: MeshService, name: web, sectionName: http",
                    2,
                ),
            ],
            2,
        ),
        (
            "by labels",
            &[timeout(
                "a",
                "kuma-system",
                "",
                "kind: MeshService, labels: {team: web}",
                1,
            )],
            1,
        ),
    ];
    for (name, objects, expected) in rows {
        let built = with(&objects.concat());
        assert_eq!(built.problems, "", "{name}");
        assert_eq!(seconds(&built), *expected, "{name}");
    }
}

#[test]
fn policies_are_merged_field_by_field() {
    let first = named(
        "MeshTimeout",
        "a",
        "kuma-system",
        &to_web("connectionTimeout: 1s"),
    );
    let second = named(
        "MeshTimeout",
        "b",
        "kuma-system",
        &to_all("connectionTimeout: 2s, http: {requestTimeout: 3s}"),
    );
    let built = with(&format!("{first}{second}"));
    let cluster = built.cluster("web_shop_svc_80");
    assert_eq!(cluster.connect_timeout.value, Duration::from_secs(1));
    assert_eq!(built.origin(cluster.connect_timeout.origin), "test.yaml:5");
    let forward = built.web("/");
    assert_eq!(forward.timeout.value, Some(Duration::from_secs(3)));
    assert_eq!(built.origin(forward.timeout.origin), "test.yaml:10");
    let idle = forward.idle_timeout.expect("stock");
    assert_eq!(idle.value, Duration::from_secs(1800));
    assert_eq!(built.origin(idle.origin), "default of kuma@2.14");
}

#[test]
fn a_policy_for_everybody_loses_to_a_stock_one_whose_name_comes_first() {
    let built = with(&timeout("slow", "kuma-system", "", ALL, 60));
    assert_eq!(seconds(&built), 15);
    assert_eq!(built.codes(), ["kuma::hidden"]);
    assert!(
        built.problems.contains("`mesh-timeout-all-default`"),
        "{}",
        built.problems
    );
    // what the stock one does not set counts
    let other = named(
        "MeshTimeout",
        "slow",
        "kuma-system",
        &to_all("http: {maxStreamDuration: 9s}"),
    );
    let built = with(&other);
    assert_eq!(built.problems, "");
    let stream = built.web("/").max_stream_duration.expect("set");
    assert_eq!(stream.value, Duration::from_secs(9));
    // and so does what a narrower one sets
    let narrow = timeout("slow", "kuma-system", "kind: Dataplane", ALL, 60);
    assert_eq!(seconds(&with(&narrow)), 60);
    let without = "---\napiVersion: kuma.io/v1alpha1\nkind: Mesh\nmetadata: {name: default}\nspec: {skipCreatingInitialPolicies: [MeshTimeout]}\n";
    let built = with(&format!(
        "{}{without}",
        timeout("slow", "kuma-system", "", ALL, 60)
    ));
    assert_eq!((seconds(&built), built.problems.as_str()), (60, ""));
}

#[test]
fn a_policy_for_a_route_passes_by_the_policies_for_its_service() {
    let route = named(
        "MeshHTTPRoute",
        "slow",
        "shop",
        "to: [{targetRef: {kind: MeshService, name: web}, rules: [{matches: [{path: {type: PathPrefix, value: /slow}}], default: {}}]}]",
    );
    let of_service = timeout("a", "shop", "", "kind: MeshService, name: web", 2);
    let of_route = named(
        "MeshTimeout",
        "b",
        "shop",
        "to: [{targetRef: {kind: MeshHTTPRoute, name: slow}, default: {http: {streamIdleTimeout: 7s}}}]",
    );
    let built = with(&[route, of_service, of_route].concat());
    assert_eq!(built.problems, "");
    let slow = forward_of(&built.call("web", &get("/slow")).expect("a route"));
    // not the 2 s of the Service, but the stock 15 s
    assert_eq!(slow.timeout.value, Some(Duration::from_secs(15)));
    assert_eq!(
        slow.idle_timeout.expect("its own").value,
        Duration::from_secs(7)
    );
    let other = built.web("/other");
    assert_eq!(other.timeout.value, Some(Duration::from_secs(2)));
    assert_eq!(
        other.idle_timeout.expect("stock").value,
        Duration::from_secs(1800)
    );
}

#[test]
fn a_policy_of_another_mesh_has_no_bearing() {
    let text = policy("MeshTimeout", &to_all("http: {requestTimeout: 1s}"));
    let text = text.replace(
        "namespace: kuma-system}",
        "namespace: kuma-system, labels: {kuma.io/mesh: other}}",
    );
    assert_eq!(seconds(&with(&text)), 15);
}

#[test]
fn a_shadow_has_no_bearing_and_is_listed() {
    let text = policy("MeshTimeout", &to_all("http: {requestTimeout: 1s}"));
    let text = text.replace(
        "namespace: kuma-system}",
        "namespace: kuma-system, labels: {kuma.io/effect: shadow}}",
    );
    let built = with(&text);
    assert_eq!(seconds(&built), 15);
    assert_eq!(built.codes(), ["kuma::shadow"]);
}

#[test]
fn callers_of_another_namespace_have_another_section() {
    let built = with(&timeout("a", "shop", "", ALL, 1));
    let of = |caller: &str| {
        let section = built.outbound(caller);
        let tables = section.tables();
        let table = tables.iter().find(|it| *it.name == *"web_shop_svc_80");
        forward_of(&table.expect("of web").virtual_hosts[0].routes[0])
    };
    assert_eq!(of("api").timeout.value, Some(Duration::from_secs(1)));
    assert_eq!(of("orders").timeout.value, Some(Duration::from_secs(15)));
}
