//! Attempts under independent failures.

use std::path::Path;

use reports::figures::sum;
use reports::result::{EdgeResult, RunResult};
use testkit::flights::{flight_in, fly, scenario};

use crate::kit::NARROW;
use crate::kit::flights::QUIET;
use crate::kit::interval::{Comparison, batches};

/// Mean attempts and the share of calls that succeed, when each attempt fails with `p` and is tried again `retries` times.
fn expected(p: f64, retries: u32) -> (f64, f64) {
    let all_fail = libm::pow(p, f64::from(retries + 1));
    ((1.0 - all_fail) / (1.0 - p), 1.0 - all_fail)
}

/// A caller, and a callee that fails with probability `p`; `call` has further keys of the call, `more` of the scenario.
fn calling(p: f64, rate: f64, call: &str, more: &str) -> String {
    scenario(&format!(
        "{QUIET}{more}  seed: 9
  workloads:
    caller: {{concurrency: 1000000, handlers: [{{match: GET /, steps: [{{call: {{workload: callee, request: GET /, {call}}}}}]}}]}}
    callee: {{concurrency: 1000000, handlers: [{{match: GET /, time: 10ms, errorRate: {p}}}]}}
  load:
    - {{name: users, via: direct, requests: [{{host: caller, path: /}}], open: {{rate: {rate}/s}}}}
"
    ))
}

fn edge<'a>(result: &'a RunResult, from: &str, to: &str) -> &'a EdgeResult {
    let named = |at: u32| &*result.workloads[at as usize].name;
    let mut edges = result.edges.iter();
    let found = edges.find(|edge| named(edge.from) == from && named(edge.to) == to);
    found.expect("the edge is there")
}

fn compare(comparison: &mut Comparison, name: &str, p: f64, retries: u32, result: &RunResult) {
    let (attempts, success) = expected(p, retries);
    let calls = edge(result, "caller", "callee");
    let found = batches(&result.time).map(|span| {
        let counts = calls.counts(Some(span));
        counts.attempts() as f64 / counts.first as f64
    });
    comparison.holds(&format!("{name} attempts"), attempts, found, NARROW);
    let series = &result.loads[0].series;
    let found = batches(&result.time)
        .map(|span| sum(&series.succeeded, span) as f64 / sum(&series.sent, span) as f64);
    comparison.holds(&format!("{name} success"), success, found, NARROW);
}

#[test]
fn an_applications_own_retries_are_a_cut_off_geometric_series() {
    let mut comparison = Comparison::default();
    for (p, retries, rate) in [(0.5, 0, 6.0), (0.3, 1, 1.5), (0.5, 2, 1.5), (0.9, 5, 10.0)] {
        let call = format!("retries: {retries}");
        let result = fly(&calling(p, rate, &call, "  mesh: none\n"));
        let name = format!("{retries} retries at {p}");
        compare(&mut comparison, &name, p, retries, &result);
    }
    comparison.finish();
}

#[test]
fn a_sidecars_retries_are_a_cut_off_geometric_series() {
    let mut comparison = Comparison::default();
    for (p, retries, rate) in [(0.3, 1, 1.5), (0.5, 2, 1.5), (0.7, 3, 3.0)] {
        let folder = tempfile::tempdir().expect("a folder");
        let rule = format!(
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: callee, namespace: default}}
spec:
  hosts: [callee]
  http:
    - route: [{{destination: {{host: callee}}}}]
      retries: {{attempts: {retries}, retryOn: 5xx}}
"
        );
        let path = folder.path().join("retries.yaml");
        std::fs::write(path, rule).expect("a file");
        let mesh = "  mesh: istio\n  sidecars: {inject: [default]}\n  manifests: [retries.yaml]\n";
        let result = fly_in(folder.path(), &calling(p, rate, "", mesh));
        let name = format!("sidecar, {retries} retries at {p}");
        compare(&mut comparison, &name, p, retries, &result);
    }
    comparison.finish();
}

fn fly_in(folder: &Path, yaml: &str) -> RunResult {
    let flight = flight_in(folder, yaml, None, &[]);
    sim::fly(&flight, flight.plan.seed, sim::Options::default()).result
}

#[test]
fn retries_of_a_chain_multiply() {
    for retries in [1_u64, 2, 3] {
        let hop = |from: &str, to: &str| {
            format!(
                "    {from}: {{handlers: [{{match: GET /, steps: [{{call: {{workload: {to}, request: GET /, retries: {retries}}}}}]}}]}}\n"
            )
        };
        let chain = hop("a", "b") + &hop("b", "c") + &hop("c", "d");
        let result = fly(&scenario(&format!(
            "
  duration: 100s
  network: {{latency: 0s}}
  mesh: none
  workloads:
{chain}    d: {{handlers: [{{match: GET /, errorRate: 100%}}]}}
  load:
    - {{name: users, via: direct, requests: [{{host: a, path: /}}], open: {{rate: 10/s}}}}
"
        )));
        let load = &result.loads[0];
        assert_eq!((load.failed, load.unfinished), (load.sent, 0));
        for (depth, (from, to)) in (1..).zip([("a", "b"), ("b", "c"), ("c", "d")]) {
            let attempts = edge(&result, from, to).totals.attempts();
            let expected = load.sent * (1 + retries).pow(depth);
            assert_eq!(attempts, expected, "{retries} retries, depth {depth}");
        }
    }
}
