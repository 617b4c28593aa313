//! Secrets are read for their names alone: values are dropped from the tree and from what diagnostics can show.

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::{self, Node, SourceId, Sources, Span, Value};

/// `kubectl apply` keeps the whole object here, values and all.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Parses a text and hides the values of its Secrets.
///
/// A document that does not parse cannot be searched for values, so when it looks like a Secret all of it is hidden.
pub(super) fn parse(
    sources: &mut Sources,
    source: SourceId,
    problems: &mut Diagnostics,
) -> Vec<Node> {
    let mark = problems.len();
    let mut documents = text::parse(sources, source, problems);
    let mut hidden = Vec::new();
    for document in &mut documents {
        hide(document, &mut hidden);
    }
    if problems
        .since(mark)
        .iter()
        .any(|problem| problem.code.starts_with("yaml::"))
    {
        let text = sources
            .get(source)
            .map(|source| source.text())
            .unwrap_or_default();
        hidden.extend(suspects(source, text));
        if text.contains("{{") {
            problems.push(
                Diagnostic::warning(
                    "load::template",
                    "this looks like a template of a chart, not like a manifest",
                )
                .label(
                    Span {
                        source,
                        start: 0,
                        end: 0,
                    },
                    "",
                )
                .help("render it first, for example with `helm template`"),
            );
        }
    }
    sources.conceal(&hidden);
    documents
}

/// Hides the values of a Secret, or of the Secrets of a list.
fn hide(node: &mut Node, hidden: &mut Vec<Span>) {
    let is_secret = matches!(
        node.get("kind").and_then(Node::as_str),
        Some("Secret" | "SecretList")
    );
    let Some(map) = node.as_map_mut() else { return };
    if let Some(items) = map.get_mut("items")
        && let Value::Seq(items) = &mut items.value
    {
        for item in items {
            if is_secret {
                hide_values(item, hidden);
            } else {
                hide(item, hidden);
            }
        }
    }
    if is_secret {
        hide_values(node, hidden);
    }
}

fn hide_values(secret: &mut Node, hidden: &mut Vec<Span>) {
    let Some(map) = secret.as_map_mut() else {
        return;
    };
    for field in ["data", "stringData"] {
        let Some(values) = map.get_mut(field) else {
            continue;
        };
        match values.as_map_mut() {
            Some(values) => values.values_mut().for_each(|value| blank(value, hidden)),
            None => blank(values, hidden),
        }
    }
    let copy = map
        .get_mut("metadata")
        .and_then(Node::as_map_mut)
        .and_then(|metadata| metadata.get_mut("annotations"))
        .and_then(Node::as_map_mut)
        .and_then(|annotations| annotations.get_mut(LAST_APPLIED));
    if let Some(copy) = copy {
        blank(copy, hidden);
    }
}

fn blank(value: &mut Node, hidden: &mut Vec<Span>) {
    hidden.push(value.span);
    value.value = Value::String(String::new());
}

/// The documents (between `---` lines) of a broken text that may be Secrets.
fn suspects(source: SourceId, text: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut at = 0;
    let byte = |at: usize| u32::try_from(at).expect("texts beyond MAX_TEXT are refused");
    let mut close = |start: usize, end: usize| {
        if text[start..end].contains("Secret") {
            found.push(Span {
                source,
                start: byte(start),
                end: byte(end),
            });
        }
    };
    for line in text.split_inclusive('\n') {
        if line.starts_with("---") {
            close(start, at);
            start = at;
        }
        at += line.len();
    }
    close(start, at);
    found
}
