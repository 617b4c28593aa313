//! One caller's sidecar in front of many servers.

use reports::result::RunResult;
use testkit::flights::{flight_in, scenario};

use crate::HEAVY;
use crate::kit::NARROW;
use crate::kit::flights::{QUIET, Traffic};
use crate::kit::interval::Comparison;
use crate::kit::queues::Mmc;

/// Flies with a DestinationRule that balances so.
fn balanced(traffic: Traffic, simple: &str) -> RunResult {
    let folder = tempfile::tempdir().expect("a folder");
    let rule = format!(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: servers, namespace: default}}
spec:
  host: servers
  trafficPolicy: {{loadBalancer: {{simple: {simple}}}}}
"
    );
    std::fs::write(folder.path().join("rule.yaml"), rule).expect("a file");
    let (replicas, rate, time) = (traffic.servers, traffic.rate(), traffic.exponential());
    let seed = traffic.seed();
    let text = scenario(&format!(
        "{QUIET}  mesh: istio
  seed: {seed}
  manifests: [rule.yaml]
  sidecars: {{inject: [default/caller]}}
  workloads:
    caller: {{replicas: 1, handlers: [{{match: GET /}}]}}
    servers: {{replicas: {replicas}, concurrency: 1, handlers: [{{match: GET /, time: {time}}}]}}
  load:
    - {{name: users, via: caller, requests: [{{host: servers, path: /}}], open: {{rate: {rate}/s}}}}
"
    ));
    let flight = flight_in(folder.path(), &text, None, &[]);
    sim::fly(&flight, flight.plan.seed, sim::Options::default()).result
}

#[test]
fn random_balancing_makes_independent_queues() {
    let mut comparison = Comparison::default();
    let traffic = Traffic {
        servers: 4,
        rho: 0.7,
        requests: 1.4e6,
    };
    let result = balanced(traffic, "RANDOM");
    let one = Mmc {
        servers: 1,
        arrivals: traffic.rate() / 4.0,
        service: 1.0 / traffic.service(),
    };
    comparison.mean("random", one.mean(), &result, NARROW);
    comparison.finish();
}

/// Mean time in the system, in services, where each request joins the shorter of two queues out of infinitely many: the share of
/// queues with i requests or more is rho^(2^i - 1) (Mitzenmacher 1996; Vvedenskaya et al. 1996).
fn two_choices(rho: f64) -> f64 {
    let mut exponent = 0.0;
    let mut mean = 0.0;
    while exponent < 1e6 {
        mean += libm::pow(rho, exponent);
        exponent = 2.0 * exponent + 2.0;
    }
    mean
}

#[test]
fn least_request_is_the_power_of_two_choices() {
    let mut comparison = Comparison::default();
    let servers = 100;
    // the last is the excess of a hundred servers over infinitely many: a jump chain of 10^9 events, both choices drawn from all servers,
    // tells it to 0.0003 at 0.9, one of 5 * 10^9 to 0.0012 at 0.99 (standard errors)
    for (rho, requests, widest, excess) in [(0.9, 1.3e6, NARROW, 0.017), (0.99, 26e6, HEAVY, 0.101)]
    {
        let traffic = Traffic {
            servers,
            rho,
            requests,
        };
        let result = balanced(traffic, "LEAST_REQUEST");
        let mean = result.loads[0].ok_latency.mean().expect("some are served") / 1e9;
        let services = mean / traffic.service();
        let shared = Mmc {
            servers,
            arrivals: traffic.rate(),
            service: 1.0 / traffic.service(),
        };
        let bounds = shared.mean() / traffic.service()..1.0 / (1.0 - rho);
        assert!(bounds.contains(&services), "{services} at {rho}");
        let name = format!("two choices at {rho}");
        let expected = two_choices(rho) * (1.0 + excess) * traffic.service();
        comparison.mean(&name, expected, &result, widest);
    }
    comparison.finish();
}
