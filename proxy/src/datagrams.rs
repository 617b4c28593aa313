//! Datagrams: sockets that clients send theirs to, and one for each client and endpoint. Where they go is the node's choice; nothing is
//! allocated for a datagram on its way.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::os::fd::AsRawFd;
use std::rc::Rc;

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use proxy_core::config::{Name, NodeConfig};
use proxy_core::ids::SessionId;
use proxy_core::node::{Arrival, Datagram, Input};
use rustc_hash::FxHashMap;
use socket2::{Domain, MsgHdr, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, spawn_local};

use crate::counts::Udp;
use crate::doors::{Door, Meant};
use crate::worker::{Handle, Worker};

/// Longest payload of a datagram over IPv4; those over IPv6 without jumbograms have 20 bytes more.
const LONGEST: usize = 65_535;
/// Datagrams that are read before others have their turn.
const AT_ONCE: usize = 64;

/// A socket that several workers may read datagrams from beside one another: the kernel spreads clients among them.
///
/// # Errors
/// Where the socket cannot be had.
pub(crate) fn listen(address: SocketAddr) -> io::Result<StdSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        // as with connections; IPv4 has doors of its own
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    if address.ip().is_unspecified() {
        match address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A socket that clients send datagrams to.
pub(crate) struct Near {
    socket: UdpSocket,
    /// Where it is bound.
    bound: SocketAddr,
}

impl Near {
    /// Takes a datagram, if there is one: its length, who sent it, and where to.
    fn take(&self, into: &mut [u8], control: &mut [u8]) -> io::Result<Taken> {
        let mut into = [IoSliceMut::new(into)];
        self.socket.try_io(Interest::READABLE, || {
            let fd = self.socket.as_raw_fd();
            let flags = MsgFlags::MSG_DONTWAIT;
            let got = recvmsg::<SockaddrStorage>(fd, &mut into, Some(control), flags)?;
            let source = got.address.as_ref().and_then(address_of);
            let destination = match self.bound.ip().is_unspecified() {
                true => got.cmsgs()?.find_map(|message| own_address(&message)),
                false => Some(self.bound.ip()),
            };
            Ok(Taken {
                length: got.bytes,
                ends: source.zip(destination),
            })
        })
    }

    /// Sends a datagram back to a client, from the address that the client knows.
    fn send(&self, datagram: &[u8], client: SocketAddr, local: SocketAddr) -> io::Result<usize> {
        let (socket, to) = (SockRef::from(&self.socket), SockAddr::from(client));
        if !self.bound.ip().is_unspecified() {
            return socket.send_to(datagram, &to);
        }
        let mut control = [0; LONGEST_CONTROL];
        let control = from_address(local.ip(), &mut control);
        let buffers = [io::IoSlice::new(datagram)];
        let message = MsgHdr::new().with_addr(&to).with_buffers(&buffers);
        socket.sendmsg(&message.with_control(control), 0)
    }
}

/// What was read from a socket.
struct Taken {
    length: usize,
    /// Who sent it, and to which of the socket's addresses.
    ends: Option<(SocketAddr, IpAddr)>,
}

fn address_of(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in();
    let v4 = v4.map(|at| SocketAddr::new(at.ip().into(), at.port()));
    v4.or_else(|| {
        let at = storage.as_sockaddr_in6()?;
        Some(SocketAddr::V6((*at).into()))
    })
}

/// Which address of the machine a datagram was sent to.
fn own_address(message: &ControlMessageOwned) -> Option<IpAddr> {
    if let ControlMessageOwned::Ipv4PacketInfo(it) = message {
        return Some(Ipv4Addr::from(it.ipi_spec_dst.s_addr.to_ne_bytes()).into());
    }
    if let ControlMessageOwned::Ipv6PacketInfo(it) = message {
        return Some(Ipv6Addr::from(it.ipi6_addr.s6_addr).into());
    }
    None
}

/// Room for a control message with an address, and what it is aligned to.
const LONGEST_CONTROL: usize = 40;

/// A control message that says which address of the machine a datagram leaves with.
///
/// Source: Linux `ip(7)` (`IP_PKTINFO`), `ipv6(7)` (`IPV6_PKTINFO`), `cmsg(3)`: the length with the header, level, type, data, each message
/// filled up to the size of a word.
fn from_address(own: IpAddr, into: &mut [u8; LONGEST_CONTROL]) -> &[u8] {
    const WORD: usize = size_of::<usize>();
    const HEADER: usize = WORD + 8;
    const { assert!(HEADER + 20 <= LONGEST_CONTROL) }
    let (level, kind, length): (i32, i32, usize) = match own {
        // ifindex, the address that it leaves with, the one that it is sent to
        IpAddr::V4(ip) => {
            into[HEADER + 4..HEADER + 8].copy_from_slice(&ip.octets());
            (0, 8, HEADER + 12)
        }
        // the address, ifindex
        IpAddr::V6(ip) => {
            into[HEADER..HEADER + 16].copy_from_slice(&ip.octets());
            (41, 50, HEADER + 20)
        }
    };
    into[..WORD].copy_from_slice(&length.to_ne_bytes());
    into[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
    into[WORD + 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
    &into[..length.next_multiple_of(WORD)]
}

/// The sessions of a worker, and what it has of them.
#[derive(Default)]
pub(crate) struct Sessions {
    all: FxHashMap<SessionId, Rc<Session>>,
    /// What endpoints send is read here.
    buffer: Vec<u8>,
}

/// A client's datagrams on their way to one endpoint and back.
struct Session {
    near: Rc<Near>,
    client: SocketAddr,
    local: SocketAddr,
    /// Connected to the endpoint.
    far: UdpSocket,
    /// Whose figures it counts among.
    name: Name,
    cluster: proxy_core::ids::ClusterId,
    largest_answer: usize,
    reader: std::cell::OnceCell<AbortHandle>,
}

impl Sessions {
    /// Whose figures a session counts among; none: it never had a socket.
    pub(crate) fn name(&self, id: SessionId) -> Option<&Name> {
        self.all.get(&id).map(|session| &session.name)
    }

    /// Closes the socket of a session.
    pub(crate) fn end(&mut self, id: SessionId) -> Option<Name> {
        let session = self.all.remove(&id)?;
        if let Some(reader) = session.reader.get() {
            reader.abort();
        }
        Some(session.name.clone())
    }
}

/// The rule that takes datagrams that are sent to an address: whose figures they count among, and how long they may be.
fn rule(config: &NodeConfig, destination: SocketAddr) -> Option<(Name, usize)> {
    use proxy_core::config::ChainAction;
    let sections = config.sections.iter();
    let mut found = sections.filter_map(|section| {
        let at = section.listener(Arrival::Datagrams, destination)?;
        match &section.listeners()[at as usize].chains.first()?.action {
            ChainAction::Udp(route) => {
                Some((route.name.clone(), usize::from(route.largest_request)))
            }
            ChainAction::Http(_) | ChainAction::Tcp(_) | ChainAction::Close(_) => None,
        }
    });
    found.next()
}

/// Carries the datagrams of a socket's clients, until `shut` does not let it any more.
pub(crate) async fn serve(
    handle: Handle,
    socket: StdSocket,
    door: Door,
    mut shut: oneshot::Receiver<()>,
) {
    let Ok(socket) = UdpSocket::from_std(socket) else {
        return;
    };
    let bound = socket.local_addr().unwrap_or(door.address);
    let near = Rc::new(Near { socket, bound });
    let mut buffer = vec![0; LONGEST];
    let mut control = nix::cmsg_space!(nix::libc::in6_pktinfo, nix::libc::in_pktinfo);
    loop {
        tokio::select! {
            readable = near.socket.readable() => {
                if readable.is_err() {
                    return;
                }
            }
            _ = &mut shut => return,
        }
        for _ in 0..AT_ONCE {
            match near.take(&mut buffer, &mut control) {
                Ok(taken) => take_in(&handle, &near, door, &buffer[..taken.length], &taken),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => handle.look(|worker| {
                    if let Some((name, _)) = rule(worker.node.config(), door.address) {
                        worker.books.udp(&name).rx_errors += 1;
                    }
                }),
            }
        }
        tokio::task::yield_now().await;
    }
}

fn take_in(handle: &Handle, near: &Rc<Near>, door: Door, bytes: &[u8], taken: &Taken) {
    let Some((source, own)) = taken.ends else {
        return;
    };
    let local = SocketAddr::new(own, near.bound.port());
    let destination = match door.meant {
        Meant::To(address) => address,
        Meant::Dialled | Meant::Original | Meant::Announced => local,
    };
    handle.with_worker(|worker| {
        let datagram = Datagram {
            source,
            destination,
        };
        let Some((name, largest)) = rule(worker.node.config(), destination) else {
            // the node says so
            worker.call(|node, cx| node.datagram(cx, datagram));
            return;
        };
        if bytes.len() > largest {
            worker.books.udp(&name).rx_dropped += 1;
            return;
        }
        let Some(id) = worker.call(|node, cx| node.datagram(cx, datagram)) else {
            return;
        };
        let known = worker.sessions.all.get(&id).cloned();
        let session = match known {
            Some(session) => session,
            None => match open(worker, handle, id, near, local) {
                Some(session) => session,
                None => return,
            },
        };
        let counts = worker.books.udp(&name);
        counts.rx_datagrams += 1;
        counts.rx_bytes += bytes.len() as u64;
        // what the system has no room for is lost, as on any other way
        let sent = SockRef::from(&session.far).send(bytes);
        worker.books.sent_datagram(session.cluster, sent.is_ok());
    });
}

/// Opens the socket of a session; none: it cannot be had, and the node knows.
fn open(
    worker: &mut Worker,
    handle: &Handle,
    id: SessionId,
    near: &Rc<Near>,
    local: SocketAddr,
) -> Option<Rc<Session>> {
    let plan = worker.node.session(id)?;
    let way = worker.found(plan.endpoint);
    let source = plan
        .source
        .filter(|it| it.is_ipv4() == plan.endpoint.is_ipv4());
    let far = way.and_then(|way| dial(way.address, source).ok());
    let (client, cluster) = (plan.client, plan.cluster);
    let name = plan.route.name.clone();
    let largest_answer = usize::from(plan.route.largest_answer);
    let counts = worker.books.udp(&name);
    counts.total += 1;
    counts.active += 1;
    let Some(far) = far else {
        worker.books.udp(&name).active -= 1;
        worker.books.sent_datagram(cluster, false);
        worker.call(|node, cx| node.handle(cx, Input::SessionFailed { session: id }));
        return None;
    };
    let session = Rc::new(Session {
        near: near.clone(),
        client,
        local,
        far,
        name,
        cluster,
        largest_answer,
        reader: std::cell::OnceCell::new(),
    });
    let reader = spawn_local(answers(handle.clone(), id, session.clone()));
    let _ = session.reader.set(reader.abort_handle());
    worker.sessions.all.insert(id, session.clone());
    Some(session)
}

/// A socket that sends to an endpoint and hears nobody else.
fn dial(endpoint: SocketAddr, source: Option<IpAddr>) -> io::Result<UdpSocket> {
    let any: IpAddr = match endpoint {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = StdSocket::bind((source.unwrap_or(any), 0))?;
    socket.connect(endpoint)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Carries what an endpoint sends back to the client.
async fn answers(handle: Handle, id: SessionId, session: Rc<Session>) {
    while session.far.readable().await.is_ok() {
        let heard = handle.look(|worker| session.carry_back(worker));
        if heard {
            handle.input(Input::Answered { session: id });
        }
        tokio::task::yield_now().await;
    }
}

impl Session {
    /// Sends on what there is to read; whether there was anything.
    fn carry_back(&self, worker: &mut Worker) -> bool {
        let Worker {
            sessions, books, ..
        } = worker;
        let buffer = &mut sessions.buffer;
        buffer.resize(LONGEST, 0);
        let mut heard = false;
        for _ in 0..AT_ONCE {
            let length = match self.far.try_recv(buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // nobody listens there, for example
                Err(_) => {
                    books.heard_datagram(self.cluster, Heard::Error);
                    continue;
                }
            };
            heard = true;
            if length > self.largest_answer {
                books.heard_datagram(self.cluster, Heard::TooLong);
                continue;
            }
            books.heard_datagram(self.cluster, Heard::Datagram);
            let sent = self.near.send(&buffer[..length], self.client, self.local);
            books.udp(&self.name).sent(length, sent.is_ok());
        }
        heard
    }
}

/// What came of reading from an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    Datagram,
    TooLong,
    Error,
}

impl Udp {
    const fn sent(&mut self, length: usize, ok: bool) {
        if ok {
            self.tx_datagrams += 1;
            self.tx_bytes += length as u64;
        } else {
            self.tx_errors += 1;
        }
    }
}
