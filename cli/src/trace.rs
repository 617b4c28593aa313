//! `windtunnel trace`.

mod asked;
mod draw;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use manifests::diagnostics::Diagnostics;
use manifests::origins::Origins;
use manifests::text::Sources;
use reports::trace::write;
use scenarios::assemble::assemble;
use scenarios::open::STDIN;
use scenarios::read::File;
use sim::Flight;

use crate::exit::{Exit, Fault};
use crate::prepare::{Wishes, prepare};
use crate::told::Told;
use crate::{check, prepare, print};

/// Follow one request through every proxy on its way, and say what would come of it if its server failed.
///
/// The manifests decide everything: who takes the connection, which route, which timeouts and retries, which endpoint. The network and
/// the services take no time, and the service answers 200, then fails in every way there is. What is drawn by chance (a split, an
/// injected fault, a pause with jitter) is drawn from the seed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  windtunnel trace -f manifests/ http://api.example.com/service-a
  windtunnel trace -f manifests/ --from shop/cart -X POST -d 4KiB -H 'x-user: u1' http://orders/pay
  windtunnel trace -f scenarios/tutorial --variant meshed http://api.example.com/service-a

Exit status: 0 the request is answered, 1 it reaches no server, 2 bad input.")]
pub(crate) struct Args {
    /// Whom it is for: `http://host[:port]/path`, `https://` toward a gateway
    #[arg(value_name = "URL", value_parser = asked::url)]
    url: asked::Url,
    /// Manifests, in layers as given (repeatable), or one scenario with the manifests that it names
    #[arg(short, long, required = true, value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// Who sends it: `gateway`, `gateway=NAME`, `NAMESPACE/WORKLOAD`, one of its pods as `NAMESPACE/WORKLOAD-0`, or `outside`, straight
    /// to a Service. A name that a cluster drew for a pod stands for its workload. Default: through the gateway that takes the host;
    /// without any gateway, from outside
    #[arg(long, value_name = "WHO")]
    from: Option<String>,
    /// Method [default: GET, with -d POST]
    #[arg(short = 'X', long = "request", value_name = "METHOD", value_parser = asked::method)]
    method: Option<String>,
    /// A header (repeatable)
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = asked::header)]
    header: Vec<asked::Header>,
    /// Size of the body
    #[arg(short, long, value_name = "SIZE", value_parser = asked::size)]
    data: Option<u64>,
    /// A variant of the scenario
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// What chances are drawn from [default: the scenario's, else 1]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Only the way of the request, not what would come of failures
    #[arg(long)]
    way: bool,
    /// How it is written
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Output,
    /// Print nothing of the manifests but errors
    #[arg(short, long)]
    quiet: bool,
}

/// How a trace is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Fault> {
    let mut told = Told::default();
    let flight = flight(args, &mut told);
    if args.quiet && !told.has_errors() {
        told = Told::default();
    }
    told.settle()?;
    let mut flight = flight?;
    if let Some(seed) = args.seed {
        let mut plan = (*flight.plan).clone();
        plan.seed = seed;
        flight.plan = plan.into();
    }
    let request = asked::request(args, &flight).map_err(Fault::Text)?;
    let trace = sim::trace::trace(&flight, &request);
    let consequences = match args.way {
        true => Vec::new(),
        false => sim::trace::consequences(&flight, &request),
    };
    let text = match args.output {
        Output::Json => write(&trace, &consequences),
        Output::Text => {
            let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            draw::draw(&trace, &consequences, !args.way, colour)
        }
    };
    print::out(&text).map_err(Fault::Text)?;
    Ok(match trace.is_answered() {
        true => Exit::Good,
        false => Exit::NotHeld,
    })
}

/// What the request flies over: a scenario's own manifests, or these.
fn flight(args: &Args, told: &mut Told) -> Result<Flight, Fault> {
    if args.filename.iter().any(|path| path == Path::new(STDIN)) {
        return Err(Fault::text(
            "manifests of a trace cannot come from standard input: name files or folders",
        ));
    }
    let scenarios: Vec<&PathBuf> = args
        .filename
        .iter()
        .filter(|path| check::is_scenario(path))
        .collect();
    match (scenarios.as_slice(), args.filename.as_slice()) {
        ([scenario], [_]) => {
            let wishes = Wishes {
                variants: args.variant.iter().cloned().collect(),
                ..Wishes::default()
            };
            let prepared = prepare(scenario, &wishes, told);
            let first = prepared.and_then(|it| it.flights.into_iter().next());
            first.map(|it| it.flight).ok_or(Fault::Told)
        }
        ([], paths) => match &args.variant {
            Some(_) => Err(Fault::text(
                "`--variant` is of a scenario, and -f names none",
            )),
            None => of_manifests(paths, told),
        },
        ([scenario, ..], _) => Err(Fault::Text(format!(
            "`{}` is a scenario, which brings its own manifests: name it alone",
            scenario.display()
        ))),
    }
}

/// A flight over manifests alone: the mesh and the gateways are those that they show.
fn of_manifests(paths: &[PathBuf], told: &mut Told) -> Result<Flight, Fault> {
    let layers: Result<Vec<String>, Fault> = paths
        .iter()
        .map(|path| {
            std::fs::metadata(path).map_err(|error| {
                Fault::Text(format!("cannot read `{}`: {error}", path.display()))
            })?;
            let text = path.to_str().map(crate::init::quoted);
            text.ok_or_else(|| Fault::Text(format!("`{}` is no text", path.display())))
        })
        .collect();
    let text = format!(
        "apiVersion: windtunnel.dev/v1alpha1\nkind: Scenario\nmetadata: {{name: trace}}\nspec:\n  duration: 1m\n  seed: 1\n  \
         manifests: [{}]\n",
        layers?.join(", ")
    );
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let mut origins = Origins::default();
    let source = sources.add("-f", text);
    let flown = File::parse(&sources, source, &mut problems).and_then(|file| {
        assemble(
            &file,
            None,
            &[],
            Path::new(""),
            &mut sources,
            &mut origins,
            &mut problems,
        )
    });
    told.add(&problems, &sources);
    let flown = flown.ok_or(Fault::Told)?;
    let origins = prepare::rows(&flown, &origins, &sources);
    Ok(Flight::new(flown.plan, flown.model, origins))
}
