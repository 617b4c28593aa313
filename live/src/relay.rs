//! Services for proxies that dial them and cannot be told where: each connection goes to a ready pod, in turn.

use std::net::SocketAddr;
use std::sync::PoisonError;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use crate::address;
use crate::world::{Targets, World};

/// A socket that is a Service.
pub(crate) struct Relay {
    pub(crate) socket: std::net::TcpListener,
    /// The address of the Service.
    pub(crate) service: SocketAddr,
}

impl World {
    /// Has them serve.
    pub(crate) fn relay(&mut self) -> std::io::Result<()> {
        for relay in std::mem::take(&mut self.relays) {
            relay.socket.set_nonblocking(true)?;
            let socket = tokio::net::TcpListener::from_std(relay.socket)?;
            let targets = self.targets.clone();
            spawn_local(async move {
                for turn in 0.. {
                    let Ok((stream, _)) = socket.accept().await else {
                        continue;
                    };
                    if let Some(to) = ready(&targets, relay.service, turn) {
                        spawn_local(carry(stream, to));
                    }
                }
            });
        }
        Ok(())
    }
}

fn ready(targets: &Targets, service: SocketAddr, turn: usize) -> Option<SocketAddr> {
    let targets = targets.read().unwrap_or_else(PoisonError::into_inner);
    let ready = targets.get(&service)?;
    let pod = ready.get(turn.checked_rem(ready.len())?)?;
    address::at(address::outside(pod.ip()), pod.port())
}

/// Either side learns by its own connection that the other has gone.
async fn carry(mut stream: TcpStream, to: SocketAddr) {
    let Ok(mut other) = TcpStream::connect(to).await else {
        return;
    };
    let _ = stream.set_nodelay(true);
    let _ = other.set_nodelay(true);
    let _ = copy_bidirectional(&mut stream, &mut other).await;
}
