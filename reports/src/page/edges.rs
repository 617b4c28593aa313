//! Who called whom, how that went, and by which rules.

use super::each;
use crate::figures::Stat;
use crate::html::{escape, unbroken, with_code};
use crate::result::{EdgeResult, EdgeTotals, RefusedBy, RunResult};
use crate::verdict::Unit;
use crate::words;

/// More edges than this are left to the JSON.
const MOST: usize = 200;

/// Head, and whether it is a number.
const COLUMNS: [(&str, bool); 10] = [
    ("Edge", false),
    ("Calls", true),
    ("Attempts", true),
    ("Attempts a call", true),
    ("Calls served", true),
    ("p50", true),
    ("p99", true),
    ("Timeouts", true),
    ("Ejections", true),
    ("Refused by", false),
];

pub(super) fn section(out: &mut String, results: &[RunResult]) {
    out.push_str("<section id=\"edges\">\n<h2>Edges</h2>\n");
    out.push_str("<p class=\"meta\">After the warm-up; latency is that of single attempts.</p>\n");
    each(out, results, 1, table);
    out.push_str("<h2>Policies</h2>\n");
    each(out, results, 1, policies);
    out.push_str("</section>\n");
}

fn busiest(result: &RunResult) -> Vec<(usize, &EdgeResult)> {
    let used = |e: &&EdgeResult| e.totals.attempts() + e.totals.rejected > 0;
    let all = result.edges.iter().enumerate();
    let mut edges: Vec<(usize, &EdgeResult)> = all.filter(|(_, e)| used(e)).collect();
    edges.sort_by_key(|(_, e)| std::cmp::Reverse(e.totals.attempts()));
    edges
}

fn name(result: &RunResult, edge: &EdgeResult) -> String {
    format!(
        "{} → {}",
        escape(result.workload_name(edge.from)),
        escape(result.workload_name(edge.to))
    )
}

fn table(out: &mut String, result: &RunResult) {
    let edges = busiest(result);
    if edges.is_empty() {
        out.push_str("<p>No service called another.</p>\n");
        refused_elsewhere(out, result, &edges);
        return;
    }
    out.push_str("<table class=\"stack sortable\"><thead><tr>");
    for (column, number) in COLUMNS {
        let class = if number { " class=\"n\"" } else { "" };
        out.push_str(&format!("<th{class}>{column}</th>"));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (at, edge) in edges.iter().take(MOST) {
        row(out, result, *at as u32, edge);
    }
    out.push_str("</tbody></table>\n");
    if edges.len() > MOST {
        let more = words::count((edges.len() - MOST) as f64);
        out.push_str(&format!(
            "<p>{more} more edges with fewer attempts are in the JSON.</p>\n"
        ));
    }
    refused_elsewhere(out, result, &edges);
}

fn row(out: &mut String, result: &RunResult, at: u32, edge: &EdgeResult) {
    let t = &edge.totals;
    let each = |n: u64| result.time.each(n);
    let of_edge = result.clusters.iter().filter(|c| c.edge == Some(at));
    let ejections: f64 = of_edge.map(|c| result.time.each(c.ejections)).sum();
    let figures: [(Option<f64>, Unit); 8] = [
        (Some(each(t.calls())), Unit::Count),
        (Some(each(t.attempts())), Unit::Count),
        (t.amplification(), Unit::Factor),
        (t.call_success(), Unit::Share),
        (Stat::P50.of(&edge.latency), Unit::Nanos),
        (Stat::P99.of(&edge.latency), Unit::Nanos),
        (Some(each(t.timeouts)), Unit::Count),
        (Some(ejections), Unit::Count),
    ];
    out.push_str(&format!(
        "<tr><td class=\"wide\">{}</td>",
        name(result, edge)
    ));
    for ((value, unit), (column, _)) in figures.into_iter().zip(&COLUMNS[1..]) {
        let mut text =
            value.map_or_else(|| "–".to_owned(), |v| unbroken(&words::quantity(v, unit)));
        if unit == Unit::Nanos && value.is_some() && is_mostly_failures(t) {
            text.push_str("<br><small>mostly of failures</small>");
        }
        let sort = value.unwrap_or(-1.0);
        out.push_str(&format!(
            "<td class=\"n\" data-label=\"{column}\" data-sort=\"{sort}\">{text}</td>"
        ));
    }
    let refused = edge.rejected.iter().filter(|r| r.count > 0).map(|r| {
        let rule = result
            .origin(r.origin)
            .map_or(String::new(), |o| format!(" <code>{}</code>", escape(o)));
        format!(
            "{} by {}{rule}",
            words::count(each(r.count)),
            r.limit.text()
        )
    });
    let mine = |r: &&RefusedBy| r.count > 0 && r.from == Some(edge.from) && r.by == edge.to;
    let connections = result.refused.iter().filter(mine);
    let connections = connections.map(|r| refused_connections(result, r));
    let refused: Vec<String> = refused.chain(connections).collect();
    let refused = if refused.is_empty() {
        "–".to_owned()
    } else {
        refused.join("<br>")
    };
    let sort = t.rejected;
    out.push_str(&format!(
        "<td class=\"refused\" data-label=\"Refused by\" data-sort=\"{sort}\"><span>{refused}</span></td></tr>\n"
    ));
}

/// Whether fewer than half of the attempts that ended were served: their latency is the time to a failure.
const fn is_mostly_failures(t: &EdgeTotals) -> bool {
    let failed = t.status_5xx + t.timeouts + t.broken + t.cancelled;
    t.ok < failed
}

/// How many connections, and by what.
fn refused_connections(result: &RunResult, refused: &RefusedBy) -> String {
    let rule = result
        .origin(refused.origin)
        .map_or(String::new(), |o| format!(" <code>{}</code>", escape(o)));
    format!(
        "{} by {}{rule}",
        words::plural(
            refused.count / result.time.runs.max(1),
            "connection",
            "connections"
        ),
        refused.why.text()
    )
}

/// Connections that were refused on no edge of the table: those of clients outside, and those that may not leave their pod.
fn refused_elsewhere(out: &mut String, result: &RunResult, edges: &[(usize, &EdgeResult)]) {
    let told = |r: &RefusedBy| {
        let mut shown = edges.iter().take(MOST);
        shown.any(|(_, e)| r.from == Some(e.from) && r.by == e.to)
    };
    let elsewhere = result.refused.iter().filter(|r| r.count > 0 && !told(r));
    for refused in elsewhere {
        let by = escape(result.workload_name(refused.by));
        let whose = match refused.from {
            Some(from) if from == refused.by => format!("{by} itself"),
            Some(from) => escape(result.workload_name(from)),
            None => "clients outside".to_owned(),
        };
        out.push_str(&format!(
            "<p>Proxies of {by} refused {whose} {}.</p>\n",
            refused_connections(result, refused)
        ));
    }
}

fn policies(out: &mut String, result: &RunResult) {
    let edges = busiest(result);
    let with = edges.iter().filter(|(_, e)| !e.policies.is_empty());
    let mut any = false;
    for (_, edge) in with.take(MOST) {
        if !any {
            out.push_str("<table class=\"stack sortable\"><thead><tr><th>Edge</th><th>Policy</th><th>Value</th><th>From</th></tr></thead>\n<tbody>\n");
            any = true;
        }
        for policy in &edge.policies {
            out.push_str(&format!(
                "<tr><td class=\"wide\">{}</td><td data-label=\"Policy\">{}</td><td data-label=\"Value\">{}</td><td data-label=\"From\"><code>{}</code></td></tr>\n",
                name(result, edge),
                with_code(&policy.name),
                with_code(&policy.value),
                escape(&policy.origin)
            ));
        }
    }
    if any {
        out.push_str("</tbody></table>\n");
    } else {
        out.push_str("<p>No policy held on an edge that carried load.</p>\n");
    }
}
