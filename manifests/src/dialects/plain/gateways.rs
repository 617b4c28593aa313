//! Whose pods serve a class that is not known, and which Ingresses nobody serves.

use std::collections::BTreeSet;

use proxy_core::config::Name;

use super::NAME;
use super::read::PlainGateway;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::dialects::{Compile, DIALECTS, Gateway};
use crate::ingress::{ANY_HOST, CLASS};
use crate::load::Objects;
use crate::model::{GatewayFacts, Labels, Listen};

/// Where a controller that is not known is taken to be: outside of every mesh.
const NAMESPACE: &str = "kube-system";
/// Where its pods take plaintext.
pub(super) const PLAIN_PORT: u16 = 80;
/// Where they take TLS.
pub(super) const TLS_PORT: u16 = 443;

/// The gateway of a class.
pub(super) fn facts(gateway: &PlainGateway, cx: &mut Compile<'_>) -> GatewayFacts {
    let over = cx.overrides.iter().find(|over| {
        let mut ingresses = gateway.ingresses.iter();
        ingresses.any(|it| {
            let key = &it.ingress.key;
            *over.target == *format!("{}/{}", key.namespace, key.name)
        })
    });
    let namespace = over.and_then(|over| over.namespace.clone());
    let namespace = namespace.unwrap_or_else(|| NAMESPACE.into());
    let class = gateway.class.as_deref().unwrap_or("ingress");
    let mut hosts = BTreeSet::new();
    for ingress in &gateway.ingresses {
        hosts.extend(ingress.paths.iter().map(|path| path.host.as_str()));
        hosts.extend(ingress.default_backend.map(|_| ANY_HOST));
    }
    let listen = |port, tls| Listen {
        port,
        bound: port,
        tls,
    };
    GatewayFacts {
        name: match over {
            Some(over) => over.target.clone(),
            None => format!("{namespace}/{class}").into(),
        },
        dialect: NAME,
        labels: match over {
            Some(over) if !over.labels.is_empty() => over.labels.clone(),
            Some(_) | None => Labels::from([("app".into(), class.into())]),
        },
        service_account: "default".into(),
        workload: None,
        replicas: over.and_then(|over| over.replicas),
        listens: vec![listen(PLAIN_PORT, false), listen(TLS_PORT, true)],
        identity: None,
        hosts: hosts.into_iter().map(Name::from).collect(),
        origin: gateway.origin,
        namespace,
    }
}

/// Warns of each Ingress that none of `gateways` serves: no request gets in by it.
pub fn report_unserved(objects: &Objects, gateways: &[&dyn Gateway], out: &mut Diagnostics) {
    for object in objects.of("networking.k8s.io", "Ingress") {
        if gateways.iter().any(|gateway| gateway.serves(&object.key)) {
            continue;
        }
        let written = object.node.at("spec.ingressClassName");
        let class = written.and_then(|node| Some((node.as_str()?, node.span)));
        let class = class.or_else(|| object.annotation(CLASS).map(|it| (it.value, it.span)));
        let known = DIALECTS.iter().filter(|it| it.gateways.is_some());
        let kinds: Vec<&str> = known.map(|it| it.name).chain([NAME]).collect();
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
