//! Several proxies in one process, which come, change and go with what is read.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use manifests::envoy::RuntimeLayer;
use proxy_core::config::Name;

use crate::admin::{Admin, Views};
use crate::kubernetes::Ready;
use crate::process::{Change, Options, Place, Proxy, StartError};

/// What proxies of a fleet have in common.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// Workers of each proxy.
    pub concurrency: usize,
    /// Names their draws.
    pub seed: u64,
    /// How long requests under way are waited for at the end.
    pub drain: Duration,
}

/// Proxies of one process.
#[derive(Debug)]
pub struct Fleet {
    options: FleetOptions,
    running: Vec<(Name, Proxy)>,
    /// Those that are not wanted any more and have not ended.
    leaving: Vec<Proxy>,
    views: Views,
    admin: Option<Admin>,
}

impl Fleet {
    /// No proxy yet.
    #[must_use]
    pub fn new(options: FleetOptions) -> Self {
        Self {
            options,
            running: Vec::new(),
            leaving: Vec::new(),
            views: Views::default(),
            admin: None,
        }
    }

    /// Answers at the admin port for all of them.
    ///
    /// # Errors
    /// Where the port cannot be had.
    pub fn administer(&mut self, address: SocketAddr) -> Result<(), StartError> {
        let listening = |source: io::Error| StartError::Listen { address, source };
        self.admin = Some(Admin::start(address, self.views.clone()).map_err(listening)?);
        Ok(())
    }

    /// Makes the proxies those that are wanted: some begin, some change, the others take no more connections and end.
    ///
    /// # Errors
    /// What could not be done, proxy by proxy; all else is done.
    pub fn apply(&mut self, wanted: Vec<Ready>) -> Result<(), Vec<(Name, StartError)>> {
        let mut failed = Vec::new();
        let is_wanted = |name: &Name| wanted.iter().any(|ready| ready.name == *name);
        let (stay, leave) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|(name, _)| is_wanted(name));
        self.running = stay;
        self.leaving.retain(|proxy| !proxy.has_ended());
        for (_, proxy) in leave {
            proxy.drain();
            self.leaving.push(proxy);
        }
        for ready in wanted {
            let name = ready.name.clone();
            let known = self.running.iter().find(|(it, _)| *it == name);
            let done = match known {
                Some((_, proxy)) => proxy.update(Change {
                    config: ready.config,
                    secrets: ready.secrets,
                    endpoints: ready.endpoints,
                    names: ready.names,
                    doors: ready.doors,
                }),
                None => self.begin(ready),
            };
            if let Err(error) = done {
                failed.push((name, error));
            }
        }
        self.show();
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed)
        }
    }

    fn begin(&mut self, ready: Ready) -> Result<(), StartError> {
        let proxy = Proxy::start(Options {
            config: ready.config,
            admin: None,
            secrets: ready.secrets,
            endpoints: ready.endpoints,
            names: ready.names,
            concurrency: self.options.concurrency,
            seed: self.options.seed,
            drain: self.options.drain,
            doors: ready.doors,
            place: Place {
                locality: ready.locality,
                ..Place::default()
            },
        })?;
        self.running.push((ready.name, proxy));
        Ok(())
    }

    fn show(&self) {
        self.views
            .set(self.running.iter().map(|(_, proxy)| proxy.view()).collect());
    }

    /// Shows the runtime's layers at the admin port.
    pub fn show_runtime(&self, layers: Vec<RuntimeLayer>) {
        self.views.set_runtime(layers);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Begins all access logs anew, under the same names: the old files have been moved.
    pub fn reopen_logs(&self) {
        self.running
            .iter()
            .for_each(|(_, proxy)| proxy.reopen_logs());
        self.leaving.iter().for_each(Proxy::reopen_logs);
    }

    /// Takes no more connections, finishes what is under way, and ends.
    pub fn drain(&self) {
        self.running.iter().for_each(|(_, proxy)| proxy.drain());
    }

    /// Ends, whatever is under way.
    pub fn end(&self) {
        self.running.iter().for_each(|(_, proxy)| proxy.end());
        self.leaving.iter().for_each(Proxy::end);
    }

    /// Waits until all have ended.
    pub async fn ended(&self) {
        for (_, proxy) in &self.running {
            proxy.ended().await;
        }
    }

    /// Waits for the end of each.
    pub fn join(self) {
        let running = self.running.into_iter().map(|(_, proxy)| proxy);
        running.chain(self.leaving).for_each(Proxy::join);
    }
}
