//! Records for access logs.

use super::retries::retry;
use super::rig::*;
use crate::config::*;
use crate::ids::AttemptId;
use crate::log::*;
use crate::node::{Input, ResetCause};
use crate::origin::{OriginId, Sourced};
use crate::reply::Flags;

fn log(number: u32, filter: Option<LogFilter>) -> AccessLog {
    AccessLog {
        sink: LogSink::Stdout,
        filter,
        format: Format {
            layout: Layout::Text(Template::default()),
            omits_empty: false,
        },
        origin: OriginId(number),
    }
}

fn logging(logs: Vec<AccessLog>, tune: impl FnOnce(&mut Cluster, &mut Forward)) -> Rig {
    let mut cluster = Cluster::envoy("c", endpoints(2));
    let mut forward = Forward::to(ClusterIndex(0));
    tune(&mut cluster, &mut forward);
    Rig::new(config_with(
        cluster,
        |_| route_to(forward),
        |http| http.logs = Logs::new(logs),
    ))
}

#[test]
fn nothing_is_kept_where_there_is_no_log() {
    let mut rig = logging(Vec::new(), |_, _| ());
    rig.get();
    rig.run_until(rig.now + ms(100));
    assert!(rig.logged.is_empty());
}

#[test]
fn a_record_says_who_answered_and_how_much() {
    let mut rig = logging(vec![log(1, None)], |_, _| ());
    let (_, exchange) = rig.send_head(head("POST"), false);
    rig.input(Input::RequestData { exchange, bytes: 7 });
    rig.input(Input::RequestEnd { exchange });
    rig.run_until(rig.now + ms(100));
    let at = rig.sent[0].1.ip();
    assert_eq!(rig.logged, [format!("1: 200 - via_upstream 1 {at} 7 0")]);
}

#[test]
fn a_record_has_the_flags_and_details_of_what_failed() {
    for (cause, line) in [
        (
            ResetCause::Remote,
            "503 UR,URX upstream_reset_before_response_started{remote_reset} 2",
        ),
        (
            ResetCause::ConnectionClosed,
            "503 UC,URX upstream_reset_before_response_started{connection_termination} 2",
        ),
        (
            ResetCause::Protocol,
            "502 URX,UPE upstream_reset_before_response_started{protocol_error} 2",
        ),
    ] {
        let mut rig = logging(vec![log(1, None)], |_, f| f.retry = Some(retry("reset", 1)));
        rig.play(1, &[Play::Silence]);
        rig.play(2, &[Play::Silence]);
        let (_, exchange) = rig.send_head(head("GET"), true);
        for number in 1..=2 {
            let attempt = AttemptId { exchange, number };
            rig.input(Input::UpstreamReset { attempt, cause });
            rig.run_until(rig.now + ms(200));
        }
        let at = rig.sent[1].1.ip();
        assert_eq!(rig.logged, [format!("1: {line} {at} 0 0")], "{cause:?}");
    }
}

#[test]
fn a_client_that_leaves_is_in_the_log() {
    let mut rig = logging(vec![log(1, None)], |_, _| ());
    rig.play(1, &[Play::Silence]);
    rig.play(2, &[Play::Silence]);
    let (_, exchange) = rig.send_head(head("GET"), true);
    rig.input(Input::DownstreamReset { exchange });
    let at = rig.sent[0].1.ip();
    let want = format!("1: 0 DC downstream_remote_disconnect 1 {at} 0 0");
    assert_eq!(rig.logged, [want]);
}

#[test]
fn a_request_without_room_is_in_the_log_with_where_it_was_to_go() {
    let mut rig = logging(vec![log(1, None)], |c, _| {
        c.endpoints = endpoints(1).into();
        c.limits[0].pending = Sourced::unsourced(0);
    });
    rig.get();
    let want = "1: 503 UO upstream_reset_before_response_started{overflow} 1 10.0.0.1 0 0";
    assert_eq!(rig.logged, [want]);
}

#[test]
fn each_log_has_the_records_that_its_filter_passes() {
    let at_least = |with| {
        let relation = Relation::AtLeast;
        Some(LogFilter::Status(Comparison { relation, with }))
    };
    let logs = vec![
        log(1, at_least(500)),
        log(2, at_least(200)),
        log(3, Some(LogFilter::Flags(Flags::NONE))),
        log(4, at_least(600)),
    ];
    let mut rig = logging(logs, |c, _| c.endpoints = endpoints(1).into());
    rig.play(1, &[Play::Answer(503, ms(1)), OK]);
    for _ in 0..2 {
        rig.get();
        rig.run_until(rig.now + ms(100));
    }
    assert_eq!(
        rig.logged,
        [
            "1+2: 503 - via_upstream 1 10.0.0.1 0 0",
            "2: 200 - via_upstream 1 10.0.0.1 0 0"
        ]
    );
}
