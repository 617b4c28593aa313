//! Where connections arrive, and what is made of them.

use core::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{ClusterIndex, Fault, HeadRules, Name, TableIndex, Tracing};
use crate::limit::token_bucket;
use crate::log::Logs;
use crate::origin::{OriginId, Sourced};
use crate::time::Duration;

/// Where a listener takes its connections from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ListenerAddress {
    /// A socket of its own: clients dial it.
    Socket(SocketAddr),
    /// Outgoing traffic of the pod, by exact original destination. Beats the port, which beats the rest.
    OutboundTo(SocketAddr),
    /// Outgoing traffic of the pod to this port of any address.
    OutboundPort(u16),
    /// Outgoing traffic that no other listener takes (Envoy: `virtualOutbound`).
    OutboundRest,
    /// Traffic that arrives for this port of the pod.
    InboundPort(u16),
    /// Arriving traffic that no other listener takes (Envoy: `virtualInbound`).
    InboundRest,
    /// A socket of its own for datagrams. Its one chain is [`ChainAction::Udp`].
    Datagrams(SocketAddr),
}

/// One listener.
#[derive(Clone, Debug)]
pub struct Listener {
    /// For logs and reports.
    pub name: Name,
    /// Where its connections come from.
    pub address: ListenerAddress,
    /// Tried by Envoy's order of specificity, not by list order; see [`ChainMatch`].
    pub chains: Vec<FilterChain>,
    /// Connections at a time; none: no bound.
    pub max_connections: Option<Sourced<u32>>,
    /// The header of the PROXY protocol that its connections begin with; none: they do not.
    pub preface: Option<Preface>,
    /// Connections at a time of all listeners of the process that have such a bound; none: it is not heeded here (Envoy:
    /// `global_downstream_max_connections`, `ignore_global_conn_limit`).
    pub process_limit: Option<Sourced<u64>>,
    /// Access logs of its connections.
    pub logs: Logs,
    /// The rule that made it.
    pub origin: OriginId,
}

/// A header of the PROXY protocol ahead of a connection's first byte: where it comes from, and where it was meant to go.
///
/// Source: Envoy v3 `listener.proxy_protocol.v3.ProxyProtocol`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Preface {
    /// Whether connections without one are served too.
    pub optional: bool,
    /// Whether it may be of version 1.
    pub v1: bool,
    /// Whether it may be of version 2.
    pub v2: bool,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum PrefaceVersion {
    /// A line of text.
    V1,
    /// Bytes.
    V2,
}

/// An address block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cidr {
    /// Network address.
    pub address: IpAddr,
    /// Leading bits that must agree.
    pub bits: u8,
}

impl Cidr {
    /// Whether `ip` lies in the block.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let shift = 32_u32.saturating_sub(u32::from(self.bits));
                shift >= 32 || (a.to_bits() ^ b.to_bits()) >> shift == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let shift = 128_u32.saturating_sub(u32::from(self.bits));
                shift >= 128 || (a.to_bits() ^ b.to_bits()) >> shift == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// A TLS server name as a filter chain matches it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServerName {
    /// The whole name, lower case.
    Exact(Box<str>),
    /// Any name that ends in this, which starts with a dot (`*.example.com` is `.example.com`).
    Suffix(Box<str>),
}

/// How the first bytes of a connection look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum TransportProtocol {
    /// Anything but a TLS hello.
    Raw,
    /// A TLS hello.
    Tls,
}

/// When a filter chain takes a connection. Empty lists and `None` match all.
///
/// Source: Envoy v3 `FilterChainMatch`: the most specific match wins in the order destination port, destination
/// address, server name, transport protocol, application protocol; a chain that demands more in an earlier step
/// shuts out those that demand less there, even when it fails a later step.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ChainMatch {
    /// Original destination port.
    pub port: Option<u16>,
    /// Original destination addresses; the longest block wins.
    pub destinations: Vec<Cidr>,
    /// Server names in the TLS hello.
    pub server_names: Vec<ServerName>,
    /// Whether the connection begins with a TLS hello.
    pub transport: Option<TransportProtocol>,
    /// Application protocols, from ALPN or detected (`http/1.1`, `h2`, `istio`, …).
    pub protocols: Vec<Box<str>>,
}

/// What is done with the bytes before the protocol.
#[derive(Clone, PartialEq, Debug)]
pub enum DownstreamTransport {
    /// As they come.
    Plaintext,
    /// TLS ends here. `mutual` asks for a client certificate of the mesh and refuses others.
    Tls {
        /// Whether the client must present a mesh identity.
        mutual: bool,
        /// Application protocols offered, best first.
        alpn: Vec<Box<str>>,
        /// Identity or certificate presented, for example `spiffe://cluster.local/ns/default/sa/a`.
        certificate: Name,
    },
}

/// One filter chain.
#[derive(Clone, Debug)]
pub struct FilterChain {
    /// When it is chosen.
    pub matches: ChainMatch,
    /// TLS or not.
    pub transport: DownstreamTransport,
    /// What the connection becomes.
    pub action: ChainAction,
    /// The rule that made it.
    pub origin: OriginId,
}

/// What a connection becomes.
#[derive(Clone, Debug)]
pub enum ChainAction {
    /// Requests are read from it.
    Http(Box<HttpConnections>),
    /// Its bytes are carried on as they are.
    Tcp(TcpRoute),
    /// Datagrams are carried on, and those that come back; only of [`ListenerAddress::Datagrams`].
    Udp(UdpRoute),
    /// It is closed.
    Close(CloseReason),
}

/// Why a connection is closed by policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum CloseReason {
    /// No filter chain takes it, for example plaintext to a STRICT server.
    NoFilterChain,
    /// No listener takes it.
    NoListener,
    /// The destination is not known and policy forbids unknown ones.
    BlackHole,
    /// Too many connections.
    ConnectionLimit,
    /// Too many connections of the whole process.
    ProcessLimit,
    /// It has lived as long as it may.
    Age,
    /// The upstream of a carried connection is gone or could not be reached.
    UpstreamFailed,
    /// Nothing happened for the idle timeout.
    Idle,
    /// The node drains.
    Drain,
    /// The client went away.
    ClientGone,
    /// The handshake failed.
    Handshake,
}

/// Connections carried as bytes.
#[derive(Clone, Debug)]
pub struct TcpRoute {
    /// Where to; weights relative to their sum.
    pub clusters: Vec<(ClusterIndex, u32)>,
    /// Closed after this long without a byte. Envoy's default is 1 h.
    pub idle_timeout: Option<Sourced<Duration>>,
    /// Further endpoints tried after a failed connect. Envoy: `max_connect_attempts` − 1, default 0.
    pub connect_retries: u32,
    /// Closed after this long, whatever is carried.
    pub max_duration: Option<Sourced<Duration>>,
    /// Access logs of its connections.
    pub logs: CarriedLogs,
    /// The rule that made it.
    pub origin: OriginId,
}

/// Datagrams that are carried on.
///
/// Source: Envoy v3 `UdpProxyConfig`.
#[derive(Clone, Debug)]
pub struct UdpRoute {
    /// What its figures are called (Envoy: `stat_prefix`).
    pub name: Name,
    /// Where to; weights relative to their sum, drawn once a session. Envoy has one cluster.
    pub clusters: Vec<(ClusterIndex, u32)>,
    /// A session ends after this long without a datagram either way; none: never. Envoy's default is 1 min.
    pub idle_timeout: Option<Sourced<Duration>>,
    /// Whether every datagram has its endpoint chosen, not only the first of a client.
    pub per_datagram: bool,
    /// What balancers that go by a hash go by; none: they draw.
    pub hash: Option<DatagramHash>,
    /// Longest datagram of a client that is carried; longer ones are dropped. Envoy's default is 1500.
    pub largest_request: u16,
    /// The same of what endpoints send. Envoy's default is any.
    pub largest_answer: u16,
    /// The rule that made it.
    pub origin: OriginId,
}

/// What a client's datagrams are told apart by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DatagramHash {
    /// Its address, without the port.
    SourceAddress,
    /// Nothing: all go by this text.
    Key(Box<str>),
}

/// Access logs of connections that are carried.
#[derive(Clone, Debug, Default)]
pub struct CarriedLogs {
    /// The logs, which have a record of each connection that is over.
    pub all: Logs,
    /// So often they have one of a connection that goes on.
    pub every: Option<Duration>,
    /// Whether they have one once a connection to the endpoint stands.
    pub connected: bool,
}

/// Whose status codes a node answers with when it has no response to forward.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ReplyProfile {
    /// facts: Envoy §13.
    Envoy,
    /// Linkerd's table: failfast 504, load shed 503, connect errors 502.
    Linkerd,
    /// Kong and NGINX: connect error 502, timeout 504, no peer 503.
    Nginx,
    /// Traefik: bad gateway 502, timeout 504, no server 503.
    Traefik,
}

/// How requests of a connection are treated.
#[derive(Clone, Debug)]
pub struct HttpConnections {
    /// Virtual hosts.
    pub table: TableIndex,
    /// Filters before the router, in their order.
    pub filters: Vec<HttpFilter>,
    /// Nothing happens on a stream for this long: 408, or 504 once the whole request has come. Envoy's default is 5 min, Istio's 0 = off.
    pub stream_idle_timeout: Option<Sourced<Duration>>,
    /// The whole request must have arrived by then: 408.
    pub request_timeout: Option<Sourced<Duration>>,
    /// A stream may live this long.
    pub max_stream_duration: Option<Sourced<Duration>>,
    /// A connection without streams is closed after this long. Envoy's default is 1 h.
    pub idle_timeout: Option<Sourced<Duration>>,
    /// A connection takes no more requests after this long, and ends with those that it has.
    pub max_connection_duration: Option<Sourced<Duration>>,
    /// The head of a request must have arrived this long after it began; else its connection is closed. None: the driver's own bound
    /// holds.
    pub head_timeout: Option<Sourced<Duration>>,
    /// Requests a connection may carry; none: no bound.
    pub max_requests_per_connection: Option<Sourced<u32>>,
    /// Request bytes kept for a retry. Envoy: 1 MiB connection buffer.
    pub retained_bytes: u64,
    /// Whose status codes.
    pub replies: ReplyProfile,
    /// Whether clients are outside: their `x-envoy-*` control headers are removed and so have no say. A head that
    /// [`Node::receive`](crate::node::Node::receive) had is judged by `heads` instead.
    pub edge: bool,
    /// What is done to heads, whatever their route; none: nothing, and they are taken as they come.
    pub heads: Option<Arc<HeadRules>>,
    /// What its connections may become besides.
    pub upgrades: Upgrades,
    /// Access logs of its requests.
    pub logs: Logs,
    /// How its requests are traced; none: they are not.
    pub tracing: Option<Arc<Tracing>>,
    /// The rule that made it.
    pub origin: OriginId,
}

/// What a connection may become where its client asks for it with `Upgrade` or with CONNECT.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Upgrades {
    /// By name; routes may have it otherwise.
    pub listed: Vec<Upgrade>,
    /// What becomes of those that are not listed.
    pub others: Unlisted,
    /// Whether clients may ask over HTTP/2 (RFC 8441, Envoy: `allow_connect`), which CONNECT itself needs not.
    pub http2: bool,
}

/// One thing that a connection may become.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upgrade {
    /// The value of `Upgrade`, whatever its case, or `CONNECT`.
    pub kind: Box<str>,
    /// Whether it may; else it is refused.
    pub allowed: bool,
    /// The rule that says so.
    pub origin: OriginId,
}

/// What becomes of a wish that no rule names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub enum Unlisted {
    /// It is refused with 403 (Envoy).
    #[default]
    Refused,
    /// It passes (Linkerd, Traefik).
    Allowed,
    /// It is not heard: the request goes on without it (NGINX, Kong).
    Unheard,
}

impl Upgrades {
    /// These may pass, all others are refused.
    #[must_use]
    pub fn of(kinds: &[&str], origin: OriginId) -> Self {
        let listed = kinds.iter().map(|kind| Upgrade {
            kind: (*kind).into(),
            allowed: true,
            origin,
        });
        Self {
            listed: listed.collect(),
            ..Self::default()
        }
    }

    /// What is said of a kind; none: nothing.
    #[must_use]
    pub fn of_kind(&self, kind: &str) -> Option<&Upgrade> {
        let mut listed = self.listed.iter();
        listed.find(|it| it.kind.eq_ignore_ascii_case(kind))
    }
}

/// One filter before the router.
#[derive(Clone, Debug)]
pub enum HttpFilter {
    /// Delays and aborts; a route may bring its own.
    Fault(Option<Fault>),
    /// A token bucket; a route may bring its own.
    LocalRateLimit(Option<LocalRateLimit>),
    /// Pages of other origins, as routes have it.
    Cors,
}

/// A token bucket in front of routes.
///
/// Source: Envoy v3 `LocalRateLimit`; one bucket a process and per place where it is configured.
#[derive(Clone, Debug)]
pub struct LocalRateLimit {
    /// Size and refill.
    pub bucket: token_bucket::Settings,
    /// Status of the refusal; 429 unless set.
    pub status: u16,
    /// Distinguishes buckets: every place of configuration has its own.
    pub name: Name,
    /// The rule that made it.
    pub origin: OriginId,
}
