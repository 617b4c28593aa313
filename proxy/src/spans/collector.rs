//! Whoever gathers spans: a connection to an endpoint of its cluster, and one message after the other on it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, TE, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use proxy_core::config::{ExportProtocol, TraceExport};
use tokio::task::{AbortHandle, spawn_local};

use crate::heads::{path_of, uri};
use crate::local::Local;
use crate::tls::Io;
use crate::upstream::{Onward, Tls, dial};
use crate::worker::Handle;

/// A connection to a collector. Dropping it closes it.
pub(super) struct Collector {
    sender: Sender,
    tls: bool,
    driver: AbortHandle,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    All,
    /// The collector has answered that it does not take it.
    Refused,
    /// There is none, or it has not answered.
    Nobody,
}

/// Sends a message, over a connection that may still stand or a new one; gives the connection that stands then.
pub(super) async fn send(
    handle: &Handle,
    export: &TraceExport,
    turn: u64,
    collector: Option<Collector>,
    message: Vec<u8>,
) -> (Option<Collector>, Taken) {
    let message = Bytes::from(message);
    let sending = async {
        let mut collector = match collector.filter(Collector::stands) {
            Some(collector) => collector,
            None => open(handle, export, turn).await?,
        };
        let answered = collector.ask(export, message).await?;
        Some((collector, answered))
    };
    let limit = match export.timeout.is_zero() {
        true => LONGEST,
        false => Duration::from_nanos(export.timeout.as_nanos()),
    };
    match tokio::time::timeout(limit, sending).await {
        Ok(Some((collector, true))) => (Some(collector), Taken::All),
        Ok(Some((collector, false))) => (Some(collector), Taken::Refused),
        Ok(None) | Err(_) => (None, Taken::Nobody),
    }
}

/// A collector is waited for no longer than this, whatever the file says: what comes next would be dropped meanwhile.
const LONGEST: Duration = Duration::from_secs(60);

async fn open(handle: &Handle, export: &TraceExport, turn: u64) -> Option<Collector> {
    let found = handle.look(|worker| worker.outlet(&export.cluster, turn))?;
    let stream = dial((found.way, Onward::default())).await.ok()?;
    let is_tls = found.tls.is_some();
    let stream = match found.tls {
        Some((connector, name)) => {
            let stream = connector.connect(name, stream).await.ok()?;
            Io::Tls(Box::new(stream.into()))
        }
        None => Io::Plain(stream),
    };
    let http2 =
        found.http2 || stream.agreed_on_http2() || export.protocol == ExportProtocol::OtlpGrpc;
    let stream = TokioIo::new(stream);
    let (sender, driver) = if http2 {
        let mut builder = http2::Builder::new(Local);
        builder.timer(TokioTimer::new());
        let (sender, connection) = builder.handshake(stream).await.ok()?;
        let driver = spawn_local(async {
            // how it ended is known to whoever waits for an answer
            let _ = connection.await;
        });
        (Sender::Http2(sender), driver)
    } else {
        let (sender, connection) = http1::handshake(stream).await.ok()?;
        let driver = spawn_local(async {
            let _ = connection.await;
        });
        (Sender::Http1(sender), driver)
    };
    Some(Collector {
        sender,
        tls: is_tls,
        driver: driver.abort_handle(),
    })
}

/// An endpoint of a collector's cluster.
pub(crate) struct Found {
    pub(crate) way: crate::process::Way,
    pub(crate) http2: bool,
    pub(crate) tls: Option<Tls>,
}

impl Collector {
    fn stands(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => !sender.is_closed(),
            Sender::Http2(sender) => !sender.is_closed(),
        }
    }

    /// Whether a message was taken; none: there was no answer.
    async fn ask(&mut self, export: &TraceExport, message: Bytes) -> Option<bool> {
        let http2 = matches!(self.sender, Sender::Http2(_));
        let request = request(export, message, http2, self.tls)?;
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.ok()?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await.ok()?;
                sender.send_request(request).await
            }
        };
        let (head, body) = response.ok()?.into_parts();
        let grpc = export.protocol == ExportProtocol::OtlpGrpc;
        let trailers = read_away(body).await?;
        let status = head.headers.get(GRPC_STATUS);
        let status = status.or_else(|| trailers.as_ref()?.get(GRPC_STATUS));
        Some(match grpc {
            true => head.status == StatusCode::OK && status.is_some_and(|it| it == "0"),
            false => head.status.is_success(),
        })
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Reads an answer to its end, since the next one comes after it; none: it broke off.
async fn read_away(mut body: Incoming) -> Option<Option<http::HeaderMap>> {
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        if let Ok(last) = frame.ok()?.into_trailers() {
            trailers = Some(last);
        }
    }
    Some(trailers)
}

fn request(
    export: &TraceExport,
    message: Bytes,
    http2: bool,
    tls: bool,
) -> Option<Request<Full<Bytes>>> {
    let scheme = if tls { "https" } else { "http" };
    let mut request = Request::new(Full::new(message));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri(http2, scheme, &export.authority, path_of(&export.path)?);
    let headers = request.headers_mut();
    if !http2 {
        headers.insert(HOST, HeaderValue::from_str(&export.authority).ok()?);
    }
    let kind = match export.protocol {
        ExportProtocol::OtlpHttp => "application/x-protobuf",
        ExportProtocol::OtlpGrpc => {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            "application/grpc"
        }
        ExportProtocol::ZipkinJson => "application/json",
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    for (name, value) in &export.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok();
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    Some(request)
}

const AGENT: &str = concat!("windtunnel-proxy/", env!("CARGO_PKG_VERSION"));
