//! The admin port, under Envoy's paths. It has a thread of its own: nobody who asks holds up a request.

mod facts;
mod metrics;
mod pages;
mod shots;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use manifests::envoy::{self, RuntimeLayer, Written};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};

use crate::body::{BrokenOff, ResponseBody};
use crate::log::Pen;
use crate::process::{Ask, Phase, Settings};
use crate::stats::{self, Stats};
use crate::voice::{self, Level, Unknown, say};

/// What is shown of a proxy.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) stats: Arc<Stats>,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) started: Instant,
    pub(crate) settings: watch::Receiver<Settings>,
    /// Its workers.
    pub(crate) asks: Arc<[UnboundedSender<Ask>]>,
    /// Its access logs.
    pub(crate) pen: Pen,
}

/// The proxies that are shown, and what else there is to show of their process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Views(Arc<Mutex<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    views: Arc<[View]>,
    runtime: Arc<[RuntimeLayer]>,
}

impl Views {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, views: Vec<View>) {
        self.shown().views = views.into();
    }

    pub(crate) fn set_runtime(&self, runtime: Vec<RuntimeLayer>) {
        self.shown().runtime = runtime.into();
    }

    fn get(&self) -> Arc<[View]> {
        self.shown().views.clone()
    }

    fn runtime(&self) -> Arc<[RuntimeLayer]> {
        self.shown().runtime.clone()
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
            let (views, runtime) = (views.get(), views.runtime());
            async move { Ok::<_, BrokenOff>(answer(&request, &views, &runtime).await) }
        });
        spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// What is there, as `/help` and `/` say it.
const HELP: &str = "admin commands are:
  /certs: certificates that are shown and believed
  /clusters: clusters and their endpoints
      format: one of (text, json)
  /config_dump: what each proxy does, as the bootstrap of an Envoy that decides alike
  /drain_listeners (POST): takes no more connections, lets requests under way end, and ends
  /help: this page
  /listeners: sockets
      format: one of (text, json)
  /logging (POST): shows and changes what the process says of itself
      level: the level of all loggers; one of (trace, debug, info, warning, error, critical, off)
      paths: levels of several loggers, as in name:level,name:level
  /memory: what the system counts of the process's memory
  /quitquitquit (POST): ends at once
  /ready: 200 while connections are served
  /reopen_logs (POST): begins access logs anew
  /reset_counters (POST): counts from zero again
  /runtime: runtime keys of the bootstrap
  /server_info: state, version and uptime
  /stats: metrics
      filter: those whose name contains this
      usedonly: those alone that have counted something
      format: one of (text, json, prometheus)
  /stats/prometheus: metrics for Prometheus
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

/// Paths that change something.
const CHANGES: [&str; 5] = [
    "/drain_listeners",
    "/quitquitquit",
    "/logging",
    "/reopen_logs",
    "/reset_counters",
];

async fn answer(
    request: &Request<Incoming>,
    views: &[View],
    runtime: &[RuntimeLayer],
) -> Response<ResponseBody> {
    let (path, query) = (request.uri().path(), request.uri().query());
    let query = query.unwrap_or_default();
    say!(Admin, Debug, "{} {}", request.method(), request.uri());
    let answer = match (path, request.method()) {
        (path, method) if CHANGES.contains(&path) && method != Method::POST => {
            let text = format!("Method {method} not allowed, POST required.\n");
            Answer::text(text).with(StatusCode::METHOD_NOT_ALLOWED)
        }
        ("/drain_listeners", _) => enter(views, Phase::Draining),
        ("/quitquitquit", _) => enter(views, Phase::Ended),
        ("/logging", _) => logging(query),
        ("/reopen_logs", _) => {
            views.iter().for_each(|view| view.pen.reopen());
            Answer::text("OK\n")
        }
        ("/reset_counters", _) => reset_counters(views),
        ("/runtime", _) => Answer::json(&facts::runtime(runtime)),
        (path, _) => page(path, query, views).await,
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

const LOGGING: &str = "
usage: /logging?<name>=<level> (change single level)
usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)
usage: /logging?level=<level> (change all levels)
levels: trace debug info warning error critical off
";

/// Source: Envoy 1.40 `source/server/admin/logs_handler.cc`.
fn logging(query: &str) -> Answer {
    let changed = match query.split_once('=') {
        None if query.is_empty() => Ok(()),
        None => Err(Unknown::Level),
        Some(("level", level)) => Level::parse(level)
            .ok_or(Unknown::Level)
            .map(voice::set_all),
        Some(("paths", paths)) => voice::set_several(paths),
        Some((name, level)) => voice::set_several(&format!("{name}:{level}")),
    };
    match changed {
        Ok(()) => Answer::text(voice::listed()),
        Err(unknown) => {
            let text = format!("error: {unknown}\n{LOGGING}");
            Answer::text(text).with(StatusCode::BAD_REQUEST)
        }
    }
}

fn reset_counters(views: &[View]) -> Answer {
    for view in views {
        view.stats.reset();
        for worker in view.asks.iter() {
            // one that has ended counts no more
            let _ = worker.send(Box::new(|worker| worker.books.reset()));
        }
    }
    Answer::text("OK\n")
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
        "/certs" => Answer::json(&facts::certificates(views)),
        "/memory" => match facts::memory() {
            Some(memory) => Answer::json(&memory),
            None => Answer::text("the system does not say\n").with(StatusCode::NOT_IMPLEMENTED),
        },
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
