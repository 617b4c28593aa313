//! Concurrency limits, pools, rate limits and faults.

use std::sync::Arc;

use super::retries::retry;
use super::rig::*;
use crate::config::*;
use crate::limit::token_bucket::{Refill, Settings};
use crate::node::{Input, Update};
use crate::origin::{OriginId, Sourced};
use crate::reply::ReplyReason;
use crate::time::Duration;

fn limits(connections: u32, pending: u32, requests: u32) -> Limits {
    Limits {
        connections: Sourced::new(connections, OriginId(1)),
        pending: Sourced::new(pending, OriginId(2)),
        requests: Sourced::new(requests, OriginId(3)),
        retries: Sourced::new(3, OriginId(4)),
    }
}

#[test]
fn requests_beyond_the_connections_wait_and_beyond_the_queue_are_refused() {
    let mut rig = Rig::simple(1, |c, f| {
        c.limits[0] = limits(2, 1, 1024);
        f.retry = Some(retry("5xx,connect-failure", 5));
    });
    rig.play(1, &[Play::Answer(200, ms(10)); 4]);
    let tokens: Vec<_> = (0..4).map(|_| rig.get()).collect();
    rig.run_until(at(100));
    let got: Vec<_> = tokens.iter().map(|t| rig.got(*t)).collect();
    assert_eq!(got, [(10, 200), (10, 200), (20, 200), (0, 503)]);
    assert_eq!(rig.flags(tokens[3]), "UO");
    let Seen::Local(reply) = rig.seen(tokens[3]) else {
        panic!("the node answers");
    };
    assert_eq!(
        (reply.reason, reply.origin),
        (ReplyReason::Overflow, OriginId(2))
    );
    assert_eq!(rig.opened, 2);
}

#[test]
fn http2_streams_share_a_connection_and_stop_at_the_request_limit() {
    let mut rig = Rig::simple(1, |c, _| {
        c.protocol = UpstreamProtocol::Http2;
        c.limits[0] = limits(1, 10, 3);
    });
    rig.play(1, &[Play::Answer(200, ms(10)); 5]);
    let tokens: Vec<_> = (0..5).map(|_| rig.get()).collect();
    rig.run_until(at(100));
    let statuses: Vec<_> = tokens.iter().map(|t| rig.got(*t).1).collect();
    assert_eq!(statuses, [200, 200, 200, 503, 503]);
    assert_eq!(rig.opened, 1);
}

#[test]
fn a_pool_without_a_connection_may_open_one_above_the_limit() {
    let mut rig = Rig::simple(2, |c, _| c.limits[0] = limits(1, 10, 10));
    rig.play(1, &[Play::Answer(200, ms(10))]);
    rig.play(2, &[Play::Answer(200, ms(10))]);
    rig.get();
    rig.get();
    rig.run_until(at(100));
    assert_eq!(rig.opened, 2);
}

#[test]
fn a_connection_closes_after_its_last_request() {
    let mut rig = Rig::simple(1, |c, _| {
        c.pool.max_requests_per_connection = Some(Sourced::unsourced(2));
    });
    for _ in 0..5 {
        rig.get();
        rig.run_until(rig.now + ms(10));
    }
    assert_eq!(rig.opened, 3);
    assert_eq!(rig.connections.len(), 1);
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let mut rig = Rig::simple(1, |c, _| {
        c.pool.idle_timeout = Some(Sourced::unsourced(ms(50)));
    });
    for start in [0, 30, 60, 90] {
        rig.run_until(at(start));
        rig.get();
    }
    rig.run_until(at(139));
    assert_eq!((rig.opened, rig.connections.len()), (1, 1));
    rig.run_until(at(141));
    assert_eq!(rig.connections.len(), 0);
}

#[test]
fn idle_connections_beyond_the_most_that_are_kept_are_closed_though_their_timer_runs() {
    let mut rig = Rig::simple(1, |c, _| {
        c.pool.max_idle = Some(1);
        c.pool.idle_timeout = Some(Sourced::unsourced(Duration::from_secs(60)));
    });
    // the first connection is used alone, then beside a second one: its idle timer runs since the first time
    rig.play(1, &[Play::Answer(200, ms(10)); 3]);
    rig.get();
    rig.run_until(at(20));
    rig.get();
    rig.get();
    rig.run_until(at(40));
    assert_eq!((rig.opened, rig.connections.len()), (2, 1));
}

#[test]
fn an_unread_response_closes_an_http1_connection() {
    let mut rig = Rig::simple(1, |_, f| {
        f.timeout = Sourced::unsourced(Some(ms(10)));
    });
    rig.play(1, &[Play::Silence]);
    rig.get();
    rig.run_until(at(20));
    assert_eq!(rig.connections.len(), 0);
    rig.get();
    rig.run_until(at(40));
    assert_eq!(rig.opened, 2);
}

#[test]
fn no_endpoint_is_503_uh_and_endpoints_may_come_later() {
    let mut rig = Rig::simple(0, |_, _| ());
    let token = rig.get();
    assert_eq!((rig.got(token).1, rig.flags(token)), (503, "UH".into()));
    rig.update(Update::Endpoints {
        cluster: "c",
        set: Arc::new(endpoints(1)),
    });
    let token = rig.get();
    rig.run_until(at(1));
    assert_eq!(rig.got(token).1, 200);
}

#[test]
fn linkerds_queue_waits_then_fails_fast_then_recovers() {
    let mut rig = Rig::simple(0, |c, _| {
        c.queue = Some(Sourced::unsourced(FailfastQueue {
            capacity: 2,
            timeout: ms(3000),
        }));
    });
    let tokens: Vec<_> = (0..3).map(|_| rig.get()).collect();
    assert_eq!(rig.got(tokens[2]), (0, 503), "the queue is full");
    rig.run_until(at(3001));
    assert_eq!(rig.got(tokens[0]), (3000, 504));
    let late = rig.get();
    assert_eq!(rig.got(late).1, 503, "it fails fast");
    rig.update(Update::Endpoints {
        cluster: "c",
        set: Arc::new(endpoints(1)),
    });
    let token = rig.get();
    rig.run_until(at(3002));
    assert_eq!(rig.got(token).1, 200);
}

#[test]
fn a_rate_limit_refuses_with_429_rl() {
    let limit = LocalRateLimit {
        bucket: Settings {
            max_tokens: 2,
            tokens_per_fill: 1,
            fill_interval: Duration::from_secs(1),
            refill: Refill::Steps,
        },
        status: 429,
        name: "l".into(),
        origin: OriginId(9),
    };
    let config = config_with(
        Cluster::envoy("c", endpoints(1)),
        |c| route_to(Forward::to(c)),
        |h| h.filters.push(HttpFilter::LocalRateLimit(Some(limit))),
    );
    let mut rig = Rig::new(config);
    let tokens: Vec<_> = (0..3).map(|_| rig.get()).collect();
    rig.run_until(at(1001));
    let later = rig.get();
    rig.run_until(at(1002));
    let statuses: Vec<_> = tokens
        .iter()
        .chain([&later])
        .map(|t| rig.got(*t).1)
        .collect();
    assert_eq!(statuses, [200, 200, 429, 200]);
    assert_eq!(rig.flags(tokens[2]), "RL");
}

#[test]
fn an_injected_delay_comes_before_an_injected_abort_and_neither_is_retried() {
    let fault = Fault {
        delay: Some(FaultDelay {
            fixed: Some(ms(40)),
            share: Share::ALL,
        }),
        abort: Some(FaultAbort {
            status: Some(503),
            grpc: None,
            share: Share::ALL,
        }),
        ..Fault::default()
    };
    let config = config_with(
        Cluster::envoy("c", endpoints(1)),
        |c| {
            let mut forward = Forward::to(c);
            forward.retry = Some(retry("5xx", 5));
            forward.timeout = Sourced::unsourced(Some(ms(10)));
            route_to(forward)
        },
        |h| h.filters.push(HttpFilter::Fault(Some(fault))),
    );
    let mut rig = Rig::new(config);
    let token = rig.get();
    rig.run_until(at(100));
    assert_eq!(
        (rig.got(token), rig.flags(token)),
        ((40, 503), "DI,FI".into())
    );
    assert_eq!(rig.sent.len(), 0);
}

#[test]
fn a_mirror_sends_a_copy_whose_answer_nobody_sees() {
    let mut rig = Rig::simple(1, |_, f| {
        f.mirrors.push(Mirror {
            cluster: ClusterIndex(0),
            share: Sourced::unsourced(Share::ALL),
            shadow_host: true,
        });
    });
    rig.play(1, &[Play::Answer(200, ms(1)), Play::Answer(500, ms(2))]);
    let token = rig.get();
    rig.run_until(at(100));
    assert_eq!(rig.got(token), (1, 200));
    assert_eq!((rig.sent.len(), rig.ended, rig.node.exchanges()), (2, 2, 0));
}

/// Envoy: `circuit_breakers.thresholds[].priority`.
#[test]
fn each_routing_priority_has_limits_and_connections_of_its_own() {
    for (priority, got, flags) in [
        (Priority::Default, (0, 503), "UO"),
        (Priority::High, (10, 200), "-"),
    ] {
        let mut rig = Rig::simple(1, |c, f| {
            c.limits = [limits(1, 0, 1024), limits(1, 1, 1024)];
            f.priority = priority;
        });
        rig.play(1, &[Play::Answer(200, ms(10))]);
        let token = rig.get();
        rig.run_until(at(100));
        assert_eq!((rig.got(token), &*rig.flags(token)), (got, flags));
    }
}

/// Envoy: `per_host_thresholds.max_connections`.
#[test]
fn an_endpoint_may_have_a_limit_of_connections_of_its_own() {
    let mut rig = Rig::simple(2, |c, _| {
        c.pool.max_connections_per_endpoint = Some(Sourced::unsourced(1));
    });
    for n in [1, 2] {
        rig.play(n, &[Play::Answer(200, ms(10)); 3]);
    }
    let tokens: Vec<_> = (0..6).map(|_| rig.get()).collect();
    rig.run_until(at(100));
    let mut got: Vec<_> = tokens.iter().map(|t| rig.got(*t).0).collect();
    got.sort_unstable();
    assert_eq!((rig.opened, got), (2, vec![10, 10, 20, 20, 30, 30]));
}

/// A chain whose only filter is this.
fn filtered(filter: HttpFilter) -> NodeConfig {
    config_with(
        Cluster::envoy("c", endpoints(1)),
        |c| route_to(Forward::to(c)),
        |h| h.filters.push(filter),
    )
}

fn bucket(tokens: u32, status: u16) -> LocalRateLimit {
    LocalRateLimit {
        bucket: Settings {
            max_tokens: tokens,
            tokens_per_fill: 1,
            fill_interval: Duration::from_secs(1),
            refill: Refill::Continuous,
        },
        status,
        name: "l".into(),
        origin: OriginId(9),
    }
}

/// Envoy: `LocalRateLimit.status`.
#[test]
fn a_refusal_is_an_error_whatever_status_is_set() {
    for (set, status) in [(429, 429), (200, 429), (399, 429), (400, 400), (503, 503)] {
        let mut rig = Rig::new(filtered(HttpFilter::LocalRateLimit(Some(bucket(0, set)))));
        let token = rig.get();
        assert_eq!(
            (rig.got(token).1, &*rig.flags(token)),
            (status, "RL"),
            "{set}"
        );
    }
}

/// Envoy: `token_bucket`, one a process and not a worker.
#[test]
fn the_workers_of_a_process_share_a_bucket() {
    let config = || filtered(HttpFilter::LocalRateLimit(Some(bucket(3, 429))));
    let mut first = Rig::new(config());
    first.get();
    first.get();
    first.run_until(at(1));
    let mut second = Rig::unconnected(config());
    second.shared = first.shared.clone();
    second.downstream = second.dial();
    let tokens = [second.get(), second.get()];
    second.run_until(at(1));
    assert_eq!(tokens.map(|t| second.got(t).1), [200, 429]);
}

fn faulty(delay: Option<FaultDelay>, abort: Option<FaultAbort>) -> Fault {
    Fault {
        delay,
        abort,
        ..Fault::default()
    }
}

/// Envoy: `FaultDelay.header_delay`, `FaultAbort.header_abort`.
#[test]
fn a_request_asks_for_faults_where_it_may_and_for_no_more_than_it_may() {
    type Headers = &'static [(&'static str, &'static str)];
    type Row = (
        &'static str,
        f64,
        Headers,
        (u64, u16),
        Option<u32>,
        &'static str,
    );
    const ABORT: &str = "x-envoy-fault-abort-request";
    const SHARE: &str = "x-envoy-fault-abort-request-percentage";
    const GRPC: &str = "x-envoy-fault-abort-grpc-request";
    const DELAY: &str = "x-envoy-fault-delay-request";
    const DELAY_SHARE: &str = "x-envoy-fault-delay-request-percentage";
    let rows: [Row; 12] = [
        ("nothing asked", 100.0, &[], (0, 200), None, "-"),
        ("abort", 100.0, &[(ABORT, "418")], (0, 418), None, "FI"),
        (
            "no such status",
            100.0,
            &[(ABORT, "600")],
            (0, 200),
            None,
            "-",
        ),
        ("no number", 100.0, &[(ABORT, "x")], (0, 200), None, "-"),
        ("gRPC", 100.0, &[(GRPC, "8")], (0, 200), Some(8), "FI"),
        (
            "both",
            100.0,
            &[(GRPC, "8"), (ABORT, "418")],
            (0, 418),
            None,
            "FI",
        ),
        (
            "share 0",
            100.0,
            &[(ABORT, "418"), (SHARE, "0")],
            (0, 200),
            None,
            "-",
        ),
        (
            "more than it may",
            0.0,
            &[(ABORT, "418"), (SHARE, "100")],
            (0, 200),
            None,
            "-",
        ),
        ("delay", 100.0, &[(DELAY, "40")], (40, 200), None, "DI"),
        (
            "delay of nothing",
            100.0,
            &[(DELAY, "0")],
            (0, 200),
            None,
            "-",
        ),
        (
            "delay share 0",
            100.0,
            &[(DELAY, "40"), (DELAY_SHARE, "0")],
            (0, 200),
            None,
            "-",
        ),
        (
            "both kinds",
            100.0,
            &[(DELAY, "40"), (ABORT, "418")],
            (40, 418),
            None,
            "DI,FI",
        ),
    ];
    for (name, percent, headers, got, grpc, flags) in rows {
        let share = Share::from_percent(percent);
        let fault = faulty(
            Some(FaultDelay { fixed: None, share }),
            Some(FaultAbort {
                status: None,
                grpc: None,
                share,
            }),
        );
        let mut rig = Rig::new(filtered(HttpFilter::Fault(Some(fault))));
        // whoever speaks no gRPC gets the HTTP status alone
        let kind = ("content-type", "application/grpc");
        let mut headers = headers.to_vec();
        headers.extend(grpc.map(|_| kind));
        let token = rig.send(&headers);
        rig.run_until(at(100));
        assert_eq!((rig.got(token), &*rig.flags(token)), (got, flags), "{name}");
        let told = match rig.seen(token) {
            Seen::Local(reply) => reply.grpc,
            Seen::Response(_) | Seen::Broken | Seen::Nothing => None,
        };
        assert_eq!(told, grpc, "{name}");
    }
}

/// Envoy: `HTTPFault.max_active_faults`.
#[test]
fn no_more_requests_than_the_most_are_under_a_fault() {
    let delay = FaultDelay {
        fixed: Some(ms(40)),
        share: Share::ALL,
    };
    let fault = Fault {
        max_active: Some(2),
        ..faulty(Some(delay), None)
    };
    let mut rig = Rig::new(filtered(HttpFilter::Fault(Some(fault))));
    let tokens = [rig.get(), rig.get(), rig.get()];
    rig.run_until(at(50));
    let later = rig.get();
    rig.run_until(at(200));
    assert_eq!(tokens.map(|t| rig.got(t).0), [40, 40, 0]);
    assert_eq!(rig.got(later).0, 90);
}

/// Envoy: `FaultDelay.percentage`, `FaultAbort.percentage`.
#[test]
fn delay_and_abort_are_drawn_apart() {
    let share = Share::from_percent(50.0);
    let delay = FaultDelay {
        fixed: Some(ms(1)),
        share,
    };
    let abort = FaultAbort {
        status: Some(503),
        grpc: None,
        share,
    };
    let fault = faulty(Some(delay), Some(abort));
    let mut rig = Rig::new(filtered(HttpFilter::Fault(Some(fault))));
    for _ in 0..2_000 {
        rig.get();
        rig.run_until(rig.now + ms(2));
    }
    for kind in ["-", "DI", "FI", "DI,FI"] {
        let of_kind = rig.access.iter().filter(|r| r.flags.to_string() == kind);
        // 5 sigma of a binomial with 2 000 trials of a quarter
        assert!(of_kind.count().abs_diff(500) < 97, "{kind}");
    }
}

/// Envoy: `max_concurrent_streams`, `max_connections`, `max_pending_requests` on HTTP/2.
#[test]
fn a_full_http2_connection_is_joined_by_another_where_one_may_be_opened() {
    for (connections, opened, ends) in [(2, 2, [10, 10, 10, 10]), (1, 1, [10, 10, 20, 20])] {
        let mut rig = Rig::simple(1, |c, _| {
            c.protocol = UpstreamProtocol::Http2;
            c.pool.max_streams = Sourced::unsourced(2);
            c.limits[0] = limits(connections, 10, 10);
        });
        rig.play(1, &[Play::Answer(200, ms(10)); 4]);
        let tokens = [(); 4].map(|()| rig.get());
        rig.run_until(at(100));
        let got = tokens.map(|t| rig.got(t).0);
        assert_eq!((rig.opened, got), (opened, ends), "{connections}");
    }
}

/// Envoy: a peer's `SETTINGS_MAX_CONCURRENT_STREAMS` holds beside the cluster's `max_concurrent_streams`.
#[test]
fn a_peer_that_allows_fewer_streams_gets_fewer() {
    let mut rig = Rig::simple(1, |c, _| {
        c.protocol = UpstreamProtocol::Http2;
        c.pool.max_streams = Sourced::unsourced(3);
    });
    rig.play(1, &[Play::Answer(200, ms(10)); 9]);
    let upstream = |rig: &Rig| *rig.connections.keys().next().expect("one is open");
    rig.get();
    rig.run_until(at(20));
    let first = upstream(&rig);
    let allow = |rig: &mut Rig, max| {
        rig.input(Input::UpstreamStreams {
            upstream: first,
            max,
        });
    };

    // one at a time: the second request opens a connection
    allow(&mut rig, 1);
    let tokens = [(); 2].map(|()| rig.get());
    rig.run_until(at(40));
    assert_eq!(tokens.map(|t| rig.got(t)), [(30, 200), (30, 200)]);
    assert_eq!(rig.opened, 2);

    // as many as the cluster allows, and no more
    allow(&mut rig, 100);
    let tokens = [(); 6].map(|()| rig.get());
    rig.run_until(at(60));
    assert_eq!(tokens.map(|t| rig.got(t)), [(50, 200); 6]);
    assert_eq!(rig.opened, 2, "three on each");
}

#[test]
fn streams_above_what_a_peer_allows_end_before_another_is_sent() {
    let mut rig = Rig::simple(1, |c, _| {
        c.protocol = UpstreamProtocol::Http2;
        c.limits[0] = limits(1, 10, 10);
    });
    rig.play(1, &[Play::Answer(200, ms(10)), Play::Answer(200, ms(20))]);
    let both = [rig.get(), rig.get()];
    rig.run_until(at(5));
    let upstream = *rig.connections.keys().next().expect("one is open");
    rig.input(Input::UpstreamStreams { upstream, max: 1 });
    let third = rig.get();
    rig.run_until(at(50));
    assert_eq!(both.map(|t| rig.got(t)), [(10, 200), (20, 200)]);
    assert_eq!(rig.got(third).0, 20, "when the second has ended");

    rig.input(Input::UpstreamStreams { upstream, max: 0 });
    let waits = rig.get();
    rig.run_until(at(80));
    rig.input(Input::UpstreamStreams { upstream, max: 1 });
    rig.run_until(at(100));
    assert_eq!(rig.got(waits).0, 80, "when it is allowed again");
}
