//! Requests that pass by the rules of the mesh, or are turned away by it, found by following them through the sidecars.

use std::collections::BTreeSet;

use proxy_core::config::{Discovery, RouteAction, UpstreamTransport};
use proxy_core::heads::OwnedHead;
use proxy_core::origin::OriginId;

use super::Lint;
use super::hops::met;
use super::reach::{REFUSED, UNASKED};
use super::sample::{sample_of, sent_through};
use super::usage::{Asker, Entrance};
use super::view::{Meets, Role, Section, View, sendings_of};
use crate::diagnostics::Diagnostics;
use crate::model::{GatewayId, ServiceId, WorkloadId};

/// The mesh does not know the Host.
pub(super) static FOREIGN: Lint = Lint::warning(
    "mesh::foreign-host",
    "Requests to a Service under a Host that its rules do not have",
    "On a port that is declared to carry HTTP, a sidecar chooses the rules by the Host of a request, not by the address it was sent to. A \
     gateway that keeps the client's Host is asked for none of those that were written for the Service.",
    "let the gateway write the Service's own name into the Host, or add the Host to the rules",
);

pub(super) fn check(view: &View<'_>, out: &mut Diagnostics) {
    for section in &view.sections {
        if let Role::Gateway(id) = section.role {
            check_gateway(view, section, id, out);
        }
    }
    check_asks(view, out);
}

/// A gateway's way to one Service.
struct Way {
    service: ServiceId,
    port: u16,
    rule: OriginId,
    plaintext: bool,
}

fn check_gateway(view: &View<'_>, section: &Section<'_>, id: GatewayId, out: &mut Diagnostics) {
    let facts = &view.model.gateways()[id.index()];
    let (None, Some(pods)) = (&facts.identity, facts.workload) else {
        return;
    };
    let outbound = view.model.outbound_part(pods).map(|at| &view.sections[at]);
    // what helps, its dialect has said already
    let is_told = view.model.reached(id).leads;
    let mut seen = BTreeSet::new();
    for (_, table) in section.dialled() {
        for sending in sendings_of(table) {
            for (at, weighted) in sending.forward.clusters.iter().enumerate() {
                let Some((cluster, upstream)) = section.cluster(weighted) else {
                    continue;
                };
                let Some((service, port, dials_pods)) = View::target(upstream) else {
                    continue;
                };
                let rules = [sending.route.origin, weighted.origin, facts.origin];
                let mut rules = rules.into_iter();
                let way = Way {
                    service,
                    port,
                    rule: rules
                        .find(|it| view.is_written(*it))
                        .unwrap_or(facts.origin),
                    plaintext: cluster.transport == UpstreamTransport::Plaintext,
                };
                if let Some(outbound) = outbound.filter(|_| !dials_pods) {
                    let host = view.service(service).host();
                    let asked = sample_of(sending.host, sending.route);
                    let sent = sent_through(&asked, sending.route, at, &host);
                    check_host(view, outbound, &way, &sent, &facts.name, out);
                } else if !is_told && seen.insert((service, port)) {
                    check_unasked(view, outbound.is_some(), &way, &facts.name, out);
                    if way.plaintext {
                        let name = format!("gateway `{}`", facts.name);
                        check_refused(view, &way, &name, out);
                    }
                }
            }
        }
    }
}

/// Whether a sidecar has rules for a Service that a request to its address does not meet for its Host.
fn check_host(
    view: &View<'_>,
    outbound: &Section<'_>,
    way: &Way,
    sent: &OwnedHead,
    gateway: &str,
    out: &mut Diagnostics,
) {
    let Meets::Http(http) = met(view, outbound, (way.service, way.port, false)) else {
        return;
    };
    let leads_there = |action: &RouteAction| match action {
        RouteAction::Forward(forward) => forward.clusters.iter().any(|weighted| {
            let leads = outbound.cluster(weighted);
            let named = view.service(way.service).full_name();
            leads.is_some_and(|(cluster, _)| *cluster.service == *named)
        }),
        RouteAction::Redirect(_) | RouteAction::Direct(_) => false,
    };
    let passes = |action: &RouteAction| match action {
        RouteAction::Forward(forward) => forward.clusters.iter().any(|weighted| {
            let leads = outbound.cluster(weighted);
            leads.is_some_and(|(cluster, _)| cluster.discovery == Discovery::OriginalDestination)
        }),
        RouteAction::Redirect(_) | RouteAction::Direct(_) => true,
    };
    if outbound
        .route_of(http, sent)
        .is_some_and(|(_, route)| !passes(&route.action))
    {
        return;
    }
    let table = outbound.draft.tables.get(http.table.0 as usize);
    let meant = table.and_then(|table| {
        let mut routes = table.virtual_hosts.iter().flat_map(|host| &host.routes);
        routes.find(|route| leads_there(&route.action) && view.is_written(route.origin))
    });
    let Some(meant) = meant else {
        return;
    };
    let service = view.service(way.service);
    let message = format!(
        "gateway `{gateway}` sends requests to `{}` under the Host `{}`, which the mesh does not know",
        service.full_name(),
        sent.authority
    );
    out.push(
        FOREIGN
            .found(message)
            .label(view.span(way.rule), "keeps the Host")
            .label(view.span(meant.origin), "never asked for these requests")
            .help(format!("{}: `{}`", FOREIGN.help, service.host())),
    );
}

/// What somebody wrote for callers of a Service, where the gateway asks none of it.
fn check_unasked(
    view: &View<'_>,
    has_sidecar: bool,
    way: &Way,
    gateway: &str,
    out: &mut Diagnostics,
) {
    let service = view.service(way.service);
    let rules = written_for(view, &service.full_name());
    if rules.is_empty() {
        return;
    }
    let why = match has_sidecar {
        true => "it dials the pods, not the Service",
        false => "its pods have no sidecar, which is what asks",
    };
    let message = format!(
        "gateway `{gateway}` never asks what was written for callers of `{}`: {why}",
        service.full_name()
    );
    let mut found = UNASKED
        .found(message)
        .label(view.span(way.rule), "leads there");
    for rule in rules {
        found = found.label(view.span(rule), "never asked for these requests");
    }
    out.push(found);
}

/// Routes and limits that sidecars have for a Service because somebody wrote them.
fn written_for(view: &View<'_>, service: &str) -> BTreeSet<OriginId> {
    let mut found = BTreeSet::new();
    for section in &view.sections {
        if !matches!(section.role, Role::Outbound(_)) {
            continue;
        }
        for sending in section.sendings() {
            let leads = |it: &proxy_core::config::WeightedCluster| {
                let cluster = section.cluster(it);
                cluster.is_some_and(|(cluster, _)| *cluster.service == *service)
            };
            if sending.forward.clusters.iter().any(leads) {
                let retries = sending.forward.retry.as_ref().map(|it| it.retries.origin);
                let all = [Some(sending.forward.timeout.origin), retries];
                found.extend(all.into_iter().flatten());
            }
        }
        for cluster in section
            .draft
            .clusters
            .iter()
            .filter(|it| *it.service == *service)
        {
            let outlier = cluster.outlier.map(|it| it.origin);
            let accrual = cluster.accrual.map(|it| it.origin);
            let all = [Some(cluster.limits[0].requests.origin), outlier, accrual];
            found.extend(all.into_iter().flatten());
        }
    }
    found.retain(|origin| view.is_written(*origin));
    found
}

/// Whether every pod behind a Service turns plaintext away.
fn check_refused(view: &View<'_>, way: &Way, caller: &str, out: &mut Diagnostics) {
    let service = view.service(way.service);
    let Some(rule) = refusing(view, way.service, way.port) else {
        return;
    };
    let message = format!(
        "the pods of `{}` refuse every connection of {caller}: it comes in plaintext",
        service.full_name()
    );
    out.push(
        REFUSED
            .found(message)
            .label(view.span(way.rule), "leads to them")
            .label(view.span(rule), "takes mutual TLS alone"),
    );
}

/// The rule by which pods behind a Service take no plaintext.
fn refusing(view: &View<'_>, service: ServiceId, port: u16) -> Option<OriginId> {
    let service = view.service(service);
    let target = &service.port(port)?.target;
    service.workloads.iter().find_map(|id| {
        let number = view.workload(*id).target_port(target)?;
        let section = &view.sections[view.model.inbound_part(*id)?];
        match section.arriving_at(number) {
            Meets::Closed(rule) => Some(rule),
            Meets::Http(_) | Meets::Carried | Meets::Nothing => None,
        }
    })
}

/// Calls of a scenario from callers without a sidecar.
fn check_asks(view: &View<'_>, out: &mut Diagnostics) {
    for ask in &view.usage.asks {
        let Entrance::Service(service, port) = ask.entrance else {
            continue;
        };
        let has_sidecar = |id: &WorkloadId| view.workload(*id).sidecar.is_some();
        let caller = match &ask.asker {
            Asker::Workload(id) if has_sidecar(id) || view.is_gateway(*id) => continue,
            Asker::Workload(id) => {
                format!("`{}`, which has no sidecar", view.workload(*id).full_name())
            }
            Asker::Client(load) => format!("the client of `{load}`"),
        };
        let Some(rule) = refusing(view, service, port) else {
            continue;
        };
        let message = format!(
            "the pods of `{}` refuse every connection of {caller}: it comes in plaintext",
            view.service(service).full_name()
        );
        out.push(
            REFUSED
                .found(message)
                .label(ask.span, "asks them")
                .label(view.span(rule), "takes mutual TLS alone"),
        );
    }
}
