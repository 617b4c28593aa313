//! What remains different, as text, JSON and Markdown.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{Remaining, Translation};

/// For people at a terminal: what differs, by why it does; what nobody foresaw comes first.
#[must_use]
pub fn to_text(translation: &Translation) -> String {
    let mut text = String::new();
    // no write to a string fails
    for fault in &translation.faults {
        let _ = writeln!(text, "fault: {fault}");
    }
    for (why, all) in by_reason(&translation.differences) {
        match why {
            "" => text.push_str("found by comparing, and foreseen by nobody:\n"),
            why => {
                let _ = writeln!(text, "since {why}:");
            }
        }
        for one in all {
            difference(one, &mut text);
        }
    }
    for note in translation.notes.iter().chain(&kept(translation)) {
        let _ = writeln!(text, "note: {note}");
    }
    let _ = writeln!(text, "{}", summary(translation));
    text
}

/// Differences by their reasons, in the order in which these come; those without one first.
fn by_reason(all: &[Remaining]) -> Vec<(&str, Vec<&Remaining>)> {
    let mut groups: Vec<(&str, Vec<&Remaining>)> = Vec::new();
    for one in all {
        match groups.iter_mut().find(|(why, _)| *why == one.why) {
            Some((_, group)) => group.push(one),
            None => groups.push((&one.why, vec![one])),
        }
    }
    groups.sort_by_key(|(why, _)| !why.is_empty());
    groups
}

fn difference(one: &Remaining, text: &mut String) {
    let _ = match (one.before.as_str(), one.after.as_str()) {
        ("", "") => writeln!(text, "  {}{}", one.what, behind(&one.rule)),
        ("", after) => writeln!(text, "  {}{} -> {after}", one.what, behind(&one.rule)),
        (before, after) => {
            writeln!(
                text,
                "  {}: {before}{} -> {after}",
                one.what,
                behind(&one.rule)
            )
        }
    };
    let _ = writeln!(text, "    {}", one.place);
    if !one.example.is_empty() {
        let _ = writeln!(text, "    as {} shows", one.example);
    }
}

fn behind(rule: &str) -> String {
    match rule {
        "" => String::new(),
        rule => format!(" ({rule})"),
    }
}

/// What became of objects that were not carried over.
fn kept(translation: &Translation) -> Vec<String> {
    let titles = |keys: &[manifests::load::ObjectKey]| -> String {
        let titles: Vec<String> = keys.iter().map(ToString::to_string).collect();
        titles.join(", ")
    };
    let mut lines = Vec::new();
    if !translation.replaced.is_empty() {
        lines.push(format!(
            "said by the new objects, and not needed any more: {}",
            titles(&translation.replaced)
        ));
    }
    if !translation.left.is_empty() {
        lines.push(format!(
            "not written, since it holds secrets: {}",
            titles(&translation.left)
        ));
    }
    lines
}

/// `istio@1.29 to Linkerd 2.19: 12 objects; 3 differences remain`.
fn summary(translation: &Translation) -> String {
    let counted = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let made = match translation.files.len() {
        0 => counted(translation.objects.len(), "object", "objects"),
        files => counted(files, "file", "files"),
    };
    let asked = translation.asked;
    let rest = match (translation.differences.len(), translation.faults.len()) {
        (0, 0) => format!(
            "equivalent, as far as {} and {} show",
            counted(asked.connections, "connection", "connections"),
            counted(asked.requests, "request", "requests")
        ),
        (differences, 0) => counted(differences, "difference remains", "differences remain"),
        (differences, faults) => format!(
            "{}, and {} of what was written could not be read",
            counted(differences, "difference remains", "differences remain"),
            counted(faults, "part", "parts")
        ),
    };
    format!(
        "{} to {}: {made}; {rest}",
        translation.source, translation.target.title
    )
}

/// For programs.
#[must_use]
pub fn to_json(translation: &Translation) -> String {
    let difference = |one: &Remaining| {
        json!({
            "area": one.area.map(compare::Area::word),
            "place": one.place,
            "what": one.what,
            "before": one.before,
            "rule": one.rule,
            "after": one.after,
            "why": one.why,
            "example": one.example,
            "found": one.found,
        })
    };
    let keys = |keys: &[manifests::load::ObjectKey]| -> Vec<String> {
        keys.iter().map(ToString::to_string).collect()
    };
    let objects = translation
        .objects
        .iter()
        .map(|(object, from)| json!({ "object": object.title(), "from": from }));
    let value = json!({
        "schema": "windtunnel.dev/translate/v1",
        "source": translation.source,
        "target": translation.target.name,
        "title": translation.target.title,
        "equivalent": translation.is_equivalent(),
        "asked": {
            "connections": translation.asked.connections,
            "requests": translation.asked.requests,
            "clusters": translation.asked.clusters,
        },
        "objects": objects.collect::<Vec<Value>>(),
        "files": translation.files.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "differences": translation.differences.iter().map(difference).collect::<Vec<Value>>(),
        "faults": translation.faults,
        "notes": translation.notes,
        "replaced": keys(&translation.replaced),
        "left": keys(&translation.left),
    });
    let mut text = serde_json::to_string_pretty(&value).expect("a value of plain texts");
    text.push('\n');
    text
}

/// For a pull request.
#[must_use]
pub fn to_markdown(translation: &Translation) -> String {
    let mut text = format!("## {}\n\n", cell(&summary(translation)));
    if !translation.differences.is_empty() {
        text.push_str("| where | what | before | after | why |\n|---|---|---|---|---|\n");
        for one in &translation.differences {
            let before = match (one.before.as_str(), one.rule.as_str()) {
                (before, "") => cell(before),
                ("", rule) => cell(rule),
                (before, rule) => format!("{}<br>{}", cell(before), cell(rule)),
            };
            let why = match one.why.as_str() {
                "" => "found by comparing".to_owned(),
                why => cell(why),
            };
            let _ = writeln!(
                text,
                "| {} | {} | {before} | {} | {why} |",
                cell(&one.place),
                cell(&one.what),
                cell(&one.after),
            );
        }
        text.push('\n');
    }
    for fault in &translation.faults {
        let _ = writeln!(text, "- fault: {}", cell(fault));
    }
    for note in translation.notes.iter().chain(&kept(translation)) {
        let _ = writeln!(text, "- {}", cell(note));
    }
    text
}

/// A text within a cell of a table.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('\n', " ")
}
