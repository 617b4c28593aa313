//! What people are told of what they wrote: each problem once, on standard error.

use manifests::diagnostics::{Diagnostics, Severity};
use manifests::findings::{Finding, Findings};
use manifests::text::Sources;

use crate::exit::Fault;

/// Problems of several readings, each told once although variants share most of what they read.
#[derive(Debug, Default)]
pub(crate) struct Told {
    findings: Findings,
    depth: Depth,
}

/// How far down the gravity of what is shown goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Depth {
    /// Errors and warnings; notes are counted.
    #[default]
    Grave,
    /// Everything.
    All,
}

impl Depth {
    const fn least(self) -> Severity {
        match self {
            Self::Grave => Severity::Warning,
            Self::All => Severity::Note,
        }
    }
}

impl Told {
    /// Nothing yet, of which so much will be shown.
    pub(crate) const fn new(depth: Depth) -> Self {
        Self {
            findings: Findings::new(Some(depth.least())),
            depth,
        }
    }

    /// Takes in what one reading found.
    pub(crate) fn add(&mut self, problems: &Diagnostics, sources: &Sources) {
        self.findings.add(problems, sources);
    }

    /// Ends readings with lints.
    pub(crate) fn close(&mut self) {
        self.findings.close();
    }

    /// Everything that was found.
    pub(crate) const fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Whether anything is refused.
    pub(crate) fn has_errors(&self) -> bool {
        self.findings.counts().errors > 0
    }

    fn shown(&self) -> impl Iterator<Item = &Finding> {
        let all = self.findings.all().into_iter();
        all.filter(|each| each.severity() <= self.depth.least())
    }

    /// What is shown as one line each, with a line for every place.
    pub(crate) fn lines(&self) -> String {
        self.shown().map(Finding::lines).collect()
    }

    /// `2 errors, 1 warning`; empty when there is nothing.
    pub(crate) fn totals(&self) -> String {
        self.findings.counts().words()
    }

    /// What is shown, drawn, notes that say the same as one and after the rest, ending with the totals; empty when nothing is shown.
    pub(crate) fn text(&self) -> String {
        let mut text: String = self.shown().map(|each| each.text() + "\n").collect();
        if !text.is_empty() {
            text.push_str(&self.totals());
            text.push('\n');
        }
        text
    }

    /// Shows it on standard error.
    pub(crate) fn show(&self) {
        eprint!("{}", self.text());
    }

    /// Shows everything; refused when there are errors among it.
    ///
    /// # Errors
    /// When there are errors, which were shown.
    pub(crate) fn settle(&self) -> Result<(), Fault> {
        self.show();
        if self.has_errors() {
            Err(Fault::Told)
        } else {
            Ok(())
        }
    }
}
