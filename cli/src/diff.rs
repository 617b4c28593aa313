//! `windtunnel diff`.

use std::path::{Path, PathBuf};

use reports::compare::{Conclusion, compare};
use reports::result::RunResult;

use crate::exit::{Exit, Fault};
use crate::outputs::Outputs;
use crate::prepare::{Prepared, Scenario, prepare};
use crate::report;
use crate::run::{Choice, basis, heed_ctrl_c, stopped};
use crate::told::Told;
use crate::{print, table};

/// Say what differs between two results, or two scenarios flown on the same seeds.
///
/// Both sides see the same arrivals, service times and faults, so differences are taken pair by pair, each with its 95 % interval.
/// Where the offered load is not the same, that is said, and nothing is called better or worse.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  windtunnel diff before.json after.json
  windtunnel diff scenario.yaml#storm scenario.yaml#budget --replications 10
  windtunnel diff before/scenario.yaml after/scenario.yaml -o html=both.html

Exit status: 0 nothing differs by more than chance, 1 something does or that cannot be told,
2 bad input, or results that cannot be compared, 130 stopped.")]
pub(crate) struct Args {
    /// A result (.json), a scenario file or folder, or either with `#variant`
    a: String,
    /// The other
    b: String,
    /// The first seed; default: that of the first scenario
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Fly on so many seeds
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    replications: u64,
    /// Threads; default: one a core
    #[arg(short = 'j', long = "jobs", value_name = "N")]
    jobs: Option<std::num::NonZeroU16>,
    /// Set a value of both scenarios, as in `load.shoppers.open.rate=400/s` (repeatable)
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    outputs: Outputs,
    /// Print nothing but problems
    #[arg(short, long)]
    quiet: bool,
}

/// One side before it is flown.
enum Side {
    Result(Box<RunResult>),
    Flight(Box<Scenario>),
}

pub(crate) fn run(args: &Args) -> Result<Exit, Fault> {
    let wished = args.outputs.is_wished();
    if wished {
        args.outputs.check(1).map_err(Fault::Text)?;
    }
    let mut told = Told::default();
    let a = side(&args.a, args, &mut told)?;
    let b = side(&args.b, args, &mut told)?;
    told.settle()?;
    let (Some(a), Some(b)) = (a, b) else {
        return Err(Fault::Told);
    };
    let Some([a, b]) = fly([a, b], args)? else {
        eprintln!("stopped: nothing is compared");
        return Ok(Exit::Stopped);
    };
    let mut comparison = compare(&a, &b).map_err(|why| {
        Fault::text(format!(
            "`{}` and `{}` cannot be compared: {why}",
            args.a, args.b
        ))
    })?;
    comparison.a.clone_from(&args.a);
    comparison.b.clone_from(&args.b);
    if !args.quiet && !args.outputs.takes_stdout() {
        print::out(&table::differences(&comparison)).map_err(Fault::Text)?;
    }
    let exit = match comparison.conclusion() {
        Conclusion::Different | Conclusion::Unclear => Exit::NotHeld,
        Conclusion::Same => Exit::Good,
    };
    if wished {
        let group = (
            a.scenario.clone(),
            report::told_apart(vec![(args.a.clone(), a), (args.b.clone(), b)]),
        );
        args.outputs.write(&[group]).map_err(Fault::Text)?;
    }
    Ok(exit)
}

/// A path and the variant behind its last `#`, unless that is the name of a file.
fn split(text: &str) -> (PathBuf, Option<&str>) {
    match text.rsplit_once('#') {
        Some((path, variant)) if !Path::new(text).exists() => (path.into(), Some(variant)),
        Some(_) | None => (text.into(), None),
    }
}

fn side(text: &str, args: &Args, told: &mut Told) -> Result<Option<Side>, Fault> {
    let (path, variant) = split(text);
    if path.extension().is_some_and(|end| end == "json") {
        let mut results = report::read(&path)?;
        let labels: Vec<String> = results.iter().map(RunResult::label).collect();
        let at = match variant {
            Some(variant) => labels.iter().position(|label| label == variant),
            None => (results.len() == 1).then_some(0),
        };
        let Some(at) = at else {
            return Err(Fault::text(format!(
                "`{text}` names none of the results in it: add `#` and one of `{}`",
                labels.join("`, `")
            )));
        };
        return Ok(Some(Side::Result(Box::new(results.swap_remove(at)))));
    }
    let choice = Choice {
        variant: variant.map(str::to_owned).into_iter().collect(),
        set: args.set.clone(),
        ..Choice::default()
    };
    let scenario = prepare(&path, &choice.wishes(), told);
    Ok(scenario.map(|scenario| Side::Flight(Box::new(scenario))))
}

impl Side {
    /// What is to be flown; of a scenario without a variant the flight as it stands, which is the first.
    fn flight(&self) -> Option<&Prepared> {
        match self {
            Self::Flight(scenario) => scenario.flights.first(),
            Self::Result(_) => None,
        }
    }
}

/// Flies what is not a result yet; `None` when that was stopped.
fn fly(sides: [Side; 2], args: &Args) -> Result<Option<[RunResult; 2]>, Fault> {
    let flights: Vec<&Prepared> = sides.iter().filter_map(Side::flight).collect();
    let choice = Choice {
        seed: args.seed.or_else(|| seed_of(&sides)),
        replications: args.replications,
        jobs: args.jobs.map(|count| usize::from(count.get())),
        set: args.set.clone(),
        ..Choice::default()
    };
    heed_ctrl_c()?;
    let flown = choice
        .manner(args.quiet)
        .fly(&flights)
        .map_err(Fault::Text)?;
    if stopped() {
        return Ok(None);
    }
    let differing = basis::differing(flights.into_iter());
    let mut flown = flown.into_iter().flatten();
    let mut next = |side: Side| match side {
        Side::Result(result) => Some(*result),
        Side::Flight(scenario) => {
            let mut result = flown.next()?;
            let flight = scenario.flights.first()?;
            basis::fill(
                &mut result,
                flight,
                choice.command(&crate::fly::World::Simulated, &scenario, flight),
                &differing,
            );
            Some(result)
        }
    };
    let [a, b] = sides;
    Ok(next(a).and_then(|a| Some([a, next(b)?])))
}

/// The seed that both sides are flown on: of a result if there is one, else of the first scenario.
fn seed_of(sides: &[Side; 2]) -> Option<u64> {
    let of_result = sides.iter().find_map(|side| match side {
        Side::Result(result) => result.seeds.first().copied(),
        Side::Flight(_) => None,
    });
    let mut flights = sides.iter().filter_map(Side::flight);
    let of_flight = flights.next().map(|flight| flight.flight.plan.seed);
    of_result.or(of_flight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_stands_behind_the_last_sign() {
        for (text, path, variant) in [
            ("a.yaml", "a.yaml", None),
            ("a.yaml#b", "a.yaml", Some("b")),
            ("a#b.yaml#c", "a#b.yaml", Some("c")),
        ] {
            assert_eq!(split(text), (PathBuf::from(path), variant));
        }
    }
}
