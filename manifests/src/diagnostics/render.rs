//! Diagnostics as text: drawn for people, one line each for tools.

use std::fmt::{self, Write};

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    SourceCode, SourceSpan,
};

use super::{Diagnostic, Diagnostics, Label, Severity};
use crate::text::{SourceId, Sources, Span};

/// Width at which messages wrap: the same on every terminal, so that output can be compared.
const WIDTH: usize = 100;

impl Diagnostics {
    /// Draws all of them, each with the text around its labels; no colours. Ends with a line of totals, and is empty when there are none.
    #[must_use]
    pub fn render(&self, sources: &Sources) -> String {
        let list = self.sorted();
        let mut out = String::new();
        for each in &list {
            out.push_str(&each.render(sources));
            out.push('\n');
        }
        if !list.is_empty() {
            let notes = list.len() - self.errors() - self.warnings();
            let totals = [
                count(self.errors(), "error"),
                count(self.warnings(), "warning"),
                count(notes, "note"),
            ];
            let totals: Vec<String> = totals.into_iter().flatten().collect();
            out.push_str(&totals.join(", "));
            out.push('\n');
        }
        out
    }

    /// All of them as `file:line:col: error[code]: message`, one line each.
    #[must_use]
    pub fn to_lines(&self, sources: &Sources) -> String {
        self.sorted()
            .iter()
            .map(|each| each.to_line(sources) + "\n")
            .collect()
    }
}

fn count(number: usize, noun: &str) -> Option<String> {
    let plural = if number == 1 { "" } else { "s" };
    (number > 0).then(|| format!("{number} {noun}{plural}"))
}

impl Diagnostic {
    /// Draws this one with the text around its labels; no colours.
    #[must_use]
    pub fn render(&self, sources: &Sources) -> String {
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
            .with_width(WIDTH)
            .with_links(false);
        let mut out = String::new();
        match handler.render_report(&mut out, &Drawn::new(self, sources)) {
            Ok(()) => out,
            // Only a label outside its text can end here; the words still reach the reader.
            Err(fmt::Error) => self.to_line(sources) + "\n",
        }
    }

    /// This one as `file:line:col: error[code]: message`.
    #[must_use]
    pub fn to_line(&self, sources: &Sources) -> String {
        let mut line = String::new();
        if let Some(span) = self.span()
            && let Some(source) = sources.get(span.source)
            && let Some(at) = sources.position(span)
        {
            write!(line, "{}:{}:{}: ", source.name(), at.line, at.column)
                .expect("a String takes every write");
        }
        line + &self.to_words()
    }

    /// This one as `error[code]: message`, without its place.
    #[must_use]
    pub fn to_words(&self) -> String {
        let mut words = format!("{}[{}]: {}", self.kind.word(), self.code, self.message);
        for more in [self.meaning(), self.help.as_deref()].into_iter().flatten() {
            write!(words, ": {more}").expect("a String takes every write");
        }
        words.replace('\n', " ")
    }
}

/// A diagnostic in the drawing library's terms.
///
/// Its texts lie one after the other in one imagined text, so that labels may stand in several files; a snippet never crosses a border.
struct Drawn<'a> {
    diagnostic: &'a Diagnostic,
    texts: Texts<'a>,
    headline: String,
}

struct Texts<'a> {
    sources: &'a Sources,
    /// The texts with labels, each with the place of its first byte in the imagined text.
    bases: Vec<(SourceId, usize)>,
}

impl<'a> Drawn<'a> {
    fn new(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Self {
        let mut bases: Vec<(SourceId, usize)> = Vec::new();
        let mut next = 0;
        for Label { span, .. } in &diagnostic.labels {
            let known = bases.iter().any(|(id, _)| *id == span.source);
            if let Some(source) = sources.get(span.source).filter(|_| !known) {
                bases.push((span.source, next));
                next += source.text().len() + 1;
            }
        }
        let headline = match diagnostic.kind.word() {
            word @ ("not modelled" | "assumed") => format!("{word}: {}", diagnostic.message),
            _ => diagnostic.message.clone(),
        };
        Self {
            diagnostic,
            texts: Texts { sources, bases },
            headline,
        }
    }
}

impl Texts<'_> {
    /// Where a span lies in the imagined text, cut to its first line: a label over many lines hides more than it shows.
    fn place(&self, span: Span) -> Option<SourceSpan> {
        let (_, base) = self.bases.iter().find(|(id, _)| *id == span.source)?;
        let first_line = self.sources.slice(span).lines().next().unwrap_or_default();
        let start = (span.start as usize).min(self.sources.get(span.source)?.text().len());
        Some((base + start, first_line.trim_end().len()).into())
    }
}

impl SourceCode for Texts<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, MietteError> {
        let holds = |(_, base): &&(SourceId, usize)| *base <= span.offset();
        let (id, base) = self
            .bases
            .iter()
            .rev()
            .find(holds)
            .ok_or(MietteError::OutOfBounds)?;
        let source = self.sources.get(*id).ok_or(MietteError::OutOfBounds)?;
        let start = span.offset() - base;
        let end = start + span.len();
        if end > source.text().len() {
            return Err(MietteError::OutOfBounds);
        }
        let line = |at: usize| source.line_of(u32::try_from(at).unwrap_or(u32::MAX));
        let first = line(start).saturating_sub(lines_before);
        let mut bytes = source.lines(first, line(end) + lines_after);
        let mut column = 0;
        // Asked without context, the library wants to know the place for its headline.
        if lines_before == 0
            && let Some(before) = source.text().get(bytes.start..start)
        {
            column = before.chars().count();
            bytes.start = start;
        }
        let text = source
            .text()
            .get(bytes.clone())
            .ok_or(MietteError::OutOfBounds)?;
        Ok(Box::new(MietteSpanContents::new_named(
            source.name().to_owned(),
            text.as_bytes(),
            (base + bytes.start, bytes.len()).into(),
            first,
            column,
            text.lines().count(),
        )))
    }
}

impl miette::Diagnostic for Drawn<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.diagnostic.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity() {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let parts: Vec<&str> = [self.diagnostic.meaning(), self.diagnostic.help.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        (!parts.is_empty()).then(|| Box::new(parts.join("\n")) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        (!self.texts.bases.is_empty()).then_some(&self.texts as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self
            .diagnostic
            .labels
            .iter()
            .enumerate()
            .filter_map(|(nth, label)| {
                let text = Some(label.text.clone()).filter(|text| !text.is_empty());
                let place = self.texts.place(label.span)?;
                Some(match nth {
                    0 => LabeledSpan::new_primary_with_span(text, place),
                    _ => LabeledSpan::new_with_span(text, place),
                })
            });
        Some(Box::new(labels))
    }
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline)
    }
}

impl fmt::Debug for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline)
    }
}

impl std::error::Error for Drawn<'_> {}
