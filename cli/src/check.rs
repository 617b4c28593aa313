//! `windtunnel check`.

mod against;
mod named;
mod outputs;

use std::collections::BTreeSet;
use std::path::PathBuf;

use manifests::diagnostics::Diagnostics;
use manifests::findings::Deny;
use manifests::lints::{self, Usage};
use manifests::load::{self, Layer};
use manifests::model::{Input, Model};
use manifests::origins::Origins;
use manifests::text::Sources;

use crate::exit::{Exit, Fault};
use crate::prepare::{Wishes, prepare};
use crate::print::{self, counted};
use crate::told::{Depth, Told};

use named::Named;
pub(crate) use named::is_scenario;
use outputs::Output;

/// Read manifests and scenarios and say everything that is to be said about them.
///
/// Files may be mixed: what says `kind: Scenario` is checked in every variant, with the manifests it names; everything else is taken for
/// manifests, in layers as given. A folder with a scenario.yaml stands for that scenario, since its manifests belong to it. Besides what
/// is wrong, it tells what is allowed and most likely not meant, as every proxy would act on it; docs/lints.md describes each.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  windtunnel check -f manifests/
  windtunnel check scenarios/ --lines
  windtunnel check -f manifests/ --deny warnings -o sarif=check.sarif -o markdown=summary.md
  kubectl get all,vs,dr -o yaml | windtunnel check -f -
  windtunnel check -f manifests/ --against config_dump.json --deny against::

A comment `# windtunnel: allow(CODE) reason` on a field or above it silences a code there, and so does the
annotation `windtunnel.dev/allow: CODE reason` of an object.

Exit status: 0 nothing is refused (warnings are not), 1 something that --deny names was found, 2 there are
errors.")]
pub(crate) struct Args {
    /// Files and folders; `-` is standard input
    #[arg(value_name = "PATH", required_unless_present = "filename")]
    paths: Vec<PathBuf>,
    /// The same, as kubectl has it (repeatable)
    #[arg(short, long, value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// Refuse `warnings`, `advice`, `notes`, a CODE or all of an area (`retry::`), each with what is graver
    /// (repeatable)
    #[arg(long, value_name = "LEVEL|CODE", value_parser = deny)]
    deny: Vec<Deny>,
    /// Write text, json, markdown or sarif to FILE, or to standard output without one (repeatable)
    #[arg(
        short,
        long = "output",
        value_name = "FORMAT[=FILE]",
        conflicts_with = "lines"
    )]
    output: Vec<Output>,
    #[command(flatten)]
    against: against::Against,
    /// One line for each, as `file:line:column: error[code]: message`, on standard output
    #[arg(long)]
    lines: bool,
    /// Print nothing but errors and warnings
    #[arg(short, long)]
    quiet: bool,
}

fn deny(text: &str) -> Result<Deny, String> {
    Deny::parse(text).ok_or_else(|| {
        format!("`{text}` is not warnings, advice, notes, a code such as `retry::multiplied` or an area such as `retry::`")
    })
}

pub(crate) fn run(args: &Args) -> Result<Exit, Fault> {
    outputs::check(&args.output).map_err(Fault::Text)?;
    let mut named = Named::default();
    for path in args.filename.iter().chain(&args.paths) {
        named.add(path)?;
    }
    let dump = args.against.open()?;
    if dump.is_some() && !named.scenarios.is_empty() {
        return Err(Fault::text(
            "a dump is compared with manifests: name those of the scenario, not the scenario",
        ));
    }
    let mut told = Told::new(match args.quiet {
        true => Depth::Grave,
        false => Depth::All,
    });
    let mut summary = Vec::new();
    let wishes = Wishes {
        lints: true,
        ..Wishes::default()
    };
    for path in &named.scenarios {
        if let Some(scenario) = prepare(path, &wishes, &mut told) {
            let flights = counted(scenario.flights.len(), "variant", "variants");
            summary.push(format!("scenario {}: {flights}", scenario.name));
        }
    }
    if !named.layers.is_empty() {
        summary.extend(manifests(&named.layers, dump.as_ref(), &mut told));
    }
    // where something is refused, lints have not seen everything
    if !told.has_errors() {
        told.close();
    }
    let denied = told.findings().denied(&args.deny).len();
    warn_of_slips(&args.deny, &told);
    if args.lines {
        print::out(&told.lines()).map_err(Fault::Text)?;
    } else if !args.output.is_empty() {
        outputs::write(&args.output, &told, &args.deny).map_err(Fault::Text)?;
    } else {
        told.show();
    }
    if !args.quiet && !args.lines && !outputs::take_stdout(&args.output) {
        let mut totals = told.totals();
        if totals.is_empty() {
            totals.push_str("nothing to say");
        }
        if denied > 0 {
            totals.push_str(&format!("; {denied} denied"));
        }
        summary.push(totals);
        print::out(&(summary.join("\n") + "\n")).map_err(Fault::Text)?;
    }
    Ok(match (told.has_errors(), denied) {
        (true, _) => Exit::BadInput,
        (false, 0) => Exit::Good,
        (false, _) => Exit::NotHeld,
    })
}

/// Warns of codes that nothing was found for and that are nearly those of lints: a gate that never closes is worse than none.
fn warn_of_slips(denied: &[Deny], told: &Told) {
    for wish in denied {
        let Deny::Code(code) = wish else {
            continue;
        };
        let is_found = !told
            .findings()
            .denied(std::slice::from_ref(wish))
            .is_empty();
        if let Some(near) = lints::misspelt(code).filter(|_| !is_found) {
            eprintln!("warning: no lint is called `{code}`, which --deny names: {near}");
        }
    }
}

/// Reads manifests alone, and says in a line what is in them; in another, what was asked of a dump.
fn manifests(layers: &[Layer], dump: Option<&against::Dump>, told: &mut Told) -> Vec<String> {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let mut origins = Origins::default();
    let objects = load::load(layers, &mut sources, &mut problems);
    let count = objects.len();
    let input = Input {
        objects,
        seen: dump.and_then(against::Dump::seen),
        ..Input::default()
    };
    let model = Model::build(input, &mut origins, &mut problems);
    let is_missing = |code: &&str| *code == "load::unreadable" || code.starts_with("yaml::");
    let is_whole = !problems.codes().iter().any(is_missing);
    if let Some(model) = model.as_ref().filter(|_| is_whole) {
        lints::run(model, &origins, &Usage::default(), &mut problems);
    }
    // what is refused would show as differences
    let compared = model.as_ref().filter(|_| !problems.has_errors()).zip(dump);
    let asked = compared
        .and_then(|(model, dump)| dump.tell(model, &origins, &sources, &mut problems, told));
    told.add(&problems, &sources);
    let objects = counted(count, "object", "objects");
    let read = model.map_or_else(
        || format!("manifests: {objects}"),
        |model| format!("manifests: {objects}, {}", contents(&model)),
    );
    [Some(read), asked].into_iter().flatten().collect()
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
