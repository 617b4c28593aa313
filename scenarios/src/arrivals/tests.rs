use std::sync::Arc;

use proxy_core::draw::DrawKey;
use proxy_core::time::{Duration, Time};

use super::{Arrival, Arrivals};
use crate::plan::ids::{PolicyId, RequestId};
use crate::plan::load::{
    Arrivals as Spacing, Client, Load, Mixed, Process, Protocol, Stage, Surge, TraceRow, Via,
};

fn load(process: Process, surges: Vec<Surge>) -> Load {
    Load {
        name: "l".into(),
        via: Via::Direct,
        mix: vec![
            Mixed {
                cumulative: 0.75,
                request: RequestId(0),
            },
            Mixed {
                cumulative: 1.0,
                request: RequestId(1),
            },
        ],
        process,
        client: Client {
            protocol: Protocol::Http1,
            connections: None,
            policy: PolicyId(0),
        },
        surges,
        span: manifests::text::Span::NOWHERE,
    }
}

fn open(arrivals: Spacing, stages: &[(f64, f64, u64)]) -> Process {
    let stages = stages
        .iter()
        .map(|&(from, to, secs)| Stage {
            from,
            to,
            lasts: Duration::from_secs(secs),
        })
        .collect();
    Process::Open { arrivals, stages }
}

fn run(load: Load, secs: u64, seed: u64) -> Vec<Arrival> {
    let end = Time::ZERO + Duration::from_secs(secs);
    Arrivals::new(Arc::new(load), DrawKey::root(seed), end)
        .expect("it is no closed load")
        .collect()
}

fn between(arrivals: &[Arrival], from: u64, to: u64) -> f64 {
    let at = |secs: u64| Time::ZERO + Duration::from_secs(secs);
    arrivals
        .iter()
        .filter(|each| each.at >= at(from) && each.at < at(to))
        .count() as f64
}

fn surge(from: u64, until: u64, factor: f64) -> Surge {
    let at = |secs: u64| Time::ZERO + Duration::from_secs(secs);
    Surge {
        from: at(from),
        until: at(until),
        factor,
    }
}

#[test]
fn constant_arrivals_follow_the_stages_exactly() {
    let arrivals = run(
        load(
            open(
                Spacing::Constant,
                &[(0.0, 100.0, 10), (100.0, 100.0, 10), (100.0, 0.0, 10)],
            ),
            vec![],
        ),
        60,
        1,
    );
    // The area under the stages, give or take the phase.
    for (from, to, expected) in [
        (0, 10, 500.0),
        (10, 20, 1000.0),
        (20, 30, 500.0),
        (30, 60, 0.0),
        (0, 5, 125.0),
    ] {
        assert!(
            (between(&arrivals, from, to) - expected).abs() <= 1.0,
            "{from}..{to}"
        );
    }
    assert!(arrivals.windows(2).all(|pair| pair[0].at <= pair[1].at));
}

#[test]
fn poisson_arrivals_have_the_rate_and_the_spread_of_poisson() {
    let arrivals = run(
        load(open(Spacing::Poisson, &[(200.0, 200.0, 1000)]), vec![]),
        1000,
        1,
    );
    let counts: Vec<f64> = (0..1000)
        .map(|second| between(&arrivals, second, second + 1))
        .collect();
    let mean = counts.iter().sum::<f64>() / 1000.0;
    let variance = counts
        .iter()
        .map(|count| (count - mean).powi(2))
        .sum::<f64>()
        / 999.0;
    // Five sigma: of the mean sqrt(200 / 1000), of the variance about 200 * sqrt(2 / 1000).
    assert!((mean - 200.0).abs() < 5.0 * (0.2_f64).sqrt(), "{mean}");
    assert!(
        (variance - 200.0).abs() < 5.0 * 200.0 * (0.002_f64).sqrt(),
        "{variance}"
    );
    let first = arrivals
        .iter()
        .filter(|each| each.request == RequestId(0))
        .count() as f64;
    assert!((first / arrivals.len() as f64 - 0.75).abs() < 0.005);
}

#[test]
fn a_ramp_brings_requests_in_proportion_to_its_area() {
    let arrivals = run(
        load(open(Spacing::Poisson, &[(0.0, 400.0, 100)]), vec![]),
        100,
        3,
    );
    // 20,000 in all, a quarter of them in the first half; five sigma of Poisson counts.
    assert!((arrivals.len() as f64 - 20_000.0).abs() < 5.0 * (20_000.0_f64).sqrt());
    assert!((between(&arrivals, 0, 50) - 5_000.0).abs() < 5.0 * (5_000.0_f64).sqrt());
}

#[test]
fn a_higher_rate_brings_every_request_earlier() {
    let at = |rate: f64| {
        run(
            load(open(Spacing::Poisson, &[(rate, rate, 100)]), vec![]),
            100,
            3,
        )
    };
    for (slow, fast) in at(100.0).iter().zip(at(150.0)) {
        assert!(fast.at <= slow.at);
        assert_eq!(
            (slow.number, slow.key, slow.request),
            (fast.number, fast.key, fast.request)
        );
    }
}

#[test]
fn a_surge_leaves_the_requests_that_come_anyway_as_they_are() {
    let process = || open(Spacing::Poisson, &[(100.0, 100.0, 60)]);
    let calm = run(load(process(), vec![]), 60, 5);
    let surged = run(load(process(), vec![surge(20, 40, 3.0)]), 60, 5);
    let (base, extra): (Vec<Arrival>, Vec<Arrival>) =
        surged.iter().partition(|each| each.number < 1 << 40);
    assert_eq!(base, calm);
    assert!(
        (extra.len() as f64 - 4000.0).abs() < 5.0 * (4000.0_f64).sqrt(),
        "{}",
        extra.len()
    );
    assert_eq!(between(&extra, 20, 40), extra.len() as f64);
    assert!(surged.windows(2).all(|pair| pair[0].at <= pair[1].at));
}

#[test]
fn a_surge_below_one_thins_the_load() {
    let arrivals = run(
        load(
            open(Spacing::Constant, &[(100.0, 100.0, 60)]),
            vec![surge(20, 40, 0.25)],
        ),
        60,
        5,
    );
    for (from, to, expected) in [(0, 20, 2000.0), (20, 40, 500.0), (40, 60, 2000.0)] {
        assert!(
            (between(&arrivals, from, to) - expected).abs() <= 1.0,
            "{from}..{to}"
        );
    }
}

#[test]
fn a_trace_comes_as_it_is_written_and_a_surge_copies_it() {
    let rows: Arc<[TraceRow]> = (0..1000)
        .map(|nth| TraceRow {
            at: Time::from_nanos(nth * 10_000_000),
            request: RequestId(nth as u32 % 3),
        })
        .collect();
    let calm = run(load(Process::Trace(rows.clone()), vec![]), 10, 1);
    assert_eq!(calm.len(), 1000);
    assert!(
        calm.iter()
            .zip(&*rows)
            .all(|(arrival, row)| arrival.at == row.at && arrival.request == row.request)
    );
    let surged = run(load(Process::Trace(rows), vec![surge(2, 4, 2.5)]), 10, 1);
    // 200 rows with 1.5 more each: five sigma of 200 coin tosses.
    assert!(
        (surged.len() as f64 - 1300.0).abs() < 5.0 * (50.0_f64).sqrt(),
        "{}",
        surged.len()
    );
}

#[test]
fn a_clone_goes_on_as_the_original() {
    let load = load(
        open(Spacing::Poisson, &[(50.0, 150.0, 60)]),
        vec![surge(10, 20, 2.0)],
    );
    let end = Time::ZERO + Duration::from_secs(60);
    let mut original = Arrivals::new(Arc::new(load), DrawKey::root(2), end).expect("it is open");
    let _first: Vec<Arrival> = original.by_ref().take(700).collect();
    let copy = original.clone();
    assert!(original.eq(copy));
}
