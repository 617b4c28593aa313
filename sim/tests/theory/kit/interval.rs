//! Confidence intervals by batch means.
//!
//! One long run is cut into batches that are long against the time the system needs to forget, so that their means are nearly independent
//! and nearly normal (Law, Simulation Modeling and Analysis, 5th ed., §9.5.3). Everything is compared at 99.9 %.

use reports::figures::Span;
use reports::histogram::{COARSE, Histogram};
use reports::result::{LoadResult, RunResult, TimeAxis};

/// Batches of a run: ten windows each, after a warm-up as long as one of them.
pub(crate) const BATCHES: usize = 59;
const WINDOWS: usize = 10;
/// Student's t at 0.9995 for `BATCHES - 1` degrees of freedom.
const STUDENT: f64 = 3.4663;
/// What interpolating in the buckets of a window's histogram may add to a percentile: the density changes by less than a seventh over
/// a bucket of 1/32, and a straight line misses an eighth of that.
const INTERPOLATION: f64 = 0.0006;
/// Half a bucket of the totals, which are read at the middle of one.
const FINE_BUCKET: f64 = 1.0 / 2048.0;

/// The stretches of a run that make its batches.
pub(crate) fn batches(time: &TimeAxis) -> impl Iterator<Item = Span> {
    let first = time.first_measured();
    assert_eq!(time.windows - first, BATCHES * WINDOWS);
    (0..BATCHES).map(move |batch| Span {
        first: first + batch * WINDOWS,
        end: first + (batch + 1) * WINDOWS,
    })
}

/// Compares measured values with expected ones, and tells all at once what does not agree.
#[derive(Default)]
pub(crate) struct Comparison {
    rows: Vec<String>,
    wrong: bool,
}

impl Comparison {
    /// The mean of `batches` has an interval that holds `expected`, and whose half is at most `widest` of it.
    pub(crate) fn holds(
        &mut self,
        name: &str,
        expected: f64,
        batches: impl Iterator<Item = f64>,
        widest: f64,
    ) {
        let batches: Vec<f64> = batches.collect();
        self.holds_within(name, expected, &batches, widest, 0.0);
    }

    fn holds_within(
        &mut self,
        name: &str,
        expected: f64,
        batches: &[f64],
        widest: f64,
        slack: f64,
    ) {
        let count = batches.len() as f64;
        assert_eq!(batches.len(), BATCHES);
        let mean = batches.iter().sum::<f64>() / count;
        let squares = batches.iter().map(|batch| (batch - mean) * (batch - mean));
        let half = STUDENT * (squares.sum::<f64>() / (count - 1.0) / count).sqrt();
        self.row(name, expected, mean, half + slack * expected);
        if half > widest * expected {
            self.wrong = true;
            let share = half / expected;
            self.rows
                .push(format!("  too wide: {share:.4} instead of {widest}"));
        }
    }

    fn row(&mut self, name: &str, expected: f64, found: f64, half: f64) {
        let agrees = (found - expected).abs() <= half;
        self.wrong |= !agrees;
        let mark = if agrees { ' ' } else { '!' };
        let (off, half) = ((found / expected - 1.0) * 100.0, half / expected * 100.0);
        self.rows.push(format!(
            "{mark} {name}: {expected:.6} expected, {found:.6} found, off {off:+.2} %, half {half:.2} %"
        ));
    }

    /// The mean of the latencies of successes, in seconds.
    pub(crate) fn mean(&mut self, name: &str, expected: f64, result: &RunResult, widest: f64) {
        let means = batches(&result.time).map(|span| {
            let latency = successes(&result.loads[0], span);
            latency.mean().expect("every batch has successes") / 1e9
        });
        self.holds(&format!("{name} mean"), expected, means, widest);
    }

    /// A percentile of the latencies of successes, in seconds: over batches, and as the totals tell it.
    pub(crate) fn percentile(
        &mut self,
        (name, q): (&str, f64),
        expected: f64,
        result: &RunResult,
        widest: f64,
    ) {
        let load = &result.loads[0];
        let found: Vec<f64> = batches(&result.time)
            .map(|span| interpolated(&successes(load, span), q) / 1e9)
            .collect();
        let name = format!("{name} p{}", q * 100.0);
        self.holds_within(&name, expected, &found, widest, INTERPOLATION);
        let told = load.ok_latency.quantile(q).expect("there are successes") as f64 / 1e9;
        let name = format!("{name} as told");
        self.row(&name, expected, told, (widest + FINE_BUCKET) * expected);
    }

    /// Everything agreed; the rows are there for `--nocapture`.
    #[expect(
        clippy::print_stdout,
        reason = "the errors that the documentation quotes"
    )]
    pub(crate) fn finish(self) {
        let rows = self.rows.join("\n");
        assert!(!self.wrong, "\n{rows}");
        println!("{rows}");
    }
}

fn successes(load: &LoadResult, span: Span) -> Histogram {
    let mut all = Histogram::new(COARSE);
    for window in &load.series.ok_latency[span.first..span.end] {
        all.merge(window);
    }
    all
}

/// A quantile in nanoseconds, its place inside a bucket by the share of the bucket's samples below it.
fn interpolated(latency: &Histogram, q: f64) -> f64 {
    let rank = q * latency.count() as f64;
    let mut below = 0.0;
    for (low, width, samples) in latency.buckets() {
        let samples = samples as f64;
        if below + samples >= rank {
            return low as f64 + width as f64 * (rank - below) / samples;
        }
        below += samples;
    }
    f64::NAN
}
