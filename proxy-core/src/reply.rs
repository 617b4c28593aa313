//! Answers that a node gives by itself, and the flags that say why.

mod details;
mod flags;

pub use details::Details;
pub use flags::Flags;

use crate::config::ReplyProfile;
use crate::node::RouteRef;
use crate::origin::OriginId;

/// Why a node answered by itself, or why a response is what it is. Envoy's response flags, their names in [`Flags`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum ReplyReason {
    /// No virtual host or route takes the request (NR).
    NoRoute,
    /// The route's destination does not exist (NC).
    NoCluster,
    /// No endpoint may be used (UH).
    NoHealthyUpstream,
    /// No endpoint became ready in the failfast time (Linkerd).
    Failfast,
    /// The balancer's queue is full or fails fast (Linkerd).
    LoadShed,
    /// Connecting failed (UF).
    ConnectFailure,
    /// Connecting took too long (UF).
    ConnectTimeout,
    /// A concurrency limit (UO).
    Overflow,
    /// The upstream closed the connection (UC).
    UpstreamTermination,
    /// The upstream reset the stream (UR).
    UpstreamReset,
    /// The upstream refused the stream before it worked on it (UR).
    UpstreamRefused,
    /// Reset by this node (LR).
    LocalReset,
    /// The route's timeout (UT).
    RouteTimeout,
    /// A try's timeout that was not followed by another try (UT).
    PerTryTimeout,
    /// A try's silence that was not followed by another try (UT).
    PerTryIdle,
    /// Nothing happened on the stream (SI).
    StreamIdle,
    /// The stream lived too long. No flag: UMSDR is for what clusters allow.
    MaxStreamDuration,
    /// The whole request did not arrive in time.
    RequestTimeout,
    /// The body of the request is longer than its route takes.
    BodyTooLarge,
    /// The local rate limit (RL).
    RateLimited,
    /// Too many requests of its kind are under way (RL).
    TooManyInFlight,
    /// A breaker is open, or recovers (UO).
    BreakerOpen,
    /// An injected abort (FI).
    FaultAbort,
    /// The route answers itself.
    Direct,
    /// The route redirects.
    Redirect,
    /// The upstream broke the protocol (UPE).
    UpstreamProtocolError,
    /// The node is draining or not ready.
    Draining,
    /// Its head may not pass, or not as it is.
    BadHead(BadHead),
    /// What follows its head is no body (DPE).
    MalformedBody,
    /// The connection may not become what the client wants it to.
    UpgradeRefused,
    /// It asks what pages of another origin may do.
    Preflight,
}

/// Why the head of a request goes no further.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum BadHead {
    /// Too many headers, or too many bytes of them.
    TooLarge,
    /// A header's name has an underscore.
    Underscore,
    /// `Connection` names too much, or what a client must not hide.
    Connection,
    /// It came over HTTP/1.0.
    Version,
    /// It names no host.
    NoHost,
    /// It is a CONNECT to no authority with a port, or one with a body.
    Target,
    /// Its path does not begin with a slash.
    PathForm,
    /// Its path has no normal form, or has escaped slashes.
    Path,
    /// Its path had escaped slashes: the client is sent to the one without.
    PathRedirect,
}

impl BadHead {
    /// The status of the refusal.
    ///
    /// Source: envoy `ActiveStream::decodeHeaders`; `source/common/http/http1/codec_impl.cc`.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::TooLarge => 431,
            Self::Version => 426,
            Self::PathForm => 404,
            Self::PathRedirect => 307,
            Self::Underscore | Self::Connection | Self::NoHost | Self::Target | Self::Path => 400,
        }
    }
}

impl ReplyReason {
    /// The status for `reason`, as the system answers whose `profile` this is; `complete` says whether the whole request had
    /// come. Envoy's stream timers blame the client (408) for what did not come, else the upstream (504).
    ///
    /// Sources: Envoy `source/common/http/utility.cc` (`maybeRequestTimeoutCode`) and §13 of its access log docs; Linkerd `linkerd/app/outbound/src/http/server.rs`; Kong
    /// `kong/runloop/balancer` and NGINX's upstream module; Traefik `pkg/proxy`.
    #[must_use]
    pub const fn status(self, profile: ReplyProfile, complete: bool) -> u16 {
        match self {
            Self::NoRoute => 404,
            Self::NoCluster
            | Self::NoHealthyUpstream
            | Self::Overflow
            | Self::LoadShed
            | Self::Draining => 503,
            Self::Failfast | Self::RouteTimeout | Self::PerTryTimeout | Self::PerTryIdle => 504,
            Self::ConnectTimeout => match profile {
                ReplyProfile::Envoy => 503,
                ReplyProfile::Linkerd | ReplyProfile::Nginx | ReplyProfile::Traefik => 504,
            },
            Self::ConnectFailure
            | Self::UpstreamTermination
            | Self::UpstreamReset
            | Self::UpstreamRefused
            | Self::LocalReset => match profile {
                ReplyProfile::Envoy => 503,
                ReplyProfile::Linkerd | ReplyProfile::Nginx | ReplyProfile::Traefik => 502,
            },
            Self::StreamIdle | Self::MaxStreamDuration | Self::RequestTimeout => match profile {
                ReplyProfile::Envoy if !complete => 408,
                ReplyProfile::Envoy
                | ReplyProfile::Linkerd
                | ReplyProfile::Nginx
                | ReplyProfile::Traefik => 504,
            },
            Self::BodyTooLarge => 413,
            Self::RateLimited | Self::TooManyInFlight => 429,
            Self::BreakerOpen => 503,
            Self::UpgradeRefused => 403,
            Self::Preflight => match profile {
                ReplyProfile::Nginx => 204,
                ReplyProfile::Envoy | ReplyProfile::Linkerd | ReplyProfile::Traefik => 200,
            },
            Self::UpstreamProtocolError => 502,
            Self::FaultAbort | Self::Direct | Self::Redirect => 200,
            Self::BadHead(why) => why.status(),
            Self::MalformedBody => 400,
        }
    }

    /// Whether it is the router's answer: not what filters before the router and the stream's own timers say.
    #[must_use]
    pub const fn is_of_the_router(self) -> bool {
        !self.is_before_the_router()
            && !matches!(self, Self::NoRoute | Self::BadHead(_) | Self::MalformedBody)
    }

    /// Whether it is the answer of a filter before the router, of one of the stream's own timers, or to a wish. Edits of a route are carried out
    /// on it, where the route sends requests on.
    ///
    /// Source: 1.40.0 (`prepareLocalReplyViaFilterChain`).
    #[must_use]
    pub const fn is_before_the_router(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::TooManyInFlight
                | Self::BreakerOpen
                | Self::FaultAbort
                | Self::StreamIdle
                | Self::MaxStreamDuration
                | Self::RequestTimeout
                | Self::MalformedBody
                | Self::UpgradeRefused
        )
    }

    /// The flag that Envoy logs.
    #[must_use]
    pub const fn flags(self) -> Flags {
        match self {
            Self::NoRoute => Flags::NR,
            Self::NoCluster => Flags::NC,
            Self::NoHealthyUpstream | Self::Failfast => Flags::UH,
            Self::LoadShed | Self::Overflow | Self::BreakerOpen => Flags::UO,
            Self::ConnectFailure | Self::ConnectTimeout => Flags::UF,
            Self::UpstreamTermination => Flags::UC,
            Self::UpstreamReset | Self::UpstreamRefused => Flags::UR,
            Self::LocalReset => Flags::LR,
            Self::RouteTimeout | Self::PerTryTimeout | Self::PerTryIdle => Flags::UT,
            Self::StreamIdle => Flags::SI,
            Self::RateLimited | Self::TooManyInFlight => Flags::RL,
            Self::FaultAbort => Flags::FI,
            Self::UpstreamProtocolError => Flags::UPE,
            Self::MalformedBody | Self::BadHead(BadHead::Target) => Flags::DPE,
            Self::RequestTimeout
            | Self::MaxStreamDuration
            | Self::Direct
            | Self::Redirect
            | Self::Draining
            | Self::BadHead(_)
            | Self::BodyTooLarge
            | Self::UpgradeRefused
            | Self::Preflight => Flags::NONE,
        }
    }
}

/// An answer that the node gives by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalReply {
    /// HTTP status; for gRPC requests 200 with `grpc`.
    pub status: u16,
    /// `grpc-status` for gRPC requests.
    pub grpc: Option<u32>,
    /// Why.
    pub reason: ReplyReason,
    /// Whether it says nothing beyond its status.
    pub silent: bool,
    /// Whether there were tries before the one that failed.
    pub retried: bool,
    /// The rule that decided it.
    pub origin: OriginId,
    /// The route that answers or redirects by itself; the driver gets body or location by it.
    pub route: Option<RouteRef>,
}

impl LocalReply {
    /// Whether the connection takes no more requests, as far as it can say so (HTTP/1).
    ///
    /// Source: 1.40.0, which closes after every 400 of its own, after what its codec refuses, and after an upgrade that it refuses, since
    /// what follows may be no HTTP any more.
    #[must_use]
    pub const fn closes(&self) -> bool {
        matches!(
            (self.status, self.reason),
            (400 | 426 | 431, _)
                | (
                    _,
                    ReplyReason::BadHead(BadHead::Path) | ReplyReason::UpgradeRefused
                )
        )
    }
}

/// The `grpc-status` of what took too long.
pub const DEADLINE_EXCEEDED: u32 = 4;

/// The `grpc-status` that Envoy gives a local reply of an HTTP status.
///
/// Source: envoy `source/common/grpc/status.cc` (`httpToGrpcStatus`).
#[must_use]
pub const fn grpc_status(http: u16) -> u32 {
    match http {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Envoy: the table of its access log's response flags.
    #[test]
    fn statuses_and_flags_are_envoys() {
        use ReplyReason::*;
        for (reason, status, flags) in [
            (NoRoute, 404, "NR"),
            (NoCluster, 503, "NC"),
            (NoHealthyUpstream, 503, "UH"),
            (ConnectFailure, 503, "UF"),
            (ConnectTimeout, 503, "UF"),
            (Overflow, 503, "UO"),
            (UpstreamTermination, 503, "UC"),
            (UpstreamReset, 503, "UR"),
            (LocalReset, 503, "LR"),
            (RouteTimeout, 504, "UT"),
            (PerTryTimeout, 504, "UT"),
            (StreamIdle, 504, "SI"),
            (MaxStreamDuration, 504, "-"),
            (RateLimited, 429, "RL"),
            (UpstreamProtocolError, 502, "UPE"),
        ] {
            assert_eq!(
                reason.status(ReplyProfile::Envoy, true),
                status,
                "{reason:?}"
            );
            assert_eq!(reason.flags().to_string(), flags, "{reason:?}");
        }
        for reason in [StreamIdle, MaxStreamDuration, RequestTimeout] {
            assert_eq!(reason.status(ReplyProfile::Envoy, false), 408, "{reason:?}");
        }
    }

    /// Envoy: `httpToGrpcStatus`.
    #[test]
    fn http_errors_stand_for_grpc_statuses() {
        for (http, grpc) in [
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (408, 2),
            (413, 2),
            (429, 14),
            (500, 2),
            (502, 14),
            (503, 14),
            (504, 14),
        ] {
            assert_eq!(grpc_status(http), grpc, "{http}");
        }
    }
}
