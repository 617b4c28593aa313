//! What people are told of what they wrote: each problem once, on standard error.

use std::collections::BTreeSet;

use manifests::diagnostics::{Diagnostics, Severity};
use manifests::text::Sources;

use crate::exit::Fault;
use crate::print::counted;

/// Problems of several readings, each told once although variants share most of what they read.
#[derive(Debug, Default)]
pub(crate) struct Told {
    seen: BTreeSet<String>,
    lines: Vec<String>,
    drawn: Vec<String>,
    errors: usize,
    warnings: usize,
    notes: usize,
}

/// How far down the gravity of what is drawn goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Depth {
    /// Errors and warnings; notes are counted.
    Grave,
    /// Everything.
    All,
}

impl Told {
    /// Takes in what one reading found.
    pub(crate) fn add(&mut self, problems: &Diagnostics, sources: &Sources, depth: Depth) {
        for each in problems.sorted() {
            let line = each.to_line(sources);
            if !self.seen.insert(line.clone()) {
                continue;
            }
            match each.severity() {
                Severity::Error => self.errors += 1,
                Severity::Warning => self.warnings += 1,
                Severity::Note => self.notes += 1,
            }
            if each.severity() != Severity::Note || depth == Depth::All {
                self.drawn.push(each.render(sources));
                self.lines.push(line);
            }
        }
    }

    /// Whether anything is refused.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// What is drawn as one line each, in the order taken in.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// `2 errors, 1 warning`; empty when there is nothing.
    pub(crate) fn totals(&self) -> String {
        let totals = [
            (self.errors, "error", "errors"),
            (self.warnings, "warning", "warnings"),
            (self.notes, "note", "notes"),
        ];
        let totals = totals.iter().filter(|(count, ..)| *count > 0);
        let totals: Vec<String> = totals
            .map(|(count, one, many)| counted(*count, one, many))
            .collect();
        totals.join(", ")
    }

    /// Draws them on standard error, ending with the totals when something is drawn.
    pub(crate) fn show(&self) {
        for each in &self.drawn {
            eprintln!("{each}");
        }
        if !self.drawn.is_empty() {
            eprintln!("{}", self.totals());
        }
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
