//! Tells running Envoys what their configuration is: each asks, and has its answer when there is something that it does not have yet.
//!
//! Source: Envoy's REST variant of xDS. A request says which version it has; one that comes again without the version that was just
//! sent says that this was refused.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::Hasher;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use rustc_hash::{FxHashMap, FxHasher};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::spawn_local;

use super::resources::{Kind, Resources, response};

/// One answer.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Answer {
    version: String,
    body: Bytes,
}

type Key = (Kind, String);
/// All answers for one Envoy.
type Answers = BTreeMap<Key, Answer>;

/// What every Envoy is told.
#[derive(Default)]
pub(super) struct Board {
    seats: Vec<watch::Sender<Arc<Answers>>>,
    heard: Mutex<Heard>,
}

/// What Envoys have said.
#[derive(Default)]
struct Heard {
    /// The version that was sent last.
    sent: FxHashMap<(usize, Key), String>,
    refused: Vec<(usize, Kind)>,
}

impl Board {
    pub(super) fn new(seats: usize) -> Self {
        let seats = (0..seats).map(|_| watch::Sender::default());
        Self {
            seats: seats.collect(),
            heard: Mutex::default(),
        }
    }

    /// Has an Envoy told this from now on.
    pub(super) fn publish(&self, seat: usize, resources: &Resources) {
        let answers = resources.answers().map(|(kind, name, values)| {
            let mut hasher = FxHasher::default();
            let said = response(kind, "", &values).to_string();
            hasher.write(said.as_bytes());
            let version = format!("{:016x}", hasher.finish());
            let body = response(kind, &version, &values).to_string().into();
            ((kind, name.to_owned()), Answer { version, body })
        });
        let answers = Arc::new(answers.collect());
        if let Some(seat) = self.seats.get(seat) {
            seat.send_replace(answers);
        }
    }

    /// Which Envoys have refused what until now, each once.
    pub(super) fn refused(&self) -> Vec<(usize, Kind)> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.refused.clone()
    }

    /// The version that whoever asks with this one has refused.
    fn refused_by(&self, seat: usize, key: &Key, version: &str) -> Option<String> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = heard.sent.get(&(seat, key.clone()));
        let refused = sent.filter(|sent| *sent != version).cloned()?;
        if !heard.refused.contains(&(seat, key.0)) {
            heard.refused.push((seat, key.0));
        }
        Some(refused)
    }

    fn sends(&self, seat: usize, key: Key, version: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.sent.insert((seat, key), version.to_owned());
    }

    /// The next answer for an Envoy that has `version`; none: the run is over, or nobody knows who asks.
    async fn answer(&self, seat: usize, key: Key, version: &str) -> Option<Bytes> {
        let mut told = self.seats.get(seat)?.subscribe();
        let refused = self.refused_by(seat, &key, version);
        loop {
            let answers = told.borrow_and_update().clone();
            if let Some(answer) = answers.get(&key)
                && answer.version != version
                && refused.as_ref() != Some(&answer.version)
            {
                self.sends(seat, key, &answer.version);
                return Some(answer.body.clone());
            }
            told.changed().await.ok()?;
        }
    }
}

async fn take(board: Arc<Board>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let kind = Kind::of(request.uri().path());
    let body = request.into_body().collect().await;
    let body = body.map(http_body_util::Collected::to_bytes);
    let said: Option<Value> = body
        .ok()
        .and_then(|body| serde_json::from_slice(&body).ok());
    let asked = kind.zip(said).and_then(|(kind, said)| {
        let seat = said["node"]["metadata"]["seat"].as_f64()? as usize;
        let name = match kind {
            Kind::Clusters | Kind::Listeners => "",
            Kind::Endpoints | Kind::Routes => said["resource_names"][0].as_str()?,
        };
        let version = said["version_info"].as_str().unwrap_or_default();
        Some((seat, (kind, name.to_owned()), version.to_owned()))
    });
    let (status, body) = match asked {
        Some((seat, key, version)) => match board.answer(seat, key, &version).await {
            Some(body) => (StatusCode::OK, body),
            None => (StatusCode::NOT_FOUND, Bytes::new()),
        },
        None => (StatusCode::BAD_REQUEST, Bytes::new()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

/// Serves until it is dropped.
pub(super) async fn serve(board: Arc<Board>, socket: TcpListener) -> std::io::Result<()> {
    socket.set_nonblocking(true)?;
    let socket = tokio::net::TcpListener::from_std(socket)?;
    loop {
        let (stream, _) = socket.accept().await?;
        let board = board.clone();
        let service = service_fn(move |request| {
            let board = board.clone();
            async move { Ok::<_, Infallible>(take(board, request).await) }
        });
        spawn_local(async move {
            // an Envoy that ends takes its connection with it
            let _ = auto::Builder::new(proxy::Local)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use serde_json::json;

    use super::*;

    fn with(name: &str) -> Resources {
        let mut resources = Resources::default();
        let cluster = json!({"name": name});
        resources.clusters.insert(name.to_owned(), cluster);
        resources
    }

    /// What is answered at once.
    fn asked(board: &Board, version: &str) -> Option<Value> {
        let key = (Kind::Clusters, String::new());
        let mut answer = pin!(board.answer(0, key, version));
        match answer
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(answer) => {
                let answer = answer.expect("the board is there");
                Some(serde_json::from_slice(&answer).expect("JSON"))
            }
            Poll::Pending => None,
        }
    }

    #[test]
    fn whoever_has_everything_waits_for_something_new() {
        let board = Board::new(1);
        assert_eq!(asked(&board, ""), None);
        board.publish(0, &with("a"));
        let first = asked(&board, "").expect("an answer");
        let version = first["version_info"].as_str().expect("a version");
        assert_eq!(first["resources"][0]["name"], "a");
        assert_eq!(asked(&board, version), None);
        board.publish(0, &with("b"));
        let second = asked(&board, version).expect("an answer");
        assert_eq!(second["resources"][0]["name"], "b");
        assert_eq!(board.refused(), []);
    }

    #[test]
    fn what_was_refused_is_not_sent_again() {
        let board = Board::new(1);
        board.publish(0, &with("a"));
        assert!(asked(&board, "").is_some());
        assert_eq!(asked(&board, ""), None);
        assert_eq!(board.refused(), [(0, Kind::Clusters)]);
        board.publish(0, &with("b"));
        assert!(asked(&board, "").is_some());
    }
}
