//! What a result rests on, and where it comes from.

use crate::html::{escape, with_code};
use crate::result::{Assumption, RunResult};
use crate::words;

/// The same thing said by several results, and by which.
fn shared<'a, T: PartialEq>(
    results: &'a [RunResult],
    of: impl Fn(&'a RunResult) -> Vec<T>,
) -> Vec<(T, Vec<usize>)> {
    let mut all: Vec<(T, Vec<usize>)> = Vec::new();
    for (at, result) in results.iter().enumerate() {
        for item in of(result) {
            match all.iter_mut().find(|(known, _)| *known == item) {
                Some((_, by)) => by.push(at),
                None => all.push((item, vec![at])),
            }
        }
    }
    all
}

/// `in budget` where not all of several have it.
fn only_in(results: &[RunResult], by: &[usize]) -> String {
    if by.len() == results.len() {
        return String::new();
    }
    let names: Vec<String> = by
        .iter()
        .filter_map(|at| results.get(*at))
        .map(RunResult::label)
        .collect();
    format!(" <small>in {}</small>", escape(&words::list(&names)))
}

pub(super) fn rests_on(out: &mut String, results: &[RunResult]) {
    out.push_str("<section id=\"basis\">\n<h2>What this rests on</h2>\n");
    caveats(out, results);
    let set = shared(results, |r| r.basis.set.iter().collect());
    if !set.is_empty() {
        out.push_str("<h3>Set on the command line</h3>\n<ul>\n");
        for ((path, value), by) in &set {
            out.push_str(&format!(
                "<li><code>{}</code>: <strong><code>{}</code></strong>{}</li>\n",
                escape(path),
                escape(value),
                only_in(results, by)
            ));
        }
        out.push_str("</ul>\n");
    }
    let assumed = assumed(results);
    if !assumed.is_empty() {
        out.push_str("<h3>Assumed</h3>\n<ul>\n");
        for (a, origins, by) in &assumed {
            let origins: Vec<String> = origins.iter().map(|o| with_code(o)).collect();
            out.push_str(&format!(
                "<li>{}: <strong>{}</strong> <small>{}</small>{}{}</li>\n",
                with_code(&a.what),
                with_code(&a.value),
                origins.join(", "),
                tried(a),
                only_in(results, by)
            ));
        }
        out.push_str("</ul>\n");
    }
    let mut not_modelled = shared(results, |r| r.basis.not_modelled.iter().collect());
    not_modelled.sort_by_key(|(n, _)| !n.on_loaded_path);
    if not_modelled.is_empty() {
        out.push_str("<p>Every field of the manifests is modelled.</p>\n");
    } else {
        let loaded = not_modelled
            .iter()
            .filter(|(n, _)| n.on_loaded_path)
            .count() as u64;
        out.push_str("<h3>Not modelled</h3>\n");
        let rest = not_modelled.len() as u64 - loaded;
        let open = if loaded > 0 || rest <= 6 { " open" } else { "" };
        out.push_str(&format!(
            "<details{open}><summary>{} on a path that carried load, {} elsewhere</summary>\n<ul>\n",
            words::plural(loaded, "field", "fields"),
            words::count(rest as f64)
        ));
        for (n, by) in &not_modelled {
            let loaded = if n.on_loaded_path {
                " <strong class=\"warn\">on a loaded path</strong>"
            } else {
                ""
            };
            out.push_str(&format!(
                "<li>{}: {}{loaded}{}</li>\n",
                with_code(&n.field),
                with_code(&n.means),
                only_in(results, by)
            ));
        }
        out.push_str("</ul></details>\n");
    }
    departures(out, results);
    releases(out, results);
    let commands = shared(results, |r| vec![r.basis.command.as_str()]);
    let commands: Vec<_> = commands.iter().filter(|(c, _)| !c.is_empty()).collect();
    if !commands.is_empty() {
        let lines = commands.iter().map(|(command, _)| escape(command));
        let lines: Vec<String> = lines.collect();
        out.push_str(&format!(
            "<h3>Reproduce</h3>\n<pre class=\"command\">{}</pre>\n",
            lines.join("\n")
        ));
    }
    out.push_str("</section>\n");
}

/// Each assumed value once, with the places where it is written and whose it is: two files that assume the same assume one thing.
fn assumed(results: &[RunResult]) -> Vec<(&Assumption, Vec<&str>, Vec<usize>)> {
    let mut all: Vec<(&Assumption, Vec<&str>, Vec<usize>)> = Vec::new();
    for (at, result) in results.iter().enumerate() {
        for each in &result.basis.assumptions {
            let key = |a: &Assumption| (a.what.clone(), a.value.clone(), a.tried.clone());
            match all.iter_mut().find(|(known, ..)| key(known) == key(each)) {
                Some((_, origins, by)) => {
                    if !origins.contains(&each.origin.as_str()) {
                        origins.push(&each.origin);
                    }
                    if !by.contains(&at) {
                        by.push(at);
                    }
                }
                None => all.push((each, vec![&each.origin], vec![at])),
            }
        }
    }
    all
}

/// What other values in its place would change.
fn tried(assumption: &Assumption) -> String {
    if assumption.tried.is_empty() {
        return String::new();
    }
    let all = assumption.tried.iter().map(|tried| {
        let text = with_code(&tried.text());
        match tried.flips.is_empty() {
            true => text,
            false => format!("<strong class=\"warn\">{text}</strong>"),
        }
    });
    let all: Vec<String> = all.collect();
    format!("<br><small>{}</small>", all.join("; "))
}

/// What a reader must know before believing a number.
fn caveats(out: &mut String, results: &[RunResult]) {
    let of = |r: &RunResult| {
        let mut all = Vec::new();
        if !r.basis.partial.is_empty() {
            all.push(format!("Not all was run: {}.", r.basis.partial));
        }
        if let Some(cut) = r.time.cut_at_ns {
            all.push(format!(
                "The run was cut short at {}; nothing after it is known.",
                words::moment(cut)
            ));
        }
        if r.notes_dropped > 0 {
            all.push(format!(
                "{} more notes than could be kept.",
                words::count(r.notes_dropped as f64)
            ));
        }
        all
    };
    let all = shared(results, of);
    let unfinished = unfinished(results);
    if !all.is_empty() || !unfinished.is_empty() {
        out.push_str("<ul>\n");
        for text in &unfinished {
            out.push_str(&format!("<li>{text}</li>\n"));
        }
        for (text, by) in &all {
            out.push_str(&format!(
                "<li>{}{}</li>\n",
                with_code(text),
                only_in(results, by)
            ));
        }
        out.push_str("</ul>\n");
    }
}

/// What had not finished at the end, a sentence a load, with what each of several results left.
fn unfinished(results: &[RunResult]) -> Vec<String> {
    /// A count in words, and the results that have it.
    type Counted = (String, Vec<usize>);
    let mut loads: Vec<(&str, Vec<Counted>)> = Vec::new();
    for (at, result) in results.iter().enumerate() {
        for load in result.loads.iter().filter(|l| l.unfinished > 0) {
            let count = format!(
                "{} of {}",
                words::count(result.time.each(load.unfinished)),
                words::count(result.time.each(load.sent))
            );
            let known = loads.iter().position(|(name, _)| *name == load.name);
            let known = known.unwrap_or_else(|| {
                loads.push((&load.name, Vec::new()));
                loads.len() - 1
            });
            let counts = &mut loads[known].1;
            match counts.iter_mut().find(|(text, _)| *text == count) {
                Some((_, by)) => by.push(at),
                None => counts.push((count, vec![at])),
            }
        }
    }
    let sentence = |(name, counts): (&str, Vec<(String, Vec<usize>)>)| {
        let counts = counts.iter();
        let counts: Vec<String> = counts
            .map(|(text, by)| format!("{}{}", with_code(text), only_in(results, by)))
            .collect();
        format!(
            "Requests of <code>{}</code> that had not finished at the end, and so are in no share and no percentile: {}.",
            escape(name),
            counts.join(", ")
        )
    };
    loads.into_iter().map(sentence).collect()
}

/// What real proxies do otherwise that stood in the place of ours.
fn departures(out: &mut String, results: &[RunResult]) {
    let departures = shared(results, |r| r.basis.departures.iter().collect());
    if departures.is_empty() {
        return;
    }
    out.push_str("<h3>What the proxies do otherwise</h3>\n");
    out.push_str(&format!(
        "<details><summary>{} from what the manifests say, since Envoy cannot be told</summary>\n<ul>\n",
        words::plural(departures.len() as u64, "departure", "departures"),
    ));
    for (what, by) in &departures {
        out.push_str(&format!(
            "<li>{}{}</li>\n",
            with_code(what),
            only_in(results, by)
        ));
    }
    out.push_str("</ul></details>\n");
}

fn releases(out: &mut String, results: &[RunResult]) {
    let releases = shared(results, |r| r.basis.releases.iter().collect());
    if releases.is_empty() {
        return;
    }
    let each = releases.iter().map(|((system, release), by)| {
        let release = escape(&format!("{system}@{release}"));
        format!("<code>{release}</code>{}", only_in(results, by))
    });
    let each: Vec<String> = each.collect();
    out.push_str(&format!(
        "<p>Defaults are those of {}.</p>\n",
        words::list(&each)
    ));
}

pub(super) fn provenance(out: &mut String, results: &[RunResult]) {
    out.push_str("<section id=\"provenance\">\n<h2>Provenance</h2>\n");
    let versions = shared(results, |r| vec![r.basis.version.as_str()]);
    for (version, by) in versions.iter().filter(|(v, _)| !v.is_empty()) {
        out.push_str(&format!(
            "<p>windtunnel {}{}</p>\n",
            escape(version),
            only_in(results, by)
        ));
    }
    let digests = shared(results, |r| r.basis.digests.iter().collect());
    if !digests.is_empty() {
        out.push_str("<table class=\"stack digests\"><thead><tr><th>File</th><th>Digest</th></tr></thead><tbody>\n");
        for ((name, digest), by) in &digests {
            out.push_str(&format!(
                "<tr><td class=\"wide\">{}{}</td><td data-label=\"Digest\"><code>{}</code></td></tr>\n",
                escape(name),
                only_in(results, by),
                escape(digest)
            ));
        }
        out.push_str("</tbody></table>\n");
    }
    let diagnostics = shared(results, |r| vec![r.basis.diagnostics.as_str()]);
    for (text, by) in diagnostics.iter().filter(|(d, _)| !d.is_empty()) {
        out.push_str(&format!(
            "<details><summary>Said while reading{}</summary><pre>{}</pre></details>\n",
            only_in(results, by),
            escape(text)
        ));
    }
    out.push_str("</section>\n");
}
