//! Istio's bookshop: a page that asks two services, one of which has three versions.
//!
//! Every guide stands beside the same manifests, as files that are applied one after the other.

use super::asked::{World, ask, get};

const FILES: &[(&str, &str)] = &[
    ("bookinfo.yaml", include_str!("data/bookinfo.yaml")),
    ("subsets.yaml", include_str!("data/subsets.yaml")),
    ("all-v1.yaml", include_str!("data/all-v1.yaml")),
    ("canary.yaml", include_str!("data/canary.yaml")),
    ("by-user.yaml", include_str!("data/by-user.yaml")),
    ("faults.yaml", include_str!("data/faults.yaml")),
    ("timeouts.yaml", include_str!("data/timeouts.yaml")),
    ("mirror.yaml", include_str!("data/mirror.yaml")),
    ("breaker.yaml", include_str!("data/breaker.yaml")),
    ("outside.yaml", include_str!("data/outside.yaml")),
    ("security.yaml", include_str!("data/security.yaml")),
];

const REVIEWS: &str = "http://reviews:9080/reviews/0";

/// The shop, and some of the guides' files after each other.
fn shop(guides: &[&str]) -> World {
    let names = ["bookinfo.yaml"].iter().chain(guides);
    let files = names.map(|name| {
        let mut all = FILES.iter();
        *all.find(|(known, _)| known == name).expect("a file")
    });
    World::meshed(&files.collect::<Vec<_>>(), "istio@1.29")
}

#[test]
fn the_shop_as_it_is_installed() {
    let shop = shop(&[]);
    let gateway = "istio-system/istio-ingressgateway";
    let told = shop
        .asked()
        .at(gateway, &get("http://shop.example/productpage"))
        .at(gateway, &get("http://shop.example/static/jquery.js"))
        .at(
            gateway,
            &get("http://shop.example/api/v1/products/0/reviews"),
        )
        .at(gateway, &get("http://shop.example/productpage/more"))
        .at(gateway, &get("http://shop.example/"))
        .from("productpage-v1", &get("http://details:9080/details/0"))
        .from("productpage-v1", &get(REVIEWS))
        .from("reviews-v2", &get("http://ratings:9080/ratings/0"))
        .from("productpage-v1", &get("http://nobody.example/"))
        .into("reviews-v1", 9080, true, &get(REVIEWS))
        .into("reviews-v1", 9080, false, &get(REVIEWS))
        .told();
    insta::assert_snapshot!(format!("{}\n{}{told}", shop.proxies(), shop.lines()));
}

#[test]
fn every_service_in_its_first_version() {
    let shop = shop(&["subsets.yaml", "all-v1.yaml"]);
    let told = shop
        .asked()
        .from("productpage-v1", &get(REVIEWS))
        .from("productpage-v1", &get("http://details:9080/details/0"))
        .from("reviews-v3", &get("http://ratings.bookinfo:9080/ratings/0"))
        .told();
    insta::assert_snapshot!(format!("{}{told}", shop.lines()));
}

#[test]
fn a_canary_gets_a_tenth() {
    let shop = shop(&["subsets.yaml", "all-v1.yaml", "canary.yaml"]);
    let told = shop.asked().from("productpage-v1", &get(REVIEWS)).told();
    insta::assert_snapshot!(format!("{}{told}", shop.lines()));
}

#[test]
fn one_user_sees_another_version() {
    let shop = shop(&["subsets.yaml", "all-v1.yaml", "by-user.yaml"]);
    let told = shop
        .asked()
        .from("productpage-v1", &get(REVIEWS).with("end-user", "jason"))
        .from("productpage-v1", &get(REVIEWS).with("end-user", "Jason"))
        .from("productpage-v1", &get(REVIEWS))
        .told();
    insta::assert_snapshot!(format!("{}{told}", shop.lines()));
}

#[test]
fn ratings_are_late_for_one_user_and_fail_for_another() {
    let shop = shop(&["subsets.yaml", "all-v1.yaml", "faults.yaml"]);
    let ratings = get("http://ratings:9080/ratings/0");
    let told = shop
        .asked()
        .from("reviews-v2", &ratings.clone().with("end-user", "jason"))
        .from("reviews-v2", &ratings.clone().with("end-user", "kate"))
        .from("reviews-v2", &ratings)
        .told();
    insta::assert_snapshot!(format!("{}{told}", shop.lines()));
}

#[test]
fn timeouts_and_retries_of_routes() {
    let shop = shop(&["subsets.yaml", "all-v1.yaml", "timeouts.yaml"]);
    let told = shop
        .asked()
        .from("productpage-v1", &get(REVIEWS))
        .from("productpage-v1", &get("http://details:9080/details/0"))
        .from(
            "productpage-v1",
            &ask("POST", "http://details:9080/details/0"),
        )
        .from(
            "productpage-v1",
            &ask("POST", "http://details:9080/details/all"),
        )
        .told();
    insta::assert_snapshot!(format!("{}{told}", shop.lines()));
}

#[test]
fn a_quarter_is_copied_to_the_third_version() {
    let shop = shop(&["subsets.yaml", "all-v1.yaml", "mirror.yaml"]);
    let told = shop.asked().from("productpage-v1", &get(REVIEWS)).told();
    insta::assert_snapshot!(format!("{}{told}", shop.lines()));
}

#[test]
fn limits_and_ejection_of_a_destination() {
    let shop = shop(&["subsets.yaml", "all-v1.yaml", "canary.yaml", "breaker.yaml"]);
    let told = shop
        .asked()
        .from("productpage-v1", &get(REVIEWS))
        .into("reviews-v1", 9080, true, &get(REVIEWS))
        .told();
    insta::assert_snapshot!(format!("{}{told}", shop.lines()));
}

#[test]
fn hosts_outside() {
    let shop = shop(&["outside.yaml"]);
    let told = shop
        .asked()
        .from(
            "details-v1",
            &get("http://books.example.com/volumes?q=isbn"),
        )
        .from("details-v1", &get("https://search.example.com/"))
        .from("details-v1", &get("http://other.example.com/"))
        .from("details-v1", &get("https://other.example.com/"))
        .told();
    insta::assert_snapshot!(format!("{}{told}", shop.lines()));
}

#[test]
fn what_is_said_of_who_may_call() {
    let shop = shop(&["security.yaml"]);
    let told = shop
        .asked()
        .into(
            "productpage-v1",
            9080,
            true,
            &get("http://productpage:9080/"),
        )
        .into(
            "productpage-v1",
            9080,
            false,
            &get("http://productpage:9080/"),
        )
        .told();
    insta::assert_snapshot!(format!("{}{told}", shop.lines()));
}
