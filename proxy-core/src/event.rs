//! What a node tells of its decisions: facts for logs, metrics and reports. The core formats nothing.

use crate::config::CloseReason;
use crate::ids::{ClusterId, EndpointSlot, ExchangeId};
use crate::origin::OriginId;
use crate::reply::{Flags, ReplyReason};
use crate::time::{Duration, Time};
use crate::trace::TraceReason;

/// How much a node records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Detail {
    /// Nothing.
    Off,
    /// Ends of exchanges and attempts, ejections, health: what statistics need.
    #[default]
    Statistics,
    /// Every decision with its reason: what a trace or a waterfall needs.
    Decisions,
}

/// One fact.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Event {
    /// An exchange ended.
    Exchange(AccessRecord),
    /// A try ended.
    Attempt(AttemptRecord),
    /// A decision inside an exchange; only under [`Detail::Decisions`].
    Decision {
        /// Whose.
        exchange: ExchangeId,
        /// What was decided.
        decision: Decision,
        /// By which rule.
        origin: OriginId,
    },
    /// An endpoint was taken out.
    Ejected {
        /// Of which cluster.
        cluster: ClusterId,
        /// Which one.
        endpoint: EndpointSlot,
        /// For how long, as far as known (sweeps may round it up).
        lasts: Duration,
        /// What it had done.
        why: EjectionReason,
        /// By which rule.
        origin: OriginId,
    },
    /// An endpoint that should have been taken out was not.
    EjectionRefused {
        /// Of which cluster.
        cluster: ClusterId,
        /// Which one.
        endpoint: EndpointSlot,
        /// Whether the cap on ejected endpoints forbade it (else the enforcement draw).
        by_cap: bool,
        /// By which rule.
        origin: OriginId,
    },
    /// A breaker opened, began to recover or closed.
    Breaker {
        /// Which of them.
        change: crate::breaker::Change,
        /// The rule that made it.
        origin: OriginId,
    },
    /// An endpoint came back.
    Returned {
        /// Of which cluster.
        cluster: ClusterId,
        /// Which one.
        endpoint: EndpointSlot,
    },
    /// An active health check changed its mind.
    Health {
        /// Of which cluster.
        cluster: ClusterId,
        /// Which endpoint.
        endpoint: EndpointSlot,
        /// What it says now.
        healthy: bool,
    },
    /// A connection was refused or closed by policy.
    Closed {
        /// Why.
        reason: CloseReason,
        /// By which rule.
        origin: OriginId,
        /// Whether its bytes were carried, or to be.
        carried: bool,
    },
    /// What became of a client's wish that its connection become something else.
    Upgrade(UpgradeFact),
    /// A client's datagrams have an endpoint, have none, or no longer have it.
    Session {
        /// Which cluster they go to, as far as that was decided.
        cluster: Option<ClusterId>,
        /// Which endpoint.
        endpoint: Option<EndpointSlot>,
        /// What happened.
        fact: SessionFact,
        /// By which rule.
        origin: OriginId,
    },
    /// It was decided whether a request is traced.
    Traced(TraceReason),
    /// A new configuration is in force.
    Updated,
}

/// What happened to a client that sends datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum SessionFact {
    /// A session began.
    Begun,
    /// None could begin: the datagram is dropped.
    Refused(SessionRefusal),
    /// It is over.
    Ended(SessionEnd),
}

/// Why a client's datagram has no session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum SessionRefusal {
    /// No listener takes it.
    NoListener,
    /// No endpoint may be used.
    NoEndpoint,
    /// As many connections and sessions as may be are under way to the cluster.
    Overflow,
    /// The node drains.
    Drain,
}

/// Why a session is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum SessionEnd {
    /// There was no datagram for the idle timeout.
    Idle,
    /// Discovery has its endpoint no more.
    EndpointGone,
    /// Its endpoint is unwell, and there is another.
    EndpointUnwell,
    /// The configuration in force sends its datagrams there no more.
    RouteGone,
    /// The driver has no socket for it.
    Failed,
    /// The node drains, and it was silent.
    Drain,
}

/// What became of a wish for another protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum UpgradeFact {
    /// The rules allow it.
    Allowed,
    /// They do not.
    Refused,
    /// What was allowed is over, whether or not the endpoint had switched.
    Over,
}

/// Why an endpoint was taken out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum EjectionReason {
    /// 5xx or local failures in a row.
    Consecutive5xx,
    /// 502, 503, 504 in a row.
    ConsecutiveGateway,
    /// Local failures in a row.
    ConsecutiveLocalOrigin,
    /// Success rate far below the others'.
    SuccessRate,
    /// Success rate of local-origin results far below the others'.
    LocalOriginSuccessRate,
    /// Too large a share of failures.
    FailurePercentage,
    /// Too large a share of local failures.
    LocalOriginFailurePercentage,
    /// Linkerd's failure accrual.
    FailureAccrual,
    /// Traefik's passive health check.
    PassiveCheck,
}

/// How an exchange went.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AccessRecord {
    /// Which.
    pub exchange: ExchangeId,
    /// The driver's own number for it.
    pub token: u64,
    /// When the request came.
    pub start: Time,
    /// Status sent; 0 when the client went away before one was.
    pub status: u16,
    /// Why it is as it is.
    pub flags: Flags,
    /// Why the node answered itself, if it did.
    pub reply: Option<ReplyReason>,
    /// Cluster, if one was chosen.
    pub cluster: Option<ClusterId>,
    /// Tries.
    pub attempts: u16,
    /// The rule that decided the outcome, or the route.
    pub origin: OriginId,
}

/// How a try went.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AttemptRecord {
    /// Whose.
    pub exchange: ExchangeId,
    /// The driver's own number for the exchange.
    pub token: u64,
    /// Which try, from 1.
    pub number: u16,
    /// Where to.
    pub cluster: ClusterId,
    /// Which endpoint; none when none could be chosen.
    pub endpoint: Option<EndpointSlot>,
    /// When it was begun (before waiting for a connection).
    pub start: Time,
    /// How it ended.
    pub result: AttemptResult,
    /// What became of it.
    pub next: Next,
    /// The rule that decided what became of it.
    pub origin: OriginId,
    /// Whether it ran beside another try.
    pub hedged: bool,
}

/// How a try ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum AttemptResult {
    /// With a response of this status.
    Response(u16),
    /// Without one.
    Failed(AttemptFailure),
    /// Given up because it was no longer wanted.
    Cancelled,
}

/// Why a try had no response.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum AttemptFailure {
    /// No endpoint may be used.
    NoHealthyUpstream,
    /// A concurrency limit of this node.
    Overflow,
    /// The connection was refused, or its handshake failed.
    ConnectRefused,
    /// The connection did not stand in time.
    ConnectTimeout,
    /// The peer closed the connection while the request was under way.
    Terminated,
    /// The peer reset the stream.
    Reset,
    /// The peer refused the stream before working on it.
    RefusedStream,
    /// The per-try timeout.
    PerTryTimeout,
    /// The per-try idle timeout.
    PerTryIdle,
    /// The route's timeout.
    RouteTimeout,
    /// The peer broke the protocol.
    Protocol,
}

/// What became of a try.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Next {
    /// Its response went to the client, or its failure ended the exchange.
    Final,
    /// It was tried again.
    Retried,
    /// It would have been tried again, but the number of retries was used up.
    RetriesExhausted,
    /// It would have been tried again, but too many retries were under way.
    RetryOverflow,
    /// It would have been tried again, but too much time had passed.
    OutOfTime,
    /// It was not a kind of failure that the policy retries.
    NotRetriable,
    /// Another try goes on.
    Superseded,
}

/// A decision inside an exchange.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Decision {
    /// This route of this virtual host of this table was chosen; indices as in the configuration.
    Route {
        /// Section.
        section: u16,
        /// Table in the section.
        table: u32,
        /// Virtual host in the table.
        host: u32,
        /// Route in the virtual host.
        route: u32,
    },
    /// No route was found.
    NoRoute,
    /// This cluster was chosen.
    Cluster(ClusterId),
    /// This endpoint was chosen out of so many.
    Endpoint {
        /// Of which cluster.
        cluster: ClusterId,
        /// Which.
        endpoint: EndpointSlot,
        /// How many could have been.
        candidates: u32,
        /// Whether health was disregarded.
        panic: bool,
    },
    /// A connection is reused or opened, or the request waits for one.
    Connection(ConnectionChoice),
    /// A timer was set.
    Timeout {
        /// Which.
        kind: TimeoutKind,
        /// To how long.
        after: Duration,
    },
    /// A timer was void, for example a per-try timeout not shorter than the route's.
    TimeoutVoid(TimeoutKind),
    /// A retry begins after this pause.
    Retry {
        /// Which try comes next.
        number: u16,
        /// Pause.
        after: Duration,
    },
    /// No retry, for this reason.
    NoRetry(Next),
    /// A second try begins beside the first.
    Hedge,
    /// A fault pauses the request.
    FaultDelay(Duration),
    /// A fault answers.
    FaultAbort(u16),
    /// The rate limit let it pass, or not.
    RateLimit {
        /// Whether it passed.
        admitted: bool,
    },
    /// A rate limit lets it wait.
    GateDelay(Duration),
    /// Not too many were under way, or too many.
    InFlight {
        /// Whether it passed.
        admitted: bool,
    },
    /// The breaker let it pass, or not.
    Breaker {
        /// Whether it passed.
        admitted: bool,
    },
    /// A copy is sent to this cluster.
    Mirror(ClusterId),
    /// The node answers itself.
    LocalReply(ReplyReason),
}

/// How an attempt gets its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ConnectionChoice {
    /// A standing one is reused.
    Reused,
    /// One is opened.
    Opened,
    /// It waits for one.
    Queued,
}

/// Which timeout.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum TimeoutKind {
    /// The route's.
    Route,
    /// The try's.
    PerTry,
    /// The try's silence.
    PerTryIdle,
    /// The stream's silence.
    StreamIdle,
    /// The stream's life.
    MaxStreamDuration,
    /// The connect timeout.
    Connect,
}
