//! Findings as Markdown, for the summary of a job and for a comment on a pull request.

use std::fmt::Write;

use super::{Deny, Finding, Findings, Place};
use crate::diagnostics::{Kind, Severity};
use crate::lints;

/// Rows of a table; a job's summary is bounded at 1 MiB, and nobody reads more.
const ROWS: usize = 200;

/// A table of errors, warnings and advice, notes folded away beneath it.
#[must_use]
pub fn to_markdown(findings: &Findings, deny: &[Deny]) -> String {
    let counts = findings.counts().words();
    let denied = findings.denied(deny);
    let all = findings.all();
    let (notes, grave): (Vec<&Finding>, Vec<&Finding>) = all
        .into_iter()
        .partition(|each| each.severity() == Severity::Note && each.kind != Kind::Advice);
    let totals = match counts.is_empty() {
        true => "nothing to say",
        false => &counts,
    };
    let mut out = format!("### windtunnel check: {totals}\n");
    let mut add = |line: std::fmt::Arguments<'_>| {
        out.write_fmt(line).expect("a String takes every write");
    };
    if !grave.is_empty() {
        add(format_args!(
            "\n| | where | what | code |\n|---|---|---|---|\n"
        ));
        for each in grave.iter().take(ROWS) {
            let refused = if denied.contains(each) {
                " (denied)"
            } else {
                ""
            };
            add(format_args!(
                "| {}{refused} {}\n",
                each.kind.word(),
                row(each)
            ));
        }
        more(grave.len(), &mut add);
    }
    if !notes.is_empty() {
        let count = notes.len();
        add(format_args!(
            "\n<details><summary>Notes ({count})</summary>\n\n"
        ));
        add(format_args!(
            "| | where | what | code |\n|---|---|---|---|\n"
        ));
        for each in notes.iter().take(ROWS) {
            add(format_args!("| {} {}\n", each.kind.word(), row(each)));
        }
        more(count, &mut add);
        add(format_args!("\n</details>\n"));
    }
    let silenced = findings.silenced();
    if !silenced.is_empty() {
        let count = silenced.len();
        add(format_args!(
            "\n<details><summary>Silenced ({count})</summary>\n\n"
        ));
        add(format_args!("| where | what | why |\n|---|---|---|\n"));
        for each in silenced.iter().take(ROWS) {
            let (by, reason) = (cell(&each.by.cite()), cell(&each.reason));
            let finding = cell(&each.finding.message);
            add(format_args!(
                "| {by} | {finding} (`{}`) | {reason} |\n",
                each.finding.code
            ));
        }
        more(count, &mut add);
        add(format_args!("\n</details>\n"));
    }
    out
}

fn more(count: usize, add: &mut impl FnMut(std::fmt::Arguments<'_>)) {
    if count > ROWS {
        add(format_args!("\n… and {} more.\n", count - ROWS));
    }
}

/// All cells but the first.
fn row(finding: &Finding) -> String {
    let places: Vec<String> = finding.places.iter().map(Place::cite).collect();
    let mut places: Vec<String> = places.iter().map(|it| cell(it)).collect();
    places.dedup();
    let others = finding.others.len();
    if others > 0 {
        places.push(format!("and {others} more"));
    }
    let mut what = cell(&finding.message);
    for more in [finding.kind.meaning(), finding.help.as_deref()]
        .into_iter()
        .flatten()
    {
        what.push_str("<br>");
        what.push_str(&cell(more));
    }
    let code = match lints::named(finding.code) {
        Some(lint) => format!("`{}`: {}", lint.code, cell(lint.name)),
        None => format!("`{}`", finding.code),
    };
    format!("| {} | {what} | {code} |", places.join("<br>"))
}

/// Text that stays within its cell, whatever it holds.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_code = false;
    for c in text.chars() {
        in_code ^= c == '`';
        match c {
            '|' => out.push_str("\\|"),
            '\n' | '\r' => out.push(' '),
            '<' if !in_code => out.push_str("&lt;"),
            '*' | '_' | '[' | ']' | '@' | '#' if !in_code => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}
