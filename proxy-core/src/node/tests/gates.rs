//! Gates: limits by key, what is under way by key, and breakers.

use core::net::SocketAddr;
use std::sync::Arc;

use super::rig::*;
use crate::breaker::{Change, Expression};
use crate::config::*;
use crate::event::Event;
use crate::limit::delaying_bucket::DelayingBucket;
use crate::limit::leaky_bucket::LeakyBucket;
use crate::limit::windows::{Period, Windows};
use crate::node::{Accept, Arrival, Input, Update};
use crate::origin::OriginId;
use crate::reply::ReplyReason;
use crate::time::Duration;

const SLOW: Play = Play::Answer(200, Duration::from_millis(100));

fn gate(status: u16, kind: GateKind) -> Gate {
    Gate {
        name: "g".into(),
        kind,
        status,
        exempt: Vec::new(),
        origin: OriginId(7),
    }
}

const CLIENT: GateKey = GateKey::ClientAddress {
    of: ClientOf::Connection,
    v6_prefix: None,
};

fn rate(limit: RateLimit, key: GateKey) -> Gate {
    gate(429, GateKind::Rate { limit, key })
}

/// NGINX: `rate=2r/s burst=1 nodelay`.
fn leaky(key: GateKey) -> Gate {
    let limit = RateLimit::Leaky(vec![LeakyBucket::per_second(2, 1)]);
    gate(503, GateKind::Rate { limit, key })
}

fn in_flight(most: u32, key: GateKey) -> Gate {
    gate(429, GateKind::InFlight { most, key })
}

fn per_minute(requests: u64, key: GateKey) -> Gate {
    let windows = Windows {
        limits: vec![(Period::Minute, requests)],
        tells: true,
    };
    rate(RateLimit::Windows(windows), key)
}

fn breaker(expression: &str) -> Gate {
    let breaker = Breaker {
        expression: Expression::parse(expression).unwrap(),
        check_period: ms(100),
        fallback: ms(10_000),
        recovery: ms(10_000),
    };
    gate(503, GateKind::Breaker(breaker))
}

fn config(gates: Vec<Gate>) -> NodeConfig {
    let cluster = Cluster::envoy("c", endpoints(1));
    let route = |index| Route {
        gates,
        ..route_to(Forward::to(index))
    };
    config_with(cluster, route, |_| ())
}

fn rig(gates: Vec<Gate>) -> Rig {
    Rig::new(config(gates))
}

/// From now on requests come from this client.
fn from(rig: &mut Rig, client: u8) {
    rig.downstream = rig.accept(Accept {
        token: 1,
        arrival: Arrival::Outbound,
        source: SocketAddr::from(([10, 1, 1, client], 4000)),
        at: "10.9.9.9:80".parse().unwrap(),
        destination: "10.9.9.9:80".parse().unwrap(),
    });
}

/// Statuses of requests with these headers that come at once.
fn statuses(rig: &mut Rig, all: &[&[(&str, &str)]]) -> Vec<u16> {
    let tokens: Vec<u64> = all.iter().map(|headers| rig.send(headers)).collect();
    rig.run_until(rig.now);
    tokens.into_iter().map(|token| rig.got(token).1).collect()
}

fn plain(rig: &mut Rig, count: usize) -> Vec<u16> {
    statuses(rig, &vec![&[][..]; count])
}

#[test]
fn each_client_has_its_own_bucket() {
    let mut rig = rig(vec![leaky(CLIENT)]);
    assert_eq!(plain(&mut rig, 3), [200, 200, 503]);
    from(&mut rig, 2);
    assert_eq!(plain(&mut rig, 3), [200, 200, 503]);
    from(&mut rig, 1);
    assert_eq!(plain(&mut rig, 1), [503]);
    rig.run_until(at(500));
    assert_eq!(plain(&mut rig, 2), [200, 503]);
}

#[test]
fn a_refusal_says_by_which_rule() {
    let mut rig = rig(vec![leaky(GateKey::All)]);
    let tokens = [(); 3].map(|()| rig.get());
    let Seen::Local(reply) = rig.seen(tokens[2]) else {
        panic!("the node answers");
    };
    assert_eq!(reply.reason, ReplyReason::RateLimited);
    assert_eq!((reply.status, reply.origin), (503, OriginId(7)));
    assert_eq!(rig.flags(tokens[2]), "RL");
    assert_eq!(rig.sent.len(), 2);
}

#[test]
fn exempt_clients_pass_uncounted() {
    let exempt = vec![Cidr {
        address: "10.1.1.8".parse().unwrap(),
        bits: 29,
    }];
    let all = Gate {
        exempt,
        ..leaky(GateKey::All)
    };
    let mut rig = rig(vec![all]);
    from(&mut rig, 9);
    assert_eq!(plain(&mut rig, 5), [200; 5]);
    from(&mut rig, 1);
    assert_eq!(plain(&mut rig, 3), [200, 200, 503]);
}

#[test]
fn what_lacks_the_key_is_counted_as_the_gate_has_it() {
    let by = |absent| GateKey::Header {
        name: "x-user".into(),
        absent,
    };
    let (with, without): (&[_], &[_]) = (&[("x-user", "u")], &[]);
    let all = [with, with, with, without, without, without];
    let mut shared = rig(vec![leaky(by(AbsentKey::Shared))]);
    assert_eq!(statuses(&mut shared, &all), [200, 200, 503, 200, 200, 503]);
    from(&mut shared, 2);
    assert_eq!(
        statuses(&mut shared, &[without]),
        [503],
        "of whichever client"
    );
    let mut address = rig(vec![leaky(by(AbsentKey::Address))]);
    assert_eq!(statuses(&mut address, &all), [200, 200, 503, 200, 200, 503]);
    from(&mut address, 2);
    assert_eq!(statuses(&mut address, &[without, with]), [200, 503]);
    let mut passes = rig(vec![leaky(by(AbsentKey::Passes))]);
    assert_eq!(statuses(&mut passes, &all), [200, 200, 503, 200, 200, 200]);
}

#[test]
fn keys_are_hosts_cookies_paths_and_entries_of_lists() {
    let request = |authority: &str, path: &str, headers: &[(&str, &str)]| Head {
        authority: authority.into(),
        path: path.into(),
        headers: headers
            .iter()
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect(),
        ..head("GET")
    };
    let cookie = GateKey::Cookie {
        name: "id".into(),
        absent: AbsentKey::Passes,
    };
    let forwarded = GateKey::Forwarded {
        entry: ForwardedEntry::FromRight(2),
        v6_prefix: None,
    };
    let list = |first: &str| format!("{first}, 9.9.9.9");
    let (one, other) = (list("1.1.1.1"), list("2.2.2.2"));
    let rows = [
        (
            "host",
            GateKey::Host,
            request("a", "/", &[]),
            request("b", "/", &[]),
        ),
        (
            "cookie",
            cookie,
            request("a", "/", &[("cookie", "x=1; id=1")]),
            request("a", "/", &[("cookie", "id=2; x=1")]),
        ),
        (
            "path",
            GateKey::Path("/a".into()),
            request("a", "/a?q=1", &[]),
            request("a", "/b", &[]),
        ),
        (
            "forwarded",
            forwarded,
            request("a", "/", &[("x-forwarded-for", &one)]),
            request("a", "/", &[("x-forwarded-for", &other)]),
        ),
    ];
    for (name, key, one, other) in rows {
        let mut rig = rig(vec![leaky(key)]);
        let all = [&one, &one, &one, &other, &other, &other];
        let tokens = all.map(|head| rig.send_head(head.clone(), true).0);
        rig.run_until(at(0));
        let statuses = tokens.map(|token| rig.got(token).1);
        assert_eq!(statuses, [200, 200, 503, 200, 200, 503], "{name}");
    }
}

#[test]
fn a_token_that_is_near_is_waited_for() {
    let limit = RateLimit::Delaying(DelayingBucket {
        average: 10,
        period: ms(1_000),
        burst: 1,
    });
    let mut rig = rig(vec![rate(limit, GateKey::All)]);
    rig.run_until(at(1_000));
    rig.get();
    rig.run_until(at(1_040));
    let early = rig.get();
    assert_eq!(rig.got(early), (1_040, 429));
    assert_eq!(rig.added, ["retry-after: 1", "x-retry-in: 60ms"]);
    rig.run_until(at(1_060));
    let waits = rig.get();
    rig.run_until(at(2_000));
    assert_eq!(rig.got(waits), (1_100, 200));
    assert_eq!(rig.sent_at(), [1_000, 1_100]);
}

#[test]
fn who_goes_away_while_it_waits_is_never_sent_on() {
    let slow = LeakyBucket {
        delay_after: Some(0),
        ..LeakyBucket::per_second(1, 5)
    };
    let limit = RateLimit::Leaky(vec![slow]);
    let mut rig = rig(vec![
        in_flight(2, GateKey::All),
        Gate {
            name: "slow".into(),
            ..rate(limit, GateKey::All)
        },
    ]);
    rig.get();
    let (_, gone) = rig.send_head(head("GET"), true);
    rig.run_until(at(200));
    assert_eq!(
        plain(&mut rig, 1).len(),
        1,
        "its seat is taken while it waits"
    );
    rig.input(Input::DownstreamReset { exchange: gone });
    rig.run_until(at(10_000));
    assert_eq!(rig.sent.len(), 2);
    assert_eq!(rig.node.exchanges(), 0);
}

#[test]
fn a_request_that_waits_is_read_on() {
    let slow = LeakyBucket {
        delay_after: Some(0),
        ..LeakyBucket::per_second(1, 5)
    };
    let limit = RateLimit::Leaky(vec![slow]);
    let gates = vec![rate(limit, GateKey::All)];
    let route = |index| {
        let mut forward = Forward::to(index);
        forward.timeout = crate::origin::Sourced::unsourced(Some(ms(300)));
        Route {
            gates,
            ..route_to(forward)
        }
    };
    let mut rig = Rig::new(config_with(
        Cluster::envoy("c", endpoints(1)),
        route,
        |_| (),
    ));
    rig.play(1, &[OK, Play::Silence]);
    rig.get();
    let (token, exchange) = rig.send_head(head("POST"), false);
    rig.run_until(at(500));
    rig.input(Input::RequestEnd { exchange });
    rig.run_until(at(5_000));
    assert_eq!(
        rig.got(token),
        (1_300, 504),
        "the route's time begins when it is sent"
    );
}

#[test]
fn clients_are_told_of_windows_on_every_answer() {
    let mut rig = rig(vec![per_minute(2, GateKey::All)]);
    rig.run_until(at(20_000));
    assert_eq!(plain(&mut rig, 1), [200]);
    let told = [
        "x-ratelimit-limit-minute: 2",
        "x-ratelimit-remaining-minute: 1",
        "ratelimit-limit: 2",
        "ratelimit-remaining: 1",
        "ratelimit-reset: 40",
    ];
    assert_eq!(rig.added, told);
    assert_eq!(plain(&mut rig, 2), [200, 429]);
    let retry = rig.added.iter().filter(|line| *line == "retry-after: 40");
    assert_eq!(retry.count(), 1);
    rig.run_until(at(60_000));
    assert_eq!(plain(&mut rig, 1), [200], "another minute");
}

#[test]
fn clients_are_told_nothing_where_that_is_hidden() {
    let windows = Windows {
        limits: vec![(Period::Minute, 1)],
        tells: false,
    };
    let mut rig = rig(vec![rate(RateLimit::Windows(windows), GateKey::All)]);
    assert_eq!(plain(&mut rig, 2), [200, 429]);
    assert!(rig.added.is_empty());
}

#[test]
fn a_seat_is_given_back_however_the_exchange_ends() {
    let mut rig = rig(vec![in_flight(1, GateKey::All)]);
    let ends = [
        ("an answer", SLOW),
        ("a reset", Play::Reset(ms(100))),
        ("a closed connection", Play::Hangup(ms(100))),
    ];
    for (name, play) in ends {
        rig.play(1, &[play]);
        rig.get();
        let refused = rig.get();
        assert_eq!(rig.got(refused).1, 429, "{name}");
        rig.run_until(rig.now + ms(200));
        assert_eq!(plain(&mut rig, 1), [200], "{name}");
    }
    rig.play(1, &[Play::Silence]);
    let (_, exchange) = rig.send_head(head("GET"), true);
    rig.input(Input::DownstreamReset { exchange });
    assert_eq!(plain(&mut rig, 1), [200], "the client is gone");
    let mut refused = self::rig(vec![in_flight(1, GateKey::All)]);
    refused.refusing.insert(address(1));
    assert_eq!(plain(&mut refused, 2), [503, 503], "no connection");
}

#[test]
fn a_refused_request_takes_no_seat() {
    let mut rig = rig(vec![in_flight(2, CLIENT)]);
    rig.play(1, &[SLOW; 4]);
    let first = [(); 4].map(|()| rig.get());
    from(&mut rig, 2);
    let other = [(); 3].map(|()| rig.get());
    let refused = |rig: &Rig, tokens: &[u64]| -> Vec<bool> {
        tokens
            .iter()
            .map(|token| rig.got(*token).1 == 429)
            .collect()
    };
    assert_eq!(refused(&rig, &first), [false, false, true, true]);
    assert_eq!(refused(&rig, &other), [false, false, true]);
    rig.run_until(at(100));
    assert_eq!(plain(&mut rig, 2), [200, 200]);
    let mut none = self::rig(vec![in_flight(0, GateKey::All)]);
    assert_eq!(plain(&mut none, 1), [429]);
}

#[test]
fn gates_are_passed_in_their_order() {
    let named = |name: &str, gate: Gate| Gate {
        name: name.into(),
        ..gate
    };
    let both = [
        named("seats", in_flight(0, GateKey::All)),
        named("rate", leaky(GateKey::All)),
    ];
    let (mut one, mut other) = (both.to_vec(), both.to_vec());
    other.reverse();
    assert_eq!(plain(&mut rig(core::mem::take(&mut one)), 4), [429; 4]);
    assert_eq!(plain(&mut rig(other), 4), [429, 429, 503, 503]);
}

#[test]
fn gates_stand_before_whatever_the_route_does() {
    let answer = DirectResponse {
        status: 418,
        body: "".into(),
    };
    let route = |_| Route {
        action: RouteAction::Direct(answer),
        gates: vec![leaky(GateKey::All)],
        ..route_to(Forward::to(ClusterIndex(0)))
    };
    let cluster = Cluster::envoy("c", endpoints(1));
    let mut rig = Rig::new(config_with(cluster, route, |_| ()));
    assert_eq!(plain(&mut rig, 3), [418, 418, 503]);
}

#[test]
fn state_outlives_an_update_by_the_name_of_its_gate() {
    let mut rig = rig(vec![leaky(GateKey::All)]);
    assert_eq!(plain(&mut rig, 2), [200, 200]);
    rig.update(Update::Config(Arc::new(config(vec![leaky(GateKey::All)]))));
    rig.downstream = rig.dial();
    assert_eq!(plain(&mut rig, 1), [503]);
    let other = Gate {
        name: "other".into(),
        ..leaky(GateKey::All)
    };
    rig.update(Update::Config(Arc::new(config(vec![other]))));
    rig.downstream = rig.dial();
    assert_eq!(plain(&mut rig, 3), [200, 200, 503]);
}

#[test]
fn workers_of_a_process_count_together() {
    let gates = || vec![leaky(GateKey::All)];
    let (mut one, mut other) = (rig(gates()), rig(gates()));
    assert_eq!(plain(&mut one, 1), [200]);
    core::mem::swap(&mut one.shared, &mut other.shared);
    assert_eq!(plain(&mut other, 2), [200, 503]);
}

#[test]
fn a_request_that_a_later_gate_refuses_is_a_result_to_a_breaker() {
    let named = Gate {
        name: "seats".into(),
        ..in_flight(0, GateKey::All)
    };
    let mut rig = rig(vec![
        breaker("ResponseCodeRatio(429, 430, 0, 600) > 0.5"),
        named,
    ]);
    assert_eq!(plain(&mut rig, 3), [429, 503, 503]);
}

fn changes(rig: &Rig) -> Vec<Change> {
    let change = |event: &Event| {
        let Event::Breaker { change, origin } = event else {
            return None;
        };
        assert_eq!(*origin, OriginId(7));
        Some(*change)
    };
    rig.events.iter().filter_map(change).collect()
}

#[test]
fn a_breaker_opens_by_what_clients_get_and_closes_again() {
    let mut rig = rig(vec![breaker(
        "NetworkErrorRatio() > 0.5 && RequestThreshold() >= 2",
    )]);
    rig.play(1, &[Play::Answer(502, Duration::ZERO); 2]);
    rig.get();
    rig.run_until(at(200));
    let second = rig.get();
    rig.run_until(at(300));
    assert_eq!(rig.got(second).1, 502);
    let refused = rig.get();
    let Seen::Local(reply) = rig.seen(refused) else {
        panic!("the breaker answers");
    };
    assert_eq!(
        (reply.status, reply.reason),
        (503, ReplyReason::BreakerOpen)
    );
    assert_eq!(rig.flags(refused), "UO");
    assert_eq!(changes(&rig), [Change::Opened]);
    let mut passed = 0;
    while rig.now < at(21_000) {
        let token = rig.get();
        rig.run_until(rig.now + ms(10));
        passed += usize::from(rig.got(token).1 == 200 && rig.now < at(20_200));
    }
    assert_eq!(
        changes(&rig),
        [Change::Opened, Change::Recovering, Change::Closed]
    );
    // half of all that came in the ten seconds of recovery
    assert!((490..=510).contains(&passed), "{passed}");
}

#[test]
fn a_breaker_sees_the_latency_of_the_whole_exchange() {
    let mut rig = rig(vec![breaker("LatencyAtQuantileMS(50.0) > 90")]);
    rig.play(1, &[SLOW]);
    rig.get();
    rig.run_until(at(100));
    assert_eq!(changes(&rig), [Change::Opened]);
}

#[test]
fn clients_that_go_away_and_grpc_errors_count_as_what_they_are() {
    let mut gone = rig(vec![breaker("ResponseCodeRatio(499, 500, 0, 600) > 0.5")]);
    gone.play(1, &[Play::Silence]);
    let (_, exchange) = gone.send_head(head("GET"), true);
    gone.input(Input::DownstreamReset { exchange });
    assert_eq!(changes(&gone), [Change::Opened]);
    let mut grpc = rig(vec![breaker("ResponseCodeRatio(503, 504, 0, 600) > 0.5")]);
    grpc.refusing.insert(address(1));
    let token = grpc.send(&[("content-type", "application/grpc")]);
    assert_eq!(grpc.got(token).1, 200, "with a status of its own");
    assert_eq!(changes(&grpc), [Change::Opened]);
}

#[test]
fn a_copy_of_a_request_is_no_business_of_its_gates() {
    let mut forward = Forward::to(ClusterIndex(0));
    forward.mirrors = vec![Mirror {
        cluster: ClusterIndex(0),
        share: crate::origin::Sourced::unsourced(Share::ALL),
        shadow_host: false,
    }];
    let gates = vec![in_flight(1, GateKey::All)];
    let route = |_| Route {
        gates,
        ..route_to(forward)
    };
    let mut rig = Rig::new(config_with(
        Cluster::envoy("c", endpoints(1)),
        route,
        |_| (),
    ));
    rig.play(1, &[OK, Play::Answer(200, ms(5_000))]);
    assert_eq!(plain(&mut rig, 1), [200]);
    rig.play(1, &[OK, OK]);
    assert_eq!(
        plain(&mut rig, 1),
        [200],
        "the first one's copy is still under way"
    );
    rig.run_until(at(10_000));
    assert_eq!(plain(&mut rig, 1), [200]);
}
