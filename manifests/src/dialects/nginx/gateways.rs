//! Whose pods serve what a controller has.

use std::collections::BTreeSet;

use proxy_core::config::Name;

use super::compile::bound_port;
use super::policy::{Controller, DEFAULT_HOST};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::model::{GatewayFacts, GatewayOverride, Labels, Listen, Workload};

/// Where the chart and the manifests put it, and what they call it.
const NAMESPACE: &str = "ingress-nginx";
/// What they call its pods' Deployment.
const NAMES: &[&str] = &[
    "ingress-nginx-controller",
    "ingress-nginx",
    "nginx-ingress-controller",
];

/// The gateway of a controller.
pub(super) fn facts(controller: &Controller, cx: &mut Compile<'_>) -> GatewayFacts {
    let over = cx.overrides.iter().find(|over| is_meant(over, controller));
    let workload = controller.workload.map(|id| &cx.workloads[id.index()]);
    let workload = workload.or_else(|| {
        let named = |it: &&Workload| over.is_some_and(|over| *over.target == *it.full_name());
        cx.workloads.iter().find(named)
    });
    let said = over.and_then(|over| over.namespace.clone());
    let namespace = said.or_else(|| workload.map(|it| it.namespace.clone()));
    if namespace.is_none() {
        let message = format!(
            "ingress-nginx for the class `{}` is not among the manifests",
            controller.class
        );
        let meaning = format!(
            "its pods are in namespace `{NAMESPACE}`, where its chart puts it, and have the flags and the ConfigMap that the release brings"
        );
        let mut note = Diagnostic::assumed("nginx::assumed-pods", message, meaning);
        if let Some(span) = cx.origins.span(controller.origin) {
            note = note.label(span, "served by it");
        }
        cx.diagnostics.push(
            note.help("say where it is under `gateways` of the scenario, or add its manifests"),
        );
    }
    let namespace = namespace.unwrap_or_else(|| NAMESPACE.into());
    let name = match (over, workload) {
        (Some(over), _) => over.target.clone(),
        (None, Some(workload)) => workload.full_name().into(),
        (None, None) => format!("{namespace}/{}", controller.class).into(),
    };
    let labels = over
        .map(|over| over.labels.clone())
        .filter(|labels| !labels.is_empty());
    let labels = labels.or_else(|| workload.map(|workload| workload.labels.clone()));
    GatewayFacts {
        name,
        dialect: "nginx",
        labels: labels.unwrap_or_else(|| {
            Labels::from([("app.kubernetes.io/name".into(), "ingress-nginx".into())])
        }),
        service_account: workload.map_or_else(
            || "ingress-nginx".into(),
            |workload| workload.service_account.clone(),
        ),
        workload: workload.map(|workload| workload.id),
        replicas: over.and_then(|over| over.replicas),
        listens: listens(controller, workload, cx),
        identity: None,
        hosts: hosts(controller),
        origin: controller.origin,
        namespace,
    }
}

/// Whether the scenario means this gateway: by an Ingress that it serves, or by its pods.
fn is_meant(over: &GatewayOverride, controller: &Controller) -> bool {
    let mut ingresses = controller.ingresses.iter();
    let names_ingress = ingresses.any(|ingress| *over.target == *ingress.full_name());
    let is_its = over.kind.as_deref().is_none_or(|kind| kind == "nginx");
    let target = over.target.rsplit('/').next().unwrap_or_default();
    let names_pods =
        over.kind.is_some() && (target == &*controller.class || NAMES.contains(&target));
    is_its && (names_ingress || names_pods)
}

/// The ports of the Services before its pods; 80 and 443 where there are none.
fn listens(controller: &Controller, workload: Option<&Workload>, cx: &Compile<'_>) -> Vec<Listen> {
    let mut found: Vec<Listen> = Vec::new();
    let sides = [false, true].map(|tls| (bound_port(controller, tls), tls));
    if let Some(workload) = workload {
        let services = cx.services.iter();
        let services = services.filter(|service| service.workloads.contains(&workload.id));
        let ports = services.flat_map(|service| &service.ports);
        for port in ports.filter(|port| !port.udp) {
            let target = workload.target_port(&port.target);
            let side = sides.iter().find(|(bound, _)| target == Some(*bound));
            if let Some((bound, tls)) = side
                && found.iter().all(|it| it.port != port.number)
            {
                found.push(Listen {
                    port: port.number,
                    bound: *bound,
                    tls: *tls,
                });
            }
        }
    }
    if found.is_empty() {
        let usual = sides.iter().zip([80, 443]);
        found = usual
            .map(|((bound, tls), port)| Listen {
                port,
                bound: *bound,
                tls: *tls,
            })
            .collect();
    }
    found
}

fn hosts(controller: &Controller) -> Vec<Name> {
    let mut hosts = BTreeSet::new();
    for ingress in &controller.ingresses {
        hosts.extend(ingress.rules.iter().map(|rule| match rule.host.as_str() {
            DEFAULT_HOST => "*",
            host => host,
        }));
        hosts.extend(ingress.default_backend.map(|_| "*"));
        if let Some(aliases) = ingress.notes.text("server-alias") {
            hosts.extend(
                aliases
                    .split(',')
                    .map(str::trim)
                    .filter(|it| !it.is_empty()),
            );
        }
    }
    hosts.into_iter().map(Name::from).collect()
}
