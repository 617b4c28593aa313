use super::*;
use crate::expect::{Expectation, judge};
use crate::figures::Stat;
use crate::figures::tests::{ms, small, steady};
use crate::ids::{EdgeId, OriginId, WorkloadId};
use crate::outcome::{AttemptKind, EjectionReason, Refusal, RetryCondition, Why};
use crate::result::Note;
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
    // Values 1, 0.5 and 1: mean 0.8333, half width 4.303 · 0.28868 / √3; but no share is more than all.
    let (low, high) = verdict.interval.unwrap();
    assert!((low - (0.83333 - 0.71718)).abs() < 1e-3, "{low}");
    assert_eq!(high, 1.0);
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

/// A run that finds its edges, clusters and proxies in this order, of three; the first carries one attempt, the last three.
fn discovering(seed: u64, order: &[usize]) -> RunResult {
    use crate::setup::{ClusterSetup, EdgeSetup, ProxySetup};
    let mut r = small();
    steady(&mut r, 0..40, 10, 200);
    let ends = [(1, 0), (1, 1), (0, 0)];
    for &which in order {
        let (from, to) = ends[which];
        let edge = r.add_edge(EdgeSetup {
            from: WorkloadId(from),
            to: WorkloadId(to),
            policies: Vec::new(),
        });
        for _ in 0..=which {
            r.attempt_started(edge, ms(3_000), AttemptKind::First, None);
        }
        let cluster = r.add_cluster(ClusterSetup {
            name: format!("cluster-{which}"),
            edge: Some(edge),
            endpoints: vec![format!("pod-{which}")],
        });
        let proxy = r.add_proxy(ProxySetup {
            name: format!("pod-{which} sidecar"),
            workload: Some(WorkloadId(to)),
            workers: 1,
        });
        r.proxy_busy(proxy, ms(0), which as u64 + 1);
        r.note(ms(5_000), Note::NoEndpoint { cluster: cluster.0 });
        let (endpoint, why) = (crate::ids::EndpointId(0), EjectionReason::Consecutive5xx);
        r.ejection_started(cluster, endpoint, Some(proxy), ms(4_000), why, None);
    }
    let mut result = r.finish(ms(40_000));
    result.seeds = vec![seed];
    result
}

/// Attempts by edge, ejections by cluster, busy by proxy: what counts, by name.
fn by_name(result: &RunResult) -> Vec<String> {
    let edges = result.edges.iter();
    let mut all: Vec<String> = edges
        .map(|e| format!("{}-{}: {}", e.from, e.to, e.totals.attempts()))
        .collect();
    for c in &result.clusters {
        let edge = &result.edges[c.edge.unwrap() as usize];
        let (name, out) = (&c.name, c.ejections);
        all.push(format!("{name} on {}-{}: {out}", edge.from, edge.to));
    }
    for p in &result.proxies {
        all.push(format!("{}: {}", p.name, p.busy.area[5] / 1_000_000_000));
    }
    all
}

#[test]
fn what_runs_discover_is_matched_by_its_name_and_absent_counts_as_zero() {
    let orders: [&[usize]; 3] = [&[0, 1, 2], &[2, 0], &[1]];
    let runs = || {
        [1, 2, 3]
            .into_iter()
            .zip(orders)
            .map(|(seed, order)| discovering(seed, order))
    };
    let expected = [
        "0-0: 6",
        "0-1: 0",
        "1-0: 2",
        "1-1: 4",
        "cluster-2 on 0-0: 2",
        "outbound|80||b on 0-1: 0",
        "cluster-0 on 1-0: 2",
        "cluster-1 on 1-1: 2",
        "pod-0 sidecar: 2",
        "pod-2 sidecar: 6",
        "pod-1 sidecar: 4",
    ];
    assert_eq!(by_name(&pool(runs().collect()).unwrap()), expected);
    assert_eq!(by_name(&pool(runs().rev().collect()).unwrap()), expected);
    // As runs are gathered: one after the other.
    let one_by_one = runs().reduce(|all, run| pool(vec![all, run]).unwrap());
    assert_eq!(one_by_one, Some(pool(runs().collect()).unwrap()));
}

#[test]
fn what_points_at_a_cluster_or_a_proxy_still_does_when_they_are_put_in_order() {
    let pooled = pool(vec![discovering(1, &[2, 0]), discovering(2, &[1])]).unwrap();
    for cluster in pooled.clusters.iter().filter(|c| !c.ejected.is_empty()) {
        let proxy = &pooled.proxies[cluster.ejected[0].proxy.unwrap() as usize];
        assert_eq!(proxy.name, format!("{} sidecar", cluster.endpoints[0]));
    }
    let noted = pooled.notes.iter().filter_map(|noted| {
        let Note::NoEndpoint { cluster } = noted.note else {
            return None;
        };
        Some(pooled.clusters[cluster as usize].name.as_str())
    });
    assert_eq!(noted.collect::<Vec<_>>(), ["cluster-2", "cluster-0"]);
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
