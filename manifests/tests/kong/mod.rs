//! Kong's guides: a service that echoes, and two of a shop behind one host.

use super::asked::{World, ask, get};

const FILES: &[(&str, &str)] = &[
    ("kong.yaml", include_str!("data/kong.yaml")),
    ("paths.yaml", include_str!("data/paths.yaml")),
    ("plugins.yaml", include_str!("data/plugins.yaml")),
    ("upstreams.yaml", include_str!("data/upstreams.yaml")),
    ("gateway-api.yaml", include_str!("data/gateway-api.yaml")),
];

const KONG: &str = "kong/kong-gateway";

/// Kong and its Services, and some files after each other.
fn behind(others: &[&str]) -> World {
    let names = ["kong.yaml"].iter().chain(others);
    let files = names.map(|name| {
        let mut all = FILES.iter();
        *all.find(|(known, _)| known == name).expect("a file")
    });
    World::of(&files.collect::<Vec<_>>())
}

#[test]
fn services_behind_paths() {
    let world = behind(&["paths.yaml"]);
    let told = world
        .asked()
        .at(KONG, &get("http://203.0.113.80/echo/hello?x=1"))
        .at(KONG, &get("http://203.0.113.80/echoes"))
        .at(KONG, &get("http://203.0.113.80/"))
        .at(KONG, &get("http://shop.example/orders/7"))
        .at(KONG, &get("http://shop.example/items"))
        .at(KONG, &get("http://shop.example/itemsets"))
        .at(KONG, &get("http://shop.example/v2/items/7"))
        .at(
            KONG,
            &get("http://shop.example/items").with("x-tier", "Platinum"),
        )
        .at(
            KONG,
            &ask("PUT", "http://shop.example/items").with("x-tier", "gold"),
        )
        .at(KONG, &get("http://kept.example/orders/7"))
        .at(KONG, &get("http://kept.example/status"))
        .at(KONG, &get("http://kept.example/status/more"))
        .at(KONG, &get("http://old.example/product/42"))
        .at(KONG, &get("http://secure.example/cart?id=1"))
        .at(KONG, &get("https://secure.example/cart?id=1"))
        .at(KONG, &get("http://strict.example/"))
        .at(KONG, &get("https://strict.example/"))
        .told();
    insta::assert_snapshot!(format!("{}\n{}{told}", world.proxies(), world.lines()));
}

#[test]
fn plugins_of_routes_services_and_everything() {
    let world = behind(&["plugins.yaml"]);
    let told = world
        .asked()
        .at(KONG, &get("http://203.0.113.80/echo"))
        .at(KONG, &get("http://shop.example/orders"))
        .at(KONG, &get("http://shop.example/items"))
        .at(KONG, &get("http://shop.example/gone/for/good"))
        .at(KONG, &get("http://moved.example/"))
        .told();
    insta::assert_snapshot!(format!("{}{told}", world.lines()));
}

#[test]
fn upstreams_and_their_health() {
    let world = behind(&["upstreams.yaml"]);
    let told = world
        .asked()
        .at(KONG, &get("http://shop.example/orders/7"))
        .at(KONG, &get("http://shop.example/items/7"))
        .at(KONG, &get("http://203.0.113.80/echo"))
        .told();
    insta::assert_snapshot!(format!("{}{told}", world.lines()));
}

#[test]
fn a_canary_by_the_gateway_api_is_told_of() {
    let world = behind(&["paths.yaml", "gateway-api.yaml"]);
    insta::assert_snapshot!(format!("{}\n{}", world.proxies(), world.lines()));
}
