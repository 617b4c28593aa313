use std::collections::BTreeSet;

use super::harness::{Asks, Read, Request};

const REVIEWS: &str = "reviews.default.svc.cluster.local";

/// A VirtualService that answers every request with a status.
fn answers(name: &str, namespace: &str, hosts: &str, status: u16, more: &str) -> String {
    let more: String = more.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: {namespace}}}
spec:\n  hosts: {hosts}\n  http: [{{directResponse: {{status: {status}}}}}]\n{more}---\n"
    )
}

#[test]
fn the_first_rule_that_matches_takes_a_request() {
    let read = Read::spec(
        "http:
- match: [{uri: {prefix: /a}}, {headers: {x-a: {}}}]
  route: [{destination: {host: ratings}}]
- match: [{uri: {prefix: /a/b}}]
  redirect: {uri: /never}
- match: [{uri: {exact: /c}}]
  directResponse: {status: 200}
- route: [{destination: {host: details}}]
- match: [{uri: {exact: /d}}]
  directResponse: {status: 204}",
    );
    let rows = [
        (Request::get("/a"), "ratings.default:9080"),
        (Request::get("/a/b"), "ratings.default:9080"),
        (Request::with(&[("x-a", "1")]), "ratings.default:9080"),
        (Request::get("/c"), "200"),
        (Request::get("/"), "details.default:9080"),
        (Request::get("/d"), "details.default:9080"),
    ];
    for (request, cluster) in rows {
        assert_eq!(read.decide(&request), cluster, "{}", request.path);
    }
    // each condition is a route, and nothing follows the rule without any
    assert_eq!(read.reviews().len(), 5);
}

#[test]
fn nothing_follows_a_condition_that_takes_everything() {
    for (all, routes) in [
        ("{uri: {prefix: /}}", 1),
        ("{uri: {regex: '.*'}}", 1),
        ("{port: 9080}", 1),
        ("{sourceNamespace: default}", 1),
        ("{uri: {prefix: /}, method: {exact: GET}}", 2),
        ("{uri: {prefix: /}, headers: {x-a: {}}}", 2),
        ("{uri: {prefix: /}, queryParams: {a: {}}}", 2),
        ("{uri: {prefix: /}, scheme: {exact: http}}", 2),
        ("{uri: {prefix: /a}}", 2),
    ] {
        let read = Read::spec(&format!(
            "http: [{{match: [{all}], directResponse: {{status: 200}}}}, {{directResponse: {{status: 204}}}}]"
        ));
        assert_eq!(read.reviews().len(), routes, "{all}");
    }
}

#[test]
fn names_without_a_dot_are_of_the_same_namespace() {
    let rows = [
        ("default", "[reviews]", "200"),
        ("default", "[reviews.default.svc.cluster.local]", "200"),
        ("default", "[REVIEWS]", "200"),
        ("far", "[reviews]", "default"),
        ("far", "[reviews.default.svc.cluster.local]", "200"),
        ("default", "[reviews.default]", "default"),
        ("default", "['*.default.svc.cluster.local']", "200"),
        ("default", "['*']", "200"),
        ("default", "['*.far.svc.cluster.local']", "default"),
        ("default", "[ratings, reviews]", "200"),
    ];
    for (namespace, hosts, expected) in rows {
        let read = Read::yaml(&answers("vs", namespace, hosts, 200, ""));
        let found = read.decide(&Request::get("/"));
        assert_eq!(found, expected, "{namespace} {hosts}");
    }
}

#[test]
fn of_several_for_one_host_the_first_by_name_counts_for_sidecars() {
    let read = Read::yaml(
        &[
            answers("b", "default", "[reviews]", 201, ""),
            answers("a", "default", "[reviews]", 200, ""),
        ]
        .concat(),
    );
    assert_eq!(read.decide(&Request::get("/")), "200");
    // one that has no route for the port leaves it to the next
    let other_port = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}
spec: {hosts: [reviews], http: [{match: [{port: 1}], directResponse: {status: 200}}]}\n---\n";
    let next = answers("b", "default", "[reviews]", 201, "");
    let read = Read::yaml(&format!("{other_port}{next}"));
    assert_eq!(read.decide(&Request::get("/")), "201");
}

#[test]
fn an_exact_host_counts_before_wildcards_and_a_longer_one_before_a_shorter() {
    let rows = [
        (vec!["['*']", "[reviews]"], "201"),
        (vec!["['*.default.svc.cluster.local']", "['*']"], "200"),
        (vec!["['*']", "['*.default.svc.cluster.local']"], "201"),
        (vec!["['*.cluster.local']", "['*.cluster.local']"], "200"),
        (vec!["['*']", "[ratings]"], "200"),
    ];
    for (hosts, expected) in rows {
        let all = hosts.iter().enumerate().map(|(nth, hosts)| {
            answers(&format!("vs{nth}"), "default", hosts, 200 + nth as u16, "")
        });
        let read = Read::yaml(&all.collect::<String>());
        assert_eq!(read.decide(&Request::get("/")), expected, "{hosts:?}");
    }
}

#[test]
fn only_those_it_is_exported_to_see_it() {
    let rows = [
        ("", "default", "200"),
        ("", "far", "200"),
        ("exportTo: ['*']", "far", "200"),
        ("exportTo: ['.']", "default", "200"),
        ("exportTo: ['.']", "far", "default"),
        ("exportTo: [far]", "far", "200"),
        ("exportTo: [far]", "default", "default"),
        ("exportTo: ['.', far]", "far", "200"),
    ];
    for (export, namespace, expected) in rows {
        let read = Read::yaml(&answers("vs", "default", "[reviews]", 200, export));
        let asks = Asks {
            namespace,
            ..Asks::of(REVIEWS)
        };
        let found = read.decide_for(&asks, &Request::get("/"));
        assert_eq!(found, expected, "{export} {namespace}");
    }
}

const EDGE: &str = "apiVersion: networking.istio.io/v1\nkind: Gateway
metadata: {name: edge, namespace: default}\nspec: {servers: []}\n---\n";

#[test]
fn sidecars_take_it_unless_it_is_bound_to_gateways_alone() {
    let rows = [
        ("", "mesh", "200"),
        ("", "default/edge", "default"),
        ("gateways: [mesh]", "mesh", "200"),
        ("gateways: [edge]", "mesh", "default"),
        ("gateways: [edge]", "default/edge", "200"),
        ("gateways: [edge, mesh]", "mesh", "200"),
        ("gateways: [default/edge, mesh]", "default/edge", "200"),
    ];
    for (gateways, gateway, expected) in rows {
        let vs = answers("vs", "default", "[reviews]", 200, gateways);
        let read = Read::yaml(&format!("{EDGE}{vs}"));
        let asks = Asks {
            gateway,
            ..Asks::of(REVIEWS)
        };
        let found = read.decide_for(&asks, &Request::get("/"));
        assert_eq!(found, expected, "{gateways} {gateway}");
        assert_eq!(read.problems(), "", "{gateways}");
    }
}

#[test]
fn a_condition_may_ask_for_callers_and_gateways() {
    let rows = [
        ("{sourceLabels: {app: a}}", "mesh", "default", true),
        ("{sourceLabels: {app: b}}", "mesh", "default", false),
        ("{sourceLabels: {app: a, x: y}}", "mesh", "default", false),
        ("{sourceNamespace: default}", "mesh", "default", true),
        ("{sourceNamespace: default}", "mesh", "far", false),
        ("{gateways: [mesh]}", "mesh", "default", true),
        ("{gateways: [edge]}", "mesh", "default", false),
        ("{gateways: [edge]}", "default/edge", "default", true),
        // where gateways are written, labels do not count
        (
            "{gateways: [mesh], sourceLabels: {app: b}}",
            "mesh",
            "default",
            true,
        ),
    ];
    for (condition, gateway, namespace, takes) in rows {
        let read = Read::yaml(&format!(
            "{EDGE}apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: vs}}
spec: {{hosts: [reviews], gateways: [mesh, edge], http: [{{match: [{condition}], directResponse: {{status: 200}}}}]}}"
        ));
        let asks = Asks {
            gateway,
            namespace,
            labels: vec![("app", "a")],
            ..Asks::of(REVIEWS)
        };
        let expected = if takes { "200" } else { "default" };
        let found = read.decide_for(&asks, &Request::get("/"));
        assert_eq!(found, expected, "{condition} {gateway} {namespace}");
        assert_eq!(read.problems(), "", "{condition}");
    }
}

#[test]
fn hosts_that_nobody_has_on_a_port_are_listed() {
    let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: se}
spec: {hosts: [api.example.com], ports: [{number: 443, name: tls, protocol: TLS}]}\n---\n";
    let hosts = "[reviews, api.example.com, www.example.com, '*.example.org', '*.example.com']";
    let read = Read::yaml(&format!(
        "{entry}{}",
        answers("vs", "default", hosts, 200, "")
    ));
    let labels = crate::model::Labels::new();
    let caller = super::super::Caller {
        namespace: "default",
        labels: &labels,
    };
    let api = BTreeSet::from(["api.example.com"]);
    let none = BTreeSet::new();
    let others = [
        "*.example.org",
        "reviews.default.svc.cluster.local",
        "www.example.com",
    ];
    let every = [
        "*.example.com",
        "*.example.org",
        "api.example.com",
        "reviews.default.svc.cluster.local",
        "www.example.com",
    ];
    // the port, who listens on it, who of them reads requests, and the hosts
    let rows: [(u16, _, _, &[&str]); 4] = [
        (443, &api, &none, &[]),
        (443, &api, &api, &others),
        (80, &api, &none, &others),
        (80, &none, &none, &every),
    ];
    for (port, all, http, expected) in rows {
        let found = read.all().hosts(caller, port, all, http);
        assert!(
            found.iter().eq(expected),
            "{port} {all:?} {http:?}: {found:?}"
        );
    }
    // and has routes like any other
    let asks = Asks {
        port: 80,
        ..Asks::of("www.example.com")
    };
    assert_eq!(read.decide_for(&asks, &Request::get("/")), "200");
}

#[test]
fn callers_are_told_apart_by_the_labels_that_conditions_ask_for() {
    let read = Read::spec(
        "http: [{match: [{sourceLabels: {app: a}}, {sourceLabels: {v: '1'}}], directResponse: {status: 200}}]",
    );
    let told = |labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        let labels = labels.collect();
        read.all().tells_apart(super::super::Caller {
            namespace: "default",
            labels: &labels,
        })
    };
    assert_eq!(told(&[("app", "a"), ("x", "1")]), told(&[("app", "a")]));
    assert_ne!(told(&[("app", "a")]), told(&[]));
    assert_ne!(told(&[("app", "a")]), told(&[("v", "1")]));
}
