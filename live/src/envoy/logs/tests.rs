use proxy_core::config::{Endpoint, EndpointSet, NodeKind, SectionDraft};
use proxy_core::time::Duration;
use reports::outcome::RetryCondition;

use super::*;
use crate::scribe::Who;

const CALLER: u32 = 0;
const CALLED: u32 = 1;

fn names() -> Names {
    let address = SocketAddr::from(([10, 1, 0, 1], 80));
    let endpoints = EndpointSet {
        endpoints: vec![Endpoint::at(address)],
        ..EndpointSet::default()
    };
    let mut draft = SectionDraft::default();
    draft.add_cluster(Cluster::envoy("a", endpoints));
    let config = NodeConfig {
        name: "n".into(),
        kind: NodeKind::Sidecar,
        sections: vec![Arc::new(draft.build().expect("a section"))],
    };
    let dialled = SocketAddr::from(([127, 1, 0, 1], 80));
    let likeness = manifests::envoy::write(&config, &manifests::envoy::Written::default());
    let mut names = Names::default();
    names.learn(&config, &likeness, &BTreeMap::from([(address, dialled)]));
    names
}

fn seat(is_gateway: bool) -> Seat {
    let mut who = Who::default();
    let pod = (CALLED, "called-0".to_owned());
    who.pods.insert([10, 1, 0, 1].into(), pod);
    Seat {
        who: Arc::new(who),
        workload: CALLER,
        ip: [10, 1, 0, 9].into(),
        is_gateway,
        behind_sidecar: false,
        proxy: 0,
    }
}

/// A line of either log: when it began and ended in milliseconds, id, status and flags.
type Told<'a> = (u32, u32, &'a str, u16, &'a str);

fn line((began, ended, id, status, flags): Told<'_>) -> String {
    format!(
        "{{\"began\":\"1.{began:03}\",\"ended\":\"1.{ended:03}\",\"id\":\"{id}\",\"status\":{status},\"flags\":\"{flags}\",\"route\":\"r\",\"cluster\":\"a\",\"endpoint\":\"127.1.0.1:80\"}}\n"
    )
}

/// What is made of these, in the order of time.
fn heard(requests: &[Told<'_>], tries: &[Told<'_>], seat: &Seat) -> Log {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, lines) in [(REQUESTS, requests), (TRIES, tries)] {
        let text: String = lines.iter().copied().map(line).collect();
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    let epoch = Epoch(Moment(1_000_000_000));
    let (mut log, unread) = read(folder.path(), &names(), seat, epoch);
    assert_eq!(unread, 0);
    log.sort_by_key(|(at, _)| *at);
    log
}

fn kinds(log: &Log) -> Vec<(AttemptKind, Option<RetryCondition>)> {
    let entries = log.iter().filter_map(|(_, entry)| {
        let Entry::Try { ends, kind, why } = entry else {
            return None;
        };
        assert_eq!(*ends, (CALLER, CALLED));
        Some((*kind, why.map(|why| why.condition)))
    });
    entries.collect()
}

fn reasons(log: &Log) -> Vec<ErrorReason> {
    let entries = log.iter().filter_map(|(_, entry)| {
        let Entry::TryEnd { reason, .. } = entry else {
            return None;
        };
        Some(*reason)
    });
    entries.collect()
}

fn limits(log: &Log) -> Vec<Limit> {
    let entries = log.iter().filter_map(|(_, entry)| {
        let Entry::Rejected { limit, .. } = entry else {
            return None;
        };
        Some(*limit)
    });
    entries.collect()
}

const FIRST: (AttemptKind, Option<RetryCondition>) = (AttemptKind::First, None);

#[test]
fn tries_of_one_request_come_one_after_the_other() {
    let tries = [
        (30, 40, "x", 200, "-"),
        (1, 5, "x", 503, "-"),
        (10, 20, "x", 0, "UT"),
    ];
    let log = heard(&[(0, 41, "x", 200, "-")], &tries, &seat(false));
    let retry = |why| (AttemptKind::Retry, Some(why));
    let expected = [
        FIRST,
        retry(RetryCondition::GatewayError),
        retry(RetryCondition::PerTryTimeout),
    ];
    assert_eq!(kinds(&log), expected);
    let ends = [
        ErrorReason::Status5xx,
        ErrorReason::Timeout,
        ErrorReason::None,
    ];
    assert_eq!(reasons(&log), ends);
    let (at, last) = log.last().expect("an entry");
    assert_eq!(*at, Time::from_nanos(40_000_000));
    let took = Duration::from_millis(10);
    assert!(matches!(last, Entry::TryEnd { took: it, .. } if *it == took));
}

#[test]
fn a_caller_that_tries_again_has_two_requests_of_one_id() {
    let requests = [(0, 9, "x", 503, "-"), (20, 29, "x", 200, "-")];
    let tries = [(1, 8, "x", 503, "-"), (21, 28, "x", 200, "-")];
    let log = heard(&requests, &tries, &seat(false));
    assert_eq!(kinds(&log), [FIRST, FIRST]);
}

#[test]
fn a_try_beside_another_is_a_hedge_and_the_loser_is_superseded() {
    let tries = [(1, 30, "x", 0, "-"), (10, 30, "x", 200, "-")];
    let log = heard(&[(0, 30, "x", 200, "-")], &tries, &seat(false));
    let hedge = (AttemptKind::Hedge, Some(RetryCondition::HedgeDelay));
    assert_eq!(kinds(&log), [FIRST, hedge]);
    assert_eq!(reasons(&log), [ErrorReason::Superseded, ErrorReason::None]);
}

#[test]
fn what_the_whole_request_took_too_long_for_is_a_timeout() {
    let tries = [(1, 30, "x", 0, "-")];
    let log = heard(&[(0, 30, "x", 504, "UT")], &tries, &seat(false));
    assert_eq!(reasons(&log), [ErrorReason::Timeout]);
    // its end is not known yet
    assert_eq!(
        reasons(&heard(&[], &tries, &seat(false))),
        [ErrorReason::Superseded]
    );
}

#[test]
fn refusals_are_of_tries_or_of_retries() {
    for (request, tries, limit) in [
        (
            (0, 2, "x", 503, "UO"),
            vec![(1, 2, "x", 0, "UO")],
            Limit::Pending,
        ),
        (
            (0, 9, "x", 503, "UO"),
            vec![(1, 8, "x", 503, "-")],
            Limit::Retries,
        ),
        ((0, 1, "x", 503, "UH"), vec![], Limit::NoHealthy),
        ((0, 1, "x", 429, "RL"), vec![], Limit::Rate),
    ] {
        let log = heard(&[request], &tries, &seat(false));
        assert_eq!(limits(&log), [limit], "{request:?}");
    }
}

#[test]
fn a_gateway_tells_how_requests_ended() {
    for (status, reason) in [
        (200, ErrorReason::None),
        (503, ErrorReason::Status5xx),
        (0, ErrorReason::ClientGone),
    ] {
        let request = (0, 9, "x", status, "-");
        let log = heard(&[request], &[], &seat(true));
        let ends = (CALLER, CALLED);
        let call = (Time::from_nanos(9_000_000), Entry::Call { ends, reason });
        assert_eq!(log, [call], "{status}");
        assert_eq!(heard(&[request], &[], &seat(false)), []);
    }
}

#[test]
fn what_arrives_for_the_pod_itself_is_no_try_of_its_workload() {
    let mut own = seat(false);
    own.ip = [10, 1, 0, 1].into();
    let log = heard(&[(0, 9, "x", 200, "-")], &[(1, 8, "x", 200, "-")], &own);
    assert_eq!(log, []);
}

#[test]
fn half_a_line_at_the_end_is_none_and_nonsense_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = line((1, 2, "x", 200, "-"));
    let text = format!("{whole}{{}}\n{{\"began\"");
    std::fs::write(folder.path().join(TRIES), text).expect("a file");
    let epoch = Epoch(Moment(0));
    let (log, unread) = read(folder.path(), &names(), &seat(false), epoch);
    assert_eq!((log.len(), unread), (2, 1));
}

#[test]
fn ejections_have_the_pods_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = |action: &str, enforced: bool| {
        format!(
            "{{\"type\":\"SUCCESS_RATE\",\"timestamp\":\"1970-01-01T00:00:02Z\",\"cluster_name\":\"a\",\"upstream_url\":\"127.1.0.1:80\",\"action\":\"{action}\",\"enforced\":{enforced}}}\n"
        )
    };
    let text = told("EJECT", false) + &told("EJECT", true) + &told("UNEJECT", false);
    std::fs::write(folder.path().join(EJECTIONS), text).expect("a file");
    let epoch = Epoch(Moment(1_000_000_000));
    let (log, unread) = read(folder.path(), &names(), &seat(false), epoch);
    assert_eq!(unread, 0);
    let [
        (
            at,
            Entry::Ejected {
                cluster, reason, ..
            },
        ),
        (_, Entry::Returned { .. }),
    ] = &log[..]
    else {
        panic!("{log:?}")
    };
    assert_eq!(*at, Time::from_nanos(1_000_000_000));
    assert_eq!(cluster.endpoint, "called-0");
    assert_eq!(*reason, EjectionReason::SuccessRate);
}
