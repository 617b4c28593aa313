//! The reference of the scenario format names every key there is, and nothing of the documents leads nowhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use reports::outcome::ErrorReason;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    let path = root().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Words of a page that are set as code.
fn code(text: &str) -> BTreeSet<&str> {
    let spans = text.split('`').skip(1).step_by(2);
    let letters = |c: char| !c.is_ascii_alphanumeric();
    spans.flat_map(|span| span.split(letters)).collect()
}

/// Keys of every object that a schema describes.
fn keys(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                found.extend(properties.keys().cloned());
            }
            map.values().for_each(|child| keys(child, found));
        }
        Value::Array(items) => items.iter().for_each(|child| keys(child, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_key_of_a_scenario_is_in_its_reference() {
    let text = page("docs/scenario.md");
    // a fence would turn code and prose round
    let text: String = text.split("```").step_by(2).collect();
    let written = code(&text);
    let schema = serde_json::from_str(&scenarios::schema::schema()).expect("JSON");
    let mut all = BTreeSet::new();
    keys(&schema, &mut all);
    let missing: Vec<&String> = all
        .iter()
        .filter(|key| !written.contains(key.as_str()))
        .collect();
    assert!(missing.is_empty(), "docs/scenario.md lacks {missing:?}");
}

#[test]
fn every_reason_that_an_expectation_may_name_is_in_its_reference() {
    let text = page("docs/expectations.md");
    for reason in ErrorReason::ALL {
        let word = format!("`{}`", reason.key());
        assert!(text.contains(&word), "docs/expectations.md lacks {word}");
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    for name in [
        "README.md",
        "docs/scenario.md",
        "docs/expectations.md",
        "docs/results.md",
        "docs/model.md",
    ] {
        let text = page(name);
        let folder = root().join(name).parent().expect("a folder").to_owned();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                root().join(name)
            } else {
                folder.join(file)
            };
            assert!(target.exists(), "{name}: {link}");
            if !anchor.is_empty() {
                let text = fs::read_to_string(&target).expect("a page");
                let found = text
                    .lines()
                    .any(|line| anchor_of(line) == Some(anchor.to_owned()));
                assert!(found, "{name}: {link}");
            }
        }
    }
}

/// What a heading can be reached by: as forges make it of its words.
fn anchor_of(line: &str) -> Option<String> {
    let words = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = words
        .chars()
        .filter(|c| c.is_alphanumeric() || " -".contains(*c));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}
