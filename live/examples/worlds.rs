//! How true the simulation is: shipped scenarios flown on loopback several times and on virtual time on many seeds, side by side.
//!
//! `cargo run --release -p live --example worlds` writes a table in Markdown to standard output; it takes as long as the scenarios do, and needs
//! a machine that has nothing else to do. `worlds tutorial:meshed 1` flies one variant once. With `--arms ours,envoy` real Envoys have a column
//! beside our own proxies', with `--arms envoy` one without.
//!
//! It takes hours, so what was flown can be kept: with `--kept FILE` each flight on loopback is written down as it ends, those written down are
//! not flown again, and a run that was broken off is taken up where it ended. Flights of a scenario that has changed since are dropped.
//! `--until 50m` begins no flight after that time; `--no-table` leaves the seeds and the table for later.
//!
//! A figure agrees when the median of the flights on loopback lies within the middle 95 % of the simulated seeds, or within 15 % of their
//! median; times of recovery within three seconds.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]
#![expect(
    clippy::disallowed_methods,
    reason = "flights on loopback take real time"
)]

#[path = "worlds/kept.rs"]
mod kept;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use live::{Proxies, find_envoy};
use reports::figures::recovery::{Recovery, recovery};
use reports::result::RunResult;
use sim::{Flight, Options};
use testkit::flights::shipped_flight;

use kept::{Flown, Kept};

/// Simulated seeds.
const SEEDS: u64 = 30;
/// Flights on loopback.
const FLIGHTS: u64 = 5;

/// Scenario, variant, and what is changed so that two processors suffice and both worlds have the same network.
const FLOWN: &[(&str, &str, &[&str])] = &[
    ("tutorial", "meshed", NETWORK),
    ("tutorial", "storm", NETWORK),
    ("tutorial", "budget", NETWORK),
    ("retry-storm", "storm", NETWORK),
    ("retry-storm", "budget", NETWORK),
    ("canary", "split", NETWORK),
    ("canary", "per-version", NETWORK),
    ("hedging", "patient", SMALL),
    ("hedging", "hedged", SMALL),
    ("cascading-failure", "threads", NETWORK),
    ("cascading-failure", "short-queues", NETWORK),
];
/// Loopback: what a message takes beside the work of who sends and who takes it.
const NETWORK: &[&str] = &["network.latency=30us"];
const SMALL: &[&str] = &[
    "network.latency=30us",
    "load.lookups.open.rate=200/s",
    "load.pages.open.rate=8/s",
];

/// One figure in both worlds.
struct Row {
    name: String,
    /// Simulated and flown, by arm.
    worlds: Vec<[Vec<f64>; 2]>,
    /// How far the medians may be apart, whatever the seeds say.
    slack: Slack,
}

#[derive(Clone, Copy)]
enum Slack {
    Share(f64),
    Seconds(f64),
}

fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = q * (sorted.len().saturating_sub(1)) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (at - at.floor())
}

impl Row {
    /// Whether the median of an arm's flights is where it should be.
    fn agrees(&self, [simulated, flown]: &[Vec<f64>; 2]) -> bool {
        let real = median(flown);
        let within = quantile(simulated, 0.025) <= real && real <= quantile(simulated, 0.975);
        let middle = median(simulated);
        within
            || match self.slack {
                Slack::Share(share) => (real - middle).abs() <= middle.abs() * share,
                Slack::Seconds(seconds) => (real - middle).abs() <= seconds * 1e9,
            }
    }
}

/// What is compared: of every load success and latencies, of all edges retries, of all clusters ejections, of every fault the recovery.
fn figures(result: &RunResult) -> Figures {
    let share = Slack::Share(0.15);
    let mut found = Vec::new();
    for load in &result.loads {
        let latency = load.latency(true, None);
        let name = &load.name;
        if let Some(success) = load.success(None) {
            found.push((format!("success('{name}')"), success, share));
        }
        for (what, q) in [("p50", 0.5), ("p99", 0.99)] {
            let value = latency.quantile(q).map_or(0.0, |ns| ns as f64);
            found.push((format!("latency('{name}').{what}"), value, share));
        }
    }
    let retries: u64 = result
        .edges
        .iter()
        .map(|edge| edge.totals.retries + edge.totals.hedges)
        .sum();
    found.push(("retries and hedges".to_owned(), retries as f64, share));
    let ejections: u64 = result.clusters.iter().map(|it| it.ejections).sum();
    found.push(("ejections".to_owned(), ejections as f64, share));
    for (at, fault) in result.faults.iter().enumerate() {
        let took = match recovery(result, at) {
            Recovery::After(ns) => ns as f64,
            Recovery::Never => result.time.duration_ns as f64,
            Recovery::Unknown(_) => continue,
        };
        let name = format!("recovery('{}')", fault.name);
        found.push((name, took, Slack::Seconds(3.0)));
    }
    found
}

/// Figures of several flights, one after the other.
type Figures = Vec<(String, f64, Slack)>;

/// What many seeds say, two at a time.
fn simulate(flight: &Flight) -> Figures {
    let first = flight.plan.seed;
    let one = |seed| figures(&sim::fly(flight, seed, Options::default()).result);
    std::thread::scope(|threads| {
        let half = |from: u64| move || (from..first + SEEDS).step_by(2).flat_map(one).collect();
        let other = threads.spawn(half(first + 1));
        let mut all: Vec<_> = half(first)();
        let other: Vec<_> = other.join().expect("no flight panics");
        all.extend(other);
        all
    })
}

/// The rows of one variant, from what was simulated and what was flown, arm by arm.
fn rows(arms: &[(Figures, &[Flown])]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (at, (simulated, flown)) in arms.iter().enumerate() {
        for (name, value, slack) in simulated {
            let known = rows.iter().position(|row| row.name == *name);
            let known = known.unwrap_or_else(|| {
                rows.push(Row {
                    name: name.clone(),
                    worlds: vec![Default::default(); arms.len()],
                    slack: *slack,
                });
                rows.len() - 1
            });
            rows[known].worlds[at][0].push(*value);
        }
        for (name, value) in flown.iter().flat_map(|flown| &flown.figures) {
            if let Some(row) = rows.iter_mut().find(|row| row.name == *name) {
                row.worlds[at][1].push(*value);
            }
        }
    }
    let is_whole = |row: &Row| row.worlds.iter().flatten().all(|world| !world.is_empty());
    rows.retain(is_whole);
    rows
}

/// Flies once on loopback.
fn fly(flight: &Flight, seed: u64, proxies: &Proxies) -> Result<Flown, String> {
    let flown = live::fly(flight, seed, proxies, Options::default());
    let flown = flown.map_err(|error| error.to_string())?;
    let arm = name_of(proxies);
    let departures = flown.result.basis.departures.iter();
    let said = flown.remarks.iter().chain(departures);
    said.for_each(|what| eprintln!("{arm}: {what}"));
    let figures = figures(&flown.result).into_iter();
    Ok(Flown {
        seed,
        figures: figures.map(|(name, value, _)| (name, value)).collect(),
        invalid: flown.invalid,
    })
}

fn written(name: &str, value: f64) -> String {
    if name.starts_with("success") {
        format!("{:.1} %", value * 100.0)
    } else if name.starts_with("latency") {
        format!("{:.1} ms", value / 1e6)
    } else if name.starts_with("recovery") {
        format!("{:.1} s", value / 1e9)
    } else {
        format!("{value:.0}")
    }
}

const fn name_of(proxies: &Proxies) -> &'static str {
    match proxies {
        Proxies::Own => "ours",
        Proxies::Envoy(_) => "envoy",
    }
}

/// What the command line asks for.
struct Wishes {
    /// Scenario and variant; none: all of them.
    only: Option<String>,
    flights: u64,
    arms: Vec<Proxies>,
    kept: Option<PathBuf>,
    until: Option<Duration>,
    table: bool,
}

fn wishes() -> Result<Wishes, String> {
    let mut plain = Vec::new();
    let mut wishes = Wishes {
        only: None,
        flights: FLIGHTS,
        arms: vec![Proxies::Own],
        kept: None,
        until: None,
        table: true,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.ok_or_else(|| format!("`{argument}` needs a value"))
        };
        match argument.as_str() {
            "--arms" => wishes.arms = value()?.split(',').map(arm).collect::<Result<_, _>>()?,
            "--kept" => wishes.kept = Some(value()?.into()),
            "--until" => wishes.until = Some(minutes(&value()?)?),
            "--no-table" => wishes.table = false,
            other if other.starts_with('-') => return Err(format!("`{other}` is not known")),
            _ => plain.push(argument),
        }
    }
    let mut plain = plain.into_iter();
    wishes.only = plain.next();
    if let Some(count) = plain.next() {
        wishes.flights = count
            .parse()
            .map_err(|_| format!("`{count}` is no number"))?;
    }
    Ok(wishes)
}

fn arm(named: &str) -> Result<Proxies, String> {
    match named {
        "ours" => Ok(Proxies::Own),
        "envoy" => find_envoy(None)
            .map(Proxies::Envoy)
            .map_err(|error| error.to_string()),
        _ => Err(format!("`{named}` is none of `ours` and `envoy`")),
    }
}

/// `50m`.
fn minutes(text: &str) -> Result<Duration, String> {
    let count = text.strip_suffix('m').and_then(|count| count.parse().ok());
    let minutes: u64 =
        count.ok_or_else(|| format!("`{text}` is no number of minutes, as in 50m"))?;
    Ok(Duration::from_secs(minutes * 60))
}

fn run(wishes: &Wishes) -> Result<bool, String> {
    let mut kept = Kept::open(wishes.kept.clone())?;
    let asked = FLOWN.iter().map(|(scenario, variant, sets)| {
        let name = format!("{scenario}:{variant}");
        (name, shipped_flight(scenario, Some(variant), sets), *sets)
    });
    let asked: Vec<(String, Flight, &[&str])> = asked
        .filter(|(name, ..)| wishes.only.as_ref().is_none_or(|only| only == name))
        .collect();
    for (name, _, sets) in &asked {
        kept.drop_if_changed(name, sets)?;
    }
    let began = Instant::now();
    // every variant once before any of them again: a run that is broken off has seen them all
    for round in 0..wishes.flights {
        for proxies in &wishes.arms {
            for (name, flight, _) in &asked {
                let is_late = wishes.until.is_some_and(|most| began.elapsed() >= most);
                if is_late || kept.of(name, name_of(proxies)).len() as u64 > round {
                    continue;
                }
                let flown = fly(flight, flight.plan.seed + round, proxies);
                let flown = flown.map_err(|error| format!("{name}: {error}"))?;
                kept.add(name, name_of(proxies), flown)?;
            }
        }
    }
    Ok(!wishes.table || table(wishes, &asked, &kept))
}

/// Writes the table; whether everything agrees. Simulated proxies take the processor time of those that were flown.
fn table(wishes: &Wishes, asked: &[(String, Flight, &[&str])], kept: &Kept) -> bool {
    let arms = wishes.arms.iter().map(name_of);
    let columns = arms
        .clone()
        .map(|arm| format!(" {SEEDS} seeds as {arm}, middle 95 % | {arm}, median of flights | |"));
    println!("| scenario | figure |{}", columns.collect::<String>());
    println!("|---|---|{}", "---:|---:|---|".repeat(wishes.arms.len()));
    let mut all = true;
    for (name, _, sets) in asked {
        let (scenario, variant) = name.split_once(':').expect("it was made with one");
        let flown = arms.clone().map(|arm| kept.of(name, arm));
        if flown.clone().any(<[Flown]>::is_empty) {
            println!(
                "| {name} | not flown |{}",
                " | | |".repeat(wishes.arms.len())
            );
            continue;
        }
        let worlds = wishes.arms.iter().zip(flown.clone()).map(|(arm, flown)| {
            let cpu = match arm {
                Proxies::Own => "proxies.cpu=windtunnel",
                Proxies::Envoy(_) => "proxies.cpu=measured",
            };
            let sets: Vec<&str> = sets.iter().copied().chain([cpu]).collect();
            let flight = shipped_flight(scenario, Some(variant), &sets);
            (simulate(&flight), flown)
        });
        let worlds: Vec<_> = worlds.collect();
        for row in rows(&worlds) {
            let columns = row.worlds.iter().map(|world| {
                let agrees = row.agrees(world);
                all &= agrees;
                let word = if agrees { "agree" } else { "**differ**" };
                let [simulated, flown] = world;
                let text = |value| written(&row.name, value);
                format!(
                    " {} to {} | {} ({} flown) | {word} |",
                    text(quantile(simulated, 0.025)),
                    text(quantile(simulated, 0.975)),
                    text(median(flown)),
                    flown.len()
                )
            });
            println!("| {name} | {} |{}", row.name, columns.collect::<String>());
        }
        for (arm, flown) in arms.clone().zip(flown) {
            for why in flown.iter().filter_map(|flown| flown.invalid.as_ref()) {
                let rest = " | | |".repeat(wishes.arms.len());
                println!("| {name} | {arm}: {why} |{rest}");
            }
        }
    }
    all
}

fn main() -> ExitCode {
    match wishes().and_then(|wishes| run(&wishes)) {
        Ok(all) => ExitCode::from(u8::from(!all)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
