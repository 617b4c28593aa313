//! Emissary's quick start: a service that quotes, and what Mappings make of its requests.

use super::asked::{World, ask, get};

const FILES: &[(&str, &str)] = &[
    ("quote.yaml", include_str!("data/quote.yaml")),
    ("hosts.yaml", include_str!("data/hosts.yaml")),
    ("canary.yaml", include_str!("data/canary.yaml")),
    ("policies.yaml", include_str!("data/policies.yaml")),
    ("matches.yaml", include_str!("data/matches.yaml")),
    ("ledger.yaml", include_str!("data/ledger.yaml")),
];

const EMISSARY: &str = "emissary/emissary-ingress";

/// Emissary and the service, and some files after each other.
fn behind(others: &[&str]) -> World {
    let names = ["quote.yaml"].iter().chain(others);
    let files = names.map(|name| {
        let mut all = FILES.iter();
        *all.find(|(known, _)| known == name).expect("a file")
    });
    World::of(&files.collect::<Vec<_>>())
}

#[test]
fn the_service_that_quotes() {
    let world = behind(&[]);
    let told = world
        .asked()
        .at(EMISSARY, &get("http://203.0.113.80/backend/"))
        .at(
            EMISSARY,
            &get("http://203.0.113.80/backend/get-quote?debug=1"),
        )
        .at(EMISSARY, &get("http://203.0.113.80/backend"))
        .at(EMISSARY, &get("http://203.0.113.80/other"))
        .at(EMISSARY, &get("https://203.0.113.80/backend/"))
        .told();
    insta::assert_snapshot!(format!("{}\n{}{told}", world.proxies(), world.lines()));
}

#[test]
fn hosts_say_what_becomes_of_plaintext() {
    let world = behind(&["hosts.yaml"]);
    let told = world
        .asked()
        .at(EMISSARY, &get("http://secure.example/backend/?q=1"))
        .at(EMISSARY, &get("https://secure.example/backend/?q=1"))
        .at(EMISSARY, &get("http://a.open.example/backend/"))
        .at(EMISSARY, &get("https://a.open.example/backend/"))
        .at(EMISSARY, &get("http://unknown.example/backend/"))
        .told();
    insta::assert_snapshot!(format!("{}{told}", world.lines()));
}

#[test]
fn a_canary_and_a_shadow() {
    let world = behind(&["canary.yaml"]);
    let told = world
        .asked()
        .at(EMISSARY, &get("http://203.0.113.80/backend/"))
        .told();
    insta::assert_snapshot!(format!("{}{told}", world.lines()));
}

#[test]
fn retries_limits_and_balancers() {
    let world = behind(&["policies.yaml"]);
    let told = world
        .asked()
        .at(EMISSARY, &get("http://203.0.113.80/retried/a"))
        .at(EMISSARY, &get("http://203.0.113.80/limited/a"))
        .at(EMISSARY, &get("http://203.0.113.80/sticky/a"))
        .at(EMISSARY, &get("http://203.0.113.80/least/a"))
        .told();
    insta::assert_snapshot!(format!("{}{told}", world.lines()));
}

#[test]
fn what_mappings_go_by_and_what_leaves() {
    let world = behind(&["matches.yaml"]);
    let told = world
        .asked()
        .at(
            EMISSARY,
            &get("http://203.0.113.80/backend/a")
                .with("x-edition", "second")
                .with("user-agent", "Mozilla Firefox/140"),
        )
        .at(
            EMISSARY,
            &get("http://203.0.113.80/backend/a").with("x-edition", "second"),
        )
        .at(EMISSARY, &get("http://203.0.113.80/backend/a?debug=true"))
        .at(EMISSARY, &get("http://203.0.113.80/backend/today"))
        .at(EMISSARY, &ask("POST", "http://203.0.113.80/backend/today"))
        .at(EMISSARY, &get("http://203.0.113.80/v2/quotes"))
        .at(EMISSARY, &get("http://203.0.113.80/v2/quotes/more"))
        .at(EMISSARY, &get("http://203.0.113.80/old/7/x"))
        .at(EMISSARY, &get("http://203.0.113.80/moved/a?x=1"))
        .at(EMISSARY, &ask("DELETE", "http://203.0.113.80/backend/a"))
        .told();
    insta::assert_snapshot!(format!("{}{told}", world.lines()));
}

#[test]
fn bytes_by_port_and_by_name() {
    let world = behind(&["ledger.yaml"]);
    let told = world
        .asked()
        .connects(EMISSARY, 9000, None)
        .connects(EMISSARY, 9001, Some("ledger.example"))
        .connects(EMISSARY, 9001, Some("other.example"))
        .told();
    insta::assert_snapshot!(format!("{}{told}", world.lines()));
}
