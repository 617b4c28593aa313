//! From text to flights: a scenario file, its variants, and overrides from the command line.
//!
//! ```
//! use manifests::diagnostics::Diagnostics;
//! use manifests::text::Sources;
//! use scenarios::plan::{Known, Plan};
//! use scenarios::read::{File, Memory, Override};
//!
//! let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
//! let text = "
//! apiVersion: windtunnel.dev/v1alpha1
//! kind: Scenario
//! metadata: {name: one}
//! spec:
//!   duration: 10s
//!   workloads: {orders: {concurrency: 1, handlers: [{match: /, time: {exponential: {mean: 8ms}}}]}}
//!   load: [{name: users, via: direct, open: {rate: 100/s}, requests: [{host: orders, path: /}]}]
//! ";
//! let source = sources.add("one.yaml", text);
//! let file = File::parse(&sources, source, &mut problems).expect("it is a scenario");
//! let faster = Override::parse("load.users.open.rate=120/s", &mut sources, &mut problems).expect("it is an override");
//! let flight = file.flight(None, &[faster], &sources, &mut problems).expect("it can be read");
//! let plan = Plan::compile(&flight, &Known::default(), &Memory::default(), &mut sources, &mut problems);
//! assert!(problems.is_empty());
//! assert_eq!(plan.expect("nothing is wrong").loads.len(), 1);
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use manifests::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use manifests::text::{self, Map, Node, SourceId, Sources, Span, Value};

use crate::assumptions::{self, Assumption};
use crate::format::{API_VERSION, KIND, Scenario};
use crate::plan::Declared;
use crate::plan::known::{DEFAULT_NAMESPACE, DEFAULT_PORT};
use crate::variants;

/// The name of the flight without a variant's edits, when no variant takes it by having none.
pub const BASE: &str = "base";
/// The largest file that is read beside a scenario (1 GiB).
const MAX_FILE: u64 = 1 << 30;

/// Where a scenario's own files come from; paths are as the scenario writes them.
pub trait Files {
    /// The whole text, or why not.
    fn read(&self, path: &str) -> Result<String, String>;

    /// The name by which diagnostics cite it.
    fn name(&self, path: &str) -> String {
        path.to_owned()
    }
}

/// Files beside a scenario file.
#[derive(Clone, Debug)]
pub struct Beside {
    folder: PathBuf,
}

impl Beside {
    /// Files relative to `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.join(Path::new(path))
    }
}

impl Files for Beside {
    fn read(&self, path: &str) -> Result<String, String> {
        let path = self.path(path);
        let length = std::fs::metadata(&path)
            .map_err(|problem| problem.to_string())?
            .len();
        if length > MAX_FILE {
            return Err(format!("it is larger than {} MiB", MAX_FILE >> 20));
        }
        std::fs::read_to_string(&path).map_err(|problem| problem.to_string())
    }

    fn name(&self, path: &str) -> String {
        self.path(path).display().to_string()
    }
}

/// Files by name in memory.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub BTreeMap<String, String>);

impl Files for Memory {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| "there is no such file".to_owned())
    }
}

/// A scenario file: one document, not yet read into types, since a variant or an override may change it.
#[derive(Clone, Debug)]
pub struct File {
    tree: Node,
    variants: Vec<Variant>,
}

/// The same scenario, differently.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// Where it is named.
    pub span: Span,
    edit: Node,
}

/// A value from the command line: `load.shoppers.open.rate=400/s`.
#[derive(Clone, Debug)]
pub struct Override {
    path: String,
    value: Node,
}

/// One way to fly a scenario: its file with a variant and overrides laid over it.
#[derive(Clone, Debug)]
pub struct Flight {
    /// The variant's name, or that of the scenario as it stands.
    pub name: String,
    /// What the variant is about.
    pub description: Option<String>,
    /// What the file says, with the edits.
    pub scenario: Scenario,
    /// Values marked `# assumed`.
    pub assumed: Vec<Assumption>,
}

/// Whether a document says that it is a scenario; everything else is left to the manifests.
#[must_use]
pub fn is_scenario(document: &Node) -> bool {
    document.get("kind").and_then(Node::as_str) == Some(KIND)
        && document
            .get("apiVersion")
            .and_then(Node::as_str)
            .is_some_and(|version| version.starts_with("windtunnel.dev/"))
}

/// Whether a name is one: letters, digits, `-`, `_` and `.`, at most 63, beginning with a letter or digit.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let letter = |b: u8| b.is_ascii_alphanumeric();
    let good = (1..=63).contains(&name.len())
        && name.bytes().next().is_some_and(letter)
        && name.bytes().all(|b| letter(b) || b"-_.".contains(&b));
    if good {
        return Ok(());
    }
    let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
    Err(format!(
        "`{shown}` is not a name: letters, digits, `-`, `_` and `.`, at most 63"
    ))
}

impl File {
    /// Parses the text of a scenario file; `None` when it is no scenario.
    #[must_use]
    pub fn parse(sources: &Sources, source: SourceId, problems: &mut Diagnostics) -> Option<Self> {
        let mark = problems.len();
        let documents = text::parse(sources, source, problems);
        if let Some(second) = documents.get(1) {
            problems.push(
                Diagnostic::error("scenario::documents", "a scenario file holds one scenario")
                    .label(second.span, "a second document")
                    .help("write each scenario to a file of its own, and manifests to theirs"),
            );
        }
        match documents.into_iter().next() {
            Some(document) => Self::new(document, problems),
            None => {
                if problems.len() == mark {
                    let place = Span {
                        source,
                        start: 0,
                        end: 0,
                    };
                    problems.push(
                        Diagnostic::error("scenario::empty", "there is no scenario here")
                            .label(place, "nothing is written"),
                    );
                }
                None
            }
        }
    }

    /// Takes a document that was parsed already.
    #[must_use]
    pub fn new(mut document: Node, problems: &mut Diagnostics) -> Option<Self> {
        let wanted = [("apiVersion", API_VERSION), ("kind", KIND)];
        for (key, expected) in wanted {
            let Some(given) = document.get(key) else {
                continue;
            };
            if given.as_str() != Some(expected) {
                problems.push(
                    Diagnostic::error(
                        "scenario::kind",
                        format!("`{key}` is {}, not `{expected}`", given.describe()),
                    )
                    .label(given.span, "not a scenario of this release"),
                );
                return None;
            }
        }
        let variants = take_variants(&mut document, problems);
        Some(Self {
            tree: document,
            variants,
        })
    }

    /// The variants in the order written.
    #[must_use]
    pub fn variants(&self) -> &[Variant] {
        &self.variants
    }

    /// The names of the flights: the scenario as it stands first, then each variant that changes something. A variant without any edit
    /// names the scenario as it stands.
    #[must_use]
    pub fn flights(&self) -> Vec<&str> {
        let mut names = vec![self.base_name()];
        let edited = self.variants.iter().filter(|variant| !variant.is_base());
        names.extend(edited.map(|variant| variant.name.as_str()));
        names
    }

    /// Reads one flight: of the scenario as it stands, or of a variant; `None` when there were errors.
    #[must_use]
    pub fn flight(
        &self,
        variant: Option<&str>,
        overrides: &[Override],
        sources: &Sources,
        problems: &mut Diagnostics,
    ) -> Option<Flight> {
        let chosen = match variant {
            Some(name) if name != self.base_name() => Some(self.variant(name, problems)?),
            Some(_) | None => self.variants.iter().find(|variant| variant.is_base()),
        };
        let mark = problems.len();
        let mut tree = self.tree.clone();
        if let Some(variant) = chosen.filter(|variant| !variant.is_base()) {
            let edit = variants::at_path(None, &["spec"], variant.edit.clone());
            tree = variants::merge(Some(&tree), &edit, problems);
        }
        for each in overrides {
            let edit = each.edit(&tree);
            tree = variants::merge(Some(&tree), &edit, problems);
        }
        let scenario: Option<Scenario> = text::read(&tree, problems);
        let refused = Diagnostics::has_errors(&collect(problems, mark));
        let scenario = scenario.filter(|_| !refused)?;
        if let Err(problem) = check_name(&scenario.metadata.name) {
            problems.push(
                Diagnostic::error("name::invalid", problem)
                    .label(scenario.metadata.name.span(), "this name"),
            );
            return None;
        }
        let assumed = tree
            .get("spec")
            .map(|spec| assumptions::marked(spec, self.tree.get("spec"), sources));
        Some(Flight {
            name: chosen.map_or(BASE, |variant| &variant.name).to_owned(),
            description: chosen.and_then(|variant| variant.description.clone()),
            scenario,
            assumed: assumed.unwrap_or_default(),
        })
    }

    fn base_name(&self) -> &str {
        let base = self.variants.iter().find(|variant| variant.is_base());
        base.map_or(BASE, |variant| &variant.name)
    }

    fn variant(&self, name: &str, problems: &mut Diagnostics) -> Option<&Variant> {
        let found = self.variants.iter().find(|variant| variant.name == name);
        if found.is_none() {
            let names = self.flights();
            let help = did_you_mean(name, names.iter().copied())
                .unwrap_or_else(|| format!("there is `{}`", names.join("`, `")));
            problems.push(
                Diagnostic::error("variant::unknown", format!("there is no variant `{name}`"))
                    .label(self.tree.span, "in this scenario")
                    .help(help),
            );
        }
        found
    }
}

impl Flight {
    /// The workloads that the scenario names, in order: a model adds those that no manifest has, each with a Service of its name.
    /// A bare name means `default`, unless one of `known` (`namespace/name`) is the only one that is called so.
    #[must_use]
    pub fn declared(&self, known: &[String]) -> Vec<Declared> {
        let workloads = self.scenario.spec.workloads.iter();
        workloads
            .map(|(key, given)| {
                let bare = |full: &&String| {
                    full.split_once('/')
                        .is_some_and(|(_, name)| name == key.as_str())
                };
                let mut same = known.iter().filter(bare);
                let full = match (same.next(), same.next()) {
                    (Some(only), None) => only,
                    (Some(_), Some(_)) | (None, _) => key.as_str(),
                };
                let (namespace, name) = full.split_once('/').unwrap_or((DEFAULT_NAMESPACE, full));
                let versioned = given
                    .versions
                    .values()
                    .filter_map(|version| version.replicas.as_ref());
                let versioned: u32 = versioned.map(|count| count.0).sum();
                let own = given.replicas.as_ref().map(|count| count.0);
                let ports = given
                    .ports
                    .iter()
                    .flatten()
                    .filter_map(|port| u16::try_from(port.0).ok());
                let ports: Vec<u16> = ports.collect();
                Declared {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                    replicas: own.unwrap_or_else(|| u32::from(versioned == 0)) + versioned,
                    labels: given
                        .labels
                        .iter()
                        .map(|(name, value)| (name.clone(), value.clone()))
                        .collect(),
                    ports: if ports.is_empty() {
                        vec![DEFAULT_PORT]
                    } else {
                        ports
                    },
                    span: key.span(),
                }
            })
            .collect()
    }
}

impl Variant {
    /// Where its edits are written.
    #[must_use]
    pub fn edits(&self) -> Span {
        self.edit.span
    }

    /// Whether it changes nothing, and so names the scenario as it stands.
    #[must_use]
    pub fn is_base(&self) -> bool {
        self.edit
            .as_map()
            .is_none_or(|map| map.entries().is_empty())
    }
}

impl Override {
    /// Where it is laid, as it was given.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value, as it was given.
    #[must_use]
    pub fn text<'s>(&self, sources: &'s Sources) -> &'s str {
        sources.slice(self.value.span)
    }

    /// Parses `path=value`; the value is YAML, the path starts below `spec`.
    #[must_use]
    pub fn parse(text: &str, sources: &mut Sources, problems: &mut Diagnostics) -> Option<Self> {
        let (path, value) = text.split_once('=').unwrap_or((text, ""));
        let source = sources.add(format!("--set {path}"), value);
        let whole = Span {
            source,
            start: 0,
            end: u32::try_from(value.len()).unwrap_or(u32::MAX),
        };
        if !text.contains('=') || path.split('.').any(str::is_empty) {
            problems.push(
                Diagnostic::error("override::syntax", format!("`{text}` is not `path=value`"))
                    .label(whole, "this value")
                    .help("write it as in `load.shoppers.open.rate=400/s`"),
            );
            return None;
        }
        let mark = problems.len();
        let value = text::parse(sources, source, problems).into_iter().next();
        let value = value.unwrap_or(Node {
            span: whole,
            value: Value::Null,
        });
        (problems.len() == mark).then(|| Self {
            path: path.to_owned(),
            value,
        })
    }

    fn edit(&self, tree: &Node) -> Node {
        let mut path: Vec<&str> = self.path.split('.').collect();
        if !matches!(path[0], "spec" | "metadata") {
            path.insert(0, "spec");
        }
        variants::at_path(Some(tree), &path, self.value.clone())
    }
}

/// What was said since `mark`, as a sink of its own.
fn collect(problems: &Diagnostics, mark: usize) -> Diagnostics {
    let mut since = Diagnostics::default();
    since.extend(problems.since(mark).iter().cloned());
    since
}

/// Takes the variants out of the tree, so that what is read is one flight.
fn take_variants(document: &mut Node, problems: &mut Diagnostics) -> Vec<Variant> {
    let Value::Map(root) = &mut document.value else {
        return Vec::new();
    };
    let Some(Value::Map(spec)) = root.get_mut("spec").map(|spec| &mut spec.value) else {
        return Vec::new();
    };
    let Some(found) = spec.remove("variants").map(|entry| entry.value) else {
        return Vec::new();
    };
    let Some(map) = found.as_map() else {
        if !found.is_null() {
            let message = format!("`variants` are edits by name, not {}", found.describe());
            problems
                .push(Diagnostic::error("field::type", message).label(found.span, "this value"));
        }
        return Vec::new();
    };
    let mut variants = Vec::new();
    for entry in map.entries() {
        let span = entry.key.span;
        if let Err(problem) = check_name(&entry.key.text) {
            problems.push(Diagnostic::error("name::invalid", problem).label(span, "this name"));
        }
        let mut edit = match &entry.value.value {
            Value::Map(map) => map.clone(),
            Value::Null => Map::default(),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) | Value::Seq(_) => {
                let message = format!(
                    "a variant is a mapping of edits, not {}",
                    entry.value.describe()
                );
                problems.push(
                    Diagnostic::error("field::type", message).label(entry.value.span, "this value"),
                );
                continue;
            }
        };
        let description = edit
            .remove("description")
            .and_then(|entry| entry.value.as_str().map(str::to_owned));
        if let Some(nested) = edit.entry("variants") {
            problems.push(
                Diagnostic::error("variant::nested", "a variant has no variants")
                    .label(nested.key.span, "here"),
            );
            continue;
        }
        let edit = Node {
            span: entry.value.span,
            value: Value::Map(edit),
        };
        variants.push(Variant {
            name: entry.key.text.clone(),
            description,
            span,
            edit,
        });
    }
    variants
}
