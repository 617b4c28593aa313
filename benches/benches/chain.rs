//! What does policy cost over a bare event loop?
//!
//! A chain of five services under 280 requests/s, once as a hand-written loop and once as a scenario in each mode. All take
//! turns in one process, and medians are printed: nanoseconds a request, and how many times the bare loop's that is.
//!
//! `REQUESTS` (200,000), `REPETITIONS` (7) and `MODES` (all, or names with commas) are read from the environment.

use std::hint::black_box;
use std::time::Instant;

use benches::bare;
use benches::chain::Mode;
use sim::{Flight, Options};
use testkit::flights::flight;

/// One thing that is measured, and the nanoseconds a request of each repetition.
struct Row<'a> {
    name: &'a str,
    run: Box<dyn FnMut(u64) -> u64>,
    nanos: Vec<f64>,
}

impl Row<'_> {
    /// Runs once; `run` gives the number of requests that were answered.
    #[expect(
        clippy::disallowed_methods,
        reason = "a bench measures real time, and decides nothing by it"
    )]
    fn repeat(&mut self, seed: u64) {
        let start = Instant::now();
        let requests = black_box((self.run)(seed));
        let took = start.elapsed();
        self.nanos
            .push(took.as_nanos() as f64 / requests.max(1) as f64);
    }

    /// Lower quartile, median, upper quartile.
    fn quartiles(&self) -> [f64; 3] {
        let mut sorted = self.nanos.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| sorted[(sorted.len() - 1) * quarter / 4])
    }
}

/// Flies once; gives the number of requests that were answered.
fn answered(flight: &Flight, seed: u64, mode: Mode) -> u64 {
    let result = sim::fly(flight, seed, Options::default()).result;
    let load = &result.loads[0];
    assert_eq!(load.failed, 0, "{}: a request failed", mode.name());
    load.succeeded
}

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
    given.unwrap_or(default)
}

#[expect(clippy::print_stdout, reason = "a bench prints what it measured")]
fn main() {
    // `cargo test` runs benches to see that they run
    let briefly = std::env::args().any(|arg| arg == "--test");
    let requests = number("REQUESTS", if briefly { 2_000 } else { 200_000 });
    let repetitions = number("REPETITIONS", if briefly { 1 } else { 7 });
    let mut rows = vec![Row {
        name: "bare-lane",
        run: Box::new(move |seed| bare::run(requests, seed).done),
        nanos: Vec::new(),
    }];
    let wanted = std::env::var("MODES").unwrap_or_default();
    let is_wanted =
        |mode: &Mode| wanted.is_empty() || wanted.split(',').any(|name| name == mode.name());
    for mode in Mode::ALL.into_iter().filter(is_wanted) {
        let flight = flight(&mode.scenario(requests));
        rows.push(Row {
            name: mode.name(),
            run: Box::new(move |seed| answered(&flight, seed, mode)),
            nanos: Vec::new(),
        });
    }
    for seed in 1..=repetitions {
        rows.iter_mut().for_each(|row| row.repeat(seed));
    }
    let [_, bare, _] = rows[0].quartiles();
    for row in &rows {
        let [low, median, high] = row.quartiles();
        println!("{}: {median:.0} ns/request ({low:.0}-{high:.0})", row.name);
    }
    for row in &rows[1..] {
        let [_, median, _] = row.quartiles();
        println!("{}-over-bare-lane: {:.1}", row.name, median / bare);
    }
}
