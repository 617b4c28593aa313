//! When the requests of a load come: deterministic generators that a simulation may clone and continue.
//!
//! Poisson arrivals are a unit-rate process carried through the inverse of the cumulative rate (time change; Çinlar 1975, ch. 4.7):
//! gap number n depends on seed, load and n alone, and a higher rate brings every single request earlier. A surge is a stream of its
//! own beside the load's, so the requests that come anyway stay the same ones.

use std::sync::Arc;

use proxy_core::draw::{DrawKey, Purpose};
use proxy_core::time::{Duration, Time};

use crate::client::Clients;
use crate::distribution::log;
use crate::plan::Plan;
use crate::plan::ids::{LoadId, RequestId};
use crate::plan::load::{Arrivals as Spacing, Load, Process, Stage, Surge, TraceRow};
use crate::plan::program::Program;

/// Streams of one load lie this far apart in the numbering of its requests.
const STREAM: u64 = 1 << 40;

/// One request that comes on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it is meant to be sent.
    pub at: Time,
    /// Its number in the load; those of surges are far above the others.
    pub number: u64,
    /// The root of all draws for it.
    pub key: DrawKey,
    /// What it asks for.
    pub request: RequestId,
}

/// The arrivals of an open or traced load in the order of time; an iterator that ends with the load or the run.
#[derive(Clone, Debug)]
pub struct Arrivals {
    load: Arc<Load>,
    key: DrawKey,
    end: Time,
    streams: Vec<Stream>,
}

/// A user of a closed load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Its number in the load.
    pub number: u32,
    /// When it begins to think about its first request.
    pub from: Time,
    /// When it sends no more.
    pub until: Time,
}

#[derive(Clone, Debug)]
struct Stream {
    first_number: u64,
    count: u64,
    source: Source,
    next: Option<(Time, Option<RequestId>)>,
}

#[derive(Clone, Debug)]
enum Source {
    Rate {
        spacing: Spacing,
        profile: Profile,
        key: DrawKey,
        /// Expected arrivals so far: the unit-rate clock.
        clock: f64,
    },
    Rows {
        rows: Arc<[TraceRow]>,
        at: usize,
    },
    /// Further copies of the rows in a window.
    Copies {
        rows: Arc<[TraceRow]>,
        at: usize,
        left: u32,
        surge: Surge,
        key: DrawKey,
    },
}

/// A rate that changes in straight lines, with a place in it: times only move on.
#[derive(Clone, Debug)]
struct Profile {
    pieces: Arc<[Piece]>,
    at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    start: Time,
    /// Seconds.
    lasts: f64,
    from: f64,
    to: f64,
    /// Expected arrivals before it, and in it.
    before: f64,
    area: f64,
}

impl Plan {
    /// The arrivals of a load under a run's `root`; none for a closed load.
    #[must_use]
    pub fn arrivals(&self, load: LoadId, root: DrawKey) -> Option<Arrivals> {
        let load = &self.loads[load.index()];
        Arrivals::new(load.clone(), root, Time::ZERO + self.duration)
    }

    /// The clients of a load under a run's `root`.
    #[must_use]
    pub fn clients(&self, load: LoadId, root: DrawKey) -> Clients {
        let load = self.loads[load.index()].clone();
        Clients::new(load, self.program.clone(), root, Time::ZERO + self.duration)
    }
}

impl Load {
    /// The users of a closed load until `end`; empty for any other. A surge adds users for its window.
    #[must_use]
    pub fn users(&self, end: Time) -> Vec<User> {
        let Process::Closed { users, .. } = self.process else {
            return Vec::new();
        };
        let mut all: Vec<User> = Vec::new();
        let mut add = |count: u32, from: Time, until: Time| {
            for _ in 0..count {
                let number = u32::try_from(all.len()).unwrap_or(u32::MAX);
                all.push(User {
                    number,
                    from,
                    until,
                });
            }
        };
        add(users, Time::ZERO, end);
        for surge in &self.surges {
            let more = libm::round(f64::from(users) * (surge.factor - 1.0)) as u32;
            add(more, surge.from, surge.until.min(end));
        }
        all
    }

    /// The key of request `number` (from 0) of a user of a closed load.
    #[must_use]
    pub fn user_key(&self, root: DrawKey, user: u32, number: u64) -> DrawKey {
        self.key(root).child(u64::from(user)).child(number)
    }

    /// How long a user thinks before the request under `key`.
    #[must_use]
    pub fn think(&self, program: &Program, key: DrawKey) -> Duration {
        match self.process {
            Process::Closed {
                think: Some(think), ..
            } => program
                .distribution(think)
                .sample(key.unit(Purpose::Think, 0)),
            Process::Closed { think: None, .. } | Process::Open { .. } | Process::Trace(_) => {
                Duration::ZERO
            }
        }
    }
}

impl Arrivals {
    pub(crate) fn new(load: Arc<Load>, root: DrawKey, end: Time) -> Option<Self> {
        let key = load.key(root);
        let mut sources = Vec::new();
        match &load.process {
            Process::Open { arrivals, stages } => {
                let source = |stages: &[Piece], number: u64| Source::Rate {
                    spacing: *arrivals,
                    profile: Profile {
                        pieces: accumulate(stages),
                        at: 0,
                    },
                    // Gaps have keys of their own, beside those of the requests that they lead to.
                    key: key.child(u64::MAX - number),
                    clock: 0.0,
                };
                let base = pieces(stages);
                sources.push(source(&slowed(&base, &load.surges), 0));
                for (surge, number) in load.surges.iter().zip(1..) {
                    if surge.factor > 1.0 {
                        let extra = scaled(&base, surge, surge.factor - 1.0);
                        sources.push(source(&extra, number));
                    }
                }
            }
            Process::Trace(rows) => {
                sources.push(Source::Rows {
                    rows: rows.clone(),
                    at: 0,
                });
                for (surge, number) in load.surges.iter().zip(1..) {
                    sources.push(Source::Copies {
                        rows: rows.clone(),
                        at: 0,
                        left: 0,
                        surge: *surge,
                        key: key.child(u64::MAX - number),
                    });
                }
            }
            Process::Closed { .. } => return None,
        }
        let streams = sources.into_iter().zip(0..).map(|(source, number)| Stream {
            first_number: number * STREAM,
            count: 0,
            source,
            next: None,
        });
        let mut arrivals = Self {
            key,
            end,
            streams: streams.collect(),
            load,
        };
        for stream in &mut arrivals.streams {
            stream.next = stream.source.next();
        }
        Some(arrivals)
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let mut best: Option<(Time, usize)> = None;
        for (index, stream) in self.streams.iter().enumerate() {
            if let Some((at, _)) = stream.next
                && best.is_none_or(|(first, _)| at < first)
            {
                best = Some((at, index));
            }
        }
        let (at, index) = best?;
        if at >= self.end {
            return None;
        }
        let stream = &mut self.streams[index];
        let (_, given) = stream.next?;
        let number = stream.first_number + stream.count;
        stream.count += 1;
        stream.next = stream.source.next();
        let key = self.key.child(number);
        Some(Arrival {
            at,
            number,
            key,
            request: given.unwrap_or_else(|| self.load.pick(key)),
        })
    }
}

impl Source {
    fn next(&mut self) -> Option<(Time, Option<RequestId>)> {
        match self {
            Self::Rate {
                spacing,
                profile,
                key,
                clock,
            } => {
                let (now, next) = (&mut *clock, *key);
                match spacing {
                    Spacing::Poisson => {
                        *now -= log(next.unit(Purpose::Arrival, 0));
                        *key = next.child(0);
                    }
                    // A phase between zero and one keeps loads of one rate from striking at the same moments.
                    Spacing::Constant if *now == 0.0 => *now = next.unit(Purpose::Arrival, 0),
                    Spacing::Constant => *now += 1.0,
                }
                profile.reach(*now).map(|at| (at, None))
            }
            Self::Rows { rows, at } => {
                let row = rows.get(*at)?;
                *at += 1;
                Some((row.at, Some(row.request)))
            }
            Self::Copies {
                rows,
                at,
                left,
                surge,
                key,
            } => loop {
                let row = rows.get(*at)?;
                if *left > 0 {
                    *left -= 1;
                    if *left == 0 {
                        *at += 1;
                    }
                    return Some((row.at, Some(row.request)));
                }
                let struck = row.at >= surge.from && row.at < surge.until;
                let more = if struck { surge.factor - 1.0 } else { 0.0 };
                let whole = libm::floor(more);
                let chance = key.child(*at as u64);
                *left = whole as u32 + u32::from(chance.chance(Purpose::Arrival, 0, more - whole));
                if *left == 0 {
                    *at += 1;
                }
            },
        }
    }
}

impl Profile {
    /// When the expected number of arrivals reaches `clock`; none: never.
    fn reach(&mut self, clock: f64) -> Option<Time> {
        loop {
            let piece = self.pieces.get(self.at)?;
            let wanted = clock - piece.before;
            if wanted <= piece.area && piece.area > 0.0 {
                return Some(piece.start + Duration::from_secs_f64(piece.after(wanted)));
            }
            self.at += 1;
        }
    }
}

impl Piece {
    /// Seconds into the piece at which `wanted` arrivals are expected: the root of from·x + slope·x²/2 = wanted, written so that
    /// nothing cancels.
    fn after(&self, wanted: f64) -> f64 {
        let slope = (self.to - self.from) / self.lasts;
        let root = libm::sqrt((self.from * self.from + 2.0 * slope * wanted).max(0.0));
        let sum = self.from + root;
        if sum > 0.0 {
            (2.0 * wanted / sum).clamp(0.0, self.lasts)
        } else {
            0.0
        }
    }

    fn rate_at(&self, time: Time) -> f64 {
        let share = (time.since(self.start).as_secs_f64() / self.lasts).clamp(0.0, 1.0);
        self.from + (self.to - self.from) * share
    }

    fn end(&self) -> Time {
        self.start + Duration::from_secs_f64(self.lasts)
    }

    /// The part of this piece between two moments within it, its rate times `factor`.
    fn part(&self, start: Time, end: Time, factor: f64) -> Self {
        Self {
            start,
            lasts: end.since(start).as_secs_f64(),
            from: self.rate_at(start) * factor,
            to: self.rate_at(end) * factor,
            before: 0.0,
            area: 0.0,
        }
    }
}

fn pieces(stages: &[Stage]) -> Vec<Piece> {
    let mut start = Time::ZERO;
    let mut pieces = Vec::new();
    for stage in stages {
        pieces.push(Piece {
            start,
            lasts: stage.lasts.as_secs_f64(),
            from: stage.from,
            to: stage.to,
            before: 0.0,
            area: 0.0,
        });
        start += stage.lasts;
    }
    pieces
}

/// The parts of `base` that lie in the surge's window, their rate times `factor`.
fn scaled(base: &[Piece], surge: &Surge, factor: f64) -> Vec<Piece> {
    let parts = base.iter().filter_map(|piece| {
        let (start, end) = (piece.start.max(surge.from), piece.end().min(surge.until));
        (start < end).then(|| piece.part(start, end, factor))
    });
    parts.collect()
}

/// `base` with the windows of surges below one slowed down.
fn slowed(base: &[Piece], surges: &[Surge]) -> Vec<Piece> {
    let mut pieces = base.to_vec();
    for surge in surges.iter().filter(|surge| surge.factor < 1.0) {
        let mut cut = Vec::new();
        for piece in &pieces {
            let (start, end) = (piece.start, piece.end());
            let (from, until) = (surge.from.clamp(start, end), surge.until.clamp(start, end));
            for (a, b, factor) in [
                (start, from, 1.0),
                (from, until, surge.factor),
                (until, end, 1.0),
            ] {
                if a < b {
                    cut.push(piece.part(a, b, factor));
                }
            }
        }
        pieces = cut;
    }
    pieces
}

fn accumulate(pieces: &[Piece]) -> Arc<[Piece]> {
    let mut before = 0.0;
    pieces
        .iter()
        .map(|piece| {
            let area = (piece.from + piece.to) / 2.0 * piece.lasts;
            let piece = Piece {
                before,
                area,
                ..*piece
            };
            before += area;
            piece
        })
        .collect()
}

#[cfg(test)]
mod tests;
