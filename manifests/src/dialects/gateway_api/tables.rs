//! Virtual hosts of the listeners that share a port.

use std::collections::BTreeMap;

use proxy_core::config::{DirectResponse, Route, RouteAction, RouteMatch, RouteTable, VirtualHost};

use super::clusters::Clusters;
use super::rules::{Entry, RankedRoute, routes};
use crate::dialects::Compile;
use crate::gateway_api::{Host, ListenerState, RouteKind};

/// The most telling of the listeners that take every name that `host` takes.
///
/// Source: `Gateway.spec.listeners`: a request is for the listener whose hostname says most, and for no other ("listener isolation").
pub(super) fn owner<'a>(listeners: &[&'a ListenerState], host: &Host) -> Option<&'a ListenerState> {
    let covering = listeners
        .iter()
        .copied()
        .filter(|listener| listener.host.covers(host));
    covering.max_by_key(|listener| listener.host.weight())
}

/// The virtual hosts of one of the listeners of a port: those that its routes and it share, less what a more telling listener has; a request
/// for one of its hosts that no route takes is answered with 404.
pub(super) fn virtual_hosts(
    listener: &ListenerState,
    all: &[&ListenerState],
    entry: Entry,
    clusters: &mut Clusters<'_, '_>,
    cx: &mut Compile<'_>,
) -> Vec<VirtualHost> {
    let origin = cx.origins.written(listener.span);
    let mut by_host: BTreeMap<Host, Vec<(Host, RankedRoute)>> = BTreeMap::new();
    let is_own = |host: &Host| owner(all, host).is_some_and(|owner| core::ptr::eq(owner, listener));
    if is_own(&listener.host) {
        by_host.insert(listener.host.clone(), Vec::new());
    }
    let attached = || {
        let attached = listener.attached.iter();
        attached.filter(|it| matches!(it.route.kind, RouteKind::Http | RouteKind::Grpc))
    };
    for host in attached().flat_map(|attached| &attached.hosts) {
        if is_own(host) {
            by_host.entry(host.clone()).or_default();
        }
    }
    let mut ages: Vec<_> = attached().collect();
    ages.sort_by_key(|attached| age(clusters, attached.route));
    for (age, attached) in ages.into_iter().enumerate() {
        let made = routes(attached.route, age, entry, clusters, cx);
        for (host, of_host) in &mut by_host {
            // of its hosts the one that says most counts
            let by = attached.hosts.iter().filter(|it| it.covers(host));
            if let Some(by) = by.max_by_key(|it| it.weight()) {
                of_host.extend(made.iter().map(|route| (by.clone(), route.clone())));
            }
        }
    }
    by_host
        .into_iter()
        // nothing is less telling than any host: there is none that its requests could fall to
        .filter(|(host, routes)| *host != Host::Any || !routes.is_empty())
        .map(|(host, mut routes)| {
            routes.sort_by(|(by_a, a), (by_b, b)| {
                let said = by_b.weight().cmp(&by_a.weight());
                said.then_with(|| a.rank.cmp(&b.rank))
                    .then_with(|| a.after.cmp(&b.after))
            });
            VirtualHost {
                name: format!("{}/{host}", listener.name).into(),
                domains: vec![host.domain()],
                routes: routes.into_iter().map(|(_, route)| route.route).collect(),
                attempt_count: false,
                attempt_count_in_response: false,
                origin,
            }
        })
        .collect()
}

/// What orders two routes that are alike otherwise: their age, then their names, whatever their kind.
pub(super) fn age(
    clusters: &Clusters<'_, '_>,
    id: crate::gateway_api::RouteId,
) -> (bool, Option<String>, String, String) {
    let owned = |(unborn, at, namespace, name): (bool, Option<&str>, &str, &str)| {
        (
            unborn,
            at.map(str::to_owned),
            namespace.to_owned(),
            name.to_owned(),
        )
    };
    match id.kind {
        RouteKind::Http => owned(clusters.api.http[id.at].age()),
        RouteKind::Grpc => owned(clusters.api.grpc[id.at].age()),
        RouteKind::Tls | RouteKind::Tcp | RouteKind::Udp => owned(clusters.api.l4(id).age()),
    }
}

/// A virtual host whose requests came over a connection that was meant for another listener: 421.
///
/// Source: GEP-3567: the client is to open a connection of its own.
pub(super) fn misdirected(listener: &ListenerState, cx: &mut Compile<'_>) -> VirtualHost {
    let origin = cx.origins.written(listener.span);
    let route = Route {
        name: "misdirected".into(),
        matches: RouteMatch::all(),
        action: RouteAction::Direct(DirectResponse {
            status: 421,
            body: "".into(),
        }),
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        fault: None,
        rate_limit: None,
        gates: Vec::new(),
        cors: None,
        tracing: None,
        origin,
    };
    VirtualHost {
        name: format!("not {}", listener.name).into(),
        domains: vec![listener.host.domain()],
        routes: vec![route],
        attempt_count: false,
        attempt_count_in_response: false,
        origin,
    }
}

pub(super) fn table(name: String, virtual_hosts: Vec<VirtualHost>) -> RouteTable {
    RouteTable {
        name: name.into(),
        virtual_hosts,
        ignore_port: true,
    }
}
