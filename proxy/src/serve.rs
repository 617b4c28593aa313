//! From the command line to proxies that serve, and what signals and changed files do to them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use manifests::envoy::RuntimeLayer;
use proxy::kubernetes::{self, IdentityFiles, Read, Ready, Reporter, Wanted};
use proxy::voice::{self, Level, Logger, speak};
use proxy::{Fleet, FleetOptions, Loaded};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Args, Common, Manifests, Mode, Role};
use crate::watch::Watch;

/// Where proxies come from.
enum Source {
    /// An Envoy bootstrap.
    Bootstrap(PathBuf),
    /// Kubernetes manifests; what was read last.
    Manifests(Box<Wanted>, Option<Box<Read>>),
}

/// What was read.
struct Found {
    proxies: Vec<Ready>,
    admin: Option<SocketAddr>,
    notices: String,
    runtime: Vec<RuntimeLayer>,
    /// What it was read from.
    files: Vec<PathBuf>,
}

/// Where a sidecar's admin port is.
///
/// Source: Istio 1.29, "Application Requirements".
const ADMIN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 15000);

pub(crate) fn run(args: Args) -> Result<(), String> {
    let (mut source, common, admin, status) = source(args)?;
    voice::set_all(common.log_level.0);
    if let Some(levels) = &common.component_log_level {
        let set = voice::set_several(levels);
        set.map_err(|unknown| format!("--component-log-level {levels}: {unknown}"))?;
    }
    let mut reporter = status.map(Reporter::new);
    let found = source.read()?;
    if common.mode == Mode::Validate {
        tell("OK");
        return Ok(());
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut fleet = Fleet::new(FleetOptions {
        concurrency: common.concurrency.unwrap_or(cores),
        seed: proxy::seed(),
        drain: Duration::from_secs(common.drain_time_s),
    });
    if let Some(address) = admin.or(found.admin) {
        fleet
            .administer(address)
            .map_err(|error| with_sources(&error))?;
    }
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot wait for signals: {error}"))?;
    fleet.show_runtime(found.runtime);
    // changes from here on are seen, those before were read
    let watch = {
        let _runs = runtime.enter();
        Watch::new(&found.files)
    };
    // whoever finds a port open finds the status, too
    report(&mut reporter, &source);
    fleet.apply(found.proxies).map_err(|failed| {
        let failed = failed.iter();
        let lines = failed.map(|(name, error)| format!("{name}: {}\n", with_sources(error)));
        lines.collect::<String>()
    })?;
    tell("READY");
    runtime
        .block_on(obey(&mut fleet, &mut source, watch, reporter))
        .map_err(|error| format!("cannot wait for signals: {error}"))?;
    fleet.join();
    Ok(())
}

type Started = (Source, Common, Option<SocketAddr>, Option<PathBuf>);

fn source(args: Args) -> Result<Started, String> {
    let wanted = |role, manifests: Manifests| {
        let admin = manifests.admin;
        let wanted = Wanted {
            paths: manifests.paths,
            role,
            mesh: manifests.mesh,
            listen_map: manifests.listen_map,
            identity: manifests.identity_dir.map(IdentityFiles::in_folder),
            locality: manifests.locality,
        };
        (Source::Manifests(Box::new(wanted), None), admin)
    };
    match args.role {
        Some(Role::Gateway {
            gateways,
            status,
            manifests,
            common,
        }) => {
            let (source, admin) = wanted(kubernetes::Role::Gateways(gateways), manifests);
            Ok((source, common, admin, status))
        }
        Some(Role::Sidecar {
            workload,
            manifests,
            common,
        }) => {
            // several sidecars on one machine, as a listen map has them, cannot share the usual port
            let usual = manifests.listen_map.is_none().then_some(ADMIN);
            let (source, admin) = wanted(kubernetes::Role::Sidecar(workload), manifests);
            Ok((source, common, admin.or(usual), None))
        }
        Some(Role::Intercept(_)) | None => {
            let path = args.config_path.ok_or("name a bootstrap with -c")?;
            Ok((Source::Bootstrap(path), args.common, None, None))
        }
    }
}

impl Source {
    /// Reads everything; what is not modelled is told.
    fn read(&mut self) -> Result<Found, String> {
        let found = match self {
            Self::Bootstrap(path) => {
                let loaded = proxy::load(path).map_err(|error| error.to_string())?;
                let mut files = loaded.files.clone();
                files.push(path.clone());
                Found {
                    admin: loaded.admin,
                    notices: loaded.notices.clone(),
                    runtime: loaded.runtime.clone(),
                    proxies: vec![ready(loaded)],
                    files,
                }
            }
            Self::Manifests(wanted, before) => {
                let read = wanted.read(before.as_deref());
                let read = read.map_err(|error| error.to_string())?;
                let mut files = wanted.paths.clone();
                files.extend(wanted.listen_map.clone());
                files.extend(wanted.identity.iter().map(|it| it.folder().to_owned()));
                let found = Found {
                    admin: None,
                    notices: read.notices.clone(),
                    runtime: Vec::new(),
                    proxies: read.proxies.clone(),
                    files,
                };
                *before = Some(Box::new(read));
                found
            }
        };
        if found.proxies.is_empty() {
            return Err(format!("{}nothing of it can be served", found.notices));
        }
        eprint!("{}", found.notices);
        Ok(found)
    }
}

fn ready(loaded: Loaded) -> Ready {
    Ready {
        name: loaded.config.name.clone(),
        config: loaded.config,
        secrets: loaded.secrets,
        endpoints: loaded.endpoints,
        names: loaded.names,
        doors: Vec::new(),
        locality: loaded.locality,
    }
}

/// Does what signals and changed files ask for, until all proxies have ended.
async fn obey(
    fleet: &mut Fleet,
    source: &mut Source,
    mut watch: Watch,
    mut reporter: Option<Reporter>,
) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut reopen = signal(SignalKind::user_defined1())?;
    let mut is_draining = false;
    loop {
        tokio::select! {
            // whoever is on the way out changes no more
            _ = hangup.recv(), if !is_draining => {
                reload(fleet, source, &mut watch);
                report(&mut reporter, source);
            }
            () = watch.changed(), if !is_draining => {
                reload(fleet, source, &mut watch);
                report(&mut reporter, source);
            }
            _ = reopen.recv() => fleet.reopen_logs(),
            _ = terminate.recv() => stop(fleet, &mut is_draining),
            _ = interrupt.recv() => stop(fleet, &mut is_draining),
            () = fleet.ended() => return Ok(()),
        }
    }
}

fn reload(fleet: &mut Fleet, source: &mut Source, watch: &mut Watch) {
    match source.read() {
        Ok(found) => {
            watch.also(&found.files);
            fleet.show_runtime(found.runtime);
            speak(
                Logger::Config,
                Level::Info,
                format_args!("what was read anew takes over"),
            );
            if let Err(failed) = fleet.apply(found.proxies) {
                for (name, error) in failed {
                    let why = with_sources(&error);
                    let what = format_args!("{name}: {why}: what it did before stays in force");
                    speak(Logger::Config, Level::Error, what);
                }
            }
        }
        Err(error) => eprintln!("{}\nwhat was read before stays in force", error.trim_end()),
    }
}

/// Writes the status of what was read last; that it cannot be written is told.
fn report(reporter: &mut Option<Reporter>, source: &Source) {
    if let (Some(reporter), Source::Manifests(_, Some(read))) = (reporter, source)
        && let Err(error) = reporter.write(read)
    {
        let what = format_args!("cannot write the status: {error}");
        speak(Logger::Config, Level::Error, what);
    }
}

/// The first time it finishes what is under way, the second time it does not.
fn stop(fleet: &Fleet, is_draining: &mut bool) {
    if std::mem::replace(is_draining, true) {
        fleet.end();
    } else {
        fleet.drain();
    }
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
pub(crate) fn tell(line: &str) {
    println!("{line}");
}
