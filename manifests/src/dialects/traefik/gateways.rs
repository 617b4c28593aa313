//! Whose pods are Traefik's, and where clients dial them.

use std::collections::BTreeSet;

use proxy_core::config::Name;

use super::compile::served;
use super::install::{Install, container_of, runs_traefik};
use super::policy::{Leads, Policies, Router};
use super::read::CONTROLLER;
use super::rules::{HostPattern, Matcher};
use super::{GROUP, OLD_GROUP};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::load::{Object, Objects};
use crate::model::{GatewayFacts, GatewayOverride, Labels, Listen, Workload};

/// Where its chart and guides put it.
const NAMESPACE: &str = "traefik";
/// What its workloads are called by the chart and by people.
const NAMES: &[&str] = &[
    "traefik",
    "traefik-ingress-controller",
    "traefik-deployment",
    "traefik-ingress",
];
/// Ports that its chart's Service has before those of the pods.
const PORTS: &[(u16, u16)] = &[(8000, 80), (8443, 443)];
const CLASS: &str = "kubernetes.io/ingress.class";

/// The workloads of Traefiks, with their objects.
pub(super) fn workloads<'c>(cx: &Compile<'c>) -> Vec<(&'c Workload, &'c Object)> {
    let objects = cx.objects;
    let all = cx.workloads.iter().filter_map(|workload| {
        let kinds = ["Deployment", "DaemonSet", "StatefulSet"];
        let mut found = kinds
            .iter()
            .filter_map(|kind| objects.get("apps", kind, &workload.namespace, &workload.name));
        let object = found.next()?;
        is_traefik(workload, object).then_some((workload, object))
    });
    all.collect()
}

fn is_traefik(workload: &Workload, object: &Object) -> bool {
    let containers = object.node.at("spec.template.spec.containers");
    let containers = containers
        .and_then(|node| node.as_seq())
        .unwrap_or_default();
    if containers.iter().any(runs_traefik) {
        return true;
    }
    // an image of somebody's own, called as Traefik is
    let named = NAMES.contains(&&*workload.name);
    let labelled = workload
        .labels
        .get("app.kubernetes.io/name")
        .is_some_and(|name| &**name == "traefik");
    let starts = container_of(object).and_then(|it| it.get("args")?.as_seq());
    let has_args = starts.is_some_and(|args| {
        args.iter()
            .filter_map(|arg| arg.as_str())
            .any(|arg| arg.to_ascii_lowercase().starts_with("--entrypoints."))
    });
    (named || labelled) && has_args
}

/// Whether anything shows that a Traefik runs here, besides its own workloads.
pub(super) fn is_shown(cx: &Compile<'_>) -> bool {
    let objects: &Objects = cx.objects;
    let own = objects.iter().any(|object| object.key.group == GROUP);
    let class = objects
        .of("networking.k8s.io", "IngressClass")
        .any(|class| {
            let controller = class.node.at("spec.controller");
            controller.and_then(|node| node.as_str()) == Some(CONTROLLER)
        });
    let ingress = objects.of("networking.k8s.io", "Ingress").any(|ingress| {
        let named = ingress.node.at("spec.ingressClassName");
        let named = named.and_then(|node| node.as_str());
        let class = named.or_else(|| ingress.annotation(CLASS).map(|class| class.value));
        let known = objects
            .get("networking.k8s.io", "IngressClass", "", "traefik")
            .is_some();
        class == Some("traefik") && !known
    });
    let said = cx
        .overrides
        .iter()
        .any(|it| it.kind.as_deref() == Some("traefik"));
    own || class || ingress || said
}

/// Objects of the group that today's Traefik does not read any more.
pub(super) fn report_old(cx: &mut Compile<'_>) {
    for object in cx
        .objects
        .iter()
        .filter(|object| object.key.group == OLD_GROUP)
    {
        cx.diagnostics.push(
            Diagnostic::warning(
                "traefik::old-group",
                format!("Traefik 3 does not read the group `{OLD_GROUP}`"),
            )
            .label(object.name_span, "has no effect")
            .help(format!("write `apiVersion: {GROUP}/v1alpha1`")),
        );
    }
}

/// The gateway of a Traefik; `only` when there is no other, so that whatever a scenario says of Traefik is its own.
pub(super) fn facts(
    install: &Install,
    policies: &Policies,
    only: bool,
    cx: &mut Compile<'_>,
) -> GatewayFacts {
    let over = cx
        .overrides
        .iter()
        .find(|over| is_meant(over, install, policies, only));
    let workload = install.workload.as_ref();
    let workload = workload.and_then(|name| cx.workloads.iter().find(|it| it.full_name() == *name));
    let named = over.and_then(|over| {
        cx.workloads
            .iter()
            .find(|it| *over.target == *it.full_name())
    });
    let workload = workload.or(named);
    let namespace = over.and_then(|over| over.namespace.clone());
    let namespace = namespace.or_else(|| workload.map(|it| it.namespace.clone()));
    if namespace.is_none() {
        let meaning = format!(
            "its pods are in namespace `{NAMESPACE}`, and it runs as its chart installs it: entry points web (80) and websecure (443, TLS), both providers, Services without pods answered 503"
        );
        let note = Diagnostic::assumed(
            "traefik::assumed-pods",
            "Traefik is not among the manifests",
            meaning,
        );
        cx.diagnostics.push(
            note.help("add its manifests, or say where it is under `gateways` of the scenario"),
        );
    }
    let namespace = namespace.unwrap_or_else(|| NAMESPACE.into());
    let name: Name = match (over, workload) {
        (_, Some(workload)) => workload.full_name().into(),
        (Some(over), None) => over.target.clone(),
        (None, None) => format!("{namespace}/traefik").into(),
    };
    let labels = over
        .map(|over| over.labels.clone())
        .filter(|labels| !labels.is_empty());
    let labels = labels.or_else(|| workload.map(|workload| workload.labels.clone()));
    GatewayFacts {
        name,
        dialect: "traefik",
        labels: labels
            .unwrap_or_else(|| Labels::from([("app.kubernetes.io/name".into(), "traefik".into())])),
        service_account: workload.map_or_else(|| "traefik".into(), |it| it.service_account.clone()),
        workload: workload.map(|workload| workload.id),
        replicas: over.and_then(|over| over.replicas),
        listens: listens(install, policies, workload, cx),
        identity: None,
        hosts: hosts(policies),
        origin: install.origin,
        namespace,
    }
}

/// Whether the scenario means this gateway: by an Ingress that it serves, by its workload, or by its kind alone.
fn is_meant(over: &GatewayOverride, install: &Install, policies: &Policies, only: bool) -> bool {
    let is_traefiks = over.kind.as_deref().is_none_or(|kind| kind == "traefik");
    let ingress = policies
        .ingresses
        .iter()
        .any(|(namespace, name)| *over.target == *format!("{namespace}/{name}"));
    let workload = install.workload.as_deref() == Some(&*over.target);
    let target = over.target.rsplit('/').next().unwrap_or_default();
    let named = over.kind.is_some() && NAMES.contains(&target);
    is_traefiks && (workload || ingress || only && (named || over.kind.is_some()))
}

/// The ports of the Services before Traefik's pods; where there are none, those of its chart.
fn listens(
    install: &Install,
    policies: &Policies,
    workload: Option<&Workload>,
    cx: &Compile<'_>,
) -> Vec<Listen> {
    let entries = || install.entry_points.iter().filter(|entry| !entry.udp);
    let tls_of = |bound: u16| {
        let mut at = entries().filter(|entry| entry.port == bound);
        at.any(|entry| {
            entry.tls.is_some()
                || served(entry, policies, false).is_empty()
                    && !served(entry, policies, true).is_empty()
        })
    };
    let mut found: Vec<Listen> = Vec::new();
    if let Some(workload) = workload {
        let services = cx
            .services
            .iter()
            .filter(|service| service.workloads.contains(&workload.id));
        for port in services
            .flat_map(|service| &service.ports)
            .filter(|port| !port.udp)
        {
            let Some(bound) = workload.target_port(&port.target) else {
                continue;
            };
            let is_entry = entries().any(|entry| entry.port == bound);
            if is_entry && found.iter().all(|listen| listen.port != port.number) {
                found.push(Listen {
                    port: port.number,
                    bound,
                    tls: tls_of(bound),
                });
            }
        }
    }
    if found.is_empty() {
        for entry in entries() {
            let known = PORTS.iter().find(|(bound, _)| *bound == entry.port);
            found.push(Listen {
                port: known.map_or(entry.port, |(_, port)| *port),
                bound: entry.port,
                tls: tls_of(entry.port),
            });
        }
    }
    found
}

fn hosts(policies: &Policies) -> Vec<Name> {
    let mut hosts = BTreeSet::new();
    for router in &policies.routers {
        hosts_of(router, &mut hosts);
    }
    hosts.into_iter().map(Name::from).collect()
}

fn hosts_of(router: &Router, hosts: &mut BTreeSet<String>) {
    for alternative in &router.alternatives {
        let named = alternative
            .iter()
            .filter(|literal| !literal.negated)
            .find_map(|literal| match &literal.matcher {
                Matcher::Host(HostPattern::Exact(host)) => Some(host.clone()),
                Matcher::Host(HostPattern::OneLabel(rest)) => Some(format!("*{rest}")),
                _ => None,
            });
        hosts.insert(named.unwrap_or_else(|| "*".to_owned()));
    }
    if let Leads::Further(further) = &router.leads {
        for child in further {
            hosts_of(child, hosts);
        }
    }
}
