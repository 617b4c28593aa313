//! Whatever scenario can be written runs to its end, loses no request and counts none twice.

use std::path::Path;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;
use reports::result::{LoadResult, RunResult};
use sim::{Flight, Flown, Options};
use testkit::flights::{flight_in, scenario};

mod manifests;

use manifests::{Entry, entry, policy};

/// How long each run lasts in milliseconds.
const LENGTH: u32 = 3_000;

/// A scenario, and the files that lie beside it.
#[derive(Clone, Debug)]
struct Given {
    spec: String,
    /// The manifests at the start.
    policy: String,
    /// Those that are pushed or applied later: a policy of the same names.
    pushed: String,
    /// The rows of a recorded load.
    rows: String,
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    select(words)
}

/// Some keys of a mapping, each left out or there, with a comma after each.
fn keys<const N: usize>(each: [BoxedStrategy<Option<String>>; N]) -> BoxedStrategy<String> {
    let each: Vec<_> = each.into();
    each.prop_map(|keys| keys.into_iter().flatten().collect())
        .boxed()
}

/// A key that may be left out.
fn maybe(
    key: &'static str,
    value: impl Strategy<Value = String> + 'static,
) -> BoxedStrategy<Option<String>> {
    option::of(value.prop_map(move |value| format!("{key}: {value}, "))).boxed()
}

fn millis(range: core::ops::Range<u32>) -> BoxedStrategy<String> {
    range.prop_map(|ms| format!("{ms}ms")).boxed()
}

fn number(range: core::ops::Range<u32>) -> BoxedStrategy<String> {
    range.prop_map(|n| n.to_string()).boxed()
}

fn share() -> BoxedStrategy<String> {
    (0_u32..=100).prop_map(|share| format!("{share}%")).boxed()
}

fn words(words: &'static [&'static str]) -> BoxedStrategy<String> {
    word(words).prop_map(str::to_owned).boxed()
}

/// Any kind of distribution, of a few milliseconds.
fn times() -> BoxedStrategy<String> {
    let few = || millis(1..30);
    let simple = prop_oneof![
        Just("0s".to_owned()),
        few(),
        few().prop_map(|mean| format!("{{exponential: {{mean: {mean}}}}}")),
        few().prop_map(|to| format!("{{uniform: {{from: 0s, to: {to}}}}}")),
        few().prop_map(|mean| format!("{{lognormal: {{mean: {mean}, cv: 2}}}}")),
        few().prop_map(|min| format!("{{pareto: {{min: {min}, shape: 1.5, max: 500ms}}}}")),
        few().prop_map(|mean| format!("{{gamma: {{mean: {mean}, shape: 0.5}}}}")),
        few().prop_map(|scale| format!("{{weibull: {{scale: {scale}, shape: 0.8}}}}")),
        few().prop_map(|p50| format!("{{percentiles: {{p50: {p50}, p100: 80ms}}}}")),
    ];
    let simple = simple.boxed();
    let mixture = (simple.clone(), simple.clone()).prop_map(|(a, b)| {
        format!("{{mixture: [{{weight: 3, time: {a}}}, {{weight: 1, time: {b}}}]}}")
    });
    prop_oneof![9 => simple, 1 => mixture].boxed()
}

/// How a client or a call tries: timeout, retries with waits between them or without, copies.
fn tries() -> BoxedStrategy<String> {
    let waits = option::of((1_u32..50, word(&["none", "equal", "full"])));
    let retries = option::of((1_u32..3, waits)).prop_map(|retries| {
        let (retries, waits) = retries?;
        let waits =
            waits.map(|(base, jitter)| format!("backoff: {{base: {base}ms, jitter: {jitter}}}, "));
        Some(format!("retries: {retries}, {}", waits.unwrap_or_default()))
    });
    let hedge =
        (1_u32..40, 1_u32..3).prop_map(|(after, max)| format!("{{after: {after}ms, max: {max}}}"));
    keys([
        maybe("timeout", millis(40..400)),
        retries.boxed(),
        maybe("hedge", hedge),
    ])
}

/// A call to one of the workloads that come later.
fn call(from: usize, count: usize) -> BoxedStrategy<String> {
    let more = keys([
        maybe("probability", share()),
        maybe("times", number(1..3)),
        maybe("size", words(&["0", "4KiB"])),
        maybe(
            "onError",
            words(&[
                "fail",
                "ignore",
                "{fallback: {status: 203}}",
                "{fail: {status: 503}}",
            ]),
        ),
    ]);
    (from + 1..count, tries(), more)
        .prop_map(|(to, tries, more)| {
            format!("{{call: {{workload: w{to}, request: GET /, {tries}{more}}}}}")
        })
        .boxed()
}

fn steps(from: usize, count: usize) -> BoxedStrategy<String> {
    let work = times().prop_map(|time| format!("{{time: {time}}}")).boxed();
    let step = if from + 1 < count {
        let call = call(from, count);
        let branches = vec(prop_oneof![2 => call.clone(), 1 => work.clone()], 0..3)
            .prop_map(|branches| format!("{{parallel: [{}]}}", branches.join(", ")));
        prop_oneof![3 => call, 1 => branches, 1 => work].boxed()
    } else {
        work
    };
    vec(step, 0..3).prop_map(|steps| steps.join(", ")).boxed()
}

fn workload(at: usize, count: usize) -> BoxedStrategy<String> {
    let queue = keys([
        maybe("limit", number(0..20)),
        maybe("discipline", words(&["fifo", "lifo", "ps"])),
    ]);
    let pod = keys([
        number(1..4)
            .prop_map(|n| Some(format!("replicas: {n}, ")))
            .boxed(),
        maybe("concurrency", number(1..6)),
        maybe("cpu", words(&["{cores: 0.5}", "{cores: 2}"])),
        maybe("queue", queue.prop_map(|queue| format!("{{{queue}}}"))),
        maybe("onCallerGone", words(&["continue", "abort"])),
    ]);
    let handler = keys([
        maybe("time", times()),
        maybe("errorRate", share()),
        maybe("slotDuringCalls", words(&["held", "released"])),
        maybe(
            "response",
            words(&["{status: 404, size: 1MiB}", "{status: 500}"]),
        ),
    ]);
    let start =
        (times(), times()).prop_map(|(after, ready)| format!("{{after: {after}, ready: {ready}}}"));
    // `b` is what a rollout may lead to, and what a subset may name
    let other = (times(), share(), number(0..3)).prop_map(|(time, errors, replicas)| {
        format!("{{b: {{replicas: {replicas}, handlers: [{{match: GET /, time: {time}, errorRate: {errors}}}]}}}}")
    });
    (pod, start, handler, steps(at, count), other)
        .prop_map(move |(pod, start, handler, steps, other)| {
            format!("    w{at}: {{{pod}start: {start}, versions: {other}, handlers: [{{match: GET /, {handler}steps: [{steps}]}}]}}\n")
        })
        .boxed()
}

/// A load; one in several is a recorded one, and where there is a way in most come by that.
fn load(at: usize, count: usize, entry: &Entry) -> BoxedStrategy<String> {
    let arrivals = || word(&["poisson", "constant"]);
    let stage = (any::<bool>(), 1_u32..150, 1_u32..1_000).prop_map(|(hold, rate, lasts)| {
        let verb = if hold { "hold" } else { "ramp" };
        format!("{{{verb}: {rate}/s, for: {lasts}ms}}")
    });
    let when = prop_oneof![
        (arrivals(), 1_u32..150)
            .prop_map(|(arrivals, rate)| format!("open: {{arrivals: {arrivals}, rate: {rate}/s}}")),
        (arrivals(), vec(stage, 1..4)).prop_map(|(arrivals, stages)| format!(
            "open: {{arrivals: {arrivals}, stages: [{}]}}",
            stages.join(", ")
        )),
        (1_u32..8, option::of(times())).prop_map(|(users, think)| {
            let think = think
                .map(|think| format!(", think: {think}"))
                .unwrap_or_default();
            format!("closed: {{users: {users}{think}}}")
        }),
    ];
    let client = keys([
        maybe("protocol", words(&["http/1.1", "http/2"])),
        maybe("connections", number(1..5)),
    ]);
    let to = (0..count).prop_map(|host| format!("w{host}")).boxed();
    let inside = prop_oneof![
        (Just("direct".to_owned()), to.clone()),
        ((0..count).prop_map(|workload| format!("w{workload}")), to),
    ]
    .boxed();
    let way = match entry.host() {
        Some(host) => {
            let by = Just(("gateway".to_owned(), host.to_owned()));
            prop_oneof![2 => by, 1 => inside].boxed()
        }
        None => inside,
    };
    let what = prop_oneof![4 => when.prop_map(Some), 1 => Just(None)];
    (way, what, path(), tries(), client)
        .prop_map(move |((via, host), when, path, tries, client)| {
            let what = match when {
                // the rows go to w0 or to the way in; whoever takes them otherwise has no route for them
                None => "trace: rows.csv".to_owned(),
                Some(when) => format!("requests: [{{host: {host}, path: {path}, headers: {{x-user: {{uniform: {{count: 3}}}}}}}}], {when}"),
            };
            let via = if what.starts_with("trace") { "direct" } else { &via };
            format!("    - {{name: l{at}, via: {via}, {what}, client: {{{tries}{client}}}}}\n")
        })
        .boxed()
}

fn path() -> BoxedStrategy<String> {
    words(&["/", "/shop/items?page=2"])
}

/// What was recorded: moments, and requests for `w0`.
fn rows() -> BoxedStrategy<String> {
    let row = (
        0..LENGTH,
        word(&["GET", "POST"]),
        option::of(number(0..5_000)),
    );
    vec(row, 1..60)
        .prop_map(|mut rows| {
            rows.sort_by_key(|(at, ..)| *at);
            let lines = rows.into_iter().map(|(at, method, size)| {
                let size = size.map(|size| format!(",{size}")).unwrap_or_default();
                format!("{at}ms,{method},w0,/{size}\n")
            });
            lines.collect()
        })
        .boxed()
}

/// Pods of a workload, or of a zone.
fn pods(count: usize) -> BoxedStrategy<String> {
    let some = keys([maybe("pods", words(&["1", "50%"]))]);
    prop_oneof![
        (0..count, some).prop_map(|(workload, some)| format!("{{workload: w{workload}, {some}}}")),
        word(&["a", "b"]).prop_map(|zone| format!("{{zone: {zone}}}")),
    ]
    .boxed()
}

/// What goes over an edge, or in and out of pods.
fn connections(count: usize) -> BoxedStrategy<String> {
    let edge = (option::of(0..count), 0..count).prop_map(|(from, to)| match from {
        Some(from) => format!("{{edge: [w{from}, w{to}]}}"),
        None => format!("{{edge: [l0, w{to}]}}"),
    });
    prop_oneof![edge, pods(count)].boxed()
}

fn fault(count: usize) -> BoxedStrategy<String> {
    let (pods, connections) = (|| pods(count), || connections(count));
    prop_oneof![
        (pods(), 1_u32..50)
            .prop_map(|(at, factor)| format!("slow: {{select: {at}, factor: {factor}}}")),
        (pods(), share()).prop_map(|(at, share)| format!(
            "error: {{select: {at}, status: 503, share: {share}}}"
        )),
        pods().prop_map(|at| format!("crash: {{select: {at}}}")),
        pods().prop_map(|at| format!("freeze: {{select: {at}}}")),
        (pods(), 1_u32..3).prop_map(|(at, slots)| format!(
            "capacity: {{select: {at}, slots: {slots}, cores: 0.3}}"
        )),
        pods().prop_map(|at| format!("dns: {{select: {at}}}")),
        pods().prop_map(|at| format!("expire: {{select: {at}}}")),
        (connections(), times())
            .prop_map(|(at, add)| format!("delay: {{select: {at}, add: {add}}}")),
        connections().prop_map(|at| format!("partition: {{select: {at}}}")),
        (
            connections(),
            word(&["loss", "reset", "blackhole"]),
            share()
        )
            .prop_map(|(at, kind, share)| format!("{kind}: {{select: {at}, share: {share}}}")),
        word(&["a", "b"]).prop_map(|zone| format!("outage: {{zone: {zone}}}")),
        (1_u32..4).prop_map(|factor| format!("surge: {{load: l0, factor: {factor}}}")),
        times().prop_map(|after| format!("push: {{apply: [pushed.yaml], propagation: {after}}}")),
    ]
    .boxed()
}

fn section(name: &str, lines: String) -> String {
    if lines.is_empty() {
        lines
    } else {
        format!("  {name}:\n{lines}")
    }
}

fn faults(count: usize) -> BoxedStrategy<String> {
    let fault = (0..LENGTH - 1, option::of(1_u32..2_000), fault(count));
    vec(fault, 0..4)
        .prop_map(|faults| {
            let faults = faults.into_iter().enumerate();
            let lines = faults.map(|(n, (at, lasts, kind))| {
                let lasts = lasts
                    .map(|lasts| format!("for: {lasts}ms, "))
                    .unwrap_or_default();
                format!("    - {{name: f{n}, at: {at}ms, {lasts}{kind}}}\n")
            });
            section("faults", lines.collect())
        })
        .boxed()
}

fn changes(count: usize) -> BoxedStrategy<String> {
    let kind = prop_oneof![
        (0..count, 0_u32..5)
            .prop_map(|(at, replicas)| format!("scale: {{workload: w{at}, replicas: {replicas}}}")),
        (0..count, 0_u32..2, 0_u32..3).prop_map(|(at, surge, out)| {
            format!("restart: {{workload: w{at}, maxSurge: {surge}, maxUnavailable: {out}}}")
        }),
        (0..count, 0_u32..2, 1_u32..3).prop_map(|(at, surge, out)| {
            format!("rollout: {{workload: w{at}, to: b, maxSurge: {surge}, maxUnavailable: {out}}}")
        }),
        (0..count, 0_u32..4).prop_map(|(at, replicas)| {
            format!("scale: {{workload: w{at}, version: b, replicas: {replicas}}}")
        }),
        times().prop_map(|after| format!("apply: [pushed.yaml], propagation: {after}")),
        word(&[
            "VirtualService/route",
            "PeerAuthentication/peers",
            "DestinationRule/rule, VirtualService/route",
        ])
        .prop_map(|gone| format!("apply: [pushed.yaml], remove: [{gone}]")),
    ];
    vec((0..LENGTH - 1, kind), 0..3)
        .prop_map(|changes| {
            let changes = changes.into_iter().enumerate();
            let lines = changes
                .map(|(n, (at, kind))| format!("    - {{name: c{n}, at: {at}ms, {kind}}}\n"));
            section("changes", lines.collect())
        })
        .boxed()
}

fn given() -> impl Strategy<Value = Given> {
    let mesh = word(&["none", "istio", "linkerd"]);
    (1_usize..5, mesh)
        .prop_flat_map(|(count, mesh)| (Just((count, mesh)), entry(mesh)))
        .prop_flat_map(|((count, mesh), entry)| {
            let workloads: Vec<_> = (0..count).map(|at| workload(at, count)).collect();
            let environment = (
                word(&["free", "measured", "windtunnel"]),
                1_u32..3,
                times(),
                option::of(0_u32..20),
                any::<u32>(),
            );
            let loads = (load(0, count, &entry), option::of(load(1, count, &entry)));
            let events = (faults(count), changes(count));
            let files = (policy(count), policy(count), rows());
            (environment, workloads, loads, events, files).prop_map(
                move |(environment, workloads, (first, second), (faults, changes), files)| {
                    let (cpu, workers, latency, loss, seed) = environment;
                    let (policy, pushed, rows) = files;
                    let loss = loss
                        .map(|loss| format!(", loss: {loss}%"))
                        .unwrap_or_default();
                    let spec = format!(
                        "  duration: {LENGTH}ms
  seed: {seed}
  manifests: [policy.yaml]
  mesh: {mesh}
{}  sidecars: {{inject: [default]}}
  proxies: {{concurrency: {workers}, cpu: {cpu}}}
  topology: {{zones: [a, b], nodes: 3}}
  network: {{latency: {latency}{loss}}}
  workloads:
{}  load:
{first}{}{faults}{changes}",
                        entry.gateway(),
                        workloads.concat(),
                        second.unwrap_or_default(),
                    );
                    Given {
                        spec,
                        policy: format!("{policy}{}", entry.manifest()),
                        pushed,
                        rows,
                    }
                },
            )
        })
}

fn flight(given: &Given, folder: &Path) -> Flight {
    for (name, text) in [
        ("policy.yaml", &given.policy),
        ("pushed.yaml", &given.pushed),
        ("rows.csv", &given.rows),
    ] {
        std::fs::write(folder.join(name), text).expect("a file");
    }
    flight_in(folder, &scenario(&given.spec), None, &[])
}

fn each_request_ends_once(load: &LoadResult) {
    assert_eq!(load.sent, load.succeeded + load.failed + load.unfinished);
    let finished = load.succeeded + load.failed;
    assert_eq!(load.reasons.values().sum::<u64>(), finished);
    assert_eq!(load.series.sent.iter().sum::<u64>(), load.sent);
    assert_eq!(load.series.succeeded.iter().sum::<u64>(), load.succeeded);
    assert!(load.client_attempts >= finished);
}

fn no_attempt_ends_twice(result: &RunResult) {
    for edge in &result.edges {
        let totals = edge.totals;
        let ends =
            totals.ok + totals.status_5xx + totals.timeouts + totals.broken + totals.cancelled;
        assert!(totals.attempts() >= ends, "{totals:?}");
        let refused: u64 = edge.rejected.iter().map(|by| by.count).sum();
        assert_eq!(refused, totals.rejected, "each refusal has its limit");
        let again: u64 = edge.retried.iter().map(|by| by.count).sum();
        let further = totals.retries + totals.hedges;
        assert_eq!(again, further, "each further attempt has its reason");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        max_shrink_iters: 2_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("proptest-regressions/robust.txt"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_scenario_runs_to_its_end_and_every_request_ends_once(given in given()) {
        let folder = tempfile::tempdir().expect("a folder");
        let flight = flight(&given, folder.path());
        let seed = flight.plan.seed;
        let Flown { result, picks } = sim::fly(&flight, seed, Options::default());
        result.loads.iter().for_each(each_request_ends_once);
        no_attempt_ends_twice(&result);
        let again = sim::fly(&flight, seed, Options::default());
        prop_assert!(again.result == result, "the same seed gives another result");
        let seen = sim::waterfalls(&flight, seed, &picks, Options::default());
        prop_assert_eq!(seen.len(), picks.len());
    }
}
