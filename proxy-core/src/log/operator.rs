//! What formats may say of an exchange or a connection.
//!
//! Source: envoy `source/common/formatter` (1.40): the names, their parameters, and what each gives.

use super::{TimeFormat, Wants};

/// One thing that a format says.
#[derive(Clone, PartialEq, Debug)]
pub enum Operator {
    /// When it began.
    StartTime(TimeFormat),
    /// When the record is written.
    EmitTime(TimeFormat),
    /// From one moment to another; nothing unless both came.
    Lasted {
        /// From when on.
        from: Moment,
        /// Until when.
        to: Moment,
        /// In what it is counted.
        unit: TimeUnit,
    },
    /// A header of the request as it left, or else as it came.
    RequestHeader(Wanted),
    /// A header of the response as it was sent.
    ResponseHeader(Wanted),
    /// A trailer of the response.
    ResponseTrailer(Wanted),
    /// Bytes of names and values.
    HeaderBytes(HeaderBytes),
    /// The path.
    Path {
        /// Which one.
        kind: PathKind,
        /// Whether its query stands behind it.
        query: bool,
    },
    /// The query, without its mark.
    Query,
    /// The first value of a parameter of the query.
    QueryParameter(Box<str>),
    /// `HTTP/1.1`.
    Protocol,
    /// The same of the try.
    UpstreamProtocol,
    /// The status; 0: none was sent.
    ResponseCode,
    /// Why it is as it is, blanks replaced unless they are kept.
    ResponseCodeDetails {
        /// Whether blanks are kept.
        blanks: bool,
    },
    /// Flags, by their letters or by their names.
    Flags {
        /// By their names.
        long: bool,
    },
    /// Why a connection ended.
    ConnectionTerminationDetails,
    /// Bytes of the request's body, or of what a client sent.
    BytesReceived,
    /// Bytes of the response's body, or of what a client got.
    BytesSent,
    /// The body of the node's own answer, which is only there while it is made: an empty text.
    LocalReplyBody,
    /// Which kind of record this is.
    AccessLogType,
    /// `grpc-status` of a gRPC request's answer.
    GrpcStatus(GrpcForm),
    /// An address.
    Address(Whose, AddressPart),
    /// What an endpoint is called; without name its address.
    UpstreamHostName {
        /// Whether a port at its end stays.
        port: bool,
    },
    /// Endpoints that were tried, in their order.
    UpstreamHostsAttempted {
        /// Whether their ports stand behind them.
        port: bool,
    },
    /// The name of the cluster.
    UpstreamCluster,
    /// How many tries there were.
    UpstreamAttempts,
    /// Why connecting failed.
    UpstreamTransportFailure,
    /// The number of the connection to the endpoint.
    UpstreamConnectionId,
    /// The server name in the TLS hello.
    RequestedServerName,
    /// The route's name.
    RouteName,
    /// The virtual cluster: there are none.
    VirtualClusterName,
    /// The name of the filter chain.
    FilterChainName,
    /// The number of the client's connection.
    ConnectionId,
    /// A number for the stream: its request id where that is a UUID, else drawn.
    StreamId,
    /// A number for the line.
    UniqueId,
    /// The machine's name.
    Hostname,
    /// A variable of the environment.
    Environment(Box<str>),
    /// What a handshake agreed upon and what was shown in it.
    Tls(End, TlsFact),
    /// Something that is known to Envoy and never there in this node.
    Absent,
}

/// A header, or another where that is not there. Lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The header.
    pub name: Box<str>,
    /// The other one.
    pub otherwise: Option<Box<str>>,
}

/// Something that happens in the life of an exchange.
///
/// Source: Envoy `COMMON_DURATION`, the names of its time points.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Moment {
    /// The request begins (`DS_RX_BEG`).
    Start,
    /// The request is complete (`DS_RX_END`).
    RequestEnd,
    /// The try begins to be sent (`US_TX_BEG`).
    UpstreamRequestStart,
    /// The try is sent (`US_TX_END`).
    UpstreamRequestEnd,
    /// Its response begins (`US_RX_BEG`).
    UpstreamResponseStart,
    /// Its response is complete (`US_RX_END`).
    UpstreamResponseEnd,
    /// The answer begins to be sent (`DS_TX_BEG`).
    ResponseStart,
    /// The answer is sent (`DS_TX_END`).
    ResponseEnd,
    /// All is over.
    End,
}

impl Moment {
    /// By Envoy's name for it; none: there is no such point here.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "DS_RX_BEG" => Self::Start,
            "DS_RX_END" => Self::RequestEnd,
            "US_TX_BEG" => Self::UpstreamRequestStart,
            "US_TX_END" => Self::UpstreamRequestEnd,
            "US_RX_BEG" => Self::UpstreamResponseStart,
            "US_RX_END" => Self::UpstreamResponseEnd,
            "DS_TX_BEG" => Self::ResponseStart,
            "DS_TX_END" => Self::ResponseEnd,
            _ => return None,
        })
    }
}

/// In what a length of time is counted; what is left over is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum TimeUnit {
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

/// Whose names and values are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum HeaderBytes {
    /// Those of the request.
    Request,
    /// Those of the response.
    Response,
    /// Those of the response's trailers.
    Trailers,
}

/// Which path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum PathKind {
    /// That before any rewrite (`ORIG`).
    Original,
    /// That after it (`PATH`).
    Rewritten,
    /// That before, else that after (`ORIG_OR_PATH`).
    OriginalOrRewritten,
}

/// How a gRPC status is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum GrpcForm {
    /// `DeadlineExceeded`.
    Camel,
    /// `DEADLINE_EXCEEDED`.
    Snake,
    /// `4`.
    Number,
}

/// Whose address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Whose {
    /// The client, as far as headers say and are believed.
    Client,
    /// Whoever holds the other end of the client's connection.
    Peer,
    /// The near end of the client's connection, or where it was meant to go.
    Local,
    /// The near end of the client's connection.
    DirectLocal,
    /// The endpoint that was chosen.
    Upstream,
    /// The endpoint, where a connection to it was there.
    UpstreamPeer,
    /// The near end of that connection.
    UpstreamLocal,
}

/// Which part of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum AddressPart {
    /// All of it.
    Whole,
    /// Without the port.
    WithoutPort,
    /// The port.
    Port,
}

/// Which connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum End {
    /// The client's.
    Downstream,
    /// That to the endpoint.
    Upstream,
}

/// What a handshake has brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum TlsFact {
    /// `TLSv1.3`.
    Version,
    /// `TLS_AES_128_GCM_SHA256`.
    Cipher,
    /// Something of a certificate.
    Of(Certificate, Subject),
}

/// Whose certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Certificate {
    /// The other end's.
    Peer,
    /// One's own.
    Own,
}

/// What of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Subject {
    /// Its subject.
    Subject,
    /// Who issued it.
    Issuer,
    /// Its number.
    Serial,
    /// The hash of it (SHA-256).
    Fingerprint,
    /// The hash of it (SHA-1).
    OldFingerprint,
    /// Names of the kind URI.
    Uris,
    /// Names of the kind DNS.
    Names,
    /// All of it, as PEM in URL encoding.
    Pem,
}

impl Operator {
    /// What a driver has to keep for it.
    pub(super) const fn wants(&self) -> Wants {
        Wants {
            response: matches!(
                self,
                Self::ResponseHeader(_) | Self::HeaderBytes(HeaderBytes::Response)
            ),
            trailers: matches!(
                self,
                Self::ResponseTrailer(_) | Self::HeaderBytes(HeaderBytes::Trailers)
            ),
        }
    }
}
