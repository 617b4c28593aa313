//! Pictures: strips, graphs, single requests.

use super::each;
use crate::chart::Ink;
use crate::chart::graph::{MOST, draw_graph};
use crate::chart::strips::{Panel, Row, ruler};
use crate::chart::waterfall::{self, Decision, decisions, draw_waterfall};
use crate::html::{escape, unbroken, with_code};
use crate::result::RunResult;
use crate::waterfall::Waterfall;
use crate::words;

pub(super) fn strips(out: &mut String, results: &[RunResult], panels: &[Panel]) {
    if results.is_empty() {
        return;
    }
    out.push_str("<section id=\"strips\">\n<h2>Over time</h2>\n");
    let length = results
        .iter()
        .map(|r| r.time.duration_ns)
        .max()
        .unwrap_or(0)
        / 1_000;
    out.push_str(&format!("<div class=\"scroll\" data-us=\"{length}\" tabindex=\"0\" role=\"group\" aria-label=\"Strips on one time axis\">\n"));
    out.push_str("<div class=\"cross\" hidden></div>\n");
    out.push_str(&format!(
        "<div class=\"strip ruler\">{}</div>\n",
        ruler(results)
    ));
    let mut number = 0;
    for panel in panels {
        out.push_str("<div class=\"panel\">\n");
        // Alone, the title is what is to be seen; several have what they share as theirs, and each its own below.
        if results.len() > 1 {
            out.push_str("<h3>");
            plotted(out, panel);
            out.push_str("</h3>\n");
        }
        // Neighbours that have the same to say and nothing to show say it together.
        let is_same = |a: &Row, b: &Row| a.svg.is_none() && b.svg.is_none() && a.title == b.title;
        let mut at = 0;
        for rows in panel.rows.chunk_by(is_same) {
            let labels = results.iter().skip(at).take(rows.len());
            let labels: Vec<String> = labels.map(RunResult::label).collect();
            let label = (results.len() > 1).then(|| words::list(&labels));
            strip(out, label.as_deref(), panel, &rows[0], number);
            at += rows.len();
            number += rows.len();
        }
        out.push_str("</div>\n");
    }
    out.push_str("</div>\n</section>\n");
}

fn plotted(out: &mut String, panel: &Panel) {
    out.push_str(&escape(&panel.name));
    if !panel.key.is_empty() && panel.rows.iter().any(|row| row.svg.is_some()) {
        key(out, &panel.key);
    }
}

fn key(out: &mut String, key: &[(Ink, String)]) {
    out.push_str(" <span class=\"key\">");
    for (ink, name) in key {
        out.push_str(&format!(
            "<span><i style=\"background:var(--{})\"></i>{}</span>",
            ink.name(),
            escape(name)
        ));
    }
    out.push_str("</span>");
}

fn strip(out: &mut String, label: Option<&str>, panel: &Panel, row: &Row, number: usize) {
    let title = with_code(&row.title);
    out.push_str(&format!("<div class=\"strip\" data-strip=\"{number}\">"));
    match label {
        Some(label) => out.push_str(&format!(
            "<p class=\"seen\"><strong>{}</strong> {title} <output></output></p>",
            escape(label)
        )),
        None => {
            out.push_str(&format!(
                "<h3>{title} <output></output></h3><p class=\"plotted\">"
            ));
            plotted(out, panel);
            out.push_str("</p>");
        }
    }
    out.push_str(row.svg.as_deref().unwrap_or_default());
    out.push_str("</div>\n");
}

/// The values under the strips, for the pointer.
pub(super) fn read_out(panels: &[Panel]) -> String {
    let rows = panels.iter().flat_map(|p| &p.rows);
    let rows: Vec<serde_json::Value> = rows
        .map(|row| {
            let series = row
                .series
                .iter()
                .map(|s| serde_json::json!([s.name, s.unit, s.values]));
            serde_json::json!([row.bin_ns / 1_000, series.collect::<Vec<_>>()])
        })
        .collect();
    // `<` would end the element; in JSON strings it may be written as an escape.
    let text = serde_json::Value::Array(rows)
        .to_string()
        .replace('<', "\\u003c");
    format!("<script type=\"application/json\" id=\"series\">{text}</script>\n")
}

pub(super) fn graphs(out: &mut String, results: &[RunResult]) {
    out.push_str("<section id=\"graph\">\n<h2>Who calls whom</h2>\n<p class=\"meta\">Area: requests a second. Ring: share at work. Width of a line: attempts a second, <span class=\"key\"><span><i style=\"background:var(--retries)\"></i>retries</span></span></p>\n");
    each(out, results, 1, |out, result| match draw_graph(result) {
        Some(svg) => {
            if result.workloads.len() > MOST {
                out.push_str(&format!(
                    "<p>{} services, drawn by namespace.</p>\n",
                    words::count(result.workloads.len() as f64)
                ));
            }
            out.push_str(&format!(
                "<div class=\"scroll\"><div class=\"strip\">{svg}</div></div>\n"
            ));
        }
        None => out.push_str("<p>Nothing was sent.</p>\n"),
    });
    out.push_str("</section>\n");
}

pub(super) fn requests(out: &mut String, results: &[RunResult]) {
    if results.iter().all(|r| r.waterfalls.is_empty()) {
        return;
    }
    out.push_str("<section id=\"requests\">\n<h2>Single requests</h2>\n");
    each(out, results, 1, |out, result| {
        if result.waterfalls.is_empty() {
            out.push_str("<p>None was recorded.</p>\n");
        }
        for waterfall in &result.waterfalls {
            request(out, waterfall);
        }
    });
    out.push_str("</section>\n");
}

fn request(out: &mut String, waterfall: &Waterfall) {
    let sign = if waterfall.failed { "✗" } else { "✓" };
    out.push_str(&format!(
        "<h3>{}: <code>{}</code> {sign} {}</h3>\n<p class=\"meta\">due at {}",
        waterfall.chosen.text(),
        escape(&waterfall.request),
        unbroken(&waterfall.ended()),
        words::moment(waterfall.start_ns)
    ));
    let colours = waterfall::key(waterfall);
    let colours: Vec<(Ink, String)> = colours
        .into_iter()
        .map(|(ink, text)| (ink, text.to_owned()))
        .collect();
    key(out, &colours);
    out.push_str("</p>\n");
    out.push_str(&format!(
        "<div class=\"scroll\"><div class=\"strip\">{}</div></div>\n",
        draw_waterfall(waterfall)
    ));
    let decided = decisions(waterfall);
    if decided.is_empty() {
        return;
    }
    out.push_str("<ol class=\"marks\">\n");
    for decision in &decided {
        let at = decision.at_ns.saturating_sub(waterfall.start_ns);
        out.push_str(&format!(
            "<li><time>+{}</time> <strong>{}</strong> {}</li>\n",
            words::duration(at as f64),
            escape(decision.lane),
            parts(decision)
        ));
    }
    out.push_str("</ol>\n");
}

/// What was decided, a rule once behind all that it decided in a row.
fn parts(decision: &Decision<'_>) -> String {
    let mut all = Vec::new();
    for (at, (text, origin)) in decision.parts.iter().enumerate() {
        let next = decision.parts.get(at + 1).and_then(|(_, origin)| *origin);
        let rule = origin.filter(|o| next != Some(*o));
        let rule = rule.map_or(String::new(), |o| format!(" <code>{}</code>", escape(o)));
        all.push(format!("{}{rule}", with_code(text)));
    }
    all.join("; ")
}
