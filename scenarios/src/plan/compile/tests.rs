use std::fmt::Write as _;

use manifests::diagnostics::Diagnostics;
use manifests::text::Sources;
use proxy_core::time::{Duration, Time};

use crate::assumptions::AssumptionSource;
use crate::format::scalars::HIGHEST_RATE;
use crate::plan::events::CountOrShare;
use crate::plan::load::{Process, Via};
use crate::plan::program::{OnError, Step};
use crate::plan::{
    ChangeKind, FaultKind, HeaderValue, Known, KnownService, KnownWorkload, MeshSystem, Plan,
};
use crate::read::{File, Memory, Override};

/// The manifests that the example of the reference stands on.
fn layered() -> Known {
    Known {
        workloads: vec![KnownWorkload {
            namespace: "default".to_owned(),
            name: "service-a".to_owned(),
            replicas: 3,
            in_manifests: true,
            is_gateway: false,
        }],
        services: vec![KnownService {
            namespace: "default".to_owned(),
            name: "service-a".to_owned(),
            ports: vec![80],
            workloads: vec![0],
            in_manifests: true,
        }],
        gateways: vec!["default/api-gateway".to_owned()],
    }
}

fn compile(
    text: &str,
    known: &Known,
    variant: Option<&str>,
    sets: &[&str],
) -> (Option<Plan>, String) {
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let source = sources.add("s.yaml", text);
    let file = File::parse(&sources, source, &mut problems);
    let overrides: Vec<Override> = sets
        .iter()
        .filter_map(|set| Override::parse(set, &mut sources, &mut problems))
        .collect();
    let flight = file.and_then(|file| file.flight(variant, &overrides, &sources, &mut problems));
    let files = Memory(
        [
            (
                "rows.csv",
                "time,method,host,path,size\n0.5,GET,a,/x\n200ms,POST,a,/y,1KiB\n0.7,GET,a,/x\n",
            ),
            ("wrong.csv", "0.5,GET,a\n1,GET,b c,/\n"),
            ("times.txt", "# from a trace\n5ms\n7ms\n"),
        ]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect(),
    );
    let plan = flight
        .and_then(|flight| Plan::compile(&flight, known, &files, &mut sources, &mut problems));
    (plan, problems.to_lines(&sources))
}

/// A scenario whose `spec` has these lines beside what it needs.
fn spec(lines: &str) -> String {
    let mut text = String::from(
        "apiVersion: windtunnel.dev/v1alpha1\nkind: Scenario\nmetadata: {name: t}\nspec:\n",
    );
    for (key, line) in [
        ("duration", "duration: 60s"),
        (
            "workloads",
            "workloads: {a: {concurrency: 4, handlers: [{match: /, time: 1ms}]}}",
        ),
        (
            "load",
            "load: [{name: l, via: direct, open: {rate: 10/s}, client: {timeout: 1s}, requests: [{host: a, path: /}]}]",
        ),
    ] {
        if !lines.lines().any(|given| given.starts_with(key)) {
            writeln!(text, "  {line}").expect("a String takes every write");
        }
    }
    for line in lines.lines() {
        writeln!(text, "  {line}").expect("a String takes every write");
    }
    text
}

fn good(lines: &str) -> Plan {
    let (plan, problems) = compile(&spec(lines), &Known::default(), None, &[]);
    assert_eq!(problems, "", "{lines}");
    plan.expect("nothing was reported")
}

const EVERY_KEY: &str = include_str!("../../../tests/data/every-key.yaml");

#[test]
fn the_reference_example_compiles_without_a_word() {
    let (plan, problems) = compile(EVERY_KEY, &layered(), None, &[]);
    assert_eq!(problems, "");
    let plan = plan.expect("nothing was reported");
    assert_eq!(
        (plan.name.as_str(), plan.flight.as_str(), plan.seed),
        ("layered-checkout", "base", 7)
    );
    assert_eq!(plan.epoch, 1_767_603_600);
    assert_eq!(
        plan.mesh.as_ref().map(|mesh| mesh.system),
        Some(MeshSystem::Istio)
    );
    assert_eq!(plan.gateways[0].kind.as_deref(), Some("kong"));
    assert_eq!(plan.topology.nodes.len(), 6);
    assert_eq!(plan.topology.zone_of(plan.topology.place(0, 1)).index(), 1);
    let names: Vec<String> = plan.workloads.iter().map(|each| each.full_name()).collect();
    assert_eq!(
        names,
        [
            "default/service-a",
            "default/service-b",
            "default/service-c",
            "default/service-d"
        ]
    );
    assert_eq!(plan.workloads[0].replicas(), 2);
    assert!(plan.workloads[0].in_manifests && !plan.workloads[1].in_manifests);
    assert_eq!(plan.loads[0].via, Via::Gateway(None));
    assert!(
        matches!(&plan.faults[0].kind, FaultKind::Slow { select, factor } if *factor == 10.0 && select.workload == plan.workload_named("service-b"))
    );
    assert!(
        matches!(&plan.changes[0].kind, ChangeKind::Apply { apply, .. } if *apply[0] == "fix/")
    );
    assert_eq!(plan.expectations.len(), 4);
    let assumed: Vec<&str> = plan
        .assumptions
        .iter()
        .map(|each| each.path.as_str())
        .collect();
    assert_eq!(
        assumed,
        [
            "workloads.service-b.concurrency",
            "workloads.service-c.concurrency",
            "workloads.service-d.concurrency",
        ]
    );
}

#[test]
fn the_first_handler_of_the_example_forks_its_calls() {
    let plan = compile(EVERY_KEY, &layered(), None, &[])
        .0
        .expect("it is the reference");
    let program = &plan.program;
    let behaviour = plan.workloads[0].versions[0].behaviour;
    let handler = program
        .handler_for(behaviour, "GET", "/service-a")
        .expect("it takes every path");
    let first = program.handlers[handler.index()].first.index();
    let steps = &program.steps[first..first + 8];
    assert!(matches!(steps[0], Step::Work { draw: 0, .. }));
    assert!(matches!(
        steps[1],
        Step::MayFail {
            status: 500,
            draw: 1,
            ..
        }
    ));
    let Step::Call(call) = steps[2] else {
        panic!("{:?}", steps[2])
    };
    assert_eq!(program.calls[call.index()].probability, 0.8);
    assert_eq!(
        program.calls[call.index()].on_error,
        OnError::Fail { status: 500 }
    );
    let Step::Fork {
        first: branch,
        count: 2,
        after,
    } = steps[3]
    else {
        panic!("{:?}", steps[3])
    };
    assert!(matches!(
        steps[4..8],
        [Step::Call(_), Step::Join, Step::Call(_), Step::Join]
    ));
    assert_eq!(program.branches[branch as usize].index(), first + 4);
    assert_eq!(program.branches[branch as usize + 1].index(), first + 6);
    assert_eq!(after.index(), first + 8);
    assert!(matches!(program.steps[first + 8], Step::Work { .. }));
    assert_eq!(program.steps[first + 9], Step::Reply);
}

#[test]
fn a_variant_appends_merges_and_takes_away() {
    let (plan, problems) = compile(EVERY_KEY, &layered(), Some("budget"), &[]);
    assert_eq!(problems, "");
    let plan = plan.expect("nothing was reported");
    assert_eq!(plan.flight, "budget");
    let layers: Vec<&str> = plan.manifests.iter().map(|each| each.as_str()).collect();
    assert_eq!(layers, ["layered/", "budget/"]);

    let text = spec(
        "variants:\n  more: {load: {l: {open: {stages: [{ramp: 20/s, for: 10s}]}}}, workloads: {a: {concurrency: 9}, b: {concurrency: 1, handlers: []}}}\n  bare: {description: as it stands}\n  none: {load+: [], workloads: {a: null, c: {concurrency: 1, handlers: [{match: /}]}}, load: {l: {requests: {0: {host: c}}}}}",
    );
    let (plan, problems) = compile(&text, &Known::default(), Some("more"), &[]);
    assert_eq!(problems, "");
    let plan = plan.expect("nothing was reported");
    assert!(
        matches!(&plan.loads[0].process, Process::Open { stages, .. } if stages.len() == 1 && stages[0].to == 20.0)
    );
    assert_eq!(plan.program.behaviours[0].concurrency, 9);
    assert_eq!(plan.workloads.len(), 2);
    let (plan, problems) = compile(&text, &Known::default(), Some("none"), &[]);
    assert_eq!(problems, "");
    assert_eq!(&*plan.expect("nothing was reported").workloads[0].name, "c");
}

#[test]
fn a_variant_without_edits_names_the_scenario_as_it_stands() {
    let text = spec("variants: {guide: {description: as it stands}, other: {seed: 2}}");
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let source = sources.add("s.yaml", text.clone());
    let file = File::parse(&sources, source, &mut problems).expect("it is a scenario");
    assert_eq!(file.flights(), ["guide", "other"]);
    let (plan, _) = compile(&text, &Known::default(), None, &[]);
    let plan = plan.expect("it is a scenario");
    assert_eq!(
        (plan.flight.as_str(), plan.description.as_deref()),
        ("guide", Some("as it stands"))
    );
}

#[test]
fn overrides_reach_everything_by_name_or_number() {
    let sets = [
        "load.l.open.rate=20/s",
        "load.0.client.timeout=2s",
        "workloads.a.handlers.0.time={exponential: {mean: 3ms}}",
        "spec.seed=9",
        "metadata.name=other",
    ];
    let (plan, problems) = compile(&spec(""), &Known::default(), None, &sets);
    assert_eq!(problems, "");
    let plan = plan.expect("nothing was reported");
    assert_eq!((plan.name.as_str(), plan.seed), ("other", 9));
    assert!(
        matches!(&plan.loads[0].process, Process::Open { stages, .. } if stages[0].from == 20.0)
    );
    let policy = plan.program.policies[plan.loads[0].client.policy.index()];
    assert_eq!(
        policy.timeout.map(|timer| timer.after),
        Some(Duration::from_secs(2))
    );
    let (_, problems) = compile(
        &spec(""),
        &Known::default(),
        None,
        &["load.l.open.rat=20/s"],
    );
    assert_eq!(
        problems,
        "--set load.l.open.rat:1:1: error[field::unknown]: unknown field `rat`: did you mean `rate`?\n"
    );
    let (_, problems) = compile(
        &spec(""),
        &Known::default(),
        None,
        &["load.m.open.rate=20/s"],
    );
    assert!(
        problems.contains("error[variant::unknown-item]: `load` has no item `m`"),
        "{problems}"
    );
    let (_, problems) = compile(&spec(""), &Known::default(), None, &["load"]);
    assert!(problems.contains("error[override::syntax]"), "{problems}");
}

#[test]
fn every_fault_and_change_is_resolved() {
    let plan = good(
        "topology: {zones: [x, y], nodes: 4}
workloads:
  a: {replicas: 4, concurrency: 2, cpu: {cores: 1}, start: {after: 1s, ready: 1s}, handlers: [{match: /, time: 1ms}], versions: {v2: {concurrency: 3}}}
  b: {concurrency: 2, start: {after: 1s, ready: 1s}, handlers: [{match: /}]}
faults:
  - {name: f1, at: 1s, for: 2s, slow: {select: {workload: a, pods: 50%}, factor: 3}}
  - {name: f2, at: 1s, error: {select: {workload: a, version: v2}, status: 503, share: 10%}}
  - {name: f3, at: 1s, crash: {select: {workload: a, pods: 1}}}
  - {name: f4, at: 1s, freeze: {select: {node: node-2}}}
  - {name: f5, at: 1s, capacity: {select: {workload: a}, slots: 1, cores: 0.5}}
  - {name: f6, at: 1s, delay: {select: {edge: [l, a]}, add: {uniform: {from: 1ms, to: 2ms}}}}
  - {name: f7, at: 1s, loss: {select: {edge: [a, b]}, share: 5%}}
  - {name: f8, at: 1s, partition: {select: {zone: x}}}
  - {name: f9, at: 1s, reset: {select: {workload: b}}}
  - {name: f10, at: 1s, blackhole: {select: {edge: [gateway, b]}, share: 0.5}}
  - {name: f11, at: 1s, outage: {zone: y}}
  - {name: f12, at: 1s, dns: {select: {workload: a}}}
  - {name: f13, at: 1s, expire: {select: {workload: a}}}
  - {name: f14, at: 1s, for: 5s, surge: {load: l, factor: 3}}
  - {name: f15, at: 1s, for: 5s, push: {apply: [bad/], propagation: 1s}}
changes:
  - {name: c1, at: 2s, apply: [x.yaml], remove: [VirtualService/y], propagation: {exponential: {mean: 1s}}}
  - {name: c2, at: 2s, scale: {workload: b, replicas: 3}}
  - {name: c3, at: 2s, restart: {workload: a, maxUnavailable: 1}}
  - {name: c4, at: 2s, rollout: {workload: a, to: v2, maxSurge: 100%}}",
    );
    let kinds: Vec<&str> = plan.faults.iter().map(|fault| fault.kind.name()).collect();
    assert_eq!(kinds.len(), 15);
    assert_eq!(kinds[..3], ["slow", "error", "crash"]);
    let edges = plan.faults.iter().filter(|fault| {
        fault
            .kind
            .select()
            .is_some_and(|select| select.edge.is_some())
    });
    assert_eq!(edges.count(), 3);
    assert_eq!(plan.loads[0].surges.len(), 1);
    assert!(
        matches!(plan.changes[3].kind, ChangeKind::Rollout { to: 1, pace, .. } if pace.max_surge == CountOrShare::Share(1.0))
    );
    assert_eq!(&*plan.workloads[0].versions[1].labels[0].1, "v2");
}

#[test]
fn every_distribution_and_header_is_read() {
    let plan = good(
        "workloads:
  a:
    concurrency: 1
    handlers:
      - match: /
        steps:
          - time: {constant: 1ms}
          - time: {uniform: {from: 1ms, to: 2ms}}
          - time: {exponential: {mean: 1ms}}
          - time: {lognormal: {mean: 5ms, cv: 1.5}}
          - time: {lognormal: {median: 5ms, p999: 80ms}}
          - time: {pareto: {min: 1ms, shape: 1.5, max: 10s}}
          - time: {pareto: {mean: 3ms, shape: 2}}
          - time: {weibull: {scale: 1ms, shape: 0.7}}
          - time: {weibull: {mean: 1ms, shape: 0.7}}
          - time: {gamma: {mean: 1ms, shape: 4}}
          - time: {mixture: [{weight: 9, time: 1ms}, {weight: 1, time: {exponential: {mean: 1s}}}]}
          - time: {percentiles: {p50: 1ms, p99.9: 9ms, p100: 10ms}}
          - time: {file: times.txt}
load:
  - {name: l, via: direct, closed: {users: 3, think: 1s}, client: {timeout: 1s, protocol: http/2, retries: 2, backoff: {base: 10ms}, hedge: {after: 5ms}}, requests: [{host: a.default.svc.cluster.local, path: /, headers: {X-User: {zipf: {count: 10, prefix: u}}, x-b: {list: [p, q]}, x-c: plain, x-d: {uniform: {count: 2}}}}]}
  - {name: t, via: a, trace: rows.csv, client: {timeout: 1s}}",
    );
    // The steps', the think time, and what is assumed of start-up and network.
    assert_eq!(plan.program.distributions.len(), 13 + 1 + 2 + 4);
    let headers = &plan.requests[0].headers;
    assert_eq!(&*headers[0].0, "x-user");
    assert!(matches!(&headers[0].1, HeaderValue::Drawn(drawn) if drawn.count() == 10));
    let Process::Trace(rows) = &plan.loads[1].process else {
        panic!("it is a trace")
    };
    assert_eq!(
        rows.iter()
            .map(|row| row.at.as_nanos() / 1_000_000)
            .collect::<Vec<_>>(),
        [200, 500, 700]
    );
    assert_eq!(plan.loads[1].mix.len(), 2);
    assert_eq!(plan.requests[rows[0].request.index()].size, 1024);
}

/// Rows of lines under `spec` and the diagnostics that they give, without place.
#[test]
fn what_does_not_fit_together_is_reported() {
    let rows: &[(&str, &[&str])] = &[
        ("warmup: 60s", &["error[scenario::warmup]: the warm-up leaves no time to measure"]),
        ("duration: 0s", &["error[scenario::duration]: a scenario lasts longer than no time", "error[load::no-requests]: no request ever comes"]),
        ("mesh: isto", &["error[mesh::unknown]: there is no mesh `isto`: did you mean `istio`?"]),
        ("topology: {zones: [a, b, c], nodes: 2}", &["error[topology::nodes]: 2 machines are too few for 3 zones"]),
        ("sidecars: {inject: [x], skip: [x]}", &["error[sidecars::both]: `x` is both injected and skipped"]),
        ("remove: [x]", &["error[object::reference]: `x` is not `Kind/name` or `Kind/namespace/name`"]),
        ("workloads: {a: {concurrency: 0, handlers: []}}", &["error[field::value]: spec.workloads.a.concurrency: must lie between 1 and 1000000, not be `0`"]),
        ("workloads: {a: {replicas: 0}}", &["error[field::value]: spec.workloads.a.replicas: must lie between 1 and 10000, not be `0`"]),
        ("workloads: {A: {concurrency: 1, handlers: []}, a: {concurrency: 1, handlers: []}}", &["error[name::invalid]: `A` is not the name of a workload"]),
        ("workloads: {a: {concurrency: 1, handlers: []}, default/a: {concurrency: 1, handlers: []}}", &["error[workload::duplicate]: `default/a` is described twice"]),
        ("workloads: {a: {concurrency: 1, handlers: [{match: /, time: {exponential: {mean: 1ms}, constant: 1ms}}]}}", &["error[field::one-of]: `constant` and `exponential` exclude each other: give one of `constant`, `uniform`, `exponential`, `lognormal`, `pareto`, `weibull`, `gamma`, `mixture`, `percentiles`, `file`"]),
        ("workloads: {a: {concurrency: 1, handlers: [{match: /, time: {exponential: {mean: 0}}}]}}", &["error[distribution::invalid]: mean must be above zero, not 0"]),
        ("workloads: {a: {concurrency: 1, handlers: [{match: /, time: {file: no.txt}}]}}", &["error[file::unreadable]: `no.txt` cannot be read: there is no such file"]),
        ("workloads: {a: {concurrency: 1, handlers: [{match: /, steps: [{call: {workload: aa, request: GET /}}]}]}}", &["error[workload::unknown]: there is no workload `aa`: did you mean `a`?"]),
        ("workloads: {a: {concurrency: 1, handlers: [{match: /, steps: [{call: {request: GET /}}]}]}}", &["error[field::one-of]: one of `workload`, `service` is needed"]),
        ("workloads: {a: {concurrency: 1, handlers: [{match: /, steps: [{call: {workload: a, request: GET /x}, time: 1s}]}]}}", &["error[field::one-of]: `call` and `time` exclude each other: give one of `call`, `parallel`, `steps`, `time`"]),
        ("workloads: {a: {concurrency: 1, handlers: [{match: /, steps: [{call: {workload: a, request: GET /x}}]}]}}", &["error[call::cycle]: calls go in a circle: a / → a /: a request would never end; give the two operations handlers of their own"]),
        (
            "workloads:
  a: {concurrency: 1, handlers: [{match: /, steps: [{parallel: [{call: {workload: b, request: GET /x}}]}]}]}
  b: {concurrency: 1, handlers: [{match: =/x, steps: [{steps: [{call: {workload: c, request: GET /}}]}]}, {match: /y}]}
  c: {concurrency: 1, handlers: [{match: GET /, steps: [{call: {workload: b, request: GET /y}}, {call: {workload: b, request: GET /x, probability: 0.1}}]}]}",
            &["error[call::cycle]: calls go in a circle: b /x → c GET / → b /x: a request would never end; give the two operations handlers of their own"],
        ),
        (
            "workloads:
  a: {concurrency: 1, handlers: [{match: /, steps: [{call: {workload: b, request: GET /, times: 1000}}]}]}
  b: {concurrency: 1, handlers: [{match: /, steps: [{call: {workload: c, request: GET /, times: 1000}}]}]}
  c: {concurrency: 1, handlers: [{match: /}]}",
            &["error[call::too-many]: one request of `a /` causes 1001000 calls: at most 100000 are allowed: lower `times`"],
        ),
        ("workloads: {a: {concurrency: 1, handlers: [{match: /x, steps: [{call: {workload: b, port: 81, request: GET /}}]}]}, b: {concurrency: 1, handlers: [{match: /y}]}}", &["warning[call::no-handler]: no handler of `b` takes `GET /`: add a handler, or correct the path", "error[call::port]: the Service `b` has no port 81: it has 80"]),
        ("load: [{name: l, via: direct, requests: [{host: a, path: /}], client: {timeout: 1s}}]", &["error[field::one-of]: one of `open`, `closed`, `trace` is needed"]),
        ("load: [{name: l, via: direct, open: {rate: 1/s}, client: {timeout: 1s}}]", &["error[load::requests]: a load needs requests"]),
        ("load: [{name: l, via: direct, open: {rate: 1/s}, client: {timeout: 1s}, requests: [{host: b, path: /}]}]", &["error[load::unknown-host]: no Service has the name `b`"]),
        ("load: [{name: l, via: direct, open: {rate: 1/s}, client: {timeout: 1s}, requests: [{host: 'a:81', path: /}]}]", &["error[load::port]: the Service `a` has no port 81: write it after the host: it has 80"]),
        ("load: [{name: l, via: gateway, open: {rate: 1/s}, client: {timeout: 1s}, requests: [{host: a, path: /}]}]", &["error[load::no-gateway]: the manifests have no gateway: write `via: direct` to send them straight to the Service of the host"]),
        ("load: [{name: l, via: direct, open: {rate: 0/s}, client: {timeout: 1s}, requests: [{host: a, path: /}]}]", &["error[load::no-requests]: no request ever comes"]),
        ("load: [{name: l, via: direct, open: {rate: -5/s}, client: {timeout: 1s}, requests: [{host: a, path: /}]}]", &["error[field::value]: spec.load[0].open.rate: a rate cannot be below zero: `-5/s`"]),
        ("load: [{name: l, via: direct, open: {rate: 1e9/s}, client: {timeout: 1s}, requests: [{host: a, path: /}]}]", &["error[field::value]: spec.load[0].open.rate: `1e9/s` is too high: at most 1,000,000/s a load"]),
        ("load: [{name: l, via: direct, open: {rate: 1e6/s}, client: {timeout: 1s}, requests: [{host: a, path: /}]}]\nduration: 1h", &["error[load::too-many]: 3600000000 requests are more than the 1000000000 that a load may send"]),
        ("load: [{name: l, via: direct, open: {rate: 1/s}, client: {timeout: 1s}, requests: [{weight: .nan, host: a, path: /}]}]", &["error[field::value]: spec.load[0].requests[0].weight: must lie between 0 and 10,000, not be `NaN`"]),
        ("load: [{name: l, via: direct, open: {rate: 1/s}, client: {timeout: 1s}, requests: [{weight: 0, host: a, path: /}]}]", &["error[load::weights]: all weights are zero"]),
        ("load: [{name: l, via: direct, open: {rate: 1/s}, client: {timeout: 1s, backoff: {base: 1s}}, requests: [{host: a, path: /}]}]", &["error[call::backoff]: a back-off without retries has no effect"]),
        ("load: [{name: l, via: direct, open: {stages: [{hold: 1/s, for: 90s}]}, client: {timeout: 1s}, requests: [{host: a, path: /}]}]", &["warning[load::stages-too-long]: the stages last 90s, the run only 60s"]),
        ("load: [{name: l, via: direct, trace: wrong.csv, client: {timeout: 1s}}]", &["error[trace::row]: a row has the columns `time,method,host,path` and maybe `size`, this one has 3", "error[trace::row]: `b c` is not a host such as `api.example.com` or `orders:8080`"]),
        ("faults: [{name: f, at: 60s, crash: {select: {workload: a}}}]", &["error[time::outside]: this fault comes after the run"]),
        ("faults: [{name: f, at: 50s, for: 20s, slow: {select: {workload: a}, factor: 2}}]", &["warning[fault::window]: the fault would end at 70s, after the run: nothing is seen of what follows it"]),
        ("faults: [{name: f, at: 5s, slow: {select: {workload: a}, factor: 0}}]", &["error[value::zero]: must be above zero"]),
        ("faults: [{name: f, at: 5s}]", &["error[field::one-of]: one of `slow`, `error`, `crash`, `freeze`, `capacity`, `delay`, `loss`, `partition`, `reset`, `blackhole`, `outage`, `dns`, `expire`, `surge`, `push` is needed"]),
        ("faults: [{name: f, at: 5s, freeze: {select: {}}}]", &["error[select::empty]: one of `workload`, `pods`, `zone`, `node` or `edge` is needed"]),
        ("faults: [{name: f, at: 5s, freeze: {select: {edge: [a, a]}}}]", &["error[select::edge]: this fault strikes pods, not what goes between them"]),
        ("faults: [{name: f, at: 5s, freeze: {select: {zone: b}}}]", &["error[zone::unknown]: there is no zone `b`: there is `a`"]),
        ("faults: [{name: f, at: 5s, freeze: {select: {node: node-9}}}]", &["error[node::unknown]: there is no machine `node-9`: did you mean `node-1`?"]),
        ("faults: [{name: f, at: 5s, freeze: {select: {version: b}}}]", &["error[select::empty]: one of `workload`, `pods`, `zone`, `node` or `edge` is needed"]),
        ("faults: [{name: f, at: 5s, surge: {load: ll, factor: 2}}]", &["error[load::unknown]: there is no load `ll`: did you mean `l`?"]),
        ("faults: [{name: f, at: 5s, for: 1s, outage: {zone: a}}, {name: f, at: 5s, for: 1s, outage: {zone: a}}]\nworkloads: {a: {concurrency: 1, start: {after: 1s, ready: 1s}, handlers: []}}", &["error[name::duplicate]: two faults and changes are named `f`"]),
        ("changes: [{name: c, at: 5s}]", &["error[field::one-of]: one of `apply`, `remove`, `scale`, `restart`, `rollout` is needed"]),
        ("changes: [{name: c, at: 5s, scale: {workload: a, replicas: 2}, propagation: 1s}]\nworkloads: {a: {concurrency: 1, start: {after: 1s, ready: 1s}, handlers: []}}", &["error[change::propagation]: only configuration takes time to reach the proxies"]),
        ("changes: [{name: c, at: 5s, rollout: {workload: a, to: v2}}]", &["error[version::unknown]: there is no version `v2`"]),
        ("network: {latency: {sameZone: 1ms, exponential: {mean: 1ms}}}", &["error[network::latency]: one distribution for all distances excludes others by distance"]),
        ("network: {loss: 130%}", &["error[field::value]: spec.network.loss: a share lies between 0 and 100%, `130%` does not"]),
        ("faults: [{name: f, at: 5s, error: {select: {workload: a}, share: 30}}]", &["error[field::value]: spec.faults[0].error.share: a share lies between 0 and 100%, `30` does not; did you mean `30%`?"]),
        ("sed: 3", &["error[field::unknown]: unknown field `sed`: did you mean `seed`?"]),
        ("seed: -3", &["error[field::type]: spec.seed: "]),
    ];
    for (lines, expected) in rows {
        let (plan, problems) = compile(&spec(lines), &Known::default(), None, &[]);
        let found: Vec<&str> = problems
            .lines()
            .map(|line| line.splitn(4, ':').nth(3).unwrap_or(line).trim_start())
            .collect();
        assert_eq!(found.len(), expected.len(), "{lines}\n{problems}");
        for want in *expected {
            assert!(
                found
                    .iter()
                    .any(|line| line == want || want.ends_with(": ") && line.starts_with(want)),
                "{lines}\nwant {want}\n{problems}"
            );
        }
        assert_eq!(
            plan.is_none(),
            expected.iter().any(|line| line.starts_with("error")),
            "{lines}"
        );
    }
    assert_eq!(HIGHEST_RATE, 1e6);
}

#[test]
fn a_name_near_one_of_the_manifests_is_doubted() {
    let (_, problems) = compile(
        &spec("workloads: {servce-a: {concurrency: 1, handlers: []}}\nload: []"),
        &layered(),
        None,
        &[],
    );
    assert!(problems.contains("warning[workload::not-in-manifests]: no manifest has a workload `servce-a`: did you mean `service-a`?"), "{problems}");
}

#[test]
fn marked_values_and_defaults_are_told() {
    let (plan, problems) = compile(
        &spec(
            "workloads:\n  a: {concurrency: 4, handlers: [{match: /, time: 2ms}]}  # assumed: nobody measured it\nwarmup: 5s # assumed\nseed: 3 # not assumed",
        ),
        &layered(),
        None,
        &[],
    );
    assert_eq!(problems, "");
    let plan = plan.expect("nothing was reported");
    let told: Vec<(&str, &str, usize)> = plan
        .assumptions
        .iter()
        .map(|each| {
            (
                each.path.as_str(),
                each.why.as_str(),
                each.alternatives.len(),
            )
        })
        .collect();
    assert_eq!(told[0], ("workloads.a", "nobody measured it", 2));
    assert_eq!(told[1], ("warmup", "marked as assumed in the scenario", 2));
    assert!(told.iter().any(|each| each.0 == "network.latency.external"));
    assert!(
        told.iter()
            .any(|each| each.0 == "workloads.default/service-a.handlers")
    );
    for assumption in &plan.assumptions {
        for value in &assumption.alternatives {
            let set = format!("{}={value}", assumption.path);
            let (plan, problems) = compile(&spec(""), &layered(), None, &[&set]);
            assert!(plan.is_some(), "{set}: {problems}");
        }
    }
}

#[test]
fn what_an_override_replaces_is_assumed_no_longer() {
    let text = "workloads: {a: {concurrency: 4, handlers: [{match: /, time: 2ms}]}}\nload:\n  - name: users\n    via: direct\n    requests: [{host: a, path: /}]\n    open: {arrivals: poisson, rate: 20/s}   # assumed: some traffic";
    let assumed = |sets: &[&str]| {
        let (plan, problems) = compile(&spec(text), &layered(), None, sets);
        let plan = plan.unwrap_or_else(|| panic!("{problems}"));
        let marked = plan
            .assumptions
            .iter()
            .filter(|each| each.source != AssumptionSource::Default);
        let marked = marked.map(|each| format!("{} = {} ({})", each.path, each.value, each.why));
        marked.collect::<Vec<String>>()
    };
    let whole = "load.users.open = {arrivals: poisson, rate: 20/s} (some traffic)";
    let rest = "load.users.open.arrivals = poisson (some traffic)";
    let none: &[&str] = &[];
    for (sets, expected) in [
        (none, &[whole][..]),
        (&["load.users.open.rate=100/s"], &[rest]),
        (&["load.users.open.stages=[{hold: 5/s, for: 1s}]"], &[rest]),
        (&["load.users.open={arrivals: poisson, rate: 3/s}"], &[]),
        (&["load.users.closed={users: 3}"], &[]),
        (&["load.users.client={timeout: 1s}"], &[whole]),
    ] {
        assert_eq!(assumed(sets), expected, "{sets:?}");
    }
}

#[test]
fn a_window_without_a_length_lasts_until_the_end() {
    let plan = good("faults: [{name: f, at: 5s, slow: {select: {workload: a}, factor: 2}}]");
    assert_eq!(plan.faults[0].window.until(), Time::MAX);
}
