//! Gateways in places that are not the edge.

use super::Lint;
use super::usage::{Asker, Entrance};
use super::view::{Role, View, sendings_of};
use crate::diagnostics::Diagnostics;
use crate::model::{GatewayId, ServiceId};

/// A gateway that services call each other through.
pub(super) static BETWEEN: Lint = Lint::advice(
    "gateway::between-services",
    "A gateway between services",
    "A gateway is for traffic that comes from outside. Calls between services that pass it add a hop, share its limits and its fate with the \
     clients outside, and lose the caller's identity and place.",
    "let services call each other by their Services, and leave what they need of policy to the mesh or the clients",
);

pub(super) fn check(view: &View<'_>, out: &mut Diagnostics) {
    for section in &view.sections {
        let Role::Gateway(id) = section.role else {
            continue;
        };
        let name = &view.model.gateways()[id.index()].name;
        for (_, table) in section.dialled() {
            for host in &table.virtual_hosts {
                let inside = host.domains.iter().find_map(|domain| named(view, domain));
                let route = host.routes.iter().find(|it| view.is_written(it.origin));
                let (Some(service), Some(route)) = (inside, route) else {
                    continue;
                };
                let service = view.service(service).full_name();
                let message = format!("gateway `{name}` serves the name of `{service}`");
                let span = view.span(route.origin);
                out.push(
                    BETWEEN
                        .found(message)
                        .label(span, "a name that only services use"),
                );
            }
            for sending in sendings_of(table) {
                let clusters = sending.forward.clusters.iter();
                let mut targets = clusters.filter_map(|it| View::target(section.cluster(it)?.1));
                let next = targets.find_map(|(service, ..)| behind(view, service));
                let next = next.filter(|next| *next != id && view.is_written(sending.route.origin));
                if let Some(next) = next {
                    let next = &view.model.gateways()[next.index()].name;
                    let message = format!("gateway `{name}` leads to another gateway, `{next}`");
                    let span = view.span(sending.route.origin);
                    out.push(BETWEEN.found(message).label(span, "leads to its pods"));
                }
            }
        }
    }
    for ask in &view.usage.asks {
        let (Asker::Workload(caller), Entrance::Service(service, _)) = (&ask.asker, &ask.entrance)
        else {
            continue;
        };
        if let Some(gateway) = behind(view, *service) {
            let message = format!(
                "`{}` calls gateway `{}`",
                view.workload(*caller).full_name(),
                view.model.gateways()[gateway.index()].name
            );
            out.push(
                BETWEEN
                    .found(message)
                    .label(ask.span, "a call between services"),
            );
        }
    }
}

/// The Service that has this name within the cluster.
fn named(view: &View<'_>, domain: &str) -> Option<ServiceId> {
    let host = domain.split(':').next().unwrap_or(domain);
    let directory = view.model.directory();
    let full = match host.ends_with(".svc") {
        true => format!("{host}.cluster.local"),
        false => host.to_owned(),
    };
    directory.service_named(&full)
}

/// The gateway whose pods are behind a Service.
fn behind(view: &View<'_>, service: ServiceId) -> Option<GatewayId> {
    let workloads = &view.service(service).workloads;
    let mut gateways = (0..).zip(view.model.gateways());
    let found =
        gateways.find(|(_, facts)| facts.workload.is_some_and(|id| workloads.contains(&id)));
    found.map(|(at, _)| GatewayId(at))
}
