//! From a path to a scenario file: the file itself, or a folder that holds one.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use manifests::diagnostics::{Diagnostic, Diagnostics};
use manifests::text::{MAX_TEXT, SourceId, Sources};

use crate::read::File;

/// What a folder's scenario is called.
pub const FILE_NAME: &str = "scenario.yaml";
/// What stands for standard input where a path is expected.
pub const STDIN: &str = "-";

/// A scenario file and where it lies.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What was read.
    pub file: File,
    /// Its text.
    pub source: SourceId,
    /// What its own paths are relative to; empty for the working directory.
    pub folder: PathBuf,
}

/// Opens a scenario file, a folder with a `scenario.yaml`, or standard input as `-`. `None` when it is no scenario, which was
/// reported.
#[must_use]
pub fn open(path: &Path, sources: &mut Sources, problems: &mut Diagnostics) -> Option<Opened> {
    if path == Path::new(STDIN) {
        let read = limited(io::stdin().lock());
        return parse("<stdin>", PathBuf::new(), read, sources, problems);
    }
    let file = if path.is_dir() {
        path.join(FILE_NAME)
    } else {
        path.to_owned()
    };
    if path.is_dir() && !file.exists() {
        let message = format!("`{}` has no {FILE_NAME}", path.display());
        problems.push(
            Diagnostic::error("scenario::not-found", message)
                .help("name a scenario file, or a folder that holds one of that name"),
        );
        return None;
    }
    let folder = file.parent().unwrap_or_else(|| Path::new("")).to_owned();
    let name = file.display().to_string();
    let read = fs::File::open(&file).and_then(limited);
    parse(&name, folder, read, sources, problems)
}

fn parse(
    name: &str,
    folder: PathBuf,
    read: io::Result<String>,
    sources: &mut Sources,
    problems: &mut Diagnostics,
) -> Option<Opened> {
    let text = match read {
        Ok(text) => text,
        Err(error) => {
            let message = format!("cannot read `{name}`: {error}");
            problems.push(Diagnostic::error("scenario::unreadable", message));
            return None;
        }
    };
    let source = sources.add(name, text);
    let file = File::parse(sources, source, problems)?;
    Some(Opened {
        file,
        source,
        folder,
    })
}

/// Reads a byte beyond the limit, so that the parser can refuse the text by name.
fn limited(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(MAX_TEXT as u64 + 1).read_to_string(&mut text)?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(path: &Path) -> Vec<&'static str> {
        let mut problems = Diagnostics::default();
        let opened = open(path, &mut Sources::default(), &mut problems);
        assert_eq!(opened.is_none(), problems.has_errors(), "{path:?}");
        problems.codes().into_iter().collect()
    }

    #[test]
    fn a_folder_stands_for_its_scenario() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut problems = Diagnostics::default();
        let mut open = |path: &Path| {
            let mut sources = Sources::default();
            let opened = open(path, &mut sources, &mut problems).expect("a scenario");
            let source = sources.get(opened.source).expect("it was added");
            (opened.folder, source.name().to_owned())
        };
        let folder = root.join("mm1");
        assert_eq!(open(&folder), open(&folder.join(FILE_NAME)));
        assert!(problems.is_empty());
    }

    #[test]
    fn what_is_no_scenario_is_refused_with_its_path() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (path, expected) in [
            ("src", "scenario::not-found"),
            ("no/such/file.yaml", "scenario::unreadable"),
            ("retry-storm/app/app.yaml", "scenario::kind"),
        ] {
            assert!(codes(&root.join(path)).contains(&expected), "{path}");
        }
    }
}
