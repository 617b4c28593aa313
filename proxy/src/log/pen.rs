//! The writer of a process: one thread, which has the files.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use proxy_core::config::{ChainAction, FilterChain, Name, NodeConfig};
use proxy_core::log::{AccessLog, LogSink};
use rustc_hash::FxHashMap;

use crate::voice::say;

/// What the writer is asked to do.
enum Order {
    Write(LogSink, Vec<u8>),
    /// Files have been moved: begin new ones.
    Reopen,
}

/// The way to the writer, which begins with the first line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pen {
    known: Option<Sender<Order>>,
    shared: Arc<Mutex<Desk>>,
}

/// Whoever holds the pen.
#[derive(Debug, Default)]
struct Desk {
    sender: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Pen {
    pub(crate) fn write(&mut self, sink: &LogSink, bytes: Vec<u8>) {
        let sender = match &self.known {
            Some(sender) => sender,
            None => {
                let sender = self.desk().sender();
                self.known.insert(sender)
            }
        };
        // the writer outlives all that may write
        let _ = sender.send(Order::Write(sink.clone(), bytes));
    }

    fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has files opened anew.
    pub(crate) fn reopen(&self) {
        if let Some(sender) = &self.desk().sender {
            let _ = sender.send(Order::Reopen);
        }
    }

    /// Waits until all is written that has been handed over. Nobody else may hold the pen.
    pub(crate) fn put_down(self) {
        let Self { known, shared } = self;
        drop(known);
        let mut desk = shared.lock().unwrap_or_else(PoisonError::into_inner);
        desk.sender = None;
        if let Some(thread) = desk.thread.take() {
            // one that panicked has said so
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn sender(&mut self) -> Sender<Order> {
        if let Some(sender) = &self.sender {
            return sender.clone();
        }
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new().name("logs".to_owned());
        match thread.spawn(move || Writer::default().run(&receiver)) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => say!(File, Error, "access logs are not written: {error}"),
        }
        self.sender = Some(sender.clone());
        sender
    }
}

#[derive(Default)]
struct Writer {
    files: FxHashMap<Name, Option<File>>,
}

impl Writer {
    fn run(&mut self, orders: &Receiver<Order>) {
        while let Ok(order) = orders.recv() {
            match order {
                Order::Reopen => self.files.clear(),
                Order::Write(sink, bytes) => self.write(&sink, &bytes),
            }
        }
    }

    fn write(&mut self, sink: &LogSink, bytes: &[u8]) {
        let (written, name) = match sink {
            LogSink::Stdout => (whole(&mut io::stdout(), bytes), "the standard output"),
            LogSink::Stderr => (whole(&mut io::stderr(), bytes), "the standard error"),
            LogSink::File(path) => {
                let file = self.files.entry(path.clone()).or_insert_with(|| {
                    let opened = open(path);
                    opened
                        .inspect_err(|error| say!(File, Error, "{path} is not written: {error}"))
                        .ok()
                });
                match file {
                    Some(file) => (file.write_all(bytes), &**path),
                    None => return,
                }
            }
        };
        if let Err(error) = written {
            say!(
                File,
                Error,
                "{} bytes of access log are lost, {name}: {error}",
                bytes.len()
            );
        }
    }
}

fn whole(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(Path::new(path))
}

/// Sees whether all files that a configuration logs to can be opened.
///
/// # Errors
/// With the first that cannot.
pub(crate) fn open_all(config: &NodeConfig) -> Result<(), (Name, io::Error)> {
    for log in logs_of(config) {
        if let LogSink::File(path) = &log.sink {
            open(path).map_err(|error| (path.clone(), error))?;
        }
    }
    Ok(())
}

fn logs_of(config: &NodeConfig) -> impl Iterator<Item = &AccessLog> {
    let listeners = config
        .sections
        .iter()
        .flat_map(|section| section.listeners());
    listeners.flat_map(|listener| {
        let of_chains = listener.chains.iter().flat_map(of_chain);
        listener.logs.all().iter().chain(of_chains)
    })
}

fn of_chain(chain: &FilterChain) -> &[AccessLog] {
    match &chain.action {
        ChainAction::Http(http) => http.logs.all(),
        ChainAction::Tcp(tcp) => tcp.logs.all.all(),
        ChainAction::Udp(_) | ChainAction::Close(_) => &[],
    }
}
