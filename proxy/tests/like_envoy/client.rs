//! The client: sends requests as they are written, and keeps all that comes back.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::case::{Ask, Body, Carried};
use crate::outcome::{Answered, Client, Headers, by_name};
use crate::upstream::{TAG, lines_of};
use crate::wire::{Framing, Head, Taken, Wire, framed};

/// Nothing that is generated takes as long.
const LONGEST: Duration = Duration::from_secs(20);

/// The connections of one client to one listener.
#[derive(Debug)]
pub(crate) struct Caller {
    at: SocketAddr,
    idle: Mutex<Vec<Wire>>,
    http2: Mutex<Option<h2::client::SendRequest<Bytes>>>,
}

impl Caller {
    pub(crate) fn new(at: SocketAddr) -> Self {
        Self {
            at,
            idle: Mutex::default(),
            http2: Mutex::default(),
        }
    }

    /// Sends a request; gives what came back.
    pub(crate) async fn ask(&self, ask: &Ask, tag: u64) -> Client {
        let asked = async {
            if ask.http2 {
                self.ask_http2(ask, tag).await
            } else {
                self.ask_http1(ask, tag).await
            }
        };
        let came = tokio::time::timeout(LONGEST, asked).await;
        came.unwrap_or(Client::Nothing("within the longest time"))
    }

    async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.at).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        stream
    }

    async fn ask_http1(&self, ask: &Ask, tag: u64) -> Client {
        let idle = match ask.carried {
            None => self.idle.lock().await.pop(),
            Some(_) => None,
        };
        let mut wire = match idle {
            Some(wire) => wire,
            None => Wire::new(self.connect().await),
        };
        let (first, rest) = request(ask, tag);
        // an answer may come before all is sent
        let _ = wire.send(&first).await;
        if !rest.is_empty() {
            tokio::select! {
                () = tokio::time::sleep(ask.stall) => {
                    let _ = wire.send(&rest).await;
                }
                () = wire.wait() => {}
            }
        }
        loop {
            let head = match wire.head().await {
                Ok(Some(head)) => head,
                Ok(None) => return Client::Nothing("the connection ended"),
                Err(_) => return Client::Nothing("the connection was reset"),
            };
            let status = head.first.split(' ').nth(1);
            let Some(status) = status.and_then(|text| text.parse().ok()) else {
                return Client::Nothing("no status line");
            };
            if let Some(carried) = ask.carried
                && switches(&ask.method, status)
            {
                return Client::Answered(Box::new(carry(wire, &head, status, carried, tag).await));
            }
            if (100..200).contains(&status) {
                continue;
            }
            let framing = head.framing_of_response(&ask.method, status);
            let taken = wire.body(framing).await;
            let stays = taken.whole && !head.closes() && framing != crate::wire::Framing::Close;
            if stays {
                self.idle.lock().await.push(wire);
            }
            return Client::Answered(Box::new(Answered {
                status,
                headers: by_name(&head.lines),
                body: taken.bytes,
                trailers: by_name(&taken.trailers),
                whole: taken.whole,
            }));
        }
    }

    async fn stream(&self) -> Result<h2::client::SendRequest<Bytes>, h2::Error> {
        let mut kept = self.http2.lock().await;
        if let Some(sender) = kept.take()
            && let Ok(ready) = sender.ready().await
        {
            *kept = Some(ready.clone());
            return Ok(ready);
        }
        let (sender, connection) = h2::client::handshake(self.connect().await).await?;
        tokio::spawn(connection);
        *kept = Some(sender.clone());
        sender.ready().await
    }

    async fn ask_http2(&self, ask: &Ask, tag: u64) -> Client {
        match self.exchange_http2(ask, tag).await {
            Ok(answered) => answered,
            Err(_) => Client::Nothing("the stream ended"),
        }
    }

    async fn exchange_http2(&self, ask: &Ask, tag: u64) -> Result<Client, h2::Error> {
        let mut sender = self.stream().await?;
        let authority = ask.authority.as_deref().unwrap_or("none.test");
        let mut request = http::Request::builder()
            .method(ask.method.as_str())
            .uri(format!("http://{authority}{}", ask.target))
            .header(TAG, tag);
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        if let Body::Sized(length) = ask.body {
            request = request.header("content-length", length);
        }
        let request = request.body(()).expect("generated requests are requests");
        let bare = ask.body == Body::None;
        let (response, mut stream) = sender.send_request(request, bare)?;
        if !bare {
            // an answer may come before all is sent
            let mut body = body_of(ask);
            let rest = body.split_off(if ask.stall.is_zero() {
                body.len()
            } else {
                body.len() / 2
            });
            let ends = rest.is_empty();
            let _ = stream.send_data(Bytes::from(body), ends);
            if !ends {
                let mut early = std::pin::pin!(response);
                let came = tokio::select! {
                    () = tokio::time::sleep(ask.stall) => None,
                    came = &mut early => Some(came),
                };
                let came = match came {
                    Some(came) => came,
                    None => {
                        let _ = stream.send_data(Bytes::from(rest), true);
                        early.await
                    }
                };
                return taken(came?).await;
            }
        }
        taken(response.await?).await
    }
}

const fn is_connect(method: &str) -> bool {
    matches!(method.as_bytes(), b"CONNECT")
}

/// Whether bytes are carried after a response.
const fn switches(method: &str, status: u16) -> bool {
    if is_connect(method) {
        status / 100 == 2
    } else {
        status == 101
    }
}

/// Sends what follows a switch, and gives what comes of it as the body.
async fn carry(mut wire: Wire, head: &Head, status: u16, carried: Carried, tag: u64) -> Answered {
    let taken = match carried {
        Carried::Bytes(length) => {
            let _ = wire.send(&vec![b'c'; length]).await;
            wire.body(Framing::Length(length)).await
        }
        Carried::Request => {
            let inner = format!("GET /inside HTTP/1.1\r\nhost: in.test\r\n{TAG}: {tag}\r\n\r\n");
            let _ = wire.send(inner.as_bytes()).await;
            match wire.head().await {
                // sent back as it was
                Ok(Some(head)) if head.first.starts_with("GET ") => Taken {
                    bytes: head.first.into_bytes(),
                    trailers: head.lines,
                    whole: true,
                },
                Ok(Some(head)) => wire.body(head.framing_of_response("GET", 200)).await,
                Ok(None) | Err(_) => Taken::default(),
            }
        }
    };
    Answered {
        status,
        headers: by_name(&head.lines),
        body: taken.bytes,
        trailers: Headers::new(),
        whole: taken.whole,
    }
}

/// All that comes of a response over HTTP/2.
async fn taken(response: http::Response<h2::RecvStream>) -> Result<Client, h2::Error> {
    let (parts, mut body) = response.into_parts();
    let mut answered = Answered {
        status: parts.status.as_u16(),
        headers: lines_of(&parts.headers),
        body: Vec::new(),
        trailers: Headers::new(),
        whole: true,
    };
    while let Some(data) = body.data().await {
        let Ok(data) = data else {
            answered.whole = false;
            break;
        };
        answered.body.extend(&data);
        let _ = body.flow_control().release_capacity(data.len());
    }
    match body.trailers().await {
        Ok(Some(trailers)) => answered.trailers = lines_of(&trailers),
        Ok(None) => {}
        Err(_) => answered.whole = false,
    }
    Ok(Client::Answered(Box::new(answered)))
}

fn body_of(ask: &Ask) -> Vec<u8> {
    match ask.body {
        Body::None => Vec::new(),
        Body::Sized(length) | Body::Chunked(length) => vec![b'q'; length],
    }
}

/// A request, and what of it is sent after a pause.
fn request(ask: &Ask, tag: u64) -> (Vec<u8>, Vec<u8>) {
    let mut head = format!("{} {} HTTP/1.1\r\n", ask.method, ask.target);
    if let Some(authority) = &ask.authority {
        head.push_str(&format!("host: {authority}\r\n"));
    }
    head.push_str(&format!("{TAG}: {tag}\r\n"));
    for (name, value) in &ask.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match ask.body {
        Body::None => {}
        Body::Sized(length) => head.push_str(&format!("content-length: {length}\r\n")),
        Body::Chunked(_) => head.push_str("transfer-encoding: chunked\r\n"),
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    let mut body = framed(matches!(ask.body, Body::Chunked(_)), &body_of(ask), &[]);
    let half = if ask.stall.is_zero() {
        body.len()
    } else {
        body.len() / 2
    };
    let rest = body.split_off(half);
    bytes.extend(body);
    (bytes, rest)
}
