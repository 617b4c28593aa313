use super::*;
use crate::figures::tests::{LOAD, ms, small, steady};
use crate::outcome::{ErrorReason, Outcome};
use crate::pool::pool;

/// Request latencies that vary in the same way for both sides, and `extra` more for one of them.
fn run(seed: u64, extra: u64, wobble: u64) -> RunResult {
    let mut r = small();
    for at in 0..400_u64 {
        let took = 10 + (at * 7 + seed * 13) % 20 + extra + wobble * ((at / 100) % 2);
        let outcome = Outcome {
            status: 200,
            reason: ErrorReason::None,
            attempts: 1,
        };
        r.request_started(LOAD, ms(at * 100));
        r.request_finished(LOAD, ms(at * 100), ms(at * 100 + took), outcome);
    }
    let mut result = r.finish(ms(41_000));
    result.seeds = vec![seed];
    result
}

fn row<'a>(c: &'a Comparison, figure: &str) -> &'a Difference {
    c.rows.iter().find(|r| r.figure == figure).expect(figure)
}

#[test]
fn a_run_does_not_differ_from_itself() {
    let c = compare(&run(1, 0, 0), &run(1, 0, 0));
    assert_eq!(c.paired, Paired::Stretches(19));
    assert!(!c.is_different());
    assert_eq!(row(&c, "success('shoppers')").interval, Some((0.0, 0.0)));
}

#[test]
fn a_constant_difference_is_significant_whatever_the_common_noise() {
    let c = compare(&run(1, 0, 0), &run(1, 5, 0));
    let mean = row(&c, "latency('shoppers').mean");
    let (low, high) = mean.interval.unwrap();
    assert!((mean.difference.unwrap() - 5e6).abs() < 1e3);
    assert!(low > 4.9e6 && high < 5.1e6, "{low} {high}");
    assert!(mean.is_significant());
    assert_eq!(mean.is_better(), Some(false));
    assert!(!row(&c, "success('shoppers')").is_significant());
}

#[test]
fn a_difference_here_and_there_has_a_wide_interval() {
    let c = compare(&run(1, 0, 0), &run(1, 0, 5));
    let (low, high) = row(&c, "latency('shoppers').mean").interval.unwrap();
    // Half of the stretches are 5 ms slower: deviation 2.6 ms, half width 2.101 · 2.6 / √19.
    assert!((high - low - 2.0 * 1.25e6).abs() < 0.2e6, "{}", high - low);
}

#[test]
fn over_seeds_the_interval_is_that_of_the_paired_differences() {
    let side = |extra: [u64; 4]| {
        let runs = extra.iter().enumerate();
        pool(runs.map(|(seed, &e)| run(seed as u64, e, 0)).collect()).unwrap()
    };
    let c = compare(&side([0; 4]), &side([2, 4, 4, 6]));
    assert_eq!(c.paired, Paired::Seeds(4));
    let mean = row(&c, "latency('shoppers').mean");
    let (low, high) = mean.interval.unwrap();
    // Mean 4, deviation 1.633, t(3) = 3.182.
    assert!((mean.difference.unwrap() - 4e6).abs() < 1e3);
    assert!((low - (4.0 - 2.598) * 1e6).abs() < 2e3, "{low}");
    assert!((high - (4.0 + 2.598) * 1e6).abs() < 2e3, "{high}");
}

#[test]
fn what_cannot_be_paired_has_no_interval() {
    let c = compare(&run(1, 0, 0), &run(2, 5, 0));
    assert_eq!(c.paired, Paired::Not("the seeds are not the same"));
    assert!(!c.is_different());
    assert!(row(&c, "latency('shoppers').p99").difference.is_some());
    let mut bad = small();
    steady(&mut bad, 0..2, 10, 200);
    let c = compare(&run(1, 0, 0), &{
        let mut r = bad.finish(ms(2_000));
        r.seeds = vec![1];
        r
    });
    assert_eq!(c.paired, Paired::Not("the time axes are not the same"));
    assert_eq!(row(&c, "success('shoppers')").b, None);
}

#[test]
fn a_count_is_compared_as_the_sum_of_its_stretches() {
    use crate::ids::EdgeId;
    use crate::outcome::AttemptKind;
    let with = |each: u64| {
        let mut r = small();
        for at in 2..40 {
            for n in 0..each {
                r.attempt_started(EdgeId(0), ms(at * 1_000 + n), AttemptKind::First, None);
            }
        }
        r.finish(ms(40_000))
    };
    let c = compare(&with(3), &with(4));
    let attempts = row(&c, "attempts('a', 'b')");
    assert_eq!(attempts.difference, Some(38.0));
    assert_eq!(attempts.interval, Some((38.0, 38.0)));
    assert!(attempts.is_significant());
}

#[test]
fn failing_fast_is_not_called_better() {
    let with = |status: u16, took: u64| {
        let mut r = small();
        steady(&mut r, 0..40, took, status);
        r.finish(ms(41_000))
    };
    let c = compare(&with(200, 50), &with(503, 1));
    assert_eq!(row(&c, "success('shoppers')").is_better(), Some(false));
    assert_eq!(row(&c, "latency('shoppers').p99").is_better(), None);
    let c = compare(&with(200, 50), &with(200, 1));
    assert_eq!(row(&c, "latency('shoppers').p99").is_better(), Some(true));
}

#[test]
fn latency_that_rose_while_more_succeeded_is_neither_good_nor_bad() {
    let served = run(1, 20, 0);
    let mut r = small();
    steady(&mut r, 0..40, 5, 503);
    let mut refused = r.finish(ms(41_000));
    refused.seeds = vec![1];
    let judged = |a: &RunResult, b: &RunResult| {
        let c = compare(a, b);
        row(&c, "latency('shoppers').mean").is_better()
    };
    assert_eq!(judged(&refused, &served), None);
    assert_eq!(judged(&served, &refused), None);
    // Slower and with fewer successes is worse.
    let mut r = small();
    steady(&mut r, 0..40, 500, 503);
    let mut broken = r.finish(ms(41_000));
    broken.seeds = vec![1];
    assert_eq!(judged(&served, &broken), Some(false));
}
