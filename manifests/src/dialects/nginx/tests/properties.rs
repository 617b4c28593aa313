//! Whatever is written is read, and either served or refused with a place in it.

use proptest::prelude::*;

use super::super::keys::{ALIASES, KEYS};
use super::harness::*;

/// Values that some annotation takes, or nearly, and any others.
fn value() -> impl Strategy<Value = String> {
    let some = prop::sample::select(vec![
        "0",
        "1",
        "-1",
        "99999999999999999999",
        "4294967296",
        "true",
        "false",
        "on",
        "off",
        "8m",
        "cookie",
        "10.0.0.0/8",
        "$request_uri",
        "${http_x",
        "/$1/$9/$name",
        "/(a",
        "(?<n>a)(?P<n>b)",
        "https://a.example.com:99999$request_uri",
        "https://[::1",
        "error timeout http_503",
        "CN=(",
        "*",
        "https://*.example.com",
        "b.example.com,*.c.org,~^x",
        "shop/none",
        "/",
        "ewma",
        "persistent",
    ]);
    prop_oneof![3 => some.prop_map(str::to_owned), 1 => "[ -~]{0,24}"]
}

fn key() -> impl Strategy<Value = &'static str> {
    let names = KEYS.iter().map(|key| key.name);
    let names = names.chain(ALIASES.iter().map(|(alias, _)| *alias));
    prop::sample::select(names.collect::<Vec<_>>())
}

/// Paths without what would end them in a file.
fn path() -> impl Strategy<Value = String> {
    prop_oneof!["/[a-z/.]{0,8}", "/[!-&(-~]{0,12}", Just("/".to_owned())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_annotations_are_served_or_refused(
        first in prop::collection::btree_map(key(), value(), 0..5),
        second in prop::collection::btree_map(key(), value(), 0..5),
        paths in prop::collection::vec((path(), 0..3_usize), 1..4),
        tls in any::<bool>(),
        asked in "/[ -~]{0,12}",
    ) {
        let notes = |of: &std::collections::BTreeMap<&'static str, String>| -> Vec<(String, String)> {
            of.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
        };
        let kinds = ["prefix", "exact", "any"];
        let rules: Vec<String> = paths
            .iter()
            .map(|(path, kind)| format!("a.example.com {path} {} a", kinds[*kind]))
            .filter(|rule| rule.split(' ').count() == 4)
            .collect();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let made = |name: &str, notes: &[(String, String)]| {
            let notes: Vec<(&str, &str)> = notes
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            ingress(name, &notes, &rules)
        };
        let built = build(&[made("one", &notes(&first)), made("two", &notes(&second))]);
        let is_section = |line: &str| line.contains("model::section");
        prop_assert!(!built.lines().lines().any(is_section), "{}", built.lines());
        if built.model.gateways().is_empty() {
            // left out, which is told
            prop_assert!(built.problems.has_errors(), "{}", built.lines());
        } else {
            let ask = Ask { tls, ..get("a.example.com", &asked) };
            let found = built.ask(&ask);
            prop_assert!(found != "no route" || built.problems.has_errors(), "{found}: {}", built.lines());
        }
    }
}
