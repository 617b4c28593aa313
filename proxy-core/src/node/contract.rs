//! What goes into a node and what comes out of it.

use core::net::{IpAddr, SocketAddr};

use crate::config::{CloseReason, PrefaceVersion};
use crate::draw::DrawKey;
use crate::event::Event;
use crate::heads::{Asks, HeadId};
use crate::ids::{
    AttemptId, ClusterId, DownstreamId, EndpointSlot, ExchangeId, SessionId, UpstreamId,
};
use crate::reply::LocalReply;
use crate::route::Copied;
use crate::time::{Duration, Time};

/// What a driver lends for one call.
pub struct Cx<'a, S, H> {
    /// The moment of the call; never before that of an earlier call.
    pub now: Time,
    /// What the workers of the process share.
    pub shared: &'a mut S,
    /// The heads in flight.
    pub heads: &'a H,
}

/// How a connection reached the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Arrival {
    /// Dialled on a socket of the node.
    Dialled,
    /// The pod's own outgoing connection, intercepted.
    Outbound,
    /// A connection to the pod, intercepted.
    Inbound,
    /// Not a connection: datagrams on a socket of the node.
    Datagrams,
}

/// A connection that was accepted, before a byte of it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accept {
    /// The driver's own number for it.
    pub token: u64,
    /// Which way it came.
    pub arrival: Arrival,
    /// Who opened it.
    pub source: SocketAddr,
    /// The address by which its listener is found: that of the dialled socket, or the destination of an intercepted connection.
    pub at: SocketAddr,
    /// Where it was meant to go: what a header of the PROXY protocol says, else the dialled socket, or the original destination of an intercepted connection.
    pub destination: SocketAddr,
}

/// A client's datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// Who sent it.
    pub source: SocketAddr,
    /// Where it was sent to: an address of the socket that it came to, never an unspecified one.
    pub destination: SocketAddr,
}

/// What the first bytes of a connection show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peek<'a> {
    /// A TLS hello, with its server name and application protocols.
    pub tls: Option<TlsHello<'a>>,
    /// Of a plaintext connection: what it looks like.
    pub protocol: PeekedProtocol,
}

/// A TLS hello.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TlsHello<'a> {
    /// Server name.
    pub sni: Option<&'a str>,
    /// Application protocols, best first.
    pub alpn: &'a [&'a str],
}

/// What plaintext bytes look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum PeekedProtocol {
    /// An HTTP/1 request line.
    Http1,
    /// The HTTP/2 preface.
    Http2,
    /// Anything else, or nothing in the detection time.
    Unknown,
}

/// A request on a connection that serves HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// The driver's own number for the exchange; comes back with every action for it.
    pub token: u64,
    /// On which connection.
    pub downstream: DownstreamId,
    /// Its head, kept by the driver until the exchange ends.
    pub head: HeadId,
    /// Whether the request is complete with what came along.
    pub end: bool,
    /// Body bytes that came along.
    pub bytes: u64,
    /// Whether it came as an HTTP/2 stream.
    pub http2: bool,
    /// What its client asks for besides an answer.
    pub asks: Asks,
    /// Names the draws of this exchange.
    pub key: DrawKey,
}

/// Everything else that may happen to a node.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Input<'a> {
    /// Answer to [`Action::Peek`].
    Peeked {
        /// Which connection.
        downstream: DownstreamId,
        /// What was seen.
        peek: Peek<'a>,
    },
    /// Answer to [`Action::Handshake`]: TLS stands.
    Shaken {
        /// Which connection.
        downstream: DownstreamId,
        /// The peer's identity, if it presented one that is trusted.
        peer: Option<&'a str>,
    },
    /// A connection or its client is gone, with all its streams.
    DownstreamClosed {
        /// Which connection.
        downstream: DownstreamId,
    },
    /// When bytes of a carried connection came last, either way: what [`Node::asks_when_carried`](super::Node::asks_when_carried) asks.
    Carried {
        /// Which connection.
        downstream: DownstreamId,
        /// When.
        last: Time,
    },
    /// More of a request's body.
    RequestData {
        /// Whose.
        exchange: ExchangeId,
        /// How much.
        bytes: u64,
    },
    /// A request is complete.
    RequestEnd {
        /// Whose.
        exchange: ExchangeId,
    },
    /// The rest of a request cannot be read: what the client sends is no body.
    RequestBroken {
        /// Whose.
        exchange: ExchangeId,
    },
    /// The client gave this exchange up.
    DownstreamReset {
        /// Which.
        exchange: ExchangeId,
    },
    /// Answer to [`Action::Connect`]: the connection stands, its handshake included.
    Connected {
        /// Which connection.
        upstream: UpstreamId,
        /// Whether it speaks HTTP/2.
        http2: bool,
        /// Streams at a time that the peer allows, if it said.
        max_streams: Option<u32>,
    },
    /// An HTTP/2 peer has said how many streams at a time it allows from now on (`SETTINGS_MAX_CONCURRENT_STREAMS`).
    UpstreamStreams {
        /// Which connection.
        upstream: UpstreamId,
        /// So many; zero is allowed.
        max: u32,
    },
    /// Answer to [`Action::Connect`]: it could not be opened.
    ConnectFailed {
        /// Which connection.
        upstream: UpstreamId,
    },
    /// An upstream connection is gone; its streams die with it.
    UpstreamClosed {
        /// Which connection.
        upstream: UpstreamId,
    },
    /// The peer will take no more streams on this connection (GOAWAY, `Connection: close`).
    UpstreamDraining {
        /// Which connection.
        upstream: UpstreamId,
    },
    /// The head of a try's response.
    UpstreamHead {
        /// Which try.
        attempt: AttemptId,
        /// Its head, kept by the driver until the exchange ends.
        head: HeadId,
        /// Whether the response is complete with what came along.
        end: bool,
        /// Body bytes that came along.
        bytes: u64,
    },
    /// More of a try's response.
    UpstreamData {
        /// Which try.
        attempt: AttemptId,
        /// How much.
        bytes: u64,
    },
    /// A try's response is complete.
    UpstreamEnd {
        /// Which try.
        attempt: AttemptId,
        /// `grpc-status` of the trailers, if there were any.
        grpc_status: Option<u32>,
    },
    /// A try's stream was reset.
    UpstreamReset {
        /// Which try.
        attempt: AttemptId,
        /// By what.
        cause: ResetCause,
    },
    /// One side of an exchange can take no more bytes, or can again.
    Backpressure {
        /// Whose.
        exchange: ExchangeId,
        /// The side that is slow to take bytes.
        side: Side,
        /// Whether it is full.
        full: bool,
    },
    /// A timer set by [`Action::Arm`] is due. Too early is ignored, late is fine.
    Timer {
        /// Which.
        id: TimerId,
    },
    /// The answer of an active health check.
    HealthChecked {
        /// Which check.
        check: HealthCheckId,
        /// What came back; none: no answer, refused or too late.
        status: Option<u16>,
    },
    /// A session's endpoint has sent a datagram.
    Answered {
        /// Whose.
        session: SessionId,
    },
    /// The driver cannot carry a session's datagrams: it has no socket for it.
    SessionFailed {
        /// Which.
        session: SessionId,
    },
    /// Stop taking requests: finish what is under way, then close.
    Drain,
}

/// What reset a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ResetCause {
    /// The connection was closed under it.
    ConnectionClosed,
    /// The peer reset it.
    Remote,
    /// The peer refused it before doing anything for it.
    Refused,
    /// The peer broke the protocol.
    Protocol,
}

/// The two sides of an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Side {
    /// The client.
    Downstream,
    /// The endpoint.
    Upstream,
}

/// An active health check of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct HealthCheckId {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Of which endpoint.
    pub endpoint: EndpointSlot,
    /// Which of the cluster's checks.
    pub check: u8,
}

/// A timer of a node. Opaque to drivers; a timer that is no longer wanted is ignored when it fires.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TimerId {
    pub(crate) kind: TimerKind,
    pub(crate) index: u32,
    pub(crate) generation: u32,
    /// Number of the try, or of the arming.
    pub(crate) number: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum TimerKind {
    Route,
    PerTry,
    PerTryIdle,
    Backoff,
    StreamIdle,
    MaxStream,
    RequestArrival,
    FaultDelay,
    QueueWait,
    Connect,
    UpstreamIdle,
    UpstreamAge,
    DownstreamIdle,
    DownstreamDrain,
    DownstreamAge,
    CarriedIdle,
    CarriedLog,
    OutlierSweep,
    AccrualEnd,
    PassiveEnd,
    GateDelay,
    HealthCheck,
    HealthCheckTimeout,
    SessionIdle,
}

/// How a driver may keep a timer: all timers of one lane have one length, so a lane is a FIFO queue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum TimerClass {
    /// Set this long before it is due.
    Lane(Duration),
    /// Any length.
    Single,
}

/// Whom an action concerns, with the driver's own number for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Target {
    /// The node as a whole.
    Node,
    /// A client's connection.
    Downstream(DownstreamId, u64),
    /// A connection to an endpoint.
    Upstream(UpstreamId),
    /// An exchange.
    Exchange(ExchangeId, u64),
    /// A client whose datagrams go to one endpoint.
    Session(SessionId),
}

/// What a driver has to do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Action {
    /// Look at the first bytes of a connection without taking them.
    Peek,
    /// Do the server's part of a TLS handshake; [`Node::handshake`](super::Node::handshake) has the particulars.
    Handshake,
    /// Read requests from the connection.
    ServeHttp,
    /// Carry the connection's bytes to this upstream connection and back, both now standing.
    Splice(UpstreamId),
    /// Close a client's connection.
    CloseDownstream(CloseReason),
    /// Tell the client that its connection takes no more requests (HTTP/1.1: with the next answer; HTTP/2: GOAWAY). Those under way go on, and one
    /// that crosses the news is served.
    DrainDownstream,
    /// Open a connection; [`Node::connect`](super::Node::connect) has the particulars.
    Connect {
        /// Where to.
        address: SocketAddr,
    },
    /// Close a connection to an endpoint.
    CloseUpstream,
    /// A session is over and its id invalid: its socket may be closed.
    EndSession,
    /// Send the request, from its start and with all of it that was kept, over a standing connection.
    Dispatch {
        /// As which try.
        attempt: AttemptId,
        /// Over which connection.
        upstream: UpstreamId,
    },
    /// Keep no more of the request's body: it will not be sent again.
    StopRetaining,
    /// Give up a try: reset its stream. On HTTP/1.1 that closes its connection.
    Cancel {
        /// Which.
        attempt: AttemptId,
    },
    /// Send this try's response to the client, head first, the rest as it comes.
    Forward {
        /// Which.
        attempt: AttemptId,
        /// Whether the response is complete.
        end: bool,
    },
    /// Send the head of this try's response to the client. It ends what is HTTP between the two: from now on bytes are carried both ways as
    /// they come, told as data of the request and of the response, until one side has no more.
    Switch {
        /// Which.
        attempt: AttemptId,
    },
    /// The forwarded response is complete, or broke off.
    Finish {
        /// Whether it broke off, so that the client must not take it for complete.
        broken: bool,
    },
    /// Answer the client.
    Reply(LocalReply),
    /// Take no more bytes from this side for now.
    Pause(Side),
    /// Take bytes from this side again.
    Resume(Side),
    /// The exchange is over and its id invalid; the driver may drop its heads.
    Ended,
    /// A child exchange has begun on behalf of this one: a copy of its request.
    Spawned {
        /// The child; its actions carry the token 0 until [`Node::set_token`](super::Node::set_token).
        child: ExchangeId,
    },
    /// Set a timer.
    Arm {
        /// Which.
        id: TimerId,
        /// When it is due.
        at: Time,
        /// How it may be kept.
        class: TimerClass,
    },
    /// A timer is no longer wanted. A driver may ignore this.
    Disarm {
        /// Which.
        id: TimerId,
    },
    /// Send an active health check.
    Probe {
        /// Which.
        check: HealthCheckId,
        /// Where to.
        address: SocketAddr,
    },
    /// Write a record of the exchange, or of the client's connection, to its access logs; [`Node::logged`](super::Node::logged) has it.
    Log {
        /// Which.
        record: u32,
    },
    /// A fact for metrics or a report.
    Record(Event),
}

/// The particulars of a handshake with a client.
#[derive(Clone, Copy, Debug)]
pub struct HandshakePlan<'a> {
    /// Whether the client must present a mesh identity.
    pub mutual: bool,
    /// Application protocols offered.
    pub alpn: &'a [Box<str>],
    /// Certificate or identity presented.
    pub certificate: &'a str,
}

/// The particulars of a connection to an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct ConnectPlan<'a> {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Which endpoint.
    pub endpoint: EndpointSlot,
    /// Whether HTTP/2 is to be spoken (without TLS: by prior knowledge).
    pub http2: bool,
    /// TLS, if any.
    pub tls: Option<TlsPlan<'a>>,
    /// Carries bytes rather than requests.
    pub tcp: bool,
    /// Address that the connection comes from; none: the system chooses.
    pub source: Option<IpAddr>,
    /// The header of the PROXY protocol that it begins with, if any.
    pub preface: Option<(PrefaceVersion, Option<Ends>)>,
}

/// The two ends of a client's connection: where it comes from, and where it was meant to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// What it dialled.
    pub destination: SocketAddr,
}

/// The particulars of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionPlan<'a> {
    /// The client.
    pub client: SocketAddr,
    /// Where it sent its datagrams to, and where those that come back are sent from.
    pub local: SocketAddr,
    /// Of which cluster its endpoint is.
    pub cluster: ClusterId,
    /// Where its datagrams go.
    pub endpoint: SocketAddr,
    /// Address that they come from there; none: the system chooses.
    pub source: Option<IpAddr>,
    /// The rule that takes them.
    pub route: &'a crate::config::UdpRoute,
}

/// TLS toward an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct TlsPlan<'a> {
    /// Server name sent.
    pub sni: &'a str,
    /// Application protocols offered.
    pub alpn: &'a [Box<str>],
    /// Certificate or identity presented.
    pub certificate: Option<&'a str>,
    /// The identity that the endpoint must present (mesh), else its name is checked.
    pub peer: Option<&'a str>,
}

/// How a request leaves toward an endpoint, in a form that can be compared: two requests with equal heads and equal
/// keys leave with equal heads.
///
/// Its fields are numbers that fill it without a gap, so that two keys are compared in a few steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct EditKey {
    /// Whether anything is changed; if not, all is zero.
    pub(crate) changes: bool,
    pub(crate) copied: Copied,
    pub(crate) attempt_count: u16,
    pub(crate) weighted: u16,
    pub(crate) section: u16,
    pub(crate) table: u32,
    pub(crate) host: u32,
    pub(crate) route: u32,
    /// Endpoint's host name where the authority is rewritten to it, plus one.
    pub(crate) endpoint: u32,
    pub(crate) timeout_ms: u64,
}

/// Keys that differ in what is hashed here are most of those that differ at all; the others are told apart by comparison.
impl core::hash::Hash for EditKey {
    #[inline]
    fn hash<S: core::hash::Hasher>(&self, state: &mut S) {
        let of_route = u64::from(self.host) << 32 ^ u64::from(self.route) << 16;
        let of_try = u64::from(self.weighted) << 8 ^ u64::from(self.attempt_count);
        state.write_u64(of_route ^ of_try);
        state.write_u64(u64::from(self.endpoint) << 48 ^ self.timeout_ms);
    }
}

impl EditKey {
    /// Nothing is changed.
    pub const NONE: Self = Self {
        changes: false,
        copied: Copied::Not,
        attempt_count: 0,
        weighted: 0,
        section: 0,
        table: 0,
        host: 0,
        route: 0,
        endpoint: 0,
        timeout_ms: 0,
    };
}

/// A route in a node's configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct RouteRef {
    /// Section.
    pub section: u16,
    /// Table in the section.
    pub table: u32,
    /// Virtual host in the table.
    pub host: u32,
    /// Route in the virtual host.
    pub route: u32,
}

/// Who a node is, beyond its configuration, which it may share with others.
#[derive(Clone, PartialEq, Debug)]
pub struct Identity {
    /// Names the node's own draws (sweeps, probes, start offsets).
    pub key: DrawKey,
    /// `region/zone/subzone`, as far as known.
    pub locality: crate::config::Name,
    /// Nanoseconds since 1970 at the node's time zero: what calendar rules and certificates go by.
    pub epoch_nanos: u64,
    /// Whether this worker runs the process's sweeps and probes.
    pub elected: bool,
}

/// What changes while a node runs.
#[derive(Clone, Debug)]
pub enum Update<'a> {
    /// A whole new configuration.
    Config(std::sync::Arc<crate::config::NodeConfig>),
    /// The same with endpoints of clusters by their names, which are in the place of those of the configuration from the first moment on: what
    /// is under way to endpoints that it does not name itself goes on.
    ConfigWith {
        /// What it does from now on.
        config: std::sync::Arc<crate::config::NodeConfig>,
        /// All endpoints of some clusters.
        endpoints: &'a [(
            crate::config::Name,
            std::sync::Arc<crate::config::EndpointSet>,
        )],
    },
    /// New endpoints of one cluster, by its name. Clusters that the node has not used yet take theirs from here too.
    Endpoints {
        /// Which cluster.
        cluster: &'a str,
        /// All its endpoints.
        set: std::sync::Arc<crate::config::EndpointSet>,
    },
}
