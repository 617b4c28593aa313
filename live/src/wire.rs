//! Connections of clients and applications: kept while they are good, opened when they are needed.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use rustc_hash::FxHashMap;
use scenarios::app::{CallOutcome, Failure};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use crate::address::{self, OUTBOUND};
use crate::apps::POD;
use crate::world::{Dest, Live, World};

/// Whose connections.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Owner {
    Pod(u32),
    /// A load, and whether it speaks HTTP/2.
    Load(u32, bool),
}

/// Connections that are free.
#[derive(Default)]
pub(crate) struct Wire {
    idle: FxHashMap<(Owner, u32), Vec<http1::SendRequest<Full<Bytes>>>>,
    /// Of HTTP/2: the one that all share.
    shared: FxHashMap<(Owner, u32), http2::SendRequest<Full<Bytes>>>,
}

/// What became of a request, and the pod that answered it.
pub(crate) type Heard = (CallOutcome, Option<u32>);

const fn failed(why: Failure) -> Heard {
    (CallOutcome::Failed(why), None)
}

/// How a connection is opened: what is dialled, and what is said there first.
struct Way {
    address: SocketAddr,
    announce: Option<SocketAddr>,
}

impl World {
    fn way(&mut self, owner: Owner, dest: u32) -> Result<Way, Failure> {
        let dest = self.dests[dest as usize].clone();
        let pod = match owner {
            Owner::Pod(pod) => Some(pod),
            Owner::Load(..) => None,
        };
        let through = pod.filter(|pod| self.pods[*pod as usize].has_sidecar);
        let meant = match dest {
            Dest::Unknown => return Err(Failure::Dns),
            Dest::Service { service, port } => {
                let model = &self.models[self.current as usize];
                let ip = model.services()[service as usize].cluster_ip();
                match ip {
                    Some(ip) if through.is_some() => SocketAddr::new(ip, port),
                    _ => {
                        let ready = self.ready_behind(service, port);
                        let count = ready.len() as u64;
                        if count == 0 {
                            return Err(Failure::Connect);
                        }
                        ready[self.draw(count) as usize]
                    }
                }
            }
            Dest::Gateway { workload, port } => {
                let turn = self.draw(1 << 32);
                let pod = self.pod_of_turn(workload, turn).ok_or(Failure::Connect)?;
                SocketAddr::new(self.pods[pod as usize].ip, port)
            }
        };
        let door = |pod: u32| self.doors.get(&(pod, meant)).copied();
        let (address, announce) = match through {
            Some(pod) if let Some(door) = door(pod) => (Some(door), None),
            Some(pod) => {
                let ip = self.pods[pod as usize].ip;
                (address::at(address::outside(ip), OUTBOUND), Some(meant))
            }
            None => (
                address::at(address::outside(meant.ip()), meant.port()),
                None,
            ),
        };
        let address = address.ok_or(Failure::Connect)?;
        Ok(Way { address, announce })
    }
}

async fn dial(way: &Way) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(way.address).await?;
    stream.set_nodelay(true)?;
    if let Some(meant) = way.announce {
        let header = proxy::announcement(stream.local_addr()?, meant)?;
        stream.write_all(&header).await?;
    }
    Ok(stream)
}

/// Sends a request and takes the whole answer in. Dropped before, it takes its connection with it.
pub(crate) async fn ask(
    live: &Live,
    owner: Owner,
    dest: u32,
    request: Request<Full<Bytes>>,
) -> Heard {
    if matches!(owner, Owner::Load(_, true)) {
        return ask_http2(live, owner, dest, request).await;
    }
    let mut sender = loop {
        let idle = live.with(|world| world.wire.idle.get_mut(&(owner, dest))?.pop());
        match idle {
            Some(sender) if sender.is_ready() => break sender,
            Some(_) => {}
            None => match open(live, owner, dest).await {
                Ok(sender) => break sender,
                Err(why) => return failed(why),
            },
        }
    };
    let Ok(response) = sender.send_request(request).await else {
        return failed(Failure::Reset);
    };
    let heard = heard(response).await;
    if matches!(heard.0, CallOutcome::Answered(_)) {
        live.with(|world| {
            let idle = world.wire.idle.entry((owner, dest));
            idle.or_default().push(sender);
        });
    }
    heard
}

async fn heard(response: http::Response<hyper::body::Incoming>) -> Heard {
    let status = response.status().as_u16();
    let pod = response.headers().get(POD);
    let pod = pod.and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return (CallOutcome::Failed(Failure::Reset), pod);
        }
    }
    (CallOutcome::Answered(status), pod)
}

async fn open(
    live: &Live,
    owner: Owner,
    dest: u32,
) -> Result<http1::SendRequest<Full<Bytes>>, Failure> {
    let way = live.with(|world| world.way(owner, dest))?;
    let stream = dial(&way).await.map_err(|_| Failure::Connect)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Failure::Reset)?;
    // how it ended is known to whoever waits for a response
    spawn_local(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

async fn ask_http2(
    live: &Live,
    owner: Owner,
    dest: u32,
    mut request: Request<Full<Bytes>>,
) -> Heard {
    let known = live.with(|world| world.wire.shared.get(&(owner, dest)).cloned());
    let sender = match known.filter(|sender| !sender.is_closed()) {
        Some(sender) => Ok(sender),
        None => open_http2(live, owner, dest).await,
    };
    let mut sender = match sender {
        Ok(sender) => sender,
        Err(why) => return failed(why),
    };
    // on HTTP/2 the authority goes with the URI
    let host = request.headers_mut().remove(http::header::HOST);
    let host = host.as_ref().and_then(|host| host.to_str().ok());
    let uri = Uri::builder()
        .scheme("http")
        .authority(host.unwrap_or_default())
        .path_and_query(request.uri().path_and_query().map_or("/", |it| it.as_str()))
        .build();
    if let Ok(uri) = uri {
        *request.uri_mut() = uri;
    }
    match sender.ready().await {
        Ok(()) => match sender.send_request(request).await {
            Ok(response) => heard(response).await,
            Err(_) => failed(Failure::Reset),
        },
        Err(_) => failed(Failure::Reset),
    }
}

async fn open_http2(
    live: &Live,
    owner: Owner,
    dest: u32,
) -> Result<http2::SendRequest<Full<Bytes>>, Failure> {
    let way = live.with(|world| world.way(owner, dest))?;
    let stream = dial(&way).await.map_err(|_| Failure::Connect)?;
    let (sender, connection) = http2::handshake(proxy::Local, TokioIo::new(stream))
        .await
        .map_err(|_| Failure::Reset)?;
    spawn_local(async move {
        let _ = connection.await;
    });
    live.with(|world| {
        world.wire.shared.insert((owner, dest), sender.clone());
    });
    Ok(sender)
}
