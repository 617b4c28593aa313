//! Who has a proxy.

use super::harness::*;
use crate::model::SidecarRules;

#[test]
fn the_annotation_of_pods_decides() {
    for (annotations, expected) in [
        ("", false),
        ("consul.hashicorp.com/connect-inject: \"true\"", true),
        ("consul.hashicorp.com/connect-inject: \"t\"", true),
        ("consul.hashicorp.com/connect-inject: \"1\"", true),
        ("consul.hashicorp.com/connect-inject: \"false\"", false),
        ("consul.hashicorp.com/connect-inject: \"0\"", false),
        (
            "consul.hashicorp.com/connect-inject: \"true\", consul.hashicorp.com/gateway-kind: api-gateway",
            false,
        ),
    ] {
        let world = only(&[app("web", annotations)]);
        assert_eq!(world.is_meshed("web"), expected, "{annotations}");
    }
}

#[test]
fn system_namespaces_have_none() {
    for namespace in ["kube-system", "kube-public", "local-path-storage"] {
        let there = app("web", MESHED).replace(
            "{name: web}",
            &format!("{{name: web, namespace: {namespace}}}"),
        );
        assert!(!only(&[there]).is_meshed("web"), "{namespace}");
    }
}

#[test]
fn the_scenario_decides_where_nothing_is_said() {
    let rules = |inject: &str, skip: &str| SidecarRules {
        inject: vec![inject.into()],
        skip: vec![skip.into()],
    };
    for (annotations, rules, expected) in [
        ("", rules("default", ""), true),
        ("", rules("default/web", ""), true),
        ("", rules("default", "default/web"), false),
        (
            "consul.hashicorp.com/connect-inject: \"false\"",
            rules("default", ""),
            false,
        ),
    ] {
        let world = build(&[app("web", annotations)], rules);
        assert_eq!(world.is_meshed("web"), expected, "{annotations}");
    }
}

#[test]
fn transparent_is_said_by_pods_then_by_their_namespace_then_by_the_chart() {
    let namespace = |value: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: default, labels: {{consul.hashicorp.com/transparent-proxy: \"{value}\"}}}}\n---\n"
        )
    };
    let pods =
        |value: &str| format!("{MESHED}, consul.hashicorp.com/transparent-proxy: \"{value}\"");
    for (parts, expected) in [
        (vec![app("shop", MESHED)], true),
        (vec![app("shop", MESHED), namespace("false")], false),
        (vec![app("shop", &pods("true")), namespace("false")], true),
        (vec![app("shop", &pods("false")), namespace("true")], false),
    ] {
        let mut all = parts.clone();
        all.push(app("api", &pods("true")));
        all.push(http("api"));
        let world = only(&all);
        let action = world.service_connection("shop", "api");
        let is_http = matches!(action, proxy_core::config::ChainAction::Http(_));
        assert_eq!(is_http, expected, "{parts:?}");
    }
}

#[test]
fn a_service_has_the_name_that_its_pods_give_it() {
    let named = format!("{MESHED}, consul.hashicorp.com/connect-service: public");
    let world = with(&[app("shop", &named), http("public")]);
    let (_, clusters) = world.call("web", "shop", get("/"));
    assert_eq!(&*clusters[0].service, "public");
    let identity = clusters[0].endpoints.endpoints[0].identity.as_deref();
    assert_eq!(
        identity,
        Some("spiffe://cluster.consul/ns/default/dc/dc1/svc/public")
    );
}

#[test]
fn services_may_be_left_out_of_the_catalog() {
    let ignored = service("other").replace(
        "{name: other}",
        "{name: other, labels: {consul.hashicorp.com/service-ignore: \"true\"}}",
    );
    let ignored = ignored.replace("{app: other}", "{app: web}");
    let world = with(&[http("web"), ignored.clone()]);
    assert_eq!(world.complaints(), Vec::<&str>::new());
    bytes_of(&world.service_connection("api", "other"));
    http_of(&world.service_connection("api", "web"));
    // without the label the pods do not start
    let both = ignored.replace(
        ", labels: {consul.hashicorp.com/service-ignore: \"true\"}",
        "",
    );
    assert_eq!(
        with(std::slice::from_ref(&both)).complaints(),
        ["consul::several-services"]
    );
    // unless the pods say which counts
    let chosen = format!("{MESHED}, consul.hashicorp.com/kubernetes-service: web");
    let world = only(&[app("web", &chosen), both]);
    assert_eq!(world.complaints(), Vec::<&str>::new());
}

#[test]
fn instances_that_are_not_transparent_have_no_address() {
    let old = format!("{MESHED}, consul.hashicorp.com/transparent-proxy: \"false\"");
    let world = with(&[app("old", &old), http("old")]);
    // who calls its Service passes by the mesh, and reaches the application, which is open
    bytes_of(&world.service_connection("web", "old"));
}

#[test]
fn pods_behind_no_service_wait_until_they_are_registered() {
    let world = only(&[deployment("worker", "worker", MESHED)]);
    assert_eq!(world.complaints(), ["consul::no-service"]);
    assert!(world.is_meshed("worker"));
}

#[test]
fn a_service_without_an_address_is_known_to_no_proxy() {
    let headless = app("pair", MESHED).replace(
        "spec: {selector: {app: pair}",
        "spec: {clusterIP: None, selector: {app: pair}",
    );
    let world = with(&[headless]);
    assert_eq!(world.complaints(), ["consul::headless"]);
}

#[test]
fn a_port_that_leads_elsewhere_in_kubernetes_leads_to_the_one_port() {
    let two = app("two", MESHED).replace(
        "targetPort: 8080}]",
        "name: a, targetPort: 8080}, {port: 90, name: b, targetPort: 9090}]",
    );
    let world = with(&[two]);
    assert_eq!(world.complaints(), ["consul::one-port"]);
    assert!(
        world
            .lines()
            .contains("port 90 of `default/two` leads to port 8080"),
        "{}",
        world.lines()
    );
}
