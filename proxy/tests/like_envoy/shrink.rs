//! Makes a case that differs smaller, as long as it differs in the same way, and shows it.

use serde_json::Value;

use crate::bootstrap::{self, Ports};
use crate::case::Case;
use crate::compare::Difference;
use crate::run::{Bench, Differing};
use crate::yaml;

/// Lists of a bootstrap whose parts may go one by one.
const LISTS: [&str; 14] = [
    "virtual_hosts",
    "routes",
    "headers",
    "query_parameters",
    "request_headers_to_add",
    "request_headers_to_remove",
    "response_headers_to_add",
    "response_headers_to_remove",
    "request_mirror_policies",
    "hash_policy",
    "retriable_headers",
    "retriable_request_headers",
    "retriable_status_codes",
    "retry_host_predicate",
];

/// Fields that may go.
const FIELDS: [&str; 18] = [
    "retry_policy",
    "timeout",
    "idle_timeout",
    "prefix_rewrite",
    "regex_rewrite",
    "host_rewrite_literal",
    "host_rewrite_header",
    "auto_host_rewrite",
    "case_sensitive",
    "grpc",
    "runtime_fraction",
    "priority",
    "include_request_attempt_count",
    "most_specific_header_mutations_wins",
    "metadata_match",
    "hedge_policy",
    "per_try_timeout",
    "typed_per_filter_config",
];

/// Rounds after which it is small enough.
const ROUNDS: usize = 12;
/// Smaller cases that are tried at one time.
const CANDIDATES: usize = 200;

/// One thing that may be left out of a case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Cut {
    /// The requests from the first number to before the second.
    Asks(usize, usize),
    /// A header of a request.
    Header(usize, usize),
    Cluster(usize),
    /// A part of the configuration, by the way to it.
    Part(Vec<Step>),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Step {
    Field(String),
    Nth(usize),
}

/// The smallest case that can be found to differ in this way.
pub(crate) async fn smallest(
    bench: &Bench,
    (mut case, mut found): Differing,
    kind: &str,
) -> Differing {
    if case.draws {
        return (case, found);
    }
    for _ in 0..ROUNDS {
        let cuts = cuts(&case);
        let alone: Vec<Vec<Cut>> = cuts.iter().map(|cut| vec![cut.clone()]).collect();
        let good = still(bench, &case, &alone, kind).await;
        let good: Vec<Cut> = good.into_iter().map(|(nth, _)| cuts[nth].clone()).collect();
        if good.is_empty() {
            break;
        }
        // many that go alone go together
        let together: Vec<Vec<Cut>> = (1..=good.len()).map(|n| good[..n].to_vec()).collect();
        let kept = still(bench, &case, &together, kind).await;
        let Some((most, differences)) = kept.into_iter().next_back() else {
            break;
        };
        case = without(&case, &together[most]);
        found = differences;
    }
    (case, found)
}

/// Which of these lists of cuts leave the difference there.
async fn still(
    bench: &Bench,
    case: &Case,
    lists: &[Vec<Cut>],
    kind: &str,
) -> Vec<(usize, Vec<Difference>)> {
    let mut kept = Vec::new();
    for (base, lists) in lists.chunks(CANDIDATES).enumerate() {
        let mut cases: Vec<Case> = lists.iter().map(|cuts| without(case, cuts)).collect();
        for (nth, each) in cases.iter_mut().enumerate() {
            // they have one seed, since what hashes addresses goes by it, and are told apart by this
            each.manager
                .insert("stat_prefix".to_owned(), Value::from(format!("cut{nth}")));
        }
        // what neither takes is no smaller case
        let differing = bench.differing(&cases).await.unwrap_or_default();
        for (case, found) in differing {
            let prefix = case.manager["stat_prefix"].as_str().unwrap_or_default();
            let nth: usize = prefix[3..].parse().expect("it was just written");
            if found.iter().any(|it| it.kind() == kind) {
                kept.push((base * CANDIDATES + nth, found));
            }
        }
    }
    kept
}

fn cuts(case: &Case) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let asks = case.asks.len();
    let mut size = asks / 2;
    while size > 0 {
        let starts = (0..asks).step_by(size);
        cuts.extend(
            starts
                .map(|from| Cut::Asks(from, (from + size).min(asks)))
                .filter(|cut| *cut != Cut::Asks(0, asks)),
        );
        size /= 2;
    }
    for (number, ask) in case.asks.iter().enumerate() {
        if asks <= 4 {
            cuts.extend((0..ask.headers.len()).map(|header| Cut::Header(number, header)));
        }
    }
    let config = Value::from(case.manager.clone());
    let text = config.to_string();
    for (number, backend) in case.clusters.iter().enumerate() {
        if !text.contains(&format!("\"@{}\"", backend.name)) {
            cuts.push(Cut::Cluster(number));
        }
    }
    parts(&config, &mut Vec::new(), &mut cuts);
    cuts
}

fn parts(value: &Value, way: &mut Vec<Step>, cuts: &mut Vec<Cut>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                way.push(Step::Field(key.clone()));
                if FIELDS.contains(&key.as_str()) {
                    cuts.push(Cut::Part(way.clone()));
                }
                if let Value::Array(list) = value
                    && LISTS.contains(&key.as_str())
                {
                    for nth in 0..list.len() {
                        way.push(Step::Nth(nth));
                        cuts.push(Cut::Part(way.clone()));
                        way.pop();
                    }
                }
                parts(value, way, cuts);
                way.pop();
            }
        }
        Value::Array(list) => {
            for (nth, value) in list.iter().enumerate() {
                way.push(Step::Nth(nth));
                parts(value, way, cuts);
                way.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn without(case: &Case, cuts: &[Cut]) -> Case {
    let mut less = case.clone();
    let mut config = Value::from(less.manager.clone());
    // from the back, so that numbers before hold good
    let mut cuts = cuts.to_vec();
    cuts.sort();
    for cut in cuts.iter().rev() {
        match cut {
            Cut::Asks(from, to) => {
                let to = (*to).min(less.asks.len());
                if to - from.min(&to) < less.asks.len() {
                    less.asks.drain(*from.min(&to)..to);
                }
            }
            Cut::Header(ask, header) => {
                let asked = less.asks.get_mut(*ask).map(|ask| &mut ask.headers);
                if let Some(headers) = asked.filter(|headers| *header < headers.len()) {
                    headers.remove(*header);
                }
            }
            Cut::Cluster(number) => {
                less.clusters.remove(*number);
            }
            Cut::Part(way) => cut_part(&mut config, way),
        }
    }
    if let Value::Object(manager) = config {
        less.manager = manager;
    }
    less
}

fn cut_part(value: &mut Value, way: &[Step]) {
    match (way, value) {
        ([Step::Field(key)], Value::Object(map)) => {
            map.remove(key);
        }
        ([Step::Nth(nth)], Value::Array(list)) if *nth < list.len() => {
            list.remove(*nth);
        }
        ([Step::Field(key), rest @ ..], Value::Object(map)) => {
            let Some(inner) = map.get_mut(key) else {
                return;
            };
            cut_part(inner, rest);
            let needed = ["virtual_hosts", "routes"].contains(&key.as_str());
            if *inner == Value::Array(Vec::new()) && !needed {
                map.remove(key);
            }
        }
        ([Step::Nth(nth), rest @ ..], Value::Array(list)) => {
            if let Some(inner) = list.get_mut(*nth) {
                cut_part(inner, rest);
            }
        }
        (_, _) => {}
    }
}

/// A case for people to read, with what differs in it.
pub(crate) fn shown(case: &Case, ports: &Ports, found: Option<&[Difference]>) -> String {
    let mut text = format!("\n=== CASE={} ===\n", case.seed);
    let cases = std::slice::from_ref(case);
    text.push_str(&yaml::document(&bootstrap::of(cases, ports)));
    let Some(found) = found else {
        return text;
    };
    const MOST: usize = 24;
    let mut before = None;
    for difference in found.iter().take(MOST) {
        if before.replace(difference.ask) != Some(difference.ask) {
            let ask = &case.asks[difference.ask];
            text.push_str(&format!("--- request {}: {ask:?}\n", difference.ask));
        }
        text.push_str(&format!(
            "{}\n    Envoy: {}\n    ours:  {}\n",
            difference.at, difference.envoy, difference.ours
        ));
    }
    text
}
