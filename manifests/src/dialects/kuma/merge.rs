//! Settings of several policies as one, field by field.

use crate::text::{Map, Node, Span, Value};

/// The settings of all of `confs`, from the least specific to the most: mappings are merged, everything else is replaced as a whole, and
/// what is not written changes nothing. Values keep their places.
///
/// Source: kuma 2.14 `pkg/plugins/policies/core/rules/merge/merge.go` (`mergeJSONPatches`, RFC 7396); structs that are not to be merged have
/// only fields that must be written, so that they are replaced as a whole all the same.
pub(super) fn merged<'a>(confs: impl IntoIterator<Item = &'a Node>) -> Node {
    let mut all = Node {
        span: Span::NOWHERE,
        value: Value::Map(Map::default()),
    };
    for conf in confs {
        put(&mut all, conf);
    }
    all
}

fn put(base: &mut Node, over: &Node) {
    match (&mut base.value, &over.value) {
        (_, Value::Null) => {}
        (Value::Map(old), Value::Map(new)) => {
            for entry in new.entries() {
                match old.get_mut(&entry.key.text) {
                    Some(value) => put(value, &entry.value),
                    None => old.insert(entry.clone()),
                }
            }
            if !over.span.is_nowhere() {
                base.span = over.span;
            }
        }
        _ => *base = over.clone(),
    }
}

/// Whether two settings set something that is the same.
pub(super) fn overlap(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Map(one), Value::Map(other)) => {
            let mut entries = one.entries().iter();
            entries.any(|entry| {
                let same = other.get(&entry.key.text);
                same.is_some_and(|same| overlap(&entry.value, same))
            })
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Diagnostics;
    use crate::text::{Sources, parse};

    fn merge(texts: &[&str]) -> (Node, Sources) {
        let mut sources = Sources::default();
        let mut problems = Diagnostics::default();
        let mut nodes = Vec::new();
        for (nth, text) in texts.iter().enumerate() {
            let file = sources.add(format!("{nth}.yaml"), *text);
            nodes.extend(parse(&sources, file, &mut problems));
        }
        assert!(problems.is_empty());
        (merged(&nodes), sources)
    }

    #[test]
    fn fields_are_merged_and_keep_their_places() {
        let (node, sources) = merge(&[
            "http: {numRetries: 5, perTryTimeout: 16s}",
            "http:\n  numRetries: 1",
        ]);
        let retries = node.at("http.numRetries").expect("merged");
        assert_eq!(retries.value, Value::Int(1));
        assert_eq!(sources.locate(retries.span), "1.yaml:2");
        let timeout = node.at("http.perTryTimeout").expect("kept");
        assert_eq!(timeout.as_str(), Some("16s"));
        assert_eq!(sources.locate(timeout.span), "0.yaml:1");
    }

    #[test]
    fn lists_are_replaced_and_nothing_changes_nothing() {
        let (node, _) = merge(&["a: [1, 2]\nb: 1", "a: [3]\nb: null", "{}"]);
        assert_eq!(node.at("a").and_then(Node::as_seq).map(<[_]>::len), Some(1));
        assert_eq!(node.at("b").map(|node| &node.value), Some(&Value::Int(1)));
    }
}
