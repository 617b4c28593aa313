//! Whole flights: what goes in comes out again, and as it should.

use testkit::flights::{fly, scenario};

#[test]
fn every_request_of_a_chain_is_answered() {
    let result = fly(&scenario(
        "
  duration: 20s
  network: {latency: 1ms}
  workloads:
    front: {handlers: [{match: GET /, time: 2ms, steps: [{call: {workload: back, request: GET /x}}]}]}
    back: {handlers: [{match: GET /x, time: 3ms}]}
  load:
    - {name: users, via: direct, requests: [{host: front, path: /}], open: {rate: 50/s}}
",
    ));
    let load = &result.loads[0];
    assert!(load.sent > 900);
    assert_eq!(load.sent, load.succeeded + load.failed + load.unfinished);
    assert_eq!(load.failed, 0);
}
