//! Verdicts and differences as text.

use reports::compare::{Comparison, Conclusion, Difference};
use reports::result::RunResult;
use reports::verdict::{State, Verdict};
use reports::words;

/// Most differing figures without an interval that are shown; the page has them all.
const MOST_UNCLEAR: usize = 20;

/// The verdicts of a scenario's results, a block a result.
pub(crate) fn verdicts(name: &str, results: &[RunResult]) -> String {
    let mut out = String::new();
    for result in results {
        let label = match &result.variant {
            Some(variant) => format!("{name}: {variant}"),
            None => name.to_owned(),
        };
        out.push_str(&format!(
            "{} {} {}  ({})\n",
            sign(result.verdict(), result.is_partial()),
            one_line(&label),
            result.word(),
            result.circumstances()
        ));
        out.push_str(&rows(&result.expectations, result.is_partial()));
        if let Some(why) = result.why_partial() {
            out.push_str(&format!("  ! {}\n", one_line(&why)));
        }
    }
    out
}

fn rows(verdicts: &[Verdict], partial: bool) -> String {
    let cells: Vec<[String; 3]> = verdicts.iter().map(|v| cells(v, partial)).collect();
    let mut out = columns("  ", &cells);
    if verdicts.is_empty() {
        out.push_str("  nothing is expected\n");
    }
    out
}

fn cells(verdict: &Verdict, partial: bool) -> [String; 3] {
    let seeds = verdict.seeds;
    let all = seeds.held + seeds.failed + seeds.inconclusive;
    let mut more = Vec::new();
    if all > 1 && seeds.held < all {
        more.push(format!("held on {} of {all} seeds", seeds.held));
    }
    if !verdict.note.is_empty() {
        more.push(verdict.note.clone());
    }
    [
        format!(
            "{} {}",
            sign(verdict.state, partial),
            one_line(&verdict.expression)
        ),
        verdict.measured(),
        one_line(&more.join("; ")),
    ]
}

/// What differs: first what does by more than chance, then what differs in a way that has no interval; the rest is counted.
pub(crate) fn differences(comparison: &Comparison) -> String {
    let mut out = format!(
        "{} → {}\n",
        one_line(&comparison.a),
        one_line(&comparison.b)
    );
    if let Some(warning) = comparison.warning() {
        out.push_str(&format!("  ! {}\n", one_line(&warning)));
    }
    let rows = comparison.rows.iter();
    let sure: Vec<&Difference> = rows.clone().filter(|row| row.is_significant()).collect();
    let unclear: Vec<&Difference> = rows.clone().filter(|row| row.is_unclear()).collect();
    let cells: Vec<[String; 5]> = sure.iter().map(|row| difference(row)).collect();
    out.push_str(&columns("  ", &cells));
    match comparison.conclusion() {
        Conclusion::Same => out.push_str("  nothing differs by more than chance\n"),
        Conclusion::Different => {}
        Conclusion::Unclear => {
            out.push_str("  whether anything differs by more than chance cannot be told\n")
        }
    }
    if !unclear.is_empty() {
        out.push_str("  without an interval, so that it may be chance or not:\n");
        let shown = unclear.iter().take(MOST_UNCLEAR);
        let cells: Vec<[String; 5]> = shown.map(|row| difference(row)).collect();
        out.push_str(&columns("    ", &cells));
        let more = unclear.len().saturating_sub(MOST_UNCLEAR);
        if more > 0 {
            let figures = words::plural(more as u64, "more figure", "more figures");
            out.push_str(&format!("    and {figures}\n"));
        }
    }
    let chance = rows.filter(|row| row.a != row.b && !row.is_significant() && !row.is_unclear());
    let chance = chance.count() as u64;
    if chance > 0 {
        let figures = words::plural(chance, "more figure is", "more figures are");
        out.push_str(&format!(
            "  {figures} not the same, by no more than chance may do\n"
        ));
    }
    out.push_str(&format!("  {}\n", comparison.intervals()));
    out
}

fn difference(row: &Difference) -> [String; 5] {
    let value = |value: Option<f64>| {
        value.map_or_else(|| "–".to_owned(), |value| words::quantity(value, row.unit))
    };
    let word = match row.is_better().filter(|_| row.is_significant()) {
        Some(true) => " better",
        Some(false) => " worse",
        None => "",
    };
    let by = |value: f64| words::difference(value, row.unit);
    [
        one_line(&row.figure),
        value(row.a),
        format!("→ {}", value(row.b)),
        row.difference
            .map_or_else(String::new, |d| format!("{}{word}", by(d))),
        row.interval.map_or_else(String::new, |(low, high)| {
            format!("[{} to {}]", by(low), by(high))
        }),
    ]
}

pub(crate) const fn sign(state: State, partial: bool) -> &'static str {
    match state {
        State::Held if partial => "?",
        State::Held => "✓",
        State::Failed => "✗",
        State::Inconclusive => "?",
    }
}

/// Rows with each column as wide as its widest cell.
fn columns<const N: usize>(indent: &str, rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut out = String::new();
    for row in rows {
        let mut line = indent.to_owned();
        for (cell, width) in row.iter().zip(widths) {
            let pad = width - cell.chars().count();
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', pad + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Without line breaks and other control characters, which could redraw a terminal.
pub(crate) fn one_line(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["é", "1"], ["abc", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(" ", &rows), " é    1\n abc\n");
    }

    #[test]
    fn what_people_wrote_does_not_reach_the_terminal_as_control() {
        assert_eq!(one_line("a\u{1b}[2Jb\nc"), "a [2Jb c");
    }
}
