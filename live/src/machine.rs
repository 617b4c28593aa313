//! How busy the machine was: figures of a run whose machine had no room left are not those of the proxies.

use std::fs;

/// Above this share of all processors a run says nothing.
pub(crate) const MOST: f64 = 0.7;

/// Processor time of the whole machine since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    busy: u64,
    all: u64,
}

impl Spent {
    /// None: the system does not tell.
    pub(crate) fn now() -> Option<Self> {
        of(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// The share that was busy since then.
    pub(crate) fn since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        self.busy.saturating_sub(before.busy) as f64 / all as f64
    }
}

/// Source: `proc_stat(5)`: user, nice, system, idle, iowait, irq, softirq, steal.
fn of(text: &str) -> Option<Spent> {
    let line = text.lines().find(|line| line.starts_with("cpu "))?;
    let fields: Option<Vec<u64>> = line
        .split_ascii_whitespace()
        .skip(1)
        .take(8)
        .map(|field| field.parse().ok())
        .collect();
    let fields = fields?;
    let idle = fields.get(3)? + fields.get(4)?;
    let all: u64 = fields.iter().sum();
    Some(Spent {
        busy: all - idle,
        all,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_not_being_busy() {
        let at = |text: &str| of(text).expect("it is told");
        let before = at("cpu  10 0 10 100 20 0 0 0 0 0\ncpu0 1 2 3\n");
        let after = at("cpu  40 0 30 140 30 0 0 0 7 7\n");
        assert!((after.since(before) - 0.5).abs() < 1e-9);
        assert!(of("intr 1 2").is_none());
    }
}
