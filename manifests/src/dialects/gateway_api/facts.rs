//! Which gateways there are, and where their routes lead.

use std::collections::BTreeSet;

use proxy_core::config::Name;

use crate::dialects::{Compile, Lead};
use crate::gateway_api::{Api, GatewayState, Lookup, Protocol, find_backend};
use crate::model::{GatewayFacts, Labels, Listen, Workload};

/// The label that pods of a Gateway have. Source: GEP-1762.
const LABEL: &str = "gateway.networking.k8s.io/gateway-name";

pub(super) fn facts(api: &Api, state: &GatewayState, cx: &mut Compile<'_>) -> GatewayFacts {
    let item = &api.gateways[state.at];
    let name: Name = item.full_name().into();
    let over = cx.overrides.iter().find(|over| over.target == name);
    let is_its = |workload: &&Workload| {
        *workload.namespace == *item.key.namespace
            && workload
                .labels
                .get(LABEL)
                .is_some_and(|label| **label == *item.key.name)
    };
    let workload = cx.workloads.iter().find(is_its);
    let mut labels = Labels::from([(LABEL.into(), item.key.name.as_str().into())]);
    if let Some(infrastructure) = &item.spec.infrastructure {
        let written = infrastructure.labels.iter();
        labels.extend(written.map(|(key, value)| (key.as_str().into(), value.as_str().into())));
    }
    if let Some(workload) = workload {
        labels.clone_from(&workload.labels);
    }
    labels.extend(over.iter().flat_map(|over| over.labels.clone()));
    let namespace = over.and_then(|over| over.namespace.clone());
    GatewayFacts {
        name,
        dialect: "gateway-api",
        namespace: namespace.unwrap_or_else(|| item.key.namespace.as_str().into()),
        labels,
        service_account: workload.map_or_else(
            || item.key.name.as_str().into(),
            |workload| workload.service_account.clone(),
        ),
        workload: workload.map(|workload| workload.id),
        replicas: over.and_then(|over| over.replicas),
        listens: listens(state),
        identity: None,
        hosts: hosts(state),
        origin: cx.origins.written(item.span),
    }
}

/// A port for each that a listener serves; datagrams go by ports of their own.
fn listens(state: &GatewayState) -> Vec<Listen> {
    let mut found: Vec<Listen> = Vec::new();
    let serving = state.listeners.iter().filter(|listener| listener.serves());
    for listener in serving.filter(|it| it.protocol != Protocol::Udp) {
        if found.iter().all(|listen| listen.port != listener.port) {
            found.push(Listen {
                port: listener.port,
                bound: listener.port,
                tls: listener.protocol.has_server_names(),
            });
        }
    }
    found
}

fn hosts(state: &GatewayState) -> Vec<Name> {
    let attached = state
        .listeners
        .iter()
        .filter(|listener| listener.serves())
        .flat_map(|listener| &listener.attached);
    let hosts: BTreeSet<String> = attached
        .flat_map(|attached| &attached.hosts)
        .map(ToString::to_string)
        .collect();
    hosts.into_iter().map(Name::from).collect()
}

pub(super) fn leads(api: &Api, state: &GatewayState, cx: &Compile<'_>) -> Vec<Lead> {
    let lookup = Lookup {
        objects: cx.objects,
        services: cx.services,
    };
    let serving = state.listeners.iter().filter(|listener| listener.serves());
    let routes: BTreeSet<_> = serving
        .flat_map(|listener| &listener.attached)
        .map(|attached| attached.route)
        .collect();
    let mut leads = Vec::new();
    for route in routes {
        let namespace = &api.route(route).key.namespace;
        for backend in api.backends(route) {
            let found = find_backend(api, lookup, (route.kind, namespace), backend);
            if let Ok((service, port)) = found {
                leads.push(Lead {
                    service,
                    port,
                    dials_pods: true,
                    remedy: "the Gateway API has no way to say so: gateways dial pods".to_owned(),
                    origin: proxy_core::origin::OriginId::NONE,
                });
            }
        }
    }
    leads
}
