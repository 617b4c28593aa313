//! Upstreams that do as they are told: one server, which tells its endpoints by the address that was dialled.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};

use crate::case::{Answer, Body, Deed, Response, body_of};
use crate::outcome::{Headers, Try, by_name};
use crate::wire::{Head, Wire, framed};

/// The header that tells which request a try is of.
pub(crate) const TAG: &str = "x-like";
/// Where an HTTP/2 connection begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is done with a request, and what was seen of it.
#[derive(Debug)]
pub(crate) struct Script {
    answers: Vec<Answer>,
    /// Endpoints that get copies alone.
    copies: Arc<[Ipv4Addr]>,
    tries: Vec<Try>,
    /// Tries that are no copies.
    numbered: usize,
}

impl Script {
    pub(crate) const fn new(answers: Vec<Answer>, copies: Arc<[Ipv4Addr]>) -> Self {
        Self {
            answers,
            copies,
            tries: Vec::new(),
            numbered: 0,
        }
    }
}

#[derive(Debug)]
struct Ledger {
    scripts: HashMap<u64, Script>,
    /// Endpoints that do one thing.
    doings: HashMap<Ipv4Addr, Answer>,
}

/// The server.
#[derive(Clone, Debug)]
pub(crate) struct Upstreams {
    pub(crate) port: u16,
    ledger: Arc<Mutex<Ledger>>,
}

/// A try that has come: where it is recorded and what is done with it.
struct Asked {
    tag: u64,
    at: usize,
    number: usize,
    answer: Answer,
}

impl Upstreams {
    /// Listens at every address of this host.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let upstreams = Self {
            port,
            ledger: Arc::new(Mutex::new(Ledger {
                scripts: HashMap::new(),
                doings: HashMap::new(),
            })),
        };
        let all = upstreams.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(all.clone().serve(stream));
            }
        });
        upstreams
    }

    /// Begins anew with these scripts.
    pub(crate) fn take_up(&self, scripts: HashMap<u64, Script>, doings: HashMap<Ipv4Addr, Answer>) {
        let mut ledger = self.ledger.lock().expect("nobody panicked");
        ledger.scripts = scripts;
        ledger.doings = doings;
    }

    /// What was seen of a request: tries, then copies.
    pub(crate) fn seen(&self, tag: u64) -> Vec<Try> {
        let ledger = self.ledger.lock().expect("nobody panicked");
        let script = &ledger.scripts[&tag];
        let mut tries = script.tries.clone();
        tries.sort_by_key(|one| script.copies.contains(&one.at));
        tries
    }

    async fn serve(self, stream: TcpStream) {
        let at = match stream.local_addr().map(|address| address.ip()) {
            Ok(IpAddr::V4(at)) => at,
            Ok(IpAddr::V6(_)) | Err(_) => return,
        };
        let _ = stream.set_nodelay(true);
        let mut first = [0; PREFACE.len()];
        loop {
            let Ok(seen) = stream.peek(&mut first).await else {
                return;
            };
            if seen == 0 {
                return;
            }
            if first[..seen] != PREFACE[..seen] {
                return self.serve_http1(at, Wire::new(stream)).await;
            }
            if seen == PREFACE.len() {
                return self.serve_http2(at, stream).await;
            }
            tokio::task::yield_now().await;
        }
    }

    /// A request has come; none: it is nobody's.
    fn arrived(&self, headers: &Headers, seen: Try) -> Option<Asked> {
        let tag: u64 = headers.get(TAG)?.first()?.parse().ok()?;
        let mut ledger = self.ledger.lock().expect("nobody panicked");
        let does = ledger.doings.get(&seen.at).cloned();
        let script = ledger.scripts.get_mut(&tag)?;
        if !script.copies.contains(&seen.at) {
            script.numbered += 1;
        }
        let number = script.numbered.max(1);
        let last = script.answers.len() - 1;
        script.tries.push(seen);
        Some(Asked {
            tag,
            at: script.tries.len() - 1,
            number,
            answer: does.unwrap_or_else(|| script.answers[last.min(number - 1)].clone()),
        })
    }

    fn complete(&self, asked: &Asked, length: usize) {
        let mut ledger = self.ledger.lock().expect("nobody panicked");
        // a batch that is over has no scripts any more
        if let Some(script) = ledger.scripts.get_mut(&asked.tag)
            && let Some(seen) = script.tries.get_mut(asked.at)
        {
            seen.body = Some(length);
        }
    }

    async fn serve_http1(self, at: Ipv4Addr, mut wire: Wire) {
        while let Ok(Some(head)) = wire.head().await {
            let mut words = head.first.split(' ');
            let method = words.next().unwrap_or_default().to_owned();
            let target = words.next().unwrap_or_default().to_owned();
            let mut headers = by_name(&head.lines);
            let authority = headers.remove("host").map(|values| values.join(", "));
            let asked = self.arrived(
                &headers,
                Try {
                    at,
                    http2: false,
                    method: method.clone(),
                    target,
                    authority,
                    headers: headers.clone(),
                    body: None,
                },
            );
            let Some(asked) = asked else {
                return;
            };
            let taken = wire.body(head.framing_of_request()).await;
            if !taken.whole {
                return;
            }
            self.complete(&asked, taken.bytes.len());
            if let Deed::Switch(response) = &asked.answer.deed {
                let kind = head.value("upgrade");
                if kind.is_some() || method == "CONNECT" {
                    return self.switch(wire, kind, response, &asked).await;
                }
            }
            if !answer_http1(&mut wire, &method, &asked).await {
                return;
            }
        }
    }

    /// Gives what is asked for, and sends back whatever follows.
    async fn switch(&self, mut wire: Wire, kind: Option<&str>, response: &Response, asked: &Asked) {
        tokio::time::sleep(asked.answer.after).await;
        let status = if kind.is_some() { 101 } else { 200 };
        let mut head = format!("HTTP/1.1 {status} Told\r\n");
        if let Some(kind) = kind {
            head.push_str(&format!("upgrade: {kind}\r\nconnection: Upgrade\r\n"));
        }
        for (name, value) in &response.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        if wire.send(head.as_bytes()).await.is_err() {
            return;
        }
        let mut length = 0;
        while let Some(some) = wire.some().await {
            length += some.len();
            self.complete(asked, length);
            if wire.send(&some).await.is_err() {
                return;
            }
        }
    }

    async fn serve_http2(self, at: Ipv4Addr, stream: TcpStream) {
        let Ok(mut connection) = h2::server::handshake(stream).await else {
            return;
        };
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(self.clone().serve_stream(at, request, respond));
        }
    }

    async fn serve_stream(
        self,
        at: Ipv4Addr,
        request: http::Request<h2::RecvStream>,
        mut respond: h2::server::SendResponse<Bytes>,
    ) {
        let (parts, mut body) = request.into_parts();
        let headers = lines_of(&parts.headers);
        let asked = self.arrived(
            &headers,
            Try {
                at,
                http2: true,
                method: parts.method.to_string(),
                target: parts
                    .uri
                    .path_and_query()
                    .map_or_else(String::new, ToString::to_string),
                authority: parts.uri.authority().map(ToString::to_string),
                headers: headers.clone(),
                body: None,
            },
        );
        let Some(asked) = asked else {
            respond.send_reset(h2::Reason::PROTOCOL_ERROR);
            return;
        };
        let mut length = 0;
        while let Some(data) = body.data().await {
            let Ok(data) = data else {
                return;
            };
            length += data.len();
            let _ = body.flow_control().release_capacity(data.len());
        }
        self.complete(&asked, length);
        tokio::time::sleep(asked.answer.after).await;
        match &asked.answer.deed {
            Deed::Reset(code) => respond.send_reset(h2::Reason::from(*code)),
            Deed::Respond(response) | Deed::Switch(response) => {
                let head_only = parts.method == http::Method::HEAD;
                let _ = respond_http2(&mut respond, response, asked.number, head_only).await;
            }
        }
    }
}

/// Headers of HTTP/2 by name.
pub(crate) fn lines_of(headers: &http::HeaderMap) -> Headers {
    let mut lines = Headers::new();
    for (name, value) in headers {
        let value = value.as_bytes().iter().map(|byte| char::from(*byte));
        let values = lines.entry(name.as_str().to_owned()).or_default();
        values.push(value.collect());
    }
    lines
}

/// What the head of a response says of its body.
fn told_length(response: &Response) -> Option<(&'static str, String)> {
    let bodiless = response.status == 204 || response.status == 304;
    match response.body {
        Body::None if bodiless => None,
        Body::None => Some(("content-length", "0".to_owned())),
        Body::Sized(length) => Some(("content-length", length.to_string())),
        Body::Chunked(_) => Some(("transfer-encoding", "chunked".to_owned())),
    }
}

fn body_bytes(response: &Response, number: usize) -> Vec<u8> {
    match response.body {
        Body::None => Vec::new(),
        Body::Sized(length) | Body::Chunked(length) => body_of(number, length),
    }
}

/// Whether the connection may be asked again.
async fn answer_http1(wire: &mut Wire, method: &str, asked: &Asked) -> bool {
    tokio::time::sleep(asked.answer.after).await;
    let response = match &asked.answer.deed {
        Deed::Reset(code) => {
            if *code != 0 {
                // with a reset instead of an end
                let _ = wire.stream.set_zero_linger();
            }
            return false;
        }
        Deed::Respond(response) | Deed::Switch(response) => response,
    };
    let mut head = Head {
        first: format!("HTTP/1.1 {} Told", response.status),
        lines: response.headers.clone(),
    };
    let length = told_length(response);
    head.lines
        .extend(length.map(|(name, value)| (name.to_owned(), value)));
    let mut bytes = format!("{}\r\n", head.first);
    for (name, value) in &head.lines {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str("\r\n");
    let bodiless = method == "HEAD" || response.status == 204 || response.status == 304;
    if bodiless {
        return wire.send(bytes.as_bytes()).await.is_ok() && !head.closes();
    }
    let body = body_bytes(response, asked.number);
    let chunked = matches!(response.body, Body::Chunked(_));
    let mut rest = framed(chunked, &body, &response.trailers);
    if response.breaks {
        rest.truncate(rest.len() / 2);
    }
    let sent = if response.pause.is_zero() {
        let mut bytes = bytes.into_bytes();
        bytes.append(&mut rest);
        wire.send(&bytes).await
    } else {
        let sent = wire.send(bytes.as_bytes()).await;
        tokio::time::sleep(response.pause).await;
        sent.and(wire.send(&rest).await)
    };
    sent.is_ok() && !response.breaks && !head.closes()
}

async fn respond_http2(
    respond: &mut h2::server::SendResponse<Bytes>,
    response: &Response,
    number: usize,
    head_only: bool,
) -> Result<(), h2::Error> {
    let mut head = http::Response::builder().status(response.status);
    for (name, value) in &response.headers {
        // HTTP/2 has no such header
        if name != "connection" {
            head = head.header(name, value);
        }
    }
    if let Some(("content-length", length)) = told_length(response) {
        head = head.header("content-length", length);
    }
    let head = head.body(()).expect("generated heads are heads");
    let mut body = body_bytes(response, number);
    if head_only {
        body.clear();
    }
    let bare = body.is_empty() && response.trailers.is_empty();
    let mut stream = respond.send_response(head, bare)?;
    if bare {
        return Ok(());
    }
    if !response.pause.is_zero() {
        tokio::time::sleep(response.pause).await;
    }
    if response.breaks {
        body.truncate(body.len() / 2);
        stream.send_data(Bytes::from(body), false)?;
        // what was sent before has to leave first
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        stream.send_reset(h2::Reason::INTERNAL_ERROR);
        return Ok(());
    }
    let ends = response.trailers.is_empty();
    stream.send_data(Bytes::from(body), ends)?;
    if !ends {
        let mut trailers = http::HeaderMap::new();
        for (name, value) in &response.trailers {
            let name = http::HeaderName::try_from(name.as_str()).expect("a name");
            let value = http::HeaderValue::try_from(value.as_str()).expect("a value");
            trailers.append(name, value);
        }
        stream.send_trailers(trailers)?;
    }
    Ok(())
}

/// Where a listener or an endpoint is.
pub(crate) fn socket(at: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::from((at, port))
}
