//! The axis that all strips share, and what is drawn through all of them.

use super::Ink;
use super::labels::rows;
use super::pen::{Anchor, Letters, Pen, draw, fitted, width_of};
use super::scale::Scale;
use crate::figures::Span;
use crate::result::RunResult;
use crate::words;

/// Width of every strip.
pub(crate) const WIDTH: f64 = 960.0;
/// Where the plot begins, after the labels of its values.
pub(crate) const LEFT: f64 = 62.0;
/// Where it ends, before the names of its lines.
pub(crate) const RIGHT: f64 = 846.0;
/// Size of the letters in strips.
pub(crate) const SIZE: f64 = 13.0;
/// Most points a line has.
const POINTS: usize = 240;

/// Windows taken together, so that a strip has no more points than it has room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bins {
    pub(crate) each: usize,
    pub(crate) count: usize,
    window_ns: u64,
}

impl Bins {
    pub(crate) fn of(result: &RunResult) -> Self {
        Self::at_most(result, POINTS)
    }

    pub(crate) fn at_most(result: &RunResult, points: usize) -> Self {
        let each = result.time.windows.div_ceil(points).max(1);
        Self {
            each,
            count: result.time.windows.div_ceil(each),
            window_ns: result.time.window_ns,
        }
    }

    pub(crate) const fn span(self, at: usize) -> Span {
        Span {
            first: at * self.each,
            end: (at + 1) * self.each,
        }
    }

    /// How long one is.
    pub(crate) const fn width_ns(self) -> u64 {
        self.each as u64 * self.window_ns
    }

    /// The middle of one.
    pub(crate) const fn middle_ns(self, at: usize) -> u64 {
        at as u64 * self.width_ns() + self.width_ns() / 2
    }

    pub(crate) fn spans(self) -> impl Iterator<Item = Span> {
        (0..self.count).map(move |at| self.span(at))
    }
}

/// From moments to places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeAxis {
    duration_ns: u64,
}

impl TimeAxis {
    /// The longest of the results' axes.
    pub(crate) fn of<'a>(results: impl IntoIterator<Item = &'a RunResult>) -> Self {
        let all = results.into_iter().map(|r| r.time.duration_ns);
        Self {
            duration_ns: all.max().unwrap_or(1).max(1),
        }
    }

    pub(crate) fn x(self, ns: u64) -> f64 {
        LEFT + (ns.min(self.duration_ns) as f64 / self.duration_ns as f64) * (RIGHT - LEFT)
    }

    /// How far apart ticks are: about ten in all.
    fn step_ns(self) -> u64 {
        const STEPS_MS: [u64; 22] = [
            1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000,
            60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 14_400_000,
        ];
        let fits = |ms: &&u64| self.duration_ns / (**ms * 1_000_000) <= 12;
        STEPS_MS
            .iter()
            .find(fits)
            .map_or(86_400_000_000_000, |ms| ms * 1_000_000)
    }

    fn ticks(self) -> impl Iterator<Item = u64> {
        let step = self.step_ns();
        (0..=self.duration_ns / step).map(move |n| n * step)
    }
}

/// One strip's plot: shared time across, its own values up.
pub(crate) struct Plot {
    /// Whether its ticks have their times under them.
    pub(crate) clock: bool,
    pub(crate) time: TimeAxis,
    pub(crate) scale: Scale,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
}

impl Plot {
    /// Where the strip ends.
    pub(crate) fn end(&self) -> f64 {
        self.bottom + if self.clock { 22.0 } else { 7.0 }
    }

    pub(crate) fn y(&self, value: f64) -> f64 {
        self.bottom - self.scale.share(value) * (self.bottom - self.top)
    }

    /// Grid, values and what goes through all strips.
    pub(crate) fn frame(
        &self,
        pen: &mut Pen<'_>,
        result: &RunResult,
        label: &dyn Fn(f64) -> String,
    ) {
        shade(pen, self.time, result, self.top, self.bottom);
        let most = ((self.bottom - self.top) / 26.0).max(2.0) as usize;
        for value in self.scale.ticks(most) {
            let y = self.y(value);
            pen.line((LEFT, y), (RIGHT, y), Ink::Grid, 1.0);
            let letters = Letters::new(SIZE - 1.0, Ink::Faint, Anchor::End);
            pen.text(&label(value), (LEFT - 6.0, y), letters);
        }
        self.time_ticks(pen);
    }

    pub(crate) fn time_ticks(&self, pen: &mut Pen<'_>) {
        let step = self.time.step_ns();
        for at in self.time.ticks() {
            let x = self.time.x(at);
            pen.line((x, self.bottom), (x, self.bottom + 4.0), Ink::Neutral, 1.0);
            if self.clock {
                let letters = Letters::new(SIZE - 1.0, Ink::Faint, Anchor::Middle);
                pen.text(&words::tick(at, step), (x, self.bottom + 13.0), letters);
            }
        }
    }

    /// A line through the values of bins, broken where there is none.
    pub(crate) fn line(
        &self,
        pen: &mut Pen<'_>,
        bins: Bins,
        values: &[Option<f64>],
        ink: Ink,
        width: f64,
    ) {
        let mut points = Vec::new();
        for (at, value) in values.iter().enumerate() {
            match value {
                Some(value) => points.push((self.time.x(bins.middle_ns(at)), self.y(*value))),
                None => self.stroke(pen, &mut points, ink, width),
            }
        }
        self.stroke(pen, &mut points, ink, width);
    }

    fn stroke(&self, pen: &mut Pen<'_>, points: &mut Vec<(f64, f64)>, ink: Ink, width: f64) {
        if let [only] = points[..] {
            pen.line((only.0 - 1.5, only.1), (only.0 + 1.5, only.1), ink, width);
        }
        pen.path(points, ink, width);
        points.clear();
    }

    /// The ends of fault windows over whatever was drawn, so that no area hides them.
    pub(crate) fn fault_edges(&self, pen: &mut Pen<'_>, result: &RunResult) {
        for fault in &result.faults {
            if let Some((from, to)) = fault_window(result, fault) {
                for x in [self.time.x(from), self.time.x(to)] {
                    pen.line((x, self.top), (x, self.bottom), Ink::Text, 0.75);
                }
            }
        }
    }

    /// The same with a rim of the ground's colour, to be read over a heatmap.
    pub(crate) fn rimmed(
        &self,
        pen: &mut Pen<'_>,
        bins: Bins,
        values: &[Option<f64>],
        ink: Ink,
        width: f64,
    ) {
        self.line(pen, bins, values, Ink::Ground, width + 2.0);
        self.line(pen, bins, values, ink, width);
    }

    /// What lies between two series, each a value a bin.
    pub(crate) fn band(&self, pen: &mut Pen<'_>, bins: Bins, low: &[f64], high: &[f64], ink: Ink) {
        if high.iter().zip(low).all(|(h, l)| h <= l) {
            return;
        }
        let edge = |values: &[f64]| -> Vec<(f64, f64)> {
            let ends = values.iter().enumerate().map(|(at, v)| {
                let x = self.time.x(bins.middle_ns(at));
                (x, self.y(*v))
            });
            let mut points: Vec<(f64, f64)> = ends.collect();
            if let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) {
                points.insert(0, (LEFT, first.1));
                points.push((self.time.x(bins.count as u64 * bins.width_ns()), last.1));
            }
            points
        };
        let mut around = edge(high);
        around.extend(edge(low).into_iter().rev());
        pen.area(&around, ink, 0.85);
    }
}

/// Fault windows, changes, the warm-up and what was not run, through one strip.
pub(crate) fn shade(pen: &mut Pen<'_>, time: TimeAxis, result: &RunResult, top: f64, bottom: f64) {
    let between = |pen: &mut Pen<'_>, from: u64, to: u64, opacity: f64| {
        pen.rect(
            (time.x(from), top),
            (time.x(to), bottom),
            Ink::Shade,
            opacity,
        );
    };
    if result.time.warmup_ns > 0 {
        between(pen, 0, result.time.warmup_ns, 0.07);
    }
    for fault in &result.faults {
        if let Some((from, to)) = fault_window(result, fault) {
            between(pen, from, to, 0.18);
        }
    }
    if let Some(cut) = result.time.cut_at_ns {
        between(pen, cut, result.time.duration_ns, 0.3);
    }
    for change in &result.changes {
        let x = time.x(change.first_applied_ns.unwrap_or(change.at_ns));
        pen.dashed((x, top), (x, bottom), Ink::Faint, 1.25);
    }
}

fn fault_window(result: &RunResult, fault: &crate::result::FaultResult) -> Option<(u64, u64)> {
    let from = fault.started_ns?;
    Some((from, fault.ended_ns.unwrap_or_else(|| result.time.end_ns())))
}

/// The ruler above the strips: time, the wall clock at its ends, and the names of what goes through all strips.
pub(crate) fn ruler(results: &[RunResult]) -> String {
    let time = TimeAxis::of(results);
    let mut marks: Vec<(f64, String)> = Vec::new();
    let mut add = |x: f64, text: String| {
        if !marks.iter().any(|m| m.1 == text && (m.0 - x).abs() < 1.0) {
            marks.push((x, text));
        }
    };
    for result in results {
        for fault in &result.faults {
            if let Some((from, _)) = fault_window(result, fault) {
                add(time.x(from), format!("▌{}", fault.name));
            }
        }
        for change in &result.changes {
            let at = change.first_applied_ns.unwrap_or(change.at_ns);
            add(time.x(at), format!("┊ {}", change.name));
        }
        if result.time.warmup_ns > 0 {
            add(LEFT, "warm-up".to_owned());
        }
        if let Some(cut) = result.time.cut_at_ns {
            add(time.x(cut), "cut short".to_owned());
        }
    }
    marks.sort_by(|a, b| a.0.total_cmp(&b.0));
    marks.truncate(24);
    let placed: Vec<(f64, f64, String)> = marks
        .into_iter()
        .map(|(x, text)| {
            let text = fitted(&text, SIZE, WIDTH / 3.0);
            let width = width_of(&text, SIZE);
            let from = x.min(WIDTH - width);
            (from, from + width, text)
        })
        .collect();
    let stretches: Vec<(f64, f64)> = placed.iter().map(|p| (p.0, p.1)).collect();
    let row = rows(&stretches, 8.0);
    let count = row.iter().max().map_or(0, |r| r + 1);
    let names = count as f64 * 18.0;
    let start = results.first().and_then(|r| r.time.start_time.clone());
    let clocks = start
        .as_deref()
        .and_then(|s| Some((wall_clock(s, 0)?, wall_clock(s, time.duration_ns)?)));
    let height = names + if clocks.is_some() { 42.0 } else { 24.0 };
    let alt = format!(
        "Time axis of {}{}",
        words::duration(time.duration_ns as f64),
        start
            .as_ref()
            .map_or(String::new(), |s| format!(", from {s}"))
    );
    draw(WIDTH, height, &alt, |pen| {
        for ((from, _, text), row) in placed.iter().zip(row) {
            let y = 9.0 + row as f64 * 18.0;
            pen.text(
                text,
                (*from, y),
                Letters::new(SIZE, Ink::Text, Anchor::Start),
            );
        }
        let base = height - 4.0;
        pen.line((LEFT, base), (RIGHT, base), Ink::Neutral, 1.0);
        let step = time.step_ns();
        for at in time.ticks() {
            let x = time.x(at);
            pen.line((x, base), (x, base + 4.0), Ink::Neutral, 1.0);
            let letters = Letters::new(SIZE - 1.0, Ink::Faint, Anchor::Middle);
            pen.text(&words::tick(at, step), (x, base - 10.0), letters);
        }
        let letters = Letters::new(SIZE - 1.0, Ink::Faint, Anchor::Start);
        pen.text("min:s", (RIGHT + 26.0, base - 10.0), letters);
        if let Some((from, to)) = &clocks {
            let y = base - 28.0;
            pen.text(from, (LEFT, y), letters);
            let end = Letters::new(SIZE - 1.0, Ink::Faint, Anchor::End);
            pen.text(to, (RIGHT, y), end);
        }
    })
}

/// The time of day that is `after` later than an RFC 3339 moment, with what follows its seconds left as it was.
fn wall_clock(start: &str, after_ns: u64) -> Option<String> {
    let (_, clock) = start.split_once('T')?;
    let zone = clock
        .get(8..)?
        .trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let mut parts = clock.get(..8)?.split(':');
    let mut next = || parts.next()?.parse::<u64>().ok();
    let seconds = next()? * 3600 + next()? * 60 + next()?;
    let at = (seconds + after_ns / 1_000_000_000) % 86_400;
    let (h, m, s) = (at / 3600, at % 3600 / 60, at % 60);
    Some(format!("{h:02}:{m:02}:{s:02}{zone}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_goes_on_from_the_start() {
        let two_minutes = 120_000_000_000;
        assert_eq!(
            wall_clock("2026-01-05T09:00:00Z", two_minutes).unwrap(),
            "09:02:00Z"
        );
        assert_eq!(
            wall_clock("2026-01-05T23:59:30.5+01:00", two_minutes).unwrap(),
            "00:01:30+01:00"
        );
        assert_eq!(wall_clock("this morning", 0), None);
    }

    #[test]
    fn ticks_are_round_and_few() {
        for (seconds, step_ms) in [(2, 200), (60, 5_000), (120, 10_000), (3_600, 300_000)] {
            let axis = TimeAxis {
                duration_ns: seconds * 1_000_000_000,
            };
            assert_eq!(axis.step_ns(), step_ms * 1_000_000, "{seconds} s");
            assert!(axis.ticks().count() <= 13);
        }
    }
}
