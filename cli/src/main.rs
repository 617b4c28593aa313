//! `windtunnel`: reads arguments, calls the crates, prints. Everything that decides something lives in those.

mod check;
mod completions;
mod diff;
mod exit;
mod files;
mod fly;
mod init;
mod live;
mod outputs;
mod prepare;
mod print;
mod progress;
mod report;
mod run;
mod schema;
mod stop;
mod table;
mod told;
mod trace;
mod translate;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Fly Kubernetes traffic policy in a wind tunnel before production.
///
/// Windtunnel loads the manifests that a team has, builds the gateways and sidecars they describe, and runs them on virtual time under
/// the load and the faults of a scenario.
#[derive(Debug, Parser)]
#[command(name = "windtunnel", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  windtunnel init -f manifests/ -o scenario.yaml    write a first scenario for what is deployed
  windtunnel run scenario.yaml --open               run every variant of it and look at the page
  windtunnel trace -f manifests/ http://api/orders  follow one request and every decision on its way
  windtunnel check -f manifests/                    read manifests and say what is wrong with them
  windtunnel translate manifests/ --to linkerd      write them for another system, and say what differs

Exit status: 0 all went well, 1 an expectation did not hold, two results or systems differ or a
traced request reached no server, 2 bad input, 130 stopped by Ctrl-C, 143 by SIGTERM.";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Live(live::Args),
    Diff(diff::Args),
    Check(check::Args),
    Init(init::Args),
    Trace(trace::Args),
    Translate(translate::Args),
    Report(report::Args),
    Schema(schema::Args),
    Completions(completions::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Live(args) => live::run(args),
        Command::Diff(args) => diff::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Translate(args) => translate::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args, Cli::command()),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(fault) => {
            if let exit::Fault::Text(text) = fault {
                eprintln!("error: {text}");
            }
            exit::Exit::BadInput.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Cli::command().debug_assert();
    }
}
