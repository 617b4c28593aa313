//! A process: its workers, each with a node and sockets of its own, from the first connection to the last.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use proxy_core::config::{EndpointSet, ListenerAddress, Name, NodeConfig};
use proxy_core::draw::DrawKey;
use proxy_core::event::Event;
use proxy_core::node::{Arrival, Identity, Input, Node, Target};
use proxy_core::time::Time;
use rustc_hash::FxHashMap;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};

use crate::bootstrap::Loaded;
use crate::log::{Pen, open_all};
use crate::shared::AtomicState;
use crate::stats::Stats;
use crate::tls::{Keeper, Secret};
use crate::worker::Handle;
use crate::{admin, clock, preface, slow};

/// Connections that wait to be accepted, on each socket.
const BACKLOG: i32 = 4096;

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

/// A socket that a process listens on, and what the connections on it are to the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Door {
    /// Where it is bound.
    pub address: SocketAddr,
    /// Which way connections come.
    pub arrival: Arrival,
    /// Where they were meant to go.
    pub meant: Meant,
}

/// Where the connections of a socket were meant to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meant {
    /// To the address that was dialled.
    Dialled,
    /// To this one, whatever was dialled.
    To(SocketAddr),
    /// To where they went before a redirect rule brought them here (`SO_ORIGINAL_DST`).
    Original,
    /// To where the PROXY protocol's header says; whoever sends none is not served.
    Announced,
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
struct Settings {
    config: Arc<NodeConfig>,
    secrets: Secrets,
    endpoints: Vec<(Name, Arc<EndpointSet>)>,
}

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
    workers: Vec<JoinHandle<()>>,
    stats: Arc<Stats>,
    pen: Pen,
}

impl Proxy {
    /// Takes the sockets and starts the workers: when this returns, connections are served.
    ///
    /// # Errors
    /// Where a socket or a thread cannot be had.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let doors = if options.doors.is_empty() {
            doors(&options.config)
        } else {
            options.doors
        };
        if doors.is_empty() {
            return Err(StartError::NoListener);
        }
        open_all(&options.config).map_err(|(path, source)| StartError::Log { path, source })?;
        let pen = Pen::default();
        let (phase, _) = watch::channel(Phase::Serving);
        let (settings, _) = watch::channel(Settings {
            config: options.config.clone(),
            secrets: options.secrets,
            endpoints: options.endpoints,
        });
        let stats = Arc::new(Stats::default());
        let mut admin = match options.admin {
            Some(address) => Some(
                admin::bind(address).map_err(|source| StartError::Listen { address, source })?,
            ),
            None => None,
        };
        let shared = AtomicState::default();
        let started = options.place.started.unwrap_or_else(clock::now);
        let epoch = clock::since_epoch();
        let mut workers = Vec::new();
        for number in 0..options.concurrency.max(1) {
            let mut sockets = Vec::new();
            for &door in &doors {
                let address = door.address;
                let socket = listen(address);
                let socket = socket.map_err(|source| StartError::Listen { address, source })?;
                sockets.push((socket, door));
            }
            let identity = Identity {
                key: DrawKey::root(options.seed).child(number as u64),
                locality: options.place.locality.clone(),
                epoch_nanos: u64::try_from(epoch.as_nanos()).unwrap_or(u64::MAX),
                elected: number == 0,
            };
            let seat = Seat {
                identity,
                shared: shared.clone(),
                started,
                sockets,
                admin: admin.take(),
                phase: phase.clone(),
                settings: settings.subscribe(),
                stats: stats.clone(),
                drain: options.drain,
                place: options.place.clone(),
                pen: pen.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(StartError::Worker)?;
            let run = move || LocalSet::new().block_on(&runtime, seat.run());
            workers.push(thread.spawn(run).map_err(StartError::Worker)?);
        }
        Ok(Self {
            phase,
            settings,
            workers,
            stats,
            pen,
        })
    }

    /// Puts another configuration in force. Sockets that it adds are not listened on.
    pub fn update(&self, loaded: &Loaded) {
        self.settings.send_replace(Settings {
            config: loaded.config.clone(),
            secrets: loaded.secrets.clone(),
            endpoints: loaded.endpoints.clone(),
        });
    }

    /// Puts another configuration in force, with the secrets that there are.
    pub fn reconfigure(&self, config: Arc<NodeConfig>) {
        self.settings.send_modify(|settings| {
            settings.config = config;
            settings.endpoints.clear();
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
        while !self.workers.iter().all(JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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
        self.pen.put_down();
    }
}

/// Sockets that a configuration listens on.
fn doors(config: &NodeConfig) -> Vec<Door> {
    let listeners = config
        .sections
        .iter()
        .flat_map(|section| section.listeners());
    let sockets = listeners.filter_map(|listener| match listener.address {
        ListenerAddress::Socket(address) => Some(Door {
            address,
            arrival: Arrival::Dialled,
            meant: Meant::Dialled,
        }),
        ListenerAddress::OutboundTo(_)
        | ListenerAddress::OutboundPort(_)
        | ListenerAddress::OutboundRest
        | ListenerAddress::InboundPort(_)
        | ListenerAddress::InboundRest => None,
    });
    sockets.collect()
}

/// A socket that several workers may listen on beside one another: the kernel spreads connections among them.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// All that a worker takes to its thread.
struct Seat {
    identity: Identity,
    shared: AtomicState,
    started: Instant,
    sockets: Vec<(TcpListener, Door)>,
    admin: Option<TcpListener>,
    phase: watch::Sender<Phase>,
    settings: watch::Receiver<Settings>,
    stats: Arc<Stats>,
    drain: Duration,
    place: Place,
    pen: Pen,
}

impl Seat {
    async fn run(mut self) {
        let settings = self.settings.borrow_and_update().clone();
        let mut config = settings.config.clone();
        let handle = Handle::new(
            self.identity,
            settings.config,
            self.shared,
            self.started,
            self.stats.clone(),
            Keeper::new(settings.secrets),
            self.place,
            self.pen,
        );
        handle.set_endpoints(settings.endpoints);
        handle.start();
        spawn_local(keep_time(handle.clone(), self.started));
        spawn_local(slow::watch(handle.clone()));
        for (socket, door) in self.sockets {
            let phase = self.phase.subscribe();
            let stats = self.stats.clone();
            spawn_local(accept(handle.clone(), socket, door, phase, stats));
        }
        if let Some(socket) = self.admin
            && let Ok(listener) = tokio::net::TcpListener::from_std(socket)
        {
            spawn_local(admin::serve(listener, self.stats, self.phase.clone()));
        }
        let mut phase = self.phase.subscribe();
        loop {
            tokio::select! {
                changed = phase.changed() => {
                    let now = *phase.borrow_and_update();
                    if changed.is_err() || now != Phase::Serving {
                        break;
                    }
                }
                changed = self.settings.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let settings = self.settings.borrow_and_update().clone();
                    if !Arc::ptr_eq(&settings.config, &config) {
                        config = settings.config.clone();
                        handle.update(settings.config, settings.secrets);
                    }
                    handle.set_endpoints(settings.endpoints);
                }
            }
        }
        handle.input(Input::Drain);
        let until = clock::now() + self.drain;
        while clock::now() < until
            && *phase.borrow() != Phase::Ended
            && handle.look(|worker| !worker.downstreams.is_empty())
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn accept(
    handle: Handle,
    socket: TcpListener,
    door: Door,
    mut phase: watch::Receiver<Phase>,
    stats: Arc<Stats>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(socket) else {
        return;
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // the socket closes with this task
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => return,
        };
        match accepted {
            Ok((stream, source)) => {
                Stats::count(&stats.downstream_cx_total);
                // a client that has gone already is noticed when it is read
                let _ = stream.set_nodelay(true);
                let meant = match door.meant {
                    Meant::Dialled => stream.local_addr().ok(),
                    Meant::To(address) => Some(address),
                    Meant::Original => original(&stream),
                    Meant::Announced => {
                        spawn_local(announced(handle.clone(), stream, door.arrival));
                        continue;
                    }
                };
                let meant = meant.unwrap_or(door.address);
                handle.accept(stream, door.arrival, source, meant);
            }
            // out of files: those that are open will close
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Where a connection went before a redirect rule brought it here.
fn original(stream: &TcpStream) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let found = socket
        .original_dst_v4()
        .or_else(|_| socket.original_dst_v6());
    found.ok()?.as_socket()
}

/// Takes a connection in once its PROXY header has said where it was meant to go.
async fn announced(handle: Handle, mut stream: TcpStream, arrival: Arrival) {
    let read = preface::read(&mut stream);
    if let Ok(Some((source, meant))) = tokio::time::timeout(PREFACE, read).await {
        handle.accept(stream, arrival, source, meant);
    }
}

/// How long the header of the PROXY protocol may take.
const PREFACE: Duration = Duration::from_secs(5);

/// Fires timers when they are due.
async fn keep_time(handle: Handle, started: Instant) {
    loop {
        let next = handle.fire();
        if next == Time::MAX {
            handle.sooner().await;
            continue;
        }
        let at = started + Duration::from_nanos(next.as_nanos());
        tokio::select! {
            () = tokio::time::sleep_until(at.into()) => {}
            () = handle.sooner() => {}
        }
    }
}
