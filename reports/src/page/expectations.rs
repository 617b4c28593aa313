//! The table of expectations: one result in full, several as a matrix.

use super::verdict;
use crate::chart::spark::spark;
use crate::html::{escape, unbroken, with_code};
use crate::result::RunResult;
use crate::verdict::{State, Verdict};
use crate::words;

pub(super) fn section(out: &mut String, results: &[RunResult]) {
    out.push_str("<section id=\"expectations\">\n<h2>Expectations</h2>\n");
    if results.iter().all(|r| r.expectations.is_empty()) {
        out.push_str("<p>The scenario expects nothing, so nothing could fail.</p>\n");
    } else if let [only] = results {
        alone(out, only);
    } else {
        matrix(out, results);
    }
    out.push_str("</section>\n");
}

fn alone(out: &mut String, result: &RunResult) {
    let seeds = result.seeds.len() > 1;
    out.push_str("<table class=\"stack\"><thead><tr><th>Expected</th><th></th><th class=\"n\">Measured</th><th class=\"n\">Bound</th><th class=\"n\">Margin</th>");
    if seeds {
        out.push_str("<th class=\"n\">95 % interval</th><th class=\"n\">Seeds held</th>");
    }
    out.push_str("<th>Over time</th></tr></thead>\n<tbody>\n");
    for v in &result.expectations {
        let bound = v
            .bound
            .map_or_else(|| "–".to_owned(), |b| unbroken(&words::quantity(b, v.unit)));
        let margin = v.margin.map_or_else(
            || "–".to_owned(),
            |m| words::difference(m * 100.0, crate::verdict::Unit::Count) + "\u{a0}%",
        );
        let note = if v.note.is_empty() {
            String::new()
        } else {
            format!("<br><small>{}</small>", with_code(&v.note))
        };
        out.push_str(&format!(
            "<tr><td class=\"wide\"><code>{}</code>{note}</td><td>{}</td><td class=\"n\" data-label=\"Measured\">{}</td><td class=\"n\" data-label=\"Bound\">{bound}</td><td class=\"n\" data-label=\"Margin\">{margin}</td>",
            escape(&v.expression),
            verdict(v.state, result.is_partial()),
            unbroken(&v.measured()),
        ));
        if seeds {
            let interval = v.interval.map_or_else(
                || "–".to_owned(),
                |(low, high)| {
                    format!(
                        "{} to {}",
                        words::quantity(low, v.unit),
                        words::quantity(high, v.unit)
                    )
                },
            );
            let all = v.seeds.held + v.seeds.failed + v.seeds.inconclusive;
            out.push_str(&format!(
                "<td class=\"n\" data-label=\"95 % interval\">{interval}</td><td class=\"n\" data-label=\"Seeds held\">{} of {all}</td>",
                v.seeds.held
            ));
        }
        let alt = format!("{} over time", v.expression);
        let picture = spark(&v.spark, v.bound, &alt).unwrap_or_default();
        out.push_str(&format!("<td class=\"spark\">{picture}</td></tr>\n"));
    }
    out.push_str("</tbody></table>\n");
}

fn matrix(out: &mut String, results: &[RunResult]) {
    let mut expressions: Vec<&str> = Vec::new();
    for v in results.iter().flat_map(|r| &r.expectations) {
        if !expressions.contains(&v.expression.as_str()) {
            expressions.push(&v.expression);
        }
    }
    out.push_str("<table class=\"stack matrix\"><thead><tr><th>Expected</th>");
    for result in results {
        out.push_str(&format!("<th>{}</th>", escape(&result.label())));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for expression in expressions {
        out.push_str(&format!(
            "<tr><td class=\"wide\"><code>{}</code></td>",
            escape(expression)
        ));
        for result in results {
            let found = result
                .expectations
                .iter()
                .find(|v| v.expression == expression);
            let cell = found.map_or_else(|| "–".to_owned(), |v| cell(v, result.is_partial()));
            out.push_str(&format!(
                "<td data-label=\"{}\"><div>{cell}</div></td>",
                escape(&result.label())
            ));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table>\n");
}

fn cell(v: &Verdict, partial: bool) -> String {
    let note = if v.note.is_empty() || v.state != State::Inconclusive {
        String::new()
    } else {
        format!("<br><small>{}</small>", with_code(&v.note))
    };
    format!(
        "{}<br><span class=\"figure\">{}</span>{note}",
        verdict(v.state, partial),
        unbroken(&v.measured())
    )
}
