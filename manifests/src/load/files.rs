//! From paths to texts: the only place that reads files.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::{Content, Layer};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::{MAX_TEXT, SourceId, Sources};

/// Folders nested deeper are taken for a circle of links.
const MAX_FOLDERS: usize = 32;

/// Source: kubernetes-sigs/kustomize `api/konfig/general.go`, `RecognizedKustomizationFileNames`; the third, `Kustomization`, has no
/// ending, and so is not read from folders.
const KUSTOMIZATIONS: &[&str] = &["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// A text of a layer.
pub(super) struct Text {
    pub(super) source: SourceId,
    /// Found in a folder rather than named.
    pub(super) from_folder: bool,
    /// Called as kustomize calls its own file.
    pub(super) of_kustomize: bool,
}

/// Reads every text of a layer in a fixed order; what cannot be read is an error.
pub(super) fn read(layer: &Layer, sources: &mut Sources, problems: &mut Diagnostics) -> Vec<Text> {
    let mut reader = Reader {
        layer,
        sources,
        problems,
        texts: Vec::new(),
    };
    match &layer.content {
        Content::Text(text) => reader.add(&layer.name, text.clone(), false),
        Content::Stdin => match limited(io::stdin().lock()) {
            Ok(text) => reader.add(&layer.name, text, false),
            Err(error) => reader.refuse(&layer.name, &error),
        },
        Content::Path(path) if path.is_dir() => {
            reader.folder(layer.name.trim_end_matches('/'), path, 0);
            if reader.texts.is_empty() {
                let problem = Diagnostic::warning(
                    "load::empty",
                    format!("`{}` has no .yaml, .yml or .json file", layer.name),
                );
                reader
                    .problems
                    .push(problem.label(layer.span, "this folder"));
            }
        }
        Content::Path(path) => reader.file(&layer.name, path, false),
    }
    reader.texts
}

struct Reader<'a> {
    layer: &'a Layer,
    sources: &'a mut Sources,
    problems: &'a mut Diagnostics,
    texts: Vec<Text>,
}

/// Whether a folder is a link to one that it is in.
fn leads_back(path: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    path.is_symlink()
        && path
            .parent()
            .and_then(real)
            .zip(real(path))
            .is_some_and(|(of, to)| of.starts_with(to))
}

impl Reader<'_> {
    fn folder(&mut self, name: &str, path: &Path, depth: usize) {
        if depth > MAX_FOLDERS {
            let error =
                io::Error::other(format!("folders are nested more than {MAX_FOLDERS} deep"));
            return self.refuse(name, &error);
        }
        let entries =
            fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<fs::DirEntry>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.refuse(name, &error),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let file = entry.file_name().to_string_lossy().into_owned();
            let name = format!("{name}/{file}");
            let path = entry.path();
            if file.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                if leads_back(&path) {
                    let error = io::Error::other("the link leads to a folder that it is in");
                    self.refuse(&name, &error);
                    continue;
                }
                self.folder(&name, &path, depth + 1);
            } else if [".yaml", ".yml", ".json"]
                .iter()
                .any(|end| file.ends_with(end))
            {
                self.file(&name, &path, true);
            }
        }
    }

    fn file(&mut self, name: &str, path: &Path, from_folder: bool) {
        match fs::File::open(path).and_then(limited) {
            Ok(text) => self.add(name, text, from_folder),
            Err(error) => self.refuse(name, &error),
        }
    }

    fn add(&mut self, name: &str, text: String, from_folder: bool) {
        let source = self.sources.add(name, text);
        let file = name.rsplit('/').next().unwrap_or(name);
        self.texts.push(Text {
            source,
            from_folder,
            of_kustomize: KUSTOMIZATIONS.contains(&file),
        });
    }

    fn refuse(&mut self, name: &str, error: &io::Error) {
        self.problems.push(
            Diagnostic::error("load::unreadable", format!("cannot read `{name}`: {error}"))
                .label(self.layer.span, "named here"),
        );
    }
}

/// Reads text up to a byte beyond the limit, so that the parser can refuse it by name.
fn limited(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(MAX_TEXT as u64 + 1).read_to_string(&mut text)?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}
