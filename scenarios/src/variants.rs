//! Edits of a scenario's tree: what a variant or an override changes, before anything is read from it.
//!
//! An edit is a piece of the tree laid over it. A mapping merges key by key; `key+` appends to a list; a mapping over a list of named
//! things (loads, faults, changes) merges into the item of that name, or of that number; null takes a key away; everything else
//! replaces. Where a format asks for exactly one of several keys, giving one takes the others away.

use manifests::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use manifests::text::{Entry, Key, Map, Node, Span, Value};

/// Keys that exclude each other, under any parent or only under the one named.
const CHOICES: &[(Option<&str>, &[&str])] = &[
    (None, &["open", "closed", "trace"]),
    (None, &["rate", "stages"]),
    (None, &["hold", "ramp"]),
    (
        None,
        &[
            "constant",
            "uniform",
            "exponential",
            "lognormal",
            "pareto",
            "weibull",
            "gamma",
            "mixture",
            "percentiles",
            "file",
            "zipf",
            "list",
        ],
    ),
    (Some("lognormal"), &["median", "mean"]),
    (
        Some("lognormal"),
        &["p75", "p90", "p95", "p99", "p999", "sigma", "cv"],
    ),
    (Some("pareto"), &["min", "mean"]),
    (Some("weibull"), &["scale", "mean"]),
    (Some("onError"), &["fail", "fallback"]),
    (Some("call"), &["workload", "service"]),
];

/// Lays `edit` over `base`.
pub(crate) fn merge(base: Option<&Node>, edit: &Node, problems: &mut Diagnostics) -> Node {
    Merge { problems }.node(base, edit, "")
}

struct Merge<'a> {
    problems: &'a mut Diagnostics,
}

impl Merge<'_> {
    fn node(&mut self, base: Option<&Node>, edit: &Node, name: &str) -> Node {
        let Some(changes) = edit.as_map() else {
            return edit.clone();
        };
        match base.map(|base| (base, &base.value)) {
            Some((base, Value::Map(map))) => self.map(base.span, map, changes, name),
            Some((base, Value::Seq(items))) => self.items(base, items, changes, name),
            Some((
                _,
                Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_),
            ))
            | None => self.map(edit.span, &Map::default(), changes, name),
        }
    }

    fn map(&mut self, span: Span, base: &Map, changes: &Map, name: &str) -> Node {
        let mut map = base.clone();
        for change in changes.entries() {
            let text = change.key.text.as_str();
            drop_alternatives(&mut map, changes, text, name);
            let key = text.strip_suffix('+').unwrap_or(text);
            if change.value.is_null() && key == text {
                map.remove(key);
                continue;
            }
            let old = map.get(key);
            let value = if key == text {
                self.node(old, &change.value, key)
            } else {
                self.append(old, change)
            };
            match map.get_mut(key) {
                Some(old) => *old = value,
                None => map.insert(entry(key, change.key.span, value)),
            }
        }
        Node {
            span,
            value: Value::Map(map),
        }
    }

    fn append(&mut self, old: Option<&Node>, change: &Entry) -> Node {
        let span = change.key.span;
        let Some(more) = change.value.as_seq() else {
            let message = format!(
                "`{}` appends a list, not {}",
                change.key.text,
                change.value.describe()
            );
            self.problems.push(
                Diagnostic::error("variant::append", message)
                    .label(change.value.span, "not a list"),
            );
            return old.unwrap_or(&change.value).clone();
        };
        let mut items = match old.map(|old| &old.value) {
            Some(Value::Seq(items)) => items.clone(),
            Some(Value::Null) | None => Vec::new(),
            Some(
                Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) | Value::Map(_),
            ) => {
                let message = format!("`{}` appends to a list", change.key.text);
                self.problems.push(
                    Diagnostic::error("variant::append", message)
                        .label(span, "what it is to be appended to is no list"),
                );
                Vec::new()
            }
        };
        items.extend(more.iter().cloned());
        Node {
            span: old.map_or(change.value.span, |old| old.span),
            value: Value::Seq(items),
        }
    }

    /// A mapping over a list: each key is an item's name or number.
    fn items(&mut self, base: &Node, items: &[Node], changes: &Map, name: &str) -> Node {
        let mut items = items.to_vec();
        let names: Vec<String> = items
            .iter()
            .filter_map(item_name)
            .map(str::to_owned)
            .collect();
        let mut gone = Vec::new();
        for change in changes.entries() {
            let key = change.key.text.as_str();
            let named = items.iter().position(|item| item_name(item) == Some(key));
            let numbered = key.parse::<usize>().ok().filter(|at| *at < items.len());
            let Some(at) = named.or(numbered) else {
                let count = items.len();
                let help =
                    did_you_mean(key, names.iter().map(String::as_str)).unwrap_or_else(|| {
                        match names.is_empty() {
                            true => format!("it has {count} items, numbered from 0"),
                            false => {
                                format!("there is `{}`; `{name}+` appends", names.join("`, `"))
                            }
                        }
                    });
                self.problems.push(
                    Diagnostic::error(
                        "variant::unknown-item",
                        format!("`{name}` has no item `{key}`"),
                    )
                    .label(change.key.span, "neither a name nor a number in that list")
                    .help(help),
                );
                continue;
            };
            if change.value.is_null() {
                gone.push(at);
            } else {
                items[at] = self.node(Some(&items[at]), &change.value, name);
            }
        }
        let mut at = 0;
        items.retain(|_| {
            at += 1;
            !gone.contains(&(at - 1))
        });
        Node {
            span: base.span,
            value: Value::Seq(items),
        }
    }
}

/// Takes away what `key` excludes, unless the same edit gives it.
fn drop_alternatives(map: &mut Map, changes: &Map, key: &str, parent: &str) {
    for (under, choice) in CHOICES {
        if under.is_none_or(|under| under == parent) && choice.contains(&key) {
            for other in choice
                .iter()
                .filter(|other| **other != key && changes.get(other).is_none())
            {
                map.remove(other);
            }
        }
    }
}

fn entry(key: &str, span: Span, value: Node) -> Entry {
    Entry {
        key: Key {
            text: key.to_owned(),
            span,
        },
        value,
    }
}

/// The `name` of a list's item.
pub(crate) fn item_name(item: &Node) -> Option<&str> {
    item.get("name")?.as_str()
}

/// An edit that lays `value` at `path`; where the tree has a key that holds dots itself, the longest such key counts.
pub(crate) fn at_path(base: Option<&Node>, path: &[&str], value: Node) -> Node {
    let Some(first) = path.first() else {
        return value;
    };
    let longest = (1..=path.len()).rev().find_map(|count| {
        let key = path[..count].join(".");
        let child = base?.get(&key)?;
        Some((key, count, Some(child)))
    });
    let (key, count, child) = longest.unwrap_or_else(|| {
        let item = base.and_then(Node::as_seq).and_then(|items| {
            let named = items.iter().find(|item| item_name(item) == Some(first));
            named.or_else(|| items.get(first.parse::<usize>().ok()?))
        });
        ((*first).to_owned(), 1, item)
    });
    let span = value.span;
    let value = at_path(child, &path[count..], value);
    let mut map = Map::default();
    map.insert(entry(&key, span, value));
    Node {
        span,
        value: Value::Map(map),
    }
}
