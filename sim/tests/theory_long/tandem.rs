//! Stations one after the other.

use testkit::flights::{fly, scenario};

use crate::kit::NARROW;
use crate::kit::flights::{QUIET, Traffic};
use crate::kit::interval::Comparison;
use crate::kit::queues::inverse;

#[test]
fn a_tandem_of_five_is_five_independent_mm1s() {
    let traffic = Traffic {
        servers: 1,
        rho: 0.6,
        requests: 2e6,
    };
    let (rate, time) = (traffic.rate(), traffic.exponential());
    let station = |n: u32| {
        format!("    s{n}: {{concurrency: 1, handlers: [{{match: GET /, time: {time}}}]}}\n")
    };
    let call = |n: u32| format!("{{call: {{workload: s{n}, request: GET /}}}}");
    let stations: String = (1..=5).map(station).collect();
    let calls: Vec<String> = (1..=5).map(call).collect();
    let result = fly(&scenario(&format!(
        "{QUIET}  mesh: none
  seed: 6
  workloads:
    front: {{concurrency: 1000000, handlers: [{{match: GET /, steps: [{}]}}]}}
{stations}  load:
    - {{name: users, via: direct, requests: [{{host: front, path: /}}], open: {{rate: {rate}/s}}}}
",
        calls.join(", ")
    )));
    // Burke 1956: departures are Poisson and say nothing of the past; so sojourns add up to Erlang's distribution of five stages
    let each = traffic.service() / (1.0 - traffic.rho);
    let erlang = |t: f64| {
        let terms = (0..5).scan(1.0, |term, n| {
            let now = *term;
            *term *= t / each / f64::from(n + 1);
            Some(now)
        });
        1.0 - libm::exp(-t / each) * terms.sum::<f64>()
    };
    let mut comparison = Comparison::default();
    comparison.mean("tandem", 5.0 * each, &result, NARROW);
    for q in [0.5, 0.99] {
        let expected = inverse(erlang, q, 5.0 * each);
        comparison.percentile(("tandem", q), expected, &result, NARROW);
    }
    comparison.finish();
}
