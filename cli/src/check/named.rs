//! What is named on the command line: scenarios, and manifests in layers.

use std::fs;
use std::path::{Path, PathBuf};

use manifests::diagnostics::Diagnostics;
use manifests::load::Layer;
use manifests::text::{self, Sources};
use scenarios::open::{FILE_NAME, STDIN};
use scenarios::read;

use crate::exit::Fault;

/// What was named, sorted.
#[derive(Default)]
pub(super) struct Named {
    pub(super) scenarios: Vec<PathBuf>,
    pub(super) layers: Vec<Layer>,
}

impl Named {
    pub(super) fn add(&mut self, path: &Path) -> Result<(), Fault> {
        if path == Path::new(STDIN) {
            // Standard input can be read once, and its kind shows only then.
            let text = std::io::read_to_string(std::io::stdin())
                .map_err(|error| Fault::text(format!("cannot read standard input: {error}")))?;
            if holds_scenario(&text) {
                return Err(Fault::text(
                    "standard input is a scenario, whose own paths have no place: name its file",
                ));
            }
            self.layers.push(Layer::text("<stdin>", text));
        } else if path.is_dir() {
            self.folder(path);
        } else if is_scenario_file(path) {
            self.scenarios.push(path.to_owned());
        } else {
            let layer = Layer::path(path.display().to_string(), path);
            self.layers.push(layer);
        }
        Ok(())
    }

    /// A folder without any scenario is one layer. In others each scenario's folder is that scenario's, and what lies elsewhere is a
    /// layer each.
    fn folder(&mut self, path: &Path) {
        let mark = self.scenarios.len();
        let mut rest = Vec::new();
        self.walk(path, &mut rest, 0);
        if self.scenarios.len() == mark {
            rest = vec![path.to_owned()];
        }
        let layers = rest
            .iter()
            .map(|path| Layer::path(path.display().to_string(), path));
        self.layers.extend(layers);
    }

    fn walk(&mut self, folder: &Path, rest: &mut Vec<PathBuf>, depth: usize) {
        /// As deep as manifests are read.
        const DEEPEST: usize = 32;
        let own = folder.join(FILE_NAME);
        if is_scenario_file(&own) {
            self.scenarios.push(own);
            return;
        }
        let Ok(entries) = fs::read_dir(folder) else {
            rest.push(folder.to_owned());
            return;
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() && depth < DEEPEST {
                self.walk(&path, rest, depth + 1);
            } else if ["yaml", "yml", "json"]
                .iter()
                .any(|end| path.extension().is_some_and(|own| own == *end))
            {
                match is_scenario_file(&path) {
                    true => self.scenarios.push(path),
                    false => rest.push(path),
                }
            }
        }
    }
}

/// Whether a path names a scenario: its file, or the folder that it stands in.
pub(crate) fn is_scenario(path: &Path) -> bool {
    is_scenario_file(path) || is_scenario_file(&path.join(FILE_NAME))
}

/// Pipes are taken for manifests: they can be read once.
fn is_scenario_file(path: &Path) -> bool {
    path.is_file() && fs::read_to_string(path).is_ok_and(|text| holds_scenario(&text))
}

/// Whether the first document says that it is a scenario; what cannot be parsed is left to whoever reads it in earnest.
fn holds_scenario(text: &str) -> bool {
    let mut sources = Sources::default();
    let source = sources.add("", text);
    let documents = text::parse(&sources, source, &mut Diagnostics::default());
    documents.first().is_some_and(read::is_scenario)
}
