//! Every problem of a run, each with a stable code, a label on the exact text and help that can be acted on.
//!
//! Readers push [`Diagnostic`]s into one [`Diagnostics`] sink; at the end it is shown whole: [`Diagnostics::render`] draws the text around
//! each label, [`Diagnostics::to_lines`] gives one line a problem for editors and CI. Order is by place, whatever the order of finding.

mod groups;
mod render;
mod silences;
mod suggest;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use groups::{Group, also};
pub use silences::{ANNOTATION, Silence};
pub(crate) use silences::{of_annotation, of_comments};
pub use suggest::{closest, did_you_mean};

use crate::text::Span;

/// One thing that a person should know about what they wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// The stable name of the rule, `area::rule`.
    pub code: &'static str,
    /// How grave it is, and for notes what it means for the result.
    pub kind: Kind,
    /// What is wrong, in one line.
    pub message: String,
    /// The exact text; the first label is the main one, others show the other half (the duplicate, the definition).
    pub labels: Vec<Label>,
    /// What to do about it.
    pub help: Option<String>,
}

/// Words beside a piece of text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Label {
    /// The text.
    pub span: Span,
    /// The words; may be empty.
    pub text: String,
}

/// What a diagnostic is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// The input is refused.
    Error,
    /// Allowed, and most likely not what was meant.
    Warning,
    /// Allowed, and perhaps what was meant: worth a look.
    Advice,
    /// The field is understood and not modelled.
    NotModelled {
        /// What that means for the result.
        meaning: String,
    },
    /// A value that nobody wrote was assumed.
    Assumed {
        /// What was assumed, and why that.
        meaning: String,
    },
    /// Listed for completeness: it has no bearing on the result (an object of no dialect, of a system that does not run).
    Listed,
}

/// How grave a diagnostic is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The input is refused.
    Error,
    /// Most likely a mistake.
    Warning,
    /// Worth knowing.
    Note,
}

/// All diagnostics of a run; equal ones are kept once.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    silences: Vec<Silence>,
}

impl Kind {
    /// How grave it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Error => Severity::Error,
            Self::Warning => Severity::Warning,
            Self::Advice | Self::NotModelled { .. } | Self::Assumed { .. } | Self::Listed => {
                Severity::Note
            }
        }
    }

    /// What it is in a word or two: `error`, `not modelled`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Advice => "advice",
            Self::NotModelled { .. } => "not modelled",
            Self::Assumed { .. } => "assumed",
            Self::Listed => "note",
        }
    }

    /// What it means for the result, for notes that have such a meaning.
    #[must_use]
    pub fn meaning(&self) -> Option<&str> {
        match self {
            Self::NotModelled { meaning } | Self::Assumed { meaning } => Some(meaning),
            Self::Error | Self::Warning | Self::Advice | Self::Listed => None,
        }
    }
}

impl Diagnostic {
    /// An error: the input is refused.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Kind::Error, message)
    }

    /// A warning: allowed, and most likely a mistake.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Kind::Warning, message)
    }

    /// Advice: allowed, and worth a look.
    #[must_use]
    pub fn advice(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Kind::Advice, message)
    }

    /// A field that is understood and not modelled; `meaning` says what that does to the result.
    #[must_use]
    pub fn not_modelled(
        code: &'static str,
        message: impl Into<String>,
        meaning: impl Into<String>,
    ) -> Self {
        let meaning = meaning.into();
        Self::new(code, Kind::NotModelled { meaning }, message)
    }

    /// A value that nobody wrote; `meaning` says what was assumed and why that.
    #[must_use]
    pub fn assumed(
        code: &'static str,
        message: impl Into<String>,
        meaning: impl Into<String>,
    ) -> Self {
        let meaning = meaning.into();
        Self::new(code, Kind::Assumed { meaning }, message)
    }

    /// Something without bearing on the result, listed for completeness.
    #[must_use]
    pub fn listed(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Kind::Listed, message)
    }

    fn new(code: &'static str, kind: Kind, message: impl Into<String>) -> Self {
        Self {
            code,
            kind,
            message: message.into(),
            labels: Vec::new(),
            help: None,
        }
    }

    /// Adds words beside a piece of text; the first label added is the main one. A span of nowhere is left out.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        if !span.is_nowhere() {
            let text = text.into();
            self.labels.push(Label { span, text });
        }
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what to do about it, when there is something to say.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// How grave it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.kind.severity()
    }

    /// What it means for the result, for notes that have such a meaning.
    #[must_use]
    pub fn meaning(&self) -> Option<&str> {
        self.kind.meaning()
    }

    /// The main label's place.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.labels.first().map(|label| label.span)
    }

    /// Where it stands in a listing: without a place first, then by text and place, then errors before notes.
    fn rank(&self) -> (Option<Span>, Severity, &'static str, &str, &Kind, &[Label]) {
        (
            self.span(),
            self.severity(),
            self.code,
            &self.message,
            &self.kind,
            &self.labels,
        )
    }
}

impl Diagnostics {
    /// Takes in one more.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Takes in all of another sink.
    pub fn extend(&mut self, others: impl IntoIterator<Item = Diagnostic>) {
        self.list.extend(others);
    }

    /// Takes in what somebody wrote to be spared of.
    pub fn silence(&mut self, silence: Silence) {
        self.silences.push(silence);
    }

    /// Forgets silences of a part of a text that counts no more: another layer has replaced it.
    pub fn forget_silences(&mut self, part: Span) {
        self.silences.retain(|silence| {
            let covers = silence.covers;
            covers.source != part.source || !(part.start..part.end).contains(&covers.start)
        });
    }

    /// What somebody wrote to be spared of; it is for whoever shows diagnostics to heed.
    #[must_use]
    pub fn silences(&self) -> &[Silence] {
        &self.silences
    }

    /// All of them, by place, each once.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut list: Vec<&Diagnostic> = self.list.iter().collect();
        list.sort_by(|left, right| left.rank().cmp(&right.rank()));
        list.dedup();
        list
    }

    /// How many different errors there are.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many different warnings there are.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    /// Whether the input is refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list
            .iter()
            .any(|each| each.severity() == Severity::Error)
    }

    /// Whether nothing was said at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are, equal ones counted each time; a mark for [`Diagnostics::since`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Those pushed after `mark` was taken with [`Diagnostics::len`].
    #[must_use]
    pub fn since(&self, mark: usize) -> &[Diagnostic] {
        self.list.get(mark..).unwrap_or_default()
    }

    /// Takes back what was said after `mark` and is not worth keeping.
    pub fn retain_since(&mut self, mark: usize, keep: impl Fn(&Diagnostic) -> bool) {
        let since = self.list.split_off(mark.min(self.list.len()));
        self.list.extend(since.into_iter().filter(keep));
    }

    /// Those that a run's report repeats: notes about what is not modelled and what was assumed.
    #[must_use]
    pub fn notes(&self) -> Vec<&Diagnostic> {
        let mut notes = self.sorted();
        notes.retain(|each| each.severity() == Severity::Note);
        notes
    }

    /// The codes that occur, each once, sorted.
    #[must_use]
    pub fn codes(&self) -> BTreeSet<&'static str> {
        self.list.iter().map(|each| each.code).collect()
    }

    fn count(&self, severity: Severity) -> usize {
        self.sorted()
            .iter()
            .filter(|each| each.severity() == severity)
            .count()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}
