use super::harness::{accepted, refused, with_action, with_cluster};
use crate::envoy::read;

#[test]
fn an_unknown_field_is_an_error_with_the_nearest_name_and_its_place() {
    for (fields, line) in [
        (
            "lb_polcy: RANDOM",
            "b.yaml:4:5: error[field::unknown]: unknown field `lb_polcy`: did you mean `lb_policy`?",
        ),
        (
            "lbPolcy: RANDOM",
            "b.yaml:4:5: error[field::unknown]: unknown field `lb_polcy`: did you mean `lb_policy`?",
        ),
        (
            "dns_jiter: 1s",
            "b.yaml:4:5: error[field::unknown]: unknown field `dns_jiter`: did you mean `dns_jitter`?",
        ),
    ] {
        let refused = refused(&with_cluster(fields));
        assert_eq!(refused.diagnostics.to_lines(&refused.sources).trim(), line);
    }
}

#[test]
fn every_problem_of_a_file_is_told_at_once() {
    let text = with_action("cluster: aa\ntimeout: 250ms").replace(
        "  - name: c",
        "  - name: c\n    connect_timeout: 1\n    lb_policy: BEST",
    );
    let errors = refused(&text).errors();
    assert_eq!(errors.len(), 3, "{errors:#?}");
}

#[test]
fn problems_are_shown_in_the_text() {
    let text = with_action("cluster: aa\nretry_polcy: {}").replace(
        "  - name: c",
        "  - name: c\n    connect_timeout: 250ms\n  - name: b",
    );
    insta::assert_snapshot!(refused(&text).to_string());
}

#[test]
fn a_second_cluster_of_a_name_is_refused() {
    let text = format!("{}  - name: x\n", with_cluster(""));
    assert_eq!(
        refused(&text).errors(),
        ["envoy::duplicate-cluster: two clusters are called `x`"]
    );
}

#[test]
fn a_file_is_one_document_with_something_in_it() {
    assert_eq!(refused("").errors(), ["envoy::empty: the file is empty"]);
    assert_eq!(
        refused("{}\n---\n{}\n").errors(),
        ["envoy::documents: a bootstrap file is one document"]
    );
    assert!(read("b.yaml", "a: [").is_err());
    assert!(read("b.yaml", "just text").is_err());
}

#[test]
fn an_empty_bootstrap_is_a_node_that_does_nothing() {
    let b = accepted("{}");
    assert_eq!(&*b.config.name, "envoy");
    assert!(b.section().listeners().is_empty() && b.admin.is_none());
}

#[test]
fn the_node_has_a_name_a_locality_and_an_admin_address() {
    let b = accepted(
        "node: {id: n, cluster: c, locality: {region: r, zone: z}}\nadmin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}\n",
    );
    assert_eq!((&*b.config.name, &*b.locality), ("n", "r/z"));
    assert_eq!(b.admin, Some("127.0.0.1:9901".parse().unwrap()));
}

#[test]
fn what_would_be_fetched_is_noted() {
    let b = accepted("dynamic_resources: {lds_config: {path: /x}}\n");
    assert_eq!(b.notes(), ["`dynamic_resources` is not modelled"]);
    assert!(
        b.notices[0]
            .meaning()
            .unwrap()
            .starts_with("nothing is fetched")
    );
}

#[test]
fn a_typed_config_says_what_it_is() {
    let text = with_action("cluster: a").replace(
        "'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        "",
    );
    let errors = refused(&text).errors();
    assert_eq!(
        errors[0],
        "envoy::value: the last of `http_filters` must be the router"
    );
    assert_eq!(
        errors[1],
        "envoy::type: a typed config says what it is with `@type`"
    );
}
