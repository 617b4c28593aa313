//! A coffee shop in Consul's mesh, flown: who reaches whom, and what the proxies on the way do about failures.

use std::path::Path;

use reports::outcome::ErrorReason;
use reports::trace::{Consequence, Side, Trouble};
use reports::waterfall::LaneKind;
use scenarios::plan::WorkloadId;
use sim::Flight;
use sim::trace::{Request, Source, consequences, trace};
use testkit::flights::{flight_in, scenario};

const QUIET: &str = "  duration: 1s
  mesh: consul
  manifests: [hashicups]
  load:
    - {name: users, via: frontend, open: {rate: 1/s}, requests: [{host: 'public-api:8080', path: /}]}
";

fn shop(more: &str) -> Flight {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/tests/data");
    flight_in(&folder, &scenario(&format!("{QUIET}{more}")), None, &[])
}

fn from(flight: &Flight, name: &str) -> Source {
    let mut workloads = flight.plan.workloads.iter();
    let at = workloads.position(|it| it.full_name() == name);
    Source::Workload(WorkloadId::at(at.expect("it is there")))
}

fn ask(from: Source, authority: &str, path: &str) -> Request {
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

fn of(all: &[Consequence], trouble: Trouble) -> &Consequence {
    let found = all.iter().find(|each| each.trouble == trouble);
    found.expect("every trouble is gone through")
}

#[test]
fn requests_pass_two_proxies() {
    let flight = shop("");
    let seen = trace(
        &flight,
        &ask(from(&flight, "default/frontend"), "public-api:8080", "/"),
    );
    assert_eq!(seen.outcome.status, 200, "{:?}", seen.outcome);
    let parties: Vec<_> = seen.parties.iter().map(|it| (it.kind, it.side)).collect();
    assert_eq!(
        parties,
        [
            (LaneKind::Application, None),
            (LaneKind::Sidecar, Some(Side::Outbound)),
            (LaneKind::Sidecar, Some(Side::Inbound)),
            (LaneKind::Application, None),
        ]
    );
}

#[test]
fn bytes_pass_them_too() {
    let flight = shop("");
    let caller = from(&flight, "default/products-api-v1");
    let seen = trace(&flight, &ask(caller, "products-db:5432", "/"));
    assert_eq!(seen.outcome.status, 200, "{:?}", seen.outcome);
    let server = seen.outcome.server.expect("it reached one");
    assert_eq!(server.workload, "default/products-db");
}

#[test]
fn a_port_that_differs_from_the_services_is_reached() {
    let flight = shop("");
    let caller = from(&flight, "default/public-api");
    let seen = trace(&flight, &ask(caller, "payments:1800", "/"));
    assert_eq!(seen.outcome.status, 200, "{:?}", seen.outcome);
    let server = seen.outcome.server.expect("it reached one");
    assert_eq!(server.workload, "default/payments");
}

#[test]
fn a_caller_without_a_proxy_is_refused() {
    let flight = shop("");
    let seen = trace(&flight, &ask(Source::Outside, "public-api:8080", "/"));
    assert_eq!(seen.outcome.status, 0, "{:?}", seen.outcome);
    assert!(
        matches!(
            seen.outcome.reason,
            ErrorReason::Reset | ErrorReason::Connect | ErrorReason::Tls
        ),
        "{:?}",
        seen.outcome.reason
    );
}

#[test]
fn a_router_tries_again_as_often_as_it_says() {
    let flight = shop("");
    let caller = from(&flight, "default/public-api");
    let all = consequences(&flight, &ask(caller, "products-api:9090", "/coffees"));
    let tries = |trouble| {
        let parts = of(&all, trouble).parts.iter();
        parts.map(|part| part.tries).max().unwrap_or(1)
    };
    // `gateway-error` and connections that fail, twice
    assert_eq!(tries(Trouble::Answers(503)), 3);
    assert_eq!(tries(Trouble::Answers(500)), 1);
    let caller = from(&flight, "default/public-api");
    let all = consequences(&flight, &ask(caller, "products-api:9090", "/other"));
    assert!(of(&all, Trouble::Answers(503)).parts.is_empty());
}

#[test]
fn without_any_instance_callers_have_503() {
    let flight = shop("");
    let caller = from(&flight, "default/frontend");
    let all = consequences(&flight, &ask(caller, "public-api:8080", "/"));
    assert_eq!(of(&all, Trouble::NoEndpoint).trace.outcome.status, 503);
    assert_eq!(of(&all, Trouble::Hangs).trace.outcome.status, 504);
}
