//! Several stations side by side, and what holds for any.

use testkit::flights::{flight, fly, scenario};

use crate::kit::NARROW;
use crate::kit::flights::{QUIET, exponential};
use crate::kit::interval::Comparison;

#[test]
fn a_fan_out_lasts_as_long_as_the_slowest_of_its_calls() {
    let mut comparison = Comparison::default();
    for (n, rate) in [(1, 25), (4, 21)] {
        let time = exponential(0.01);
        let calls = vec!["{call: {workload: leaf, request: GET /}}"; n as usize].join(", ");
        let result = fly(&scenario(&format!(
            "{QUIET}  mesh: none
  seed: 7
  workloads:
    front: {{concurrency: 1000000, handlers: [{{match: GET /, steps: [{{parallel: [{calls}]}}]}}]}}
    leaf: {{concurrency: 1000000, handlers: [{{match: GET /, time: {time}}}]}}
  load:
    - {{name: users, via: direct, requests: [{{host: front, path: /}}], open: {{rate: {rate}/s}}}}
"
        )));
        let harmonic: f64 = (1..=n).map(|k| 1.0 / f64::from(k)).sum();
        let name = &*format!("slowest of {n}");
        comparison.mean(name, 0.01 * harmonic, &result, NARROW);
        for q in [0.5, 0.99] {
            let one = libm::pow(q, 1.0 / f64::from(n));
            let expected = -0.01 * libm::log1p(-one);
            comparison.percentile((name, q), expected, &result, NARROW);
        }
    }
    comparison.finish();
}

#[test]
fn the_levels_told_are_exactly_the_times_spent() {
    // Little's law is an identity once everybody has gone: requests stop before the run does
    let text = scenario(
        "
  duration: 600s
  network: {latency: 0s}
  workloads:
    station: {concurrency: 3, handlers: [{match: GET /, time: {lognormal: {mean: 25ms, cv: 2}}}]}
  load:
    - {name: users, via: direct, requests: [{host: station, path: /}], open: {stages: [{hold: 100/s, for: 500s}]}}
",
    );
    let flight = flight(&text);
    let result = sim::fly(&flight, 8, sim::Options::default()).result;
    let (load, station) = (&result.loads[0], &result.workloads[0]);
    assert_eq!((load.failed, load.unfinished), (0, 0));
    assert!(load.sent > 49_000);
    let spent = load.ok_latency.mean().expect("there are successes") * load.succeeded as f64;
    let held: u64 = station.queue.area.iter().chain(&station.busy.area).sum();
    // the mean was rounded once
    assert!((held as f64 / spent - 1.0).abs() < 1e-12, "{held} {spent}");
}
