//! Traces of requests: what is decided once, and what is kept of tries.

use super::retries::retry;
use super::rig::*;
use crate::config::*;
use crate::event::Event;
use crate::heads::asked::Asked;
use crate::ids::AttemptId;
use crate::node::Action;
use crate::origin::OriginId;
use crate::time::Duration;
use crate::trace::TraceReason;

fn tracing(random: u32, spawns: bool) -> Tracing {
    Tracing {
        shares: TraceShares {
            random: TraceShare {
                parts: random,
                of: 100,
            },
            ..TraceShares::ALL
        },
        side: TraceSide::Ingress,
        spawns,
        verbose: false,
        longest_path: 256,
        tags: Vec::new(),
        node: "".into(),
        zone: "".into(),
        provider: Some(
            TraceProvider {
                propagation: Propagation::W3c,
                sampler: Sampler::Reason,
                export: TraceExport {
                    cluster: "c".into(),
                    protocol: ExportProtocol::OtlpHttp,
                    authority: "c".into(),
                    path: "/".into(),
                    headers: Vec::new(),
                    timeout: Duration::ZERO,
                    service: "s".into(),
                    resource: Vec::new(),
                    from_environment: false,
                    capacity: 1,
                    batch: 1,
                    interval: Duration::ZERO,
                },
            }
            .into(),
        ),
        origin: OriginId::NONE,
    }
}

fn traced(tracing: Tracing) -> Rig {
    let mut forward = Forward::to(ClusterIndex(0));
    forward.retry = Some(retry("5xx", 1));
    Rig::new(config_with(
        Cluster::envoy("c", endpoints(2)),
        |_| route_to(forward),
        |http| http.tracing = Some(tracing.into()),
    ))
}

const ID: (&str, &str) = ("x-request-id", "00000001-0000-4000-8000-000000000000");

/// The try that an action sends.
fn sent(action: &Action) -> Option<AttemptId> {
    let Action::Dispatch { attempt, .. } = action else {
        return None;
    };
    Some(*attempt)
}

fn reasons(rig: &Rig) -> Vec<TraceReason> {
    let reasons = rig.events.iter().filter_map(|event| {
        let Event::Traced(reason) = event else {
            return None;
        };
        Some(*reason)
    });
    reasons.collect()
}

#[test]
fn a_request_that_is_sampled_has_a_record_with_its_trace() {
    for (random, want, records) in [
        (100, TraceReason::Sampling, 1),
        (0, TraceReason::NotTraceable, 0),
    ] {
        let mut rig = traced(tracing(random, false));
        rig.send(&[ID]);
        rig.run_until(at(100));
        assert_eq!(reasons(&rig), [want]);
        assert_eq!(rig.logged.len(), records);
    }
}

#[test]
fn a_head_is_marked_once() {
    let mut rig = traced(tracing(100, false));
    rig.send(&[ID]);
    let mut head = Asked::with(&[ID]);
    assert!(rig.node.marks_head());
    assert!(rig.node.mark_head(&mut head));
    assert!(!rig.node.marks_head() && !rig.node.mark_head(&mut head));
    let id = head.said("x-request-id");
    assert_eq!(id.as_deref(), Some("00000001-0000-9000-8000-000000000000"));
}

#[test]
fn every_try_is_told_of_its_own_span_or_all_of_the_same() {
    for spawns in [false, true] {
        let mut rig = traced(tracing(100, spawns));
        rig.play(1, &[Play::Answer(503, ms(10))]);
        rig.play(2, &[Play::Answer(503, ms(10))]);
        rig.send(&[ID]);
        let mut told = Vec::new();
        for number in [1, 2] {
            let sent = |action: &Action| sent(action).filter(|it| it.number == number);
            while !rig.asked.iter().any(|it| sent(it).is_some()) {
                rig.run_until(rig.now + ms(1));
            }
            let attempt: AttemptId = rig.asked.iter().find_map(sent).expect("found");
            let mut head = Asked::with(&[]);
            rig.node.write_trace(attempt, &mut head);
            told.push(head.said("traceparent").expect("it is told"));
        }
        assert_eq!(told[0].len(), 55, "{told:?}");
        assert_eq!(told[0] != told[1], spawns, "{told:?}");
        rig.run_until(at(1000));
        assert_eq!(rig.logged.len(), 1);
    }
}

#[test]
fn the_same_seed_draws_the_same_ids() {
    let told = || {
        let mut rig = traced(tracing(100, false));
        rig.play(1, &[Play::Silence]);
        rig.play(2, &[Play::Silence]);
        rig.send(&[ID]);
        let sent = rig.asked.iter().find_map(sent);
        let mut head = Asked::with(&[]);
        rig.node.write_trace(sent.expect("it is sent"), &mut head);
        head.said("traceparent").expect("it is told")
    };
    assert_eq!(told(), told());
}

#[test]
fn nothing_is_decided_where_requests_are_not_traced() {
    let mut rig = Rig::simple(1, |_, _| ());
    let token = rig.send(&[ID]);
    rig.run_until(at(100));
    assert_eq!(rig.got(token).1, 200);
    assert!(reasons(&rig).is_empty() && rig.logged.is_empty() && !rig.node.marks_head());
}
