//! `windtunnel-proxy`: the gateway and sidecar as a process.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use proxy::{Loaded, Options, Place, Proxy};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// The gateway and sidecar that Windtunnel flies in its simulator, as a process.
///
/// Takes what `envoy -c` takes: `static_resources` and `admin` of an Envoy v3 bootstrap. What is not modelled is reported with its
/// place. Prints READY once connections are served.
///
/// SIGHUP reads the file again: a bad one is reported, and the old one stays in force. SIGUSR1 begins access logs anew. SIGTERM and SIGINT finish what is under way; a
/// second one ends at once.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Envoy v3 bootstrap, YAML or JSON
    #[arg(short, long, value_name = "FILE")]
    config_path: PathBuf,
    /// Workers, each with a thread and sockets of its own [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
    /// How long requests under way are waited for at the end, in seconds
    #[arg(long, value_name = "S", default_value_t = 600)]
    drain_time_s: u64,
    /// `serve`, or `validate`: read the file, report, and end
    #[arg(long, value_enum, default_value_t = Mode::Serve)]
    mode: Mode,
}

const EXAMPLES: &str = "\
Examples:
  windtunnel-proxy -c envoy.yaml
  windtunnel-proxy -c envoy.yaml --concurrency 1
  windtunnel-proxy -c envoy.yaml --mode validate";

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Mode {
    Serve,
    Validate,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let loaded = read(&args.config_path)?;
    if args.mode == Mode::Validate {
        tell("OK");
        return Ok(());
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let proxy = Proxy::start(Options {
        config: loaded.config,
        admin: loaded.admin,
        secrets: loaded.secrets,
        endpoints: loaded.endpoints,
        concurrency: args.concurrency.unwrap_or(cores),
        seed: proxy::seed(),
        drain: Duration::from_secs(args.drain_time_s),
        doors: Vec::new(),
        place: Place::default(),
    });
    let proxy = proxy.map_err(|error| with_sources(&error))?;
    tell("READY");
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot wait for signals: {error}"))?;
    runtime
        .block_on(obey(&proxy, &args.config_path))
        .map_err(|error| format!("cannot wait for signals: {error}"))?;
    proxy.join();
    Ok(())
}

/// Does what signals ask for, until one asks for the end.
async fn obey(proxy: &Proxy, path: &Path) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut reopen = signal(SignalKind::user_defined1())?;
    let mut is_draining = false;
    loop {
        tokio::select! {
            _ = hangup.recv() => match read(path) {
                Ok(loaded) => proxy.update(&loaded),
                Err(error) => eprintln!("{error}\nthe configuration before it stays in force"),
            },
            _ = reopen.recv() => proxy.reopen_logs(),
            _ = terminate.recv() => stop(proxy, &mut is_draining),
            _ = interrupt.recv() => stop(proxy, &mut is_draining),
            () = proxy.ended() => return Ok(()),
        }
    }
}

/// The first time it finishes what is under way, the second time it does not.
fn stop(proxy: &Proxy, is_draining: &mut bool) {
    if std::mem::replace(is_draining, true) {
        proxy.end();
    } else {
        proxy.drain();
    }
}

/// Reads a bootstrap and all that it names; what is not modelled is told.
fn read(path: &Path) -> Result<Loaded, String> {
    let loaded = proxy::load(path).map_err(|error| error.to_string())?;
    eprint!("{}", loaded.notices);
    Ok(loaded)
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

#[expect(clippy::print_stdout, reason = "whoever starts it waits for this line")]
fn tell(line: &str) {
    println!("{line}");
}
