//! Requests of clients that stay with one endpoint.

use core::fmt::Write as _;
use core::net::SocketAddr;

use super::machine::{Env, Machine, Placing};
use crate::config::{Forward, Session, SessionCarrier};
use crate::heads::{HeadWriter, Heads};
use crate::ids::{EndpointSlot, ExchangeId};
use crate::route::RequestView;
use crate::shared::SharedState;

/// Where a client's session is, and where its request went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Held {
    /// The endpoint that it has brought.
    pub(super) brought: Option<SocketAddr>,
    /// The endpoint that was chosen.
    pub(super) chosen: Option<SocketAddr>,
}

impl Held {
    /// The endpoint that the client is to be told of, where it has not brought it.
    pub(super) fn news(&self) -> Option<SocketAddr> {
        self.chosen.filter(|chosen| self.brought != Some(*chosen))
    }
}

/// The address that a request brings.
fn brought<H: Heads>(session: &Session, view: RequestView<'_, H>) -> Option<SocketAddr> {
    match &session.carrier {
        SessionCarrier::Header(name) => view.header(name)?.trim().parse().ok(),
        SessionCarrier::Cookie { name, .. } => {
            let mut found = None;
            view.any_value("cookie", |line| {
                found = found.or_else(|| super::hash::cookie(line, name)?.parse().ok());
                found.is_some()
            });
            found
        }
    }
}

impl Machine {
    /// Finds out where the session of a request is; of several clusters the one that has its endpoint is taken before any draw.
    #[inline(never)]
    pub(super) fn find_session<S: SharedState, H: Heads>(
        &mut self,
        env: &Env<'_, S, H>,
        id: ExchangeId,
        session: &Session,
        forward: &Forward,
    ) {
        let exchange = self.exchange(id);
        let place = exchange.place;
        let brought = brought(session, exchange.view(env.heads));
        let section = env.configs.section(place.config, place.section);
        let has = |index| {
            let cluster = env.configs.cluster_id(place.config, place.section, index);
            let live = self
                .clusters
                .get(cluster.0 as usize)
                .and_then(Option::as_deref);
            let endpoints = match live {
                Some(live) => &live.endpoints,
                None => &section.clusters()[index.0 as usize].endpoints,
            };
            let mut endpoints = endpoints.endpoints.iter();
            endpoints.any(|endpoint| Some(endpoint.address) == brought)
        };
        let mut clusters = forward.clusters.iter();
        let at = brought
            .and_then(|_| clusters.position(|it| it.weight > 0 && it.cluster.is_some_and(has)));
        let exchange = self.exchange_mut(id);
        if let Some(at) = at {
            exchange.weighted = at as u16;
            exchange.changes = exchange.changes.through(&forward.clusters[at]);
        }
        exchange.session = Some(Box::new(Held {
            brought,
            chosen: None,
        }));
    }
}

/// The endpoint that the session of an exchange holds to, as long as it may be used.
#[inline(never)]
pub(super) fn held<S: SharedState>(placing: &Placing<'_>, shared: &S) -> Option<EndpointSlot> {
    let session = placing.exchange.session.as_deref()?;
    placing.cluster.usable_at(shared, session.brought?)
}

/// Tells the client which endpoint its next requests go to.
///
/// Source: envoy `source/common/http/utility.cc` (`makeSetCookieValue`).
pub(super) fn write(session: &Session, endpoint: SocketAddr, out: &mut impl HeadWriter) {
    match &session.carrier {
        SessionCarrier::Header(name) => out.set(name, &endpoint.to_string()),
        SessionCarrier::Cookie { name, ttl, path } => {
            let mut cookie = format!("{name}=\"{endpoint}\"");
            if let Some(ttl) = ttl {
                let _ = write!(cookie, "; Max-Age={}", ttl.as_millis() / 1000);
            }
            if let Some(path) = path {
                let _ = write!(cookie, "; Path={path}");
            }
            cookie.push_str("; HttpOnly");
            out.append("set-cookie", &cookie);
        }
    }
}
