//! What every Envoy is to be told: its node's configuration as its own, with places on loopback.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use manifests::envoy::{Door, Likeness, Logs, Sockets, Written, write};
use proxy_core::config::{Name, NodeConfig};
use serde_json::Value;

use super::discovery::Board;
use super::logs::{self, Names};
use super::moments::Epoch;
use super::resources::Resources;
use crate::Refusal;
use crate::books::Log;
use crate::identities::Authority;
use crate::scribe::Seat;

/// Where an address of the configuration is dialled.
pub(crate) type Places = Box<dyn Fn(SocketAddr) -> SocketAddr + Send>;

/// Where an Envoy stands.
pub(crate) struct Post {
    /// What people call it.
    pub(crate) name: String,
    pub(crate) seat: Seat,
    pub(crate) locality: Name,
    pub(crate) doors: Vec<Door>,
    pub(crate) places: Places,
    pub(crate) workers: u32,
    /// For its files.
    pub(crate) folder: PathBuf,
}

/// Between clusters and the routes that lead there: routes of a cluster that is not there yet would answer 503.
pub(super) const APART: Duration = Duration::from_millis(200);

/// Writes what Envoys are told, and knows afterwards what it has written.
pub(super) struct Writer {
    board: Arc<Board>,
    posts: Vec<Post>,
    state: RefCell<State>,
}

struct State {
    authority: Authority,
    /// By post.
    names: Vec<Names>,
    /// What each has been told, with what is on its way.
    told: Vec<Resources>,
    /// How often each has been told something.
    changes: Vec<u64>,
    departures: BTreeSet<String>,
    failures: Vec<String>,
}

/// What is to be told after the rest, and the change that it belongs to.
pub(super) struct Rest(u64);

impl Writer {
    pub(super) fn new(authority: Authority, board: Arc<Board>) -> Self {
        Self {
            board,
            posts: Vec::new(),
            state: RefCell::new(State {
                authority,
                names: Vec::new(),
                told: Vec::new(),
                changes: Vec::new(),
                departures: BTreeSet::new(),
                failures: Vec::new(),
            }),
        }
    }

    pub(super) fn add(&mut self, post: Post) {
        self.posts.push(post);
        let state = self.state.get_mut();
        state.names.push(Names::default());
        state.told.push(Resources::default());
        state.changes.push(0);
    }

    pub(super) fn post(&self, at: usize) -> &Post {
        &self.posts[at]
    }

    /// The bootstrap of an Envoy that asks at `port` for everything else.
    pub(super) fn begin(
        &self,
        at: usize,
        config: &NodeConfig,
        port: u16,
    ) -> Result<Value, Refusal> {
        let state = &mut *self.state.borrow_mut();
        let mut likeness = state.written(at, &self.posts[at], config)?;
        let resources = Resources::split(&mut likeness.bootstrap, port, at);
        self.board.publish(at, &resources);
        state.told[at] = resources;
        Ok(likeness.bootstrap)
    }

    /// Tells an Envoy of a changed configuration; where routes lead elsewhere than before, only clusters and endpoints yet.
    pub(super) fn change(&self, at: usize, config: &NodeConfig) -> Option<Rest> {
        let state = &mut *self.state.borrow_mut();
        let mut likeness = match state.written(at, &self.posts[at], config) {
            Ok(likeness) => likeness,
            Err(error) => {
                let name = &self.posts[at].name;
                state.failures.push(format!(
                    "the Envoy of {name} was not told of a change: {error}"
                ));
                return None;
            }
        };
        let mut resources = Resources::split(&mut likeness.bootstrap, 0, at);
        let before = &state.told[at];
        resources.keep_clusters(before);
        let is_apart =
            (&resources.listeners, &resources.routes) != (&before.listeners, &before.routes);
        let mut first = resources.clone();
        first.listeners.clone_from(&before.listeners);
        first.routes.clone_from(&before.routes);
        self.board.publish(at, &first);
        state.told[at] = resources;
        state.changes[at] += 1;
        is_apart.then_some(Rest(state.changes[at]))
    }

    /// Tells the rest of a change, if no other has come since.
    pub(super) fn finish(&self, at: usize, rest: &Rest) {
        let state = self.state.borrow();
        if state.changes[at] == rest.0 {
            self.board.publish(at, &state.told[at]);
        }
    }

    /// What the logs of all say, and how many lines say nothing.
    pub(super) fn read(&self, epoch: Epoch, log: &mut Log) -> usize {
        let state = self.state.borrow();
        let mut unread = 0;
        for (post, names) in self.posts.iter().zip(&state.names) {
            let (own, lines) = logs::read(&post.folder, names, &post.seat, epoch);
            log.extend(own);
            unread += lines;
        }
        unread
    }

    /// Where Envoys decide otherwise than they are meant to, and what they could not be told.
    pub(super) fn told(self) -> (BTreeSet<String>, Vec<String>) {
        let state = self.state.into_inner();
        (state.departures, state.failures)
    }
}

impl State {
    fn written(
        &mut self,
        at: usize,
        post: &Post,
        config: &NodeConfig,
    ) -> Result<Likeness, Refusal> {
        let endpoints = places(config, post);
        let file = |name: &str| post.folder.join(name).display().to_string().into();
        let written = Written {
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            locality: post.locality.clone(),
            certificates: self.authority.certificates(config)?,
            shows_keys: true,
            unresolved: Vec::new(),
            sockets: Sockets::Doors(post.doors.clone()),
            endpoints,
            logs: Some(Logs {
                requests: file(logs::REQUESTS),
                tries: file(logs::TRIES),
                ejections: file(logs::EJECTIONS),
            }),
        };
        let likeness = write(config, &written);
        self.names[at].learn(config, &likeness, &written.endpoints);
        let departures = likeness.departures.iter();
        self.departures.extend(departures.map(ToString::to_string));
        Ok(likeness)
    }
}

/// Where everything that a node may dial is found.
fn places(config: &NodeConfig, post: &Post) -> BTreeMap<SocketAddr, SocketAddr> {
    let sections = config.sections.iter();
    let clusters = sections.flat_map(|section| section.clusters());
    let endpoints = clusters.flat_map(|cluster| &cluster.endpoints.endpoints);
    let endpoints = endpoints.map(|endpoint| endpoint.address);
    let meant = post.doors.iter().filter_map(|door| door.meant);
    endpoints
        .chain(meant)
        .map(|address| (address, (post.places)(address)))
        .collect()
}
