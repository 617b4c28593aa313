//! What is counted where: connections that policy refused, calls of a split, tries by their reason.

use reports::outcome::Refusal;
use reports::result::RunResult;
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
