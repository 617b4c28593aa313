//! Findings as JSON; `docs/lints.md` describes it.

use serde::Serialize;

use super::{Counts, Deny, Finding, Findings, Place, Silenced};

/// The shape of this JSON; it changes when something is taken away or means something else.
const SCHEMA: &str = "windtunnel.dev/check/v1";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema: &'static str,
    version: &'a str,
    counts: Counts,
    denied: usize,
    findings: Vec<Told<'a>>,
    silenced: Vec<Spared<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    code: &'a str,
    kind: &'static str,
    denied: bool,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    places: Vec<At<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<At<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct At<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spared<'a> {
    #[serde(flatten)]
    finding: Told<'a>,
    reason: &'a str,
    by: At<'a>,
}

/// Everything as JSON; `version` is the program's.
#[must_use]
pub fn to_json(findings: &Findings, deny: &[Deny], version: &str) -> String {
    let denied = findings.denied(deny);
    let told = |finding| Told::of(finding, denied.contains(&finding));
    let document = Document {
        schema: SCHEMA,
        version,
        counts: findings.counts(),
        denied: denied.len(),
        findings: findings.all().into_iter().map(told).collect(),
        silenced: findings.silenced().iter().map(Spared::of).collect(),
    };
    let text = serde_json::to_string_pretty(&document);
    text.expect("no map of it has keys that are no text") + "\n"
}

impl<'a> Told<'a> {
    fn of(finding: &'a Finding, denied: bool) -> Self {
        Self {
            code: finding.code,
            kind: finding.kind.word(),
            denied,
            message: &finding.message,
            meaning: finding.kind.meaning(),
            help: finding.help.as_deref(),
            places: finding.places.iter().map(At::of).collect(),
            others: finding.others.iter().map(At::of).collect(),
        }
    }
}

impl<'a> At<'a> {
    fn of(place: &'a Place) -> Self {
        Self {
            file: &place.file,
            line: place.line,
            column: place.column,
            end_line: place.end_line,
            end_column: place.end_column,
            text: &place.text,
        }
    }
}

impl<'a> Spared<'a> {
    fn of(silenced: &'a Silenced) -> Self {
        Self {
            finding: Told::of(&silenced.finding, false),
            reason: &silenced.reason,
            by: At::of(&silenced.by),
        }
    }
}
