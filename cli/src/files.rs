//! Files that are there whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;

/// Writes every file, or none: each goes to a file beside it first, and takes its place when all are written. What is no regular file
/// (`/dev/stdout`, a pipe) is written straight away.
///
/// # Errors
/// With the path in words, when a file cannot be written.
pub(crate) fn write_all(files: &[(PathBuf, String)]) -> Result<(), String> {
    let mut waiting: Vec<(PathBuf, &Path)> = Vec::new();
    let outcome = files.iter().try_for_each(|(path, text)| {
        if path.exists() && !path.is_file() {
            return fs::OpenOptions::new()
                .write(true)
                .open(path)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(|error| cannot(path, &error));
        }
        let aside = beside(path).ok_or_else(|| format!("`{}` is no file name", path.display()))?;
        waiting.push((aside.clone(), path));
        write_new(&aside, text).map_err(|error| cannot(path, &error))
    });
    let outcome = outcome.and_then(|()| {
        waiting.iter().try_for_each(|(aside, path)| {
            // A link stays one: what it leads to is replaced.
            let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
            fs::rename(aside, target).map_err(|error| cannot(path, &error))
        })
    });
    if outcome.is_err() {
        for (aside, _) in &waiting {
            // Those that took their place are gone already.
            let _ = fs::remove_file(aside);
        }
    }
    outcome
}

/// Says beforehand that a file could not be written, so that no run is lost for it.
///
/// # Errors
/// When the path is a folder, or its folder is not there.
pub(crate) fn check_place(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Err(format!("cannot write `{}`: it is a folder", path.display()));
    }
    let folder = folder_of(path);
    if folder.is_dir() {
        Ok(())
    } else {
        Err(format!(
            "cannot write `{}`: there is no folder `{}`",
            path.display(),
            folder.display()
        ))
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

fn beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy();
    // The folder of what a link leads to, so that the rename stays on one file system.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    Some(folder_of(&target).join(format!(".{name}.{}.tmp", process::id())))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.flush()
}

fn cannot(path: &Path, error: &io::Error) -> String {
    format!("cannot write `{}`: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn of_several_files_all_are_written_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a"), "old").unwrap();
        let refused = [
            (at("a"), "new".to_owned()),
            (at("missing/b"), "new".to_owned()),
        ];
        let problem = write_all(&refused).unwrap_err();
        assert!(problem.contains("missing/b"), "{problem}");
        assert_eq!(fs::read_to_string(at("a")).unwrap(), "old");
        assert_eq!(names(folder.path()), ["a"]);
        write_all(&[(at("a"), "new".into()), (at("b"), "too".into())]).unwrap();
        assert_eq!(fs::read_to_string(at("a")).unwrap(), "new");
        assert_eq!(names(folder.path()), ["a", "b"]);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_known_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check_place(folder.path()).is_err());
        assert!(check_place(&folder.path().join("no/such/file")).is_err());
        assert!(check_place(&folder.path().join("file")).is_ok());
        assert!(check_place(Path::new("file")).is_ok());
    }
}
