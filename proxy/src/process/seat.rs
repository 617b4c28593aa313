//! A worker's thread: its node, its sockets, and what it is told while it runs.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use proxy_core::config::{EndpointSet, Name};
use proxy_core::node::{Arrival, Identity, Input};
use proxy_core::time::Time;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle as JoinHandleLocal, spawn_local};

use super::{Ask, Fresh, Phase, Place, Settings, Socket, Sockets};
use crate::doors::{self, Door};
use crate::log::Pen;
use crate::names::{self, Asking};
use crate::shared::AtomicState;
use crate::stats::Stats;
use crate::tls::Keeper;
use crate::worker::Handle;
use crate::{clock, datagrams, slow};

/// All that a worker takes to its thread.
pub(super) struct Seat {
    pub(super) asked: UnboundedReceiver<Ask>,
    /// Of the one worker that asks for names.
    pub(super) asking: Option<Asking>,
    pub(super) identity: Identity,
    pub(super) shared: AtomicState,
    pub(super) started: Instant,
    pub(super) number: usize,
    pub(super) sockets: Sockets,
    pub(super) fresh: Fresh,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) settings: watch::Receiver<Settings>,
    pub(super) stats: Arc<Stats>,
    pub(super) drain: Duration,
    pub(super) place: Place,
    pub(super) pen: Pen,
}

impl Seat {
    pub(super) async fn run(mut self) {
        let mut settings = self.settings.borrow_and_update().clone();
        let handle = Handle::new(
            self.identity,
            settings.config.clone(),
            self.shared,
            self.started,
            self.stats.clone(),
            Keeper::new(settings.secrets.clone()),
            self.place,
            self.pen,
        );
        handle.set_endpoints(settings.endpoints.clone());
        handle.start();
        spawn_local(keep_time(handle.clone(), self.started));
        spawn_local(slow::watch(handle.clone()));
        spawn_local(obey(handle.clone(), self.asked));
        if let Some(asking) = self.asking {
            spawn_local(names::keep(asking));
        }
        let mut accepting: Vec<(Door, oneshot::Sender<()>, JoinHandleLocal<()>)> = Vec::new();
        let open = |(socket, door)| {
            let (shut, is_shut) = oneshot::channel();
            let task = match socket {
                Socket::Connections(socket) => {
                    let until = (self.phase.subscribe(), is_shut);
                    let stats = self.stats.clone();
                    let task = doors::accept(handle.clone(), socket, door, until, stats);
                    spawn_local(task)
                }
                Socket::Datagrams(socket) => {
                    spawn_local(datagrams::serve(handle.clone(), socket, door, is_shut))
                }
            };
            (door, shut, task)
        };
        accepting.extend(self.sockets.into_iter().map(open));
        let mut phase = self.phase.subscribe();
        loop {
            tokio::select! {
                changed = phase.changed() => {
                    let now = *phase.borrow_and_update();
                    if changed.is_err() || now != Phase::Serving {
                        break;
                    }
                }
                changed = self.settings.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let new = self.settings.borrow_and_update().clone();
                    if !Arc::ptr_eq(&new.secrets, &settings.secrets) {
                        handle.renew(new.secrets.clone());
                    }
                    if Arc::ptr_eq(&new.config, &settings.config) {
                        let mut changed = new.endpoints.clone();
                        let is_known = |(name, set): &(Name, Arc<EndpointSet>)| {
                            let mut known = settings.endpoints.iter();
                            known.any(|(it, old)| it == name && Arc::ptr_eq(old, set))
                        };
                        changed.retain(|it| !is_known(it));
                        handle.set_endpoints(changed);
                    } else {
                        handle.update(new.config.clone(), &new.endpoints);
                    }
                    settings = new;
                    // whoever loses its sender ends
                    accepting.retain(|(door, ..)| settings.doors.contains(door));
                    let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
                    let taken = fresh.get_mut(self.number).map(std::mem::take);
                    accepting.extend(taken.into_iter().flatten().map(open));
                }
            }
        }
        // sessions that are under way go on for a while
        let (_datagrams, accepting): (Vec<_>, Vec<_>) = accepting
            .into_iter()
            .partition(|(door, ..)| door.arrival == Arrival::Datagrams);
        for (_, _, task) in accepting {
            // had it panicked, it would have said so
            let _ = task.await;
        }
        handle.input(Input::Drain);
        let until = clock::now() + self.drain;
        while clock::now() < until
            && *phase.borrow() != Phase::Ended
            && handle.look(|worker| !worker.is_idle())
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        handle.take_leave_of_spans().await;
    }
}

/// Does what others ask of a worker.
async fn obey(handle: Handle, mut asked: UnboundedReceiver<Ask>) {
    while let Some(ask) = asked.recv().await {
        handle.look(|worker| ask(worker));
    }
}

/// Fires timers when they are due.
async fn keep_time(handle: Handle, started: Instant) {
    loop {
        let next = handle.fire();
        if next == Time::MAX {
            handle.sooner().await;
            continue;
        }
        let at = started + Duration::from_nanos(next.as_nanos());
        tokio::select! {
            () = tokio::time::sleep_until(at.into()) => {}
            () = handle.sooner() => {}
        }
    }
}
