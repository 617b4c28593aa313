//! Whether an expectation held, and by how much.

use serde::{Deserialize, Serialize};

use crate::words;

/// How an expectation came out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It held.
    Held,
    /// It had no samples to judge by.
    Inconclusive,
    /// It did not hold.
    Failed,
}

impl State {
    /// The word a reader sees.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Inconclusive => "inconclusive",
            Self::Failed => "failed",
        }
    }

    /// The word a reader sees of a run that was cut short: what would have come can still change it.
    #[must_use]
    pub const fn word_so_far(self) -> &'static str {
        match self {
            Self::Held => "held so far",
            Self::Inconclusive => "inconclusive so far",
            Self::Failed => "failed so far",
        }
    }

    /// [`word_so_far`](Self::word_so_far) of what is partial, [`word`](Self::word) of what is whole.
    #[must_use]
    pub const fn word_of(self, partial: bool) -> &'static str {
        if partial {
            self.word_so_far()
        } else {
            self.word()
        }
    }

    /// Whether it held; none when that could not be said.
    #[must_use]
    pub const fn held(self) -> Option<bool> {
        match self {
            Self::Held => Some(true),
            Self::Failed => Some(false),
            Self::Inconclusive => None,
        }
    }

    /// The worst of several; `Held` when there are none.
    #[must_use]
    pub fn worst(states: impl IntoIterator<Item = Self>) -> Self {
        states.into_iter().max().unwrap_or(Self::Held)
    }
}

/// What a number counts, so that it can be printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// Nanoseconds.
    Nanos,
    /// A share of one.
    Share,
    /// A second.
    PerSecond,
    /// A factor.
    Factor,
    /// A plain count.
    Count,
}

/// One expectation, judged.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The expression as written.
    pub expression: String,
    /// How it came out, on the pooled result.
    pub state: State,
    /// The measured side of its comparison; none without samples or without one comparison to name.
    pub value: Option<f64>,
    /// The side it is compared with.
    pub bound: Option<f64>,
    /// How far the value is on the good side of the bound, as a share of the bound; negative on the bad side.
    pub margin: Option<f64>,
    /// What value and bound count.
    pub unit: Unit,
    /// 95 % interval of the value over replications.
    pub interval: Option<(f64, f64)>,
    /// The value in each window, where it has one.
    pub spark: Vec<Option<f64>>,
    /// How many seeds held, failed and were inconclusive.
    pub seeds: SeedCounts,
    /// More words: why it is inconclusive.
    pub note: String,
}

impl Verdict {
    /// What was measured, with its unit; `never` for what did not come about, `–` without samples.
    #[must_use]
    pub fn measured(&self) -> String {
        match self.value {
            Some(value) => words::quantity(value, self.unit),
            None if self.state == State::Failed && !self.note.is_empty() => "never".into(),
            None => "–".into(),
        }
    }

    /// Asks it of every seed: what holds for the pooled result and not on each seed alone does not hold.
    pub fn be_strict(&mut self) {
        if self.state != State::Held {
            return;
        }
        let of = self.seeds.held + self.seeds.failed + self.seeds.inconclusive;
        let (state, how, count) = match self.seeds {
            SeedCounts { failed: 1.., .. } => (State::Failed, "failed", self.seeds.failed),
            SeedCounts {
                inconclusive: 1.., ..
            } => (State::Inconclusive, "inconclusive", self.seeds.inconclusive),
            SeedCounts { .. } => return,
        };
        self.state = state;
        let note = format!("held for the pooled result, {how} on {count} of {of} seeds");
        self.note = match self.note.is_empty() {
            true => note,
            false => format!("{note}; {}", self.note),
        };
    }
}

/// How the seeds of one expectation came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeedCounts {
    /// Seeds on which it held.
    pub held: u64,
    /// Seeds on which it failed.
    pub failed: u64,
    /// Seeds without samples.
    pub inconclusive: u64,
}

impl SeedCounts {
    pub(crate) const fn count(&mut self, held: Option<bool>) {
        match held {
            Some(true) => self.held += 1,
            Some(false) => self.failed += 1,
            None => self.inconclusive += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strict_verdict_holds_on_every_seed() {
        for (held, failed, inconclusive, before, expected) in [
            (3, 0, 0, State::Held, State::Held),
            (2, 1, 0, State::Held, State::Failed),
            (2, 0, 1, State::Held, State::Inconclusive),
            (1, 1, 1, State::Held, State::Failed),
            (2, 1, 0, State::Failed, State::Failed),
            (2, 1, 0, State::Inconclusive, State::Inconclusive),
        ] {
            let mut verdict = Verdict {
                expression: "1 < 2".into(),
                state: before,
                value: None,
                bound: None,
                margin: None,
                unit: Unit::Count,
                interval: None,
                spark: Vec::new(),
                seeds: SeedCounts {
                    held,
                    failed,
                    inconclusive,
                },
                note: String::new(),
            };
            verdict.be_strict();
            let row = (held, failed, inconclusive, before);
            assert_eq!(verdict.state, expected, "{row:?}");
            assert_eq!(verdict.note.is_empty(), before == expected, "{row:?}");
        }
    }
}
