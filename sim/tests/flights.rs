//! Whole flights: what goes in comes out again, and faults strike as they do in a cluster.

use reports::outcome::ErrorReason;
use reports::result::{LoadResult, RunResult};
use reports::waterfall::{Chosen, SpanKind, Waterfall};
use sim::{Options, Pick};
use testkit::flights::{flight, fly, scenario};

const CHAIN: &str = "
  duration: 20s
  seed: 3
  network: {latency: 1ms}
  workloads:
    front: {replicas: 2, handlers: [{match: GET /, time: 2ms, steps: [{call: {workload: back, request: GET /x}}]}]}
    back: {replicas: 2, start: {after: 500ms, ready: 500ms}, handlers: [{match: GET /x, time: {exponential: {mean: 3ms}}}]}
  load:
    - {name: users, via: direct, requests: [{host: front, path: /}], open: {rate: 50/s}, client: {timeout: 2s}}
";

fn chain(more: &str) -> RunResult {
    fly(&scenario(&format!("{CHAIN}{more}")))
}

fn users(result: &RunResult) -> &LoadResult {
    let load = &result.loads[0];
    assert_eq!(load.sent, load.succeeded + load.failed + load.unfinished);
    load
}

/// The share of successes among requests of these seconds.
fn good(result: &RunResult, seconds: core::ops::Range<u64>) -> f64 {
    let width = result.time.window_ns;
    let at = |second: u64| (second * 1_000_000_000 / width) as usize;
    let windows = at(seconds.start)..at(seconds.end);
    let sum = |series: &[u64]| series[windows.clone()].iter().sum::<u64>() as f64;
    let series = &result.loads[0].series;
    sum(&series.succeeded) / sum(&series.sent)
}

/// Mean latency of successes in milliseconds.
fn mean(result: &RunResult) -> f64 {
    users(result).ok_latency.mean().expect("some are answered") / 1e6
}

fn reasons(result: &RunResult) -> Vec<ErrorReason> {
    let all = users(result).reasons.iter();
    all.filter(|(_, count)| **count > 0)
        .map(|(reason, _)| *reason)
        .collect()
}

#[test]
fn every_request_of_a_chain_is_answered() {
    let result = chain("");
    assert!(users(&result).sent > 900);
    assert_eq!(users(&result).failed, 0);
    // two hops of a millisecond each way, 2 ms, and 3 on average
    let mean = mean(&result);
    assert!((8.5..9.6).contains(&mean), "{mean} ms");
}

#[test]
fn the_same_seed_gives_the_same_result() {
    assert_eq!(chain(""), chain(""));
}

#[test]
fn a_proxy_on_either_end_changes_nothing_but_the_time_on_the_way() {
    let free = |mesh: &str| {
        let text = scenario(CHAIN).replace("{latency: 1ms}", "{latency: 0s}");
        let meshed = format!(
            "  mesh: {mesh}\n  sidecars: {{inject: [default]}}\n  proxies: {{cpu: free}}\n"
        );
        fly(&text.replace("  seed: 3\n", &format!("  seed: 3\n{meshed}")))
    };
    let (without, with) = (free("none"), free("istio"));
    assert_eq!(users(&without).series, users(&with).series);
}

#[test]
fn a_crash_breaks_what_is_under_way_and_refuses_until_the_process_is_back() {
    let crash = "
  faults: [{name: down, at: 5s, for: 5s, crash: {select: {workload: back}}}]
";
    let result = chain(crash);
    assert!(good(&result, 0..4) > 0.999);
    assert!(good(&result, 6..9) < 0.001);
    assert!(good(&result, 13..19) > 0.999);
    assert_eq!(
        reasons(&result),
        [ErrorReason::None, ErrorReason::Status5xx]
    );
}

#[test]
fn a_partition_holds_messages_back_until_it_heals() {
    let cut = "
  faults: [{name: cut, at: 5s, for: 3s, partition: {select: {edge: [front, back]}}}]
";
    let result = chain(cut);
    assert!(good(&result, 0..4) > 0.999);
    assert!(good(&result, 5..6) < 0.01, "the client waits 2 s");
    assert!(good(&result, 10..19) > 0.999);
    let found = reasons(&result);
    assert_eq!(found, [ErrorReason::None, ErrorReason::Timeout]);
}

#[test]
fn lost_messages_arrive_after_a_retransmission() {
    let lossy = "
  faults: [{name: lossy, at: 0s, for: 20s, loss: {select: {edge: [front, back]}, share: 10%}}]
";
    let (clean, lossy) = (chain(""), chain(lossy));
    // two messages a call, each lost with 0.1, then with 0.01, …: 200 ms, 400 ms more
    let extra = mean(&lossy) - mean(&clean);
    assert!((40.0..60.0).contains(&extra), "{extra} ms");
    assert_eq!(users(&lossy).failed, 0);
}

#[test]
fn a_delayed_edge_delays_both_directions() {
    let slow = "
  faults: [{name: slow, at: 0s, for: 20s, delay: {select: {edge: [front, back]}, add: 10ms}}]
";
    let (clean, slow) = (chain(""), chain(slow));
    let extra = mean(&slow) - mean(&clean);
    assert!((19.9..21.0).contains(&extra), "{extra} ms");
}

#[test]
fn connections_that_are_reset_fail_their_request() {
    let reset = "
  faults: [{name: reset, at: 0s, for: 20s, reset: {select: {edge: [front, back]}, share: 20%}}]
";
    let result = chain(reset);
    // 5 sigma of a binomial share of 1000 at 0.2
    let share = users(&result).failed as f64 / users(&result).sent as f64;
    assert!((share - 0.2).abs() < 0.064, "{share}");
}

#[test]
fn swallowed_requests_end_by_the_timeout_of_who_waits() {
    let hole = "
  faults: [{name: hole, at: 0s, for: 20s, blackhole: {select: {edge: [users, front]}, share: 50%}}]
";
    let result = chain(hole);
    let found = reasons(&result);
    assert_eq!(found, [ErrorReason::None, ErrorReason::Timeout]);
    let share =
        users(&result).failed as f64 / (users(&result).sent - users(&result).unfinished) as f64;
    assert!((share - 0.5).abs() < 0.08, "{share}");
}

#[test]
fn names_that_do_not_resolve_fail_new_connections_only() {
    let nameless = "
  faults: [{name: dns, at: 0s, for: 10s, dns: {select: {workload: front}}}]
";
    let result = chain(nameless);
    assert!(good(&result, 0..9) < 0.001);
    assert!(good(&result, 11..19) > 0.999);
}

#[test]
fn a_meshed_server_with_an_expired_certificate_takes_no_new_connection() {
    let text = scenario(CHAIN).replace(
        "  seed: 3\n",
        "  seed: 3\n  mesh: istio\n  sidecars: {inject: [default]}\n",
    );
    let text = text
        .replace("via: direct", "via: front")
        .replace("host: front", "host: back")
        .replace("path: /}", "path: /x}");
    let expired =
        "  faults: [{name: expired, at: 0s, for: 10s, expire: {select: {workload: back}}}]\n";
    let result = fly(&format!("{text}{expired}"));
    assert!(good(&result, 0..9) < 0.001, "{:?}", users(&result).reasons);
    assert!(good(&result, 11..19) > 0.999);
}

#[test]
fn a_frozen_process_answers_when_it_goes_on() {
    let frozen = "
  faults: [{name: pause, at: 5s, for: 1s, freeze: {select: {workload: back}}}]
";
    let result = chain(frozen);
    assert_eq!(users(&result).failed, 0);
    let longest = users(&result).ok_latency.max().expect("some are answered") as f64 / 1e9;
    assert!((0.9..1.1).contains(&longest), "{longest} s");
}

#[test]
fn a_scaled_workload_gets_requests_on_its_new_pods() {
    let text = "
  duration: 60s
  network: {latency: 0s}
  workloads:
    one: {concurrency: 1, handlers: [{match: GET /, time: {exponential: {mean: 10ms}}}]}
  load:
    - {name: users, via: direct, requests: [{host: one, path: /}], open: {rate: 150/s}, client: {timeout: 1s}}
  changes: [{name: more, at: 20s, scale: {workload: one, replicas: 4}}]
";
    let result = fly(&scenario(text));
    assert!(good(&result, 10..20) < 0.9, "1.5 times what one can do");
    assert!(good(&result, 40..59) > 0.999);
}

#[test]
fn a_rollout_loses_no_request() {
    let text = "
  duration: 60s
  mesh: istio
  sidecars: {inject: [default]}
  workloads:
    caller: {handlers: [{match: GET /, time: 1ms}]}
    served:
      replicas: 4
      start: {after: 1s, ready: 1s}
      handlers: [{match: GET /, time: 20ms}]
  load:
    - {name: users, via: caller, requests: [{host: served, path: /}], open: {rate: 100/s}, client: {timeout: 2s}}
  changes: [{name: again, at: 10s, restart: {workload: served}}]
";
    let result = fly(&scenario(text));
    assert_eq!(users(&result).failed, 0, "{:?}", users(&result).reasons);
    assert_eq!(result.changes[0].applied, 4);
}

fn watched(yaml: &str, number: u64) -> Waterfall {
    let flight = flight(yaml);
    let pick = Pick {
        chosen: Chosen::Typical,
        load: 0,
        user: None,
        number,
    };
    let mut seen = sim::waterfalls(&flight, flight.plan.seed, &[pick], Options::default());
    seen.pop().expect("it was sent")
}

#[test]
fn policies_on_one_seed_draw_alike_for_every_call_that_both_make() {
    let with = |retries: u32| {
        let faults = "  faults: [{name: bad, at: 2s, for: 2s, error: {select: {workload: back}, status: 503, share: 60%}}]\n";
        let call = format!("request: GET /x, retries: {retries}");
        let text = format!("{CHAIN}{faults}").replace("request: GET /x", &call);
        scenario(&text)
    };
    let works = |number: u64, retries: u32| -> Vec<u64> {
        let seen = watched(&with(retries), number);
        let spans = seen
            .spans
            .iter()
            .filter(|span| span.kind == SpanKind::Working);
        spans.map(|span| span.end_ns - span.start_ns).collect()
    };
    assert_ne!(fly(&with(0)).edges[0].totals, fly(&with(3)).edges[0].totals);
    // long after the retries of one of them have begun
    for number in [250, 300, 500] {
        assert_eq!(works(number, 0), works(number, 3));
        assert_eq!(works(number, 0).len(), 2);
    }
}

#[test]
fn a_watched_request_shows_where_its_time_went() {
    let seen = watched(&scenario(CHAIN), 100);
    let names: Vec<&str> = seen.lanes.iter().map(|lane| lane.name.as_str()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let total = seen.end_ns - seen.start_ns;
    for span in &seen.spans {
        assert!(
            span.start_ns <= span.end_ns && span.end_ns <= seen.end_ns,
            "{span:?}"
        );
        if let Some(parent) = span.parent {
            let parent = &seen.spans[parent as usize];
            assert!(
                parent.start_ns <= span.start_ns && span.end_ns <= parent.end_ns,
                "{span:?}"
            );
        }
    }
    let of = |kind: SpanKind| {
        let spans = seen.spans.iter().filter(|span| span.kind == kind);
        spans.map(|span| span.end_ns - span.start_ns).sum::<u64>()
    };
    // the first connection of each hop may cost more ways
    assert!(of(SpanKind::Working) + 4_000_000 <= total);
}
