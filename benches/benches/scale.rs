//! How much fits: memory against requests, a cluster of a thousand services, and a minute of fifty thousand requests a second.
//!
//! Each case runs in a process of its own, since what is measured is the most memory that a process ever had. `CASES` (all, or names
//! with commas) is read from the environment.

use std::fmt::Write;
use std::process::Command;
use std::time::Instant;

use sim::Options;
use testkit::flights::{flight, scenario};

/// One thing that is measured.
struct Case {
    name: &'static str,
    what: &'static str,
    /// The scenario, of the whole size or of a small one that only shows that it runs.
    text: fn(briefly: bool) -> String,
}

const CASES: [Case; 5] = [
    Case {
        name: "million",
        what: "1,000,000 requests through one service",
        text: |briefly| one_service(if briefly { 1 } else { 1_000 }),
    },
    Case {
        name: "ten-million",
        what: "10,000,000 requests through one service",
        text: |briefly| one_service(if briefly { 10 } else { 10_000 }),
    },
    Case {
        name: "cluster",
        what: "1,000 services of 10 pods, each with a sidecar, made ready and flown for 1 s at 100 requests/s",
        text: |briefly| cluster(if briefly { 20 } else { 1_000 }),
    },
    Case {
        name: "rate",
        what: "60 s of 50,000 requests/s, each with three calls, without a mesh",
        text: |briefly| rate("none", briefly),
    },
    Case {
        name: "rate-sidecars",
        what: "the same with a sidecar beside every pod",
        text: |briefly| rate("istio\n  sidecars: {inject: [default]}", briefly),
    },
];

/// So many seconds of 1,000 requests/s on 10 slots of 7 ms: 70 % busy.
fn one_service(seconds: u32) -> String {
    scenario(&format!(
        "  duration: {seconds}s
  warmup: 0s
  mesh: none
  workloads:
    server: {{concurrency: 10, handlers: [{{match: GET /, time: {{exponential: {{mean: 7ms}}}}}}]}}
  load:
    - {{name: users, requests: [{{host: server, path: /}}], open: {{arrivals: poisson, rate: 1000/s}}}}
"
    ))
}

/// Services that each call the next one, up to the tenth.
fn cluster(services: u32) -> String {
    let mut workloads = String::new();
    for number in 0..services {
        let calls = if number % 10 < 9 && number + 1 < services {
            format!(
                ", steps: [{{call: {{workload: s{}, request: GET /}}}}]",
                number + 1
            )
        } else {
            String::new()
        };
        writeln!(
            workloads,
            "    s{number}: {{replicas: 10, handlers: [{{match: GET /, time: 5ms{calls}}}]}}"
        )
        .expect("a string takes all");
    }
    scenario(&format!(
        "  duration: 1s
  warmup: 0s
  mesh: istio
  sidecars: {{inject: [default]}}
  workloads:
{workloads}    client: {{handlers: []}}
  load:
    - {{name: users, via: client, requests: [{{host: s0, path: /}}], open: {{arrivals: poisson, rate: 100/s}}}}
"
    ))
}

/// A front that calls three services, one after the other, with enough pods for the rate.
fn rate(mesh: &str, briefly: bool) -> String {
    let millis = if briefly { 10 } else { 60_000 };
    let backs: String = ["a", "b", "c"]
        .map(|name| {
            format!("    {name}: {{replicas: 10, concurrency: 32, handlers: [{{match: GET /, time: {{exponential: {{mean: 2ms}}}}}}]}}\n")
        })
        .concat();
    scenario(&format!(
        "  duration: {millis}ms
  warmup: 0s
  mesh: {mesh}
  workloads:
    front: {{replicas: 20, concurrency: 64, handlers: [{{match: GET /, time: {{exponential: {{mean: 1ms}}}}, steps: [
      {{call: {{workload: a, request: GET /}}}}, {{call: {{workload: b, request: GET /}}}}, {{call: {{workload: c, request: GET /}}}}]}}]}}
{backs}    client: {{replicas: 10, handlers: []}}
  load:
    - {{name: users, via: client, requests: [{{host: front, path: /}}], open: {{arrivals: poisson, rate: 50000/s}}}}
"
    ))
}

/// The most memory that this process ever had, in MiB; none where the system does not tell.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time and prints it"
)]
fn run(case: &Case, briefly: bool) {
    let text = (case.text)(briefly);
    let start = Instant::now();
    let flight = flight(&text);
    let made = start.elapsed();
    let result = sim::fly(&flight, 1, Options::default()).result;
    let took = start.elapsed();
    let load = &result.loads[0];
    assert_eq!(load.failed, 0, "{}: a request failed", case.name);
    let memory = peak_memory().map_or_else(|| "unknown".to_owned(), |mib| format!("{mib:.0} MiB"));
    println!(
        "{}: {}: {} requests, read and assembled in {:.2} s, done after {:.2} s, at most {memory}",
        case.name,
        case.what,
        load.sent,
        made.as_secs_f64(),
        took.as_secs_f64(),
    );
}

fn main() {
    // `cargo test` runs benches to see that they run
    let briefly = std::env::args().any(|arg| arg == "--test");
    if let Ok(name) = std::env::var("SCALE_CASE") {
        let case = CASES.iter().find(|case| case.name == name);
        run(case.expect("a case of this bench"), briefly);
        return;
    }
    let wanted = std::env::var("CASES").unwrap_or_default();
    let is_wanted =
        |case: &&Case| wanted.is_empty() || wanted.split(',').any(|name| name == case.name);
    for case in CASES.iter().filter(is_wanted) {
        let program = std::env::current_exe().expect("a program knows where it is");
        let mut child = Command::new(program);
        child.env("SCALE_CASE", case.name);
        child.args(briefly.then_some("--test"));
        let ended = child.status().expect("this program can be started again");
        assert!(ended.success(), "{} failed", case.name);
    }
}
