//! Connections: who answers at an address, how long it takes to stand, and how it ends.

use std::net::{IpAddr, SocketAddr};

use proxy_core::draw::{DrawKey, Purpose};
use proxy_core::node::{Accept, Arrival, Input, Peek, PeekedProtocol, ResetCause, TlsHello};
use proxy_core::time::Time;
use reports::outcome::ErrorReason;
use scenarios::app::{AppInput, Failure};
use smallvec::SmallVec;

use super::World;
use super::parts::{
    Conn, Distance, Event, Handed, Hello, OUTSIDE, Opener, PoolOf, Sender, Server, Stage, Taker,
};
use crate::slab::Key;

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Up = 0,
    Down = 1,
}

/// What is wanted of a new connection.
pub(super) struct Dial {
    pub(super) opener: Opener,
    /// The pod that opens it.
    pub(super) from: u32,
    /// The load whose client opens it.
    pub(super) load: u32,
    pub(super) address: SocketAddr,
    pub(super) hello: Option<Box<Hello>>,
    pub(super) http2: bool,
    /// Nobody looks into what it carries.
    pub(super) carries: bool,
    /// Opened by the pod's own proxy: it is not intercepted again.
    pub(super) by_proxy: bool,
    pub(super) key: DrawKey,
}

impl World<'_> {
    /// Opens a connection; how it went comes as an event.
    pub(super) fn dial(&mut self, dial: Dial) -> Key {
        let intercepted = !dial.by_proxy
            && dial.from != OUTSIDE
            && self.pods[dial.from as usize].sidecar.is_some();
        let found = if intercepted {
            Some((dial.from, dial.address))
        } else {
            self.answering(dial.address, dial.key)
        };
        self.trace_dial(&dial, found);
        let (to, dest) = found.unwrap_or((OUTSIDE, dial.address));
        let distance = match found {
            Some((to, _)) if to == dial.from => Distance::SamePod,
            Some((to, _)) => self.distance(dial.from, to),
            None => Distance::External,
        };
        let hello = dial.hello.is_some();
        let conn = self.conns.insert(Conn {
            opener: dial.opener,
            taker: Taker::Nobody,
            from: dial.from,
            to,
            load: dial.load,
            dest,
            distance,
            from_own_proxy: dial.by_proxy && to == dial.from,
            stage: Stage::Coming,
            http2: dial.http2,
            carries: dial.carries,
            hello: dial.hello,
            terminated: false,
            established: false,
            closed_by_client: false,
            closed_by_server: false,
            active: SmallVec::new(),
            waiting: SmallVec::new(),
            early: SmallVec::new(),
            edge: None,
            arrives: [Time::ZERO; 2],
            key: dial.key,
        });
        if found.is_none() {
            // a Service without endpoints, or an address that nobody has: refused on the spot
            self.queue
                .push(self.now, Event::Refused(conn, Failure::Connect));
            return conn;
        }
        if self.pods[to as usize].gone {
            // nothing answers there any more, and nobody says so
            return conn;
        }
        // a TLS hello follows the TCP handshake: three ways instead of one
        let ways = if hello { 3 } else { 1 };
        let mut at = self.now;
        for leg in 0..ways {
            let Some(next) = self.travel(conn, Way::Up, at, dial.key, 100 + leg) else {
                return conn;
            };
            at = next;
        }
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.arrives[0] = at;
        }
        self.queue.push(at, Event::Accept(conn));
        conn
    }

    /// The pod that answers at an address, and the address it sees.
    fn answering(&mut self, address: SocketAddr, key: DrawKey) -> Option<(u32, SocketAddr)> {
        if let Some(service) = self.model.directory().service_at(address.ip()) {
            let targets = self.targets(service.0, address.port());
            if targets.is_empty() {
                return None;
            }
            let pick = key.below(Purpose::KubeProxy, 0, targets.len() as u64) as usize;
            let (pod, address) = targets[pick];
            return Some((pod, address));
        }
        let pod = self.pod_at(address.ip())?;
        Some((pod, address))
    }

    pub(super) fn pod_at(&self, ip: IpAddr) -> Option<u32> {
        if ip.is_loopback() {
            return None;
        }
        self.by_ip.get(&ip).copied()
    }

    pub(super) fn distance(&self, from: u32, to: u32) -> Distance {
        if from == OUTSIDE {
            return Distance::External;
        }
        let (a, b) = (&self.pods[from as usize], &self.pods[to as usize]);
        if a.node == b.node {
            Distance::SameNode
        } else if a.zone == b.zone {
            Distance::SameZone
        } else {
            Distance::CrossZone
        }
    }

    /// When a message that is sent at `at` arrives; none: never.
    pub(super) fn travel(
        &self,
        conn: Key,
        way: Way,
        at: Time,
        key: DrawKey,
        index: u32,
    ) -> Option<Time> {
        let conn = self.conns.get(conn)?;
        if conn.distance == Distance::SamePod {
            return Some(at.max(conn.arrives[way as usize]));
        }
        let arrives = if self.net.is_quiet() {
            at + self.net.latency(conn.distance, key, index)
        } else {
            self.troubled(conn, at, key, index)?
        };
        // one connection delivers in order
        Some(arrives.max(conn.arrives[way as usize]))
    }

    /// Sends a message over a connection now; none: it never arrives.
    #[inline]
    pub(super) fn deliver(
        &mut self,
        conn: Key,
        way: Way,
        key: DrawKey,
        index: u32,
        event: Event,
    ) -> Option<Time> {
        if self.net.is_instant() {
            self.hand_over(event);
            return Some(self.now);
        }
        self.deliver_later(conn, way, key, index, event)
    }

    /// Lets a message arrive now, after all else that happens now.
    #[inline]
    fn hand_over(&mut self, event: Event) {
        if self.handed.is_none() && self.queue.is_quiet() {
            if let Event::Request(key) = event {
                self.handed = Some(Handed::Request(key));
                return;
            }
            if let Event::Response(key) = event {
                self.handed = Some(Handed::Response(key));
                return;
            }
        }
        self.queue.push_now(event);
    }

    /// Sends a message over a network on which it takes time, or may be lost.
    #[inline(never)]
    fn deliver_later(
        &mut self,
        conn: Key,
        way: Way,
        key: DrawKey,
        index: u32,
        event: Event,
    ) -> Option<Time> {
        let at = self.travel(conn, way, self.now, key, index)?;
        self.conns.get_mut(conn)?.arrives[way as usize] = at;
        self.queue.push(at, event);
        Some(at)
    }

    /// A connection reaches its server.
    pub(super) fn accept(&mut self, key: Key) {
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        let (to, from, dest) = (conn.to, conn.from, conn.dest);
        let outbound = to == from && !conn.from_own_proxy;
        let pod = &self.pods[to as usize];
        if pod.gone {
            return;
        }
        let proxy = match (pod.sidecar, pod.gateway) {
            (Some(sidecar), _) if outbound => Some((sidecar, Arrival::Outbound)),
            (Some(sidecar), _) if !conn.from_own_proxy => Some((sidecar, Arrival::Inbound)),
            (_, Some(gateway)) => Some((gateway, Arrival::Dialled)),
            (_, None) => None,
        };
        match proxy {
            Some((proxy, arrival)) => self.accept_by_proxy(key, proxy, arrival),
            None => self.accept_by_app(key, to, dest),
        }
    }

    fn accept_by_app(&mut self, key: Key, pod: u32, dest: SocketAddr) {
        let listens = self.listens(pod, dest.port());
        if !listens {
            self.trace_deaf(key, pod, dest.port());
        }
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if !listens {
            self.refuse(key, Failure::Connect);
        } else if conn.hello.is_some() {
            // a plaintext server cannot make sense of a hello
            self.refuse(key, Failure::Tls);
        } else {
            conn.taker = Taker::App(pod);
            conn.stage = Stage::Serving;
            self.establish(key);
        }
    }

    fn listens(&self, pod: u32, port: u16) -> bool {
        let pod = &self.pods[pod as usize];
        let ports = &self.ports[pod.workload as usize];
        pod.app.as_ref().is_some_and(|app| app.is_listening())
            && (ports.is_empty() || ports.contains(&port))
    }

    fn accept_by_proxy(&mut self, key: Key, proxy: u32, arrival: Arrival) {
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        let proxy = &mut self.proxies[proxy as usize];
        // the kernel spreads connections over the workers by a hash that nobody controls
        let count = u64::from(proxy.workers.end - proxy.workers.start);
        let pick = conn.key.below(Purpose::KubeProxy, 1, count) as u32;
        let worker = proxy.workers.start + pick;
        let has_hello = conn.hello.is_some();
        let source = match conn.from {
            OUTSIDE => SocketAddr::from(([203, 0, 113, 1], 40_000)),
            pod => SocketAddr::new(self.pods[pod as usize].ip, 40_000),
        };
        let accept = Accept {
            token: key.token(),
            arrival,
            source,
            at: conn.dest,
            destination: conn.dest,
        };
        if let Some(conn) = self.conns.get_mut(key) {
            conn.stage = Stage::Unseen;
        }
        self.trace_acts(worker, key);
        let downstream = self.with_node(worker, |node, cx| node.accept(cx, accept));
        if let Some(conn) = self.conns.get_mut(key)
            && matches!(conn.taker, Taker::Nobody)
        {
            conn.taker = Taker::Node { worker, downstream };
        }
        self.drain_node(worker);
        if !has_hello {
            self.establish(key);
        } else if let Some(costs) = self.costs {
            self.occupy(worker, costs.handshake);
        }
    }

    /// Tells who opened a connection that it stands.
    pub(super) fn establish(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if conn.established || conn.closed_by_server {
            return;
        }
        conn.established = true;
        let draws = conn.key;
        self.deliver(key, Way::Down, draws, 110, Event::Established(key));
    }

    /// The server will not have a connection that does not stand yet.
    pub(super) fn refuse(&mut self, key: Key, why: Failure) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        conn.closed_by_server = true;
        let draws = conn.key;
        self.deliver(key, Way::Down, draws, 110, Event::Refused(key, why));
    }

    /// Answers a node's wish to see a connection's first bytes, if they are there.
    pub(super) fn peek(&mut self, key: Key, bytes_are_there: bool) {
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        let Taker::Node { worker, downstream } = conn.taker else {
            return;
        };
        let hello = conn.hello.clone();
        if hello.is_none() && !bytes_are_there {
            return;
        }
        let alpn: SmallVec<[&str; 4]> = hello
            .iter()
            .flat_map(|hello| hello.alpn.iter().map(|protocol| &**protocol))
            .collect();
        let peek = Peek {
            tls: hello.as_ref().map(|hello| TlsHello {
                sni: Some(&*hello.sni).filter(|sni| !sni.is_empty()),
                alpn: &alpn,
            }),
            protocol: match (&hello, conn.http2) {
                (Some(_), _) => PeekedProtocol::Unknown,
                (None, true) => PeekedProtocol::Http2,
                (None, false) => PeekedProtocol::Http1,
            },
        };
        self.with_node(worker, |node, cx| {
            node.handle(cx, Input::Peeked { downstream, peek });
        });
        self.drain_node(worker);
    }

    /// Does the handshake that a node asks for.
    pub(super) fn shake(&mut self, key: Key, worker: u32) {
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        let Taker::Node { downstream, .. } = conn.taker else {
            return;
        };
        let server = self.workers[worker as usize].pod as usize;
        let plan = self.workers[worker as usize].node.handshake(downstream);
        let (Some(plan), Some(hello)) = (plan, conn.hello.as_deref()) else {
            self.fail_handshake(key);
            return;
        };
        let trusted = |expects: &str| expects == plan.certificate;
        let refused =
            self.pods[server].expired > 0 || hello.expects.as_deref().is_some_and(|e| !trusted(e));
        let agreed = plan.alpn.iter().find(|ours| hello.alpn.contains(ours));
        let http2 = agreed.is_some_and(|protocol| protocol.ends_with("h2"));
        let client_expired = hello.pod != OUTSIDE && self.pods[hello.pod as usize].expired > 0;
        let peer = hello.identity.clone().filter(|_| !client_expired);
        let offered = !hello.alpn.is_empty();
        if refused {
            self.fail_handshake(key);
            return;
        }
        if let Some(conn) = self.conns.get_mut(key) {
            conn.terminated = true;
            if offered {
                conn.http2 = http2;
            }
        }
        let peer = peer.as_deref();
        self.with_node(worker, |node, cx| {
            node.handle(cx, Input::Shaken { downstream, peer });
        });
        self.drain_node(worker);
    }

    /// A handshake fails on either side: neither keeps the connection.
    pub(super) fn fail_handshake(&mut self, key: Key) {
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        let taker = conn.taker;
        self.refuse(key, Failure::Tls);
        if let Taker::Node { worker, downstream }
        | Taker::Pipe {
            worker, downstream, ..
        } = taker
        {
            self.with_node(worker, |node, cx| {
                node.handle(cx, Input::DownstreamClosed { downstream });
            });
            self.drain_node(worker);
        }
    }

    /// A node reads requests from a connection from now on.
    pub(super) fn serve(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if conn.hello.is_some() && !conn.terminated {
            self.fail_handshake(key);
            return;
        }
        conn.stage = Stage::Serving;
        self.establish(key);
        self.take_early(key);
    }

    fn take_early(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        for request in core::mem::take(&mut conn.early) {
            self.queue.push(self.now, Event::Request(request));
        }
    }

    /// A node carries the bytes of a connection over another from now on.
    pub(super) fn splice(&mut self, key: Key, worker: u32, onward: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if let Taker::Node { downstream, .. } = conn.taker {
            conn.taker = Taker::Pipe {
                worker,
                downstream,
                onward,
            };
            conn.stage = Stage::Serving;
        }
        if let Some(http2) = self.conns.get(onward).map(|onward| onward.http2)
            && let Some(conn) = self.conns.get_mut(key)
            && conn.hello.is_some()
        {
            conn.http2 = http2;
        }
        self.establish(key);
        self.take_early(key);
    }

    /// A connection stands, or does not, for who opened it.
    pub(super) fn established(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if conn.closed_by_client {
            return;
        }
        let (opener, http2) = (conn.opener, conn.http2);
        let waiting = core::mem::take(&mut conn.waiting);
        match opener {
            Opener::Pool { of, dest } => {
                if http2 || waiting.is_empty() {
                    self.pool(of, dest).idle.push(key);
                }
                for request in waiting {
                    self.send_request(request);
                }
                self.serve_waiting(of, dest);
            }
            Opener::Node { worker, upstream } => {
                let input = Input::Connected {
                    upstream,
                    http2,
                    max_streams: None,
                };
                self.with_node(worker, |node, cx| node.handle(cx, input));
                self.drain_node(worker);
            }
        }
    }

    pub(super) fn refused(&mut self, key: Key, why: Failure) {
        let Some(conn) = self.conns.remove(key) else {
            return;
        };
        match conn.opener {
            Opener::Pool { of, dest } => {
                self.pool(of, dest).open -= 1;
                for request in conn.waiting {
                    self.unsent(request, why);
                }
                self.serve_waiting(of, dest);
            }
            Opener::Node { worker, upstream } => {
                self.with_node(worker, |node, cx| {
                    node.handle(cx, Input::ConnectFailed { upstream });
                });
                self.drain_node(worker);
            }
        }
    }

    /// Who opened a connection closes it.
    pub(super) fn close_by_client(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if conn.closed_by_client {
            return;
        }
        conn.closed_by_client = true;
        let draws = conn.key;
        if conn.stage == Stage::Coming || conn.closed_by_server {
            // nobody there knows of it, or knows already
            let conn = self.conns.remove(key).expect("it was just there");
            for request in conn.active {
                self.drop_server_side(request);
            }
            return;
        }
        if self
            .deliver(key, Way::Up, draws, 120, Event::ClosedByClient(key))
            .is_none()
        {
            self.conns.remove(key);
        }
    }

    /// The server closes a connection, or its process is gone.
    pub(super) fn close_by_server(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if conn.closed_by_server {
            return;
        }
        conn.closed_by_server = true;
        let draws = conn.key;
        if conn.closed_by_client {
            return;
        }
        if conn.established {
            self.deliver(key, Way::Down, draws, 121, Event::ClosedByServer(key));
        } else {
            let why = match conn.hello {
                Some(_) => Failure::Tls,
                None => Failure::Connect,
            };
            self.deliver(key, Way::Down, draws, 121, Event::Refused(key, why));
        }
    }

    /// The server's end learns that a connection was closed.
    pub(super) fn closed_by_client(&mut self, key: Key) {
        let Some(conn) = self.conns.remove(key) else {
            return;
        };
        self.lost_by_server(conn.taker, &conn.active);
    }

    /// Who took a connection that is gone learns of it, request by request.
    fn lost_by_server(&mut self, taker: Taker, active: &[Key]) {
        for request in active {
            self.unwanted(*request);
        }
        match taker {
            Taker::Node { worker, downstream }
            | Taker::Pipe {
                worker, downstream, ..
            } => {
                self.with_node(worker, |node, cx| {
                    node.handle(cx, Input::DownstreamClosed { downstream });
                });
                self.drain_node(worker);
            }
            Taker::App(_) | Taker::Nobody => {}
        }
    }

    /// A connection is reset on its way, as its server's end sees at once and its client's when the news gets there.
    pub(super) fn break_connection(&mut self, key: Key) {
        let Some(conn) = self.conns.get(key).filter(|conn| !conn.closed_by_server) else {
            return;
        };
        let (taker, active) = (conn.taker, conn.active.clone());
        self.close_by_server(key);
        self.lost_by_server(taker, &active);
    }

    /// The client's end learns that a connection was closed.
    pub(super) fn closed_by_server(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if conn.closed_by_client {
            return;
        }
        let (opener, active) = (conn.opener, core::mem::take(&mut conn.active));
        match opener {
            Opener::Pool { of, dest } => {
                self.conns.remove(key);
                let pool = self.pool(of, dest);
                pool.open -= 1;
                pool.idle.retain(|idle| *idle != key);
                for request in active {
                    self.reset(request, ResetCause::ConnectionClosed);
                }
                self.serve_waiting(of, dest);
            }
            Opener::Node { worker, upstream } => {
                // the node ends every try on it
                self.conns.remove(key);
                for request in &active {
                    if let Some(stream) = self.streams.get_mut(*request)
                        && stream.reason == ErrorReason::None
                    {
                        stream.reason = ErrorReason::Reset;
                    }
                }
                self.with_node(worker, |node, cx| {
                    node.handle(cx, Input::UpstreamClosed { upstream });
                });
                self.drain_node(worker);
                for request in active {
                    if let Some(stream) = self.streams.get(request)
                        && let Sender::Pipe(_) = stream.sender
                    {
                        self.reset(request, ResetCause::ConnectionClosed);
                    }
                    self.client_is_done(request);
                }
            }
        }
    }

    /// The server's side of a request is told that nobody waits for it any more.
    pub(super) fn unwanted(&mut self, request: Key) {
        let Some(stream) = self.streams.get(request) else {
            return;
        };
        match stream.server {
            Server::Node { worker, exchange } if !stream.server_done => {
                self.with_node(worker, |node, cx| {
                    node.handle(cx, Input::DownstreamReset { exchange });
                });
                self.drain_node(worker);
            }
            Server::App { pod, job } if !stream.server_done => {
                self.abandoned(pod);
                self.tell(pod, AppInput::CallerGone { job });
            }
            Server::Pipe(onward) if !stream.server_done => self.cancel(onward),
            Server::Nobody | Server::Node { .. } | Server::App { .. } | Server::Pipe(_) => {}
        }
        self.server_is_done(request);
    }

    /// The pool of an owner for a destination, made when it is new.
    pub(super) fn pool(&mut self, of: PoolOf, dest: u32) -> &mut super::parts::Pool {
        let pools = match of {
            PoolOf::Load(load) => &mut self.loads[load as usize].pools,
            PoolOf::Pod(pod) => &mut self.pods[pod as usize].pools,
        };
        let at = dest as usize;
        if pools.len() <= at {
            pools.resize_with(at + 1, super::parts::Pool::default);
        }
        &mut pools[at]
    }
}
