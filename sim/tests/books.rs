//! What is counted where: connections that policy refused, calls of a split, tries by their reason.

use reports::outcome::{Refusal, RetryCondition};
use reports::result::{EdgeResult, RunResult};
use sim::Options;
use testkit::flights::{flight_in, scenario};

/// Flies a scenario with these manifests in force, and `later.yaml` beside them.
fn fly(manifests: &str, later: &str, spec: &str) -> RunResult {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [("now.yaml", manifests), ("later.yaml", later)] {
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    let spec = format!("  manifests: [now.yaml]\n{spec}");
    let flight = flight_in(folder.path(), &scenario(&spec), None, &[]);
    sim::fly(&flight, flight.plan.seed, Options::default()).result
}

fn origin(result: &RunResult, at: Option<u32>) -> &str {
    result.origin(at).unwrap_or("no rule")
}

const MESHED: &str = "
  duration: 10s
  mesh: istio
  sidecars: {inject: [default]}
  proxies: {cpu: free}
  network: {latency: 1ms}
";

#[test]
fn connections_of_clients_outside_that_strict_refuses_are_counted_with_its_rule() {
    let strict = "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec:
  mtls:
    mode: STRICT
";
    let spec = format!(
        "{MESHED}
  workloads: {{server: {{handlers: [{{match: GET /, time: 1ms}}]}}}}
  load: [{{name: users, via: direct, requests: [{{host: server, path: /}}], open: {{rate: 50/s}}}}]
"
    );
    let result = fly(strict, "", &spec);
    let load = &result.loads[0];
    assert_eq!(load.succeeded, 0);
    let [refused] = result.refused.as_slice() else {
        panic!("{:?}", result.refused);
    };
    assert_eq!((refused.from, refused.by), (None, 0));
    assert_eq!(refused.why, Refusal::MutualTls);
    assert!(refused.count.abs_diff(load.sent) <= 1, "one a request");
    assert_eq!(refused.series.iter().sum::<u64>(), refused.count);
    let rule = origin(&result, refused.origin);
    assert!(rule.ends_with("now.yaml:6"), "{rule}");
}

fn edge<'a>(result: &'a RunResult, from: &str, to: &str) -> &'a EdgeResult {
    let name = |at: u32| result.workload_name(at);
    let mut edges = result.edges.iter();
    let found = edges.find(|e| name(e.from) == from && name(e.to) == to);
    found.unwrap_or_else(|| panic!("no edge from {from} to {to}"))
}

/// Of a run whose load ended before it: every call made one first try, and is over.
fn every_first_try_is_a_call_that_ended(result: &RunResult) {
    for edge in &result.edges {
        let totals = edge.totals;
        assert_eq!(totals.first, totals.calls(), "{totals:?}");
        let ends =
            totals.ok + totals.status_5xx + totals.timeouts + totals.broken + totals.cancelled;
        assert_eq!(totals.attempts(), ends, "{totals:?}");
    }
}

/// Two versions behind one Service, the second bad, and a way to send each its share.
const VERSIONS: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: back-v1, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: back, version: v1}}
  template: {metadata: {labels: {app: back, version: v1}}, spec: {containers: [{name: app, image: app}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: back-v2, namespace: default}
spec:
  replicas: 1
  selector: {matchLabels: {app: back, version: v2}}
  template: {metadata: {labels: {app: back, version: v2}}, spec: {containers: [{name: app, image: app}]}}
---
apiVersion: v1
kind: Service
metadata: {name: back, namespace: default}
spec: {selector: {app: back}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: back, namespace: default}
spec:
  host: back
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: back, namespace: default}
spec:
  hosts: [back]
  http:
    - route:
        - {destination: {host: back, subset: v1}, weight: 80}
        - {destination: {host: back, subset: v2}, weight: 20}
";

/// The load ends two seconds before the run.
const SPLIT: &str = "
  workloads:
    front: {handlers: [{match: GET /, steps: [{call: {service: back, request: GET /}}]}]}
    back-v1: {handlers: [{match: GET /, time: 5ms}]}
    back-v2: {handlers: [{match: GET /, time: 5ms, errorRate: 50%}]}
  load: [{name: users, via: direct, requests: [{host: front, path: /}], open: {stages: [{hold: 200/s, for: 8s}]}}]
";

#[test]
fn a_call_of_a_split_counts_where_it_went() {
    for mesh in [MESHED, "\n  duration: 10s\n  mesh: none\n"] {
        let result = fly(VERSIONS, "", &format!("{mesh}{SPLIT}"));
        every_first_try_is_a_call_that_ended(&result);
        let good = edge(&result, "front", "back-v1").totals;
        let bad = edge(&result, "front", "back-v2").totals;
        assert!(good.first > bad.first && bad.first > 200, "{bad:?}");
        assert_eq!((good.calls_ok, good.calls_failed), (good.first, 0));
        assert_eq!(bad.calls_failed, bad.status_5xx);
        assert!(bad.calls_failed * 3 > bad.first, "half of them");
    }
}

#[test]
fn what_a_subset_without_a_pod_left_refuses_counts_on_its_own_edge() {
    let outliers = "  host: back
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 2, interval: 1s, baseEjectionTime: 30s, maxEjectionPercent: 100}
";
    let manifests = VERSIONS.replace("  host: back\n", outliers);
    let result = fly(&manifests, "", &format!("{MESHED}{SPLIT}"));
    let (good, bad) = (
        edge(&result, "front", "back-v1").totals,
        edge(&result, "front", "back-v2").totals,
    );
    assert_eq!((good.calls_failed, good.rejected), (0, 0));
    assert_eq!(good.calls_ok, good.first);
    assert!(bad.rejected > 50, "{bad:?}");
    assert_eq!(bad.calls(), bad.first + bad.rejected);
}

#[test]
fn a_call_beside_one_that_failed_is_given_up_and_counted() {
    let text = "
  duration: 10s
  workloads:
    front:
      handlers:
        - match: GET /
          steps: [{parallel: [{call: {workload: bad, request: GET /}}, {call: {workload: slow, request: GET /, timeout: 400ms, retries: 1}}]}]
    bad: {handlers: [{match: GET /, time: 10ms, errorRate: 50%}]}
    slow: {handlers: [{match: GET /, time: 200ms}]}
  load: [{name: users, via: direct, requests: [{host: front, path: /}], open: {stages: [{hold: 20/s, for: 8s}]}}]
";
    let result = fly("", "", text);
    every_first_try_is_a_call_that_ended(&result);
    let (bad, slow) = (
        edge(&result, "front", "bad").totals,
        edge(&result, "front", "slow").totals,
    );
    assert!(bad.calls_failed > 50);
    assert_eq!(bad.calls_given_up, 0);
    assert_eq!(slow.calls_given_up, bad.calls_failed, "one beside each");
    assert_eq!(slow.cancelled, slow.calls_given_up);
}

#[test]
fn an_application_retries_for_the_reason_that_it_saw() {
    let rows: [(&str, &str, &[RetryCondition]); 4] = [
        (
            "error: {select: {workload: back}, status: 503}",
            "backoff: {base: 1ms}",
            &[RetryCondition::GatewayError],
        ),
        (
            "error: {select: {workload: back}, status: 500}",
            "",
            &[RetryCondition::Status5xx],
        ),
        (
            "slow: {select: {workload: back}, factor: 1000}",
            "timeout: 100ms",
            &[RetryCondition::Timeout],
        ),
        (
            "reset: {select: {workload: back}}",
            "",
            &[RetryCondition::Reset],
        ),
    ];
    for (fault, tries, expected) in rows {
        let text = format!(
            "
  duration: 10s
  workloads:
    front: {{handlers: [{{match: GET /, steps: [{{call: {{workload: back, request: GET /, retries: 1, {tries}}}}}]}}]}}
    back: {{concurrency: 100, handlers: [{{match: GET /, time: 5ms}}]}}
  load: [{{name: users, via: direct, requests: [{{host: front, path: /}}], open: {{stages: [{{hold: 20/s, for: 5s}}]}}}}]
  faults: [{{name: bad, at: 0s, {fault}}}]
"
        );
        let result = fly("", "", &text);
        let edge = edge(&result, "front", "back");
        let seen: Vec<_> = edge.retried.iter().map(|r| r.condition).collect();
        assert_eq!(seen, expected, "{fault}");
        assert_eq!(edge.retried[0].count, edge.totals.retries, "{fault}");
        assert!(edge.totals.retries > 50, "{fault}");
    }
}

#[test]
fn a_retry_right_after_an_answer_is_no_hedge() {
    let retries = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: back, namespace: default}
spec:
  hosts: [back]
  http: [{route: [{destination: {host: back}}], retries: {attempts: 2, retryOn: 5xx}}]
";
    let spec = format!(
        "{MESHED}
  workloads:
    front: {{handlers: [{{match: GET /, steps: [{{call: {{workload: back, request: GET /}}}}]}}]}}
    back: {{handlers: [{{match: GET /, time: 5ms, errorRate: 50%}}]}}
  load: [{{name: users, via: direct, requests: [{{host: front, path: /}}], open: {{rate: 50/s}}}}]
"
    );
    let result = fly(retries, "", &spec);
    let edge = edge(&result, "front", "back");
    assert!(edge.totals.retries > 200, "{:?}", edge.totals);
    assert_eq!(edge.totals.hedges, 0);
    let seen: Vec<_> = edge.retried.iter().map(|r| r.condition).collect();
    assert_eq!(seen, [RetryCondition::Status5xx]);
}

const ABORTS: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: back, namespace: default}
spec:
  hosts: [back]
  http: [{fault: {abort: {httpStatus: 503, percentage: {value: 100}}}, route: [{destination: {host: back}}]}]
";

#[test]
fn a_push_that_is_taken_back_on_its_way_never_arrives() {
    let pushed = |lasts: &str| {
        let spec = format!(
            "{MESHED}
  workloads:
    front: {{handlers: [{{match: GET /, steps: [{{call: {{workload: back, request: GET /}}}}]}}]}}
    back: {{handlers: [{{match: GET /, time: 5ms}}]}}
  load: [{{name: users, via: direct, requests: [{{host: front, path: /}}], open: {{rate: 50/s}}}}]
  faults: [{{name: bad, at: 1s, for: {lasts}, push: {{apply: [later.yaml], propagation: 3s}}}}]
"
        );
        fly("", ABORTS, &spec).loads[0].failed
    };
    assert_eq!(pushed("2s"), 0, "taken back before any proxy had it");
    assert!(pushed("4s") > 100, "one that lasts longer arrives");
}

#[test]
fn an_answer_that_crosses_its_callers_giving_up_makes_no_edge_from_a_workload_to_itself() {
    let meshed = MESHED.replace("cpu: free", "cpu: measured");
    let spec = format!(
        "{meshed}
  workloads:
    front: {{concurrency: 100, handlers: [{{match: GET /, steps: [{{call: {{workload: back, request: GET /, timeout: 50ms}}}}]}}]}}
    back: {{concurrency: 100, handlers: [{{match: GET /, time: {{uniform: {{from: 40ms, to: 50ms}}}}}}]}}
  load: [{{name: users, via: direct, requests: [{{host: front, path: /}}], open: {{rate: 200/s}}}}]
"
    );
    let result = fly("", "", &spec);
    let name = |at: u32| result.workload_name(at);
    let ends = result.edges.iter().map(|e| (name(e.from), name(e.to)));
    let ends: Vec<(&str, &str)> = ends.collect();
    assert_eq!(ends, [("front", "back")]);
    let totals = result.edges[0].totals;
    assert!(totals.ok > 100 && totals.cancelled > 100, "{totals:?}");
}
