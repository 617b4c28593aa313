//! What findings become, and where they go.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use manifests::findings::{Deny, to_json, to_markdown, to_sarif};

use crate::told::Told;
use crate::{files, print};

/// What findings become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Text,
    Json,
    Markdown,
    Sarif,
}

/// `sarif=check.sarif`: one file that is wished for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Output {
    format: Format,
    /// None: standard output.
    path: Option<PathBuf>,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, path) = match text.split_once('=') {
            Some((format, path)) => (format, Some(path)),
            None => (text, None),
        };
        let format = match format {
            "text" => Format::Text,
            "json" => Format::Json,
            "markdown" | "md" => Format::Markdown,
            "sarif" => Format::Sarif,
            _ => return Err(format!("`{format}` is not text, json, markdown or sarif")),
        };
        if path == Some("") {
            return Err(format!("a file is needed after `{text}`"));
        }
        let path = path.filter(|path| *path != "-").map(PathBuf::from);
        Ok(Self { format, path })
    }
}

/// Whether standard output is taken.
pub(super) fn take_stdout(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| output.path.is_none())
}

/// Says before anything is read that something could not be written.
///
/// # Errors
/// In words.
pub(super) fn check(outputs: &[Output]) -> Result<(), String> {
    let mut paths: Vec<&Path> = Vec::new();
    for path in outputs.iter().filter_map(|output| output.path.as_deref()) {
        if paths.contains(&path) {
            return Err(format!("`{}` is to be written twice", path.display()));
        }
        paths.push(path);
    }
    if outputs.len() > paths.len() + 1 {
        return Err("only one output can go to standard output".into());
    }
    paths.into_iter().try_for_each(files::check_place)
}

/// Writes everything, all files or none.
///
/// # Errors
/// In words, when something cannot be written.
pub(super) fn write(outputs: &[Output], told: &Told, deny: &[Deny]) -> Result<(), String> {
    let mut written = Vec::new();
    let mut printed = None;
    for output in outputs {
        let text = render(output.format, told, deny);
        match &output.path {
            Some(path) => written.push((path.clone(), text)),
            None => printed = Some(text),
        }
    }
    files::write_all(&written)?;
    printed.map_or(Ok(()), |text| print::out(&text))
}

fn render(format: Format, told: &Told, deny: &[Deny]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match format {
        Format::Text => told.text(),
        Format::Json => to_json(told.findings(), deny, version),
        Format::Markdown => to_markdown(told.findings(), deny),
        Format::Sarif => to_sarif(told.findings(), deny, version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_name_a_format_and_perhaps_a_file() {
        for (text, expected) in [
            ("sarif=a.sarif", Ok((Format::Sarif, Some("a.sarif")))),
            ("json", Ok((Format::Json, None))),
            ("markdown=-", Ok((Format::Markdown, None))),
            ("text", Ok((Format::Text, None))),
            ("json=", Err("a file is needed")),
            ("html=a", Err("`html` is not")),
            ("", Err("`` is not")),
        ] {
            match (text.parse::<Output>(), expected) {
                (Ok(output), Ok((format, path))) => {
                    assert_eq!(
                        (output.format, output.path.as_deref()),
                        (format, path.map(Path::new))
                    );
                }
                (Err(problem), Err(part)) => assert!(problem.contains(part), "{problem}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn one_output_may_be_printed_and_a_file_is_written_once() {
        let outputs = |texts: &[&str]| -> Vec<Output> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        assert!(check(&outputs(&["json", "sarif=a", "markdown=b"])).is_ok());
        assert!(check(&outputs(&["json", "sarif"])).is_err());
        assert!(check(&outputs(&["json=a", "sarif=a"])).is_err());
        assert!(check(&outputs(&["json=no/such/folder/a"])).is_err());
    }
}
