//! How true the simulation is: shipped scenarios flown on loopback several times and on virtual time on many seeds, side by side.
//!
//! `cargo run --release -p live --example worlds` writes a table in Markdown to standard output; it takes as long as the scenarios do, and needs
//! a machine that has nothing else to do. `worlds tutorial:meshed 1` flies one variant once. With `--arms ours,envoy` real Envoys have a column
//! beside our own proxies', with `--arms envoy` one without.
//!
//! A figure agrees when the median of the flights on loopback lies within the middle 95 % of the simulated seeds, or within 15 % of their
//! median; times of recovery within three seconds.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::process::ExitCode;

use live::{Proxies, find_envoy};
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
    /// By arm.
    real: Vec<Vec<f64>>,
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
    fn agrees(&self, arm: &[f64]) -> bool {
        let real = median(arm);
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

fn compare(
    flight: &Flight,
    flights: u64,
    arms: &[Proxies],
) -> Result<(Vec<Row>, Vec<String>), String> {
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
                    real: vec![Vec::new(); arms.len()],
                    slack,
                }),
            }
        }
    }
    for seed in first..first + flights {
        for (at, proxies) in arms.iter().enumerate() {
            let flown = live::fly(flight, seed, proxies, Options::default());
            let flown = flown.map_err(|error| error.to_string())?;
            let arm = name_of(proxies);
            let departures = flown.result.basis.departures.iter();
            let said = flown.remarks.iter().chain(departures);
            said.for_each(|what| eprintln!("{arm}: {what}"));
            notes.extend(flown.invalid.map(|why| format!("{arm}: {why}")));
            for (name, value, _) in figures(&flown.result) {
                if let Some(row) = rows.iter_mut().find(|row| row.name == name) {
                    row.real[at].push(value);
                }
            }
        }
    }
    rows.retain(|row| row.real.iter().all(|arm| !arm.is_empty()));
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
}

fn wishes() -> Result<Wishes, String> {
    let mut plain = Vec::new();
    let mut arms = vec![Proxies::Own];
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument != "--arms" {
            plain.push(argument);
            continue;
        }
        let named = arguments.next().unwrap_or_default();
        let each = named.split(',').map(|arm| match arm {
            "ours" => Ok(Proxies::Own),
            "envoy" => find_envoy(None)
                .map(Proxies::Envoy)
                .map_err(|error| error.to_string()),
            _ => Err(format!("`{arm}` is none of `ours` and `envoy`")),
        });
        arms = each.collect::<Result<_, _>>()?;
    }
    let mut plain = plain.into_iter();
    let only = plain.next();
    let flights = match plain.next() {
        Some(count) => count
            .parse()
            .map_err(|_| format!("`{count}` is no number"))?,
        None => FLIGHTS,
    };
    Ok(Wishes {
        only,
        flights,
        arms,
    })
}

fn main() -> ExitCode {
    let Wishes {
        only,
        flights,
        arms,
    } = match wishes() {
        Ok(wishes) => wishes,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let columns = arms
        .iter()
        .map(|arm| format!(" {}, median of {flights} | |", name_of(arm)));
    println!(
        "| scenario | figure | simulated, middle 95 % of {SEEDS} seeds |{}",
        columns.collect::<String>()
    );
    println!("|---|---|---:|{}", "---:|---|".repeat(arms.len()));
    let mut all = true;
    for (scenario, variant, sets) in FLOWN {
        let name = format!("{scenario}:{variant}");
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let flight = shipped_flight(scenario, Some(variant), sets);
        let (rows, notes) = match compare(&flight, flights, &arms) {
            Ok(compared) => compared,
            Err(error) => {
                eprintln!("{name}: {error}");
                return ExitCode::FAILURE;
            }
        };
        for row in rows {
            let columns = row.real.iter().map(|arm| {
                let agrees = row.agrees(arm);
                all &= agrees;
                let word = if agrees { "agree" } else { "**differ**" };
                format!(" {} | {word} |", written(&row.name, median(arm)))
            });
            let columns: String = columns.collect();
            println!(
                "| {name} | {} | {} to {} |{columns}",
                row.name,
                written(&row.name, quantile(&row.simulated, 0.025)),
                written(&row.name, quantile(&row.simulated, 0.975)),
            );
        }
        for note in notes {
            println!("| {name} | {note} | |{}", " | |".repeat(arms.len()));
        }
    }
    ExitCode::from(u8::from(!all))
}
