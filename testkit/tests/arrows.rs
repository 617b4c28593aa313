//! Who may depend on whom: the arrows between the crates of this workspace, and what never reaches the crates below the drivers.
//!
//! `deny.toml` says the same to `cargo deny`; this test needs nothing but cargo itself.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, ParseMode};

/// What each crate may depend on within the workspace; what only its tests need is not asked.
const ARROWS: &[(&str, &[&str])] = &[
    ("proxy-core", &[]),
    ("manifests", &["proxy-core"]),
    ("compare", &["manifests", "proxy-core"]),
    ("translate", &["compare", "manifests", "proxy-core"]),
    ("scenarios", &["manifests", "proxy-core"]),
    ("reports", &["proxy-core"]),
    ("sim", &["manifests", "proxy-core", "reports", "scenarios"]),
    ("proxy", &["manifests", "proxy-core"]),
    (
        "live",
        &[
            "manifests",
            "proxy",
            "proxy-core",
            "reports",
            "scenarios",
            "sim",
        ],
    ),
    (
        "windtunnel",
        &[
            "compare",
            "live",
            "manifests",
            "proxy-core",
            "reports",
            "scenarios",
            "sim",
            "translate",
        ],
    ),
    (
        "testkit",
        &["manifests", "proxy-core", "reports", "scenarios", "sim"],
    ),
    (
        "benches",
        &[
            "manifests",
            "proxy-core",
            "reports",
            "scenarios",
            "sim",
            "testkit",
        ],
    ),
];

/// Crates that give the same bytes on every host.
const PURE: [&str; 7] = [
    "proxy-core",
    "manifests",
    "compare",
    "translate",
    "scenarios",
    "reports",
    "sim",
];

/// What those may never reach: sockets, runtimes, and randomness that nobody named.
const BANNED: [&str; 13] = [
    "async-std",
    "fastrand",
    "getrandom",
    "h2",
    "hyper",
    "mio",
    "rand",
    "rand_core",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "tokio",
];

/// Packages by id, with what each needs outside its tests.
struct Tree {
    names: BTreeMap<String, String>,
    /// As packages state them; none: not at all.
    licences: BTreeMap<String, Option<String>>,
    needs: BTreeMap<String, Vec<String>>,
    members: Vec<String>,
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().expect("a list")
}

/// The platform that compiles this: of others, packages may never have been downloaded.
fn platform() -> String {
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc");
    let told = String::from_utf8(rustc.stdout).expect("text");
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc names its host").to_owned()
}

impl Tree {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(["--filter-platform", &platform()])
            .output()
            .expect("cargo runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let read: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let packages = list(&read, "packages").iter();
        let licence = |package: &Value| package["license"].as_str().map(str::to_owned);
        let nodes = list(&read["resolve"], "nodes").iter();
        Self {
            names: packages
                .map(|package| (text(&package["id"]), text(&package["name"])))
                .collect(),
            licences: list(&read, "packages")
                .iter()
                .map(|package| (text(&package["id"]), licence(package)))
                .collect(),
            needs: nodes.map(|node| (text(&node["id"]), needs(node))).collect(),
            members: list(&read, "workspace_members").iter().map(text).collect(),
        }
    }

    /// Everything below a package, itself included.
    fn below<'a>(&'a self, id: &'a str) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::from([id]);
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            for next in &self.needs[id] {
                if found.insert(next) {
                    pending.push(next);
                }
            }
        }
        found
    }

    fn member(&self, name: &str) -> &str {
        let found = self.members.iter().find(|id| self.names[*id] == name);
        found.unwrap_or_else(|| panic!("`{name}` is no member of the workspace"))
    }
}

/// Dependencies of the crate as others get it, and those that compile it.
fn needs(node: &Value) -> Vec<String> {
    let all = list(node, "deps").iter();
    let kept = all.filter(|dep| {
        list(dep, "dep_kinds")
            .iter()
            .any(|kind| kind["kind"] != "dev")
    });
    kept.map(|dep| text(&dep["pkg"])).collect()
}

#[test]
fn every_crate_depends_only_on_those_below_it() {
    let tree = Tree::read();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for id in &tree.members {
        let name = tree.names[id].as_str();
        let allowed = allowed
            .get(name)
            .unwrap_or_else(|| panic!("`{name}` is new: say in ARROWS what it may depend on"));
        let within = tree.needs[id]
            .iter()
            .filter(|need| tree.members.contains(need));
        for need in within.map(|need| tree.names[need].as_str()) {
            assert!(allowed.contains(&need), "`{name}` may not need `{need}`");
        }
    }
}

#[test]
fn no_crate_below_the_drivers_reaches_sockets_runtimes_or_chance() {
    let tree = Tree::read();
    for name in PURE {
        let below = tree.below(tree.member(name));
        let names: BTreeSet<&str> = below.iter().map(|id| tree.names[*id].as_str()).collect();
        for banned in BANNED {
            assert!(!names.contains(banned), "`{name}` reaches `{banned}`");
        }
    }
}

/// The licences that `deny.toml` allows.
fn allowed_licences() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deny.toml");
    let told = std::fs::read_to_string(path).expect("deny.toml");
    let line = told.lines().find_map(|line| line.strip_prefix("allow = "));
    serde_json::from_str(line.expect("a list of licences")).expect("a list on one line")
}

#[test]
fn every_dependency_may_be_used_under_a_licence_that_is_allowed() {
    let tree = Tree::read();
    let allowed = allowed_licences();
    let below = tree.members.iter().flat_map(|id| tree.below(id));
    for id in below.collect::<BTreeSet<_>>() {
        let name = &tree.names[id];
        let stated = tree.licences[id].as_deref();
        let stated = stated.unwrap_or_else(|| panic!("`{name}` states no licence"));
        let parsed = Expression::parse_mode(stated, ParseMode::LAX);
        let parsed = parsed.unwrap_or_else(|error| panic!("`{name}`: {error}"));
        let may = parsed.evaluate(|asked| {
            let id = asked.license.id().map(|id| id.name);
            id.is_some_and(|id| allowed.iter().any(|it| it == id))
        });
        assert!(may, "`{name}` comes under {stated}");
    }
}
