//! What policies do to what arrives.

use proxy_core::config::{HttpFilter, Share};
use proxy_core::limit::token_bucket::{Refill, Settings};
use proxy_core::time::Duration;

use super::harness::{Built, arriving, forward_of, http_of, named, policy, with};

fn filters(built: &Built, server: &str, port: u16) -> Vec<HttpFilter> {
    let listener = built.arriving(server, port);
    http_of(&listener.chains[0].action).filters.clone()
}

#[test]
fn a_rate_limit_is_a_bucket_of_what_an_interval_brings() {
    let conf = "local: {http: {requestRate: {num: 5, interval: 10s}, onRateLimit: {status: 423}}}";
    let built = with(&policy("MeshRateLimit", &arriving("web", conf)));
    assert_eq!(built.problems, "");
    let [HttpFilter::LocalRateLimit(Some(limit))] = &filters(&built, "web", 8080)[..] else {
        panic!("one limit")
    };
    let expected = Settings {
        max_tokens: 5,
        tokens_per_fill: 5,
        fill_interval: Duration::from_secs(10),
        refill: Refill::Continuous,
    };
    assert_eq!(limit.bucket, expected);
    assert_eq!(
        (limit.status, built.origin(limit.origin).as_str()),
        (423, "test.yaml:5")
    );
    assert!(filters(&built, "api", 8081).is_empty());
}

#[test]
fn limits_are_merged_and_may_be_turned_off() {
    let rate = |name: &str, namespace: &str, conf: &str| {
        let rules = format!("rules: [{{default: {{local: {{http: {{{conf}}}}}}}}}]");
        named("MeshRateLimit", name, namespace, &rules)
    };
    let base = rate("a", "kuma-system", "requestRate: {num: 5, interval: 1s}");
    let own = rate("b", "shop", "onRateLimit: {status: 503}");
    let built = with(&format!("{base}{own}"));
    let [HttpFilter::LocalRateLimit(Some(limit))] = &filters(&built, "web", 8080)[..] else {
        panic!("one limit")
    };
    assert_eq!((limit.bucket.max_tokens, limit.status), (5, 503));
    let off = rate("b", "shop", "disabled: true");
    assert!(filters(&with(&format!("{base}{off}")), "web", 8080).is_empty());
}

#[test]
fn faults_of_rules_add_up_and_those_of_from_are_merged() {
    let fault = |name: &str, list: &str, status: u16| {
        let item = match list {
            "from" => "targetRef: {kind: Mesh}, ",
            _ => "",
        };
        let conf =
            format!("default: {{http: [{{abort: {{httpStatus: {status}, percentage: 50}}}}]}}");
        let target = "targetRef: {kind: Dataplane, labels: {app: web}}";
        let spec = format!("{target}, {list}: [{{{item}{conf}}}]");
        named("MeshFaultInjection", name, "kuma-system", &spec)
    };
    let statuses = |text: String| {
        let built = with(&text);
        assert_eq!(built.problems, "");
        let filters = filters(&built, "web", 8080);
        let all = filters.into_iter().map(|it| {
            let HttpFilter::Fault(Some(fault)) = it else {
                panic!("{it:?}");
            };
            fault.abort.and_then(|it| it.status).expect("one")
        });
        all.collect::<Vec<u16>>()
    };
    let both = |list: &str| format!("{}{}", fault("a", list, 500), fault("b", list, 501));
    assert_eq!(statuses(both("rules")), [501, 500]);
    // the list is replaced as a whole, by the first by name
    assert_eq!(statuses(both("from")), [500]);
    let mixed = format!("{}{}", fault("a", "from", 500), fault("b", "rules", 501));
    assert_eq!(statuses(mixed), [501]);
}

#[test]
fn faults_come_before_the_rate_limit_and_delays_before_aborts() {
    let conf = "http: [{delay: {value: 2s, percentage: '12.5'}}, {abort: {httpStatus: 500, percentage: 1}}]";
    let fault = policy("MeshFaultInjection", &arriving("web", conf));
    let conf = "local: {http: {requestRate: {num: 1, interval: 1s}}}";
    let limit = named(
        "MeshRateLimit",
        "limit",
        "kuma-system",
        &arriving("web", conf),
    );
    let built = with(&format!("{limit}{fault}"));
    let filters = filters(&built, "web", 8080);
    let [
        HttpFilter::Fault(Some(first)),
        HttpFilter::Fault(Some(second)),
        HttpFilter::LocalRateLimit(Some(_)),
    ] = &filters[..]
    else {
        panic!("{filters:?}")
    };
    let delay = first.delay.expect("a pause");
    assert_eq!(delay.fixed, Some(Duration::from_secs(2)));
    assert_eq!(delay.share, Share::from_percent(12.5));
    assert_eq!(
        second.abort.expect("an answer").share,
        Share::from_percent(1.0)
    );
}

#[test]
fn timeouts_and_limits_of_what_arrives_are_those_of_rules() {
    let stock = with("");
    let section = stock.inbound("web");
    let cluster = &section.clusters()[0];
    assert_eq!(cluster.connect_timeout.value, Duration::from_secs(10));
    let idle = cluster.pool.idle_timeout.expect("two hours");
    assert_eq!(idle.value, Duration::from_secs(7200));
    assert_eq!(stock.origin(idle.origin), "default of kuma@2.14");
    assert_eq!(cluster.limits[0].connections.value, 1024);

    let timeouts = policy(
        "MeshTimeout",
        &arriving("web", "http: {requestTimeout: 3s}"),
    );
    let limits = named(
        "MeshCircuitBreaker",
        "limits",
        "kuma-system",
        &arriving("web", "connectionLimits: {maxConnections: 7}"),
    );
    let built = with(&format!("{timeouts}{limits}"));
    assert_eq!(built.problems, "");
    let section = built.inbound("web");
    let forward = forward_of(&section.tables()[0].virtual_hosts[0].routes[0]);
    assert_eq!(forward.timeout.value, Some(Duration::from_secs(3)));
    assert_eq!(
        forward.idle_timeout.expect("an hour").value,
        Duration::from_secs(3600)
    );
    assert_eq!(section.clusters()[0].limits[0].connections.value, 7);
}

#[test]
fn a_policy_may_be_for_one_port() {
    let spec = |section: &str| {
        format!(
            "targetRef: {{kind: Dataplane, labels: {{app: web}}, sectionName: {section}}}, rules: [{{default: {{local: {{http: {{requestRate: {{num: 1, interval: 1s}}}}}}}}}}]"
        )
    };
    let limited = |section: &str| {
        let built = with(&policy("MeshRateLimit", &spec(section)));
        filters(&built, "web", 8080).len()
    };
    // the container's port has no name, whatever the Service calls its own
    for (section, filters) in [("'8080'", 1), ("http", 0), ("'80'", 0), ("admin", 0)] {
        assert_eq!(limited(section), filters, "{section}");
    }
}

#[test]
fn a_port_that_the_container_names_goes_by_that_name_alone() {
    let web = "---\napiVersion: v1\nkind: Service\nmetadata: {name: named, namespace: shop}\nspec: {selector: {app: named}, ports: [{name: http, port: 80, targetPort: main, appProtocol: http}]}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: named, namespace: shop}\nspec:\n  selector: {matchLabels: {app: named}}\n  template:\n    metadata: {labels: {app: named}}\n    spec: {containers: [{name: app, image: x, ports: [{name: main, containerPort: 8080}]}]}\n";
    for (section, expected) in [("main", 1), ("http", 0), ("'8080'", 0)] {
        let spec = format!(
            "targetRef: {{kind: Dataplane, labels: {{app: named}}, sectionName: {section}}}, rules: [{{default: {{local: {{http: {{requestRate: {{num: 1, interval: 1s}}}}}}}}}}]"
        );
        let built = with(&format!("{web}{}", policy("MeshRateLimit", &spec)));
        assert_eq!(filters(&built, "named", 8080).len(), expected, "{section}");
    }
}

#[test]
fn rules_for_some_callers_hold_for_nobody_and_that_is_told() {
    let spec = "targetRef: {kind: Dataplane, labels: {app: web}}, rules: [{matches: [{spiffeID: {type: Exact, value: 'spiffe://a/b'}}], default: {http: [{abort: {httpStatus: 500, percentage: 1}}]}}]";
    let built = with(&policy("MeshFaultInjection", spec));
    assert_eq!(built.codes(), ["kuma::not-modelled"]);
    assert!(filters(&built, "web", 8080).is_empty());
    let spec = "targetRef: {kind: Dataplane, labels: {app: web}}, from: [{targetRef: {kind: MeshSubset, tags: {app: api}}, default: {http: [{abort: {httpStatus: 500, percentage: 1}}]}}]";
    let built = with(&policy("MeshFaultInjection", spec));
    assert_eq!(built.codes(), ["kuma::not-modelled"]);
    assert!(filters(&built, "web", 8080).is_empty());
}
