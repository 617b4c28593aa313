//! Secrets are read for their names alone: values are dropped from the tree and from what diagnostics can show. A proxy that serves with them
//! asks for a [`Vault`], which keeps them aside.

use std::collections::BTreeMap;
use std::fmt;

use data_encoding::BASE64;

use super::DEFAULT_NAMESPACE;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::{self, Node, SourceId, Sources, Span, Value};

/// The values of Secrets, which nothing prints.
#[derive(Clone, Default)]
pub struct Vault(BTreeMap<(String, String), BTreeMap<String, Vec<u8>>>);

impl Vault {
    /// A value of a Secret.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str, key: &str) -> Option<&[u8]> {
        let secret = self.0.get(&(namespace.to_owned(), name.to_owned()))?;
        secret.get(key).map(Vec::as_slice)
    }

    /// Whether there is such a Secret.
    #[must_use]
    pub fn has(&self, namespace: &str, name: &str) -> bool {
        self.0
            .contains_key(&(namespace.to_owned(), name.to_owned()))
    }

    /// Takes the values of a Secret in the place of those that an earlier layer had under its name.
    fn keep(&mut self, secret: &Node, problems: &mut Diagnostics) {
        let text = |path| secret.at(path).and_then(Node::as_str);
        let Some(name) = text("metadata.name") else {
            return;
        };
        let namespace = text("metadata.namespace").unwrap_or(DEFAULT_NAMESPACE);
        let values = |field| {
            let map = secret.get(field).and_then(Node::as_map);
            map.into_iter().flat_map(|map| map.entries())
        };
        let mut kept = BTreeMap::new();
        for entry in values("data") {
            let Some(text) = entry.value.as_str() else {
                continue;
            };
            // long values are wrapped by some who write them
            let text: String = text.split_ascii_whitespace().collect();
            match BASE64.decode(text.as_bytes()) {
                Ok(bytes) => {
                    kept.insert(entry.key.text.clone(), bytes);
                }
                Err(error) => problems.push(
                    Diagnostic::error(
                        "secret::base64",
                        format!("`{}` is no base64: {error}", entry.key.text),
                    )
                    .label(entry.key.span, "the value of this key")
                    .help("`stringData` takes values as they are"),
                ),
            }
        }
        for entry in values("stringData") {
            if let Some(text) = entry.value.as_str() {
                kept.insert(entry.key.text.clone(), text.as_bytes().to_vec());
            }
        }
        self.0.insert((namespace.to_owned(), name.to_owned()), kept);
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// `kubectl apply` keeps the whole object here, values and all.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Parses a text and hides the values of its Secrets.
///
/// A document that does not parse cannot be searched for values, so when it looks like a Secret all of it is hidden.
pub(super) fn parse(
    sources: &mut Sources,
    source: SourceId,
    mut vault: Option<&mut Vault>,
    problems: &mut Diagnostics,
) -> Vec<Node> {
    let mark = problems.len();
    let mut documents = text::parse(sources, source, problems);
    let mut hidden = Vec::new();
    for document in &mut documents {
        let mut secrets = Vec::new();
        hide(document, &mut hidden, &mut |secret| {
            if vault.is_some() {
                secrets.push(secret.clone());
            }
        });
        if let Some(vault) = &mut vault {
            for secret in &secrets {
                vault.keep(secret, problems);
            }
        }
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

/// Hides the values of a Secret, or of the Secrets of a list, each of which is shown to `keep` before.
fn hide(node: &mut Node, hidden: &mut Vec<Span>, keep: &mut dyn FnMut(&Node)) {
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
                keep(item);
                hide_values(item, hidden);
            } else {
                hide(item, hidden, keep);
            }
        }
    }
    if is_secret {
        keep(node);
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
