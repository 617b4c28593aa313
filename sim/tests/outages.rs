//! What callers can know of a zone that is dark, of copies that lost, and of a configuration that was taken back before its turn.

use reports::outcome::ErrorReason;
use reports::result::RunResult;
use testkit::flights::{flight_in, fly, scenario};

fn failed(result: &RunResult, seconds: core::ops::Range<usize>) -> (u64, u64) {
    let series = &result.loads[0].series;
    let sum = |series: &[u64]| series[seconds.clone()].iter().sum::<u64>();
    (
        sum(&series.sent) - sum(&series.succeeded),
        sum(&series.sent),
    )
}

#[test]
fn nobody_is_told_that_a_zone_went_dark() {
    let text = "
  duration: 20s
  topology: {zones: [a, b], nodes: 2}
  network: {latency: 1ms}
  workloads:
    front: {replicas: 1, handlers: [{match: GET /, steps: [{call: {workload: back, request: GET /x, timeout: 500ms}}]}]}
    back: {replicas: 2, handlers: [{match: GET /x, time: 3ms}]}
  load:
    - {name: users, via: direct, requests: [{host: front, path: /}], open: {rate: 50/s}, client: {timeout: 2s, connections: 1}}
  faults: [{name: dark, at: 5s, for: 5s, outage: {zone: b}}]
";
    let result = fly(&scenario(text));
    let edge = &result.edges[0].totals;
    assert_eq!(
        edge.broken, 0,
        "a dead process could not even say so: {edge:?}"
    );
    assert!(edge.timeouts > 0, "who waits gives up: {edge:?}");
    assert_eq!(failed(&result, 0..4).0, 0);
}

#[test]
fn a_copy_that_lost_is_no_timeout() {
    let text = "
  duration: 20s
  network: {latency: 0s}
  workloads:
    front: {handlers: [{match: GET /, steps: [{call: {workload: back, request: GET /x, timeout: 1s, hedge: {after: 10ms, max: 1}}}]}]}
    back: {replicas: 2, handlers: [{match: GET /x, time: {exponential: {mean: 10ms}}}]}
  load:
    - {name: users, via: direct, requests: [{host: front, path: /}], open: {rate: 20/s}, client: {timeout: 2s}}
";
    let result = fly(&scenario(text));
    let edge = &result.edges[0].totals;
    assert!(edge.hedges > 50, "{edge:?}");
    assert_eq!(edge.timeouts, 0, "none takes a second: {edge:?}");
    // of two tries of a call one is given up
    assert!(edge.cancelled.abs_diff(edge.hedges) <= 1, "{edge:?}");
    assert_eq!(result.loads[0].reasons.get(&ErrorReason::Timeout), None);
}

#[test]
fn a_gateway_that_died_tries_nothing_more() {
    const POLICY: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public, namespace: edge}
spec: {selector: {istio: ingress}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge, namespace: default}
spec:
  hosts: [edge.test]
  gateways: [edge/public]
  http: [{route: [{destination: {host: back}}], retries: {attempts: 9, perTryTimeout: 1s, retryOn: reset}}]
";
    let spec = |fault: &str| {
        format!(
            "
  duration: 20s
  manifests: [policy.yaml]
  mesh: istio
  gateways: {{edge/public: {{kind: istio, namespace: edge, labels: {{istio: ingress}}, replicas: 1}}}}
  network: {{latency: 0s}}
  workloads:
    back: {{replicas: 1, handlers: [{{match: GET /, time: 60s}}]}}
  load:
    - {{name: users, via: gateway, requests: [{{host: edge.test, path: /}}], open: {{stages: [{{hold: 20/s, for: 4s}}]}}, client: {{timeout: 20s}}}}
  faults: [{fault}]
"
        )
    };
    let tries = |fault: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("policy.yaml"), POLICY).expect("a file");
        let flight = flight_in(folder.path(), &scenario(&spec(fault)), None, &[]);
        let result = sim::fly(&flight, 1, sim::Options::default()).result;
        let six = (6_000_000_000 / result.time.window_ns) as usize;
        let late = result
            .edges
            .iter()
            .flat_map(|edge| edge.series.counts.iter().skip(six));
        late.map(|window| window.attempts()).sum::<u64>()
    };
    assert!(tries("") > 100, "each request goes on being tried");
    assert_eq!(
        tries("{name: down, at: 5s, for: 10s, crash: {select: {workload: edge/public}}}"),
        0
    );
}
