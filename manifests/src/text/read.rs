//! From a tree to a type, reporting every problem of the tree at once.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use super::de::{Failure, NodeId, Pass, Problem, Reader, list};
use super::{Node, Value};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};

/// After so many type errors in one tree the rest is not looked for.
const MAX_FAILURES: usize = 50;

/// Reads a type from a tree, and reports all type errors and all unknown keys; `None` when there were type errors.
///
/// A key that the type does not know is an error (`field::unknown`), yet the value is returned, so that what follows can be checked too.
/// Of a struct, a key with nothing or `null` behind it counts as not written.
pub fn read<T: DeserializeOwned>(node: &Node, problems: &mut Diagnostics) -> Option<T> {
    read_with(node, Pass::default(), problems)
}

/// Reads a type that knows only some keys of a tree: for trees whose keys were checked against a fuller type with [`read`].
pub fn read_part<T: DeserializeOwned>(node: &Node, problems: &mut Diagnostics) -> Option<T> {
    let pass = Pass {
        partial: true,
        ..Pass::default()
    };
    read_with(node, pass, problems)
}

fn read_with<'a, T: DeserializeOwned>(
    node: &'a Node,
    mut pass: Pass<'a>,
    problems: &mut Diagnostics,
) -> Option<T> {
    let mut reported = BTreeSet::new();
    let mut failures = 0;
    // A pass stops at its first failure. What failed is then taken for not written, and another pass finds the next failure.
    let value = loop {
        match T::deserialize(Reader::new(node, &mut pass)) {
            Ok(value) => break (failures == 0).then_some(value),
            Err(failure) => {
                failures += 1;
                let next = failure
                    .trail
                    .iter()
                    .position(|(id, _)| !pass.broken.contains(id));
                let follows = next != Some(0) || lacks_broken(node, &failure, &pass);
                if !follows {
                    problems.push(diagnose(node, &failure));
                }
                let Some(at) = next.filter(|_| failures < MAX_FAILURES) else {
                    break None;
                };
                pass.broken.insert(failure.trail[at].0);
            }
        }
    };
    for unknown in pass.unknown {
        let key = unknown.key;
        if reported.insert((key.span, key.text.as_str())) {
            let help = did_you_mean(&key.text, unknown.known.iter().copied())
                .or_else(|| list("known here", unknown.known));
            problems.push(
                Diagnostic::error("field::unknown", format!("unknown field `{}`", key.text))
                    .label(key.span, "not a field of this object")
                    .maybe_help(help),
            );
        }
    }
    value
}

/// Whether the failure only says that a key is missing which was written, and reported as broken.
fn lacks_broken(root: &Node, failure: &Failure, pass: &Pass<'_>) -> bool {
    let (Problem::Missing(field), Some((id, _))) = (&failure.problem, failure.trail.first()) else {
        return false;
    };
    find(root, *id)
        .and_then(|(node, _)| node.get(field))
        .is_some_and(|value| pass.broken.contains(&NodeId::of(value)))
}

fn diagnose(root: &Node, failure: &Failure) -> Diagnostic {
    let (id, span) = failure
        .trail
        .first()
        .copied()
        .unwrap_or_else(|| (NodeId::of(root), root.span));
    let path = find(root, id).map(|(_, path)| path).unwrap_or_default();
    let message = if path.is_empty() {
        failure.message()
    } else {
        format!("{path}: {}", failure.message())
    };
    let (code, words) = match failure.problem {
        Problem::Type(_) => ("field::type", "this value"),
        Problem::Missing(_) => ("field::missing", "in this object"),
        Problem::Choice { .. } => ("field::choice", "this name"),
        Problem::Custom(_) => ("field::value", "this value"),
    };
    Diagnostic::error(code, message)
        .label(span, words)
        .maybe_help(failure.help())
}

/// A node of the tree with its dotted path.
fn find(root: &Node, id: NodeId) -> Option<(&Node, String)> {
    if NodeId::of(root) == id {
        return Some((root, String::new()));
    }
    let under = |step: String, child| {
        let (node, rest) = find(child, id)?;
        let dot = if rest.is_empty() || rest.starts_with('[') {
            ""
        } else {
            "."
        };
        Some((node, format!("{step}{dot}{rest}")))
    };
    match &root.value {
        Value::Seq(items) => items
            .iter()
            .enumerate()
            .find_map(|(nth, item)| under(format!("[{nth}]"), item)),
        Value::Map(map) => map
            .entries()
            .iter()
            .find_map(|entry| under(entry.key.text.clone(), &entry.value)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => None,
    }
}
