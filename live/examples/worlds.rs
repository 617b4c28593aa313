//! How true the simulation is: shipped scenarios flown on loopback several times and on virtual time on many seeds, side by side.
//!
//! `cargo run --release -p live --example worlds` writes a table in Markdown to standard output; it takes as long as the scenarios do, and needs
//! a machine that has nothing else to do. `worlds tutorial:meshed 1` flies one variant once.
//!
//! A figure agrees when the median of the flights on loopback lies within the middle 95 % of the simulated seeds, or within 15 % of their
//! median; times of recovery within three seconds.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::process::ExitCode;

use reports::figures::recovery::{Recovery, recovery};
use reports::result::RunResult;
use sim::{Flight, Options};
use testkit::flights::shipped_flight;

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
    simulated: Vec<f64>,
    real: Vec<f64>,
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
    fn agrees(&self) -> bool {
        let real = median(&self.real);
        let within =
            quantile(&self.simulated, 0.025) <= real && real <= quantile(&self.simulated, 0.975);
        let middle = median(&self.simulated);
        within
            || match self.slack {
                Slack::Share(share) => (real - middle).abs() <= middle.abs() * share,
                Slack::Seconds(seconds) => (real - middle).abs() <= seconds * 1e9,
            }
    }
}

/// What is compared: of every load success and latencies, of all edges retries, of all clusters ejections, of every fault the recovery.
fn figures(result: &RunResult) -> Vec<(String, f64, Slack)> {
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

fn compare(flight: &Flight, flights: u64) -> Result<(Vec<Row>, Vec<String>), String> {
    let mut rows: Vec<Row> = Vec::new();
    let mut notes = Vec::new();
    let first = flight.plan.seed;
    for seed in first..first + SEEDS {
        let result = sim::fly(flight, seed, Options::default()).result;
        for (name, value, slack) in figures(&result) {
            match rows.iter_mut().find(|row| row.name == name) {
                Some(row) => row.simulated.push(value),
                None => rows.push(Row {
                    name,
                    simulated: vec![value],
                    real: Vec::new(),
                    slack,
                }),
            }
        }
    }
    for seed in first..first + flights {
        let flown = live::fly(flight, seed, Options::default()).map_err(|e| e.to_string())?;
        notes.extend(flown.invalid);
        for (name, value, _) in figures(&flown.result) {
            if let Some(row) = rows.iter_mut().find(|row| row.name == name) {
                row.real.push(value);
            }
        }
    }
    rows.retain(|row| !row.real.is_empty());
    Ok((rows, notes))
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

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let only = arguments.next();
    let flights = arguments.next().and_then(|it| it.parse().ok());
    let flights = flights.unwrap_or(FLIGHTS);
    println!(
        "| scenario | figure | simulated, middle 95 % of {SEEDS} seeds | median of {flights} on loopback | |"
    );
    println!("|---|---|---:|---:|---|");
    let mut all = true;
    for (scenario, variant, sets) in FLOWN {
        let name = format!("{scenario}:{variant}");
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let flight = shipped_flight(scenario, Some(variant), sets);
        let (rows, notes) = match compare(&flight, flights) {
            Ok(compared) => compared,
            Err(error) => {
                eprintln!("{name}: {error}");
                return ExitCode::FAILURE;
            }
        };
        for row in rows {
            let agrees = row.agrees();
            all &= agrees;
            println!(
                "| {name} | {} | {} to {} | {} | {} |",
                row.name,
                written(&row.name, quantile(&row.simulated, 0.025)),
                written(&row.name, quantile(&row.simulated, 0.975)),
                written(&row.name, median(&row.real)),
                if agrees { "agree" } else { "**differ**" },
            );
        }
        for note in notes {
            println!("| {name} | {note} | | | |");
        }
    }
    ExitCode::from(u8::from(!all))
}
