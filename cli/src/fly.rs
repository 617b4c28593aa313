//! Flights on several seeds, side by side on threads, with the same result for any number of them.

use live::Proxies;
use proxy_core::time::{Duration, Time};
use rayon::prelude::*;
use reports::expect::judge;
use reports::pool::pool;
use reports::result::RunResult;

use crate::prepare::Prepared;
use crate::progress::Progress;
use sim::Options;

/// Results kept before they are pooled, for each thread.
const AHEAD: usize = 2;

/// Where flights are flown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum World {
    /// On virtual time.
    Simulated,
    /// On this machine, one at a time.
    Real(Proxies),
}

impl World {
    /// The command that flies there.
    pub(crate) const fn verb(&self) -> &'static str {
        match self {
            Self::Simulated => "run",
            Self::Real(_) => "live",
        }
    }

    /// What the command is told of where to fly.
    pub(crate) const fn words(&self) -> &'static [&'static str] {
        match self {
            Self::Simulated | Self::Real(Proxies::Own) => &[],
            Self::Real(Proxies::Envoy(_)) => &["--proxy", "envoy"],
        }
    }
}

/// How flights are flown.
pub(crate) struct Manner<'a> {
    /// The first seed; none: the scenario's.
    pub(crate) seed: Option<u64>,
    /// Seeds of each flight.
    pub(crate) replications: u64,
    /// Threads; none: one a core.
    pub(crate) threads: Option<usize>,
    /// Whether an expectation must hold on every seed.
    pub(crate) strict: bool,
    /// Whether some requests are drawn one by one.
    pub(crate) waterfalls: bool,
    /// Asked whether to stop.
    pub(crate) stop: &'a (dyn Fn() -> bool + Sync),
    pub(crate) quiet: bool,
    pub(crate) world: World,
}

/// One run of one flight.
struct Job {
    flight: usize,
    seed: u64,
    is_first: bool,
}

impl Manner<'_> {
    /// The seeds of a flight.
    pub(crate) fn seeds(&self, flight: &Prepared) -> Vec<u64> {
        let first = self.seed.unwrap_or(flight.flight.plan.seed);
        (0..self.replications)
            .map(|nth| first.wrapping_add(nth))
            .collect()
    }

    /// Flies them all; pooled in the order of seeds and judged. None stands for what was stopped before it began.
    ///
    /// # Errors
    /// When threads cannot be had, or the runs of a flight do not fit together.
    pub(crate) fn fly(&self, flights: &[&Prepared]) -> Result<Vec<Option<RunResult>>, String> {
        let progress = self.progress(flights.iter().copied());
        let flown = self.fly_on(flights, &progress);
        progress.finish();
        flown
    }

    /// A bar for all runs of these flights.
    pub(crate) fn progress<'f>(&self, flights: impl Iterator<Item = &'f Prepared>) -> Progress {
        let (mut runs, mut total) = (0_u64, 0_u64);
        for flight in flights {
            let length = flight.flight.plan.duration.as_nanos();
            runs = runs.saturating_add(self.replications);
            total = total.saturating_add(length.saturating_mul(self.replications));
        }
        let what = reports::words::plural(runs, "run", "runs");
        Progress::new(Duration::from_nanos(total), what, self.quiet)
    }

    /// The same, as a part of what a bar is for.
    ///
    /// # Errors
    /// As [`Manner::fly`].
    pub(crate) fn fly_on(
        &self,
        flights: &[&Prepared],
        progress: &Progress,
    ) -> Result<Vec<Option<RunResult>>, String> {
        let jobs = self.jobs(flights);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads.unwrap_or(0))
            .build()
            .map_err(|error| error.to_string())?;
        let mut gathered: Vec<Gathered> = flights.iter().map(|_| Gathered::default()).collect();
        for chunk in jobs.chunks((AHEAD * pool.current_num_threads()).max(1)) {
            let results: Vec<Option<RunResult>> = pool.install(|| {
                let runs = chunk.par_iter();
                runs.map(|job| self.one(job, flights[job.flight], progress))
                    .collect::<Result<_, String>>()
            })?;
            for (job, result) in chunk.iter().zip(results) {
                if let Some(result) = result {
                    gathered[job.flight].add(result)?;
                }
            }
        }
        let done = gathered.into_iter().zip(flights);
        Ok(done
            .map(|(each, flight)| self.judged(each, flight))
            .collect())
    }

    /// The first seed of every flight, then the second of every flight, and so on: what is stopped has something of each.
    fn jobs(&self, flights: &[&Prepared]) -> Vec<Job> {
        let each = flights.iter().enumerate().flat_map(|(at, flight)| {
            let seeds = self.seeds(flight).into_iter().enumerate();
            seeds.map(move |(nth, seed)| {
                let is_first = nth == 0;
                let job = Job {
                    flight: at,
                    seed,
                    is_first,
                };
                (nth, job)
            })
        });
        let mut jobs: Vec<(usize, Job)> = each.collect();
        jobs.sort_by_key(|(nth, _)| *nth);
        jobs.into_iter().map(|(_, job)| job).collect()
    }

    fn one(
        &self,
        job: &Job,
        prepared: &Prepared,
        progress: &Progress,
    ) -> Result<Option<RunResult>, String> {
        if (self.stop)() {
            return Ok(None);
        }
        let flight = &prepared.flight;
        let part = progress.part(flight.plan.duration);
        let tell = |at: Time| part.reach(at);
        let options = Options {
            progress: Some(&tell),
            stop: Some(self.stop),
        };
        let (mut result, picks) = match &self.world {
            World::Simulated => {
                let flown = sim::fly(flight, job.seed, options);
                (flown.result, flown.picks)
            }
            World::Real(proxies) => {
                let result = for_real(prepared, job.seed, proxies, options)?;
                (result, Vec::new())
            }
        };
        result.variant.clone_from(&prepared.variant);
        judge(&prepared.expectations, &mut result);
        if self.waterfalls && job.is_first && !(self.stop)() {
            result.waterfalls = sim::waterfalls(flight, job.seed, &picks, options);
        }
        part.end();
        Ok(Some(result))
    }

    fn judged(&self, gathered: Gathered, flight: &Prepared) -> Option<RunResult> {
        let whole = gathered.whole;
        let mut result = gathered.pooled.or(gathered.cut)?;
        judge(&flight.expectations, &mut result);
        if self.strict {
            for verdict in &mut result.expectations {
                verdict.be_strict();
            }
        }
        if whole < self.replications && self.replications > 1 {
            result.basis.partial = format!(
                "stopped after {whole} of {} replications",
                self.replications
            );
        }
        Some(result)
    }
}

/// Flies once on this machine, and says what is to be known of it.
fn for_real(
    prepared: &Prepared,
    seed: u64,
    proxies: &Proxies,
    options: Options<'_>,
) -> Result<RunResult, String> {
    let flown = live::fly(&prepared.flight, seed, proxies, options);
    let flown = flown.map_err(|error| crate::print::with_sources(&error))?;
    let variant = prepared.variant.as_deref().unwrap_or("base");
    for remark in &flown.remarks {
        eprintln!("{variant}, seed {seed}: {remark}");
    }
    let mut result = flown.result;
    let departures = result.basis.departures.len() as u64;
    if departures > 0 {
        let ways = reports::words::plural(departures, "thing", "things");
        eprintln!("{variant}, seed {seed}: Envoy does {ways} otherwise, listed in the result");
    }
    result.basis.partial = flown.invalid.unwrap_or_default();
    Ok(result)
}

/// Runs of one flight, pooled as they come.
#[derive(Default)]
struct Gathered {
    /// Those that reached their end.
    pooled: Option<RunResult>,
    whole: u64,
    /// The first that did not: worth something only where no other did.
    cut: Option<RunResult>,
}

impl Gathered {
    fn add(&mut self, result: RunResult) -> Result<(), String> {
        if result.time.cut_at_ns.is_some() {
            self.cut.get_or_insert(result);
            return Ok(());
        }
        self.whole += 1;
        self.pooled = Some(match self.pooled.take() {
            None => result,
            Some(first) => pool(vec![first, result]).map_err(|error| error.to_string())?,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::prepare::{Scenario, Wishes, prepare};
    use crate::told::Told;

    fn mm1() -> Scenario {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/mm1");
        let mut told = Told::default();
        prepare(&path, &Wishes::default(), &mut told).expect("it is shipped")
    }

    fn manner(stop: &(dyn Fn() -> bool + Sync), replications: u64) -> Manner<'_> {
        Manner {
            seed: None,
            replications,
            threads: Some(2),
            strict: false,
            waterfalls: false,
            stop,
            quiet: true,
            world: World::Simulated,
        }
    }

    /// A run that was stopped at once, with another seed and end.
    fn run(scenario: &Scenario, seed: u64, cut_at_ns: Option<u64>) -> RunResult {
        let stop = || true;
        let options = Options {
            progress: None,
            stop: Some(&stop),
        };
        let mut result = sim::fly(&scenario.flights[0].flight, seed, options).result;
        result.time.cut_at_ns = cut_at_ns;
        result
    }

    #[test]
    fn what_is_stopped_before_it_begins_has_no_result() {
        let scenario = mm1();
        let flights: Vec<&Prepared> = scenario.flights.iter().collect();
        let flown = manner(&|| true, 3).fly(&flights).unwrap();
        assert_eq!(flown, vec![None; flights.len()]);
    }

    #[test]
    fn seeds_follow_each_other_from_the_first() {
        let scenario = mm1();
        let mut manner = manner(&|| false, 3);
        assert_eq!(manner.seeds(&scenario.flights[0]), [1, 2, 3]);
        manner.seed = Some(u64::MAX);
        assert_eq!(manner.seeds(&scenario.flights[0]), [u64::MAX, 0, 1]);
    }

    #[test]
    fn every_flight_has_its_first_seed_before_any_has_its_second() {
        let scenario = mm1();
        let flights: Vec<&Prepared> = scenario.flights.iter().collect();
        let jobs = manner(&|| false, 2).jobs(&flights);
        let order: Vec<(usize, u64)> = jobs.iter().map(|job| (job.flight, job.seed)).collect();
        assert_eq!(order, [(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2)]);
        let first: Vec<bool> = jobs.iter().map(|job| job.is_first).collect();
        assert_eq!(first, [true, true, true, false, false, false]);
    }

    #[test]
    fn a_run_that_was_cut_counts_only_where_no_other_is() {
        let scenario = mm1();
        let never = || false;
        let judged = |runs: &[(u64, Option<u64>)]| {
            let mut gathered = Gathered::default();
            for (seed, cut) in runs {
                gathered.add(run(&scenario, *seed, *cut)).unwrap();
            }
            let result = manner(&never, 3).judged(gathered, &scenario.flights[0]);
            result.map(|each| (each.seeds, each.basis.partial))
        };
        let partial = |whole: u64| format!("stopped after {whole} of 3 replications");
        assert_eq!(judged(&[]), None);
        assert_eq!(
            judged(&[(4, Some(0)), (5, Some(9))]),
            Some((vec![4], partial(0)))
        );
        assert_eq!(
            judged(&[(4, Some(0)), (5, None)]),
            Some((vec![5], partial(1)))
        );
        let all = [(4, None), (5, None), (6, None)];
        assert_eq!(judged(&all), Some((vec![4, 5, 6], String::new())));
    }
}
