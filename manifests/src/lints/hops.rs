//! Hops: whoever tries a request on its way to one Service, outermost first.

use std::net::SocketAddr;

use proxy_core::config::{Cluster, Forward, HttpConnections, ReplyProfile, Route};
use proxy_core::heads::OwnedHead;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::sample::{sample_of, sent_through};
use super::timeouts;
use super::usage::{Ask, Asker, Entrance};
use super::view::{Meets, Role, Section, View};
use crate::model::{ServiceId, WorkloadId};
use crate::text::Span;

/// A request's way to one Service.
pub(super) struct Hop<'a> {
    /// `namespace/name` of the Service.
    pub(super) service: String,
    /// Outermost first; never empty.
    pub(super) layers: Vec<Layer<'a>>,
}

/// Whoever tries a request.
pub(super) struct Layer<'a> {
    /// In words: ``gateway `kong/kong` ``.
    pub(super) name: String,
    pub(super) kind: LayerKind<'a>,
}

/// What tries a request.
#[derive(Clone, Copy)]
pub(super) enum LayerKind<'a> {
    /// A route of a proxy.
    Proxy(Leg<'a>),
    /// An application or a client.
    App(&'a Ask),
}

/// A route of a proxy and the cluster that it leads to.
#[derive(Clone, Copy)]
pub(super) struct Leg<'a> {
    pub(super) route: &'a Route,
    pub(super) forward: &'a Forward,
    pub(super) cluster: &'a Cluster,
    pub(super) http: &'a HttpConnections,
    /// The rule that brings the proxy, for what nobody wrote.
    pub(super) owner: OriginId,
}

impl<'a> Hop<'a> {
    /// Every way through a gateway, and every one that a scenario's applications and clients take.
    pub(super) fn all(view: &View<'a>) -> Vec<Self> {
        let mut hops = Vec::new();
        for section in &view.sections {
            let Role::Gateway(id) = section.role else {
                continue;
            };
            let facts = &view.model.gateways()[id.index()];
            for (http, table) in section.dialled() {
                for sending in super::view::sendings_of(table) {
                    let sample = sample_of(sending.host, sending.route);
                    let name = format!("gateway `{}`", facts.name);
                    let through = Through {
                        section,
                        http,
                        route: sending.route,
                        forward: sending.forward,
                        name,
                        owner: facts.origin,
                        pods: facts.workload.filter(|_| facts.identity.is_none()),
                    };
                    through.hops(view, &sample, &mut hops);
                }
            }
        }
        for ask in &view.usage.asks {
            asked(view, ask, &mut hops);
        }
        hops
    }
}

/// A gateway's route, to be followed.
struct Through<'v, 'a> {
    section: &'v Section<'a>,
    http: &'a HttpConnections,
    route: &'a Route,
    forward: &'a Forward,
    name: String,
    owner: OriginId,
    /// The gateway's pods, where these may have a sidecar.
    pods: Option<WorkloadId>,
}

impl<'a> Through<'_, 'a> {
    fn hops(&self, view: &View<'a>, sample: &OwnedHead, out: &mut Vec<Hop<'a>>) {
        for (at, weighted) in self.forward.clusters.iter().enumerate() {
            let Some((cluster, upstream)) = self.section.cluster(weighted) else {
                continue;
            };
            if weighted.weight == 0 {
                continue;
            }
            let leg = Leg {
                route: self.route,
                forward: self.forward,
                cluster,
                http: self.http,
                owner: self.owner,
            };
            let mut layers = vec![Layer {
                name: self.name.clone(),
                kind: LayerKind::Proxy(leg),
            }];
            let target = View::target(upstream);
            if let (Some((service, port, dials_pods)), Some(pods)) = (target, self.pods) {
                let host = endpoint_name(view, service, dials_pods);
                let sent = sent_through(sample, self.route, at, &host);
                layers.extend(sidecar(view, pods, (service, port, dials_pods), &sent));
            }
            out.push(Hop {
                service: cluster.service.to_string(),
                layers,
            });
        }
    }
}

/// What a rewrite of the host to that of the endpoint writes.
fn endpoint_name(view: &View<'_>, service: ServiceId, dials_pods: bool) -> String {
    match dials_pods {
        true => "pod".to_owned(),
        false => view.service(service).host(),
    }
}

/// The route of a caller's sidecar that takes a request to a Service; none: there is no sidecar, or it asks no route.
fn sidecar<'a>(
    view: &View<'a>,
    caller: WorkloadId,
    to: (ServiceId, u16, bool),
    sample: &OwnedHead,
) -> Option<Layer<'a>> {
    let section = &view.sections[view.model.outbound_part(caller)?];
    let Meets::Http(http) = met(view, section, to) else {
        return None;
    };
    let (_, route) = section.route_of(http, sample)?;
    let proxy_core::config::RouteAction::Forward(forward) = &route.action else {
        return None;
    };
    let weighted = forward.clusters.iter().find(|it| it.weight > 0)?;
    let (cluster, upstream) = section.cluster(weighted)?;
    View::target(upstream)?;
    let workload = view.workload(caller);
    Some(Layer {
        name: format!("the sidecar of `{}`", workload.full_name()),
        kind: LayerKind::Proxy(Leg {
            route,
            forward,
            cluster,
            http,
            owner: workload.origin,
        }),
    })
}

/// What a connection to a Service, or to one of its pods, meets in a sidecar.
pub(super) fn met<'a>(
    view: &View<'_>,
    section: &Section<'a>,
    (service, port, dials_pods): (ServiceId, u16, bool),
) -> Meets<'a> {
    let service = view.service(service);
    match (dials_pods, service.cluster_ip()) {
        (false, Some(ip)) => section.leaving_to(SocketAddr::new(ip, port)),
        (true, _) | (_, None) => {
            let target = service.port(port).map(|port| &port.target);
            let mut behind = service.workloads.iter();
            let number = target
                .and_then(|target| behind.find_map(|id| view.workload(*id).target_port(target)));
            section.leaving_to_pod(number.unwrap_or(port))
        }
    }
}

/// The ways of what an application or a client asks for.
fn asked<'a>(view: &View<'a>, ask: &'a Ask, out: &mut Vec<Hop<'a>>) {
    let name = match &ask.asker {
        Asker::Client(load) => format!("the client of `{load}`"),
        Asker::Workload(id) => format!("the application `{}`", view.workload(*id).full_name()),
    };
    let own = || Layer {
        name: name.clone(),
        kind: LayerKind::App(ask),
    };
    let sample = OwnedHead::new(&ask.method, false, &ask.authority, &ask.path);
    match &ask.entrance {
        Entrance::Service(service, port) => {
            let mut layers = vec![own()];
            if let Asker::Workload(caller) = ask.asker {
                layers.extend(sidecar(view, caller, (*service, *port, false), &sample));
            }
            let service = view.service(*service).full_name();
            out.push(Hop { service, layers });
        }
        Entrance::Gateway(wanted) => {
            let mut found = Vec::new();
            for section in &view.sections {
                let Role::Gateway(id) = section.role else {
                    continue;
                };
                let facts = &view.model.gateways()[id.index()];
                if wanted
                    .as_deref()
                    .is_some_and(|name| !is_called(&facts.name, name))
                {
                    continue;
                }
                let taken = section.dialled().find_map(|(http, _)| {
                    let (_, route) = section.route_of(http, &sample)?;
                    Some((http, route))
                });
                let Some((http, route)) = taken else { continue };
                let proxy_core::config::RouteAction::Forward(forward) = &route.action else {
                    continue;
                };
                let through = Through {
                    section,
                    http,
                    route,
                    forward,
                    name: format!("gateway `{}`", facts.name),
                    owner: facts.origin,
                    pods: facts.workload.filter(|_| facts.identity.is_none()),
                };
                through.hops(view, &sample, &mut found);
            }
            for mut hop in found {
                hop.layers.insert(0, own());
                out.push(hop);
            }
        }
    }
}

/// Whether a gateway of this full name is meant.
fn is_called(full: &str, wanted: &str) -> bool {
    full == wanted || full.rsplit('/').next() == Some(wanted)
}

impl Layer<'_> {
    /// How long it waits for the layer behind it to answer; none: for ever.
    pub(super) fn patience(&self) -> Option<Sourced<Duration>> {
        match self.kind {
            LayerKind::Proxy(leg) => {
                let each = leg.forward.retry.as_deref().and_then(timeouts::each);
                let all = super::view::route_timeout(leg.forward);
                [each, all].into_iter().flatten().min_by_key(|it| it.value)
            }
            LayerKind::App(ask) => ask.timeout.map(Sourced::unsourced),
        }
    }

    /// How long it may take itself.
    pub(super) fn longest(&self) -> Option<Sourced<Duration>> {
        match self.kind {
            LayerKind::Proxy(leg) => timeouts::longest(leg.forward),
            LayerKind::App(ask) => {
                let one = ask.timeout?;
                Some(Sourced::unsourced(one * u64::from(ask.tries)))
            }
        }
    }

    /// Where a value of it is written; an application's are written where it asks.
    pub(super) fn place(&self, view: &View<'_>, origin: OriginId) -> Span {
        match self.kind {
            LayerKind::Proxy(_) => view.span(origin),
            LayerKind::App(ask) => ask.span,
        }
    }

    /// How it answers when it has no answer to pass on.
    pub(super) const fn replies(&self) -> Option<ReplyProfile> {
        match self.kind {
            LayerKind::Proxy(leg) => Some(leg.http.replies),
            LayerKind::App(_) => None,
        }
    }
}
