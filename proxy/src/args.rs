//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};
use proxy::voice::Level;

/// The gateway and sidecar that Windtunnel flies in its simulator, as a process.
///
/// With `-c` it takes what `envoy -c` takes: `static_resources` and `admin` of an Envoy v3 bootstrap. As `gateway` and `sidecar` it takes
/// Kubernetes manifests, endpoints from their EndpointSlices and certificates from their Secrets. What is not modelled is reported with its
/// place. Prints READY once connections are served.
///
/// Files are watched and read again when they change, and on SIGHUP: what is bad is reported, and what was before stays in force. SIGUSR1 begins
/// access logs anew. SIGTERM and SIGINT finish what is under way; a second one ends at once.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    /// From what it is made, when it is not from an Envoy bootstrap.
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    /// Envoy v3 bootstrap, YAML or JSON
    #[arg(short, long, value_name = "FILE", required = true)]
    pub(crate) config_path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

const EXAMPLES: &str = "\
Examples:
  windtunnel-proxy -c envoy.yaml
  windtunnel-proxy -c envoy.yaml --concurrency 1 --mode validate
  windtunnel-proxy gateway -f manifests/ --gateway istio-system/istio-ingressgateway
  windtunnel-proxy sidecar -f manifests/ --workload shop/cart --identity-dir /var/run/identity
  windtunnel-proxy intercept install --proxy-uid 1337 --exclude-inbound-ports 15000,9090";

/// What the process is.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Serves the gateways of Kubernetes manifests
    Gateway {
        /// Serve this one alone; may be given several times [default: all of them]
        #[arg(long = "gateway", value_name = "NS/NAME")]
        gateways: Vec<String>,
        /// Write the objects of the Gateway API with their status here (JSON), and anew with every reload
        #[arg(long, value_name = "FILE")]
        status: Option<PathBuf>,
        #[command(flatten)]
        manifests: Manifests,
        #[command(flatten)]
        common: Common,
    },
    /// Stands beside a workload of Kubernetes manifests, as its mesh wants it
    Sidecar {
        /// The workload that it stands beside
        #[arg(long, value_name = "NS/NAME")]
        workload: String,
        #[command(flatten)]
        manifests: Manifests,
        #[command(flatten)]
        common: Common,
    },
    /// Brings a pod's connections to the sidecar in it (nftables; needs NET_ADMIN in the pod's network namespace)
    #[command(subcommand)]
    Intercept(Intercept),
}

/// What is done with redirect rules.
#[derive(Debug, Subcommand)]
pub(crate) enum Intercept {
    /// Puts the rules in force, in the place of those before
    Install {
        #[command(flatten)]
        rules: Rules,
        /// Print the rules, and do nothing
        #[arg(long)]
        print: bool,
    },
    /// Takes them away
    Remove {
        /// Print what would be done, and do nothing
        #[arg(long)]
        print: bool,
    },
}

/// Which connections are redirected.
#[derive(Debug, Arguments)]
pub(crate) struct Rules {
    /// User id of the sidecar, whose own connections are left alone
    #[arg(long, value_name = "UID", default_value_t = 1337)]
    pub(crate) proxy_uid: u32,
    /// Ports of the application to which connections go past the sidecar
    #[arg(long, value_name = "PORT", value_delimiter = ',', default_values_t = [15000])]
    pub(crate) exclude_inbound_ports: Vec<u16>,
    /// Ports anywhere to which connections go past the sidecar
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    pub(crate) exclude_outbound_ports: Vec<u16>,
    /// Blocks of addresses to which connections go past the sidecar
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub(crate) exclude_outbound_cidrs: Vec<String>,
}

/// What is read, and how.
#[derive(Debug, Arguments)]
pub(crate) struct Manifests {
    /// Manifests: a file, or a folder with all below it; a later one replaces objects of earlier ones
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// The mesh that runs: `istio`, `linkerd`, `istio@1.29`, … [default: the one that the manifests show]
    #[arg(long, value_name = "SYSTEM[@RELEASE]")]
    pub(crate) mesh: Option<String>,
    /// Where proxies listen, where it is not where the manifests say (JSON)
    #[arg(long, value_name = "FILE")]
    pub(crate) listen_map: Option<PathBuf>,
    /// Folder with the certificate of the mesh identity: cert-chain.pem, key.pem and root-cert.pem
    #[arg(long, value_name = "DIR")]
    pub(crate) identity_dir: Option<PathBuf>,
    /// Where the process stands: region, zone and subzone
    #[arg(long, value_name = "REGION[/ZONE[/SUBZONE]]", default_value = "")]
    pub(crate) locality: String,
    /// Where the admin port is [default: 127.0.0.1:15000 for a sidecar, none for gateways]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) admin: Option<SocketAddr>,
}

/// How it runs.
#[derive(Clone, Debug, Arguments)]
pub(crate) struct Common {
    /// Workers, each with a thread and sockets of its own [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<usize>,
    /// How long requests under way are waited for at the end, in seconds
    #[arg(long, value_name = "S", default_value_t = 600)]
    pub(crate) drain_time_s: u64,
    /// What it says of itself on standard error: trace, debug, info, warning, error, critical or off
    #[arg(short = 'l', long, value_name = "LEVEL", default_value = "info", value_parser = level)]
    pub(crate) log_level: Loudness,
    /// Levels of single loggers, as in `http:debug,upstream:trace`; POST /logging shows all
    #[arg(long, value_name = "NAME:LEVEL,…")]
    pub(crate) component_log_level: Option<String>,
    /// `serve`, or `validate`: read everything, report, and end
    #[arg(long, value_enum, default_value_t = Mode::Serve)]
    pub(crate) mode: Mode,
}

/// What is done with what was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Mode {
    /// It is served.
    Serve,
    /// It is reported.
    Validate,
}

/// What is said at least.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Loudness(pub(crate) Level);

fn level(text: &str) -> Result<Loudness, String> {
    let level = Level::parse(text).map(Loudness);
    level.ok_or_else(|| format!("there is no level `{text}`"))
}
