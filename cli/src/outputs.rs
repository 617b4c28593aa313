//! What a result becomes, and where it goes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use reports::page::Page;
use reports::result::RunResult;
use reports::{json, junit, markdown};

use crate::{files, print};

/// The page's name when nobody gives one.
pub(crate) const DEFAULT_PAGE: &str = "windtunnel-report.html";

/// What a result becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Json,
    Html,
    Junit,
    Markdown,
}

/// `json=result.json`: one file that is wished for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Output {
    format: Format,
    /// `-` is standard output.
    path: PathBuf,
}

/// Where results are written.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Outputs {
    /// Write the results as json, html, junit or markdown to FILE (`-`: standard output); repeatable
    #[arg(short, long = "output", value_name = "FORMAT=FILE")]
    output: Vec<Output>,
    /// Write one page a scenario into this folder, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Open the page when it is written
    #[arg(long)]
    open: bool,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, path) = text.split_once('=').unwrap_or((text, ""));
        let format = match format {
            "json" => Format::Json,
            "html" => Format::Html,
            "junit" => Format::Junit,
            "markdown" | "md" => Format::Markdown,
            _ => {
                return Err(format!(
                    "`{format}` is not json, html, junit or markdown; write for example `json=result.json`"
                ));
            }
        };
        if path.is_empty() {
            return Err(format!(
                "a file is needed: `{text}=FILE`, or `{text}=-` for standard output"
            )
            .replace("==", "="));
        }
        Ok(Self {
            format,
            path: path.into(),
        })
    }
}

impl Output {
    fn is_stdout(&self) -> bool {
        self.path == Path::new("-")
    }
}

impl Outputs {
    /// Says before anything is flown that something could not be written. `scenarios` are as many as there will be.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn check(&self, scenarios: usize) -> Result<(), String> {
        let pages = self
            .output
            .iter()
            .filter(|each| each.format == Format::Html);
        if scenarios > 1 && pages.count() > 0 {
            return Err(
                "a page is of one scenario: of several, `--out DIR` writes a page each".into(),
            );
        }
        if self.open && !self.writes_page() {
            return Err("`--open` opens a page: add `-o html=FILE` or `--out DIR`".into());
        }
        if self.output.iter().filter(|each| each.is_stdout()).count() > 1 {
            return Err("only one output can go to standard output".into());
        }
        let mut paths: Vec<&Path> = Vec::new();
        for output in self.output.iter().filter(|each| !each.is_stdout()) {
            if paths.contains(&output.path.as_path()) {
                return Err(format!(
                    "`{}` is to be written twice",
                    output.path.display()
                ));
            }
            paths.push(&output.path);
        }
        if self.output.is_empty() && self.out.is_none() && scenarios == 1 {
            paths.push(Path::new(DEFAULT_PAGE));
        }
        paths.into_iter().try_for_each(files::check_place)?;
        match self.folder(scenarios) {
            Some(folder) if folder.exists() && !folder.is_dir() => Err(format!(
                "`{}` is to be a folder, and is a file",
                folder.display()
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn writes_page(&self) -> bool {
        self.output.is_empty()
            || self.out.is_some()
            || self
                .output
                .iter()
                .any(|each| each.format == Format::Html && !each.is_stdout())
    }

    /// The folder for a page each.
    fn folder(&self, scenarios: usize) -> Option<PathBuf> {
        let several = scenarios > 1 && self.output.is_empty();
        let default = several.then(|| PathBuf::from("windtunnel-report"));
        self.out.clone().or(default)
    }

    /// Whether anything is asked for.
    pub(crate) fn is_wished(&self) -> bool {
        !self.output.is_empty() || self.out.is_some() || self.open
    }

    /// Whether standard output is taken by a result.
    pub(crate) fn takes_stdout(&self) -> bool {
        self.output.iter().any(Output::is_stdout)
    }

    /// Writes everything, all or nothing; `groups` are the results of a scenario each, with its name. Returns the files.
    ///
    /// # Errors
    /// In words, when something cannot be written.
    pub(crate) fn write(
        &self,
        groups: &[(String, Vec<RunResult>)],
    ) -> Result<Vec<PathBuf>, String> {
        let all: Vec<RunResult> = match self.output.is_empty() {
            true => Vec::new(),
            false => groups.iter().flat_map(|(_, list)| list.clone()).collect(),
        };
        let mut written: Vec<(PathBuf, String)> = Vec::new();
        let mut printed = None;
        for output in &self.output {
            let text = render(output.format, &all);
            if output.is_stdout() {
                printed = Some(text);
            } else {
                written.push((output.path.clone(), text));
            }
        }
        if let Some(folder) = self.folder(groups.len()) {
            std::fs::create_dir_all(&folder)
                .map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
            for (name, results) in distinct(groups) {
                let path = folder.join(format!("{name}.html"));
                written.push((path, render(Format::Html, results)));
            }
        } else if let ([(_, results)], true) = (groups, self.output.is_empty()) {
            written.push((DEFAULT_PAGE.into(), render(Format::Html, results)));
        }
        files::write_all(&written)?;
        if let Some(text) = printed {
            print::out(&text)?;
        }
        let paths: Vec<PathBuf> = written.into_iter().map(|(path, _)| path).collect();
        if self.open {
            open_pages(&paths);
        }
        Ok(paths)
    }
}

/// Names for files: a name that comes again has a number. Those of results that were read back may be anything.
fn distinct(groups: &[(String, Vec<RunResult>)]) -> Vec<(String, &[RunResult])> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in groups {
        let name = file_name(name);
        let numbered = (2..).map(|nth| format!("{name}-{nth}"));
        let mut free = std::iter::once(name.clone()).chain(numbered);
        let free = free.find(|name| !names.contains(name));
        names.push(free.expect("numbers do not end"));
    }
    let lists = groups.iter().map(|(_, list)| list.as_slice());
    names.into_iter().zip(lists).collect()
}

/// The name where it is one for a file in this folder; else with `_` for what must not be in it.
fn file_name(name: &str) -> String {
    const LONGEST: usize = 100;
    let plain = |(at, c): (usize, char)| match c {
        c if c.is_ascii_alphanumeric() || c == '-' || c == '_' => c,
        '.' if at > 0 => c,
        _ => '_',
    };
    let name: String = name.chars().enumerate().map(plain).take(LONGEST).collect();
    match name.is_empty() {
        true => "_".to_owned(),
        false => name,
    }
}

fn render(format: Format, results: &[RunResult]) -> String {
    match format {
        Format::Json => json::write(results),
        Format::Html => Page::new(results.to_vec()).render(),
        Format::Junit => junit::write(results),
        Format::Markdown => markdown::write(results),
    }
}

/// Opens pages with what the desktop has for it; that it cannot is said, and no failure.
fn open_pages(paths: &[PathBuf]) {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let is_page = |path: &&PathBuf| path.extension().is_some_and(|end| end == "html");
    for path in paths.iter().filter(is_page) {
        let opened = Command::new(program)
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        if let Err(error) = opened {
            eprintln!(
                "warning: cannot open `{}` with {program}: {error}",
                path.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_a_format_and_a_file() {
        for (text, expected) in [
            ("json=a.json", Ok((Format::Json, "a.json"))),
            ("html=a=b.html", Ok((Format::Html, "a=b.html"))),
            ("markdown=-", Ok((Format::Markdown, "-"))),
            ("json", Err("`json=FILE`")),
            ("json=", Err("`json=FILE`")),
            ("pdf=a", Err("`pdf` is not")),
            ("", Err("`` is not")),
        ] {
            match (text.parse::<Output>(), expected) {
                (Ok(output), Ok((format, path))) => {
                    assert_eq!(
                        (output.format, output.path.as_path()),
                        (format, Path::new(path))
                    );
                }
                (Err(problem), Err(part)) => assert!(problem.contains(part), "{problem}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn scenarios_of_one_name_do_not_overwrite_each_other() {
        let groups = ["a", "b", "a", "a"].map(|name| (name.to_owned(), Vec::new()));
        let names: Vec<String> = distinct(&groups)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["a", "b", "a-2", "a-3"]);
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for (name, expected) in [
            ("retry-storm", "retry-storm"),
            ("v1.2", "v1.2"),
            ("../../etc/x", "_._.._etc_x"),
            (".hidden", "_hidden"),
            ("", "_"),
            ("a\u{0}\\b", "a__b"),
        ] {
            assert_eq!(file_name(name), expected);
        }
        assert_eq!(file_name(&"x".repeat(1_000)).len(), 100);
    }
}
