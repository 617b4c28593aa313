//! `--assumptions`: which assumed value decides a verdict.

use reports::result::{RunResult, Tried};
use reports::words;

use super::assumed::Assumed;
use crate::fly::Manner;
use crate::prepare::{Prepared, Scenario};

/// Another value to fly with.
struct Trial {
    /// Of which scenario, which of its results, and which assumption of that.
    at: (usize, usize, usize),
    value: String,
    flight: Result<Prepared, String>,
}

/// Flies every flight again with other values in the place of each assumed one, one at a time, on the same seeds, and leaves in each
/// result what came out otherwise.
pub(super) fn sweep(
    scenarios: &[Scenario],
    manner: &Manner<'_>,
    groups: &mut [(String, Vec<RunResult>)],
) -> Result<(), String> {
    let trials = trials(scenarios, groups);
    let flights: Vec<&Prepared> = trials
        .iter()
        .filter_map(|each| each.flight.as_ref().ok())
        .collect();
    let manner = Manner {
        waterfalls: false,
        ..*manner
    };
    let mut flown = manner.fly(&flights)?.into_iter();
    for trial in &trials {
        let (group, result, assumption) = trial.at;
        let base = &mut groups[group].1[result];
        let flips = match &trial.flight {
            Err(why) => vec![format!("it cannot be flown: {why}")],
            Ok(_) => match flown.next().flatten() {
                // What was stopped says nothing.
                Some(other) if !(manner.stop)() => flips(base, &other),
                Some(_) | None => continue,
            },
        };
        let value = trial.value.clone();
        if let Some(assumption) = base.basis.assumptions.get_mut(assumption) {
            assumption.tried.push(Tried { value, flips });
        }
    }
    Ok(())
}

fn trials(scenarios: &[Scenario], groups: &[(String, Vec<RunResult>)]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (group, (scenario, (_, results))) in scenarios.iter().zip(groups).enumerate() {
        for (nth, result) in results.iter().enumerate() {
            let flight = scenario
                .flights
                .iter()
                .find(|each| each.variant == result.variant);
            let assumed = flight.map_or_else(Vec::new, |each| Assumed::all(each.assumptions()));
            for (at, assumption) in assumed.iter().enumerate() {
                for value in &assumption.others {
                    let sets = assumption.sets(value);
                    trials.push(Trial {
                        at: (group, nth, at),
                        value: value.clone(),
                        flight: scenario.again(result.variant.as_deref(), &sets),
                    });
                }
            }
        }
    }
    trials
}

/// Expectations that came out otherwise.
fn flips(base: &RunResult, other: &RunResult) -> Vec<String> {
    let pairs = base.expectations.iter().zip(&other.expectations);
    pairs
        .filter(|(here, there)| here.state != there.state)
        .map(|(here, there)| {
            format!(
                "`{}` {}, not {}",
                here.expression,
                there.state.word(),
                here.state.word()
            )
        })
        .collect()
}

/// What was tried and changes a verdict, in words; how many others do not. Empty when nothing was tried.
pub(super) fn table(results: &[RunResult]) -> String {
    let mut out = String::new();
    for result in results {
        let assumptions = result.basis.assumptions.iter();
        let tried = assumptions.filter(|each| !each.tried.is_empty());
        let (mut stay, mut lines) = (0, String::new());
        for each in tried {
            if each.tried.iter().all(|tried| tried.flips.is_empty()) {
                stay += 1;
            }
            for tried in each.tried.iter().filter(|tried| !tried.flips.is_empty()) {
                lines.push_str(&format!(
                    "    {} = {}: {}\n",
                    each.what,
                    each.value,
                    tried.text()
                ));
            }
        }
        if stay == 0 && lines.is_empty() {
            continue;
        }
        let stay = words::plural(stay, "assumed value changes", "assumed values change");
        out.push_str(&format!(
            "  {}: {stay} no verdict, whichever other value is tried\n{lines}",
            result.label()
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use reports::expect::{Expectation, judge};

    use super::*;
    use crate::prepare::{Wishes, prepare};
    use crate::told::{Depth, Told};
    use sim::{Options, fly};

    #[test]
    fn a_verdict_that_changes_is_named_with_both() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/mm1");
        let scenario = prepare(
            &path,
            &Wishes::default(),
            Depth::Grave,
            &mut Told::default(),
        );
        let scenario = scenario.expect("it is shipped");
        let stop = || true;
        let options = Options {
            progress: None,
            stop: Some(&stop),
        };
        let run = |expectation: &str| {
            let mut result = fly(&scenario.flights[0].flight, 1, options).result;
            let expectation = Expectation::parse(expectation).expect("it is well formed");
            judge(&[expectation], &mut result);
            result
        };
        let (held, failed) = (run("1 < 2"), run("2 < 1"));
        assert_eq!(flips(&held, &held), [""; 0]);
        assert_eq!(flips(&held, &failed), ["`1 < 2` failed, not held"]);
        let mut told = held;
        assert_eq!(table(&[told.clone()]), "");
        told.basis.assumptions = vec![reports::result::Assumption {
            what: "`a`".into(),
            value: "16".into(),
            origin: String::new(),
            tried: vec![Tried {
                value: "8".into(),
                flips: vec!["`1 < 2` failed, not held".into()],
            }],
        }];
        assert!(table(&[told]).contains("`a` = 16: with 8: `1 < 2` failed, not held\n"));
    }
}
