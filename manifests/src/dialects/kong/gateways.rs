//! Whose pods serve a class.

use std::collections::BTreeSet;

use proxy_core::config::Name;

use super::compile::{PLAIN_PORT, TLS_PORT};
use super::policy::Class;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::model::{GatewayFacts, GatewayOverride, Labels, Listen, Workload};

/// Where the charts and guides put Kong.
const NAMESPACE: &str = "kong";
/// What Kong's Deployments are called by the charts, the all-in-one manifests and people.
const NAMES: &[&str] = &[
    "kong",
    "kong-gateway",
    "kong-kong",
    "ingress-kong",
    "proxy-kong",
    "kong-proxy",
    "kong-dbless",
];
/// Labels that say the same, of the charts and of the all-in-one manifests.
const LABELS: &[(&str, &[&str])] = &[
    ("app.kubernetes.io/name", &["kong", "gateway"]),
    (
        "app",
        &["kong", "ingress-kong", "proxy-kong", "kong-gateway"],
    ),
];

/// The gateway of a class; `only` when there is no other class, so that any Kong's pods are its own.
pub(super) fn facts(class: &Class, only: bool, cx: &mut Compile<'_>) -> GatewayFacts {
    let over = cx.overrides.iter().find(|over| is_meant(over, class));
    let workload = cx
        .workloads
        .iter()
        .find(|workload| over.is_some_and(|over| *over.target == *workload.full_name()));
    let workload = workload.or_else(|| {
        let namespace = over.and_then(|over| over.namespace.as_deref());
        cx.workloads.iter().find(|workload| {
            is_kong(workload)
                && (only || is_named_after(workload, class))
                && namespace.is_none_or(|wanted| *workload.namespace == *wanted)
        })
    });
    let said = over.and_then(|over| over.namespace.clone());
    let namespace = said
        .clone()
        .or_else(|| workload.map(|workload| workload.namespace.clone()));
    if namespace.is_none() {
        let meaning = format!("its pods are in namespace `{NAMESPACE}`, where its charts put it");
        let message = format!(
            "Kong for the class `{}` is not among the manifests",
            class.name
        );
        let mut note = Diagnostic::assumed("kong::assumed-pods", message, meaning);
        if let Some(span) = cx.origins.span(class.origin) {
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
        (None, None) => format!("{namespace}/{}", class.name).into(),
    };
    let labels = over
        .map(|over| over.labels.clone())
        .filter(|labels| !labels.is_empty());
    let labels = labels.or_else(|| workload.map(|workload| workload.labels.clone()));
    GatewayFacts {
        name,
        dialect: "kong",
        labels: labels.unwrap_or_else(|| Labels::from([("app".into(), "kong".into())])),
        service_account: workload.map_or_else(
            || "kong".into(),
            |workload| workload.service_account.clone(),
        ),
        workload: workload.map(|workload| workload.id),
        replicas: over.and_then(|over| over.replicas),
        listens: listens(workload, cx),
        identity: None,
        hosts: hosts(class),
        origin: class.origin,
        namespace,
    }
}

/// Whether the scenario means this gateway: by an Ingress that it serves, or by its pods.
fn is_meant(over: &GatewayOverride, class: &Class) -> bool {
    let names_ingress = class
        .ingresses
        .iter()
        .any(|ingress| *over.target == *format!("{}/{}", ingress.namespace, ingress.name));
    let is_kongs = over.kind.as_deref().is_none_or(|kind| kind == "kong");
    let target = over.target.rsplit('/').next().unwrap_or_default();
    is_kongs
        && (names_ingress
            || (over.kind.is_some() && (target == &*class.name || NAMES.contains(&target))))
}

fn is_kong(workload: &Workload) -> bool {
    let labelled = LABELS.iter().any(|(key, values)| {
        workload
            .labels
            .get(*key)
            .is_some_and(|value| values.contains(&&**value))
    });
    // the gateway, not the controller that stands apart from it in newer charts
    let is_controller = workload.name.contains("controller")
        || workload
            .labels
            .get("app.kubernetes.io/component")
            .is_some_and(|c| &**c == "controller");
    (NAMES.contains(&&*workload.name) || labelled) && !is_controller
}

fn is_named_after(workload: &Workload, class: &Class) -> bool {
    workload.name.contains(&*class.name)
        || workload.labels.values().any(|value| **value == *class.name)
}

/// The ports of the Services before Kong's pods; 80 and 443 where there are none.
fn listens(workload: Option<&Workload>, cx: &Compile<'_>) -> Vec<Listen> {
    let mut found = Vec::new();
    if let Some(workload) = workload {
        let services = cx
            .services
            .iter()
            .filter(|service| service.workloads.contains(&workload.id));
        for port in services
            .flat_map(|service| &service.ports)
            .filter(|port| !port.udp)
        {
            let bound = workload.target_port(&port.target);
            let listen = |bound, tls| Listen {
                port: port.number,
                bound,
                tls,
            };
            match bound {
                Some(PLAIN_PORT) => found.push(listen(PLAIN_PORT, false)),
                Some(TLS_PORT) => found.push(listen(TLS_PORT, true)),
                Some(_) | None => {}
            }
        }
    }
    if found.is_empty() {
        found = vec![
            Listen {
                port: 80,
                bound: PLAIN_PORT,
                tls: false,
            },
            Listen {
                port: 443,
                bound: TLS_PORT,
                tls: true,
            },
        ];
    }
    found
}

fn hosts(class: &Class) -> Vec<Name> {
    let mut hosts = BTreeSet::new();
    for ingress in &class.ingresses {
        hosts.extend(ingress.paths.iter().map(|rule| {
            if rule.host.is_empty() {
                "*"
            } else {
                rule.host.as_str()
            }
        }));
        hosts.extend(
            ingress
                .notes
                .host_aliases
                .iter()
                .map(|alias| alias.value.as_str()),
        );
        hosts.extend(ingress.default_backend.map(|_| "*"));
    }
    hosts.into_iter().map(Name::from).collect()
}
