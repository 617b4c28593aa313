//! Flights on this machine: short ones, of which only that is asked which no clock decides.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use live::{Flown, Proxies, Refusal, find_envoy, fly};
use reports::outcome::Handled;
use reports::result::{EdgeResult, EdgeTotals, RunResult};
use sim::{Flight, Options};
use testkit::flights::{flight, flight_in, scenario, shipped};

/// Pods have the same addresses in every flight: one at a time.
static LOOPBACK: Mutex<()> = Mutex::new(());

fn flown(flight: &Flight) -> Flown {
    flown_by(flight, &Proxies::Own)
}

fn flown_by(flight: &Flight, proxies: &Proxies) -> Flown {
    let _one = LOOPBACK.lock().unwrap_or_else(PoisonError::into_inner);
    fly(flight, 7, proxies, Options::default()).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// Envoys, if the environment names one.
fn envoys() -> Option<Proxies> {
    if std::env::var_os("ENVOY").is_none() {
        eprintln!("SKIPPED: no Envoy to fly with; name its binary in $ENVOY");
        return None;
    }
    Some(Proxies::Envoy(find_envoy(None).expect("it is there")))
}

/// Five seconds of the tutorial, without its slow ones, at a tenth of its load.
fn tutorial(variant: &str, fault: &str) -> Flight {
    let folder = shipped().join("tutorial");
    let text = std::fs::read_to_string(folder.join("scenario.yaml")).expect("it is shipped");
    let (before, rest) = text.split_once("  faults:\n").expect("a fault");
    let (_, variants) = rest.split_once("  variants:\n").expect("variants");
    let text = format!("{before}{fault}  variants:\n{variants}")
        .replace("duration: 150s", "duration: 5s")
        .replace("warmup: 10s", "warmup: 0s")
        .replace("rate: 200/s", "rate: 20/s");
    flight_in(&folder, &text, Some(variant), &[])
}

fn edge<'r>(result: &'r RunResult, from: &str, to: &str) -> &'r EdgeResult {
    let at = |name: &str| {
        let mut all = result.workloads.iter();
        all.position(|it| it.name == name).expect("a workload") as u32
    };
    let (from, to) = (at(from), at(to));
    let mut edges = result.edges.iter();
    edges
        .find(|it| (it.from, it.to) == (from, to))
        .expect("an edge")
}

#[test]
fn requests_pass_a_gateway_and_two_sidecars_with_mutual_tls() {
    let flown = flown(&tutorial("meshed", ""));
    let load = &flown.result.loads[0];
    let ok = load.succeeded;
    // what was sent in the last moments is still on its way
    assert!(
        ok > 60 && load.sent - ok < 20,
        "{} of {}",
        load.succeeded,
        load.sent
    );
    let edge = edge(&flown.result, "api-gateway", "service-a");
    assert!(
        edge.totals.first >= ok && edge.totals.retries == 0,
        "{:?}",
        edge.totals
    );
    assert!(
        edge.totals.status_5xx == 0 && edge.totals.broken == 0,
        "{:?}",
        edge.totals
    );
    let names: Vec<&str> = flown
        .result
        .proxies
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    assert!(names.contains(&"api-gateway-0 gateway"), "{names:?}");
    assert!(names.contains(&"service-a-1 sidecar"), "{names:?}");
}

#[test]
fn strict_lets_no_gateway_in_that_stands_outside_the_mesh() {
    let flown = flown(&tutorial("guide", ""));
    let load = &flown.result.loads[0];
    assert!(load.sent > 60, "{} of {}", load.succeeded, load.sent);
    assert_eq!(load.succeeded, 0);
}

#[test]
fn a_policy_retries_what_a_fault_answers() {
    let fault = "  faults:\n    - {name: broken, at: 1s, for: 3s, error: {select: {workload: service-a}, status: 503, share: 100%}}\n";
    let flown = flown(&tutorial("storm", fault));
    let edge = edge(&flown.result, "api-gateway", "service-a");
    let totals = edge.totals;
    assert!(
        totals.retries > 20 && totals.status_5xx > totals.retries,
        "{totals:?}"
    );
    let rules: Vec<_> = edge.retried.iter().map(|by| by.origin).collect();
    assert!(
        !rules.is_empty() && rules.iter().all(Option::is_some),
        "{rules:?}"
    );
}

/// Of both arms: ours first.
fn both(flight: &Flight, envoys: &Proxies) -> [RunResult; 2] {
    [&Proxies::Own, envoys].map(|proxies| flown_by(flight, proxies).result)
}

#[test]
fn envoys_carry_what_our_proxies_carry() {
    let Some(envoys) = envoys() else { return };
    let [ours, theirs] = both(&tutorial("meshed", ""), &envoys);
    for result in [&ours, &theirs] {
        let load = &result.loads[0];
        assert!(load.sent - load.succeeded < 20, "{load:?}");
        let totals = edge(result, "api-gateway", "service-a").totals;
        assert!(totals.first >= load.succeeded, "{totals:?}");
        assert_eq!(totals.retries + totals.status_5xx + totals.broken, 0);
    }
    assert_eq!(ours.loads[0].sent, theirs.loads[0].sent);
    let names = |result: &RunResult| -> Vec<String> {
        let proxies = result.proxies.iter();
        proxies.map(|proxy| proxy.name.clone()).collect()
    };
    assert_eq!(names(&ours), names(&theirs));
    let departures = &theirs.basis.departures;
    let rings = departures.iter().filter(|it| it.contains("Kong's ring"));
    assert_eq!(rings.count(), 1, "{departures:?}");
}

#[test]
fn envoys_retry_what_our_proxies_retry() {
    let Some(envoys) = envoys() else { return };
    let fault = "  faults:\n    - {name: broken, at: 1s, for: 3s, error: {select: {workload: service-a}, status: 503, share: 100%}}\n";
    let [ours, theirs] = both(&tutorial("storm", fault), &envoys);
    let edges = [&ours, &theirs].map(|result| edge(result, "api-gateway", "service-a"));
    let [own, other] = edges.map(|edge| edge.totals);
    assert!(own.retries > 100, "{own:?}");
    // the fault begins and ends while some requests are under way
    let apart = |pick: fn(&EdgeTotals) -> u64| pick(&own).abs_diff(pick(&other));
    assert!(apart(|it| it.retries) <= 16, "{own:?} {other:?}");
    assert!(apart(|it| it.status_5xx) <= 16, "{own:?} {other:?}");
    assert!(apart(|it| it.ok) <= 8, "{own:?} {other:?}");
    let rules = edges.map(|edge| -> Vec<_> {
        let retried = edge.retried.iter();
        retried.map(|by| (by.origin, by.condition)).collect()
    });
    assert!(!rules[0].is_empty());
    assert_eq!(rules[0], rules[1]);
}

#[test]
fn envoys_learn_of_a_canary_and_eject_it_when_it_fails() {
    let Some(envoys) = envoys() else { return };
    let folder = shipped().join("canary");
    let text = std::fs::read_to_string(folder.join("scenario.yaml")).expect("it is shipped");
    let text = text
        .replace("duration: 2m", "duration: 8s")
        .replace("warmup: 10s", "warmup: 0s")
        .replace("rate: 200/s", "rate: 150/s")
        .replace("at: 30s", "at: 2s")
        .replace("at: 90s", "at: 7900ms")
        .replace("exponential: {mean: 1s}", "exponential: {mean: 200ms}")
        .replace("errorRate: 50%", "errorRate: 100%");
    let one_worker = ["proxies.concurrency=1"];
    let flight = flight_in(&folder, &text, Some("per-version"), &one_worker);
    for result in both(&flight, &envoys) {
        let canary = edge(&result, "shop", "reviews-v2").totals;
        // three callers, for each of whom three in a row are enough
        assert!((9..15).contains(&canary.status_5xx), "{canary:?}");
        let ejections: u64 = result.clusters.iter().map(|it| it.ejections).sum();
        assert_eq!(ejections, 3, "{:?}", result.clusters);
        let refused: u64 = result.edges.iter().map(|it| it.totals.rejected).sum();
        assert!(refused > 5, "{:?}", result.edges);
        let stable = edge(&result, "shop", "reviews-v1").totals;
        assert!(stable.ok > 500, "{stable:?}");
    }
}

#[test]
fn services_call_each_other_and_full_queues_refuse() {
    let text = scenario(
        "
  duration: 3s
  workloads:
    front: {replicas: 1, concurrency: 100, handlers: [{match: GET /, steps: [{call: {service: back, request: GET /}}]}]}
    back: {replicas: 1, concurrency: 1, queue: {limit: 1}, handlers: [{match: GET /, time: 200ms}]}
  load:
    - {name: users, via: direct, requests: [{host: front, path: /}], open: {arrivals: constant, rate: 50/s}}
",
    );
    let flown = flown(&flight(&text));
    let result = &flown.result;
    let back = result
        .workloads
        .iter()
        .find(|it| it.name == "back")
        .expect("it is there");
    let refused = back.handled[&Handled::Refused];
    let served = back.handled[&Handled::Served];
    assert!(served > 5 && refused > 50, "{:?}", back.handled);
    let calls = edge(result, "front", "back").totals;
    assert!(calls.ok > 5 && calls.status_5xx > 50, "{calls:?}");
}

#[test]
fn what_cannot_be_brought_about_is_refused_before_the_run() {
    let text = scenario(
        "
  duration: 60s
  workloads:
    front: {replicas: 2, handlers: [{match: GET /, time: 1ms}]}
  load:
    - {name: users, via: direct, requests: [{host: front, path: /}], open: {arrivals: constant, rate: 5/s}}
  faults:
    - {name: cut, at: 10s, for: 10s, partition: {select: {workload: front}}}
  changes:
    - {name: more, at: 5s, scale: {workload: front, replicas: 3}}
",
    );
    let flight = flight_in(Path::new("."), &text, None, &[]);
    let refusal = fly(&flight, 1, &Proxies::Own, Options::default()).expect_err("it is refused");
    let Refusal::NotThere(all) = refusal else {
        panic!("{refusal}");
    };
    assert_eq!(
        all,
        ["fault `cut` is a `partition`", "change `more` is a `scale`"]
    );
}
