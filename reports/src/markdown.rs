//! A summary for a pull request: the verdicts side by side, what happened, what differs, what it rests on.

use std::fmt::Write;

use crate::compare::{Difference, compare};
use crate::result::{RunResult, Tried};
use crate::story::story;
use crate::verdict::{State, Verdict};
use crate::words;

/// Most differing figures shown of one pair; the page has them all.
const MOST_FIGURES: usize = 12;
/// Most values that nobody stated; the page has them all.
const MOST_ASSUMED: usize = 20;

/// The results as Markdown: those of one scenario that stand one after the other share a table.
#[must_use]
pub fn write(results: &[RunResult]) -> String {
    let mut out = String::new();
    for group in results.chunk_by(|a, b| a.scenario == b.scenario) {
        if !out.is_empty() {
            out.push('\n');
        }
        scenario(&mut out, group);
    }
    out
}

fn scenario(out: &mut String, results: &[RunResult]) {
    let worst = State::worst(results.iter().map(RunResult::verdict));
    let partial = results.iter().any(RunResult::is_partial);
    let name = results.first().map_or("", |r| r.scenario.as_str());
    line(
        out,
        &format!(
            "### {} {}: {}",
            sign(worst, partial),
            text(name),
            worst.word_of(partial)
        ),
    );
    line(out, "");
    let mut reasons: Vec<String> = results.iter().filter_map(RunResult::why_partial).collect();
    reasons.dedup();
    if partial {
        let reasons = text(&reasons.join("; "));
        line(
            out,
            &format!("**Not all was run, so this is no verdict yet**: {reasons}."),
        );
        line(out, "");
    }
    verdicts(out, results);
    for result in results {
        let label = text(&result.label());
        line(out, "");
        line(
            out,
            &format!("**{label}** · {}", text(&result.circumstances())),
        );
        line(out, "");
        for sentence in story(result) {
            line(out, &format!("- {}", text(&sentence.with_moment())));
        }
    }
    if let [first, others @ ..] = results {
        for other in others {
            differences(out, first, other);
        }
    }
    basis(out, results);
}

fn verdicts(out: &mut String, results: &[RunResult]) {
    let mut expressions: Vec<&str> = Vec::new();
    for verdict in results.iter().flat_map(|r| &r.expectations) {
        if !expressions.contains(&verdict.expression.as_str()) {
            expressions.push(&verdict.expression);
        }
    }
    if expressions.is_empty() {
        line(out, "The scenario expects nothing, so nothing could fail.");
        return;
    }
    let labels: Vec<String> = results.iter().map(|r| text(&r.label())).collect();
    line(out, &format!("| expected | {} |", labels.join(" | ")));
    line(out, &format!("|---|{}", "---|".repeat(results.len())));
    for expression in expressions {
        let cells = results.iter().map(|result| {
            let mut all = result.expectations.iter();
            let found = all.find(|verdict| verdict.expression == expression);
            found.map_or_else(|| "–".to_owned(), |v| cell(v, result.is_partial()))
        });
        let cells: Vec<String> = cells.collect();
        line(
            out,
            &format!("| {} | {} |", code(expression), cells.join(" | ")),
        );
    }
}

fn cell(verdict: &Verdict, partial: bool) -> String {
    let note = match verdict.value {
        None if !verdict.note.is_empty() => format!(" ({})", text(&verdict.note)),
        None | Some(_) => String::new(),
    };
    let so_far = if partial { " so far" } else { "" };
    format!(
        "{} {}{so_far}{note}",
        sign(verdict.state, partial),
        verdict.measured()
    )
}

fn differences(out: &mut String, first: &RunResult, other: &RunResult) {
    let comparison = match compare(first, other) {
        Ok(comparison) => comparison,
        Err(why) => {
            let (a, b) = (text(&first.label()), text(&other.label()));
            let why = text(&why.to_string());
            line(out, "");
            line(
                out,
                &format!("**{b}** cannot be compared with **{a}**: {why}."),
            );
            return;
        }
    };
    if let Some(warning) = comparison.warning() {
        let (a, b) = (text(&comparison.a), text(&comparison.b));
        line(out, "");
        line(out, &format!("**{b}** beside **{a}**: {}.", text(&warning)));
    }
    let rows: Vec<&Difference> = comparison
        .rows
        .iter()
        .filter(|row| row.is_significant())
        .collect();
    if rows.is_empty() {
        return;
    }
    line(out, "");
    let (a, b) = (text(&comparison.a), text(&comparison.b));
    line(out, &format!("| figure | {a} | {b} | difference |"));
    line(out, "|---|---|---|---|");
    for row in rows.iter().take(MOST_FIGURES) {
        line(out, &difference(row));
    }
    line(out, "");
    let more = match rows.len().saturating_sub(MOST_FIGURES) {
        0 => String::new(),
        more => format!("{more} more figures differ; "),
    };
    line(out, &format!("<sub>{more}{}</sub>", comparison.intervals()));
}

fn difference(row: &Difference) -> String {
    let value = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), |v| words::quantity(v, row.unit));
    let difference = row.difference.map_or_else(String::new, |difference| {
        let word = match row.is_better() {
            Some(true) => " better",
            Some(false) => " worse",
            None => "",
        };
        format!("**{}{word}**", words::difference(difference, row.unit))
    });
    format!(
        "| {} | {} | {} | {difference} |",
        code(&row.figure),
        value(row.a),
        value(row.b)
    )
}

fn basis(out: &mut String, results: &[RunResult]) {
    let mut known: Vec<(&str, &str, &[Tried])> = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    let mut add = |text: String| {
        if !lines.contains(&text) {
            lines.push(text);
        }
    };
    for result in results {
        for (path, value) in &result.basis.set {
            let (path, value) = (code(path), code(value));
            add(format!("- set on the command line: {path} = {value}"));
        }
        for each in result.basis.assumptions.iter().take(MOST_ASSUMED) {
            // another file that assumes the same assumes nothing more
            let this = (&*each.what, &*each.value, &*each.tried);
            if known.contains(&this) {
                continue;
            }
            known.push(this);
            let tried = each.tried.iter().filter(|tried| !tried.flips.is_empty());
            let tried: String = tried
                .map(|tried| format!("; **{}**", text(&tried.text())))
                .collect();
            add(format!(
                "- assumed: {} = {} ({}){tried}",
                text(&each.what),
                text(&each.value),
                text(&each.origin)
            ));
        }
        for each in result
            .basis
            .not_modelled
            .iter()
            .filter(|n| n.on_loaded_path)
        {
            add(format!(
                "- not modelled, on a loaded path: {}: {}",
                text(&each.field),
                text(&each.means)
            ));
        }
    }
    for result in results.iter().filter(|r| !r.basis.command.is_empty()) {
        add(format!("- reproduce: {}", code(&result.basis.command)));
    }
    if lines.is_empty() {
        return;
    }
    line(out, "");
    line(out, "<details><summary>What this rests on</summary>");
    line(out, "");
    for each in lines {
        line(out, &each);
    }
    line(out, "");
    line(out, "</details>");
}

const fn sign(state: State, partial: bool) -> &'static str {
    match state {
        State::Held if partial => "?",
        State::Held => "✓",
        State::Failed => "✗",
        State::Inconclusive => "?",
    }
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a String takes every write");
}

/// On one line, without markup of its own but for names in backticks; a backtick without a partner takes all of them their meaning.
fn text(text: &str) -> String {
    let paired = text.matches('`').count().is_multiple_of(2);
    let mut in_code = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '`' if paired => {
                in_code = !in_code;
                out.push(c);
            }
            '|' => out.push_str("\\|"),
            c if c.is_control() => out.push(' '),
            c if in_code => out.push(c),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '`' | '*' | '_' | '[' | ']' | '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// As code in a table: pipes escaped, within more backticks than it has in a row.
fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 { " " } else { "" };
    let inner = text.replace(['\n', '\r'], " ").replace('|', "\\|");
    format!("{fence}{pad}{inner}{pad}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{Shape, run};

    #[test]
    fn variants_stand_side_by_side_with_what_differs() {
        let results = [run(Shape::Storm, 7), run(Shape::Budget, 7)];
        let text = write(&results);
        assert!(text.starts_with("### ✗ retry-storm: failed\n"), "{text}");
        let labels = [results[0].label(), results[1].label()];
        assert!(text.contains(&format!("| expected | {} | {} |", labels[0], labels[1])));
        assert!(text.contains("| figure |") && text.contains("- reproduce: `windtunnel run"));
        assert_eq!(text.matches("### ").count(), 1);
    }

    #[test]
    fn what_was_cut_short_is_no_verdict_and_says_why() {
        let mut cut = run(Shape::Budget, 7);
        cut.time.cut_at_ns = Some(12_300_000_000);
        cut.expectations.retain(|v| v.state == State::Held);
        let text = write(&[cut]);
        assert!(
            text.starts_with("### ? retry-storm: held so far\n"),
            "{text}"
        );
        assert!(
            text.contains("the run was cut short at 00:12.3 of 02:00.0."),
            "{text}"
        );
        assert!(!text.contains('✓'), "{text}");
    }

    #[test]
    fn what_people_wrote_is_no_markup() {
        assert_eq!(text("a|b\n<img> `x_<y`"), "a\\|b &lt;img&gt; `x_<y`");
        assert_eq!(text("a ` <b>"), "a \\` &lt;b&gt;");
        for (given, expected) in [
            ("a || b", "`a \\|\\| b`"),
            ("`x`", "`` `x` ``"),
            ("a\nb", "`a b`"),
        ] {
            assert_eq!(code(given), expected);
        }
    }
}
