//! One request through every proxy and service it met.

use serde::{Deserialize, Serialize};

use crate::expect::parse_go;
use crate::words;

/// A request, drawn as spans on lanes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waterfall {
    /// Why it was chosen.
    pub chosen: Chosen,
    /// The request in words: `GET api.example.com/service-a`.
    pub request: String,
    /// How it ended, in words: `200 after 412 ms`.
    pub outcome: String,
    /// Whether it ended badly.
    pub failed: bool,
    /// When it was meant to be sent.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// Proxies and services, in order of first use.
    pub lanes: Vec<Lane>,
    /// What took time; a parent stands before its children.
    pub spans: Vec<Span>,
}

impl Waterfall {
    /// How it ended and after how long, in three figures whatever the precision of `outcome`.
    #[must_use]
    pub fn ended(&self) -> String {
        let parts = self.outcome.split_once(" after ");
        let took = parts.and_then(|(how, took)| Some((how, parse_go(took)?)));
        took.map_or_else(
            || self.outcome.clone(),
            |(how, took)| format!("{how} after {}", words::duration(took)),
        )
    }
}

/// Why a request is shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Chosen {
    /// Its latency is the median of the successes.
    Typical,
    /// No other took as long.
    Slowest,
    /// It failed.
    Failed,
}

impl Chosen {
    /// The words a reader sees.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Typical => "A typical request",
            Self::Slowest => "The slowest request",
            Self::Failed => "A failed request",
        }
    }
}

/// One participant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lane {
    /// Its name: `service-b-1 sidecar`.
    pub name: String,
    /// What it is.
    pub kind: LaneKind,
}

/// What a lane stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LaneKind {
    /// The one who asks.
    Client,
    /// A gateway.
    Gateway,
    /// A sidecar.
    Sidecar,
    /// An application.
    Application,
}

impl LaneKind {
    /// The word a reader sees.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Sidecar => "sidecar",
            Self::Application => "application",
        }
    }
}

/// Something that took time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// A position in `lanes`.
    pub lane: u32,
    /// The span it happened in, a position in `spans` before its own.
    pub parent: Option<u32>,
    /// From when.
    pub start_ns: u64,
    /// Until when.
    pub end_ns: u64,
    /// What kind of time it was.
    pub kind: SpanKind,
    /// Words: `attempt 2 to 10.0.0.7`.
    pub name: String,
    /// How it ended, in words; empty where that says nothing.
    pub outcome: String,
    /// Whether it ended badly.
    pub failed: bool,
    /// What was decided meanwhile, in order of time.
    pub marks: Vec<Mark>,
}

/// What kind of time a span is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SpanKind {
    /// The whole exchange at this lane.
    Exchange,
    /// One attempt.
    Attempt,
    /// Waiting in a queue or for a connection.
    Waiting,
    /// Working.
    Working,
    /// Waiting before a retry.
    Backoff,
    /// On the network.
    Network,
}

impl SpanKind {
    /// The word a reader sees.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Attempt => "attempt",
            Self::Waiting => "waiting",
            Self::Working => "working",
            Self::Backoff => "backing off",
            Self::Network => "network",
        }
    }
}

/// Something that was decided.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// When.
    pub at_ns: u64,
    /// What, in words.
    pub text: String,
    /// By which rule: `vs.yaml:14`.
    pub origin: Option<String>,
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_outcome_has_three_figures_and_its_unit() {
        let request = crate::demo::run(crate::demo::Shape::Storm, 7).waterfalls;
        let ended = |outcome: &str| {
            let outcome = outcome.to_owned();
            let mut request = request[0].clone();
            request.outcome = outcome;
            request.ended()
        };
        assert_eq!(ended("200 after 92.473458ms"), "200 after 92.5 ms");
        assert_eq!(ended("timed out after 8s"), "timed out after 8 s");
        assert_eq!(ended("200 after 412 ms"), "200 after 412 ms");
        assert_eq!(ended("reset"), "reset");
    }
}
