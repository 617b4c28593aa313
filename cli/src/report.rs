//! `windtunnel report`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use reports::result::RunResult;

use crate::exit::{Exit, Fault};
use crate::outputs::Outputs;
use crate::{print, table};

/// Make a page or other files of results that `run -o json=FILE` wrote.
///
/// Several results of one scenario stand side by side, the first as the measure of the others.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  windtunnel report result.json --open
  windtunnel report before.json after.json -o html=both.html
  windtunnel report result.json -o markdown=-

Exit status: 0 everything held, 1 an expectation had failed or was inconclusive, or not all had been
run, 2 bad input.")]
pub(crate) struct Args {
    /// Results; `-` is standard input
    #[arg(required = true, value_name = "RESULT.json")]
    results: Vec<PathBuf>,
    #[command(flatten)]
    outputs: Outputs,
    /// Print nothing but problems
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Fault> {
    let mut groups: Vec<(String, Vec<(String, RunResult)>)> = Vec::new();
    for path in &args.results {
        let results = read(path)?;
        let is_alone = results.len() == 1;
        for result in results {
            let of = match is_alone {
                true => path.display().to_string(),
                false => format!("{}#{}", path.display(), result.label()),
            };
            match groups.iter_mut().find(|(name, _)| *name == result.scenario) {
                Some((_, list)) => list.push((of, result)),
                None => groups.push((result.scenario.clone(), vec![(of, result)])),
            }
        }
    }
    let groups: Vec<(String, Vec<RunResult>)> = groups
        .into_iter()
        .map(|(name, list)| (name, told_apart(list)))
        .collect();
    if groups.is_empty() {
        return Err(Fault::text("there is no result in what was given"));
    }
    args.outputs.check(groups.len()).map_err(Fault::Text)?;
    let written = args.outputs.write(&groups).map_err(Fault::Text)?;
    if !args.quiet && !args.outputs.takes_stdout() {
        let mut text = String::new();
        for (name, results) in &groups {
            text.push_str(&table::verdicts(name, results));
        }
        for path in written {
            text.push_str(&format!("{}\n", path.display()));
        }
        print::out(&text).map_err(Fault::Text)?;
    }
    let results = groups.iter().flat_map(|(_, results)| results);
    if results.clone().any(RunResult::is_partial) {
        return Ok(Exit::NotHeld);
    }
    Ok(reports::verdict::State::worst(results.map(RunResult::verdict)).into())
}

/// Results that would be called the same beside each other are called by the files that they are from.
pub(crate) fn told_apart(mut list: Vec<(String, RunResult)>) -> Vec<RunResult> {
    let labels: Vec<String> = list.iter().map(|(_, result)| result.label()).collect();
    for (at, (of, result)) in list.iter_mut().enumerate() {
        let mut others = labels.iter().enumerate();
        if others.any(|(other, label)| other != at && *label == labels[at]) {
            result.variant = Some(std::mem::take(of));
        }
    }
    list.into_iter().map(|(_, result)| result).collect()
}

/// The results of a file, which is no larger than 2 GiB.
///
/// # Errors
/// With its path in words.
pub(crate) fn read(path: &Path) -> Result<Vec<RunResult>, Fault> {
    const MOST: u64 = 2 << 30;
    let shown = path.display();
    let mut text = String::new();
    let taken = if path == Path::new("-") {
        io::stdin().lock().take(MOST + 1).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(MOST + 1).read_to_string(&mut text))
    };
    match taken {
        Ok(length) if length as u64 > MOST => Err(Fault::text(format!(
            "`{shown}` is larger than {} GiB",
            MOST >> 30
        ))),
        Ok(_) => {
            reports::json::read(&text).map_err(|error| Fault::text(format!("`{shown}`: {error}")))
        }
        Err(error) => Err(Fault::text(format!("cannot read `{shown}`: {error}"))),
    }
}
