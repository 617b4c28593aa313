//! Users who wait for their answers.

use reports::figures::sum;
use testkit::flights::{fly, scenario};

use crate::kit::NARROW;
use crate::kit::flights::{QUIET, exponential};
use crate::kit::interval::{Comparison, batches};

/// Throughput of the machine repair model: `users` think `think` seconds on average, `servers` serve each for `service` seconds,
/// both exponentially (Kleinrock, Queueing Systems I, 1975, §3.8).
fn throughput(users: u32, think: f64, servers: u32, service: f64) -> f64 {
    let mut weight = 1.0;
    let (mut total, mut served) = (1.0, 0.0);
    for inside in 1..=users {
        let busy = f64::from(inside.min(servers));
        weight *= f64::from(users - inside + 1) / think / (busy / service);
        total += weight;
        served += weight * busy / service;
    }
    served / total
}

#[test]
fn a_closed_load_is_the_machine_repair_model() {
    let mut comparison = Comparison::default();
    // the knee is at (service + think) / service = 21 users a server
    for (users, servers, service) in [(5, 1, 0.018), (12, 1, 0.018), (60, 1, 0.05), (24, 2, 0.02)] {
        let think = 20.0 * service;
        let (time, thinking) = (exponential(service), exponential(think));
        let result = fly(&scenario(&format!(
            "{QUIET}  mesh: none
  seed: 10
  workloads:
    station: {{concurrency: {servers}, handlers: [{{match: GET /, time: {time}}}]}}
  load:
    - {{name: users, via: direct, requests: [{{host: station, path: /}}], closed: {{users: {users}, think: {thinking}}}}}
"
        )));
        let (series, time) = (&result.loads[0].series, &result.time);
        let name = &*format!("{users} users, {servers} servers");
        let x = throughput(users, think, servers, service);
        let found =
            batches(time).map(|span| sum(&series.completed, span) as f64 / time.seconds(span));
        comparison.holds(&format!("{name} throughput"), x, found, NARROW);
        // the interactive response time law
        comparison.mean(name, f64::from(users) / x - think, &result, NARROW);
    }
    comparison.finish();
}
