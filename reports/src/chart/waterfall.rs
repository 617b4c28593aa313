//! One request: lanes across, time to the right, what was decided as numbered marks.

use super::Ink;
use super::pen::{Anchor, Letters, Pen, draw, fitted, width_of};
use super::time::{SIZE, WIDTH};
use crate::waterfall::{Span, SpanKind, Waterfall};
use crate::words;

const LEFT: f64 = 204.0;
const RIGHT: f64 = 930.0;
const TOP: f64 = 26.0;
/// Height of a row of spans; a lane has as many as its spans lie over each other.
const ROW: f64 = 19.0;
const GAP: f64 = 7.0;
/// More lanes than this are not drawn.
const MOST_LANES: usize = 40;

/// What one participant decided at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision<'a> {
    /// When.
    pub at_ns: u64,
    /// Who.
    pub lane: &'a str,
    /// Words, and the rule they come from.
    pub parts: Vec<(&'a str, Option<&'a str>)>,
    /// Which span it belongs to.
    span: usize,
}

/// The decisions of a request in order of time; the picture numbers them from one.
#[must_use]
pub fn decisions(waterfall: &Waterfall) -> Vec<Decision<'_>> {
    let mut all: Vec<Decision<'_>> = Vec::new();
    for (span, of) in waterfall.spans.iter().enumerate() {
        let lane = waterfall.lanes.get(of.lane as usize);
        for mark in &of.marks {
            let part = (mark.text.as_str(), mark.origin.as_deref());
            match all.last_mut() {
                Some(last) if last.span == span && last.at_ns == mark.at_ns => {
                    last.parts.push(part);
                }
                Some(_) | None => all.push(Decision {
                    at_ns: mark.at_ns,
                    lane: lane.map_or("", |lane| lane.name.as_str()),
                    parts: vec![part],
                    span,
                }),
            }
        }
    }
    all.sort_by_key(|d| d.at_ns);
    all
}

/// What the colours of its bars stand for, those that occur.
#[must_use]
pub fn key(waterfall: &Waterfall) -> Vec<(Ink, &'static str)> {
    let mut all = Vec::new();
    for span in &waterfall.spans {
        let entry = (ink(span), span.kind.text());
        if !all.contains(&entry) {
            all.push(entry);
        }
    }
    if waterfall.spans.iter().any(|s| s.failed) {
        all.push((Ink::Failed, "ended badly"));
    }
    all
}

/// The picture of a request.
#[must_use]
pub fn draw_waterfall(waterfall: &Waterfall) -> String {
    let lanes = waterfall.lanes.len().min(MOST_LANES);
    let placed = place(waterfall);
    let rows: Vec<usize> = (0..lanes)
        .map(|lane| {
            let own = placed.iter().filter(|p| p.span.lane as usize == lane);
            own.map(|p| p.row + 1).max().unwrap_or(1)
        })
        .collect();
    let mut tops = Vec::new();
    let mut y = TOP;
    for count in &rows {
        tops.push(y);
        y += *count as f64 * ROW + GAP;
    }
    let height = y + 4.0;
    let x = axis(waterfall);
    let alt = format!("{}: {}", waterfall.request, waterfall.ended());
    draw(WIDTH, height, &alt, |pen| {
        time_axis(pen, waterfall, &x, y);
        for (at, lane) in waterfall.lanes.iter().take(lanes).enumerate() {
            let middle = tops[at] + rows[at] as f64 * ROW / 2.0;
            let name = format!("{} · {}", lane.name, lane.kind.text());
            let name = if width_of(&name, SIZE - 0.5) > LEFT - 8.0 {
                fitted(&lane.name, SIZE, LEFT - 8.0)
            } else {
                name
            };
            pen.text(
                &name,
                (0.0, middle),
                Letters::new(SIZE - 0.5, Ink::Text, Anchor::Start),
            );
            if at > 0 {
                let y = tops[at] - GAP / 2.0;
                pen.line((0.0, y), (RIGHT, y), Ink::Grid, 1.0);
            }
        }
        let decided = decisions(waterfall);
        for p in placed.iter().filter(|p| (p.span.lane as usize) < lanes) {
            let top = tops[p.span.lane as usize] + p.row as f64 * ROW;
            let pills = pills(&decided, p.at, &x);
            bar(pen, &x, p.span, top, &pills);
            numbers(pen, &pills, top + ROW / 2.0);
        }
    })
}

/// A span and its row within its lane.
struct Placed<'a> {
    /// Its position among the spans.
    at: usize,
    span: &'a Span,
    row: usize,
}

/// Each span in the first row of its lane where it lies over no other.
fn place(waterfall: &Waterfall) -> Vec<Placed<'_>> {
    let mut taken: Vec<Vec<Vec<(u64, u64)>>> = vec![Vec::new(); waterfall.lanes.len()];
    let mut all = Vec::new();
    for (at, span) in waterfall.spans.iter().enumerate() {
        let Some(rows) = taken.get_mut(span.lane as usize) else {
            continue;
        };
        let (from, to) = (span.start_ns, span.end_ns.max(span.start_ns + 1));
        let free = |row: &Vec<(u64, u64)>| row.iter().all(|&(a, b)| to <= a || from >= b);
        let row = rows.iter().position(free).unwrap_or_else(|| {
            rows.push(Vec::new());
            rows.len() - 1
        });
        rows[row].push((from, to));
        all.push(Placed { at, span, row });
    }
    all
}

fn axis(waterfall: &Waterfall) -> impl Fn(u64) -> f64 {
    let start = waterfall.start_ns;
    let end = waterfall.spans.iter().map(|s| s.end_ns).max().unwrap_or(0);
    let length = end.max(waterfall.end_ns).saturating_sub(start).max(1);
    move |ns: u64| {
        LEFT + ns.saturating_sub(start).min(length) as f64 / length as f64 * (RIGHT - LEFT)
    }
}

fn time_axis(pen: &mut Pen<'_>, waterfall: &Waterfall, x: &impl Fn(u64) -> f64, bottom: f64) {
    let end = waterfall.spans.iter().map(|s| s.end_ns).max().unwrap_or(0);
    let length = end
        .max(waterfall.end_ns)
        .saturating_sub(waterfall.start_ns)
        .max(1);
    let raw = length as f64 / 6.0;
    let decade = libm::pow(10.0, libm::floor(libm::log10(raw)));
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|s| s * decade >= raw)
        .unwrap_or(10.0)
        * decade;
    let mut at = 0.0;
    while at <= length as f64 {
        let place = x(waterfall.start_ns + at as u64);
        pen.line((place, TOP - 6.0), (place, bottom), Ink::Grid, 1.0);
        let anchor = if place > RIGHT - 24.0 {
            Anchor::End
        } else {
            Anchor::Middle
        };
        let letters = Letters::new(SIZE - 1.0, Ink::Faint, anchor);
        pen.text(&words::duration(at), (place, 9.0), letters);
        at += step;
    }
}

const fn ink(span: &Span) -> Ink {
    match span.kind {
        SpanKind::Exchange => Ink::Neutral,
        SpanKind::Attempt => Ink::Light,
        SpanKind::Waiting => Ink::Refused,
        SpanKind::Working => Ink::Good,
        SpanKind::Backoff => Ink::Retries,
        SpanKind::Network => Ink::Grid,
    }
}

fn bar(pen: &mut Pen<'_>, x: &impl Fn(u64) -> f64, span: &Span, top: f64, pills: &[Pill]) {
    let (from, to) = (x(span.start_ns), x(span.end_ns));
    let to = to.max(from + 1.5);
    let (y0, y1) = (top + 2.0, top + ROW - 2.0);
    pen.rect((from, y0), (to, y1), ink(span), 0.45);
    if span.failed {
        pen.rect(
            (to - 3.0_f64.min(to - from), y0),
            (to, y1),
            Ink::Failed,
            1.0,
        );
    }
    let took = words::duration(span.end_ns.saturating_sub(span.start_ns) as f64);
    let long = if span.outcome.is_empty() {
        format!("{} · {took}", span.name)
    } else {
        format!("{} · {} · {took}", span.name, span.outcome)
    };
    // Words stand between the numbers at the beginning and those that follow.
    let first = pills.first().filter(|pill| pill.from < from + 12.0);
    let start = first.map_or(from, |pill| pill.to) + 4.0;
    let next = pills.iter().find(|pill| pill.from > start);
    let room = next.map_or(to, |pill| pill.from.min(to)) - start - 4.0;
    let text = [long, format!("{} · {took}", span.name), span.name.clone()];
    if let Some(text) = text.iter().find(|t| width_of(t, SIZE - 1.0) <= room) {
        let letters = Letters::new(SIZE - 1.0, Ink::Text, Anchor::Start);
        pen.text(text, (start, (y0 + y1) / 2.0), letters);
    }
}

/// The numbers of decisions that lie too close for one each: `4`, or `4–6`.
#[derive(Clone, PartialEq, Debug)]
struct Pill {
    from: f64,
    to: f64,
    text: String,
}

const NUMBER: f64 = SIZE - 2.0;

/// The pills of one span from left to right; numbers that are not neighbours are told one by one.
fn pills(decided: &[Decision<'_>], span: usize, x: &impl Fn(u64) -> f64) -> Vec<Pill> {
    let own = decided
        .iter()
        .zip(1_usize..)
        .filter(|(d, _)| d.span == span);
    let mut groups: Vec<(f64, Vec<usize>)> = Vec::new();
    for (decision, number) in own {
        let at = x(decision.at_ns);
        match groups.last_mut() {
            Some((from, numbers)) if at < *from + wide(&told(numbers)) + 2.0 => {
                numbers.push(number);
            }
            Some(_) | None => groups.push((at, vec![number])),
        }
    }
    let pill = |(from, numbers): (f64, Vec<usize>)| {
        let text = told(&numbers);
        let width = wide(&text);
        let from = from.min(WIDTH - width);
        Pill {
            from,
            to: from + width,
            text,
        }
    };
    groups.into_iter().map(pill).collect()
}

fn wide(text: &str) -> f64 {
    width_of(text, NUMBER) + 8.0
}

/// `4`, `4–6`, `4, 9`.
fn told(numbers: &[usize]) -> String {
    match numbers {
        [first, .., last] if last - first + 1 == numbers.len() => format!("{first}–{last}"),
        _ => {
            let all: Vec<String> = numbers.iter().map(usize::to_string).collect();
            all.join(", ")
        }
    }
}

fn numbers(pen: &mut Pen<'_>, pills: &[Pill], middle: f64) {
    for pill in pills {
        let (y0, y1) = (middle - 7.0, middle + 7.0);
        pen.rect((pill.from - 1.0, y0), (pill.to + 1.0, y1), Ink::Ground, 1.0);
        pen.rect((pill.from, y0), (pill.to, y1), Ink::Text, 1.0);
        let letters = Letters::new(NUMBER, Ink::Ground, Anchor::Middle).bold();
        let at = ((pill.from + pill.to) / 2.0, middle);
        pen.text(&pill.text, at, letters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{Shape, run};

    #[test]
    fn numbers_that_follow_each_other_are_told_as_a_range() {
        for (numbers, text) in [
            (&[4][..], "4"),
            (&[4, 5], "4–5"),
            (&[4, 5, 6], "4–6"),
            (&[4, 9], "4, 9"),
        ] {
            assert_eq!(told(numbers), text);
        }
    }

    #[test]
    fn every_decision_has_a_number_in_the_picture_and_none_covers_another() {
        for waterfall in run(Shape::Storm, 7).waterfalls {
            let decided = decisions(&waterfall);
            let marks: usize = waterfall.spans.iter().map(|s| s.marks.len()).sum();
            assert_eq!(decided.iter().map(|d| d.parts.len()).sum::<usize>(), marks);
            let x = axis(&waterfall);
            let of_spans = (0..waterfall.spans.len()).map(|span| pills(&decided, span, &x));
            for pills in of_spans {
                assert!(pills.iter().all(|pill| pill.to <= WIDTH));
                assert!(pills.windows(2).all(|two| two[0].to < two[1].from));
            }
        }
    }
}
