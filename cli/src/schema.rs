//! `windtunnel schema`.

use crate::exit::{Exit, Fault};
use crate::print;

/// Print the JSON Schema of scenario files, for editors.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  windtunnel schema > scenario.schema.json

  Then begin a scenario file with
  # yaml-language-server: $schema=./scenario.schema.json")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<Exit, Fault> {
    print::out(&(scenarios::schema::schema() + "\n")).map_err(Fault::Text)?;
    Ok(Exit::Good)
}
