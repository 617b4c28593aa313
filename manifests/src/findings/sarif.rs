//! Findings as SARIF 2.1.0, which code hosts show beside the lines of a change.
//!
//! Source: OASIS, Static Analysis Results Interchange Format Version 2.1.0 (2020), §3.13 (log), §3.14 (run), §3.27 (result), §3.35
//! (suppression), §3.49 (rule).

use serde::Serialize;

use super::{Deny, Finding, Findings, Place, Silenced};
use crate::diagnostics::{Kind, Severity};
use crate::lints;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// Where rules are described.
const GUIDE: &str = "docs/lints.md";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool<'a>,
    /// Columns are counted in characters, not in UTF-16 code units.
    column_kind: &'static str,
    invocations: [Invocation; 1],
    results: Vec<Outcome<'a>>,
}

#[derive(Serialize)]
struct Tool<'a> {
    driver: Driver<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver<'a> {
    name: &'static str,
    semantic_version: &'a str,
    rules: Vec<Rule<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    short_description: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_description: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<Message<'a>>,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    text: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    rule_id: &'a str,
    rule_index: usize,
    level: &'static str,
    message: Message<'a>,
    locations: Vec<Location<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Location<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<Suppression<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    physical_location: Physical<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical<'a> {
    artifact_location: Artifact<'a>,
    region: Region,
}

#[derive(Serialize)]
struct Artifact<'a> {
    uri: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u32,
    start_column: u32,
    end_line: u32,
    end_column: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Suppression<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    justification: &'a str,
    location: Location<'a>,
}

/// Everything as SARIF; `version` is the program's.
#[must_use]
pub fn to_sarif(findings: &Findings, deny: &[Deny], version: &str) -> String {
    let all = findings.all();
    let silenced = findings.silenced();
    let denied = findings.denied(deny);
    let mut codes: Vec<(&str, &Kind)> = Vec::new();
    let occurring = all
        .iter()
        .copied()
        .chain(silenced.iter().map(|each| &each.finding));
    for each in occurring {
        if !codes.iter().any(|(code, _)| *code == each.code) {
            codes.push((each.code, &each.kind));
        }
    }
    codes.sort_by_key(|(code, _)| *code);
    let index = |code: &str| codes.partition_point(|(known, _)| *known < code);
    let told = all.iter().map(|each| {
        let level = match denied.contains(each) {
            true => "error",
            false => level(&each.kind),
        };
        Outcome::of(each, index(each.code), level, Vec::new())
    });
    let spared = silenced.iter().map(|each| {
        let finding = &each.finding;
        let level = level(&finding.kind);
        Outcome::of(finding, index(finding.code), level, vec![suppression(each)])
    });
    let log = Log {
        schema: SCHEMA,
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: "windtunnel",
                    semantic_version: version,
                    rules: codes.iter().map(|(code, kind)| rule(code, kind)).collect(),
                },
            },
            column_kind: "unicodeCodePoints",
            invocations: [Invocation {
                execution_successful: true,
            }],
            results: told.chain(spared).collect(),
        }],
    };
    let text = serde_json::to_string_pretty(&log);
    text.expect("no map of it has keys that are no text") + "\n"
}

fn rule<'a>(code: &'a str, kind: &Kind) -> Rule<'a> {
    let lint = lints::named(code);
    let message = |text: &'static str| Message { text: text.into() };
    Rule {
        id: code,
        short_description: lint.map(|lint| message(lint.name)),
        full_description: lint.map(|lint| message(lint.reason)),
        help: lint.map(|lint| Message {
            text: format!("{}; see {GUIDE}", lint.help).into(),
        }),
        default_configuration: Configuration { level: level(kind) },
    }
}

const fn level(kind: &Kind) -> &'static str {
    match kind.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn suppression(silenced: &Silenced) -> Suppression<'_> {
    Suppression {
        kind: "inSource",
        justification: &silenced.reason,
        location: Location::of(&silenced.by),
    }
}

impl<'a> Outcome<'a> {
    fn of(
        finding: &'a Finding,
        rule_index: usize,
        level: &'static str,
        suppressions: Vec<Suppression<'a>>,
    ) -> Self {
        let mut text = finding.message.clone();
        for more in [finding.kind.meaning(), finding.help.as_deref()]
            .into_iter()
            .flatten()
        {
            text.push_str(": ");
            text.push_str(more);
        }
        let related = finding.places.iter().skip(1).chain(&finding.others);
        let related = related.enumerate().map(|(nth, place)| Location {
            id: Some(nth + 1),
            ..Location::of(place)
        });
        Self {
            rule_id: finding.code,
            rule_index,
            level,
            message: Message { text: text.into() },
            locations: finding.places.iter().take(1).map(Location::of).collect(),
            related_locations: related.collect(),
            suppressions,
        }
    }
}

impl<'a> Location<'a> {
    fn of(place: &'a Place) -> Self {
        let message = Some(&place.text).filter(|text| !text.is_empty());
        Self {
            id: None,
            physical_location: Physical {
                artifact_location: Artifact {
                    uri: uri(&place.file),
                },
                region: Region {
                    start_line: place.line,
                    start_column: place.column,
                    end_line: place.end_line,
                    end_column: place.end_column,
                },
            },
            message: message.map(|text| Message {
                text: text.as_str().into(),
            }),
        }
    }
}

/// A path as a relative reference (RFC 3986 §4.1): what has a meaning there is escaped.
fn uri(file: &str) -> std::borrow::Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let file = file.strip_prefix("./").unwrap_or(file);
    if file.bytes().all(is_plain) {
        return file.into();
    }
    let mut out = String::with_capacity(file.len() + 8);
    for byte in file.bytes() {
        match is_plain(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out.into()
}
