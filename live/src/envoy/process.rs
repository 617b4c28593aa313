//! An Envoy as a process.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::Refusal;
use crate::clock;

/// How long one may take until it serves: with many on few processors, some do.
const START: Duration = Duration::from_secs(120);
/// How long an administrator's question may take.
const PATIENCE: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_millis(20);
/// How long one may take to end and to write down what it did not finish.
const END: Duration = Duration::from_secs(5);
/// How much is shown of what one has said.
const MOST_SAID: usize = 2000;

/// The binary: the one that is given, else the one that `$ENVOY` names, else `envoy` of the path.
///
/// # Errors
/// Where there is none.
pub fn find(given: Option<&Path>) -> Result<PathBuf, Refusal> {
    let (binary, how) = match (given, std::env::var_os("ENVOY")) {
        (Some(given), _) => (Some(given.to_owned()), "given"),
        (None, Some(named)) => (Some(named.into()), "named by $ENVOY"),
        (None, None) => (of_path(), ""),
    };
    match binary {
        Some(binary) if binary.is_file() => Ok(binary),
        Some(binary) => Err(Refusal::NoEnvoy(format!(
            "{} ({how}) is not there",
            binary.display()
        ))),
        None => Err(Refusal::NoEnvoy("there is none on the path".to_owned())),
    }
}

fn of_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|place| place.join("envoy"));
    places.find(|place| place.is_file())
}

/// One that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    folder: PathBuf,
    name: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // one that has ended already needs no end
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Starts one in a folder of its own; `name` is what people call it.
    pub(super) fn start(
        binary: &Path,
        folder: PathBuf,
        name: String,
        bootstrap: &Value,
        workers: u32,
    ) -> Result<Self, Refusal> {
        let file = folder.join("bootstrap.json");
        fs::write(&file, bootstrap.to_string())?;
        let said = File::create(folder.join("said"))?;
        let child = Command::new(binary)
            .args([
                "--use-dynamic-base-id",
                "--file-flush-interval-msec",
                "100",
                "-l",
                "warn",
                "--concurrency",
            ])
            .arg(workers.to_string())
            .arg("--admin-address-path")
            .arg(folder.join("admin"))
            .arg("-c")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            // Ctrl-C is for whoever flies
            .process_group(0)
            .spawn()
            .map_err(|error| {
                Refusal::NoEnvoy(format!("{} does not start: {error}", binary.display()))
            })?;
        Ok(Self {
            child,
            folder,
            name,
        })
    }

    /// Waits until it serves, or somebody wants to stop.
    pub(super) fn wait(&mut self, stop: Option<&(dyn Fn() -> bool + Sync)>) -> Result<(), Refusal> {
        let late = clock::now() + START;
        while !self.is_ready() {
            if self.has_ended() || clock::now() > late {
                return Err(self.failed());
            }
            if stop.is_some_and(|stop| stop()) {
                break;
            }
            std::thread::sleep(SOON);
        }
        Ok(())
    }

    /// It does not serve, and this is what it says.
    pub(super) fn failed(&self) -> Refusal {
        Refusal::Envoy {
            name: self.name.clone(),
            said: self.said(),
        }
    }

    fn is_ready(&self) -> bool {
        self.ask("/ready")
            .is_some_and(|said| said.starts_with("HTTP/1.1 200"))
    }

    /// What its admin interface answers.
    fn ask(&self, path: &str) -> Option<String> {
        let address = fs::read_to_string(self.folder.join("admin")).ok()?;
        let address: SocketAddr = address.trim().parse().ok()?;
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    }

    pub(super) fn has_ended(&mut self) -> bool {
        // one whose state nobody knows is not there
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The end of what it has said.
    pub(super) fn said(&self) -> String {
        let said = fs::read(self.folder.join("said")).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let from = said.len().saturating_sub(MOST_SAID);
        let from = (from..=said.len()).find(|at| said.is_char_boundary(*at));
        said[from.unwrap_or(0)..].trim_end().to_owned()
    }

    /// Processor time until now, and the most memory, in bytes. None: the system does not tell.
    pub(super) fn spent(&self) -> Option<(Duration, u64)> {
        let of = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.id())).ok();
        let spent = ticks(&of("stat")?)?;
        let most = kilobytes(&of("status")?)?;
        Some((spent, most << 10))
    }
}

/// Asks all of them to end, so that they write down what is under way, and waits until they have.
pub(super) fn end(mut all: Vec<Running>) -> Result<(), Refusal> {
    let ids = all.iter().map(|each| each.id().to_string());
    Command::new("kill")
        .arg("-TERM")
        .args(ids)
        .stderr(Stdio::null())
        .status()?;
    let late = clock::now() + END;
    // one that does not is ended when it is dropped
    while clock::now() < late && !all.iter_mut().all(Running::has_ended) {
        std::thread::sleep(SOON);
    }
    Ok(())
}

/// Source: `proc_pid_stat(5)`: the name stands in brackets, utime and stime are the twelfth and thirteenth after it, in hundredths of a second.
fn ticks(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((next()? + next()?) * 10))
}

/// Source: `proc_pid_status(5)`.
fn kilobytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Ends processes when this one ends, however that comes about.
#[derive(Debug)]
pub(super) struct Guard(Child);

impl Guard {
    /// A shell that waits for the end of its input, which is ours, and then ends them.
    pub(super) fn over(all: &[Running]) -> Result<Self, Refusal> {
        let child = Command::new("sh")
            .args(["-c", "read -r _; kill -9 \"$@\" 2> /dev/null", "sh"])
            .args(all.iter().map(|each| each.id().to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_has_spent_is_read() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 150 25 0 0 20 0 5 0 100 0 0";
        assert_eq!(ticks(stat), Some(Duration::from_millis(1750)));
        assert_eq!(
            kilobytes("Name:\tenvoy\nVmHWM:\t  51200 kB\n"),
            Some(51_200)
        );
    }

    #[test]
    fn an_envoy_that_is_not_there_is_told_of() {
        let refusal = find(Some(Path::new("/nowhere/envoy"))).expect_err("there is none");
        let said = refusal.to_string();
        assert!(
            said.contains("/nowhere/envoy (given) is not there"),
            "{said}"
        );
    }
}
