//! Who a gateway is.

use proxy_core::config::Name;

use super::policy::Group;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::model::{GatewayFacts, GatewayOverride, Labels};

/// Where Istio's charts put the gateway that they bring, what they call it, and its account.
const NAMESPACE: &str = "istio-system";
const NAME: &str = "istio-ingressgateway";
const ACCOUNT: &str = "istio-ingressgateway-service-account";

/// A gateway without its hosts: its pods in the manifests, or as the scenario says, or as the charts make them.
pub(super) fn facts(group: &Group, cx: &mut Compile<'_>) -> GatewayFacts {
    let workload = group.workload.map(|id| &cx.workloads[id.index()]);
    let usual = usual_name(group);
    let over = cx.overrides.iter();
    let mut over = over.filter(|over| is_istios(over));
    let over = over.find(|over| {
        let objects = group.gateways.iter().filter(|it| !it.selector.is_empty());
        let of_object = objects.map(|it| &it.name).any(|name| *name == *over.target);
        let of_pods = workload.map_or_else(|| usual.clone(), |workload| workload.full_name());
        of_object || of_pods == *over.target
    });
    let said = over.and_then(|over| over.namespace.clone());
    if workload.is_none() && said.is_none() {
        report_assumed(group, &usual, cx);
    }
    let home = usual.split('/').next().unwrap_or(NAMESPACE);
    let namespace = match workload {
        Some(workload) => workload.namespace.clone(),
        None => said.unwrap_or_else(|| home.into()),
    };
    let account: Name = workload.map_or_else(
        || ACCOUNT.into(),
        |workload| workload.service_account.clone(),
    );
    let labels = over.map(|over| over.labels.clone());
    let labels = labels.filter(|labels| !labels.is_empty());
    let labels = labels.unwrap_or_else(|| match workload {
        Some(workload) => workload.labels.clone(),
        None => group.selector.clone(),
    });
    let own = |usual: String| -> Name {
        workload.map_or_else(|| usual.into(), |workload| workload.full_name().into())
    };
    let origin = group.gateways.first().map(|gateway| gateway.origin);
    GatewayFacts {
        name: over.map_or_else(|| own(usual), |over| over.target.clone()),
        dialect: "istio",
        identity: Some(format!("spiffe://cluster.local/ns/{namespace}/sa/{account}").into()),
        namespace,
        labels,
        service_account: account,
        workload: group.workload,
        replicas: over.and_then(|over| over.replicas),
        listens: group.listens.clone(),
        hosts: Vec::new(),
        origin: origin.unwrap_or_default(),
    }
}

fn is_istios(over: &GatewayOverride) -> bool {
    over.kind.as_deref().is_none_or(|kind| kind == "istio")
}

/// That of the first Gateway with the selector; the charts', where this is theirs.
fn usual_name(group: &Group) -> String {
    let charts = Labels::from([("istio".into(), "ingressgateway".into())]);
    let mut gateways = group.gateways.iter();
    let first = gateways.find(|gateway| gateway.selector == group.selector);
    match first {
        Some(gateway) if group.selector != charts => gateway.name.clone(),
        Some(_) | None => format!("{NAMESPACE}/{NAME}"),
    }
}

fn report_assumed(group: &Group, usual: &str, cx: &mut Compile<'_>) {
    let message = "the pods of a Gateway are not among the manifests";
    let meaning = format!("they are `{usual}`, and listen on the ports that it names");
    let mut note = Diagnostic::assumed("istio::assumed-pods", message, meaning);
    for gateway in &group.gateways {
        if let Some(span) = cx.origins.span(gateway.origin) {
            note = note.label(span, "served by them");
        }
    }
    let help = "say where they are under `gateways` of the scenario, or add their manifests";
    cx.diagnostics.push(note.help(help));
}
