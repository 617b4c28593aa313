//! Bounded queues.

use reports::figures::sum;
use reports::outcome::ErrorReason;
use reports::result::RunResult;

use crate::kit::NARROW;
use crate::kit::flights::{Traffic, exponential};
use crate::kit::interval::{Comparison, batches};
use crate::kit::queues::erlang_b;

/// The share of requests that were turned away, batch by batch.
fn turned_away(result: &RunResult) -> impl Iterator<Item = f64> {
    let series = &result.loads[0].series;
    batches(&result.time).map(|span| {
        let full = series.reasons.get(&ErrorReason::QueueFull);
        let full = full.expect("some are turned away");
        sum(full, span) as f64 / sum(&series.sent, span) as f64
    })
}

#[test]
fn a_full_mm1k_turns_its_closed_forms_share_away() {
    let mut comparison = Comparison::default();
    // K requests fit in: one is served and K - 1 wait
    for (rho, k, requests) in [(0.8, 2, 200e3), (1.5, 10, 420e3)] {
        let traffic = Traffic {
            servers: 1,
            rho,
            requests,
        };
        let more = format!("queue: {{limit: {}}},", k - 1);
        let result = traffic.station(&traffic.exponential(), &more, 4);
        let weights: Vec<f64> = (0..=k).map(|n| libm::pow(rho, f64::from(n))).collect();
        let total: f64 = weights.iter().sum();
        let blocked = weights.last().expect("there are K + 1 states") / total;
        let inside: f64 = weights.iter().zip(0..).map(|(w, n)| w * f64::from(n)).sum();
        let sojourn = inside / total / (traffic.rate() * (1.0 - blocked));
        let name = &*format!("M/M/1/{k} at {rho}");
        let away = format!("{name} turned away");
        comparison.holds(&away, blocked, turned_away(&result), NARROW);
        comparison.mean(name, sojourn, &result, NARROW);
    }
    comparison.finish();
}

#[test]
fn servers_without_a_queue_lose_what_erlang_says_whatever_the_service_time() {
    let mut comparison = Comparison::default();
    let constant = |mean: f64| format!("{}ns", (mean * 1e9).round());
    /// A distribution of a mean, as a scenario writes it.
    type Shape = fn(f64) -> String;
    let shapes: [(&str, Shape); 2] = [("M", exponential), ("D", constant)];
    for (shape, time) in shapes {
        for (servers, rho, requests) in [(1, 0.5, 60e3), (4, 1.0, 200e3), (8, 1.25, 200e3)] {
            let traffic = Traffic {
                servers,
                rho,
                requests,
            };
            let result = traffic.station(&time(traffic.service()), "queue: {limit: 0},", 5);
            let expected = erlang_b(servers, rho * f64::from(servers));
            let name = format!("M/{shape}/{servers}/{servers} at {rho} loses");
            comparison.holds(&name, expected, turned_away(&result), NARROW);
        }
    }
    comparison.finish();
}
