//! Whatever is written: no panic, and sections that can be used.

use proptest::prelude::*;

use super::harness::*;
use crate::dialects::consul::filter;

/// Pieces that entries are made of, right and wrong.
fn piece() -> impl Strategy<Value = String> {
    const WORDS: [&str; 18] = [
        "api", "db", "web", "v1", "v2", "*", "", "nobody", "-1s", "0s", "5s", "100", "-1", "/",
        "/a", "true", "http", "tcp",
    ];
    prop::sample::select(&WORDS[..]).prop_map(|word| format!("'{word}'"))
}

fn router() -> impl Strategy<Value = String> {
    (piece(), piece(), piece(), piece()).prop_map(|(prefix, service, subset, timeout)| {
        entry("ServiceRouter", "api", &format!("{{routes: [{{match: {{http: {{pathPrefix: {prefix}}}}}, destination: {{service: {service}, serviceSubset: {subset}, requestTimeout: {timeout}}}}}]}}"))
    })
}

fn splitter(name: &'static str) -> impl Strategy<Value = String> {
    (piece(), piece(), 0..=100_u32).prop_map(move |(one, other, weight)| {
        let rest = 100 - weight;
        entry("ServiceSplitter", name, &format!("{{splits: [{{weight: {weight}, service: {one}}}, {{weight: {rest}, service: {other}}}]}}"))
    })
}

fn resolver(name: &'static str) -> impl Strategy<Value = String> {
    (piece(), piece(), piece()).prop_map(move |(default, to, subset)| {
        entry("ServiceResolver", name, &format!("{{subsets: {{v1: {{}}, v2: {{}}}}, defaultSubset: {default}, failover: {{'*': {{service: {to}, serviceSubset: {subset}}}}}}}"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_chain_becomes_sections_that_can_be_used(
        protocols in (piece(), piece()),
        router in router(),
        splitters in (splitter("api"), splitter("db")),
        resolvers in (resolver("api"), resolver("db")),
    ) {
        let world = with(&[
            entry("ServiceDefaults", "api", &format!("{{protocol: {}}}", protocols.0)),
            entry("ServiceDefaults", "db", &format!("{{protocol: {}}}", protocols.1)),
            router,
            splitters.0,
            splitters.1,
            resolvers.0,
            resolvers.1,
        ]);
        prop_assert!(!world.complaints().contains(&"model::section"), "{}", world.lines());
        for workload in ["web", "api", "db"] {
            world.inbound(workload);
            world.outbound(workload);
        }
    }

    #[test]
    fn no_filter_panics(text in "[a-zA-Z0-9\"`=!() .\\[\\]-]{0,60}") {
        let _: Result<_, _> = filter::parse(&text);
    }
}
