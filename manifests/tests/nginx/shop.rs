//! A shop behind ingress-nginx, from its manifests to what becomes of requests, and what people are told.

use super::rig::{Built, Layers};

#[test]
fn nginx_serves_the_shop() {
    let built = Built::of(&Layers::files(&["controller.yaml", "shop.yaml"]));
    let facts = &built.model.gateways()[0];
    let mut out = format!(
        "{} in {} listens on {:?} for {:?}\n",
        facts.name, facts.namespace, facts.listens, facts.hosts
    );
    let none: &[(&str, &str)] = &[];
    type Row = (
        &'static str,
        &'static str,
        &'static [(&'static str, &'static str)],
    );
    let rows: [Row; 10] = [
        ("GET", "http://shop.example.com/api/orders?page=2", none),
        ("GET", "https://shop.example.com/", none),
        ("GET", "https://www.shop.example.com/a/", none),
        ("GET", "https://shop.example.com/api/orders?page=2", none),
        ("POST", "https://shop.example.com/api", &[("x-api", "next")]),
        (
            "GET",
            "https://shop.example.com/API/x",
            &[("cookie", "api_next=never")],
        ),
        ("GET", "https://shop.example.com/apis", none),
        ("GET", "https://other.example.com/", none),
        ("GET", "http://other.example.com/healthz", none),
        (
            "OPTIONS",
            "https://shop.example.com/api/orders",
            &[("origin", "https://a.example.com")],
        ),
    ];
    for (method, url, headers) in rows {
        out.push_str(&built.asked(method, url, headers));
    }
    insta::assert_snapshot!(out);
}

#[test]
fn nginx_tells_what_it_leaves_out() {
    let built = Built::of(&Layers::files(&["controller.yaml", "shop.yaml"]));
    assert!(!built.problems.has_errors());
    insta::assert_snapshot!(built.problems.render(&built.sources));
}
