//! How far the flights are, on a terminal.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use proxy_core::time::{Duration, Time};

const TEMPLATE: &str = "{msg} {wide_bar} {percent}% · {simulated} simulated · {speed} · {eta} left";

/// A bar of simulated time over all runs, in milliseconds; drawn on standard error when that is a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

/// One run's part of it.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    progress: &'a Progress,
    reached: AtomicU64,
    length: u64,
}

impl Progress {
    /// A bar for so much simulated time.
    pub(crate) fn new(total: Duration, what: String, quiet: bool) -> Self {
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let style = ProgressStyle::with_template(TEMPLATE)
            .expect("the template is well formed")
            .with_key("simulated", |state: &ProgressState, out: &mut dyn Write| {
                put(out, &reports::words::duration(state.pos() as f64 * 1e6));
            })
            .with_key("speed", |state: &ProgressState, out: &mut dyn Write| {
                let passed = state.elapsed().as_secs_f64();
                if passed > 0.0 {
                    let speed = state.pos() as f64 / 1e3 / passed;
                    put(
                        out,
                        &format!("{}× real time", reports::words::significant(speed)),
                    );
                }
            });
        let bar = ProgressBar::with_draw_target(Some(total.as_millis()), target);
        bar.set_style(style);
        bar.set_message(what);
        Self { bar }
    }

    /// The part of a run of this length.
    pub(crate) fn part(&self, length: Duration) -> Part<'_> {
        Part {
            progress: self,
            reached: AtomicU64::new(0),
            length: length.as_millis(),
        }
    }

    /// Simulated time of all runs.
    #[cfg(test)]
    pub(crate) fn length(&self) -> Duration {
        Duration::from_millis(self.bar.length().unwrap_or(0))
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Part<'_> {
    /// Moves on to a moment of the run.
    pub(crate) fn reach(&self, at: Time) {
        self.advance(at.as_nanos() / 1_000_000);
    }

    /// Moves on to the end.
    pub(crate) fn end(&self) {
        self.advance(u64::MAX);
    }

    fn advance(&self, to: u64) {
        let to = to.min(self.length);
        let before = self.reached.fetch_max(to, Ordering::Relaxed);
        self.progress.bar.inc(to.saturating_sub(before));
    }
}

fn put(out: &mut dyn Write, text: &str) {
    // A bar that cannot be drawn is no reason to stop.
    let _ = out.write_str(text);
}
