//! Envoys that run, and what they are asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use manifests::envoy::{Door, Logs, Sockets, Written, write};
use proxy_core::config::NodeConfig;

/// Envoy, if the environment names it.
pub(crate) fn envoy() -> Option<PathBuf> {
    let found = std::env::var_os("ENVOY").map(PathBuf::from);
    if found.is_none() {
        eprintln!("SKIPPED: no Envoy to ask; name its binary in $ENVOY");
    }
    found
}

/// An Envoy that runs until it is dropped.
pub(crate) struct Running {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Running {
    pub(crate) fn start(
        envoy: PathBuf,
        config: &NodeConfig,
        doors: Vec<Door>,
        logs: Option<Logs>,
    ) -> Self {
        let written = Written {
            sockets: Sockets::Doors(doors),
            logs,
            ..Written::default()
        };
        Self::written(envoy, config, &written)
    }

    /// Starts what is written of a node.
    pub(crate) fn written(envoy: PathBuf, config: &NodeConfig, written: &Written) -> Self {
        let waits_for: Vec<SocketAddr> = match &written.sockets {
            Sockets::Own => Vec::new(),
            Sockets::Doors(doors) => doors.iter().map(|door| door.address).collect(),
        };
        let likeness = write(config, written);
        let folder = tempfile::tempdir().expect("a folder");
        Self::in_folder(envoy, folder, &likeness.bootstrap.to_string(), &waits_for)
    }

    /// Starts a bootstrap beside the files of a folder.
    pub(crate) fn in_folder(
        envoy: PathBuf,
        folder: tempfile::TempDir,
        bootstrap: &str,
        waits_for: &[SocketAddr],
    ) -> Self {
        let file = folder.path().join("bootstrap.json");
        std::fs::write(&file, bootstrap).expect("a file");
        let mut command = Command::new(envoy);
        command.args([
            "--use-dynamic-base-id",
            "--concurrency",
            "1",
            "-l",
            "error",
            "-c",
        ]);
        let child = command.arg(&file).stderr(Stdio::null()).spawn();
        let mut running = Self {
            child: child.expect("Envoy runs"),
            _folder: folder,
        };
        for at in waits_for {
            running.wait_for(*at);
        }
        running
    }

    fn wait_for(&mut self, at: SocketAddr) {
        for _ in 0..300 {
            if TcpStream::connect(at).is_ok() {
                return;
            }
            let ended = self.child.try_wait().expect("its state");
            assert!(ended.is_none(), "Envoy refuses its bootstrap");
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("nobody listens at {at}");
    }

    /// Lets it end, so that what it has to say is written.
    pub(crate) fn end(mut self) {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        assert!(told.expect("a signal").success());
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A free port of an address of loopback.
pub(crate) fn free(ip: [u8; 4]) -> SocketAddr {
    let probe = TcpListener::bind((std::net::Ipv4Addr::from(ip), 0)).expect("a port");
    probe.local_addr().expect("its address")
}

/// Answers every request with its head.
pub(crate) fn mirror() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            let reply = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                head.len()
            );
            let _ = stream.write_all(reply.as_bytes());
            let _ = stream.write_all(&head);
        }
    });
    at
}

/// What comes back for these bytes.
pub(crate) fn ask(at: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(at).expect("a connection");
    let limit = Some(Duration::from_secs(10));
    stream.set_read_timeout(limit).expect("a timeout");
    stream.write_all(bytes.as_bytes()).expect("a request");
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}
