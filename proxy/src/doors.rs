//! The sockets of a process: where it listens, and where the connections on each were meant to go.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use proxy_core::config::{ListenerAddress, NodeConfig, Preface};
use proxy_core::node::{Arrival, Ends};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_local;

use crate::preface::{self, Said};
use crate::process::Phase;
use crate::stats::Stats;
use crate::worker::Handle;

/// Connections that wait to be accepted, on each socket.
const BACKLOG: i32 = 4096;

/// A socket that a process listens on, and what the connections on it are to the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Door {
    /// Where it is bound.
    pub address: SocketAddr,
    /// Which way connections come.
    pub arrival: Arrival,
    /// Where they were meant to go.
    pub meant: Meant,
}

/// Where the connections of a socket were meant to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meant {
    /// To the address that was dialled.
    Dialled,
    /// To this one, whatever was dialled.
    To(SocketAddr),
    /// To where they went before a redirect rule brought them here (`SO_ORIGINAL_DST`).
    Original,
    /// To where the PROXY protocol's header says; whoever sends none is not served.
    Announced,
}

/// Sockets that a configuration listens on.
pub(crate) fn doors(config: &NodeConfig) -> Vec<Door> {
    let listeners = config
        .sections
        .iter()
        .flat_map(|section| section.listeners());
    let sockets = listeners.filter_map(|listener| match listener.address {
        ListenerAddress::Socket(address) => Some(Door {
            address,
            arrival: Arrival::Dialled,
            meant: Meant::Dialled,
        }),
        ListenerAddress::Datagrams(address) => Some(Door {
            address,
            arrival: Arrival::Datagrams,
            meant: Meant::Dialled,
        }),
        ListenerAddress::OutboundTo(_)
        | ListenerAddress::OutboundPort(_)
        | ListenerAddress::OutboundRest
        | ListenerAddress::InboundPort(_)
        | ListenerAddress::InboundRest => None,
    });
    sockets.collect()
}

/// A socket that several workers may listen on beside one another: the kernel spreads connections among them.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // as Envoy, unless it is told otherwise; IPv4 has doors of its own
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Takes connections in until the process ends, or until `shut` does. Those that the kernel has let in by then are served: their clients
/// take them for accepted.
pub(crate) async fn accept(
    handle: Handle,
    socket: TcpListener,
    door: Door,
    (mut phase, mut shut): (watch::Receiver<Phase>, oneshot::Receiver<()>),
    stats: Arc<Stats>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(socket) else {
        return;
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => break,
            _ = &mut shut => break,
        };
        match accepted {
            Ok((stream, source)) => take_in(&handle, stream, source, door, &stats),
            // out of files: those that are open will close
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    if let Ok(listener) = listener.into_std() {
        while let Ok((stream, source)) = listener.accept() {
            let stream = stream
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                take_in(&handle, stream, source, door, &stats);
            }
        }
    }
}

fn take_in(handle: &Handle, stream: TcpStream, source: SocketAddr, door: Door, stats: &Arc<Stats>) {
    Stats::count(&stats.downstream_cx_total);
    // a client that has gone already is noticed when it is read
    let _ = stream.set_nodelay(true);
    let meant = match door.meant {
        Meant::Dialled => stream.local_addr().ok(),
        Meant::To(address) => Some(address),
        Meant::Original => original(&stream),
        Meant::Announced => {
            spawn_local(announced(handle.clone(), stream, door.arrival));
            return;
        }
    };
    let at = meant.unwrap_or(door.address);
    match handle.preface(door.arrival, at) {
        None => handle.accept(stream, door.arrival, source, at, at),
        Some(rules) => {
            let (handle, stats) = (handle.clone(), stats.clone());
            let ends = Ends {
                source,
                destination: at,
            };
            spawn_local(prefaced(handle, stream, door.arrival, ends, rules, stats));
        }
    }
}

/// Takes a connection in once it is known whether a header says who it comes from.
async fn prefaced(
    handle: Handle,
    mut stream: TcpStream,
    arrival: Arrival,
    own: Ends,
    rules: Preface,
    stats: Arc<Stats>,
) {
    let read = preface::read(&mut stream, rules);
    let said = tokio::time::timeout(LISTENER_FILTERS, read).await;
    let ends = match said {
        Ok(Ok(Said::Ends(ends))) => ends,
        Ok(Ok(Said::Own | Said::Nothing)) => own,
        Ok(Ok(Said::Bad) | Err(_)) | Err(_) => {
            Stats::count(&stats.downstream_cx_proxy_proto_error);
            return;
        }
    };
    handle.accept(
        stream,
        arrival,
        ends.source,
        own.destination,
        ends.destination,
    );
}

/// How long a connection may take to show what it begins with.
///
/// Source: Envoy v3 `Listener.listener_filters_timeout`.
const LISTENER_FILTERS: Duration = Duration::from_secs(15);

/// Where a connection went before a redirect rule brought it here.
fn original(stream: &TcpStream) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let found = socket
        .original_dst_v4()
        .or_else(|_| socket.original_dst_v6());
    found.ok()?.as_socket()
}

/// Takes a connection in once its PROXY header has said where it was meant to go.
async fn announced(handle: Handle, mut stream: TcpStream, arrival: Arrival) {
    let rules = Preface {
        optional: false,
        v1: true,
        v2: true,
    };
    let read = preface::read(&mut stream, rules);
    if let Ok(Ok(Said::Ends(ends))) = tokio::time::timeout(PREFACE, read).await {
        let meant = ends.destination;
        handle.accept(stream, arrival, ends.source, meant, meant);
    }
}

/// How long the header of the PROXY protocol may take.
const PREFACE: Duration = Duration::from_secs(5);
