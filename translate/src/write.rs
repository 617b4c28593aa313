//! What was made as text: one stream, or a file for each namespace and kind of objects.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::Translation;
use crate::object::Object;

/// A file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct OutFile {
    /// Its name, of letters, digits, dots and dashes alone.
    pub name: String,
    /// What stands in it.
    pub text: String,
}

/// Kinds in the order in which they are written: what others need comes first. Others stand between the last two by name.
const ORDER: &[&str] = &[
    "Namespace",
    "CustomResourceDefinition",
    "Mesh",
    "GatewayClass",
    "IngressClass",
    "ServiceAccount",
    "ConfigMap",
    "Service",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "CronJob",
    "Pod",
];

fn rank(object: &Object) -> (usize, usize) {
    let at = ORDER.iter().position(|kind| *kind == object.kind);
    (usize::from(at.is_none()), at.unwrap_or_default())
}

/// Puts objects in the order in which they are written: kinds that others need first; within it they stay as they are.
pub(crate) fn order(objects: &mut [Object]) {
    objects.sort_by_key(rank);
}

/// Every object as one stream of documents, each with a comment that names what it comes from.
#[must_use]
pub fn stream(translation: &Translation) -> String {
    documents(translation.objects.iter())
}

/// Objects as text.
pub(crate) fn documents<'o>(objects: impl Iterator<Item = &'o (Object, Vec<String>)>) -> String {
    let mut text = String::new();
    for (nth, (object, from)) in objects.enumerate() {
        if nth > 0 {
            text.push_str("---\n");
        }
        if !from.is_empty() {
            // no write to a string fails
            let _ = writeln!(text, "# from {}", from.join(", "));
        }
        text.push_str(&object.to_value().to_yaml());
    }
    text
}

/// One file a namespace and group of kinds: what is carried over (`app`), and what the target reads (its name). Files that hold no objects stand
/// beside them.
#[must_use]
pub fn files(translation: &Translation) -> Vec<OutFile> {
    let mut by_name: BTreeMap<String, Vec<&(Object, Vec<String>)>> = BTreeMap::new();
    for row in &translation.objects {
        let object = &row.0;
        let group = match object.api_version.split('/').next().unwrap_or_default() {
            "v1" | "apps" | "batch" | "autoscaling" | "policy" => "app",
            _ => translation.target.name,
        };
        let name = match (object.namespace.as_str(), object.kind.as_str()) {
            ("", "Namespace") => "namespaces.yaml".to_owned(),
            ("", _) => format!("{group}.yaml"),
            (namespace, _) => format!("{namespace}.{group}.yaml"),
        };
        by_name.entry(name).or_default().push(row);
    }
    let objects = by_name.into_iter().map(|(name, rows)| OutFile {
        name,
        text: documents(rows.into_iter()),
    });
    let plain = translation.files.iter().map(|(name, text)| OutFile {
        name: name.clone(),
        text: text.clone(),
    });
    let mut all: Vec<OutFile> = objects.chain(plain).collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_comes_first() {
        let object = |kind: &str, name: &str| Object::new("v1", kind, "default", name);
        let mut objects = vec![
            object("HTTPRoute", "b"),
            object("Deployment", "a"),
            object("HTTPRoute", "a"),
            object("Namespace", "n"),
        ];
        order(&mut objects);
        let titles: Vec<String> = objects
            .iter()
            .map(|it| format!("{}/{}", it.kind, it.name))
            .collect();
        assert_eq!(
            titles,
            ["Namespace/n", "Deployment/a", "HTTPRoute/b", "HTTPRoute/a"]
        );
    }
}
