//! What a record says.

use smallvec::SmallVec;

use crate::draw::DrawKey;
use crate::event::AttemptFailure;
use crate::ids::{ClusterId, DownstreamId, EndpointSlot, UpstreamId};
use crate::reply::{Details, Flags};
use crate::time::Time;

/// What a record is of.
///
/// Source: Envoy v3 `AccessLogType`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum LogKind {
    /// A connection, to its listener's logs.
    NotSet,
    /// An exchange that is over.
    DownstreamEnd,
    /// A carried connection whose endpoint has just been reached.
    TcpUpstreamConnected,
    /// A carried connection that goes on.
    TcpPeriodic,
    /// A carried connection that is over.
    TcpConnectionEnd,
}

impl LogKind {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotSet => "NotSet",
            Self::DownstreamEnd => "DownstreamEnd",
            Self::TcpUpstreamConnected => "TcpUpstreamConnected",
            Self::TcpPeriodic => "TcpPeriodic",
            Self::TcpConnectionEnd => "TcpConnectionEnd",
        }
    }
}

/// An exchange, or a connection, that is over.
#[derive(Clone, Debug)]
pub struct LogRecord {
    /// What it is a record of.
    pub kind: LogKind,
    /// The client's connection.
    pub downstream: DownstreamId,
    /// Status sent; 0: none was, or it was no HTTP.
    pub status: u16,
    /// Why it is as it is.
    pub flags: Flags,
    /// The same in words.
    pub details: Details,
    /// Whether the client spoke HTTP/2.
    pub http2: bool,
    /// Bytes of the request's body, or from the client.
    pub received: u64,
    /// Bytes of the response's body without those of the node's own answers, or to the client.
    pub sent: u64,
    /// What the response said of gRPC.
    pub grpc: Option<u32>,
    /// Tries.
    pub attempts: u16,
    /// Where the last try went, or the one that was answered.
    pub cluster: Option<ClusterId>,
    /// To which endpoint.
    pub endpoint: Option<EndpointSlot>,
    /// Over which connection.
    pub upstream: Option<UpstreamId>,
    /// Endpoints to which tries were sent, in their order.
    pub attempted: SmallVec<[EndpointSlot; 2]>,
    /// Why the last try could not connect, if that is how it ended.
    pub failure: Option<AttemptFailure>,
    /// When what happened.
    pub moments: Moments,
    /// Names the draws of what is made for it alone, such as a number for its line.
    pub key: DrawKey,
}

/// When what happened; what did not is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Moments {
    /// The request began.
    pub start: Time,
    /// It was complete.
    pub request_end: Option<Time>,
    /// The try began to be sent.
    pub upstream_request_start: Option<Time>,
    /// It was sent.
    pub upstream_request_end: Option<Time>,
    /// Its response began.
    pub upstream_response_start: Option<Time>,
    /// Its response was complete.
    pub upstream_response_end: Option<Time>,
    /// The answer began to be sent.
    pub response_start: Option<Time>,
    /// The answer was sent.
    pub response_end: Option<Time>,
    /// All was over.
    pub end: Time,
}

impl Moments {
    /// One of them.
    #[must_use]
    pub const fn at(&self, moment: super::Moment) -> Option<Time> {
        use super::Moment;
        match moment {
            Moment::Start => Some(self.start),
            Moment::RequestEnd => self.request_end,
            Moment::UpstreamRequestStart => self.upstream_request_start,
            Moment::UpstreamRequestEnd => self.upstream_request_end,
            Moment::UpstreamResponseStart => self.upstream_response_start,
            Moment::UpstreamResponseEnd => self.upstream_response_end,
            Moment::ResponseStart => self.response_start,
            Moment::ResponseEnd => self.response_end,
            Moment::End => Some(self.end),
        }
    }
}
