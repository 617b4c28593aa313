//! How the others differ from the first: figures with their intervals, and manifests.

use crate::compare::{Comparison, Difference, Paired, compare};
use crate::diff::{FileDiff, Sign, diff};
use crate::html::{escape, unbroken, with_code};
use crate::result::RunResult;
use crate::verdict::Unit;
use crate::words;

pub(super) fn section(out: &mut String, results: &[RunResult]) {
    let [first, others @ ..] = results else {
        return;
    };
    if others.is_empty() {
        return;
    }
    out.push_str("<section id=\"differences\">\n<h2>Differences</h2>\n");
    let mut comparisons: Vec<Comparison> = Vec::new();
    for other in others {
        match compare(first, other) {
            Ok(comparison) => comparisons.push(comparison),
            Err(why) => out.push_str(&format!(
                "<p class=\"warn\"><strong>{}</strong> cannot be compared with <strong>{}</strong>: {}.</p>\n",
                escape(&other.label()),
                escape(&first.label()),
                with_code(&why.to_string())
            )),
        }
    }
    for comparison in &comparisons {
        if let Some(warning) = comparison.warning() {
            out.push_str(&format!(
                "<p class=\"warn\"><strong>{}</strong> beside <strong>{}</strong>: {}.</p>\n",
                escape(&comparison.b),
                escape(&comparison.a),
                with_code(&warning)
            ));
        }
    }
    if !comparisons.is_empty() {
        out.push_str(&format!(
            "<p class=\"meta\">{}</p>\n",
            escape(&explained(&comparisons))
        ));
        table(out, first, &comparisons);
    }
    manifests(out, first, others);
    out.push_str("</section>\n");
}

fn explained(comparisons: &[Comparison]) -> String {
    let mut ways: Vec<String> = comparisons.iter().map(Comparison::intervals).collect();
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
                "<td class=\"n\" data-label=\"{}\"><div>{cell}</div></td>",
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
    let difference = unbroken(&words::difference(difference, row.unit));
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
    let interval = row.interval.map_or(String::new(), |interval| {
        format!("<br>{}", between(interval, row.unit))
    });
    format!(
        "{}<br><small{class}>{difference}{interval}</small>",
        unbroken(&value)
    )
}

/// `[+49.7 to +92.1 pp]`: the unit once when both ends have it.
fn between((low, high): (f64, f64), unit: Unit) -> String {
    let [low, high] = [low, high].map(|end| words::difference(end, unit));
    let low = match (low.split_once(' '), high.split_once(' ')) {
        (Some((number, a)), Some((_, b))) if a == b && unit != Unit::Count => number.to_owned(),
        _ => low,
    };
    let ends = [low, high].map(|end| format!("<span class=\"figure\">{}</span>", escape(&end)));
    format!("[{} to {}]", ends[0], ends[1])
}

/// Each file that differs from the first's, once, with whose it is.
fn manifests(out: &mut String, first: &RunResult, others: &[RunResult]) {
    let mut files: Vec<(FileDiff, Vec<String>)> = Vec::new();
    for other in others {
        for file in diff(&first.basis.manifests, &other.basis.manifests) {
            match files.iter_mut().find(|(known, _)| *known == file) {
                Some((_, of)) => of.push(other.label()),
                None => files.push((file, vec![other.label()])),
            }
        }
    }
    if files.is_empty() {
        return;
    }
    out.push_str(&format!(
        "<h3>Manifests, from {}</h3>\n",
        escape(&first.label())
    ));
    for (file, of) in &files {
        one_file(out, file, of);
    }
}

fn one_file(out: &mut String, file: &FileDiff, of: &[String]) {
    let open = if file.lines.len() <= 30 { " open" } else { "" };
    out.push_str(&format!(
        "<details{open}><summary><code>{}</code> <small>in {}</small></summary>\n<pre class=\"diff\">",
        escape(&file.name),
        escape(&words::list(of))
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
    out.push_str("</pre></details>\n");
}
