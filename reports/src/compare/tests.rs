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

fn compared(a: &RunResult, b: &RunResult) -> Comparison {
    compare(a, b).unwrap()
}

fn row<'a>(c: &'a Comparison, figure: &str) -> &'a Difference {
    c.rows.iter().find(|r| r.figure == figure).expect(figure)
}

#[test]
fn a_run_does_not_differ_from_itself() {
    let c = compared(&run(1, 0, 0), &run(1, 0, 0));
    assert_eq!(c.paired, Paired::Stretches(19));
    assert_eq!(c.conclusion(), Conclusion::Same);
    assert_eq!(row(&c, "success('shoppers')").interval, Some((0.0, 0.0)));
}

#[test]
fn a_constant_difference_is_significant_whatever_the_common_noise() {
    let c = compared(&run(1, 0, 0), &run(1, 5, 0));
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
    let c = compared(&run(1, 0, 0), &run(1, 0, 5));
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
    let c = compared(&side([0; 4]), &side([2, 4, 4, 6]));
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
    let c = compared(&run(1, 0, 0), &run(2, 5, 0));
    assert_eq!(c.paired, Paired::Not("the seeds are not the same"));
    assert!(row(&c, "latency('shoppers').p99").difference.is_some());
    assert_eq!(c.conclusion(), Conclusion::Unclear, "there is no interval");
}

#[test]
fn results_without_a_figure_in_common_are_refused_with_the_reason() {
    let changed = |change: &dyn Fn(&mut RunResult)| {
        let mut other = run(1, 0, 0);
        change(&mut other);
        compare(&run(1, 0, 0), &other).map_err(|why| why.to_string())
    };
    type Change<'a> = &'a dyn Fn(&mut RunResult);
    let rows: [(Change<'_>, &str); 6] = [
        (
            &|r| r.time.duration_ns = 150_000_000_000,
            "one is of 40 s and the other of 2.5 min",
        ),
        (
            &|r| r.time.warmup_ns = 0,
            "the first 2 s are left out of one and the first 0 s of the other",
        ),
        (
            &|r| r.time.window_ns = 500_000_000,
            "one has windows of 1 s and the other of 500 ms",
        ),
        (
            &|r| r.time.cut_at_ns = Some(7_000_000_000),
            "one was cut short at 00:07.0 and the other was not, so they do not cover the same time",
        ),
        (
            &|r| r.loads[0].name = "bots".into(),
            "they have no load in common: `shoppers` against `bots`",
        ),
        (
            &|r| {
                r.scenario = "mm1".into();
                r.workloads.iter_mut().for_each(|w| w.name.push('2'));
            },
            "they are of the scenarios `small` and `mm1`, which have no workload in common",
        ),
    ];
    for (change, expected) in rows {
        assert_eq!(changed(change).unwrap_err(), expected);
    }
    assert!(changed(&|r| r.scenario = "renamed".into()).is_ok());
}

#[test]
fn where_the_offered_load_differs_nothing_is_paired_and_nothing_is_better() {
    let offered = |each: u64, users: Option<u32>| {
        let mut r = small();
        for _ in 0..each {
            steady(&mut r, 0..40, 10, 200);
        }
        let mut result = r.finish(ms(41_000));
        result.seeds = vec![1];
        result.loads[0].users = users;
        result
    };
    let c = compared(&offered(1, None), &offered(5, None));
    let goodput = row(&c, "goodput('shoppers')");
    assert!(goodput.is_significant());
    assert_eq!(goodput.is_better(), None);
    assert!(
        c.warning()
            .unwrap()
            .contains("`shoppers` 10 /s against 50 /s")
    );
    let text = "95 % intervals of the difference over 19 stretches of one seed";
    assert_eq!(c.intervals(), text);
    // What users who wait for their answers send is a result, how many there are is not.
    let c = compared(&offered(1, Some(10)), &offered(5, Some(10)));
    assert_eq!(c.warning(), None);
    assert_eq!(row(&c, "goodput('shoppers')").is_better(), Some(true));
    let c = compared(&offered(1, Some(10)), &offered(1, Some(50)));
    assert!(
        c.warning()
            .unwrap()
            .contains("`shoppers` 10 users against 50 users")
    );
    // Other seeds have other arrivals: only what chance cannot do is another load.
    let mut other = offered(1, None);
    other.seeds = vec![2];
    other.loads[0].sent += 40;
    assert_eq!(compared(&offered(1, None), &other).warning(), None);
    other.loads[0].sent += 400;
    assert!(compared(&offered(1, None), &other).warning().is_some());
}

#[test]
fn what_one_of_them_lacks_is_zero_if_it_is_a_count_and_else_unclear() {
    let mut with = run(1, 0, 0);
    with.edges[0].totals.first = 30;
    with.edges[0].series.counts = vec![crate::result::EdgeTotals::default(); 40];
    for at in 10..40 {
        with.edges[0].series.counts[at].first = 1;
    }
    let mut without = run(1, 0, 0);
    without.edges.clear();
    without.clusters.clear();
    let c = compared(&without, &with);
    let attempts = row(&c, "attempts('a', 'b')");
    assert_eq!((attempts.a, attempts.difference), (Some(0.0), Some(30.0)));
    assert!(attempts.is_significant());
    let factor = row(&c, "amplification('a', 'b')");
    assert!(factor.is_unclear() && factor.difference.is_none());
}

#[test]
fn a_seed_without_an_edge_counts_as_zero_in_the_paired_difference() {
    let side = |attempts: [u64; 3]| {
        let mut side = pool((0..3).map(|seed| run(seed, 0, 0)).collect()).unwrap();
        for (replication, n) in side.replications.iter_mut().zip(attempts) {
            let name = "attempts('a', 'b')".to_owned();
            side.edges[0].totals.first += n;
            (n > 0).then(|| replication.figures.insert(name, n as f64));
        }
        side
    };
    let c = compared(&side([0, 0, 0]), &side([3, 0, 6]));
    let attempts = row(&c, "attempts('a', 'b')");
    assert_eq!(attempts.difference, Some(3.0));
    assert!(!attempts.is_significant());
}

#[test]
fn an_interval_of_shares_goes_no_further_than_a_hundred_points() {
    let side = |shares: [f64; 2]| {
        let mut side = pool((0..2).map(|seed| run(seed, 0, 0)).collect()).unwrap();
        for (replication, share) in side.replications.iter_mut().zip(shares) {
            replication
                .figures
                .insert("success('shoppers')".into(), share);
        }
        side
    };
    let c = compared(&side([0.1, 0.2]), &side([1.0, 0.9]));
    let success = row(&c, "success('shoppers')");
    let (low, high) = success.interval.unwrap();
    assert!((success.difference.unwrap() - 0.8).abs() < 1e-9);
    assert!(low < 0.0 && low > -1.0 && high == 1.0, "{low} {high}");
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
    let c = compared(&with(3), &with(4));
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
    let c = compared(&with(200, 50), &with(503, 1));
    assert_eq!(row(&c, "success('shoppers')").is_better(), Some(false));
    assert_eq!(row(&c, "latency('shoppers').p99").is_better(), None);
    let c = compared(&with(200, 50), &with(200, 1));
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
        let c = compared(a, b);
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
