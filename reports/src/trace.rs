//! One request followed from party to party, with every decision on its way and the rule behind it.

use serde::Serialize;

use crate::outcome::ErrorReason;
use crate::waterfall::LaneKind;
use crate::words::plural;

/// A request on its way, from the moment it is sent until the client knows how it ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// The request in words: `GET http://api.example.com/service-a`.
    pub request: String,
    /// What the client got.
    pub outcome: TraceOutcome,
    /// Whoever has a part in it, in order of first use; the client first.
    pub parties: Vec<Party>,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// How a request ended for its client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceOutcome {
    /// Status; 0 when there was none.
    pub status: u16,
    /// Why it is no success.
    pub reason: ErrorReason,
    /// Since it was sent.
    pub after_ns: u64,
    /// Whether the client was still waiting when the trace was given up.
    pub open: bool,
    /// The application that worked on it last; none: it reached none.
    pub server: Option<Server>,
}

/// The application at the end of the way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// A position in the parties.
    pub party: u32,
    /// Its workload, as `namespace/name`.
    pub workload: String,
}

/// A client, a proxy or an application.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Party {
    /// Its name: `service-a-1`.
    pub name: String,
    /// What it is.
    pub kind: LaneKind,
    /// Of a sidecar, which of its two sides.
    pub side: Option<Side>,
    /// How many parties stand between it and the client.
    pub depth: u32,
    /// What it is made of, and why it is there: `istio@1.29`; empty where that says nothing.
    pub about: String,
    /// By which rule it is there.
    pub origin: Option<String>,
}

/// Which traffic of its pod a sidecar has before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Side {
    /// What comes to the pod.
    Inbound,
    /// What the pod sends.
    Outbound,
}

/// One thing that happened or was decided.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// A position in the parties.
    pub party: u32,
    /// Since the request was sent.
    pub at_ns: u64,
    /// What it is about.
    pub subject: Subject,
    /// In words.
    pub text: String,
    /// By which rule: `vs.yaml:14`, `default of istio@1.29`.
    pub origin: Option<String>,
    /// Whether it is a failure.
    pub failed: bool,
}

/// What a step is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// Connections: opened, taken, refused, closed.
    Connection,
    /// The request as a party sees it.
    Request,
    /// A filter before the router.
    Filter,
    /// The route and its match.
    Route,
    /// A change of the request's head.
    Rewrite,
    /// A bound in time.
    Timeout,
    /// When and how often it would be tried again.
    Retries,
    /// Where it is to go.
    Cluster,
    /// What holds for that cluster.
    Policy,
    /// The one address.
    Endpoint,
    /// How a try ended and what came of it.
    Try,
    /// The answer of a party.
    Answer,
}

impl Subject {
    /// The word a reader sees.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Request => "request",
            Self::Filter => "filter",
            Self::Route => "route",
            Self::Rewrite => "rewrite",
            Self::Timeout => "timeout",
            Self::Retries => "retries",
            Self::Cluster => "cluster",
            Self::Policy => "policy",
            Self::Endpoint => "endpoint",
            Self::Try => "try",
            Self::Answer => "answer",
        }
    }
}

/// Something that may go wrong with the server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Trouble {
    /// Its process is down, and nobody has noticed yet.
    Refuses,
    /// The connection breaks as the request arrives.
    Resets,
    /// It answers this status.
    Answers(u16),
    /// It takes the request and does not answer.
    Hangs,
    /// None of its pods is ready.
    NoEndpoint,
}

impl Trouble {
    /// Those that a trace goes through.
    pub const ALL: [Self; 7] = [
        Self::Refuses,
        Self::Resets,
        Self::Answers(503),
        Self::Answers(500),
        Self::Answers(429),
        Self::Hangs,
        Self::NoEndpoint,
    ];

    /// The words a reader sees.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Refuses => "refuses connections".to_owned(),
            Self::Resets => "resets the connection".to_owned(),
            Self::Answers(status) => format!("answers {status}"),
            Self::Hangs => "does not answer".to_owned(),
            Self::NoEndpoint => "has no ready pod".to_owned(),
        }
    }
}

/// What comes of a trouble.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Consequence {
    /// Of which.
    pub trouble: Trouble,
    /// Proxies that did more than pass the answer on, from the client to the server.
    pub parts: Vec<Part>,
    /// The whole way.
    pub trace: Trace,
}

/// What one proxy made of a failure.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// A position in the parties.
    pub party: u32,
    /// Requests that came to it.
    pub requests: u32,
    /// Its tries of them, the first of each included.
    pub tries: u32,
    /// How the last of them ended, and what came of that.
    pub text: String,
    /// By which rule.
    pub origin: Option<String>,
}

impl Trace {
    /// Whether somebody meant to answer did: a server, or a route that answers or redirects by itself.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        let outcome = &self.outcome;
        let by_itself = matches!(outcome.reason, ErrorReason::None) && outcome.status > 0;
        by_itself || (outcome.server.is_some() && outcome.status > 0)
    }
}

impl TraceOutcome {
    /// `503`, `no answer (name not resolved)`.
    #[must_use]
    pub fn text(&self) -> String {
        match self.status {
            0 if self.open => "no answer".to_owned(),
            0 => format!("no answer ({})", self.reason.text()),
            status => status.to_string(),
        }
    }
}

impl Part {
    /// `4 tries: per-try timeout, no retries left`.
    #[must_use]
    pub fn words(&self) -> String {
        let tries = plural(u64::from(self.tries), "try", "tries");
        match (self.tries, self.requests) {
            (0, _) => self.text.clone(),
            (_, 0 | 1) => format!("{tries}: {}", self.text),
            (_, requests) => format!("{tries} of {requests} requests: {}", self.text),
        }
    }
}

impl Party {
    /// `service-a-1 sidecar, inbound`.
    #[must_use]
    pub fn full_name(&self) -> String {
        let side = match self.side {
            None => "",
            Some(Side::Inbound) => ", inbound",
            Some(Side::Outbound) => ", outbound",
        };
        if self.kind == LaneKind::Client {
            self.name.clone()
        } else {
            format!("{} {}{side}", self.name, self.kind.text())
        }
    }
}

/// A trace and what would come of troubles, as one JSON object with a newline at the end.
#[must_use]
pub fn write(trace: &Trace, consequences: &[Consequence]) -> String {
    #[derive(Serialize)]
    struct Written<'a> {
        program: &'static str,
        trace: &'a Trace,
        consequences: &'a [Consequence],
    }
    let written = Written {
        program: crate::json::PROGRAM,
        trace,
        consequences,
    };
    let mut text = serde_json::to_string_pretty(&written).expect("names and numbers alone");
    text.push('\n');
    text
}
