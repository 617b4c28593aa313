//! `windtunnel init`.

mod found;
mod write;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use manifests::diagnostics::Diagnostics;
use manifests::load::{self, Layer};
use manifests::model::{Input, Model};
use manifests::origins::Origins;
use manifests::text::Sources;
use scenarios::assemble::assemble;
use scenarios::open::STDIN;
use scenarios::read::File;

use crate::exit::{Exit, Fault};
use crate::told::Told;
use crate::{files, print};
use found::Found;

/// Write a first scenario for manifests: every workload, and a load for each way in.
///
/// What manifests do not say is guessed and marked `# assumed`: service times, concurrency, rates. Replace what you know; `run
/// --assumptions` says which of the rest matters.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  windtunnel init -f manifests/ -o scenario.yaml
  windtunnel init -f base/ -f overlays/production/ --name checkout")]
pub(crate) struct Args {
    /// Files and folders: layers, the later wins (repeatable). Not `-`: the scenario names them by path, so what a command prints has
    /// to go to a file first
    #[arg(short, long, required = true, value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// Where to write; paths in the scenario are relative to it. Default: standard output, relative to the working directory
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite the file if it is there
    #[arg(long, requires = "output")]
    force: bool,
    /// The scenario's name
    #[arg(long, default_value = "first", value_parser = name)]
    name: String,
}

pub(crate) use write::quoted;

fn name(text: &str) -> Result<String, String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let begins = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    if begins && text.len() <= 63 && text.bytes().all(good) {
        Ok(text.to_owned())
    } else {
        Err("letters, digits, `-`, `_` and `.`, at most 63".into())
    }
}

pub(crate) fn run(args: &Args) -> Result<Exit, Fault> {
    if args.filename.iter().any(|path| path == Path::new(STDIN)) {
        return Err(Fault::text(
            "a scenario names its manifests by path, so they cannot come from standard input: write them to a file first, as in `kubectl get all -o yaml > manifests.yaml`",
        ));
    }
    if let Some(path) = &args.output {
        files::check_place(path).map_err(Fault::Text)?;
        if path.exists() && !args.force {
            let text = format!(
                "`{}` is there already; add --force to overwrite it",
                path.display()
            );
            return Err(Fault::Text(text));
        }
    }
    let folder = args
        .output
        .as_deref()
        .and_then(Path::parent)
        .unwrap_or_else(|| Path::new(""));
    let paths: Vec<String> = args
        .filename
        .iter()
        .map(|path| relative(path, folder))
        .collect::<Result<_, String>>()
        .map_err(Fault::Text)?;
    let found = read(&args.filename)?;
    if found.workloads.is_empty() {
        return Err(Fault::text(
            "the manifests have no workload: there is nothing to fly",
        ));
    }
    let text = write::scenario(&args.name, &paths, &found);
    check(&text, folder)?;
    match &args.output {
        Some(path) => {
            files::write_all(&[(path.clone(), text)]).map_err(Fault::Text)?;
            eprintln!("{}", path.display());
        }
        None => print::out(&text).map_err(Fault::Text)?,
    }
    Ok(Exit::Good)
}

fn read(paths: &[PathBuf]) -> Result<Found, Fault> {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let layers: Vec<Layer> = paths
        .iter()
        .map(|path| Layer::path(path.display().to_string(), path))
        .collect();
    let objects = load::load(&layers, &mut sources, &mut problems);
    let input = Input {
        objects,
        ..Input::default()
    };
    let model = Model::build(input, &mut Origins::default(), &mut problems);
    let mut told = Told::default();
    told.add(&problems, &sources);
    told.settle()?;
    model.map(|model| Found::of(&model)).ok_or(Fault::Told)
}

/// What is written must fly; that it does not would be this program's own mistake, or the manifests changed meanwhile.
fn check(text: &str, folder: &Path) -> Result<(), Fault> {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let source = sources.add("the new scenario", text);
    let file = File::parse(&sources, source, &mut problems);
    let mut origins = Origins::default();
    let flown = file.and_then(|file| {
        assemble(
            &file,
            None,
            &[],
            folder,
            &mut sources,
            &mut origins,
            &mut problems,
        )
    });
    if flown.is_some() {
        return Ok(());
    }
    let mut told = Told::default();
    told.add(&problems, &sources);
    told.settle()?;
    Err(Fault::text("the new scenario cannot be flown"))
}

/// A path as a file in `folder` would write it.
fn relative(path: &Path, folder: &Path) -> Result<String, String> {
    let plain = |path: &Path| {
        let parts: Option<Vec<PathBuf>> = path
            .components()
            .filter(|part| *part != Component::CurDir)
            .map(|part| match part {
                Component::Normal(name) => Some(PathBuf::from(name)),
                Component::CurDir
                | Component::ParentDir
                | Component::RootDir
                | Component::Prefix(_) => None,
            })
            .collect();
        parts
    };
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| format!("`{}` is no text, and a scenario is", path.display()))
    };
    if path.is_absolute() {
        return text(path);
    }
    let (Some(mut to), Some(mut from)) = (plain(path), plain(folder)) else {
        let whole = std::fs::canonicalize(path)
            .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        return match folder.as_os_str().is_empty() {
            true => text(path),
            false => text(&whole),
        };
    };
    while !to.is_empty() && to.len() > 1 && to.first() == from.first() {
        to.remove(0);
        from.remove(0);
    }
    let up = std::iter::repeat_n(PathBuf::from(".."), from.len());
    text(&up.chain(to).collect::<PathBuf>())
}

/// The hosts of the addresses in a text: what stands behind `://` or `@`, or before `:` and a port.
fn hosts(text: &str) -> BTreeSet<String> {
    let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let mut all = BTreeSet::new();
    let mut rest = text;
    while let Some(start) = rest.find(of_name) {
        let (before, word) = rest.split_at(start);
        let end = word.find(|c| !of_name(c)).unwrap_or(word.len());
        let (word, tail) = word.split_at(end);
        let port = tail.strip_prefix(':').and_then(|port| port.chars().next());
        let has_port = port.is_some_and(|c| c.is_ascii_digit());
        if before.ends_with("://") || before.ends_with('@') || has_port {
            all.insert(word.to_owned());
        }
        rest = tail;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_from_the_scenario_to_the_manifests() {
        for (path, folder, expected) in [
            ("manifests", "", "manifests"),
            ("./manifests/", "", "manifests"),
            ("manifests", "out", "../manifests"),
            ("a/manifests", "a", "manifests"),
            ("a/b/c", "a/d/e", "../../b/c"),
            ("a", "a", "../a"),
            ("/etc/manifests", "out", "/etc/manifests"),
        ] {
            let found = relative(Path::new(path), Path::new(folder));
            assert_eq!(found.as_deref(), Ok(expected), "{path} from {folder}");
        }
    }

    #[test]
    fn a_host_stands_in_an_address() {
        for (text, expected) in [
            ("http://orders:8080/x", &["orders"][..]),
            ("orders", &[]),
            ("orders.shop.svc:80,stock:81", &["orders.shop.svc", "stock"]),
            ("postgres://me@db/x", &["db", "me"]),
            ("debug level: 3", &[]),
        ] {
            let found: Vec<String> = hosts(text).into_iter().collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
