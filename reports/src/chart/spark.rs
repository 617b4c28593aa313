//! A line the size of a word.

use super::Ink;
use super::pen::draw;
use super::scale::Scale;

const WIDTH: f64 = 130.0;
const HEIGHT: f64 = 26.0;
const POINTS: usize = 60;

/// The values over the run, with the bound they are held against; none without two values.
#[must_use]
pub fn spark(values: &[Option<f64>], bound: Option<f64>, alt: &str) -> Option<String> {
    if values.iter().flatten().count() < 2 {
        return None;
    }
    let each = values.len().div_ceil(POINTS);
    let mean = |chunk: &[Option<f64>]| {
        crate::stats::mean(&chunk.iter().flatten().copied().collect::<Vec<_>>())
    };
    let points: Vec<Option<f64>> = values.chunks(each).map(mean).collect();
    let all = points.iter().flatten().copied();
    let scale = Scale::linear(all.chain(bound));
    let y = |v: f64| 2.0 + (1.0 - scale.share(v)) * (HEIGHT - 4.0);
    let x = |at: usize| 1.0 + at as f64 / (points.len() - 1).max(1) as f64 * (WIDTH - 2.0);
    Some(draw(WIDTH, HEIGHT, alt, |pen| {
        if let Some(bound) = bound {
            pen.dashed((0.0, y(bound)), (WIDTH, y(bound)), Ink::Faint, 1.0);
        }
        let mut line = Vec::new();
        for (at, value) in points.iter().enumerate() {
            match value {
                Some(v) => line.push((x(at), y(*v))),
                None => {
                    pen.path(&line, Ink::Middle, 1.5);
                    line.clear();
                }
            }
        }
        pen.path(&line, Ink::Middle, 1.5);
    }))
}
