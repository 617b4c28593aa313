//! A process: its workers, each with a node and sockets of its own, from the first connection to the last.

mod seat;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use proxy_core::config::{EndpointSet, Name, NodeConfig};
use proxy_core::draw::DrawKey;
use proxy_core::event::Event;
use proxy_core::node::{Arrival, Identity, Node, Target};
use proxy_core::time::Time;
use rustc_hash::FxHashMap;
use thiserror::Error;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::admin::{Admin, View, Views};
use crate::bootstrap::Loaded;
use crate::clock;
use crate::datagrams;
use crate::doors::{self, Door};
use crate::log::{Pen, open_all};
use crate::names::{Asking, Lookup, Named};
use crate::shared::AtomicState;
use crate::stats::Stats;
use crate::tls::Secret;
use crate::worker::Worker;
use seat::Seat;

/// What a process is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it does.
    pub config: Arc<NodeConfig>,
    /// Where the admin port is; none: there is none.
    pub admin: Option<SocketAddr>,
    /// Certificates and authorities, by the names that the configuration calls them.
    pub secrets: Secrets,
    /// Endpoints of clusters, where they are not those of the configuration.
    pub endpoints: Vec<(Name, Arc<EndpointSet>)>,
    /// Names of endpoints, which are asked for again and again.
    pub names: Arc<[Named]>,
    /// Workers; each has a thread of its own.
    pub concurrency: usize,
    /// Names the process's own draws.
    pub seed: u64,
    /// How long requests under way are waited for when the process is asked to end.
    pub drain: Duration,
    /// What it listens on; empty: the sockets that the configuration names.
    pub doors: Vec<Door>,
    /// Where the process stands among others.
    pub place: Place,
}

/// Where a process stands among others.
#[derive(Clone, Default)]
pub struct Place {
    /// `region/zone/subzone`.
    pub locality: Name,
    /// The moment that all times count from; none: the start of the process.
    pub started: Option<Instant>,
    /// Where an address of the configuration is to be found; none: where it says.
    pub dial: Option<Dial>,
    /// Told every fact that the nodes record.
    pub tap: Option<Tap>,
    /// Who knows the addresses of names; none: the system.
    pub lookup: Option<Lookup>,
}

impl Place {
    /// Where an address of the configuration is to be found.
    pub(crate) fn found(&self, address: SocketAddr) -> Option<Way> {
        match &self.dial {
            Some(dial) => dial(address),
            None => Some(Way {
                address,
                announce: None,
            }),
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place")
            .field("locality", &self.locality)
            .finish_non_exhaustive()
    }
}

/// Where an address of a configuration is to be found; none: nowhere.
pub type Dial = Arc<dyn Fn(SocketAddr) -> Option<Way> + Send + Sync>;

/// How to get somewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// What is dialled.
    pub address: SocketAddr,
    /// Where whoever answers there is asked to go on to, in a header of the PROXY protocol.
    pub announce: Option<SocketAddr>,
}

/// Told a fact by a worker's thread, with the node that records it and the moment.
pub type Tap = Arc<dyn Fn(&Node, Time, Target, &Event) + Send + Sync>;

/// Why a process could not begin.
#[derive(Debug, Error)]
pub enum StartError {
    /// A socket could not be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// There is nothing to listen on.
    #[error("no listener of the configuration has a socket of its own")]
    NoListener,
    /// An access log could not be had.
    #[error("cannot write the access log {path}")]
    Log {
        /// Which.
        path: Name,
        /// Why.
        source: io::Error,
    },
    /// A thread or a runtime could not be had.
    #[error("cannot start a worker")]
    Worker(#[source] io::Error),
}

/// Where a process is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Serving,
    /// No new connections; requests under way are finished.
    Draining,
    Ended,
}

/// What may change while a process runs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) endpoints: Vec<(Name, Arc<EndpointSet>)>,
    pub(crate) names: Arc<[Named]>,
    pub(crate) secrets: Secrets,
    doors: Arc<[Door]>,
}

/// What a process changes to.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it does from now on.
    pub config: Arc<NodeConfig>,
    /// Certificates and authorities; connections that stand keep theirs.
    pub secrets: Secrets,
    /// Endpoints of clusters, where they are not those of the configuration.
    pub endpoints: Vec<(Name, Arc<EndpointSet>)>,
    /// Names of endpoints, which are asked for again and again.
    pub names: Arc<[Named]>,
    /// What it listens on; empty: the sockets that the configuration names.
    pub doors: Vec<Door>,
}

impl From<&Loaded> for Change {
    fn from(loaded: &Loaded) -> Self {
        Self {
            config: loaded.config.clone(),
            secrets: loaded.secrets.clone(),
            endpoints: loaded.endpoints.clone(),
            names: loaded.names.clone(),
            doors: Vec::new(),
        }
    }
}

/// Something that is done on a worker's thread, between two events.
pub(crate) type Ask = Box<dyn FnOnce(&mut Worker) + Send>;

/// A socket that a worker is to serve.
#[derive(Debug)]
enum Socket {
    Connections(TcpListener),
    Datagrams(UdpSocket),
}

/// Sockets of one worker, each with what it is for.
type Sockets = Vec<(Socket, Door)>;

/// Sockets that workers have still to take over, worker by worker.
type Fresh = Arc<Mutex<Vec<Sockets>>>;

/// Certificates and authorities, by the names that a configuration calls them.
pub type Secrets = Arc<FxHashMap<Box<str>, Secret>>;

/// Something to begin draws with that differs from process to process.
#[must_use]
pub fn seed() -> u64 {
    let nanos = clock::since_epoch().as_nanos() as u64;
    nanos ^ u64::from(std::process::id()).rotate_left(32)
}

/// A running process.
#[derive(Debug)]
pub struct Proxy {
    phase: watch::Sender<Phase>,
    settings: watch::Sender<Settings>,
    fresh: Fresh,
    workers: Vec<JoinHandle<()>>,
    stats: Arc<Stats>,
    asks: Arc<[UnboundedSender<Ask>]>,
    started: Instant,
    admin: Option<Admin>,
    pen: Pen,
}

impl Proxy {
    /// Takes the sockets and starts the workers: when this returns, connections are served.
    ///
    /// # Errors
    /// Where a socket or a thread cannot be had.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let doors = doors_of(options.doors, &options.config)?;
        let concurrency = options.concurrency.max(1);
        let fresh = Fresh::default();
        let mut sockets = listen(&doors, concurrency)?.into_iter();
        open_all(&options.config).map_err(|(path, source)| StartError::Log { path, source })?;
        let pen = Pen::default();
        let (phase, _) = watch::channel(Phase::Serving);
        let (settings, _) = watch::channel(Settings {
            config: options.config.clone(),
            secrets: options.secrets,
            endpoints: options.endpoints,
            names: options.names,
            doors: doors.into(),
        });
        let stats = Arc::new(Stats::default());
        let views = Views::default();
        let admin = match options.admin {
            Some(address) => {
                let admin = Admin::start(address, views.clone());
                Some(admin.map_err(|source| StartError::Listen { address, source })?)
            }
            None => None,
        };
        let shared = AtomicState::default();
        let started = options.place.started.unwrap_or_else(clock::now);
        let epoch = clock::since_epoch();
        let mut workers = Vec::new();
        let mut asks = Vec::new();
        for number in 0..concurrency {
            let identity = Identity {
                key: DrawKey::root(options.seed).child(number as u64),
                locality: options.place.locality.clone(),
                epoch_nanos: u64::try_from(epoch.as_nanos()).unwrap_or(u64::MAX),
                elected: number == 0,
            };
            let (ask, asked) = unbounded_channel();
            asks.push(ask);
            let asking = (number == 0).then(|| Asking {
                settings: settings.clone(),
                lookup: options.place.lookup.clone(),
                stats: stats.clone(),
                key: DrawKey::root(options.seed).child(u64::MAX),
            });
            let seat = Seat {
                asked,
                asking,
                identity,
                shared: shared.clone(),
                started,
                number,
                sockets: sockets.next().unwrap_or_default(),
                fresh: fresh.clone(),
                phase: phase.clone(),
                settings: settings.subscribe(),
                stats: stats.clone(),
                drain: options.drain,
                place: options.place.clone(),
                pen: pen.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            let (begun, begins) = mpsc::channel();
            // a runtime of one thread is made where it runs
            let run = move || {
                let mut builder = Builder::new_current_thread();
                let runtime = builder.enable_all().build_local(LocalOptions::default());
                match runtime {
                    Ok(runtime) => {
                        let _ = begun.send(Ok(()));
                        runtime.block_on(seat.run());
                    }
                    Err(error) => {
                        let _ = begun.send(Err(error));
                    }
                }
            };
            workers.push(thread.spawn(run).map_err(StartError::Worker)?);
            let begins = begins
                .recv()
                .unwrap_or_else(|gone| Err(io::Error::other(gone)));
            begins.map_err(StartError::Worker)?;
        }
        let proxy = Self {
            phase,
            settings,
            fresh,
            workers,
            stats,
            asks: asks.into(),
            started,
            admin,
            pen,
        };
        views.set(vec![proxy.view()]);
        Ok(proxy)
    }

    /// Puts another configuration in force: sockets that it adds are listened on when this returns, those that it has no more are closed.
    ///
    /// # Errors
    /// Where a socket or a log cannot be had; then nothing has changed.
    pub fn update(&self, change: Change) -> Result<(), StartError> {
        let doors = doors_of(change.doors, &change.config)?;
        open_all(&change.config).map_err(|(path, source)| StartError::Log { path, source })?;
        let before = self.settings.borrow().doors.clone();
        let added: Vec<Door> = doors
            .iter()
            .filter(|door| !before.contains(door))
            .copied()
            .collect();
        let sockets = listen(&added, self.workers.len())?;
        {
            let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            fresh.resize_with(self.workers.len(), Vec::new);
            for (waiting, more) in fresh.iter_mut().zip(sockets) {
                waiting.extend(more);
            }
        }
        self.settings.send_replace(Settings {
            config: change.config,
            secrets: change.secrets,
            endpoints: change.endpoints,
            names: change.names,
            doors: doors.into(),
        });
        Ok(())
    }

    /// Puts another configuration in force, with the secrets that there are.
    pub fn reconfigure(&self, config: Arc<NodeConfig>) {
        self.settings.send_modify(|settings| {
            settings.config = config;
            settings.endpoints.clear();
            settings.names = Arc::default();
        });
    }

    /// Changes the endpoints of clusters.
    pub fn set_endpoints(&self, sets: Vec<(Name, Arc<EndpointSet>)>) {
        self.settings.send_modify(|settings| {
            settings
                .endpoints
                .retain(|(name, _)| !sets.iter().any(|(changed, _)| changed == name));
            settings.endpoints.extend(sets);
        });
    }

    /// Begins its access logs anew, under the same names: the old files have been moved.
    pub fn reopen_logs(&self) {
        self.pen.reopen();
    }

    /// Takes no more connections, finishes what is under way, and ends.
    pub fn drain(&self) {
        self.phase.send_replace(Phase::Draining);
    }

    /// Ends, whatever is under way.
    pub fn end(&self) {
        self.phase.send_replace(Phase::Ended);
    }

    /// Waits until it takes no more connections and nothing is under way.
    pub async fn ended(&self) {
        while !self.has_ended() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the admin port shows.
    pub(crate) fn view(&self) -> View {
        View {
            stats: self.stats.clone(),
            phase: self.phase.clone(),
            started: self.started,
            settings: self.settings.subscribe(),
            asks: self.asks.clone(),
            pen: self.pen.clone(),
        }
    }

    /// Whether nothing is under way any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Waits for its end.
    pub fn join(self) {
        for worker in self.workers {
            // a worker that panicked has said so on its thread
            let _ = worker.join();
        }
        drop(self.admin);
        self.pen.put_down();
    }
}

/// The sockets that are asked for, else those that the configuration names.
fn doors_of(wanted: Vec<Door>, config: &NodeConfig) -> Result<Vec<Door>, StartError> {
    let doors = if wanted.is_empty() {
        doors::doors(config)
    } else {
        wanted
    };
    if doors.is_empty() {
        return Err(StartError::NoListener);
    }
    Ok(doors)
}

/// Sockets at every door for each worker.
fn listen(doors: &[Door], workers: usize) -> Result<Vec<Sockets>, StartError> {
    let one = |door: Door| {
        let address = door.address;
        let socket = match door.arrival {
            Arrival::Datagrams => datagrams::listen(address).map(Socket::Datagrams),
            Arrival::Dialled | Arrival::Outbound | Arrival::Inbound => {
                doors::listen(address).map(Socket::Connections)
            }
        };
        let socket = socket.map_err(|source| StartError::Listen { address, source })?;
        Ok((socket, door))
    };
    let all = |_| doors.iter().map(|door| one(*door)).collect();
    (0..workers).map(all).collect()
}
