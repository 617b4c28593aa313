//! Clients and scripted upstreams.

pub(crate) mod pki;
pub(crate) mod process;

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use proxy::{Change, Options, Place, Proxy};
use tokio::net::TcpStream;

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("its address").port()
}

/// A proxy with one worker.
pub(crate) fn proxy(bootstrap: &str) -> Proxy {
    proxy_with(bootstrap, 1)
}

pub(crate) fn proxy_with(bootstrap: &str, concurrency: usize) -> Proxy {
    let read = proxy::parse("bootstrap.yaml", bootstrap);
    let read = read.unwrap_or_else(|error| panic!("{error}"));
    let proxy = Proxy::start(Options {
        config: read.config,
        admin: read.admin,
        secrets: read.secrets,
        endpoints: read.endpoints,
        names: read.names,
        concurrency,
        seed: 7,
        drain: Duration::from_secs(5),
        doors: Vec::new(),
        place: Place::default(),
    });
    proxy.expect("it starts")
}

pub(crate) fn update(proxy: &Proxy, bootstrap: &str) {
    let read = proxy::parse("bootstrap.yaml", bootstrap);
    let read = read.unwrap_or_else(|error| panic!("{error}"));
    let updated = proxy.update(Change::from(&read));
    updated.expect("its sockets can be had");
}

pub(crate) fn answer(status: u16, body: &'static str) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status);
    response.body(Full::from(body)).expect("a response")
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<(String, usize)>>,
}

/// A server that speaks HTTP/1.1 and HTTP/2 in the clear.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    seen: Arc<Seen>,
}

/// Streams at a time that a server allows where nothing is said.
const STREAMS: u32 = 200;

type Script = dyn Fn(&Request<()>, usize, Bytes) -> Response<Full<Bytes>> + Send + Sync;

impl Upstream {
    /// Answers as `script` says for a request and its number.
    pub(crate) async fn start(
        script: impl Fn(&Request<()>, usize) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        let script = move |request: &Request<()>, nth, _| script(request, nth);
        Self::serve(Arc::new(script), Duration::ZERO, STREAMS).await
    }

    /// Answers as `script` says for a request, its number and its body.
    pub(crate) async fn with_bodies(
        script: impl Fn(&Request<()>, usize, Bytes) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Arc::new(script), Duration::ZERO, STREAMS).await
    }

    /// Answers 200 after a while.
    pub(crate) async fn slow(after: Duration) -> Self {
        Self::narrow(after, STREAMS).await
    }

    /// Answers 200 after a while, and allows so many streams at a time on a connection.
    pub(crate) async fn narrow(after: Duration, streams: u32) -> Self {
        let script = |_: &Request<()>, _, _| answer(200, "");
        Self::serve(Arc::new(script), after, streams).await
    }

    /// Answers with what it got.
    pub(crate) async fn echo() -> Self {
        let script = |_: &Request<()>, _, body| Response::new(Full::new(body));
        Self::serve(Arc::new(script), Duration::ZERO, STREAMS).await
    }

    async fn serve(script: Arc<Script>, after: Duration, streams: u32) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let seen = Arc::new(Seen::default());
        let all = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                all.connections.fetch_add(1, Ordering::Relaxed);
                let (script, all) = (script.clone(), all.clone());
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let (script, all) = (script.clone(), all.clone());
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await;
                        let body = body.map(|whole| whole.to_bytes()).unwrap_or_default();
                        let nth = {
                            let mut requests = all.requests.lock().expect("nobody panicked");
                            requests.push((
                                parts
                                    .uri
                                    .path_and_query()
                                    .map_or_else(String::new, ToString::to_string),
                                body.len(),
                            ));
                            requests.len() - 1
                        };
                        tokio::time::sleep(after).await;
                        let response = script(&Request::from_parts(parts, ()), nth, body);
                        Ok::<_, Infallible>(response)
                    }
                });
                tokio::spawn(async move {
                    let mut server = auto::Builder::new(TokioExecutor::new());
                    server.http2().max_concurrent_streams(streams);
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, seen }
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        let requests = self.seen.requests.lock().expect("nobody panicked");
        requests.iter().map(|(path, _)| path.clone()).collect()
    }

    /// The lengths of what it got.
    pub(crate) fn bodies(&self) -> Vec<usize> {
        let requests = self.seen.requests.lock().expect("nobody panicked");
        requests.iter().map(|(_, length)| *length).collect()
    }
}

/// A client with one connection.
pub(crate) enum Client {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    pub(crate) async fn http1(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("it listens");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        Self::Http1(sender)
    }

    pub(crate) async fn http2(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("it listens");
        let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = shaken.expect("HTTP/2");
        tokio::spawn(connection);
        Self::Http2(sender)
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn send(&mut self, request: Request<Bytes>) -> (response::Parts, Bytes) {
        let (mut parts, body) = request.into_parts();
        if matches!(self, Self::Http2(_)) {
            let host = parts.headers.remove("host").expect("a host");
            let path = parts.uri.path_and_query().expect("a path").clone();
            let uri = format!("http://{}{path}", host.to_str().expect("text"));
            parts.uri = uri.parse().expect("a URI");
        }
        let request = Request::from_parts(parts, Full::new(body));
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await.expect("the connection stands");
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await.expect("the connection stands");
                sender.send_request(request).await
            }
        };
        let (head, body) = response.expect("a response").into_parts();
        let body = body.collect().await.expect("its whole body");
        (head, body.to_bytes())
    }
}

/// A bootstrap with one listener, whose virtual host takes all, and one cluster `back`: what stands before the filters of its chain, what follows
/// the match of `/`, and what else stands in its cluster.
pub(crate) fn with_sockets(
    port: u16,
    chain: &str,
    route: &str,
    cluster: &str,
    upstreams: &[u16],
) -> String {
    let endpoints: String = upstreams
        .iter()
        .map(|port| {
            format!(
                "          - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}\n"
            )
        })
        .collect();
    format!(
        "static_resources:
  listeners:
  - name: front
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - name: only
{chain}
      filters:
      - name: http
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          codec_type: AUTO
          route_config:
            virtual_hosts:
            - name: all
              domains: ['*']
              routes:
              - match: {{prefix: /}}
{route}
          http_filters:
          - name: router
            typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: back
    type: STATIC
    connect_timeout: 1s
    lb_policy: ROUND_ROBIN
{cluster}
    load_assignment:
      cluster_name: back
      endpoints:
      - lb_endpoints:
{endpoints}"
    )
}
