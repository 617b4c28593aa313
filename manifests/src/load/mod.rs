//! Files and folders in, Kubernetes objects out: in layers, each object with its place.
//!
//! Entries of a run's manifests are layers: an object of a later layer replaces the same kind, namespace and name of an earlier one,
//! and twice within one layer is an error. What a cluster adds on its own (`status`, `managedFields`, …) is left out and counted.

mod files;
mod object;
mod secrets;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use indexmap::IndexMap;
use indexmap::map::Entry;

pub use object::{DEFAULT_NAMESPACE, Object, ObjectKey, Owner};
pub use secrets::Vault;

use crate::diagnostics::{self, Diagnostic, Diagnostics, did_you_mean};
use crate::text::{Node, SourceId, Sources, Span, Spanned};

/// One entry of a run's manifests.
#[derive(Clone, Debug)]
pub struct Layer {
    /// How diagnostics call it: the path as people wrote it.
    pub name: String,
    /// What to read.
    pub content: Content,
    /// Where a scenario names it; [`Span::NOWHERE`] for a command line.
    pub span: Span,
}

/// What a layer reads.
#[derive(Clone, Debug)]
pub enum Content {
    /// A file, or every `.yaml`, `.yml` and `.json` file of a folder and the folders below it, by name. Hidden ones are passed over.
    Path(PathBuf),
    /// Standard input.
    Stdin,
    /// A text at hand.
    Text(String),
}

impl Layer {
    /// A file or folder; `name` is what people wrote for it.
    #[must_use]
    pub fn path(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            content: Content::Path(path.into()),
            span: Span::NOWHERE,
        }
    }

    /// Standard input.
    #[must_use]
    pub fn stdin() -> Self {
        Self {
            name: "<stdin>".to_owned(),
            content: Content::Stdin,
            span: Span::NOWHERE,
        }
    }

    /// A text at hand under the name that diagnostics will show.
    #[must_use]
    pub fn text(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            content: Content::Text(text.into()),
            span: Span::NOWHERE,
        }
    }

    /// Says where a scenario names it.
    #[must_use]
    pub fn named_at(mut self, span: Span) -> Self {
        self.span = span;
        self
    }
}

/// Every object of a run, in the order in which each was first read; no kind, namespace and name occurs twice.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    map: IndexMap<ObjectKey, Object>,
    layers: usize,
    vault: Option<Vault>,
}

/// Reads all layers.
pub fn load(layers: &[Layer], sources: &mut Sources, problems: &mut Diagnostics) -> Objects {
    let mut objects = Objects::default();
    for layer in layers {
        objects.apply(layer, sources, problems);
    }
    objects
}

impl Objects {
    /// None yet; the values of Secrets that come are kept, for a proxy that serves with them.
    #[must_use]
    pub fn with_secrets() -> Self {
        Self {
            vault: Some(Vault::default()),
            ..Self::default()
        }
    }

    /// The values of Secrets, where they are kept.
    #[must_use]
    pub const fn vault(&self) -> Option<&Vault> {
        self.vault.as_ref()
    }

    /// Puts one more layer on top.
    pub fn apply(&mut self, layer: &Layer, sources: &mut Sources, problems: &mut Diagnostics) {
        let number = self.layers;
        self.layers += 1;
        for text in files::read(layer, sources, problems) {
            let mut reading = Reading {
                layer: number,
                lenient: text.from_folder,
                of_kustomize: text.of_kustomize,
                cleaned: BTreeMap::new(),
                problems,
            };
            let documents =
                secrets::parse(sources, text.source, self.vault.as_mut(), reading.problems);
            for document in documents {
                reading.document(document, self);
            }
            reading.tell_cleaned(text.source);
        }
    }

    /// Takes one object away: `Kind/name`, or `Kind/namespace/name`. That nothing is called so is an error.
    pub fn remove(&mut self, reference: &Spanned<String>, problems: &mut Diagnostics) {
        let parts: Vec<&str> = reference.split('/').collect();
        let (kind, namespace, name) = match parts[..] {
            [kind, name] => (kind, None, name),
            [kind, namespace, name] => (kind, Some(namespace), name),
            _ => {
                problems.push(
                    Diagnostic::error("load::reference", format!("`{reference}` names no object"))
                        .label(reference.span, "this reference")
                        .help("write `Kind/name` or `Kind/namespace/name`"),
                );
                return;
            }
        };
        let fits = |key: &ObjectKey| {
            let namespaces = [key.namespace.as_str(), ""];
            key.kind.eq_ignore_ascii_case(kind)
                && key.name == name
                && namespaces.contains(&namespace.unwrap_or(if key.namespace.is_empty() {
                    ""
                } else {
                    DEFAULT_NAMESPACE
                }))
        };
        let before = self.map.len();
        self.map.retain(|key, object| {
            let goes = fits(key);
            if goes {
                problems.forget_silences(object.span());
            }
            !goes
        });
        if self.map.len() == before {
            let names: Vec<String> = self.map.keys().map(ObjectKey::to_string).collect();
            let wanted = format!("{kind}/{}/{name}", namespace.unwrap_or(DEFAULT_NAMESPACE));
            problems.push(
                Diagnostic::error(
                    "load::nothing-to-remove",
                    format!("no object is called `{reference}`"),
                )
                .label(reference.span, "this reference")
                .maybe_help(did_you_mean(&wanted, names.iter().map(String::as_str))),
            );
        }
    }

    /// Every object.
    pub fn iter(&self) -> impl Iterator<Item = &Object> {
        self.map.values()
    }

    /// Every object of one kind; the group is empty for the core.
    pub fn of<'a>(&'a self, group: &'a str, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.iter()
            .filter(move |object| object.key.kind == kind && object.key.group == group)
    }

    /// One object; the namespace is empty for kinds that have none.
    #[must_use]
    pub fn get(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<&Object> {
        let owned = |text: &str| text.to_owned();
        self.map.get(&ObjectKey {
            group: owned(group),
            kind: owned(kind),
            namespace: owned(namespace),
            name: owned(name),
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

/// One text of one layer.
struct Reading<'a> {
    layer: usize,
    /// Whether what is no object is passed over: folders hold other files, too.
    lenient: bool,
    /// Whether its name says that it is kustomize's.
    of_kustomize: bool,
    /// What a cluster had added, by field: how many objects had it.
    cleaned: BTreeMap<&'static str, usize>,
    problems: &'a mut Diagnostics,
}

impl Reading<'_> {
    fn document(&mut self, node: Node, objects: &mut Objects) {
        match object::list_items(&node) {
            Some(list) => {
                for item in list {
                    self.document(item, objects);
                }
            }
            None => self.object(node, objects),
        }
    }

    fn object(&mut self, node: Node, objects: &mut Objects) {
        if self.of_kustomize || object::is_of_kustomize(&node) {
            let first = node.as_map().and_then(|map| map.entries().first());
            let place = first.map_or(node.span, |entry| entry.key.span);
            let message = "what kustomize would make of these manifests is not known: left out";
            self.problems.push(
                Diagnostic::warning("load::kustomization", message)
                    .label(place, "its patches and generators do nothing here")
                    .help("run `kubectl kustomize` first, and name the file with what it prints"),
            );
            return;
        }
        if self.lenient && node.get("apiVersion").is_none() && node.get("kind").is_none() {
            self.problems.push(
                Diagnostic::listed("load::no-object", "not a Kubernetes object: left out")
                    .label(node.span, "this document"),
            );
            return;
        }
        let Some(mut object) = Object::identify(node, self.layer, self.problems) else {
            return;
        };
        for field in object.clean() {
            *self.cleaned.entry(field).or_default() += 1;
        }
        if let Some(old) = objects.map.get(&object.key)
            && old.layer < self.layer
        {
            self.problems.forget_silences(old.span());
        }
        if let Some(codes) = object.annotation(diagnostics::ANNOTATION) {
            let silence = diagnostics::of_annotation(codes, object.span());
            self.problems.silence(silence);
        }
        match objects.map.entry(object.key.clone()) {
            Entry::Vacant(slot) => {
                slot.insert(object);
            }
            Entry::Occupied(mut slot) if slot.get().layer < self.layer => {
                slot.insert(object);
            }
            Entry::Occupied(slot) => self.problems.push(
                Diagnostic::error("load::duplicate", format!("{} is there twice", object.key))
                    .label(object.name_span, "again here")
                    .label(slot.get().name_span, "first here")
                    .help("keep one of them, or put one into a later entry of `manifests`, which then replaces the earlier"),
            ),
        }
    }

    /// Lists what a cluster had added.
    fn tell_cleaned(&mut self, source: SourceId) {
        if self.cleaned.is_empty() {
            return;
        }
        let fields: Vec<String> = self
            .cleaned
            .iter()
            .map(|(field, count)| format!("`{field}` ({count})"))
            .collect();
        let whole = Span {
            source,
            start: 0,
            end: 0,
        };
        self.problems.push(
            Diagnostic::listed(
                "load::cluster-fields",
                format!(
                    "what a cluster adds on its own is left out: {}",
                    fields.join(", ")
                ),
            )
            .label(whole, ""),
        );
    }
}
