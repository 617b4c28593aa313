//! What rules did: attempts they made, calls they refused, endpoints they took out.

use super::{Bins, Sentence, before};
use crate::figures::sum;
use crate::outcome::{Handled, Limit};
use crate::result::{ClusterResult, EdgeResult, RefusedBy, RetriedBy, RunResult, WorkloadResult};
use crate::words;

/// Multiples worth a sentence, with the words for reaching them.
const STEPS: [(f64, &str, &str); 4] = [
    (3.0, "tripled", ""),
    (2.0, "doubled", ""),
    (1.5, "raised", " by half"),
    (1.2, "raised", " by a fifth"),
];

/// When the rules that try again had multiplied the attempts of an edge, and how far they went.
pub(super) fn amplified(result: &RunResult, edge: &EdgeResult) -> Option<Sentence> {
    let usual = edge
        .counts(Some(before(result)))
        .amplification()
        .unwrap_or(1.0);
    let bins = Bins::of(result);
    let least = 5 * result.time.runs;
    let points: Vec<(usize, f64)> = bins
        .measured(result)
        .filter_map(|at| {
            let counts = edge.counts(Some(bins.span(at)));
            let factor = counts.amplification()?;
            (counts.first >= least).then_some((at, factor))
        })
        .collect();
    let (peak_at, peak) = *points.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let whole = edge.totals.amplification()?;
    // A factor that is there from the start is told as such, once, over the whole run.
    if usual >= 1.2 && peak < usual * 1.3 {
        let by = blame(result, edge, |r| r.count);
        return Some(Sentence {
            at_ns: result.time.warmup_ns,
            text: format!(
                "{by} made {} attempts a call {} on average, throughout",
                words::significant(whole),
                result.edge_name(edge)
            ),
            weight: 700,
        });
    }
    let (step, raised, by_how_much) = *STEPS
        .iter()
        .find(|(step, _, _)| peak >= *step && *step >= usual * 1.15)?;
    let (first, _) = *points.iter().find(|(_, f)| *f >= step)?;
    let by = blame(result, edge, |r| sum(&r.series, bins.span(peak_at)));
    let up_to = if peak_at == first {
        String::new()
    } else {
        let at = words::clock(bins.start_ns(result, peak_at) / 1_000_000_000);
        // Retries belong to calls that began earlier: a multiple of a moment is no count of the tries of one call.
        format!(
            ", up to {} tries sent for each new call at {at}, those of earlier calls among them",
            words::significant(peak)
        )
    };
    Some(Sentence {
        at_ns: bins.start_ns(result, first),
        text: format!(
            "{by} had {raised} the attempts {}{by_how_much}{up_to}",
            result.edge_name(edge)
        ),
        weight: 700 + (peak * 10.0).min(90.0) as u32,
    })
}

/// The rules behind most of the further attempts: those that together made four of five, at most two.
fn blame(result: &RunResult, edge: &EdgeResult, weight: impl Fn(&RetriedBy) -> u64) -> String {
    let total: u64 = edge.retried.iter().map(&weight).sum();
    let mut rules: Vec<(u64, &RetriedBy)> = edge.retried.iter().map(|r| (weight(r), r)).collect();
    rules.retain(|(n, _)| *n > 0);
    rules.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
    let mut seen = 0;
    let mut named: Vec<String> = Vec::new();
    for (count, rule) in rules {
        if seen * 5 >= total * 4 || named.len() == 2 {
            break;
        }
        seen += count;
        let on = rule.condition.text();
        let name = match result.origin(rule.origin) {
            Some(origin) => format!("the retries of `{origin}` (on {on})"),
            None => format!("the caller's own retries (on {on})"),
        };
        if !named.contains(&name) {
            named.push(name);
        }
    }
    if named.is_empty() {
        "retries and hedges".to_owned()
    } else {
        words::list(&named)
    }
}

/// When a limit began to refuse, and how much it refused; a refusal now and then is not told.
pub(super) fn refused(result: &RunResult, edge: &EdgeResult, all: &mut Vec<Sentence>) {
    for rejected in &edge.rejected {
        let asked = edge.totals.attempts() + edge.totals.rejected;
        if rejected.count * 100 < asked || rejected.count == 0 {
            continue;
        }
        let from = result.time.first_measured();
        let first = (from..rejected.series.len()).find(|&at| rejected.series[at] > 0);
        let rule = result
            .origin(rejected.origin)
            .map_or(String::new(), |o| format!(" of `{o}`"));
        let rule = format!("{rule}{}", written(result, rejected.origin));
        let share = rejected.count as f64 / asked.max(1) as f64;
        let first = first.unwrap_or(from);
        let throughout = first == from;
        let limit = rejected.limit.text();
        let who = match (rejected.limit == Limit::NoHealthy, throughout) {
            (true, true) => format!("no endpoint{rule} was healthy for calls"),
            (true, false) => format!("no endpoint{rule} was healthy any more for calls"),
            (false, true) => format!("the {limit}{rule} refused calls"),
            (false, false) => format!("the {limit}{rule} began to refuse calls"),
        };
        all.push(Sentence {
            at_ns: first as u64 * result.time.window_ns,
            text: format!(
                "{who} {}: {} in all, {} of what was asked{}",
                result.edge_name(edge),
                words::count(result.time.each(rejected.count)),
                words::share(share),
                if throughout {
                    String::new()
                } else {
                    last_refusal(result, &rejected.series)
                }
            ),
            weight: 600 + (share * 90.0) as u32,
        });
    }
}

/// When connections began to be refused, how many were, and by which rule.
pub(super) fn connections_refused(result: &RunResult, refused: &RefusedBy) -> Option<Sentence> {
    if refused.count == 0 {
        return None;
    }
    let from = result.time.first_measured();
    let first = (from..refused.series.len()).find(|&at| refused.series[at] > 0);
    let first = first.unwrap_or(from);
    let throughout = first == from;
    let rule = result
        .origin(refused.origin)
        .map_or(String::new(), |o| format!(" of `{o}`"));
    let written = written(result, refused.origin);
    let began = if throughout {
        "refused"
    } else {
        "began to refuse"
    };
    Some(Sentence {
        at_ns: first as u64 * result.time.window_ns,
        text: format!(
            "the {}{rule}{written} {began} connections {}: {} in all{}",
            refused.why.text(),
            result.refused_name(refused),
            words::count(result.time.each(refused.count)),
            if throughout {
                String::new()
            } else {
                last_refusal(result, &refused.series)
            }
        ),
        weight: 690,
    })
}

/// What is written at a rule's place, which says more than the place: `mode: STRICT`.
fn written(result: &RunResult, origin: Option<u32>) -> String {
    /// A longer line is no name of a field any more.
    const LONGEST: usize = 60;
    let origin = origin.and_then(|at| result.origins.get(at as usize));
    let text = origin.map_or("", |origin| origin.snippet.trim());
    if text.is_empty() || text.contains(['`', '\n']) || text.chars().count() > LONGEST {
        return String::new();
    }
    format!(" (`{text}`)")
}

/// Until when it went on.
fn last_refusal(result: &RunResult, series: &[u64]) -> String {
    let end = result.time.end_ns() / result.time.window_ns.max(1);
    match series.iter().rposition(|n| *n > 0) {
        Some(last) if (last as u64 + 1) * 20 >= end * 19 => ", to the end".to_owned(),
        Some(last) => {
            let at = last as u64 * result.time.window_ns / 1_000_000_000;
            format!(", the last at {}", words::clock(at))
        }
        None => String::new(),
    }
}

/// The first ejection of a cluster, and how many there were.
pub(super) fn ejected(result: &RunResult, cluster: &ClusterResult) -> Option<Sentence> {
    let first = cluster.ejected.first()?;
    let endpoint = cluster.endpoints.get(first.endpoint as usize);
    let rule = result
        .origin(first.origin)
        .map_or(String::new(), |o| format!(", `{o}`"));
    let edge = cluster.edge.and_then(|e| result.edges.get(e as usize));
    let by = edge.map_or(String::new(), |e| {
        format!(" by a proxy of `{}`", result.workload_name(e.from))
    });
    let more = match cluster.ejections {
        0 | 1 => String::new(),
        _ => format!(
            ", the first of {} ejections",
            words::count(result.time.each(cluster.ejections))
        ),
    };
    Some(Sentence {
        at_ns: first.from_ns,
        text: format!(
            "endpoint `{}` of the cluster `{}` was ejected{by} ({}{rule}){more}",
            endpoint.map_or("?", String::as_str),
            cluster.name,
            first.reason.text()
        ),
        weight: 620,
    })
}

/// When an application began to work for callers that had gone, and how much of its work that was.
pub(super) fn wasted(result: &RunResult, workload: &WorkloadResult) -> Option<Sentence> {
    let worked = [Handled::Served, Handled::Failed, Handled::Wasted];
    let count = |how: &Handled| workload.handled.get(how).copied().unwrap_or(0);
    let (all, wasted) = (
        worked.iter().map(count).sum::<u64>(),
        count(&Handled::Wasted),
    );
    if wasted * 10 < all || wasted == 0 {
        return None;
    }
    let series = |how: &Handled, at| workload.handled_series.get(how).map_or(0, |s| sum(s, at));
    let bins = Bins::of(result);
    let first = bins.measured(result).find(|&at| {
        let span = bins.span(at);
        let all: u64 = worked.iter().map(|how| series(how, span)).sum();
        all > 0 && series(&Handled::Wasted, span) * 10 >= all
    })?;
    Some(Sentence {
        at_ns: bins.start_ns(result, first),
        text: format!(
            "`{}` had begun to work for callers that were gone, {} of its work in the whole run",
            workload.name,
            words::share(wasted as f64 / all as f64)
        ),
        weight: 640,
    })
}
