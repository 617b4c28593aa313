//! What is left when no system takes it: callers and servers without proxies, and Ingresses that no gateway serves.
//!
//! A pod without a sidecar dials addresses itself, and kube-proxy picks a pod for each connection to a Service's address; neither needs a
//! configuration. So there is nothing to compile here, only something to say.

use super::{DIALECTS, Gateway};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::load::Objects;

/// The older way to name an Ingress's class.
const CLASS: &str = "kubernetes.io/ingress.class";

/// Warns of each Ingress that none of `gateways` serves: no request gets in by it.
pub fn report_unserved(objects: &Objects, gateways: &[&dyn Gateway], out: &mut Diagnostics) {
    for object in objects.of("networking.k8s.io", "Ingress") {
        if gateways.iter().any(|gateway| gateway.serves(&object.key)) {
            continue;
        }
        let written = object.node.at("spec.ingressClassName");
        let class = written.and_then(|node| Some((node.as_str()?, node.span)));
        let class = class.or_else(|| object.annotation(CLASS).map(|it| (it.value, it.span)));
        let kinds: Vec<&str> = DIALECTS
            .iter()
            .filter(|it| it.gateways.is_some())
            .map(|it| it.name)
            .collect();
        let (message, span) = match class {
            Some((class, span)) => (format!("no gateway serves the class `{class}`"), span),
            None => (
                format!(
                    "{} has no class, and no gateway's class is the default",
                    object.key
                ),
                object.name_span,
            ),
        };
        let name = format!("{}/{}", object.key.namespace, object.key.name);
        let help = format!(
            "no request gets in by this Ingress; say which gateway serves it under `gateways` of the scenario: `{name}: {{kind: …}}`, one of {}",
            kinds.join(", ")
        );
        out.push(
            Diagnostic::warning("gateway::none", message)
                .label(span, "served by nobody")
                .help(help),
        );
    }
}
