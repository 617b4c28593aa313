//! Which gateways there are.

use std::collections::BTreeSet;

use proxy_core::config::Name;

use super::read::Reading;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::model::{GatewayFacts, GatewayOverride, Labels, Listen, Workload};

/// The label of the chart's pods.
const LABEL: (&str, &str) = ("app.kubernetes.io/name", "emissary-ingress");
/// The chart's Service.
const USUAL: [(u16, u16); 2] = [(80, 8080), (443, 8443)];

pub(super) fn facts(reading: &Reading, cx: &mut Compile<'_>) -> GatewayFacts {
    let install = &reading.install;
    let workload = install.workload.map(|id| &cx.workloads[id.index()]);
    let over = cx.overrides.iter().find(|over| is_meant(over, reading));
    let said = over.and_then(|over| over.namespace.clone());
    if workload.is_none() && said.is_none() {
        report_assumed(reading, cx);
    }
    let namespace = match workload {
        Some(workload) => workload.namespace.clone(),
        None => said.unwrap_or_else(|| install.namespace.clone()),
    };
    let labels = over
        .map(|over| over.labels.clone())
        .filter(|labels| !labels.is_empty());
    let labels = labels.or_else(|| workload.map(|workload| workload.labels.clone()));
    let usual = Labels::from([(LABEL.0.into(), LABEL.1.into())]);
    GatewayFacts {
        name: over.map_or_else(|| install.name.clone(), |over| over.target.clone()),
        dialect: "emissary",
        labels: labels.unwrap_or(usual),
        service_account: workload.map_or_else(
            || LABEL.1.into(),
            |workload| workload.service_account.clone(),
        ),
        workload: install.workload,
        replicas: over.and_then(|over| over.replicas),
        listens: listens(reading, workload, cx),
        identity: None,
        hosts: hosts(reading),
        origin: reading.origin,
        namespace,
    }
}

/// Whether the scenario means this Emissary: by its Deployment, or by an Ingress that it serves.
fn is_meant(over: &GatewayOverride, reading: &Reading) -> bool {
    let is_kind = over.kind.as_deref().is_none_or(|kind| kind == "emissary");
    let of_ingress = reading
        .ingresses
        .iter()
        .any(|key| *over.target == *format!("{}/{}", key.namespace, key.name));
    let name = |full: &str| full.rsplit('/').next().unwrap_or_default().to_owned();
    let of_kind = over.kind.is_some() && name(&over.target) == name(&reading.install.name);
    is_kind && (over.target == reading.install.name || of_ingress || of_kind)
}

/// A port for each Listener: that of a Service before the pods, or of the chart's.
fn listens(reading: &Reading, workload: Option<&Workload>, cx: &Compile<'_>) -> Vec<Listen> {
    let mut dialled: Vec<(u16, u16)> = Vec::new();
    if let Some(workload) = workload {
        let services = cx.services.iter();
        let services = services.filter(|service| service.workloads.contains(&workload.id));
        for port in services.flat_map(|service| &service.ports) {
            let bound = workload.target_port(&port.target).filter(|_| !port.udp);
            dialled.extend(bound.map(|bound| (port.number, bound)));
        }
    }
    if dialled.is_empty() {
        dialled.extend(USUAL);
    }
    let loose = reading.install.loose_selectors;
    let listeners = reading.listeners.iter();
    let listens = listeners.map(|listener| {
        let by_service = dialled.iter().find(|(_, bound)| *bound == listener.port);
        let mut hosts = reading.hosts.iter();
        let over_tls = hosts.any(|host| host.tls.is_some() && listener.takes(host, loose));
        let carried = reading
            .tcp
            .iter()
            .any(|group| group.port == listener.port && group.host.is_some());
        Listen {
            port: by_service.map_or(listener.port, |(port, _)| *port),
            bound: listener.port,
            tls: listener.tls && (over_tls || carried),
        }
    });
    listens.collect()
}

/// The names of Hosts; where one takes every name, those of its Mappings, too.
fn hosts(reading: &Reading) -> Vec<Name> {
    let mut all: BTreeSet<&str> = BTreeSet::new();
    let takes_any = reading.hosts.iter().any(|host| host.hostname == "*");
    all.extend(reading.hosts.iter().map(|host| host.hostname.as_str()));
    if takes_any {
        let of_mappings = reading.mappings.iter().filter_map(|it| it.host.as_deref());
        all.extend(of_mappings.filter(|host| !host.contains('*')));
    }
    all.into_iter().map(Name::from).collect()
}

fn report_assumed(reading: &Reading, cx: &mut Compile<'_>) {
    let install = &reading.install;
    let message = format!("the Emissary `{}` is not among the manifests", install.id);
    let meaning = format!("its pods are `{}`, as its chart makes them", install.name);
    let mut note = Diagnostic::assumed("emissary::assumed-pods", message, meaning);
    if let Some(span) = cx.origins.span(reading.origin) {
        note = note.label(span, "read by it");
    }
    cx.diagnostics
        .push(note.help("say where it is under `gateways` of the scenario, or add its manifests"));
}
