//! From text to trees: parser events in, nodes with places out.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::scalar;
use super::{Entry, Key, Map, Node, SourceId, Sources, Span, Value};
use crate::diagnostics::{self, Diagnostic, Diagnostics};

/// Nesting beyond this is refused. Kubernetes objects stay below 30; the limit keeps every walk over a tree within a thread's stack.
pub const MAX_DEPTH: usize = 100;
/// How many nodes the aliases of one document may repeat; more is an expansion attack ("billion laughs").
pub const MAX_ALIAS_NODES: usize = 1_000_000;
/// The longest text in bytes (512 MiB): some ten times what a cluster of ten thousand pods prints.
pub const MAX_TEXT: usize = 512 << 20;

/// Reads every document of a text; documents of nothing are left out.
///
/// Duplicate keys and unknown tags are reported and reading goes on (the first key stays); after a syntax error the documents before it
/// are returned. Merge keys (`<<`) are applied: a key of the mapping itself wins, then the earlier merge. An id that `sources` does
/// not know gives no documents.
pub fn parse(sources: &Sources, source: SourceId, problems: &mut Diagnostics) -> Vec<Node> {
    let Some(text) = sources.get(source).map(|source| source.text()) else {
        return Vec::new();
    };
    if text.len() > MAX_TEXT {
        let place = Span {
            source,
            start: 0,
            end: 0,
        };
        problems.push(
            Diagnostic::error(
                "yaml::too-large",
                format!("the text is longer than {} MiB", MAX_TEXT >> 20),
            )
            .label(place, "this text"),
        );
        return Vec::new();
    }
    let documents = Builder::new(source, text, problems).run(text);
    if let Some(whole) = sources.get(source) {
        diagnostics::of_comments(source, whole, &documents, problems);
    }
    documents
}

struct Builder<'a> {
    source: SourceId,
    offsets: Offsets,
    problems: &'a mut Diagnostics,
    documents: Vec<Node>,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, Part>,
    /// Nodes that anchors and aliases of this document may still copy.
    budget: usize,
}

/// A finished node with its size, as anchors need to know it.
#[derive(Clone)]
struct Part {
    node: Node,
    nodes: usize,
    height: usize,
    /// The text of a plain or quoted scalar as a key would have it.
    key: Option<String>,
    plain: bool,
}

/// A sequence or mapping that is still open.
struct Frame {
    kind: FrameKind,
    span: Span,
    anchor: usize,
    nodes: usize,
    height: usize,
}

enum FrameKind {
    Seq(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: FxHashSet<String>,
        merges: Vec<Node>,
        key: PendingKey,
    },
}

enum PendingKey {
    None,
    Some(Key),
    Merge,
    /// The key was refused; its value is dropped.
    Refused,
}

/// What ends the reading of a text: reported already.
struct Stop;

impl<'a> Builder<'a> {
    fn new(source: SourceId, text: &str, problems: &'a mut Diagnostics) -> Self {
        Self {
            source,
            offsets: Offsets::new(text),
            problems,
            documents: Vec::new(),
            stack: Vec::new(),
            anchors: BTreeMap::new(),
            budget: MAX_ALIAS_NODES,
        }
    }

    fn run(mut self, text: &str) -> Vec<Node> {
        let mut parser = Parser::new_from_str(text);
        while let Some(next) = parser.next_event() {
            let step = match next {
                Ok((event, place)) => self.event(event, place),
                Err(error) => {
                    let span = self.point(*error.marker());
                    self.report(
                        Diagnostic::error("yaml::syntax", error.info().to_owned())
                            .label(span, "here"),
                    )
                }
            };
            if step.is_err() {
                break;
            }
        }
        self.documents
    }

    fn event(&mut self, event: Event<'_>, place: saphyr_parser::Span) -> Result<(), Stop> {
        let span = self.span(place);
        match event {
            Event::DocumentStart(_) => {
                self.anchors.clear();
                self.budget = MAX_ALIAS_NODES;
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                let part = self.scalar(&text, style, tag.as_deref(), span);
                self.finish(part, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", span);
                self.open(FrameKind::Seq(Vec::new()), anchor, span)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", span);
                let kind = FrameKind::Map {
                    entries: Vec::new(),
                    seen: FxHashSet::default(),
                    merges: Vec::new(),
                    key: PendingKey::None,
                };
                self.open(kind, anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Part {
        let plain = style == ScalarStyle::Plain;
        let value = match tag {
            None if plain => scalar::resolve(text),
            None => Value::String(text.to_owned()),
            Some(tag) if tag.is_yaml_core_schema() => scalar::resolve_as(&tag.suffix, text)
                .unwrap_or_else(|| {
                    let problem = format!("`{text}` is not what the tag `!!{}` says", tag.suffix);
                    self.problems
                        .push(Diagnostic::error("yaml::tag", problem).label(span, "this value"));
                    Value::Null
                }),
            Some(tag) => {
                if tag.handle != "!" || !tag.suffix.is_empty() {
                    self.unknown_tag(tag, span);
                }
                Value::String(text.to_owned())
            }
        };
        Part {
            key: Some(text.to_owned()),
            plain: plain && tag.is_none(),
            node: Node { span, value },
            nodes: 1,
            height: 0,
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &str, span: Span) {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == expected)
        {
            self.unknown_tag(tag, span);
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, span: Span) {
        self.problems.push(
            Diagnostic::error("yaml::tag", format!("the tag `{tag}` means nothing here"))
                .label(span, "this value")
                .help("write the value without a tag"),
        );
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some(part) = self.anchors.get(&anchor) else {
            return self.report(
                Diagnostic::error(
                    "yaml::alias",
                    "this alias stands inside the very value that it names",
                )
                .label(span, "repeats itself without end"),
            );
        };
        if part.nodes > self.budget {
            return self.too_many_nodes(span);
        }
        if self.stack.len() + part.height > MAX_DEPTH {
            return self.too_deep(span);
        }
        self.budget -= part.nodes;
        let part = part.clone();
        self.attach(part)
    }

    fn open(&mut self, kind: FrameKind, anchor: usize, span: Span) -> Result<(), Stop> {
        if self.stack.len() >= MAX_DEPTH {
            return self.too_deep(span);
        }
        self.stack.push(Frame {
            kind,
            span,
            anchor,
            nodes: 1,
            height: 0,
        });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Stop> {
        let frame = self
            .stack
            .pop()
            .expect("the parser closes only what it opened");
        let (value, last) = match frame.kind {
            FrameKind::Seq(items) => {
                let last = items.last().map(|item| item.span);
                (Value::Seq(items), last)
            }
            FrameKind::Map {
                entries,
                seen,
                merges,
                key: _,
            } => {
                let last = entries
                    .last()
                    .map(|entry| entry.key.span.to(entry.value.span));
                let entries = self.merge(entries, seen, merges);
                (Value::Map(Map { entries }), last)
            }
        };
        // A flow collection ends at its bracket, a block one where its last part ends: its end event stands at the next token.
        let span = match last {
            Some(last) if end.start == end.end => within(frame.span, last),
            // The bracket is one byte; what the parser calls its end may reach over a comment behind it.
            _ => frame.span.to(Span {
                end: end.end.min(end.start + 1),
                ..end
            }),
        };
        let part = Part {
            node: Node { span, value },
            nodes: frame.nodes,
            height: frame.height,
            key: None,
            plain: false,
        };
        self.finish(part, frame.anchor)
    }

    fn merge(
        &mut self,
        mut entries: Vec<Entry>,
        mut seen: FxHashSet<String>,
        merges: Vec<Node>,
    ) -> Vec<Entry> {
        let mut parts = Vec::new();
        for merge in merges {
            match merge.value {
                Value::Seq(items) => parts.extend(items),
                Value::Null
                | Value::Bool(_)
                | Value::Int(_)
                | Value::Float(_)
                | Value::String(_)
                | Value::Map(_) => {
                    parts.push(merge);
                }
            }
        }
        for part in parts {
            let Value::Map(map) = part.value else {
                self.problems.push(
                    Diagnostic::error(
                        "yaml::merge",
                        format!("`<<` takes mappings, not {}", part.describe()),
                    )
                    .label(part.span, "not a mapping"),
                );
                continue;
            };
            for entry in map.entries {
                if seen.insert(entry.key.text.clone()) {
                    entries.push(entry);
                }
            }
        }
        entries
    }

    fn finish(&mut self, part: Part, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            if part.nodes > self.budget {
                return self.too_many_nodes(part.node.span);
            }
            self.budget -= part.nodes;
            self.anchors.insert(anchor, part.clone());
        }
        self.attach(part)
    }

    /// Puts a finished node where it belongs: a document, an item, a key or a value.
    fn attach(&mut self, part: Part) -> Result<(), Stop> {
        let Some(frame) = self.stack.last_mut() else {
            if !part.node.is_null() {
                self.documents.push(part.node);
            }
            return Ok(());
        };
        frame.nodes += part.nodes;
        frame.height = frame.height.max(part.height + 1);
        match &mut frame.kind {
            FrameKind::Seq(items) => items.push(part.node),
            FrameKind::Map {
                entries,
                seen,
                merges,
                key,
            } => match std::mem::replace(key, PendingKey::None) {
                PendingKey::Some(name) => entries.push(Entry {
                    key: name,
                    value: part.node,
                }),
                PendingKey::Merge => merges.push(part.node),
                PendingKey::Refused => {}
                PendingKey::None => *key = take_key(part, entries, seen, self.problems),
            },
        }
        Ok(())
    }

    fn too_deep(&mut self, span: Span) -> Result<(), Stop> {
        self.report(
            Diagnostic::error(
                "yaml::too-deep",
                format!("nested more than {MAX_DEPTH} levels deep"),
            )
            .label(span, "the level beyond the limit"),
        )
    }

    fn too_many_nodes(&mut self, span: Span) -> Result<(), Stop> {
        self.report(
            Diagnostic::error(
                "yaml::too-many-aliases",
                format!("the aliases of this document repeat more than {MAX_ALIAS_NODES} values"),
            )
            .label(span, "the one beyond the limit"),
        )
    }

    fn report(&mut self, problem: Diagnostic) -> Result<(), Stop> {
        self.problems.push(problem);
        Err(Stop)
    }

    fn span(&self, place: saphyr_parser::Span) -> Span {
        let start = self.offsets.byte(place.start);
        Span {
            source: self.source,
            start,
            end: self.offsets.byte(place.end).max(start),
        }
    }

    fn point(&self, mark: Marker) -> Span {
        let start = self.offsets.byte(mark);
        Span {
            source: self.source,
            start,
            end: start,
        }
    }
}

/// `start` of the first to the end of the last, when the last is written after it (an alias may point anywhere).
fn within(first: Span, last: Span) -> Span {
    if last.start >= first.start {
        first.to(last)
    } else {
        first
    }
}

fn take_key(
    part: Part,
    entries: &[Entry],
    seen: &mut FxHashSet<String>,
    problems: &mut Diagnostics,
) -> PendingKey {
    let span = part.node.span;
    let Some(text) = part.key else {
        problems.push(
            Diagnostic::error(
                "yaml::key",
                format!("a key must be text, not {}", part.node.describe()),
            )
            .label(span, "this key"),
        );
        return PendingKey::Refused;
    };
    if part.plain && text.is_empty() {
        problems.push(
            Diagnostic::error("yaml::key", "a key must be text, not nothing")
                .label(span, "no key before the colon"),
        );
        return PendingKey::Refused;
    }
    if part.plain && text == "<<" {
        return PendingKey::Merge;
    }
    if seen.insert(text.clone()) {
        return PendingKey::Some(Key { text, span });
    }
    let mut problem = Diagnostic::error(
        "yaml::duplicate-key",
        format!("`{text}` is set twice in one mapping"),
    )
    .label(span, "set again here")
    .help("keep one of them");
    if let Some(first) = entries.iter().find(|entry| entry.key.text == text) {
        problem = problem.label(first.key.span, "first set here");
    }
    problems.push(problem);
    PendingKey::Refused
}

/// Turns the parser's character counts into bytes.
enum Offsets {
    Ascii { len: u32 },
    Table(Vec<u32>),
}

impl Offsets {
    fn new(text: &str) -> Self {
        let byte = |at: usize| u32::try_from(at).expect("texts beyond MAX_TEXT are refused");
        if text.is_ascii() {
            return Self::Ascii {
                len: byte(text.len()),
            };
        }
        let starts = text.char_indices().map(|(at, _)| byte(at));
        Self::Table(starts.chain(std::iter::once(byte(text.len()))).collect())
    }

    fn byte(&self, mark: Marker) -> u32 {
        match self {
            Self::Ascii { len } => u32::try_from(mark.index()).unwrap_or(*len).min(*len),
            Self::Table(starts) => {
                let last = starts.len() - 1;
                starts[mark.index().min(last)]
            }
        }
    }
}
