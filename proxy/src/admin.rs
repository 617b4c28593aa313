//! The admin port, under Envoy's paths. It has a thread of its own: nobody who asks holds up a request.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};

use crate::body::{BrokenOff, ResponseBody};
use crate::process::Phase;
use crate::stats::{self, Stats};

/// What is shown of a proxy.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) stats: Arc<Stats>,
    pub(crate) phase: watch::Sender<Phase>,
}

/// The proxies that are shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Views(Arc<Mutex<Arc<[View]>>>);

impl Views {
    pub(crate) fn set(&self, views: Vec<View>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = views.into();
    }

    fn get(&self) -> Arc<[View]> {
        let views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        views.clone()
    }
}

/// A port that is answered; until this is dropped.
#[derive(Debug)]
pub(crate) struct Admin {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    pub(crate) fn start(address: SocketAddr, views: Views) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let (stop, mut stopped) = watch::channel(false);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            LocalSet::new().block_on(&runtime, async {
                let Ok(listener) = TcpListener::from_std(listener) else {
                    return;
                };
                tokio::select! {
                    () = serve(listener, views) => {}
                    _ = stopped.wait_for(|stop| *stop) => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("admin".to_owned());
        Ok(Self {
            stop,
            thread: Some(thread.spawn(run)?),
        })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // had it panicked, it would have said so
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, views: Views) {
    while let Ok((stream, _)) = listener.accept().await {
        let views = views.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let response = answer(&request, &views.get());
            async move { Ok::<_, BrokenOff>(response) }
        });
        spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn answer(request: &Request<Incoming>, views: &[View]) -> Response<ResponseBody> {
    let is_post = request.method() == Method::POST;
    let counted = || stats::sum(views.iter().map(|view| &*view.stats));
    let enter = |phase: Phase| {
        for view in views {
            view.phase.send_replace(phase);
        }
        (StatusCode::OK, "OK\n".to_owned())
    };
    let (status, text) = match request.uri().path() {
        "/ready" => {
            let serves = |view: &View| *view.phase.borrow() == Phase::Serving;
            if !views.is_empty() && views.iter().all(serves) {
                (StatusCode::OK, "LIVE\n".to_owned())
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "DRAINING\n".to_owned())
            }
        }
        "/stats" => (StatusCode::OK, stats::plain(&counted())),
        "/stats/prometheus" => (StatusCode::OK, stats::prometheus(&counted())),
        "/drain_listeners" | "/quitquitquit" if !is_post => (
            StatusCode::METHOD_NOT_ALLOWED,
            "Method GET not allowed, POST required.\n".to_owned(),
        ),
        "/drain_listeners" => enter(Phase::Draining),
        "/quitquitquit" => enter(Phase::Ended),
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
