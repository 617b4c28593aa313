//! `windtunnel run`.

mod assumed;
pub(crate) mod basis;
mod sweep;

use std::path::PathBuf;

use reports::result::RunResult;
use reports::verdict::State;

use crate::exit::{Exit, Fault};
use crate::fly::{Manner, World};
use crate::outputs::Outputs;
use crate::prepare::{Prepared, Scenario, Wishes, prepare};
use crate::print::{self, shell};
pub(crate) use crate::stop::{heed as heed_ctrl_c, stopped};
use crate::table;
use crate::told::Told;

/// Fly scenarios on virtual time and judge what they expect.
///
/// Without `-o` or `--out` the page is written to windtunnel-report.html, with all variants of the scenario side by side; of several
/// scenarios a page each is written into the folder windtunnel-report.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  windtunnel run scenarios/mm1
  windtunnel run scenario.yaml --variant budget --seed 3 -o json=result.json -o html=page.html
  windtunnel run scenario.yaml --replications 10 -j 4 --strict -o junit=junit.xml
  windtunnel run scenario.yaml --set load.shoppers.open.rate=400/s --open
  windtunnel run scenarios/* --out pages/
  cat scenario.yaml | windtunnel run - -o markdown=-

Exit status: 0 everything held, 1 an expectation failed or was inconclusive, 2 bad input,
130 stopped by Ctrl-C, 143 by SIGTERM (what was flown until then is written and marked as partial).")]
pub(crate) struct Args {
    /// Scenario files, or folders that hold a scenario.yaml; `-` is standard input
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) choice: Choice,
    #[command(flatten)]
    pub(crate) outputs: Outputs,
    /// Print nothing but problems, expectations that did not hold among them, on standard error
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Ask each expectation of every seed, not only of all together
    #[arg(long)]
    pub(crate) strict: bool,
    /// Try other values in the place of each assumed one, one at a time, and say which verdicts change
    #[arg(long)]
    pub(crate) assumptions: bool,
}

/// What is flown, and on which seeds.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Choice {
    /// Only this variant (repeatable); default: all of them
    #[arg(long, value_name = "NAME")]
    pub(crate) variant: Vec<String>,
    /// The first seed; default: the scenario's
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Fly on so many seeds, one after the other from the first, and pool the results
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) replications: u64,
    /// Threads; default: one a core. Results do not depend on it
    #[arg(short = 'j', long = "jobs", value_name = "N", value_parser = threads)]
    pub(crate) jobs: Option<usize>,
    /// Set a value of the scenario, as in `load.shoppers.open.rate=400/s` (repeatable)
    #[arg(long, value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
}

fn threads(text: &str) -> Result<usize, String> {
    const MOST: usize = 4_096;
    match text.parse::<usize>() {
        Ok(count) if (1..=MOST).contains(&count) => Ok(count),
        Ok(_) | Err(_) => Err(format!("a number from 1 to {MOST} is needed")),
    }
}

impl Choice {
    pub(crate) fn wishes(&self) -> Wishes {
        Wishes {
            variants: self.variant.clone(),
            sets: self.set.clone(),
            lints: false,
        }
    }

    pub(crate) fn manner(&self, quiet: bool) -> Manner<'static> {
        Manner {
            seed: self.seed,
            replications: self.replications,
            threads: self.jobs,
            strict: false,
            waterfalls: false,
            stop: &stopped,
            quiet,
            world: World::Simulated,
        }
    }

    /// The command that flies one flight again; the number of threads and the outputs are left out, since results do not depend on
    /// them.
    pub(crate) fn command(&self, world: &World, scenario: &Scenario, flight: &Prepared) -> String {
        let mut words = vec![
            "windtunnel".to_owned(),
            world.verb().to_owned(),
            shell(&scenario.argument.display().to_string()),
        ];
        words.extend(world.words().iter().map(ToString::to_string));
        if let Some(variant) = &flight.variant {
            words.extend(["--variant".to_owned(), shell(variant)]);
        }
        let seed = self.seed.unwrap_or(flight.flight.plan.seed);
        words.extend(["--seed".to_owned(), seed.to_string()]);
        if self.replications > 1 {
            words.extend(["--replications".to_owned(), self.replications.to_string()]);
        }
        for set in &self.set {
            words.extend(["--set".to_owned(), shell(set)]);
        }
        words.join(" ")
    }
}

pub(crate) fn run(args: &Args) -> Result<Exit, Fault> {
    run_in(args, World::Simulated)
}

pub(crate) fn run_in(args: &Args, world: World) -> Result<Exit, Fault> {
    args.outputs.check(args.paths.len()).map_err(Fault::Text)?;
    let mut told = Told::default();
    let wishes = args.choice.wishes();
    let paths = args.paths.iter();
    let scenarios: Vec<Scenario> = paths
        .filter_map(|path| prepare(path, &wishes, &mut told))
        .collect();
    told.settle()?;
    heed_ctrl_c()?;
    let manner = Manner {
        strict: args.strict,
        waterfalls: world == World::Simulated,
        world: world.clone(),
        ..args.choice.manner(args.quiet)
    };
    let flights: Vec<&Prepared> = scenarios.iter().flat_map(|each| &each.flights).collect();
    let trials = match args.assumptions {
        true => sweep::trials(&scenarios),
        false => Vec::new(),
    };
    let tried = trials.iter().filter_map(sweep::Trial::flight);
    let progress = manner.progress(flights.iter().copied().chain(tried));
    let flown = manner.fly_on(&flights, &progress).map_err(Fault::Text)?;
    let mut groups = group(&scenarios, flown, &args.choice, &world);
    if !trials.is_empty() && !stopped() {
        sweep::sweep(&trials, &scenarios, &manner, &progress, &mut groups).map_err(Fault::Text)?;
    }
    progress.finish();
    groups.retain(|(_, results)| !results.is_empty());
    finish(args, &groups)
}

/// Writes, prints, and says how it went.
fn finish(args: &Args, groups: &[(String, Vec<RunResult>)]) -> Result<Exit, Fault> {
    if groups.is_empty() {
        eprintln!("stopped before anything was flown: nothing is written");
        return Ok(Exit::Stopped);
    }
    let written = args.outputs.write(groups).map_err(Fault::Text)?;
    if !args.quiet && !args.outputs.takes_stdout() {
        let mut text = String::new();
        for (name, results) in groups {
            text.push_str(&table::verdicts(name, results));
            text.push_str(&sweep::table(results));
        }
        for path in written {
            text.push_str(&format!("{}\n", path.display()));
        }
        print::out(&text).map_err(Fault::Text)?;
    }
    if args.quiet {
        eprint!("{}", problems(groups));
    }
    if stopped() {
        return Ok(Exit::Stopped);
    }
    let results = groups.iter().flat_map(|(_, results)| results);
    Ok(State::worst(results.map(RunResult::verdict)).into())
}

/// The verdicts that are none, or not good.
fn problems(groups: &[(String, Vec<RunResult>)]) -> String {
    let mut text = String::new();
    for (name, results) in groups {
        let failing = results
            .iter()
            .filter(|result| result.verdict() != State::Held);
        let mut failing: Vec<RunResult> = failing.cloned().collect();
        for result in &mut failing {
            result
                .expectations
                .retain(|verdict| verdict.state != State::Held);
        }
        text.push_str(&table::verdicts(name, &failing));
    }
    text
}

/// Results by scenario, each with what it rests on. Flights that were not flown are missing, which the others then say.
fn group(
    scenarios: &[Scenario],
    flown: Vec<Option<RunResult>>,
    choice: &Choice,
    world: &World,
) -> Vec<(String, Vec<RunResult>)> {
    let mut flown = flown.into_iter();
    let mut groups = Vec::new();
    for scenario in scenarios {
        let of_this: Vec<Option<RunResult>> = flown.by_ref().take(scenario.flights.len()).collect();
        let missing = of_this.iter().filter(|each| each.is_none()).count();
        let differing = basis::differing(scenario.flights.iter());
        let mut results = Vec::new();
        for (flight, result) in scenario.flights.iter().zip(of_this) {
            let Some(mut result) = result else {
                continue;
            };
            basis::fill(
                &mut result,
                flight,
                choice.command(world, scenario, flight),
                &differing,
            );
            if missing > 0 {
                let not_flown = print::counted(missing, "variant was", "variants were");
                let before = std::mem::take(&mut result.basis.partial);
                let parts = [before, format!("stopped before {not_flown} flown")];
                let parts = parts.into_iter().filter(|part| !part.is_empty());
                result.basis.partial = parts.collect::<Vec<String>>().join("; ");
            }
            results.push(result);
        }
        groups.push((scenario.name.clone(), results));
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use sim::{Options, fly};

    fn mm1() -> Scenario {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/mm1");
        let mut told = Told::default();
        prepare(&path, &Wishes::default(), &mut told).expect("it is shipped")
    }

    #[test]
    fn flights_that_were_stopped_are_missed_by_the_others() {
        let scenarios = [mm1()];
        let stop = || true;
        let options = Options {
            progress: None,
            stop: Some(&stop),
        };
        let first = fly(&scenarios[0].flights[0].flight, 1, options).result;
        let flown = vec![Some(first), None, None];
        let groups = group(&scenarios, flown, &Choice::default(), &World::Simulated);
        let [(name, results)] = &groups[..] else {
            panic!("one scenario, one group");
        };
        assert_eq!((name.as_str(), results.len()), ("mm1", 1));
        assert_eq!(
            results[0].basis.partial,
            "stopped before 2 variants were flown"
        );
    }

    #[test]
    fn the_command_flies_the_same_again() {
        let mut scenario = mm1();
        scenario.argument = "a b.yaml".into();
        for (choice, flight, expected) in [
            (Choice::default(), 0, "windtunnel run 'a b.yaml' --seed 1"),
            (
                Choice {
                    seed: Some(7),
                    replications: 3,
                    jobs: Some(2),
                    set: vec!["load.users.open.rate=9/s".into()],
                    ..Choice::default()
                },
                1,
                "windtunnel run 'a b.yaml' --variant lighter --seed 7 --replications 3 --set load.users.open.rate=9/s",
            ),
        ] {
            assert_eq!(
                choice.command(&World::Simulated, &scenario, &scenario.flights[flight]),
                expected
            );
        }
    }

    #[test]
    fn a_variant_is_compared_by_the_texts_that_others_do_not_read() {
        let scenario = mm1();
        let differing = basis::differing(scenario.flights.iter());
        let names: Vec<&str> = differing.iter().map(|(name, _)| name.as_str()).collect();
        let edits = ["lines of the variant in the scenario"; 3];
        assert_eq!(names, edits, "edits alone");
        assert!(basis::differing(scenario.flights.iter().take(1)).is_empty());
    }
}
