//! One HTML file that says what a run showed: nothing is fetched, everything reads without script, the same results
//! give the same bytes.
//!
//! Order of reading: the verdict, what happened, the expectations, what it rests on; then the evidence, from strips over
//! the service graph and the edges down to single requests; then provenance. Several results stand side by side: a row
//! each in every strip, and a table of their differences from the first.

use crate::chart::strips;
use crate::html::escape;
use crate::result::RunResult;
use crate::verdict::State;
use crate::words;

mod basis;
mod differences;
mod edges;
mod evidence;
mod expectations;
mod style;
mod summary;
#[cfg(test)]
mod tests;

const SCRIPT: &str = include_str!("page/script.js");

/// What becomes a page: one result, or several variants of one scenario with the first as the measure of the others.
#[derive(Clone, PartialEq, Debug)]
pub struct Page {
    results: Vec<RunResult>,
}

impl Page {
    /// A page of these results.
    #[must_use]
    pub const fn new(results: Vec<RunResult>) -> Self {
        Self { results }
    }

    /// What it is made of.
    #[must_use]
    pub fn results(&self) -> &[RunResult] {
        &self.results
    }

    /// The worst of all verdicts.
    #[must_use]
    pub fn verdict(&self) -> State {
        State::worst(self.results.iter().map(RunResult::verdict))
    }

    /// The word of that: `held so far` where not all was run.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.verdict()
            .word_of(self.results.iter().any(RunResult::is_partial))
    }

    /// The HTML.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(256 * 1024);
        let name = self
            .results
            .first()
            .map_or("nothing", |r| r.scenario.as_str());
        let verdict = self.word();
        out.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        out.push_str("<meta name=\"color-scheme\" content=\"light dark\">\n");
        out.push_str(&format!(
            "<title>{}: {verdict} · windtunnel</title>\n",
            escape(name)
        ));
        out.push_str(&style::sheet());
        out.push_str("</head>\n<body>\n<main>\n");
        summary::header(&mut out, &self.results);
        summary::story(&mut out, &self.results);
        expectations::section(&mut out, &self.results);
        basis::rests_on(&mut out, &self.results);
        let panels = strips::panels(&self.results);
        evidence::strips(&mut out, &self.results, &panels);
        differences::section(&mut out, &self.results);
        evidence::graphs(&mut out, &self.results);
        edges::section(&mut out, &self.results);
        evidence::requests(&mut out, &self.results);
        basis::provenance(&mut out, &self.results);
        out.push_str("</main>\n");
        out.push_str(&evidence::read_out(&panels));
        out.push_str(&format!("<script>\n{SCRIPT}</script>\n</body>\n</html>\n"));
        out
    }
}

impl RunResult {
    /// The worst of its expectations; held when there is none.
    #[must_use]
    pub fn verdict(&self) -> State {
        State::worst(self.expectations.iter().map(|v| v.state))
    }

    /// Whether not all was run that was asked for, so that its verdict is only that so far.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        self.time.cut_at_ns.is_some() || !self.basis.partial.is_empty()
    }

    /// Why it is partial, in words; none when it is whole.
    #[must_use]
    pub fn why_partial(&self) -> Option<String> {
        let cut = self.time.cut_at_ns.map(|at| {
            format!(
                "the run was cut short at {} of {}",
                words::moment(at),
                words::moment(self.time.duration_ns)
            )
        });
        let partial = Some(self.basis.partial.clone()).filter(|text| !text.is_empty());
        let parts: Vec<String> = cut.into_iter().chain(partial).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The word of its verdict: `held so far` where not all was run.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.verdict().word_of(self.is_partial())
    }

    /// Seeds, replications and simulated time, in words.
    #[must_use]
    pub fn circumstances(&self) -> String {
        let seeds = match self.seeds.as_slice() {
            [] => "no seed".to_owned(),
            [only] => format!("seed {only}"),
            several => format!(
                "{} (seeds {})",
                words::plural(several.len() as u64, "replication", "replications"),
                words::ranges(several)
            ),
        };
        let time = words::duration(self.time.duration_ns as f64);
        let warmup = if self.time.warmup_ns > 0 {
            format!(
                ", the first {} left out",
                words::duration(self.time.warmup_ns as f64)
            )
        } else {
            String::new()
        };
        let cut = self.time.cut_at_ns.map_or(String::new(), |at| {
            format!(", cut short at {}", words::moment(at))
        });
        format!("{seeds} · {time} simulated{warmup}{cut}")
    }
}

/// The verdict as a word with its sign. Of what is partial nothing is held yet.
fn verdict(state: State, partial: bool) -> String {
    let (class, sign) = match state {
        State::Held if partial => ("open", "?"),
        State::Held => ("held", "✓"),
        State::Failed => ("failed", "✗"),
        State::Inconclusive => ("open", "?"),
    };
    format!(
        "<span class=\"verdict {class}\"><span aria-hidden=\"true\">{sign}</span> {}</span>",
        state.word_of(partial)
    )
}

/// A block of its own for each of several results, plain for one: the first `open` unfolded.
fn each(
    out: &mut String,
    results: &[RunResult],
    open: usize,
    mut body: impl FnMut(&mut String, &RunResult),
) {
    if let [only] = results {
        body(out, only);
        return;
    }
    for (at, result) in results.iter().enumerate() {
        let state = if at < open { " open" } else { "" };
        out.push_str(&format!(
            "<details{state}><summary>{}</summary>\n",
            escape(&result.label())
        ));
        body(out, result);
        out.push_str("</details>\n");
    }
}
