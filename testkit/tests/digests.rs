//! The shipped scenarios give the same bytes today as yesterday, on this host as on others, alone as beside each other.
//!
//! `digests.txt` has a line for each flight. Where a change of the results is meant, this writes it anew:
//!
//! ```text
//! UPDATE=1 cargo test -p testkit --test digests
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use manifests::diagnostics::Diagnostics;
use manifests::text::Sources;
use rayon::prelude::*;
use scenarios::open::{FILE_NAME, open};
use sim::{Flight, Options};
use testkit::flights::flight_in;
use xxhash_rust::xxh3::xxh3_64;

/// Where the scenarios lie, seen from this crate: names of files are part of the results, names of this host are not.
const SCENARIOS: &str = "../scenarios";
const DIGESTS: &str = "tests/digests.txt";

/// A minute sees every fault begin; what has to be moved so that it fits is named here.
const SHORTENED: &[(&str, &[&str])] = &[
    ("canary", &["duration=60s", "changes.rollback.at=45s"]),
    (
        "eight-systems",
        &[
            "duration=60s",
            "faults.broken-pod.at=36s",
            "faults.slow-stock.at=40s",
        ],
    ),
    ("mm1", &["duration=60s", "warmup=10s"]),
];
const A_MINUTE: &[&str] = &["duration=60s"];
/// Scenarios that are flown once more, each flight alone.
const ALONE: [&str; 2] = ["noisy-neighbour", "zone-outage"];

/// One flight of a shipped scenario, as `scenario/variant`.
struct Shipped {
    name: String,
    flight: Flight,
}

fn shipped() -> Vec<Shipped> {
    let entries = fs::read_dir(SCENARIOS).expect("the scenarios");
    let folders = entries.map(|entry| entry.expect("an entry").path());
    let mut folders: Vec<_> = folders
        .filter(|folder| folder.join(FILE_NAME).exists())
        .collect();
    folders.sort();
    folders.iter().flat_map(|folder| variants(folder)).collect()
}

fn variants(folder: &Path) -> Vec<Shipped> {
    let scenario = folder.file_name().expect("a folder").to_string_lossy();
    let set = SHORTENED.iter().find(|(name, _)| *name == scenario);
    let set = set.map_or(A_MINUTE, |(_, set)| set);
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let opened = open(folder, &mut sources, &mut problems).expect("a scenario");
    let text = fs::read_to_string(folder.join(FILE_NAME)).expect("a text");
    let flights = opened.file.flights().into_iter();
    let flight = |variant| Shipped {
        name: format!("{scenario}/{variant}"),
        flight: flight_in(folder, &text, Some(variant), set),
    };
    flights.map(flight).collect()
}

/// What a flight leaves, waterfalls included, as its JSON.
fn digest(flight: &Flight) -> u64 {
    let (seed, options) = (flight.plan.seed, Options::default());
    let mut flown = sim::fly(flight, seed, options);
    flown.result.waterfalls = sim::waterfalls(flight, seed, &flown.picks, options);
    xxh3_64(reports::json::write(&[flown.result]).as_bytes())
}

fn digests(flights: &[Shipped]) -> BTreeMap<String, String> {
    let each = flights.par_iter();
    each.map(|it| (it.name.clone(), format!("{:016x}", digest(&it.flight))))
        .collect()
}

fn known() -> BTreeMap<String, String> {
    let text = fs::read_to_string(DIGESTS).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .map(|(name, digest)| (name.to_owned(), digest.to_owned()))
        .collect()
}

#[test]
fn every_shipped_flight_leaves_the_bytes_that_are_written_down() {
    let flown = digests(&shipped());
    if std::env::var_os("UPDATE").is_some() {
        let lines = flown
            .iter()
            .map(|(name, digest)| format!("{name} {digest}\n"));
        fs::write(DIGESTS, lines.collect::<String>()).expect("it can be written");
        return;
    }
    let known = known();
    let names: std::collections::BTreeSet<&String> = flown.keys().chain(known.keys()).collect();
    let differing: Vec<&&String> = names
        .iter()
        .filter(|name| flown.get(**name) != known.get(**name))
        .collect();
    assert!(
        differing.is_empty(),
        "{differing:?} differ from {DIGESTS}; if that is meant: UPDATE=1 cargo test -p testkit --test digests"
    );
}

#[test]
fn a_flight_alone_leaves_the_bytes_that_it_leaves_beside_others() {
    let folders = ALONE.map(|name| Path::new(SCENARIOS).join(name));
    let flights: Vec<Shipped> = folders.iter().flat_map(|folder| variants(folder)).collect();
    let beside = digests(&flights);
    for each in flights.iter().rev() {
        let alone = format!("{:016x}", digest(&each.flight));
        assert_eq!(alone, beside[&each.name], "{}", each.name);
    }
}
