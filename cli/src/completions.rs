//! `windtunnel completions`.

use clap_complete::Shell;

use crate::exit::{Exit, Fault};
use crate::print;

/// Print completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  windtunnel completions bash > /etc/bash_completion.d/windtunnel
  windtunnel completions zsh > ~/.zfunc/_windtunnel")]
pub(crate) struct Args {
    /// Which shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, mut command: clap::Command) -> Result<Exit, Fault> {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut command, "windtunnel", &mut out);
    print::out(&String::from_utf8_lossy(&out)).map_err(Fault::Text)?;
    Ok(Exit::Good)
}
