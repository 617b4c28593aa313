//! What people are told of what they wrote: each problem once, on standard error.

use std::collections::{BTreeMap, BTreeSet};

use manifests::diagnostics::{Diagnostics, Severity, also};
use manifests::text::Sources;

use crate::exit::Fault;
use crate::print::counted;

/// Problems of several readings, each told once although variants share most of what they read.
#[derive(Debug, Default)]
pub(crate) struct Told {
    seen: BTreeSet<String>,
    lines: Vec<String>,
    drawn: Vec<Drawn>,
    /// Notes by what they say, as places in `drawn`.
    same: BTreeMap<String, usize>,
    errors: usize,
    warnings: usize,
    notes: usize,
}

/// A problem as it is shown.
#[derive(Debug)]
struct Drawn {
    text: String,
    weight: u8,
    /// Where else it is; only of notes.
    others: Vec<String>,
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
            let is_shown = each.severity() != Severity::Note || depth == Depth::All;
            if is_shown {
                self.lines.push(line);
            }
            match each.severity() {
                Severity::Error => self.errors += 1,
                Severity::Warning => self.warnings += 1,
                Severity::Note => {
                    let place = each.span().map(|span| sources.locate(span));
                    let says = format!("{} {} {:?}", each.code, each.message, each.kind);
                    if let (Some(at), Some(place)) = (self.same.get(&says), place) {
                        if is_shown {
                            self.drawn[*at].others.push(place);
                        }
                        continue;
                    }
                    self.same.insert(says, self.drawn.len());
                    self.notes += 1;
                }
            }
            if is_shown {
                self.drawn.push(Drawn {
                    text: each.render(sources),
                    weight: each.weight(),
                    others: Vec::new(),
                });
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

    /// Draws them on standard error, notes that say the same as one and after the rest, ending with the totals when something is drawn.
    pub(crate) fn show(&self) {
        let mut drawn: Vec<&Drawn> = self.drawn.iter().collect();
        drawn.sort_by_key(|each| each.weight);
        for each in drawn {
            let also = also(&each.others);
            match also.is_empty() {
                true => eprintln!("{}", each.text),
                false => eprintln!("{}  {also}\n", each.text),
            }
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
