//! What differences are about.

use std::fmt;

/// What a difference is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Area {
    /// Whether a connection is taken, and what it becomes.
    Connection,
    /// Where a request or a connection goes, and in which shares.
    Destination,
    /// Where a redirect leads.
    Redirect,
    /// What is answered without an upstream.
    Answer,
    /// What becomes of path and authority.
    Rewrite,
    /// What becomes of other headers.
    Headers,
    /// How heads are read, whatever their route.
    Reading,
    /// How long something may take.
    Timeout,
    /// Tries after the first, and beside it.
    Retry,
    /// Copies of requests.
    Mirror,
    /// Injected failures.
    Fault,
    /// What is too much: rate limits, gates, limits of concurrency, long bodies.
    Limit,
    /// Pages of other origins.
    Cors,
    /// Clients that stay with an endpoint, and what balancers hash.
    Session,
    /// What connections may become.
    Upgrade,
    /// How an endpoint is chosen.
    Balance,
    /// Endpoints that are taken out since they fail.
    Ejection,
    /// Active health checks.
    Health,
    /// Connections to endpoints, and what is spoken on them.
    Pool,
    /// How connections to endpoints are secured.
    Tls,
}

impl Area {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Connection,
        Self::Destination,
        Self::Redirect,
        Self::Answer,
        Self::Rewrite,
        Self::Headers,
        Self::Reading,
        Self::Timeout,
        Self::Retry,
        Self::Mirror,
        Self::Fault,
        Self::Limit,
        Self::Cors,
        Self::Session,
        Self::Upgrade,
        Self::Balance,
        Self::Ejection,
        Self::Health,
        Self::Pool,
        Self::Tls,
    ];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Destination => "destination",
            Self::Redirect => "redirect",
            Self::Answer => "answer",
            Self::Rewrite => "rewrite",
            Self::Headers => "headers",
            Self::Reading => "reading",
            Self::Timeout => "timeout",
            Self::Retry => "retry",
            Self::Mirror => "mirror",
            Self::Fault => "fault",
            Self::Limit => "limit",
            Self::Cors => "cors",
            Self::Session => "session",
            Self::Upgrade => "upgrade",
            Self::Balance => "balance",
            Self::Ejection => "ejection",
            Self::Health => "health",
            Self::Pool => "pool",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
