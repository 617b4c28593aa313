//! `windtunnel check`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use manifests::diagnostics::Diagnostics;
use manifests::load::{self, Layer};
use manifests::model::{Input, Model};
use manifests::origins::Origins;
use manifests::text::{self, Sources};
use scenarios::open::{FILE_NAME, STDIN};
use scenarios::read;

use crate::exit::{Exit, Fault};
use crate::prepare::{Wishes, prepare};
use crate::print::{self, counted};
use crate::told::{Depth, Told};

/// Read manifests and scenarios and say everything that is to be said about them.
///
/// Files may be mixed: what says `kind: Scenario` is checked in every variant, with the manifests it names; everything else is taken for
/// manifests, in layers as given. A folder with a scenario.yaml stands for that scenario, since its manifests belong to it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  windtunnel check -f manifests/
  windtunnel check scenarios/ --lines
  kubectl get all,vs,dr -o yaml | windtunnel check -f -

Exit status: 0 nothing is refused (warnings are not), 2 there are errors.")]
pub(crate) struct Args {
    /// Files and folders; `-` is standard input
    #[arg(value_name = "PATH", required_unless_present = "filename")]
    paths: Vec<PathBuf>,
    /// The same, as kubectl has it (repeatable)
    #[arg(short, long, value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// One line for each, as `file:line:column: error[code]: message`, on standard output
    #[arg(long)]
    lines: bool,
    /// Print nothing but errors and warnings
    #[arg(short, long)]
    quiet: bool,
}

/// What was named, sorted.
#[derive(Default)]
struct Named {
    scenarios: Vec<PathBuf>,
    layers: Vec<Layer>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Fault> {
    let mut named = Named::default();
    for path in args.filename.iter().chain(&args.paths) {
        named.add(path)?;
    }
    let depth = match args.quiet {
        true => Depth::Grave,
        false => Depth::All,
    };
    let mut told = Told::default();
    let mut summary = Vec::new();
    for path in &named.scenarios {
        let scenario = prepare(path, &Wishes::default(), depth, &mut told);
        if let Some(scenario) = scenario {
            let flights = counted(scenario.flights.len(), "variant", "variants");
            summary.push(format!("scenario {}: {flights}", scenario.name));
        }
    }
    if !named.layers.is_empty() {
        summary.push(manifests(&named.layers, depth, &mut told));
    }
    if args.lines {
        let lines: String = told.lines().map(|line| format!("{line}\n")).collect();
        print::out(&lines).map_err(Fault::Text)?;
    } else {
        told.show();
    }
    if !args.quiet && !args.lines {
        let totals = match told.totals() {
            totals if totals.is_empty() => "nothing to say".to_owned(),
            totals => totals,
        };
        summary.push(totals);
        print::out(&(summary.join("\n") + "\n")).map_err(Fault::Text)?;
    }
    Ok(match told.has_errors() {
        true => Exit::BadInput,
        false => Exit::Good,
    })
}

/// Reads manifests alone, and says in a line what is in them.
fn manifests(layers: &[Layer], depth: Depth, told: &mut Told) -> String {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let mut origins = Origins::default();
    let objects = load::load(layers, &mut sources, &mut problems);
    let count = objects.len();
    let input = Input {
        objects,
        ..Input::default()
    };
    let model = Model::build(input, &mut origins, &mut problems);
    told.add(&problems, &sources, depth);
    let objects = counted(count, "object", "objects");
    model.map_or_else(
        || format!("manifests: {objects}"),
        |model| format!("manifests: {objects}, {}", contents(&model)),
    )
}

/// `3 workloads (2 with a sidecar of linkerd@2.19), 2 Services, 1 gateway (kong)`.
fn contents(model: &Model) -> String {
    let workloads = model.workloads().len();
    let meshed = model
        .workloads()
        .iter()
        .filter(|each| each.sidecar.is_some());
    let sidecars = match (meshed.count(), model.mesh()) {
        (0, _) | (_, None) => String::new(),
        (count, Some(mesh)) => format!(" ({count} with a sidecar of {mesh})"),
    };
    let dialects: BTreeSet<&str> = model.gateways().iter().map(|each| each.dialect).collect();
    let dialects: Vec<&str> = dialects.into_iter().collect();
    let gateways = match model.gateways().len() {
        0 => "no gateway".to_owned(),
        count => format!(
            "{} ({})",
            counted(count, "gateway", "gateways"),
            dialects.join(", ")
        ),
    };
    format!(
        "{}{sidecars}, {}, {gateways}",
        counted(workloads, "workload", "workloads"),
        counted(model.services().len(), "Service", "Services")
    )
}

impl Named {
    fn add(&mut self, path: &Path) -> Result<(), Fault> {
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
