//! What `x-envoy-…` headers of a request change, and for whom.

use super::retries::retry;
use super::rig::*;
use crate::config::*;
use crate::ids::AttemptId;
use crate::origin::Sourced;

/// How often a request with these headers is sent when all answers are `answer`.
fn sends(policy: Option<Box<RetryPolicy>>, headers: &[(&str, &str)], answer: Answer) -> usize {
    let mut rig = Rig::simple(1, |_, f| f.retry = policy);
    rig.play(1, &[Play::Silence; 20]);
    rig.heads.0.clear();
    let request = Head {
        headers: headers
            .iter()
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect(),
        ..head("GET")
    };
    let (_, exchange) = rig.send_head(request, true);
    for number in 1..20 {
        if rig.ended > 0 {
            break;
        }
        rig.run_until(rig.now + ms(300));
        let attempt = AttemptId { exchange, number };
        rig.answer(attempt, answer.0, answer.1);
    }
    rig.sent.len()
}

type Answer = (u16, &'static [(&'static str, &'static str)]);

/// Envoy: `x-envoy-retry-on`, `x-envoy-retry-grpc-on`, `x-envoy-max-retries`, `x-envoy-retriable-status-codes`,
/// `x-envoy-retriable-header-names`.
#[test]
fn a_request_adds_to_what_its_route_retries() {
    let policy = |on: &str, retries| Some(retry(on, retries));
    const PLAIN_503: Answer = (503, &[]);
    const PLAIN_429: Answer = (429, &[]);
    const UNAVAILABLE: Answer = (200, &[("grpc-status", "14")]);
    const BUSY: Answer = (200, &[("x-busy", "yes")]);
    let on = |value| ("x-envoy-retry-on", value);
    let max = |value| ("x-envoy-max-retries", value);
    let codes = ("x-envoy-retriable-status-codes", "418, 429");
    let names = ("x-envoy-retriable-header-names", "X-Full, X-Busy");
    let grpc = |value| ("x-envoy-retry-grpc-on", value);
    for (name, policy, headers, answer, expected) in [
        ("nothing", None, vec![], PLAIN_503, 1),
        ("asks: once", None, vec![on("5xx")], PLAIN_503, 2),
        ("asks in vain", None, vec![on("reset")], PLAIN_503, 1),
        (
            "words it does not know",
            None,
            vec![on("5xx,often")],
            PLAIN_503,
            2,
        ),
        (
            "adds to the route's",
            policy("reset", 2),
            vec![on("5xx")],
            PLAIN_503,
            3,
        ),
        (
            "says how often",
            policy("5xx", 1),
            vec![max("3")],
            PLAIN_503,
            4,
        ),
        ("forbids", policy("5xx", 5), vec![max("0")], PLAIN_503, 1),
        (
            "no number",
            policy("5xx", 2),
            vec![max("many")],
            PLAIN_503,
            3,
        ),
        (
            "a number without a wish",
            None,
            vec![max("3")],
            PLAIN_503,
            1,
        ),
        ("gRPC", None, vec![grpc("unavailable")], UNAVAILABLE, 2),
        (
            "gRPC by the HTTP header",
            None,
            vec![on("unavailable")],
            UNAVAILABLE,
            1,
        ),
        (
            "codes",
            policy("retriable-status-codes", 1),
            vec![codes],
            PLAIN_429,
            2,
        ),
        (
            "codes without the word",
            policy("5xx", 1),
            vec![codes],
            PLAIN_429,
            1,
        ),
        (
            "names",
            policy("retriable-headers", 1),
            vec![names],
            BUSY,
            2,
        ),
        (
            "names without the word",
            policy("5xx", 1),
            vec![names],
            BUSY,
            1,
        ),
    ] {
        assert_eq!(sends(policy, &headers, answer), expected, "{name}");
    }
}

/// Envoy: `x-envoy-hedge-on-per-try-timeout`.
#[test]
fn a_request_may_turn_hedging_on_and_off() {
    for (configured, header, hedged) in [
        (false, None, false),
        (false, Some("true"), true),
        (true, Some("false"), false),
        (true, Some("no"), true),
        (false, Some("TRUE"), false),
    ] {
        let mut rig = Rig::simple(1, |_, f| {
            let mut policy = retry("connect-failure", 1);
            policy.per_try_timeout = Some(Sourced::unsourced(ms(10)));
            f.retry = Some(policy);
            f.hedge = configured.then_some(Hedge {
                on_per_try_timeout: true,
                origin: crate::origin::OriginId::NONE,
            });
        });
        rig.play(1, &[Play::Silence, Play::Silence]);
        let headers = header.map(|h| ("x-envoy-hedge-on-per-try-timeout", h));
        rig.send(headers.as_slice());
        rig.run_until(at(15));
        assert_eq!(rig.sent.len() == 2, hedged, "{configured} {header:?}");
    }
}

/// Envoy: `use_remote_address` at an edge.
#[test]
fn a_client_outside_has_no_say() {
    for (edge, got, sends) in [(false, (40, 504), 2), (true, (0, 503), 1)] {
        let config = config_with(
            Cluster::envoy("c", endpoints(1)),
            |c| {
                let mut forward = Forward::to(c);
                forward.timeout = Sourced::unsourced(Some(ms(50)));
                route_to(forward)
            },
            |h| h.edge = edge,
        );
        let mut rig = Rig::new(config);
        // the pause before a retry is below 25 ms
        rig.play(1, &[Play::Reset(ms(0)), Play::Silence]);
        let token = rig.send(&[
            ("x-envoy-retry-on", "5xx"),
            ("x-envoy-upstream-rq-timeout-ms", "40"),
        ]);
        rig.run_until(at(100));
        assert_eq!(rig.got(token), got, "edge: {edge}");
        assert_eq!(rig.sent.len(), sends, "edge: {edge}");
    }
}
