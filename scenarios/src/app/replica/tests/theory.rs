//! Queueing formulas beside the model.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proxy_core::draw::Purpose;

use super::*;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives,
    Fires(AppTimer),
}

/// Mean sojourn in milliseconds of Poisson arrivals at `rate` a millisecond, by a bare event loop.
fn mean_sojourn(program: Program, rate: f64, requests: u64) -> f64 {
    let mut replica = Replica::new(Arc::new(program), BehaviourId(0));
    replica.handle(Time::ZERO, AppInput::BootedBefore);
    let gaps = Distribution::exponential(1e6 / rate).unwrap();
    let root = DrawKey::root(5);
    let mut queue = BinaryHeap::from([Reverse((Time::ZERO, 0, Event::Arrives))]);
    let (mut number, mut arrived, mut total) = (0_u64, Vec::new(), 0.0);
    while let Some(Reverse((now, _, event))) = queue.pop() {
        match event {
            Event::Arrives => {
                let token = arrived.len() as u64;
                if token == requests {
                    continue;
                }
                arrived.push(now);
                let key = root.child(token);
                let arrival = Arrival {
                    token,
                    handler: Some(HANDLER),
                    key,
                    watched: false,
                };
                replica.arrive(now, arrival);
                let next = now + gaps.sample(key.unit(Purpose::Arrival, 0));
                number += 1;
                queue.push(Reverse((next, number, Event::Arrives)));
            }
            Event::Fires(id) => replica.handle(now, AppInput::Timer { id }),
        }
        while let Some(action) = replica.poll_action() {
            if let AppAction::Arm { id, at, .. } = action {
                number += 1;
                queue.push(Reverse((at, number, Event::Fires(id))));
            } else if let AppAction::Answer { token, .. } = action {
                total += now.since(arrived[token as usize]).as_nanos() as f64;
            }
        }
    }
    assert_eq!(replica.in_flight(), 0);
    total / requests as f64 / 1e6
}

fn exponential() -> Distribution {
    Distribution::exponential(1e6).unwrap()
}

fn serving(time: Distribution, cpu: f32) -> Program {
    let mut program = program([computing(0, cpu), Step::Reply]);
    program.distributions[0] = time;
    program
}

/// Erlang's C formula: the probability that an arrival waits.
fn erlang_c(servers: u32, load: f64) -> f64 {
    let c = f64::from(servers);
    let (mut term, mut sum) = (1.0, 0.0);
    for n in 0..servers {
        sum += term;
        term *= load / f64::from(n + 1);
    }
    let tail = term * c / (c - load);
    tail / (sum + tail)
}

#[test]
fn mean_sojourns_are_those_of_queueing_theory() {
    // service 1 ms on average, rho 0.7; the asymptotic standard error of the M/M/1 mean over 600 000 requests is
    // sqrt(335 / 600 000), 0.7 % of it, and less for the others
    let mm1 = 1.0 / (1.0 - 0.7);
    let mm4 = 1.0 + erlang_c(4, 2.8) / (4.0 - 2.8);
    let md1 = 1.0 + 0.7 / (2.0 * (1.0 - 0.7));
    let constant = Distribution::constant(1e6).unwrap();
    type Change = fn(&mut Behaviour);
    let shared: Change = |b| b.discipline = Discipline::Shared;
    let one_core: Change = |b| (b.concurrency, b.cores) = (100_000, Some(1.0));
    let rows: [(&str, Program, Change, f64, f64); 8] = [
        ("M/M/1 fifo", serving(exponential(), 0.0), |_| {}, 0.7, mm1),
        (
            "M/M/1 lifo",
            serving(exponential(), 0.0),
            |b| b.discipline = Discipline::Lifo,
            0.7,
            mm1,
        ),
        (
            "M/M/1 shared",
            serving(exponential(), 0.0),
            shared,
            0.7,
            mm1,
        ),
        (
            "M/D/1 shared: insensitive to the shape",
            serving(constant.clone(), 0.0),
            shared,
            0.7,
            mm1,
        ),
        (
            "M/D/1 fifo: Pollaczek-Khinchine",
            serving(constant, 0.0),
            |_| {},
            0.7,
            md1,
        ),
        (
            "M/M/4 fifo: Erlang C",
            serving(exponential(), 0.0),
            |b| b.concurrency = 4,
            2.8,
            mm4,
        ),
        (
            "M/M/4 shared",
            serving(exponential(), 0.0),
            |b| (b.discipline, b.concurrency) = (Discipline::Shared, 4),
            2.8,
            mm4,
        ),
        (
            "M/M/1 on one core",
            serving(exponential(), 1.0),
            one_core,
            0.7,
            mm1,
        ),
    ];
    for (name, program, change, rate, expected) in rows {
        let mean = mean_sojourn(program.with(change), rate, 600_000);
        let off = (mean / expected - 1.0).abs();
        assert!(off < 0.02, "{name}: {mean} instead of {expected}");
    }
}
