//! How the others differ from the first: figures with their intervals, and manifests.

use crate::compare::{Comparison, Difference, Paired, compare};
use crate::diff::{FileDiff, Sign, diff};
use crate::html::escape;
use crate::result::RunResult;
use crate::words;

pub(super) fn section(out: &mut String, results: &[RunResult]) {
    let [first, others @ ..] = results else {
        return;
    };
    if others.is_empty() {
        return;
    }
    let comparisons: Vec<Comparison> = others.iter().map(|other| compare(first, other)).collect();
    out.push_str("<section id=\"differences\">\n<h2>Differences</h2>\n");
    out.push_str(&format!(
        "<p class=\"meta\">{}</p>\n",
        escape(&explained(&comparisons))
    ));
    table(out, first, &comparisons);
    manifests(out, first, others);
    out.push_str("</section>\n");
}

fn explained(comparisons: &[Comparison]) -> String {
    let mut ways: Vec<String> = comparisons.iter().map(|c| c.paired.text()).collect();
    ways.sort();
    ways.dedup();
    let any = comparisons
        .iter()
        .any(|c| !matches!(c.paired, Paired::Not(_)));
    let bold = if any {
        "; bold where the interval leaves zero out"
    } else {
        ""
    };
    let text = format!(
        "{}{bold}. Of {} figures one in twenty would be bold by chance.",
        ways.join("; "),
        rows_of(comparisons).len()
    );
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().collect::<String>());
    format!("{}{}", first.unwrap_or_default(), letters.as_str())
}

/// Figures that some comparison has, without those that are the same everywhere in every way.
fn rows_of(comparisons: &[Comparison]) -> Vec<&Difference> {
    let mut rows: Vec<&Difference> = Vec::new();
    for row in comparisons.iter().flat_map(|c| &c.rows) {
        if !rows.iter().any(|r| r.figure == row.figure) {
            rows.push(row);
        }
    }
    rows
}

fn table(out: &mut String, first: &RunResult, comparisons: &[Comparison]) {
    out.push_str("<table class=\"stack matrix\"><thead><tr><th>Figure</th>");
    out.push_str(&format!("<th class=\"n\">{}</th>", escape(&first.label())));
    for c in comparisons {
        out.push_str(&format!("<th class=\"n\">{}</th>", escape(&c.b)));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    let rows = rows_of(comparisons);
    let (rows, same): (Vec<&Difference>, Vec<&Difference>) =
        rows.into_iter().partition(|row| differs(comparisons, row));
    for row in rows {
        let of_first = comparisons.iter().find_map(|c| find(c, row)?.a);
        let of_first =
            of_first.map_or_else(|| nothing(&row.figure), |v| words::quantity(v, row.unit));
        out.push_str(&format!(
            "<tr><td class=\"wide\"><code>{}</code></td><td class=\"n\" data-label=\"{}\">{of_first}</td>",
            escape(&row.figure),
            escape(&first.label())
        ));
        for c in comparisons {
            let cell = find(c, row).map_or_else(|| nothing(&row.figure), cell);
            out.push_str(&format!(
                "<td class=\"n\" data-label=\"{}\">{cell}</td>",
                escape(&c.b)
            ));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table>\n");
    if !same.is_empty() {
        let names: Vec<String> = same
            .iter()
            .take(30)
            .map(|row| format!("<code>{}</code>", escape(&row.figure)))
            .collect();
        let more = if same.len() > names.len() {
            ", and others"
        } else {
            ""
        };
        out.push_str(&format!(
            "<details><summary>{} the same everywhere</summary><p>{}{more}</p></details>\n",
            words::plural(same.len() as u64, "figure is", "figures are"),
            names.join(", ")
        ));
    }
}

/// Whether a figure is not the same everywhere.
fn differs(comparisons: &[Comparison], row: &Difference) -> bool {
    let of = |c: &Comparison| find(c, row).is_some_and(|r| r.a != r.b);
    comparisons.iter().any(of)
}

fn find<'a>(comparison: &'a Comparison, row: &Difference) -> Option<&'a Difference> {
    comparison.rows.iter().find(|r| r.figure == row.figure)
}

/// A recovery without a value is one that did not come, or could not be judged.
fn nothing(figure: &str) -> String {
    if figure.starts_with("recovery") {
        "not seen".into()
    } else {
        "–".into()
    }
}

fn cell(row: &Difference) -> String {
    let Some(value) = row.b else {
        return nothing(&row.figure);
    };
    let value = words::quantity(value, row.unit);
    let Some(difference) = row.difference.filter(|d| *d != 0.0) else {
        return value;
    };
    let difference = words::difference(difference, row.unit);
    let (class, word) = match row.is_better() {
        Some(true) if row.is_significant() => (" class=\"better\"", " better"),
        Some(false) if row.is_significant() => (" class=\"worse\"", " worse"),
        Some(_) | None => ("", ""),
    };
    let difference = if row.is_significant() {
        format!("<strong>{difference}{word}</strong>")
    } else {
        difference
    };
    let interval = row.interval.map_or(String::new(), |(low, high)| {
        let ends = [low, high].map(|end| words::difference(end, row.unit));
        format!("<br>[{} to {}]", ends[0], ends[1])
    });
    format!("{value}<br><small{class}>{difference}{interval}</small>")
}

fn manifests(out: &mut String, first: &RunResult, others: &[RunResult]) {
    let mut any = String::new();
    for other in others {
        let files = diff(&first.basis.manifests, &other.basis.manifests);
        if files.is_empty() {
            continue;
        }
        let lines: usize = files.iter().map(|f| f.lines.len()).sum();
        let open = if lines <= 60 { " open" } else { "" };
        any.push_str(&format!(
            "<details{open}><summary>{}</summary>\n",
            escape(&other.label())
        ));
        for file in &files {
            one_file(&mut any, file);
        }
        any.push_str("</details>\n");
    }
    if !any.is_empty() {
        out.push_str(&format!(
            "<h3>Manifests, from {}</h3>\n{any}",
            escape(&first.label())
        ));
    }
}

fn one_file(out: &mut String, file: &FileDiff) {
    out.push_str(&format!(
        "<p><code>{}</code></p>\n<pre class=\"diff\">",
        escape(&file.name)
    ));
    for (sign, line) in &file.lines {
        let (class, mark) = match sign {
            Sign::Same => ("same", ' '),
            Sign::Removed => ("removed", '-'),
            Sign::Added => ("added", '+'),
            Sign::Skipped => ("skipped", '…'),
        };
        out.push_str(&format!(
            "<span class=\"{class}\">{mark} {}</span>",
            escape(line)
        ));
    }
    out.push_str("</pre>\n");
}
