//! One request followed: what has no part in it, and what comes of failures.

use reports::outcome::ErrorReason;
use reports::trace::{Consequence, Side, Trouble};
use reports::waterfall::LaneKind;
use scenarios::plan::WorkloadId;
use sim::Flight;
use sim::trace::{Request, Source, consequences, trace};
use testkit::flights::{flight, scenario, shipped_flight};

fn get(from: Source, authority: &str, path: &str) -> Request {
    Request {
        from,
        tls: false,
        method: "GET".into(),
        authority: authority.into(),
        path: path.into(),
        headers: Vec::new(),
        size: 0,
    }
}

fn through_the_gateway() -> Request {
    get(Source::Gateway(None), "api.example.com", "/service-a")
}

fn of(all: &[Consequence], trouble: Trouble) -> &Consequence {
    let found = all.iter().find(|each| each.trouble == trouble);
    found.expect("every trouble is gone through")
}

/// A service that is slow, broken, far away and under load.
fn busy() -> Flight {
    flight(&scenario(
        "  duration: 10s
  network: {latency: 300ms, loss: 10%}
  workloads:
    orders: {concurrency: 1, handlers: [{match: GET /only, time: 5s, errorRate: 100%}]}
  load:
    - {name: users, via: direct, open: {rate: 100/s}, requests: [{host: orders, path: /only}]}
  faults:
    - {name: down, at: 0s, crash: {select: {workload: orders}}}
",
    ))
}

#[test]
fn what_a_scenario_does_to_its_services_has_no_part_in_a_trace() {
    let seen = trace(&busy(), &get(Source::Outside, "orders", "/other"));
    assert_eq!((seen.outcome.status, seen.outcome.after_ns), (200, 0));
    assert!(seen.is_answered());
    let server = seen.outcome.server.expect("it reached one");
    assert_eq!(server.workload, "default/orders");
}

#[test]
fn without_any_rule_a_failure_is_the_clients() {
    let flight = busy();
    let all = consequences(&flight, &get(Source::Outside, "orders", "/"));
    assert_eq!(all.len(), Trouble::ALL.len());
    for (trouble, status, reason) in [
        (Trouble::Refuses, 0, ErrorReason::Connect),
        (Trouble::Resets, 0, ErrorReason::Reset),
        (Trouble::NoEndpoint, 0, ErrorReason::Connect),
    ] {
        let outcome = &of(&all, trouble).trace.outcome;
        assert_eq!(
            (outcome.status, outcome.reason),
            (status, reason),
            "{trouble:?}"
        );
        assert!(of(&all, trouble).parts.is_empty(), "{trouble:?}");
    }
    for status in [429, 500, 503] {
        let each = of(&all, Trouble::Answers(status));
        assert_eq!(each.trace.outcome.status, status);
    }
    assert!(
        of(&all, Trouble::Hangs).trace.outcome.open,
        "nothing bounds it"
    );
}

#[test]
fn a_request_passes_the_outbound_side_of_its_sender_and_the_inbound_side_of_its_server() {
    let flight = shipped_flight("tutorial", Some("meshed"), &[]);
    let seen = trace(&flight, &through_the_gateway());
    let parties: Vec<_> = seen.parties.iter().map(|it| (it.kind, it.side)).collect();
    assert_eq!(
        parties,
        [
            (LaneKind::Client, None),
            (LaneKind::Sidecar, Some(Side::Inbound)),
            (LaneKind::Gateway, None),
            (LaneKind::Sidecar, Some(Side::Outbound)),
            (LaneKind::Sidecar, Some(Side::Inbound)),
            (LaneKind::Application, None),
        ]
    );
    let depths: Vec<u32> = seen.parties.iter().map(|it| it.depth).collect();
    assert_eq!(depths, [0, 1, 2, 3, 4, 5]);
    let server = seen.outcome.server.expect("it reached one");
    assert_eq!(
        (server.party, server.workload.as_str()),
        (5, "default/service-a")
    );
}

#[test]
fn only_who_did_something_about_a_failure_is_told_of() {
    let flight = shipped_flight("tutorial", Some("storm"), &[]);
    let all = consequences(&flight, &through_the_gateway());
    let reset = of(&all, Trouble::Resets);
    let told: Vec<_> = reset
        .parts
        .iter()
        .map(|part| {
            let party = &reset.trace.parties[part.party as usize];
            (party.side, part.requests, part.tries)
        })
        .collect();
    assert_eq!(told, [(Some(Side::Outbound), 1, 4)]);
    assert_eq!(reset.trace.outcome.status, 503);
}

#[test]
fn a_request_that_reaches_no_server_has_no_consequences() {
    let flight = shipped_flight("tutorial", Some("guide"), &[]);
    let request = through_the_gateway();
    let seen = trace(&flight, &request);
    assert_eq!(
        (seen.outcome.status, seen.outcome.server.clone()),
        (502, None)
    );
    assert!(!seen.is_answered());
    assert_eq!(consequences(&flight, &request), []);
}

#[test]
fn a_trace_is_the_same_every_time() {
    let flight = shipped_flight("tutorial", Some("limits"), &[]);
    let request = through_the_gateway();
    assert_eq!(trace(&flight, &request), trace(&flight, &request));
    assert_eq!(
        consequences(&flight, &request),
        consequences(&flight, &request)
    );
}

#[test]
fn a_short_name_is_of_the_namespace_of_its_sender() {
    let flight = shipped_flight("tutorial", Some("meshed"), &[]);
    let from = |name: &str| {
        let workloads = &flight.plan.workloads;
        let at = workloads.iter().position(|it| it.full_name() == name);
        Source::Workload(WorkloadId::at(at.expect("it is there")))
    };
    let own = trace(&flight, &get(from("default/service-a"), "service-a", "/"));
    assert_eq!(own.outcome.status, 200);
    let other = trace(&flight, &get(from("kong/api-gateway"), "service-a", "/"));
    assert_eq!(
        (other.outcome.status, other.outcome.reason),
        (0, ErrorReason::Dns)
    );
    let full = trace(
        &flight,
        &get(from("kong/api-gateway"), "service-a.default", "/"),
    );
    assert_eq!(full.outcome.status, 200);
}
