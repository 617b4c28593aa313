//! Real Envoys in the place of our own proxies, on configuration that says the same.
//!
//! Each is a process of its own. What may change while it runs it asks for and is told; what it did is read from its logs once the run is
//! over. It knows nothing of where pods are found on loopback: its endpoints are written as they are dialled there.

mod discovery;
mod logs;
mod moments;
mod process;
mod resources;
mod writer;

use std::net::TcpListener;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use proxy_core::config::NodeConfig;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

use crate::Refusal;
use crate::books::Log;
use crate::identities::Authority;
use discovery::Board;
use process::{Guard, Running};

pub(crate) use moments::{Epoch, Moment};
pub use process::find;
pub(crate) use writer::Post;
use writer::Writer;

/// How long an Envoy may take to write down what has happened, twice its own period of a tenth of a second and some more.
const WRITES: std::time::Duration = std::time::Duration::from_millis(300);

/// A configuration for one of them.
type Order = (usize, Arc<NodeConfig>);

/// All Envoys of a run. They end when this is dropped.
pub(crate) struct Fleet {
    // in the order in which they go
    guard: Guard,
    running: Vec<Running>,
    orders: mpsc::UnboundedSender<Order>,
    teller: JoinHandle<Option<Writer>>,
    board: Arc<Board>,
    _folder: TempDir,
}

/// What they leave.
pub(crate) struct Left {
    pub(crate) log: Log,
    /// Where they decide otherwise than the configuration says.
    pub(crate) departures: Vec<String>,
    /// What is to be known of the run.
    pub(crate) remarks: Vec<String>,
    /// Why it must not be believed, if it must not.
    pub(crate) broken: Vec<String>,
}

impl Fleet {
    /// Starts one for every post, and waits until all serve, or somebody wants to stop.
    pub(crate) fn start(
        binary: &Path,
        posts: Vec<(Post, Arc<NodeConfig>)>,
        authority: Authority,
        stop: Option<&(dyn Fn() -> bool + Sync)>,
    ) -> Result<Self, Refusal> {
        let folder = tempfile::Builder::new().prefix("windtunnel-").tempdir()?;
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let port = socket.local_addr()?.port();
        let board = Arc::new(Board::new(posts.len()));
        let mut configs = Vec::new();
        let mut writer = Writer::new(authority, board.clone());
        for (at, (mut post, config)) in posts.into_iter().enumerate() {
            post.folder = folder.path().join(at.to_string());
            std::fs::create_dir(&post.folder)?;
            writer.add(post);
            configs.push(config);
        }
        let mut running = Vec::new();
        for (at, config) in configs.iter().enumerate() {
            let bootstrap = writer.begin(at, config, port)?;
            let post = writer.post(at);
            running.push(Running::start(
                binary,
                post.folder.clone(),
                post.name.clone(),
                &bootstrap,
                post.workers,
            )?);
        }
        let (orders, heard) = mpsc::unbounded_channel();
        let told = board.clone();
        let teller = std::thread::Builder::new().name("discovery".to_owned());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let teller = teller.spawn(move || {
            let writer = Rc::new(writer);
            let telling = LocalSet::new();
            telling.block_on(&runtime, tell(told, socket, writer.clone(), heard));
            // whatever still holds it goes with the tasks
            drop(telling);
            Rc::into_inner(writer)
        })?;
        let mut fleet = Self {
            guard: Guard::over(&running)?,
            running,
            orders,
            teller,
            board,
            _folder: folder,
        };
        for each in &mut fleet.running {
            each.wait(stop)?;
        }
        if let Some((seat, kind)) = fleet.board.refused().first() {
            let each = &fleet.running[*seat];
            return Err(Refusal::Envoy {
                name: each.name().to_owned(),
                said: format!("it refuses its {}: {}", kind.words(), each.said()),
            });
        }
        Ok(fleet)
    }

    /// Has one of them go by a configuration from soon on.
    pub(crate) fn configure(&self, seat: usize, config: Arc<NodeConfig>) {
        // whoever would hear it is there until the end
        let _ = self.orders.send((seat, config));
    }

    /// Ends them, and reads what they have written down since `epoch`.
    pub(crate) async fn end(mut self, epoch: Epoch) -> Left {
        tokio::time::sleep(WRITES).await;
        let (mut remarks, mut broken) = (Vec::new(), Vec::new());
        for (seat, kind) in self.board.refused() {
            let each = &self.running[seat];
            broken.push(format!(
                "the Envoy of {} refused its {}: {}",
                each.name(),
                kind.words(),
                each.said()
            ));
        }
        for each in &mut self.running {
            if each.has_ended() {
                broken.push(format!(
                    "the Envoy of {} ended: {}",
                    each.name(),
                    each.said()
                ));
            }
        }
        remarks.extend(self.spent());
        let Self {
            guard,
            running,
            orders,
            teller,
            board,
            _folder: folder,
        } = self;
        drop(guard);
        let ended = process::end(running);
        broken.extend(ended.err().map(|error| error.to_string()));
        drop((orders, board));
        let writer = teller.join().ok().flatten();
        let mut left = Left {
            log: Log::new(),
            departures: Vec::new(),
            remarks,
            broken,
        };
        match writer {
            Some(writer) => {
                let unread = writer.read(epoch, &mut left.log);
                if unread > 0 {
                    let what = format!("{unread} lines of Envoys' logs could not be read");
                    left.broken.push(what);
                }
                let (departures, failures) = writer.told();
                left.departures = departures.into_iter().collect();
                left.broken.extend(failures);
            }
            None => left.broken.push("nobody told Envoys of changes".to_owned()),
        }
        drop(folder);
        left
    }

    /// What they have taken of the machine.
    fn spent(&self) -> Option<String> {
        if self.running.is_empty() {
            return Some("no pod has a proxy: no Envoy stands anywhere".to_owned());
        }
        let all: Option<Vec<_>> = self.running.iter().map(Running::spent).collect();
        let all = all?;
        let time: f64 = all.iter().map(|(time, _)| time.as_secs_f64()).sum();
        let most = all.iter().map(|(_, bytes)| bytes >> 20).max()?;
        Some(format!(
            "{} Envoys worked for {time:.1} s of processor time, their start included; none had more than {most} MiB",
            all.len()
        ))
    }
}

/// Serves what Envoys ask for, and changes it, until there are no more orders.
async fn tell(
    board: Arc<Board>,
    socket: TcpListener,
    writer: Rc<Writer>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let served = spawn_local(async move {
        // without it no Envoy begins, and the flight does not either
        let _ = discovery::serve(board, socket).await;
    });
    while let Some((seat, config)) = orders.recv().await {
        let rest = writer.change(seat, &config);
        if let Some(rest) = rest {
            let writer = writer.clone();
            spawn_local(async move {
                tokio::time::sleep(writer::APART).await;
                writer.finish(seat, &rest);
            });
        }
    }
    served.abort();
}
