//! The program itself, in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A running `windtunnel-proxy`.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it, and waits until it serves.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_windtunnel-proxy"))
            .args(args)
            .args(["--concurrency", "2"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let out = child.stdout.take().expect("its output");
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let line = told.recv_timeout(Duration::from_secs(30));
        assert_eq!(line.as_deref(), Ok("READY"), "it serves");
        Self(child)
    }

    /// A line of what the system says of it (`/proc/<pid>/status`), in KiB.
    fn kibibytes(&self, line: &str) -> u64 {
        let path = format!("/proc/{}/status", self.0.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let mut lines = status.lines();
        let found = lines.find_map(|it| it.strip_prefix(line)?.strip_prefix(':'));
        let number = found.and_then(|it| it.split_whitespace().next());
        number.and_then(|it| it.parse().ok()).expect("a number")
    }

    /// Its memory now, in KiB.
    pub(crate) fn resident(&self) -> u64 {
        self.kibibytes("VmRSS")
    }

    /// The most memory that it had at any time, in KiB.
    pub(crate) fn most_resident(&self) -> u64 {
        self.kibibytes("VmHWM")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
