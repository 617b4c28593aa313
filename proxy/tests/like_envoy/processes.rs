//! A proxy as a process.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::binaries::{self, Side};

/// How long a proxy may take until it serves.
const START: Duration = Duration::from_secs(30);

/// How long a proxy may take to end.
const END: Duration = Duration::from_secs(10);

/// A proxy that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    side: Side,
    child: Child,
    said: NamedTempFile,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Starts a proxy and waits until it serves at all of these addresses; else gives what it says.
    pub(crate) async fn start(side: Side, file: &Path, at: &[SocketAddr]) -> Result<Self, String> {
        let said = NamedTempFile::new().expect("a file for what it says");
        let errors: File = said.reopen().expect("the same file");
        let mut command = match side {
            Side::Envoy => {
                let mut command = Command::new(binaries::envoy());
                command.args(["--disable-hot-restart", "--log-level", "error"]);
                command.args(["--file-flush-interval-msec", "100"]);
                command
            }
            Side::Ours => Command::new(binaries::ours()),
        };
        let child = command
            .arg("-c")
            .arg(file)
            .args(["--concurrency", "1"])
            .env("LIKE_ENVOY", "a value")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {}: {error}", side.name()));
        let mut running = Self { side, child, said };
        let late = Instant::now() + START;
        for address in at {
            while TcpStream::connect(address).await.is_err() {
                let ended = running.child.try_wait().expect("it is a child");
                if ended.is_some() || Instant::now() > late {
                    return Err(format!(
                        "{} does not serve:\n{}",
                        side.name(),
                        running.said()
                    ));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(running)
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(&mut self) {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status();
        asked.expect("a signal can be sent");
        // nobody is waited for: a second signal says so to ours, which finishes what is under way
        tokio::time::sleep(Duration::from_millis(100)).await;
        if self.side == Side::Ours && self.lives() {
            let again = Command::new("kill").args(["-TERM", &id]).status();
            again.expect("a signal can be sent");
        }
        let late = Instant::now() + END;
        while self.lives() && Instant::now() < late {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What it has written, the end of it.
    pub(crate) fn said(&self) -> String {
        const MOST: usize = 4000;
        let bytes = std::fs::read(self.said.path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let from = text.len().saturating_sub(MOST);
        let from = (from..=text.len()).find(|at| text.is_char_boundary(*at));
        text[from.unwrap_or(0)..].to_owned()
    }

    /// Whether it still runs.
    pub(crate) fn lives(&mut self) -> bool {
        self.child.try_wait().expect("it is a child").is_none()
    }
}
