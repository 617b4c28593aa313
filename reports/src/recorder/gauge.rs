//! A level that changes in steps, integrated exactly over each window.

use proxy_core::time::Time;

use crate::result::Levels;

#[derive(Clone, Debug)]
pub(super) struct Gauge {
    width: u64,
    level: u64,
    since: u64,
    area: Vec<u64>,
    max: Vec<u64>,
}

impl Gauge {
    pub(super) const fn new(width: u64) -> Self {
        Self {
            width,
            level: 0,
            since: 0,
            area: Vec::new(),
            max: Vec::new(),
        }
    }

    /// From `now` on the level is `level`.
    #[inline]
    pub(super) fn set(&mut self, now: Time, level: u64) {
        self.advance(now.as_nanos());
        self.level = level;
        let window = (now.as_nanos() / self.width) as usize;
        if self.max.len() <= window {
            self.reach(window);
        }
        self.max[window] = self.max[window].max(level);
    }

    /// From `now` on the level is `by` higher, never below zero.
    pub(super) fn add(&mut self, now: Time, by: i64) {
        self.set(now, self.level.saturating_add_signed(by));
    }

    #[inline]
    fn advance(&mut self, now: u64) {
        if self.level > 0 {
            while self.since < now {
                let window = (self.since / self.width) as usize;
                let until = now.min((window as u64 + 1) * self.width);
                if self.area.len() <= window {
                    self.reach(window);
                }
                let held = (until - self.since).saturating_mul(self.level);
                self.area[window] = self.area[window].saturating_add(held);
                self.max[window] = self.max[window].max(self.level);
                self.since = until;
            }
        }
        self.since = self.since.max(now);
    }

    fn reach(&mut self, window: usize) {
        self.area.resize(window + 1, 0);
        self.max.resize(window + 1, 0);
    }

    /// The series over `windows` windows until `end`; empty when the level never left zero.
    pub(super) fn finish(mut self, end: Time, windows: usize) -> Levels {
        self.advance(end.as_nanos());
        if self.max.iter().all(|&m| m == 0) {
            return Levels::default();
        }
        self.area.resize(windows, 0);
        self.max.resize(windows, 0);
        Levels {
            area: self.area,
            max: self.max,
        }
    }
}
