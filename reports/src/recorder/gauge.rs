//! A level that changes in steps, integrated exactly over each window.

use proxy_core::time::Time;

use crate::result::Levels;

#[derive(Clone, Debug)]
pub(super) struct Gauge {
    width: u64,
    level: u64,
    since: u64,
    /// The window that `since` lies in, and where that ends: a look instead of a division.
    window: usize,
    until: u64,
    /// Of that window, as far as not yet in the series: most changes touch nothing else.
    held: u64,
    peak: u64,
    area: Vec<u64>,
    max: Vec<u64>,
}

impl Gauge {
    pub(super) const fn new(width: u64) -> Self {
        Self {
            width,
            level: 0,
            since: 0,
            window: 0,
            until: 0,
            held: 0,
            peak: 0,
            area: Vec::new(),
            max: Vec::new(),
        }
    }

    /// From `now` on the level is `level`.
    #[inline(always)]
    pub(super) fn set(&mut self, now: Time, level: u64) {
        let now = now.as_nanos();
        if now < self.until && now >= self.since {
            self.held += (now - self.since).saturating_mul(self.level);
            self.since = now;
        } else {
            self.advance(now);
            self.enter(now);
        }
        self.level = level;
        self.peak = self.peak.max(level);
    }

    /// From `now` on the level is `by` higher, never below zero.
    #[inline(always)]
    pub(super) fn add(&mut self, now: Time, by: i64) {
        self.set(now, self.level.saturating_add_signed(by));
    }

    /// `now` lies in a window that has not been entered yet, or in an earlier one.
    #[cold]
    fn enter(&mut self, now: u64) {
        self.window = (now / self.width) as usize;
        self.until = (self.window as u64 + 1).saturating_mul(self.width);
    }

    /// Puts what is known of the current window into the series.
    fn flush(&mut self) {
        if self.held > 0 || self.peak > 0 {
            if self.area.len() <= self.window {
                self.reach(self.window);
            }
            self.area[self.window] = self.area[self.window].saturating_add(self.held);
            self.max[self.window] = self.max[self.window].max(self.peak);
            (self.held, self.peak) = (0, 0);
        }
    }

    #[cold]
    fn advance(&mut self, now: u64) {
        self.flush();
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
        let windows = (window + 1).max(self.max.len());
        self.area.resize(windows, 0);
        self.max.resize(windows, 0);
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
