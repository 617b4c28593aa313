//! Title, verdict and what happened.

use super::verdict;
use crate::html::{escape, with_code};
use crate::result::RunResult;
use crate::story::{self, Sentence};
use crate::words;

pub(super) fn header(out: &mut String, results: &[RunResult]) {
    let Some(first) = results.first() else {
        out.push_str("<h1>No results</h1>\n");
        return;
    };
    let worst = crate::verdict::State::worst(results.iter().map(RunResult::verdict));
    out.push_str("<header>\n<button id=\"theme\" type=\"button\" hidden>light / dark</button>\n");
    let variant = match results {
        [only] => only.variant.as_ref().map_or(String::new(), |v| {
            format!(" <span class=\"variant\">{}</span>", escape(v))
        }),
        _ => String::new(),
    };
    out.push_str(&format!(
        "<h1>{}{variant} {}</h1>\n",
        escape(&first.scenario),
        verdict(worst, results.iter().any(RunResult::is_partial))
    ));
    out.push_str(&format!(
        "<p class=\"meta\">{}</p>\n",
        escape(&first.circumstances())
    ));
    if results.len() > 1 {
        out.push_str(&format!(
            "<p class=\"meta\">{} side by side; differences are from <strong>{}</strong></p>\n",
            words::plural(results.len() as u64, "variant", "variants"),
            escape(&first.label())
        ));
    }
    out.push_str("</header>\n");
}

fn story_of(result: &RunResult) -> String {
    let mut out = String::from("<ol class=\"story\">\n");
    for Sentence { at_ns, text, .. } in story::story(result) {
        out.push_str(&format!(
            "<li><time>{}</time> <span>{}.</span></li>\n",
            words::moment(at_ns),
            with_code(&text)
        ));
    }
    out.push_str("</ol>\n");
    out
}

fn story_title(results: &[RunResult]) -> &'static str {
    if results.iter().any(|r| r.time.runs > 1) {
        "What happened <small>rates over all seeds, single events of the first</small>"
    } else {
        "What happened"
    }
}

pub(super) fn story(out: &mut String, results: &[RunResult]) {
    out.push_str(&format!(
        "<section id=\"story\">\n<h2>{}</h2>\n",
        story_title(results)
    ));
    if let [only] = results {
        out.push_str(&story_of(only));
    } else {
        out.push_str("<div class=\"variants\">\n");
        for result in results {
            out.push_str(&format!(
                "<article><h3>{} {}</h3>\n{}</article>\n",
                escape(&result.label()),
                verdict(result.verdict(), result.is_partial()),
                story_of(result)
            ));
        }
        out.push_str("</div>\n");
    }
    out.push_str("</section>\n");
}
