//! Whether an expectation held, and by how much.

use serde::{Deserialize, Serialize};

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
