use super::*;
use crate::expect::{Expectation, judge};
use crate::figures::Stat;
use crate::figures::tests::{ms, small, steady};
use crate::ids::{EdgeId, OriginId, WorkloadId};
use crate::outcome::{AttemptKind, Refusal, RetryCondition, Why};
use crate::setup::Origin;
use crate::verdict::State;

fn run(seed: u64, failing: u64, origins: &[&str]) -> RunResult {
    let mut r = small();
    steady(&mut r, 2..40 - failing, 10, 200);
    steady(&mut r, 40 - failing..40, 20, 503);
    r.queue_length(WorkloadId(1), ms(0), seed);
    let why = Why {
        origin: Some(OriginId(origins.len() as u32 - 1)),
        condition: RetryCondition::Reset,
    };
    r.attempt_started(EdgeId(0), ms(3_000), AttemptKind::First, None);
    r.attempt_started(EdgeId(0), ms(3_000), AttemptKind::Retry, Some(why));
    let (by, rule) = (WorkloadId(1), why.origin);
    r.connection_refused(None, by, ms(3_000), Refusal::MutualTls, rule);
    let mut result = r.finish(ms(41_000));
    result.seeds = vec![seed];
    let origin = |text: &&str| Origin {
        text: (*text).to_owned(),
        ..Origin::default()
    };
    result.origins = origins.iter().map(origin).collect();
    result
}

fn pooled() -> RunResult {
    let expectations = [Expectation::parse("success('shoppers') > 0.8").unwrap()];
    let runs = [
        (1, 0, &["vs.yaml:14"][..]),
        (2, 19, &["other", "vs.yaml:14"]),
        (3, 0, &["vs.yaml:14"]),
    ];
    let runs = runs.map(|(seed, failing, origins)| {
        let mut result = run(seed, failing, origins);
        judge(&expectations, &mut result);
        result
    });
    let mut pooled = pool(runs.to_vec()).unwrap();
    judge(&expectations, &mut pooled);
    pooled
}

#[test]
fn counts_add_up_and_rates_stay_those_of_one_run() {
    let pooled = pooled();
    assert_eq!((pooled.time.runs, &pooled.seeds[..]), (3, &[1, 2, 3][..]));
    let load = &pooled.loads[0];
    assert_eq!(load.sent, 3 * 380);
    assert_eq!(load.throughput(&pooled.time, None), Some(10.0));
    assert_eq!(load.latency(false, None).count(), 3 * 380);
    assert_eq!(Stat::Max.of(&load.ok_latency), Some(10e6));
    let queue = &pooled.workloads[1].queue;
    assert_eq!(queue.mean(&pooled.time, pooled.time.measured()), Some(2.0));
    assert_eq!(queue.highest(pooled.time.measured()), 3);
    assert_eq!(pooled.main_figures(None)["attempts('a', 'b')"], 2.0);
}

#[test]
fn a_rule_is_the_same_rule_whatever_its_number_in_a_seed() {
    let pooled = pooled();
    let retried = &pooled.edges[0].retried;
    assert_eq!((retried.len(), retried[0].count), (1, 3));
    assert_eq!(
        pooled.origins[retried[0].origin.unwrap() as usize].text,
        "vs.yaml:14"
    );
    let refused = &pooled.refused;
    assert_eq!((refused.len(), refused[0].count), (1, 3));
    assert_eq!(refused[0].series.iter().sum::<u64>(), 3);
    assert_eq!(refused[0].origin, retried[0].origin);
}

#[test]
fn an_expectation_holds_when_it_holds_for_the_pooled_result() {
    let verdict = &pooled().expectations[0];
    assert_eq!(verdict.state, State::Held);
    assert_eq!((verdict.seeds.held, verdict.seeds.failed), (2, 1));
    // Values 1, 0.5 and 1: mean 0.8333, half width 4.303 · 0.28868 / √3.
    let (low, high) = verdict.interval.unwrap();
    assert!((low - (0.83333 - 0.71718)).abs() < 1e-3, "{low}");
    assert!((high - (0.83333 + 0.71718)).abs() < 1e-3, "{high}");
}

#[test]
fn runs_of_other_scenarios_are_not_pooled() {
    assert_eq!(pool(vec![]), Err(PoolError::Nothing));
    let mut other = run(2, 0, &["x"]);
    other.loads[0].name = "bots".into();
    let error = pool(vec![run(1, 0, &["x"]), other]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the runs of seeds 1 and 2 do not have the same loads"
    );
}

#[test]
fn what_is_written_reads_back_and_is_written_the_same() {
    let results = vec![pooled(), run(7, 3, &["a"])];
    let text = crate::json::write(&results);
    let back = crate::json::read(&text).unwrap();
    assert_eq!(back, results);
    assert_eq!(crate::json::write(&back), text);
}

#[test]
fn other_files_are_refused_with_the_reason() {
    let good = crate::json::write(&[run(1, 0, &["a"])]);
    let rows = [
        ("[]", "not a result: "),
        (
            "{}",
            "not a result of windtunnel: it has no `program: windtunnel`",
        ),
        (
            &good.replacen("\"schemaVersion\":1", "\"schemaVersion\":9", 1),
            "a result of schema version 9; this release reads version 1",
        ),
        (
            &good.replacen("\"to\":1", "\"to\":5", 1),
            "a result that is not whole: workload 5 of 2",
        ),
        (&good[..good.len() / 2], "not a result: "),
    ];
    for (text, expected) in rows {
        let error = crate::json::read(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
