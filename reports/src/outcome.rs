//! How requests and attempts end, and which rule had a hand in it.

use serde::{Deserialize, Serialize};

use crate::ids::OriginId;

macro_rules! words {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $key:literal, $text:literal;)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $key)] $variant,)*
        }

        impl $name {
            /// Every value, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The key used in JSON and in expectations.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self { $(Self::$variant => $key,)* }
            }

            /// The words a reader sees.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The value of this key.
            #[must_use]
            pub fn from_key(key: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.key() == key)
            }

            /// Its position in [`Self::ALL`].
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

words! {
    /// Why a request or an attempt was not served, `None` when it was.
    ErrorReason {
        /// It was served.
        None => "none", "served";
        /// Some timeout ran out: the client's, the route's or one try's.
        Timeout => "timeout", "timed out";
        /// No connection could be made.
        Connect => "connect", "connection failed";
        /// The connection or the stream broke.
        Reset => "reset", "reset";
        /// An answer of 500 or above from a server.
        Status5xx => "status5xx", "answered 5xx";
        /// A rate limit refused it.
        RateLimited => "rateLimited", "rate limited";
        /// A concurrency limit, a retry limit or a `Breaker` refused it.
        Overflow => "overflow", "refused by a concurrency limit";
        /// Every endpoint was out.
        NoHealthy => "noHealthy", "no healthy endpoint";
        /// No route matched.
        NoRoute => "noRoute", "no route";
        /// An injected fault answered.
        FaultInjected => "faultInjected", "aborted by an injected fault";
        /// Authentication or authorisation refused it.
        Denied => "denied", "denied";
        /// A full queue of the application refused it.
        QueueFull => "queueFull", "refused by a full queue";
        /// The caller went away first.
        ClientGone => "clientGone", "caller gone";
        /// It was given up because another attempt had answered.
        Superseded => "superseded", "superseded by another attempt";
        /// A name did not resolve.
        Dns => "dns", "name not resolved";
        /// A handshake was refused.
        Tls => "tls", "handshake refused";
        /// Anything else; the notes say what.
        Other => "other", "failed otherwise";
    }
}

impl ErrorReason {
    /// Whether policy refused the request, as against a server or the network failing it.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        match self {
            Self::RateLimited
            | Self::Overflow
            | Self::NoHealthy
            | Self::NoRoute
            | Self::Denied
            | Self::QueueFull => true,
            Self::None
            | Self::Timeout
            | Self::Connect
            | Self::Reset
            | Self::Status5xx
            | Self::FaultInjected
            | Self::ClientGone
            | Self::Superseded
            | Self::Dns
            | Self::Tls
            | Self::Other => false,
        }
    }
}

/// How a request of a load ended, as its client saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The status received; 0 when none was.
    pub status: u16,
    /// Why it was not served. An answer of 500 or above without a reason counts as `Status5xx`, no answer as `Other`.
    pub reason: ErrorReason,
    /// How often the client itself tried, the first try included.
    pub attempts: u32,
}

impl Outcome {
    /// Whether it counts as a success: answered below 500 in time.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.status != 0 && self.status < 500
    }

    pub(crate) const fn settled_reason(self) -> ErrorReason {
        if !matches!(self.reason, ErrorReason::None) {
            self.reason
        } else if self.status == 0 {
            ErrorReason::Other
        } else if self.status >= 500 {
            ErrorReason::Status5xx
        } else {
            ErrorReason::None
        }
    }
}

words! {
    /// What made an attempt.
    AttemptKind {
        /// The call itself.
        First => "first", "first try";
        /// A retry rule.
        Retry => "retry", "retry";
        /// A hedging rule.
        Hedge => "hedge", "hedge";
    }
}

words! {
    /// The condition under which a rule tried again.
    RetryCondition {
        /// An answer of 500 or above.
        Status5xx => "5xx", "5xx";
        /// 502, 503 or 504.
        GatewayError => "gateway-error", "gateway error";
        /// A status the rule lists.
        RetriableStatus => "retriable-status", "retriable status";
        /// A header the rule lists.
        RetriableHeader => "retriable-header", "retriable header";
        /// A 4xx the rule lists, 409 in Envoy.
        Retriable4xx => "retriable-4xx", "retriable 4xx";
        /// The connection could not be made.
        ConnectFailure => "connect-failure", "connect failure";
        /// The stream was reset.
        Reset => "reset", "reset";
        /// The stream was reset before anything was sent.
        ResetBeforeRequest => "reset-before-request", "reset before the request";
        /// The peer refused the stream.
        RefusedStream => "refused-stream", "refused stream";
        /// One try took too long.
        PerTryTimeout => "per-try-timeout", "per-try timeout";
        /// The whole call took too long (a client's or an application's own retry).
        Timeout => "timeout", "timeout";
        /// A gRPC status the rule lists.
        GrpcStatus => "grpc-status", "gRPC status";
        /// Time to hedge.
        HedgeDelay => "hedge-delay", "hedge delay";
        /// The endpoint was of the wrong kind; the next one is asked.
        NextTarget => "next-target", "next target";
    }
}

/// Why an attempt exists that is not the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Why {
    /// The rule that asked for it; none when it is the application's or the client's own.
    pub origin: Option<OriginId>,
    /// The condition it saw.
    pub condition: RetryCondition,
}

words! {
    /// The limit that refused a call or an attempt.
    Limit {
        /// Most connections of a cluster.
        Connections => "connections", "connection limit";
        /// Most requests waiting for a connection.
        Pending => "pending", "pending-request limit";
        /// Most requests of a cluster at once.
        Requests => "requests", "request limit";
        /// Most retries of a cluster at once.
        Retries => "retries", "concurrent-retry limit";
        /// The retry budget.
        RetryBudget => "retryBudget", "retry budget";
        /// A rate limit.
        Rate => "rate", "rate limit";
        /// A `Breaker`.
        Breaker => "breaker", "breaker";
        /// No healthy endpoint.
        NoHealthy => "noHealthy", "no healthy endpoint";
        /// Authentication or authorisation.
        Authorization => "authorization", "authorisation";
        /// No route.
        NoRoute => "noRoute", "no route";
        /// An injected abort.
        FaultAbort => "faultAbort", "injected abort";
        /// The bounded queue of an application.
        Queue => "queue", "application queue";
    }
}

words! {
    /// What about a connection made a proxy refuse it.
    Refusal {
        /// It came without mutual TLS where nothing else is taken.
        MutualTls => "mutualTls", "demand for mutual TLS";
        /// Its handshake showed no certificate of the mesh.
        NoCertificate => "noCertificate", "demand for a certificate";
        /// No filter chain takes what it began with.
        NoFilterChain => "noFilterChain", "lack of a filter chain";
        /// No listener takes it.
        NoListener => "noListener", "lack of a listener";
        /// Its destination is not known, and unknown ones are forbidden.
        UnknownDestination => "unknownDestination", "ban on unknown destinations";
        /// Most connections of a listener.
        Connections => "connections", "connection limit";
    }
}

words! {
    /// Why an endpoint was taken out.
    EjectionReason {
        /// Failures in a row, 5xx.
        Consecutive5xx => "consecutive5xx", "5xx in a row";
        /// Gateway failures in a row.
        ConsecutiveGateway => "consecutiveGateway", "gateway failures in a row";
        /// Failures in a row that started here.
        ConsecutiveLocal => "consecutiveLocal", "local failures in a row";
        /// Success rate far below the others'.
        SuccessRate => "successRate", "success rate";
        /// Failure percentage.
        FailurePercentage => "failurePercentage", "failure percentage";
        /// Linkerd's failure accrual.
        FailureAccrual => "failureAccrual", "failure accrual";
        /// An active health check.
        HealthCheck => "healthCheck", "health check";
        /// Passive checks of a gateway.
        PassiveCheck => "passiveCheck", "passive health check";
    }
}

words! {
    /// How an application dealt with a request it was given.
    Handled {
        /// Answered, and the caller was still there.
        Served => "served", "served";
        /// Answered with an error, and the caller was still there.
        Failed => "failed", "failed";
        /// Worked on although the caller had gone.
        Wasted => "wasted", "worked for nobody";
        /// Turned away by a full queue.
        Refused => "refused", "turned away";
        /// Given up because the caller had gone.
        Abandoned => "abandoned", "given up";
        /// Lost by a crash.
        Lost => "lost", "lost by a crash";
    }
}
