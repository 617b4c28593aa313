//! Texts by id, and places in them.

use std::sync::Arc;

/// Names one text of a [`Sources`] table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceId(pub u32);

/// A range of bytes in one text; `end` is exclusive. Ordered by text, then by start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A place as people count it: both from 1, columns in characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1.
    pub column: u32,
}

/// One text with its name and an index of its lines.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    text: Arc<str>,
    line_starts: Vec<u32>,
}

/// All texts of a run, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    list: Vec<Source>,
}

impl Span {
    /// A span that stands for no text: a value that some other format or a builder gave.
    pub const NOWHERE: Self = Self {
        source: SourceId(u32::MAX),
        start: 0,
        end: 0,
    };

    /// From the start of `self` to the end of `other`, both in one text.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self {
            end: self.end.max(other.end),
            ..self
        }
    }

    /// Whether this is [`Span::NOWHERE`].
    #[must_use]
    pub fn is_nowhere(self) -> bool {
        self.source == Self::NOWHERE.source
    }
}

impl Source {
    fn new(name: String, text: Arc<str>) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0)
            .chain(breaks.map(|(at, _)| clamp(at + 1)))
            .collect();
        Self {
            name,
            text,
            line_starts,
        }
    }

    /// The name as it was given: a path, or `<stdin>`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line (from 0) that holds byte `at`.
    pub(crate) fn line_of(&self, at: u32) -> usize {
        self.line_starts.partition_point(|start| *start <= at) - 1
    }

    /// The bytes of lines `first..=last` (from 0), clipped to the text; without the last line's break.
    pub(crate) fn lines(&self, first: usize, last: usize) -> std::ops::Range<usize> {
        let start = self
            .line_starts
            .get(first)
            .map_or(self.text.len(), |at| *at as usize);
        let end = self
            .line_starts
            .get(last + 1)
            .map_or(self.text.len(), |at| *at as usize);
        let trimmed = self.text[start..end].trim_end_matches(['\n', '\r']).len();
        start..start + trimmed
    }

    /// Overwrites the text under `spans` with stars, byte for byte; line breaks stay.
    fn conceal(&mut self, spans: &[Span]) {
        let mut bytes = self.text.as_bytes().to_vec();
        for span in spans {
            let range = span.start as usize..(span.end as usize).min(bytes.len());
            for byte in bytes.get_mut(range).unwrap_or_default() {
                if !matches!(byte, b'\n' | b'\r') {
                    *byte = b'*';
                }
            }
        }
        // A span that ends inside a character leaves its tail behind.
        self.text = String::from_utf8_lossy(&bytes)
            .replace('\u{fffd}', "*")
            .into();
    }

    fn position(&self, at: u32) -> Position {
        let line = self.line_of(at);
        let start = self.line_starts[line] as usize;
        let before = self.text.get(start..at as usize).unwrap_or_default();
        Position {
            line: clamp(line + 1),
            column: clamp(before.chars().count() + 1),
        }
    }
}

impl Sources {
    /// Adds a text under the name that diagnostics will show.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> SourceId {
        let id = SourceId(clamp(self.list.len()));
        self.list.push(Source::new(name.into(), text.into()));
        id
    }

    /// The text of `id`, if this table gave that id.
    #[must_use]
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.list.get(id.0 as usize)
    }

    /// Overwrites secrets with stars, so that no diagnostic can show them; places stay what they are.
    pub fn conceal(&mut self, spans: &[Span]) {
        let mut spans = spans.to_vec();
        spans.sort_unstable();
        for group in spans.chunk_by(|left, right| left.source == right.source) {
            if let Some(source) = self.list.get_mut(group[0].source.0 as usize) {
                source.conceal(group);
            }
        }
    }

    /// All texts in order.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        self.list
            .iter()
            .enumerate()
            .map(|(at, source)| (SourceId(clamp(at)), source))
    }

    /// Where `span` starts; `None` for [`Span::NOWHERE`].
    #[must_use]
    pub fn position(&self, span: Span) -> Option<Position> {
        self.get(span.source)
            .map(|source| source.position(span.start))
    }

    /// The text under `span`; empty when it names none.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.get(span.source)
            .and_then(|source| source.text.get(span.start as usize..span.end as usize))
            .unwrap_or_default()
    }

    /// `file:line` of where `span` starts, the way reports cite a rule.
    #[must_use]
    pub fn locate(&self, span: Span) -> String {
        match (self.get(span.source), self.position(span)) {
            (Some(source), Some(position)) => format!("{}:{}", source.name, position.line),
            (_, _) => "<nowhere>".to_owned(),
        }
    }
}

/// Texts beyond 4 GiB are refused before a span of them is made, so this never loses anything that is shown.
fn clamp(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
