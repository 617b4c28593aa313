//! `windtunnel live`.

use std::path::PathBuf;

use live::Proxies;

use crate::exit::{Exit, Fault};
use crate::fly::World;
use crate::outputs::Outputs;
use crate::run::{self, Choice};

/// Fly scenarios for real on this machine: real proxies, real servers, real load, in real time.
///
/// What `run` flies on virtual time is flown on loopback here, one flight after the other, each as long as its scenario says. The result is of
/// the same kind, so that `diff` lays the two beside each other. It differs from time to time, as the world does.
///
/// With `--proxy envoy` real Envoys stand in the place of our proxies, on configuration that says the same.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  windtunnel live scenario.yaml --variant budget -o json=live.json -o html=live.html
  windtunnel run scenario.yaml --variant budget -o json=run.json && windtunnel diff run.json live.json
  windtunnel live scenario.yaml --variant budget --proxy envoy -o json=envoy.json

Exit status: as of `windtunnel run`. Faults and changes that cannot be brought about on loopback are bad input. A result says that it
is not valid when the machine was too busy.")]
pub(crate) struct Args {
    /// Scenario files, or folders that hold a scenario.yaml; `-` is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Only this variant (repeatable); default: all of them
    #[arg(long, value_name = "NAME")]
    variant: Vec<String>,
    /// The first seed; default: the scenario's. What is left to chance in clients and services is drawn from it
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Fly so many times, on one seed after the other from the first, and pool the results
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    replications: u64,
    /// Set a value of the scenario, as in `load.shoppers.open.rate=400/s` (repeatable)
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Whose proxies stand before the pods
    #[arg(long, value_enum, value_name = "WHOSE", default_value_t = Whose::Windtunnel)]
    proxy: Whose,
    /// The binary of Envoy; default: the one that $ENVOY names, or `envoy` on the path
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    #[command(flatten)]
    outputs: Outputs,
    /// Print nothing but problems, expectations that did not hold among them, on standard error
    #[arg(short, long)]
    quiet: bool,
    /// Ask each expectation of every seed, not only of all together
    #[arg(long)]
    strict: bool,
}

/// Whose proxies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Whose {
    /// Our own, on threads of this process
    Windtunnel,
    /// Real Envoys, a process each
    Envoy,
}

pub(crate) fn run(args: Args) -> Result<Exit, Fault> {
    let proxies = match args.proxy {
        Whose::Envoy => {
            let found = live::find_envoy(args.envoy.as_deref());
            Proxies::Envoy(found.map_err(|error| Fault::text(error.to_string()))?)
        }
        Whose::Windtunnel if args.envoy.is_some() => {
            return Err(Fault::text("--envoy names what --proxy envoy flies with"));
        }
        Whose::Windtunnel => Proxies::Own,
    };
    let args = run::Args {
        paths: args.paths,
        choice: Choice {
            variant: args.variant,
            seed: args.seed,
            replications: args.replications,
            // two at once would share the machine, and measure each other
            jobs: Some(1),
            set: args.set,
        },
        outputs: args.outputs,
        quiet: args.quiet,
        strict: args.strict,
        assumptions: false,
    };
    run::run_in(&args, World::Real(proxies))
}
