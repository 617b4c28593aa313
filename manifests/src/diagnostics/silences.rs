//! What people write to be spared of a diagnostic: `# windtunnel: allow(retry::multiplied) the budget bounds it`, on a field or above it,
//! or an annotation of the object.

use super::{Diagnostic, Diagnostics, Severity};
use crate::lints;
use crate::text::{Map, Node, Source, SourceId, Span, Spanned, Value};

/// The annotation of an object whose codes are not told of it.
pub const ANNOTATION: &str = "windtunnel.dev/allow";

/// What begins a comment.
const MARK: &str = "windtunnel:";

/// Diagnostics that somebody does not want to be told, of a part of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Silence {
    /// Their codes.
    pub codes: Vec<Spanned<String>>,
    /// Why, in words; may be empty.
    pub reason: String,
    /// Where it is written.
    pub span: Span,
    /// The part: a field with what is in it, or an object. [`Span::NOWHERE`] when nothing follows.
    pub covers: Span,
}

impl Silence {
    /// The code of the list under which a diagnostic is not told: one of its labels has to stand in the part. Errors are always told.
    #[must_use]
    pub fn code_for(&self, diagnostic: &Diagnostic) -> Option<&Spanned<String>> {
        if diagnostic.severity() == Severity::Error {
            return None;
        }
        let within = |span: Span| {
            span.source == self.covers.source
                && self.covers.start <= span.start
                && span.start < self.covers.end.max(self.covers.start + 1)
        };
        let mut labels = diagnostic.labels.iter();
        let mut codes = self.codes.iter();
        codes
            .find(|code| code.value == diagnostic.code)
            .filter(|_| labels.any(|label| within(label.span)))
    }
}

/// The silences in the comments of a text, whose documents are at hand.
pub(crate) fn of_comments(
    id: SourceId,
    source: &Source,
    documents: &[Node],
    problems: &mut Diagnostics,
) {
    let text = source.text();
    for (at, _) in text.match_indices(MARK) {
        let line = source.line_of(offset(at));
        let whole = source.lines(line, line);
        let before = text[whole.start..at].trim_end();
        let Some(before) = before.strip_suffix('#') else {
            continue;
        };
        let is_comment = before.is_empty() || before.ends_with([' ', '\t']);
        let holds = |document: &Node| is_in_scalar(document, offset(at));
        if !is_comment || documents.iter().any(holds) {
            continue;
        }
        let span = Span {
            source: id,
            start: offset(whole.start + before.len()),
            end: offset(whole.end),
        };
        let rest = at + MARK.len()..whole.end;
        let Some(mut silence) = parse(span, text, rest) else {
            problems.push(lints::unreadable(span));
            continue;
        };
        let is_above = before.trim().is_empty();
        let anchor = match is_above {
            true => next_content(source, line),
            false => Some(line),
        };
        let covered = anchor.and_then(|line| {
            let mut documents = documents.iter();
            documents.find_map(
                |document| match is_above && begins_on(document, source, line) {
                    true => Some(document.span),
                    false => outermost(document, source, line),
                },
            )
        });
        silence.covers = covered.unwrap_or(Span::NOWHERE);
        problems.silence(silence);
    }
}

/// The silence in an annotation of an object: codes, and a reason after them.
pub(crate) fn of_annotation(value: Spanned<&str>, covers: Span) -> Silence {
    let is_code = |word: &&str| word.contains("::");
    let words = value.value.split_inclusive([' ', ',', '\n']);
    let mut codes = Vec::new();
    let mut read = 0;
    for word in words {
        let code = word.trim_matches([' ', ',', '\n', ':']);
        if !code.is_empty() && !is_code(&code) {
            break;
        }
        read += word.len();
        if !code.is_empty() {
            codes.push(Spanned::new(code.to_owned(), value.span));
        }
    }
    Silence {
        codes,
        reason: value.value[read..].trim().to_owned(),
        span: value.span,
        covers,
    }
}

/// Reads `allow(code, code) reason`.
fn parse(span: Span, text: &str, rest: std::ops::Range<usize>) -> Option<Silence> {
    let words = &text[rest.clone()];
    let list = words.trim_start().strip_prefix("allow(")?;
    let (list, reason) = list.split_once(')')?;
    let first = list.as_ptr() as usize - words.as_ptr() as usize + rest.start;
    let mut codes = Vec::new();
    let mut at = first;
    for part in list.split(',') {
        let code = part.trim();
        let start = at + (part.len() - part.trim_start().len());
        at += part.len() + 1;
        let place = Span {
            start: offset(start),
            end: offset(start + code.len()),
            ..span
        };
        if code.is_empty() || code.contains(char::is_whitespace) {
            return None;
        }
        codes.push(Spanned::new(code.to_owned(), place));
    }
    Some(Silence {
        codes,
        reason: reason.trim_matches([' ', ':', '-', '\t']).to_owned(),
        span,
        covers: Span::NOWHERE,
    })
}

/// The first line after `line` that holds more than a comment or the start of a document.
fn next_content(source: &Source, line: usize) -> Option<usize> {
    let after = source.text().get(source.lines(line, line).end..)?;
    let lines = (line + 1..).zip(after.lines().skip(1));
    let mut contents = lines.filter(|(_, text)| {
        let text = text.trim();
        !text.is_empty() && !text.starts_with('#') && text != "---"
    });
    contents.next().map(|(at, _)| at)
}

fn begins_on(document: &Node, source: &Source, line: usize) -> bool {
    source.line_of(document.span.start) == line
}

/// The largest part of a document that begins on a line: an item of a list, or a key with its value.
fn outermost(node: &Node, source: &Source, line: usize) -> Option<Span> {
    let line_of = |span: Span| source.line_of(span.start);
    let (begins, inside): (Option<Span>, Option<&Node>) = match &node.value {
        Value::Map(map) => {
            let entries = map.entries();
            let mut first = entries.iter().filter(|it| line_of(it.key.span) == line);
            let begins = first.next().map(|it| it.key.span.to(it.value.span));
            (begins, last_before(map, source, line))
        }
        Value::Seq(items) => {
            let mut first = items.iter().filter(|it| line_of(it.span) == line);
            let begins = first.next().map(|it| it.span);
            let before = items.iter().rfind(|it| line_of(it.span) < line);
            (begins, before)
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => {
            (None, None)
        }
    };
    begins.or_else(|| outermost(inside?, source, line))
}

fn last_before<'a>(map: &'a Map, source: &Source, line: usize) -> Option<&'a Node> {
    let entries = map.entries();
    let before = entries
        .iter()
        .rfind(|it| source.line_of(it.key.span.start) < line);
    before.map(|entry| &entry.value)
}

/// Whether a byte lies within a text of the document, such as a script in a ConfigMap.
fn is_in_scalar(node: &Node, at: u32) -> bool {
    if !(node.span.start <= at && at < node.span.end) {
        return false;
    }
    match &node.value {
        Value::Map(map) => {
            let mut entries = map.entries().iter();
            entries.any(|entry| is_in_scalar(&entry.value, at))
        }
        Value::Seq(items) => items.iter().any(|item| is_in_scalar(item, at)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => false,
        Value::String(_) => true,
    }
}

/// Texts beyond 4 GiB are refused before they are searched.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
