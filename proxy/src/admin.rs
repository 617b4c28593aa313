//! The admin port, under Envoy's paths.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::spawn_local;

use crate::body::{BrokenOff, ResponseBody};
use crate::process::Phase;
use crate::stats::Stats;

/// Answers until the process ends.
pub(crate) async fn serve(listener: TcpListener, stats: Arc<Stats>, phase: watch::Sender<Phase>) {
    let phase = Arc::new(phase);
    while let Ok((stream, _)) = listener.accept().await {
        let (stats, phase) = (stats.clone(), phase.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let response = answer(&request, &stats, &phase);
            async move { Ok::<_, BrokenOff>(response) }
        });
        spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn answer(
    request: &Request<Incoming>,
    stats: &Stats,
    phase: &watch::Sender<Phase>,
) -> Response<ResponseBody> {
    let is_post = request.method() == Method::POST;
    let (status, text) = match request.uri().path() {
        "/ready" => match *phase.borrow() {
            Phase::Serving => (StatusCode::OK, "LIVE\n".to_owned()),
            Phase::Draining | Phase::Ended => {
                (StatusCode::SERVICE_UNAVAILABLE, "DRAINING\n".to_owned())
            }
        },
        "/stats" => (StatusCode::OK, stats.plain()),
        "/stats/prometheus" => (StatusCode::OK, stats.prometheus()),
        "/drain_listeners" | "/quitquitquit" if !is_post => (
            StatusCode::METHOD_NOT_ALLOWED,
            "Method GET not allowed, POST required.\n".to_owned(),
        ),
        "/drain_listeners" => {
            phase.send_replace(Phase::Draining);
            (StatusCode::OK, "OK\n".to_owned())
        }
        "/quitquitquit" => {
            phase.send_replace(Phase::Ended);
            (StatusCode::OK, "OK\n".to_owned())
        }
        _ => (
            StatusCode::NOT_FOUND,
            "paths: /ready, /stats, /stats/prometheus, /drain_listeners (POST), /quitquitquit (POST)\n"
                .to_owned(),
        ),
    };
    let mut response = Response::new(ResponseBody::Own(Some(Bytes::from(text))));
    *response.status_mut() = status;
    response
}

/// The admin port's socket.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
