//! What a world consists of: pods, proxies, connections and the requests on them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use manifests::model::{Model, NodeRef, Place};
use proxy_core::config::Name;
use proxy_core::draw::DrawKey;
use proxy_core::heads::HeadId;
use proxy_core::ids::{AttemptId, DownstreamId, ExchangeId, UpstreamId};
use proxy_core::node::{HealthCheckId, Node, TimerId};
use proxy_core::shared::PlainState;
use proxy_core::time::Time;
use reports::ids::EdgeId;
use reports::outcome::{AttemptKind, ErrorReason, Why};
use scenarios::app::{AppTimer, Failure, JobId, Replica, TryId};
use scenarios::client::{ClientTimer, Clients};
use scenarios::plan::{HandlerId, NodeId, ZoneId};
use smallvec::SmallVec;
use std::collections::VecDeque;

use crate::slab::Key;

/// No pod: somebody outside.
pub(crate) const OUTSIDE: u32 = u32::MAX;

/// A message that arrives at once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Handed {
    /// As [`Event::Request`].
    Request(Key),
    /// As [`Event::Response`].
    Response(Key),
}

/// One thing that will happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// A timer of a worker's node.
    Node(u32, TimerId),
    /// A timer of a pod's application.
    App(u32, AppTimer),
    /// A timer of a load's clients.
    Client(u32, ClientTimer),
    /// A request reaches the server's end of its connection.
    Request(Key),
    /// A worker gets to a request that waited for its processor.
    RequestPaid(Key),
    /// A response reaches the client's end.
    Response(Key),
    /// A worker gets to a response that waited for its processor.
    ResponsePaid(Key),
    /// The server's end learns that a request is no longer wanted.
    Unwanted(Key),
    /// A request could not even be sent.
    Unsent(Key, Failure),
    /// A connection reaches its server.
    Accept(Key),
    /// A connection stands for who opened it.
    Established(Key),
    /// Who opened a connection learns that it does not stand.
    Refused(Key, Failure),
    /// The server's end learns that the connection was closed.
    ClosedByClient(Key),
    /// The client's end learns that the connection was closed.
    ClosedByServer(Key),
    /// A worker may have nothing to do.
    WorkerIdle(u32),
    /// A health check has its answer.
    Probed(u32, HealthCheckId, Option<u16>),
    /// The cluster knows what has become of a workload's pods.
    Endpoints(u32),
    /// A fault of the plan begins or ends.
    Fault(u32, bool),
    /// A change of the plan is made.
    Change(u32),
    /// A configuration reaches a proxy: model number, and the change that brings it.
    Configure {
        proxy: u32,
        model: u32,
        change: Option<u32>,
    },
    /// A pod that drains is looked at.
    Drained(u32),
    /// A rollout of a workload goes on.
    Rollout(u32),
}

/// One pod.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) workload: u32,
    pub(crate) version: u32,
    /// Its slot among the workload's addresses.
    pub(crate) ordinal: u32,
    pub(crate) ip: IpAddr,
    pub(crate) name: Name,
    pub(crate) node: NodeId,
    pub(crate) zone: ZoneId,
    pub(crate) place: Place,
    /// What it runs; a gateway's pods run none.
    pub(crate) app: Option<Box<Replica>>,
    /// The last request's head, and the application's handler for it.
    pub(crate) last_handler: Option<(HeadId, Option<HandlerId>)>,
    pub(crate) sidecar: Option<u32>,
    pub(crate) gateway: Option<u32>,
    /// Names the draws of its own connections.
    pub(crate) key: DrawKey,
    pub(crate) dialled: u64,
    /// Connections that its application keeps, by destination.
    pub(crate) pools: Vec<Pool>,
    /// The requests of its application's tries.
    pub(crate) tries: Vec<Sent>,
    pub(crate) ready: bool,
    pub(crate) draining: bool,
    pub(crate) gone: bool,
    /// Faults that take its certificate, or its names, away.
    pub(crate) expired: u32,
    pub(crate) nameless: u32,
    /// Outages that hold it down.
    pub(crate) dark: u32,
    /// What was last told of it.
    pub(crate) gauges: Gauges,
    /// When it began to drain.
    pub(crate) drains_since: Time,
}

/// How full a pod is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) busy: u32,
    pub(crate) waiting: u32,
    pub(crate) slots: u32,
}

/// A try of an application or a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Its request.
    pub(crate) request: Key,
    /// The edge over which it left the pod for good, through whatever proxy.
    pub(crate) went: Option<EdgeId>,
}

impl Sent {
    pub(crate) const NOTHING: Self = Self {
        request: Key::NONE,
        went: None,
    };
}

/// One proxy process.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) node: NodeRef,
    pub(crate) pod: u32,
    pub(crate) workers: core::ops::Range<u32>,
    pub(crate) shared: PlainState,
    pub(crate) model: Arc<Model>,
    /// Which of the models it has, by number.
    pub(crate) model_number: u32,
    /// Names the configuration in force, for what is kept by configuration.
    pub(crate) config: u32,
    pub(crate) busy: u32,
    pub(crate) report: reports::ids::ProxyId,
    /// Whether its process died and another took its place.
    pub(crate) dead: bool,
}

/// One worker of a proxy.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) node: Node,
    pub(crate) proxy: u32,
    pub(crate) pod: u32,
    /// By number of the node's upstream connection.
    pub(crate) upstreams: Vec<Key>,
    /// When its processor is free.
    pub(crate) free_at: Time,
    pub(crate) is_busy: bool,
}

/// Connections that a client keeps to one destination.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    /// Standing ones without a request, the one used last at the end; of HTTP/2 all standing ones.
    pub(crate) idle: Vec<Key>,
    /// Those that stand or are being opened.
    pub(crate) open: u32,
    /// Requests that wait for one.
    pub(crate) waiting: VecDeque<Key>,
}

/// Whose pool it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PoolOf {
    Load(u32),
    Pod(u32),
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Opener {
    Pool { of: PoolOf, dest: u32 },
    Node { worker: u32, upstream: UpstreamId },
}

/// Who took it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Taker {
    Nobody,
    App(u32),
    Node {
        worker: u32,
        downstream: DownstreamId,
    },
    /// A proxy carries its bytes over this connection.
    Pipe {
        worker: u32,
        downstream: DownstreamId,
        onward: Key,
    },
}

/// How far apart the ends of a connection are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Distance {
    SamePod,
    SameNode,
    SameZone,
    CrossZone,
    External,
}

/// A TLS hello.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    pub(crate) sni: Box<str>,
    pub(crate) alpn: Vec<Box<str>>,
    /// The identity that the client presents.
    pub(crate) identity: Option<Box<str>>,
    /// The identity that the server must present.
    pub(crate) expects: Option<Box<str>>,
    /// The pod whose certificate the client presents.
    pub(crate) pod: u32,
}

/// How far the server is with a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// Not accepted yet.
    Coming,
    /// Accepted; it waits for the first bytes.
    Unseen,
    /// It takes requests, or carries bytes.
    Serving,
}

/// A connection.
#[derive(Clone, Debug)]
pub(crate) struct Conn {
    pub(crate) opener: Opener,
    pub(crate) taker: Taker,
    /// Pods at its ends.
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// The load whose client is at the near end.
    pub(crate) load: u32,
    pub(crate) dest: SocketAddr,
    pub(crate) distance: Distance,
    /// The near end is a pod's own proxy, which goes straight to the application.
    pub(crate) from_own_proxy: bool,
    pub(crate) stage: Stage,
    pub(crate) http2: bool,
    /// Whether it carries bytes that nobody has looked into.
    pub(crate) carries: bool,
    pub(crate) hello: Option<Box<Hello>>,
    pub(crate) terminated: bool,
    pub(crate) established: bool,
    pub(crate) closed_by_client: bool,
    pub(crate) closed_by_server: bool,
    /// Requests under way.
    pub(crate) active: SmallVec<[Key; 2]>,
    /// Requests that wait until it stands.
    pub(crate) waiting: SmallVec<[Key; 1]>,
    /// Requests that came before the server was ready for them.
    pub(crate) early: SmallVec<[Key; 1]>,
    /// The edge that its requests count on, once that is known.
    pub(crate) edge: Option<EdgeId>,
    /// The earliest that the next message of each direction may arrive.
    pub(crate) arrives: [Time; 2],
    pub(crate) key: DrawKey,
}

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sender {
    Load {
        load: u32,
        call: TryId,
    },
    App {
        pod: u32,
        call: TryId,
    },
    Attempt {
        worker: u32,
        attempt: AttemptId,
    },
    /// The bytes of this request, carried on.
    Pipe(Key),
    /// A proxy's copy.
    Nobody,
}

/// Who works on it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    Nobody,
    App { pod: u32, job: JobId },
    Node { worker: u32, exchange: ExchangeId },
    Pipe(Key),
}

/// A request on a connection, with its response.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) conn: Key,
    pub(crate) sender: Sender,
    pub(crate) server: Server,
    pub(crate) head: HeadId,
    pub(crate) size: u64,
    pub(crate) key: DrawKey,
    /// How many connections it has come over.
    pub(crate) hop: u16,
    pub(crate) response: HeadId,
    pub(crate) response_size: u64,
    /// Why the response is no success.
    pub(crate) reason: ErrorReason,
    /// Whether it has left for the server.
    pub(crate) is_sent: bool,
    /// The client's side is done with it; likewise the server's.
    pub(crate) client_done: bool,
    pub(crate) server_done: bool,
    /// As a try of a proxy: how it went is known there.
    pub(crate) is_over: bool,
    /// What kind of try it is.
    pub(crate) kind: AttemptKind,
    pub(crate) why: Option<Why>,
    pub(crate) sent: Time,
    /// When the application or the client that sends it has waited long enough.
    pub(crate) due: Time,
    /// The edge it counts on, once it is under way between pods.
    pub(crate) edge: Option<EdgeId>,
    /// Number of the watched request it belongs to, plus one.
    pub(crate) watched: u32,
}

/// What there is of a request besides, once a proxy works on it: kept aside, so that those between applications stay small.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// The request; another took its place when this is not the one that is asked for.
    pub(crate) of: Key,
    /// The requests of its tries.
    pub(crate) attempts: SmallVec<[(u16, Key); 1]>,
    /// Why the next try is sent.
    pub(crate) retried: Option<Why>,
    /// The configuration its proxy had.
    pub(crate) config: u32,
    /// The edge over which its last try went.
    pub(crate) went: Option<EdgeId>,
}

impl Exchange {
    /// Of no request.
    pub(crate) fn nobodys() -> Self {
        Self {
            of: Key::NONE,
            attempts: SmallVec::new(),
            retried: None,
            config: 0,
            went: None,
        }
    }
}

/// One load.
#[derive(Debug)]
pub(crate) struct LoadState {
    pub(crate) clients: Clients,
    pub(crate) tries: Vec<Sent>,
    pub(crate) pools: Vec<Pool>,
    /// Where each request of the plan goes.
    pub(crate) dests: Vec<u32>,
    pub(crate) dialled: u64,
    pub(crate) key: DrawKey,
    /// Whose turn it is, of a load that comes from pods.
    pub(crate) turn: u64,
}

/// Pods with the address at which each is dialled.
pub(crate) type Targets = Arc<[(u32, SocketAddr)]>;

/// Where clients send to.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Dest {
    /// A Service's port.
    Service { service: u32, port: u16 },
    /// Pods of a gateway's workload, on the port that its proxies listen on.
    Gateway {
        workload: u32,
        port: u16,
        /// The name that clients ask for, where they speak TLS.
        tls: Option<Box<str>>,
    },
    /// An address.
    Address(SocketAddr),
    /// A name that stands for nothing.
    Unknown,
}
