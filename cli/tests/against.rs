//! `windtunnel check --against`: dumps in the form of each control plane, in step with their manifests and drifted from them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

const PAGE: &str = include_str!("../../docs/against.md");

struct Ran {
    status: i32,
    out: String,
    err: String,
}

fn data(system: &str, file: &str) -> PathBuf {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/against");
    data.join(system).join(file)
}

/// A folder with the manifests of a system and its dump, the dump after these changes of its text.
fn bench(system: &str, changes: &[(&str, &str)]) -> TempDir {
    changed(system, "dump.json", changes)
}

/// The same, with the changes in one of the files.
fn changed(system: &str, which: &str, changes: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["shop.yaml", "dump.json"] {
        let mut text = std::fs::read_to_string(data(system, file)).expect("a file");
        for (from, to) in changes.iter().filter(|_| file == which) {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        std::fs::write(folder.path().join(file), text).expect("a file");
    }
    folder
}

fn check(folder: &TempDir, args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_windtunnel"))
        .args(["check", "-f", "shop.yaml"])
        .args(args)
        .current_dir(folder.path())
        .output()
        .expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is text");
    Ran {
        status: output.status.code().expect("no signal ends it"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// What is told under the codes of differences.
fn differences(folder: &TempDir, args: &[&str]) -> Vec<String> {
    let all: Vec<&str> = ["--against", "dump.json", "-o", "json"]
        .iter()
        .chain(args)
        .copied()
        .collect();
    let ran = check(folder, &all);
    let json: Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.err));
    let findings = json["findings"].as_array().expect("a list").iter();
    let text = |it: &Value, field: &str| it[field].as_str().expect("text").to_owned();
    let told = findings.filter(|it| {
        let code = text(it, "code");
        code.starts_with("against::") && code != "against::left-out"
    });
    told.map(|it| format!("{}: {}", text(it, "code"), text(it, "message")))
        .collect()
}

#[test]
fn a_proxy_that_was_told_what_the_manifests_say_does_not_differ() {
    for system in [
        "istio",
        "istio-gateway",
        "consul",
        "kuma",
        "emissary-quote",
        "emissary-shop",
        "emissary-fields",
        "emissary-module",
    ] {
        let folder = bench(system, &[]);
        let told = differences(&folder, &[]);
        assert!(told.is_empty(), "{system}:\n{}", told.join("\n"));
        let ran = check(
            &folder,
            &["--against", "dump.json", "--deny", "against::destination"],
        );
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(ran.out.contains("dump.json as "), "{}", ran.out);
        assert!(ran.out.contains("no difference"), "{}", ran.out);
    }
}

/// What Istio's own control plane pushes for manifests (testkit/peers/istio).
const REAL: [&str; 4] = [
    "istio-real-shop",
    "istio-real-edge",
    "istio-real-scope",
    "istio-real-inbound",
];

#[test]
fn what_istio_itself_pushes_is_what_its_dialect_makes_of_the_manifests() {
    for system in REAL {
        let folder = bench(system, &[]);
        let told = differences(&folder, &[]);
        assert!(told.is_empty(), "{system}:\n{}", told.join("\n"));
    }
}

#[test]
fn an_edit_of_the_manifests_is_told_beside_what_istio_itself_pushed() {
    let rows: [(&str, &[(&str, &str)]); 4] = [
        (
            "istio-real-shop",
            &[
                ("timeout: 3s", "timeout: 5s"),
                ("subset: v1}, weight: 90", "subset: v1}, weight: 50"),
                ("attempts: 3", "attempts: 2"),
                ("allowMethods: [GET, POST]", "allowMethods: [GET]"),
                ("consecutive5xxErrors: 7", "consecutive5xxErrors: 5"),
                ("httpHeaderName: x-user", "httpHeaderName: x-session"),
                (
                    "host: cart, subset: v2}\n      mirror",
                    "host: web}\n      mirror",
                ),
            ],
        ),
        (
            "istio-real-edge",
            &[
                (", tls: {httpsRedirect: true}", ""),
                ("uri: /static, authority: web.example.com", "uri: /static"),
                (
                    "mode: PASSTHROUGH",
                    "mode: SIMPLE, credentialName: shop-cert",
                ),
            ],
        ),
        (
            "istio-real-scope",
            &[
                ("resolution: STATIC", "resolution: NONE"),
                ("back/stock.back.svc.cluster.local", "back/*"),
                ("maxConnections: 10", "maxConnections: 11"),
            ],
        ),
        (
            "istio-real-inbound",
            &[
                ("9000: {mode: STRICT}", "9000: {mode: PERMISSIVE}"),
                ("http1MaxPendingRequests: 5", "http1MaxPendingRequests: 6"),
            ],
        ),
    ];
    for (system, edits) in rows {
        let mut told = Vec::new();
        for edit in edits {
            let folder = changed(system, "shop.yaml", &[*edit]);
            let found = differences(&folder, &[]);
            assert!(!found.is_empty(), "{system}: {edit:?}");
            told.push(format!("{} -> {}\n{}", edit.0, edit.1, found.join("\n")));
        }
        insta::assert_snapshot!(system, told.join("\n\n"));
    }
}

#[test]
fn the_defaults_are_those_of_the_release_that_the_dump_is_of() {
    let folder = bench("istio-real-shop", &[]);
    let ran = check(&folder, &["--against", "dump.json", "--lines"]);
    assert!(ran.out.contains("istio@1.31"), "{}", ran.out);
    let older = bench("istio-real-shop", &[("\"1.31.0\"", "\"1.29.0\"")]);
    let told = differences(&older, &[]);
    // panic routing is off since 1.31
    assert!(told.iter().any(|it| it.contains("panic")), "{told:#?}");
}

/// An operator has edited the rules of the cart by hand.
const DRIFTED: [(&str, &str); 4] = [
    ("\"timeout\": \"3s\"", "\"timeout\": \"5s\""),
    ("\"weight\": 90", "\"weight\": 50"),
    ("\"weight\": 10", "\"weight\": 50"),
    ("\"consecutive_5xx\": 7", "\"consecutive_5xx\": 5"),
];

#[test]
fn what_has_drifted_is_told_at_the_text_of_the_manifests() {
    let folder = bench("istio", &DRIFTED);
    insta::assert_snapshot!("drifted", differences(&folder, &[]).join("\n"));
    let ran = check(&folder, &["--against", "dump.json", "--quiet"]);
    assert_eq!(ran.status, 0, "differences are warnings");
    insta::assert_snapshot!("drifted_drawn", ran.err);
    let denied = check(
        &folder,
        &["--against", "dump.json", "--quiet", "--deny", "against::"],
    );
    assert_eq!(denied.status, 1);
}

#[test]
fn the_page_shows_what_the_program_says() {
    let folder = bench("istio", &DRIFTED);
    let ran = check(&folder, &["--against", "dump.json", "--quiet"]);
    let (_, from) = PAGE.split_once("```text\n").expect("an example");
    let (shown, _) = from.split_once("```").expect("its end");
    assert!(ran.err.contains(shown.trim_end()), "{}", ran.err);
}

/// Emissary's own compiler has made these dumps: see `testkit/peers/emissary`.
#[test]
fn what_has_drifted_from_mappings_is_told_at_their_text() {
    let changes = [
        ("\"timeout\": \"4s\"", "\"timeout\": \"5s\""),
        ("\"numerator\": 10\n", "\"numerator\": 30\n"),
        ("\"max_age\": \"86400\"", "\"max_age\": \"60\""),
        ("\"prefix_rewrite\": \"/\"", "\"prefix_rewrite\": \"/v2/\""),
        ("\"connect_timeout\": \"3s\"", "\"connect_timeout\": \"1s\""),
    ];
    let folder = bench("emissary-quote", &changes);
    insta::assert_snapshot!("drifted_mappings", differences(&folder, &[]).join("\n"));
}

#[test]
fn an_emissary_is_known_by_its_namespace() {
    for (from, to, status) in [
        ("\"ambassador-emissary\"", "\"edge-emissary\"", 0),
        ("\"ambassador-emissary\"", "\"ambassador-elsewhere\"", 2),
    ] {
        let folder = bench("emissary-shop", &[(from, to)]);
        let ran = check(&folder, &["--against", "dump.json"]);
        assert_eq!(ran.status, status, "{to}: {}", ran.err);
    }
}

#[test]
fn pages_of_the_proxys_own_are_left_out() {
    let folder = bench("emissary-shop", &[]);
    let ran = check(&folder, &["--against", "dump.json", "--lines"]);
    let own = "requests for /ambassador/v0/, which is the proxy's own";
    assert!(ran.out.contains(own), "{}", ran.out);
}

#[test]
fn what_is_left_out_is_said_in_one_note() {
    let folder = bench("istio", &[]);
    let ran = check(&folder, &["--against", "dump.json", "--lines"]);
    let notes: Vec<&str> = ran
        .out
        .lines()
        .filter(|it| it.contains("against::left-out"))
        .collect();
    let [note] = notes[..] else {
        panic!("{}", ran.out);
    };
    for part in [
        "1 Service that the manifests do not have (kube-system/kube-dns)",
        "port 15014: only Services that are not asked about",
        "1 listener of the proxy's own (prometheus)",
        "the network filter `istio.stats` in 8 places",
    ] {
        assert!(note.contains(part), "{part}: {note}");
    }
}

#[test]
fn differences_can_be_silenced_where_they_are_written() {
    let folder = bench("istio", &DRIFTED[..1]);
    let path = folder.path().join("shop.yaml");
    let text = std::fs::read_to_string(&path).expect("a file");
    let silenced = text.replace(
        "timeout: 3s",
        "timeout: 3s # windtunnel: allow(against::timeout) longer until Friday",
    );
    std::fs::write(&path, silenced).expect("a file");
    assert!(differences(&folder, &[]).is_empty());
}

#[test]
fn a_dump_of_an_unknown_proxy_has_the_known_ones_listed() {
    let other = [
        ("web-6d5f7c9b8-x2x4k", "shelf-1-2"),
        ("\"WORKLOAD_NAME\": \"web\"", "\"X\": \"\""),
    ];
    let folder = bench("istio", &other);
    let ran = check(&folder, &["--against", "dump.json"]);
    assert_eq!(ran.status, 2);
    for part in [
        "against::node",
        "the manifests have no proxy like `sidecar~10.244.1.7~shelf-1-2.shop",
        "sidecar/shop/web",
    ] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    let told = differences(&folder, &["--node", "sidecar/shop/web"]);
    assert!(told.is_empty(), "{told:?}");
    let wrong = check(
        &folder,
        &["--against", "dump.json", "--node", "sidecar/shop/wbe"],
    );
    assert_eq!(wrong.status, 2);
    assert!(wrong.err.contains("did you mean"), "{}", wrong.err);
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let folder = bench(
        "istio",
        &[(
            "\"lb_policy\": \"LEAST_REQUEST\"",
            "\"lb_policy\": \"LEAST\"",
        )],
    );
    let ran = check(&folder, &["--against", "dump.json"]);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("dump.json:"), "{}", ran.err);
    let gone = check(&folder, &["--against", "nothing.json"]);
    assert_eq!(gone.status, 2);
    assert!(
        gone.err.contains("cannot read `nothing.json`"),
        "{}",
        gone.err
    );
    let no_node = check(&folder, &["--node", "sidecar/shop/web"]);
    assert_eq!(no_node.status, 2);
    std::fs::write(folder.path().join("text.json"), "hello").expect("a file");
    let no_dump = check(&folder, &["--against", "text.json"]);
    assert_eq!(no_dump.status, 2, "{}", no_dump.err);
}
