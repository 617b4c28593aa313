//! Envoy's retry conditions: which responses and which failures of an attempt may be retried.
//!
//! Source: Envoy v3 `source/common/router/retry_state_impl.cc` (`wouldRetryFromHeaders`, `wouldRetryFromReset`,
//! `parseRetryOn`, `parseRetryGrpcOn`), `docs/root/configuration/http/http_filters/router_filter.rst`.

use core::fmt;

/// A set of retry conditions: the words of `retry_on`, `x-envoy-retry-on` and `x-envoy-retry-grpc-on`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RetryOn(u32);

/// One retry condition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[repr(u8)]
pub enum Condition {
    /// `5xx`: status 500–599, or no response at all.
    ServerError,
    /// `gateway-error`: status 502, 503 or 504, or no response at all.
    GatewayError,
    /// `reset`: no response, whatever the reason.
    Reset,
    /// `reset-before-request`: no response, and nothing of the request was sent upstream.
    ResetBeforeRequest,
    /// `connect-failure`: no connection could be made, or not in time.
    ConnectFailure,
    /// `envoy-ratelimited`: the response carries `x-envoy-ratelimited`.
    EnvoyRateLimited,
    /// `retriable-4xx`: status 409.
    Retriable4xx,
    /// `refused-stream`: the peer refused the stream before it did anything.
    RefusedStream,
    /// `retriable-status-codes`: a status of the policy's list.
    RetriableStatusCodes,
    /// `retriable-headers`: one of the policy's response header matchers matches.
    RetriableHeaders,
    /// `http3-post-connect-failure`: a failure after an HTTP/3 handshake; retried without HTTP/3.
    Http3PostConnectFailure,
    /// `cancelled`: gRPC status 1 in the response headers.
    Cancelled,
    /// `deadline-exceeded`: gRPC status 4 in the response headers.
    DeadlineExceeded,
    /// `resource-exhausted`: gRPC status 8 in the response headers.
    ResourceExhausted,
    /// `internal`: gRPC status 13 in the response headers.
    Internal,
    /// `unavailable`: gRPC status 14 in the response headers.
    Unavailable,
    /// `per-try-timeout`: the try took longer than the per-try timeout. No word of Envoy's; Linkerd's retry timeout.
    PerTryTimeout,
}

impl Condition {
    /// Every condition, in the order in which a set prints them.
    pub const ALL: [Self; 17] = [
        Self::ServerError,
        Self::GatewayError,
        Self::Reset,
        Self::ResetBeforeRequest,
        Self::ConnectFailure,
        Self::EnvoyRateLimited,
        Self::Retriable4xx,
        Self::RefusedStream,
        Self::RetriableStatusCodes,
        Self::RetriableHeaders,
        Self::Http3PostConnectFailure,
        Self::Cancelled,
        Self::DeadlineExceeded,
        Self::ResourceExhausted,
        Self::Internal,
        Self::Unavailable,
        Self::PerTryTimeout,
    ];

    /// The word for it in `retry_on`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ServerError => "5xx",
            Self::GatewayError => "gateway-error",
            Self::Reset => "reset",
            Self::ResetBeforeRequest => "reset-before-request",
            Self::ConnectFailure => "connect-failure",
            Self::EnvoyRateLimited => "envoy-ratelimited",
            Self::Retriable4xx => "retriable-4xx",
            Self::RefusedStream => "refused-stream",
            Self::RetriableStatusCodes => "retriable-status-codes",
            Self::RetriableHeaders => "retriable-headers",
            Self::Http3PostConnectFailure => "http3-post-connect-failure",
            Self::Cancelled => "cancelled",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::ResourceExhausted => "resource-exhausted",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::PerTryTimeout => "per-try-timeout",
        }
    }

    /// The gRPC status that it stands for, if it is one of the gRPC conditions.
    #[must_use]
    pub const fn grpc_status(self) -> Option<u32> {
        match self {
            Self::Cancelled => Some(1),
            Self::DeadlineExceeded => Some(4),
            Self::ResourceExhausted => Some(8),
            Self::Internal => Some(13),
            Self::Unavailable => Some(14),
            Self::ServerError
            | Self::GatewayError
            | Self::Reset
            | Self::ResetBeforeRequest
            | Self::ConnectFailure
            | Self::EnvoyRateLimited
            | Self::Retriable4xx
            | Self::RefusedStream
            | Self::RetriableStatusCodes
            | Self::RetriableHeaders
            | Self::Http3PostConnectFailure
            | Self::PerTryTimeout => None,
        }
    }
}

/// Which words a list may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vocabulary {
    /// The HTTP words alone: `x-envoy-retry-on`.
    Http,
    /// The gRPC words alone: `x-envoy-retry-grpc-on`.
    Grpc,
    /// Both: `retry_on` of a route or virtual host.
    Both,
}

impl RetryOn {
    /// Nothing is retried.
    pub const NONE: Self = Self(0);

    /// The conditions of a comma-separated list; blanks around a word and empty words do not count.
    ///
    /// Words outside `vocabulary` go to `unknown`: Envoy's data plane ignores them silently, callers need not.
    #[must_use]
    pub fn parse<'a>(
        list: &'a str,
        vocabulary: Vocabulary,
        mut unknown: impl FnMut(&'a str),
    ) -> Self {
        let mut set = Self::NONE;
        for word in list.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            let condition = Condition::ALL.into_iter().find(|c| c.name() == word);
            match condition.filter(|c| vocabulary.has(*c)) {
                Some(condition) => set = set.with(condition),
                None => unknown(word),
            }
        }
        set
    }

    /// This set and `condition`.
    #[must_use]
    pub const fn with(self, condition: Condition) -> Self {
        Self(self.0 | 1 << condition as u8)
    }

    /// Everything in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `condition` is in the set.
    #[must_use]
    pub const fn has(self, condition: Condition) -> bool {
        self.0 & 1 << condition as u8 != 0
    }

    /// Whether nothing is retried.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The conditions of the set.
    pub fn iter(self) -> impl Iterator<Item = Condition> {
        Condition::ALL.into_iter().filter(move |c| self.has(*c))
    }
}

impl Vocabulary {
    fn has(self, condition: Condition) -> bool {
        // no word of any list
        if condition == Condition::PerTryTimeout {
            return false;
        }
        match self {
            Self::Http => condition.grpc_status().is_none(),
            Self::Grpc => condition.grpc_status().is_some(),
            Self::Both => true,
        }
    }
}

impl FromIterator<Condition> for RetryOn {
    fn from_iter<I: IntoIterator<Item = Condition>>(conditions: I) -> Self {
        conditions.into_iter().fold(Self::NONE, Self::with)
    }
}

/// The comma-separated list that [`RetryOn::parse`] reads.
impl fmt::Display for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, condition) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}", condition.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RetryOn({self})")
    }
}

/// Whether a failed attempt may be retried, and by which condition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It may not.
    No,
    /// After a backoff.
    WithBackoff(Condition),
    /// At once: the peer asked for it or another protocol is tried.
    Immediately(Condition),
}

impl Decision {
    /// The condition that applied.
    #[must_use]
    pub const fn condition(self) -> Option<Condition> {
        match self {
            Self::No => None,
            Self::WithBackoff(condition) | Self::Immediately(condition) => Some(condition),
        }
    }
}

/// What a retry decision reads of a response's headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseHead {
    /// HTTP status.
    pub status: u16,
    /// `grpc-status` of the headers; one in the trailers never counts.
    pub grpc_status: Option<u32>,
    /// Whether `x-envoy-ratelimited` is there.
    pub rate_limited: bool,
    /// Whether the downstream request came as TLS early data, so that a 425 has to go back to the client.
    pub early_data: bool,
}

/// Why an attempt ended without response headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Reset {
    /// A concurrency limit of the proxy was full.
    Overflow,
    /// No connection: refused, unreachable, handshake failed or connect timeout.
    ConnectFailure,
    /// The peer refused the stream before it did anything (HTTP/2 `REFUSED_STREAM`).
    RefusedStream,
    /// The connection ended, or the peer or the proxy reset the stream: disconnect, protocol error, read timeout.
    Disconnect,
    /// The attempt took longer than the per-try timeout or idled longer than the per-try idle timeout.
    PerTryTimeout,
}

/// What a retry decision reads of a reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResetContext {
    /// Why there is no response.
    pub reset: Reset,
    /// Whether anything of the request was sent upstream.
    pub request_started: bool,
    /// Whether the attempt ran over HTTP/3 and the cluster could fall back to TCP.
    pub http3_with_fallback: bool,
}

/// Whether a response may be retried under `on`, checked in Envoy's order.
///
/// `status_codes` is the list of `retriable-status-codes`; `header_matches` says whether a matcher of
/// `retriable-headers` matches, and is asked only when that decides.
#[must_use]
pub fn decide_on_response(
    on: RetryOn,
    response: ResponseHead,
    status_codes: &[u16],
    header_matches: impl FnOnce() -> bool,
) -> Decision {
    let ResponseHead {
        status,
        grpc_status,
        rate_limited,
        early_data,
    } = response;
    if rate_limited {
        return decide_if(
            on.has(Condition::EnvoyRateLimited),
            Condition::EnvoyRateLimited,
        );
    }
    let by_status = [
        (Condition::ServerError, (500..600).contains(&status)),
        (Condition::GatewayError, (502..=504).contains(&status)),
        (Condition::Retriable4xx, status == 409),
    ];
    for (condition, holds) in by_status {
        if holds && on.has(condition) {
            return Decision::WithBackoff(condition);
        }
    }
    let listed = on.has(Condition::RetriableStatusCodes) && status_codes.contains(&status);
    if listed && status != TOO_EARLY {
        return Decision::WithBackoff(Condition::RetriableStatusCodes);
    }
    if listed && !early_data {
        return Decision::Immediately(Condition::RetriableStatusCodes);
    }
    if on.has(Condition::RetriableHeaders) && header_matches() {
        return Decision::WithBackoff(Condition::RetriableHeaders);
    }
    let grpc = grpc_status.and_then(|status| on.iter().find(|c| c.grpc_status() == Some(status)));
    grpc.map_or(Decision::No, Decision::WithBackoff)
}

/// Whether an attempt without a response may be retried under `on`, checked in Envoy's order.
///
/// A per-try timeout and a disconnect are retried by `reset`, `5xx` and `gateway-error` only, the former by Linkerd's condition too. With hedging, the
/// per-try timeout is retried without asking here.
#[must_use]
pub fn decide_on_reset(on: RetryOn, context: ResetContext) -> Decision {
    let ResetContext {
        reset,
        request_started,
        http3_with_fallback,
    } = context;
    let connect_failure = match reset {
        Reset::Overflow => return Decision::No,
        Reset::ConnectFailure => true,
        Reset::RefusedStream | Reset::Disconnect | Reset::PerTryTimeout => false,
    };
    if connect_failure && on.has(Condition::ConnectFailure) {
        return Decision::WithBackoff(Condition::ConnectFailure);
    }
    if !connect_failure && http3_with_fallback && on.has(Condition::Http3PostConnectFailure) {
        return Decision::Immediately(Condition::Http3PostConnectFailure);
    }
    let holding = [
        (Condition::ResetBeforeRequest, !request_started),
        (Condition::Reset, true),
        (Condition::ServerError, true),
        (Condition::GatewayError, true),
        (Condition::RefusedStream, reset == Reset::RefusedStream),
        (Condition::PerTryTimeout, reset == Reset::PerTryTimeout),
    ];
    let applies = |&(condition, holds): &(Condition, bool)| holds && on.has(condition);
    let first = holding.iter().find(|row| applies(row));
    first.map_or(Decision::No, |(condition, _)| {
        Decision::WithBackoff(*condition)
    })
}

/// 425 Too Early (RFC 8470 §5.2): the request must be sent again, outside early data.
const TOO_EARLY: u16 = 425;

const fn decide_if(holds: bool, condition: Condition) -> Decision {
    if holds {
        Decision::WithBackoff(condition)
    } else {
        Decision::No
    }
}

#[cfg(test)]
mod tests;
