//! `--assumptions`: which assumed value decides a verdict.

use reports::result::{Assumption, RunResult, Tried};
use reports::words;

use super::assumed::Assumed;
use crate::fly::Manner;
use crate::prepare::{Prepared, Scenario};
use crate::progress::Progress;

/// Another value to fly with.
pub(super) struct Trial {
    /// Of which scenario, which of its flights, and which assumption of that.
    at: (usize, usize, usize),
    value: String,
    flight: Result<Prepared, String>,
}

impl Trial {
    /// What is to be flown; none: it cannot be.
    pub(super) fn flight(&self) -> Option<&Prepared> {
        self.flight.as_ref().ok()
    }
}

/// Flies every flight again with other values in the place of each assumed one, one at a time, on the same seeds, and leaves in each
/// result what came out otherwise.
pub(super) fn sweep(
    trials: &[Trial],
    scenarios: &[Scenario],
    manner: &Manner<'_>,
    progress: &Progress,
    groups: &mut [(String, Vec<RunResult>)],
) -> Result<(), String> {
    let flights: Vec<&Prepared> = trials.iter().filter_map(Trial::flight).collect();
    let manner = Manner {
        waterfalls: false,
        world: manner.world.clone(),
        ..*manner
    };
    let mut flown = manner.fly_on(&flights, progress)?.into_iter();
    for trial in trials {
        let (group, flight, assumption) = trial.at;
        let variant = &scenarios[group].flights[flight].variant;
        let other = trial.flight().map(|_| flown.next().flatten());
        let mut results = groups[group].1.iter_mut();
        let Some(base) = results.find(|result| result.variant == *variant) else {
            continue;
        };
        let flips = match (&trial.flight, other.flatten()) {
            (Err(why), _) => vec![format!("it cannot be flown: {why}")],
            // What was stopped says nothing.
            (Ok(_), Some(other)) if !(manner.stop)() => flips(base, &other),
            (Ok(_), Some(_) | None) => continue,
        };
        let value = trial.value.clone();
        if let Some(assumption) = base.basis.assumptions.get_mut(assumption) {
            assumption.tried.push(Tried { value, flips });
        }
    }
    Ok(())
}

/// Everything that is to be tried.
pub(super) fn trials(scenarios: &[Scenario]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (group, scenario) in scenarios.iter().enumerate() {
        for (nth, flight) in scenario.flights.iter().enumerate() {
            for (at, assumption) in Assumed::all(flight.assumptions()).iter().enumerate() {
                for value in &assumption.others {
                    let sets = assumption.sets(value);
                    trials.push(Trial {
                        at: (group, nth, at),
                        value: value.clone(),
                        flight: scenario.again(flight.variant.as_deref(), &sets),
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

/// Which assumed values change a verdict when another is tried, then how many do not. Empty when nothing was tried.
pub(super) fn table(results: &[RunResult]) -> String {
    let mut out = String::new();
    for result in results {
        let assumptions = result.basis.assumptions.iter();
        let tried: Vec<&Assumption> = assumptions.filter(|each| !each.tried.is_empty()).collect();
        if tried.is_empty() {
            continue;
        }
        let (mut change, mut lines) = (0, String::new());
        for each in &tried {
            let flips = each.tried.iter().filter(|tried| !tried.flips.is_empty());
            let before = lines.len();
            for tried in flips {
                lines.push_str(&format!(
                    "    {} = {}: {}\n",
                    each.what,
                    each.value,
                    tried.text()
                ));
            }
            change += u64::from(lines.len() > before);
        }
        let all = words::plural(tried.len() as u64, "assumed value", "assumed values");
        let verb = if change == 1 { "changes" } else { "change" };
        out.push_str(&match change {
            0 => format!(
                "  {}: no verdict depends on any of {all}, whichever other value is tried\n",
                result.label()
            ),
            _ => format!(
                "  {}: {change} of {all} {verb} a verdict, the other {} do not\n{lines}",
                result.label(),
                tried.len() as u64 - change
            ),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use reports::expect::{Expectation, judge};

    use super::*;
    use crate::prepare::{Wishes, prepare};
    use crate::told::Told;
    use sim::{Options, fly};

    #[test]
    fn a_verdict_that_changes_is_named_with_both() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/mm1");
        let scenario = prepare(&path, &Wishes::default(), &mut Told::default());
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
        let assumption = |what: &str, flips: &[&str]| Assumption {
            what: what.into(),
            value: "16".into(),
            origin: String::new(),
            tried: vec![Tried {
                value: "8".into(),
                flips: flips.iter().map(|flip| (*flip).to_owned()).collect(),
            }],
        };
        let (firm, shaky) = (
            assumption("`b`", &[]),
            assumption("`a`", &["`1 < 2` failed, not held"]),
        );
        told.basis.assumptions = vec![firm.clone(), shaky, firm.clone()];
        assert_eq!(
            table(&[told.clone()]),
            "  as written: 1 of 3 assumed values changes a verdict, the other 2 do not\n    \
             `a` = 16: with 8: `1 < 2` failed, not held\n"
        );
        told.basis.assumptions = vec![firm.clone(), firm];
        assert_eq!(
            table(&[told]),
            "  as written: no verdict depends on any of 2 assumed values, whichever other value is tried\n"
        );
    }

    #[test]
    fn the_bar_counts_what_is_tried_from_the_start() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/tutorial");
        let scenario = prepare(&path, &Wishes::default(), &mut Told::default());
        let scenarios = [scenario.expect("it is shipped")];
        let trials = trials(&scenarios);
        assert!(!trials.is_empty());
        let never = || false;
        let manner = Manner {
            seed: None,
            replications: 3,
            threads: Some(1),
            strict: false,
            waterfalls: false,
            stop: &never,
            quiet: true,
            world: crate::fly::World::Simulated,
        };
        let own = scenarios[0].flights.iter();
        let all = own.chain(trials.iter().filter_map(Trial::flight));
        let each = scenarios[0].flights[0].flight.plan.duration.as_nanos();
        let runs = all.clone().count() as u64 * 3;
        let bar = manner.progress(all).length();
        assert_eq!(bar.as_nanos(), each * runs);
    }
}
