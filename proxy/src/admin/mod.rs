//! The admin port, under Envoy's paths. It has a thread of its own: nobody who asks holds up a request.

mod metrics;
mod pages;
mod shots;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use manifests::envoy::{self, Written};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};

use crate::body::{BrokenOff, ResponseBody};
use crate::process::{Ask, Phase, Settings};
use crate::stats::{self, Stats};

/// What is shown of a proxy.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) stats: Arc<Stats>,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) started: Instant,
    pub(crate) settings: watch::Receiver<Settings>,
    /// Its workers.
    pub(crate) asks: Arc<[UnboundedSender<Ask>]>,
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
            let views = views.get();
            async move { Ok::<_, BrokenOff>(answer(&request, &views).await) }
        });
        spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// What is there, as `/help` and `/` say it.
const HELP: &str = "admin commands are:
  /clusters (GET, ?format=json): clusters and their endpoints
  /config_dump (GET): what each proxy does, as the bootstrap of an Envoy that decides alike
  /drain_listeners (POST): takes no more connections, lets requests under way end, and ends
  /help (GET): this page
  /listeners (GET, ?format=json): sockets
  /quitquitquit (POST): ends at once
  /ready (GET): 200 while connections are served
  /server_info (GET): state, version and uptime
  /stats (GET, ?filter=, ?usedonly, ?format=json|prometheus): metrics
  /stats/prometheus (GET): metrics for Prometheus
";

struct Answer {
    status: StatusCode,
    kind: &'static str,
    text: String,
}

impl Answer {
    fn text(text: impl Into<String>) -> Self {
        Self {
            status: StatusCode::OK,
            kind: "text/plain; charset=UTF-8",
            text: text.into(),
        }
    }

    fn json(value: &serde_json::Value) -> Self {
        Self {
            kind: "application/json",
            ..Self::text(format!("{value:#}\n"))
        }
    }

    fn with(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

async fn answer(request: &Request<Incoming>, views: &[View]) -> Response<ResponseBody> {
    let answer = match (request.uri().path(), request.method()) {
        ("/drain_listeners" | "/quitquitquit", method) if method != Method::POST => {
            let text = format!("Method {method} not allowed, POST required.\n");
            Answer::text(text).with(StatusCode::METHOD_NOT_ALLOWED)
        }
        ("/drain_listeners", _) => enter(views, Phase::Draining),
        ("/quitquitquit", _) => enter(views, Phase::Ended),
        (path, _) => page(path, request.uri().query().unwrap_or_default(), views).await,
    };
    let mut response = Response::new(ResponseBody::Own(Some(Bytes::from(answer.text))));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.kind));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, max-age=0"),
    );
    response
}

fn enter(views: &[View], phase: Phase) -> Answer {
    for view in views {
        view.phase.send_replace(phase);
    }
    Answer::text("OK\n")
}

/// The value of a parameter of a query; of one without a value, nothing.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut all = query
        .split('&')
        .map(|it| it.split_once('=').unwrap_or((it, "")));
    all.find(|(key, _)| *key == name).map(|(_, value)| value)
}

async fn page(path: &str, query: &str, views: &[View]) -> Answer {
    let as_json = parameter(query, "format") == Some("json");
    match path {
        "/" | "/help" => Answer::text(HELP),
        "/ready" => {
            let state = state(views);
            let answer = Answer::text(format!("{state}\n"));
            match state {
                "LIVE" => answer,
                _ => answer.with(StatusCode::SERVICE_UNAVAILABLE),
            }
        }
        "/config_dump" => Answer::json(&config_dump(views)),
        "/server_info" => Answer::json(&server_info(views)),
        "/clusters" if as_json => Answer::json(&pages::clusters_json(&shots::all(views).await)),
        "/clusters" => Answer::text(pages::clusters(&shots::all(views).await)),
        "/listeners" if as_json => Answer::json(&pages::listeners_json(&shots::all(views).await)),
        "/listeners" => Answer::text(pages::listeners(&shots::all(views).await)),
        "/stats" | "/stats/prometheus" => {
            let counted = stats::sum(views.iter().map(|view| &*view.stats));
            let metrics = metrics::all(&counted, &shots::all(views).await, uptime(views));
            let filter = parameter(query, "filter").unwrap_or_default();
            let used = parameter(query, "usedonly").is_some();
            let prometheus = path != "/stats" || parameter(query, "format") == Some("prometheus");
            if prometheus {
                Answer::text(metrics::prometheus(&metrics))
            } else if as_json {
                Answer::json(&metrics::json(&metrics, filter, used))
            } else {
                Answer::text(metrics::plain(&metrics, filter, used))
            }
        }
        _ => {
            let text = format!("invalid path. {HELP}");
            Answer::text(text).with(StatusCode::NOT_FOUND)
        }
    }
}

fn state(views: &[View]) -> &'static str {
    let serves = |view: &View| *view.phase.borrow() == Phase::Serving;
    match views.is_empty() {
        true => "PRE_INITIALIZING",
        false if views.iter().all(serves) => "LIVE",
        false => "DRAINING",
    }
}

/// Seconds since the first of them began.
fn uptime(views: &[View]) -> u64 {
    let all = views.iter().map(|view| crate::clock::now() - view.started);
    all.max().unwrap_or_default().as_secs()
}

/// Source: `envoy.admin.v3.ConfigDump`. `departures` is ours: where an Envoy with this bootstrap would decide otherwise.
fn config_dump(views: &[View]) -> serde_json::Value {
    let dump = |view: &View| {
        let config = view.settings.borrow().config.clone();
        let likeness = envoy::write(&config, &Written::default());
        let departures: Vec<String> = likeness
            .departures
            .iter()
            .map(ToString::to_string)
            .collect();
        serde_json::json!({
            "@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump",
            "name": &*config.name,
            "bootstrap": likeness.bootstrap,
            "departures": departures,
        })
    };
    serde_json::json!({"configs": views.iter().map(dump).collect::<Vec<_>>()})
}

fn server_info(views: &[View]) -> serde_json::Value {
    let version = env!("CARGO_PKG_VERSION");
    let uptime = format!("{}s", uptime(views));
    serde_json::json!({
        "version": format!("windtunnel-proxy/{version}"),
        "state": state(views),
        "uptime_current_epoch": uptime,
        "uptime_all_epochs": uptime,
        "command_line_options": {"concurrency": views.first().map_or(0, |view| view.asks.len())},
    })
}
