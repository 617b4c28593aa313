//! `windtunnel check --against` with what a real Consul and a real Kuma tell their sidecars. `testkit/peers` says how the dumps were recorded.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

fn data(set: &str, file: &str) -> PathBuf {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/against");
    data.join(set).join(file)
}

/// What differs between a recorded dump and its manifests, these after some changes of their text.
fn differences(set: &str, edits: &[(&str, &str)]) -> Vec<String> {
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    let mut text = std::fs::read_to_string(data(set, "shop.yaml")).expect("a file");
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let manifests = folder.path().join("shop.yaml");
    std::fs::write(&manifests, text).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_windtunnel"))
        .args(["check", "-o", "json", "-f"])
        .arg(&manifests)
        .arg("--against")
        .arg(data(set, "dump.json"))
        .output()
        .expect("the program starts");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let json: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|it| panic!("{it}: {error}"));
    let findings = json["findings"].as_array().expect("a list").iter();
    let text = |it: &Value, field: &str| it[field].as_str().expect("text").to_owned();
    let told = findings.filter(|it| {
        let code = text(it, "code");
        code.starts_with("against::") && code != "against::left-out"
    });
    told.map(|it| format!("{}: {}", text(it, "code"), text(it, "message")))
        .collect()
}

/// What Consul 1.14.11, of which the dumps are, does otherwise than 1.21, which the dialect follows: it normalizes no paths (since 1.20.1), and a
/// timeout below zero is none (since 1.16).
const SINCE: [&str; 2] = [
    "paths are normalized is `yes` (default of consul@1.21) by the manifests, `no` in the dump",
    "timeout is `none` by the manifests, `15s` in the dump",
];

#[test]
fn what_a_real_consul_made_of_the_manifests_differs_by_its_release_alone() {
    for (set, expected) in [
        ("consul-real", &[][..]),
        ("consul-real-hashicups", &SINCE[..]),
        ("consul-real-routes", &SINCE[..1]),
    ] {
        let told = differences(set, &[]);
        let of = |since: &&str| told.iter().any(|it| it.contains(*since));
        assert!(expected.iter().all(of), "{set}: {told:?}");
        assert_eq!(told.len(), expected.len(), "{set}:\n{}", told.join("\n"));
    }
}

#[test]
fn what_a_real_kuma_made_of_the_manifests_does_not_differ() {
    for set in ["kuma-real", "kuma-real-policies", "kuma-real-tags"] {
        let told = differences(set, &[]);
        assert!(told.is_empty(), "{set}:\n{}", told.join("\n"));
    }
}

/// A set, what is changed in it, and the codes of what is told of it.
type Edited = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

#[test]
fn an_edited_manifest_is_told_beside_what_the_proxy_was_told() {
    let edits: [Edited; 2] = [
        (
            "consul-real-routes",
            &[
                ("weight: 80.5", "weight: 70.5"),
                (
                    "{weight: 10, service: search}",
                    "{weight: 20, service: search}",
                ),
                ("numRetries: 4", "numRetries: 5"),
                ("maxFailures: 4", "maxFailures: 6"),
                ("prefixRewrite: /other", "prefixRewrite: /elsewhere"),
            ],
            &[
                "against::destination",
                "against::ejection",
                "against::retry",
                "against::rewrite",
            ],
        ),
        (
            "kuma-real-policies",
            &[
                ("weight: 90", "weight: 80"),
                ("weight: 10}", "weight: 20}"),
                ("numRetries: 3", "numRetries: 4"),
                ("maxConnections: 20", "maxConnections: 25"),
                ("percentage: 25", "percentage: 50"),
                ("num: 10, interval: 1s", "num: 20, interval: 1s"),
            ],
            &[
                "against::destination",
                "against::limit",
                "against::mirror",
                "against::retry",
            ],
        ),
    ];
    for (set, edits, expected) in edits {
        let before: BTreeSet<String> = differences(set, &[]).into_iter().collect();
        let after = differences(set, edits);
        let new = after.iter().filter(|it| !before.contains(*it));
        let codes = new.filter_map(|it| Some(it.split_once(": ")?.0));
        let codes: BTreeSet<&str> = codes.collect();
        let codes: Vec<&str> = codes.into_iter().collect();
        assert_eq!(codes, expected, "{set}:\n{}", after.join("\n"));
    }
}
